//! The metadata as it stands after some record of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{HashMap, OrdMap};
use ottla_model::config::Overrides;
use ottla_model::{
    BrokerEpoch, ClusterId, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId, TopicId, TopicName, Uuid,
};
use serde::{Deserialize, Serialize};

use super::record::{
    BrokerEndpoint, ConfigResource, MetadataRecord, PartitionChange, PartitionRecord, RegisterBrokerRecord, SupportedLevels,
};

/// A place in the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MetadataPosition {
    /// The term of the controller that wrote the entry.
    pub term: u64,
    /// The entry's place in the log.
    pub index: u64,
}

/// One replica set with its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    /// The brokers that are to hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The log dir of each replica, in the order of `replicas`.
    pub directories: Vec<DirectoryId>,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Vec<NodeId>,
    /// Replicas that a reassignment removes.
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    pub adding_replicas: Vec<NodeId>,
    /// Its leader, or [`NodeId::NONE`].
    pub leader: NodeId,
    /// Raised at each change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Raised at each change.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionImage {
    /// Whether this broker holds a replica.
    pub fn has_replica(&self, broker: NodeId) -> bool {
        self.replicas.contains(&broker)
    }

    /// The log dir of this broker's replica.
    pub fn directory_of(&self, broker: NodeId) -> Option<DirectoryId> {
        self.replicas.iter().zip(&self.directories).find(|(replica, _)| **replica == broker).map(|(_, directory)| *directory)
    }

    /// Whether replicas are on the move.
    pub fn is_reassigning(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }
}

/// A topic with its partitions, the index of each its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub name: TopicName,
    /// Its id; another topic of the same name has another.
    pub id: TopicId,
    /// Its partitions, from 0 without a gap.
    pub partitions: Vec<PartitionImage>,
}

impl TopicImage {
    /// The partition of this id.
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionImage> {
        usize::try_from(id.get()).ok().and_then(|index| self.partitions.get(index))
    }

    /// All partitions with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, &PartitionImage)> {
        (0..).map(PartitionId).zip(&self.partitions)
    }
}

/// What became of a topic from one image to another; one of the two is there at least.
#[derive(Clone, Copy, Debug)]
pub struct TopicChange<'a> {
    /// As it was.
    pub before: Option<&'a Arc<TopicImage>>,
    /// As it is.
    pub after: Option<&'a Arc<TopicImage>>,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Its `node.id`.
    pub id: NodeId,
    /// Given by the controller, higher at each registration.
    pub epoch: BrokerEpoch,
    /// Drawn anew by each process that runs as this broker.
    pub incarnation_id: Uuid,
    /// Its advertised listeners.
    pub end_points: Vec<BrokerEndpoint>,
    /// What it supports.
    pub features: BTreeMap<String, SupportedLevels>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Whether it may not lead.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// The ids of its log dirs.
    pub log_dirs: Vec<DirectoryId>,
}

impl BrokerImage {
    /// Whether it may lead and be in an ISR.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether it can use this directory (KIP-858). One that nobody has told of is not known to have failed; nor is any of a broker that
    /// names none.
    pub fn has_online_dir(&self, directory: DirectoryId) -> bool {
        directory == DirectoryId::UNASSIGNED || self.log_dirs.is_empty() || self.log_dirs.contains(&directory)
    }

    /// Whether it can use the directory of the replica that it holds of this partition.
    pub fn has_replica_online(&self, partition: &PartitionImage) -> bool {
        partition.directory_of(self.id).is_none_or(|directory| self.has_online_dir(directory))
    }

    /// Where it is reached by the listener of this name.
    pub fn end_point(&self, listener: &str) -> Option<&BrokerEndpoint> {
        self.end_points.iter().find(|end_point| end_point.name == listener)
    }
}

