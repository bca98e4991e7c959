//! The codec by itself: primitives, limits, and what the derive makes of each attribute.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ottla_model::Uuid;

use super::*;
use crate::{FileRange, RecordFragment, Records};

const CLASSIC: Version = Version::new(0, false);
const FLEXIBLE: Version = Version::new(0, true);

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.into_parts().buf
}

fn read<'a, T: Wire<'a>>(bytes: &'a [u8], v: Version) -> Result<T, DecodeErrorKind> {
    let mut r = Reader::new(bytes);
    let value = T::read(&mut r, v).map_err(|e| e.kind)?;
    r.finish().map_err(|e| e.kind)?;
    Ok(value)
}

fn round_trip<'a, T: Wire<'a> + PartialEq + std::fmt::Debug>(value: T, v: Version, bytes: &'a [u8]) {
    assert_eq!(written(|w| value.write(w, v).unwrap()), bytes, "{value:?} is written");
    assert_eq!(read::<T>(bytes, v), Ok(value), "and read");
    assert!(T::min_len(v) <= bytes.len());
}

#[test]
fn numbers_are_big_endian() {
    round_trip(-2i8, CLASSIC, &[0xfe]);
    round_trip(-2i16, CLASSIC, &[0xff, 0xfe]);
    round_trip(0x0102_0304i32, FLEXIBLE, &[1, 2, 3, 4]);
    round_trip(i64::MIN, CLASSIC, &[0x80, 0, 0, 0, 0, 0, 0, 0]);
    round_trip(0xfffeu16, CLASSIC, &[0xff, 0xfe]);
    round_trip(-2.0f64, CLASSIC, &[0xc0, 0, 0, 0, 0, 0, 0, 0]);
    round_trip(true, CLASSIC, &[1]);
    round_trip(false, CLASSIC, &[0]);
    assert_eq!(read::<bool>(&[7], CLASSIC), Ok(true), "any byte but 0 is true");
    let uuid = *b"0123456789abcdef";
    round_trip(Uuid::from_bytes(uuid), FLEXIBLE, &uuid);
}

#[test]
fn numbers_cut_short_say_what_is_missing() {
    assert_eq!(read::<i64>(&[0; 7], CLASSIC), Err(DecodeErrorKind::UnexpectedEnd { needed: 8, remaining: 7 }));
    assert_eq!(read::<i8>(&[], CLASSIC), Err(DecodeErrorKind::UnexpectedEnd { needed: 1, remaining: 0 }));
    assert_eq!(read::<Uuid>(&[0; 15], CLASSIC), Err(DecodeErrorKind::UnexpectedEnd { needed: 16, remaining: 15 }));
}

#[test]
fn error_codes_are_found_at_every_depth_and_none_is_no_error() {
    use crate::message::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    let partition = |error_code| PartitionData { error_code, ..Default::default() };
    let topic = |codes: &[i16]| FetchableTopicResponse { partitions: codes.iter().copied().map(partition).collect(), ..Default::default() };
    let response = FetchResponse { error_code: 70, responses: vec![topic(&[0, 1]), topic(&[]), topic(&[-1, 1])], ..Default::default() };
    let mut found = vec![];
    response.error_codes(&mut |code| found.push(code));
    assert_eq!(found, [70, 1, -1, 1]);
    Some(response).error_codes(&mut |code| found.push(code));
    assert_eq!(found.len(), 8);
    FetchResponse::default().error_codes(&mut |code| panic!("{code}"));
}

#[test]
fn an_error_code_is_found_under_the_name_of_what_it_is_of() {
    use crate::message::add_partitions_to_txn::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
    };
    let partition = |partition_error_code| AddPartitionsToTxnPartitionResult { partition_error_code, ..Default::default() };
    let topic = AddPartitionsToTxnTopicResult { results_by_partition: vec![partition(3), partition(0)], ..Default::default() };
    let mut found = vec![];
    AddPartitionsToTxnResponse { results_by_topic_v3_and_below: vec![topic], ..Default::default() }
        .error_codes(&mut |code| found.push(code));
    assert_eq!(found, [3]);
}

