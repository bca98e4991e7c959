//! The metadata log on a disk that dies, tears and fails, at every call that redb makes to it.
//!
//! Each seed does a number of things to the file (entries, votes, truncations, purges, snapshots). At every call to the storage the
//! power is cut in a copy of the disk: of what was not synced each sector (512 bytes) stays or does not, whatever the order in which it
//! was written. And the disk fails there, once or for good, or has no room for a while. A file that goes on after that must be as if the
//! failed change had never been tried. Then it must open, and hold all that was acknowledged, and of what was under way all or nothing.
//!
//! A failure names seed and call; `OTTLA_METADATA_CRASH=seed:call` does this one again, `OTTLA_METADATA_CRASH_SEEDS` says how many.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use openraft::{CommittedLeaderId, EntryPayload, Vote};
use parking_lot::{Mutex, MutexGuard};
use redb::StorageBackend;

use super::super::file::{FileError, Identity, MetadataFile};
use super::super::proposer::first_records;
use super::super::raft::{Entry, LogId, MetadataEntry, SnapshotMeta, StoredMembership};
use super::super::room::{Ground, OpenGround};
use super::{config, server};

/// Seeds when the environment does not say otherwise, and the tests that share them.
const SEEDS: u64 = 24;
const SHARES: u64 = 4;
/// Things that are done to a file.
const DEEDS: u64 = 6;

/// After so many changes that find no room there is some again.
const TRIES: usize = 40;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

struct Chance(u64);

impl Chance {
    fn at(seed: u64, call: u64) -> Chance {
        Chance(seed.wrapping_mul(0x1_0000_0001).wrapping_add(call.wrapping_mul(0x5851_f42d_4c95_7f2d)))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Bytes in pages that copies share until they change.
#[derive(Clone, Default)]
struct Content {
    pages: Vec<Arc<[u8; PAGE]>>,
    len: usize,
}

impl Content {
    fn set_len(&mut self, len: usize) {
        self.pages.resize_with(len.div_ceil(PAGE), || Arc::new([0; PAGE]));
        if let Some(last) = self.pages.last_mut().filter(|_| len < self.len && !len.is_multiple_of(PAGE)) {
            Arc::make_mut(last)[len % PAGE..].fill(0);
        }
        self.len = len;
    }

    fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let here = bytes.len().min(PAGE - at % PAGE);
            Arc::make_mut(&mut self.pages[at / PAGE])[at % PAGE..][..here].copy_from_slice(&bytes[..here]);
            (at, bytes) = (at + here, &bytes[here..]);
        }
    }

    fn read(&self, mut at: usize, mut out: &mut [u8]) {
        while !out.is_empty() {
            let here = out.len().min(PAGE - at % PAGE);
            out[..here].copy_from_slice(&self.pages[at / PAGE][at % PAGE..][..here]);
            (at, out) = (at + here, &mut out[here..]);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// One call fails.
    Once(u64),
    /// One call finds no room, be it one that needs some or not.
    OnceFull(u64),
    /// All fail from this one on.
    From(u64),
    /// So many calls from this one on find no room.
    Full(u64, u64),
}

#[derive(Clone, Default)]
struct Disk {
    written: Content,
    synced: Content,
    /// Sectors that were written since the last sync.
    dirty: BTreeSet<usize>,
    /// Lengths that it was given since: which of them is there after a power loss, the file system's journal says.
    lengths: Vec<usize>,
    calls: u64,
    fault: Option<Fault>,
}

impl Disk {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.written.write(at, bytes);
        self.dirty.extend(at / SECTOR..(at + bytes.len()).div_ceil(SECTOR));
    }

    fn set_len(&mut self, len: usize) {
        self.dirty.extend(self.written.len / SECTOR..len.div_ceil(SECTOR));
        self.written.set_len(len);
        self.lengths.push(len);
    }

    /// Brings some of what is dirty to the platter, and calls all of it clean.
    fn bring(&mut self, len: usize, mut which: impl FnMut() -> bool) {
        self.synced.set_len(len);
        self.lengths.clear();
        let mut sector = [0; SECTOR];
        for nth in std::mem::take(&mut self.dirty).into_iter().filter(|_| which()) {
            let at = nth * SECTOR;
            let bytes = SECTOR.min(len.min(self.written.len).saturating_sub(at));
            self.written.read(at.min(self.written.len), &mut sector[..bytes]);
            self.synced.write(at.min(len), &sector[..bytes]);
        }
    }

    fn bring_some(&mut self, chance: &mut Chance) {
        let nth = chance.below(self.lengths.len() as u64 + 1) as usize;
        let len = nth.checked_sub(1).map_or(self.synced.len, |nth| self.lengths[nth]);
        self.bring(len, || chance.below(2) == 0);
    }

    fn after_power_loss(mut self, seed: u64) -> Disk {
        self.bring_some(&mut Chance(seed));
        Disk { written: self.synced.clone(), synced: self.synced, ..Disk::default() }
    }

    fn call(&mut self, grows: bool) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::Once(at)) if at == call => Err(io::Error::other("the disk has failed")),
            Some(Fault::OnceFull(at)) if at == call => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::From(at)) if at <= call => Err(io::Error::other("the disk has died")),
            Some(Fault::Full(at, calls)) if grows && (at..at + calls).contains(&call) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

