//! One pass over a log: the newest offsets of the dirty part's keys into a map, then all segments up to there written anew without
//! what is superseded, several small ones together.

use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::{Offset, ProducerId, TimestampMs};
use ottla_wire::batch::BatchView;

use super::filter::{Fate, Filter, LastOfProducer, Transactions};
use super::map::{MapLimits, OffsetMap};
use super::reader::BatchReader;
use super::{CLEANED_SUFFIX, CompactionNeed};
use crate::config::LogConfig;
use crate::disk::{Disk, DiskFile, FileId, OpenMode};
use crate::error::{IoContext, IoFailure, LogError};
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::partition::with_records;
use crate::segment::FileKind;
use crate::txn_index::AbortedTxn;

/// Segments that become one at most, so that the log is not held for long while they are replaced.
const GROUP_SEGMENTS_MAX: usize = 64;
/// Written at once.
const WRITE_BYTES: usize = 256 << 10;
/// Written before it is synced: never so much at once that others' syncs have to wait for long.
const SYNC_BYTES: u32 = 16 << 20;

/// Told after each piece of so many bytes, read or written; `false`: stop. Takes the time that the piece should have taken.
pub(super) type Pace<'p> = &'p mut dyn FnMut(u64) -> bool;

/// Why a pass did not come to its end. The log is as it was, or (but for `Log`) a part of it is compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// Whoever runs it wanted no more.
    #[error("stopped")]
    Stopped,
    /// The log was cut, deleted from, or out of service meanwhile: what was read is not what is there.
    #[error("the log has changed meanwhile")]
    Changed,
    /// A segment holds no sound batch where one should be, or records that cannot be read.
    #[error("{} cannot be compacted, damaged at position {position}: {reason}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u32,
        /// What is wrong.
        reason: String,
    },
    /// Not even the keys of one batch have room.
    #[error("{bytes_max} bytes hold not one batch's keys: raise log.cleaner.dedupe.buffer.size")]
    MapTooSmall {
        /// `log.cleaner.dedupe.buffer.size`, for one thread.
        bytes_max: u64,
    },
    /// The disk said no, or the log is out of service.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<IoFailure> for CompactionError {
    fn from(failure: IoFailure) -> Self {
        CompactionError::Log(LogError::Io(failure))
    }
}

/// What a pass has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionStats {
    /// Keys in the map.
    pub keys: usize,
    /// Bytes of the segments that were gone through to be written anew.
    pub bytes_before: u64,
    /// What became of them.
    pub bytes_after: u64,
    /// Batches that were left out.
    pub batches_gone: u64,
    /// The map was full: the next pass goes on where this one ended.
    pub is_partial: bool,
}

/// A segment that a pass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub base: Offset,
    pub end: Offset,
    pub size: u32,
    /// Of its `.log`: another one if it is not the same file any more.
    pub id: FileId,
}

/// What a pass is given of the log when it begins.
pub(crate) struct Basis {
    pub disk: Arc<dyn Disk>,
    pub dir: Box<Path>,
    pub config: LogConfig,
    pub now: TimestampMs,
    pub need: CompactionNeed,
    /// The segments up to what is not cleanable.
    pub sources: Vec<Source>,
    /// Base offsets of all segments.
    pub bases: Vec<Offset>,
    pub last_of_producers: HashMap<ProducerId, LastOfProducer>,
    /// See `SyncState`: what was cut is not compacted.
    pub generation: u64,
}

/// One pass over a log. Made by `PartitionLog::begin_compaction`.
pub struct Compaction {
    basis: Basis,
    limits: MapLimits,
    work: Option<Work>,
    stats: CompactionStats,
}

/// What there is once the map is full.
struct Work {
    map: OffsetMap,
    txns: Transactions,
    groups: std::vec::IntoIter<Range<usize>>,
    /// The pass ends here.
    upto: Offset,
}

/// A segment that was written anew and synced, still under another name.
#[derive(Debug)]
pub struct NewSegment {
    pub(crate) sources: Vec<Source>,
    pub(crate) base: Offset,
    pub(crate) size: u32,
    pub(crate) largest: TimeEntry,
}

impl std::fmt::Debug for Compaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compaction").field("dir", &self.basis.dir).field("need", &self.basis.need).finish_non_exhaustive()
    }
}

impl Compaction {
    pub(crate) fn new(basis: Basis, limits: MapLimits) -> Compaction {
        Compaction { basis, limits, work: None, stats: CompactionStats::default() }
    }

    /// What was done so far.
    pub fn stats(&self) -> CompactionStats {
        self.stats
    }

    /// The log is compacted up to here once the pass is through: at the end of what was planned, or where the map was full.
    pub fn upto(&self) -> Offset {
        self.work.as_ref().map_or(self.basis.need.first_dirty, |work| work.upto)
    }

