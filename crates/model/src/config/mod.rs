//! The table of configs: each config of Kafka 4.3, and Ottla's own, declared once.
//!
//! From the table come the reading of `server.properties`, the checks, what DescribeConfigs and IncrementalAlterConfigs answer,
//! and `docs/configuration.md`. Reads no file and opens no address: text goes in, values and errors come out.

mod alter;
mod def;
mod describe;
mod document;
mod error;
mod listener;
mod properties;
mod server;
mod synonyms;
mod table;
#[cfg(test)]
mod tests;
mod topic;
mod values;

pub use alter::{AlterOp, ConfigAlteration, ConfigChange, alter_broker, alter_topic, validate_topic_overrides};
pub use def::{ConfigDef, Importance, Kind, Scope, Support, Update, Valid, Value};
pub use describe::{ConfigEntry, ConfigSynonym, describe_broker, describe_broker_defaults, describe_topic};
pub use document::configuration_markdown;
pub use error::{ConfigError, ConfigWarning};
pub use listener::{HttpListener, Listener, ListenerError, ListenerName, SecurityProtocol};
pub use properties::parse_properties;
pub use server::{CleanerConfig, ProcessRoles, QuorumVoter, ServerConfig};
pub use synonyms::{Synonym, broker_default_of, broker_synonyms};
pub use table::{lookup, nearest, table};
pub use topic::{BatchValidation, CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use values::{BrokerValues, ConfigSource, Found, Overrides};
