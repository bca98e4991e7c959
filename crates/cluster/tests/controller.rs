//! What each command writes and refuses, on small clusters.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Cluster, counts, create_one, manual, ready_broker};
use ottla_cluster::controller::{
    AlterConfigs, AssignReplicasToDirs, ChangeBroker, Command, ConfigResourceAlteration, ControllerError, CreatePartitions, CreateTopics,
    DeleteTopics, NewPartitions, NewTopic, Reply, TopicPlacement, TopicRef, list_partition_reassignments,
};
use ottla_cluster::metadata::{ConfigResource, MetadataRecord, PartitionChange};
use ottla_model::config::{AlterOp, ConfigAlteration, ConfigError, Overrides};
use ottla_model::{
    BrokerEpoch, ClusterId, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId, TopicId, TopicName, Uuid,
};

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn partition(of: &[i32]) -> (PartitionId, Vec<NodeId>) {
    (PartitionId(0), nodes(of))
}

#[test]
fn a_new_topic_has_its_partitions_led_by_who_is_up_and_its_configs() {
    let mut cluster = Cluster::of(3);
    let configs = Overrides::from([("retention.ms".to_owned(), "1000".to_owned())]);
    let topic = NewTopic { configs: configs.clone(), ..counts("logs", 4, 2) };
    let created = create_one(&mut cluster, topic).unwrap();
    assert_eq!((created.name.as_str(), created.partitions, created.replication_factor), ("logs", 4, 2));
    let topic = cluster.image.topic("logs").unwrap();
    assert_eq!((topic.id, topic.partitions.len()), (created.id, 4));
    for partition in &topic.partitions {
        assert_eq!(partition.isr, partition.replicas);
        assert_eq!(partition.leader, partition.replicas[0]);
        assert_eq!((partition.leader_epoch, partition.partition_epoch), (LeaderEpoch(0), PartitionEpoch(0)));
        // A broker with one log dir has no choice.
        assert!(partition.directories.iter().all(|directory| *directory != DirectoryId::UNASSIGNED));
    }
    assert_eq!(*cluster.image.topic_config("logs"), configs);
    assert_eq!(cluster.image.topic_by_id(created.id).unwrap().name.as_str(), "logs");
}

#[test]
fn counts_that_are_not_given_are_the_brokers_defaults_even_when_those_change() {
    let mut cluster = Cluster::with(3, &[("num.partitions", "5"), ("default.replication.factor", "2")]);
    let created = create_one(&mut cluster, counts("a", -1, -1)).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (5, 2));
}

#[test]
fn topics_that_cannot_be_are_refused_for_their_cause() {
    let mut cluster = Cluster::of(2);
    create_one(&mut cluster, counts("there.is", 1, 1)).unwrap();
    let mut refused = |topic| create_one(&mut cluster, topic).unwrap_err();
    assert!(matches!(refused(counts("a b", 1, 1)), ControllerError::InvalidTopicName(_)));
    assert!(matches!(refused(counts("there.is", 1, 1)), ControllerError::TopicExists { .. }));
    assert!(matches!(refused(counts("there_is", 1, 1)), ControllerError::TopicCollision { .. }));
    assert!(matches!(refused(counts("__cluster_metadata", 1, 1)), ControllerError::ReservedTopic { .. }));
    assert_eq!(refused(counts("x", 0, 1)), ControllerError::InvalidPartitions { count: 0 });
    assert_eq!(refused(counts("x", -2, 1)), ControllerError::InvalidPartitions { count: -2 });
    assert_eq!(refused(counts("x", 1, 0)), ControllerError::InvalidReplicationFactor { factor: 0 });
    let beyond = refused(counts("x", 1, 3));
    assert_eq!(beyond, ControllerError::ReplicationBeyondBrokers { factor: 3, brokers: 2 });
    assert!(beyond.to_string().contains("factor 3") && beyond.to_string().contains("brokers, 2"), "{beyond}");
    let config = NewTopic { configs: Overrides::from([("retention.ms".to_owned(), "x".to_owned())]), ..counts("x", 1, 1) };
    assert!(matches!(refused(config), ControllerError::Config(ConfigError::IllTyped { .. })));
    let invalid = |error| matches!(error, ControllerError::InvalidAssignment { .. });
    assert!(invalid(refused(manual("x", vec![partition(&[1, 1])]))));
    assert!(invalid(refused(manual("x", vec![partition(&[1, 7])]))));
    assert!(invalid(refused(manual("x", vec![partition(&[])]))));
    assert!(invalid(refused(manual("x", vec![partition(&[1]), (PartitionId(1), nodes(&[1, 2]))]))));
    assert_eq!(
        refused(manual("x", vec![partition(&[1]), (PartitionId(2), nodes(&[1]))])),
        ControllerError::AssignmentGap { missing: PartitionId(1) }
    );
    assert_eq!(cluster.image.topic_count(), 1, "a refused topic left something");
}

