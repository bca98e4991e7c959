//! Static members of consumer groups (KIP-345): a process restarts, and nothing moves.

use ottla_cluster::group::*;
use ottla_model::MemberEpoch;

use crate::consumer_harness::*;
use crate::harness::*;

fn peer(member: &str, instance_id: &str) -> Peer {
    Peer::new(ConsumerGroupHeartbeat { instance: instance(instance_id), ..joining(member) })
}

fn world() -> (World, [Peer; 2]) {
    let mut world = World::with(at_once());
    let mut peers = [peer("m1", "i1"), peer("m2", "i2")];
    world.settle_peers(&mut peers);
    (world, peers)
}

#[test]
fn a_member_that_comes_back_has_what_it_had_and_no_other_member_notices() {
    let (mut world, [mut one, mut two]) = world();
    let epoch = world.describe_consumer().unwrap().epoch;
    let left = one.leave(&mut world, MemberEpoch::LEAVE_STATIC).unwrap();
    assert_eq!((left.epoch, left.assignment), (MemberEpoch::LEAVE_STATIC, None));
    assert_eq!(two.beat(&mut world).unwrap().assignment, None, "its partitions are kept for it");
    let mut again = peer("m3", "i1");
    again.beat(&mut world).unwrap();
    assert_eq!((again.owned.clone(), again.epoch), (one.owned.clone(), one.epoch));
    let described = world.describe_consumer().unwrap();
    assert_eq!((described.epoch, described.state, described.members.len()), (epoch, GroupState::Stable, 2));
    assert_eq!(two.beat(&mut world).unwrap().assignment, None);
    world.check_replay();
    // Its session is its own, not that of the process before.
    for _ in 0..12 {
        world.pass_ms(5_000);
        again.beat(&mut world).unwrap();
        two.beat(&mut world).unwrap();
    }
}

#[test]
fn an_instance_that_is_in_use_is_not_released() {
    let (mut world, [mut one, _]) = world();
    let taken = GroupError::UnreleasedInstance { instance: "i1".into(), owner: "m1".into() };
    assert_eq!(peer("m3", "i1").beat(&mut world), Err(taken));
    assert!(one.beat(&mut world).is_ok());
    world.check_replay();
}

#[test]
fn the_process_before_is_fenced() {
    let (mut world, [mut one, _]) = world();
    one.leave(&mut world, MemberEpoch::LEAVE_STATIC).unwrap();
    peer("m3", "i1").beat(&mut world).unwrap();
    let fenced = GroupError::FencedInstance { instance: "i1".into(), shown: "m1".into(), owner: "m3".into() };
    assert_eq!(one.beat(&mut world), Err(fenced.clone()));
    assert_eq!(one.leave(&mut world, MemberEpoch::LEAVE), Err(fenced));
}

#[test]
fn one_that_left_for_a_while_and_shows_its_old_epoch_begins_anew() {
    let (mut world, [mut one, _]) = world();
    one.leave(&mut world, MemberEpoch::LEAVE_STATIC).unwrap();
    let shown = one.epoch.get();
    assert_eq!(one.beat(&mut world), Err(GroupError::FencedMemberEpoch { shown, current: -2 }));
    let had = std::mem::replace(&mut one, peer("m1", "i1"));
    one.beat(&mut world).unwrap();
    assert_eq!(one.owned, had.owned);
}

#[test]
fn one_that_does_not_come_back_is_gone_with_its_session() {
    let (mut world, [mut one, mut two]) = world();
    one.leave(&mut world, MemberEpoch::LEAVE_STATIC).unwrap();
    for _ in 0..10 {
        world.pass_ms(5_000);
        two.beat(&mut world).unwrap();
    }
    assert_eq!(two.owned.len(), 4);
    let unknown = GroupError::UnknownInstance { instance: "i1".into() };
    assert_eq!(one.leave(&mut world, MemberEpoch::LEAVE), Err(unknown));
    world.check_replay();
}

#[test]
fn one_that_leaves_for_good_is_gone_at_once() {
    let (mut world, [mut one, mut two]) = world();
    one.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    two.beat(&mut world).unwrap();
    assert_eq!(two.owned.len(), 4);
}

#[test]
fn one_that_was_to_give_up_when_it_left_gives_up_by_leaving() {
    let mut world = World::with(at_once());
    let (mut one, mut two) = (peer("m1", "i1"), peer("m2", "i2"));
    one.beat(&mut world).unwrap();
    two.beat(&mut world).unwrap();
    world.consumer_heartbeat(one.request()).unwrap();
    one.leave(&mut world, MemberEpoch::LEAVE_STATIC).unwrap();
    two.beat(&mut world).unwrap();
    assert_eq!(two.owned, parts("a", &[2, 3]));
    let mut again = peer("m3", "i1");
    again.beat(&mut world).unwrap();
    assert_eq!(again.owned, parts("a", &[0, 1]));
    assert_eq!(world.consumer_state(), GroupState::Stable);
    world.check_replay();
}

#[test]
fn a_restart_is_over_a_move_of_the_coordinator() {
    let (mut world, [mut one, two]) = world();
    one.leave(&mut world, MemberEpoch::LEAVE_STATIC).unwrap();
    world.fail_over();
    let mut again = peer("m3", "i1");
    again.beat(&mut world).unwrap();
    assert_eq!(again.owned, one.owned);
    check_owners(&[again, two]);
}
