//! Settings of client, producer and consumer: each declared once, with its Kafka name, default, range and meaning.
//!
//! Owns the names and what may be set; never reads a file or the environment.

use std::time::Duration;

use ottla_model::Acks;
use ottla_wire::compress::Compression;

use crate::{Assignor, ClientError};

/// A type that a setting can have, read from the text form Kafka's property files use.
trait Setting: Sized {
    fn parse(text: &str) -> Result<Self, String>;
}

impl Setting for bool {
    fn parse(text: &str) -> Result<bool, String> {
        text.trim().parse().map_err(|_| "true or false".to_owned())
    }
}
impl Setting for String {
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.trim().to_owned())
    }
}
impl Setting for Vec<String> {
    fn parse(text: &str) -> Result<Vec<String>, String> {
        Ok(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
    }
}
impl Setting for Option<String> {
    fn parse(text: &str) -> Result<Option<String>, String> {
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    }
}
impl Setting for Vec<Assignor> {
    fn parse(text: &str) -> Result<Vec<Assignor>, String> {
        let each = |name: String| Assignor::from_name(&name).ok_or_else(|| "`range`, `cooperative-sticky`, or both".to_owned());
        Vec::<String>::parse(text)?.into_iter().map(each).collect()
    }
}
impl Setting for GroupProtocol {
    fn parse(text: &str) -> Result<GroupProtocol, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "classic" => Ok(GroupProtocol::Classic),
            "consumer" => Ok(GroupProtocol::Consumer),
            _ => Err("`classic` or `consumer`".to_owned()),
        }
    }
}
impl Setting for Acks {
    fn parse(text: &str) -> Result<Acks, String> {
        match text.trim() {
            "all" | "-1" => Ok(Acks::All),
            "1" => Ok(Acks::Leader),
            "0" => Ok(Acks::None),
            _ => Err("`all`, `1` or `0`".to_owned()),
        }
    }
}
impl Setting for Compression {
    fn parse(text: &str) -> Result<Compression, String> {
        match text.trim() {
            "none" => Ok(Compression::None),
            "gzip" => Ok(Compression::Gzip),
            "snappy" => Ok(Compression::Snappy),
            "lz4" => Ok(Compression::Lz4),
            "zstd" => Ok(Compression::Zstd),
            _ => Err("`none`, `gzip`, `snappy`, `lz4` or `zstd`".to_owned()),
        }
    }
}

/// Numbers carry a range: the smallest and largest value that makes sense.
trait Bounded: Sized {
    fn check(&self, min: u64, max: u64) -> bool;
}
macro_rules! numbers {
    ($($t:ty),*) => {$(
        impl Setting for $t {
            fn parse(text: &str) -> Result<$t, String> {
                text.trim().parse().map_err(|_| "a whole number".to_owned())
            }
        }
        impl Bounded for $t {
            fn check(&self, min: u64, max: u64) -> bool {
                (min..=max).contains(&u64::from(*self))
            }
        }
    )*};
}
numbers!(u32, u64);

