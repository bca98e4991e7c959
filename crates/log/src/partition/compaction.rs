//! Compaction, as far as it concerns the log itself: what a pass is given, and how its output takes the place of the old segments.
//!
//! The replacement is Kafka's. What a pass writes is called `.cleaned` until all of it is on stable storage. Then, in this order,
//! all by renaming: its indexes become `.swap`; its `.log` does, which decides it; the old files become `.deleted`; the new
//! indexes and, last of all, the new `.log` take their names. Names change in order, so a crash leaves one of these moments: before
//! the decision the output is thrown away by the next opening, after it the replacement is gone on with.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_model::{Offset, TimestampMs};

use super::PartitionLog;
use super::open::DELETED_SUFFIX;
use super::retention::DeletedSegment;
use crate::compact::plan::{Rules, SegmentFacts, plan};
use crate::compact::{
    Basis, CLEANED_KINDS, Compaction, CompactionNeed, LastOfProducer, MapLimits, NewSegment, SWAP_SUFFIX, Source, cleaned_path, suffixed,
};
use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, IoFailure, LogError, ReadError};
use crate::scan::{HeaderScan, Step};
use crate::segment::{FileKind, Segment};

/// Files of segments that were replaced, and renamed in a folder that is to be synced before they may go.
#[derive(Debug)]
#[must_use = "they are kept until `PartitionLog::forget_replaced`"]
pub struct ReplacedFiles {
    paths: Vec<PathBuf>,
    disk: Arc<dyn Disk>,
    dir: Box<Path>,
}

impl ReplacedFiles {
    /// Makes the new names lasting. Blocks; to be called outside of the partition's lock.
    pub fn sync(&self) -> Result<(), LogError> {
        Ok(self.disk.sync_dir(&self.dir).doing("sync the folder", &self.dir)?)
    }
}

impl PartitionLog {
    /// All below was compacted before.
    pub fn compacted_upto(&self) -> Offset {
        self.compacted_upto
    }

    /// What there is to compact. `None`: nothing, as the topic is not compacted or the log is out of service.
    pub fn compaction_need(&self, high_watermark: Offset, now: TimestampMs) -> Result<Option<CompactionNeed>, ReadError> {
        if !self.config.cleanup_compact || self.failed.is_some() {
            return Ok(None);
        }
        let rules = Rules { min_lag_ms: self.config.min_compaction_lag_ms, max_lag_ms: self.config.max_compaction_lag_ms };
        let mut sealed = Vec::with_capacity(self.segments.len() - 1);
        // Of the oldest dirty segment alone: to know it, its file has to be read.
        let mut wants_first = rules.max_lag_ms != i64::MAX;
        for at in 0..self.segments.len() - 1 {
            let segment = &self.segments[at];
            let (mut largest_timestamp, mut first_timestamp) = (TimestampMs::NONE.0, TimestampMs::NONE.0);
            let is_dirty = self.end_of(at) > self.compacted_upto;
            if rules.min_lag_ms > 0 && is_dirty {
                largest_timestamp = self.largest_or_modified(at)?;
            }
            if wants_first && is_dirty && segment.size > 0 {
                first_timestamp = self.batch_at(at, 0)?.header.max_timestamp;
                wants_first = first_timestamp < 0;
            }
            let (base, end, bytes) = (segment.base, self.end_of(at), u64::from(segment.size));
            sealed.push(SegmentFacts { base, end, bytes, largest_timestamp, first_timestamp });
        }
        let stable = self.last_stable_offset(high_watermark).min(self.durable_end());
        Ok(Some(plan(&sealed, self.compacted_upto, stable, rules, now)))
    }

    /// Begins a pass over what `need` says, which came from this log just now.
    pub fn begin_compaction(&self, need: CompactionNeed, limits: MapLimits, now: TimestampMs) -> Compaction {
        let source = |at: usize| {
            let segment = &self.segments[at];
            Source { base: segment.base, end: self.end_of(at), size: segment.size, id: segment.id(FileKind::Log) }
        };
        let sealed = self.segments.len() - 1;
        let basis = Basis {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            config: self.config.clone(),
            now,
            need,
            sources: (0..sealed).map(source).take_while(|source| source.end <= need.first_uncleanable).collect(),
            bases: self.segments.iter().map(|segment| segment.base).collect(),
            last_of_producers: self.producers.last_batches().map(|(id, epoch, data)| (id, LastOfProducer { epoch, data })).collect(),
            generation: self.sync.generation(),
        };
        Compaction::new(basis, limits)
    }

    /// Has a segment that was written anew take the place of those it was made from. `None`: they are not what they were; what was
    /// written is thrown away. Only names change here, no file is synced.
    pub fn replace_compacted(&mut self, new: &NewSegment) -> Result<Option<ReplacedFiles>, LogError> {
        self.check_in_service()?;
        let at = self.segments.partition_point(|s| s.base < new.base);
        let is_same = |(at, source): (usize, &Source)| {
            let found = self.segments.get(at).is_some_and(|s| s.id(FileKind::Log) == source.id && s.size == source.size);
            found && self.end_of(at) == source.end && at + 1 < self.segments.len()
        };
        if !(at..).zip(&new.sources).all(is_same) {
            for kind in CLEANED_KINDS {
                remove_if_there(&*self.disk, &cleaned_path(kind, &self.dir, new.base))?;
            }
            return Ok(None);
        }
        let replaced = self.swap(at, new);
        if let Err(e) = &replaced {
            // Some names have changed, and others not: which files are the log's, the next opening finds out.
            self.fail(e);
        }
        replaced.map(Some)
    }

