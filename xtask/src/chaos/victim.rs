//! The node, and the ledgers that are written on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::host::Host;
use super::plan::Round;
use crate::lab::interrupt;
use crate::lab::perf::{Call, Tool};

/// Of each ledger.
const PARTITIONS: &str = "4";
/// Small, so that logs roll and files come and go all the time.
const SEGMENT_BYTES: &str = "segment.bytes=1048576";
const RECORD_BYTES: &str = "1000";
/// Longer than any run: the load is ended, and does not end.
const LOAD_SECONDS: &str = "86400";
/// A node is as good as lost when it is not ready by then.
const READY_SECONDS: &str = "120";

/// The ledgers: the topic, and whether its producers are idempotent.
const LEDGERS: [(&str, bool); 2] = [("plain", false), ("idempotent", true)];

/// What the audits of all ledgers have found, together.
#[derive(Clone, Debug, Default)]
pub struct Audited {
    pub acknowledged: u64,
    pub lost: u64,
    pub changed: u64,
    pub out_of_order: u64,
    /// Of idempotent producers: there twice.
    pub twice: u64,
    /// Of plain producers: there twice, as it may be.
    pub copies: u64,
    /// Damage, gaps, moved records, writers that were refused for good.
    pub other: u64,
    pub findings: Vec<String>,
}

impl Audited {
    /// Whether the node has kept its word.
    pub fn is_sound(&self) -> bool {
        self.lost + self.changed + self.out_of_order + self.twice + self.other == 0
    }

    fn add(&mut self, report: &Value, is_idempotent: bool) -> Result<(), String> {
        let count = |name: &str| report[name].as_u64().ok_or_else(|| format!("the audit does not tell `{name}`: {report}"));
        self.acknowledged += count("acknowledged")?;
        self.lost += count("lost")?;
        self.changed += count("changed")?;
        self.out_of_order += count("out_of_order")?;
        self.other += count("moved")? + count("damaged_batches")? + count("offset_gaps")?;
        let duplicates = count("duplicates")?;
        if is_idempotent {
            self.twice += duplicates;
            if duplicates > 0 {
                self.findings.push(format!("{duplicates} records of idempotent producers are there twice"));
            }
        } else {
            self.copies += duplicates;
        }
        let findings = report["findings"].as_array().into_iter().flatten();
        self.findings.extend(findings.filter_map(Value::as_str).map(str::to_owned));
        Ok(())
    }
}

/// The node under load.
pub struct Victim {
    // In the order in which they have to go: writers, then the node.
    ledgers: Vec<(PathBuf, Call)>,
    host: Host,
    tool: Tool,
}

impl Victim {
    /// Starts it, makes its topics, and begins to write.
    pub fn start(binary: &Path, folder: &Path, configs: &[String], with_disk: bool) -> Result<Victim, String> {
        let host = Host::start(binary, folder, with_disk)?;
        let mut victim = Victim { ledgers: Vec::new(), host, tool: Tool::new(binary, folder) };
        let address = victim.host.address();
        for (topic, is_idempotent) in LEDGERS {
            let mut words = vec!["topic", "create", topic, "--partitions", PARTITIONS, "--config", SEGMENT_BYTES];
            for config in configs {
                words.extend(["--config", config]);
            }
            victim.tool.call(&address, &words)?;
            let file = folder.join(format!("ledger-{topic}.txt"));
            let name = file.display().to_string();
            let mut words = vec!["perf", "ledger", topic, "--file", &name, "--seconds", LOAD_SECONDS, "--record-size", RECORD_BYTES];
            if is_idempotent {
                words.push("--idempotent");
            }
            let writing = victim.tool.start(&address, &words)?;
            victim.ledgers.push((file, writing));
        }
        Ok(victim)
    }

    /// Lets the load go on for so long.
    pub fn load(&self, time: Duration) -> Result<(), String> {
        interrupt::pause(time)?;
        self.ledgers_go_on()
    }

