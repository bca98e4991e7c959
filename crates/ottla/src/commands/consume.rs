//! `ottla consume`: prints the records of a topic, to its end or on and on; as a member of a group, each once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use ottla_client::{
    Client, ClientError, ConsumedRecord, Consumer, ConsumerConfig, ErrorCode, GroupProtocol, IsolationLevel, Offset, OffsetReset,
    PartitionId, RebalanceListener, RecordBatch, SeekTo, TimestampMs, TopicPartition,
};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::args::{Connection, name_value, separator};
use crate::error::CliError;
use crate::output::{Output, Payload};
use crate::timestamp;

/// Print the records of a topic.
#[derive(Debug, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla consume logs                                    everything there is, then stop\n",
        "  ottla consume logs --follow                           what comes from now on\n",
        "  ottla consume logs --from -10 --print offset,value    the last ten records of each partition\n",
        "  ottla consume logs --from 2026-01-31T12:00:00Z --partition 0 --max-messages 5 --json\n",
        "  ottla consume logs --group audit --follow             share it with the group's other members\n",
        "  ottla consume bills --isolation-level read-committed   nothing of what is open or aborted\n\n",
        "With --group it goes on where the group has come to (at first at the beginning), and commits what it\n",
        "has printed: every second, when partitions go to other members, and when it ends.\n\n",
        "With --json a record has topic, partition, offset, timestamp, key, value and headers; a key or\n",
        "value that is not UTF-8 is null there, and its bytes are in key_base64 or value_base64.\n\n",
        "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct ConsumeArgs {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    topic: String,
    /// Where to start: `beginning`, `end`, an offset, `-N` (the last N of each partition), or a time such as
    /// 2026-01-31T12:00:00Z or @1769860800000 (milliseconds) [default: beginning; end with --follow].
    #[arg(long, value_name = "WHERE", value_parser = Start::parse, allow_hyphen_values = true)]
    from: Option<Start>,
    /// Only this partition; may be repeated.
    #[arg(long = "partition", short, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,
    /// Stop after so many records.
    #[arg(long, short = 'n', value_name = "N")]
    max_messages: Option<u64>,
    /// Go on at the end and wait for more.
    #[arg(long, short)]
    follow: bool,
    /// What to print of a record, in this order, separated by tabs.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "value", conflicts_with = "json")]
    print: Vec<Field>,
    /// What to print between the fields. `\t` is a tab.
    #[arg(long, value_name = "TEXT", default_value = r"\t", value_parser = separator)]
    separator: String,
    /// Read as a member of this group, from where it has come to, and commit what was printed.
    #[arg(long, short, value_name = "NAME", conflicts_with_all = ["from", "partitions"])]
    group: Option<String>,
    /// How the group's members come to their partitions: by the leader among them, or by the coordinator (KIP-848).
    #[arg(long, value_enum, default_value = "classic", requires = "group")]
    group_protocol: Protocol,
    /// Which records of transactions to print: all, or those of committed ones only.
    #[arg(long, value_enum, default_value = "read-uncommitted")]
    isolation_level: Isolation,
    /// Any consumer property by its Kafka name; may be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_value)]
    properties: Vec<(String, String)>,
}

/// How often a member of a group commits what it printed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How long to wait for records before looking whether there is still something to wait for: a rebalance may have taken it away.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Classic,
    Consumer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// Where to start in each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Place(SeekTo),
    /// So many records before the end.
    Last(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Field {
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
    Value,
}

impl Start {
    fn parse(text: &str) -> Result<Start, String> {
        let place = match text {
            "beginning" | "earliest" => SeekTo::Beginning,
            "end" | "latest" => SeekTo::End,
            _ => {
                if let Some(ms) = text.strip_prefix('@') {
                    let ms = ms.parse().ok().filter(|ms| *ms >= 0).ok_or("expected milliseconds since 1970 after `@`")?;
                    SeekTo::Timestamp(TimestampMs(ms))
                } else if let Ok(number) = text.parse::<i64>() {
                    if number < 0 {
                        return Ok(Start::Last(number.saturating_neg()));
                    }
                    SeekTo::Offset(Offset(number))
                } else if let Some(ms) = timestamp::parse(text) {
                    SeekTo::Timestamp(TimestampMs(ms))
                } else {
                    return Err("expected `beginning`, `end`, an offset, `-N`, or a time such as 2026-01-31T12:00:00Z".to_owned());
                }
            }
        };
        Ok(Start::Place(place))
    }
}

/// A line of `consume --json`.
#[derive(Debug, Serialize)]
struct RecordJson<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    /// Milliseconds since 1970; -1: none.
    timestamp: i64,
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<&'a str>,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<&'a str>,
    headers: Vec<HeaderJson>,
}

