//! A classic group: its members speak a protocol of their own, and one of them, the leader, assigns.
//!
//! A rebalance has two parts. All members join (`PreparingRebalance`) until each has, or has had its time; then there is a new
//! generation, whose leader sends what each member is to do (`CompletingRebalance`), and each asks for its part. Only a generation that
//! has its assignment is in the log (`GroupMetadata`); what comes before is rebuilt by the members, who join again.
//!
//! Also the group that only keeps offsets: it has no protocol, no members, and no record of its own.

mod join;
mod leave;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_model::{Generation, GroupId, InstanceId, MemberId, TimestampMs};

use super::embedded;
use super::error::GroupError;
use super::event::Token;
use super::message::{ClassicDescription, ClassicMemberDescription, Client, GroupState};
use super::record::{Blob, ClassicMemberMetadata, GroupMetadata, GroupRecord};
use super::step::Step;
use super::story::LastRebalance;
use super::timers::Timer;

/// The protocol type of consumers, whose metadata the coordinator can read.
pub(super) const CONSUMER: &str = "consumer";

/// How long a new member may wait for its first answer before it is taken for gone: it cannot send heartbeats meanwhile.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1000;

/// How many ids a group has given out, at most, that nobody has joined with yet.
const PENDING_JOINS_MAX: usize = 100_000;

/// The most metadata that a member may join with, in units of what a batch of the log takes: it may name several protocols, and
/// but one is kept.
const JOIN_METADATA_BATCHES_MAX: usize = 4;

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub instance: Option<InstanceId>,
    pub client: Client,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocols: Vec<(Arc<str>, Blob)>,
    pub assignment: Blob,
    /// It has not had its first answer yet, so that it cannot send heartbeats.
    pub is_new: bool,
    /// Its JoinGroup that waits.
    pub join: Option<Token>,
    /// Its SyncGroup that waits.
    pub sync: Option<Token>,
}

impl Member {
    fn metadata(&self, protocol: Option<&Arc<str>>) -> Blob {
        let found = self.protocols.iter().find(|(name, _)| Some(name) == protocol);
        found.map_or_else(empty, |(_, metadata)| Arc::clone(metadata))
    }

    /// It is waited for, not it for us.
    fn is_heard(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}

/// A first rebalance gives others time to come as well.
#[derive(Clone, Debug)]
pub(super) struct InitialDelay {
    delay_ms: i32,
    remaining_ms: i32,
    new_member_added: bool,
}

/// Where in its life a group is.
#[derive(Clone, Debug)]
pub(super) enum State {
    Empty,
    PreparingRebalance {
        /// Its first rebalance since it was empty.
        initial: Option<InitialDelay>,
    },
    CompletingRebalance {
        /// Who has not asked for its assignment.
        unsynced: BTreeSet<MemberId>,
    },
    Stable {
        /// Who has not asked for its assignment.
        unsynced: BTreeSet<MemberId>,
    },
}

/// A classic group.
#[derive(Clone, Debug)]
pub(super) struct Classic {
    protocol_type: Option<Arc<str>>,
    generation: Generation,
    protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    state_timestamp: TimestampMs,
    members: BTreeMap<MemberId, Member>,
    statics: BTreeMap<InstanceId, MemberId>,
    /// Ids that were given out and not joined with yet.
    pending_joins: BTreeSet<MemberId>,
    /// How many members speak each protocol.
    supported: BTreeMap<Arc<str>, usize>,
    /// How many members have a JoinGroup that waits.
    waiting_joins: usize,
    /// The topics of all members, where they can be read.
    subscribed: Option<BTreeSet<Arc<str>>>,
    state: State,
    /// Whether the log has a record of it.
    recorded: bool,
}

/// No bytes.
pub(super) fn empty() -> Blob {
    Blob::from([])
}

impl Classic {
    /// A group that nobody has joined.
    pub fn simple() -> Classic {
        Classic {
            protocol_type: None,
            generation: Generation(0),
            protocol: None,
            leader: None,
            state_timestamp: TimestampMs::NONE,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            supported: BTreeMap::new(),
            waiting_joins: 0,
            subscribed: None,
            state: State::Empty,
            recorded: false,
        }
    }

