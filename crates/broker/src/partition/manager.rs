//! Which partitions are on this broker, and how they follow the metadata.
//!
//! Owns the partitions and the log directories. Looking one up is an atomic load and a hash; changing the set copies what changed of
//! two persistent maps. All changes come from [`PartitionManager::follow`], which the metadata publisher calls, one image at a time.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ottla_cluster::metadata::{MetadataImage, PartitionImage, TopicImage};
use ottla_log::{LogError, PartitionLog};
use ottla_model::config::{ServerConfig, TopicConfig};
use ottla_model::{BrokerEpoch, Clock, DirectoryId, NodeId, PartitionId, TopicId, TopicName, TopicPartition};
use parking_lot::Mutex;

use super::load::{DELETE_SUFFIX, FolderNames, FoundLogs, Taken, close_dirs};
use super::log_dir::DirHealth;
use super::maintenance::Maintenance;
use super::scrub::Scrubber;
use super::{Leadership, LogDir, Partition, Syncer, TopicSettings};

/// A topic's partitions on this broker, by their index; `None` for those that are elsewhere.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: Vec<Option<Arc<Partition>>>,
}

impl Topic {
    fn get(&self, partition: PartitionId) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(partition.0).ok()?)?.as_ref()
    }
}

/// The topics that have partitions here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    by_name: imbl::HashMap<TopicName, Arc<Topic>>,
    by_id: imbl::HashMap<TopicId, Arc<Topic>>,
}

impl Topics {
    /// The topic of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    fn insert(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, Arc::clone(&topic));
        self.by_name.insert(topic.name.clone(), topic);
    }

    fn remove(&mut self, name: &str) -> Option<Arc<Topic>> {
        let topic = self.by_name.remove(name)?;
        self.by_id.remove(&topic.id);
        Some(topic)
    }
}

/// A partition with the log directory that it is in.
pub type DirectoryChoice = (TopicId, PartitionId, DirectoryId);

/// Why a partition cannot be put anywhere.
#[derive(Debug, thiserror::Error)]
enum NoPlace {
    #[error(
        "the metadata has it in the log directory {0}, which is not among those that work; bring that directory back, or delete the topic"
    )]
    DirectoryMissing(DirectoryId),
    #[error("no log directory is left that works")]
    NoneOnline,
}

/// The partitions of this broker.
pub struct PartitionManager {
    node: NodeId,
    dirs: Vec<Arc<LogDir>>,
    health: Arc<DirHealth>,
    clock: Arc<dyn Clock>,
    topics: ArcSwap<Topics>,
    /// Logs that were found on disk at start and not taken by the image yet.
    pub(super) found: Mutex<FoundLogs>,
    /// Partitions that should be here and are not to be had, though their directory works.
    broken: Mutex<HashSet<TopicPartition>>,
    pub(super) maintenance: Maintenance,
    pub(super) scrubber: Scrubber,
    folder_names: FolderNames,
    syncers: Mutex<Vec<Syncer>>,
}

impl PartitionManager {
    pub(super) fn of(
        node: NodeId,
        dirs: Vec<Arc<LogDir>>,
        health: Arc<DirHealth>,
        clock: Arc<dyn Clock>,
        syncers: Vec<Syncer>,
        maintenance: Maintenance,
        folder_names: FolderNames,
    ) -> PartitionManager {
        PartitionManager {
            node,
            dirs,
            health,
            topics: ArcSwap::default(),
            found: Mutex::default(),
            broken: Mutex::default(),
            maintenance,
            scrubber: Scrubber::default(),
            folder_names,
            syncers: Mutex::new(syncers),
            clock,
        }
    }

    /// A partition by its topic's name.
    #[inline]
    pub fn find(&self, topic: &str, partition: PartitionId) -> Option<Arc<Partition>> {
        self.topics.load().by_name.get(topic)?.get(partition).cloned()
    }

    /// A partition by its topic's id.
    #[inline]
    pub fn find_by_id(&self, topic: TopicId, partition: PartitionId) -> Option<Arc<Partition>> {
        self.topics.load().by_id.get(&topic)?.get(partition).cloned()
    }

