//! Ready: waits until every partition of a topic is led, and a sample of them takes a record and gives it back. That is
//! what a restart has come to when clients can work again, whatever a broker says of itself.

use std::time::{Duration, Instant};

use ottla_model::Acks;
use ottla_wire::Records;
use ottla_wire::batch::Batches;
use ottla_wire::message::fetch::FetchRequest;
use serde::Serialize;

use crate::batch::single;
use crate::cluster::{Led, leaders_now};
use crate::connection::{Connection, fetch_request, produce_frame, produced, version};
use crate::{Bootstrap, Control, PerfError};

/// Between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(5);
/// How long one answer may take before the try is given up.
const TRY_WAIT: Duration = Duration::from_secs(10);
const FETCH_WAIT_MS: i32 = 500;
const FETCH_BYTES: i32 = 64 << 10;

/// What is to be ready.
#[derive(Clone, Debug)]
pub struct ReadyOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic.
    pub topic: String,
    /// How many partitions must be led; `None`: as many as it has.
    pub partitions: Option<usize>,
    /// How many partitions are tried, spread over all.
    pub sample: usize,
    /// How long it may take.
    pub wait: Duration,
}

/// That it is.
#[derive(Clone, Debug, Serialize)]
pub struct ReadyReport {
    /// `ready`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// Partitions that are led.
    pub partitions: usize,
    /// Partitions that took a record with acks=all and gave it back.
    pub tried: usize,
    /// How long it took.
    pub seconds: f64,
}

/// Waits; fails when the time is over first, with what was missing at the last try.
pub fn run(options: &ReadyOptions, control: &Control) -> Result<ReadyReport, PerfError> {
    let started = Instant::now();
    loop {
        match attempt(options) {
            Ok((partitions, tried)) => {
                let (topic, seconds) = (options.topic.clone(), started.elapsed().as_secs_f64());
                return Ok(ReadyReport { work: "ready", topic, partitions, tried, seconds });
            }
            Err(error) if error.is_transient() && started.elapsed() < options.wait && control.pause(TRY_PAUSE) => {}
            Err(PerfError::NotReady { topic, why, .. }) => {
                return Err(PerfError::NotReady { topic, why, waited_s: started.elapsed().as_secs_f64() });
            }
            Err(error) => return Err(error),
        }
    }
}

/// How many partitions are led, and how many of them were tried.
fn attempt(options: &ReadyOptions) -> Result<(usize, usize), PerfError> {
    let led = leaders_now(&options.bootstrap, &options.topic, options.partitions)?;
    let step = led.len().div_ceil(options.sample.max(1)).max(1);
    let mut connections: Vec<Connection> = Vec::new();
    let mut tried = 0;
    for one in led.iter().step_by(step) {
        let open = connections.iter().position(|connection| connection.address() == &one.address);
        let at = match open {
            Some(at) => at,
            None => {
                connections.push(Connection::open_waiting(&one.address, TRY_WAIT)?);
                connections.len() - 1
            }
        };
        try_partition(&mut connections[at], &options.topic, one)?;
        tried += 1;
    }
    Ok((led.len(), tried))
}

fn try_partition(connection: &mut Connection, topic: &str, led: &Led) -> Result<(), PerfError> {
    let partition = led.partition.0;
    let batch = single(b"ready")?;
    connection.send(&produce_frame(topic, &[partition], &batch, Acks::All.to_wire())?)?;
    connection.receive()?;
    let offset = produced(connection)?;
    let request = fetch_request(topic, std::iter::once((partition, offset)), FETCH_BYTES, FETCH_WAIT_MS);
    let response = connection.call::<FetchRequest<'_>>(&request, version::FETCH)?;
    let answer = response.responses.first().and_then(|topic| topic.partitions.first());
    if let Some(answer) = answer
        && answer.error_code != 0
    {
        return Err(PerfError::Refused { subject: format!("fetch from {topic}-{partition}"), code: answer.error_code, said: None });
    }
    let came_back = answer.is_some_and(|answer| match answer.records {
        Records::Borrowed(bytes) => Batches::new(bytes).flatten().any(|found| found.base_offset() == offset && found.check_crc().is_ok()),
        _ => false,
    });
    let why = || format!("partition {partition} did not give back what it took at offset {offset}");
    if came_back { Ok(()) } else { Err(PerfError::NotReady { topic: topic.to_owned(), why: why(), waited_s: 0.0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;
    use ottla_wire::ErrorCode;

    fn options(broker: &Scripted) -> ReadyOptions {
        ReadyOptions { bootstrap: broker.bootstrap(), topic: "t".to_owned(), partitions: None, sample: 4, wait: Duration::from_millis(50) }
    }

    #[test]
    fn a_sample_over_all_partitions_takes_a_record_and_gives_it_back() {
        let broker = Scripted::start(10);
        let report = run(&options(&broker), &Control::new()).unwrap();
        assert_eq!((report.partitions, report.tried), (10, 4));
        assert_eq!(broker.records_by_partition(), [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn what_is_missing_is_told_when_the_time_is_over() {
        let broker = Scripted::start(3);
        let more = ReadyOptions { partitions: Some(4), ..options(&broker) };
        let error = run(&more, &Control::new()).unwrap_err();
        assert!(error.to_string().contains("it has 3 partitions of the 4"), "{error}");
        broker.refuse_produce_to(0, ErrorCode::NotLeaderOrFollower);
        let error = run(&options(&broker), &Control::new()).unwrap_err();
        assert!(error.to_string().contains("NOT_LEADER_OR_FOLLOWER"), "{error}");
    }

    #[test]
    fn a_broker_that_takes_records_and_does_not_give_them_back_is_not_ready() {
        let broker = Scripted::start(1);
        broker.swallow_produce();
        let error = run(&options(&broker), &Control::new()).unwrap_err();
        assert!(error.to_string().contains("did not give back what it took"), "{error}");
    }
}
