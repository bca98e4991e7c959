//! A log whose offsets have gaps, as compaction leaves them here and at a leader: every way to look at it passes over them.

use ottla_wire::batch::{BatchView, HEADER_LEN};

use super::*;
use crate::ReadError;
use crate::partition::ScrubPlace;
use crate::segment::FileKind;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 2_000, index_interval_bytes: 200, cleanup_compact: true, ..LogConfig::default() }
}

/// Batches of a leader, of which some are gone: of 40 with 3 records each, those that `stays` names.
fn gapped(disk: &MemDisk, config: LogConfig, stays: impl Fn(i64) -> bool) -> (PartitionLog, Vec<Vec<u8>>) {
    let mut follower = new_log(disk, config);
    let mut kept = Vec::new();
    for i in (0..40).filter(|i| stays(*i)) {
        let mut bytes = batch_at(NOW.0 + i * 100, 3, 60, Compression::None);
        bytes[..8].copy_from_slice(&(i * 3).to_be_bytes());
        bytes[12..16].copy_from_slice(&EPOCH.0.to_be_bytes());
        follower.append_as_follower(&bytes, NOW).unwrap();
        kept.push(bytes);
    }
    (follower, kept)
}

/// All batches, by fetches of at most so many bytes from `from` on.
fn fetch_all(log: &PartitionLog, from: Offset, max_bytes: u32) -> Vec<Vec<u8>> {
    let (mut next, end, mut all) = (from, log.log_end_offset(), Vec::new());
    while next < end {
        let out = log.read(next, end, max_bytes, true).unwrap();
        let bytes = bytes_of(&out);
        let batches: Vec<Vec<u8>> = Batches::strict(&bytes).map(|b| b.unwrap().bytes().to_vec()).collect();
        let Some(last) = batches.last() else { panic!("nothing at {next}, the log ends at {end}") };
        let after = Offset(BatchView::new(last).unwrap().last_offset() + 1);
        assert!(out.next_offset >= after && after > next);
        all.extend(batches);
        next = after;
    }
    all
}

fn check(log: &PartitionLog, kept: &[Vec<u8>], what: &str) {
    for from in 0..log.log_end_offset().0 {
        let first = kept.partition_point(|b| BatchView::new(b).unwrap().last_offset() < from);
        for max_bytes in [1, 700, 1 << 20] {
            assert_eq!(fetch_all(log, Offset(from), max_bytes), kept[first..], "{what}: from {from} by {max_bytes}");
        }
    }
    for (i, bytes) in kept.iter().enumerate() {
        let view = BatchView::new(bytes).unwrap();
        // A time between this batch's records and those of the one before.
        let found = log.offset_for_timestamp(TimestampMs(view.max_timestamp() - 10), log.log_end_offset()).unwrap().unwrap();
        assert_eq!(found.offset, Offset(view.base_offset()), "{what}: {i}");
        assert_eq!(log.epoch_of(found.offset), Some(EPOCH));
    }
}

