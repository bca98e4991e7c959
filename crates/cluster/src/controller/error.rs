//! Why a command is refused. The broker maps each to Kafka's error code.

use ottla_model::config::ConfigError;
use ottla_model::{BrokerEpoch, ClusterId, InvalidTopicName, NodeId, PartitionId, TopicId, TopicName};

use crate::metadata::ApplyError;

/// Why a command, or one part of it, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    /// Not a topic name.
    #[error(transparent)]
    InvalidTopicName(#[from] InvalidTopicName),
    /// Alike another topic but for `.` and `_`.
    #[error("topic `{name}` collides with the existing topic `{existing}`: `.` and `_` count as the same")]
    TopicCollision {
        /// The new one.
        name: TopicName,
        /// The one that is there.
        existing: TopicName,
    },
    /// There already.
    #[error("topic `{name}` already exists")]
    TopicExists {
        /// Its name.
        name: TopicName,
    },
    /// Kafka's name for the metadata log.
    #[error("topic `{name}` is the metadata log's own and cannot be created")]
    ReservedTopic {
        /// Its name.
        name: TopicName,
    },
    /// Not there.
    #[error("there is no topic `{name}`")]
    UnknownTopic {
        /// As it was named.
        name: String,
    },
    /// Not there.
    #[error("there is no topic with the id {id}")]
    UnknownTopicId {
        /// The id.
        id: TopicId,
    },
    /// No such partition.
    #[error("topic {topic_id} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic_id: TopicId,
        /// The partition.
        partition: PartitionId,
    },
    /// Twice in one request.
    #[error("`{what}` is named twice in one request")]
    NamedTwice {
        /// The topic or resource.
        what: String,
    },
    /// `delete.topic.enable=false`.
    #[error("topics cannot be deleted: delete.topic.enable is false")]
    TopicDeletionDisabled,
    /// Not a count of partitions.
    #[error("a topic cannot have {count} partitions: give at least 1, or -1 for the default")]
    InvalidPartitions {
        /// What was asked.
        count: i32,
    },
    /// Fewer partitions, or as many as there are.
    #[error("topic `{topic}` has {current} partitions; {asked} would be no increase, and partitions cannot be taken away")]
    NoIncrease {
        /// The topic.
        topic: TopicName,
        /// How many it has.
        current: i32,
        /// How many were asked.
        asked: i32,
    },
    /// More partitions in one request than [`super::PARTITIONS_PER_REQUEST_MAX`].
    #[error("{asked} partitions in one request are more than {max}; ask for them in several")]
    TooManyPartitions {
        /// How many were asked.
        asked: u64,
        /// The limit.
        max: u64,
    },
    /// Not a replication factor.
    #[error("the replication factor cannot be {factor}: give at least 1, or -1 for the default")]
    InvalidReplicationFactor {
        /// What was asked.
        factor: i16,
    },
    /// More replicas than brokers.
    #[error("replication factor {factor} is larger than the number of brokers, {brokers}: no broker may hold a partition twice")]
    ReplicationBeyondBrokers {
        /// What was asked.
        factor: i16,
        /// How many are registered.
        brokers: usize,
    },
    /// No broker can lead.
    #[error("all {brokers} registered brokers are fenced: wait until one is up")]
    AllBrokersFenced {
        /// How many are registered.
        brokers: usize,
    },
    /// A manual assignment that cannot be.
    #[error("the assignment of partition {partition} to brokers {replicas:?} {what}")]
    InvalidAssignment {
        /// The partition.
        partition: PartitionId,
        /// As given.
        replicas: Vec<i32>,
        /// What is wrong.
        what: String,
    },
    /// Partition ids of a manual assignment with a gap.
    #[error("the partitions of a manual assignment must be numbered from 0 without a gap; {missing} is missing")]
    AssignmentGap {
        /// The first that is not there.
        missing: PartitionId,
    },
    /// As many assignments as new partitions are needed.
    #[error("{added} partitions are added to topic `{topic}`, but {assignments} assignments given")]
    AssignmentCount {
        /// The topic.
        topic: TopicName,
        /// New partitions.
        added: i32,
        /// Given assignments.
        assignments: usize,
    },
    /// A config that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No such broker.
    #[error("broker {broker_id} is not registered")]
    UnknownBroker {
        /// The broker.
        broker_id: NodeId,
    },
    /// Another incarnation than the one registered.
    #[error("broker {broker_id} shows epoch {shown}, but {registered} is registered")]
    StaleBrokerEpoch {
        /// The broker.
        broker_id: NodeId,
        /// What it showed.
        shown: BrokerEpoch,
        /// What is registered.
        registered: BrokerEpoch,
    },
    /// Formatted for another cluster.
    #[error("broker {broker_id} belongs to cluster {shown}, but this is cluster {own}")]
    OtherCluster {
        /// The broker.
        broker_id: NodeId,
        /// Its cluster.
        shown: ClusterId,
        /// This cluster.
        own: ClusterId,
    },
    /// A broker that cannot work at the finalized level of a feature.
    #[error("broker {broker_id} does not support {feature} at level {level}, at which this cluster is finalized")]
    UnsupportedFeature {
        /// The broker.
        broker_id: NodeId,
        /// The feature.
        feature: String,
        /// Its level.
        level: i16,
    },
    /// A log dir that is not the broker's.
    #[error("broker {broker_id} holds no replica there, or has no such log dir")]
    UnknownReplica {
        /// The broker.
        broker_id: NodeId,
    },
    /// Format on a log that has records.
    #[error("the metadata log is formatted already, for cluster {cluster_id}")]
    AlreadyFormatted {
        /// Its cluster.
        cluster_id: ClusterId,
    },
    /// 2^63 producer ids were given out.
    #[error("there are no more producer ids")]
    ProducerIdsExhausted,
    /// A defect: the controller wrote a record that does not fit.
    #[error("the controller computed a record that does not fit its own image: {0}")]
    Internal(#[from] ApplyError),

    /// This node does not lead the metadata quorum.
    #[error("this node is not the active controller")]
    NotController,
    /// The metadata log has no room for the change. Nothing has changed, and it can be asked for again once there is room.
    #[error("nothing was changed, as the disk of the metadata log is full: {reason}")]
    NoRoom {
        /// What was refused.
        reason: String,
    },
    /// The controller stopped before the command was done; whether it took effect is not known.
    #[error("the controller has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}
