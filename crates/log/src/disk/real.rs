//! The file system of this machine.

use std::any::Any;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use ottla_model::TimestampMs;
use ottla_wire::{FileRange, RecordFragment};
use parking_lot::Mutex;

use super::{DirEntry, Disk, DiskFile, FileStat, HandleCache, OpenMode, Space};

/// Files of sealed segments and of indexes that stay open between two uses.
const HANDLES_OPEN_MAX: usize = 512;

/// The real thing. One for each log directory, so that each has its own bound on open files.
#[derive(Debug)]
pub struct RealDisk {
    handles: HandleCache,
    /// One open folder for each path that `sync_fs` was asked for. `syncfs` reports write-back errors that happened since
    /// its descriptor was opened, so one that is opened anew each time would miss those between two calls.
    sync_roots: Mutex<Vec<(PathBuf, Arc<File>)>>,
}

impl RealDisk {
    /// Opens nothing yet.
    pub fn new() -> RealDisk {
        RealDisk { handles: HandleCache::new(HANDLES_OPEN_MAX), sync_roots: Mutex::default() }
    }
}

impl Default for RealDisk {
    fn default() -> Self {
        RealDisk::new()
    }
}

#[derive(Debug)]
struct RealFile(Arc<File>);

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        match mode {
            OpenMode::Read | OpenMode::Write => {}
            OpenMode::Create => {
                options.create(true).truncate(false);
            }
            OpenMode::CreateNew => {
                options.create_new(true);
            }
        }
        Ok(Arc::new(RealFile(Arc::new(options.open(path)?))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // A name that is not UTF-8 cannot be ours.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let meta = fs::metadata(path)?;
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        Ok(FileStat { len: meta.len(), modified: TimestampMs(modified) })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_fs(&self, path: &Path) -> io::Result<()> {
        let root = {
            let mut roots = self.sync_roots.lock();
            match roots.iter().find(|(p, _)| p == path) {
                Some((_, file)) => Arc::clone(file),
                None => {
                    let file = Arc::new(File::open(path)?);
                    roots.push((path.to_owned(), Arc::clone(&file)));
                    file
                }
            }
        };
        // SAFETY: the descriptor is open for as long as `root` lives; syncfs takes nothing else.
        match unsafe { libc::syncfs(root.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut found = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `path` ends with a zero and outlives the call; `found` is a place for what the call writes.
        if unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded, so it has written all of it.
        let found = unsafe { found.assume_init() };
        // What only root may use is left to root.
        Ok(Space { total_bytes: found.f_blocks * found.f_frsize, free_bytes: found.f_bavail * found.f_frsize })
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn handles(&self) -> &HandleCache {
        &self.handles
    }
}

/// Slices handed to one `pwritev`; more are written by further calls.
const SLICES_MAX: usize = 8;

impl DiskFile for RealFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], mut position: u64) -> io::Result<()> {
        for group in slices.chunks(SLICES_MAX) {
            let wanted: usize = group.iter().map(|s| s.len()).sum();
            let mut written = loop {
                let at = libc::off_t::try_from(position).map_err(io::Error::other)?;
                // SAFETY: `IoSlice` has the layout of `iovec`, `group` holds at most SLICES_MAX of them and outlives the call.
                let n = unsafe { libc::pwritev(self.0.as_raw_fd(), group.as_ptr().cast(), group.len() as libc::c_int, at) };
                if n >= 0 {
                    break n as usize;
                }
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            };
            let end = position + wanted as u64;
            position += written as u64;
            // A short write happens when the disk fills up or a signal comes: the rest goes slice by slice, which gives the error.
            if position < end {
                for slice in group {
                    let skip = written.min(slice.len());
                    written -= skip;
                    self.0.write_all_at(&slice[skip..], position)?;
                    position += (slice.len() - skip) as u64;
                }
            }
        }
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], position + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn fragment(&self, position: u64, len: u32) -> io::Result<RecordFragment> {
        Ok(RecordFragment::File(FileRange { file: Arc::clone(&self.0), position, len }))
    }
}
