//! One partition on this broker.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use ottla_log::{
    AbortedTxn, AppendError, AppendOrigin, Appended, CHECK_BYTES_MAX, IoFailure, LogError, PartitionLog, ReadError, SyncTicket,
};
use ottla_model::{Acks, LeaderEpoch, NodeId, Offset, TimestampMs, TopicId, TopicPartition};
use ottla_wire::{ErrorCode, RecordFragment};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::apart::may_be_held_up;
use super::syncer::SyncMark;
use super::{DeleteRecordsError, LogDir, NotServing, TopicSettings};
use crate::metrics::Found;
use crate::purgatory::{Wait, WaitEnd, WaitList};

/// Which records a consumer may see (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything below the high watermark.
    ReadUncommitted,
    /// Everything below the last stable offset.
    ReadCommitted,
}

impl Isolation {
    /// The isolation of a request. Kafka takes 1 for read_committed and everything else for read_uncommitted.
    pub const fn from_wire(v: i8) -> Isolation {
        if v == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
    }
}

/// Who leads a partition, and in which term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The leader; [`NodeId::NONE`] when there is none.
    pub leader: NodeId,
    /// Its term.
    pub epoch: LeaderEpoch,
}

impl Leadership {
    pub(super) const fn pack(self) -> u64 {
        ((self.leader.0 as u32 as u64) << 32) | self.epoch.0 as u32 as u64
    }

    pub(super) const fn unpack(packed: u64) -> Leadership {
        Leadership { leader: NodeId((packed >> 32) as i32), epoch: LeaderEpoch(packed as u32 as i32) }
    }
}

/// A partition whose log is on this broker.
pub struct Partition {
    topic_partition: TopicPartition,
    topic_id: TopicId,
    node: NodeId,
    dir: Arc<LogDir>,
    log: Mutex<PartitionLog>,
    waits: Arc<WaitList>,
    sync_mark: SyncMark,
    life: AtomicU8,
    leadership: AtomicU64,
    isr_size: AtomicI32,
    min_insync_replicas: AtomicI32,
    write_caching: AtomicBool,
    /// Where the log ended when it was opened.
    found_end: Offset,
    // Copies of what the log says, so that a look at them needs no lock. Written under the log's lock, but for the high watermark,
    // which only rises (fetch_max).
    high_watermark: AtomicI64,
    log_start: AtomicI64,
    log_end: AtomicI64,
}

/// How often whoever waits for a log's lock looks whether the directory has failed meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(50);

const ALIVE: u8 = 0;
const DELETED: u8 = 1;

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset there is.
    pub log_start: Offset,
    /// First offset a consumer does not see yet.
    pub high_watermark: Offset,
    /// First offset that is not written yet.
    pub log_end: Offset,
}

/// What a fetch gets from one partition.
#[derive(Debug)]
pub struct PartitionRead {
    /// Whole batches, in order.
    pub records: Vec<RecordFragment>,
    /// Bytes in `records`.
    pub bytes: usize,
    /// First offset a consumer does not see yet.
    pub high_watermark: Offset,
    /// First offset a read_committed consumer does not see yet.
    pub last_stable_offset: Offset,
    /// First offset there is.
    pub log_start: Offset,
    /// Aborted transactions with records in here, which a read_committed consumer has to skip.
    pub aborted: Vec<AbortedTxn>,
    /// Bytes that were held against their CRC for this.
    pub checked_bytes: u32,
    /// There is more to read at once, which has to be checked first: see [`Partition::read_checking`].
    pub is_cut_short: bool,
}

/// What an append is for.
#[derive(Clone, Copy, Debug)]
pub struct AppendOptions {
    /// What the producer waits for: decides how soon its data is synced.
    pub acks: Acks,
    /// Who writes.
    pub origin: AppendOrigin,
    /// The broker's clock.
    pub now: TimestampMs,
}

