//! What operators and clients write: `server.properties`, overrides on the command line, configs of topics and brokers.

use std::sync::OnceLock;

use ottla_model::config::{
    AlterOp, ConfigAlteration, Overrides, ServerConfig, TopicConfig, alter_broker, alter_topic, describe_broker, describe_topic,
    parse_properties, validate_topic_overrides,
};

use crate::corpus::Named;
use crate::memory::bounded;

const MEMORY_FACTOR: usize = 64;
/// The table's defaults are parsed along with whatever comes.
const MEMORY_SLACK_BYTES: usize = 1 << 20;

/// The text of a `server.properties`. What it says is the same when its pairs are given on the command line.
pub(super) fn server_properties(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let bytes_max = text.len() * MEMORY_FACTOR + MEMORY_SLACK_BYTES;
    let parsed = bounded(bytes_max, "server.properties", || ServerConfig::parse(Some(&text), &[]));
    let pairs = bounded(bytes_max, "properties", || parse_properties(&text));
    let Ok(pairs) = pairs else { return assert!(parsed.is_err(), "a text that cannot be read makes no configuration") };
    let by_overrides = ServerConfig::parse(Some(""), &pairs);
    match (parsed, by_overrides) {
        (Ok((config, _)), Ok((other, _))) => {
            assert_eq!(config, other);
            assert!(!config.log_dirs.is_empty() && !config.listeners.is_empty());
            assert!(!describe_broker(&config).is_empty());
        }
        (Err(error), Err(other)) => {
            // Of several errors either may come first: the file's order is not that of the command line.
            assert!(!error.to_string().is_empty() && !other.to_string().is_empty());
        }
        (one, other) => panic!("in a file: {one:?}\non the command line: {other:?}"),
    }
}