    /// Where the log began that it was made from.
    pub(crate) fn start(&self) -> Offset {
        self.basis.bases.first().copied().unwrap_or(Offset::ZERO)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.basis.generation
    }

    /// Writes the next segment anew. `None`: the pass is through. `pace` is told of each piece that was read or written.
    ///
    /// What this gives has to be given to `PartitionLog::replace_compacted` before the next call.
    pub fn next(&mut self, pace: Pace<'_>) -> Result<Option<NewSegment>, CompactionError> {
        if self.work.is_none() {
            self.work = Some(self.prepare(pace)?);
        }
        loop {
            let Some(group) = self.work.as_mut().and_then(|work| work.groups.next()) else { return Ok(None) };
            let sources = self.basis.sources.get(group).unwrap_or_default().to_vec();
            if let Some(new) = self.rewrite(sources, pace)? {
                return Ok(Some(new));
            }
        }
    }

    /// Reads the keys of the dirty part.
    fn prepare(&mut self, pace: Pace<'_>) -> Result<Work, CompactionError> {
        let aborted = self.aborted_transactions()?;
        let need = self.basis.need;
        let records = u64::try_from(need.first_uncleanable.0 - need.first_dirty.0).unwrap_or(0);
        let mut map = OffsetMap::new(records, self.limits);
        let mut txns = Transactions::new(&aborted);
        let is_full = self.fill(&mut map, &mut txns, pace)?;
        let upto = match map.latest() {
            Some(latest) if is_full => latest.plus(1),
            None if is_full => return Err(CompactionError::MapTooSmall { bytes_max: self.limits.bytes_max }),
            _ => need.first_uncleanable,
        };
        // An end without records is known, too.
        map.set_latest(Offset(upto.0 - 1));
        self.stats.keys = map.len();
        self.stats.is_partial = is_full;
        let groups = groups(&self.basis.sources, upto, self.basis.config.segment_bytes).into_iter();
        Ok(Work { map, txns: Transactions::new(&aborted), groups, upto })
    }

    /// `true`: the map is full.
    fn fill(&self, map: &mut OffsetMap, txns: &mut Transactions, pace: Pace<'_>) -> Result<bool, CompactionError> {
        let first_dirty = self.basis.need.first_dirty;
        for source in self.basis.sources.iter().filter(|source| source.end > first_dirty) {
            let mut reader = self.reader(source)?;
            while let Some((batch, _)) = reader.next(pace)? {
                if batch.last_offset() < first_dirty.0 {
                    continue;
                }
                let last = Offset(batch.last_offset());
                let outcome = if batch.is_control() {
                    super::filter::control_kind(&batch, &self.basis.config).map(|kind| {
                        txns.is_marker_of_nothing(&batch, kind);
                        true
                    })
                } else if txns.is_aborted(&batch) {
                    Ok(true)
                } else {
                    put_keys(map, &batch, first_dirty, &self.basis.config)
                };
                match outcome {
                    Ok(true) => map.set_latest(last),
                    Ok(false) => return Ok(true),
                    Err(why) => return Err(reader.damaged(reader.position(), why)),
                }
            }
        }
        Ok(false)
    }

    /// The aborted transactions that may have records in the part that is gone through; some end behind it.
    fn aborted_transactions(&self) -> Result<Vec<AbortedTxn>, CompactionError> {
        let mut aborted = Vec::new();
        for base in &self.basis.bases {
            let path = FileKind::TxnIndex.path(&self.basis.dir, *base);
            let stored = self.basis.disk.read_all(&path).if_there("read", &path)?;
            aborted.extend(stored.iter().flat_map(|bytes| AbortedTxn::decode_all(bytes)));
        }
        aborted.retain(|txn| txn.first_offset < self.basis.need.first_uncleanable);
        Ok(aborted)
    }

    fn reader(&self, source: &Source) -> Result<BatchReader, CompactionError> {
        let path = FileKind::Log.path(&self.basis.dir, source.base);
        let file = self.basis.disk.open(&path, OpenMode::Read).if_there("open", &path)?.ok_or(CompactionError::Changed)?;
        Ok(BatchReader::new(file, path, source.size, source.base))
    }

    /// Writes these segments as one. `None`: it is one, and nothing in it would change. Nothing is left of what did not come to its end:
    /// on a disk that is full it would keep room from those who wait for it.
    fn rewrite(&mut self, sources: Vec<Source>, pace: Pace<'_>) -> Result<Option<NewSegment>, CompactionError> {
        let (Some(first), Some(last)) = (sources.first().copied(), sources.last().copied()) else { return Ok(None) };
        let written = self.write_anew(sources, first, last, pace);
        if written.is_err() {
            for kind in CLEANED_KINDS {
                // What cannot be removed goes when the log is opened. Why the pass failed matters more.
                let _ = self.basis.disk.remove_file(&cleaned_path(kind, &self.basis.dir, first.base));
            }
        }
        written
    }

