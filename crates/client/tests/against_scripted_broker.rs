//! Producer and consumer over real sockets against a broker that refuses, disconnects, stays silent or talks nonsense.

mod membership;
mod scripted;
mod spawned;
mod transactions;

use ottla_client::{
    Acks, Client, ClientConfig, ClientError, Consumer, ConsumerConfig, ErrorCode, Offset, OffsetReset, Producer, ProducerConfig, Record,
    SeekTo, TimestampMs, TopicPartition,
};
use ottla_wire::ApiKey;
use scripted::{ScriptedBroker, Step};

fn quick(broker: &ScriptedBroker) -> ClientConfig {
    ClientConfig::new(&broker.address)
        .retry_backoff_ms(1u32)
        .retry_backoff_max_ms(10u32)
        .reconnect_backoff_ms(1u32)
        .reconnect_backoff_max_ms(10u32)
}

async fn connect(broker: &ScriptedBroker) -> Client {
    Client::connect(quick(broker)).await.expect("it succeeds")
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition::new(ottla_client::TopicName::new(topic).expect("legal"), ottla_client::PartitionId(index))
}

async fn produce(producer: &Producer, topic: &str, values: impl IntoIterator<Item = String>) -> Vec<Result<i64, ClientError>> {
    let mut deliveries = Vec::new();
    for value in values {
        deliveries.push(producer.enqueue(Record::to(topic).partition(0).value(value.as_bytes())).await.expect("it succeeds"));
    }
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.map(|metadata| metadata.offset.map_or(-1, |offset| offset.get())));
    }
    offsets
}

async fn read(consumer: &mut Consumer, count: usize) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = consumer.next_batch().await.expect("it succeeds");
        for record in &batch.records().expect("sound") {
            let record = record.expect("sound");
            all.push((record.offset.get(), String::from_utf8(record.value.expect("a value").to_vec()).expect("text")));
        }
    }
    all
}

#[tokio::test]
async fn trouble_of_every_kind_loses_doubles_and_reorders_nothing() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    broker.script_produce(&[
        Step::Handle,
        Step::DisconnectAfter,
        Step::Handle,
        Step::DisconnectBefore,
        Step::Refuse(ErrorCode::NotLeaderOrFollower),
        Step::Handle,
        Step::Handle,
        Step::DisconnectAfter,
        Step::DisconnectAfter,
        Step::Refuse(ErrorCode::NotEnoughReplicas),
        Step::Garbage,
    ]);
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default().batch_size(200u32).linger_ms(0u32)).unwrap();
    let values: Vec<String> = (0..200).map(|n| format!("{n:-<60}")).collect();
    let offsets = produce(&producer, "t", values.clone()).await;
    assert!(broker.values("t", 0) == values, "{:?}", broker.values("t", 0));
    for (index, offset) in offsets.into_iter().enumerate() {
        assert_eq!(offset.unwrap(), index as i64);
    }
    producer.close(std::time::Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn without_idempotence_order_holds_through_refusals() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let refusal = Step::Refuse(ErrorCode::NotLeaderOrFollower);
    broker.script_produce(&[Step::Handle, refusal, refusal, Step::Handle, refusal]);
    let client = connect(&broker).await;
    let config = ProducerConfig::default().acks(Acks::Leader).batch_size(200u32).linger_ms(0u32);
    let producer = Producer::new(&client, config).unwrap();
    let values: Vec<String> = (0..50).map(|n| format!("{n:-<60}")).collect();
    let offsets = produce(&producer, "t", values.clone()).await;
    assert!(offsets.iter().all(Result::is_ok));
    assert_eq!(broker.values("t", 0), values);
    assert_eq!(broker.state.lock().count(ApiKey::InitProducerId), 0);
}

