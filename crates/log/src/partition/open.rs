//! Making and opening a partition's folder.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use ottla_model::{Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use parking_lot::Mutex;

use super::PartitionLog;
use super::read::Marks;
use super::recover::TornTail;
use super::sync::SyncState;
use crate::checkpoint::{LEADER_EPOCH_FILE, parse_epochs};
use crate::config::LogConfig;
use crate::disk::{Disk, OpenMode};
use crate::epochs::EpochCache;
use crate::error::{IoContext, IoFailure, LogError};
use crate::producer_state::ProducerState;
use crate::segment::{FileKind, Segment, Tail};
use crate::txn_index::AbortedTxn;

/// Holds the topic's id.
pub(super) const METADATA_FILE: &str = "partition.metadata";
/// What a segment's files are renamed to before they are removed.
pub(super) const DELETED_SUFFIX: &str = ".deleted";

/// What the broker knows of a log that it opens, from the checkpoints of the log directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHints {
    /// All below it was synced. `None`: nothing is known, and all is checked.
    pub recovery_point: Option<Offset>,
    /// The broker before closed this log cleanly (`.kafka_cleanshutdown`): nothing is checked.
    pub clean: bool,
    /// Log start offset, where it is not a segment's base.
    pub log_start: Option<Offset>,
    /// The high watermark as of the last checkpoint.
    pub high_watermark: Option<Offset>,
    /// Up to where it was compacted: below, segments may end before the next begins.
    pub compacted_upto: Option<Offset>,
}

/// What opening a log took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// It was found as a clean stop leaves it.
    pub clean: bool,
    /// Bytes that were read and held against their CRC.
    pub bytes_checked: u64,
    /// What was cut off its end.
    pub torn: Option<TornTail>,
    /// Whole segments that followed the cut, or a gap.
    pub segments_removed: usize,
    /// Segments whose indexes were made anew.
    pub indexes_rebuilt: usize,
    /// It ends below what was once synced: acknowledged records are gone from this disk.
    pub ended_below_recovery_point: bool,
}

/// The names found in a partition's folder.
#[derive(Default)]
pub(super) struct Found {
    pub logs: BTreeSet<Offset>,
    pub indexes: BTreeSet<Offset>,
    pub time_indexes: BTreeSet<Offset>,
    pub txn_indexes: BTreeSet<Offset>,
    pub snapshots: BTreeSet<Offset>,
    pub others: BTreeSet<String>,
}

