//! DeleteRecords through the registry: what goes, what stays, and that no crash brings any of it back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::controller::{Command, DeleteTopics, TopicRef};
use ottla_log::checkpoint::{OffsetCheckpoint, read_offsets};
use ottla_log::disk::Fault;
use ottla_log::{AppendOrigin, ReadError};
use ottla_model::{Acks, Offset};
use ottla_wire::message::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic};
use ottla_wire::message::list_offsets::{
    EARLIEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ottla_wire::{ErrorCode, RecordFragment};
use tokio::time::Instant;

use crate::context::deadline_after;
use crate::partition::{AppendOptions, Isolation, Partition, Watermarks};
use crate::testing::{START, TestBroker, batch, values};

const HIGH_WATERMARK: i64 = -1;

async fn append(partition: &Arc<Partition>, values: &[&str]) {
    let options = AppendOptions { acks: Acks::All, origin: AppendOrigin::Client, now: START };
    let end = partition.append(&batch(values), options).unwrap().last_offset.plus(1);
    partition.reach(end, deadline_after(60_000)).await.unwrap();
}

fn ask<'a>(topic: &'a str, upto: &[(i32, i64)]) -> DeleteRecordsRequest<'a> {
    let partitions = upto.iter().map(|&(partition_index, offset)| DeleteRecordsPartition { partition_index, offset });
    DeleteRecordsRequest { topics: vec![DeleteRecordsTopic { name: topic, partitions: partitions.collect() }], timeout_ms: 60_000 }
}

/// Each partition's error and low watermark.
async fn call(broker: &TestBroker, version: i16, request: &DeleteRecordsRequest<'_>) -> Vec<(ErrorCode, i64)> {
    let outcome = broker.call(version, request).await;
    let response: DeleteRecordsResponse<'_> = outcome.decode(version);
    let asked = request.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.to_owned(), p.partition_index)));
    let answered = response.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.to_string(), p.partition_index)));
    assert_eq!(answered.collect::<Vec<_>>(), asked.collect::<Vec<_>>());
    let results = response.topics.iter().flat_map(|t| &t.partitions);
    results.map(|p| (ErrorCode::from_i16(p.error_code).unwrap(), p.low_watermark)).collect()
}

async fn delete(broker: &TestBroker, topic: &str, upto: i64) -> (ErrorCode, i64) {
    call(broker, 2, &ask(topic, &[(0, upto)])).await[0]
}

fn bounds(partition: &Partition) -> (i64, i64) {
    let Watermarks { log_start, log_end, .. } = partition.watermarks();
    (log_start.0, log_end.0)
}

/// What a consumer gets that starts at `from`, less what a batch has before it.
fn read(partition: &Partition, from: i64) -> Vec<(i64, String)> {
    let read = partition.read(Offset(from), Isolation::ReadUncommitted, 1 << 20, true).unwrap();
    let mut found = Vec::new();
    for fragment in read.records {
        let RecordFragment::Bytes(bytes) = fragment else { panic!("the disk in memory has no file ranges") };
        found.extend(values(&bytes).into_iter().filter(|(offset, _)| *offset >= from));
    }
    found
}

