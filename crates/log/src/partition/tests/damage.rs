//! What is damaged is not served, and what is not is.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;
use crate::ReadError;
use crate::disk::RealDisk;
use crate::partition::{CHECK_BYTES_MAX, ScrubPlace};
use crate::segment::FileKind;

/// A disk, with a way to flip bits on it.
struct Ground {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    mem: Option<MemDisk>,
    _temp: Option<tempfile::TempDir>,
}

impl Ground {
    fn mem() -> Ground {
        let mem = MemDisk::new();
        Ground { disk: Arc::new(mem.clone()), dir: PathBuf::from(DIR), mem: Some(mem), _temp: None }
    }

    fn real() -> Ground {
        let temp = tempfile::tempdir().unwrap();
        Ground { disk: Arc::new(RealDisk::new()), dir: temp.path().join("t-0"), mem: None, _temp: Some(temp) }
    }

    fn flip(&self, segment: Offset, position: u32, xor: u8) {
        let path = FileKind::Log.path(&self.dir, segment);
        match &self.mem {
            Some(mem) => mem.damage(&path, position as usize, xor).unwrap(),
            None => {
                let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
                let mut byte = [0];
                file.read_exact_at(&mut byte, u64::from(position)).unwrap();
                file.write_all_at(&[byte[0] ^ xor], u64::from(position)).unwrap();
            }
        }
    }

    fn open_clean(&self, end: Offset) -> PartitionLog {
        let hints = OpenHints { clean: true, recovery_point: Some(end), ..OpenHints::default() };
        let (log, recovery) = PartitionLog::open(Arc::clone(&self.disk), &self.dir, config(), hints, NOW).unwrap();
        assert_eq!((recovery.bytes_checked, recovery.torn, log.log_end_offset()), (0, None, end));
        log
    }
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 5_000, index_interval_bytes: 1_000, ..LogConfig::default() }
}

/// A batch and where it is.
#[derive(Clone)]
struct Stored {
    bytes: Vec<u8>,
    segment: Offset,
    position: u32,
    first: Offset,
    next: Offset,
    sealed: bool,
}

fn batches_of(log: &PartitionLog) -> Vec<Stored> {
    let mut position = 0;
    let mut before = Offset(-1);
    let mut all = Vec::new();
    for (first, bytes) in read_all(log, log.log_start_offset(), 1 << 20) {
        let segment = &log.segments[log.segment_of(first).unwrap()];
        if segment.base != before {
            (before, position) = (segment.base, 0);
        }
        let next = Offset(ottla_wire::batch::BatchView::new(&bytes).unwrap().last_offset() + 1);
        let sealed = segment.base != log.active_segment_base();
        let len = bytes.len() as u32;
        all.push(Stored { bytes, segment: segment.base, position, first, next, sealed });
        position += len;
    }
    all
}

/// A log with sealed segments and an active one, stopped cleanly.
fn stopped(ground: &Ground, batches: usize) -> (Vec<Stored>, Offset) {
    let mut log = new_log_on(Arc::clone(&ground.disk), &ground.dir, config());
    for i in 0..batches {
        append(&mut log, &batch(2 + i % 3, 60 + 10 * (i % 5)));
    }
    let (stored, end) = (batches_of(&log), log.log_end_offset());
    assert!(log.segment_count() >= 3 && stored.iter().filter(|b| !b.sealed).count() >= 3);
    log.close_cleanly().unwrap();
    (stored, end)
}