macro_rules! settings {
    (
        $(#[$struct_doc:meta])* $name:ident;
        $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $property:literal $(, $min:literal..=$max:literal)?;)*
    ) => {
        $(#[$struct_doc])*
        #[derive(Clone, Debug)]
        pub struct $name { $(pub(crate) $field: $type,)* }

        impl Default for $name {
            fn default() -> Self { Self { $($field: $default,)* } }
        }

        impl $name {
            /// Every property that [`set`](Self::set) knows, by its Kafka name.
            pub const PROPERTIES: &'static [&'static str] = &[$($property),*];

            $($(#[$doc])*
            #[doc = concat!("\n\nKafka's `", $property, "`.")]
            #[must_use]
            pub fn $field(mut self, value: impl Into<$type>) -> Self {
                self.$field = value.into();
                self
            })*

            /// Sets a property by its Kafka name and text form, as found in a `.properties` file.
            ///
            /// # Errors
            /// [`ClientError::UnknownProperty`] and [`ClientError::InvalidProperty`], both naming what would be right.
            pub fn set(mut self, property: &str, value: &str) -> Result<Self, ClientError> {
                match property {
                    $($property => {
                        self.$field = <$type as Setting>::parse(value)
                            .map_err(|expected| invalid($property, value, expected))?;
                    })*
                    _ => return Err(ClientError::UnknownProperty {
                        property: property.to_owned(),
                        known: Self::PROPERTIES,
                    }),
                }
                Ok(self)
            }

            fn check_ranges(&self) -> Result<(), ClientError> {
                $($(
                    if !self.$field.check($min, $max) {
                        return Err(invalid($property, &self.$field.to_string(), format!("{} to {}", $min, $max)));
                    }
                )?)*
                Ok(())
            }
        }
    };
}

pub(crate) fn invalid(property: &'static str, value: &str, expected: impl Into<String>) -> ClientError {
    ClientError::InvalidProperty { property, value: value.to_owned(), expected: expected.into() }
}

settings! {
    /// How to reach a cluster. Shared by every producer, consumer and admin made from one [`Client`](crate::Client).
    ///
    /// ```
    /// use ottla_client::ClientConfig;
    /// let config = ClientConfig::new("localhost:9092").client_id("billing").request_timeout_ms(5_000u32);
    /// ```
    ClientConfig;

    /// `host:port` of some brokers; one that answers is enough, the rest of the cluster is learnt from it.
    bootstrap_servers: Vec<String> = vec!["localhost:9092".to_owned()], "bootstrap.servers";
    /// The name this client gives itself; brokers log it and count quotas by it.
    client_id: String = "ottla-client".to_owned(), "client.id";
    /// Where this client is (KIP-392): brokers may then send it to a replica close by.
    client_rack: String = String::new(), "client.rack";
    /// How long to wait for the answer to one request before its connection is given up. At least 1.
    request_timeout_ms: u32 = 30_000, "request.timeout.ms", 1..=2_147_483_647;
    /// How long one call of [`Admin`](crate::Admin), or one look-up, may take with all its retries.
    default_api_timeout_ms: u32 = 60_000, "default.api.timeout.ms", 1..=2_147_483_647;
    /// Metadata older than this is asked for again even when nothing failed.
    metadata_max_age_ms: u32 = 300_000, "metadata.max.age.ms", 1..=2_147_483_647;
    /// A topic not used for so long is no longer asked for.
    metadata_max_idle_ms: u32 = 300_000, "metadata.max.idle.ms", 5_000..=2_147_483_647;
    /// First wait before a failed request is repeated; doubles up to `retry.backoff.max.ms`, give or take a fifth.
    retry_backoff_ms: u32 = 100, "retry.backoff.ms", 0..=2_147_483_647;
    /// Longest wait before a failed request is repeated.
    retry_backoff_max_ms: u32 = 1_000, "retry.backoff.max.ms", 0..=2_147_483_647;
    /// First wait before a lost connection is opened again; doubles up to `reconnect.backoff.max.ms`.
    reconnect_backoff_ms: u32 = 50, "reconnect.backoff.ms", 0..=2_147_483_647;
    /// Longest wait before a lost connection is opened again.
    reconnect_backoff_max_ms: u32 = 1_000, "reconnect.backoff.max.ms", 0..=2_147_483_647;
    /// How long to wait for a TCP connection and the exchange of versions on it.
    socket_connection_setup_timeout_ms: u32 = 10_000, "socket.connection.setup.timeout.ms", 1..=2_147_483_647;
    /// Requests waiting for answers on one connection; more wait their turn.
    max_in_flight_requests_per_connection: u32 = 64, "ottla.max.in.flight.requests", 1..=1_000;
    /// Largest answer accepted. A broker that announces more is cut off: its length cannot be trusted.
    receive_message_max_bytes: u32 = 104_857_600, "receive.message.max.bytes", 1_024..=2_147_483_647;
}

impl ClientConfig {
    /// Defaults, with the given `bootstrap.servers` (separated by commas).
    pub fn new(bootstrap_servers: &str) -> ClientConfig {
        let servers = bootstrap_servers.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect::<Vec<_>>();
        ClientConfig::default().bootstrap_servers(servers)
    }

    pub(crate) fn validate(&self) -> Result<(), ClientError> {
        self.check_ranges()?;
        if self.bootstrap_servers.is_empty() {
            return Err(invalid("bootstrap.servers", "", "at least one `host:port`, e.g. `localhost:9092`"));
        }
        for server in &self.bootstrap_servers {
            let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none_or(|port| port == 0) {
                return Err(invalid("bootstrap.servers", server, "`host:port`, e.g. `localhost:9092`"));
            }
        }
        Ok(())
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }
}

settings! {
    /// How a [`Producer`](crate::Producer) gathers, sends and repeats. The defaults are Kafka's.
    ///
    /// ```
    /// use ottla_client::{Compression, ProducerConfig};
    /// let config = ProducerConfig::default().linger_ms(20u32).batch_size(262_144u32).compression_type(Compression::Lz4);
    /// ```
    ProducerConfig;

    /// Who must have a record before it counts as sent.
    acks: Acks = Acks::All, "acks";
    /// No record twice and none out of order, whatever is repeated (KIP-98). Needs `acks=all`; off with any other unless set.
    enable_idempotence: Option<bool> = None, "enable.idempotence";
    /// Records of a partition are gathered into batches of this many bytes.
    batch_size: u32 = 16_384, "batch.size", 0..=1_073_741_824;
    /// How long a batch that is not full waits for more records.
    linger_ms: u32 = 5, "linger.ms", 0..=2_147_483_647;
    /// Memory for records not yet acknowledged; a send beyond it waits, at most `max.block.ms`.
    buffer_memory: u64 = 33_554_432, "buffer.memory", 1_024..=1_073_741_824;
    /// How long a send may wait for metadata or for memory.
    max_block_ms: u32 = 60_000, "max.block.ms", 0..=2_147_483_647;
    /// Largest request, and so the largest record, that is sent.
    max_request_size: u32 = 1_048_576, "max.request.size", 1_024..=1_073_741_824;
    /// From send to the final word on a record, all repeats included. At least `linger.ms` + `request.timeout.ms`.
    delivery_timeout_ms: u32 = 120_000, "delivery.timeout.ms", 1..=2_147_483_647;
    /// How often a batch is repeated; bounded by `delivery.timeout.ms` anyway.
    retries: u32 = 2_147_483_647, "retries";
    /// Requests to one broker that wait for their answer. Idempotence allows at most 5: brokers remember as many batches.
    max_in_flight_requests_per_connection: u32 = 5, "max.in.flight.requests.per.connection", 1..=1_000;
    /// How batches are packed.
    compression_type: Compression = Compression::None, "compression.type";
    /// Whether an unknown topic may be made on first use (if the broker's `auto.create.topics.enable` allows it too).
    allow_auto_create_topics: bool = true, "allow.auto.create.topics";
    /// What a producer of transactions is known by, through its restarts: whoever comes with the same one fences the one before
    /// and aborts what it left open (KIP-98). With it records go by [`Producer::begin`](crate::Producer::begin) only.
    transactional_id: Option<String> = None, "transactional.id";
    /// After how long the cluster aborts a transaction that is not ended. At most the brokers' `transaction.max.timeout.ms`.
    transaction_timeout_ms: u32 = 60_000, "transaction.timeout.ms", 1..=2_147_483_647;
}

impl Setting for Option<bool> {
    fn parse(text: &str) -> Result<Option<bool>, String> {
        bool::parse(text).map(Some)
    }
}

impl ProducerConfig {
    /// Whether sequences are used: as set, else on exactly when `acks=all` (as in Kafka 3 and later). Transactions need them.
    pub(crate) fn idempotent(&self) -> bool {
        self.enable_idempotence.unwrap_or(self.acks == Acks::All || self.transactional_id.is_some())
    }

    pub(crate) fn validate(&self, client: &ClientConfig) -> Result<(), ClientError> {
        self.check_ranges()?;
        if self.transactional_id.as_deref() == Some("") {
            return Err(invalid("transactional.id", "", "a name, or nothing at all"));
        }
        if self.transactional_id.is_some() && !self.idempotent() {
            return Err(invalid("enable.idempotence", "false", "true with a transactional.id"));
        }
        if self.idempotent() {
            if self.acks != Acks::All {
                return Err(invalid("acks", &self.acks.to_wire().to_string(), "`all` when enable.idempotence=true"));
            }
            if self.max_in_flight_requests_per_connection > 5 {
                let value = self.max_in_flight_requests_per_connection.to_string();
                return Err(invalid("max.in.flight.requests.per.connection", &value, "at most 5 when enable.idempotence=true"));
            }
            if self.retries == 0 {
                return Err(invalid("retries", "0", "at least 1 when enable.idempotence=true"));
            }
        }
        let least = u64::from(self.linger_ms) + u64::from(client.request_timeout_ms);
        if u64::from(self.delivery_timeout_ms) < least {
            let expected = format!("at least {least}, linger.ms + request.timeout.ms");
            return Err(invalid("delivery.timeout.ms", &self.delivery_timeout_ms.to_string(), expected));
        }
        if self.buffer_memory < u64::from(self.batch_size) {
            return Err(invalid("buffer.memory", &self.buffer_memory.to_string(), format!("at least {}, the batch.size", self.batch_size)));
        }
        Ok(())
    }
}

/// Whether records of transactions that are still open, or were aborted, are seen (`isolation.level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum IsolationLevel {
    /// Everything up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Only records of committed transactions and of none, up to the last stable offset.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn to_wire(self) -> i8 {
        match self {
            IsolationLevel::ReadUncommitted => 0,
            IsolationLevel::ReadCommitted => 1,
        }
    }
}

