//! `ottla produce`: lines of standard input become records.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Read};

use clap::{Args, ValueEnum};
use ottla_client::{
    Acks, Admin, ClientError, Compression, Delivery, Header, Producer, ProducerConfig, Record, RecordMetadata, Transaction,
};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::args::{Connection, name_value, separator};
use crate::error::CliError;
use crate::output::Output;

/// Lines read ahead of the producer.
const LINES_READ_AHEAD_MAX: usize = 1_024;
/// Records sent whose acknowledgement was not yet reported.
const DELIVERIES_OPEN_MAX: usize = 16_384;
/// Longest line; beyond it the input is surely no text.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Send each line of standard input as a record.
#[derive(Debug, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  echo hello | ottla produce logs\n",
        "  ottla produce orders --key-separator : < orders.txt  lines like customer-7:{\"total\": 12}\n",
        "  seq 100000 | ottla produce numbers --compression zstd --property linger.ms=20\n",
        "  echo hello | ottla produce logs --json               prints partition and offset\n",
        "  ottla produce bills --transactional-id loader < b.txt  all lines, or none\n\n",
        "Records without a key are spread over the partitions; records of one key go to one partition,\n",
        "the same as with the Java client. A topic that does not exist is made on first use, if the\n",
        "broker allows it.\n\n",
        "Exit codes: 0 all acknowledged, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct ProduceArgs {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    topic: String,
    /// What stands between key and value in a line; without it a line is a value. `\t` is a tab.
    #[arg(long, short = 'k', value_name = "TEXT", value_parser = separator)]
    key_separator: Option<String>,
    /// A value that means null: with a key, the deletion of that key in a compacted topic.
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// A header for every record; may be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = name_value)]
    headers: Vec<(String, String)>,
    /// The partition, whatever the keys say.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Who must have a record before it counts as written.
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// How batches are packed.
    #[arg(long, short = 'z', value_enum, default_value_t = CompressionArg::None)]
    compression: CompressionArg,
    /// All lines in one transaction of this transactional id: readers of committed records see all of them, or none.
    #[arg(long, value_name = "ID", conflicts_with = "acks", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    transactional_id: Option<String>,
    /// Any producer property by its Kafka name; may be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_value)]
    properties: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AcksArg {
    /// Every in-sync replica has it on stable storage.
    All,
    /// The leader has written it.
    #[value(name = "1")]
    Leader,
    /// Nobody: it was sent.
    #[value(name = "0")]
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl ProduceArgs {
    fn config(&self) -> Result<ProducerConfig, CliError> {
        let acks = match self.acks {
            AcksArg::All => Acks::All,
            AcksArg::Leader => Acks::Leader,
            AcksArg::None => Acks::None,
        };
        let compression = match self.compression {
            CompressionArg::None => Compression::None,
            CompressionArg::Gzip => Compression::Gzip,
            CompressionArg::Snappy => Compression::Snappy,
            CompressionArg::Lz4 => Compression::Lz4,
            CompressionArg::Zstd => Compression::Zstd,
        };
        let mut config = ProducerConfig::default().acks(acks).compression_type(compression);
        if let Some(id) = &self.transactional_id {
            config = config.transactional_id(id.clone());
        }
        for (name, value) in &self.properties {
            if name == "transactional.id" {
                return Err(CliError::usage("say --transactional-id instead of the property transactional.id"));
            }
            config = config.set(name, value)?;
        }
        Ok(config)
    }
}

/// A line of `produce --json`.
#[derive(Debug, Serialize)]
struct WrittenJson<'a> {
    topic: &'a str,
    partition: i32,
    /// Null with `--acks 0`.
    offset: Option<i64>,
    /// Milliseconds since 1970.
    timestamp: i64,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
struct Parsed<'l> {
    key: Option<&'l [u8]>,
    value: Option<&'l [u8]>,
}

