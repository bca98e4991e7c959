//! What a crash left, made a log again.
//!
//! Below the recovery point everything was synced, the indexes of closed segments with it. From there on batches are held
//! against their CRC one by one, and at the first that does not hold (or does not follow the one before; a gap, as compaction
//! leaves them, must be borne out by what comes behind it) the log
//! is cut: all that was acknowledged as durable lies before. Indexes are made anew for the segments gone through. Leader
//! epochs come from their file and the batches; producer state from the newest sound snapshot and the headers after it.
//!
//! Where a segment is begun to be read: at the newest producer snapshot below the recovery point, since the sync that wrote it
//! had the indexes up to there on stable storage too; without one, at the segment's start. Between there and the recovery point
//! only headers are read.

use std::io;
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use ottla_wire::batch::BatchView;

use super::PartitionLog;
use super::append::marker_of;
use super::open::{Found, Recovery};
use crate::disk::{DiskFile, OpenMode};
use crate::epochs::EpochCache;
use crate::error::{AppendError, IoContext, LogError, ReadError};
use crate::index::{self, Entry, OffsetEntry, TimeEntry};
use crate::producer_state::{ProducerBatch, ProducerState};
use crate::scan::{BatchScan, HeaderScan, Placed, Step, WholeStep, next_sound};
use crate::segment::{FileKind, PendingIndex, Place, Tail};
use crate::txn_index::AbortedTxn;

/// Where a log was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Base offset of the segment.
    pub segment: Offset,
    /// Where in its `.log`.
    pub position: u32,
    /// Bytes that were dropped from there to the segment's end.
    pub bytes: u32,
    /// What did not hold.
    pub reason: String,
}

/// A walk that ended early.
struct Stop {
    position: u32,
    reason: String,
}

impl PartitionLog {
    /// After a clean stop: finds the log end from the last index entry on. `false`: the files are not what a clean stop leaves.
    pub(super) fn open_clean_tail(&mut self) -> Result<bool, LogError> {
        let at = self.segments.len() - 1;
        let offsets: PendingIndex<OffsetEntry> = self.index_as_found(at, FileKind::OffsetIndex)?;
        let times: PendingIndex<TimeEntry> = self.index_as_found(at, FileKind::TimeIndex)?;
        let segment = &self.segments[at];
        let start = offsets.last.map_or(0, |e| e.position);
        if start > segment.size || !self.leads_to_its_batch(at, offsets.last)? {
            return Ok(false);
        }
        let mut tail = Tail::empty(segment.base, self.tail.created, self.tail.jitter_ms);
        (tail.offsets, tail.times) = (offsets, times);
        tail.largest = tail.times.last.unwrap_or(tail.largest);
        tail.first_timestamp = self.first_timestamp(at)?;
        self.tail = tail;
        let stop = self.walk_headers(at, start, None)?;
        Ok(stop.is_none() && self.ends_soundly(at, start)?)
    }

    /// Whether the last batch of a segment, of which one begins at `start`, is what was written: the next offset to be given out is
    /// taken from its header.
    fn ends_soundly(&self, at: usize, start: u32) -> Result<bool, LogError> {
        let size = self.segments[at].size;
        let file = self.segments[at].file(self.place(), FileKind::Log)?;
        let mut scan = HeaderScan::new(&*file, start, size);
        let mut last = None;
        while let Step::Batch(placed) = scan.next().map_err(|e| self.read_failure(at, e))? {
            last = Some(placed.position);
        }
        let Some(last) = last else { return Ok(true) };
        // What cannot be read is damage like other damage: recovery goes by the headers.
        Ok(matches!(BatchScan::new(&*file, last, size).next(), Ok(WholeStep::Batch(_))))
    }

