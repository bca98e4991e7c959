//! `ottla topic`: create, list, describe, alter, delete.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ottla_client::{Admin, ClientError, ConfigChange, ConfigResource, ConfigSource, ErrorCode, NewTopic, NodeId, TopicDescription};
use serde::Serialize;

use crate::args::{Connection, name_value};
use crate::error::CliError;
use crate::output::{Output, table};

/// Make, list, describe, change and delete topics.
#[derive(Debug, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla topic create logs --partitions 3 --config retention.ms=3600000\n",
        "  ottla topic list\n",
        "  ottla topic describe logs --json\n",
        "  ottla topic alter logs --partitions 6 --config write.caching=true --delete-config retention.ms\n",
        "  ottla topic delete logs\n\n",
        "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct TopicArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Make a topic.
    #[command(after_help = "Example: ottla topic create logs --partitions 3 --config retention.ms=3600000")]
    Create {
        /// Its name: letters, digits, `.`, `_` and `-`.
        name: String,
        /// How many partitions [default: the broker's num.partitions].
        #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// How many brokers hold each partition [default: the broker's default.replication.factor].
        #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A topic config; may be repeated.
        #[arg(long = "config", short, value_name = "NAME=VALUE", value_parser = name_value)]
        configs: Vec<(String, String)>,
        /// Be content when it exists already, whatever it is like.
        #[arg(long)]
        if_not_exists: bool,
        /// Only check whether it could be made.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the topics.
    #[command(after_help = "Example: ottla topic list --json")]
    List {
        /// Also those that Kafka keeps for itself (`__consumer_offsets` …).
        #[arg(long)]
        internal: bool,
    },
    /// Show partitions, replicas and configs.
    #[command(after_help = "Example: ottla topic describe logs")]
    Describe {
        /// Names of topics.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Add partitions, set or delete configs.
    #[command(after_help = "Example: ottla topic alter logs --partitions 6 --config write.caching=true")]
    Alter {
        /// The topic.
        name: String,
        /// How many partitions it shall have; more than now. Keys may go to other partitions from then on.
        #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// Sets a config; may be repeated.
        #[arg(long = "config", short, value_name = "NAME=VALUE", value_parser = name_value)]
        configs: Vec<(String, String)>,
        /// Takes a config back to the broker's default; may be repeated.
        #[arg(long, value_name = "NAME")]
        delete_config: Vec<String>,
    },
    /// Delete topics with all their records. Nothing is asked; the names must be exact.
    #[command(after_help = "Example: ottla topic delete logs")]
    Delete {
        /// Names of topics.
        #[arg(required = true)]
        names: Vec<String>,
        /// Be content when one does not exist.
        #[arg(long)]
        if_exists: bool,
    },
}

/// `topic create --json`.
#[derive(Debug, Serialize)]
struct CreatedJson<'a> {
    topic: &'a str,
    topic_id: String,
    partitions: i32,
    replication_factor: i16,
    created: bool,
}

/// A line of `topic list --json`.
#[derive(Debug, Serialize)]
struct ListedJson<'a> {
    topic: &'a str,
    topic_id: String,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

/// A line of `topic describe --json`.
#[derive(Debug, Serialize)]
struct DescribedJson<'a> {
    topic: &'a str,
    topic_id: String,
    internal: bool,
    partitions: Vec<PartitionJson>,
    /// Those set on the topic.
    configs: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct PartitionJson {
    partition: i32,
    /// Null while nobody leads it.
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    offline_replicas: Vec<i32>,
}

/// `topic alter --json`.
#[derive(Debug, Serialize)]
struct AlteredJson<'a> {
    topic: &'a str,
    partitions: Option<i32>,
    configs_set: BTreeMap<&'a str, &'a str>,
    configs_deleted: &'a [String],
}

/// A line of `topic delete --json`.
#[derive(Debug, Serialize)]
struct DeletedJson<'a> {
    topic: &'a str,
    deleted: bool,
}

