//! Batches with some of their records taken out, as compaction leaves them.
//!
//! Offsets, producer, sequences and leader epoch stay what they were, so that nobody who counts by them is led astray: the
//! base offset is that of the first record there once was, and the last offset delta that of the last. Which records go is
//! the log's to say.

use std::ops::Range;

use super::builder::BuildError;
use super::patch::{HeaderFields, write_header};
use super::records::RecordSet;
use super::varint::{put_varint, put_varlong, read_varint, read_varlong};
use super::{BatchError, BatchView, HEADER_LEN, Record, RecordFault, TimestampType, attributes};
use crate::compress::{Compression, compress};

/// Which records of a batch stay. Made by [`RecordSet::retain`], and of use for that set only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Where in the unpacked bytes they are; neighbours are joined.
    ranges: Vec<Range<usize>>,
    count: i32,
    dropped: i32,
    has_tombstone: bool,
    max_timestamp: Option<i64>,
}

impl Retained {
    /// Whether no record goes.
    pub fn is_all(&self) -> bool {
        self.dropped == 0
    }

    /// Whether no record stays.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many stay.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether one of those that stay has no value.
    pub fn has_tombstone(&self) -> bool {
        self.has_tombstone
    }
}

impl BatchView<'_> {
    /// The time from which on its tombstones and markers may go (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        self.has_delete_horizon().then(|| self.base_timestamp())
    }

    /// The batch without any record: what is left to tell of a producer's last sequence, or of an offset that was in use.
    pub fn emptied(&self) -> Result<Vec<u8>, BatchError> {
        let mut bytes = vec![0; HEADER_LEN];
        let kept = !(attributes::COMPRESSION_MASK | attributes::DELETE_HORIZON);
        let fields = HeaderFields { attributes: self.attributes() & kept, base_timestamp: -1, record_count: 0, ..self.fields() };
        write_header(&mut bytes, &fields)?;
        Ok(bytes)
    }

    fn fields(&self) -> HeaderFields {
        HeaderFields {
            base_offset: self.base_offset(),
            partition_leader_epoch: self.partition_leader_epoch(),
            attributes: self.attributes(),
            last_offset_delta: self.last_offset_delta(),
            base_timestamp: self.base_timestamp(),
            max_timestamp: self.max_timestamp(),
            producer_id: self.producer_id(),
            producer_epoch: self.producer_epoch(),
            base_sequence: self.base_sequence(),
            record_count: self.record_count(),
        }
    }
}

impl RecordSet<'_> {
    /// Asks of each record whether it stays.
    pub fn retain(&self, mut stays: impl FnMut(&Record<'_>) -> bool) -> Result<Retained, BatchError> {
        let mut retained = Retained::default();
        let mut records = self.iter();
        let mut from = 0;
        while let Some(record) = records.next() {
            let record = record?;
            let to = self.unpacked_bytes().len() - records.rest().len();
            if stays(&record) {
                match retained.ranges.last_mut() {
                    Some(last) if last.end == from => last.end = to,
                    _ => retained.ranges.push(from..to),
                }
                retained.count += 1;
                retained.has_tombstone |= record.value.is_none();
                retained.max_timestamp = retained.max_timestamp.max(Some(record.timestamp));
            } else {
                retained.dropped += 1;
            }
            from = to;
        }
        Ok(retained)
    }

    /// The batch with these records only, packed as it was; with a new delete horizon, or the one it had.
    pub fn rebuild(&self, retained: &Retained, delete_horizon: Option<i64>) -> Result<Vec<u8>, BuildError> {
        let batch = self.batch();
        if retained.is_empty() {
            return Err(BuildError::Empty);
        }
        let mut fields = HeaderFields { record_count: retained.count, ..batch.fields() };
        if let (TimestampType::CreateTime, Some(max)) = (batch.timestamp_type(), retained.max_timestamp) {
            fields.max_timestamp = max;
        }
        let mut records = Vec::with_capacity(HEADER_LEN + retained.ranges.iter().map(Range::len).sum::<usize>());
        records.resize(HEADER_LEN, 0);
        let pieces = || retained.ranges.iter().filter_map(|range| self.unpacked_bytes().get(range.clone()));
        match delete_horizon {
            // All that the records count from is as it was.
            None => pieces().for_each(|piece| records.extend_from_slice(piece)),
            Some(horizon) => {
                let by = batch.base_timestamp().wrapping_sub(horizon);
                for piece in pieces() {
                    shift_timestamps(piece, by, &mut records)?;
                }
                fields.base_timestamp = horizon;
                fields.attributes |= attributes::DELETE_HORIZON;
            }
        }
        let codec = batch.compression()?;
        if codec != Compression::None {
            let mut packed = Vec::with_capacity(records.len() / 2 + HEADER_LEN);
            packed.resize(HEADER_LEN, 0);
            compress(codec, None, records.get(HEADER_LEN..).unwrap_or_default(), &mut packed)?;
            records = packed;
        }
        write_header(&mut records, &fields)?;
        Ok(records)
    }
}

