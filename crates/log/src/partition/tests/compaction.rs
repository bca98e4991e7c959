//! Compaction, piece by piece.

use ottla_model::ProducerId;
use ottla_wire::batch::{BatchView, DecompressLimits, EndTxnMarker, TxnResult, control_batch};

use super::*;
use crate::compact::{CompactionError, CompactionStats, MapLimits};
use crate::disk::{Fault, RealDisk};
use crate::segment::FileKind;

/// Numbers by a seed.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// One pass over all that can be compacted.
pub(super) fn compact(log: &mut PartitionLog, limits: MapLimits, now: TimestampMs) -> Result<CompactionStats, CompactionError> {
    let high_watermark = log.log_end_offset();
    let need = log.compaction_need(high_watermark, now).unwrap().unwrap();
    let mut pass = log.begin_compaction(need, limits, now);
    while let Some(new) = pass.next(&mut |_| true)? {
        let replaced = log.replace_compacted(&new)?.ok_or(CompactionError::Changed)?;
        let synced = replaced.sync();
        log.forget_replaced(replaced, synced, now)?;
    }
    assert!(log.finish_compaction(&pass));
    Ok(pass.stats())
}

pub(super) fn config() -> LogConfig {
    LogConfig { segment_bytes: 1_000, index_interval_bytes: 100, cleanup_compact: true, cleanup_delete: false, ..LogConfig::default() }
}

pub(super) type Pair<'a> = (&'a str, Option<&'a str>);

