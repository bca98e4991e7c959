//! The log against a list: whatever is appended, rolled and reopened, every offset is read once, in order, unchanged.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::disk::RealDisk;

#[derive(Clone, Debug)]
enum Op {
    Append { count: usize, value_len: usize, codec: u8, producer: Option<u8>, later_ms: i64 },
    AppendAgain { producer: u8 },
    Sync,
    CloseAndOpen,
    KillAndOpen,
    Read { from: u16, max_bytes: u32 },
    Wait { ms: i64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (1usize..20, 0usize..400, 0u8..5, proptest::option::of(0u8..3), 0i64..50)
            .prop_map(|(count, value_len, codec, producer, later_ms)| Op::Append { count, value_len, codec, producer, later_ms }),
        1 => (0u8..3).prop_map(|producer| Op::AppendAgain { producer }),
        1 => Just(Op::Sync),
        1 => Just(Op::CloseAndOpen),
        1 => Just(Op::KillAndOpen),
        4 => (any::<u16>(), 1u32..6000).prop_map(|(from, max_bytes)| Op::Read { from, max_bytes }),
        1 => (0i64..3000).prop_map(|ms| Op::Wait { ms }),
    ]
}

fn config() -> impl Strategy<Value = LogConfig> {
    (1000u32..20_000, 0u32..3000, 16u32..400, 200i64..5000).prop_map(|(segment_bytes, interval, index_bytes, segment_ms)| LogConfig {
        segment_bytes: segment_bytes + 10_000,
        index_interval_bytes: interval,
        segment_index_bytes: index_bytes,
        segment_ms,
        ..LogConfig::default()
    })
}

struct Model {
    /// Batches as they must be read, by base offset.
    batches: Vec<(Offset, Vec<u8>)>,
    end: Offset,
    sequences: BTreeMap<u8, i32>,
    last_of: BTreeMap<u8, (Vec<u8>, Offset)>,
    clock: i64,
}

fn run(disk: &dyn Fn() -> (Arc<dyn Disk>, std::path::PathBuf), config: &LogConfig, ops: &[Op], kill: &dyn Fn() -> Arc<dyn Disk>) {
    let (mut on, dir) = disk();
    let mut log = new_log_on(Arc::clone(&on), &dir, config.clone());
    let mut model = Model { batches: Vec::new(), end: Offset(0), sequences: BTreeMap::new(), last_of: BTreeMap::new(), clock: NOW.0 };
    for op in ops {
        match op {
            Op::Append { count, value_len, codec, producer, later_ms } => {
                model.clock += later_ms;
                let mut builder = BatchBuilder::new(Compression::from_id(*codec).unwrap(), usize::MAX);
                if let Some(id) = producer {
                    let sequence = model.sequences.entry(*id).or_default();
                    builder = builder.producer(i64::from(*id), 0, *sequence);
                    *sequence += *count as i32;
                }
                fill(&mut builder, model.clock, *count, *value_len);
                let sent = builder.build().unwrap();
                let appended = log.append_as_leader(&sent, EPOCH, AppendOrigin::Client, TimestampMs(model.clock)).unwrap();
                assert_eq!((appended.base_offset, appended.duplicate), (model.end, false));
                let mut stored = sent.clone();
                stored[..8].copy_from_slice(&model.end.0.to_be_bytes());
                stored[12..16].copy_from_slice(&EPOCH.0.to_be_bytes());
                if let Some(id) = producer {
                    model.last_of.insert(*id, (sent, model.end));
                }
                model.batches.push((model.end, stored));
                model.end = model.end.plus(*count as i64);
            }
            Op::AppendAgain { producer } => {
                if let Some((sent, at)) = model.last_of.get(producer) {
                    let appended = log.append_as_leader(sent, EPOCH, AppendOrigin::Client, TimestampMs(model.clock)).unwrap();
                    assert_eq!((appended.base_offset, appended.duplicate), (*at, true));
                }
            }
            Op::Sync => assert_eq!(log.sync_all().unwrap(), model.end),
            Op::CloseAndOpen => {
                log.close_cleanly().unwrap();
                let hints = OpenHints { clean: true, recovery_point: Some(model.end), ..OpenHints::default() };
                let (opened, recovery) =
                    PartitionLog::open(Arc::clone(&on), &dir, config.clone(), hints, TimestampMs(model.clock)).unwrap();
                assert!(recovery.clean && recovery.bytes_checked == 0);
                assert_eq!(opened.durable_end(), model.end);
                log = opened;
            }
            Op::KillAndOpen => {
                let hints = OpenHints { recovery_point: Some(log.durable_end()), ..OpenHints::default() };
                drop(log);
                on = kill();
                let (opened, recovery) =
                    PartitionLog::open(Arc::clone(&on), &dir, config.clone(), hints, TimestampMs(model.clock)).unwrap();
                assert_eq!((recovery.torn, recovery.segments_removed), (None, 0));
                log = opened;
            }
            Op::Read { from, max_bytes } => {
                let from = Offset(i64::from(*from) % (model.end.0 + 1));
                let skip = model.batches.partition_point(|(base, b)| {
                    base.0 + i64::from(ottla_wire::batch::BatchView::new(b).unwrap().last_offset_delta()) < from.0
                });
                assert_eq!(read_all(&log, from, *max_bytes), model.batches[skip..]);
            }
            Op::Wait { ms } => model.clock += ms,
        }
        assert_eq!(log.log_end_offset(), model.end);
        assert!(log.durable_end() <= model.end);
    }
    assert_eq!(read_all(&log, Offset(0), 700), model.batches);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_offset_is_read_once_in_order_and_unchanged(config in config(), ops in proptest::collection::vec(op(), 1..120)) {
        let disk = std::cell::RefCell::new(MemDisk::new());
        run(
            &|| (Arc::new(disk.borrow().clone()), DIR.into()),
            &config,
            &ops,
            &|| { let next = disk.borrow().kill(); disk.replace(next.clone()); Arc::new(next) },
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 15, ..ProptestConfig::default() })]

    #[test]
    fn the_same_holds_on_a_real_file_system(config in config(), ops in proptest::collection::vec(op(), 1..80)) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("t-0");
        run(&|| (Arc::new(RealDisk::new()), dir.clone()), &config, &ops, &|| Arc::new(RealDisk::new()));
    }
}

