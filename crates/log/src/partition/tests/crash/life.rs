//! A seeded life of a log directory with one log in it: all that a broker does to it, in an order of chance.

use std::sync::Arc;

use ottla_model::{BrokerEpoch, TimestampMs};
use ottla_wire::batch::{EndTxnMarker, TxnResult, control_batch};
use parking_lot::Mutex;

use super::super::*;
use super::ledger::{Batch, Content, Ledger, Producers, Stored, end_of};
use crate::checkpoint::{
    HIGH_WATERMARKS_FILE, LOG_START_OFFSETS_FILE, OffsetCheckpoint, RECOVERY_POINTS_FILE, read_offsets, write_offsets,
};
use crate::disk::Fault;
use crate::error::{IoFailure, LogError};
use crate::log_dir::{LastShutdown, forget_clean_shutdown, last_shutdown, make_dir, mark_clean_shutdown};
use crate::partition::SyncTicket;

pub const LOG_DIR: &str = "/logs";
/// Things that are done in a life.
const DEEDS: u64 = 22;

/// Chance (SplitMix64), the same for a seed on every machine.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// One of several seeds at a place.
    pub fn at(seed: u64, call: u64) -> Chance {
        Chance(seed.wrapping_mul(0x1_0000_0001).wrapping_add(call.wrapping_mul(0x5851_f42d_4c95_7f2d)))
    }
}

pub fn topic_partition() -> TopicPartition {
    TopicPartition::from_folder_name("t-0").unwrap()
}

pub fn topic_id() -> TopicId {
    TopicId(Uuid::from_bytes([1; 16]))
}

/// The settings of a life.
pub fn config_of(seed: u64) -> LogConfig {
    let mut chance = Chance(seed ^ 0xc0_ffee);
    LogConfig {
        segment_bytes: 700 + chance.below(900) as u32,
        index_interval_bytes: 60 + chance.below(200) as u32,
        segment_ms: if chance.below(3) == 0 { 60 } else { i64::MAX },
        retention_bytes: if chance.below(2) == 0 { 1500 } else { -1 },
        retention_ms: if chance.below(2) == 0 { 90 } else { -1 },
        file_delete_delay_ms: if chance.below(2) == 0 { 0 } else { 30 },
        ..LogConfig::default()
    }
}

/// A log and what the checkpoints of its directory said of it.
pub struct Booted {
    pub log: PartitionLog,
    pub recovery: Recovery,
    pub recovery_point: Option<Offset>,
    pub high_watermark: Option<Offset>,
    pub log_start: Option<Offset>,
}

/// Starts as the broker does. `None`: there is no such log.
pub fn boot(disk: &MemDisk, config: LogConfig, now: TimestampMs) -> Result<Option<Booted>, LogError> {
    let dir = Path::new(LOG_DIR);
    let folders = match disk.list_dir(dir) {
        Ok(folders) => folders,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IoFailure { doing: "list", path: dir.to_owned(), source }.into()),
    };
    let clean = matches!(last_shutdown(disk, dir)?, LastShutdown::Clean(_));
    forget_clean_shutdown(disk, dir)?;
    let read = |file: &str| Ok::<_, LogError>(read_offsets(disk, &dir.join(file))?.get(&topic_partition()).copied());
    let recovery_point = read(RECOVERY_POINTS_FILE)?;
    let high_watermark = read(HIGH_WATERMARKS_FILE)?;
    let log_start = read(LOG_START_OFFSETS_FILE)?;
    if !folders.iter().any(|entry| entry.is_dir) {
        return Ok(None);
    }
    let hints = OpenHints { recovery_point, clean, log_start, high_watermark, ..OpenHints::default() };
    let (log, recovery) = PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), config, hints, now)?;
    Ok(Some(Booted { log, recovery, recovery_point, high_watermark, log_start }))
}

/// Why a life ended before its time.
#[derive(Debug)]
#[expect(dead_code, reason = "for who reads the message of a failed test")]
pub struct Ended(String);

impl From<LogError> for Ended {
    fn from(error: LogError) -> Ended {
        Ended(error.to_string())
    }
}

pub struct Life {
    disk: MemDisk,
    config: LogConfig,
    chance: Chance,
    ledger: Arc<Mutex<Ledger>>,
    now: TimestampMs,
    epoch: LeaderEpoch,
    log: PartitionLog,
    high_watermark: Offset,
    /// A sync that was begun, and how many cuts there were then.
    ticket: Option<(SyncTicket, usize)>,
}

