//! [`Consumer`]: reads the partitions it is assigned, by the caller or by its group, each from where it is told to.
//!
//! Owns positions and what was fetched ahead. One fetch is out to each broker, for all partitions that have room; it
//! waits at the broker for data. Nothing here sleeps to look again.

mod fetch;
mod group;
mod offsets;
mod records;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use ottla_model::{NodeId, Offset, TimestampMs, TopicPartition};
use ottla_wire::batch::DecompressLimits;
use ottla_wire::error::ErrorCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

pub use group::RebalanceListener;
pub(crate) use offsets::look_up;
pub use offsets::{OffsetAndTimestamp, SeekTo};
pub use records::{ConsumedRecord, RecordBatch, Records, RecordsIter};

use crate::backoff::random_u32;
use crate::{Client, ClientError, ConsumerConfig, OffsetReset, PartitionInfo};
use fetch::{FetchPlan, Fetched, FetchedPartition, PlannedPartition};
use group::Subscription;
use records::{Chunk, Rules};

/// Fetched chunks of one partition kept ready; another fetch goes out while there are no more than this.
const CHUNKS_READY_MAX: usize = 1;
/// How long a replica named by the leader (KIP-392) is read from before the leader is asked again.
const PREFERRED_REPLICA_FOR: Duration = Duration::from_secs(300);

/// Reads partitions. Which, and from where, is the caller's by [`assign`](Self::assign), or the group's by
/// [`subscribe`](Self::subscribe).
///
/// ```no_run
/// use ottla_client::{Client, ClientConfig, Consumer, ConsumerConfig, SeekTo, TopicPartition};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let mut consumer = Consumer::new(&client, ConsumerConfig::default())?;
///
/// let partitions: Vec<TopicPartition> = consumer.partitions_of("logs").await?;
/// consumer.assign(partitions.clone()).await?;
/// for partition in &partitions {
///     consumer.seek(partition, SeekTo::Beginning)?;
/// }
/// loop {
///     let batch = consumer.next_batch().await?;
///     for record in &batch.records()? {
///         let record = record?;
///         println!("{} {}: {:?}", batch.partition(), record.offset, record.value);
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    rules: Rules,
    partitions: BTreeMap<TopicPartition, Reading>,
    /// Rises with each change of a position by other means than reading on.
    generation: u64,
    /// Fetched, in the order of arrival, not yet handed out. Bounded by `CHUNKS_READY_MAX` + 1 a partition.
    ready: VecDeque<Chunk>,
    /// Brokers with a fetch out, or that asked for a pause.
    busy: HashSet<NodeId>,
    work: JoinSet<Done>,
    /// Something changed since work was last looked for: with it unset, taking a batch costs nothing per partition.
    look_for_work: bool,
    /// Found while a batch was on its way to the reader: said at the next call.
    trouble: Option<ClientError>,
    subscription: Option<Subscription>,
}

/// How far the reading of one partition is.
#[derive(Debug)]
struct Reading {
    position: Position,
    generation: u64,
    /// Where the next fetch starts: ahead of the position by what is ready.
    fetch_from: i64,
    /// A fetch or look-up for it is out.
    out: bool,
    paused: bool,
    failures: u32,
    retry_at: Option<Instant>,
    preferred: Option<(NodeId, Instant)>,
    high_watermark: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Never set: `auto.offset.reset` decides.
    Unset,
    /// Being looked up.
    To(SeekTo),
    At(i64),
}

/// What a task of ours came back with.
#[derive(Debug)]
enum Done {
    Fetched(Fetched),
    LookedUp {
        wanted: Vec<(TopicPartition, u64)>,
        result: Result<HashMap<TopicPartition, i64>, ClientError>,
    },
    /// A broker's throttle is over.
    Rested(NodeId),
}

impl Consumer {
    /// A consumer without partitions on `client`'s cluster.
    ///
    /// # Errors
    /// [`ClientError::InvalidProperty`] where settings contradict each other.
    pub fn new(client: &Client, config: ConsumerConfig) -> Result<Consumer, ClientError> {
        config.validate(client.config())?;
        let limits = DecompressLimits { unpacked_bytes_max: config.decompressed_batch_max_bytes as usize };
        Ok(Consumer {
            client: client.clone(),
            rules: Rules { check_crcs: config.check_crcs, isolation: config.isolation_level, limits },
            config,
            partitions: BTreeMap::new(),
            generation: 0,
            ready: VecDeque::new(),
            busy: HashSet::new(),
            work: JoinSet::new(),
            look_for_work: true,
            trouble: None,
            subscription: None,
        })
    }

