//! A bounded number of open files, shared by all partitions of a disk.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::DiskFile;

/// Names a file for the cache, whatever it is called at the moment: a segment that was renamed to `.deleted` and a new one
/// with its old name are two files. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(u64);

impl FileId {
    /// A name that no file had before.
    pub fn fresh() -> FileId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        FileId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Open files by id; when full, the one that was not used for the longest time is closed. Who still holds it keeps it.
#[derive(Debug)]
pub struct HandleCache {
    open_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    uses: u64,
    open: HashMap<FileId, (u64, Arc<dyn DiskFile>)>,
}

impl HandleCache {
    /// A cache that keeps at most `open_max` files open.
    pub fn new(open_max: usize) -> HandleCache {
        HandleCache { open_max: open_max.max(1), inner: Mutex::default() }
    }

    /// The file, opened by `open` when it is not open yet.
    pub fn get_or_open(&self, id: FileId, open: impl FnOnce() -> io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        {
            let mut inner = self.inner.lock();
            inner.uses += 1;
            let uses = inner.uses;
            if let Some((used, file)) = inner.open.get_mut(&id) {
                *used = uses;
                return Ok(Arc::clone(file));
            }
        }
        // Opened outside the lock: a slow open must not hold up readers of other files.
        let file = open()?;
        self.insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// Keeps a file that is open already.
    pub fn insert(&self, id: FileId, file: Arc<dyn DiskFile>) {
        let mut inner = self.inner.lock();
        inner.uses += 1;
        let uses = inner.uses;
        if inner.open.len() >= self.open_max
            && !inner.open.contains_key(&id)
            && let Some(oldest) = inner.open.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id)
        {
            inner.open.remove(&oldest);
        }
        inner.open.insert(id, (uses, file));
    }

    /// Closes a file, if open.
    pub fn remove(&self, id: FileId) {
        self.inner.lock().open.remove(&id);
    }

    /// Number of files it keeps open.
    pub fn open_count(&self) -> usize {
        self.inner.lock().open.len()
    }
}
