//! EndTxn (key 26): commit a transaction or abort it (KIP-98).
//!
//! * 0 and 1 are alike, 2 may answer `PRODUCER_FENCED` (KIP-588), 3 is flexible. 4 may answer `TRANSACTION_ABORTABLE`
//!   (KIP-890).
//! * 5 gives the producer the epoch of its next transaction (KIP-890): one more, or a new id when that is used up.

use crate::Wire;

/// Ends the transaction.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 26, versions = 0..=5, flexible = 3.., response = EndTxnResponse)]
pub struct EndTxnRequest<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// True: commit. False: abort.
    pub committed: bool,
}

/// Whether the end is decided; the markers follow.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 26, versions = 0..=5, flexible = 3..)]
pub struct EndTxnResponse {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// The producer's id from here on; -1 on an error.
    #[wire(since = 5, default = -1, ignorable)]
    pub producer_id: i64,
    /// Its epoch from here on; -1 on an error.
    #[wire(since = 5, default = -1, ignorable)]
    pub producer_epoch: i16,
}
