//! The configuration of one node: `server.properties`, overrides and dynamic changes, typed and checked together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::listener::{HttpListener, Listener, ListenerError, ListenerName, ProtocolMap, parse_http_listeners, parse_listeners};
use super::properties::parse_properties;
use super::table::is_security_name;
use super::values::{BrokerValues, Overrides};
use super::{ConfigError, ConfigWarning, Scope, Support, lookup, nearest};
use crate::NodeId;

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessRoles {
    /// Holds partitions and answers clients.
    pub broker: bool,
    /// Votes in the metadata quorum.
    pub controller: bool,
}

/// One element of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumVoter {
    /// Its `node.id`.
    pub id: NodeId,
    /// Where its controller listener is.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// The configs of compaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enable: bool,
    /// `log.cleaner.threads`: logs that are compacted at a time.
    pub threads: i32,
    /// `log.cleaner.backoff.ms`: rest when there is nothing to compact.
    pub backoff_ms: i64,
    /// `log.cleaner.dedupe.buffer.size`: memory for keys, of all threads together.
    pub dedupe_buffer_bytes: i64,
    /// `log.cleaner.io.buffer.load.factor`: how full that may get.
    pub dedupe_buffer_load_factor: f64,
    /// `log.cleaner.io.max.bytes.per.second`: read and written by all threads together.
    pub io_bytes_per_second_max: f64,
}

/// The configuration of one node. Made by [`ServerConfig::parse`]; a dynamic change makes another.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// `node.id`.
    pub node_id: NodeId,
    /// `process.roles`.
    pub process_roles: ProcessRoles,
    /// `broker.rack`.
    pub broker_rack: Option<String>,
    /// `listeners`: all that this node opens, the controller's among them.
    pub listeners: Vec<Listener>,
    /// `http.listeners`: where metrics and health are served; empty: nowhere.
    pub http_listeners: Vec<HttpListener>,
    /// `advertised.listeners` less the controller's: what Metadata tells clients. An empty host stands for this machine's name.
    pub advertised_listeners: Vec<Listener>,
    /// `controller.listener.names`.
    pub controller_listener_names: Vec<ListenerName>,
    /// `inter.broker.listener.name`, or the listener of `security.inter.broker.protocol`.
    pub inter_broker_listener_name: ListenerName,
    /// `controller.quorum.voters`.
    pub controller_quorum_voters: Vec<QuorumVoter>,
    /// `controller.quorum.bootstrap.servers`, as `host:port`.
    pub controller_quorum_bootstrap_servers: Vec<String>,
    /// `log.dirs`; never empty.
    pub log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, or the first of `log.dirs`.
    pub metadata_log_dir: PathBuf,

    /// `num.partitions`: of a topic created without a count.
    pub num_partitions: i32,
    /// `default.replication.factor`: of a topic created without one.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,

    /// `socket.request.max.bytes`: the largest request.
    pub socket_request_max_bytes: i32,
    /// `socket.send.buffer.bytes`; -1: the system's default.
    pub socket_send_buffer_bytes: i32,
    /// `socket.receive.buffer.bytes`; -1: the system's default.
    pub socket_receive_buffer_bytes: i32,
    /// `socket.listen.backlog.size`.
    pub socket_listen_backlog_size: i32,
    /// `queued.max.request.bytes`; -1: no limit.
    pub queued_max_request_bytes: i64,
    /// `max.connections`.
    pub max_connections: i32,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: i32,
    /// `max.connections.per.ip.overrides`, by host name or address.
    pub max_connections_per_ip_overrides: BTreeMap<String, i32>,
    /// `connections.max.idle.ms`; negative: never.
    pub connections_max_idle_ms: i64,

    /// `fetch.max.bytes`: the largest Fetch response.
    pub fetch_max_bytes: i32,
    /// `max.incremental.fetch.session.cache.slots` (KIP-227).
    pub max_incremental_fetch_session_cache_slots: i32,
    /// `max.request.partition.size.limit` (KIP-966): partitions in one DescribeTopicPartitions response.
    pub max_request_partition_size_limit: i32,
    /// `request.timeout.ms`.
    pub request_timeout_ms: i32,

    /// `num.recovery.threads.per.data.dir`.
    pub num_recovery_threads_per_data_dir: i32,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval_ms: i64,
    /// How logs are compacted.
    pub cleaner: CleanerConfig,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub log_flush_offset_checkpoint_interval_ms: i32,
    /// `log.flush.start.offset.checkpoint.interval.ms`.
    pub log_flush_start_offset_checkpoint_interval_ms: i32,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub replica_high_watermark_checkpoint_interval_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i32,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_id_expiration_check_interval_ms: i32,

    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub metadata_log_max_record_bytes_between_snapshots: i64,
    /// `metadata.log.max.snapshot.interval.ms`; 0: not by time.
    pub metadata_log_max_snapshot_interval_ms: i64,

    values: BrokerValues,
}