impl Setting for IsolationLevel {
    fn parse(text: &str) -> Result<IsolationLevel, String> {
        match text.trim() {
            "read_uncommitted" => Ok(IsolationLevel::ReadUncommitted),
            "read_committed" => Ok(IsolationLevel::ReadCommitted),
            _ => Err("`read_uncommitted` or `read_committed`".to_owned()),
        }
    }
}

/// What to do when a partition has no position, or one that the log no longer (or not yet) holds (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OffsetReset {
    /// Go on at the first record there is.
    Earliest,
    /// Go on with what comes next.
    #[default]
    Latest,
    /// Fail with [`ClientError::OffsetOutOfRange`] or [`ClientError::NoPosition`].
    None,
}

impl Setting for OffsetReset {
    fn parse(text: &str) -> Result<OffsetReset, String> {
        match text.trim() {
            "earliest" => Ok(OffsetReset::Earliest),
            "latest" => Ok(OffsetReset::Latest),
            "none" => Ok(OffsetReset::None),
            _ => Err("`earliest`, `latest` or `none`".to_owned()),
        }
    }
}

/// How the members of a group come to their partitions (`group.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum GroupProtocol {
    /// One of the members assigns, by `partition.assignment.strategy`.
    #[default]
    Classic,
    /// The coordinator assigns, and members give up only what moves (KIP-848).
    Consumer,
}

