//! One entry of `log.dirs`: its disk, the partitions on it, and whether it still works.
//!
//! Owns the fate of the folder as a whole: the first failed write or sync takes it offline for good, since nobody can say any more
//! what its files hold. Never knows what a partition's log contains.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ottla_log::disk::Disk;
use ottla_log::{LogError, OpenHints};
use ottla_model::{DirectoryId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::apart::{Fate, SlowLane};
use super::checkpoints::Checkpoints;
use super::log_starts::LogStarts;
use super::maintenance::{self, RECOVERY_BYTES_MAX};
use super::room::Room;
use super::syncer::SyncQueue;
use super::watch::{Alarm, Calls, WatchedDisk};
use super::{LogDirSpec, Partition, Syncer};
use crate::metrics::{Found, LogDirCounts};

/// A log directory.
pub struct LogDir {
    index: usize,
    path: PathBuf,
    id: DirectoryId,
    disk: Arc<dyn Disk>,
    calls: Arc<Calls>,
    /// [`QUICK`], [`SLOW`] or [`OFFLINE`].
    state: AtomicU8,
    pub(super) fate: Fate,
    pub(super) room: Room,
    pub(super) slow_lane: SlowLane,
    /// Weak: the partition manager owns the partitions, and a partition knows its directory.
    partitions: Mutex<HashMap<TopicPartition, Weak<Partition>>>,
    /// What was found in it at start and is not open yet, or cannot be opened, with what the checkpoints said of it.
    unopened: Mutex<HashMap<TopicPartition, Unopened>>,
    pub(super) queue: SyncQueue,
    pub(super) checkpoints: Checkpoints,
    pub(super) log_starts: LogStarts,
    health: Arc<DirHealth>,
    /// Written since the recovery points were last written down.
    unrecorded_bytes: AtomicU64,
    counts: LogDirCounts,
    pub(super) maintenance: Arc<maintenance::Shared>,
}

const QUICK: u8 = 0;
/// Network threads leave it alone.
const SLOW: u8 = 1;
/// For good.
const OFFLINE: u8 = 2;

/// A log that was found and is not open.
#[derive(Clone, Copy, Debug)]
struct Unopened {
    hints: OpenHints,
    /// Its opening was begun: what a clean stop left may be changed.
    begun: bool,
}

/// How many of a broker's directories still work; tells when none is left.
#[derive(Debug)]
pub(super) struct DirHealth {
    online: AtomicUsize,
    all_failed: watch::Sender<Option<String>>,
    /// One of them has failed.
    pub(super) failed: Notify,
    /// Logs that are still to be opened, and directories that are slow: while there are any, requests look whether they have to wait.
    pub(super) unready: AtomicUsize,
}

impl DirHealth {
    pub(super) fn new(dirs: usize) -> Arc<DirHealth> {
        Arc::new(DirHealth {
            online: AtomicUsize::new(dirs),
            all_failed: watch::Sender::new(None),
            failed: Notify::new(),
            unready: AtomicUsize::new(0),
        })
    }

    /// Gets the reason once the last directory has failed.
    pub(super) fn all_failed(&self) -> watch::Receiver<Option<String>> {
        self.all_failed.subscribe()
    }
}

impl LogDir {
    /// `index`: its place in `log.dirs`.
    pub(super) fn new(index: usize, spec: LogDirSpec, disk: Arc<dyn Disk>, health: Arc<DirHealth>, alarm: &Arc<Alarm>) -> LogDir {
        let calls = Arc::new(Calls::new(Arc::clone(alarm)));
        LogDir {
            index,
            path: spec.path,
            id: spec.id,
            disk: Arc::new(WatchedDisk { inner: disk, calls: Arc::clone(&calls) }),
            calls,
            state: AtomicU8::new(QUICK),
            fate: Fate::default(),
            room: Room::default(),
            slow_lane: SlowLane::default(),
            partitions: Mutex::default(),
            unopened: Mutex::default(),
            queue: SyncQueue::default(),
            checkpoints: Checkpoints::default(),
            log_starts: LogStarts::default(),
            health,
            unrecorded_bytes: AtomicU64::new(0),
            counts: LogDirCounts::default(),
            maintenance: Arc::default(),
        }
    }

    /// Counts what is written, so that recovery after a crash has a bound.
    pub(super) fn wrote(&self, partition: &Partition, bytes: u64) {
        self.queue.wrote(partition, bytes);
        let before = self.unrecorded_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < RECOVERY_BYTES_MAX && before + bytes >= RECOVERY_BYTES_MAX {
            self.maintenance.write_recovery_points();
        }
    }

    /// The recovery points are about to be written down.
    pub(super) fn recovery_points_taken(&self) {
        self.unrecorded_bytes.store(0, Ordering::Relaxed);
    }

    /// What is counted here.
    pub fn counts(&self) -> &LogDirCounts {
        &self.counts
    }

    pub(super) fn damages_found(&self) -> u64 {
        Found::ALL.iter().map(|found| self.counts.damages(*found)).sum()
    }

    /// Starts the threads that sync this directory's partitions.
    pub(super) fn start_syncer(self: &Arc<Self>) -> std::io::Result<Syncer> {
        Syncer::start(Arc::clone(self))
    }

    /// Its place in `log.dirs`.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `directory.id` of its `meta.properties`.
    pub fn id(&self) -> DirectoryId {
        self.id
    }

    /// The file system it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Whether a write or sync failed here.
    #[inline]
    pub fn is_offline(&self) -> bool {
        self.state.load(Ordering::Acquire) == OFFLINE
    }

    /// Whether network threads are to leave it alone: one of its calls takes long, and the next may too.
    #[inline]
    pub fn is_slow(&self) -> bool {
        self.state.load(Ordering::Acquire) == SLOW
    }

    pub(super) fn become_slow(&self) {
        if self.state.compare_exchange(QUICK, SLOW, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            tracing::debug!(log_dir = %self.path.display(), "log directory is slow: requests leave the network threads");
            self.health.unready.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(super) fn become_quick(&self) {
        if self.state.compare_exchange(SLOW, QUICK, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            tracing::debug!(log_dir = %self.path.display(), "log directory is quick again");
            self.health.unready.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The calls to its disk that have not returned.
    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// Completes when it has failed.
    pub(super) async fn failed(&self) {
        loop {
            let mut failed = std::pin::pin!(self.health.failed.notified());
            // Registered first, looked at second.
            failed.as_mut().enable();
            if self.is_offline() {
                return;
            }
            failed.await;
        }
    }

    /// Takes the directory out of service: its partitions answer KAFKA_STORAGE_ERROR until the broker is restarted. Whoever waits for
    /// one of them is woken to find that out.
    pub fn fail(&self, doing: &str, error: &dyn std::error::Error) {
        match self.state.swap(OFFLINE, Ordering::AcqRel) {
            OFFLINE => return,
            SLOW => drop(self.health.unready.fetch_sub(1, Ordering::AcqRel)),
            _ => {}
        }
        tracing::error!(
            log_dir = %self.path.display(),
            "log directory is offline: {doing} failed: {error}; its partitions are not served until the disk is mended and the broker \
             restarted"
        );
        for partition in self.partitions() {
            partition.wait_list().notify_all();
        }
        self.queue.backlog.give_up();
        self.fate.notify();
        self.health.failed.notify_waiters();
        if self.health.online.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.health.all_failed.send_replace(Some(format!("all log directories have failed, {} last: {error}", self.path.display())));
        }
    }

    /// Takes the directory out of service for a failed change, but not for one that lacked room.
    pub(super) fn fail_unless_full(&self, doing: &str, error: &LogError) {
        if error.is_disk_full() {
            self.refused_by_disk();
            tracing::warn!(log_dir = %self.path.display(), "{doing} failed: {error}");
        } else {
            self.fail(doing, error);
        }
    }

    /// Draws the consequence of a failure that no client waits for: a disk that is full may have room again, any other failed write says
    /// that it cannot be trusted.
    pub(super) fn note_failure(&self, doing: &str, error: &LogError) {
        match error {
            LogError::Io(error) if !error.is_disk_full() => self.fail(doing, error),
            // Told once, when it began.
            error if error.is_disk_full() && self.is_full() => {
                tracing::debug!(log_dir = %self.path.display(), "{doing} has to wait for room: {error}");
            }
            error => tracing::warn!(log_dir = %self.path.display(), "{doing} failed and will be tried again: {error}"),
        }
    }

    /// The same for a log that cannot be opened.
    pub(super) fn note_open_failure(&self, error: &LogError) {
        if let LogError::BadFile { .. } = error {
            self.counts.damage_found(Found::Recovery);
        }
        if let LogError::Io(error) = error
            && !error.is_disk_full()
        {
            self.fail("opening a partition", error);
        }
    }

    pub(super) fn set_unopened(&self, found: impl Iterator<Item = (TopicPartition, OpenHints)>) {
        *self.unopened.lock() = found.map(|(name, hints)| (name, Unopened { hints, begun: false })).collect();
    }

    pub(super) fn begin_opening(&self, name: &TopicPartition) {
        if let Some(unopened) = self.unopened.lock().get_mut(name) {
            unopened.begun = true;
        }
    }

    /// It is open, and among the partitions; or it is gone.
    pub(super) fn forget_unopened(&self, name: &TopicPartition) {
        self.unopened.lock().remove(name);
    }

    /// What the checkpoints said of the logs that are not open: still true, and still to be said.
    pub(super) fn unopened(&self) -> Vec<(TopicPartition, OpenHints)> {
        self.unopened.lock().iter().map(|(name, unopened)| (name.clone(), unopened.hints)).collect()
    }

    /// A log that is not open and not known to be as a clean stop left it.
    pub(super) fn unclean_example(&self) -> Option<TopicPartition> {
        self.unopened.lock().iter().find(|(_, unopened)| unopened.begun || !unopened.hints.clean).map(|(name, _)| name.clone())
    }

    /// The partitions on it.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// How many partitions are on it: a new one goes to the directory with the fewest.
    pub fn partition_count(&self) -> usize {
        self.partitions.lock().len() + self.unopened.lock().len()
    }

    /// As long as what this gives lives, nothing in here is synced.
    #[cfg(test)]
    pub(crate) fn hold_syncs(&self) -> HeldSyncs<'_> {
        HeldSyncs { _round: self.queue.in_round.lock() }
    }

    pub(super) fn add(&self, partition: &Arc<Partition>) {
        self.partitions.lock().insert(partition.topic_partition().clone(), Arc::downgrade(partition));
    }

    pub(super) fn remove(&self, partition: &Partition) {
        self.partitions.lock().remove(partition.topic_partition());
    }
}

/// See [`LogDir::hold_syncs`].
#[cfg(test)]
pub(crate) struct HeldSyncs<'a> {
    _round: parking_lot::MutexGuard<'a, ()>,
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDir")
            .field("path", &self.path)
            .field("id", &self.id)
            .field("offline", &self.is_offline())
            .finish_non_exhaustive()
    }
}
