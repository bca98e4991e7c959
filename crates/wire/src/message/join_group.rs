//! JoinGroup (key 11): become a member of a classic group's next generation.
//!
//! * 0 has no rebalance timeout, the session timeout counts for both; 1 has (KIP-62). 2 and 3 are the same.
//! * From 4 a new member is given its id with `MEMBER_ID_REQUIRED` and has to join again with it (KIP-394).
//! * 5 adds static members (KIP-345). 6 is flexible. 7 answers with the protocol type (KIP-559).
//! * 8 adds the reason (KIP-800). 9 can tell the leader to leave the assignment as it is (KIP-814).

use std::borrow::Cow;

use crate::Wire;

/// Asks to become a member, or to stay one in the next generation.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 11, versions = 0..=9, flexible = 6.., response = JoinGroupResponse<'r>)]
pub struct JoinGroupRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// After how many milliseconds without a heartbeat the member is taken for dead.
    pub session_timeout_ms: i32,
    /// How many milliseconds the member may take to join again; -1: as many as the session timeout.
    #[wire(since = 1, default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// The member; empty: a new one.
    pub member_id: &'a str,
    /// What a static member is known by (KIP-345); null: it is none.
    #[wire(since = 5, default = null)]
    pub group_instance_id: Option<&'a str>,
    /// What the group is for: `consumer`, `connect`. All members have the same.
    pub protocol_type: &'a str,
    /// The protocols that the member can work by, the one it likes best first.
    pub protocols: Vec<JoinGroupRequestProtocol<'a>>,
    /// Why it joins, for people.
    #[wire(since = 8, default = null, ignorable)]
    pub reason: Option<&'a str>,
}

/// A protocol that the member can work by.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct JoinGroupRequestProtocol<'a> {
    /// Its name; of a consumer the assignor's.
    pub name: &'a str,
    /// What the leader is to know; of a consumer a `ConsumerProtocolSubscription`.
    pub metadata: &'a [u8],
}

/// The generation that the member is in.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 11, versions = 0..=9, flexible = 6..)]
pub struct JoinGroupResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// The generation; -1 on an error.
    #[wire(default = -1)]
    pub generation_id: i32,
    /// What the group is for.
    #[wire(since = 7, default = null, ignorable)]
    pub protocol_type: Option<Cow<'a, str>>,
    /// The protocol that all members can work by. Up to version 6 it cannot be null, and is empty on an error.
    #[wire(nullable = 7..)]
    pub protocol_name: Option<Cow<'a, str>>,
    /// The member that assigns.
    pub leader: Cow<'a, str>,
    /// Whether the leader is to leave the assignment as it is (KIP-814).
    #[wire(since = 9)]
    pub skip_assignment: bool,
    /// The member that asked.
    pub member_id: Cow<'a, str>,
    /// To the leader: all members. To others: none.
    pub members: Vec<JoinGroupResponseMember<'a>>,
}

/// A member, as the leader is told of it.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct JoinGroupResponseMember<'a> {
    /// The member.
    pub member_id: Cow<'a, str>,
    /// What it is known by, if it is static.
    #[wire(since = 5, default = null, ignorable)]
    pub group_instance_id: Option<Cow<'a, str>>,
    /// Its metadata for the chosen protocol.
    pub metadata: Cow<'a, [u8]>,
}
