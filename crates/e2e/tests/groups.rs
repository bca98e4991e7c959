//! Groups of Java's consumers, by both protocols, and Kafka's own tool for groups.

use std::fmt::Write as _;

use ottla_e2e::Node;
use ottla_e2e::java::{CONSOLE_CONSUMER, CONSOLE_PRODUCER, CONSUMER_GROUPS, command, kafka, kafka_with_input};
use ottla_e2e::process::run;

const TOPIC: &str = "orders";
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

#[track_caller]
fn node_with(records: usize) -> Node {
    let node = Node::with().set("group.initial.rebalance.delay.ms", "0").start();
    assert_eq!(node.caller().create_topic(TOPIC, 3, &[]), 0);
    let mut input = String::new();
    for number in 0..records {
        writeln!(input, "key-{number}:value-{number}").expect("a string takes all");
    }
    let arguments = ["--bootstrap-server", &node.address(), "--topic", TOPIC];
    let keys = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
    kafka_with_input(CONSOLE_PRODUCER, &[&arguments[..], &keys].concat(), &input).ok();
    node
}

/// What a consumer of the group gets that stops after `count` records.
#[track_caller]
fn consume(node: &Node, protocol: &str, group: &str, count: usize) -> Vec<String> {
    let (address, count, protocol) = (node.address(), count.to_string(), format!("group.protocol={protocol}"));
    let arguments = ["--bootstrap-server", &address, "--topic", TOPIC, "--group", group, "--from-beginning"];
    let more = ["--max-messages", &count, "--timeout-ms", "60000", "--command-property", &protocol];
    kafka(CONSOLE_CONSUMER, &[&arguments[..], &more].concat()).ok().stdout.lines().map(str::to_owned).collect()
}

#[track_caller]
fn groups(node: &Node, arguments: &[&str]) -> String {
    kafka(CONSUMER_GROUPS, &[&["--bootstrap-server", &node.address()], arguments].concat()).ok().stdout
}

/// Each partition's committed offset, end and lag, as the tool shows them.
#[track_caller]
fn shown(node: &Node, group: &str) -> Vec<[i64; 4]> {
    let said = groups(node, &["--describe", "--group", group]);
    let mut rows: Vec<[i64; 4]> = said
        .lines()
        .filter(|line| line.contains(TOPIC))
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().skip_while(|word| *word != TOPIC).skip(1).collect();
            std::array::from_fn(|nth| words[nth].parse().unwrap_or_else(|_| panic!("not a number in {line}")))
        })
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn a_group_goes_on_where_its_last_consumer_stopped_even_after_a_kill() {
    let mut node = node_with(100);
    for protocol in PROTOCOLS {
        let group = format!("shop-{protocol}");
        let mut all = consume(&node, protocol, &group, 40);
        assert_eq!(all.len(), 40);
        node.kill();
        node.start_again();
        all.extend(consume(&node, protocol, &group, 60));
        all.sort_unstable();
        let mut expected: Vec<String> = (0..100).map(|number| format!("value-{number}")).collect();
        expected.sort_unstable();
        assert_eq!(all, expected, "{protocol}: each record once");
        let rows = shown(&node, &group);
        assert_eq!(rows.iter().map(|row| row[1]).sum::<i64>(), 100, "{rows:?}");
        assert!(rows.len() == 3 && rows.iter().all(|[_, offset, end, lag]| offset == end && *lag == 0), "{rows:?}");
    }
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_consumer_groups_lists_describes_resets_and_deletes() {
    let node = node_with(30);
    for protocol in PROTOCOLS {
        assert_eq!(consume(&node, protocol, protocol, 30).len(), 30);
    }
    let listed = groups(&node, &["--list", "--state"]);
    for protocol in PROTOCOLS {
        assert!(listed.lines().any(|line| line.starts_with(protocol) && line.contains("Empty")), "{listed}");
        let reset = ["--group", protocol, "--topic", TOPIC, "--reset-offsets", "--to-offset", "1", "--execute"];
        let said = groups(&node, &reset);
        assert_eq!(said.matches(TOPIC).count(), 3, "{said}");
        let rows = shown(&node, protocol);
        assert!(rows.len() == 3 && rows.iter().all(|[_, offset, end, lag]| *offset == 1 && *lag == end - 1), "{rows:?}");
        groups(&node, &["--delete-offsets", "--group", protocol, "--topic", "orders:0"]);
        assert_eq!(shown(&node, protocol).iter().map(|row| row[0]).collect::<Vec<_>>(), [1, 2]);
        groups(&node, &["--delete", "--group", protocol]);
    }
    assert_eq!(groups(&node, &["--list"]).trim(), "");
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn consumers_of_one_group_share_its_partitions_and_are_shown() {
    let node = node_with(30);
    for protocol in PROTOCOLS {
        let group = format!("both-{protocol}");
        let (address, property) = (node.address(), format!("group.protocol={protocol}"));
        let arguments = ["--bootstrap-server", &address, "--topic", TOPIC, "--group", &group, "--command-property", &property];
        let mut consumers: Vec<_> = (0..2)
            .map(|_| {
                let mut consumer = command(CONSOLE_CONSUMER, &arguments);
                consumer.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                consumer.spawn().expect("java can be started")
            })
            .collect();
        let deadline = std::time::Instant::now() + ottla_e2e::DEADLINE;
        loop {
            let describe = ["--bootstrap-server", &address, "--describe", "--members", "--group", &group];
            let said = run(&mut command(CONSUMER_GROUPS, &describe)).stdout;
            let mut partitions: Vec<u32> = said
                .lines()
                .filter(|line| line.starts_with(&group))
                .filter_map(|line| line.split_whitespace().nth(4)?.parse().ok())
                .collect();
            partitions.sort_unstable();
            if partitions == [1, 2] {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{protocol}: the two do not share the partitions: {said}");
        }
        for consumer in &mut consumers {
            consumer.kill().expect("it runs");
            consumer.wait().expect("it was started");
        }
    }
}