    /// After anything else: all from the recovery point on is checked.
    /// Gives the segments that were read, each with the position from which on.
    pub(super) fn recover(
        &mut self,
        recovery_point: Offset,
        compacted_upto: Offset,
        found: &Found,
        recovery: &mut Recovery,
    ) -> Result<Vec<(Offset, u32)>, LogError> {
        let mut checked = Vec::new();
        // A segment that ends right at the recovery point was synced while it grew, perhaps without its indexes: they are sure to be
        // synced only once the durable end is beyond the base of the next.
        let first = self.segments.partition_point(|s| s.base < recovery_point).saturating_sub(1);
        // Entries from there on may be of records that were cut since the file was written; the batches tell them again.
        if self.epochs.truncate_from_end(recovery_point) {
            self.sync.epochs_changed();
        }
        let mut at = first;
        loop {
            let stop = self.recover_segment(at, recovery_point, compacted_upto, found, recovery, &mut checked)?;
            let end = self.tail.next_offset;
            if let Some(Stop { position, reason }) = stop {
                self.refuse_to_cut_sound_data(at, position, end, recovery_point, &reason)?;
                let segment = &mut self.segments[at];
                let torn = TornTail { segment: segment.base, position, bytes: segment.size - position, reason };
                let file = segment.file(Place { disk: &*self.disk, dir: &self.dir }, FileKind::Log)?;
                let path = FileKind::Log.path(&self.dir, segment.base);
                file.truncate(u64::from(position)).doing("cut", &path)?;
                // See `truncate_to`: what is cut must not come back.
                file.sync_data().doing("sync", &path)?;
                segment.size = position;
                recovery.torn = Some(torn);
                recovery.segments_removed += self.remove_segments_from(at + 1)?;
                break;
            }
            match self.segments.get(at + 1) {
                None => break,
                // The end of this segment never reached the disk, though all it has is sound.
                // Where all of it was synced, its last batches were compacted away: not by this broker, which leaves a header of them.
                Some(next) if next.base != end && !(next.base > end && next.base <= recovery_point.max(compacted_upto)) => {
                    recovery.segments_removed += self.remove_segments_from(at + 1)?;
                    break;
                }
                Some(_) => at += 1,
            }
        }
        self.rebuild_missing_indexes(first, found, recovery)?;
        let changed = recovery.torn.is_some() || recovery.segments_removed > 0;
        self.mark_recovered(first, recovery_point, changed);
        Ok(checked)
    }

    /// Below the recovery point everything was synced, so what does not hold there is not torn but damaged. If sound batches
    /// follow it, they are not thrown away with it.
    fn refuse_to_cut_sound_data(
        &self,
        at: usize,
        position: u32,
        end: Offset,
        recovery_point: Offset,
        reason: &str,
    ) -> Result<(), LogError> {
        if end >= recovery_point {
            return Ok(());
        }
        let path = FileKind::Log.path(&self.dir, self.segments[at].base);
        let later_segment = self.segments[at + 1..].iter().any(|s| s.size > 0 && s.base < recovery_point);
        if !later_segment {
            let size = self.segments[at].size;
            let file = self.segments[at].file(self.place(), FileKind::Log)?;
            let sound = next_sound(&*file, position + 1, size, size, &(end..Offset(i64::MAX)));
            if sound.map_err(|e| self.read_failure(at, e))?.is_none_or(|found| found.header.base_offset >= recovery_point) {
                return Ok(());
            }
        }
        let reason =
            format!("at position {position}, offset {end}: {reason}; sound batches follow, which were synced (up to {recovery_point})");
        Err(LogError::BadFile { path, reason })
    }

    /// Goes through one segment, makes its indexes anew and leaves its end in `tail`.
    fn recover_segment(
        &mut self,
        at: usize,
        recovery_point: Offset,
        compacted_upto: Offset,
        found: &Found,
        recovery: &mut Recovery,
        checked: &mut Vec<(Offset, u32)>,
    ) -> Result<Option<Stop>, LogError> {
        let base = self.segments[at].base;
        // Index entries at or below this offset were on stable storage before the recovery point passed it.
        let anchor = found.snapshots.range(base..=recovery_point.max(base)).next_back().copied();
        let anchor = anchor.filter(|s| *s > base && self.read_snapshot(*s).is_ok_and(|s| s.is_some()));
        let start = self.begin_recovery_of(at, anchor)?;
        let mut stop = self.walk_headers(at, start, Some(recovery_point))?;
        let start = if start > 0 && stop.is_some() && self.tail.next_offset == base {
            // No batch where the index has one: the log was cut, and the recovery point is from before. What lies below is there.
            let start = self.begin_recovery_of(at, None)?;
            stop = self.walk_headers(at, start, Some(recovery_point))?;
            start
        } else {
            start
        };
        recovery.indexes_rebuilt += 1;
        if let Some(stop) = stop {
            self.close_indexes_of(at)?;
            return Ok(Some(stop));
        }
        let from = self.position_reached(at, start, recovery_point)?;
        let stop = self.check_batches(at, from, recovery_point.max(compacted_upto), recovery)?;
        checked.push((base, from));
        self.close_indexes_of(at)?;
        Ok(stop)
    }