type Pattern = (&'static str, fn(i64) -> bool);

const PATTERNS: [Pattern; 4] = [
    ("every third", |i| i % 3 == 0 && i > 0),
    ("two runs", |i| (5..9).contains(&i) || i > 30),
    ("one of ten", |i| i % 10 == 9),
    ("only the last", |i| i == 39),
];

#[test]
fn reads_and_lookups_pass_over_gaps() {
    for (what, stays) in PATTERNS {
        let (log, kept) = gapped(&MemDisk::new(), config(), stays);
        assert_eq!(log.log_end_offset(), Offset(120));
        check(&log, &kept, what);
    }
}

#[test]
fn a_log_with_gaps_is_opened_whole_after_a_clean_stop_and_after_a_crash() {
    for (what, stays) in PATTERNS {
        let disk = MemDisk::new();
        let (mut log, kept) = gapped(&disk, config(), stays);
        log.sync_all().unwrap();
        for recovery_point in (0..=120).step_by(7).map(Offset) {
            let hints = OpenHints { recovery_point: Some(recovery_point), ..OpenHints::default() };
            let (log, recovery) = reopen(&disk.fork(), config(), hints);
            assert_eq!((recovery.torn, recovery.segments_removed), (None, 0), "{what} from {recovery_point}");
            assert_eq!(log.log_end_offset(), Offset(120));
            check(&log, &kept, what);
        }
        log.close_cleanly().unwrap();
        let (log, recovery) = reopen(&disk, config(), OpenHints { clean: true, ..OpenHints::default() });
        assert!(recovery.clean);
        check(&log, &kept, what);
    }
}

#[test]
fn a_topic_that_is_compacted_no_more_keeps_its_gaps() {
    let plain = LogConfig { cleanup_compact: false, ..config() };
    let disk = MemDisk::new();
    let (mut log, kept) = gapped(&disk, plain.clone(), |i| i % 3 == 0 || i == 38 || i == 39);
    log.sync_all().unwrap();
    let (log, recovery) = reopen(&disk, plain, OpenHints::default());
    assert_eq!((recovery.torn, recovery.segments_removed), (None, 0));
    check(&log, &kept, "policy delete");
}

#[test]
fn a_base_offset_that_has_risen_is_no_gap() {
    let disk = MemDisk::new();
    let (mut log, kept) = gapped(&disk, LogConfig { segment_bytes: 1 << 20, ..config() }, |i| i % 3 == 2);
    log.sync_all().unwrap();
    // Of the third batch, by 64: beyond the one that follows.
    let position: usize = kept[..2].iter().map(Vec::len).sum();
    disk.damage(&FileKind::Log.path(Path::new(DIR), Offset(0)), position + 7, 64).unwrap();
    let (log, recovery) = reopen(&disk, config(), OpenHints::default());
    let torn = recovery.torn.unwrap();
    assert_eq!((torn.position as usize, log.log_end_offset()), (position, Offset(18)));
}

#[test]
fn what_is_cut_bears_out_no_gap_before_it() {
    let plain = LogConfig { cleanup_compact: false, segment_bytes: 1 << 20, ..config() };
    let disk = MemDisk::new();
    // Batches 0, 1, 3, 5 and 6: of those behind a gap, the last is borne out by its successor, and the other by that.
    let (mut log, kept) = gapped(&disk, plain.clone(), |i| [0, 1, 3, 5, 6].contains(&i));
    log.sync_all().unwrap();
    let position: usize = kept[..4].iter().map(Vec::len).sum();
    disk.damage(&FileKind::Log.path(Path::new(DIR), Offset(0)), position + HEADER_LEN + 4, 1).unwrap();
    let (log, recovery) = reopen(&disk, plain.clone(), OpenHints::default());
    assert_eq!((recovery.torn.is_some(), log.log_end_offset()), (true, Offset(6)));
    drop(log);
    // A crash before anything was written: there is nothing left to cut.
    let (log, recovery) = reopen(&disk, plain, OpenHints::default());
    assert_eq!((recovery.torn, log.log_end_offset()), (None, Offset(6)));
}

#[test]
fn a_segment_that_lost_its_end_is_no_gap_unless_it_was_compacted_so() {
    let disk = MemDisk::new();
    let (mut log, kept) = gapped(&disk, config(), |_| true);
    log.sync_all().unwrap();
    let second = log.segments[1].base;
    assert!(second > Offset(3));
    let first = FileKind::Log.path(Path::new(DIR), Offset(0));
    disk.open(&first, crate::disk::OpenMode::Write).unwrap().truncate(kept[0].len() as u64).unwrap();
    // As Kafka leaves it.
    for known in [
        OpenHints { compacted_upto: Some(second), ..OpenHints::default() },
        OpenHints { recovery_point: Some(second), ..OpenHints::default() },
    ] {
        let (log, recovery) = reopen(&disk.fork(), config(), known);
        assert_eq!((recovery.segments_removed, log.log_end_offset()), (0, Offset(120)));
        let left: Vec<Vec<u8>> =
            kept.iter().enumerate().filter(|(i, _)| *i == 0 || *i as i64 * 3 >= second.0).map(|(_, b)| b.clone()).collect();
        check(&log, &left, "the end of a segment is gone");
    }
    for known in [OpenHints::default(), OpenHints { compacted_upto: Some(Offset(second.0 - 1)), ..OpenHints::default() }] {
        let (log, recovery) = reopen(&disk.fork(), config(), known);
        assert!(recovery.segments_removed > 0 && log.log_end_offset() == Offset(3));
    }
}

#[test]
fn the_log_is_cut_within_a_gap_where_it_was_asked_to_be() {
    for to in 1..120 {
        let disk = MemDisk::new();
        let (mut log, kept) = gapped(&disk, config(), |i| i % 5 == 4);
        log.truncate_to(Offset(to)).unwrap();
        let left: Vec<Vec<u8>> = kept.into_iter().filter(|b| BatchView::new(b).unwrap().last_offset() < to).collect();
        let inside = (to % 15 == 13 || to % 15 == 14).then_some(to / 15 * 15 + 12);
        assert_eq!(log.log_end_offset(), Offset(inside.unwrap_or(to)), "cut at {to}");
        let mut after = batch(2, 30);
        let end = append(&mut log, &after).base_offset;
        after[..8].copy_from_slice(&end.0.to_be_bytes());
        after[12..16].copy_from_slice(&EPOCH.0.to_be_bytes());
        let expected: Vec<Vec<u8>> = left.into_iter().chain([after]).collect();
        assert_eq!(fetch_all(&log, Offset(0), 500), expected, "cut at {to}");
    }
}

#[test]
fn the_start_can_be_moved_into_a_gap() {
    let (mut log, kept) = gapped(&MemDisk::new(), config(), |i| i % 10 == 9);
    assert!(log.advance_log_start(Offset(35)).unwrap());
    assert_eq!(fetch_all(&log, Offset(35), 1), kept[1..]);
    assert!(matches!(log.read(Offset(34), Offset(120), 1, true), Err(ReadError::OffsetOutOfRange { .. })));
}

#[test]
fn the_scrub_goes_over_gaps_in_large_steps_and_still_finds_a_risen_offset() {
    let disk = MemDisk::new();
    let large = LogConfig { segment_bytes: 1 << 20, ..config() };
    let (mut log, kept) = gapped(&disk, large, |i| i % 3 == 2);
    log.roll(NOW).unwrap();
    let pass = |log: &PartitionLog| {
        let (mut place, mut steps) = (ScrubPlace::default(), 0);
        while let Some(mut step) = log.begin_scrub(place, 1 << 20).unwrap() {
            step.run().unwrap();
            place = log.finish_scrub(&step).unwrap();
            steps += 1;
        }
        (steps, log.take_new_damages())
    };
    assert_eq!(pass(&log), (1, Vec::new()));
    let position: usize = kept[..2].iter().map(Vec::len).sum();
    disk.damage(&FileKind::Log.path(Path::new(DIR), Offset(0)), position + 7, 64).unwrap();
    let damages = pass(&log).1;
    assert_eq!((damages.len(), damages[0].positions.start as usize), (1, position));
}

#[test]
fn a_batch_without_records_is_passed_over_by_time_and_tells_of_its_producer() {
    let disk = MemDisk::new();
    let mut follower = new_log(&disk, config());
    let mut first = batch_at(NOW.0, 3, 60, Compression::None);
    first[12..16].copy_from_slice(&EPOCH.0.to_be_bytes());
    let mut producers = batch_of(7, 1, 20, 4);
    producers[..8].copy_from_slice(&3i64.to_be_bytes());
    let producers = BatchView::new(&producers).unwrap();
    assert!(producers.max_timestamp() > NOW.0 + 2);
    follower.append_as_follower(&[first, producers.emptied().unwrap()].concat(), NOW).unwrap();
    let check = |log: &mut PartitionLog| {
        assert_eq!(log.log_end_offset(), Offset(7));
        assert_eq!(log.offset_of_max_timestamp().unwrap().map(|f| f.offset), Some(Offset(2)));
        assert_eq!(log.offset_for_timestamp(TimestampMs(NOW.0 + 3), Offset(7)).unwrap(), None);
        assert!(matches!(try_append(log, &batch_of(7, 1, 29, 1)), Err(AppendError::OutOfOrderSequence { .. })));
        let again = try_append(log, &batch_of(7, 1, 20, 4)).unwrap();
        assert!(again.duplicate && again.base_offset == Offset(3));
    };
    check(&mut follower);
    follower.sync_all().unwrap();
    check(&mut reopen(&disk, config(), OpenHints::default()).0);
}
