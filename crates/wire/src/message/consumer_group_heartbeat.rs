//! ConsumerGroupHeartbeat (key 68): a member of a group of the new protocol is alive, says what changed, and learns
//! what it is to read (KIP-848).
//!
//! * 0 is flexible already. 1 can subscribe by a pattern, and has the member choose its own id (KIP-1082).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::Wire;

/// `member_epoch` with which a member joins.
pub const JOIN_GROUP_MEMBER_EPOCH: i32 = 0;
/// `member_epoch` with which a member leaves for good.
pub const LEAVE_GROUP_MEMBER_EPOCH: i32 = -1;
/// `member_epoch` with which a static member leaves to come back.
pub const LEAVE_GROUP_STATIC_MEMBER_EPOCH: i32 = -2;

/// Says that a member is alive. What may be null is null when it is the same as before.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 68, versions = 0..=1, flexible = 0.., response = ConsumerGroupHeartbeatResponse<'r>)]
pub struct ConsumerGroupHeartbeatRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The member; in version 0 empty if it is new.
    pub member_id: &'a str,
    /// The epoch that the member is in, or one of this module's constants.
    pub member_epoch: i32,
    /// What a static member is known by.
    #[wire(default = null)]
    pub instance_id: Option<&'a str>,
    /// The member's rack.
    #[wire(default = null)]
    pub rack_id: Option<&'a str>,
    /// How many milliseconds the member may take to give up partitions; -1: as before.
    #[wire(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The topics that it wants to read.
    #[wire(default = null)]
    pub subscribed_topic_names: Option<Vec<&'a str>>,
    /// The pattern (RE2) of the topics that it wants to read.
    #[wire(since = 1, default = null)]
    pub subscribed_topic_regex: Option<&'a str>,
    /// The assignor that it wants; null also for any.
    #[wire(default = null)]
    pub server_assignor: Option<&'a str>,
    /// The partitions that it has.
    #[wire(default = null)]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// What the member is to do.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 68, versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupHeartbeatResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(default = null)]
    pub error_message: Option<Cow<'a, str>>,
    /// The member.
    #[wire(default = null)]
    pub member_id: Option<Cow<'a, str>>,
    /// The epoch that it is in now.
    pub member_epoch: i32,
    /// After how many milliseconds the next heartbeat is due.
    pub heartbeat_interval_ms: i32,
    /// What it is to read; null: as before.
    #[wire(default = null)]
    pub assignment: Option<Assignment>,
}

/// What a member is to read.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The partitions.
    pub topic_partitions: Vec<TopicPartitions>,
}