/// What a node takes when no file is given: a cluster of one on this machine.
const ZERO_CONFIG: &[(&str, &str)] =
    &[("node.id", "1"), ("process.roles", "broker,controller"), ("listeners", "PLAINTEXT://localhost:9092"), ("log.dirs", "./ottla-data")];

impl ServerConfig {
    /// Reads a properties text and the overrides given on the command line, which win over it.
    ///
    /// Without a text, what is not overridden is a cluster of one on `localhost:9092` with its data in `./ottla-data`.
    pub fn parse(properties_text: Option<&str>, overrides: &[(String, String)]) -> Result<(ServerConfig, Vec<ConfigWarning>), ConfigError> {
        let mut warnings = Vec::new();
        let mut given: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in properties_text.map(parse_properties).transpose()?.unwrap_or_default() {
            if given.insert(name.clone(), value).is_some() {
                warnings.push(ConfigWarning::Repeated { name });
            }
        }
        given.extend(overrides.iter().cloned());
        if properties_text.is_none() {
            for (name, value) in ZERO_CONFIG {
                let older_name_given =
                    (*name == "node.id" && given.contains_key("broker.id")) || (*name == "log.dirs" && given.contains_key("log.dir"));
                if !older_name_given {
                    given.entry((*name).to_owned()).or_insert_with(|| (*value).to_owned());
                }
            }
        }
        let mut fixed = Overrides::new();
        for (name, value) in given {
            if let Some(warning) = check_given(&name, &value)? {
                warnings.push(warning);
            }
            if lookup(Scope::Broker, &name).is_some() {
                fixed.insert(name, value);
            }
        }
        let config = ServerConfig::from_values(BrokerValues { fixed, ..BrokerValues::default() })?;
        Ok((config, warnings))
    }

    /// The same node with these dynamic changes, in place of any it had: the default of all brokers, and this broker's own.
    pub fn with_dynamic(&self, default: &Overrides, own: &Overrides) -> Result<ServerConfig, ConfigError> {
        ServerConfig::from_values(BrokerValues { fixed: self.values.fixed.clone(), dynamic_default: default.clone(), dynamic: own.clone() })
    }

    /// Every value with the layer it came from.
    pub fn values(&self) -> &BrokerValues {
        &self.values
    }

    /// Whether a listener is the controller's.
    pub fn is_controller_listener(&self, name: &ListenerName) -> bool {
        self.controller_listener_names.contains(name)
    }

