//! Transactions as partitions and groups see them, through the registry, with a coordinator that says what the test wants it to.

use ottla_model::{Clock as _, Offset, PartitionId, ProducerEpoch, ProducerId, TopicName};
use ottla_wire::batch::BatchBuilder;
use ottla_wire::compress::Compression;
use ottla_wire::message::describe_producers::{DescribeProducersRequest, DescribeProducersResponse, ProducerState, TopicRequest};
use ottla_wire::message::fetch::{FetchRequest, FetchResponse};
use ottla_wire::message::list_offsets::{
    LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ottla_wire::message::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse};
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_wire::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
};
use ottla_wire::message::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use ottla_wire::{ApiKey, Records, Writer};
use tokio::sync::{mpsc, oneshot};

use super::super::Answer;
use super::*;
use crate::coordinator::{OFFSETS_TOPIC, partition_of};
use crate::testing::{START, TestBroker, batch, encoded, end, fetch_of, values};

/// What the coordinator was asked.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    id: String,
    owner: (i64, i16),
    partitions: Vec<String>,
    ask: Ask,
}

type Question = (Asked, BTreeSet<TopicPartition>, oneshot::Sender<TakesPart>);

/// A coordinator whose questions the test answers.
fn asked_by_hand(broker: &TestBroker) -> mpsc::UnboundedReceiver<Question> {
    let (questions, asked) = mpsc::unbounded_channel();
    *broker.context.scripted_coordinator.lock() = Some(Box::new(move |id, owner, partitions, ask| {
        let (answer, answered) = oneshot::channel();
        let shown = Asked {
            id: id.to_owned(),
            owner: (owner.producer_id.0, owner.producer_epoch.0),
            partitions: partitions.iter().map(ToString::to_string).collect(),
            ask,
        };
        questions.send((shown, partitions, answer)).unwrap();
        Box::pin(async move { answered.await.unwrap() })
    }));
    asked
}

/// A coordinator that says this of every partition.
fn says(broker: &TestBroker, code: ErrorCode) {
    *broker.context.scripted_coordinator.lock() = Some(Box::new(move |_, _, partitions, _| {
        let answer = partitions.into_iter().map(|partition| (partition, code)).collect();
        Box::pin(std::future::ready(Ok(answer)))
    }));
}

fn yes(partitions: BTreeSet<TopicPartition>) -> TakesPart {
    Ok(partitions.into_iter().map(|partition| (partition, ErrorCode::None)).collect())
}

fn txn_batch(producer: (i64, i16, i32), values: &[&str]) -> Vec<u8> {
    let (id, epoch, sequence) = producer;
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20).producer(id, epoch, sequence).transactional();
    for value in values {
        builder.append(START.0, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build().unwrap()
}

fn request<'a>(partitions: &[(i32, &'a [u8])]) -> ProduceRequest<'a> {
    let partition_data = partitions.iter().map(|(index, records)| PartitionProduceData { index: *index, records: Some(records) }).collect();
    let topic = TopicProduceData { name: "logs", partition_data, ..Default::default() };
    ProduceRequest { transactional_id: Some("txn"), acks: -1, timeout_ms: 30_000, topic_data: vec![topic] }
}

/// Error, base offset and message of each partition.
type Results = Vec<(ErrorCode, i64, Option<String>)>;

fn results(response: &ProduceResponse<'_>) -> Results {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let result = |p: &ottla_wire::message::produce::PartitionProduceResponse<'_>| {
        (ErrorCode::from_i16(p.error_code).unwrap(), p.base_offset, p.error_message.as_deref().map(str::to_owned))
    };
    partitions.map(result).collect()
}