    fn write_anew(
        &mut self,
        sources: Vec<Source>,
        first: Source,
        last: Source,
        pace: Pace<'_>,
    ) -> Result<Option<NewSegment>, CompactionError> {
        let mut writer = SegmentWriter::new(&self.basis, first.base)?;
        let mut is_same = sources.len() == 1;
        for source in &sources {
            let mut reader = self.reader(source)?;
            let Some(work) = &mut self.work else { return Ok(None) };
            let filter = Filter {
                map: &work.map,
                config: &self.basis.config,
                now: self.basis.now,
                last_of_producers: &self.basis.last_of_producers,
            };
            loop {
                let position = reader.position();
                let Some((batch, ends)) = reader.next(pace)? else { break };
                let fate = filter.decide(&mut work.txns, &batch, ends && source.base == last.base);
                match fate {
                    Ok(Fate::Stays) => writer.write(&batch, pace)?,
                    Ok(Fate::Goes) => {
                        is_same = false;
                        self.stats.batches_gone += 1;
                    }
                    Ok(Fate::Becomes(bytes)) => {
                        is_same = false;
                        match BatchView::new(&bytes) {
                            Ok(batch) => writer.write(&batch, pace)?,
                            Err(why) => return Err(reader.damaged(position, why)),
                        }
                    }
                    Err(why) => return Err(reader.damaged(position, why)),
                }
            }
        }
        self.stats.bytes_before += sources.iter().map(|s| u64::from(s.size)).sum::<u64>();
        if is_same {
            self.stats.bytes_after += u64::from(first.size);
            writer.discard()?;
            return Ok(None);
        }
        let (size, largest) = writer.finish(pace)?;
        self.stats.bytes_after += u64::from(size);
        Ok(Some(NewSegment { sources, base: first.base, size, largest }))
    }
}

