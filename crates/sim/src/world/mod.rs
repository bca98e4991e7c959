//! The cluster and its clients in virtual time: who gets which message when, which log survives, and in `faults` what goes wrong. Owns all that
//! is shared; knows of coordinators and clients only that messages go to them and come from them.

mod faults;

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::group::{BatchContent, GroupConfig, Now, TopicsView};
use ottla_cluster::metadata::{MetadataImage, MetadataPosition, MetadataRecord, PartitionRecord};
use ottla_cluster::transaction::{TransactionConfig, TransactionRecord};
use ottla_model::{MonotonicMs, NodeId, PartitionId, TimestampMs, TopicId, Uuid};

use crate::client::{Client, Slot, Wake};
use crate::fact::{DataEntry, Fact, Logs};
use crate::invariant::{Broken, Invariants};
use crate::log::{Log, Node};
use crate::message::{Answer, Ask, ClientId, From, Part, topic};
use crate::network::{Network, Order};
use crate::node::{DataHost, GroupHost, Host, Over, Place, TransactionHost};
use crate::random::Random;
use crate::scheduler::Scheduler;

const NODES: usize = 3;
/// Partitions of the topic that transactions write to.
pub(crate) const DATA_PARTITIONS: usize = 3;
/// Partitions of the topic that groups read.
pub(crate) const READ_PARTITIONS: i32 = 4;
/// The topic that groups read.
pub(crate) const READ_TOPIC: &str = "in";

/// How long faults come.
const FAULTS_MS: u64 = 100_000;
/// How long clients go on without faults.
const CALM_MS: u64 = 15_000;
/// How long clients then only keep what they have: longer than all timeouts of sessions, rebalances and transactions after one another.
const QUIET_MS: u64 = 100_000;
/// How long what a coordinator begins by itself may then take.
const REST_MS: u64 = 1_000;
/// The mean time between two faults.
const FAULT_EVERY_MS: u64 = 3_500;
/// A history with more events than this does not come to an end.
const EVENTS_MAX: usize = 2_000_000;

/// Added to a node's number, where it answers: above all that ask.
const ANSWERS: u64 = 1 << 32;

/// How far a history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Faults,
    Calm,
    /// Nothing new is begun by clients.
    Quiet,
    /// Nor by coordinators of their own accord: what they had begun is done with.
    Rest,
}

/// What happens next.
#[derive(Debug)]
enum Event {
    Arrive(Node, Part, From, Ask),
    ArriveAnswer(From, Answer),
    Wake(ClientId, Wake),
    Born(usize),
    Timer(Node, Part, i32),
    Committed(Part, i32, usize),
    Loaded(Part, i32),
    Deposed(Node, Part, i32),
    Fault,
}

/// See the module.
pub(crate) struct World {
    pub random: Random,
    tells: bool,
    scheduler: Scheduler<Event>,
    network: Network,
    stage: Stage,
    pub logs: Logs,
    pub topics: TopicsView,
    pub group_config: GroupConfig,
    pub transaction_config: TransactionConfig,
    hosts: BTreeMap<(Node, Part), Host>,
    /// The moment of each host's timer that is on its way.
    timers: BTreeMap<(Node, Part), u64>,
    paused_until_ms: [u64; NODES],
    slots: Vec<Slot>,
    clients: BTreeMap<ClientId, Client>,
    next_number: u64,
    invariants: Invariants,
    broken: Option<Broken>,
}

impl Place {
    pub fn is_deposed(&self, world: &World) -> bool {
        world.logs.of(self.part).epoch() != self.epoch
    }
}

/// The id of the topic that groups read.
pub(crate) fn read_topic_id() -> TopicId {
    TopicId(Uuid::from_bytes([7; 16]))
}

fn topics() -> TopicsView {
    let mut image = MetadataImage::default();
    for (name, topic_id, partitions) in
        [(READ_TOPIC, read_topic_id(), READ_PARTITIONS), ("out", TopicId(Uuid::from_bytes([8; 16])), DATA_PARTITIONS as i32)]
    {
        let partition = |partition| MetadataRecord::Partition(PartitionRecord::new(topic_id, PartitionId(partition), vec![NodeId(1)]));
        let made = [MetadataRecord::Topic { name: topic(name), topic_id }].into_iter().chain((0..partitions).map(partition));
        for record in made {
            if let Err(error) = image.apply(&record) {
                unreachable!("{error}");
            }
        }
    }
    if let Err(error) = image.apply_entry(MetadataPosition { term: 1, index: 1 }, &[]) {
        unreachable!("{error}");
    }
    TopicsView::new(image)
}