    fn swap(&mut self, at: usize, new: &NewSegment) -> Result<ReplacedFiles, LogError> {
        let rename = |from: &Path, to: &Path| self.disk.rename(from, to).doing("rename", from);
        let path = |kind: FileKind| kind.path(&self.dir, new.base);
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log] {
            rename(&cleaned_path(kind, &self.dir, new.base), &suffixed(path(kind), SWAP_SUFFIX))?;
        }
        let mut paths = Vec::new();
        // No segment that this process replaced has the name of another, though it may have had the same base offset.
        self.replaced_count += 1;
        let suffix = format!(".{}{DELETED_SUFFIX}", self.replaced_count);
        for source in &new.sources {
            for kind in FileKind::ALL {
                // The state of producers at the segment's start, which is still one.
                if kind == FileKind::Snapshot && source.base == new.base {
                    continue;
                }
                let path = kind.path(&self.dir, source.base);
                let deleted = suffixed(path.clone(), &suffix);
                if self.disk.rename(&path, &deleted).if_there("rename", &path)?.is_some() {
                    paths.push(deleted);
                }
            }
        }
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log] {
            rename(&suffixed(path(kind), SWAP_SUFFIX), &path(kind))?;
        }

        let segment = Segment::new(new.base, new.size);
        let _ = segment.largest.set(new.largest);
        let old: Vec<Segment> = self.segments.splice(at..at + new.sources.len(), [segment]).collect();
        let before: u64 = old.iter().map(|s| u64::from(s.size)).sum();
        self.size_bytes = self.size_bytes.saturating_sub(before) + u64::from(new.size);
        old.iter().for_each(|segment| segment.close(&*self.disk));
        self.marks.lock().clear();
        self.forget_damages(|base| new.sources.iter().any(|source| source.base == base));
        self.sync.folder_changed();
        Ok(ReplacedFiles { paths, disk: Arc::clone(&self.disk), dir: self.dir.clone() })
    }

    /// Takes how [`ReplacedFiles::sync`] went. If the new names are lasting, the files of the replaced segments go once
    /// `file.delete.delay.ms` is over; if not, the log is out of service: the next sync would say nothing of these names.
    pub fn forget_replaced(&mut self, replaced: ReplacedFiles, synced: Result<(), LogError>, now: TimestampMs) -> Result<(), LogError> {
        synced.inspect_err(|failure| self.fail(failure))?;
        let due = TimestampMs(now.0.saturating_add(self.config.file_delete_delay_ms));
        self.deleted.push(DeletedSegment { due, paths: replaced.paths });
        Ok(())
    }

    /// Whether what a pass reads may not be there any more: the log was cut, or deleted from.
    pub fn has_changed_since(&self, pass: &Compaction) -> bool {
        self.sync.generation() != pass.generation() || self.segments[0].base > pass.start()
    }

    /// The pass is through. `false`: the log was cut meanwhile, and how far it is compacted stays what it was.
    pub fn finish_compaction(&mut self, pass: &Compaction) -> bool {
        let is_same = self.sync.generation() == pass.generation();
        if is_same {
            self.compacted_upto = self.compacted_upto.max(pass.upto());
        }
        is_same
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), IoFailure> {
    disk.remove_file(path).if_there("remove", path).map(drop)
}

/// Before a folder is looked through: goes on with the replacements that a crash interrupted after they were decided.
pub(super) fn finish_swaps(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    let entries = disk.list_dir(dir).doing("list", dir)?;
    let names = || entries.iter().map(|entry| entry.name.as_str());
    if !names().any(|name| name.ends_with(SWAP_SUFFIX)) {
        return Ok(());
    }
    let segments: BTreeSet<Offset> =
        names().filter_map(FileKind::parse).filter(|(kind, _)| *kind == FileKind::Log).map(|(_, base)| base).collect();
    for name in names().filter_map(|name| name.strip_suffix(SWAP_SUFFIX)) {
        let Some((FileKind::Log, base)) = FileKind::parse(name) else { continue };
        let end = end_of_swap(disk, &suffixed(FileKind::Log.path(dir, base), SWAP_SUFFIX))?;
        let all = [FileKind::TxnIndex, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log];
        for old in segments.range(base.plus(1)..end.max(base.plus(1))) {
            for kind in all {
                remove_if_there(disk, &kind.path(dir, *old))?;
            }
        }
        // No aborted transaction has records left in what was compacted.
        remove_if_there(disk, &FileKind::TxnIndex.path(dir, base))?;
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log] {
            let (from, to) = (suffixed(kind.path(dir, base), SWAP_SUFFIX), kind.path(dir, base));
            match disk.rename(&from, &to) {
                // Has its name already.
                Err(e) if e.kind() == io::ErrorKind::NotFound && kind != FileKind::Log => {}
                other => other.doing("rename", &from)?,
            }
        }
    }
    // Indexes of what was not decided.
    for name in names().filter(|name| name.ends_with(SWAP_SUFFIX)) {
        remove_if_there(disk, &dir.join(name))?;
    }
    Ok(disk.sync_dir(dir).doing("sync the folder", dir)?)
}

/// The offset behind the last batch of a file that is whole: it was synced before it got this name.
fn end_of_swap(disk: &dyn Disk, path: &Path) -> Result<Offset, LogError> {
    let bad = |reason: String| LogError::BadFile { path: path.to_owned(), reason };
    let file = disk.open(path, OpenMode::Read).doing("open", path)?;
    let size = u32::try_from(file.len().doing("look at", path)?).map_err(|_| bad("too large for a segment".to_owned()))?;
    let mut scan = HeaderScan::new(&*file, 0, size);
    let mut end = Offset::ZERO;
    loop {
        match scan.next().doing("read", path)? {
            Step::Batch(placed) => end = placed.header.next_offset(),
            Step::End => return Ok(end),
            Step::Bad { position, why } => return Err(bad(format!("at position {position}: {why}"))),
        }
    }
}
