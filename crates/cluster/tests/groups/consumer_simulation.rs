//! Histories of one group, drawn from a seed: members of both protocols that join, leave, crash, are slow and lose answers; static
//! members that restart; topics that come, grow, go and are made anew; and a coordinator that is lost at any moment, with what was not
//! committed, and rebuilt from the log as it is or as compaction leaves it.
//!
//! What holds at every moment: no partition is held by two members, neither in the log nor among the clients that are members; epochs only
//! rise; nothing is answered twice. What holds in the end, when everybody behaves: within so many heartbeats every partition that
//! somebody reads is with one who reads it, and one that leaves or comes moves only what has to move.
//!
//! `OTTLA_SIM_SEED=n` runs one history and tells of it; `OTTLA_SIM_SEEDS=n` runs so many.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::controller::Randomness;
use ottla_cluster::group::*;
use ottla_cluster::metadata::{MetadataImage, MetadataPosition, MetadataRecord, PartitionRecord};
use ottla_model::{
    Generation, GroupEpoch, InstanceId, MemberEpoch, MemberId, MonotonicMs, NodeId, PartitionId, TimestampMs, TopicId, Uuid,
};

use crate::consumer_harness::beat;
use crate::harness::{GROUP, client, join, name, records_of, replay, subscription};

const NAMES: [&str; 4] = ["t0", "t1", "t2", "x0"];
/// What members of the classic protocol read.
const CLASSIC_TOPICS: [&str; 2] = ["t0", "t1"];
const ACTORS_MAX: usize = 6;
const EVENTS: usize = 220;
/// Rounds of heartbeats, one every 5 s, in which a group whose members all behave is done: the longest timeouts (60 s to join or to give
/// up, 45 s of a session) after one another, and a few more for what follows from them.
const ROUNDS_MAX: usize = 40;

/// Rounds in which nothing happens any more; now and then longer than any deadline that might still come.
const QUIET_ROUNDS: usize = 3;
const QUIET_ROUNDS_MAX: usize = 13;

type Partition = (TopicId, PartitionId);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// It is not in the group, as far as it knows.
    Out,
    Joining,
    Syncing,
    In,
}

#[derive(Clone, Debug)]
struct Actor {
    id: MemberId,
    instance: Option<InstanceId>,
    classic: bool,
    names: Vec<&'static str>,
    regex: Option<&'static str>,
    alive: bool,
    phase: Phase,
    /// Member epoch or generation.
    epoch: i32,
    owned: BTreeSet<Partition>,
    /// What it is to hold when it has given up the rest.
    next: Option<BTreeSet<Partition>>,
    /// Heartbeats until it has.
    slow: usize,
    /// What it last told that it holds, if the answer came.
    told: Option<BTreeSet<Partition>>,
    inflight: Option<(Token, Option<BTreeSet<Partition>>)>,
    /// The last answer was lost or an error.
    full: bool,
    /// It leads a classic group, and assigned by this version of the topics.
    led_by: Option<u64>,
}

impl Actor {
    fn reads(&self, topic: &str) -> bool {
        let matches = |regex: &str| regex == "t.*" && topic.starts_with('t');
        self.names.contains(&topic) || self.regex.is_some_and(matches)
    }

    /// It is not a member any more, and holds nothing.
    fn restart(&mut self) {
        self.owned.clear();
        (self.next, self.told, self.slow) = (None, None, 0);
        (self.phase, self.epoch, self.full, self.led_by) = (Phase::Out, 0, true, None);
    }
}

/// What the log says.
#[derive(Default)]
struct Model {
    held: BTreeMap<MemberId, BTreeSet<Partition>>,
    epochs: BTreeMap<MemberId, MemberEpoch>,
    members: BTreeSet<MemberId>,
    classic: BTreeSet<MemberId>,
    epoch: Option<GroupEpoch>,
    target: Option<GroupEpoch>,
}

