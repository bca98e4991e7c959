//! A group of many members, each with a connection and a thread: how long it takes from the first request until all have their
//! partitions, and again after one has left, and what that costs the broker.
//!
//! Members do what the protocol wants of them and nothing else: they read no records and commit no offsets. Their heartbeats are
//! closer together than those of clients, since a member learns of a rebalance by one: with a client's three seconds that wait
//! would be the most of what is measured.

mod classic;
mod consumer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_wire::message::find_coordinator::KEY_TYPE_GROUP;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::cluster::{LED_WAIT, leaders};
use crate::connection::Connection;
use crate::coordinator::{COORDINATOR_WAIT, coordinators};
use crate::{Bootstrap, BrokerCost, Control, PerfError, Processes};

/// Members of a group, each with a connection and a thread.
pub const MEMBERS_MAX: usize = 4_000;
/// How long a member may be silent, and how long it may take to join again.
const SESSION_MS: i32 = 45_000;
const REBALANCE_MS: i32 = 300_000;
/// Between two tries of what is refused for a moment.
const TRY_PAUSE: Duration = Duration::from_millis(20);

/// By which protocol members work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// JoinGroup and SyncGroup; the leader assigns.
    Classic,
    /// KIP-848: heartbeats; the broker assigns.
    Consumer,
}

/// What group is to be made.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// What it subscribes to; the topic must exist.
    pub topic: String,
    /// Its name; there may be none yet.
    pub group: String,
    /// How many members; one of them leaves, two at least.
    pub members: usize,
    /// By which protocol.
    pub protocol: Protocol,
    /// Time between a member's heartbeats.
    pub heartbeat: Duration,
    /// How long each of both may take.
    pub wait: Duration,
    /// The broker's processes, if its cost is to be known.
    pub processes: Processes,
}

/// What it took.
#[derive(Clone, Debug, Serialize)]
pub struct GroupReport {
    /// `group`.
    pub work: &'static str,
    /// By which protocol.
    pub protocol: Protocol,
    /// Members at first.
    pub members: usize,
    /// Partitions that they share.
    pub partitions: usize,
    /// From the first request until all members had the same generation, and all partitions.
    pub joined_seconds: f64,
    /// Generation, or group epoch, by then.
    pub joined_generation: i32,
    /// What that cost the broker, where its processes are known.
    pub joined_broker: Option<BrokerCost>,
    /// From the leaving of one until it was so again.
    pub left_seconds: f64,
    /// Generation, or group epoch, by then.
    pub left_generation: i32,
    /// What that cost the broker.
    pub left_broker: Option<BrokerCost>,
}

/// Makes the group, has one leave, and waits each time until all is shared out. In the end all leave.
pub fn run(options: &GroupOptions, control: &Control) -> Result<GroupReport, PerfError> {
    if !(2..=MEMBERS_MAX).contains(&options.members) {
        let why = format!("it is a number from 2 to {MEMBERS_MAX}");
        return Err(PerfError::OutOfBounds { what: "members", given: options.members as u64, why });
    }
    let partitions = leaders(&options.bootstrap, &options.topic, None, LED_WAIT, control)?.len();
    let names = [options.group.clone()];
    let address = coordinators(&options.bootstrap, KEY_TYPE_GROUP, &names, COORDINATOR_WAIT, control)?.into_iter().next();
    let Some(address) = address else { return Err(PerfError::NoBroker { given: options.bootstrap.to_string() }) };
    let open = |index| Ok(Member { index, connection: Connection::open(&address)?, id: String::new() });
    let members = (0..options.members).map(open).collect::<Result<Vec<_>, PerfError>>()?;
    let board = Board::new(options.members, partitions);

    // From a beginning until all is shared out, in a generation later than `after`.
    let shared = |begin: &dyn Fn(), after: i32| -> Result<(f64, i32, Option<BrokerCost>), PerfError> {
        let (used, started) = (options.processes.used()?, Instant::now());
        begin();
        let generation = board.wait_until_shared(after, started + options.wait)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok((seconds, generation, BrokerCost::between(used, options.processes.used()?, 0, None)))
    };
    std::thread::scope(|scope| {
        for member in members {
            let board = &board;
            scope.spawn(move || {
                board.wait_for_begin();
                let done = match options.protocol {
                    Protocol::Classic => classic::run(member, options, partitions, board, control),
                    Protocol::Consumer => consumer::run(member, options, board, control),
                };
                if let Err(error) = done {
                    // After the end there is nobody to tell.
                    board.fail(error);
                }
            });
        }
        let result = shared(&|| board.begin(), -1).and_then(|joined| Ok((joined, shared(&|| board.have_one_leave(), joined.1)?)));
        board.finish();
        let ((joined_seconds, joined_generation, joined_broker), (left_seconds, left_generation, left_broker)) = result?;
        Ok(GroupReport {
            work: "group",
            protocol: options.protocol,
            members: options.members,
            partitions,
            joined_seconds,
            joined_generation,
            joined_broker,
            left_seconds,
            left_generation,
            left_broker,
        })
    })
}

/// One member's connection, and what the coordinator calls it.
struct Member {
    index: usize,
    connection: Connection,
    id: String,
}

/// What members tell each other, and who waits for all of them.
struct Board {
    seen: Mutex<Seen>,
    changed: Condvar,
    partitions: usize,
}

