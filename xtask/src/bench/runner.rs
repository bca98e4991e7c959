//! Doing a row: the nodes it needs, its rounds, and its figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rows::{Acknowledged, Kind, Load, Row};
use super::stats::{Better, Figure};
use super::{DROP_CACHES, check_drop_caches};
use crate::lab::interrupt;
use crate::lab::node::{Node, System, free_port};
use crate::lab::perf::{Call, Tool};
use crate::run;

/// How long a node rests before its memory is read, and before it is loaded first.
const REST: Duration = Duration::from_secs(5);
/// How long live traffic goes on before a cold consumer comes.
const LIVE_BEFORE_COLD: Duration = Duration::from_secs(3);
const CONNECTIONS: &str = "3000";
/// Of the row `density`; a request for more at once is refused by Kafka.
const DENSITY_TOPICS: usize = 5;
const DENSITY_PARTITIONS: &str = "2000";
/// Of the rows of groups.
const MEMBERS: &str = "500";
const MANY_GROUPS: &str = "10000";
/// Of the row `offsets`: a million of them.
const OFFSETS_GROUPS: &str = "1000";
const OFFSETS_PARTITIONS: &str = "1000";
/// Where committed offsets are kept.
const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Where transactions are kept.
const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// A side of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Ottla,
    Kafka,
    Limit,
}

/// Measures rows.
pub struct Runner {
    tool: Tool,
    folder: PathBuf,
    systems: Vec<(Side, System)>,
    rounds: usize,
    shared: Option<Shared>,
    skipped: Vec<(&'static str, String)>,
}

/// Nodes that many rows load, one after the other.
struct Shared {
    nodes: Vec<(Side, Node)>,
    limit: Call,
    limit_address: String,
}

impl Runner {
    /// Measures these systems with the tool of that binary.
    pub fn new(ottla: &Path, folder: &Path, systems: Vec<System>, rounds: usize) -> Runner {
        let side = |system: System| match system {
            System::Ottla(_) => (Side::Ottla, system),
            System::Kafka(_) => (Side::Kafka, system),
        };
        let systems = systems.into_iter().map(side).collect();
        Runner { tool: Tool::new(ottla, folder), folder: folder.to_owned(), systems, rounds, shared: None, skipped: Vec::new() }
    }