    fn from_values(values: BrokerValues) -> Result<ServerConfig, ConfigError> {
        let process_roles = process_roles(&values)?;
        let node_id = node_id(&values)?;
        let network = Network::read(&values, process_roles)?;
        let controller_quorum_voters = voters(&values, node_id, process_roles)?;
        let log_dirs: Vec<PathBuf> = values.list("log.dirs")?.into_iter().filter(|dir| !dir.is_empty()).map(PathBuf::from).collect();
        let Some(first_log_dir) = log_dirs.first() else {
            return Err(ConfigError::Missing { name: "log.dirs", remedy: "name the folder that is to hold the data" });
        };
        let metadata_log_dir = values.text("metadata.log.dir")?.filter(|dir| !dir.is_empty());
        check_durations(&values)?;
        let max_connections_per_ip_overrides = connection_overrides(&values)?;
        if values.integer("max.connections.per.ip")? == 0 && max_connections_per_ip_overrides.is_empty() {
            return Err(ConfigError::NotAllowed {
                name: "max.connections.per.ip".to_owned(),
                value: "0".to_owned(),
                allowed: "at least 1, unless max.connections.per.ip.overrides names who may connect".to_owned(),
            });
        }
        Ok(ServerConfig {
            node_id,
            process_roles,
            broker_rack: values.text("broker.rack")?.filter(|rack| !rack.is_empty()),
            metadata_log_dir: metadata_log_dir.map_or_else(|| first_log_dir.clone(), PathBuf::from),
            log_dirs,
            listeners: network.listeners,
            http_listeners: parse_http_listeners(&values.list("http.listeners")?)?,
            advertised_listeners: network.advertised,
            controller_listener_names: network.controller_names,
            inter_broker_listener_name: network.inter_broker,
            controller_quorum_voters,
            controller_quorum_bootstrap_servers: values.list("controller.quorum.bootstrap.servers")?,
            num_partitions: values.number("num.partitions")?,
            default_replication_factor: replication_factor(&values)?,
            auto_create_topics_enable: values.boolean("auto.create.topics.enable")?,
            delete_topic_enable: values.boolean("delete.topic.enable")?,
            socket_request_max_bytes: values.number("socket.request.max.bytes")?,
            socket_send_buffer_bytes: values.number("socket.send.buffer.bytes")?,
            socket_receive_buffer_bytes: values.number("socket.receive.buffer.bytes")?,
            socket_listen_backlog_size: values.number("socket.listen.backlog.size")?,
            queued_max_request_bytes: values.number("queued.max.request.bytes")?,
            max_connections: values.number("max.connections")?,
            max_connections_per_ip: values.number("max.connections.per.ip")?,
            max_connections_per_ip_overrides,
            connections_max_idle_ms: values.number("connections.max.idle.ms")?,
            fetch_max_bytes: values.number("fetch.max.bytes")?,
            max_incremental_fetch_session_cache_slots: values.number("max.incremental.fetch.session.cache.slots")?,
            max_request_partition_size_limit: values.number("max.request.partition.size.limit")?,
            request_timeout_ms: values.number("request.timeout.ms")?,
            num_recovery_threads_per_data_dir: values.number("num.recovery.threads.per.data.dir")?,
            log_retention_check_interval_ms: values.number("log.retention.check.interval.ms")?,
            cleaner: CleanerConfig {
                enable: values.boolean("log.cleaner.enable")?,
                threads: values.number("log.cleaner.threads")?,
                backoff_ms: values.number("log.cleaner.backoff.ms")?,
                dedupe_buffer_bytes: values.number("log.cleaner.dedupe.buffer.size")?,
                dedupe_buffer_load_factor: values.double("log.cleaner.io.buffer.load.factor")?,
                io_bytes_per_second_max: values.double("log.cleaner.io.max.bytes.per.second")?,
            },
            log_flush_offset_checkpoint_interval_ms: values.number("log.flush.offset.checkpoint.interval.ms")?,
            log_flush_start_offset_checkpoint_interval_ms: values.number("log.flush.start.offset.checkpoint.interval.ms")?,
            replica_high_watermark_checkpoint_interval_ms: values.number("replica.high.watermark.checkpoint.interval.ms")?,
            producer_id_expiration_ms: values.number("producer.id.expiration.ms")?,
            producer_id_expiration_check_interval_ms: values.number("producer.id.expiration.check.interval.ms")?,
            metadata_log_max_record_bytes_between_snapshots: values.number("metadata.log.max.record.bytes.between.snapshots")?,
            metadata_log_max_snapshot_interval_ms: values.number("metadata.log.max.snapshot.interval.ms")?,
            values,
        })
    }
}

/// One pair as it was given: an error when it cannot be ignored, a warning when it is.
fn check_given(name: &str, value: &str) -> Result<Option<ConfigWarning>, ConfigError> {
    let Some(def) = lookup(Scope::Broker, name) else {
        if is_security_name(name) {
            return Err(ConfigError::Unsupported { name: name.to_owned(), value: "[hidden]".to_owned() });
        }
        return Ok(Some(ConfigWarning::Unknown { name: name.to_owned(), nearest: nearest(Scope::Broker, name) }));
    };
    def.parse(value)?;
    let is_default = def.default.map_or(value.trim().is_empty(), |default| def.same_value(default, value));
    let shown = || if def.is_sensitive() { "[hidden]".to_owned() } else { value.to_owned() };
    match def.support {
        Support::Works => Ok(None),
        _ if is_default => Ok(None),
        Support::NotYet => Ok(Some(ConfigWarning::NotYet { name: name.to_owned(), value: shown() })),
        Support::NoEffect => Ok(Some(ConfigWarning::NoEffect { name: name.to_owned(), value: shown() })),
        Support::Refused => Err(ConfigError::Unsupported { name: name.to_owned(), value: shown() }),
    }
}

fn process_roles(values: &BrokerValues) -> Result<ProcessRoles, ConfigError> {
    let roles = values.list("process.roles")?;
    if roles.is_empty() {
        return Err(ConfigError::Missing {
            name: "process.roles",
            remedy: "write process.roles=broker,controller for a node that is a cluster by itself",
        });
    }
    Ok(ProcessRoles { broker: roles.iter().any(|r| r == "broker"), controller: roles.iter().any(|r| r == "controller") })
}