struct Seen {
    /// Of each member its generation and how many partitions it has; `None`: it has none yet, or is between two.
    members: Vec<Option<(i32, usize)>>,
    /// Who is to leave, or has: its state does not count.
    leaver: Option<usize>,
    begun: bool,
    failed: Option<PerfError>,
    over: bool,
}

impl Board {
    fn new(members: usize, partitions: usize) -> Board {
        let seen = Seen { members: vec![None; members], leaver: None, begun: false, failed: None, over: false };
        Board { seen: Mutex::new(seen), changed: Condvar::new(), partitions }
    }

    /// A member has this generation and so many partitions.
    fn tell(&self, member: usize, now: Option<(i32, usize)>) {
        let mut seen = self.seen.lock();
        if let Some(known) = seen.members.get_mut(member)
            && *known != now
        {
            *known = now;
            self.changed.notify_all();
        }
    }

    /// All threads are there: members join from now on.
    fn begin(&self) {
        self.seen.lock().begun = true;
        self.changed.notify_all();
    }

    fn wait_for_begin(&self) {
        self.changed.wait_while(&mut self.seen.lock(), |seen| !seen.begun && !seen.over);
    }

    fn fail(&self, error: PerfError) {
        // The first error is the cause of what the others come to.
        self.seen.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        let seen = self.seen.lock();
        seen.over || seen.failed.is_some()
    }

    fn is_to_leave(&self, member: usize) -> bool {
        self.seen.lock().leaver == Some(member)
    }

    /// The last one that has joined, which does not lead a classic group.
    fn have_one_leave(&self) {
        let mut seen = self.seen.lock();
        seen.leaver = seen.members.len().checked_sub(1);
    }

    fn finish(&self) {
        self.seen.lock().over = true;
        self.changed.notify_all();
    }

    /// Waits until all members that stay are in one generation later than `after`, have all partitions, and each its share; gives the
    /// generation.
    fn wait_until_shared(&self, after: i32, deadline: Instant) -> Result<i32, PerfError> {
        let mut seen = self.seen.lock();
        loop {
            if let Some(error) = seen.failed.take() {
                // Whoever looks later must know that it is over.
                seen.over = true;
                return Err(error);
            }
            if let Some(generation) = seen.shared(self.partitions).filter(|generation| *generation > after) {
                return Ok(generation);
            }
            if self.changed.wait_until(&mut seen, deadline).timed_out() {
                let in_group = seen.members.iter().flatten().count();
                return Err(PerfError::NotShared { in_group, members: seen.members.len() });
            }
        }
    }
}

impl Seen {
    fn shared(&self, partitions: usize) -> Option<i32> {
        // A broker may take in members first and assign a moment later: until each has its share, the first has everything.
        let share = partitions / (self.members.len() - usize::from(self.leaver.is_some())).max(1);
        let mut stay = self.members.iter().enumerate().filter(|(index, _)| Some(*index) != self.leaver).map(|(_, member)| *member);
        let (generation, mut held) = stay.next()??;
        if held < share {
            return None;
        }
        for member in stay {
            let (of, has) = member?;
            if of != generation || has < share {
                return None;
            }
            held += has;
        }
        (held == partitions).then_some(generation)
    }
}

/// The moment of a member's first heartbeat after it has joined: spread, as those of clients come to be.
fn first_pause(options: &GroupOptions, index: usize) -> Duration {
    options.heartbeat.mul_f64(index as f64 / options.members as f64)
}

/// The addresses of members are all the same: the coordinator's.
fn again(member: &mut Member, control: &Control) -> Result<bool, PerfError> {
    let address: Arc<str> = member.connection.address().clone();
    if !control.pause(TRY_PAUSE) {
        return Ok(false);
    }
    member.connection = Connection::open(&address)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_shared_out_when_all_are_in_one_generation_and_have_everything() {
        let board = Board::new(3, 4);
        let shared = || board.seen.lock().shared(4);
        board.tell(0, Some((2, 2)));
        board.tell(1, Some((2, 1)));
        assert_eq!(shared(), None, "one is not there");
        board.tell(2, Some((1, 1)));
        assert_eq!(shared(), None, "one is behind");
        board.tell(2, Some((2, 0)));
        assert_eq!(shared(), None, "one partition is with nobody");
        board.tell(0, Some((2, 3)));
        board.tell(2, Some((2, 0)));
        assert_eq!(shared(), None, "one has what is another's share");
        board.tell(0, Some((2, 2)));
        board.tell(2, Some((2, 1)));
        assert_eq!(shared(), Some(2));
        board.have_one_leave();
        assert_eq!(shared(), None, "what it had is with nobody");
        board.tell(1, Some((2, 2)));
        assert_eq!(shared(), Some(2), "whatever the one says that left");
    }

    #[test]
    fn who_waits_is_told_of_an_error_or_how_far_it_came() {
        let board = Board::new(2, 1);
        board.tell(0, Some((1, 1)));
        let error = board.wait_until_shared(-1, Instant::now()).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 members had their partitions when the time was over");
        board.fail(PerfError::NoBroker { given: "x".to_owned() });
        assert!(matches!(board.wait_until_shared(-1, Instant::now() + Duration::from_secs(60)), Err(PerfError::NoBroker { .. })));
        assert!(board.is_over());
    }
}
