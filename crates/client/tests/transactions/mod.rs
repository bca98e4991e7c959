//! A transactional producer whose coordinator and leaders refuse, forget, fence and disconnect, by the rules of KIP-98 and of
//! KIP-890.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::{
    Admin, Client, ClientError, Consumer, ConsumerConfig, ErrorCode, GroupMetadata, HangingScope, HangingTransaction, IsolationLevel,
    NodeId, Offset, OffsetReset, Producer, ProducerConfig, Record, TransactionFilter,
};
use ottla_wire::ApiKey;

use super::scripted::transactions::PRODUCER_ID;
use super::scripted::{ScriptedBroker, Step};
use super::{connect, partition, quick, read};

async fn broker(version: i16) -> ScriptedBroker {
    let broker = ScriptedBroker::start(&[("t", 2)]).await;
    broker.state.lock().transactions.version = version;
    broker
}

fn config() -> ProducerConfig {
    ProducerConfig::default().transactional_id("tx".to_owned()).transaction_timeout_ms(9_000u32).linger_ms(0u32)
}

async fn producer(broker: &ScriptedBroker) -> Producer {
    Producer::new(&connect(broker).await, config()).expect("it succeeds")
}

fn story(broker: &ScriptedBroker) -> Vec<String> {
    std::mem::take(&mut broker.state.lock().transactions.story)
}

fn refuse(broker: &ScriptedBroker, api: ApiKey, codes: &[ErrorCode]) {
    broker.state.lock().group.refuse(api, codes);
}

fn to(partition: i32, value: &str) -> Record<'_> {
    Record::to("t").partition(partition).value(value.as_bytes())
}

async fn committed(broker: &ScriptedBroker, producer: &Producer, value: &str) {
    let transaction = producer.begin().await.expect("it succeeds");
    transaction.send(to(0, value)).await.expect("it succeeds");
    transaction.commit().await.expect("it succeeds");
    assert_eq!(seen(broker).await.last().map(String::as_str), Some(value));
}

/// What a reader of committed records sees of partition 0.
async fn seen(broker: &ScriptedBroker) -> Vec<String> {
    let config = ConsumerConfig::default()
        .auto_offset_reset(OffsetReset::Earliest)
        .isolation_level(IsolationLevel::ReadCommitted)
        .fetch_max_wait_ms(1u32);
    let mut consumer = Consumer::new(&connect(broker).await, config).expect("it succeeds");
    let ends = consumer.end_offsets(&[partition("t", 0)]).await.expect("it succeeds");
    consumer.assign(vec![partition("t", 0)]).await.expect("it succeeds");
    let mut values = Vec::new();
    while let Some(batch) = consumer.next_batch_before(&ends).await.expect("it succeeds") {
        for record in &batch.records().expect("it succeeds") {
            values.push(String::from_utf8(record.expect("it succeeds").value.expect("it succeeds").to_vec()).expect("it succeeds"));
        }
    }
    values
}

#[tokio::test]
async fn before_kip_890_partitions_and_groups_are_added_first_and_the_epoch_stays() {
    let broker = broker(0).await;
    let producer = producer(&broker).await;
    for round in 0..2 {
        let transaction = producer.begin().await.unwrap();
        transaction.send(to(0, "a")).await.unwrap();
        transaction.send(to(0, "b")).await.unwrap();
        let offsets = BTreeMap::from([(partition("u", 1), Offset(5 + round))]);
        transaction.send_offsets(&GroupMetadata::of_group("g"), &offsets).await.unwrap();
        assert_eq!(broker.state.lock().group.offsets.get(&("u".to_owned(), 1)).copied(), (round == 1).then_some(5), "not yet");
        transaction.commit().await.unwrap();
        assert_eq!(broker.state.lock().group.offsets[&("u".to_owned(), 1)], 5 + round);
    }
    assert_eq!(
        story(&broker),
        [
            "init 9000 ms",
            "add t-0",
            "produce t-0 0:0",
            "produce t-0 0:1",
            "add group g",
            "offsets v4 u-1 5 as `` -1",
            "commit v4 0",
            "add t-0",
            "produce t-0 0:2",
            "produce t-0 0:3",
            "add group g",
            "offsets v4 u-1 6 as `` -1",
            "commit v4 0",
        ]
    );
    assert_eq!(seen(&broker).await, ["a", "b", "a", "b"]);
}

