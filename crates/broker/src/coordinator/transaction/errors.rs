//! Kafka's code for each refusal of a transaction.

use ottla_cluster::transaction::TransactionError;
use ottla_wire::ErrorCode;

use crate::coordinator::Unanswered;

/// Why there is no result: the coordinator refused, or gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// By the state machine.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// There was no coordinator to ask.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The record that names all partitions of the transaction does not fit into a batch of `__transaction_state`.
    #[error("the transaction has too many partitions: its record takes {bytes} bytes, and a batch of __transaction_state {bytes_max}")]
    TooManyPartitions {
        /// What it takes.
        bytes: usize,
        /// What a batch may take.
        bytes_max: usize,
    },
}

impl Refused {
    /// What is told to whoever knows PRODUCER_FENCED (KIP-588).
    pub const fn error_code(&self) -> ErrorCode {
        match self {
            Refused::Transaction(error) => transaction_error_code(error),
            Refused::Unanswered(why) => why.error_code(),
            Refused::TooManyPartitions { .. } => ErrorCode::UnknownServerError,
        }
    }

    /// What a client is told that asks in `version` of an API that knows PRODUCER_FENCED since `fenced_since`.
    pub fn error_code_in(&self, version: i16, fenced_since: i16) -> ErrorCode {
        match self.error_code() {
            ErrorCode::ProducerFenced if version < fenced_since => ErrorCode::InvalidProducerEpoch,
            code => code,
        }
    }
}

const fn transaction_error_code(error: &TransactionError) -> ErrorCode {
    match error {
        TransactionError::EmptyTransactionalId => ErrorCode::InvalidRequest,
        TransactionError::InvalidTimeout { .. } => ErrorCode::InvalidTransactionTimeout,
        TransactionError::NotFound => ErrorCode::TransactionalIdNotFound,
        TransactionError::InvalidProducerId { .. } => ErrorCode::InvalidProducerIdMapping,
        TransactionError::Fenced { .. } => ErrorCode::ProducerFenced,
        TransactionError::Concurrent => ErrorCode::ConcurrentTransactions,
        TransactionError::InvalidState { .. } => ErrorCode::InvalidTxnState,
        TransactionError::NotWritten { moved: true, .. } => ErrorCode::NotCoordinator,
        TransactionError::NotWritten { moved: false, .. } => ErrorCode::CoordinatorNotAvailable,
    }
}