    /// All partitions of a topic.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], unless `allow.auto.create.topics` and the broker make it.
    pub async fn partitions_of(&self, topic: &str) -> Result<Vec<TopicPartition>, ClientError> {
        let name = ottla_model::TopicName::new(topic).map_err(|cause| ClientError::InvalidArgument(cause.to_string()))?;
        let infos = self.partitions_for(topic).await?;
        Ok(infos.iter().map(|info| TopicPartition::new(name.clone(), info.partition)).collect())
    }

    /// A topic's partitions with their leaders and replicas.
    ///
    /// # Errors
    /// As [`partitions_of`](Self::partitions_of).
    pub async fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>, ClientError> {
        let may_create = self.config.allow_auto_create_topics;
        Ok(self.client.topic(topic, may_create, self.client.api_deadline()).await?.partitions.clone())
    }

    /// Reads these partitions from now on, and no others. Partitions that stay keep their positions; new ones start where
    /// `auto.offset.reset` says, unless [`seek`](Self::seek) says otherwise before the first read.
    ///
    /// # Errors
    /// When one of them does not exist, or the consumer subscribes; then nothing is changed.
    pub async fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<(), ClientError> {
        if self.subscription.is_some() {
            return Err(ClientError::InvalidArgument(
                "the consumer subscribes: its group assigns, unless it unsubscribes first".to_owned(),
            ));
        }
        let deadline = self.client.api_deadline();
        for partition in &partitions {
            let topic = self.client.topic(partition.topic.as_str(), self.config.allow_auto_create_topics, deadline).await?;
            if topic.partition(partition.partition.0).is_none() {
                return Err(ClientError::UnknownPartition {
                    topic: partition.topic.to_string(),
                    partition: partition.partition.0,
                    partitions: topic.partitions.len(),
                });
            }
        }
        let mut before = std::mem::take(&mut self.partitions);
        for partition in partitions {
            let reading = before.remove(&partition).unwrap_or_else(|| {
                self.generation += 1;
                Reading::new(self.generation)
            });
            self.partitions.insert(partition, reading);
        }
        self.ready.retain(|chunk| self.partitions.contains_key(&chunk.partition));
        self.look_for_work = true;
        Ok(())
    }

