//! Damage: what is not known to hold is held against its CRC before it is first served, and by the scrub now and then.
//!
//! A read checks what it is about to give and no more, and of that at most a bounded part: it gives less instead, so that it
//! can stay on the thread of its caller and under the partition's lock. The disk reads are those that sending would cost anyway.
//!
//! Base offset, length and leader epoch stand outside of the CRC. The first two are held against the batches around: offsets
//! rise, and a length leads to where the next batch begins. What follows a damaged place is looked for once, and the place kept,
//! so that all around it stays readable.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_model::Offset;

use super::PartitionLog;
use super::read::Boundary;
use crate::checked::Stretch;
use crate::disk::{DiskFile, FileId};
use crate::error::{IoFailure, ReadError};
use crate::index::OffsetEntry;
use crate::scan::{BATCHES_CHUNK_BYTES, BatchScan, HeaderScan, Placed, Step, WholeStep, next_sound};
use crate::segment::FileKind;

/// What one read checks at most, but for a first batch that is larger: some tenths of a millisecond from the page cache.
pub const CHECK_BYTES_MAX: u32 = 1 << 20;
/// How far behind a damaged place the next sound batch is looked for. If there is none, the rest of the segment counts as damaged.
const RESYNC_BYTES_MAX: u32 = 16 << 20;
/// Damaged places that are kept for one partition. What is found beyond is not served either, but found anew each time.
const DAMAGES_MAX: usize = 64;

/// A place in a segment that holds no sound batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file.
    pub path: PathBuf,
    /// Base offset of the segment.
    pub segment: Offset,
    /// Where it begins, and where the next sound batch does.
    pub positions: Range<u32>,
    /// The records that are lost.
    pub offsets: Range<Offset>,
    /// What does not hold.
    pub reason: String,
}

impl Damage {
    fn error(&self) -> ReadError {
        ReadError::Damaged {
            path: self.path.clone(),
            position: u64::from(self.positions.start),
            offsets: self.offsets.clone(),
            reason: self.reason.clone(),
        }
    }
}

/// The damaged places of a partition. Empty, as a rule.
#[derive(Debug, Default)]
pub(super) struct Damages {
    known: VecDeque<Damage>,
    /// So many of the last ones were not told yet.
    untold: usize,
}

/// What one read has checked, and may.
pub(super) struct Checking {
    pub bytes: u32,
    pub bytes_max: u32,
}

impl Checking {
    pub fn is_used_up(&self) -> bool {
        self.bytes >= self.bytes_max
    }
}

/// Where the scrub is in a partition. By default, at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPlace {
    segment: Offset,
    /// Which file the position is in: compaction may have put another in its place.
    id: Option<FileId>,
    position: u32,
    /// The offset that is expected at the position; `None`: any that rises.
    next_offset: Option<Offset>,
}

impl Default for ScrubPlace {
    fn default() -> Self {
        ScrubPlace { segment: Offset::ZERO, id: None, position: 0, next_offset: None }
    }
}

/// A piece of a sealed segment that is checked outside of the partition's lock.
#[derive(Debug)]
pub struct ScrubStep {
    file: Arc<dyn DiskFile>,
    id: FileId,
    path: PathBuf,
    place: ScrubPlace,
    size: u32,
    /// Where the segment's offsets end.
    end: Offset,
    bytes_max: u32,
    /// Up to where it holds.
    reached: ScrubPlace,
    suspect: bool,
}

impl ScrubStep {
    /// Whether a batch has the offset that is expected here, or leaves a gap before it that what comes behind bears out.
    fn follows(&self, placed: &Placed) -> Result<bool, IoFailure> {
        let Some(expected) = self.reached.next_offset.filter(|next| *next != placed.header.base_offset) else { return Ok(true) };
        if placed.header.base_offset < expected {
            return Ok(false);
        }
        let next = HeaderScan::new(&*self.file, placed.end(), self.size).next();
        Ok(match next.map_err(|source| IoFailure { doing: "read", path: self.path.clone(), source })? {
            Step::Batch(next) => placed.header.next_offset() <= next.header.base_offset,
            Step::End => placed.header.next_offset() <= self.end,
            Step::Bad { .. } => false,
        })
    }