fn check_around(log: &PartitionLog, all: &[Stored], victim: usize, backwards: bool) {
    let end = log.log_end_offset();
    let (bad, context) = (&all[victim], format!("batch {victim}, backwards {backwards}"));
    let mut offsets: Vec<(usize, i64)> =
        all.iter().enumerate().flat_map(|(i, b)| (b.first.0..b.next.0).map(move |offset| (i, offset))).collect();
    if backwards {
        offsets.reverse();
    }
    for round in 0..2 {
        for (i, offset) in &offsets {
            match log.read(Offset(*offset), end, 1, true) {
                Ok(out) => {
                    assert_ne!(*i, victim, "{context}: served offset {offset}");
                    assert_eq!(bytes_of(&out), all[*i].bytes, "{context}: offset {offset}, round {round}");
                }
                Err(ReadError::Damaged { path, position, offsets, .. }) => {
                    assert_eq!(*i, victim, "{context}: refused offset {offset} at {position}");
                    assert_eq!(path, FileKind::Log.path(log.dir(), bad.segment));
                    assert_eq!((position, offsets), (u64::from(bad.position), bad.first..bad.next), "{context}");
                }
                Err(other) => panic!("{context}: {other}"),
            }
        }
    }
    let together = |some: &[Stored]| some.iter().flat_map(|b| b.bytes.clone()).collect::<Vec<u8>>();
    if victim > 0 {
        assert_eq!(bytes_of(&log.read(Offset(0), end, 1 << 20, false).unwrap()), together(&all[..victim]), "{context}");
        let upto = log.read(Offset(0), bad.first, 1 << 20, false).unwrap();
        assert_eq!(bytes_of(&upto), together(&all[..victim]), "{context}");
    }
    if bad.next < end {
        assert_eq!(bytes_of(&log.read(bad.next, end, 1 << 20, false).unwrap()), together(&all[victim + 1..]), "{context}");
    }
    let told = log.take_new_damages();
    assert_eq!(told.len(), 1, "{context}: {told:?}");
    assert_eq!((told[0].segment, told[0].positions.start, &told[0].offsets), (bad.segment, bad.position, &(bad.first..bad.next)));
    assert_eq!(log.take_new_damages(), [], "told once");
}

/// Bits of a batch: what the CRC covers, and the header around it.
const COVERED: [(u32, u8); 3] = [(90, 1), (22, 8), (18, 0x10)];
const HEADER: [(u32, u8); 8] = [(26, 1), (7, 1), (7, 8), (3, 0x40), (11, 1), (10, 2), (9, 0x40), (16, 2)];

#[test]
fn a_damaged_batch_is_not_served_and_all_around_it_is() {
    for ground in [Ground::mem(), Ground::real()] {
        let (all, end) = stopped(&ground, 40);
        for (victim, bad) in all.iter().enumerate() {
            // How a log is opened whose growing segment has damaged headers is for recovery to say.
            let headers = if bad.sealed { &HEADER[..] } else { &[] };
            for (at, xor) in COVERED.iter().chain(headers) {
                ground.flip(bad.segment, bad.position + at, *xor);
                let backwards = (victim + *at as usize).is_multiple_of(2);
                let log = ground.open_clean(end);
                check_around(&log, &all, victim, backwards);
                drop(log);
                ground.flip(bad.segment, bad.position + at, *xor);
            }
        }
        let log = ground.open_clean(end);
        check_whole(&log);
        assert_eq!(log.take_new_damages(), []);
    }
}

#[test]
fn what_this_process_wrote_or_recovered_is_not_read_to_be_checked() {
    let ground = Ground::mem();
    let disk = ground.mem.clone().unwrap();
    let mut log = new_log_on(Arc::clone(&ground.disk), &ground.dir, LogConfig::default());
    for _ in 0..50 {
        append(&mut log, &batch(3, 100));
    }
    let end = log.log_end_offset();
    let read = |log: &PartitionLog| {
        let before = disk.calls();
        let out = log.read(Offset(0), log.log_end_offset(), 1 << 20, true).unwrap();
        (out.bytes, out.checked_bytes, disk.calls() - before)
    };
    let size = log.size_bytes() as u32;
    assert_eq!(read(&log), (size, 0, 1), "one call, for the bytes that are sent");
    log.sync_all().unwrap();
    log.close_cleanly().unwrap();

    let mut log = ground.open_clean(end);
    let (bytes, checked, calls) = read(&log);
    assert!((bytes, checked) == (size, size) && calls > 2, "{calls} calls");
    assert_eq!(read(&log), (size, 0, 1), "checked once");
    append(&mut log, &batch(3, 100));
    let out = log.read(end, log.log_end_offset(), 1 << 20, true).unwrap();
    assert_eq!((out.checked_bytes, out.first_offset), (0, end));
    drop(log);

    let hints = OpenHints { recovery_point: Some(Offset(0)), ..OpenHints::default() };
    let (log, recovery) = PartitionLog::open(Arc::clone(&ground.disk), &ground.dir, LogConfig::default(), hints, NOW).unwrap();
    assert_eq!(recovery.bytes_checked, log.size_bytes());
    let out = log.read(Offset(0), log.log_end_offset(), 1 << 20, true).unwrap();
    assert_eq!((u64::from(out.bytes), out.checked_bytes), (log.size_bytes(), 0), "recovery has read it");
}