/// Lives a seed's life on a disk. `Err`: the disk did not allow more.
pub fn live(disk: &MemDisk, seed: u64, ledger: &Arc<Mutex<Ledger>>) -> Result<Life, Ended> {
    let config = config_of(seed);
    make_dir(disk, Path::new(LOG_DIR))?;
    let mut log = PartitionLog::create(Arc::new(disk.clone()), Path::new(DIR), topic_partition(), topic_id(), config.clone(), NOW)?;
    log.sync.snapshot_interval_bytes = 600;
    log.sync_all()?;
    ledger.lock().created = true;
    let mut life = Life {
        disk: disk.clone(),
        config,
        chance: Chance(seed),
        ledger: Arc::clone(ledger),
        now: NOW,
        epoch: LeaderEpoch(0),
        log,
        high_watermark: Offset(0),
        ticket: None,
    };
    for _ in 0..DEEDS {
        life.do_something()?;
        life.check_service()?;
    }
    Ok(life)
}

impl Life {
    fn do_something(&mut self) -> Result<(), Ended> {
        self.now = TimestampMs(self.now.0 + self.chance.below(12) as i64);
        let deed = self.chance.below(32);
        if std::env::var_os("OTTLA_CRASH").is_some() {
            let (start, end, durable) = (self.log.log_start_offset(), self.log.log_end_offset(), self.log.durable_end());
            println!("call {}: deed {deed}, log from {start} to {end}, durable {durable}", self.disk.calls());
        }
        match deed {
            0..=9 => self.produce(),
            10..=12 => self.end_transaction(),
            13 => self.follow(),
            14 | 15 => self.begin_sync(),
            16..=20 => self.sync(),
            21 | 22 => self.retain(),
            23 => self.delete_records(),
            24..=26 => {
                self.checkpoint(RECOVERY_POINTS_FILE);
            }
            27 => {
                self.checkpoint(HIGH_WATERMARKS_FILE);
            }
            28 | 29 => self.cut()?,
            30 => self.restart()?,
            _ => self.stop_and_start()?,
        }
        Ok(())
    }

    /// A log that gave up must say so to everyone; one that did not must take more.
    fn check_service(&mut self) -> Result<(), Ended> {
        let Some(cause) = self.log.failure().map(str::to_owned) else { return Ok(()) };
        assert!(matches!(self.log.begin_sync(), Err(LogError::Failed { .. })), "a sync is tried again after: {cause}");
        let refused = self.log.append_as_leader(&batch(1, 1), self.epoch, AppendOrigin::Unverified, self.now);
        assert!(matches!(refused, Err(AppendError::Log(LogError::Failed { .. }))), "{refused:?} after: {cause}");
        Err(Ended(cause))
    }

    fn producers(&self) -> Producers {
        Producers::of(&self.ledger.lock().current)
    }

