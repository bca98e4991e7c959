//! Reads what the histories are held against: both topics, as readers of committed records see them and as all others do.

use std::path::PathBuf;
use std::time::Duration;

use ottla_client::{Client, ClientConfig, Consumer, ConsumerConfig, IsolationLevel, OffsetReset, RecordBatch};
use serde::Serialize;

use super::book::{Histories, Place, Value};
use super::check::{self, Findings, Known, Seen, View};
use crate::connection::CLIENT_ID;
use crate::{Bootstrap, Control, PerfError};

/// How long the reading of a topic may take.
const READ_WAIT: Duration = Duration::from_secs(120);

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic that was written to.
    pub topic: String,
    /// The topic that values were moved to.
    pub moved_to: Option<String>,
    /// The histories.
    pub files: Vec<PathBuf>,
    /// Waits before it checks until all is moved, but no longer than this without another value being moved.
    pub settle: Option<Duration>,
}

/// What the histories tell, and what was found wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// `history-check`.
    pub work: &'static str,
    /// The topic that was written to.
    pub topic: String,
    /// Transactions that clients were told are committed.
    pub committed: u64,
    /// Those that were not: aborted, refused, or never asked to be committed.
    pub aborted: u64,
    /// Those that may have come to either end.
    pub unknown: u64,
    /// Of these, those that are there.
    pub unknown_there: u64,
    /// Transactions of movers among all of these.
    pub moves: u64,
    /// Values that readers of committed records see.
    pub values: u64,
    /// Values that only readers of all see.
    pub values_hidden: u64,
    /// Acknowledgements that were held to their offsets.
    pub acknowledged: u64,
    /// What is wrong.
    pub findings: Findings,
}

impl CheckReport {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.findings.count() == 0
    }
}

/// Reads both topics and checks them. No client may be at work any more, but for those that [`CheckOptions::settle`] waits for.
pub fn check(options: &CheckOptions, control: &Control) -> Result<CheckReport, PerfError> {
    let mut histories = Histories::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(PerfError::Runtime)?;
    runtime.block_on(async {
        let config = ClientConfig::new(&options.bootstrap.to_string()).client_id(CLIENT_ID);
        let client = Client::connect(config).await?;
        if let (Some(idle), Some(target)) = (options.settle, &options.moved_to) {
            settle(&client, &options.topic, target, idle, control).await?;
        }
        for file in &options.files {
            histories.read(file)?;
        }
        let source = view(&client, &options.topic).await?;
        let target = match &options.moved_to {
            Some(topic) => Some(view(&client, topic).await?),
            None => None,
        };
        Ok(report(&options.topic, &histories, &source, target.as_ref()))
    })
}

fn report(topic: &str, histories: &Histories, source: &View, target: Option<&View>) -> CheckReport {
    let mut report = CheckReport { work: "history-check", topic: topic.to_owned(), ..CheckReport::default() };
    let visible: std::collections::HashSet<_> = [Some(source), target]
        .into_iter()
        .flatten()
        .flat_map(|view| view.committed.iter().filter_map(|seen| Some(seen.value?.id.transaction)))
        .collect();
    for (id, told) in &histories.transactions {
        match told.known() {
            Known::Committed => report.committed += 1,
            Known::NotCommitted => report.aborted += 1,
            Known::Either => {
                report.unknown += 1;
                report.unknown_there += u64::from(visible.contains(id));
            }
        }
        report.moves += u64::from(told.plan.iter().any(|planned| planned.from.is_some()));
        report.acknowledged += told.written.len() as u64;
    }
    for view in [Some(source), target].into_iter().flatten() {
        report.values += view.committed.len() as u64;
        report.values_hidden += view.all.len().saturating_sub(view.committed.len()) as u64;
    }
    report.findings = check::check(histories, source, target);
    report
}

fn config(isolation: IsolationLevel) -> ConsumerConfig {
    ConsumerConfig::default().isolation_level(isolation).auto_offset_reset(OffsetReset::Earliest)
}

async fn view(client: &Client, topic: &str) -> Result<View, PerfError> {
    let all = all_of(client, topic, IsolationLevel::ReadUncommitted).await?;
    let committed = all_of(client, topic, IsolationLevel::ReadCommitted).await?;
    let held_up = all.1.iter().zip(&committed.1).filter(|(all, committed)| committed < all).count();
    Ok(View { committed: committed.0, all: all.0, held_up })
}

/// All records up to the ends there are, and those ends.
async fn all_of(client: &Client, topic: &str, isolation: IsolationLevel) -> Result<(Vec<Seen>, Vec<i64>), PerfError> {
    let mut consumer = Consumer::new(client, config(isolation))?;
    let partitions = consumer.partitions_of(topic).await?;
    let ends = consumer.end_offsets(&partitions).await?;
    consumer.assign(partitions).await?;
    let mut records = Vec::new();
    let reading = async {
        while let Some(batch) = consumer.next_batch_before(&ends).await? {
            seen(&batch, &mut records)?;
        }
        Ok::<_, PerfError>(())
    };
    let why = || format!("it could not be read up to {ends:?}");
    match tokio::time::timeout(READ_WAIT, reading).await {
        Ok(read) => read?,
        Err(_) => return Err(PerfError::NotReady { topic: topic.to_owned(), why: why(), waited_s: READ_WAIT.as_secs_f64() }),
    }
    records.sort_by_key(|seen| seen.place);
    Ok((records, ends.values().map(|end| end.0).collect()))
}

fn seen(batch: &RecordBatch, into: &mut Vec<Seen>) -> Result<(), PerfError> {
    for record in &batch.records()? {
        let record = record?;
        let place = Place { partition: batch.partition().0, offset: record.offset.0 };
        into.push(Seen { place, value: record.value.and_then(Value::read) });
    }
    Ok(())
}

/// Waits until each value of the source is in the target.
async fn settle(client: &Client, source: &str, target: &str, idle: Duration, control: &Control) -> Result<(), PerfError> {
    let (inputs, _) = all_of(client, source, IsolationLevel::ReadCommitted).await?;
    let mut missing = check::places(&inputs);
    let mut consumer = Consumer::new(client, config(IsolationLevel::ReadCommitted))?;
    consumer.assign(consumer.partitions_of(target).await?).await?;
    while !missing.is_empty() && !control.is_ended() {
        // What is not moved by then will be told as that.
        let Some(batch) = consumer.poll(idle).await? else { break };
        let mut outputs = Vec::new();
        seen(&batch, &mut outputs)?;
        for input in outputs.iter().filter_map(|seen| seen.value?.input) {
            missing.remove(&input.place);
        }
    }
    Ok(())
}
