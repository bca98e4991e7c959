//! A client that writes a history: one producer of transactions after the other, all of one transactional id.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_client::{
    Client, ClientConfig, ClientError, Consumer, ConsumerConfig, ErrorCode, IsolationLevel, Offset, OffsetReset, Producer, ProducerConfig,
    Record, SeekTo, TopicPartition, Transaction,
};
use serde::Serialize;

use super::Random;
use super::book::{HistoryWriter, Input, Outcome, Place, Planned, TransactionId, Value, ValueId};
use crate::connection::CLIENT_ID;
use crate::{Bootstrap, Control, PerfError, Unit};

/// Values of a transaction.
const VALUES_MAX: u64 = 30;
/// Partitions of a transaction: some take part in many at once, few in all.
const PARTITIONS_MAX: u64 = 3;
const VALUE_BYTES_MAX: u64 = 800;
/// Batches that are moved in one transaction.
const MOVED_MAX: usize = 8;
/// One in so many is aborted on purpose.
const ABORTED: u64 = 5;
/// How long a call may go on trying. Short, so that a node that is away leaves ends undecided.
const BLOCK_MS: u32 = 2_000;
/// Between two tries of what the client does not try again by itself.
const TRY_PAUSE: Duration = Duration::from_millis(50);
/// How long nothing may come before a mover looks whether it is to end.
const LOOK_WAIT: Duration = Duration::from_millis(200);
/// How long after its time a client goes on asking how its last transaction ended.
const LAST_WAIT: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic that values are written to, or moved from; it must exist.
    pub topic: String,
    /// Moves what others write.
    pub moves: Option<MoveOptions>,
    /// The producers' `transactional.id`.
    pub transactional_id: String,
    /// The client's number, which tells its values from those of others.
    pub client: u32,
    /// The history; gone on with, where there is one.
    pub file: PathBuf,
    /// How long.
    pub time: Duration,
    /// The most that a writer pauses between two transactions.
    pub pause_max: Duration,
}

/// How a mover moves.
#[derive(Clone, Debug)]
pub struct MoveOptions {
    /// The topic that values are moved to; it must exist.
    pub to: String,
    /// The movers' group.
    pub group: String,
    /// Settings of the consumer, by their Kafka names.
    pub properties: Vec<(String, String)>,
}

/// What a client did, as far as it knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HistoryReport {
    /// `history`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// Its `transactional.id`.
    pub transactional_id: String,
    /// Transactions that it was told are committed.
    pub committed: u64,
    /// Transactions that it has aborted, or was told are not committed.
    pub aborted: u64,
    /// Transactions whose end it does not know.
    pub unknown: u64,
    /// Producers that could not go on though nobody had fenced them; another took their place.
    pub producers_lost: u64,
    /// Why the last of them could not.
    pub lost_by: Option<String>,
    /// By whom it ended before its time: its producer was fenced.
    pub ended_by: Option<String>,
}

