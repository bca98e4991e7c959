//! librdkafka against a node: groups by the cooperative assignor and by the consumer protocol, and transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use ottla_e2e::calls::{Caller, batch};
use ottla_e2e::process::{Running, repository};
use ottla_e2e::transforms::{Programs, transforms_exactly_once};
use ottla_e2e::{DEADLINE, Node};
use serde_json::json;

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 6;

/// The program of tests/rdkafka: `OTTLA_RDKAFKA_CLIENTS`, else where `cargo build` in its folder puts it.
fn program(arguments: &[&str]) -> Command {
    let built = std::env::var_os("OTTLA_RDKAFKA_CLIENTS").map(PathBuf::from);
    let program = built.unwrap_or_else(|| repository().join("tests/rdkafka/target/debug/ottla-rdkafka-clients"));
    assert!(program.is_file(), "{} is not built; `cargo xtask test` does it", program.display());
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn member(node: &Node, protocol: &str, group: &str) -> Running {
    Running::start(&mut program(&["member", protocol, group, TOPIC, &node.address()]))
}

/// The partitions that a member was told last to read.
fn assigned(said: &str) -> BTreeSet<i32> {
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    let last = whole.lines().rev().find_map(|line| line.strip_prefix("assigned "));
    last.unwrap_or_default().split(',').filter_map(|partition| partition.parse().ok()).collect()
}

/// The records that a member has read. One counts once when it comes again as the next of its partition, which nobody took away meanwhile:
/// librdkafka, when it resumes what a rebalance has paused, gives a partition's last record again now and then.
fn records(said: &str) -> Vec<&str> {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    let mut records = Vec::new();
    for line in said.lines() {
        if let Some(partitions) = line.strip_prefix("assigned ") {
            let assigned: BTreeSet<&str> = partitions.split(',').collect();
            last.retain(|partition, _| assigned.contains(partition));
        }
        if let Some((partition, _)) = line.split_once('/')
            && last.insert(partition, line) != Some(line)
        {
            records.push(line);
        }
    }
    records
}

/// Waits until each member reads as many partitions as any other, and all read each partition once.
#[track_caller]
fn wait_for_even_shares(members: &mut [Running]) {
    let share = PARTITIONS as usize / members.len();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let shares: Vec<BTreeSet<i32>> = members.iter_mut().map(|member| assigned(member.so_far())).collect();
        let all: BTreeSet<i32> = shares.iter().flatten().copied().collect();
        if shares.iter().all(|one| one.len() == share) && all.iter().copied().eq(0..PARTITIONS) {
            return;
        }
        assert!(Instant::now() < deadline, "the shares do not become even: {shares:?}");
        // Any of them may be the next to say something.
        thread::yield_now();
    }
}

/// One record after the other into all partitions, until it is told to stop; gives what it sent.
fn produce_until(mut caller: Caller, stop: &AtomicBool) -> Vec<String> {
    let mut sent = Vec::new();
    for number in 0.. {
        let partition = number % PARTITIONS;
        let value = format!("value-{number}");
        assert_eq!(caller.produce(TOPIC, partition, &batch(&[value.as_bytes()]), -1).error_code, 0);
        sent.push(format!("{partition}/{}/{value}", number / PARTITIONS));
        if stop.load(Ordering::Relaxed) && partition == PARTITIONS - 1 {
            break;
        }
    }
    sent
}