impl Model {
    fn apply(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::ConsumerGroupMetadata { value: Some((epoch, _)), .. } => {
                assert!(self.epoch.is_none_or(|before| before < *epoch), "the group epoch went from {:?} to {epoch:?}", self.epoch);
                self.epoch = Some(*epoch);
            }
            GroupRecord::ConsumerGroupMetadata { value: None, .. } => self.epoch = None,
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { value, .. } => {
                if let Some((epoch, _)) = value {
                    assert!(self.target.is_none_or(|before| before < *epoch) && Some(*epoch) <= self.epoch, "target {epoch:?}");
                }
                self.target = value.map(|(epoch, _)| epoch);
            }
            GroupRecord::ConsumerGroupMemberMetadata { member, value, .. } => match value {
                Some(_) => drop(self.members.insert(member.clone())),
                None => {
                    self.members.remove(member);
                    self.epochs.remove(member);
                }
            },
            GroupRecord::ConsumerGroupCurrentMemberAssignment { member, value: Some(value), .. } => {
                let partitions = value.assigned.iter().chain(value.revoking.iter()).map(|(topic, partition, _)| (topic, partition));
                self.held.insert(member.clone(), partitions.collect());
                let before = self.epochs.insert(member.clone(), value.epoch);
                let is_back = value.epoch == MemberEpoch::LEAVE_STATIC || before == Some(MemberEpoch::LEAVE_STATIC);
                assert!(is_back || before.is_none_or(|before| before <= value.epoch), "{member}: {before:?} to {:?}", value.epoch);
                assert!(Some(value.epoch.get()) <= self.epoch.map(GroupEpoch::get), "{member} is ahead of its group");
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment { member, value: None, .. } => drop(self.held.remove(member)),
            GroupRecord::GroupMetadata { value, .. } => {
                self.classic = value.iter().flat_map(|value| &value.members).map(|member| member.member.clone()).collect();
            }
            _ => {}
        }
    }

    fn is_member(&self, id: &MemberId) -> bool {
        self.members.contains(id) || self.classic.contains(id)
    }

    fn check(&self) {
        let mut owners: BTreeMap<Partition, &MemberId> = BTreeMap::new();
        for (id, held) in &self.held {
            for partition in held {
                let before = owners.insert(*partition, id);
                assert_eq!(before, None, "{partition:?} is held by two members in the log, the other is {id}");
            }
        }
    }
}

struct Simulation {
    random: Randomness,
    tells: bool,
    config: GroupConfig,
    coordinator: GroupCoordinator,
    now: Now,
    topics: BTreeMap<&'static str, (TopicId, usize)>,
    view: TopicsView,
    version: u64,
    log: Vec<Batch>,
    /// So many batches are committed, and up to which proposal of this coordinator.
    committed: (usize, Proposal),
    /// Whether everything is committed at once.
    instantly: bool,
    held: Vec<(Token, Proposal, Response)>,
    answered: BTreeSet<Token>,
    asked: u64,
    actors: Vec<Actor>,
    born: usize,
    model: Model,
}

impl Simulation {
    fn new(seed: u64, tells: bool) -> Simulation {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes[8..].copy_from_slice(&(seed ^ 0xdead_beef).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        let mut random = Randomness::new(bytes);
        let assignors: &[Assignor] = [&[Assignor::Uniform, Assignor::Range][..], &[Assignor::Range]][usize::from(random.below(4) == 0)];
        let migration_policy = match random.below(6) {
            0 => MigrationPolicy::Upgrade,
            _ => MigrationPolicy::Bidirectional,
        };
        let config = GroupConfig { consumer_assignors: assignors.into(), migration_policy, ..GroupConfig::default() };
        let mut simulation = Simulation {
            random,
            tells,
            coordinator: GroupCoordinator::new(config.clone()),
            config,
            now: Now { wall: TimestampMs(1_000_000), monotonic: MonotonicMs(5_000) },
            topics: BTreeMap::new(),
            view: TopicsView::default(),
            version: 0,
            log: vec![],
            committed: (0, Proposal::NONE),
            instantly: false,
            held: vec![],
            answered: BTreeSet::new(),
            asked: 0,
            actors: vec![],
            born: 0,
            model: Model::default(),
        };
        for topic in &NAMES[..3] {
            let (id, partitions) = (simulation.random.topic_id(), 1 + simulation.random.below(5));
            simulation.topics.insert(topic, (id, partitions));
        }
        simulation.see_topics();
        let effects = simulation.coordinator.loaded(simulation.now, simulation.view.clone());
        assert_eq!(effects, []);
        simulation
    }

    fn chance(&mut self, of: usize) -> bool {
        self.random.below(of) == 0
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{:>9} {}", self.now.monotonic.0, what());
        }
    }