    /// Has the log take a batch that it will place at its end.
    fn append(&mut self, bytes: Vec<u8>, origin: AppendOrigin) {
        let base = self.log.log_end_offset();
        let placed = Batch::placed(bytes.clone(), base, self.epoch);
        self.ledger.lock().in_flight = vec![Arc::clone(&placed)];
        let appended = self.log.append_as_leader(&bytes, self.epoch, origin, self.now);
        let mut ledger = self.ledger.lock();
        match appended {
            Ok(appended) => {
                assert_eq!((appended.base_offset, appended.duplicate), (base, false), "offsets are dense");
                ledger.taken();
            }
            Err(AppendError::Log(_)) if self.log.failure().is_none() => {
                assert_eq!(self.log.log_end_offset(), base, "a refused append moved the end");
                ledger.in_flight.clear();
            }
            // What a log that gave up holds is not known.
            Err(AppendError::Log(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn produce(&mut self) {
        let (who, count) = (1 + self.chance.below(3) as i64, 1 + self.chance.below(4) as usize);
        if self.chance.below(6) == 0 {
            self.epoch = LeaderEpoch(self.epoch.0 + 1);
        }
        let producer = self.producers().known.remove(&who).unwrap_or_default();
        if let Some(last) = producer.last.filter(|_| self.chance.below(5) == 0) {
            let again = self.log.append_as_leader(&last.sent(), self.epoch, AppendOrigin::Unverified, self.now);
            let again = again.unwrap_or_else(|e| panic!("what was appended, sent again: {e}"));
            assert_eq!((again.base_offset, again.duplicate), (last.base, true), "what was appended, sent again");
            return;
        }
        self.append(batch_by(who, producer.next_sequence, count, self.now), AppendOrigin::Unverified);
    }

    fn end_transaction(&mut self) {
        let who = 2 + self.chance.below(2) as i64;
        let result = if self.chance.below(2) == 0 { TxnResult::Abort } else { TxnResult::Commit };
        let marker = control_batch(EndTxnMarker { result, coordinator_epoch: 0 }, self.now.0, who, 0).unwrap();
        self.append(marker, AppendOrigin::Coordinator);
    }

    /// Several batches of a leader, as a fetch brings them.
    fn follow(&mut self) {
        let (mut base, mut next) = (self.log.log_end_offset(), self.producers().known.remove(&1).unwrap_or_default().next_sequence);
        let first = base;
        let mut fetched = Content::new();
        for _ in 0..1 + self.chance.below(3) {
            if self.chance.below(3) == 0 {
                self.epoch = LeaderEpoch(self.epoch.0 + 1);
            }
            let count = 1 + self.chance.below(3) as usize;
            fetched.push(Batch::placed(batch_by(1, next, count, self.now), base, self.epoch));
            (base, next) = (base.plus(count as i64), next + count as i32);
        }
        let bytes: Vec<u8> = fetched.iter().flat_map(|batch| batch.bytes.iter().copied()).collect();
        self.ledger.lock().in_flight = fetched;
        let outcome = self.log.append_as_follower(&bytes, self.now);
        let end = self.log.log_end_offset();
        let mut ledger = self.ledger.lock();
        match outcome {
            Ok(_) => ledger.taken(),
            Err(AppendError::Log(_)) if self.log.failure().is_none() => {
                // More than a segment holds is taken batch by batch.
                let taken = std::mem::take(&mut ledger.in_flight).into_iter().filter(|batch| batch.end <= end);
                ledger.current.extend(taken);
                assert_eq!(end, end_of(&ledger.current).max(first), "a refused append moved the end");
            }
            Err(AppendError::Log(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn begin_sync(&mut self) {
        if self.ticket.is_none() {
            let cuts = self.ledger.lock().earlier.len();
            self.ticket = self.log.begin_sync().ok().flatten().map(|ticket| (ticket, cuts));
        }
    }

    fn sync(&mut self) {
        self.begin_sync();
        let Some((mut ticket, cuts)) = self.ticket.take() else { return };
        // How it went stands in the ticket.
        let _ = match self.chance.below(4) {
            0 => SyncTicket::sync_all(std::slice::from_mut(&mut ticket), &self.disk, Path::new(LOG_DIR)),
            _ => ticket.sync(),
        };
        let Ok(durable) = self.log.finish_sync(ticket) else { return };
        {
            let mut ledger = self.ledger.lock();
            // After a restart the log begins with what a checkpoint says of it.
            ledger.durable = ledger.durable.max(durable);
            if cuts == ledger.earlier.len() {
                ledger.earlier.clear();
            }
        }
        self.high_watermark = durable;
        self.log.on_high_watermark(durable);
    }

    fn retain(&mut self) {
        if let Ok(Some(old)) = self.log.old_segments(self.high_watermark, self.now) {
            self.ledger.lock().start_max = old.log_start.max(self.log.log_start_offset());
        }
        // Deleting may get half way, or not begin.
        let done = self.log.delete_old_segments(self.high_watermark, self.now).is_ok();
        let (start, start_max) = (self.log.log_start_offset(), self.ledger.lock().start_max);
        assert!(start == start_max || (!done && start < start_max), "the log starts at {start}, not {start_max}");
        let _ = self.log.remove_deleted_files(self.now);
    }

    fn delete_records(&mut self) {
        let (start, end) = (self.log.log_start_offset(), self.high_watermark);
        if end <= start {
            return;
        }
        let to = Offset(start.0 + 1 + self.chance.below((end.0 - start.0) as u64) as i64);
        self.ledger.lock().start_max = to;
        if self.log.advance_log_start(to).is_ok() && self.checkpoint(LOG_START_OFFSETS_FILE) {
            self.ledger.lock().start = to;
        }
    }

    fn checkpoint(&mut self, file: &str) -> bool {
        let (value, of): (Offset, fn(&mut Ledger) -> &mut Stored) = match file {
            RECOVERY_POINTS_FILE => (self.log.durable_end(), |ledger| &mut ledger.recovery_point),
            HIGH_WATERMARKS_FILE => (self.high_watermark, |ledger| &mut ledger.high_watermark),
            _ => (self.log.log_start_offset(), |ledger| &mut ledger.log_start),
        };
        of(&mut self.ledger.lock()).begin(value);
        let offsets = OffsetCheckpoint::from([(topic_partition(), value)]);
        let written = write_offsets(&self.disk, &Path::new(LOG_DIR).join(file), &offsets);
        if written.is_ok() {
            let mut ledger = self.ledger.lock();
            of(&mut ledger).done();
            ledger.is_cutting &= file != RECOVERY_POINTS_FILE;
        }
        written.is_ok()
    }

    /// A follower that parted from its leader.
    fn cut(&mut self) -> Result<(), Ended> {
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        if end <= start {
            return Ok(());
        }
        let to = Offset(start.0.max(end.0 - 1 - self.chance.below(9) as i64));
        if self.ledger.lock().current.iter().any(|batch| batch.base < start && batch.end > to) {
            return Ok(());
        }
        if self.chance.below(2) == 0 {
            self.ticket = None;
        }
        self.ledger.lock().begin_cut(to);
        self.log.truncate_to(to)?;
        let end = end_of(&self.ledger.lock().current);
        assert_eq!(self.log.log_end_offset(), end, "the log was cut at {to}");
        self.high_watermark = self.high_watermark.min(end);
        // Nothing may be appended while an old recovery point stands.
        if self.checkpoint(RECOVERY_POINTS_FILE) { Ok(()) } else { Err(Ended("the recovery point could not be lowered".to_owned())) }
    }

    /// The process is killed and starts again; the machine goes on.
    fn restart(&mut self) -> Result<(), Ended> {
        self.ticket = None;
        let booted = boot(&self.disk, self.config.clone(), self.now)?;
        self.take_over(booted);
        assert_eq!(self.log.log_end_offset(), end_of(&self.ledger.lock().current), "nothing is lost when only the process dies");
        Ok(())
    }

    fn stop_and_start(&mut self) -> Result<(), Ended> {
        let mut ticket = self.log.begin_close()?;
        let _ = ticket.sync();
        let durable = self.log.finish_sync(ticket)?;
        {
            let mut ledger = self.ledger.lock();
            ledger.durable = durable;
            ledger.earlier.clear();
        }
        self.high_watermark = durable;
        let kept = [RECOVERY_POINTS_FILE, HIGH_WATERMARKS_FILE, LOG_START_OFFSETS_FILE].map(|file| self.checkpoint(file));
        self.ticket = None;
        if kept == [true; 3] {
            let start = self.log.log_start_offset();
            self.ledger.lock().start = start;
            self.log.release_files();
            mark_clean_shutdown(&self.disk, Path::new(LOG_DIR), BrokerEpoch(1))?;
            let booted = boot(&self.disk, self.config.clone(), self.now)?;
            let recovery = booted.as_ref().map(|booted| booted.recovery.clone());
            // Where the disk does not give the last batch it is opened as after an unclean stop, and has nothing to repair.
            let is_whole = recovery.as_ref().is_some_and(|found| found.clean || (found.torn.is_none() && found.segments_removed == 0));
            assert!(is_whole, "after a clean stop the log is opened as such: {recovery:?}");
            self.take_over(booted);
        }
        Ok(())
    }

    fn take_over(&mut self, booted: Option<Booted>) {
        let booted = booted.expect("the log was made");
        self.log = booted.log;
        self.log.sync.snapshot_interval_bytes = 600;
        self.high_watermark = self.high_watermark.min(self.log.durable_end());
        let mut ledger = self.ledger.lock();
        // Where it starts now is where it may start from now on.
        ledger.start_max = self.log.log_start_offset();
    }

    /// The disk is well again: if the log did not give up, it goes on as if nothing had been.
    pub fn goes_on(&mut self) {
        assert!(self.log.failure().is_none());
        let next = self.producers().known.remove(&1).unwrap_or_default().next_sequence;
        let (end, before) = (self.log.log_end_offset(), self.ledger.lock().current.len());
        self.append(batch_by(1, next, 2, self.now), AppendOrigin::Unverified);
        assert_eq!((self.log.log_end_offset(), self.ledger.lock().current.len()), (end.plus(2), before + 1), "there is room again");
        self.ticket = None;
        self.sync();
        assert_eq!(self.ledger.lock().durable, end.plus(2), "there is room again");
        let start = self.log.log_start_offset();
        let expected = self.ledger.lock().current.iter().filter(|b| b.end > start).cloned().collect::<Vec<_>>();
        let found = read_all(&self.log, start, 900);
        assert!(
            expected.iter().map(|b| (b.base, &b.bytes)).eq(found.iter().map(|(base, bytes)| (*base, bytes))),
            "the log is not what was appended"
        );
    }
}

/// A batch of a producer: the first is idempotent, the others are transactional.
pub fn batch_by(who: i64, sequence: i32, count: usize, now: TimestampMs) -> Vec<u8> {
    let builder = BatchBuilder::new(Compression::None, usize::MAX).producer(who, 0, sequence);
    let mut builder = if who == 1 { builder } else { builder.transactional() };
    for nth in 0..count {
        let value = [(sequence as u8).wrapping_mul(31).wrapping_add(nth as u8); 37];
        builder.append(now.0 + nth as i64, None, Some(&value), &[]).unwrap();
    }
    builder.build().unwrap()
}

/// A fault that leaves the log able to go on, once it is over.
pub fn is_want_of_room(fault: Fault) -> bool {
    matches!(fault, Fault::Full { .. })
}