    /// The partitions being read.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// Goes on reading a partition there. What a place means is found out with the next read.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn seek(&mut self, partition: &TopicPartition, to: SeekTo) -> Result<(), ClientError> {
        self.generation += 1;
        let generation = self.generation;
        let reading = self.reading_mut(partition)?;
        reading.restart(to, generation);
        self.ready.retain(|chunk| chunk.partition != *partition);
        Ok(())
    }

    /// Reads nothing more of a partition until [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<(), ClientError> {
        self.reading_mut(partition)?.paused = true;
        Ok(())
    }

    /// Reads on.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<(), ClientError> {
        self.reading_mut(partition)?.paused = false;
        Ok(())
    }

    /// The offset of the next record that [`next_batch`](Self::next_batch) would give of a partition; looked up if need be.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`], [`ClientError::NoPosition`], or what kept the look-up from being done.
    pub async fn position(&mut self, partition: &TopicPartition) -> Result<Offset, ClientError> {
        let (position, generation) = {
            let reading = self.reading_mut(partition)?;
            (reading.position, reading.generation)
        };
        let to = match position {
            Position::At(offset) => return Ok(Offset(offset)),
            Position::To(to) => to,
            Position::Unset => self.reset(partition)?,
        };
        let found = resolve(&self.client, vec![(partition.clone(), to)], &self.config).await?;
        let Some(offset) = found.get(partition).copied() else {
            return Err(ClientError::InvalidArgument(format!("no offset was found for {partition}")));
        };
        let reading = self.reading_mut(partition)?;
        if reading.generation == generation {
            reading.found(offset);
        }
        Ok(Offset(offset))
    }

    /// How far a partition could be read when it was last fetched from: its high watermark. `None` before the first fetch.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.partitions.get(partition).and_then(|reading| reading.high_watermark).map(Offset)
    }

    /// The first offsets there are.
    ///
    /// # Errors
    /// What kept the leaders from answering, for `default.api.timeout.ms`.
    pub async fn beginning_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.ends(partitions, SeekTo::Beginning).await
    }

    /// The offsets behind the last record that may be read (by `isolation.level`).
    ///
    /// # Errors
    /// What kept the leaders from answering, for `default.api.timeout.ms`.
    pub async fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.ends(partitions, SeekTo::End).await
    }

    /// For each partition the first record of that time or later; `None` where there is none.
    ///
    /// # Errors
    /// What kept the leaders from answering, for `default.api.timeout.ms`.
    pub async fn offsets_for_times(
        &self,
        times: &[(TopicPartition, TimestampMs)],
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, ClientError> {
        let wanted: Vec<_> = times.iter().map(|(partition, at)| (partition.clone(), SeekTo::Timestamp(*at))).collect();
        let found = offsets::look_up(&self.client, &wanted, self.config.isolation_level, self.client.api_deadline()).await?;
        Ok(found.into_iter().collect())
    }

    async fn ends(&self, partitions: &[TopicPartition], end: SeekTo) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), end)).collect();
        let found = offsets::look_up(&self.client, &wanted, self.config.isolation_level, self.client.api_deadline()).await?;
        Ok(found.into_iter().filter_map(|(partition, at)| at.map(|at| (partition, at.offset))).collect())
    }

    /// The next batch of any partition, within `wait`; `None` when there was nothing.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub async fn poll(&mut self, wait: Duration) -> Result<Option<RecordBatch>, ClientError> {
        timeout(wait, self.next_batch()).await.map_or(Ok(None), |batch| batch.map(Some))
    }

    /// The next batch of any partition, as soon as there is one; batches of one partition come in order. Cancel safe:
    /// dropping the future loses nothing.
    ///
    /// # Errors
    /// What repeating cannot mend: a damaged batch, no valid position with `auto.offset.reset=none`, a topic that is gone.
    /// The other partitions can be read on by calling again.
    pub async fn next_batch(&mut self) -> Result<RecordBatch, ClientError> {
        loop {
            // Never without a batch, as nothing is ever enough.
            if let Some(batch) = self.next_batch_unless(|_| false).await? {
                return Ok(batch);
            }
        }
    }

    /// As [`next_batch`](Self::next_batch), as long as one of the partitions in `ends` is read and its position is before its end;
    /// then `None`. An end need not have a record before it: markers of transactions have offsets as well.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub async fn next_batch_before(&mut self, ends: &BTreeMap<TopicPartition, Offset>) -> Result<Option<RecordBatch>, ClientError> {
        let is_before = |reading: &Reading, end: &Offset| match reading.position {
            Position::At(offset) => offset < end.0,
            Position::Unset | Position::To(_) => true,
        };
        self.next_batch_unless(|consumer| {
            !ends.iter().any(|(partition, end)| {
                consumer.partitions.get(partition).is_some_and(|reading| !reading.paused && is_before(reading, end))
            })
        })
        .await
    }

    /// The next batch; `None` as soon as it is enough.
    async fn next_batch_unless(&mut self, enough: impl Fn(&Consumer) -> bool) -> Result<Option<RecordBatch>, ClientError> {
        if self.partitions.is_empty() && self.subscription.is_none() {
            return Err(ClientError::InvalidArgument("no partition is assigned".to_owned()));
        }
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        let _asking = self.asking();
        self.auto_commit().await;
        let mut views = self.client.subscribe();
        loop {
            self.rebalance().await?;
            if enough(self) {
                return Ok(None);
            }
            if let Some(batch) = self.take_ready()? {
                // Before handing out: the next fetch is on its way while this batch is worked on.
                if self.look_for_work {
                    self.trouble = self.start_work().err();
                }
                return Ok(Some(batch));
            }
            if enough(self) {
                return Ok(None);
            }
            let waits = self.start_work()?;
            let next_commit = self.next_commit();
            let by_group = self.subscription.is_some();
            tokio::select! {
                event = group::next_event(&mut self.subscription), if by_group => self.take_event(event),
                () = async { sleep_until(next_commit.unwrap_or_else(Instant::now)).await }, if next_commit.is_some() => self.auto_commit().await,
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.done(done)?,
                    Err(failed) => return Err(ClientError::InvalidArgument(format!("a fetch ended badly: {failed}"))),
                },
                () = async { sleep_until(waits.until.unwrap_or_else(Instant::now)).await }, if waits.until.is_some() => {}
                () = views.changed(), if waits.for_metadata => {}
            }
        }
    }

    /// To change how a partition is read.
    fn reading_mut(&mut self, partition: &TopicPartition) -> Result<&mut Reading, ClientError> {
        self.look_for_work = true;
        self.partitions
            .get_mut(partition)
            .ok_or_else(|| ClientError::NotAssigned { topic: partition.topic.to_string(), partition: partition.partition.0 })
    }

    /// Where `auto.offset.reset` says that a partition without a position starts.
    fn reset(&self, partition: &TopicPartition) -> Result<SeekTo, ClientError> {
        match self.config.auto_offset_reset {
            OffsetReset::Earliest => Ok(SeekTo::Beginning),
            OffsetReset::Latest => Ok(SeekTo::End),
            OffsetReset::None => Err(ClientError::NoPosition { topic: partition.topic.to_string(), partition: partition.partition.0 }),
        }
    }

    /// The next batch that was fetched and is still wanted.
    fn take_ready(&mut self) -> Result<Option<RecordBatch>, ClientError> {
        // Chunks of paused partitions keep their turn, and are passed over.
        let mut at = 0;
        while let Some(chunk) = self.ready.get_mut(at) {
            let reading = self.partitions.get_mut(&chunk.partition).filter(|reading| reading.generation == chunk.generation);
            let Some(reading) = reading else {
                self.ready.remove(at);
                continue;
            };
            let Position::At(position) = &mut reading.position else {
                self.ready.remove(at);
                continue;
            };
            if reading.paused {
                at += 1;
                continue;
            }
            match chunk.next(position) {
                Ok(Some(batch)) => return Ok(Some(batch)),
                Ok(None) => {
                    self.ready.remove(at);
                    self.look_for_work = true;
                }
                Err(damaged) => {
                    // Fetched again after a while: the damage may be the network's. Nothing behind it is handed out, so
                    // that it cannot be passed unseen, and the other partitions get their turn.
                    let partition = chunk.partition.clone();
                    let at = Offset(*position);
                    self.generation += 1;
                    reading.restart(SeekTo::Offset(at), self.generation);
                    reading.retry_later(&self.client, Instant::now());
                    self.ready.retain(|chunk| chunk.partition != partition);
                    return Err(damaged);
                }
            }
        }
        Ok(None)
    }

    /// Starts whatever may be started: look-ups of positions, and a fetch to each broker that has none.
    fn start_work(&mut self) -> Result<Waits, ClientError> {
        self.look_for_work = false;
        let now = Instant::now();
        let mut waits = Waits::default();
        // Of one partition; the others are served before it is said.
        let mut trouble = Ok(());
        let mut look_ups = Vec::new();
        let mut plans: HashMap<NodeId, Vec<PlannedPartition>> = HashMap::new();
        let view = self.client.view();
        let mut ready_by_partition: HashMap<&TopicPartition, usize> = HashMap::new();
        for chunk in &self.ready {
            *ready_by_partition.entry(&chunk.partition).or_default() += 1;
        }
        for (partition, reading) in &mut self.partitions {
            if reading.out || reading.paused {
                continue;
            }
            if let Some(retry_at) = reading.retry_at.filter(|at| *at > now) {
                waits.by(retry_at);
                continue;
            }
            reading.retry_at = None;
            let offset = match reading.position {
                Position::Unset => {
                    let to = match self.config.auto_offset_reset {
                        OffsetReset::Earliest => SeekTo::Beginning,
                        OffsetReset::Latest => SeekTo::End,
                        OffsetReset::None => {
                            let (topic, partition) = (partition.topic.to_string(), partition.partition.0);
                            reading.retry_later(&self.client, now);
                            trouble = Err(ClientError::NoPosition { topic, partition });
                            continue;
                        }
                    };
                    reading.position = Position::To(to);
                    look_ups.push((partition.clone(), reading.generation, to));
                    reading.out = true;
                    continue;
                }
                Position::To(to) => {
                    look_ups.push((partition.clone(), reading.generation, to));
                    reading.out = true;
                    continue;
                }
                Position::At(_) => reading.fetch_from,
            };
            if ready_by_partition.get(partition).copied().unwrap_or(0) > CHUNKS_READY_MAX {
                continue;
            }
            let name = partition.topic.as_str();
            let Some((leader, epoch)) = self.client.known_topic(name).and_then(|topic| topic.leader(partition.partition.0)) else {
                self.client.request_refresh();
                if view.errors.get(name) == Some(&ErrorCode::UnknownTopicOrPartition) && view.topic(name).is_none() {
                    reading.retry_later(&self.client, now);
                    trouble = Err(ClientError::UnknownTopic { topic: name.to_owned() });
                    continue;
                }
                waits.for_metadata = true;
                continue;
            };
            let preferred = reading.preferred.filter(|(node, until)| *until > now && view.brokers.contains_key(node));
            let node = preferred.map_or(leader, |(node, _)| node);
            if self.busy.contains(&node) {
                continue;
            }
            let topic_id = view.topic(name).map(|topic| topic.id).unwrap_or_default();
            plans.entry(node).or_default().push(PlannedPartition {
                partition: partition.clone(),
                topic_id,
                generation: reading.generation,
                offset,
                leader_epoch: epoch,
            });
            reading.out = true;
        }
        for (node, mut partitions) in plans {
            self.busy.insert(node);
            // Whoever was first in the last fetch is last in this one: brokers fill an answer from the front.
            let turn = random_u32() as usize % partitions.len();
            partitions.rotate_left(turn);
            let plan = FetchPlan::new(node, partitions, &self.config);
            let client = self.client.clone();
            self.work.spawn(async move { Done::Fetched(fetch::fetch(&client, plan).await) });
        }
        if !look_ups.is_empty() {
            let (client, config) = (self.client.clone(), self.config.clone());
            let wanted = look_ups.iter().map(|(partition, generation, _)| (partition.clone(), *generation)).collect();
            let places = look_ups.into_iter().map(|(partition, _, to)| (partition, to)).collect();
            self.work.spawn(async move { Done::LookedUp { wanted, result: resolve(&client, places, &config).await } });
        }
        trouble.map(|()| waits)
    }

    fn done(&mut self, done: Done) -> Result<(), ClientError> {
        self.look_for_work = true;
        match done {
            Done::Rested(node) => {
                self.busy.remove(&node);
                Ok(())
            }
            Done::LookedUp { wanted, result } => {
                let now = Instant::now();
                for (partition, generation) in wanted {
                    let Some(reading) = self.partitions.get_mut(&partition).filter(|r| r.generation == generation) else { continue };
                    reading.out = false;
                    match result.as_ref().ok().and_then(|found| found.get(&partition)) {
                        Some(offset) => reading.found(*offset),
                        None => reading.retry_later(&self.client, now),
                    }
                }
                result.map(drop)
            }
            Done::Fetched(Fetched { node, planned, result, throttle }) => {
                if throttle.is_zero() {
                    self.busy.remove(&node);
                } else {
                    self.work.spawn(async move {
                        tokio::time::sleep(throttle).await;
                        Done::Rested(node)
                    });
                }
                let now = Instant::now();
                for planned in &planned {
                    if let Some(reading) = self.reading_of(planned) {
                        reading.out = false;
                    }
                }
                match result {
                    Ok(partitions) => {
                        let mut first_error = Ok(());
                        for (planned, fetched) in planned.iter().zip(partitions) {
                            let taken = self.take_in(node, planned, fetched, now);
                            first_error = first_error.and(taken);
                        }
                        first_error
                    }
                    Err(error) => {
                        tracing::debug!(%node, %error, "fetch failed");
                        let client = self.client.clone();
                        for planned in &planned {
                            if let Some(reading) = self.reading_of(planned) {
                                reading.preferred = None;
                                reading.retry_later(&client, now);
                            }
                        }
                        self.client.request_refresh();
                        if error.is_retriable() { Ok(()) } else { Err(error) }
                    }
                }
            }
        }
    }

    fn reading_of(&mut self, planned: &PlannedPartition) -> Option<&mut Reading> {
        self.partitions.get_mut(&planned.partition).filter(|reading| reading.generation == planned.generation)
    }

    /// What a fetch said about one partition.
    fn take_in(&mut self, node: NodeId, planned: &PlannedPartition, fetched: FetchedPartition, now: Instant) -> Result<(), ClientError> {
        let (client, rules) = (self.client.clone(), self.rules);
        let next_generation = self.generation + 1;
        let reset = self.reset(&planned.partition);
        let Some(reading) = self.reading_of(planned) else { return Ok(()) };
        let (topic, partition) = (planned.partition.topic.to_string(), planned.partition.partition.0);
        match fetched.code {
            ErrorCode::None => {
                reading.failures = 0;
                reading.high_watermark = Some(fetched.high_watermark);
                if let Some(replica) = fetched.preferred_replica {
                    reading.preferred = Some((replica, now + PREFERRED_REPLICA_FOR));
                }
                if fetched.records.is_empty() {
                    return Ok(());
                }
                let chunk = Chunk::new(planned.partition.clone(), planned.generation, fetched.records, rules, fetched.aborted);
                let Some(end) = chunk.end() else {
                    reading.retry_later(&client, now);
                    return Err(chunk.unreadable(planned.offset));
                };
                reading.fetch_from = end.max(planned.offset);
                self.ready.push_back(chunk);
                Ok(())
            }
            ErrorCode::OffsetOutOfRange if reading.preferred.take().is_some_and(|(replica, _)| replica == node) => {
                // A follower that is behind, or ahead; the leader knows better.
                Ok(())
            }
            ErrorCode::OffsetOutOfRange => {
                // What was fetched before is still good: start over behind it only when it has been read.
                if reading.position != Position::At(planned.offset) {
                    reading.retry_later(&client, now);
                    return Ok(());
                }
                match reset {
                    Ok(to) => {
                        tracing::info!(%topic, partition, offset = planned.offset, "offset is outside the log; auto.offset.reset applies");
                        reading.restart(to, next_generation);
                        self.generation = next_generation;
                        Ok(())
                    }
                    Err(_) => {
                        reading.retry_later(&client, now);
                        Err(ClientError::OffsetOutOfRange { topic, partition, offset: planned.offset })
                    }
                }
            }
            code => {
                reading.preferred = None;
                reading.retry_later(&client, now);
                client.request_refresh();
                if code.retriable() {
                    Ok(())
                } else {
                    Err(ClientError::Refused { subject: planned.partition.to_string(), code, message: None })
                }
            }
        }
    }
}