pub async fn run(args: ProduceArgs) -> Result<(), CliError> {
    let config = args.config()?;
    let client = args.connection.connect().await?;
    let producer = Producer::new(&client, config)?;
    let to = match &args.transactional_id {
        None => Destination::Plain(producer),
        Some(_) => Destination::Transaction(producer.begin().await?),
    };
    if io::stdin().is_terminal() {
        eprintln!("Each line is a record for {}. Ctrl-D ends.", args.topic);
    }
    let (lines_to, mut lines) = mpsc::channel(LINES_READ_AHEAD_MAX);
    std::thread::spawn(move || read_lines(io::stdin().lock(), &lines_to));
    let (open, deliveries) = mpsc::channel(DELIVERIES_OPEN_MAX);
    let topic = args.topic.clone();
    let reporting = report(deliveries, &topic, args.connection.json);
    let sending = async {
        let sent = send(&args, &to, &mut lines, &open).await;
        drop(open);
        // What is queued goes out whatever ended the input.
        if let Destination::Plain(producer) = &to {
            producer.flush().await;
        }
        sent
    };
    let (sent, reported) = tokio::join!(sending, reporting);
    // The first record that failed says more than what it led to.
    let whole = reported.and(sent);
    let Destination::Transaction(transaction) = to else { return whole.map(drop) };
    match whole {
        Ok(Ended::Input) => {
            transaction.commit().await?;
            // Whoever reads when this has ended is to see it.
            if let Some(id) = &args.transactional_id
                && let Err(error) = Admin::new(&client).await_transaction_end(id).await
            {
                eprintln!("The transaction is committed; readers may not see all of it yet: {error}");
            }
            Ok(())
        }
        Ok(Ended::Interrupt) => {
            transaction.abort().await?;
            Err(CliError::failed("interrupted: the transaction was aborted"))
        }
        Err(error) => {
            // What it failed by is what there is to say; left open, the cluster aborts it by its timeout.
            drop(transaction.abort().await);
            Err(CliError::failed(format!("{error}; the transaction was not committed")))
        }
    }
}

/// Where records go.
enum Destination {
    Plain(Producer),
    Transaction(Transaction),
}

impl Destination {
    async fn enqueue(&self, record: Record<'_>) -> Result<Delivery, ClientError> {
        match self {
            Destination::Plain(producer) => producer.enqueue(record).await,
            Destination::Transaction(transaction) => transaction.enqueue(record).await,
        }
    }
}

/// What ended the sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Input,
    Interrupt,
}

/// Sends lines until there are no more, one cannot be sent, the reporter gave up, or Ctrl-C.
async fn send(
    args: &ProduceArgs,
    to: &Destination,
    lines: &mut mpsc::Receiver<io::Result<Vec<u8>>>,
    open: &mpsc::Sender<Delivery>,
) -> Result<Ended, CliError> {
    let headers: Vec<Header<'_>> = args.headers.iter().map(|(name, value)| Header::new(name, Some(value.as_bytes()))).collect();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut number = 0u64;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = &mut interrupt => return Ok(Ended::Interrupt),
        };
        let Some(line) = line else { return Ok(Ended::Input) };
        number += 1;
        let line = line.map_err(|cause| CliError::failed(format!("standard input, line {number}: {cause}")))?;
        let parsed = parse(&line, args.key_separator.as_deref(), args.null_marker.as_deref())
            .map_err(|missing| CliError::failed(format!("standard input, line {number}: {missing}")))?;
        let mut record = Record::to(&args.topic).headers(&headers);
        if let Some(key) = parsed.key {
            record = record.key(key);
        }
        if let Some(value) = parsed.value {
            record = record.value(value);
        }
        if let Some(partition) = args.partition {
            record = record.partition(partition);
        }
        let delivery = to.enqueue(record).await?;
        if open.send(delivery).await.is_err() {
            // A record failed, which the reporter says.
            return Ok(Ended::Input);
        }
    }
}

/// Says what became of each record, in the order of the lines; ends at the first that failed.
async fn report(mut deliveries: mpsc::Receiver<Delivery>, topic: &str, json: bool) -> Result<(), CliError> {
    let mut out = Output::new();
    let mut written: BTreeMap<i32, Written> = BTreeMap::new();
    let mut records = 0u64;
    let mut result = Ok(());
    while let Some(delivery) = deliveries.recv().await {
        let metadata = match delivery.await {
            Ok(metadata) => metadata,
            Err(error) => {
                result = Err(CliError::from(error));
                break;
            }
        };
        records += 1;
        written.entry(metadata.partition.get()).or_default().add(&metadata);
        if json {
            out.json(&WrittenJson {
                topic,
                partition: metadata.partition.get(),
                offset: metadata.offset.map(|offset| offset.get()),
                timestamp: metadata.timestamp.get(),
            })?;
            if deliveries.is_empty() {
                out.flush()?;
            }
        }
    }
    out.flush()?;
    if !json && (records > 0 || result.is_ok()) {
        eprintln!("{}", summary(topic, records, &written));
    }
    result
}

/// The offsets written to one partition.
#[derive(Debug, Default)]
struct Written {
    first: Option<i64>,
    last: Option<i64>,
}

