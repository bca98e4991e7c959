//! Commits: offsets of many groups, committed over and over by clients that are members of none; and [`wait`], which waits until
//! what was committed is served.
//!
//! Requests are written as they will go over the wire before the clock starts, one for each group. A connection holds the
//! requests of its groups and sends them in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ottla_wire::message::find_coordinator::KEY_TYPE_GROUP;
use ottla_wire::message::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_wire::message::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use serde::Serialize;

use crate::connection::{Connection, frame, version};
use crate::coordinator::{COORDINATOR_WAIT, coordinators, coordinators_now, refused};
use crate::produce::{CONNECTIONS_MAX, IN_FLIGHT_MAX, in_threads};
use crate::report::{Moved, Stopwatch};
use crate::{Bootstrap, BrokerCost, Control, LatencyMs, PerfError, Processes, Unit};

/// Groups of a run.
pub const GROUPS_MAX: usize = 100_000;
/// Offsets of one commit.
pub const OFFSETS_MAX: usize = 10_000;
/// Memory for the requests of a run, which are all written before it starts: some 30 bytes an offset.
const OFFSETS_HELD_MAX: usize = 50_000_000;
/// Between two tries of a group that is not served yet.
const TRY_PAUSE: Duration = Duration::from_millis(2);
/// Groups that one request asks for.
const GROUPS_PER_FETCH: usize = 100;

/// Whose offsets, and in what.
#[derive(Clone, Debug)]
pub struct Groups {
    /// The topic; it must exist.
    pub topic: String,
    /// Its first so many partitions have offsets.
    pub partitions: usize,
    /// How many groups.
    pub count: usize,
    /// What their names begin with; a number follows.
    pub prefix: String,
}

impl Groups {
    fn names(&self) -> Vec<String> {
        (0..self.count).map(|number| format!("{}{number}", self.prefix)).collect()
    }

    fn check(&self) -> Result<(), PerfError> {
        within("groups", self.count, GROUPS_MAX)?;
        within("partitions of a commit", self.partitions, OFFSETS_MAX)?;
        within("offsets", self.count * self.partitions, OFFSETS_HELD_MAX)
    }
}

fn within(what: &'static str, given: usize, max: usize) -> Result<(), PerfError> {
    match (1..=max).contains(&given) {
        true => Ok(()),
        false => Err(PerfError::OutOfBounds { what, given: given as u64, why: format!("it is a number from 1 to {max}") }),
    }
}

/// What is committed for a partition: the same each time, so that [`wait`] knows it.
fn offset_of(partition: i32) -> i64 {
    1_000 + i64::from(partition)
}

/// How long to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitAmount {
    /// Until each group has committed so often.
    Rounds(u64),
    /// As often as can be in this time.
    Time(Duration),
}

/// What is to be committed, and how.
#[derive(Clone, Debug)]
pub struct CommitsOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// Whose offsets.
    pub groups: Groups,
    /// Connections, among which the groups are dealt; no more than groups.
    pub connections: usize,
    /// Requests on one connection that may wait for their answers.
    pub in_flight: usize,
    /// How much.
    pub amount: CommitAmount,
    /// The broker's processes, if its cost is to be known.
    pub processes: Processes,
}

/// What was committed.
#[derive(Clone, Debug, Serialize)]
pub struct CommitsReport {
    /// `commits`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// Groups.
    pub groups: usize,
    /// Offsets of each commit.
    pub partitions: usize,
    /// Connections that carried it.
    pub connections: usize,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests that were answered.
    pub commits: u64,
    /// Offsets of all of them.
    pub offsets: u64,
    /// Rate of requests.
    pub commits_per_s: f64,
    /// Rate of offsets.
    pub offsets_per_s: f64,
    /// From sending to the answer.
    pub latency_ms: Option<LatencyMs>,
    /// What it cost the broker, where its processes are known; a request is a commit.
    pub broker: Option<BrokerCost>,
}

