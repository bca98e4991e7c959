//! `ottla config`: show, set and delete the configs of topics and brokers.

use clap::{Args, Subcommand};
use ottla_client::{Admin, ConfigChange, ConfigResource, ConfigSource, NodeId};
use serde::Serialize;

use crate::args::{Connection, name_value};
use crate::error::CliError;
use crate::output::{Output, table};

/// Show, set and delete the configs of topics and brokers.
#[derive(Debug, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla config describe --topic logs --all\n",
        "  ottla config set --topic logs retention.ms=3600000 write.caching=true\n",
        "  ottla config delete --topic logs retention.ms\n",
        "  ottla config describe --broker 1\n\n",
        "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct ConfigArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show configs: those that were set, or all.
    Describe {
        #[command(flatten)]
        whose: Whose,
        /// Also those that have their defaults.
        #[arg(long)]
        all: bool,
    },
    /// Set configs.
    Set {
        #[command(flatten)]
        whose: Whose,
        /// What to set.
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = name_value)]
        configs: Vec<(String, String)>,
    },
    /// Take configs back to their defaults.
    Delete {
        #[command(flatten)]
        whose: Whose,
        /// What to take back.
        #[arg(required = true, value_name = "NAME")]
        configs: Vec<String>,
    },
}

/// Whose configs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Of this topic.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Of the broker with this id.
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// Of all brokers that do not say otherwise.
    #[arg(long)]
    broker_defaults: bool,
}

impl Whose {
    fn resource(self) -> ConfigResource {
        match (self.topic, self.broker) {
            (Some(topic), _) => ConfigResource::Topic(topic),
            (None, Some(id)) => ConfigResource::Broker(NodeId(id)),
            (None, None) => ConfigResource::BrokerDefaults,
        }
    }
}

/// A line of `config describe --json`.
#[derive(Debug, Serialize)]
struct ConfigJson<'a> {
    name: &'a str,
    /// Null: not set, or secret.
    value: Option<&'a str>,
    /// Kafka's name of where it comes from.
    source: &'a str,
    read_only: bool,
    sensitive: bool,
}

/// `config set --json` and `config delete --json`.
#[derive(Debug, Serialize)]
struct ChangedJson<'a> {
    name: &'a str,
    /// Null: deleted.
    value: Option<&'a str>,
}

pub async fn run(args: ConfigArgs) -> Result<(), CliError> {
    let ConfigArgs { connection, command } = args;
    let admin = Admin::new(&connection.connect().await?);
    let json = connection.json;
    let mut out = Output::new();
    match command {
        ConfigCommand::Describe { whose, all } => describe(&admin, &mut out, json, &whose.resource(), all).await?,
        ConfigCommand::Set { whose, configs } => {
            let changes: Vec<_> = configs.iter().map(|(name, value)| ConfigChange::Set(name.clone(), value.clone())).collect();
            admin.incremental_alter_configs(&whose.resource(), &changes).await?;
            for (name, value) in &configs {
                if json { out.json(&ChangedJson { name, value: Some(value) })? } else { out.line(&format!("Set {name}={value}"))? }
            }
        }
        ConfigCommand::Delete { whose, configs } => {
            let changes: Vec<_> = configs.iter().map(|name| ConfigChange::Delete(name.clone())).collect();
            admin.incremental_alter_configs(&whose.resource(), &changes).await?;
            for name in &configs {
                if json { out.json(&ChangedJson { name, value: None })? } else { out.line(&format!("{name} is back to its default"))? }
            }
        }
    }
    out.flush()
}

async fn describe(admin: &Admin, out: &mut Output, json: bool, resource: &ConfigResource, all: bool) -> Result<(), CliError> {
    let own = match resource {
        ConfigResource::Topic(_) => ConfigSource::Topic,
        ConfigResource::Broker(_) => ConfigSource::Broker,
        ConfigResource::BrokerDefaults => ConfigSource::BrokerDefaults,
    };
    let mut configs = admin.describe_configs(resource).await?;
    // For a broker, what its file says was set as well.
    configs.retain(|config| all || config.source == own || (own == ConfigSource::Broker && config.source != ConfigSource::Default));
    if json {
        for config in &configs {
            out.json(&ConfigJson {
                name: &config.name,
                value: config.value.as_deref(),
                source: config.source.name(),
                read_only: config.read_only,
                sensitive: config.sensitive,
            })?;
        }
        return Ok(());
    }
    if configs.is_empty() {
        eprintln!("Nothing is set. Add --all to see the defaults.");
        return Ok(());
    }
    let mut rows = table(&["CONFIG", "VALUE", "SOURCE"]);
    for config in &configs {
        let value = if config.sensitive { "(secret)".to_owned() } else { config.value.clone().unwrap_or_default() };
        rows.add_row([config.name.clone(), value, config.source.name().to_owned()]);
    }
    out.table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shapes_are_stable() {
        let config = ConfigJson { name: "a", value: None, source: ConfigSource::Topic.name(), read_only: false, sensitive: true };
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"name":"a","value":null,"source":"DYNAMIC_TOPIC_CONFIG","read_only":false,"sensitive":true}"#
        );
        assert_eq!(serde_json::to_string(&ChangedJson { name: "a", value: Some("1") }).unwrap(), r#"{"name":"a","value":"1"}"#);
    }
}
