//! What is due now and then: retention, checkpoints, forgotten producers, files whose deletion was put off.
//!
//! Owns one thread and the list of folders to remove. Everything here may be late without harm; nothing on the way of a request waits
//! for it. Kafka's intervals hold: `log.retention.check.interval.ms`, `log.flush.offset.checkpoint.interval.ms`,
//! `log.flush.start.offset.checkpoint.interval.ms`, `replica.high.watermark.checkpoint.interval.ms`,
//! `producer.id.expiration.check.interval.ms`.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ottla_log::LogError;
use ottla_model::config::ServerConfig;
use parking_lot::{Condvar, Mutex};

use super::checkpoints::Checkpoint;
use super::{LogDir, Partition, PartitionManager, PartitionStartError};
use crate::metadata_publisher::Published;

/// How often files of deleted segments are looked for; their own delay is `file.delete.delay.ms`.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(10);
/// The least time between two runs of one task, whatever is configured.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// How much may be written to a log directory before its recovery points are written down again, however short the time: recovery after
/// a crash reads at most about twice as much.
pub const RECOVERY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The thread and its list.
pub(super) struct Maintenance {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is told from outside.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Bounded by the partitions deleted within `file.delete.delay.ms`; each is a name.
    folders: Vec<(Instant, Arc<LogDir>, PathBuf)>,
    /// Some directory has had [`RECOVERY_BYTES_MAX`] written to it.
    recovery_points_due: bool,
    stopping: bool,
}

impl Shared {
    /// Has the recovery points written down before their interval is over.
    pub(super) fn write_recovery_points(&self) {
        self.state.lock().recovery_points_due = true;
        self.wake.notify_one();
    }
}

impl Maintenance {
    /// A thread that is not started yet.
    pub(super) fn new(shared: Arc<Shared>) -> Maintenance {
        Maintenance { shared, thread: Mutex::default() }
    }

    /// Removes a folder once `delay_ms` have passed.
    pub(super) fn remove_later(&self, dir: Arc<LogDir>, folder: PathBuf, delay_ms: i64) {
        let due = Instant::now() + Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0));
        self.shared.state.lock().folders.push((due, dir, folder));
        self.shared.wake.notify_one();
    }

    /// Ends the thread, after the task in hand.
    pub(super) fn stop(&self) {
        self.shared.state.lock().stopping = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the maintenance thread has panicked");
        }
    }
}

