//! Disks that are full, hang, fail or are not there, as real file systems on loop devices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla_e2e::calls::{Caller, Produced, batch, produce_request};
use ottla_e2e::loop_disk::LoopDisk;
use ottla_e2e::{DEADLINE, Node};
use ottla_wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic, HIGH_WATERMARK,
};
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ottla_wire::message::produce::ProduceResponse;

const ALL: i16 = -1;
const KAFKA_STORAGE_ERROR: i16 = 56;
const TOPIC: &str = "events";
/// A producer's record; two do not fit into one segment.
const LARGE_BYTES: usize = 600_000;

/// Values that were acknowledged, by partition: where each is, at the offset of its place.
#[derive(Default)]
struct Ledger(Vec<Vec<u8>>);

impl Ledger {
    /// Sends one record; keeps it where it was taken, at the next offset.
    #[track_caller]
    fn produce(&mut self, caller: &mut Caller, partition: i32, value: &[u8]) -> i16 {
        let Produced { error_code, base_offset } = caller.produce(TOPIC, partition, &batch(&[value]), ALL);
        if error_code == 0 {
            assert_eq!(base_offset, self.0.len() as i64, "offsets are not dense");
            self.0.push(value.to_vec());
        }
        error_code
    }

    #[track_caller]
    fn taken(&mut self, caller: &mut Caller, partition: i32, value: &[u8]) {
        assert_eq!(self.produce(caller, partition, value), 0);
    }

    /// Sends it again and again, as clients do, until it is taken.
    #[track_caller]
    fn taken_in_the_end(&mut self, caller: &mut Caller, partition: i32, value: &[u8]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.produce(caller, partition, value) {
                0 => return,
                KAFKA_STORAGE_ERROR => assert!(Instant::now() < deadline, "it is refused for {DEADLINE:?}"),
                other => panic!("error {other}"),
            }
        }
    }

    /// All that was acknowledged is read from `start` on, and nothing else.
    #[track_caller]
    fn assert_read(&self, caller: &mut Caller, partition: i32, start: usize) {
        wait_for_high_watermark(caller, partition, self.0.len() as i64);
        let read = caller.consume_all(TOPIC, partition, start as i64);
        assert_eq!(read.len(), self.0.len() - start, "records from {start} on");
        for (record, expected) in read.iter().zip(&self.0[start..]) {
            assert!(record.value.as_ref() == Some(expected), "another record at {}", record.offset);
        }
    }
}

/// After a start, a log is to be opened first, and what a sudden end left in it is shown once it is durable.
#[track_caller]
fn wait_for_high_watermark(caller: &mut Caller, partition: i32, wanted: i64) {
    const NOT_LEADER_OR_FOLLOWER: i16 = 6;
    let deadline = Instant::now() + DEADLINE;
    let partitions = vec![FetchPartition { partition, fetch_offset: wanted, partition_max_bytes: 1, ..Default::default() }];
    let topics = vec![FetchTopic { topic: TOPIC, partitions, ..Default::default() }];
    let request = FetchRequest { max_wait_ms: 10, min_bytes: 1, max_bytes: 1, topics, ..Default::default() };
    loop {
        let answer = caller.call(&request, 12);
        let response: FetchResponse<'_> = answer.decode();
        let said = &response.responses[0].partitions[0];
        assert!([0, NOT_LEADER_OR_FOLLOWER].contains(&said.error_code), "fetch error {}", said.error_code);
        if said.error_code == 0 && said.high_watermark >= wanted {
            return;
        }
        assert!(Instant::now() < deadline, "the high watermark is {} and not {wanted}, error {}", said.high_watermark, said.error_code);
    }
}

/// What a refused producer is told.
#[track_caller]
fn refusal(caller: &mut Caller) -> (i16, String) {
    let records = batch(&[b"refused"]);
    let answer = caller.call(&produce_request(TOPIC, 0, &records, ALL), 12);
    let response: ProduceResponse<'_> = answer.decode();
    let said = &response.responses[0].partition_responses[0];
    (said.error_code, said.error_message.as_deref().unwrap_or_default().to_owned())
}

#[track_caller]
fn delete_records(caller: &mut Caller) -> i16 {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: HIGH_WATERMARK }];
    let request = DeleteRecordsRequest { topics: vec![DeleteRecordsTopic { name: TOPIC, partitions }], timeout_ms: 30_000 };
    let answer = caller.call(&request, 2);
    answer.decode::<DeleteRecordsResponse<'_>>().topics[0].partitions[0].error_code
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

const FULL: &str = "log directory has no room";
const ROOMY: &str = "log directory has room again";

