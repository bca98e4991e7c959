//! A broker while it opens its logs: what is served already, what waits, and what a deletion, a change or a stop meanwhile leaves.

use std::path::Path;
use std::sync::Arc;

use ottla_cluster::controller::{AlterConfigs, Command, ConfigResourceAlteration, DeleteTopics, TopicRef};
use ottla_cluster::metadata::ConfigResource;
use ottla_log::checkpoint::read_offsets;
use ottla_log::{AppendOrigin, Disk};
use ottla_model::config::{AlterOp, ConfigAlteration};
use ottla_model::{Acks, BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, TopicPartition};
use ottla_wire::message::fetch::FetchResponse;
use ottla_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic};
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_wire::{ApiKey, ErrorCode};

use super::*;
use crate::context::deadline_after;
use crate::testing::{START, TestBroker, batch, encoded, end, fetch_of};

const ONE_DIR: &[(&str, &str)] = &[("log.dirs", "/d0"), ("num.recovery.threads.per.data.dir", "1")];

async fn append(broker: &TestBroker, index: i32, values: &[&str]) -> Offset {
    let partition = broker.partition("logs", index);
    let options = AppendOptions { acks: Acks::All, origin: AppendOrigin::Client, now: START };
    let end = partition.append(&batch(values), options).unwrap().last_offset.plus(1);
    partition.reach(end, deadline_after(60_000)).await.unwrap();
    end
}

/// Six partitions with a record each, of which the broker opens `permits` when it is started again.
async fn opening(cleanly: bool, permits: usize) -> TestBroker {
    let broker = TestBroker::with(ONE_DIR).await;
    broker.create_topic("logs", 6, &[]).await;
    for index in 0..6 {
        append(&broker, index, &["before"]).await;
    }
    for kind in [checkpoints::Checkpoint::RecoveryPoints, checkpoints::Checkpoint::HighWatermarks] {
        broker.context.partitions.log_dirs()[0].write_checkpoint(kind).unwrap();
    }
    broker.restart_opening(cleanly, permits).await
}

fn why(broker: &TestBroker, index: i32) -> Result<(), NotServing> {
    broker.context.partition("logs", PartitionId(index)).map(drop)
}

fn name(index: i32) -> TopicPartition {
    TopicPartition::from_folder_name(&format!("logs-{index}")).unwrap()
}

async fn served(broker: &TestBroker, index: i32) {
    broker.context.partitions.settled(&name(index)).await;
    assert_eq!(why(broker, index), Ok(()));
}

async fn release(broker: &TestBroker) {
    broker.context.partitions.opening.permit(None);
    broker.context.partitions.all_opened().await;
}

fn folders(broker: &TestBroker) -> Vec<String> {
    broker.disk.list_dir(Path::new("/d0")).unwrap().into_iter().filter(|e| e.is_dir).map(|e| e.name).collect()
}