#[tokio::test]
async fn a_broker_that_stays_silent_is_given_up_and_asked_again() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    broker.script_produce(&[Step::Silence]);
    let client = Client::connect(quick(&broker).request_timeout_ms(50u32)).await.unwrap();
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let metadata = producer.send(Record::to("t").value(b"x")).await.unwrap();
    assert_eq!(metadata.offset, Some(Offset(0)));
    assert_eq!(broker.state.lock().count(ApiKey::Produce), 2);
}

#[tokio::test]
async fn a_record_refused_for_good_fails_with_the_reason_and_the_next_goes_through() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    broker.script_produce(&[Step::Refuse(ErrorCode::InvalidRecord)]);
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let refused = producer.send(Record::to("t").value(b"bad")).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::InvalidRecord));
    assert_eq!(producer.send(Record::to("t").value(b"good")).await.unwrap().offset, Some(Offset(0)));
}

#[tokio::test]
async fn acks_0_is_done_when_written_and_knows_no_offset() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default().acks(Acks::None)).unwrap();
    assert_eq!(producer.send(Record::to("t").value(b"x")).await.unwrap().offset, None);
    // The next answer on the same topic proves that the broker took it and sent nothing in between.
    let mut consumer = Consumer::new(&client, ConsumerConfig::default().auto_offset_reset(OffsetReset::Earliest)).unwrap();
    consumer.assign(vec![partition("t", 0)]).await.unwrap();
    assert_eq!(read(&mut consumer, 1).await, [(0, "x".to_owned())]);
}

#[tokio::test]
async fn full_memory_holds_senders_back_and_says_which_setting() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    broker.script_produce(&[Step::Silence]);
    let client = connect(&broker).await;
    let config = ProducerConfig::default().buffer_memory(2_000u32).batch_size(1_000u32).max_block_ms(50u32);
    let producer = Producer::new(&client, config).unwrap();
    let value = vec![b'x'; 900];
    let _first = producer.enqueue(Record::to("t").value(&value)).await.unwrap();
    let _second = producer.enqueue(Record::to("t").value(&value)).await.unwrap();
    let error = producer.enqueue(Record::to("t").value(&value)).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { property: "max.block.ms", .. }), "{error}");
    assert!(error.to_string().contains("buffer.memory=2000"), "{error}");
    let error = producer.enqueue(Record::to("t").value(&[0; 3_000])).await.unwrap_err();
    assert!(matches!(error, ClientError::RecordTooLarge { property: "buffer.memory", .. }), "{error}");
}

#[tokio::test]
async fn a_topic_that_is_being_made_is_waited_for() {
    let broker = ScriptedBroker::start(&[("t", 3)]).await;
    broker.state.lock().metadata_errors.extend([ErrorCode::UnknownTopicOrPartition, ErrorCode::LeaderNotAvailable]);
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let metadata = producer.send(Record::to("t").key(b"21").value(b"x")).await.unwrap();
    assert_eq!(metadata.partition.get(), ottla_client::partition_for_key(b"21", 3));
}

#[tokio::test]
async fn unknown_topics_and_partitions_are_named() {
    let broker = ScriptedBroker::start(&[("t", 2)]).await;
    let client = connect(&broker).await;
    assert!(matches!(client.partitions_for("nope").await, Err(ClientError::UnknownTopic { topic }) if topic == "nope"));
    let mut consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    let error = consumer.assign(vec![partition("t", 2)]).await.unwrap_err();
    assert!(matches!(error, ClientError::UnknownPartition { partition: 2, partitions: 2, .. }), "{error}");
}

#[tokio::test]
async fn an_old_broker_is_spoken_to_in_its_own_version() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    broker.state.lock().api_versions_max = Some(2);
    let client = connect(&broker).await;
    assert_eq!(client.partitions_for("t").await.unwrap().len(), 1);
    let newest = *<ottla_wire::message::api_versions::ApiVersionsRequest<'_> as ottla_wire::Message<'_>>::VERSIONS.end();
    let seen = broker.state.lock().seen.clone();
    assert_eq!(seen[..2], [(ApiKey::ApiVersions, newest), (ApiKey::ApiVersions, 2)]);
}