#[test]
fn varints_hold_32_bits_and_no_more() {
    for (value, bytes) in [
        (0u32, &[0][..]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (300, &[0xac, 2]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 1]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert_eq!(written(|w| w.put_uvarint(value)), bytes);
        assert_eq!(Reader::new(bytes).get_uvarint(), Ok(value));
    }
    for too_long in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0], &[0xff; 9]] {
        assert_eq!(Reader::new(too_long).get_uvarint().unwrap_err().kind, DecodeErrorKind::VarintTooLong);
    }
    let cut = Reader::new(&[0x80]).get_uvarint().unwrap_err().kind;
    assert_eq!(cut, DecodeErrorKind::UnexpectedEnd { needed: 1, remaining: 0 });
}

#[test]
fn strings_and_bytes_have_a_classic_and_a_compact_length() {
    round_trip("ab", CLASSIC, b"\0\x02ab");
    round_trip("ab", FLEXIBLE, b"\x03ab");
    round_trip("", CLASSIC, b"\0\0");
    round_trip("", FLEXIBLE, b"\x01");
    round_trip(Cow::Borrowed("é"), FLEXIBLE, b"\x03\xc3\xa9");
    round_trip(&b"ab"[..], CLASSIC, b"\0\0\0\x02ab");
    round_trip(&b"ab"[..], FLEXIBLE, b"\x03ab");
    round_trip(None::<&str>, CLASSIC, b"\xff\xff");
    round_trip(None::<&str>, FLEXIBLE, b"\0");
    round_trip(None::<&[u8]>, CLASSIC, b"\xff\xff\xff\xff");
    round_trip(None::<&[u8]>, FLEXIBLE, b"\0");
    round_trip(Some(Cow::Borrowed("")), FLEXIBLE, b"\x01");
    round_trip::<Cow<'_, [u8]>>(Cow::Owned(b"ab".to_vec()), FLEXIBLE, b"\x03ab");
    round_trip(Some(Cow::Borrowed(&b"ab"[..])), CLASSIC, b"\0\0\0\x02ab");
    round_trip(None::<Cow<'_, [u8]>>, CLASSIC, b"\xff\xff\xff\xff");
}

#[test]
fn strings_and_bytes_are_borrowed_from_the_frame() {
    let frame = b"\x04abc".to_vec();
    let text: Cow<'_, str> = read(&frame, FLEXIBLE).unwrap();
    assert!(matches!(text, Cow::Borrowed(text) if std::ptr::eq(text.as_ptr(), &frame[1])));
    let bytes: Cow<'_, [u8]> = read(&frame, FLEXIBLE).unwrap();
    assert!(matches!(bytes, Cow::Borrowed(bytes) if std::ptr::eq(bytes.as_ptr(), &frame[1])));
}

#[test]
fn bad_strings_are_refused_by_name() {
    assert_eq!(read::<&str>(b"\xff\xff", CLASSIC), Err(DecodeErrorKind::UnexpectedNull));
    assert_eq!(read::<&str>(b"\0", FLEXIBLE), Err(DecodeErrorKind::UnexpectedNull));
    assert_eq!(read::<&str>(b"\0\x02\xff\xfe", CLASSIC), Err(DecodeErrorKind::InvalidUtf8));
    assert_eq!(read::<&str>(b"\0\x05ab", CLASSIC), Err(DecodeErrorKind::UnexpectedEnd { needed: 5, remaining: 2 }));
    // 2 GiB announced in five bytes; longer than a string can be, whatever follows.
    assert_eq!(read::<&str>(b"\x80\x80\x80\x80\x08", FLEXIBLE), Err(DecodeErrorKind::StringTooLong { length: (1 << 31) - 1 }));
    assert_eq!(
        read::<&[u8]>(b"\x7f\xff\xff\xff", CLASSIC),
        Err(DecodeErrorKind::UnexpectedEnd { needed: i32::MAX as usize, remaining: 0 })
    );
}

#[test]
fn strings_too_long_for_the_protocol_are_not_written() {
    let longest = "x".repeat(i16::MAX as usize);
    for v in [CLASSIC, FLEXIBLE] {
        assert_eq!(Writer::new().put_string(&longest, v), Ok(()));
        let error = Writer::new().put_string(&format!("{longest}x"), v).unwrap_err();
        assert_eq!(error, EncodeError::TooLong { length: 32_768, max: 32_767 });
    }
}

#[test]
fn arrays_have_a_classic_and_a_compact_count() {
    round_trip(vec![1i16, 2], CLASSIC, &[0, 0, 0, 2, 0, 1, 0, 2]);
    round_trip(vec![1i16, 2], FLEXIBLE, &[3, 0, 1, 0, 2]);
    round_trip(Vec::<i16>::new(), CLASSIC, &[0, 0, 0, 0]);
    round_trip(None::<Vec<i16>>, CLASSIC, &[0xff, 0xff, 0xff, 0xff]);
    round_trip(None::<Vec<i16>>, FLEXIBLE, &[0]);
    round_trip(Some(vec!["a"]), FLEXIBLE, &[2, 2, b'a']);
    assert_eq!(read::<Vec<i16>>(&[0], FLEXIBLE), Err(DecodeErrorKind::UnexpectedNull));
    assert_eq!(read::<Vec<i16>>(&[0xff, 0xff, 0xff, 0xfe], CLASSIC), Err(DecodeErrorKind::UnexpectedNull));
}

#[test]
fn a_count_that_cannot_be_true_is_refused_before_memory_is_taken() {
    let lie = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1];
    assert_eq!(read::<Vec<i32>>(&lie, CLASSIC), Err(DecodeErrorKind::CountExceedsBytes { count: i32::MAX as usize, remaining: 4 }));
    // Two would fit by their bytes, three do not.
    assert_eq!(read::<Vec<i16>>(&[4, 0, 1, 0, 2], FLEXIBLE), Err(DecodeErrorKind::CountExceedsBytes { count: 3, remaining: 4 }));
    assert_eq!(
        read::<Vec<&str>>(&[0xff, 0xff, 0xff, 0xff, 0x0f], FLEXIBLE),
        Err(DecodeErrorKind::CountExceedsBytes { count: u32::MAX as usize - 1, remaining: 0 })
    );
}

