//! The first batch of a transaction on a partition (KIP-98, KIP-890): it waits until the transaction's coordinator has said that the
//! partition takes part. Owns how the coordinator is asked, what its answers become, and what is kept meanwhile.
//!
//! * Since version 12 of Produce (transaction V2) the coordinator is asked to have the partition take part; before, whether it does,
//!   since the client has said so by AddPartitionsToTxn; then not at all without `transaction.partition.verification.enable`.
//! * The partition gives out a guard before the coordinator is asked, and any marker of the producer takes it back: a request that was
//!   delayed never lands in a later transaction.
//! * Batches that wait are kept within the bound of all requests that wait (`deferred.rs`); one that finds no room is to be sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use ottla_cluster::transaction::{Owner, TransactionalId};
use ottla_log::{AppendOrigin, FirstBatch, VerificationGuard};
use ottla_model::config::Value;
use ottla_model::{Acks, TopicPartition};
use ottla_wire::ErrorCode;
use tokio::sync::OwnedSemaphorePermit;

use super::produce::{self, Done, Place, Refused};
use crate::context::{BrokerContext, deadline_after};
use crate::coordinator::Ask;
use crate::partition::Partition;

/// First version of Produce that leaves it to the leader to have the partition take part.
const ADDS_SINCE: i16 = 12;
/// First version of Produce that may be told TRANSACTION_ABORTABLE.
const ABORTABLE_SINCE: i16 = 11;

/// What a version of Produce has the coordinator asked.
pub(super) const fn ask_of(version: i16) -> Ask {
    if version >= ADDS_SINCE { Ask::Add } else { Ask::Verify }
}

/// Whether the coordinator is asked at all.
pub(super) fn is_asked_for(broker: &BrokerContext, ask: Ask) -> bool {
    let verifies = || {
        let config = broker.effective_config();
        !matches!(config.values().value("transaction.partition.verification.enable"), Ok(Some(Value::Bool(false))))
    };
    ask == Ask::Add || verifies()
}

/// What a coordinator says of each partition, or of all.
pub(crate) type TakesPart = Result<BTreeMap<TopicPartition, ErrorCode>, ErrorCode>;
/// Its answer under way.
pub(crate) type Asking = Pin<Box<dyn Future<Output = TakesPart> + Send>>;

/// Asks the coordinator; the question is on its way when this returns. One that does not answer in time counts as out of reach.
pub(super) fn ask(
    broker: &BrokerContext,
    transactional_id: &TransactionalId,
    owner: Owner,
    partitions: BTreeSet<TopicPartition>,
    ask: Ask,
) -> impl Future<Output = TakesPart> + Send + use<> {
    let asking = ask_now(broker, transactional_id, owner, partitions, ask);
    let deadline = deadline_after(broker.config.request_timeout_ms);
    async move { tokio::time::timeout_at(deadline, asking).await.unwrap_or(Err(ErrorCode::NetworkException)) }
}

fn ask_now(
    broker: &BrokerContext,
    transactional_id: &TransactionalId,
    owner: Owner,
    partitions: BTreeSet<TopicPartition>,
    ask: Ask,
) -> Asking {
    #[cfg(test)]
    if let Some(script) = &*broker.scripted_coordinator.lock() {
        return script(transactional_id.as_str(), owner, partitions, ask);
    }
    Box::pin(broker.transactions.take_part(transactional_id, owner, partitions, ask))
}

/// What a coordinator has said of one partition.
pub(super) fn said_of(answer: &TakesPart, partition: &TopicPartition) -> Result<(), ErrorCode> {
    let code = match answer {
        Ok(each) => each.get(partition).copied().unwrap_or(ErrorCode::InvalidTxnState),
        Err(code) => *code,
    };
    if code == ErrorCode::None { Ok(()) } else { Err(code) }
}

/// The first batches of a request.
pub(super) struct FirstBatches {
    version: i16,
    acks: Option<Acks>,
    owner: Option<Owner>,
    kept: Vec<Kept>,
}

struct Kept {
    place: Place,
    partition: Arc<Partition>,
    /// `None`: the transaction was opened in this moment, by another connection.
    guard: Option<VerificationGuard>,
    records: Box<[u8]>,
    _room: OwnedSemaphorePermit,
}

