//! JoinGroup, and the rebalances that it and others begin.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_model::{InstanceId, MemberId, Uuid};

use super::super::config::GroupConfig;
use super::super::error::GroupError;
use super::super::event::Token;
use super::super::message::{JoinGroup, Joined, JoinedMember};
use super::super::step::Step;
use super::super::story::{RebalanceReason, said};
use super::super::timers::Timer;
use super::{Classic, InitialDelay, JOIN_METADATA_BATCHES_MAX, Member, NEW_MEMBER_JOIN_TIMEOUT_MS, PENDING_JOINS_MAX, State, empty};

impl Classic {
    /// Whether a member, or one to be, is refused for what it says of itself, whatever the group.
    pub fn check_join(config: &GroupConfig, request: &JoinGroup) -> Result<(), GroupError> {
        if request.group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let (min_ms, max_ms) = (config.classic_session_timeout_ms_min, config.classic_session_timeout_ms_max);
        let asked_ms = request.session_timeout_ms;
        if asked_ms < min_ms || asked_ms > max_ms {
            return Err(GroupError::InvalidSessionTimeout { asked_ms, min_ms, max_ms });
        }
        let bytes = request.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
        let max = config.batch_bytes_max.saturating_mul(JOIN_METADATA_BATCHES_MAX);
        if bytes > max { Err(GroupError::TooLarge { bytes, max }) } else { Ok(()) }
    }

    /// A client joins.
    pub fn join(&mut self, step: &mut Step<'_>, token: Token, request: JoinGroup) {
        if !self.has_room_for(step, &request.member) {
            self.evict(step, &request.member);
            let error = GroupError::GroupFull { max: step.config.classic_members_max };
            step.reply_join(token, MemberId::new(""), Err(error));
        } else if !self.speaks(&request) {
            step.reply_join(token, request.member, Err(GroupError::InconsistentProtocol));
        } else if request.member.is_empty() {
            self.join_new(step, token, request);
        } else {
            self.join_known(step, token, request);
        }
        // Whoever coordinates it next must know that there is such a group: a member that joins again under its new id is asked
        // whether there is one.
        if !self.recorded && !self.is_void() {
            self.recorded = true;
            step.append(Classic::empty_record(step.group));
        }
    }

    /// In a rebalance the members that have joined count, so that those who come last are turned away and not those who were first.
    fn has_room_for(&self, step: &Step<'_>, id: &MemberId) -> bool {
        let max = step.config.classic_members_max;
        match &self.state {
            State::Empty => true,
            State::PreparingRebalance { .. } => {
                self.members.get(id).is_some_and(|member| member.join.is_some()) || self.waiting_joins < max
            }
            State::CompletingRebalance { .. } | State::Stable { .. } => self.members.contains_key(id) || self.members.len() < max,
        }
    }