#[test]
fn one_bad_topic_of_a_request_does_not_touch_the_others_and_a_name_given_twice_is_refused_twice() {
    let mut cluster = Cluster::of(1);
    let topics = vec![counts("a", 1, 1), counts("b", 0, 1), counts("c", 1, 1), counts("c", 2, 1), counts("d.d", 1, 1), counts("d_d", 1, 1)];
    let created = cluster.create(CreateTopics { topics, validate_only: false }).unwrap();
    let ok: Vec<bool> = created.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, false, false, true, false]);
    assert!(matches!(created[2], Err(ControllerError::NamedTwice { .. })));
    assert!(matches!(created[5], Err(ControllerError::TopicCollision { .. })));
    assert_eq!(cluster.image.topics().map(|topic| topic.name.to_string()).collect::<Vec<_>>(), ["a", "d.d"]);
}

#[test]
fn a_request_for_more_than_ten_thousand_partitions_is_refused_whole() {
    let mut cluster = Cluster::of(1);
    let topics = vec![counts("a", 5000, 1), counts("b", 5001, 1)];
    let refused = cluster.create(CreateTopics { topics, validate_only: false }).unwrap_err();
    assert_eq!(refused, ControllerError::TooManyPartitions { asked: 10_001, max: 10_000 });
    let refused = create_one(&mut cluster, counts("huge", i32::MAX, 1)).unwrap_err();
    assert!(matches!(refused, ControllerError::TooManyPartitions { .. }));
    assert_eq!(cluster.image.topic_count(), 0);
}

#[test]
fn what_is_only_tried_is_answered_and_leaves_nothing() {
    let mut cluster = Cluster::of(1);
    let before = cluster.image.to_records();
    let created = cluster.create(CreateTopics { topics: vec![counts("a", 3, 1), counts("a b", 1, 1)], validate_only: true }).unwrap();
    let tried = created[0].as_ref().unwrap();
    assert_eq!((tried.id, tried.partitions), (TopicId::ZERO, 3));
    assert!(created[1].is_err());
    assert_eq!(cluster.image.to_records(), before);
    assert_eq!(cluster.log.last().unwrap().len(), 0);
}

#[test]
fn topics_are_deleted_by_name_or_id_with_their_configs() {
    let mut cluster = Cluster::of(1);
    let configs = Overrides::from([("retention.ms".to_owned(), "1".to_owned())]);
    let a = create_one(&mut cluster, NewTopic { configs, ..counts("a", 1, 1) }).unwrap();
    let b = create_one(&mut cluster, counts("b", 1, 1)).unwrap();
    let topics = vec![TopicRef::Name("a".to_owned()), TopicRef::Id(b.id), TopicRef::Name("no".to_owned()), TopicRef::Id(TopicId::ZERO)];
    let Reply::TopicsDeleted(deleted) = cluster.run(Command::DeleteTopics(DeleteTopics { topics })).unwrap() else { panic!() };
    assert_eq!(deleted[0], Ok((a.name, a.id)));
    assert_eq!(deleted[1], Ok((b.name.clone(), b.id)));
    assert!(matches!(deleted[2], Err(ControllerError::UnknownTopic { .. })));
    assert!(matches!(deleted[3], Err(ControllerError::UnknownTopicId { .. })));
    assert_eq!((cluster.image.topic_count(), cluster.image.topic_config("a").len()), (0, 0));
    // The name is free again, and its new topic another.
    assert_ne!(create_one(&mut cluster, counts("b", 1, 1)).unwrap().id, b.id);
}

#[test]
fn deletion_can_be_switched_off() {
    let mut cluster = Cluster::with(1, &[("delete.topic.enable", "false")]);
    create_one(&mut cluster, counts("a", 1, 1)).unwrap();
    let refused = cluster.run(Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name("a".to_owned())] })).unwrap_err();
    assert_eq!(refused, ControllerError::TopicDeletionDisabled);
}

