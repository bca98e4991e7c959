//! Dynamic members of classic groups.

use ottla_cluster::group::*;
use ottla_model::{Generation, MemberId};

use crate::harness::*;

#[test]
fn a_new_member_must_join_again_under_the_id_it_gets() {
    let mut world = World::new();
    let (id, token) = world.begin_to_join(join(""));
    assert!(id.as_str().starts_with("c-"), "{id}");
    assert_eq!(world.answer(token), None, "it waits for others");
    world.pass_ms(2_999);
    assert_eq!(world.answer(token), None);
    world.pass_ms(1);
    let joined = world.joined(token).result.unwrap();
    assert_eq!((joined.generation, joined.leader.clone()), (Generation(1), id.clone()));
    assert_eq!((joined.protocol_type, joined.protocol), (Some(text("consumer")), Some(text("range"))));
    assert_eq!(joined.members, [JoinedMember { member: id, instance: None, metadata: subscription(&["a"], &[]) }]);
}

#[test]
fn older_clients_join_at_once() {
    let mut world = World::new();
    let token = world.send_join(JoinGroup { member_id_required: false, ..join("") });
    assert_eq!(world.answer(token), None);
    world.pass_ms(3_000);
    assert!(world.joined(token).result.is_ok());
}

#[test]
fn the_first_rebalance_waits_on_as_long_as_members_come() {
    let mut world = World::new();
    let (_, first) = world.begin_to_join(join(""));
    world.pass_ms(2_000);
    let (_, second) = world.begin_to_join(join(""));
    // The second came within the first 3 s, so that there are 3 s more.
    world.pass_ms(3_999);
    assert_eq!(world.answer(first), None);
    world.pass_ms(1);
    assert!(world.joined(first).result.is_ok());
    assert!(world.joined(second).result.is_ok());
}

#[test]
fn the_first_rebalance_ends_with_the_rebalance_timeout_even_if_members_still_come() {
    let mut world = World::new();
    let (_, first) = world.begin_to_join(JoinGroup { rebalance_timeout_ms: 7_000, ..join("") });
    for _ in 0..6 {
        world.pass_ms(1_000);
        world.begin_to_join(JoinGroup { rebalance_timeout_ms: 7_000, ..join("") });
    }
    world.pass_ms(1_000);
    assert!(world.joined(first).result.is_ok());
}

#[test]
fn members_get_what_the_leader_assigned_and_who_was_forgotten_nothing() {
    let mut world = World::new();
    let (members, generation) = world.stable(3);
    assert_eq!(generation, Generation(1));
    let described = world.describe().unwrap();
    assert_eq!((described.state, described.protocol), (GroupState::Stable, Some(text("range"))));
    for (index, id) in members.iter().enumerate() {
        let member = described.members.iter().find(|member| member.member == *id).unwrap();
        assert_eq!(member.assignment, blob(&index.to_string()));
        assert_eq!(member.metadata, subscription(&["a"], &[]));
    }
    // Asked again, the same is answered.
    let Response::SyncGroup(Ok(synced)) = world.ask(sync(&members[1], generation, &[])) else { panic!() };
    assert_eq!(synced.assignment, blob("1"));
    world.check_replay();
}

#[test]
fn a_leader_that_forgets_a_member_leaves_it_with_nothing() {
    let mut world = World::new();
    let (one, first) = world.begin_to_join(join(""));
    let (two, second) = world.begin_to_join(join(""));
    world.pass_ms(9_000);
    let generation = world.joined(first).result.unwrap().generation;
    let leader = world.joined(second).result.unwrap().leader;
    let follower = if leader == one { two } else { one };
    let waiting = world.send(sync(&follower, generation, &[]));
    world.ask(sync(&leader, generation, &[(&leader, "x"), (&"stranger".into(), "y")]));
    let Some(Response::SyncGroup(Ok(synced))) = world.answer(waiting) else { panic!() };
    assert_eq!(synced.assignment, blob(""));
}

#[test]
fn a_new_member_makes_the_others_join_again() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let (third, third_token) = world.begin_to_join(join(""));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::RebalanceInProgress));
    let Response::SyncGroup(refused) = world.ask(sync(&members[0], generation, &[])) else { panic!() };
    assert_eq!(refused, Err(GroupError::RebalanceInProgress));
    let first = world.send_join(join(members[0].as_str()));
    assert_eq!(world.answer(third_token), None);
    let second = world.send_join(join(members[1].as_str()));
    let all = vec![(members[0].clone(), first), (members[1].clone(), second), (third, third_token)];
    let (_, next) = world.settle(all);
    assert_eq!(next, Generation(2));
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::IllegalGeneration { shown: 1, current: 2 }));
    assert_eq!(world.heartbeat(&members[0], next), Ok(()));
    world.check_replay();
}

