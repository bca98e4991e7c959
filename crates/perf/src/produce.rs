//! Produce: batches that were built before, sent over and over, a thread and a connection for each share of partitions.
//!
//! Requests are written as they will go over the wire before the clock starts. A thread then only writes, reads answers,
//! and looks for errors in them. The time of a request is taken from its own sending: a connection that is full sends no
//! more, so these are times of service. What a record waits for altogether is what [`crate::end_to_end`] measures.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use ottla_model::Acks;
use ottla_wire::message::api_versions::ApiVersionsRequest;

use crate::cluster::{LED_WAIT, leaders};
use crate::connection::{Connection, produce_frame, produced, version};
use crate::report::{Described, Moved, Stopwatch};
use crate::shares::{Share, Sharing, shares};
use crate::{Amount, BatchShape, Bootstrap, Control, LoadReport, PerfError, Processes};

/// Connections of a run, each with a thread.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Requests on one connection that may wait for their answers.
pub const IN_FLIGHT_MAX: usize = 10_000;
/// Memory for the requests of a run, which are all written before it starts.
const FRAMES_BYTES_MAX: u64 = 2 << 30;
/// Between two answers to the question how far the run is, where it goes by time.
const TIME_PROGRESS_MS: u64 = 100;

/// What is to be produced, and how.
#[derive(Clone, Debug)]
pub struct ProduceOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic; it must exist.
    pub topic: String,
    /// Its first so many partitions; `None`: all.
    pub partitions: Option<usize>,
    /// What a batch is like.
    pub batch: BatchShape,
    /// Partitions that one request writes to, a batch for each.
    pub partitions_per_request: usize,
    /// Connections, dealt to the leaders.
    pub connections: usize,
    /// Requests on one connection that may wait for their answers.
    pub in_flight: usize,
    /// Who must have a batch before it is answered.
    pub acks: Acks,
    /// How much.
    pub amount: Amount,
    /// The broker's processes, if its cost is to be known.
    pub processes: Processes,
}

/// Produces; returns when everything is answered. With acks=0, when the broker has read everything.
pub fn run(options: &ProduceOptions, control: &Control) -> Result<LoadReport, PerfError> {
    check(options)?;
    let led = leaders(&options.bootstrap, &options.topic, options.partitions, LED_WAIT, control)?;
    let shares = shares(&led, options.connections, Sharing::Shared);
    let batch = options.batch.build(0)?;
    let batches = shares.iter().map(|share| share.partitions.len() as u64).sum::<u64>();
    if batches * batch.len() as u64 > FRAMES_BYTES_MAX {
        let why = format!("with batches of {} bytes the requests would take more than {FRAMES_BYTES_MAX}", batch.len());
        return Err(PerfError::OutOfBounds { what: "partitions to write to", given: batches, why });
    }
    let senders = shares.iter().map(|share| Sender::new(options, share, &batch)).collect::<Result<Vec<_>, _>>()?;

    let watch = Stopwatch::start(&options.processes)?;
    let quota = Quota::new(options.amount, options.batch.records as u64, batch.len() as u64, watch.started(), control);
    let moved = in_threads(senders, |sender| sender.run(&quota), || quota.exhaust())?;
    let how = Described { work: "produce", client: "raw", topic: &options.topic, partitions: led.len(), connections: shares.len() };
    watch.report(how, &moved)
}

fn check(options: &ProduceOptions) -> Result<(), PerfError> {
    let within = |what, given: usize, max: usize| match (1..=max).contains(&given) {
        true => Ok(()),
        false => Err(PerfError::OutOfBounds { what, given: given as u64, why: format!("it is a number from 1 to {max}") }),
    };
    within("connections", options.connections, CONNECTIONS_MAX)?;
    within("requests in flight", options.in_flight, IN_FLIGHT_MAX)?;
    within("partitions in a request", options.partitions_per_request, usize::MAX)
}

