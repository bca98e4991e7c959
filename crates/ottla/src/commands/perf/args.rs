//! The arguments of `ottla perf`, and the options that they come to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ottla_perf::audit::AuditOptions;
use ottla_perf::commits::{CommitAmount, CommitsOptions, GROUPS_MAX, Groups, OFFSETS_MAX};
use ottla_perf::connections::ConnectionsOptions;
use ottla_perf::consume::{ConsumeOptions, FETCH_BYTES_MAX};
use ottla_perf::end_to_end::{EndToEndOptions, RATE_MAX, RECORD_BYTES_MIN};
use ottla_perf::history::{CheckOptions, HistoryOptions, MoveOptions};
use ottla_perf::ledger::{LedgerOptions, RECORD_BYTES_MIN as LEDGER_RECORD_BYTES_MIN};
use ottla_perf::limit::{LimitOptions, WriteTo};
use ottla_perf::membership::{GroupOptions, MEMBERS_MAX, Protocol};
use ottla_perf::produce::{CONNECTIONS_MAX, IN_FLIGHT_MAX, ProduceOptions};
use ottla_perf::ready::ReadyOptions;
use ottla_perf::transactions::{RECORDS_MAX, TransactionVersion, TransactionsOptions};
use ottla_perf::{Acks, Amount, BatchShape, Bootstrap, Compression, Processes};

use crate::args::name_value;
use crate::error::CliError;

/// The largest record that is built: what a broker can be configured to take.
const RECORD_BYTES_MAX: u64 = 1 << 28;
/// What is produced when nothing says how much.
const MIB_DEFAULT: u64 = 1024;
/// A day: longer is a mistake.
const SECONDS_MAX: u64 = 86_400;

/// The topic, and whether it is made first.
#[derive(Debug, Clone, Args)]
pub struct Topic {
    /// The topic.
    pub topic: String,
    /// How many of its partitions are used, from 0 on [default: all].
    #[arg(long, short, value_name = "N", value_parser = positive(100_000))]
    pub partitions: Option<usize>,
    /// Make the topic first, with so many partitions; one that exists already is an error.
    #[arg(long, requires = "partitions")]
    pub create: bool,
    /// How many brokers hold each partition of the new topic [default: the broker's].
    #[arg(long, value_name = "N", requires = "create", value_parser = clap::value_parser!(i16).range(1..))]
    pub replication_factor: Option<i16>,
    /// A config of the new topic; may be repeated.
    #[arg(long = "config", short, value_name = "NAME=VALUE", requires = "create", value_parser = name_value)]
    pub configs: Vec<(String, String)>,
}

/// Whose cost is to be shown.
#[derive(Debug, Clone, Args)]
pub struct Broker {
    /// Process ids of the brokers: adds the processor time, memory and threads they use.
    #[arg(long = "pid", value_name = "PID", value_delimiter = ',')]
    process_ids: Vec<u32>,
}

impl Broker {
    fn processes(&self) -> Processes {
        Processes::new(self.process_ids.clone())
    }
}

/// How much is to be moved.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct AmountArgs {
    /// How many MiB of batches.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..1 << 30))]
    mib: Option<u64>,
    /// How many records.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// For how long.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: Option<u64>,
}

