//! The table and what is made of it, as a whole.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::NodeId;

fn pairs(overrides: &[(&str, &str)]) -> Vec<(String, String)> {
    overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn overrides(of: &[(&str, &str)]) -> Overrides {
    pairs(of).into_iter().collect()
}

fn zero_config(with: &[(&str, &str)]) -> ServerConfig {
    ServerConfig::parse(None, &pairs(with)).unwrap().0
}

/// A node with a file that sets nothing but what it must, and this.
fn parse(properties: &str) -> Result<(ServerConfig, Vec<ConfigWarning>), ConfigError> {
    let text = format!("process.roles=broker,controller\nnode.id=1\nlog.dirs=/data\n{properties}");
    ServerConfig::parse(Some(&text), &[])
}

fn refused(properties: &str) -> String {
    match parse(properties) {
        Err(error) => error.to_string(),
        Ok((config, _)) => panic!("{properties} was taken: {:?}", config.listeners),
    }
}

/// The file that Kafka 4.3 ships, without its comments.
const KAFKAS_SAMPLE: &str = "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn every_default_satisfies_its_own_row_and_every_name_is_there_once() {
    let mut seen = BTreeSet::new();
    for def in table() {
        assert!(seen.insert((def.scope == Scope::Topic, def.name)), "{} is there twice", def.name);
        assert!(!def.doc.is_empty() && def.doc.ends_with('.'), "{}: {}", def.name, def.doc);
        if let Some(default) = def.default {
            def.parse(default).unwrap();
        }
    }
    let count = |scope| table().iter().filter(|def| def.scope == scope).count();
    // Kafka 4.3.1 has 360 of the broker, three more that are dynamic only, and 34 of topics; Ottla adds three to the broker's and two to the topic's.
    assert_eq!((count(Scope::Broker), count(Scope::Topic)), (366, 36));
}

#[test]
fn the_page_in_docs_is_what_the_table_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let wanted = configuration_markdown();
    if std::env::var_os("OTTLA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(found == wanted, "docs/configuration.md is not what the table gives (OTTLA_UPDATE_DOCS=1 rewrites it); first at {differs:?}");
}

#[test]
fn nothing_given_is_a_cluster_of_one_on_localhost() {
    let (config, warnings) = ServerConfig::parse(None, &[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.node_id, NodeId(1));
    assert_eq!(config.process_roles, ProcessRoles { broker: true, controller: true });
    assert_eq!(config.listeners.iter().map(Listener::to_string).collect::<Vec<_>>(), ["PLAINTEXT://localhost:9092"]);
    assert_eq!(config.advertised_listeners, config.listeners);
    assert_eq!(
        (config.log_dirs.as_slice(), &config.metadata_log_dir),
        ([PathBuf::from("./ottla-data")].as_slice(), &PathBuf::from("./ottla-data"))
    );
    assert!(config.auto_create_topics_enable);
    assert_eq!((config.num_partitions, config.default_replication_factor), (1, 1));

    let (config, _) = ServerConfig::parse(None, &pairs(&[("broker.id", "5"), ("log.dir", "/a"), ("num.partitions", "3")])).unwrap();
    assert_eq!((config.node_id, config.log_dirs[0].to_str(), config.num_partitions), (NodeId(5), Some("/a"), 3));
}

#[test]
fn kafkas_sample_file_is_taken_and_what_is_not_heeded_is_told() {
    let (config, warnings) = ServerConfig::parse(Some(KAFKAS_SAMPLE), &[]).unwrap();
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.advertised_listeners.iter().map(Listener::to_string).collect::<Vec<_>>(), ["PLAINTEXT://localhost:9092"]);
    assert!(config.is_controller_listener(&ListenerName::new("controller")));
    assert_eq!(config.inter_broker_listener_name.as_str(), "PLAINTEXT");
    let told: Vec<String> = warnings.iter().map(ConfigWarning::to_string).collect();
    assert!(told.iter().any(|line| line.starts_with("share.coordinator.state.topic.replication.factor=1 is not heeded yet")), "{told:?}");
    // At its default a config is nothing to speak of, heeded or not.
    assert!(!told.iter().any(|line| line.contains("num.io.threads")), "{told:?}");
}

