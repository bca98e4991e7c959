//! Carries out what the accumulator says: one task hands out requests, one task a broker seals, sends and hears answers.
//!
//! Requests to a broker are sealed and written by one task, so that they arrive in the order they were drained.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ottla_model::{Acks, NodeId, TopicId};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::accumulator::Verdict;
use super::batch::{Batch, Identity};
use super::coordinator::{Severity, severity};
use crate::ClientError;
use crate::backoff::random_u32;
use crate::client::Purpose;
use crate::connection::{Answer, Connection, Pending};

/// The last version of Produce by the rules before KIP-890; those behind it add partitions to their transaction.
const PRODUCE_BEFORE_890: i16 = 11;
/// The first version in which Produce names topics by id; used only when all ids are known.
const PRODUCE_BY_TOPIC_ID: i16 = 13;

/// Until when each broker asked not to be sent to (`throttle_time_ms`).
type Throttles = Mutex<HashMap<NodeId, Instant>>;

/// The producer's main task. Ends when no handle is left, or after a close, once nothing is queued or out.
pub(super) async fn run(shared: Arc<Shared>, mut gone: watch::Receiver<()>, ending: mpsc::Sender<()>) {
    let mut brokers: HashMap<NodeId, mpsc::Sender<Vec<Batch>>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut views = shared.client.subscribe();
    let throttles: Arc<Throttles> = Arc::default();
    let mut identifying = std::pin::pin!(None);
    let mut adding = std::pin::pin!(None);
    let mut abandoned = false;
    if shared.accumulator.lock().needs_identity() {
        identifying.set(Some(identify(&shared)));
    }
    loop {
        let view = shared.client.view();
        let now = Instant::now();
        let (drained, expires_at, finished, released) = {
            let mut accumulator = shared.accumulator.lock();
            let released = accumulator.expire(now);
            let drained = accumulator.drain(
                now,
                |topic, partition| view.leader(topic, partition).map(|(node, _)| node),
                |node| throttles.lock().get(&node).filter(|until| **until > now).map_or(Ok(()), |until| Err(*until)),
            );
            for topic in accumulator.busy_topics() {
                // Its metadata is in use, however long the queue has waited.
                drop(shared.client.known_topic(topic));
            }
            (drained, accumulator.expires_at(), accumulator.is_finished() || (abandoned && accumulator.is_empty()), released)
        };
        shared.release(Some(released));
        if finished && drained.requests.is_empty() {
            break;
        }
        for (node, batches) in drained.requests {
            let queue = brokers.entry(node).or_insert_with(|| {
                let (queue, requests) = mpsc::channel(shared.config.max_in_flight_requests_per_connection as usize);
                tasks.spawn(Broker { shared: shared.clone(), node, throttles: throttles.clone() }.run(requests));
                queue
            });
            // The accumulator hands out no more requests than the queue has room for, and the task ends after us.
            if let Err(unsent) = queue.try_send(batches) {
                let batches = unsent.into_inner();
                settle(&shared, node, batches.into_iter().map(|batch| (batch, Verdict::Unsent(ClientError::Closed("producer")))));
            }
        }
        if drained.needs_identity && identifying.is_none() && shared.accumulator.lock().needs_identity() {
            identifying.set(Some(identify(&shared)));
        }
        if !drained.to_add.is_empty() {
            adding.set(Some(add(&shared, drained.to_add)));
        }
        if let Some(transactions) = &shared.transactions {
            transactions.look(&shared);
        }
        if drained.leaderless {
            shared.client.request_refresh();
        }
        let wake_at = [drained.wake_at, expires_at].into_iter().flatten().min();
        tokio::select! {
            () = shared.wake.notified() => {}
            () = async { sleep_until(wake_at.unwrap_or(now)).await }, if wake_at.is_some() => {}
            () = views.changed(), if drained.leaderless => {}
            _ = gone.changed(), if !abandoned => {
                abandoned = true;
                shared.accumulator.lock().hurry();
            }
            () = async { match adding.as_mut().as_pin_mut() {
                Some(adding) => adding.await,
                None => std::future::pending().await,
            } } => adding.set(None),
            identified = async { match identifying.as_mut().as_pin_mut() {
                Some(identifying) => identifying.await,
                None => std::future::pending().await,
            } } => {
                identifying.set(None);
                let mut accumulator = shared.accumulator.lock();
                match identified {
                    Ok(identity) => accumulator.identify(identity),
                    Err(error) => {
                        let released = accumulator.fail_all(&error);
                        drop(accumulator);
                        shared.release(Some(released));
                    }
                }
            }
        }
    }
    if let Some(transactions) = &shared.transactions {
        if let Some(scope) = shared.accumulator.lock().scope() {
            scope.adding = false;
        }
        transactions.look(&shared);
    }
    brokers.clear();
    while tasks.join_next().await.is_some() {}
    drop(ending);
}

