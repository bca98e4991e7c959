//! Reading: which bytes of which segments answer a fetch. Data is only pointed to; what was never checked since this process
//! opened the log is held against its CRC before (see `damage`).

use std::sync::Arc;

use ottla_model::Offset;
use ottla_wire::RecordFragment;

use super::PartitionLog;
use super::damage::{CHECK_BYTES_MAX, Checking};
use crate::disk::DiskFile;
use crate::error::{IoFailure, ReadError};
use crate::index::OffsetEntry;
use crate::scan::{HeaderScan, Placed, Step};
use crate::segment::{FileKind, Segment};

/// What a read found: whole batches, in order, without a gap but for those that compaction has left.
#[derive(Clone, Debug)]
pub struct ReadOut {
    /// The pieces, one for each segment.
    pub fragments: Vec<RecordFragment>,
    /// Their bytes together.
    pub bytes: u32,
    /// Base offset of the first batch: at or below what was asked for, since batches are not cut.
    pub first_offset: Offset,
    /// The offset to read from next.
    pub next_offset: Offset,
    /// Bytes that were held against their CRC.
    pub checked_bytes: u32,
    /// There is more to read at once: it was not given because that would have to be checked first.
    pub is_cut_short: bool,
}

/// Positions kept for readers that go on where they stopped.
const MARKS_MAX: usize = 8;

/// Where some offsets are that begin a batch.
#[derive(Debug, Default)]
pub(super) struct Marks {
    slots: [Option<Mark>; MARKS_MAX],
    next: usize,
    /// The durable end, where most readers are let up to.
    durable: Option<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: Offset,
    base: Offset,
    position: u32,
}

impl Marks {
    fn find(&self, base: Offset, offset: Offset) -> Option<u32> {
        self.slots.iter().chain([&self.durable]).flatten().find(|m| m.offset == offset && m.base == base).map(|m| m.position)
    }

    pub(super) fn put(&mut self, base: Offset, offset: Offset, position: u32) {
        if self.find(base, offset).is_none() {
            self.slots[self.next] = Some(Mark { offset, base, position });
            self.next = (self.next + 1) % MARKS_MAX;
        }
    }

    pub(super) fn put_durable(&mut self, base: Offset, offset: Offset, position: u32) {
        self.durable = Some(Mark { offset, base, position });
    }

    pub(super) fn clear(&mut self) {
        *self = Marks::default();
    }
}

/// A place between two batches, or a segment's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boundary {
    pub position: u32,
    /// Base offset of the batch that begins there.
    pub offset: Offset,
}

impl PartitionLog {
    /// The batches from the one with `from` on, up to `upto` (exclusive; a batch that reaches beyond it is left out) and
    /// `max_bytes`, across segments. If already the first batch is larger than `max_bytes`, it alone is given when
    /// `at_least_one`, else nothing. Ends before a damaged place; one that begins there is an error.
    pub fn read(&self, from: Offset, upto: Offset, max_bytes: u32, at_least_one: bool) -> Result<ReadOut, ReadError> {
        self.read_checking(from, upto, max_bytes, at_least_one, CHECK_BYTES_MAX)
    }

    /// The same, and no more than `check_bytes_max` are held against their CRC (but for the last batch of them). 0: what would have
    /// to be is not given.
    pub fn read_checking(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: u32,
        at_least_one: bool,
        check_bytes_max: u32,
    ) -> Result<ReadOut, ReadError> {
        match self.read_pieces(from, upto, max_bytes, at_least_one, check_bytes_max) {
            // It was sound once, or taken for it: looked at again, the damage is found where it begins.
            Err(ReadError::Damaged { offsets, position, .. })
                if self.segment_of(offsets.start).is_some_and(|at| self.distrust(self.segments[at].base, position)) =>
            {
                self.read_pieces(from, upto, max_bytes, at_least_one, check_bytes_max.max(1))
            }
            other => other,
        }
    }