    /// Reads and checks; gives how many bytes. May block for long.
    pub fn run(&mut self) -> Result<u32, IoFailure> {
        let mut scan = BatchScan::new(&*self.file, self.place.position, self.size);
        while self.reached.position - self.place.position < self.bytes_max {
            let step = scan.next().map_err(|source| IoFailure { doing: "read", path: self.path.clone(), source })?;
            match step {
                WholeStep::End => break,
                // Anything that is not the plain case is looked at again under the lock, with the segment's neighbours in sight.
                WholeStep::Batch(placed) if self.follows(&placed)? => {
                    self.reached.position = placed.end();
                    self.reached.next_offset = Some(placed.header.next_offset());
                }
                WholeStep::Batch(_) | WholeStep::Bad { .. } => {
                    self.suspect = true;
                    break;
                }
            }
        }
        Ok(self.reached.position - self.place.position)
    }
}

impl PartitionLog {
    /// Damaged places that were found since this was last asked.
    pub fn take_new_damages(&self) -> Vec<Damage> {
        let mut damages = self.damages.lock();
        let from = damages.known.len() - std::mem::take(&mut damages.untold).min(damages.known.len());
        damages.known.range(from..).cloned().collect()
    }

    pub(super) fn forget_damages(&self, of: impl Fn(Offset) -> bool) {
        let mut damages = self.damages.lock();
        if !damages.known.is_empty() {
            damages.known.retain(|damage| !of(damage.segment));
            damages.untold = damages.untold.min(damages.known.len());
        }
    }

    fn known_damage(&self, at: usize, position: u32) -> Option<Damage> {
        let base = self.segments[at].base;
        self.damages.lock().known.iter().find(|d| d.segment == base && d.positions.contains(&position)).cloned()
    }

    /// What of `here..stop` may be served: whole batches that hold, within `room` bytes but for a first one when `first_whole`.
    /// Stops when `checking` is used up. An error: already the first batch is damaged.
    pub(super) fn sound_cut(
        &self,
        at: usize,
        here: Boundary,
        stop: Boundary,
        room: u32,
        first_whole: bool,
        checking: &mut Checking,
    ) -> Result<Boundary, ReadError> {
        let segment = &self.segments[at];
        let furthest = here.position.saturating_add(room).min(stop.position);
        let file = self.log_file(at)?;
        let mut scan = BatchScan::with_chunk(&*file, here.position, segment.size, room.min(checking.bytes_max) as usize);
        let mut sound = here;
        let mut checked_from = here.position;
        let note = |from: u32, to: Boundary| segment.checked.note(Stretch { from, to: to.position, next_offset: to.offset });
        while sound.position < stop.position {
            let first = first_whole && sound.position == here.position;
            if segment.checked.is_sound_from(sound.position) {
                return self.cut_within(at, sound, stop, furthest - sound.position.min(furthest), first);
            }
            if let Some(known) = segment.checked.stretch_at(sound.position) {
                if known.to >= furthest {
                    return self.cut_within(at, sound, stop, furthest - sound.position.min(furthest), first);
                }
                sound = Boundary { position: known.to, offset: known.next_offset };
                checked_from = known.to;
                scan.jump(known.to);
                continue;
            }
            if sound.position >= furthest && !first || checking.is_used_up() {
                break;
            }
            match self.next_checked(at, &mut scan, sound.position, Some(sound.offset))? {
                Ok(placed) => {
                    checking.bytes = checking.bytes.saturating_add(placed.header.bytes);
                    let end = Boundary { position: placed.end(), offset: placed.header.next_offset() };
                    let end = if end.position == segment.size { Boundary { offset: self.end_of(at), ..end } } else { end };
                    note(checked_from, end);
                    checked_from = end.position;
                    if end.position > furthest && !first {
                        break;
                    }
                    sound = end;
                }
                Err(damage) if sound.position == here.position => return Err(damage.error()),
                Err(_) => break,
            }
        }
        Ok(sound)
    }

    /// The batch that a scan is at, if it holds: by its CRC, and by the offset that is expected there (`None`: not known). If not,
    /// the place, which is kept.
    fn next_checked(
        &self,
        at: usize,
        scan: &mut BatchScan<'_>,
        position: u32,
        expected: Option<Offset>,
    ) -> Result<Result<Placed, Damage>, ReadError> {
        let segment = &self.segments[at];
        let low = expected.unwrap_or(segment.base);
        if let Some(known) = self.known_damage(at, position) {
            return Ok(Err(known));
        }
        let reason = match scan.next().map_err(|e| self.read_failure(at, e))? {
            WholeStep::Batch(placed) => match self.misplaced(at, &placed, expected)? {
                None => return Ok(Ok(placed)),
                Some(reason) => reason,
            },
            WholeStep::Bad { reason, .. } => reason,
            WholeStep::End => "the segment is shorter than it was".to_owned(),
        };
        Ok(Err(self.keep_damage(at, position, low, reason)?))
    }

