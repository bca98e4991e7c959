//! Topics are created and deleted.

use std::collections::BTreeMap;

use ottla_model::config::validate_topic_overrides;
use ottla_model::{CLUSTER_METADATA_TOPIC, DirectoryId, NodeId, PartitionId, TopicId, TopicName};

use super::command::{CreateTopics, CreatedTopic, DeleteTopics, NewTopic, TopicPlacement, TopicRef};
use super::draft::Draft;
use super::{ControllerError, Placer};
use crate::metadata::{ConfigResource, MetadataImage, MetadataRecord, PartitionRecord};

/// A result for each thing that a command names, unless the command is refused whole.
pub(super) type Each<T> = Result<Vec<Result<T, ControllerError>>, ControllerError>;

/// Partitions that one request may create, as in Kafka (`MAX_PARTITIONS_PER_BATCH`).
pub const PARTITIONS_PER_REQUEST_MAX: u64 = 10_000;

pub(super) fn create(draft: &mut Draft<'_>, command: &CreateTopics) -> Each<CreatedTopic> {
    check_total(command.topics.iter().map(|topic| asked_partitions(draft, topic)))?;
    let times = count_each(command.topics.iter().map(|topic| topic.name.clone()));
    let mut placer = Placer::of(&draft.image, &mut draft.random);
    let results = command.topics.iter().map(|topic| {
        if times.get(&topic.name).is_some_and(|times| *times > 1) {
            return Err(ControllerError::NamedTwice { what: topic.name.clone() });
        }
        let created = create_one(draft, topic, &mut placer)?;
        Ok(if command.validate_only { CreatedTopic { id: TopicId::ZERO, ..created } } else { created })
    });
    Ok(results.collect())
}

/// How many partitions a topic would add, before anything else is known of it.
fn asked_partitions(draft: &Draft<'_>, topic: &NewTopic) -> u64 {
    match &topic.placement {
        TopicPlacement::Counts { partitions: -1, .. } => u64::try_from(draft.server.num_partitions).unwrap_or(0),
        TopicPlacement::Counts { partitions, .. } => u64::try_from(*partitions).unwrap_or(0),
        TopicPlacement::Manual(assignments) => assignments.len() as u64,
    }
}

/// Refuses a request that would fill the log by itself.
pub(super) fn check_total(partitions: impl Iterator<Item = u64>) -> Result<(), ControllerError> {
    let asked = partitions.fold(0u64, u64::saturating_add);
    if asked > PARTITIONS_PER_REQUEST_MAX {
        return Err(ControllerError::TooManyPartitions { asked, max: PARTITIONS_PER_REQUEST_MAX });
    }
    Ok(())
}

/// How often each comes.
pub(super) fn count_each<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut times = BTreeMap::new();
    for item in items {
        *times.entry(item).or_default() += 1;
    }
    times
}

/// Checks everything before the first record, so that a topic that is refused leaves none.
fn create_one(draft: &mut Draft<'_>, topic: &NewTopic, placer: &mut Placer) -> Result<CreatedTopic, ControllerError> {
    let name = TopicName::new(&topic.name)?;
    if name.as_str() == CLUSTER_METADATA_TOPIC {
        return Err(ControllerError::ReservedTopic { name });
    }
    if draft.image.topic(name.as_str()).is_some() {
        return Err(ControllerError::TopicExists { name });
    }
    if let Some(existing) = draft.image.colliding_topic(&name) {
        return Err(ControllerError::TopicCollision { existing: existing.clone(), name });
    }
    validate_topic_overrides(&draft.server, &topic.configs)?;
    let assignments = match &topic.placement {
        TopicPlacement::Counts { partitions, replication_factor } => place_counts(draft, *partitions, *replication_factor, placer)?,
        TopicPlacement::Manual(assignments) => manual_assignments(&draft.image, assignments)?,
    };
    let topic_id = draft.random.topic_id();
    draft.emit(MetadataRecord::Topic { name: name.clone(), topic_id })?;
    for (config, value) in &topic.configs {
        draft.emit(MetadataRecord::Config {
            resource: ConfigResource::Topic(name.clone()),
            name: config.clone(),
            value: Some(value.clone()),
        })?;
    }
    let partitions = i32::try_from(assignments.len()).unwrap_or(i32::MAX);
    let replication_factor = assignments.first().map_or(0, |replicas| i16::try_from(replicas.len()).unwrap_or(i16::MAX));
    for (partition_id, replicas) in (0..).map(PartitionId).zip(assignments) {
        let record = new_partition(&draft.image, topic_id, partition_id, replicas);
        draft.emit(MetadataRecord::Partition(record))?;
    }
    Ok(CreatedTopic { name, id: topic_id, partitions, replication_factor, configs: topic.configs.clone() })
}