#[test]
fn unknown_names_are_told_with_the_nearest_known_one() {
    let (_, warnings) = parse("log.retension.ms=5\nno.such.thing.at.all=1\nNUM_PARTITIONS=4\n").unwrap();
    let told: Vec<String> = warnings.iter().map(ConfigWarning::to_string).collect();
    assert!(told.contains(&"unknown config `log.retension.ms` is ignored; did you mean `log.retention.ms`?".to_owned()), "{told:?}");
    assert!(told.contains(&"unknown config `NUM_PARTITIONS` is ignored; did you mean `num.partitions`?".to_owned()), "{told:?}");
    assert!(told.contains(&"unknown config `no.such.thing.at.all` is ignored".to_owned()), "{told:?}");
}

#[test]
fn errors_name_the_config_its_value_and_what_is_allowed() {
    assert_eq!(
        refused("num.partitions=many"),
        "num.partitions=many: the value is not of type integer; write one, or remove the line for the default"
    );
    assert_eq!(refused("num.partitions=0"), "num.partitions=0: the value must be at least 1");
    assert_eq!(
        refused("log.segment.bytes=4294967296"),
        "log.segment.bytes=4294967296: the value is not of type integer; write one, or remove the line for the default"
    );
    assert_eq!(refused("log.cleanup.policy=shred"), "log.cleanup.policy=shred: the value must be a list of compact, delete");
    assert_eq!(refused("log.retention.hours=0"), "log.retention.hours=0: the value must be -1 for no limit, or at least 1");
    assert!(refused("broker.id=2").contains("broker.id=2"));
    assert!(refused("max.connections.per.ip=0").contains("must be at least 1, unless"));
    parse("max.connections.per.ip=0\nmax.connections.per.ip.overrides=localhost:5\n").unwrap();
    let missing = ServerConfig::parse(Some("node.id=1\n"), &[]).unwrap_err().to_string();
    assert_eq!(missing, "process.roles is missing: write process.roles=broker,controller for a node that is a cluster by itself");
    let missing = ServerConfig::parse(Some("process.roles=broker,controller\n"), &[]).unwrap_err().to_string();
    assert!(missing.starts_with("node.id is missing"), "{missing}");
}

#[test]
fn security_that_is_not_supported_is_never_passed_over() {
    for setting in [
        "ssl.keystore.location=/k",
        "sasl.enabled.mechanisms=PLAIN",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "listener.name.plaintext.ssl.keystore.location=/k",
        "listener.name.plaintext.scram-sha-256.sasl.jaas.config=x",
        "super.users=User:admin",
        "allow.everyone.if.no.acl.found=true",
        "ssl.keystore.locatoin=/k",
        "create.topic.policy.class.name=a.B",
        "security.inter.broker.protocol=SSL",
        "listeners=SSL://:9092",
        "listeners=INTERNAL://:9092\nlistener.security.protocol.map=INTERNAL:SASL_PLAINTEXT",
    ] {
        let error = refused(setting);
        assert!(error.contains("not support"), "{setting}: {error}");
    }
    assert!(!refused("ssl.key.password=hunter2").contains("hunter2"));
    // Said, but as it is anyway.
    parse("ssl.client.auth=none\nsecurity.inter.broker.protocol=PLAINTEXT\nauthorizer.class.name=\n").unwrap();
}