/// Commits; returns when everything is answered.
pub fn run(options: &CommitsOptions, control: &Control) -> Result<CommitsReport, PerfError> {
    options.groups.check()?;
    within("connections", options.connections, CONNECTIONS_MAX)?;
    within("requests in flight", options.in_flight, IN_FLIGHT_MAX)?;
    let groups = &options.groups;
    let names = groups.names();
    let addresses = coordinators(&options.bootstrap, KEY_TYPE_GROUP, &names, COORDINATOR_WAIT, control)?;
    let mut committers = deal(&addresses, options.connections)
        .into_iter()
        .map(|(address, indexes)| {
            let frames = indexes.iter().map(|index| commit_frame(groups, &names[*index])).collect::<Result<_, _>>()?;
            Ok(Committer { connection: Connection::open(&address)?, frames, in_flight: options.in_flight })
        })
        .collect::<Result<Vec<_>, PerfError>>()?;
    for committer in &mut committers {
        committer.wait_until_taken(control)?;
    }
    let connections = committers.len();

    if let CommitAmount::Rounds(rounds) = options.amount {
        control.expect(rounds * names.len() as u64, Unit::Things);
    }
    let watch = Stopwatch::start(&options.processes)?;
    let until = match options.amount {
        CommitAmount::Rounds(rounds) => Until { rounds, at: None },
        CommitAmount::Time(time) => Until { rounds: u64::MAX, at: Some(watch.started() + time) },
    };
    let aborted = AtomicBool::new(false);
    let moved = in_threads(committers, |committer| committer.run(&until, &aborted, control), || aborted.store(true, Ordering::Relaxed))?;
    let (seconds, broker) = watch.stop(0, moved.requests)?;
    let commits = moved.requests.unwrap_or(0);
    let offsets = commits * groups.partitions as u64;
    let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    Ok(CommitsReport {
        work: "commits",
        topic: groups.topic.clone(),
        groups: groups.count,
        partitions: groups.partitions,
        connections,
        seconds,
        commits,
        offsets,
        commits_per_s: rate(commits),
        offsets_per_s: rate(offsets),
        latency_ms: moved.latencies.summary(),
        broker,
    })
}

/// Deals the groups of each coordinator to its share of the connections, one at least.
fn deal(addresses: &[Arc<str>], connections: usize) -> Vec<(Arc<str>, Vec<usize>)> {
    let mut by_address: Vec<(Arc<str>, Vec<usize>)> = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        match by_address.iter_mut().find(|(known, _)| known == address) {
            Some((_, indexes)) => indexes.push(index),
            None => by_address.push((address.clone(), vec![index])),
        }
    }
    let each = (connections / by_address.len().max(1)).max(1);
    let mut dealt = Vec::new();
    for (address, indexes) in by_address {
        let each = each.min(indexes.len());
        for connection in 0..each {
            dealt.push((address.clone(), indexes.iter().copied().skip(connection).step_by(each).collect()));
        }
    }
    dealt
}

fn commit_frame(groups: &Groups, group_id: &str) -> Result<Vec<u8>, PerfError> {
    let partition = |partition_index: i32| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset_of(partition_index),
        committed_leader_epoch: -1,
        commit_timestamp: -1,
        committed_metadata: Some(""),
    };
    let partitions = (0..groups.partitions as i32).map(partition).collect();
    let topics = vec![OffsetCommitRequestTopic { name: &groups.topic, topic_id: Default::default(), partitions }];
    frame(&OffsetCommitRequest { group_id, topics, ..Default::default() }, version::OFFSET_COMMIT, 0)
}

/// When a connection has sent enough.
struct Until {
    rounds: u64,
    at: Option<Instant>,
}

/// One connection and what it sends in turn.
struct Committer {
    connection: Connection,
    frames: Vec<Vec<u8>>,
    in_flight: usize,
}

impl Committer {
    /// The coordinators of a topic that was just made may have to be waited for: commits each group's offsets once.
    fn wait_until_taken(&mut self, control: &Control) -> Result<(), PerfError> {
        let started = Instant::now();
        let first = self.frames.first().cloned().unwrap_or_default();
        loop {
            self.connection.send(&first)?;
            self.connection.receive()?;
            match committed(&self.connection) {
                Err(error) if error.is_transient() && started.elapsed() < COORDINATOR_WAIT && control.pause(TRY_PAUSE) => {}
                result => return result,
            }
        }
    }