fn produce_request<'a>(index: i32, records: &'a [u8], acks: i16) -> ProduceRequest<'a> {
    let partition_data = vec![PartitionProduceData { index, records: Some(records) }];
    ProduceRequest {
        acks,
        timeout_ms: 60_000,
        topic_data: vec![TopicProduceData { name: "logs", partition_data, ..Default::default() }],
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_log_is_served_as_soon_as_it_is_open_and_what_is_asked_for_comes_first() {
    let broker = opening(false, 0).await;
    assert!((0..6).all(|index| why(&broker, index) == Err(NotServing::Opening)));
    let records = batch(&["after"]);
    let body = encoded(&produce_request(5, &records, -1), 12);
    let (answer, out) = broker.begin(ottla_wire::ApiKey::Produce, 12, None, &body);
    // The one in hand, and the one that was asked for.
    broker.context.partitions.opening.permit(Some(2));
    let outcome = end(answer, out).await;
    let said = &outcome.decode::<ProduceResponse<'_>>(12).responses[0].partition_responses[0];
    assert_eq!((said.error_code, said.base_offset), (0, 1), "taken once the log was open, behind what it had");
    served(&broker, 5).await;
    assert_eq!((1..5).filter(|index| why(&broker, *index) == Err(NotServing::Opening)).count(), 4);
    release(&broker).await;
    for index in 0..6 {
        let read = broker.partition("logs", index).read(Offset(0), Isolation::ReadUncommitted, 1 << 20, true).unwrap();
        assert!(read.bytes > 0, "{index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_and_fetches_wait_for_the_log() {
    let broker = opening(false, 0).await;
    let partitions = vec![ListOffsetsPartition { partition_index: 4, timestamp: -1, current_leader_epoch: -1, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: "logs", partitions }];
    let asked = encoded(&ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }, 5);
    let (listed, list_out) = broker.begin(ottla_wire::ApiKey::ListOffsets, 5, None, &asked);
    let request = fetch_of("logs", 3, 0, 60_000);
    let (fetched, fetch_out) = broker.begin(ottla_wire::ApiKey::Fetch, 12, None, &encoded(&request, 12));
    let fetched = tokio::spawn(end(fetched, fetch_out));
    broker.context.partitions.opening.permit(None);
    let outcome = end(listed, list_out).await;
    let said = &outcome.decode::<ListOffsetsResponse<'_>>(5).topics[0].partitions[0];
    assert_eq!((said.error_code, said.offset), (0, 1));
    let outcome = fetched.await.unwrap();
    let said = outcome.decode::<FetchResponse<'_>>(12).responses[0].partitions[0].clone();
    assert_eq!((said.error_code, said.high_watermark), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_cannot_wait_longer_is_told_to_ask_again() {
    let broker = opening(false, 0).await;
    let request = fetch_of("logs", 3, 0, 1);
    let outcome = broker.call(12, &request).await;
    let code = outcome.decode::<FetchResponse<'_>>(12).responses[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::NotLeaderOrFollower.as_i16());
    broker.context.partitions.opening.permit(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_bound_are_refused_and_can_be_sent_again() {
    let broker = opening(false, 0).await;
    let records = batch(&[&"x".repeat(900_000)]);
    let body = encoded(&produce_request(5, &records, -1), 12);
    let waiting: Vec<_> = (0..9).map(|_| broker.begin(ottla_wire::ApiKey::Produce, 12, None, &body)).collect();
    let (answer, out) = broker.begin(ottla_wire::ApiKey::Produce, 12, None, &body);
    let outcome = end(answer, out).await;
    let said = &outcome.decode::<ProduceResponse<'_>>(12).responses[0].partition_responses[0];
    assert_eq!(said.error_code, ErrorCode::NotLeaderOrFollower.as_i16());
    release(&broker).await;
    for (answer, out) in waiting {
        let outcome = end(answer, out).await;
        assert_eq!(outcome.decode::<ProduceResponse<'_>>(12).responses[0].partition_responses[0].error_code, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_while_its_logs_are_opened_is_gone_and_its_name_is_free() {
    for permits in [0, 1] {
        let broker = opening(false, permits).await;
        // One is in hand, and with a permit one is served; the others wait.
        if permits == 1 {
            served(&broker, 0).await;
        }
        let delete = Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name("logs".to_owned())] });
        broker.context.command(delete, deadline_after(60_000)).await.unwrap();
        assert_eq!(why(&broker, 3), Err(NotServing::UnknownPartition));
        broker.create_topic("logs", 6, &[]).await;
        release(&broker).await;
        for index in 0..6 {
            served(&broker, index).await;
            assert_eq!(append(&broker, index, &["new"]).await, Offset(1), "nothing of the old topic is in it");
        }
        assert!(folders(&broker).iter().all(|folder| !folder.ends_with("-stray")), "{:?}", folders(&broker));
        let broker = broker.restart(false).await;
        for index in 0..6 {
            assert_eq!(broker.partition("logs", index).watermarks().log_end, Offset(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_changed_while_a_log_is_opened_hold_for_it() {
    let broker = opening(false, 0).await;
    let alteration = ConfigAlteration { name: "max.message.bytes".to_owned(), op: AlterOp::Set, value: Some("70".to_owned()) };
    let resource = ConfigResourceAlteration { resource: ConfigResource::Topic(name(0).topic), alterations: vec![alteration] };
    let change = Command::AlterConfigs(AlterConfigs { resources: vec![resource], validate_only: false });
    broker.context.command(change, deadline_after(60_000)).await.unwrap();
    release(&broker).await;
    for index in 0..6 {
        assert_eq!(broker.partition("logs", index).with_log(|log| log.config().max_message_bytes), 70);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_meanwhile_leaves_what_is_not_open_as_it_was() {
    for cleanly in [true, false] {
        let broker = opening(cleanly, 1).await;
        served(&broker, 0).await;
        let (partitions, disk) = (Arc::clone(&broker.context.partitions), broker.disk.clone());
        // What is kept of the logs that are not open must not be overwritten meanwhile either.
        partitions.log_dirs()[0].write_checkpoint(checkpoints::Checkpoint::RecoveryPoints).unwrap();
        tokio::task::spawn_blocking(move || partitions.close(BrokerEpoch(9))).await.unwrap();
        assert_eq!(disk.read_all(Path::new("/d0/.kafka_cleanshutdown")).is_ok(), cleanly);
        for file in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
            let offsets = read_offsets(&disk, &Path::new("/d0").join(file)).unwrap();
            assert_eq!(offsets.into_iter().collect::<Vec<_>>(), (0..6).map(|index| (name(index), Offset(1))).collect::<Vec<_>>(), "{file}");
        }
        let broker = broker.restart_on(disk).await;
        assert!((0..6).all(|index| broker.partition("logs", index).high_watermark() == Offset(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_fails_meanwhile_keeps_nobody_waiting() {
    let broker = opening(false, 0).await;
    let records = batch(&["after"]);
    let body = encoded(&produce_request(5, &records, -1), 12);
    let (answer, out) = broker.begin(ottla_wire::ApiKey::Produce, 12, None, &body);
    broker.context.partitions.log_dirs()[0].fail("test", &std::io::Error::other("pulled"));
    let outcome = end(answer, out).await;
    let code = outcome.decode::<ProduceResponse<'_>>(12).responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::KafkaStorageError.as_i16());
    assert_eq!(why(&broker, 5), Err(NotServing::Offline));
    release(&broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_are_known_before_the_logs_are_open() {
    let broker = opening(true, 0).await;
    let image = broker.context.image();
    assert!((0..6).all(|index| image.partition("logs", PartitionId(index)).is_some_and(|p| p.leader == NodeId(1))));
    drop(image);
    release(&broker).await;
    let epoch = broker.context.image().partition("logs", PartitionId(2)).unwrap().leader_epoch;
    assert_eq!(broker.partition("logs", 2).leadership(), Leadership { leader: NodeId(1), epoch });
    assert!(broker.partition("logs", 2).check_leader(LeaderEpoch::NONE).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_end_goes_back_while_what_a_crash_has_left_becomes_durable() {
    let broker = TestBroker::with(ONE_DIR).await;
    broker.create_topic("logs", 1, &[]).await;
    append(&broker, 0, &["a", "b", "c"]).await;
    let broker = broker.restart_opening(false, 0).await;
    // Nothing becomes durable until this is let go.
    let dir = Arc::clone(&broker.context.partitions.log_dirs()[0]);
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (holds, is_held) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let _no_round = dir.queue.in_round.lock();
        holds.send(()).unwrap();
        let _ = held.recv();
    });
    is_held.recv().unwrap();
    release(&broker).await;
    assert_eq!(broker.partition("logs", 0).high_watermark(), Offset(0), "the process does not know yet what the disk has");
    let asked = ListOffsetsPartition { partition_index: 0, timestamp: -1, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: "logs", partitions: vec![asked] }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    let (answer, out) = broker.begin(ApiKey::ListOffsets, 11, None, &encoded(&request, 11));
    drop(let_go);
    let outcome = end(answer, out).await;
    let response: ListOffsetsResponse<'_> = outcome.decode(11);
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.offset), (0, 3));
    holder.join().unwrap();
}
