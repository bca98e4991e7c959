//! The fields of a finished batch that may be changed where it lies.
//!
//! Base offset and leader epoch are outside of the CRC: the leader sets them without a look at the records. The others
//! are within: setting them computes the CRC again, one pass over the batch.

use super::{BatchError, BatchView, HEADER_LEN, TimestampType, at, attributes};

/// Writes `value` at `AT` of a batch or of its first bytes.
fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) -> Result<(), BatchError> {
    let available_bytes = bytes.len();
    let field = bytes.get_mut(at..).and_then(|tail| tail.first_chunk_mut::<N>());
    *field.ok_or(BatchError::Truncated { needed_bytes: at + N, available_bytes })? = value;
    Ok(())
}

/// Sets the offset of the first record. `batch` may be the whole batch or its first bytes.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), BatchError> {
    put(batch, at::BASE_OFFSET, base_offset.to_be_bytes())
}

/// Sets the epoch of the leader. `batch` may be the whole batch or its first bytes.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), BatchError> {
    put(batch, at::PARTITION_LEADER_EPOCH, epoch.to_be_bytes())
}

/// Sets whose clock the timestamps are, and the largest (for [`TimestampType::LogAppendTime`]: the time of append); then
/// the CRC. `batch` is one whole batch.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp: i64) -> Result<(), BatchError> {
    let before = BatchView::new(batch)?.attributes() & !attributes::LOG_APPEND_TIME;
    let after = match timestamp_type {
        TimestampType::CreateTime => before,
        TimestampType::LogAppendTime => before | attributes::LOG_APPEND_TIME,
    };
    put(batch, at::ATTRIBUTES, after.to_be_bytes())?;
    put(batch, at::MAX_TIMESTAMP, max_timestamp.to_be_bytes())?;
    seal(batch)
}

/// Sets whose batch it is and its place among that producer's; then the CRC. `batch` is one whole batch.
///
/// For a producer that gives out sequences when it sends, or again after its epoch was raised.
pub fn set_producer(batch: &mut [u8], producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Result<(), BatchError> {
    BatchView::new(batch)?;
    put(batch, at::PRODUCER_ID, producer_id.to_be_bytes())?;
    put(batch, at::PRODUCER_EPOCH, producer_epoch.to_be_bytes())?;
    put(batch, at::BASE_SEQUENCE, base_sequence.to_be_bytes())?;
    seal(batch)
}

/// Sets the CRC by the bytes that it covers.
fn seal(batch: &mut [u8]) -> Result<(), BatchError> {
    let crc = BatchView::new(batch)?.compute_crc();
    put(batch, at::CRC, crc.to_be_bytes())
}

/// Everything in a header that is not fixed or found from the bytes.
pub(super) struct HeaderFields {
    pub(super) base_offset: i64,
    pub(super) partition_leader_epoch: i32,
    pub(super) attributes: i16,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) record_count: i32,
}

/// Writes the header into the first bytes of `batch`, whose records are in place behind it, and seals it.
pub(super) fn write_header(batch: &mut [u8], fields: &HeaderFields) -> Result<(), BatchError> {
    let too_short = BatchError::Truncated { needed_bytes: HEADER_LEN, available_bytes: batch.len() };
    let length = batch.len().checked_sub(super::LOG_OVERHEAD).ok_or(too_short)?;
    let length = i32::try_from(length).map_err(|_| BatchError::BadLength { length: i32::MAX })?;
    put(batch, at::BASE_OFFSET, fields.base_offset.to_be_bytes())?;
    put(batch, at::BATCH_LENGTH, length.to_be_bytes())?;
    put(batch, at::PARTITION_LEADER_EPOCH, fields.partition_leader_epoch.to_be_bytes())?;
    put(batch, at::MAGIC, super::MAGIC.to_be_bytes())?;
    put(batch, at::ATTRIBUTES, fields.attributes.to_be_bytes())?;
    put(batch, at::LAST_OFFSET_DELTA, fields.last_offset_delta.to_be_bytes())?;
    put(batch, at::BASE_TIMESTAMP, fields.base_timestamp.to_be_bytes())?;
    put(batch, at::MAX_TIMESTAMP, fields.max_timestamp.to_be_bytes())?;
    put(batch, at::PRODUCER_ID, fields.producer_id.to_be_bytes())?;
    put(batch, at::PRODUCER_EPOCH, fields.producer_epoch.to_be_bytes())?;
    put(batch, at::BASE_SEQUENCE, fields.base_sequence.to_be_bytes())?;
    put(batch, at::RECORD_COUNT, fields.record_count.to_be_bytes())?;
    seal(batch)
}
