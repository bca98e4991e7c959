//! What a broker's processes use, as the kernel counts it: `/proc/PID/stat` and `/proc/PID/status`.
//!
//! The cost in processor time is what brokers are best compared by: it moves less from run to run than a rate does, and
//! it is the broker's alone, whatever the client beside it takes.

use std::fs;

use serde::Serialize;

use crate::PerfError;

/// `USER_HZ`: what the kernel counts processor time in for user space, on every architecture that Rust runs on.
const TICKS_PER_S: f64 = 100.0;
const GIB: f64 = (1u64 << 30) as f64;

/// The processes of a broker, or of all brokers of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Processes(Vec<u32>);

/// What was used at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    cpu_s: f64,
    pub(crate) rss_bytes: u64,
    threads: u64,
}

/// What a run has cost the broker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BrokerCost {
    /// Processor time.
    pub cpu_s: f64,
    /// The same for a GiB of batches; none where none were moved.
    pub cpu_s_per_gib: Option<f64>,
    /// The same for one request, in microseconds; none where requests are not counted.
    pub cpu_us_per_request: Option<f64>,
    /// Resident memory at the end.
    pub rss_mib: f64,
    /// Threads at the end.
    pub threads: u64,
}

impl Processes {
    /// These, by their ids; none is no cost to be read.
    pub fn new(ids: Vec<u32>) -> Processes {
        Processes(ids)
    }

    /// What they have used so far, all together; `None` where there are none.
    pub(crate) fn used(&self) -> Result<Option<Used>, PerfError> {
        let mut sum = Used::default();
        for id in &self.0 {
            let one = read(*id).map_err(|why| PerfError::Process { process_id: *id, why })?;
            sum.cpu_s += one.cpu_s;
            sum.rss_bytes += one.rss_bytes;
            sum.threads += one.threads;
        }
        Ok((!self.0.is_empty()).then_some(sum))
    }
}

impl BrokerCost {
    /// What was used between two moments, for so much work.
    pub(crate) fn between(before: Option<Used>, after: Option<Used>, bytes: u64, requests: Option<u64>) -> Option<BrokerCost> {
        let (before, after) = (before?, after?);
        let cpu_s = after.cpu_s - before.cpu_s;
        Some(BrokerCost {
            cpu_s,
            cpu_s_per_gib: (bytes > 0).then(|| cpu_s / (bytes as f64 / GIB)),
            cpu_us_per_request: requests.filter(|requests| *requests > 0).map(|requests| cpu_s * 1e6 / requests as f64),
            rss_mib: after.rss_bytes as f64 / f64::from(1 << 20),
            threads: after.threads,
        })
    }
}

fn read(id: u32) -> Result<Used, String> {
    let file = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}")).map_err(|cause| format!("/proc/{id}/{name}: {cause}"));
    parse(&file("stat")?, &file("status")?).ok_or_else(|| format!("/proc/{id} is not laid out as Linux lays it out"))
}

fn parse(stat: &str, status: &str) -> Option<Used> {
    // The command's name stands in parentheses and may hold anything, blanks and parentheses too.
    let (_, fields) = stat.rsplit_once(')')?;
    // Counted by proc(5), which counts the id and the name: utime is 14, stime 15.
    let ticks = |number: usize| fields.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse::<u64>().ok();
    Some(Used { cpu_s: (ticks(14)? + ticks(15)?) / TICKS_PER_S, rss_bytes: line("VmRSS:")? * 1024, threads: line("Threads:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 3 4 20 0 9 0 100 1000 10 0 0\n";
        let used = parse(stat, "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t9\n").unwrap();
        assert_eq!((used.cpu_s, used.rss_bytes, used.threads), (4.0, 2 << 20, 9));
    }

    #[test]
    fn cost_is_given_for_the_work_that_was_done() {
        let used = |cpu_s| Some(Used { cpu_s, rss_bytes: 3 << 20, threads: 2 });
        let cost = BrokerCost::between(used(1.0), used(3.0), 1 << 29, Some(1000)).unwrap();
        assert_eq!((cost.cpu_s, cost.cpu_s_per_gib, cost.cpu_us_per_request), (2.0, Some(4.0), Some(2000.0)));
        assert_eq!((cost.rss_mib, cost.threads), (3.0, 2));
        let idle = BrokerCost::between(used(1.0), used(1.0), 0, None).unwrap();
        assert_eq!((idle.cpu_s_per_gib, idle.cpu_us_per_request), (None, None));
    }

    #[test]
    fn this_process_can_be_read_and_one_that_is_gone_is_named() {
        let used = Processes::new(vec![std::process::id()]).used().unwrap().unwrap();
        assert!(used.rss_bytes > 0 && used.threads > 0);
        // Beyond the largest id that Linux gives.
        let error = Processes::new(vec![u32::MAX]).used().unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
        assert!(Processes::default().used().unwrap().is_none());
    }
}
