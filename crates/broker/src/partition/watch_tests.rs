//! Disks that are slow or hang: who notices, what network threads leave alone, and what becomes of those who wait.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use ottla_log::AppendOrigin;
use ottla_model::{Acks, LeaderEpoch, Offset};
use ottla_wire::message::fetch::FetchResponse;
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_wire::message::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use ottla_wire::{ApiKey, ErrorCode};

use super::watch::{Look, Seen};
use super::*;
use crate::context::deadline_after;
use crate::testing::{Outcome, START, TestBroker, batch, encoded, end, fetch_of, values};

async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.context.partitions.watch_disks().unwrap();
    broker.create_topic("logs", 2, &[]).await;
    assert_ne!(broker.partition("logs", 0).log_dir().id(), broker.partition("logs", 1).log_dir().id());
    broker
}

fn produce<'a>(indexes: &[i32], records: &'a [u8]) -> ProduceRequest<'a> {
    let partition_data = indexes.iter().map(|index| PartitionProduceData { index: *index, records: Some(records) }).collect();
    let topic_data = vec![TopicProduceData { name: "logs", partition_data, ..Default::default() }];
    ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data, ..Default::default() }
}

fn codes(outcome: &Outcome) -> Vec<i16> {
    let response = outcome.decode::<ProduceResponse<'_>>(12);
    response.responses[0].partition_responses.iter().map(|p| p.error_code).collect()
}

#[test]
fn a_call_is_slow_once_it_was_seen_often_enough_and_another_is_not_taken_for_it() {
    let calls = Calls::new(Arc::default());
    let mut seen = Seen::new();
    let slow = |look: Look| look.slow;
    let call = calls.enter(Call::Write);
    let sync = calls.enter(Call::Sync);
    for _ in 0..SLOW_LOOKS {
        assert_eq!(slow(seen.look(&calls)), 0);
    }
    let look = seen.look(&calls);
    assert_eq!((look.slow, look.longest.map(|(looks, _)| looks)), (1, Some(SLOW_LOOKS + 1)), "a sync may take long");
    drop(call);
    let next = calls.enter(Call::Write);
    let look = seen.look(&calls);
    assert!(look.is_busy && look.slow == 0);
    drop((next, sync));
    assert!(seen.look(&calls).is_busy, "something was done since the look before");
    assert!(!seen.look(&calls).is_busy);
}

