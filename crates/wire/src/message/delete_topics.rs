//! DeleteTopics (key 20).
//!
//! * 0–3 are alike but for the throttle time that 1 adds. Kafka 4 dropped 0.
//! * 4 is flexible, 5 adds error messages, 6 takes ids besides names (KIP-516).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// Deletes topics, each on its own: some may succeed while others fail.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 20, versions = 0..=6, flexible = 4.., response = DeleteTopicsResponse<'r>)]
pub struct DeleteTopicsRequest<'a> {
    /// The topics, from version 6.
    #[wire(since = 6)]
    pub topics: Vec<DeleteTopicState<'a>>,
    /// The topics, up to version 5.
    #[wire(until = 5, ignorable)]
    pub topic_names: Vec<&'a str>,
    /// How long to wait for it, in milliseconds.
    pub timeout_ms: i32,
}

/// A topic to delete, by name or by id.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DeleteTopicState<'a> {
    /// The name; null when given by id.
    #[wire(since = 6, default = null)]
    pub name: Option<&'a str>,
    /// The id; zero when given by name.
    #[wire(since = 6)]
    pub topic_id: Uuid,
}

/// What became of each topic.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 20, versions = 0..=6, flexible = 4..)]
pub struct DeleteTopicsResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub responses: Vec<DeletableTopicResult<'a>>,
}

/// What became of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DeletableTopicResult<'a> {
    /// The name; null where an unknown id was given.
    #[wire(nullable = 6..)]
    pub name: Option<Cow<'a, str>>,
    /// The id.
    #[wire(since = 6, ignorable)]
    pub topic_id: Uuid,
    /// Error of this topic.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(since = 5, default = null, ignorable)]
    pub error_message: Option<Cow<'a, str>>,
}
