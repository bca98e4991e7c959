//! The durable end: what a power loss cannot take any more.
//!
//! A sync goes in three steps. `begin_sync`, under the partition's lock, takes down what must reach the disk and where the log
//! ends now. `SyncTicket::sync`, outside of any lock, brings it there. `finish_sync`, under the lock again, raises the durable
//! end. Appends go on meanwhile; what they write is the next ticket's.
//!
//! The order within a ticket makes every moment of it safe to crash in:
//! 1. data: `.log` of closed segments, oldest first, then of the active one;
//! 2. indexes of what was closed, so that below the recovery point none is ever found incomplete;
//! 3. small files (leader epochs, producer snapshots) beside their old content, then renamed over it;
//! 4. the folder, whose names point to all that; then, for a new partition, the folder's own name.
//!
//! Only then does the durable end move, and only after that does anyone write it into a checkpoint. What a crash leaves of an
//! unfinished ticket is more than was promised, never less.
//!
//! A sync that fails is never tried again: the kernel may have dropped the pages it could not write and call them clean. A small file for
//! which there is no room is another matter: what it was to hold is still here. A later ticket brings it, if this one can do without: a
//! snapshot only shortens a recovery, and leader epochs matter once there are records of theirs. If not, the ticket is void.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset, TimestampMs};

use super::PartitionLog;
use super::open::METADATA_FILE;
use crate::checkpoint::{LEADER_EPOCH_FILE, format_epochs, parse_epochs};
use crate::disk::{Disk, DiskFile, OpenMode, temporary_of};
use crate::error::{IoContext, IoFailure, LogError};
use crate::segment::FileKind;

/// Bytes after which a sync also writes a producer snapshot and syncs the growing indexes, so that recovery never reads back
/// further than this, however large a segment is.
const SNAPSHOT_INTERVAL_BYTES: u64 = 64 << 20;

/// What is known to be on stable storage, and what changed since.
#[derive(Debug)]
pub(super) struct SyncState {
    pub durable_end: Offset,
    /// Bytes written in this log's life, and how many of them were synced.
    written: u64,
    synced: u64,
    /// Bytes written up to the last producer snapshot.
    snapshot_at: u64,
    /// See [`SNAPSHOT_INTERVAL_BYTES`].
    pub snapshot_interval_bytes: u64,
    /// Where the newest producer snapshot is.
    snapshot_offset: Option<Offset>,
    /// A snapshot between segment boundaries, to be replaced by the next.
    stray_snapshot: Option<Offset>,
    /// Closed segments that were not synced since.
    sealed: Vec<Offset>,
    folder: Version,
    parent: Version,
    epochs: Version,
    txn_index: Version,
    /// Raised by everything that takes back what was written: a ticket from before proves nothing any more.
    generation: u64,
}

/// Counts changes, so that one that comes while a sync runs is not taken for synced.
#[derive(Clone, Copy, Debug, Default)]
struct Version {
    now: u64,
    synced: u64,
}

impl Version {
    fn change(&mut self) {
        self.now += 1;
    }

    fn is_dirty(self) -> bool {
        self.now > self.synced
    }
}

impl SyncState {
    /// A log of which all below `durable_end` is on stable storage.
    pub fn clean(durable_end: Offset) -> SyncState {
        let none = Version::default();
        SyncState {
            durable_end,
            written: 0,
            synced: 0,
            snapshot_at: 0,
            snapshot_interval_bytes: SNAPSHOT_INTERVAL_BYTES,
            snapshot_offset: None,
            stray_snapshot: None,
            sealed: Vec::new(),
            folder: none,
            parent: none,
            epochs: none,
            txn_index: none,
            generation: 0,
        }
    }

    pub fn wrote(&mut self, bytes: u32) {
        self.written += u64::from(bytes);
    }

    pub fn epochs_changed(&mut self) {
        self.epochs.change();
    }

    pub fn txn_index_changed(&mut self) {
        self.txn_index.change();
    }

    pub fn folder_changed(&mut self) {
        self.folder.change();
    }

    pub fn is_folder_dirty(&self) -> bool {
        self.folder.is_dirty()
    }

    pub fn parent_changed(&mut self) {
        self.parent.change();
    }

    pub fn sealed(&mut self, base: Offset) {
        self.sealed.push(base);
    }

    pub fn set_stray_snapshot(&mut self, at: Offset) {
        self.stray_snapshot = Some(at);
    }

    /// A producer snapshot was taken at this offset, the log end.
    pub fn snapshot_taken(&mut self, at: Offset) {
        self.snapshot_at = self.written;
        self.snapshot_offset = Some(at);
    }

