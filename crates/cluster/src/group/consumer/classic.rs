//! Members of the classic protocol in a consumer group: while its processes go over from one protocol to the other, one after the other.
//!
//! Such a member is reconciled like any other, but by JoinGroup, with which it tells what it holds, and SyncGroup, by which it gets what it
//! has. That it is to come is told by the answer to its heartbeat, REBALANCE_IN_PROGRESS. Nobody leads; its generation is its member epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_model::{Generation, GroupEpoch, InstanceId, MemberEpoch, MemberId, PartitionId, TimestampMs, TopicId};

use super::super::classic::{CONSUMER, Classic, Member as ClassicMember};
use super::super::embedded;
use super::super::error::GroupError;
use super::super::message::{Client, Heartbeat, JoinGroup, Joined, LeavingMember, SyncGroup, Synced};
use super::super::record::{Assignment, Blob, ClassicProtocols, ConsumerMemberMetadata, CurrentAssignment, GroupRecord, MemberState};
use super::super::step::Step;
use super::super::timers::Timer;
use super::super::topics::TopicsView;
use super::{Consumer, Member, cancel_timer, cancel_timers, nothing_yet, set_timer};

impl Consumer {
    /// JoinGroup of a member of the classic protocol. The answer also names the member.
    pub fn join_classic(&mut self, step: &mut Step<'_>, request: &JoinGroup) -> (MemberId, Result<Joined, GroupError>) {
        let is_new = request.member.is_empty();
        let id = if is_new { MemberId::new(&request.fresh_id.to_string()) } else { request.member.clone() };
        if let Err(error) = self.check_room(step, &id, request.instance.as_ref()) {
            return (MemberId::new(""), Err(error));
        }
        if !self.speaks(request) {
            return (request.member.clone(), Err(GroupError::InconsistentProtocol));
        }
        if is_new && request.instance.is_none() && request.member_id_required {
            return (id.clone(), Err(GroupError::MemberIdRequired { assigned: id }));
        }
        match self.whole(step, |consumer, step| consumer.joined_classic(step, request, &id)) {
            Err(error) => (request.member.clone(), Err(error)),
            Ok(joined) => {
                cancel_timer(step, Timer::MemberJoin, &id);
                step.set_session(&id, request.session_timeout_ms);
                set_timer(step, Timer::MemberSync, &id, request.rebalance_timeout_ms);
                self.tell_end(step);
                (id, Ok(joined))
            }
        }
    }

    /// Whether a member would speak at least one protocol that all classic members speak.
    fn speaks(&self, request: &JoinGroup) -> bool {
        let known = |(name, _): &(Arc<str>, Blob)| self.classic_members == 0 || self.protocols.get(name) == Some(&self.classic_members);
        &*request.protocol_type == CONSUMER && request.protocols.iter().any(known)
    }

    fn joined_classic(&mut self, step: &mut Step<'_>, request: &JoinGroup, id: &MemberId) -> Result<Joined, GroupError> {
        let (protocol, subscription) = request.protocols.first().ok_or(GroupError::InconsistentProtocol)?;
        let subscription = embedded::subscription(subscription).ok_or(GroupError::InconsistentProtocol)?;
        if let Some(instance) = &request.instance {
            self.admit_static_classic(step, id, instance, request.member.is_empty())?;
        }
        let before = self.members.get(id);
        let is_new = before.is_none();
        let mut metadata = before.map(|before| before.metadata.clone()).unwrap_or_default();
        request.instance.iter().for_each(|instance| metadata.instance = Some(instance.clone()));
        subscription.rack.iter().for_each(|rack| metadata.rack = Some(Arc::clone(rack)));
        metadata.topic_names = subscription.topics;
        metadata.topic_regex = None;
        metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
        (metadata.client_id, metadata.client_host) = (Arc::clone(&request.client.id), Arc::clone(&request.client.host));
        metadata.classic = Some(protocols_of(request.session_timeout_ms, &request.protocols));
        let subscription_changed = self.describe_member(step, id, metadata)?;
        let owned = to_assignment(step.topics, &subscription.owned);
        self.go_on(step, id, is_new, subscription_changed, Some(&owned))?;
        let epoch = self.members.get(id).map_or(MemberEpoch::JOIN, |member| member.current.epoch);
        Ok(Joined {
            generation: Generation(epoch.get()),
            protocol_type: Some(CONSUMER.into()),
            protocol: Some(Arc::clone(protocol)),
            leader: MemberId::new(""),
            skip_assignment: false,
            members: Vec::new(),
        })
    }

