//! The coordinators of transactions: each partition of `__transaction_state` that this broker leads has one, which owns the transactional
//! ids that fall to that partition. What they decide is in `ottla_cluster::transaction`.
//!
//! | file | does |
//! |---|---|
//! | `machine` | carries out what the state machine wants done |
//! | `markers` | has each partition's marker written, over again until it is there |
//! | `records` | the partition's batches and records in Kafka's formats |
//! | `errors` | Kafka's code for each refusal |

mod errors;
mod machine;
mod markers;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::transaction::{
    AddPartitions, EndTransaction, InitProducerId, Owner, Reply, Transaction, TransactionError, TransactionVersion, TransactionalId,
};
use ottla_model::TopicPartition;
use ottla_wire::ErrorCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use errors::Refused;
pub use machine::{Filter, Listed};

use super::topic::{InternalTopic, TRANSACTIONS_TOPIC, number};
use super::{Coordinators, GroupCoordinators, Shared, Unanswered};
use crate::producer_ids::ProducerIds;
use machine::{Change, Kit, Message, To, TransactionMachine};
use markers::Markers;

/// The topic that transactions are kept in.
pub(super) const TOPIC: InternalTopic = InternalTopic {
    name: TRANSACTIONS_TOPIC,
    partitions: "transaction.state.log.num.partitions",
    replication_factor: "transaction.state.log.replication.factor",
    segment_bytes: "transaction.state.log.segment.bytes",
    min_isr: Some("transaction.state.log.min.isr"),
    configs: &[("cleanup.policy", "compact"), ("compression.type", "uncompressed"), ("unclean.leader.election.enable", "false")],
};

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
pub struct TransactionCoordinators {
    all: Arc<Coordinators<TransactionMachine>>,
}

impl TransactionCoordinators {
    /// Follows the metadata from now on. To be called on the runtime that they are to run on. `groups`: those who write the markers of
    /// partitions of the offsets topic.
    pub fn start(shared: &Shared, producer_ids: &Arc<ProducerIds>, groups: &Arc<GroupCoordinators>) -> Arc<TransactionCoordinators> {
        let markers = Arc::new(Markers::new(shared, groups));
        let kit = Kit { producer_ids: Arc::clone(producer_ids), markers };
        Arc::new(TransactionCoordinators { all: Coordinators::start_with(shared, kit) })
    }

    /// InitProducerId; the question is on its way when this returns, as with all that follow.
    pub fn initialize(&self, request: InitProducerId) -> impl Future<Output = Result<Owner, Refused>> + Send + use<> {
        let id = request.transactional_id.clone();
        let asked = change(&self.all, &id, Change::Initialize(request));
        async move { owner_of(asked.get().await?) }
    }

    /// AddPartitionsToTxn or AddOffsetsToTxn.
    pub fn add(&self, request: AddPartitions) -> impl Future<Output = Result<(), Refused>> + Send + use<> {
        let id = request.transactional_id.clone();
        let asked = change(&self.all, &id, Change::Add(request));
        async move { asked.get().await.map(|_added| ()) }
    }

