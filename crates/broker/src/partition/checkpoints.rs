//! `recovery-point-offset-checkpoint` and `replication-offset-checkpoint` of a log directory: up to where each log is known to be
//! synced, and up to where consumers saw it.
//!
//! Owns the two files and what they are known to say. They are written now and then, so they may say less than is true; they must
//! never say more. A topic that is deleted and made again under its name would inherit more: the recovery point of the old log, below
//! which nothing of the new one would be read after a crash. So that entry goes before the new log is made.

use std::sync::Arc;

use ottla_log::LogError;
use ottla_log::checkpoint::{HIGH_WATERMARKS_FILE, OffsetCheckpoint, RECOVERY_POINTS_FILE, read_offsets, write_offsets};
use ottla_model::TopicPartition;
use parking_lot::Mutex;

use super::{LogDir, Partition};

/// One of the files of offsets in a log directory that have an entry for each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checkpoint {
    RecoveryPoints,
    HighWatermarks,
}

/// What the files say. Each lock is held while its file is written, so that what is newer is never overwritten.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    recovery_points: Mutex<Content>,
    high_watermarks: Mutex<Content>,
}

/// `None`: not known, since the file could not be read, or its last write failed.
type Content = Option<OffsetCheckpoint>;

impl Checkpoint {
    pub(super) fn file(self) -> &'static str {
        match self {
            Checkpoint::RecoveryPoints => RECOVERY_POINTS_FILE,
            Checkpoint::HighWatermarks => HIGH_WATERMARKS_FILE,
        }
    }

    fn of(self, checkpoints: &Checkpoints) -> &Mutex<Content> {
        match self {
            Checkpoint::RecoveryPoints => &checkpoints.recovery_points,
            Checkpoint::HighWatermarks => &checkpoints.high_watermarks,
        }
    }

    /// Of all logs of a directory. Looked at under the file's lock: one that is deleted from here on is forgotten after this.
    fn gather(self, dir: &LogDir) -> OffsetCheckpoint {
        // First those that are not open: one that is opened meanwhile is in both lists, not in none.
        let unopened = dir.unopened().into_iter().filter_map(|(name, hints)| {
            let said = match self {
                Checkpoint::RecoveryPoints => hints.recovery_point,
                Checkpoint::HighWatermarks => hints.high_watermark,
            };
            Some((name, said?))
        });
        let mut offsets: OffsetCheckpoint = unopened.collect();
        let entry = |partition: &Arc<Partition>| {
            let offset = match self {
                Checkpoint::RecoveryPoints => partition.with_log(|log| log.durable_end()),
                Checkpoint::HighWatermarks => partition.high_watermark(),
            };
            (partition.topic_partition().clone(), offset)
        };
        offsets.extend(dir.partitions().iter().filter(|partition| !partition.is_deleted()).map(entry));
        offsets
    }
}

impl LogDir {
    /// Reads a file when the broker starts. One that cannot be read counts as empty, which costs a longer recovery and no data.
    pub(super) fn read_checkpoint(&self, kind: Checkpoint) -> OffsetCheckpoint {
        let read = read_offsets(&**self.disk(), &self.path().join(kind.file()));
        let content = read.inspect_err(|error| tracing::warn!("a checkpoint is not used: {error}")).ok();
        kind.of(&self.checkpoints).lock().clone_from(&content);
        content.unwrap_or_default()
    }

    /// Has a file say what is true now. Blocks on files, unless that is what it says already.
    pub(super) fn write_checkpoint(&self, kind: Checkpoint) -> Result<(), LogError> {
        let mut content = kind.of(&self.checkpoints).lock();
        let offsets = kind.gather(self);
        if content.as_ref() == Some(&offsets) {
            return Ok(());
        }
        self.replace(kind, &mut content, offsets)
    }

    /// Before a log is made: nothing that is said of its name is true of it. Blocks on files if there is such an entry.
    pub(super) fn forget_recovery_points(&self, names: &[TopicPartition]) -> Result<(), LogError> {
        let kind = Checkpoint::RecoveryPoints;
        let mut content = kind.of(&self.checkpoints).lock();
        let Some(offsets) = &*content else {
            let offsets = kind.gather(self);
            return self.replace(kind, &mut content, offsets);
        };
        if !names.iter().any(|name| offsets.contains_key(name)) {
            return Ok(());
        }
        let mut offsets = offsets.clone();
        for name in names {
            offsets.remove(name);
        }
        self.replace(kind, &mut content, offsets)
    }

    fn replace(&self, kind: Checkpoint, content: &mut Content, offsets: OffsetCheckpoint) -> Result<(), LogError> {
        // Should this fail, it may have failed before or after the file was replaced.
        *content = None;
        write_offsets(&**self.disk(), &self.path().join(kind.file()), &offsets)?;
        *content = Some(offsets);
        Ok(())
    }
}
