//! The two Go programs of examples/sarama against `ottla serve` with nothing configured.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ottla_e2e::namespace::isolate_or_claim;
use ottla_e2e::process::{Running, ottla, repository, run};
use tempfile::TempDir;

const MESSAGES: usize = 5;

/// What the consumer prints for the producer's `this is a test log...`: Go shows a byte slice as numbers.
fn printed_value() -> String {
    let numbers: Vec<String> = b"this is a test log...".iter().map(u8::to_string).collect();
    format!("Key:[] Value:[{}]", numbers.join(" "))
}

fn build(into: &Path) {
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(into).arg("./...").current_dir(repository().join("examples/sarama"));
    run(&mut go).ok();
}

#[test]
#[ignore = "needs Go; `cargo xtask test` runs it"]
fn both_sarama_programs_run_against_a_node_with_nothing_configured() {
    let home = TempDir::with_prefix("ottla-e2e-sarama-").expect("a folder can be made");
    build(home.path());
    isolate_or_claim(9092);
    let mut node = Running::start(ottla(&["serve"]).current_dir(home.path()));
    node.wait_until(|said| said.contains("is ready"));

    // The first message makes the topic.
    let send = || run(&mut Command::new(home.path().join("producer"))).ok().stdout;
    assert_eq!(send(), "1\n2\npid:0 offset:0");

    // The consumer reads from the newest offset on, and says nothing when it is ready: send until something arrives.
    let mut consumer = Running::start(&mut Command::new(home.path().join("consumer")));
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
