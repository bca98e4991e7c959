//! Fetch through the registry: what is read, what is waited for, what is told of a session.

use std::time::Duration;

use ottla_wire::ApiKey;
use ottla_wire::message::fetch::{FetchPartition, ForgottenTopic, ReplicaState};

use super::*;
use crate::partition::AppendOptions;
use crate::testing::{Outcome, START, TestBroker, batch, encoded, end, values};

fn partition(index: i32, offset: i64) -> FetchPartition {
    FetchPartition { partition: index, fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() }
}

fn request<'a>(topic: &'a str, partitions: Vec<FetchPartition>) -> FetchRequest<'a> {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic { topic, partitions, ..Default::default() }],
        ..Default::default()
    }
}

/// Writes batches such that consumers see them.
async fn write(broker: &TestBroker, topic: &str, index: i32, batches: &[&[&str]]) {
    let partition = broker.partition(topic, index);
    let options = AppendOptions { acks: ottla_model::Acks::All, origin: ottla_log::AppendOrigin::Client, now: START };
    let mut end = Offset(0);
    for values in batches {
        end = partition.append(&batch(values), options).unwrap().last_offset.plus(1);
    }
    partition.reach(end, Instant::now() + Duration::from_secs(60)).await.unwrap();
}

fn one<'a, 'r>(response: &'a FetchResponse<'r>) -> &'a PartitionData<'r> {
    &response.responses[0].partitions[0]
}

