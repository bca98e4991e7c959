//! End to end: records sent at a fixed rate, each timed from the moment it was due until a consumer has it.
//!
//! From when it was due, not from when it was sent: a broker that stalls also keeps the records back that should have
//! been sent meanwhile, and to time only those that were would leave out what the stall has cost (coordinated omission).
//! The sender is never ahead of its plan, and catches up at once when it is behind.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_model::{Acks, PartitionId};
use ottla_wire::Records;
use ottla_wire::batch::{Batches, DecompressLimits};
use ottla_wire::message::api_versions::ApiVersionsRequest;
use ottla_wire::message::fetch::FetchRequest;
use serde::Serialize;

use crate::batch::single;
use crate::cluster::{LATEST_TIMESTAMP, LED_WAIT, leaders, offsets};
use crate::connection::{Connection, fetch_request, frame, produce_frame, produced, version};
use crate::report::Stopwatch;
use crate::shares::{Share, Sharing, shares};
use crate::{Bootstrap, BrokerCost, Control, Histogram, LatencyMs, PerfError, Processes, Unit};

/// Bytes of a value that say which record it is: the run and the number.
pub const RECORD_BYTES_MIN: usize = 16;
/// Records a second, at most: a thread of its own sends each.
pub const RATE_MAX: u64 = 200_000;
/// How long a fetch waits for the first byte.
const FETCH_WAIT_MS: i32 = 500;
const FETCH_BYTES: i32 = 1 << 20;
/// How long after the last record was sent the rest may take.
const DRAIN_WAIT: Duration = Duration::from_secs(30);
/// Correlation id of the request that ends a connection; all others have 0.
const GOODBYE: i32 = 1;
/// From the start of the threads to the first record.
const HEAD_START: Duration = Duration::from_millis(20);

/// What is to be sent, and how fast.
#[derive(Clone, Debug)]
pub struct EndToEndOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic; it must exist.
    pub topic: String,
    /// Its first so many partitions, written in turn.
    pub partitions: usize,
    /// Records a second, one a request.
    pub rate_per_s: u64,
    /// How long, the warm-up included.
    pub time: Duration,
    /// What is sent in the first of that time is not timed.
    pub warm_up: Duration,
    /// Bytes of each value.
    pub record_bytes: usize,
    /// Who must have a record before it is answered.
    pub acks: Acks,
    /// The broker's processes, if its cost is to be known.
    pub processes: Processes,
}

/// What a run has come to.
#[derive(Clone, Debug, Serialize)]
pub struct EndToEndReport {
    /// `end-to-end`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// Its partitions that were written.
    pub partitions: usize,
    /// The rate that was asked for.
    pub rate_per_s: u64,
    /// From the first record to the last that came back.
    pub seconds: f64,
    /// Records sent, and read.
    pub records: u64,
    /// From when a record was due until a consumer had it.
    pub latency_ms: Option<LatencyMs>,
    /// From when a record was due until it was acknowledged; none with acks=0.
    pub ack_latency_ms: Option<LatencyMs>,
    /// What it cost the broker, where its processes are known.
    pub broker: Option<BrokerCost>,
}

/// Which record is due when, and where it goes.
#[derive(Clone, Copy, Debug)]
struct Plan {
    started: Instant,
    rate_per_s: u64,
    partitions: u64,
    warm_up: Duration,
}

impl Plan {
    fn due_after(&self, number: u64) -> Duration {
        Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(self.rate_per_s)) as u64)
    }

    fn partition(&self, number: u64) -> i32 {
        (number % self.partitions) as i32
    }

    /// Counts how long after it was due a record came; of the warm-up nothing.
    fn time(&self, number: u64, histogram: &mut Histogram) {
        let due = self.due_after(number);
        if due >= self.warm_up {
            histogram.record(self.started.elapsed().saturating_sub(due));
        }
    }

    /// The records among the first `count` that go to these partitions.
    fn numbers_of<'p>(&self, partitions: &'p [PartitionId], count: u64) -> impl Iterator<Item = u64> + use<'p> {
        let plan = *self;
        (0..count).filter(move |number| partitions.contains(&PartitionId(plan.partition(*number))))
    }
}

/// What the threads of a run tell each other.
struct Sent {
    /// Records that are to come: less in the end, when the run is ended early.
    count: AtomicU64,
    /// Something went wrong: what was sent need not come.
    failed: AtomicBool,
}

