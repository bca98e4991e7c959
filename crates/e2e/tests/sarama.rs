//! The Go programs of examples/sarama: the tutorial's two against `ottla serve` with nothing configured, and a consumer group.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use ottla_e2e::Node;
use ottla_e2e::calls::batch;
use ottla_e2e::namespace::isolate_or_claim;
use ottla_e2e::process::{Running, ottla, repository, run};
use tempfile::TempDir;

const MESSAGES: usize = 5;

/// What the consumer prints for the producer's `this is a test log...`: Go shows a byte slice as numbers.
fn printed_value() -> String {
    let numbers: Vec<String> = b"this is a test log...".iter().map(u8::to_string).collect();
    format!("Key:[] Value:[{}]", numbers.join(" "))
}

/// Where the programs are, built once. That may take minutes where nothing of them was built before, and has no deadline.
fn programs() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sarama");
        std::fs::create_dir_all(&into).expect("a folder can be made");
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&into).arg("./...").current_dir(repository().join("examples/sarama"));
        let built = go.output().expect("go can be started");
        assert!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
        into
    });
    &BUILT
}

#[test]
#[ignore = "needs Go; `cargo xtask test` runs it"]
fn both_sarama_programs_run_against_a_node_with_nothing_configured() {
    let home = TempDir::with_prefix("ottla-e2e-sarama-").expect("a folder can be made");
    let programs = programs();
    isolate_or_claim(9092);
    let mut node = Running::start(ottla(&["serve"]).current_dir(home.path()));
    node.wait_until(|said| said.contains("is ready"));

    // The first message makes the topic.
    let send = || run(&mut Command::new(programs.join("producer"))).ok().stdout;
    assert_eq!(send(), "1\n2\npid:0 offset:0");

    // The consumer reads from the newest offset on, and says nothing when it is ready: send until something arrives.
    let mut consumer = Running::start(&mut Command::new(programs.join("consumer")));
    let mut sent = BTreeSet::new();
    while received(consumer.so_far()).is_empty() {
        sent.insert(offset_of(&send()));
        assert!(sent.len() < 1000, "the consumer receives nothing");
    }
    for _ in 0..MESSAGES {
        sent.insert(offset_of(&send()));
    }
    let last = *sent.last().expect("some were sent");
    let said = consumer.wait_until(|said| received(said).contains(&last));
    let got = received(said);
    let first = *got.first().expect("some were received");
    assert!(got.iter().copied().eq(first..=last), "a gap in what was received: {got:?}");
    assert!(got.is_subset(&sent) && got.len() >= MESSAGES, "sent {sent:?}, received {got:?}");
    assert!(home.path().join("ottla-data/logs-0").is_dir(), "the data lies in ./ottla-data");
}

/// The offset that the producer printed; the partition is 0, for a topic made on first use has one.
#[track_caller]
fn offset_of(said: &str) -> u64 {
    let offset = said.strip_prefix("1\n2\npid:0 offset:").and_then(|offset| offset.parse().ok());
    offset.unwrap_or_else(|| panic!("the producer said `{said}`"))
}

/// The offsets that the consumer printed, each with the value that was sent.
fn received(said: &str) -> BTreeSet<u64> {
    let value = printed_value();
    let offset = |message: &str| message.strip_suffix(&value)?.trim().parse().ok();
    // No line ends: one message follows the other. What is not whole yet does not parse.
    said.split("Partition:0 Offset:").skip(1).filter_map(offset).collect()
}

/// A member of a group, as a Go program.
fn member(node: &Node) -> Running {
    Running::start(Command::new(programs().join("group")).args(["shop", "orders", &node.address()]))
}

/// The values that a member printed.
fn values(said: &str) -> Vec<String> {
    said.lines().filter_map(|line| line.splitn(3, '/').nth(2)).map(str::to_owned).collect()
}

#[test]
#[ignore = "needs Go; `cargo xtask test` runs it"]
fn a_group_of_old_sarama_shares_commits_and_goes_on() {
    let mut node = Node::with().set("group.initial.rebalance.delay.ms", "0").start();
    assert_eq!(node.caller().create_topic("orders", 4, &[]), 0);
    let produce = |node: &Node, partition: i32, from: usize| {
        let values: Vec<String> = (from..from + 10).map(|number| format!("{partition}-{number}")).collect();
        let batch = batch(&values.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert_eq!(node.caller().produce("orders", partition, &batch, -1).error_code, 0);
        values
    };
    let mut expected: Vec<String> = (0..4).flat_map(|partition| produce(&node, partition, 0)).collect();
    let mut first = member(&node);
    first.wait_until(|said| values(said).len() == 40);
    let mut second = member(&node);
    second.wait_until(|said| said.contains("generation "));
    expected.extend((0..4).flat_map(|partition| produce(&node, partition, 10)));
    first.wait_until(|said| values(said).len() >= 60);
    second.wait_until(|said| values(said).len() >= 20);
    let mut got = Vec::new();
    for member in [first, second] {
        let (status, said) = member.stop();
        assert!(status.success(), "{said}");
        got.extend(values(&said));
    }
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected, "each record once, to the one or the other");
    node.kill();
    node.start_again();
    let more: Vec<String> = (0..4).flat_map(|partition| produce(&node, partition, 20)).collect();
    let mut third = member(&node);
    let said = third.wait_until(|said| values(said).len() >= more.len());
    let mut got = values(said);
    got.sort_unstable();
    assert_eq!(got, more, "what was marked is not given again");
}
