//! Members of consumer groups that join, share, leave and fall silent.

use ottla_cluster::group::*;
use ottla_model::{GroupEpoch, MemberEpoch};

use crate::consumer_harness::*;
use crate::harness::*;

fn world() -> World {
    World::with(at_once())
}

#[test]
fn the_first_member_has_everything_with_its_first_answer() {
    let mut world = world();
    let response = Peer::of("m1").beat(&mut world).unwrap();
    assert_eq!(
        response,
        ConsumerGroupHeartbeatResponse {
            member: "m1".into(),
            epoch: MemberEpoch(1),
            heartbeat_interval_ms: 5_000,
            assignment: Some(parts("a", &[0, 1, 2, 3])),
        }
    );
    assert_eq!(world.consumer_state(), GroupState::Stable);
    world.check_replay();
}

#[test]
fn an_answer_waits_for_the_records_it_tells_of() {
    let mut world = world();
    let token = world.send(Request::ConsumerGroupHeartbeat(joining("m1")));
    assert_eq!((world.waits_for(token), world.log.len()), (Proposal(1), 1));
}

#[test]
fn a_partition_is_given_up_before_another_member_gets_it() {
    let mut world = world();
    let (mut one, mut two) = (Peer::of("m1"), Peer::of("m2"));
    one.beat(&mut world).unwrap();
    assert_eq!(two.beat(&mut world).unwrap().assignment, Some(Assignment::default()));
    assert_eq!((two.epoch, world.consumer_state()), (MemberEpoch(2), GroupState::Reconciling));
    // It is told to give two of them up, and keeps its epoch until it has.
    let told = world.consumer_heartbeat(one.request()).unwrap();
    assert_eq!((told.epoch, &told.assignment), (MemberEpoch(1), &Some(parts("a", &[0, 1]))));
    assert_eq!(two.beat(&mut world).unwrap().assignment, None, "nothing is free yet");
    assert_eq!(world.consumer_heartbeat(one.request()).unwrap().epoch, MemberEpoch(1), "it still holds them");
    one.take(&told);
    assert_eq!(one.beat(&mut world).unwrap().epoch, MemberEpoch(2));
    assert_eq!(two.beat(&mut world).unwrap().assignment, Some(parts("a", &[2, 3])));
    assert_eq!(world.consumer_state(), GroupState::Stable);
    world.check_replay();
}

#[test]
fn what_has_not_changed_is_neither_told_nor_written() {
    let mut world = world();
    let mut peers = [Peer::of("m1"), Peer::of("m2")];
    world.settle_peers(&mut peers);
    let written = world.log.len();
    for peer in &mut peers {
        assert_eq!(peer.beat(&mut world).unwrap().assignment, None);
        let bare = world.consumer_heartbeat(beat(peer.join.member.as_str(), peer.epoch.get())).unwrap();
        assert_eq!(bare.assignment, None);
        // Who asks for everything, as after a lost answer, is told everything.
        let full = ConsumerGroupHeartbeat { epoch: peer.epoch, owned: Some(peer.owned.clone()), ..peer.join.clone() };
        assert_eq!(world.consumer_heartbeat(full).unwrap().assignment, Some(peer.owned.clone()));
    }
    assert_eq!(world.log.len(), written);
}

#[test]
fn one_that_leaves_moves_only_its_own_partitions() {
    let mut world = world();
    world.set_topics(2, &[("a", 9)]);
    let mut peers = vec![Peer::of("m1"), Peer::of("m2"), Peer::of("m3")];
    world.settle_peers(&mut peers);
    let mut gone = peers.remove(1);
    let left = gone.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    assert_eq!((left.epoch, left.assignment), (MemberEpoch::LEAVE, None));
    let before = peers.clone();
    world.settle_peers(&mut peers);
    for (peer, before) in peers.iter().zip(&before) {
        assert!(before.owned.iter().all(|(topic, partition)| peer.owned.contains(topic, partition)));
    }
    assert_eq!(peers.iter().map(|peer| peer.owned.len()).sum::<usize>(), 9);
}

#[test]
fn the_last_one_leaves_an_empty_group() {
    let mut world = world();
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    peer.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    let described = world.describe_consumer().unwrap();
    assert_eq!((described.state, described.epoch, described.members.len()), (GroupState::Empty, GroupEpoch(2), 0));
    assert_eq!(described.last_rebalance.unwrap().reason, RebalanceReason::MemberLeft { said: None });
    world.check_replay();
    // And it goes on from there.
    let mut next = Peer::of("m2");
    assert_eq!(next.beat(&mut world).unwrap().epoch, MemberEpoch(3));
}

