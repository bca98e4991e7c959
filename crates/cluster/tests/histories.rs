//! Properties that hold of every history of commands, and of every placement.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Cluster, counts, ready_broker};
use ottla_cluster::controller::{
    AlterConfigs, ChangeBroker, Command, ConfigResourceAlteration, CreatePartitions, CreateTopics, DeleteTopics, NewPartitions,
    PlacementBroker, Placer, Randomness, TopicRef,
};
use ottla_cluster::metadata::{ConfigResource, MetadataImage, MetadataPosition};
use ottla_model::config::{AlterOp, ConfigAlteration};
use ottla_model::{NodeId, TopicName};
use proptest::prelude::*;

/// A command before it is known what there is: names and ids are drawn from few, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Register(i32),
    Change(i32, Option<bool>, Option<bool>),
    Unregister(i32),
    Create(usize, i32, i16, bool),
    Delete(usize),
    Grow(usize, i32),
    Configure(usize, i64),
    ConfigureAll(i64),
    ProducerIds(i32),
}

const NAMES: [&str; 5] = ["a", "b.b", "b_b", "c", "d"];

fn step() -> impl Strategy<Value = Step> {
    let broker = 1..5i32;
    let topic = 0..NAMES.len();
    prop_oneof![
        2 => broker.clone().prop_map(Step::Register),
        4 => (broker.clone(), any::<Option<bool>>(), any::<Option<bool>>()).prop_map(|(b, f, s)| Step::Change(b, f, s)),
        1 => broker.clone().prop_map(Step::Unregister),
        6 => (topic.clone(), -1..6i32, -1..5i16, any::<bool>()).prop_map(|(t, p, r, v)| Step::Create(t, p, r, v)),
        3 => topic.clone().prop_map(Step::Delete),
        3 => (topic.clone(), 0..9i32).prop_map(|(t, c)| Step::Grow(t, c)),
        2 => (topic, -3..3i64).prop_map(|(t, v)| Step::Configure(t, v)),
        1 => (-3..3i64).prop_map(Step::ConfigureAll),
        1 => broker.prop_map(Step::ProducerIds),
    ]
}

fn retention(name: &str, resource: ConfigResource, value: i64) -> Command {
    let alterations = vec![ConfigAlteration { name: name.to_owned(), op: AlterOp::Set, value: Some(value.to_string()) }];
    Command::AlterConfigs(AlterConfigs { resources: vec![ConfigResourceAlteration { resource, alterations }], validate_only: false })
}