    /// The snapshot that a ticket was to bring is not there.
    fn snapshot_missing(&mut self) {
        self.snapshot_at = 0;
        self.snapshot_offset = None;
    }

    /// The newest producer snapshot is this one.
    pub fn snapshot_found(&mut self, at: Offset) {
        self.snapshot_offset = Some(at);
    }

    /// The log was cut to `end`: what stands in the file beyond it must not come back.
    pub fn truncated(&mut self, end: Offset) {
        self.generation += 1;
        self.durable_end = self.durable_end.min(end);
        self.snapshot_offset = None;
        self.sealed.retain(|base| *base < end);
        self.written += 1;
        self.folder.change();
    }

    /// Raised by everything that takes back what was written.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn is_dirty(&self) -> bool {
        // Epochs alone do not make a log dirty: one that wrote nothing need not be on disk.
        self.written > self.synced
            || !self.sealed.is_empty()
            || self.folder.is_dirty()
            || self.parent.is_dirty()
            || self.txn_index.is_dirty()
    }
}

/// What one sync brings to stable storage. Owns all it needs; made by [`PartitionLog::begin_sync`].
#[derive(Debug)]
#[must_use = "nothing is synced until `sync` is called and the ticket is given to `finish_sync`"]
pub struct SyncTicket {
    disk: Arc<dyn Disk>,
    dir: Box<Path>,
    files: Vec<SyncFile>,
    small: Vec<SmallFile>,
    sync_folder: bool,
    sync_parent: bool,
    end: Offset,
    /// Position of `end` in the segment with this base.
    end_base: Offset,
    end_position: u32,
    generation: u64,
    written: u64,
    sealed: usize,
    folder: u64,
    parent: u64,
    epochs: u64,
    txn_index: u64,
    snapshot: Option<Offset>,
    outcome: Outcome,
}

/// A file to be synced: the one that grows is open; the others are opened when it comes to that, so that tickets of many
/// partitions hold no more descriptors than these have anyway.
#[derive(Debug)]
struct SyncFile {
    path: PathBuf,
    open: Option<Arc<dyn DiskFile>>,
}

impl SyncFile {
    fn sync(&self, disk: &dyn Disk) -> Result<(), IoFailure> {
        let file = match &self.open {
            Some(file) => Arc::clone(file),
            None => match disk.open(&self.path, OpenMode::Write).if_there("open", &self.path)? {
                Some(file) => file,
                // Deleted since by retention, or never there: few segments have snapshots or aborted transactions.
                None => return Ok(()),
            },
        };
        file.sync_data().doing("sync", &self.path)
    }
}

/// A file that is replaced as a whole.
#[derive(Debug)]
struct SmallFile {
    path: PathBuf,
    bytes: Vec<u8>,
    without: Without,
}

/// What a ticket needs where there is no room for a small file.
#[derive(Debug)]
enum Without {
    /// Nothing of it: it is a producer snapshot.
    Snapshot,
    /// Leader epochs: the file has to have those of the records of this ticket already.
    Epochs(Vec<(LeaderEpoch, Offset)>),
}

/// The small files for which there was no room, and which had to wait.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    snapshot: bool,
    epochs: bool,
}

#[derive(Debug)]
enum Outcome {
    NotRun,
    Done(Waiting),
    Failed(String),
    /// There was no room for a small file. What was synced is, and nothing that was not is lost.
    NoRoom(IoFailure),
}

/// What ended a ticket on its way.
enum Stop {
    /// What the disk holds is not known any more.
    Failed(IoFailure),
    /// See [`Outcome::NoRoom`].
    NoRoom(IoFailure),
}

impl From<IoFailure> for Stop {
    fn from(failure: IoFailure) -> Stop {
        Stop::Failed(failure)
    }
}

impl Stop {
    fn into_io(self) -> io::Error {
        let (Stop::Failed(failure) | Stop::NoRoom(failure)) = self;
        io::Error::new(failure.source.kind(), failure)
    }

    fn outcome(&self) -> Outcome {
        match self {
            Stop::Failed(failure) => Outcome::Failed(failure.to_string()),
            Stop::NoRoom(failure) => Outcome::NoRoom(failure.again()),
        }
    }
}

impl SyncTicket {
    /// The durable end that this sync leads to.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Brings it all to stable storage, in order. Blocks; to be called outside of the partition's lock.
    pub fn sync(&mut self) -> io::Result<()> {
        let result = self.run();
        self.outcome = result.as_ref().map_or_else(Stop::outcome, |waiting| Outcome::Done(*waiting));
        result.map(|_| ()).map_err(Stop::into_io)
    }

