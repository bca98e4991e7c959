//! A consumer group (KIP-848): its members say what they subscribe to, the coordinator assigns, and each member is brought to its part of
//! the assignment by itself, one heartbeat at a time.
//!
//! There are three steps, each with an epoch. What the group depends on changes (its members, what they subscribe to, those topics): the
//! *group epoch* is raised. For a group epoch a *target assignment* is computed, which has that epoch. A member that has given up what the
//! target no longer gives it goes over to the epoch of the target, which is its *member epoch* then, and gets what is free of the rest.
//! What another member still holds it gets when that one has let go. So no partition is ever held by two members.
//!
//! All state that outlives a coordinator is changed by [`Consumer::apply`] and nothing else, whether a record has just been decided on or is
//! read from the log. So what is rebuilt is what was. For the same reason a step that finds out too late that it cannot be done is undone
//! by records: each knows the one that takes it back.

mod assign;
mod classic;
mod describe;
mod expression;
mod fence;
mod heartbeat;
mod reconcile;
mod replay;
mod target;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ottla_model::{GroupEpoch, InstanceId, MemberEpoch, MemberId, PartitionId, TimestampMs, TopicId, TopicName};

use super::error::GroupError;
use super::message::GroupState;
use super::record::{Assignment, ConsumerMemberMetadata, CurrentAssignment, GroupRecord, Held, MemberState, ResolvedRegex};
use super::step::Step;
use super::story::RebalanceReason;
use super::timers::Timer;

pub(super) use describe::not_consumer;
pub(super) use fence::Leaving;
pub(super) use heartbeat::check;

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// What it says of itself.
    pub metadata: ConsumerMemberMetadata,
    /// What it has.
    pub current: CurrentAssignment,
}

impl Default for Member {
    /// One that has just come.
    fn default() -> Member {
        Member { metadata: ConsumerMemberMetadata::default(), current: nothing_yet() }
    }
}

impl Member {
    /// The expression that it subscribes by.
    fn expression(&self) -> Option<&Arc<str>> {
        self.metadata.expression()
    }

    /// Whether it speaks the classic protocol.
    fn is_classic(&self) -> bool {
        self.metadata.classic.is_some()
    }

    /// Whether it has all of the target assignment of this epoch.
    fn is_reconciled_to(&self, epoch: GroupEpoch) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == MemberEpoch::reached(epoch)
    }

    /// How long it may be silent.
    fn session_timeout_ms(&self, step: &Step<'_>) -> i32 {
        self.metadata.classic.as_ref().map_or(step.config.consumer_session_timeout_ms, |classic| classic.session_timeout_ms)
    }
}