    fn run(mut self, until: &Until, aborted: &AtomicBool, control: &Control) -> Result<Moved, PerfError> {
        let mut moved = Moved { requests: Some(0), ..Moved::default() };
        let mut open: VecDeque<Instant> = VecDeque::with_capacity(self.in_flight);
        let mut sent = 0u64;
        'rounds: for _ in 0..until.rounds {
            for frame in &self.frames {
                let over = until.at.is_some_and(|at| Instant::now() >= at);
                if over || aborted.load(Ordering::Relaxed) || control.is_ended() {
                    break 'rounds;
                }
                open.push_back(Instant::now());
                self.connection.send(frame)?;
                sent += 1;
                if open.len() >= self.in_flight {
                    answered(&mut self.connection, &mut open, &mut moved)?;
                    control.advance(1);
                }
            }
        }
        while !open.is_empty() {
            answered(&mut self.connection, &mut open, &mut moved)?;
            control.advance(1);
        }
        moved.requests = Some(sent);
        Ok(moved)
    }
}

fn answered(connection: &mut Connection, open: &mut VecDeque<Instant>, moved: &mut Moved) -> Result<(), PerfError> {
    connection.receive()?;
    committed(connection)?;
    if let Some(sent_at) = open.pop_front() {
        moved.latencies.record(sent_at.elapsed());
    }
    Ok(())
}

/// Fails unless every offset was taken.
fn committed(connection: &Connection) -> Result<(), PerfError> {
    let response = connection.answer::<OffsetCommitRequest<'_>>(version::OFFSET_COMMIT)?;
    for topic in &response.topics {
        for partition in &topic.partitions {
            refused(partition.error_code, || format!("commit for {}-{}", topic.name, partition.partition_index))?;
        }
    }
    Ok(())
}

/// That all groups' offsets are served.
#[derive(Clone, Debug, Serialize)]
pub struct CommittedReport {
    /// `committed`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// Groups that were asked for, each for its last partition.
    pub groups: usize,
    /// How long it took until the first was served.
    pub first_seconds: f64,
    /// How long it took until all were.
    pub seconds: f64,
}

