//! A disk of one's own: ext4 on a loop device over a file. Its power can be cut.
//!
//! Power loss is ext4's own: the ioctl that tells it to go down without a last write. From then on nothing reaches the
//! disk; what was only in the page cache, or in the journal in memory, is gone with the mount. What the file holds is what
//! a disk without a volatile cache would hold. Needs root.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::run;

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`, of the kernel's `fs/ext4/ext4.h`.
const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587D_u32 as libc::Ioctl;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written.
const NO_LOG_FLUSH: u32 = 2;

/// Gives this process a mount namespace, so that its mounts end with it. To be called on the main thread first of all.
pub fn own_mounts() -> Result<(), String> {
    let failed = |what| format!("{what}: {}", std::io::Error::last_os_error());
    // SAFETY: no pointers but those of literals that end with a zero byte.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) != 0 {
            return Err(failed("no mount namespace can be had"));
        }
        let (none, root) = (c"none".as_ptr(), c"/".as_ptr());
        if libc::mount(none, root, std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()) != 0 {
            return Err(failed("mounts cannot be kept from the system's own"));
        }
    }
    Ok(())
}

/// A mounted disk, unmounted on drop. Its file stays.
pub struct Disk {
    image: PathBuf,
    mount_point: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Makes a file of so many bytes (with holes), a file system in it, and mounts that.
    pub fn make(folder: &Path, bytes: u64) -> Result<Disk, String> {
        let (image, mount_point) = (folder.join("disk.ext4"), folder.join("disk"));
        let failed = |error: std::io::Error| format!("cannot make a disk in {}: {error}", folder.display());
        File::create(&image).and_then(|file| file.set_len(bytes)).map_err(failed)?;
        fs::create_dir_all(&mount_point).map_err(failed)?;
        run::captured(run::program("mkfs.ext4", &["-q", "-F", &image.display().to_string()]))?;
        let mut disk = Disk { image, mount_point, is_mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// The file that it lies in.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Cuts its power. What uses it gets errors from now on.
    pub fn cut(&self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("the power of {} cannot be cut: {error}", self.mount_point.display());
        let root = File::open(&self.mount_point).map_err(failed)?;
        let flags = NO_LOG_FLUSH;
        // SAFETY: the descriptor is open, and the flags live as long as the call.
        match unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) } {
            0 => Ok(()),
            _ => Err(failed(std::io::Error::last_os_error())),
        }
    }

    /// Mounts it anew, as it is after [`Self::cut`]. Nobody may have files of it open.
    pub fn mount_again(&mut self) -> Result<(), String> {
        self.unmount()?;
        self.mount()
    }

    /// Shows that [`Self::cut`] does what it says: what was synced is there afterwards, what was not is not. A loss of
    /// power that loses nothing would find nothing.
    pub fn prove(&mut self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{} cannot be written to: {error}", self.mount_point.display());
        let (synced, unsynced) = (self.mount_point.join("synced"), self.mount_point.join("unsynced"));
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        fs::write(&synced, "x").and_then(|()| sync(&synced)).and_then(|()| sync(&self.mount_point)).map_err(failed)?;
        fs::write(&unsynced, "x").map_err(failed)?;
        self.cut()?;
        self.mount_again()?;
        if !fs::read(&synced).is_ok_and(|content| content == b"x") {
            return Err(format!("{} has lost what was synced", self.image.display()));
        }
        if unsynced.exists() {
            return Err(format!("{} has kept what was not synced: its power was not cut", self.image.display()));
        }
        fs::remove_file(&synced).map_err(|error| format!("cannot remove {}: {error}", synced.display()))
    }

    fn mount(&mut self) -> Result<(), String> {
        let (image, mount_point) = (self.image.display().to_string(), self.mount_point.display().to_string());
        // The loop device that `mount` sets up goes with the last use of it.
        run::captured(run::program("mount", &["-t", "ext4", "-o", "loop", &image, &mount_point]))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        if self.is_mounted {
            run::captured(run::program("umount", &[&self.mount_point.display().to_string()]))?;
            self.is_mounted = false;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(why) = self.unmount() {
            eprintln!("{why}");
        }
    }
}
