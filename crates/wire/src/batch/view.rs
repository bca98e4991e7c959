//! A batch as it lies in memory, read field by field.

use super::records::{self, DecompressLimits, RecordSet, RecordsSummary};
use super::{BatchError, HEADER_LEN, LOG_OVERHEAD, MAGIC, at, attributes};
use crate::compress::Compression;
use std::fmt;

/// The first bytes of a batch, up to and with the leader epoch: all that the leader changes on append.
pub const PATCHED_LEN: usize = 16;

/// Whose clock the timestamps of a batch are (`message.timestamp.type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TimestampType {
    /// The producer's; each record has its own.
    #[default]
    CreateTime,
    /// The broker's at append: all records have the batch's max timestamp.
    LogAppendTime,
}

/// One whole batch. Fields are read where they are asked for; nothing but lengths and magic was checked.
#[derive(Clone, Copy, PartialEq)]
pub struct BatchView<'a> {
    header: &'a [u8; HEADER_LEN],
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Views exactly one batch.
    pub fn new(bytes: &'a [u8]) -> Result<BatchView<'a>, BatchError> {
        match BatchView::split_first(bytes)? {
            (batch, []) => Ok(batch),
            (_, rest) => Err(BatchError::NotOneBatch { bytes: rest.len() }),
        }
    }

    /// Views the first batch of `bytes`; gives it and what follows.
    pub fn split_first(bytes: &'a [u8]) -> Result<(BatchView<'a>, &'a [u8]), BatchError> {
        let truncated = |needed_bytes| BatchError::Truncated { needed_bytes, available_bytes: bytes.len() };
        // Before the length: message sets of old may be shorter than a header, and are to be told by their name.
        if let Some(magic) = bytes.get(at::MAGIC).map(|b| *b as i8).filter(|magic| *magic != MAGIC) {
            return Err(BatchError::UnsupportedMagic { magic });
        }
        let length = bytes.get(at::BATCH_LENGTH..).and_then(|tail| tail.first_chunk()).ok_or_else(|| truncated(HEADER_LEN))?;
        let length = i32::from_be_bytes(*length);
        let needed_bytes = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LOG_OVERHEAD))
            .filter(|needed| *needed >= HEADER_LEN)
            .ok_or(BatchError::BadLength { length })?;
        let (bytes, rest) = bytes.split_at_checked(needed_bytes).ok_or_else(|| truncated(needed_bytes))?;
        let header = bytes.first_chunk().ok_or_else(|| truncated(HEADER_LEN))?;
        Ok((BatchView { header, bytes }, rest))
    }

    /// The `N` bytes of the header from `AT` on.
    #[inline]
    fn field<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= HEADER_LEN) };
        // Never the default: the assertion above is checked when this is compiled.
        self.header.split_at(AT).1.first_chunk().copied().unwrap_or([0; N])
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the whole batch: 12 more than its length field says.
    pub fn length_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records as they are, compressed or not.
    pub fn records_bytes(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Offset of the first record (of the one it had first, after compaction). Producers send 0.
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(self.field::<{ at::BASE_OFFSET }, 8>())
    }

    /// Epoch of the leader that appended it; -1 from a producer.
    pub fn partition_leader_epoch(&self) -> i32 {
        i32::from_be_bytes(self.field::<{ at::PARTITION_LEADER_EPOCH }, 4>())
    }

    /// Always 2.
    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(self.field::<{ at::MAGIC }, 1>())
    }

    /// The stored CRC-32C of everything from the attributes on.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.field::<{ at::CRC }, 4>())
    }

    /// See [`attributes`].
    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.field::<{ at::ATTRIBUTES }, 2>())
    }

    /// Offset of the last record less the base offset; kept by compaction.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.field::<{ at::LAST_OFFSET_DELTA }, 4>())
    }

    /// What the records' timestamp deltas count from: the first record's timestamp, or the delete horizon.
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field::<{ at::BASE_TIMESTAMP }, 8>())
    }

    /// The largest timestamp of its records, or the append time.
    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field::<{ at::MAX_TIMESTAMP }, 8>())
    }

    /// -1 without idempotence.
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(self.field::<{ at::PRODUCER_ID }, 8>())
    }

    /// -1 without idempotence.
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(self.field::<{ at::PRODUCER_EPOCH }, 2>())
    }

    /// Sequence of the first record; -1 without idempotence, and in control batches.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.field::<{ at::BASE_SEQUENCE }, 4>())
    }

    /// How many records it says it holds.
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(self.field::<{ at::RECORD_COUNT }, 4>())
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset().wrapping_add(i64::from(self.last_offset_delta()))
    }

    /// Sequence of the last record, which wraps to 0 after `i32::MAX`; -1 without idempotence.
    pub fn last_sequence(&self) -> i32 {
        let first = self.base_sequence();
        if first < 0 {
            return -1;
        }
        let last = i64::from(first) + i64::from(self.last_offset_delta());
        last.rem_euclid(i64::from(i32::MAX) + 1) as i32
    }

    /// How its records are packed.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = (self.attributes() & attributes::COMPRESSION_MASK) as u8;
        Compression::from_id(id).ok_or(BatchError::UnknownCompression { id })
    }

    /// Whether it is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes() & attributes::TRANSACTIONAL != 0
    }

    /// Whether it holds control records, which are no consumer's.
    pub fn is_control(&self) -> bool {
        self.attributes() & attributes::CONTROL != 0
    }

    /// Whether the base timestamp is a delete horizon.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes() & attributes::DELETE_HORIZON != 0
    }

    /// Whose clock its timestamps are.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & attributes::LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether it comes from an idempotent producer.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id() >= 0
    }

    /// Its first bytes with these two fields changed: written in place of its own, they make the batch the log's. The
    /// CRC does not cover them.
    pub fn patched_prefix(&self, base_offset: i64, partition_leader_epoch: i32) -> [u8; PATCHED_LEN] {
        let length: [u8; 4] = self.field::<{ at::BATCH_LENGTH }, 4>();
        let mut prefix = [0; PATCHED_LEN];
        let fields = base_offset.to_be_bytes().into_iter().chain(length).chain(partition_leader_epoch.to_be_bytes());
        prefix.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        prefix
    }

    /// The CRC-32C of everything from the attributes on, as it is.
    pub fn compute_crc(&self) -> u32 {
        crc32c::crc32c(self.bytes.get(at::ATTRIBUTES..).unwrap_or_default())
    }

    /// Holds the stored CRC against the bytes: one pass over the whole batch.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let (stored, computed) = (self.crc(), self.compute_crc());
        if stored == computed { Ok(()) } else { Err(BatchError::BadCrc { stored, computed }) }
    }

    /// Checks what the header alone can show of a producer's batch: at least one record, offsets as many as records,
    /// known attributes and codec.
    pub fn validate_shallow(&self) -> Result<(), BatchError> {
        let attributes = self.attributes();
        if attributes & !attributes::KNOWN != 0 {
            return Err(BatchError::UnknownAttributes { attributes });
        }
        self.compression()?;
        let (count, last_offset_delta) = (self.record_count(), self.last_offset_delta());
        if count < 1 || last_offset_delta != count - 1 {
            return Err(BatchError::BadRecordCount { count, last_offset_delta });
        }
        Ok(())
    }

    /// Walks the records of a producer's batch where they are not compressed: as many as it says, each as long as its
    /// parts, offset deltas counting up from 0. Copies and allocates nothing. `None`: they are compressed; see
    /// [`RecordSet::validate`].
    pub fn validate_records(&self) -> Result<Option<RecordsSummary>, BatchError> {
        match self.compression()? {
            Compression::None => records::validate(self, self.records_bytes()).map(Some),
            _ => Ok(None),
        }
    }

    /// The records, unpacked where they are compressed.
    pub fn records(&self, limits: &DecompressLimits) -> Result<RecordSet<'a>, BatchError> {
        RecordSet::unpack(*self, limits)
    }
}

