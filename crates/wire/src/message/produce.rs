//! Produce (key 0): append record batches to partitions.
//!
//! * 3 is the first with record batches of format 2, and with the transactional id. Those before it carry older
//!   formats; Kafka 4 names them in ApiVersions for librdkafka's sake (KAFKA-18659) and refuses them.
//! * 4–7 change what may come: `KAFKA_STORAGE_ERROR` (4), the log start offset (5), zstd (7, KIP-110).
//! * 8 says which records of a batch were bad (KIP-467). 9 is flexible.
//! * 10 points to the new leader (KIP-951). 11 and 12 serve transactions (KIP-890).
//! * 13 names topics by id (KIP-516).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Appends batches.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 0, versions = 3..=13, flexible = 9.., response = ProduceResponse<'r>)]
pub struct ProduceRequest<'a> {
    /// Set by transactional producers, for authorization.
    #[wire(default = null)]
    pub transactional_id: Option<&'a str>,
    /// Who must have the records before the answer: 0 nobody (there is no answer), 1 the leader, -1 all in-sync
    /// replicas.
    pub acks: i16,
    /// How long to wait for that, in milliseconds.
    pub timeout_ms: i32,
    /// What to append.
    pub topic_data: Vec<TopicProduceData<'a>>,
}

/// Batches for one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicProduceData<'a> {
    /// The name, up to version 12.
    #[wire(until = 12, ignorable)]
    pub name: &'a str,
    /// The id, from version 13.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// Batches by partition.
    pub partition_data: Vec<PartitionProduceData<'a>>,
}

/// Batches for one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct PartitionProduceData<'a> {
    /// The partition.
    pub index: i32,
    /// Record batches as they go to the log: not looked into here.
    #[wire(records)]
    pub records: Option<&'a [u8]>,
}

/// What became of the batches.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 0, versions = 3..=13, flexible = 9..)]
pub struct ProduceResponse<'a> {
    /// Results by topic.
    pub responses: Vec<TopicProduceResponse<'a>>,
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Addresses of the leaders named in `current_leader`.
    #[wire(tag = 0, tagged = 10..)]
    pub node_endpoints: Vec<NodeEndpoint<'a>>,
}

/// Results for one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicProduceResponse<'a> {
    /// The name, up to version 12.
    #[wire(until = 12, ignorable)]
    pub name: Cow<'a, str>,
    /// The id, from version 13.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// Results by partition.
    pub partition_responses: Vec<PartitionProduceResponse<'a>>,
}

/// What became of the batches for one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct PartitionProduceResponse<'a> {
    /// The partition.
    pub index: i32,
    /// Error of this partition.
    pub error_code: i16,
    /// Offset of the first record appended; -1 where none was.
    pub base_offset: i64,
    /// When the broker appended, if the topic takes its timestamps from that; -1: timestamps are the producer's.
    #[wire(since = 2, default = -1, ignorable)]
    pub log_append_time_ms: i64,
    /// First offset still in the log. A producer whose records are gone knows by it that nothing is out of order.
    #[wire(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Records for which the batch was refused (KIP-467).
    #[wire(since = 8, ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage<'a>>,
    /// Why the batch was refused, for people.
    #[wire(since = 8, default = null, ignorable)]
    pub error_message: Option<Cow<'a, str>>,
    /// The leader to turn to after `NOT_LEADER_OR_FOLLOWER` (KIP-951).
    #[wire(tag = 0, tagged = 10..)]
    pub current_leader: LeaderIdAndEpoch,
}

/// A record for which its batch was refused.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct BatchIndexAndErrorMessage<'a> {
    /// Its place in the batch.
    #[wire(since = 8)]
    pub batch_index: i32,
    /// What was wrong with it, for people.
    #[wire(since = 8, default = null)]
    pub batch_index_error_message: Option<Cow<'a, str>>,
}

/// Who leads a partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1: not known.
    #[wire(since = 10, default = -1)]
    pub leader_id: i32,
    /// Its epoch; -1: not known.
    #[wire(since = 10, default = -1)]
    pub leader_epoch: i32,
}

/// How to reach a broker.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct NodeEndpoint<'a> {
    /// The broker.
    #[wire(since = 10)]
    pub node_id: i32,
    /// Its advertised host.
    #[wire(since = 10)]
    pub host: Cow<'a, str>,
    /// Its advertised port.
    #[wire(since = 10)]
    pub port: i32,
    /// Its rack, if it has one.
    #[wire(since = 10, default = null)]
    pub rack: Option<Cow<'a, str>>,
}