    /// Brings many tickets of one file system to stable storage by `syncfs`: cheaper than one by one from some dozens of files
    /// on. Same promise and same order as [`SyncTicket::sync`]; when it fails, all of them have failed.
    pub fn sync_all(tickets: &mut [SyncTicket], disk: &dyn Disk, log_dir: &Path) -> io::Result<()> {
        let run = |tickets: &[SyncTicket]| -> Result<Vec<Waiting>, Stop> {
            let mut waiting = Vec::with_capacity(tickets.len());
            let mut beside = Vec::new();
            for ticket in tickets {
                let mut waits = Waiting::default();
                for small in &ticket.small {
                    match ticket.write_beside(small) {
                        Ok(_) => beside.push((ticket, small)),
                        Err(failure) => drop(ticket.do_without(small, failure, &mut waits)?),
                    }
                }
                waiting.push(waits);
            }
            disk.sync_fs(log_dir).doing("sync the file system of", log_dir)?;
            for (ticket, small) in &beside {
                ticket.disk.rename(&temporary_of(&small.path), &small.path).doing("rename to", &small.path)?;
            }
            if !beside.is_empty() {
                disk.sync_fs(log_dir).doing("sync the file system of", log_dir)?;
            }
            Ok(waiting)
        };
        let result = run(tickets);
        for (nth, ticket) in tickets.iter_mut().enumerate() {
            ticket.outcome =
                result.as_ref().map_or_else(Stop::outcome, |waiting| Outcome::Done(waiting.get(nth).copied().unwrap_or_default()));
        }
        result.map(|_| ()).map_err(Stop::into_io)
    }

    fn run(&self) -> Result<Waiting, Stop> {
        for file in &self.files {
            file.sync(&*self.disk)?;
        }
        let mut waiting = Waiting::default();
        for small in &self.small {
            let synced = self.write_beside(small).and_then(|file| file.sync_data().doing("sync", &small.path));
            match synced {
                Ok(()) => self.disk.rename(&temporary_of(&small.path), &small.path).doing("rename to", &small.path)?,
                Err(failure) => {
                    if let Some(instead) = self.do_without(small, failure, &mut waiting)? {
                        instead.sync_data().doing("sync", &small.path)?;
                    }
                }
            }
        }
        if self.sync_folder || !self.small.is_empty() {
            self.disk.sync_dir(&self.dir).doing("sync the folder", &self.dir)?;
        }
        if self.sync_parent
            && let Some(parent) = self.dir.parent()
        {
            self.disk.sync_dir(parent).doing("sync the folder", parent)?;
        }
        Ok(waiting)
    }

    /// A small file could not be written beside its old content. Where that is for lack of room, and this ticket can do without, it
    /// waits; gives the file whose old content then has to be lasting.
    fn do_without(&self, small: &SmallFile, failure: IoFailure, waiting: &mut Waiting) -> Result<Option<Arc<dyn DiskFile>>, Stop> {
        if !failure.is_disk_full() {
            return Err(Stop::Failed(failure));
        }
        match &small.without {
            Without::Snapshot => {
                waiting.snapshot = true;
                Ok(None)
            }
            Without::Epochs(needed) => {
                let there =
                    self.disk.read_all(&small.path).ok().and_then(|bytes| parse_epochs(&small.path, &bytes).ok()).unwrap_or_default();
                if !there.iter().filter(|(_, start)| *start < self.end).eq(needed) {
                    return Err(Stop::NoRoom(failure));
                }
                waiting.epochs = true;
                // One that is not there says as little as one without epochs: the batches tell them when the log is opened.
                Ok(self.disk.open(&small.path, OpenMode::Write).if_there("open", &small.path)?)
            }
        }
    }

    fn write_beside(&self, small: &SmallFile) -> Result<Arc<dyn DiskFile>, IoFailure> {
        let beside = temporary_of(&small.path);
        let file = self.disk.open(&beside, OpenMode::Create).doing("open", &beside)?;
        file.truncate(0).doing("cut", &beside)?;
        file.write_vectored_at(&[IoSlice::new(&small.bytes)], 0).doing("write", &beside)?;
        Ok(file)
    }
}

impl PartitionLog {
    /// Bytes that a power loss could take.
    pub fn unsynced_bytes(&self) -> u64 {
        self.sync.written - self.sync.synced
    }

    /// Whether there is anything to sync.
    pub fn is_dirty(&self) -> bool {
        self.sync.is_dirty()
    }