#[test]
fn who_is_silent_for_its_session_is_gone_and_is_told_so() {
    let mut world = world();
    let mut peers = [Peer::of("m1"), Peer::of("m2")];
    world.settle_peers(&mut peers);
    let [one, two] = &mut peers;
    for _ in 0..9 {
        world.pass_ms(5_000);
        one.beat(&mut world).unwrap();
    }
    assert_eq!(world.describe_consumer().unwrap().members.len(), 1);
    assert_eq!(two.beat(&mut world), Err(GroupError::UnknownMember { member: "m2".into() }));
    assert_eq!(one.owned.len(), 4);
    world.check_replay();
}

#[test]
fn who_does_not_give_up_in_time_is_gone() {
    let mut world = world();
    let (mut one, mut two) = (Peer::of("m1"), Peer::of("m2"));
    one.beat(&mut world).unwrap();
    two.beat(&mut world).unwrap();
    // It hears that it is to give up, and only sends heartbeats from then on.
    for _ in 0..12 {
        world.consumer_heartbeat(one.request()).unwrap();
        world.pass_ms(4_999);
        two.beat(&mut world).unwrap();
    }
    assert!(world.consumer_heartbeat(one.request()).is_ok());
    world.pass_ms(60);
    assert_eq!(world.consumer_heartbeat(one.request()), Err(GroupError::UnknownMember { member: "m1".into() }));
    two.beat(&mut world).unwrap();
    assert_eq!(two.owned.len(), 4);
    assert_eq!(world.describe_consumer().unwrap().last_rebalance.unwrap().reason, RebalanceReason::RevocationTimeout);
}

#[test]
fn who_gives_up_in_time_has_no_deadline_any_more() {
    let mut world = world();
    let (mut one, mut two) = (Peer::of("m1"), Peer::of("m2"));
    one.beat(&mut world).unwrap();
    two.beat(&mut world).unwrap();
    for _ in 0..20 {
        one.beat(&mut world).unwrap();
        two.beat(&mut world).unwrap();
        world.pass_ms(5_000);
    }
    assert_eq!((one.owned.len(), two.owned.len()), (2, 2));
}

#[test]
fn epochs_that_are_not_a_members_own_fence_it() {
    let mut world = world();
    let mut peers = [Peer::of("m1"), Peer::of("m2")];
    world.settle_peers(&mut peers);
    let current = peers[0].epoch.get();
    for shown in [current + 1, i32::MAX] {
        let fenced = GroupError::FencedMemberEpoch { shown, current };
        assert_eq!(world.consumer_heartbeat(beat("m1", shown)), Err(fenced));
    }
    // The epoch before is shown by one that has not got its last answer, and that holds nothing it should not.
    let before = |owned| ConsumerGroupHeartbeat { owned, ..beat("m1", current - 1) };
    assert!(world.consumer_heartbeat(before(Some(peers[0].owned.clone()))).is_ok());
    let fenced = GroupError::FencedMemberEpoch { shown: current - 1, current };
    assert_eq!(world.consumer_heartbeat(before(None)), Err(fenced.clone()));
    assert_eq!(world.consumer_heartbeat(before(Some(parts("a", &[0, 1, 2, 3])))), Err(fenced));
    // Fenced, it begins anew, and gets what it had.
    let again = world.consumer_heartbeat(joining("m1")).unwrap();
    assert_eq!((again.epoch.get(), again.assignment), (current, Some(peers[0].owned.clone())));
}

