//! AddOffsetsToTxn (key 25): a transaction will commit offsets of a group (KIP-98).
//!
//! * 0 and 1 are alike, 2 may answer `PRODUCER_FENCED` (KIP-588), 3 is flexible. 4 may answer `TRANSACTION_ABORTABLE`
//!   (KIP-890).

use crate::Wire;

/// Names the group.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 25, versions = 0..=4, flexible = 3.., response = AddOffsetsToTxnResponse)]
pub struct AddOffsetsToTxnRequest<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The group.
    pub group_id: &'a str,
}

/// Whether the transaction may commit its offsets.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 25, versions = 0..=4, flexible = 3..)]
pub struct AddOffsetsToTxnResponse {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
}