impl AmountArgs {
    fn amount(&self) -> Option<Amount> {
        let bytes = self.mib.map(|mib| Amount::Bytes(mib << 20));
        let time = self.seconds.map(|seconds| Amount::Time(Duration::from_secs(seconds)));
        bytes.or(self.records.map(Amount::Records)).or(time)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientArg {
    /// Bytes made beforehand, over blocking sockets: the broker is measured.
    Raw,
    /// Ottla's own client: what its users get.
    Native,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AcksArg {
    /// Every in-sync replica has it.
    All,
    /// The leader has written it.
    #[value(name = "1")]
    Leader,
    /// Nobody: it was sent.
    #[value(name = "0")]
    None,
}

impl AcksArg {
    fn acks(self) -> Acks {
        match self {
            AcksArg::All => Acks::All,
            AcksArg::Leader => Acks::Leader,
            AcksArg::None => Acks::None,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl CompressionArg {
    fn compression(self) -> Compression {
        match self {
            CompressionArg::None => Compression::None,
            CompressionArg::Gzip => Compression::Gzip,
            CompressionArg::Snappy => Compression::Snappy,
            CompressionArg::Lz4 => Compression::Lz4,
            CompressionArg::Zstd => Compression::Zstd,
        }
    }
}

/// What a batch is like.
#[derive(Debug, Clone, Args)]
pub struct BatchArgs {
    /// Bytes of each record's value.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = positive(RECORD_BYTES_MAX))]
    record_size: usize,
    /// Records of each batch.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = positive(1_000_000))]
    batch_records: usize,
}

impl BatchArgs {
    fn shape(&self, compression: Compression) -> BatchShape {
        BatchShape { record_bytes: self.record_size, records: self.batch_records, compression }
    }
}

#[derive(Debug, Args)]
pub struct ProduceArgs {
    #[command(flatten)]
    pub topic: Topic,
    #[command(flatten)]
    batch: BatchArgs,
    /// How batches are packed.
    #[arg(long, short = 'z', value_enum, default_value_t = CompressionArg::None)]
    compression: CompressionArg,
    #[command(flatten)]
    amount: AmountArgs,
    /// Partitions that one request writes to, a batch for each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive(100_000), conflicts_with = "properties")]
    partitions_per_request: usize,
    /// Connections, dealt to the leaders; with the native client, producers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive(CONNECTIONS_MAX as u64))]
    connections: usize,
    /// Requests on one connection that may wait for their answers.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive(IN_FLIGHT_MAX as u64), conflicts_with = "properties")]
    in_flight: usize,
    /// Who must have a record before it is answered.
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Which client sends.
    #[arg(long, value_enum, default_value_t = ClientArg::Raw)]
    pub client: ClientArg,
    /// A property of the native producer by its Kafka name; may be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_value)]
    pub properties: Vec<(String, String)>,
    #[command(flatten)]
    broker: Broker,
}

impl ProduceArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> Result<ProduceOptions, CliError> {
        check_properties(self.client, &self.properties)?;
        Ok(ProduceOptions {
            bootstrap,
            topic: self.topic.topic.clone(),
            partitions: self.topic.partitions,
            batch: self.batch.shape(self.compression.compression()),
            partitions_per_request: self.partitions_per_request,
            connections: self.connections,
            in_flight: self.in_flight,
            acks: self.acks.acks(),
            amount: self.amount.amount().unwrap_or(Amount::Bytes(MIB_DEFAULT << 20)),
            processes: self.broker.processes(),
        })
    }
}

#[derive(Debug, Args)]
pub struct ConsumeArgs {
    /// The topic.
    topic: String,
    /// How many of its partitions are read, from 0 on [default: all].
    #[arg(long, short, value_name = "N", value_parser = positive(100_000))]
    partitions: Option<usize>,
    #[command(flatten)]
    amount: AmountArgs,
    /// Connections, dealt to the leaders, and no more than partitions; with the native client, consumers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive(CONNECTIONS_MAX as u64))]
    connections: usize,
    /// Bytes that one fetch asks for.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(FETCH_BYTES_MAX)))]
    fetch_bytes: u32,
    /// Do not look at CRCs and offsets: less work beside the broker.
    #[arg(long)]
    no_check: bool,
    /// Which client reads.
    #[arg(long, value_enum, default_value_t = ClientArg::Raw)]
    pub client: ClientArg,
    /// A property of the native consumer by its Kafka name; may be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_value)]
    pub properties: Vec<(String, String)>,
    #[command(flatten)]
    broker: Broker,
}

impl ConsumeArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> Result<ConsumeOptions, CliError> {
        check_properties(self.client, &self.properties)?;
        Ok(ConsumeOptions {
            bootstrap,
            topic: self.topic.clone(),
            partitions: self.partitions,
            connections: self.connections,
            fetch_bytes: self.fetch_bytes,
            amount: self.amount.amount(),
            check: !self.no_check,
            processes: self.broker.processes(),
        })
    }
}

fn check_properties(client: ClientArg, properties: &[(String, String)]) -> Result<(), CliError> {
    match properties.first() {
        Some((name, _)) if client == ClientArg::Raw => {
            Err(CliError::usage(format!("the raw client has no property `{name}`; --property goes with --client native")))
        }
        _ => Ok(()),
    }
}

#[derive(Debug, Args)]
pub struct EndToEndArgs {
    #[command(flatten)]
    pub topic: Topic,
    /// Records a second, each a request of its own.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=RATE_MAX))]
    rate: u64,
    /// For how long, the warm-up included.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// What is sent in the first so many seconds is not timed.
    #[arg(long, value_name = "S", default_value_t = 2)]
    warm_up_seconds: u64,
    /// Bytes of each record's value.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = between(RECORD_BYTES_MIN, RECORD_BYTES_MAX))]
    record_size: usize,
    /// Who must have a record before it is answered.
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    #[command(flatten)]
    broker: Broker,
}

impl EndToEndArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> EndToEndOptions {
        EndToEndOptions {
            bootstrap,
            topic: self.topic.topic.clone(),
            partitions: self.topic.partitions.unwrap_or(1),
            rate_per_s: self.rate,
            time: Duration::from_secs(self.seconds),
            // Half of a short run is timed all the same.
            warm_up: Duration::from_secs(self.warm_up_seconds).min(Duration::from_secs(self.seconds) / 2),
            record_bytes: self.record_size,
            acks: self.acks.acks(),
            processes: self.broker.processes(),
        }
    }
}

#[derive(Debug, Args)]
pub struct ConnectionsArgs {
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = positive(ottla_perf::connections::CONNECTIONS_MAX as u64))]
    count: usize,
    /// How long they are held once all are open.
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=SECONDS_MAX))]
    hold_seconds: u64,
    #[command(flatten)]
    broker: Broker,
}

