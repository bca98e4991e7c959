//! The transactional ids of one partition of `__transaction_state`: requests, what is under way, timeouts. See [`super`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ottla_model::config::{BrokerValues, ConfigError, Value};
use ottla_model::{ProducerEpoch, ProducerId, TimestampMs, TopicPartition};

use super::end::{Decision, decide};
use super::{Transaction, TransactionError, TransactionRecord, TransactionState, TransactionVersion, TransactionalId};

/// What a coordinator is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`.
    pub expiration_ms: i64,
}

impl TransactionConfig {
    /// What the broker's configuration says.
    pub fn read(values: &BrokerValues) -> Result<TransactionConfig, ConfigError> {
        let number = |name: &'static str| match values.value(name)? {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(ConfigError::Missing { name, remedy: "give it a number" }),
        };
        Ok(TransactionConfig {
            timeout_ms_max: i32::try_from(number("transaction.max.timeout.ms")?).unwrap_or(i32::MAX),
            expiration_ms: number("transactional.id.expiration.ms")?,
        })
    }
}

impl Default for TransactionConfig {
    /// Kafka's defaults.
    fn default() -> TransactionConfig {
        TransactionConfig { timeout_ms_max: 900_000, expiration_ms: 604_800_000 }
    }
}

/// Names a request that waits for its answer; chosen by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyToken(pub u64);

/// Who writes under a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
}

impl Owner {
    fn pair(self) -> (ProducerId, ProducerEpoch) {
        (self.producer_id, self.producer_epoch)
    }
}

/// InitProducerId of a transactional producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerId {
    /// Its transactional id.
    pub transactional_id: TransactionalId,
    /// How long its transactions may last, in milliseconds.
    pub timeout_ms: i32,
    /// Who it was until now, when it goes on after an error (KIP-360).
    pub goes_on_as: Option<Owner>,
}

/// AddPartitionsToTxn, or AddOffsetsToTxn with the group's partition of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    /// Whose transaction.
    pub transactional_id: TransactionalId,
    /// Who asks.
    pub owner: Owner,
    /// What takes part.
    pub partitions: BTreeSet<TopicPartition>,
    /// How the client takes part.
    pub version: TransactionVersion,
}

/// EndTxn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// Whose transaction.
    pub transactional_id: TransactionalId,
    /// Who asks.
    pub owner: Owner,
    /// Commit, or abort.
    pub commit: bool,
    /// How the client takes part.
    pub version: TransactionVersion,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To InitProducerId.
    Initialized(Owner),
    /// To AddPartitions.
    Added,
    /// To EndTransaction: who the producer is from now on.
    Ended(Owner),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer a request.
    Reply {
        /// Which.
        token: ReplyToken,
        /// With what.
        reply: Result<Reply, TransactionError>,
    },
    /// A new producer id is needed: to be had from the controller, and the request to be made again with it.
    NeedsProducerId {
        /// The request's.
        token: ReplyToken,
    },
    /// Append a record to the partition with acks=all, and say what became of it: [`TransactionCoordinator::appended`] or
    /// [`TransactionCoordinator::append_failed`].
    Append(TransactionRecord),
    /// Write a marker to each of these partitions, over again until it is written or the partition is gone, and say so:
    /// [`TransactionCoordinator::marker_written`].
    WriteMarkers {
        /// Whose transaction.
        transactional_id: TransactionalId,
        /// The producer as the markers name it.
        owner: Owner,
        /// What was decided.
        commit: bool,
        /// Where.
        partitions: BTreeSet<TopicPartition>,
        /// How the client takes part.
        version: TransactionVersion,
    },
}

/// One transactional id.
#[derive(Clone, Debug)]
struct Entry {
    /// As the log has it. `None`: nothing was written yet.
    value: Option<Transaction>,
    /// What is being appended.
    change: Option<Change>,
    /// Partitions whose markers are still to be written.
    markers_left: BTreeSet<TopicPartition>,
}

#[derive(Clone, Debug)]
struct Change {
    /// `None`: the id is forgotten.
    next: Option<Transaction>,
    then: Then,
}

/// What follows when the record is appended.
#[derive(Clone, Debug)]
enum Then {
    Reply(ReplyToken, Reply),
    /// A producer that took over, or a timeout, aborts: the producer, if any, is told to come back.
    Fenced(Option<ReplyToken>),
    Nothing,
}

/// The transactional ids of one partition. See [`super`].
#[derive(Debug)]
pub struct TransactionCoordinator {
    config: TransactionConfig,
    entries: HashMap<TransactionalId, Entry>,
    /// When transactions that are under way take too long.
    deadlines: BTreeSet<(TimestampMs, TransactionalId)>,
}

