//! Transactions of Java's clients: consume, transform, produce; Kafka Streams; and Kafka's own tool for transactions.

use std::collections::BTreeMap;
use std::process::Command;

use ottla_e2e::calls::batch;
use ottla_e2e::java::{CONSOLE_CONSUMER, TRANSACTIONS, app, command, kafka};
use ottla_e2e::process::{Finished, Running, run, signal};
use ottla_e2e::transforms::{Programs, transforms_exactly_once};
use ottla_e2e::{DEADLINE, Node};

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn records_are_moved_exactly_once_though_the_program_and_the_node_die() {
    let transform = |arguments: &[&str]| app("Transform", arguments);
    let read = |arguments: &[&str]| app("Read", arguments);
    transforms_exactly_once(&Programs { transform: &transform, read: &read });
}

const LINES: &str = "lines";
const COUNTS: &str = "counts";
const PARTITIONS: i32 = 2;
const WORDS: [&str; 7] = ["log", "offset", "leader", "epoch", "fetch", "batch", "group"];

/// Lines of words into each partition; adds them to what is expected of the counts.
#[track_caller]
fn write_lines(node: &Node, expected: &mut BTreeMap<&'static str, usize>, lines: usize) {
    for partition in 0..PARTITIONS {
        let words_of = |line: usize| [WORDS[line % 7], WORDS[(line * line + 3) % 7], WORDS[(line / 2) % 7]];
        let text: Vec<String> = (0..lines).map(|line| words_of(line).join(" ")).collect();
        for word in (0..lines).flat_map(words_of) {
            *expected.entry(word).or_default() += 1;
        }
        let batch = batch(&text.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert_eq!(node.caller().produce(LINES, partition, &batch, -1).error_code, 0);
    }
}

/// Each count of each word that was ever committed, in the order it was.
#[track_caller]
fn counts(address: &str) -> BTreeMap<String, Vec<usize>> {
    let mut counts = BTreeMap::<String, Vec<usize>>::new();
    for line in run(&mut app("Read", &[COUNTS, address])).ok().stdout.lines() {
        let (word, count) = line.split_once('=').unwrap_or_else(|| panic!("no count in {line}"));
        counts.entry(word.to_owned()).or_default().push(count.parse().unwrap_or_else(|_| panic!("no count in {line}")));
    }
    counts
}

/// Asks again until so many counts are there: who commits them is another process, and does not tell.
#[track_caller]
fn wait_for_counts(address: &str, all: usize) -> BTreeMap<String, Vec<usize>> {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let counts = counts(address);
        if counts.values().map(Vec::len).sum::<usize>() >= all {
            return counts;
        }
        assert!(std::time::Instant::now() < deadline, "{all} are not there: {counts:?}");
    }
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_streams_counts_each_word_exactly_once_though_it_and_the_node_die() {
    let mut node = Node::with().set("group.initial.rebalance.delay.ms", "0").start();
    for topic in [LINES, COUNTS] {
        assert_eq!(node.caller().create_topic(topic, PARTITIONS, &[]), 0);
    }
    let address = node.address();
    let state_dir = node.data_dir().with_file_name("streams").display().to_string();
    let start = || Running::start(&mut app("WordCount", &[LINES, COUNTS, &state_dir, &address]));
    let mut expected = BTreeMap::new();
    let total = |expected: &BTreeMap<&str, usize>| expected.values().sum::<usize>();

    write_lines(&node, &mut expected, 50);
    let first = start();
    wait_for_counts(&address, 1);
    write_lines(&node, &mut expected, 200);
    signal(first.id(), "KILL");
    drop(first);
    let second = start();
    wait_for_counts(&address, total(&expected));

    write_lines(&node, &mut expected, 100);
    node.kill();
    node.start_again();
    write_lines(&node, &mut expected, 50);
    wait_for_counts(&address, total(&expected));
    second.stop();
    // What it would count again it has counted by now.
    let counts = counts(&address);
    for (word, times) in &expected {
        // A word that is counted twice, or whose count is forgotten, breaks the row.
        let row: Vec<usize> = (1..=*times).collect();
        assert_eq!(counts.get(*word), Some(&row), "{word}");
    }
    assert_eq!(counts.len(), expected.len(), "{counts:?}");
}

#[track_caller]
fn transactions(node: &Node, arguments: &[&str]) -> Finished {
    kafka(TRANSACTIONS, &[&["--bootstrap-server", &node.address()], arguments].concat())
}

/// The line of a table that holds this word, as words.
#[track_caller]
fn row(said: &Finished, word: &str) -> Vec<String> {
    let line = said.stdout.lines().find(|line| line.split_whitespace().any(|known| known == word));
    line.unwrap_or_else(|| panic!("no `{word}` in {said}")).split_whitespace().map(str::to_owned).collect()
}

fn hanging(node: &Node, id: &str) -> Running {
    let mut program = Running::start(&mut app("Hang", &[id, "events", &node.address()]));
    program.wait_until(|said| said.contains("open\n"));
    program
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_transactions_lists_describes_and_ends_transactions() {
    let node = Node::start();
    assert_eq!(node.caller().create_topic("events", 1, &[]), 0);
    let programs = [hanging(&node, "left"), hanging(&node, "forced")];

    let listed = transactions(&node, &["list"]).ok();
    assert_eq!(row(&listed, "left")[3], "Ongoing", "{listed}");
    let described = transactions(&node, &["describe", "--transactional-id", "left"]).ok().says("events-0");
    assert!(row(&described, "left").contains(&"Ongoing".to_owned()), "{described}");
    let producers = transactions(&node, &["describe-producers", "--topic", "events", "--partition", "0"]).ok();
    let producer_ids = ["left", "forced"].map(|id| row(&listed, id)[2].clone());
    for id in &producer_ids {
        assert_eq!(row(&producers, id)[0], *id, "{producers}");
    }
    // None hangs that its coordinator knows of.
    let found = transactions(&node, &["find-hanging", "--broker-id", "1", "--max-transaction-timeout", "0"]).ok();
    assert!(!producer_ids.iter().any(|id| found.stdout.split_whitespace().any(|word| word == id)), "{found}");

    // Nothing behind the first of the two is shown to who reads what is committed, until both have ended.
    transactions(&node, &["forceTerminateTransaction", "--transactionalId", "forced"]).ok();
    transactions(&node, &["abort", "--topic", "events", "--partition", "0", "--start-offset", "0"]).ok();
    let producers = transactions(&node, &["describe-producers", "--topic", "events", "--partition", "0"]).ok();
    for id in &producer_ids {
        assert_eq!(row(&producers, id).last().map(String::as_str), Some("None"), "no transaction is open: {producers}");
    }
    assert_eq!(node.caller().produce("events", 0, &batch(&[b"after"]), -1).error_code, 0);
    assert_eq!(run(&mut app("Read", &["events", &node.address()])).ok().stdout.trim(), "after");
    drop(programs);
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafkas_formatter_prints_the_topic_of_transactions() {
    let node = Node::with().set("transaction.state.log.num.partitions", "1").start();
    assert_eq!(node.caller().create_topic("events", 1, &[]), 0);
    let program = hanging(&node, "mover");
    let count = node.caller().end_offset("__transaction_state", 0).to_string();
    let address = node.address();
    let formatter = "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter";
    let arguments = ["--bootstrap-server", &address, "--topic", "__transaction_state", "--partition", "0", "--offset", "earliest"];
    let mut consumer: Command =
        command(CONSOLE_CONSUMER, &[&arguments[..], &["--max-messages", &count, "--formatter", formatter]].concat());
    let said = run(&mut consumer).ok();
    let values: Vec<serde_json::Value> = serde_json::Deserializer::from_str(&said.stdout)
        .into_iter()
        .map(|value| value.unwrap_or_else(|error| panic!("{error} in {said}")))
        .collect();
    assert!(values.iter().all(|value| value["key"]["data"]["transactionalId"] == "mover"), "{said}");
    let last = &values.last().expect("a record for each step")["value"]["data"];
    assert_eq!(last["transactionPartitions"], serde_json::json!([{"topic": "events", "partitionIds": [0]}]), "{said}");
    drop(program);
}
