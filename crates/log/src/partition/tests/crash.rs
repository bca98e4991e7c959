//! What survives: a workload crashed at every call to the disk, with torn writes and forgotten names.

use std::io::ErrorKind;

use super::*;
use crate::disk::Fault;
use crate::error::LogError;
use crate::partition::SyncTicket;
use crate::segment::FileKind;

/// What was promised before the crash.
struct Promised {
    /// Durable end when it was last given, and the batches below it.
    durable: Offset,
    batches: Vec<(Offset, Vec<u8>)>,
    log_start: Offset,
    created: bool,
}

impl Promised {
    fn nothing() -> Promised {
        Promised { durable: Offset(0), batches: Vec::new(), log_start: Offset(0), created: false }
    }
}

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 2500,
        index_interval_bytes: 150,
        retention_bytes: 7000,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// A seeded life of a log, until the disk halts. Keeps what was promised as it is promised.
fn live(disk: &MemDisk, seed: u64, promised: &mut Promised) -> Result<(), LogError> {
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let tp = TopicPartition::from_folder_name("t-0").unwrap();
    disk.create_dir_all(Path::new("/logs")).map_err(|_| LogError::BadFolderName(DIR.into()))?;
    disk.sync_dir(Path::new("/")).map_err(|_| LogError::BadFolderName(DIR.into()))?;
    let mut log = PartitionLog::create(Arc::new(disk.clone()), Path::new(DIR), tp, TopicId(Uuid::from_bytes([1; 16])), small(), NOW)?;
    log.sync.snapshot_interval_bytes = 1000;
    log.sync_all()?;
    promised.created = true;
    let (mut written, mut sequence, mut ticket) = (Vec::new(), 0, None);
    for _ in 0..60 {
        match random(12) {
            0..=5 => {
                let count = 1 + random(6) as usize;
                let records = batch_of(1, 0, sequence, count);
                let epoch = LeaderEpoch(sequence / 9);
                match log.append_as_leader(&records, epoch, AppendOrigin::Client, NOW) {
                    Ok(appended) => {
                        sequence += count as i32;
                        let mut stored = records;
                        stored[..8].copy_from_slice(&appended.base_offset.0.to_be_bytes());
                        stored[12..16].copy_from_slice(&epoch.0.to_be_bytes());
                        written.push((appended.base_offset, stored));
                    }
                    Err(AppendError::Log(e)) => return Err(e),
                    Err(other) => panic!("{other}"),
                }
            }
            6 | 7 => {
                if ticket.is_none() {
                    ticket = log.begin_sync()?;
                }
            }
            8 | 9 => {
                if let Some(mut t) = ticket.take() {
                    // How it went stands in the ticket.
                    if random(2) == 0 {
                        let _ = t.sync();
                    } else {
                        let _ = SyncTicket::sync_all(std::slice::from_mut(&mut t), disk, Path::new("/logs"));
                    }
                    promised.durable = log.finish_sync(t)?;
                    promised.batches = written.iter().filter(|(base, _)| *base < promised.durable).cloned().collect();
                }
            }
            10 => {
                let durable = log.durable_end();
                // Deleting may get half way.
                if let Ok(Some(old)) = log.old_segments(durable, NOW) {
                    promised.log_start = old.log_start;
                }
                log.delete_old_segments(durable, NOW)?;
                assert_eq!(log.log_start_offset(), promised.log_start);
                log.remove_deleted_files(NOW)?;
            }
            _ => {
                // What is cut was not promised to anyone any more.
                let to = Offset(log.log_start_offset().0.max(log.log_end_offset().0 - random(8) as i64));
                if random(3) == 0 && to < log.log_end_offset() {
                    promised.batches.retain(|(base, b)| base.0 + i64::from(b[26]) < to.0);
                    // A batch goes as a whole, so the end may be below `to`.
                    let left = promised.batches.last().map_or(promised.log_start, |(base, b)| base.plus(i64::from(b[26]) + 1));
                    promised.durable = promised.durable.min(left);
                    log.truncate_to(to)?;
                    let end = log.log_end_offset();
                    written.retain(|(base, _)| *base < end);
                    sequence = end.0 as i32;
                    let _ = ticket.take();
                }
            }
        }
    }
    Ok(())
}