#[test]
fn reads_stop_at_the_bound_and_never_beyond_the_end() {
    let mut log = new_log(&MemDisk::new(), LogConfig { segment_bytes: 1500, ..LogConfig::default() });
    for _ in 0..10 {
        append(&mut log, &batch(5, 100));
    }
    assert!(log.segment_count() > 3);
    let out = log.read(Offset(0), Offset(27), 1 << 20, true).unwrap();
    assert_eq!((out.next_offset, Batches::strict(&bytes_of(&out)).count()), (Offset(25), 5), "a batch that reaches beyond is left out");
    let out = log.read(Offset(7), Offset(15), 1 << 20, true).unwrap();
    assert_eq!((out.first_offset, out.next_offset), (Offset(5), Offset(15)));
    let out = log.read(Offset(26), Offset(27), 1 << 20, true).unwrap();
    assert_eq!((out.bytes, out.next_offset), (0, Offset(26)));
    let out = log.read(Offset(50), Offset(50), 1 << 20, true).unwrap();
    assert_eq!((out.bytes, out.fragments.len()), (0, 0));
    let first = log.read(Offset(0), Offset(50), 1, true).unwrap();
    assert_eq!((first.next_offset, Batches::strict(&bytes_of(&first)).count()), (Offset(5), 1));
    assert_eq!(log.read(Offset(0), Offset(50), 1, false).unwrap().bytes, 0);
    for asked in [-1, 51] {
        match log.read(Offset(asked), Offset(50), 100, true) {
            Err(crate::ReadError::OffsetOutOfRange { start, end, .. }) => assert_eq!((start, end), (Offset(0), Offset(50))),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reader_that_goes_on_where_it_stopped_needs_few_looks_at_the_disk() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() });
    for _ in 0..2000 {
        append(&mut log, &batch(10, 100));
    }
    let (mut next, end, mut fetches) = (Offset(0), log.log_end_offset(), 0);
    let before = disk.calls();
    while next < end {
        next = log.read(next, end, 64 << 10, true).unwrap().next_offset;
        fetches += 1;
    }
    let calls = disk.calls() - before;
    // An index chunk, a chunk of headers or two, the fragment (a read, on this disk), now and then an open.
    assert!(calls <= fetches * 7, "{calls} calls for {fetches} fetches");
}

#[test]
fn an_idle_partition_keeps_no_file_open_and_little_memory() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig::default());
    assert!(log.tail.take_file().is_none());
    append(&mut log, &batch(3, 10));
    log.close_cleanly().unwrap();
    let (mut log, _) = reopen(&disk, LogConfig::default(), OpenHints { clean: true, ..OpenHints::default() });
    assert!(log.tail.take_file().is_none());
    assert_eq!(disk.handles().open_count(), 0);
    assert!(std::mem::size_of::<PartitionLog>() < 2048, "{}", std::mem::size_of::<PartitionLog>());
}

#[test]
fn no_record_at_or_above_the_bound_is_read() {
    let mut log = new_log(&MemDisk::new(), LogConfig { segment_bytes: 1000, ..LogConfig::default() });
    for _ in 0..40 {
        append(&mut log, &batch(1, 30));
    }
    for upto in 0..=40 {
        let mut next = Offset(0);
        while next < Offset(upto) {
            next = log.read(next, Offset(upto), 1 << 20, true).unwrap().next_offset;
        }
        assert_eq!(next, Offset(upto));
        assert_eq!(log.read(next, Offset(upto), 1 << 20, true).unwrap().bytes, 0);
    }
}

#[test]
fn an_offset_anywhere_is_found_with_few_looks_at_the_disk() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() });
    for _ in 0..3000 {
        append(&mut log, &batch(3, 300));
    }
    let end = log.log_end_offset();
    for from in (0..end.0).step_by(101) {
        log.marks.lock().clear();
        let before = disk.calls();
        log.read(Offset(from), end, 1, true).unwrap();
        let calls = disk.calls() - before;
        // Perhaps an index and a log to open, the index's length, a chunk or two of it, headers twice, the fragment.
        assert!(calls <= 12, "{calls} calls for offset {from}");
    }
}

#[test]
fn what_is_known_of_positions_is_forgotten_when_the_log_is_cut() {
    let mut log = new_log(&MemDisk::new(), LogConfig::default());
    for _ in 0..10 {
        append(&mut log, &batch(2, 100));
    }
    assert_eq!(log.sync_all().unwrap(), Offset(20));
    for upto in [12, 14, 16] {
        log.read(Offset(10), Offset(upto), 1 << 20, true).unwrap();
    }
    log.truncate_to(Offset(10)).unwrap();
    for _ in 0..10 {
        append(&mut log, &batch(1, 333));
    }
    for (from, upto) in [(12, 13), (14, 15), (16, 17), (10, 12), (10, 20)] {
        let out = log.read(Offset(from), Offset(upto), 1 << 20, true).unwrap();
        assert_eq!(Batches::strict(&bytes_of(&out)).count() as i64, upto - from);
        assert_eq!((out.first_offset, out.next_offset), (Offset(from), Offset(upto)));
    }
    check_whole(&log);
}