/// Has partitions added to the transaction before anything is written to them (before KIP-890).
async fn add(shared: &Shared, partitions: Vec<(Arc<str>, i32)>) {
    let Some(transactions) = &shared.transactions else { return };
    let result = match transactions.identity() {
        Some(identity) => transactions.coordinator.add_partitions(identity, &partitions, shared.block_deadline()).await,
        None => Err(ClientError::Closed("transaction")),
    };
    let refusal = result.as_ref().err().cloned();
    let released = shared.accumulator.lock().added(&partitions, result);
    shared.release(Some(released));
    if let Some(error) = refusal.filter(|error| severity(error) == Severity::Fatal) {
        transactions.ended(shared, error);
    }
}

/// Gets a producer id, however long it takes; fails only for good.
async fn identify(shared: &Shared) -> Result<Identity, ClientError> {
    let mut failures = 0;
    loop {
        let error = match init_producer_id(shared).await {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        if !error.is_retriable() {
            return Err(error);
        }
        failures += 1;
        tracing::debug!(%error, failures, "no producer id yet");
        sleep(shared.client.backoff().after(failures, random_u32())).await;
    }
}

async fn init_producer_id(shared: &Shared) -> Result<Identity, ClientError> {
    let connection = shared.client.any_connection().await?;
    let request = InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: i32::MAX, ..Default::default() };
    let answer = connection.call(&request).await?;
    let response: InitProducerIdResponse = answer.decode()?;
    match crate::error::code(response.error_code) {
        ErrorCode::None => Ok(Identity { producer_id: response.producer_id, producer_epoch: response.producer_epoch }),
        code => Err(ClientError::Refused { subject: "producer id".to_owned(), code, message: None }),
    }
}

/// Gives batches back to the accumulator with their verdicts, and the memory of those that are done.
fn settle(shared: &Shared, node: NodeId, batches: impl Iterator<Item = (Batch, Verdict)>) {
    let now = Instant::now();
    let (mut released, mut refresh) = (0u32, false);
    {
        let mut accumulator = shared.accumulator.lock();
        for (batch, verdict) in batches {
            let aftermath = accumulator.answered(batch, verdict, now);
            released += aftermath.released_bytes;
            refresh |= aftermath.refresh_metadata;
        }
        accumulator.request_done(node);
    }
    shared.release(Some(released));
    if refresh {
        shared.client.request_refresh();
    }
    shared.wake.notify_one();
}

/// The task of one broker.
struct Broker {
    shared: Arc<Shared>,
    node: NodeId,
    throttles: Arc<Throttles>,
}

/// A request whose answer is awaited.
struct Sent {
    pending: Pending,
    batches: Vec<Batch>,
}

impl Broker {
    async fn run(self, mut requests: mpsc::Receiver<Vec<Batch>>) {
        // Brokers answer in order, so only the oldest can be next. Bounded as `requests` is: by the accumulator.
        let mut sent: VecDeque<Sent> = VecDeque::new();
        loop {
            tokio::select! {
                answer = async { match sent.front_mut() {
                    Some(oldest) => oldest.pending.wait().await,
                    None => std::future::pending().await,
                } } => {
                    if let Some(Sent { batches, .. }) = sent.pop_front() {
                        self.answered(batches, answer);
                    }
                }
                request = requests.recv() => match request {
                    Some(batches) => match self.submit(batches).await {
                        Some(request) => sent.push_back(request),
                        None => continue,
                    },
                    None => break,
                },
            }
        }
        for Sent { mut pending, batches } in sent {
            let answer = pending.wait().await;
            self.answered(batches, answer);
        }
    }

    /// Seals and writes. A batch that cannot be built fails alone; a request that cannot be sent, as a whole.
    async fn submit(&self, batches: Vec<Batch>) -> Option<Sent> {
        let mut good = Vec::with_capacity(batches.len());
        let mut bad = Vec::new();
        for mut batch in batches {
            match batch.seal() {
                Ok(_) => good.push(batch),
                Err(error) => bad.push((batch, Verdict::Unsent(error))),
            }
        }
        if good.is_empty() {
            settle(&self.shared, self.node, bad.into_iter());
            return None;
        }
        let result = match self.shared.client.connection(self.node, Purpose::Produce).await {
            Ok(connection) => self.write(&connection, &good).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(pending) => {
                if !bad.is_empty() {
                    let mut accumulator = self.shared.accumulator.lock();
                    let now = Instant::now();
                    let released = bad.into_iter().map(|(batch, verdict)| accumulator.answered(batch, verdict, now).released_bytes).sum();
                    drop(accumulator);
                    self.shared.release(Some(released));
                }
                Some(Sent { pending, batches: good })
            }
            Err(error) => {
                let failed = good.into_iter().map(|batch| (batch, Verdict::Unsent(error.clone())));
                settle(&self.shared, self.node, failed.chain(bad));
                None
            }
        }
    }

