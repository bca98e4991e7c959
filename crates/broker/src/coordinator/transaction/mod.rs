//! The coordinators of transactions: each partition of `__transaction_state` that this broker leads has one, which owns the transactional
//! ids that fall to that partition. What they decide is in `ottla_cluster::transaction`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_cluster::transaction::{Owner, TransactionalId};
use ottla_model::TopicPartition;
use ottla_wire::ErrorCode;

use super::Shared;

/// What a partition's leader asks a coordinator before it takes a transactional batch (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Whether the partitions take part already: the client said so itself, by AddPartitionsToTxn.
    Verify,
    /// That they take part from now on: the client leaves it to the leader (`transaction.version` 2, Produce and TxnOffsetCommit from the
    /// versions on that say so).
    Add,
}

/// All coordinators of transactions of this broker.
pub struct TransactionCoordinators {}

impl TransactionCoordinators {
    /// Follows the metadata from now on. To be called on the runtime that they are to run on.
    pub fn start(_shared: &Shared) -> Arc<TransactionCoordinators> {
        Arc::new(TransactionCoordinators {})
    }

    /// Whether each of the partitions takes part in the owner's transaction, as Kafka's code for each; `Err`: one code for all. The question
    /// is on its way when this returns.
    pub fn take_part(
        &self,
        _transactional_id: &TransactionalId,
        _owner: Owner,
        _partitions: BTreeSet<TopicPartition>,
        _ask: Ask,
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, ErrorCode>, ErrorCode>> + Send + use<> {
        std::future::ready(Err(ErrorCode::CoordinatorNotAvailable))
    }

    /// Ends all coordinators, and returns when none of them writes any more.
    pub async fn stop(&self) {}
}
