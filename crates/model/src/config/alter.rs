//! IncrementalAlterConfigs on the overrides of one resource: which changes it comes to, or why not.

use std::collections::BTreeSet;

use super::def::split_list;
use super::synonyms::broker_default_of;
use super::{ConfigDef, ConfigError, Kind, Overrides, Scope, ServerConfig, Support, TopicConfig, Update, lookup, nearest};

/// What to do with one config (KIP-339).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AlterOp {
    /// Give it this value.
    Set,
    /// Return to the default.
    Delete,
    /// Add these elements to a list.
    Append,
    /// Remove these elements from a list.
    Subtract,
}

impl AlterOp {
    /// The operation of a request; `None` for a number Kafka does not know (INVALID_REQUEST).
    pub const fn from_wire(v: i8) -> Option<AlterOp> {
        match v {
            0 => Some(AlterOp::Set),
            1 => Some(AlterOp::Delete),
            2 => Some(AlterOp::Append),
            3 => Some(AlterOp::Subtract),
            _ => None,
        }
    }
}

/// One change that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// The config.
    pub name: String,
    /// What to do.
    pub op: AlterOp,
    /// With what; not for [`AlterOp::Delete`].
    pub value: Option<String>,
}

/// One change to write: the new override, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The config.
    pub name: String,
    /// `None`: the override is removed.
    pub value: Option<String>,
}

/// Checks all overrides of a topic, each by itself and together with the broker's defaults.
pub fn validate_topic_overrides(server: &ServerConfig, overrides: &Overrides) -> Result<(), ConfigError> {
    for (name, value) in overrides {
        TopicConfig::validate(name, value)?;
    }
    TopicConfig::resolve(server, overrides).map(|_| ())
}

/// What a request comes to on a topic's overrides. A change that changes nothing is left out.
pub fn alter_topic(
    server: &ServerConfig,
    overrides: &Overrides,
    alterations: &[ConfigAlteration],
) -> Result<Vec<ConfigChange>, ConfigError> {
    let after = alter(
        Scope::Topic,
        overrides,
        alterations,
        |def, text| TopicConfig::validate(def.name, text),
        |def| {
            let from_broker =
                broker_default_of(def.name).and_then(|broker| server.values().find(broker)).map(|found| found.text.to_owned());
            from_broker.or_else(|| def.default.map(str::to_owned))
        },
    )?;
    validate_topic_overrides(server, &after)?;
    Ok(difference(overrides, &after))
}

/// What a request comes to on a broker's overrides; `for_all`: on the default of all brokers (the empty resource name).
///
/// `server` is the node's configuration with its dynamic layers applied; the result is checked on top of it.
pub fn alter_broker(
    server: &ServerConfig,
    for_all: bool,
    overrides: &Overrides,
    alterations: &[ConfigAlteration],
) -> Result<Vec<ConfigChange>, ConfigError> {
    let check = |def: &ConfigDef, text: &str| {
        def.parse(text)?;
        match def.update {
            Update::ReadOnly => return Err(ConfigError::ReadOnly { name: def.name.to_owned() }),
            Update::PerBroker if for_all => return Err(ConfigError::PerBrokerOnly { name: def.name.to_owned() }),
            Update::PerBroker | Update::ClusterWide => {}
        }
        match def.support {
            Support::Refused => Err(ConfigError::Unsupported { name: def.name.to_owned(), value: shown(def, text) }),
            Support::Works | Support::NotYet | Support::NoEffect => Ok(()),
        }
    };
    let effective = |def: &'static ConfigDef| server.values().find(def.name).map(|found| found.text.to_owned());
    let after = alter(Scope::Broker, overrides, alterations, check, effective)?;
    let values = server.values();
    let (default, own) = if for_all { (&after, &values.dynamic) } else { (&values.dynamic_default, &after) };
    server.with_dynamic(default, own)?;
    Ok(difference(overrides, &after))
}

fn shown(def: &ConfigDef, text: &str) -> String {
    if def.is_sensitive() { "[hidden]".to_owned() } else { text.to_owned() }
}

fn alter(
    scope: Scope,
    overrides: &Overrides,
    alterations: &[ConfigAlteration],
    check: impl Fn(&ConfigDef, &str) -> Result<(), ConfigError>,
    default_of: impl Fn(&'static ConfigDef) -> Option<String>,
) -> Result<Overrides, ConfigError> {
    let mut after = overrides.clone();
    let mut seen = BTreeSet::new();
    for alteration in alterations {
        if !seen.insert(alteration.name.as_str()) {
            return Err(ConfigError::Duplicate { name: alteration.name.clone() });
        }
        // An override that an earlier or later version wrote can be removed, though this one does not know it.
        if alteration.op == AlterOp::Delete && after.remove(&alteration.name).is_some() {
            continue;
        }
        let Some(def) = lookup(scope, &alteration.name) else {
            let scope_name = if scope == Scope::Topic { "topic" } else { "broker" };
            return Err(ConfigError::Unknown {
                scope: scope_name,
                name: alteration.name.clone(),
                nearest: nearest(scope, &alteration.name),
            });
        };
        let given = || alteration.value.as_deref().ok_or_else(|| ConfigError::NullValue { name: def.name.to_owned() });
        let value = match alteration.op {
            AlterOp::Delete => continue,
            AlterOp::Set => given()?.to_owned(),
            AlterOp::Append | AlterOp::Subtract => {
                if def.kind != Kind::List {
                    return Err(ConfigError::NotAList { name: def.name.to_owned() });
                }
                let current = after.get(def.name).cloned().or_else(|| default_of(def)).unwrap_or_default();
                edit_list(split_list(&current), split_list(given()?), alteration.op)
            }
        };
        check(def, &value)?;
        after.insert(def.name.to_owned(), value);
    }
    Ok(after)
}

fn edit_list(mut items: Vec<String>, edit: Vec<String>, op: AlterOp) -> String {
    if op == AlterOp::Append {
        for item in edit {
            if !items.contains(&item) {
                items.push(item);
            }
        }
    } else {
        items.retain(|item| !edit.contains(item));
    }
    items.join(",")
}

fn difference(before: &Overrides, after: &Overrides) -> Vec<ConfigChange> {
    let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| ConfigChange { name: name.clone(), value: None });
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .map(|(name, value)| ConfigChange { name: name.clone(), value: Some(value.clone()) });
    removed.chain(set).collect()
}
