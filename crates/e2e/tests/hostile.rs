//! Clients that mean harm: whatever they send, hold open or do not read, memory stays bounded and others are served.

use std::time::{Duration, Instant};

use ottla_e2e::calls::{batch, produce_request};
use ottla_e2e::hostile::{Random, damaged, plausible, valid};
use ottla_e2e::raw::{Connection, header};
use ottla_e2e::{DEADLINE, Node};
use ottla_wire::batch::{BatchBuilder, HEADER_LEN, TimestampType, at, set_max_timestamp};
use ottla_wire::compress::Compression;
use ottla_wire::message::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse};
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ottla_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic};
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::{Message, Records, Request, RequestHeader, Writer};

/// What a node may hold at any moment, whatever is sent to it.
const RESIDENT_MAX_BYTES: u64 = 64 << 20;
/// Sets the seed of the damage, to have a failure again.
const SEED_VARIABLE: &str = "OTTLA_HOSTILE_SEED";
/// What docs/durability.md promises.
const FRAMES_MIN: usize = 2600;

const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_RECORD: i16 = 87;
const ALL: i16 = -1;
const BROKER: i8 = 4;
/// `timestamp` of the records that [`packed_batch`] makes.
const TIMESTAMP_MS: i64 = 1_700_000_000_000;

/// A peer that takes nothing for so long holds its sender back.
const STALLED: Duration = Duration::from_millis(500);

#[track_caller]
fn assert_bounded(node: &mut Node, after: &str) {
    let peak = node.peak_resident_bytes();
    println!("{after}: {} KiB resident at most", peak >> 10);
    assert!(peak < RESIDENT_MAX_BYTES, "{} KiB resident {after}", peak >> 10);
    node.assert_serves();
}

/// Whether a client of good will is served: it writes to its own topic and reads that back.
#[track_caller]
fn assert_serves_a_client(node: &Node, topic: &str) {
    let mut caller = node.caller();
    assert_eq!(caller.create_topic(topic, 1, &[]), 0);
    for value in [&b"one"[..], b"two", b"three"] {
        assert_eq!(caller.produce(topic, 0, &batch(&[value]), ALL).error_code, 0);
    }
    assert_eq!(caller.consume_all(topic, 0, 0).len(), 3);
}

fn frame_of<'q, Q: Request<'q>>(request: &Q, version: i16, correlation_id: i32) -> Vec<u8> {
    let mut writer = Writer::new();
    let frame = writer.begin_frame();
    RequestHeader::new::<Q>(version, correlation_id, None).encode(&mut writer).expect("the header can be written");
    request.encode(&mut writer, version).expect("the request can be written");
    writer.end_frame(frame).expect("the frame is not too long");
    writer.into_parts().buf
}

fn last_version<'q, Q: Request<'q>>(_: &Q) -> i16 {
    *<Q as Message<'q>>::VERSIONS.end()
}

fn apis(node: &Node) -> Vec<ApiVersion> {
    let answer = node.caller().call(&ApiVersionsRequest::default(), 0);
    answer.decode::<ApiVersionsResponse<'_>>().api_keys
}

#[test]
fn damaged_requests_of_every_api_and_version_cost_their_own_connection_only() {
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().expect("the seed is a number"));
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Random::new(seed);
    let mut node = Node::with().set("auto.create.topics.enable", "false").start();
    assert_serves_a_client(&node, "events");
    let mut frames = 0;
    for api in apis(&node) {
        let mut connections = Vec::new();
        for version in api.min_version..=api.max_version {
            let whole = valid(api.api_key, version).unwrap_or_else(|| plausible(api.api_key, version, &mut random));
            for (what, body) in damaged(&whole, api.max_version, &mut random) {
                let mut connection = node.connect();
                connection.send_frame(&body);
                connection.finish_sending();
                connections.push((what, version, connection));
            }
        }
        frames += connections.len();
        for (what, version, mut connection) in connections {
            // It may still be a request, and be answered; the end must come, since nothing more is sent.
            let ended = loop {
                match connection.receive() {
                    Ok(_) => {}
                    Err(why) => break why,
                }
            };
            let timed_out = matches!(ended.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            assert!(!timed_out, "{what} in version {version} of API {} leaves its connection open", api.api_key);
        }
        assert_bounded(&mut node, &format!("after damaged requests of API {}", api.api_key));
    }
    println!("{frames} frames");
    assert!(frames >= FRAMES_MIN, "{frames} frames only");
    assert_serves_a_client(&node, "afterwards");
}