/// What `next_batch` waits for, beside the work that is out.
#[derive(Debug, Default)]
struct Waits {
    until: Option<Instant>,
    for_metadata: bool,
}

impl Waits {
    fn by(&mut self, at: Instant) {
        self.until = Some(self.until.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Reading {
    fn new(generation: u64) -> Reading {
        Reading {
            position: Position::Unset,
            generation,
            fetch_from: 0,
            out: false,
            paused: false,
            failures: 0,
            retry_at: None,
            preferred: None,
            high_watermark: None,
        }
    }

    /// Another place: what is out or ready belongs to the generation before.
    fn restart(&mut self, to: SeekTo, generation: u64) {
        self.generation = generation;
        self.out = false;
        self.retry_at = None;
        match to {
            SeekTo::Offset(offset) => self.found(offset.0),
            to => self.position = Position::To(to),
        }
    }

    fn found(&mut self, offset: i64) {
        self.position = Position::At(offset);
        self.fetch_from = offset;
        self.failures = 0;
    }

    fn retry_later(&mut self, client: &Client, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + client.backoff().after(self.failures, random_u32()));
    }
}

/// Turns places into offsets; the end where no record is as late as was asked for.
async fn resolve(
    client: &Client,
    places: Vec<(TopicPartition, SeekTo)>,
    config: &ConsumerConfig,
) -> Result<HashMap<TopicPartition, i64>, ClientError> {
    let deadline = client.api_deadline();
    let found = offsets::look_up(client, &places, config.isolation_level, deadline).await?;
    let mut offsets = HashMap::new();
    let mut beyond = Vec::new();
    for (partition, at) in found {
        match at {
            Some(at) => {
                offsets.insert(partition, at.offset.0);
            }
            None => beyond.push((partition, SeekTo::End)),
        }
    }
    let ends = offsets::look_up(client, &beyond, config.isolation_level, deadline).await?;
    offsets.extend(ends.into_iter().filter_map(|(partition, at)| at.map(|at| (partition, at.offset.0))));
    Ok(offsets)
}
