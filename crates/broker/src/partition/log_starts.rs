//! `log-start-offset-checkpoint` of a log directory: where the logs start that DeleteRecords has cut.
//!
//! Owns the file and what it is known to say. An entry is all that speaks of a deletion for as long as the segments below it could come
//! back, be it that they are not old enough to go or that a power loss undoes their going. So it stays until its partition is deleted,
//! where Kafka drops it once it is the base of the first segment. And it goes with its partition, at once: a topic made anew under the
//! same name would lose its first records to it.

use std::sync::Arc;

use ottla_log::LogError;
use ottla_log::checkpoint::{LOG_START_OFFSETS_FILE, OffsetCheckpoint, write_offsets};
use ottla_model::{Offset, TopicPartition};
use ottla_wire::ErrorCode;
use parking_lot::Mutex;

use super::{LogDir, Partition, log_error_code};

/// What the file says, or should. The lock is held while it is written, so that what is newer is never overwritten; and whoever comes
/// meanwhile often finds it written already.
#[derive(Debug, Default)]
pub(super) struct LogStarts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    offsets: OffsetCheckpoint,
    /// Whether the file says the same.
    is_written: bool,
}

impl LogDir {
    /// Takes over what the file said when the broker started, less what is of no partition here any more.
    pub(super) fn take_log_starts(&self, mut in_file: OffsetCheckpoint, is_here: impl Fn(&TopicPartition) -> bool) -> Result<(), LogError> {
        let mut state = self.log_starts.0.lock();
        let count = in_file.len();
        in_file.retain(|partition, _| is_here(partition));
        let has_strangers = in_file.len() < count;
        *state = State { offsets: in_file, is_written: count > 0 && !has_strangers };
        if has_strangers { self.write(&mut state) } else { Ok(()) }
    }

    /// Has the file say what is true now, of all partitions of the directory. Blocks on files, unless there is nothing new.
    pub(super) fn write_log_starts(&self, partitions: &[Arc<Partition>]) -> Result<(), LogError> {
        self.update_log_starts(partitions, |start, first_base| start > first_base)
    }

    /// Has the starts that a request has set on stable storage when it returns, also that which is the base of a segment by now:
    /// retention may have been there already, and its changes of the folder are synced later.
    fn keep_log_starts(&self, partitions: &[Arc<Partition>]) -> Result<(), LogError> {
        self.update_log_starts(partitions, |start, _| start > Offset::ZERO)
    }

    fn update_log_starts(&self, partitions: &[Arc<Partition>], needs_entry: impl Fn(Offset, Offset) -> bool) -> Result<(), LogError> {
        let mut state = self.log_starts.0.lock();
        // Looked at under the lock: one that is deleted from here on is forgotten after this.
        for partition in partitions.iter().filter(|partition| !partition.is_deleted()) {
            let (start, first_base) = partition.with_log(|log| (log.log_start_offset(), log.first_segment_base()));
            let known = state.offsets.get(partition.topic_partition()).copied();
            if known.is_some_and(|known| known != start) || (known.is_none() && needs_entry(start, first_base)) {
                state.offsets.insert(partition.topic_partition().clone(), start);
                state.is_written = false;
            }
        }
        if state.is_written { Ok(()) } else { self.write(&mut state) }
    }

    /// Removes the entries of partitions that are gone. Blocks on files if there are any.
    pub(super) fn forget_log_starts(&self, is_gone: impl Fn(&TopicPartition) -> bool) -> Result<(), LogError> {
        let mut state = self.log_starts.0.lock();
        let count = state.offsets.len();
        state.offsets.retain(|partition, _| !is_gone(partition));
        if state.offsets.len() == count {
            return Ok(());
        }
        state.is_written = false;
        self.write(&mut state)
    }

    /// As long as what this gives lives, no log start is written.
    #[cfg(test)]
    pub(crate) fn hold_log_starts(&self) -> HeldLogStarts<'_> {
        HeldLogStarts { _state: self.log_starts.0.lock() }
    }

    fn write(&self, state: &mut State) -> Result<(), LogError> {
        write_offsets(&**self.disk(), &self.path().join(LOG_START_OFFSETS_FILE), &state.offsets)?;
        state.is_written = true;
        Ok(())
    }
}

/// See [`LogDir::hold_log_starts`].
#[cfg(test)]
pub(crate) struct HeldLogStarts<'a> {
    _state: parking_lot::MutexGuard<'a, State>,
}

/// Has the log starts of these partitions on stable storage, one write for each directory; gives what became of each. Blocks on files.
pub fn keep_log_starts(partitions: &[Arc<Partition>]) -> Vec<Result<(), ErrorCode>> {
    let mut by_dir: Vec<(&Arc<LogDir>, Result<(), ErrorCode>)> = Vec::new();
    let mut outcomes = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let dir = partition.log_dir();
        let outcome = match by_dir.iter().find(|(known, _)| Arc::ptr_eq(known, dir)) {
            Some((_, outcome)) => *outcome,
            None => {
                let outcome = keep_in(dir, partitions);
                by_dir.push((dir, outcome));
                outcome
            }
        };
        outcomes.push(outcome);
    }
    outcomes
}

fn keep_in(dir: &Arc<LogDir>, partitions: &[Arc<Partition>]) -> Result<(), ErrorCode> {
    if dir.is_offline() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let here: Vec<Arc<Partition>> = partitions.iter().filter(|partition| Arc::ptr_eq(partition.log_dir(), dir)).cloned().collect();
    dir.keep_log_starts(&here).map_err(|error| {
        dir.note_failure("writing the log starts", &error);
        log_error_code(&error)
    })
}
