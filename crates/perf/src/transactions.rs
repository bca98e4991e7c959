//! Transactions: each connection is a producer with a transactional id of its own, that writes a batch, commits, and begins anew
//! when that is answered.
//!
//! By the protocol's second version (KIP-890) the batch itself adds its partition to the transaction, and each end gives the
//! producer its next epoch; by the first the partition is added by a request before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ottla_model::Acks;
use ottla_wire::ErrorCode;
use ottla_wire::batch::BatchBuilder;
use ottla_wire::compress::Compression;
use ottla_wire::message::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use ottla_wire::message::end_txn::EndTxnRequest;
use ottla_wire::message::find_coordinator::KEY_TYPE_TRANSACTION;
use ottla_wire::message::init_producer_id::InitProducerIdRequest;
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use serde::Serialize;

use crate::batch::{Letters, now_ms};
use crate::cluster::{LED_WAIT, Led, leaders};
use crate::connection::{Connection, REQUEST_TIMEOUT_MS, version};
use crate::coordinator::{COORDINATOR_WAIT, coordinators, refused};
use crate::produce::{CONNECTIONS_MAX, in_threads};
use crate::report::{Moved, Stopwatch};
use crate::{Bootstrap, BrokerCost, Control, LatencyMs, PerfError, Processes, Unit};

/// Records of one transaction.
pub const RECORDS_MAX: usize = 100_000;
/// How long a transaction may stay open.
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;
/// Before a request is repeated that came while the transaction before it was still being completed.
const TRY_PAUSE: Duration = Duration::from_millis(1);
/// How long it may be repeated.
const TRY_WAIT: Duration = Duration::from_secs(30);

/// Of which version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TransactionVersion {
    /// AddPartitionsToTxn, Produce, EndTxn.
    #[serde(rename = "1")]
    One,
    /// Produce, EndTxn (KIP-890).
    #[serde(rename = "2")]
    Two,
}

/// What is to be written, and how.
#[derive(Clone, Debug)]
pub struct TransactionsOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic; it must exist. Producers are dealt to its partitions.
    pub topic: String,
    /// Its first so many partitions; `None`: all.
    pub partitions: Option<usize>,
    /// Producers, each with a connection to its coordinator and one to its partition's leader.
    pub producers: usize,
    /// What transactional ids begin with; a number follows.
    pub prefix: String,
    /// Records of one transaction.
    pub records: usize,
    /// Bytes of each.
    pub record_bytes: usize,
    /// By which protocol.
    pub version: TransactionVersion,
    /// How many transactions; `None`: as many as can be in `time`.
    pub count: Option<u64>,
    /// How long, where no number is given.
    pub time: Duration,
    /// The broker's processes, if its cost is to be known.
    pub processes: Processes,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct TransactionsReport {
    /// `transactions`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// By which protocol.
    pub version: TransactionVersion,
    /// Producers.
    pub producers: usize,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Transactions that were committed.
    pub transactions: u64,
    /// Records of them.
    pub records: u64,
    /// Requests that had to be repeated, because the transaction before was still being completed.
    pub repeated: u64,
    /// Rate of transactions.
    pub transactions_per_s: f64,
    /// From the first request of a transaction to the answer to its end.
    pub latency_ms: Option<LatencyMs>,
    /// What it cost the broker, where its processes are known; a request is a transaction.
    pub broker: Option<BrokerCost>,
}