#[test]
fn elements_far_larger_in_memory_than_on_the_wire_are_held_to_the_frames_budget() {
    // Empty strings: one byte each in the frame, sixteen in memory.
    let count = 100_000u32;
    let frame = written(|w| {
        w.put_uvarint(count + 1);
        w.put_slice(&vec![1; count as usize]);
    });
    let budget = frame.len() * 8 + 64 * 1024;
    assert_eq!(
        read::<Vec<&str>>(&frame, FLEXIBLE),
        Err(DecodeErrorKind::MemoryExceeded { count: count as usize, needed: count as usize * 16, left: budget })
    );
    // All arrays of a frame draw on the same budget, those in tagged fields too.
    let mut r = Reader::new(&[0; 16]);
    let before = r.clone();
    let (tag, mut value) = {
        let tagged = written(|w| w.put_tagged(0, |w| w.put_array(&[1i32, 2], FLEXIBLE)).unwrap());
        let mut r = Reader::new(Box::leak(tagged.into_boxed_slice()));
        r.get_tagged().unwrap()
    };
    Vec::<i32>::read(&mut value, FLEXIBLE).unwrap();
    r.end_tagged(tag, value).unwrap();
    assert_ne!(format!("{r:?}"), format!("{before:?}"), "the tagged field's memory is counted");
}

