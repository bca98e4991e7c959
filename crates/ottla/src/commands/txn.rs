//! `ottla txn`: list, describe, find-hanging, abort.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use ottla_client::{
    AbortTransaction, Admin, HangingScope, HangingTransaction, NodeId, Offset, PartitionId, TopicName, TopicPartition,
    TransactionDescription, TransactionFilter,
};
use serde::Serialize;

use super::group::Scope;
use crate::args::Connection;
use crate::error::CliError;
use crate::output::{Output, table};
use crate::timestamp;

/// List and describe transactions, find those that hang, and abort them.
#[derive(Debug, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla txn list\n",
        "  ottla txn list --state ongoing --longer-than 5m --json\n",
        "  ottla txn describe billing-1                     state, producer, partitions\n",
        "  ottla txn find-hanging --topic orders\n",
        "  ottla txn abort orders:0 --start-offset 4711     as find-hanging names it\n\n",
        "A transaction hangs where a partition has it open and no coordinator will ever end it: readers of\n",
        "committed records (--isolation-level read-committed) then wait before it. Only abort what\n",
        "find-hanging names: a transaction that is still written to would lose records.\n\n",
        "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct TxnArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: TxnCommand,
}

#[derive(Debug, Subcommand)]
enum TxnCommand {
    /// List the transactional ids.
    #[command(after_help = "Example: ottla txn list --state ongoing --longer-than 5m")]
    List(ListArgs),
    /// Show the state, the producer and the partitions of transactional ids.
    #[command(after_help = "Example: ottla txn describe billing-1")]
    Describe {
        /// Transactional ids.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Find transactions that are open and that no coordinator will end.
    #[command(after_help = "Example: ottla txn find-hanging --topic orders:0,2 --max-timeout 15m")]
    FindHanging(HangingArgs),
    /// Abort a transaction in one partition, past its coordinator. Only for one that hangs.
    #[command(
        after_help = "Example: ottla txn abort orders:0 --start-offset 4711",
        group = ArgGroup::new("which").required(true)
    )]
    Abort(AbortArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those in this state; may be repeated.
    #[arg(long = "state", value_enum, value_name = "STATE")]
    states: Vec<State>,
    /// Only those of this producer; may be repeated.
    #[arg(long = "producer-id", value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    producer_ids: Vec<i64>,
    /// Only those that have been open for longer: 30s, 5m, 2h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    longer_than: Option<Duration>,
    /// Only those whose id matches this regular expression as a whole.
    #[arg(long, value_name = "REGEX")]
    id_pattern: Option<String>,
}

#[derive(Debug, Args)]
struct HangingArgs {
    /// Only in this topic, or with `:0,2` only in these partitions of it; may be repeated [default: all topics].
    #[arg(long = "topic", value_name = "TOPIC[:N,N]", value_parser = Scope::parse)]
    topics: Vec<Scope>,
    /// Only in partitions that this broker has a replica of, and as it knows them.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(0..))]
    broker: Option<i32>,
    /// How long a transaction may be open: the brokers' transaction.max.timeout.ms.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    max_timeout: Duration,
}

#[derive(Debug, Args)]
struct AbortArgs {
    /// The partition.
    #[arg(value_name = "TOPIC:N", value_parser = one_partition)]
    partition: TopicPartition,
    /// The one that begins at this offset.
    #[arg(long, value_name = "N", group = "which", value_parser = clap::value_parser!(i64).range(0..))]
    start_offset: Option<i64>,
    /// The one of this producer.
    #[arg(long, value_name = "N", group = "which", requires = "producer_epoch", value_parser = clap::value_parser!(i64).range(0..))]
    producer_id: Option<i64>,
    /// The producer's epoch.
    #[arg(long, value_name = "N", requires = "producer_id", value_parser = clap::value_parser!(i16).range(0..))]
    producer_epoch: Option<i16>,
    /// The epoch of the coordinator in whose name it is done [default: 0].
    #[arg(long, value_name = "N", requires = "producer_id", value_parser = clap::value_parser!(i32).range(0..))]
    coordinator_epoch: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    PrepareEpochFence,
    Dead,
}

impl State {
    /// Kafka's name of it.
    fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::PrepareEpochFence => "PrepareEpochFence",
            State::Dead => "Dead",
        }
    }
}

/// Reads `500ms`, `30s`, `5m` or `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms_each: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let ms = number.parse::<u64>().ok().zip(ms_each).and_then(|(number, ms_each)| number.checked_mul(ms_each));
    ms.map(Duration::from_millis).ok_or_else(|| "expected a number with its unit, e.g. 30s, 5m or 2h".to_owned())
}

fn one_partition(text: &str) -> Result<TopicPartition, String> {
    let scope = Scope::parse(text)?;
    match scope.partitions[..] {
        [partition] => Ok(TopicPartition::new(scope.topic, PartitionId(partition))),
        _ => Err("expected one partition, e.g. orders:0".to_owned()),
    }
}