/// Writes or moves for as long as was asked for. That it was fenced is in the report.
pub fn run(options: &HistoryOptions, control: &Control) -> Result<HistoryReport, PerfError> {
    let started = Instant::now();
    control.expect(options.time.as_millis() as u64, Unit::Time);
    let mut teller = Teller {
        options,
        control,
        started,
        history: HistoryWriter::open(&options.file)?,
        // By the clock: each process of a client is to do something else.
        random: Random(now_ns()),
        incarnation: 0,
        number: 0,
        undecided: None,
        report: HistoryReport {
            work: "history",
            topic: options.topic.clone(),
            transactional_id: options.transactional_id.clone(),
            ..HistoryReport::default()
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(PerfError::Runtime)?;
    loop {
        let told = runtime.block_on(teller.tell());
        if let Some(id) = teller.undecided.take() {
            teller.ended(id, Outcome::Unknown, "its producer has ended")?;
        }
        match told {
            Ok(()) => break,
            Err(PerfError::Client(error @ ClientError::ProducerEnded { .. })) if is_fenced(&error) => {
                teller.report.ended_by = Some(error.to_string());
                break;
            }
            Err(PerfError::Client(error @ ClientError::ProducerEnded { .. })) => {
                teller.report.producers_lost += 1;
                teller.report.lost_by = Some(error.to_string());
                if !control.pause(TRY_PAUSE) || teller.is_over() {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(teller.report)
}

fn is_fenced(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch))
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

struct Teller<'o> {
    options: &'o HistoryOptions,
    control: &'o Control,
    started: Instant,
    history: HistoryWriter,
    random: Random,
    incarnation: u64,
    number: u32,
    /// Was to be committed or aborted, and that was not confirmed in time: the next begin tells.
    undecided: Option<(TransactionId, bool)>,
    report: HistoryReport,
}

impl Teller<'_> {
    /// Whether nothing new is to be begun.
    fn is_over(&self) -> bool {
        self.control.is_ended() || self.started.elapsed() >= self.options.time
    }

    /// Whether what has to be done in any case is not even tried any more.
    fn is_given_up(&self, begun: Instant) -> bool {
        self.is_over() && begun.elapsed() >= LAST_WAIT
    }

    async fn tell(&mut self) -> Result<(), PerfError> {
        let begun = Instant::now();
        let config = ClientConfig::new(&self.options.bootstrap.to_string()).client_id(CLIENT_ID);
        let client = loop {
            match Client::connect(config.clone()).await {
                Ok(client) => break client,
                Err(error) if error.is_retriable() && !self.is_given_up(begun) => tokio::time::sleep(TRY_PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        };
        let config = ProducerConfig::default()
            .transactional_id(self.options.transactional_id.clone())
            .max_block_ms(BLOCK_MS)
            // Several batches of a partition in one transaction.
            .batch_size(4_096u32)
            .linger_ms(1u32);
        let producer = Producer::new(&client, config)?;
        // Behind every producer before it, of this process and of those that were killed.
        self.incarnation = now_ns();
        self.number = 0;
        while let Err(error) = producer.init_transactions().await {
            // Also once it is to end: what the one before has left open is not to stay so.
            if matches!(error, ClientError::ProducerEnded { .. }) || self.is_given_up(begun) {
                return Err(error.into());
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
        match self.options.moves.clone() {
            None => self.write(&client, &producer).await?,
            Some(moves) => self.move_on(&client, &producer, &moves).await?,
        }
        self.decide(&producer).await?;
        Ok(producer.close(LAST_WAIT).await?)
    }

    /// Goes on until the cluster has ended what came before, whatever was said of it, and hears how that ended where it is not known.
    async fn decide(&mut self, producer: &Producer) -> Result<(), PerfError> {
        let until = Instant::now() + LAST_WAIT;
        while Instant::now() < until {
            if let Some(nothing) = self.begin(producer).await? {
                return Ok(nothing.abort().await?);
            }
        }
        Ok(())
    }

    /// Lets a moment pass before another try; says whether there is to be one.
    fn pause(&self) -> bool {
        // The runtime has a second thread, on which the client's own tasks go on.
        tokio::task::block_in_place(|| self.control.pause(TRY_PAUSE)) && !self.is_over()
    }

    fn ended(&mut self, (id, commit): (TransactionId, bool), outcome: Outcome, why: &str) -> Result<(), PerfError> {
        // An abort that was not confirmed: nobody asked for a commit, so this is as good as known.
        let outcome = if commit { outcome } else { Outcome::Aborted };
        match outcome {
            Outcome::Committed => self.report.committed += 1,
            Outcome::Aborted => self.report.aborted += 1,
            Outcome::Unknown => self.report.unknown += 1,
        }
        self.control.reach(self.started.elapsed().as_millis() as u64);
        self.history.ended(id, outcome, why)
    }

    /// Begins a transaction, and hears how the one before ended; `None`: to be tried again.
    async fn begin(&mut self, producer: &Producer) -> Result<Option<Transaction>, PerfError> {
        match producer.begin().await {
            Ok(transaction) => {
                if let Some(before) = self.undecided.take() {
                    self.ended(before, Outcome::Committed, "by the next begin")?;
                }
                Ok(Some(transaction))
            }
            Err(error @ ClientError::ProducerEnded { .. }) => Err(error.into()),
            Err(error @ ClientError::TransactionFailed { .. }) => {
                if let Some(before) = self.undecided.take() {
                    self.ended(before, Outcome::Aborted, &error.to_string())?;
                }
                Ok(None)
            }
            Err(_) => {
                self.pause();
                Ok(None)
            }
        }
    }

    /// Writes down that a transaction has begun.
    fn begun(&mut self, plan: &[Planned]) -> Result<TransactionId, PerfError> {
        let id = TransactionId { client: self.options.client, incarnation: self.incarnation, number: self.number };
        self.number += 1;
        self.history.begun(id, plan)?;
        Ok(id)
    }

    async fn write(&mut self, client: &Client, producer: &Producer) -> Result<(), PerfError> {
        let partitions = self.partitions(client, &self.options.topic).await?;
        while !self.is_over() {
            let Some(transaction) = self.begin(producer).await? else { continue };
            let chosen: Vec<i32> = (0..=self.random.below(PARTITIONS_MAX)).map(|_| self.random.below(partitions) as i32).collect();
            let values = 1 + self.random.below(VALUES_MAX);
            let mut plan = Vec::new();
            for _ in 0..values {
                let partition = chosen[self.random.below(chosen.len() as u64) as usize];
                plan.push((partition, None));
            }
            let commit = !self.random.once_in(ABORTED);
            self.one(transaction, &self.options.topic.clone(), &plan, None, commit).await?;
            let pause = Duration::from_millis(self.random.below(self.options.pause_max.as_millis() as u64 + 1));
            tokio::task::block_in_place(|| self.control.pause(pause));
        }
        Ok(())
    }

    async fn move_on(&mut self, client: &Client, producer: &Producer, moves: &MoveOptions) -> Result<(), PerfError> {
        let partitions = self.partitions(client, &moves.to).await?;
        let mut config = ConsumerConfig::default()
            .group_id(moves.group.clone())
            .isolation_level(IsolationLevel::ReadCommitted)
            .auto_offset_reset(OffsetReset::Earliest)
            .enable_auto_commit(false);
        for (name, value) in &moves.properties {
            config = config.set(name, value)?;
        }
        while !self.is_over() {
            let mut consumer = Consumer::new(client, config.clone())?;
            let moved = self.move_with(&mut consumer, producer, moves, partitions).await;
            // What is left of the group's membership ends with its session.
            let _ = tokio::time::timeout(LOOK_WAIT, consumer.close()).await;
            // Before the group's offsets are asked for: they are not told while a transaction that holds some is open.
            self.decide(producer).await?;
            match moved {
                Ok(()) => {}
                Err(PerfError::Client(error)) if !matches!(error, ClientError::ProducerEnded { .. }) => {
                    self.pause();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Until the end, or until a transaction was not committed: then it is to be read on from what is.
    async fn move_with(
        &mut self,
        consumer: &mut Consumer,
        producer: &Producer,
        moves: &MoveOptions,
        partitions: u64,
    ) -> Result<(), PerfError> {
        consumer.subscribe(&[&self.options.topic], ()).await?;
        while !self.is_over() {
            let Some(batch) = consumer.poll(LOOK_WAIT).await? else { continue };
            let group = consumer.group_metadata()?;
            let mut batches = vec![batch];
            while batches.len() < MOVED_MAX
                && let Some(more) = consumer.poll(Duration::ZERO).await?
            {
                batches.push(more);
            }
            if consumer.group_metadata()? != group {
                // Who has the partitions now is not known any more of all of these.
                return Ok(());
            }
            let (mut plan, mut offsets, mut first) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
            for batch in &batches {
                let from = batch.topic_partition();
                for record in &batch.records()? {
                    let record = record?;
                    let place = Place { partition: from.partition.0, offset: record.offset.0 };
                    let Some(value) = record.value.and_then(Value::read) else {
                        return Err(PerfError::OutOfBounds {
                            what: "a record to be moved",
                            given: place.offset.cast_unsigned(),
                            why: format!("{} is to hold histories' values only", self.options.topic),
                        });
                    };
                    first.entry(from.clone()).or_insert(record.offset);
                    plan.push((self.random.below(partitions) as i32, Some(Input { place, value: value.id })));
                }
                offsets.insert(from.clone(), batch.last_offset().plus(1));
            }
            let transaction = loop {
                if let Some(transaction) = self.begin(producer).await? {
                    break transaction;
                }
                if self.is_over() {
                    return Ok(());
                }
            };
            let commit = !self.random.once_in(ABORTED);
            match self.one(transaction, &moves.to, &plan, Some((&group, &offsets)), commit).await? {
                Some(Outcome::Committed) => {}
                // To be moved again, unless another has the partition now.
                Some(Outcome::Aborted) if !commit => {
                    for (from, offset) in first {
                        match consumer.seek(&from, SeekTo::Offset(offset)) {
                            Ok(()) | Err(ClientError::NotAssigned { .. }) => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Does what was planned in a transaction, and ends it; gives how, unless that is to be told by the next begin.
    async fn one(
        &mut self,
        transaction: Transaction,
        topic: &str,
        plan: &[(i32, Option<Input>)],
        offsets: Option<(&ottla_client::GroupMetadata, &BTreeMap<TopicPartition, Offset>)>,
        commit: bool,
    ) -> Result<Option<Outcome>, PerfError> {
        let planned = |(partition, input): &(i32, Option<Input>)| Planned { partition: *partition, from: input.map(|input| input.place) };
        let id = self.begun(&plan.iter().map(planned).collect::<Vec<_>>())?;
        let mut deliveries = Vec::new();
        let mut failed = None;
        // Some of those to be aborted are not even sent whole.
        let sent = if commit { plan.len() } else { self.random.below(plan.len() as u64 + 1) as usize };
        for (index, (partition, input)) in plan.iter().take(sent).enumerate() {
            let value = Value { id: ValueId { transaction: id, index: index as u32 }, input: *input };
            let bytes = value.bytes(self.random.below(VALUE_BYTES_MAX) as usize);
            match transaction.enqueue(Record::to(topic).partition(*partition).value(&bytes)).await {
                Ok(delivery) => deliveries.push((index as u32, delivery)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if let (Some((group, offsets)), None) = (offsets, &failed) {
            failed = transaction.send_offsets(group, offsets).await.err();
        }
        // At times all is acknowledged before the end is asked for, at others the end waits for it, or an abort for nothing.
        let mut written = Vec::new();
        if self.random.once_in(2) {
            for (index, delivery) in deliveries.drain(..) {
                match delivery.await {
                    Ok(metadata) => written.extend(metadata.offset.map(|offset| (index, offset.0))),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            self.history.written(id, &written)?;
        }
        let commit = commit && failed.is_none();
        self.history.ending(id, commit)?;
        let result = if commit { transaction.commit().await } else { transaction.abort().await };
        let mut written = Vec::new();
        for (index, delivery) in deliveries {
            if let Ok(metadata) = delivery.await {
                written.extend(metadata.offset.map(|offset| (index, offset.0)));
            }
        }
        self.history.written(id, &written)?;
        let (outcome, why) = match &result {
            Ok(()) if commit => (Outcome::Committed, String::new()),
            Ok(()) => (Outcome::Aborted, failed.as_ref().map(ClientError::to_string).unwrap_or_default()),
            Err(error @ ClientError::TransactionFailed { .. }) => (Outcome::Aborted, error.to_string()),
            Err(ClientError::TransactionUndecided { .. }) => {
                self.undecided = Some((id, commit));
                return Ok(None);
            }
            Err(error) => (Outcome::Unknown, error.to_string()),
        };
        self.ended((id, commit), outcome, &why)?;
        match result {
            Err(error @ ClientError::ProducerEnded { .. }) => Err(error.into()),
            // A mover that meant to commit does not go on as if it had meant not to.
            Ok(()) if failed.is_some() => Ok(None),
            _ => Ok(Some(outcome)),
        }
    }

    async fn partitions(&self, client: &Client, topic: &str) -> Result<u64, PerfError> {
        loop {
            match client.partitions_for(topic).await {
                Ok(partitions) => return Ok(partitions.len() as u64),
                Err(error) if error.is_retriable() && self.pause() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