    fn ledgers_go_on(&self) -> Result<(), String> {
        match self.ledgers.iter().find_map(|(_, writing)| Some((writing, writing.ended()?))) {
            // It has failed: why is the better error.
            Some((writing, _)) => Err(writing.finish().map_or_else(|why| why, |_| "a ledger ended before its time".to_owned())),
            None => Ok(()),
        }
    }

    /// Does it, and has the node ready again; gives how long the last start took.
    pub fn blow(&mut self, round: &Round) -> Result<Duration, String> {
        self.host.strike(round, || Ok(()))?;
        let tool = &self.tool;
        self.host.come_back(round.kind, |host| wait_until_ready(tool, &host.address()))
    }

    /// Makes the topic of a round.
    pub fn make_topic(&self, round: usize) -> Result<(), String> {
        self.tool.call(&self.host.address(), &["topic", "create", &topic_of(round), "--partitions", "2"]).map(drop)
    }

    /// The topics of all rounds so far are there, with their partitions.
    pub fn topics_are_there(&self, rounds: usize) -> Result<(), String> {
        for round in 1..=rounds {
            let topic = topic_of(round);
            let told = self.tool.call(&self.host.address(), &["topic", "describe", &topic])?;
            let partitions = told["partitions"].as_array().map_or(0, Vec::len);
            if partitions != 2 {
                return Err(format!("{topic} was made with 2 partitions and has {partitions}"));
            }
        }
        Ok(())
    }

    /// Holds all topics against their ledgers, which are still being written.
    pub fn audit(&self) -> Result<Audited, String> {
        let mut sum = self.audited()?;
        // A writer that was refused for good has found what no audit may see: a sequence that the node has forgotten.
        if let Err(why) = self.ledgers_go_on() {
            interrupt::check()?;
            sum.other += 1;
            sum.findings.push(why);
        }
        Ok(sum)
    }

    /// Ends the ledgers, and audits them once more.
    pub fn end_of_load(&mut self) -> Result<Audited, String> {
        for (_, writing) in &self.ledgers {
            writing.interrupt()?;
        }
        let sum = self.audited()?;
        self.host.stop()?;
        Ok(sum)
    }

    fn audited(&self) -> Result<Audited, String> {
        let mut sum = Audited::default();
        for ((topic, is_idempotent), (file, _)) in LEDGERS.iter().zip(&self.ledgers) {
            let file = file.display().to_string();
            sum.add(&self.tool.told(&self.host.address(), &["perf", "audit", topic, "--file", &file])?, *is_idempotent)?;
        }
        Ok(sum)
    }
}

/// Every partition takes a record and gives it back.
fn wait_until_ready(tool: &Tool, address: &str) -> Result<(), String> {
    for (topic, _) in LEDGERS {
        let words = ["perf", "ready", topic, "--partitions", PARTITIONS, "--sample", PARTITIONS, "--timeout-seconds", READY_SECONDS];
        tool.call(address, &words)?;
    }
    Ok(())
}

fn topic_of(round: usize) -> String {
    format!("made-{round}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(changed: &[(&str, u64)]) -> Value {
        let mut report = json!({"acknowledged": 5, "lost": 0, "moved": 0, "changed": 0, "out_of_order": 0, "duplicates": 0,
            "damaged_batches": 0, "offset_gaps": 0, "findings": []});
        for (name, count) in changed {
            report[name] = json!(count);
        }
        report
    }

    #[test]
    fn every_kind_of_broken_word_is_seen_and_copies_of_plain_producers_are_none() {
        let audited = |changed: &[(&str, u64)], is_idempotent| {
            let mut sum = Audited::default();
            sum.add(&report(changed), is_idempotent).unwrap();
            sum
        };
        assert!(audited(&[], true).is_sound());
        for broken in ["lost", "moved", "changed", "out_of_order", "damaged_batches", "offset_gaps"] {
            assert!(!audited(&[(broken, 1)], false).is_sound(), "{broken}");
        }
        assert!(audited(&[("duplicates", 1)], false).is_sound());
        assert!(!audited(&[("duplicates", 1)], true).is_sound());
        assert!(Audited::default().add(&json!({"acknowledged": 1}), false).is_err(), "an audit that tells nothing is no audit");
    }
}