/// Tells a map the keys of a batch; `false`: it is full.
fn put_keys(map: &mut OffsetMap, batch: &BatchView<'_>, from: Offset, config: &LogConfig) -> Result<bool, ottla_wire::batch::BatchError> {
    with_records(batch, config, |records| {
        for record in records {
            let record = record?;
            if let Some(key) = record.key.filter(|_| record.offset >= from.0)
                && !map.put(key, Offset(record.offset))
            {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Which segments become one: neighbours, as long as they have room in a segment together.
fn groups(sources: &[Source], upto: Offset, segment_bytes: u32) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (at, source) in sources.iter().enumerate().take_while(|(_, source)| source.base < upto) {
        let size = u64::from(source.size);
        match groups.last_mut() {
            Some(group)
                if bytes + size <= u64::from(segment_bytes)
                    && group.len() < GROUP_SEGMENTS_MAX
                    && sources.get(group.start).is_some_and(|first| source.end.0 - first.base.0 <= i64::from(i32::MAX)) =>
            {
                group.end = at + 1;
                bytes += size;
            }
            _ => {
                groups.push(at..at + 1);
                bytes = size;
            }
        }
    }
    groups
}

/// Writes a segment with its indexes under names that mean nothing yet.
struct SegmentWriter {
    disk: Arc<dyn Disk>,
    dir: Box<Path>,
    base: Offset,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    written: u32,
    synced: u32,
    interval_bytes: u32,
    since_entry: u32,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    largest: TimeEntry,
}

/// The files of a segment under way.
pub(crate) const CLEANED_KINDS: [FileKind; 3] = [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex];

/// Of a segment under way.
pub(crate) fn cleaned_path(kind: FileKind, dir: &Path, base: Offset) -> PathBuf {
    suffixed(kind.path(dir, base), CLEANED_SUFFIX)
}

pub(crate) fn suffixed(path: PathBuf, suffix: &str) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

impl SegmentWriter {
    fn new(basis: &Basis, base: Offset) -> Result<SegmentWriter, CompactionError> {
        let path = cleaned_path(FileKind::Log, &basis.dir, base);
        let file = fresh(&*basis.disk, &path)?;
        Ok(SegmentWriter {
            disk: Arc::clone(&basis.disk),
            dir: basis.dir.clone(),
            base,
            file,
            buffer: Vec::with_capacity(WRITE_BYTES),
            written: 0,
            synced: 0,
            interval_bytes: basis.config.index_interval_bytes,
            since_entry: 0,
            offsets: Vec::new(),
            times: Vec::new(),
            largest: TimeEntry { timestamp: TimestampMs::NONE.0, relative: 0 },
        })
    }

    fn path(&self) -> PathBuf {
        cleaned_path(FileKind::Log, &self.dir, self.base)
    }

    fn write(&mut self, batch: &BatchView<'_>, pace: Pace<'_>) -> Result<(), CompactionError> {
        let position = self.written + self.buffer.len() as u32;
        let bytes = batch.length_in_bytes() as u32;
        if position.checked_add(bytes).is_none_or(|end| end > i32::MAX as u32) {
            let reason = format!("{bytes} bytes at position {position} are more than a segment can have");
            return Err(CompactionError::Damaged { path: self.path(), position, reason });
        }
        let relative = u32::try_from(batch.last_offset() - self.base.0).unwrap_or(u32::MAX);
        if batch.record_count() > 0 && batch.max_timestamp() > self.largest.timestamp {
            self.largest = TimeEntry { timestamp: batch.max_timestamp(), relative };
        }
        if self.since_entry > self.interval_bytes {
            push(&mut self.offsets, OffsetEntry { relative, position });
            self.note_largest();
            self.since_entry = 0;
        }
        self.since_entry = self.since_entry.saturating_add(bytes);
        if self.buffer.len() + batch.length_in_bytes() > WRITE_BYTES {
            self.flush(pace)?;
        }
        self.buffer.extend_from_slice(batch.bytes());
        Ok(())
    }

    fn note_largest(&mut self) {
        if self.largest.timestamp >= 0 {
            push(&mut self.times, self.largest);
        }
    }

    fn flush(&mut self, pace: Pace<'_>) -> Result<(), CompactionError> {
        let len = self.buffer.len() as u32;
        self.file.write_vectored_at(&[IoSlice::new(&self.buffer)], u64::from(self.written)).doing("write", &self.path())?;
        self.buffer.clear();
        self.written += len;
        if self.written - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        if !pace(u64::from(len)) {
            return Err(CompactionError::Stopped);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), IoFailure> {
        self.file.sync_data().doing("sync", &self.path())?;
        self.synced = self.written;
        Ok(())
    }

    /// All of it is on stable storage when this returns, but for the names.
    fn finish(mut self, pace: Pace<'_>) -> Result<(u32, TimeEntry), CompactionError> {
        self.flush(pace)?;
        self.sync()?;
        self.note_largest();
        self.write_index(FileKind::OffsetIndex, &self.offsets)?;
        self.write_index(FileKind::TimeIndex, &self.times)?;
        Ok((self.written, self.largest))
    }

    fn write_index<E: Entry>(&self, kind: FileKind, entries: &[E]) -> Result<(), IoFailure> {
        let path = cleaned_path(kind, &self.dir, self.base);
        let file = fresh(&*self.disk, &path)?;
        let mut bytes = Vec::with_capacity(entries.len() * E::LEN);
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        file.write_vectored_at(&[IoSlice::new(&bytes)], 0).doing("write", &path)?;
        file.sync_data().doing("sync", &path)
    }

    fn discard(self) -> Result<(), IoFailure> {
        let path = self.path();
        self.disk.remove_file(&path).doing("remove", &path)
    }
}

/// An entry that cannot follow the last one is passed over, as where a segment grows.
fn push<E: Entry>(entries: &mut Vec<E>, entry: E) {
    if entry.can_follow(entries.last()) {
        entries.push(entry);
    }
}

/// An empty file of this name, whatever was left there by a pass before.
fn fresh(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, IoFailure> {
    let file = disk.open(path, OpenMode::Create).doing("open", path)?;
    file.truncate(0).doing("cut", path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_neighbours_become_one_segment_within_its_bounds() {
        let sources: Vec<Source> = [40, 30, 40, 100, 10, 90, 1]
            .into_iter()
            .enumerate()
            .map(|(i, size)| Source { base: Offset(i as i64 * 10), end: Offset(i as i64 * 10 + 10), size, id: FileId::fresh() })
            .collect();
        assert_eq!(groups(&sources, Offset(70), 100), [0..2, 2..3, 3..4, 4..6, 6..7]);
        assert_eq!(groups(&sources, Offset(31), 100), [0..2, 2..3, 3..4], "the segment that a pass ends in is part of it");
        assert_eq!(groups(&sources, Offset(30), 1), [0..1, 1..2, 2..3], "one alone may be larger");
        let far = [Source { end: Offset(1 << 31), ..sources[0] }, sources[1]];
        assert_eq!(groups(&far, Offset(1 << 40), 100).len(), 1);
        let far = [sources[0], Source { end: Offset(1 << 32), ..sources[1] }];
        assert_eq!(groups(&far, Offset(1 << 40), 100).len(), 2, "indexes have 31 bits for offsets");
        let many = vec![sources[6]; 200];
        assert_eq!(groups(&many, Offset(1 << 40), 1000).len(), 4);
    }
}
