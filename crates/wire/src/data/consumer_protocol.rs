//! What consumers tell each other through the classic group protocol, which carries it as bytes: subscriptions in
//! JoinGroup, assignments in SyncGroup.
//!
//! * Subscription: 1 adds the partitions that the member has (KIP-429), 2 the generation that it has them from
//!   (KIP-792), 3 its rack (KIP-881).
//! * Assignment: the versions are alike.
//! * A version that is newer than those known begins as the newest known, and is read as that one:
//!   [`Data::decode_any`](crate::Data::decode_any). None is flexible.

use std::borrow::Cow;

use crate::Wire;

/// What a consumer wants to read.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=3)]
pub struct ConsumerProtocolSubscription<'a> {
    /// The topics.
    pub topics: Vec<Cow<'a, str>>,
    /// What the assignor has to say to itself.
    #[wire(default = null)]
    pub user_data: Option<Cow<'a, [u8]>>,
    /// The partitions that the member has.
    #[wire(since = 1, ignorable)]
    pub owned_partitions: Vec<TopicPartition<'a>>,
    /// The generation that it has them from; -1: none, or it does not say.
    #[wire(since = 2, default = -1, ignorable)]
    pub generation_id: i32,
    /// The member's rack.
    #[wire(since = 3, default = null, ignorable)]
    pub rack_id: Option<Cow<'a, str>>,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TopicPartition<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// What a consumer is to read.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=3)]
pub struct ConsumerProtocolAssignment<'a> {
    /// The partitions.
    pub assigned_partitions: Vec<TopicPartition<'a>>,
    /// What the assignor has to say to itself.
    #[wire(default = null)]
    pub user_data: Option<Cow<'a, [u8]>>,
}
