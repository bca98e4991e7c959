//! The files of one segment: what they are called, how they are opened, how offsets and timestamps are found in them.
//!
//! A segment is a run of a partition's batches in `<base offset>.log`, with its two indexes beside it. What only the last,
//! growing one has (its end, entries not yet written) is in [`Tail`].

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ottla_model::{Offset, TimestampMs};

use crate::checked::Checked;
use crate::disk::{Disk, DiskFile, FileId, OpenMode};
use crate::error::{IoContext, IoFailure};
use crate::index::{self, Entry, OffsetEntry, TimeEntry};

/// Entries of an index that are held back, to be written together.
const INDEX_PENDING_MAX: usize = 64;

/// What a file of a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

impl FileKind {
    pub const ALL: [FileKind; 5] = [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex, FileKind::Snapshot];

    pub fn extension(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::OffsetIndex => "index",
            FileKind::TimeIndex => "timeindex",
            FileKind::TxnIndex => "txnindex",
            FileKind::Snapshot => "snapshot",
        }
    }

    /// The file of this kind that belongs to an offset: 20 digits, as Kafka names it.
    pub fn path(self, dir: &Path, base: Offset) -> PathBuf {
        dir.join(format!("{:020}.{}", base.0, self.extension()))
    }

    /// Reads a file name; `None`: it is none of these.
    pub fn parse(name: &str) -> Option<(FileKind, Offset)> {
        let (digits, extension) = name.split_once('.')?;
        let kind = FileKind::ALL.into_iter().find(|k| k.extension() == extension)?;
        (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
        Some((kind, Offset(digits.parse().ok()?)))
    }
}

/// A segment. Costs no open file and some 120 bytes of memory.
#[derive(Debug)]
pub(crate) struct Segment {
    pub base: Offset,
    /// Bytes of `.log`.
    pub size: u32,
    /// The largest timestamp and the last offset of its batch: of a sealed segment, once it was asked for.
    pub largest: OnceLock<TimeEntry>,
    /// What of `.log` was held against its checksums.
    pub checked: Checked,
    log_id: FileId,
    index_id: FileId,
    time_id: FileId,
}

/// Where the files are.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub disk: &'a dyn Disk,
    pub dir: &'a Path,
}

impl Segment {
    /// Taken for checked: who opens what another process wrote says what is not.
    pub fn new(base: Offset, size: u32) -> Segment {
        let checked = Checked::all();
        Segment {
            base,
            size,
            largest: OnceLock::new(),
            checked,
            log_id: FileId::fresh(),
            index_id: FileId::fresh(),
            time_id: FileId::fresh(),
        }
    }

    /// What its open file goes by: another one once the segment was compacted.
    pub fn id(&self, kind: FileKind) -> FileId {
        match kind {
            FileKind::OffsetIndex => self.index_id,
            FileKind::TimeIndex => self.time_id,
            FileKind::Log | FileKind::TxnIndex | FileKind::Snapshot => self.log_id,
        }
    }

    /// One of its files, from the disk's cache of open ones.
    pub fn file(&self, at: Place<'_>, kind: FileKind) -> Result<Arc<dyn DiskFile>, IoFailure> {
        debug_assert!(!matches!(kind, FileKind::TxnIndex | FileKind::Snapshot), "not kept open");
        let opened = at.disk.handles().get_or_open(self.id(kind), || {
            // An index that is missing is made: it is rebuilt or grows, and an empty one is right, only slow.
            let mode = if kind == FileKind::Log { OpenMode::Write } else { OpenMode::Create };
            at.disk.open(&kind.path(at.dir, self.base), mode)
        });
        opened.map_err(|source| IoFailure { doing: "open", path: kind.path(at.dir, self.base), source })
    }

    /// Keeps the `.log` of a segment that was the growing one open for those who read just behind the end.
    pub fn keep_log(&self, disk: &dyn Disk, file: Arc<dyn DiskFile>) {
        disk.handles().insert(self.log_id, file);
    }

    /// Closes its files.
    pub fn close(&self, disk: &dyn Disk) {
        for id in [self.log_id, self.index_id, self.time_id] {
            disk.handles().remove(id);
        }
    }

    /// An offset of this segment as its indexes hold it.
    pub fn relative(&self, offset: Offset) -> u32 {
        u32::try_from(offset.0.saturating_sub(self.base.0).max(0)).unwrap_or(u32::MAX)
    }

    /// The last entry of an index file for which `holds`, `span` being the part of the file where it is to be expected.
    pub fn last_entry_where<E: Entry>(
        &self,
        at: Place<'_>,
        kind: FileKind,
        count: Option<u32>,
        span: f64,
        holds: impl Fn(&E) -> bool,
    ) -> Result<Option<E>, IoFailure> {
        let path = || kind.path(at.dir, self.base);
        let file = self.file(at, kind)?;
        let search = || -> io::Result<Option<E>> {
            let count = match count {
                Some(count) => count,
                None => index::count_of::<E>(&*file)?,
            };
            index::last_where(&*file, count, (f64::from(count) * span.clamp(0.0, 1.0)) as u32, holds)
        };
        search().map_err(|source| IoFailure { doing: "read", path: path(), source })
    }
}

