//! All messages at once: their versions agree with the list of APIs, and no bytes make any of them panic.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fetch::{FetchResponse, PartitionData};
use super::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsResponse};
use super::metadata::{MetadataRequest, MetadataRequestTopic};
use super::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use super::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData};
use crate::{EncodeError, Message, Reader, Records, Request, Writer};

#[test]
fn request_and_response_agree_with_each_other_and_with_the_list_of_apis() {
    fn check<'a, Q: Request<'a>>() {
        assert_eq!(Q::KEY, <Q::Response<'a> as Message<'a>>::KEY);
        assert_eq!(Q::VERSIONS, <Q::Response<'a> as Message<'a>>::VERSIONS, "{}", Q::NAME);
        assert_eq!(Q::FLEXIBLE_SINCE, <Q::Response<'a> as Message<'a>>::FLEXIBLE_SINCE, "{}", Q::NAME);
        assert_eq!(Q::FLEXIBLE_SINCE, Q::KEY.flexible_since(), "{}", Q::NAME);
        assert_eq!(Q::NAME, Q::KEY.name());
    }
    macro_rules! check {
        ($($module:ident::$request:ident;)*) => { $(check::<super::$module::$request>();)* };
    }
    for_each_api!(check);
}

/// What can be decoded must survive encoding and decoding.
macro_rules! survive {
    ($bytes:expr, $message:ty, $name:expr, $decoded:expr) => {{
        let versions = <$message as Message<'_>>::VERSIONS;
        for version in *versions.start() - 1..=*versions.end() + 1 {
            let Ok(message) = <$message>::decode(&mut Reader::new($bytes), version) else { continue };
            $decoded.insert(($name, version));
            let mut w = Writer::new();
            message.encode(&mut w, version).unwrap_or_else(|e| panic!("{version} of {message:?}: {e}"));
            let encoded = w.into_parts().buf;
            let mut r = Reader::new(&encoded);
            assert_eq!(<$message>::decode(&mut r, version).as_ref(), Ok(&message));
            r.finish().unwrap();
            message.to_json(version);
        }
    }};
}

/// The name of an API, `request` or `response`, and a version of it.
type Decoded = BTreeSet<((&'static str, &'static str), i16)>;

fn survive_all(bytes: &[u8], decoded: &mut Decoded) {
    macro_rules! check {
        ($($module:ident::$request:ident;)*) => {$(
            let name = <super::$module::$request as Request>::NAME;
            survive!(bytes, super::$module::$request, (name, "request"), decoded);
            survive!(bytes, <super::$module::$request as Request>::Response<'_>, (name, "response"), decoded);
        )*};
    }
    for_each_api!(check);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survive_all(&bytes, &mut BTreeSet::new());
    }

    /// Bytes that are mostly small numbers make plausible counts and lengths, and get far into a message.
    #[test]
    fn plausible_bytes_are_decoded_the_same_after_encoding(
        bytes in prop::collection::vec(prop_oneof![6 => Just(0u8), 4 => Just(1u8), 2 => Just(2u8), 1 => 3..8u8, 1 => Just(255u8)], 0..400),
    ) {
        survive_all(&bytes, &mut BTreeSet::new());
    }
}

#[test]
fn every_version_of_every_message_can_be_decoded_and_encoded_again() {
    let mut decoded = BTreeSet::new();
    // A xorshift generator: the same bytes on every run.
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..3000 {
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                match state % 16 {
                    0..8 => 0,
                    8..13 => 1,
                    13..15 => 2,
                    _ => 3,
                }
            })
            .collect();
        survive_all(&bytes, &mut decoded);
    }
    macro_rules! check {
        ($($module:ident::$request:ident;)*) => {$(
            let name = <super::$module::$request as Request>::NAME;
            for version in <super::$module::$request as Message<'_>>::VERSIONS {
                assert!(decoded.contains(&((name, "request"), version)), "request {name} {version}");
                assert!(decoded.contains(&((name, "response"), version)), "response {name} {version}");
            }
        )*};
    }
    for_each_api!(check);
}

fn encoded<'a>(message: &impl Message<'a>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    message.encode(&mut w, version).map(|()| w.into_parts().buf)
}

#[test]
fn metadata_asks_for_all_topics_as_its_version_can() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(encoded(&all, 1), Ok(vec![255, 255, 255, 255]));
    assert_eq!(encoded(&all, 0), Err(EncodeError::NullNotAllowed { field: "MetadataRequest.topics", version: 0 }));
    assert_eq!(encoded(&all, 12), Ok(vec![0, 1, 0, 0]));
    let by_id = MetadataRequest { topics: Some(vec![MetadataRequestTopic { name: None, ..Default::default() }]), ..Default::default() };
    let error = EncodeError::NullNotAllowed { field: "MetadataRequestTopic.name", version: 9 };
    assert_eq!(encoded(&by_id, 9), Err(error));
    assert!(encoded(&by_id, 12).is_ok());
}

