//! Frames that are almost right: real requests of every API, damaged in the ways that decoders fall for.
//!
//! Everything follows from a seed, so that a failure can be had again.

mod coordinators;

use ottla_wire::message::api_versions::ApiVersionsRequest;
use ottla_wire::message::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_wire::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::message::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use ottla_wire::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::message::describe_cluster::DescribeClusterRequest;
use ottla_wire::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::message::describe_topic_partitions::{DescribeTopicPartitionsRequest, TopicRequest};
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest};
use ottla_wire::message::init_producer_id::InitProducerIdRequest;
use ottla_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::message::list_partition_reassignments::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics};
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::message::offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic};
use ottla_wire::{ApiKey, Message, Request, RequestHeader, Writer};

use crate::calls::{batch, produce_request};

/// Bytes of a request header before the client id, which are the same in all versions.
const FIXED_HEADER_LEN: usize = 8;
const CLIENT_ID: &str = "hostile";
/// How many unknown tagged fields a flood has.
const TAGS: u32 = 20_000;
/// How many elements an array has that fills a frame.
const ELEMENTS: i32 = 50_000;

/// Random numbers that are the same for the same seed (xorshift64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end as u64) as usize
    }
}

/// A request that the node should understand, as the body of a frame.
///
/// `None`: this API is not known here; see [`plausible`].
pub fn valid(key: i16, version: i16) -> Option<Vec<u8>> {
    let records = batch(&[b"one", b"two"]);
    let topics = ["events", "absent"];
    let key = ApiKey::from_i16(key)?;
    Some(match key {
        ApiKey::Produce => {
            let mut request = produce_request("events", 0, &records, -1);
            request.timeout_ms = 100;
            encoded(version, &[request])
        }
        ApiKey::Fetch => {
            let partitions = vec![FetchPartition { partition: 0, partition_max_bytes: 1 << 20, ..Default::default() }; 3];
            let topics = topics.map(|topic| FetchTopic { topic, partitions: partitions.clone(), ..Default::default() }).to_vec();
            encoded(version, &[FetchRequest { max_wait_ms: 10, min_bytes: 1, topics, ..Default::default() }])
        }
        ApiKey::ListOffsets => {
            let partitions = vec![ListOffsetsPartition { timestamp: 1, ..Default::default() }; 3];
            let topics = topics.map(|name| ListOffsetsTopic { name, partitions: partitions.clone() }).to_vec();
            encoded(version, &[ListOffsetsRequest { topics, ..Default::default() }])
        }
        ApiKey::Metadata => {
            let topic = |name| MetadataRequestTopic { name: Some(name), ..Default::default() };
            let some = MetadataRequest { topics: Some(topics.map(topic).to_vec()), ..Default::default() };
            encoded(version, &[MetadataRequest { allow_auto_topic_creation: false, ..some.clone() }, some])
        }
        ApiKey::ApiVersions => {
            let request = ApiVersionsRequest { client_software_name: CLIENT_ID, client_software_version: "1" };
            encoded(version, &[request, ApiVersionsRequest::default()])
        }
        ApiKey::CreateTopics => {
            let configs = vec![CreatableTopicConfig { name: "retention.ms", value: Some("60000") }];
            // Any single bit of these counts gives a number that is refused, so that no damage asks for thousands of files.
            let topic = CreatableTopic { name: "made", num_partitions: -1, replication_factor: -1, configs, ..Default::default() };
            let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 100, ..Default::default() };
            encoded(version, &[CreateTopicsRequest { validate_only: true, ..request.clone() }, request])
        }
        ApiKey::DeleteTopics => {
            let named = DeleteTopicsRequest { topic_names: vec!["gone", "absent"], timeout_ms: 100, ..Default::default() };
            let state = DeleteTopicState { name: Some("gone"), ..Default::default() };
            encoded(version, &[named, DeleteTopicsRequest { topics: vec![state], timeout_ms: 100, ..Default::default() }])
        }
        ApiKey::CreatePartitions => {
            let topic = CreatePartitionsTopic { name: "events", count: -1, assignments: None };
            encoded(version, &[CreatePartitionsRequest { topics: vec![topic], timeout_ms: 100, validate_only: true }])
        }
        ApiKey::InitProducerId => encoded(version, &[InitProducerIdRequest { transaction_timeout_ms: 1000, ..Default::default() }]),
        ApiKey::OffsetForLeaderEpoch => {
            let partitions = vec![OffsetForLeaderPartition::default(); 3];
            let topics = topics.map(|topic| OffsetForLeaderTopic { topic, partitions: partitions.clone() }).to_vec();
            encoded(version, &[OffsetForLeaderEpochRequest { topics, ..Default::default() }])
        }
        ApiKey::DescribeConfigs => {
            let resource = |resource_type, resource_name| DescribeConfigsResource { resource_type, resource_name, ..Default::default() };
            let resources = vec![resource(2, "events"), resource(4, "1"), resource(2, "absent")];
            let bare = DescribeConfigsRequest { resources, ..Default::default() };
            let full = DescribeConfigsRequest { include_synonyms: true, include_documentation: true, ..bare.clone() };
            encoded(version, &[full, bare])
        }
        ApiKey::IncrementalAlterConfigs => {
            let config = AlterableConfig { name: "retention.ms", value: Some("70000"), ..Default::default() };
            let resource = AlterConfigsResource { resource_type: 2, resource_name: "events", configs: vec![config] };
            encoded(version, &[IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: true }])
        }
        ApiKey::ListPartitionReassignments => {
            let topic = ListPartitionReassignmentsTopics { name: "events", partition_indexes: vec![0, 1, 2] };
            encoded(version, &[ListPartitionReassignmentsRequest { topics: Some(vec![topic]), ..Default::default() }])
        }
        ApiKey::DescribeCluster => encoded(version, &[DescribeClusterRequest::default()]),
        ApiKey::DescribeTopicPartitions => {
            let topics = topics.map(|name| TopicRequest { name }).to_vec();
            encoded(version, &[DescribeTopicPartitionsRequest { topics, ..Default::default() }])
        }
        ApiKey::DeleteRecords => {
            let partitions = (0..3).map(|partition_index| DeleteRecordsPartition { partition_index, offset: 0 }).collect::<Vec<_>>();
            let topics = topics.map(|name| DeleteRecordsTopic { name, partitions: partitions.clone() }).to_vec();
            encoded(version, &[DeleteRecordsRequest { topics, timeout_ms: 100 }])
        }
        _ => return coordinators::of_groups(key, version).or_else(|| coordinators::of_transactions(key, version)),
    })
}