/// A struct with one field of each kind the schemas have.
#[derive(crate::Wire, Clone, Debug, PartialEq)]
#[wire(key = 3, versions = 0..=5, flexible = 3.., response = Plain)]
struct Sample<'a> {
    #[wire(nullable = 1..)]
    name: Option<&'a str>,
    #[wire(since = 1, default = -1)]
    strict: i32,
    #[wire(since = 1, until = 2, default = 7, ignorable)]
    lenient: i16,
    #[wire(default = null)]
    inner: Option<Plain>,
    #[wire(tag = 9, tagged = 4..)]
    late: Vec<i32>,
    #[wire(tag = 2, tagged = 3.., default = "none", ignorable)]
    early: &'a str,
    #[wire(tag = 3, tagged = 3..)]
    nested: Plain,
}

#[derive(crate::Wire, Clone, Debug, PartialEq)]
#[wire(key = 3, versions = 0..=5, flexible = 3..)]
struct Plain {
    #[wire(default = -1)]
    id: i32,
}

fn encoded<'a>(message: &impl Message<'a>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    message.encode(&mut w, version).map(|()| w.into_parts().buf)
}

fn decoded<'a, M: Message<'a>>(bytes: &'a [u8], version: i16) -> Result<M, DecodeError> {
    let mut r = Reader::new(bytes);
    let message = M::decode(&mut r, version)?;
    r.finish().map(|()| message)
}

#[test]
fn defaults_are_those_of_the_schema() {
    let sample = Sample::default();
    assert_eq!(sample.name, Some(""), "an option without `default = null` starts with something empty");
    assert_eq!((sample.strict, sample.lenient, sample.inner, sample.early), (-1, 7, None, "none"));
    assert_eq!(sample.nested, Plain { id: -1 });
}

#[test]
fn a_field_stands_in_its_versions_only() {
    let sample = Sample { name: Some("a"), strict: 5, lenient: 6, ..Default::default() };
    let v1 = encoded(&sample, 1).unwrap();
    assert_eq!(v1, [0, 1, b'a', 0, 0, 0, 5, 0, 6, 0xff]);
    assert_eq!(decoded::<Sample>(&v1, 1), Ok(sample.clone()));
    let v3 = encoded(&sample, 3).unwrap();
    assert_eq!(v3, [2, b'a', 0, 0, 0, 5, 0xff, 0], "ignorable fields are left out silently; tagged fields: none");
    assert_eq!(decoded::<Sample>(&v3, 3), Ok(Sample { lenient: 7, ..sample }));
}

#[test]
fn what_a_version_cannot_say_is_refused() {
    let strict = Sample { strict: 5, ..Default::default() };
    assert_eq!(encoded(&strict, 0), Err(EncodeError::Unrepresentable { field: "Sample.strict", version: 0 }));
    assert_eq!(encoded(&Sample { strict: -1, ..strict.clone() }, 0), Ok(vec![0, 0, 0xff]));
    let late = Sample { late: vec![1], ..Default::default() };
    for version in 0..4 {
        assert_eq!(encoded(&late, version), Err(EncodeError::Unrepresentable { field: "Sample.late", version }));
    }
    let early = Sample { early: "x", ..Default::default() };
    assert_eq!(encoded(&early, 0), Ok(vec![0, 0, 0xff]), "ignorable, so left out");
    for version in [-1, 6] {
        assert_eq!(encoded(&strict, version), Err(EncodeError::UnsupportedVersion { api: ApiKey::Metadata, version }));
        let error = decoded::<Sample>(&[], version).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::UnsupportedVersion { api: ApiKey::Metadata, version });
    }
}

#[test]
fn null_is_held_to_the_versions_that_have_it() {
    let sample = Sample { name: None, ..Default::default() };
    assert_eq!(encoded(&sample, 0), Err(EncodeError::NullNotAllowed { field: "Sample.name", version: 0 }));
    assert_eq!(decoded::<Sample>(&[0xff, 0xff, 0xff], 0), Err(DecodeErrorKind::UnexpectedNull.into()).map_err(named("Sample.name")));
    let v1 = encoded(&sample, 1).unwrap();
    assert_eq!(decoded::<Sample>(&v1, 1), Ok(sample));
}