#[tokio::test]
async fn nobody_there_is_said_at_once_with_the_address() {
    // A port that was free a moment ago.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let error = Client::connect(ClientConfig::new(&address)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot reach {address}: connection refused"));
}

#[tokio::test]
async fn something_that_is_no_broker_is_told_so_without_taking_its_length_for_memory() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        std::future::pending::<()>().await;
    });
    let error = Client::connect(ClientConfig::new(&address)).await.unwrap_err();
    assert!(matches!(error, ClientError::ResponseTooLarge { len_bytes: 0x4854_5450, .. }), "{error}");
    assert!(error.to_string().contains("is it a Kafka broker?"));
}

#[tokio::test]
async fn a_consumer_reads_on_through_disconnects_and_refusals() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default().batch_size(200u32)).unwrap();
    let values: Vec<String> = (0..40).map(|n| format!("{n:-<60}")).collect();
    produce(&producer, "t", values[..20].to_vec()).await;
    broker.script_fetch(&[Step::DisconnectBefore, Step::Refuse(ErrorCode::NotLeaderOrFollower), Step::Handle, Step::DisconnectAfter]);
    let mut consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign(vec![partition("t", 0)]).await.unwrap();
    consumer.seek(&partition("t", 0), SeekTo::Beginning).unwrap();
    let mut records = read(&mut consumer, 20).await;
    produce(&producer, "t", values[20..].to_vec()).await;
    records.extend(read(&mut consumer, 20).await);
    let expected: Vec<(i64, String)> = values.into_iter().enumerate().map(|(offset, value)| (offset as i64, value)).collect();
    assert_eq!(records, expected);
    assert_eq!(consumer.position(&partition("t", 0)).await.unwrap(), Offset(40));
}

#[tokio::test]
async fn nonsense_for_an_answer_is_said_once_and_reading_goes_on() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    producer.send(Record::to("t").value(b"x")).await.unwrap();
    broker.script_fetch(&[Step::Garbage]);
    let mut consumer = Consumer::new(&client, ConsumerConfig::default().auto_offset_reset(OffsetReset::Earliest)).unwrap();
    consumer.assign(vec![partition("t", 0)]).await.unwrap();
    let error = consumer.next_batch().await.unwrap_err();
    assert!(matches!(error, ClientError::ResponseTooLarge { .. }), "{error}");
    assert_eq!(read(&mut consumer, 1).await, [(0, "x".to_owned())]);
}

#[tokio::test]
async fn seeks_go_to_offsets_ends_and_times() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default().linger_ms(0u32)).unwrap();
    for n in 0..5 {
        producer.send(Record::to("t").value(n.to_string().as_bytes()).timestamp_ms(1_000 + n)).await.unwrap();
    }
    let t = partition("t", 0);
    let mut consumer = Consumer::new(&client, ConsumerConfig::default()).unwrap();
    consumer.assign(vec![t.clone()]).await.unwrap();
    for (to, offset) in [
        (SeekTo::Offset(Offset(3)), 3),
        (SeekTo::Beginning, 0),
        (SeekTo::Timestamp(TimestampMs(1_002)), 2),
        (SeekTo::Timestamp(TimestampMs(9_999)), 5),
        (SeekTo::End, 5),
    ] {
        consumer.seek(&t, to).unwrap();
        assert_eq!(consumer.position(&t).await.unwrap(), Offset(offset), "{to:?}");
    }
    consumer.seek(&t, SeekTo::Timestamp(TimestampMs(1_004))).unwrap();
    assert_eq!(read(&mut consumer, 1).await, [(4, "4".to_owned())]);
    assert_eq!(consumer.end_offsets(std::slice::from_ref(&t)).await.unwrap()[&t], Offset(5));
    assert_eq!(consumer.beginning_offsets(std::slice::from_ref(&t)).await.unwrap()[&t], Offset(0));
    let found = consumer.offsets_for_times(&[(t.clone(), TimestampMs(1_001))]).await.unwrap();
    assert_eq!(found[&t].unwrap().offset, Offset(1));
}

