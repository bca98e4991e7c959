//! `ottla perf` against a real node: what it moved is there, what it says was lost is lost, and the yardstick answers.

use ottla_e2e::calls::batch;
use ottla_e2e::process::{Running, signal};
use ottla_e2e::{Node, ottla, run};
use serde_json::{Value, json};

const ALL: i16 = -1;

/// The report of a run that ended well.
#[track_caller]
fn perf(node: &Node, arguments: &[&str]) -> Value {
    node.ottla(&[&["perf", "--json"], arguments].concat()).ok().json()
}

#[test]
fn what_is_produced_is_there_and_is_consumed() {
    let node = Node::start();
    let id = node.process_id().to_string();
    let shape = ["--create", "--partitions", "3", "--connections", "2", "--batch-records", "50", "--record-size", "64"];
    let produced = perf(&node, &[&["produce", "load", "--records", "6000", "--pid", &id][..], &shape].concat());
    assert_eq!((&produced["work"], &produced["records"], &produced["requests"]), (&json!("produce"), &json!(6000), &json!(120)));
    assert_eq!((&produced["partitions"], &produced["connections"]), (&json!(3), &json!(2)));
    assert_eq!(produced["latency_ms"]["count"], json!(120));
    assert!(produced["broker"]["rss_mib"].as_f64().is_some_and(|mib| mib > 1.0), "{produced}");

    // The client that has nothing in common with it reads the same, and each record is as long as was asked for.
    let mut caller = node.caller();
    let found: Vec<_> = (0..3).flat_map(|partition| caller.consume_all("load", partition, 0)).collect();
    assert_eq!(found.len(), 6000);
    assert!(found.iter().all(|record| record.value.as_ref().is_some_and(|value| value.len() == 64)));

    let consumed = perf(&node, &["consume", "load", "--connections", "3"]);
    assert_eq!((&consumed["records"], &consumed["bytes"]), (&produced["records"], &produced["bytes"]));
    assert_eq!(perf(&node, &["consume", "load", "--client", "native", "--records", "6000"])["records"], json!(6000));
    node.ottla(&["perf", "produce", "load", "--create", "--partitions", "3"]).failed().says("load");
}

#[test]
fn a_request_to_many_partitions_reaches_each_and_every_codec_arrives() {
    let node = Node::start();
    let arguments =
        ["produce", "wide", "--create", "--partitions", "20", "--partitions-per-request", "20", "--batch-records", "2", "--records", "400"];
    let wide = perf(&node, &arguments);
    assert_eq!((&wide["records"], &wide["requests"]), (&json!(400), &json!(10)));
    let mut caller = node.caller();
    for partition in 0..20 {
        assert_eq!(caller.consume_all("wide", partition, 0).len(), 20, "partition {partition}");
    }
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let records = ["--create", "--partitions", "1", "--compression", codec, "--batch-records", "100", "--records", "1000"];
        let packed = perf(&node, &[&["produce", codec][..], &records].concat());
        let consumed = perf(&node, &["consume", codec]);
        assert_eq!((&consumed["records"], &consumed["bytes"]), (&json!(1000), &packed["bytes"]), "{codec}");
    }
}

#[test]
fn latency_and_idle_connections_are_told_for_all_that_were_asked_for() {
    let node = Node::start();
    let end_to_end = perf(
        &node,
        &["end-to-end", "latency", "--create", "--partitions", "2", "--rate", "100", "--seconds", "2", "--warm-up-seconds", "0"],
    );
    assert_eq!(end_to_end["records"], json!(200));
    assert_eq!(end_to_end["latency_ms"]["count"], json!(200), "{end_to_end}");
    let id = node.process_id().to_string();
    let held = perf(&node, &["connections", "--count", "50", "--hold-seconds", "0", "--pid", &id]);
    assert_eq!(held["held"], json!(50));
    assert!(held["rss_held_mib"].as_f64().is_some_and(|mib| mib > 1.0), "{held}");
    assert_eq!(perf(&node, &["ready", "latency"])["partitions"], json!(2));
    node.ottla(&["perf", "ready", "latency", "--partitions", "3", "--timeout-seconds", "0"]).failed().says("2 partitions");
}