/// Is given the number of each call, whether it needs room, and the disk in the middle of it.
type Watcher = Arc<dyn Fn(u64, bool, Disk) + Send + Sync>;

#[derive(Clone)]
struct Backend {
    disk: Arc<Mutex<Disk>>,
    watcher: Option<Watcher>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl Backend {
    fn new(disk: Disk, watcher: Option<Watcher>) -> Backend {
        Backend { disk: Arc::new(Mutex::new(disk)), watcher }
    }

    fn begin(&self, grows: bool, half_done: impl FnOnce(&mut Disk)) -> MutexGuard<'_, Disk> {
        let disk = self.disk.lock();
        if let Some(watcher) = &self.watcher {
            let mut copy = disk.clone();
            half_done(&mut copy);
            watcher(disk.calls, grows, copy);
        }
        disk
    }
}

/// A file can be opened on it any number of times.
fn ground(on: &Backend) -> OpenGround {
    let on = on.clone();
    Box::new(move || Ok(Box::new(on.clone())))
}

fn reopen(on: &Backend) -> Result<MetadataFile, FileError> {
    MetadataFile::on_ground(ground(on), None)
}

impl Ground for Backend {
    fn storage(&self) -> &dyn StorageBackend {
        self
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        self.begin(true, |_| {}).call(true)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.begin(false, |_| {});
        disk.call(false)?;
        Ok(disk.written.len as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.begin(false, |_| {});
        disk.call(false)?;
        disk.written.read(offset as usize, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let grows = len as usize > self.disk.lock().written.len;
        let mut disk = self.begin(grows, |_| {});
        disk.call(grows)?;
        disk.set_len(len as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.begin(false, |_| {});
        let outcome = disk.call(false);
        match outcome {
            Ok(()) => {
                let len = disk.written.len;
                disk.bring(len, || true);
            }
            Err(_) => {
                let mut chance = Chance(disk.calls);
                disk.bring_some(&mut chance);
            }
        }
        outcome
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let half = &data[..data.len() / 2];
        let mut disk = self.begin(true, |disk| disk.write(offset as usize, half));
        let outcome = disk.call(true);
        let done = match &outcome {
            Ok(()) => data.len(),
            // Room is had by the page.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                ((offset as usize + half.len()) / PAGE * PAGE).saturating_sub(offset as usize)
            }
            Err(_) => half.len(),
        };
        disk.write(offset as usize, &data[..done]);
        outcome
    }
}

/// All that a file holds.
#[derive(Clone, Debug)]
struct Held {
    vote: Option<Vote<super::super::raft::VoterId>>,
    purged: Option<LogId>,
    entries: Vec<Entry>,
    snapshot: Option<(SnapshotMeta, Vec<u8>)>,
}

impl Held {
    fn by(file: &MetadataFile) -> Result<Held, FileError> {
        let held = Held { vote: file.vote()?, purged: file.purged()?, entries: file.entries(..)?, snapshot: file.snapshot()? };
        assert_eq!(file.last_id()?, held.entries.last().map(|entry| entry.log_id));
        Ok(held)
    }

    /// What tells two apart.
    fn text(&self) -> String {
        format!("{self:?}")
    }

    fn last(&self) -> u64 {
        self.entries.last().map_or(self.purged.map_or(0, |id| id.index), |entry| entry.log_id.index)
    }
}

enum Deed {
    Vote(Vote<super::super::raft::VoterId>),
    Append(Vec<Entry>),
    Truncate(u64),
    Purge(LogId),
    Snapshot(SnapshotMeta, Vec<u8>),
}

fn own() -> Identity {
    let config = config(std::path::Path::new("."));
    Identity::new(config.cluster_id, config.node_id, config.directory_id)
}

impl Deed {
    fn of(chance: &mut Chance, held: &Held) -> Deed {
        let voter = own().voter();
        let term = 1 + chance.below(3);
        let log_id = |index| LogId::new(CommittedLeaderId::new(term, voter), index);
        match chance.below(10) {
            0 | 1 => Deed::Vote(Vote::new(1 + chance.below(50), voter)),
            2 if held.entries.len() > 1 => Deed::Truncate(held.last() + 1 - chance.below(held.entries.len() as u64)),
            3 | 4 if held.entries.len() > 1 => Deed::Purge(held.entries[chance.below(held.entries.len() as u64) as usize].log_id),
            5 | 6 => {
                let meta = SnapshotMeta {
                    last_log_id: held.entries.last().map(|entry| entry.log_id),
                    last_membership: StoredMembership::default(),
                    snapshot_id: format!("{term}"),
                };
                let len = chance.below(20_000) as usize;
                Deed::Snapshot(meta, (0..len).map(|at| (at as u64 * 7 + term) as u8).collect())
            }
            _ => {
                let records = first_records(&own(), &server(&[])).unwrap();
                let records = |chance: &mut Chance| records.iter().cycle().take(chance.below(60) as usize).cloned().collect();
                let entries = (1..=1 + chance.below(4)).map(|nth| Entry {
                    log_id: log_id(held.last() + nth),
                    payload: if nth == 3 { EntryPayload::Blank } else { EntryPayload::Normal(MetadataEntry { records: records(chance) }) },
                });
                Deed::Append(entries.collect())
            }
        }
    }

    fn run(&self, file: &MetadataFile) -> Result<(), FileError> {
        match self {
            Deed::Vote(vote) => file.save_vote(vote),
            Deed::Append(entries) => file.append(entries),
            Deed::Truncate(from) => file.truncate(*from),
            Deed::Purge(upto) => file.purge(*upto),
            Deed::Snapshot(meta, data) => file.save_snapshot(meta, data),
        }
    }

    fn apply(&self, held: &mut Held) {
        match self {
            Deed::Vote(vote) => held.vote = Some(*vote),
            Deed::Append(entries) => held.entries.extend(entries.iter().cloned()),
            Deed::Truncate(from) => held.entries.retain(|entry| entry.log_id.index < *from),
            Deed::Purge(upto) => {
                held.purged = Some(*upto);
                held.entries.retain(|entry| entry.log_id.index > upto.index);
            }
            Deed::Snapshot(meta, data) => held.snapshot = Some((meta.clone(), data.clone())),
        }
    }
}

/// What the file was said to hold, and what else it may hold as changes are under way.
#[derive(Clone, Default)]
struct Promised {
    acknowledged: String,
    under_way: Vec<String>,
}

/// Does a seed's deeds, until one fails for good.
fn live(backend: Backend, seed: u64, promised: &Mutex<Promised>) -> Result<(), FileError> {
    let file = reopen(&backend)?;
    let mut held = Held::by(&file)?;
    let mut chance = Chance(seed);
    for _ in 0..DEEDS {
        let deed = Deed::of(&mut chance, &held);
        *promised.lock() = Promised { acknowledged: held.text(), under_way: Vec::new() };
        if let Err(error) = tried(&deed, &file, &mut held, promised) {
            assert!(!error.is_full() || recovers(&file, &mut held, promised), "there is room again, and it fails: {error}");
            if !error.is_full() {
                // Most often it takes no more. If it does, nothing has happened.
                tried(&Deed::Vote(Vote::new(99, own().voter())), &file, &mut held, promised)?;
            }
            assert_eq!(Held::by(&file)?.text(), held.text(), "it goes on after `{error}`, other than it was before");
        }
    }
    Ok(())
}

/// Does something; if it succeeds, the file has to hold that from now on.
fn tried(deed: &Deed, file: &MetadataFile, held: &mut Held, promised: &Mutex<Promised>) -> Result<(), FileError> {
    let mut after = held.clone();
    deed.apply(&mut after);
    let text = after.text();
    promised.lock().under_way.push(text.clone());
    deed.run(file)?;
    *promised.lock() = Promised { acknowledged: text, under_way: Vec::new() };
    *held = after;
    Ok(())
}

/// The disk was full for a while.
fn recovers(file: &MetadataFile, held: &mut Held, promised: &Mutex<Promised>) -> bool {
    (0..TRIES).any(|_| tried(&Deed::Vote(Vote::new(99, own().voter())), file, held, promised).is_ok())
}

/// Opens what a crash left and holds it against what was promised.
fn check(disk: Disk, seed: u64, at: u64, promised: &Promised) {
    let mut chance = Chance::at(!seed, at);
    let mut disk = disk;
    while chance.below(5) == 0 {
        // Once more, in the middle of the recovery.
        let again = Backend::new(Disk { fault: Some(Fault::From(chance.below(40))), ..disk }, None);
        drop(reopen(&again));
        disk = again.disk.lock().clone().after_power_loss(chance.below(u64::MAX));
    }
    let file = reopen(&Backend::new(disk, None)).unwrap_or_else(|error| panic!("it does not open: {error}"));
    let held = Held::by(&file).unwrap_or_else(|error| panic!("it cannot be read: {error}"));
    let found = held.text();
    assert!(
        found == promised.acknowledged || promised.under_way.contains(&found),
        "it holds\n{found}\nacknowledged was\n{}\nunder way\n{:?}",
        promised.acknowledged,
        promised.under_way
    );
    Deed::Vote(Vote::new(77, own().voter())).run(&file).unwrap_or_else(|error| panic!("it takes no more: {error}"));
}

fn named(seed: u64, at: u64, fault: Option<Fault>, what: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(what)) {
        eprintln!("seed {seed}, call {at}: {fault:?} (none is a power loss). To see this again: OTTLA_METADATA_CRASH={seed}:{at}");
        resume_unwind(panic);
    }
}

/// A new file on a disk that was synced.
fn formatted() -> Disk {
    let backend = Backend::new(Disk::default(), None);
    let file = MetadataFile::on_ground(ground(&backend), Some((&own(), first_records(&own(), &server(&[])).unwrap()))).unwrap();
    drop(file);
    let disk = backend.disk.lock().clone();
    Disk { synced: disk.written.clone(), written: disk.written, ..Disk::default() }
}

fn crash_everywhere(formatted: &Disk, seed: u64, only: Option<u64>) -> u64 {
    let promised: Arc<Mutex<Promised>> = Arc::default();
    let calls: Arc<Mutex<Vec<bool>>> = Arc::default();
    let untouched = reopen(&Backend::new(formatted.clone(), None)).and_then(|file| Held::by(&file)).unwrap().text();
    promised.lock().acknowledged = untouched.clone();
    let (watched, seen) = (Arc::clone(&promised), Arc::clone(&calls));
    let watcher: Watcher = Arc::new(move |at, grows, disk| {
        seen.lock().push(grows);
        if only.is_none_or(|only| only == at) {
            let promised = watched.lock().clone();
            named(seed, at, None, || check(disk.after_power_loss(Chance::at(seed, at).below(u64::MAX)), seed, at, &promised));
        }
    });
    live(Backend::new(formatted.clone(), Some(watcher)), seed, &promised).unwrap();
    let calls = std::mem::take(&mut *calls.lock());
    for (at, grows) in (0u64..).zip(&calls).filter(|(at, _)| only.is_none_or(|only| only == *at)) {
        let mut chance = Chance::at(seed, !at);
        let fault = match chance.below(4) {
            0 if *grows => Fault::Full(at, 1 + chance.below(20)),
            0 | 1 => Fault::Once(at),
            2 => Fault::OnceFull(at),
            _ => Fault::From(at),
        };
        named(seed, at, Some(fault), || {
            let promised = Mutex::new(Promised { acknowledged: untouched.clone(), under_way: Vec::new() });
            let backend = Backend::new(Disk { fault: Some(fault), ..formatted.clone() }, None);
            // What fails after the last deed is the end of the file's use, of which nobody is told.
            let _ = live(backend.clone(), seed, &promised);
            let disk = backend.disk.lock().clone();
            check(disk.after_power_loss(chance.below(u64::MAX)), seed, at, &promised.lock());
        });
    }
    calls.len() as u64
}

fn crash_share(nth: u64) {
    let formatted = formatted();
    if let Ok(one) = std::env::var("OTTLA_METADATA_CRASH") {
        let (seed, call) = one.split_once(':').expect("OTTLA_METADATA_CRASH is seed:call");
        if nth == 0 {
            crash_everywhere(&formatted, seed.parse().unwrap(), Some(call.parse().unwrap()));
        }
        return;
    }
    let many = std::env::var("OTTLA_METADATA_CRASH_SEEDS");
    let seeds = many.map_or(SEEDS, |text| text.parse().expect("OTTLA_METADATA_CRASH_SEEDS is a number"));
    let calls: u64 = (0..seeds).filter(|seed| seed % SHARES == nth).map(|seed| crash_everywhere(&formatted, seed, None)).sum();
    println!("{} files, crashed at {calls} calls", seeds / SHARES);
    assert!(calls > seeds / SHARES * 20, "{calls} calls are too few to show anything");
}

macro_rules! shares {
    ($($name:ident: $nth:literal),*) => {
        /// Whatever call it dies in, or that fails: what was acknowledged is there, what was under way is there or not, the file opens.
        mod what_was_acknowledged_is_there {
            $(#[test] fn $name() { super::crash_share($nth); })*
        }
    };
}

shares!(first: 0, second: 1, third: 2, fourth: 3);