    /// Why a batch cannot have the base offset that it says, which its CRC does not cover.
    fn misplaced(&self, at: usize, placed: &Placed, expected: Option<Offset>) -> Result<Option<String>, ReadError> {
        let segment = &self.segments[at];
        let header = &placed.header;
        let low = expected.unwrap_or(segment.base);
        if header.base_offset < low {
            return Ok(Some(format!("base offset {} where at least {low} was expected", header.base_offset)));
        }
        if expected == Some(header.base_offset) && header.next_offset() <= self.end_of(at) {
            return Ok(None);
        }
        // A gap, as compaction leaves them; or the offset has risen, and is beyond those that follow.
        let file = self.log_file(at)?;
        let next = match HeaderScan::new(&*file, placed.end(), segment.size).next().map_err(|e| self.read_failure(at, e))? {
            Step::Batch(next) if next.header.base_offset >= low => next.header.base_offset.min(self.end_of(at)),
            Step::Batch(_) | Step::End | Step::Bad { .. } => self.end_of(at),
        };
        let beyond = header.next_offset() > next;
        Ok(beyond.then(|| format!("offsets {} to {}, and {next} follows", header.base_offset, header.last_offset())))
    }

    /// Finds out how far a damaged place reaches, and keeps it.
    fn keep_damage(&self, at: usize, position: u32, first: Offset, reason: String) -> Result<Damage, ReadError> {
        let segment = &self.segments[at];
        let (size, end) = (segment.size, self.end_of(at));
        let file = self.log_file(at)?;
        let behind = || -> io::Result<Option<Placed>> {
            let offsets = first.plus(1)..end;
            // As a rule the length is not what is damaged.
            if let Step::Batch(damaged) = HeaderScan::new(&*file, position, size).next()? {
                match BatchScan::with_chunk(&*file, damaged.end(), size, 0).next()? {
                    WholeStep::End => return Ok(None),
                    WholeStep::Batch(next) if offsets.contains(&next.header.base_offset) => return Ok(Some(next)),
                    WholeStep::Batch(_) | WholeStep::Bad { .. } => {}
                }
            }
            next_sound(&*file, position + 1, position.saturating_add(RESYNC_BYTES_MAX), size, &offsets)
        };
        let behind = behind().map_err(|e| self.read_failure(at, e))?;
        let (to, next) = behind.map_or((size, end), |next| (next.position, next.header.base_offset));
        let damage = Damage {
            path: FileKind::Log.path(&self.dir, segment.base),
            segment: segment.base,
            positions: position..to,
            offsets: first..next,
            reason,
        };
        let mut damages = self.damages.lock();
        if damages.known.len() < DAMAGES_MAX {
            damages.known.push_back(damage.clone());
            damages.untold += 1;
        }
        Ok(damage)
    }

