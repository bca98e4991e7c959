//! Folders of partitions: made, put aside, put out of the way to be removed.
//!
//! Owns their names. Never removes a folder at once, but for half a log for which there was no room: what was deleted is renamed to `-delete` and goes later, what the metadata does
//! not know is renamed to `-stray`, as Kafka does, and kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_log::{Disk, LogError, PartitionLog};
use ottla_model::{TimestampMs, TopicId, TopicPartition};

use super::{LogDir, TopicSettings};

/// The suffix of a folder whose partition was deleted; its files go after `file.delete.delay.ms`.
pub(super) const DELETE_SUFFIX: &str = "-delete";
/// The suffix of a folder that is no partition of this broker; kept.
pub(super) const STRAY_SUFFIX: &str = "-stray";
/// The longest folder name.
const FOLDER_NAME_BYTES_MAX: usize = 255;

impl FolderNames {
    /// Renames the folder of what is no partition of this broker, so that it is out of the way and nothing of it is lost.
    pub(super) fn put_aside(&self, dir: &LogDir, path: &Path, name: &TopicPartition) -> Result<(), LogError> {
        let stray = rename(dir, path, &self.with_suffix(name, STRAY_SUFFIX))?;
        tracing::warn!(
            partition = %name,
            kept_as = %stray.display(),
            "the metadata knows no such partition on this broker (its topic was deleted, or the folder is another cluster's); it is kept"
        );
        Ok(())
    }

    /// Renames the folder of a partition that was deleted before it was served; the files go later.
    pub(super) fn remove_later(&self, dir: &LogDir, path: &Path, name: &TopicPartition, delay_ms: i64) -> Result<(), LogError> {
        let folder = rename(dir, path, &self.with_suffix(name, DELETE_SUFFIX))?;
        dir.maintenance.remove_later(folder, delay_ms);
        Ok(())
    }
}

impl LogDir {
    /// Makes a partition's log. Where there is no room for it, nothing is left of it.
    pub(super) fn create(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
        settings: &TopicSettings,
        now: TimestampMs,
    ) -> Result<PartitionLog, LogError> {
        let folder = self.path().join(name.to_string());
        let is_new = self.disk().list_dir(&folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let made = PartitionLog::create(Arc::clone(self.disk()), &folder, name.clone(), topic_id, settings.log.clone(), now);
        if is_new && made.as_ref().is_err_and(LogError::is_disk_full) {
            // Half of a log would be in the way when it is tried again. Should this fail too, that says so.
            let _ = self.disk().remove_dir_all(&folder);
        }
        made
    }
}

fn rename(dir: &LogDir, path: &Path, name: &str) -> Result<PathBuf, LogError> {
    let renamed = dir.path().join(name);
    dir.disk().rename(path, &renamed).map_err(|source| LogError::Io(failure("rename", path, source)))?;
    dir.disk().sync_dir(dir.path()).map_err(|source| LogError::Io(failure("sync", dir.path(), source)))?;
    Ok(renamed)
}

/// The topic id in a partition's folder; `None` when there is none to read.
pub(super) fn topic_id_of(disk: &dyn Disk, folder: &Path) -> Option<TopicId> {
    let bytes = disk.read_all(&folder.join("partition.metadata")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id:"))?;
    id.trim().parse().ok().map(TopicId)
}

pub(super) fn failure(doing: &'static str, path: &Path, source: io::Error) -> ottla_log::IoFailure {
    ottla_log::IoFailure { doing, path: path.to_owned(), source }
}

/// Names folders that are out of the way, as Kafka does: `topic-0.<32 hexadecimal digits>-delete`, the topic cut to fit.
#[derive(Debug)]
pub(super) struct FolderNames {
    seed: [u8; 16],
    next: AtomicUsize,
}

impl FolderNames {
    pub(super) fn new(seed: [u8; 16]) -> FolderNames {
        FolderNames { seed, next: AtomicUsize::new(0) }
    }

    pub(super) fn with_suffix(&self, name: &TopicPartition, suffix: &str) -> String {
        // Random for each run, counted within it: no two are alike.
        let unique = u128::from_be_bytes(self.seed).wrapping_add(self.next.fetch_add(1, Ordering::Relaxed) as u128);
        let rest = format!("-{}.{unique:032x}{suffix}", name.partition);
        let topic = name.topic.as_str();
        let room = FOLDER_NAME_BYTES_MAX - rest.len();
        format!("{}{rest}", topic.get(..room).unwrap_or(topic))
    }
}
