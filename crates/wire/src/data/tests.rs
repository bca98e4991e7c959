//! All of it at once: what was written is read again, and no bytes make any of it panic. Then what the numbers in front
//! mean.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::consumer_group::{ClassicMemberMetadata, ConsumerGroupMemberMetadataValue};
use super::consumer_protocol::{ConsumerProtocolSubscription, TopicPartition};
use super::group_metadata::GroupMetadataKey;
use super::offset_commit::{OffsetCommitKey, OffsetCommitValue};
use crate::{Data, DecodeErrorKind, EncodeError, Reader, Writer};

/// Name and version.
type Decoded = BTreeSet<(&'static str, i16)>;

/// What can be decoded must survive encoding and decoding.
fn survive_all(bytes: &[u8], decoded: &mut Decoded) {
    fn survive<'a, D: Data<'a>>(bytes: &'a [u8]) -> Option<((&'static str, i16), Vec<u8>)> {
        let (version, data) = D::decode(&mut Reader::new(bytes)).ok()?;
        data.to_json(version);
        Some(((D::NAME, version), encoded(&data, version).unwrap_or_else(|e| panic!("{version} of {}: {e}", D::NAME))))
    }
    macro_rules! check {
        ($($module:ident::$data:ident;)*) => {$(
            // Each version in front of the same bytes.
            for version in *super::$module::$data::VERSIONS.start() - 1..=*super::$module::$data::VERSIONS.end() + 1 {
                let bytes = [&version.to_be_bytes(), bytes].concat();
                let Some((name, again)) = survive::<super::$module::$data>(&bytes) else { continue };
                decoded.insert(name);
                let before = super::$module::$data::decode(&mut Reader::new(&bytes));
                let mut r = Reader::new(&again);
                assert_eq!(super::$module::$data::decode(&mut r), before);
                r.finish().unwrap();
            }
        )*};
    }
    for_each_data!(check);
}

fn encoded<'a>(data: &impl Data<'a>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    data.encode(&mut w, version).map(|()| w.into_parts().buf)
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
fn every_version_can_be_decoded_and_no_other() {
    let mut decoded = BTreeSet::new();
    // Lengths of nothing: 0, and 1 in the flexible versions.
    survive_all(&[0; 200], &mut decoded);
    survive_all(&[1; 200], &mut decoded);
    let mut known = BTreeSet::new();
    macro_rules! add {
        ($($module:ident::$data:ident;)*) => {
            $(known.extend(super::$module::$data::VERSIONS.map(|version| (super::$module::$data::NAME, version)));)*
        };
    }
    for_each_data!(add);
    assert_eq!(decoded, known);
}

#[test]
fn no_two_kinds_of_record_in_a_topic_have_keys_of_one_number() {
    let mut offsets = BTreeSet::new();
    macro_rules! add {
        ($($module:ident::$data:ident;)*) => {$(
            let name = super::$module::$data::NAME;
            if name.ends_with("Key") && name != "TransactionLogKey" {
                for kind in super::$module::$data::VERSIONS {
                    assert!(offsets.insert(kind), "{name} has the number {kind} of another");
                }
            }
        )*};
    }
    for_each_data!(add);
    // 9 and 18 were of kinds that no release of Kafka had.
    assert_eq!(offsets, (0..=23).filter(|kind| ![9, 18].contains(kind)).collect());
}

#[test]
fn the_number_in_front_of_a_key_says_which_struct_reads_it() {
    let group = [0, 2, 0, 1, b'g'];
    assert_eq!(GroupMetadataKey::decode(&mut Reader::new(&group)), Ok((2, GroupMetadataKey { group: "g".into() })));
    let error = OffsetCommitKey::decode(&mut Reader::new(&group)).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::UnsupportedDataVersion { name: "OffsetCommitKey", version: 2 });
    assert_eq!(error.to_string(), "version 2 of OffsetCommitKey is not supported");
    let error = EncodeError::UnsupportedDataVersion { name: "GroupMetadataKey", version: 1 };
    assert_eq!(encoded(&GroupMetadataKey { group: "g".into() }, 1), Err(error));
}

#[test]
fn the_expiry_of_an_offset_is_in_one_version_only_and_left_out_of_the_others() {
    let value = OffsetCommitValue { offset: 5, commit_timestamp: 6, expire_timestamp: 7, ..Default::default() };
    let v1 = encoded(&value, 1).unwrap();
    assert_eq!(OffsetCommitValue::decode(&mut Reader::new(&v1)), Ok((1, value.clone())));
    let v3 = encoded(&value, 3).unwrap();
    let (version, read) = OffsetCommitValue::decode(&mut Reader::new(&v3)).unwrap();
    assert_eq!((version, read), (3, OffsetCommitValue { expire_timestamp: -1, ..value }));
}

#[test]
fn a_newer_subscription_is_read_as_the_newest_known() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        owned_partitions: vec![TopicPartition { topic: "t".into(), partitions: vec![3] }],
        generation_id: 4,
        rack_id: Some("r".into()),
        ..Default::default()
    };
    let mut bytes = encoded(&subscription, 3).unwrap();
    bytes[1] = 9;
    bytes.extend([1, 2, 3]);
    let mut r = Reader::new(&bytes);
    assert_eq!(ConsumerProtocolSubscription::decode_any(&mut r), Ok((3, subscription)));
    assert_eq!(r.rest(), [1, 2, 3], "what is new follows");
    assert!(ConsumerProtocolSubscription::decode(&mut Reader::new(&bytes)).is_err());
    assert!(ConsumerProtocolSubscription::decode_any(&mut Reader::new(&[255, 255, 0, 0, 0, 0])).is_err(), "version -1");
}

/// The one struct of Kafka that can be null in a tagged field has a null of its own there, and one that is empty is
/// what is left out.
#[test]
fn a_tagged_struct_is_null_in_its_own_way() {
    let with = |classic_member_metadata| {
        let member = ConsumerGroupMemberMetadataValue { classic_member_metadata, ..Default::default() };
        let bytes = encoded(&member, 0).unwrap();
        assert_eq!(ConsumerGroupMemberMetadataValue::decode(&mut Reader::new(&bytes)), Ok((0, member)));
        bytes
    };
    let empty = with(Some(ClassicMemberMetadata::default()));
    assert_eq!(empty.last(), Some(&0), "no tagged field");
    assert!(with(None).ends_with(&[1, 0, 1, 0]), "one, the first, of a byte, that is 0");
    let metadata = ClassicMemberMetadata { session_timeout_ms: 258, ..Default::default() };
    assert!(with(Some(metadata)).ends_with(&[1, 0, 7, 1, 0, 0, 1, 2, 1, 0]));
}