    /// The group that a record tells of.
    pub fn from_record(value: GroupMetadata) -> Classic {
        let mut classic = Classic::simple();
        classic.recorded = true;
        classic.protocol_type = Some(value.protocol_type).filter(|protocol_type| !protocol_type.is_empty());
        classic.generation = value.generation;
        classic.state_timestamp = value.state_timestamp;
        for member in value.members {
            // What it spoke beside the chosen protocol is not in the log.
            let protocols = value.protocol.iter().map(|name| (Arc::clone(name), Arc::clone(&member.subscription))).collect();
            // Before version 1 of the record there was but one timeout.
            let rebalance_timeout_ms =
                if member.rebalance_timeout_ms < 0 { member.session_timeout_ms } else { member.rebalance_timeout_ms };
            let client = Client { id: member.client_id, host: member.client_host };
            let loaded = Member {
                instance: member.instance,
                client,
                rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocols,
                assignment: member.assignment,
                is_new: false,
                join: None,
                sync: None,
            };
            classic.insert(member.member, loaded);
        }
        classic.protocol = value.protocol;
        classic.leader = value.leader.filter(|leader| classic.members.contains_key(leader)).or(classic.leader);
        if !classic.members.is_empty() {
            classic.state = State::Stable { unsynced: BTreeSet::new() };
        }
        classic.subscribed = classic.read_subscriptions();
        classic
    }

    /// The group that a consumer group becomes: stable, as its members have what they have.
    pub fn from_members(generation: Generation, since: TimestampMs, members: Vec<(MemberId, Member)>) -> Classic {
        let mut classic = Classic::simple();
        classic.recorded = true;
        classic.protocol_type = Some(CONSUMER.into());
        classic.generation = generation;
        classic.state_timestamp = since;
        members.into_iter().for_each(|(id, member)| classic.insert(id, member));
        classic.state = State::Stable { unsynced: BTreeSet::new() };
        classic.protocol = classic.elect_protocol();
        classic.subscribed = classic.read_subscriptions();
        classic
    }

    /// The group is a consumer group from now on: whoever waits is to join that.
    pub fn dissolve(&mut self, step: &mut Step<'_>) {
        self.fail_all(step, &GroupError::RebalanceInProgress);
        self.forget_pending(step);
        step.timers.cancel(&Timer::Join(step.group.clone()));
        step.timers.cancel(&Timer::Sync(step.group.clone()));
    }

    /// What a member subscribes to: its metadata for the chosen protocol, or for the one that it likes best.
    pub fn subscription_of(&self, member: &Member) -> Option<Blob> {
        let chosen = member.protocols.iter().find(|(name, _)| Some(name) == self.protocol.as_ref());
        chosen.or(member.protocols.first()).map(|(_, metadata)| Arc::clone(metadata))
    }

