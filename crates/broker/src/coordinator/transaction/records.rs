//! The records of `__transaction_state` in Kafka's formats, and the batches of them, so that Kafka's tools read our topic and we read Kafka's.
//!
//! Written in the versions that Kafka 4.3 writes at `transaction.version` 2, read in all that it ever wrote.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::transaction::{
    Transaction, TransactionCoordinator, TransactionRecord, TransactionState, TransactionVersion, TransactionalId,
};
use ottla_model::{PartitionId, ProducerEpoch, ProducerId, TimestampMs, TopicName, TopicPartition};
use ottla_wire::batch::{BatchBuilder, BatchError, BatchView};
use ottla_wire::compress::Compression;
use ottla_wire::data::transaction_log::{PartitionsSchema, TransactionLogKey, TransactionLogValue};
use ottla_wire::{EncodeError, Reader};

use crate::coordinator::data::{Encoded, RecordError, bytes_of, read, read_if_there};
use crate::coordinator::log::WriteError;

/// The one version of keys.
const KEY: i16 = 0;
/// Version of values, with the ids of the transactions before and after (KIP-890).
const VALUE: i16 = 1;

/// The bytes of a batch with one record.
pub(super) fn batch_of(record: &TransactionRecord, now: TimestampMs) -> Result<Vec<u8>, WriteError> {
    let build = |error: &dyn std::error::Error| WriteError::Build(error.to_string());
    let (key, value) = encode(record).map_err(|error| build(&error))?;
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    builder.append(now.0, Some(&key), value.as_deref(), &[]).map_err(|error| build(&error))?;
    builder.build().map_err(|error| build(&error))
}

/// Takes in a batch of the log.
pub(super) fn replay(coordinator: &mut TransactionCoordinator, view: &BatchView<'_>) -> Result<(), BatchError> {
    if view.is_control() {
        return Ok(());
    }
    let unpacked = view.records(&Default::default())?;
    for record in unpacked.iter() {
        let record = record?;
        match decode(record.key, record.value) {
            Ok(Some(known)) => coordinator.replay(known),
            // Of a later version: not ours to understand.
            Ok(None) => tracing::debug!(offset = record.offset, "a record of __transaction_state is of a kind that is not known here"),
            Err(error) => tracing::warn!(offset = record.offset, "a record of __transaction_state is passed over: {error}"),
        }
    }
    Ok(())
}

/// A record's key, and its value or nothing.
fn encode(record: &TransactionRecord) -> Result<Encoded, EncodeError> {
    let key = TransactionLogKey { transactional_id: Cow::Borrowed(record.transactional_id.as_str()) };
    let value = record.value.as_ref().map(|value| bytes_of(&value_of(value), VALUE)).transpose()?;
    Ok((bytes_of(&key, KEY)?, value))
}

fn value_of(transaction: &Transaction) -> TransactionLogValue<'_> {
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in &transaction.partitions {
        topics.entry(topic).or_default().push(partition.0);
    }
    let topics = topics.into_iter().map(|(topic, partition_ids)| PartitionsSchema { topic: Cow::Borrowed(topic.as_str()), partition_ids });
    TransactionLogValue {
        producer_id: transaction.producer_id.0,
        previous_producer_id: transaction.previous_producer_id.0,
        next_producer_id: transaction.next_producer_id.0,
        producer_epoch: transaction.producer_epoch.0,
        // Of transactions that were prepared by another system (KIP-939).
        next_producer_epoch: -1,
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_status: transaction.state.id(),
        // Kafka has none while there is no transaction, not an empty list.
        transaction_partitions: (transaction.state != TransactionState::Empty).then(|| topics.collect()),
        transaction_last_update_timestamp_ms: transaction.updated.0,
        transaction_start_timestamp_ms: transaction.started.unwrap_or(TimestampMs::NONE).0,
        client_transaction_version: transaction.version.level(),
    }
}

