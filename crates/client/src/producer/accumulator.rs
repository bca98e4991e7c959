//! The producer's state: records gathered into batches, batches queued by partition, which may be sent now, and what an
//! answer means for those behind it.
//!
//! Pure: it is told the time, the leaders and the answers, and says what to send. It never sends, waits or sleeps.
//!
//! Order within a partition is kept so: batches go out in the order they were made; after a failure nothing more goes out
//! until everything already out has been answered, then it starts over from the oldest. With idempotence up to five
//! batches of a partition are out at once, as the broker refuses what comes out of sequence; without, one.
//!
//! A batch that fails for good may leave a gap in the sequence, which brokers let nothing past. The broker says so by
//! refusing the oldest batch there is (OUT_OF_ORDER_SEQUENCE_NUMBER). Only then is it certain that neither that batch nor
//! any behind it was written by a try that went unheard; so only then, once nothing is out, is the producer's epoch raised
//! and does what is left start over at sequence 0 (KIP-360). To start over on any other sign could write a batch twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_model::{NodeId, Sequence, TimestampMs};
use ottla_wire::batch::{HEADER_LEN, Header, record_len_max};
use ottla_wire::compress::Compression;
use ottla_wire::error::ErrorCode;
use tokio::time::Instant;

use super::batch::{Batch, ID_SPAN, Identity, NewBatch, Place};
use super::outcome::{BatchOutcome, Delivery};
use super::partitioner::{Choices, Sticky, partition_for_key};
use super::scope::Scope;
use crate::ClientError;
use crate::backoff::Backoff;
use crate::metadata::Topic;

/// What the state machine goes by; fixed for the producer's life.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) batch_size_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) delivery_timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) compression: Compression,
    pub(crate) idempotent: bool,
    /// Batches go out within transactions only.
    pub(crate) transactional: bool,
    pub(crate) request_max_bytes: usize,
    /// Requests out to one broker.
    pub(crate) in_flight_requests_max: usize,
}

/// A record to append, its partition perhaps open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'r> {
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'r [u8]>,
    pub(crate) value: Option<&'r [u8]>,
    pub(crate) headers: &'r [Header<'r>],
    pub(crate) timestamp: TimestampMs,
}

/// What became of an append.
#[derive(Debug)]
pub(crate) enum Appended {
    /// Queued. `wake`: there is something new to send, or a new time to wake at.
    Queued { delivery: Delivery, wake: bool },
    /// A new batch is needed: come again with so many bytes taken from the buffer memory.
    NeedsMemory { bytes: u32 },
}

/// What to send now.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// By leader; the batches of one request.
    pub(crate) requests: Vec<(NodeId, Vec<Batch>)>,
    /// When to look again, if nothing happens before.
    pub(crate) wake_at: Option<Instant>,
    /// Something is ready for a partition whose leader is not known.
    pub(crate) leaderless: bool,
    /// Something is ready and waits for a producer id.
    pub(crate) needs_identity: bool,
    /// These have something ready and are to be added to the transaction first.
    pub(crate) to_add: Vec<(Arc<str>, i32)>,
}

/// The answer to one batch.
#[derive(Debug)]
pub(crate) enum Verdict {
    Written {
        base_offset: i64,
        log_append_time_ms: i64,
    },
    Refused {
        code: ErrorCode,
        message: Option<String>,
    },
    /// No answer: the connection failed, or never came to be.
    Unsent(ClientError),
}

/// What the driver has to do after an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    /// Bytes to give back to the buffer memory.
    pub(crate) released_bytes: u32,
    /// The leader is probably another.
    pub(crate) refresh_metadata: bool,
}

#[derive(Debug, Default)]
struct TopicState {
    sticky: Sticky,
    /// Partition to queue; grows as partitions are used.
    slots: Vec<Option<usize>>,
}

#[derive(Debug)]
struct PartitionQueue {
    topic: Arc<str>,
    partition: i32,
    /// By id; what was sent before (and has a place, or had) stands in front of what was not.
    queued: VecDeque<Batch>,
    out: Vec<Out>,
    /// After a failure: nothing goes out while something is.
    recovering: bool,
    /// The sequence has a gap: once nothing is out, start over in a new epoch.
    restart: bool,
    identity: Option<Identity>,
    next_sequence: i32,
    /// Whether it is in `active`.
    listed: bool,
}

/// A batch that is out. Its owner is the sender; here is what must be known of it meanwhile.
#[derive(Debug)]
struct Out {
    id: u64,
    deadline: Instant,
    created: Instant,
    outcome: Arc<BatchOutcome>,
}

