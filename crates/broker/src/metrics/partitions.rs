//! How the partitions of this node fare.

use ottla_model::TopicPartition;

use crate::context::BrokerContext;

/// The replicas on this node, by their state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionCounts {
    /// Led here, and served.
    pub led: usize,
    /// Led by another node, or by none.
    pub following: usize,
    /// Their logs are still being opened.
    pub opening: usize,
    /// Not served until somebody sees to it.
    pub offline: usize,
    /// One of those that should be led and served here and is not.
    pub unserved: Option<TopicPartition>,
}

impl BrokerContext {
    /// Goes through all partitions of the image: some tens of nanoseconds each, and no lock of a log.
    pub fn partition_counts(&self) -> PartitionCounts {
        let (node, topics, image) = (self.node(), self.partitions.topics(), self.image());
        let mut counts = PartitionCounts::default();
        for topic in image.topics() {
            let served = topics.get(topic.name.as_str()).filter(|served| served.id == topic.id);
            for (id, wanted) in topic.iter().filter(|(_, wanted)| wanted.has_replica(node)) {
                match served.and_then(|served| served.get(id)) {
                    Some(partition) if !partition.log_dir().is_offline() => {
                        if wanted.leader == node {
                            counts.led += 1;
                        } else {
                            counts.following += 1;
                        }
                        continue;
                    }
                    Some(_) => counts.offline += 1,
                    None if self.partitions.is_opening(&TopicPartition::new(topic.name.clone(), id)) => counts.opening += 1,
                    None => counts.offline += 1,
                }
                if wanted.leader == node && counts.unserved.is_none() {
                    counts.unserved = Some(TopicPartition::new(topic.name.clone(), id));
                }
            }
        }
        counts
    }
}
