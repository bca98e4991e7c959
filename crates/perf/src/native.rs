//! The same work by `ottla-client`'s producer and consumer: what its users get, batching, partitioning and all.
//!
//! Bytes are those of keys and values, because that is what users see; requests are the client's own affair and not told.

use std::time::{Duration, Instant};

use ottla_client::{Client, ClientConfig, Consumer, ConsumerConfig, Delivery, Producer, ProducerConfig, Record, SeekTo, TopicPartition};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::batch::Letters;
use crate::connection::CLIENT_ID;
use crate::consume::ConsumeOptions;
use crate::produce::ProduceOptions;
use crate::report::{Described, Moved, Stopwatch};
use crate::{Amount, Bootstrap, Control, LoadReport, PerfError, Unit};

/// Records that were sent and whose acknowledgement was not looked at yet.
const DELIVERIES_OPEN_MAX: usize = 65_536;
/// Different values, sent in turn: packing finds no more in them than in text.
const VALUES: u64 = 1_024;
/// Records between two looks at the clock and at whether the run was ended.
const RECORDS_BETWEEN_LOOKS: u64 = 256;
/// How long nothing may come before what is missing is missed.
const IDLE_WAIT: Duration = Duration::from_secs(5);
/// How long what is queued may take at the end.
const CLOSE_WAIT: Duration = Duration::from_secs(60);

/// Produces with as many producers as `options.connections` says; `properties` are the producer's, by their Kafka names.
/// Of the options that only the raw client has (requests in flight, partitions and their number) none is used; the batch's
/// shape gives the size of a record, the codec and, with the number of records, `batch.size`.
pub fn produce(options: &ProduceOptions, properties: &[(String, String)], control: &Control) -> Result<LoadReport, PerfError> {
    let batch_size = u32::try_from(options.batch.record_bytes.saturating_mul(options.batch.records)).unwrap_or(u32::MAX);
    let mut config = ProducerConfig::default().acks(options.acks).compression_type(options.batch.compression).batch_size(batch_size);
    for (name, value) in properties {
        config = config.set(name, value)?;
    }
    let records = match options.amount {
        Amount::Records(records) => records,
        Amount::Bytes(bytes) => bytes.div_ceil(options.batch.record_bytes.max(1) as u64),
        Amount::Time(_) => u64::MAX,
    };
    expect(options.amount, records, control);
    runtime()?.block_on(async {
        let mut producers = Vec::new();
        for _ in 0..options.connections {
            let client = connect(&options.bootstrap).await?;
            producers.push(Producer::new(&client, config.clone())?);
            // Known before the clock starts, as the raw client knows it.
            client.partitions_for(&options.topic).await?;
        }
        let partitions = connect(&options.bootstrap).await?.partitions_for(&options.topic).await?.len();
        let watch = Stopwatch::start(&options.processes)?;
        let until = match options.amount {
            Amount::Time(time) => Some(watch.started() + time),
            Amount::Bytes(_) | Amount::Records(_) => None,
        };
        let mut work = JoinSet::new();
        let count = producers.len() as u64;
        for (index, producer) in producers.into_iter().enumerate() {
            let share = if until.is_some() { u64::MAX } else { records / count + u64::from((index as u64) < records % count) };
            let lane = Lane { producer, topic: options.topic.clone(), record_bytes: options.batch.record_bytes, control: control.clone() };
            work.spawn(lane.run(share, until));
        }
        let moved = gather(work).await?;
        watch.report(described("produce", &options.topic, partitions, options.connections), &moved)
    })
}

/// Consumes with as many consumers as `options.connections` says, each with its share of the partitions; `properties` are
/// the consumer's, by their Kafka names. The fetch size is the client's own, unless set by a property.
pub fn consume(options: &ConsumeOptions, properties: &[(String, String)], control: &Control) -> Result<LoadReport, PerfError> {
    let mut config = ConsumerConfig::default();
    for (name, value) in properties {
        config = config.set(name, value)?;
    }
    runtime()?.block_on(async {
        let mut consumers = Vec::new();
        let client = connect(&options.bootstrap).await?;
        let looking = Consumer::new(&client, config.clone())?;
        let mut partitions = looking.partitions_of(&options.topic).await?;
        partitions.truncate(options.partitions.unwrap_or(usize::MAX));
        let ends = looking.end_offsets(&partitions).await?;
        let count = options.connections.clamp(1, partitions.len().max(1));
        for index in 0..count {
            let client = connect(&options.bootstrap).await?;
            let mut consumer = Consumer::new(&client, config.clone())?;
            let mine: Vec<TopicPartition> = partitions.iter().skip(index).step_by(count).cloned().collect();
            consumer.assign(mine.clone()).await?;
            for partition in &mine {
                consumer.seek(partition, SeekTo::Beginning)?;
            }
            let left = mine.iter().filter_map(|partition| ends.get(partition)).map(|end| end.0.max(0) as u64).sum::<u64>();
            consumers.push((consumer, left));
        }
        let (amount, all) = match options.amount {
            Some(amount) => (amount, false),
            None => (Amount::Records(consumers.iter().map(|(_, left)| left).sum()), true),
        };
        expect(amount, u64::MAX, control);
        let watch = Stopwatch::start(&options.processes)?;
        let started = watch.started();
        let mut work = JoinSet::new();
        for (consumer, left) in consumers {
            let share = if all { Amount::Records(left) } else { divided(amount, count as u64) };
            work.spawn(read(consumer, share, started, control.clone()));
        }
        let moved = gather(work).await?;
        let missed = match amount {
            Amount::Bytes(wanted) => Some((moved.bytes, wanted, "bytes")),
            Amount::Records(wanted) => Some((moved.records, wanted, "records")),
            Amount::Time(_) => None,
        };
        if let Some((found, wanted, what)) = missed.filter(|(found, wanted, _)| found < wanted && !control.is_ended()) {
            return Err(PerfError::NotEnough { found, wanted, what });
        }
        watch.report(described("consume", &options.topic, partitions.len(), count), &moved)
    })
}

