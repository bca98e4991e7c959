//! Record batches: viewed, checked, unpacked, walked, thinned out and built anew.
//!
//! An input is a byte, of which the lowest bit says that CRCs are made right first, and batches one after another.

use ottla_wire::batch::{
    BatchBuilder, BatchError, BatchView, Batches, DecompressLimits, EndTxnMarker, HEADER_LEN, Record, RecordSet, TimestampType, at,
    set_base_offset, set_max_timestamp, set_partition_leader_epoch,
};
use ottla_wire::compress::Compression;

use crate::corpus::{Named, from_hex, golden};
use crate::memory::bounded;

/// The lowest bit of an input's first byte.
const MEND_CRC: u8 = 1;
/// What a batch may unpack to here.
const LIMITS: DecompressLimits = DecompressLimits { unpacked_bytes_max: 64 << 10 };
/// While a buffer grows by one step, the one before is still there; and a codec has tables of its own.
const UNPACK_BYTES_MAX: usize = 3 * LIMITS.unpacked_bytes_max + (256 << 10);
/// For the text of an error.
const ERROR_BYTES_MAX: usize = 4096;

pub(super) fn batch(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if flags & MEND_CRC != 0 {
        mend_crcs(&mut bytes);
    }
    let mut batches = Batches::new(&bytes);
    let mut viewed = 0;
    while let Some(Ok(batch)) = batches.next() {
        assert!(batch.length_in_bytes() >= HEADER_LEN);
        assert_eq!(batch.bytes(), &bytes[viewed..viewed + batch.length_in_bytes()]);
        viewed += batch.length_in_bytes();
        check(&batch);
    }
    let strict: Vec<_> = Batches::strict(&bytes).collect();
    let whole = strict.iter().flatten().map(BatchView::length_in_bytes).sum::<usize>();
    assert_eq!(whole, viewed, "strict or not, the same batches are seen");
    assert!(strict.iter().rev().skip(1).all(Result::is_ok), "the first error is the last thing");
}

/// Makes the CRC of each whole batch right, so that what lies behind that check is reached.
pub(super) fn mend_crcs(bytes: &mut [u8]) {
    let lengths: Vec<usize> = Batches::new(bytes).map_while(Result::ok).map(|batch| batch.length_in_bytes()).collect();
    let mut rest = bytes;
    for length in lengths {
        let (batch, after) = rest.split_at_mut(length);
        let crc = crc32c::crc32c(&batch[at::ATTRIBUTES..]);
        batch[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
        rest = after;
    }
}

fn check(batch: &BatchView<'_>) {
    // Every field can be asked for, whatever is in it.
    let shown = format!("{batch:?} {} {} {:?}", batch.last_offset(), batch.last_sequence(), batch.check_crc());
    assert!(!shown.is_empty());
    let shallow = bounded(ERROR_BYTES_MAX, "the header's checks", || batch.validate_shallow());
    let walked = bounded(ERROR_BYTES_MAX, "the walk over records", || batch.validate_records());
    patched(batch);
    emptied(batch);

    let Ok(records) = bounded(UNPACK_BYTES_MAX, "unpacking", || batch.records(&LIMITS)) else { return };
    assert!(batch.compression() == Ok(Compression::None) || records.unpacked_bytes().len() <= LIMITS.unpacked_bytes_max);
    let validated = records.validate();
    match walked {
        Ok(Some(summary)) => assert_eq!(validated.as_ref(), Ok(&summary)),
        Ok(None) => assert_ne!(batch.compression(), Ok(Compression::None)),
        Err(error) => assert_eq!(validated.as_ref(), Err(&error)),
    }
    let iterated: Result<Vec<Record<'_>>, BatchError> = records.iter().collect();
    // A record takes seven bytes at least.
    assert!(iterated.as_ref().is_ok_and(|all| all.len() * 7 <= records.unpacked_bytes().len()) || iterated.is_err());
    if let Ok(summary) = validated {
        let all = iterated.as_ref().unwrap_or_else(|e| panic!("records are valid, but: {e}"));
        assert_eq!(all.len(), usize::try_from(batch.record_count()).unwrap_or(0));
        assert_eq!(all.iter().any(|record| record.key.is_none()), summary.has_null_key);
        assert!(all.iter().zip(0..).all(|(record, index)| record.offset == batch.base_offset().wrapping_add(index)));
        if let Some(max) = all.iter().map(|record| record.timestamp).max() {
            assert_eq!(summary.max_timestamp, max);
        }
        if shallow.is_ok() {
            rebuilt(batch, all);
        }
    }
    let Ok(all) = iterated else { return };
    if batch.is_control() {
        // An error or not: it comes to an end without a panic.
        for record in &all {
            let _ = EndTxnMarker::read(record);
        }
    }
    thinned_out(&records, &all);
}

/// What may be set in place is what is read afterwards, and nothing else changes.
fn patched(batch: &BatchView<'_>) {
    let mut bytes = batch.bytes().to_vec();
    let crc_held = batch.check_crc().is_ok();
    let set = set_base_offset(&mut bytes, 1 << 40).and_then(|()| set_partition_leader_epoch(&mut bytes, 9));
    assert_eq!(set, Ok(()));
    let view = BatchView::new(&bytes);
    assert_eq!(view.as_ref().map(|view| (view.base_offset(), view.partition_leader_epoch())), Ok((1 << 40, 9)));
    assert_eq!(view.is_ok_and(|view| view.check_crc().is_ok()), crc_held);
    assert_eq!(bytes[..16], batch.patched_prefix(1 << 40, 9));
    assert_eq!(set_max_timestamp(&mut bytes, TimestampType::LogAppendTime, 77), Ok(()));
    let view = BatchView::new(&bytes);
    assert!(view.is_ok_and(|view| view.check_crc().is_ok() && view.max_timestamp() == 77));
}

fn emptied(batch: &BatchView<'_>) {
    let empty = batch.emptied().unwrap_or_else(|e| panic!("{batch:?} cannot be emptied: {e}"));
    let empty = BatchView::new(&empty).unwrap_or_else(|e| panic!("{batch:?}, emptied: {e}"));
    assert_eq!((empty.record_count(), empty.check_crc()), (0, Ok(())));
    assert_eq!(
        (empty.base_offset(), empty.last_offset(), empty.producer_id()),
        (batch.base_offset(), batch.last_offset(), batch.producer_id())
    );
}

type Content<'a> = (i64, i64, Option<&'a [u8]>, Option<&'a [u8]>, Vec<(&'a [u8], Option<&'a [u8]>)>);

fn content<'a>(record: &Record<'a>) -> Content<'a> {
    let headers = record.headers.clone().map(|header| (header.key, header.value)).collect();
    (record.offset, record.timestamp, record.key, record.value, headers)
}