impl ConnectionsArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> ConnectionsOptions {
        let (hold, processes) = (Duration::from_secs(self.hold_seconds), self.broker.processes());
        ConnectionsOptions { bootstrap, count: self.count, hold, processes }
    }
}

#[derive(Debug, Args)]
pub struct ReadyArgs {
    /// The topic.
    topic: String,
    /// How many partitions must be led [default: as many as the topic has].
    #[arg(long, short, value_name = "N", value_parser = positive(100_000))]
    partitions: Option<usize>,
    /// How many of them must take a record with acks=all and give it back, spread over all.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = positive(100_000))]
    sample: usize,
    /// How long it may take.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=SECONDS_MAX))]
    timeout_seconds: u64,
}

impl ReadyArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> ReadyOptions {
        ReadyOptions {
            bootstrap,
            topic: self.topic.clone(),
            partitions: self.partitions,
            sample: self.sample,
            wait: Duration::from_secs(self.timeout_seconds),
        }
    }
}

/// Groups, and what they have offsets in.
#[derive(Debug, Clone, Args)]
pub struct GroupsArgs {
    /// How many groups.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = positive(GROUPS_MAX as u64))]
    groups: usize,
    /// What their names begin with; a number follows.
    #[arg(long, value_name = "TEXT", default_value = "perf-")]
    group_prefix: String,
}

impl GroupsArgs {
    fn groups(&self, topic: &str, partitions: Option<usize>) -> Groups {
        let partitions = partitions.unwrap_or(1);
        Groups { topic: topic.to_owned(), partitions, count: self.groups, prefix: self.group_prefix.clone() }
    }
}

#[derive(Debug, Args)]
pub struct CommitsArgs {
    #[command(flatten)]
    pub topic: Topic,
    #[command(flatten)]
    groups: GroupsArgs,
    /// How often each group commits.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// For how long they commit.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Connections, among which the groups are dealt.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive(CONNECTIONS_MAX as u64))]
    connections: usize,
    /// Commits on one connection that may wait for their answers.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive(IN_FLIGHT_MAX as u64))]
    in_flight: usize,
    #[command(flatten)]
    broker: Broker,
}

impl CommitsArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> CommitsOptions {
        CommitsOptions {
            bootstrap,
            groups: self.groups.groups(&self.topic.topic, self.topic.partitions),
            connections: self.connections,
            in_flight: self.in_flight,
            amount: self.rounds.map_or(CommitAmount::Time(Duration::from_secs(self.seconds)), CommitAmount::Rounds),
            processes: self.broker.processes(),
        }
    }
}

#[derive(Debug, Args)]
pub struct CommittedArgs {
    /// The topic.
    topic: String,
    /// In how many of its partitions the groups have offsets.
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = positive(OFFSETS_MAX as u64))]
    partitions: usize,
    #[command(flatten)]
    groups: GroupsArgs,
    /// How long it may take.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=SECONDS_MAX))]
    timeout_seconds: u64,
}