#[tokio::test]
async fn by_kip_890_what_is_written_is_added_and_each_transaction_has_an_epoch_of_its_own() {
    let broker = broker(2).await;
    let producer = producer(&broker).await;
    for _ in 0..2 {
        let transaction = producer.begin().await.unwrap();
        transaction.send(to(0, "a")).await.unwrap();
        transaction.send(to(0, "b")).await.unwrap();
        transaction.send_offsets(&GroupMetadata::of_group("g"), &BTreeMap::from([(partition("u", 1), Offset(5))])).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let round = |epoch: i16| {
        [
            format!("produce t-0 {epoch}:0 adding it"),
            format!("produce t-0 {epoch}:1 adding it"),
            "offsets v5 u-1 5 as `` -1".to_owned(),
            format!("commit v5 {epoch}"),
        ]
    };
    assert_eq!(story(&broker), [vec!["init 9000 ms".to_owned()], round(0).to_vec(), round(1).to_vec()].concat());
}

#[tokio::test]
async fn what_is_aborted_is_not_seen_and_nothing_is_asked_for_an_empty_transaction() {
    for version in [0, 2] {
        let broker = broker(version).await;
        let producer = producer(&broker).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(to(0, "gone")).await.unwrap();
        transaction.abort().await.unwrap();
        committed(&broker, &producer, "kept").await;
        assert_eq!(seen(&broker).await, ["kept"], "{version}");
        assert_eq!(broker.values("t", 0), ["gone", "kept"], "{version}");
        story(&broker);
        producer.begin().await.unwrap().commit().await.unwrap();
        producer.begin().await.unwrap().abort().await.unwrap();
        assert!(story(&broker).is_empty(), "{version}");
    }
}

#[tokio::test]
async fn a_dropped_transaction_is_aborted_by_the_next_begin() {
    for version in [0, 2] {
        let broker = broker(version).await;
        let producer = producer(&broker).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(to(0, "gone")).await.unwrap();
        assert!(matches!(producer.begin().await, Err(ClientError::InvalidArgument(_))), "one at a time");
        drop(transaction);
        committed(&broker, &producer, "kept").await;
        let end = if version == 0 { "abort v4 0" } else { "abort v5 0" };
        assert!(story(&broker).contains(&end.to_owned()), "{version}");
        assert_eq!(seen(&broker).await, ["kept"], "{version}");
    }
}

#[tokio::test]
async fn outside_of_a_transaction_nothing_is_sent_and_without_an_id_none_begins() {
    let broker = broker(2).await;
    let transactional = producer(&broker).await;
    let error = transactional.send(to(0, "x")).await.unwrap_err();
    assert!(error.to_string().contains("begin one"), "{error}");
    let plain = Producer::new(&connect(&broker).await, ProducerConfig::default()).unwrap();
    assert!(plain.begin().await.unwrap_err().to_string().contains("transactional.id is not set"));
    for (property, value) in [("enable.idempotence", "false"), ("acks", "1"), ("transaction.timeout.ms", "0")] {
        let config = config().set(property, value).unwrap();
        let error = Producer::new(&connect(&broker).await, config).unwrap_err();
        assert!(matches!(error, ClientError::InvalidProperty { .. }), "{property}: {error}");
    }
}

#[tokio::test]
async fn what_passes_is_asked_again_and_the_coordinator_is_looked_for_anew() {
    let passing = [ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress, ErrorCode::ConcurrentTransactions];
    for version in [0, 2] {
        let broker = broker(version).await;
        refuse(&broker, ApiKey::FindCoordinator, &[ErrorCode::CoordinatorNotAvailable]);
        for api in [ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn, ApiKey::TxnOffsetCommit, ApiKey::EndTxn] {
            refuse(&broker, api, &passing);
        }
        broker.script_produce(&[Step::Refuse(ErrorCode::ConcurrentTransactions), Step::Refuse(ErrorCode::NotEnoughReplicas)]);
        let producer = producer(&broker).await;
        let transaction = producer.begin().await.unwrap();
        // Of the start: the first look failed, and one more is due to NOT_COORDINATOR.
        assert_eq!(broker.state.lock().count(ApiKey::FindCoordinator), 3);
        transaction.send(to(0, "a")).await.unwrap();
        transaction.send_offsets(&GroupMetadata::of_group("g"), &BTreeMap::from([(partition("u", 1), Offset(5))])).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(broker.state.lock().count(ApiKey::EndTxn), 4);
        assert_eq!(seen(&broker).await, ["a"]);
        assert_eq!(broker.state.lock().group.offsets[&("u".to_owned(), 1)], 5);
    }
}

#[tokio::test]
async fn an_end_whose_answer_is_lost_is_asked_for_again_and_comes_to_the_same() {
    for version in [0, 2] {
        let broker = broker(version).await;
        let producer = producer(&broker).await;
        broker.state.lock().steps.insert(ApiKey::EndTxn.as_i16(), [Step::DisconnectAfter, Step::DisconnectBefore].into());
        committed(&broker, &producer, "a").await;
        committed(&broker, &producer, "b").await;
        assert_eq!(seen(&broker).await, ["a", "b"], "{version}");
        let end = if version == 0 { "commit v4 0" } else { "commit v5 0" };
        assert_eq!(story(&broker).iter().filter(|line| *line == end).count(), if version == 0 { 3 } else { 2 }, "{version}");
    }
}

#[tokio::test]
async fn an_end_that_is_not_confirmed_in_time_is_gone_on_with_by_the_next_begin() {
    let broker = broker(2).await;
    let client = Client::connect(quick(&broker).request_timeout_ms(20u32)).await.unwrap();
    let producer = Producer::new(&client, config().max_block_ms(200u32)).unwrap();
    let transaction = producer.begin().await.unwrap();
    transaction.send(to(0, "a")).await.unwrap();
    broker.state.lock().steps.insert(ApiKey::EndTxn.as_i16(), [Step::Silence; 100].into());
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, ClientError::TransactionUndecided { waited_ms: 200, .. }), "{error}");
    assert!(seen(&broker).await.is_empty());
    broker.state.lock().steps.clear();
    drop(producer.begin().await.unwrap());
    assert_eq!(seen(&broker).await, ["a"]);
}

