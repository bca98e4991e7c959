//! SyncGroup and Heartbeat.

use std::collections::BTreeMap;

use ottla_model::MemberId;

use super::super::error::GroupError;
use super::super::event::Token;
use super::super::message::{Heartbeat, SyncGroup, Synced};
use super::super::record::Blob;
use super::super::step::Step;
use super::super::story::RebalanceReason;
use super::super::timers::Timer;
use super::{Classic, State, empty};

impl Classic {
    /// A member asks for its assignment; the leader brings all.
    pub fn sync(&mut self, step: &mut Step<'_>, token: Token, request: SyncGroup) {
        if let Err(error) = self.check_sync(&request) {
            return step.reply_sync(token, Err(error));
        }
        match &mut self.state {
            State::Empty | State::PreparingRebalance { .. } => step.reply_sync(token, Err(GroupError::RebalanceInProgress)),
            State::CompletingRebalance { unsynced } => {
                unsynced.remove(&request.member);
                if unsynced.is_empty() {
                    step.timers.cancel(&Timer::Sync(step.group.clone()));
                }
                if let Some(member) = self.members.get_mut(&request.member)
                    && let Some(superseded) = member.sync.replace(token)
                {
                    step.reply_sync(superseded, Err(GroupError::RebalanceInProgress));
                }
                if self.leader.as_ref() == Some(&request.member) {
                    self.assign(step, request.assignments);
                }
            }
            State::Stable { unsynced } => {
                unsynced.remove(&request.member);
                if unsynced.is_empty() {
                    step.timers.cancel(&Timer::Sync(step.group.clone()));
                }
                let assignment = self.members.get(&request.member).map_or_else(empty, |member| member.assignment.clone());
                let synced = self.synced(assignment);
                step.reply_sync(token, Ok(synced));
            }
        }
    }

    fn check_sync(&self, request: &SyncGroup) -> Result<(), GroupError> {
        if self.is_empty() {
            return Err(GroupError::UnknownMember { member: request.member.clone() });
        }
        self.check_member(&request.member, request.instance.as_ref())?;
        self.check_generation(request.generation)?;
        let differs = |shown: &Option<_>, own: &Option<_>| shown.is_some() && shown != own;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    /// The leader has assigned. Who was forgotten has nothing to do; who is not a member gets nothing.
    fn assign(&mut self, step: &mut Step<'_>, assignments: Vec<(MemberId, Blob)>) {
        let mut given: BTreeMap<MemberId, Blob> = assignments.into_iter().collect();
        for (id, member) in &mut self.members {
            member.assignment = given.remove(id).unwrap_or_else(empty);
        }
        let State::CompletingRebalance { unsynced } = &mut self.state else { return };
        let unsynced = std::mem::take(unsynced);
        let record = self.to_record(step.group);
        if let Err(error) = step.check_size(std::slice::from_ref(&record)) {
            let leader = self.leader.clone();
            self.fail_syncs(step, &error);
            return self.prepare_rebalance(step, RebalanceReason::AssignmentNotStored, leader.as_ref());
        }
        self.enter(step, State::Stable { unsynced });
        self.recorded = true;
        let record = self.to_record(step.group);
        step.append(record);
        step.story.end(step.now);
        let mut answers = Vec::new();
        for (id, member) in &mut self.members {
            if let Some(token) = member.sync.take() {
                answers.push((token, member.assignment.clone()));
                // While it waited, the end of its session was let pass.
                step.set_session(id, member.session_timeout_ms);
            }
        }
        for (token, assignment) in answers {
            let synced = self.synced(assignment);
            step.reply_sync(token, Ok(synced));
        }
    }

    /// Whoever waits for an assignment waits in vain, and no one has one.
    pub(super) fn fail_syncs(&mut self, step: &mut Step<'_>, error: &GroupError) {
        if !matches!(self.state, State::CompletingRebalance { .. }) {
            return;
        }
        for (id, member) in &mut self.members {
            member.assignment = empty();
            if let Some(token) = member.sync.take() {
                step.reply_sync(token, Err(error.clone()));
                step.set_session(id, member.session_timeout_ms);
            }
        }
    }

    fn synced(&self, assignment: Blob) -> Synced {
        Synced { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone(), assignment }
    }

    /// Members have had their time to ask for their assignment: who has not is gone.
    pub fn on_sync_timeout(&mut self, step: &mut Step<'_>) {
        let (State::CompletingRebalance { unsynced } | State::Stable { unsynced }) = &self.state else { return };
        let gone = unsynced.clone();
        if let Some(first) = gone.first() {
            for id in &gone {
                self.evict(step, id);
            }
            self.prepare_rebalance(step, RebalanceReason::RebalanceTimeout, Some(first));
        }
    }

    /// A member is there.
    pub fn heartbeat(&mut self, step: &mut Step<'_>, request: &Heartbeat) -> Result<(), GroupError> {
        self.check_member(&request.member, request.instance.as_ref())?;
        self.check_generation(request.generation)?;
        if let Some(member) = self.members.get(&request.member) {
            step.set_session(&request.member, member.session_timeout_ms);
        }
        match self.state {
            State::PreparingRebalance { .. } => Err(GroupError::RebalanceInProgress),
            State::Empty | State::CompletingRebalance { .. } | State::Stable { .. } => Ok(()),
        }
    }
}
