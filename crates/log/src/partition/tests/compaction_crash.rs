//! Compaction cut short at every call to the disk: by a lost power supply, by the end of the process, by an error.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use ottla_wire::batch::DecompressLimits;

use super::compaction::{Random, compact, config, seal, write};
use super::*;
use crate::compact::{CompactionError, MapLimits};
use crate::disk::Fault;
use crate::error::LogError;

/// Key and value of each record, by offset.
type Records = BTreeMap<i64, (Vec<u8>, Option<Vec<u8>>)>;

fn records(log: &PartitionLog) -> Records {
    let (mut next, end, mut all) = (log.log_start_offset(), log.log_end_offset(), BTreeMap::new());
    while next < end {
        let bytes = bytes_of(&log.read(next, end, 700, true).unwrap());
        for batch in Batches::strict(&bytes) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            assert!(batch.last_offset() >= next.0, "batches do not overlap");
            for record in &batch.records(&DecompressLimits::default()).unwrap() {
                let r = record.unwrap();
                let before = all.insert(r.offset, (r.key.unwrap().to_vec(), r.value.map(<[u8]>::to_vec)));
                assert!(before.is_none(), "{} is there twice", r.offset);
            }
            next = Offset(batch.last_offset() + 1);
        }
    }
    all
}

fn newest(records: &Records) -> BTreeMap<Vec<u8>, i64> {
    records.iter().map(|(offset, (key, _))| (key.clone(), *offset)).collect()
}

/// A log of several segments that several passes will merge; all of it is durable.
fn filled(disk: &MemDisk, seed: u64) -> PartitionLog {
    let mut random = Random(seed);
    let mut log = new_log(disk, config());
    let mut sequence = 0;
    for i in 0..50 {
        let key = |random: &mut Random| format!("key{}", random.below(9));
        if random.below(3) == 0 {
            let records = batch_of(7, 0, sequence, 2);
            append(&mut log, &records);
            sequence += 2;
        } else {
            let (first, second) = (key(&mut random), key(&mut random));
            write(&mut log, &[(&first, Some(&format!("{i:0>50}"))), (&second, (random.below(4) > 0).then_some("v"))]);
        }
        if random.below(8) == 0 {
            log.roll(NOW).unwrap();
        }
    }
    seal(&mut log);
    log
}

/// Two passes with something new in between, until the disk halts.
fn passes(log: &mut PartitionLog) -> Result<(), CompactionError> {
    for map_bytes in [24 * 12, 1 << 20] {
        compact(log, MapLimits { bytes_max: map_bytes, load_factor: 0.9 }, NOW)?;
        log.remove_deleted_files(TimestampMs(i64::MAX)).map_err(CompactionError::Log)?;
    }
    Ok(())
}

fn check(disk: &MemDisk, before: &Records, end: Offset, recovery_point: Offset, what: &str) {
    let hints = OpenHints { recovery_point: Some(recovery_point), ..OpenHints::default() };
    let opened = PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), config(), hints, NOW);
    let (mut log, recovery) = opened.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!((log.log_end_offset(), recovery.torn, recovery.segments_removed), (end, None, 0), "{what}");
    let found = records(&log);
    for (offset, record) in &found {
        assert_eq!(before.get(offset), Some(record), "{what}: {offset}");
    }
    assert_eq!(newest(&found), newest(before), "{what}: the newest of each key");
    let names: Vec<String> = disk.list_dir(Path::new(DIR)).unwrap().into_iter().map(|e| e.name).collect();
    let left = names.iter().find(|n| [".cleaned", ".swap", ".deleted"].iter().any(|end| n.ends_with(end)));
    assert_eq!(left, None, "{what}");
    // It goes on: appends, a pass, and once more from the disk.
    let sequence = log.producers.last_batches().next().map(|(_, _, last)| last);
    assert!(sequence.is_some_and(|last| last.is_some()), "{what}: the producer is forgotten");
    write(&mut log, &[("key0", Some("after"))]);
    seal(&mut log);
    compact(&mut log, MapLimits::default(), NOW).unwrap();
    let mut expected = newest(before);
    expected.insert(b"key0".to_vec(), end.0);
    assert_eq!(newest(&records(&log)), expected, "{what}: after another pass");
    assert_eq!(records(&log).len(), expected.len(), "{what}: superseded records are left");
}

