//! The records of the metadata log, with Kafka's names and fields (`RegisterBrokerRecord.json` and its like).
//!
//! They are stored as maps from field name to value. A field is only ever added, with a default, and never changes its meaning:
//! a node of the next version reads what this one wrote.

use std::collections::BTreeMap;

use ottla_model::{
    BrokerEpoch, ClusterId, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId, TopicId, TopicName, Uuid,
};
use serde::{Deserialize, Serialize};

/// One change of the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// The cluster got its id. The first record of every log; Kafka keeps it in `meta.properties` alone.
    Cluster {
        /// The id.
        id: ClusterId,
    },
    /// A feature was finalized at a level; 0 takes it away.
    FeatureLevel {
        /// The feature.
        name: String,
        /// The level.
        level: i16,
    },
    /// A broker registered; it replaces any earlier registration of the same id.
    RegisterBroker(RegisterBrokerRecord),
    /// A broker was removed for good.
    UnregisterBroker {
        /// Which.
        broker_id: NodeId,
        /// Its incarnation.
        broker_epoch: BrokerEpoch,
    },
    /// A registered broker was fenced or unfenced, began its controlled shutdown, or changed its log dirs.
    BrokerRegistrationChange {
        /// Which.
        broker_id: NodeId,
        /// Its incarnation.
        broker_epoch: BrokerEpoch,
        /// `None`: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fenced: Option<bool>,
        /// `None`: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_controlled_shutdown: Option<bool>,
        /// `None`: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_dirs: Option<Vec<DirectoryId>>,
    },
    /// A topic was created.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its id.
        topic_id: TopicId,
    },
    /// A partition was created.
    Partition(PartitionRecord),
    /// A partition's replicas, ISR or leader changed.
    PartitionChange(PartitionChange),
    /// A topic was deleted, with its partitions and configs.
    RemoveTopic {
        /// Which.
        topic_id: TopicId,
    },
    /// A config was set, or returned to its default.
    Config {
        /// Of what.
        resource: ConfigResource,
        /// The config.
        name: String,
        /// `None`: the override is removed.
        value: Option<String>,
    },
    /// A block of producer ids was given to a broker.
    ProducerIds {
        /// To which.
        broker_id: NodeId,
        /// Its incarnation.
        broker_epoch: BrokerEpoch,
        /// The first id not given to anyone yet.
        next_producer_id: ProducerId,
    },
}

/// Where a broker is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerEndpoint {
    /// Name of the listener.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Kafka's number of the security protocol (0: PLAINTEXT).
    pub security_protocol: i16,
}

/// The levels of a feature that a broker supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupportedLevels {
    /// Lowest.
    pub min: i16,
    /// Highest.
    pub max: i16,
}

/// A broker's registration (KIP-631).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBrokerRecord {
    /// Its `node.id`.
    pub broker_id: NodeId,
    /// Drawn anew by each process that runs as this broker.
    pub incarnation_id: Uuid,
    /// Given by the controller, higher at each registration.
    pub broker_epoch: BrokerEpoch,
    /// Its advertised listeners.
    pub end_points: Vec<BrokerEndpoint>,
    /// What it supports.
    #[serde(default)]
    pub features: BTreeMap<String, SupportedLevels>,
    /// `broker.rack`.
    #[serde(default)]
    pub rack: Option<String>,
    /// Whether it may not lead yet.
    pub fenced: bool,
    /// Whether it is about to stop.
    #[serde(default)]
    pub in_controlled_shutdown: bool,
    /// The ids of its log dirs (KIP-858).
    #[serde(default)]
    pub log_dirs: Vec<DirectoryId>,
}

/// A new partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Of which topic.
    pub topic_id: TopicId,
    /// Its index.
    pub partition_id: PartitionId,
    /// The brokers that are to hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The log dir of each replica.
    pub directories: Vec<DirectoryId>,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
    /// Eligible leader replicas (KIP-966).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elr: Vec<NodeId>,
    /// Replicas that a reassignment removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adding_replicas: Vec<NodeId>,
    /// Its leader, or [`NodeId::NONE`].
    pub leader: NodeId,
    /// Raised at each change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Raised at each change.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionRecord {
    /// Of a partition that begins with all of its replicas in sync; the first of them leads.
    pub fn new(topic_id: TopicId, partition_id: PartitionId, replicas: Vec<NodeId>) -> PartitionRecord {
        PartitionRecord {
            topic_id,
            partition_id,
            directories: vec![DirectoryId::UNASSIGNED; replicas.len()],
            leader: replicas.first().copied().unwrap_or(NodeId::NONE),
            isr: replicas.clone(),
            replicas,
            elr: Vec::new(),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        }
    }
}

/// A change of a partition; `None` leaves a field as it is. Raises the partition epoch by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionChange {
    /// Of which topic.
    pub topic_id: TopicId,
    /// Its index.
    pub partition_id: PartitionId,
    /// New ISR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isr: Option<Vec<NodeId>>,
    /// New ELR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elr: Option<Vec<NodeId>>,
    /// New leader; also when it is the one before, raises the leader epoch by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeId>,
    /// New replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Vec<NodeId>>,
    /// New log dirs, one for each replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directories: Option<Vec<DirectoryId>>,
    /// New set of replicas being removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removing_replicas: Option<Vec<NodeId>>,
    /// New set of replicas being added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adding_replicas: Option<Vec<NodeId>>,
}

impl PartitionChange {
    /// A change of a partition that changes nothing yet.
    pub fn of(topic_id: TopicId, partition_id: PartitionId) -> PartitionChange {
        PartitionChange {
            topic_id,
            partition_id,
            isr: None,
            elr: None,
            leader: None,
            replicas: None,
            directories: None,
            removing_replicas: None,
            adding_replicas: None,
        }
    }
}

/// What has configs of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConfigResource {
    /// A topic.
    Topic(TopicName),
    /// One broker.
    Broker(NodeId),
    /// All brokers that do not say otherwise (the BROKER resource with an empty name).
    DefaultBroker,
}