#[derive(Debug)]
pub(crate) struct Accumulator {
    limits: Limits,
    topics: HashMap<Arc<str>, TopicState>,
    queues: Vec<PartitionQueue>,
    /// Queues with something to send, served in turn.
    active: VecDeque<usize>,
    identity: Option<Identity>,
    next_id: u64,
    /// No batch expires before; looked for anew whenever it is reached.
    expires_at: Option<Instant>,
    /// While above 0, no batch waits for more records.
    hurried: u32,
    requests_out: HashMap<NodeId, usize>,
    /// The transaction that is open.
    scope: Option<Scope>,
    closed: Option<ClientError>,
}

impl Accumulator {
    pub(crate) fn new(limits: Limits) -> Accumulator {
        Accumulator {
            limits,
            topics: HashMap::new(),
            queues: Vec::new(),
            active: VecDeque::new(),
            identity: None,
            next_id: 0,
            expires_at: None,
            hurried: 0,
            requests_out: HashMap::new(),
            scope: None,
            closed: None,
        }
    }

    /// Appends a record to its partition's newest batch, or to a new one in memory that the caller reserved.
    pub(crate) fn append(
        &mut self,
        topic: &Topic,
        input: Input<'_>,
        reserved: &mut Option<u32>,
        now: Instant,
        random: impl FnOnce() -> u32,
    ) -> Result<Appended, ClientError> {
        if let Some(closed) = &self.closed {
            return Err(closed.clone());
        }
        if self.limits.transactional {
            self.scope.as_ref().ok_or_else(Scope::missing)?.check()?;
        }
        let record_bytes = record_len_max(input.key, input.value, input.headers);
        if HEADER_LEN + record_bytes > self.limits.request_max_bytes {
            let max_bytes = self.limits.request_max_bytes as u64;
            return Err(ClientError::RecordTooLarge { len_bytes: record_bytes, max_bytes, property: "max.request.size" });
        }
        if !self.topics.contains_key(&topic.name) {
            self.topics.insert(topic.name.clone(), TopicState::default());
        }
        let Some(state) = self.topics.get_mut(&topic.name) else { return Err(ClientError::Closed("producer")) };
        let partitions = topic.partitions.len();
        let (partition, is_sticky) = match (input.partition, input.key) {
            (Some(partition), _) => {
                if topic.partition(partition).is_none() {
                    return Err(ClientError::UnknownPartition { topic: topic.name.to_string(), partition, partitions });
                }
                (partition, false)
            }
            (None, Some(key)) => (partition_for_key(key, partitions), false),
            (None, None) => {
                let choices = topic.led.as_deref().map_or(Choices::All(partitions), Choices::Some);
                (state.sticky.partition(choices, random), true)
            }
        };
        let index = partition as usize;
        if state.slots.len() <= index {
            state.slots.resize(index + 1, None);
        }
        let queues = &mut self.queues;
        let slot = *state.slots[index].get_or_insert_with(|| {
            queues.push(PartitionQueue::new(topic.name.clone(), partition));
            queues.len() - 1
        });
        let queue = &mut self.queues[slot];

        // Room in the newest batch, as long as it was never out?
        let newest = queue.queued.back_mut().filter(|batch| batch.place.is_none() && batch.failures == 0);
        if let Some(delivery) = newest.and_then(|batch| batch.append(input.timestamp, input.key, input.value, input.headers)) {
            if is_sticky {
                state.sticky.produced(record_bytes as u64, self.limits.batch_size_bytes as u64);
            }
            let full = queue.queued.back().is_some_and(|batch| batch.size_bytes() >= self.limits.batch_size_bytes);
            return Ok(Appended::Queued { delivery, wake: full });
        }
        let needed_bytes = (HEADER_LEN + record_bytes).max(self.limits.batch_size_bytes) as u32;
        let Some(reserved_bytes) = reserved.take_if(|bytes| *bytes >= needed_bytes) else {
            return Ok(Appended::NeedsMemory { bytes: needed_bytes });
        };
        let mut batch = Batch::new(NewBatch {
            id: self.next_id,
            topic: topic.name.clone(),
            partition,
            transactional: self.limits.transactional,
            compression: self.limits.compression,
            size_max_bytes: self.limits.batch_size_bytes,
            reserved_bytes,
            now,
            delivery_timeout: self.limits.delivery_timeout,
        });
        let Some(delivery) = batch.append(input.timestamp, input.key, input.value, input.headers) else {
            *reserved = Some(reserved_bytes);
            let max_bytes = self.limits.request_max_bytes as u64;
            return Err(ClientError::RecordTooLarge { len_bytes: record_bytes, max_bytes, property: "max.request.size" });
        };
        self.next_id += ID_SPAN;
        self.expires_at = Some(self.expires_at.map_or(batch.deadline, |at| at.min(batch.deadline)));
        if is_sticky {
            state.sticky.produced(record_bytes as u64, self.limits.batch_size_bytes as u64);
        }
        queue.queued.push_back(batch);
        if !queue.listed {
            queue.listed = true;
            self.active.push_back(slot);
        }
        Ok(Appended::Queued { delivery, wake: true })
    }