/// Stops the producer also when the test fails, which would wait for it otherwise.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn two_groups_read_each_record_once_while_members_come_and_go(protocol: &str) {
    let intervals = ["group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"];
    let builder = Node::with().set("group.initial.rebalance.delay.ms", "0");
    let node = intervals.iter().fold(builder, |builder, name| builder.set(name, "500")).start();
    assert_eq!(node.caller().create_topic(TOPIC, PARTITIONS, &[]), 0);
    let groups = ["shop", "mill"];
    let (stop, caller) = (AtomicBool::new(false), node.caller());
    let (mut expected, outputs) = thread::scope(|scope| {
        let producer = scope.spawn(|| produce_until(caller, &stop));
        let stopper = Stopper(&stop);
        let mut members = groups.map(|group| vec![member(&node, protocol, group), member(&node, protocol, group)]);
        let mut outputs = [Vec::new(), Vec::new()];
        members.iter_mut().for_each(|members| wait_for_even_shares(members));
        for (group, members) in groups.iter().zip(&mut members) {
            members.push(member(&node, protocol, group));
        }
        members.iter_mut().for_each(|members| wait_for_even_shares(members));
        for (members, outputs) in members.iter_mut().zip(&mut outputs) {
            let (status, said) = members.remove(0).stop();
            assert!(status.success(), "{said}");
            outputs.push(said);
        }
        members.iter_mut().for_each(|members| wait_for_even_shares(members));
        drop(stopper);
        let expected = producer.join().expect("all was taken");
        // Each partition's last record is read by somebody.
        let last_ones = expected[expected.len() - PARTITIONS as usize..].to_vec();
        for (members, outputs) in members.into_iter().zip(&mut outputs) {
            let mut members = members;
            for member in &mut members {
                let mine = assigned(member.so_far());
                let last_of_mine = |line: &&String| mine.iter().any(|partition| line.starts_with(&format!("{partition}/")));
                let ends: Vec<String> = last_ones.iter().filter(last_of_mine).map(|line| format!("{line}\n")).collect();
                member.wait_until(|said| ends.iter().all(|end| said.contains(end)));
            }
            for member in members {
                let (status, said) = member.stop();
                assert!(status.success(), "{said}");
                outputs.push(said);
            }
        }
        (expected, outputs)
    });
    expected.sort_unstable();
    for (group, outputs) in groups.iter().zip(outputs) {
        let mut read: Vec<&str> = outputs.iter().flat_map(|said| records(said)).collect();
        read.sort_unstable();
        let twice: Vec<_> = read.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        let lost: Vec<_> = expected.iter().filter(|line| read.binary_search(&line.as_str()).is_err()).collect();
        assert!(
            twice.is_empty() && lost.is_empty(),
            "{group}: {twice:?} twice, {lost:?} never; the members said\n{}",
            outputs.join("\n--\n")
        );
        assert!(read == expected, "{group}: each record once, to the one or the other");
        let told = node.ottla(&["group", "describe", group, "--json"]).ok().json();
        assert_eq!((&told["state"], &told["lag"]), (&json!("Empty"), &json!(0)), "{told}");
        let offsets: i64 = told["partitions"].as_array().expect("partitions").iter().filter_map(|row| row["offset"].as_i64()).sum();
        assert_eq!(offsets, expected.len() as i64, "{group}: what was read is committed");
    }
}

#[test]
fn a_record_is_excused_when_it_comes_again_at_once_and_at_no_other_time() {
    let cases = [
        ("assigned 0,1\n0/7/a\n1/3/b\nassigned 0,1,2\n0/7/a\n0/8/c\n", vec!["0/7/a", "1/3/b", "0/8/c"]),
        ("assigned 0\n0/7/a\n0/8/b\n0/7/a\n", vec!["0/7/a", "0/8/b", "0/7/a"]),
        ("assigned 0,1\n0/7/a\nassigned 1\nassigned 0,1\n0/7/a\n", vec!["0/7/a", "0/7/a"]),
    ];
    for (said, expected) in cases {
        assert_eq!(records(said), expected, "{said}");
    }
}

#[test]
#[ignore = "needs librdkafka; `cargo xtask test` runs it"]
fn groups_with_the_cooperative_assignor_read_each_record_once_while_members_come_and_go() {
    two_groups_read_each_record_once_while_members_come_and_go("cooperative-sticky");
}

#[test]
#[ignore = "needs librdkafka; `cargo xtask test` runs it"]
fn groups_by_the_consumer_protocol_read_each_record_once_while_members_come_and_go() {
    two_groups_read_each_record_once_while_members_come_and_go("consumer");
}

#[test]
#[ignore = "needs librdkafka; `cargo xtask test` runs it"]
fn records_are_moved_exactly_once_though_the_program_and_the_node_die() {
    let transform = |arguments: &[&str]| program(&[&["transform"], arguments].concat());
    let read = |arguments: &[&str]| program(&[&["read"], arguments].concat());
    transforms_exactly_once(&Programs { transform: &transform, read: &read });
}
