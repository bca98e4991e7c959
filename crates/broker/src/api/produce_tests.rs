//! Produce through the registry: what is acknowledged, what is refused and how.

use std::time::Duration;

use ottla_log::Disk;
use ottla_wire::message::produce::{PartitionProduceData, TopicProduceData};
use ottla_wire::{ApiKey, Writer, batch};

use super::*;
use crate::testing::{Outcome, TestBroker, batch, batch_of, encoded, end};

fn request<'a>(acks: i16, topic: &'a str, records: Option<&'a [u8]>) -> ProduceRequest<'a> {
    let data = PartitionProduceData { index: 0, records };
    let topic = TopicProduceData { name: topic, partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() }
}

async fn produce(broker: &TestBroker, version: i16, request: &ProduceRequest<'_>) -> PartitionProduceResponse<'static> {
    let outcome = broker.call(version, request).await;
    let response: ProduceResponse<'_> = outcome.decode(version);
    let response = into_owned(response);
    response.responses.into_iter().next().unwrap().partition_responses.into_iter().next().unwrap()
}

fn code(response: &PartitionProduceResponse<'_>) -> ErrorCode {
    ErrorCode::from_i16(response.error_code).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_go_on_and_acks_all_is_answered_when_it_is_durable() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    for version in Produce::VERSIONS.filter(|v| *v < TOPIC_IDS_SINCE) {
        let batch = batch(&["a", "b"]);
        let response = produce(&broker, version, &request(-1, "logs", Some(&batch))).await;
        assert_eq!((code(&response), response.base_offset), (ErrorCode::None, i64::from(version - 3) * 2));
        let partition = broker.partition("logs", 0);
        assert_eq!(partition.with_log(|log| log.durable_end()), Offset(response.base_offset + 2), "acknowledged means durable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_all_waits_for_the_sync_and_acks_one_does_not() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    let (records, held) = (batch(&["a"]), Arc::clone(&partition));
    // No sync can begin while a round is under way, so nothing becomes durable.
    let round = held.log_dir().hold_syncs();
    let all = encoded(&request(-1, "logs", Some(&records)), 9);
    let (waiting, out) = broker.begin(ApiKey::Produce, 9, None, &all);
    assert!(matches!(waiting, Answer::Later(_)));
    let one = encoded(&request(1, "logs", Some(&records)), 9);
    assert!(matches!(broker.begin(ApiKey::Produce, 9, None, &one).0, Answer::Sent), "acks=1 is answered inline");
    assert_eq!(partition.high_watermark(), Offset(0));
    drop(round);
    let outcome = end(waiting, out).await;
    let response: ProduceResponse<'_> = outcome.decode(9);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    assert!(partition.high_watermark() >= Offset(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_all_is_timed_out_when_no_sync_comes() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    let _round = partition.log_dir().hold_syncs();
    let records = batch(&["a"]);
    let request = ProduceRequest { timeout_ms: 1, ..request(-1, "logs", Some(&records)) };
    let response = produce(&broker, 9, &request).await;
    assert_eq!((code(&response), response.base_offset), (ErrorCode::RequestTimedOut, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn write_caching_acknowledges_all_inline() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("write.caching", "true")]).await;
    let partition = broker.partition("logs", 0);
    let _round = partition.log_dir().hold_syncs();
    let records = batch(&["a", "b"]);
    let all = encoded(&request(-1, "logs", Some(&records)), 9);
    assert!(matches!(broker.begin(ApiKey::Produce, 9, None, &all).0, Answer::Sent));
    assert_eq!(broker.partition("logs", 0).high_watermark(), Offset(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_data_is_synced_in_the_background() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let records = batch(&["a"]);
    let none = encoded(&request(0, "logs", Some(&records)), 9);
    assert!(matches!(broker.call_bytes(ApiKey::Produce, 9, None, &none).await, Outcome::Nothing));
    let deadline = Instant::now() + Duration::from_secs(60);
    broker.partition("logs", 0).reach(Offset(1), deadline).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_refuses_is_refused_with_its_code() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("max.message.bytes", "1000")]).await;
    broker.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let good = batch(&["a"]);
    let mut bad_crc = good.clone();
    *bad_crc.last_mut().unwrap() ^= 1;
    let mut old_format = good.clone();
    old_format[batch::at::MAGIC] = 1;
    let twice = [good.clone(), good.clone()].concat();
    let large = batch(&["x".repeat(2000).as_str()]);
    let truncated = good[..good.len() - 1].to_vec();
    let mut wrong_count = good.clone();
    wrong_count[batch::at::RECORD_COUNT + 3] = 9;
    let zstd = batch_of(&["a"], Compression::Zstd, None);
    type Case<'a> = (i16, i16, &'a str, Option<&'a [u8]>, ErrorCode);
    let cases: &[Case<'_>] = &[
        (9, -1, "nowhere", Some(&good), ErrorCode::UnknownTopicOrPartition),
        (9, 2, "logs", Some(&good), ErrorCode::InvalidRequiredAcks),
        (9, -2, "logs", Some(&good), ErrorCode::InvalidRequiredAcks),
        (9, 1, "logs", None, ErrorCode::InvalidRecord),
        (9, 1, "logs", Some(&[]), ErrorCode::InvalidRecord),
        (9, 1, "logs", Some(&bad_crc), ErrorCode::CorruptMessage),
        (9, 1, "logs", Some(&truncated), ErrorCode::CorruptMessage),
        (9, 1, "logs", Some(&old_format), ErrorCode::InvalidRecord),
        (9, 1, "logs", Some(&twice), ErrorCode::InvalidRecord),
        (9, 1, "logs", Some(&large), ErrorCode::MessageTooLarge),
        (9, 1, "compacted", Some(&good), ErrorCode::InvalidRecord),
        (6, 1, "logs", Some(&zstd), ErrorCode::UnsupportedCompressionType),
    ];
    for (version, acks, topic, records, expected) in cases {
        let response = produce(&broker, *version, &request(*acks, topic, *records)).await;
        assert_eq!((code(&response), response.base_offset), (*expected, -1), "{topic} acks={acks}: {response:?}");
    }
    let response = produce(&broker, 9, &request(1, "logs", Some(&wrong_count))).await;
    assert_ne!(code(&response), ErrorCode::None, "a count that does not hold");
    assert_eq!(broker.partition("logs", 0).watermarks().log_end, Offset(0), "nothing of it was written");
    let response = produce(&broker, 9, &request(1, "logs", Some(&good))).await;
    assert_eq!((code(&response), response.base_offset), (ErrorCode::None, 0), "and the partition still takes what is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_out_of_range_and_one_of_another_topic_fail_alone() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let good = batch(&["a"]);
    let data = |index| PartitionProduceData { index, records: Some(&good) };
    let topic = TopicProduceData { name: "logs", partition_data: vec![data(-1), data(0), data(1)], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    let outcome = broker.call(12, &request).await;
    let response: ProduceResponse<'_> = outcome.decode(12);
    let codes: Vec<i16> = response.responses[0].partition_responses.iter().map(|p| p.error_code).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.as_i16();
    assert_eq!(codes, [unknown, 0, unknown]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_without_acks_closes_the_connection() {
    let broker = TestBroker::start().await;
    let good = batch(&["a"]);
    let outcome = broker.call(9, &request(0, "nowhere", Some(&good))).await;
    assert!(matches!(&outcome, Outcome::Closed(CloseReason::UnacknowledgedProduceFailed(why)) if why.contains("nowhere-0")), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_ids_name_the_topic_from_version_13_on() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("logs", 1, &[]).await;
    let good = batch(&["a"]);
    for (id, expected) in [(id.0, ErrorCode::None), (ottla_model::Uuid::from_bytes([3; 16]), ErrorCode::UnknownTopicId)] {
        let data = PartitionProduceData { index: 0, records: Some(&good) };
        let topic = TopicProduceData { topic_id: id, partition_data: vec![data], ..Default::default() };
        let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
        let outcome = broker.call(13, &request).await;
        let response: ProduceResponse<'_> = outcome.decode(13);
        assert_eq!(response.responses[0].topic_id, id);
        assert_eq!(code(&response.responses[0].partition_responses[0]), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_producer_is_answered_with_its_first_offset_and_held_to_its_sequence() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let send = |sequence: i32| batch_of(&["a", "b"], Compression::None, Some((4000, 0, sequence)));
    let mut answers = Vec::new();
    for sequence in [0, 2, 0, 2, 7] {
        let records = send(sequence);
        let response = produce(&broker, 9, &request(-1, "logs", Some(&records))).await;
        answers.push((code(&response), response.base_offset));
    }
    let wanted = [
        (ErrorCode::None, 0),
        (ErrorCode::None, 2),
        (ErrorCode::None, 0),
        (ErrorCode::None, 2),
        (ErrorCode::OutOfOrderSequenceNumber, -1),
    ];
    assert_eq!(answers, wanted);
    assert_eq!(broker.partition("logs", 0).watermarks().log_end, Offset(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_in_sync_replicas_refuse_acks_all_only() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("min.insync.replicas", "2")]).await;
    let good = batch(&["a"]);
    assert_eq!(code(&produce(&broker, 9, &request(-1, "logs", Some(&good))).await), ErrorCode::NotEnoughReplicas);
    assert_eq!(code(&produce(&broker, 9, &request(1, "logs", Some(&good))).await), ErrorCode::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_topics_are_refused() {
    let broker = TestBroker::start().await;
    broker.create_topic("__consumer_offsets", 1, &[]).await;
    let good = batch(&["a"]);
    assert_eq!(code(&produce(&broker, 9, &request(1, "__consumer_offsets", Some(&good))).await), ErrorCode::InvalidTopicException);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_takes_its_directory_offline_and_wakes_who_waits() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    let records = batch(&["a"]);
    let round = partition.log_dir().hold_syncs();
    let all = encoded(&request(-1, "logs", Some(&records)), 9);
    let (waiting, out) = broker.begin(ApiKey::Produce, 9, None, &all);
    broker.disk.set_fault(Some(ottla_log::disk::Fault::Halt { call: broker.disk.calls() }));
    drop(round);
    let outcome = end(waiting, out).await;
    let response: ProduceResponse<'_> = outcome.decode(9);
    assert_eq!(code(&response.responses[0].partition_responses[0]), ErrorCode::KafkaStorageError);
    assert!(partition.log_dir().is_offline());
    assert_eq!(partition.high_watermark(), Offset(0), "what was not synced is not shown");
    assert_eq!(code(&produce(&broker, 9, &request(1, "logs", Some(&records))).await), ErrorCode::KafkaStorageError);
    assert!(broker.disk.list_dir(std::path::Path::new("/d0")).is_err(), "the disk is dead in this test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_falls_behind_holds_its_producers_back_until_it_has_caught_up() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("write.caching", "true")]).await;
    let dir = Arc::clone(broker.partition("logs", 0).log_dir());
    let records = batch(&["a"]);
    dir.set_unsynced_bytes_max(records.len() as u64);
    let round = dir.hold_syncs();
    let body = |acks| encoded(&request(acks, "logs", Some(&records)), 9);
    assert!(matches!(broker.begin(ApiKey::Produce, 9, None, &body(1)).0, Answer::Sent), "as much as may wait");
    let mut waiting: Vec<_> = [0, 1, -1].into_iter().map(|acks| broker.begin(ApiKey::Produce, 9, None, &body(acks))).collect();
    assert!(waiting.iter().all(|(answer, _)| matches!(answer, Answer::Held(_))), "beyond the bound nothing of the connection goes on");
    let mut early = Box::pin(end(waiting.pop().unwrap().0, Writer::new()));
    assert!(futures_pending(early.as_mut()).await, "no answer while the disk is behind");
    drop(round);
    let outcome = early.await;
    let response: ProduceResponse<'_> = outcome.decode(9);
    assert_eq!((response.responses[0].partition_responses[0].error_code, response.responses[0].partition_responses[0].base_offset), (0, 3));
    let (one, none) = (waiting.pop().unwrap(), waiting.pop().unwrap());
    assert!(matches!(end(one.0, one.1).await, Outcome::Answer(_)));
    assert!(matches!(end(none.0, none.1).await, Outcome::Nothing), "acks=0 waits too, and is not answered");
    assert!(!dir.is_behind());
}

/// Whether a future is not done when it is first looked at.
async fn futures_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_lets_go_of_those_it_held_back() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("write.caching", "true")]).await;
    let dir = Arc::clone(broker.partition("logs", 0).log_dir());
    dir.set_unsynced_bytes_max(0);
    let _round = dir.hold_syncs();
    let records = batch(&["a"]);
    let (held, out) = broker.begin(ApiKey::Produce, 9, None, &encoded(&request(1, "logs", Some(&records)), 9));
    assert!(matches!(held, Answer::Held(_)));
    dir.fail("test", &std::io::Error::other("the disk is gone"));
    assert!(matches!(end(held, out).await, Outcome::Answer(_)));
}