#[test]
fn members_and_groups_that_are_not_there_are_unknown() {
    let mut world = world();
    for epoch in [1, -1] {
        assert_eq!(world.consumer_heartbeat(beat("m1", epoch)), Err(GroupError::GroupNotFound { group: group(GROUP) }));
    }
    Peer::of("m1").beat(&mut world).unwrap();
    for epoch in [1, -1] {
        assert_eq!(world.consumer_heartbeat(beat("m2", epoch)), Err(GroupError::UnknownMember { member: "m2".into() }));
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_and_make_no_group() {
    let mut world = world();
    let of = |change: fn(&mut ConsumerGroupHeartbeat)| {
        let mut request = joining("m1");
        change(&mut request);
        request
    };
    let invalid = [
        of(|request| request.group = "".into()),
        of(|request| request.member = "".into()),
        of(|request| request.instance = Some("".into())),
        of(|request| request.rack = Some("".into())),
        of(|request| request.rebalance_timeout_ms = -1),
        of(|request| request.owned = None),
        of(|request| request.owned = Some(parts("a", &[1]))),
        of(|request| request.topic_names = None),
        of(|request| request.epoch = MemberEpoch(-3)),
        of(|request| request.epoch = MemberEpoch::LEAVE_STATIC),
        of(|request| (request.member, request.member_id_required, request.epoch) = ("".into(), false, MemberEpoch(1))),
    ];
    for request in invalid {
        let refused = world.consumer_heartbeat(request.clone());
        assert!(matches!(refused, Err(GroupError::InvalidRequest { .. })), "{request:?}: {refused:?}");
    }
    let refused = world.consumer_heartbeat(of(|request| request.assignor = Some("mine".into())));
    assert_eq!(refused, Err(GroupError::UnsupportedAssignor { asked: "mine".into(), supported: "uniform, range".into() }));
    assert_eq!((world.coordinator.group_count(), world.log.len()), (0, 0));
}

#[test]
fn a_client_of_version_0_is_given_an_id() {
    let mut world = world();
    let id = ottla_model::Uuid::from_bytes([3; 16]);
    let request = ConsumerGroupHeartbeat { member_id_required: false, fresh_id: id, ..joining("") };
    assert_eq!(world.consumer_heartbeat(request).unwrap().member.as_str(), id.to_string());
}

#[test]
fn a_full_group_takes_no_more() {
    let mut world = World::with(GroupConfig { consumer_members_max: 1, ..at_once() });
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    assert_eq!(Peer::of("m2").beat(&mut world), Err(GroupError::GroupFull { max: 1 }));
    assert!(peer.beat(&mut world).is_ok());
}

#[test]
fn members_that_come_together_are_assigned_together() {
    let mut world = World::new();
    let mut peers = [Peer::of("m1"), Peer::of("m2"), Peer::of("m3")];
    for peer in &mut peers {
        peer.beat(&mut world).unwrap();
    }
    let described = world.describe_consumer().unwrap();
    assert_eq!((described.epoch, described.target_epoch, described.state), (GroupEpoch(3), GroupEpoch(1), GroupState::Assigning));
    world.pass_ms(1_000);
    world.settle_peers(&mut peers);
    let described = world.describe_consumer().unwrap();
    assert_eq!((described.epoch, described.target_epoch), (GroupEpoch(3), GroupEpoch(3)));
}

#[test]
fn most_members_choose_the_assignor() {
    let mut world = world();
    let of = |id: &str, assignor: &str| Peer::new(ConsumerGroupHeartbeat { assignor: Some(assignor.into()), ..joining(id) });
    let mut peers = vec![of("m1", "range"), of("m2", "uniform")];
    world.settle_peers(&mut peers);
    assert_eq!(world.describe_consumer().unwrap().assignor, Assignor::Uniform);
    peers.push(of("m3", "range"));
    world.settle_peers(&mut peers);
    assert_eq!(world.describe_consumer().unwrap().assignor, Assignor::Range);
    let owned: Vec<&Assignment> = peers.iter().map(|peer| &peer.owned).collect();
    assert_eq!(owned, [&parts("a", &[0, 1]), &parts("a", &[2]), &parts("a", &[3])]);
}

#[test]
fn what_a_member_no_longer_reads_it_gives_up_and_what_it_newly_reads_it_gets() {
    let mut world = world();
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    let change = ConsumerGroupHeartbeat { topic_names: Some(vec!["b".into()]), ..peer.request() };
    let told = world.consumer_heartbeat(change).unwrap();
    assert_eq!((told.epoch, &told.assignment), (MemberEpoch(1), &Some(Assignment::default())));
    peer.take(&told);
    assert_eq!(peer.beat(&mut world).unwrap().assignment, Some(parts("b", &[0, 1, 2, 3])));
    assert_eq!(peer.epoch, MemberEpoch(2));
    world.check_replay();
}

#[test]
fn what_a_member_no_longer_reads_it_gives_up_though_nothing_is_assigned_yet() {
    let mut world = World::new();
    let mut peers = [Peer::of("m1"), Peer::of("m2")];
    peers[0].beat(&mut world).unwrap();
    peers[1].beat(&mut world).unwrap();
    let change = ConsumerGroupHeartbeat { topic_names: Some(vec!["b".into()]), ..peers[0].request() };
    assert_eq!(world.consumer_heartbeat(change).unwrap().assignment, Some(Assignment::default()));
    assert_eq!(world.consumer_state(), GroupState::Assigning);
}

#[test]
fn topics_that_come_grow_and_go_are_followed_with_the_next_heartbeat() {
    let mut world = world();
    let mut peer = Peer::new(ConsumerGroupHeartbeat { topic_names: Some(vec!["a".into(), "new".into()]), ..joining("m1") });
    peer.beat(&mut world).unwrap();
    world.set_topics(2, &[("a", 4), ("new", 2)]);
    assert_eq!(peer.beat(&mut world).unwrap().epoch, MemberEpoch(2));
    assert_eq!(peer.owned.len(), 6);
    world.set_topics(3, &[("a", 5), ("new", 2), ("other", 7)]);
    assert_eq!((peer.beat(&mut world).unwrap().epoch, peer.owned.len()), (MemberEpoch(3), 7));
    // A topic that nobody reads raises nothing.
    world.set_topics(4, &[("a", 5), ("new", 2)]);
    assert_eq!(peer.beat(&mut world).unwrap().epoch, MemberEpoch(3));
    world.set_topics(5, &[("new", 2)]);
    peer.beat(&mut world).unwrap();
    assert_eq!((peer.beat(&mut world).unwrap().epoch, &peer.owned), (MemberEpoch(4), &parts("new", &[0, 1])));
    assert_eq!(world.describe_consumer().unwrap().last_rebalance.unwrap().reason, RebalanceReason::TopicsChanged);
    world.check_replay();
}

#[test]
fn a_change_of_topics_is_seen_also_if_the_coordinator_moved_meanwhile() {
    let mut world = world();
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    world.topics = view(2, &[("a", 6)]);
    world.fail_over();
    assert_eq!((peer.beat(&mut world).unwrap().epoch, peer.owned.len()), (MemberEpoch(2), 6));
    world.fail_over();
    assert_eq!(peer.beat(&mut world).unwrap().epoch, MemberEpoch(2), "nothing changed");
}

#[test]
fn members_go_on_where_the_coordinator_before_left_off() {
    let mut world = world();
    let (mut one, mut two) = (Peer::of("m1"), Peer::of("m2"));
    one.beat(&mut world).unwrap();
    two.beat(&mut world).unwrap();
    let told = world.consumer_heartbeat(one.request()).unwrap();
    world.fail_over();
    assert_eq!(two.beat(&mut world).unwrap().assignment, None);
    one.take(&told);
    let mut peers = [one, two];
    world.settle_peers(&mut peers);
    // Sessions run anew.
    world.pass_ms(44_999);
    assert_eq!(world.describe_consumer().unwrap().members.len(), 2);
    world.fail_over();
    world.pass_ms(45_000);
    assert_eq!(world.consumer_state(), GroupState::Empty);
}

#[test]
fn who_is_to_give_up_has_its_deadline_also_with_the_next_coordinator() {
    let mut world = world();
    let (mut one, mut two) = (Peer::of("m1"), Peer::of("m2"));
    one.beat(&mut world).unwrap();
    two.beat(&mut world).unwrap();
    world.consumer_heartbeat(one.request()).unwrap();
    world.fail_over();
    for _ in 0..12 {
        world.pass_ms(5_000);
        let _ = world.consumer_heartbeat(one.request());
        two.beat(&mut world).unwrap();
    }
    assert_eq!(world.describe_consumer().unwrap().members.len(), 1);
}

#[test]
fn what_does_not_fit_into_the_log_changes_nothing() {
    let mut world = World::with(GroupConfig { batch_bytes_max: 2_000, ..at_once() });
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    world.set_topics(2, &[("a", 6)]);
    let before = world.coordinator.settled_records();
    let names = (0..200).map(|number| format!("some-topic-{number}").into()).collect();
    let refused = world.consumer_heartbeat(ConsumerGroupHeartbeat { topic_names: Some(names), ..joining("m2") });
    assert!(matches!(refused, Err(GroupError::TooLarge { max: 2_000, .. })), "{refused:?}");
    assert_eq!(world.coordinator.settled_records(), before);
    // Nor is it forgotten what there was to be done.
    assert_eq!((peer.beat(&mut world).unwrap().epoch, peer.owned.len()), (MemberEpoch(2), 6));
    world.check_replay();
}

#[test]
fn both_protocols_are_told_apart_where_they_are_asked_for() {
    let mut world = world();
    Peer::of("m1").beat(&mut world).unwrap();
    assert_eq!(world.describe(), Err(GroupError::OtherProtocol { group: group(GROUP), wanted: "classic" }));
    let listed = |world: &mut World, types: &[&str]| world.list(&[], types).len();
    assert_eq!((listed(&mut world, &["consumer"]), listed(&mut world, &["classic"]), listed(&mut world, &[])), (1, 0, 1));
    let one = world.list(&["stable"], &[]).remove(0);
    assert_eq!((one.group_type.name(), &*one.protocol_type, one.state), ("consumer", "consumer", GroupState::Stable));
    let mut other = World::new();
    other.stable(1);
    assert_eq!(other.describe_consumer(), Err(GroupError::OtherProtocol { group: group(GROUP), wanted: "consumer" }));
}

#[test]
fn a_description_has_what_members_have_and_what_they_are_to_have() {
    let mut world = world();
    let rack = ConsumerGroupHeartbeat { rack: Some("r1".into()), ..joining("m1") };
    world.consumer_heartbeat(rack).unwrap();
    Peer::of("m2").beat(&mut world).unwrap();
    let described = world.describe_consumer().unwrap();
    assert_eq!((described.epoch, described.target_epoch), (GroupEpoch(2), GroupEpoch(2)));
    let [one, two] = &described.members[..] else { panic!() };
    let named = |partitions: &[i32]| {
        let partitions = partitions.iter().copied().map(ottla_model::PartitionId).collect();
        vec![NamedPartitions { topic: name("a"), topic_id: topic_id("a"), partitions }]
    };
    assert_eq!((&one.assignment, &one.target), (&named(&[0, 1, 2, 3]), &named(&[0, 1])));
    assert_eq!((&two.assignment, &two.target), (&vec![], &named(&[2, 3])));
    assert_eq!((one.rack.as_deref(), one.epoch, one.member_type), (Some("r1"), MemberEpoch(1), ConsumerMemberType::Consumer));
    assert_eq!(one.topic_names.iter().map(|name| &**name).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_group_without_members_is_of_the_protocol_that_comes_next() {
    let mut world = world();
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    peer.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    world.commit(commit(vec![offset("a", 0, 7)])).unwrap();
    let (members, generation) = world.stable(1);
    world.check_replay();
    assert_eq!(world.list(&[], &["classic"]).len(), 1);
    world.ask(leave(&[members[0].as_str()]));
    assert!(generation.get() > 0);
    let mut peer = Peer::of("m2");
    assert_eq!(peer.beat(&mut world).unwrap().epoch, MemberEpoch(1));
    world.check_replay();
    assert_eq!(world.list(&[], &["consumer"]).len(), 1);
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 7)], "its offsets stay");
}

#[test]
fn a_group_is_deleted_when_it_has_no_members_and_nothing_is_left_of_it() {
    let mut world = world();
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    let delete = Request::DeleteGroup(GROUP.into());
    assert_eq!(world.ask(delete.clone()), Response::DeleteGroup(Err(GroupError::NonEmptyGroup)));
    peer.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    assert_eq!(world.ask(delete.clone()), Response::DeleteGroup(Ok(())));
    assert_eq!(world.coordinator.group_count(), 0);
    world.check_replay();
    assert_eq!(world.ask(delete), Response::DeleteGroup(Err(GroupError::GroupNotFound { group: group(GROUP) })));
}

#[test]
fn a_group_of_which_only_offsets_are_left_is_of_no_protocol() {
    let mut world = world();
    let mut peer = Peer::of("m1");
    peer.beat(&mut world).unwrap();
    peer.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    world.commit(commit(vec![offset("a", 0, 7)])).unwrap();
    // As a log may be that ends between the last record of one protocol and the first of the other.
    let group = || group(GROUP);
    let records = vec![
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { group: group(), value: None },
        GroupRecord::ConsumerGroupMetadata { group: group(), value: None },
    ];
    world.log.push(Batch { proposal: Proposal::NONE, content: BatchContent::Records(records) });
    world.fail_over();
    let listed = world.list(&[], &[]);
    assert_eq!((listed.len(), listed[0].group_type, &*listed[0].protocol_type), (1, GroupType::Classic, ""));
    assert_eq!(world.offsets().len(), 1);
}
