//! Which protocol a group is of: what goes to its members of either protocol, and how a group goes over from one to the other.

use ottla_model::{MemberEpoch, MemberId};

use super::classic::Classic;
use super::consumer::{Consumer, Leaving, not_consumer};
use super::error::GroupError;
use super::event::Token;
use super::message::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatResponse, JoinGroup, LeavingMember, LeftMember};
use super::step::Step;
use super::story::{RebalanceReason, said};
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
            Kind::Classic(classic) if request.epoch == MemberEpoch::JOIN => {
                step.append(Classic::tombstone(step.group));
                let upgraded = Consumer::from_classic(step, classic);
                let joined = upgraded.and_then(|mut consumer| consumer.heartbeat(step, request).map(|response| (consumer, response)));
                let (mut consumer, response) = joined.inspect_err(|_| step.said.records.clear())?;
                classic.dissolve(step);
                consumer.loaded(step);
                self.kind = Kind::Consumer(Box::new(consumer));
                Ok(response)
            }
            Kind::Classic(_) => Err(not_consumer(step.group)),
        }
    }

    /// JoinGroup, to a group of either protocol.
    pub(super) fn classic_join(&mut self, step: &mut Step<'_>, token: Token, request: JoinGroup) {
        self.make_classic_if_deserted(step);
        match &mut self.kind {
            Kind::Classic(classic) => classic.join(step, token, request),
            Kind::Consumer(consumer) => {
                let (member, result) = consumer.join_classic(step, &request);
                let joined = result.is_ok();
                step.reply_join(token, member.clone(), result);
                // A static member may have taken the place of the last one that spoke the consumer protocol.
                if joined && request.instance.is_some() {
                    self.downgrade(step, &[], Some(&member));
                }
            }
        }
    }

    /// LeaveGroup, to a group of either protocol.
    pub(super) fn classic_leave(&mut self, step: &mut Step<'_>, leaving: Vec<LeavingMember>) -> Result<Vec<LeftMember>, GroupError> {
        let consumer = match &mut self.kind {
            Kind::Classic(classic) => return Ok(classic.leave(step, leaving)),
            Kind::Consumer(consumer) => consumer,
        };
        let mut gone: Vec<MemberId> = Vec::new();
        let mut why = None;
        let mut left = Vec::with_capacity(leaving.len());
        for one in leaving {
            // Nobody leaves twice.
            let found = consumer
                .find_leaving(&one)
                .and_then(|id| if gone.contains(&id) { Err(GroupError::UnknownMember { member: one.member.clone() }) } else { Ok(id) });
            let result = found.map(|id| {
                gone.push(id);
                why = said(one.reason.as_ref());
            });
            left.push(LeftMember { member: one.member, instance: one.instance, result });
        }
        if !gone.is_empty() {
            self.fence(step, &gone, RebalanceReason::MemberLeft { said: why })?;
        }
        Ok(left)
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
        if self.downgrade(step, ids, ids.first()) {
            return Ok(());
        }
        let Kind::Consumer(consumer) = &mut self.kind else { return Ok(()) };
        consumer.remove(step, ids, reason)
    }

    /// Makes a classic group of what is left without these members, if all of them speak the classic protocol. Whether it did. They all
    /// join anew: what they have was not assigned by one of them.
    fn downgrade(&mut self, step: &mut Step<'_>, without: &[MemberId], by: Option<&MemberId>) -> bool {
        let Kind::Consumer(consumer) = &self.kind else { return false };
        let Some(mut classic) = consumer.to_classic(step, without) else { return false };
        let mut records = consumer.tombstones(step.group);
        records.push(classic.to_record(step.group));
        if step.check_size(&records).is_err() {
            return false;
        }
        step.said.records.append(&mut records);
        consumer.cancel_all(step);
        classic.loaded(step);
        classic.prepare_rebalance(step, RebalanceReason::ProtocolChanged, by);
        self.kind = Kind::Classic(Box::new(classic));
        true
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
            && consumer.is_classic(id)
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