#[test]
#[ignore = "needs root and loop devices; `cargo xtask test` runs it"]
fn a_disk_that_others_fill_refuses_writes_goes_on_with_reads_and_takes_writes_again() {
    let disk = LoopDisk::new(96);
    let mut node = Node::with().set("log.dirs", &disk.path().display().to_string()).start();
    let mut caller = node.caller();
    assert_eq!(caller.create_topic(TOPIC, 1, &[("segment.bytes", "1048576")]), 0);
    let mut ledger = Ledger::default();
    for nth in 0..20 {
        ledger.taken(&mut caller, 0, format!("before {nth}").as_bytes());
    }

    disk.fill();
    for _ in 0..20 {
        let (code, said) = refusal(&mut caller);
        assert_eq!(code, KAFKA_STORAGE_ERROR);
        assert!(said.contains(&disk.path().display().to_string()) && said.contains("bytes are free"), "{said}");
    }
    ledger.assert_read(&mut caller, 0, 0);
    // Whether there is room for a topic or not, the node lives.
    let created = caller.create_topic("another", 1, &[]);
    assert!([0, KAFKA_STORAGE_ERROR].contains(&created), "error {created}");

    // It starts on a full disk, too.
    node.kill();
    node.start_again();
    let mut caller = node.caller();
    ledger.assert_read(&mut caller, 0, 0);
    assert_eq!(refusal(&mut caller).0, KAFKA_STORAGE_ERROR);
    assert_eq!(count(&node.log(), FULL), 2, "once for each life of the node:\n{}", node.log());

    disk.make_room();
    ledger.taken_in_the_end(&mut caller, 0, b"after");
    for nth in 0..20 {
        ledger.taken(&mut caller, 0, format!("after {nth}").as_bytes());
    }
    node.wait_for_log(ROOMY);
    assert_eq!(count(&node.log(), ROOMY), 1);
    node.kill();
    node.start_again();
    ledger.assert_read(&mut node.caller(), 0, 0);
}

#[test]
#[ignore = "needs root and loop devices; `cargo xtask test` runs it"]
fn a_disk_that_producers_fill_takes_writes_again_once_records_are_deleted() {
    let disk = LoopDisk::new(96);
    let mut node = Node::with().set("log.dirs", &disk.path().display().to_string()).start();
    let mut caller = node.caller();
    let configs = [("segment.bytes", "1048576"), ("file.delete.delay.ms", "0"), ("retention.ms", "-1")];
    assert_eq!(caller.create_topic(TOPIC, 1, &configs), 0);
    let mut ledger = Ledger::default();
    let mut starts = Vec::new();
    for round in 0..3 {
        let first = ledger.0.len();
        while ledger.produce(&mut caller, 0, &[round; LARGE_BYTES]) == 0 {
            assert!(ledger.0.len() - first < 1000, "a disk of 96 MiB takes all that");
        }
        assert!(disk.free_bytes() > 512 * 1024, "only {} bytes were left", disk.free_bytes());
        ledger.assert_read(&mut caller, 0, first);
        // Half of it is there after a sudden end, and the other half too.
        node.kill();
        node.start_again();
        caller = node.caller();
        ledger.assert_read(&mut caller, 0, first);
        // A start removes what is left of deleted segments; then it is as full as before.
        while ledger.produce(&mut caller, 0, &[round; LARGE_BYTES]) == 0 {
            assert!(ledger.0.len() - first < 1000, "a disk of 96 MiB takes all that");
        }
        assert_eq!(caller.create_topic(&format!("topic-{round}"), 3, &[]), 0, "the reserve has room for it");

        assert_eq!(delete_records(&mut caller), 0);
        starts.push(ledger.0.len());
        ledger.taken_in_the_end(&mut caller, 0, &[round; LARGE_BYTES]);
    }
    let start = starts[2];
    ledger.assert_read(&mut caller, 0, start);
    node.kill();
    node.start_again();
    ledger.assert_read(&mut node.caller(), 0, start);
}

/// A node with its metadata and one partition on the machine's disk, and one partition on another.
#[track_caller]
fn node_on_two(disk: &LoopDisk) -> (Node, i32, i32) {
    let node = Node::with().unstarted();
    let dirs = format!("{},{}", node.data_dir().display(), disk.path().display());
    let text = std::fs::read_to_string(node.properties_file()).expect("the properties can be read");
    let text: String = text.lines().filter(|line| !line.starts_with("log.dirs=")).map(|line| format!("{line}\n")).collect();
    std::fs::write(node.properties_file(), format!("{text}log.dirs={dirs}\n")).expect("the properties can be written");
    let mut node = node;
    node.start_again();
    assert_eq!(node.caller().create_topic(TOPIC, 2, &[]), 0);
    let there = |partition: i32| disk.path().join(format!("{TOPIC}-{partition}")).is_dir();
    let (safe, unsafe_one) = if there(0) { (1, 0) } else { (0, 1) };
    assert!(there(unsafe_one) && !there(safe), "a partition on each");
    (node, safe, unsafe_one)
}