fn pairs(builder: BatchBuilder, timestamp: i64, records: &[Pair<'_>]) -> Vec<u8> {
    let mut builder = builder;
    for (key, value) in records {
        builder.append(timestamp, Some(key.as_bytes()), value.map(str::as_bytes), &[]).unwrap();
    }
    builder.build().unwrap()
}

pub(super) fn write(log: &mut PartitionLog, records: &[Pair<'_>]) -> Offset {
    append(log, &pairs(BatchBuilder::new(Compression::None, usize::MAX), NOW.0, records)).base_offset
}

/// Of an idempotent producer.
fn write_as(log: &mut PartitionLog, producer: i64, sequence: i32, transactional: bool, records: &[Pair<'_>]) -> Offset {
    let builder = BatchBuilder::new(Compression::None, usize::MAX).producer(producer, 0, sequence);
    let builder = if transactional { builder.transactional() } else { builder };
    append(log, &pairs(builder, NOW.0, records)).base_offset
}

fn end_as(log: &mut PartitionLog, producer: i64, result: TxnResult) -> Offset {
    let marker = control_batch(EndTxnMarker { result, coordinator_epoch: 1 }, NOW.0, producer, 0).unwrap();
    log.append_as_leader(&marker, EPOCH, AppendOrigin::Coordinator, NOW).unwrap().base_offset
}

pub(super) fn seal(log: &mut PartitionLog) {
    log.roll(NOW).unwrap();
    log.sync_all().unwrap();
    let end = log.log_end_offset();
    log.on_high_watermark(end);
}

/// Each batch that is left: base offset, last offset, whether it is a marker, records as `offset key=value`.
fn batches(log: &PartitionLog) -> Vec<(i64, i64, bool, Vec<String>)> {
    let (mut next, end, mut all) = (log.log_start_offset(), log.log_end_offset(), Vec::new());
    while next < end {
        let bytes = bytes_of(&log.read(next, end, 1 << 20, true).unwrap());
        for batch in Batches::strict(&bytes) {
            let batch = batch.unwrap();
            let records = batch.records(&DecompressLimits::default()).unwrap();
            let records = records.iter().map(|r| {
                let r = r.unwrap();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                match batch.is_control() {
                    true => format!("{} marker", r.offset),
                    false => format!("{} {}={}", r.offset, text(r.key.unwrap()), r.value.map_or("null".into(), text)),
                }
            });
            all.push((batch.base_offset(), batch.last_offset(), batch.is_control(), records.collect()));
            next = Offset(batch.last_offset() + 1);
        }
    }
    all
}

fn records(log: &PartitionLog) -> Vec<String> {
    batches(log).into_iter().flat_map(|b| b.3).collect()
}

#[test]
fn the_newest_record_of_each_key_stays_where_it_was() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, config());
    write(&mut log, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    write(&mut log, &[("c", Some("1")), ("b", Some("2"))]);
    seal(&mut log);
    write(&mut log, &[("a", Some("3")), ("d", Some("1"))]);
    seal(&mut log);
    write(&mut log, &[("d", Some("2"))]);
    let before = log.size_bytes();
    let stats = compact(&mut log, MapLimits::default(), NOW).unwrap();
    // `d` of the active segment is not compacted, and does not count.
    assert_eq!(records(&log), ["3 c=1", "4 b=2", "5 a=3", "6 d=1", "7 d=2"]);
    assert_eq!((log.compacted_upto(), log.segment_count(), stats.keys, stats.is_partial), (Offset(7), 2, 4, false));
    assert!(log.size_bytes() < before && stats.bytes_after < stats.bytes_before && stats.batches_gone == 1);
    assert_eq!(log.size_bytes(), log.segments.iter().map(|s| u64::from(s.size)).sum::<u64>());
    // What is dirty is counted from there.
    assert_eq!(log.compaction_need(Offset(8), NOW).unwrap().unwrap().dirty_bytes, 0);
    seal(&mut log);
    compact(&mut log, MapLimits::default(), NOW).unwrap();
    assert_eq!(records(&log), ["3 c=1", "4 b=2", "5 a=3", "7 d=2"]);
}

#[test]
fn nothing_beyond_the_high_watermark_the_durable_end_or_an_open_transaction_is_touched() {
    let mut log = new_log(&MemDisk::new(), config());
    for _ in 0..4 {
        write(&mut log, &[("a", Some("x"))]);
        log.roll(NOW).unwrap();
    }
    let upto = |log: &PartitionLog, high_watermark| log.compaction_need(Offset(high_watermark), NOW).unwrap().unwrap().first_uncleanable;
    assert_eq!(upto(&log, 4), Offset(0), "nothing is synced");
    log.sync_all().unwrap();
    assert_eq!((upto(&log, 4), upto(&log, 3), upto(&log, 0)), (Offset(4), Offset(3), Offset(0)));
    write_as(&mut log, 9, 0, true, &[("a", Some("y"))]);
    seal(&mut log);
    write(&mut log, &[("a", Some("z"))]);
    seal(&mut log);
    assert_eq!(upto(&log, 6), Offset(4));
    end_as(&mut log, 9, TxnResult::Abort);
    seal(&mut log);
    assert_eq!(upto(&log, 7), Offset(7));
    log.update_config(LogConfig { cleanup_compact: false, ..config() });
    assert_eq!(log.compaction_need(Offset(7), NOW).unwrap(), None);
}

#[test]
fn tombstones_stay_for_delete_retention_after_the_pass_that_met_them() {
    let mut log = new_log(&MemDisk::new(), LogConfig { delete_retention_ms: 1000, ..config() });
    write(&mut log, &[("a", Some("1")), ("b", Some("1"))]);
    write(&mut log, &[("a", None)]);
    seal(&mut log);
    let later = |log: &mut PartitionLog, ms: i64| {
        write(log, &[("x", Some("new"))]);
        seal(log);
        compact(log, MapLimits::default(), TimestampMs(NOW.0 + ms)).unwrap();
        records(log).into_iter().filter(|r| !r.contains("x=")).collect::<Vec<_>>()
    };
    assert_eq!(later(&mut log, 0), ["1 b=1", "2 a=null"]);
    assert_eq!(later(&mut log, 999), ["1 b=1", "2 a=null"]);
    assert_eq!(later(&mut log, 1000), ["1 b=1"]);
}

#[test]
fn aborted_records_go_and_markers_only_when_nothing_of_their_transaction_is_left() {
    let mut log = new_log(&MemDisk::new(), LogConfig { delete_retention_ms: 1000, ..config() });
    write(&mut log, &[("a", Some("good"))]); // 0
    write_as(&mut log, 1, 0, true, &[("a", Some("bad")), ("b", Some("bad"))]); // 1, 2
    write_as(&mut log, 2, 0, true, &[("b", Some("good"))]); // 3
    end_as(&mut log, 1, TxnResult::Abort); // 4
    end_as(&mut log, 2, TxnResult::Commit); // 5
    // They are heard of again, so that these batches are not their last.
    write_as(&mut log, 1, 2, false, &[("p1", Some(""))]); // 6
    write_as(&mut log, 2, 1, false, &[("p2", Some(""))]); // 7
    seal(&mut log);
    let pass = |log: &mut PartitionLog, ms: i64| {
        write(log, &[("x", Some("new"))]);
        seal(log);
        compact(log, MapLimits::default(), TimestampMs(NOW.0 + ms)).unwrap();
        records(log).into_iter().filter(|r| !r.contains("x=")).collect::<Vec<_>>()
    };
    let good = ["0 a=good", "3 b=good", "4 marker", "5 marker", "6 p1=", "7 p2="];
    assert_eq!(pass(&mut log, 0), good);
    assert_eq!(log.aborted_transactions(Offset(0), log.log_end_offset()).unwrap(), [], "nothing is left that readers would have to skip");
    // The second pass finds nothing of the aborted one: from now on its marker's time counts.
    assert_eq!(pass(&mut log, 5000), good);
    assert_eq!(pass(&mut log, 5999), good);
    assert_eq!(pass(&mut log, 6000), ["0 a=good", "3 b=good", "5 marker", "6 p1=", "7 p2="]);
    // The committed one's stays for as long as its record does.
    write(&mut log, &[("b", Some("newer"))]);
    let stays = ["0 a=good", "5 marker", "6 p1=", "7 p2="];
    let without_b = |found: Vec<String>| found.into_iter().filter(|r| !r.contains("newer")).collect::<Vec<_>>();
    assert_eq!(without_b(pass(&mut log, 7000)), stays);
    assert_eq!(without_b(pass(&mut log, 8000)), stays);
    assert_eq!(without_b(pass(&mut log, 9000)), ["0 a=good", "6 p1=", "7 p2="]);
}

#[test]
fn the_last_batch_of_a_producer_stays_without_its_records() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, config());
    write_as(&mut log, 7, 0, false, &[("a", Some("1"))]);
    write_as(&mut log, 7, 1, false, &[("a", Some("2")), ("b", Some("2"))]);
    write(&mut log, &[("a", Some("3")), ("b", Some("3"))]);
    seal(&mut log);
    compact(&mut log, MapLimits::default(), NOW).unwrap();
    assert_eq!(batches(&log), [(1, 2, false, vec![]), (3, 4, false, vec!["3 a=3".into(), "4 b=3".into()])]);
    // Once the producer is forgotten, it goes.
    let expired = TimestampMs(NOW.0 + 2 * 86_400_000);
    assert_eq!(log.expire_producers(expired), 1);
    write(&mut log, &[("x", Some("new"))]);
    seal(&mut log);
    compact(&mut log, MapLimits::default(), expired).unwrap();
    assert_eq!(batches(&log).first().map(|b| b.0), Some(3));
}

