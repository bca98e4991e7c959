//! Consume: fetches one after another, each batch's offsets held to follow the one before and its CRC to its bytes.
//!
//! Each partition is read by one connection, from its first offset on. A fetch asks for all partitions of its connection
//! and waits a moment where there is nothing, as consumers do; sessions are not used, so that brokers are asked alike.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ottla_wire::Records;
use ottla_wire::batch::Batches;
use ottla_wire::message::fetch::FetchRequest;

use crate::cluster::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, LED_WAIT, leaders, offsets};
use crate::connection::{Connection, fetch_request, frame, version};
use crate::produce::{CONNECTIONS_MAX, in_threads};
use crate::report::{Described, Moved, Stopwatch};
use crate::shares::{Share, Sharing, shares};
use crate::{Amount, Bootstrap, Control, LoadReport, PerfError, Processes, Unit};

/// How long a broker may wait for the first byte of an answer.
const FETCH_WAIT_MS: i32 = 200;
/// How long nothing may come before what is missing is missed: producers that are still at work have time to catch up.
const IDLE_WAIT: Duration = Duration::from_secs(5);
/// The most that one fetch may ask for: Kafka's own bound on an answer.
pub const FETCH_BYTES_MAX: u32 = 100 << 20;

/// What is to be read, and how.
#[derive(Clone, Debug)]
pub struct ConsumeOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic.
    pub topic: String,
    /// Its first so many partitions; `None`: all.
    pub partitions: Option<usize>,
    /// Connections, dealt to the leaders; never more than partitions.
    pub connections: usize,
    /// Bytes that one fetch asks for, and as many of each partition.
    pub fetch_bytes: u32,
    /// How much; `None`: up to where the partitions end at the start of the run.
    pub amount: Option<Amount>,
    /// Whether batches are held to their CRCs and their offsets to each other.
    pub check: bool,
    /// The broker's processes, if its cost is to be known.
    pub processes: Processes,
}

/// Reads; fails when something is damaged, missing, or less than asked for.
pub fn run(options: &ConsumeOptions, control: &Control) -> Result<LoadReport, PerfError> {
    let bound = |what, given: u64, max: u64| match (1..=max).contains(&given) {
        true => Ok(()),
        false => Err(PerfError::OutOfBounds { what, given, why: format!("it is a number from 1 to {max}") }),
    };
    bound("connections", options.connections as u64, CONNECTIONS_MAX as u64)?;
    bound("bytes of a fetch", u64::from(options.fetch_bytes), u64::from(FETCH_BYTES_MAX))?;
    let led = leaders(&options.bootstrap, &options.topic, options.partitions, LED_WAIT, control)?;
    let shares = shares(&led, options.connections, Sharing::Exclusive);
    let fetchers = shares.iter().map(|share| Fetcher::new(options, share)).collect::<Result<Vec<_>, _>>()?;
    match options.amount {
        Some(Amount::Bytes(bytes)) => control.expect(bytes, Unit::Bytes),
        Some(Amount::Records(records)) => control.expect(records, Unit::Things),
        Some(Amount::Time(time)) => control.expect(time.as_millis() as u64, Unit::Time),
        None => control.expect(fetchers.iter().map(Fetcher::records_left).sum(), Unit::Things),
    }

    let watch = Stopwatch::start(&options.processes)?;
    let goal = Goal { amount: options.amount, started: watch.started(), read: AtomicU64::new(0), over: AtomicBool::new(false), control };
    let moved = in_threads(fetchers, |fetcher| fetcher.run(&goal), || goal.over.store(true, Ordering::Relaxed))?;
    let missed = match options.amount {
        Some(Amount::Bytes(wanted)) => Some((moved.bytes, wanted, "bytes")),
        Some(Amount::Records(wanted)) => Some((moved.records, wanted, "records")),
        Some(Amount::Time(_)) | None => None,
    };
    if let Some((found, wanted, what)) = missed.filter(|(found, wanted, _)| found < wanted && !control.is_ended()) {
        return Err(PerfError::NotEnough { found, wanted, what });
    }
    let how = Described { work: "consume", client: "raw", topic: &options.topic, partitions: led.len(), connections: shares.len() };
    watch.report(how, &moved)
}

/// What ends the run, for all connections together.
struct Goal<'c> {
    amount: Option<Amount>,
    started: Instant,
    /// Bytes or records, as the amount has it.
    read: AtomicU64,
    over: AtomicBool,
    control: &'c Control,
}

