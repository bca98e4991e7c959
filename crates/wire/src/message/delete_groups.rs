//! DeleteGroups (key 42): delete groups that have no members, with their offsets (KIP-229).
//!
//! * 0 and 1 are alike, 2 is flexible.

use std::borrow::Cow;

use crate::Wire;

/// Names the groups.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 42, versions = 0..=2, flexible = 2.., response = DeleteGroupsResponse<'r>)]
pub struct DeleteGroupsRequest<'a> {
    /// The groups.
    pub groups_names: Vec<&'a str>,
}

/// Which are deleted.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 42, versions = 0..=2, flexible = 2..)]
pub struct DeleteGroupsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// By group.
    pub results: Vec<DeletableGroupResult<'a>>,
}

/// Whether a group is deleted.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DeletableGroupResult<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// Error of this group: `NON_EMPTY_GROUP` while it has members.
    pub error_code: i16,
}