impl Partition {
    pub(super) fn new(
        topic_partition: TopicPartition,
        topic_id: TopicId,
        node: NodeId,
        dir: Arc<LogDir>,
        log: PartitionLog,
        settings: &TopicSettings,
    ) -> Partition {
        let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
        let visible = if settings.write_caching { log_end } else { log.durable_end() };
        Partition {
            topic_partition,
            topic_id,
            node,
            dir,
            waits: Arc::default(),
            sync_mark: SyncMark::default(),
            life: AtomicU8::new(ALIVE),
            leadership: AtomicU64::new(Leadership { leader: NodeId::NONE, epoch: LeaderEpoch::NONE }.pack()),
            isr_size: AtomicI32::new(0),
            min_insync_replicas: AtomicI32::new(settings.min_insync_replicas),
            write_caching: AtomicBool::new(settings.write_caching),
            found_end: log_end,
            high_watermark: AtomicI64::new(visible.max(log_start).0),
            log_start: AtomicI64::new(log_start.0),
            log_end: AtomicI64::new(log_end.0),
            log: Mutex::new(log),
        }
    }

    /// Its name.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The id of its topic.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Where its folder is.
    pub fn log_dir(&self) -> &Arc<LogDir> {
        &self.dir
    }

    /// Those who wait for its high watermark.
    pub fn wait_list(&self) -> &Arc<WaitList> {
        &self.waits
    }

    /// Who leads it, as the image last said.
    pub fn leadership(&self) -> Leadership {
        Leadership::unpack(self.leadership.load(Ordering::Acquire))
    }

    /// The high watermark.
    #[inline]
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Where it stands. The three are read one after another; each is true at some moment of the call, and they are in order.
    pub fn watermarks(&self) -> Watermarks {
        let log_start = Offset(self.log_start.load(Ordering::Acquire));
        let high_watermark = self.high_watermark();
        let log_end = Offset(self.log_end.load(Ordering::Acquire));
        Watermarks { log_start, high_watermark: high_watermark.max(log_start), log_end: log_end.max(high_watermark) }
    }

    /// Where the log ended when it was opened. Until the high watermark is there, it may be below what clients were told before the crash: of
    /// what the log has, it is not known yet what is durable.
    pub fn found_end(&self) -> Offset {
        self.found_end
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.life.load(Ordering::Acquire) != ALIVE
    }

    /// Whether this broker may serve it as its leader, to a client that believes in `believed_epoch` (negative: in any).
    #[inline]
    pub fn check_leader(&self, believed_epoch: LeaderEpoch) -> Result<(), NotServing> {
        if self.dir.is_slow() && !may_be_held_up() {
            return Err(NotServing::Busy);
        }
        self.check_led(believed_epoch)
    }

    /// The same, for who only waits for it: that its disk is slow is no reason not to.
    #[inline]
    pub fn check_led(&self, believed_epoch: LeaderEpoch) -> Result<(), NotServing> {
        if self.is_deleted() {
            return Err(NotServing::UnknownPartition);
        }
        if self.dir.is_offline() {
            return Err(NotServing::Offline);
        }
        let Leadership { leader, epoch } = self.leadership();
        if believed_epoch.0 >= 0 {
            // As in Kafka, the epoch is looked at first: a client with a newer epoch must not be told to look for a leader elsewhere.
            if believed_epoch < epoch {
                return Err(NotServing::FencedLeaderEpoch { current: Leadership { leader, epoch } });
            }
            if believed_epoch > epoch {
                return Err(NotServing::UnknownLeaderEpoch);
            }
        }
        if leader != self.node {
            return Err(NotServing::NotLeader { current: Leadership { leader, epoch } });
        }
        Ok(())
    }

    /// Whether enough replicas are in sync for acks=all (`min.insync.replicas`).
    pub fn has_enough_replicas(&self) -> bool {
        self.isr_size.load(Ordering::Acquire) >= self.min_insync_replicas.load(Ordering::Acquire)
    }

    /// Appends as the leader. The caller has asked [`Partition::check_leader`].
    pub fn append(self: &Arc<Self>, records: &[u8], options: AppendOptions) -> Result<Appended, AppendError> {
        let AppendOptions { acks, origin, now } = options;
        self.dir.admit(records.len(), now)?;
        let (appended, log_end) = {
            let mut log = self.log.lock();
            if self.is_deleted() {
                // Its folder may have another name already.
                return Err(LogError::Failed { dir: log.dir().to_owned(), cause: "the topic was deleted".to_owned() }.into());
            }
            let epoch = self.leadership().epoch;
            match log.append_as_leader(records, epoch, origin, now) {
                // It took so long that the directory was given up. Nobody is told that it was written.
                Ok(_) if self.dir.is_offline() => {
                    return Err(LogError::Failed { dir: log.dir().to_owned(), cause: "its log directory is offline".to_owned() }.into());
                }
                Ok(appended) => {
                    let end = log.log_end_offset();
                    self.log_end.store(end.0, Ordering::Release);
                    if self.write_caching.load(Ordering::Relaxed) {
                        log.on_high_watermark(end);
                    }
                    (appended, end)
                }
                Err(error) => {
                    drop(log);
                    return Err(self.take_offline_if_broken(error));
                }
            }
        };
        self.dir.taken_by_disk();
        self.dir.wrote(self, u64::from(appended.bytes));
        if self.write_caching.load(Ordering::Relaxed) {
            self.raise_high_watermark(log_end);
            self.dir.queue.sync_in_background(self, u64::from(appended.bytes));
        } else if acks == Acks::All || self.waits.is_awaited(log_end) {
            self.dir.queue.sync_now(self);
        } else {
            self.dir.queue.sync_in_background(self, u64::from(appended.bytes));
        }
        Ok(appended)
    }