fn command(step: &Step, image: &MetadataImage) -> Command {
    let epoch = |id: i32| image.broker(NodeId(id)).map_or(ottla_model::BrokerEpoch(-1), |broker| broker.epoch);
    match *step {
        Step::Register(id) => ready_broker(id),
        Step::Change(id, fenced, in_controlled_shutdown) => {
            let (broker_id, broker_epoch, offline_dirs) = (NodeId(id), epoch(id), Vec::new());
            Command::ChangeBroker(ChangeBroker { broker_id, broker_epoch, fenced, in_controlled_shutdown, offline_dirs })
        }
        Step::Unregister(id) => Command::UnregisterBroker { broker_id: NodeId(id) },
        Step::Create(topic, partitions, factor, validate_only) => {
            Command::CreateTopics(CreateTopics { topics: vec![counts(NAMES[topic], partitions, factor)], validate_only })
        }
        Step::Delete(topic) => Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name(NAMES[topic].to_owned())] }),
        Step::Grow(topic, count) => Command::CreatePartitions(CreatePartitions {
            topics: vec![NewPartitions { topic: NAMES[topic].to_owned(), count, assignments: None }],
            validate_only: false,
        }),
        Step::Configure(topic, value) => retention("retention.ms", ConfigResource::Topic(TopicName::new(NAMES[topic]).unwrap()), value),
        Step::ConfigureAll(value) => retention("log.retention.ms", ConfigResource::DefaultBroker, value),
        Step::ProducerIds(id) => Command::AllocateProducerIds { broker_id: NodeId(id), broker_epoch: epoch(id) },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// `Cluster` checks every invariant after every entry.
    #[test]
    fn invariants_hold_after_every_entry_and_snapshot_plus_tail_is_the_same_image(
        entries in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..40),
        snapshot_at in any::<prop::sample::Index>(),
    ) {
        let mut cluster = Cluster::of(2);
        let mut snapshots = vec![];
        let mut epochs: BTreeMap<_, (i32, i32)> = BTreeMap::new();
        for entry in &entries {
            let commands: Vec<Command> = entry.iter().map(|step| command(step, &cluster.image)).collect();
            cluster.run_together(&commands);
            for topic in cluster.image.topics() {
                for (id, partition) in topic.iter() {
                    let now = (partition.leader_epoch.get(), partition.partition_epoch.get());
                    let before = epochs.insert((topic.id, id), now).unwrap_or(now);
                    prop_assert!(now.0 >= before.0 && now.1 >= before.1, "an epoch went back");
                }
            }
            snapshots.push((cluster.log.len(), cluster.image.position(), cluster.image.to_records()));
        }
        let (tail_from, position, records) = &snapshots[snapshot_at.index(snapshots.len())];
        let mut image = MetadataImage::from_records(*position, records).unwrap();
        for (index, entry) in cluster.log.iter().enumerate().skip(*tail_from) {
            image.apply_entry(MetadataPosition { term: 1, index: index as u64 }, entry).unwrap();
        }
        prop_assert_eq!(image, cluster.image);
    }

    #[test]
    fn placement_is_even_never_twice_on_a_broker_and_over_as_many_racks_as_there_are(
        racks in prop::collection::vec(0..4u8, 1..12),
        fenced in prop::collection::vec(prop::bool::weighted(0.2), 12),
        factor in 1..6i16,
        partitions in 1..200usize,
        seed in any::<[u8; 16]>(),
    ) {
        let brokers: Vec<PlacementBroker> = (1..).zip(&racks).zip(&fenced).map(|((id, rack), fenced)| {
            PlacementBroker { id: NodeId(id), rack: format!("rack {rack}"), active: !fenced }
        }).collect();
        let active = brokers.iter().filter(|broker| broker.active).count();
        prop_assume!(active > 0 && factor as usize <= brokers.len());
        let rack_of: BTreeMap<NodeId, &str> = brokers.iter().map(|broker| (broker.id, broker.rack.as_str())).collect();
        let rack_count = rack_of.values().collect::<BTreeSet<_>>().len();
        let mut placer = Placer::new(brokers.clone(), &mut Randomness::new(seed));
        let mut leaders: BTreeMap<NodeId, usize> = brokers.iter().filter(|broker| broker.active).map(|broker| (broker.id, 0)).collect();
        for _ in 0..partitions {
            let replicas = placer.place(factor).unwrap();
            prop_assert_eq!(replicas.len(), factor as usize);
            prop_assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), replicas.len(), "twice on a broker");
            let racks = replicas.iter().map(|replica| rack_of[replica]).collect::<BTreeSet<_>>().len();
            prop_assert_eq!(racks, rack_count.min(factor as usize), "a free rack was passed over");
            *leaders.get_mut(&replicas[0]).unwrap() += 1;
        }
        let (least, most) = (leaders.values().min().unwrap(), leaders.values().max().unwrap());
        prop_assert!(most - least <= 1, "leaders: {:?}", leaders);
    }

    #[test]
    fn with_racks_of_one_size_replicas_are_spread_evenly_too(
        racks in 1..5i32, brokers_per_rack in 1..4i32, factor in 1..5i16, partitions in 1..300usize, seed in any::<[u8; 16]>(),
    ) {
        let brokers: Vec<PlacementBroker> = (0..racks * brokers_per_rack)
            .map(|id| PlacementBroker { id: NodeId(id), rack: format!("rack {}", id % racks), active: true })
            .collect();
        prop_assume!(factor as usize <= brokers.len());
        let mut placer = Placer::new(brokers.clone(), &mut Randomness::new(seed));
        let mut replicas: BTreeMap<NodeId, usize> = brokers.iter().map(|broker| (broker.id, 0)).collect();
        for _ in 0..partitions {
            for replica in placer.place(factor).unwrap() {
                *replicas.get_mut(&replica).unwrap() += 1;
            }
        }
        let (least, most) = (replicas.values().min().unwrap(), replicas.values().max().unwrap());
        prop_assert!(most - least <= 2, "replicas: {:?}", replicas);
    }
}