impl TransactionCoordinator {
    /// Of a partition of which nothing was replayed yet.
    pub fn new(config: TransactionConfig) -> TransactionCoordinator {
        TransactionCoordinator { config, entries: HashMap::new(), deadlines: BTreeSet::new() }
    }

    /// Takes in a record of the partition, in the order of the log. Before [`TransactionCoordinator::loaded`] only.
    pub fn replay(&mut self, record: TransactionRecord) {
        self.settle(&record.transactional_id, record.value);
    }

    /// All records were replayed and this broker leads the partition: goes on with what the coordinator before had begun.
    pub fn loaded(&mut self) -> Vec<Effect> {
        let mut ids: Vec<TransactionalId> = self.entries.keys().cloned().collect();
        ids.sort_unstable();
        let mut effects = Vec::new();
        for id in ids {
            self.write_markers(&id, &mut effects);
        }
        effects
    }

    /// A producer starts, or starts over. `fresh`: a producer id that nobody has, for the case that it is needed.
    pub fn init_producer_id(
        &mut self,
        now: TimestampMs,
        request: &InitProducerId,
        fresh: Option<ProducerId>,
        token: ReplyToken,
    ) -> Vec<Effect> {
        match self.try_init(now, request, fresh, token) {
            Ok(effect) => vec![effect],
            Err(error) => vec![Effect::Reply { token, reply: Err(error) }],
        }
    }

