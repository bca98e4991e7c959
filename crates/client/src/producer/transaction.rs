//! [`Transaction`]: records and offsets that are all seen by readers of committed records, or none of them (KIP-98).
//!
//! Owns what a producer is between and in its transactions, and how it comes from one to the next. What goes out when is the
//! accumulator's to say, and what is asked of coordinators is in [`coordinator`](super::coordinator).

use std::collections::BTreeMap;

use ottla_model::{Offset, TopicPartition};
use ottla_wire::error::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::batch::Identity;
use super::coordinator::{Coordinator, Severity, severity, severity_of_batch};
use super::outcome::{Delivery, RecordMetadata};
use super::scope::Scope;
use super::{Producer, Record, Shared};
use crate::client::Deadline;
use crate::{Client, ClientError, GroupMetadata, ProducerConfig};

/// A producer's transactions.
#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) coordinator: Coordinator,
    timeout_ms: u32,
    /// Locked before the accumulator, where both are.
    phase: Mutex<Phase>,
    /// Why a commit that was asked for did not come to be, until it is said.
    uncommitted: Mutex<Option<ClientError>>,
    /// Held by who begins or ends one.
    turn: tokio::sync::Mutex<()>,
    /// Told when the accumulator has nothing out any more.
    quiet: Notify,
}

/// Where a producer is. Set before each step, so that a call that is given up in the middle is gone on with by the next.
#[derive(Clone, Debug)]
enum Phase {
    /// It has taken over no transactional id yet.
    New,
    /// Nothing is open.
    Ready(Identity),
    /// A [`Transaction`] of this number is out there.
    Open { open: Open, number: u64 },
    /// It was dropped: to be aborted.
    Left(Open),
    /// How it ends has been decided, and perhaps asked for.
    Ending { open: Open, commit: bool, raise: bool },
    /// Nothing is open, but the sequence has a gap: the epoch is to be raised (KIP-360).
    Raising(Identity),
    /// For good.
    Ended(ClientError),
}

/// The transaction that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    identity: Identity,
    /// By the rules of KIP-890.
    by_890: bool,
}

