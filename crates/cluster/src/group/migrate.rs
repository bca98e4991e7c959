//! Which protocol a group is of: what goes to its members of either protocol, and how a group goes over from one to the other.

use ottla_model::{MemberEpoch, MemberId};

use super::classic::Classic;
use super::consumer::{Consumer, Leaving, not_consumer};
use super::error::GroupError;
use super::message::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatResponse};
use super::step::Step;
use super::story::RebalanceReason;
use super::{Group, Kind};

impl Group {
    /// ConsumerGroupHeartbeat, to a group that may be of either protocol, or none yet.
    pub(super) fn consumer_heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &ConsumerGroupHeartbeat,
    ) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        match &mut self.kind {
            Kind::Consumer(consumer) if request.epoch >= MemberEpoch::JOIN => consumer.heartbeat(step, request),
            Kind::Consumer(consumer) => match consumer.leave(step, request)? {
                Leaving::ForAWhile(response) => Ok(response),
                Leaving::ForGood(id) => {
                    self.fence(step, std::slice::from_ref(&id), RebalanceReason::MemberLeft { said: None })?;
                    let heartbeat_interval_ms = step.config.consumer_heartbeat_interval_ms;
                    Ok(ConsumerGroupHeartbeatResponse { member: id, epoch: request.epoch, heartbeat_interval_ms, assignment: None })
                }
            },
            // It has no members, so that nobody is in the way.
            Kind::Classic(classic) if request.epoch == MemberEpoch::JOIN && classic.is_empty() => {
                let mut consumer = Consumer::default();
                let is_void = classic.is_void();
                if !is_void {
                    step.append(Classic::tombstone(step.group));
                }
                let response = consumer.heartbeat(step, request)?;
                classic.forget_pending(step);
                self.kind = Kind::Consumer(Box::new(consumer));
                Ok(response)
            }
            Kind::Classic(_) => Err(not_consumer(step.group)),
        }
    }

    /// An empty consumer group is a classic one as soon as a member of that protocol comes.
    pub(super) fn make_classic_if_deserted(&mut self, step: &mut Step<'_>) {
        if let Kind::Consumer(consumer) = &self.kind
            && consumer.is_empty()
        {
            consumer.tombstones(step.group).into_iter().for_each(|record| step.append(record));
            self.kind = Kind::Classic(Box::new(Classic::simple()));
        }
    }

    /// Members of a consumer group are no more.
    pub(super) fn fence(&mut self, step: &mut Step<'_>, ids: &[MemberId], reason: RebalanceReason) -> Result<(), GroupError> {
        let Kind::Consumer(consumer) = &mut self.kind else { return Ok(()) };
        consumer.remove(step, ids, reason)
    }

    /// A member was silent for its whole session.
    pub(super) fn on_session_timeout(&mut self, step: &mut Step<'_>, id: &MemberId) {
        match &mut self.kind {
            Kind::Classic(classic) => classic.on_session_timeout(step, id),
            Kind::Consumer(consumer) if consumer.has_member(id) => self.fence_late(step, id, RebalanceReason::SessionExpired),
            Kind::Consumer(_) => {}
        }
    }

    /// A member has had its time to give partitions up.
    pub(super) fn on_revocation_timeout(&mut self, step: &mut Step<'_>, id: &MemberId) {
        if let Kind::Consumer(consumer) = &self.kind
            && consumer.is_unrevoked(id)
        {
            self.fence_late(step, id, RebalanceReason::RevocationTimeout);
        }
    }

    /// A member of the classic protocol has had its time for what it was to do next.
    pub(super) fn on_classic_timeout(&mut self, step: &mut Step<'_>, id: &MemberId) {
        if let Kind::Consumer(consumer) = &self.kind
            && consumer.has_member(id)
        {
            self.fence_late(step, id, RebalanceReason::RebalanceTimeout);
        }
    }

    /// A few tombstones, of which one batch always has room.
    pub(super) fn fence_late(&mut self, step: &mut Step<'_>, id: &MemberId, reason: RebalanceReason) {
        if self.fence(step, std::slice::from_ref(id), reason).is_err() {
            step.set_session(id, step.config.consumer_session_timeout_ms);
        }
    }
}