#[test]
fn listeners_are_read_as_kafka_reads_them() {
    let listeners = |text: &str| -> Vec<String> {
        let (config, _) = parse(&format!(
            "listeners={text}\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,A:PLAINTEXT,B:PLAINTEXT\n\
                                          advertised.listeners=A://h:1\ninter.broker.listener.name=A\n"
        ))
        .unwrap();
        config.listeners.iter().map(Listener::to_string).collect()
    };
    assert_eq!(listeners("a://:9092"), ["A://:9092"]);
    assert_eq!(listeners("A://[::1]:9092 , B://0.0.0.0:9093"), ["A://[::1]:9092", "B://0.0.0.0:9093"]);
    // One port on IPv4 and on IPv6 (KIP-797), and any free port twice.
    assert_eq!(listeners("A://127.0.0.1:9092,B://[::1]:9092").len(), 2);
    assert_eq!(listeners("A://localhost:0,B://localhost:0").len(), 2);

    for (setting, tells) in [
        ("listeners=PLAINTEXT:9092", "is no listener; write NAME://host:port"),
        ("listeners=PLAINTEXT://localhost", "is no listener"),
        ("listeners=PLAINTEXT://[::1:9092", "is no listener"),
        ("listeners=PLAINTEXT://ho st:9092", "is no listener"),
        ("listeners=PLAINTEXT://:70000", "must be 0 to 65535"),
        ("listeners=PLAINTEXT://:-1", "must be 0 to 65535"),
        ("listeners=", "names no listener"),
        ("listeners=PLAINTEXT://:1,PLAINTEXT://:2", "two listeners are named PLAINTEXT"),
        ("listeners=PLAINTEXT://:1,A://:1\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,A:PLAINTEXT", "two listeners use port 1"),
        ("listeners=INTERNAL://:1", "what is spoken on listener INTERNAL is not said"),
        ("listener.security.protocol.map=PLAINTEXT:TELNET", "`PLAINTEXT:TELNET` is not NAME:PROTOCOL"),
        ("listeners=PLAINTEXT://0.0.0.0:9092", "cannot be reached by clients"),
        (
            "advertised.listeners=OTHER://h:1\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT",
            "OTHER is not among listeners",
        ),
        (
            "listeners=PLAINTEXT://:1,A://:2\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,A:PLAINTEXT\ninter.broker.listener.name=C",
            "is not among the advertised listeners",
        ),
        ("inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT", "do not go together"),
        ("controller.listener.names=CONTROLLER", "is not among listeners, but this node has the controller role"),
        ("controller.listener.names=PLAINTEXT", "names no listener"),
        ("controller.quorum.bootstrap.servers=h:1", "controller.listener.names is missing"),
    ] {
        let error = refused(setting);
        assert!(error.contains(tells), "{setting}: {error}");
    }
}

#[test]
fn the_roles_and_voters_of_a_node_must_agree() {
    let quorum = "listeners=PLAINTEXT://:1,C://:2\ncontroller.listener.names=C\n";
    let (config, _) = parse(&format!("{quorum}controller.quorum.voters=1@a:2,2@[::1]:3\n")).unwrap();
    assert_eq!(config.controller_quorum_voters[1], QuorumVoter { id: NodeId(2), host: "::1".to_owned(), port: 3 });
    for (voters, tells) in [
        ("2@a:2", "its node.id 1 is not among the voters"),
        ("1@a:2,1@b:2", "two voters have the id 1"),
        ("1@a", "`1@a` is no voter"),
        ("a:2", "`a:2` is no voter"),
    ] {
        let error = refused(&format!("{quorum}controller.quorum.voters={voters}\n"));
        assert!(error.contains(tells), "{voters}: {error}");
    }
    let broker = |more: &str| ServerConfig::parse(Some(&format!("process.roles=broker\nnode.id=1\n{more}")), &[]);
    broker("controller.listener.names=C\ncontroller.quorum.voters=9@a:1\n").unwrap();
    assert!(broker("controller.quorum.voters=9@a:1\n").unwrap_err().to_string().starts_with("controller.listener.names is missing"));
    assert!(
        broker("controller.listener.names=C\ncontroller.quorum.voters=1@a:1\n")
            .unwrap_err()
            .to_string()
            .contains("has not the controller role")
    );
    let error = broker("controller.listener.names=PLAINTEXT\n").unwrap_err().to_string();
    assert!(error.contains("is among listeners, but this node has not the controller role"), "{error}");
}

#[test]
fn a_duration_counts_in_its_smallest_unit_that_is_set() {
    let retention = |with: &[(&str, &str)]| TopicConfig::resolve(&zero_config(with), &Overrides::new()).unwrap().retention_ms;
    assert_eq!(retention(&[]), 7 * 24 * 3_600_000);
    assert_eq!(retention(&[("log.retention.hours", "2")]), 7_200_000);
    assert_eq!(retention(&[("log.retention.hours", "2"), ("log.retention.minutes", "5")]), 300_000);
    assert_eq!(retention(&[("log.retention.hours", "2"), ("log.retention.minutes", "5"), ("log.retention.ms", "77")]), 77);
    assert_eq!(retention(&[("log.retention.hours", "-1")]), -1);
}