#[test]
fn more_calls_than_there_are_slots_are_made_all_the_same() {
    let calls = Calls::new(Arc::default());
    let entered: Vec<_> = (0..100).map(|_| calls.enter(Call::Read)).collect();
    assert_eq!(entered.iter().flatten().count(), 64);
    drop(entered);
    assert!(calls.enter(Call::Read).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn network_threads_leave_a_slow_directory_alone_and_its_requests_are_served_elsewhere() {
    let broker = broker().await;
    let partition = broker.partition("logs", 0);
    let dir = Arc::clone(partition.log_dir());
    let slow_call = dir.calls().enter(Call::Write);
    dir.become_slow();
    assert_eq!(partition.check_leader(LeaderEpoch::NONE), Err(NotServing::Busy));
    assert_eq!(broker.partition("logs", 1).check_leader(LeaderEpoch::NONE), Ok(()));
    let records = batch(&["a"]);
    let outcome = broker.call(12, &produce(&[0, 1], &records)).await;
    assert_eq!(codes(&outcome), [0, 0]);
    let request = fetch_of("logs", 0, 0, 60_000);
    let outcome = broker.call(12, &request).await;
    let response = outcome.decode::<FetchResponse<'_>>(12);
    let ottla_wire::Records::Borrowed(bytes) = response.responses[0].partitions[0].records else { panic!("no records") };
    assert_eq!(values(bytes), [(0, "a".to_owned())]);
    drop(slow_call);
    // Back once it has been quick for a while: its state is looked at again and again by the thread that watches.
    while dir.is_slow() {
        tokio::task::yield_now().await;
    }
    assert_eq!(partition.check_leader(LeaderEpoch::NONE), Ok(()));
    assert!(!broker.context.partitions.has_unready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_return_takes_its_directory_offline_and_no_other() {
    let broker = broker().await;
    let (hung, sound) = (broker.partition("logs", 0), broker.partition("logs", 1));
    let call = hung.log_dir().calls().enter(Call::Write);
    tokio::time::timeout(Duration::from_secs(60), hung.log_dir().failed()).await.unwrap();
    assert_eq!(hung.check_leader(LeaderEpoch::NONE), Err(NotServing::Offline));
    let records = batch(&["a"]);
    let outcome = broker.call(12, &produce(&[0, 1], &records)).await;
    assert_eq!(codes(&outcome), [ErrorCode::KafkaStorageError.as_i16(), 0]);
    assert!(!sound.log_dir().is_offline() && !sound.log_dir().is_slow());
    drop(call);
    assert!(hung.log_dir().is_offline(), "until it is started again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_under_way_makes_no_directory_slow() {
    let broker = broker().await;
    let dir = Arc::clone(broker.partition("logs", 0).log_dir());
    let _sync = dir.calls().enter(Call::Sync);
    tokio::time::timeout(Duration::from_secs(60), dir.failed()).await.unwrap();
    // Through all those looks it never was, or the count of what is not ready would show it.
    assert!(!broker.context.partitions.has_unready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_a_disk_holds_up_is_seen_to_hold_up_its_thread() {
    let broker = broker().await;
    let release = hang(&broker.partition("logs", 0));
    let topics = vec![WritableTxnMarkerTopic { name: "logs", partition_indexes: vec![0] }];
    let marker = WritableTxnMarker {
        producer_id: 7,
        producer_epoch: 0,
        transaction_result: false,
        topics,
        coordinator_epoch: 0,
        transaction_version: 0,
    };
    let markers = vec![marker];
    let (answer, out) = broker.begin(ApiKey::WriteTxnMarkers, 2, None, &encoded(&WriteTxnMarkersRequest { markers }, 2));
    let answer = tokio::spawn(end(answer, out));
    let threads = broker.context.threads.clone();
    let seen = async move {
        while !matches!(Seen::new().look(threads.calls()).longest, Some((_, Call::Connection))) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.expect("others can stand in for it");
    drop(release);
    let outcome = answer.await.unwrap();
    let response = outcome.decode::<WriteTxnMarkersResponse<'_>>(2);
    assert_eq!(response.markers[0].topics[0].partitions[0].error_code, 0);
}

/// Holds a partition's log as a call to its disk does that hangs; dropped, it returns.
fn hang(partition: &Arc<Partition>) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (held, holds) = mpsc::channel();
    let partition = Arc::clone(partition);
    std::thread::spawn(move || {
        partition.with_log(|_| {
            held.send(()).unwrap();
            let _ = released.recv();
        });
    });
    holds.recv().unwrap();
    release
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_directory_that_hangs_is_answered_when_it_fails() {
    let broker = broker().await;
    let partition = broker.partition("logs", 0);
    let dir = Arc::clone(partition.log_dir());
    let release = hang(&partition);
    dir.become_slow();
    let records = batch(&["a"]);
    let alone = encoded(&produce(&[0], &records), 12);
    // More than may run at a time.
    let waiting: Vec<_> = (0..SLOW_REQUESTS_MAX + 2).map(|_| broker.begin(ApiKey::Produce, 12, None, &alone)).collect();
    let (mixed, mixed_out) = broker.begin(ApiKey::Produce, 12, None, &encoded(&produce(&[1, 0], &records), 12));
    let mixed = tokio::spawn(end(mixed, mixed_out));
    let waiting: Vec<_> = waiting.into_iter().map(|(answer, out)| tokio::spawn(end(answer, out))).collect();
    // A change of the metadata does not wait for it either.
    dir.fail("test", &std::io::Error::other("hung"));
    for answer in waiting {
        assert_eq!(codes(&answer.await.unwrap()), [ErrorCode::KafkaStorageError.as_i16()]);
    }
    let mixed = mixed.await.unwrap();
    assert!(matches!(&mixed, Outcome::Closed(crate::api::CloseReason::StorageHung { .. })), "what was done is not known: {mixed:?}");
    broker.create_topic("more", 2, &[]).await;
    assert_eq!(broker.partition("more", 1).check_leader(LeaderEpoch::NONE), Ok(()));
    drop(release);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_held_by_a_call_that_hangs_keeps_the_metadata_from_nothing() {
    let broker = broker().await;
    let partition = broker.partition("logs", 0);
    let dir = Arc::clone(partition.log_dir());
    let release = hang(&partition);
    let call = dir.calls().enter(Call::Write);
    // The topic's folder cannot be put out of the way; the directory fails over it, and the rest goes on.
    let delete = ottla_cluster::controller::DeleteTopics { topics: vec![ottla_cluster::controller::TopicRef::Name("logs".to_owned())] };
    broker.context.command(ottla_cluster::controller::Command::DeleteTopics(delete), deadline_after(60_000)).await.unwrap();
    assert!(dir.is_offline());
    broker.create_topic("more", 1, &[]).await;
    let options = AppendOptions { acks: Acks::All, origin: AppendOrigin::Client, now: START };
    let more = broker.partition("more", 0);
    more.append(&batch(&["x"]), options).unwrap();
    more.reach(Offset(1), deadline_after(60_000)).await.unwrap();
    // Nor a stop.
    let partitions = Arc::clone(&broker.context.partitions);
    tokio::task::spawn_blocking(move || partitions.close(ottla_model::BrokerEpoch(1))).await.unwrap();
    drop((call, release));
}
