//! Carries out what the state machine of transactions wants done. Owns which record is not committed yet, who waits for an answer, and the
//! work that is under way: markers, and producer ids that are fetched.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::re2::Regex;
use ottla_cluster::transaction::{
    AddPartitions, Effect, EndTransaction, InitProducerId, Owner, Reply, ReplyToken, Transaction, TransactionConfig,
    TransactionCoordinator, TransactionRecord, TransactionState, TransactionVersion, TransactionalId,
};
use ottla_model::config::ServerConfig;
use ottla_model::{Offset, ProducerId, TimestampMs, TopicPartition};
use ottla_wire::batch::{BatchError, BatchView};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::errors::Refused;
use super::markers::Markers;
use super::records;
use crate::context::deadline_after;
use crate::coordinator::log::{self, WriteError};
use crate::coordinator::machine::{At as AtOf, Machine};
use crate::coordinator::topic::{TRANSACTIONS_TOPIC, batch_bytes_max, number};
use crate::coordinator::{Shared, Unanswered};
use crate::producer_ids::ProducerIds;
use crate::txn_markers::Marker;

type At = AtOf<TransactionMachine>;
/// Where an answer goes.
pub(super) type To<T> = oneshot::Sender<Result<T, Refused>>;

/// Ids that are forgotten at a time, before requests are looked after again.
const EXPIRED_AT_ONCE: usize = 100;
/// Room that is kept in a batch, so that what ends a transaction fits in whenever its partitions did: tags, and longer numbers.
const END_BYTES_MAX: usize = 256;

/// What an entry of a set counts for, beside what it holds.
const ENTRY_BYTES: usize = 64;

/// What a coordinator is sent.
pub enum Message {
    /// A client, or a partition's leader, wants something changed.
    Change {
        /// What.
        change: Change,
        /// Whom to answer.
        reply: To<Reply>,
    },
    /// Which of some partitions take part.
    Verify {
        /// In whose transaction.
        transactional_id: TransactionalId,
        /// Who writes to them.
        owner: Owner,
        /// Which.
        partitions: BTreeSet<TopicPartition>,
        /// Whom to answer.
        reply: To<BTreeMap<TopicPartition, bool>>,
    },
    /// What is known of an id.
    Describe {
        /// Which.
        transactional_id: TransactionalId,
        /// Whom to answer.
        reply: To<Transaction>,
    },
    /// All ids that a filter lets through.
    List {
        /// See there.
        filter: Arc<Filter>,
        /// Whom to answer.
        reply: oneshot::Sender<Result<Vec<Listed>, Unanswered>>,
    },
}

/// What changes a transaction.
#[derive(Clone, Debug)]
pub enum Change {
    /// A producer starts.
    Initialize(InitProducerId),
    /// Partitions take part.
    Add(AddPartitions),
    /// It ends.
    End(EndTransaction),
}

/// Which transactional ids are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In one of these states; `None`: in any.
    pub states: Option<BTreeSet<TransactionState>>,
    /// Of one of these producers; empty: of any.
    pub producer_ids: BTreeSet<ProducerId>,
    /// Whose transaction began longer ago than this.
    pub running_ms_over: Option<i64>,
    /// Whose whole name matches.
    pub pattern: Option<Regex>,
}

impl Filter {
    fn lets_through(&self, id: &TransactionalId, transaction: &Transaction, now: TimestampMs) -> bool {
        // Where none began Kafka counts from -1, so that it has run for longer than anything.
        let began = transaction.started.unwrap_or(TimestampMs::NONE);
        self.states.as_ref().is_none_or(|states| states.contains(&transaction.state))
            && (self.producer_ids.is_empty() || self.producer_ids.contains(&transaction.producer_id))
            && self.running_ms_over.is_none_or(|ms| now.0.saturating_sub(began.0) > ms)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id.as_str()))
    }
}

/// What is listed of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub transactional_id: TransactionalId,
    /// Its producer.
    pub producer_id: ProducerId,
    /// Where its transaction is.
    pub state: TransactionState,
}

/// What work that is under way comes to.
pub enum Event {
    /// A partition has its marker, or needs none any more.
    Marked {
        /// Whose transaction.
        transactional_id: TransactionalId,
        /// Which.
        partition: TopicPartition,
    },
    /// A producer id is here; `None`: it cannot be had now.
    ProducerId {
        /// For whom.
        token: ReplyToken,
        /// It.
        fresh: Option<ProducerId>,
    },
}