impl CommittedArgs {
    pub fn groups(&self) -> Groups {
        self.groups.groups(&self.topic, Some(self.partitions))
    }

    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProtocolArg {
    /// JoinGroup and SyncGroup; the leader assigns.
    Classic,
    /// KIP-848; the broker assigns.
    Consumer,
}

#[derive(Debug, Args)]
pub struct GroupArgs {
    #[command(flatten)]
    pub topic: Topic,
    /// The group; there may be none of this name yet.
    #[arg(long, value_name = "NAME", default_value = "perf-group")]
    group: String,
    /// How many members, one of which leaves.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = between(2, MEMBERS_MAX as u64))]
    members: usize,
    /// By which protocol.
    #[arg(long, value_enum, default_value_t = ProtocolArg::Consumer)]
    protocol: ProtocolArg,
    /// Time between a member's heartbeats: by one it learns that it has to join again.
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=40_000))]
    heartbeat_ms: u64,
    /// How long joining may take, and leaving.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    timeout_seconds: u64,
    #[command(flatten)]
    broker: Broker,
}

impl GroupArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> GroupOptions {
        GroupOptions {
            bootstrap,
            topic: self.topic.topic.clone(),
            group: self.group.clone(),
            members: self.members,
            protocol: match self.protocol {
                ProtocolArg::Classic => Protocol::Classic,
                ProtocolArg::Consumer => Protocol::Consumer,
            },
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            wait: Duration::from_secs(self.timeout_seconds),
            processes: self.broker.processes(),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TransactionVersionArg {
    /// Partitions are added by requests of their own.
    #[value(name = "1")]
    One,
    /// A batch adds its partition (KIP-890).
    #[value(name = "2")]
    Two,
}

#[derive(Debug, Args)]
pub struct TransactionsArgs {
    #[command(flatten)]
    pub topic: Topic,
    /// Producers, each with a transactional id of its own and one transaction at a time.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive(CONNECTIONS_MAX as u64))]
    producers: usize,
    /// What transactional ids begin with; a number follows.
    #[arg(long, value_name = "TEXT", default_value = "perf-")]
    id_prefix: String,
    /// Records of each transaction, all in one batch.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive(RECORDS_MAX as u64))]
    batch_records: usize,
    /// Bytes of each record's value.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = positive(RECORD_BYTES_MAX))]
    record_size: usize,
    /// By which version of the protocol.
    #[arg(long, value_enum, default_value_t = TransactionVersionArg::Two)]
    transaction_version: TransactionVersionArg,
    /// How many transactions.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// For how long.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    #[command(flatten)]
    broker: Broker,
}

impl TransactionsArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> TransactionsOptions {
        TransactionsOptions {
            bootstrap,
            topic: self.topic.topic.clone(),
            partitions: self.topic.partitions,
            producers: self.producers,
            prefix: self.id_prefix.clone(),
            records: self.batch_records,
            record_bytes: self.record_size,
            version: match self.transaction_version {
                TransactionVersionArg::One => TransactionVersion::One,
                TransactionVersionArg::Two => TransactionVersion::Two,
            },
            count: self.count,
            time: Duration::from_secs(self.seconds),
            processes: self.broker.processes(),
        }
    }
}

#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(flatten)]
    pub topic: Topic,
    /// Where acknowledgements are written down, one a line; an existing file is gone on with.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// For how long.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Bytes of each record's value.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = between(LEDGER_RECORD_BYTES_MIN, RECORD_BYTES_MAX))]
    record_size: usize,
    /// Write as idempotent producers: nothing may be there twice, however often it is sent.
    #[arg(long)]
    idempotent: bool,
}

impl LedgerArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> LedgerOptions {
        LedgerOptions {
            bootstrap,
            topic: self.topic.topic.clone(),
            partitions: self.topic.partitions,
            file: self.file.clone(),
            time: Duration::from_secs(self.seconds),
            record_bytes: self.record_size,
            idempotent: self.idempotent,
        }
    }
}

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The topic.
    pub topic: String,
    /// The ledger.
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Fail on copies, too: of a ledger that was written with --idempotent.
    #[arg(long)]
    pub no_duplicates: bool,
    /// Fail when the ledger has fewer acknowledgements: an empty one proves nothing.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub min_acknowledged: u64,
}