/// What a member has that has just come.
fn nothing_yet() -> CurrentAssignment {
    CurrentAssignment {
        epoch: MemberEpoch::JOIN,
        previous_epoch: MemberEpoch::LEAVE,
        state: MemberState::Stable,
        assigned: Held::default(),
        revoking: Held::default(),
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumer {
    /// The group epoch, and a hash of the topics that it was raised for.
    group: Option<(GroupEpoch, i64)>,
    /// The epoch of the target assignment, and when it was computed.
    target: Option<(GroupEpoch, TimestampMs)>,
    members: BTreeMap<MemberId, Member>,
    targets: BTreeMap<MemberId, Assignment>,
    resolved: BTreeMap<Arc<str>, ResolvedRegex>,
    /// A record of before Kafka 4.1 that is to go.
    has_partition_metadata: bool,

    // What follows from the above.
    statics: BTreeMap<InstanceId, MemberId>,
    /// Who holds each partition, as assigned or until it is given up.
    owners: HashMap<(TopicId, PartitionId), MemberId>,
    /// How many members name each topic.
    names: BTreeMap<Arc<str>, usize>,
    /// How many members subscribe by each expression.
    expressions: BTreeMap<Arc<str>, usize>,
    /// How many members of the classic protocol speak each of their protocols.
    protocols: BTreeMap<Arc<str>, usize>,
    /// How many members speak the classic protocol.
    classic_members: usize,

    // What is not in the log.
    /// Topics that it subscribes to have not changed since the last look.
    topics_seen: bool,
    /// No topics have come or gone since the expressions were last resolved.
    expressions_seen: bool,
    /// What takes this step's records back, the last first.
    undo: Vec<GroupRecord>,
    /// Why this step raised the group epoch.
    reason: Option<(RebalanceReason, Option<MemberId>)>,
}

impl Consumer {
    /// The group epoch; 0 before the first.
    pub fn epoch(&self) -> GroupEpoch {
        self.group.map_or(GroupEpoch(0), |(epoch, _)| epoch)
    }

    /// The epoch of the target assignment.
    pub fn target_epoch(&self) -> GroupEpoch {
        self.target.map_or(GroupEpoch(0), |(epoch, _)| epoch)
    }

    /// Nothing would be lost if it were forgotten.
    pub fn is_void(&self) -> bool {
        self.group.is_none()
            && self.target.is_none()
            && self.members.is_empty()
            && self.targets.is_empty()
            && self.resolved.is_empty()
            && !self.has_partition_metadata
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether members read this topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.names.contains_key(topic) || self.resolved.values().any(|resolved| resolved.topics.contains(topic))
    }

    /// The state, as it is shown.
    pub fn shown_state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch() > self.target_epoch() {
            GroupState::Assigning
        } else if self.members.values().any(|member| !member.is_reconciled_to(self.target_epoch())) {
            GroupState::Reconciling
        } else {
            GroupState::Stable
        }
    }

    /// Topics are new, gone or otherwise partitioned. Nothing happens at once: the next heartbeat of a member looks at them.
    pub fn topics_changed<'a>(&mut self, mut topics: impl Iterator<Item = &'a TopicName>) {
        self.expressions_seen &= self.expressions.is_empty();
        self.topics_seen &= !topics.any(|topic| self.is_subscribed_to(topic.as_str()));
    }

    /// Takes up where the coordinator before left off: whoever is silent from now on is gone.
    pub fn loaded(&mut self, step: &mut Step<'_>) {
        for (id, member) in &self.members {
            step.set_session(id, member.session_timeout_ms(step));
            if member.current.state == MemberState::UnrevokedPartitions && !member.is_classic() {
                set_timer(step, Timer::Revocation, id, member.metadata.rebalance_timeout_ms);
            }
        }
    }

    /// Writes a record, and is what it says.
    fn write(&mut self, step: &mut Step<'_>, record: GroupRecord) {
        let undo = self.apply(record.clone());
        self.undo.push(undo);
        step.append(record);
    }

    /// Does something whole or not at all: with an error, or more records than fit into a batch, all is as before and nothing is written.
    fn whole<T>(
        &mut self,
        step: &mut Step<'_>,
        act: impl FnOnce(&mut Consumer, &mut Step<'_>) -> Result<T, GroupError>,
    ) -> Result<T, GroupError> {
        self.undo.clear();
        self.reason = None;
        let seen = (self.topics_seen, self.expressions_seen);
        let done = act(self, step).and_then(|done| step.check_size(&[]).map(|()| done));
        let (undo, reason) = (std::mem::take(&mut self.undo), self.reason.take());
        if done.is_err() {
            undo.into_iter().rev().for_each(|record| drop(self.apply(record)));
            step.said.records.clear();
            (self.topics_seen, self.expressions_seen) = seen;
        } else if let Some((reason, by)) = reason {
            step.story.begin(step.now, reason, by.as_ref());
        }
        done
    }

    /// Raises the group epoch if there is a reason to, or if the topics are others than it was raised for.
    fn raise_epoch_if_needed(&mut self, step: &mut Step<'_>, reason: Option<(RebalanceReason, Option<&MemberId>)>) {
        if reason.is_none() && self.topics_seen {
            return;
        }
        let hash = self.topics_hash(step);
        let reason = match reason {
            None if self.group.is_some_and(|(_, known)| known == hash) => None,
            None => Some((RebalanceReason::TopicsChanged, None)),
            reason => reason,
        };
        self.topics_seen = true;
        if let Some((reason, by)) = reason {
            self.reason = Some((reason, by.cloned()));
            let value = Some((self.epoch().next(), hash));
            self.write(step, GroupRecord::ConsumerGroupMetadata { group: step.group.clone(), value });
        }
        if self.has_partition_metadata {
            self.write(step, GroupRecord::ConsumerGroupPartitionMetadata { group: step.group.clone(), present: false });
        }
    }
}

/// Sets a deadline of one member.
fn set_timer(step: &mut Step<'_>, timer: impl FnOnce(ottla_model::GroupId, MemberId) -> Timer, id: &MemberId, after_ms: i32) {
    let deadline = step.after_ms(after_ms.max(0));
    step.timers.set(timer(step.group.clone(), id.clone()), deadline);
}

/// Takes a deadline of one member away.
fn cancel_timer(step: &mut Step<'_>, timer: impl FnOnce(ottla_model::GroupId, MemberId) -> Timer, id: &MemberId) {
    step.timers.cancel(&timer(step.group.clone(), id.clone()));
}

/// Nothing is waited for from a member any more.
fn cancel_timers(step: &mut Step<'_>, id: &MemberId) {
    step.cancel_member(id);
    for timer in [Timer::Revocation, Timer::MemberJoin, Timer::MemberSync] {
        cancel_timer(step, timer, id);
    }
}
