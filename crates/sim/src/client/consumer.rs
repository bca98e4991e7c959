//! A member by the protocol of KIP-848: heartbeats say what it holds, and their answers what it is to hold.

use std::collections::BTreeSet;

use ottla_cluster::group::{Client, ConsumerGroupHeartbeat, GroupError, Request, Response};
use ottla_model::{MemberEpoch, MemberId, PartitionId, Uuid};

use super::REQUEST_TIMEOUT_MS;
use super::member::{Membership, Phase};
use crate::message::{Answer, Ask, Part};
use crate::world::{READ_TOPIC, World, read_topic_id};

pub(super) const REBALANCE_TIMEOUT_MS: i32 = 12_000;

impl Membership {
    pub(super) fn beat(&mut self, world: &mut World) {
        let is_full = self.is_full || self.epoch == 0;
        let tells = is_full || self.told.as_ref() != Some(&self.owned);
        let mut request = self.heartbeat(self.epoch);
        request.owned = tells.then(|| self.owned.iter().map(|partition| (read_topic_id(), PartitionId(*partition))).collect());
        if is_full {
            request.rebalance_timeout_ms = REBALANCE_TIMEOUT_MS;
            request.topic_names = Some(vec![READ_TOPIC.into()]);
        }
        self.telling = tells.then(|| self.owned.clone());
        self.send(world, REQUEST_TIMEOUT_MS, Request::ConsumerGroupHeartbeat(request));
    }

    fn heartbeat(&self, epoch: i32) -> ConsumerGroupHeartbeat {
        ConsumerGroupHeartbeat {
            group: self.group.clone(),
            member: self.member.clone(),
            epoch: MemberEpoch(epoch),
            instance: self.instance.clone(),
            rack: None,
            client: client(),
            rebalance_timeout_ms: -1,
            topic_names: None,
            topic_regex: None,
            assignor: None,
            owned: None,
            member_id_required: true,
            fresh_id: Uuid::ZERO,
        }
    }

    pub(super) fn leave_consumer(&mut self, world: &mut World) {
        // A static member comes back before long.
        let epoch = if self.instance.is_some() { -2 } else { -1 };
        let number = world.next_number();
        world.ask_from_client(self.client, Part::Offsets, number, Ask::Group(Request::ConsumerGroupHeartbeat(self.heartbeat(epoch))));
    }

    pub(super) fn consumer_answered(&mut self, world: &mut World, answer: Answer, is_busy: bool) {
        let telling = self.telling.take();
        let Answer::Group(Response::ConsumerGroupHeartbeat(result)) = answer else {
            self.is_full = true;
            return;
        };
        match result {
            Ok(response) => {
                (self.member, self.epoch, self.phase) = (MemberId::new(response.member.as_str()), response.epoch.0, Phase::In);
                (self.is_full, self.told) = (false, telling.or(self.told.take()));
                if let Some(assignment) = response.assignment {
                    let next: BTreeSet<i32> = assignment.iter().map(|(_, partition)| partition.0).collect();
                    // What it gets it has at once, whatever it is about to give up. If it took that later, it could meanwhile tell that it does not
                    // have it, which to the coordinator means that it never will.
                    if is_busy && !next.is_subset(&self.owned) {
                        self.own(world, self.owned.union(&next).copied().collect());
                    }
                    self.next = Some(next);
                }
                if !is_busy && let Some(next) = self.next.take() {
                    self.own(world, next);
                }
            }
            Err(GroupError::FencedInstance { .. } | GroupError::UnreleasedInstance { .. }) => self.phase = Phase::Fenced,
            Err(GroupError::NotCoordinator) => self.is_full = true,
            Err(_) => self.lose(world),
        }
    }
}

pub(super) fn client() -> Client {
    Client { id: "c".into(), host: "/127.0.0.1".into() }
}
