//! What a fetch brought: batches cut out of it one by one, those of aborted transactions left out.
//!
//! Pure. Nothing is copied or unpacked before a batch is asked for its records.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use ottla_model::{LeaderEpoch, Offset, PartitionId, TimestampMs, TopicPartition};
use ottla_wire::batch::{self, BatchError, BatchView, ControlRecordType, DecompressLimits, Headers, RecordSet, TimestampType};

use crate::{ClientError, IsolationLevel};

/// One batch of records of one partition, as the producer made it. Holds the memory of the fetch it came with.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    partition: TopicPartition,
    bytes: Bytes,
    /// Records before this offset were not asked for.
    from: i64,
    last_offset: i64,
    limits: DecompressLimits,
}

impl RecordBatch {
    /// Where it comes from.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        self.partition.topic.as_str()
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition.partition
    }

    /// The offset of the last record; reading goes on behind it.
    pub fn last_offset(&self) -> Offset {
        Offset(self.last_offset)
    }

    /// The term of the leader that wrote it.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.view().map_or(-1, |view| view.partition_leader_epoch()))
    }

    /// The records, unpacked where they are compressed.
    ///
    /// # Errors
    /// [`ClientError::Corrupt`] where they cannot be, or would take more than `ottla.decompressed.batch.max.bytes`.
    pub fn records(&self) -> Result<Records<'_>, ClientError> {
        let view = self.view().map_err(|cause| self.corrupt(&cause))?;
        let set = view.records(&self.limits).map_err(|cause| self.corrupt(&cause))?;
        let timestamp_type = view.timestamp_type();
        Ok(Records { batch: self, set, timestamp_type })
    }

    fn view(&self) -> Result<BatchView<'_>, BatchError> {
        BatchView::new(&self.bytes)
    }

    fn corrupt(&self, cause: &BatchError) -> ClientError {
        corrupt(&self.partition, self.from, cause)
    }
}

/// The records of a batch; iterate over a reference.
#[derive(Debug)]
pub struct Records<'b> {
    batch: &'b RecordBatch,
    set: RecordSet<'b>,
    timestamp_type: TimestampType,
}

impl Records<'_> {
    /// The records in order. An error ends it.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { batch: self.batch, records: self.set.iter(), timestamp_type: self.timestamp_type }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<ConsumedRecord<'r>, ClientError>;
    type IntoIter = RecordsIter<'r>;

    fn into_iter(self) -> RecordsIter<'r> {
        self.iter()
    }
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct ConsumedRecord<'r> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its time.
    pub timestamp: TimestampMs,
    /// Whose clock that is.
    pub timestamp_type: TimestampType,
    /// `None`: null.
    pub key: Option<&'r [u8]>,
    /// `None`: null; in a compacted topic, the deletion of the key.
    pub value: Option<&'r [u8]>,
    /// In the producer's order; keys may repeat.
    pub headers: Headers<'r>,
}

/// Iterates over the records of a batch.
#[derive(Debug)]
pub struct RecordsIter<'r> {
    batch: &'r RecordBatch,
    records: batch::RecordIter<'r>,
    timestamp_type: TimestampType,
}

impl<'r> Iterator for RecordsIter<'r> {
    type Item = Result<ConsumedRecord<'r>, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.next()? {
                // A seek into a batch: it comes whole.
                Ok(record) if record.offset < self.batch.from => {}
                Ok(record) => {
                    return Some(Ok(ConsumedRecord {
                        offset: Offset(record.offset),
                        timestamp: TimestampMs(record.timestamp),
                        timestamp_type: self.timestamp_type,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                    }));
                }
                Err(cause) => return Some(Err(self.batch.corrupt(&cause))),
            }
        }
    }
}

/// The records of one partition from one fetch, not yet handed out.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    /// The life of the position it was fetched for; another by now means that it is not wanted any more.
    pub(super) generation: u64,
    bytes: Bytes,
    rules: Rules,
    /// `(producer id, first offset)` by offset: transactions that began there and were aborted.
    aborted: VecDeque<(i64, i64)>,
    /// Producers with an aborted transaction open where we are.
    aborting: HashSet<i64>,
}

