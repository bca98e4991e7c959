//! Directories that are full, on a disk in memory that has a size.

use std::sync::Arc;

use ottla_log::disk::{Fault, Space};
use ottla_log::{AppendError, AppendOrigin, Appended, LogError};
use ottla_model::{Acks, Offset, PartitionId, TimestampMs};
use ottla_wire::{ErrorCode, RecordFragment};

use super::*;
use crate::context::deadline_after;
use crate::testing::{START, TestBroker, batch, values};

const MIB: u64 = 1 << 20;
/// The reserve of this is 16 MiB.
const TOTAL: u64 = 1024 * MIB;
const RESERVE: u64 = 16 * MIB;

fn free(broker: &TestBroker, free_bytes: u64) {
    broker.disk.set_space(Some(Space { total_bytes: TOTAL, free_bytes }));
}

/// Appends some time after the start, for a producer that waits for the disk.
fn append_at(partition: &Arc<Partition>, value: &str, ms: i64) -> Result<Appended, AppendError> {
    let options = AppendOptions { acks: Acks::All, origin: AppendOrigin::Client, now: TimestampMs(START.0 + ms) };
    partition.append(&batch(&[value]), options)
}

async fn acknowledged_at(partition: &Arc<Partition>, value: &str, ms: i64) -> Offset {
    let appended = append_at(partition, value, ms).unwrap();
    partition.reach(appended.last_offset.plus(1), deadline_after(60_000)).await.unwrap();
    appended.base_offset
}

#[track_caller]
fn assert_no_room(appended: Result<Appended, AppendError>) {
    let error = appended.unwrap_err();
    assert!(matches!(error, AppendError::Log(LogError::NoRoom { .. })), "{error}");
    assert_eq!(append_error_code(&error), ErrorCode::KafkaStorageError);
}

