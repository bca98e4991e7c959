//! LeaveGroup (key 13): members leave a classic group; also how an administrator removes them.
//!
//! * 0 to 2 are of one member; 1 adds the throttle time. From 3 there may be several, and static ones (KIP-345).
//! * 4 is flexible. 5 adds the reason (KIP-800).

use std::borrow::Cow;

use crate::Wire;

/// Names who leaves.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 13, versions = 0..=5, flexible = 4.., response = LeaveGroupResponse<'r>)]
pub struct LeaveGroupRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The member, up to version 2.
    #[wire(until = 2)]
    pub member_id: &'a str,
    /// The members, from version 3.
    #[wire(since = 3)]
    pub members: Vec<MemberIdentity<'a>>,
}

/// A member that leaves.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct MemberIdentity<'a> {
    /// The member; empty: a static one is named by its instance id only.
    pub member_id: &'a str,
    /// What a static member is known by; null: it is none.
    #[wire(default = null)]
    pub group_instance_id: Option<&'a str>,
    /// Why it leaves, for people.
    #[wire(since = 5, default = null, ignorable)]
    pub reason: Option<&'a str>,
}

/// Who has left.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 13, versions = 0..=5, flexible = 4..)]
pub struct LeaveGroupResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// By member, from version 3.
    #[wire(since = 3)]
    pub members: Vec<MemberResponse<'a>>,
}

/// Whether a member has left.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct MemberResponse<'a> {
    /// As asked.
    pub member_id: Cow<'a, str>,
    /// As asked.
    pub group_instance_id: Option<Cow<'a, str>>,
    /// Error of this member.
    pub error_code: i16,
}
