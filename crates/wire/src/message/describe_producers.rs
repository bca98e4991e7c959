//! DescribeProducers (key 61): who writes to a partition, and which transactions are open in it (KIP-664).
//!
//! * 0 is the only version, and flexible.

use std::borrow::Cow;

use crate::Wire;

/// Asks for producers.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 61, versions = 0..=0, flexible = 0.., response = DescribeProducersResponse<'r>)]
pub struct DescribeProducersRequest<'a> {
    /// Of which partitions.
    pub topics: Vec<TopicRequest<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicRequest<'a> {
    /// The topic.
    pub name: &'a str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// The producers.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 61, versions = 0..=0, flexible = 0..)]
pub struct DescribeProducersResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// By topic.
    pub topics: Vec<TopicResponse<'a>>,
}

/// Producers of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicResponse<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// By partition.
    pub partitions: Vec<PartitionResponse<'a>>,
}

/// Producers of one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct PartitionResponse<'a> {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(default = null)]
    pub error_message: Option<Cow<'a, str>>,
    /// The producers that its leader knows.
    pub active_producers: Vec<ProducerState>,
}

/// What a partition's leader knows of a producer.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ProducerState {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch. It is an `i16` everywhere else.
    pub producer_epoch: i32,
    /// Sequence number of its last record; -1: it has written markers only.
    #[wire(default = -1)]
    pub last_sequence: i32,
    /// Timestamp of its last batch, in milliseconds since 1970; -1: none.
    #[wire(default = -1)]
    pub last_timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker; -1: none did.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; -1: none is open.
    #[wire(default = -1)]
    pub current_txn_start_offset: i64,
}