/// Runs each on a thread of its own and adds up what they have moved; the first error ends the others by `abort`.
pub(crate) fn in_threads<T: Send>(
    workers: Vec<T>,
    work: impl Fn(T) -> Result<Moved, PerfError> + Sync,
    abort: impl Fn() + Sync,
) -> Result<Moved, PerfError> {
    let total = Mutex::new(Ok(Moved::default()));
    std::thread::scope(|scope| {
        for worker in workers {
            scope.spawn(|| {
                let done = work(worker);
                if done.is_err() {
                    abort();
                }
                let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match (&mut *total, done) {
                    (Ok(sum), Ok(moved)) => sum.add(&moved),
                    // The first error is the cause of what the others come to.
                    (Err(_), _) => {}
                    (total, Err(error)) => *total = Err(error),
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How much is left to be sent, for all connections together.
struct Quota<'c> {
    batches_left: AtomicU64,
    until: Option<Instant>,
    started: Instant,
    exhausted: AtomicBool,
    batch_records: u64,
    batch_bytes: u64,
    control: &'c Control,
}

impl<'c> Quota<'c> {
    fn new(amount: Amount, batch_records: u64, batch_bytes: u64, started: Instant, control: &'c Control) -> Quota<'c> {
        let (batches, until) = match amount {
            Amount::Bytes(bytes) => (bytes.div_ceil(batch_bytes), None),
            Amount::Records(records) => (records.div_ceil(batch_records), None),
            Amount::Time(time) => (u64::MAX, Some(started + time)),
        };
        match amount {
            Amount::Time(time) => control.expect(time.as_millis() as u64, crate::Unit::Time),
            _ => control.expect(batches * batch_bytes, crate::Unit::Bytes),
        }
        let (batches_left, exhausted) = (AtomicU64::new(batches), AtomicBool::new(false));
        Quota { batches_left, until, started, exhausted, batch_records, batch_bytes, control }
    }

    /// Whether one more request, of so many batches, is to be sent.
    fn take(&self, batches: u64) -> bool {
        if self.exhausted.load(Ordering::Relaxed) || self.control.is_ended() {
            return false;
        }
        if let Some(until) = self.until {
            return Instant::now() < until;
        }
        let rest = |left: u64| (left > 0).then(|| left.saturating_sub(batches));
        self.batches_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_ok()
    }

    fn exhaust(&self) {
        self.exhausted.store(true, Ordering::Relaxed);
    }

    fn sent(&self, batches: u64) {
        match self.until {
            None => self.control.advance(batches * self.batch_bytes),
            Some(_) => {
                let ms = self.started.elapsed().as_millis() as u64;
                self.control.reach(ms / TIME_PROGRESS_MS * TIME_PROGRESS_MS);
            }
        }
    }
}

/// One connection and what it sends in turn.
struct Sender {
    connection: Connection,
    frames: Vec<Frame>,
    in_flight: usize,
    acks: Acks,
}

struct Frame {
    bytes: Vec<u8>,
    batches: u64,
}

impl Sender {
    fn new(options: &ProduceOptions, share: &Share, batch: &[u8]) -> Result<Sender, PerfError> {
        let partitions: Vec<i32> = share.partitions.iter().map(|partition| partition.0).collect();
        let frame = |partitions: &[i32]| {
            let bytes = produce_frame(&options.topic, partitions, batch, options.acks.to_wire())?;
            Ok(Frame { bytes, batches: partitions.len() as u64 })
        };
        Ok(Sender {
            connection: Connection::open(&share.address)?,
            frames: partitions.chunks(options.partitions_per_request).map(frame).collect::<Result<_, PerfError>>()?,
            in_flight: options.in_flight,
            acks: options.acks,
        })
    }

    fn run(mut self, quota: &Quota<'_>) -> Result<Moved, PerfError> {
        let mut moved = Moved { requests: Some(0), ..Moved::default() };
        let mut open: VecDeque<Instant> = VecDeque::with_capacity(self.in_flight);
        let mut requests = 0u64;
        let mut batches = 0u64;
        for frame in self.frames.iter().cycle() {
            if !quota.take(frame.batches) {
                break;
            }
            let sent_at = Instant::now();
            self.connection.send(&frame.bytes)?;
            requests += 1;
            batches += frame.batches;
            quota.sent(frame.batches);
            if self.acks == Acks::None {
                continue;
            }
            open.push_back(sent_at);
            if open.len() >= self.in_flight {
                answered(&mut self.connection, &mut open, &mut moved)?;
            }
        }
        while !open.is_empty() {
            answered(&mut self.connection, &mut open, &mut moved)?;
        }
        if self.acks == Acks::None {
            // Requests are read in their order: when this is answered, all before it have been taken.
            self.connection.call(&ApiVersionsRequest::default(), version::API_VERSIONS)?;
        }
        moved.requests = Some(requests);
        moved.records = batches * quota.batch_records;
        moved.bytes = batches * quota.batch_bytes;
        Ok(moved)
    }
}

fn answered(connection: &mut Connection, open: &mut VecDeque<Instant>, moved: &mut Moved) -> Result<(), PerfError> {
    connection.receive()?;
    produced(connection)?;
    if let Some(sent_at) = open.pop_front() {
        moved.latencies.record(sent_at.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compression;
    use crate::testing::Scripted;
    use std::time::Duration;

    fn options(broker: &Scripted, amount: Amount) -> ProduceOptions {
        ProduceOptions {
            bootstrap: broker.bootstrap(),
            topic: "t".to_owned(),
            partitions: None,
            batch: BatchShape { record_bytes: 10, records: 4, compression: Compression::Lz4 },
            partitions_per_request: 2,
            connections: 2,
            in_flight: 3,
            acks: Acks::All,
            amount,
            processes: Processes::default(),
        }
    }

    #[test]
    fn as_many_records_are_written_as_were_asked_for_over_all_partitions() {
        for connections in [1, 2] {
            let broker = Scripted::start(5);
            let control = Control::new();
            let options = ProduceOptions { connections, ..options(&broker, Amount::Records(400)) };
            let report = run(&options, &control).unwrap();
            let written = broker.records_by_partition();
            assert_eq!(written.iter().sum::<i64>() as u64, report.records);
            assert!((400..=404).contains(&report.records), "whole batches, and whole requests: {report:?}");
            // Two race for them: the one may be through before the other has begun.
            assert!(connections > 1 || written.iter().all(|records| *records > 0), "{written:?}");
            assert_eq!((report.partitions, report.connections), (5, connections));
            let requests = report.requests.unwrap();
            assert!(requests >= 400 / 8, "{requests}");
            assert_eq!(report.latency_ms.unwrap().count, requests, "every request is answered and timed");
            let progress = control.progress();
            assert!(progress.done >= progress.total && progress.total > 0, "{progress:?}");
        }
    }

    #[test]
    fn without_acks_everything_has_been_taken_when_the_run_ends() {
        let broker = Scripted::start(1);
        let all = ProduceOptions { acks: Acks::None, partitions_per_request: 1, ..options(&broker, Amount::Records(400)) };
        let report = run(&all, &Control::new()).unwrap();
        assert_eq!(broker.records_by_partition(), [report.records as i64]);
        assert_eq!(report.latency_ms, None);
    }

    #[test]
    fn a_run_by_time_ends_by_itself_and_one_that_is_ended_reports_what_it_did() {
        let broker = Scripted::start(1);
        let report = run(&options(&broker, Amount::Time(Duration::from_millis(20))), &Control::new()).unwrap();
        assert_eq!(broker.records_by_partition(), [report.records as i64]);
        let ended = Control::new();
        ended.end();
        let nothing = run(&options(&broker, Amount::Time(Duration::from_secs(3600))), &ended).unwrap();
        assert_eq!(nothing.records, 0);
    }

    #[test]
    fn a_refusal_ends_the_run_and_says_which_partition_refused() {
        let broker = Scripted::start(2);
        broker.refuse_produce_to(1, ottla_wire::ErrorCode::MessageTooLarge);
        let error = run(&options(&broker, Amount::Records(1_000_000)), &Control::new()).unwrap_err();
        assert!(error.to_string().starts_with("produce to t-1: MESSAGE_TOO_LARGE"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_bound() {
        let broker = Scripted::start(1);
        let none = ProduceOptions { connections: 0, ..options(&broker, Amount::Records(1)) };
        assert_eq!(run(&none, &Control::new()).unwrap_err().to_string(), "connections cannot be 0: it is a number from 1 to 1024");
        let large = BatchShape { record_bytes: 3 << 20, records: 1, compression: Compression::None };
        let too_much = ProduceOptions { batch: large, ..options(&Scripted::start(1000), Amount::Records(1)) };
        assert!(matches!(run(&too_much, &Control::new()), Err(PerfError::OutOfBounds { given: 1000, .. })));
    }
}