impl Goal<'_> {
    /// Counts what an answer brought.
    fn read(&self, bytes: u64, records: u64) {
        match self.amount {
            Some(Amount::Bytes(_)) => {
                self.read.fetch_add(bytes, Ordering::Relaxed);
                self.control.advance(bytes);
            }
            Some(Amount::Records(_)) | None => {
                self.read.fetch_add(records, Ordering::Relaxed);
                self.control.advance(records);
            }
            Some(Amount::Time(_)) => self.control.reach(self.started.elapsed().as_millis() as u64),
        }
    }

    /// Whether no more is to be fetched, by whomever.
    fn is_reached(&self) -> bool {
        self.over.load(Ordering::Relaxed)
            || self.control.is_ended()
            || match self.amount {
                None => false,
                Some(Amount::Bytes(wanted) | Amount::Records(wanted)) => self.read.load(Ordering::Relaxed) >= wanted,
                Some(Amount::Time(time)) => self.started.elapsed() >= time,
            }
    }
}

/// One connection and the partitions it reads.
struct Fetcher<'o> {
    options: &'o ConsumeOptions,
    connection: Connection,
    reading: Vec<Reading>,
    /// Where in `reading` a partition is.
    places: HashMap<i32, usize>,
}

struct Reading {
    partition: i32,
    next: i64,
    /// Where it ended at the start of the run.
    end: i64,
}