/// How batches are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) check_crcs: bool,
    pub(super) isolation: IsolationLevel,
    pub(super) limits: DecompressLimits,
}

impl Chunk {
    pub(super) fn new(partition: TopicPartition, generation: u64, bytes: Bytes, rules: Rules, aborted: Vec<(i64, i64)>) -> Chunk {
        let mut aborted = aborted;
        aborted.sort_by_key(|(_, first_offset)| *first_offset);
        Chunk { partition, generation, bytes, rules, aborted: aborted.into(), aborting: HashSet::new() }
    }

    /// The offset behind the last whole batch; `None` when there is no whole one.
    pub(super) fn end(&self) -> Option<i64> {
        batch::Batches::new(&self.bytes).map_while(Result::ok).last().map(|batch| batch.last_offset() + 1)
    }

    /// Why there is no whole batch in it.
    pub(super) fn unreadable(&self, offset: i64) -> ClientError {
        let cause = match batch::Batches::strict(&self.bytes).next() {
            Some(Err(cause)) => cause,
            _ => BatchError::Truncated { needed_bytes: batch::HEADER_LEN, available_bytes: self.bytes.len() },
        };
        corrupt(&self.partition, offset, &cause)
    }

    /// The next batch with records that are for the reader, from offset `from` on. `Ok(None)`: nothing is left; the offset
    /// says how far it went. A damaged batch is not passed: the same error comes again.
    pub(super) fn next(&mut self, from: &mut i64) -> Result<Option<RecordBatch>, ClientError> {
        loop {
            let view = match batch::Batches::new(&self.bytes).next() {
                None => return Ok(None),
                Some(Ok(view)) => view,
                Some(Err(cause)) => return Err(corrupt(&self.partition, *from, &cause)),
            };
            // A batch that ends before our position is the log's way to start a read at a batch's edge.
            if view.last_offset() < *from {
                let len = view.length_in_bytes();
                self.bytes = self.bytes.split_off(len);
                continue;
            }
            let damaged = |cause: &BatchError| corrupt(&self.partition, view.base_offset(), cause);
            if self.rules.check_crcs {
                view.check_crc().map_err(|cause| damaged(&cause))?;
            }
            let (len, last_offset) = (view.length_in_bytes(), view.last_offset());
            let hidden = hides(&view, &self.rules, &mut self.aborted, &mut self.aborting).map_err(|cause| damaged(&cause))?;
            let bytes = self.bytes.split_to(len);
            let first = std::mem::replace(from, last_offset + 1);
            if !hidden {
                let partition = self.partition.clone();
                return Ok(Some(RecordBatch { partition, bytes, from: first, last_offset, limits: self.rules.limits }));
            }
        }
    }
}

/// Whether a batch is not for the reader: a control batch, or part of an aborted transaction (KIP-98).
fn hides(view: &BatchView<'_>, rules: &Rules, aborted: &mut VecDeque<(i64, i64)>, aborting: &mut HashSet<i64>) -> Result<bool, BatchError> {
    while let Some((producer_id, _)) = aborted.pop_front_if(|(_, first_offset)| *first_offset <= view.last_offset()) {
        aborting.insert(producer_id);
    }
    if view.is_control() {
        let records = view.records(&rules.limits)?;
        if let Some(marker) = records.iter().next() {
            let kind = ControlRecordType::from_key(marker?.key.unwrap_or_default());
            if matches!(kind, Ok(ControlRecordType::Abort)) {
                aborting.remove(&view.producer_id());
            }
        }
        return Ok(true);
    }
    Ok(rules.isolation == IsolationLevel::ReadCommitted && view.is_transactional() && aborting.contains(&view.producer_id()))
}

