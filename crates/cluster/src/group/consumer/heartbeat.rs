//! ConsumerGroupHeartbeat: a member joins, is there, says what it subscribes to and what it holds, and hears what it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_model::{InstanceId, MemberEpoch, MemberId};

use super::super::config::{Assignor, GroupConfig};
use super::super::error::GroupError;
use super::super::message::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatResponse};
use super::super::record::{Assignment, ConsumerMemberMetadata, CurrentAssignment, GroupRecord, MemberState};
use super::super::step::Step;
use super::super::story::RebalanceReason;
use super::super::timers::Timer;
use super::reconcile::Reconciliation;
use super::replay::member_tombstones;
use super::{Consumer, Member, cancel_timer, set_timer};

/// Whether a request is refused for what it says, whatever the group.
pub(in super::super) fn check(config: &GroupConfig, request: &ConsumerGroupHeartbeat) -> Result<(), GroupError> {
    let invalid = |what| Err(GroupError::InvalidRequest { what });
    if request.group.is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if request.member.is_empty() && (request.member_id_required || request.epoch != MemberEpoch::JOIN) {
        return invalid("MemberId can't be empty.");
    }
    if request.instance.as_ref().is_some_and(InstanceId::is_empty) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack.as_ref().is_some_and(|rack| rack.is_empty()) {
        return invalid("RackId can't be empty.");
    }
    match request.epoch {
        MemberEpoch::JOIN => {
            if request.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            // Empty is something else: a member that reads nothing.
            if request.topic_names.is_none() && request.topic_regex.is_none() {
                return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
            }
        }
        MemberEpoch::LEAVE_STATIC if request.instance.is_none() => return invalid("InstanceId can't be null."),
        epoch if epoch < MemberEpoch::LEAVE_STATIC => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    if let Some(asked) = &request.assignor
        && !Assignor::from_name(asked).is_some_and(|assignor| config.consumer_assignors.contains(&assignor))
    {
        return Err(GroupError::UnsupportedAssignor { asked: Arc::clone(asked), supported: config.assignor_names() });
    }
    Ok(())
}

impl Consumer {
    /// A member joins or is there.
    pub fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &ConsumerGroupHeartbeat,
    ) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        let response = self.whole(step, |consumer, step| consumer.heard(step, request))?;
        step.set_session(&response.member, step.config.consumer_session_timeout_ms);
        self.tell_end(step);
        Ok(response)
    }

    fn heard(&mut self, step: &mut Step<'_>, request: &ConsumerGroupHeartbeat) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        let joins = request.epoch == MemberEpoch::JOIN;
        let id = if request.member.is_empty() { MemberId::new(&request.fresh_id.to_string()) } else { request.member.clone() };
        self.check_room(step, &id, request.instance.as_ref())?;
        match &request.instance {
            None if joins || self.members.contains_key(&id) => {}
            None => return Err(GroupError::UnknownMember { member: id }),
            Some(instance) => self.admit_static(step, &id, instance, joins)?,
        }
        let before = self.members.get(&id);
        let is_new = before.is_none();
        if let Some(before) = before {
            check_epoch(&before.current, request.epoch, request.owned.as_ref())?;
        }

        // 1. What it says of itself. Nearly always that is nothing new.
        let mut subscription_changed = false;
        if before.is_none_or(|before| says_something_new(&before.metadata, request)) {
            let metadata = told(before.map(|before| before.metadata.clone()).unwrap_or_default(), request);
            subscription_changed = self.describe_member(step, &id, metadata)?;
        }

        // 2. and 3.
        let has_changed = self.go_on(step, &id, is_new, subscription_changed, request.owned.as_ref())?;

        let is_full = request.rebalance_timeout_ms != -1
            && (request.topic_names.is_some() || request.topic_regex.is_some())
            && request.owned.is_some();
        let Some(member) = self.members.get(&id) else { return Err(GroupError::UnknownMember { member: id }) };
        let (epoch, heartbeat_interval_ms) = (member.current.epoch, step.config.consumer_heartbeat_interval_ms);
        let assignment = (joins || is_full || has_changed).then(|| member.current.assigned.to_assignment());
        Ok(ConsumerGroupHeartbeatResponse { member: id, epoch, heartbeat_interval_ms, assignment })
    }

    /// A full group takes no more; a static member's place is in it already.
    pub(super) fn check_room(&self, step: &Step<'_>, id: &MemberId, instance: Option<&InstanceId>) -> Result<(), GroupError> {
        let max = step.config.consumer_members_max;
        let is_in = self.members.contains_key(id) || instance.is_some_and(|instance| self.statics.contains_key(instance));
        if is_in || self.members.len() < max { Ok(()) } else { Err(GroupError::GroupFull { max }) }
    }

    fn admit_static(&mut self, step: &mut Step<'_>, id: &MemberId, instance: &InstanceId, joins: bool) -> Result<(), GroupError> {
        let Some(owner) = self.statics.get(instance).cloned() else {
            return if joins { Ok(()) } else { Err(GroupError::UnknownInstance { instance: instance.clone() }) };
        };
        if owner == *id {
            return Ok(());
        }
        if !joins {
            return Err(GroupError::FencedInstance { instance: instance.clone(), shown: id.clone(), owner });
        }
        // A static member of the classic protocol says nothing when it goes.
        let has_left = |member: &Member| member.current.epoch == MemberEpoch::LEAVE_STATIC || member.is_classic();
        if !self.members.get(&owner).is_none_or(has_left) {
            return Err(GroupError::UnreleasedInstance { instance: instance.clone(), owner });
        }
        self.replace(step, &owner, id);
        Ok(())
    }

    /// Another process takes a static member's place, with all that it was to have. The deadlines of the one before stay: should this be
    /// undone they still hold, and for who is no member they mean nothing.
    pub(super) fn replace(&mut self, step: &mut Step<'_>, old: &MemberId, id: &MemberId) {
        let existing = self.members.get(old).cloned().unwrap_or_default();
        let target = self.targets.get(old).cloned().unwrap_or_default();
        member_tombstones(step.group, old).into_iter().for_each(|record| self.write(step, record));
        let current = CurrentAssignment { epoch: MemberEpoch::JOIN, ..existing.current };
        let (group, member) = (|| step.group.clone(), || id.clone());
        let records = [
            GroupRecord::ConsumerGroupMemberMetadata { group: group(), member: member(), value: Some(existing.metadata) },
            GroupRecord::ConsumerGroupTargetAssignmentMember { group: group(), member: member(), value: Some(target) },
            GroupRecord::ConsumerGroupCurrentMemberAssignment { group: group(), member: member(), value: Some(current) },
        ];
        records.into_iter().for_each(|record| self.write(step, record));
    }

    /// Writes what a member says of itself. Whether it subscribes to something else than before.
    pub(super) fn describe_member(
        &mut self,
        step: &mut Step<'_>,
        id: &MemberId,
        metadata: ConsumerMemberMetadata,
    ) -> Result<bool, GroupError> {
        let before = self.members.get(id).map(|member| &member.metadata);
        if before == Some(&metadata) {
            return Ok(false);
        }
        let regex = metadata.expression().cloned();
        let had_regex = before.and_then(ConsumerMemberMetadata::expression);
        let same_names = before.map_or(metadata.topic_names.is_empty(), |before| before.topic_names == metadata.topic_names);
        let subscription_changed = !same_names || had_regex != regex.as_ref();
        let value = Some(metadata);
        self.write(step, GroupRecord::ConsumerGroupMemberMetadata { group: step.group.clone(), member: id.clone(), value });
        if let Some(regex) = &regex {
            self.resolve_new(step, regex)?;
        }
        self.forget_expressions(step);
        Ok(subscription_changed)
    }

    /// Brings the group on after one of its members has been heard of: the group epoch, the target assignment, and the member itself.
    /// Whether the member has other partitions than before.
    pub(super) fn go_on(
        &mut self,
        step: &mut Step<'_>,
        id: &MemberId,
        is_new: bool,
        subscription_changed: bool,
        owned: Option<&Assignment>,
    ) -> Result<bool, GroupError> {
        let reason = match (is_new, subscription_changed) {
            (true, _) => Some(RebalanceReason::MemberJoined { said: None }),
            (false, true) => Some(RebalanceReason::SubscriptionChanged { said: None }),
            (false, false) => None,
        };
        // A new member that reads nothing changes nothing, but a new group begins with it.
        let reason = reason.filter(|_| subscription_changed || self.epoch().get() == 0);
        self.refresh_expressions(step);
        self.raise_epoch_if_needed(step, reason.map(|reason| (reason, Some(id))));
        if self.epoch() > self.target_epoch() && self.may_assign(step) {
            self.assign(step);
        }
        self.reconcile(step, id, subscription_changed, owned)
    }

    fn reconcile(
        &mut self,
        step: &mut Step<'_>,
        id: &MemberId,
        subscription_changed: bool,
        owned: Option<&Assignment>,
    ) -> Result<bool, GroupError> {
        let Some(member) = self.members.get(id) else { return Err(GroupError::UnknownMember { member: id.clone() }) };
        let nothing = Assignment::default();
        let next = Reconciliation {
            current: &member.current,
            target_epoch: MemberEpoch::reached(self.target_epoch()),
            target: self.targets.get(id).unwrap_or(&nothing),
            owned,
            subscription_changed,
            is_subscribed: |topic| self.subscribes(step, member, topic),
            is_free: |topic, partition| !self.owners.contains_key(&(topic, partition)),
        }
        .next()?;
        let Some(next) = next else { return Ok(false) };
        let has_changed = !same_partitions(&member.current, &next);
        let timeout_ms = member.metadata.rebalance_timeout_ms;
        if next.state != MemberState::UnrevokedPartitions {
            cancel_timer(step, Timer::Revocation, id);
        } else if !member.is_classic() {
            set_timer(step, Timer::Revocation, id, timeout_ms);
        }
        let value = Some(next);
        self.write(step, GroupRecord::ConsumerGroupCurrentMemberAssignment { group: step.group.clone(), member: id.clone(), value });
        Ok(has_changed)
    }

    /// Every member has what it is to have: the rebalance is over.
    pub(super) fn tell_end(&self, step: &mut Step<'_>) {
        // It can only have become so by a record.
        if step.story.is_going_on() && !step.said.records.is_empty() && self.epoch() == self.target_epoch() {
            let target = self.target_epoch();
            if self.members.values().all(|member| member.is_reconciled_to(target)) {
                step.story.end(step.now);
            }
        }
    }
}

