//! A member by the classic protocol: it joins, asks for its part (the leader gives the parts), and sends heartbeats until it is to join again.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::group::{
    Blob, GroupError, Heartbeat, JoinGroup, JoinGroupResponse, Joined, JoinedMember, LeaveGroup, LeavingMember, Request, Response,
    SyncGroup,
};
use ottla_model::{Generation, MemberId, Uuid};

use super::consumer::{REBALANCE_TIMEOUT_MS, client};
use super::encoding::{assignment, read_assignment, read_subscription, subscription};
use super::member::{Membership, Phase, Protocol};
use super::{REQUEST_TIMEOUT_MS, Wake};
use crate::message::{Answer, Ask, Part};
use crate::world::{READ_PARTITIONS, World};

const SESSION_TIMEOUT_MS: i32 = 8_000;
/// A JoinGroup waits for the others.
const JOIN_TIMEOUT_MS: u64 = REBALANCE_TIMEOUT_MS as u64 + 5_000;

impl Membership {
    pub(super) fn join_or_beat(&mut self, world: &mut World, is_busy: bool) {
        // Nothing is read while a transaction is under way, so it does not join before that is over.
        if self.phase == Phase::In && (!self.must_join || is_busy) {
            let request = Heartbeat {
                group: self.group.clone(),
                member: self.member.clone(),
                instance: self.instance.clone(),
                generation: Generation(self.epoch),
            };
            return self.send(world, REQUEST_TIMEOUT_MS, Request::Heartbeat(request));
        }
        if self.protocol == Protocol::Eager {
            self.own(world, BTreeSet::new());
        }
        (self.phase, self.must_join) = (Phase::Joining, false);
        let request = JoinGroup {
            group: self.group.clone(),
            member: self.member.clone(),
            instance: self.instance.clone(),
            client: client(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            protocol_type: "consumer".into(),
            protocols: vec![("any".into(), subscription(&self.owned, self.epoch))],
            reason: None,
            member_id_required: true,
            can_skip_assignment: true,
            fresh_id: Uuid::ZERO,
        };
        self.send(world, JOIN_TIMEOUT_MS, Request::JoinGroup(request));
    }

    pub(super) fn leave_classic(&mut self, world: &mut World) {
        // A static member says nothing: it comes back before long.
        if self.instance.is_none() {
            let leaving = LeavingMember { member: self.member.clone(), instance: None, reason: None };
            let request = Request::LeaveGroup(LeaveGroup { group: self.group.clone(), members: vec![leaving] });
            let number = world.next_number();
            world.ask_from_client(self.client, Part::Offsets, number, Ask::Group(request));
        }
    }

    pub(super) fn classic_answered(&mut self, world: &mut World, answer: Answer) {
        match answer {
            Answer::Group(Response::JoinGroup(JoinGroupResponse { member, result })) => self.joined(world, member, result),
            Answer::Group(Response::SyncGroup(Ok(synced))) => {
                let next = read_assignment(&synced.assignment);
                self.phase = Phase::In;
                // Who had to give something up joins again, so that others can have it.
                self.must_join = self.protocol == Protocol::Cooperative && !self.owned.is_subset(&next);
                self.own(world, next);
                if self.must_join {
                    world.wake_after(self.client, 1, Wake::Member);
                }
            }
            Answer::Group(Response::Heartbeat(Ok(()))) => {}
            Answer::Group(Response::Heartbeat(Err(error)) | Response::SyncGroup(Err(error))) => self.failed(world, error),
            // It asks another: a JoinGroup or SyncGroup from the beginning.
            _ if self.phase != Phase::In => {
                self.phase = Phase::Out;
                world.wake_after(self.client, 100, Wake::Member);
            }
            _ => {}
        }
    }

    fn joined(&mut self, world: &mut World, member: MemberId, result: Result<Joined, GroupError>) {
        match result {
            Ok(joined) => {
                (self.member, self.epoch, self.phase) = (member, joined.generation.0, Phase::Syncing);
                let leads = joined.leader == self.member && !joined.skip_assignment;
                let assignments = if leads { self.lead(&joined.members) } else { vec![] };
                let request = SyncGroup {
                    group: self.group.clone(),
                    member: self.member.clone(),
                    instance: self.instance.clone(),
                    generation: joined.generation,
                    protocol_type: None,
                    protocol: None,
                    assignments,
                };
                self.send(world, JOIN_TIMEOUT_MS, Request::SyncGroup(request));
            }
            Err(error) => self.failed(world, error),
        }
    }

    fn failed(&mut self, world: &mut World, error: GroupError) {
        match error {
            GroupError::MemberIdRequired { assigned } => (self.member, self.phase) = (assigned, Phase::Out),
            GroupError::FencedInstance { .. } => self.phase = Phase::Fenced,
            GroupError::RebalanceInProgress if self.phase == Phase::In => self.must_join = true,
            GroupError::RebalanceInProgress | GroupError::NotCoordinator if self.phase != Phase::In => self.phase = Phase::Out,
            GroupError::NotCoordinator => {}
            _ => {
                self.member = MemberId::new("");
                self.lose(world);
            }
        }
        if self.phase != Phase::In {
            world.wake_after(self.client, 50, Wake::Member);
        }
    }

    /// Who gets what: in turns, or so that as much as possible stays where it is.
    fn lead(&self, members: &[JoinedMember]) -> Vec<(MemberId, Blob)> {
        let mut given: Vec<BTreeSet<i32>> = vec![BTreeSet::new(); members.len()];
        if self.protocol == Protocol::Eager {
            for (partition, at) in (0..READ_PARTITIONS).zip((0..members.len()).cycle()) {
                given[at].insert(partition);
            }
        } else {
            // Of two that claim a partition the one with the newer generation has it; it is nobody's if there is none.
            let mut claims: BTreeMap<i32, (i32, Option<usize>)> = BTreeMap::new();
            for (at, member) in members.iter().enumerate() {
                let (owned, generation) = read_subscription(&member.metadata).unwrap_or_default();
                for partition in owned {
                    let claim = claims.entry(partition).or_insert((generation, Some(at)));
                    if claim.0 < generation {
                        *claim = (generation, Some(at));
                    } else if claim.0 == generation && claim.1 != Some(at) {
                        claim.1 = None;
                    }
                }
            }
            let most = (READ_PARTITIONS as usize).div_ceil(members.len().max(1));
            let owner_of = |partition| claims.get(&partition).and_then(|(_, at)| *at);
            let mut homeless = Vec::new();
            for partition in 0..READ_PARTITIONS {
                match owner_of(partition) {
                    Some(at) if given[at].len() < most => drop(given[at].insert(partition)),
                    _ => homeless.push(partition),
                }
            }
            for partition in homeless {
                let Some(at) = (0..members.len()).min_by_key(|at| given[*at].len()) else { continue };
                // What another holds is given when that one has given it up.
                if owner_of(partition).is_none_or(|owner| owner == at) {
                    given[at].insert(partition);
                }
            }
        }
        members.iter().zip(given).map(|(member, given)| (member.member.clone(), assignment(&given))).collect()
    }
}
