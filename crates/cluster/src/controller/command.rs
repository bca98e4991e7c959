//! What a controller can be asked, and what it answers.

use std::collections::BTreeMap;

use ottla_model::config::{ConfigAlteration, Overrides};
use ottla_model::{BrokerEpoch, ClusterId, DirectoryId, NodeId, PartitionId, ProducerId, TopicId, TopicName, Uuid};

use super::ControllerError;
use crate::metadata::{BrokerEndpoint, ConfigResource, SupportedLevels};

/// One request to the controller.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make a cluster of an empty log.
    Format(Format),
    /// A broker's process is up.
    RegisterBroker(RegisterBroker),
    /// A broker is ready, or stops, or was lost.
    ChangeBroker(ChangeBroker),
    /// A broker is gone for good.
    UnregisterBroker {
        /// Which.
        broker_id: NodeId,
    },
    /// A broker chose log dirs for its replicas (KIP-858).
    AssignReplicasToDirs(AssignReplicasToDirs),
    /// Create topics.
    CreateTopics(CreateTopics),
    /// Delete topics.
    DeleteTopics(DeleteTopics),
    /// Raise the number of partitions.
    CreatePartitions(CreatePartitions),
    /// Change configs.
    AlterConfigs(AlterConfigs),
    /// Give a broker producer ids of its own.
    AllocateProducerIds {
        /// To which.
        broker_id: NodeId,
        /// Its incarnation.
        broker_epoch: BrokerEpoch,
    },
}

impl Command {
    /// Whether the command is only to be tried.
    pub fn validate_only(&self) -> bool {
        match self {
            Command::CreateTopics(command) => command.validate_only,
            Command::CreatePartitions(command) => command.validate_only,
            Command::AlterConfigs(command) => command.validate_only,
            Command::Format(_)
            | Command::RegisterBroker(_)
            | Command::ChangeBroker(_)
            | Command::UnregisterBroker { .. }
            | Command::AssignReplicasToDirs(_)
            | Command::DeleteTopics(_)
            | Command::AllocateProducerIds { .. } => false,
        }
    }
}

/// The answer to a [`Command`] of the like name. Where a command names several things, the answer has one result for each, in
/// the order of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Command::Format`].
    Formatted,
    /// To [`Command::RegisterBroker`].
    BrokerRegistered(BrokerRegistered),
    /// To [`Command::ChangeBroker`].
    BrokerChanged(BrokerState),
    /// To [`Command::UnregisterBroker`].
    BrokerUnregistered,
    /// To [`Command::AssignReplicasToDirs`].
    ReplicasAssigned(Vec<Result<(), ControllerError>>),
    /// To [`Command::CreateTopics`].
    TopicsCreated(Vec<Result<CreatedTopic, ControllerError>>),
    /// To [`Command::DeleteTopics`]: name and id of each.
    TopicsDeleted(Vec<Result<(TopicName, TopicId), ControllerError>>),
    /// To [`Command::CreatePartitions`].
    PartitionsCreated(Vec<Result<(), ControllerError>>),
    /// To [`Command::AlterConfigs`].
    ConfigsAltered(Vec<Result<(), ControllerError>>),
    /// To [`Command::AllocateProducerIds`].
    ProducerIds(ProducerIdBlock),
}

/// The first records of a cluster.
#[derive(Clone, Debug)]
pub struct Format {
    /// Its id.
    pub cluster_id: ClusterId,
}

/// A broker registers (BrokerRegistration, KIP-631).
#[derive(Clone, Debug)]
pub struct RegisterBroker {
    /// Its `node.id`.
    pub broker_id: NodeId,
    /// The cluster it was formatted for.
    pub cluster_id: ClusterId,
    /// Drawn anew by each process.
    pub incarnation_id: Uuid,
    /// Its advertised listeners, each with a host and a port that clients can reach.
    pub end_points: Vec<BrokerEndpoint>,
    /// What it supports.
    pub features: BTreeMap<String, SupportedLevels>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The ids of its log dirs that work.
    pub log_dirs: Vec<DirectoryId>,
    /// Whether it can serve at once, as a broker does that has the whole metadata and has found its logs: it then becomes the
    /// leader of what it may lead, each with a new leader epoch. Else it is fenced until a [`ChangeBroker`] says otherwise.
    pub ready: bool,
}

