//! Metadata, topics, configs and the other small APIs through the registry.

use std::borrow::Cow;

use ottla_model::{TopicId, Uuid};
use ottla_wire::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::message::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic};
use ottla_wire::message::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ottla_wire::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ottla_wire::message::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use ottla_wire::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse};
use ottla_wire::message::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, RequestCursor, TopicRequest,
};
use ottla_wire::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic};
use ottla_wire::message::list_partition_reassignments::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ottla_wire::message::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_wire::{ApiKey, ErrorCode};

use crate::api::APIS;
use crate::partition::AppendOptions;
use crate::testing::{CLUSTER, Outcome, START, TestBroker, batch};

fn named<'a>(names: &[&'a str]) -> MetadataRequest<'a> {
    let topic = |name: &&'a str| MetadataRequestTopic { name: Some(name), ..Default::default() };
    MetadataRequest { topics: Some(names.iter().map(topic).collect()), allow_auto_topic_creation: false, ..Default::default() }
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_i16(code).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tells_brokers_and_topics_in_every_version() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("logs", 3, &[]).await;
    for version in 0..=13 {
        // Versions below 4 cannot say that they want no topic made.
        let mut request = named(&["logs", if version < 4 { "made" } else { "nowhere" }, "a/b"]);
        request.allow_auto_topic_creation = version < 4;
        let outcome = TestBroker::call(&broker, version, &request).await;
        let response: MetadataResponse<'_> = outcome.decode(version);
        let b = &response.brokers[0];
        assert_eq!((response.brokers.len(), b.node_id, b.host.as_ref(), b.port), (1, 1, "broker.example", 9092));
        assert_eq!(b.rack.as_deref(), (version >= 1).then_some("rack-a"));
        assert_eq!(response.cluster_id.as_deref(), (version >= 2).then_some(CLUSTER));
        assert_eq!(response.controller_id, if version >= 1 { 1 } else { -1 });
        let logs = &response.topics[0];
        assert_eq!((logs.error_code, logs.name.as_deref(), logs.partitions.len()), (0, Some("logs"), 3));
        assert_eq!(logs.topic_id, if version >= 10 { id.0 } else { Uuid::ZERO });
        assert!(logs.partitions.iter().all(|p| p.leader_id == 1 && p.replica_nodes == [1] && p.isr_nodes == [1] && p.error_code == 0));
        assert_eq!(code(response.topics[2].error_code), ErrorCode::InvalidTopicException, "version {version}");
        if version >= 4 {
            assert_eq!(code(response.topics[1].error_code), ErrorCode::UnknownTopicOrPartition);
        } else {
            assert_eq!(code(response.topics[1].error_code), ErrorCode::None, "made on first use");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_all_topics_of_none_and_by_id() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("b", 1, &[]).await;
    broker.create_topic("a", 1, &[]).await;
    for (version, topics, count) in [(0, Some(vec![]), 2), (1, Some(vec![]), 0), (1, None, 2), (13, None, 2), (13, Some(vec![]), 0)] {
        let outcome = broker.call(version, &MetadataRequest { topics, ..Default::default() }).await;
        assert_eq!(outcome.decode::<MetadataResponse<'_>>(version).topics.len(), count, "version {version}");
    }
    let by_id = |id: Uuid| MetadataRequestTopic { topic_id: id, name: None };
    let stranger = Uuid::from_bytes([3; 16]);
    let request = MetadataRequest { topics: Some(vec![by_id(id.0), by_id(stranger)]), ..Default::default() };
    let outcome = broker.call(12, &request).await;
    let response: MetadataResponse<'_> = outcome.decode(12);
    assert_eq!((response.topics[0].name.as_deref(), response.topics[0].error_code), (Some("b"), 0));
    assert_eq!((response.topics[1].name.as_deref(), response.topics[1].topic_id), (None, stranger));
    assert_eq!(code(response.topics[1].error_code), ErrorCode::UnknownTopicId);
    let early = MetadataRequest { topics: Some(vec![MetadataRequestTopic { topic_id: id.0, name: Some("b") }]), ..Default::default() };
    let outcome = broker.call(11, &early).await;
    assert_eq!(code(outcome.decode::<MetadataResponse<'_>>(11).topics[0].error_code), ErrorCode::InvalidRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_on_first_use_unless_that_is_switched_off() {
    let broker = TestBroker::start().await;
    let mut request = named(&["fresh"]);
    request.allow_auto_topic_creation = true;
    let outcome = broker.call(9, &request).await;
    let topic = &outcome.decode::<MetadataResponse<'_>>(9).topics[0];
    assert_eq!((topic.error_code, topic.partitions.len(), topic.partitions[0].leader_id), (0, 1, 1));
    assert!(broker.partition("fresh", 0).check_leader(ottla_model::LeaderEpoch::NONE).is_ok(), "it can be written at once");

    let strict = TestBroker::with(&[("auto.create.topics.enable", "false")]).await;
    let outcome = strict.call(9, &request).await;
    assert_eq!(code(outcome.decode::<MetadataResponse<'_>>(9).topics[0].error_code), ErrorCode::UnknownTopicOrPartition);
}

fn creatable<'a>(name: &'a str, partitions: i32) -> CreatableTopic<'a> {
    CreatableTopic { name, num_partitions: partitions, replication_factor: 1, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_each_with_its_own_result() {
    let broker = TestBroker::start().await;
    for version in 0..=7 {
        let name = format!("t{version}");
        let config = |name, value| CreatableTopicConfig { name, value };
        let mut with_config = creatable(&name, 2);
        with_config.configs = vec![config("retention.ms", Some("1234"))];
        let mut bad_config = creatable("bad-config", 1);
        bad_config.configs = vec![config("retention.ms", Some("soon"))];
        let mut null_config = creatable("null-config", 1);
        null_config.configs = vec![config("retention.ms", None)];
        let mut both = creatable("both", 1);
        both.assignments = vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1] }];
        let many_replicas = CreatableTopic { replication_factor: 3, ..creatable("many-replicas", 1) };
        let topics = vec![with_config, creatable("a/b", 1), creatable("none", 0), many_replicas, bad_config, null_config, both];
        let request = CreateTopicsRequest { topics, timeout_ms: 60_000, validate_only: false };
        let outcome = broker.call(version, &request).await;
        let response: CreateTopicsResponse<'_> = outcome.decode(version);
        let codes: Vec<ErrorCode> = response.topics.iter().map(|t| code(t.error_code)).collect();
        let wanted = [
            ErrorCode::None,
            ErrorCode::InvalidTopicException,
            ErrorCode::InvalidPartitions,
            ErrorCode::InvalidReplicationFactor,
            ErrorCode::InvalidConfig,
            ErrorCode::InvalidConfig,
            ErrorCode::InvalidRequest,
        ];
        assert_eq!(codes, wanted, "version {version}");
        if version >= 1 {
            assert_eq!(response.topics[0].error_message, None);
        }
        assert!(version < 1 || response.topics[1].error_message.as_ref().is_some_and(|text| text.contains("a/b")));
        let made = &response.topics[0];
        if version >= 5 {
            assert_eq!((made.num_partitions, made.replication_factor), (2, 1));
            let retention = made.configs.as_ref().unwrap().iter().find(|c| c.name == "retention.ms").unwrap();
            assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1234"), 1));
        }
        assert_eq!(made.topic_id.is_zero(), version < 7);
        assert_eq!(broker.partition(&name, 1).with_log(|log| log.config().retention_ms), 1234);
    }
    let again = CreateTopicsRequest { topics: vec![creatable("t7", 1)], timeout_ms: 60_000, validate_only: false };
    let outcome = broker.call(7, &again).await;
    assert_eq!(code(outcome.decode::<CreateTopicsResponse<'_>>(7).topics[0].error_code), ErrorCode::TopicAlreadyExists);
    let only_try = CreateTopicsRequest { topics: vec![creatable("tried", 1)], timeout_ms: 60_000, validate_only: true };
    let outcome = broker.call(7, &only_try).await;
    assert_eq!(outcome.decode::<CreateTopicsResponse<'_>>(7).topics[0].error_code, 0);
    assert!(broker.context.image().topic("tried").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_deleted_by_name_and_by_id() {
    let broker = TestBroker::start().await;
    for version in 0..=5 {
        broker.create_topic("gone", 1, &[]).await;
        let request = DeleteTopicsRequest { topic_names: vec!["gone", "nowhere"], timeout_ms: 60_000, ..Default::default() };
        let outcome = broker.call(version, &request).await;
        let response: DeleteTopicsResponse<'_> = outcome.decode(version);
        let codes: Vec<ErrorCode> = response.responses.iter().map(|r| code(r.error_code)).collect();
        assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
        assert!(broker.context.partitions.find("gone", ottla_model::PartitionId(0)).is_none());
    }
    let id = broker.create_topic("gone", 1, &[]).await;
    let state = |name, id| DeleteTopicState { name, topic_id: id };
    let stranger = Uuid::from_bytes([3; 16]);
    let topics = vec![state(None, id.0), state(None, stranger), state(Some("x"), stranger), state(None, Uuid::ZERO)];
    let outcome = broker.call(6, &DeleteTopicsRequest { topics, timeout_ms: 60_000, ..Default::default() }).await;
    let response: DeleteTopicsResponse<'_> = outcome.decode(6);
    let codes: Vec<ErrorCode> = response.responses.iter().map(|r| code(r.error_code)).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicId, ErrorCode::InvalidRequest, ErrorCode::InvalidRequest]);
    assert_eq!(response.responses[0].name.as_deref(), Some("gone"));

    let kept = TestBroker::with(&[("delete.topic.enable", "false")]).await;
    kept.create_topic("kept", 1, &[]).await;
    for (version, expected) in [(2, ErrorCode::InvalidRequest), (3, ErrorCode::TopicDeletionDisabled)] {
        let request = DeleteTopicsRequest { topic_names: vec!["kept"], timeout_ms: 60_000, ..Default::default() };
        let outcome = kept.call(version, &request).await;
        assert_eq!(code(outcome.decode::<DeleteTopicsResponse<'_>>(version).responses[0].error_code), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_added_and_never_taken_away() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    let ask = |name, count| CreatePartitionsTopic { name, count, assignments: None };
    let request = CreatePartitionsRequest { topics: vec![ask("logs", 4), ask("nowhere", 2)], timeout_ms: 60_000, validate_only: false };
    let outcome = broker.call(3, &request).await;
    let response: CreatePartitionsResponse<'_> = outcome.decode(3);
    let codes: Vec<ErrorCode> = response.results.iter().map(|r| code(r.error_code)).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    assert!(broker.partition("logs", 3).check_leader(ottla_model::LeaderEpoch::NONE).is_ok());
    let fewer = CreatePartitionsRequest { topics: vec![ask("logs", 1)], timeout_ms: 60_000, validate_only: false };
    let outcome = broker.call(0, &fewer).await;
    assert_eq!(code(outcome.decode::<CreatePartitionsResponse<'_>>(0).results[0].error_code), ErrorCode::InvalidPartitions);
}

fn describe<'a>(resource_type: i8, name: &'a str) -> DescribeConfigsRequest<'a> {
    let resource = DescribeConfigsResource { resource_type, resource_name: name, configuration_keys: None };
    DescribeConfigsRequest { resources: vec![resource], ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_again_in_the_same_words_is_described_once() {
    let broker = TestBroker::start().await;
    let ask = |keys: Option<Vec<&'static str>>| DescribeConfigsResource { configuration_keys: keys, ..describe(4, "1").resources[0].clone() };
    let resources = vec![ask(None), ask(Some(vec!["log.dirs"])), ask(None), ask(Some(vec!["log.dirs"])), ask(None)];
    let outcome = broker.call(4, &DescribeConfigsRequest { resources, ..Default::default() }).await;
    let response: DescribeConfigsResponse<'_> = outcome.decode(4);
    let counts: Vec<bool> = response.results.iter().map(|result| result.configs.len() == 1).collect();
    assert_eq!(counts, [false, true], "all, then the one that was named");
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_are_described_with_their_sources() {
    let broker = TestBroker::with(&[("log.retention.hours", "5")]).await;
    broker.create_topic("logs", 1, &[("segment.bytes", "2000000")]).await;
    for version in 0..=4 {
        let mut request = describe(2, "logs");
        request.include_synonyms = version >= 1;
        request.include_documentation = version >= 3;
        let outcome = broker.call(version, &request).await;
        let response: DescribeConfigsResponse<'_> = outcome.decode(version);
        let find = |name: &str| response.results[0].configs.iter().find(|c| c.name == name).unwrap();
        let (own, inherited) = (find("segment.bytes"), find("retention.ms"));
        assert_eq!((own.value.as_deref(), inherited.value.as_deref()), (Some("2000000"), Some("18000000")));
        if version >= 1 {
            assert_eq!((own.config_source, inherited.config_source), (1, 4), "set for the topic; from the file");
            assert_eq!(own.synonyms[0].name, "segment.bytes");
            assert!(inherited.synonyms.iter().any(|s| s.name == "log.retention.hours" && s.value.as_deref() == Some("5")));
        } else {
            assert!(!own.is_default && find("compression.type").is_default);
        }
        if version >= 3 {
            assert!(own.documentation.as_ref().is_some_and(|text| !text.is_empty()));
        }
    }
    let outcome = broker.call(4, &describe(4, "1")).await;
    let response: DescribeConfigsResponse<'_> = outcome.decode(4);
    assert!(response.results[0].configs.iter().any(|c| c.name == "log.dirs" && c.value.as_deref() == Some("/d0,/d1")));
    for (kind, name, expected) in [
        (2, "nowhere", ErrorCode::UnknownTopicOrPartition),
        (2, "a/b", ErrorCode::InvalidTopicException),
        (4, "2", ErrorCode::InvalidRequest),
        (4, "x", ErrorCode::InvalidRequest),
        (8, "1", ErrorCode::InvalidRequest),
        (99, "", ErrorCode::InvalidRequest),
    ] {
        let outcome = broker.call(4, &describe(kind, name)).await;
        assert_eq!(code(outcome.decode::<DescribeConfigsResponse<'_>>(4).results[0].error_code), expected, "{kind} {name}");
    }
}

fn alter<'a>(resource_type: i8, name: &'a str, changes: &[(&'a str, i8, Option<&'a str>)]) -> IncrementalAlterConfigsRequest<'a> {
    let configs = changes.iter().map(|(name, op, value)| AlterableConfig { name, config_operation: *op, value: *value });
    let resource = AlterConfigsResource { resource_type, resource_name: name, configs: configs.collect() };
    IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_are_altered_and_take_effect_on_the_logs() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let altered = async |request: &IncrementalAlterConfigsRequest<'_>| {
        let outcome = broker.call(1, request).await;
        code(outcome.decode::<IncrementalAlterConfigsResponse<'_>>(1).responses[0].error_code)
    };
    let logs = || broker.partition("logs", 0).with_log(|log| log.config().clone());
    assert_eq!(altered(&alter(2, "logs", &[("retention.ms", 0, Some("777")), ("write.caching", 0, Some("true"))])).await, ErrorCode::None);
    assert_eq!(logs().retention_ms, 777);
    assert_eq!(altered(&alter(2, "logs", &[("retention.ms", 1, None)])).await, ErrorCode::None);
    assert_eq!(logs().retention_ms, 604_800_000);
    assert_eq!(altered(&alter(4, "", &[("log.retention.ms", 0, Some("888"))])).await, ErrorCode::None);
    assert_eq!(logs().retention_ms, 888, "a broker default reaches the topics without their own");
    assert_eq!(altered(&alter(2, "logs", &[("cleanup.policy", 2, Some("compact"))])).await, ErrorCode::None);
    assert!(logs().cleanup_compact && logs().cleanup_delete);
    let mut only_try = alter(2, "logs", &[("retention.ms", 0, Some("1"))]);
    only_try.validate_only = true;
    assert_eq!(altered(&only_try).await, ErrorCode::None);
    assert_eq!(logs().retention_ms, 888);
    for (request, expected) in [
        (alter(2, "nowhere", &[("retention.ms", 0, Some("1"))]), ErrorCode::UnknownTopicOrPartition),
        (alter(2, "logs", &[("retention.ms", 0, Some("soon"))]), ErrorCode::InvalidConfig),
        (alter(2, "logs", &[("no.such.config", 0, Some("1"))]), ErrorCode::InvalidConfig),
        (alter(2, "logs", &[("retention.ms", 0, None)]), ErrorCode::InvalidRequest),
        (alter(2, "logs", &[("retention.ms", 9, Some("1"))]), ErrorCode::InvalidRequest),
        (alter(2, "logs", &[("retention.ms", 0, Some("1")), ("retention.ms", 1, None)]), ErrorCode::InvalidRequest),
        (alter(4, "1", &[("log.dirs", 0, Some("/x"))]), ErrorCode::InvalidRequest),
        (alter(4, "x", &[("log.retention.ms", 0, Some("1"))]), ErrorCode::InvalidRequest),
        (alter(8, "1", &[]), ErrorCode::InvalidRequest),
    ] {
        assert_eq!(altered(&request).await, expected, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api_versions_is_the_registry_and_answers_versions_it_does_not_know() {
    let broker = TestBroker::start().await;
    let request = ApiVersionsRequest { client_software_name: "sarama", client_software_version: "1.38.1" };
    for version in 0..=4 {
        let outcome = broker.call(version, &request).await;
        let response: ApiVersionsResponse<'_> = outcome.decode(version);
        assert_eq!((response.error_code, response.api_keys.len()), (0, APIS.len()));
        let produce = response.api_keys.iter().find(|a| a.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13), "librdkafka wants to see Produce 0");
        if version >= 3 {
            assert!(response.finalized_features.iter().any(|f| f.name == "metadata.version"));
            assert!(response.finalized_features_epoch >= 0);
        }
    }
    let outcome = broker.call_bytes(ApiKey::ApiVersions, 99, None, b"whatever").await;
    let Outcome::Answer(_) = &outcome else { panic!("{outcome:?}") };
    let response: ApiVersionsResponse<'_> = outcome.decode(0);
    assert_eq!(code(response.error_code), ErrorCode::UnsupportedVersion);
    assert_eq!((response.api_keys.len(), response.api_keys[0].max_version), (1, 4));
    let strange = ApiVersionsRequest { client_software_name: "a b", client_software_version: "1" };
    let outcome = broker.call(3, &strange).await;
    assert_eq!(code(outcome.decode::<ApiVersionsResponse<'_>>(3).error_code), ErrorCode::InvalidRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn producer_ids_are_never_given_out_twice_not_even_after_a_crash() {
    let broker = TestBroker::start().await;
    let take = async |broker: &TestBroker| {
        let outcome = broker.call(4, &InitProducerIdRequest { transactional_id: None, ..Default::default() }).await;
        let response: InitProducerIdResponse = outcome.decode(4);
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        response.producer_id
    };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2500 {
        assert!(seen.insert(take(&broker).await), "more than two blocks, all different");
    }
    let broker = broker.restart(false).await;
    for _ in 0..10 {
        assert!(seen.insert(take(&broker).await));
    }
    for (request, expected) in [
        (InitProducerIdRequest { transactional_id: Some("t"), ..Default::default() }, ErrorCode::NotCoordinator),
        (InitProducerIdRequest { transactional_id: Some(""), ..Default::default() }, ErrorCode::InvalidRequest),
        (InitProducerIdRequest { transactional_id: None, producer_id: 5, ..Default::default() }, ErrorCode::InvalidRequest),
    ] {
        let outcome = broker.call(4, &request).await;
        let response: InitProducerIdResponse = outcome.decode(4);
        assert_eq!((code(response.error_code), response.producer_id), (expected, -1));
    }
}

async fn fill(broker: &TestBroker, topic: &str) {
    let partition = broker.partition(topic, 0);
    let options = AppendOptions { acks: ottla_model::Acks::All, origin: ottla_log::AppendOrigin::Client, now: START };
    let end = partition.append(&batch(&["a", "b", "c"]), options).unwrap().last_offset.plus(1);
    partition.reach(end, crate::context::deadline_after(60_000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_listed_by_time_and_by_their_ends() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    fill(&broker, "logs").await;
    let epoch = broker.partition("logs", 0).leadership().epoch.0;
    let ask = |timestamp| ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "logs",
            partitions: vec![ListOffsetsPartition { partition_index: 0, timestamp, ..Default::default() }],
        }],
        ..Default::default()
    };
    let unknown = (ErrorCode::None, -1, -1, -1);
    let refused = (ErrorCode::UnsupportedVersion, -1, -1, -1);
    for (version, timestamp, expected) in [
        (11, -1, (ErrorCode::None, 3, -1, epoch)),
        (11, -2, (ErrorCode::None, 0, -1, epoch)),
        (11, -3, (ErrorCode::None, 0, START.0, epoch)),
        (11, -4, (ErrorCode::None, 0, -1, epoch)),
        (11, -5, unknown),
        (11, -6, unknown),
        (11, -7, refused),
        (6, -3, refused),
        (7, -4, refused),
        (8, -5, refused),
        (10, -6, refused),
        (11, 0, (ErrorCode::None, 0, START.0, epoch)),
        (11, START.0 + 1, unknown),
    ] {
        let outcome = broker.call(version, &ask(timestamp)).await;
        let response: ListOffsetsResponse<'_> = outcome.decode(version);
        let p = &response.topics[0].partitions[0];
        assert_eq!((code(p.error_code), p.offset, p.timestamp, p.leader_epoch), expected, "version {version} timestamp {timestamp}");
    }
    let outcome = broker.call(0, &ask(-1)).await;
    assert_eq!(outcome.decode::<ListOffsetsResponse<'_>>(0).topics[0].partitions[0].old_style_offsets, [3]);
    let mut twice = ask(-1);
    let again = twice.topics[0].partitions[0].clone();
    twice.topics[0].partitions.push(again);
    let outcome = broker.call(5, &twice).await;
    let response: ListOffsetsResponse<'_> = outcome.decode(5);
    assert!(response.topics[0].partitions.iter().all(|p| code(p.error_code) == ErrorCode::InvalidRequest));
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_end_where_the_next_begins() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    fill(&broker, "logs").await;
    let broker = broker.restart(true).await;
    fill(&broker, "logs").await;
    let epoch = broker.partition("logs", 0).leadership().epoch.0;
    let ask = |current, leader_epoch| OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "logs",
            partitions: vec![OffsetForLeaderPartition { partition: 0, current_leader_epoch: current, leader_epoch }],
        }],
        ..Default::default()
    };
    for (current, asked, expected) in [
        (-1, epoch, (ErrorCode::None, epoch, 6)),
        (-1, epoch - 1, (ErrorCode::None, epoch - 1, 3)),
        (epoch - 1, epoch, (ErrorCode::FencedLeaderEpoch, -1, -1)),
        (epoch + 1, epoch, (ErrorCode::UnknownLeaderEpoch, -1, -1)),
    ] {
        let outcome = broker.call(4, &ask(current, asked)).await;
        let response: OffsetForLeaderEpochResponse<'_> = outcome.decode(4);
        let p = &response.topics[0].partitions[0];
        assert_eq!((code(p.error_code), p.leader_epoch, p.end_offset), expected, "asked {asked} as {current}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_described_to_clients_of_a_broker() {
    let broker = TestBroker::start().await;
    for version in 0..=2 {
        let outcome = broker.call(version, &DescribeClusterRequest::default()).await;
        let response: DescribeClusterResponse<'_> = outcome.decode(version);
        assert_eq!((response.error_code, response.cluster_id.as_ref(), response.controller_id), (0, CLUSTER, 1));
        assert_eq!((response.brokers.len(), response.brokers[0].rack.as_deref()), (1, Some("rack-a")));
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
    }
    for (endpoint_type, expected) in [(2, ErrorCode::MismatchedEndpointType), (9, ErrorCode::UnsupportedEndpointType)] {
        let outcome = broker.call(1, &DescribeClusterRequest { endpoint_type, ..Default::default() }).await;
        assert_eq!(code(outcome.decode::<DescribeClusterResponse<'_>>(1).error_code), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_described_page_by_page() {
    let broker = TestBroker::start().await;
    for (name, partitions) in [("a", 2), ("b", 3), ("c", 1)] {
        broker.create_topic(name, partitions, &[]).await;
    }
    let mut pages = Vec::new();
    let mut cursor: Option<(String, i32)> = None;
    loop {
        let request = DescribeTopicPartitionsRequest {
            response_partition_limit: 2,
            cursor: cursor.as_ref().map(|(topic_name, partition_index)| RequestCursor { topic_name, partition_index: *partition_index }),
            ..Default::default()
        };
        let outcome = broker.call(0, &request).await;
        let response: DescribeTopicPartitionsResponse<'_> = outcome.decode(0);
        let page: Vec<String> = response
            .topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| format!("{}-{}", t.name.as_deref().unwrap(), p.partition_index)))
            .collect();
        pages.push(page);
        let Some(next) = response.next_cursor else { break };
        cursor = Some((next.topic_name.into_owned(), next.partition_index));
    }
    assert_eq!(pages, [vec!["a-0", "a-1"], vec!["b-0", "b-1"], vec!["b-2", "c-0"]]);

    let topics = vec![TopicRequest { name: "nowhere" }, TopicRequest { name: "c" }, TopicRequest { name: "a/b" }];
    let outcome = broker.call(0, &DescribeTopicPartitionsRequest { topics, ..Default::default() }).await;
    let response: DescribeTopicPartitionsResponse<'_> = outcome.decode(0);
    let told: Vec<(Option<Cow<'_, str>>, ErrorCode)> = response.topics.into_iter().map(|t| (t.name, code(t.error_code))).collect();
    let name = |name| Some(Cow::Borrowed(name));
    assert_eq!(
        told,
        [
            (name("a/b"), ErrorCode::InvalidTopicException),
            (name("c"), ErrorCode::None),
            (name("nowhere"), ErrorCode::UnknownTopicOrPartition)
        ]
    );
    for cursor in [RequestCursor { topic_name: "b", partition_index: 0 }, RequestCursor { topic_name: "a", partition_index: -1 }] {
        let topics = vec![TopicRequest { name: "a" }];
        let outcome = broker.call(0, &DescribeTopicPartitionsRequest { topics, cursor: Some(cursor), ..Default::default() }).await;
        let response: DescribeTopicPartitionsResponse<'_> = outcome.decode(0);
        assert_eq!(code(response.topics[0].error_code), ErrorCode::InvalidRequest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_being_reassigned() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let outcome = broker.call(0, &ListPartitionReassignmentsRequest::default()).await;
    let response: ListPartitionReassignmentsResponse<'_> = outcome.decode(0);
    assert_eq!((response.error_code, response.topics.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_and_stuffed_bodies_of_every_api_are_answered_or_closed_never_worse() {
    let broker = TestBroker::start().await;
    for api in APIS {
        for version in api.versions.clone() {
            for body in [&[][..], &[0; 64], &[0xff; 64], &[0x7f; 64], &[1; 300]] {
                let (answer, _) = broker.begin(api.key, version, None, body);
                drop(answer);
            }
        }
    }
    assert_ne!(broker.create_topic("still-alive", 1, &[]).await, TopicId::ZERO);
}