fn node_id(values: &BrokerValues) -> Result<NodeId, ConfigError> {
    let own = values.explicit("node.id").map(|found| found.text);
    let older = values.explicit("broker.id").map(|found| found.text);
    if let (Some(own), Some(older)) = (own, older)
        && own.trim() != older.trim()
    {
        return Err(ConfigError::Conflict {
            first: format!("node.id={own}"),
            second: format!("broker.id={older}"),
            remedy: "they are two names for one number; keep node.id",
        });
    }
    let id = values.number("node.id")?;
    if id < 0 {
        return Err(ConfigError::Missing { name: "node.id", remedy: "give this node a number of its own, e.g. node.id=1" });
    }
    Ok(NodeId(id))
}

/// All that has to do with listeners.
struct Network {
    listeners: Vec<Listener>,
    advertised: Vec<Listener>,
    controller_names: Vec<ListenerName>,
    inter_broker: ListenerName,
}

impl Network {
    fn read(values: &BrokerValues, roles: ProcessRoles) -> Result<Network, ConfigError> {
        let raw = |name: &'static str| values.find(name).map(|found| found.text).unwrap_or_default();
        let controller_names: Vec<ListenerName> =
            values.list("controller.listener.names")?.iter().map(|name| ListenerName::new(name)).collect();
        let map_is_default = !values.is_set("listener.security.protocol.map");
        let protocols = ProtocolMap::parse(raw("listener.security.protocol.map"), map_is_default, &controller_names)?;
        let listeners = parse_listeners("listeners", raw("listeners"), &protocols, true)?;
        let is_controllers = |listener: &&Listener| controller_names.contains(&listener.name);

        let advertised = match values.explicit("advertised.listeners") {
            Some(found) => {
                let advertised = parse_listeners("advertised.listeners", found.text, &protocols, false)?;
                if let Some(stranger) = advertised.iter().find(|a| !listeners.iter().any(|l| l.name == a.name)) {
                    return Err(ListenerError::NotListening { name: stranger.name.clone() }.into());
                }
                advertised
            }
            None => listeners.clone(),
        };
        // Kafka's own sample file advertises the controller's listener too (KIP-853); clients are never told of it.
        let advertised: Vec<Listener> = advertised.iter().filter(|listener| !is_controllers(listener)).cloned().collect();
        if let Some(nowhere) = advertised.iter().find(|listener| listener.host == "0.0.0.0") {
            return Err(ListenerError::Unroutable { listener: nowhere.clone() }.into());
        }
        check_controller_listeners(values, roles, &controller_names, &listeners)?;
        if roles.broker && advertised.is_empty() {
            return Err(ListenerError::Empty { config: "advertised.listeners" }.into());
        }
        let inter_broker = inter_broker_listener(values)?;
        if controller_names.contains(&inter_broker) {
            let what = "is also the listener brokers use among themselves; give the controller one of its own";
            return Err(ListenerError::Controller { name: inter_broker, what }.into());
        }
        let named = values.is_set("inter.broker.listener.name") || values.is_set("security.inter.broker.protocol");
        let inter_broker = match advertised.first() {
            // Nobody named one, and there is but one: Kafka would ask for it to be called PLAINTEXT.
            Some(only) if !named && advertised.len() == 1 => only.name.clone(),
            _ if roles.broker && !advertised.iter().any(|listener| listener.name == inter_broker) => {
                return Err(ListenerError::InterBroker { name: inter_broker }.into());
            }
            _ => inter_broker,
        };
        Ok(Network { listeners, advertised, controller_names, inter_broker })
    }
}

fn check_controller_listeners(
    values: &BrokerValues,
    roles: ProcessRoles,
    names: &[ListenerName],
    listeners: &[Listener],
) -> Result<(), ConfigError> {
    let opened = names.iter().find(|name| listeners.iter().any(|listener| listener.name == **name));
    if roles.controller {
        let alone = !values.is_set("controller.quorum.voters") && !values.is_set("controller.quorum.bootstrap.servers");
        match names.first() {
            // A cluster of one has nobody to speak to on such a listener.
            None if roles.broker && alone => {}
            None => {
                return Err(ConfigError::Missing {
                    name: "controller.listener.names",
                    remedy: "name the listener of the controller, e.g. controller.listener.names=CONTROLLER, and add it to listeners",
                });
            }
            Some(first) if opened.is_none() => {
                let what = "is not among listeners, but this node has the controller role; add it there";
                return Err(ListenerError::Controller { name: first.clone(), what }.into());
            }
            Some(_) => {}
        }
    } else if let Some(name) = opened {
        let what = "is among listeners, but this node has not the controller role; remove it there";
        return Err(ListenerError::Controller { name: name.clone(), what }.into());
    } else if names.is_empty() {
        return Err(ConfigError::Missing {
            name: "controller.listener.names",
            remedy: "name the listener on which the controllers are reached, e.g. controller.listener.names=CONTROLLER",
        });
    }
    Ok(())
}

