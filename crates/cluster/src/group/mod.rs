//! Groups and their offsets: what the coordinator of one partition of `__consumer_offsets` knows, decides and writes.
//!
//! A [`GroupCoordinator`] owns all groups of its partition and is the partition's only writer. It is a function of what happened:
//! [`step`](GroupCoordinator::step) takes the time and an [`Event`], and returns [`Effect`]s. Nothing here reads a clock, draws a random
//! number, waits, or knows how anything is written.
//!
//! # Ahead of the log
//!
//! A step changes the state at once and asks for its records to be appended ([`Effect::Append`]), so that the next step builds on it
//! without waiting for the disk. What is not committed yet is kept from clients by the answers: each [`Effect::Reply`] names the
//! proposal that must be committed before it may leave, the last one of its group, whether the request wrote something or only looked.
//! So no client ever sees what a failure could take back.
//!
//! If an append fails there is no way back to before it, and none is needed: it fails because leadership or the disk is lost, and then
//! this coordinator is over. It is dropped, those who wait are told to look for another, and whoever leads the partition next rebuilds
//! the state from the log. (Kafka keeps the older state beside the newer one, in maps with snapshots. Those cost every lookup, and serve
//! one case that need not happen: a batch that is refused for its size.) What a client can make fail is checked *before* it changes
//! anything: that its records fit into a batch ([`GroupConfig::batch_bytes_max`]), and, by the broker, that a transactional producer
//! is not fenced. A step that finds out too late restores the group as it was and says nothing but the error.
//!
//! # Rebuilding
//!
//! [`replay`](GroupCoordinator::replay) takes the committed records in their order; [`loaded`](GroupCoordinator::loaded) then starts the
//! deadlines. Rebuilt groups know what is in the log: members and assignments, not who was about to join. Clients that find their
//! request unanswered ask again.

mod classic;
mod commit;
mod config;
mod consumer;
mod embedded;
mod error;
mod event;
mod message;
mod migrate;
mod offsets;
mod record;
mod replay;
mod request;
mod retention;
mod size;
mod step;
mod story;
#[cfg(test)]
mod testing;
mod timers;
mod topics;

use std::collections::{BTreeSet, HashMap, HashSet};

use ottla_model::{GroupId, MonotonicMs, PartitionId, ProducerEpoch, ProducerId, TopicName};

pub use config::{Assignor, GroupConfig, MigrationPolicy};
pub use error::GroupError;
pub use event::{Batch, BatchContent, Effect, EndTransaction, Event, Now, Proposal, Token, TransactionResult};
pub use message::*;
pub use record::{
    Assignment, Blob, ClassicMemberMetadata, ClassicProtocols, CommittedOffset, ConsumerMemberMetadata, CurrentAssignment, GroupMetadata,
    GroupRecord, Held, MemberState, ResolvedRegex,
};
pub use step::BATCH_BYTES;
pub use story::{LastRebalance, RebalanceReason};
pub use topics::TopicsView;

use classic::Classic;
use consumer::Consumer;
use offsets::Offsets;
use step::{Said, Step};
use story::Story;
use timers::{Timer, Timers};

/// Of which protocol a group is, and its members.
#[derive(Clone, Debug)]
enum Kind {
    Classic(Box<Classic>),
    Consumer(Box<Consumer>),
}

/// One group.
#[derive(Debug)]
struct Group {
    kind: Kind,
    offsets: Offsets,
    story: Story,
    /// The last batch that has something of it.
    last_proposal: Proposal,
}

impl Group {
    /// A group that nobody has joined, with no offsets.
    fn void() -> Group {
        Group {
            kind: Kind::Classic(Box::new(Classic::simple())),
            offsets: Offsets::default(),
            story: Story::default(),
            last_proposal: Proposal::NONE,
        }
    }

    /// Nothing would be lost if it were forgotten.
    fn is_void(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.is_void() && self.offsets.is_empty(),
            Kind::Consumer(consumer) => consumer.is_void() && self.offsets.is_empty(),
        }
    }
}

/// What all groups of a coordinator share of their offsets.
#[derive(Debug, Default)]
struct Ledger {
    /// Each topic's name once, however many groups have offsets of it.
    names: HashSet<TopicName>,
    /// Numbers the records as they are applied.
    order: u64,
    /// The groups in which each producer has a transaction open.
    open_transactions: HashMap<ProducerId, BTreeSet<GroupId>>,
}

