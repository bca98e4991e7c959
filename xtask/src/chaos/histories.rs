//! Histories of transactions: writers and movers, each a process, are killed with the node that they work on, come back with
//! the same transactional ids, and are replaced while they are at work. What both topics show then is held against what the
//! clients have written down.
//!
//! Each round has topics, clients and a group of its own, and is checked to its end: a failed one is short enough to be read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::host::Host;
use super::options::Options;
use super::plan::{self, Step};
use crate::lab::interrupt;
use crate::lab::perf::{Call, Tool};

const WRITERS: usize = 3;
const MOVERS: usize = 2;
const SOURCE_PARTITIONS: &str = "4";
const TARGET_PARTITIONS: &str = "3";
/// Small, so that transactions reach over segments.
const SEGMENT_BYTES: &str = "segment.bytes=1048576";
/// Longer than any round: clients are ended, and do not end.
const LOAD_SECONDS: &str = "86400";
/// How long no value may be moved before those that are missing are told. Longer than a dead member's session.
const SETTLE_SECONDS: &str = "60";
/// The members' settings, by turns: members that are taken for dead by their sessions, and such that come back as who they were.
const GROUPS: [&[&str]; 2] =
    [&["session.timeout.ms=6000", "heartbeat.interval.ms=1000"], &["group.protocol=consumer", "group.instance.id="]];

/// What the checks of all rounds tell, together.
#[derive(Clone, Debug, Default)]
struct Sum {
    committed: u64,
    aborted: u64,
    unknown: u64,
    unknown_there: u64,
    moves: u64,
    values: u64,
    values_hidden: u64,
    acknowledged: u64,
    found: u64,
    clients_killed: u64,
    fenced: u64,
    /// Producers that could not go on, of clients that lived to tell.
    producers_lost: u64,
}

impl Sum {
    fn add(&mut self, report: &Value) -> Result<(), String> {
        let count = |name: &str| report[name].as_u64().ok_or_else(|| format!("the check does not tell `{name}`: {report}"));
        self.committed += count("committed")?;
        self.aborted += count("aborted")?;
        self.unknown += count("unknown")?;
        self.unknown_there += count("unknown_there")?;
        self.moves += count("moves")?;
        self.values += count("values")?;
        self.values_hidden += count("values_hidden")?;
        self.acknowledged += count("acknowledged")?;
        self.found += found(report)?.0;
        Ok(())
    }
}

/// How much a check has found, and in words.
fn found(report: &Value) -> Result<(u64, Vec<String>), String> {
    let findings = report["findings"].as_object().ok_or_else(|| format!("the check tells no findings: {report}"))?;
    let count = findings.values().filter_map(Value::as_u64).sum();
    let told = findings.get("told").and_then(Value::as_array).into_iter().flatten();
    Ok((count, told.filter_map(Value::as_str).map(str::to_owned).collect()))
}

/// Goes through all rounds; an error names the round and what was found.
pub fn go_through(binary: &Path, folder: &Path, options: &Options, with_disk: bool) -> Result<(), String> {
    let mut host = Host::start(binary, folder, with_disk)?;
    let tool = Tool::new(binary, folder);
    let rounds = plan::histories(options.seed, options.count(&[]), with_disk, WRITERS, MOVERS);
    println!(
        "\n{:>5}  {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6}  what",
        "round", "committed", "aborted", "unknown", "values", "hidden", "moves", "found"
    );
    let mut sum = Sum::default();
    for (index, steps) in rounds.iter().enumerate() {
        let number = index + 1;
        let mut round = Round::start(&tool, &host, folder, options, number).map_err(|why| format!("round {number}: {why}"))?;
        let report = round.go_through(&mut host, steps).map_err(|why| format!("round {number}: {why}"))?;
        sum.add(&report)?;
        sum.clients_killed += round.killed;
        sum.fenced += round.fenced;
        sum.producers_lost += round.producers_lost;
        if let Some(why) = &round.lost_by {
            println!("       {} producers could not go on, the last since {why}", round.producers_lost);
        }
        let (count, mut told) = found(&report)?;
        let count = count + round.complaints.len() as u64;
        sum.found += round.complaints.len() as u64;
        told.splice(..0, round.complaints);
        let figure = |name: &str| report[name].to_string();
        println!(
            "{number:>5}  {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {count:>6}  {}",
            figure("committed"),
            figure("aborted"),
            figure("unknown"),
            figure("values"),
            figure("values_hidden"),
            figure("moves"),
            said(steps)
        );
        if count > 0 {
            return Err(format!("round {number}: {}", told.join("\n")));
        }
        if report["committed"].as_u64() == Some(0) {
            return Err(format!("round {number}: nothing was committed, which proves nothing"));
        }
    }
    println!(
        "\n{} transactions committed, {} not, {} unknown ({} of them there), {} of all by movers; {} values seen, {} hidden; {} offsets held to; {} clients killed, {} fenced; {} producers could not go on; {} found",
        sum.committed,
        sum.aborted,
        sum.unknown,
        sum.unknown_there,
        sum.moves,
        sum.values,
        sum.values_hidden,
        sum.acknowledged,
        sum.clients_killed,
        sum.fenced,
        sum.producers_lost,
        sum.found
    );
    host.stop()
}