#[test]
fn offsets_that_are_committed_are_served_and_after_a_kill_as_well() {
    let mut node = Node::start();
    let commits =
        perf(&node, &["commits", "load", "--create", "--partitions", "3", "--groups", "40", "--connections", "4", "--rounds", "2"]);
    assert_eq!((&commits["commits"], &commits["offsets"], &commits["connections"]), (&json!(80), &json!(240), &json!(4)), "{commits}");
    assert_eq!(commits["latency_ms"]["count"], json!(80));
    node.kill();
    node.start_again();
    assert_eq!(perf(&node, &["committed", "load", "--partitions", "3", "--groups", "40"])["groups"], json!(40));
    node.ottla(&["perf", "committed", "load", "--partitions", "3", "--groups", "41"]).failed().says("group `perf-40` has committed -1");
}

#[test]
fn a_group_is_shared_out_by_both_protocols_and_again_when_one_leaves() {
    let node = Node::start();
    node.ottla(&["topic", "create", "load", "--partitions", "7"]).ok();
    for protocol in ["classic", "consumer"] {
        let group = ["group", "load", "--members", "5", "--protocol", protocol, "--group", protocol, "--heartbeat-ms", "50"];
        let report = perf(&node, &group);
        assert_eq!((&report["members"], &report["partitions"], &report["protocol"]), (&json!(5), &json!(7), &json!(protocol)), "{report}");
        assert!(report["left_generation"].as_i64() > report["joined_generation"].as_i64(), "{report}");
    }
}

/// A node with a ledger of two partitions, and the ledger's file.
fn written(idempotent: bool) -> (Node, String) {
    let node = Node::start();
    let file = node.data_dir().with_file_name("ledger.txt").display().to_string();
    let mut arguments = vec!["ledger", "book", "--create", "--partitions", "2", "--seconds", "2", "--file", &file];
    if idempotent {
        arguments.push("--idempotent");
    }
    let ledger = perf(&node, &arguments);
    let lines = std::fs::read_to_string(&file).expect("the ledger is written").lines().count();
    assert_eq!((ledger["acknowledged"].as_u64(), ledger["silent_partitions"].as_u64()), (Some(lines as u64), Some(0)));
    (node, file)
}

#[test]
fn an_audit_finds_nothing_lost_where_nothing_is_even_after_a_kill() {
    for idempotent in [false, true] {
        let (mut node, file) = written(idempotent);
        node.kill();
        node.start_again();
        let audit = perf(&node, &["audit", "book", "--file", &file, "--no-duplicates"]);
        assert_eq!(audit["acknowledged"], audit["read"], "{audit}");
        for what in
            ["lost", "moved", "changed", "out_of_order", "duplicates", "unacknowledged", "foreign", "damaged_batches", "offset_gaps"]
        {
            assert_eq!(audit[what], json!(0), "{what}: {audit}");
        }
    }
}

/// The report of an audit that fails, as it must.
#[track_caller]
fn failed_audit(node: &Node, file: &str) -> Value {
    let finished = node.ottla(&["perf", "--json", "audit", "book", "--file", file]).failed().says("does not hold what it has acknowledged");
    assert_eq!(finished.code, Some(1), "{finished}");
    finished.json()
}

#[test]
fn an_audit_finds_what_is_lost() {
    let (node, file) = written(false);
    node.ottla(&["topic", "delete", "book"]).ok();
    node.ottla(&["topic", "create", "book", "--partitions", "2"]).ok();
    let audit = failed_audit(&node, &file);
    assert!(audit["acknowledged"].as_u64().is_some_and(|count| count > 0), "{audit}");
    assert_eq!((&audit["lost"], &audit["read"]), (&audit["acknowledged"], &json!(0)), "{audit}");
    assert!(audit["findings"].to_string().contains("is lost"), "{audit}");
}

#[test]
fn an_audit_finds_one_record_that_is_lost_among_many() {
    let (node, file) = written(false);
    // A promise more than the node has given: what it would look like if the last record were gone.
    let mut ledger = std::fs::read_to_string(&file).expect("the ledger is there");
    let last = ledger.lines().last().expect("a line").to_owned();
    let words: Vec<&str> = last.split(' ').collect();
    let next = |word: &str| word.parse::<u64>().expect("a number") + 1;
    ledger.push_str(&format!("{} {} {} {}\n", words[0], words[1], next(words[2]), next(words[3])));
    std::fs::write(&file, ledger).expect("the ledger can be written");
    let audit = failed_audit(&node, &file);
    assert_eq!((&audit["lost"], &audit["moved"], &audit["changed"]), (&json!(1), &json!(0), &json!(0)), "{audit}");
}