#[test]
fn a_crash_at_any_call_of_a_pass_leaves_the_newest_of_each_key() {
    let seeds = number("OTTLA_CRASH_SEEDS").unwrap_or(2);
    for seed in 0..seeds {
        let disk = MemDisk::new();
        let log = filled(&disk, seed);
        let (before, end) = (records(&log), log.log_end_offset());
        drop(log);
        let (mut crashes, mut call) = (0, 0);
        loop {
            let disk = disk.fork();
            let hints = OpenHints { recovery_point: Some(end), ..OpenHints::default() };
            let (mut log, _) = reopen(&disk, LogConfig { file_delete_delay_ms: 0, ..config() }, hints);
            log.sync_all().unwrap();
            let from = log.durable_end();
            disk.set_fault(Some(Fault::Halt { call: disk.calls() + call }));
            let ended = passes(&mut log);
            drop(log);
            disk.set_fault(None);
            for recovery_point in [from, Offset(0)] {
                let lost = seed * 1000 + call + recovery_point.0 as u64;
                check(&disk.fork().crash(lost), &before, end, recovery_point, &format!("seed {seed}, power lost at call {call}"));
            }
            check(&disk.fork().kill(), &before, end, from, &format!("seed {seed}, killed at call {call}"));
            crashes += 3;
            if ended.is_ok() {
                break;
            }
            call += 1;
        }
        assert!(crashes > 150, "{crashes}");
    }
}

#[test]
fn a_crash_while_a_replacement_is_gone_on_with_changes_nothing() {
    for seed in 0..3 {
        let disk = MemDisk::new();
        let mut log = filled(&disk, seed);
        let (before, end) = (records(&log), log.log_end_offset());
        let mut calls = 0;
        for call in 0.. {
            let disk = disk.fork();
            let hints = OpenHints { recovery_point: Some(end), ..OpenHints::default() };
            let (mut log, _) = reopen(&disk, config(), hints);
            log.sync_all().unwrap();
            disk.set_fault(Some(Fault::Halt { call: disk.calls() + call }));
            let ended = passes(&mut log);
            drop(log);
            disk.set_fault(None);
            let mut disk = disk.kill();
            let swap = disk.list_dir(Path::new(DIR)).unwrap().iter().any(|e| e.name.ends_with(".log.swap"));
            if swap {
                for again in 0..30 {
                    disk.set_fault(Some(Fault::Halt { call: disk.calls() + again }));
                    let opened = PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), config(), hints, NOW);
                    disk.set_fault(None);
                    disk = if again % 2 == 0 { disk.crash(seed + again) } else { disk.kill() };
                    if opened.is_ok() {
                        break;
                    }
                    calls += 1;
                }
            }
            check(&disk, &before, end, end, &format!("seed {seed}, call {call}"));
            if ended.is_ok() {
                break;
            }
        }
        assert!(calls > 30, "{calls}");
        compact(&mut log, MapLimits::default(), NOW).unwrap();
    }
}

#[test]
fn an_error_of_the_disk_at_any_call_loses_nothing() {
    for (seed, error) in [(1, ErrorKind::StorageFull), (2, ErrorKind::Other)] {
        let disk = MemDisk::new();
        let log = filled(&disk, seed);
        let (before, end) = (records(&log), log.log_end_offset());
        drop(log);
        for call in 0.. {
            let disk = disk.fork();
            let hints = OpenHints { recovery_point: Some(end), ..OpenHints::default() };
            let (mut log, _) = reopen(&disk, config(), hints);
            log.sync_all().unwrap();
            disk.set_fault(Some(Fault::Once { call: disk.calls() + call, error }));
            let ended = passes(&mut log);
            disk.set_fault(None);
            let what = format!("seed {seed}, {error:?} at call {call}");
            match ended {
                Ok(()) => break,
                Err(CompactionError::Log(_)) => {}
                Err(other) => panic!("{what}: {other}"),
            }
            // Either it serves all, or it takes no more writes until it is opened again.
            if log.failure().is_none() {
                assert_eq!(newest(&records(&log)), newest(&before), "{what}");
                compact(&mut log, MapLimits::default(), NOW).unwrap();
                assert_eq!(newest(&records(&log)), newest(&before), "{what}: tried again");
            } else {
                assert!(matches!(try_append(&mut log, &batch(1, 1)), Err(AppendError::Log(LogError::Failed { .. }))));
            }
            drop(log);
            check(&disk.fork().crash(call), &before, end, end, &what);
            check(&disk.kill(), &before, end, end, &what);
        }
    }
}