    /// What the log is to know of it.
    pub fn to_record(&self, group: &GroupId) -> GroupRecord {
        let member = |(id, member): (&MemberId, &Member)| ClassicMemberMetadata {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client.id),
            client_host: Arc::clone(&member.client.host),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_ref()),
            assignment: Arc::clone(&member.assignment),
        };
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp: self.state_timestamp,
            members: self.members.iter().map(member).collect(),
        };
        GroupRecord::GroupMetadata { group: group.clone(), value: Some(value) }
    }

    /// What the log is to know of a group that has not completed its first rebalance.
    fn empty_record(group: &GroupId) -> GroupRecord {
        Classic::simple().to_record(group)
    }

    /// The record that the log has of it, unless it has changed since.
    pub fn settled_record(&self, group: &GroupId) -> Option<GroupRecord> {
        let settled = match &self.state {
            // Members that are about to come are not in the log.
            State::Empty => self.recorded,
            State::Stable { .. } => true,
            State::PreparingRebalance { .. } | State::CompletingRebalance { .. } => false,
        };
        settled.then(|| self.to_record(group))
    }

    /// Nothing would be lost if it were forgotten.
    pub fn is_void(&self) -> bool {
        !self.recorded && self.members.is_empty() && self.pending_joins.is_empty() && matches!(self.state, State::Empty)
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        matches!(self.state, State::Empty)
    }

    /// Whether ids were given out that somebody may join with.
    pub fn has_pending_joins(&self) -> bool {
        !self.pending_joins.is_empty()
    }

    /// Deletes a group without members.
    pub fn delete(&mut self, step: &mut Step<'_>) {
        self.forget_pending(step);
        *self = Classic::simple();
        step.append(Classic::tombstone(step.group));
    }

    /// Nobody can join any more with an id that was given out.
    pub fn forget_pending(&mut self, step: &mut Step<'_>) {
        let pending = std::mem::take(&mut self.pending_joins);
        pending.iter().for_each(|id| step.cancel_member(id));
    }

    /// The group is no more, or is of the other protocol.
    pub fn tombstone(group: &GroupId) -> GroupRecord {
        GroupRecord::GroupMetadata { group: group.clone(), value: None }
    }

    /// Since when it is in its state.
    pub fn state_timestamp(&self) -> TimestampMs {
        self.state_timestamp
    }

    /// `None`: a group that only keeps offsets.
    pub fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// Whether its members are consumers.
    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Its generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether members read this topic. Consumers whose metadata cannot be read may read any.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or(self.is_of_consumers(), |topics| topics.contains(topic))
    }

    /// Whether it is known which topics its members read.
    pub fn knows_subscriptions(&self) -> bool {
        self.subscribed.is_some()
    }

    /// Its members.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&MemberId, &Member)> {
        self.members.iter()
    }

    /// The state, as it is shown.
    pub fn shown_state(&self) -> GroupState {
        match self.state {
            State::Empty => GroupState::Empty,
            State::PreparingRebalance { .. } => GroupState::PreparingRebalance,
            State::CompletingRebalance { .. } => GroupState::CompletingRebalance,
            State::Stable { .. } => GroupState::Stable,
        }
    }

    /// As DescribeGroups shows it.
    pub fn describe(&self, last_rebalance: Option<LastRebalance>) -> ClassicDescription {
        let stable = matches!(self.state, State::Stable { .. });
        let member = |(id, member): (&MemberId, &Member)| ClassicMemberDescription {
            member: id.clone(),
            instance: member.instance.clone(),
            client: member.client.clone(),
            metadata: if stable { member.metadata(self.protocol.as_ref()) } else { empty() },
            assignment: if stable { Arc::clone(&member.assignment) } else { empty() },
        };
        ClassicDescription {
            state: self.shown_state(),
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            protocol: self.protocol.clone().filter(|_| stable),
            members: self.members.iter().map(member).collect(),
            last_rebalance,
        }
    }

    /// A client may commit offsets, as a member or from outside.
    pub fn check_commit(
        &self,
        member: &MemberId,
        instance: Option<&InstanceId>,
        generation: Generation,
        transactional: bool,
    ) -> Result<(), GroupError> {
        if generation.get() < 0 && self.is_empty() {
            return Ok(());
        }
        if generation.get() >= 0 || !member.is_empty() || instance.is_some() {
            self.check_member(member, instance)?;
            self.check_generation(generation)?;
        } else if !transactional {
            // An administrator, or a client outside of the group, while the group is in use. In a transaction it may: older versions of
            // TxnOffsetCommit could not say who they are.
            return Err(GroupError::UnknownMember { member: member.clone() });
        }
        if !transactional && matches!(self.state, State::CompletingRebalance { .. }) {
            // It knows the new generation and has not got its assignment: it cannot have read anything.
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// A member that commits is heard of.
    pub fn heard_by_commit(&self, step: &mut Step<'_>, id: &MemberId) {
        if let (State::Stable { .. } | State::PreparingRebalance { .. }, Some(member)) = (&self.state, self.members.get(id)) {
            step.set_session(id, member.session_timeout_ms);
        }
    }

    /// Takes up where the coordinator before left off: whoever is silent from now on is gone.
    pub fn loaded(&mut self, step: &mut Step<'_>) {
        for (id, member) in &self.members {
            step.set_session(id, member.session_timeout_ms);
        }
        if self.members.len() > step.config.classic_members_max {
            self.prepare_rebalance(step, super::story::RebalanceReason::OverCapacity, None);
        }
    }

    /// Answers all who wait.
    pub fn fail_all(&mut self, step: &mut Step<'_>, error: &GroupError) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            self.answer_waiting(step, &id, error, true);
        }
    }

    fn check_member(&self, id: &MemberId, instance: Option<&InstanceId>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownInstance { instance: instance.clone() }),
                Some(owner) if owner != id => {
                    return Err(GroupError::FencedInstance { instance: instance.clone(), shown: id.clone(), owner: owner.clone() });
                }
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(GroupError::UnknownMember { member: id.clone() }) }
    }

    fn check_generation(&self, shown: Generation) -> Result<(), GroupError> {
        if shown == self.generation {
            Ok(())
        } else {
            Err(GroupError::IllegalGeneration { shown: shown.get(), current: self.generation.get() })
        }
    }

    /// Adds a member; the first brings the protocol type and leads.
    fn insert(&mut self, id: MemberId, member: Member) {
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.count_protocols(&member, true);
        self.waiting_joins += usize::from(member.join.is_some());
        self.pending_joins.remove(&id);
        self.members.insert(id, member);
    }

    /// Takes a member out of the group. Answers what it waits for: it is a stranger now.
    fn evict(&mut self, step: &mut Step<'_>, id: &MemberId) {
        let error = GroupError::UnknownMember { member: id.clone() };
        self.answer_waiting(step, id, &error, false);
        step.cancel_member(id);
        self.pending_joins.remove(id);
        if let State::CompletingRebalance { unsynced } | State::Stable { unsynced } = &mut self.state {
            unsynced.remove(id);
        }
        let Some(member) = self.members.remove(id) else { return };
        self.count_protocols(&member, false);
        if let Some(instance) = &member.instance {
            self.statics.remove(instance);
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Fails a member's requests that wait. `named`: whether the answer to a JoinGroup keeps the member's id; without, the client
    /// forgets its own.
    fn answer_waiting(&mut self, step: &mut Step<'_>, id: &MemberId, error: &GroupError, named: bool) {
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(token) = member.join.take() {
            self.waiting_joins -= 1;
            step.reply_join(token, if named { id.clone() } else { MemberId::new("") }, Err(error.clone()));
        }
        if let Some(token) = member.sync.take() {
            step.reply_sync(token, Err(error.clone()));
        }
    }

    fn count_protocols(&mut self, member: &Member, add: bool) {
        // A protocol named twice is one.
        let names: BTreeSet<&Arc<str>> = member.protocols.iter().map(|(name, _)| name).collect();
        for name in names {
            if add {
                *self.supported.entry(Arc::clone(name)).or_default() += 1;
            } else if let Some(count) = self.supported.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
    }

    fn is_spoken_by_all(&self, protocol: &Arc<str>) -> bool {
        self.supported.get(protocol) == Some(&self.members.len())
    }

    /// Every member votes for the first of its protocols that all speak. On a draw the first in the alphabet wins.
    fn elect_protocol(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| self.is_spoken_by_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max()?;
        votes.iter().find(|(_, count)| *count == most).map(|(name, _)| Arc::clone(name))
    }

    fn read_subscriptions(&self) -> Option<BTreeSet<Arc<str>>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_ref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(embedded::subscribed_topics(&member.metadata(Some(protocol)))?);
        }
        Some(topics)
    }

    fn has_all_joined(&self) -> bool {
        self.members.len() == self.waiting_joins && self.pending_joins.is_empty()
    }

    /// The longest of its members'.
    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    fn enter(&mut self, step: &Step<'_>, state: State) {
        self.state = state;
        self.state_timestamp = step.now.wall;
    }
}
