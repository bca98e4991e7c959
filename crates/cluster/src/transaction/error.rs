//! Why a request to a transaction coordinator is refused. The broker maps each to Kafka's error code, which the first word of each
//! description names.

use ottla_model::{ProducerEpoch, ProducerId};

use super::TransactionState;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// INVALID_REQUEST.
    #[error("the transactional id is empty: set transactional.id")]
    EmptyTransactionalId,
    /// INVALID_TRANSACTION_TIMEOUT.
    #[error("a transaction timeout of {asked_ms} ms is not between 1 and transaction.max.timeout.ms ({max_ms})")]
    InvalidTimeout {
        /// What was asked.
        asked_ms: i32,
        /// The most allowed.
        max_ms: i32,
    },
    /// TRANSACTIONAL_ID_NOT_FOUND: to those who only ask.
    #[error("no such transactional id is known")]
    NotFound,
    /// INVALID_PRODUCER_ID_MAPPING.
    #[error("producer id {asked} is not that of the transactional id: it expired, or another producer has taken it over")]
    InvalidProducerId {
        /// What the request shows.
        asked: ProducerId,
    },
    /// PRODUCER_FENCED.
    #[error("producer epoch {asked} is not the current one, {current}: another producer with this transactional id has taken over")]
    Fenced {
        /// What the request shows.
        asked: ProducerEpoch,
        /// What is current.
        current: ProducerEpoch,
    },
    /// CONCURRENT_TRANSACTIONS: to be tried again.
    #[error("an earlier change of the transaction is not finished yet: try again")]
    Concurrent,
    /// INVALID_TXN_STATE.
    #[error("a transaction that is {state} cannot be {}", if *.commit { "committed" } else { "aborted" })]
    InvalidState {
        /// Its state.
        state: TransactionState,
        /// What was asked.
        commit: bool,
    },
    /// What the broker was told of the append, given on: COORDINATOR_NOT_AVAILABLE or NOT_COORDINATOR.
    #[error("the change could not be written to __transaction_state: {reason}")]
    NotWritten {
        /// Why.
        reason: String,
        /// This broker does not lead the partition any more.
        moved: bool,
    },
}
