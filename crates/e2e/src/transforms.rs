//! Consume, transform, produce in transactions: what programs with different clients are held to, all in the same way.
//!
//! Owns the course of such a test. How the programs are built and started is their tests' own.

use std::process::Command;

use crate::Node;
use crate::calls::batch;
use crate::process::{Running, run, signal};

/// The topic that a program reads from.
pub const FROM: &str = "input";
/// The topic that it writes to, each value with a `!` behind it.
pub const TO: &str = "output";
const GROUP: &str = "transformers";
const PARTITIONS: i32 = 3;
/// Records of one round, in each partition.
const RECORDS: usize = 40;

/// Two programs with one client, as [`transforms_exactly_once`] starts them.
pub struct Programs<'a> {
    /// `transform TRANSACTIONAL_ID GROUP FROM TO BROKER`: prints `committed COUNT` for each transaction, and goes on until
    /// SIGTERM.
    pub transform: &'a dyn Fn(&[&str]) -> Command,
    /// `read TOPIC BROKER`: prints all values that are committed, and ends.
    pub read: &'a dyn Fn(&[&str]) -> Command,
}

/// A program that dies, and a node that dies, cost no record, and give none twice.
#[track_caller]
pub fn transforms_exactly_once(programs: &Programs<'_>) {
    let mut node = node();
    for topic in [FROM, TO] {
        assert_eq!(node.caller().create_topic(topic, PARTITIONS, &[]), 0);
    }
    let address = node.address();
    let start = || Running::start(&mut (programs.transform)(&["mover-1", GROUP, FROM, TO, &address]));
    let mut expected = Vec::new();
    let mut produce = |node: &Node, round: &str| {
        for partition in 0..PARTITIONS {
            let values: Vec<String> = (0..RECORDS).map(|number| format!("{round} {partition} {number}")).collect();
            let batch = batch(&values.iter().map(String::as_bytes).collect::<Vec<_>>());
            assert_eq!(node.caller().produce(FROM, partition, &batch, -1).error_code, 0);
            expected.extend(values.into_iter().map(|value| value + "!"));
        }
    };

    produce(&node, "the program dies");
    let mut first = start();
    first.wait_until(|said| committed(said) >= RECORDS / 2);
    signal(first.id(), "KILL");
    drop(first);
    let mut second = start();
    second.wait_until(|said| said.contains("committed "));

    produce(&node, "the node dies");
    let so_far = committed(second.so_far());
    second.wait_until(|said| committed(said) > so_far);
    node.kill();
    node.start_again();
    produce(&node, "all is well");
    wait_for_all(programs, &address, &mut second, expected.len());
    let (status, said) = second.stop();
    // Java says by its exit code that it was asked to end.
    assert!(matches!(status.code(), Some(0 | 143)), "{status}: {said}");

    expected.sort_unstable();
    let moved = read(programs, &address);
    let twice: Vec<_> = moved.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    let lost: Vec<_> = expected.iter().filter(|value| moved.binary_search(value).is_err()).collect();
    assert!(twice.is_empty() && lost.is_empty(), "{twice:?} twice, {lost:?} never; the last program said\n{said}");
    assert!(moved == expected, "{moved:?} is not {expected:?}");
    let told = node.ottla(&["group", "describe", GROUP, "--json"]).ok().json();
    let offsets = told["partitions"].as_array().expect("partitions").iter().filter_map(|row| row["offset"].as_i64());
    assert_eq!(offsets.sum::<i64>(), expected.len() as i64, "the offsets are those of what was moved: {told}");
}

/// A node that soon gives to others what a member had that died, by both protocols.
#[track_caller]
fn node() -> Node {
    let mut builder = Node::with().set("group.initial.rebalance.delay.ms", "0");
    for (what, ms) in [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")] {
        builder = builder.set(&format!("group.consumer.{what}"), ms).set(&format!("group.consumer.min.{what}"), ms);
    }
    builder.start()
}

/// How many records a program says that it has moved.
fn committed(said: &str) -> usize {
    // The last line may not be whole yet.
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    whole.lines().filter_map(|line| line.strip_prefix("committed ")?.parse::<usize>().ok()).sum()
}

/// Until all is there: each transaction that the program reports is a chance to look again.
#[track_caller]
fn wait_for_all(programs: &Programs<'_>, address: &str, program: &mut Running, all: usize) {
    loop {
        let seen = committed(program.so_far());
        if read(programs, address).len() >= all {
            return;
        }
        program.wait_until(|said| committed(said) > seen);
    }
}

/// What is committed, in ascending order.
#[track_caller]
fn read(programs: &Programs<'_>, address: &str) -> Vec<String> {
    let said = run(&mut (programs.read)(&[TO, address])).ok().stdout;
    let mut values: Vec<String> = said.lines().map(str::to_owned).collect();
    values.sort_unstable();
    values
}
