//! From one topic to another in transactions, the offsets among them; and the reader that holds it to that.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message};

use crate::{POLL_MAX, REQUEST_MAX, consumer_config, goes_on};

/// Records of one transaction at most.
const RECORDS_MAX: usize = 20;
/// Each of so many transactions is aborted, and its records moved again by the next.
const ABORT_EVERY: usize = 3;

pub fn run(id: &str, group: &str, from: &str, to: &str, broker: &str, interrupted: &AtomicBool) -> KafkaResult<()> {
    let mut config = consumer_config(broker);
    config.set("group.id", group).set("isolation.level", "read_committed").set("session.timeout.ms", "6000");
    let consumer: BaseConsumer = config.create()?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("transactional.id", id).set("transaction.timeout.ms", "20000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    // Fences an earlier self, and ends what that had begun.
    producer.init_transactions(REQUEST_MAX)?;
    consumer.subscribe(&[from])?;
    for number in 1.. {
        let Some(first) = next(&consumer, interrupted)? else { break };
        producer.begin_transaction()?;
        let moved = moved(&consumer, &producer, first, (from, to), number % ABORT_EVERY != 0);
        match moved {
            Ok((moved, true)) => println!("committed {moved}"),
            // The group has gone on without this member, say: what it has read of late, it or another reads again.
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                until_done(|| producer.abort_transaction(REQUEST_MAX))?;
                eprintln!("aborted: {error}");
                again(&consumer)?;
            }
            Ok((moved, false)) => {
                until_done(|| producer.abort_transaction(REQUEST_MAX))?;
                println!("aborted {moved}");
                again(&consumer)?;
            }
            Err(error) => return Err(error),
        }
    }
    consumer.unsubscribe();
    Ok(())
}

/// Back to what is committed, which is where the transaction began, unless another member was there meanwhile.
fn again(consumer: &BaseConsumer) -> KafkaResult<()> {
    let mut committed = consumer.committed(REQUEST_MAX)?;
    for mut element in committed.elements() {
        if element.offset() == Offset::Invalid {
            // Not `Beginning`, which librdkafka has to ask for: such an answer, when late, may undo the next seek.
            element.set_offset(Offset::Offset(0))?;
        }
    }
    if committed.count() > 0 {
        committed = consumer.seek_partitions(committed, REQUEST_MAX)?;
    }
    committed.elements().iter().try_for_each(|element| element.error())
}

/// Moves some records within a transaction that was begun, and commits it when it is to be kept: how many, and whether it did.
fn moved(
    consumer: &BaseConsumer,
    producer: &ThreadedProducer<DefaultProducerContext>,
    first: (i32, i64, String),
    (from, to): (&str, &str),
    keep: bool,
) -> KafkaResult<(usize, bool)> {
    // As what it was when the first record came: a poll may make it another generation's, which begins at what is committed.
    let member = consumer.group_metadata().expect("it is a member of a group");
    let mut positions = TopicPartitionList::new();
    let mut moved = 0;
    let mut record = Some(first);
    while let Some((partition, offset, value)) = record {
        if positions.find_partition(from, partition).is_none() {
            positions.add_partition(from, partition);
        }
        positions.set_partition_offset(from, partition, Offset::Offset(offset + 1))?;
        let value = format!("{value}!");
        producer.send(BaseRecord::<(), str>::to(to).payload(&value).partition(partition)).map_err(|(error, _)| error)?;
        moved += 1;
        record = if moved < RECORDS_MAX { polled(consumer)? } else { None };
    }
    until_done(|| producer.send_offsets_to_transaction(&positions, &member, REQUEST_MAX))?;
    if keep {
        until_done(|| producer.commit_transaction(REQUEST_MAX))?;
    }
    Ok((moved, keep))
}

/// What the broker's end cut short is asked for again, as librdkafka wants it.
fn until_done(step: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
    loop {
        match step() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            other => return other,
        }
    }
}

type Polled = Option<(i32, i64, String)>;

fn polled(consumer: &BaseConsumer) -> KafkaResult<Polled> {
    let record = match consumer.poll(POLL_MAX) {
        None => return Ok(None),
        Some(Err(error)) if goes_on(&error) => return Ok(None),
        Some(polled) => polled?,
    };
    let value = String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned();
    Ok(Some((record.partition(), record.offset(), value)))
}

fn next(consumer: &BaseConsumer, interrupted: &AtomicBool) -> KafkaResult<Polled> {
    while !interrupted.load(Ordering::Relaxed) {
        if let Some(record) = polled(consumer)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

pub fn read(topic: &str, broker: &str) -> KafkaResult<()> {
    let mut config = consumer_config(broker);
    config.set("group.id", "reads-without-a-group").set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_MAX)?;
    let mut assignment = TopicPartitionList::new();
    let mut open = 0;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        open += 1;
    }
    consumer.assign(&assignment)?;
    while open > 0 {
        match consumer.poll(POLL_MAX) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(record) => println!("{}", String::from_utf8_lossy(record?.payload().unwrap_or_default())),
        }
    }
    Ok(())
}
