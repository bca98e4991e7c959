//! Heartbeat (key 12): a member of a classic group is alive, and learns whether it has to join again.
//!
//! * 0 to 2 are alike but for the throttle time, which 1 adds. 3 adds static members (KIP-345). 4 is flexible.

use crate::Wire;

/// Says that a member is alive.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 12, versions = 0..=4, flexible = 4.., response = HeartbeatResponse)]
pub struct HeartbeatRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The generation that the member is in.
    pub generation_id: i32,
    /// The member.
    pub member_id: &'a str,
    /// What a static member is known by; null: it is none.
    #[wire(since = 3, default = null)]
    pub group_instance_id: Option<&'a str>,
}

/// Whether the member may go on: `REBALANCE_IN_PROGRESS` calls it to join again.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 12, versions = 0..=4, flexible = 4..)]
pub struct HeartbeatResponse {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
}
