//! What DescribeConfigs answers: effective values, where each came from, and what would count without it.

use super::synonyms::{broker_default_of, related_broker_names};
use super::values::ConfigSource;
use super::{ConfigDef, Kind, Overrides, Scope, ServerConfig, Update, table};

/// One config of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The config.
    pub name: &'static str,
    /// Its effective value; `None` when there is none, and for what is sensitive.
    pub value: Option<String>,
    /// Where the value came from.
    pub source: ConfigSource,
    /// Whether it can only be set in the file.
    pub read_only: bool,
    /// Whether its value is withheld.
    pub sensitive: bool,
    /// Its type.
    pub kind: Kind,
    /// What it does.
    pub documentation: &'static str,
    /// Every place where this value is set, best first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// One place where a value is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The config that is set there.
    pub name: &'static str,
    /// To what; `None` for what is sensitive.
    pub value: Option<String>,
    /// Where.
    pub source: ConfigSource,
}

/// All configs of a topic with these overrides, sorted by name. `server` has its dynamic layers applied.
pub fn describe_topic(server: &ServerConfig, overrides: &Overrides) -> Vec<ConfigEntry> {
    let entry = |def: &'static ConfigDef| {
        let own = overrides.get(def.name).map(|value| ConfigSynonym {
            name: def.name,
            value: Some(value.clone()),
            source: ConfigSource::DynamicTopic,
        });
        let broker = broker_default_of(def.name);
        let inherited = broker.map(|broker| synonyms(server, broker)).unwrap_or_default();
        let effective = match &own {
            Some(own) => own.value.clone(),
            None => broker.map_or_else(|| def.default.map(str::to_owned), |broker| effective_text(server, broker)),
        };
        entry(def, effective, false, own.into_iter().chain(inherited).collect())
    };
    visible(Scope::Topic).map(entry).collect()
}

/// All configs of this broker, sorted by name. `server` has its dynamic layers applied.
pub fn describe_broker(server: &ServerConfig) -> Vec<ConfigEntry> {
    let describe = |def: &'static ConfigDef| {
        let value = effective_text(server, def.name);
        entry(def, value, def.update == Update::ReadOnly, synonyms(server, def.name))
    };
    visible(Scope::Broker).map(describe).collect()
}

/// The dynamic defaults of all brokers (the BROKER resource with an empty name): only what is set.
pub fn describe_broker_defaults(server: &ServerConfig) -> Vec<ConfigEntry> {
    let set = |def: &&ConfigDef| server.values().dynamic_default.contains_key(def.name);
    let describe = |def: &'static ConfigDef| {
        let value = server.values().dynamic_default.get(def.name).cloned();
        let synonym = ConfigSynonym { name: def.name, value: shown(def, value.clone()), source: ConfigSource::DynamicDefaultBroker };
        entry(def, value, def.update == Update::ReadOnly, vec![synonym])
    };
    visible(Scope::Broker).filter(set).map(describe).collect()
}

fn visible(scope: Scope) -> impl Iterator<Item = &'static ConfigDef> {
    table().iter().filter(move |def| def.scope == scope && !def.internal)
}

fn entry(def: &'static ConfigDef, value: Option<String>, read_only: bool, synonyms: Vec<ConfigSynonym>) -> ConfigEntry {
    ConfigEntry {
        name: def.name,
        value: shown(def, value),
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        read_only,
        sensitive: def.is_sensitive(),
        kind: def.kind,
        documentation: def.doc,
        synonyms,
    }
}

fn shown(def: &ConfigDef, value: Option<String>) -> Option<String> {
    value.filter(|_| !def.is_sensitive())
}

/// The effective value as text: as it was set where that is in the units of `name`, else converted.
fn effective_text(server: &ServerConfig, name: &'static str) -> Option<String> {
    let found = server.values().find(name)?;
    if found.name == name {
        return Some(found.text.to_owned());
    }
    // A value that came under another name may count in other units; those are all integers.
    match server.values().value(name) {
        Ok(Some(super::Value::Int(v))) => Some(v.to_string()),
        _ => Some(found.text.to_owned()),
    }
}

/// Every place where a broker config or one of its synonyms is set: each layer in turn, and the table's default.
fn synonyms(server: &ServerConfig, name: &'static str) -> Vec<ConfigSynonym> {
    let names = related_broker_names(name);
    let defs: Vec<&'static ConfigDef> = names.iter().filter_map(|name| super::lookup(Scope::Broker, name)).collect();
    let values = server.values();
    let layers = [
        (Some(&values.dynamic), ConfigSource::DynamicBroker),
        (Some(&values.dynamic_default), ConfigSource::DynamicDefaultBroker),
        (Some(&values.fixed), ConfigSource::StaticBroker),
        (None, ConfigSource::Default),
    ];
    let mut all = Vec::new();
    for (layer, source) in layers {
        for def in &defs {
            let text = match layer {
                Some(layer) => layer.get(def.name).cloned(),
                None => def.default.map(str::to_owned),
            };
            if let Some(text) = text {
                all.push(ConfigSynonym { name: def.name, value: shown(def, Some(text)), source });
            }
        }
    }
    all
}
