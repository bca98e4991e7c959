//! The native command line against a node: what goes in comes out, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ottla_e2e::process::{Running, ottla, run};
use ottla_e2e::{Finished, Node};
use serde_json::{Value, json};

#[track_caller]
fn one(finished: &Finished) -> Value {
    let mut lines = finished.json_lines();
    assert_eq!(lines.len(), 1, "{finished}");
    lines.remove(0)
}

#[test]
fn a_topic_is_made_listed_described_altered_and_deleted() {
    let node = Node::start();
    let made = one(&node.ottla(&["topic", "create", "orders", "--partitions", "3", "--config", "retention.ms=60000", "--json"]).ok());
    assert_eq!((&made["topic"], &made["partitions"], &made["replication_factor"]), (&json!("orders"), &json!(3), &json!(1)));
    let id = made["topic_id"].as_str().expect("an id").to_owned();
    assert_eq!(id.len(), 22, "{made}");
    node.ottla(&["topic", "create", "audit"]).ok().says("audit");

    let listed = node.ottla(&["topic", "list", "--json"]).ok().json_lines();
    let names: Vec<_> = listed.iter().map(|topic| (topic["topic"].as_str(), topic["partitions"].as_i64())).collect();
    assert_eq!(names, [(Some("audit"), Some(1)), (Some("orders"), Some(3))]);
    let table = node.ottla(&["topic", "list"]).ok();
    assert!(table.stdout.lines().any(|line| line.split_whitespace().eq(["orders", "3", "1"])), "{table}");

    let described = one(&node.ottla(&["topic", "describe", "orders", "--json"]).ok());
    assert_eq!(described["topic_id"], json!(id));
    assert_eq!(described["configs"], json!({"retention.ms": "60000"}));
    let partitions = described["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.len(), 3);
    for (number, partition) in partitions.iter().enumerate() {
        assert_eq!(partition["partition"], json!(number));
        assert_eq!((&partition["leader"], &partition["replicas"], &partition["isr"]), (&json!(1), &json!([1]), &json!([1])));
    }

    node.ottla(&["topic", "alter", "orders", "--partitions", "4", "--config", "write.caching=true", "--delete-config", "retention.ms"])
        .ok();
    let described = one(&node.ottla(&["topic", "describe", "orders", "--json"]).ok());
    assert_eq!(described["configs"], json!({"write.caching": "true"}));
    assert_eq!(described["partitions"].as_array().map(Vec::len), Some(4));

    node.ottla(&["topic", "delete", "orders"]).ok();
    let listed = node.ottla(&["topic", "list", "--json"]).ok().json_lines();
    assert_eq!(listed.len(), 1);
    node.ottla(&["topic", "describe", "orders"]).failed().says("orders");
}

#[test]
fn configs_are_set_shown_and_taken_back() {
    let node = Node::start();
    node.ottla(&["topic", "create", "orders"]).ok();
    node.ottla(&["config", "set", "--topic", "orders", "retention.ms=3600000", "write.caching=true"]).ok();
    let shown = node.ottla(&["config", "describe", "--topic", "orders"]).ok();
    assert!(shown.stdout.contains("retention.ms") && shown.stdout.contains("3600000"), "{shown}");
    node.ottla(&["config", "delete", "--topic", "orders", "retention.ms"]).ok();
    let shown = node.ottla(&["config", "describe", "--topic", "orders"]).ok();
    assert!(!shown.stdout.contains("retention.ms") && shown.stdout.contains("write.caching"), "{shown}");
    node.ottla(&["config", "set", "--topic", "orders", "retention.ms=soon"]).failed().says("retention.ms");
}

#[test]
fn lines_go_in_and_come_out_with_each_codec() {
    let node = Node::start();
    node.ottla(&["topic", "create", "words", "--partitions", "1"]).ok();
    let mut expected = String::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut input = String::new();
        for number in 0..500 {
            writeln!(input, "{codec} {number} {}", "compressible ".repeat(number % 5)).expect("a string takes all");
        }
        node.ottla_with_input(&["produce", "words", "--compression", codec], &input).ok();
        expected.push_str(&input);
    }
    assert_eq!(node.ottla(&["consume", "words"]).ok().stdout, expected);
}