    fn see_topics(&mut self) {
        self.version += 1;
        let mut image = MetadataImage::default();
        for (topic, (topic_id, partitions)) in &self.topics {
            image.apply(&MetadataRecord::Topic { name: name(topic), topic_id: *topic_id }).unwrap();
            for partition in 0..*partitions {
                let record = PartitionRecord::new(*topic_id, PartitionId(partition as i32), vec![NodeId(1)]);
                image.apply(&MetadataRecord::Partition(record)).unwrap();
            }
        }
        image.apply_entry(MetadataPosition { term: 1, index: self.version }, &[]).unwrap();
        self.view = TopicsView::new(image);
    }

    fn happen(&mut self, event: Event) {
        let effects = self.coordinator.step(self.now, event);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append(batch) => {
                    for record in records_of(&batch.content) {
                        self.tell(|| format!("log {}: {record:?}", batch.proposal.0));
                        self.model.apply(&record);
                    }
                    self.log.push(batch);
                    self.model.check();
                }
                Effect::Reply { token, after, response } => {
                    assert!(self.answered.insert(token), "{token:?} is answered twice");
                    self.held.push((token, after, response));
                }
            }
        }
        if self.instantly {
            self.commit(usize::MAX);
        }
        self.check_owners();
    }

    /// So many batches more are committed; who waited for them is answered.
    fn commit(&mut self, batches: usize) {
        let until = self.committed.0.saturating_add(batches).min(self.log.len());
        let proposal = self.log[self.committed.0..until].iter().map(|batch| batch.proposal).max();
        self.committed = (until, proposal.unwrap_or(Proposal::NONE).max(self.committed.1));
        let (due, later) = std::mem::take(&mut self.held).into_iter().partition(|(_, after, _)| *after <= self.committed.1);
        self.held = later;
        let due: Vec<(Token, Proposal, Response)> = due;
        due.into_iter().for_each(|(token, _, response)| self.answer(token, response));
    }

    fn pass_ms(&mut self, ms: u64) {
        let until = MonotonicMs(self.now.monotonic.0 + ms);
        while let Some(deadline) = self.coordinator.next_deadline().filter(|deadline| *deadline <= until) {
            self.move_to(deadline.max(self.now.monotonic));
            self.happen(Event::Time);
        }
        self.move_to(until);
    }

    fn move_to(&mut self, at: MonotonicMs) {
        self.now.wall = TimestampMs(self.now.wall.0 + (at.0 - self.now.monotonic.0) as i64);
        self.now.monotonic = at;
    }

    /// The coordinator is lost, and with it some of what was not committed.
    fn fail_over(&mut self) {
        let kept = self.committed.0 + self.random.below(self.log.len() - self.committed.0 + 1);
        let is_whole = kept == self.log.len();
        self.log.truncate(kept);
        let compacted = self.chance(2);
        self.tell(|| format!("fail over; whole {is_whole}, compacted {compacted}"));
        if compacted {
            self.compact();
        }
        let mut next = GroupCoordinator::new(self.config.clone());
        self.log.iter().for_each(|batch| replay(&mut next, batch));
        let lost = std::mem::replace(&mut self.coordinator, next);
        if is_whole {
            let (was, is) = (lost.settled_records(), self.coordinator.settled_records());
            // Of a classic group in a rebalance the log does not know.
            let is_classic = matches!(is.first(), Some((_, GroupRecord::GroupMetadata { .. })));
            assert!(is == was || (is_classic && was.is_empty()), "what is rebuilt is what was: {is:#?} {was:#?}");
        }
        for effect in lost.resign(self.now) {
            let Effect::Reply { token, response, .. } = effect else { panic!("who resigns writes nothing") };
            self.answer(token, response);
        }
        // Those whose answers were held back never hear of them.
        for (token, _, _) in std::mem::take(&mut self.held) {
            self.lose(token);
        }
        self.log.iter_mut().for_each(|batch| batch.proposal = Proposal::NONE);
        self.committed = (self.log.len(), Proposal::NONE);
        self.model = Model::default();
        // In a compacted log epochs may be ahead of what comes after them.
        for record in self.coordinator.settled_records() {
            self.model.apply(&record.1);
        }
        let effects = self.coordinator.loaded(self.now, self.view.clone());
        self.carry_out(effects);
    }

    /// Of each key only the last record is left, and no tombstone.
    fn compact(&mut self) {
        let records: Vec<GroupRecord> = self.log.iter().flat_map(|batch| records_of(&batch.content)).collect();
        let last: BTreeMap<String, usize> = records.iter().enumerate().map(|(at, record)| (key(record), at)).collect();
        let is_last = |(at, record): &(usize, &GroupRecord)| last[&key(record)] == *at && !is_tombstone(record);
        let left: Vec<GroupRecord> = records.iter().enumerate().filter(is_last).map(|(_, record)| record.clone()).collect();
        self.log = vec![Batch { proposal: Proposal::NONE, content: BatchContent::Records(left) }];
    }

    fn check_owners(&self) {
        let mut owners: BTreeMap<Partition, &MemberId> = BTreeMap::new();
        for actor in self.actors.iter().filter(|actor| self.model.is_member(&actor.id)) {
            for partition in &actor.owned {
                let other = owners.insert(*partition, &actor.id);
                assert_eq!(other, None, "{partition:?} is held by two clients, the other is {}", actor.id);
            }
        }
    }

    // What clients do.

    fn send(&mut self, at: usize, request: Request, told: Option<BTreeSet<Partition>>) {
        self.asked += 1;
        let token = Token(self.asked);
        self.actors[at].inflight = Some((token, told));
        if !self.instantly && self.chance(20) {
            self.tell(|| format!("{} asks, and it is lost", self.actors[at].id));
            return self.lose(token);
        }
        self.tell(|| format!("{} asks {request:?}", self.actors[at].id));
        self.happen(Event::Request { token, request });
        if !self.instantly && self.chance(25) {
            self.lose(token);
        }
    }

    /// A client gives up waiting.
    fn lose(&mut self, token: Token) {
        let waits = |actor: &&mut Actor| actor.inflight.as_ref().is_some_and(|(waits, _)| *waits == token);
        if let Some(actor) = self.actors.iter_mut().find(waits) {
            (actor.inflight, actor.full) = (None, true);
            if actor.classic && actor.phase != Phase::In {
                actor.phase = Phase::Out;
            }
        }
    }

    fn answer(&mut self, token: Token, response: Response) {
        let waits = |actor: &Actor| actor.inflight.as_ref().is_some_and(|(waits, _)| *waits == token);
        let Some(at) = self.actors.iter().position(waits) else { return };
        self.tell(|| format!("{} hears {response:?}", self.actors[at].id));
        let slow = if self.instantly { 0 } else { self.random.below(4) };
        let actor = &mut self.actors[at];
        let Some((_, told)) = actor.inflight.take() else { return };
        match response {
            Response::ConsumerGroupHeartbeat(Ok(response)) => {
                assert!(actor.epoch <= response.epoch.get(), "{}: {} to {:?}", actor.id, actor.epoch, response.epoch);
                (actor.epoch, actor.phase, actor.full, actor.told) = (response.epoch.get(), Phase::In, false, told.or(actor.told.take()));
                if let Some(assignment) = response.assignment {
                    let next: BTreeSet<Partition> = assignment.iter().collect();
                    actor.slow = if actor.owned.is_subset(&next) { 0 } else { slow };
                    actor.next = Some(next);
                    self.finish(at);
                }
            }
            Response::ConsumerGroupHeartbeat(Err(GroupError::FencedInstance { .. })) => self.kill(at),
            Response::ConsumerGroupHeartbeat(Err(GroupError::NotCoordinator)) => actor.full = true,
            Response::ConsumerGroupHeartbeat(Err(_)) => actor.restart(),
            Response::JoinGroup(JoinGroupResponse { member, result }) => match result {
                Ok(joined) => {
                    (actor.id, actor.epoch, actor.phase) = (member, joined.generation.get(), Phase::Syncing);
                    let leads = joined.leader == actor.id;
                    // One that is told to keep the assignment does not know what it was made for.
                    actor.led_by = leads.then_some(if joined.skip_assignment { 0 } else { self.version });
                    let assignments = if leads { self.lead(&joined.members) } else { vec![] };
                    self.sync(at, assignments);
                }
                Err(GroupError::MemberIdRequired { assigned }) => (actor.id, actor.phase) = (assigned, Phase::Out),
                Err(GroupError::UnknownMember { .. } | GroupError::UnknownInstance { .. }) => {
                    actor.id = MemberId::new("");
                    actor.restart();
                }
                Err(GroupError::FencedInstance { .. }) => self.kill(at),
                Err(_) => actor.phase = Phase::Out,
            },
            Response::SyncGroup(Ok(synced)) => {
                actor.phase = Phase::In;
                let mut owned = BTreeSet::new();
                for (topic, partitions) in assigned(&synced.assignment) {
                    if let Some((id, count)) = self.topics.get(&*topic) {
                        owned.extend(
                            partitions
                                .into_iter()
                                .filter(|partition| (*partition as usize) < *count)
                                .map(|partition| (*id, PartitionId(partition))),
                        );
                    }
                }
                self.actors[at].owned = owned;
            }
            Response::Heartbeat(Ok(())) => {}
            Response::Heartbeat(Err(GroupError::RebalanceInProgress)) | Response::SyncGroup(Err(GroupError::RebalanceInProgress)) => {
                actor.owned.clear();
                actor.phase = Phase::Out;
            }
            Response::Heartbeat(Err(GroupError::FencedInstance { .. })) | Response::SyncGroup(Err(GroupError::FencedInstance { .. })) => {
                self.kill(at)
            }
            Response::Heartbeat(Err(GroupError::NotCoordinator)) => {}
            Response::SyncGroup(Err(GroupError::NotCoordinator)) => actor.restart(),
            Response::Heartbeat(Err(_)) | Response::SyncGroup(Err(_)) => {
                actor.id = MemberId::new("");
                actor.restart();
            }
            other => panic!("{other:?}"),
        }
        self.check_owners();
    }

    /// Gives up what it is to, and takes what is its.
    fn finish(&mut self, at: usize) {
        let actor = &mut self.actors[at];
        if actor.slow == 0
            && let Some(next) = actor.next.take()
        {
            actor.owned = next;
        }
    }

    fn kill(&mut self, at: usize) {
        let actor = &mut self.actors[at];
        actor.alive = false;
        actor.inflight = None;
        actor.restart();
    }

    /// What a leader of a classic group does: partitions in turns.
    fn lead(&self, members: &[JoinedMember]) -> Vec<(MemberId, Blob)> {
        let mut given: Vec<BTreeMap<&str, Vec<i32>>> = vec![BTreeMap::new(); members.len()];
        let partitions = CLASSIC_TOPICS.iter().filter_map(|topic| Some((*topic, self.topics.get(topic)?.1)));
        let all = partitions.flat_map(|(topic, count)| (0..count).map(move |partition| (topic, partition as i32)));
        for ((topic, partition), at) in all.zip((0..members.len()).cycle()) {
            given[at].entry(topic).or_default().push(partition);
        }
        members.iter().zip(given).map(|(member, given)| (member.member.clone(), assignment_bytes(&given))).collect()
    }

    fn sync(&mut self, at: usize, assignments: Vec<(MemberId, Blob)>) {
        let actor = &self.actors[at];
        let request = SyncGroup {
            group: GROUP.into(),
            member: actor.id.clone(),
            instance: actor.instance.clone(),
            generation: Generation(actor.epoch),
            protocol_type: None,
            protocol: None,
            assignments,
        };
        self.send(at, Request::SyncGroup(request), None);
    }

    fn fresh_id(&mut self) -> Uuid {
        self.random.topic_id().0
    }

    /// A client does what it does every few seconds.
    fn tick(&mut self, at: usize) {
        if !self.actors[at].alive || self.actors[at].inflight.is_some() {
            return;
        }
        let fresh_id = self.fresh_id();
        let actor = &mut self.actors[at];
        if actor.classic {
            let (group, member, instance) = (GROUP.into(), actor.id.clone(), actor.instance.clone());
            // In a classic group it is for the leader to see that topics changed.
            let is_behind = actor.led_by.is_some_and(|version| version != self.version);
            if actor.phase == Phase::In && !is_behind {
                let request = Heartbeat { group, member, instance, generation: Generation(actor.epoch) };
                return self.send(at, Request::Heartbeat(request), None);
            }
            actor.owned.clear();
            actor.phase = Phase::Joining;
            let protocols = vec![("eager".into(), subscription(&CLASSIC_TOPICS, &[]))];
            let request = JoinGroup { member, instance, protocols, fresh_id, ..join("") };
            return self.send(at, Request::JoinGroup(request), None);
        }
        actor.slow = actor.slow.saturating_sub(1);
        self.finish(at);
        let actor = &self.actors[at];
        let is_full = actor.full || actor.epoch == 0;
        let tells = is_full || actor.told.as_ref() != Some(&actor.owned);
        let mut request = ConsumerGroupHeartbeat {
            epoch: MemberEpoch(actor.epoch),
            instance: actor.instance.clone(),
            owned: tells.then(|| actor.owned.iter().copied().collect()),
            client: client("c"),
            ..beat(actor.id.as_str(), 0)
        };
        if is_full {
            request.rebalance_timeout_ms = 60_000;
            request.topic_names = Some(actor.names.iter().map(|name| (*name).into()).collect());
            request.topic_regex = Some(actor.regex.unwrap_or("").into());
        }
        let told = tells.then(|| actor.owned.clone());
        self.send(at, Request::ConsumerGroupHeartbeat(request), told);
    }

    fn bear(&mut self, classic: bool, instance: Option<InstanceId>) {
        self.born += 1;
        let id = if classic { MemberId::new("") } else { MemberId::new(&format!("m{}", self.born)) };
        let (names, regex) = self.subscription(classic);
        let actor = Actor {
            id,
            instance,
            classic,
            names,
            regex,
            alive: true,
            phase: Phase::Out,
            epoch: 0,
            owned: BTreeSet::new(),
            next: None,
            slow: 0,
            told: None,
            inflight: None,
            full: true,
            led_by: None,
        };
        self.actors.push(actor);
    }

    fn subscription(&mut self, classic: bool) -> (Vec<&'static str>, Option<&'static str>) {
        match if classic { 0 } else { self.random.below(8) } {
            0..=4 => (CLASSIC_TOPICS.to_vec(), None),
            5 => (vec![], Some("t.*")),
            6 => (vec!["t2", "x0"], None),
            _ => (vec!["x0"], Some("t.*")),
        }
    }

    /// A client goes: with a word, or without one.
    fn go(&mut self, at: usize) {
        let says = !self.chance(3);
        let for_a_while = self.actors[at].instance.is_some() && self.chance(2);
        let actor = self.actors[at].clone();
        self.kill(at);
        self.actors.remove(at);
        self.tell(|| format!("{} goes; says so {says}", actor.id));
        if says && actor.phase == Phase::In {
            let request = if actor.classic {
                let leaving = LeavingMember { member: actor.id, instance: actor.instance.clone(), reason: None };
                Request::LeaveGroup(LeaveGroup { group: GROUP.into(), members: vec![leaving] })
            } else {
                let epoch = if for_a_while { -2 } else { -1 };
                Request::ConsumerGroupHeartbeat(ConsumerGroupHeartbeat {
                    instance: actor.instance.clone(),
                    ..beat(actor.id.as_str(), epoch)
                })
            };
            self.asked += 1;
            let token = Token(self.asked);
            self.happen(Event::Request { token, request });
        }
        // A static member is back before long, and not always with the protocol it had.
        if actor.instance.is_some() {
            let classic = if self.chance(4) { !actor.classic } else { actor.classic };
            self.bear(classic, actor.instance);
        }
    }

    fn change_topics(&mut self) {
        let topic = NAMES[self.random.below(NAMES.len())];
        let grows = self.chance(2);
        match self.topics.get_mut(topic) {
            Some((_, partitions)) if grows && *partitions < 8 => *partitions += 1,
            Some(_) => drop(self.topics.remove(topic)),
            None => {
                let made = (self.random.topic_id(), 1 + self.random.below(5));
                self.topics.insert(topic, made);
            }
        }
        self.tell(|| format!("topics {:?}", self.topics));
        self.see_topics();
        self.happen(Event::TopicsChanged(self.view.clone()));
    }

    fn change_subscription(&mut self, at: usize) {
        // The answer to what is under way would be taken for one to this.
        if !self.actors[at].classic && self.actors[at].inflight.is_none() {
            (self.actors[at].names, self.actors[at].regex) = self.subscription(false);
            self.actors[at].full = true;
        }
    }

    fn event(&mut self) {
        let any = |simulation: &mut Simulation| simulation.random.below(simulation.actors.len());
        match self.random.below(100) {
            0..=59 => {
                if !self.actors.is_empty() {
                    let at = any(self);
                    self.tick(at);
                }
            }
            60..=72 => {
                let ms = self.random.below(4_000) as u64;
                self.pass_ms(ms);
            }
            73..=84 => {
                let batches = self.random.below(4);
                self.commit(batches);
            }
            85..=89 => {
                self.actors.retain(|actor| actor.alive);
                if self.actors.len() < ACTORS_MAX {
                    let classic = self.chance(3);
                    let number = self.random.below(3);
                    let taken = |simulation: &Simulation, id: &InstanceId| {
                        simulation.actors.iter().any(|actor| actor.instance.as_ref() == Some(id))
                    };
                    let instance = Some(InstanceId::new(&format!("i{number}"))).filter(|id| !taken(self, id));
                    let instance = if self.chance(3) { instance } else { None };
                    self.bear(classic, instance);
                }
            }
            90..=92 => {
                if !self.actors.is_empty() {
                    let at = any(self);
                    self.go(at);
                }
            }
            93..=94 => {
                if !self.actors.is_empty() {
                    let at = any(self);
                    self.change_subscription(at);
                }
            }
            95..=96 => self.change_topics(),
            97..=98 => self.fail_over(),
            _ => {
                let silent_ms = self.random.below(70_000) as u64;
                self.pass_ms(silent_ms);
            }
        }
    }

    // What holds in the end.

    /// Whether every partition that somebody reads is one reader's.
    fn is_settled(&self) -> bool {
        let wanted: BTreeSet<Partition> = self
            .topics
            .iter()
            .filter(|(topic, _)| self.living().any(|actor| actor.reads(topic)))
            .flat_map(|(_, (id, count))| (0..*count).map(|partition| (*id, PartitionId(partition as i32))))
            .collect();
        let owned: Vec<Partition> = self.living().flat_map(|actor| actor.owned.iter().copied()).collect();
        let is_reader = |actor: &Actor, topic: &TopicId| self.topics.iter().any(|(name, (id, _))| id == topic && actor.reads(name));
        let is_by_readers = self.living().all(|actor| actor.owned.iter().all(|(topic, _)| is_reader(actor, topic)));
        let is_in = self.living().all(|actor| actor.phase == Phase::In && actor.inflight.is_none() && self.model.is_member(&actor.id));
        is_in && is_by_readers && owned.len() == wanted.len() && owned.into_iter().collect::<BTreeSet<_>>() == wanted
    }

    fn living(&self) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(|actor| actor.alive)
    }

    /// Heartbeats of all, until nothing more happens. Returns how many rounds it took until it was settled.
    fn settle(&mut self) -> usize {
        let quiet_rounds = if self.chance(8) { QUIET_ROUNDS_MAX } else { QUIET_ROUNDS };
        let mut settled = 0;
        let mut quiet = 0;
        for round in 1..=ROUNDS_MAX + quiet_rounds {
            let written = self.log.len();
            for at in 0..self.actors.len() {
                self.tick(at);
            }
            self.pass_ms(5_000);
            quiet = if self.is_settled() && self.log.len() == written { quiet + 1 } else { 0 };
            if quiet == 1 {
                settled = round;
            }
            if quiet == quiet_rounds {
                return settled;
            }
        }
        panic!("not settled after {ROUNDS_MAX} rounds: {:#?}", self.actors);
    }

    fn heal(&mut self) {
        self.instantly = true;
        self.commit(usize::MAX);
        self.actors.retain(|actor| actor.alive);
        for at in 0..self.actors.len() {
            // Whoever waits for a rebalance waits on.
            if self.actors[at].inflight.as_ref().is_some_and(|(token, _)| self.answered.contains(token)) {
                let (token, _) = self.actors[at].inflight.clone().unwrap();
                self.lose(token);
            }
        }
    }

    /// One leaves, one comes: what does not have to move stays.
    fn check_movement(&mut self) {
        let same = self.living().all(|actor| !actor.classic && actor.names == CLASSIC_TOPICS && actor.regex.is_none());
        if !same || self.actors.len() < 2 || self.config.default_assignor() != Assignor::Uniform {
            return;
        }
        let at = self.random.below(self.actors.len());
        let gone = self.actors[at].clone();
        self.kill(at);
        self.actors.remove(at);
        let before = self.actors.clone();
        self.asked += 1;
        let request = ConsumerGroupHeartbeat { instance: gone.instance.clone(), ..beat(gone.id.as_str(), -1) };
        self.happen(Event::Request { token: Token(self.asked), request: Request::ConsumerGroupHeartbeat(request) });
        self.settle();
        for (actor, before) in self.actors.iter().zip(&before) {
            assert!(actor.owned.is_superset(&before.owned), "{} lost something because {} left", actor.id, gone.id);
        }
        let before = self.actors.clone();
        self.bear(false, None);
        let last = self.actors.len() - 1;
        (self.actors[last].names, self.actors[last].regex) = (CLASSIC_TOPICS.to_vec(), None);
        self.settle();
        for (actor, before) in self.actors.iter().zip(&before) {
            assert!(actor.owned.is_subset(&before.owned), "{} got something because another came", actor.id);
        }
        let counts: Vec<usize> = self.actors.iter().map(|actor| actor.owned.len()).collect();
        assert!(counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref(), "{counts:?}");
    }
}