    /// Rows that could not be done here, and why.
    pub fn skipped(&self) -> &[(&'static str, String)] {
        &self.skipped
    }

    /// Does a row and prints its lines.
    pub fn row(&mut self, row: &'static Row) -> Result<(), String> {
        match &row.kind {
            Kind::Start => self.start(row),
            Kind::Load(load) => self.load(row, load),
            Kind::Cold => match check_drop_caches() {
                Ok(()) => self.cold(row),
                Err(why) => {
                    self.skipped.push((row.name, why));
                    Ok(())
                }
            },
            Kind::Group(protocol) => self.group(row, protocol),
            Kind::Groups => {
                self.shared = None;
                self.groups(row)
            }
            Kind::Offsets => {
                self.shared = None;
                self.offsets(row)
            }
            Kind::MemoryAfter => self.memory_after(row),
            Kind::Restart => {
                self.shared = None;
                self.restart(row)
            }
            Kind::Density => {
                self.shared = None;
                self.density(row)
            }
        }
    }

    /// Each side once a round, in turned order; prints the figures.
    fn alternate(
        &self,
        row: &Row,
        figures: &[(&'static str, Better)],
        rounds: usize,
        sides: &[Side],
        mut measure: impl FnMut(Side) -> Result<Vec<f64>, String>,
    ) -> Result<(), String> {
        let mut values: BTreeMap<Side, Vec<Vec<f64>>> = BTreeMap::new();
        for round in 0..rounds {
            let mut order = sides.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for side in order {
                interrupt::check()?;
                values.entry(side).or_default().push(measure(side)?);
            }
        }
        for (index, (name, better)) in figures.iter().enumerate() {
            let of = |side| values.get(&side).into_iter().flatten().filter_map(|round| round.get(index).copied()).collect();
            let (ottla, kafka, limit) = (of(Side::Ottla), of(Side::Kafka), of(Side::Limit));
            println!("{}", Figure { work: row.work.to_owned(), name, better: *better, ottla, kafka, limit }.line());
        }
        Ok(())
    }

    fn sides(&self) -> Vec<Side> {
        self.systems.iter().map(|(side, _)| *side).collect()
    }

    /// A new node of that side, which answers.
    fn node(&self, side: Side, name: &str) -> Result<Node, String> {
        let (_, system) = self.systems.iter().find(|(known, _)| *known == side).ok_or("there is no such system in this run")?;
        let folder = self.folder.join(format!("{name}-{}", system.name().to_lowercase()));
        let mut node = Node::make(system, &folder, &folder.join("data"))?;
        node.start()?;
        node.wait_until_it_answers()?;
        Ok(node)
    }

    fn shared(&mut self) -> Result<&Shared, String> {
        if self.shared.is_none() {
            let mut nodes = Vec::new();
            for side in self.sides() {
                nodes.push((side, self.node(side, "shared")?));
            }
            let limit_address = format!("127.0.0.1:{}", free_port()?);
            let dir = self.folder.display().to_string();
            let limit = self.tool.start_bare(&["perf", "limit", "--listen", &limit_address, "--dir", &dir])?;
            interrupt::pause(REST)?;
            self.shared = Some(Shared { nodes, limit, limit_address });
        }
        self.shared.as_ref().ok_or_else(|| "there are no nodes".to_owned())
    }

    fn make_topic(&self, side: Side, address: &str, topic: &str, partitions: &str, acknowledged: Acknowledged) -> Result<(), String> {
        let mut words = vec!["topic", "create", topic, "--partitions", partitions];
        match (side, acknowledged) {
            (Side::Ottla, Acknowledged::InPageCache) => words.extend(["--config", "write.caching=true"]),
            (Side::Kafka, Acknowledged::OnDisk) => words.extend(["--config", "flush.messages=1"]),
            _ => {}
        }
        self.tool.call(address, &words)?;
        // Kafka answers before the broker leads them all.
        self.tool.call(address, &["perf", "ready", topic, "--partitions", partitions, "--sample", partitions]).map(drop)
    }

    /// Has what coordinators write for this load acknowledged like the records of its topic.
    fn set_up_coordinators(&self, side: Side, address: &str, topic: &str, command: &str, acknowledged: Acknowledged) -> Result<(), String> {
        // The first use makes the coordinators' topic.
        let (internal, first): (_, &[&str]) = match command {
            "commits" => (OFFSETS_TOPIC, &["--groups", "1", "--rounds", "1"]),
            "transactions" => (TRANSACTIONS_TOPIC, &["--producers", "1", "--count", "1"]),
            _ => return Ok(()),
        };
        self.tool.call(address, &[&["perf", command, topic], first].concat())?;
        let (config, set) = match (side, acknowledged) {
            (Side::Kafka, acknowledged) => ("flush.messages", acknowledged == Acknowledged::OnDisk),
            (_, acknowledged) => ("write.caching", acknowledged == Acknowledged::InPageCache),
        };
        let value = format!("{config}={}", if side == Side::Kafka { "1" } else { "true" });
        let (verb, what) = if set { ("set", value.as_str()) } else { ("delete", config) };
        self.tool.call(address, &["config", verb, "--topic", internal, what]).map(drop)
    }

    fn start(&mut self, row: &Row) -> Result<(), String> {
        let figures =
            [("start to first answer, s", Better::Less), ("memory at rest, MiB", Better::Less), ("KiB an idle connection", Better::Less)];
        self.alternate(row, &figures, self.rounds, &self.sides(), |side| {
            let mut node = self.node(side, "start")?;
            let seconds = node.first_answer().as_secs_f64();
            interrupt::pause(REST)?;
            let mib = node.resident_mib()?;
            let id = node.process_id()?.to_string();
            let words = ["perf", "connections", "--count", CONNECTIONS, "--hold-seconds", "1", "--pid", &id];
            let held = self.tool.call(&node.address(), &words)?;
            let each = number(&held, "/rss_kib_per_connection")?;
            node.stop()?;
            node.remove()?;
            Ok(vec![seconds, mib, each])
        })
    }

    fn load(&mut self, row: &Row, load: &Load) -> Result<(), String> {
        self.shared()?;
        let Some(shared) = &self.shared else { return Ok(()) };
        let topic = row.name;
        for (side, node) in &shared.nodes {
            self.make_topic(*side, &node.address(), topic, load.partitions, load.acknowledged)?;
            self.set_up_coordinators(*side, &node.address(), topic, load.command, load.acknowledged)?;
            if let Some(mib) = load.filled_mib {
                self.tool.call(&node.address(), &["perf", "produce", topic, "--partitions", load.partitions, "--mib", mib])?;
            }
        }
        let measure = |side| -> Result<Vec<f64>, String> {
            let (address, id) = match shared.nodes.iter().find(|(known, _)| *known == side) {
                Some((_, node)) => (node.address(), node.process_id()?),
                None => (shared.limit_address.clone(), shared.limit.process_id()),
            };
            let id = id.to_string();
            let mut words = vec!["perf", load.command, topic, "--partitions", load.partitions, "--pid", &id];
            words.extend(load.arguments);
            let report = self.tool.call(&address, &words)?;
            load.kept.iter().map(|(_, place, _)| number(&report, place)).collect()
        };
        // Once for nothing: Java compiles what is used, and files grow to where they will be.
        let mut sides = self.sides();
        for side in &sides {
            measure(*side)?;
        }
        if load.with_limit {
            sides.push(Side::Limit);
        }
        let figures: Vec<_> = load.kept.iter().map(|(name, _, better)| (*name, *better)).collect();
        self.alternate(row, &figures, self.rounds, &sides, measure)?;
        for (_, node) in &shared.nodes {
            self.tool.call(&node.address(), &["topic", "delete", topic])?;
        }
        Ok(())
    }

    fn group(&mut self, row: &Row, protocol: &str) -> Result<(), String> {
        self.shared()?;
        let Some(shared) = &self.shared else { return Ok(()) };
        let topic = row.name;
        for (side, node) in &shared.nodes {
            self.make_topic(*side, &node.address(), topic, MEMBERS, Acknowledged::InPageCache)?;
            self.set_up_coordinators(*side, &node.address(), topic, "commits", Acknowledged::InPageCache)?;
        }
        let mut number = 0;
        let mut measure = |side| -> Result<Vec<f64>, String> {
            let (_, node) = shared.nodes.iter().find(|(known, _)| *known == side).ok_or("there is no such node")?;
            number += 1;
            let (group, id) = (format!("{protocol}-{number}"), node.process_id()?.to_string());
            let words = ["perf", "group", topic, "--members", MEMBERS, "--protocol", protocol, "--group", &group, "--pid", &id];
            let report = self.tool.call(&node.address(), &words)?;
            let places = ["/joined_seconds", "/joined_broker/cpu_s", "/left_seconds", "/left_broker/cpu_s"];
            places.iter().map(|place| self::number(&report, place)).collect()
        };
        let sides = self.sides();
        for side in &sides {
            measure(*side)?;
        }
        let figures = [
            ("s until all have joined", Better::Less),
            ("broker CPU s of that", Better::Less),
            ("s after one has left", Better::Less),
            ("broker CPU s after one has left", Better::Less),
        ];
        self.alternate(row, &figures, self.rounds, &sides, measure)?;
        for (_, node) in &shared.nodes {
            self.tool.call(&node.address(), &["topic", "delete", topic])?;
        }
        Ok(())
    }

    fn groups(&mut self, row: &Row) -> Result<(), String> {
        let figures = [("memory then, MiB", Better::Less), ("KiB a group", Better::Less), ("CPU s in 10 s at rest", Better::Less)];
        // Once: a second round in the same process would find its memory used already.
        self.alternate(row, &figures, 1, &self.sides(), |side| {
            let mut node = self.node(side, "groups")?;
            let address = node.address();
            self.tool.call(&address, &["topic", "create", "read", "--partitions", "10"])?;
            self.tool.call(&address, &["perf", "commits", "read", "--groups", "1", "--rounds", "1"])?;
            interrupt::pause(REST)?;
            let before = node.resident_mib()?;
            let words = ["--partitions", "10", "--connections", "4", "--groups", MANY_GROUPS];
            self.tool.call(&address, &[&["perf", "commits", "read", "--rounds", "1"][..], &words].concat())?;
            interrupt::pause(REST)?;
            let after = node.resident_mib()?;
            let used = node.processor_seconds()?;
            interrupt::pause(2 * REST)?;
            let at_rest = node.processor_seconds()? - used;
            node.stop()?;
            node.remove()?;
            Ok(vec![after, (after - before) * 1024.0 / MANY_GROUPS.parse::<f64>().unwrap_or(1.0), at_rest])
        })
    }

    fn offsets(&mut self, row: &Row) -> Result<(), String> {
        let words = ["read", "--partitions", OFFSETS_PARTITIONS, "--groups", OFFSETS_GROUPS];
        let mut nodes = Vec::new();
        for side in self.sides() {
            let node = self.node(side, "offsets")?;
            self.make_topic(side, &node.address(), "read", OFFSETS_PARTITIONS, Acknowledged::InPageCache)?;
            self.tool.call(&node.address(), &[&["perf", "commits", "--rounds", "1", "--connections", "4"][..], &words].concat())?;
            nodes.push((side, node));
        }
        let figures =
            [("s until all are served", Better::Less), ("broker CPU s of that", Better::Less), ("memory then, MiB", Better::Less)];
        let sides = self.sides();
        self.alternate(row, &figures, self.rounds, &sides, |side| {
            let (_, node) = nodes.iter_mut().find(|(known, _)| *known == side).ok_or("there is no such node")?;
            node.kill()?;
            node.start()?;
            self.tool.call(&node.address(), &[&["perf", "committed"][..], &words].concat())?;
            let (seconds, used) = (node.since_start().as_secs_f64(), node.processor_seconds()?);
            interrupt::pause(REST)?;
            Ok(vec![seconds, used, node.resident_mib()?])
        })
    }

    fn cold(&mut self, row: &Row) -> Result<(), String> {
        self.shared()?;
        let Some(shared) = &self.shared else { return Ok(()) };
        for (side, node) in &shared.nodes {
            for topic in ["cold", "live"] {
                self.make_topic(*side, &node.address(), topic, "1", Acknowledged::InPageCache)?;
            }
            self.tool.call(&node.address(), &["perf", "produce", "cold", "--mib", "2048"])?;
        }
        let figures = [("cold MiB/s", Better::More), ("live p50 ms", Better::Less), ("live p99 ms", Better::Less)];
        self.alternate(row, &figures, self.rounds, &self.sides(), |side| {
            let (_, node) = shared.nodes.iter().find(|(known, _)| *known == side).ok_or("there is no such node")?;
            run::captured(run::program("sync", &[]))?;
            fs::write(DROP_CACHES, "1").map_err(|error| format!("cannot write {DROP_CACHES}: {error}"))?;
            let live = self.tool.start(&node.address(), &["perf", "end-to-end", "live", "--rate", "1000", "--seconds", "9"])?;
            interrupt::pause(LIVE_BEFORE_COLD)?;
            let cold = self.tool.call(&node.address(), &["perf", "consume", "cold", "--mib", "1024"])?;
            let live = live.finish()?;
            Ok(vec![number(&cold, "/mib_per_s")?, number(&live, "/latency_ms/p50")?, number(&live, "/latency_ms/p99")?])
        })?;
        for (_, node) in &shared.nodes {
            for topic in ["cold", "live"] {
                self.tool.call(&node.address(), &["topic", "delete", topic])?;
            }
        }
        Ok(())
    }

    fn memory_after(&mut self, row: &Row) -> Result<(), String> {
        self.shared()?;
        interrupt::pause(REST)?;
        let Some(shared) = &self.shared else { return Ok(()) };
        self.alternate(row, &[("memory, MiB", Better::Less)], 1, &self.sides(), |side| {
            let (_, node) = shared.nodes.iter().find(|(known, _)| *known == side).ok_or("there is no such node")?;
            Ok(vec![node.resident_mib()?])
        })
    }

    fn restart(&mut self, row: &Row) -> Result<(), String> {
        let mut nodes = Vec::new();
        for side in self.sides() {
            let node = self.node(side, "restart")?;
            let address = node.address();
            self.make_topic(side, &address, "big", "6", Acknowledged::InPageCache)?;
            self.make_topic(side, &address, "many", DENSITY_PARTITIONS, Acknowledged::InPageCache)?;
            let words = ["perf", "produce", "big", "--partitions", "6", "--connections", "2", "--acks", "1", "--mib", "4096"];
            self.tool.call(&address, &words)?;
            nodes.push((side, node));
        }
        let figures = [("s until all partitions serve", Better::Less), ("memory then, MiB", Better::Less)];
        let sides = self.sides();
        self.alternate(row, &figures, self.rounds, &sides, |side| {
            let (_, node) = nodes.iter_mut().find(|(known, _)| *known == side).ok_or("there is no such node")?;
            let address = node.address();
            // Something in half of the partitions and in the large ones that no checkpoint knows of.
            for (topic, partitions, mib, records) in [("big", "6", "256", "1000"), ("many", "1000", "64", "10")] {
                let shape = ["--partitions", partitions, "--connections", "2", "--batch-records", records, "--mib", mib, "--acks", "1"];
                self.tool.call(&address, &[&["perf", "produce", topic][..], &shape].concat())?;
            }
            node.kill()?;
            node.start()?;
            self.tool.call(&address, &["perf", "ready", "many", "--partitions", DENSITY_PARTITIONS, "--timeout-seconds", "240"])?;
            let seconds = node.since_start().as_secs_f64();
            interrupt::pause(REST)?;
            Ok(vec![seconds, node.resident_mib()?])
        })
    }

    fn density(&mut self, row: &Row) -> Result<(), String> {
        let figures = [("s to make them", Better::Less), ("KiB each", Better::Less), ("memory then, MiB", Better::Less)];
        // Once: a second round in the same process would find its memory used already.
        self.alternate(row, &figures, 1, &self.sides(), |side| {
            let mut node = self.node(side, "density")?;
            interrupt::pause(REST)?;
            let before = node.resident_mib()?;
            let started = Instant::now();
            for topic in 0..DENSITY_TOPICS {
                let topic = format!("many-{topic}");
                self.tool.call(&node.address(), &["topic", "create", &topic, "--partitions", DENSITY_PARTITIONS])?;
                self.tool.call(&node.address(), &["perf", "ready", &topic, "--partitions", DENSITY_PARTITIONS])?;
            }
            let seconds = started.elapsed().as_secs_f64();
            let partitions: f64 = DENSITY_TOPICS as f64 * DENSITY_PARTITIONS.parse::<f64>().unwrap_or(1.0);
            let after = node.resident_mib()?;
            node.stop()?;
            Ok(vec![seconds, (after - before) * 1024.0 / partitions, after])
        })
    }
}

/// A number of a report.
fn number(report: &Value, place: &str) -> Result<f64, String> {
    report.pointer(place).and_then(Value::as_f64).ok_or_else(|| format!("there is no {place} in {report}"))
}
