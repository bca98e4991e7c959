//! DescribeTopicPartitions (key 75): partitions with their eligible leader replicas, in pages (KIP-966).
//!
//! * 0 is flexible already.

use std::borrow::Cow;

use ottla_model::Uuid;

use super::metadata::AUTHORIZED_OPERATIONS_OMITTED;
use crate::Wire;

/// Asks about topics.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 75, versions = 0..=0, flexible = 0.., response = DescribeTopicPartitionsResponse<'r>)]
pub struct DescribeTopicPartitionsRequest<'a> {
    /// The topics; empty: all.
    pub topics: Vec<TopicRequest<'a>>,
    /// Partitions on a page at most.
    #[wire(default = 2000)]
    pub response_partition_limit: i32,
    /// Where the page begins; null: at the beginning.
    #[wire(default = null)]
    pub cursor: Option<RequestCursor<'a>>,
}

/// A topic asked about.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicRequest<'a> {
    /// The topic.
    pub name: &'a str,
}

/// Where a page begins: `Cursor` in Kafka's request.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct RequestCursor<'a> {
    /// In this topic,
    pub topic_name: &'a str,
    /// at this partition.
    pub partition_index: i32,
}

/// A page of topics.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 75, versions = 0..=0, flexible = 0..)]
pub struct DescribeTopicPartitionsResponse<'a> {
    /// See [`crate::message`].
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic<'a>>,
    /// Where the next page begins; null: this was the last.
    #[wire(default = null)]
    pub next_cursor: Option<Cursor<'a>>,
}

/// A topic, or why there is nothing to say about it.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponseTopic<'a> {
    /// Error of this topic.
    pub error_code: i16,
    /// The name.
    pub name: Option<Cow<'a, str>>,
    /// The id; zero where an unknown name was asked about.
    #[wire(ignorable)]
    pub topic_id: Uuid,
    /// Whether it is one of the coordinators' own.
    #[wire(ignorable)]
    pub is_internal: bool,
    /// Its partitions, as many as fit on the page.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// Bit field of what the client may do to the topic.
    #[wire(default = AUTHORIZED_OPERATIONS_OMITTED)]
    pub topic_authorized_operations: i32,
}

/// A partition and who holds it.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// Error of this partition.
    pub error_code: i16,
    /// The partition.
    pub partition_index: i32,
    /// The leader; -1: none.
    pub leader_id: i32,
    /// Its epoch.
    #[wire(default = -1, ignorable)]
    pub leader_epoch: i32,
    /// All replicas, the preferred leader first.
    pub replica_nodes: Vec<i32>,
    /// Those in sync.
    pub isr_nodes: Vec<i32>,
    /// Those not in sync that could still lead without loss.
    #[wire(default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// Those that could until they came back with doubts about their data.
    #[wire(default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    /// Those on brokers or disks that are down.
    #[wire(ignorable)]
    pub offline_replicas: Vec<i32>,
}

/// Where the next page begins.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct Cursor<'a> {
    /// In this topic,
    pub topic_name: Cow<'a, str>,
    /// at this partition.
    pub partition_index: i32,
}
