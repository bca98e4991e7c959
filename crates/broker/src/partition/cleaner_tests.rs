//! Compaction through the broker: produced, compacted by the thread, fetched.

use ottla_log::Disk;
use ottla_model::BrokerEpoch;
use ottla_wire::batch::{BatchBuilder, Batches};
use ottla_wire::compress::Compression;
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_wire::{ErrorCode, Records};

use super::*;
use crate::testing::{START, TestBroker};

/// Compacted as soon as there is a closed segment, each batch in one of its own (its timestamp is that of the one before and 10 ms).
const COMPACTED: [(&str, &str); 4] =
    [("cleanup.policy", "compact"), ("segment.ms", "5"), ("min.cleanable.dirty.ratio", "0"), ("file.delete.delay.ms", "0")];
/// No thread rests for longer than the tests want to wait.
const EAGER: [(&str, &str); 1] = [("log.cleaner.backoff.ms", "1")];

type Pair<'a> = (Option<&'a str>, Option<&'a str>);

async fn produce(broker: &TestBroker, topic: &str, timestamp: i64, records: &[Pair<'_>]) -> ErrorCode {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    for (key, value) in records {
        builder.append(timestamp, key.map(str::as_bytes), value.map(str::as_bytes), &[]).unwrap();
    }
    let batch = builder.build().unwrap();
    let data = PartitionProduceData { index: 0, records: Some(&batch) };
    let topic = TopicProduceData { name: topic, partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: vec![topic], ..Default::default() };
    let outcome = broker.call(9, &request).await;
    let response: ProduceResponse<'_> = outcome.decode(9);
    ErrorCode::from_i16(response.responses[0].partition_responses[0].error_code).unwrap()
}

/// What a consumer gets that begins at an offset and goes on until the end: `offset key=value`.
async fn consume(broker: &TestBroker, topic: &str, from: i64) -> Vec<String> {
    let (mut next, mut all) = (from, Vec::new());
    let end = broker.partition(topic, 0).high_watermark().0;
    while next < end {
        let partition = FetchPartition { partition: 0, fetch_offset: next, partition_max_bytes: 100, ..Default::default() };
        let topics = vec![FetchTopic { topic, partitions: vec![partition], ..Default::default() }];
        let request = FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() };
        let outcome = broker.call(9, &request).await;
        let response: FetchResponse<'_> = outcome.decode(9);
        let data = &response.responses[0].partitions[0];
        assert_eq!(data.error_code, 0);
        let Records::Borrowed(bytes) = data.records else { panic!("{:?}", data.records) };
        let before = next;
        for batch in Batches::new(bytes) {
            let batch = batch.unwrap();
            for record in &batch.records(&Default::default()).unwrap() {
                let r = record.unwrap();
                let text = |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), |b| String::from_utf8_lossy(b).into_owned());
                all.push(format!("{} {}={}", r.offset, text(r.key), text(r.value)));
            }
            next = batch.last_offset() + 1;
        }
        assert!(next > before, "nothing at {next}, and the end is {end}");
    }
    all
}