/// Whoever was told that the end is not known takes the next begin for a yes.
#[tokio::test]
async fn a_commit_that_was_refused_is_said_though_the_abort_behind_it_is_not_confirmed() {
    for version in [0, 2] {
        let broker = broker(version).await;
        let client = connect(&broker).await;
        let producer = Producer::new(&client, config().max_block_ms(100u32)).unwrap();
        let refuse_ends = |first: Option<ErrorCode>| {
            let codes = first.into_iter().chain([ErrorCode::ConcurrentTransactions; 1_000]);
            broker.state.lock().group.refuse.insert(ApiKey::EndTxn.as_i16(), codes.collect());
        };
        let go_on = || broker.state.lock().group.refuse.clear();
        let is_refused = |error: &ClientError| {
            matches!(error, ClientError::TransactionFailed { .. }) && error.code() == Some(ErrorCode::TransactionAbortable)
        };

        // By the commit itself.
        let transaction = producer.begin().await.unwrap();
        transaction.send(to(0, "gone")).await.unwrap();
        refuse_ends(Some(ErrorCode::TransactionAbortable));
        let error = transaction.commit().await.unwrap_err();
        assert!(is_refused(&error), "{version}: {error}");
        go_on();

        // By the begin that asks for it again, or the next where that one was given up.
        for is_given_up in [false, true] {
            let transaction = producer.begin().await.unwrap();
            transaction.send(to(0, "gone")).await.unwrap();
            refuse_ends(None);
            let error = transaction.commit().await.unwrap_err();
            assert!(matches!(error, ClientError::TransactionUndecided { .. }), "{version}: {error}");
            refuse_ends(Some(ErrorCode::TransactionAbortable));
            if is_given_up {
                let asked = || broker.state.lock().count(ApiKey::EndTxn);
                let before = asked();
                tokio::select! {
                    begun = producer.begin() => panic!("{version}: {begun:?}"),
                    () = async { while asked() < before + 2 { tokio::task::yield_now().await } } => go_on(),
                }
            }
            let error = producer.begin().await.unwrap_err();
            assert!(is_refused(&error), "{version}: {error}");
            go_on();
        }
        committed(&broker, &producer, "kept").await;
        assert_eq!(seen(&broker).await, ["kept"], "{version}");
    }
}