    /// All topics that have partitions here.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.load_full()
    }

    /// The log directories, in the order of `log.dirs`.
    pub fn log_dirs(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// Whether a partition that should be here, and is not found, is out of reach: on a directory that has failed, or damaged.
    pub fn is_out_of_reach(&self, topic: &str, partition: PartitionId) -> bool {
        let is_it = |broken: &TopicPartition| broken.topic.as_str() == topic && broken.partition == partition;
        self.dirs.iter().any(|dir| dir.is_offline()) || self.broken.lock().iter().any(is_it)
    }

    /// Waits until the last log directory has failed, and says why: a broker without any stops, as in Kafka.
    pub async fn all_dirs_failed(&self) -> String {
        let mut failed = self.health.all_failed();
        let reason = failed.wait_for(Option::is_some).await.map(|reason| reason.clone().unwrap_or_default());
        match reason {
            Ok(reason) => reason,
            // The sender is this manager's own.
            Err(_) => std::future::pending().await,
        }
    }

    /// Makes the partitions follow the metadata from `before` to `after`: creates, deletes, leads, configures. Blocks on files.
    ///
    /// What fails takes its log directory offline and is logged; the partition then answers KAFKA_STORAGE_ERROR. Gives the partitions that
    /// are in another directory than the metadata says, for the controller to be told (KIP-858).
    pub fn follow(
        &self,
        before: &MetadataImage,
        after: &MetadataImage,
        config: &ServerConfig,
        config_changed: bool,
    ) -> Vec<DirectoryChoice> {
        let mut topics = Topics::clone(&self.topics.load());
        let mut choices = Vec::new();
        for change in after.topic_changes(before) {
            if let Some(gone) = change.before
                && change.after.is_none_or(|after| after.id != gone.id)
            {
                self.delete_topic(&mut topics, gone);
            }
            if let Some(topic) = change.after {
                self.follow_topic(&mut topics, topic, after, config, &mut choices);
            }
        }
        self.topics.store(Arc::new(topics));
        if config_changed {
            for topic in self.topics.load().iter() {
                self.configure(topic, after, config);
            }
        } else {
            let topics = self.topics.load();
            for topic in after.topic_config_changes(before).filter_map(|name| topics.get(name.as_str())) {
                self.configure(topic, after, config);
            }
        }
        choices
    }

    fn follow_topic(
        &self,
        topics: &mut Topics,
        topic: &TopicImage,
        image: &MetadataImage,
        config: &ServerConfig,
        choices: &mut Vec<DirectoryChoice>,
    ) {
        let known = topics.by_name.get(&topic.name).filter(|known| known.id == topic.id);
        let mut partitions = known.map(|known| known.partitions.clone()).unwrap_or_default();
        let mut settings = None;
        partitions.resize(topic.partitions.len(), None);
        self.forget_recovery_points(topic, &partitions);
        for ((id, wanted), place) in topic.iter().zip(&mut partitions) {
            if !wanted.has_replica(self.node) {
                if let Some(gone) = place.take() {
                    self.delete(&gone);
                    self.forget_log_starts(|partition| partition == gone.topic_partition());
                }
                continue;
            }
            if place.is_none() {
                let settings = settings.get_or_insert_with(|| self.settings(topic.name.as_str(), image, config));
                *place = self.take_or_create(TopicPartition::new(topic.name.clone(), id), topic.id, wanted, settings);
            }
            if let Some(partition) = place {
                let leadership = Leadership { leader: wanted.leader, epoch: wanted.leader_epoch };
                partition.follow(leadership, i32::try_from(wanted.isr.len()).unwrap_or(i32::MAX));
                let directory = partition.log_dir().id();
                if wanted.directory_of(self.node) != Some(directory) {
                    choices.push((topic.id, id, directory));
                }
            }
        }
        topics.insert(Topic { name: topic.name.clone(), id: topic.id, partitions });
    }

    /// The partition's log as it was found at start, or a new one.
    fn take_or_create(
        &self,
        name: TopicPartition,
        topic_id: TopicId,
        wanted: &PartitionImage,
        settings: &TopicSettings,
    ) -> Option<Arc<Partition>> {
        let taken = self.found.lock().take(&name);
        let (dir, log) = match taken {
            Taken::Log(dir, log) => (dir, *log),
            Taken::Broken => {
                self.broken.lock().insert(name);
                return None;
            }
            Taken::Nothing => {
                let dir = match self.place(wanted) {
                    Ok(dir) => dir,
                    Err(why) => {
                        tracing::error!(partition = %name, "it is not served: {why}");
                        self.broken.lock().insert(name);
                        return None;
                    }
                };
                match self.create(&dir, &name, topic_id, settings) {
                    Ok(log) => (dir, log),
                    Err(error) => {
                        dir.fail("creating a partition", &error);
                        return None;
                    }
                }
            }
        };
        let partition = Arc::new(Partition::new(name, topic_id, self.node, Arc::clone(&dir), log, settings));
        dir.add(&partition);
        if partition.has_unsynced_records() {
            // What a crash left was perhaps read from the page cache alone; nobody may see it before it is durable.
            partition.sync_now();
        }
        Some(partition)
    }

    fn create(&self, dir: &LogDir, name: &TopicPartition, topic_id: TopicId, settings: &TopicSettings) -> Result<PartitionLog, LogError> {
        let folder = dir.path().join(name.to_string());
        PartitionLog::create(Arc::clone(dir.disk()), &folder, name.clone(), topic_id, settings.log.clone(), self.clock.now())
    }

    /// Where a partition goes that is in no directory yet.
    fn place(&self, wanted: &PartitionImage) -> Result<Arc<LogDir>, NoPlace> {
        let mut online = self.dirs.iter().filter(|dir| !dir.is_offline());
        match wanted.directory_of(self.node).filter(|assigned| *assigned != DirectoryId::UNASSIGNED) {
            // Its data is, or was, in that directory. To begin it anew in another would be to forget it without a word.
            Some(assigned) => online.find(|dir| dir.id() == assigned).cloned().ok_or(NoPlace::DirectoryMissing(assigned)),
            None => online.min_by_key(|dir| dir.partition_count()).cloned().ok_or(NoPlace::NoneOnline),
        }
    }

    pub(super) fn settings(&self, topic: &str, image: &MetadataImage, config: &ServerConfig) -> TopicSettings {
        let expiration_ms = i64::from(config.producer_id_expiration_ms);
        let resolved = TopicConfig::resolve(config, &image.topic_config(topic)).or_else(|error| {
            // The controller checked each config; only a change of the broker's own file can make them not fit together.
            tracing::error!(topic, "its configs do not fit this broker's, which count alone: {error}");
            TopicConfig::resolve(config, &Default::default())
        });
        match resolved {
            Ok(topic) => TopicSettings::new(&topic, expiration_ms),
            Err(_) => TopicSettings::default(),
        }
    }

    fn configure(&self, topic: &Topic, image: &MetadataImage, config: &ServerConfig) {
        let settings = self.settings(topic.name.as_str(), image, config);
        for partition in topic.partitions.iter().flatten() {
            partition.configure(&settings);
        }
    }

    fn delete_topic(&self, topics: &mut Topics, gone: &TopicImage) {
        if topics.by_name.get(&gone.name).is_some_and(|topic| topic.id == gone.id)
            && let Some(topic) = topics.remove(gone.name.as_str())
        {
            for partition in topic.partitions.iter().flatten() {
                self.delete(partition);
            }
        }
        self.broken.lock().retain(|broken| broken.topic != gone.name);
        self.forget_log_starts(|partition| partition.topic == gone.name);
    }

    /// Before logs are made that bear the names of others that are gone.
    fn forget_recovery_points(&self, topic: &TopicImage, partitions: &[Option<Arc<Partition>>]) {
        let found = self.found.lock();
        let missing = topic.iter().zip(partitions).filter(|((_, wanted), place)| place.is_none() && wanted.has_replica(self.node));
        let names = missing.map(|((id, _), _)| TopicPartition::new(topic.name.clone(), id));
        let to_be_made: Vec<TopicPartition> = names.filter(|name| !found.has(name)).collect();
        drop(found);
        if to_be_made.is_empty() {
            return;
        }
        for dir in self.dirs.iter().filter(|dir| !dir.is_offline()) {
            if let Err(error) = dir.forget_recovery_points(&to_be_made) {
                // Were the log made all the same, a crash could make its records out of those of the old one.
                dir.fail("forgetting the recovery points of deleted partitions", &error);
            }
        }
    }

    /// Before anything new can bear the name of what is gone.
    fn forget_log_starts(&self, is_gone: impl Fn(&TopicPartition) -> bool) {
        for dir in self.dirs.iter().filter(|dir| !dir.is_offline()) {
            if let Err(error) = dir.forget_log_starts(&is_gone) {
                dir.note_failure("forgetting the log starts of deleted partitions", &error);
            }
        }
    }

    /// Takes a partition out of service and its folder out of the way; the files go later.
    fn delete(&self, partition: &Arc<Partition>) {
        partition.mark_deleted();
        let dir = partition.log_dir();
        dir.remove(partition);
        let folder = dir.path().join(self.folder_names.with_suffix(partition.topic_partition(), DELETE_SUFFIX));
        match partition.move_away(&folder) {
            Ok(delay_ms) => self.maintenance.remove_later(Arc::clone(dir), folder, delay_ms),
            Err(error) => dir.fail("deleting a partition", &error),
        }
    }

    /// Syncs and closes everything, and notes in each directory that it was left in order. To be called once nobody appends any more.
    pub fn close(&self, broker_epoch: BrokerEpoch) {
        self.scrubber.stop();
        self.maintenance.stop();
        for mut syncer in std::mem::take(&mut *self.syncers.lock()) {
            syncer.stop();
        }
        close_dirs(&self.dirs, broker_epoch);
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn folder_names(&self) -> &FolderNames {
        &self.folder_names
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }
}

impl std::fmt::Debug for PartitionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionManager").field("node", &self.node).field("dirs", &self.dirs).finish_non_exhaustive()
    }
}