pub async fn run(args: TopicArgs) -> Result<(), CliError> {
    let TopicArgs { connection, command } = args;
    // Before the network is asked: arguments that cannot be right whatever it says.
    if let TopicCommand::Alter { partitions: None, configs, delete_config, .. } = &command
        && configs.is_empty()
        && delete_config.is_empty()
    {
        return Err(CliError::usage("nothing to alter: give --partitions, --config or --delete-config"));
    }
    let admin = Admin::new(&connection.connect().await?);
    let json = connection.json;
    let mut out = Output::new();
    match command {
        TopicCommand::Create { name, partitions, replication_factor, configs, if_not_exists, dry_run } => {
            let mut topic = NewTopic::new(&name).partitions(partitions.unwrap_or(-1)).replication_factor(replication_factor.unwrap_or(-1));
            for (config, value) in &configs {
                topic = topic.config(config, value);
            }
            if dry_run {
                topic = topic.validate_only();
            }
            create(&admin, &mut out, json, &name, topic, if_not_exists, dry_run).await?;
        }
        TopicCommand::List { internal } => list(&admin, &mut out, json, internal).await?,
        TopicCommand::Describe { names } => {
            for (index, name) in names.iter().enumerate() {
                if index > 0 && !json {
                    out.line("")?;
                }
                describe(&admin, &mut out, json, name).await?;
            }
        }
        TopicCommand::Alter { name, partitions, configs, delete_config } => {
            alter(&admin, &mut out, json, &name, partitions, &configs, &delete_config).await?;
        }
        TopicCommand::Delete { names, if_exists } => {
            for name in &names {
                let deleted = match admin.delete_topic(name).await {
                    Ok(()) => true,
                    Err(ClientError::UnknownTopic { .. }) if if_exists => false,
                    Err(error) => {
                        // What was deleted before it is told first.
                        out.flush()?;
                        return Err(error.into());
                    }
                };
                if json {
                    out.json(&DeletedJson { topic: name, deleted })?;
                } else {
                    out.line(&if deleted { format!("Deleted topic {name}.") } else { format!("Topic {name} does not exist.") })?;
                }
            }
        }
    }
    out.flush()
}