fn inter_broker_listener(values: &BrokerValues) -> Result<ListenerName, ConfigError> {
    let protocol = values.text("security.inter.broker.protocol")?.unwrap_or_default();
    match values.text("inter.broker.listener.name")? {
        Some(name) if values.is_set("security.inter.broker.protocol") => Err(ConfigError::Conflict {
            first: format!("inter.broker.listener.name={name}"),
            second: format!("security.inter.broker.protocol={protocol}"),
            remedy: "keep inter.broker.listener.name; its protocol is that of the listener",
        }),
        Some(name) => Ok(ListenerName::new(&name)),
        None => Ok(ListenerName::new(&protocol)),
    }
}

fn voters(values: &BrokerValues, node_id: NodeId, roles: ProcessRoles) -> Result<Vec<QuorumVoter>, ConfigError> {
    let elements = values.list("controller.quorum.voters")?;
    let wrong = |what: String| ConfigError::Voters { value: elements.join(","), what };
    let mut voters = Vec::new();
    let mut ids = BTreeSet::new();
    for element in &elements {
        let voter = parse_voter(element).ok_or_else(|| wrong(format!("`{element}` is no voter")))?;
        if !ids.insert(voter.id) {
            return Err(wrong(format!("two voters have the id {}", voter.id)));
        }
        voters.push(voter);
    }
    let is_voter = ids.contains(&node_id);
    if !voters.is_empty() && roles.controller && !is_voter {
        return Err(wrong(format!("this node has the controller role, but its node.id {node_id} is not among the voters")));
    }
    if !roles.controller && is_voter {
        return Err(wrong(format!("node.id {node_id} is among the voters, but this node has not the controller role")));
    }
    Ok(voters)
}

fn parse_voter(element: &str) -> Option<QuorumVoter> {
    let (id, address) = element.split_once('@')?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|open| open.strip_suffix(']')).unwrap_or(host);
    let id: i32 = id.parse().ok().filter(|id| *id >= 0)?;
    (!host.is_empty()).then_some(QuorumVoter { id: NodeId(id), host: host.to_owned(), port: port.parse().ok()? })
}

fn replication_factor(values: &BrokerValues) -> Result<i16, ConfigError> {
    let factor = values.integer("default.replication.factor")?;
    i16::try_from(factor).map_err(|_| ConfigError::NotAllowed {
        name: "default.replication.factor".to_owned(),
        value: factor.to_string(),
        allowed: format!("at most {}", i16::MAX),
    })
}

fn connection_overrides(values: &BrokerValues) -> Result<BTreeMap<String, i32>, ConfigError> {
    let name = "max.connections.per.ip.overrides";
    let text = values.text(name)?.unwrap_or_default();
    super::def::split_list(&text)
        .into_iter()
        .map(|element| {
            let pair = element.rsplit_once(':').and_then(|(host, count)| Some((host.to_owned(), count.trim().parse().ok()?)));
            pair.ok_or_else(|| ConfigError::NotAllowed {
                name: name.to_owned(),
                value: text.clone(),
                allowed: "a list of host:count, e.g. 127.0.0.1:200".to_owned(),
            })
        })
        .collect()
}

/// What Kafka's `KafkaConfig.validateValues` asks of durations beyond the table's bounds.
fn check_durations(values: &BrokerValues) -> Result<(), ConfigError> {
    for name in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        if let Some(found) = values.explicit(name)
            && found.text.trim().parse() == Ok(0)
        {
            return Err(ConfigError::NotAllowed {
                name: name.to_owned(),
                value: found.text.to_owned(),
                allowed: "-1 for no limit, or at least 1".to_owned(),
            });
        }
    }
    if let Some(ms) = values.optional_integer("log.roll.ms")?
        && ms < 1
    {
        return Err(ConfigError::NotAllowed { name: "log.roll.ms".to_owned(), value: ms.to_string(), allowed: "at least 1".to_owned() });
    }
    Ok(())
}
