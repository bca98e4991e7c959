//! DescribeGroups (key 15): state and members of classic groups.
//!
//! * 0 to 2 are alike but for the throttle time, which 1 adds. 3 says what the client may do (KIP-430).
//! * 4 adds static members (KIP-345). 5 is flexible.
//! * Up to 5 a group that does not exist is answered as one in state `Dead`; 6 has an error for it (KIP-1043).

use std::borrow::Cow;

use super::metadata::AUTHORIZED_OPERATIONS_OMITTED;
use crate::Wire;

/// Asks for groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 15, versions = 0..=6, flexible = 5.., response = DescribeGroupsResponse<'r>)]
pub struct DescribeGroupsRequest<'a> {
    /// Which.
    pub groups: Vec<&'a str>,
    /// Whether to say what the client may do to each group.
    #[wire(since = 3)]
    pub include_authorized_operations: bool,
}

/// The groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 15, versions = 0..=6, flexible = 5..)]
pub struct DescribeGroupsResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
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
    #[wire(since = 6, default = null)]
    pub error_message: Option<Cow<'a, str>>,
    /// The group.
    pub group_id: Cow<'a, str>,
    /// Its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`; empty on an error.
    pub group_state: Cow<'a, str>,
    /// What it is for.
    pub protocol_type: Cow<'a, str>,
    /// The protocol that its members work by; empty unless `Stable`.
    pub protocol_data: Cow<'a, str>,
    /// Its members.
    pub members: Vec<DescribedGroupMember<'a>>,
    /// Bit field of what the client may do to the group.
    #[wire(since = 3, default = AUTHORIZED_OPERATIONS_OMITTED)]
    pub authorized_operations: i32,
}

/// A member.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribedGroupMember<'a> {
    /// The member.
    pub member_id: Cow<'a, str>,
    /// What it is known by, if it is static.
    #[wire(since = 4, default = null, ignorable)]
    pub group_instance_id: Option<Cow<'a, str>>,
    /// The `client.id` that it joined with.
    pub client_id: Cow<'a, str>,
    /// From where it joined.
    pub client_host: Cow<'a, str>,
    /// Its metadata for the chosen protocol; empty unless the group is `Stable`.
    pub member_metadata: Cow<'a, [u8]>,
    /// What the leader assigned to it; empty unless the group is `Stable`.
    pub member_assignment: Cow<'a, [u8]>,
}
