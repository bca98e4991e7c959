//! FindCoordinator (key 10): the broker that coordinates a group or a transactional id.
//!
//! * 0 knows groups only. 1 adds transactional ids, and why it failed; 2 is the same.
//! * 3 is flexible. 4 asks for several keys at once (KIP-699), with fields of its own for that.
//! * 5 may answer `TRANSACTION_ABORTABLE` (KIP-890). 6 adds share groups (KIP-932).

use std::borrow::Cow;

use crate::Wire;

/// `key_type` of groups.
pub const KEY_TYPE_GROUP: i8 = 0;
/// `key_type` of transactional ids (from version 1).
pub const KEY_TYPE_TRANSACTION: i8 = 1;
/// `key_type` of a share group's partitions, whose keys are `group:topic id:partition` (from version 6, KIP-932).
pub const KEY_TYPE_SHARE: i8 = 2;

/// Asks for coordinators.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 10, versions = 0..=6, flexible = 3.., response = FindCoordinatorResponse<'r>)]
pub struct FindCoordinatorRequest<'a> {
    /// Whose, up to version 3.
    #[wire(until = 3)]
    pub key: &'a str,
    /// What the keys are: one of this module's constants.
    #[wire(since = 1)]
    pub key_type: i8,
    /// Whose, from version 4; all of the same kind.
    #[wire(since = 4)]
    pub coordinator_keys: Vec<&'a str>,
}

/// The coordinators.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 10, versions = 0..=6, flexible = 3..)]
pub struct FindCoordinatorResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the request, up to version 3.
    #[wire(until = 3)]
    pub error_code: i16,
    /// Why it failed, for people, up to version 3.
    #[wire(since = 1, until = 3, ignorable)]
    pub error_message: Option<Cow<'a, str>>,
    /// The broker, up to version 3.
    #[wire(until = 3)]
    pub node_id: i32,
    /// Its advertised host.
    #[wire(until = 3)]
    pub host: Cow<'a, str>,
    /// Its advertised port.
    #[wire(until = 3)]
    pub port: i32,
    /// The brokers, from version 4: one for each key.
    #[wire(since = 4)]
    pub coordinators: Vec<Coordinator<'a>>,
}

/// The coordinator of one key.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct Coordinator<'a> {
    /// The key, as asked.
    pub key: Cow<'a, str>,
    /// The broker; -1 on an error.
    pub node_id: i32,
    /// Its advertised host.
    pub host: Cow<'a, str>,
    /// Its advertised port.
    pub port: i32,
    /// Error of this key.
    pub error_code: i16,
    /// Why it failed, for people.
    pub error_message: Option<Cow<'a, str>>,
}
