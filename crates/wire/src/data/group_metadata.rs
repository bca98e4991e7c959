//! Classic groups in `__consumer_offsets`.
//!
//! * Key: 2.
//! * Value: 1 adds the rebalance timeout (KIP-62), 2 when the group's state changed (KIP-211), 3 static members
//!   (KIP-345); 4 is flexible.

use std::borrow::Cow;

use crate::Wire;

/// Which group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 2..=2)]
pub struct GroupMetadataKey<'a> {
    /// The group.
    pub group: Cow<'a, str>,
}

/// The group in its last stable generation, or without members.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(data, versions = 0..=4, flexible = 4..)]
pub struct GroupMetadataValue<'a> {
    /// What it is for.
    pub protocol_type: Cow<'a, str>,
    /// The generation.
    pub generation: i32,
    /// The protocol that its members work by; null: it has none.
    pub protocol: Option<Cow<'a, str>>,
    /// The member that assigns; null: it has none.
    pub leader: Option<Cow<'a, str>>,
    /// When its state changed, in milliseconds since 1970; -1: not known.
    #[wire(since = 2, default = -1, ignorable)]
    pub current_state_timestamp: i64,
    /// Its members.
    pub members: Vec<MemberMetadata<'a>>,
}

/// A member.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct MemberMetadata<'a> {
    /// The member.
    pub member_id: Cow<'a, str>,
    /// What it is known by, if it is static.
    #[wire(since = 3, default = null, ignorable)]
    pub group_instance_id: Option<Cow<'a, str>>,
    /// The `client.id` that it joined with.
    pub client_id: Cow<'a, str>,
    /// From where it joined.
    pub client_host: Cow<'a, str>,
    /// How many milliseconds it may take to join again; -1: as many as the session timeout.
    #[wire(since = 1, default = -1, ignorable)]
    pub rebalance_timeout: i32,
    /// After how many milliseconds without a heartbeat it is taken for dead.
    pub session_timeout: i32,
    /// Its metadata for the chosen protocol.
    pub subscription: Cow<'a, [u8]>,
    /// What the leader assigned to it.
    pub assignment: Cow<'a, [u8]>,
}