#[test]
fn a_segment_ends_where_it_ended_even_when_all_of_it_is_superseded() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { segment_bytes: 200, ..config() });
    for i in 0..20 {
        write(&mut log, &[("a", Some(&format!("{i:0>60}"))), ("b", Some(&format!("{i:0>60}")))]);
    }
    seal(&mut log);
    compact(&mut log, MapLimits::default(), NOW).unwrap();
    assert_eq!(records(&log).len(), 2);
    for _ in 0..2 {
        write(&mut log, &[("a", Some("new"))]);
        seal(&mut log);
        compact(&mut log, MapLimits::default(), NOW).unwrap();
    }
    log.sync_all().unwrap();
    let expected = batches(&log);
    for recovery_point in [0, 17, 40] {
        let hints = OpenHints { recovery_point: Some(Offset(recovery_point)), ..OpenHints::default() };
        let (log, recovery) = reopen(&disk.fork().crash(1), config(), hints);
        assert_eq!((recovery.torn, recovery.segments_removed, log.log_end_offset()), (None, 0, Offset(42)));
        assert_eq!(batches(&log), expected);
    }
}

#[test]
fn a_full_map_ends_a_pass_early_and_the_next_goes_on() {
    let mut log = new_log(&MemDisk::new(), config());
    for i in 0..40 {
        write(&mut log, &[(&format!("key{i}"), Some("1"))]);
    }
    for i in 0..40 {
        write(&mut log, &[(&format!("key{i}"), Some("2"))]);
    }
    seal(&mut log);
    let limits = MapLimits { bytes_max: 24 * 20, load_factor: 0.5 };
    let mut upto = Vec::new();
    loop {
        let stats = compact(&mut log, limits, NOW).unwrap();
        upto.push(log.compacted_upto().0);
        if !stats.is_partial {
            break;
        }
        assert_eq!(stats.keys, 10);
    }
    assert_eq!(upto, [10, 20, 30, 40, 50, 60, 70, 80]);
    assert_eq!(records(&log), (0..40).map(|i| format!("{} key{i}=2", 40 + i)).collect::<Vec<_>>());
    let batch: Vec<String> = (0..30).map(|i| format!("other{i}")).collect();
    write(&mut log, &batch.iter().map(|key| (&key[..], Some(""))).collect::<Vec<_>>());
    seal(&mut log);
    let error = compact(&mut log, limits, NOW).unwrap_err();
    assert!(matches!(error, CompactionError::MapTooSmall { .. }), "{error}");
}