/// What all coordinators of transactions share.
#[derive(Clone)]
pub struct Kit {
    pub(super) producer_ids: Arc<ProducerIds>,
    pub(super) markers: Arc<Markers>,
}

/// See the module.
pub struct TransactionMachine {
    coordinator: TransactionCoordinator,
    runtime: Handle,
    /// The work that is under way. Bounded by the partitions of decided transactions, and by the requests that wait for a producer id.
    tasks: JoinSet<()>,
    next_token: u64,
    /// Those who were not answered yet.
    waiting: HashMap<ReplyToken, To<Reply>>,
    /// Those of them whose request is made again with a producer id.
    without_id: HashMap<ReplyToken, Change>,
    /// Whose records are appended and not committed, with the ends of their batches.
    uncommitted: VecDeque<(Offset, TransactionalId)>,
    batch_bytes_max: usize,
    /// Time between two rounds in which transactions that took too long are aborted, and the first moment of the next round.
    abort_interval: Duration,
    next_abort: Instant,
    /// The same for ids that are not used.
    expiry_interval: Duration,
    next_expiry: Instant,
}

impl Machine for TransactionMachine {
    const TOPIC: &'static str = TRANSACTIONS_TOPIC;
    const WHAT: &'static str = "transactions";
    type Message = Message;
    type Event = Event;
    type Kit = Kit;

    fn size_bytes(message: &Message) -> usize {
        let partitions = |partitions: &BTreeSet<TopicPartition>| -> usize {
            partitions.iter().map(|partition| ENTRY_BYTES + partition.topic.as_str().len()).sum()
        };
        let heap = match message {
            Message::Change { change: Change::Initialize(request), .. } => request.transactional_id.as_str().len(),
            Message::Change { change: Change::Add(request), .. } => {
                request.transactional_id.as_str().len() + partitions(&request.partitions)
            }
            Message::Change { change: Change::End(request), .. } => request.transactional_id.as_str().len(),
            Message::Verify { transactional_id, partitions: asked, .. } => transactional_id.as_str().len() + partitions(asked),
            Message::Describe { transactional_id, .. } => transactional_id.as_str().len(),
            // One for all coordinators.
            Message::List { .. } => 0,
        };
        size_of::<Message>() + heap
    }

    fn refuse(message: Message, why: Unanswered) {
        // Whoever asked may have gone.
        match message {
            Message::Change { reply, .. } => drop(reply.send(Err(why.into()))),
            Message::Verify { reply, .. } => drop(reply.send(Err(why.into()))),
            Message::Describe { reply, .. } => drop(reply.send(Err(why.into()))),
            Message::List { reply, .. } => drop(reply.send(Err(why))),
        }
    }

