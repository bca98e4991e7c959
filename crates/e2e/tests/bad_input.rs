//! Bytes that no client sends: each closes its own connection or gets its Kafka error, and the node goes on.

use ottla_e2e::Node;
use ottla_e2e::calls::batch;
use ottla_e2e::raw::header;

/// Kafka's error codes that are met here.
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_REQUIRED_ACKS: i16 = 21;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_CONFIG: i16 = 40;
const INVALID_TOPIC: i16 = 17;
const TOPIC_ALREADY_EXISTS: i16 = 36;

const ALL: i16 = -1;

/// More than a node may take on for anything in this file, in bytes.
const GROWTH_MAX_BYTES: u64 = 48 << 20;

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// Sends these bytes; the node must close the connection and serve others.
#[track_caller]
fn assert_closes(node: &mut Node, bytes: &[u8]) {
    let mut connection = node.connect();
    connection.send(bytes);
    connection.finish_sending();
    assert!(connection.is_closed_by_peer(), "the connection is still open after {:02x?}", &bytes[..bytes.len().min(40)]);
    node.assert_serves();
}

/// A frame of that body.
fn frame(body: &[u8]) -> Vec<u8> {
    [&i32::try_from(body.len()).expect("small").to_be_bytes(), body].concat()
}

/// Bytes without a pattern, the same in every run (xorshift64).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

#[test]
fn a_frame_that_cannot_be_read_closes_its_connection_only() {
    let mut node = Node::start();
    let mut bystander = node.connect();

    for (what, bytes) in [
        ("a negative length", (-1_i32).to_be_bytes().to_vec()),
        ("the least length", i32::MIN.to_be_bytes().to_vec()),
        ("a length beyond the limit", [&i32::MAX.to_be_bytes()[..], &[0; 64]].concat()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("a frame without a header", frame(&[])),
        ("half a header", frame(&[0, 18, 0])),
        ("half a frame", frame(&header(API_VERSIONS, 0, 1))[..9].to_vec()),
        ("an unknown API", frame(&header(9999, 0, 1))),
        ("a negative API", frame(&header(-3, 0, 1))),
        ("an unknown version", frame(&header(METADATA, 99, 1))),
        ("a negative version", frame(&header(METADATA, -1, 1))),
        ("an API without its body", frame(&header(METADATA, 4, 1))),
        ("a client id longer than the frame", frame(&[0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, b'x'])),
    ] {
        println!("{what}");
        assert_closes(&mut node, &bytes);
    }
    assert!(bystander.answers_api_versions(), "another connection is closed along");
}

#[test]
fn the_log_says_why_a_connection_was_closed() {
    let mut node = Node::start();
    let mut connection = node.connect();
    connection.send(&frame(&header(9999, 7, 1)));
    assert!(connection.is_closed_by_peer());
    node.wait_for_log("9999");
}

#[test]
fn noise_closes_connections_and_nothing_else() {
    let mut node = Node::start();
    let before = node.resident_bytes();
    for seed in 1..=300 {
        let length = (seed * 37 % 4096) as usize;
        let mut bytes = noise(seed, length);
        match seed % 3 {
            // As it comes; with a length that is right; with a header that is right as well, of each API in turn.
            0 => {}
            1 => bytes = frame(&bytes),
            _ => bytes = frame(&[header((seed % 75) as i16, (seed % 14) as i16, 1), bytes].concat()),
        }
        let mut connection = node.connect();
        connection.send(&bytes);
        connection.finish_sending();
        // An answer is possible, when the noise happens to be a request; the end must come.
        while connection.receive().is_ok() {}
    }
    node.assert_serves();
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX_BYTES, "{grown} bytes more after noise");
}

#[test]
fn announced_lengths_cost_no_memory_before_their_bytes_are_there() {
    let mut node = Node::start();
    let before = node.resident_bytes();
    let mut connections = Vec::new();
    for _ in 0..100 {
        // The largest frame that socket.request.max.bytes allows by default, of which nothing follows.
        let mut connection = node.connect();
        connection.send(&(100 * 1024 * 1024_i32).to_be_bytes());
        connection.send(&[0; 16]);
        connections.push(connection);
    }
    for _ in 0..100 {
        // A Metadata request that claims two thousand million topics.
        let mut connection = node.connect();
        connection.send_frame(&[header(METADATA, 4, 1), i32::MAX.to_be_bytes().to_vec(), vec![0; 16]].concat());
        assert!(connection.is_closed_by_peer());
    }
    node.assert_serves();
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX_BYTES, "{grown} bytes more for frames that never came");
    drop(connections);
}

