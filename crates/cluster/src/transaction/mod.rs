//! Transactions (KIP-98, KIP-360, KIP-890): the state machine of the coordinator.
//!
//! A [`TransactionCoordinator`] owns the transactional ids of one partition of `__transaction_state`. It is rebuilt by replaying the
//! partition's records, so its leadership can move. It appends nothing, sends nothing and waits for nothing: what it wants done it gives as
//! [`Effect`]s, and is told what became of them.
//!
//! | file | owns |
//! |---|---|
//! | `state` | what is known of one transactional id, as it stands in the log; which states may follow which |
//! | `coordinator` | the ids of one partition, requests, what is under way, timeouts |
//! | `end` | what an EndTxn comes to, by version, state and epoch |
//! | `error` | why a request is refused |
//!
//! **A state counts once it is in the log.** A request that changes something proposes a record; until the record is appended the id has
//! its old state and a change under way, and whoever asks for another one is told to come back (CONCURRENT_TRANSACTIONS). There is no
//! state to be taken back when an append fails.
//!
//! **A transaction ends in two steps.** The decision is a record (PrepareCommit, PrepareAbort): from then on nothing can undo it. Then each
//! partition gets its marker, and when all have it a second record completes the transaction. A coordinator that takes over finds the
//! first record and has the markers written again, which does no harm.
//!
//! **Versions.** Since version 2 (KIP-890) each end raises the producer's epoch, so that a request of an older transaction, however late,
//! can never land in a newer one; and an epoch that runs out takes a new producer id along the way.

mod coordinator;
mod end;
mod error;
mod state;
#[cfg(test)]
mod tests;

pub use coordinator::{
    AddPartitions, Effect, EndTransaction, InitProducerId, Owner, Reply, ReplyToken, TransactionConfig, TransactionCoordinator,
};
pub use error::TransactionError;
pub use state::{Transaction, TransactionRecord, TransactionState, TransactionVersion, TransactionalId};
