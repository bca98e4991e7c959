//! What lies under the metadata log's database: a file that has the room for what will be written to it before it is written.
//!
//! The database takes no write any more once one of its has failed, and must then be opened anew. So a disk that is full is met before
//! the database knows of it: ahead of each change the file is given the blocks that the change can come to need, behind its end, where
//! nobody else can take them. Where there are none, the change is refused and nothing has happened. As the blocks stay with the file,
//! small changes go on on a full disk, and a topic can be deleted to make room on it. What is refused all the same (file systems that
//! copy on write, a quota) leaves a mark here: the database is to be opened anew, and is as it was before.
//!
//! A sync that fails is another matter, whatever the reason: the page cache may show what the disk has not. That is the controller's end.
//!
//! Knows nothing of what is in the database, but how it grows.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// The database doubles when it grows.
const GROWTH: u64 = 2;
/// What a change of one byte can come to: its page, those above it, and twice that where the database grows for it.
const BYTES_PER_BYTE: u64 = 8;
/// The least that a change takes.
const CHANGE_BYTES_MIN: u64 = 64 * 1024;
/// What the file is given beyond that while there is enough: for many small changes on a disk that is full by then.
const SLACK_BYTES: u64 = 1024 * 1024;

/// A place for the database.
pub(super) trait Ground: fmt::Debug + Send + Sync {
    /// Where the database reads and writes.
    fn storage(&self) -> &dyn StorageBackend;
    /// Has the blocks of the first `len` bytes, also beyond the end, which stays where it is.
    fn allocate(&self, len: u64) -> io::Result<()>;
}

/// How to come to the same place again. An error that is none of room is for good.
pub(super) type OpenGround = Box<dyn Fn() -> io::Result<Box<dyn Ground>> + Send + Sync>;

/// A file of this machine.
#[derive(Debug)]
struct FileGround {
    file: File,
    database: FileBackend,
}

/// The file of this path, or the other for as long as it has not got that name.
pub(super) fn file_ground(path: &Path, in_the_making: Option<&Path>) -> OpenGround {
    let (path, in_the_making): (PathBuf, Option<PathBuf>) = (path.to_owned(), in_the_making.map(Path::to_owned));
    Box::new(move || {
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let file = match (open(&path), &in_the_making) {
            (Err(error), Some(other)) if error.kind() == io::ErrorKind::NotFound => open(other)?,
            (file, _) => file?,
        };
        let database = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        Ok(Box::new(FileGround { file, database }))
    })
}

impl Ground for FileGround {
    fn storage(&self) -> &dyn StorageBackend {
        &self.database
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let end = libc::off_t::try_from(len).map_err(io::Error::other)?;
        loop {
            // SAFETY: the descriptor is open for as long as `self` lives; the call takes nothing else.
            if unsafe { libc::fallocate(self.file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, end) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => return self.has_free(len),
                _ => return Err(error),
            }
        }
    }
}

impl FileGround {
    /// For file systems that set nothing aside: whether there is as much now.
    fn has_free(&self, len: u64) -> io::Result<()> {
        let mut found = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the descriptor is open for as long as `self` lives; `found` is a place for what the call writes.
        if unsafe { libc::fstatvfs(self.file.as_raw_fd(), found.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded, so it has written all of it.
        let found = unsafe { found.assume_init() };
        let wanted = len.saturating_sub(self.file.metadata()?.len());
        if found.f_bavail * found.f_frsize >= wanted { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

/// Whether an error is one of room, which goes away by itself.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What is known of the ground under an open database.
#[derive(Debug, Default)]
pub(super) struct Footing {
    /// Bytes from the start that have their blocks.
    allocated: AtomicU64,
    /// A write of the database was refused for lack of room.
    refused: AtomicBool,
    /// A call failed after which nobody knows what the disk has.
    lost: AtomicBool,
}

impl Footing {
    /// Whether the database has to be opened anew, and can be.
    pub(super) fn needs_reopening(&self) -> bool {
        self.refused.load(Ordering::Acquire) && !self.lost.load(Ordering::Acquire)
    }
}

/// The ground as the database takes it, with an eye on what happens.
pub(super) struct Backend {
    ground: Arc<dyn Ground>,
    footing: Arc<Footing>,
}

impl Backend {
    pub(super) fn new(ground: Arc<dyn Ground>, footing: Arc<Footing>) -> Backend {
        Backend { ground, footing }
    }

    fn watch<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done {
            let mark = if is_full(error) { &self.footing.refused } else { &self.footing.lost };
            mark.store(true, Ordering::Release);
        }
        done
    }
}

/// Has the file take a change of so many bytes without the disk being asked for more.
pub(super) fn make_room(ground: &dyn Ground, footing: &Footing, bytes: u64) -> io::Result<()> {
    let change = bytes.saturating_mul(BYTES_PER_BYTE).saturating_add(CHANGE_BYTES_MIN);
    let needed = ground.storage().len()?.saturating_mul(GROWTH).saturating_add(change);
    if footing.allocated.load(Ordering::Acquire) >= needed {
        return Ok(());
    }
    let ample = needed.saturating_add(SLACK_BYTES);
    let allocated = match ground.allocate(ample) {
        Ok(()) => ample,
        Err(error) if is_full(&error) => ground.allocate(needed).map(|()| needed)?,
        Err(error) => return Err(error),
    };
    footing.allocated.store(allocated, Ordering::Release);
    Ok(())
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("footing", &self.footing).finish_non_exhaustive()
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.ground.storage().len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.ground.storage().read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.ground.storage().len()?;
        if before == len {
            // It would take away what was set aside behind the end.
            return Ok(());
        }
        let done = self.ground.storage().set_len(len);
        if len > before {
            return self.watch(done);
        }
        // The database gives room back once a change is on stable storage: it cannot be called refused any more.
        done.inspect_err(|_| self.footing.lost.store(true, Ordering::Release))?;
        // What was behind the end went along, and is taken again before others do.
        let had = self.footing.allocated.swap(0, Ordering::AcqRel).max(before);
        if self.ground.allocate(had).is_ok() {
            self.footing.allocated.store(had, Ordering::Release);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ground.storage().sync_data().inspect_err(|_| self.footing.lost.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.watch(self.ground.storage().write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.ground.storage().close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.ground.storage().try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.ground.storage().try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.ground.storage().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.ground.storage().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.ground.storage().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.ground.storage().query_lock_range(start, end)
    }
}
