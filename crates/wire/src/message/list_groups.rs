//! ListGroups (key 16): all groups that a broker coordinates.
//!
//! * 0 to 2 are alike but for the throttle time, which 1 adds. 3 is flexible.
//! * 4 adds states (KIP-518), 5 types (KIP-848), to see and to ask for.

use std::borrow::Cow;

use crate::Wire;

/// Asks for groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 16, versions = 0..=5, flexible = 3.., response = ListGroupsResponse<'r>)]
pub struct ListGroupsRequest<'a> {
    /// Only those in one of these states; empty: in any.
    #[wire(since = 4)]
    pub states_filter: Vec<&'a str>,
    /// Only those of one of these types; empty: of any.
    #[wire(since = 5)]
    pub types_filter: Vec<&'a str>,
}

/// The groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 16, versions = 0..=5, flexible = 3..)]
pub struct ListGroupsResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// The groups.
    pub groups: Vec<ListedGroup<'a>>,
}

/// A group.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ListedGroup<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// What it is for; empty: it only keeps offsets.
    pub protocol_type: Cow<'a, str>,
    /// Its state, e.g. `Stable`.
    #[wire(since = 4, ignorable)]
    pub group_state: Cow<'a, str>,
    /// Its type: `classic`, `consumer`, `share`, `streams`.
    #[wire(since = 5, ignorable)]
    pub group_type: Cow<'a, str>,
}
