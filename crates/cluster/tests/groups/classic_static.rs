//! Static members of classic groups (KIP-345, KIP-814).

use ottla_cluster::group::*;
use ottla_model::{Generation, MemberId};

use crate::harness::*;

fn static_join(member: &str, of: &str) -> JoinGroup {
    JoinGroup { instance: instance(of), ..join(member) }
}

/// Two static members, stable; the leader first.
fn stable_statics(world: &mut World) -> (Vec<(MemberId, &'static str)>, Generation) {
    let first = world.send_join(static_join("", "i1"));
    let second = world.send_join(static_join("", "i2"));
    world.pass_ms(9_000);
    let (first, second) = (world.joined(first), world.joined(second));
    let (one, two) = (first.member.clone(), second.member.clone());
    let joined = first.result.unwrap();
    let ordered = if joined.leader == one { [(one, "i1"), (two, "i2")] } else { [(two, "i2"), (one, "i1")] };
    world.ask(sync(&ordered[0].0, joined.generation, &[(&ordered[0].0, "0"), (&ordered[1].0, "1")]));
    world.ask(sync(&ordered[1].0, joined.generation, &[]));
    (ordered.into(), joined.generation)
}

#[test]
fn a_static_member_joins_at_once_and_its_id_tells_its_instance() {
    let mut world = World::new();
    let token = world.send_join(static_join("", "i1"));
    world.pass_ms(3_000);
    assert!(world.joined(token).member.as_str().starts_with("i1-"));
}

#[test]
fn a_process_that_takes_a_followers_place_gets_its_assignment_without_a_rebalance() {
    let mut world = World::new();
    let (members, generation) = stable_statics(&mut world);
    let (old, of) = &members[1];
    let token = world.send_join(static_join("", of));
    let response = world.joined(token);
    let new = response.member;
    let joined = response.result.unwrap();
    assert_ne!(new, *old);
    assert_eq!((joined.generation, joined.leader, joined.members.len()), (generation, members[0].0.clone(), 0));
    assert!(!joined.skip_assignment);
    assert_eq!(world.state(), GroupState::Stable);
    let Response::SyncGroup(Ok(synced)) = world.ask(sync(&new, generation, &[])) else { panic!() };
    assert_eq!(synced.assignment, blob("1"));
    world.check_replay();
    // Also after the coordinator is lost the old process is fenced.
    world.fail_over();
    let fenced = GroupError::FencedInstance { instance: (*of).into(), shown: old.clone(), owner: new.clone() };
    let beat = Heartbeat { group: group(GROUP), member: old.clone(), instance: instance(of), generation };
    assert_eq!(world.ask(Request::Heartbeat(beat)), Response::Heartbeat(Err(fenced)));
}

#[test]
fn a_process_that_takes_the_leaders_place_is_told_to_keep_the_assignment() {
    let mut world = World::new();
    let (members, generation) = stable_statics(&mut world);
    let token = world.send_join(static_join("", members[0].1));
    let response = world.joined(token);
    let joined = response.result.unwrap();
    assert_eq!((joined.leader, joined.generation), (response.member, generation));
    assert!(joined.skip_assignment);
    assert_eq!(joined.members.len(), 2);
    assert_eq!(world.state(), GroupState::Stable);
}

#[test]
fn an_older_process_that_takes_the_leaders_place_is_not_told_that_it_leads() {
    let mut world = World::new();
    let (members, _) = stable_statics(&mut world);
    let token = world.send_join(JoinGroup { can_skip_assignment: false, ..static_join("", members[0].1) });
    let joined = world.joined(token).result.unwrap();
    assert_eq!((joined.leader, joined.members.len()), (members[0].0.clone(), 0));
}

#[test]
fn a_process_that_prefers_another_protocol_makes_a_rebalance_when_that_changes_the_choice() {
    let mut world = World::new();
    let both = |first: &str, second: &str| vec![(text(first), subscription(&["a"], &[])), (text(second), subscription(&["a"], &[]))];
    let token = world.send_join(JoinGroup { protocols: both("range", "sticky"), ..static_join("", "i1") });
    world.pass_ms(3_000);
    let response = world.joined(token);
    world.ask(sync(&response.member, response.result.unwrap().generation, &[]));
    let token = world.send_join(JoinGroup { protocols: both("sticky", "range"), ..static_join("", "i1") });
    let joined = world.joined(token).result.unwrap();
    assert_eq!((joined.generation, joined.protocol), (Generation(2), Some(text("sticky"))));
    let last = world.describe().unwrap().last_rebalance.unwrap();
    assert_eq!(last.reason, RebalanceReason::StaticMemberReplaced { instance: "i1".into() });
}

#[test]
fn a_process_that_takes_a_place_while_the_leader_assigns_makes_it_assign_anew() {
    let mut world = World::new();
    let first = world.send_join(static_join("", "i1"));
    let second = world.send_join(static_join("", "i2"));
    world.pass_ms(9_000);
    let (first, _) = (world.joined(first), world.joined(second));
    let waiting = {
        let request = SyncGroup {
            group: group(GROUP),
            member: first.member.clone(),
            instance: instance("i1"),
            generation: Generation(1),
            protocol_type: None,
            protocol: None,
            assignments: vec![],
        };
        let leads = first.result.as_ref().unwrap().leader == first.member;
        (!leads).then(|| world.send(Request::SyncGroup(request)))
    };
    let token = world.send_join(static_join("", "i1"));
    if let Some(waiting) = waiting {
        let Some(Response::SyncGroup(Err(GroupError::FencedInstance { shown, .. }))) = world.answer(waiting) else { panic!() };
        assert_eq!(shown, first.member);
    }
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    assert_eq!(world.answer(token), None);
}

#[test]
fn a_process_whose_join_waits_is_fenced_by_the_next_of_its_name() {
    let mut world = World::new();
    let first = world.send_join(static_join("", "i1"));
    let second = world.send_join(static_join("", "i1"));
    let fenced = world.joined(first);
    assert!(matches!(fenced.result, Err(GroupError::FencedInstance { .. })));
    world.pass_ms(6_000);
    let joined = world.joined(second).result.unwrap();
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn a_static_member_stays_through_a_rebalance_that_it_misses_until_its_session_ends() {
    let mut world = World::new();
    let (members, generation) = stable_statics(&mut world);
    let (follower, of) = &members[1];
    // The leader joins again, and the follower does not.
    let token = world.send_join(static_join(members[0].0.as_str(), members[0].1));
    let beat = Heartbeat { group: group(GROUP), member: follower.clone(), instance: instance(of), generation };
    for _ in 0..12 {
        world.pass_ms(5_000);
        world.ask(Request::Heartbeat(beat.clone()));
    }
    let joined = world.joined(token).result.unwrap();
    assert_eq!(joined.members.len(), 2, "it keeps its place");
    world.pass_ms(5_000);
    let leader =
        Heartbeat { group: group(GROUP), member: members[0].0.clone(), instance: instance(members[0].1), generation: joined.generation };
    world.ask(Request::Heartbeat(leader));
    world.pass_ms(5_000);
    assert_eq!(world.describe().unwrap().members.len(), 1);
}

#[test]
fn a_rebalance_that_no_static_member_joins_waits_on() {
    let mut world = World::new();
    let (members, generation) = stable_statics(&mut world);
    let (third, _) = world.begin_to_join(join(""));
    world.ask(leave(&[third.as_str()]));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    for _ in 0..20 {
        world.pass_ms(5_000);
        for (id, of) in &members {
            let beat = Heartbeat { group: group(GROUP), member: id.clone(), instance: instance(of), generation };
            assert_eq!(world.ask(Request::Heartbeat(beat)), Response::Heartbeat(Err(GroupError::RebalanceInProgress)));
        }
    }
    assert_eq!(world.describe().unwrap().members.len(), 2);
}

#[test]
fn an_administrator_removes_static_members_by_their_names() {
    let mut world = World::new();
    let (members, _) = stable_statics(&mut world);
    let leaving =
        |member: &str, of: &str| LeavingMember { member: member.into(), instance: instance(of), reason: Some(text("scaled down")) };
    let request = LeaveGroup {
        group: group(GROUP),
        members: vec![leaving("", "i1"), leaving("", "i9"), leaving("someone", "i2"), leaving(members[1].0.as_str(), members[1].1)],
    };
    let Response::LeaveGroup(Ok(left)) = world.ask(Request::LeaveGroup(request)) else { panic!() };
    assert_eq!(left[0].result, Ok(()));
    assert_eq!(left[1].result, Err(GroupError::UnknownInstance { instance: "i9".into() }));
    assert!(matches!(left[2].result, Err(GroupError::FencedInstance { .. })));
    let last = world.describe().unwrap().last_rebalance.unwrap();
    assert_eq!(last.reason, RebalanceReason::MemberLeft { said: Some(text("scaled down")) });
}