impl World {
    pub fn new(seed: u64, tells: bool) -> World {
        let mut random = Random::new(seed);
        let leaders: Vec<Node> = (0..2 + DATA_PARTITIONS).map(|_| random.below(NODES)).collect();
        let logs = Logs {
            offsets: Log::new(leaders[0]),
            transactions: Log::new(leaders[1]),
            data: leaders[2..].iter().map(|leader| Log::new(*leader)).collect(),
        };
        let slots = Slot::draw(&mut random);
        let group_config = GroupConfig {
            consumer_session_timeout_ms: 12_000,
            consumer_heartbeat_interval_ms: 2_000,
            classic_initial_rebalance_delay_ms: 1_000,
            ..GroupConfig::default()
        };
        let transaction_config = TransactionConfig { expiration_ms: 60_000, ..TransactionConfig::default() };
        let mut world = World {
            random,
            tells,
            scheduler: Scheduler::new(1_000_000),
            network: Network::default(),
            stage: Stage::Faults,
            logs,
            topics: topics(),
            group_config,
            transaction_config,
            hosts: BTreeMap::new(),
            timers: BTreeMap::new(),
            paused_until_ms: [0; NODES],
            slots,
            clients: BTreeMap::new(),
            next_number: 1_000,
            invariants: Invariants::default(),
            broken: None,
        };
        for part in world.parts() {
            world.scheduler.after(0, Event::Loaded(part, 0));
        }
        for slot in 0..world.slots.len() {
            let delay_ms = world.random.between(10, 15_000);
            world.scheduler.after(delay_ms, Event::Born(slot));
        }
        world.scheduler.after(FAULT_EVERY_MS, Event::Fault);
        world
    }

    /// The whole history. Gives how many events it had.
    pub fn run(mut self) -> Result<usize, Broken> {
        let mut events = 0;
        let start_ms = self.scheduler.now_ms();
        let mut until_ms = start_ms;
        for (stage, lasts_ms) in [(Stage::Faults, FAULTS_MS), (Stage::Calm, CALM_MS), (Stage::Quiet, QUIET_MS), (Stage::Rest, REST_MS)] {
            self.enter(stage);
            until_ms += lasts_ms;
            while let Some(event) = self.scheduler.next(until_ms) {
                self.happen(event);
                events += 1;
                if let Some(broken) = self.broken.take() {
                    return Err(broken);
                }
                if events > EVENTS_MAX {
                    return Err(Broken { invariant: "liveness", what: format!("{events} events, and no end") });
                }
            }
        }
        let mut invariants = std::mem::take(&mut self.invariants);
        invariants.at_end(&self)?;
        Ok(events)
    }

    fn enter(&mut self, stage: Stage) {
        self.tell(|| format!("==== {stage:?}"));
        self.stage = stage;
        if stage == Stage::Calm {
            self.network.calm = true;
            // Who was replaced is gone by now; every slot has its process.
            let newest: BTreeSet<ClientId> = (0..self.slots.len()).filter_map(|slot| self.newest_of(slot)).collect();
            let older: Vec<ClientId> = self.clients.keys().copied().filter(|id| !newest.contains(id)).collect();
            older.into_iter().for_each(|id| self.kill(id));
        }
    }

    // What parts of the world ask of it.

    pub fn now_ms(&self) -> u64 {
        self.scheduler.now_ms()
    }