/// What only the last segment has.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Its `.log`, opened when first needed: a partition that nobody uses has no file open.
    file: OnceLock<Arc<dyn DiskFile>>,
    /// Log end offset.
    pub next_offset: Offset,
    /// Bytes written since the last index entry.
    pub bytes_since_entry: u32,
    /// The largest timestamp so far; -1 at the segment's base when there is none.
    pub largest: TimeEntry,
    /// The timestamp that `segment.ms` counts from.
    pub first_timestamp: Option<i64>,
    /// When it was made or opened: what `segment.ms` counts from when records have no timestamps.
    pub created: TimestampMs,
    /// Taken off `segment.ms`.
    pub jitter_ms: i64,
    pub offsets: PendingIndex<OffsetEntry>,
    pub times: PendingIndex<TimeEntry>,
}

/// An index that grows: what is in the file, and what will be.
#[derive(Debug)]
pub(crate) struct PendingIndex<E> {
    /// Entries in the file.
    pub written: u32,
    /// Entries to be written: at most [`INDEX_PENDING_MAX`].
    pending: Vec<E>,
    /// The newest entry, wherever it is.
    pub last: Option<E>,
}

impl<E: Entry> PendingIndex<E> {
    pub fn new(written: u32, last: Option<E>) -> PendingIndex<E> {
        PendingIndex { written, pending: Vec::new(), last }
    }

    pub fn len(&self) -> u32 {
        self.written + self.pending.len() as u32
    }

    /// Takes an entry that rises above the last one; others are passed over, as by Kafka.
    fn push(&mut self, entry: E) {
        if self.pending.len() < INDEX_PENDING_MAX && entry.can_follow(self.last.as_ref()) {
            self.pending.push(entry);
            self.last = Some(entry);
        }
    }

    pub fn pending(&self) -> &[E] {
        &self.pending
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= INDEX_PENDING_MAX
    }

    /// Writes what is pending behind what is written.
    fn flush(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(self.pending.len() * E::LEN);
        self.pending.iter().for_each(|e| e.encode(&mut bytes));
        file.write_vectored_at(&[IoSlice::new(&bytes)], u64::from(self.written) * E::LEN as u64)?;
        self.written += self.pending.len() as u32;
        self.pending = Vec::new();
        Ok(())
    }
}

impl Tail {
    /// The tail of an empty segment.
    pub fn empty(base: Offset, now: TimestampMs, jitter_ms: i64) -> Tail {
        Tail {
            file: OnceLock::new(),
            next_offset: base,
            bytes_since_entry: 0,
            largest: TimeEntry { timestamp: -1, relative: 0 },
            first_timestamp: None,
            created: now,
            jitter_ms,
            offsets: PendingIndex::new(0, None),
            times: PendingIndex::new(0, None),
        }
    }

    /// The segment's `.log`.
    pub fn file(&self, at: Place<'_>, segment: &Segment) -> Result<&Arc<dyn DiskFile>, IoFailure> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let path = FileKind::Log.path(at.dir, segment.base);
        let file = at.disk.open(&path, OpenMode::Write).doing("open", &path)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// The `.log`, if it is open.
    pub fn take_file(&mut self) -> Option<Arc<dyn DiskFile>> {
        self.file.take()
    }

    /// A batch was (or is found) written at `position`: keeps the largest timestamp and the indexes.
    pub fn note_batch(&mut self, segment: &Segment, interval_bytes: u32, position: u32, bytes: u32, last: Offset, max_timestamp: i64) {
        let relative = segment.relative(last);
        if max_timestamp > self.largest.timestamp {
            self.largest = TimeEntry { timestamp: max_timestamp, relative };
        }
        if self.first_timestamp.is_none() {
            self.first_timestamp = Some(max_timestamp);
        }
        if self.bytes_since_entry > interval_bytes {
            self.offsets.push(OffsetEntry { relative, position });
            self.note_largest();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry = self.bytes_since_entry.saturating_add(bytes);
        self.next_offset = last.plus(1);
    }

    /// An entry for the largest timestamp, if it has risen since the last one.
    pub fn note_largest(&mut self) {
        if self.largest.timestamp >= 0 && self.times.last.is_none_or(|last| self.largest.timestamp > last.timestamp) {
            self.times.push(self.largest);
        }
    }

    /// Whether an index has no more room for pending entries.
    pub fn wants_flush(&self) -> bool {
        self.offsets.is_full() || self.times.is_full()
    }

    /// Writes the pending index entries.
    pub fn flush_indexes(&mut self, at: Place<'_>, segment: &Segment) -> Result<(), IoFailure> {
        if !self.offsets.pending().is_empty() {
            let file = segment.file(at, FileKind::OffsetIndex)?;
            self.offsets.flush(&*file).map_err(|source| failure(at, segment, FileKind::OffsetIndex, source))?;
        }
        if !self.times.pending().is_empty() {
            let file = segment.file(at, FileKind::TimeIndex)?;
            self.times.flush(&*file).map_err(|source| failure(at, segment, FileKind::TimeIndex, source))?;
        }
        Ok(())
    }
}

fn failure(at: Place<'_>, segment: &Segment, kind: FileKind, source: io::Error) -> IoFailure {
    IoFailure { doing: "write", path: kind.path(at.dir, segment.base), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_kafka_names_them() {
        let path = FileKind::TimeIndex.path(Path::new("/d/t-0"), Offset(12_345));
        assert_eq!(path, Path::new("/d/t-0/00000000000000012345.timeindex"));
        assert_eq!(FileKind::parse("00000000000000012345.timeindex"), Some((FileKind::TimeIndex, Offset(12_345))));
        for other in ["1.log", "00000000000000000000.log.deleted", "partition.metadata", "0000000000000000000x.log", "x"] {
            assert_eq!(FileKind::parse(other), None, "{other}");
        }
    }
}
