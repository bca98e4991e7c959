//! Ledger: a writer for each partition sends numbered records with acks=all, one at a time, each sent again until it is
//! acknowledged; every acknowledgement goes into a file. Whatever befalls the cluster meanwhile, [`crate::audit`] then
//! holds what it has against what it has promised.

pub(crate) mod book;
pub(crate) mod record;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_model::{Acks, PartitionId, Sequence};
use ottla_wire::message::init_producer_id::InitProducerIdRequest;
use serde::Serialize;

use crate::batch::{single, single_of_producer};
use crate::cluster::{LED_WAIT, leaders, leaders_now};
use crate::connection::{Connection, produce_frame, produced, version};
use crate::{Bootstrap, Control, PerfError, Unit};
use book::BookWriter;
use record::Writer;

pub use record::RECORD_BYTES_MIN;

/// Partitions of a ledger, each with a thread.
pub const PARTITIONS_MAX: usize = 1_024;
/// How long an answer may take before the record is sent again.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(20);
/// How long after its time a writer goes on with a record that is not acknowledged.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// What is to be written.
#[derive(Clone, Debug)]
pub struct LedgerOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic; it must exist.
    pub topic: String,
    /// Its first so many partitions; `None`: all.
    pub partitions: Option<usize>,
    /// The ledger; gone on with, where there is one.
    pub file: PathBuf,
    /// How long.
    pub time: Duration,
    /// Bytes of each value.
    pub record_bytes: usize,
    /// Whether the writers are idempotent producers, of which nothing is written twice however often it is sent.
    pub idempotent: bool,
}

/// What was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LedgerReport {
    /// `ledger`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// Its partitions that were written.
    pub partitions: usize,
    /// Lines written down.
    pub acknowledged: u64,
    /// How often a record was sent again.
    pub resent: u64,
    /// The longest that any writer waited for an acknowledgement.
    pub longest_ack_gap_ms: u64,
    /// Writers of which nothing was acknowledged at all.
    pub silent_partitions: usize,
}

/// Writes for as long as was asked for; fails when a partition refused for good. Those that acknowledged nothing are in the report.
pub fn run(options: &LedgerOptions, control: &Control) -> Result<LedgerReport, PerfError> {
    if options.record_bytes < RECORD_BYTES_MIN {
        let why = format!("{RECORD_BYTES_MIN} bytes say which record it is");
        return Err(PerfError::OutOfBounds { what: "bytes of a record", given: options.record_bytes as u64, why });
    }
    let led = leaders(&options.bootstrap, &options.topic, options.partitions, LED_WAIT, control)?;
    if led.len() > PARTITIONS_MAX {
        let why = format!("a ledger has a thread for each, and no more than {PARTITIONS_MAX}");
        return Err(PerfError::OutOfBounds { what: "partitions", given: led.len() as u64, why });
    }
    let book = BookWriter::open(&options.file)?;
    let started = Instant::now();
    let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    control.expect(options.time.as_millis() as u64, Unit::Time);
    let failed = AtomicBool::new(false);
    let shared = Shared { options, book: &book, until: started + options.time, failed: &failed, control };
    let results: Vec<Result<Tally, PerfError>> = std::thread::scope(|scope| {
        let writing = |partition: PartitionId| {
            let (shared, writer) = (&shared, Writer { run, partition: partition.0 });
            move || {
                let result = WriterState::new(shared, writer).run();
                shared.failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            }
        };
        let threads: Vec<_> = led.iter().map(|led| scope.spawn(writing(led.partition))).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect()
    });
    let mut report = LedgerReport { work: "ledger", topic: options.topic.clone(), partitions: led.len(), ..LedgerReport::default() };
    for result in results {
        let tally = result?;
        report.acknowledged += tally.acknowledged;
        report.resent += tally.resent;
        report.longest_ack_gap_ms = report.longest_ack_gap_ms.max(tally.longest_gap.as_millis() as u64);
        report.silent_partitions += usize::from(tally.acknowledged == 0);
    }
    Ok(report)
}

struct Shared<'a> {
    options: &'a LedgerOptions,
    book: &'a BookWriter,
    until: Instant,
    failed: &'a AtomicBool,
    control: &'a Control,
}

impl Shared<'_> {
    /// Whether no new record is to be begun.
    fn is_over(&self) -> bool {
        self.control.is_ended() || self.failed.load(Ordering::Relaxed) || Instant::now() >= self.until
    }

    /// Whether a record that was begun is to be given up.
    fn is_given_up(&self) -> bool {
        self.control.is_ended() || self.failed.load(Ordering::Relaxed) || Instant::now() >= self.until + LAST_WAIT
    }
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    resent: u64,
    longest_gap: Duration,
}

/// An idempotent producer's identity, as the broker gave it.
#[derive(Clone, Copy)]
struct Producer {
    id: i64,
    epoch: i16,
}

struct WriterState<'a> {
    shared: &'a Shared<'a>,
    writer: Writer,
    connection: Option<Connection>,
    producer: Option<Producer>,
}