#[test]
fn offset_fetch_asks_for_all_partitions_as_its_version_can() {
    let all = OffsetFetchRequest { group_id: "g", topics: None, ..Default::default() };
    let error = EncodeError::NullNotAllowed { field: "OffsetFetchRequest.topics", version: 1 };
    assert_eq!(encoded(&all, 1), Err(error));
    assert_eq!(encoded(&all, 2), Ok(vec![0, 1, b'g', 255, 255, 255, 255]));
    assert_eq!(encoded(&all, 7), Ok(vec![2, b'g', 0, 0, 0]));
    let error = EncodeError::Unrepresentable { field: "OffsetFetchRequest.group_id", version: 8 };
    assert_eq!(encoded(&all, 8), Err(error), "the groups have a field of their own from there on");
    let group = OffsetFetchRequestGroup { group_id: "g", topics: None, ..Default::default() };
    let groups = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    assert_eq!(encoded(&groups, 8), Ok(vec![2, 2, b'g', 0, 0, 0, 0]));
}

#[test]
fn a_produce_request_borrows_its_batches_from_the_frame() {
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1500,
        topic_data: vec![TopicProduceData {
            name: "t",
            partition_data: vec![PartitionProduceData { index: 2, records: Some(b"batch") }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let v3 = encoded(&request, 3).unwrap();
    assert_eq!(
        v3,
        [
            &[255, 255, 255, 255, 0, 0, 5, 220][..],
            &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1],
            &[0, 0, 0, 2, 0, 0, 0, 5, b'b', b'a', b't', b'c', b'h']
        ]
        .concat()
    );
    let v9 = encoded(&request, 9).unwrap();
    assert_eq!(v9, [&[0, 255, 255, 0, 0, 5, 220, 2, 2, b't', 2, 0, 0, 0, 2, 6][..], b"batch", &[0, 0, 0]].concat());
    let decoded = ProduceRequest::decode(&mut Reader::new(&v9), 9).unwrap();
    let records = decoded.topic_data[0].partition_data[0].records.unwrap();
    assert!(std::ptr::eq(records.as_ptr(), &v9[16]));
}

#[test]
fn old_versions_say_what_they_can_and_refuse_the_rest() {
    let result = PartitionProduceResponse { log_start_offset: 5, error_message: Some("why".into()), ..Default::default() };
    assert!(encoded_partition(result.clone(), 3).is_ok(), "ignorable fields are left out");
    let mut redirected = result;
    redirected.current_leader.leader_id = 1;
    let error = EncodeError::Unrepresentable { field: "PartitionProduceResponse.current_leader", version: 9 };
    assert_eq!(encoded_partition(redirected.clone(), 9), Err(error));
    assert!(encoded_partition(redirected, 10).is_ok());

    let offset = ListOffsetsPartitionResponse { old_style_offsets: vec![7], ..Default::default() };
    let response = |partition| ListOffsetsResponse {
        topics: vec![super::list_offsets::ListOffsetsTopicResponse { name: "t".into(), partitions: vec![partition] }],
        ..Default::default()
    };
    assert_eq!(
        encoded(&response(offset.clone()), 0),
        Ok(vec![0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7])
    );
    let error = EncodeError::Unrepresentable { field: "ListOffsetsPartitionResponse.old_style_offsets", version: 1 };
    assert_eq!(encoded(&response(offset), 1), Err(error));
}

fn encoded_partition(partition: PartitionProduceResponse<'_>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let topic = super::produce::TopicProduceResponse { partition_responses: vec![partition], ..Default::default() };
    encoded(&ProduceResponse { responses: vec![topic], ..Default::default() }, version)
}

#[test]
fn a_fetch_response_without_records_is_null_or_empty_as_said() {
    let partition = |records| PartitionData { aborted_transactions: None, records, ..Default::default() };
    let response = |records| FetchResponse {
        responses: vec![super::fetch::FetchableTopicResponse { partitions: vec![partition(records)], ..Default::default() }],
        ..Default::default()
    };
    assert!(encoded(&response(Records::None), 4).unwrap().ends_with(&[255; 4]));
    assert!(encoded(&response(Records::EMPTY), 4).unwrap().ends_with(&[0; 4]));
}
