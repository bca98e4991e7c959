//! Idle connections: opened one after the other, each greeted once, then held. What they cost is what the broker's
//! memory has grown by.

use std::time::{Duration, Instant};

use ottla_wire::message::api_versions::ApiVersionsRequest;
use serde::Serialize;

use crate::connection::version;
use crate::{Bootstrap, Control, PerfError, Processes, Unit};

/// Connections to one address that the ports of one client allow.
pub const CONNECTIONS_MAX: usize = 28_000;

/// What is to be held, and how long.
#[derive(Clone, Debug)]
pub struct ConnectionsOptions {
    /// The broker; of several the first that can be reached.
    pub bootstrap: Bootstrap,
    /// How many.
    pub count: usize,
    /// How long they are held once all are open.
    pub hold: Duration,
    /// The broker's processes, if its memory is to be known.
    pub processes: Processes,
}

/// What was held.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionsReport {
    /// `connections`.
    pub work: &'static str,
    /// How many were open at the end.
    pub held: usize,
    /// How long it took to open them all.
    pub opened_seconds: f64,
    /// The broker's resident memory before the first was open.
    pub rss_before_mib: Option<f64>,
    /// The same while all were held, at the end of it.
    pub rss_held_mib: Option<f64>,
    /// What it has grown by for each.
    pub rss_kib_per_connection: Option<f64>,
}

/// Opens and holds them; fails when one cannot be opened, or is not answered.
pub fn run(options: &ConnectionsOptions, control: &Control) -> Result<ConnectionsReport, PerfError> {
    if !(1..=CONNECTIONS_MAX).contains(&options.count) {
        let why = format!("it is a number from 1 to {CONNECTIONS_MAX}");
        return Err(PerfError::OutOfBounds { what: "connections", given: options.count as u64, why });
    }
    control.expect(options.count as u64, Unit::Things);
    let before = options.processes.used()?;
    let started = Instant::now();
    let mut held = Vec::with_capacity(options.count);
    while held.len() < options.count && !control.is_ended() {
        let mut connection = options.bootstrap.connect()?;
        connection.call(&ApiVersionsRequest::default(), version::API_VERSIONS)?;
        // Only the socket is kept: this client's own buffers would be the most of it.
        held.push(connection.into_stream());
        control.advance(1);
    }
    let opened_seconds = started.elapsed().as_secs_f64();
    control.pause(options.hold);
    let after = options.processes.used()?;
    let rss = before.zip(after).map(|(before, after)| (before.rss_bytes as f64, after.rss_bytes as f64));
    Ok(ConnectionsReport {
        work: "connections",
        held: held.len(),
        opened_seconds,
        rss_before_mib: rss.map(|(before, _)| before / f64::from(1 << 20)),
        rss_held_mib: rss.map(|(_, after)| after / f64::from(1 << 20)),
        rss_kib_per_connection: rss.filter(|_| !held.is_empty()).map(|(before, after)| (after - before) / 1024.0 / held.len() as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;

    #[test]
    fn as_many_are_held_as_were_asked_for() {
        let broker = Scripted::start(1);
        let processes = Processes::new(vec![std::process::id()]);
        let options = ConnectionsOptions { bootstrap: broker.bootstrap(), count: 20, hold: Duration::ZERO, processes };
        let report = run(&options, &Control::new()).unwrap();
        assert_eq!(report.held, 20);
        assert!(report.rss_kib_per_connection.is_some() && report.rss_before_mib.unwrap() > 0.0, "{report:?}");
    }

    #[test]
    fn a_broker_that_cannot_be_reached_is_named() {
        let options = ConnectionsOptions {
            bootstrap: "127.0.0.1:1".parse().unwrap(),
            count: 1,
            hold: Duration::ZERO,
            processes: Processes::default(),
        };
        let error = run(&options, &Control::new()).unwrap_err();
        assert!(error.to_string().starts_with("cannot reach 127.0.0.1:1"), "{error}");
    }
}