#[test]
fn old_files_serve_their_readers_until_their_delay_is_over() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { file_delete_delay_ms: 500, ..config() });
    write(&mut log, &[("a", Some("1")), ("a", Some("2"))]);
    seal(&mut log);
    let reader = log.read(Offset(0), Offset(2), 1 << 20, true).unwrap();
    let before = bytes_of(&reader);
    for _ in 0..3 {
        compact(&mut log, MapLimits::default(), NOW).unwrap();
        write(&mut log, &[("b", Some("new"))]);
        seal(&mut log);
    }
    assert_eq!(bytes_of(&reader), before);
    let deleted = |disk: &MemDisk| disk.list_dir(Path::new(DIR)).unwrap().iter().filter(|e| e.name.ends_with(".deleted")).count();
    let logs = disk.list_dir(Path::new(DIR)).unwrap().into_iter().map(|e| e.name);
    let logs = logs.filter(|name| name.starts_with("00000000000000000000.log.") && name.ends_with(".deleted")).count();
    assert_eq!(logs, 3, "each pass has its own, though they are of the same segment");
    assert_eq!(log.remove_deleted_files(TimestampMs(NOW.0 + 499)).unwrap(), 0);
    assert!(log.remove_deleted_files(TimestampMs(NOW.0 + 500)).unwrap() >= 9);
    assert_eq!(deleted(&disk), 0);
}

