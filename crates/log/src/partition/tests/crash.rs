//! What survives: seeded lives of a log, crashed at every call to the disk.
//!
//! Each seed's life is lived once while every call is watched: from a copy of the disk in the middle of the call the power is cut, and
//! the log opened again. And for every call one more thing happens, chosen by seed and call: the process dies, the disk fails there once
//! or for good, or has no room there for a while; then the life is lived again up to there, and on as far as the log allows. What
//! was promised meanwhile is in the ledger, and held against what is found.
//!
//! A failure names seed, call and what happened; `OTTLA_CRASH=seed:call` lives this one again, and `OTTLA_CRASH_SEEDS=10000` more than
//! the usual number.

mod check;
mod ledger;
mod life;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use parking_lot::Mutex;

use self::check::check;
use self::ledger::Ledger;
use self::life::{Chance, boot, config_of, is_want_of_room, live};
use super::*;
use crate::disk::{Call, Fault};
use crate::error::LogError;
use crate::partition::SyncTicket;

fn small() -> LogConfig {
    LogConfig { segment_bytes: 2500, index_interval_bytes: 150, retention_bytes: 7000, retention_ms: -1, ..LogConfig::default() }
}

/// Seeds that are lived when the environment does not say otherwise.
const SEEDS: u64 = 1024;
/// Tests that share them, so that all processors have something to do.
const SHARES: u64 = 8;
/// Seeds that may fail before a test gives up: several show more than one.
const FAILED_MAX: usize = 5;
/// Of so many crashes one is looked at in every way.
const THOROUGH_ONE_IN: u64 = 7;
/// Of so many crashes one is followed by another in the middle of the recovery.
const AGAIN_ONE_IN: u64 = 4;

/// What is done at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    PowerLoss,
    Kill,
    Fails(Fault),
}

/// What happens at a call beside a power loss.
fn blow_at(seed: u64, at: u64, call: Call) -> Blow {
    let mut chance = Chance::at(seed, at);
    match (call, chance.below(4)) {
        (_, 0) => Blow::Kill,
        (_, 1) => Blow::Fails(Fault::Halt { call: at }),
        (Call::Grow, 2) => Blow::Fails(Fault::Full { call: at, calls: 1 }),
        (Call::Grow, _) => Blow::Fails(Fault::Full { call: at, calls: 2 + chance.below(25) }),
        (_, _) => Blow::Fails(Fault::Once { call: at, error: ErrorKind::Other }),
    }
}

fn named(seed: u64, at: u64, blow: Blow, what: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(what)) {
        eprintln!("seed {seed}, call {at}: {blow:?}. To see this again: OTTLA_CRASH={seed}:{at}");
        resume_unwind(panic);
    }
}

/// The disk is as a crash left it: now the log is opened, perhaps after a crash in the middle of that.
fn check_left(disk: &MemDisk, seed: u64, at: u64, ledger: &Ledger) {
    let mut chance = Chance::at(!seed, at);
    let mut disk = disk.clone();
    while chance.below(AGAIN_ONE_IN) == 0 {
        disk.set_fault(Some(Fault::Halt { call: disk.calls() + chance.below(70) }));
        let _ = boot(&disk, config_of(seed), NOW);
        disk.set_fault(None);
        disk = if chance.below(4) == 0 { disk.kill() } else { disk.crash(chance.below(u64::MAX)) };
    }
    check(&disk, seed, ledger, chance.below(THOROUGH_ONE_IN) == 0);
}

/// Lives a life again, with something that fails.
fn live_with(seed: u64, at: u64, fault: Fault) {
    let disk = MemDisk::new();
    disk.set_fault(Some(fault));
    let ledger = Arc::default();
    let outcome = live(&disk, seed, &ledger);
    disk.set_fault(None);
    if let (Ok(mut life), true) = (outcome, is_want_of_room(fault)) {
        life.goes_on();
    }
    let ledger = ledger.lock().clone();
    check_left(&disk.crash(Chance::at(seed, !at).below(u64::MAX)), seed, at, &ledger);
}

/// Crashes a life at every call, or at one; gives how many calls there were.
fn crash_everywhere(seed: u64, only: Option<u64>) -> u64 {
    let disk = MemDisk::new();
    let ledger: Arc<Mutex<Ledger>> = Arc::default();
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (watched, seen) = (Arc::clone(&ledger), Arc::clone(&calls));
    disk.watch(move |call, disk| {
        let at = seen.lock().len() as u64;
        seen.lock().push(call);
        if only.is_none_or(|only| only == at) {
            let ledger = watched.lock();
            named(seed, at, Blow::PowerLoss, || {
                check_left(&disk.fork().crash(Chance::at(seed, at).below(u64::MAX)), seed, at, &ledger);
            });
            if blow_at(seed, at, call) == Blow::Kill {
                named(seed, at, Blow::Kill, || check_left(&disk.kill(), seed, at, &ledger));
            }
        }
    });
    live(&disk, seed, &ledger).unwrap_or_else(|e| panic!("seed {seed}: {e:?}")).goes_on();
    disk.unwatch();
    let calls = std::mem::take(&mut *calls.lock());
    for (at, call) in (0u64..).zip(&calls).filter(|(at, _)| only.is_none_or(|only| only == *at)) {
        let blow = blow_at(seed, at, *call);
        if let Blow::Fails(fault) = blow {
            named(seed, at, blow, || live_with(seed, at, fault));
        }
    }
    calls.len() as u64
}

/// The share `nth` of all seeds.
fn crash_share(nth: u64) {
    if let Ok(one) = std::env::var("OTTLA_CRASH") {
        let (seed, call) = one.split_once(':').expect("OTTLA_CRASH is seed:call");
        if nth == 0 {
            crash_everywhere(seed.parse().unwrap(), Some(call.parse().unwrap()));
        }
        return;
    }
    let seeds = number("OTTLA_CRASH_SEEDS").unwrap_or(SEEDS);
    let mut calls = 0;
    let mut failed = Vec::new();
    for seed in (0..seeds).filter(|seed| seed % SHARES == nth) {
        match catch_unwind(|| crash_everywhere(seed, None)) {
            Ok(count) => calls += count,
            Err(_) => failed.push(seed),
        }
        assert!(failed.len() < FAILED_MAX, "failed: seeds {failed:?} of those up to {seed}");
    }
    assert!(failed.is_empty(), "failed: seeds {failed:?} of {seeds}");
    println!("{} lives, crashed at {calls} calls", seeds / SHARES);
    assert!(calls > seeds / SHARES * 60, "{calls} calls are too few to show anything");
}

macro_rules! shares {
    ($($name:ident: $nth:literal),*) => {
        /// Whatever call it dies in, or that fails: nothing durable is lost, nothing acknowledged changes, offsets are dense, the log opens.
        mod nothing_durable_is_lost_or_changed {
            $(#[test] fn $name() { super::crash_share($nth); })*
        }
    };
}

shares!(first: 0, second: 1, third: 2, fourth: 3, fifth: 4, sixth: 5, seventh: 6, eighth: 7);

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
