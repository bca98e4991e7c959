//! ListTransactions (key 66): all transactional ids that a broker coordinates (KIP-664).
//!
//! * 0 is flexible already. 1 can ask for those that run long (KIP-994), 2 for ids that match a pattern (KIP-1152).

use std::borrow::Cow;

use crate::Wire;

/// Asks for transactional ids.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 66, versions = 0..=2, flexible = 0.., response = ListTransactionsResponse<'r>)]
pub struct ListTransactionsRequest<'a> {
    /// Only those in one of these states; empty: in any.
    pub state_filters: Vec<&'a str>,
    /// Only those of one of these producers; empty: of any.
    pub producer_id_filters: Vec<i64>,
    /// Only those whose transaction has been running for more than so many milliseconds; negative: all.
    #[wire(since = 1, default = -1)]
    pub duration_filter: i64,
    /// Only those that match this regular expression (RE2) as a whole; null or empty: all.
    #[wire(since = 2, default = null)]
    pub transactional_id_pattern: Option<&'a str>,
}

/// The transactional ids.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 66, versions = 0..=2, flexible = 0..)]
pub struct ListTransactionsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// The states asked for that there are none of.
    pub unknown_state_filters: Vec<Cow<'a, str>>,
    /// The transactional ids.
    pub transaction_states: Vec<TransactionState<'a>>,
}

/// A transactional id.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct TransactionState<'a> {
    /// The transactional id.
    pub transactional_id: Cow<'a, str>,
    /// The producer.
    pub producer_id: i64,
    /// Its state, e.g. `Ongoing`.
    pub transaction_state: Cow<'a, str>,
}