#[test]
fn a_log_on_a_real_disk_is_compacted_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, folder) = (Arc::new(RealDisk::new()), dir.path().join("t-0"));
    let mut log = new_log_on(Arc::clone(&disk) as _, &folder, config());
    for i in 0..60 {
        write(&mut log, &[(&format!("key{}", i % 7), Some(&format!("{i:0>40}"))), ("all", Some("x"))]);
    }
    seal(&mut log);
    let reader = log.read(Offset(0), Offset(120), 1 << 20, true).unwrap();
    let before = bytes_of(&reader);
    compact(&mut log, MapLimits::default(), NOW).unwrap();
    let left = records(&log);
    assert_eq!(left.len(), 8);
    assert_eq!(bytes_of(&reader), before, "by the files that were open");
    assert!(log.remove_deleted_files(TimestampMs(i64::MAX)).unwrap() > 8);
    assert_eq!(bytes_of(&reader), before, "even when they have no name any more");
    log.close_cleanly().unwrap();
    let hints = OpenHints { clean: true, ..OpenHints::default() };
    let (log, recovery) = PartitionLog::open(disk, &folder, config(), hints, NOW).unwrap();
    assert!(recovery.clean);
    assert_eq!((records(&log), log.log_end_offset()), (left, Offset(120)));
}

#[test]
fn the_scrub_begins_a_segment_anew_that_was_replaced_meanwhile() {
    let large = LogConfig { segment_bytes: 4 << 20, ..config() };
    let mut log = new_log(&MemDisk::new(), large);
    let value = "x".repeat(100_000);
    for i in 0..12 {
        write(&mut log, &[(&format!("key{}", i % 5), Some(&value)), ("all", Some(&value[..i * 1_000]))]);
    }
    seal(&mut log);
    let step = |log: &PartitionLog, place| {
        let mut step = log.begin_scrub(place, 1).unwrap()?;
        step.run().unwrap();
        Some(log.finish_scrub(&step).unwrap())
    };
    // Within the segment, by what was there.
    let mut place = step(&log, crate::ScrubPlace::default()).unwrap();
    compact(&mut log, MapLimits::default(), NOW).unwrap();
    while let Some(next) = step(&log, place) {
        place = next;
    }
    assert_eq!(log.take_new_damages(), []);
}

#[test]
fn a_log_that_was_cut_or_deleted_from_meanwhile_keeps_what_it_has() {
    type Change = fn(&mut PartitionLog);
    let changes: [(&str, Change); 4] = [
        ("cut", |log| log.truncate_to(Offset(3)).unwrap()),
        ("cut in the last of the segments", |log| log.truncate_to(Offset(7)).unwrap()),
        ("reset", |log| log.reset_to(Offset(100), NOW).unwrap()),
        ("deleted from", |log| {
            log.advance_log_start(Offset(4)).unwrap();
            assert!(log.delete_old_segments(Offset(8), NOW).unwrap().is_some());
        }),
    ];
    for (what, change) in changes {
        let disk = MemDisk::new();
        let mut log = new_log(&disk, config());
        for _ in 0..4 {
            write(&mut log, &[("a", Some("1")), ("b", Some("1"))]);
            seal(&mut log);
        }
        let need = log.compaction_need(Offset(8), NOW).unwrap().unwrap();
        let mut pass = log.begin_compaction(need, MapLimits::default(), NOW);
        let new = pass.next(&mut |_| true).unwrap().unwrap();
        change(&mut log);
        let after = batches(&log);
        assert!(log.replace_compacted(&new).unwrap().is_none(), "{what}");
        assert_eq!(batches(&log), after, "{what}");
        let left = disk.list_dir(Path::new(DIR)).unwrap();
        assert!(!left.iter().any(|e| e.name.contains(".cleaned") || e.name.contains(".swap")), "{what}: {left:?}");
        if what != "deleted from" {
            assert!(!log.finish_compaction(&pass));
            assert!(log.compacted_upto() <= log.log_end_offset());
        }
    }
}

