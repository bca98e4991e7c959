//! Segments come and go: closed by size and time, deleted when old, when there are too many, or when DeleteRecords moved the log
//! start beyond them.

use std::io;
use std::path::PathBuf;

use ottla_model::{Offset, TimestampMs};

use super::PartitionLog;
use super::open::DELETED_SUFFIX;
use crate::disk::OpenMode;
use crate::error::{AppendError, IoContext, IoFailure, LogError, ReadError};
use crate::segment::{FileKind, Place, Segment, Tail};

/// Why segments are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionReason {
    /// They lie below the log start offset.
    LogStart,
    /// Older than `retention.ms`.
    Time,
    /// The log is larger than `retention.bytes`.
    Size,
}

/// The segments that are to go: the first so many, and where the log starts without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldSegments {
    /// How many, from the first on; may include the one that grows.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Log start offset once they are gone.
    pub log_start: Offset,
    /// What made the last of them old.
    pub reason: RetentionReason,
}

/// A segment whose files carry `.deleted` and wait to be removed.
#[derive(Debug)]
pub(super) struct DeletedSegment {
    pub due: TimestampMs,
    pub paths: Vec<PathBuf>,
}

impl PartitionLog {
    /// Which segments are old at `now`. Only such as lie wholly below the high watermark: what is not replicated, nobody had a
    /// chance to read.
    pub fn old_segments(&self, high_watermark: Offset, now: TimestampMs) -> Result<Option<OldSegments>, ReadError> {
        let mut old: Option<OldSegments> = None;
        let mut bytes = 0;
        for at in 0..self.segments.len() {
            let segment = &self.segments[at];
            let end = self.end_of(at);
            if segment.size == 0 || end > high_watermark {
                break;
            }
            let Some(reason) = self.why_old(at, bytes, now)? else { break };
            bytes += u64::from(segment.size);
            old = Some(OldSegments { count: at + 1, bytes, log_start: end, reason });
        }
        Ok(old)
    }

    /// `bytes_before`: of the segments before this one, which are old already.
    fn why_old(&self, at: usize, bytes_before: u64, now: TimestampMs) -> Result<Option<RetentionReason>, ReadError> {
        let is_active = at + 1 == self.segments.len();
        if !is_active && self.end_of(at) <= self.log_start {
            return Ok(Some(RetentionReason::LogStart));
        }
        if !self.config.cleanup_delete {
            return Ok(None);
        }
        let kept = self.size_bytes.saturating_sub(bytes_before + u64::from(self.segments[at].size));
        if u64::try_from(self.config.retention_bytes).is_ok_and(|limit| kept >= limit) {
            return Ok(Some(RetentionReason::Size));
        }
        if self.config.retention_ms >= 0 && now.0.saturating_sub(self.largest_or_modified(at)?) > self.config.retention_ms {
            return Ok(Some(RetentionReason::Time));
        }
        Ok(None)
    }

    /// A segment's largest timestamp; records without timestamps are as old as their file.
    pub(super) fn largest_or_modified(&self, at: usize) -> Result<i64, ReadError> {
        let largest = self.largest_timestamp(at)?.timestamp;
        if largest >= 0 {
            return Ok(largest);
        }
        let path = FileKind::Log.path(&self.dir, self.segments[at].base);
        Ok(self.disk.stat(&path).doing("look at", &path)?.modified.0)
    }

    /// Takes old segments out of the log. Their files are renamed at once and removed by `remove_deleted_files` once
    /// `file.delete.delay.ms` is over; whoever reads them goes on reading.
    pub fn delete_old_segments(&mut self, high_watermark: Offset, now: TimestampMs) -> Result<Option<OldSegments>, LogError> {
        self.check_in_service()?;
        let Some(old) = self.old_segments(high_watermark, now).map_err(super::recover::into_log_error)? else { return Ok(None) };
        if old.count == self.segments.len() {
            // There is always a segment to append to.
            self.roll(now)?;
        }
        if let Err(failure) = self.sync_what_stays(self.segments[old.count].base) {
            // What a failed sync left on the disk is not known, and the next one would not tell.
            self.fail(&failure);
            return Err(failure.into());
        }
        self.log_start = self.log_start.max(old.log_start);
        if self.epochs.truncate_from_start(self.log_start) {
            self.sync.epochs_changed();
        }
        // The first first: a crash in between leaves a log that starts later, not one with a gap.
        for _ in 0..old.count {
            self.delete_first_segment(now)?;
        }
        Ok(Some(old))
    }