/// Writes; returns when every transaction is committed.
pub fn run(options: &TransactionsOptions, control: &Control) -> Result<TransactionsReport, PerfError> {
    for (what, given, max) in
        [("producers", options.producers, CONNECTIONS_MAX), ("records of a transaction", options.records, RECORDS_MAX)]
    {
        if !(1..=max).contains(&given) {
            return Err(PerfError::OutOfBounds { what, given: given as u64, why: format!("it is a number from 1 to {max}") });
        }
    }
    let led = leaders(&options.bootstrap, &options.topic, options.partitions, LED_WAIT, control)?;
    let ids: Vec<String> = (0..options.producers).map(|number| format!("{}{number}", options.prefix)).collect();
    let addresses = coordinators(&options.bootstrap, KEY_TYPE_TRANSACTION, &ids, COORDINATOR_WAIT, control)?;
    let producers = ids
        .iter()
        .zip(addresses)
        .zip(led.iter().cycle())
        .map(|((id, coordinator), led)| Producer::open(options, id, &coordinator, led, control))
        .collect::<Result<Vec<_>, _>>()?;

    if let Some(count) = options.count {
        control.expect(count, Unit::Things);
    }
    let watch = Stopwatch::start(&options.processes)?;
    let until = options.count.is_none().then(|| watch.started() + options.time);
    let left = AtomicU64::new(options.count.unwrap_or(u64::MAX));
    let (aborted, repeated) = (AtomicBool::new(false), AtomicU64::new(0));
    let go_on = || {
        let over = aborted.load(Ordering::Relaxed) || control.is_ended() || until.is_some_and(|until| Instant::now() >= until);
        !over && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    };
    let work = |mut producer: Producer<'_>| {
        let mut moved = Moved { requests: Some(0), ..Moved::default() };
        let mut transactions = 0;
        while go_on() {
            let started = Instant::now();
            producer.transaction(control, &repeated)?;
            moved.latencies.record(started.elapsed());
            transactions += 1;
            control.advance(1);
        }
        moved.requests = Some(transactions);
        Ok(moved)
    };
    let moved = in_threads(producers, work, || aborted.store(true, Ordering::Relaxed))?;
    let (seconds, broker) = watch.stop(0, moved.requests)?;
    let transactions = moved.requests.unwrap_or(0);
    Ok(TransactionsReport {
        work: "transactions",
        topic: options.topic.clone(),
        version: options.version,
        producers: options.producers,
        seconds,
        transactions,
        records: transactions * options.records as u64,
        repeated: repeated.into_inner(),
        transactions_per_s: if seconds > 0.0 { transactions as f64 / seconds } else { 0.0 },
        latency_ms: moved.latencies.summary(),
        broker,
    })
}

struct Producer<'o> {
    options: &'o TransactionsOptions,
    id: &'o str,
    partition: i32,
    coordinator: Connection,
    leader: Connection,
    producer_id: i64,
    epoch: i16,
    sequence: i32,
    values: Vec<Vec<u8>>,
}

impl<'o> Producer<'o> {
    fn open(
        options: &'o TransactionsOptions,
        id: &'o str,
        coordinator: &Arc<str>,
        led: &Led,
        control: &Control,
    ) -> Result<Producer<'o>, PerfError> {
        let mut letters = Letters::new(0);
        let mut value = || {
            let mut value = vec![0; options.record_bytes];
            letters.fill(&mut value);
            value
        };
        let mut producer = Producer {
            options,
            id,
            partition: led.partition.0,
            coordinator: Connection::open(coordinator)?,
            leader: Connection::open(&led.address)?,
            producer_id: -1,
            epoch: -1,
            sequence: 0,
            values: (0..options.records).map(|_| value()).collect(),
        };
        let request =
            InitProducerIdRequest { transactional_id: Some(id), transaction_timeout_ms: TRANSACTION_TIMEOUT_MS, ..Default::default() };
        let given = repeat(control, &AtomicU64::new(0), || {
            let response = producer.coordinator.call(&request, version::INIT_PRODUCER_ID)?;
            refused(response.error_code, || format!("producer id for `{id}`")).map(|()| (response.producer_id, response.producer_epoch))
        })?;
        (producer.producer_id, producer.epoch) = given;
        Ok(producer)
    }

    /// Begins, writes and commits one.
    fn transaction(&mut self, control: &Control, repeated: &AtomicU64) -> Result<(), PerfError> {
        if self.options.version == TransactionVersion::One {
            repeat(control, repeated, || self.add_partition())?;
        }
        let batch = self.batch()?;
        repeat(control, repeated, || self.produce(&batch))?;
        let before = (self.producer_id, self.epoch);
        repeat(control, repeated, || self.commit())?;
        // Sequences begin anew with an epoch.
        let next = self.sequence.wrapping_add(self.options.records as i32) & i32::MAX;
        self.sequence = if before == (self.producer_id, self.epoch) { next } else { 0 };
        Ok(())
    }

    fn batch(&self) -> Result<Vec<u8>, PerfError> {
        let mut builder =
            BatchBuilder::new(Compression::None, usize::MAX).producer(self.producer_id, self.epoch, self.sequence).transactional();
        let now = now_ms();
        for value in &self.values {
            // No more than are built for any other run, and far from the bound of a batch.
            drop(builder.append(now, None, Some(value), &[]));
        }
        let (records, record_bytes) = (self.options.records, self.options.record_bytes);
        builder.build().map_err(|cause| PerfError::Batch { records, record_bytes, cause })
    }

    fn add_partition(&mut self) -> Result<(), PerfError> {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id,
            v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: &self.options.topic, partitions: vec![self.partition] }],
            ..Default::default()
        };
        let response = self.coordinator.call(&request, version::ADD_PARTITIONS_TO_TXN)?;
        let codes = response.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
        codes.into_iter().try_for_each(|result| refused(result.partition_error_code, || format!("partition for `{}`", self.id)))
    }

    fn produce(&mut self, batch: &[u8]) -> Result<(), PerfError> {
        let version = match self.options.version {
            TransactionVersion::One => version::PRODUCE,
            TransactionVersion::Two => version::PRODUCE_TRANSACTIONAL,
        };
        let partition_data = vec![PartitionProduceData { index: self.partition, records: Some(batch) }];
        let request = ProduceRequest {
            transactional_id: Some(self.id),
            acks: Acks::All.to_wire(),
            timeout_ms: REQUEST_TIMEOUT_MS,
            topic_data: vec![TopicProduceData { name: &self.options.topic, partition_data, ..Default::default() }],
        };
        let response = self.leader.call(&request, version)?;
        let codes = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        codes.into_iter().try_for_each(|result| {
            let subject = || format!("produce of `{}` to {}-{}", self.id, self.options.topic, result.index);
            refused(result.error_code, subject)
        })
    }

    fn commit(&mut self) -> Result<(), PerfError> {
        let request =
            EndTxnRequest { transactional_id: self.id, producer_id: self.producer_id, producer_epoch: self.epoch, committed: true };
        let version = match self.options.version {
            TransactionVersion::One => version::END_TXN,
            TransactionVersion::Two => version::END_TXN_NEW_EPOCH,
        };
        let response = self.coordinator.call(&request, version)?;
        refused(response.error_code, || format!("commit of `{}`", self.id))?;
        if self.options.version == TransactionVersion::Two && response.producer_id >= 0 {
            (self.producer_id, self.epoch) = (response.producer_id, response.producer_epoch);
        }
        Ok(())
    }
}

