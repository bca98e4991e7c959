//! The records within a batch: walked without a copy, unpacked where they must be.

use super::varint::{read_varint, read_varlong};
use super::{BatchError, BatchView, RecordFault, TimestampType};
use crate::compress::{Compression, decompress};
use std::borrow::Cow;
use std::iter::FusedIterator;

/// What unpacking one batch may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecompressLimits {
    /// Bytes that the records of one batch may have when unpacked.
    pub unpacked_bytes_max: usize,
}

impl Default for DecompressLimits {
    /// 64 MiB: 64 times what `message.max.bytes` allows a packed batch by default.
    fn default() -> DecompressLimits {
        DecompressLimits { unpacked_bytes_max: 64 << 20 }
    }
}

/// What a walk over the records of a batch found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordsSummary {
    /// The largest timestamp; the header's, where the batch has the broker's time.
    pub max_timestamp: i64,
    /// The offset delta of the first record with that timestamp.
    pub max_timestamp_offset_delta: i32,
    /// Whether some record has no key, which a compacted topic refuses.
    pub has_null_key: bool,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Its offset in the partition (what the batch's base offset makes of it).
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1: none.
    pub timestamp: i64,
    /// `None`: null.
    pub key: Option<&'a [u8]>,
    /// `None`: null, a tombstone in compacted topics.
    pub value: Option<&'a [u8]>,
    /// In the order in which the producer added them; keys may repeat.
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// UTF-8 by convention. Bytes here, because Kafka does not check it and a consumer must not stumble over it.
    pub key: &'a [u8],
    /// `None`: null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header to send.
    pub fn new(key: &'a str, value: Option<&'a [u8]>) -> Header<'a> {
        Header { key: key.as_bytes(), value }
    }

    /// The key as text; what is not UTF-8 is replaced, as Java does.
    pub fn key_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of a record: an iterator over bytes that were checked when the record was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Headers<'a> {
    /// Checks that `bytes` are `count` headers and no more.
    fn check(count: i32, bytes: &'a [u8]) -> Result<Headers<'a>, RecordFault> {
        let left = usize::try_from(count)
            .ok()
            // Each header has two bytes at least.
            .filter(|count| *count <= bytes.len() / 2)
            .ok_or(RecordFault::BadHeaderCount { count })?;
        let mut rest = bytes;
        for _ in 0..left {
            rest = read_header(rest)?.1;
        }
        if rest.is_empty() { Ok(Headers { rest: bytes, left }) } else { Err(RecordFault::BadLength) }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Cannot fail: `check` has been over it.
        let (header, rest) = read_header(self.rest).ok()?;
        self.rest = rest;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}
impl FusedIterator for Headers<'_> {}

fn read_header(bytes: &[u8]) -> Result<(Header<'_>, &[u8]), RecordFault> {
    let (key, rest) = read_nullable(bytes)?;
    let (value, rest) = read_nullable(rest)?;
    Ok((Header { key: key.ok_or(RecordFault::HeaderWithoutKey)?, value }, rest))
}

/// Reads a length and as many bytes; a negative length is null.
#[inline]
fn read_nullable(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), RecordFault> {
    let (len, rest) = read_varint(bytes).ok_or(RecordFault::BadPart)?;
    match usize::try_from(len) {
        Ok(len) => rest.split_at_checked(len).map(|(part, rest)| (Some(part), rest)).ok_or(RecordFault::BadPart),
        Err(_) => Ok((None, rest)),
    }
}

/// A record as it lies there: its parts borrowed, its deltas not yet applied.
struct RawRecord<'a> {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Reads the first record of `bytes`, all lengths checked; gives it and what follows.
    #[inline]
    fn read(bytes: &'a [u8]) -> Result<(RawRecord<'a>, &'a [u8]), RecordFault> {
        let (len, rest) = read_varint(bytes).ok_or(RecordFault::Truncated)?;
        let len = usize::try_from(len).map_err(|_| RecordFault::BadLength)?;
        let (record, after) = rest.split_at_checked(len).ok_or(RecordFault::Truncated)?;
        // The attributes of a record have no meaning yet.
        let (_attributes, rest) = record.split_first().ok_or(RecordFault::BadPart)?;
        let (timestamp_delta, rest) = read_varlong(rest).ok_or(RecordFault::BadPart)?;
        let (offset_delta, rest) = read_varint(rest).ok_or(RecordFault::BadPart)?;
        let (key, rest) = read_nullable(rest)?;
        let (value, rest) = read_nullable(rest)?;
        // Most records have no headers: their count, 0, is the last byte.
        let headers = if rest == [0] {
            Headers::default()
        } else {
            let (count, rest) = read_varint(rest).ok_or(RecordFault::BadPart)?;
            Headers::check(count, rest)?
        };
        Ok((RawRecord { timestamp_delta, offset_delta, key, value, headers }, after))
    }
}

