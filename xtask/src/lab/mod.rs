//! What `chaos` and `bench` work with: processes that end with this one, nodes, disks of their own, and an end that undoes
//! everything, however it comes.
//!
//! Mounts are made in a mount namespace of this process, and children are told to die with it. So even where this process
//! is killed and can undo nothing, the kernel does. Never knows what is measured or tested with it.

pub mod disk;
pub mod interrupt;
pub mod node;
pub mod perf;
pub mod process;

use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is removed at the end, unless it is to be kept.
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// A new one of this name and process in `parent`.
    pub fn make(parent: &Path, name: &str) -> Result<Folder, String> {
        let path = parent.join(format!("ottla-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        let path = path.canonicalize().map_err(|error| format!("cannot find {}: {error}", path.display()))?;
        Ok(Folder { path, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is at the end, for whoever looks into what went wrong.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    // SAFETY: it takes nothing, and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Has this machine's memory used once, where it may never have been: the first touch of a page of a virtual machine is
/// paid for by whoever comes first, and that would be a matter of luck.
pub fn touch_memory() {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<usize>().ok());
    let bytes = (available.unwrap_or_default() * 1024 / 10) * 6;
    drop(std::hint::black_box(vec![1u8; bytes]));
}

/// As many open files as are allowed: thousands of connections are held, and children inherit it.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a struct of their own kind. Where it is refused, the limit is as it was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