    /// The first batch of a segment whose last offset is not below `offset`, going over batches that are held against their CRC
    /// on the way: from an index entry before, as long as that leads to a batch that holds.
    pub(super) fn find_checked(&self, at: usize, offset: Offset) -> Result<Option<Placed>, ReadError> {
        let segment = &self.segments[at];
        let file = self.log_file(at)?;
        let mut below = segment.relative(offset);
        let (mut scan, mut position, mut expected) = loop {
            let entry = self.entry_before(at, offset, |e: &OffsetEntry| e.relative <= below)?;
            let Some(entry) = entry.filter(|e| e.position > 0 && e.position < segment.size) else {
                break (BatchScan::with_chunk(&*file, 0, segment.size, 0), 0, segment.base);
            };
            let mut scan = BatchScan::with_chunk(&*file, entry.position, segment.size, 0);
            match scan.next().map_err(|e| self.read_failure(at, e))? {
                WholeStep::Batch(first) if segment.relative(first.header.last_offset()) == entry.relative => {
                    if first.header.last_offset() >= offset {
                        return Ok(Some(first));
                    }
                    break (scan, first.end(), first.header.next_offset());
                }
                // The entry or the batch: which, the entry before will show.
                WholeStep::Batch(_) | WholeStep::Bad { .. } | WholeStep::End if entry.relative > 0 => below = entry.relative - 1,
                WholeStep::Batch(_) | WholeStep::Bad { .. } | WholeStep::End => {
                    break (BatchScan::with_chunk(&*file, 0, segment.size, 0), 0, segment.base);
                }
            }
        };
        while position < segment.size {
            match self.next_checked(at, &mut scan, position, Some(expected))? {
                Ok(placed) if placed.header.last_offset() >= offset => return Ok(Some(placed)),
                Ok(placed) => (position, expected) = (placed.end(), placed.header.next_offset()),
                Err(damage) if damage.offsets.end > offset => return Err(damage.error()),
                Err(damage) => {
                    (position, expected) = (damage.positions.end, damage.offsets.end);
                    scan.jump(position);
                }
            }
        }
        Ok(None)
    }

    /// What was taken for sound is not: from now on the segment is looked at as if it had just been found. `false`: it was
    /// looked at so already.
    pub(super) fn distrust(&self, segment: Offset, position: u64) -> bool {
        let Some(segment) = self.segments.iter().find(|s| s.base == segment) else { return false };
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let trusted = segment.checked.is_sound_from(position) || segment.checked.stretch_at(position).is_some();
        if trusted {
            segment.checked.restart(segment.size);
            self.marks.lock().clear();
        }
        trusted
    }

    /// The next piece for the scrub: of the first sealed segment at or after a place. `None`: there is no more. The active segment
    /// is left to its readers.
    pub fn begin_scrub(&self, from: ScrubPlace, bytes_max: u32) -> Result<Option<ScrubStep>, IoFailure> {
        let sealed = &self.segments[..self.segments.len() - 1];
        let goes_on = |at: usize| from.segment == sealed[at].base && from.id == Some(sealed[at].id(FileKind::Log));
        let open = |at: usize| !goes_on(at) || from.position < sealed[at].size;
        let first = sealed.partition_point(|s| s.base < from.segment);
        let Some(at) = (first..sealed.len()).find(|at| open(*at)) else { return Ok(None) };
        let segment = &sealed[at];
        let id = segment.id(FileKind::Log);
        let start = ScrubPlace { segment: segment.base, id: Some(id), position: 0, next_offset: Some(segment.base) };
        let place = if goes_on(at) { from } else { start };
        let path = FileKind::Log.path(&self.dir, segment.base);
        let file = self.log_file(at)?;
        let bytes_max = bytes_max.max(BATCHES_CHUNK_BYTES as u32);
        let end = self.end_of(at);
        Ok(Some(ScrubStep { file, id, path, place, size: segment.size, end, bytes_max, reached: place, suspect: false }))
    }

    /// Takes over what a step of the scrub found; gives where to go on.
    pub fn finish_scrub(&self, step: &ScrubStep) -> Result<ScrubPlace, ReadError> {
        let mut reached = step.reached;
        let at = self.segments.iter().position(|s| s.id(FileKind::Log) == step.id);
        // Deleted, compacted, cut or grown anew meanwhile: what was read is not what is there.
        let Some(at) = at.filter(|at| at + 1 < self.segments.len() && self.segments[*at].size == step.size) else {
            return Ok(ScrubPlace { segment: step.place.segment.plus(1), ..ScrubPlace::default() });
        };
        let segment = &self.segments[at];
        let next_offset = reached.next_offset.unwrap_or(segment.base);
        segment.checked.note(Stretch { from: step.place.position, to: reached.position, next_offset });
        if step.suspect {
            let file = self.log_file(at)?;
            let mut scan = BatchScan::with_chunk(&*file, reached.position, segment.size, 0);
            let found = self.next_checked(at, &mut scan, reached.position, reached.next_offset)?;
            let (position, next) = match found {
                Ok(placed) => (placed.end(), placed.header.next_offset()),
                Err(damage) => {
                    self.distrust(segment.base, u64::from(reached.position));
                    (damage.positions.end, damage.offsets.end)
                }
            };
            reached = ScrubPlace { position, next_offset: Some(next), ..reached };
        }
        Ok(reached)
    }
}
