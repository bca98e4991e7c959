//! The file system as the log sees it: a small trait, so that the same log runs on a real disk and on one in memory that
//! tears, forgets and fails.
//!
//! Knows files and folders; knows nothing of segments or offsets.

mod handles;
mod mem;
mod real;

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::TimestampMs;
use ottla_wire::RecordFragment;

pub use handles::{FileId, HandleCache};
pub use mem::{Call, Fault, MemDisk};
pub use real::RealDisk;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; only read.
    Read,
    /// Must exist; read and written.
    Write,
    /// Made when missing; read and written.
    Create,
    /// Must not exist; read and written.
    CreateNew,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without the folder's.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_dir: bool,
}

/// Size and age of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Its bytes.
    pub len: u64,
    /// When it was last written.
    pub modified: TimestampMs,
}

/// How much a file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What can still be written, in bytes.
    pub free_bytes: u64,
}

/// A file system. Calls may block; none is made on a network thread except appends to and reads from a healthy disk.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames within one file system, replacing what is there. Lasting only once the folder is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Who still has it open can go on reading.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, sorted.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Size and age of a file.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;
    /// Makes a folder and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all that is in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder lasting: new files, renames, removals.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything on the file system of `path` lasting: cheaper than many single syncs.
    fn sync_fs(&self, path: &Path) -> io::Result<()>;
    /// How much room the file system of `path` has. A quota may allow less.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Takes the file as a lock of this process; `None` when another process holds it. Held until the value is dropped.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// Open files that are used now and then (sealed segments, indexes), a bounded number for the whole disk.
    fn handles(&self) -> &HandleCache;

    /// A whole (small) file.
    fn read_all(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        let n = file.read_at(&mut bytes, 0)?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Replaces a (small) file such that after a crash at any moment it has either its old content or all of the new:
    /// written beside it, synced, renamed over it, the folder synced.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = temporary_of(path);
        let file = self.open(&beside, OpenMode::Create)?;
        file.truncate(0)?;
        file.write_vectored_at(&[IoSlice::new(bytes)], 0)?;
        file.sync_data()?;
        self.rename(&beside, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }
}

/// The name under which the next content of a small file is written.
pub(crate) fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// An open file. Positions are given with each call, so that it can be shared.
pub trait DiskFile: Send + Sync + fmt::Debug + 'static {
    /// Writes all of `slices`, one after another, from `position` on.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Reads until `buf` is full or the file ends; gives the number of bytes read.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Its size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts it down, or extends it with zeros.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// `fdatasync`: its bytes and size are lasting when this returns. Its name is not: see `Disk::sync_dir`.
    fn sync_data(&self) -> io::Result<()>;
    /// A piece of it to be sent: by `sendfile` from a real disk, as bytes from memory.
    fn fragment(&self, position: u64, len: u32) -> io::Result<RecordFragment>;
}
