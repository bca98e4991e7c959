//! Java's producer and consumer against a node, through the tools that Kafka ships with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ottla_e2e::Node;
use ottla_e2e::java::{CONSOLE_CONSUMER, CONSOLE_PRODUCER, GET_OFFSETS, PRODUCER_PERFORMANCE, TOPICS, kafka, kafka_with_input};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

#[track_caller]
fn create(node: &Node, topic: &str, partitions: u32) {
    let partitions = partitions.to_string();
    kafka(TOPICS, &["--bootstrap-server", &node.address(), "--create", "--topic", topic, "--partitions", &partitions]).ok();
}

/// What the console consumer prints of one partition from `offset` on, until it has `count` records.
#[track_caller]
fn consume(node: &Node, topic: &str, partition: u32, offset: &str, count: usize, more: &[&str]) -> Vec<String> {
    let (partition, count) = (partition.to_string(), count.to_string());
    let address = node.address();
    let mut arguments = vec!["--bootstrap-server", &address, "--topic", topic, "--partition", &partition, "--offset", offset];
    arguments.extend(["--max-messages", &count, "--timeout-ms", "30000"]);
    arguments.extend(more);
    kafka(CONSOLE_CONSUMER, &arguments).ok().stdout.lines().map(str::to_owned).collect()
}

#[track_caller]
fn end_offset(node: &Node, topic: &str) -> u64 {
    let said = kafka(GET_OFFSETS, &["--bootstrap-server", &node.address(), "--topic", topic]).ok().stdout;
    said.lines().filter_map(|line| line.rsplit(':').next()?.parse::<u64>().ok()).sum()
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn console_producer_and_consumer_agree_for_each_codec() {
    let node = Node::start();
    create(&node, "words", 1);
    let mut expected = Vec::new();
    for codec in CODECS {
        let mut input = String::new();
        for number in 0..200 {
            let word = format!("{codec} {number} {}", "compressible ".repeat(number % 7));
            writeln!(input, "{word}").expect("a string takes all");
            expected.push(word);
        }
        let arguments = ["--bootstrap-server", &node.address(), "--topic", "words", "--compression-codec", codec];
        kafka_with_input(CONSOLE_PRODUCER, &arguments, &input).ok();
    }
    assert_eq!(consume(&node, "words", 0, "earliest", expected.len(), &[]), expected);
    assert_eq!(
        consume(&node, "words", 0, "590", 20, &[]),
        expected[590..610],
        "from the middle of one codec's batch into the next codec's"
    );
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn producer_performance_loses_nothing_with_each_codec_idempotent_or_not() {
    const RECORDS: usize = 5000;
    let node = Node::start();
    for codec in CODECS {
        for idempotent in ["true", "false"] {
            let topic = format!("load-{codec}-{idempotent}");
            let (records, server) = (RECORDS.to_string(), format!("bootstrap.servers={}", node.address()));
            let (codec, idempotence) = (format!("compression.type={codec}"), format!("enable.idempotence={idempotent}"));
            let mut arguments = vec!["--topic", &topic, "--num-records", &records, "--record-size", "100", "--throughput", "-1"];
            arguments.extend(["--producer-props", &server, &codec, &idempotence, "acks=all"]);
            kafka(PRODUCER_PERFORMANCE, &arguments).ok().says(&format!("{RECORDS} records sent"));
            assert_eq!(end_offset(&node, &topic), RECORDS as u64, "{topic}");
        }
        let topic = format!("load-{codec}-true");
        let values = consume(&node, &topic, 0, "earliest", RECORDS, &[]);
        assert_eq!(values.len(), RECORDS, "{topic}");
        assert!(values.iter().all(|value| value.len() == 100), "{topic}");
    }
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn a_consumer_waits_for_what_is_not_yet_there() {
    let node = Node::start();
    create(&node, "news", 1);
    let address = node.address();
    let arguments = [
        "--bootstrap-server",
        &address,
        "--topic",
        "news",
        "--partition",
        "0",
        "--offset",
        "0",
        "--max-messages",
        "1",
        "--timeout-ms",
        "30000",
    ];
    let mut consumer = ottla_e2e::process::Running::start(&mut ottla_e2e::java::command(CONSOLE_CONSUMER, &arguments));
    kafka_with_input(CONSOLE_PRODUCER, &["--bootstrap-server", &address, "--topic", "news"], "it has come\n").ok();
    consumer.wait_until(|said| said.contains("it has come"));
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn keys_land_where_the_java_client_puts_them() {
    const PARTITIONS: u32 = 7;
    let node = Node::start();
    let mut input = String::new();
    for number in 0..300 {
        // Lengths of every remainder by four, and bytes above 127, for each branch of the hash.
        let key = format!("{}{}", "k".repeat(number % 9 + 1), if number % 3 == 0 { format!("é{number}") } else { number.to_string() });
        writeln!(input, "{key}\t{number}").expect("a string takes all");
    }
    create(&node, "by-java", PARTITIONS);
    let by_java = ["--bootstrap-server", &node.address(), "--topic", "by-java", "--reader-property", "parse.key=true"];
    kafka_with_input(CONSOLE_PRODUCER, &by_java, &input).ok();
    create(&node, "by-ottla", PARTITIONS);
    node.ottla_with_input(&["produce", "by-ottla", "--key-separator", "\t"], &input).ok();

    let (java, ottla) = (partitions_of_keys(&node, "by-java", PARTITIONS), partitions_of_keys(&node, "by-ottla", PARTITIONS));
    assert_eq!(java.len(), 300);
    assert_eq!(ottla, java);
    assert_eq!(java.values().collect::<std::collections::BTreeSet<_>>().len(), PARTITIONS as usize, "some partition got none");
}

/// Reads all partitions: each key with the partition it is in.
#[track_caller]
fn partitions_of_keys(node: &Node, topic: &str, partitions: u32) -> BTreeMap<String, u32> {
    let counts = kafka(GET_OFFSETS, &["--bootstrap-server", &node.address(), "--topic", topic]).ok().stdout;
    let mut found = BTreeMap::new();
    for partition in 0..partitions {
        let place = format!("{topic}:{partition}:");
        let count = counts.lines().find_map(|line| line.strip_prefix(&place)?.parse().ok()).expect("each partition has an end");
        if count == 0 {
            continue;
        }
        for line in consume(node, topic, partition, "earliest", count, &["--formatter-property", "print.key=true"]) {
            let key = line.split('\t').next().expect("a key is printed").to_owned();
            assert_eq!(found.insert(key, partition), None, "a key in two places: {line}");
        }
    }
    found
}