/// Waits until a log is compacted up to an offset.
async fn compacted(broker: &TestBroker, topic: &str, upto: i64) {
    let mut passes = broker.context.partitions.passes();
    let partition = broker.partition(topic, 0);
    let reached = async {
        while partition.with_log(|log| log.compacted_upto()) < Offset(upto) {
            passes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached).await.expect("compacted within a minute");
}

fn folder_of(broker: &TestBroker, topic: &str) -> std::path::PathBuf {
    broker.partition(topic, 0).log_dir().path().join(format!("{topic}-0"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_keeps_the_newest_record_of_each_key() {
    let broker = TestBroker::with(&EAGER).await;
    broker.create_topic("users", 1, &COMPACTED).await;
    for i in 0..20 {
        let value = format!("v{i}");
        let records = [(Some(["a", "b", "c"][i % 3]), Some(&value[..])), (Some("all"), Some(&value[..]))];
        assert_eq!(produce(&broker, "users", START.0 + i as i64 * 10, &records).await, ErrorCode::None);
    }
    // The last batch is in the segment that grows.
    compacted(&broker, "users", 38).await;
    let whole = consume(&broker, "users", 0).await;
    assert_eq!(whole, ["32 b=v16", "34 c=v17", "36 a=v18", "37 all=v18", "38 b=v19", "39 all=v19"]);
    for from in 0..40 {
        let expected: Vec<String> =
            whole.iter().filter(|r| r.split(' ').next().unwrap().parse::<i64>().unwrap() >= from).cloned().collect();
        let seen = consume(&broker, "users", from).await;
        assert!(seen.ends_with(&expected), "from {from}: {seen:?}");
    }

    // Up to where it is compacted outlives the broker, and so does what is left.
    let mut broker = broker;
    for cleanly in [true, false] {
        broker = broker.restart(cleanly).await;
        assert_eq!(consume(&broker, "users", 0).await, whole);
        let partition = broker.partition("users", 0);
        let dir = Arc::clone(partition.log_dir());
        let file = broker.disk.read_all(&dir.path().join(CLEANER_OFFSETS_FILE)).unwrap();
        assert_eq!(String::from_utf8(file).unwrap(), "0\n1\nusers 0 38\n");
        let cleaner = DirCleaner::default();
        assert!(cleaner.dirtiest(&dir, &*broker.clock).is_none());
        assert_eq!(partition.with_log(|log| log.compacted_upto()), Offset(38));
    }
    assert_eq!(produce(&broker, "users", START.0 + 1_000, &[(Some("c"), None)]).await, ErrorCode::None);
    assert_eq!(produce(&broker, "users", START.0 + 1_010, &[(Some("d"), Some(""))]).await, ErrorCode::None);
    compacted(&broker, "users", 41).await;
    assert_eq!(consume(&broker, "users", 0).await, ["36 a=v18", "38 b=v19", "39 all=v19", "40 c=null", "41 d="]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_key_is_refused_by_a_compacted_topic() {
    let broker = TestBroker::start().await;
    broker.create_topic("users", 1, &COMPACTED).await;
    assert_eq!(produce(&broker, "users", START.0, &[(Some("a"), None), (None, Some("x"))]).await, ErrorCode::InvalidRecord);
    assert_eq!(produce(&broker, "users", START.0, &[(Some(""), Some("x"))]).await, ErrorCode::None);
}

/// A broker of which nothing is compacted behind the test's back, with two topics in one directory.
async fn by_hand(configs: &[(&str, &str)]) -> (TestBroker, Arc<LogDir>, DirCleaner) {
    let broker = TestBroker::with(&[("log.cleaner.enable", "false")]).await;
    for topic in ["some", "x", "other", "y", "plain"] {
        let configs: Vec<_> = if topic == "plain" { vec![("segment.ms", "5")] } else { configs.to_vec() };
        broker.create_topic(topic, 1, &configs).await;
    }
    // The least full directory gets the next partition: they take turns.
    let (some, other) = (broker.partition("some", 0), broker.partition("other", 0));
    assert!(Arc::ptr_eq(some.log_dir(), other.log_dir()));
    let dir = Arc::clone(some.log_dir());
    (broker, dir, DirCleaner::default())
}

fn round(broker: &TestBroker, dir: &Arc<LogDir>, cleaner: &mut DirCleaner) -> bool {
    let shared = Arc::clone(&broker.context.partitions.cleaner.shared);
    cleaner.round(&shared, dir, &broker.context.config, &*broker.clock)
}

async fn fill(broker: &TestBroker, topic: &str, batches: i64) {
    let first = broker.partition(topic, 0).high_watermark().0;
    for i in first..first + batches {
        assert_eq!(produce(broker, topic, START.0 + i * 10, &[(Some("k"), Some("v"))]).await, ErrorCode::None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dirtiest_log_comes_first_and_one_that_is_damaged_holds_up_no_other() {
    let (broker, dir, mut cleaner) = by_hand(&COMPACTED).await;
    fill(&broker, "some", 5).await;
    fill(&broker, "other", 3).await;
    fill(&broker, "plain", 3).await;
    let upto = |topic| broker.partition(topic, 0).with_log(|log| log.compacted_upto()).0;
    assert!(round(&broker, &dir, &mut cleaner) && round(&broker, &dir, &mut cleaner));
    assert!(!round(&broker, &dir, &mut cleaner), "nothing is dirty, or not compacted by its policy");
    assert_eq!((upto("some"), upto("other"), upto("plain")), (4, 2, 0));
    // Three of four segments are new here, two of three there.
    fill(&broker, "some", 3).await;
    fill(&broker, "other", 9).await;
    assert!(round(&broker, &dir, &mut cleaner));
    assert_eq!((upto("some"), upto("other")), (4, 11), "the larger dirty part first");

    let damaged = folder_of(&broker, "some").join("00000000000000000005.log");
    broker.disk.damage(&damaged, 65, 1).unwrap();
    fill(&broker, "other", 2).await;
    while round(&broker, &dir, &mut cleaner) {}
    assert_eq!((upto("some"), upto("other"), cleaner.uncleanable.len()), (4, 13, 1));
    assert!(!dir.is_offline());
    let text = String::from_utf8(broker.disk.read_all(&dir.path().join(CLEANER_OFFSETS_FILE)).unwrap()).unwrap();
    assert_eq!(text, "0\n2\nother 0 13\nsome 0 4\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dirty_ratio_and_the_lags_are_heeded() {
    let configs = [
        ("cleanup.policy", "compact,delete"),
        ("segment.ms", "5"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("min.compaction.lag.ms", "1000"),
        ("max.compaction.lag.ms", "100000"),
    ];
    let (broker, dir, mut cleaner) = by_hand(&configs).await;
    fill(&broker, "some", 5).await;
    assert!(!round(&broker, &dir, &mut cleaner), "too young");
    broker.clock.advance_ms(1_025);
    assert!(round(&broker, &dir, &mut cleaner));
    let upto = || broker.partition("some", 0).with_log(|log| log.compacted_upto()).0;
    assert_eq!(upto(), 3, "the segment of 30 ms after the start is too young still");
    broker.clock.advance_ms(1_000);
    // One segment of one batch is dirty by now, and one is not.
    assert!(!round(&broker, &dir, &mut cleaner), "half is not more than half");
    broker.clock.advance_ms(100_000);
    assert!(round(&broker, &dir, &mut cleaner), "overdue");
    assert_eq!(upto(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_while_it_is_compacted_is_let_go() {
    let (broker, dir, mut cleaner) = by_hand(&COMPACTED).await;
    fill(&broker, "some", 5).await;
    assert!(round(&broker, &dir, &mut cleaner));
    fill(&broker, "some", 3).await;
    let partition = broker.partition("some", 0);
    let (_, need) = cleaner.dirtiest(&dir, &*broker.clock).unwrap();
    partition.mark_deleted();
    let passed = compact(&partition, need, MapLimits::default(), &*broker.clock, &mut |_| true);
    assert!(matches!(passed, Err(CompactionError::Changed)), "{passed:?}");
    assert!(!dir.is_offline());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_and_a_broken_one_takes_the_directory_offline() {
    for (error, offline) in [(std::io::ErrorKind::StorageFull, false), (std::io::ErrorKind::Other, true)] {
        let (broker, dir, mut cleaner) = by_hand(&COMPACTED).await;
        fill(&broker, "some", 5).await;
        let partition = broker.partition("some", 0);
        let (_, need) = cleaner.dirtiest(&dir, &*broker.clock).unwrap();
        // The last call that writes the first new segment.
        let mut pass = partition.with_log(|log| log.begin_compaction(need, MapLimits::default(), START));
        let calls = broker.disk.calls();
        drop(pass.next(&mut |_| true).unwrap());
        let last = broker.disk.calls() - calls - 1;
        broker.disk.set_fault(Some(ottla_log::disk::Fault::Once { call: broker.disk.calls() + last, error }));
        assert!(!round(&broker, &dir, &mut cleaner));
        broker.disk.set_fault(None);
        assert_eq!(dir.is_offline(), offline, "{error:?}");
        if !offline {
            assert!(round(&broker, &dir, &mut cleaner));
            assert_eq!(partition.with_log(|log| log.compacted_upto()), Offset(4));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_are_as_many_as_configured_and_an_offline_directory_has_none() {
    let broker = TestBroker::start().await;
    let shared = Arc::clone(&broker.context.partitions.cleaner.shared);
    let dirs = broker.context.partitions.log_dirs();
    let now = Instant::now();
    let first = shared.turn(&dirs[0], 1, now).unwrap();
    assert!(shared.turn(&dirs[1], 1, now).is_none());
    drop(shared.turn(&dirs[1], 2, now).unwrap());
    drop(first);
    let hung = shared.turn(&dirs[0], 1, now).unwrap();
    dirs[0].fail("a test", &std::io::Error::other("gone"));
    assert!(shared.turn(&dirs[1], 1, now).is_some());
    drop(hung);
    assert!(shared.turn(&dirs[1], 0, now).is_none(), "no threads, no compaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_to_over_all_that_is_read_and_written() {
    let (stopped, unlimited) = (Cleaner::default(), Cleaner::default());
    let shared = &stopped.shared;
    // Stopped, so that nobody waits.
    shared.stop();
    let before = Instant::now();
    for _ in 0..1_000 {
        assert!(!shared.pay(1_000, 10_000.0));
    }
    let paid_until = shared.state.lock().paid_until.unwrap();
    let expected = Duration::from_secs(100);
    assert!(paid_until >= before + expected, "a million bytes at ten thousand a second");
    assert!(paid_until <= Instant::now() + expected);
    for _ in 0..1_000 {
        assert!(unlimited.shared.pay(u64::MAX >> 10, f64::MAX));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_threads_end_with_their_manager_even_in_the_midst_of_a_pass() {
    let broker = TestBroker::with(&[("log.cleaner.backoff.ms", "1"), ("log.cleaner.io.max.bytes.per.second", "1")]).await;
    broker.create_topic("users", 1, &COMPACTED).await;
    fill(&broker, "users", 5).await;
    let partitions = Arc::clone(&broker.context.partitions);
    tokio::task::spawn_blocking(move || partitions.close(BrokerEpoch(5))).await.unwrap();
    assert!(broker.context.partitions.cleaner.threads.lock().is_empty());
}
