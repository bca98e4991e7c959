//! Topic names and what Kafka allows in them.

use std::fmt;
use std::sync::Arc;

use crate::PartitionId;

/// A topic name that Kafka would accept: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TopicName(Arc<str>);

/// Why a topic name was refused (INVALID_TOPIC_EXCEPTION).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// Nothing at all.
    #[error("the topic name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("the topic name cannot be `{0}`")]
    Dots(String),
    /// Longer than a folder name may be once the partition is added.
    #[error("the topic name `{start}…` has {len} characters, more than {max}", max = TopicName::LEN_MAX)]
    TooLong {
        /// Its first characters.
        start: String,
        /// Its length in bytes.
        len: usize,
    },
    /// A character outside the allowed set.
    #[error("the topic name `{name}` has the character {found:?}; allowed are ASCII letters, digits, `.`, `_` and `-`")]
    IllegalCharacter {
        /// The whole name.
        name: String,
        /// The first offending character.
        found: char,
    },
}

impl TopicName {
    /// Longest name, as in Kafka: 255 bytes of a folder name less `-` and the partition.
    pub const LEN_MAX: usize = 249;

    /// Checks a name as Kafka's `Topic.validate` does.
    pub fn new(name: &str) -> Result<TopicName, InvalidTopicName> {
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name == "." || name == ".." {
            return Err(InvalidTopicName::Dots(name.to_owned()));
        }
        if let Some(found) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            return Err(InvalidTopicName::IllegalCharacter { name: name.chars().take(Self::LEN_MAX).collect(), found });
        }
        if name.len() > Self::LEN_MAX {
            return Err(InvalidTopicName::TooLong { start: name.chars().take(20).collect(), len: name.len() });
        }
        Ok(TopicName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with `.` as `_`: two topics alike in this would share their metric names, so Kafka refuses the second.
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }

    /// Whether Kafka keeps its own records in this topic.
    pub fn is_internal(&self) -> bool {
        is_internal_topic(&self.0)
    }
}

/// The metadata log, which has a folder among the partitions' but is none of them. Reserved by Kafka.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether a topic of this name is one of Kafka's internal ones.
pub fn is_internal_topic(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
impl From<TopicName> for String {
    fn from(n: TopicName) -> String {
        n.0.as_ref().to_owned()
    }
}
impl TryFrom<String> for TopicName {
    type Error = InvalidTopicName;
    fn try_from(s: String) -> Result<Self, InvalidTopicName> {
        TopicName::new(&s)
    }
}

/// A partition by its topic's name; printed as its folder is named, `topic-3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's index.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: TopicName, partition: PartitionId) -> TopicPartition {
        TopicPartition { topic, partition }
    }

    /// Reads a folder name such as `my-topic-3`; `None` for what is not one.
    pub fn from_folder_name(folder: &str) -> Option<TopicPartition> {
        let (topic, partition) = folder.rsplit_once('-')?;
        let id: i32 = partition.parse().ok()?;
        // `+3` and `03` parse as numbers too, but no folder of ours is named so.
        (id >= 0 && id.to_string() == partition).then_some(())?;
        Some(TopicPartition { topic: TopicName::new(topic).ok()?, partition: PartitionId(id) })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_as_kafka_refuses_them() {
        assert_eq!(TopicName::new(""), Err(InvalidTopicName::Empty));
        assert!(matches!(TopicName::new(".."), Err(InvalidTopicName::Dots(_))));
        assert!(matches!(TopicName::new("a b"), Err(InvalidTopicName::IllegalCharacter { found: ' ', .. })));
        assert!(matches!(TopicName::new(&"x".repeat(250)), Err(InvalidTopicName::TooLong { len: 250, .. })));
        assert!(TopicName::new(&"x".repeat(249)).is_ok());
        assert!(TopicName::new("A.b_c-9").is_ok());
    }

    #[test]
    fn folder_names_round_trip_and_strangers_are_refused() {
        let tp = TopicPartition::from_folder_name("my-topic-12").unwrap();
        assert_eq!((tp.topic.as_str(), tp.partition), ("my-topic", PartitionId(12)));
        assert_eq!(tp.to_string(), "my-topic-12");
        for bad in ["lost+found", "a-+3", "a-03", "-1", "a-x"] {
            assert_eq!(TopicPartition::from_folder_name(bad), None, "{bad}");
        }
    }
}
