//! ListPartitionReassignments (key 46): partitions that are on the move (KIP-455).
//!
//! * 0 is flexible already.

use std::borrow::Cow;

use crate::Wire;

/// Asks which partitions are on the move.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 46, versions = 0..=0, flexible = 0.., response = ListPartitionReassignmentsResponse<'r>)]
pub struct ListPartitionReassignmentsRequest<'a> {
    /// How long to wait for the answer, in milliseconds.
    #[wire(default = 60_000)]
    pub timeout_ms: i32,
    /// Among which; null: all.
    #[wire(default = null)]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics<'a>>>,
}

/// Partitions of one topic asked about.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ListPartitionReassignmentsTopics<'a> {
    /// The topic.
    pub name: &'a str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// What is on the move.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 46, versions = 0..=0, flexible = 0..)]
pub struct ListPartitionReassignmentsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// Why it failed, for people.
    pub error_message: Option<Cow<'a, str>>,
    /// The topics.
    pub topics: Vec<OngoingTopicReassignment<'a>>,
}

/// What is on the move in one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OngoingTopicReassignment<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// Its partitions on the move.
    pub partitions: Vec<OngoingPartitionReassignment>,
}

/// A partition on the move.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct OngoingPartitionReassignment {
    /// The partition.
    pub partition_index: i32,
    /// All replicas, those that come and those that go counted.
    pub replicas: Vec<i32>,
    /// Those that come.
    pub adding_replicas: Vec<i32>,
    /// Those that go.
    pub removing_replicas: Vec<i32>,
}