#[derive(Debug, Serialize)]
struct HeaderJson {
    key: String,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

pub async fn run(args: ConsumeArgs) -> Result<(), CliError> {
    let mut config = ConsumerConfig::default().allow_auto_create_topics(false).auto_offset_reset(OffsetReset::Earliest);
    if args.isolation_level == Isolation::ReadCommitted {
        config = config.isolation_level(IsolationLevel::ReadCommitted);
    }
    for (name, value) in &args.properties {
        config = config.set(name, value)?;
    }
    let client = args.connection.connect().await?;
    if let Some(group) = &args.group {
        let protocol = match args.group_protocol {
            Protocol::Classic => GroupProtocol::Classic,
            Protocol::Consumer => GroupProtocol::Consumer,
        };
        // What is printed is committed, and nothing else: the client's positions are ahead of it.
        let config = config.group_id(group.clone()).group_protocol(protocol).enable_auto_commit(false);
        return as_member(&args, &client, config).await;
    }
    let mut consumer = Consumer::new(&client, config)?;
    let partitions = chosen(consumer.partitions_of(&args.topic).await?, &args)?;
    let ends = consumer.end_offsets(&partitions).await?;
    consumer.assign(partitions.clone()).await?;
    let from = args.from.unwrap_or(Start::Place(if args.follow { SeekTo::End } else { SeekTo::Beginning }));
    for partition in &partitions {
        let end = ends.get(partition).copied().unwrap_or(Offset::ZERO);
        consumer.seek(
            partition,
            match from {
                // Where the caller looked: what came since is already "from now on".
                Start::Place(SeekTo::End) => SeekTo::Offset(end),
                Start::Place(place) => place,
                Start::Last(records) => SeekTo::Offset(Offset((end.get() - records).max(0))),
            },
        )?;
    }
    let mut printer = Printer { args: &args, out: Output::new(), left: args.max_messages.unwrap_or(u64::MAX) };
    if args.follow {
        while printer.left > 0 {
            printer.print(&consumer.next_batch().await?, None)?;
        }
        return printer.out.flush();
    }
    let unread = unread(&mut consumer, &ends).await?;
    while printer.left > 0 {
        // Comes to an end also where no record stands before it, but the marker of a transaction.
        let Some(batch) = consumer.next_batch_before(&unread).await? else { break };
        let end = unread.get(batch.topic_partition()).copied();
        printer.print(&batch, end)?;
        if end.is_none_or(|end| batch.last_offset().get() + 1 >= end.get()) {
            // Nothing more of it is wanted: records after the end that was found do not hold up the stop.
            consumer.pause(batch.topic_partition())?;
        }
    }
    printer.out.flush()
}

/// What was printed and is not committed yet: of each partition the next offset.
#[derive(Debug, Clone, Default)]
struct Printed(Arc<Mutex<BTreeMap<TopicPartition, Offset>>>);

impl Printed {
    fn note(&self, partition: &TopicPartition, next: Offset) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition.clone(), next);
    }

    fn offsets(&self) -> BTreeMap<TopicPartition, Offset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget(&self, committed: &BTreeMap<TopicPartition, Offset>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|partition, next| committed.get(partition) != Some(next));
    }
}

