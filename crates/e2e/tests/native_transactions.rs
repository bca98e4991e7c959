//! Transactions by the native client's command line: all lines or none, seen once they are committed, listed and described.

use ottla_e2e::Node;
use ottla_e2e::calls::produce_request;
use ottla_e2e::process::Running;
use ottla_wire::batch::BatchBuilder;
use ottla_wire::compress::Compression;
use ottla_wire::message::produce::{ProduceRequest, ProduceResponse};
use serde_json::{Value, json};

const TOPIC: &str = "bills";

#[track_caller]
fn node() -> Node {
    let node = Node::start();
    node.ottla(&["topic", "create", TOPIC, "--partitions", "1"]).ok();
    node
}

#[track_caller]
fn consumed(node: &Node, isolation: &str) -> Vec<Value> {
    let finished = node.ottla(&["consume", TOPIC, "--isolation-level", isolation, "--json"]).ok();
    finished.json_lines().iter().map(|record| json!([record["offset"], record["value"]])).collect()
}

#[test]
fn lines_of_one_transaction_are_seen_and_reading_ends_behind_its_marker() {
    let node = node();
    for (input, expected) in [("a\nb\n", json!([[0, "a"], [1, "b"]])), ("c\n", json!([[0, "a"], [1, "b"], [3, "c"]]))] {
        node.ottla_with_input(&["produce", TOPIC, "--transactional-id", "loader"], input).ok();
        for isolation in ["read-uncommitted", "read-committed"] {
            assert_eq!(json!(consumed(&node, isolation)), expected, "{isolation}");
        }
    }
    let group = node.ottla(&["consume", TOPIC, "--group", "g", "--isolation-level", "read-committed"]).ok();
    assert_eq!(group.stdout, "a\nb\nc\n");
}

#[test]
fn a_line_that_cannot_be_sent_takes_all_of_them_back() {
    let node = node();
    let arguments = ["produce", TOPIC, "--transactional-id", "loader", "--key-separator", ":"];
    node.ottla_with_input(&arguments, "k:a\nno key\n").failed().says("line 2").says("was not committed");
    assert!(consumed(&node, "read-committed").is_empty());
    node.ottla_with_input(&arguments, "k:b\n").ok();
    let values: Vec<Value> = consumed(&node, "read-committed").iter().map(|record| record[1].clone()).collect();
    assert_eq!(values, [json!("b")]);
}

#[test]
fn a_transaction_that_is_open_is_told_of_and_fenced_by_the_next_producer_of_its_id() {
    let node = node();
    node.ottla(&["txn", "list"]).ok().says("No transactional ids yet");
    node.ottla(&["txn", "describe", "loader"]).failed().says("TRANSACTIONAL_ID_NOT_FOUND").says("ottla txn list");
    let mut open =
        Running::start_with_open_input(&mut node.ottla_command(&["produce", TOPIC, "--transactional-id", "loader", "--json"]), "a\n");
    open.wait_until(|said| said.contains("\"offset\":0"));
    let listed = node.ottla(&["txn", "list", "--state", "ongoing", "--json"]).ok().json();
    assert_eq!((&listed["transactional_id"], &listed["state"], &listed["coordinator"]), (&json!("loader"), &json!("Ongoing"), &json!(1)));
    let described = node.ottla(&["txn", "describe", "loader", "--json"]).ok().json();
    assert_eq!((&described["partitions"], &described["timeout_ms"]), (&json!({TOPIC: [0]}), &json!(60_000)));
    assert!(consumed(&node, "read-committed").is_empty(), "it is open");
    // It is young, and its coordinator knows it.
    node.ottla(&["txn", "find-hanging", "--topic", TOPIC]).ok().says("No transaction hangs");
    node.ottla(&["txn", "find-hanging", "--topic", TOPIC, "--max-timeout", "0ms"]).ok().says("No transaction hangs");
    node.ottla_with_input(&["produce", TOPIC, "--transactional-id", "loader"], "b\n").ok();
    let values: Vec<Value> = consumed(&node, "read-committed").iter().map(|record| record[1].clone()).collect();
    assert_eq!(values, [json!("b")], "what the fenced one wrote is aborted");
    let listed = node.ottla(&["txn", "list", "--json"]).ok().json();
    assert_eq!(listed["state"], json!("CompleteCommit"));
    node.ottla(&["txn", "abort", "bills:0", "--start-offset", "0"]).failed().says("no open transaction of bills-0 begins at offset 0");
}

/// As a producer of an old version leaves one whose coordinator has forgotten it, or never knew (KIP-664).
fn leave_hanging(node: &Node, value: &[u8]) {
    /// The last version of Produce that does not have the coordinator asked to take the partition in.
    const BEFORE_IMPLICIT_ADD: i16 = 11;
    let mut batch = BatchBuilder::new(Compression::None, usize::MAX).producer(4711, 3, 0).transactional();
    batch.append(1_000, None, Some(value), &[]).expect("it fits");
    let batch = batch.build().expect("it can be built");
    let request = ProduceRequest { transactional_id: Some("ghost"), ..produce_request(TOPIC, 0, &batch, -1) };
    let answer = node.caller().call(&request, BEFORE_IMPLICIT_ADD);
    assert_eq!(answer.decode::<ProduceResponse<'_>>().responses[0].partition_responses[0].error_code, 0);
}

#[test]
fn a_transaction_that_hangs_is_found_and_aborted() {
    // Its coordinator would have said that it takes no part.
    let node = Node::with().set("transaction.partition.verification.enable", "false").start();
    node.ottla(&["topic", "create", TOPIC, "--partitions", "1"]).ok();
    leave_hanging(&node, b"ghost");
    node.ottla_with_input(&["produce", TOPIC, "--transactional-id", "loader"], "after\n").ok();
    assert!(consumed(&node, "read-committed").is_empty(), "all that comes behind what hangs waits for it");
    node.ottla(&["txn", "find-hanging", "--topic", TOPIC, "--max-timeout", "15m", "--json"]).ok().says("4711");
    let found = node.ottla(&["txn", "find-hanging", "--topic", TOPIC, "--max-timeout", "0ms", "--json"]).ok().json();
    let told = (&found["topic"], &found["partition"], &found["producer_id"], &found["start_offset"]);
    assert_eq!(told, (&json!(TOPIC), &json!(0), &json!(4711), &json!(0)), "{found}");
    node.ottla(&["txn", "abort", "bills:0", "--start-offset", "0"]).ok();
    let values: Vec<Value> = consumed(&node, "read-committed").iter().map(|record| record[1].clone()).collect();
    assert_eq!(values, [json!("after")]);
    node.ottla(&["txn", "find-hanging", "--topic", TOPIC, "--max-timeout", "0ms"]).ok().says("No transaction hangs");
}
