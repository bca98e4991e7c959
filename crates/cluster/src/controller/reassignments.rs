//! Which replicas are on the move (ListPartitionReassignments, KIP-455).

use std::sync::Arc;

use ottla_model::{NodeId, PartitionId, TopicName};

use crate::metadata::{MetadataImage, TopicImage};

/// One partition whose replicas are on the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReassignment {
    /// Its topic.
    pub topic: TopicName,
    /// Its index.
    pub partition: PartitionId,
    /// All brokers that hold it now.
    pub replicas: Vec<NodeId>,
    /// Those that are being added.
    pub adding_replicas: Vec<NodeId>,
    /// Those that are being removed.
    pub removing_replicas: Vec<NodeId>,
}

/// The reassignments in progress: among these partitions, or among all. Topics and partitions that are not there are passed
/// over, as Kafka does.
pub fn list_partition_reassignments(image: &MetadataImage, among: Option<&[(&str, &[PartitionId])]>) -> Vec<PartitionReassignment> {
    match among {
        None => image.topics().flat_map(|topic| topic.iter().filter_map(|(id, _)| reassignment(topic, id))).collect(),
        Some(topics) => topics
            .iter()
            .filter_map(|(name, partitions)| Some((image.topic(name)?, partitions)))
            .flat_map(|(topic, partitions)| partitions.iter().filter_map(|id| reassignment(topic, *id)))
            .collect(),
    }
}

fn reassignment(topic: &Arc<TopicImage>, id: PartitionId) -> Option<PartitionReassignment> {
    let partition = topic.partition(id).filter(|partition| partition.is_reassigning())?;
    Some(PartitionReassignment {
        topic: topic.name.clone(),
        partition: id,
        replicas: partition.replicas.clone(),
        adding_replicas: partition.adding_replicas.clone(),
        removing_replicas: partition.removing_replicas.clone(),
    })
}
