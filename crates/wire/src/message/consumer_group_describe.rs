//! ConsumerGroupDescribe (key 69): state and members of groups of the new protocol (KIP-848).
//!
//! * 0 is flexible already. 1 says of each member by which protocol it is one (KIP-1099).
//! * Ours, and skipped by whoever does not know it: a tagged field with the group's last rebalance.

use std::borrow::Cow;

use ottla_model::Uuid;

use super::describe_groups::LastRebalance;
use super::metadata::AUTHORIZED_OPERATIONS_OMITTED;
use crate::Wire;

/// `member_type` that is not known.
pub const MEMBER_TYPE_UNKNOWN: i8 = -1;
/// `member_type` of a member by the classic protocol.
pub const MEMBER_TYPE_CLASSIC: i8 = 0;
/// `member_type` of a member by the new protocol.
pub const MEMBER_TYPE_CONSUMER: i8 = 1;

/// Asks for groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 69, versions = 0..=1, flexible = 0.., response = ConsumerGroupDescribeResponse<'r>)]
pub struct ConsumerGroupDescribeRequest<'a> {
    /// Which.
    pub group_ids: Vec<&'a str>,
    /// Whether to say what the client may do to each group.
    pub include_authorized_operations: bool,
}

/// The groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 69, versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupDescribeResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// One for each group asked for.
    pub groups: Vec<DescribedGroup<'a>>,
}

/// A group.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribedGroup<'a> {
    /// Error of this group.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(default = null)]
    pub error_message: Option<Cow<'a, str>>,
    /// The group.
    pub group_id: Cow<'a, str>,
    /// Its state: `Empty`, `Assigning`, `Reconciling`, `Stable`, `Dead`; empty on an error.
    pub group_state: Cow<'a, str>,
    /// Its epoch: one more with each change of members or topics.
    pub group_epoch: i32,
    /// The group epoch that the target assignment is of.
    pub assignment_epoch: i32,
    /// The assignor.
    pub assignor_name: Cow<'a, str>,
    /// Its members.
    pub members: Vec<Member<'a>>,
    /// Bit field of what the client may do to the group.
    #[wire(default = AUTHORIZED_OPERATIONS_OMITTED)]
    pub authorized_operations: i32,
    /// Ours: why the group last rebalanced; null: not known.
    #[wire(tag = 10_000, tagged = 0.., default = null, ignorable)]
    pub last_rebalance: Option<LastRebalance<'a>>,
}

/// A member.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct Member<'a> {
    /// The member.
    pub member_id: Cow<'a, str>,
    /// What it is known by, if it is static.
    #[wire(default = null)]
    pub instance_id: Option<Cow<'a, str>>,
    /// Its rack, if it has said.
    #[wire(default = null)]
    pub rack_id: Option<Cow<'a, str>>,
    /// The epoch that it is in.
    pub member_epoch: i32,
    /// Its `client.id`.
    pub client_id: Cow<'a, str>,
    /// From where it joined.
    pub client_host: Cow<'a, str>,
    /// The topics that it wants to read.
    pub subscribed_topic_names: Vec<Cow<'a, str>>,
    /// The pattern of the topics that it wants to read.
    #[wire(default = null)]
    pub subscribed_topic_regex: Option<Cow<'a, str>>,
    /// What it reads.
    pub assignment: Assignment<'a>,
    /// What it is to read.
    pub target_assignment: Assignment<'a>,
    /// By which protocol it is a member: one of this module's constants.
    #[wire(since = 1, default = MEMBER_TYPE_UNKNOWN, ignorable)]
    pub member_type: i8,
}

/// What a member reads.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct Assignment<'a> {
    /// The partitions.
    pub topic_partitions: Vec<TopicPartitions<'a>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartitions<'a> {
    /// The topic's id.
    pub topic_id: Uuid,
    /// Its name.
    pub topic_name: Cow<'a, str>,
    /// The partitions.
    pub partitions: Vec<i32>,
}