fn corrupt(partition: &TopicPartition, offset: i64, cause: &BatchError) -> ClientError {
    ClientError::Corrupt { topic: partition.topic.to_string(), partition: partition.partition.0, offset, cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_model::TopicName;
    use ottla_wire::batch::{BatchBuilder, EndTxnMarker, TxnResult, control_batch, set_base_offset};
    use ottla_wire::compress::Compression;

    const RULES: Rules =
        Rules { check_crcs: true, isolation: IsolationLevel::ReadCommitted, limits: DecompressLimits { unpacked_bytes_max: 1 << 20 } };

    fn batch(base_offset: i64, values: &[&str], producer: Option<i64>, compression: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new(compression, 1 << 20).base_offset(base_offset);
        if let Some(producer_id) = producer {
            builder = builder.producer(producer_id, 0, 0).transactional();
        }
        for value in values {
            builder.append(5, None, Some(value.as_bytes()), &[]).unwrap();
        }
        builder.build().unwrap()
    }

    fn abort(offset: i64, producer_id: i64) -> Vec<u8> {
        let marker = EndTxnMarker { result: TxnResult::Abort, coordinator_epoch: 0 };
        let mut batch = control_batch(marker, 5, producer_id, 0).unwrap();
        set_base_offset(&mut batch, offset).unwrap();
        batch
    }

    fn read_all(bytes: Vec<u8>, from: i64, rules: Rules, aborted: Vec<(i64, i64)>) -> (Vec<(i64, String)>, i64) {
        let partition = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(0));
        let mut chunk = Chunk::new(partition, 0, bytes.into(), rules, aborted);
        let (mut from, mut all) = (from, Vec::new());
        while let Some(batch) = chunk.next(&mut from).unwrap() {
            for record in &batch.records().unwrap() {
                let record = record.unwrap();
                all.push((record.offset.0, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
            }
        }
        (all, from)
    }

    #[test]
    fn a_seek_into_a_compressed_batch_gives_the_records_from_there() {
        let bytes = [batch(0, &["a", "b"], None, Compression::Zstd), batch(2, &["c", "d", "e"], None, Compression::Lz4)].concat();
        let (records, position) = read_all(bytes, 3, RULES, vec![]);
        assert_eq!(records, [(3, "d".to_owned()), (4, "e".to_owned())]);
        assert_eq!(position, 5);
    }

    #[test]
    fn read_committed_leaves_out_aborted_transactions_only() {
        let none = Compression::None;
        let bytes = [
            batch(0, &["open"], Some(7), none),
            batch(1, &["gone"], Some(8), none),
            abort(2, 8),
            batch(3, &["kept"], Some(8), none),
            batch(4, &["plain"], None, none),
        ]
        .concat();
        let offsets = |rules| read_all(bytes.clone(), 0, rules, vec![(8, 1)]).0.into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
        assert_eq!(offsets(RULES), [0, 3, 4]);
        assert_eq!(offsets(Rules { isolation: IsolationLevel::ReadUncommitted, ..RULES }), [0, 1, 3, 4]);
    }

    #[test]
    fn markers_at_the_end_still_move_the_position() {
        let bytes = [batch(0, &["x"], Some(8), Compression::None), abort(1, 8)].concat();
        assert_eq!(read_all(bytes, 0, RULES, vec![(8, 0)]), (vec![], 2));
    }

    #[test]
    fn a_damaged_batch_is_an_error_each_time_and_never_skipped() {
        let mut bytes = batch(10, &["x"], None, Compression::None);
        *bytes.last_mut().unwrap() ^= 1;
        let partition = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(0));
        let mut chunk = Chunk::new(partition, 0, bytes.into(), RULES, vec![]);
        let mut from = 10;
        for _ in 0..2 {
            let error = chunk.next(&mut from).unwrap_err();
            assert!(matches!(error, ClientError::Corrupt { offset: 10, .. }), "{error}");
        }
        assert_eq!(from, 10);
    }

    #[test]
    fn a_batch_cut_off_at_the_end_is_left_for_the_next_fetch() {
        let mut bytes = [batch(0, &["a"], None, Compression::None), batch(1, &["b"], None, Compression::None)].concat();
        bytes.truncate(bytes.len() - 3);
        let (records, position) = read_all(bytes, 0, RULES, vec![]);
        assert_eq!((records.len(), position), (1, 1));
    }
}