    /// A disk that is full may have room again; any other failed write says that the disk cannot be trusted. Gives what the producer is told.
    fn take_offline_if_broken(&self, error: AppendError) -> AppendError {
        match &error {
            AppendError::Log(LogError::Io(failure)) if failure.is_disk_full() => {
                tracing::debug!(partition = %self.topic_partition, "append refused: {failure}");
                return self.dir.refused_by_disk().into();
            }
            AppendError::Log(LogError::Io(failure)) => self.dir.fail("append", failure),
            AppendError::Log(
                LogError::NoRoom { .. }
                | LogError::Failed { .. }
                | LogError::BadFile { .. }
                | LogError::BadFolderName(_)
                | LogError::OffsetOutOfRange { .. },
            )
            | AppendError::Batch(_)
            | AppendError::InvalidRecord { .. }
            | AppendError::TooLarge { .. }
            | AppendError::LargerThanSegment { .. }
            | AppendError::InvalidTimestamp { .. }
            | AppendError::OutOfOrderSequence { .. }
            | AppendError::ProducerFenced { .. }
            | AppendError::CoordinatorFenced { .. }
            | AppendError::InvalidTxnState { .. }
            | AppendError::NotInTransaction { .. }
            | AppendError::LateMarker { .. }
            | AppendError::TimestampTypeNotTheirs
            | AppendError::NotDense { .. } => {}
        }
        error
    }

    /// Written data that somebody is waiting for gets synced at once. To be called after registering with the wait list.
    pub fn sync_if_awaited(self: &Arc<Self>) {
        let Watermarks { high_watermark, log_end, .. } = self.watermarks();
        if log_end > high_watermark && self.waits.is_awaited(log_end) {
            self.dir.queue.sync_now(self);
        }
    }

    /// Reads for a consumer from `from` on. Below `bytes_max` in all, but for the first batch when `at_least_one`.
    pub fn read(&self, from: Offset, isolation: Isolation, bytes_max: u32, at_least_one: bool) -> Result<PartitionRead, ReadError> {
        self.read_checking(from, isolation, bytes_max, at_least_one, CHECK_BYTES_MAX)
    }