fn place_counts(
    draft: &Draft<'_>,
    partitions: i32,
    replication_factor: i16,
    placer: &mut Placer,
) -> Result<Vec<Vec<NodeId>>, ControllerError> {
    let partitions = if partitions == -1 { draft.server.num_partitions } else { partitions };
    if partitions < 1 {
        return Err(ControllerError::InvalidPartitions { count: partitions });
    }
    let factor = if replication_factor == -1 { draft.server.default_replication_factor } else { replication_factor };
    (0..partitions).map(|_| placer.place(factor)).collect()
}

fn manual_assignments(image: &MetadataImage, assignments: &[(PartitionId, Vec<NodeId>)]) -> Result<Vec<Vec<NodeId>>, ControllerError> {
    let by_id: BTreeMap<PartitionId, &Vec<NodeId>> = assignments.iter().map(|(id, replicas)| (*id, replicas)).collect();
    if by_id.is_empty() {
        return Err(ControllerError::InvalidPartitions { count: 0 });
    }
    let missing = (0..).map(PartitionId).zip(0..assignments.len()).find(|(id, _)| !by_id.contains_key(id));
    if let Some((missing, _)) = missing {
        return Err(ControllerError::AssignmentGap { missing });
    }
    let factor = by_id.values().next().map_or(0, |replicas| replicas.len());
    by_id.into_iter().map(|(id, replicas)| check_assignment(image, id, replicas, factor).map(|()| replicas.clone())).collect()
}

/// Checks the brokers that a client chose for one partition.
pub(super) fn check_assignment(
    image: &MetadataImage,
    partition: PartitionId,
    replicas: &[NodeId],
    factor: usize,
) -> Result<(), ControllerError> {
    let wrong = |what: String| ControllerError::InvalidAssignment {
        partition,
        replicas: replicas.iter().map(|replica| replica.get()).collect(),
        what,
    };
    if replicas.is_empty() {
        return Err(wrong("names no broker".to_owned()));
    }
    if let Some((replica, _)) = count_each(replicas.iter()).into_iter().find(|(_, times)| *times > 1) {
        return Err(wrong(format!("names broker {replica} twice")));
    }
    if let Some(unknown) = replicas.iter().find(|replica| image.broker(**replica).is_none()) {
        return Err(wrong(format!("names broker {unknown}, which is not registered")));
    }
    if replicas.len() != factor {
        return Err(wrong(format!("has {} replicas where the others have {factor}", replicas.len())));
    }
    if !replicas.iter().any(|replica| is_active(image, *replica)) {
        return Err(wrong("names none but fenced brokers".to_owned()));
    }
    Ok(())
}

fn is_active(image: &MetadataImage, broker: NodeId) -> bool {
    image.broker(broker).is_some_and(|broker| broker.is_active())
}

/// The first record of a partition: in sync is who is up, and the first of those leads.
pub(super) fn new_partition(image: &MetadataImage, topic_id: TopicId, partition_id: PartitionId, replicas: Vec<NodeId>) -> PartitionRecord {
    let isr: Vec<NodeId> = replicas.iter().copied().filter(|replica| is_active(image, *replica)).collect();
    PartitionRecord {
        directories: replicas.iter().map(|replica| only_log_dir(image, *replica)).collect(),
        leader: isr.first().copied().unwrap_or(NodeId::NONE),
        isr,
        ..PartitionRecord::new(topic_id, partition_id, replicas)
    }
}

/// A broker with one log dir has no choice; one with several tells where it put the replica (KIP-858).
fn only_log_dir(image: &MetadataImage, broker: NodeId) -> DirectoryId {
    match image.broker(broker).map(|broker| broker.log_dirs.as_slice()) {
        Some([only]) => *only,
        _ => DirectoryId::UNASSIGNED,
    }
}

pub(super) fn delete(draft: &mut Draft<'_>, command: &DeleteTopics) -> Each<(TopicName, TopicId)> {
    if !draft.server.delete_topic_enable {
        return Err(ControllerError::TopicDeletionDisabled);
    }
    // A name and an id may mean one topic; what they mean is settled before anything is removed.
    let found: Vec<Result<(TopicName, TopicId), ControllerError>> = command.topics.iter().map(|topic| find(&draft.image, topic)).collect();
    let times = count_each(found.iter().flatten().map(|(_, id)| *id));
    let results = found.into_iter().map(|found| {
        let (name, topic_id) = found?;
        if times.get(&topic_id).is_some_and(|times| *times > 1) {
            return Err(ControllerError::NamedTwice { what: name.to_string() });
        }
        draft.emit(MetadataRecord::RemoveTopic { topic_id })?;
        Ok((name, topic_id))
    });
    Ok(results.collect())
}

fn find(image: &MetadataImage, topic: &TopicRef) -> Result<(TopicName, TopicId), ControllerError> {
    let found = match topic {
        TopicRef::Name(name) => image.topic(name).ok_or_else(|| ControllerError::UnknownTopic { name: name.clone() }),
        TopicRef::Id(id) => image.topic_by_id(*id).ok_or(ControllerError::UnknownTopicId { id: *id }),
    };
    found.map(|topic| (topic.name.clone(), topic.id))
}