impl FirstBatches {
    pub(super) fn new(version: i16, acks: Option<Acks>) -> FirstBatches {
        FirstBatches { version, acks, owner: None, kept: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Keeps a batch until the coordinator has answered.
    pub(super) fn keep(
        &mut self,
        broker: &BrokerContext,
        place: Place,
        partition: &Arc<Partition>,
        first: FirstBatch,
        records: &[u8],
    ) -> Result<(), Refused> {
        let owner = Owner { producer_id: first.producer_id, producer_epoch: first.producer_epoch };
        if *self.owner.get_or_insert(owner) != owner {
            let message = "the transactional batches of one request are of several producers";
            return Err(Refused::new(ErrorCode::InvalidProducerIdMapping, message));
        }
        let Some(room) = broker.deferred.admit(records.len()) else {
            return Err(Refused::new(ErrorCode::NotEnoughReplicas, "too many batches wait for coordinators of transactions"));
        };
        let guard = partition.begin_verification(&first, broker.now());
        self.kept.push(Kept { place, partition: Arc::clone(partition), guard, records: records.into(), _room: room });
        Ok(())
    }

    /// Has the coordinator asked, and writes what may be written. The question is on its way when this returns.
    pub(super) fn write(
        self,
        broker: &Arc<BrokerContext>,
        transactional_id: TransactionalId,
    ) -> impl Future<Output = Vec<(Place, Result<Done, Refused>)>> + Send + use<> {
        let FirstBatches { version, acks, owner, kept } = self;
        let partitions: BTreeSet<_> =
            kept.iter().filter(|kept| kept.guard.is_some()).map(|kept| kept.partition.topic_partition().clone()).collect();
        let asked = owner.filter(|_| !partitions.is_empty());
        let asked = asked.map(|owner| ask(broker, &transactional_id, owner, partitions, ask_of(version)));
        let broker = Arc::clone(broker);
        async move {
            let answer = match asked {
                Some(asked) => asked.await,
                None => Ok(BTreeMap::new()),
            };
            let mut written = Vec::with_capacity(kept.len());
            for batch in kept {
                let said = if batch.guard.is_some() { said_of(&answer, batch.partition.topic_partition()) } else { Ok(()) };
                let place = batch.place;
                let outcome = match said {
                    Ok(()) => append(&broker, batch, acks.unwrap_or(Acks::All)).await,
                    Err(code) => Err(refusal(code, version)),
                };
                written.push((place, outcome));
            }
            written
        }
    }
}

/// Appends on this thread, or on another while the disk is slow.
async fn append(broker: &BrokerContext, batch: Kept, acks: Acks) -> Result<Done, Refused> {
    let Kept { partition, guard, records, _room, .. } = batch;
    let (dir, now) = (Arc::clone(partition.log_dir()), broker.now());
    let origin = guard.map_or(AppendOrigin::Client, AppendOrigin::Verified);
    let work = move || produce::append(partition, &records, acks, origin, now);
    if !dir.is_slow() {
        return work();
    }
    let lost = || Err(Refused::new(ErrorCode::KafkaStorageError, "the log directory has failed"));
    dir.off_network(work).await.unwrap_or_else(lost)
}

/// What the producer is told when the coordinator says no, or nothing.
fn refusal(code: ErrorCode, version: i16) -> Refused {
    let unknown = || {
        // Older clients take the coordinator's own codes for fatal here, and this one does not have metadata fetched again.
        let message = format!("Unable to verify the partition has been added to the transaction. Underlying error: {code}");
        Refused::new(ErrorCode::NotEnoughReplicas, message)
    };
    match code {
        ErrorCode::ProducerFenced => Refused::new(ErrorCode::InvalidProducerEpoch, "a newer producer has taken over the transactional id"),
        ErrorCode::TransactionAbortable if version < ABORTABLE_SINCE => refusal(ErrorCode::InvalidTxnState, version),
        ErrorCode::InvalidTxnState => Refused::new(code, "Partition was not added to the transaction"),
        ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => unknown(),
        // So common between two transactions that clients which can tell are told.
        ErrorCode::ConcurrentTransactions if ask_of(version) == Ask::Verify => unknown(),
        other => Refused::new(other, other.to_string()),
    }
}

#[cfg(test)]
#[path = "produce_transactional_tests.rs"]
mod tests;