fn all_values(partition: &Partition) -> Vec<(i64, String)> {
    let read = partition.read(Offset(0), Isolation::ReadUncommitted, 1 << 20, true).unwrap();
    let bytes = read.records.into_iter().flat_map(|fragment| match fragment {
        RecordFragment::Bytes(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    });
    values(&bytes.collect::<Vec<u8>>())
}

#[track_caller]
fn assert_values(partition: &Partition, expected: &[&str]) {
    let expected: Vec<(i64, String)> = expected.iter().zip(0..).map(|(value, at)| (at, (*value).to_owned())).collect();
    assert_eq!(all_values(partition), expected);
}

/// The same after a start: what the log has is shown once it is known to be durable.
#[track_caller]
fn assert_values_durable(partition: &Arc<Partition>, expected: &[&str]) -> impl Future<Output = ()> {
    let end = Offset(expected.len() as i64);
    async move {
        partition.reach(end, deadline_after(60_000)).await.unwrap();
        assert_values(partition, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_stop_above_the_reserve_and_go_on_once_there_is_more() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    free(&broker, RESERVE + MIB);
    acknowledged_at(&partition, "a", 0).await;
    assert!(!partition.log_dir().is_full());

    free(&broker, RESERVE);
    let error = append_at(&partition, "refused", LOOK_INTERVAL_MS).unwrap_err();
    let (dir, said) = (partition.log_dir().path().display().to_string(), error.to_string());
    assert!(said.contains(&dir) && said.contains(&format!("{RESERVE} bytes are free")), "{said}");
    assert_no_room(Err(error));
    assert!(partition.log_dir().is_full() && !partition.log_dir().is_offline());
    assert_values(&partition, &["a"]);

    // Room enough, but nobody looks before it is time.
    free(&broker, 2 * RESERVE);
    assert_no_room(append_at(&partition, "refused", 2 * LOOK_INTERVAL_MS - 1));
    // A little more than the reserve would be gone at once.
    free(&broker, RESERVE + MIB);
    assert_no_room(append_at(&partition, "refused", 2 * LOOK_INTERVAL_MS));
    free(&broker, 2 * RESERVE);
    assert_eq!(acknowledged_at(&partition, "b", 3 * LOOK_INTERVAL_MS).await, Offset(1));
    assert!(!partition.log_dir().is_full());
    let broker = broker.restart(false).await;
    assert_values_durable(&broker.partition("logs", 0), &["a", "b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_bytes_end_an_allowance_too() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    let value = "x".repeat(600_000);
    // The clock stands still: only what is appended can have it look again.
    free(&broker, RESERVE + 10 * MIB);
    let mut taken = 0;
    while append_at(&partition, &value, 0).is_ok() {
        taken += 1;
        assert!(taken < 100, "it never looked again");
    }
    let left = broker.disk.space_left();
    assert!((RESERVE..RESERVE + MIB).contains(&left), "{left} bytes are left");
    // A look at a clock that was set back counts.
    free(&broker, TOTAL);
    acknowledged_at(&partition, "y", -1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_disk_refuses_leaves_nothing_and_one_in_each_interval_tries_again() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    acknowledged_at(&partition, "a", 0).await;
    // A quota: there seems to be room. Half of it is written.
    broker.disk.set_fault(Some(Fault::Once { call: broker.disk.calls(), error: std::io::ErrorKind::StorageFull }));
    assert_no_room(append_at(&partition, "refused, and longer than what comes after it", 1));
    broker.disk.set_fault(None);
    assert!(partition.log_dir().is_full() && !partition.log_dir().is_offline());
    assert_values(&partition, &["a"]);

    let calls = broker.disk.calls();
    assert_no_room(append_at(&partition, "refused", 2));
    assert_eq!(broker.disk.calls(), calls, "the disk was asked too soon");
    broker.disk.set_fault(Some(Fault::Once { call: calls, error: std::io::ErrorKind::QuotaExceeded }));
    assert_no_room(append_at(&partition, "refused", LOOK_INTERVAL_MS));
    broker.disk.set_fault(None);
    assert_no_room(append_at(&partition, "refused", LOOK_INTERVAL_MS + 1));
    assert_eq!(acknowledged_at(&partition, "b", 2 * LOOK_INTERVAL_MS).await, Offset(1));
    assert!(!partition.log_dir().is_full());
    assert_eq!(acknowledged_at(&partition, "c", 2 * LOOK_INTERVAL_MS).await, Offset(2));
    let crashed = broker.disk.crash(7);
    let broker = broker.restart_on(crashed).await;
    assert_values_durable(&broker.partition("logs", 0), &["a", "b", "c"]).await;
}

/// Records whose leader epoch cannot be written beside them are not acknowledged, and are once it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_finds_no_room_for_a_small_file_is_tried_again() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    let appended = {
        let _held = partition.log_dir().hold_syncs();
        let appended = append_at(&partition, "a", 0).unwrap();
        free(&broker, 0);
        appended
    };
    let end = appended.last_offset.plus(1);
    let dir = Arc::clone(partition.log_dir());
    // The first sync has ended when the directory is known to be full.
    tokio::task::spawn_blocking(move || {
        while !dir.is_full() && !dir.is_offline() {
            std::thread::yield_now()
        }
    })
    .await
    .unwrap();
    assert!(!partition.log_dir().is_offline());
    assert_eq!(partition.high_watermark(), Offset(0));
    broker.disk.set_space(None);
    partition.reach(end, deadline_after(60_000)).await.unwrap();
    let crashed = broker.disk.crash(3);
    let broker = broker.restart_on(crashed).await;
    assert_values_durable(&broker.partition("logs", 0), &["a"]).await;
}

/// A start makes a new leader epoch, of which there are no records yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_started_on_a_full_disk_shows_what_it_has() {
    for seed in 0..10 {
        let broker = TestBroker::start().await;
        broker.create_topic("logs", 1, &[]).await;
        acknowledged_at(&broker.partition("logs", 0), "a", 0).await;
        let mut broker = broker.restart(false).await;
        acknowledged_at(&broker.partition("logs", 0), "b", 0).await;
        let crashed = broker.disk.crash(seed);
        crashed.set_space(Some(Space { total_bytes: TOTAL, free_bytes: 0 }));
        // Twice: the epoch of the first start stays without a record.
        for _ in 0..2 {
            let disk = if broker.disk.space_left() == 0 { broker.disk.clone() } else { crashed.clone() };
            broker = broker.restart_on(disk).await;
            let partition = broker.partition("logs", 0);
            assert_values_durable(&partition, &["a", "b"]).await;
            assert_no_room(append_at(&partition, "refused", 0));
        }
        broker.disk.set_space(None);
        assert_eq!(acknowledged_at(&broker.partition("logs", 0), "c", LOOK_INTERVAL_MS).await, Offset(2));
        // What is below the recovery point is not read again: its epochs have to be in their file.
        broker.partition("logs", 0).log_dir().write_checkpoint(super::checkpoints::Checkpoint::RecoveryPoints).unwrap();
        let crashed = broker.disk.crash(seed);
        let broker = broker.restart_on(crashed).await;
        let partition = broker.partition("logs", 0);
        assert_values_durable(&partition, &["a", "b", "c"]).await;
        let epochs = partition.with_log(|log| log.epochs().entries().iter().map(|(_, start)| start.0).collect::<Vec<_>>());
        assert_eq!(epochs[..3], [0, 1, 2], "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_finds_the_disk_full_takes_the_directory_offline() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("segment.bytes", "1048576")]).await;
    broker.create_topic("gone", 2, &[]).await;
    let partition = broker.partition("logs", 0);
    // Each in a segment of its own.
    let value = "x".repeat(600_000);
    for _ in 0..4 {
        acknowledged_at(&partition, &value, 0).await;
    }
    let dirs = broker.context.partitions.log_dirs().to_vec();
    let online = |what: &str| assert!(dirs.iter().all(|dir| !dir.is_offline()), "{what} took a directory offline");

    free(&broker, 0);
    // Admitted by the last look: it fails in the roll, in the write, wherever it comes to.
    for _ in 0..3 {
        assert_no_room(append_at(&partition, &value, 0));
    }
    online("an append");
    partition.delete_records(Some(Offset(2))).unwrap();
    let asked = vec![Arc::clone(&partition)];
    let kept = tokio::task::spawn_blocking(move || keep_log_starts(&asked)).await.unwrap();
    assert_eq!(kept, [Err(ErrorCode::KafkaStorageError)]);
    online("DeleteRecords");
    broker.create_topic("new", 2, &[]).await;
    online("a new topic");
    let refused = broker.context.partition("new", PartitionId(1)).map(drop).unwrap_err();
    assert_eq!(refused.error_code(), ErrorCode::KafkaStorageError);
    super::tests::delete(&broker, "gone").await;
    online("a deleted topic");

    broker.disk.set_space(None);
    let partitions = Arc::clone(&broker.context.partitions);
    tokio::task::spawn_blocking(move || partitions.make_unmade()).await.unwrap();
    for index in 0..2 {
        assert_eq!(acknowledged_at(&broker.partition("new", index), "n", LOOK_INTERVAL_MS).await, Offset(0));
    }
    let asked = vec![Arc::clone(&partition)];
    let kept = tokio::task::spawn_blocking(move || keep_log_starts(&asked)).await.unwrap();
    assert_eq!(kept, [Ok(())]);
    assert_eq!(acknowledged_at(&partition, "e", LOOK_INTERVAL_MS).await, Offset(4));
    let broker = broker.restart(true).await;
    let partition = broker.partition("logs", 0);
    assert_eq!(partition.watermarks().log_start, Offset(2));
    assert_eq!(partition.high_watermark(), Offset(5));
    assert_values_durable(&broker.partition("new", 1), &["n"]).await;
}

/// What frees room works in the reserve, and does it at once.
#[tokio::test(flavor = "multi_thread")]
async fn delete_records_frees_room_in_the_reserve() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("segment.bytes", "1048576"), ("file.delete.delay.ms", "0")]).await;
    let partition = broker.partition("logs", 0);
    // Each in a segment of its own.
    let value = "x".repeat(600_000);
    for _ in 0..4 {
        acknowledged_at(&partition, &value, 0).await;
    }
    free(&broker, RESERVE / 2);
    assert_no_room(append_at(&partition, "refused", LOOK_INTERVAL_MS));
    let segments = partition.with_log(|log| log.segment_count());
    partition.delete_records(Some(Offset(3))).unwrap();
    let asked = vec![Arc::clone(&partition)];
    let kept = tokio::task::spawn_blocking(move || keep_log_starts(&asked)).await.unwrap();
    assert_eq!(kept, [Ok(())]);
    // Retention is due in five minutes only.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while partition.with_log(|log| log.segment_count()) == segments {
        assert!(std::time::Instant::now() < deadline, "none of {segments} segments was deleted");
        tokio::task::yield_now().await;
    }
    assert!(!partition.log_dir().is_offline());
}
