//! What a leader lets in: the checks of Kafka's `LogValidator` and `UnifiedLog.append`, in one pass over the header and one over
//! the records, and the few cases in which a batch must be rewritten first.

use std::borrow::Cow;

use ottla_model::TimestampMs;
use ottla_wire::batch::{self, BatchView, HEADER_LEN, LOG_OVERHEAD, RecordsSummary, TimestampType, at, attributes};
use ottla_wire::compress::{Compression, compress};

use super::append::AppendOrigin;
use super::unpack::with_records;
use crate::config::{BatchValidation, LogConfig, TopicCompression};
use crate::error::AppendError;

/// A batch that may be appended: the bytes as they came, or rewritten where the topic demands it.
pub(super) struct Prepared<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// The broker's time where the topic has `LogAppendTime`, else -1.
    pub log_append_time: TimestampMs,
}

fn invalid(reason: impl Into<String>) -> AppendError {
    AppendError::InvalidRecord { reason: reason.into() }
}

/// Checks a batch on its way into a leader's log.
pub(super) fn prepare<'a>(
    records: &'a [u8],
    origin: AppendOrigin,
    config: &LogConfig,
    now: TimestampMs,
) -> Result<Prepared<'a>, AppendError> {
    if records.is_empty() {
        return Err(invalid("there is no batch"));
    }
    // Exactly one: Produce from version 3 on allows no more, and clients send no more.
    let batch = BatchView::new(records)?;
    if records.len() > config.max_message_bytes as usize {
        return Err(AppendError::TooLarge { bytes: records.len(), bytes_max: config.max_message_bytes as usize });
    }
    batch.check_crc()?;
    batch.validate_shallow()?;
    check_header(&batch, origin)?;

    let codec = batch.compression()?;
    let demands_records = config.batch_validation == BatchValidation::Full || (config.cleanup_compact && !batch.is_control());
    let summary = match batch.validate_records()? {
        Some(summary) => Some(summary),
        None if demands_records => Some(with_records(&batch, config, |records| records.validate())?),
        None => None,
    };
    if config.cleanup_compact && !batch.is_control() && summary.is_some_and(|s| s.has_null_key) {
        return Err(invalid("a compacted topic takes no record without a key"));
    }

    let mut bytes = Cow::Borrowed(records);
    if let TopicCompression::Codec { codec: wanted, level } = config.compression_type
        && wanted != codec
        && !batch.is_control()
    {
        bytes = Cow::Owned(repack(&batch, wanted, level, config)?);
    }
    let mut log_append_time = TimestampMs::NONE;
    match config.message_timestamp_type {
        TimestampType::LogAppendTime => {
            log_append_time = now;
            batch::set_max_timestamp(bytes.to_mut(), TimestampType::LogAppendTime, now.0)?;
        }
        TimestampType::CreateTime => {
            let max_timestamp = summary.map_or(batch.max_timestamp(), |s: RecordsSummary| s.max_timestamp);
            check_timestamps(&batch, max_timestamp, config, now)?;
            // A producer that misstates its largest timestamp would lead lookups and retention astray.
            if max_timestamp != batch.max_timestamp() {
                batch::set_max_timestamp(bytes.to_mut(), TimestampType::CreateTime, max_timestamp)?;
            }
        }
    }
    // Repacking may have made it larger.
    if bytes.len() > config.segment_bytes as usize {
        return Err(AppendError::LargerThanSegment { bytes: bytes.len(), bytes_max: config.segment_bytes as usize });
    }
    Ok(Prepared { bytes, log_append_time })
}

fn check_header(batch: &BatchView<'_>, origin: AppendOrigin) -> Result<(), AppendError> {
    if batch.is_transactional() && !batch.has_producer_id() {
        return Err(invalid("a transactional batch without a producer id"));
    }
    if batch.has_producer_id() && batch.producer_epoch() < 0 {
        return Err(invalid(format!("producer {} with epoch {}", batch.producer_id(), batch.producer_epoch())));
    }
    if !origin.is_client() {
        return Ok(());
    }
    if batch.base_offset() != 0 {
        return Err(invalid(format!("the base offset is {}, producers send 0", batch.base_offset())));
    }
    if batch.is_control() {
        return Err(invalid("clients may not write control records"));
    }
    if batch.has_producer_id() && batch.base_sequence() < 0 {
        return Err(invalid(format!("producer {} without a sequence number", batch.producer_id())));
    }
    if batch.timestamp_type() == TimestampType::LogAppendTime {
        return Err(AppendError::TimestampTypeNotTheirs);
    }
    Ok(())
}

fn check_timestamps(batch: &BatchView<'_>, max_timestamp: i64, config: &LogConfig, now: TimestampMs) -> Result<(), AppendError> {
    let earliest = now.0.saturating_sub(config.message_timestamp_before_max_ms);
    let latest = now.0.saturating_add(config.message_timestamp_after_max_ms);
    let check = |found: i64| {
        if found != TimestampMs::NONE.0 && !(earliest..=latest).contains(&found) {
            let (found, earliest, latest) = (TimestampMs(found), TimestampMs(earliest), TimestampMs(latest));
            return Err(AppendError::InvalidTimestamp { found, now, earliest, latest });
        }
        Ok(())
    };
    check(max_timestamp)?;
    // Only a bound in the past needs each record's own timestamp, and Kafka has none by default.
    if config.message_timestamp_before_max_ms != i64::MAX {
        with_records(batch, config, |records| records.iter().try_for_each(|record| check(record?.timestamp)))?;
    }
    Ok(())
}

/// The same records in another codec (`compression.type` of the topic).
fn repack(batch: &BatchView<'_>, codec: Compression, level: Option<i32>, config: &LogConfig) -> Result<Vec<u8>, AppendError> {
    let mut out = with_records(batch, config, |records| {
        let mut out = Vec::with_capacity(HEADER_LEN + batch.records_bytes().len());
        out.extend_from_slice(&batch.bytes()[..HEADER_LEN]);
        match codec {
            Compression::None => out.extend_from_slice(records.unpacked_bytes()),
            codec => compress(codec, level, records.unpacked_bytes(), &mut out).map_err(|e| invalid(e.to_string()))?,
        }
        Ok::<_, AppendError>(out)
    })?;
    let length = i32::try_from(out.len() - LOG_OVERHEAD).map_err(|_| invalid("too large when repacked"))?;
    let bits = (batch.attributes() & !attributes::COMPRESSION_MASK) | i16::from(codec.id());
    out[at::BATCH_LENGTH..at::BATCH_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    out[at::ATTRIBUTES..at::ATTRIBUTES + 2].copy_from_slice(&bits.to_be_bytes());
    let crc = crc32c::crc32c(&out[at::ATTRIBUTES..]);
    out[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
    Ok(out)
}