fn read_back(bytes: &[u8], expected: &[Content<'_>], how: &str) {
    let batch = BatchView::new(bytes).unwrap_or_else(|e| panic!("{how}: {e}"));
    assert_eq!(batch.check_crc(), Ok(()), "{how}");
    let records = batch.records(&DecompressLimits::default()).unwrap_or_else(|e| panic!("{how}: {e}"));
    let found: Vec<Record<'_>> = records.iter().map(|record| record.unwrap_or_else(|e| panic!("{how}: {e}"))).collect();
    assert_eq!(found.iter().map(content).collect::<Vec<_>>(), expected, "{how}");
}

fn thinned_out(records: &RecordSet<'_>, all: &[Record<'_>]) {
    let mut turn = 0;
    let retained = records.retain(|_| {
        turn += 1;
        turn % 3 != 0
    });
    let retained = retained.unwrap_or_else(|e| panic!("records that could be read cannot be chosen from: {e}"));
    let stays: Vec<Content<'_>> = all.iter().zip(1..).filter(|(_, turn)| turn % 3 != 0).map(|(record, _)| content(record)).collect();
    assert_eq!(retained.count() as usize, stays.len());
    if retained.is_empty() {
        return;
    }
    for horizon in [None, Some(1_700_000_000_000)] {
        let bytes = records.rebuild(&retained, horizon).unwrap_or_else(|e| panic!("with horizon {horizon:?}: {e}"));
        read_back(&bytes, &stays, "records that were retained");
    }
}

/// Records of a good batch can be built into another.
fn rebuilt(batch: &BatchView<'_>, all: &[Record<'_>]) {
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX).base_offset(batch.base_offset());
    for record in all {
        let headers: Vec<_> = record.headers.clone().collect();
        builder.append(record.timestamp, record.key, record.value, &headers).unwrap_or_else(|e| panic!("{record:?}: {e}"));
    }
    let bytes = builder.build().unwrap_or_else(|e| panic!("{batch:?}: {e}"));
    let expected: Vec<Content<'_>> = all.iter().map(content).collect();
    read_back(&bytes, &expected, "records that were built again");
}

/// The batches that Kafka's classes wrote: all codecs, headers, nulls, transactions, markers.
pub(super) fn golden_batches() -> Vec<Named> {
    let file = golden("batches.txt");
    let heads = file.lines().filter_map(|line| line.strip_prefix("== ")?.split_once(' '));
    heads.map(|(name, hex)| (name.to_owned(), from_hex(hex))).collect()
}

pub(super) fn seeds() -> Vec<Named> {
    let batches = golden_batches();
    let two = batches.iter().take(2).flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>();
    let several = [("several".to_owned(), two)];
    batches.into_iter().chain(several).map(|(name, bytes)| (name, [&[MEND_CRC][..], &bytes].concat())).collect()
}