async fn ended(answer: (Answer, Writer), version: i16) -> Results {
    results(&end(answer.0, answer.1).await.decode::<ProduceResponse<'_>>(version))
}

async fn produce(broker: &TestBroker, version: i16, records: &[u8]) -> (ErrorCode, i64) {
    let outcome = broker.call(version, &request(&[(0, records)])).await;
    let (code, base, _) = results(&outcome.decode::<ProduceResponse<'_>>(version)).remove(0);
    (code, base)
}

fn begin(broker: &TestBroker, version: i16, partitions: &[(i32, &[u8])]) -> (Answer, Writer) {
    broker.begin(ApiKey::Produce, version, Some("test"), &encoded(&request(partitions), version))
}

fn marker(producer: (i64, i16), commit: bool, coordinator_epoch: i32, version: i8) -> WritableTxnMarker<'static> {
    WritableTxnMarker {
        producer_id: producer.0,
        producer_epoch: producer.1,
        transaction_result: commit,
        topics: vec![WritableTxnMarkerTopic { name: "logs", partition_indexes: vec![0] }],
        coordinator_epoch,
        transaction_version: version,
    }
}

async fn write_markers(broker: &TestBroker, markers: Vec<WritableTxnMarker<'_>>) -> Vec<ErrorCode> {
    let outcome = broker.call(2, &WriteTxnMarkersRequest { markers }).await;
    let response: WriteTxnMarkersResponse<'_> = outcome.decode(2);
    let partitions = response.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions);
    partitions.map(|partition| ErrorCode::from_i16(partition.error_code).unwrap()).collect()
}

/// What a consumer reads from the start of `logs`: its values, the last stable offset, and the aborted transactions.
async fn read(broker: &TestBroker, isolation_level: i8) -> (Vec<(i64, String)>, i64, Vec<(i64, i64)>) {
    let fetch = FetchRequest { isolation_level, ..fetch_of("logs", 0, 0, 0) };
    let outcome = broker.call(11, &fetch).await;
    let response: FetchResponse<'_> = outcome.decode(11);
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let mut found = Vec::new();
    let Records::Borrowed(bytes) = partition.records else { panic!("not bytes: {:?}", partition.records) };
    for view in ottla_wire::batch::Batches::new(bytes).map(Result::unwrap).filter(|view| !view.is_control()) {
        found.extend(values(view.bytes()));
    }
    let aborted = partition.aborted_transactions.iter().flatten().map(|a| (a.producer_id, a.first_offset)).collect();
    (found, partition.last_stable_offset, aborted)
}

async fn latest(broker: &TestBroker, isolation_level: i8) -> i64 {
    let asked = ListOffsetsPartition { partition_index: 0, timestamp: LATEST_TIMESTAMP, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: "logs", partitions: vec![asked] }];
    let outcome = broker.call(7, &ListOffsetsRequest { replica_id: -1, isolation_level, topics, ..Default::default() }).await;
    outcome.decode::<ListOffsetsResponse<'_>>(7).topics[0].partitions[0].offset
}