#[test]
fn one_read_checks_a_bounded_part_and_gives_it() {
    let ground = Ground::real();
    let roomy = LogConfig { max_message_bytes: 4 << 20, ..LogConfig::default() };
    let mut log = new_log_on(Arc::clone(&ground.disk), &ground.dir, roomy.clone());
    for _ in 0..8 {
        append(&mut log, &batch(3, 100_000));
    }
    // Larger than what is read at once, and than what one read checks.
    append(&mut log, &batch(20, 100_000));
    let (all, end) = (batches_of(&log), log.log_end_offset());
    log.close_cleanly().unwrap();
    let hints = OpenHints { clean: true, recovery_point: Some(end), ..OpenHints::default() };
    let open = || PartitionLog::open(Arc::clone(&ground.disk), &ground.dir, roomy.clone(), hints, NOW).unwrap().0;

    let log = open();
    let nothing = log.read_checking(Offset(0), end, 8 << 20, true, 0).unwrap();
    assert_eq!((nothing.bytes, nothing.is_cut_short, nothing.next_offset), (0, true, Offset(0)));
    let (mut next, mut found, mut reads) = (Offset(0), Vec::new(), 0);
    while next < end {
        let out = log.read(next, end, 8 << 20, false).unwrap();
        let last = out.next_offset == end;
        let largest = all[0].bytes.len() as u32;
        assert!(out.checked_bytes <= CHECK_BYTES_MAX + largest || last, "{} bytes", out.checked_bytes);
        assert_eq!((out.is_cut_short, out.bytes), (!last, out.checked_bytes));
        found.extend(bytes_of(&out));
        (next, reads) = (out.next_offset, reads + 1);
    }
    let whole: Vec<u8> = all.iter().flat_map(|b| b.bytes.clone()).collect();
    assert!(found == whole && reads >= 3);
    let again = log.read_checking(Offset(0), end, 8 << 20, true, 0).unwrap();
    assert_eq!((again.bytes as usize, again.is_cut_short), (whole.len(), false), "checked: no bound any more");
    drop(log);

    let large = all.last().unwrap();
    ground.flip(large.segment, large.position + 1_500_000, 4);
    assert!(matches!(open().read(large.first, end, 8 << 20, true), Err(ReadError::Damaged { .. })));
}

fn scrub(log: &PartitionLog) -> u64 {
    let (mut place, mut bytes) = (ScrubPlace::default(), 0);
    while let Some(mut step) = log.begin_scrub(place, 1).unwrap() {
        bytes += u64::from(step.run().unwrap());
        let reached = log.finish_scrub(&step).unwrap();
        assert_ne!(reached, place, "it goes on");
        place = reached;
    }
    bytes
}

