//! A consumer in a group whose coordinator refuses, forgets it, and calls it to rebalance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::{
    Admin, ClientError, Consumer, ConsumerConfig, ErrorCode, GroupProtocol, Offset, OffsetReset, Producer, ProducerConfig,
    RebalanceListener, TopicPartition,
};
use ottla_model::Uuid;
use ottla_wire::ApiKey;

use super::scripted::ScriptedBroker;
use super::{connect, partition, produce, read};

/// What the consumer was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn note(&self, what: &str, partitions: &[TopicPartition]) {
        let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        self.0.lock().expect("no panic").push(format!("{what} {}", names.join(" ")));
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

impl RebalanceListener for Told {
    fn on_assigned(&mut self, partitions: &[TopicPartition]) {
        self.note("assigned", partitions);
    }

    fn on_revoked(&mut self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Offset> {
        self.note("revoked", partitions);
        BTreeMap::new()
    }

    fn on_lost(&mut self, partitions: &[TopicPartition]) {
        self.note("lost", partitions);
    }
}

fn quick_member() -> ConsumerConfig {
    ConsumerConfig::default()
        .group_id("g".to_owned())
        .auto_offset_reset(OffsetReset::Earliest)
        .heartbeat_interval_ms(20u32)
        .auto_commit_interval_ms(600_000u32)
}

async fn broker_with(records: usize) -> ScriptedBroker {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let client = connect(&broker).await;
    // A batch for each record.
    let producer = Producer::new(&client, ProducerConfig::default().batch_size(0u32)).expect("it succeeds");
    for value in 0..records {
        produce(&producer, "t", [format!("{value}")]).await;
    }
    broker
}

async fn subscribed(broker: &ScriptedBroker, config: ConsumerConfig) -> (Consumer, Told) {
    let told = Told::default();
    let mut consumer = Consumer::new(&connect(broker).await, config).expect("it succeeds");
    consumer.subscribe(&["t"], told.clone()).await.expect("it succeeds");
    (consumer, told)
}

fn story(broker: &ScriptedBroker) -> Vec<String> {
    broker.state.lock().group.story.clone()
}

/// Asks for records until something holds: rebalances happen while records are asked for.
async fn poll_until(consumer: &mut Consumer, what: &str, mut holds: impl FnMut() -> bool) {
    let polling = async {
        while !holds() {
            consumer.poll(Duration::from_millis(5)).await.expect("it succeeds");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), polling).await.unwrap_or_else(|_| panic!("{what} did not come to be"));
}

#[tokio::test]
async fn a_member_begins_where_the_group_has_come_to_and_commits_what_it_was_given_when_it_closes() {
    let broker = broker_with(5).await;
    broker.state.lock().group.offsets.insert(("t".to_owned(), 0), 2);
    let (mut consumer, told) = subscribed(&broker, quick_member()).await;
    assert_eq!(read(&mut consumer, 2).await, [(2, "2".to_owned()), (3, "3".to_owned())]);
    assert_eq!(consumer.committed(&[partition("t", 0)]).await.unwrap()[&partition("t", 0)].offset, Offset(2));
    consumer.close().await.unwrap();
    assert_eq!(story(&broker), ["join ``", "join `m1`", "commit t-0 4 as `m1` 1", "leave m1"]);
    assert_eq!(told.all(), ["assigned t-0", "revoked t-0"]);
}

#[tokio::test]
async fn a_coordinator_that_loads_or_has_moved_is_asked_again() {
    let broker = broker_with(1).await;
    {
        let mut state = broker.state.lock();
        state.group.refuse(ApiKey::FindCoordinator, &[ErrorCode::CoordinatorNotAvailable]);
        state.group.refuse(ApiKey::JoinGroup, &[ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator]);
        state.group.refuse(ApiKey::SyncGroup, &[ErrorCode::NotCoordinator]);
        state.group.refuse(ApiKey::OffsetFetch, &[ErrorCode::CoordinatorLoadInProgress, ErrorCode::UnstableOffsetCommit]);
        state.group.refuse(ApiKey::OffsetCommit, &[ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator]);
        state.group.refuse(ApiKey::Heartbeat, &[ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress]);
    }
    let (mut consumer, told) = subscribed(&broker, quick_member()).await;
    assert_eq!(read(&mut consumer, 1).await, [(0, "0".to_owned())]);
    consumer.commit().await.unwrap();
    assert_eq!(broker.state.lock().group.offsets[&("t".to_owned(), 0)], 1);
    poll_until(&mut consumer, "five heartbeats", || broker.state.lock().count(ApiKey::Heartbeat) >= 5).await;
    assert_eq!(told.all(), ["assigned t-0"], "nothing of it costs the member its partitions");
    let admin = Admin::new(&connect(&broker).await);
    broker.state.lock().group.refuse(ApiKey::OffsetCommit, &[ErrorCode::NotCoordinator]);
    admin.alter_group_offsets("other", &BTreeMap::from([(partition("t", 0), Offset(7))])).await.unwrap();
    assert_eq!(story(&broker).last().unwrap(), "commit t-0 7 as `` -1");
}

#[tokio::test]
async fn a_rebalance_takes_what_was_handed_out_as_done_and_not_what_is_ready() {
    let broker = broker_with(5).await;
    let (mut consumer, told) = subscribed(&broker, quick_member()).await;
    assert_eq!(read(&mut consumer, 2).await.len(), 2);
    broker.state.lock().group.refuse(ApiKey::Heartbeat, &[ErrorCode::RebalanceInProgress]);
    // The consumer works on what it was given: nothing is taken from it meanwhile.
    let called = async {
        while !broker.state.lock().group.refuse[&ApiKey::Heartbeat.as_i16()].is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), called).await.unwrap();
    assert_eq!(told.all(), ["assigned t-0"]);
    let rest = read(&mut consumer, 3).await;
    let expected: Vec<(i64, String)> = (2..5).map(|n| (n, n.to_string())).collect();
    assert_eq!(rest, expected, "none twice, none left out");
    poll_until(&mut consumer, "the next generation", || told.all().len() == 3).await;
    assert_eq!(told.all(), ["assigned t-0", "revoked t-0", "assigned t-0"]);
    let committed = story(&broker).iter().filter(|line| line.starts_with("commit")).cloned().collect::<Vec<_>>();
    assert!(committed.len() == 1 && committed[0].ends_with("as `m1` 1"), "with the generation that had them: {committed:?}");
}