/// A line of `txn list --json`.
#[derive(Debug, Serialize)]
struct ListedJson<'a> {
    transactional_id: &'a str,
    state: &'a str,
    producer_id: i64,
    coordinator: i32,
}

/// A line of `txn describe --json`.
#[derive(Debug, Serialize)]
struct DescribedJson<'a> {
    transactional_id: &'a str,
    state: &'a str,
    producer_id: i64,
    producer_epoch: i16,
    coordinator: i32,
    timeout_ms: i32,
    /// Of the transaction that is open, or the last one: milliseconds since 1970; null: not known.
    started: Option<i64>,
    partitions: BTreeMap<&'a str, Vec<i32>>,
}

/// A line of `txn find-hanging --json`.
#[derive(Debug, Serialize)]
struct HangingJson<'a> {
    topic: &'a str,
    partition: i32,
    start_offset: i64,
    producer_id: i64,
    producer_epoch: i32,
    /// Null: no coordinator has ended a transaction of it there.
    coordinator_epoch: Option<i32>,
    /// Milliseconds since 1970; null: not known.
    last_written: Option<i64>,
}

/// A line of `txn abort --json`.
#[derive(Debug, Serialize)]
struct AbortedJson<'a> {
    topic: &'a str,
    partition: i32,
    producer_id: i64,
    producer_epoch: i16,
    aborted: bool,
}

pub async fn run(args: TxnArgs) -> Result<(), CliError> {
    let TxnArgs { connection, command } = args;
    let admin = Admin::new(&connection.connect().await?);
    let json = connection.json;
    let mut out = Output::new();
    match command {
        TxnCommand::List(args) => list(&admin, &mut out, json, args).await?,
        TxnCommand::Describe { ids } => {
            for (index, id) in ids.iter().enumerate() {
                if index > 0 && !json {
                    out.line("")?;
                }
                describe(&mut out, json, &admin.describe_transaction(id).await?)?;
            }
        }
        TxnCommand::FindHanging(args) => find_hanging(&admin, &mut out, json, args).await?,
        TxnCommand::Abort(args) => abort(&admin, &mut out, json, &args).await?,
    }
    out.flush()
}

async fn list(admin: &Admin, out: &mut Output, json: bool, args: ListArgs) -> Result<(), CliError> {
    let filter = TransactionFilter {
        states: args.states.iter().map(|state| state.name().to_owned()).collect(),
        producer_ids: args.producer_ids,
        longer_than: args.longer_than,
        id_pattern: args.id_pattern,
    };
    let listed = admin.list_transactions(&filter).await?;
    if json {
        for listing in &listed {
            out.json(&ListedJson {
                transactional_id: &listing.transactional_id,
                state: &listing.state,
                producer_id: listing.producer_id,
                coordinator: listing.coordinator.get(),
            })?;
        }
        return Ok(());
    }
    if listed.is_empty() {
        let all = filter == TransactionFilter::default();
        return out.line(if all { "No transactional ids yet: producers with transactional.id make them." } else { "None match." });
    }
    let mut rows = table(&["TRANSACTIONAL ID", "STATE", "PRODUCER", "COORDINATOR"]);
    for listing in &listed {
        rows.add_row([
            listing.transactional_id.clone(),
            listing.state.clone(),
            listing.producer_id.to_string(),
            listing.coordinator.to_string(),
        ]);
    }
    out.table(&rows)
}

