//! Kafka's own administration tools against a node: kafka-topics, kafka-configs, kafka-get-offsets.

use ottla_e2e::Node;
use ottla_e2e::java::{CONFIGS, GET_OFFSETS, PRODUCER_PERFORMANCE, TOPICS, kafka};
use ottla_e2e::process::Finished;

#[track_caller]
fn topics(node: &Node, arguments: &[&str]) -> Finished {
    kafka(TOPICS, &[&["--bootstrap-server", &node.address()], arguments].concat())
}

#[track_caller]
fn configs(node: &Node, arguments: &[&str]) -> Finished {
    kafka(CONFIGS, &[&["--bootstrap-server", &node.address()], arguments].concat())
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_topics_creates_lists_describes_extends_and_deletes() {
    let node = Node::start();
    topics(&node, &["--create", "--topic", "orders", "--partitions", "3", "--config", "retention.ms=3600000"])
        .ok()
        .says("Created topic orders.");
    topics(&node, &["--create", "--topic", "audit"]).ok();
    let listed = topics(&node, &["--list"]).ok();
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), ["audit", "orders"]);

    let described = topics(&node, &["--describe", "--topic", "orders"]).ok();
    let lines: Vec<&str> = described.stdout.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 4, "{described}");
    assert!(lines[0].contains("PartitionCount: 3"), "{described}");
    assert!(lines[0].contains("ReplicationFactor: 1"), "{described}");
    assert!(lines[0].contains("retention.ms=3600000"), "{described}");
    for (partition, line) in lines[1..].iter().enumerate() {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        assert_eq!(fields[..5], ["Topic: orders", &format!("Partition: {partition}"), "Leader: 1", "Replicas: 1", "Isr: 1"], "{described}");
    }

    topics(&node, &["--alter", "--topic", "orders", "--partitions", "5"]).ok();
    let described = topics(&node, &["--describe", "--topic", "orders"]).ok().says("PartitionCount: 5");
    assert_eq!(described.stdout.lines().count(), 6, "{described}");
    assert!((0..5).all(|partition| node.partition_dir("orders", partition).is_dir()));

    topics(&node, &["--delete", "--topic", "orders"]).ok();
    let listed = topics(&node, &["--list"]).ok();
    assert_eq!(listed.stdout.trim(), "audit");
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_topics_is_told_what_cannot_be() {
    let node = Node::start();
    topics(&node, &["--create", "--topic", "copies", "--replication-factor", "2"]).failed().says("InvalidReplicationFactorException");
    topics(&node, &["--create", "--topic", "none", "--partitions", "0"]).failed();
    for illegal in ["a b", "..", "a/b", &"x".repeat(250)] {
        topics(&node, &["--create", "--topic", illegal]).failed().says("InvalidTopicException");
    }
    topics(&node, &["--create", "--topic", "twice", "--partitions", "2"]).ok();
    topics(&node, &["--create", "--topic", "twice"]).failed().says("TopicExistsException");
    topics(&node, &["--create", "--topic", "twice", "--if-not-exists"]).ok();
    topics(&node, &["--alter", "--topic", "twice", "--partitions", "1"]).failed().says("InvalidPartitionsException");
    topics(&node, &["--create", "--topic", "odd", "--config", "retention.ms=soon"]).failed();
    topics(&node, &["--delete", "--topic", "absent"]).failed();
    let listed = topics(&node, &["--list"]).ok();
    assert_eq!(listed.stdout.trim(), "twice");
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_configs_sets_describes_and_deletes_topic_configs() {
    let node = Node::start();
    topics(&node, &["--create", "--topic", "orders"]).ok();
    let of_topic = ["--entity-type", "topics", "--entity-name", "orders"];
    let alter = |change: &[&str]| configs(&node, &[&["--alter"], &of_topic[..], change].concat());
    let describe = || configs(&node, &[&["--describe"], &of_topic[..]].concat()).ok();

    alter(&["--add-config", "retention.ms=60000,write.caching=true,cleanup.policy=[compact,delete]"])
        .ok()
        .says("Completed updating config for topic orders.");
    let described = describe();
    for expected in ["retention.ms=60000", "write.caching=true", "cleanup.policy=compact,delete"] {
        assert!(described.stdout.contains(expected), "`{expected}` is not in: {described}");
    }
    assert!(described.stdout.contains("DYNAMIC_TOPIC_CONFIG:retention.ms=60000"), "{described}");

    alter(&["--delete-config", "retention.ms,cleanup.policy"]).ok();
    let described = describe();
    assert!(!described.stdout.contains("retention.ms"), "{described}");
    assert!(described.stdout.contains("write.caching=true"), "{described}");

    let all = configs(&node, &[&["--describe", "--all"], &of_topic[..]].concat()).ok();
    for expected in ["retention.ms=604800000", "segment.bytes=1073741824", "min.insync.replicas=1", "batch.validation="] {
        assert!(all.stdout.contains(expected), "`{expected}` is not in: {all}");
    }

    alter(&["--add-config", "retention.ms=soon"]).failed().says("InvalidConfigurationException");
    alter(&["--add-config", "retension.ms=1"]).failed().says("InvalidConfigurationException");
    assert!(!describe().stdout.contains("soon"));
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_configs_describes_the_broker() {
    let node = Node::with().set("log.retention.hours", "24").start();
    let described = configs(&node, &["--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"]).ok();
    for expected in ["node.id=1", "log.retention.hours=24", "log.write.caching=false"] {
        assert!(described.stdout.contains(expected), "`{expected}` is not in: {described}");
    }
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_get_offsets_finds_start_end_and_time() {
    let node = Node::start();
    topics(&node, &["--create", "--topic", "events", "--partitions", "1"]).ok();
    let server = format!("bootstrap.servers={}", node.address());
    let produce = ["--topic", "events", "--num-records", "500", "--record-size", "50", "--throughput", "-1", "--producer-props", &server];
    kafka(PRODUCER_PERFORMANCE, &produce).ok();
    let at = |time: &str| {
        let arguments = ["--bootstrap-server", &node.address(), "--topic", "events", "--time", time];
        kafka(GET_OFFSETS, &arguments).ok().stdout.trim().to_owned()
    };
    assert_eq!(at("earliest"), "events:0:0");
    assert_eq!(at("latest"), "events:0:500");
    assert_eq!(at("1"), "events:0:0", "the first record not older than the epoch's first millisecond");
    let newest = at("max-timestamp");
    let offset: u32 = newest.rsplit(':').next().and_then(|offset| offset.parse().ok()).expect("an offset");
    assert!(offset < 500, "{newest}");
}