/// The first of these requests that the version can carry; a version that is only advertised gets the oldest body.
fn encoded<'a, Q: Request<'a>>(version: i16, requests: &[Q]) -> Vec<u8> {
    let body_version = version.max(*<Q as Message<'a>>::VERSIONS.start());
    let body = |request: &Q| {
        let mut writer = Writer::new();
        RequestHeader::new::<Q>(version, 1, Some(CLIENT_ID)).encode(&mut writer).expect("the header can be written");
        request.encode(&mut writer, body_version).map(|()| writer.into_parts().buf)
    };
    requests.iter().find_map(|request| body(request).ok()).unwrap_or_else(|| panic!("no {} fits version {version}", Q::NAME))
}

/// A header that is right, and a body of mostly small numbers, which pass for counts and lengths.
pub fn plausible(key: i16, version: i16, random: &mut Random) -> Vec<u8> {
    let mut body = crate::raw::header(key, version, 1);
    body.extend((0..120).map(|_| [0, 0, 0, 0, 1, 1, 2, 3, 4, 255][random.below(10)]));
    body
}

/// What was done to a frame, and the body that came of it.
pub type Damaged = (&'static str, Vec<u8>);

/// A request, damaged in each of the ways. Key and version stay, but where the version is what is damaged.
pub fn damaged(whole: &[u8], version_max: i16, random: &mut Random) -> Vec<Damaged> {
    let mut all = Vec::new();
    let step = (whole.len() / 6).max(1);
    let cuts = (random.below(step)..whole.len()).step_by(step);
    all.extend(cuts.map(|cut| ("cut short", whole[..cut].to_vec())));
    for (what, bytes) in [
        ("a huge count", &i32::MAX.to_be_bytes()[..]),
        ("the least count", &i32::MIN.to_be_bytes()),
        ("a large count", &0x00ff_ffff_i32.to_be_bytes()),
        ("a length of -1", &(-1_i16).to_be_bytes()),
        ("a long string", &i16::MAX.to_be_bytes()),
        ("a compact length of 4 GiB", &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("a varint without end", &[0xff; 12]),
    ] {
        let mut frame = whole.to_vec();
        let at = FIXED_HEADER_LEN + random.below(whole.len() - FIXED_HEADER_LEN);
        let end = (at + bytes.len()).min(frame.len());
        frame[at..end].copy_from_slice(&bytes[..end - at]);
        all.push((what, frame));
    }
    for flips in 1..=4 {
        let mut frame = whole.to_vec();
        for _ in 0..flips {
            frame[4 + random.below(whole.len() - 4)] ^= 1 << random.below(8);
        }
        all.push(("bits turned over", frame));
    }
    let garbage: Vec<u8> = (0..1 + random.below(3000)).map(|_| random.next_u64() as u8).collect();
    all.push(("garbage behind it", [whole, &garbage].concat()));
    // Where the version is flexible the last byte is the count of tagged fields, else this is garbage too.
    let (_, before) = whole.split_last().expect("a request has bytes");
    let mut tags = before.to_vec();
    put_uvarint(TAGS, &mut tags);
    for tag in 0..TAGS {
        put_uvarint(tag + 100, &mut tags);
        tags.push(0);
    }
    all.push(("a flood of tagged fields", tags));
    all.push(("tagged fields that are not there", [before, &[0xff, 0xff, 0xff, 0xff, 0x07]].concat()));
    let header_end = FIXED_HEADER_LEN + 2 + CLIENT_ID.len();
    let head = whole.get(..header_end).unwrap_or(whole);
    let fill = [0_u8, 1, 2][random.below(3)];
    let filled = vec![fill; ELEMENTS as usize * 4];
    all.push(("an array that fills it", [head, &ELEMENTS.to_be_bytes(), &filled].concat()));
    all.push(("arrays within arrays", [head, &vec![2; ELEMENTS as usize]].concat()));
    for version in [-1, version_max + 1, i16::MAX, i16::MIN] {
        let mut frame = whole.to_vec();
        frame[2..4].copy_from_slice(&version.to_be_bytes());
        all.push(("a version that is not spoken", frame));
    }
    all
}

fn put_uvarint(mut value: u32, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_frames() {
        let frames = |seed| damaged(&valid(3, 12).unwrap(), 13, &mut Random::new(seed));
        assert_eq!(frames(7), frames(7));
        assert_ne!(frames(7), frames(8));
    }

    #[test]
    fn every_api_with_messages_has_a_request_in_each_version() {
        for (key, versions) in [(0, 0..=13), (1, 4..=18), (2, 0..=11), (3, 0..=13), (18, 0..=4), (19, 0..=7), (20, 0..=6), (22, 0..=5)]
            .into_iter()
            .chain([(23, 0..=4), (32, 0..=4), (37, 0..=3), (44, 0..=1), (46, 0..=0), (60, 0..=2), (75, 0..=0)])
        {
            for version in versions {
                assert!(valid(key, version).is_some_and(|body| body.len() > FIXED_HEADER_LEN), "{key} {version}");
            }
        }
    }
}