/// Has the other thread end when this one fails, too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The directory is given up in the end, and producers are refused; gives how long that took.
#[track_caller]
fn given_up_in_the_end(node: &mut Node, partition: i32) -> Duration {
    let began = Instant::now();
    // A call that hangs in the disk holds its connection up for as long: nobody waits for this one.
    let mut stuck = node.caller();
    let records = batch(&[b"hangs"]);
    stuck.send(&produce_request(TOPIC, partition, &records, ALL), 12);
    node.wait_for_log("log directory is offline");
    let waited = began.elapsed();
    assert_eq!(node.caller().produce(TOPIC, partition, &records, ALL).error_code, KAFKA_STORAGE_ERROR);
    waited
}

#[test]
#[ignore = "needs root and loop devices; `cargo xtask test` runs it"]
fn a_disk_that_hangs_takes_its_own_partitions_along_and_no_others() {
    /// Acknowledged by the other disk before this one hangs, and after it is given up.
    const GOES_ON_MIN: usize = 20;
    let disk = LoopDisk::new(96);
    let (mut node, safe, hung) = node_on_two(&disk);
    let (mut on_safe, mut on_hung) = (Ledger::default(), Ledger::default());
    let mut caller = node.caller();
    on_hung.taken(&mut caller, hung, b"first");
    on_safe.taken(&mut caller, safe, b"first");
    let (acknowledged, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (acknowledged, stop, on_safe) = (&acknowledged, &stop, &mut on_safe);
        let _stop = StopOnDrop(stop);
        let mut other = node.caller();
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                on_safe.taken(&mut other, safe, b"goes on");
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        });
        let goes_on = |what: &str| {
            let (before, deadline) = (acknowledged.load(Ordering::Relaxed), Instant::now() + DEADLINE);
            while acknowledged.load(Ordering::Relaxed) < before + GOES_ON_MIN {
                assert!(Instant::now() < deadline, "the other disk is not served {what}");
                thread::yield_now();
            }
        };
        goes_on("before");
        disk.freeze();
        let before = acknowledged.load(Ordering::Relaxed);
        let waited = given_up_in_the_end(&mut node, hung);
        let meanwhile = acknowledged.load(Ordering::Relaxed) - before;
        eprintln!("given up after {} ms", waited.as_millis());
        assert!(waited >= Duration::from_millis(1900), "given up after {waited:?}");
        goes_on("after");
        // One may have been under way before.
        assert!(meanwhile > 1, "{meanwhile} were acknowledged while it hung");
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(count(&node.log(), "log directory is offline"), 1, "{}", node.log());
    disk.thaw();
    // Nobody can say what it has: it stays so until the node is restarted.
    assert_eq!(on_hung.produce(&mut caller, hung, b"no"), KAFKA_STORAGE_ERROR);
    on_safe.taken(&mut caller, safe, b"thawed");
    node.kill();
    node.start_again();
    let mut caller = node.caller();
    on_safe.assert_read(&mut caller, safe, 0);
    wait_for_high_watermark(&mut caller, hung, on_hung.0.len() as i64);
    // What was under way when it hung may be there or not.
    let read = caller.consume_all(TOPIC, hung, 0);
    assert!(on_hung.0.iter().zip(&read).all(|(expected, record)| record.value.as_ref() == Some(expected)));
}

#[test]
#[ignore = "needs root and loop devices; `cargo xtask test` runs it"]
fn a_disk_that_fails_takes_its_own_partitions_along_and_the_node_starts_without_it() {
    let disk = LoopDisk::new(96);
    let (mut node, safe, failed) = node_on_two(&disk);
    let (mut on_safe, mut on_failed) = (Ledger::default(), Ledger::default());
    let mut caller = node.caller();
    for nth in 0..10 {
        on_safe.taken(&mut caller, safe, format!("before {nth}").as_bytes());
        on_failed.taken(&mut caller, failed, format!("before {nth}").as_bytes());
    }
    disk.break_down();
    assert_eq!(on_failed.produce(&mut caller, failed, b"refused"), KAFKA_STORAGE_ERROR);
    node.wait_for_log("log directory is offline");
    for nth in 0..10 {
        on_safe.taken(&mut caller, safe, format!("after {nth}").as_bytes());
    }
    on_safe.assert_read(&mut caller, safe, 0);
    assert_eq!(count(&node.log(), "log directory is offline"), 1, "{}", node.log());

    // It cannot be opened: the node starts with the other.
    node.kill();
    node.start_again();
    let mut caller = node.caller();
    on_safe.assert_read(&mut caller, safe, 0);
    on_safe.taken(&mut caller, safe, b"without the other");
    assert_eq!(on_failed.produce(&mut caller, failed, b"refused"), KAFKA_STORAGE_ERROR);

    node.kill();
    disk.mend();
    node.start_again();
    let mut caller = node.caller();
    on_safe.assert_read(&mut caller, safe, 0);
    on_failed.assert_read(&mut caller, failed, 0);
    on_failed.taken(&mut caller, failed, b"mended");
}
