//! Feature levels (KIP-584): which this version knows, and which a new cluster is finalized at.

/// One feature, with the levels this version supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name.
    pub name: &'static str,
    /// Lowest supported level.
    pub level_min: i16,
    /// Highest supported level.
    pub level_max: i16,
}

/// Kafka's `metadata.version`: which records and requests the brokers of a cluster may use.
pub const METADATA_VERSION: &str = "metadata.version";

/// Kafka's `group.version`: at 1 groups may use the consumer protocol (KIP-848).
pub const GROUP_VERSION: &str = "group.version";

/// Kafka's `transaction.version`: at 2 each transaction has an epoch of its own, and partitions take part with their first batch (KIP-890).
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// Every feature whose function is there, with the levels of Kafka 4.3 (`metadata.version` 7 is 3.3-IV3, 30 is 4.3-IV0).
///
/// ApiVersions tells clients of these; a new cluster is finalized at the highest level of each. `share.version` (KIP-932) joins the
/// list with the coordinators that give it meaning: a client that saw it finalized would use what is not there.
pub const SUPPORTED: &[Feature] = &[
    Feature { name: GROUP_VERSION, level_min: 0, level_max: 1 },
    Feature { name: METADATA_VERSION, level_min: 7, level_max: 30 },
    Feature { name: TRANSACTION_VERSION, level_min: 0, level_max: 2 },
];

/// The feature of this name.
pub fn supported(name: &str) -> Option<&'static Feature> {
    SUPPORTED.iter().find(|feature| feature.name == name)
}
