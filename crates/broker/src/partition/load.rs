//! Opening the log directories when the broker starts, and leaving them in order when it stops.
//!
//! Finds the partitions' folders, opens their logs in parallel (which recovers what a crash left), and puts aside what is no partition
//! of this broker any more. Never removes a folder that nobody asked to have removed: what the metadata does not know is renamed to
//! `-stray`, as Kafka does, and kept.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_cluster::metadata::MetadataImage;
use ottla_log::checkpoint::{LOG_START_OFFSETS_FILE, OffsetCheckpoint, read_offsets};
use ottla_log::log_dir::{LastShutdown, forget_clean_shutdown, last_shutdown, mark_clean_shutdown, partition_of};
use ottla_log::{Disk, LogError, OpenHints, PartitionLog};
use ottla_model::config::ServerConfig;
use ottla_model::{BrokerEpoch, Clock, DirectoryId, NodeId, TimestampMs, TopicId, TopicPartition};
use parking_lot::Mutex;

use super::checkpoints::Checkpoint;
use super::log_dir::DirHealth;
use super::maintenance::{self, Maintenance};
use super::syncer::sync_tickets;
use super::{LogDir, PartitionManager, TopicSettings};

/// The suffix of a folder whose partition was deleted; its files go after `file.delete.delay.ms`.
pub(super) const DELETE_SUFFIX: &str = "-delete";
/// The suffix of a folder that is no partition of this broker; kept.
pub(super) const STRAY_SUFFIX: &str = "-stray";
/// The longest folder name.
const FOLDER_NAME_BYTES_MAX: usize = 255;
/// Threads that open logs, over all directories (`num.recovery.threads.per.data.dir` for each, up to this).
const LOADERS_MAX: usize = 32;

/// Why the partitions cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PartitionStartError {
    /// No log directory can be used.
    #[error("none of the log directories can be used; the first: {0}")]
    NoLogDir(String),
    /// One partition in two directories: only whoever put it there knows which is the right one.
    #[error("{partition} is in two log directories, {} and {}: keep the folder that has its data, move the other away", first.display(), second.display())]
    FoundTwice {
        /// The partition.
        partition: TopicPartition,
        /// One folder.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A thread could not be started.
    #[error("a thread for the partitions could not be started: {0}")]
    Thread(#[from] io::Error),
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[source] getrandom::Error),
}

/// A log directory that is formatted, and locked by this process.
#[derive(Clone, Debug)]
pub struct LogDirSpec {
    /// The folder.
    pub path: PathBuf,
    /// `directory.id` of its `meta.properties`.
    pub id: DirectoryId,
}

/// Logs that were found on disk, to be taken by the image that knows them.
#[derive(Debug, Default)]
pub(super) struct FoundLogs {
    logs: HashMap<TopicPartition, Found>,
}

#[derive(Debug)]
enum Found {
    Log {
        dir: Arc<LogDir>,
        log: Box<PartitionLog>,
    },
    /// It is there, but cannot be opened: served as KAFKA_STORAGE_ERROR, and not made anew over what there is.
    Broken,
}

/// What was found of a partition.
pub(super) enum Taken {
    Log(Arc<LogDir>, Box<PartitionLog>),
    Broken,
    Nothing,
}

impl FoundLogs {
    pub(super) fn has(&self, name: &TopicPartition) -> bool {
        self.logs.contains_key(name)
    }

    pub(super) fn take(&mut self, name: &TopicPartition) -> Taken {
        match self.logs.remove(name) {
            Some(Found::Log { dir, log }) => Taken::Log(dir, log),
            Some(Found::Broken) => Taken::Broken,
            None => Taken::Nothing,
        }
    }
}

impl PartitionManager {
    /// A manager of these directories, which have nothing in them until [`PartitionManager::load`].
    pub fn new(
        node: NodeId,
        dirs: Vec<LogDirSpec>,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<PartitionManager, PartitionStartError> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(PartitionStartError::Random)?;
        let health = DirHealth::new(dirs.len());
        let events: Arc<maintenance::Shared> = Arc::default();
        let dirs: Vec<Arc<LogDir>> =
            dirs.into_iter().map(|spec| Arc::new(LogDir::new(spec, Arc::clone(&disk), Arc::clone(&health), Arc::clone(&events)))).collect();
        let syncers = dirs.iter().map(LogDir::start_syncer).collect::<io::Result<Vec<_>>>()?;
        Ok(PartitionManager::of(node, dirs, health, clock, syncers, Maintenance::new(events), FolderNames::new(seed)))
    }