    /// Keeps of a segment's indexes what lies below the anchor; gives the position of the batch from which they are made anew.
    fn begin_recovery_of(&mut self, at: usize, anchor: Option<Offset>) -> Result<u32, LogError> {
        let segment = &self.segments[at];
        let (base, size) = (segment.base, segment.size);
        let (mut offsets, mut times) = (Vec::new(), Vec::new());
        if let Some(anchor) = anchor {
            let limit = segment.relative(anchor);
            offsets = self.sound_entries::<OffsetEntry>(base, FileKind::OffsetIndex, |e| e.relative < limit && e.position < size)?;
            times = self.sound_entries::<TimeEntry>(base, FileKind::TimeIndex, |e| e.relative < limit)?;
            // An index that was damaged costs a longer way, not the log.
            if !self.leads_to_its_batch(at, offsets.last().copied())? {
                (offsets, times) = (Vec::new(), Vec::new());
            }
        }
        let start = offsets.last().map_or(0, |e| e.position);
        let mut tail = Tail::empty(base, self.tail.created, self.jitter_ms(base, self.tail.created));
        tail.largest = times.last().copied().unwrap_or(tail.largest);
        tail.first_timestamp = if start > 0 { self.first_timestamp(at)? } else { None };
        tail.next_offset = base;
        tail.offsets = PendingIndex::new(offsets.len() as u32, offsets.last().copied());
        tail.times = PendingIndex::new(times.len() as u32, times.last().copied());
        // What stands behind is made anew, and must not be found behind it.
        for (kind, len) in [(FileKind::OffsetIndex, offsets.len() * OffsetEntry::LEN), (FileKind::TimeIndex, times.len() * TimeEntry::LEN)]
        {
            let file = segment.file(self.place(), kind)?;
            file.truncate(len as u64).doing("cut", &kind.path(&self.dir, base))?;
        }
        self.tail = tail;
        Ok(start)
    }

    /// Whether the batch that an index entry speaks of is where it says. Without an entry there is nothing that leads astray.
    fn leads_to_its_batch(&self, at: usize, entry: Option<OffsetEntry>) -> Result<bool, LogError> {
        let Some(entry) = entry else { return Ok(true) };
        let segment = &self.segments[at];
        let file = segment.file(self.place(), FileKind::Log)?;
        let mut scan = HeaderScan::new(&*file, entry.position, segment.size);
        let step = scan.next().map_err(|e| self.read_failure(at, e))?;
        Ok(matches!(step, Step::Batch(placed) if segment.relative(placed.header.last_offset()) == entry.relative))
    }

    /// Position of the first batch of a segment that reaches up to `offset` or beyond, known to be walkable up to there.
    fn position_reached(&self, at: usize, start: u32, offset: Offset) -> Result<u32, LogError> {
        if offset <= self.segments[at].base {
            return Ok(0);
        }
        let file = self.segments[at].file(self.place(), FileKind::Log)?;
        let mut scan = HeaderScan::new(&*file, start, self.segments[at].size);
        let mut position = start;
        while let Step::Batch(placed) = scan.next().map_err(|e| self.read_failure(at, e))? {
            if placed.header.next_offset() > offset {
                return Ok(placed.position);
            }
            position = placed.end();
        }
        Ok(position)
    }