    fn new(shared: &Shared) -> TransactionMachine {
        let server = shared.published.config();
        let config = TransactionConfig::read(server.values()).unwrap_or_else(|error| {
            // Checked at start.
            tracing::error!("the configuration of transactions cannot be read: {error}");
            TransactionConfig::default()
        });
        let expiry_interval = interval(&server, "transaction.remove.expired.transaction.cleanup.interval.ms");
        TransactionMachine {
            coordinator: TransactionCoordinator::new(config),
            runtime: Handle::current(),
            tasks: JoinSet::new(),
            next_token: 0,
            waiting: HashMap::new(),
            without_id: HashMap::new(),
            uncommitted: VecDeque::new(),
            batch_bytes_max: batch_bytes_max(TRANSACTIONS_TOPIC, &server, &shared.published.image()),
            abort_interval: interval(&server, "transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            next_abort: Instant::now(),
            expiry_interval,
            next_expiry: Instant::now() + expiry_interval,
        }
    }

    fn replay(&mut self, view: &BatchView<'_>) -> Result<(), BatchError> {
        records::replay(&mut self.coordinator, view)
    }

    fn loaded(&mut self, at: &At) -> Result<(), WriteError> {
        let effects = self.coordinator.loaded();
        self.carry_out(at, effects)
    }

    fn take(&mut self, at: &At, messages: Vec<Message>) -> Result<(), WriteError> {
        let now = at.shared.clock.now();
        for message in messages {
            // When one cannot be carried out the rest are dropped, and with them the ways to answer: that is an answer too.
            match message {
                Message::Change { change, reply } => {
                    self.next_token += 1;
                    let token = ReplyToken(self.next_token);
                    self.waiting.insert(token, reply);
                    self.change(at, token, change, None)?;
                }
                Message::Verify { transactional_id, owner, partitions, reply } => {
                    let verified = self.coordinator.verify_partitions(&transactional_id, owner, &partitions);
                    let _ = reply.send(verified.map_err(Refused::from));
                }
                Message::Describe { transactional_id, reply } => {
                    let described = self.coordinator.describe(&transactional_id).cloned().map(|known| {
                        let partitions = self.coordinator.unmarked_partitions(&transactional_id);
                        Transaction { partitions, ..known }
                    });
                    let _ = reply.send(described.map_err(Refused::from));
                }
                Message::List { filter, reply } => {
                    let listed = self.coordinator.transactions().filter(|(id, known)| filter.lets_through(id, known, now));
                    let listed = listed.map(|(id, known)| Listed {
                        transactional_id: id.clone(),
                        producer_id: known.producer_id,
                        state: known.state,
                    });
                    let _ = reply.send(Ok(listed.collect()));
                }
            }
        }
        Ok(())
    }

    fn take_events(&mut self, at: &At, events: Vec<Event>) -> Result<(), WriteError> {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(partition = %at.partition.topic_partition(), "work of a coordinator of transactions ended badly: {error}");
            }
        }
        for event in events {
            match event {
                Event::Marked { transactional_id, partition } => {
                    let effects = self.coordinator.marker_written(at.shared.clock.now(), &transactional_id, &partition);
                    self.carry_out(at, effects)?;
                }
                Event::ProducerId { token, fresh } => {
                    let Some(change) = self.without_id.remove(&token) else { continue };
                    match fresh {
                        Some(_) => self.change(at, token, change, fresh)?,
                        // Clients try again on what this becomes.
                        None => self.answer(token, Err(Unanswered::Loading.into())),
                    }
                }
            }
        }
        Ok(())
    }

    fn time(&mut self, at: &At) -> Result<(), WriteError> {
        let (instant, now) = (Instant::now(), at.shared.clock.now());
        if self.next_abort <= instant && self.coordinator.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.next_abort = instant + self.abort_interval;
            let effects = self.coordinator.on_time(now);
            self.carry_out(at, effects)?;
        }
        if self.next_expiry <= instant {
            let effects = self.coordinator.expire(now, EXPIRED_AT_ONCE);
            // With more than one round takes the next follows when others had their turn.
            self.next_expiry = if effects.len() < EXPIRED_AT_ONCE { instant + self.expiry_interval } else { instant };
            self.carry_out(at, effects)?;
        }
        Ok(())
    }

    fn metadata_changed(&mut self, at: &At) -> Result<(), WriteError> {
        self.batch_bytes_max = batch_bytes_max(TRANSACTIONS_TOPIC, &at.shared.published.config(), &at.shared.published.image());
        Ok(())
    }

    fn committed(&mut self, at: &At) -> Result<(), WriteError> {
        let high_watermark = at.partition.high_watermark();
        while self.uncommitted.front().is_some_and(|(end, _)| *end <= high_watermark) {
            let Some((_, id)) = self.uncommitted.pop_front() else { break };
            let effects = self.coordinator.appended(&id);
            self.carry_out(at, effects)?;
        }
        Ok(())
    }

    fn next_deadline(&self, at: &At) -> Option<Instant> {
        let abort = self.coordinator.next_deadline().map(|deadline| {
            let ms = deadline.0.saturating_sub(at.shared.clock.now().0).max(0);
            at.shared.instant_of(at.shared.monotonic().plus_ms(ms)).max(self.next_abort)
        });
        Some(abort.map_or(self.next_expiry, |abort| abort.min(self.next_expiry)))
    }

    fn next_commit(&self) -> Option<Offset> {
        self.uncommitted.front().map(|(end, _)| *end)
    }

    async fn end(mut self) {
        self.tasks.shutdown().await;
        for reply in self.waiting.into_values() {
            let _ = reply.send(Err(Unanswered::NotCoordinator.into()));
        }
    }
}

fn interval(server: &ServerConfig, name: &'static str) -> Duration {
    Duration::from_millis(u64::try_from(number(server, name)).unwrap_or(1))
}

