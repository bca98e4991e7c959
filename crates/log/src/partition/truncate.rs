//! Cutting the end off (a follower that parted from its leader, KIP-101) and moving the start (DeleteRecords).

use ottla_model::Offset;

use super::PartitionLog;
use super::recover::into_log_error;
use crate::error::{IoContext, LogError};
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::segment::{FileKind, PendingIndex, Tail};

impl PartitionLog {
    /// Drops all records from `offset` on, with the batch that has it: the log may end below. The durable end is lowered with it.
    ///
    /// The recovery point in the log directory's checkpoint must be lowered before anything is appended: what is appended below
    /// an old one would be taken for synced after a crash.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        self.check_in_service()?;
        if offset >= self.log_end_offset() {
            return Ok(());
        }
        if offset < self.log_start {
            return Err(LogError::OffsetOutOfRange { asked: offset, start: self.log_start, end: self.log_end_offset() });
        }
        let result = self.cut(offset);
        if let Err(e) = &result {
            // Some of it may be gone, or none.
            self.fail(e);
        }
        result
    }

    fn cut(&mut self, offset: Offset) -> Result<(), LogError> {
        let at = self.segment_of(offset).unwrap_or(0);
        let cut = self.boundary_of(at, offset).map_err(into_log_error)?;
        let was_active = at + 1 == self.segments.len();
        self.marks.lock().clear();
        self.forget_damages(|_| true);
        // The last first: a crash in between leaves a shorter log, not one with a gap.
        if self.remove_segments_from(at + 1)? > 0 {
            // For good, before the cut that is: names that came back behind it would make a gap below the old recovery point.
            self.disk.sync_dir(&self.dir).doing("sync the folder", &self.dir)?;
        }
        let (base, dropped) = (self.segments[at].base, self.segments[at].size - cut.position);
        let path = FileKind::Log.path(&self.dir, base);
        let file = if was_active { self.log_file(at)? } else { self.segments[at].file(self.place(), FileKind::Log)? };
        file.truncate(u64::from(cut.position)).doing("cut", &path)?;
        // What was cut must not come back behind what will be written in its place: a batch of an old leader that happens to
        // begin where a new one ends would be taken for its successor.
        file.sync_data().doing("sync", &path)?;
        self.segments[at].size = cut.position;
        self.segments[at].checked.cut(cut.position);
        self.segments[at].largest = std::sync::OnceLock::new();
        self.size_bytes = self.size_bytes.saturating_sub(u64::from(dropped));

        if was_active {
            // What is pending may speak of what is gone; written out, it is cut with the rest.
            let place = crate::segment::Place { disk: &*self.disk, dir: &self.dir };
            self.tail.flush_indexes(place, &self.segments[at])?;
        }
        let relative = self.segments[at].relative(cut.offset);
        let offsets = self.cut_index::<OffsetEntry>(at, FileKind::OffsetIndex, |e| e.relative < relative)?;
        let times = self.cut_index::<TimeEntry>(at, FileKind::TimeIndex, |e| e.relative < relative)?;
        let mut tail = Tail::empty(base, self.tail.created, self.tail.jitter_ms);
        // Within a gap there is no batch to be cut at, and the one behind it begins above what was asked for.
        let end = cut.offset.min(offset);
        tail.next_offset = end;
        tail.largest = times.last.unwrap_or(tail.largest);
        let from = offsets.last.map_or(0, |e| e.position);
        (tail.offsets, tail.times) = (offsets, times);
        self.tail = tail;
        self.reread_tail(at, from)?;

        if self.epochs.truncate_from_end(end) {
            self.sync.epochs_changed();
        }
        self.compacted_upto = self.compacted_upto.min(end);
        self.sync.truncated(end);
        self.reload_producers(end)
    }

    /// The largest timestamp and the distance from the last index entry, from the batches that are left behind it.
    fn reread_tail(&mut self, at: usize, from: u32) -> Result<(), LogError> {
        let (mut headers, size) = (Vec::new(), self.segments[at].size);
        if from > 0 {
            self.tail.first_timestamp = Some(self.batch_at(at, 0).map_err(into_log_error)?.header.max_timestamp);
        }
        self.walk(at, from, size, |placed| {
            headers.push(*placed);
            true
        })
        .map_err(into_log_error)?;
        let end = self.tail.next_offset;
        for placed in headers {
            let h = placed.header;
            self.tail.note_batch(
                &self.segments[at],
                self.config.index_interval_bytes,
                placed.position,
                h.bytes,
                h.last_offset(),
                h.records_max_timestamp(),
            );
        }
        // A compacted segment may end before the offset at which it was cut.
        self.tail.next_offset = end;
        Ok(())
    }

    fn cut_index<E: Entry>(&self, at: usize, kind: FileKind, keep: impl Fn(&E) -> bool) -> Result<PendingIndex<E>, LogError> {
        let segment = &self.segments[at];
        let path = kind.path(&self.dir, segment.base);
        let file = segment.file(self.place(), kind)?;
        let count = crate::index::count_of::<E>(&*file).doing("read", &path)?;
        // How many entries stay, by halving.
        let (mut low, mut high, mut last) = (0, count, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match crate::index::entry_at::<E>(&*file, middle).doing("read", &path)? {
                Some(entry) if keep(&entry) => (low, last) = (middle + 1, Some(entry)),
                _ => high = middle,
            }
        }
        file.truncate(u64::from(low) * E::LEN as u64).doing("cut", &path)?;
        Ok(PendingIndex::new(low, last))
    }

    /// Producer state as of `end`: from the newest snapshot that is not beyond it.
    fn reload_producers(&mut self, end: Offset) -> Result<(), LogError> {
        self.remove_snapshots(|at| at > end)?;
        let found = super::open::look(&*self.disk, &self.dir)?;
        self.producers = crate::producer_state::ProducerState::default();
        self.load_producers(&found, end, true)
    }

    /// Removes the snapshots at the offsets that `which` names, for good: one that came back after a crash would be taken for
    /// the state of other records that were written there since.
    pub(super) fn remove_snapshots(&self, which: impl Fn(Offset) -> bool) -> Result<(), LogError> {
        let mut removed = false;
        for at in super::open::look(&*self.disk, &self.dir)?.snapshots {
            if which(at) {
                self.remove_if_there(FileKind::Snapshot, at)?;
                removed = true;
            }
        }
        if removed {
            self.disk.sync_dir(&self.dir).doing("sync the folder", &self.dir)?;
        }
        Ok(())
    }

    /// Moves the log start (DeleteRecords, or a follower after its leader): what lies below is not read any more, and its
    /// segments go with the next `delete_old_segments`. Gives whether it moved. The caller keeps it in the log-start checkpoint.
    pub fn advance_log_start(&mut self, to: Offset) -> Result<bool, LogError> {
        self.check_in_service()?;
        if to > self.log_end_offset() {
            return Err(LogError::OffsetOutOfRange { asked: to, start: self.log_start, end: self.log_end_offset() });
        }
        if to <= self.log_start {
            return Ok(false);
        }
        self.log_start = to;
        if self.epochs.truncate_from_start(to) {
            self.sync.epochs_changed();
        }
        Ok(true)
    }
}