    /// The same, for who reads many: of what was not checked since the broker was started, about `check_bytes_max` are.
    pub fn read_checking(
        &self,
        from: Offset,
        isolation: Isolation,
        bytes_max: u32,
        at_least_one: bool,
        check_bytes_max: u32,
    ) -> Result<PartitionRead, ReadError> {
        let Watermarks { log_start, high_watermark, log_end } = self.watermarks();
        let nothing = PartitionRead {
            records: Vec::new(),
            bytes: 0,
            high_watermark,
            last_stable_offset: high_watermark,
            log_start,
            aborted: Vec::new(),
            checked_bytes: 0,
            is_cut_short: false,
        };
        if from < log_start || from > log_end {
            return Err(ReadError::OffsetOutOfRange { start: log_start, end: log_end, asked: from });
        }
        if from >= high_watermark && isolation == Isolation::ReadUncommitted {
            // The usual case of a consumer at the end: no lock, no file.
            return Ok(nothing);
        }
        let log = self.log.lock();
        if self.is_deleted() {
            return Ok(nothing);
        }
        let last_stable_offset = log.last_stable_offset(high_watermark);
        let upto = match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => last_stable_offset,
        };
        if from >= upto || (bytes_max == 0 && !at_least_one) {
            return Ok(PartitionRead { last_stable_offset, ..nothing });
        }
        let out = match log.read_checking(from, upto, bytes_max, at_least_one, check_bytes_max) {
            Ok(out) => out,
            Err(error) => {
                drop(log);
                self.tell_damages(Found::Fetch);
                return Err(error);
            }
        };
        let aborted = match isolation {
            Isolation::ReadCommitted => log.aborted_transactions(from, out.next_offset)?,
            Isolation::ReadUncommitted => Vec::new(),
        };
        drop(log);
        if out.checked_bytes > 0 {
            self.tell_damages(Found::Fetch);
        }
        Ok(PartitionRead {
            records: out.fragments,
            bytes: out.bytes as usize,
            last_stable_offset,
            aborted,
            checked_bytes: out.checked_bytes,
            is_cut_short: out.is_cut_short,
            ..nothing
        })
    }

    /// Where a leader epoch ends in this log.
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.log.lock().epoch_end_offset(epoch)
    }

    /// Says that a read failed, where that is the disk's fault and not the client's.
    pub fn note_read_error(&self, error: &ReadError) {
        match error {
            ReadError::OffsetOutOfRange { .. } => {}
            // A consumer asks for it again and again; the place was told when it was found.
            ReadError::Damaged { .. } => tracing::debug!(partition = %self.topic_partition, "read failed: {error}"),
            ReadError::Io(_) => tracing::error!(partition = %self.topic_partition, "read failed: {error}"),
        }
    }

    /// Waits until the high watermark is at least `end`.
    pub async fn reach(&self, end: Offset, deadline: Instant) -> Result<(), ErrorCode> {
        let mut wait = Wait::new();
        loop {
            if self.high_watermark() >= end {
                return Ok(());
            }
            if let Err(why) = self.check_led(LeaderEpoch::NONE) {
                return Err(match why {
                    // The topic went while the producer waited: as in Kafka, it learns so from its next metadata.
                    NotServing::UnknownPartition => ErrorCode::NotLeaderOrFollower,
                    other => other.error_code(),
                });
            }
            wait.watch(&self.waits, end);
            // Registered first, looked at second, so that an advance in between is not missed.
            if self.high_watermark() < end
                && self.check_led(LeaderEpoch::NONE).is_ok()
                && wait.until(deadline).await == WaitEnd::DeadlinePassed
                && self.high_watermark() < end
            {
                return Err(ErrorCode::RequestTimedOut);
            }
            wait.reset();
        }
    }

    /// Looks something up in the log, under its lock: keep it short.
    pub fn with_log<T>(&self, look: impl FnOnce(&PartitionLog) -> T) -> T {
        look(&self.log.lock())
    }

    /// Changes the log, under its lock, and takes over what it says of its ends. Not that of a partition that was deleted: its folder
    /// may have another name already.
    pub(super) fn change_log<T: Default>(&self, change: impl FnOnce(&mut PartitionLog) -> Result<T, LogError>) -> Result<T, LogError> {
        let mut log = self.log.lock();
        if self.is_deleted() {
            return Ok(T::default());
        }
        let out = change(&mut log);
        self.log_start.store(log.log_start_offset().0, Ordering::Release);
        self.log_end.store(log.log_end_offset().0, Ordering::Release);
        out
    }

    /// Moves the log start up to `upto`, or to the high watermark, unless it is there already; gives where it is then. That is in memory
    /// alone until [`keep_log_starts`](super::keep_log_starts). The caller has asked [`Partition::check_leader`].
    pub fn delete_records(self: &Arc<Self>, upto: Option<Offset>) -> Result<Offset, DeleteRecordsError> {
        let log_start = {
            let mut log = self.log.lock();
            if self.is_deleted() {
                return Err(NotServing::UnknownPartition.into());
            }
            if !log.config().cleanup_delete {
                return Err(DeleteRecordsError::PolicyForbids);
            }
            let high_watermark = self.watermarks().high_watermark;
            let upto = upto.unwrap_or(high_watermark);
            if upto < Offset::ZERO || upto > high_watermark {
                return Err(DeleteRecordsError::OutOfRange { asked: upto, high_watermark });
            }
            log.advance_log_start(upto)?;
            let log_start = log.log_start_offset();
            self.log_start.store(log_start.0, Ordering::Release);
            log_start
        };
        // The leader epochs below went along.
        self.sync_in_background();
        if self.dir.is_full() {
            // Whole segments go now, and not when retention comes by.
            self.dir.maintenance.free_room();
        }
        Ok(log_start)
    }

    /// The first offset that a read_committed consumer does not see.
    pub fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.high_watermark();
        self.log.lock().last_stable_offset(high_watermark)
    }

    fn raise_high_watermark(&self, to: Offset) {
        if self.high_watermark.fetch_max(to.0, Ordering::SeqCst) < to.0 {
            self.waits.notify(to);
        }
    }

    pub(super) fn sync_mark(&self) -> &SyncMark {
        &self.sync_mark
    }

    pub(super) fn begin_sync(&self) -> Result<Option<SyncTicket>, LogError> {
        if self.is_deleted() {
            return Ok(None);
        }
        self.log.lock().begin_sync()
    }

    /// Takes over what a sync came to, and wakes who waited for it.
    pub(super) fn finish_sync(&self, ticket: SyncTicket) -> Result<(), LogError> {
        let durable = {
            let mut log = self.log.lock();
            let durable = log.finish_sync(ticket)?;
            log.on_high_watermark(self.high_watermark().max(durable));
            durable
        };
        self.raise_high_watermark(durable);
        Ok(())
    }

    /// Whether there are records that a power loss could take.
    pub(super) fn has_unsynced_records(&self) -> bool {
        let log = self.log.lock();
        log.durable_end() < log.log_end_offset()
    }

    /// A last sync, after which the log can be opened without being checked. Nothing may be appended any more.
    pub(super) fn begin_close(&self) -> Result<SyncTicket, LogError> {
        self.log.lock().begin_close()
    }

    /// Has small changes of the folder made lasting soon.
    pub(super) fn sync_in_background(self: &Arc<Self>) {
        self.dir.queue.sync_in_background(self, 0);
    }

    /// Has what is written made durable at once.
    pub fn sync_now(self: &Arc<Self>) {
        self.dir.queue.sync_now(self);
    }

    /// The log's lock, for who has other directories to care for: whoever has it may hang in a call to the disk. `None`: it does.
    fn lock_unless_offline(&self) -> Option<MutexGuard<'_, PartitionLog>> {
        loop {
            if let Some(log) = self.log.try_lock_for(LOCK_LOOK) {
                return Some(log);
            }
            if self.dir.is_offline() {
                return None;
            }
        }
    }

    /// Follows the image: who leads, in which term, and how many are in sync.
    pub(super) fn follow(&self, leadership: Leadership, isr_size: i32) {
        let before = self.leadership();
        if leadership.leader == self.node
            && (before.leader != self.node || before.epoch < leadership.epoch)
            && let Some(mut log) = self.lock_unless_offline()
        {
            log.assign_epoch_start(leadership.epoch);
        }
        self.isr_size.store(isr_size, Ordering::Release);
        self.leadership.store(leadership.pack(), Ordering::Release);
        if before != leadership {
            // Whoever waits here has to look whether this broker is still the one to wait at.
            self.waits.notify_all();
        }
    }

    /// Takes over changed configs.
    pub(super) fn configure(&self, settings: &TopicSettings) {
        if let Some(mut log) = self.lock_unless_offline() {
            log.update_config(settings.log.clone());
        }
        self.min_insync_replicas.store(settings.min_insync_replicas, Ordering::Release);
        self.write_caching.store(settings.write_caching, Ordering::Release);
        if settings.write_caching {
            self.raise_high_watermark(Offset(self.log_end.load(Ordering::Acquire)));
        }
    }

    /// Ends its life: every request finds it unknown from now on.
    pub(super) fn mark_deleted(&self) {
        self.life.store(DELETED, Ordering::Release);
        self.waits.notify_all();
    }

    /// Renames the folder of a partition that is marked deleted; gives the delay in ms after which its files may go.
    pub(super) fn move_away(&self, to: &Path) -> Result<i64, IoFailure> {
        // No sync may be on its way to a file that is about to have another name, and no append may open one.
        let _no_round = self.dir.queue.in_round.lock();
        let mut log = self.log.lock();
        log.release_files();
        let from = log.dir().to_owned();
        let renamed = self.dir.disk().rename(&from, to).and_then(|()| self.dir.disk().sync_dir(self.dir.path()));
        renamed.map_err(|source| IoFailure { doing: "rename", path: from, source })?;
        Ok(log.config().file_delete_delay_ms)
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partition")
            .field("name", &self.topic_partition)
            .field("leadership", &self.leadership())
            .field("watermarks", &self.watermarks())
            .finish_non_exhaustive()
    }
}