#[test]
fn who_does_not_join_again_in_time_is_gone() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let (third, third_token) = world.begin_to_join(join(""));
    let first = world.send_join(join(members[0].as_str()));
    // The second sends heartbeats, but does not join.
    for _ in 0..12 {
        world.pass_ms(5_000);
        let _ = world.heartbeat(&members[1], generation);
    }
    let (left, _) = world.settle(vec![(members[0].clone(), first), (third, third_token)]);
    assert_eq!(world.describe().unwrap().members.len(), left.len());
    assert_eq!(world.heartbeat(&members[1], generation), Err(GroupError::UnknownMember { member: members[1].clone() }));
}

#[test]
fn who_is_silent_for_its_session_is_gone_and_told_why() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    for _ in 0..3 {
        world.pass_ms(3_000);
        assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    }
    world.pass_ms(1_000);
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let last = world.describe().unwrap().last_rebalance.unwrap();
    assert_eq!((last.reason, last.member, last.duration_ms), (RebalanceReason::SessionExpired, Some(members[1].clone()), None));
    let token = world.send_join(join(members[0].as_str()));
    world.settle(vec![(members[0].clone(), token)]);
    assert_eq!(world.describe().unwrap().last_rebalance.unwrap().duration_ms, Some(0));
}

#[test]
fn who_does_not_ask_for_its_assignment_in_time_is_gone() {
    let mut world = World::new();
    let (one, first) = world.begin_to_join(join(""));
    let (two, _) = world.begin_to_join(join(""));
    world.pass_ms(9_000);
    let joined = world.joined(first).result.unwrap();
    let (leader, other) = if joined.leader == one { (one, two) } else { (two, one) };
    world.ask(sync(&leader, joined.generation, &[]));
    assert_eq!(world.state(), GroupState::Stable);
    for _ in 0..12 {
        world.pass_ms(5_000);
        let _ = world.heartbeat(&leader, joined.generation);
        let _ = world.heartbeat(&other, joined.generation);
    }
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let last = world.describe().unwrap().last_rebalance.unwrap();
    assert_eq!((last.reason, last.member), (RebalanceReason::RebalanceTimeout, Some(other.clone())));
    assert!(world.heartbeat(&other, joined.generation).is_err());
}

#[test]
fn an_id_that_nobody_joins_with_is_forgotten_and_holds_nobody_up() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let token = world.send_join(join(""));
    assert!(world.joined(token).result.is_err());
    let (_, joining) = world.begin_to_join(join(""));
    let rejoining = world.send_join(join(members[0].as_str()));
    assert_eq!(world.answer(rejoining), None, "the one that was given an id may still come");
    world.pass_ms(10_000);
    assert!(world.joined(rejoining).result.is_ok());
    assert!(world.joined(joining).result.is_ok());
    let _ = generation;
}

#[test]
fn a_leader_that_joins_again_makes_a_rebalance_and_a_follower_with_the_same_metadata_does_not() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let leader_of = |world: &mut World| {
        let token = world.send_join(join(members[1].as_str()));
        world.joined(token).result
    };
    // One of the two is the follower.
    let (leader, follower) = match leader_of(&mut world) {
        Ok(joined) => (joined.leader, members[1].clone()),
        Err(_) => panic!("a stable member is answered"),
    };
    assert_eq!(leader, members[0]);
    assert_eq!(world.state(), GroupState::Stable);
    assert_eq!(world.heartbeat(&follower, generation), Ok(()));
    world.send_join(JoinGroup { reason: Some(text("new partitions")), ..join(leader.as_str()) });
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let last = world.describe().unwrap().last_rebalance.unwrap();
    assert_eq!(last.reason, RebalanceReason::LeaderRejoined { said: Some(text("new partitions")) });
}

