//! SyncGroup (key 14): the leader of a classic group hands out the assignments, every member waits for its own.
//!
//! * 0 to 2 are alike but for the throttle time, which 1 adds. 3 adds static members (KIP-345). 4 is flexible.
//! * 5 adds protocol type and name, to be held against the group's (KIP-559).

use std::borrow::Cow;

use crate::Wire;

/// Asks for the member's assignment.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 14, versions = 0..=5, flexible = 4.., response = SyncGroupResponse<'r>)]
pub struct SyncGroupRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The generation that the member is in.
    pub generation_id: i32,
    /// The member.
    pub member_id: &'a str,
    /// What a static member is known by; null: it is none.
    #[wire(since = 3, default = null)]
    pub group_instance_id: Option<&'a str>,
    /// What the member takes the group's protocol type to be; null: it does not say.
    #[wire(since = 5, default = null, ignorable)]
    pub protocol_type: Option<&'a str>,
    /// What the member takes the group's protocol to be; null: it does not say.
    #[wire(since = 5, default = null, ignorable)]
    pub protocol_name: Option<&'a str>,
    /// From the leader: by member. From others: none.
    pub assignments: Vec<SyncGroupRequestAssignment<'a>>,
}

/// What a member is to do.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct SyncGroupRequestAssignment<'a> {
    /// The member.
    pub member_id: &'a str,
    /// Of a consumer a `ConsumerProtocolAssignment`.
    pub assignment: &'a [u8],
}

/// The member's assignment.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 14, versions = 0..=5, flexible = 4..)]
pub struct SyncGroupResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// What the group is for.
    #[wire(since = 5, default = null, ignorable)]
    pub protocol_type: Option<Cow<'a, str>>,
    /// The protocol that its members work by.
    #[wire(since = 5, default = null, ignorable)]
    pub protocol_name: Option<Cow<'a, str>>,
    /// As the leader gave it; empty: nothing, or an error.
    pub assignment: Cow<'a, [u8]>,
}