/// Appends these records with `by` added to their timestamp deltas; all else is copied.
fn shift_timestamps(mut records: &[u8], by: i64, out: &mut Vec<u8>) -> Result<(), BatchError> {
    // They were read before: none of this fails.
    let bad = || BatchError::BadRecord { index: 0, fault: RecordFault::BadPart };
    let mut delta = Vec::with_capacity(10);
    while !records.is_empty() {
        let (len, rest) = read_varint(records).ok_or_else(bad)?;
        let (record, after) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)).ok_or_else(bad)?;
        let (attributes, rest) = record.split_first().ok_or_else(bad)?;
        let (timestamp_delta, rest) = read_varlong(rest).ok_or_else(bad)?;
        delta.clear();
        put_varlong(&mut delta, timestamp_delta.wrapping_add(by));
        let len = i32::try_from(1 + delta.len() + rest.len()).map_err(|_| bad())?;
        put_varint(out, len);
        out.push(*attributes);
        out.extend_from_slice(&delta);
        out.extend_from_slice(rest);
        records = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{
        BatchBuilder, DecompressLimits, EndTxnMarker, Header, TxnResult, control_batch, set_base_offset, set_max_timestamp,
    };

    type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn sample(codec: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec, usize::MAX).producer(7, 2, 40).partition_leader_epoch(5).transactional();
        for i in 0..6i64 {
            let value = (i != 2 && i != 5).then(|| vec![i as u8; 200]);
            let headers = [Header::new("h", Some(b"x"))];
            let headers = if i % 2 == 0 { &headers[..] } else { &[] };
            builder.append(1000 - i * 10, Some(format!("k{i}").as_bytes()), value.as_deref(), headers).unwrap();
        }
        let mut bytes = builder.build().unwrap();
        set_base_offset(&mut bytes, 300).unwrap();
        bytes
    }

    fn plain(bytes: &[u8]) -> Vec<Plain> {
        let batch = BatchView::new(bytes).unwrap();
        batch.check_crc().unwrap();
        let records = batch.records(&DecompressLimits::default()).unwrap();
        let plain = records.iter().map(|r| {
            let r = r.unwrap();
            (r.offset, r.timestamp, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), r.headers.count())
        });
        plain.collect()
    }

    #[test]
    fn what_stays_is_as_it_was_and_what_the_header_counts_by_too() {
        for codec in Compression::ALL {
            let bytes = sample(codec);
            let batch = BatchView::new(&bytes).unwrap();
            let records = batch.records(&DecompressLimits::default()).unwrap();
            for mask in 1u32..64 {
                let stays = |offset: i64| mask >> (offset - 300) & 1 == 1;
                let retained = records.retain(|r| stays(r.offset)).unwrap();
                assert_eq!((retained.count() as u32, retained.is_all()), (mask.count_ones(), mask == 63));
                assert_eq!(retained.has_tombstone(), stays(302) || stays(305));
                let expected: Vec<Plain> = plain(&bytes).into_iter().filter(|r| stays(r.0)).collect();
                for horizon in [None, Some(1_700_000_000_000), Some(3)] {
                    let rebuilt = records.rebuild(&retained, horizon).unwrap();
                    assert_eq!(plain(&rebuilt), expected, "{codec} {mask:b} {horizon:?}");
                    let after = BatchView::new(&rebuilt).unwrap();
                    assert_eq!((after.base_offset(), after.last_offset(), after.partition_leader_epoch()), (300, 305, 5));
                    assert_eq!((after.producer_id(), after.producer_epoch(), after.base_sequence(), after.last_sequence()), (7, 2, 40, 45));
                    assert_eq!((after.compression().unwrap(), after.is_transactional(), after.is_control()), (codec, true, false));
                    assert_eq!(after.max_timestamp(), expected.iter().map(|r| r.1).max().unwrap());
                    assert_eq!(after.delete_horizon(), horizon);
                }
            }
        }
    }

    #[test]
    fn a_horizon_stays_when_records_go_later() {
        let bytes = sample(Compression::Zstd);
        let limits = DecompressLimits::default();
        let all = BatchView::new(&bytes).unwrap().records(&limits).unwrap();
        let with_horizon = all.rebuild(&all.retain(|_| true).unwrap(), Some(9_999)).unwrap();
        let later = BatchView::new(&with_horizon).unwrap().records(&limits).unwrap();
        let rebuilt = later.rebuild(&later.retain(|r| r.offset != 303).unwrap(), None).unwrap();
        assert_eq!(BatchView::new(&rebuilt).unwrap().delete_horizon(), Some(9_999));
        assert_eq!(plain(&rebuilt), plain(&bytes).into_iter().filter(|r| r.0 != 303).collect::<Vec<_>>());
    }

    #[test]
    fn broker_time_stays_the_batch_s() {
        let mut bytes = sample(Compression::None);
        set_max_timestamp(&mut bytes, TimestampType::LogAppendTime, 5_000).unwrap();
        let records = BatchView::new(&bytes).unwrap().records(&DecompressLimits::default()).unwrap();
        let rebuilt = records.rebuild(&records.retain(|r| r.offset == 304).unwrap(), Some(77)).unwrap();
        assert_eq!(plain(&rebuilt).iter().map(|r| (r.0, r.1)).collect::<Vec<_>>(), [(304, 5_000)]);
        assert_eq!(BatchView::new(&rebuilt).unwrap().max_timestamp(), 5_000);
    }

    #[test]
    fn an_emptied_batch_tells_offsets_and_sequences_only() {
        let bytes = sample(Compression::Gzip);
        let records = BatchView::new(&bytes).unwrap().records(&DecompressLimits::default()).unwrap();
        let none = records.retain(|_| false).unwrap();
        assert!(none.is_empty());
        assert_eq!(records.rebuild(&none, None), Err(BuildError::Empty));
        let emptied = BatchView::new(&bytes).unwrap().emptied().unwrap();
        assert_eq!((emptied.len(), plain(&emptied)), (HEADER_LEN, Vec::new()));
        let batch = BatchView::new(&emptied).unwrap();
        assert_eq!((batch.base_offset(), batch.last_offset(), batch.last_sequence(), batch.max_timestamp()), (300, 305, 45, 1000));
        assert_eq!((batch.compression().unwrap(), batch.is_transactional(), batch.record_count()), (Compression::None, true, 0));
    }

    #[test]
    fn a_marker_can_be_given_a_horizon() {
        let marker = EndTxnMarker { result: TxnResult::Abort, coordinator_epoch: 3 };
        let bytes = control_batch(marker, 1_000, 7, 2).unwrap();
        let records = BatchView::new(&bytes).unwrap().records(&DecompressLimits::default()).unwrap();
        let rebuilt = records.rebuild(&records.retain(|_| true).unwrap(), Some(50_000)).unwrap();
        let batch = BatchView::new(&rebuilt).unwrap();
        let records = batch.records(&DecompressLimits::default()).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert_eq!((record.timestamp, EndTxnMarker::read(&record).unwrap()), (1_000, Some(marker)));
        assert_eq!((batch.delete_horizon(), batch.is_control()), (Some(50_000), true));
    }
}
