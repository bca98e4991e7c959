#![allow(clippy::indexing_slicing)]

use super::*;
use crate::compress::{Compression, DecompressError};
use crate::error::ErrorCode;
use proptest::prelude::*;

const UNLIMITED: DecompressLimits = DecompressLimits { unpacked_bytes_max: 1 << 30 };

/// A record that owns its parts.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn of(record: &Record<'_>) -> Owned {
        Owned {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.clone().map(|h| (h.key_text().into_owned(), h.value.map(<[u8]>::to_vec))).collect(),
        }
    }

    fn append_to(&self, builder: &mut BatchBuilder) -> Result<(), AppendError> {
        let headers: Vec<Header<'_>> = self.headers.iter().map(|(key, value)| Header::new(key, value.as_deref())).collect();
        builder.append(self.timestamp, self.key.as_deref(), self.value.as_deref(), &headers)
    }
}

fn record() -> impl Strategy<Value = Owned> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    let timestamp = prop_oneof![1_700_000_000_000..1_800_000_000_000i64, Just(-1), Just(0), any::<i64>()];
    let headers = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec((".{0,5}", bytes()), 0..5)];
    (timestamp, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Owned { timestamp, key, value, headers })
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

fn built(codec: Compression, records: &[Owned]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec, usize::MAX);
    for record in records {
        record.append_to(&mut builder).unwrap();
    }
    builder.build().unwrap()
}

/// Three records with keys and a header, in one codec.
fn sample(codec: Compression) -> Vec<u8> {
    let record = |timestamp, value: &str| Owned {
        timestamp,
        key: Some(b"key".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: vec![("trace".to_owned(), Some(b"1f".to_vec()))],
    };
    built(codec, &[record(1_700_000_000_000, "one"), record(1_700_000_000_500, "two"), record(1_700_000_000_200, "three")])
}

/// Everything that is done with a batch on its way in and out: what a hostile one must not break.
fn handle(bytes: &[u8]) -> Result<usize, BatchError> {
    let mut count = 0;
    for batch in Batches::strict(bytes) {
        let batch = batch?;
        // Without a look at the CRC, as if the damage had a CRC to match.
        batch.validate_shallow()?;
        batch.validate_records()?;
        let records = batch.records(&DecompressLimits { unpacked_bytes_max: 1 << 16 })?;
        records.validate()?;
        for record in &records {
            let record = record?;
            count += 1 + record.headers.map(|h| h.key_text().len()).sum::<usize>();
        }
    }
    Ok(count)
}

/// Makes the CRC that of the bytes again.
fn reseal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[at::ATTRIBUTES..]);
    batch[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
}