/// Waits until the last offset of every group is served, as [`run`] committed it; fails when one is another, or when the time is
/// over first.
pub fn wait(bootstrap: &Bootstrap, groups: &Groups, wait: Duration, control: &Control) -> Result<CommittedReport, PerfError> {
    groups.check()?;
    control.expect(groups.count as u64, Unit::Things);
    let names = groups.names();
    let started = Instant::now();
    let mut first = None;
    let mut left: Vec<&str> = names.iter().map(String::as_str).collect();
    while !left.is_empty() {
        let before = left.len();
        match served(bootstrap, groups, &mut left) {
            Ok(()) => {}
            Err(error) if error.is_transient() && started.elapsed() < wait => {}
            Err(error) => return Err(error),
        }
        if left.len() < before {
            first = first.or_else(|| Some(started.elapsed()));
            control.advance((before - left.len()) as u64);
        } else if !control.pause(TRY_PAUSE) {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let first_seconds = first.map_or(seconds, |first| first.as_secs_f64());
    Ok(CommittedReport { work: "committed", topic: groups.topic.clone(), groups: names.len() - left.len(), first_seconds, seconds })
}

/// Asks for those that are left, and takes out who was served; gives the last refusal that may be none a moment later.
fn served(bootstrap: &Bootstrap, groups: &Groups, left: &mut Vec<&str>) -> Result<(), PerfError> {
    let asked: Vec<String> = left.iter().map(|name| (*name).to_owned()).collect();
    let addresses = coordinators_now(bootstrap, KEY_TYPE_GROUP, &asked)?;
    let last = groups.partitions as i32 - 1;
    let mut connections: Vec<Connection> = Vec::new();
    let mut outcome = Ok(());
    let mut done = std::collections::HashSet::new();
    for (address, indexes) in deal(&addresses, 1) {
        connections.push(Connection::open(&address)?);
        let Some(connection) = connections.last_mut() else { continue };
        for part in indexes.chunks(GROUPS_PER_FETCH) {
            let group = |index: &usize| OffsetFetchRequestGroup {
                group_id: asked.get(*index).map_or("", String::as_str),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: &groups.topic,
                    topic_id: Default::default(),
                    partition_indexes: vec![last],
                }]),
                ..Default::default()
            };
            let request = OffsetFetchRequest { groups: part.iter().map(group).collect(), ..Default::default() };
            let response = connection.call(&request, version::OFFSET_FETCH)?;
            for group in &response.groups {
                let of = || format!("offsets of `{}`", group.group_id);
                if let Err(error) = refused(group.error_code, of) {
                    if !error.is_transient() {
                        return Err(error);
                    }
                    outcome = Err(error);
                    continue;
                }
                for partition in group.topics.iter().flat_map(|topic| &topic.partitions) {
                    refused(partition.error_code, of)?;
                    if partition.committed_offset != offset_of(partition.partition_index) {
                        return Err(PerfError::Committed {
                            group: group.group_id.clone().into_owned(),
                            partition: partition.partition_index,
                            found: partition.committed_offset,
                            expected: offset_of(partition.partition_index),
                        });
                    }
                    done.insert(group.group_id.clone().into_owned());
                }
            }
        }
    }
    left.retain(|name| !done.contains(*name));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;
    use ottla_wire::ErrorCode;

    fn options(broker: &Scripted, amount: CommitAmount) -> CommitsOptions {
        let groups = Groups { topic: "t".to_owned(), partitions: 3, count: 5, prefix: "g".to_owned() };
        let processes = Processes::new(vec![std::process::id()]);
        CommitsOptions { bootstrap: broker.bootstrap(), groups, connections: 2, in_flight: 3, amount, processes }
    }

    #[test]
    fn each_group_commits_as_often_as_was_asked_for_and_all_is_served() {
        let broker = Scripted::start(3);
        let options = options(&broker, CommitAmount::Rounds(4));
        let control = Control::new();
        let report = run(&options, &control).unwrap();
        assert_eq!((report.commits, report.offsets, report.connections), (20, 60, 2));
        assert_eq!(report.latency_ms.unwrap().count, 20, "every commit is answered and timed");
        assert_eq!(control.progress().done, 20);
        assert!(report.broker.is_some());
        // One more of each connection's first group: that the coordinator is there was found out before the clock started.
        assert_eq!(
            broker.commits_by_group(),
            [("g0", 5), ("g1", 5), ("g2", 4), ("g3", 4), ("g4", 4)].map(|(name, n)| (name.to_owned(), n))
        );
        let served = wait(&options.bootstrap, &options.groups, Duration::ZERO, &Control::new()).unwrap();
        assert_eq!(served.groups, 5);
    }

    #[test]
    fn a_run_by_time_ends_by_itself_and_a_refusal_ends_it_with_its_reason() {
        let broker = Scripted::start(3);
        let report = run(&options(&broker, CommitAmount::Time(Duration::from_millis(20))), &Control::new()).unwrap();
        assert_eq!(broker.commits_by_group().iter().map(|(_, commits)| commits).sum::<u64>(), report.commits + 2);
        broker.refuse_commits(ErrorCode::OffsetMetadataTooLarge);
        let error = run(&options(&broker, CommitAmount::Rounds(1)), &Control::new()).unwrap_err();
        assert!(error.to_string().starts_with("commit for t-0: OFFSET_METADATA_TOO_LARGE"), "{error}");
    }

    #[test]
    fn what_is_not_served_as_it_was_committed_is_named() {
        let broker = Scripted::start(3);
        let options = options(&broker, CommitAmount::Rounds(1));
        let error = wait(&options.bootstrap, &options.groups, Duration::ZERO, &Control::new()).unwrap_err();
        assert_eq!(error.to_string(), "group `g0` has committed -1 in partition 2, where 1002 was expected");
    }

    #[test]
    fn a_coordinator_that_loads_is_asked_again() {
        let broker = Scripted::start(3);
        let options = options(&broker, CommitAmount::Rounds(1));
        run(&options, &Control::new()).unwrap();
        broker.load_for(2);
        let served = wait(&options.bootstrap, &options.groups, Duration::from_secs(60), &Control::new()).unwrap();
        assert_eq!((served.groups, broker.loads_left()), (5, 0));
        broker.load_for(1);
        let error = wait(&options.bootstrap, &options.groups, Duration::ZERO, &Control::new()).unwrap_err();
        assert!(error.to_string().contains("COORDINATOR_LOAD_IN_PROGRESS"), "{error}");
    }

    #[test]
    fn groups_are_dealt_to_their_coordinators() {
        let addresses: Vec<Arc<str>> = ["a", "b", "a", "a"].map(Arc::from).to_vec();
        let one = |address: &str, groups: &[usize]| (Arc::from(address), groups.to_vec());
        assert_eq!(deal(&addresses, 4), [one("a", &[0, 3]), one("a", &[2]), one("b", &[1])]);
        assert_eq!(deal(&addresses, 1), [one("a", &[0, 2, 3]), one("b", &[1])]);
    }
}