settings! {
    /// How a [`Consumer`](crate::Consumer) fetches, and what it is in a group. The defaults are Kafka's.
    ///
    /// ```
    /// use ottla_client::{ConsumerConfig, IsolationLevel, OffsetReset};
    /// let config = ConsumerConfig::default()
    ///     .auto_offset_reset(OffsetReset::Earliest)
    ///     .isolation_level(IsolationLevel::ReadCommitted);
    /// ```
    ConsumerConfig;

    /// A broker answers a fetch once it has this many bytes, or after `fetch.max.wait.ms`.
    fetch_min_bytes: u32 = 1, "fetch.min.bytes", 0..=2_147_483_647;
    /// Most bytes in the answer to one fetch; the first batch comes even if it alone is larger.
    fetch_max_bytes: u32 = 52_428_800, "fetch.max.bytes", 1..=2_147_483_647;
    /// How long a broker may hold a fetch for which it has too little. Less than `request.timeout.ms`.
    fetch_max_wait_ms: u32 = 500, "fetch.max.wait.ms", 0..=2_147_483_647;
    /// Most bytes of one partition in the answer to one fetch.
    max_partition_fetch_bytes: u32 = 1_048_576, "max.partition.fetch.bytes", 1..=2_147_483_647;
    /// Which records of transactions are seen.
    isolation_level: IsolationLevel = IsolationLevel::ReadUncommitted, "isolation.level";
    /// Where to go on when a partition has no valid position.
    auto_offset_reset: OffsetReset = OffsetReset::Latest, "auto.offset.reset";
    /// Whether batches are checked against their checksum.
    check_crcs: bool = true, "check.crcs";
    /// Most bytes that one compressed batch may unpack to; beyond it the batch is refused.
    decompressed_batch_max_bytes: u32 = 268_435_456, "ottla.decompressed.batch.max.bytes", 1_024..=2_147_483_647;
    /// Whether asking for an unknown topic may make it (if the broker's `auto.create.topics.enable` allows it too).
    allow_auto_create_topics: bool = true, "allow.auto.create.topics";
    /// The group: who subscribes is a member of it, and who assigns partitions to itself commits offsets by its name.
    group_id: Option<String> = None, "group.id";
    /// Makes a member static (KIP-345): away for less than its session, it comes back to the partitions it had.
    group_instance_id: Option<String> = None, "group.instance.id";
    /// How the group's members come to their partitions.
    group_protocol: GroupProtocol = GroupProtocol::Classic, "group.protocol";
    /// With `group.protocol=consumer`: the coordinator's assignor; it chooses where none is named.
    group_remote_assignor: Option<String> = None, "group.remote.assignor";
    /// With `group.protocol=classic`: what the member can work by, what it likes best first. Only where all of them are
    /// cooperative does a member keep what it has through a rebalance.
    partition_assignment_strategy: Vec<Assignor> = vec![Assignor::Range, Assignor::CooperativeSticky], "partition.assignment.strategy";
    /// With `group.protocol=classic`: without a heartbeat for so long, a member is taken for dead.
    session_timeout_ms: u32 = 45_000, "session.timeout.ms", 1..=2_147_483_647;
    /// With `group.protocol=classic`: how often a member tells that it is alive. Less than `session.timeout.ms`.
    heartbeat_interval_ms: u32 = 3_000, "heartbeat.interval.ms", 1..=2_147_483_647;
    /// How long a member may work on what it was given before it leaves; also how long it may take in a rebalance.
    max_poll_interval_ms: u32 = 300_000, "max.poll.interval.ms", 1..=2_147_483_647;
    /// Whether what was handed out is committed by and by, and when partitions are given up.
    enable_auto_commit: bool = true, "enable.auto.commit";
    /// How often, with `enable.auto.commit`.
    auto_commit_interval_ms: u32 = 5_000, "auto.commit.interval.ms", 0..=2_147_483_647;
}