fn named(field: &'static str) -> impl Fn(DecodeError) -> DecodeError {
    move |error| error.in_field(field)
}

#[test]
fn a_nullable_struct_is_preceded_by_a_byte() {
    let sample = Sample { inner: Some(Plain { id: 3 }), ..Default::default() };
    let v3 = encoded(&sample, 3).unwrap();
    assert_eq!(v3, [1, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 3, 0, 0], "the struct ends in tagged fields of its own");
    assert_eq!(decoded::<Sample>(&v3, 3), Ok(sample));
}

#[test]
fn tagged_fields_follow_in_order_and_only_where_they_differ() {
    let sample = Sample { late: vec![8], early: "e", nested: Plain { id: 1 }, ..Default::default() };
    let v4 = encoded(&sample, 4).unwrap();
    let body = [1, 0xff, 0xff, 0xff, 0xff, 0xff];
    let tags = [3, 2, 2, 2, b'e', 3, 5, 0, 0, 0, 1, 0, 9, 5, 2, 0, 0, 0, 8];
    assert_eq!(v4, [&body[..], &tags].concat());
    assert_eq!(decoded::<Sample>(&v4, 4), Ok(sample));
}

#[test]
fn long_tagged_fields_get_a_long_size() {
    let sample = Sample { late: (0..100).collect(), ..Default::default() };
    let v4 = encoded(&sample, 4).unwrap();
    assert_eq!(v4[6..10], [1, 9, 0x91, 3], "one tag, number 9, 401 bytes");
    assert_eq!(decoded::<Sample>(&v4, 4), Ok(sample));
}

#[test]
fn unknown_tags_are_passed_over() {
    let body = [1, 0xff, 0xff, 0xff, 0xff, 0xff];
    // Tag 1 is nobody's, tag 9 not yet of version 3; tag 2 stands behind them.
    let tags = [3, 1, 2, 0xde, 0xad, 9, 1, 0xbe, 2, 2, 2, b'e'];
    let frame = [&body[..], &tags].concat();
    let sample: Sample = decoded(&frame, 3).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(sample.early, "e");
    assert!(sample.late.is_empty());
}