/// Repeats what comes too early, as clients do.
fn repeat<T>(control: &Control, repeated: &AtomicU64, mut act: impl FnMut() -> Result<T, PerfError>) -> Result<T, PerfError> {
    let started = Instant::now();
    loop {
        match act() {
            Err(error @ PerfError::Refused { code, .. }) => {
                let early = ErrorCode::from_i16(code).is_some_and(ErrorCode::retriable);
                if !early || started.elapsed() >= TRY_WAIT || !control.pause(TRY_PAUSE) {
                    return Err(error);
                }
                repeated.fetch_add(1, Ordering::Relaxed);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;

    fn options(broker: &Scripted, version: TransactionVersion) -> TransactionsOptions {
        TransactionsOptions {
            bootstrap: broker.bootstrap(),
            topic: "t".to_owned(),
            partitions: None,
            producers: 3,
            prefix: "tx-".to_owned(),
            records: 4,
            record_bytes: 10,
            version,
            count: Some(20),
            time: Duration::ZERO,
            processes: Processes::default(),
        }
    }

    #[test]
    fn each_transaction_is_added_written_and_ended_once_in_both_versions() {
        for version in [TransactionVersion::One, TransactionVersion::Two] {
            let broker = Scripted::start(2);
            let report = run(&options(&broker, version), &Control::new()).unwrap();
            assert_eq!((report.transactions, report.records, report.repeated), (20, 80, 0));
            assert_eq!(report.latency_ms.unwrap().count, 20);
            assert_eq!(broker.records_by_partition().iter().sum::<i64>(), 80);
            let added = if version == TransactionVersion::One { 20 } else { 0 };
            assert_eq!((broker.partitions_added(), broker.transactions_ended()), (added, 20));
            // What the log refuses as a duplicate would have been left out.
            assert!(broker.records_by_partition().iter().all(|records| *records > 0));
        }
    }

    #[test]
    fn what_comes_while_the_one_before_is_completed_is_repeated() {
        let broker = Scripted::start(1);
        broker.refuse_ends(2, ErrorCode::ConcurrentTransactions);
        let report = run(&options(&broker, TransactionVersion::Two), &Control::new()).unwrap();
        assert_eq!((report.transactions, report.repeated, broker.transactions_ended()), (20, 2, 20));
        broker.refuse_ends(1, ErrorCode::InvalidProducerEpoch);
        let error = run(&options(&broker, TransactionVersion::Two), &Control::new()).unwrap_err();
        assert!(error.to_string().contains("INVALID_PRODUCER_EPOCH"), "{error}");
    }
}
