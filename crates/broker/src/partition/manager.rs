//! Which partitions are on this broker, and how they follow the metadata.
//!
//! Owns the partitions and the log directories. Looking one up is an atomic load and a hash; changing the set copies what changed of
//! two persistent maps. All changes come from [`PartitionManager::follow`], which the metadata publisher calls, one image at a time.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use ottla_cluster::metadata::{MetadataImage, PartitionImage, TopicImage};
use ottla_log::{LogError, PartitionLog};
use ottla_model::config::{ServerConfig, TopicConfig};
use ottla_model::{BrokerEpoch, Clock, DirectoryId, NodeId, PartitionId, TimestampMs, TopicId, TopicName, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::cleaner::Cleaner;
use super::folders::{DELETE_SUFFIX, FolderNames, topic_id_of};
use super::load::close_dirs;
use super::log_dir::DirHealth;
use super::maintenance::Maintenance;
use super::opening::{Absence, OpenJob, Opened, Opening};
use super::scrub::Scrubber;
use super::watch::Watcher;
use super::{Leadership, LogDir, NotServing, Partition, Syncer, TopicSettings};

/// A topic's partitions on this broker.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// By their index; empty for those that are elsewhere, or here and not served. Filled in place: of thousands of logs that are being
    /// opened each is served as it comes.
    places: Vec<OnceLock<Arc<Partition>>>,
}

impl Topic {
    /// One that is served here.
    pub fn get(&self, partition: PartitionId) -> Option<&Arc<Partition>> {
        self.places.get(usize::try_from(partition.0).ok()?)?.get()
    }

    /// Its partitions that are served here.
    pub fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.places.iter().filter_map(OnceLock::get)
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
    #[error("it was found in no log directory, and may be in one that does not work; bring that back, or delete the topic")]
    Perhaps,
}

/// What the partitions follow.
pub(super) struct Followed {
    pub image: Arc<MetadataImage>,
    pub config: Arc<ServerConfig>,
}

/// The partitions of this broker.
pub struct PartitionManager {
    node: NodeId,
    dirs: Vec<Arc<LogDir>>,
    health: Arc<DirHealth>,
    clock: Arc<dyn Clock>,
    topics: ArcSwap<Topics>,
    /// Those that should be here and are not served.
    pub(crate) opening: Opening,
    /// Held while partitions come and go.
    changing: Mutex<()>,
    followed: ArcSwapOption<Followed>,
    /// Some of `log.dirs` could not be used when the broker started, and are not among `dirs`.
    lacks_dirs: bool,
    /// Places that the controller does not know of yet. Bounded by the partitions of this broker.
    choices: Mutex<Vec<DirectoryChoice>>,
    chosen: Notify,
    pub(super) maintenance: Maintenance,
    /// Ends when all else has.
    pub(super) watcher: Watcher,
    pub(super) scrubber: Scrubber,
    pub(super) cleaner: Cleaner,
    folder_names: Arc<FolderNames>,
    syncers: Mutex<Vec<Syncer>>,
}

impl PartitionManager {
    pub(super) fn of(
        node: NodeId,
        dirs: Vec<Arc<LogDir>>,
        health: Arc<DirHealth>,
        clock: Arc<dyn Clock>,
        syncers: Vec<Syncer>,
        watcher: Watcher,
        folder_names: FolderNames,
    ) -> PartitionManager {
        PartitionManager {
            node,
            dirs,
            topics: ArcSwap::default(),
            opening: Opening::new(Arc::clone(&health)),
            health,
            changing: Mutex::default(),
            followed: ArcSwapOption::empty(),
            lacks_dirs: false,
            choices: Mutex::default(),
            chosen: Notify::new(),
            maintenance: Maintenance::default(),
            watcher,
            scrubber: Scrubber::default(),
            cleaner: Cleaner::default(),
            folder_names: Arc::new(folder_names),
            syncers: Mutex::new(syncers),
            clock,
        }
    }