    /// Before the segments below `first` go: what takes their place is on stable storage.
    fn sync_what_stays(&self, first: Offset) -> Result<(), IoFailure> {
        // Without them, nothing else speaks of the producers that wrote to them.
        let path = FileKind::Snapshot.path(&self.dir, first);
        if let Some(file) = self.disk.open(&path, OpenMode::Write).if_there("open", &path)? {
            file.sync_data().doing("sync", &path)?;
        }
        // With neither their names nor that of what stays, the log would begin anew at offset 0.
        if self.sync.is_folder_dirty() {
            self.disk.sync_dir(&self.dir).doing("sync the folder", &self.dir)?;
        }
        Ok(())
    }

    fn delete_first_segment(&mut self, now: TimestampMs) -> Result<(), LogError> {
        let base = self.segments[0].base;
        let mut paths = Vec::new();
        for kind in FileKind::ALL {
            let path = kind.path(&self.dir, base);
            let mut name = path.clone().into_os_string();
            name.push(DELETED_SUFFIX);
            let deleted = PathBuf::from(name);
            if self.disk.rename(&path, &deleted).if_there("rename", &path)?.is_some() {
                paths.push(deleted);
            }
        }
        let segment = self.segments.remove(0);
        self.forget_damages(|of| of == base);
        segment.close(&*self.disk);
        self.size_bytes = self.size_bytes.saturating_sub(u64::from(segment.size));
        self.sync.folder_changed();
        let due = TimestampMs(now.0.saturating_add(self.config.file_delete_delay_ms));
        self.deleted.push(DeletedSegment { due, paths });
        Ok(())
    }

    /// Removes the files of deleted segments whose delay is over; gives how many files.
    pub fn remove_deleted_files(&mut self, now: TimestampMs) -> Result<usize, LogError> {
        let mut removed = 0;
        for path in self.take_due_files(now) {
            removed += usize::from(self.disk.remove_file(&path).if_there("remove", &path)?.is_some());
        }
        Ok(removed)
    }

    /// Gives the files of deleted segments whose delay is over, each once: to be removed by the caller, who need not hold the log for it.
    /// What is not removed is when the log is opened.
    pub fn take_due_files(&mut self, now: TimestampMs) -> Vec<PathBuf> {
        let mut due = Vec::new();
        self.deleted.retain_mut(|deleted| {
            let is_due = deleted.due <= now;
            if is_due {
                due.append(&mut deleted.paths);
            }
            !is_due
        });
        if self.deleted.is_empty() {
            self.deleted = Vec::new();
        }
        due
    }

    /// When the next deleted segment's files are due.
    pub fn next_removal(&self) -> Option<TimestampMs> {
        self.deleted.iter().map(|d| d.due).min()
    }

    /// Closes the active segment first, if `len` more bytes up to offset `last` do not fit into it, or it is old.
    pub(super) fn roll_if_needed(&mut self, len: u32, last: Offset, max_timestamp: i64, now: TimestampMs) -> Result<(), AppendError> {
        let segment = self.active();
        if segment.size == 0 && last.0 - segment.base.0 <= i64::from(i32::MAX) {
            return Ok(());
        }
        let config = &self.config;
        let waited = match self.tail.first_timestamp {
            Some(first) if first >= 0 => max_timestamp.saturating_sub(first),
            _ => now.0.saturating_sub(self.tail.created.0),
        };
        let index_full = self.tail.offsets.len().saturating_mul(8) >= config.segment_index_bytes / 8 * 8
            || self.tail.times.len().saturating_mul(12) >= config.segment_index_bytes / 12 * 12;
        let full = u64::from(segment.size) + u64::from(len) > u64::from(config.segment_bytes);
        // Positions and offsets in the indexes have 31 bits.
        let beyond = last.0 - segment.base.0 > i64::from(i32::MAX) || segment.size.saturating_add(len) > i32::MAX as u32;
        // What is in the segment that grows cannot be compacted in time (KIP-354).
        let segment_ms = if config.cleanup_compact { config.segment_ms.min(config.max_compaction_lag_ms) } else { config.segment_ms };
        if full || beyond || index_full || waited > segment_ms - self.tail.jitter_ms {
            self.roll(now)?;
        }
        Ok(())
    }