impl AuditArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> AuditOptions {
        AuditOptions { bootstrap, topic: self.topic.clone(), file: self.file.clone() }
    }
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub topic: Topic,
    /// Where each step of each transaction is written down; an existing file is gone on with.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The producer's transactional id: whoever comes with the same one fences this one.
    #[arg(long, value_name = "ID")]
    transactional_id: String,
    /// The client's number, by which its values are told from those of others.
    #[arg(long, value_name = "N", default_value_t = 0)]
    client: u32,
    /// Move values from the topic to this one, each exactly once, instead of writing them.
    #[arg(long, value_name = "TOPIC", requires = "group")]
    move_to: Option<String>,
    /// The group of those that move.
    #[arg(long, value_name = "GROUP", requires = "move_to")]
    group: Option<String>,
    /// A setting of the consumer that moves; may be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", requires = "move_to", value_parser = name_value)]
    properties: Vec<(String, String)>,
    /// For how long.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// The most that is paused between two transactions, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pause_ms: u64,
}

impl HistoryArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> HistoryOptions {
        let moves = |to: &String| MoveOptions {
            to: to.clone(),
            group: self.group.clone().unwrap_or_default(),
            properties: self.properties.clone(),
        };
        HistoryOptions {
            bootstrap,
            topic: self.topic.topic.clone(),
            moves: self.move_to.as_ref().map(moves),
            transactional_id: self.transactional_id.clone(),
            client: self.client,
            file: self.file.clone(),
            time: Duration::from_secs(self.seconds),
            pause_max: Duration::from_millis(self.pause_ms),
        }
    }
}

#[derive(Debug, Args)]
pub struct HistoryCheckArgs {
    /// The topic that was written to.
    pub topic: String,
    /// The topic that values were moved to.
    #[arg(long, value_name = "TOPIC")]
    moved_to: Option<String>,
    /// A history; to be repeated for those of all clients.
    #[arg(long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Wait first until all is moved, but no longer than this without another value being moved.
    #[arg(long, value_name = "S", requires = "moved_to", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    settle_seconds: Option<u64>,
    /// Fail when fewer transactions are known to be committed: none prove nothing.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub min_committed: u64,
}

impl HistoryCheckArgs {
    pub fn options(&self, bootstrap: Bootstrap) -> CheckOptions {
        CheckOptions {
            bootstrap,
            topic: self.topic.clone(),
            moved_to: self.moved_to.clone(),
            files: self.files.clone(),
            settle: self.settle_seconds.map(Duration::from_secs),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WriteArg {
    /// Behind all that is there, as a log does; emptied at the begin of each run.
    FreshPages,
    /// Over itself, round and round, in pages that are in the page cache from the start.
    SamePages,
}

#[derive(Debug, Args)]
pub struct LimitArgs {
    /// Where it listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9099")]
    listen: SocketAddr,
    /// Where its files lie; they have no names and are gone with the process [default: the system's folder for such].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How what is produced is written.
    #[arg(long, value_enum, default_value_t = WriteArg::FreshPages)]
    write: WriteArg,
    /// With same-pages: how large the file is.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..1 << 20))]
    same_mib: u64,
    /// How much is served to consumers, round and round.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..1 << 20))]
    served_mib: u64,
    #[command(flatten)]
    batch: BatchArgs,
}

impl LimitArgs {
    pub fn options(&self) -> LimitOptions {
        LimitOptions {
            listen: self.listen,
            dir: self.dir.clone().unwrap_or_else(std::env::temp_dir),
            write_to: match self.write {
                WriteArg::FreshPages => WriteTo::FreshPages,
                WriteArg::SamePages => WriteTo::SamePages { bytes: self.same_mib << 20 },
            },
            served_bytes: self.served_mib << 20,
            batch: self.batch.shape(Compression::None),
        }
    }
}

/// Reads a number from 1 to `max`.
fn positive(max: u64) -> impl clap::builder::TypedValueParser<Value = usize> {
    between(1, max)
}

fn between(min: usize, max: u64) -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::value_parser!(u64).range(min as u64..=max).map(|number| number as usize)
}
