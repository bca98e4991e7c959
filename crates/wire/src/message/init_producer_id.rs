//! InitProducerId (key 22): an id for an idempotent or transactional producer, and its epoch (KIP-98).
//!
//! * 0 and 1 are alike, 2 is flexible, 3 lets a producer go on after an error (KIP-360).
//! * 4 may answer `PRODUCER_FENCED` (KIP-588), 5 `TRANSACTION_ABORTABLE` (KIP-890).
//! * 6 (two-phase commit, KIP-939) is unstable in Kafka 4.3 and not taken.

use crate::Wire;

/// Asks for a producer id.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 22, versions = 0..=5, flexible = 2.., response = InitProducerIdResponse)]
pub struct InitProducerIdRequest<'a> {
    /// The transactional id; null for a producer that is idempotent only.
    pub transactional_id: Option<&'a str>,
    /// After how many milliseconds an idle transaction is aborted.
    pub transaction_timeout_ms: i32,
    /// The id the producer has; -1: none yet.
    #[wire(since = 3, default = -1)]
    pub producer_id: i64,
    /// The epoch the producer has; -1: none yet.
    #[wire(since = 3, default = -1)]
    pub producer_epoch: i16,
}

/// The producer id.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 22, versions = 0..=5, flexible = 2..)]
pub struct InitProducerIdResponse {
    /// See [`crate::message`].
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// The id; -1 on an error.
    #[wire(default = -1)]
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
}