    /// Closes the active segment and begins one at the log end. Nothing is synced here: the next ticket has both.
    pub(super) fn roll(&mut self, now: TimestampMs) -> Result<(), LogError> {
        let base = self.log_end_offset();
        if self.active().size == 0 {
            return Ok(());
        }
        self.close_indexes()?;
        // Kafka reads it on start; without it all of the segment before would be gone through for its producers.
        let snapshot = FileKind::Snapshot.path(&self.dir, base);
        let write = || -> io::Result<()> {
            let file = self.disk.open(&snapshot, OpenMode::Create)?;
            file.truncate(0)?;
            file.write_vectored_at(&[io::IoSlice::new(&self.producers.encode())], 0)
        };
        write().doing("write", &snapshot)?;
        if let Err(e) = self.make_segment_files(base) {
            // This segment goes on beyond `base`: a file of that name would be taken for its end, and all behind it be dropped.
            if let Err(left) = self.remove_if_there(FileKind::Log, base) {
                self.fail(format!("a segment that could not be begun was left behind: {left}"));
            }
            self.sync.folder_changed();
            return Err(e);
        }
        self.begin_segment(base, now);
        self.sync.snapshot_taken(base);
        Ok(())
    }

    /// Left over from a roll that failed half way, or a crash, they are empty, or of a log that was cut. The `.log` is the last to be made.
    fn make_segment_files(&self, base: Offset) -> Result<(), LogError> {
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log] {
            let path = kind.path(&self.dir, base);
            let file = self.disk.open(&path, OpenMode::Create).doing("make", &path)?;
            file.truncate(0).doing("cut", &path)?;
        }
        Ok(())
    }

    /// The files of a new segment are there: it grows from now on.
    fn begin_segment(&mut self, base: Offset, now: TimestampMs) {
        let at = self.segments.len() - 1;
        let sealed = &self.segments[at];
        // No one else can have set it: it is asked for of closed segments only.
        let _ = sealed.largest.set(self.tail.largest);
        if let Some(file) = self.tail.take_file() {
            sealed.keep_log(&*self.disk, file);
        }
        self.sync.sealed(sealed.base);
        self.sync.folder_changed();
        self.segments.push(Segment::new(base, 0));
        self.tail = Tail::empty(base, now, self.jitter_ms(base, now));
    }

    /// Starts over with one empty segment at `offset`: for a follower whose leader has nothing below it any more.
    pub fn reset_to(&mut self, offset: Offset, now: TimestampMs) -> Result<(), LogError> {
        self.check_in_service()?;
        self.remove_segments_from(1)?;
        let place = Place { disk: &*self.disk, dir: &self.dir };
        let only = &self.segments[0];
        only.close(place.disk);
        let old = only.base;
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log] {
            let path = kind.path(&self.dir, offset);
            let file = self.disk.open(&path, OpenMode::Create).doing("make", &path)?;
            file.truncate(0).doing("cut", &path)?;
        }
        if old != offset {
            for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
                self.remove_if_there(kind, old)?;
            }
        }
        self.remove_if_there(FileKind::TxnIndex, old)?;
        self.remove_snapshots(|_| true)?;
        self.segments = vec![Segment::new(offset, 0)];
        self.tail = Tail::empty(offset, now, self.jitter_ms(offset, now));
        self.size_bytes = 0;
        self.log_start = offset;
        self.compacted_upto = offset;
        self.epochs = crate::epochs::EpochCache::default();
        self.producers = crate::producer_state::ProducerState::default();
        self.marks.lock().clear();
        self.forget_damages(|_| true);
        self.sync.epochs_changed();
        self.sync.truncated(offset);
        Ok(())
    }
}