async fn create(
    admin: &Admin,
    out: &mut Output,
    json: bool,
    name: &str,
    topic: NewTopic,
    if_not_exists: bool,
    dry_run: bool,
) -> Result<(), CliError> {
    match admin.create_topic(topic).await {
        Ok(topic) if json => out.json(&CreatedJson {
            topic: name,
            topic_id: topic.id.to_string(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            created: !dry_run,
        }),
        Ok(topic) => {
            let verb = if dry_run { "Could create" } else { "Created" };
            let (partitions, replicas) = (topic.partitions, topic.replication_factor);
            out.line(&match (partitions, replicas) {
                (1.., 1..) => format!("{verb} topic {name}: {}, {}.", count(partitions, "partition"), count(replicas.into(), "replica")),
                _ => format!("{verb} topic {name}."),
            })
        }
        Err(ClientError::Refused { code: ErrorCode::TopicAlreadyExists, .. }) if if_not_exists => {
            let topic = admin.describe_topic(name).await?;
            if json {
                return out.json(&CreatedJson {
                    topic: name,
                    topic_id: topic.id.to_string(),
                    partitions: topic.partitions.len() as i32,
                    replication_factor: replication_factor(&topic) as i16,
                    created: false,
                });
            }
            out.line(&format!("Topic {name} exists already."))
        }
        Err(error) => Err(error.into()),
    }
}

async fn list(admin: &Admin, out: &mut Output, json: bool, internal: bool) -> Result<(), CliError> {
    let topics: Vec<TopicDescription> = admin.list_topics().await?.into_iter().filter(|topic| internal || !topic.internal).collect();
    if json {
        for topic in &topics {
            out.json(&ListedJson {
                topic: &topic.name,
                topic_id: topic.id.to_string(),
                partitions: topic.partitions.len(),
                replication_factor: replication_factor(topic),
                internal: topic.internal,
            })?;
        }
        return Ok(());
    }
    if topics.is_empty() {
        // Not among the results: `| wc -l` gives 0.
        out.flush()?;
        eprintln!("No topics yet. Make one with `ottla topic create NAME`.");
        return Ok(());
    }
    let mut rows = table(&["TOPIC", "PARTITIONS", "REPLICAS"]);
    for topic in &topics {
        rows.add_row([topic.name.clone(), topic.partitions.len().to_string(), replication_factor(topic).to_string()]);
    }
    out.table(&rows)
}

async fn describe(admin: &Admin, out: &mut Output, json: bool, name: &str) -> Result<(), CliError> {
    let topic = admin.describe_topic(name).await?;
    let configs = overrides(admin, name).await?;
    if json {
        let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect();
        let partitions = topic
            .partitions
            .iter()
            .map(|partition| PartitionJson {
                partition: partition.partition.get(),
                leader: partition.leader.map(NodeId::get),
                leader_epoch: partition.leader_epoch.get(),
                replicas: numbers(&partition.replicas),
                isr: numbers(&partition.isr),
                offline_replicas: numbers(&partition.offline_replicas),
            })
            .collect();
        return out.json(&DescribedJson {
            topic: name,
            topic_id: topic.id.to_string(),
            internal: topic.internal,
            partitions,
            configs: &configs,
        });
    }
    let configs_text = configs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ");
    out.line(&format!("Topic     {name}{}", if topic.internal { " (internal)" } else { "" }))?;
    out.line(&format!("Id        {}", topic.id))?;
    out.line(&format!("Configs   {}", if configs.is_empty() { "all default" } else { &configs_text }))?;
    out.line("")?;
    let list = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut rows = table(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE"]);
    for partition in &topic.partitions {
        rows.add_row([
            partition.partition.to_string(),
            partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
            partition.leader_epoch.to_string(),
            list(&partition.replicas),
            list(&partition.isr),
            list(&partition.offline_replicas),
        ]);
    }
    out.table(&rows)
}

async fn alter(
    admin: &Admin,
    out: &mut Output,
    json: bool,
    name: &str,
    partitions: Option<i32>,
    configs: &[(String, String)],
    deleted: &[String],
) -> Result<(), CliError> {
    let set = configs.iter().map(|(config, value)| ConfigChange::Set(config.clone(), value.clone()));
    let changes: Vec<ConfigChange> = set.chain(deleted.iter().map(|config| ConfigChange::Delete(config.clone()))).collect();
    // Configs first: where they are refused, nothing has been done that cannot be undone.
    if !changes.is_empty() {
        admin.incremental_alter_configs(&ConfigResource::Topic(name.to_owned()), &changes).await?;
    }
    if let Some(partitions) = partitions {
        admin.create_partitions(name, partitions).await?;
    }
    if json {
        let configs_set = configs.iter().map(|(config, value)| (config.as_str(), value.as_str())).collect();
        return out.json(&AlteredJson { topic: name, partitions, configs_set, configs_deleted: deleted });
    }
    for (config, value) in configs {
        out.line(&format!("{name}: set {config}={value}"))?;
    }
    for config in deleted {
        out.line(&format!("{name}: {config} is back to its default"))?;
    }
    match partitions {
        Some(partitions) => out.line(&format!("{name}: now {}", count(partitions, "partition"))),
        None => Ok(()),
    }
}

/// The configs set on the topic itself.
async fn overrides(admin: &Admin, name: &str) -> Result<BTreeMap<String, String>, CliError> {
    let configs = admin.describe_configs(&ConfigResource::Topic(name.to_owned())).await?;
    Ok(configs
        .into_iter()
        .filter(|config| config.source == ConfigSource::Topic)
        .map(|config| (config.name, config.value.unwrap_or_default()))
        .collect())
}

fn replication_factor(topic: &TopicDescription) -> usize {
    topic.partitions.first().map_or(0, |partition| partition.replicas.len())
}

fn count(n: i32, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shapes_are_stable() {
        let configs = BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]);
        let described = DescribedJson {
            topic: "t",
            topic_id: "AAAAAAAAAAAAAAAAAAAAAQ".to_owned(),
            internal: false,
            partitions: vec![PartitionJson {
                partition: 0,
                leader: None,
                leader_epoch: 2,
                replicas: vec![1],
                isr: vec![],
                offline_replicas: vec![1],
            }],
            configs: &configs,
        };
        assert_eq!(
            serde_json::to_string(&described).unwrap(),
            r#"{"topic":"t","topic_id":"AAAAAAAAAAAAAAAAAAAAAQ","internal":false,"partitions":[{"partition":0,"leader":null,"leader_epoch":2,"replicas":[1],"isr":[],"offline_replicas":[1]}],"configs":{"retention.ms":"1"}}"#
        );
        let created = CreatedJson { topic: "t", topic_id: "x".to_owned(), partitions: 3, replication_factor: 1, created: true };
        assert_eq!(
            serde_json::to_string(&created).unwrap(),
            r#"{"topic":"t","topic_id":"x","partitions":3,"replication_factor":1,"created":true}"#
        );
        let listed = ListedJson { topic: "t", topic_id: "x".to_owned(), partitions: 3, replication_factor: 1, internal: false };
        assert_eq!(
            serde_json::to_string(&listed).unwrap(),
            r#"{"topic":"t","topic_id":"x","partitions":3,"replication_factor":1,"internal":false}"#
        );
        let altered =
            AlteredJson { topic: "t", partitions: None, configs_set: BTreeMap::from([("a", "b")]), configs_deleted: &["c".to_owned()] };
        assert_eq!(
            serde_json::to_string(&altered).unwrap(),
            r#"{"topic":"t","partitions":null,"configs_set":{"a":"b"},"configs_deleted":["c"]}"#
        );
        assert_eq!(serde_json::to_string(&DeletedJson { topic: "t", deleted: true }).unwrap(), r#"{"topic":"t","deleted":true}"#);
    }
}