#[test]
fn a_client_from_the_future_is_told_what_this_node_speaks() {
    let node = Node::start();
    let mut connection = node.connect();
    // A flexible header, as all versions from 3 on have it, and a body that this node cannot know.
    connection.send_frame(&[header(API_VERSIONS, 999, 5), vec![0], noise(1, 20)].concat());
    let body = connection.receive().expect("it is answered (KIP-511)");
    assert_eq!(body[..4], [0, 0, 0, 5]);
    assert_eq!(body[4..6], UNSUPPORTED_VERSION.to_be_bytes());
    let apis = i32::from_be_bytes(body[6..10].try_into().expect("four bytes"));
    assert!(apis > 0, "version 0 of the answer lists the APIs");
    assert!(connection.answers_api_versions(), "and the connection goes on");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let node = Node::start();
    let mut connection = node.connect();
    let requests: Vec<u8> = (0..1000).flat_map(|id| frame(&header(API_VERSIONS, 0, id))).collect();
    connection.send(&requests);
    for id in 0..1000_i32 {
        let body = connection.receive().expect("each is answered");
        assert_eq!(body[..4], id.to_be_bytes());
    }
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let node = Node::start();
    let mut connection = node.connect();
    for byte in frame(&header(API_VERSIONS, 0, 3)) {
        connection.send(&[byte]);
    }
    let body = connection.receive().expect("it is answered");
    assert_eq!(body[..4], [0, 0, 0, 3]);
}

#[test]
fn bad_batches_are_refused_and_leave_nothing_behind() {
    let node = Node::start();
    let mut caller = node.caller();
    assert_eq!(caller.create_topic("events", 1, &[("max.message.bytes", "2000")]), 0);
    let good = batch(&[b"one", b"two"]);
    let mut refused = |what: &str, bytes: &[u8]| {
        let answer = caller.produce("events", 0, bytes, ALL);
        assert_ne!(answer.error_code, 0, "{what} is taken");
        answer.error_code
    };

    let mut damaged = good.clone();
    *damaged.last_mut().expect("it is not empty") ^= 1;
    assert_eq!(refused("a batch with a bit turned over", &damaged), CORRUPT_MESSAGE);
    assert_eq!(refused("a batch over max.message.bytes", &batch(&[&[0; 3000]])), MESSAGE_TOO_LARGE);
    refused("half a batch", &good[..good.len() / 2]);
    refused("a batch and half of another", &[&good[..], &good[..30]].concat());
    refused("no batch", &[]);
    let mut old = good.clone();
    old[16] = 1;
    refused("a message of format 1", &old);
    for seed in 1..=50 {
        refused("noise", &noise(seed, 61 + (seed as usize * 13) % 300));
    }

    let answer = caller.produce("events", 0, &good, ALL);
    assert_eq!((answer.error_code, answer.base_offset), (0, 0), "the first that was good is the first there is");
    let values: Vec<_> = caller.consume_all("events", 0, 0).into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, [b"one", b"two"]);
}

#[test]
fn bad_requests_get_kafkas_errors() {
    let node = Node::with().set("auto.create.topics.enable", "false").start();
    let mut caller = node.caller();
    for illegal in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
        assert_eq!(caller.create_topic(illegal, 1, &[]), INVALID_TOPIC, "{illegal}");
    }
    assert_eq!(caller.create_topic("none", 0, &[]), INVALID_PARTITIONS);
    assert_eq!(caller.create_topic("odd", 1, &[("retention.ms", "soon")]), INVALID_CONFIG);
    assert_eq!(caller.create_topic("odd", 1, &[("no.such.config", "1")]), INVALID_CONFIG);
    assert_eq!(caller.create_topic("events", 1, &[]), 0);
    assert_eq!(caller.create_topic("events", 1, &[]), TOPIC_ALREADY_EXISTS);

    let good = batch(&[b"one"]);
    assert_eq!(caller.produce("events", 1, &good, ALL).error_code, UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(caller.produce("events", -1, &good, ALL).error_code, UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(caller.produce("absent", 0, &good, ALL).error_code, UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(caller.produce("events", 0, &good, 7).error_code, INVALID_REQUIRED_ACKS);
    assert_eq!(caller.produce("events", 0, &good, ALL).base_offset, 0);
}
