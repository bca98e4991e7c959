//! A member of a group that commits what it has printed, at each change of its assignment and at its end.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message};

use crate::{POLL_MAX, consumer_config, goes_on};

struct Telling;

impl ClientContext for Telling {}

impl ConsumerContext for Telling {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Whoever gets the partition next goes on where this one stopped printing.
        if let Rebalance::Revoke(_) = rebalance
            && let Err(error) = commit(consumer)
        {
            eprintln!("what was printed could not be committed: {error}");
            std::process::exit(1);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        let Ok(assigned) = consumer.assignment() else { return };
        let mut partitions: Vec<i32> = assigned.elements().iter().map(|element| element.partition()).collect();
        partitions.sort_unstable();
        let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
        println!("assigned {}", partitions.join(","));
    }
}

fn commit(consumer: &BaseConsumer<Telling>) -> KafkaResult<()> {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        other => other,
    }
}

pub fn run(protocol: &str, group: &str, topic: &str, broker: &str, interrupted: &AtomicBool) -> KafkaResult<()> {
    let mut config = consumer_config(broker);
    config.set("group.id", group).set("enable.auto.offset.store", "false");
    match protocol {
        "consumer" => config.set("group.protocol", "consumer"),
        assignor => config.set("partition.assignment.strategy", assignor).set("heartbeat.interval.ms", "500"),
    };
    let consumer: BaseConsumer<Telling> = config.create_with_context(Telling)?;
    consumer.subscribe(&[topic])?;
    while !interrupted.load(Ordering::Relaxed) {
        let record = match consumer.poll(POLL_MAX) {
            None => continue,
            Some(Err(error)) if goes_on(&error) => continue,
            Some(polled) => polled?,
        };
        let value = String::from_utf8_lossy(record.payload().unwrap_or_default());
        println!("{}/{}/{value}", record.partition(), record.offset());
        consumer.store_offset_from_message(&record)?;
    }
    commit(&consumer)
    // It leaves when it is dropped.
}
