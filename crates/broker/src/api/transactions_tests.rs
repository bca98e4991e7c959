//! The APIs of transactions through a whole broker: real partitions of `__transaction_state` on a disk in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_cluster::transaction::{Owner, TransactionVersion, TransactionalId};
use ottla_model::{PartitionId, ProducerEpoch, ProducerId, TopicName, TopicPartition};
use ottla_wire::message::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use ottla_wire::message::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use ottla_wire::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::message::describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use ottla_wire::message::end_txn::{EndTxnRequest, EndTxnResponse};
use ottla_wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::message::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use ottla_wire::{ApiKey, ErrorCode};
use parking_lot::Mutex;

use crate::coordinator::{Ask, TRANSACTIONS_TOPIC, partition_of};
use crate::testing::{TestBroker, encoded};
use crate::txn_markers::Marker;

const CONFIGS: &[(&str, &str)] = &[
    ("transaction.state.log.num.partitions", "3"),
    ("offsets.topic.num.partitions", "3"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1"),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", "1"),
];
const ID: &str = "orders";
/// Versions of the clients of `transaction.version` 0 and 2.
const END_V1: i16 = 4;
const END_V2: i16 = 5;

type Markers = Arc<Mutex<Vec<(TopicPartition, Marker)>>>;

/// A broker whose partitions take each marker at once.
async fn broker() -> (TestBroker, Markers) {
    broker_with(&[]).await
}

async fn broker_with(more: &[(&str, &str)]) -> (TestBroker, Markers) {
    let broker = TestBroker::with(&[CONFIGS, more].concat()).await;
    broker.create_topic("logs", 3, &[]).await;
    let markers = take_markers(&broker);
    assert_eq!(find(&broker).await, (0, 1));
    (broker, markers)
}

fn take_markers(broker: &TestBroker) -> Markers {
    let taken = Markers::default();
    let into = Arc::clone(&taken);
    broker.context.transactions.script_markers(move |partition, marker| {
        into.lock().push((partition.clone(), marker));
        Ok(())
    });
    taken
}

/// No partition takes a marker.
fn refuse_markers(broker: &TestBroker, code: ErrorCode) {
    broker.context.transactions.script_markers(move |_, _| Err(code));
}

async fn find(broker: &TestBroker) -> (i16, i32) {
    let request = FindCoordinatorRequest { key_type: 1, coordinator_keys: vec![ID], ..Default::default() };
    let outcome = broker.call(4, &request).await;
    let found: FindCoordinatorResponse<'_> = outcome.decode(4);
    (found.coordinators[0].error_code, found.coordinators[0].node_id)
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_i16(code).unwrap()
}

type Given = Result<(i64, i16), ErrorCode>;

async fn init_as(broker: &TestBroker, id: &str, has: (i64, i16), timeout_ms: i32, version: i16) -> Given {
    let request = InitProducerIdRequest {
        transactional_id: Some(id),
        transaction_timeout_ms: timeout_ms,
        producer_id: has.0,
        producer_epoch: has.1,
    };
    let outcome = broker.call(version, &request).await;
    let response: InitProducerIdResponse = outcome.decode(version);
    match code(response.error_code) {
        ErrorCode::None => Ok((response.producer_id, response.producer_epoch)),
        error => {
            assert_eq!((response.producer_id, response.producer_epoch), (-1, -1));
            Err(error)
        }
    }
}

async fn init(broker: &TestBroker) -> Given {
    init_as(broker, ID, (-1, -1), 60_000, 5).await
}