impl TransactionMachine {
    /// `fresh`: a producer id, if one was fetched for this.
    fn change(&mut self, at: &At, token: ReplyToken, change: Change, fresh: Option<ProducerId>) -> Result<(), WriteError> {
        let now = at.shared.clock.now();
        let effects = self.ask(now, &change, fresh, token);
        if !effects.iter().any(|effect| matches!(effect, Effect::NeedsProducerId { .. })) {
            return self.carry_out(at, effects);
        }
        if let Some(fresh) = at.kit.producer_ids.take() {
            let effects = self.ask(now, &change, Some(fresh), token);
            return self.carry_out(at, effects);
        }
        self.without_id.insert(token, change);
        let (ids, events) = (Arc::clone(&at.kit.producer_ids), at.events.clone());
        let deadline = deadline_after(at.shared.published.config().request_timeout_ms);
        let fetch = async move {
            let fresh = ids.take_or_fetch(deadline).await;
            let fresh = fresh.inspect_err(|failure| tracing::warn!("no producer id could be had for a transaction: {failure}")).ok();
            // Nobody listens when the coordinator is over.
            let _ = events.send(Event::ProducerId { token, fresh });
        };
        self.tasks.spawn_on(fetch, &self.runtime);
        Ok(())
    }

    fn ask(&mut self, now: TimestampMs, change: &Change, fresh: Option<ProducerId>, token: ReplyToken) -> Vec<Effect> {
        match change {
            Change::Initialize(request) => self.coordinator.init_producer_id(now, request, fresh, token),
            Change::Add(request) => self.coordinator.add_partitions(now, request.clone(), token),
            Change::End(request) => self.coordinator.end(now, request, fresh, token),
        }
    }

    fn carry_out(&mut self, at: &At, effects: Vec<Effect>) -> Result<(), WriteError> {
        for effect in effects {
            match effect {
                Effect::Reply { token, reply } => self.answer(token, reply.map_err(Refused::from)),
                Effect::Append(record) => self.append(at, record)?,
                Effect::WriteMarkers { transactional_id, owner, commit, partitions, version } => {
                    self.write_markers(at, &transactional_id, owner, commit, partitions, version);
                }
                // Was looked after before.
                Effect::NeedsProducerId { token } => self.answer(token, Err(Unanswered::Loading.into())),
            }
        }
        Ok(())
    }

    fn append(&mut self, at: &At, record: TransactionRecord) -> Result<(), WriteError> {
        let now = at.shared.clock.now();
        let batch = records::batch_of(&record, now)?;
        let bytes_max = self.batch_bytes_max.saturating_sub(END_BYTES_MAX);
        if batch.len() > bytes_max && record.value.as_ref().is_some_and(|value| value.state == TransactionState::Ongoing) {
            // Known before anything is written: the transaction stays as it is, and can be ended.
            let refused = Refused::TooManyPartitions { bytes: batch.len(), bytes_max };
            for effect in self.coordinator.append_failed(now, &record.transactional_id, &refused.to_string(), false) {
                if let Effect::Reply { token, .. } = effect {
                    self.answer(token, Err(refused.clone()));
                }
            }
            return Ok(());
        }
        at.check_led()?;
        let end = log::append(&at.partition, &batch, now)?;
        self.uncommitted.push_back((end, record.transactional_id));
        Ok(())
    }

    fn write_markers(
        &mut self,
        at: &At,
        id: &TransactionalId,
        owner: Owner,
        commit: bool,
        partitions: BTreeSet<TopicPartition>,
        version: TransactionVersion,
    ) {
        let marker = Marker {
            producer_id: owner.producer_id,
            producer_epoch: owner.producer_epoch,
            // As Kafka's: by it a partition knows the markers of a coordinator that was replaced.
            coordinator_epoch: at.leadership.epoch.0,
            commit,
            version,
        };
        for partition in partitions {
            let (markers, events, transactional_id) = (Arc::clone(&at.kit.markers), at.events.clone(), id.clone());
            let threads = at.shared.threads.clone();
            let write = async move {
                // It appends, so it is looked after as what serves a connection is.
                threads.watch(markers.write(&partition, marker)).await;
                let _ = events.send(Event::Marked { transactional_id, partition });
            };
            self.tasks.spawn_on(write, &self.runtime);
        }
    }

    fn answer(&mut self, token: ReplyToken, answer: Result<Reply, Refused>) {
        if let Some(reply) = self.waiting.remove(&token) {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }
}