    fn try_init(
        &mut self,
        now: TimestampMs,
        request: &InitProducerId,
        fresh: Option<ProducerId>,
        token: ReplyToken,
    ) -> Result<Effect, TransactionError> {
        let InitProducerId { transactional_id, timeout_ms, goes_on_as } = request;
        self.check_id(transactional_id)?;
        if *timeout_ms <= 0 || *timeout_ms > self.config.timeout_ms_max {
            return Err(TransactionError::InvalidTimeout { asked_ms: *timeout_ms, max_ms: self.config.timeout_ms_max });
        }
        let Some(entry) = self.entries.get(transactional_id) else {
            let Some(fresh) = fresh else { return Ok(Effect::NeedsProducerId { token }) };
            // One that goes on but is not known any more gets a new id as well: it lost nothing that this coordinator knows of.
            let new = Transaction::new(fresh, *timeout_ms, now);
            let next = Transaction { producer_epoch: ProducerEpoch(0), ..new };
            return Ok(self.change_to_initialized(transactional_id, next, token));
        };
        if entry.is_changing() {
            return Err(TransactionError::Concurrent);
        }
        let Some(known) = &entry.value else { return Err(TransactionError::Concurrent) };
        if let Some(shown) = goes_on_as {
            let is_of_this_id = shown.producer_id == known.producer_id;
            // The answer that gave it the new id may have been lost.
            let is_of_the_id_before = shown.producer_id == known.previous_producer_id && shown.producer_epoch.0 >= super::state::EPOCH_MAX;
            if !is_of_this_id && !is_of_the_id_before {
                return Err(TransactionError::Fenced { asked: shown.producer_epoch, current: known.producer_epoch });
            }
        }
        match known.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(TransactionError::Concurrent),
            TransactionState::Ongoing => Ok(self.fence(transactional_id, now, Some(token))),
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                let shown = goes_on_as.map(|owner| owner.producer_epoch);
                let next = if known.is_epoch_exhausted() && shown.is_none_or(|shown| shown == known.producer_epoch) {
                    let Some(fresh) = fresh else { return Ok(Effect::NeedsProducerId { token }) };
                    let last = if shown.is_some() { known.producer_epoch } else { ProducerEpoch::NONE };
                    known.initialized((fresh, ProducerEpoch(0)), last, *timeout_ms, now)
                } else {
                    let (epoch, last) = next_epoch(known, shown)?;
                    known.initialized((known.producer_id, epoch), last, *timeout_ms, now)
                };
                Ok(self.change_to_initialized(transactional_id, next, token))
            }
        }
    }

    fn change_to_initialized(&mut self, id: &TransactionalId, next: Transaction, token: ReplyToken) -> Effect {
        let owner = Owner { producer_id: next.producer_id, producer_epoch: next.producer_epoch };
        self.change(id, Some(next), Then::Reply(token, Reply::Initialized(owner)))
    }

    /// Partitions take part from now on.
    pub fn add_partitions(&mut self, now: TimestampMs, request: AddPartitions, token: ReplyToken) -> Vec<Effect> {
        match self.try_add(now, request, token) {
            Ok(effect) => vec![effect],
            Err(error) => vec![Effect::Reply { token, reply: Err(error) }],
        }
    }

    fn try_add(&mut self, now: TimestampMs, request: AddPartitions, token: ReplyToken) -> Result<Effect, TransactionError> {
        let AddPartitions { transactional_id, owner, partitions, version } = request;
        let known = self.settled(&transactional_id, owner.producer_id)?;
        check_owner(known, owner)?;
        match known.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(TransactionError::Concurrent),
            TransactionState::Ongoing if partitions.is_subset(&known.partitions) => Ok(Effect::Reply { token, reply: Ok(Reply::Added) }),
            TransactionState::Empty | TransactionState::Ongoing | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                let next = known.with_partitions(partitions, version, now);
                Ok(self.change(&transactional_id, Some(next), Then::Reply(token, Reply::Added)))
            }
        }
    }

    /// Which of some partitions take part in the owner's transaction: what a partition's leader asks before it takes a batch (KIP-890).
    /// What is under way does not matter, since the leader looks once more when it appends.
    pub fn verify_partitions(
        &self,
        transactional_id: &TransactionalId,
        owner: Owner,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, bool>, TransactionError> {
        self.check_id(transactional_id)?;
        let unknown = TransactionError::InvalidProducerId { asked: owner.producer_id };
        let known = self.entries.get(transactional_id).and_then(|entry| entry.value.as_ref()).ok_or(unknown)?;
        check_owner(known, owner)?;
        if known.state.decided().is_some() {
            return Err(TransactionError::Concurrent);
        }
        Ok(partitions.iter().map(|partition| (partition.clone(), known.partitions.contains(partition))).collect())
    }

    /// The transaction is to be committed or aborted. `fresh`: a producer id that nobody has, for the case that the epochs have run out.
    pub fn end(&mut self, now: TimestampMs, request: &EndTransaction, fresh: Option<ProducerId>, token: ReplyToken) -> Vec<Effect> {
        match self.try_end(now, request, fresh, token) {
            Ok(effect) => vec![effect],
            Err(error) => vec![Effect::Reply { token, reply: Err(error) }],
        }
    }

    fn try_end(
        &mut self,
        now: TimestampMs,
        request: &EndTransaction,
        fresh: Option<ProducerId>,
        token: ReplyToken,
    ) -> Result<Effect, TransactionError> {
        let EndTransaction { transactional_id, owner, commit, version } = request;
        self.check_id(transactional_id)?;
        let unknown = TransactionError::InvalidProducerId { asked: owner.producer_id };
        let entry = self.entries.get(transactional_id).ok_or(unknown.clone())?;
        let known = entry.value.as_ref().ok_or(unknown)?;
        match decide(known, entry.is_changing(), owner.pair(), *commit, *version)? {
            Decision::Done => {
                let reply = Reply::Ended(Owner { producer_id: known.producer_id, producer_epoch: known.producer_epoch });
                Ok(Effect::Reply { token, reply: Ok(reply) })
            }
            Decision::End => {
                let needs_id = version.bumps_epoch() && known.is_epoch_exhausted();
                if needs_id && fresh.is_none() {
                    return Ok(Effect::NeedsProducerId { token });
                }
                let next = known.ended(*commit, *version, fresh.filter(|_| needs_id), now);
                let (producer_id, producer_epoch) = next.after_completion();
                let reply = Reply::Ended(Owner { producer_id, producer_epoch });
                Ok(self.change(transactional_id, Some(next), Then::Reply(token, reply)))
            }
        }
    }

    /// The record that was to be appended for this id is in the log, on enough replicas.
    pub fn appended(&mut self, transactional_id: &TransactionalId) -> Vec<Effect> {
        let Some(change) = self.entries.get_mut(transactional_id).and_then(|entry| entry.change.take()) else { return Vec::new() };
        self.settle(transactional_id, change.next);
        let mut effects = match change.then {
            Then::Reply(token, reply) => vec![Effect::Reply { token, reply: Ok(reply) }],
            // The transaction is being aborted; when that is done, the new producer gets an epoch of its own.
            Then::Fenced(token) => {
                token.map(|token| Effect::Reply { token, reply: Err(TransactionError::Concurrent) }).into_iter().collect()
            }
            Then::Nothing => Vec::new(),
        };
        self.write_markers(transactional_id, &mut effects);
        effects
    }

    /// It is not, and it will not be. Where that cannot be told, the coordinator has to be made anew from the partition.
    pub fn append_failed(&mut self, now: TimestampMs, transactional_id: &TransactionalId, reason: &str, moved: bool) -> Vec<Effect> {
        let Some(entry) = self.entries.get_mut(transactional_id) else { return Vec::new() };
        let Some(change) = entry.change.take() else { return Vec::new() };
        let error = || TransactionError::NotWritten { reason: reason.to_owned(), moved };
        let token = match change.then {
            Then::Reply(token, _) => Some(token),
            // The next try takes the same epoch: nobody was told of it.
            Then::Fenced(token) => token,
            Then::Nothing => None,
        };
        if entry.value.is_none() {
            self.entries.remove(transactional_id);
        } else if entry.value.as_ref().is_some_and(|value| value.state.decided().is_some()) && !moved {
            // The markers are written; what is left is to say so in the log.
            return token
                .map(|token| Effect::Reply { token, reply: Err(error()) })
                .into_iter()
                .chain(self.complete(transactional_id, now))
                .collect();
        }
        token.map(|token| Effect::Reply { token, reply: Err(error()) }).into_iter().collect()
    }

    /// A partition has its marker, or is no more.
    pub fn marker_written(&mut self, now: TimestampMs, transactional_id: &TransactionalId, partition: &TopicPartition) -> Vec<Effect> {
        let Some(entry) = self.entries.get_mut(transactional_id) else { return Vec::new() };
        if !entry.markers_left.remove(partition) || !entry.markers_left.is_empty() || entry.is_appending() {
            return Vec::new();
        }
        self.complete(transactional_id, now).into_iter().collect()
    }

    /// The next moment at which [`TransactionCoordinator::on_time`] has something to do for transactions that take too long.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Aborts what takes too long, and shuts its producer out.
    pub fn on_time(&mut self, now: TimestampMs) -> Vec<Effect> {
        let mut effects = Vec::new();
        let due: Vec<TransactionalId> =
            self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| id.clone()).collect();
        for id in due {
            if self.entries.get(&id).is_some_and(|entry| !entry.is_changing()) {
                effects.push(self.fence(&id, now, None));
            }
        }
        effects
    }

    /// Forgets ids that were not used for `transactional.id.expiration.ms`; at most `ids_max` at a time.
    pub fn expire(&mut self, now: TimestampMs, ids_max: usize) -> Vec<Effect> {
        let is_over = |entry: &Entry| {
            let value = entry.value.as_ref().filter(|value| value.state.is_at_rest() && !entry.is_changing());
            value.is_some_and(|value| value.updated.0.saturating_add(self.config.expiration_ms) <= now.0)
        };
        let mut ids: Vec<TransactionalId> = self.entries.iter().filter(|(_, entry)| is_over(entry)).map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids.truncate(ids_max);
        ids.iter().map(|id| self.change(id, None, Then::Nothing)).collect()
    }

    /// What is known of an id.
    pub fn describe(&self, transactional_id: &TransactionalId) -> Result<&Transaction, TransactionError> {
        self.check_id(transactional_id)?;
        self.entries.get(transactional_id).and_then(|entry| entry.value.as_ref()).ok_or(TransactionError::NotFound)
    }

    /// The partitions of an id's transaction; once it is decided, those that wait for their markers.
    pub fn unmarked_partitions(&self, transactional_id: &TransactionalId) -> BTreeSet<TopicPartition> {
        match self.entries.get(transactional_id) {
            Some(Entry { value: Some(value), markers_left, .. }) if value.state.decided().is_some() => markers_left.clone(),
            Some(Entry { value: Some(value), .. }) => value.partitions.clone(),
            Some(_) | None => BTreeSet::new(),
        }
    }

    /// All ids that are known, in no order.
    pub fn transactions(&self) -> impl Iterator<Item = (&TransactionalId, &Transaction)> {
        self.entries.iter().filter_map(|(id, entry)| Some((id, entry.value.as_ref()?)))
    }

    /// Whether nothing is being appended and no markers are on their way.
    pub fn is_idle(&self) -> bool {
        self.entries.values().all(|entry| !entry.is_changing())
    }

    fn check_id(&self, transactional_id: &TransactionalId) -> Result<(), TransactionError> {
        if transactional_id.as_str().is_empty() { Err(TransactionError::EmptyTransactionalId) } else { Ok(()) }
    }

    /// The value of an id with nothing under way. That is looked at first: the producer may know already of an id and epoch that a change
    /// under way will give it.
    fn settled(&self, id: &TransactionalId, producer_id: ProducerId) -> Result<&Transaction, TransactionError> {
        self.check_id(id)?;
        let unknown = TransactionError::InvalidProducerId { asked: producer_id };
        let entry = self.entries.get(id).ok_or(unknown)?;
        match &entry.value {
            Some(value) if !entry.is_changing() => Ok(value),
            _ => Err(TransactionError::Concurrent),
        }
    }

    /// Proposes a change: nothing counts before it is appended.
    fn change(&mut self, id: &TransactionalId, next: Option<Transaction>, then: Then) -> Effect {
        let record = TransactionRecord { transactional_id: id.clone(), value: next.clone() };
        self.entries.entry(id.clone()).or_insert_with(Entry::unwritten).change = Some(Change { next, then });
        Effect::Append(record)
    }

    /// Shuts the producer out and aborts what it has under way, by one record.
    fn fence(&mut self, id: &TransactionalId, now: TimestampMs, token: Option<ReplyToken>) -> Effect {
        let next = self.entries.get(id).and_then(|entry| {
            let known = entry.value.as_ref()?;
            let epoch = ProducerEpoch(known.producer_epoch.0.saturating_add(1));
            let fenced = Transaction { producer_epoch: epoch, last_producer_epoch: ProducerEpoch::NONE, ..known.clone() };
            Some(fenced.ended(false, known.version, None, now))
        });
        self.change(id, next, Then::Fenced(token))
    }

    /// A state that is in the log.
    fn settle(&mut self, id: &TransactionalId, value: Option<Transaction>) {
        let before = self.entries.get(id).and_then(|entry| entry.value.as_ref()).and_then(Transaction::deadline);
        if let Some(deadline) = before {
            self.deadlines.remove(&(deadline, id.clone()));
        }
        let Some(value) = value else {
            self.entries.remove(id);
            return;
        };
        if let Some(deadline) = value.deadline() {
            self.deadlines.insert((deadline, id.clone()));
        }
        let entry = self.entries.entry(id.clone()).or_insert_with(Entry::unwritten);
        entry.markers_left = if value.state.decided().is_some() { value.partitions.clone() } else { BTreeSet::new() };
        entry.value = Some(value);
    }

    /// Has the markers of a decided transaction written; one without partitions is complete at once.
    fn write_markers(&mut self, id: &TransactionalId, effects: &mut Vec<Effect>) {
        let Some(value) = self.entries.get(id).and_then(|entry| entry.value.as_ref()) else { return };
        let Some(commit) = value.state.decided() else { return };
        if value.partitions.is_empty() {
            let now = value.updated;
            effects.extend(self.complete(id, now));
            return;
        }
        effects.push(Effect::WriteMarkers {
            transactional_id: id.clone(),
            owner: Owner { producer_id: value.producer_id, producer_epoch: value.producer_epoch },
            commit,
            partitions: value.partitions.clone(),
            version: value.version,
        });
    }

    fn complete(&mut self, id: &TransactionalId, now: TimestampMs) -> Option<Effect> {
        let value = self.entries.get(id)?.value.as_ref()?;
        let next = value.completed(now);
        Some(self.change(id, Some(next), Then::Nothing))
    }
}

