//! Records of the metadata log as they lie on disk, applied to an image.

use std::collections::BTreeMap;

use ottla_cluster::metadata::{
    BrokerEndpoint, ConfigResource, MetadataImage, MetadataRecord, PartitionChange, PartitionRecord, RegisterBrokerRecord, SupportedLevels,
};
use ottla_model::{BrokerEpoch, ClusterId, DirectoryId, NodeId, PartitionId, ProducerId, TopicId, TopicName, Uuid};

use crate::corpus::Named;
use crate::memory::bounded;

const MEMORY_FACTOR: usize = 256;
/// A count that lies is believed up to 1 MiB by serde.
const MEMORY_SLACK_BYTES: usize = 4 << 20;

/// An entry of the metadata log: records in MessagePack, fields by name.
pub(super) fn metadata_records(input: &[u8]) {
    let bytes_max = input.len() * MEMORY_FACTOR + MEMORY_SLACK_BYTES;
    let decoded = bounded(bytes_max, "metadata records", || rmp_serde::from_slice::<Vec<MetadataRecord>>(input));
    let Ok(records) = decoded else { return };
    let encoded = rmp_serde::to_vec_named(&records).unwrap_or_else(|e| panic!("{records:?} cannot be encoded: {e}"));
    let again = rmp_serde::from_slice::<Vec<MetadataRecord>>(&encoded).unwrap_or_else(|e| panic!("{records:?} cannot be read again: {e}"));
    assert_eq!(again, records);

    let mut image = MetadataImage::default();
    for record in &records {
        // A record that does not apply is refused, and the image is as it was.
        let before = image.clone();
        if image.apply(record).is_err() {
            assert_eq!(image.to_records(), before.to_records(), "{record:?} was refused in part");
        }
    }
    let snapshot = image.to_records();
    let restored = MetadataImage::from_records(None, &snapshot).unwrap_or_else(|e| panic!("{snapshot:?} cannot be restored: {e}"));
    assert_eq!(restored.to_records(), snapshot);
}

fn records() -> Vec<MetadataRecord> {
    let id = |number| Uuid::from_random_bytes([number; 16]);
    let name = |text| TopicName::new(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    vec![
        MetadataRecord::Cluster { id: ClusterId("5L6g3nShT-eMCtK--X86sw".to_owned()) },
        MetadataRecord::FeatureLevel { name: "metadata.version".to_owned(), level: 29 },
        MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: NodeId(1),
            incarnation_id: id(1),
            broker_epoch: BrokerEpoch(5),
            end_points: vec![BrokerEndpoint {
                name: "PLAINTEXT".to_owned(),
                host: "localhost".to_owned(),
                port: 9092,
                security_protocol: 0,
            }],
            features: BTreeMap::from([("metadata.version".to_owned(), SupportedLevels { min: 7, max: 29 })]),
            rack: Some("a".to_owned()),
            fenced: true,
            in_controlled_shutdown: false,
            log_dirs: vec![DirectoryId(id(2))],
        }),
        MetadataRecord::BrokerRegistrationChange {
            broker_id: NodeId(1),
            broker_epoch: BrokerEpoch(5),
            fenced: Some(false),
            in_controlled_shutdown: None,
            log_dirs: None,
        },
        MetadataRecord::Topic { name: name("t"), topic_id: TopicId(id(3)) },
        MetadataRecord::Partition(PartitionRecord {
            directories: vec![DirectoryId(id(2))],
            ..PartitionRecord::new(TopicId(id(3)), PartitionId(0), vec![NodeId(1)])
        }),
        MetadataRecord::PartitionChange(PartitionChange {
            leader: Some(NodeId::NONE),
            ..PartitionChange::of(TopicId(id(3)), PartitionId(0))
        }),
        MetadataRecord::Config { resource: ConfigResource::Topic(name("t")), name: "retention.ms".to_owned(), value: Some("1".to_owned()) },
        MetadataRecord::ProducerIds { broker_id: NodeId(1), broker_epoch: BrokerEpoch(5), next_producer_id: ProducerId(1000) },
        MetadataRecord::RemoveTopic { topic_id: TopicId(id(3)) },
        MetadataRecord::UnregisterBroker { broker_id: NodeId(1), broker_epoch: BrokerEpoch(5) },
    ]
}

pub(super) fn metadata_records_seeds() -> Vec<Named> {
    let encoded = |records: &[MetadataRecord]| rmp_serde::to_vec_named(records).unwrap_or_else(|e| panic!("{records:?}: {e}"));
    let all = records();
    let mut seeds: Vec<Named> = (1..=all.len()).map(|count| (format!("first-{count}"), encoded(&all[..count]))).collect();
    // Arrays and maps of 4 GiB.
    seeds.push(("array-of-4-gib".to_owned(), vec![0xdd, 0xff, 0xff, 0xff, 0xff]));
    seeds.push(("map-of-4-gib".to_owned(), vec![0x91, 0x81, 0xa5, b'T', b'o', b'p', b'i', b'c', 0xdf, 0xff, 0xff, 0xff, 0xff]));
    seeds
}

pub(super) const METADATA_WORDS: &[&[u8]] = &[
    b"\xa5Topic",
    b"\xa9Partition",
    b"\xafPartitionChange",
    b"\xabRemoveTopic",
    b"\xa6Config",
    b"\xaeRegisterBroker",
    b"\xc0",
    b"\xc3",
    b"\x90",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\x7f\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
];
