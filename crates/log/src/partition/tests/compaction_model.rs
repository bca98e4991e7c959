//! Compaction against a model: random histories of records, tombstones and transactions, with passes, retention, stops and kills in
//! between. `OTTLA_COMPACT_SEED` replays one.

use std::collections::{BTreeMap, BTreeSet};

use ottla_model::ProducerId;
use ottla_wire::batch::{BatchView, DecompressLimits, EndTxnMarker, TxnResult, control_batch};

use super::compaction::{Random, compact};
use super::*;
use crate::compact::MapLimits;
use crate::segment::FileKind;

const SEEDS: u64 = 60;
const STEPS: usize = 160;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Committed,
    Aborted,
    Open,
}

#[derive(Clone, Debug)]
struct Written {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    decision: Decision,
    /// When a pass first had it below its end.
    compacted_at: Option<i64>,
}

#[derive(Default)]
struct Producer {
    sequence: i32,
    open: Vec<i64>,
}

struct History {
    disk: MemDisk,
    config: LogConfig,
    log: Option<PartitionLog>,
    random: Random,
    now: i64,
    written: BTreeMap<i64, Written>,
    producers: BTreeMap<i64, Producer>,
    what: String,
}

fn key(n: u64) -> Vec<u8> {
    format!("key-{n}").into_bytes()
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Random(seed);
        let config = LogConfig {
            segment_bytes: 900 + random.below(1500) as u32,
            index_interval_bytes: random.below(400) as u32,
            cleanup_compact: true,
            cleanup_delete: random.below(3) == 0,
            retention_bytes: 6_000,
            retention_ms: -1,
            delete_retention_ms: random.below(3) as i64 * 500,
            file_delete_delay_ms: 0,
            ..LogConfig::default()
        };
        let disk = MemDisk::new();
        let log = Some(new_log(&disk, config.clone()));
        let what = format!("OTTLA_COMPACT_SEED={seed}");
        History { disk, config, log, random, now: NOW.0, written: BTreeMap::new(), producers: BTreeMap::new(), what }
    }

    fn log(&mut self) -> &mut PartitionLog {
        self.log.as_mut().unwrap()
    }

    /// `producer`: 0 is none, from 10 on they write in transactions.
    fn append(&mut self, producer: i64) {
        let count = 1 + self.random.below(4);
        let codec = Compression::from_id(self.random.below(5) as u8).unwrap();
        let mut builder = BatchBuilder::new(codec, usize::MAX);
        if producer > 0 {
            builder = builder.producer(producer, 0, self.producers.entry(producer).or_default().sequence);
        }
        if producer >= 10 {
            builder = builder.transactional();
        }
        let mut records = Vec::new();
        for _ in 0..count {
            self.now += 1;
            let key = key(self.random.below(12));
            let value = (self.random.below(5) > 0).then(|| vec![self.random.below(256) as u8; self.random.below(60) as usize]);
            builder.append(self.now, Some(&key), value.as_deref(), &[]).unwrap();
            records.push((key, value, self.now));
        }
        let bytes = builder.build().unwrap();
        let now = TimestampMs(self.now);
        let base = self.log().append_as_leader(&bytes, EPOCH, AppendOrigin::Unverified, now).unwrap().base_offset.0;
        let decision = if producer >= 10 { Decision::Open } else { Decision::Committed };
        for (offset, (key, value, timestamp)) in (base..).zip(records) {
            self.written.insert(offset, Written { key, value, timestamp, decision, compacted_at: None });
            if producer >= 10 {
                self.producers.get_mut(&producer).unwrap().open.push(offset);
            }
        }
        if let Some(known) = self.producers.get_mut(&producer) {
            known.sequence += count as i32;
        }
    }

    fn end_transaction(&mut self, producer: i64) {
        let Some(known) = self.producers.get_mut(&producer).filter(|p| !p.open.is_empty()) else { return };
        let (result, decision) = match self.random.below(2) {
            0 => (TxnResult::Commit, Decision::Committed),
            _ => (TxnResult::Abort, Decision::Aborted),
        };
        for offset in std::mem::take(&mut known.open) {
            self.written.get_mut(&offset).unwrap().decision = decision;
        }
        let marker = control_batch(EndTxnMarker { result, coordinator_epoch: 1 }, self.now, producer, 0).unwrap();
        let now = TimestampMs(self.now);
        self.log().append_as_leader(&marker, EPOCH, AppendOrigin::Coordinator, now).unwrap();
    }

    fn compact(&mut self) {
        let now = TimestampMs(self.now);
        let bytes_max = if self.random.below(2) == 0 { 24 * 12 } else { 1 << 20 };
        let log = self.log();
        let end = log.log_end_offset();
        log.on_high_watermark(end);
        let from = log.compacted_upto();
        let need = log.compaction_need(end, now).unwrap().unwrap();
        if need.dirty_bytes == 0 {
            return;
        }
        let stats = compact(log, MapLimits { bytes_max, load_factor: 0.9 }, now).unwrap();
        let upto = log.compacted_upto();
        assert!(upto > from && upto <= need.first_uncleanable, "{from} to {upto}");
        assert_eq!(stats.is_partial, upto < need.first_uncleanable);
        for (_, written) in self.written.range_mut(..upto.0) {
            written.compacted_at.get_or_insert(now.0);
        }
        self.check();
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=6 => self.append(0),
            7..=9 => {
                let producer = 1 + self.random.below(3) as i64;
                self.append(producer);
            }
            10..=14 => {
                let producer = 10 + self.random.below(3) as i64;
                self.append(producer);
            }
            15..=17 => {
                let producer = 10 + self.random.below(3) as i64;
                self.end_transaction(producer);
            }
            18 => {
                self.log().sync_all().unwrap();
                self.compact();
            }
            19 => self.compact(),
            20 => self.now += self.random.below(800) as i64,
            21 => {
                let (now, log) = (TimestampMs(self.now), self.log());
                log.delete_old_segments(log.durable_end(), now).unwrap();
                log.remove_deleted_files(now).unwrap();
            }
            22 => self.reopen(),
            _ => {
                let now = TimestampMs(self.now);
                self.log().roll(now).unwrap();
            }
        }
    }

    fn reopen(&mut self) {
        let log = self.log.take().unwrap();
        let compacted_upto = log.compacted_upto();
        let clean = self.random.below(2) == 0;
        let hints = OpenHints {
            clean,
            recovery_point: Some(Offset(self.random.below(log.durable_end().0 as u64 + 1) as i64)),
            log_start: Some(log.log_start_offset()),
            compacted_upto: Some(compacted_upto),
            ..OpenHints::default()
        };
        let end = log.log_end_offset();
        if clean {
            log.close_cleanly().unwrap();
        } else {
            drop(log);
            self.disk = self.disk.kill();
        }
        let opened = PartitionLog::open(Arc::new(self.disk.clone()), Path::new(DIR), self.config.clone(), hints, TimestampMs(self.now));
        let (log, recovery) = opened.unwrap();
        assert_eq!((log.log_end_offset(), recovery.torn, recovery.segments_removed), (end, None, 0), "{}", self.what);
        assert_eq!(log.compacted_upto(), compacted_upto.max(log.log_start_offset()));
        self.log = Some(log);
    }

    /// What the log has, by offset: all records but markers; and its control batches.
    fn stored(&self) -> BTreeMap<i64, Written> {
        let log = self.log.as_ref().unwrap();
        let mut stored = BTreeMap::new();
        for (batch, _) in fetch(log, log.log_start_offset(), 1 << 20) {
            let view = BatchView::new(&batch).unwrap();
            if view.is_control() {
                continue;
            }
            for record in &view.records(&DecompressLimits::default()).unwrap() {
                let r = record.unwrap();
                let value = r.value.map(<[u8]>::to_vec);
                let (key, timestamp) = (r.key.unwrap().to_vec(), r.timestamp);
                stored.insert(r.offset, Written { key, value, timestamp, decision: Decision::Open, compacted_at: None });
            }
        }
        stored
    }

    fn check(&mut self) {
        let what = self.what.clone();
        let log = self.log.as_ref().unwrap();
        let (start, upto) = (log.log_start_offset().0, log.compacted_upto().0);
        let stored = self.stored();
        for (offset, found) in stored.range(start..) {
            let written = self.written.get(offset).unwrap_or_else(|| panic!("{what}: nothing was written at {offset}"));
            assert_eq!((&found.key, &found.value, found.timestamp), (&written.key, &written.value, written.timestamp), "{what}: {offset}");
        }
        // From the newest back: which keys were met.
        let (mut met, mut met_below) = (BTreeSet::new(), BTreeSet::new());
        for (offset, written) in self.written.range(start..).rev() {
            let is_there = stored.contains_key(offset);
            match written.decision {
                Decision::Aborted => assert!(!is_there || *offset >= upto, "{what}: aborted {offset} is there, compacted up to {upto}"),
                Decision::Open => assert!(is_there, "{what}: {offset} is not decided and gone"),
                Decision::Committed => {
                    let may_be_forgotten =
                        written.value.is_none() && written.compacted_at.is_some_and(|at| self.now >= at + self.config.delete_retention_ms);
                    if met.insert(&written.key) || *offset >= upto {
                        let is_newest = "the newest of its key, or not compacted yet";
                        assert!(is_there || may_be_forgotten, "{what}: {offset} is gone, {is_newest}; compacted up to {upto}");
                    }
                    if *offset < upto && !met_below.insert(&written.key) {
                        assert!(!is_there, "{what}: {offset} was superseded, and is there after a pass up to {upto}");
                    }
                }
            }
        }
        self.check_consumers();
        self.check_producers();
    }

    /// A consumer of committed records sees the newest value of every key that was written where it began or later.
    fn check_consumers(&mut self) {
        let (start, end) = (self.log().log_start_offset(), self.log().log_end_offset());
        let stable = self.log().last_stable_offset(end);
        for _ in 0..4 {
            let from = start.0 + self.random.below((stable.0 - start.0 + 1) as u64) as i64;
            let max_bytes = [1, 300, 1 << 20][self.random.below(3) as usize];
            let seen = consume(self.log.as_ref().unwrap(), Offset(from), stable, max_bytes);
            let mut expected: BTreeMap<&[u8], (i64, Option<&[u8]>)> = BTreeMap::new();
            for (offset, written) in self.written.range(from..stable.0) {
                if written.decision == Decision::Committed {
                    expected.insert(&written.key, (*offset, written.value.as_deref()));
                }
            }
            for (key, (offset, value)) in &expected {
                let got = seen.get(*key).and_then(|v| v.as_deref());
                let what = format!("{}: from {from} to {stable}, {} at {offset}", self.what, String::from_utf8_lossy(key));
                assert_eq!(got, *value, "{what}");
            }
            assert!(seen.keys().all(|key| expected.contains_key(&key[..])), "{}: what nobody wrote", self.what);
        }
    }

    /// What is remembered of producers is what the batches tell.
    fn check_producers(&self) {
        let log = self.log.as_ref().unwrap();
        let disk = self.disk.fork();
        for entry in disk.list_dir(Path::new(DIR)).unwrap() {
            if matches!(FileKind::parse(&entry.name), Some((FileKind::Snapshot, _))) {
                disk.remove_file(&Path::new(DIR).join(entry.name)).unwrap();
            }
        }
        let (told, _) = reopen(&disk, self.config.clone(), OpenHints::default());
        let of = |log: &PartitionLog| log.producers.last_batches().map(|(id, epoch, last)| (id, (epoch, last))).collect::<BTreeMap<_, _>>();
        let told_of = of(&told);
        for (id, known) in of(log) {
            // Retention takes batches, and with them what they tell.
            if known.1.is_some_and(|last| last >= log.log_start_offset()) {
                assert_eq!(told_of.get(&id), Some(&known), "{}", self.what);
                assert_eq!(told.open_transaction(id), log.open_transaction(id), "{}", self.what);
            }
        }
    }
}

