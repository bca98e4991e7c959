//! What a coordinator is configured with, read from the table of configs.

use std::sync::Arc;

use ottla_model::config::{BrokerValues, ConfigError, Value};

/// Whether groups change their protocol while members of both are present (`group.consumer.migration.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Neither way.
    Disabled,
    /// From consumer to classic.
    Downgrade,
    /// From classic to consumer.
    Upgrade,
    /// Both ways.
    Bidirectional,
}

impl MigrationPolicy {
    /// Whether a classic group may become a consumer group.
    pub const fn upgrades(self) -> bool {
        matches!(self, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional)
    }

    /// Whether a consumer group may become a classic group.
    pub const fn downgrades(self) -> bool {
        matches!(self, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
    }
}

/// An assignor that runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// As many partitions for each member, moved as little as can be.
    Uniform,
    /// The same range of every topic for a member, so that topics partitioned alike meet.
    Range,
}

impl Assignor {
    /// Its name in requests and configs.
    pub const fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The one of this name. Kafka's class names are taken as well, since `group.consumer.assignors` may hold them.
    pub fn from_name(name: &str) -> Option<Assignor> {
        match name {
            "uniform" | "org.apache.kafka.coordinator.group.assignor.UniformAssignor" => Some(Assignor::Uniform),
            "range" | "org.apache.kafka.coordinator.group.assignor.RangeAssignor" => Some(Assignor::Range),
            _ => None,
        }
    }
}

/// The configuration of all coordinators of a node. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub classic_session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub classic_session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub classic_initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub classic_members_max: usize,
    /// `group.consumer.max.size`.
    pub consumer_members_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.assignment.interval.ms` (KIP-1263): the least time between two target assignments of a group.
    pub consumer_assignment_interval_ms: i32,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub consumer_regex_refresh_interval_ms: i32,
    /// `group.consumer.assignors`, the default first; never empty.
    pub consumer_assignors: Arc<[Assignor]>,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
    /// The most that one batch of the offsets topic may hold: its `max.message.bytes`.
    pub batch_bytes_max: usize,
}

impl Default for GroupConfig {
    /// Kafka's defaults.
    fn default() -> GroupConfig {
        GroupConfig {
            classic_session_timeout_ms_min: 6_000,
            classic_session_timeout_ms_max: 1_800_000,
            classic_initial_rebalance_delay_ms: 3_000,
            classic_members_max: i32::MAX as usize,
            consumer_members_max: i32::MAX as usize,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_assignment_interval_ms: 1_000,
            consumer_regex_refresh_interval_ms: 600_000,
            consumer_assignors: [Assignor::Uniform, Assignor::Range].into(),
            migration_policy: MigrationPolicy::Bidirectional,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            offsets_retention_check_interval_ms: 600_000,
            batch_bytes_max: 1_048_588,
        }
    }
}

impl GroupConfig {
    /// Reads a node's values; `batch_bytes_max` is the `max.message.bytes` of the offsets topic.
    pub fn read(values: &BrokerValues, batch_bytes_max: usize) -> Result<GroupConfig, ConfigError> {
        let number = |name: &'static str| match values.value(name)? {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(ConfigError::Missing { name, remedy: "give it a number" }),
        };
        let int = |name: &'static str| number(name).map(|number| i32::try_from(number).unwrap_or(i32::MAX));
        let count = |name: &'static str| number(name).map(|number| usize::try_from(number).unwrap_or(0));
        Ok(GroupConfig {
            classic_session_timeout_ms_min: int("group.min.session.timeout.ms")?,
            classic_session_timeout_ms_max: int("group.max.session.timeout.ms")?,
            classic_initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms")?,
            classic_members_max: count("group.max.size")?,
            consumer_members_max: count("group.consumer.max.size")?,
            consumer_session_timeout_ms: int("group.consumer.session.timeout.ms")?,
            consumer_heartbeat_interval_ms: int("group.consumer.heartbeat.interval.ms")?,
            consumer_assignment_interval_ms: int("group.consumer.assignment.interval.ms")?,
            consumer_regex_refresh_interval_ms: int("group.consumer.regex.refresh.interval.ms")?,
            consumer_assignors: assignors(values)?,
            migration_policy: migration_policy(values)?,
            offset_metadata_max: count("offset.metadata.max.bytes")?,
            offsets_retention_ms: number("offsets.retention.minutes")?.saturating_mul(60_000),
            offsets_retention_check_interval_ms: number("offsets.retention.check.interval.ms")?,
            batch_bytes_max,
        })
    }

    /// The assignor that a group takes whose members name none.
    pub fn default_assignor(&self) -> Assignor {
        self.consumer_assignors.first().copied().unwrap_or(Assignor::Uniform)
    }

    /// Their names, for an error.
    pub(super) fn assignor_names(&self) -> String {
        self.consumer_assignors.iter().map(|assignor| assignor.name()).collect::<Vec<_>>().join(", ")
    }
}

fn assignors(values: &BrokerValues) -> Result<Arc<[Assignor]>, ConfigError> {
    let name = "group.consumer.assignors";
    let Some(Value::List(names)) = values.value(name)? else {
        return Err(ConfigError::Missing { name, remedy: "name at least one of uniform and range" });
    };
    let unknown = |value: &String| ConfigError::NotAllowed {
        name: name.to_owned(),
        value: value.clone(),
        allowed: "uniform, range; assignors written in Java cannot run here".to_owned(),
    };
    let assignors = names.iter().map(|name| Assignor::from_name(name).ok_or_else(|| unknown(name))).collect::<Result<Vec<_>, _>>()?;
    if assignors.is_empty() {
        return Err(ConfigError::Missing { name, remedy: "name at least one of uniform and range" });
    }
    Ok(assignors.into())
}

fn migration_policy(values: &BrokerValues) -> Result<MigrationPolicy, ConfigError> {
    let name = "group.consumer.migration.policy";
    match values.value(name)? {
        Some(Value::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "disabled" => Ok(MigrationPolicy::Disabled),
            "downgrade" => Ok(MigrationPolicy::Downgrade),
            "upgrade" => Ok(MigrationPolicy::Upgrade),
            _ => Ok(MigrationPolicy::Bidirectional),
        },
        _ => Ok(MigrationPolicy::Bidirectional),
    }
}

#[cfg(test)]
mod tests {
    use ottla_model::config::ServerConfig;

    use super::*;

    fn read(overrides: &[(&str, &str)]) -> Result<GroupConfig, ConfigError> {
        let overrides: Vec<_> = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        GroupConfig::read(ServerConfig::parse(None, &overrides).unwrap().0.values(), 1_048_588)
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        assert_eq!(read(&[]).unwrap(), GroupConfig::default());
    }

    #[test]
    fn what_is_set_is_read_in_its_units() {
        let config = read(&[
            ("offsets.retention.minutes", "2"),
            ("group.consumer.migration.policy", "Upgrade"),
            ("group.consumer.assignors", "range"),
            ("group.max.size", "7"),
        ])
        .unwrap();
        assert_eq!((config.offsets_retention_ms, config.classic_members_max), (120_000, 7));
        assert!(config.migration_policy.upgrades() && !config.migration_policy.downgrades());
        assert_eq!(config.default_assignor(), Assignor::Range);
    }

    #[test]
    fn an_assignor_that_is_not_there_is_refused_by_name() {
        assert!(read(&[("group.consumer.assignors", "com.example.Mine")]).unwrap_err().to_string().contains("com.example.Mine"));
    }
}