    fn read_pieces(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: u32,
        at_least_one: bool,
        check_bytes_max: u32,
    ) -> Result<ReadOut, ReadError> {
        let end = self.log_end_offset();
        if from < self.log_start || from > end {
            return Err(ReadError::OffsetOutOfRange { start: self.log_start, end, asked: from });
        }
        let upto = upto.min(end);
        let mut out =
            ReadOut { fragments: Vec::new(), bytes: 0, first_offset: from, next_offset: from, checked_bytes: 0, is_cut_short: false };
        let Some(mut at) = self.segment_of(from).filter(|_| from < upto) else { return Ok(out) };
        let mut checking = Checking { bytes: 0, bytes_max: check_bytes_max };
        let may_check = check_bytes_max > 0;
        // Finding the place alone would take a look at what was never checked.
        if !may_check
            && !self.segments[at].checked.is_sound_from(0)
            && !self.segments[at].checked.is_sound_from(self.indexed_before(at, from)?)
        {
            out.is_cut_short = true;
            return Ok(out);
        }
        let mut here = self.boundary_of(at, from)?;
        out.first_offset = here.offset.min(from);
        loop {
            let trusted = self.segments[at].checked.is_sound_from(here.position);
            if !may_check && !trusted {
                out.is_cut_short = out.bytes < max_bytes;
                return Ok(out);
            }
            let stop = match self.boundary_of(at, upto.min(self.end_of(at))) {
                // What lies before a damaged place can be read.
                Err(ReadError::Damaged { position, offsets, .. }) if !trusted && position > u64::from(here.position) => {
                    Boundary { position: u32::try_from(position).unwrap_or(here.position), offset: offsets.start }
                }
                other => other?,
            };
            let room = max_bytes - out.bytes;
            let first_whole = out.bytes == 0 && at_least_one;
            let cut = if trusted {
                self.cut_within(at, here, stop, room, first_whole)?
            } else {
                match self.sound_cut(at, here, stop, room, first_whole, &mut checking) {
                    // The next fetch begins there, and is told.
                    Err(ReadError::Damaged { .. }) if out.bytes > 0 => here,
                    cut => cut?,
                }
            };
            out.checked_bytes = checking.bytes;
            if cut.position > here.position {
                let (file, len) = (self.log_file(at)?, cut.position - here.position);
                let fragment = file.fragment(u64::from(here.position), len).map_err(|e| self.read_failure(at, e))?;
                out.fragments.push(fragment);
                out.bytes += len;
                out.next_offset = cut.offset;
            }
            out.is_cut_short = !trusted && checking.is_used_up() && cut.position < stop.position && out.bytes < max_bytes;
            let more = cut.position >= self.segments[at].size && at + 1 < self.segments.len() && self.end_of(at) < upto;
            if !more || out.bytes >= max_bytes {
                self.keep_mark(at, cut);
                return Ok(out);
            }
            at += 1;
            here = Boundary { position: 0, offset: self.segments[at].base };
            out.next_offset = here.offset;
        }
    }

    /// The last boundary of `here..stop` that leaves no more than `room` bytes between; behind the first batch when
    /// `first_whole`, even if that is larger.
    pub(super) fn cut_within(
        &self,
        at: usize,
        here: Boundary,
        stop: Boundary,
        room: u32,
        first_whole: bool,
    ) -> Result<Boundary, ReadError> {
        let cut = match stop.position.saturating_sub(here.position) {
            0 => here,
            all if all <= room => stop,
            _ => self.last_boundary_within(at, here, room, stop.position)?,
        };
        if cut.position == here.position && stop.position > here.position && first_whole {
            let first = self.batch_at(at, here.position)?;
            return Ok(Boundary { position: first.end(), offset: first.header.next_offset() });
        }
        Ok(cut)
    }

    /// The readers that stopped here will go on here.
    fn keep_mark(&self, at: usize, cut: Boundary) {
        match self.segments.get(at + 1) {
            Some(_) if cut.position >= self.segments[at].size => {} // begins a segment: needs no mark
            _ => self.marks.lock().put(self.segments[at].base, cut.offset, cut.position),
        }
    }

    /// Where the batch with `offset` begins. At or above the segment's end: its end.
    pub(super) fn boundary_of(&self, at: usize, offset: Offset) -> Result<Boundary, ReadError> {
        let segment = &self.segments[at];
        let end = self.end_of(at);
        if offset >= end {
            return Ok(Boundary { position: segment.size, offset: end });
        }
        if offset <= segment.base {
            return Ok(Boundary { position: 0, offset: segment.base });
        }
        if let Some(position) = self.marks.lock().find(segment.base, offset) {
            return Ok(Boundary { position, offset });
        }
        Ok(match self.find_batch(at, offset)? {
            Some(found) => Boundary { position: found.position, offset: found.header.base_offset },
            // The end of a compacted segment: what is asked for would be there, but was removed.
            None => Boundary { position: segment.size, offset: end },
        })
    }

    /// The first batch of a segment whose last offset is not below `offset`.
    pub(super) fn find_batch(&self, at: usize, offset: Offset) -> Result<Option<Placed>, ReadError> {
        let start = self.indexed_before(at, offset)?;
        if !self.segments[at].checked.is_sound_from(start) {
            return self.find_checked(at, offset);
        }
        match self.find_batch_from(at, start, offset) {
            // An index that leads astray costs a longer way, not an answer.
            Err(ReadError::Damaged { position, .. }) if start > 0 && position == u64::from(start) => self.find_batch_from(at, 0, offset),
            Ok(Some(found)) if found.position == start && found.header.base_offset > offset && start > 0 => {
                self.find_batch_from(at, 0, offset)
            }
            other => other,
        }
    }