fn describe(out: &mut Output, json: bool, described: &TransactionDescription) -> Result<(), CliError> {
    let mut partitions: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &described.partitions {
        partitions.entry(partition.topic.as_str()).or_default().push(partition.partition.get());
    }
    let started = described.started.map(|at| at.get());
    if json {
        return out.json(&DescribedJson {
            transactional_id: &described.transactional_id,
            state: &described.state,
            producer_id: described.producer_id,
            producer_epoch: described.producer_epoch,
            coordinator: described.coordinator.id.get(),
            timeout_ms: described.timeout_ms,
            started,
            partitions,
        });
    }
    let began = started.map_or_else(|| "none yet".to_owned(), |at| format!("began {} ({} ago)", timestamp::format_ms(at), age(at)));
    let topic = |(name, partitions): (&&str, &Vec<i32>)| {
        format!("{name}:{}", partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let partitions = partitions.iter().map(topic).collect::<Vec<_>>().join(" ");
    out.line(&format!("Transactional id  {}", described.transactional_id))?;
    out.line(&format!("State             {}", described.state))?;
    out.line(&format!("Producer          {}, epoch {}", described.producer_id, described.producer_epoch))?;
    out.line(&format!("Coordinator       node {} on {}", described.coordinator.id, described.coordinator.address()))?;
    out.line(&format!("Timeout           {} ms", described.timeout_ms))?;
    out.line(&format!("Transaction       {began}"))?;
    out.line(&format!("Partitions        {}", if partitions.is_empty() { "-" } else { &partitions }))
}

async fn find_hanging(admin: &Admin, out: &mut Output, json: bool, args: HangingArgs) -> Result<(), CliError> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for scope in args.topics {
        topics.entry(scope.topic.to_string()).or_default().extend(scope.partitions);
    }
    let scope = HangingScope { broker: args.broker.map(NodeId), topics };
    let hanging = admin.find_hanging(&scope, args.max_timeout).await?;
    if json {
        for found in &hanging {
            out.json(&hanging_json(found))?;
        }
        return Ok(());
    }
    if hanging.is_empty() {
        return out.line("No transaction hangs.");
    }
    let mut rows = table(&["TOPIC", "PARTITION", "START OFFSET", "PRODUCER", "EPOCH", "LAST WRITTEN"]);
    for found in &hanging {
        rows.add_row([
            found.partition.topic.to_string(),
            found.partition.partition.to_string(),
            found.start.to_string(),
            found.producer.producer_id.to_string(),
            found.producer.producer_epoch.to_string(),
            found.producer.last_timestamp.map_or_else(|| "-".to_owned(), |at| format!("{} ago", age(at.get()))),
        ]);
    }
    out.table(&rows)?;
    if let Some(first) = hanging.first() {
        out.line("")?;
        let (topic, partition) = (&first.partition.topic, first.partition.partition);
        out.line(&format!("To end one: ottla txn abort {topic}:{partition} --start-offset {}", first.start))?;
    }
    Ok(())
}

fn hanging_json(found: &HangingTransaction) -> HangingJson<'_> {
    HangingJson {
        topic: found.partition.topic.as_str(),
        partition: found.partition.partition.get(),
        start_offset: found.start.get(),
        producer_id: found.producer.producer_id,
        producer_epoch: found.producer.producer_epoch,
        coordinator_epoch: found.producer.coordinator_epoch,
        last_written: found.producer.last_timestamp.map(|at| at.get()),
    }
}

async fn abort(admin: &Admin, out: &mut Output, json: bool, args: &AbortArgs) -> Result<(), CliError> {
    let abort = match (args.start_offset, args.producer_id, args.producer_epoch) {
        (Some(start), ..) => admin.transaction_at(&args.partition, Offset(start)).await?,
        (None, Some(producer_id), Some(producer_epoch)) => AbortTransaction {
            partition: args.partition.clone(),
            producer_id,
            producer_epoch,
            coordinator_epoch: args.coordinator_epoch.unwrap_or(0),
        },
        _ => return Err(CliError::usage("say which: --start-offset, or --producer-id with --producer-epoch")),
    };
    admin.abort_transaction(&abort).await?;
    let (topic, partition) = (&args.partition.topic, args.partition.partition.get());
    if json {
        let (producer_id, producer_epoch) = (abort.producer_id, abort.producer_epoch);
        return out.json(&AbortedJson { topic: TopicName::as_str(topic), partition, producer_id, producer_epoch, aborted: true });
    }
    let AbortTransaction { producer_id, producer_epoch, .. } = abort;
    out.line(&format!("Aborted the transaction of producer {producer_id} (epoch {producer_epoch}) in {topic}:{partition}."))
}

/// `5 s`, `3 min`, `2 h`, `4 d`.
fn age(at_ms: i64) -> String {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    span((now_ms - at_ms).max(0) / 1_000)
}

fn span(seconds: i64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units_only() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!((duration("5m"), duration("2h")), (Ok(Duration::from_secs(300)), Ok(Duration::from_secs(7_200))));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "5", "m", "5 m", "-5m", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_partition_is_named_with_its_topic() {
        assert_eq!(one_partition("orders:3").unwrap().to_string(), "orders-3");
        assert!(one_partition("orders").is_err() && one_partition("orders:0,1").is_err());
    }

    #[test]
    fn spans_are_told_in_the_unit_that_people_would_use() {
        assert_eq!([5, 180, 7_200, 200_000].map(span), ["5 s", "3 min", "2 h", "2 d"]);
    }

    #[test]
    fn json_shapes_are_stable() {
        let listed = ListedJson { transactional_id: "a", state: "Ongoing", producer_id: 7, coordinator: 1 };
        let text = r#"{"transactional_id":"a","state":"Ongoing","producer_id":7,"coordinator":1}"#;
        assert_eq!(serde_json::to_string(&listed).unwrap(), text);
        let aborted = AbortedJson { topic: "t", partition: 0, producer_id: 7, producer_epoch: 2, aborted: true };
        let text = r#"{"topic":"t","partition":0,"producer_id":7,"producer_epoch":2,"aborted":true}"#;
        assert_eq!(serde_json::to_string(&aborted).unwrap(), text);
    }
}