proptest! {
    #[test]
    fn records_come_back_as_they_were_appended(codec in codec(), records in proptest::collection::vec(record(), 1..40), base in 0..i64::MAX / 2) {
        let mut bytes = built(codec, &records);
        set_base_offset(&mut bytes, base).unwrap();
        set_partition_leader_epoch(&mut bytes, 7).unwrap();

        let batch = BatchView::new(&bytes).unwrap();
        batch.check_crc().unwrap();
        batch.validate_shallow().unwrap();
        let max_timestamp = records.iter().map(|r| r.timestamp).max().unwrap();
        prop_assert_eq!(batch.compression(), Ok(codec));
        prop_assert_eq!(batch.base_offset(), base);
        prop_assert_eq!(batch.last_offset(), base + records.len() as i64 - 1);
        prop_assert_eq!(batch.partition_leader_epoch(), 7);
        prop_assert_eq!(batch.record_count() as usize, records.len());
        prop_assert_eq!(batch.base_timestamp(), records[0].timestamp);
        prop_assert_eq!(batch.max_timestamp(), max_timestamp);

        let set = batch.records(&UNLIMITED).unwrap();
        let summary = set.validate().unwrap();
        prop_assert_eq!(batch.validate_records().unwrap(), (codec == Compression::None).then_some(summary));
        prop_assert_eq!(summary.max_timestamp, max_timestamp);
        prop_assert_eq!(records[summary.max_timestamp_offset_delta as usize].timestamp, max_timestamp);
        prop_assert_eq!(summary.has_null_key, records.iter().any(|r| r.key.is_none()));

        let read: Vec<Record<'_>> = set.iter().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.iter().map(Owned::of).collect::<Vec<_>>(), records);
        prop_assert_eq!(read.iter().map(|r| r.offset).collect::<Vec<_>>(), (base..).take(read.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_stays_within_its_limit(records in proptest::collection::vec(record(), 1..60), bytes_max in 61usize..4000) {
        let mut rest = &records[..];
        while !rest.is_empty() {
            let mut builder = BatchBuilder::new(Compression::None, bytes_max);
            let taken = rest.iter().take_while(|record| record.append_to(&mut builder).is_ok()).count();
            prop_assert!(taken > 0, "the first record is always taken");
            let expected = builder.expected_bytes();
            let batch = builder.build().unwrap();
            prop_assert_eq!(batch.len(), expected);
            prop_assert!(batch.len() <= bytes_max || taken == 1);
            // And it is as full as it can be.
            if let Some(next) = rest.get(taken) {
                let mut wider = BatchBuilder::new(Compression::None, usize::MAX);
                rest[..taken].iter().chain([next]).for_each(|r| r.append_to(&mut wider).unwrap());
                prop_assert!(wider.expected_bytes() > bytes_max);
            }
            rest = &rest[taken..];
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = handle(&bytes);
    }

    #[test]
    fn arbitrary_records_behind_a_sound_header_never_panic(codec in codec(), count in 1..5i32, junk in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = sample(codec);
        bytes.truncate(HEADER_LEN);
        bytes.extend_from_slice(&junk);
        let length = (bytes.len() - LOG_OVERHEAD) as i32;
        bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
        bytes[at::RECORD_COUNT..][..4].copy_from_slice(&count.to_be_bytes());
        bytes[at::LAST_OFFSET_DELTA..][..4].copy_from_slice(&(count - 1).to_be_bytes());
        let _ = handle(&bytes);
    }

    #[test]
    fn record_len_max_is_never_less_than_what_a_record_takes(record in record(), before in proptest::collection::vec(record(), 0..3)) {
        let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
        before.iter().for_each(|r| r.append_to(&mut builder).unwrap());
        let start = builder.unpacked_bytes();
        record.append_to(&mut builder).unwrap();
        let headers: Vec<Header<'_>> = record.headers.iter().map(|(key, value)| Header::new(key, value.as_deref())).collect();
        prop_assert!(builder.unpacked_bytes() - start <= record_len_max(record.key.as_deref(), record.value.as_deref(), &headers));
    }
}

#[test]
fn damage_at_any_place_is_found_or_harmless() {
    for codec in Compression::ALL {
        let sound = sample(codec);
        for index in 0..sound.len() {
            for damage in [0x01, 0x80, 0xff] {
                let mut bytes = sound.clone();
                bytes[index] ^= damage;
                // Never panics, even where nobody looks at the CRC.
                let _ = handle(&bytes);
                let found = BatchView::new(&bytes).and_then(|batch| batch.check_crc());
                match index {
                    // Base offset and leader epoch: the broker's to set, and outside of the CRC.
                    0..=7 | 12..=15 => assert_eq!(found, Ok(())),
                    at::CRC.. => assert!(matches!(found, Err(BatchError::BadCrc { .. })), "{codec} byte {index}: {found:?}"),
                    _ => assert!(found.is_err(), "{codec} byte {index}"),
                }
            }
        }
    }
}

#[test]
fn batches_cut_at_any_place_are_partial() {
    let two = [sample(Compression::None), sample(Compression::Lz4)].concat();
    let first = sample(Compression::None).len();
    for len in 0..two.len() {
        let cut = &two[..len];
        let whole = usize::from(len >= first);

        let mut fetched = Batches::new(cut);
        assert_eq!(fetched.by_ref().map(Result::unwrap).count(), whole, "cut at {len}");
        assert_eq!(fetched.remainder().len(), len - whole * first);

        let produced: Vec<_> = Batches::strict(cut).collect();
        let cut_within_a_batch = len != 0 && len != first;
        assert_eq!(produced.len(), whole + usize::from(cut_within_a_batch));
        if cut_within_a_batch {
            assert!(matches!(produced.last(), Some(Err(BatchError::Truncated { .. }))));
        }
    }
    assert_eq!(Batches::strict(&two).map(Result::unwrap).count(), 2);
}

#[test]
fn iteration_ends_after_an_error() {
    let mut bytes = [sample(Compression::None), sample(Compression::None)].concat();
    bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&48i32.to_be_bytes());
    for batches in [Batches::new(&bytes), Batches::strict(&bytes)] {
        assert_eq!(batches.collect::<Vec<_>>(), [Err(BatchError::BadLength { length: 48 })]);
    }
}

#[test]
fn lengths_that_are_none_are_refused() {
    for length in [i32::MIN, -1, 0, 48] {
        let mut bytes = sample(Compression::None);
        bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(BatchView::new(&bytes), Err(BatchError::BadLength { length }));
    }
    let mut bytes = sample(Compression::None);
    bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&i32::MAX.to_be_bytes());
    let (needed_bytes, available_bytes) = (i32::MAX as usize + LOG_OVERHEAD, bytes.len());
    assert_eq!(BatchView::new(&bytes), Err(BatchError::Truncated { needed_bytes, available_bytes }));
}

#[test]
fn message_sets_of_old_are_told_by_their_magic() {
    // Offset, size 14, CRC, magic 1, attributes, no key, no value: shorter than a v2 header.
    for magic in [0i8, 1] {
        let mut old = vec![0; 26];
        old[11] = 14;
        old[at::MAGIC] = magic as u8;
        assert_eq!(Batches::strict(&old).next(), Some(Err(BatchError::UnsupportedMagic { magic })));
        assert_eq!(Batches::new(&old).next(), Some(Err(BatchError::UnsupportedMagic { magic })));
    }
}

#[test]
fn exactly_one_batch_means_that_nothing_follows() {
    let mut bytes = sample(Compression::None);
    bytes.extend_from_slice(b"more");
    assert_eq!(BatchView::new(&bytes), Err(BatchError::NotOneBatch { bytes: 4 }));
}

#[test]
fn counts_that_lie_are_refused() {
    for codec in Compression::ALL {
        let with_count = |count: i32, last_offset_delta: i32| {
            let mut bytes = sample(codec);
            bytes[at::RECORD_COUNT..][..4].copy_from_slice(&count.to_be_bytes());
            bytes[at::LAST_OFFSET_DELTA..][..4].copy_from_slice(&last_offset_delta.to_be_bytes());
            reseal(&mut bytes);
            bytes
        };
        for (count, last_offset_delta) in [(0, -1), (-1, -2), (3, 3), (2, 2), (i32::MIN, i32::MAX), (4, 2)] {
            let bytes = with_count(count, last_offset_delta);
            let batch = BatchView::new(&bytes).unwrap();
            batch.check_crc().unwrap();
            let error = batch.validate_shallow().unwrap_err();
            assert_eq!(error, BatchError::BadRecordCount { count, last_offset_delta });
            assert_eq!(error.error_code(), ErrorCode::InvalidRecord);
        }
        // Count and delta agree, but the records are three.
        for (count, expected) in [
            (4, BatchError::BadRecord { index: 3, fault: RecordFault::Truncated }),
            (i32::MAX, BatchError::BadRecord { index: 3, fault: RecordFault::Truncated }),
        ] {
            let bytes = with_count(count, count - 1);
            let batch = BatchView::new(&bytes).unwrap();
            batch.validate_shallow().unwrap();
            let records = batch.records(&UNLIMITED).unwrap();
            assert_eq!(records.validate(), Err(expected.clone()));
            assert_eq!(records.iter().last(), Some(Err(expected.clone())));
            if codec == Compression::None {
                assert_eq!(batch.validate_records(), Err(expected));
            }
        }
        let bytes = with_count(2, 1);
        let records = BatchView::new(&bytes).unwrap().records(&UNLIMITED).unwrap();
        assert!(matches!(records.validate(), Err(BatchError::BytesAfterRecords { .. })));
        let read: Vec<_> = records.iter().collect();
        assert_eq!(read.len(), 3);
        assert!(matches!(read[2], Err(BatchError::BytesAfterRecords { .. })));
    }
}

/// A batch without compression around records that are given as bytes.
fn around(count: i32, records: &[u8]) -> Vec<u8> {
    let mut bytes = sample(Compression::None);
    bytes.truncate(HEADER_LEN);
    bytes.extend_from_slice(records);
    let length = (bytes.len() - LOG_OVERHEAD) as i32;
    bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
    bytes[at::RECORD_COUNT..][..4].copy_from_slice(&count.to_be_bytes());
    bytes[at::LAST_OFFSET_DELTA..][..4].copy_from_slice(&(count - 1).to_be_bytes());
    reseal(&mut bytes);
    bytes
}

/// A record's bytes: its length, then attributes 0 and what is given.
fn record_bytes(len: i32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put_varint(&mut bytes, len);
    bytes.push(0);
    bytes.extend_from_slice(rest);
    bytes
}

#[test]
fn lengths_and_deltas_that_lie_are_refused() {
    // Timestamp delta, offset delta, key length, key, value length, value, header count: zigzag, so 2 stands for 1.
    let sound = [0, 0, 2, b'k', 2, b'v', 0];
    let one = |len, rest: &[u8]| around(1, &record_bytes(len, rest));
    let checked = |bytes: &[u8]| BatchView::new(bytes).unwrap().validate_records().map(|summary| summary.unwrap().has_null_key);
    assert_eq!(checked(&one(8, &sound)), Ok(false));
    assert_eq!(checked(&one(7, &[0, 0, 1, 2, b'v', 0])), Ok(true));

    let bad = |bytes: &[u8], fault| assert_eq!(checked(bytes), Err(BatchError::BadRecord { index: 0, fault }), "{bytes:?}");
    // The record's length: longer than what is there, negative, none, or short of its parts.
    bad(&one(9, &sound), RecordFault::Truncated);
    bad(&one(i32::MAX, &sound), RecordFault::Truncated);
    bad(&one(-1, &sound), RecordFault::BadLength);
    bad(&one(0, &sound), RecordFault::BadPart);
    bad(&one(7, &sound), RecordFault::BadPart);
    // Its key or value reach over its end.
    bad(&one(8, &[0, 0, 20, b'k', 2, b'v', 0]), RecordFault::BadPart);
    bad(&one(8, &[0, 0, 2, b'k', 20, b'v', 0]), RecordFault::BadPart);
    // A varint without an end.
    bad(&one(8, &[0x80; 7]), RecordFault::BadPart);
    // Offset deltas that do not begin at 0.
    bad(&one(8, &[0, 2, 2, b'k', 2, b'v', 0]), RecordFault::BadOffsetDelta { found: 1 });
    bad(&one(8, &[0, 1, 2, b'k', 2, b'v', 0]), RecordFault::BadOffsetDelta { found: -1 });
    // Headers: more than there are, fewer than none, bytes after them, one without a key.
    bad(&one(8, &[0, 0, 2, b'k', 2, b'v', 2]), RecordFault::BadHeaderCount { count: 1 });
    bad(&one(8, &[0, 0, 2, b'k', 2, b'v', 1]), RecordFault::BadHeaderCount { count: -1 });
    bad(&one(10, &[0, 0, 2, b'k', 2, b'v', 0, 0, 0]), RecordFault::BadLength);
    bad(&one(10, &[0, 0, 2, b'k', 2, b'v', 2, 1, 1]), RecordFault::HeaderWithoutKey);
    bad(&one(12, &[0, 0, 2, b'k', 2, b'v', 0xfe, 0xff, 0xff, 0xff, 0x0f]), RecordFault::BadHeaderCount { count: i32::MAX });

    // The second record says that it is the first, or the third.
    for (delta, found) in [(0, 0), (4, 2)] {
        let records = [record_bytes(8, &sound), record_bytes(8, &[0, delta, 2, b'k', 2, b'v', 0])].concat();
        let error = checked(&around(2, &records)).unwrap_err();
        assert_eq!(error, BatchError::BadRecord { index: 1, fault: RecordFault::BadOffsetDelta { found } });
        assert_eq!(error.error_code(), ErrorCode::InvalidRecord);
    }
}

#[test]
fn compacted_batches_are_read_with_their_gaps() {
    let records = [record_bytes(8, &[0, 6, 2, b'a', 2, b'1', 0]), record_bytes(8, &[0, 10, 2, b'b', 2, b'2', 0])].concat();
    let mut bytes = around(2, &records);
    bytes[at::LAST_OFFSET_DELTA..][..4].copy_from_slice(&9i32.to_be_bytes());
    reseal(&mut bytes);
    set_base_offset(&mut bytes, 100).unwrap();
    let batch = BatchView::new(&bytes).unwrap();
    batch.check_crc().unwrap();
    assert_eq!(batch.last_offset(), 109);
    let records = batch.records(&UNLIMITED).unwrap();
    assert_eq!(records.iter().map(|r| r.unwrap().offset).collect::<Vec<_>>(), [103, 105]);
}

#[test]
fn unknown_codecs_and_attributes_are_refused() {
    for (attributes, error, code) in [
        (5, BatchError::UnknownCompression { id: 5 }, ErrorCode::UnsupportedCompressionType),
        (7, BatchError::UnknownCompression { id: 7 }, ErrorCode::UnsupportedCompressionType),
        (0x80, BatchError::UnknownAttributes { attributes: 0x80 }, ErrorCode::InvalidRecord),
        (i16::MIN, BatchError::UnknownAttributes { attributes: i16::MIN }, ErrorCode::InvalidRecord),
    ] {
        let mut bytes = sample(Compression::None);
        bytes[at::ATTRIBUTES..][..2].copy_from_slice(&attributes.to_be_bytes());
        reseal(&mut bytes);
        let refused = BatchView::new(&bytes).unwrap().validate_shallow().unwrap_err();
        assert_eq!((refused.error_code(), refused), (code, error));
    }
}

#[test]
fn records_of_another_codec_than_the_header_says_are_malformed() {
    for (says, is) in [(Compression::Gzip, Compression::Lz4), (Compression::Lz4, Compression::Zstd), (Compression::Zstd, Compression::Gzip)]
    {
        let mut bytes = sample(is);
        bytes[at::ATTRIBUTES + 1] = says.id();
        reseal(&mut bytes);
        let error = BatchView::new(&bytes).unwrap().records(&UNLIMITED).unwrap_err();
        assert!(matches!(error, BatchError::Decompress(DecompressError::Malformed { codec, .. }) if codec == says));
        assert_eq!(error.error_code(), ErrorCode::InvalidRecord);
    }
}

#[test]
fn log_append_time_is_the_time_of_all_records() {
    for codec in Compression::ALL {
        let mut bytes = sample(codec);
        set_max_timestamp(&mut bytes, TimestampType::LogAppendTime, 1_800_000_000_000).unwrap();
        let batch = BatchView::new(&bytes).unwrap();
        batch.check_crc().unwrap();
        assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
        let records = batch.records(&UNLIMITED).unwrap();
        assert!(records.iter().all(|r| r.unwrap().timestamp == 1_800_000_000_000));
        assert_eq!(records.validate().unwrap().max_timestamp, 1_800_000_000_000);

        set_max_timestamp(&mut bytes, TimestampType::CreateTime, 1_700_000_000_500).unwrap();
        assert_eq!(bytes, sample(codec));
    }
}

#[test]
fn the_patched_prefix_is_what_the_setters_write() {
    let sound = sample(Compression::Zstd);
    let mut patched = sound.clone();
    set_base_offset(&mut patched, i64::MAX - 9).unwrap();
    set_partition_leader_epoch(&mut patched, 77).unwrap();
    let prefix = BatchView::new(&sound).unwrap().patched_prefix(i64::MAX - 9, 77);
    assert_eq!([&prefix[..], &sound[PATCHED_LEN..]].concat(), patched);
    BatchView::new(&patched).unwrap().check_crc().unwrap();
    // They do for the first bytes alone, too, and say so where those are too few.
    let mut head = prefix;
    set_base_offset(&mut head, 3).unwrap();
    set_partition_leader_epoch(&mut head, 4).unwrap();
    assert_eq!(set_partition_leader_epoch(&mut head[..15], 4), Err(BatchError::Truncated { needed_bytes: 16, available_bytes: 15 }));
}

#[test]
fn a_producer_may_be_set_after_the_batch_is_built() {
    let mut builder = BatchBuilder::new(Compression::Gzip, usize::MAX).producer(9001, 3, 100).transactional();
    builder.append(5, None, Some(b"v"), &[]).unwrap();
    let early = builder.build().unwrap();
    let mut builder = BatchBuilder::new(Compression::Gzip, usize::MAX).transactional();
    builder.append(5, None, Some(b"v"), &[]).unwrap();
    let mut late = builder.build().unwrap();
    set_producer(&mut late, 9001, 3, 100).unwrap();
    assert_eq!(late, early);
    let batch = BatchView::new(&late).unwrap();
    assert!(batch.is_transactional() && !batch.is_control() && batch.has_producer_id() && !batch.has_delete_horizon());
    assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence(), batch.last_sequence()), (9001, 3, 100, 100));
}