#[test]
fn a_topic_takes_its_override_or_the_brokers_default_dynamic_before_static() {
    let server = zero_config(&[("log.segment.bytes", "2000000"), ("log.write.caching", "true")]);
    let dynamic = server.with_dynamic(&overrides(&[("log.segment.bytes", "3000000")]), &overrides(&[("message.max.bytes", "5")])).unwrap();
    let of = |server: &ServerConfig, topic: &[(&str, &str)]| TopicConfig::resolve(server, &overrides(topic)).unwrap();
    assert_eq!(of(&server, &[]).segment_bytes, 2_000_000);
    assert_eq!(of(&dynamic, &[]).segment_bytes, 3_000_000);
    assert_eq!(of(&dynamic, &[("segment.bytes", "1048576")]).segment_bytes, 1_048_576);
    assert_eq!((of(&dynamic, &[]).max_message_bytes, of(&dynamic, &[]).write_caching), (5, true));
    assert!(!of(&dynamic, &[("write.caching", "false")]).write_caching);
    let topic = of(&server, &[("cleanup.policy", "compact,delete"), ("compression.type", "zstd"), ("batch.validation", "full")]);
    assert_eq!(topic.cleanup_policy, CleanupPolicy { delete: true, compact: true });
    assert_eq!((topic.compression_type, topic.batch_validation), (CompressionType::Zstd, BatchValidation::Full));
    let conflict = TopicConfig::resolve(&server, &overrides(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")]));
    assert!(matches!(conflict, Err(ConfigError::Conflict { .. })));
}

#[test]
fn topic_configs_are_checked_one_by_one() {
    TopicConfig::validate("retention.ms", "-1").unwrap();
    TopicConfig::validate("cleanup.policy", "").unwrap();
    TopicConfig::validate("leader.replication.throttled.replicas", "0:1,1:2").unwrap();
    for (name, value) in [
        ("retention.ms", "-2"),
        ("segment.bytes", "1000"),
        ("cleanup.policy", "none"),
        ("compression.gzip.level", "0"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("leader.replication.throttled.replicas", "0-1"),
        ("remote.storage.enable", "true"),
        ("retention.hours", "1"),
    ] {
        assert!(TopicConfig::validate(name, value).is_err(), "{name}={value}");
    }
}

fn named<'a>(entries: &'a [ConfigEntry], name: &str) -> &'a ConfigEntry {
    entries.iter().find(|entry| entry.name == name).unwrap()
}

#[test]
fn descriptions_tell_every_place_where_a_value_is_set() {
    let server =
        zero_config(&[("log.retention.hours", "2")]).with_dynamic(&overrides(&[("log.retention.ms", "500")]), &Overrides::new()).unwrap();
    let topic = describe_topic(&server, &overrides(&[("retention.ms", "100")]));
    let retention = named(&topic, "retention.ms");
    assert_eq!((retention.value.as_deref(), retention.source), (Some("100"), ConfigSource::DynamicTopic));
    let places: Vec<_> = retention.synonyms.iter().map(|s| (s.name, s.value.as_deref().unwrap(), s.source)).collect();
    assert_eq!(
        places,
        [
            ("retention.ms", "100", ConfigSource::DynamicTopic),
            ("log.retention.ms", "500", ConfigSource::DynamicDefaultBroker),
            ("log.retention.hours", "2", ConfigSource::StaticBroker),
            ("log.retention.hours", "168", ConfigSource::Default),
        ]
    );
    let topic = describe_topic(&zero_config(&[("log.retention.hours", "2")]), &Overrides::new());
    assert_eq!(named(&topic, "retention.ms").value.as_deref(), Some("7200000"));
    assert_eq!(named(&topic, "write.caching").source, ConfigSource::Default);
    assert!(topic.iter().all(|entry| entry.name != "internal.segment.bytes"));
    assert!(topic.is_sorted_by_key(|entry| entry.name));

    let broker = describe_broker(&server);
    assert!(named(&broker, "node.id").read_only && !named(&broker, "log.retention.ms").read_only);
    assert_eq!(named(&broker, "node.id").source, ConfigSource::StaticBroker);
    let secret = named(&broker, "ssl.keystore.password");
    assert!(secret.sensitive && secret.value.is_none());
    let defaults = describe_broker_defaults(&server);
    assert_eq!(defaults.iter().map(|entry| entry.name).collect::<Vec<_>>(), ["log.retention.ms"]);
}

fn alteration(name: &str, op: AlterOp, value: Option<&str>) -> ConfigAlteration {
    ConfigAlteration { name: name.to_owned(), op, value: value.map(str::to_owned) }
}

#[test]
fn topic_configs_are_set_deleted_appended_and_subtracted() {
    let server = zero_config(&[]);
    let alter = |before: &[(&str, &str)], name: &str, op, value| alter_topic(&server, &overrides(before), &[alteration(name, op, value)]);
    let change = |name: &str, value: Option<&str>| vec![ConfigChange { name: name.to_owned(), value: value.map(str::to_owned) }];
    assert_eq!(alter(&[], "retention.ms", AlterOp::Set, Some("5")), Ok(change("retention.ms", Some("5"))));
    assert_eq!(alter(&[("retention.ms", "5")], "retention.ms", AlterOp::Set, Some("5")), Ok(vec![]));
    assert_eq!(alter(&[("retention.ms", "5")], "retention.ms", AlterOp::Delete, None), Ok(change("retention.ms", None)));
    // A list begins from what counts now.
    assert_eq!(alter(&[], "cleanup.policy", AlterOp::Append, Some("compact")), Ok(change("cleanup.policy", Some("delete,compact"))));
    assert_eq!(
        alter(&[("cleanup.policy", "compact,delete")], "cleanup.policy", AlterOp::Subtract, Some("delete")),
        Ok(change("cleanup.policy", Some("compact")))
    );
    assert!(matches!(alter(&[], "retention.ms", AlterOp::Append, Some("5")), Err(ConfigError::NotAList { .. })));
    assert!(matches!(alter(&[], "retention.ms", AlterOp::Set, None), Err(ConfigError::NullValue { .. })));
    assert!(matches!(
        alter(&[], "retention.msec", AlterOp::Set, Some("5")),
        Err(ConfigError::Unknown { nearest: Some("retention.ms"), .. })
    ));
    alter(&[], "min.compaction.lag.ms", AlterOp::Set, Some("9223372036854775807")).unwrap();
    let twice = [alteration("retention.ms", AlterOp::Set, Some("1")), alteration("retention.ms", AlterOp::Delete, None)];
    assert!(matches!(alter_topic(&server, &Overrides::new(), &twice), Err(ConfigError::Duplicate { .. })));
    // What another version wrote can be taken away.
    assert_eq!(
        alter(&[("from.another.version", "1")], "from.another.version", AlterOp::Delete, None),
        Ok(change("from.another.version", None))
    );
}

#[test]
fn broker_configs_change_where_their_row_lets_them() {
    let server = zero_config(&[]);
    let alter = |for_all, name: &str, value: &str| {
        alter_broker(&server, for_all, &Overrides::new(), &[alteration(name, AlterOp::Set, Some(value))])
    };
    assert!(alter(true, "log.retention.ms", "5").is_ok() && alter(false, "log.retention.ms", "5").is_ok());
    assert!(matches!(alter(false, "node.id", "2"), Err(ConfigError::ReadOnly { .. })));
    assert!(matches!(alter(true, "listeners", "PLAINTEXT://h:1"), Err(ConfigError::PerBrokerOnly { .. })));
    assert!(matches!(alter(false, "ssl.keystore.location", "/k"), Err(ConfigError::Unsupported { .. })));
    assert!(matches!(alter(true, "log.retention.ms", "0"), Err(ConfigError::NotAllowed { .. })));
    assert!(matches!(alter(true, "log.retention.ms", "x"), Err(ConfigError::IllTyped { .. })));
}

#[test]
fn http_listeners_are_none_unless_given_and_a_wrong_one_is_named() {
    let parse = |value: &str| ServerConfig::parse(None, &[("http.listeners".to_owned(), value.to_owned())]).map(|(config, _)| config);
    assert_eq!(ServerConfig::parse(None, &[]).unwrap().0.http_listeners, []);
    assert_eq!(parse("").unwrap().http_listeners, []);
    let listener = |host: &str, port| HttpListener { host: host.to_owned(), port };
    let given = parse("http://127.0.0.1:9080, HTTP://:0,http://[::1]:9081/").unwrap();
    assert_eq!(given.http_listeners, [listener("127.0.0.1", 9080), listener("", 0), listener("::1", 9081)]);
    for wrong in
        ["127.0.0.1:9080", "https://h:1", "http://h", "http://h:", "http://h:65536", "http://h:-1", "http://[::1:9080", "http://h/x:80"]
    {
        let error = parse(wrong).unwrap_err().to_string();
        assert!(
            error.contains("http.listeners") && error.contains(&format!("`{wrong}`")) && error.contains("http://127.0.0.1:9080"),
            "{error}"
        );
    }
}
