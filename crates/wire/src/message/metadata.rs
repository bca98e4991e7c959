//! Metadata (key 3): brokers, controller, topics, and who leads which partition.
//!
//! * 0 has no way to ask for no topic: an empty list means all. From 1 null means all, and the response names
//!   controller, racks and internal topics.
//! * 2 adds the cluster id, 3 the throttle time, 4 whether topics may be created by asking, 5 offline replicas.
//! * 7 adds leader epochs (KIP-320), 8 authorized operations (KIP-430), 9 is flexible.
//! * 10 adds topic ids; asking by id works from 12 (KIP-516). 11 drops the cluster's authorized operations (KIP-700).
//! * 13 adds an error of the whole request, with which a client starts over from its bootstrap servers (KIP-1102).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Operations were not asked for, or not authorized: the value of each `…_authorized_operations` then.
pub const AUTHORIZED_OPERATIONS_OMITTED: i32 = i32::MIN;

/// Asks about topics, and always about the cluster.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 3, versions = 0..=13, flexible = 9.., response = MetadataResponse<'r>)]
pub struct MetadataRequest<'a> {
    /// The topics; null means all. In version 0, where null cannot be said, empty means all.
    #[wire(nullable = 1..)]
    pub topics: Option<Vec<MetadataRequestTopic<'a>>>,
    /// Whether topics that do not exist may be created, if the broker is configured to.
    #[wire(since = 4, default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to say what the client may do to the cluster.
    #[wire(since = 8, until = 10)]
    pub include_cluster_authorized_operations: bool,
    /// Whether to say what the client may do to each topic.
    #[wire(since = 8)]
    pub include_topic_authorized_operations: bool,
}

/// A topic asked about: by name, or from version 12 by id.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct MetadataRequestTopic<'a> {
    /// The id; zero when asked by name.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// The name; null when asked by id.
    #[wire(nullable = 10..)]
    pub name: Option<&'a str>,
}

/// The cluster, and the topics asked about.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 3, versions = 0..=13, flexible = 9..)]
pub struct MetadataResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    /// The brokers that are alive.
    pub brokers: Vec<MetadataResponseBroker<'a>>,
    /// The cluster.
    #[wire(since = 2, default = null, ignorable)]
    pub cluster_id: Option<Cow<'a, str>>,
    /// Whom to send what only a controller can do; -1: nobody known.
    #[wire(since = 1, default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<MetadataResponseTopic<'a>>,
    /// Bit field of what the client may do to the cluster.
    #[wire(since = 8, until = 10, default = AUTHORIZED_OPERATIONS_OMITTED)]
    pub cluster_authorized_operations: i32,
    /// Error of the whole request.
    #[wire(since = 13, ignorable)]
    pub error_code: i16,
}

/// A broker and how to reach it by the listener that was asked.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct MetadataResponseBroker<'a> {
    /// The broker.
    pub node_id: i32,
    /// Its advertised host.
    pub host: Cow<'a, str>,
    /// Its advertised port.
    pub port: i32,
    /// Its rack, if it has one.
    #[wire(since = 1, default = null, ignorable)]
    pub rack: Option<Cow<'a, str>>,
}

/// A topic, or why there is nothing to say about it.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct MetadataResponseTopic<'a> {
    /// Error of this topic.
    pub error_code: i16,
    /// The name; null where an unknown id was asked about.
    #[wire(nullable = 12..)]
    pub name: Option<Cow<'a, str>>,
    /// The id; zero where an unknown name was asked about.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// Whether it is one of the coordinators' own.
    #[wire(since = 1, ignorable)]
    pub is_internal: bool,
    /// Its partitions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// Bit field of what the client may do to the topic.
    #[wire(since = 8, default = AUTHORIZED_OPERATIONS_OMITTED)]
    pub topic_authorized_operations: i32,
}

/// A partition and who holds it.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct MetadataResponsePartition {
    /// Error of this partition, e.g. `LEADER_NOT_AVAILABLE`.
    pub error_code: i16,
    /// The partition.
    pub partition_index: i32,
    /// The leader; -1: none.
    pub leader_id: i32,
    /// Its epoch (KIP-320); -1: not known.
    #[wire(since = 7, default = -1, ignorable)]
    pub leader_epoch: i32,
    /// All replicas, the preferred leader first.
    pub replica_nodes: Vec<i32>,
    /// Those in sync.
    pub isr_nodes: Vec<i32>,
    /// Those on brokers or disks that are down.
    #[wire(since = 5, ignorable)]
    pub offline_replicas: Vec<i32>,
}