async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_batch_waits_for_the_coordinator_and_what_follows_does_not() {
    for (version, ask) in [(12, Ask::Add), (11, Ask::Verify)] {
        let broker = broker().await;
        let mut questions = asked_by_hand(&broker);
        let (first, second) = (txn_batch((7, 0, 0), &["a", "b"]), txn_batch((7, 0, 2), &["c"]));
        let waiting = begin(&broker, version, &[(0, &first), (1, &txn_batch((7, 0, 0), &["x"]))]);
        assert!(matches!(waiting.0, Answer::Held(_)), "the connection's next requests wait too");
        let (asked, partitions, answer) = questions.recv().await.unwrap();
        let expected = Asked { id: "txn".to_owned(), owner: (7, 0), partitions: vec!["logs-0".to_owned(), "logs-1".to_owned()], ask };
        assert_eq!(asked, expected);
        assert_eq!(broker.partition("logs", 0).watermarks().log_end, Offset(0), "nothing is written yet");
        assert!(broker.context.deferred.held_bytes() > 0);
        answer.send(yes(partitions)).unwrap();
        assert_eq!(ended(waiting, version).await, [(ErrorCode::None, 0, None), (ErrorCode::None, 0, None)]);
        assert_eq!(broker.context.deferred.held_bytes(), 0);
        let next = begin(&broker, version, &[(0, &second)]);
        assert!(matches!(next.0, Answer::Later(_) | Answer::Sent), "appended on the spot");
        assert_eq!(ended(next, version).await, [(ErrorCode::None, 2, None)]);
        assert_eq!(ended(begin(&broker, version, &[(0, &first)]), version).await, [(ErrorCode::None, 0, None)], "sent again");
        assert!(questions.try_recv().is_err(), "nobody is asked again");
        let all = ["a", "b", "c"].iter().zip(0..).map(|(value, at)| (at, (*value).to_owned())).collect::<Vec<_>>();
        assert_eq!(read(&broker, 0).await.0, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_coordinator_refuses_is_refused_with_kafkas_codes() {
    use ErrorCode as E;
    let broker = broker().await;
    let unverified = "Unable to verify the partition has been added to the transaction. Underlying error: ";
    let cases = [
        (12, E::InvalidTxnState, E::InvalidTxnState),
        (12, E::ConcurrentTransactions, E::ConcurrentTransactions),
        (11, E::ConcurrentTransactions, E::NotEnoughReplicas),
        (12, E::NotCoordinator, E::NotEnoughReplicas),
        (12, E::CoordinatorNotAvailable, E::NotEnoughReplicas),
        (12, E::CoordinatorLoadInProgress, E::NotEnoughReplicas),
        (12, E::ProducerFenced, E::InvalidProducerEpoch),
        (12, E::InvalidProducerEpoch, E::InvalidProducerEpoch),
        (12, E::InvalidProducerIdMapping, E::InvalidProducerIdMapping),
        (11, E::TransactionAbortable, E::TransactionAbortable),
        (10, E::TransactionAbortable, E::InvalidTxnState),
    ];
    for (version, said, told) in cases {
        says(&broker, said);
        let result = ended(begin(&broker, version, &[(0, &txn_batch((7, 0, 0), &["a"]))]), version).await.remove(0);
        assert_eq!((result.0, result.1), (told, -1), "{version} {said}");
        if told == E::NotEnoughReplicas {
            assert_eq!(result.2.unwrap(), format!("{unverified}{said}"));
        }
    }
    *broker.context.scripted_coordinator.lock() = Some(Box::new(|_, _, _, _| Box::pin(std::future::ready(Err(E::NotCoordinator)))));
    assert_eq!(produce(&broker, 12, &txn_batch((7, 0, 0), &["a"])).await, (E::NotEnoughReplicas, -1));
    assert_eq!(broker.partition("logs", 0).watermarks().log_end, Offset(0), "nothing was written");
    let nameless = ProduceRequest { transactional_id: None, ..request(&[]) };
    let records = txn_batch((7, 0, 0), &["a"]);
    let nameless = ProduceRequest { topic_data: request(&[(0, &records)]).topic_data, ..nameless };
    let outcome = broker.call(12, &nameless).await;
    assert_eq!(results(&outcome.decode::<ProduceResponse<'_>>(12))[0].0, E::TransactionalIdAuthorizationFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_partition_has_its_own_answer_and_plain_batches_do_not_wait() {
    let broker = broker().await;
    let mut questions = asked_by_hand(&broker);
    let (first, plain) = (txn_batch((7, 0, 0), &["a"]), batch(&["p"]));
    let waiting = begin(&broker, 12, &[(0, &first), (1, &plain)]);
    assert_eq!(broker.partition("logs", 1).watermarks().log_end, Offset(1));
    let (asked, partitions, answer) = questions.recv().await.unwrap();
    assert_eq!(asked.partitions, ["logs-0"]);
    answer.send(Ok(partitions.into_iter().map(|p| (p, ErrorCode::InvalidTxnState)).collect())).unwrap();
    let results = ended(waiting, 12).await;
    assert_eq!(results[0], (ErrorCode::InvalidTxnState, -1, Some("Partition was not added to the transaction".to_owned())));
    assert_eq!(results[1], (ErrorCode::None, 0, None));
    let other = txn_batch((8, 0, 0), &["b"]);
    let waiting = begin(&broker, 12, &[(0, &first), (1, &other)]);
    let (asked, partitions, answer) = questions.recv().await.unwrap();
    assert_eq!((asked.owner, asked.partitions), ((7, 0), vec!["logs-0".to_owned()]));
    answer.send(yes(partitions)).unwrap();
    let codes: Vec<_> = ended(waiting, 12).await.into_iter().map(|result| result.0).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::InvalidProducerIdMapping]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_between_the_question_and_the_append_refuses_the_batch() {
    let broker = broker().await;
    let mut questions = asked_by_hand(&broker);
    let late = begin(&broker, 11, &[(0, &txn_batch((7, 0, 0), &["late"]))]);
    let (_, partitions, answer) = questions.recv().await.unwrap();
    // By version 1 the marker has the same epoch, so the epoch does not tell.
    assert_eq!(write_markers(&broker, vec![marker((7, 0), false, 1, 0)]).await, [ErrorCode::None]);
    answer.send(yes(partitions)).unwrap();
    let result = ended(late, 11).await.remove(0);
    assert_eq!((result.0, result.1), (ErrorCode::InvalidTxnState, -1), "{result:?}");
    assert_eq!(read(&broker, 0).await.0, [], "it never lands in the next transaction");
    says(&broker, ErrorCode::None);
    assert_eq!(produce(&broker, 11, &txn_batch((7, 0, 0), &["next"])).await, (ErrorCode::None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_are_not_verified_where_that_is_switched_off() {
    let broker = TestBroker::with(&[("transaction.partition.verification.enable", "false")]).await;
    broker.create_topic("logs", 1, &[]).await;
    says(&broker, ErrorCode::InvalidTxnState);
    assert_eq!(produce(&broker, 11, &txn_batch((7, 0, 0), &["a"])).await, (ErrorCode::None, 0));
    assert_eq!(produce(&broker, 12, &txn_batch((8, 0, 0), &["a"])).await.0, ErrorCode::InvalidTxnState, "V2 always asks");
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_readers_see_nothing_of_open_and_aborted_transactions() {
    let broker = broker().await;
    says(&broker, ErrorCode::None);
    assert_eq!(produce(&broker, 12, &batch(&["before"])).await, (ErrorCode::None, 0));
    assert_eq!(produce(&broker, 12, &txn_batch((7, 0, 0), &["a"])).await, (ErrorCode::None, 1));
    assert_eq!(produce(&broker, 12, &txn_batch((8, 0, 0), &["b"])).await, (ErrorCode::None, 2));
    let value = |at: i64, text: &str| (at, text.to_owned());
    assert_eq!(read(&broker, 1).await, (vec![value(0, "before")], 1, vec![]));
    assert_eq!(read(&broker, 0).await.0.len(), 3);
    assert_eq!((latest(&broker, 1).await, latest(&broker, 0).await), (1, 3));
    // The first of both ends, so the end of what is stable moves up to the other.
    assert_eq!(write_markers(&broker, vec![marker((7, 1), false, 1, 2)]).await, [ErrorCode::None]);
    let (found, stable, aborted) = read(&broker, 1).await;
    assert_eq!((found, stable, aborted), (vec![value(0, "before"), value(1, "a")], 2, vec![(7, 1)]), "to be skipped by the consumer");
    assert_eq!(write_markers(&broker, vec![marker((8, 1), true, 1, 2)]).await, [ErrorCode::None]);
    let (found, stable, aborted) = read(&broker, 1).await;
    assert_eq!((found, stable, aborted), (vec![value(0, "before"), value(1, "a"), value(2, "b")], 5, vec![(7, 1)]));
    assert_eq!(latest(&broker, 1).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_epochs_and_newer_coordinators_fence_older_ones() {
    let broker = broker().await;
    says(&broker, ErrorCode::None);
    assert_eq!(produce(&broker, 12, &txn_batch((7, 3, 0), &["a"])).await, (ErrorCode::None, 0));
    let refused = write_markers(&broker, vec![marker((7, 3), true, 5, 2), marker((7, 2), true, 5, 0)]).await;
    assert_eq!(refused, [ErrorCode::InvalidProducerEpoch; 2], "of an earlier transaction; of an earlier producer");
    assert_eq!(write_markers(&broker, vec![marker((7, 4), true, 5, 2)]).await, [ErrorCode::None]);
    assert_eq!(write_markers(&broker, vec![marker((7, 4), true, 5, 2)]).await, [ErrorCode::None], "sent again");
    assert_eq!(write_markers(&broker, vec![marker((7, 5), true, 4, 2)]).await, [ErrorCode::TransactionCoordinatorFenced]);
    assert_eq!(produce(&broker, 12, &txn_batch((7, 3, 1), &["late"])).await, (ErrorCode::InvalidProducerEpoch, -1));
    assert_eq!(produce(&broker, 12, &txn_batch((7, 4, 1), &["gap"])).await, (ErrorCode::OutOfOrderSequenceNumber, -1));
    assert_eq!(produce(&broker, 12, &txn_batch((7, 4, 0), &["next"])).await, (ErrorCode::None, 3));
    assert_eq!(read(&broker, 0).await.0, [(0, "a".to_owned()), (3, "next".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_of_unknown_partitions_are_refused_each_by_itself() {
    let broker = broker().await;
    let topics = vec![
        WritableTxnMarkerTopic { name: "nowhere", partition_indexes: vec![0] },
        WritableTxnMarkerTopic { name: "logs", partition_indexes: vec![5, 1] },
        WritableTxnMarkerTopic { name: "no such name!", partition_indexes: vec![0] },
    ];
    let codes = write_markers(&broker, vec![WritableTxnMarker { topics, ..marker((7, 0), false, 1, 0) }]).await;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(codes, [unknown, unknown, ErrorCode::None, unknown]);
    assert_eq!(broker.partition("logs", 1).watermarks().log_end, Offset(1));
}

async fn described(broker: &TestBroker, partition: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let topics = vec![TopicRequest { name: "logs", partition_indexes: vec![partition] }];
    let outcome = broker.call(0, &DescribeProducersRequest { topics }).await;
    let response: DescribeProducersResponse<'_> = outcome.decode(0);
    let partition = response.topics.into_iter().next().unwrap().partitions.remove(0);
    match ErrorCode::from_i16(partition.error_code).unwrap() {
        ErrorCode::None => Ok(partition.active_producers),
        code => Err(code),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_survives_a_restart_and_can_be_ended_by_hand() {
    for cleanly in [true, false] {
        let broker = broker().await;
        says(&broker, ErrorCode::None);
        assert_eq!(produce(&broker, 12, &txn_batch((7, 3, 0), &["a", "b"])).await, (ErrorCode::None, 0));
        let broker = broker.restart(cleanly).await;
        let mut questions = asked_by_hand(&broker);
        let open = ProducerState {
            producer_id: 7,
            producer_epoch: 3,
            last_sequence: 1,
            last_timestamp: START.0,
            coordinator_epoch: -1,
            current_txn_start_offset: 0,
        };
        assert_eq!(described(&broker, 0).await, Ok(vec![open.clone()]));
        assert_eq!(described(&broker, 9).await, Err(ErrorCode::UnknownTopicOrPartition));
        assert_eq!(produce(&broker, 12, &txn_batch((7, 3, 2), &["c"])).await, (ErrorCode::None, 2));
        assert!(questions.try_recv().is_err(), "it is open still, so nobody is asked");
        assert_eq!(read(&broker, 1).await, (vec![], 0, vec![]));
        // As kafka-transactions does it: with the epochs that DescribeProducers told.
        assert_eq!(write_markers(&broker, vec![marker((7, 3), false, -1, 0)]).await, [ErrorCode::None]);
        let now = broker.clock.now().0;
        let ended = ProducerState { last_sequence: 2, last_timestamp: now, current_txn_start_offset: -1, ..open };
        assert_eq!(described(&broker, 0).await, Ok(vec![ended]));
        let (_, stable, aborted) = read(&broker, 1).await;
        assert_eq!((stable, aborted), (4, vec![(7, 0)]));
    }
}

async fn commit(broker: &TestBroker, version: i16, producer: (i64, i16), offset: i64) -> ErrorCode {
    let partition = TxnOffsetCommitRequestPartition { partition_index: 0, committed_offset: offset, ..Default::default() };
    let topics = vec![TxnOffsetCommitRequestTopic { name: "logs", partitions: vec![partition] }];
    let request = TxnOffsetCommitRequest {
        transactional_id: "txn",
        group_id: "g",
        producer_id: producer.0,
        producer_epoch: producer.1,
        topics,
        ..Default::default()
    };
    let outcome = broker.call(version, &request).await;
    let response: TxnOffsetCommitResponse<'_> = outcome.decode(version);
    ErrorCode::from_i16(response.topics[0].partitions[0].error_code).unwrap()
}

async fn committed(broker: &TestBroker, require_stable: bool) -> Result<i64, ErrorCode> {
    let topics = vec![OffsetFetchRequestTopics { name: "logs", partition_indexes: vec![0], ..Default::default() }];
    let groups = vec![OffsetFetchRequestGroup { group_id: "g", topics: Some(topics), ..Default::default() }];
    let outcome = broker.call(8, &OffsetFetchRequest { groups, require_stable, ..Default::default() }).await;
    let response: OffsetFetchResponse<'_> = outcome.decode(8);
    assert_eq!(response.groups[0].error_code, 0);
    let partition = &response.groups[0].topics[0].partitions[0];
    match ErrorCode::from_i16(partition.error_code).unwrap() {
        ErrorCode::None => Ok(partition.committed_offset),
        code => Err(code),
    }
}

fn group_marker(broker: &TestBroker, producer: (i64, i16), commit: bool, version: i8) -> WritableTxnMarker<'static> {
    let index = partition_of(&broker.context.image(), OFFSETS_TOPIC, "g").unwrap().0;
    let topics = vec![WritableTxnMarkerTopic { name: OFFSETS_TOPIC, partition_indexes: vec![index] }];
    WritableTxnMarker { topics, ..marker(producer, commit, 1, version) }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_of_a_transaction_count_from_its_marker_on() {
    let broker = broker().await;
    broker.create_topic(OFFSETS_TOPIC, 3, &[("cleanup.policy", "compact")]).await;
    says(&broker, ErrorCode::None);
    assert_eq!(commit(&broker, 5, (7, 0), 42).await, ErrorCode::None);
    assert_eq!((committed(&broker, false).await, committed(&broker, true).await), (Ok(-1), Err(ErrorCode::UnstableOffsetCommit)));
    assert_eq!(write_markers(&broker, vec![group_marker(&broker, (7, 1), true, 2)]).await, [ErrorCode::None]);
    assert_eq!((committed(&broker, false).await, committed(&broker, true).await), (Ok(42), Ok(42)));
    assert_eq!(commit(&broker, 5, (7, 1), 50).await, ErrorCode::None);
    let broker = broker.restart(false).await;
    assert_eq!(committed(&broker, true).await, Err(ErrorCode::UnstableOffsetCommit), "the restart keeps it open");
    assert_eq!(write_markers(&broker, vec![group_marker(&broker, (7, 2), false, 2)]).await, [ErrorCode::None]);
    assert_eq!((committed(&broker, false).await, committed(&broker, true).await), (Ok(42), Ok(42)), "aborted offsets never were");
    let index = partition_of(&broker.context.image(), OFFSETS_TOPIC, "g").unwrap();
    let partition = broker.partition(OFFSETS_TOPIC, index.0);
    assert_eq!(partition.with_log(|log| log.open_transaction(ProducerId(7))), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_refused_as_batches_are() {
    use ErrorCode as E;
    let broker = broker().await;
    assert_eq!(commit(&broker, 5, (7, 0), 1).await, E::NotCoordinator, "there is no topic yet");
    broker.create_topic(OFFSETS_TOPIC, 1, &[("cleanup.policy", "compact")]).await;
    let cases = [
        (5, E::InvalidTxnState, E::InvalidTxnState),
        (4, E::TransactionAbortable, E::TransactionAbortable),
        (3, E::TransactionAbortable, E::InvalidTxnState),
        (5, E::ProducerFenced, E::InvalidProducerEpoch),
        (5, E::ConcurrentTransactions, E::ConcurrentTransactions),
        (4, E::ConcurrentTransactions, E::CoordinatorLoadInProgress),
        (3, E::NotCoordinator, E::CoordinatorLoadInProgress),
        (1, E::NotCoordinator, E::CoordinatorNotAvailable),
    ];
    for (version, said, told) in cases {
        says(&broker, said);
        assert_eq!(commit(&broker, version, (7, 0), 1).await, told, "{version} {said}");
    }
    says(&broker, E::None);
    assert_eq!(commit(&broker, 3, (7, 3), 1).await, E::None);
    assert_eq!(commit(&broker, 3, (7, 2), 9).await, E::InvalidProducerEpoch, "fenced by the log of the group's partition");
    let late = write_markers(&broker, vec![group_marker(&broker, (7, 3), true, 2)]).await;
    assert_eq!(late, [E::InvalidProducerEpoch], "a marker of an earlier transaction");
    assert_eq!(committed(&broker, true).await, Err(E::UnstableOffsetCommit), "which changes nothing");
    assert_eq!(write_markers(&broker, vec![group_marker(&broker, (7, 4), true, 2)]).await, [E::None]);
    assert_eq!(committed(&broker, true).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_between_the_question_and_the_commit_refuses_the_offsets() {
    let broker = broker().await;
    broker.create_topic(OFFSETS_TOPIC, 1, &[("cleanup.policy", "compact")]).await;
    let mut questions = asked_by_hand(&broker);
    let committing = commit(&broker, 4, (7, 0), 9);
    let ending = async {
        let (asked, partitions, answer) = questions.recv().await.unwrap();
        assert_eq!((asked.ask, asked.partitions), (Ask::Verify, vec!["__consumer_offsets-0".to_owned()]));
        assert_eq!(write_markers(&broker, vec![group_marker(&broker, (7, 0), false, 0)]).await, [ErrorCode::None]);
        answer.send(yes(partitions)).unwrap();
    };
    let (code, ()) = tokio::join!(committing, ending);
    assert_eq!(code, ErrorCode::InvalidTxnState);
    assert_eq!(committed(&broker, true).await, Ok(-1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_of_markers_waits_until_they_are_durable() {
    let broker = broker().await;
    let context = Arc::clone(&broker.context);
    let partition = broker.partition("logs", 0);
    let round = partition.log_dir().hold_syncs();
    let name = TopicPartition::new(TopicName::new("logs").unwrap(), PartitionId(0));
    let marker = crate::txn_markers::Marker {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        coordinator_epoch: 1,
        commit: true,
        version: ottla_cluster::transaction::TransactionVersion::Classic,
    };
    let mut writing = Box::pin(async move { crate::txn_markers::write(&context.partitions, &context.groups, &name, marker).await });
    let early = std::future::poll_fn(|cx| std::task::Poll::Ready(writing.as_mut().poll(cx).is_ready())).await;
    assert!(!early && partition.watermarks().log_end == Offset(1), "written, and not known to stay");
    drop(round);
    assert_eq!(writing.await, Ok(()));
    assert_eq!(partition.with_log(|log| log.durable_end()), Offset(1));
}
