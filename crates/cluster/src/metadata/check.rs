//! What must hold of every image, whatever the history. Tests and the simulation ask after each step.

use std::collections::BTreeSet;

use ottla_model::{NodeId, PartitionId, TopicName};

use super::image::{MetadataImage, PartitionImage};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Something is wrong with one partition.
    #[error("{topic}-{partition}: {what}")]
    Partition {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// What.
        what: &'static str,
    },
    /// The index of topics by id is not that of topics by name.
    #[error("topic {topic} is not found by its id")]
    Index {
        /// The topic.
        topic: TopicName,
    },
    /// Configs of a topic that is not there.
    #[error("there are configs of topic {topic}, which does not exist")]
    OrphanConfig {
        /// The topic.
        topic: TopicName,
    },
    /// Two topics that differ in `.` and `_` only.
    #[error("topics {one} and {other} collide")]
    Collision {
        /// One.
        one: TopicName,
        /// The other.
        other: TopicName,
    },
}

impl MetadataImage {
    /// Checks every invariant; the first that does not hold is the error.
    pub fn check(&self) -> Result<(), Violation> {
        for topic in self.topics() {
            if self.topics_by_id().get(&topic.id) != Some(&topic.name) {
                return Err(Violation::Index { topic: topic.name.clone() });
            }
            if let Some(other) = self.colliding_topic(&topic.name) {
                return Err(Violation::Collision { one: topic.name.clone(), other: other.clone() });
            }
            for (id, partition) in topic.iter() {
                if let Some(what) = self.fault_of(partition) {
                    return Err(Violation::Partition { topic: topic.name.clone(), partition: id, what });
                }
            }
        }
        if let Some(name) = self.topics_by_id().values().find(|name| self.topic(name.as_str()).is_none()) {
            return Err(Violation::Index { topic: name.clone() });
        }
        match self.topics_with_configs().find(|name| self.topic(name.as_str()).is_none()) {
            Some(topic) => Err(Violation::OrphanConfig { topic: topic.clone() }),
            None => Ok(()),
        }
    }

    fn fault_of(&self, partition: &PartitionImage) -> Option<&'static str> {
        let replicas: BTreeSet<NodeId> = partition.replicas.iter().copied().collect();
        let within = |list: &[NodeId]| list.iter().all(|replica| replicas.contains(replica));
        let leader = partition.leader;
        let faults = [
            (replicas.is_empty(), "it has no replica"),
            (replicas.len() != partition.replicas.len(), "a broker holds two of its replicas"),
            (partition.directories.len() != partition.replicas.len(), "not every replica has a log dir"),
            (partition.isr.is_empty() && partition.elr.is_empty(), "neither ISR nor ELR has a member"),
            (!within(&partition.isr), "the ISR has a broker that holds no replica"),
            (!within(&partition.elr), "the ELR has a broker that holds no replica"),
            (partition.elr.iter().any(|replica| partition.isr.contains(replica)), "a broker is in the ISR and in the ELR"),
            (leader != NodeId::NONE && !partition.isr.contains(&leader), "its leader is not in the ISR"),
            (leader != NodeId::NONE && self.broker(leader).is_none_or(|broker| broker.fenced), "its leader is fenced or not registered"),
        ];
        faults.into_iter().find(|(broken, _)| *broken).map(|(_, what)| what)
    }
}