fn said(steps: &[Step]) -> String {
    let words = steps.iter().map(|step| match step {
        Step::Node { round, client: None } => round.kind.to_string(),
        Step::Node { round, client: Some(client) } => format!("{} with client {client}", round.kind),
        Step::KillClient { client, .. } => format!("client {client}"),
        Step::Replace { client, .. } => format!("another {client}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// One history.
struct Round<'t> {
    // Ended before the node is.
    clients: Vec<Call>,
    tool: &'t Tool,
    address: String,
    number: usize,
    folder: PathBuf,
    killed: u64,
    fenced: u64,
    producers_lost: u64,
    lost_by: Option<String>,
    /// What is wrong beside what the check finds.
    complaints: Vec<String>,
}

impl<'t> Round<'t> {
    fn start(tool: &'t Tool, host: &Host, folder: &Path, options: &Options, number: usize) -> Result<Round<'t>, String> {
        let address = host.address();
        let mut round = Round {
            clients: Vec::new(),
            tool,
            address,
            number,
            folder: folder.to_owned(),
            killed: 0,
            fenced: 0,
            producers_lost: 0,
            lost_by: None,
            complaints: Vec::new(),
        };
        for (topic, partitions) in [(round.source(), SOURCE_PARTITIONS), (round.target(), TARGET_PARTITIONS)] {
            let mut words = vec!["topic", "create", &topic, "--partitions", partitions, "--config", SEGMENT_BYTES];
            for config in &options.configs {
                words.extend(["--config", config]);
            }
            tool.call(&round.address, &words)?;
        }
        for client in 0..WRITERS + MOVERS {
            let call = round.client(client)?;
            round.clients.push(call);
        }
        Ok(round)
    }

    fn source(&self) -> String {
        format!("source-{}", self.number)
    }

    fn target(&self) -> String {
        format!("target-{}", self.number)
    }

    fn file(&self, client: usize) -> String {
        self.folder.join(format!("history-{}-{client}.txt", self.number)).display().to_string()
    }

    /// Starts a client, anew or again.
    fn client(&self, client: usize) -> Result<Call, String> {
        self.client_for(client, LOAD_SECONDS)
    }

    fn client_for(&self, client: usize, seconds: &str) -> Result<Call, String> {
        let (source, target, file) = (self.source(), self.target(), self.file(client));
        let id = format!("round-{}-client-{client}", self.number);
        let (number, group) = (client.to_string(), format!("movers-{}", self.number));
        let mut words = vec!["perf", "history", &source, "--transactional-id", &id, "--client", &number, "--file", &file];
        words.extend(["--seconds", seconds]);
        let properties: Vec<String> = GROUPS[self.number % GROUPS.len()]
            .iter()
            .map(|property| if property.ends_with('=') { format!("{property}{id}") } else { (*property).to_owned() })
            .collect();
        if client >= WRITERS {
            words.extend(["--move-to", &target, "--group", &group]);
            for property in &properties {
                words.extend(["--property", property]);
            }
        }
        self.tool.start(&self.address, &words)
    }

    fn go_through(&mut self, host: &mut Host, steps: &[Step]) -> Result<Value, String> {
        for step in steps {
            match step {
                Step::Node { round, client } => {
                    interrupt::pause(round.load)?;
                    self.clients_go_on(0..WRITERS + MOVERS)?;
                    host.strike(round, || client.map_or(Ok(()), |client| self.kill(client)))?;
                    // The clients find out by themselves when it serves again.
                    host.come_back(round.kind, |_| Ok(()))?;
                }
                Step::KillClient { after, client } => {
                    interrupt::pause(*after)?;
                    self.clients_go_on(0..WRITERS + MOVERS)?;
                    self.kill(*client)?;
                }
                Step::Replace { after, client } => {
                    interrupt::pause(*after)?;
                    self.clients_go_on(0..WRITERS + MOVERS)?;
                    self.replace(*client)?;
                }
            }
        }
        self.end()
    }

    fn kill(&mut self, client: usize) -> Result<(), String> {
        self.clients[client].kill()?;
        self.killed += 1;
        self.clients[client] = self.client(client)?;
        Ok(())
    }

    /// The one before must find itself fenced, and end by that.
    fn replace(&mut self, client: usize) -> Result<(), String> {
        let another = self.client(client)?;
        let before = std::mem::replace(&mut self.clients[client], another);
        let report = before.finish()?;
        if report["ended_by"].is_null() {
            return Err(format!("client {client} ended, and not because another came with its transactional id: {report}"));
        }
        self.note(&report);
        self.fenced += 1;
        Ok(())
    }

    /// A client whose producer has ended though nobody took it over is started again: what came of that is to be checked too.
    fn clients_go_on(&mut self, clients: std::ops::Range<usize>) -> Result<(), String> {
        for client in clients {
            if self.clients[client].ended().is_some() {
                let report = self.clients[client].finish()?;
                self.note(&report);
                self.complaints.push(format!("client {client} ended before its time: {report}"));
                self.clients[client] = self.client(client)?;
            }
        }
        Ok(())
    }

    /// Ends the writers, waits until all is moved, ends the movers, and checks.
    fn end(&mut self) -> Result<Value, String> {
        self.clients_go_on(0..WRITERS + MOVERS)?;
        self.interrupt(0..WRITERS)?;
        let (source, target) = (self.source(), self.target());
        let files: Vec<String> = (0..WRITERS + MOVERS).map(|client| self.file(client)).collect();
        let mut words = vec!["perf", "history-check", &source, "--moved-to", &target];
        // A client may have been killed before it wrote anything down, each time.
        for file in files.iter().filter(|file| Path::new(file).exists()) {
            words.extend(["--file", file]);
        }
        // What it finds is found again once the movers have ended, and only then is it sure.
        self.tool.told(&self.address, &[&words[..], &["--settle-seconds", SETTLE_SECONDS]].concat())?;
        self.clients_go_on(WRITERS..WRITERS + MOVERS)?;
        self.interrupt(WRITERS..WRITERS + MOVERS)?;
        self.tool.told(&self.address, &words)
    }

    /// What a client tells at its end.
    fn note(&mut self, report: &Value) {
        self.producers_lost += report["producers_lost"].as_u64().unwrap_or_default();
        if let Some(why) = report["lost_by"].as_str() {
            self.lost_by = Some(why.to_owned());
        }
    }

    fn interrupt(&mut self, clients: std::ops::Range<usize>) -> Result<(), String> {
        for client in clients {
            let ended = self.clients[client].interrupt();
            let report = match ended {
                // It was started a moment ago and did not heed the signal yet. What the one before it has left open is to be ended.
                Err(_) if self.clients[client].ended().is_some_and(|how| how.contains("signal: 2 ")) => {
                    self.clients[client] = self.client_for(client, "1")?;
                    self.clients[client].finish()?
                }
                ended => ended?,
            };
            self.note(&report);
            if !report["ended_by"].is_null() {
                self.complaints.push(format!("client {client} was fenced though nobody took it over: {report}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whatever_a_check_finds_is_counted_and_a_report_without_findings_is_none() {
        let report = json!({"committed": 3, "aborted": 2, "unknown": 1, "unknown_there": 1, "moves": 2, "values": 9, "values_hidden": 4,
            "acknowledged": 7, "findings": {"lost": 1, "torn": 2, "told": ["a", "b"]}});
        let mut sum = Sum::default();
        sum.add(&report).unwrap();
        sum.add(&report).unwrap();
        assert_eq!((sum.committed, sum.aborted, sum.unknown, sum.moves, sum.values, sum.found), (6, 4, 2, 4, 18, 6));
        assert_eq!(found(&report).unwrap(), (3, vec!["a".to_owned(), "b".to_owned()]));
        assert!(Sum::default().add(&json!({"committed": 1})).is_err());
    }
}
