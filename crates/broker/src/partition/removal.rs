//! Removing what was deleted, a piece at a time.
//!
//! A large file is cut down before it is removed: to unlink 1 GiB took 350 ms here, while which other files' syncs took up to 110 ms;
//! cut in pieces of 16 MiB no call takes 10 ms. And it is bounded how much goes in a second, so that whoever produces and consumes
//! does not feel it. Owns no thread: whoever does calls [`Removals::step`] now and then.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ottla_log::Disk;
use ottla_log::disk::OpenMode;

/// What goes at once, at most.
const STEP_BYTES: u64 = 16 << 20;
/// What goes in a second, at most.
pub const REMOVED_BYTES_PER_SECOND_MAX: u64 = 1 << 30;
/// Small files that go at once, at most.
const STEP_FILES: usize = 64;

/// What is to be removed from one directory. Bounded by what was deleted; each is a name.
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// Folders, of which the first is under way.
    folders: VecDeque<PathBuf>,
    /// Files, those of the first folder first.
    files: VecDeque<PathBuf>,
    in_folder: bool,
    next: Option<Instant>,
}

impl Removals {
    pub(super) fn add_folder(&mut self, folder: PathBuf) {
        self.folders.push_back(folder);
    }

    pub(super) fn add_files(&mut self, files: Vec<PathBuf>) {
        self.files.extend(files);
    }

    /// When to go on; `None`: there is nothing to remove.
    pub(super) fn due(&self) -> Option<Instant> {
        let is_idle = self.folders.is_empty() && self.files.is_empty();
        (!is_idle).then(|| self.next.unwrap_or_else(Instant::now))
    }

    /// Removes a piece, if it is time.
    pub(super) fn step(&mut self, disk: &dyn Disk, now: Instant) {
        if self.due().is_none() || self.next.is_some_and(|next| next > now) {
            return;
        }
        let mut bytes = 0;
        for _ in 0..STEP_FILES {
            if self.files.is_empty() && !self.next_folder(disk) {
                break;
            }
            let Some(file) = self.files.front() else { continue };
            match cut(disk, file, STEP_BYTES - bytes) {
                Ok((cut, is_gone)) => {
                    bytes += cut;
                    if is_gone {
                        self.files.pop_front();
                    }
                }
                Err(error) => {
                    complain(file, &error);
                    self.files.pop_front();
                }
            }
            if bytes >= STEP_BYTES {
                break;
            }
        }
        let pause = Duration::from_micros(bytes.saturating_mul(1_000_000) / REMOVED_BYTES_PER_SECOND_MAX);
        self.next = Some(now + pause);
    }

    /// Ends the folder under way, and looks into the next one.
    fn next_folder(&mut self, disk: &dyn Disk) -> bool {
        if std::mem::take(&mut self.in_folder)
            && let Some(folder) = self.folders.pop_front()
        {
            match disk.remove_dir_all(&folder) {
                Ok(()) => tracing::debug!(folder = %folder.display(), "removed a deleted partition"),
                Err(error) => complain(&folder, &error),
            }
            return !self.folders.is_empty();
        }
        let Some(folder) = self.folders.front() else { return false };
        self.in_folder = true;
        match disk.list_dir(folder) {
            Ok(entries) => self.files.extend(entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| folder.join(entry.name))),
            Err(error) => complain(folder, &error),
        }
        true
    }
}

/// Cuts up to so many bytes off a file, and removes it when nothing is left; gives how many, and whether it is gone.
fn cut(disk: &dyn Disk, path: &Path, bytes_max: u64) -> io::Result<(u64, bool)> {
    let len = disk.stat(path)?.len;
    if len > bytes_max {
        let left = len - bytes_max;
        disk.open(path, OpenMode::Write)?.truncate(left)?;
        return Ok((bytes_max, false));
    }
    disk.remove_file(path)?;
    Ok((len, true))
}

/// It is out of use; what could not be removed is tried again at the next start.
fn complain(path: &Path, error: &io::Error) {
    if error.kind() != io::ErrorKind::NotFound {
        tracing::warn!("{} could not be removed: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use ottla_log::MemDisk;

    use super::*;

    fn file(disk: &MemDisk, path: &str, bytes: usize) {
        let opened = disk.open(Path::new(path), OpenMode::Create).unwrap();
        opened.write_vectored_at(&[IoSlice::new(&vec![1; bytes])], 0).unwrap();
    }

    fn len(disk: &MemDisk, path: &str) -> Option<u64> {
        disk.stat(Path::new(path)).ok().map(|stat| stat.len)
    }

    #[test]
    fn a_large_file_goes_in_pieces_and_no_faster_than_the_bound() {
        let disk = MemDisk::new();
        file(&disk, "/large", 40 << 20);
        let mut removals = Removals::default();
        removals.add_files(vec!["/large".into()]);
        let mut now = Instant::now();
        removals.step(&disk, now);
        assert_eq!(len(&disk, "/large"), Some(24 << 20));
        removals.step(&disk, now);
        assert_eq!(len(&disk, "/large"), Some(24 << 20), "not before its time");
        assert_eq!(removals.due(), Some(now + Duration::from_micros(15_625)), "16 MiB of 1 GiB a second");
        for left in [Some(8 << 20), None] {
            now = removals.due().unwrap();
            removals.step(&disk, now);
            assert_eq!(len(&disk, "/large"), left);
        }
        assert_eq!(removals.due(), None);
    }

    #[test]
    fn folders_go_with_all_that_is_in_them_and_what_is_gone_already_is_passed_over() {
        let disk = MemDisk::new();
        for folder in ["/a", "/b"] {
            disk.create_dir_all(Path::new(folder)).unwrap();
            for name in 0..100 {
                file(&disk, &format!("{folder}/{name}"), 10);
            }
        }
        let mut removals = Removals::default();
        for folder in ["/a", "/gone", "/b"] {
            removals.add_folder(folder.into());
        }
        removals.add_files(vec!["/gone".into()]);
        let mut now = Instant::now();
        while let Some(due) = removals.due() {
            now = now.max(due);
            removals.step(&disk, now);
        }
        assert_eq!(disk.list_dir(Path::new("/")).unwrap(), []);
    }
}