#[test]
fn hostile_tagged_fields_are_refused() {
    let body = [1, 0xff, 0xff, 0xff, 0xff, 0xff];
    let error = |tags: &[u8]| {
        let frame = [&body[..], tags].concat();
        decoded::<Sample>(&frame, 4).unwrap_err().to_string()
    };
    assert_eq!(
        error(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
        "Sample.tagged_fields: an array of 4294967295 elements cannot fit in the 0 bytes that remain"
    );
    assert_eq!(error(&[1, 2, 0x7f, 1]), "Sample.tagged_fields: 127 bytes needed, 1 remain");
    assert_eq!(error(&[1, 2, 3, 2, b'e', 0]), "Sample.early: tag 2 announced more bytes than its value has: 1 remain");
    assert_eq!(error(&[1, 2, 1, 2, 0]), "Sample.early: 1 bytes needed, 0 remain", "a value does not read past its size");
    assert_eq!(error(&[1, 3, 2, 0, 0]), "Plain.id: 4 bytes needed, 2 remain", "the innermost field is named");
}

#[test]
fn a_request_knows_its_api() {
    assert_eq!(<Sample<'_> as Request<'_>>::NAME, "Metadata");
    assert_eq!(<Sample<'_> as Message<'_>>::VERSIONS, 0..=5);
    assert_eq!(<<Sample<'_> as Request<'_>>::Response<'static> as Message<'_>>::FLEXIBLE_SINCE, 3);
}

fn file_range(len: u32) -> FileRange {
    FileRange { file: Arc::new(tempfile::tempfile().unwrap()), position: 4096, len }
}

#[test]
fn file_ranges_are_counted_but_not_read() {
    let range = file_range(1000);
    let mut w = Writer::new();
    let mark = w.begin_frame();
    w.put_i32(7);
    let fragments = vec![RecordFragment::Bytes(Bytes::from_static(b"head")), RecordFragment::File(range.clone())];
    let records = Records::Fragments(fragments);
    assert_eq!(records.len(), 1004);
    records.write(&mut w, CLASSIC).unwrap();
    w.put_i8(9);
    w.end_frame(mark).unwrap();
    assert_eq!(w.len(), 4 + 4 + 4 + 1004 + 1);
    let encoded = w.into_parts();
    assert_eq!(encoded.len(), 1017);
    assert_eq!(encoded.buf, [&1013i32.to_be_bytes()[..], &[0, 0, 0, 7], &1004i32.to_be_bytes(), b"head", &[9]].concat());
    assert_eq!(encoded.files, [(16, range)]);
}

#[test]
fn frames_follow_each_other_in_one_writer() {
    let mut w = Writer::with_buffer(b"before".to_vec());
    let first = w.begin_frame();
    w.put_file(file_range(5));
    w.put_i8(1);
    w.end_frame(first).unwrap();
    let second = w.begin_frame();
    w.put_i16(2);
    w.put_file(file_range(6));
    w.end_frame(second).unwrap();
    let given_up = w.begin_frame();
    w.put_file(file_range(7));
    w.put_i64(3);
    w.discard_frame(given_up);
    assert_eq!(w.len(), 6 + 4 + 6 + 4 + 8);
    let Encoded { buf, files } = w.into_parts();
    assert_eq!(buf, b"before\0\0\0\x06\x01\0\0\0\x08\0\x02");
    assert_eq!(files.iter().map(|(at, range)| (*at, range.len)).collect::<Vec<_>>(), [(10, 5), (17, 6)]);
}

#[test]
fn a_frame_longer_than_its_length_field_is_taken_back() {
    let mut w = Writer::new();
    let mark = w.begin_frame();
    w.put_file(file_range(u32::MAX));
    let error = w.end_frame(mark).unwrap_err();
    assert_eq!(error, EncodeError::TooLong { length: u32::MAX as usize, max: i32::MAX as usize });
    assert!(w.is_empty());
    let huge = Records::Fragments(vec![RecordFragment::File(file_range(u32::MAX))]);
    assert_eq!(huge.write(&mut w, CLASSIC), Err(error));
}

#[test]
fn file_ranges_in_tagged_fields_move_with_them() {
    let mut w = Writer::new();
    w.put_tagged(1, |w| {
        w.put_fragments(&[RecordFragment::File(file_range(300)), RecordFragment::Bytes(Bytes::from_static(b"!"))], FLEXIBLE)
    })
    .unwrap();
    let Encoded { buf, files } = w.into_parts();
    assert_eq!(buf, [1, 0xaf, 2, 0xae, 2, b'!'], "size 303, length 301 + 1");
    assert_eq!(files[0].0, 5);
}

#[test]
fn records_are_null_empty_or_borrowed() {
    round_trip(Records::None, CLASSIC, &[0xff, 0xff, 0xff, 0xff]);
    round_trip(Records::None, FLEXIBLE, &[0]);
    round_trip(Records::EMPTY, CLASSIC, &[0, 0, 0, 0]);
    round_trip(Records::EMPTY, FLEXIBLE, &[1]);
    round_trip(Records::Borrowed(b"batch"), FLEXIBLE, b"\x06batch");
    assert_eq!(Records::default(), Records::None);
}

#[test]
fn json_has_the_fields_of_its_version() {
    let sample = Sample { name: None, inner: Some(Plain { id: 3 }), late: vec![1], ..Default::default() };
    assert_eq!(
        sample.to_json(4),
        serde_json::json!({ "name": null, "strict": -1, "inner": { "id": 3 }, "late": [1] }),
        "tagged fields are left out at their default"
    );
    assert_eq!(sample.to_json(1), serde_json::json!({ "name": null, "strict": -1, "lenient": 7, "inner": { "id": 3 } }));
}