#[test]
fn the_last_sequence_wraps_to_zero() {
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX).producer(1, 0, i32::MAX - 1);
    for _ in 0..4 {
        builder.append(0, None, None, &[]).unwrap();
    }
    let bytes = builder.build().unwrap();
    assert_eq!(BatchView::new(&bytes).unwrap().last_sequence(), 1);
}

#[test]
fn the_limit_goes_by_the_ratio_that_is_expected() {
    let append_all = |builder: &mut BatchBuilder| {
        while builder.append(0, None, Some(&[b'x'; 100]), &[]).is_ok() {}
        builder.record_count()
    };
    let plain = append_all(&mut BatchBuilder::new(Compression::Lz4, 10_000));
    let packed = append_all(&mut BatchBuilder::new(Compression::Lz4, 10_000).expected_ratio(0.25));
    assert!((4 * plain - 4..=4 * plain + 4).contains(&packed), "{plain} {packed}");
    // Without compression there is nothing to expect.
    assert_eq!(append_all(&mut BatchBuilder::new(Compression::None, 10_000).expected_ratio(0.25)), plain);
}

#[test]
fn an_empty_batch_is_none() {
    let builder = BatchBuilder::new(Compression::None, 1000);
    assert!(builder.is_empty());
    assert_eq!(builder.build(), Err(BuildError::Empty));
}