#[test]
fn large_arrays_get_no_giant_answers() {
    let mut node = Node::with().set("auto.create.topics.enable", "false").start();
    let mut caller = node.caller();

    // Each of these resources takes six bytes to ask for, and some hundred KiB to answer.
    let broker = DescribeConfigsResource { resource_type: BROKER, resource_name: "1", ..Default::default() };
    let everything = DescribeConfigsRequest { resources: vec![broker; 5000], include_synonyms: true, include_documentation: true };
    let answer = caller.call(&everything, last_version(&everything));
    assert_eq!(answer.decode::<DescribeConfigsResponse<'_>>().results.len(), 1);
    assert_bounded(&mut node, "after one config asked for 5,000 times");

    let names: Vec<String> = (0..50_000).map(|i| format!("no {i}")).collect();
    let topic = |name| MetadataRequestTopic { name: Some(name), ..Default::default() };
    let topics = MetadataRequest { topics: Some(names.iter().map(|name| topic(&**name)).collect()), ..Default::default() };
    caller.call(&topics, last_version(&topics));
    assert_bounded(&mut node, "after Metadata of 50,000 illegal names");

    let partition = FetchPartition { partition_max_bytes: i32::MAX, ..Default::default() };
    let topic = FetchTopic { topic: "absent", partitions: vec![partition; 50_000], ..Default::default() };
    let fetch = FetchRequest { max_bytes: i32::MAX, topics: vec![topic], ..Default::default() };
    caller.call(&fetch, 12);
    assert_bounded(&mut node, "after Fetch of 50,000 partitions");

    let partition = ListOffsetsPartition { timestamp: -1, ..Default::default() };
    let topic = ListOffsetsTopic { name: "absent", partitions: vec![partition; 50_000] };
    let offsets = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
    caller.call(&offsets, last_version(&offsets));
    assert_bounded(&mut node, "after ListOffsets of 50,000 partitions");
}

/// A batch that says it has one record, in these packed bytes.
fn packed_batch(codec: Compression, packed: &[u8]) -> Vec<u8> {
    let mut bytes = batch(&[b""]);
    bytes.truncate(HEADER_LEN);
    bytes.extend_from_slice(packed);
    let length = i32::try_from(bytes.len() - 12).expect("a batch is small");
    bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
    bytes[at::ATTRIBUTES..][..2].copy_from_slice(&i16::from(codec.id()).to_be_bytes());
    // Also makes the CRC right.
    set_max_timestamp(&mut bytes, TimestampType::CreateTime, TIMESTAMP_MS).expect("a sound header");
    bytes
}

/// Batches under `max.message.bytes` that unpack to far more than a node takes, and what is said of them.
fn bombs() -> Vec<(&'static str, Vec<u8>, i16)> {
    let zeros = |codec, bytes: usize| {
        let mut builder = BatchBuilder::new(codec, usize::MAX);
        builder.append(TIMESTAMP_MS, None, Some(&vec![0; bytes]), &[]).expect("a batch has room");
        builder.build().expect("a batch can be built")
    };
    // A header, a window of `1 << log` bytes, then as many blocks of 128 KiB of one byte as there is room for: 32 GiB.
    let zstd_window = |log: u8| {
        let blocks = [[0x02, 0x00, 0x10, 0]].repeat(250_000).concat();
        packed_batch(Compression::Zstd, &[&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3], &blocks[..]].concat())
    };
    let snappy_claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    vec![
        ("gzip", zeros(Compression::Gzip, 64 << 20), MESSAGE_TOO_LARGE),
        // Its ratio is 21 at best.
        ("snappy", zeros(Compression::Snappy, 20 << 20), MESSAGE_TOO_LARGE),
        ("snappy that claims 4 GiB", packed_batch(Compression::Snappy, &snappy_claim), INVALID_RECORD),
        ("lz4", zeros(Compression::Lz4, 64 << 20), MESSAGE_TOO_LARGE),
        ("zstd", zeros(Compression::Zstd, 64 << 20), MESSAGE_TOO_LARGE),
        ("zstd with a window of 8 MiB", zstd_window(23), MESSAGE_TOO_LARGE),
        ("zstd with a window of 128 MiB", zstd_window(27), MESSAGE_TOO_LARGE),
        ("zstd with a window of 2 GiB", zstd_window(31), MESSAGE_TOO_LARGE),
    ]
}