#[test]
fn a_follower_that_subscribes_to_something_else_makes_a_rebalance() {
    let mut world = World::new();
    let (members, _) = world.stable(2);
    world.send_join(JoinGroup { protocols: vec![(text("range"), subscription(&["a", "b"], &[]))], ..join(members[1].as_str()) });
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_join_whose_answer_was_lost_is_answered_again_before_the_leader_has_assigned() {
    let mut world = World::new();
    let (one, first) = world.begin_to_join(join(""));
    world.pass_ms(3_000);
    let joined = world.joined(first).result.unwrap();
    let again = world.send_join(join(one.as_str()));
    assert_eq!(world.joined(again).result.unwrap(), joined);
}

#[test]
fn a_request_that_was_given_up_and_sent_again_leaves_nobody_waiting() {
    let mut world = World::new();
    let (one, first) = world.begin_to_join(join(""));
    let again = world.send_join(join(one.as_str()));
    assert_eq!(world.joined(first).result, Err(GroupError::RebalanceInProgress));
    let (_, second) = world.begin_to_join(join(""));
    world.pass_ms(9_000);
    let joined = world.joined(again).result.unwrap();
    let follower = world.joined(second);
    let follower = if joined.leader == one { follower.member } else { one };
    let waiting = world.send(sync(&follower, joined.generation, &[]));
    let waiting_again = world.send(sync(&follower, joined.generation, &[]));
    assert_eq!(world.answer(waiting), Some(Response::SyncGroup(Err(GroupError::RebalanceInProgress))));
    world.ask(sync(&joined.leader, joined.generation, &[]));
    assert!(matches!(world.answer(waiting_again), Some(Response::SyncGroup(Ok(_)))));
}

#[test]
fn members_that_leave_make_a_rebalance_and_the_last_leaves_an_empty_group() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let Response::LeaveGroup(Ok(left)) = world.ask(leave(&[members[1].as_str(), "nobody"])) else { panic!() };
    assert_eq!(left[0].result, Ok(()));
    assert_eq!(left[1].result, Err(GroupError::UnknownMember { member: "nobody".into() }));
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::RebalanceInProgress));
    world.ask(leave(&[members[0].as_str()]));
    let described = world.describe().unwrap();
    assert_eq!((described.state, described.members.len(), &*described.protocol_type), (GroupState::Empty, 0, "consumer"));
    world.check_replay();
}

#[test]
fn a_member_that_leaves_while_it_waits_is_answered() {
    let mut world = World::new();
    let (members, _) = world.stable(2);
    let waiting = world.send_join(JoinGroup { protocols: vec![(text("range"), blob("other"))], ..join(members[1].as_str()) });
    world.ask(leave(&[members[1].as_str()]));
    let answered = world.joined(waiting);
    assert_eq!(answered.member, "".into());
    assert_eq!(answered.result, Err(GroupError::UnknownMember { member: members[1].clone() }));
}

#[test]
fn the_protocol_that_all_speak_and_most_prefer_is_chosen() {
    let mut world = World::new();
    let with =
        |names: &[&str]| JoinGroup { protocols: names.iter().map(|name| (text(name), subscription(&["a"], &[]))).collect(), ..join("") };
    let (_, first) = world.begin_to_join(with(&["range", "sticky", "mine"]));
    let (_, second) = world.begin_to_join(with(&["sticky", "range"]));
    let (_, third) = world.begin_to_join(with(&["sticky", "range"]));
    world.pass_ms(20_000);
    for token in [first, second, third] {
        assert_eq!(world.joined(token).result.unwrap().protocol, Some(text("sticky")));
    }
}

#[test]
fn who_shares_no_protocol_with_all_others_is_refused_and_the_group_unharmed() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    for request in [
        JoinGroup { protocols: vec![(text("mine"), blob(""))], ..join("") },
        JoinGroup { protocol_type: text("connect"), ..join("") },
        JoinGroup { protocols: vec![], ..join("") },
        JoinGroup { protocols: vec![(text("mine"), blob(""))], ..join(members[0].as_str()) },
    ] {
        let token = world.send_join(request);
        assert_eq!(world.joined(token).result, Err(GroupError::InconsistentProtocol));
    }
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
}

#[test]
fn a_group_takes_no_more_members_than_it_may_have() {
    let mut world = World::with(GroupConfig { classic_members_max: 2, ..GroupConfig::default() });
    let (members, generation) = world.stable(2);
    let token = world.send_join(join(""));
    assert_eq!(world.joined(token).result, Err(GroupError::GroupFull { max: 2 }));
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    world.ask(leave(&[members[1].as_str()]));
    let (_, waiting) = world.begin_to_join(join(""));
    let rejoined = world.send_join(join(members[0].as_str()));
    assert!(world.joined(waiting).result.is_ok());
    assert!(world.joined(rejoined).result.is_ok());
}

#[test]
fn a_group_found_over_its_size_turns_away_those_that_come_last() {
    let mut world = World::new();
    let (members, _) = world.stable(3);
    world.config.classic_members_max = 2;
    world.fail_over();
    assert_eq!(world.describe().unwrap().last_rebalance.unwrap().reason, RebalanceReason::OverCapacity);
    let first = world.send_join(join(members[0].as_str()));
    let second = world.send_join(join(members[1].as_str()));
    let third = world.send_join(join(members[2].as_str()));
    assert_eq!(world.joined(third).result, Err(GroupError::GroupFull { max: 2 }));
    world.pass_ms(60_000);
    let _ = (world.joined(first), world.joined(second));
}