#[tokio::test]
async fn cooperative_members_keep_what_they_have_through_a_rebalance() {
    let broker = broker_with(3).await;
    let config = quick_member().set("partition.assignment.strategy", "cooperative-sticky").unwrap();
    let (mut consumer, told) = subscribed(&broker, config).await;
    assert_eq!(read(&mut consumer, 3).await.len(), 3);
    broker.state.lock().group.refuse(ApiKey::Heartbeat, &[ErrorCode::RebalanceInProgress]);
    poll_until(&mut consumer, "the next generation", || story(&broker).len() == 3).await;
    poll_until(&mut consumer, "the assignment", || told.all().len() == 2).await;
    assert_eq!(told.all(), ["assigned t-0", "assigned "]);
    assert_eq!(consumer.assignment().count(), 1);
}

#[tokio::test]
async fn a_member_that_was_forgotten_loses_what_it_had_and_joins_as_another() {
    let broker = broker_with(3).await;
    let (mut consumer, told) = subscribed(&broker, quick_member()).await;
    assert_eq!(read(&mut consumer, 3).await.len(), 3);
    broker.state.lock().group.refuse(ApiKey::Heartbeat, &[ErrorCode::UnknownMemberId]);
    poll_until(&mut consumer, "the new membership", || told.all().len() == 3).await;
    assert_eq!(told.all(), ["assigned t-0", "lost t-0", "assigned t-0"]);
    assert_eq!(story(&broker), ["join ``", "join `m1`", "join ``", "join `m2`"], "nothing of it is committed");
    assert_eq!(read(&mut consumer, 1).await, [(0, "0".to_owned())], "the group has come no further");
}