impl<'a> WriterState<'a> {
    fn new(shared: &'a Shared<'a>, writer: Writer) -> WriterState<'a> {
        WriterState { shared, writer, connection: None, producer: None }
    }

    fn run(mut self) -> Result<Tally, PerfError> {
        let shared = self.shared;
        let started = self.shared.until - shared.options.time;
        let (mut tally, mut last) = (Tally::default(), Instant::now());
        while !shared.is_over() {
            let number = tally.acknowledged;
            let value = record::value(self.writer, number, shared.options.record_bytes);
            loop {
                match self.send(number, &value) {
                    Ok(offset) => {
                        shared.book.acknowledged(self.writer, number, offset)?;
                        break;
                    }
                    // Whether it was written is not known: it is sent again.
                    Err(error) if error.is_transient() => self.connection = None,
                    Err(error) => return Err(error),
                }
                tally.resent += 1;
                shared.control.pause(TRY_PAUSE);
                if shared.is_given_up() {
                    tally.longest_gap = tally.longest_gap.max(last.elapsed());
                    return Ok(tally);
                }
            }
            tally.acknowledged += 1;
            tally.longest_gap = tally.longest_gap.max(last.elapsed());
            last = Instant::now();
            shared.control.reach(started.elapsed().as_millis() as u64);
        }
        Ok(tally)
    }

    /// Sends a record to whoever leads now; gives its offset.
    fn send(&mut self, number: u64, value: &[u8]) -> Result<i64, PerfError> {
        let options = self.shared.options;
        let partition = self.writer.partition;
        let batch = match self.producer()? {
            // Sequences wrap to 0 behind the largest, as the producer's do.
            Some(Producer { id, epoch }) => single_of_producer(value, id, epoch, (number % (Sequence(i32::MAX).0 as u64 + 1)) as i32)?,
            None => single(value)?,
        };
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let led = leaders_now(&options.bootstrap, &options.topic, options.partitions)?;
                let leader = led.iter().find(|led| led.partition.0 == partition);
                let missing =
                    || PerfError::NotReady { topic: options.topic.clone(), why: format!("no partition {partition}"), waited_s: 0.0 };
                none.insert(Connection::open_waiting(&leader.ok_or_else(missing)?.address, ANSWER_WAIT)?)
            }
        };
        connection.send(&produce_frame(&options.topic, &[partition], &batch, Acks::All.to_wire())?)?;
        connection.receive()?;
        produced(connection)
    }

    /// This writer's producer id, asked for once.
    fn producer(&mut self) -> Result<Option<Producer>, PerfError> {
        if !self.shared.options.idempotent || self.producer.is_some() {
            return Ok(self.producer);
        }
        let mut connection = self.shared.options.bootstrap.connect()?;
        let request = InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 0, producer_id: -1, producer_epoch: -1 };
        let response = connection.call(&request, version::INIT_PRODUCER_ID)?;
        if response.error_code != 0 {
            return Err(PerfError::Refused { subject: "a producer id".to_owned(), code: response.error_code, said: None });
        }
        self.producer = Some(Producer { id: response.producer_id, epoch: response.producer_epoch });
        Ok(self.producer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;
    use ottla_wire::ErrorCode;

    fn options(broker: &Scripted, dir: &tempfile::TempDir) -> LedgerOptions {
        LedgerOptions {
            bootstrap: broker.bootstrap(),
            topic: "t".to_owned(),
            partitions: None,
            file: dir.path().join("ledger"),
            time: Duration::from_secs(3600),
            record_bytes: 64,
            idempotent: false,
        }
    }

    /// Runs until every partition has so many records.
    fn run_until_written(options: &LedgerOptions, broker: &Scripted, records: i64) -> LedgerReport {
        let control = Control::new();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| run(options, &control).unwrap());
            broker.wait_until_written(records);
            control.end();
            running.join().unwrap()
        })
    }

    #[test]
    fn every_acknowledgement_is_written_down_with_its_offset() {
        let (broker, dir) = (Scripted::start(3), tempfile::tempdir().unwrap());
        let report = run_until_written(&options(&broker, &dir), &broker, 5);
        let book = book::Book::read(&dir.path().join("ledger")).unwrap();
        assert_eq!(book.acknowledgements(), report.acknowledged);
        assert!(report.acknowledged >= 15 && report.silent_partitions == 0, "{report:?}");
        for (writer, offsets) in &book.writers {
            let dense: Vec<i64> = (0..offsets.len() as i64).collect();
            assert_eq!(offsets, &dense, "{writer:?}");
        }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_and_written_down_once() {
        for idempotent in [false, true] {
            let (broker, dir) = (Scripted::start(1), tempfile::tempdir().unwrap());
            // Taken, and the connection lost before the answer: it is in the log twice, unless the broker knows it again.
            broker.disconnect_after_produce(5);
            let all = LedgerOptions { idempotent, ..options(&broker, &dir) };
            let report = run_until_written(&all, &broker, 20);
            assert_eq!(report.resent, 5);
            let written = broker.records_by_partition()[0] as u64;
            assert_eq!(written - report.acknowledged, if idempotent { 0 } else { 5 });
        }
    }

    #[test]
    fn a_refusal_for_good_ends_the_run() {
        let (broker, dir) = (Scripted::start(2), tempfile::tempdir().unwrap());
        broker.refuse_produce_to(1, ErrorCode::OutOfOrderSequenceNumber);
        let error = run(&options(&broker, &dir), &Control::new()).unwrap_err();
        assert!(error.to_string().contains("OUT_OF_ORDER_SEQUENCE_NUMBER"), "{error}");
    }

    #[test]
    fn a_run_that_is_ended_does_not_wait_for_what_is_refused() {
        let (broker, dir) = (Scripted::start(1), tempfile::tempdir().unwrap());
        broker.refuse_produce_to(0, ErrorCode::NotEnoughReplicas);
        let control = Control::new();
        let ending = control.clone();
        let all = options(&broker, &dir);
        let run = std::thread::spawn(move || run(&all, &control));
        broker.wait_until_refused();
        ending.end();
        let report = run.join().unwrap().unwrap();
        assert_eq!((report.acknowledged, report.silent_partitions), (0, 1));
    }
}
