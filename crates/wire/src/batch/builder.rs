//! Puts records together to a batch.

use super::patch::{HeaderFields, write_header};
use super::varint::{put_varint, put_varlong, varint_len, varlong_len};
use super::{BatchError, HEADER_LEN, Header, attributes};
use crate::compress::{CompressError, Compression, compress};

/// Bytes of one batch at most: what a length field of 31 bits can say, less room for what compression may add.
const BATCH_BYTES_LIMIT: usize = 1 << 30;
/// Bytes of a record beside its keys, values and headers, at most: its length, attributes, deltas, lengths and count.
const RECORD_OVERHEAD_MAX: usize = 5 + 1 + 10 + 5 + 5 + 5 + 5;

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The batch has no more room: build it, and begin another with this record.
    #[error("the batch is full")]
    Full,
    /// No batch can hold the record.
    #[error("the record has {bytes} bytes, more than any batch can hold")]
    RecordTooLarge {
        /// Of the record, with its headers.
        bytes: usize,
    },
}

/// Why no batch came out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A batch has at least one record.
    #[error("a batch needs at least one record")]
    Empty,
    /// The records could not be packed.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// What came out cannot be a batch: it is too large.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// Builds one batch, record by record.
///
/// The first record is always taken, however large; after that a record that would make the batch larger than its limit
/// is refused with [`AppendError::Full`]. Records are held unpacked until the batch is built.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    compression: Compression,
    level: Option<i32>,
    bytes_max: usize,
    expected_ratio: f32,
    base_offset: i64,
    partition_leader_epoch: i32,
    flags: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    record_count: i32,
}

impl BatchBuilder {
    /// A batch that is to be at most `bytes_max` large (`batch.size`, `max.message.bytes`).
    pub fn new(compression: Compression, bytes_max: usize) -> BatchBuilder {
        BatchBuilder::with_buffer(Vec::new(), compression, bytes_max)
    }

    /// Same, in the memory of `buffer`, whose content is dropped.
    pub fn with_buffer(mut buffer: Vec<u8>, compression: Compression, bytes_max: usize) -> BatchBuilder {
        buffer.clear();
        buffer.resize(HEADER_LEN, 0);
        BatchBuilder {
            bytes: buffer,
            compression,
            level: None,
            bytes_max: bytes_max.min(BATCH_BYTES_LIMIT),
            expected_ratio: 1.0,
            base_offset: 0,
            partition_leader_epoch: -1,
            flags: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp: -1,
            max_timestamp: -1,
            record_count: 0,
        }
    }

    /// The level to compress with (`compression.gzip.level` and its like); `None`: Kafka's default.
    #[must_use]
    pub fn level(mut self, level: Option<i32>) -> BatchBuilder {
        self.level = level;
        self
    }

    /// Packed bytes per unpacked byte that may be expected of these records, by earlier batches; what the limit goes by.
    /// Without compression it is always 1.
    #[must_use]
    pub fn expected_ratio(mut self, ratio: f32) -> BatchBuilder {
        if self.compression != Compression::None && ratio > 0.0 {
            self.expected_ratio = ratio;
        }
        self
    }

    /// Offset of the first record: 0 from a producer.
    #[must_use]
    pub fn base_offset(mut self, offset: i64) -> BatchBuilder {
        self.base_offset = offset;
        self
    }

    /// Epoch of the leader that writes it: -1 from a producer.
    #[must_use]
    pub fn partition_leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.partition_leader_epoch = epoch;
        self
    }

    /// Makes it a batch of an idempotent producer.
    #[must_use]
    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> BatchBuilder {
        self.producer_id = producer_id;
        self.producer_epoch = producer_epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Makes it part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.flags |= attributes::TRANSACTIONAL;
        self
    }

    /// Makes it a control batch (see [`super::control_batch`]).
    #[must_use]
    pub(super) fn control(mut self) -> BatchBuilder {
        self.flags |= attributes::CONTROL;
        self
    }

    /// Adds a record.
    pub fn append(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> Result<(), AppendError> {
        let bytes = record_len_max(key, value, headers);
        if bytes > BATCH_BYTES_LIMIT - HEADER_LEN {
            return Err(AppendError::RecordTooLarge { bytes });
        }
        if self.record_count > 0 {
            let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
            let len = record_body_len(timestamp_delta, self.record_count, key, value, headers);
            let unpacked = self.bytes.len() + len + varint_len(len as i32);
            // The count itself is an i32.
            if self.expected_len(unpacked) > self.bytes_max || unpacked > BATCH_BYTES_LIMIT || self.record_count == i32::MAX {
                return Err(AppendError::Full);
            }
        }
        self.bytes.reserve(bytes);
        self.push(timestamp, key, value, headers);
        Ok(())
    }

    /// Adds a record that the caller knows to fit.
    pub(super) fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        if self.record_count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = self.record_count;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.record_count += 1;

        let out = &mut self.bytes;
        put_varint(out, record_body_len(timestamp_delta, offset_delta, key, value, headers) as i32);
        out.push(0); // attributes
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        put_varint(out, headers.len() as i32);
        for header in headers {
            put_nullable(out, Some(header.key));
            put_nullable(out, header.value);
        }
    }

    /// How many records it has.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes it has without compression, with its header.
    pub fn unpacked_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that the batch is expected to have when built.
    pub fn expected_bytes(&self) -> usize {
        self.expected_len(self.bytes.len())
    }

    fn expected_len(&self, unpacked: usize) -> usize {
        if self.expected_ratio == 1.0 {
            return unpacked;
        }
        HEADER_LEN + ((unpacked - HEADER_LEN) as f64 * f64::from(self.expected_ratio)).ceil() as usize
    }

    /// Packs the records and seals the batch.
    pub fn build(self) -> Result<Vec<u8>, BuildError> {
        if self.record_count == 0 {
            return Err(BuildError::Empty);
        }
        let fields = HeaderFields {
            base_offset: self.base_offset,
            partition_leader_epoch: self.partition_leader_epoch,
            attributes: self.flags | i16::from(self.compression.id()),
            last_offset_delta: self.record_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            record_count: self.record_count,
        };
        let mut batch = self.bytes;
        if self.compression != Compression::None {
            let mut packed = Vec::with_capacity(HEADER_LEN + batch.len() / 2);
            packed.resize(HEADER_LEN, 0);
            compress(self.compression, self.level, batch.get(HEADER_LEN..).unwrap_or_default(), &mut packed)?;
            batch = packed;
        }
        write_header(&mut batch, &fields)?;
        Ok(batch)
    }
}

fn put_nullable(out: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        Some(part) => {
            put_varint(out, part.len() as i32);
            out.extend_from_slice(part);
        }
        None => put_varint(out, -1),
    }
}

fn nullable_len(part: Option<&[u8]>) -> usize {
    match part {
        Some(part) => varint_len(part.len() as i32) + part.len(),
        None => varint_len(-1),
    }
}

fn record_body_len(timestamp_delta: i64, offset_delta: i32, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let headers_len: usize = headers.iter().map(|h| nullable_len(Some(h.key)) + nullable_len(h.value)).sum();
    let deltas = varlong_len(timestamp_delta) + varint_len(offset_delta);
    1 + deltas + nullable_len(key) + nullable_len(value) + varint_len(headers.len() as i32) + headers_len
}

/// Bytes that a record takes in a batch at most, whatever its place there: what a producer holds against
/// `max.request.size` before it looks for a batch.
pub fn record_len_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let part = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    headers.iter().fold(RECORD_OVERHEAD_MAX + part(key) + part(value), |sum, header| sum + 10 + header.key.len() + part(header.value))
}
