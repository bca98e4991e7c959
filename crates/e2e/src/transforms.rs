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
const RECORDS: usize = 100;

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
    let mut node = Node::with().set("group.initial.rebalance.delay.ms", "0").start();
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
    let all = RECORDS * usize::try_from(PARTITIONS).expect("a count") * 3;
    let end_offsets = |node: &Node| (0..PARTITIONS).map(|partition| node.caller().end_offset(FROM, partition)).sum::<i64>();
    assert_eq!(end_offsets(&node), all as i64);
    let mut last = second;
    wait_for_commits(&node, &mut last, all as i64);
    let (status, said) = last.stop();
    assert!(status.success(), "{said}");

    let mut read: Vec<String> = run(&mut (programs.read)(&[TO, &address])).ok().stdout.lines().map(str::to_owned).collect();
    read.sort_unstable();
    expected.sort_unstable();
    assert_eq!(read.len(), expected.len(), "each record once");
    assert!(read == expected, "{:?} is not {:?}", read, expected);
}

/// How many records a program says that it has moved.
fn committed(said: &str) -> usize {
    // The last line may not be whole yet.
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    whole.lines().filter_map(|line| line.strip_prefix("committed ")?.parse::<usize>().ok()).sum()
}

/// Until the group's offsets are at the end: each transaction that the program reports is a chance to ask again.
#[track_caller]
fn wait_for_commits(node: &Node, program: &mut Running, all: i64) {
    loop {
        let seen = committed(program.so_far());
        let told = node.ottla(&["group", "describe", GROUP, "--json"]).ok().json();
        let offsets = told["partitions"].as_array().expect("partitions").iter().filter_map(|row| row["offset"].as_i64());
        if offsets.sum::<i64>() >= all {
            return;
        }
        program.wait_until(|said| committed(said) > seen);
    }
}
