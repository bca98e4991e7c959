//! The batches of the offsets topic: from what a coordinator wants written, and back.

use ottla_cluster::group::{BATCH_BYTES, Batch, BatchContent, EndTransaction, GroupCoordinator, GroupRecord, Proposal, TransactionResult};
use ottla_model::{ProducerEpoch, ProducerId, TimestampMs};
use ottla_wire::batch::{self, BatchBuilder, BatchError, BatchView, EndTxnMarker, TxnResult};
use ottla_wire::compress::Compression;

use super::records;
use crate::coordinator::log::WriteError;

/// Takes in a batch of the log.
pub(super) fn replay(coordinator: &mut GroupCoordinator, view: &BatchView<'_>) -> Result<(), BatchError> {
    let unpacked = view.records(&Default::default())?;
    let producer = view.is_transactional().then(|| (ProducerId(view.producer_id()), ProducerEpoch(view.producer_epoch())));
    for record in unpacked.iter() {
        let record = record?;
        if view.is_control() {
            match EndTxnMarker::read(&record) {
                Ok(Some(marker)) => coordinator.replay_transaction_end(ProducerId(view.producer_id()), result_of(marker.result)),
                Ok(None) => {}
                Err(error) => tracing::warn!(offset = record.offset, "a control record of the offsets topic is passed over: {error}"),
            }
            continue;
        }
        match records::decode(record.key, record.value) {
            Ok(Some(known)) => coordinator.replay(known, producer),
            // Of a later version, or of a kind of group that is not served: not ours to understand.
            Ok(None) => tracing::debug!(offset = record.offset, "a record of the offsets topic is of a kind that is not known here"),
            Err(error) => tracing::warn!(offset = record.offset, "a record of the offsets topic is passed over: {error}"),
        }
    }
    Ok(())
}

fn result_of(result: TxnResult) -> TransactionResult {
    match result {
        TxnResult::Commit => TransactionResult::Commit,
        TxnResult::Abort => TransactionResult::Abort,
    }
}

/// Puts what follows each other into one batch, as far as a batch goes; gives each with the proposals that it holds. What is of a
/// transaction, or ends one, has a batch of its own, for that says whose it is.
pub(super) fn merge(wanted: Vec<Batch>, batch_bytes_max: usize) -> Vec<(Vec<Proposal>, BatchContent)> {
    let mut merged: Vec<(Vec<Proposal>, BatchContent)> = Vec::with_capacity(wanted.len());
    let mut bytes = 0;
    for Batch { proposal, content } in wanted {
        let BatchContent::Records(mut more) = content else {
            merged.push((vec![proposal], content));
            continue;
        };
        let more_bytes: usize = more.iter().map(GroupRecord::bytes_max).sum();
        match merged.last_mut() {
            Some((proposals, BatchContent::Records(records))) if bytes + more_bytes <= batch_bytes_max => {
                proposals.push(proposal);
                records.append(&mut more);
                bytes += more_bytes;
            }
            _ => {
                merged.push((vec![proposal], BatchContent::Records(more)));
                bytes = BATCH_BYTES + more_bytes;
            }
        }
    }
    merged
}

/// The bytes of a batch.
pub(super) fn encode(content: &BatchContent, now: TimestampMs) -> Result<Vec<u8>, WriteError> {
    match content {
        BatchContent::Records(records) => build(records, None, now),
        BatchContent::Transactional { producer, producer_epoch, records } => build(records, Some((*producer, *producer_epoch)), now),
        BatchContent::Marker(end) => batch::control_batch(marker_of(end), now.0, end.producer.0, end.producer_epoch.0)
            .map_err(|error| WriteError::Build(error.to_string())),
    }
}

/// The record that ends a transaction.
pub(super) fn marker_of(end: &EndTransaction) -> EndTxnMarker {
    let result = match end.result {
        TransactionResult::Commit => TxnResult::Commit,
        TransactionResult::Abort => TxnResult::Abort,
    };
    EndTxnMarker { result, coordinator_epoch: end.coordinator_epoch }
}