impl PartitionManager {
    /// Starts the thread.
    pub fn start_maintenance(self: &Arc<Self>, published: &Arc<Published>) -> Result<(), PartitionStartError> {
        let shared = Arc::clone(&self.maintenance.shared);
        let (manager, published) = (Arc::downgrade(self), Arc::clone(published));
        let thread = std::thread::Builder::new().name("ottla-maintenance".to_owned()).spawn(move || run(&shared, &manager, &published))?;
        *self.maintenance.thread.lock() = Some(thread);
        Ok(())
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        // Dropped by its own thread, which held the last handle for a moment: it ends by itself, as the manager is gone.
        self.shared.state.lock().stopping = true;
        self.shared.wake.notify_one();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Retention,
    RecoveryPoints,
    LogStarts,
    HighWatermarks,
    Producers,
    SegmentFiles,
}

const TASKS: [Task; 6] =
    [Task::Retention, Task::RecoveryPoints, Task::LogStarts, Task::HighWatermarks, Task::Producers, Task::SegmentFiles];

impl Task {
    fn interval(self, config: &ServerConfig) -> Duration {
        let ms = match self {
            Task::Retention => config.log_retention_check_interval_ms,
            Task::RecoveryPoints => i64::from(config.log_flush_offset_checkpoint_interval_ms),
            Task::LogStarts => i64::from(config.log_flush_start_offset_checkpoint_interval_ms),
            Task::HighWatermarks => config.replica_high_watermark_checkpoint_interval_ms,
            Task::Producers => i64::from(config.producer_id_expiration_check_interval_ms),
            Task::SegmentFiles => return REMOVAL_INTERVAL,
        };
        Duration::from_millis(u64::try_from(ms).unwrap_or(0)).max(INTERVAL_MIN)
    }
}

fn run(shared: &Shared, manager: &Weak<PartitionManager>, published: &Published) {
    let mut last = [Instant::now(); TASKS.len()];
    loop {
        // The intervals are looked up anew: some can be changed while the broker runs.
        let config = published.config();
        let due = |task: usize, last: &[Instant; TASKS.len()]| last[task] + TASKS[task].interval(&config);
        let recovery_points_due;
        let folders = {
            let mut state = shared.state.lock();
            let task_due = (0..TASKS.len()).map(|task| due(task, &last)).min();
            let next = state.folders.iter().map(|f| f.0).chain(task_due).min();
            if let Some(next) = next
                && next > Instant::now()
                && !state.stopping
                && !state.recovery_points_due
            {
                shared.wake.wait_until(&mut state, next);
            }
            if state.stopping {
                return;
            }
            recovery_points_due = std::mem::take(&mut state.recovery_points_due);
            let now = Instant::now();
            let all = std::mem::take(&mut state.folders);
            let (ready, later) = all.into_iter().partition(|f| f.0 <= now);
            state.folders = later;
            ready
        };
        for (_, dir, folder) in folders {
            remove_folder(&dir, &folder);
        }
        let Some(manager) = manager.upgrade() else { return };
        for (index, task) in TASKS.into_iter().enumerate() {
            let early = recovery_points_due && task == Task::RecoveryPoints;
            if early || due(index, &last) <= Instant::now() {
                manager.run_task(task);
                last[index] = Instant::now();
            }
        }
    }
}

fn remove_folder(dir: &LogDir, folder: &std::path::Path) {
    match dir.disk().remove_dir_all(folder) {
        Ok(()) => tracing::debug!(folder = %folder.display(), "removed a deleted partition"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // It is out of use; what could not be removed is tried again at the next start.
        Err(error) => tracing::warn!(folder = %folder.display(), "a deleted partition could not be removed: {error}"),
    }
}

impl PartitionManager {
    fn run_task(&self, task: Task) {
        for dir in self.log_dirs().iter().filter(|dir| !dir.is_offline()) {
            let partitions = dir.partitions();
            let done = match task {
                Task::Retention => self.each(&partitions, |partition| self.retain(partition)),
                Task::RecoveryPoints => {
                    dir.recovery_points_taken();
                    dir.write_checkpoint(Checkpoint::RecoveryPoints)
                }
                Task::LogStarts => dir.write_log_starts(&partitions),
                Task::HighWatermarks => dir.write_checkpoint(Checkpoint::HighWatermarks),
                Task::Producers => {
                    self.each(&partitions, |partition| partition.change_log(|log| Ok(log.expire_producers(self.clock().now()))).map(|_| ()))
                }
                Task::SegmentFiles => {
                    self.each(&partitions, |partition| partition.change_log(|log| log.remove_deleted_files(self.clock().now())).map(|_| ()))
                }
            };
            if let Err(error) = done {
                dir.note_failure("maintenance", &error);
            }
        }
    }

    fn each(&self, partitions: &[Arc<Partition>], run: impl Fn(&Arc<Partition>) -> Result<(), LogError>) -> Result<(), LogError> {
        partitions.iter().try_for_each(run)
    }

    /// Deletes the segments that `retention.ms` and `retention.bytes` make old.
    fn retain(&self, partition: &Arc<Partition>) -> Result<(), LogError> {
        let now = self.clock().now();
        let high_watermark = partition.high_watermark();
        let deleted = partition.change_log(|log| log.delete_old_segments(high_watermark, now))?;
        if let Some(old) = deleted {
            tracing::info!(
                partition = %partition.topic_partition(),
                segments = old.count,
                bytes = old.bytes,
                "deleted old segments ({:?}); the log starts at {} now",
                old.reason,
                old.log_start
            );
            partition.sync_in_background();
        }
        Ok(())
    }
}