/// Until what was left open is aborted.
async fn init_in_the_end(broker: &TestBroker) -> (i64, i16) {
    let deadline = crate::context::deadline_after(30_000);
    loop {
        match init(broker).await {
            Err(ErrorCode::ConcurrentTransactions) if tokio::time::Instant::now() < deadline => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

fn topics(names: &[(&'static str, &[i32])]) -> Vec<AddPartitionsToTxnTopic<'static>> {
    names.iter().map(|(name, partitions)| AddPartitionsToTxnTopic { name, partitions: partitions.to_vec() }).collect()
}

async fn add_topics(broker: &TestBroker, has: (i64, i16), names: &[(&'static str, &[i32])], version: i16) -> Vec<ErrorCode> {
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: ID,
        v3_and_below_producer_id: has.0,
        v3_and_below_producer_epoch: has.1,
        v3_and_below_topics: topics(names),
        ..Default::default()
    };
    let outcome = broker.call(version, &request).await;
    let response: AddPartitionsToTxnResponse<'_> = outcome.decode(version);
    response.results_by_topic_v3_and_below.iter().flat_map(|t| &t.results_by_partition).map(|p| code(p.partition_error_code)).collect()
}

async fn add(broker: &TestBroker, has: (i64, i16), partitions: &[i32]) -> ErrorCode {
    let codes = add_topics(broker, has, &[("logs", partitions)], 3).await;
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    codes[0]
}

async fn end(broker: &TestBroker, has: (i64, i16), committed: bool, version: i16) -> Given {
    let request = EndTxnRequest { transactional_id: ID, producer_id: has.0, producer_epoch: has.1, committed };
    let outcome = broker.call(version, &request).await;
    let response: EndTxnResponse = outcome.decode(version);
    match code(response.error_code) {
        ErrorCode::None => Ok((response.producer_id, response.producer_epoch)),
        error => Err(error),
    }
}

/// State, producer, epoch and partitions.
async fn described(broker: &TestBroker, id: &str) -> Result<(String, i64, i16, Vec<(String, Vec<i32>)>), ErrorCode> {
    let outcome = broker.call(0, &DescribeTransactionsRequest { transactional_ids: vec![id] }).await;
    let response: DescribeTransactionsResponse<'_> = outcome.decode(0);
    let state = &response.transaction_states[0];
    assert_eq!(state.transactional_id, id);
    let topics = state.topics.iter().map(|topic| (topic.topic.to_string(), topic.partitions.clone())).collect();
    match code(state.error_code) {
        ErrorCode::None => Ok((state.transaction_state.to_string(), state.producer_id, state.producer_epoch, topics)),
        error => Err(error),
    }
}

/// Waits until a transaction is in this state: each question is an event that the coordinator handles.
async fn until(broker: &TestBroker, state: &str) {
    until_described(broker, Ok(state)).await;
}

async fn until_described(broker: &TestBroker, expected: Result<&str, ErrorCode>) {
    let deadline = crate::context::deadline_after(30_000);
    loop {
        let found = described(broker, ID).await.map(|known| known.0);
        if found.as_deref().map_err(|code| *code) == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "it is still {found:?}, not {expected:?}");
        tokio::task::yield_now().await;
    }
}

fn owner(has: (i64, i16)) -> Owner {
    Owner { producer_id: ProducerId(has.0), producer_epoch: ProducerEpoch(has.1) }
}

fn logs(partitions: &[i32]) -> BTreeSet<TopicPartition> {
    partitions.iter().map(|index| TopicPartition::new(TopicName::new("logs").unwrap(), PartitionId(*index))).collect()
}

async fn take_part(broker: &TestBroker, has: (i64, i16), partitions: &[i32], ask: Ask) -> Result<Vec<ErrorCode>, ErrorCode> {
    let asked = broker.context.transactions.take_part(&TransactionalId::new(ID), owner(has), logs(partitions), ask).await;
    asked.map(|codes: BTreeMap<_, _>| {
        assert_eq!(codes.keys().cloned().collect::<BTreeSet<_>>(), logs(partitions));
        codes.into_values().collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_is_made_as_kafka_makes_it_and_the_feature_is_finalized() {
    let (broker, _) = broker().await;
    let image = broker.context.image();
    assert_eq!(image.topic(TRANSACTIONS_TOPIC).unwrap().partitions.len(), 3);
    let configs = image.topic_config(TRANSACTIONS_TOPIC);
    let config = |name: &str| configs.get(name).map(String::as_str);
    assert_eq!(
        ["cleanup.policy", "compression.type", "unclean.leader.election.enable", "min.insync.replicas", "segment.bytes"].map(config),
        [Some("compact"), Some("uncompressed"), Some("false"), Some("1"), Some("104857600")],
    );
    let request = ApiVersionsRequest { client_software_name: "a", client_software_version: "1" };
    let outcome = broker.call(4, &request).await;
    let response: ApiVersionsResponse<'_> = outcome.decode(4);
    let levels: BTreeMap<_, _> = response.finalized_features.iter().map(|f| (&*f.name, f.max_version_level)).collect();
    assert_eq!(levels.get("transaction.version"), Some(&2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_each_version_is_committed_and_the_next_follows() {
    let (broker, markers) = broker().await;
    let (id, epoch) = init(&broker).await.unwrap();
    assert_eq!(epoch, 0);
    assert_eq!(described(&broker, ID).await.unwrap(), ("Empty".to_owned(), id, 0, vec![]));
    assert_eq!(add(&broker, (id, 0), &[0, 2]).await, ErrorCode::None);
    assert_eq!(described(&broker, ID).await.unwrap(), ("Ongoing".to_owned(), id, 0, vec![("logs".to_owned(), vec![0, 2])]));
    // Version 1: the epoch stays.
    assert_eq!(end(&broker, (id, 0), true, END_V1).await, Ok((-1, -1)), "version 4 says no epoch");
    until(&broker, "CompleteCommit").await;
    let written = std::mem::take(&mut *markers.lock());
    let coordinator_epoch = led_epoch(&broker);
    let classic = TransactionVersion::Classic;
    let marker = Marker { producer_id: ProducerId(id), producer_epoch: ProducerEpoch(0), coordinator_epoch, commit: true, version: classic };
    assert_eq!(written.iter().map(|(partition, _)| partition.clone()).collect::<BTreeSet<_>>(), logs(&[0, 2]));
    assert!(written.iter().all(|(_, written)| *written == marker), "{written:?}");
    assert_eq!(end(&broker, (id, 0), true, END_V1).await, Ok((-1, -1)), "the same again");
    assert_eq!(end(&broker, (id, 0), false, END_V1).await, Err(ErrorCode::InvalidTxnState));
    // Version 2: each end raises it, and the markers carry the next.
    assert_eq!(take_part(&broker, (id, 0), &[1], Ask::Add).await, Ok(vec![ErrorCode::None]));
    assert_eq!(end(&broker, (id, 0), false, END_V2).await, Ok((id, 1)));
    until(&broker, "CompleteAbort").await;
    let written = std::mem::take(&mut *markers.lock());
    let bumped = TransactionVersion::EpochBump;
    let marker = Marker { producer_id: ProducerId(id), producer_epoch: ProducerEpoch(1), coordinator_epoch, commit: false, version: bumped };
    assert_eq!(written, [(logs(&[1]).pop_first().unwrap(), marker)]);
    assert_eq!(end(&broker, (id, 0), false, END_V2).await, Ok((id, 1)), "its answer was lost");
    assert_eq!(end(&broker, (id, 0), true, END_V2).await, Err(ErrorCode::InvalidTxnState), "but it was aborted");
    assert_eq!(end(&broker, (id, 1), false, END_V2).await, Ok((id, 2)), "an abort of nothing");
}

fn led_epoch(broker: &TestBroker) -> i32 {
    broker.partition(TRANSACTIONS_TOPIC, partition_of(&broker.context.image(), TRANSACTIONS_TOPIC, ID).unwrap().0).leadership().epoch.0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_incarnation_fences_the_one_before_and_aborts_what_it_left_open() {
    let (broker, markers) = broker().await;
    let (id, _) = init(&broker).await.unwrap();
    assert_eq!(init(&broker).await, Ok((id, 1)));
    assert_eq!(add(&broker, (id, 1), &[0]).await, ErrorCode::None);
    assert_eq!(init(&broker).await, Err(ErrorCode::ConcurrentTransactions));
    let next = init_in_the_end(&broker).await;
    assert_eq!(next.0, id);
    assert!(next.1 > 2, "one was taken to shut the older out: {next:?}");
    assert_eq!(markers.lock().len(), 1);
    assert!(markers.lock().iter().all(|(_, marker)| !marker.commit && marker.producer_epoch.0 > 1));
    // Each API says so as of the version that knows it.
    let old = (id, 1);
    for (version, expected) in [(1, ErrorCode::InvalidProducerEpoch), (2, ErrorCode::ProducerFenced)] {
        assert_eq!(end(&broker, old, true, version).await, Err(expected), "EndTxn {version}");
        assert_eq!(add_topics(&broker, old, &[("logs", &[0])], version).await, [expected], "AddPartitionsToTxn {version}");
        assert_eq!(add_offsets(&broker, old, version).await, expected, "AddOffsetsToTxn {version}");
    }
    for (version, expected) in [(3, ErrorCode::InvalidProducerEpoch), (4, ErrorCode::ProducerFenced)] {
        assert_eq!(init_as(&broker, ID, old, 60_000, version).await, Err(expected), "InitProducerId {version}");
    }
    assert_eq!(take_part(&broker, old, &[0], Ask::Verify).await, Err(ErrorCode::ProducerFenced));
    assert_eq!(take_part(&broker, old, &[0], Ask::Add).await, Err(ErrorCode::ProducerFenced));
    assert_eq!(init_as(&broker, ID, next, 60_000, 5).await, Ok((id, next.1 + 1)), "the newest goes on");
    assert_eq!(init_as(&broker, ID, next, 60_000, 5).await, Ok((id, next.1 + 1)), "its answer was lost");
}

async fn add_offsets(broker: &TestBroker, has: (i64, i16), version: i16) -> ErrorCode {
    let request = AddOffsetsToTxnRequest { transactional_id: ID, producer_id: has.0, producer_epoch: has.1, group_id: "g" };
    let outcome = broker.call(version, &request).await;
    code(outcome.decode::<AddOffsetsToTxnResponse>(version).error_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_take_part_by_their_groups_partition_and_their_topic_is_made_for_it() {
    let (broker, _) = broker().await;
    let has = init(&broker).await.unwrap();
    assert_eq!(add_offsets(&broker, has, 4).await, ErrorCode::None);
    let partition = partition_of(&broker.context.image(), "__consumer_offsets", "g").unwrap();
    assert_eq!(described(&broker, ID).await.unwrap().3, [("__consumer_offsets".to_owned(), vec![partition.0])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_kafkas_codes() {
    let (broker, _) = broker().await;
    for timeout_ms in [0, -1, 900_001] {
        assert_eq!(init_as(&broker, ID, (-1, -1), timeout_ms, 5).await, Err(ErrorCode::InvalidTransactionTimeout), "{timeout_ms}");
    }
    assert_eq!(init_as(&broker, "", (-1, -1), 60_000, 5).await, Err(ErrorCode::InvalidRequest));
    for half in [(5, -1), (-1, 0)] {
        assert_eq!(init_as(&broker, ID, half, 60_000, 5).await, Err(ErrorCode::InvalidRequest));
    }
    assert_eq!(described(&broker, ID).await, Err(ErrorCode::TransactionalIdNotFound));
    assert_eq!(described(&broker, "").await, Err(ErrorCode::InvalidRequest));
    assert_eq!(end(&broker, (5, 0), true, END_V2).await, Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(add(&broker, (5, 0), &[0]).await, ErrorCode::InvalidProducerIdMapping);
    let (id, epoch) = init(&broker).await.unwrap();
    assert_eq!(end(&broker, (id, epoch), true, END_V2).await, Err(ErrorCode::InvalidTxnState), "there is nothing to commit");
    assert_eq!(end(&broker, (id + 1, epoch), true, END_V2).await, Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(end(&broker, (id, epoch + 1), true, END_V2).await, Err(ErrorCode::ProducerFenced));
    assert_eq!(add(&broker, (id + 1, epoch), &[0]).await, ErrorCode::InvalidProducerIdMapping);
    let (unknown, not_tried) = (ErrorCode::UnknownTopicOrPartition, ErrorCode::OperationNotAttempted);
    let codes = add_topics(&broker, (id, epoch), &[("logs", &[0, 9]), ("none", &[0]), (TRANSACTIONS_TOPIC, &[0])], 3).await;
    assert_eq!(codes, [not_tried, unknown, unknown, ErrorCode::TopicAuthorizationFailed]);
    assert_eq!(described(&broker, ID).await.unwrap().0, "Empty", "none was added");
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_ask_for_several_transactions_at_once() {
    let (broker, _) = broker().await;
    let has = init(&broker).await.unwrap();
    assert_eq!(add(&broker, has, &[0]).await, ErrorCode::None);
    let transaction = |transactional_id, verify_only, partitions: &[i32]| AddPartitionsToTxnTransaction {
        transactional_id,
        producer_id: has.0,
        producer_epoch: has.1,
        verify_only,
        topics: vec![AddPartitionsToTxnTopic { name: "logs", partitions: partitions.to_vec() }],
    };
    let request = AddPartitionsToTxnRequest {
        transactions: vec![transaction(ID, true, &[0, 1]), transaction("other", true, &[0]), transaction(ID, false, &[2])],
        ..Default::default()
    };
    let outcome = broker.call(5, &request).await;
    let response: AddPartitionsToTxnResponse<'_> = outcome.decode(5);
    let codes = |nth: usize| -> Vec<_> {
        let results = &response.results_by_transaction[nth].topic_results[0].results_by_partition;
        results.iter().map(|p| (p.partition_index, code(p.partition_error_code))).collect()
    };
    assert_eq!((response.error_code, response.results_by_transaction.len()), (0, 3));
    assert_eq!(codes(0), [(0, ErrorCode::None), (1, ErrorCode::TransactionAbortable)]);
    assert_eq!(codes(1), [(0, ErrorCode::InvalidProducerIdMapping)]);
    assert_eq!(codes(2), [(2, ErrorCode::None)]);
    assert_eq!(take_part(&broker, has, &[0, 2], Ask::Verify).await, Ok(vec![ErrorCode::None; 2]));
    assert_eq!(take_part(&broker, has, &[1, 2], Ask::Verify).await, Ok(vec![ErrorCode::TransactionAbortable, ErrorCode::None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_batch_of_the_next_transaction_waits_for_the_markers_of_the_last() {
    let (broker, _) = broker_with(&[("add.partitions.to.txn.retry.backoff.max.ms", "60000")]).await;
    let (id, _) = init(&broker).await.unwrap();
    assert_eq!(add(&broker, (id, 0), &[0]).await, ErrorCode::None);
    refuse_markers(&broker, ErrorCode::NotLeaderOrFollower);
    assert_eq!(end(&broker, (id, 0), true, END_V2).await, Ok((id, 1)));
    assert_eq!(take_part(&broker, (id, 1), &[0], Ask::Verify).await, Err(ErrorCode::ConcurrentTransactions), "who only asks does not wait");
    assert_eq!(described(&broker, ID).await.unwrap(), ("PrepareCommit".to_owned(), id, 1, vec![("logs".to_owned(), vec![0])]));
    assert_eq!(end(&broker, (id, 0), true, END_V2).await, Err(ErrorCode::ConcurrentTransactions));
    let asked = broker.context.transactions.take_part(&TransactionalId::new(ID), owner((id, 1)), logs(&[0]), Ask::Add);
    take_markers(&broker);
    assert_eq!(asked.await.map(|codes| codes.into_values().collect()), Ok(vec![ErrorCode::None]));
    assert_eq!(described(&broker, ID).await.unwrap().0, "Ongoing");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_wait_is_told_that_the_last_transaction_is_not_over() {
    let (broker, _) = broker_with(&[("add.partitions.to.txn.retry.backoff.max.ms", "0")]).await;
    let (id, _) = init(&broker).await.unwrap();
    assert_eq!(add(&broker, (id, 0), &[0]).await, ErrorCode::None);
    refuse_markers(&broker, ErrorCode::NotLeaderOrFollower);
    assert_eq!(end(&broker, (id, 0), true, END_V2).await, Ok((id, 1)));
    assert_eq!(take_part(&broker, (id, 1), &[0], Ask::Add).await, Err(ErrorCode::ConcurrentTransactions));
    // A partition that is fenced or gone holds up nothing.
    refuse_markers(&broker, ErrorCode::InvalidProducerEpoch);
    until(&broker, "CompleteCommit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_does_not_hold_its_transactions_open() {
    use ottla_cluster::controller::Command;
    let (broker, _) = broker().await;
    let topic = broker.create_topic("gone", 1, &[]).await;
    let (id, _) = init(&broker).await.unwrap();
    assert_eq!(add_topics(&broker, (id, 0), &[("gone", &[0])], 3).await, [ErrorCode::None]);
    refuse_markers(&broker, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(end(&broker, (id, 0), true, END_V2).await, Ok((id, 1)));
    let delete = Command::DeleteTopics(ottla_cluster::controller::DeleteTopics { topics: vec![ottla_cluster::controller::TopicRef::Id(topic)] });
    broker.context.command(delete, crate::context::deadline_after(60_000)).await.unwrap();
    until(&broker, "CompleteCommit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_aborted_and_its_producer_fenced() {
    let (broker, markers) = broker().await;
    let has = init_as(&broker, ID, (-1, -1), 5, 5).await.unwrap();
    assert_eq!(add(&broker, has, &[0]).await, ErrorCode::None);
    broker.clock.advance_ms(5);
    until(&broker, "CompleteAbort").await;
    assert!(markers.lock().iter().all(|(_, marker)| !marker.commit));
    assert_eq!(markers.lock().len(), 1);
    assert_eq!(end(&broker, has, true, END_V1).await, Err(ErrorCode::ProducerFenced));
    // And what is not used for long is forgotten.
    broker.clock.advance_ms(7 * 24 * 3600 * 1000);
    until_described(&broker, Err(ErrorCode::TransactionalIdNotFound)).await;
    assert_eq!(end(&broker, has, true, END_V2).await, Err(ErrorCode::InvalidProducerIdMapping));
    let disk = broker.disk.crash(3);
    let broker = broker.restart_on(disk).await;
    assert_eq!(described(&broker, ID).await, Err(ErrorCode::TransactionalIdNotFound), "not after a restart either");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_is_carried_out_after_a_restart() {
    for cleanly in [true, false] {
        let (broker, _) = broker().await;
        let (id, _) = init(&broker).await.unwrap();
        assert_eq!(add(&broker, (id, 0), &[0, 1]).await, ErrorCode::None);
        refuse_markers(&broker, ErrorCode::NotLeaderOrFollower);
        assert_eq!(end(&broker, (id, 0), true, END_V2).await, Ok((id, 1)));
        let broker = if cleanly {
            broker.restart(true).await
        } else {
            let disk = broker.disk.crash(3);
            broker.restart_on(disk).await
        };
        // Whether by these or by the partitions themselves.
        let markers = take_markers(&broker);
        until(&broker, "CompleteCommit").await;
        assert!(markers.lock().iter().all(|(_, marker)| marker.commit && marker.producer_epoch.0 == 1));
        assert_eq!(end(&broker, (id, 0), true, END_V2).await, Ok((id, 1)), "the same request again");
        assert_eq!(take_part(&broker, (id, 1), &[0], Ask::Add).await, Ok(vec![ErrorCode::None]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_listed_by_state_producer_age_and_pattern() {
    let (broker, _) = broker().await;
    let mut ids = BTreeMap::new();
    for name in ["a-1", "a-2", ID] {
        ids.insert(name, init_as(&broker, name, (-1, -1), 60_000, 5).await.unwrap().0);
    }
    assert_eq!(add(&broker, (ids[ID], 0), &[0]).await, ErrorCode::None);
    broker.clock.advance_ms(100);
    let listed = async |request: ListTransactionsRequest<'static>| {
        let outcome = broker.call(2, &request).await;
        let response: ListTransactionsResponse<'_> = outcome.decode(2);
        let unknown: Vec<_> = response.unknown_state_filters.iter().map(ToString::to_string).collect();
        let mut states: Vec<_> = response
            .transaction_states
            .iter()
            .map(|state| (state.transactional_id.to_string(), state.producer_id, state.transaction_state.to_string()))
            .collect();
        states.sort();
        (code(response.error_code), unknown, states)
    };
    let row = |name: &str, state: &str| (name.to_owned(), ids[name], state.to_owned());
    let all = vec![row("a-1", "Empty"), row("a-2", "Empty"), row(ID, "Ongoing")];
    let by = |request: ListTransactionsRequest<'static>| ListTransactionsRequest { duration_filter: -1, ..request };
    let any = || by(ListTransactionsRequest::default());
    assert_eq!(listed(any()).await, (ErrorCode::None, vec![], all.clone()));
    let states = |names: &[&'static str]| ListTransactionsRequest { state_filters: names.to_vec(), ..any() };
    assert_eq!(listed(states(&["Ongoing", "Dead"])).await, (ErrorCode::None, vec![], vec![row(ID, "Ongoing")]));
    assert_eq!(listed(states(&["Odd"])).await, (ErrorCode::None, vec!["Odd".to_owned()], vec![]));
    let of = ListTransactionsRequest { producer_id_filters: vec![ids["a-2"]], ..any() };
    assert_eq!(listed(of).await.2, [row("a-2", "Empty")]);
    let ongoing = |ms| ListTransactionsRequest { duration_filter: ms, ..states(&["Ongoing"]) };
    assert_eq!(listed(ongoing(99)).await.2, [row(ID, "Ongoing")]);
    assert_eq!(listed(ongoing(100)).await.2, [], "for more than so long");
    let pattern = |text| ListTransactionsRequest { transactional_id_pattern: Some(text), ..any() };
    assert_eq!(listed(pattern("a-.")).await.2, [row("a-1", "Empty"), row("a-2", "Empty")]);
    assert_eq!(listed(pattern("a")).await.2, [], "the whole of it");
    assert_eq!(listed(pattern("")).await.2, all);
    assert_eq!(listed(pattern("(")).await.0, ErrorCode::InvalidRegularExpression);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_before_it_is_durable() {
    let (broker, markers) = broker().await;
    let (id, _) = init(&broker).await.unwrap();
    assert_eq!(add(&broker, (id, 0), &[0]).await, ErrorCode::None);
    let index = partition_of(&broker.context.image(), TRANSACTIONS_TOPIC, ID).unwrap().0;
    let partition = broker.partition(TRANSACTIONS_TOPIC, index);
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (holds, is_held) = std::sync::mpsc::channel();
    let dir = Arc::clone(partition.log_dir());
    let holder = std::thread::spawn(move || {
        let _held = dir.hold_syncs();
        holds.send(()).unwrap();
        let _ = held.recv();
    });
    is_held.recv().unwrap();
    let request = EndTxnRequest { transactional_id: ID, producer_id: id, producer_epoch: 0, committed: true };
    let (answer, out) = broker.begin(ApiKey::EndTxn, END_V2, None, &encoded(&request, END_V2));
    let mut ended = tokio::spawn(crate::testing::end(answer, out));
    // Behind the end, and about what is in the log already.
    assert_eq!(described(&broker, ID).await.unwrap().0, "Ongoing");
    assert!(partition.watermarks().log_end > partition.high_watermark(), "the decision is written");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!ended.is_finished() && markers.lock().is_empty(), "and not durable");
    assert_eq!(end(&broker, (id, 0), true, END_V2).await, Err(ErrorCode::ConcurrentTransactions));
    drop(let_go);
    let outcome = (&mut ended).await.unwrap();
    let response: EndTxnResponse = outcome.decode(END_V2);
    assert_eq!((response.error_code, response.producer_epoch), (0, 1));
    until(&broker, "CompleteCommit").await;
    holder.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_too_many_partitions_stays_as_it_was() {
    let (broker, _) = broker_with(&[("message.max.bytes", "600")]).await;
    broker.create_topic("wide", 80, &[]).await;
    let has = init(&broker).await.unwrap();
    assert_eq!(add(&broker, has, &[0]).await, ErrorCode::None);
    let wide: Vec<i32> = (0..80).collect();
    let wide: &'static [i32] = wide.leak();
    assert_eq!(add_topics(&broker, has, &[("wide", wide)], 3).await, [ErrorCode::UnknownServerError; 80]);
    assert_eq!(described(&broker, ID).await.unwrap().3, [("logs".to_owned(), vec![0])]);
    assert_eq!(end(&broker, has, true, END_V2).await, Ok((has.0, has.1 + 1)));
}