impl fmt::Debug for BatchView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchView")
            .field("base_offset", &self.base_offset())
            .field("last_offset_delta", &self.last_offset_delta())
            .field("length_in_bytes", &self.length_in_bytes())
            .field("partition_leader_epoch", &self.partition_leader_epoch())
            .field("attributes", &self.attributes())
            .field("base_timestamp", &self.base_timestamp())
            .field("max_timestamp", &self.max_timestamp())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .field("record_count", &self.record_count())
            .finish_non_exhaustive()
    }
}

/// The batches of a byte string, one after another.
///
/// Ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    partial_end_is_error: bool,
}

impl<'a> Batches<'a> {
    /// As in a Fetch response or a log read: a batch that is cut off at the end ends the iteration.
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches { rest: bytes, partial_end_is_error: false }
    }

    /// As in a Produce request: a batch that is cut off at the end is [`BatchError::Truncated`].
    pub fn strict(bytes: &'a [u8]) -> Batches<'a> {
        Batches { rest: bytes, partial_end_is_error: true }
    }

    /// What was not yet viewed: after the end, the partial batch there was.
    pub fn remainder(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchView::split_first(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(BatchError::Truncated { .. }) if !self.partial_end_is_error => None,
            Err(e) => {
                self.rest = &[];
                Some(Err(e))
            }
        }
    }
}