#[test]
fn compression_bombs_are_refused_and_never_go_off() {
    const PARTITIONS: i32 = 4;
    let mut node = Node::start();
    let mut caller = node.caller();
    assert_eq!(caller.create_topic("full", PARTITIONS, &[("batch.validation", "full")]), 0);
    for (number, (what, bomb, refusal)) in bombs().into_iter().enumerate() {
        // Several at once, as many as there are partitions, so that no lock makes them queue up.
        std::thread::scope(|scope| {
            for partition in 0..PARTITIONS {
                let (mut caller, bomb) = (node.caller(), &bomb);
                scope.spawn(move || assert_eq!(caller.produce("full", partition, bomb, ALL).error_code, refusal, "{what}"));
            }
        });
        assert_bounded(&mut node, &format!("after {what}, to be validated"));

        // Where batches are not unpacked they are the consumer's to refuse, but a lookup by time goes into them.
        let plain = &*format!("plain-{number}");
        assert_eq!(caller.create_topic(plain, PARTITIONS, &[]), 0);
        for partition in 0..PARTITIONS {
            assert_eq!(caller.produce(plain, partition, &bomb, ALL).error_code, 0, "{what}");
        }
        std::thread::scope(|scope| {
            for partition_index in 0..PARTITIONS {
                let mut caller = node.caller();
                scope.spawn(move || {
                    let partition = ListOffsetsPartition { partition_index, timestamp: TIMESTAMP_MS, ..Default::default() };
                    let topics = vec![ListOffsetsTopic { name: plain, partitions: vec![partition] }];
                    let answer = caller.call(&ListOffsetsRequest { topics, ..Default::default() }, 7);
                    let said = answer.decode::<ListOffsetsResponse<'_>>().topics[0].partitions[0].error_code;
                    assert_eq!(said, CORRUPT_MESSAGE, "{what}");
                });
            }
        });
        let answer = caller.call(&fetch(plain, 0, 2 << 20, 0), 12);
        let response: FetchResponse<'_> = answer.decode();
        let Records::Borrowed(fetched) = response.responses[0].partitions[0].records else { panic!("{what} is not given back") };
        assert!(fetched[at::ATTRIBUTES..] == bomb[at::ATTRIBUTES..], "{what} is given back as it came");
        assert_bounded(&mut node, &format!("after {what}, stored and looked up"));
    }
    assert_eq!(caller.produce("full", 0, &batch(&[b"good"]), ALL).base_offset, 0, "nothing of them was stored");
    assert_serves_a_client(&node, "afterwards");
}

fn fetch(topic: &str, fetch_offset: i64, max_bytes: i32, max_wait_ms: i32) -> FetchRequest<'_> {
    let partition = FetchPartition { fetch_offset, partition_max_bytes: max_bytes, ..Default::default() };
    let topics = vec![FetchTopic { topic, partitions: vec![partition], ..Default::default() }];
    FetchRequest { max_wait_ms, min_bytes: 1, max_bytes, topics, ..Default::default() }
}