    /// Reads headers from `start` on, up to the batch that reaches beyond `upto` (`None`: all), into `tail`, indexes and epochs.
    fn walk_headers(&mut self, at: usize, start: u32, upto: Option<Offset>) -> Result<Option<Stop>, LogError> {
        let file = self.segments[at].file(self.place(), FileKind::Log)?;
        let mut scan = HeaderScan::new(&*file, start, self.segments[at].size);
        let mut expected = None;
        loop {
            match scan.next().map_err(|e| self.read_failure(at, e))? {
                Step::End => return Ok(None),
                Step::Bad { position, why } => {
                    // Beyond what was synced it is for the check by CRC to say where the log ends.
                    let reason = why.to_string();
                    return Ok(Some(Stop { position, reason }).filter(|_| upto.is_none_or(|p| self.tail.next_offset < p)));
                }
                Step::Batch(placed) => {
                    if upto.is_some_and(|upto| placed.header.next_offset() > upto) {
                        return Ok(None);
                    }
                    let low = expected.unwrap_or(self.segments[at].base);
                    if placed.header.base_offset < low {
                        let reason = format!("base offset {} where at least {low} was expected", placed.header.base_offset);
                        return Ok(Some(Stop { position: placed.position, reason }));
                    }
                    expected = Some(placed.header.next_offset());
                    self.take_in(at, &placed)?;
                }
            }
        }
    }

    /// Checks whole batches from `start` on. Up to `gaps_upto` a segment may end before the next begins.
    fn check_batches(&mut self, at: usize, start: u32, gaps_upto: Offset, recovery: &mut Recovery) -> Result<Option<Stop>, LogError> {
        let file = self.segments[at].file(self.place(), FileKind::Log)?;
        let mut scan = BatchScan::new(&*file, start, self.segments[at].size);
        // Gaps before this position are borne out.
        let mut borne_out_upto = 0;
        loop {
            let placed = match scan.next().map_err(|e| self.read_failure(at, e))? {
                WholeStep::End => return Ok(None),
                WholeStep::Bad { position, reason } => return Ok(Some(Stop { position, reason })),
                WholeStep::Batch(placed) => placed,
            };
            let expected = self.tail.next_offset;
            if placed.header.base_offset > expected && placed.position >= borne_out_upto {
                borne_out_upto = self.gaps_borne_out_upto(at, &placed, gaps_upto)?.unwrap_or(0);
            }
            if placed.header.base_offset != expected && (placed.header.base_offset < expected || placed.position >= borne_out_upto) {
                let reason = format!("base offset {} where {} was expected", placed.header.base_offset, self.tail.next_offset);
                return Ok(Some(Stop { position: placed.position, reason }));
            }
            recovery.bytes_checked += u64::from(placed.header.bytes);
            self.take_in(at, &placed)?;
        }
    }

    /// Whether a batch beyond the expected offset is there because others were removed by compaction, here or at the leader it came
    /// from. Its CRC does not cover the base offset, so that has to be borne out by what follows: by a sound batch that
    /// follows on at once, be it behind more gaps, or by the segment that does. Only what stays counts: what is cut bears out
    /// nothing the next time. Gives the position before which all gaps are borne out.
    fn gaps_borne_out_upto(&self, at: usize, placed: &Placed, gaps_upto: Offset) -> Result<Option<u32>, LogError> {
        let segment = &self.segments[at];
        let file = segment.file(self.place(), FileKind::Log)?;
        let is_compacted = self.config.cleanup_compact;
        let mut last = *placed;
        loop {
            let end = last.header.next_offset();
            if last.header.last_offset().0 - segment.base.0 > i64::from(i32::MAX) {
                return Ok(None);
            }
            let follows = match HeaderScan::new(&*file, last.end(), segment.size).next().map_err(|e| self.read_failure(at, e))? {
                Step::Batch(next) => Some(next.header.base_offset),
                Step::End => self.segments.get(at + 1).map(|next| next.base),
                Step::Bad { .. } => None,
            };
            if follows.is_some_and(|next| next < end) {
                return Ok(None);
            }
            // Of a compacted log the last batch may be one that leaves a gap.
            if is_compacted {
                return Ok(Some(last.end()));
            }
            let mut whole = BatchScan::with_chunk(&*file, last.end(), segment.size, 0);
            match whole.next().map_err(|e| self.read_failure(at, e))? {
                WholeStep::Batch(next) if next.header.base_offset > end => last = next,
                WholeStep::Batch(_) => return Ok(Some(last.end())),
                WholeStep::End => return Ok(follows.filter(|next| *next == end || *next <= gaps_upto).map(|_| last.end())),
                WholeStep::Bad { .. } => return Ok(None),
            }
        }
    }