impl Ledger {
    fn commit(
        &mut self,
        group: &GroupId,
        offsets: &mut Offsets,
        (topic, partition): (TopicName, PartitionId),
        value: CommittedOffset,
        producer: Option<(ProducerId, ProducerEpoch)>,
    ) {
        self.order += 1;
        let topic = match self.names.get(&topic) {
            Some(known) => known.clone(),
            None => {
                self.names.insert(topic.clone());
                topic
            }
        };
        match producer {
            None => offsets.commit(topic, partition, value, self.order),
            Some(producer) => {
                offsets.commit_in_transaction(producer, topic, partition, value, self.order);
                self.open_transactions.entry(producer.0).or_default().insert(group.clone());
            }
        }
    }
}

/// All groups and offsets of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct GroupCoordinator {
    config: GroupConfig,
    topics: TopicsView,
    groups: HashMap<GroupId, Group>,
    ledger: Ledger,
    timers: Timers,
    last_proposal: Proposal,
    /// The last batch after which a group was gone: that there is none comes true with it.
    last_removal: Proposal,
    /// Groups whose offsets are still to be looked through in this round.
    retention: Vec<GroupId>,
    effects: Vec<Effect>,
}

impl GroupCoordinator {
    /// A coordinator of nothing yet. First comes what is in the log ([`replay`](GroupCoordinator::replay)), then
    /// [`loaded`](GroupCoordinator::loaded), then all else.
    pub fn new(config: GroupConfig) -> GroupCoordinator {
        GroupCoordinator {
            config,
            topics: TopicsView::default(),
            groups: HashMap::new(),
            ledger: Ledger::default(),
            timers: Timers::default(),
            last_proposal: Proposal::NONE,
            last_removal: Proposal::NONE,
            retention: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// All of the log is replayed: deadlines run from now.
    pub fn loaded(&mut self, now: Now, topics: TopicsView) -> Vec<Effect> {
        self.topics = topics;
        self.timers.set(Timer::Retention, now.monotonic.plus_ms(self.config.offsets_retention_check_interval_ms));
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            self.run(now, &id, |group, step| match &mut group.kind {
                Kind::Classic(classic) => classic.loaded(step),
                Kind::Consumer(consumer) => consumer.loaded(step),
            });
        }
        std::mem::take(&mut self.effects)
    }

    /// Something happens.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Request { token, request } => self.request(now, token, request),
            Event::EndTransaction { token, end } => self.end_transaction(token, end),
            Event::TopicsChanged(topics) => self.topics_changed(now, topics),
            Event::Time => self.time(now),
        }
        std::mem::take(&mut self.effects)
    }

    /// When the next [`Event::Time`] is due. It may come earlier or later without harm.
    pub fn next_deadline(&self) -> Option<MonotonicMs> {
        self.timers.next_deadline()
    }

    /// Another node coordinates from now on, or this one from anew: answers those whom a step left waiting. The answers that the broker
    /// holds for a proposal get the same error from it.
    pub fn resign(mut self, now: Now) -> Vec<Effect> {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            self.run(now, &id, |group, step| match &mut group.kind {
                Kind::Classic(classic) => classic.fail_all(step, &GroupError::NotCoordinator),
                // Every request is answered at once.
                Kind::Consumer(_) => {}
            });
        }
        self.effects
    }

    /// Changes the configuration; it counts for what happens from now on.
    pub fn reconfigure(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// The configuration that counts.
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Takes a step of one group, which is made for it if need be, and says what it says.
    fn run<T>(&mut self, now: Now, id: &GroupId, act: impl FnOnce(&mut Group, &mut Step<'_>) -> T) -> T {
        let last_proposal = self.last_removal;
        let group = self.groups.entry(id.clone()).or_insert_with(|| Group { last_proposal, ..Group::void() });
        let mut step = Step {
            now,
            group: id,
            config: &self.config,
            topics: &self.topics,
            ledger: &mut self.ledger,
            timers: &mut self.timers,
            story: std::mem::take(&mut group.story),
            said: Said::default(),
        };
        let result = act(group, &mut step);
        let Step { story, said, .. } = step;
        group.story = story;
        let Said { records, producer, replies } = said;
        if !records.is_empty() {
            self.last_proposal = Proposal(self.last_proposal.0 + 1);
            group.last_proposal = self.last_proposal;
            let content = match producer {
                None => BatchContent::Records(records),
                Some((producer, producer_epoch)) => BatchContent::Transactional { producer, producer_epoch, records },
            };
            self.effects.push(Effect::Append(Batch { proposal: self.last_proposal, content }));
        }
        let after = group.last_proposal;
        self.effects.extend(replies.into_iter().map(|(token, response)| Effect::Reply { token, after, response }));
        self.forget_if_void(id);
        result
    }

    fn forget_if_void(&mut self, id: &GroupId) {
        if let Some(group) = self.groups.get(id)
            && group.is_void()
        {
            self.last_removal = self.last_removal.max(group.last_proposal);
            self.groups.remove(id);
        }
    }

    /// Answers a request to a group that is not there.
    fn reply_without_group(&mut self, token: Token, response: Response) {
        self.effects.push(Effect::Reply { token, after: self.last_removal, response });
    }

    fn end_transaction(&mut self, token: Token, end: EndTransaction) {
        self.last_proposal = Proposal(self.last_proposal.0 + 1);
        let proposal = self.last_proposal;
        for id in self.ledger.open_transactions.remove(&end.producer).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&id) {
                group.offsets.end_transaction(end.producer, end.result);
                group.last_proposal = proposal;
            }
            self.forget_if_void(&id);
        }
        self.effects.push(Effect::Append(Batch { proposal, content: BatchContent::Marker(end) }));
        self.effects.push(Effect::Reply { token, after: proposal, response: Response::TransactionEnded });
    }

    fn topics_changed(&mut self, now: Now, topics: TopicsView) {
        let before = std::mem::replace(&mut self.topics, topics);
        let changes = self.topics.changes_since(&before);
        if changes.topics.is_empty() {
            return;
        }
        for group in self.groups.values_mut() {
            if let Kind::Consumer(consumer) = &mut group.kind {
                consumer.topics_changed(changes.topics.keys());
            }
        }
        let gone: Vec<&TopicName> = changes.topics.iter().filter(|(_, gone)| **gone).map(|(topic, _)| topic).collect();
        if gone.is_empty() {
            return;
        }
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            let Some(group) = self.groups.get(&id) else { continue };
            let of_topic = |topic: &&TopicName| {
                let partitions = group.offsets.partitions_of(topic);
                let topic = (*topic).clone();
                partitions.into_iter().map(move |partition| (topic.clone(), partition)).collect::<Vec<_>>()
            };
            let partitions: Vec<(TopicName, PartitionId)> = gone.iter().flat_map(of_topic).collect();
            self.remove_offsets(now, &id, &partitions);
        }
        for topic in gone {
            self.ledger.names.remove(topic);
        }
    }

    fn time(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            match timer {
                Timer::Retention => self.retention_round(now),
                Timer::Session(id, member) => self.time_of(now, &id, |group, step| group.on_session_timeout(step, &member)),
                Timer::Join(id) => self.time_of_classic(now, &id, Classic::on_join_timeout),
                Timer::Sync(id) => self.time_of_classic(now, &id, Classic::on_sync_timeout),
                Timer::Revocation(id, member) => self.time_of(now, &id, |group, step| group.on_revocation_timeout(step, &member)),
                Timer::MemberJoin(id, member) | Timer::MemberSync(id, member) => {
                    self.time_of(now, &id, |group, step| group.on_classic_timeout(step, &member));
                }
            }
        }
    }

    fn time_of(&mut self, now: Now, id: &GroupId, act: impl FnOnce(&mut Group, &mut Step<'_>)) {
        if self.groups.contains_key(id) {
            self.run(now, id, act);
        }
    }

    fn time_of_classic(&mut self, now: Now, id: &GroupId, act: impl FnOnce(&mut Classic, &mut Step<'_>)) {
        self.time_of(now, id, |group, step| {
            if let Kind::Classic(classic) = &mut group.kind {
                act(classic, step);
            }
        });
    }
}