impl Transactions {
    pub(super) fn new(client: &Client, config: &ProducerConfig) -> Option<Transactions> {
        let transactional_id = config.transactional_id.as_deref()?;
        Some(Transactions {
            coordinator: Coordinator::new(client, transactional_id),
            timeout_ms: config.transaction_timeout_ms,
            phase: Mutex::new(Phase::New),
            uncommitted: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
            quiet: Notify::new(),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.coordinator.transactional_id
    }

    /// Who the producer is in the open transaction.
    pub(super) fn identity(&self) -> Option<Identity> {
        match &*self.phase.lock() {
            Phase::Open { open, .. } | Phase::Left(open) => Some(open.identity),
            _ => None,
        }
    }

    /// Something came back.
    pub(super) fn look(&self, shared: &Shared) {
        if shared.accumulator.lock().is_quiet() {
            self.quiet.notify_waiters();
        }
    }

    async fn quiet(&self, shared: &Shared) {
        loop {
            let told = self.quiet.notified();
            if shared.accumulator.lock().is_quiet() {
                return;
            }
            told.await;
        }
    }

    fn set(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }

    /// The producer cannot go on.
    pub(super) fn ended(&self, shared: &Shared, cause: ClientError) -> ClientError {
        let error = ClientError::ProducerEnded { transactional_id: self.id().to_owned(), cause: Box::new(cause) };
        self.set(Phase::Ended(error.clone()));
        shared.fail_all(&error);
        error
    }

    fn failed(&self, cause: ClientError) -> ClientError {
        ClientError::TransactionFailed { transactional_id: self.id().to_owned(), cause: Box::new(cause) }
    }

    /// Brings whatever was left to its end, until nothing is open and the producer has an epoch to go on with. A commit that did
    /// not come to be is said here, whether the rest is done already or is left to the next begin: nobody may take that one's
    /// success for a word about the commit.
    async fn make_ready(&self, shared: &Shared, deadline: Deadline) -> Result<Identity, ClientError> {
        let ready = self.bring_to_end(shared, deadline).await;
        let uncommitted = self.uncommitted.lock().take();
        match uncommitted {
            Some(cause) if !matches!(ready, Err(ClientError::ProducerEnded { .. })) => Err(self.failed(cause)),
            _ => ready,
        }
    }

    async fn bring_to_end(&self, shared: &Shared, deadline: Deadline) -> Result<Identity, ClientError> {
        loop {
            let phase = self.phase.lock().clone();
            match phase {
                Phase::Ready(identity) => return Ok(identity),
                Phase::Ended(error) => return Err(error),
                Phase::Open { .. } => {
                    let text = format!("a transaction of `{}` is open: commit or abort it before another begins", self.id());
                    return Err(ClientError::InvalidArgument(text));
                }
                Phase::Left(open) => self.give_up(shared, open).await?,
                Phase::New => match self.coordinator.init(None, self.timeout_ms, deadline).await {
                    Ok(identity) => self.set(Phase::Ready(identity)),
                    Err(error) => return Err(self.or_ended(shared, error)),
                },
                Phase::Raising(identity) => match self.coordinator.init(Some(identity), self.timeout_ms, deadline).await {
                    Ok(identity) => self.set(Phase::Ready(identity)),
                    Err(error) => return Err(self.or_ended(shared, error)),
                },
                Phase::Ending { open, commit, raise } => {
                    let Open { identity, by_890 } = open;
                    match self.coordinator.end(identity, commit, by_890, deadline).await {
                        Ok(Some(next)) => self.set(Phase::Ready(next)),
                        Ok(None) if raise => self.set(Phase::Raising(identity)),
                        Ok(None) => self.set(Phase::Ready(identity)),
                        Err(ClientError::TimedOut { waited_ms, last, .. }) => {
                            return Err(ClientError::TransactionUndecided { transactional_id: self.id().to_owned(), waited_ms, last });
                        }
                        Err(error) => match severity(&error) {
                            Severity::Fatal => return Err(self.ended(shared, error)),
                            // A coordinator that has forgotten the producer has nothing to abort for it.
                            Severity::Abortable | Severity::Passes if commit => {
                                let forgotten = error.code() == Some(ErrorCode::InvalidProducerIdMapping);
                                *self.uncommitted.lock() = Some(error);
                                self.set(if forgotten {
                                    Phase::Raising(identity)
                                } else {
                                    Phase::Ending { open, commit: false, raise: true }
                                });
                            }
                            // Not even aborted: the next epoch does away with it.
                            Severity::Abortable | Severity::Passes => self.set(Phase::Raising(identity)),
                        },
                    }
                }
            }
        }
    }

    fn or_ended(&self, shared: &Shared, error: ClientError) -> ClientError {
        if severity(&error) == Severity::Fatal { self.ended(shared, error) } else { error }
    }

    /// Nothing of the open transaction goes out any more, and it is to be aborted.
    async fn give_up(&self, shared: &Shared, open: Open) -> Result<(), ClientError> {
        let aborted = ClientError::InvalidArgument("it was aborted".to_owned());
        shared.fail_transaction(&aborted);
        // What is out is answered, or its connection given up, within request.timeout.ms.
        self.quiet(shared).await;
        let scope = shared.accumulator.lock().end();
        let (started, gap) = scope.as_ref().map_or((true, true), |scope| (scope.started, scope.gap));
        let cause = scope.as_ref().and_then(Scope::cause);
        if let Some(cause) = cause.filter(|cause| severity_of_batch(cause) == Severity::Fatal) {
            return Err(self.ended(shared, cause.clone()));
        }
        // By KIP-890 each end that is asked for raises the epoch.
        let raise = gap && !open.by_890;
        let forgotten = cause.is_some_and(|cause| cause.code() == Some(ErrorCode::InvalidProducerIdMapping));
        self.set(if forgotten {
            Phase::Raising(open.identity)
        } else if started {
            Phase::Ending { open, commit: false, raise }
        } else if raise {
            Phase::Raising(open.identity)
        } else {
            Phase::Ready(open.identity)
        });
        Ok(())
    }

    async fn begin(&self, producer: &Producer) -> Result<Transaction, ClientError> {
        let shared = &*producer.shared;
        let _turn = self.turn.lock().await;
        let deadline = shared.block_deadline();
        let identity = self.make_ready(shared, deadline).await?;
        let by_890 = self.coordinator.by_890(deadline).await.map_err(|error| self.or_ended(shared, error))?;
        let number = shared.next_transaction();
        shared.accumulator.lock().begin(identity, Scope::new(self.id(), by_890));
        self.set(Phase::Open { open: Open { identity, by_890 }, number });
        Ok(Transaction { producer: producer.clone(), number })
    }

    async fn end(&self, shared: &Shared, commit: bool) -> Result<(), ClientError> {
        let deadline = shared.block_deadline();
        let open = match &*self.phase.lock() {
            Phase::Open { open, .. } => *open,
            Phase::Ended(error) => return Err(error.clone()),
            _ => return Err(Scope::missing()),
        };
        let failed = commit.then(|| shared.accumulator.lock().scope().and_then(|scope| scope.cause().cloned())).flatten();
        if commit && failed.is_none() {
            self.quiet(shared).await;
            let started = shared.accumulator.lock().end().is_some_and(|scope| scope.started);
            self.set(if started { Phase::Ending { open, commit, raise: false } } else { Phase::Ready(open.identity) });
        } else {
            *self.uncommitted.lock() = failed;
            self.give_up(shared, open).await?;
        }
        self.make_ready(shared, deadline).await.map(drop)
    }

    /// A handle is gone without a word about the end.
    fn left(&self, shared: &Shared, number: u64) {
        let mut phase = self.phase.lock();
        if let Phase::Open { open, number: of } = &*phase
            && *of == number
        {
            *phase = Phase::Left(*open);
            // Under the lock: the next transaction, which may begin at once, is not to be failed by this.
            shared.fail_transaction(&ClientError::InvalidArgument("it was dropped without a commit".to_owned()));
        }
    }
}

/// A transaction: what is sent in it, and the offsets that go with it, is seen by readers of committed records
/// ([`IsolationLevel::ReadCommitted`](crate::IsolationLevel::ReadCommitted)) once it is committed, and never if it is not.
///
/// ```no_run
/// use std::collections::BTreeMap;
/// use ottla_client::{Client, ClientConfig, Consumer, ConsumerConfig, IsolationLevel, Offset, Producer, ProducerConfig, Record};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let config = ConsumerConfig::default()
///     .group_id("billing".to_owned())
///     .isolation_level(IsolationLevel::ReadCommitted)
///     .enable_auto_commit(false);
/// let mut orders = Consumer::new(&client, config)?;
/// orders.subscribe(&["orders"], ()).await?;
/// let producer = Producer::new(&client, ProducerConfig::default().transactional_id("billing-1".to_owned()))?;
/// producer.init_transactions().await?;
/// loop {
///     let batch = orders.next_batch().await?;
///     let transaction = producer.begin().await?;
///     for record in &batch.records()? {
///         transaction.enqueue(Record::to("bills").value(record?.value.unwrap_or_default())).await?;
///     }
///     let read = BTreeMap::from([(batch.topic_partition().clone(), batch.last_offset().plus(1))]);
///     transaction.send_offsets(&orders.group_metadata()?, &read).await?;
///     transaction.commit().await?;
/// }
/// # }
/// ```
///
/// One that is dropped, or whose [`commit`](Self::commit) fails, is not committed: the next [`Producer::begin`] aborts what is
/// still open of it, or else the cluster does after `transaction.timeout.ms`.
#[derive(Debug)]
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction {
    producer: Producer,
    number: u64,
}

impl Transaction {
    /// Sends a record and waits for its acknowledgement. It is seen once the transaction is committed.
    ///
    /// # Errors
    /// What kept the record from being written. The transaction has failed then, and can only be aborted.
    pub async fn send(&self, record: Record<'_>) -> Result<RecordMetadata, ClientError> {
        self.enqueue(record).await?.await
    }

    /// As [`Producer::enqueue`]. The acknowledgement need not be waited for: [`commit`](Self::commit) does.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn enqueue(&self, record: Record<'_>) -> Result<Delivery, ClientError> {
        let shared = &*self.producer.shared;
        let queued = shared.enqueue(record).await;
        if let Err(error) = &queued {
            // Who goes on without it does not get the rest committed.
            shared.fail_transaction(error);
        }
        queued
    }

    /// Commits how far a group has read, if the transaction is committed: of each partition the next offset to be read. `group`
    /// is what [`Consumer::group_metadata`](crate::Consumer::group_metadata) gives; a member that the group has gone on without
    /// is refused (KIP-447).
    ///
    /// # Errors
    /// What kept the offsets from being taken. The transaction has failed then, and can only be aborted.
    pub async fn send_offsets(&self, group: &GroupMetadata, offsets: &BTreeMap<TopicPartition, Offset>) -> Result<(), ClientError> {
        let shared = &*self.producer.shared;
        let transactions = shared.transactions()?;
        if offsets.is_empty() {
            return Ok(());
        }
        let deadline = shared.block_deadline();
        let identity = transactions.identity().ok_or_else(Scope::missing)?;
        let (by_890, needs_group) = {
            let mut accumulator = shared.accumulator.lock();
            let scope = accumulator.scope().ok_or_else(Scope::missing)?;
            scope.check()?;
            (scope.implicit, scope.needs_group(group.group_id()))
        };
        // Given up in the middle, nobody knows whether they will be committed: then nothing of it is to be.
        let mut sending = Sending { shared, done: false };
        let result = async {
            if needs_group {
                let added = transactions.coordinator.add_group(identity, group.group_id(), deadline).await;
                if let Err(error) = &added
                    && error.code().is_none()
                    && let Some(scope) = shared.accumulator.lock().scope()
                {
                    // It may be in the transaction all the same.
                    scope.gap = true;
                }
                added?;
            }
            if let Some(scope) = shared.accumulator.lock().scope() {
                scope.has_group(group.group_id());
            }
            transactions.coordinator.commit_offsets(identity, group, offsets, by_890, deadline).await
        };
        let result = result.await;
        sending.done = true;
        match result {
            Ok(()) => Ok(()),
            Err(error) if severity(&error) == Severity::Fatal => Err(transactions.ended(shared, error)),
            Err(error) => {
                shared.fail_transaction(&error);
                Err(transactions.failed(error))
            }
        }
    }

    /// Waits until all records are acknowledged, and commits them with the offsets.
    ///
    /// # Errors
    /// [`ClientError::TransactionFailed`]: it was not committed, but aborted. [`ClientError::ProducerEnded`]: the producer cannot
    /// go on. [`ClientError::TransactionUndecided`] when the end is not known, after `max.block.ms`.
    pub async fn commit(self) -> Result<(), ClientError> {
        let shared = &*self.producer.shared;
        let transactions = shared.transactions()?;
        let _turn = transactions.turn.lock().await;
        self.producer.flush().await;
        transactions.end(shared, true).await
    }

    /// Undoes all of it: records that are still queued fail, and those written are passed over by readers.
    ///
    /// # Errors
    /// [`ClientError::ProducerEnded`] or [`ClientError::TransactionUndecided`].
    pub async fn abort(self) -> Result<(), ClientError> {
        let shared = &*self.producer.shared;
        let transactions = shared.transactions()?;
        let _turn = transactions.turn.lock().await;
        transactions.end(shared, false).await
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let shared = &*self.producer.shared;
        if let Some(transactions) = &shared.transactions {
            transactions.left(shared, self.number);
        }
    }
}

/// Offsets on their way.
struct Sending<'s> {
    shared: &'s Shared,
    done: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.done {
            if let Some(scope) = self.shared.accumulator.lock().scope() {
                scope.gap = true;
            }
            self.shared.fail_transaction(&ClientError::InvalidArgument("the sending of its offsets was given up".to_owned()));
        }
    }
}

impl Producer {
    /// Takes over the `transactional.id`: fences whoever had it before, and has the cluster abort what that one left open. Done
    /// by the first [`begin`](Self::begin) otherwise; before a consumer reads on from offsets that transactions commit, it is
    /// better done at once.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `transactional.id`. As [`begin`](Self::begin).
    pub async fn init_transactions(&self) -> Result<(), ClientError> {
        let transactions = self.shared.transactions()?;
        let _turn = transactions.turn.lock().await;
        transactions.make_ready(&self.shared, self.shared.block_deadline()).await.map(drop)
    }

    /// Begins a transaction, after what was left of the one before is brought to its end.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `transactional.id`, or while another is open. [`ClientError::ProducerEnded`] once
    /// the producer cannot go on. What kept the coordinator from answering, for `max.block.ms`. [`ClientError::TransactionFailed`]
    /// where the transaction before was to be committed, and could not: begin again to go on.
    pub async fn begin(&self) -> Result<Transaction, ClientError> {
        self.shared.transactions()?.begin(self).await
    }
}
