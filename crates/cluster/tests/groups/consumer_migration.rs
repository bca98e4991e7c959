//! Groups that go over from one protocol to the other while members of both are present.

use ottla_cluster::group::*;
use ottla_model::{Generation, GroupEpoch, MemberEpoch, MemberId};

use crate::consumer_harness::*;
use crate::harness::*;

/// What a classic consumer is assigned, in its own bytes: one topic.
fn assigned(topic: &str, partitions: &[i32]) -> Vec<u8> {
    let mut bytes = vec![0, 1];
    bytes.extend((i32::from(!partitions.is_empty())).to_be_bytes());
    if !partitions.is_empty() {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend((partitions.len() as i32).to_be_bytes());
        partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

/// A member of the classic protocol that moves as little as it can (cooperative).
#[derive(Debug)]
struct Classic {
    join: JoinGroup,
    id: MemberId,
    generation: Generation,
    owned: Vec<i32>,
}

impl Classic {
    fn request(&self) -> JoinGroup {
        let protocols = vec![(text("cooperative-sticky"), subscription(&["a"], &[("a", &self.owned)]))];
        JoinGroup { member: self.id.clone(), protocols, ..self.join.clone() }
    }

    fn take(&mut self, synced: &Synced) {
        let is_as_long = |count: &i32| assigned("a", &(0..*count).collect::<Vec<_>>()).len() == synced.assignment.len();
        let count = (0..10).find(is_as_long).expect("it can be read") as usize;
        let at = synced.assignment.len() - 4 - 4 * count;
        let number = |bytes: &[u8]| i32::from_be_bytes(bytes.try_into().unwrap());
        self.owned = synced.assignment[at..at + 4 * count].chunks(4).map(number).collect();
        assert_eq!(&synced.assignment[..], assigned("a", &self.owned));
    }

    fn heartbeat(&self, world: &mut World) -> Result<(), GroupError> {
        let (group, member, instance) = (GROUP.into(), self.id.clone(), self.join.instance.clone());
        match world.ask(Request::Heartbeat(Heartbeat { group, member, instance, generation: self.generation })) {
            Response::Heartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn sync(&self, world: &mut World) -> Result<Synced, GroupError> {
        match world.ask(sync(&self.id, self.generation, &[])) {
            Response::SyncGroup(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// Joins a consumer group, and gets what it has.
    fn rejoin(&mut self, world: &mut World) -> Result<(), GroupError> {
        let token = world.send_join(self.request());
        let response = world.joined(token);
        let joined = response.result?;
        assert_eq!((joined.leader.as_str(), joined.members.len()), ("", 0), "nobody leads");
        (self.id, self.generation) = (response.member, joined.generation);
        let synced = self.sync(world)?;
        self.take(&synced);
        Ok(())
    }

    /// Does what a client does every few seconds.
    fn beat(&mut self, world: &mut World) {
        match self.heartbeat(world) {
            Ok(()) => {}
            Err(GroupError::RebalanceInProgress) => self.rejoin(world).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn leave(&self, world: &mut World) -> Result<(), GroupError> {
        let leaving = LeavingMember { member: self.id.clone(), instance: self.join.instance.clone(), reason: None };
        match world.ask(Request::LeaveGroup(LeaveGroup { group: GROUP.into(), members: vec![leaving] })) {
            Response::LeaveGroup(Ok(mut left)) => left.remove(0).result,
            other => panic!("{other:?}"),
        }
    }
}

fn cooperative(instance_id: Option<&str>) -> JoinGroup {
    let protocols = vec![(text("cooperative-sticky"), subscription(&["a"], &[]))];
    JoinGroup { protocols, instance: instance_id.and_then(instance), ..join("") }
}

/// A stable classic group of two, each with two of the four partitions.
fn classic_pair(world: &mut World, join: JoinGroup) -> [Classic; 2] {
    let (one, first) = world.begin_to_join(join.clone());
    let (two, second) = world.begin_to_join(join.clone());
    world.pass_ms(9_000);
    let joined = [world.joined(first).result.unwrap(), world.joined(second).result.unwrap()];
    let generation = joined[0].generation;
    let parts = [(one.clone(), assigned("a", &[0, 1])), (two.clone(), assigned("a", &[2, 3]))];
    let leader = joined[0].leader.clone();
    let request = SyncGroup {
        group: GROUP.into(),
        member: leader,
        instance: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: parts.into_iter().map(|(id, bytes)| (id, bytes.into())).collect(),
    };
    let Response::SyncGroup(Ok(_)) = world.ask(Request::SyncGroup(request)) else { panic!() };
    let of = |id: &MemberId, owned: &[i32]| Classic { join: join.clone(), id: id.clone(), generation, owned: owned.to_vec() };
    let mut pair = [of(&one, &[0, 1]), of(&two, &[2, 3])];
    for member in &mut pair {
        let synced = member.sync(world).unwrap();
        member.take(&synced);
    }
    pair
}

fn check(classics: &[&Classic], peers: &[&Peer]) {
    let of_classics = classics.iter().flat_map(|classic| classic.owned.iter().copied());
    let of_peers = peers.iter().flat_map(|peer| peer.owned.iter().map(|(_, partition)| partition.get()));
    let mut owned: Vec<i32> = of_classics.chain(of_peers).collect();
    let count = owned.len();
    owned.sort_unstable();
    owned.dedup();
    assert_eq!(owned.len(), count, "a partition has two owners: {classics:?} {peers:?}");
}

/// A group of two classic members and one of the consumer protocol, stable.
fn mixed(world: &mut World) -> ([Classic; 2], Peer) {
    let [mut one, mut two] = classic_pair(world, cooperative(None));
    let mut peer = Peer::of("m1");
    peer.beat(world).unwrap();
    for _ in 0..6 {
        one.beat(world);
        check(&[&one, &two], &[&peer]);
        two.beat(world);
        check(&[&one, &two], &[&peer]);
        peer.beat(world).unwrap();
        check(&[&one, &two], &[&peer]);
    }
    assert_eq!(world.consumer_state(), GroupState::Stable);
    world.check_replay();
    ([one, two], peer)
}

#[test]
fn a_classic_group_becomes_a_consumer_group_when_a_member_of_that_protocol_joins() {
    let mut world = World::with(at_once());
    let [one, two] = classic_pair(&mut world, cooperative(None));
    let mut peer = Peer::of("m1");
    let response = peer.beat(&mut world).unwrap();
    assert_eq!((response.epoch, response.assignment), (MemberEpoch(2), Some(Assignment::default())));
    let described = world.describe_consumer().unwrap();
    assert_eq!((described.epoch, described.members.len(), described.state), (GroupEpoch(2), 3, GroupState::Reconciling));
    let types: Vec<ConsumerMemberType> = described.members.iter().map(|member| member.member_type).collect();
    assert_eq!(types.iter().filter(|kind| **kind == ConsumerMemberType::Classic).count(), 2);
    let held: usize = described.members.iter().flat_map(|member| &member.assignment).map(|named| named.partitions.len()).sum();
    assert_eq!(held, 4, "all keep what they have");
    for member in [&one, &two] {
        assert_eq!(member.heartbeat(&mut world), Err(GroupError::RebalanceInProgress));
    }
    world.check_replay();
}

#[test]
fn members_of_both_protocols_share_and_nobody_has_what_another_has() {
    let mut world = World::with(at_once());
    let ([one, two], peer) = mixed(&mut world);
    let mut counts = [one.owned.len(), two.owned.len(), peer.owned.len()];
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2]);
}

#[test]
fn an_eager_member_holds_nothing_when_it_joins() {
    let mut world = World::with(at_once());
    let [mut one, mut two] = classic_pair(&mut world, cooperative(None));
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    one.owned.clear();
    one.beat(&mut world);
    check(&[&one, &two], &[&peer]);
    assert!(!one.owned.is_empty());
    two.owned.clear();
    two.beat(&mut world);
    peer.beat(&mut world).unwrap();
    check(&[&one, &two], &[&peer]);
}

#[test]
fn a_group_becomes_classic_when_the_last_member_of_the_consumer_protocol_leaves() {
    let mut world = World::with(at_once());
    let ([one, two], mut peer) = mixed(&mut world);
    let epoch = world.describe_consumer().unwrap().epoch;
    peer.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    let described = world.describe().unwrap();
    assert_eq!((described.state, described.members.len()), (GroupState::PreparingRebalance, 2));
    assert_eq!(described.last_rebalance.unwrap().reason, RebalanceReason::ProtocolChanged);
    let tokens = [&one, &two].map(|member| world.send_join(member.request()));
    let joined = tokens.map(|token| world.joined(token).result.unwrap());
    assert!(joined.iter().all(|joined| joined.generation.get() == epoch.get() + 1));
    assert_eq!(joined[0].protocol, Some(text("cooperative-sticky")));
    let leader = [&one, &two].into_iter().position(|member| member.id == joined[0].leader).unwrap();
    assert_eq!(joined[leader].members.len(), 2);
    let records = world.records();
    assert!(matches!(records.last(), Some(GroupRecord::GroupMetadata { value: Some(_), .. })));
    world.fail_over();
    assert_eq!(world.describe().unwrap().members.len(), 2);
    assert!(world.describe_consumer().is_err());
}

#[test]
fn a_group_becomes_classic_also_when_the_last_one_of_the_consumer_protocol_falls_silent() {
    let mut world = World::with(at_once());
    let ([mut one, mut two], _) = mixed(&mut world);
    for _ in 0..9 {
        one.beat(&mut world);
        two.beat(&mut world);
        world.pass_ms(5_000);
    }
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn what_the_policy_does_not_allow_does_not_happen() {
    let of = |migration_policy| World::with(GroupConfig { migration_policy, ..at_once() });
    let mut world = of(MigrationPolicy::Downgrade);
    classic_pair(&mut world, cooperative(None));
    let log = world.log.len();
    let refused = Peer::of("m1").beat(&mut world);
    assert!(matches!(refused, Err(GroupError::CannotUpgrade { why, .. }) if why.contains("policy")), "{refused:?}");
    assert_eq!((world.log.len(), world.state()), (log, GroupState::Stable));
    let mut world = of(MigrationPolicy::Upgrade);
    let ([mut one, two], mut peer) = mixed(&mut world);
    peer.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    assert_eq!(world.describe_consumer().unwrap().members.len(), 2);
    one.beat(&mut world);
    two.leave(&mut world).unwrap();
    one.beat(&mut world);
    assert_eq!(one.owned.len(), 4);
    world.check_replay();
}

#[test]
fn groups_that_cannot_become_consumer_groups_stay_as_they_are() {
    let refused = |world: &mut World, what: &str| {
        let before = world.log.len();
        let refused = Peer::of("m1").beat(world);
        assert!(matches!(refused, Err(GroupError::CannotUpgrade { why, .. }) if why.contains(what)), "{refused:?}");
        assert_eq!(world.log.len(), before);
        world.check_replay();
        assert_eq!(world.state(), GroupState::Stable);
    };
    let mut world = World::with(at_once());
    world.stable(1);
    refused(&mut world, "assignment of a member cannot be read");
    let mut world = World::with(GroupConfig { consumer_members_max: 1, ..at_once() });
    classic_pair(&mut world, cooperative(None));
    refused(&mut world, "group.consumer.max.size");
    let mut world = World::with(at_once());
    classic_pair(&mut world, JoinGroup { protocol_type: text("connect"), ..cooperative(None) });
    refused(&mut world, "not consumers");
    let mut world = World::with(at_once());
    classic_pair(&mut world, JoinGroup { protocols: vec![(text("x"), blob("nonsense"))], ..cooperative(None) });
    refused(&mut world, "subscription of a member");
}

#[test]
fn an_upgrade_that_is_refused_late_leaves_the_classic_group() {
    let mut world = World::with(at_once());
    let [one, _] = classic_pair(&mut world, cooperative(None));
    let before = world.coordinator.settled_records();
    let log = world.log.len();
    let request = ConsumerGroupHeartbeat { topic_regex: Some("(".into()), ..joining("m1") };
    assert!(matches!(world.consumer_heartbeat(request), Err(GroupError::InvalidRegularExpression { .. })));
    assert_eq!((world.coordinator.settled_records(), world.log.len()), (before, log));
    assert_eq!(one.heartbeat(&mut world), Ok(()));
}

#[test]
fn members_that_wait_in_a_rebalance_are_to_join_the_group_that_it_becomes() {
    let mut world = World::with(at_once());
    let [mut one, mut two] = classic_pair(&mut world, cooperative(None));
    // Both hold what they had, though the classic group is about to assign anew.
    let (_, third) = world.begin_to_join(cooperative(None));
    let waiting = world.send_join(one.request());
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    for token in [third, waiting] {
        assert_eq!(world.joined(token).result, Err(GroupError::RebalanceInProgress));
    }
    assert!(peer.owned.is_empty(), "what members hold is not given away");
    for _ in 0..4 {
        one.rejoin(&mut world).unwrap();
        two.beat(&mut world);
        peer.beat(&mut world).unwrap();
        check(&[&one, &two], &[&peer]);
    }
    assert_eq!(peer.owned.len(), 1);
    world.check_replay();
}

#[test]
fn what_members_hold_counts_also_when_the_classic_group_forgot_what_it_assigned() {
    let mut world = World::with(at_once());
    let [one, two] = classic_pair(&mut world, cooperative(None));
    // A rebalance that another member breaks off before the leader has assigned.
    let (_, third) = world.begin_to_join(cooperative(None));
    for member in [&one, &two] {
        world.send_join(member.request());
    }
    assert!(world.joined(third).result.is_ok());
    world.begin_to_join(cooperative(None));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    assert!(peer.owned.is_empty(), "both still hold what they had");
    let described = world.describe_consumer().unwrap();
    let held = |classic: &Classic| {
        let member = described.members.iter().find(|member| member.member == classic.id).unwrap();
        member.assignment.iter().flat_map(|named| &named.partitions).map(|partition| partition.get()).collect::<Vec<_>>()
    };
    assert_eq!((held(&one), held(&two)), (one.owned.clone(), two.owned.clone()));
}

#[test]
fn a_classic_member_must_speak_what_the_others_speak() {
    let mut world = World::with(at_once());
    mixed(&mut world);
    for request in [
        JoinGroup { protocols: vec![(text("range"), subscription(&["a"], &[]))], ..join("") },
        JoinGroup { protocol_type: text("connect"), ..cooperative(None) },
        JoinGroup { protocols: vec![], ..cooperative(None) },
    ] {
        let token = world.send_join(request);
        assert_eq!(world.joined(token).result, Err(GroupError::InconsistentProtocol));
    }
    let token = world.send_join(cooperative(None));
    let response = world.joined(token);
    assert_eq!(response.result, Err(GroupError::MemberIdRequired { assigned: response.member.clone() }));
    let mut new = Classic { join: cooperative(None), id: response.member, generation: Generation(0), owned: vec![] };
    new.rejoin(&mut world).unwrap();
    assert_eq!(world.describe_consumer().unwrap().members.len(), 4);
    world.check_replay();
}

#[test]
fn a_classic_member_of_a_consumer_group_shows_its_generation() {
    let mut world = World::with(at_once());
    let ([one, _], peer) = mixed(&mut world);
    let current = one.generation.get();
    let shown = Classic { generation: Generation(current - 1), id: one.id.clone(), join: one.join.clone(), owned: vec![] };
    let illegal = GroupError::IllegalGeneration { shown: current - 1, current };
    assert_eq!(shown.heartbeat(&mut world), Err(illegal.clone()));
    assert_eq!(shown.sync(&mut world), Err(illegal));
    let of = |generation_or_epoch| OffsetCommit {
        member: one.id.clone(),
        generation_or_epoch,
        knows_member_epochs: false,
        ..commit(vec![offset("a", one.owned[0], 1)])
    };
    assert_eq!(world.commit(of(current)), Ok(vec![Ok(())]));
    assert!(matches!(world.commit(of(current + 1)), Err(GroupError::IllegalGeneration { .. })));
    // Nor may a member of the consumer protocol speak the classic one.
    let beat = Request::Heartbeat(Heartbeat {
        group: GROUP.into(),
        member: "m1".into(),
        instance: None,
        generation: Generation(peer.epoch.get()),
    });
    assert_eq!(world.ask(beat), Response::Heartbeat(Err(GroupError::UnknownMember { member: "m1".into() })));
    let left = world.ask(leave(&["m1", one.id.as_str(), one.id.as_str()]));
    let Response::LeaveGroup(Ok(left)) = left else { panic!() };
    assert_eq!(left.iter().map(|left| left.result.is_ok()).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(world.describe_consumer().unwrap().members.len(), 2);
    world.check_replay();
}

#[test]
fn a_classic_member_that_is_called_and_does_not_join_in_time_is_gone() {
    let mut world = World::with(at_once());
    let ([mut one, two], mut peer) = mixed(&mut world);
    world.set_topics(2, &[("a", 7)]);
    peer.beat(&mut world).unwrap();
    for _ in 0..12 {
        one.beat(&mut world);
        assert_eq!(two.heartbeat(&mut world), Err(GroupError::RebalanceInProgress));
        peer.beat(&mut world).unwrap();
        world.pass_ms(5_000);
    }
    assert_eq!(two.heartbeat(&mut world), Err(GroupError::UnknownMember { member: two.id.clone() }));
    assert_eq!(world.describe_consumer().unwrap().members.len(), 2);
}

#[test]
fn a_classic_member_that_joins_and_does_not_ask_for_its_assignment_in_time_is_gone() {
    let mut world = World::with(at_once());
    let ([mut one, two], mut peer) = mixed(&mut world);
    let token = world.send_join(two.request());
    assert!(world.joined(token).result.is_ok());
    for _ in 0..12 {
        assert_eq!(two.heartbeat(&mut world), Ok(()));
        one.beat(&mut world);
        peer.beat(&mut world).unwrap();
        world.pass_ms(5_000);
    }
    assert_eq!(two.heartbeat(&mut world), Err(GroupError::UnknownMember { member: two.id.clone() }));
}

#[test]
fn a_classic_process_takes_the_place_of_one_of_the_consumer_protocol_and_the_group_is_classic() {
    let mut world = World::with(at_once());
    let mut peer = Peer::new(ConsumerGroupHeartbeat { instance: instance("i1"), ..joining("m1") });
    peer.beat(&mut world).unwrap();
    let token = world.send_join(cooperative(Some("i1")));
    let response = world.joined(token);
    assert!(response.result.is_ok());
    let fenced = peer.beat(&mut world);
    assert!(matches!(fenced, Err(GroupError::OtherProtocol { .. })), "{fenced:?}");
    let described = world.describe().unwrap();
    assert_eq!((described.state, described.members[0].member.clone()), (GroupState::PreparingRebalance, response.member));
    world.fail_over();
    assert_eq!(world.describe().unwrap().members.len(), 1);
}

#[test]
fn a_member_goes_over_under_its_own_instance() {
    let mut world = World::with(at_once());
    let token = world.send_join(cooperative(Some("i1")));
    world.pass_ms(3_000);
    let response = world.joined(token);
    let generation = response.result.unwrap().generation;
    let member = Classic { join: cooperative(Some("i1")), id: response.member.clone(), generation, owned: vec![] };
    let bytes = assigned("a", &[0, 1, 2, 3]);
    let request = SyncGroup {
        group: GROUP.into(),
        member: member.id.clone(),
        instance: instance("i1"),
        generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![(member.id.clone(), bytes.into())],
    };
    let Response::SyncGroup(Ok(_)) = world.ask(Request::SyncGroup(request)) else { panic!() };
    // A static member of the classic protocol does not say that it goes.
    let mut peer = Peer::new(ConsumerGroupHeartbeat { instance: instance("i1"), ..joining("m1") });
    peer.beat(&mut world).unwrap();
    assert_eq!(peer.owned.len(), 4);
    let fenced = GroupError::FencedInstance { instance: "i1".into(), shown: member.id.clone(), owner: "m1".into() };
    assert_eq!(member.heartbeat(&mut world), Err(fenced));
    assert_eq!(world.describe_consumer().unwrap().members.len(), 1);
    world.check_replay();
}

#[test]
fn what_the_classic_group_had_not_assigned_is_assigned_also_if_only_a_static_member_is_replaced() {
    let mut world = World::with(at_once());
    let token = world.send_join(cooperative(Some("i1")));
    world.pass_ms(3_000);
    assert!(world.joined(token).result.is_ok());
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    let mut peer = Peer::new(ConsumerGroupHeartbeat { instance: instance("i1"), ..joining("m1") });
    peer.beat(&mut world).unwrap();
    assert_eq!((peer.owned.len(), peer.epoch), (4, MemberEpoch(2)));
    world.check_replay();
}
