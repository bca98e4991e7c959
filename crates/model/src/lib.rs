//! The words every other crate speaks: identifiers as newtypes, topic names, the table of configs, time as a value.
//!
//! Owns no state and does no I/O: nothing here opens a file, reads a clock or draws a random number.

pub mod config;
mod groups;
mod ids;
mod names;
mod time;
mod uuid;

pub use groups::{GroupId, InstanceId, MemberId};
pub use ids::*;
pub use names::{CLUSTER_METADATA_TOPIC, InvalidTopicName, TopicName, TopicPartition, is_internal_topic};
pub use time::{Clock, ManualClock, MonotonicMs, TimestampMs};
pub use uuid::{ParseUuidError, Uuid};
