//! What groups see of the cluster's metadata: which topics there are, their ids, partitions and racks.

use std::collections::BTreeMap;

use ottla_model::{PartitionId, TopicId, TopicName};

use crate::metadata::{MetadataImage, TopicImage};

/// One image of the metadata. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TopicsView {
    image: MetadataImage,
}

impl TopicsView {
    /// The topics of an image.
    pub fn new(image: MetadataImage) -> TopicsView {
        TopicsView { image }
    }

    /// The image's place in the metadata log; -1 before the first entry.
    pub fn version(&self) -> i64 {
        self.image.position().map_or(-1, |position| i64::try_from(position.index).unwrap_or(i64::MAX))
    }

    /// Whether there is a topic of this name.
    pub fn has(&self, name: &str) -> bool {
        self.image.topic(name).is_some()
    }

    /// The id of the topic of this name.
    pub fn id(&self, name: &str) -> Option<TopicId> {
        self.image.topic(name).map(|topic| topic.id)
    }

    /// The name of the topic of this id.
    pub fn name(&self, id: TopicId) -> Option<&TopicName> {
        self.image.topic_by_id(id).map(|topic| &topic.name)
    }

    /// How many partitions the topic of this id has; 0: it is gone.
    pub fn partition_count(&self, id: TopicId) -> usize {
        self.image.topic_by_id(id).map_or(0, |topic| topic.partitions.len())
    }

    /// The partitions of the topic of this id.
    pub fn partitions(&self, id: TopicId) -> impl Iterator<Item = PartitionId> + use<> {
        (0..i32::try_from(self.partition_count(id)).unwrap_or(i32::MAX)).map(PartitionId)
    }

    /// The names of all topics, in order.
    pub fn names(&self) -> impl Iterator<Item = &TopicName> {
        self.image.topics().map(|topic| &topic.name)
    }

    /// What became of topics since `before`.
    pub(super) fn changes_since(&self, before: &TopicsView) -> Changes {
        let mut changes = Changes::default();
        for change in self.image.topic_changes(&before.image) {
            let same = |before: &TopicImage, after: &TopicImage| {
                let replicas = |topic: &TopicImage| topic.partitions.iter().map(|partition| partition.replicas.clone()).collect::<Vec<_>>();
                before.id == after.id && replicas(before) == replicas(after)
            };
            match (change.before, change.after) {
                // Leaders and ISRs change often, and no assignment depends on them.
                (Some(before), Some(after)) if same(before, after) => {}
                (before, after) => {
                    let gone = after.is_none_or(|after| before.is_some_and(|before| before.id != after.id));
                    if let Some(topic) = before.or(after) {
                        changes.topics.insert(topic.name.clone(), gone && before.is_some());
                    }
                }
            }
        }
        changes
    }
}

/// Topics that are new, gone or otherwise partitioned.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Each by name, and whether it is gone (if only to be made anew).
    pub topics: BTreeMap<TopicName, bool>,
}

#[cfg(test)]
mod tests {
    use super::super::testing::topics;

    #[test]
    fn topics_that_are_gone_new_or_grown_are_told_apart() {
        let before = topics(&[("gone", 1), ("grown", 1), ("same", 1)]);
        let after = topics(&[("grown", 2), ("new", 1), ("same", 1)]);
        let changes = after.changes_since(&before);
        let changed: Vec<(&str, bool)> = changes.topics.iter().map(|(name, gone)| (name.as_str(), *gone)).collect();
        assert_eq!(changed, [("gone", true), ("grown", false), ("new", false)]);
        assert!(before.changes_since(&before).topics.is_empty());
    }
}
