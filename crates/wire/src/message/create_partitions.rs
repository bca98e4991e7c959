//! CreatePartitions (key 37): raise a topic's number of partitions.
//!
//! * 0 and 1 are alike, 2 is flexible, 3 may answer `THROTTLING_QUOTA_EXCEEDED` (KIP-599).

use std::borrow::Cow;

use crate::Wire;

/// Adds partitions to topics, each on its own: some may succeed while others fail.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 37, versions = 0..=3, flexible = 2.., response = CreatePartitionsResponse<'r>)]
pub struct CreatePartitionsRequest<'a> {
    /// The topics.
    pub topics: Vec<CreatePartitionsTopic<'a>>,
    /// How long to wait for it, in milliseconds.
    pub timeout_ms: i32,
    /// Whether to check only.
    pub validate_only: bool,
}

/// A topic to grow.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// Number of partitions it shall have, those that are there counted.
    pub count: i32,
    /// Where each new partition goes; null: the controller decides.
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// Where a new partition goes.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatePartitionsAssignment {
    /// Its brokers, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// What became of each topic.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 37, versions = 0..=3, flexible = 2..)]
pub struct CreatePartitionsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// The topics.
    pub results: Vec<CreatePartitionsTopicResult<'a>>,
}

/// What became of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopicResult<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// Error of this topic.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(default = null)]
    pub error_message: Option<Cow<'a, str>>,
}