fn build(records: &[GroupRecord], producer: Option<(ProducerId, ProducerEpoch)>, now: TimestampMs) -> Result<Vec<u8>, WriteError> {
    // The coordinator has seen to it that they fit into a batch of the topic.
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    if let Some((id, epoch)) = producer {
        builder = builder.producer(id.0, epoch.0, -1).transactional();
    }
    for record in records {
        let (key, value) = records::encode(record).map_err(|error| WriteError::Build(error.to_string()))?;
        builder.append(now.0, Some(&key), value.as_deref(), &[]).map_err(|error| WriteError::Build(error.to_string()))?;
    }
    builder.build().map_err(|error| WriteError::Build(error.to_string()))
}

#[cfg(test)]
mod tests {
    use ottla_model::{GroupId, PartitionId, ProducerEpoch, ProducerId, TopicName};

    use super::*;

    /// One record, which is told by its partition.
    fn records(partition: i32) -> Vec<GroupRecord> {
        let (group, topic) = (GroupId::new("g"), TopicName::new("t").unwrap());
        vec![GroupRecord::OffsetCommit { group, topic, partition: PartitionId(partition), value: None }]
    }

    fn plain(number: i32) -> Batch {
        Batch { proposal: Proposal(number as u64), content: BatchContent::Records(records(number)) }
    }

    fn transactional(number: i32) -> Batch {
        let (producer, producer_epoch) = (ProducerId(1), ProducerEpoch(0));
        let content = BatchContent::Transactional { producer, producer_epoch, records: records(number) };
        Batch { proposal: Proposal(number as u64), content }
    }

    /// The proposals of each batch, and what it holds.
    fn merged(wanted: Vec<Batch>, batch_bytes_max: usize) -> Vec<(Vec<u64>, Vec<i32>)> {
        let of = |content| match content {
            BatchContent::Records(records) | BatchContent::Transactional { records, .. } => records,
            BatchContent::Marker(_) => Vec::new(),
        };
        let partition = |record: GroupRecord| match record {
            GroupRecord::OffsetCommit { partition, .. } => partition.0,
            other => panic!("{other:?}"),
        };
        let merged = merge(wanted, batch_bytes_max).into_iter();
        merged
            .map(|(proposals, content)| (proposals.iter().map(|p| p.0).collect(), of(content).into_iter().map(partition).collect()))
            .collect()
    }

    #[test]
    fn what_follows_each_other_shares_a_batch_in_its_order() {
        assert_eq!(merged((1..=3).map(plain).collect(), 1_000_000), [(vec![1, 2, 3], vec![1, 2, 3])]);
        assert_eq!(merged(Vec::new(), 1_000_000), []);
    }

    #[test]
    fn no_batch_is_larger_than_one_may_be() {
        let one = records(1)[0].bytes_max();
        let two_fit = BATCH_BYTES + 2 * one;
        assert_eq!(merged((1..=3).map(plain).collect(), two_fit), [(vec![1, 2], vec![1, 2]), (vec![3], vec![3])]);
        assert_eq!(merged((1..=2).map(plain).collect(), two_fit - 1), [(vec![1], vec![1]), (vec![2], vec![2])]);
    }

    #[test]
    fn transactions_share_with_nobody_and_keep_their_place() {
        let end = EndTransaction {
            producer: ProducerId(1),
            producer_epoch: ProducerEpoch(0),
            coordinator_epoch: 0,
            result: TransactionResult::Commit,
        };
        let marker = Batch { proposal: Proposal(4), content: BatchContent::Marker(end) };
        let wanted = vec![plain(1), transactional(2), transactional(3), marker, plain(5), plain(6)];
        let expected = [(vec![1], vec![1]), (vec![2], vec![2]), (vec![3], vec![3]), (vec![4], vec![]), (vec![5, 6], vec![5, 6])];
        assert_eq!(merged(wanted, 1_000_000), expected);
    }
}
