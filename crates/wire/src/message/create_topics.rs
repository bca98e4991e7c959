//! CreateTopics (key 19).
//!
//! * 1 adds the dry run and error messages, 2 the throttle time. Kafka 4 dropped 0 and 1.
//! * 4 takes -1 for the cluster's default partitions and replicas (KIP-464).
//! * 5 is flexible and answers with the topic's configs (KIP-525), 7 with its id (KIP-516).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Creates topics, each on its own: some may succeed while others fail.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 19, versions = 0..=7, flexible = 5.., response = CreateTopicsResponse<'r>)]
pub struct CreateTopicsRequest<'a> {
    /// The topics.
    pub topics: Vec<CreatableTopic<'a>>,
    /// How long to wait for it, in milliseconds.
    #[wire(default = 60_000)]
    pub timeout_ms: i32,
    /// Whether to check only.
    #[wire(since = 1)]
    pub validate_only: bool,
}

/// A topic to create.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatableTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number of partitions; -1: the default, or as many as are assigned.
    pub num_partitions: i32,
    /// Replicas of each; -1: the default, or as assigned.
    pub replication_factor: i16,
    /// Where each partition goes; empty: the controller decides.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// Configs that differ from the defaults.
    pub configs: Vec<CreatableTopicConfig<'a>>,
}

/// Where a partition goes.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatableReplicaAssignment {
    /// The partition.
    pub partition_index: i32,
    /// Its brokers, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// A config of a new topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatableTopicConfig<'a> {
    /// Its name, e.g. `retention.ms`.
    pub name: &'a str,
    /// Its value.
    pub value: Option<&'a str>,
}

/// What became of each topic.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 19, versions = 0..=7, flexible = 5..)]
pub struct CreateTopicsResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<CreatableTopicResult<'a>>,
}

/// What became of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatableTopicResult<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// Its id.
    #[wire(since = 7, ignorable)]
    pub topic_id: Uuid,
    /// Error of this topic.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(since = 1, ignorable)]
    pub error_message: Option<Cow<'a, str>>,
    /// Why `configs` is not there, e.g. `TOPIC_AUTHORIZATION_FAILED`.
    #[wire(tag = 0, tagged = 5.., ignorable)]
    pub topic_config_error_code: i16,
    /// Number of partitions; -1: not said.
    #[wire(since = 5, default = -1, ignorable)]
    pub num_partitions: i32,
    /// Replicas of each; -1: not said.
    #[wire(since = 5, default = -1, ignorable)]
    pub replication_factor: i16,
    /// Its configs; null: not said.
    #[wire(since = 5, ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs<'a>>>,
}

/// A config of the topic as created.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct CreatableTopicConfigs<'a> {
    /// Its name.
    #[wire(since = 5)]
    pub name: Cow<'a, str>,
    /// Its value; null if sensitive or unset.
    #[wire(since = 5)]
    pub value: Option<Cow<'a, str>>,
    /// Whether it cannot be altered.
    #[wire(since = 5)]
    pub read_only: bool,
    /// Where the value comes from: as in DescribeConfigs.
    #[wire(since = 5, default = -1, ignorable)]
    pub config_source: i8,
    /// Whether it is kept secret.
    #[wire(since = 5)]
    pub is_sensitive: bool,
}