/// Lets this process, and those that it starts, have as many files open as the machine allows it.
fn allow_many_connections(needed: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value of the type that is asked for.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    assert!(limit.rlim_max >= needed, "{} files may be open here, and {needed} are needed", limit.rlim_max);
    limit.rlim_cur = limit.rlim_max.min(1 << 20);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
fn thousands_of_idle_and_half_open_connections_are_borne_and_let_go() {
    const IDLE: usize = 2000;
    const HALF_OPEN: usize = 500;
    const BEGUN_BYTES: usize = 8 << 10;
    allow_many_connections(4096);
    let mut node = Node::start();
    let before = node.open_sockets();
    let mut held: Vec<Connection> = Vec::new();
    for _ in 0..IDLE {
        let mut connection = node.connect();
        assert!(connection.answers_api_versions());
        held.push(connection);
    }
    assert_bounded(&mut node, "with idle connections");

    let records = vec![0; 1 << 20];
    let begun = frame_of(&produce_request("events", 0, &records, ALL), 9, 1);
    for _ in 0..HALF_OPEN {
        let mut connection = node.connect();
        connection.send(&begun[..BEGUN_BYTES]);
        held.push(connection);
    }
    assert_serves_a_client(&node, "events");
    assert!(node.open_sockets() >= IDLE + HALF_OPEN, "those that came before a client that is served are there");
    assert_bounded(&mut node, "with idle and half-open connections");

    drop(held);
    let deadline = Instant::now() + DEADLINE;
    while node.open_sockets() > before + 1 {
        assert!(Instant::now() < deadline, "{} sockets are open, {before} were", node.open_sockets());
        node.assert_serves();
    }
    assert_serves_a_client(&node, "afterwards");
}

#[test]
fn readers_that_do_not_read_hold_up_nobody_and_no_memory() {
    const READERS: usize = 20;
    const FETCHES: i32 = 200;
    const BATCHES: usize = 12;
    let mut node = Node::start();
    let mut caller = node.caller();
    assert_eq!(caller.create_topic("events", 1, &[]), 0);
    let mut random = Random::new(1);
    let value: Vec<u8> = (0..900_000).map(|_| random.next_u64() as u8).collect();
    for _ in 0..BATCHES {
        assert_eq!(caller.produce("events", 0, &batch(&[&value]), ALL).error_code, 0);
    }
    assert_bounded(&mut node, "before anybody reads slowly");

    let fetches: Vec<u8> = (0..FETCHES).flat_map(|id| frame_of(&fetch("events", 0, 32 << 20, 0), 12, id)).collect();
    let mut readers: Vec<Connection> = (0..READERS).map(|_| node.connect()).collect();
    for reader in &mut readers {
        reader.send(&fetches);
    }
    assert_serves_a_client(&node, "meanwhile");
    assert_bounded(&mut node, "with readers that do not read");

    // It was held back, not forgotten: all is there for who begins to read.
    for id in 0..3_i32 {
        let answer = readers[0].receive().expect("it is answered");
        assert_eq!(answer[..4], id.to_be_bytes());
        assert!(answer.len() > BATCHES * value.len(), "{} bytes", answer.len());
    }
    assert_bounded(&mut node, "with one that begins to read");
}

/// Floods the node over several connections with requests until it takes no more, and reads nothing meanwhile.
#[track_caller]
fn flood(node: &mut Node, what: &str, first: &[u8], request: &[u8]) {
    const CONNECTIONS: usize = 8;
    /// Far more than sockets and a node should take of what they cannot get rid of.
    const SENT_MAX_BYTES: usize = 256 << 20;
    let requests = request.repeat((64 << 10) / request.len() + 1);
    let mut floods: Vec<Connection> = (0..CONNECTIONS).map(|_| node.connect()).collect();
    let requests = &requests;
    std::thread::scope(|scope| {
        for connection in &mut floods {
            scope.spawn(move || {
                connection.send(first);
                let sent = connection.send_while_taken(requests, STALLED, SENT_MAX_BYTES);
                assert!(sent < SENT_MAX_BYTES, "{what}: {sent} bytes of requests were taken, and no answer read");
            });
        }
    });
    assert_bounded(node, &format!("in a flood of {what}"));
    drop(floods);
}

#[test]
fn a_flood_of_requests_without_reading_is_held_back() {
    let mut node = Node::start();
    assert_serves_a_client(&node, "events");
    let small = [&10_i32.to_be_bytes()[..], &header(18, 0, 1)].concat();
    flood(&mut node, "small requests", &[], &small);

    let broker = DescribeConfigsResource { resource_type: BROKER, resource_name: "1", ..Default::default() };
    let large = DescribeConfigsRequest { resources: vec![broker], include_synonyms: true, include_documentation: true };
    let large = frame_of(&large, last_version(&large), 1);
    flood(&mut node, "large answers", &[], &large);

    // The answers of all that follows have to wait for this one.
    let parked = frame_of(&fetch("events", 3, 1 << 20, 30_000), 12, 1);
    flood(&mut node, "small answers behind one that waits", &parked, &small);
    flood(&mut node, "large answers behind one that waits", &parked, &large);
    assert_serves_a_client(&node, "afterwards");
}

#[test]
fn answers_to_a_flood_come_in_order_once_they_are_read() {
    const REQUESTS: i32 = 20_000;
    let node = Node::start();
    let mut connection = node.connect();
    let requests: Vec<u8> = (0..REQUESTS).flat_map(|id| [&10_i32.to_be_bytes()[..], &header(18, 0, id)].concat()).collect();
    let mut reader = connection.try_clone().expect("a connection can be shared");
    std::thread::scope(|scope| {
        scope.spawn(|| connection.send(&requests));
        for id in 0..REQUESTS {
            assert_eq!(reader.receive().expect("each is answered")[..4], id.to_be_bytes());
        }
    });
}
