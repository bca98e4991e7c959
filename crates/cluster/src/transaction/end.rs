//! What an EndTxn comes to.
//!
//! In version 2 an epoch belongs to one transaction, so the epoch tells a retry from the next request. With `retry` for an epoch that is one
//! below the current (or the last of the producer id before), and `current` for the current one:
//!
//! | state | abort, retry | abort, current | commit, retry | commit, current |
//! |---|---|---|---|---|
//! | Empty | fenced | aborts nothing | fenced | invalid |
//! | Ongoing | fenced | aborts | fenced | commits |
//! | PrepareCommit, PrepareAbort | come back | come back | come back | come back |
//! | CompleteAbort | done | aborts nothing | invalid | invalid |
//! | CompleteCommit | invalid | aborts nothing | done | invalid |
//!
//! While markers are written the current epoch is that of the producer's next transaction, which it may want to end before they are. Kafka
//! calls that fenced, and the producer is lost though nobody took its place; here it comes back when they are written.
//!
//! *Aborts nothing*: a producer that does not know whether its last write has reached the broker gets a new epoch, so that it cannot any more.

use ottla_model::{ProducerEpoch, ProducerId};

use super::state::EPOCH_MAX;
use super::{Transaction, TransactionError, TransactionState, TransactionVersion};

/// What an EndTxn comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is to be ended.
    End,
    /// It was, by this very request.
    Done,
}

/// Decides. `is_changing`: something is under way, as it always is while markers are written.
pub(super) fn decide(
    transaction: &Transaction,
    is_changing: bool,
    producer: (ProducerId, ProducerEpoch),
    commit: bool,
    version: TransactionVersion,
) -> Result<Decision, TransactionError> {
    match version {
        TransactionVersion::Classic => classic(transaction, is_changing, producer, commit),
        TransactionVersion::EpochBump => with_epoch_bump(transaction, is_changing, producer, commit),
    }
}

fn fenced(transaction: &Transaction, asked: ProducerEpoch) -> TransactionError {
    TransactionError::Fenced { asked, current: transaction.producer_epoch }
}

fn classic(
    transaction: &Transaction,
    is_changing: bool,
    (id, epoch): (ProducerId, ProducerEpoch),
    commit: bool,
) -> Result<Decision, TransactionError> {
    if transaction.producer_id != id {
        return Err(TransactionError::InvalidProducerId { asked: id });
    }
    if transaction.producer_epoch != epoch {
        return Err(fenced(transaction, epoch));
    }
    if is_changing {
        return Err(TransactionError::Concurrent);
    }
    match (transaction.state, commit) {
        (TransactionState::Ongoing, _) => Ok(Decision::End),
        (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => Ok(Decision::Done),
        (TransactionState::PrepareCommit, true) | (TransactionState::PrepareAbort, false) => Err(TransactionError::Concurrent),
        (state, commit) => Err(TransactionError::InvalidState { state, commit }),
    }
}

fn with_epoch_bump(
    transaction: &Transaction,
    is_changing: bool,
    (id, epoch): (ProducerId, ProducerEpoch),
    commit: bool,
) -> Result<Decision, TransactionError> {
    // The producer goes on as soon as it is told who it is from now on: while markers of the id before are written, it may have a new one.
    let is_current = transaction.after_completion() == (id, epoch);
    let is_retry_across_ids = transaction.previous_producer_id == id && epoch.0 == EPOCH_MAX && transaction.producer_epoch.0 == 0;
    let is_retry = is_retry_across_ids || (transaction.producer_id == id && Some(transaction.producer_epoch.0) == epoch.0.checked_add(1));
    if transaction.producer_id != id && !is_current && !is_retry_across_ids {
        return Err(TransactionError::InvalidProducerId { asked: id });
    }
    let is_valid = match transaction.state {
        TransactionState::Empty | TransactionState::Ongoing => is_current,
        TransactionState::PrepareCommit
        | TransactionState::PrepareAbort
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => is_current || is_retry,
    };
    if !is_valid {
        return Err(fenced(transaction, epoch));
    }
    if is_changing {
        return Err(TransactionError::Concurrent);
    }
    match (transaction.state, commit) {
        (TransactionState::Ongoing, _) | (TransactionState::Empty, false) => Ok(Decision::End),
        (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) if is_retry => Ok(Decision::Done),
        (TransactionState::CompleteCommit | TransactionState::CompleteAbort, false) if !is_retry => Ok(Decision::End),
        (TransactionState::PrepareCommit, true) | (TransactionState::PrepareAbort, false) => Err(TransactionError::Concurrent),
        (state, commit) => Err(TransactionError::InvalidState { state, commit }),
    }
}