impl PartitionLog {
    /// Makes a partition's folder and opens it. Nothing is synced yet: `sync_all`, or the syncs of many made together, does.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: TimestampMs,
    ) -> Result<PartitionLog, LogError> {
        disk.create_dir_all(dir).doing("make the folder", dir)?;
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
            let path = kind.path(dir, Offset::ZERO);
            disk.open(&path, OpenMode::CreateNew).doing("make", &path)?;
        }
        let path = dir.join(LEADER_EPOCH_FILE);
        disk.open(&path, OpenMode::Create).doing("make", &path)?;
        let mut log = PartitionLog::of_segments(disk, dir, topic_partition, config, vec![Segment::new(Offset::ZERO, 0)], now);
        log.sync.folder_changed();
        log.sync.parent_changed();
        log.assign_topic_id(topic_id)?;
        Ok(log)
    }

    /// Writes `partition.metadata`, for a folder that was left without (KIP-516). On stable storage with the next sync.
    pub fn assign_topic_id(&mut self, topic_id: TopicId) -> Result<(), LogError> {
        let path = self.path_of(METADATA_FILE);
        let text = format!("version: 0\ntopic_id: {topic_id}");
        let write = || -> io::Result<()> {
            let file = self.disk.open(&path, OpenMode::Create)?;
            file.truncate(0)?;
            file.write_vectored_at(&[IoSlice::new(text.as_bytes())], 0)
        };
        write().doing("write", &path)?;
        self.topic_id = Some(topic_id);
        self.sync.folder_changed();
        self.sync.parent_changed();
        Ok(())
    }

    /// Opens a partition's folder, repairing what a crash left. Reads no more than was not known to be synced.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: LogConfig,
        hints: OpenHints,
        now: TimestampMs,
    ) -> Result<(PartitionLog, Recovery), LogError> {
        let topic_partition = dir
            .file_name()
            .and_then(|name| TopicPartition::from_folder_name(name.to_str()?))
            .ok_or_else(|| LogError::BadFolderName(dir.to_owned()))?;
        super::compaction::finish_swaps(&*disk, dir)?;
        let found = sweep(&*disk, dir)?;
        let mut segments = Vec::with_capacity(found.logs.len().max(1));
        for base in &found.logs {
            let path = FileKind::Log.path(dir, *base);
            let len = disk.stat(&path).doing("look at", &path)?.len;
            let size = u32::try_from(len)
                .map_err(|_| LogError::BadFile { path: path.clone(), reason: format!("{len} bytes are more than a segment can have") })?;
            segments.push(Segment::new(*base, size));
        }
        if segments.is_empty() {
            let base = hints.log_start.unwrap_or(Offset::ZERO);
            for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
                let path = kind.path(dir, base);
                disk.open(&path, OpenMode::Create).doing("make", &path)?;
            }
            segments.push(Segment::new(base, 0));
        }
        let was_empty = found.logs.is_empty();
        let mut log = PartitionLog::of_segments(disk, dir, topic_partition, config, segments, now);
        let metadata = log.read_topic_id()?;
        log.topic_id = metadata;
        let epochs_known = log.load_epochs()?;

        let synced = hints.recovery_point.unwrap_or(Offset::ZERO);
        let clean = hints.clean && !was_empty && epochs_known && log.open_clean_tail()?;
        let mut recovery = Recovery { clean, ..Recovery::default() };
        let mut checked = Vec::new();
        if recovery.clean {
            log.sync.durable_end = log.log_end_offset();
            log.rebuild_missing_indexes(log.segments.len() - 1, &found, &mut recovery)?;
        } else {
            let recovery_point = if epochs_known { synced } else { Offset::ZERO };
            checked = log.recover(recovery_point, hints.compacted_upto.unwrap_or(Offset::ZERO), &found, &mut recovery)?;
        }
        recovery.ended_below_recovery_point = hints.recovery_point.is_some_and(|p| p > log.log_end_offset());
        log.log_start = hints.log_start.unwrap_or(Offset::ZERO).max(log.segments[0].base);
        if log.log_start > log.log_end_offset() {
            // Records were deleted that a crash then took: the log goes on where the deletion said, and no offset is reused.
            log.reset_to(log.log_start, now)?;
        }
        let end = log.log_end_offset();
        // One from beyond the end is of another log under this name.
        log.compacted_upto = hints.compacted_upto.filter(|upto| *upto <= end).unwrap_or(Offset::ZERO).max(log.log_start);
        let changed = log.epochs.truncate_from_end(end) | log.epochs.truncate_from_start(log.log_start);
        if changed {
            log.sync.epochs_changed();
        }
        log.find_first_epochs()?;
        let trusted = if recovery.clean { end } else { synced };
        log.load_producers(&found, trusted, !recovery.clean)?;
        log.size_bytes = log.segments.iter().map(|s| u64::from(s.size)).sum();
        // Not before the end: while it opens, a log finds its way by headers alone, as damage to some records is no reason not to.
        for segment in &log.segments {
            let read_from = checked.iter().find(|(base, _)| *base == segment.base).map_or(segment.size, |(_, from)| *from);
            segment.checked.restart(read_from.min(segment.size));
        }
        // What was opened to look around is closed again: most partitions are idle.
        log.tail.take_file();
        log.segments.iter().for_each(|s| s.close(&*log.disk));
        Ok((log, recovery))
    }

    /// A log over these segments, of whose content nothing is known yet.
    fn of_segments(
        disk: Arc<dyn Disk>,
        dir: &Path,
        topic_partition: TopicPartition,
        config: LogConfig,
        segments: Vec<Segment>,
        now: TimestampMs,
    ) -> PartitionLog {
        let base = segments[segments.len() - 1].base;
        let start = segments[0].base;
        let mut log = PartitionLog {
            disk,
            dir: dir.into(),
            topic_partition,
            topic_id: None,
            config,
            size_bytes: segments.iter().map(|s| u64::from(s.size)).sum(),
            segments,
            tail: Tail::empty(base, now, 0),
            log_start: start,
            epochs: EpochCache::default(),
            producers: ProducerState::default(),
            sync: SyncState::clean(start),
            marks: Mutex::new(Marks::default()),
            damages: Mutex::default(),
            deleted: Vec::new(),
            compacted_upto: start,
            replaced_count: 0,
            failed: None,
        };
        log.tail.jitter_ms = log.jitter_ms(base, now);
        log
    }

    /// `None` when there is none, or what is there was torn by a crash: whoever knows the id writes it again.
    fn read_topic_id(&self) -> Result<Option<TopicId>, LogError> {
        let path = self.path_of(METADATA_FILE);
        let Some(bytes) = self.disk.read_all(&path).if_there("read", &path)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let id = text.lines().find_map(|l| l.strip_prefix("topic_id:")).and_then(|id| id.trim().parse::<Uuid>().ok());
        Ok(id.map(TopicId))
    }

    /// Whether the leader epochs could be read; if not, the batches tell them.
    fn load_epochs(&mut self) -> Result<bool, LogError> {
        let path = self.path_of(LEADER_EPOCH_FILE);
        let Some(bytes) = self.disk.read_all(&path).if_there("read", &path)? else { return Ok(false) };
        match parse_epochs(&path, &bytes) {
            Ok(entries) => {
                self.epochs = EpochCache::new(entries);
                Ok(!bytes.is_empty() || self.size_bytes == 0)
            }
            Err(_) => Ok(false),
        }
    }

    pub(super) fn read_txn_index(&self, base: Offset) -> Result<Vec<AbortedTxn>, IoFailure> {
        let path = FileKind::TxnIndex.path(&self.dir, base);
        let stored = self.disk.read_all(&path).if_there("read", &path)?;
        Ok(stored.map(|bytes| AbortedTxn::decode_all(&bytes)).unwrap_or_default())
    }

    pub(super) fn append_txn_index(&self, base: Offset, entries: &[AbortedTxn]) -> Result<(), IoFailure> {
        let path = FileKind::TxnIndex.path(&self.dir, base);
        let write = || -> io::Result<()> {
            let file = self.disk.open(&path, OpenMode::Create)?;
            let entry = crate::txn_index::ENTRY_LEN as u64;
            let end = file.len()? / entry * entry;
            let bytes: Vec<u8> = entries.iter().flat_map(AbortedTxn::encode).collect();
            file.write_vectored_at(&[IoSlice::new(&bytes)], end)
        };
        write().doing("write", &path)
    }
}