    async fn write(&self, connection: &Connection, batches: &[Batch]) -> Result<Pending, ClientError> {
        let view = self.shared.client.view();
        let mut topics: Vec<TopicProduceData<'_>> = Vec::new();
        let mut all_ids_known = true;
        for batch in batches {
            let partition = PartitionProduceData { index: batch.partition, records: batch.sealed() };
            match topics.iter_mut().find(|topic| topic.name == &*batch.topic) {
                Some(topic) => topic.partition_data.push(partition),
                None => {
                    let id = view.topic(&batch.topic).map_or(TopicId::ZERO, |topic| topic.id);
                    all_ids_known &= id != TopicId::ZERO;
                    topics.push(TopicProduceData { name: &batch.topic, topic_id: id.0, partition_data: vec![partition] });
                }
            }
        }
        let by_890 = self.shared.accumulator.lock().scope().map(|scope| scope.implicit);
        let newest = if all_ids_known { i16::MAX } else { PRODUCE_BY_TOPIC_ID - 1 };
        let newest = if by_890 == Some(false) { newest.min(PRODUCE_BEFORE_890) } else { newest };
        let version = connection.version::<ProduceRequest<'_>>(newest)?;
        if by_890 == Some(true) && version <= PRODUCE_BEFORE_890 {
            let cause = format!("transaction.version 2 needs Produce above {PRODUCE_BEFORE_890}, this broker takes {version}");
            return Err(ClientError::Unsendable { api: "Produce", cause });
        }
        let acks = self.shared.config.acks;
        let timeout_ms = i32::try_from(self.shared.client.config().request_timeout_ms).unwrap_or(i32::MAX);
        let request = ProduceRequest {
            transactional_id: self.shared.config.transactional_id.as_deref(),
            acks: acks.to_wire(),
            timeout_ms,
            topic_data: topics,
        };
        match acks {
            Acks::None => connection.submit_unanswered(&request, version).await,
            Acks::Leader | Acks::All => connection.submit(&request, version).await,
        }
    }

    fn answered(&self, batches: Vec<Batch>, answer: Result<Answer, ClientError>) {
        let verdicts = answer.and_then(|answer| match self.shared.config.acks {
            Acks::None => Ok(batches.iter().map(|_| Verdict::Written { base_offset: -1, log_append_time_ms: -1 }).collect()),
            Acks::Leader | Acks::All => self.verdicts(&batches, &answer),
        });
        match verdicts {
            Ok(verdicts) => settle(&self.shared, self.node, batches.into_iter().zip(verdicts)),
            Err(error) => {
                let failed = batches.into_iter().map(|batch| (batch, Verdict::Unsent(error.clone())));
                settle(&self.shared, self.node, failed);
            }
        }
    }

    /// The broker's word on each batch, in their order.
    fn verdicts(&self, batches: &[Batch], answer: &Answer) -> Result<Vec<Verdict>, ClientError> {
        let response: ProduceResponse<'_> = answer.decode()?;
        if let Ok(throttle_ms @ 1..) = u64::try_from(response.throttle_time_ms) {
            self.throttles.lock().insert(self.node, Instant::now() + std::time::Duration::from_millis(throttle_ms));
        }
        let view = self.shared.client.view();
        let by_id = answer.version() >= PRODUCE_BY_TOPIC_ID;
        let verdict = |batch: &Batch| {
            let topic = response.responses.iter().find(|topic| {
                if by_id {
                    view.names_by_id.get(&TopicId(topic.topic_id)).is_some_and(|name| *name == batch.topic)
                } else {
                    topic.name == *batch.topic
                }
            });
            let found = topic.and_then(|topic| topic.partition_responses.iter().find(|p| p.index == batch.partition));
            match found.map(|found| (crate::error::code(found.error_code), found)) {
                Some((ErrorCode::None, found)) => {
                    Verdict::Written { base_offset: found.base_offset, log_append_time_ms: found.log_append_time_ms }
                }
                Some((code, found)) => {
                    // One record may be to blame for its batch (KIP-467).
                    let blamed = found.record_errors.first().and_then(|record| record.batch_index_error_message.as_ref());
                    let message = found.error_message.as_ref().or(blamed).map(|message| message.to_string());
                    Verdict::Refused { code, message }
                }
                // The topic was deleted and made again while the request was out, or the broker forgot a partition.
                None => Verdict::Unsent(answer.malformed(format!("nothing about {}-{}", batch.topic, batch.partition))),
            }
        };
        Ok(batches.iter().map(verdict).collect())
    }
}
