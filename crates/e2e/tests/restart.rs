//! What was acknowledged is there after any end of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use ottla_e2e::Node;
use ottla_e2e::calls::{Caller, batch};

const ALL: i16 = -1;
const LEADER: i16 = 1;

/// Produces one record after the other until the node is gone; tells each that was acknowledged.
fn produce_until_gone(mut caller: Caller, partition: i32, acknowledged: &mpsc::Sender<(i32, i64, String)>, stop: &AtomicBool) {
    for number in 0.. {
        let value = format!("{partition} {number}");
        match caller.try_produce("events", partition, &batch(&[value.as_bytes()]), ALL) {
            Ok(answer) if answer.error_code == 0 => {
                if acknowledged.send((partition, answer.base_offset, value)).is_err() || stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            // A node that stops may refuse; what it refused was not acknowledged.
            Ok(_) | Err(_) => return,
        }
    }
}

/// Loads the node from several connections, ends it by `end` in their midst, starts it again, and holds what it has
/// against every acknowledgement.
#[track_caller]
fn nothing_acknowledged_is_lost(end: impl FnOnce(&mut Node)) {
    const PARTITIONS: i32 = 3;
    const ACKNOWLEDGED_MIN: usize = 200;
    let mut node = Node::start();
    assert_eq!(node.caller().create_topic("events", PARTITIONS, &[("segment.bytes", "1048576")]), 0);

    let (sender, receiver) = mpsc::channel();
    let stop = AtomicBool::new(false);
    let mut acknowledged = Vec::new();
    thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let (caller, sender, stop) = (node.caller(), sender.clone(), &stop);
            scope.spawn(move || produce_until_gone(caller, partition, &sender, stop));
        }
        drop(sender);
        acknowledged.extend(receiver.iter().take(ACKNOWLEDGED_MIN));
        end(&mut node);
        stop.store(true, Ordering::Relaxed);
        acknowledged.extend(receiver.iter());
    });
    assert!(acknowledged.len() >= ACKNOWLEDGED_MIN, "only {} were acknowledged", acknowledged.len());

    node.start_again();
    let mut caller = node.caller();
    for partition in 0..PARTITIONS {
        let records = caller.consume_all("events", partition, 0);
        for (_, offset, value) in acknowledged.iter().filter(|(of, _, _)| *of == partition) {
            let record = &records[usize::try_from(*offset).expect("an offset")];
            assert_eq!(record.value.as_deref(), Some(value.as_bytes()), "at {offset} of {partition}");
        }
        // Its next offset follows the last that is there.
        let answer = caller.produce("events", partition, &batch(&[b"after"]), ALL);
        assert_eq!((answer.error_code, answer.base_offset), (0, records.len() as i64));
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    nothing_acknowledged_is_lost(Node::kill);
}

#[test]
fn a_stop_under_load_ends_well_and_loses_nothing() {
    nothing_acknowledged_is_lost(|node| assert!(node.stop().success()));
}

#[test]
fn what_was_made_before_kill_9_is_there_after_it() {
    let mut node = Node::start();
    let mut caller = node.caller();
    for number in 0..20 {
        assert_eq!(caller.create_topic(&format!("topic-{number}"), number % 3 + 1, &[("retention.ms", "123456")]), 0);
    }
    let described = |node: &Node| node.ottla(&["topic", "list", "--json"]).ok().stdout;
    let before = described(&node);
    assert!(before.contains("topic-19"), "{before}");
    for _ in 0..3 {
        node.kill();
        node.start_again();
        assert_eq!(described(&node), before);
    }
}

#[test]
fn acks_1_is_kept_over_a_clean_stop() {
    let mut node = Node::start();
    let mut caller = node.caller();
    assert_eq!(caller.create_topic("events", 1, &[("write.caching", "true")]), 0);
    for number in 0..500_i64 {
        let answer = caller.produce("events", 0, &batch(&[number.to_string().as_bytes()]), LEADER);
        assert_eq!((answer.error_code, answer.base_offset), (0, number));
    }
    assert!(node.stop().success());
    node.start_again();
    let records = node.caller().consume_all("events", 0, 0);
    assert!(records.iter().map(|record| record.value.clone()).eq((0..500).map(|number| Some(number.to_string().into_bytes()))));
}

#[test]
fn a_node_is_the_same_cluster_after_each_start() {
    let mut node = Node::start();
    let identity = |node: &Node| std::fs::read_to_string(node.data_dir().join("meta.properties")).expect("the log dir has an identity");
    let before = identity(&node);
    assert!(before.contains("cluster.id=") && before.contains("node.id=1"), "{before}");
    assert!(node.stop().success());
    node.start_again();
    assert_eq!(identity(&node), before);
}