    fn take_in(&mut self, at: usize, placed: &Placed) -> Result<(), LogError> {
        let segment = &self.segments[at];
        let header = &placed.header;
        self.tail.note_batch(
            segment,
            self.config.index_interval_bytes,
            placed.position,
            header.bytes,
            header.last_offset(),
            header.records_max_timestamp(),
        );
        if self.tail.wants_flush() {
            self.tail.flush_indexes(Place { disk: &*self.disk, dir: &self.dir }, segment)?;
        }
        if header.leader_epoch > self.epochs.latest().unwrap_or(LeaderEpoch::NONE) {
            self.assign_epoch(header.leader_epoch, header.base_offset);
        }
        Ok(())
    }

    /// Writes out the indexes of a segment gone through; if it is a closed one, with its last time entry.
    fn close_indexes_of(&mut self, at: usize) -> Result<(), LogError> {
        let place = Place { disk: &*self.disk, dir: &self.dir };
        let segment = &self.segments[at];
        self.tail.flush_indexes(place, segment)?;
        if at + 1 < self.segments.len() {
            self.tail.note_largest();
            self.tail.flush_indexes(place, segment)?;
        }
        Ok(())
    }

    /// Of the first `below` segments, all closed: those whose index files are gone get new ones, by their headers.
    pub(super) fn rebuild_missing_indexes(&mut self, below: usize, found: &Found, recovery: &mut Recovery) -> Result<(), LogError> {
        for at in 0..below {
            let (base, size) = (self.segments[at].base, self.segments[at].size);
            if size == 0 || (found.indexes.contains(&base) && found.time_indexes.contains(&base)) {
                continue;
            }
            let empty = Tail::empty(base, self.tail.created, 0);
            let kept = std::mem::replace(&mut self.tail, empty);
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
                self.segments[at].file(self.place(), kind)?.truncate(0).doing("cut", &kind.path(&self.dir, base))?;
            }
            let walked = self.walk_headers(at, 0, None).and_then(|_| self.close_indexes_of(at));
            self.tail = kept;
            walked?;
            self.sync.sealed(base);
            self.sync.folder_changed();
            recovery.indexes_rebuilt += 1;
        }
        Ok(())
    }

    /// Removes segments that cannot belong to this log, the last first, so that a crash meanwhile leaves no gap.
    pub(super) fn remove_segments_from(&mut self, at: usize) -> Result<usize, LogError> {
        let mut removed = 0;
        while self.segments.len() > at.max(1) {
            let Some(segment) = self.segments.pop() else { break };
            segment.close(&*self.disk);
            self.size_bytes = self.size_bytes.saturating_sub(u64::from(segment.size));
            for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex] {
                self.remove_if_there(kind, segment.base)?;
            }
            removed += 1;
        }
        if removed > 0 {
            self.sync.folder_changed();
        }
        Ok(removed)
    }

    pub(super) fn remove_if_there(&self, kind: FileKind, base: Offset) -> Result<(), LogError> {
        let path = kind.path(&self.dir, base);
        self.disk.remove_file(&path).if_there("remove", &path)?;
        Ok(())
    }

    fn first_timestamp(&self, at: usize) -> Result<Option<i64>, LogError> {
        let file = self.segments[at].file(self.place(), FileKind::Log)?;
        match HeaderScan::new(&*file, 0, self.segments[at].size).next().map_err(|e| self.read_failure(at, e))? {
            Step::Batch(placed) => Ok(Some(placed.header.max_timestamp)),
            Step::End | Step::Bad { .. } => Ok(None),
        }
    }

    /// An index as it is in its file, without the zeros that Kafka preallocates.
    fn index_as_found<E: Entry>(&self, at: usize, kind: FileKind) -> Result<PendingIndex<E>, LogError> {
        let path = kind.path(&self.dir, self.segments[at].base);
        let file = self.segments[at].file(self.place(), kind)?;
        let look = |file: &Arc<dyn DiskFile>| -> io::Result<PendingIndex<E>> {
            let count = index::count_of::<E>(&**file)?;
            let len = u64::from(count) * E::LEN as u64;
            if file.len()? > len {
                file.truncate(len)?;
            }
            let last = match count.checked_sub(1) {
                Some(last) => index::entry_at(&**file, last)?,
                None => None,
            };
            Ok(PendingIndex::new(count, last))
        };
        Ok(look(&file).doing("read", &path)?)
    }

    fn sound_entries<E: Entry>(&self, base: Offset, kind: FileKind, keep: impl Fn(&E) -> bool) -> Result<Vec<E>, LogError> {
        let path = kind.path(&self.dir, base);
        let bytes = self.disk.read_all(&path).if_there("read", &path)?.unwrap_or_default();
        Ok(index::sound_prefix::<E>(&bytes).into_iter().take_while(keep).collect())
    }

    /// A snapshot; `None` when what is there is not one.
    fn read_snapshot(&self, at: Offset) -> Result<Option<ProducerState>, LogError> {
        let path = FileKind::Snapshot.path(&self.dir, at);
        let bytes = self.disk.read_all(&path).if_there("read", &path)?;
        Ok(bytes.and_then(|bytes| ProducerState::decode(&bytes).ok()))
    }

    /// Producer state: the newest sound snapshot up to `trusted`, and what was written since. `mend`: the indexes of aborted
    /// transactions may be behind, or ahead.
    ///
    /// A snapshot beyond what is known to be synced may be sound while the index of aborted transactions below it is not: were it begun
    /// from, their records would be read as committed.
    pub(super) fn load_producers(&mut self, found: &Found, trusted: Offset, mend: bool) -> Result<(), LogError> {
        let end = self.log_end_offset();
        // Below the first segment nothing is left to go through.
        let trusted = trusted.max(self.segments[0].base).min(end);
        if found.snapshots.range(end.plus(1)..).next().is_some() {
            self.remove_snapshots(|at| at > end)?;
        }
        let mut from = self.segments[0].base;
        for at in found.snapshots.range(..=trusted).rev().copied() {
            match self.read_snapshot(at)? {
                Some(state) => {
                    self.producers = state;
                    from = at.max(from);
                    self.sync.snapshot_found(at);
                    if self.segments.iter().all(|s| s.base != at) {
                        self.sync.set_stray_snapshot(at);
                    }
                    break;
                }
                None => self.remove_if_there(FileKind::Snapshot, at)?,
            }
        }
        self.replay_producers(from, mend)
    }

    /// Leader epochs from the batches that lie before the first that is known: of segments that were deleted and came back, as the crash
    /// took their renames and left the epochs that were written after it.
    pub(super) fn find_first_epochs(&mut self) -> Result<(), LogError> {
        let Some((_, known_from)) = self.epochs.entries().first().copied().filter(|(_, start)| *start > self.log_start) else {
            return Ok(());
        };
        let mut epochs = EpochCache::default();
        for at in 0..self.segments.iter().take_while(|s| s.base < known_from).count() {
            let file = self.segments[at].file(self.place(), FileKind::Log)?;
            let mut scan = HeaderScan::new(&*file, 0, self.segments[at].size);
            while let Step::Batch(placed) = scan.next().map_err(|e| self.read_failure(at, e))? {
                let header = placed.header;
                if header.base_offset >= known_from {
                    break;
                }
                if header.next_offset() > self.log_start {
                    epochs.assign(header.leader_epoch, header.base_offset.max(self.log_start));
                }
            }
        }
        for (epoch, start) in self.epochs.entries() {
            epochs.assign(*epoch, *start);
        }
        self.epochs = epochs;
        self.sync.epochs_changed();
        Ok(())
    }

    /// Takes in the batches from `from` on, as if they were written now.
    pub(super) fn replay_producers(&mut self, from: Offset, mend: bool) -> Result<(), LogError> {
        if from >= self.log_end_offset() && !mend {
            return Ok(());
        }
        for at in self.segment_of(from).unwrap_or(0)..self.segments.len() {
            let base = self.segments[at].base;
            if mend && base > from {
                self.mend_snapshot(base)?;
            }
            let mut aborted = Vec::new();
            let start = self.boundary_of(at, from.max(base)).map_err(into_log_error)?.position;
            let file = self.log_file(at)?;
            let mut scan = HeaderScan::new(&*file, start, self.segments[at].size);
            while let Step::Batch(placed) = scan.next().map_err(|e| self.read_failure(at, e))? {
                if placed.header.producer_id >= ProducerId(0) && placed.header.base_offset >= from {
                    aborted.extend(self.replay(at, &placed)?);
                }
            }
            if mend {
                self.mend_txn_index(base, from, &aborted)?;
            }
        }
        Ok(())
    }

    fn replay(&mut self, at: usize, placed: &Placed) -> Result<Option<AbortedTxn>, LogError> {
        let h = &placed.header;
        if !h.is_control() {
            self.producers.apply(&ProducerBatch {
                producer_id: h.producer_id,
                producer_epoch: h.producer_epoch,
                base_sequence: h.base_sequence,
                last_sequence: h.last_sequence(),
                first_offset: h.base_offset,
                last_offset: h.last_offset(),
                max_timestamp: h.max_timestamp,
                transactional: h.is_transactional(),
            });
            return Ok(None);
        }
        let bytes = self.read_batch(at, placed).map_err(into_log_error)?;
        let path = || FileKind::Log.path(&self.dir, self.segments[at].base);
        let bad = |reason: String| LogError::BadFile { path: path(), reason };
        let batch = BatchView::new(&bytes).map_err(|e| bad(e.to_string()))?;
        let marker = marker_of(&batch).map_err(|e: AppendError| bad(e.to_string()))?;
        let (id, epoch) = (ProducerId(batch.producer_id()), ProducerEpoch(batch.producer_epoch()));
        Ok(marker.and_then(|m| self.producers.apply_marker(id, epoch, &m, h.last_offset(), h.max_timestamp)))
    }

    /// The snapshot at a segment's base, as a roll leaves it: once the segments before are deleted, nothing else speaks of their producers.
    fn mend_snapshot(&mut self, base: Offset) -> Result<(), LogError> {
        let path = FileKind::Snapshot.path(&self.dir, base);
        let bytes = self.producers.encode();
        if self.disk.read_all(&path).if_there("read", &path)?.is_some_and(|found| found == bytes) {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            let file = self.disk.open(&path, OpenMode::Create)?;
            file.truncate(0)?;
            file.write_vectored_at(&[io::IoSlice::new(&bytes)], 0)?;
            file.sync_data()
        };
        write().doing("write", &path)?;
        self.sync.folder_changed();
        Ok(())
    }

    /// Entries from `from` on are those of the replay.
    fn mend_txn_index(&mut self, base: Offset, from: Offset, replayed: &[AbortedTxn]) -> Result<(), LogError> {
        let path = FileKind::TxnIndex.path(&self.dir, base);
        let stored = self.read_txn_index(base)?;
        let kept = stored.partition_point(|t| t.last_offset < from);
        if stored[kept..] == *replayed {
            let len = (stored.len() * crate::txn_index::ENTRY_LEN) as u64;
            // What does not read as an entry would hide those that come behind it.
            if self.disk.stat(&path).if_there("look at", &path)?.is_none_or(|found| found.len == len) {
                return Ok(());
            }
        }
        // What lies before is nowhere else, and stays where it is: another crash must find it.
        let file = self.disk.open(&path, OpenMode::Create).doing("open", &path)?;
        file.truncate((kept * crate::txn_index::ENTRY_LEN) as u64).doing("cut", &path)?;
        self.append_txn_index(base, replayed)?;
        // A ticket has only those of the segments that it syncs itself.
        file.sync_data().doing("sync", &path)?;
        self.sync.txn_index_changed();
        self.sync.folder_changed();
        Ok(())
    }
}

/// The damage that a read finds, as opening and cutting report it.
pub(super) fn into_log_error(e: ReadError) -> LogError {
    match e {
        ReadError::Io(failure) => LogError::Io(failure),
        ReadError::Damaged { path, position, reason, .. } => {
            LogError::BadFile { path, reason: format!("at position {position}: {reason}") }
        }
        ReadError::OffsetOutOfRange { start, end, asked } => LogError::OffsetOutOfRange { asked, start, end },
    }
}