/// A record that does not fit the image it is applied to. The log was written by this code on an image that had it fit, so this
/// is damage or a defect, and a node that meets it must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Of a topic that is not there.
    #[error("the metadata log has a record of topic {topic_id}, which does not exist")]
    UnknownTopic {
        /// The id.
        topic_id: TopicId,
    },
    /// Of a topic that is there already.
    #[error("the metadata log creates topic {name} ({topic_id}), which exists")]
    TopicExists {
        /// The name.
        name: TopicName,
        /// The id.
        topic_id: TopicId,
    },
    /// Of a partition that is not there, or that is not the next.
    #[error("the metadata log has a record of partition {partition_id} of topic {topic_id}, which has {partitions}")]
    PartitionOutOfPlace {
        /// The topic.
        topic_id: TopicId,
        /// The partition.
        partition_id: PartitionId,
        /// How many there are.
        partitions: usize,
    },
    /// Of a broker that is not there, or another incarnation of it.
    #[error("the metadata log has a record of broker {broker_id} with epoch {broker_epoch}, which is not registered")]
    UnknownBroker {
        /// The broker.
        broker_id: NodeId,
        /// The incarnation.
        broker_epoch: BrokerEpoch,
    },
}

/// All metadata. Cheap to clone: copies share what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataImage {
    position: Option<MetadataPosition>,
    cluster_id: ClusterId,
    features: OrdMap<String, i16>,
    brokers: OrdMap<NodeId, Arc<BrokerImage>>,
    topics: OrdMap<TopicName, Arc<TopicImage>>,
    names: HashMap<TopicId, TopicName>,
    /// Names with `.` or `_` by what they have in common with others that differ in those only.
    collisions: HashMap<String, TopicName>,
    topic_configs: OrdMap<TopicName, Arc<Overrides>>,
    broker_configs: OrdMap<NodeId, Arc<Overrides>>,
    default_broker_config: Arc<Overrides>,
    producer_id_next: ProducerId,
}

impl Default for MetadataImage {
    fn default() -> MetadataImage {
        MetadataImage {
            position: None,
            cluster_id: ClusterId(String::new()),
            features: OrdMap::new(),
            brokers: OrdMap::new(),
            topics: OrdMap::new(),
            names: HashMap::new(),
            collisions: HashMap::new(),
            topic_configs: OrdMap::new(),
            broker_configs: OrdMap::new(),
            default_broker_config: Arc::default(),
            producer_id_next: ProducerId(0),
        }
    }
}

impl MetadataImage {
    /// The last entry applied; `None` before the first.
    pub fn position(&self) -> Option<MetadataPosition> {
        self.position
    }

    /// The id of the cluster; an empty text before the first record.
    pub fn cluster_id(&self) -> &ClusterId {
        &self.cluster_id
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    /// The topic of this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.names.get(&id).and_then(|name| self.topics.get(name))
    }

    /// All topics in the order of their names.
    pub fn topics(&self) -> impl DoubleEndedIterator<Item = &Arc<TopicImage>> {
        self.topics.values()
    }