impl Written {
    fn add(&mut self, metadata: &RecordMetadata) {
        let offset = metadata.offset.map(|offset| offset.get());
        self.first = self.first.into_iter().chain(offset).min();
        self.last = self.last.into_iter().chain(offset).max();
    }
}

/// `Wrote 3 records to logs: partition 0 offsets 4 to 6.`
fn summary(topic: &str, records: u64, written: &BTreeMap<i32, Written>) -> String {
    let noun = if records == 1 { "record" } else { "records" };
    let places: Vec<String> = written
        .iter()
        .filter_map(|(partition, written)| match (written.first?, written.last?) {
            (first, last) if first == last => Some(format!("partition {partition} offset {first}")),
            (first, last) => Some(format!("partition {partition} offsets {first} to {last}")),
        })
        .collect();
    if places.is_empty() || places.len() > 16 {
        return format!("Wrote {records} {noun} to {topic}.");
    }
    format!("Wrote {records} {noun} to {topic}: {}.", places.join(", "))
}

/// Cuts a line into key and value.
fn parse<'l>(line: &'l [u8], key_separator: Option<&str>, null_marker: Option<&str>) -> Result<Parsed<'l>, String> {
    let (key, value) = match key_separator {
        None => (None, line),
        Some(separator) => {
            let bytes = separator.as_bytes();
            let at = line.windows(bytes.len()).position(|window| window == bytes);
            let at = at.ok_or_else(|| format!("there is no key: `{}` does not occur in it", separator.escape_debug()))?;
            (Some(&line[..at]), &line[at + bytes.len()..])
        }
    };
    let value = Some(value).filter(|value| null_marker.is_none_or(|null| null.as_bytes() != *value));
    Ok(Parsed { key, value })
}

/// Reads lines without their ends (`\n` or `\r\n`) until nobody wants them any more.
fn read_lines(mut input: impl BufRead, to: &mpsc::Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) => return,
            Ok(_) if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {LINE_BYTES_MAX} bytes")))
            }
            Ok(_) => {
                if line.ends_with(b"\n") {
                    line.pop();
                    if line.ends_with(b"\r") {
                        line.pop();
                    }
                }
                Ok(line)
            }
            Err(error) => Err(error),
        };
        let ends = line.is_err();
        if to.blocking_send(line).is_err() || ends {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_first_separator() {
        let parsed = parse(b"k:v:w", Some(":"), None).unwrap();
        assert_eq!(parsed, Parsed { key: Some(b"k"), value: Some(b"v:w") });
        assert_eq!(parse(b"k:v", None, None).unwrap(), Parsed { key: None, value: Some(b"k:v") });
        assert_eq!(parse(b"kv", Some("\t"), None).unwrap_err(), r"there is no key: `\t` does not occur in it");
    }

    #[test]
    fn the_null_marker_makes_a_tombstone() {
        assert_eq!(parse(b"k:NULL", Some(":"), Some("NULL")).unwrap(), Parsed { key: Some(b"k"), value: None });
        assert_eq!(parse(b"k:", Some(":"), Some("NULL")).unwrap(), Parsed { key: Some(b"k"), value: Some(b"") });
    }

    #[test]
    fn line_ends_of_both_kinds_are_taken_off_and_a_last_line_needs_none() {
        let (to, mut lines) = mpsc::channel(8);
        read_lines(&b"a\r\n\nb\rc\nlast"[..], &to);
        drop(to);
        let mut all = Vec::new();
        while let Some(line) = lines.blocking_recv() {
            all.push(line.unwrap());
        }
        assert_eq!(all, [b"a".to_vec(), b"".to_vec(), b"b\rc".to_vec(), b"last".to_vec()]);
    }

    #[test]
    fn the_summary_says_where_the_records_went() {
        let written = BTreeMap::from([
            (0, Written { first: Some(4), last: Some(6) }),
            (2, Written { first: Some(9), last: Some(9) }),
            (3, Written::default()),
        ]);
        assert_eq!(summary("logs", 5, &written), "Wrote 5 records to logs: partition 0 offsets 4 to 6, partition 2 offset 9.");
        assert_eq!(summary("logs", 0, &BTreeMap::new()), "Wrote 0 records to logs.");
    }

    #[test]
    fn json_shape_is_stable() {
        let written = WrittenJson { topic: "t", partition: 1, offset: None, timestamp: 5 };
        assert_eq!(serde_json::to_string(&written).unwrap(), r#"{"topic":"t","partition":1,"offset":null,"timestamp":5}"#);
    }
}