#[test]
fn members_go_on_after_the_coordinator_was_lost() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    world.fail_over();
    assert_eq!(world.state(), GroupState::Stable);
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    let Response::SyncGroup(Ok(synced)) = world.ask(sync(&members[1], generation, &[])) else { panic!() };
    assert_eq!(synced.assignment, blob("1"));
    // Who has gone meanwhile is missed from now on.
    world.pass_ms(9_999);
    assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    world.pass_ms(1);
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn who_waits_when_the_coordinator_is_lost_is_told_to_look_for_another() {
    let mut world = World::new();
    let (one, first) = world.begin_to_join(join(""));
    world.fail_over();
    assert_eq!(world.joined(first), JoinGroupResponse { member: one.clone(), result: Err(GroupError::NotCoordinator) });
    // Its id was not in the log: it begins anew.
    let token = world.send_join(join(one.as_str()));
    assert_eq!(world.joined(token).result, Err(GroupError::UnknownMember { member: one }));
}

#[test]
fn an_answer_leaves_after_what_it_tells_of_is_committed() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let written = world.log.last().unwrap().proposal;
    let token = world.send(heartbeat(&members[0], generation));
    assert_eq!(world.waits_for(token), written, "a heartbeat tells that the group is stable");
    let token = world.send(Request::DescribeGroup(group("another")));
    assert_eq!(world.waits_for(token), Proposal::NONE, "another group waits for nothing");
    world.ask(leave(&[members[0].as_str()]));
    world.ask(Request::DeleteGroup(group(GROUP)));
    let gone = world.log.last().unwrap().proposal;
    let token = world.send(Request::DescribeGroup(group(GROUP)));
    assert_eq!(world.waits_for(token), gone, "that there is no group is true when its end is committed");
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = World::new();
    world.stable(1);
    world.commit(OffsetCommit { group: group("offsets only"), ..commit(vec![offset("a", 0, 1)]) }).unwrap();
    let names = |listed: Vec<ListedGroup>| listed.iter().map(|listed| (listed.group.to_string(), listed.state.name())).collect::<Vec<_>>();
    let (stable, empty) = ((GROUP.to_owned(), "Stable"), ("offsets only".to_owned(), "Empty"));
    assert_eq!(names(world.list(&[], &[])), [stable.clone(), empty.clone()]);
    assert_eq!(names(world.list(&["stable", "Nonsense"], &[])), [stable]);
    assert_eq!(names(world.list(&[" EMPTY"], &["Classic"])), [empty]);
    assert_eq!(names(world.list(&[], &["consumer"])), []);
    assert_eq!(names(world.list(&["Nonsense"], &[])), []);
}

#[test]
fn a_group_with_members_is_not_deleted() {
    let mut world = World::new();
    let (members, _) = world.stable(1);
    assert_eq!(world.ask(Request::DeleteGroup(group(GROUP))), Response::DeleteGroup(Err(GroupError::NonEmptyGroup)));
    world.ask(leave(&[members[0].as_str()]));
    assert_eq!(world.ask(Request::DeleteGroup(group(GROUP))), Response::DeleteGroup(Ok(())));
    assert_eq!(world.describe(), Err(GroupError::GroupNotFound { group: group(GROUP) }));
    let not_found = Err(GroupError::GroupNotFound { group: group(GROUP) });
    assert_eq!(world.ask(Request::DeleteGroup(group(GROUP))), Response::DeleteGroup(not_found));
    world.check_replay();
    assert_eq!(world.coordinator.group_count(), 0);
}

#[test]
fn an_id_given_to_a_member_of_a_new_group_is_asked_for_where_the_group_is_known() {
    let mut world = World::new();
    let token = world.send_join(join(""));
    assert!(world.waits_for(token) > Proposal::NONE, "the group is in the log before its first member hears of its id");
    let GroupRecord::GroupMetadata { value: Some(value), .. } = &world.records()[0] else { panic!() };
    assert_eq!((value.members.len(), &*value.protocol_type, value.generation), (0, "", Generation(0)));
}

#[test]
fn requests_to_a_group_that_is_not_there_are_of_unknown_members() {
    let mut world = World::new();
    let id: MemberId = "m".into();
    let unknown = || GroupError::UnknownMember { member: "m".into() };
    let token = world.send_join(join("m"));
    assert_eq!(world.joined(token).result, Err(unknown()));
    assert_eq!(world.heartbeat(&id, Generation(1)), Err(unknown()));
    assert_eq!(world.ask(sync(&id, Generation(1), &[])), Response::SyncGroup(Err(unknown())));
    assert_eq!(world.ask(leave(&["m"])), Response::LeaveGroup(Err(unknown())));
    assert_eq!(world.coordinator.group_count(), 0);
    assert_eq!(world.log, []);
}