    /// The topics whose names are `first` or come after it, in order.
    pub fn topics_from<'a>(&'a self, first: &'a str) -> impl Iterator<Item = &'a Arc<TopicImage>> {
        self.topics.range::<_, str>((std::ops::Bound::Included(first), std::ops::Bound::Unbounded)).map(|(_, topic)| topic)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// The topic that has this partition.
    pub fn partition(&self, topic: &str, partition: PartitionId) -> Option<&PartitionImage> {
        self.topic(topic)?.partition(partition)
    }

    /// A topic whose name differs from this one in `.` and `_` only.
    pub fn colliding_topic(&self, name: &TopicName) -> Option<&TopicName> {
        self.collisions.get(&name.collision_key()).filter(|other| *other != name)
    }

    /// All registered brokers in the order of their ids.
    pub fn brokers(&self) -> impl DoubleEndedIterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// The broker of this id.
    pub fn broker(&self, id: NodeId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// How many brokers are registered.
    pub fn broker_count(&self) -> usize {
        self.brokers.len()
    }

    /// Which broker Metadata names as the controller: clients send to it what a controller does, and any broker passes that on
    /// (KIP-590). The first that is not fenced; [`NodeId::NONE`] without one.
    pub fn controller(&self) -> NodeId {
        self.brokers.values().find(|broker| !broker.fenced).map_or(NodeId::NONE, |broker| broker.id)
    }

    /// What is set for a topic.
    pub fn topic_config(&self, name: &str) -> Arc<Overrides> {
        self.topic_configs.get(name).cloned().unwrap_or_default()
    }

    /// What is set for one broker.
    pub fn broker_config(&self, id: NodeId) -> Arc<Overrides> {
        self.broker_configs.get(&id).cloned().unwrap_or_default()
    }

    /// What is set for all brokers.
    pub fn default_broker_config(&self) -> Arc<Overrides> {
        Arc::clone(&self.default_broker_config)
    }

    /// What is set for a resource.
    pub fn config(&self, resource: &ConfigResource) -> Arc<Overrides> {
        match resource {
            ConfigResource::Topic(name) => self.topic_config(name.as_str()),
            ConfigResource::Broker(id) => self.broker_config(*id),
            ConfigResource::DefaultBroker => self.default_broker_config(),
        }
    }

    /// The finalized level of each feature.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// The first producer id given to no broker yet.
    pub fn producer_id_next(&self) -> ProducerId {
        self.producer_id_next
    }

    /// The topics that differ between `before` and this image: gone, new, or with other partitions. What both share is not visited.
    pub fn topic_changes<'a>(&'a self, before: &'a MetadataImage) -> impl Iterator<Item = TopicChange<'a>> {
        before.topics.diff(&self.topics).map(|item| match item {
            DiffItem::Add(_, after) => TopicChange { before: None, after: Some(after) },
            DiffItem::Update { old: (_, before), new: (_, after) } => TopicChange { before: Some(before), after: Some(after) },
            DiffItem::Remove(_, before) => TopicChange { before: Some(before), after: None },
        })
    }

    /// The topics whose own configs differ between `before` and this image.
    pub fn topic_config_changes<'a>(&'a self, before: &'a MetadataImage) -> impl Iterator<Item = &'a TopicName> {
        before.topic_configs.diff(&self.topic_configs).map(|item| match item {
            DiffItem::Add(name, _) | DiffItem::Remove(name, _) | DiffItem::Update { new: (name, _), .. } => name,
        })
    }

    /// Applies one record: the only way an image changes.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        match record {
            MetadataRecord::Cluster { id } => self.cluster_id = id.clone(),
            MetadataRecord::FeatureLevel { name, level: 0 } => {
                self.features.remove(name);
            }
            MetadataRecord::FeatureLevel { name, level } => {
                self.features.insert(name.clone(), *level);
            }
            MetadataRecord::RegisterBroker(registration) => {
                self.brokers.insert(registration.broker_id, Arc::new(registration.into()));
            }
            MetadataRecord::UnregisterBroker { broker_id, broker_epoch } => {
                self.registered(*broker_id, *broker_epoch)?;
                self.brokers.remove(broker_id);
                self.broker_configs.remove(broker_id);
            }
            MetadataRecord::BrokerRegistrationChange { broker_id, broker_epoch, fenced, in_controlled_shutdown, log_dirs } => {
                let broker = self.registered(*broker_id, *broker_epoch)?;
                broker.fenced = fenced.unwrap_or(broker.fenced);
                broker.in_controlled_shutdown = in_controlled_shutdown.unwrap_or(broker.in_controlled_shutdown);
                if let Some(log_dirs) = log_dirs {
                    broker.log_dirs.clone_from(log_dirs);
                }
            }
            MetadataRecord::Topic { name, topic_id } => self.add_topic(name, *topic_id)?,
            MetadataRecord::Partition(partition) => self.add_partition(partition)?,
            MetadataRecord::PartitionChange(change) => self.change_partition(change)?,
            MetadataRecord::RemoveTopic { topic_id } => self.remove_topic(*topic_id)?,
            MetadataRecord::Config { resource, name, value } => self.set_config(resource, name, value.as_deref()),
            MetadataRecord::ProducerIds { next_producer_id, .. } => self.producer_id_next = *next_producer_id,
        }
        Ok(())
    }