#[test]
fn the_scrub_finds_damage_that_nobody_has_read() {
    for (at, xor) in COVERED.iter().chain(&HEADER) {
        let ground = Ground::mem();
        let (all, end) = stopped(&ground, 40);
        let log = ground.open_clean(end);
        let sealed: u64 = all.iter().filter(|b| b.sealed).map(|b| b.bytes.len() as u64).sum();
        assert_eq!((scrub(&log), log.take_new_damages()), (sealed, vec![]));
        assert_eq!(log.read(Offset(0), all[3].first, 1 << 20, true).unwrap().checked_bytes, 0, "the scrub has checked it");

        // Sound when it was looked at, and rotten since.
        let bad = &all[7];
        assert!(bad.sealed);
        ground.flip(bad.segment, bad.position + at, *xor);
        scrub(&log);
        let told = log.take_new_damages();
        assert_eq!(told.iter().map(|d| (d.segment, d.offsets.clone())).collect::<Vec<_>>(), [(bad.segment, bad.first..bad.next)]);
        scrub(&log);
        assert_eq!(log.take_new_damages(), [], "told once");
        assert!(matches!(log.read(bad.first, end, 1 << 20, true), Err(ReadError::Damaged { .. })), "not served from what was sound");
        assert_eq!(bytes_of(&log.read(all[8].first, end, 1, true).unwrap()), all[8].bytes);
    }
}

#[test]
fn a_clean_stop_does_not_vouch_for_the_batch_that_says_where_the_log_ends() {
    let ground = Ground::mem();
    let (all, end) = stopped(&ground, 40);
    let last = all.last().unwrap();
    let open = || {
        let disk = ground.mem.as_ref().unwrap().fork();
        PartitionLog::open(
            Arc::new(disk),
            &ground.dir,
            config(),
            OpenHints { clean: true, recovery_point: Some(end), ..OpenHints::default() },
            NOW,
        )
        .unwrap()
    };
    assert!(open().1.clean);
    for (at, xor) in COVERED {
        ground.flip(last.segment, last.position + at, xor);
        let (log, recovery) = open();
        assert_eq!((recovery.clean, recovery.ended_below_recovery_point, log.log_end_offset()), (false, false, end), "byte {at}");
        assert!(matches!(log.read(last.first, end, 1, true), Err(ReadError::Damaged { .. })), "byte {at}");
        ground.flip(last.segment, last.position + at, xor);
    }
    // Its last offset: no offset that nobody was given is skipped, and what is lost is told.
    for (at, xor) in [(26, 1), (26, 2), (26, 4), (25, 1), (23, 0x10)] {
        ground.flip(last.segment, last.position + at, xor);
        let (log, recovery) = open();
        assert_eq!((recovery.clean, recovery.ended_below_recovery_point), (false, true), "byte {at}, {xor}");
        assert!(log.log_end_offset() < end, "byte {at}, {xor}: {}", log.log_end_offset());
        ground.flip(last.segment, last.position + at, xor);
    }
}

#[test]
fn a_scrubbed_segment_may_go_meanwhile() {
    let ground = Ground::mem();
    let (all, end) = stopped(&ground, 40);
    ground.flip(all[4].segment, all[4].position + 80, 1);
    let mut log = ground.open_clean(end);
    let mut step = log.begin_scrub(ScrubPlace::default(), 1 << 20).unwrap().unwrap();
    step.run().unwrap();
    log.truncate_to(all[2].first).unwrap();
    append(&mut log, &batch(9, 10));
    let place = log.finish_scrub(&step).unwrap();
    assert!(log.begin_scrub(place, 1 << 20).unwrap().is_none());
    check_whole(&log);
    assert_eq!(log.take_new_damages(), []);
}

#[test]
fn a_cut_takes_its_damage_along() {
    let ground = Ground::mem();
    let (all, end) = stopped(&ground, 40);
    let bad = &all[7];
    ground.flip(bad.segment, bad.position + 80, 1);
    let mut log = ground.open_clean(end);
    log.read(bad.first, end, 1, true).unwrap_err();
    log.truncate_to(all[2].first).unwrap();
    for _ in 0..40 {
        append(&mut log, &batch(3, 60));
    }
    check_whole(&log);

    // What is in its place now is not confused with it when the segment is looked at again.
    assert!(log.distrust(bad.segment, 0));
    check_whole(&log);
}