/// What is in a partition's folder.
pub(super) fn look(disk: &dyn Disk, dir: &Path) -> Result<Found, LogError> {
    let mut found = Found::default();
    for entry in disk.list_dir(dir).doing("list", dir)? {
        match FileKind::parse(&entry.name) {
            Some((FileKind::Log, base)) => found.logs.insert(base),
            Some((FileKind::OffsetIndex, base)) => found.indexes.insert(base),
            Some((FileKind::TimeIndex, base)) => found.time_indexes.insert(base),
            Some((FileKind::TxnIndex, base)) => found.txn_indexes.insert(base),
            Some((FileKind::Snapshot, base)) => found.snapshots.insert(base),
            None => found.others.insert(entry.name),
        };
    }
    Ok(found)
}

/// Looks at the folder, and removes what a broker before left half done: segments that were to be deleted, small files that
/// were not renamed yet, output of a compaction that did not end.
fn sweep(disk: &dyn Disk, dir: &Path) -> Result<Found, LogError> {
    let found = look(disk, dir)?;
    let remove = |path: &Path| disk.remove_file(path).doing("remove", path);
    for name in &found.others {
        if [DELETED_SUFFIX, ".tmp", ".cleaned"].iter().any(|end| name.ends_with(end)) {
            remove(&dir.join(name))?;
        }
    }
    // Indexes without their segment: a crash kept the one name and not the other.
    let indexes =
        [(FileKind::OffsetIndex, &found.indexes), (FileKind::TimeIndex, &found.time_indexes), (FileKind::TxnIndex, &found.txn_indexes)];
    for (kind, bases) in indexes {
        for base in bases.difference(&found.logs) {
            remove(&kind.path(dir, *base))?;
        }
    }
    Ok(found)
}
