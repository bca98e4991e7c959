//! The first records of a partition go, by kafka-delete-records or by retention; what is left is read by Java's consumer.

use std::fmt::Write as _;

use ottla_e2e::Node;
use ottla_e2e::calls::batch;
use ottla_e2e::java::{
    CONFIGS, CONSOLE_CONSUMER, CONSOLE_PRODUCER, DELETE_RECORDS, GET_OFFSETS, PRODUCER_PERFORMANCE, kafka, kafka_with_input,
};
use ottla_e2e::process::Finished;

const ALL: i16 = -1;
const TOPIC: &str = "events";

/// A node that looks for old segments all the time, and its topic, of which nothing is old.
#[track_caller]
fn node_that_keeps(configs: &[(&str, &str)]) -> Node {
    let node = Node::with().set("log.retention.check.interval.ms", "50").start();
    let all = [&[("segment.bytes", "1048576"), ("retention.ms", "-1"), ("file.delete.delay.ms", "0")], configs].concat();
    assert_eq!(node.caller().create_topic(TOPIC, 1, &all), 0);
    node
}

/// The offset at `earliest` or `latest`.
#[track_caller]
fn offset_at(node: &Node, time: &str) -> usize {
    let said = kafka(GET_OFFSETS, &["--bootstrap-server", &node.address(), "--topic", TOPIC, "--time", time]).ok().stdout;
    said.trim().rsplit(':').next().and_then(|offset| offset.parse().ok()).unwrap_or_else(|| panic!("no offset in {said}"))
}

/// What the console consumer prints from the earliest offset on, until it has `count` records.
#[track_caller]
fn consume_from_earliest(node: &Node, count: usize) -> Vec<String> {
    let (address, count) = (node.address(), count.to_string());
    let place = ["--bootstrap-server", &address, "--topic", TOPIC, "--partition", "0", "--offset", "earliest"];
    let arguments = [&place[..], &["--max-messages", &count, "--timeout-ms", "30000"]].concat();
    kafka(CONSOLE_CONSUMER, &arguments).ok().stdout.lines().map(str::to_owned).collect()
}

/// Makes the topic's configs so, and waits until segments have gone for it.
#[track_caller]
fn configure_until_segments_go(node: &mut Node, config: &str) {
    let of_topic = ["--bootstrap-server", &node.address(), "--entity-type", "topics", "--entity-name", TOPIC];
    kafka(CONFIGS, &[&of_topic[..], &["--alter", "--add-config", config]].concat()).ok();
    node.wait_for_log("deleted old segments");
}

#[track_caller]
fn delete_records(node: &Node, upto: &[(u32, i64)]) -> Finished {
    let partitions: Vec<_> =
        upto.iter().map(|(partition, offset)| serde_json::json!({ "topic": TOPIC, "partition": partition, "offset": offset })).collect();
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    let text = serde_json::json!({ "partitions": partitions, "version": 1 }).to_string();
    std::fs::write(file.path(), text).expect("the file can be written");
    let path = file.path().display().to_string();
    kafka(DELETE_RECORDS, &["--bootstrap-server", &node.address(), "--offset-json-file", &path])
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_delete_records_deletes_and_a_killed_node_brings_nothing_back() {
    let mut node = node_that_keeps(&[]);
    let words: Vec<String> = (0..50).map(|number| format!("word {number}")).collect();
    let input = words.join("\n") + "\n";
    kafka_with_input(CONSOLE_PRODUCER, &["--bootstrap-server", &node.address(), "--topic", TOPIC], &input).ok();

    delete_records(&node, &[(0, 51)]).says("OffsetOutOfRangeException");
    assert_eq!(offset_at(&node, "earliest"), 0);

    delete_records(&node, &[(0, 20)]).ok().says("partition: events-0\tlow_watermark: 20");
    node.kill();
    node.start_again();
    assert_eq!((offset_at(&node, "earliest"), offset_at(&node, "latest")), (20, 50));
    assert_eq!(consume_from_earliest(&node, 30), words[20..]);

    delete_records(&node, &[(0, -1)]).ok().says("partition: events-0\tlow_watermark: 50");
    node.kill();
    node.start_again();
    assert_eq!((offset_at(&node, "earliest"), offset_at(&node, "latest")), (50, 50));
    kafka_with_input(CONSOLE_PRODUCER, &["--bootstrap-server", &node.address(), "--topic", TOPIC], "after\n").ok();
    assert_eq!(consume_from_earliest(&node, 1), ["after"]);
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_delete_records_may_not_touch_a_compacted_topic() {
    let node = node_that_keeps(&[("cleanup.policy", "compact")]);
    delete_records(&node, &[(0, -1)]).says("PolicyViolationException");
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn retention_by_size_moves_the_earliest_offset_and_leaves_the_rest_readable() {
    const RECORDS: usize = 5000;
    let mut node = node_that_keeps(&[]);
    let (records, server) = (RECORDS.to_string(), format!("bootstrap.servers={}", node.address()));
    let size = ["--record-size", "1000", "--throughput", "-1"];
    let arguments = [&["--topic", TOPIC, "--num-records", &records], &size[..], &["--producer-props", &server]].concat();
    kafka(PRODUCER_PERFORMANCE, &arguments).ok();
    assert_eq!((offset_at(&node, "earliest"), offset_at(&node, "latest")), (0, RECORDS), "nothing is old yet");

    configure_until_segments_go(&mut node, "retention.bytes=2097152");
    let earliest = offset_at(&node, "earliest");
    // Whole segments go, as long as what is left has 2 MiB; so less than one segment more is left.
    let left_bytes = (RECORDS - earliest) * 1000;
    assert!((2_000_000..3_300_000).contains(&left_bytes), "{left_bytes} bytes are left, from {earliest} on");
    assert_eq!(offset_at(&node, "latest"), RECORDS);
    let left = consume_from_earliest(&node, RECORDS - earliest);
    assert_eq!(left.len(), RECORDS - earliest);
    assert!(left.iter().all(|value| value.len() == 1000));
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn retention_by_time_moves_the_earliest_offset_and_leaves_the_rest_readable() {
    let mut node = node_that_keeps(&[]);
    // Records of years ago, in several segments; those of now begin another, as `segment.ms` lies between.
    let old = vec![0; 1000];
    let values = vec![old.as_slice(); 600];
    for round in 0..3 {
        let produced = node.caller().produce(TOPIC, 0, &batch(&values), ALL);
        assert_eq!((produced.error_code, produced.base_offset), (0, round * 600));
    }
    let mut new = String::new();
    for number in 0..100 {
        writeln!(new, "new {number}").expect("a string takes all");
    }
    kafka_with_input(CONSOLE_PRODUCER, &["--bootstrap-server", &node.address(), "--topic", TOPIC], &new).ok();
    assert_eq!((offset_at(&node, "earliest"), offset_at(&node, "latest")), (0, 1900), "nothing is old yet");

    configure_until_segments_go(&mut node, "retention.ms=3600000");
    assert_eq!((offset_at(&node, "earliest"), offset_at(&node, "latest")), (1800, 1900));
    assert_eq!(consume_from_earliest(&node, 100), new.lines().collect::<Vec<_>>());
    node.kill();
    node.start_again();
    assert_eq!(offset_at(&node, "earliest"), 1800);
}