impl ConsumerConfig {
    pub(crate) fn validate(&self, client: &ClientConfig) -> Result<(), ClientError> {
        self.check_ranges()?;
        if self.heartbeat_interval_ms >= self.session_timeout_ms {
            let expected = format!("less than session.timeout.ms ({})", self.session_timeout_ms);
            return Err(invalid("heartbeat.interval.ms", &self.heartbeat_interval_ms.to_string(), expected));
        }
        if self.partition_assignment_strategy.is_empty() {
            return Err(invalid("partition.assignment.strategy", "", "`range`, `cooperative-sticky`, or both"));
        }
        if self.fetch_max_wait_ms >= client.request_timeout_ms {
            let expected = format!("less than request.timeout.ms ({})", client.request_timeout_ms);
            return Err(invalid("fetch.max.wait.ms", &self.fetch_max_wait_ms.to_string(), expected));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_set_by_kafka_name_and_text() {
        let config = ProducerConfig::default().set("linger.ms", "25").unwrap().set("acks", "1").unwrap();
        assert_eq!((config.linger_ms, config.acks), (25, Acks::Leader));
        assert!(!config.idempotent(), "acks=1 turns the default off");
    }

    #[test]
    fn unknown_properties_and_ill_typed_values_name_what_would_be_right() {
        let unknown = ProducerConfig::default().set("linger", "25").unwrap_err();
        assert_eq!(unknown.to_string(), "`linger` is not a property here; did you mean `linger.ms`?");
        let ill_typed = ProducerConfig::default().set("batch.size", "big").unwrap_err();
        assert_eq!(ill_typed.to_string(), "`batch.size` cannot be `big`: expected a whole number");
    }

    #[test]
    fn contradictions_are_refused() {
        let client = ClientConfig::default();
        let err = |config: ProducerConfig| config.validate(&client).unwrap_err().to_string();
        assert!(err(ProducerConfig::default().acks(Acks::Leader).enable_idempotence(true)).contains("`acks` cannot be `1`"));
        assert!(err(ProducerConfig::default().max_in_flight_requests_per_connection(6u32)).contains("at most 5"));
        assert!(err(ProducerConfig::default().delivery_timeout_ms(30_000u32)).contains("at least 30005"));
        assert!(ProducerConfig::default().validate(&client).is_ok());
    }

    #[test]
    fn bootstrap_servers_need_host_and_port() {
        assert!(ClientConfig::new("a:9092, b:9093").validate().is_ok());
        for bad in ["", "localhost", ":9092", "localhost:x", "localhost:0"] {
            assert!(ClientConfig::new(bad).validate().is_err(), "{bad}");
        }
    }
}