    fn find_batch_from(&self, at: usize, position: u32, offset: Offset) -> Result<Option<Placed>, ReadError> {
        let mut found = None;
        self.walk(at, position, self.segments[at].size, |placed| {
            if placed.header.last_offset() >= offset {
                found = Some(*placed);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Position of an index entry at or before the batch with `offset`.
    fn indexed_before(&self, at: usize, offset: Offset) -> Result<u32, ReadError> {
        let segment = &self.segments[at];
        let relative = segment.relative(offset);
        let entry = self.entry_before(at, offset, |e| e.relative <= relative)?;
        // One that points behind the end would make what is there look as if it had been compacted away.
        Ok(entry.map(|e| e.position).filter(|position| *position < segment.size).unwrap_or(0))
    }

    /// The last index entry for which `holds`, to be expected about where `offset` is.
    pub(super) fn entry_before(
        &self,
        at: usize,
        offset: Offset,
        holds: impl Fn(&OffsetEntry) -> bool,
    ) -> Result<Option<OffsetEntry>, IoFailure> {
        let segment = &self.segments[at];
        let span = (offset.0 - segment.base.0) as f64 / ((self.end_of(at).0 - segment.base.0) as f64).max(1.0);
        self.last_offset_entry(at, span, holds)
    }

    /// The last entry of a segment's offset index for which `holds`, whether written yet or not.
    fn last_offset_entry(&self, at: usize, span: f64, holds: impl Fn(&OffsetEntry) -> bool) -> Result<Option<OffsetEntry>, IoFailure> {
        let mut written = None;
        if at + 1 == self.segments.len() {
            let pending = self.tail.offsets.pending();
            if let Some(entry) = pending[..pending.partition_point(&holds)].last() {
                return Ok(Some(*entry));
            }
            written = Some(self.tail.offsets.written);
            if written == Some(0) {
                return Ok(None);
            }
        }
        self.segments[at].last_entry_where(self.place(), FileKind::OffsetIndex, written, span, holds)
    }

    /// The last boundary after `here` that leaves no more than `room` bytes between; `here` itself if there is none.
    fn last_boundary_within(&self, at: usize, here: Boundary, room: u32, limit: u32) -> Result<Boundary, ReadError> {
        let segment = &self.segments[at];
        let furthest = here.position.saturating_add(room).min(limit);
        let span = f64::from(furthest) / f64::from(segment.size.max(1));
        let entry = self.last_offset_entry(at, span, |e| e.position <= furthest)?.filter(|e| e.position > here.position);
        if let Some(entry) = entry
            && let Ok(cut) = self.walk_to_boundary(at, Some(entry), Boundary { position: entry.position, offset: here.offset }, furthest)
        {
            return Ok(cut);
        }
        self.walk_to_boundary(at, None, here, furthest)
    }

    /// Goes from boundary to boundary as long as `furthest` is not passed. `entry`: what an index says of the first batch.
    fn walk_to_boundary(&self, at: usize, entry: Option<OffsetEntry>, from: Boundary, furthest: u32) -> Result<Boundary, ReadError> {
        let segment = &self.segments[at];
        let mut cut = from;
        let mut astray = false;
        let walked = self.walk(at, from.position, segment.size, |placed| {
            if placed.position == from.position {
                cut.offset = placed.header.base_offset;
                astray = entry.is_some_and(|e| segment.relative(placed.header.last_offset()) != e.relative);
            }
            if placed.end() > furthest || astray {
                return false;
            }
            cut = Boundary { position: placed.end(), offset: placed.header.next_offset() };
            true
        });
        // What lies before a damaged place can be read.
        if cut.position == from.position {
            walked?;
        }
        if astray {
            return Err(self.damaged(at, from.position, "the index does not agree".to_owned()));
        }
        if cut.position == segment.size {
            cut.offset = self.end_of(at);
        }
        Ok(cut)
    }

    /// Walks over batch headers from `position` until `visit` says no, or the end.
    pub(super) fn walk(&self, at: usize, position: u32, end: u32, mut visit: impl FnMut(&Placed) -> bool) -> Result<(), ReadError> {
        let file = self.log_file(at)?;
        let mut scan = HeaderScan::new(&*file, position, end);
        loop {
            match scan.next().map_err(|e| self.read_failure(at, e))? {
                Step::Batch(placed) if visit(&placed) => {}
                Step::Batch(_) | Step::End => return Ok(()),
                Step::Bad { position, why } => return Err(self.damaged(at, position, why.to_string())),
            }
        }
    }

    /// The batch that begins at a position.
    pub(super) fn batch_at(&self, at: usize, position: u32) -> Result<Placed, ReadError> {
        let mut found = None;
        self.walk(at, position, self.segments[at].size, |placed| {
            found = Some(*placed);
            false
        })?;
        found.ok_or_else(|| self.damaged(at, position, "no batch where one was".to_owned()))
    }

    /// The `.log` of a segment, open.
    pub(super) fn log_file(&self, at: usize) -> Result<Arc<dyn DiskFile>, IoFailure> {
        let segment: &Segment = &self.segments[at];
        if at + 1 == self.segments.len() {
            return self.tail.file(self.place(), segment).cloned();
        }
        segment.file(self.place(), FileKind::Log)
    }

    pub(super) fn read_failure(&self, at: usize, source: std::io::Error) -> IoFailure {
        IoFailure { doing: "read", path: FileKind::Log.path(&self.dir, self.segments[at].base), source }
    }

    pub(super) fn damaged(&self, at: usize, position: u32, reason: String) -> ReadError {
        let path = FileKind::Log.path(&self.dir, self.segments[at].base);
        ReadError::Damaged { path, position: u64::from(position), offsets: self.segments[at].base..self.end_of(at), reason }
    }
}
