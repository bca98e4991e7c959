//! Members leave, by their own will, an administrator's, or in silence.

use ottla_model::MemberId;

use super::super::error::GroupError;
use super::super::message::{LeavingMember, LeftMember};
use super::super::step::Step;
use super::super::story::{RebalanceReason, said};
use super::{Classic, Member, State};

impl Classic {
    /// Members leave.
    pub fn leave(&mut self, step: &mut Step<'_>, leaving: Vec<LeavingMember>) -> Vec<LeftMember> {
        let mut last = None;
        let mut left = Vec::with_capacity(leaving.len());
        for one in leaving {
            let result = self.find_leaving(&one).map(|id| {
                self.evict(step, &id);
                last = Some((id, said(one.reason.as_ref())));
            });
            left.push(LeftMember { member: one.member, instance: one.instance, result });
        }
        if let Some((id, said)) = last {
            self.after_leaving(step, RebalanceReason::MemberLeft { said }, &id);
        }
        left
    }

    /// Whom it means. An administrator names a static member by its instance alone.
    fn find_leaving(&self, leaving: &LeavingMember) -> Result<MemberId, GroupError> {
        if leaving.member.is_empty() {
            let unknown = || GroupError::UnknownMember { member: leaving.member.clone() };
            let instance = leaving.instance.as_ref().ok_or_else(unknown)?;
            let id = self.statics.get(instance).cloned();
            return id.ok_or_else(|| GroupError::UnknownInstance { instance: instance.clone() });
        }
        if !self.pending_joins.contains(&leaving.member) {
            self.check_member(&leaving.member, leaving.instance.as_ref())?;
        }
        Ok(leaving.member.clone())
    }

    /// Goes on without one that is gone.
    fn after_leaving(&mut self, step: &mut Step<'_>, reason: RebalanceReason, id: &MemberId) {
        match self.state {
            State::CompletingRebalance { .. } | State::Stable { .. } => self.rebalance_or_complete(step, reason, Some(id)),
            State::PreparingRebalance { .. } => self.complete_join_if_all_are_there(step),
            State::Empty => {}
        }
    }

    /// A member, or one that was given an id, was not heard of in its time.
    pub fn on_session_timeout(&mut self, step: &mut Step<'_>, id: &MemberId) {
        let was_pending = self.pending_joins.remove(id);
        if !was_pending {
            // Who waits for us is not silent; it has its session anew with the answer.
            if self.members.get(id).is_none_or(Member::is_heard) {
                return;
            }
            self.evict(step, id);
        }
        if matches!(self.state, State::PreparingRebalance { .. }) {
            // Also in a first rebalance: whoever is left has joined.
            if self.has_all_joined() {
                self.complete_join(step);
            }
        } else if !was_pending {
            self.after_leaving(step, RebalanceReason::SessionExpired, id);
        }
    }
}