/// Walks the unpacked records of a producer's batch.
pub(super) fn validate(batch: &BatchView<'_>, unpacked: &[u8]) -> Result<RecordsSummary, BatchError> {
    let mut rest = unpacked;
    let mut max: Option<(i64, i32)> = None;
    let mut has_null_key = false;
    for index in 0..batch.record_count() {
        let (record, after) = RawRecord::read(rest).map_err(|fault| BatchError::BadRecord { index, fault })?;
        if record.offset_delta != index {
            return Err(BatchError::BadRecord { index, fault: RecordFault::BadOffsetDelta { found: record.offset_delta } });
        }
        let timestamp = batch.base_timestamp().wrapping_add(record.timestamp_delta);
        if max.is_none_or(|(max, _)| timestamp > max) {
            max = Some((timestamp, index));
        }
        has_null_key |= record.key.is_none();
        rest = after;
    }
    if !rest.is_empty() {
        return Err(BatchError::BytesAfterRecords { bytes: rest.len() });
    }
    let (max_timestamp, max_timestamp_offset_delta) = match (batch.timestamp_type(), max) {
        (TimestampType::CreateTime, Some(max)) => max,
        (TimestampType::CreateTime, None) | (TimestampType::LogAppendTime, _) => (batch.max_timestamp(), 0),
    };
    Ok(RecordsSummary { max_timestamp, max_timestamp_offset_delta, has_null_key })
}

/// The records of one batch, unpacked. Iterate over `&records`.
#[derive(Clone, Debug)]
pub struct RecordSet<'a> {
    batch: BatchView<'a>,
    unpacked: Cow<'a, [u8]>,
}

impl<'a> RecordSet<'a> {
    pub(super) fn unpack(batch: BatchView<'a>, limits: &DecompressLimits) -> Result<RecordSet<'a>, BatchError> {
        let unpacked = match batch.compression()? {
            Compression::None => Cow::Borrowed(batch.records_bytes()),
            codec => Cow::Owned(decompress(codec, batch.records_bytes(), limits.unpacked_bytes_max)?),
        };
        Ok(RecordSet { batch, unpacked })
    }

    /// The batch they are from.
    pub fn batch(&self) -> BatchView<'a> {
        self.batch
    }

    /// The records' bytes as they are without compression.
    pub fn unpacked_bytes(&self) -> &[u8] {
        &self.unpacked
    }

    /// Same as [`BatchView::validate_records`], for batches that are compressed too (`batch.validation=full`).
    pub fn validate(&self) -> Result<RecordsSummary, BatchError> {
        validate(&self.batch, &self.unpacked)
    }

    /// The records in order. Offsets may have gaps, as after compaction.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { batch: self.batch, rest: &self.unpacked, index: 0, done: false }
    }
}

impl<'s> IntoIterator for &'s RecordSet<'_> {
    type Item = Result<Record<'s>, BatchError>;
    type IntoIter = RecordIter<'s>;

    fn into_iter(self) -> RecordIter<'s> {
        self.iter()
    }
}

/// Iterates over the records of a batch: as many as its header says; ends after the first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'s> {
    batch: BatchView<'s>,
    rest: &'s [u8],
    index: i32,
    done: bool,
}

impl<'s> RecordIter<'s> {
    /// The bytes of the records that are still to come.
    pub(super) fn rest(&self) -> &'s [u8] {
        self.rest
    }

    fn read_next(&mut self) -> Result<Option<Record<'s>>, BatchError> {
        if self.index >= self.batch.record_count() {
            self.done = true;
            return if self.rest.is_empty() { Ok(None) } else { Err(BatchError::BytesAfterRecords { bytes: self.rest.len() }) };
        }
        let index = self.index;
        let (record, rest) = RawRecord::read(self.rest).map_err(|fault| BatchError::BadRecord { index, fault })?;
        self.rest = rest;
        self.index += 1;
        let timestamp = match self.batch.timestamp_type() {
            TimestampType::CreateTime => self.batch.base_timestamp().wrapping_add(record.timestamp_delta),
            TimestampType::LogAppendTime => self.batch.max_timestamp(),
        };
        Ok(Some(Record {
            offset: self.batch.base_offset().wrapping_add(i64::from(record.offset_delta)),
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }))
    }
}

impl<'s> Iterator for RecordIter<'s> {
    type Item = Result<Record<'s>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.read_next();
        self.done |= next.is_err();
        next.transpose()
    }
}

impl FusedIterator for RecordIter<'_> {}