#[test]
fn an_audit_tells_others_records_from_the_ledgers() {
    let (node, file) = written(false);
    let answer = node.caller().produce("book", 0, &batch(&[b"not of the ledger"]), ALL);
    assert_eq!(answer.error_code, 0);
    let audit = perf(&node, &["audit", "book", "--file", &file]);
    assert_eq!((&audit["foreign"], &audit["lost"]), (&json!(1), &json!(0)), "{audit}");
    node.ottla(&["perf", "audit", "book", "--file", &file, "--min-acknowledged", "1000000000"]).failed().says("--min-acknowledged");
}

#[test]
fn histories_are_kept_through_a_kill_and_a_history_that_tells_otherwise_is_found_out() {
    let mut node = Node::start();
    let file = |name: &str| node.data_dir().with_file_name(name).display().to_string();
    let (writes, moves, address) = (file("writes.txt"), file("moves.txt"), node.address().to_string());
    node.ottla(&["topic", "create", "in", "--partitions", "3"]).ok();
    node.ottla(&["topic", "create", "out", "--partitions", "2"]).ok();
    let moving = ["history", "in", "--move-to", "out", "--group", "g", "--transactional-id", "m", "--client", "1", "--file", &moves];
    let moving = [&["perf", "--json", "--bootstrap-server", &address][..], &moving[..], &["--seconds", "3600"]].concat();
    let mut mover = Running::start(&mut ottla(&moving));
    let written = perf(&node, &["history", "in", "--transactional-id", "w", "--file", &writes, "--seconds", "2"]);
    assert!(written["committed"].as_u64() > Some(0) && written["unknown"] == json!(0), "{written}");
    let check = ["history-check", "in", "--moved-to", "out", "--file", &writes, "--file", &moves];
    perf(&node, &[&check[..], &["--settle-seconds", "30"]].concat());
    signal(mover.id(), "INT");
    mover.wait_until(|said| said.contains("transactional_id"));
    drop(mover);
    node.kill();
    node.start_again();
    let checked = perf(&node, &check);
    assert!(checked["committed"].as_u64() > written["committed"].as_u64() && checked["moves"].as_u64() > Some(0), "{checked}");
    let findings = checked["findings"].as_object().expect("findings");
    assert!(findings.values().filter_map(Value::as_u64).all(|count| count == 0), "{checked}");

    // A commit that was none, as the client would tell.
    let told = std::fs::read_to_string(&writes).expect("the history is there");
    std::fs::write(&writes, told.replacen(" committed", " aborted", 1)).expect("the history can be written");
    let finished = node.ottla(&[&["perf", "--json"], &check[..]].concat()).failed().says("does not show what its transactions came to");
    let found = finished.json();
    assert!(found["findings"]["aborted_read"].as_u64() > Some(0), "{found}");
    assert_eq!((&found["findings"]["lost"], &found["findings"]["unmoved"]), (&json!(0), &json!(0)), "{found}");
}

#[test]
fn the_yardstick_takes_and_gives_what_a_broker_would() {
    let port = ottla_e2e::ports::Port::take();
    let address = format!("127.0.0.1:{}", port.number());
    let mut limit = Running::start(&mut ottla(&["perf", "limit", "--listen", &address, "--served-mib", "8"]));
    limit.wait_until(|said| said.contains("listens on"));
    let called =
        |arguments: &[&str]| run(&mut ottla(&[&["perf", "--json", "--bootstrap-server", &address], arguments].concat())).ok().json();
    let produced = called(&["produce", "any", "--batch-records", "10", "--records", "1000"]);
    assert_eq!((&produced["records"], &produced["requests"]), (&json!(1000), &json!(100)));
    let consumed = called(&["consume", "any", "--partitions", "1", "--mib", "4", "--no-check"]);
    assert!(consumed["bytes"].as_u64().is_some_and(|bytes| bytes >= 4 << 20), "{consumed}");
}
