//! `ottla consume`: prints the records of a topic, to its end or on and on.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use ottla_client::{
    ConsumedRecord, Consumer, ConsumerConfig, Offset, OffsetReset, PartitionId, RecordBatch, SeekTo, TimestampMs, TopicPartition,
};
use serde::Serialize;

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
        "  ottla consume logs --from 2026-01-31T12:00:00Z --partition 0 --max-messages 5 --json\n\n",
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
    /// Any consumer property by its Kafka name; may be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_value)]
    properties: Vec<(String, String)>,
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
    for (name, value) in &args.properties {
        config = config.set(name, value)?;
    }
    let client = args.connection.connect().await?;
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
    let mut unfinished = if args.follow { None } else { Some(unread(&mut consumer, &ends).await?) };
    while printer.left > 0 && unfinished.as_ref().is_none_or(|unfinished| !unfinished.is_empty()) {
        let batch = consumer.next_batch().await?;
        let end = unfinished.as_ref().and_then(|unfinished| unfinished.get(batch.topic_partition())).copied();
        printer.print(&batch, end)?;
        if let Some(unfinished) = &mut unfinished
            && end.is_none_or(|end| batch.last_offset().get() + 1 >= end.get())
        {
            // Nothing more of it is wanted: records after the end that was found do not hold up the stop.
            unfinished.remove(batch.topic_partition());
            consumer.pause(batch.topic_partition())?;
        }
    }
    printer.out.flush()
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
    /// Prints a batch's records before `end`, as long as there are some left to print.
    fn print(&mut self, batch: &RecordBatch, end: Option<Offset>) -> Result<(), CliError> {
        for record in &batch.records()? {
            let record = record?;
            if self.left == 0 || end.is_some_and(|end| record.offset >= end) {
                break;
            }
            self.left -= 1;
            if self.args.connection.json { self.json(batch, &record)? } else { self.text(batch, &record)? }
        }
        if self.args.follow { self.out.flush() } else { Ok(()) }
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