/// What a record says; `None`: it is of a kind that is not known.
fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<TransactionRecord>, RecordError> {
    let key = key.ok_or(RecordError::NoKey)?;
    if Reader::new(key).get_i16()? != KEY {
        return Ok(None);
    }
    let transactional_id = TransactionalId::new(&read::<TransactionLogKey<'_>>(key)?.transactional_id);
    let value = read_if_there::<TransactionLogValue<'_>>(value)?;
    Ok(Some(TransactionRecord { transactional_id, value: value.as_ref().map(transaction_of).transpose()? }))
}

fn transaction_of(value: &TransactionLogValue<'_>) -> Result<Transaction, RecordError> {
    let mut partitions = BTreeSet::new();
    for topic in value.transaction_partitions.iter().flatten() {
        let name = TopicName::new(&topic.topic)?;
        partitions.extend(topic.partition_ids.iter().map(|partition| TopicPartition::new(name.clone(), PartitionId(*partition))));
    }
    let id = value.transaction_status;
    Ok(Transaction {
        producer_id: ProducerId(value.producer_id),
        previous_producer_id: ProducerId(value.previous_producer_id),
        next_producer_id: ProducerId(value.next_producer_id),
        producer_epoch: ProducerEpoch(value.producer_epoch),
        // Kafka does not write it down either: a retry that spans a change of coordinators is not known for one.
        last_producer_epoch: ProducerEpoch::NONE,
        timeout_ms: value.transaction_timeout_ms,
        state: TransactionState::from_id(id).ok_or(RecordError::State { id })?,
        partitions,
        started: Some(TimestampMs(value.transaction_start_timestamp_ms)).filter(|started| *started != TimestampMs::NONE),
        updated: TimestampMs(value.transaction_last_update_timestamp_ms),
        version: TransactionVersion::from_level(value.client_transaction_version),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_wire::batch::Batches;

    fn transaction() -> Transaction {
        let partition = |topic: &str, partition| TopicPartition::new(TopicName::new(topic).unwrap(), PartitionId(partition));
        Transaction {
            producer_id: ProducerId(7),
            previous_producer_id: ProducerId(7),
            next_producer_id: ProducerId(-1),
            producer_epoch: ProducerEpoch(3),
            last_producer_epoch: ProducerEpoch::NONE,
            timeout_ms: 60_000,
            state: TransactionState::PrepareCommit,
            partitions: [partition("b", 1), partition("a", 2), partition("a", 0)].into_iter().collect(),
            started: Some(TimestampMs(1_000)),
            updated: TimestampMs(2_000),
            version: TransactionVersion::EpochBump,
        }
    }

    fn record(value: Option<Transaction>) -> TransactionRecord {
        TransactionRecord { transactional_id: TransactionalId::new("orders"), value }
    }

    #[test]
    fn every_state_is_read_as_it_was_written() {
        use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
        let states = [Ongoing, PrepareCommit, PrepareAbort].map(|state| Transaction { state, ..transaction() });
        let at_rest = [Empty, CompleteCommit, CompleteAbort].map(|state| Transaction {
            state,
            partitions: BTreeSet::new(),
            started: None,
            next_producer_id: ProducerId(9),
            ..transaction()
        });
        for value in states.into_iter().chain(at_rest).map(Some).chain([None]) {
            let record = record(value);
            let (key, value) = encode(&record).unwrap();
            assert_eq!(decode(Some(&key), value.as_deref()).unwrap(), Some(record));
        }
    }

    #[test]
    fn the_bytes_are_those_that_kafka_writes() {
        let (key, value) = encode(&record(Some(transaction()))).unwrap();
        assert_eq!(key, b"\0\0\0\x06orders");
        let mut expected = vec![0, 1];
        expected.extend_from_slice(&7i64.to_be_bytes());
        expected.extend_from_slice(&3i16.to_be_bytes());
        expected.extend_from_slice(&60_000i32.to_be_bytes());
        expected.push(2);
        // Two topics, by name; compact arrays count one more.
        expected.extend_from_slice(&[3, 2, b'a', 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, b'b', 2, 0, 0, 0, 1, 0]);
        expected.extend_from_slice(&2_000i64.to_be_bytes());
        expected.extend_from_slice(&1_000i64.to_be_bytes());
        // Tags: 0 the producer id before, 2 the client's version.
        expected.extend_from_slice(&[2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 2, 2, 0, 2]);
        assert_eq!(value.unwrap(), expected);
        let empty = Transaction { state: TransactionState::Empty, partitions: BTreeSet::new(), ..transaction() };
        let (_, value) = encode(&record(Some(empty))).unwrap();
        assert_eq!(value.unwrap()[17], 0, "null, not empty");
    }

    #[test]
    fn the_oldest_version_of_a_value_is_read() {
        let before = Transaction { previous_producer_id: ProducerId(-1), version: TransactionVersion::Classic, ..transaction() };
        let value = bytes_of(&value_of(&before), 0).unwrap();
        let known = decode(Some(b"\0\0\0\x06orders"), Some(&value)).unwrap().unwrap();
        assert_eq!(known.value, Some(before));
    }

    #[test]
    fn a_batch_gives_back_its_record_and_a_later_one_replaces_it() {
        let mut coordinator = TransactionCoordinator::new(Default::default());
        let id = TransactionalId::new("orders");
        for value in [Some(transaction()), None] {
            let bytes = batch_of(&record(value.clone()), TimestampMs(5)).unwrap();
            for view in Batches::new(&bytes) {
                replay(&mut coordinator, &view.unwrap()).unwrap();
            }
            assert_eq!(coordinator.describe(&id).ok().cloned(), value);
        }
    }

    #[test]
    fn kinds_that_are_not_known_are_passed_over_and_nonsense_is_told() {
        assert_eq!(decode(Some(&[0, 1, 0, 1, b't']), None).unwrap(), None);
        assert!(matches!(decode(None, Some(b"v")), Err(RecordError::NoKey)));
        assert!(matches!(decode(Some(&[0]), None), Err(RecordError::Decode(_))));
        let mut value = bytes_of(&value_of(&transaction()), 1).unwrap();
        value[16] = 6;
        assert!(matches!(decode(Some(b"\0\0\0\x01t"), Some(&value)), Err(RecordError::State { id: 6 })));
    }
}