impl RebalanceListener for Printed {
    fn on_revoked(&mut self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Offset> {
        let mut given_up = self.offsets();
        given_up.retain(|partition, _| partitions.contains(partition));
        self.forget(&given_up);
        given_up
    }

    fn on_lost(&mut self, partitions: &[TopicPartition]) {
        drop(self.on_revoked(partitions));
    }
}

async fn as_member(args: &ConsumeArgs, client: &Client, config: ConsumerConfig) -> Result<(), CliError> {
    let no_signals = |cause| CliError::failed(format!("cannot watch for signals: {cause}"));
    let mut interrupted = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut consumer = Consumer::new(client, config)?;
    let printed = Printed::default();
    let consumed = tokio::select! {
        result = print_as_member(args, &mut consumer, &printed) => result,
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    };
    // Asks `printed` for what is to be committed.
    let closed = consumer.close().await;
    consumed.and(closed.map_err(CliError::from))
}

async fn print_as_member(args: &ConsumeArgs, consumer: &mut Consumer, printed: &Printed) -> Result<(), CliError> {
    let all = consumer.partitions_of(&args.topic).await?;
    let ends = consumer.end_offsets(&all).await?;
    consumer.subscribe(&[&args.topic], printed.clone()).await?;
    consumer.wait_for_assignment().await?;
    let mut printer = Printer { args, out: Output::new(), left: args.max_messages.unwrap_or(u64::MAX) };
    let mut next_commit = Instant::now() + COMMIT_EVERY;
    while printer.left > 0 && (args.follow || is_unread(consumer, &ends).await?) {
        if let Some(batch) = consumer.poll(LOOK_EVERY).await? {
            let end = ends.get(batch.topic_partition()).copied().filter(|_| !args.follow);
            let next = printer.print(&batch, end)?;
            // What is committed must have left this process.
            printer.out.flush()?;
            if let Some(next) = next {
                printed.note(batch.topic_partition(), next);
            }
        }
        let offsets = printed.offsets();
        if Instant::now() >= next_commit && !offsets.is_empty() {
            match consumer.commit_offsets(&offsets).await {
                Ok(()) => printed.forget(&offsets),
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(error.into()),
            }
            next_commit = Instant::now() + COMMIT_EVERY;
        }
    }
    Ok(())
}

/// Whether the group is rebalancing: what can be committed is then committed when it has.
fn is_for_later(error: &ClientError) -> bool {
    let codes = [ErrorCode::RebalanceInProgress, ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId, ErrorCode::StaleMemberEpoch];
    error.code().is_some_and(|code| codes.contains(&code))
}

/// Whether one of this member's partitions is not at its end.
async fn is_unread(consumer: &mut Consumer, ends: &BTreeMap<TopicPartition, Offset>) -> Result<bool, CliError> {
    let partitions: Vec<TopicPartition> = consumer.assignment().cloned().collect();
    for partition in &partitions {
        let end = ends.get(partition).copied().unwrap_or(Offset::ZERO);
        if consumer.position(partition).await? < end {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The partitions asked for, all by default.
fn chosen(all: Vec<TopicPartition>, args: &ConsumeArgs) -> Result<Vec<TopicPartition>, CliError> {
    for asked in &args.partitions {
        if !all.iter().any(|partition| partition.partition == PartitionId(*asked)) {
            let last = all.len().saturating_sub(1);
            return Err(CliError::failed(format!("topic `{}` has partitions 0 to {last}, not {asked}", args.topic)));
        }
    }
    Ok(all.into_iter().filter(|partition| args.partitions.is_empty() || args.partitions.contains(&partition.partition.get())).collect())
}

/// The ends of those partitions that are not at their end already.
async fn unread(consumer: &mut Consumer, ends: &BTreeMap<TopicPartition, Offset>) -> Result<BTreeMap<TopicPartition, Offset>, CliError> {
    let mut unread = BTreeMap::new();
    for (partition, end) in ends {
        if consumer.position(partition).await? < *end {
            unread.insert(partition.clone(), *end);
        } else {
            consumer.pause(partition)?;
        }
    }
    Ok(unread)
}

struct Printer<'a> {
    args: &'a ConsumeArgs,
    out: Output,
    left: u64,
}

impl Printer<'_> {
    /// Prints a batch's records before `end`, as long as there are some left to print. Gives the offset behind the last one.
    fn print(&mut self, batch: &RecordBatch, end: Option<Offset>) -> Result<Option<Offset>, CliError> {
        let mut next = None;
        for record in &batch.records()? {
            let record = record?;
            if self.left == 0 || end.is_some_and(|end| record.offset >= end) {
                break;
            }
            self.left -= 1;
            next = Some(record.offset.plus(1));
            if self.args.connection.json { self.json(batch, &record)? } else { self.text(batch, &record)? }
        }
        if self.args.follow {
            self.out.flush()?;
        }
        Ok(next)
    }

    fn text(&mut self, batch: &RecordBatch, record: &ConsumedRecord<'_>) -> Result<(), CliError> {
        for (index, field) in self.args.print.iter().enumerate() {
            if index > 0 {
                self.out.bytes(self.args.separator.as_bytes())?;
            }
            match field {
                Field::Partition => self.out.bytes(batch.partition().to_string().as_bytes())?,
                Field::Offset => self.out.bytes(record.offset.to_string().as_bytes())?,
                Field::Timestamp => self.out.bytes(timestamp::format_ms(record.timestamp.get()).as_bytes())?,
                Field::Key => self.out.bytes(record.key.unwrap_or(b"null"))?,
                Field::Value => self.out.bytes(record.value.unwrap_or(b"null"))?,
                Field::Headers => {
                    for (index, header) in record.headers.clone().enumerate() {
                        if index > 0 {
                            self.out.bytes(b",")?;
                        }
                        self.out.bytes(header.key)?;
                        self.out.bytes(b"=")?;
                        self.out.bytes(header.value.unwrap_or(b"null"))?;
                    }
                }
            }
        }
        self.out.bytes(b"\n")
    }

    fn json(&mut self, batch: &RecordBatch, record: &ConsumedRecord<'_>) -> Result<(), CliError> {
        let (key, value) = (Payload::new(record.key), Payload::new(record.value));
        let headers = record
            .headers
            .clone()
            .map(|header| {
                let value = Payload::new(header.value);
                HeaderJson {
                    key: header.key_text().into_owned(),
                    value: value.text().map(str::to_owned),
                    value_base64: value.base64().map(str::to_owned),
                }
            })
            .collect();
        self.out.json(&RecordJson {
            topic: batch.topic(),
            partition: batch.partition().get(),
            offset: record.offset.get(),
            timestamp: record.timestamp.get(),
            key: key.text(),
            key_base64: key.base64(),
            value: value.text(),
            value_base64: value.base64(),
            headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_start_are_read_in_every_form() {
        assert_eq!(Start::parse("beginning"), Ok(Start::Place(SeekTo::Beginning)));
        assert_eq!(Start::parse("end"), Ok(Start::Place(SeekTo::End)));
        assert_eq!(Start::parse("42"), Ok(Start::Place(SeekTo::Offset(Offset(42)))));
        assert_eq!(Start::parse("-10"), Ok(Start::Last(10)));
        assert_eq!(Start::parse("@1500"), Ok(Start::Place(SeekTo::Timestamp(TimestampMs(1500)))));
        assert_eq!(Start::parse("1970-01-02"), Ok(Start::Place(SeekTo::Timestamp(TimestampMs(86_400_000)))));
        assert!(Start::parse("yesterday").unwrap_err().contains("a time such as"));
        assert!(Start::parse("@-1").is_err());
    }

    #[test]
    fn json_shape_is_stable_and_bytes_are_marked() {
        let record = RecordJson {
            topic: "t",
            partition: 0,
            offset: 1,
            timestamp: 2,
            key: None,
            key_base64: None,
            value: None,
            value_base64: Some("/w=="),
            headers: vec![HeaderJson { key: "h".to_owned(), value: Some("v".to_owned()), value_base64: None }],
        };
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"topic":"t","partition":0,"offset":1,"timestamp":2,"key":null,"value":null,"value_base64":"/w==","headers":[{"key":"h","value":"v"}]}"#
        );
    }
}
