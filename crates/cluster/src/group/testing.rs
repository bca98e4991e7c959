//! What the tests of groups build their cases from. Never in a shipped build.

use ottla_model::{NodeId, PartitionId, TopicId, TopicName, Uuid};

use super::TopicsView;
use crate::metadata::{MetadataImage, MetadataPosition, MetadataRecord, PartitionRecord};

/// Adds a topic to an image, each partition with these replicas.
pub fn register_topic(image: &mut MetadataImage, name: &str, topic_id: TopicId, partitions: &[&[i32]]) {
    image.apply(&MetadataRecord::Topic { name: TopicName::new(name).unwrap(), topic_id }).unwrap();
    for (index, replicas) in (0..).zip(partitions) {
        let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
        image.apply(&MetadataRecord::Partition(PartitionRecord::new(topic_id, PartitionId(index), replicas))).unwrap();
    }
}

/// The id that [`topics`] gives to a topic.
pub fn topic_id(name: &str) -> TopicId {
    let mut bytes = [0; 16];
    for (byte, of_name) in bytes.iter_mut().zip(name.bytes()) {
        *byte = of_name;
    }
    TopicId(Uuid::from_bytes(bytes))
}

/// Topics with so many partitions.
pub fn topics(topics: &[(&str, usize)]) -> TopicsView {
    topics_at(1, topics)
}

/// Topics with so many partitions, as of an entry of the metadata log.
pub fn topics_at(index: u64, topics: &[(&str, usize)]) -> TopicsView {
    let mut image = MetadataImage::default();
    for (name, partitions) in topics {
        register_topic(&mut image, name, topic_id(name), &vec![&[1][..]; *partitions]);
    }
    image.apply_entry(MetadataPosition { term: 1, index }, &[]).unwrap();
    TopicsView::new(image)
}

/// The bytes of a consumer's subscription.
pub fn subscription_bytes(version: i16, topics: &[&str], owned: &[(&str, &[i32])], rack: Option<&str>) -> Vec<u8> {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as i16).to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend((topics.len() as i32).to_be_bytes());
    topics.iter().for_each(|topic| text(&mut bytes, topic));
    bytes.extend((-1_i32).to_be_bytes());
    if version >= 1 {
        bytes.extend((owned.len() as i32).to_be_bytes());
        for (topic, partitions) in owned {
            text(&mut bytes, topic);
            bytes.extend((partitions.len() as i32).to_be_bytes());
            partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
        }
    }
    if version >= 2 {
        bytes.extend(3_i32.to_be_bytes());
    }
    if version >= 3 {
        match rack {
            Some(rack) => text(&mut bytes, rack),
            None => bytes.extend((-1_i16).to_be_bytes()),
        }
    }
    bytes
}