impl Sent {
    fn noting<T>(&self, result: Result<T, PerfError>) -> Result<T, PerfError> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Sends, reads and times; fails when a record does not come back.
pub fn run(options: &EndToEndOptions, control: &Control) -> Result<EndToEndReport, PerfError> {
    check(options)?;
    let led = leaders(&options.bootstrap, &options.topic, Some(options.partitions), LED_WAIT, control)?;
    let shares = shares(&led, 1, Sharing::Exclusive);
    let mut lanes = shares.iter().map(|share| Lane::open(options, share)).collect::<Result<Vec<_>, _>>()?;
    let run_id = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let wanted = options.rate_per_s * options.time.as_millis() as u64 / 1000;
    control.expect(wanted, Unit::Things);

    let watch = Stopwatch::start(&options.processes)?;
    let plan = Plan {
        started: Instant::now() + HEAD_START,
        rate_per_s: options.rate_per_s,
        partitions: options.partitions as u64,
        warm_up: options.warm_up,
    };
    let sent = Sent { count: AtomicU64::new(wanted), failed: AtomicBool::new(false) };
    let (read, acked) = std::thread::scope(|scope| {
        let mut readers = Vec::new();
        let mut ackers = Vec::new();
        let mut writers = Vec::new();
        for Lane { share, reader, acker, writer } in lanes.drain(..) {
            writers.push((share.partitions.clone(), writer));
            let (topic, sent) = (&options.topic, &sent);
            if options.acks != Acks::None {
                ackers.push(scope.spawn(move || sent.noting(acknowledgements(acker, &plan, &share.partitions))));
            }
            readers.push(scope.spawn(move || sent.noting(reader.run(topic, run_id, &plan, sent))));
        }
        let last = send(options, run_id, &plan, &mut writers, &sent, control);
        sent.count.store(*last.as_ref().unwrap_or(&0), Ordering::Release);
        // A writer that failed has said why; the others' acknowledgements end all the same.
        let goodbyes = writers.iter_mut().try_for_each(|(_, writer)| goodbye(writer));
        let read = gathered(readers);
        let acked = gathered(ackers);
        last.and(goodbyes)?;
        // A record that was refused cannot come: the refusal is the reason.
        let acked = acked?;
        Ok::<_, PerfError>((read?, acked))
    })?;
    let sent = sent.count.into_inner();
    let bytes = sent * options.record_bytes as u64;
    let (seconds, broker) = watch.stop(bytes, Some(sent))?;
    Ok(EndToEndReport {
        work: "end-to-end",
        topic: options.topic.clone(),
        partitions: options.partitions,
        rate_per_s: options.rate_per_s,
        seconds,
        records: sent,
        latency_ms: read.summary(),
        ack_latency_ms: acked.summary(),
        broker,
    })
}

fn check(options: &EndToEndOptions) -> Result<(), PerfError> {
    let refused = |what, given, why: String| Err(PerfError::OutOfBounds { what, given, why });
    if options.record_bytes < RECORD_BYTES_MIN {
        let why = format!("{RECORD_BYTES_MIN} bytes say which record it is");
        return refused("bytes of a record", options.record_bytes as u64, why);
    }
    if !(1..=RATE_MAX).contains(&options.rate_per_s) {
        return refused("records a second", options.rate_per_s, format!("it is a number from 1 to {RATE_MAX}"));
    }
    if options.partitions == 0 {
        return refused("partitions", 0, "a record goes somewhere".to_owned());
    }
    Ok(())
}

fn gathered(threads: Vec<std::thread::ScopedJoinHandle<'_, Result<Histogram, PerfError>>>) -> Result<Histogram, PerfError> {
    let mut all = Histogram::new();
    let mut failed = None;
    for thread in threads {
        match thread.join() {
            Ok(Ok(histogram)) => all.merge(&histogram),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    failed.map_or(Ok(all), Err)
}

/// What goes on with one leader: sending and acknowledgements on one connection, reading on another.
struct Lane {
    share: Share,
    reader: RecordReader,
    acker: Connection,
    writer: Connection,
}

impl Lane {
    fn open(options: &EndToEndOptions, share: &Share) -> Result<Lane, PerfError> {
        let mut reading = Connection::open(&share.address)?;
        let ends = offsets(&mut reading, &options.topic, &share.partitions, LATEST_TIMESTAMP)?;
        let next = share.partitions.iter().map(|partition| partition.0).zip(ends).collect();
        let writer = Connection::open(&share.address)?;
        let reader = RecordReader { connection: reading, partitions: share.partitions.clone(), next };
        Ok(Lane { share: share.clone(), reader, acker: writer.try_clone()?, writer })
    }
}

/// Sends each record when it is due; gives how many.
fn send(
    options: &EndToEndOptions,
    run_id: u64,
    plan: &Plan,
    writers: &mut [(Vec<PartitionId>, Connection)],
    sent: &Sent,
    control: &Control,
) -> Result<u64, PerfError> {
    let mut value = vec![b'x'; options.record_bytes];
    let wanted = options.rate_per_s * options.time.as_millis() as u64 / 1000;
    for number in 0..wanted {
        if !control.pause_until(plan.started + plan.due_after(number)) || sent.has_failed() {
            return Ok(number);
        }
        let partition = plan.partition(number);
        if let Some(head) = value.first_chunk_mut::<RECORD_BYTES_MIN>() {
            *head = record_head(run_id, number);
        }
        let frame = produce_frame(&options.topic, &[partition], &single(&value)?, options.acks.to_wire())?;
        if let Some((_, writer)) = writers.iter_mut().find(|(partitions, _)| partitions.contains(&PartitionId(partition))) {
            writer.send(&frame)?;
        }
        control.advance(1);
    }
    Ok(wanted)
}

fn record_head(run_id: u64, number: u64) -> [u8; RECORD_BYTES_MIN] {
    (u128::from(run_id) << 64 | u128::from(number)).to_be_bytes()
}

/// The number of a record of this run.
fn number_of(value: &[u8], run_id: u64) -> Option<u64> {
    let head = u128::from_be_bytes(*value.first_chunk()?);
    ((head >> 64) as u64 == run_id).then_some(head as u64)
}

/// Asks for something else than Produce: its answer is the last that comes.
fn goodbye(writer: &mut Connection) -> Result<(), PerfError> {
    writer.send(&frame(&ApiVersionsRequest::default(), version::API_VERSIONS, GOODBYE)?)
}

/// Reads the answers to what was sent, in their order, up to the goodbye.
fn acknowledgements(mut connection: Connection, plan: &Plan, partitions: &[PartitionId]) -> Result<Histogram, PerfError> {
    let mut histogram = Histogram::new();
    for number in plan.numbers_of(partitions, u64::MAX) {
        connection.receive()?;
        if connection.correlation_id() == Some(GOODBYE) {
            break;
        }
        produced(&connection)?;
        plan.time(number, &mut histogram);
    }
    Ok(histogram)
}

/// Reads what was sent.
struct RecordReader {
    connection: Connection,
    partitions: Vec<PartitionId>,
    next: Vec<(i32, i64)>,
}

impl RecordReader {
    fn run(mut self, topic: &str, run_id: u64, plan: &Plan, sent: &Sent) -> Result<Histogram, PerfError> {
        let mut histogram = Histogram::new();
        let mut received = 0;
        let (mut known_count, mut expected) = (0, 0);
        loop {
            let count = sent.count.load(Ordering::Acquire);
            if known_count != count {
                (known_count, expected) = (count, plan.numbers_of(&self.partitions, count).count() as u64);
            }
            if received >= expected || sent.has_failed() {
                return Ok(histogram);
            }
            if plan.started.elapsed() > plan.due_after(count) + DRAIN_WAIT {
                return Err(PerfError::Missing { received, sent: expected, waited_s: DRAIN_WAIT.as_secs() });
            }
            received += self.fetch(topic, run_id, plan, &mut histogram)?;
        }
    }

    fn fetch(&mut self, topic: &str, run_id: u64, plan: &Plan, histogram: &mut Histogram) -> Result<u64, PerfError> {
        let request = fetch_request(topic, self.next.iter().copied(), FETCH_BYTES, FETCH_WAIT_MS);
        self.connection.send(&frame(&request, version::FETCH, 0)?)?;
        self.connection.receive()?;
        let response = self.connection.answer::<FetchRequest<'_>>(version::FETCH)?;
        let mut received = 0;
        for answer in response.responses.iter().flat_map(|topic| &topic.partitions) {
            let partition = answer.partition_index;
            if answer.error_code != 0 {
                return Err(PerfError::Refused { subject: format!("fetch from {topic}-{partition}"), code: answer.error_code, said: None });
            }
            let Records::Borrowed(batches) = answer.records else { continue };
            let Some((_, next)) = self.next.iter_mut().find(|(of, _)| *of == partition) else { continue };
            for batch in Batches::new(batches) {
                let damaged = |cause| PerfError::Damaged { partition, offset: *next, cause };
                let batch = batch.map_err(damaged)?;
                let records = batch.records(&DecompressLimits::default()).map_err(damaged)?;
                for record in records.iter() {
                    let record = record.map_err(damaged)?;
                    if record.offset < *next {
                        continue;
                    }
                    if let Some(number) = record.value.and_then(|value| number_of(value, run_id)) {
                        plan.time(number, histogram);
                        received += 1;
                    }
                }
                *next = batch.last_offset() + 1;
            }
        }
        Ok(received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;

    fn options(broker: &Scripted) -> EndToEndOptions {
        EndToEndOptions {
            bootstrap: broker.bootstrap(),
            topic: "t".to_owned(),
            partitions: 3,
            rate_per_s: 1000,
            time: Duration::from_millis(200),
            warm_up: Duration::from_millis(50),
            record_bytes: 32,
            acks: Acks::All,
            processes: Processes::default(),
        }
    }

    #[test]
    fn every_record_is_timed_to_its_reader_and_to_its_acknowledgement() {
        let broker = Scripted::start(3);
        // Of another run: not to be taken for one of this.
        broker.append(0, &[b"0123456789abcdef0123456789abcdef"]);
        let report = run(&options(&broker), &Control::new()).unwrap();
        assert_eq!(report.records, 200);
        assert_eq!(report.latency_ms.unwrap().count, 150, "without those of the warm-up");
        assert_eq!(report.ack_latency_ms.unwrap().count, 150);
        assert_eq!(broker.records_by_partition(), [68, 67, 66]);
    }

    #[test]
    fn a_stall_is_charged_to_all_that_were_due_in_it() {
        let broker = Scripted::start(3);
        let stall = Duration::from_millis(100);
        broker.stall_produce_once(stall);
        let report = run(&EndToEndOptions { warm_up: Duration::ZERO, ..options(&broker) }, &Control::new()).unwrap();
        let latency = report.latency_ms.unwrap();
        assert_eq!(latency.count, 200);
        // One record in a thousand would have been slow, had each been timed from its own sending. Half of those due within
        // the stall waited for half of it at least; they are a quarter of all.
        assert!(latency.p90 >= stall.as_secs_f64() * 1e3 / 4.0, "{latency:?}");
    }

    #[test]
    fn a_refused_record_ends_the_run_with_its_reason() {
        let broker = Scripted::start(3);
        broker.refuse_produce_to(2, ottla_wire::ErrorCode::NotEnoughReplicas);
        let error = run(&options(&broker), &Control::new()).unwrap_err();
        assert!(error.to_string().contains("NOT_ENOUGH_REPLICAS"), "{error}");
    }

    #[test]
    fn a_run_that_is_ended_early_tells_what_it_has() {
        let broker = Scripted::start(3);
        let control = Control::new();
        control.end();
        let report = run(&EndToEndOptions { time: Duration::from_secs(3600), ..options(&broker) }, &control).unwrap();
        assert_eq!((report.records, report.latency_ms), (0, None));
    }

    #[test]
    fn records_are_due_at_their_rate_and_dealt_in_turn() {
        let plan = Plan { started: Instant::now(), rate_per_s: 4, partitions: 3, warm_up: Duration::ZERO };
        assert_eq!(plan.due_after(6), Duration::from_millis(1500));
        assert_eq!(plan.numbers_of(&[PartitionId(1), PartitionId(2)], 6).collect::<Vec<_>>(), [1, 2, 4, 5]);
    }

    #[test]
    fn numbers_are_of_their_run_only() {
        let head = record_head(7, 9);
        assert_eq!(number_of(&head, 7), Some(9));
        assert_eq!((number_of(&head, 8), number_of(b"short", 7)), (None, None));
    }
}