pub(super) fn server_properties_seeds() -> Vec<Named> {
    [
        ("empty", ""),
        (
            "kafka",
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
             listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
             advertised.listeners=PLAINTEXT://localhost:9092\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs=/tmp/a,/tmp/b\n\
             num.partitions=3\nlog.retention.hours=168\nlog.segment.bytes=1073741824\n",
        ),
        ("broker-alone", "node.id=1\nprocess.roles=broker,controller\nlisteners=PLAINTEXT://localhost:9092\nlog.dirs=d\n"),
        ("ipv6", "node.id=1\nprocess.roles=broker,controller\nlisteners=PLAINTEXT://[::1]:9092\nlog.dirs=d\n"),
        ("escapes", "a\\ b\\=c\\:=x\\ty\\u00e9\nlog.dirs=a,\\\n   b\nnode.id : 1\r\n! c\n# d\\\nface=\\uD83D\\uDE00"),
        ("bad-escape", "a=\\u12G4"),
        ("http", "node.id=1\nprocess.roles=broker,controller\nhttp.listeners=http://127.0.0.1:9080,HTTP://[::1]:0/\nlog.dirs=d\n"),
        ("bad-http", "node.id=1\nprocess.roles=broker,controller\nhttp.listeners=http://h/x:80,https://h:1\nlog.dirs=d\n"),
        ("bad-port", "listeners=PLAINTEXT://localhost:99999\nlog.dirs=d\nnode.id=1\n"),
        ("overrides", "max.connections.per.ip.overrides=127.0.0.1:5,host:0\nmax.connections.per.ip=0\n"),
        ("huge-numbers", "num.partitions=99999999999999999999\nlog.retention.ms=9223372036854775807\nlog.retention.hours=2147483647\n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}

pub(super) const SERVER_WORDS: &[&[u8]] = &[
    b"node.id=",
    b"process.roles=broker,controller\n",
    b"listeners=PLAINTEXT://",
    b"advertised.listeners=",
    b"controller.quorum.voters=",
    b"log.dirs=",
    b"log.retention.hours=",
    b"PLAINTEXT://:9092",
    b"CONTROLLER://",
    b"http.listeners=http://",
    b"[::1]",
    b"://",
    b":0",
    b",",
    b"=",
    b"\\",
    b"\n",
    b"\\u0000",
    b"-1",
    b"9223372036854775807",
    b"2147483648",
    b"max.connections.per.ip.overrides=",
];

fn server() -> &'static ServerConfig {
    static SERVER: OnceLock<ServerConfig> = OnceLock::new();
    SERVER.get_or_init(|| ServerConfig::parse(None, &[]).map_or_else(|e| panic!("the zero configuration: {e}"), |(config, _)| config))
}

/// Lines of `op name=value`, where `op` is one of `+`, `-`, `!` (delete) or nothing (set): changes of a topic, and of a broker.
pub(super) fn alterations(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let alterations: Vec<ConfigAlteration> = text.lines().take(50).map(alteration).collect();
    let none = Overrides::new();
    let bytes_max = text.len() * MEMORY_FACTOR + MEMORY_SLACK_BYTES;
    if let Ok(changes) = bounded(bytes_max, "a topic's configs", || alter_topic(server(), &none, &alterations)) {
        let after: Overrides = changes.into_iter().filter_map(|change| Some((change.name, change.value?))).collect();
        assert_eq!(validate_topic_overrides(server(), &after), Ok(()), "what was let in holds together");
        assert!(TopicConfig::resolve(server(), &after).is_ok());
        assert!(!describe_topic(server(), &after).is_empty());
        let set: Vec<ConfigAlteration> = after
            .iter()
            .map(|(name, value)| ConfigAlteration { name: name.clone(), op: AlterOp::Set, value: Some(value.clone()) })
            .collect();
        assert_eq!(alter_topic(server(), &after, &set), Ok(Vec::new()), "setting what is set changes nothing");
        let gone: Vec<ConfigAlteration> =
            after.keys().map(|name| ConfigAlteration { name: name.clone(), op: AlterOp::Delete, value: None }).collect();
        assert_eq!(alter_topic(server(), &after, &gone).map(|changes| changes.len()), Ok(after.len()));
    }
    for for_all in [false, true] {
        let Ok(changes) = bounded(bytes_max, "a broker's configs", || alter_broker(server(), for_all, &none, &alterations)) else {
            continue;
        };
        let after: Overrides = changes.into_iter().filter_map(|change| Some((change.name, change.value?))).collect();
        let (default, own) = if for_all { (&after, &none) } else { (&none, &after) };
        assert!(server().with_dynamic(default, own).is_ok(), "what was let in holds together: {after:?}");
    }
}

fn alteration(line: &str) -> ConfigAlteration {
    let (op, pair) = match line.split_at_checked(1) {
        Some(("+", pair)) => (AlterOp::Append, pair),
        Some(("-", pair)) => (AlterOp::Subtract, pair),
        Some(("!", pair)) => (AlterOp::Delete, pair),
        _ => (AlterOp::Set, line),
    };
    let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value.to_owned())));
    ConfigAlteration { name: name.to_owned(), op, value }
}

pub(super) fn alterations_seeds() -> Vec<Named> {
    [
        ("topic", "retention.ms=1000\ncleanup.policy=compact\n+cleanup.policy=delete\nsegment.bytes=1048576\n"),
        ("topic-numbers", "compression.type=zstd\ncompression.zstd.level=-131072\nmin.cleanable.dirty.ratio=0.5\n"),
        ("topic-conflict", "min.compaction.lag.ms=10\nmax.compaction.lag.ms=5\n"),
        ("topic-delete", "!retention.ms\n-cleanup.policy=delete\n"),
        ("broker", "log.retention.ms=1000\nmax.connections=10\n"),
        ("unknown", "retention.mss=1\n=\n\n+\n-=\n!"),
        ("not-a-number", "min.cleanable.dirty.ratio=NaN\nretention.ms=0x10\nretention.bytes= 5 \n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}

pub(super) const ALTERATION_WORDS: &[&[u8]] = &[
    b"retention.ms=",
    b"cleanup.policy=",
    b"compact",
    b"delete",
    b"segment.bytes=",
    b"segment.ms=",
    b"max.message.bytes=",
    b"min.cleanable.dirty.ratio=",
    b"write.caching=true",
    b"log.retention.ms=",
    b"max.connections.per.ip.overrides=",
    b",",
    b"\n+",
    b"\n-",
    b"\n!",
    b"-1",
    b"NaN",
    b"inf",
    b"9223372036854775807",
];