    pub fn now(&self) -> Now {
        Now { wall: TimestampMs(self.now_ms() as i64), monotonic: MonotonicMs(self.now_ms()) }
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// A number that nothing else has.
    pub fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{:>9} {}", self.now_ms(), what());
        }
    }

    pub fn fact(&mut self, fact: &Fact<'_>) {
        self.tell(|| format!("* {fact:?}"));
        if let Err(broken) = self.invariants.see(fact, &self.logs)
            && self.broken.is_none()
        {
            self.broken = Some(broken);
        }
    }

    pub fn parts(&self) -> Vec<Part> {
        [Part::Offsets, Part::Transactions].into_iter().chain((0..DATA_PARTITIONS).map(Part::Data)).collect()
    }

    /// The state machine of who leads a partition, if it is loaded.
    pub fn leading(&self, part: Part) -> Option<&Host> {
        let log = self.logs.of(part);
        self.hosts.get(&(log.leader(), part)).filter(|host| host.place().epoch == log.epoch())
    }

    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// Whom metadata tells of as the leader: now and then the one before.
    fn leader_as_told(&mut self, part: Part) -> Node {
        let (leader, before) = (self.logs.of(part).leader(), self.logs.of(part).leader_before());
        if self.stage == Stage::Faults && self.random.per_mille(150) { before } else { leader }
    }

    pub fn ask_from_client(&mut self, client: ClientId, part: Part, number: u64, ask: Ask) {
        let node = self.leader_as_told(part);
        self.send(node, part, From::Client(client, number), ask);
    }

    pub fn ask_from_node(&mut self, place: Place, part: Part, number: u64, ask: Ask) {
        let node = self.leader_as_told(part);
        self.send(node, part, From::Node(place.node, place.part, number), ask);
    }

    fn send(&mut self, node: Node, part: Part, from: From, ask: Ask) {
        let order = ask.order();
        let link = match from {
            From::Client(client, _) => (client + NODES as u64, node as u64),
            From::Node(from, ..) => (from as u64, node as u64),
        };
        let arrivals = self.network.arrivals_ms(self.now_ms(), link, order, &mut self.random);
        self.tell(|| format!("{from:?} asks node {node} {part:?} {ask:?}, arrives {arrivals:?}"));
        for at_ms in arrivals {
            self.scheduler.at(at_ms, Event::Arrive(node, part, from, ask.clone()));
        }
    }

    pub fn answer(&mut self, place: Place, from: From, answer: Answer) {
        // A client knows late answers by their numbers. A leader that has asked about a transaction of version 1 does not know for which one
        // the answer was, and takes it if another is open by then.
        let (link, order) = match from {
            From::Client(..) => ((0, 0), Order::Any),
            From::Node(node, ..) => ((ANSWERS + place.node as u64, node as u64), Order::Kept),
        };
        let arrivals = self.network.arrivals_ms(self.now_ms(), link, order, &mut self.random);
        self.tell(|| format!("node {} {:?} answers {from:?} {answer:?}, arrives {arrivals:?}", place.node, place.part));
        for at_ms in arrivals {
            self.scheduler.at(at_ms, Event::ArriveAnswer(from, answer.clone()));
        }
    }

    /// Whether a client has closed the connection that it asked on, because there was no answer. One that has died has not: who takes its
    /// place does not know what is on its way.
    pub fn has_given_up(&self, from: From) -> bool {
        match from {
            From::Client(client, number) => self.clients.get(&client).is_some_and(|client| !client.waits_for(number)),
            From::Node(..) => false,
        }
    }

    pub fn wake_after(&mut self, client: ClientId, delay_ms: u64, wake: Wake) {
        self.scheduler.after(delay_ms, Event::Wake(client, wake));
    }

    /// Whether an append is refused for a reason that passes.
    fn refuses(&mut self) -> bool {
        self.stage == Stage::Faults && self.random.per_mille(3)
    }

    fn will_commit(&mut self, part: Part, epoch: i32, end: usize) {
        let delay_ms = match self.random.below(100) {
            _ if self.stage > Stage::Faults => self.random.between(1, 10),
            0..=4 => self.random.between(100, 4_000),
            _ => self.random.between(1, 50),
        };
        self.scheduler.after(delay_ms, Event::Committed(part, epoch, end));
    }

    pub fn append_offsets(&mut self, place: Place, content: &BatchContent) -> Option<usize> {
        if self.refuses() {
            return None;
        }
        let end = self.logs.offsets.append(place.epoch, content.clone())?;
        self.will_commit(place.part, place.epoch, end);
        self.fact(&Fact::OffsetsAppended { at: end - 1, content });
        Some(end)
    }

    pub fn append_transaction(
        &mut self,
        place: Place,
        record: TransactionRecord,
        (by, takes_over): (Option<ClientId>, bool),
    ) -> Option<usize> {
        if self.refuses() {
            return None;
        }
        let end = self.logs.transactions.append(place.epoch, record.clone())?;
        self.will_commit(place.part, place.epoch, end);
        self.fact(&Fact::TransactionAppended { record: &record, by, takes_over });
        Some(end)
    }

    pub fn append_data(&mut self, place: Place, number: usize, entry: DataEntry) -> Option<usize> {
        if self.refuses() {
            return None;
        }
        let end = self.logs.data[number].append(place.epoch, entry.clone())?;
        self.will_commit(place.part, place.epoch, end);
        self.fact(&Fact::DataAppended { part: place.part, at: end - 1, entry: &entry });
        Some(end)
    }

    // What happens.

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(node, part, from, ask) => {
                if self.is_paused(node) {
                    return self.scheduler.at(self.paused_until_ms[node], Event::Arrive(node, part, from, ask));
                }
                if ask.order() == Order::Kept && self.has_given_up(from) {
                    return;
                }
                match self.hosts.contains_key(&(node, part)) {
                    true => self.with_host(node, part, |host, world| host.take(world, from, ask)),
                    false => {
                        let place = Place { node, part, epoch: -1, appends_alone: false };
                        self.answer(place, from, Answer::Unavailable);
                    }
                }
            }
            Event::ArriveAnswer(From::Node(node, part, number), answer) => {
                if self.is_paused(node) {
                    return self.scheduler.at(self.paused_until_ms[node], Event::ArriveAnswer(From::Node(node, part, number), answer));
                }
                self.with_host(node, part, |host, world| host.answered(world, number, answer));
            }
            Event::ArriveAnswer(From::Client(client, number), answer) => {
                self.with_client(client, |client, world| client.answered(world, number, answer))
            }
            Event::Wake(client, wake) => self.with_client(client, |client, world| client.woken(world, wake)),
            Event::Born(slot) => {
                if self.stage > Stage::Faults
                    && let Some(older) = self.newest_of(slot)
                {
                    self.tell(|| format!("client {older} is stopped for its successor"));
                    self.clients.remove(&older);
                    self.fact(&Fact::Disowned { client: older });
                }
                let id = self.next_number();
                let mut client = Client::new(id, slot, &self.slots[slot], self.random.uuid());
                self.tell(|| format!("client {id} starts as {:?}", self.slots[slot]));
                client.start(self);
                self.clients.insert(id, client);
            }
            Event::Timer(node, part, epoch) => {
                if self.is_paused(node) {
                    return self.scheduler.at(self.paused_until_ms[node], Event::Timer(node, part, epoch));
                }
                let is_same = self.hosts.get(&(node, part)).is_some_and(|host| host.place().epoch == epoch);
                if is_same {
                    self.timers.remove(&(node, part));
                    self.with_host(node, part, |host, world| host.time(world));
                }
            }
            Event::Committed(part, epoch, end) => {
                let leader = self.logs.of(part).leader();
                if self.is_paused(leader) && self.logs.of(part).epoch() == epoch {
                    return self.scheduler.at(self.paused_until_ms[leader], Event::Committed(part, epoch, end));
                }
                if self.logs.of_mut(part).commit(epoch, end) {
                    self.with_host(leader, part, |host, world| host.committed(world, end));
                    self.look_at_stable_offset(part);
                }
            }
            Event::Loaded(part, epoch) => self.load(part, epoch),
            Event::Deposed(node, part, epoch) => {
                if self.is_paused(node) {
                    return self.scheduler.at(self.paused_until_ms[node], Event::Deposed(node, part, epoch));
                }
                if self.hosts.get(&(node, part)).is_some_and(|host| host.place().epoch <= epoch) {
                    self.end_host(node, part);
                }
            }
            Event::Fault => {
                if self.stage == Stage::Faults {
                    self.fault();
                    let delay_ms = self.random.between(1, 2 * FAULT_EVERY_MS);
                    self.scheduler.after(delay_ms, Event::Fault);
                }
            }
        }
    }

    fn is_paused(&self, node: Node) -> bool {
        self.paused_until_ms[node] > self.now_ms()
    }

    fn with_host(&mut self, node: Node, part: Part, act: impl FnOnce(&mut Host, &mut World) -> Result<(), Over>) {
        let Some(mut host) = self.hosts.remove(&(node, part)) else { return };
        match act(&mut host, self) {
            Ok(()) => {
                self.set_timer(&host);
                self.hosts.insert((node, part), host);
                if let Part::Data(_) = part {
                    self.look_at_stable_offset(part);
                }
            }
            Err(Over) => {
                let epoch = host.place().epoch;
                self.tell(|| format!("node {node} {part:?} cannot write, and begins anew"));
                host.end(self);
                self.timers.remove(&(node, part));
                if self.logs.of(part).epoch() == epoch {
                    self.scheduler.after(500, Event::Loaded(part, epoch));
                }
            }
        }
    }

    fn set_timer(&mut self, host: &Host) {
        let (place, Some(deadline_ms)) = (host.place(), host.next_deadline_ms()) else { return };
        let key = (place.node, place.part);
        if self.timers.get(&key).is_none_or(|at_ms| *at_ms > deadline_ms || *at_ms < self.now_ms()) {
            let at_ms = deadline_ms.max(self.now_ms() + 1);
            self.timers.insert(key, at_ms);
            self.scheduler.at(at_ms, Event::Timer(place.node, place.part, place.epoch));
        }
    }

    fn with_client(&mut self, id: ClientId, act: impl FnOnce(&mut Client, &mut World)) {
        let Some(mut client) = self.clients.remove(&id) else { return };
        act(&mut client, self);
        if client.is_alive() {
            self.clients.insert(id, client);
        } else {
            self.tell(|| format!("client {id} gives up"));
            self.fact(&Fact::Disowned { client: id });
            self.replace(client.slot());
        }
    }

    /// If it is still to be replaced, a new process takes the place of one that is gone.
    fn replace(&mut self, slot: usize) {
        if self.newest_of(slot).is_none() {
            let delay_ms = if self.stage == Stage::Faults { self.random.between(10, 15_000) } else { 100 };
            self.scheduler.after(delay_ms, Event::Born(slot));
        }
    }

    fn newest_of(&self, slot: usize) -> Option<ClientId> {
        self.clients.values().filter(|client| client.slot() == slot).map(Client::id).max()
    }

    fn kill(&mut self, id: ClientId) {
        if let Some(client) = self.clients.remove(&id) {
            self.tell(|| format!("client {id} dies"));
            self.fact(&Fact::Disowned { client: id });
            self.replace(client.slot());
        }
    }

    /// A new leader has waited until all that it has is committed, and rebuilds the state from it.
    fn load(&mut self, part: Part, epoch: i32) {
        if self.logs.of(part).epoch() != epoch {
            return;
        }
        let node = self.logs.of(part).leader();
        if self.is_paused(node) {
            return self.scheduler.at(self.paused_until_ms[node], Event::Loaded(part, epoch));
        }
        let log = self.logs.of_mut(part);
        log.commit(epoch, log.end());
        self.end_host(node, part);
        let appends_alone = self.random.below(2) == 0;
        let place = Place { node, part, epoch, appends_alone };
        self.tell(|| format!("node {node} {part:?} is loaded in epoch {epoch}"));
        let host = match part {
            Part::Offsets => Host::Groups(Box::new(GroupHost::load(self, place))),
            Part::Transactions => Host::Transactions(Box::new(TransactionHost::load(self, place))),
            Part::Data(number) => Host::Data(Box::new(DataHost::load(self, place, number))),
        };
        self.set_timer(&host);
        self.hosts.insert((node, part), host);
        self.look_at_stable_offset(part);
    }

    fn end_host(&mut self, node: Node, part: Part) {
        self.timers.remove(&(node, part));
        if let Some(host) = self.hosts.remove(&(node, part)) {
            host.end(self);
        }
    }

    fn look_at_stable_offset(&mut self, part: Part) {
        let Some(Host::Data(host)) = self.leading(part) else { return };
        let offset = host.producers().last_stable_offset(self.logs.of(part).high_watermark());
        self.fact(&Fact::StableOffset { part, offset });
    }
}