#[test]
fn a_buffer_is_used_again() {
    let mut builder = BatchBuilder::with_buffer(vec![9; 5000], Compression::None, 1000);
    builder.append(0, Some(b"k"), None, &[]).unwrap();
    let bytes = builder.build().unwrap();
    assert!(bytes.capacity() >= 5000);
    assert_eq!(handle(&bytes), Ok(1));
}

#[test]
fn markers_say_how_a_transaction_ended() {
    for (result, id) in [(TxnResult::Commit, 1), (TxnResult::Abort, 0)] {
        let marker = EndTxnMarker { result, coordinator_epoch: 12 };
        let bytes = control_batch(marker, 1_700_000_000_000, 9001, 3).unwrap();
        let batch = BatchView::new(&bytes).unwrap();
        batch.check_crc().unwrap();
        assert!(batch.is_control() && batch.is_transactional());
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence(), batch.last_sequence()), (9001, 3, -1, -1));
        let records = batch.records(&UNLIMITED).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert_eq!(record.key, Some(&[0, 0, 0, id][..]));
        assert_eq!(EndTxnMarker::read(&record), Ok(Some(marker)));
    }
}

#[test]
fn control_records_of_other_types_are_no_markers() {
    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
        Record { offset: 0, timestamp: 0, key, value, headers: Headers::default() }
    }
    for id in 2..=7 {
        let kind = ControlRecordType::from_id(id);
        assert_eq!(kind.id(), id);
        assert_eq!(EndTxnMarker::read(&record(Some(&kind.to_key()), None)), Ok(None));
    }
    assert_eq!(ControlRecordType::from_id(7), ControlRecordType::Unknown(7));
    assert_eq!(EndTxnMarker::read(&record(Some(&[0, 0, 0]), None)), Err(BadControlRecord { part: "key", bytes: 3 }));
    assert_eq!(EndTxnMarker::read(&record(None, None)), Err(BadControlRecord { part: "key", bytes: 0 }));
    assert_eq!(EndTxnMarker::read(&record(Some(&[0, 0, 0, 1]), Some(&[0; 5]))), Err(BadControlRecord { part: "value", bytes: 5 }));
    // A later version may add fields behind.
    assert!(matches!(EndTxnMarker::read(&record(Some(&[0, 1, 0, 1]), Some(&[0; 9]))), Ok(Some(_))));
}

#[test]
fn bombs_are_answered_with_message_too_large() {
    let error = BatchError::Decompress(DecompressError::TooLarge { codec: Compression::Gzip, cap_bytes: 1 });
    assert_eq!(error.error_code(), ErrorCode::MessageTooLarge);
}