#[test]
fn json_tells_where_each_record_went_and_what_it_holds() {
    let node = Node::start();
    node.ottla(&["topic", "create", "orders", "--partitions", "5"]).ok();
    let input: String = (0..100).map(|number| format!("customer-{number}:{{\"total\": {number}}}\n")).collect();
    let arguments = ["produce", "orders", "--key-separator", ":", "--header", "source=test", "--json"];
    let written = node.ottla_with_input(&arguments, &input).ok().json_lines();
    assert_eq!(written.len(), 100);

    let place = |record: &Value| (record["partition"].as_i64().expect("a partition"), record["offset"].as_i64().expect("an offset"));
    let consumed: BTreeMap<_, _> =
        node.ottla(&["consume", "orders", "--json"]).ok().json_lines().into_iter().map(|record| (place(&record), record)).collect();
    assert_eq!(consumed.len(), 100);
    for (number, record) in written.iter().enumerate() {
        let found = &consumed[&place(record)];
        assert_eq!(found["key"], json!(format!("customer-{number}")));
        assert_eq!(found["value"], json!(format!("{{\"total\": {number}}}")));
        assert_eq!(found["timestamp"], record["timestamp"]);
        assert!(found["headers"].to_string().contains("source"), "{found}");
    }
}

#[test]
fn consume_starts_and_stops_where_it_is_told() {
    let node = Node::start();
    node.ottla(&["topic", "create", "numbers", "--partitions", "1"]).ok();
    let input: String = (0..50).map(|number| format!("{number}\n")).collect();
    node.ottla_with_input(&["produce", "numbers"], &input).ok();
    let consumed = |arguments: &[&str]| {
        let finished = node.ottla(&[&["consume", "numbers"], arguments].concat()).ok();
        finished.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(consumed(&["--from", "45"]), ["45", "46", "47", "48", "49"]);
    assert_eq!(consumed(&["--from", "-3"]), ["47", "48", "49"]);
    assert_eq!(consumed(&["--from", "10", "--max-messages", "2"]), ["10", "11"]);
    assert_eq!(consumed(&["--from", "48", "--print", "partition,offset,value", "--separator", "/"]), ["0/48/48", "0/49/49"]);
    assert!(consumed(&["--from", "end"]).is_empty());
}

#[test]
fn consume_follows_what_comes() {
    let node = Node::start();
    node.ottla(&["topic", "create", "news"]).ok();
    let mut follower = Running::start(&mut node.ottla_command(&["consume", "news", "--from", "beginning", "--follow"]));
    for number in 0..3 {
        let line = format!("item {number}");
        node.ottla_with_input(&["produce", "news"], &format!("{line}\n")).ok();
        follower.wait_until(|said| said.contains(&line));
    }
}

#[test]
fn a_topic_is_made_on_first_use() {
    let node = Node::start();
    node.ottla_with_input(&["produce", "fresh"], "hello\n").ok();
    assert_eq!(node.ottla(&["consume", "fresh"]).ok().stdout, "hello\n");
}

#[test]
fn a_failure_is_one_line_that_says_what_to_do() {
    let node = Node::with().set("auto.create.topics.enable", "false").start();
    for (arguments, named) in [
        (&["topic", "create", "a b"][..], "a b"),
        (&["topic", "create", "copies", "--replication-factor", "2"], "replication"),
        (&["topic", "create", "odd", "--config", "retention.ms=soon"], "retention.ms"),
        (&["topic", "delete", "absent"], "absent"),
        (&["topic", "alter", "absent", "--partitions", "3"], "absent"),
        (&["consume", "absent"], "absent"),
    ] {
        let finished = node.ottla(arguments).failed().says(named);
        assert_eq!(finished.code, Some(1), "{finished}");
        assert_eq!(finished.stderr.trim_end().lines().count(), 1, "{finished}");
        assert_eq!(finished.stdout, "", "{finished}");
    }
    let nobody = ottla_e2e::ports::Port::take();
    let address = format!("127.0.0.1:{}", nobody.number());
    run(&mut ottla(&["topic", "list", "--bootstrap-server", &address])).failed().says(&address);
    run(&mut ottla(&["topic", "fly"])).failed().says("fly");
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in [&["serve"][..], &["topic"], &["topic", "create"], &["produce"], &["consume"], &["txn"], &["txn", "abort"], &["config"]]
    {
        let help = run(&mut ottla(&[command, &["--help"]].concat())).ok();
        assert!(help.stdout.contains("Example"), "{help}");
    }
}
