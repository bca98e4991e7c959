//! What no client should send: Kafka's error each time, and the group unharmed.

use ottla_cluster::group::*;
use ottla_model::{Generation, MemberId};

use crate::harness::*;

#[test]
fn members_of_no_group_are_refused() {
    let mut world = World::new();
    let token = world.send_join(JoinGroup { group: group(""), ..join("") });
    assert_eq!(world.joined(token).result, Err(GroupError::InvalidGroupId));
    let beat = Heartbeat { group: group(""), member: "m".into(), instance: None, generation: Generation(1) };
    assert_eq!(world.ask(Request::Heartbeat(beat)), Response::Heartbeat(Err(GroupError::InvalidGroupId)));
    let request = TxnOffsetCommit { group: group(""), ..transactional(1, 0, vec![]) };
    assert_eq!(world.commit_in_transaction(request), Err(GroupError::InvalidGroupId));
    // Offsets may be kept without a name, as ever.
    assert_eq!(world.commit(OffsetCommit { group: group(""), ..commit(vec![offset("a", 0, 1)]) }), Ok(vec![Ok(())]));
}

#[test]
fn sessions_are_as_long_as_they_may_be() {
    let mut world = World::new();
    for asked_ms in [i32::MIN, -1, 0, 5_999, 1_800_001, i32::MAX] {
        let token = world.send_join(JoinGroup { session_timeout_ms: asked_ms, ..join("") });
        let refused = GroupError::InvalidSessionTimeout { asked_ms, min_ms: 6_000, max_ms: 1_800_000 };
        assert_eq!(world.joined(token).result, Err(refused));
    }
    assert_eq!(world.coordinator.group_count(), 0);
}

#[test]
fn timeouts_beyond_reason_are_waited_for_without_harm() {
    let mut world = World::new();
    for rebalance_timeout_ms in [i32::MIN, -1, i32::MAX] {
        let (_, token) = world.begin_to_join(JoinGroup { rebalance_timeout_ms, ..join("") });
        let _ = token;
    }
    world.pass_ms(100_000);
}

#[test]
fn a_group_is_not_made_by_who_is_refused() {
    let mut world = World::new();
    for request in [
        JoinGroup { protocol_type: text(""), ..join("") },
        JoinGroup { protocols: vec![], ..join("") },
        JoinGroup { protocols: vec![], instance: instance("i"), ..join("") },
    ] {
        let token = world.send_join(request);
        assert_eq!(world.joined(token).result, Err(GroupError::InconsistentProtocol));
    }
    assert_eq!((world.coordinator.group_count(), world.log.len()), (0, 0));
}

#[test]
fn metadata_beyond_what_the_log_takes_is_refused_at_once() {
    let mut world = World::with(GroupConfig { batch_bytes_max: 10_000, ..GroupConfig::default() });
    let huge: Blob = vec![0; 40_001].into();
    let token = world.send_join(JoinGroup { protocols: vec![(text("range"), huge)], ..join("") });
    assert!(matches!(world.joined(token).result, Err(GroupError::TooLarge { max: 40_000, .. })));
    assert_eq!(world.coordinator.group_count(), 0);
}

#[test]
fn an_assignment_beyond_what_the_log_takes_is_told_to_all_and_they_join_again() {
    let mut world = World::with(GroupConfig { batch_bytes_max: 10_000, ..GroupConfig::default() });
    let (one, first) = world.begin_to_join(join(""));
    let (two, second) = world.begin_to_join(join(""));
    world.pass_ms(9_000);
    let joined = world.joined(first).result.unwrap();
    world.joined(second);
    let (leader, other) = if joined.leader == one { (one, two) } else { (two, one) };
    let waiting = world.send(sync(&other, joined.generation, &[]));
    let huge = "x".repeat(10_000);
    let Response::SyncGroup(refused) = world.ask(sync(&leader, joined.generation, &[(&other, &huge)])) else { panic!() };
    assert!(matches!(refused, Err(GroupError::TooLarge { max: 10_000, .. })));
    assert_eq!(world.answer(waiting), Some(Response::SyncGroup(refused)));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    assert_eq!(world.describe().unwrap().last_rebalance.unwrap().reason, RebalanceReason::AssignmentNotStored);
    // With a smaller one they go on.
    let again = [leader, other].map(|id| {
        let token = world.send_join(join(id.as_str()));
        (id, token)
    });
    world.settle(again.into());
    assert_eq!(world.state(), GroupState::Stable);
}