#[test]
fn a_cut_below_what_was_compacted_makes_it_dirty() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, config());
    for _ in 0..3 {
        write(&mut log, &[("a", Some("1")), ("b", Some("1"))]);
        seal(&mut log);
    }
    compact(&mut log, MapLimits::default(), NOW).unwrap();
    assert_eq!(log.compacted_upto(), Offset(6));
    log.truncate_to(Offset(5)).unwrap();
    assert!(log.compacted_upto() <= Offset(5));
    write(&mut log, &[("a", Some("1"))]);
    log.close_cleanly().unwrap();
    for (hint, expected) in [(2, 2), (77, 0)] {
        let hints = OpenHints { clean: true, compacted_upto: Some(Offset(hint)), ..OpenHints::default() };
        let (log, _) = reopen(&disk.fork(), config(), hints);
        assert_eq!(log.compacted_upto(), Offset(expected), "what is beyond the end is of another log");
    }
}

#[test]
fn damage_ends_a_pass_and_says_where_it_is() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, config());
    let first = append(&mut log, &pairs(BatchBuilder::new(Compression::None, usize::MAX), NOW.0, &[("a", Some("1"))])).bytes;
    write(&mut log, &[("a", Some("2"))]);
    seal(&mut log);
    disk.damage(&FileKind::Log.path(Path::new(DIR), Offset(0)), first as usize + 65, 1).unwrap();
    let error = compact(&mut log, MapLimits::default(), NOW).unwrap_err();
    assert!(matches!(error, CompactionError::Damaged { position, .. } if position == first), "{error}");
    assert_eq!((log.segment_count(), log.compacted_upto()), (2, Offset(0)));
}

#[test]
fn a_pass_can_be_stopped_at_every_piece() {
    let mut pieces = 0;
    loop {
        let mut log = new_log(&MemDisk::new(), config());
        for _ in 0..6 {
            write(&mut log, &[("a", Some("1")), ("b", Some("1"))]);
            seal(&mut log);
        }
        let need = log.compaction_need(Offset(12), NOW).unwrap().unwrap();
        let mut pass = log.begin_compaction(need, MapLimits::default(), NOW);
        let mut left = pieces;
        let mut pace = |_| {
            left -= 1;
            left >= 0
        };
        match pass.next(&mut pace) {
            Err(CompactionError::Stopped) => pieces += 1,
            other => {
                assert!(other.unwrap().is_some() && pieces > 6);
                return;
            }
        }
        assert_eq!((records(&log).len(), log.compacted_upto()), (12, Offset(0)));
    }
}

#[test]
fn indexes_of_a_new_segment_are_those_that_its_batches_would_have_made() {
    for interval in [0, 100, 5_000] {
        let disk = MemDisk::new();
        let config = LogConfig { segment_bytes: 3_000, index_interval_bytes: interval, ..config() };
        let mut log = new_log(&disk, config.clone());
        for i in 0..60i64 {
            let records =
                pairs(BatchBuilder::new(Compression::None, usize::MAX), NOW.0 + (i * 37) % 900, &[(&format!("{}", i % 25), Some("v"))]);
            append(&mut log, &records);
        }
        seal(&mut log);
        compact(&mut log, MapLimits::default(), NOW).unwrap();
        log.sync_all().unwrap();
        let index = |disk: &MemDisk, kind: FileKind, base: Offset| disk.read_all(&kind.path(Path::new(DIR), base)).unwrap();
        let other = disk.fork();
        let bases: Vec<Offset> = log.segments[..log.segments.len() - 1].iter().map(|s| s.base).collect();
        for base in &bases {
            other.remove_file(&FileKind::OffsetIndex.path(Path::new(DIR), *base)).unwrap();
        }
        let (made, recovery) = reopen(&other, config, OpenHints { recovery_point: Some(log.log_end_offset()), ..OpenHints::default() });
        assert!(recovery.indexes_rebuilt >= bases.len());
        for base in bases {
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
                assert_eq!(index(&disk, kind, base), index(&other, kind, base), "{kind:?} of {base}, every {interval}");
            }
        }
        assert_eq!(log.offset_of_max_timestamp().unwrap(), made.offset_of_max_timestamp().unwrap());
        assert!(log.open_transaction(ProducerId(1)).is_none());
    }
}

