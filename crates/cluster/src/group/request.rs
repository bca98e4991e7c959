//! Which group a request goes to, and what it gets where there is none, or one of the other protocol.

use std::sync::Arc;

use ottla_model::{MemberEpoch, MemberId};

use super::classic::{CONSUMER, Classic};
use super::consumer::{check, not_consumer};
use super::event::{Now, Token};
use super::message::{
    ConsumerGroupHeartbeat, Heartbeat, JoinGroup, JoinGroupResponse, LeaveGroup, ListGroups, ListedGroup, Request, Response, SyncGroup,
};
use super::{Effect, Group, GroupCoordinator, GroupError, GroupType, Kind};

impl GroupCoordinator {
    pub(super) fn request(&mut self, now: Now, token: Token, request: Request) {
        match request {
            Request::JoinGroup(request) => self.join(now, token, request),
            Request::SyncGroup(request) => self.sync(now, token, request),
            Request::Heartbeat(request) => self.heartbeat(now, token, &request),
            Request::LeaveGroup(request) => self.leave(now, token, request),
            Request::ConsumerGroupHeartbeat(request) => self.consumer_heartbeat(now, token, &request),
            Request::OffsetCommit(request) => self.commit(now, token, request),
            Request::TxnOffsetCommit(request) => self.commit_in_transaction(now, token, request),
            Request::OffsetFetch(request) => self.fetch(token, &request),
            Request::OffsetDelete(request) => self.delete_offsets(now, token, request),
            Request::DeleteGroup(group) => self.delete_group(now, token, &group),
            Request::DescribeGroup(group) => {
                let described = match self.groups.get(&group) {
                    None => Err(GroupError::GroupNotFound { group: group.clone() }),
                    Some(Group { kind: Kind::Classic(classic), story, .. }) => Ok(classic.describe(story.last())),
                    Some(Group { kind: Kind::Consumer(_), .. }) => {
                        Err(GroupError::OtherProtocol { group: group.clone(), wanted: GroupType::Classic.name() })
                    }
                };
                self.reply_of(token, &group, Response::DescribeGroup(described));
            }
            Request::ConsumerGroupDescribe(group) => {
                let described = match self.groups.get(&group) {
                    None => Err(GroupError::GroupNotFound { group: group.clone() }),
                    Some(Group { kind: Kind::Consumer(consumer), story, .. }) => {
                        Ok(consumer.describe(&self.config, &self.topics, story.last()))
                    }
                    Some(Group { kind: Kind::Classic(_), .. }) => Err(not_consumer(&group)),
                };
                self.reply_of(token, &group, Response::ConsumerGroupDescribe(described));
            }
            Request::ListGroups(filter) => self.list(token, &filter),
        }
    }

    /// Answers what only looked at a group.
    pub(super) fn reply_of(&mut self, token: Token, group: &ottla_model::GroupId, response: Response) {
        let after = self.groups.get(group).map_or(self.last_removal, |group| group.last_proposal);
        self.effects.push(Effect::Reply { token, after, response });
    }

    fn join(&mut self, now: Now, token: Token, request: JoinGroup) {
        let refused = |member: MemberId, error| Response::JoinGroup(JoinGroupResponse { member, result: Err(error) });
        if let Err(error) = Classic::check_join(&self.config, &request) {
            return self.reply_without_group(token, refused(request.member, error));
        }
        let id = request.group.clone();
        if !self.groups.contains_key(&id) && !request.member.is_empty() {
            let error = GroupError::UnknownMember { member: request.member.clone() };
            return self.reply_without_group(token, refused(request.member, error));
        }
        self.run(now, &id, |group, step| group.classic_join(step, token, request));
    }

    fn consumer_heartbeat(&mut self, now: Now, token: Token, request: &ConsumerGroupHeartbeat) {
        let known = || match self.groups.contains_key(&request.group) || request.epoch == MemberEpoch::JOIN {
            true => Ok(()),
            false => Err(GroupError::GroupNotFound { group: request.group.clone() }),
        };
        if let Err(error) = check(&self.config, request).and_then(|()| known()) {
            return self.reply_without_group(token, Response::ConsumerGroupHeartbeat(Err(error)));
        }
        self.run(now, &request.group, |group, step| {
            let result = group.consumer_heartbeat(step, request);
            step.reply(token, Response::ConsumerGroupHeartbeat(result));
        });
    }

    fn sync(&mut self, now: Now, token: Token, request: SyncGroup) {
        let id = request.group.clone();
        if let Err(error) = self.check_group_of(&id, &request.member) {
            return self.reply_without_group(token, Response::SyncGroup(Err(error)));
        }
        self.run(now, &id, |group, step| match &mut group.kind {
            Kind::Classic(classic) => classic.sync(step, token, request),
            Kind::Consumer(consumer) => {
                let result = consumer.sync_classic(step, &request);
                step.reply_sync(token, result);
            }
        });
    }

    fn heartbeat(&mut self, now: Now, token: Token, request: &Heartbeat) {
        if let Err(error) = self.check_group_of(&request.group, &request.member) {
            return self.reply_without_group(token, Response::Heartbeat(Err(error)));
        }
        self.run(now, &request.group, |group, step| {
            let result = match &mut group.kind {
                Kind::Classic(classic) => classic.heartbeat(step, request),
                Kind::Consumer(consumer) => consumer.heartbeat_classic(step, request),
            };
            step.reply(token, Response::Heartbeat(result));
        });
    }

    fn leave(&mut self, now: Now, token: Token, request: LeaveGroup) {
        let first = request.members.first().map_or_else(|| MemberId::new(""), |leaving| leaving.member.clone());
        if let Err(error) = self.check_group_of(&request.group, &first) {
            return self.reply_without_group(token, Response::LeaveGroup(Err(error)));
        }
        self.run(now, &request.group, |group, step| {
            let left = group.classic_leave(step, request.members);
            step.reply(token, Response::LeaveGroup(left));
        });
    }

    /// A member must have a group.
    fn check_group_of(&self, group: &ottla_model::GroupId, member: &MemberId) -> Result<(), GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        if self.groups.contains_key(group) { Ok(()) } else { Err(GroupError::UnknownMember { member: member.clone() }) }
    }

    fn list(&mut self, token: Token, filter: &ListGroups) {
        let wanted = |names: &[String], name: &str| names.is_empty() || names.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name));
        let mut listed: Vec<ListedGroup> = self
            .groups
            .iter()
            .map(|(id, group)| match &group.kind {
                Kind::Classic(classic) => ListedGroup {
                    group: id.clone(),
                    protocol_type: classic.protocol_type().cloned().unwrap_or_else(|| Arc::from("")),
                    state: classic.shown_state(),
                    group_type: GroupType::Classic,
                },
                Kind::Consumer(consumer) => ListedGroup {
                    group: id.clone(),
                    protocol_type: Arc::from(CONSUMER),
                    state: consumer.shown_state(),
                    group_type: GroupType::Consumer,
                },
            })
            .filter(|listed| wanted(&filter.states, listed.state.name()) && wanted(&filter.types, listed.group_type.name()))
            .collect();
        listed.sort_unstable_by(|one, other| one.group.cmp(&other.group));
        self.effects.push(Effect::Reply { token, after: self.last_proposal, response: Response::ListGroups(listed) });
    }
}
