//! The topics that coordinators are kept in: which of its partitions an id falls to, and how one is made.

use std::sync::Arc;

use ottla_cluster::controller::{Command, ControllerError, CreateTopics, NewTopic, Reply, TopicPlacement};
use ottla_cluster::metadata::MetadataImage;
use ottla_model::PartitionId;
use ottla_model::config::{ServerConfig, TopicConfig, Value};

use crate::context::{BrokerContext, CommandFailure, deadline_after};

/// The topic in which groups and their offsets are kept.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// The topic in which transactions are kept.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// How long the making of a topic is waited for. Clients ask again.
const CREATE_WAIT_MS: i32 = 10_000;

/// How a topic is made: its name, and the names of the configs that say how.
pub(super) struct InternalTopic {
    pub name: &'static str,
    pub partitions: &'static str,
    pub replication_factor: &'static str,
    pub segment_bytes: &'static str,
    pub min_isr: Option<&'static str>,
    /// The topic's configs that nobody chooses.
    pub configs: &'static [(&'static str, &'static str)],
}

/// The partition that an id falls to, as in Kafka by the hash that Java has for strings. `None`: the topic is not there yet.
pub fn partition_of(image: &MetadataImage, topic: &str, id: &str) -> Option<PartitionId> {
    let partitions = i32::try_from(image.topic(topic)?.partitions.len()).ok()?;
    Some(PartitionId(java_hash(id).checked_abs().unwrap_or(0).checked_rem(partitions)?))
}

/// `String.hashCode`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// What one batch of a topic may hold.
pub(super) fn batch_bytes_max(topic: &str, server: &ServerConfig, image: &MetadataImage) -> usize {
    let resolved = TopicConfig::resolve(server, &image.topic_config(topic));
    let resolved = resolved.or_else(|_unfit| TopicConfig::resolve(server, &Default::default()));
    resolved.map_or(0, |config| usize::try_from(config.max_message_bytes).unwrap_or(0))
}

pub(super) fn number(server: &ServerConfig, name: &'static str) -> i64 {
    match server.values().value(name) {
        Ok(Some(Value::Int(number))) => number,
        // Each has a default, and what is set was checked at start.
        _ => 1,
    }
}

/// Has the topic of groups made if it is not there.
pub async fn ensure_offsets_topic(broker: &Arc<BrokerContext>) -> Result<(), CommandFailure> {
    ensure(&super::group::TOPIC, broker).await
}

/// Has the topic of transactions made if it is not there.
pub async fn ensure_transactions_topic(broker: &Arc<BrokerContext>) -> Result<(), CommandFailure> {
    ensure(&super::transaction::TOPIC, broker).await
}

async fn ensure(topic: &InternalTopic, broker: &Arc<BrokerContext>) -> Result<(), CommandFailure> {
    if broker.image().topic(topic.name).is_some() {
        return Ok(());
    }
    let config = broker.effective_config();
    let factor = topic.replication_factor;
    let mut replication_factor = i16::try_from(number(&config, factor)).unwrap_or(i16::MAX);
    if !config.values().is_set(factor) {
        // Kafka's default of 3 has a cluster of one or two, to whom nobody gave a number, without coordinators.
        let brokers = broker.image().brokers().filter(|broker| !broker.fenced).count();
        replication_factor = replication_factor.min(i16::try_from(brokers.max(1)).unwrap_or(i16::MAX));
    }
    let mut configs: Vec<_> = topic.configs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    configs.push(("segment.bytes", number(&config, topic.segment_bytes).to_string()));
    if let Some(min_isr) = topic.min_isr {
        // No more than there are replicas, or nothing could ever be written.
        configs.push(("min.insync.replicas", number(&config, min_isr).min(i64::from(replication_factor)).to_string()));
    }
    let topic = NewTopic {
        name: topic.name.to_owned(),
        placement: TopicPlacement::Counts {
            partitions: i32::try_from(number(&config, topic.partitions)).unwrap_or(i32::MAX),
            replication_factor,
        },
        configs: configs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    let command = Command::CreateTopics(CreateTopics { topics: vec![topic], validate_only: false });
    match broker.command(command, deadline_after(CREATE_WAIT_MS)).await? {
        Reply::TopicsCreated(results) => match results.into_iter().next() {
            // Another was faster.
            None | Some(Ok(_) | Err(ControllerError::TopicExists { .. })) => Ok(()),
            Some(Err(error)) => Err(error.into()),
        },
        other => Err(CommandFailure::Lost(format!("unexpected reply {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        for (text, hash) in [("", 0), ("group", 98_629_247), ("Ω\u{1F600}", 2_673_356), ("polygenelubricants", i32::MIN)] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }
}