    /// Takes down all that is to be synced now; `None` when nothing is. One ticket at a time: the next may be begun once this
    /// one was given to `finish_sync`.
    pub fn begin_sync(&mut self) -> Result<Option<SyncTicket>, LogError> {
        self.check_in_service()?;
        if !self.sync.is_dirty() {
            return Ok(None);
        }
        let snapshot = self.sync.written - self.sync.snapshot_at >= self.sync.snapshot_interval_bytes;
        match self.ticket(snapshot) {
            // The indexes could not be written out: the records come first, the snapshot with a later ticket.
            Err(error) if snapshot && error.is_disk_full() => self.ticket(false).map(Some),
            ticket => ticket.map(Some),
        }
    }

    /// The sync was done (or failed): raises the durable end, which it gives, or takes the log out of service. An error that
    /// says [`LogError::is_disk_full`] leaves all as dirty as before, for another ticket.
    pub fn finish_sync(&mut self, ticket: SyncTicket) -> Result<Offset, LogError> {
        let waiting = match &ticket.outcome {
            Outcome::Done(waiting) => *waiting,
            // Nothing was tried: all is as dirty as before.
            Outcome::NotRun => return Ok(self.sync.durable_end),
            Outcome::Failed(cause) => {
                self.fail(format!("a sync failed: {cause}"));
                return self.check_in_service().map(|()| self.sync.durable_end);
            }
            Outcome::NoRoom(failure) => {
                if ticket.snapshot.is_some() {
                    self.sync.snapshot_missing();
                }
                return Err(failure.again().into());
            }
        };
        if waiting.snapshot {
            self.sync.snapshot_missing();
        }
        if ticket.generation != self.sync.generation {
            return Ok(self.sync.durable_end);
        }
        let state = &mut self.sync;
        state.durable_end = state.durable_end.max(ticket.end);
        state.synced = state.synced.max(ticket.written);
        state.sealed.drain(..ticket.sealed.min(state.sealed.len()));
        state.folder.synced = state.folder.synced.max(ticket.folder);
        state.parent.synced = state.parent.synced.max(ticket.parent);
        if !waiting.epochs {
            state.epochs.synced = state.epochs.synced.max(ticket.epochs);
        }
        state.txn_index.synced = state.txn_index.synced.max(ticket.txn_index);
        self.marks.lock().put_durable(ticket.end_base, ticket.end, ticket.end_position);
        if let Some(snapshot) = ticket.snapshot.filter(|_| !waiting.snapshot) {
            self.replace_stray_snapshot(snapshot)?;
        }
        Ok(self.sync.durable_end)
    }

    /// Syncs everything here and now. For opening, closing and tests: a running broker shares syncs between partitions.
    pub fn sync_all(&mut self) -> Result<Offset, LogError> {
        if let Some(mut ticket) = self.begin_sync()? {
            // The failure is in the ticket: `finish_sync` gives it.
            let _ = ticket.sync();
            self.finish_sync(ticket)?;
        }
        Ok(self.sync.durable_end)
    }

    /// A last sync, after which the log can be opened as cleanly closed: indexes written out, leader epochs and a producer snapshot at the log
    /// end. Nothing may be appended after it.
    pub fn begin_close(&mut self) -> Result<SyncTicket, LogError> {
        self.check_in_service()?;
        self.close_indexes()?;
        // A log that nobody used since it was opened is as it was left.
        let snapshot = self.sync.is_dirty() || self.sync.snapshot_offset != Some(self.log_end_offset());
        self.ticket(snapshot)
    }

    /// Closes the log such that the next `open` may be told that it was closed cleanly.
    pub fn close_cleanly(mut self) -> Result<(), LogError> {
        let mut ticket = self.begin_close()?;
        let _ = ticket.sync();
        self.finish_sync(ticket)?;
        for segment in &self.segments {
            segment.close(&*self.disk);
        }
        Ok(())
    }

    /// Writes out all index entries, with one for the largest timestamp: as Kafka does when a segment stops growing.
    pub(super) fn close_indexes(&mut self) -> Result<(), LogError> {
        let at = crate::segment::Place { disk: &*self.disk, dir: &self.dir };
        let segment = &self.segments[self.segments.len() - 1];
        // First what is pending, so that the last entry has room.
        self.tail.flush_indexes(at, segment)?;
        self.tail.note_largest();
        self.tail.flush_indexes(at, segment)?;
        Ok(())
    }