    /// As everywhere in the classic protocol, a new process takes a static member's place whether or not the one before has left it.
    fn admit_static_classic(&mut self, step: &mut Step<'_>, id: &MemberId, instance: &InstanceId, is_new: bool) -> Result<(), GroupError> {
        match self.statics.get(instance).cloned() {
            None if is_new => {}
            None => return Err(GroupError::UnknownInstance { instance: instance.clone() }),
            Some(owner) if owner == *id => {}
            Some(owner) if is_new => self.replace(step, &owner, id),
            Some(owner) => return Err(GroupError::FencedInstance { instance: instance.clone(), shown: id.clone(), owner }),
        }
        Ok(())
    }

    /// SyncGroup of a member of the classic protocol.
    pub fn sync_classic(&mut self, step: &mut Step<'_>, request: &SyncGroup) -> Result<Synced, GroupError> {
        let (id, generation) = (&request.member, request.generation);
        let (member, classic) = self.classic_member(id, request.instance.as_ref(), generation)?;
        let (protocol, subscription) = classic.protocols.first().ok_or(GroupError::InconsistentProtocol)?;
        let differs = |shown: &Option<Arc<str>>, own: &str| shown.as_deref().is_some_and(|shown| shown != own);
        if differs(&request.protocol_type, CONSUMER) || differs(&request.protocol, protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        // One that has to give partitions up has joined for the rebalance already: first it has to hear which.
        if self.epoch() > reached(member) && member.current.state != MemberState::UnrevokedPartitions {
            let timeout_ms = member.metadata.rebalance_timeout_ms;
            call(step, id, timeout_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        let assignment = assignment_bytes(step.topics, subscription, member);
        let synced = Synced { protocol_type: Some(CONSUMER.into()), protocol: Some(Arc::clone(protocol)), assignment };
        cancel_timer(step, Timer::MemberSync, id);
        step.set_session(id, classic.session_timeout_ms);
        Ok(synced)
    }

    /// Heartbeat of a member of the classic protocol. It is to join anew if there is something new for it.
    pub fn heartbeat_classic(&mut self, step: &mut Step<'_>, request: &Heartbeat) -> Result<(), GroupError> {
        let id = &request.member;
        let (member, classic) = self.classic_member(id, request.instance.as_ref(), request.generation)?;
        step.set_session(id, classic.session_timeout_ms);
        let is_free = |topic, partition| !self.owners.contains_key(&(topic, partition));
        let is_there = |(topic, partition)| member.current.assigned.contains(topic, partition) || is_free(topic, partition);
        let is_called = self.epoch() > reached(member)
            || match member.current.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => self.targets.get(id).is_none_or(|target| target.iter().all(is_there)),
                MemberState::Stable | MemberState::Unknown(_) => false,
            };
        if is_called {
            call(step, id, member.metadata.rebalance_timeout_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Who leaves by a LeaveGroup. An administrator removes a static member by its instance alone, of whichever protocol it is.
    pub fn find_leaving(&self, leaving: &LeavingMember) -> Result<MemberId, GroupError> {
        let unknown = || GroupError::UnknownMember { member: leaving.member.clone() };
        if leaving.member.is_empty() {
            let instance = leaving.instance.as_ref().ok_or_else(unknown)?;
            return self.statics.get(instance).cloned().ok_or_else(|| GroupError::UnknownInstance { instance: instance.clone() });
        }
        if let Some(instance) = &leaving.instance {
            self.check_static(&leaving.member, instance)?;
        }
        if self.is_classic(&leaving.member) { Ok(leaving.member.clone()) } else { Err(unknown()) }
    }

    /// Whether it is a member of the classic protocol.
    pub fn is_classic(&self, id: &MemberId) -> bool {
        self.members.get(id).is_some_and(Member::is_classic)
    }

    fn classic_member(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
        generation: Generation,
    ) -> Result<(&Member, &ClassicProtocols), GroupError> {
        if let Some(instance) = instance {
            self.check_static(id, instance)?;
        }
        let unknown = || GroupError::UnknownMember { member: id.clone() };
        let member = self.members.get(id).ok_or_else(unknown)?;
        let classic = member.metadata.classic.as_ref().ok_or_else(unknown)?;
        let (shown, current) = (generation.get(), member.current.epoch.get());
        if shown == current { Ok((member, classic)) } else { Err(GroupError::IllegalGeneration { shown, current }) }
    }

    /// A classic group becomes this consumer group, whose records are written (KIP-848). Its members keep what they have, under the epoch
    /// of their generation. What a member was assigned counts, and beyond that what it said it holds: in a rebalance that is what there is.
    pub fn from_classic(step: &mut Step<'_>, classic: &Classic) -> Result<Consumer, GroupError> {
        let refused = |step: &Step<'_>, why| Err(GroupError::CannotUpgrade { group: step.group.clone(), why });
        if !step.config.migration_policy.upgrades() {
            return refused(step, "group.consumer.migration.policy does not allow it");
        }
        if !classic.is_of_consumers() {
            return refused(step, "its members are not consumers");
        }
        if classic.members().len() > step.config.consumer_members_max {
            return refused(step, "it has more members than group.consumer.max.size");
        }
        let mut subscriptions = BTreeMap::new();
        let mut claims: BTreeMap<(TopicId, PartitionId), &MemberId> = BTreeMap::new();
        for (id, member) in classic.members() {
            let Some(subscription) = classic.subscription_of(member).and_then(|bytes| embedded::subscription(&bytes)) else {
                return refused(step, "the subscription of a member cannot be read");
            };
            let Some(assigned) = embedded::assignment(&member.assignment) else {
                return refused(step, "the assignment of a member cannot be read");
            };
            if assigned.has_user_data {
                return refused(step, "its assignor keeps data of its own, which no assignor of the coordinator does");
            }
            for claim in to_assignment(step.topics, &assigned.partitions).iter() {
                claims.entry(claim).or_insert(id);
            }
            subscriptions.insert(id, subscription);
        }
        for (id, subscription) in &subscriptions {
            for claim in to_assignment(step.topics, &subscription.owned).iter() {
                claims.entry(claim).or_insert(id);
            }
        }
        let mut targets: BTreeMap<&MemberId, Assignment> = BTreeMap::new();
        for ((topic, partition), id) in claims {
            targets.entry(id).or_default().insert(topic, partition);
        }
        let mut consumer = Consumer::default();
        let epoch = GroupEpoch(classic.generation().get().max(0));
        for (id, member) in classic.members() {
            let Some(subscription) = subscriptions.remove(id) else { continue };
            let value = Some(ConsumerMemberMetadata {
                instance: member.instance.clone(),
                rack: subscription.rack,
                client_id: Arc::clone(&member.client.id),
                client_host: Arc::clone(&member.client.host),
                topic_names: subscription.topics,
                topic_regex: None,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                assignor: None,
                classic: Some(protocols_of(member.session_timeout_ms, &member.protocols)),
            });
            consumer.write(step, GroupRecord::ConsumerGroupMemberMetadata { group: step.group.clone(), member: id.clone(), value });
        }
        // No hash: what the classic group assigned need not be all that there is, so that the first look at the topics assigns anew, also if
        // who joined took another's place and changes nothing by that.
        consumer.write(step, GroupRecord::ConsumerGroupMetadata { group: step.group.clone(), value: Some((epoch, 0)) });
        for (id, _) in classic.members() {
            let target = targets.remove(id).unwrap_or_default();
            let since = MemberEpoch::reached(epoch);
            let assigned = target.iter().map(|(topic, partition)| (topic, partition, since)).collect();
            let current = CurrentAssignment { epoch: since, previous_epoch: since, assigned, ..nothing_yet() };
            let (group, member) = (|| step.group.clone(), || id.clone());
            let records = [
                GroupRecord::ConsumerGroupTargetAssignmentMember { group: group(), member: member(), value: Some(target) },
                GroupRecord::ConsumerGroupCurrentMemberAssignment { group: group(), member: member(), value: Some(current) },
            ];
            records.into_iter().for_each(|record| consumer.write(step, record));
        }
        // It was computed by somebody else, at a time that is not known: the next one need not wait.
        let value = Some((epoch, TimestampMs(0)));
        consumer.write(step, GroupRecord::ConsumerGroupTargetAssignmentMetadata { group: step.group.clone(), value });
        Ok(consumer)
    }

    /// The classic group that it is to become without these members; `None`: it stays as it is.
    pub fn to_classic(&self, step: &Step<'_>, without: &[MemberId]) -> Option<Classic> {
        let stays = || self.members.iter().filter(|(id, _)| !without.contains(id));
        let count = stays().count();
        if count == 0 || count > step.config.classic_members_max || !step.config.migration_policy.downgrades() {
            return None;
        }
        let mut members = Vec::with_capacity(count);
        for (id, member) in stays() {
            let classic = member.metadata.classic.as_ref()?;
            let (_, subscription) = classic.protocols.first()?;
            let client = Client { id: Arc::clone(&member.metadata.client_id), host: Arc::clone(&member.metadata.client_host) };
            members.push((
                id.clone(),
                ClassicMember {
                    instance: member.metadata.instance.clone(),
                    client,
                    rebalance_timeout_ms: member.metadata.rebalance_timeout_ms,
                    session_timeout_ms: classic.session_timeout_ms,
                    protocols: classic.protocols.clone(),
                    assignment: assignment_bytes(step.topics, subscription, member),
                    is_new: false,
                    join: None,
                    sync: None,
                },
            ));
        }
        Some(Classic::from_members(Generation(self.epoch().get()), step.now.wall, members))
    }

    /// Nothing is waited for from any of its members any more.
    pub fn cancel_all(&self, step: &mut Step<'_>) {
        self.members.keys().for_each(|id| cancel_timers(step, id));
    }
}

/// A member is called to join anew, within its time.
fn call(step: &mut Step<'_>, id: &MemberId, within_ms: i32) {
    let deadline = step.after_ms(within_ms.max(0));
    step.timers.set_if_absent(Timer::MemberJoin(step.group.clone(), id.clone()), deadline);
}

/// The group epoch that a member has reached.
fn reached(member: &Member) -> GroupEpoch {
    GroupEpoch(member.current.epoch.get())
}

/// A protocol named twice is one: the first.
fn protocols_of(session_timeout_ms: i32, protocols: &[(Arc<str>, Blob)]) -> ClassicProtocols {
    let is_first = |index: usize, name: &Arc<str>| protocols.iter().position(|(known, _)| known == name) == Some(index);
    let once = protocols.iter().enumerate().filter(|(index, (name, _))| is_first(*index, name));
    ClassicProtocols { session_timeout_ms, protocols: once.map(|(_, protocol)| protocol.clone()).collect() }
}

/// Partitions by the ids of their topics; those that are not there are left out.
fn to_assignment(topics: &TopicsView, partitions: &[(Arc<str>, Vec<PartitionId>)]) -> Assignment {
    let of_topic = |(name, partitions): &(Arc<str>, Vec<PartitionId>)| {
        let topic = topics.id(name)?;
        let count = topics.partition_count(topic);
        let is_there = move |partition: &PartitionId| usize::try_from(partition.get()).is_ok_and(|place| place < count);
        Some(partitions.clone().into_iter().filter(is_there).map(move |partition| (topic, partition)))
    };
    partitions.iter().filter_map(of_topic).flatten().collect()
}

/// What a member has, as it reads it: in the version in which it wrote its subscription.
fn assignment_bytes(topics: &TopicsView, subscription: &Blob, member: &Member) -> Blob {
    let assigned = member.current.assigned.to_assignment();
    let named: Vec<(&str, &[PartitionId])> =
        assigned.topics().filter_map(|(topic, partitions)| Some((topics.name(topic)?.as_str(), partitions))).collect();
    embedded::write_assignment(embedded::version(subscription).unwrap_or(0), named.into_iter())
}