#[test]
fn codecs_and_horizons_survive() {
    for codec in Compression::ALL {
        let mut log = new_log(&MemDisk::new(), config());
        let records = pairs(BatchBuilder::new(codec, usize::MAX), NOW.0, &[("a", Some("1")), ("b", None), ("a", Some("2"))]);
        append(&mut log, &records);
        seal(&mut log);
        compact(&mut log, MapLimits::default(), NOW).unwrap();
        let bytes = bytes_of(&log.read(Offset(0), Offset(3), 1 << 20, true).unwrap());
        let batch = BatchView::new(&bytes).unwrap();
        assert_eq!((batch.compression().unwrap(), batch.record_count()), (codec, 2));
        assert_eq!(batch.delete_horizon(), Some(NOW.0 + config().delete_retention_ms));
        assert_eq!(records_of(&batch), [(1, NOW.0), (2, NOW.0)]);
    }
}

fn records_of(batch: &BatchView<'_>) -> Vec<(i64, i64)> {
    let records = batch.records(&DecompressLimits::default()).unwrap();
    records.iter().map(|r| r.map(|r| (r.offset, r.timestamp)).unwrap()).collect()
}

#[test]
fn a_segment_is_closed_in_time_for_the_largest_lag() {
    for (compact, expected) in [(true, 2), (false, 1)] {
        let config = LogConfig { max_compaction_lag_ms: 1_000, cleanup_compact: compact, ..config() };
        let mut log = new_log(&MemDisk::new(), config);
        for (later_ms, segments) in [(0, 1), (1_000, 1), (1_001, expected)] {
            let builder = BatchBuilder::new(Compression::None, usize::MAX);
            append(&mut log, &pairs(builder, NOW.0 + later_ms, &[("a", Some("1"))]));
            assert_eq!(log.segment_count(), segments, "compact: {compact}, {later_ms} ms");
        }
    }
}

#[test]
fn a_pass_that_fails_or_is_stopped_leaves_no_file_behind() {
    let fill = |log: &mut PartitionLog| {
        for i in 0..40 {
            write(log, &[("key", Some(&i.to_string()))]);
        }
        seal(log);
    };
    let names = |disk: &MemDisk, log: &PartitionLog| -> Vec<String> {
        disk.list_dir(log.dir()).unwrap().into_iter().map(|entry| entry.name).collect()
    };
    // Each call of a pass fails once for lack of room, until a pass is through.
    let mut failed = 0;
    for call in 0.. {
        let disk = MemDisk::new();
        let mut log = new_log(&disk, config());
        fill(&mut log);
        let before = names(&disk, &log);
        let need = log.compaction_need(log.log_end_offset(), NOW).unwrap().unwrap();
        let mut pass = log.begin_compaction(need, MapLimits { bytes_max: 1 << 20, load_factor: 0.9 }, NOW);
        disk.set_fault(Some(Fault::Once { call: disk.calls() + call, error: std::io::ErrorKind::StorageFull }));
        if pass.next(&mut |_| true).is_ok() {
            break;
        }
        disk.set_fault(None);
        assert_eq!(names(&disk, &log), before, "call {call}");
        failed += 1;
    }
    assert!(failed > 10, "{failed} calls");
    let disk = MemDisk::new();
    let mut log = new_log(&disk, config());
    fill(&mut log);
    let before = names(&disk, &log);
    for pieces in 0..100 {
        let need = log.compaction_need(log.log_end_offset(), NOW).unwrap().unwrap();
        let mut pass = log.begin_compaction(need, MapLimits { bytes_max: 1 << 20, load_factor: 0.9 }, NOW);
        let mut left = pieces;
        let mut pace = |_| {
            left -= 1;
            left >= 0
        };
        match pass.next(&mut pace) {
            Err(CompactionError::Stopped) => assert_eq!(names(&disk, &log), before, "stopped after {pieces} pieces"),
            Ok(_) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("a hundred pieces of a log of forty batches");
}