    /// Opens the logs that the image knows to be here, and puts the others aside. Blocks on files; to be called once, before the image is
    /// followed.
    pub fn load(&self, image: &MetadataImage, config: &ServerConfig) -> Result<(), PartitionStartError> {
        let mut jobs: Vec<OpenJob> = Vec::new();
        for dir in self.log_dirs() {
            if let Err(error) = self.scan(dir, image, config, &mut jobs) {
                dir.fail("reading the directory", &error);
            }
        }
        refuse_doubles(&jobs)?;
        let threads = usize::try_from(config.num_recovery_threads_per_data_dir).unwrap_or(1).max(1) * self.log_dirs().len();
        let found = Mutex::new(FoundLogs::default());
        let next = AtomicUsize::new(0);
        let now = self.clock().now();
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let opened = job.open(now);
                found.lock().logs.insert(job.name.clone(), opened);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(LOADERS_MAX).min(jobs.len()) {
                // Without a further thread it takes longer, no more.
                let _ = std::thread::Builder::new().name("ottla-load".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
        *self.found.lock() = found.into_inner();
        if self.log_dirs().iter().all(|dir| dir.is_offline()) {
            let first = self.log_dirs().first().map(|dir| dir.path().display().to_string()).unwrap_or_default();
            return Err(PartitionStartError::NoLogDir(first));
        }
        Ok(())
    }

    /// Finds the folders of one directory.
    fn scan(&self, dir: &Arc<LogDir>, image: &MetadataImage, config: &ServerConfig, jobs: &mut Vec<OpenJob>) -> Result<(), LogError> {
        let disk = &**dir.disk();
        let clean = matches!(last_shutdown(disk, dir.path())?, LastShutdown::Clean(_));
        forget_clean_shutdown(disk, dir.path())?;
        let recovery_points = dir.read_checkpoint(Checkpoint::RecoveryPoints);
        let high_watermarks = dir.read_checkpoint(Checkpoint::HighWatermarks);
        let log_starts = log_starts(dir);
        let mut settings: HashMap<String, Arc<TopicSettings>> = HashMap::new();
        let entries = disk.list_dir(dir.path()).map_err(|source| LogError::Io(failure("list", dir.path(), source)))?;
        for entry in entries.into_iter().filter(|e| e.is_dir) {
            let path = dir.path().join(&entry.name);
            if entry.name.ends_with(DELETE_SUFFIX) {
                self.maintenance.remove_later(Arc::clone(dir), path, 0);
                continue;
            }
            if entry.name.ends_with(STRAY_SUFFIX) {
                tracing::warn!(folder = %path.display(), "a stray partition is kept; remove the folder by hand if nobody needs it");
                continue;
            }
            let Some(name) = partition_of(&entry.name) else { continue };
            let known = image.topic(name.topic.as_str());
            let here = known.filter(|topic| topic.partition(name.partition).is_some_and(|p| p.has_replica(self.node())));
            let on_disk = topic_id_of(disk, &path);
            match here.filter(|topic| on_disk.is_none_or(|id| id == topic.id)) {
                Some(topic) => {
                    let settings = settings
                        .entry(name.topic.as_str().to_owned())
                        .or_insert_with(|| Arc::new(self.settings(name.topic.as_str(), image, config)));
                    let hints = OpenHints {
                        recovery_point: recovery_points.get(&name).copied(),
                        clean,
                        log_start: log_starts.get(&name).copied(),
                        high_watermark: high_watermarks.get(&name).copied(),
                    };
                    let settings = Arc::clone(settings);
                    jobs.push(OpenJob { dir: Arc::clone(dir), path, name, topic_id: topic.id, settings, hints });
                }
                None => self.put_aside(dir, &path, &name)?,
            }
        }
        let here: HashSet<&TopicPartition> = jobs.iter().filter(|job| Arc::ptr_eq(&job.dir, dir)).map(|job| &job.name).collect();
        if let Err(error) = dir.take_log_starts(log_starts, |partition| here.contains(partition)) {
            dir.note_failure("forgetting the log starts of deleted partitions", &error);
        }
        Ok(())
    }

    /// Renames the folder of what is no partition of this broker, so that it is out of the way and nothing of it is lost.
    fn put_aside(&self, dir: &LogDir, path: &Path, name: &TopicPartition) -> Result<(), LogError> {
        let stray = dir.path().join(self.folder_names().with_suffix(name, STRAY_SUFFIX));
        dir.disk().rename(path, &stray).map_err(|source| LogError::Io(failure("rename", path, source)))?;
        dir.disk().sync_dir(dir.path()).map_err(|source| LogError::Io(failure("sync", dir.path(), source)))?;
        tracing::warn!(
            partition = %name,
            kept_as = %stray.display(),
            "the metadata knows no such partition on this broker (its topic was deleted, or the folder is another cluster's); it is kept"
        );
        Ok(())
    }
}

/// Opens one log.
struct OpenJob {
    dir: Arc<LogDir>,
    path: PathBuf,
    name: TopicPartition,
    topic_id: TopicId,
    settings: Arc<TopicSettings>,
    hints: OpenHints,
}

impl OpenJob {
    fn open(&self, now: TimestampMs) -> Found {
        if self.dir.is_offline() {
            return Found::Broken;
        }
        let opened = PartitionLog::open(Arc::clone(self.dir.disk()), &self.path, self.settings.log.clone(), self.hints, now);
        let opened = opened.and_then(|(mut log, recovery)| {
            if log.topic_id().is_none() {
                log.assign_topic_id(self.topic_id)?;
            }
            Ok((log, recovery))
        });
        match opened {
            Ok((log, recovery)) => {
                if let Some(torn) = &recovery.torn {
                    tracing::warn!(partition = %self.name, "the log's end was cut: {torn:?}");
                }
                if recovery.ended_below_recovery_point {
                    tracing::error!(
                        partition = %self.name,
                        "the log ends at {}, below {:?} to which it was once synced: acknowledged records are gone from this disk",
                        log.log_end_offset(),
                        self.hints.recovery_point
                    );
                }
                Found::Log { dir: Arc::clone(&self.dir), log: Box::new(log) }
            }
            Err(LogError::Io(error)) => {
                self.dir.fail("opening a partition", &error);
                Found::Broken
            }
            Err(error) => {
                tracing::error!(partition = %self.name, "the log cannot be opened and is not served: {error}");
                Found::Broken
            }
        }
    }
}

/// As in Kafka, a broker does not start on one partition in two directories.
fn refuse_doubles(jobs: &[OpenJob]) -> Result<(), PartitionStartError> {
    let mut seen: HashMap<&TopicPartition, &Path> = HashMap::with_capacity(jobs.len());
    for job in jobs {
        if let Some(first) = seen.insert(&job.name, &job.path) {
            return Err(PartitionStartError::FoundTwice { partition: job.name.clone(), first: first.to_owned(), second: job.path.clone() });
        }
    }
    Ok(())
}

fn log_starts(dir: &LogDir) -> OffsetCheckpoint {
    read_offsets(&**dir.disk(), &dir.path().join(LOG_START_OFFSETS_FILE)).unwrap_or_else(|error| {
        tracing::warn!("a checkpoint is not used: {error}");
        OffsetCheckpoint::new()
    })
}

/// The topic id in a partition's folder; `None` when there is none to read.
fn topic_id_of(disk: &dyn Disk, folder: &Path) -> Option<TopicId> {
    let bytes = disk.read_all(&folder.join("partition.metadata")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id:"))?;
    id.trim().parse().ok().map(TopicId)
}

fn failure(doing: &'static str, path: &Path, source: io::Error) -> ottla_log::IoFailure {
    ottla_log::IoFailure { doing, path: path.to_owned(), source }
}

/// Names folders that are out of the way, as Kafka does: `topic-0.<32 hexadecimal digits>-delete`, the topic cut to fit.
#[derive(Debug)]
pub(super) struct FolderNames {
    seed: [u8; 16],
    next: AtomicUsize,
}

impl FolderNames {
    pub(super) fn new(seed: [u8; 16]) -> FolderNames {
        FolderNames { seed, next: AtomicUsize::new(0) }
    }

    pub(super) fn with_suffix(&self, name: &TopicPartition, suffix: &str) -> String {
        // Random for each run, counted within it: no two are alike.
        let unique = u128::from_be_bytes(self.seed).wrapping_add(self.next.fetch_add(1, Ordering::Relaxed) as u128);
        let rest = format!("-{}.{unique:032x}{suffix}", name.partition);
        let topic = name.topic.as_str();
        let room = FOLDER_NAME_BYTES_MAX - rest.len();
        format!("{}{rest}", topic.get(..room).unwrap_or(topic))
    }
}

/// Closes all logs cleanly, writes the checkpoints, and last of all says that it was done.
pub(super) fn close_dirs(dirs: &[Arc<LogDir>], broker_epoch: BrokerEpoch) {
    for dir in dirs.iter().filter(|dir| !dir.is_offline()) {
        if let Err(error) = close_dir(dir, broker_epoch) {
            tracing::error!(log_dir = %dir.path().display(), "not closed cleanly, the next start will check its logs: {error}");
        }
    }
}

fn close_dir(dir: &LogDir, broker_epoch: BrokerEpoch) -> Result<(), LogError> {
    let partitions = dir.partitions();
    let mut tickets = Vec::with_capacity(partitions.len());
    for partition in &partitions {
        tickets.push(partition.begin_close()?);
    }
    sync_tickets(&mut tickets, dir);
    for (partition, ticket) in partitions.iter().zip(tickets) {
        // A ticket that failed says so here.
        partition.finish_sync(ticket)?;
    }
    dir.write_checkpoint(Checkpoint::RecoveryPoints)?;
    dir.write_checkpoint(Checkpoint::HighWatermarks)?;
    dir.write_log_starts(&partitions)?;
    mark_clean_shutdown(&**dir.disk(), dir.path(), broker_epoch)
}