#[tokio::test]
async fn a_transaction_of_which_a_close_has_thrown_something_away_is_not_committed() {
    for version in [0, 2] {
        let broker = broker(version).await;
        let client = Client::connect(quick(&broker).request_timeout_ms(20u32)).await.unwrap();
        let producer = Producer::new(&client, config()).unwrap();
        let transaction = producer.begin().await.unwrap();
        transaction.send(to(0, "gone")).await.unwrap();
        broker.script_produce(&[Step::Silence; 100]);
        let thrown_away = transaction.enqueue(to(0, "thrown away")).await.unwrap();
        producer.close(Duration::ZERO).await.unwrap_err();
        assert!(matches!(thrown_away.await, Err(ClientError::Closed(_))), "{version}");
        let error = transaction.commit().await.unwrap_err();
        assert!(matches!(error, ClientError::TransactionFailed { .. }), "{version}: {error}");
        assert!(seen(&broker).await.is_empty(), "{version}");
    }
}

/// A failed batch fails the transaction, and only an abort and an epoch of its own let the producer go on.
#[tokio::test]
async fn a_batch_that_fails_fails_its_transaction_and_the_next_has_a_new_epoch() {
    let failing = [
        ErrorCode::InvalidRecord,
        ErrorCode::TransactionAbortable,
        ErrorCode::OutOfOrderSequenceNumber,
        ErrorCode::UnknownProducerId,
        ErrorCode::InvalidProducerEpoch,
        ErrorCode::InvalidTxnState,
    ];
    for version in [0, 2] {
        for code in failing {
            let broker = broker(version).await;
            let producer = producer(&broker).await;
            let transaction = producer.begin().await.unwrap();
            transaction.send(to(0, "gone")).await.unwrap();
            broker.script_produce(&[Step::Refuse(code)]);
            assert_eq!(transaction.send(to(0, "bad")).await.unwrap_err().code(), Some(code));
            let late = transaction.send(to(1, "late")).await.unwrap_err();
            assert!(matches!(&late, ClientError::TransactionFailed { .. }) && late.code() == Some(code), "{late}");
            let error = transaction.commit().await.unwrap_err();
            assert!(matches!(&error, ClientError::TransactionFailed { .. }) && error.code() == Some(code), "{error}");
            story(&broker);
            committed(&broker, &producer, "kept").await;
            let told = story(&broker);
            let first = told.iter().find(|line| line.starts_with("produce")).unwrap();
            assert!(first.starts_with("produce t-0 1:0"), "{version} {code:?}: {told:?}");
            assert_eq!(seen(&broker).await, ["kept"], "{version} {code:?}");
        }
    }
}

#[tokio::test]
async fn before_kip_890_the_epoch_is_raised_behind_the_abort_by_the_id_that_the_producer_has() {
    let broker = broker(0).await;
    let producer = producer(&broker).await;
    let transaction = producer.begin().await.unwrap();
    transaction.send(to(0, "gone")).await.unwrap();
    broker.script_produce(&[Step::Refuse(ErrorCode::InvalidRecord)]);
    transaction.send(to(0, "bad")).await.unwrap_err();
    transaction.abort().await.unwrap();
    assert_eq!(story(&broker)[3..], ["abort v4 0", "init 9000 ms from 0"]);

    // Where the broker cannot do that, the producer is at its end, rather than to fence whoever came after it.
    let old = self::broker(0).await;
    old.state.lock().transactions.init_producer_id_max = Some(2);
    let producer = self::producer(&old).await;
    let transaction = producer.begin().await.unwrap();
    old.script_produce(&[Step::Refuse(ErrorCode::InvalidRecord)]);
    transaction.send(to(0, "bad")).await.unwrap_err();
    assert!(matches!(transaction.abort().await, Err(ClientError::ProducerEnded { .. })));
}

