//! A file system of its own for one test, on a loop device: it can be filled, frozen, and made to fail.
//!
//! Needs root. It is mounted where only the calling thread and what it starts from then on can see it, so nothing of it outlives them; and a
//! guardian thaws it and takes it away when the test ends in any way, also by SIGKILL, since it waits for the end of a pipe.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::run;

/// Shuts an ext4 or xfs down: from then on its files can be neither read nor written (`linux/fs.h` and `fs/ext4/ext4.h`).
const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
/// At once, without a flush of the journal.
const EXT4_GOING_FLAGS_NOLOGFLUSH: u32 = 2;
/// Written to a file that fills the disk, at a time.
const FILL_BYTES: usize = 64 * 1024;

/// The disk. Gone on drop.
pub struct LoopDisk {
    home: TempDir,
    guardian: Child,
}

impl LoopDisk {
    /// An ext4 of so many MiB, of which nothing is kept for root.
    #[track_caller]
    pub fn new(mib: u64) -> LoopDisk {
        see_own_mounts_only();
        let home = TempDir::with_prefix("ottla-loop-").expect("a folder for the disk can be made");
        let image = home.path().join("image");
        let file = File::create(&image).expect("the image can be made");
        file.set_len(mib << 20).expect("the image can be given its size");
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-F"]).arg(&image)).ok();
        let mount = home.path().join("mount");
        std::fs::create_dir(&mount).expect("the folder to mount on can be made");
        mount_image(&image, &mount);
        let script = "cat; fsfreeze --unfreeze \"$1\"; umount --lazy \"$1\"; rm -rf \"$2\"";
        let guardian = Command::new("sh")
            .args(["-c", script, "guardian"])
            .args([&mount, home.path()])
            // What ends the test's process group is not for this one.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh can be started");
        LoopDisk { home, guardian }
    }

    /// The folder that a node may use.
    pub fn path(&self) -> PathBuf {
        self.mount().join("data")
    }

    fn mount(&self) -> PathBuf {
        self.home.path().join("mount")
    }

    /// Bytes that can still be written.
    #[track_caller]
    pub fn free_bytes(&self) -> u64 {
        let said = run(Command::new("df").args(["--block-size=1", "--output=avail"]).arg(self.mount())).ok().stdout;
        said.lines().nth(1).and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no number in {said}"))
    }

    /// Another file takes all there is, to the last byte.
    #[track_caller]
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file can be made");
        for size in [FILL_BYTES, 1] {
            let error = loop {
                match file.write_all(&[0xff; FILL_BYTES][..size]).and_then(|()| if size == 1 { file.flush() } else { Ok(()) }) {
                    Ok(()) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        }
        file.sync_all().expect("what was written can be synced");
    }

    /// That file goes.
    #[track_caller]
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("the file was there");
    }

    fn filler(&self) -> PathBuf {
        self.mount().join("filler")
    }

    /// Whoever writes waits from now on.
    #[track_caller]
    pub fn freeze(&self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.mount())).ok();
    }

    /// They go on.
    #[track_caller]
    pub fn thaw(&self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(self.mount())).ok();
    }

    /// Nothing can be read or written from now on: EIO for everything.
    #[track_caller]
    pub fn break_down(&self) {
        let folder = File::open(self.mount()).expect("the folder can be opened");
        let how = EXT4_GOING_FLAGS_NOLOGFLUSH;
        // SAFETY: the descriptor is open, and the call reads one number, which outlives it.
        let done = unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_SHUTDOWN, std::ptr::from_ref(&how)) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }

    /// It is as it was, less what was not on stable storage. Nobody may use it.
    #[track_caller]
    pub fn mend(&self) {
        run(Command::new("umount").arg(self.mount())).ok();
        mount_image(&self.home.path().join("image"), &self.mount());
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

#[track_caller]
fn mount_image(image: &Path, mount: &Path) {
    // A loop device that mount has taken is given back with the last mount of it.
    run(Command::new("mount").args(["-o", "loop"]).args([image, mount])).ok();
}

/// Moves the calling thread, and every process it starts from now on, to where its mounts are nobody else's.
#[track_caller]
fn see_own_mounts_only() {
    // SAFETY: unshare takes no pointers. It moves this thread alone.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(done, 0, "no mounts of its own can be had: {}", io::Error::last_os_error());
    run(Command::new("mount").args(["--make-rprivate", "/"])).ok();
}