fn check_after(disk: &MemDisk, promised: &Promised, what: &str) {
    if !promised.created && disk.list_dir(Path::new(DIR)).is_err() {
        return;
    }
    let hints = OpenHints { recovery_point: Some(promised.durable), ..OpenHints::default() };
    let opened = PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), small(), hints, NOW);
    let (mut log, recovery) = opened.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(log.log_end_offset() >= promised.durable, "{what}: ends at {}, {} was durable", log.log_end_offset(), promised.durable);
    assert!(!recovery.ended_below_recovery_point, "{what}");
    assert!(log.log_start_offset() <= promised.log_start, "{what}");
    let all = read_all(&log, log.log_start_offset(), 900);
    for (base, bytes) in promised.batches.iter().filter(|(base, _)| *base >= promised.log_start) {
        let found = all.iter().find(|(b, _)| b == base).unwrap_or_else(|| panic!("{what}: {base} is gone"));
        assert_eq!(&found.1, bytes, "{what}: {base} was changed");
    }
    check_whole(&log);
    check_indexes(disk, &log, what);
    assert_eq!(log.epochs().entries(), epochs_of(&all, log.log_start_offset()), "{what}: the leader epochs are not those of the batches");
    // The producer goes on where the log ends, is answered what is there, and is not let in with a gap.
    let end = log.log_end_offset();
    if end > log.log_start_offset() {
        append(&mut log, &batch_of(1, 0, end.0 as i32, 2));
        assert!(append(&mut log, &batch_of(1, 0, end.0 as i32, 2)).duplicate, "{what}");
        let gap = try_append(&mut log, &batch_of(1, 0, end.0 as i32 + 9, 1));
        assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })), "{what}: {gap:?}");
        assert_eq!(log.sync_all().unwrap(), end.plus(2));
    }
}

/// The leader epochs as the batches of a log tell them.
fn epochs_of(batches: &[(Offset, Vec<u8>)], log_start: Offset) -> Vec<(LeaderEpoch, Offset)> {
    let mut epochs: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for (base, bytes) in batches {
        let epoch = LeaderEpoch(i32::from_be_bytes(bytes[12..16].try_into().unwrap()));
        if epochs.last().is_none_or(|(last, _)| *last < epoch) {
            epochs.push((epoch, (*base).max(log_start)));
        }
    }
    epochs
}

fn last_entry(mut times: Vec<u8>) -> Vec<u8> {
    times.split_off(times.len() - 12)
}

/// The indexes of closed segments are those that would be made anew from their batches. (Of a time index the last entry: one that
/// was made when the segment was closed stays when the log is cut and the segment grows again, with Kafka too.)
fn check_indexes(disk: &MemDisk, log: &PartitionLog, what: &str) {
    let indexes = |disk: &MemDisk, log: &PartitionLog| -> Vec<Vec<u8>> {
        let read = |kind: FileKind, base| disk.read_all(&kind.path(Path::new(DIR), base)).unwrap();
        let closed = log.segments[..log.segments.len() - 1].iter().map(|s| s.base);
        closed.flat_map(|base| [read(FileKind::OffsetIndex, base), last_entry(read(FileKind::TimeIndex, base))]).collect()
    };
    let anew = disk.fork();
    for name in disk.list_dir(Path::new(DIR)).unwrap().into_iter().map(|e| e.name).filter(|n| n.ends_with("index")) {
        anew.remove_file(&Path::new(DIR).join(name)).unwrap();
    }
    let (fresh, _) = reopen(&anew, small(), OpenHints::default());
    assert_eq!(indexes(disk, log), indexes(&anew, &fresh), "{what}: an index is not what its segment says");
}

/// Lives that are crashed at every call: enough to find what is broken; more are had by the environment.
fn seeds() -> u64 {
    std::env::var("OTTLA_CRASH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
}

#[test]
fn whatever_call_it_dies_in_nothing_durable_is_lost() {
    let mut crashes = 0;
    for seed in 0..seeds() {
        let mut call = 0;
        loop {
            let disk = MemDisk::new();
            disk.set_fault(Some(Fault::Halt { call }));
            let mut promised = Promised::nothing();
            let ended = live(&disk, seed, &mut promised);
            disk.set_fault(None);
            check_after(&disk.fork().crash(seed * 1000 + call), &promised, &format!("seed {seed}, power lost at call {call}"));
            check_after(&disk.fork().kill(), &promised, &format!("seed {seed}, killed at call {call}"));
            crashes += 2;
            if ended.is_ok() {
                break;
            }
            call += 1 + call / 40;
        }
    }
    assert!(crashes > 2000, "{crashes}");
}

#[test]
fn a_crash_in_the_middle_of_a_recovery_changes_nothing() {
    for seed in 0..40 {
        let disk = MemDisk::new();
        let mut promised = Promised::nothing();
        live(&disk, seed, &mut promised).unwrap();
        let mut disk = disk.crash(seed);
        for (again, call) in (3..60).step_by(6).enumerate() {
            disk.set_fault(Some(Fault::Halt { call: disk.calls() + call }));
            let hints = OpenHints { recovery_point: Some(promised.durable), ..OpenHints::default() };
            let _ = PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), small(), hints, NOW);
            disk.set_fault(None);
            disk = disk.crash(seed + 100 * again as u64);
        }
        check_after(&disk, &promised, &format!("seed {seed}"));
    }
}

#[test]
fn an_error_of_the_disk_at_any_call_loses_nothing_durable() {
    for (seed, error) in [(1, ErrorKind::StorageFull), (2, ErrorKind::Other), (3, ErrorKind::StorageFull), (4, ErrorKind::Other)] {
        for call in 0..250 {
            let disk = MemDisk::new();
            disk.set_fault(Some(Fault::Once { call, error }));
            let mut promised = Promised::nothing();
            let _ = live(&disk, seed, &mut promised);
            disk.set_fault(None);
            check_after(&disk.crash(call), &promised, &format!("seed {seed}, {error:?} at call {call}"));
        }
    }
}