/// What a registration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerRegistered {
    /// The epoch that this incarnation shows from now on.
    pub broker_epoch: BrokerEpoch,
}

/// A broker's state changes (BrokerHeartbeat, KIP-631).
#[derive(Clone, Debug)]
pub struct ChangeBroker {
    /// Which.
    pub broker_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// Fence or unfence; `None`: as it is.
    pub fenced: Option<bool>,
    /// Begin or end a controlled shutdown; `None`: as it is.
    pub in_controlled_shutdown: Option<bool>,
    /// Log dirs that have failed since it registered (KIP-858).
    pub offline_dirs: Vec<DirectoryId>,
}

/// A broker's state after a [`ChangeBroker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerState {
    /// Whether it may not lead.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// Whether it still leads a partition: while it does, it should not stop.
    pub leads: bool,
}

/// A broker's choice of log dirs.
#[derive(Clone, Debug)]
pub struct AssignReplicasToDirs {
    /// Which broker.
    pub broker_id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// Each replica with its log dir.
    pub assignments: Vec<(TopicId, PartitionId, DirectoryId)>,
}

/// Topics to create.
#[derive(Clone, Debug, Default)]
pub struct CreateTopics {
    /// Each topic. Names are checked here; one that comes twice is refused both times.
    pub topics: Vec<NewTopic>,
    /// Only try.
    pub validate_only: bool,
}

/// One topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// As the client gave it.
    pub name: String,
    /// How its partitions lie.
    pub placement: TopicPlacement,
    /// Its configs.
    pub configs: Overrides,
}

/// Where a topic's partitions shall lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicPlacement {
    /// The controller chooses. As in a request, -1 stands for the broker's default.
    Counts {
        /// How many partitions.
        partitions: i32,
        /// How many replicas each.
        replication_factor: i16,
    },
    /// The client chose: brokers by partition.
    Manual(Vec<(PartitionId, Vec<NodeId>)>),
}

/// A topic that was created (or would have been, under `validate_only`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id; [`TopicId::ZERO`] under `validate_only`.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas its first partition has.
    pub replication_factor: i16,
    /// What was set for it.
    pub configs: Overrides,
}

/// Topics to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteTopics {
    /// Each topic. One that comes twice is refused both times.
    pub topics: Vec<TopicRef>,
}

/// A topic by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// By name, as the client gave it.
    Name(String),
    /// By id (KIP-516).
    Id(TopicId),
}

/// Partitions to add.
#[derive(Clone, Debug, Default)]
pub struct CreatePartitions {
    /// Each topic. One that comes twice is refused both times.
    pub topics: Vec<NewPartitions>,
    /// Only try.
    pub validate_only: bool,
}

/// One topic's partitions to add.
#[derive(Clone, Debug)]
pub struct NewPartitions {
    /// The topic.
    pub topic: String,
    /// How many partitions it shall have in all.
    pub count: i32,
    /// Brokers of each new partition; `None`: the controller chooses.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// Configs to change (IncrementalAlterConfigs, KIP-339).
#[derive(Clone, Debug, Default)]
pub struct AlterConfigs {
    /// Each resource. One that comes twice is refused both times.
    pub resources: Vec<ConfigResourceAlteration>,
    /// Only try.
    pub validate_only: bool,
}

/// One resource's configs to change: all of them or none.
#[derive(Clone, Debug)]
pub struct ConfigResourceAlteration {
    /// The resource.
    pub resource: ConfigResource,
    /// The changes.
    pub alterations: Vec<ConfigAlteration>,
}

/// Producer ids that are a broker's own to give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub len: i32,
}