#[test]
fn a_static_member_that_comes_back_with_too_much_is_refused_and_the_old_one_stays() {
    let mut world = World::with(GroupConfig { batch_bytes_max: 10_000, ..GroupConfig::default() });
    let token = world.send_join(JoinGroup { instance: instance("i1"), ..join("") });
    world.pass_ms(3_000);
    let response = world.joined(token);
    let generation = response.result.unwrap().generation;
    world.ask(sync(&response.member, generation, &[(&response.member, "mine")]));
    let huge: Blob = vec![0; 20_000].into();
    let token = world.send_join(JoinGroup { instance: instance("i1"), protocols: vec![(text("range"), huge)], ..join("") });
    assert!(matches!(world.joined(token).result, Err(GroupError::TooLarge { .. })));
    let Response::SyncGroup(Ok(synced)) = world.ask(sync(&response.member, generation, &[])) else { panic!() };
    assert_eq!(synced.assignment, blob("mine"));
    world.check_replay();
}

#[test]
fn generations_and_protocols_that_are_not_the_groups_are_refused() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    for shown in [i32::MIN, -1, 0, 2, i32::MAX] {
        let refused = GroupError::IllegalGeneration { shown, current: generation.get() };
        assert_eq!(world.heartbeat(&members[0], Generation(shown)), Err(refused.clone()));
        assert_eq!(world.ask(sync(&members[0], Generation(shown), &[])), Response::SyncGroup(Err(refused)));
    }
    let of = |protocol_type: Option<&str>, protocol: Option<&str>| {
        Request::SyncGroup(SyncGroup {
            group: group(GROUP),
            member: members[0].clone(),
            instance: None,
            generation,
            protocol_type: protocol_type.map(text),
            protocol: protocol.map(text),
            assignments: vec![],
        })
    };
    let inconsistent = Response::SyncGroup(Err(GroupError::InconsistentProtocol));
    assert_eq!(world.ask(of(Some("connect"), Some("range"))), inconsistent);
    assert_eq!(world.ask(of(Some("consumer"), Some("sticky"))), inconsistent);
    assert!(matches!(world.ask(of(Some("consumer"), Some("range"))), Response::SyncGroup(Ok(_))));
}

#[test]
fn instances_that_nobody_has_are_unknown() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let beat = Heartbeat { group: group(GROUP), member: members[0].clone(), instance: instance("i9"), generation };
    let unknown = GroupError::UnknownInstance { instance: "i9".into() };
    assert_eq!(world.ask(Request::Heartbeat(beat)), Response::Heartbeat(Err(unknown.clone())));
    let token = world.send_join(JoinGroup { instance: instance("i9"), ..join(members[0].as_str()) });
    assert_eq!(world.joined(token).result, Err(unknown));
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
}

#[test]
fn protocols_named_twice_are_one() {
    let mut world = World::new();
    let twice = vec![(text("range"), blob("1")), (text("range"), blob("2"))];
    let (one, first) = world.begin_to_join(JoinGroup { protocols: twice, ..join("") });
    let (_, second) = world.begin_to_join(join(""));
    world.pass_ms(9_000);
    assert_eq!(world.joined(first).result.unwrap().protocol, Some(text("range")));
    assert!(world.joined(second).result.is_ok());
    world.ask(leave(&[one.as_str()]));
    assert_eq!(world.describe().unwrap().members.len(), 1);
}

#[test]
fn a_leave_of_nobody_does_nothing() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    assert_eq!(world.ask(leave(&[])), Response::LeaveGroup(Ok(vec![])));
    let Response::LeaveGroup(Ok(left)) = world.ask(leave(&[""])) else { panic!() };
    assert_eq!(left[0].result, Err(GroupError::UnknownMember { member: MemberId::new("") }));
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
}