/// A member shows its epoch; one that joins (anew) shows none. One that shows the epoch before has not got its last answer, if it holds
/// nothing that was not in it.
fn check_epoch(current: &CurrentAssignment, shown: MemberEpoch, owned: Option<&Assignment>) -> Result<(), GroupError> {
    let holds_only_its_own =
        || owned.is_some_and(|owned| owned.iter().all(|(topic, partition)| current.assigned.contains(topic, partition)));
    if shown == MemberEpoch::JOIN || shown == current.epoch {
        return Ok(());
    }
    if shown < current.epoch && shown == current.previous_epoch && holds_only_its_own() {
        return Ok(());
    }
    Err(GroupError::FencedMemberEpoch { shown: shown.get(), current: current.epoch.get() })
}

/// Whether a request says something of its member that is not known.
fn says_something_new(known: &ConsumerMemberMetadata, request: &ConsumerGroupHeartbeat) -> bool {
    let differs = |said: &Option<Arc<str>>, known: &Option<Arc<str>>| said.is_some() && said != known;
    (request.instance.is_some() && request.instance != known.instance)
        || differs(&request.rack, &known.rack)
        || differs(&request.assignor, &known.assignor)
        || (request.rebalance_timeout_ms != -1 && request.rebalance_timeout_ms != known.rebalance_timeout_ms)
        || request
            .topic_names
            .as_ref()
            .is_some_and(|names| names.iter().collect::<BTreeSet<_>>() != known.topic_names.iter().collect::<BTreeSet<_>>())
        || differs(&request.topic_regex, &known.topic_regex)
        || (&request.client.id, &request.client.host) != (&known.client_id, &known.client_host)
        || known.classic.is_some()
}

/// What is known of a member after a request of the consumer protocol.
fn told(mut metadata: ConsumerMemberMetadata, request: &ConsumerGroupHeartbeat) -> ConsumerMemberMetadata {
    request.instance.iter().for_each(|instance| metadata.instance = Some(instance.clone()));
    request.rack.iter().for_each(|rack| metadata.rack = Some(Arc::clone(rack)));
    request.assignor.iter().for_each(|assignor| metadata.assignor = Some(Arc::clone(assignor)));
    if request.rebalance_timeout_ms != -1 {
        metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.topic_names {
        metadata.topic_names = names.iter().cloned().collect();
    }
    request.topic_regex.iter().for_each(|regex| metadata.topic_regex = Some(Arc::clone(regex)));
    (metadata.client_id, metadata.client_host) = (Arc::clone(&request.client.id), Arc::clone(&request.client.host));
    metadata.classic = None;
    metadata
}

fn same_partitions(one: &CurrentAssignment, other: &CurrentAssignment) -> bool {
    one.assigned.len() == other.assigned.len() && one.assigned.iter().all(|(topic, partition, _)| other.assigned.contains(topic, partition))
}