fn bytes<'r>(data: &PartitionData<'r>) -> &'r [u8] {
    match data.records {
        Records::Borrowed(bytes) => bytes,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_in_every_version() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    write(&broker, "logs", 0, &[&["a", "b"], &["c"]]).await;
    for version in 4..TOPIC_IDS_SINCE {
        let outcome = broker.call(version, &request("logs", vec![partition(0, 0)])).await;
        let response: FetchResponse<'_> = outcome.decode(version);
        assert_eq!(response.responses[0].topic, "logs");
        let data = one(&response);
        assert_eq!((data.error_code, data.high_watermark), (0, 3));
        assert_eq!(values(bytes(data)), [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())], "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_ids_name_topics_from_version_13_on() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("logs", 1, &[]).await;
    write(&broker, "logs", 0, &[&["a"]]).await;
    for version in TOPIC_IDS_SINCE..=18 {
        for (id, expected) in [(id.0, ErrorCode::None), (Uuid::from_bytes([5; 16]), ErrorCode::UnknownTopicId)] {
            let mut request = request("", vec![partition(0, 0)]);
            request.topics[0].topic_id = id;
            let outcome = broker.call(version, &request).await;
            let response: FetchResponse<'_> = outcome.decode(version);
            assert_eq!(response.responses[0].topic_id, id);
            assert_eq!(one(&response).error_code, expected.as_i16(), "version {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_told_by_partition_and_at_once() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    write(&broker, "logs", 0, &[&["a"]]).await;
    // Each start of the broker is a new leadership.
    let broker = broker.restart(true).await;
    let epoch = broker.partition("logs", 0).leadership().epoch.0;
    let with_epoch = |epoch| FetchPartition { current_leader_epoch: epoch, ..partition(0, 0) };
    let cases = [
        ("nowhere", partition(0, 0), ErrorCode::UnknownTopicOrPartition),
        ("a/b", partition(0, 0), ErrorCode::UnknownTopicOrPartition),
        ("logs", partition(7, 0), ErrorCode::UnknownTopicOrPartition),
        ("logs", partition(-1, 0), ErrorCode::UnknownTopicOrPartition),
        ("logs", partition(0, 2), ErrorCode::OffsetOutOfRange),
        ("logs", partition(0, -1), ErrorCode::OffsetOutOfRange),
        ("logs", partition(0, i64::MAX), ErrorCode::OffsetOutOfRange),
        ("logs", with_epoch(epoch - 1), ErrorCode::FencedLeaderEpoch),
        ("logs", with_epoch(epoch + 1), ErrorCode::UnknownLeaderEpoch),
        ("logs", with_epoch(epoch), ErrorCode::None),
    ];
    for (topic, asked, expected) in cases {
        let request = FetchRequest { max_wait_ms: 60_000, min_bytes: 1, ..request(topic, vec![asked.clone()]) };
        let outcome = broker.call(12, &request).await;
        let response: FetchResponse<'_> = outcome.decode(12);
        assert_eq!(ErrorCode::from_i16(one(&response).error_code), Some(expected), "{topic} {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_is_refused() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let old = FetchRequest { replica_id: 2, ..request("logs", vec![partition(0, 0)]) };
    let outcome = broker.call(11, &old).await;
    assert_eq!(one(&outcome.decode(11)).error_code, ErrorCode::NotLeaderOrFollower.as_i16());
    let id = broker.partition("logs", 0).topic_id();
    let mut new = FetchRequest { replica_state: ReplicaState { replica_id: 2, replica_epoch: 1 }, ..request("", vec![partition(0, 0)]) };
    new.topics[0].topic_id = id.0;
    let outcome = broker.call(17, &new).await;
    let response: FetchResponse<'_> = outcome.decode(17);
    assert_eq!(one(&response).error_code, ErrorCode::NotLeaderOrFollower.as_i16());
    assert_eq!((one(&response).current_leader.leader_id, response.node_endpoints[0].host.as_ref()), (1, "broker.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_at_the_end_is_parked_and_woken_by_an_append() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let body = encoded(&FetchRequest { max_wait_ms: 60_000, ..request("logs", vec![partition(0, 0)]) }, 11);
    let (parked, out) = broker.begin(ApiKey::Fetch, 11, None, &body);
    assert!(matches!(parked, Answer::Later(_)));
    let answered = tokio::spawn(end(parked, out));
    // acks=1: written, not durable; the parked fetch asks for its sync.
    let options = AppendOptions { acks: ottla_model::Acks::Leader, origin: ottla_log::AppendOrigin::Client, now: START };
    broker.partition("logs", 0).append(&batch(&["late"]), options).unwrap();
    let outcome = answered.await.unwrap();
    let response: FetchResponse<'_> = outcome.decode(11);
    assert_eq!(values(bytes(one(&response))), [(0, "late".to_owned())]);
    assert_eq!(broker.context.purgatory.watches(), 0);
    assert!(broker.partition("logs", 0).wait_list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_fetch_is_answered_empty_at_its_deadline_and_when_the_topic_goes() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let outcome = broker.call(11, &FetchRequest { max_wait_ms: 5, ..request("logs", vec![partition(0, 0)]) }).await;
    let response: FetchResponse<'_> = outcome.decode(11);
    assert_eq!((one(&response).error_code, bytes(one(&response)).len()), (0, 0));

    let body = encoded(&FetchRequest { max_wait_ms: 60_000, ..request("logs", vec![partition(0, 0)]) }, 11);
    let (parked, out) = broker.begin(ApiKey::Fetch, 11, None, &body);
    let answered = tokio::spawn(end(parked, out));
    let delete = ottla_cluster::controller::DeleteTopics { topics: vec![ottla_cluster::controller::TopicRef::Name("logs".to_owned())] };
    let command = ottla_cluster::controller::Command::DeleteTopics(delete);
    broker.context.command(command, crate::context::deadline_after(60_000)).await.unwrap();
    let outcome = answered.await.unwrap();
    let response: FetchResponse<'_> = outcome.decode(11);
    assert_eq!(one(&response).error_code, ErrorCode::UnknownTopicOrPartition.as_i16());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_finds_purgatory_full_is_answered_at_once() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let _all = broker.context.purgatory.admit(crate::purgatory::WATCHES_MAX).unwrap();
    let body = encoded(&FetchRequest { max_wait_ms: 60_000, ..request("logs", vec![partition(0, 0)]) }, 11);
    assert!(matches!(broker.begin(ApiKey::Fetch, 11, None, &body).0, Answer::Sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_but_the_first_batch_always_comes() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    let (a, b) = ("a".repeat(500), "b".repeat(500));
    for index in 0..2 {
        write(&broker, "logs", index, &[&[&a], &[&b]]).await;
    }
    let batch_bytes = batch(&[&a]).len();
    let fetch = |max_bytes: usize, partition_max: usize| {
        let asked = |index| FetchPartition { partition_max_bytes: partition_max as i32, ..partition(index, 0) };
        FetchRequest { max_bytes: max_bytes as i32, ..request("logs", vec![asked(0), asked(1)]) }
    };
    for (max_bytes, partition_max, expected) in [
        (1, 1 << 20, [1, 0]),
        (0, 0, [1, 0]),
        (1 << 20, 1, [1, 0]),
        (batch_bytes, 1 << 20, [1, 0]),
        (3 * batch_bytes, 1 << 20, [2, 1]),
        (1 << 20, batch_bytes, [1, 1]),
        (1 << 20, 1 << 20, [2, 2]),
    ] {
        let outcome = broker.call(11, &fetch(max_bytes, partition_max)).await;
        let response: FetchResponse<'_> = outcome.decode(11);
        let batches: Vec<usize> = response.responses[0].partitions.iter().map(|p| bytes(p).len() / batch_bytes).collect();
        assert_eq!(batches, expected, "max_bytes {max_bytes}, partition_max_bytes {partition_max}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_tells_news_only_and_takes_turns() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    write(&broker, "logs", 0, &[&["a"]]).await;
    let full = FetchRequest { session_epoch: 0, ..request("logs", vec![partition(0, 1), partition(1, 0)]) };
    let outcome = broker.call(12, &full).await;
    let response: FetchResponse<'_> = outcome.decode(12);
    let session_id = response.session_id;
    assert!(session_id > 0 && response.responses[0].partitions.len() == 2);

    let next = |epoch| FetchRequest { session_id, session_epoch: epoch, topics: vec![], ..request("", vec![]) };
    let outcome = broker.call(12, &next(1)).await;
    assert!(outcome.decode::<FetchResponse<'_>>(12).responses.is_empty(), "no news");
    write(&broker, "logs", 1, &[&["b"]]).await;
    let outcome = broker.call(12, &next(2)).await;
    let response: FetchResponse<'_> = outcome.decode(12);
    assert_eq!((response.session_id, one(&response).partition_index), (session_id, 1));
    assert_eq!(values(bytes(one(&response))), [(0, "b".to_owned())]);

    let outcome = broker.call(12, &next(9)).await;
    assert_eq!(outcome.decode::<FetchResponse<'_>>(12).error_code, ErrorCode::InvalidFetchSessionEpoch.as_i16());
    let unknown = FetchRequest { session_id: session_id ^ 1, ..next(3) };
    let outcome = broker.call(12, &unknown).await;
    assert_eq!(outcome.decode::<FetchResponse<'_>>(12).error_code, ErrorCode::FetchSessionIdNotFound.as_i16());

    let forget = ForgottenTopic { topic: "logs", partitions: vec![1], ..Default::default() };
    let outcome = broker.call(12, &FetchRequest { forgotten_topics_data: vec![forget], ..next(3) }).await;
    assert!(outcome.decode::<FetchResponse<'_>>(12).responses.is_empty());
    let close = FetchRequest { session_epoch: -1, ..next(0) };
    let outcome = broker.call(12, &close).await;
    assert_eq!((outcome.decode::<FetchResponse<'_>>(12).session_id, broker.context.fetch_sessions.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_above_the_high_watermark_is_shown() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition0 = broker.partition("logs", 0);
    let round = partition0.log_dir().hold_syncs();
    let options = AppendOptions { acks: ottla_model::Acks::All, origin: ottla_log::AppendOrigin::Client, now: START };
    partition0.append(&batch(&["a"]), options).unwrap();
    let outcome = broker.call(11, &request("logs", vec![partition(0, 0)])).await;
    let response: FetchResponse<'_> = outcome.decode(11);
    assert_eq!((one(&response).high_watermark, bytes(one(&response)).len()), (0, 0));
    drop(round);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_batch_is_a_corrupt_message_and_its_neighbours_are_served() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    write(&broker, "logs", 0, &[&["a"], &["b", "b"], &["c"]]).await;
    let broker = broker.restart(true).await;
    let folder = broker.partition("logs", 0).log_dir().path().join("logs-0");
    let in_the_second = batch(&["a"]).len() + 70;
    broker.disk.damage(&folder.join("00000000000000000000.log"), in_the_second, 1).unwrap();
    // Again and again: the bytes are never seen.
    for _ in 0..3 {
        for (offset, expected) in [(0, Some((0, "a"))), (1, None), (2, None), (3, Some((3, "c")))] {
            let request = FetchRequest { max_wait_ms: 60_000, ..request("logs", vec![partition(0, offset)]) };
            let outcome = broker.call(12, &request).await;
            let response: FetchResponse<'_> = outcome.decode(12);
            let code = if expected.is_some() { ErrorCode::None } else { ErrorCode::CorruptMessage };
            assert_eq!(ErrorCode::from_i16(one(&response).error_code), Some(code), "offset {offset}");
            let found = if expected.is_some() { values(bytes(one(&response))) } else { Vec::new() };
            assert_eq!(found, expected.map(|(at, value)| (at, value.to_owned())).into_iter().collect::<Vec<_>>());
        }
    }
    assert_eq!(broker.context.partitions.damages_found(), 1, "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_checks_a_bounded_part_and_does_not_wait_for_more() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 3, &[]).await;
    let value = "x".repeat(400_000);
    for index in 0..3 {
        write(&broker, "logs", index, &[&[&value], &[&value]]).await;
    }
    let broker = broker.restart(true).await;
    let asked = FetchRequest {
        max_wait_ms: 3_600_000,
        min_bytes: 2_000_000,
        max_bytes: 8 << 20,
        ..request("logs", vec![partition(0, 0), partition(1, 0), partition(2, 0)])
    };
    let mut counts = Vec::new();
    for _ in 0..2 {
        let outcome = broker.call(11, &asked).await;
        let response: FetchResponse<'_> = outcome.decode(11);
        counts.push(response.responses[0].partitions.iter().map(|p| values(bytes(p)).len()).collect::<Vec<_>>());
    }
    assert_eq!(counts, [vec![2, 1, 0], vec![2, 2, 2]], "the rest with the next request");
}

#[tokio::test(flavor = "multi_thread")]
async fn divergence_is_told_from_the_epoch_last_fetched() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    write(&broker, "logs", 0, &[&["a", "b"]]).await;
    let epoch = broker.partition("logs", 0).leadership().epoch.0;
    let broker = broker.restart(true).await;
    write(&broker, "logs", 0, &[&["c", "d"]]).await;
    let asked = FetchPartition { last_fetched_epoch: epoch, ..partition(0, 4) };
    let outcome = broker.call(12, &request("logs", vec![asked])).await;
    let response: FetchResponse<'_> = outcome.decode(12);
    let told = &one(&response).diverging_epoch;
    assert_eq!((told.epoch, told.end_offset), (epoch, 2));
    let agreed = FetchPartition { last_fetched_epoch: epoch, ..partition(0, 2) };
    let outcome = broker.call(12, &request("logs", vec![agreed])).await;
    let response: FetchResponse<'_> = outcome.decode(12);
    assert_eq!(one(&response).diverging_epoch, EpochEndOffset::default());
    assert_eq!(values(bytes(one(&response))), [(2, "c".to_owned()), (3, "d".to_owned())]);
    let unheard_of = FetchPartition { last_fetched_epoch: epoch + 9, ..partition(0, 2) };
    let outcome = broker.call(12, &request("logs", vec![unheard_of])).await;
    assert_eq!(one(&outcome.decode::<FetchResponse<'_>>(12)).error_code, ErrorCode::OffsetOutOfRange.as_i16());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bodies_close_the_connection() {
    let broker = TestBroker::start().await;
    let body = encoded(&request("logs", vec![partition(0, 0)]), 12);
    for cut in 0..body.len() {
        let outcome = broker.call_bytes(ApiKey::Fetch, 12, None, &body[..cut]).await;
        assert!(matches!(outcome, Outcome::Closed(_) | Outcome::Answer(_)), "cut at {cut}");
    }
    let outcome = broker.call_bytes(ApiKey::Fetch, 99, None, &body).await;
    assert!(matches!(outcome, Outcome::Closed(super::super::CloseReason::UnsupportedVersion { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_checked_is_not_read_on_the_thread_that_asks() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    write(&broker, "logs", 0, &[&["a"], &["b"]]).await;
    let broker = broker.restart(true).await;
    let asked = encoded(&request("logs", vec![partition(0, 0)]), 11);
    let begin = || broker.begin(ApiKey::Fetch, 11, None, &asked);
    for round in 0..2 {
        let calls = broker.disk.calls();
        let (answer, out) = begin();
        // Checked once, it is given as what was just written is.
        assert_eq!(matches!(answer, Answer::Later(_)), round == 0, "round {round}");
        assert!(round > 0 || broker.disk.calls() <= calls + 1, "an index at most was looked at");
        let outcome = end(answer, out).await;
        assert_eq!(values(bytes(one(&outcome.decode(11)))), [(0, "a".to_owned()), (1, "b".to_owned())]);
    }
}