#[tokio::test]
async fn what_the_coordinator_refuses_for_good_ends_the_producer() {
    let fatal = [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch, ErrorCode::TransactionalIdAuthorizationFailed];
    for version in [0, 2] {
        for code in fatal {
            for api in [ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::TxnOffsetCommit, ApiKey::EndTxn] {
                if version == 2 && api == ApiKey::AddPartitionsToTxn {
                    continue;
                }
                let broker = broker(version).await;
                let producer = producer(&broker).await;
                // A fenced producer is so for all it asks.
                refuse(&broker, api, &[code]);
                if api == ApiKey::AddPartitionsToTxn {
                    refuse(&broker, ApiKey::EndTxn, &[code]);
                }
                let run = async {
                    let transaction = producer.begin().await?;
                    let sent = transaction.send(to(0, "a")).await;
                    if sent.is_ok() {
                        transaction.send_offsets(&GroupMetadata::of_group("g"), &BTreeMap::from([(partition("u", 1), Offset(5))])).await?;
                    }
                    transaction.commit().await
                };
                let error = run.await.unwrap_err();
                assert!(matches!(&error, ClientError::ProducerEnded { .. }) && error.code() == Some(code), "{version} {api:?}: {error}");
                let again = producer.begin().await.unwrap_err();
                assert_eq!(again.to_string(), error.to_string());
                assert!(error.to_string().contains("the producer of transactional.id `tx` has ended"), "{error}");
                assert!(seen(&broker).await.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_leader_that_knows_it_fenced_ends_the_producer() {
    let broker = broker(2).await;
    let producer = producer(&broker).await;
    let transaction = producer.begin().await.unwrap();
    broker.script_produce(&[Step::Refuse(ErrorCode::ProducerFenced)]);
    transaction.send(to(0, "a")).await.unwrap_err();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(&error, ClientError::ProducerEnded { .. }), "{error}");
}

#[tokio::test]
async fn what_the_coordinator_refuses_of_one_transaction_is_aborted_and_the_next_goes_through() {
    for (version, api, code) in [
        (0, ApiKey::AddPartitionsToTxn, ErrorCode::TopicAuthorizationFailed),
        (0, ApiKey::AddPartitionsToTxn, ErrorCode::TransactionAbortable),
        (0, ApiKey::AddOffsetsToTxn, ErrorCode::GroupAuthorizationFailed),
        (0, ApiKey::TxnOffsetCommit, ErrorCode::IllegalGeneration),
        (2, ApiKey::TxnOffsetCommit, ErrorCode::UnknownMemberId),
        (2, ApiKey::TxnOffsetCommit, ErrorCode::TransactionAbortable),
        (0, ApiKey::EndTxn, ErrorCode::TransactionAbortable),
        (2, ApiKey::EndTxn, ErrorCode::TransactionAbortable),
        (2, ApiKey::EndTxn, ErrorCode::InvalidProducerIdMapping),
    ] {
        let broker = broker(version).await;
        let producer = producer(&broker).await;
        refuse(&broker, api, &[code]);
        let transaction = producer.begin().await.unwrap();
        if transaction.send(to(0, "gone")).await.is_ok() {
            let offsets = BTreeMap::from([(partition("u", 1), Offset(5))]);
            drop(transaction.send_offsets(&GroupMetadata::of_group("g"), &offsets).await);
        }
        let error = transaction.commit().await.unwrap_err();
        assert!(matches!(&error, ClientError::TransactionFailed { .. }) && error.code() == Some(code), "{version} {api:?}: {error}");
        committed(&broker, &producer, "kept").await;
        assert_eq!(seen(&broker).await, ["kept"], "{version} {api:?} {code:?}");
        assert!(broker.state.lock().group.offsets.is_empty(), "{version} {api:?} {code:?}");
        if code == ErrorCode::InvalidProducerIdMapping {
            let told = story(&broker);
            assert!(told.contains(&"init 9000 ms from 0".to_owned()) && !told.iter().any(|line| line.starts_with("abort")), "{told:?}");
        }
    }
}

#[tokio::test]
async fn offsets_are_sent_as_the_member_that_the_consumer_is() {
    let broker = broker(2).await;
    let client = connect(&broker).await;
    let config = ConsumerConfig::default().group_id("g".to_owned()).enable_auto_commit(false);
    let mut consumer = Consumer::new(&client, config).unwrap();
    consumer.subscribe(&["t"], ()).await.unwrap();
    consumer.wait_for_assignment().await.unwrap();
    let group = consumer.group_metadata().unwrap();
    assert_eq!((group.group_id(), group.member_id(), group.generation()), ("g", "m1", 1));
    let producer = producer(&broker).await;
    let transaction = producer.begin().await.unwrap();
    transaction.send_offsets(&group, &BTreeMap::from([(partition("t", 0), Offset(3))])).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(story(&broker)[1..], ["offsets v5 t-0 3 as `m1` 1", "commit v5 0"]);
    assert_eq!(consumer.committed(&[partition("t", 0)]).await.unwrap()[&partition("t", 0)].offset, Offset(3));
}

#[tokio::test]
async fn readers_of_committed_records_stop_before_open_transactions_and_others_do_not() {
    let broker = broker(2).await;
    let client = connect(&broker).await;
    let producer = producer(&broker).await;
    let plain = Producer::new(&client, ProducerConfig::default()).unwrap();
    committed(&broker, &producer, "kept").await;
    let transaction = producer.begin().await.unwrap();
    transaction.send(to(0, "open")).await.unwrap();
    plain.send(to(0, "behind")).await.unwrap();
    assert_eq!(seen(&broker).await, ["kept"]);
    let mut all = Consumer::new(&client, ConsumerConfig::default().auto_offset_reset(OffsetReset::Earliest)).unwrap();
    all.assign(vec![partition("t", 0)]).await.unwrap();
    // Offset 1 is the marker of the first transaction.
    let records: Vec<i64> = read(&mut all, 3).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(records, [0, 2, 3]);
    transaction.abort().await.unwrap();
    assert_eq!(seen(&broker).await, ["kept", "behind"]);
    // The log ends with a marker: a reader to its end comes to it though no record stands there.
    let ends = all.end_offsets(&[partition("t", 0)]).await.unwrap();
    assert_eq!(ends[&partition("t", 0)], Offset(5));
    assert!(all.next_batch_before(&ends).await.unwrap().is_none());
    assert_eq!(all.position(&partition("t", 0)).await.unwrap(), Offset(5));
}

#[tokio::test]
async fn transactions_are_listed_by_what_is_asked_for_and_described() {
    let broker = broker(2).await;
    let producer = producer(&broker).await;
    let transaction = producer.begin().await.unwrap();
    transaction.send(to(1, "a")).await.unwrap();
    story(&broker);
    let admin = Admin::new(&connect(&broker).await);
    let filter = TransactionFilter {
        states: vec!["Ongoing".to_owned()],
        producer_ids: vec![PRODUCER_ID, 5],
        longer_than: Some(Duration::from_secs(3)),
        id_pattern: Some("t.*".to_owned()),
    };
    let listed = admin.list_transactions(&filter).await.unwrap();
    assert_eq!(story(&broker), [r#"list ["Ongoing"] [40, 5] 3000 Some("t.*")"#]);
    let ongoing = |listing: &ottla_client::TransactionListing| {
        (listing.transactional_id.clone(), listing.producer_id, listing.state.clone(), listing.coordinator.get())
    };
    assert_eq!(listed.iter().map(ongoing).collect::<Vec<_>>(), [("tx".to_owned(), PRODUCER_ID, "Ongoing".to_owned(), 1)]);
    let odd = TransactionFilter { states: vec!["Odd".to_owned()], ..TransactionFilter::default() };
    assert_eq!(admin.list_transactions(&odd).await.unwrap_err().to_string(), "`Odd` is no state of a transaction");
    refuse(&broker, ApiKey::DescribeTransactions, &[ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress]);
    let described = admin.describe_transaction("tx").await.unwrap();
    assert_eq!((described.state.as_str(), described.producer_id, described.producer_epoch), ("Ongoing", PRODUCER_ID, 0));
    assert_eq!((described.timeout_ms, described.partitions), (60_000, vec![partition("t", 1)]));
    assert_eq!(described.started.unwrap().get(), 1_700_000_000_000);
    let unknown = admin.describe_transaction("nobody").await.unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::TransactionalIdNotFound));
    transaction.abort().await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_transaction_is_waited_for_until_its_markers_are_written_and_no_longer_than_a_call_may_take() {
    let broker = broker(1).await;
    producer(&broker).await.init_transactions().await.unwrap();
    let admin = Admin::new(&connect(&broker).await);
    broker.state.lock().transactions.ending_for = 3;
    assert_eq!(admin.await_transaction_end("tx").await.unwrap().state, "Empty");
    assert_eq!(broker.state.lock().transactions.ending_for, 0);
    let impatient = Admin::new(&Client::connect(quick(&broker).default_api_timeout_ms(50u32)).await.unwrap());
    broker.state.lock().transactions.ending_for = usize::MAX;
    let error = impatient.await_transaction_end("tx").await.unwrap_err();
    assert!(matches!(&error, ClientError::TimedOut { what, .. } if what.contains("tx is still being ended")), "{error}");
    let unknown = admin.await_transaction_end("nobody").await.unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::TransactionalIdNotFound));
}

#[tokio::test]
async fn what_hangs_is_what_no_coordinator_knows_to_be_open_there_for_longer_than_it_may_be() {
    let broker = broker(2).await;
    let producer = producer(&broker).await;
    let transaction = producer.begin().await.unwrap();
    transaction.send(to(0, "a")).await.unwrap();
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    // Of the coordinator's producer, one that no coordinator knows, one that wrote just now, and one without a transaction.
    broker.state.lock().transactions.producers =
        vec![(PRODUCER_ID, 0, 5, -1, 3), (77, 2, 5, 6, 9), (78, 0, now_ms, 0, 11), (79, 0, 5, 0, -1)];
    let admin = Admin::new(&connect(&broker).await);
    let scope = HangingScope { topics: BTreeMap::from([("t".to_owned(), vec![])]), ..HangingScope::default() };
    let max = Duration::from_secs(900);
    let hanging = |found: Vec<HangingTransaction>| {
        found.into_iter().map(|found| (found.partition.to_string(), found.producer.producer_id, found.start.get())).collect::<Vec<_>>()
    };
    // The coordinator has it open in t-0, not in t-1.
    let expected = [("t-0".to_owned(), 77, 9), ("t-1".to_owned(), PRODUCER_ID, 3), ("t-1".to_owned(), 77, 9)];
    assert_eq!(hanging(admin.find_hanging(&scope, max).await.unwrap()), expected);
    let one = HangingScope { topics: BTreeMap::from([("t".to_owned(), vec![0])]), ..HangingScope::default() };
    assert_eq!(hanging(admin.find_hanging(&one, max).await.unwrap()), expected[..1]);
    let elsewhere = HangingScope { broker: Some(NodeId(2)), ..one.clone() };
    assert!(admin.find_hanging(&elsewhere, max).await.unwrap().is_empty());
    let missing = HangingScope { topics: BTreeMap::from([("t".to_owned(), vec![2])]), ..HangingScope::default() };
    assert!(matches!(admin.find_hanging(&missing, max).await, Err(ClientError::UnknownPartition { partition: 2, .. })));

    story(&broker);
    let abort = admin.transaction_at(&partition("t", 0), Offset(9)).await.unwrap();
    // A leader that is another by now is asked again.
    refuse(&broker, ApiKey::WriteTxnMarkers, &[ErrorCode::NotLeaderOrFollower]);
    admin.abort_transaction(&abort).await.unwrap();
    assert_eq!(story(&broker), ["mark t-0 abort 77:2 by 6"; 2]);
    let unmarked = admin.transaction_at(&partition("t", 0), Offset(3)).await.unwrap();
    assert_eq!((unmarked.producer_id, unmarked.coordinator_epoch), (PRODUCER_ID, 0));
    let none = admin.transaction_at(&partition("t", 0), Offset(4)).await.unwrap_err();
    assert_eq!(none.to_string(), "no open transaction of t-0 begins at offset 4");
    refuse(&broker, ApiKey::WriteTxnMarkers, &[ErrorCode::TransactionCoordinatorFenced]);
    let fenced = admin.abort_transaction(&abort).await.unwrap_err();
    assert_eq!(fenced.code(), Some(ErrorCode::TransactionCoordinatorFenced));
    transaction.abort().await.unwrap();
}