    fn ticket(&mut self, snapshot: bool) -> Result<SyncTicket, LogError> {
        let active = self.segments.len() - 1;
        let (sealed, growing) = (&self.sync.sealed, self.segments[active].base);
        let path_of = |kind: FileKind, base: Offset| SyncFile { path: kind.path(&self.dir, base), open: None };
        // Data before what points into it, whichever segment it is of.
        let mut files: Vec<SyncFile> = sealed.iter().map(|base| path_of(FileKind::Log, *base)).collect();
        if self.sync.written > self.sync.synced {
            files.push(SyncFile { path: FileKind::Log.path(&self.dir, growing), open: Some(self.log_file(active)?) });
        }
        if snapshot {
            let at = crate::segment::Place { disk: &*self.disk, dir: &self.dir };
            self.tail.flush_indexes(at, &self.segments[active])?;
        }
        for base in sealed.iter().copied().chain(snapshot.then_some(growing)) {
            files.extend([FileKind::OffsetIndex, FileKind::TimeIndex].map(|kind| path_of(kind, base)));
        }
        if !sealed.is_empty() || self.sync.txn_index.is_dirty() {
            for base in sealed.iter().copied().chain([growing]) {
                files.extend([FileKind::TxnIndex, FileKind::Snapshot].map(|kind| path_of(kind, base)));
            }
        }
        if self.sync.parent.is_dirty() {
            files.push(SyncFile { path: self.path_of(METADATA_FILE), open: None });
        }
        let folder = self.sync.folder.is_dirty() || self.sync.txn_index.is_dirty();
        let sealed = sealed.len();
        let end = self.log_end_offset();
        let mut small = Vec::new();
        if self.sync.epochs.is_dirty() {
            let entries = self.epochs.entries();
            let without = Without::Epochs(entries.iter().filter(|(_, start)| *start < end).copied().collect());
            small.push(SmallFile { path: self.path_of(LEADER_EPOCH_FILE), bytes: format_epochs(entries), without });
        }
        if snapshot {
            let path = FileKind::Snapshot.path(&self.dir, end);
            small.push(SmallFile { path, bytes: self.producers.encode(), without: Without::Snapshot });
            self.sync.snapshot_taken(end);
        }
        Ok(SyncTicket {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            files,
            small,
            sync_folder: folder,
            sync_parent: self.sync.parent.is_dirty(),
            end,
            end_base: self.active().base,
            end_position: self.active().size,
            generation: self.sync.generation,
            written: self.sync.written,
            sealed,
            folder: self.sync.folder.now,
            parent: self.sync.parent.now,
            epochs: self.sync.epochs.now,
            txn_index: self.sync.txn_index.now,
            snapshot: snapshot.then_some(end),
            outcome: Outcome::NotRun,
        })
    }

    /// A snapshot within a segment was written: the one before it goes, if it is not a segment's.
    fn replace_stray_snapshot(&mut self, newest: Offset) -> Result<(), LogError> {
        let before = self.sync.stray_snapshot.replace(newest);
        let Some(before) = before.filter(|b| *b != newest && self.segments.iter().all(|s| s.base != *b)) else { return Ok(()) };
        let path = FileKind::Snapshot.path(&self.dir, before);
        self.disk.remove_file(&path).if_there("remove", &path)?;
        Ok(())
    }

    /// Opened after a crash: what was gone through, from this segment on, was read, perhaps from the page cache alone. All of it is
    /// synced with the first ticket. `changed`: something was cut.
    pub(super) fn mark_recovered(&mut self, from_segment: usize, recovery_point: Offset, changed: bool) {
        let last = self.segments.len() - 1;
        self.sync.durable_end = recovery_point.min(self.log_end_offset());
        // A recovery point within the active segment says that a ticket went as far, with the names of file and folder; and if
        // there is nothing behind it, that there is nothing to sync.
        if !changed && from_segment == last && recovery_point == self.log_end_offset() && recovery_point > self.active().base {
            return;
        }
        self.sync.sealed = self.segments[from_segment.min(last)..last].iter().map(|s| s.base).collect();
        self.sync.written += 1;
        self.sync.folder.change();
        self.sync.parent.change();
        self.sync.epochs.change();
        // The entries of the active segment may be in the page cache alone.
        self.sync.txn_index.change();
    }

    /// The time by which a new segment's roll is drawn forward, other for each segment and partition.
    pub(super) fn jitter_ms(&self, base: Offset, now: TimestampMs) -> i64 {
        let bound = self.config.segment_jitter_ms.min(self.config.segment_ms);
        if bound <= 0 {
            return 0;
        }
        // Needs to spread, not to be random.
        let mix = crc32c::crc32c(format!("{}{}{}", self.topic_partition, base, now.0).as_bytes());
        i64::from(mix) % bound
    }
}