    /// Applies the records of one entry of the log, and takes its place in it for its own.
    pub fn apply_entry(&mut self, position: MetadataPosition, records: &[MetadataRecord]) -> Result<(), ApplyError> {
        for record in records {
            self.apply(record)?;
        }
        self.position = Some(position);
        Ok(())
    }

    /// The records that make this image from an empty one: its snapshot.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = vec![MetadataRecord::Cluster { id: self.cluster_id.clone() }];
        records.extend(self.features.iter().map(|(name, level)| MetadataRecord::FeatureLevel { name: name.clone(), level: *level }));
        records.extend(self.brokers.values().map(|broker| MetadataRecord::RegisterBroker(broker.as_ref().into())));
        for topic in self.topics.values() {
            records.push(MetadataRecord::Topic { name: topic.name.clone(), topic_id: topic.id });
            records.extend(topic.iter().map(|(id, partition)| MetadataRecord::Partition(partition.to_record(topic.id, id))));
        }
        let of_topics = self.topic_configs.iter().map(|(name, configs)| (ConfigResource::Topic(name.clone()), configs));
        let of_brokers = self.broker_configs.iter().map(|(id, configs)| (ConfigResource::Broker(*id), configs));
        let of_all = std::iter::once((ConfigResource::DefaultBroker, &self.default_broker_config));
        for (resource, configs) in of_topics.chain(of_brokers).chain(of_all) {
            records.extend(configs.iter().map(|(name, value)| MetadataRecord::Config {
                resource: resource.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
        if self.producer_id_next != ProducerId(0) {
            records.push(MetadataRecord::ProducerIds {
                broker_id: NodeId::NONE,
                broker_epoch: BrokerEpoch(-1),
                next_producer_id: self.producer_id_next,
            });
        }
        records
    }

    /// The image a snapshot was made from.
    pub fn from_records(position: Option<MetadataPosition>, records: &[MetadataRecord]) -> Result<MetadataImage, ApplyError> {
        let mut image = MetadataImage::default();
        for record in records {
            image.apply(record)?;
        }
        image.position = position;
        Ok(image)
    }

    fn registered(&mut self, broker_id: NodeId, broker_epoch: BrokerEpoch) -> Result<&mut BrokerImage, ApplyError> {
        match self.brokers.get_mut(&broker_id) {
            Some(broker) if broker.epoch == broker_epoch => Ok(Arc::make_mut(broker)),
            _ => Err(ApplyError::UnknownBroker { broker_id, broker_epoch }),
        }
    }

    fn add_topic(&mut self, name: &TopicName, topic_id: TopicId) -> Result<(), ApplyError> {
        if self.topics.contains_key(name) || self.names.contains_key(&topic_id) {
            return Err(ApplyError::TopicExists { name: name.clone(), topic_id });
        }
        self.topics.insert(name.clone(), Arc::new(TopicImage { name: name.clone(), id: topic_id, partitions: Vec::new() }));
        self.names.insert(topic_id, name.clone());
        if can_collide(name) {
            self.collisions.insert(name.collision_key(), name.clone());
        }
        Ok(())
    }

    fn remove_topic(&mut self, topic_id: TopicId) -> Result<(), ApplyError> {
        let name = self.names.remove(&topic_id).ok_or(ApplyError::UnknownTopic { topic_id })?;
        self.topics.remove(&name);
        self.topic_configs.remove(&name);
        if can_collide(&name) {
            self.collisions.remove(&name.collision_key());
        }
        Ok(())
    }

    fn topic_mut(&mut self, topic_id: TopicId) -> Result<&mut TopicImage, ApplyError> {
        let topic = self.names.get(&topic_id).and_then(|name| self.topics.get_mut(name));
        topic.map(Arc::make_mut).ok_or(ApplyError::UnknownTopic { topic_id })
    }

    fn add_partition(&mut self, record: &PartitionRecord) -> Result<(), ApplyError> {
        let topic = self.topic_mut(record.topic_id)?;
        let partitions = topic.partitions.len();
        if usize::try_from(record.partition_id.get()) != Ok(partitions) {
            return Err(ApplyError::PartitionOutOfPlace { topic_id: record.topic_id, partition_id: record.partition_id, partitions });
        }
        topic.partitions.push(record.into());
        Ok(())
    }

    fn change_partition(&mut self, change: &PartitionChange) -> Result<(), ApplyError> {
        let topic = self.topic_mut(change.topic_id)?;
        let partitions = topic.partitions.len();
        let partition = usize::try_from(change.partition_id.get()).ok().and_then(|index| topic.partitions.get_mut(index));
        let partition = partition.ok_or(ApplyError::PartitionOutOfPlace {
            topic_id: change.topic_id,
            partition_id: change.partition_id,
            partitions,
        })?;
        replace(&mut partition.isr, &change.isr);
        replace(&mut partition.elr, &change.elr);
        replace(&mut partition.replicas, &change.replicas);
        replace(&mut partition.directories, &change.directories);
        replace(&mut partition.removing_replicas, &change.removing_replicas);
        replace(&mut partition.adding_replicas, &change.adding_replicas);
        if let Some(leader) = change.leader {
            partition.leader = leader;
            partition.leader_epoch = LeaderEpoch(partition.leader_epoch.get() + 1);
        }
        partition.partition_epoch = PartitionEpoch(partition.partition_epoch.get() + 1);
        Ok(())
    }

    fn set_config(&mut self, resource: &ConfigResource, name: &str, value: Option<&str>) {
        let mut overrides = self.config(resource);
        let edited = Arc::make_mut(&mut overrides);
        match value {
            Some(value) => edited.insert(name.to_owned(), value.to_owned()),
            None => edited.remove(name),
        };
        let empty = overrides.is_empty();
        match resource {
            ConfigResource::Topic(topic) if empty => drop(self.topic_configs.remove(topic)),
            ConfigResource::Topic(topic) => drop(self.topic_configs.insert(topic.clone(), overrides)),
            ConfigResource::Broker(id) if empty => drop(self.broker_configs.remove(id)),
            ConfigResource::Broker(id) => drop(self.broker_configs.insert(*id, overrides)),
            ConfigResource::DefaultBroker => self.default_broker_config = overrides,
        }
    }

    pub(super) fn topics_by_id(&self) -> &HashMap<TopicId, TopicName> {
        &self.names
    }

    pub(super) fn topics_with_configs(&self) -> impl Iterator<Item = &TopicName> {
        self.topic_configs.keys()
    }
}

fn can_collide(name: &TopicName) -> bool {
    name.as_str().contains(['.', '_'])
}

fn replace<T: Clone>(field: &mut Vec<T>, with: &Option<Vec<T>>) {
    if let Some(with) = with {
        field.clone_from(with);
    }
}

impl PartitionImage {
    fn to_record(&self, topic_id: TopicId, partition_id: PartitionId) -> PartitionRecord {
        PartitionRecord {
            topic_id,
            partition_id,
            replicas: self.replicas.clone(),
            directories: self.directories.clone(),
            isr: self.isr.clone(),
            elr: self.elr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
        }
    }
}

impl From<&PartitionRecord> for PartitionImage {
    fn from(record: &PartitionRecord) -> PartitionImage {
        PartitionImage {
            replicas: record.replicas.clone(),
            directories: record.directories.clone(),
            isr: record.isr.clone(),
            elr: record.elr.clone(),
            removing_replicas: record.removing_replicas.clone(),
            adding_replicas: record.adding_replicas.clone(),
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        }
    }
}

impl From<&RegisterBrokerRecord> for BrokerImage {
    fn from(record: &RegisterBrokerRecord) -> BrokerImage {
        BrokerImage {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            end_points: record.end_points.clone(),
            features: record.features.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.clone(),
        }
    }
}

impl From<&BrokerImage> for RegisterBrokerRecord {
    fn from(broker: &BrokerImage) -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: broker.id,
            incarnation_id: broker.incarnation_id,
            broker_epoch: broker.epoch,
            end_points: broker.end_points.clone(),
            features: broker.features.clone(),
            rack: broker.rack.clone(),
            fenced: broker.fenced,
            in_controlled_shutdown: broker.in_controlled_shutdown,
            log_dirs: broker.log_dirs.clone(),
        }
    }
}