#[tokio::test]
async fn an_offset_outside_the_log_is_reset_or_reported_as_configured() {
    let broker = ScriptedBroker::start(&[("t", 1)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    producer.send(Record::to("t").value(b"first")).await.unwrap();
    let t = partition("t", 0);
    for (reset, start) in [(OffsetReset::Earliest, 0), (OffsetReset::Latest, 1)] {
        let mut consumer = Consumer::new(&client, ConsumerConfig::default().auto_offset_reset(reset)).unwrap();
        consumer.assign(vec![t.clone()]).await.unwrap();
        consumer.seek(&t, SeekTo::Offset(Offset(99))).unwrap();
        let reading = tokio::spawn(async move { read(&mut consumer, 1).await });
        if start == 1 {
            // Read from the end it was reset to: only what comes now.
            while broker.state.lock().count(ApiKey::ListOffsets) < 2 {
                tokio::task::yield_now().await;
            }
            producer.send(Record::to("t").value(b"second")).await.unwrap();
        }
        assert_eq!(reading.await.unwrap()[0].0, start);
    }
    let mut consumer = Consumer::new(&client, ConsumerConfig::default().auto_offset_reset(OffsetReset::None)).unwrap();
    consumer.assign(vec![t.clone()]).await.unwrap();
    assert!(matches!(consumer.next_batch().await, Err(ClientError::NoPosition { .. })));
    consumer.seek(&t, SeekTo::Offset(Offset(99))).unwrap();
    assert!(matches!(consumer.next_batch().await, Err(ClientError::OffsetOutOfRange { offset: 99, .. })));
}

#[tokio::test]
async fn a_partition_without_a_position_does_not_keep_the_others_from_being_read() {
    let broker = ScriptedBroker::start(&[("t", 3)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    for index in 0..3 {
        producer.send(Record::to("t").partition(index).value(index.to_string().as_bytes())).await.unwrap();
    }
    let mut consumer = Consumer::new(&client, ConsumerConfig::default().auto_offset_reset(OffsetReset::None)).unwrap();
    consumer.assign((0..3).map(|index| partition("t", index)).collect()).await.unwrap();
    consumer.seek(&partition("t", 0), SeekTo::Beginning).unwrap();
    consumer.seek(&partition("t", 2), SeekTo::Beginning).unwrap();
    let (mut read, mut missing) = (Vec::new(), 0);
    while read.len() < 2 {
        match consumer.next_batch().await {
            Ok(batch) => read.push(batch.partition().get()),
            Err(ClientError::NoPosition { partition: 1, .. }) => missing += 1,
            Err(other) => panic!("{other}"),
        }
    }
    read.sort_unstable();
    assert_eq!(read, [0, 2]);
    assert!(missing > 0);
}

#[tokio::test]
async fn a_dropped_read_loses_nothing_and_a_paused_partition_waits() {
    let broker = ScriptedBroker::start(&[("t", 2)]).await;
    let client = connect(&broker).await;
    let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
    let config = ConsumerConfig::default().auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = Consumer::new(&client, config).unwrap();
    let (zero, one) = (partition("t", 0), partition("t", 1));
    consumer.assign(vec![zero.clone(), one.clone()]).await.unwrap();
    assert!(consumer.poll(std::time::Duration::from_millis(20)).await.unwrap().is_none());
    consumer.pause(&zero).unwrap();
    producer.send(Record::to("t").partition(0).value(b"zero")).await.unwrap();
    producer.send(Record::to("t").partition(1).value(b"one")).await.unwrap();
    assert_eq!(read(&mut consumer, 1).await, [(0, "one".to_owned())]);
    consumer.pause(&one).unwrap();
    consumer.resume(&zero).unwrap();
    assert_eq!(read(&mut consumer, 1).await, [(0, "zero".to_owned())]);
}
