//! Being a member of a group, by either protocol: who it is, what it owns, and what both protocols have in common.

use std::collections::BTreeSet;

use ottla_model::{GroupId, InstanceId, MemberId, Uuid};

use super::{Wake, ask};
use crate::fact::Fact;
use crate::message::{Answer, Ask, ClientId, Part};
use crate::world::{Stage, World};

/// How members of a group take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The classic one; all is given up before a rebalance.
    Eager,
    /// The classic one; what goes to others is given up after a rebalance, and then there is another.
    Cooperative,
    /// KIP-848.
    Consumer,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Out,
    Joining,
    Syncing,
    In,
    /// Another process has its instance id, or it has left.
    Fenced,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(super) client: ClientId,
    pub(super) group: GroupId,
    pub(super) group_name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) instance: Option<InstanceId>,
    pub(super) member: MemberId,
    /// Member epoch or generation.
    pub(super) epoch: i32,
    pub(super) phase: Phase,
    pub(super) owned: BTreeSet<i32>,
    /// How often that has changed.
    pub(super) changes: u64,
    /// What it is to have as soon as it can give up the rest.
    pub(super) next: Option<BTreeSet<i32>>,
    /// Consumer: what it last told that it holds, if the answer came.
    pub(super) told: Option<BTreeSet<i32>>,
    /// Consumer: what it tells in the request that is under way.
    pub(super) telling: Option<BTreeSet<i32>>,
    /// Consumer: the next request says all.
    pub(super) is_full: bool,
    /// Classic: it is to join again as soon as it can give up what it has.
    pub(super) must_join: bool,
    pub(super) waits: Option<u64>,
    /// When it wakes by itself.
    next_wake_ms: u64,
}

impl Membership {
    pub fn new(client: ClientId, group: &'static str, protocol: Protocol, instance: Option<&str>, fresh: Uuid) -> Membership {
        // By the new protocol a client makes its id itself (KIP-1082).
        let member = if protocol == Protocol::Consumer { fresh.to_string() } else { String::new() };
        Membership {
            client,
            group: GroupId::new(group),
            group_name: group,
            protocol,
            instance: instance.map(InstanceId::new),
            member: MemberId::new(&member),
            epoch: 0,
            phase: Phase::Out,
            owned: BTreeSet::new(),
            changes: 0,
            next: None,
            told: None,
            telling: None,
            is_full: true,
            must_join: false,
            waits: None,
            next_wake_ms: 0,
        }
    }

    pub fn is_fenced(&self) -> bool {
        self.phase == Phase::Fenced
    }

    pub fn is_in(&self) -> bool {
        self.phase == Phase::In
    }

    pub fn group(&self) -> &GroupId {
        &self.group
    }

    pub fn group_name(&self) -> &'static str {
        self.group_name
    }

    pub fn owned(&self) -> &BTreeSet<i32> {
        &self.owned
    }

    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn member(&self) -> &MemberId {
        &self.member
    }

    pub fn instance(&self) -> Option<&InstanceId> {
        self.instance.as_ref()
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn waits_for(&self, number: u64) -> bool {
        self.waits == Some(number)
    }

    pub fn woken(&mut self, world: &mut World, is_busy: bool) {
        if self.waits.is_none() && !self.is_fenced() {
            match self.protocol {
                Protocol::Consumer => self.beat(world),
                Protocol::Eager | Protocol::Cooperative => self.join_or_beat(world, is_busy),
            }
        }
        if world.now_ms() >= self.next_wake_ms {
            let delay_ms = world.random.between(1_000, 2_500);
            self.next_wake_ms = world.now_ms() + delay_ms;
            world.wake_after(self.client, delay_ms, Wake::Member);
        }
    }

    pub fn timed_out(&mut self, world: &mut World, number: u64, is_busy: bool) {
        if self.waits_for(number) {
            self.answered(world, Answer::Unavailable, is_busy);
        }
    }

    pub fn answered(&mut self, world: &mut World, answer: Answer, is_busy: bool) {
        self.waits = None;
        match self.protocol {
            Protocol::Consumer => self.consumer_answered(world, answer, is_busy),
            Protocol::Eager | Protocol::Cooperative => self.classic_answered(world, answer),
        }
    }

    /// It may give up now what it is to give up.
    pub fn not_busy(&mut self, world: &mut World) {
        match self.protocol {
            Protocol::Consumer => {
                if let Some(next) = self.next.take() {
                    self.own(world, next);
                }
            }
            Protocol::Eager | Protocol::Cooperative => {}
        }
    }

    pub fn leave(&mut self, world: &mut World) {
        if self.phase == Phase::In {
            match self.protocol {
                Protocol::Consumer => self.leave_consumer(world),
                Protocol::Eager | Protocol::Cooperative => self.leave_classic(world),
            }
        }
        self.phase = Phase::Fenced;
    }

    pub(super) fn send(&mut self, world: &mut World, timeout_ms: u64, request: ottla_cluster::group::Request) {
        self.waits = Some(ask(world, self.client, Part::Offsets, timeout_ms, Ask::Group(request)));
    }

    pub(super) fn own(&mut self, world: &mut World, owned: BTreeSet<i32>) {
        if self.owned != owned {
            self.changes += 1;
            self.owned = owned;
        }
        world.fact(&Fact::Owned {
            client: self.client,
            group: &self.group,
            member: &self.member,
            epoch: self.epoch,
            partitions: &self.owned,
        });
    }

    /// It is no member any more, as far as it knows, and owns nothing.
    pub(super) fn lose(&mut self, world: &mut World) {
        (self.next, self.told, self.is_full, self.must_join) = (None, None, true, false);
        (self.phase, self.epoch) = (Phase::Out, 0);
        self.own(world, BTreeSet::new());
        let delay_ms = if world.stage() == Stage::Faults { world.random.between(10, 1_000) } else { 10 };
        world.wake_after(self.client, delay_ms, Wake::Member);
    }
}
