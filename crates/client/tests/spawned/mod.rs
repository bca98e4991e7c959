//! Whatever can be asked of a client can be asked from a task of its own: the futures are `Send`, and borrow nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::{
    AbortTransaction, Admin, ClientError, ConfigChange, ConfigResource, Consumer, ConsumerConfig, GroupMetadata, HangingScope, NewTopic,
    NodeId, Offset, Producer, ProducerConfig, Record, SeekTo, TransactionFilter,
};

use super::scripted::ScriptedBroker;
use super::{connect, partition};

/// Runs a call as a task, to its end. The scripted broker does not know most of them and says so, which is an end as well.
macro_rules! spawned {
    ($($call:expr),* $(,)?) => {$(
        let result = tokio::spawn(async move { $call.await.map(drop) }).await.expect("it does not panic");
        assert!(matches!(result, Ok(()) | Err(ClientError::NoCommonVersion { .. })), "{}: {result:?}", stringify!($call));
    )*};
}

#[tokio::test]
async fn every_call_of_an_admin_can_be_spawned() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let admin = Admin::new(&connect(&broker).await);
    let each = || admin.clone();
    let (a, b, c, d, e, f, g, h, i) = (each(), each(), each(), each(), each(), each(), each(), each(), each());
    spawned!(
        a.create_topic(NewTopic::new("made")),
        b.delete_topic("t"),
        c.create_partitions("t", 2),
        d.list_topics(),
        e.describe_topic("t"),
        f.describe_configs(&ConfigResource::Topic("t".to_owned())),
        g.incremental_alter_configs(&ConfigResource::Broker(NodeId(1)), &[ConfigChange::Delete("x".to_owned())]),
        h.describe_cluster(),
        i.find_coordinator("g"),
    );
    let (a, b, c, d, e, f, g) = (each(), each(), each(), each(), each(), each(), each());
    spawned!(
        a.list_groups(),
        b.describe_group("g"),
        c.delete_group("g"),
        d.group_offsets("g"),
        e.alter_group_offsets("g", &BTreeMap::from([(partition("t", 0), Offset(1))])),
        f.delete_group_offsets("g", &[partition("t", 0)]),
        g.list_offsets(&[(partition("t", 0), SeekTo::End)]),
    );
    {
        // An id to be described, and a transaction to be aborted.
        let mut state = broker.state.lock();
        state.transactions.transactional_id = "tx".to_owned();
        state.transactions.epoch = Some(0);
        state.transactions.producers = vec![(40, 0, 5, 0, 7)];
    }
    let abort = AbortTransaction { partition: partition("t", 0), producer_id: 40, producer_epoch: 0, coordinator_epoch: 0 };
    let (a, b, c, d, e, f, g) = (each(), each(), each(), each(), each(), each(), each());
    spawned!(
        a.list_transactions(&TransactionFilter::default()),
        b.await_transaction_end("tx"),
        c.describe_transactions(&["tx".to_owned()]),
        d.describe_producers(&[partition("t", 0)], None),
        e.transaction_at(&partition("t", 0), Offset(7)),
        f.abort_transaction(&abort),
        g.find_hanging(
            &HangingScope { topics: BTreeMap::from([("t".to_owned(), vec![])]), ..HangingScope::default() },
            Duration::from_secs(900),
        ),
    );
}

#[tokio::test]
async fn producers_transactions_and_consumers_can_be_spawned() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default().transactional_id("tx".to_owned())).unwrap();
    let run = tokio::spawn(async move {
        producer.init_transactions().await?;
        let transaction = producer.begin().await?;
        transaction.send(Record::to("t").value(b"x")).await?;
        transaction.send_offsets(&GroupMetadata::of_group("g"), &BTreeMap::from([(partition("t", 0), Offset(1))])).await?;
        transaction.commit().await?;
        producer.begin().await?.abort().await
    });
    run.await.expect("it does not panic").unwrap();
    let mut consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    let run = tokio::spawn(async move {
        consumer.assign(vec![partition("t", 0)]).await?;
        consumer.seek(&partition("t", 0), SeekTo::Beginning)?;
        consumer.next_batch().await.map(|batch| batch.last_offset())
    });
    assert_eq!(run.await.expect("it does not panic").unwrap(), Offset(0));
}