    /// Takes out what may be sent now, at most one request to a broker: no more than its share of requests, of bytes, and
    /// one batch a partition.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        leader: impl Fn(&str, i32) -> Option<NodeId>,
        accepts: impl Fn(NodeId) -> Result<(), Instant>,
    ) -> Drained {
        let mut drained = Drained::default();
        let mut sizes: HashMap<NodeId, (usize, Vec<Batch>)> = HashMap::new();
        let pressed = self.hurried > 0 || self.closed.is_some();
        if self.limits.transactional && self.scope.as_ref().is_none_or(|scope| scope.check().is_err()) {
            return drained;
        }
        for _ in 0..self.active.len() {
            let Some(slot) = self.active.pop_front() else { break };
            let queue = &mut self.queues[slot];
            let Some(front) = queue.queued.front() else {
                queue.listed = false;
                continue;
            };
            // Kept in turn whether it is served or not; emptied queues leave at the next look.
            self.active.push_back(slot);
            let window = if self.limits.idempotent { self.limits.in_flight_requests_max } else { 1 };
            if queue.out.len() >= window || (queue.recovering && !queue.out.is_empty()) {
                continue;
            }
            if let Some(not_before) = front.not_before.filter(|at| *at > now) {
                drained.wake_by(not_before);
                continue;
            }
            let full = queue.queued.len() > 1 || front.failures > 0 || front.size_bytes() >= self.limits.batch_size_bytes;
            let lingers_until = front.created + self.limits.linger;
            if !(full || pressed || lingers_until <= now) {
                drained.wake_by(lingers_until);
                continue;
            }
            let Some(node) = leader(&queue.topic, queue.partition) else {
                drained.leaderless = true;
                continue;
            };
            if let Err(until) = accepts(node) {
                drained.wake_by(until);
                continue;
            }
            if self.requests_out.get(&node).copied().unwrap_or(0) >= self.limits.in_flight_requests_max {
                continue;
            }
            let size = front.size_bytes();
            let (bytes, batches) = sizes.entry(node).or_default();
            if !batches.is_empty() && *bytes + size > self.limits.request_max_bytes {
                // For the next request, which may go out at once.
                drained.wake_by(now);
                continue;
            }
            if let Some(scope) = &mut self.scope
                && !scope.admits(slot)
            {
                drained.to_add.extend(scope.to_be_added(slot).then(|| (queue.topic.clone(), queue.partition)));
                continue;
            }
            if self.limits.idempotent && !queue.place_front(self.identity) {
                drained.needs_identity = true;
                continue;
            }
            if let Some(batch) = queue.queued.pop_front() {
                *bytes += size;
                queue.out.push(Out { id: batch.id, deadline: batch.deadline, created: batch.created, outcome: batch.outcome.clone() });
                batches.push(batch);
            }
            if queue.queued.front().is_some() {
                drained.wake_by(now);
            }
        }
        if let Some(scope) = &mut self.scope
            && !drained.to_add.is_empty()
        {
            scope.adding = true;
        }
        for (node, (_, batches)) in sizes {
            if !batches.is_empty() {
                *self.requests_out.entry(node).or_default() += 1;
                drained.requests.push((node, batches));
            }
        }
        drained
    }

    /// A request came back, with or without an answer: the broker has room for another.
    pub(crate) fn request_done(&mut self, node: NodeId) {
        if let Some(out) = self.requests_out.get_mut(&node) {
            *out = out.saturating_sub(1);
        }
    }

    /// Takes a batch back with its answer.
    pub(crate) fn answered(&mut self, batch: Batch, verdict: Verdict, now: Instant) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some(slot) = self.slot(&batch.topic, batch.partition) else { return aftermath };
        let queue = &mut self.queues[slot];
        queue.out.retain(|out| out.id != batch.id);
        match verdict {
            // A repeated batch that was written the first time: what the repeat was for (KIP-98).
            Verdict::Refused { code: ErrorCode::DuplicateSequenceNumber, .. } => {
                batch.outcome.written(-1, -1);
                aftermath.released_bytes = batch.reserved_bytes;
            }
            Verdict::Written { base_offset, log_append_time_ms } => {
                batch.outcome.written(base_offset, log_append_time_ms);
                aftermath.released_bytes = batch.reserved_bytes;
            }
            Verdict::Refused { code: ErrorCode::MessageTooLarge, message } if batch.record_count > 1 => {
                queue.recovering = true;
                match batch.split(self.limits.compression) {
                    Ok((first, second)) => {
                        queue.insert(first);
                        queue.insert(second);
                        self.list(slot);
                    }
                    Err(batch) => {
                        let error = refused(&batch, ErrorCode::MessageTooLarge, message);
                        aftermath.released_bytes = queue.give_up(*batch, error, &mut self.scope);
                    }
                }
            }
            Verdict::Refused { code, message } => {
                // Behind a failed batch such a refusal is only its echo; of the oldest batch it is the broker's word that
                // the sequence has a gap.
                let out_of_sequence = self.limits.idempotent
                    && matches!(code, ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch);
                let gap = out_of_sequence && queue.is_oldest(batch.id);
                queue.restart |= gap;
                // Of a transaction nothing can be sent anew: it is to be aborted.
                let lasting = self.limits.transactional && (gap || code == ErrorCode::InvalidProducerEpoch);
                aftermath.refresh_metadata = matches!(
                    code,
                    ErrorCode::NotLeaderOrFollower
                        | ErrorCode::LeaderNotAvailable
                        | ErrorCode::UnknownTopicOrPartition
                        | ErrorCode::UnknownTopicId
                        | ErrorCode::ReplicaNotAvailable
                        | ErrorCode::FencedLeaderEpoch
                        | ErrorCode::KafkaStorageError
                );
                let error = refused(&batch, code, message);
                if !lasting && (out_of_sequence || code.retriable()) {
                    aftermath.released_bytes = self.again(slot, batch, error, now);
                } else {
                    aftermath.released_bytes = queue.give_up(batch, error, &mut self.scope);
                }
            }
            Verdict::Unsent(error) => {
                // An answer that is nonsense is a lost answer: asked again, the broker may make sense.
                let nonsense = matches!(error, ClientError::Malformed { .. } | ClientError::ResponseTooLarge { .. });
                aftermath.refresh_metadata = error.is_retriable() || nonsense;
                aftermath.released_bytes = if aftermath.refresh_metadata {
                    self.again(slot, batch, error, now)
                } else {
                    queue.give_up(batch, error, &mut self.scope)
                };
            }
        }
        self.settle(slot);
        aftermath.released_bytes += self.drop_failed();
        aftermath
    }

    /// Puts a batch back into its place in the queue, unless its tries or its time are used up.
    fn again(&mut self, slot: usize, mut batch: Batch, error: ClientError, now: Instant) -> u32 {
        let queue = &mut self.queues[slot];
        if batch.deadline <= now {
            let error = timed_out(&batch, self.limits.delivery_timeout, Some(error));
            return queue.give_up(batch, error, &mut self.scope);
        }
        if batch.failures >= self.limits.retries {
            return queue.give_up(batch, error, &mut self.scope);
        }
        batch.failures += 1;
        batch.not_before = Some(now + self.limits.backoff.after(batch.failures, 200));
        batch.last_error = Some(error);
        queue.recovering = true;
        queue.insert(batch);
        self.list(slot);
        0
    }

    /// When [`expire`](Self::expire) may next find something.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Fails what has outlived `delivery.timeout.ms`, in the queues and out. Gives the bytes to release.
    pub(crate) fn expire(&mut self, now: Instant) -> u32 {
        if self.expires_at.is_none_or(|at| at > now) {
            return 0;
        }
        let mut released_bytes = 0;
        self.expires_at = None;
        for slot in 0..self.queues.len() {
            let queue = &mut self.queues[slot];
            for out in queue.out.iter().filter(|out| out.deadline <= now) {
                // Those who wait are told; the batch itself is dealt with when its answer comes.
                let error = ClientError::DeliveryTimeout {
                    topic: queue.topic.to_string(),
                    partition: queue.partition,
                    waited_ms: now.duration_since(out.created).as_millis() as u64,
                    last: None,
                };
                if let Some(scope) = &mut self.scope {
                    scope.fail(&error);
                }
                out.outcome.failed(error);
            }
            while let Some(batch) = queue.queued.pop_front_if(|batch| batch.deadline <= now) {
                let last = batch.last_error.clone();
                let error = timed_out(&batch, self.limits.delivery_timeout, last);
                released_bytes += queue.give_up(batch, error, &mut self.scope);
            }
            let deadlines = queue.out.iter().map(|out| out.deadline).filter(|at| *at > now);
            let earliest = deadlines.chain(queue.queued.front().map(|batch| batch.deadline)).min();
            self.expires_at = [self.expires_at, earliest].into_iter().flatten().min();
            self.settle(slot);
        }
        released_bytes + self.drop_failed()
    }

    /// The producer id arrived.
    pub(crate) fn identify(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    pub(crate) fn needs_identity(&self) -> bool {
        self.limits.idempotent && !self.limits.transactional && self.identity.is_none()
    }

    /// A transaction begins. Nothing is queued or out.
    pub(crate) fn begin(&mut self, identity: Identity, scope: Scope) {
        self.identity = Some(identity);
        self.scope = Some(scope);
    }

    /// The transaction that is open.
    pub(crate) fn scope(&mut self) -> Option<&mut Scope> {
        self.scope.as_mut()
    }

    /// The coordinator has these partitions in the transaction, or refused.
    pub(crate) fn added(&mut self, partitions: &[(Arc<str>, i32)], result: Result<(), ClientError>) -> u32 {
        let slots: Vec<usize> = partitions.iter().filter_map(|(topic, partition)| self.slot(topic, *partition)).collect();
        if let Some(scope) = &mut self.scope {
            scope.added(slots, result);
        }
        self.drop_failed()
    }

    /// The transaction can only be aborted. Gives the bytes to release.
    pub(crate) fn fail_transaction(&mut self, error: &ClientError) -> u32 {
        if let Some(scope) = &mut self.scope {
            scope.fail(error);
        }
        self.drop_failed()
    }

    /// No request of the transaction is out.
    pub(crate) fn is_quiet(&self) -> bool {
        self.queues.iter().all(|queue| queue.out.is_empty()) && self.scope.as_ref().is_none_or(|scope| !scope.adding)
    }

    /// The transaction ends here, with nothing out.
    pub(crate) fn end(&mut self) -> Option<Scope> {
        self.scope.take()
    }

    /// Of a failed transaction nothing more goes out. Gives the bytes to release.
    fn drop_failed(&mut self) -> u32 {
        let Some(scope) = &mut self.scope else { return 0 };
        let Err(error) = scope.check() else { return 0 };
        let mut released_bytes = 0;
        for queue in &mut self.queues {
            for batch in queue.queued.drain(..) {
                scope.gap |= batch.place.is_some();
                batch.outcome.failed(error.clone());
                released_bytes += batch.reserved_bytes;
            }
        }
        released_bytes
    }

    /// From now until [`unhurry`](Self::unhurry) nothing lingers: somebody waits, for a flush or for memory.
    pub(crate) fn hurry(&mut self) {
        self.hurried += 1;
    }

    /// Everything not yet decided, to be waited for.
    pub(crate) fn undecided(&self) -> Vec<Arc<BatchOutcome>> {
        let queued = self.queues.iter().flat_map(|queue| queue.queued.iter().map(|batch| batch.outcome.clone()));
        let out = self.queues.iter().flat_map(|queue| queue.out.iter().map(|out| out.outcome.clone()));
        queued.chain(out).collect()
    }

    pub(crate) fn unhurry(&mut self) {
        self.hurried = self.hurried.saturating_sub(1);
    }

    /// No record is taken any more; those queued are still sent.
    pub(crate) fn close(&mut self) {
        self.closed.get_or_insert(ClientError::Closed("producer"));
    }

    /// Fails everything that is queued or out, with the transaction that it is of, and every append from here on.
    pub(crate) fn fail_all(&mut self, error: &ClientError) -> u32 {
        self.closed = Some(error.clone());
        if !self.is_empty()
            && let Some(scope) = &mut self.scope
        {
            scope.fail(error);
        }
        let mut released_bytes = 0;
        for queue in &mut self.queues {
            queue.out.iter().for_each(|out| out.outcome.failed(error.clone()));
            while let Some(batch) = queue.queued.pop_front() {
                released_bytes += queue.give_up(batch, error.clone(), &mut self.scope);
            }
        }
        released_bytes
    }

    /// Closed, and nothing is left to do.
    pub(crate) fn is_finished(&self) -> bool {
        self.closed.is_some() && self.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.queued.is_empty() && queue.out.is_empty())
    }

    /// The topics with something to send.
    pub(crate) fn busy_topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.active.iter().map(|slot| &self.queues[*slot]).filter(|queue| !queue.queued.is_empty()).map(|queue| &queue.topic)
    }

    fn slot(&self, topic: &str, partition: i32) -> Option<usize> {
        self.topics.get(topic)?.slots.get(partition as usize).copied().flatten()
    }

    fn list(&mut self, slot: usize) {
        let queue = &mut self.queues[slot];
        if !queue.listed {
            queue.listed = true;
            self.active.push_back(slot);
        }
    }

    /// Once nothing of a partition is out, it may go on: in a new epoch if its sequence has a gap.
    fn settle(&mut self, slot: usize) {
        let queue = &mut self.queues[slot];
        if !queue.out.is_empty() {
            return;
        }
        queue.recovering = false;
        if std::mem::take(&mut queue.restart) && !self.limits.transactional {
            // Another partition may have raised the epoch already; then that one is new to this partition too.
            if queue.identity == self.identity {
                self.identity = self.identity.and_then(Identity::raised);
            }
            queue.identity = None;
            queue.queued.iter_mut().for_each(|batch| batch.place = None);
        }
    }
}