#[test]
fn a_sync_that_failed_is_never_tried_again() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, small());
    log.sync_all().unwrap();
    append(&mut log, &batch(3, 10));
    let mut ticket = log.begin_sync().unwrap().unwrap();
    disk.set_fault(Some(Fault::Once { call: disk.calls(), error: ErrorKind::Other }));
    assert!(ticket.sync().is_err());
    assert!(matches!(log.finish_sync(ticket), Err(LogError::Failed { .. })));
    assert_eq!(log.durable_end(), Offset(0));
    assert!(matches!(log.begin_sync(), Err(LogError::Failed { .. })));
    assert!(matches!(try_append(&mut log, &batch(1, 1)), Err(AppendError::Log(LogError::Failed { .. }))));
    assert_eq!(read_all(&log, Offset(0), 100).len(), 1, "reads go on");
}

#[test]
fn a_ticket_covers_what_was_written_before_it_and_no_more() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, small());
    append(&mut log, &batch(3, 10));
    assert!(log.unsynced_bytes() > 0);
    let mut ticket = log.begin_sync().unwrap().unwrap();
    append(&mut log, &batch(2, 10));
    ticket.sync().unwrap();
    assert_eq!(log.durable_end(), Offset(0), "not before it is finished");
    assert_eq!(log.finish_sync(ticket).unwrap(), Offset(3));
    assert!(log.is_dirty());
    let unfinished = log.begin_sync().unwrap().unwrap();
    assert_eq!(log.finish_sync(unfinished).unwrap(), Offset(3), "a ticket that was not run proves nothing");
    assert_eq!(log.sync_all().unwrap(), Offset(5));
    assert!(!log.is_dirty() && log.unsynced_bytes() == 0 && log.begin_sync().unwrap().is_none());
    // A log that was cut meanwhile is not what the ticket saw.
    append(&mut log, &batch(4, 10));
    let mut ticket = log.begin_sync().unwrap().unwrap();
    log.truncate_to(Offset(5)).unwrap();
    append(&mut log, &batch(6, 10));
    ticket.sync().unwrap();
    assert_eq!(log.finish_sync(ticket).unwrap(), Offset(5));
}

#[test]
fn many_logs_are_synced_at_once_with_the_same_promise() {
    let disk = MemDisk::new();
    let mut logs: Vec<PartitionLog> =
        (0..5).map(|i| new_log_on(Arc::new(disk.clone()), Path::new(&format!("/logs/t-{i}")), small())).collect();
    for log in &mut logs {
        append(log, &batch_of(1, 0, 0, 9));
    }
    let mut tickets: Vec<_> = logs.iter_mut().map(|l| l.begin_sync().unwrap().unwrap()).collect();
    SyncTicket::sync_all(&mut tickets, &disk, Path::new("/logs")).unwrap();
    for (log, ticket) in logs.iter_mut().zip(tickets) {
        assert_eq!(log.finish_sync(ticket).unwrap(), Offset(9));
    }
    let disk = disk.crash(1);
    for i in 0..5 {
        let hints = OpenHints { recovery_point: Some(Offset(9)), ..OpenHints::default() };
        let (log, recovery) = PartitionLog::open(Arc::new(disk.clone()), Path::new(&format!("/logs/t-{i}")), small(), hints, NOW).unwrap();
        assert_eq!((log.log_end_offset(), recovery.bytes_checked, log.latest_epoch()), (Offset(9), 0, Some(EPOCH)));
    }
}

#[test]
fn a_batch_that_was_cut_does_not_come_back_behind_what_was_written_in_its_place() {
    // Whole sectors, so that those of the old batches may survive beside those of the new.
    let overhead = batch(1, 1000).len() - 1000;
    let sectors = || batch(1, 1024 - overhead);
    assert_eq!(sectors().len(), 1024);
    for seed in 0..100 {
        let disk = MemDisk::new();
        let mut log = new_log(&disk, LogConfig::default());
        for _ in 0..3 {
            log.append_as_leader(&sectors(), LeaderEpoch(1), AppendOrigin::Client, NOW).unwrap();
        }
        log.sync_all().unwrap();
        log.truncate_to(Offset(1)).unwrap();
        log.append_as_leader(&sectors(), LeaderEpoch(2), AppendOrigin::Client, NOW).unwrap();
        let hints = OpenHints { recovery_point: Some(Offset(1)), ..OpenHints::default() };
        let (log, _) = reopen(&disk.crash(seed), LogConfig::default(), hints);
        let epochs: Vec<i32> =
            read_all(&log, Offset(0), 1 << 20).iter().map(|(_, b)| i32::from_be_bytes(b[12..16].try_into().unwrap())).collect();
        assert!(epochs == [1] || epochs == [1, 2], "seed {seed}: {epochs:?}");
    }
}