#[test]
fn partitions_are_added_but_never_taken_away() {
    let mut cluster = Cluster::of(3);
    create_one(&mut cluster, counts("a", 2, 2)).unwrap();
    let mut add = |topic: &str, count, assignments: Option<Vec<Vec<NodeId>>>| {
        let topics = vec![NewPartitions { topic: topic.to_owned(), count, assignments }];
        match cluster.run(Command::CreatePartitions(CreatePartitions { topics, validate_only: false })) {
            Ok(Reply::PartitionsCreated(mut created)) => created.remove(0),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    };
    add("a", 4, None).unwrap();
    add("a", 5, Some(vec![nodes(&[3, 1])])).unwrap();
    let name = TopicName::new("a").unwrap();
    assert_eq!(add("a", 5, None), Err(ControllerError::NoIncrease { topic: name.clone(), current: 5, asked: 5 }));
    assert_eq!(add("a", 7, Some(vec![nodes(&[1, 2])])), Err(ControllerError::AssignmentCount { topic: name, added: 2, assignments: 1 }));
    assert!(matches!(add("a", 6, Some(vec![nodes(&[1])])), Err(ControllerError::InvalidAssignment { .. })));
    assert!(matches!(add("no", 6, None), Err(ControllerError::UnknownTopic { .. })));
    assert!(matches!(add("a", 20_000, None), Err(ControllerError::TooManyPartitions { .. })));
    let topic = cluster.image.topic("a").unwrap();
    assert_eq!(topic.partitions.len(), 5);
    assert_eq!(topic.partitions[4].replicas, nodes(&[3, 1]));
}

fn alter(cluster: &mut Cluster, resource: ConfigResource, changes: &[(&str, AlterOp, Option<&str>)]) -> Result<(), ControllerError> {
    let alterations = changes
        .iter()
        .map(|(name, op, value)| ConfigAlteration { name: (*name).to_owned(), op: *op, value: value.map(str::to_owned) })
        .collect();
    let command = AlterConfigs { resources: vec![ConfigResourceAlteration { resource, alterations }], validate_only: false };
    match cluster.run(Command::AlterConfigs(command))? {
        Reply::ConfigsAltered(mut altered) => altered.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn configs_of_topics_and_brokers_change_all_or_none_of_a_resource() {
    let mut cluster = Cluster::of(1);
    create_one(&mut cluster, counts("a", 1, 1)).unwrap();
    let topic = || ConfigResource::Topic(TopicName::new("a").unwrap());
    alter(&mut cluster, topic(), &[("write.caching", AlterOp::Set, Some("true")), ("cleanup.policy", AlterOp::Append, Some("compact"))])
        .unwrap();
    let expected = [("cleanup.policy", "delete,compact"), ("write.caching", "true")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(*cluster.image.topic_config("a"), Overrides::from(expected.clone()));
    let half = alter(&mut cluster, topic(), &[("retention.ms", AlterOp::Set, Some("1")), ("segment.ms", AlterOp::Set, Some("x"))]);
    assert!(matches!(half, Err(ControllerError::Config(ConfigError::IllTyped { .. }))));
    assert_eq!(*cluster.image.topic_config("a"), Overrides::from(expected));

    alter(&mut cluster, ConfigResource::DefaultBroker, &[("log.retention.ms", AlterOp::Set, Some("9"))]).unwrap();
    alter(&mut cluster, ConfigResource::Broker(NodeId(1)), &[("log.retention.ms", AlterOp::Set, Some("8"))]).unwrap();
    assert_eq!(cluster.image.default_broker_config().get("log.retention.ms").unwrap(), "9");
    assert_eq!(cluster.image.broker_config(NodeId(1)).get("log.retention.ms").unwrap(), "8");
    let unknown = alter(&mut cluster, ConfigResource::Broker(NodeId(5)), &[]);
    assert_eq!(unknown, Err(ControllerError::UnknownBroker { broker_id: NodeId(5) }));
    let unknown = alter(&mut cluster, ConfigResource::Topic(TopicName::new("no").unwrap()), &[]);
    assert!(matches!(unknown, Err(ControllerError::UnknownTopic { .. })));
    alter(&mut cluster, topic(), &[("write.caching", AlterOp::Delete, None), ("cleanup.policy", AlterOp::Delete, None)]).unwrap();
    assert!(cluster.image.topic_config("a").is_empty());
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut cluster = Cluster::of(1);
    let broker_epoch = cluster.image.broker(NodeId(1)).unwrap().epoch;
    let mut allocate = |broker_epoch| match cluster.run(Command::AllocateProducerIds { broker_id: NodeId(1), broker_epoch }) {
        Ok(Reply::ProducerIds(block)) => Ok((block.first, block.len)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(allocate(broker_epoch), Ok((ProducerId(0), 1000)));
    assert_eq!(allocate(broker_epoch), Ok((ProducerId(1000), 1000)));
    assert!(matches!(allocate(BrokerEpoch(broker_epoch.get() - 1)), Err(ControllerError::StaleBrokerEpoch { .. })));
}

fn change(cluster: &mut Cluster, broker: i32, fenced: Option<bool>, in_controlled_shutdown: Option<bool>) -> bool {
    let broker_id = NodeId(broker);
    let broker_epoch = cluster.image.broker(broker_id).unwrap().epoch;
    let change = ChangeBroker { broker_id, broker_epoch, fenced, in_controlled_shutdown, offline_dirs: Vec::new() };
    match cluster.run(Command::ChangeBroker(change)).unwrap() {
        Reply::BrokerChanged(state) => state.leads,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fenced_broker_leaves_isr_and_leadership_and_the_last_of_an_isr_stays_in_it() {
    let mut cluster = Cluster::of(2);
    create_one(&mut cluster, manual("both", vec![partition(&[1, 2])])).unwrap();
    create_one(&mut cluster, manual("alone", vec![partition(&[1])])).unwrap();
    assert!(!change(&mut cluster, 1, Some(true), None));
    let both = cluster.image.partition("both", PartitionId(0)).unwrap();
    assert_eq!((both.leader, both.leader_epoch, &both.isr), (NodeId(2), LeaderEpoch(1), &nodes(&[2])));
    let alone = cluster.image.partition("alone", PartitionId(0)).unwrap();
    assert_eq!((alone.leader, alone.leader_epoch, &alone.isr), (NodeId::NONE, LeaderEpoch(1), &nodes(&[1])));
    cluster.image.check().unwrap();
    assert!(change(&mut cluster, 1, Some(false), None));
    let alone = cluster.image.partition("alone", PartitionId(0)).unwrap();
    assert_eq!((alone.leader, alone.leader_epoch), (NodeId(1), LeaderEpoch(2)));
}

#[test]
fn a_broker_that_stops_hands_over_what_another_can_take_and_keeps_the_rest() {
    let mut cluster = Cluster::of(2);
    create_one(&mut cluster, manual("both", vec![partition(&[1, 2])])).unwrap();
    assert!(!change(&mut cluster, 1, None, Some(true)));
    assert_eq!(cluster.image.partition("both", PartitionId(0)).unwrap().leader, NodeId(2));
    create_one(&mut cluster, manual("other", vec![partition(&[2])])).unwrap();
    assert!(change(&mut cluster, 2, None, Some(true)), "nobody can take it");
    assert_eq!(cluster.image.partition("other", PartitionId(0)).unwrap().leader, NodeId(2));
    cluster.image.check().unwrap();
}

#[test]
fn a_broker_that_comes_back_has_a_higher_epoch_and_leads_under_a_new_leader_epoch() {
    let mut cluster = Cluster::of(1);
    create_one(&mut cluster, counts("a", 2, 1)).unwrap();
    let before = cluster.image.broker(NodeId(1)).unwrap().epoch;
    cluster.run(ready_broker(1)).unwrap();
    assert!(cluster.image.broker(NodeId(1)).unwrap().epoch > before);
    for partition in &cluster.image.topic("a").unwrap().partitions {
        assert_eq!((partition.leader, partition.leader_epoch, partition.partition_epoch), (NodeId(1), LeaderEpoch(1), PartitionEpoch(1)));
    }
}

#[test]
fn brokers_of_another_cluster_or_without_a_finalized_feature_are_refused() {
    let mut cluster = Cluster::of(1);
    let Command::RegisterBroker(own) = ready_broker(2) else { panic!() };
    let mut other = own.clone();
    other.cluster_id = ClusterId("other".to_owned());
    assert!(matches!(cluster.run(Command::RegisterBroker(other)), Err(ControllerError::OtherCluster { .. })));
    let mut old = own;
    old.features.remove("metadata.version");
    assert!(matches!(cluster.run(Command::RegisterBroker(old)), Err(ControllerError::UnsupportedFeature { level: 30, .. })));
}

#[test]
fn a_broker_with_several_log_dirs_tells_where_it_put_a_replica() {
    let mut cluster = Cluster::of(1);
    let dirs = [1, 2].map(|nth| DirectoryId(Uuid::from_bytes([nth; 16])));
    let Command::RegisterBroker(mut broker) = ready_broker(1) else { panic!() };
    broker.log_dirs = dirs.to_vec();
    cluster.run(Command::RegisterBroker(broker)).unwrap();
    let topic = create_one(&mut cluster, counts("a", 1, 1)).unwrap();
    let directory = |cluster: &Cluster| cluster.image.partition("a", PartitionId(0)).unwrap().directory_of(NodeId(1)).unwrap();
    assert_eq!(directory(&cluster), DirectoryId::UNASSIGNED);
    let broker_epoch = cluster.image.broker(NodeId(1)).unwrap().epoch;
    let foreign = DirectoryId(Uuid::from_bytes([9; 16]));
    let assignments = vec![(topic.id, PartitionId(0), dirs[1]), (topic.id, PartitionId(0), foreign), (topic.id, PartitionId(8), dirs[0])];
    let command = AssignReplicasToDirs { broker_id: NodeId(1), broker_epoch, assignments };
    let Reply::ReplicasAssigned(assigned) = cluster.run(Command::AssignReplicasToDirs(command)).unwrap() else { panic!() };
    assert_eq!(assigned[0], Ok(()));
    assert!(matches!(assigned[1], Err(ControllerError::UnknownReplica { .. })));
    assert!(matches!(assigned[2], Err(ControllerError::UnknownPartition { .. })));
    assert_eq!(directory(&cluster), dirs[1]);
}

/// Broker 1 with two directories and a partition in each.
fn two_dirs() -> (Cluster, [DirectoryId; 2]) {
    let mut cluster = Cluster::of(2);
    let dirs = [1, 2].map(|nth| DirectoryId(Uuid::from_bytes([nth; 16])));
    register_with(&mut cluster, &dirs);
    let topic = create_one(&mut cluster, manual("alone", vec![partition(&[1]), (PartitionId(1), nodes(&[1]))])).unwrap();
    let shared = create_one(&mut cluster, manual("both", vec![partition(&[1, 2])])).unwrap();
    let assignments = vec![(topic.id, PartitionId(0), dirs[0]), (topic.id, PartitionId(1), dirs[1]), (shared.id, PartitionId(0), dirs[1])];
    let broker_epoch = cluster.image.broker(NodeId(1)).unwrap().epoch;
    cluster.run(Command::AssignReplicasToDirs(AssignReplicasToDirs { broker_id: NodeId(1), broker_epoch, assignments })).unwrap();
    (cluster, dirs)
}

fn register_with(cluster: &mut Cluster, dirs: &[DirectoryId]) {
    let Command::RegisterBroker(mut broker) = ready_broker(1) else { panic!() };
    broker.log_dirs = dirs.to_vec();
    cluster.run(Command::RegisterBroker(broker)).unwrap();
}

fn leader(cluster: &Cluster, topic: &str, partition: i32) -> NodeId {
    cluster.image.partition(topic, PartitionId(partition)).unwrap().leader
}

#[test]
fn a_directory_that_fails_takes_only_its_own_replicas_along() {
    let (mut cluster, dirs) = two_dirs();
    assert_eq!([leader(&cluster, "alone", 0), leader(&cluster, "alone", 1), leader(&cluster, "both", 0)], [NodeId(1); 3]);
    let broker_epoch = cluster.image.broker(NodeId(1)).unwrap().epoch;
    let fail = |dir| {
        let (fenced, in_controlled_shutdown, offline_dirs) = (None, None, vec![dir]);
        Command::ChangeBroker(ChangeBroker { broker_id: NodeId(1), broker_epoch, fenced, in_controlled_shutdown, offline_dirs })
    };
    cluster.run(fail(dirs[1])).unwrap();
    assert_eq!(cluster.image.broker(NodeId(1)).unwrap().log_dirs, [dirs[0]]);
    assert_eq!(
        [leader(&cluster, "alone", 0), leader(&cluster, "alone", 1), leader(&cluster, "both", 0)],
        [NodeId(1), NodeId::NONE, NodeId(2)]
    );
    let both = cluster.image.partition("both", PartitionId(0)).unwrap();
    assert_eq!(both.isr, nodes(&[2]));
    let alone = cluster.image.partition("alone", PartitionId(1)).unwrap();
    assert_eq!(alone.isr, nodes(&[1]), "it alone has everything");
    let records = cluster.log.len();
    cluster.run(fail(dirs[1])).unwrap();
    assert_eq!(cluster.log[records], [], "told twice, it is old news");
    cluster.run(fail(dirs[0])).unwrap();
    assert_eq!(cluster.image.broker(NodeId(1)).unwrap().log_dirs, [dirs[0]], "one without any stops by itself");
}

#[test]
fn a_broker_leads_nothing_in_directories_that_it_comes_back_without() {
    let (mut cluster, dirs) = two_dirs();
    register_with(&mut cluster, &dirs[..1]);
    assert_eq!(
        [leader(&cluster, "alone", 0), leader(&cluster, "alone", 1), leader(&cluster, "both", 0)],
        [NodeId(1), NodeId::NONE, NodeId(2)]
    );
    // Found in another directory: somebody has moved it there.
    let topic_id = cluster.image.topic("alone").unwrap().id;
    let broker_epoch = cluster.image.broker(NodeId(1)).unwrap().epoch;
    let assignments = vec![(topic_id, PartitionId(1), dirs[0])];
    cluster.run(Command::AssignReplicasToDirs(AssignReplicasToDirs { broker_id: NodeId(1), broker_epoch, assignments })).unwrap();
    assert_eq!(leader(&cluster, "alone", 1), NodeId(1));
    let (mut cluster, dirs) = two_dirs();
    register_with(&mut cluster, &dirs[..1]);
    register_with(&mut cluster, &dirs);
    assert_eq!(leader(&cluster, "alone", 1), NodeId(1), "there again with its directory");
}

#[test]
fn with_all_brokers_fenced_nothing_can_be_placed() {
    let mut cluster = Cluster::of(1);
    change(&mut cluster, 1, Some(true), None);
    assert_eq!(create_one(&mut cluster, counts("a", 1, 1)).unwrap_err(), ControllerError::AllBrokersFenced { brokers: 1 });
    let refused = create_one(&mut cluster, manual("a", vec![partition(&[1])])).unwrap_err();
    assert!(matches!(refused, ControllerError::InvalidAssignment { .. }));
}

#[test]
fn reassignments_in_progress_are_listed() {
    let mut cluster = Cluster::of(2);
    let topic = create_one(&mut cluster, counts("a", 2, 1)).unwrap();
    assert_eq!(list_partition_reassignments(&cluster.image, None), []);
    let moving = PartitionChange { adding_replicas: Some(nodes(&[2])), ..PartitionChange::of(topic.id, PartitionId(1)) };
    cluster.image.apply(&MetadataRecord::PartitionChange(moving)).unwrap();
    let listed = list_partition_reassignments(&cluster.image, None);
    assert_eq!((listed.len(), listed[0].partition, &listed[0].adding_replicas), (1, PartitionId(1), &nodes(&[2])));
    assert_eq!(list_partition_reassignments(&cluster.image, Some(&[("a", &[PartitionId(0)]), ("no", &[PartitionId(0)])])), []);
    assert_eq!(list_partition_reassignments(&cluster.image, Some(&[("a", &[PartitionId(1), PartitionId(7)])])), listed);
}

#[test]
fn a_log_is_formatted_once() {
    let mut cluster = Cluster::of(1);
    let again = Command::Format(ottla_cluster::controller::Format { cluster_id: ClusterId("x".to_owned()) });
    assert!(matches!(cluster.run(again), Err(ControllerError::AlreadyFormatted { .. })));
}

#[test]
fn placement_by_hand_is_kept_as_given() {
    let mut cluster = Cluster::of(3);
    let assignments = vec![(PartitionId(1), nodes(&[2, 3])), (PartitionId(0), nodes(&[3, 1]))];
    let placement = TopicPlacement::Manual(assignments);
    create_one(&mut cluster, NewTopic { name: "a".to_owned(), placement, configs: Overrides::new() }).unwrap();
    let topic = cluster.image.topic("a").unwrap();
    assert_eq!((&topic.partitions[0].replicas, &topic.partitions[1].replicas), (&nodes(&[3, 1]), &nodes(&[2, 3])));
}