#[tokio::test]
async fn what_a_group_refuses_for_good_is_said_with_each_call() {
    let broker = broker_with(1).await;
    broker.state.lock().group.refuse(ApiKey::JoinGroup, &[ErrorCode::InconsistentGroupProtocol]);
    let (mut consumer, _) = subscribed(&broker, quick_member()).await;
    for _ in 0..2 {
        let error = consumer.next_batch().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InconsistentGroupProtocol));
        assert!(error.to_string().contains("group `g`"), "{error}");
    }
}

#[tokio::test]
async fn a_member_that_does_not_ask_for_records_gives_way_and_comes_back() {
    let broker = broker_with(2).await;
    let (mut consumer, told) = subscribed(&broker, quick_member().max_poll_interval_ms(100u32)).await;
    assert_eq!(read(&mut consumer, 1).await.len(), 1);
    let left = async {
        while !story(&broker).iter().any(|line| line == "leave m1") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), left).await.unwrap();
    poll_until(&mut consumer, "another membership", || told.all().len() >= 3).await;
    assert_eq!(told.all()[..3], ["assigned t-0", "lost t-0", "assigned t-0"]);
}

#[tokio::test]
async fn without_a_group_there_is_no_subscribing_and_no_committing() {
    let broker = broker_with(1).await;
    let mut consumer = Consumer::new(&connect(&broker).await, ConsumerConfig::default()).unwrap();
    for error in [consumer.subscribe(&["t"], ()).await.unwrap_err(), consumer.commit().await.unwrap_err()] {
        assert!(error.to_string().contains("group.id"), "{error}");
    }
    let (mut member, _) = subscribed(&broker, quick_member()).await;
    let error = member.assign(vec![partition("t", 0)]).await.unwrap_err();
    assert!(matches!(error, ClientError::InvalidArgument(_)), "{error}");
}

#[tokio::test]
async fn offsets_are_committed_by_and_by_and_never_ahead_of_the_work() {
    let broker = broker_with(4).await;
    let (mut consumer, _) = subscribed(&broker, quick_member().auto_commit_interval_ms(0u32)).await;
    for done in 0..4 {
        let batch = consumer.next_batch().await.unwrap();
        assert_eq!(batch.last_offset(), Offset(done));
        let committed = broker.state.lock().group.offsets.get(&("t".to_owned(), 0)).copied();
        assert_eq!(committed.unwrap_or(0), done, "the batch at hand is not done yet");
    }
    poll_until(&mut consumer, "the last commit", || broker.state.lock().group.offsets[&("t".to_owned(), 0)] == 4).await;
}

#[tokio::test]
async fn by_the_consumer_protocol_partitions_are_given_up_before_others_are_taken() {
    let broker = ScriptedBroker::start(&[("t", 3)]).await;
    let id = Uuid::from_bytes([2; 16]);
    broker.state.lock().group.target = Some((id, vec![0, 1]));
    let (mut consumer, told) = subscribed(&broker, quick_member().group_protocol(GroupProtocol::Consumer)).await;
    consumer.wait_for_assignment().await.unwrap();
    broker.state.lock().group.target = Some((id, vec![1, 2]));
    poll_until(&mut consumer, "the second target", || told.all().len() == 3).await;
    assert_eq!(told.all(), ["assigned t-0 t-1", "revoked t-0", "assigned t-2"]);
    // What lies between may be said in one heartbeat.
    poll_until(&mut consumer, "the report", || story(&broker).last().unwrap() == "beat 1 has Some([1, 2])").await;
    assert_eq!(story(&broker)[0], "beat 0 has Some([])");
    broker.state.lock().group.refuse(ApiKey::ConsumerGroupHeartbeat, &[ErrorCode::FencedMemberEpoch]);
    broker.state.lock().group.target = Some((id, vec![2]));
    poll_until(&mut consumer, "the new membership", || told.all().len() == 5).await;
    assert_eq!(told.all()[3..], ["lost t-1 t-2", "assigned t-2"]);
    consumer.close().await.unwrap();
    assert_eq!(story(&broker).last().unwrap(), "beat -1 has None");
}