fn checkpoint(broker: &TestBroker, partition: &Partition) -> OffsetCheckpoint {
    read_offsets(&broker.disk, &partition.log_dir().path().join("log-start-offset-checkpoint")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_up_to_an_offset_or_all_in_every_version() {
    for version in 0..=2 {
        let broker = TestBroker::start().await;
        broker.create_topic("logs", 2, &[]).await;
        let (first, second) = (broker.partition("logs", 0), broker.partition("logs", 1));
        append(&first, &["a", "b", "c", "d"]).await;
        append(&second, &["e", "f"]).await;

        let answer = call(&broker, version, &ask("logs", &[(0, 3), (1, HIGH_WATERMARK)])).await;
        assert_eq!(answer, [(ErrorCode::None, 3), (ErrorCode::None, 2)]);
        assert_eq!((bounds(&first), bounds(&second)), ((3, 4), (2, 2)));
        assert_eq!(read(&first, 3), [(3, "d".to_owned())]);
        let below = first.read(Offset(2), Isolation::ReadUncommitted, 1 << 20, true).unwrap_err();
        assert!(matches!(below, ReadError::OffsetOutOfRange { start: Offset(3), .. }), "{below}");
        let expected = OffsetCheckpoint::from([(first.topic_partition().clone(), Offset(3))]);
        assert_eq!(checkpoint(&broker, &first), expected, "on stable storage with the answer");

        let again = call(&broker, version, &ask("logs", &[(0, 1), (0, 3)])).await;
        assert_eq!(again, [(ErrorCode::None, 3), (ErrorCode::None, 3)], "deleted already, as in Kafka");

        let asked = ListOffsetsPartition { partition_index: 0, timestamp: EARLIEST_TIMESTAMP, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: "logs", partitions: vec![asked] }];
        let outcome = broker.call(7, &ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }).await;
        assert_eq!(outcome.decode::<ListOffsetsResponse<'_>>(7).topics[0].partitions[0].offset, 3);
        append(&second, &["g"]).await;
        assert_eq!(read(&second, 2), [(2, "g".to_owned())], "offsets go on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deleted_is_refused_each_for_its_own_reason() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    broker.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]).await;
    broker.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    broker.create_topic("__consumer_offsets", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["a", "b"]).await;
    for (topic, index, offset, expected) in [
        ("logs", 0, 3, ErrorCode::OffsetOutOfRange),
        ("logs", 0, -2, ErrorCode::OffsetOutOfRange),
        ("logs", 0, i64::MAX, ErrorCode::OffsetOutOfRange),
        ("logs", 0, i64::MIN, ErrorCode::OffsetOutOfRange),
        ("logs", 1, 0, ErrorCode::UnknownTopicOrPartition),
        ("logs", -1, 0, ErrorCode::UnknownTopicOrPartition),
        ("nowhere", 0, 0, ErrorCode::UnknownTopicOrPartition),
        ("compacted", 0, HIGH_WATERMARK, ErrorCode::PolicyViolation),
        ("__consumer_offsets", 0, HIGH_WATERMARK, ErrorCode::InvalidTopicException),
    ] {
        assert_eq!(call(&broker, 2, &ask(topic, &[(index, offset)])).await, [(expected, -1)], "{topic}-{index} up to {offset}");
    }
    assert_eq!(bounds(&partition), (0, 2));
    let mixed = call(&broker, 1, &ask("logs", &[(7, 0), (0, 1), (0, 9)])).await;
    let expected = [(ErrorCode::UnknownTopicOrPartition, -1), (ErrorCode::None, 1), (ErrorCode::OffsetOutOfRange, -1)];
    assert_eq!(mixed, expected, "one failing alone");
    assert_eq!(delete(&broker, "both", HIGH_WATERMARK).await, (ErrorCode::None, 0));
    assert!(call(&broker, 0, &DeleteRecordsRequest::default()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_below_the_high_watermark_can_be_deleted() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["a"]).await;
    let round = partition.log_dir().hold_syncs();
    let options = AppendOptions { acks: Acks::All, origin: AppendOrigin::Client, now: START };
    partition.append(&batch(&["b", "c"]), options).unwrap();
    assert_eq!(delete(&broker, "logs", 2).await, (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete(&broker, "logs", HIGH_WATERMARK).await, (ErrorCode::None, 1));
    drop(round);
    partition.reach(Offset(3), deadline_after(60_000)).await.unwrap();
    assert_eq!(read(&partition, 1), [(1, "b".to_owned()), (2, "c".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_power_loss_brings_deleted_records_back() {
    for seed in 0..20 {
        let broker = TestBroker::start().await;
        broker.create_topic("logs", 1, &[]).await;
        broker.create_topic("cached", 1, &[("write.caching", "true")]).await;
        append(&broker.partition("logs", 0), &["a", "b", "c"]).await;
        append(&broker.partition("cached", 0), &["d", "e"]).await;
        assert_eq!(delete(&broker, "logs", 2).await, (ErrorCode::None, 2));
        assert_eq!(delete(&broker, "cached", HIGH_WATERMARK).await, (ErrorCode::None, 2));
        let crashed = broker.disk.crash(seed);
        let broker = broker.restart_on(crashed).await;
        let (logs, cached) = (broker.partition("logs", 0), broker.partition("cached", 0));
        assert_eq!((bounds(&logs), bounds(&cached)), ((2, 3), (2, 2)), "seed {seed}: no offset is used twice either");
        logs.reach(Offset(3), deadline_after(60_000)).await.unwrap();
        assert_eq!(read(&logs, 2), [(2, "c".to_owned())]);
        append(&cached, &["f"]).await;
        assert_eq!(read(&cached, 2), [(2, "f".to_owned())]);
        drop((logs, cached));
        let crashed = broker.disk.crash(seed);
        let broker = broker.restart_on(crashed).await;
        assert_eq!(bounds(&broker.partition("logs", 0)), (2, 3), "seed {seed}: nor does a second one");
        assert_eq!(bounds(&broker.partition("cached", 0)).0, 2, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_below_the_start_go_and_a_power_loss_amid_that_brings_none_back() {
    let large = "x".repeat(600_000);
    for seed in 0..8 {
        let often = [("log.retention.check.interval.ms", "1"), ("log.flush.start.offset.checkpoint.interval.ms", "1")];
        let broker = TestBroker::with(&often).await;
        broker.create_topic("logs", 1, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]).await;
        let partition = broker.partition("logs", 0);
        for _ in 0..4 {
            append(&partition, &[&large]).await;
        }
        let segments = || partition.with_log(|log| (log.segment_count(), log.first_segment_base().0));
        assert_eq!(segments(), (4, 0));
        // What the removal changes in the folder is not synced before the power goes.
        let round = partition.log_dir().hold_syncs();
        assert_eq!(delete(&broker, "logs", 2).await, (ErrorCode::None, 2));
        let deadline = Instant::now() + Duration::from_secs(60);
        while segments() != (2, 2) && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(segments(), (2, 2), "the start is the base of a segment now");
        assert_eq!(checkpoint(&broker, &partition).get(partition.topic_partition()), Some(&Offset(2)));
        let crashed = broker.disk.crash(seed);
        drop(round);
        drop(partition);
        let broker = broker.restart_on(crashed).await;
        assert_eq!(bounds(&broker.partition("logs", 0)), (2, 4), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_not_cut_by_what_its_namesake_had_deleted() {
    for cleanly in [true, false] {
        let broker = TestBroker::start().await;
        broker.create_topic("logs", 1, &[]).await;
        append(&broker.partition("logs", 0), &["a", "b", "c"]).await;
        assert_eq!(delete(&broker, "logs", HIGH_WATERMARK).await, (ErrorCode::None, 3));
        let gone = Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name("logs".to_owned())] });
        broker.context.command(gone, deadline_after(60_000)).await.unwrap();
        for dir in ["/d0", "/d1"] {
            let said = read_offsets(&broker.disk, &Path::new(dir).join("log-start-offset-checkpoint")).unwrap();
            assert_eq!(said, OffsetCheckpoint::new(), "{dir}");
        }
        broker.create_topic("logs", 1, &[]).await;
        append(&broker.partition("logs", 0), &["new"]).await;
        let broker = broker.restart(cleanly).await;
        let partition = broker.partition("logs", 0);
        partition.reach(Offset(1), deadline_after(60_000)).await.unwrap();
        assert_eq!(read(&partition, 0), [(0, "new".to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_is_kept_over_clean_stops_and_an_entry_of_no_partition_is_not() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["a", "b"]).await;
    assert_eq!(delete(&broker, "logs", 1).await, (ErrorCode::None, 1));
    drop(partition);
    let broker = broker.restart(true).await;
    let partition = broker.partition("logs", 0);
    assert_eq!(bounds(&partition), (1, 2));
    let mut with_stranger = checkpoint(&broker, &partition);
    let only = with_stranger.clone();
    assert_eq!(only, OffsetCheckpoint::from([(partition.topic_partition().clone(), Offset(1))]));
    with_stranger.insert(ottla_model::TopicPartition::from_folder_name("gone-0").unwrap(), Offset(7));
    let file = partition.log_dir().path().join("log-start-offset-checkpoint");
    ottla_log::checkpoint::write_offsets(&broker.disk, &file, &with_stranger).unwrap();
    drop(partition);
    let broker = broker.restart(false).await;
    let partition = broker.partition("logs", 0);
    assert_eq!((bounds(&partition), checkpoint(&broker, &partition)), ((1, 2), only));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_would_come_too_late_says_so_and_the_deletion_goes_on() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["a", "b"]).await;
    let held = partition.log_dir().hold_log_starts();
    let hurried = DeleteRecordsRequest { timeout_ms: 0, ..ask("logs", &[(0, 1)]) };
    assert_eq!(call(&broker, 2, &hurried).await, [(ErrorCode::RequestTimedOut, -1)]);
    drop(held);
    assert_eq!(delete(&broker, "logs", 1).await, (ErrorCode::None, 1));
    assert_eq!(checkpoint(&broker, &partition).get(partition.topic_partition()), Some(&Offset(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_be_written_is_not_answered_as_deleted() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["a", "b"]).await;
    // So that the next call to the disk is the one of the request.
    let _round = partition.log_dir().hold_syncs();
    broker.disk.set_fault(Some(Fault::Once { call: broker.disk.calls(), error: std::io::ErrorKind::StorageFull }));
    assert_eq!(delete(&broker, "logs", 1).await, (ErrorCode::KafkaStorageError, -1));
    assert!(!partition.log_dir().is_offline(), "a full disk may have room again");
    assert_eq!(delete(&broker, "logs", 1).await, (ErrorCode::None, 1), "and has it");
    assert_eq!(checkpoint(&broker, &partition).get(partition.topic_partition()), Some(&Offset(1)));

    broker.disk.set_fault(Some(Fault::Halt { call: broker.disk.calls() }));
    assert_eq!(delete(&broker, "logs", 2).await, (ErrorCode::KafkaStorageError, -1));
    assert!(partition.log_dir().is_offline());
    assert_eq!(delete(&broker, "logs", 2).await, (ErrorCode::KafkaStorageError, -1), "not served any more");
}
