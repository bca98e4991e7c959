//! Several requests under way on one connection: answered in their order, each seeing what those before it did.

use ottla_e2e::Node;
use ottla_e2e::calls::batch;
use ottla_e2e::raw::Connection;
use ottla_wire::message::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_wire::{Message, Reader, Request, RequestHeader, ResponseHeader, Writer};

const CREATE_TOPICS: i16 = 7;
const METADATA: i16 = 9;
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;

const TOPIC: &str = "pipelined";

/// Adds a framed request.
fn add<'q, Q: Request<'q>>(frames: &mut Writer, request: &Q, version: i16, correlation_id: i32) {
    let mark = frames.begin_frame();
    RequestHeader::new::<Q>(version, correlation_id, None).encode(frames).expect("a header");
    request.encode(frames, version).expect("a request");
    frames.end_frame(mark).expect("a frame");
}

/// The next answer, which must be the one with this number.
fn answer<'r, R: Message<'r>>(body: &'r [u8], version: i16, correlation_id: i32) -> R {
    let mut reader = Reader::new(body);
    let header = ResponseHeader::decode(&mut reader, R::KEY, version).expect("a header");
    assert_eq!(header.correlation_id, correlation_id, "answers come in the order of the requests");
    R::decode(&mut reader, version).expect("an answer")
}

fn receive(connection: &mut Connection) -> Vec<u8> {
    connection.receive().expect("an answer")
}

#[test]
fn requests_sent_without_waiting_are_answered_in_order_and_see_those_before_them() {
    let mut node = Node::start();
    let mut connection = node.connect();
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic { name: TOPIC, num_partitions: 1, replication_factor: 1, ..Default::default() }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let metadata = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some(TOPIC), ..Default::default() }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let records = batch(&[b"a", b"b"]);
    let produce = |acks| ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: TOPIC,
            partition_data: vec![PartitionProduceData { index: 0, records: Some(&records) }],
            ..Default::default()
        }],
        ..Default::default()
    };
    // Waits for more bytes than the one batch before it: it is parked until the batch behind it arrives.
    let fetch = FetchRequest {
        max_wait_ms: 30_000,
        min_bytes: i32::try_from(records.len()).expect("small") + 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: TOPIC,
            partitions: vec![FetchPartition { partition: 0, fetch_offset: 0, partition_max_bytes: 1 << 20, ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    };

    let mut frames = Writer::new();
    add(&mut frames, &create, CREATE_TOPICS, 1);
    add(&mut frames, &metadata, METADATA, 2);
    add(&mut frames, &produce(-1), PRODUCE, 3);
    add(&mut frames, &fetch, FETCH, 4);
    add(&mut frames, &produce(0), PRODUCE, 5);
    add(&mut frames, &produce(1), PRODUCE, 6);
    add(&mut frames, &metadata, METADATA, 7);
    connection.send(&frames.into_parts().buf);

    let body = receive(&mut connection);
    assert_eq!(answer::<CreateTopicsResponse<'_>>(&body, CREATE_TOPICS, 1).topics[0].error_code, 0);
    let body = receive(&mut connection);
    let topics = answer::<MetadataResponse<'_>>(&body, METADATA, 2).topics;
    assert_eq!((topics[0].error_code, topics[0].partitions.len()), (0, 1), "the topic is there for the request behind its creation");
    let body = receive(&mut connection);
    let produced = &answer::<ProduceResponse<'_>>(&body, PRODUCE, 3).responses[0].partition_responses[0];
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));
    let body = receive(&mut connection);
    let fetched = &answer::<FetchResponse<'_>>(&body, FETCH, 4).responses[0].partitions[0];
    assert_eq!(fetched.error_code, 0);
    assert!(fetched.high_watermark >= 4, "woken by a request behind it: {}", fetched.high_watermark);
    // The fifth, with acks=0, is due no answer.
    let body = receive(&mut connection);
    let produced = &answer::<ProduceResponse<'_>>(&body, PRODUCE, 6).responses[0].partition_responses[0];
    assert_eq!((produced.error_code, produced.base_offset), (0, 4));
    let body = receive(&mut connection);
    answer::<MetadataResponse<'_>>(&body, METADATA, 7);
    node.assert_serves();
}