    /// Of each of these partitions, whether it takes part: TRANSACTION_ABORTABLE for one that does not.
    pub fn verify(
        &self,
        transactional_id: &TransactionalId,
        owner: Owner,
        partitions: BTreeSet<TopicPartition>,
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, ErrorCode>, Refused>> + Send + use<> {
        question(&self.all, transactional_id, owner, &partitions, Ask::Verify).get()
    }

    /// EndTxn: who the producer is from now on.
    pub fn end(&self, request: EndTransaction) -> impl Future<Output = Result<Owner, Refused>> + Send + use<> {
        let id = request.transactional_id.clone();
        let asked = change(&self.all, &id, Change::End(request));
        async move { owner_of(asked.get().await?) }
    }

    /// DescribeTransactions: of a transaction that is decided, the partitions that wait for their markers.
    pub fn describe(&self, transactional_id: &TransactionalId) -> impl Future<Output = Result<Transaction, Refused>> + Send + use<> {
        let to = |reply| Message::Describe { transactional_id: transactional_id.clone(), reply };
        let asked = ask(&self.all, transactional_id, to);
        async move { asked.get().await }
    }

    /// ListTransactions: of all coordinators of this broker; those that are not in charge are left out.
    pub fn list(&self, filter: Filter) -> impl Future<Output = Result<Vec<Listed>, Unanswered>> + Send + use<> {
        let filter = Arc::new(filter);
        let asked = self.all.partitions().into_iter().map(|partition| {
            let (reply, answer) = oneshot::channel();
            let sent = self.all.send(Some(partition), Message::List { filter: Arc::clone(&filter), reply });
            async move {
                sent?;
                answer.await.unwrap_or(Err(Unanswered::NotCoordinator))
            }
        });
        let asked = super::all_in_charge(asked.collect());
        async move { Ok(asked.await?.into_iter().flatten().collect()) }
    }

    /// Whether each of the partitions takes part in the owner's transaction, as Kafka's code for each: TRANSACTION_ABORTABLE for one that
    /// does not, which a client too old for it is to get as INVALID_TXN_STATE. `Err`: one code for all, with PRODUCER_FENCED, for which
    /// producers expect INVALID_PRODUCER_EPOCH here. The question is on its way when this returns.
    ///
    /// While the markers of the transaction before are being written, [`Ask::Add`] is asked again for up to
    /// `add.partitions.to.txn.retry.backoff.max.ms`: the client's first batch of a transaction does not have to be sent twice.
    pub fn take_part(
        &self,
        transactional_id: &TransactionalId,
        owner: Owner,
        partitions: BTreeSet<TopicPartition>,
        ask_for: Ask,
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, ErrorCode>, ErrorCode>> + Send + use<> {
        let server = self.all.shared.published.config();
        let ms = |name| u64::try_from(number(&server, name)).unwrap_or(0);
        let patience_ms = ms("add.partitions.to.txn.retry.backoff.max.ms").min(u64::try_from(server.request_timeout_ms).unwrap_or(0));
        let (backoff, began) = (Duration::from_millis(ms("add.partitions.to.txn.retry.backoff.ms")), Instant::now());
        let (all, id) = (Arc::clone(&self.all), transactional_id.clone());
        let mut asked = question(&all, &id, owner, &partitions, ask_for);
        async move {
            loop {
                let concurrent = match asked.get().await {
                    Ok(codes) => return Ok(codes),
                    Err(Refused::Transaction(TransactionError::Concurrent)) if ask_for == Ask::Add => ErrorCode::ConcurrentTransactions,
                    Err(why) => return Err(why.error_code()),
                };
                if began.elapsed() >= Duration::from_millis(patience_ms) {
                    return Err(concurrent);
                }
                tokio::time::sleep(backoff).await;
                asked = question(&all, &id, owner, &partitions, ask_for);
            }
        }
    }

    /// Ends all coordinators, and returns when none of them writes any more.
    pub async fn stop(&self) {
        self.all.stop().await;
    }

    /// Has this stand in for the partitions, when markers are written.
    #[cfg(test)]
    pub(crate) fn script_markers(
        &self,
        script: impl FnMut(&TopicPartition, crate::txn_markers::Marker) -> Result<(), ErrorCode> + Send + 'static,
    ) {
        *self.all.kit.markers.script.lock() = Some(Box::new(script));
    }
}

/// A question that is on its way, or why it is not.
enum Asked<T> {
    Sent(oneshot::Receiver<Result<T, Refused>>),
    Not(Refused),
}

impl<T> Asked<T> {
    async fn get(self) -> Result<T, Refused> {
        match self {
            // Dropped unanswered: its coordinator ended.
            Asked::Sent(answer) => answer.await.unwrap_or(Err(Unanswered::NotCoordinator.into())),
            Asked::Not(why) => Err(why),
        }
    }
}

fn ask<T>(all: &Coordinators<TransactionMachine>, id: &TransactionalId, message: impl FnOnce(To<T>) -> Message) -> Asked<T> {
    if id.as_str().is_empty() {
        // It would fall to a partition like any other.
        return Asked::Not(TransactionError::EmptyTransactionalId.into());
    }
    let (reply, answer) = oneshot::channel();
    match all.send(all.partition_of(id.as_str()), message(reply)) {
        Ok(()) => Asked::Sent(answer),
        Err(why) => Asked::Not(why.into()),
    }
}

fn change(all: &Coordinators<TransactionMachine>, id: &TransactionalId, change: Change) -> Asked<Reply> {
    ask(all, id, |reply| Message::Change { change, reply })
}

fn owner_of(reply: Reply) -> Result<Owner, Refused> {
    match reply {
        Reply::Initialized(owner) | Reply::Ended(owner) => Ok(owner),
        Reply::Added => {
            tracing::error!("a coordinator of transactions answered another question than it was asked");
            Err(Unanswered::NotAvailable.into())
        }
    }
}

/// Whether partitions take part, asked in one of two ways.
enum Question {
    Verify(Asked<BTreeMap<TopicPartition, bool>>),
    Add(Asked<Reply>, BTreeSet<TopicPartition>),
}

fn question(
    all: &Coordinators<TransactionMachine>,
    id: &TransactionalId,
    owner: Owner,
    partitions: &BTreeSet<TopicPartition>,
    ask_for: Ask,
) -> Question {
    let (transactional_id, asked) = (id.clone(), partitions.clone());
    match ask_for {
        Ask::Verify => Question::Verify(ask(all, id, |reply| Message::Verify { transactional_id, owner, partitions: asked, reply })),
        Ask::Add => {
            let request = AddPartitions { transactional_id, owner, partitions: asked, version: TransactionVersion::EpochBump };
            Question::Add(change(all, id, Change::Add(request)), partitions.clone())
        }
    }
}

impl Question {
    async fn get(self) -> Result<BTreeMap<TopicPartition, ErrorCode>, Refused> {
        let code = |takes_part| if takes_part { ErrorCode::None } else { ErrorCode::TransactionAbortable };
        match self {
            Question::Verify(asked) => Ok(asked.get().await?.into_iter().map(|(partition, is_in)| (partition, code(is_in))).collect()),
            Question::Add(asked, partitions) => {
                asked.get().await?;
                Ok(partitions.into_iter().map(|partition| (partition, code(true))).collect())
            }
        }
    }
}
