//! The broker configs of one node in their layers: file, dynamic default of all brokers, dynamic setting of this broker.

use std::collections::BTreeMap;

use super::synonyms::broker_synonyms;
use super::{ConfigDef, ConfigError, Scope, Value, lookup};

/// Where an effective value came from, as DescribeConfigs names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigSource {
    /// Set for the topic.
    DynamicTopic,
    /// Set for this broker by IncrementalAlterConfigs.
    DynamicBroker,
    /// Set for all brokers by IncrementalAlterConfigs.
    DynamicDefaultBroker,
    /// Given at start: `server.properties`, `--override`, or what a node with nothing configured takes.
    StaticBroker,
    /// The table's default.
    Default,
}

impl ConfigSource {
    /// `ConfigSource` in DescribeConfigs responses.
    pub const fn to_wire(self) -> i8 {
        match self {
            ConfigSource::DynamicTopic => 1,
            ConfigSource::DynamicBroker => 2,
            ConfigSource::DynamicDefaultBroker => 3,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
        }
    }
}

/// Overrides of one resource by name, as the metadata log keeps them.
pub type Overrides = BTreeMap<String, String>;

/// A value under the name and from the layer that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The name it was set under.
    pub name: &'static str,
    /// The text as it was set.
    pub text: &'a str,
    /// The layer.
    pub source: ConfigSource,
    /// Units of the name asked for in one of this (0: as it stands).
    factor: i64,
}

/// All layers. Only names of the table are kept in `fixed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerValues {
    /// Given at start.
    pub(super) fixed: Overrides,
    /// Dynamic default of all brokers.
    pub(super) dynamic_default: Overrides,
    /// Dynamic setting of this broker.
    pub(super) dynamic: Overrides,
}

impl BrokerValues {
    /// What one name was set to, in the layer that counts.
    pub fn explicit(&self, name: &'static str) -> Option<Found<'_>> {
        let layers = [
            (&self.dynamic, ConfigSource::DynamicBroker),
            (&self.dynamic_default, ConfigSource::DynamicDefaultBroker),
            (&self.fixed, ConfigSource::StaticBroker),
        ];
        layers.into_iter().find_map(|(layer, source)| layer.get(name).map(|text| Found { name, text, source, factor: 0 }))
    }

    /// What a name and its synonyms come to: the first name that is set, else the first that has a default.
    pub fn find(&self, name: &'static str) -> Option<Found<'_>> {
        let names = broker_synonyms(name);
        let set = names.iter().find_map(|s| self.explicit(s.name).map(|found| Found { factor: s.factor, ..found }));
        set.or_else(|| {
            names.iter().find_map(|s| {
                let text = lookup(Scope::Broker, s.name)?.default?;
                Some(Found { name: s.name, text, source: ConfigSource::Default, factor: s.factor })
            })
        })
    }

    /// Whether anybody set this name.
    pub fn is_set(&self, name: &'static str) -> bool {
        self.explicit(name).is_some()
    }

    /// The effective value, in the units of `name`. `None`: neither set nor a default.
    pub fn value(&self, name: &'static str) -> Result<Option<Value>, ConfigError> {
        let Some(found) = self.find(name) else { return Ok(None) };
        let value = definition(found.name)?.parse(found.text)?;
        Ok(Some(match value {
            // As Kafka does for durations: -1 stays "no limit" whatever its unit.
            Value::Int(v) if found.factor > 1 && v >= 0 => Value::Int(v.saturating_mul(found.factor)),
            other => other,
        }))
    }

    pub(super) fn integer(&self, name: &'static str) -> Result<i64, ConfigError> {
        self.optional_integer(name)?.ok_or(ConfigError::Missing { name, remedy: "give it a number" })
    }

    pub(super) fn optional_integer(&self, name: &'static str) -> Result<Option<i64>, ConfigError> {
        match self.value(name)? {
            Some(Value::Int(v)) => Ok(Some(v)),
            None => Ok(None),
            Some(_) => Err(not_of_type(name, "integer")),
        }
    }

    /// An integer whose type in the table is within `T`.
    pub(super) fn number<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T, ConfigError> {
        T::try_from(self.integer(name)?).map_err(|_| not_of_type(name, "integer"))
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<bool, ConfigError> {
        match self.value(name)? {
            Some(Value::Bool(v)) => Ok(v),
            _ => Err(not_of_type(name, "boolean")),
        }
    }

    pub(super) fn double(&self, name: &'static str) -> Result<f64, ConfigError> {
        match self.value(name)? {
            Some(Value::Double(v)) => Ok(v),
            _ => Err(not_of_type(name, "number")),
        }
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        match self.value(name)? {
            Some(Value::Text(v)) => Ok(Some(v)),
            None => Ok(None),
            Some(_) => Err(not_of_type(name, "text")),
        }
    }

    pub(super) fn list(&self, name: &'static str) -> Result<Vec<String>, ConfigError> {
        match self.value(name)? {
            Some(Value::List(v)) => Ok(v),
            None => Ok(Vec::new()),
            Some(_) => Err(not_of_type(name, "list")),
        }
    }
}

fn definition(name: &'static str) -> Result<&'static ConfigDef, ConfigError> {
    lookup(Scope::Broker, name).ok_or(ConfigError::Unknown { scope: "broker", name: name.to_owned(), nearest: None })
}

fn not_of_type(name: &'static str, expected: &'static str) -> ConfigError {
    ConfigError::IllTyped { name: name.to_owned(), value: String::new(), expected }
}