impl Entry {
    fn unwritten() -> Entry {
        Entry { value: None, change: None, markers_left: BTreeSet::new() }
    }

    fn is_appending(&self) -> bool {
        self.change.is_some()
    }

    /// From the moment that it is decided, a transaction is under way until it is complete.
    fn is_changing(&self) -> bool {
        self.is_appending() || self.value.as_ref().is_some_and(|value| value.state.decided().is_some())
    }
}

fn check_owner(known: &Transaction, owner: Owner) -> Result<(), TransactionError> {
    if known.producer_id != owner.producer_id {
        return Err(TransactionError::InvalidProducerId { asked: owner.producer_id });
    }
    if known.producer_epoch != owner.producer_epoch {
        return Err(TransactionError::Fenced { asked: owner.producer_epoch, current: known.producer_epoch });
    }
    Ok(())
}

/// The epoch that a producer gets, and the one it had. `shown`: the epoch that it goes on from.
fn next_epoch(known: &Transaction, shown: Option<ProducerEpoch>) -> Result<(ProducerEpoch, ProducerEpoch), TransactionError> {
    let current = known.producer_epoch;
    let next = ProducerEpoch(current.0.saturating_add(1));
    match shown {
        // Another process: whoever was there before is shut out, and has no retry to its name.
        None => Ok((next, ProducerEpoch::NONE)),
        Some(shown) if shown == current => Ok((next, current)),
        // The same request again, whose answer was lost. Nobody else has started since, or there would be no last epoch.
        Some(shown) if shown == known.last_producer_epoch && shown != ProducerEpoch::NONE => Ok((current, shown)),
        Some(shown) => Err(TransactionError::Fenced { asked: shown, current }),
    }
}