/// All batches from `from` on, with the fetch's end.
fn fetch(log: &PartitionLog, from: Offset, max_bytes: u32) -> Vec<(Vec<u8>, Offset)> {
    let (mut next, end, mut all) = (from, log.log_end_offset(), Vec::new());
    while next < end {
        let out = log.read(next, end, max_bytes, true).unwrap();
        let bytes = bytes_of(&out);
        let before = next;
        for batch in Batches::strict(&bytes) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            next = Offset(batch.last_offset() + 1);
            all.push((batch.bytes().to_vec(), out.next_offset));
        }
        assert!(next > before, "nothing to read at {next}");
    }
    all
}

/// What Kafka's consumer makes of a log with `isolation.level=read_committed`: the newest value of each key.
fn consume(log: &PartitionLog, from: Offset, upto: Offset, max_bytes: u32) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let (mut next, mut seen) = (from, BTreeMap::new());
    while next < upto {
        let out = log.read(next, upto, max_bytes, true).unwrap();
        let bytes = bytes_of(&out);
        let batches: Vec<BatchView<'_>> = Batches::strict(&bytes).map(Result::unwrap).collect();
        let Some(last) = batches.last() else { break };
        let after = Offset(last.last_offset() + 1);
        let mut to_come = log.aborted_transactions(next, after).unwrap();
        to_come.sort_by_key(|txn| txn.first_offset);
        let mut to_come = to_come.into_iter().peekable();
        let mut aborted: BTreeSet<ProducerId> = BTreeSet::new();
        for batch in batches {
            while let Some(txn) = to_come.next_if(|txn| txn.first_offset.0 <= batch.last_offset()) {
                aborted.insert(txn.producer_id);
            }
            let producer = ProducerId(batch.producer_id());
            if batch.is_control() {
                let records = batch.records(&DecompressLimits::default()).unwrap();
                if let Some(marker) = records.iter().next().and_then(|r| EndTxnMarker::read(&r.unwrap()).unwrap())
                    && marker.result == TxnResult::Abort
                {
                    aborted.remove(&producer);
                }
                continue;
            }
            if batch.is_transactional() && aborted.contains(&producer) {
                continue;
            }
            for record in &batch.records(&DecompressLimits::default()).unwrap() {
                let r = record.unwrap();
                if r.offset >= next.0 {
                    seen.insert(r.key.unwrap().to_vec(), r.value.map(<[u8]>::to_vec));
                }
            }
        }
        next = after;
    }
    seen
}

#[test]
fn random_histories_keep_the_newest_of_each_key_and_no_more() {
    let one = number("OTTLA_COMPACT_SEED");
    let (mut passes, mut gone) = (0, 0);
    for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let mut history = History::new(seed);
        println!("{}", history.what);
        for _ in 0..STEPS {
            history.step();
        }
        history.log().sync_all().unwrap();
        let now = TimestampMs(history.now);
        history.log().roll(now).unwrap();
        history.log().sync_all().unwrap();
        for _ in 0..4 {
            history.compact();
            history.now += 700;
            // Something new, or nothing is dirty.
            history.append(0);
            let now = TimestampMs(history.now);
            history.log().roll(now).unwrap();
            history.log().sync_all().unwrap();
            passes += 1;
        }
        history.check();
        gone += history.written.len() - history.stored().len();
    }
    assert!(one.is_some() || (passes > 0 && gone as u64 > SEEDS * 50), "{gone} records are gone");
}
