//! Members go: by their own will, in silence, or because they did not give partitions up in time.

use std::sync::Arc;

use ottla_model::{InstanceId, MemberEpoch, MemberId};

use super::super::error::GroupError;
use super::super::message::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatResponse};
use super::super::record::{CurrentAssignment, GroupRecord, Held, MemberState};
use super::super::step::Step;
use super::super::story::RebalanceReason;
use super::super::timers::Timer;
use super::replay::member_tombstones;
use super::{Consumer, cancel_timer, cancel_timers};

/// What a member that leaves asks for.
pub(in super::super) enum Leaving {
    /// It goes for good.
    ForGood(MemberId),
    /// It went for a while; its place is kept until its session is over.
    ForAWhile(ConsumerGroupHeartbeatResponse),
}

impl Consumer {
    /// A member leaves (member epochs -1 and -2).
    pub fn leave(&mut self, step: &mut Step<'_>, request: &ConsumerGroupHeartbeat) -> Result<Leaving, GroupError> {
        let Some(instance) = &request.instance else {
            let id = request.member.clone();
            return if self.has_member(&id) { Ok(Leaving::ForGood(id)) } else { Err(GroupError::UnknownMember { member: id }) };
        };
        let id = self.check_static(&request.member, instance)?;
        if request.epoch != MemberEpoch::LEAVE_STATIC {
            return Ok(Leaving::ForGood(id));
        }
        let Some(member) = self.members.get(&id) else { return Err(GroupError::UnknownMember { member: id }) };
        let value = Some(CurrentAssignment { epoch: MemberEpoch::LEAVE_STATIC, revoking: Held::default(), ..member.current.clone() });
        self.whole(step, |consumer, step| {
            let (group, member) = (step.group.clone(), id.clone());
            consumer.write(step, GroupRecord::ConsumerGroupCurrentMemberAssignment { group, member, value });
            Ok(())
        })?;
        cancel_timer(step, Timer::Revocation, &id);
        let heartbeat_interval_ms = step.config.consumer_heartbeat_interval_ms;
        Ok(Leaving::ForAWhile(ConsumerGroupHeartbeatResponse {
            member: id,
            epoch: MemberEpoch::LEAVE_STATIC,
            heartbeat_interval_ms,
            assignment: None,
        }))
    }

    /// The member that has this instance id, if it is this one.
    pub(super) fn check_static(&self, id: &MemberId, instance: &InstanceId) -> Result<MemberId, GroupError> {
        match self.statics.get(instance) {
            None => Err(GroupError::UnknownInstance { instance: instance.clone() }),
            Some(owner) if owner != id => {
                Err(GroupError::FencedInstance { instance: instance.clone(), shown: id.clone(), owner: owner.clone() })
            }
            Some(owner) => Ok(owner.clone()),
        }
    }

    /// Whether a member has not given up in time what it was to. (The deadline may come late, when it has.)
    pub fn is_unrevoked(&self, id: &MemberId) -> bool {
        self.members.get(id).is_some_and(|member| member.current.state == MemberState::UnrevokedPartitions)
    }

    /// Whether it is a member.
    pub fn has_member(&self, id: &MemberId) -> bool {
        self.members.contains_key(id)
    }

    /// Members are no more; the others get what they had. A member that is there all the same is told so when it shows itself.
    pub fn remove(&mut self, step: &mut Step<'_>, ids: &[MemberId], reason: RebalanceReason) -> Result<(), GroupError> {
        self.whole(step, |consumer, step| {
            for id in ids {
                member_tombstones(step.group, id).into_iter().for_each(|record| consumer.write(step, record));
            }
            consumer.forget_expressions(step);
            consumer.raise_epoch_if_needed(step, Some((reason, ids.first())));
            Ok(())
        })?;
        ids.iter().for_each(|id| cancel_timers(step, id));
        if self.members.is_empty() {
            step.story.end(step.now);
        }
        Ok(())
    }

    /// What no member subscribes by any more need not be known.
    pub(super) fn forget_expressions(&mut self, step: &mut Step<'_>) {
        let unused: Vec<Arc<str>> = self.resolved.keys().filter(|regex| !self.expressions.contains_key(*regex)).cloned().collect();
        for regex in unused {
            self.write(step, GroupRecord::ConsumerGroupRegularExpression { group: step.group.clone(), regex, value: None });
        }
    }
}
