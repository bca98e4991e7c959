//! Partitions are added to topics, and replicas assigned to log dirs.

use std::sync::Arc;

use ottla_model::{DirectoryId, NodeId, PartitionId, TopicId};

use super::brokers::{check_epoch, leader_among};
use super::command::{AssignReplicasToDirs, CreatePartitions, NewPartitions};
use super::draft::Draft;
use super::topics::{Each, check_assignment, check_total, count_each, new_partition};
use super::{ControllerError, Placer};
use crate::metadata::{MetadataRecord, PartitionChange, TopicImage};

pub(super) fn create(draft: &mut Draft<'_>, command: &CreatePartitions) -> Each<()> {
    let added = |new: &NewPartitions| {
        let current = draft.image.topic(&new.topic).map_or(0, |topic| topic.partitions.len() as u64);
        u64::try_from(new.count).unwrap_or(0).saturating_sub(current)
    };
    check_total(command.topics.iter().map(added))?;
    let times = count_each(command.topics.iter().map(|new| new.topic.as_str()));
    let mut placer = Placer::of(&draft.image, &mut draft.random);
    let results = command.topics.iter().map(|new| {
        if times.get(new.topic.as_str()).is_some_and(|times| *times > 1) {
            return Err(ControllerError::NamedTwice { what: new.topic.clone() });
        }
        create_of_one(draft, new, &mut placer)
    });
    Ok(results.collect())
}

fn create_of_one(draft: &mut Draft<'_>, new: &NewPartitions, placer: &mut Placer) -> Result<(), ControllerError> {
    let topic = draft.image.topic(&new.topic).ok_or_else(|| ControllerError::UnknownTopic { name: new.topic.clone() })?;
    let topic: Arc<TopicImage> = Arc::clone(topic);
    let current = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    if new.count <= current {
        return Err(ControllerError::NoIncrease { topic: topic.name.clone(), current, asked: new.count });
    }
    let added = new.count - current;
    let factor = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    let assignments: Vec<Vec<NodeId>> = match &new.assignments {
        None => (0..added).map(|_| placer.place(i16::try_from(factor).unwrap_or(i16::MAX))).collect::<Result<_, _>>()?,
        Some(assignments) => {
            if usize::try_from(added) != Ok(assignments.len()) {
                return Err(ControllerError::AssignmentCount { topic: topic.name.clone(), added, assignments: assignments.len() });
            }
            for (id, replicas) in (current..).map(PartitionId).zip(assignments) {
                check_assignment(&draft.image, id, replicas, factor)?;
            }
            assignments.clone()
        }
    };
    for (id, replicas) in (current..).map(PartitionId).zip(assignments) {
        let record = new_partition(&draft.image, topic.id, id, replicas);
        draft.emit(MetadataRecord::Partition(record))?;
    }
    Ok(())
}

pub(super) fn assign_directories(draft: &mut Draft<'_>, command: &AssignReplicasToDirs) -> Each<()> {
    check_epoch(&draft.image, command.broker_id, command.broker_epoch)?;
    let assign = |(topic_id, partition, directory): &(TopicId, PartitionId, DirectoryId)| {
        assign_directory(draft, command.broker_id, *topic_id, *partition, *directory)
    };
    Ok(command.assignments.iter().map(assign).collect())
}

fn assign_directory(
    draft: &mut Draft<'_>,
    broker_id: NodeId,
    topic_id: TopicId,
    partition_id: PartitionId,
    directory: DirectoryId,
) -> Result<(), ControllerError> {
    let topic = draft.image.topic_by_id(topic_id).ok_or(ControllerError::UnknownTopicId { id: topic_id })?;
    let partition = topic.partition(partition_id).ok_or(ControllerError::UnknownPartition { topic_id, partition: partition_id })?;
    let has_directory = draft.image.broker(broker_id).is_some_and(|broker| broker.log_dirs.contains(&directory));
    let place = partition.replicas.iter().position(|replica| *replica == broker_id).filter(|_| has_directory);
    let place = place.ok_or(ControllerError::UnknownReplica { broker_id })?;
    let mut directories = partition.directories.clone();
    match directories.get_mut(place) {
        Some(current) if *current != directory => *current = directory,
        _ => return Ok(()),
    }
    let change = PartitionChange { directories: Some(directories), ..PartitionChange::of(topic_id, partition_id) };
    draft.emit(MetadataRecord::PartitionChange(change))?;
    elect_if_leaderless(draft, topic_id, partition_id)
}

/// A replica that was thought to be in a directory that has failed, and is in another, can lead.
fn elect_if_leaderless(draft: &mut Draft<'_>, topic_id: TopicId, partition_id: PartitionId) -> Result<(), ControllerError> {
    let partition = draft.image.topic_by_id(topic_id).and_then(|topic| topic.partition(partition_id));
    let Some(partition) = partition.filter(|partition| partition.leader == NodeId::NONE) else { return Ok(()) };
    let leader = leader_among(&draft.image, partition, &partition.isr);
    if leader != NodeId::NONE {
        let change = PartitionChange { leader: Some(leader), ..PartitionChange::of(topic_id, partition_id) };
        draft.emit(MetadataRecord::PartitionChange(change))?;
    }
    Ok(())
}