/// A record's key in the log.
fn key(record: &GroupRecord) -> String {
    match record {
        GroupRecord::OffsetCommit { topic, partition, .. } => format!("offset {topic} {partition:?}"),
        GroupRecord::GroupMetadata { .. } => "classic".to_owned(),
        GroupRecord::ConsumerGroupMetadata { .. } => "consumer".to_owned(),
        GroupRecord::ConsumerGroupPartitionMetadata { .. } => "partitions".to_owned(),
        GroupRecord::ConsumerGroupMemberMetadata { member, .. } => format!("member {member}"),
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { .. } => "target".to_owned(),
        GroupRecord::ConsumerGroupTargetAssignmentMember { member, .. } => format!("target of {member}"),
        GroupRecord::ConsumerGroupCurrentMemberAssignment { member, .. } => format!("current of {member}"),
        GroupRecord::ConsumerGroupRegularExpression { regex, .. } => format!("regex {regex}"),
    }
}

fn is_tombstone(record: &GroupRecord) -> bool {
    match record {
        GroupRecord::OffsetCommit { value, .. } => value.is_none(),
        GroupRecord::GroupMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupPartitionMetadata { present, .. } => !present,
        GroupRecord::ConsumerGroupMemberMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupTargetAssignmentMember { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupCurrentMemberAssignment { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupRegularExpression { value, .. } => value.is_none(),
    }
}

fn assignment_bytes(given: &BTreeMap<&str, Vec<i32>>) -> Blob {
    let mut bytes = vec![0, 1];
    bytes.extend((given.len() as i32).to_be_bytes());
    for (topic, partitions) in given {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend((partitions.len() as i32).to_be_bytes());
        partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

fn assigned(bytes: &[u8]) -> Vec<(String, Vec<i32>)> {
    if bytes.is_empty() {
        return vec![];
    }
    let mut rest = &bytes[2..];
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at(length);
        rest = left;
        taken
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0_i32, |number, byte| number << 8 | i32::from(*byte));
    let count = number(take(4));
    let mut topic = || {
        let length = number(take(2)) as usize;
        let name = String::from_utf8(take(length).to_vec()).unwrap();
        let count = number(take(4));
        (name, (0..count).map(|_| number(take(4))).collect())
    };
    (0..count).map(|_| topic()).collect()
}

fn run(seed: u64, tells: bool) -> usize {
    let mut simulation = Simulation::new(seed, tells);
    for _ in 0..EVENTS {
        simulation.event();
    }
    simulation.tell(|| "from here on everybody behaves".to_owned());
    simulation.heal();
    let rounds = simulation.settle();
    simulation.check_movement();
    rounds
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[test]
fn in_every_history_nobody_has_what_another_has_and_in_the_end_all_is_had() {
    if let Some(seed) = number("OTTLA_SIM_SEED") {
        println!("settled after {} rounds", run(seed, true));
        return;
    }
    let mut most = 0;
    for seed in 0..number("OTTLA_SIM_SEEDS").unwrap_or(1_000) {
        let rounds = std::panic::catch_unwind(|| run(seed, false));
        match rounds {
            Ok(rounds) => most = most.max(rounds),
            Err(panic) => {
                eprintln!(
                    "run this history alone: OTTLA_SIM_SEED={seed} cargo test -p ottla-cluster --test groups in_every_history -- --nocapture"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("settled after {most} rounds of heartbeats at most");
}