    /// Some of `log.dirs` could not be used: what is not found in the others may be there.
    #[must_use]
    pub fn lacking_dirs(mut self, lacks_dirs: bool) -> PartitionManager {
        self.lacks_dirs = lacks_dirs;
        self
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

    /// Why a partition is not found that should be here.
    pub fn why_absent(&self, name: &TopicPartition) -> NotServing {
        match self.opening.absence(name) {
            Some(Absence::Opening) => NotServing::Opening,
            Some(Absence::Offline) => NotServing::Offline,
            // It is being deleted.
            None => NotServing::UnknownPartition,
        }
    }

    /// Whether a request may be about something that is not ready.
    #[inline]
    pub fn has_unready(&self) -> bool {
        self.health.unready.load(Ordering::Relaxed) > 0
    }

    /// Whether this log waits to be opened or is being opened: [`PartitionManager::settled`] then waits for it.
    pub fn is_opening(&self, name: &TopicPartition) -> bool {
        self.opening.is_opening(name)
    }

    /// Waits until the partition is served, or it is known that it will not be.
    pub async fn settled(&self, name: &TopicPartition) {
        self.opening.settled(name).await;
    }

    /// The directories that have failed since the start.
    pub fn offline_dirs(&self) -> Vec<DirectoryId> {
        self.dirs.iter().filter(|dir| dir.is_offline()).map(|dir| dir.id()).collect()
    }

    /// Completes when one more directory fails after the future was first enabled or polled.
    pub fn dir_failed(&self) -> tokio::sync::futures::Notified<'_> {
        self.health.failed.notified()
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
    /// What fails takes its log directory offline and is logged; the partition then answers KAFKA_STORAGE_ERROR.
    pub fn follow(&self, before: &MetadataImage, after: &Arc<MetadataImage>, config: &Arc<ServerConfig>, config_changed: bool) {
        let _changing = self.changing.lock();
        let mut topics = Topics::clone(&self.topics.load());
        for change in after.topic_changes(before) {
            if let Some(gone) = change.before
                && change.after.is_none_or(|after| after.id != gone.id)
            {
                self.delete_topic(&mut topics, gone, before, config);
            }
            if let Some(topic) = change.after {
                self.follow_topic(&mut topics, topic, after, config);
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
        self.followed.store(Some(Arc::new(Followed { image: Arc::clone(after), config: Arc::clone(config) })));
    }

    /// What the partitions follow now; `None` before the first image.
    pub(super) fn followed(&self) -> Option<Arc<Followed>> {
        self.followed.load_full()
    }

    /// The partitions that are in another directory than the metadata says, for the controller to be told (KIP-858). Each is given once.
    pub fn take_choices(&self) -> Vec<DirectoryChoice> {
        std::mem::take(&mut *self.choices.lock())
    }

    /// Waits until there may be more of them.
    pub async fn choices_made(&self) {
        self.chosen.notified().await;
    }

    fn follow_topic(&self, topics: &mut Topics, topic: &TopicImage, image: &MetadataImage, config: &ServerConfig) {
        let known = topics.by_name.get(&topic.name).filter(|known| known.id == topic.id);
        let mut places = known.map(|known| known.places.clone()).unwrap_or_default();
        places.resize_with(topic.partitions.len(), OnceLock::new);
        let (mut missing, mut gone) = (Vec::new(), Vec::new());
        for ((id, wanted), place) in topic.iter().zip(&mut places) {
            let here = wanted.has_replica(self.node);
            match place.get() {
                Some(partition) if here => self.lead(partition, wanted),
                Some(_) => {
                    gone.extend(place.take());
                }
                None => {
                    let name = TopicPartition::new(topic.name.clone(), id);
                    match (here, self.opening.has(&name)) {
                        (true, false) => missing.push((name, wanted)),
                        (false, true) => self.forget_unserved(&name, topic.id, &self.settings(topic.name.as_str(), image, config)),
                        (true, true) | (false, false) => {}
                    }
                }
            }
        }
        self.delete(gone);
        if !missing.is_empty() {
            let settings = self.settings(topic.name.as_str(), image, config);
            for partition in self.make(topic.id, missing, &settings) {
                if let Ok(index) = usize::try_from(partition.topic_partition().partition.0) {
                    let _ = places[index].set(partition);
                }
            }
        }
        topics.insert(Topic { name: topic.name.clone(), id: topic.id, places });
    }

    /// Makes the logs of these partitions of one topic, of which there is nothing yet.
    fn make(&self, topic_id: TopicId, missing: Vec<(TopicPartition, &PartitionImage)>, settings: &TopicSettings) -> Vec<Arc<Partition>> {
        let mut by_dir: Vec<Vec<(TopicPartition, &PartitionImage)>> = vec![Vec::new(); self.dirs.len()];
        for (name, wanted) in missing {
            match self.place(wanted, |dir| by_dir[dir.index()].len()) {
                Ok(dir) => by_dir[dir.index()].push((name, wanted)),
                Err(why) => {
                    tracing::error!(partition = %name, "it is not served: {why}");
                    self.opening.note_placeless(name);
                }
            }
        }
        let mut made = Vec::new();
        for (dir, missing) in self.dirs.iter().zip(by_dir).filter(|(_, missing)| !missing.is_empty()) {
            let (names, wanted): (Vec<TopicPartition>, Vec<&PartitionImage>) = missing.into_iter().unzip();
            let (for_thread, settings_for_thread, now) = (names.clone(), settings.clone(), self.clock.now());
            let logs = dir.run_apart(move |dir| {
                // Before a log is made that bears the name of another that is gone: were that left out, a crash could make its records
                // out of those of the old one.
                dir.forget_recovery_points(&for_thread)?;
                Ok(for_thread.iter().map(|name| dir.create(name, topic_id, &settings_for_thread, now)).collect::<Vec<_>>())
            });
            // For lack of room it is tried again every second: told once, and not for each partition each time.
            let failed = |doing: &str, error: &LogError| match error.is_disk_full() && dir.is_full() {
                true => dir.note_failure(doing, error),
                false => dir.fail_unless_full(doing, error),
            };
            let (logs, has_no_room) = match logs {
                Some(Ok(logs)) => (logs, false),
                Some(Err(error)) => {
                    let error: LogError = error;
                    failed("forgetting the recovery points of deleted partitions", &error);
                    (Vec::new(), error.is_disk_full())
                }
                None => (Vec::new(), false),
            };
            let mut logs = logs.into_iter();
            for (name, wanted) in names.into_iter().zip(wanted) {
                match logs.next() {
                    Some(Ok(log)) => made.push(self.serve(name, topic_id, dir, log, wanted, settings)),
                    Some(Err(error)) => {
                        failed("creating a partition", &error);
                        self.note_unmade(dir, name, error.is_disk_full());
                    }
                    None => self.note_unmade(dir, name, has_no_room),
                }
            }
        }
        made
    }

    /// Its log could not be made; where there was no room for it, that is tried again.
    fn note_unmade(&self, dir: &LogDir, name: TopicPartition, has_no_room: bool) {
        if has_no_room {
            self.opening.note_no_room(name);
            dir.maintenance.make_later();
        } else {
            self.opening.note_placeless(name);
        }
    }

    /// Makes the logs for which there was no room, as far as there is now.
    pub(super) fn make_unmade(&self) {
        let _changing = self.changing.lock();
        let Some(followed) = self.followed() else { return };
        for name in self.opening.without_room() {
            let topic = followed.image.topic(name.topic.as_str());
            let wanted = topic.and_then(|topic| Some((topic, topic.partition(name.partition).filter(|p| p.has_replica(self.node))?)));
            let Some((topic, wanted)) = wanted else { continue };
            let settings = self.settings(name.topic.as_str(), &followed.image, &followed.config);
            for made in self.make(topic.id, vec![(name.clone(), wanted)], &settings) {
                self.put_in_place(made);
                self.opening.forget(&name);
            }
        }
    }

    /// The log is there: from now on it is a partition of this broker, as soon as it has its place.
    fn serve(
        &self,
        name: TopicPartition,
        topic_id: TopicId,
        dir: &Arc<LogDir>,
        log: PartitionLog,
        wanted: &PartitionImage,
        settings: &TopicSettings,
    ) -> Arc<Partition> {
        let partition = Arc::new(Partition::new(name, topic_id, self.node, Arc::clone(dir), log, settings));
        dir.add(&partition);
        if partition.has_unsynced_records() {
            // What a crash left was perhaps read from the page cache alone; nobody may see it before it is durable.
            partition.sync_now();
        }
        self.lead(&partition, wanted);
        partition
    }

    fn lead(&self, partition: &Partition, wanted: &PartitionImage) {
        let leadership = Leadership { leader: wanted.leader, epoch: wanted.leader_epoch };
        partition.follow(leadership, i32::try_from(wanted.isr.len()).unwrap_or(i32::MAX));
        let directory = partition.log_dir().id();
        if wanted.directory_of(self.node) != Some(directory) {
            self.choices.lock().push((partition.topic_id(), partition.topic_partition().partition, directory));
            self.chosen.notify_one();
        }
    }

    /// Takes over a log that was being opened, as what the metadata says now.
    pub(super) fn settle(&self, job: OpenJob, opened: Opened, opened_with: &Arc<Followed>, settings: &TopicSettings) {
        let _changing = self.changing.lock();
        let followed = self.followed().unwrap_or_else(|| Arc::clone(opened_with));
        let (dir, name) = (Arc::clone(&job.dir), job.name.clone());
        let is_deleted = self.opening.is_deleted(&name);
        let topic = followed.image.topic(name.topic.as_str());
        let wanted = topic.and_then(|topic| Some((topic, topic.partition(name.partition).filter(|p| p.has_replica(self.node))?)));
        let changed;
        let settings = if Arc::ptr_eq(opened_with, &followed) {
            settings
        } else {
            changed = self.settings(name.topic.as_str(), &followed.image, &followed.config);
            &changed
        };
        let settled = match (opened, wanted) {
            (Opened::Broken, _) if !is_deleted => Ok(false),
            (Opened::Log(log), Some((topic, wanted))) if !is_deleted => {
                self.take_over(&dir, &name, *log, topic, wanted, settings).map(|()| true)
            }
            (opened, _) => {
                let (path, folder_names, for_thread) = (job.path.clone(), Arc::clone(&self.folder_names), name.clone());
                let delay_ms = settings.log.file_delete_delay_ms;
                let disposed = dir.run_apart(move |dir| {
                    let disposed = match opened {
                        Opened::Stranger => folder_names.put_aside(dir, &path, &for_thread),
                        Opened::Log(mut log) => {
                            log.release_files();
                            folder_names.remove_later(dir, &path, &for_thread, delay_ms)
                        }
                        Opened::Broken => folder_names.remove_later(dir, &path, &for_thread, delay_ms),
                    };
                    disposed.and_then(|()| dir.forget_log_starts(|partition| *partition == for_thread))
                });
                disposed.unwrap_or(Ok(())).map(|()| {
                    dir.forget_unopened(&name);
                    if let Some((topic, wanted)) = wanted {
                        for made in self.make(topic.id, vec![(name.clone(), wanted)], settings) {
                            self.put_in_place(made);
                        }
                    }
                    true
                })
            }
        };
        let settled = settled.unwrap_or_else(|error| {
            tracing::error!(partition = %name, "it is not served: {error}");
            dir.note_open_failure(&error);
            false
        });
        self.opening.note_settled(&name, (!settled).then_some(job));
    }

    fn take_over(
        &self,
        dir: &Arc<LogDir>,
        name: &TopicPartition,
        mut log: PartitionLog,
        topic: &TopicImage,
        wanted: &PartitionImage,
        settings: &TopicSettings,
    ) -> Result<(), LogError> {
        if log.topic_id().is_none() {
            log.assign_topic_id(topic.id)?;
        }
        log.update_config(settings.log.clone());
        let partition = self.serve(name.clone(), topic.id, dir, log, wanted, settings);
        // Not before it is among the directory's partitions: whoever writes checkpoints finds it in one of the two.
        dir.forget_unopened(name);
        self.put_in_place(partition);
        Ok(())
    }

    fn put_in_place(&self, partition: Arc<Partition>) {
        let topics = self.topics.load();
        let topic = topics.by_id.get(&partition.topic_id());
        let index = usize::try_from(partition.topic_partition().partition.0);
        if let (Some(topic), Ok(index)) = (topic, index)
            && let Some(place) = topic.places.get(index)
        {
            let _ = place.set(partition);
        }
    }

    /// Where a partition goes that is in no directory yet.
    fn place(&self, wanted: &PartitionImage, coming: impl Fn(&LogDir) -> usize) -> Result<&Arc<LogDir>, NoPlace> {
        let is_start = self.followed.load().is_none();
        let mut online = self.dirs.iter().filter(|dir| !dir.is_offline());
        match wanted.directory_of(self.node).filter(|assigned| *assigned != DirectoryId::UNASSIGNED) {
            // Its data is, or was, in that directory. To begin it anew in another would be to forget it without a word.
            Some(assigned) => online.find(|dir| dir.id() == assigned).ok_or(NoPlace::DirectoryMissing(assigned)),
            // Made before this start, so it has its folder somewhere, unless the broker ended before it could make it.
            None if is_start && (self.lacks_dirs || self.dirs.iter().any(|dir| dir.is_offline())) => Err(NoPlace::Perhaps),
            None => online.min_by_key(|dir| (dir.is_full(), dir.partition_count() + coming(dir))).ok_or(NoPlace::NoneOnline),
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
        for partition in topic.partitions() {
            partition.configure(&settings);
        }
    }

    fn delete_topic(&self, topics: &mut Topics, gone: &TopicImage, before: &MetadataImage, config: &ServerConfig) {
        if topics.by_name.get(&gone.name).is_some_and(|topic| topic.id == gone.id)
            && let Some(topic) = topics.remove(gone.name.as_str())
        {
            self.delete(topic.partitions().cloned().collect());
        }
        let unserved = gone.iter().map(|(id, _)| TopicPartition::new(gone.name.clone(), id)).filter(|name| self.opening.has(name));
        let mut settings = None;
        for name in unserved {
            let settings = settings.get_or_insert_with(|| self.settings(gone.name.as_str(), before, config));
            self.forget_unserved(&name, gone.id, settings);
        }
    }

    /// Deletes what is not served.
    fn forget_unserved(&self, name: &TopicPartition, topic_id: TopicId, settings: &TopicSettings) {
        let Some(job) = self.opening.forget(name) else { return };
        job.dir.forget_unopened(name);
        if job.dir.is_offline() {
            return;
        }
        let (dir, folder_names) = (Arc::clone(&job.dir), Arc::clone(&self.folder_names));
        let (name, delay_ms) = (name.clone(), settings.log.file_delete_delay_ms);
        dir.run_apart(move |dir| {
            let is_stranger = topic_id_of(&**dir.disk(), &job.path).is_some_and(|found| found != topic_id);
            let disposed = match is_stranger {
                true => folder_names.put_aside(dir, &job.path, &name),
                false => folder_names.remove_later(dir, &job.path, &name, delay_ms),
            };
            if let Err(error) = disposed {
                dir.fail_unless_full("deleting a partition", &error);
            }
            if let Err(error) = dir.forget_log_starts(|partition| *partition == name) {
                dir.note_failure("forgetting the log starts of deleted partitions", &error);
            }
        });
    }

    /// Takes partitions out of service and their folders out of the way; the files go later. What the log starts say of them is forgotten
    /// before anything new can bear their names.
    fn delete(&self, gone: Vec<Arc<Partition>>) {
        let mut by_dir: Vec<Vec<Arc<Partition>>> = vec![Vec::new(); self.dirs.len()];
        for partition in gone {
            partition.mark_deleted();
            partition.log_dir().remove(&partition);
            by_dir[partition.log_dir().index()].push(partition);
        }
        for (dir, gone) in self.dirs.iter().zip(by_dir).filter(|(_, gone)| !gone.is_empty()) {
            let folders: Vec<String> =
                gone.iter().map(|partition| self.folder_names.with_suffix(partition.topic_partition(), DELETE_SUFFIX)).collect();
            // Where the directory fails meanwhile, the folders are put aside at the next start.
            dir.run_apart(move |dir| {
                for (partition, folder) in gone.iter().zip(folders) {
                    let folder = dir.path().join(folder);
                    match partition.move_away(&folder) {
                        Ok(delay_ms) => dir.maintenance.remove_later(folder, delay_ms),
                        Err(error) => dir.fail_unless_full("deleting a partition", &error.into()),
                    }
                }
                let names: HashSet<&TopicPartition> = gone.iter().map(|partition| partition.topic_partition()).collect();
                if let Err(error) = dir.forget_log_starts(|partition| names.contains(partition)) {
                    dir.note_failure("forgetting the log starts of deleted partitions", &error);
                }
            });
        }
    }

    /// Syncs and closes everything, and notes in each directory that it was left in order. To be called once nobody appends any more.
    pub fn close(&self, broker_epoch: BrokerEpoch) {
        self.opening.stop();
        self.scrubber.stop();
        self.cleaner.stop();
        self.maintenance.stop();
        for mut syncer in std::mem::take(&mut *self.syncers.lock()) {
            syncer.stop();
        }
        close_dirs(&self.dirs, broker_epoch);
    }

    /// What its clock shows.
    pub fn now(&self) -> TimestampMs {
        self.clock.now()
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