impl Identity {
    /// The next epoch; `None` when they are used up and a new producer id is needed.
    fn raised(self) -> Option<Identity> {
        // The largest epoch is kept free, as in Kafka: brokers use it to fence.
        let producer_epoch = self.producer_epoch.checked_add(1).filter(|epoch| *epoch < i16::MAX)?;
        Some(Identity { producer_epoch, ..self })
    }
}

impl Drained {
    fn wake_by(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl PartitionQueue {
    fn new(topic: Arc<str>, partition: i32) -> PartitionQueue {
        PartitionQueue {
            topic,
            partition,
            queued: VecDeque::new(),
            out: Vec::new(),
            recovering: false,
            restart: false,
            identity: None,
            next_sequence: 0,
            listed: false,
        }
    }

    /// Gives the front batch its place in the sequence, if it has none. False: no identity to give.
    fn place_front(&mut self, current: Option<Identity>) -> bool {
        let Some(front) = self.queued.front_mut() else { return true };
        if front.place.is_some() {
            return true;
        }
        // A new epoch is taken up only when nothing sent under the old one is undecided: within a partition the broker
        // fences the old epoch with the first batch of the new.
        if self.identity != current && self.out.is_empty() {
            self.identity = current;
            self.next_sequence = 0;
        }
        let Some(identity) = self.identity else { return false };
        front.place = Some(Place { identity, base_sequence: self.next_sequence });
        self.next_sequence = Sequence(self.next_sequence).plus(front.record_count as i32).0;
        true
    }

    fn is_oldest(&self, id: u64) -> bool {
        self.out.iter().all(|out| out.id > id) && self.queued.front().is_none_or(|front| front.id > id)
    }

    /// Puts a batch back where its id says.
    fn insert(&mut self, batch: Batch) {
        let at = self.queued.partition_point(|queued| queued.id < batch.id);
        self.queued.insert(at, batch);
    }

    /// A batch fails for good, and with it the transaction that it is of. Gives the bytes to release.
    fn give_up(&mut self, batch: Batch, error: ClientError, scope: &mut Option<Scope>) -> u32 {
        if let Some(scope) = scope {
            scope.fail(&error);
            scope.gap |= batch.place.is_some();
        }
        batch.outcome.failed(error);
        // Those behind it will be refused, if they had a place behind its.
        self.recovering |= batch.place.is_some();
        batch.reserved_bytes
    }
}

fn refused(batch: &Batch, code: ErrorCode, message: Option<String>) -> ClientError {
    ClientError::Refused { subject: format!("{}-{}", batch.topic, batch.partition), code, message }
}

fn timed_out(batch: &Batch, waited: Duration, last: Option<ClientError>) -> ClientError {
    ClientError::DeliveryTimeout {
        topic: batch.topic.to_string(),
        partition: batch.partition,
        waited_ms: waited.as_millis() as u64,
        last: last.map(Box::new),
    }
}