    /// Whether a member would speak at least one protocol that all members speak.
    fn speaks(&self, request: &JoinGroup) -> bool {
        if self.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&request.protocol_type) && request.protocols.iter().any(|(name, _)| self.is_spoken_by_all(name))
    }

    fn join_new(&mut self, step: &mut Step<'_>, token: Token, request: JoinGroup) {
        let stem = request.instance.as_ref().map_or(&*request.client.id, InstanceId::as_str);
        let id = MemberId::new(&format!("{stem}-{}", Hyphenated(request.fresh_id)));
        match request.instance.as_ref().map(|instance| self.statics.get(instance).cloned()) {
            Some(Some(replaced)) => self.replace_static(step, token, request, &replaced, id),
            Some(None) => self.add(step, token, request, id),
            None if !request.member_id_required => self.add(step, token, request, id),
            None if self.pending_joins.len() >= PENDING_JOINS_MAX => {
                step.reply_join(token, request.member, Err(GroupError::GroupFull { max: PENDING_JOINS_MAX }));
            }
            None => {
                step.set_session(&id, request.session_timeout_ms);
                self.pending_joins.insert(id.clone());
                step.reply_join(token, id.clone(), Err(GroupError::MemberIdRequired { assigned: id }));
            }
        }
    }

    fn join_known(&mut self, step: &mut Step<'_>, token: Token, request: JoinGroup) {
        let id = request.member.clone();
        if request.instance.is_none() && self.pending_joins.contains(&id) {
            return self.add(step, token, request, id);
        }
        if let Err(error) = self.check_member(&id, request.instance.as_ref()) {
            return step.reply_join(token, id, Err(error));
        }
        let leads = self.leader.as_ref() == Some(&id);
        let same = self.members.get(&id).is_some_and(|member| member.protocols == request.protocols);
        let said = said(request.reason.as_ref());
        match &self.state {
            State::PreparingRebalance { .. } => self.update(step, token, request, RebalanceReason::SubscriptionChanged { said }),
            // Its answer was lost.
            State::CompletingRebalance { .. } if same => {
                let joined = self.joined(if leads { self.roster() } else { Vec::new() });
                step.reply_join(token, id, Ok(joined));
            }
            // The leader may know something that concerns the assignment and that no metadata tells, as new partitions.
            State::Stable { .. } if leads => self.update(step, token, request, RebalanceReason::LeaderRejoined { said }),
            State::Stable { .. } if same => {
                let joined = self.joined(Vec::new());
                step.reply_join(token, id, Ok(joined));
            }
            State::CompletingRebalance { .. } | State::Stable { .. } => {
                self.update(step, token, request, RebalanceReason::SubscriptionChanged { said });
            }
            State::Empty => step.reply_join(token, id.clone(), Err(GroupError::UnknownMember { member: id })),
        }
    }

    fn add(&mut self, step: &mut Step<'_>, token: Token, request: JoinGroup, id: MemberId) {
        if let State::PreparingRebalance { initial: Some(delay) } = &mut self.state {
            delay.new_member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::clone(&request.protocol_type));
        }
        let reason = RebalanceReason::MemberJoined { said: said(request.reason.as_ref()) };
        let member = Member {
            instance: request.instance,
            client: request.client,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: empty(),
            is_new: true,
            join: Some(token),
            sync: None,
        };
        self.insert(id.clone(), member);
        step.set_session(&id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete(step, reason, Some(&id));
    }

    fn update(&mut self, step: &mut Step<'_>, token: Token, request: JoinGroup, reason: RebalanceReason) {
        let id = request.member.clone();
        self.renew(step, &id, token, request);
        self.rebalance_or_complete(step, reason, Some(&id));
    }

    /// Takes what a member says of itself now. Its JoinGroup waits; one that waited already was given up by its client.
    fn renew(&mut self, step: &mut Step<'_>, id: &MemberId, token: Token, request: JoinGroup) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.count_protocols(&member, false);
        member.protocols = request.protocols;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        self.count_protocols(&member, true);
        match member.join.replace(token) {
            Some(superseded) => step.reply_join(superseded, id.clone(), Err(GroupError::RebalanceInProgress)),
            None => self.waiting_joins += 1,
        }
        self.members.insert(id.clone(), member);
    }

    /// Another process takes a static member's place (KIP-345). The one before is fenced.
    fn replace_static(&mut self, step: &mut Step<'_>, token: Token, request: JoinGroup, old: &MemberId, id: MemberId) {
        let before = self.clone();
        let can_skip = request.can_skip_assignment;
        let Some(instance) = request.instance.clone() else { return };
        let fenced = GroupError::FencedInstance { instance: instance.clone(), shown: old.clone(), owner: id.clone() };
        self.answer_waiting(step, old, &fenced, true);
        step.cancel_member(old);
        if let Some(member) = self.members.remove(old) {
            self.members.insert(id.clone(), Member { is_new: false, ..member });
        }
        self.statics.insert(instance.clone(), id.clone());
        let led = self.leader.as_ref() == Some(old);
        if led {
            self.leader = Some(id.clone());
        }
        if let State::CompletingRebalance { unsynced } | State::Stable { unsynced } = &mut self.state
            && unsynced.remove(old)
        {
            unsynced.insert(id.clone());
        }
        self.renew(step, &id, token, request);
        if let Some(member) = self.members.get(&id) {
            step.set_session(&id, member.session_timeout_ms);
        }
        let reason = RebalanceReason::StaticMemberReplaced { instance };
        match &self.state {
            State::Stable { .. } if self.elect_protocol() == self.protocol => {
                self.waiting_joins -= 1;
                if let Some(member) = self.members.get_mut(&id) {
                    member.join = None;
                }
                let record = self.to_record(step.group);
                if let Err(error) = step.check_size(std::slice::from_ref(&record)) {
                    // In a stable group nobody waited, so that nobody was answered.
                    *self = before;
                    return step.reply_join(token, MemberId::new(""), Err(error));
                }
                step.append(record);
                let mut joined = self.joined(if led && can_skip { self.roster() } else { Vec::new() });
                joined.skip_assignment = led && can_skip;
                if led && !can_skip {
                    // It would assign anew if it were told that it leads, and there is no rebalance in which to do so (KIP-814).
                    joined.leader = old.clone();
                }
                step.reply_join(token, id, Ok(joined));
            }
            State::Stable { .. } => self.rebalance_or_complete(step, reason, Some(&id)),
            // The leader knows the old id, and would assign to that.
            State::CompletingRebalance { .. } => self.prepare_rebalance(step, reason, Some(&id)),
            State::PreparingRebalance { .. } | State::Empty => self.complete_join_if_all_are_there(step),
        }
    }

    /// Begins a rebalance; in one that waits for members, sees whether it still has to.
    pub(super) fn rebalance_or_complete(&mut self, step: &mut Step<'_>, reason: RebalanceReason, by: Option<&MemberId>) {
        match self.state {
            State::PreparingRebalance { .. } => self.complete_join_if_all_are_there(step),
            State::Empty | State::CompletingRebalance { .. } | State::Stable { .. } => self.prepare_rebalance(step, reason, by),
        }
    }

    /// Begins a rebalance.
    pub fn prepare_rebalance(&mut self, step: &mut Step<'_>, reason: RebalanceReason, by: Option<&MemberId>) {
        step.story.begin(step.now, reason, by);
        self.fail_syncs(step, &GroupError::RebalanceInProgress);
        step.timers.cancel(&Timer::Sync(step.group.clone()));
        if self.is_empty() {
            let delay_ms = step.config.classic_initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.enter(step, State::PreparingRebalance { initial: Some(InitialDelay { delay_ms, remaining_ms, new_member_added: false }) });
            step.timers.set(Timer::Join(step.group.clone()), step.after_ms(delay_ms));
            return;
        }
        self.enter(step, State::PreparingRebalance { initial: None });
        if self.has_all_joined() {
            self.complete_join(step);
        } else {
            step.timers.set(Timer::Join(step.group.clone()), step.after_ms(self.rebalance_timeout_ms()));
        }
    }

    pub(super) fn complete_join_if_all_are_there(&mut self, step: &mut Step<'_>) {
        if matches!(self.state, State::PreparingRebalance { initial: None }) && self.has_all_joined() {
            self.complete_join(step);
        }
    }

    /// The members have had their time to join. In a first rebalance they have some more whenever another one came.
    pub fn on_join_timeout(&mut self, step: &mut Step<'_>) {
        let State::PreparingRebalance { initial } = &mut self.state else { return };
        if let Some(delay) = initial
            && delay.new_member_added
            && delay.remaining_ms > 0
        {
            let next_ms = step.config.classic_initial_rebalance_delay_ms.min(delay.remaining_ms);
            let remaining_ms = (delay.remaining_ms - delay.delay_ms).max(0);
            *delay = InitialDelay { delay_ms: next_ms, remaining_ms, new_member_added: false };
            step.timers.set(Timer::Join(step.group.clone()), step.after_ms(next_ms));
            return;
        }
        self.complete_join(step);
    }

    /// Those who have joined are the next generation. Static members stay whether they have or not.
    pub(super) fn complete_join(&mut self, step: &mut Step<'_>) {
        step.timers.cancel(&Timer::Join(step.group.clone()));
        let missing = self.members.iter().filter(|(_, member)| member.join.is_none() && member.instance.is_none());
        for id in missing.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.evict(step, &id);
        }
        if !self.members.is_empty() && !self.elect_leader_that_joined() {
            // Static members only, and none is there: their sessions run out, or they come.
            step.timers.set(Timer::Join(step.group.clone()), step.after_ms(self.rebalance_timeout_ms()));
            return;
        }
        self.generation = self.generation.next();
        self.protocol = self.elect_protocol();
        self.subscribed = self.read_subscriptions();
        if self.members.is_empty() {
            self.enter(step, State::Empty);
            step.story.end(step.now);
            let record = self.to_record(step.group);
            return step.append(record);
        }
        let unsynced: BTreeSet<MemberId> = self.members.keys().cloned().collect();
        self.enter(step, State::CompletingRebalance { unsynced });
        let mut answers = Vec::new();
        for (id, member) in &mut self.members {
            member.is_new = false;
            answers.extend(member.join.take().map(|token| (token, id.clone())));
            step.set_session(id, member.session_timeout_ms);
        }
        self.waiting_joins = 0;
        for (token, id) in answers {
            let roster = if self.leader.as_ref() == Some(&id) { self.roster() } else { Vec::new() };
            let joined = self.joined(roster);
            step.reply_join(token, id, Ok(joined));
        }
        step.timers.set(Timer::Sync(step.group.clone()), step.after_ms(self.rebalance_timeout_ms()));
    }

    /// Whether one that has joined leads.
    fn elect_leader_that_joined(&mut self) -> bool {
        let joined = |id: &MemberId| self.members.get(id).is_some_and(|member| member.join.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let Some(first) = self.members.keys().find(|id| joined(id)) else { return false };
            self.leader = Some(first.clone());
        }
        true
    }

    fn joined(&self, members: Vec<JoinedMember>) -> Joined {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| MemberId::new("")),
            skip_assignment: false,
            members,
        }
    }

    /// All members, as the leader is told of them.
    fn roster(&self) -> Vec<JoinedMember> {
        let member = |(id, member): (&MemberId, &Member)| JoinedMember {
            member: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(self.protocol.as_ref()),
        };
        self.members.iter().map(member).collect()
    }
}

/// A UUID as Java's `UUID` prints it.
struct Hyphenated(Uuid);

impl std::fmt::Display for Hyphenated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, byte) in self.0.to_bytes().iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids_end_as_in_kafka() {
        let id = Uuid::from_bytes([0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x42, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00]);
        assert_eq!(Hyphenated(id).to_string(), "123e4567-e89b-42d3-a456-426614174000");
    }
}
