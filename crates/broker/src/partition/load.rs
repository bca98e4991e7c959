//! Finding what is in the log directories when the broker starts, and leaving them in order when it stops.
//!
//! Finds the partitions' folders, and puts aside what is no partition of this broker any more. Opens no log: that is [`super::opening`]'s.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_cluster::metadata::MetadataImage;
use ottla_log::checkpoint::{LOG_START_OFFSETS_FILE, OffsetCheckpoint, read_offsets};
use ottla_log::log_dir::{LastShutdown, forget_clean_shutdown, last_shutdown, mark_clean_shutdown, partition_of};
use ottla_log::{Disk, LogError, OpenHints};
use ottla_model::{BrokerEpoch, Clock, DirectoryId, NodeId, TopicPartition};

use super::checkpoints::Checkpoint;
use super::folders::{DELETE_SUFFIX, FolderNames, STRAY_SUFFIX, failure, topic_id_of};
use super::log_dir::DirHealth;
use super::opening::OpenJob;
use super::syncer::sync_tickets;
use super::watch::Watcher;
use super::{LogDir, PartitionManager};
use crate::threads::NetworkThreads;

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

impl PartitionManager {
    /// A manager of these directories, which have nothing in them until [`PartitionManager::load`]. Each has a disk of its own, with its own
    /// bound on open files, so that no file of one is closed for another.
    pub fn new(
        node: NodeId,
        dirs: Vec<LogDirSpec>,
        disk: impl Fn() -> Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        threads: &NetworkThreads,
    ) -> Result<PartitionManager, PartitionStartError> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(PartitionStartError::Random)?;
        let health = DirHealth::new(dirs.len());
        let dir = |(index, spec)| Arc::new(LogDir::new(index, spec, disk(), Arc::clone(&health), threads.alarm()));
        let dirs: Vec<Arc<LogDir>> = dirs.into_iter().enumerate().map(dir).collect();
        let watcher = Watcher::new(threads.clone());
        let syncers = dirs.iter().map(LogDir::start_syncer).collect::<io::Result<Vec<_>>>()?;
        Ok(PartitionManager::of(node, dirs, health, clock, syncers, watcher, FolderNames::new(seed)))
    }

    /// From now on a call to a disk that does not return takes the disk's directory offline. To be called once.
    pub fn watch_disks(&self) -> io::Result<()> {
        self.watcher.start(self.log_dirs())
    }

    /// Finds the logs that the image knows to be here, and puts the others aside. Blocks on files; to be called once, before the image
    /// is followed. None is opened before [`PartitionManager::start_opening`].
    pub fn load(self: &Arc<Self>, image: &Arc<MetadataImage>) -> Result<(), PartitionStartError> {
        let mut found: Vec<Vec<OpenJob>> = Vec::with_capacity(self.log_dirs().len());
        for dir in self.log_dirs() {
            let (manager, image) = (Arc::clone(self), Arc::clone(image));
            let scanned = dir.run_apart(move |dir| manager.scan(dir, &image));
            found.push(scanned.unwrap_or(Ok(Vec::new())).unwrap_or_else(|error| {
                dir.fail("reading the directory", &error);
                Vec::new()
            }));
        }
        self.put_strangers_aside(&mut found, image);
        refuse_doubles(found.iter().flatten())?;
        if self.log_dirs().iter().all(|dir| dir.is_offline()) {
            let first = self.log_dirs().first().map(|dir| dir.path().display().to_string()).unwrap_or_default();
            return Err(PartitionStartError::NoLogDir(first));
        }
        found.into_iter().for_each(|jobs| self.opening.add(jobs));
        Ok(())
    }

    /// Finds the folders of one directory.
    fn scan(&self, dir: &Arc<LogDir>, image: &MetadataImage) -> Result<Vec<OpenJob>, LogError> {
        let disk = &**dir.disk();
        let clean = matches!(last_shutdown(disk, dir.path())?, LastShutdown::Clean(_));
        forget_clean_shutdown(disk, dir.path())?;
        let recovery_points = dir.read_checkpoint(Checkpoint::RecoveryPoints);
        let high_watermarks = dir.read_checkpoint(Checkpoint::HighWatermarks);
        let log_starts = log_starts(dir);
        let compacted = dir.read_cleaner_offsets();
        let mut jobs: Vec<OpenJob> = Vec::new();
        let entries = disk.list_dir(dir.path()).map_err(|source| LogError::Io(failure("list", dir.path(), source)))?;
        for entry in entries.into_iter().filter(|e| e.is_dir) {
            let path = dir.path().join(&entry.name);
            if entry.name.ends_with(DELETE_SUFFIX) {
                dir.maintenance.remove_later(path, 0);
                continue;
            }
            if entry.name.ends_with(STRAY_SUFFIX) {
                tracing::warn!(folder = %path.display(), "a stray partition is kept; remove the folder by hand if nobody needs it");
                continue;
            }
            let Some(name) = partition_of(&entry.name) else { continue };
            let known = image.partition(name.topic.as_str(), name.partition);
            if !known.is_some_and(|partition| partition.has_replica(self.node())) {
                self.folder_names().put_aside(dir, &path, &name)?;
                continue;
            }
            let hints = OpenHints {
                recovery_point: recovery_points.get(&name).copied(),
                clean,
                log_start: log_starts.get(&name).copied(),
                high_watermark: high_watermarks.get(&name).copied(),
                compacted_upto: compacted.get(&name).copied(),
            };
            jobs.push(OpenJob { dir: Arc::clone(dir), path, name, hints });
        }
        let here: HashSet<&TopicPartition> = jobs.iter().map(|job| &job.name).collect();
        if let Err(error) = dir.take_log_starts(log_starts, |partition| here.contains(partition)) {
            dir.note_failure("forgetting the log starts of deleted partitions", &error);
        }
        dir.set_unopened(jobs.iter().map(|job| (job.name.clone(), job.hints)));
        Ok(jobs)
    }

    /// Of folders of one name in two directories, those that are another topic's are in nobody's way.
    fn put_strangers_aside(&self, found: &mut [Vec<OpenJob>], image: &MetadataImage) {
        let mut seen: HashMap<TopicPartition, usize> = HashMap::new();
        found.iter().flatten().for_each(|job| *seen.entry(job.name.clone()).or_default() += 1);
        for jobs in found {
            jobs.retain(|job| {
                let expected = image.topic(job.name.topic.as_str()).map(|topic| topic.id);
                let is_stranger = || topic_id_of(&**job.dir.disk(), &job.path).is_some_and(|id| Some(id) != expected);
                if seen.get(&job.name).is_none_or(|times| *times < 2) || !is_stranger() {
                    return true;
                }
                if let Err(error) = self.folder_names().put_aside(&job.dir, &job.path, &job.name) {
                    job.dir.fail("putting a stray partition aside", &error);
                }
                job.dir.forget_unopened(&job.name);
                false
            });
        }
    }
}

/// As in Kafka, a broker does not start on one partition in two directories.
fn refuse_doubles<'a>(jobs: impl Iterator<Item = &'a OpenJob>) -> Result<(), PartitionStartError> {
    let mut seen: HashMap<&TopicPartition, &Path> = HashMap::new();
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

/// Closes all logs cleanly, writes the checkpoints, and last of all says that it was done.
pub(super) fn close_dirs(dirs: &[Arc<LogDir>], broker_epoch: BrokerEpoch) {
    for dir in dirs.iter().filter(|dir| !dir.is_offline()) {
        let closed = dir.run_apart(move |dir| close_dir(dir, broker_epoch));
        if let Some(Err(error)) = closed {
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
    if let Some(open) = dir.unclean_example() {
        tracing::warn!(log_dir = %dir.path().display(), "not marked as cleanly closed: {open} was not opened, and was not closed cleanly before");
        return Ok(());
    }
    mark_clean_shutdown(&**dir.disk(), dir.path(), broker_epoch)
}