impl<'o> Fetcher<'o> {
    fn new(options: &'o ConsumeOptions, share: &Share) -> Result<Fetcher<'o>, PerfError> {
        let mut connection = Connection::open(&share.address)?;
        let starts = offsets(&mut connection, &options.topic, &share.partitions, EARLIEST_TIMESTAMP)?;
        let ends = offsets(&mut connection, &options.topic, &share.partitions, LATEST_TIMESTAMP)?;
        let reading: Vec<Reading> = share
            .partitions
            .iter()
            .zip(starts.into_iter().zip(ends))
            .map(|(partition, (next, end))| Reading { partition: partition.0, next, end })
            .collect();
        let places = reading.iter().enumerate().map(|(place, reading)| (reading.partition, place)).collect();
        Ok(Fetcher { options, connection, reading, places })
    }

    fn records_left(&self) -> u64 {
        self.reading.iter().map(|reading| (reading.end - reading.next).max(0) as u64).sum()
    }

    /// Whether all is read that is to be: to the ends of the start, unless an amount is wanted.
    fn is_done(&self, goal: &Goal<'_>) -> bool {
        goal.is_reached() || goal.amount.is_none() && self.reading.iter().all(|reading| reading.next >= reading.end)
    }

    fn run(mut self, goal: &Goal<'_>) -> Result<Moved, PerfError> {
        let mut moved = Moved { requests: Some(0), ..Moved::default() };
        let mut last_news = Instant::now();
        while !self.is_done(goal) {
            let sent_at = Instant::now();
            let (bytes, records) = self.fetch()?;
            goal.read(bytes, records);
            moved.bytes += bytes;
            moved.records += records;
            moved.requests = moved.requests.map(|requests| requests + 1);
            // An answer without records took as long as it was told to wait: it says nothing of the broker.
            if bytes > 0 {
                moved.latencies.record(sent_at.elapsed());
                last_news = Instant::now();
            } else if last_news.elapsed() >= IDLE_WAIT {
                match goal.amount {
                    Some(Amount::Time(_)) => {}
                    // Whether the other connections found enough is seen when all are done.
                    Some(Amount::Bytes(_) | Amount::Records(_)) => break,
                    None => return Err(self.stalled()),
                }
            }
        }
        Ok(moved)
    }

    fn stalled(&self) -> PerfError {
        let unfinished = self.reading.iter().find(|reading| reading.next < reading.end);
        let (partition, offset, end) = unfinished.map_or((-1, -1, -1), |reading| (reading.partition, reading.next, reading.end));
        PerfError::Stalled { partition, offset, end, waited_s: IDLE_WAIT.as_secs() }
    }

    /// One fetch; gives the bytes of whole batches and the records that it brought.
    fn fetch(&mut self) -> Result<(u64, u64), PerfError> {
        let from = self.reading.iter().map(|reading| (reading.partition, reading.next));
        let request = fetch_request(&self.options.topic, from, self.options.fetch_bytes as i32, FETCH_WAIT_MS);
        self.connection.send(&frame(&request, version::FETCH, 0)?)?;
        self.connection.receive()?;
        let response = self.connection.answer::<FetchRequest<'_>>(version::FETCH)?;
        let refused = |subject: String, code| Err(PerfError::Refused { subject, code, said: None });
        if response.error_code != 0 {
            return refused(format!("fetch from {}", self.connection.address()), response.error_code);
        }
        let (mut bytes, mut records) = (0, 0);
        for answer in response.responses.iter().flat_map(|topic| &topic.partitions) {
            if answer.error_code != 0 {
                return refused(format!("fetch from {}-{}", self.options.topic, answer.partition_index), answer.error_code);
            }
            let Records::Borrowed(batches) = answer.records else { continue };
            let Some(reading) = self.places.get(&answer.partition_index).and_then(|place| self.reading.get_mut(*place)) else { continue };
            let before = reading.next;
            bytes += reading.take(batches, self.options.check)?;
            // Offsets of a yardstick server start over; those of a log never do.
            records += u64::try_from(reading.next - before).unwrap_or(0);
        }
        Ok((bytes, records))
    }
}

impl Reading {
    /// Goes past these batches; gives the bytes of those that are whole.
    fn take(&mut self, batches: &[u8], check: bool) -> Result<u64, PerfError> {
        let mut bytes = 0;
        for batch in Batches::new(batches) {
            let damaged = |cause| PerfError::Damaged { partition: self.partition, offset: self.next, cause };
            let batch = batch.map_err(damaged)?;
            let (first, last) = (batch.base_offset(), batch.last_offset());
            if check {
                // The first batch may begin before the offset that was asked for: a batch is given whole.
                if first > self.next || last < self.next {
                    return Err(PerfError::Discontinuous { partition: self.partition, expected: self.next, first, last });
                }
                batch.check_crc().map_err(damaged)?;
            }
            self.next = last + 1;
            bytes += batch.length_in_bytes() as u64;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;

    fn options(broker: &Scripted) -> ConsumeOptions {
        ConsumeOptions {
            bootstrap: broker.bootstrap(),
            topic: "t".to_owned(),
            partitions: None,
            connections: 2,
            fetch_bytes: 4096,
            amount: None,
            check: true,
            processes: Processes::default(),
        }
    }

    fn filled(partitions: usize, batches: usize) -> Scripted {
        let broker = Scripted::start(partitions);
        for partition in 0..partitions {
            for _ in 0..batches {
                broker.append(partition, &[b"one", b"two", b"three"]);
            }
        }
        broker
    }

    #[test]
    fn everything_there_is_read_once() {
        let broker = filled(3, 100);
        let report = run(&options(&broker), &Control::new()).unwrap();
        assert_eq!((report.records, report.bytes), (900, broker.bytes()));
        assert_eq!((report.partitions, report.connections), (3, 2));
        assert!(report.requests.unwrap() > 5, "4 KiB at a time");
    }

    #[test]
    fn an_amount_ends_the_run_early_and_more_than_there_is_fails_it() {
        let broker = filled(1, 1000);
        let some = run(&ConsumeOptions { amount: Some(Amount::Bytes(10_000)), ..options(&broker) }, &Control::new()).unwrap();
        assert!((10_000..=10_000 + 4096).contains(&some.bytes), "{some:?}");
        let some = run(&ConsumeOptions { amount: Some(Amount::Records(100)), ..options(&broker) }, &Control::new()).unwrap();
        assert!((100..3000).contains(&some.records), "{some:?}");
    }

    #[test]
    fn damage_is_found_and_passed_over_only_when_nobody_looks() {
        let broker = filled(1, 10);
        broker.damage(0, 5);
        let error = run(&options(&broker), &Control::new()).unwrap_err();
        assert!(error.to_string().starts_with("partition 0: the batch at offset 15 is damaged"), "{error}");
        let report = run(&ConsumeOptions { check: false, ..options(&broker) }, &Control::new()).unwrap();
        assert_eq!(report.records, 30);
    }

    #[test]
    fn a_batch_that_was_left_out_is_found() {
        let broker = filled(1, 10);
        broker.remove(0, 4);
        let error = run(&options(&broker), &Control::new()).unwrap_err();
        assert_eq!(error.to_string(), "partition 0: a batch with offsets 15 to 17 where 12 was due");
    }

    #[test]
    fn a_fetch_that_is_refused_is_named() {
        let broker = filled(2, 1);
        broker.refuse_fetch_of(1, ottla_wire::ErrorCode::CorruptMessage);
        let error = run(&options(&broker), &Control::new()).unwrap_err();
        assert!(error.to_string().starts_with("fetch from t-1: CORRUPT_MESSAGE"), "{error}");
    }
}
