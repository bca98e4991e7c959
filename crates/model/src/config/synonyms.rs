//! Which configs mean the same thing: units of one duration, older names, and the broker's default of a topic config.

/// Another name for a value, and how many of the first name's units one of its own is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The config.
    pub name: &'static str,
    /// `log.retention.hours` counts 3,600,000 for `log.retention.ms`. 0: the value is taken as it stands, as it is no number.
    pub factor: i64,
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 0 }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Broker configs that are looked up under several names; the first that is set wins.
const BROKER: &[&[Synonym]] = &[
    &[same("node.id"), same("broker.id")],
    &[same("log.dirs"), same("log.dir")],
    &[
        Synonym { name: "log.retention.ms", factor: 1 },
        Synonym { name: "log.retention.minutes", factor: MINUTE_MS },
        Synonym { name: "log.retention.hours", factor: HOUR_MS },
    ],
    &[Synonym { name: "log.roll.ms", factor: 1 }, Synonym { name: "log.roll.hours", factor: HOUR_MS }],
    &[Synonym { name: "log.roll.jitter.ms", factor: 1 }, Synonym { name: "log.roll.jitter.hours", factor: HOUR_MS }],
    &[Synonym { name: "log.flush.interval.ms", factor: 1 }, Synonym { name: "log.flush.scheduler.interval.ms", factor: 1 }],
];

/// Per topic config the broker config that gives its default (Kafka's `ServerTopicConfigSynonyms`, and Ottla's two).
const TOPIC: &[(&str, &str)] = &[
    ("batch.validation", "log.batch.validation"),
    ("cleanup.policy", "log.cleanup.policy"),
    ("compression.gzip.level", "compression.gzip.level"),
    ("compression.lz4.level", "compression.lz4.level"),
    ("compression.type", "compression.type"),
    ("compression.zstd.level", "compression.zstd.level"),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    ("flush.messages", "log.flush.interval.messages"),
    ("flush.ms", "log.flush.interval.ms"),
    ("index.interval.bytes", "log.index.interval.bytes"),
    ("local.retention.bytes", "log.local.retention.bytes"),
    ("local.retention.ms", "log.local.retention.ms"),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    ("max.message.bytes", "message.max.bytes"),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("preallocate", "log.preallocate"),
    ("retention.bytes", "log.retention.bytes"),
    ("retention.ms", "log.retention.ms"),
    ("segment.bytes", "log.segment.bytes"),
    ("segment.index.bytes", "log.index.size.max.bytes"),
    ("segment.jitter.ms", "log.roll.jitter.ms"),
    ("segment.ms", "log.roll.ms"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
    ("write.caching", "log.write.caching"),
];

/// The names under which a broker config is looked up, best first; only its own when there is no other.
pub fn broker_synonyms(name: &'static str) -> Vec<Synonym> {
    BROKER.iter().find(|group| group[0].name == name).map_or_else(|| vec![same(name)], |group| group.to_vec())
}

/// The names DescribeConfigs shows beside a broker config, best first: those of every group it belongs to.
pub fn related_broker_names(name: &'static str) -> Vec<&'static str> {
    let group = BROKER.iter().find(|group| group.iter().any(|s| s.name == name && s.factor != 0));
    group.map_or_else(|| vec![name], |group| group.iter().map(|s| s.name).collect())
}

/// The broker config that gives a topic config its default.
pub fn broker_default_of(topic_config: &str) -> Option<&'static str> {
    TOPIC.binary_search_by(|(topic, _)| (*topic).cmp(topic_config)).ok().and_then(|at| TOPIC.get(at)).map(|(_, broker)| *broker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Scope, lookup};

    #[test]
    fn every_synonym_is_in_the_table_and_topics_are_sorted_for_the_search() {
        assert!(TOPIC.is_sorted());
        for (topic, broker) in TOPIC {
            let topic_def = lookup(Scope::Topic, topic).unwrap_or_else(|| panic!("{topic}"));
            let broker_def = lookup(Scope::Broker, broker).unwrap_or_else(|| panic!("{broker}"));
            assert!(topic_def.kind.describe().ends_with(broker_def.kind.describe()), "{topic}");
        }
        for synonym in BROKER.iter().copied().flatten() {
            assert!(lookup(Scope::Broker, synonym.name).is_some(), "{}", synonym.name);
        }
    }
}
