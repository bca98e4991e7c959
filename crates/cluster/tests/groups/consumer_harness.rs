//! Members of consumer groups, as clients behave: they show what they hold, give up what is not in the answer, and then take what is.

use ottla_cluster::group::*;
use ottla_model::{MemberEpoch, PartitionId};

use crate::harness::*;

/// A configuration in which every change is assigned at once.
pub fn at_once() -> GroupConfig {
    GroupConfig { consumer_assignment_interval_ms: 0, ..GroupConfig::default() }
}

/// What a member joins with; the tests change what they are about.
pub fn joining(member: &str) -> ConsumerGroupHeartbeat {
    ConsumerGroupHeartbeat {
        group: GROUP.into(),
        member: member.into(),
        epoch: MemberEpoch::JOIN,
        instance: None,
        rack: None,
        client: client("c"),
        rebalance_timeout_ms: 60_000,
        topic_names: Some(vec!["a".into()]),
        topic_regex: None,
        assignor: None,
        owned: Some(Assignment::default()),
        member_id_required: true,
        fresh_id: ottla_model::Uuid::ZERO,
    }
}

/// A heartbeat that says nothing new.
pub fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeat {
    ConsumerGroupHeartbeat { epoch: MemberEpoch(epoch), rebalance_timeout_ms: -1, topic_names: None, owned: None, ..joining(member) }
}

/// Partitions of one topic.
pub fn parts(topic: &str, partitions: &[i32]) -> Assignment {
    partitions.iter().map(|partition| (topic_id(topic), PartitionId(*partition))).collect()
}

/// One member.
#[derive(Clone, Debug)]
pub struct Peer {
    pub join: ConsumerGroupHeartbeat,
    pub epoch: MemberEpoch,
    pub owned: Assignment,
}

impl Peer {
    pub fn new(join: ConsumerGroupHeartbeat) -> Peer {
        Peer { join, epoch: MemberEpoch::JOIN, owned: Assignment::default() }
    }

    pub fn of(member: &str) -> Peer {
        Peer::new(joining(member))
    }

    /// What it asks next: everything when it joins, only what it holds later.
    pub fn request(&self) -> ConsumerGroupHeartbeat {
        if self.epoch == MemberEpoch::JOIN {
            return self.join.clone();
        }
        ConsumerGroupHeartbeat {
            epoch: self.epoch,
            instance: self.join.instance.clone(),
            owned: Some(self.owned.clone()),
            ..beat(self.join.member.as_str(), 0)
        }
    }

    /// Asks, and does what the answer says.
    pub fn beat(&mut self, world: &mut World) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        let response = world.consumer_heartbeat(self.request())?;
        self.take(&response);
        Ok(response)
    }

    pub fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        self.epoch = response.epoch;
        if let Some(assignment) = &response.assignment {
            self.owned = assignment.clone();
        }
    }

    pub fn leave(&mut self, world: &mut World, epoch: MemberEpoch) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        world.consumer_heartbeat(ConsumerGroupHeartbeat {
            instance: self.join.instance.clone(),
            ..beat(self.join.member.as_str(), epoch.get())
        })
    }
}

impl World {
    pub fn consumer_heartbeat(&mut self, request: ConsumerGroupHeartbeat) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        match self.ask(Request::ConsumerGroupHeartbeat(request)) {
            Response::ConsumerGroupHeartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn describe_consumer(&mut self) -> Result<ConsumerGroupDescription, GroupError> {
        match self.ask(Request::ConsumerGroupDescribe(GROUP.into())) {
            Response::ConsumerGroupDescribe(described) => described,
            other => panic!("{other:?}"),
        }
    }

    pub fn consumer_state(&mut self) -> GroupState {
        self.describe_consumer().unwrap().state
    }

    /// Heartbeats of all until the group is stable.
    pub fn settle_peers(&mut self, peers: &mut [Peer]) {
        for _ in 0..6 {
            for peer in &mut *peers {
                peer.beat(self).unwrap();
            }
            check_owners(peers);
            if self.consumer_state() == GroupState::Stable {
                self.check_replay();
                return;
            }
        }
        panic!("not stable: {:#?}", self.describe_consumer());
    }
}

/// No partition is two members'.
pub fn check_owners(peers: &[Peer]) {
    let mut owned: Vec<_> = peers.iter().flat_map(|peer| peer.owned.iter()).collect();
    let count = owned.len();
    owned.sort_unstable();
    owned.dedup();
    assert_eq!(owned.len(), count, "a partition has two owners: {peers:#?}");
}