fn described<'t>(work: &'static str, topic: &'t str, partitions: usize, connections: usize) -> Described<'t> {
    Described { work, client: "native", topic, partitions, connections }
}

fn expect(amount: Amount, records: u64, control: &Control) {
    match amount {
        Amount::Bytes(bytes) => control.expect(bytes, Unit::Bytes),
        Amount::Records(wanted) => control.expect(wanted.min(records), Unit::Things),
        Amount::Time(time) => control.expect(time.as_millis() as u64, Unit::Time),
    }
}

fn divided(amount: Amount, by: u64) -> Amount {
    match amount {
        Amount::Bytes(bytes) => Amount::Bytes(bytes.div_ceil(by)),
        Amount::Records(records) => Amount::Records(records.div_ceil(by)),
        time @ Amount::Time(_) => time,
    }
}

fn runtime() -> Result<Runtime, PerfError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(PerfError::Runtime)
}

async fn connect(bootstrap: &Bootstrap) -> Result<Client, PerfError> {
    Ok(Client::connect(ClientConfig::new(&bootstrap.to_string()).client_id(CLIENT_ID)).await?)
}

async fn gather(mut work: JoinSet<Result<Moved, PerfError>>) -> Result<Moved, PerfError> {
    let mut all = Moved::default();
    while let Some(done) = work.join_next().await {
        match done {
            // The first error drops the set, which ends the others.
            Ok(result) => all.add(&result?),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
    Ok(all)
}

/// One producer.
struct Lane {
    producer: Producer,
    topic: String,
    record_bytes: usize,
    control: Control,
}

impl Lane {
    async fn run(self, records: u64, until: Option<Instant>) -> Result<Moved, PerfError> {
        let (open, mut deliveries) = mpsc::channel::<(Delivery, Instant)>(DELIVERIES_OPEN_MAX);
        let record_bytes = self.record_bytes as u64;
        let timing = tokio::spawn({
            let control = self.control.clone();
            async move {
                let mut moved = Moved::default();
                while let Some((delivery, sent_at)) = deliveries.recv().await {
                    delivery.await?;
                    moved.latencies.record(sent_at.elapsed());
                    moved.records += 1;
                    moved.bytes += record_bytes;
                    if until.is_none() && moved.records.is_multiple_of(RECORDS_BETWEEN_LOOKS) {
                        let unit = control.progress().unit;
                        control.advance(RECORDS_BETWEEN_LOOKS * if unit == Unit::Bytes { record_bytes } else { 1 });
                    }
                }
                Ok::<_, PerfError>(moved)
            }
        });
        let sent = self.send(records, until, &open).await;
        drop(open);
        self.producer.flush().await;
        let moved = timing.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?;
        sent?;
        self.producer.close(CLOSE_WAIT).await?;
        Ok(moved)
    }

    async fn send(&self, records: u64, until: Option<Instant>, open: &mpsc::Sender<(Delivery, Instant)>) -> Result<(), PerfError> {
        let mut letters = Letters::new(0);
        let values: Vec<Vec<u8>> = (0..VALUES)
            .map(|_| {
                let mut value = vec![0; self.record_bytes];
                letters.fill(&mut value);
                value
            })
            .collect();
        let started = Instant::now();
        for (number, value) in (0..records).zip(values.iter().cycle()) {
            if number % RECORDS_BETWEEN_LOOKS == 0 {
                if self.control.is_ended() || until.is_some_and(|until| Instant::now() >= until) {
                    break;
                }
                if until.is_some() {
                    self.control.reach(started.elapsed().as_millis() as u64);
                }
            }
            let sent_at = Instant::now();
            let delivery = self.producer.enqueue(Record::to(&self.topic).value(value)).await?;
            if open.send((delivery, sent_at)).await.is_err() {
                // A record was not acknowledged: whoever timed them says why.
                break;
            }
        }
        Ok(())
    }
}

/// Reads with one consumer, each record looked at as a user would.
async fn read(mut consumer: Consumer, amount: Amount, started: Instant, control: Control) -> Result<Moved, PerfError> {
    let mut moved = Moved::default();
    let is_enough = |moved: &Moved| match amount {
        Amount::Bytes(bytes) => moved.bytes >= bytes,
        Amount::Records(records) => moved.records >= records,
        Amount::Time(time) => started.elapsed() >= time,
    };
    while !is_enough(&moved) && !control.is_ended() {
        let wait = match amount {
            Amount::Time(time) => time.saturating_sub(started.elapsed()).min(IDLE_WAIT),
            Amount::Bytes(_) | Amount::Records(_) => IDLE_WAIT,
        };
        let Some(batch) = consumer.poll(wait).await? else {
            match amount {
                Amount::Time(_) => continue,
                Amount::Bytes(_) | Amount::Records(_) => break,
            }
        };
        let (mut bytes, mut records) = (0, 0);
        for record in batch.records()?.iter() {
            let record = record?;
            bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
            records += 1;
        }
        moved.bytes += bytes;
        moved.records += records;
        match amount {
            Amount::Bytes(_) => control.advance(bytes),
            Amount::Records(_) => control.advance(records),
            Amount::Time(_) => control.reach(started.elapsed().as_millis() as u64),
        }
    }
    Ok(moved)
}
