//! Members that subscribe by a regular expression.

use ottla_cluster::group::*;
use ottla_model::MemberEpoch;

use crate::consumer_harness::*;
use crate::harness::*;

fn peer(member: &str, regex: &str) -> Peer {
    Peer::new(ConsumerGroupHeartbeat { topic_names: None, topic_regex: Some(regex.into()), ..joining(member) })
}

fn world() -> World {
    let mut world = World::with(at_once());
    world.set_topics(2, &[("a1", 1), ("a2", 1), ("b1", 1)]);
    world
}

fn topics(peer: &Peer) -> Vec<String> {
    let name = |topic| ["a1", "a2", "a3", "b1"].into_iter().find(|name| topic_id(name) == topic).unwrap().to_owned();
    peer.owned.topics().map(|(topic, _)| name(topic)).collect()
}

fn resolutions(world: &World) -> usize {
    world.records().iter().filter(|record| matches!(record, GroupRecord::ConsumerGroupRegularExpression { .. })).count()
}

#[test]
fn a_member_has_what_matches_with_its_first_answer() {
    let mut world = world();
    let mut one = peer("m1", "a.");
    assert_eq!(one.beat(&mut world).unwrap().epoch, MemberEpoch(1));
    assert_eq!(topics(&one), ["a1", "a2"]);
    assert_eq!(world.describe_consumer().unwrap().members[0].topic_regex.as_deref(), Some("a."));
    world.check_replay();
}

#[test]
fn an_expression_and_names_add_up() {
    let mut world = world();
    let mut one = Peer::new(ConsumerGroupHeartbeat { topic_names: Some(vec!["b1".into()]), ..peer("m1", "a1").join });
    one.beat(&mut world).unwrap();
    assert_eq!(topics(&one), ["a1", "b1"]);
}

#[test]
fn what_is_no_expression_is_refused_and_changes_nothing() {
    let mut world = world();
    let refused = peer("m1", "a(").beat(&mut world);
    assert!(matches!(refused, Err(GroupError::InvalidRegularExpression { .. })), "{refused:?}");
    assert_eq!((world.coordinator.group_count(), world.log.len()), (0, 0));
    let mut one = peer("m1", "a.");
    one.beat(&mut world).unwrap();
    let before = world.coordinator.settled_records();
    let refused = world.consumer_heartbeat(ConsumerGroupHeartbeat { topic_regex: Some("[".into()), ..one.request() });
    assert!(matches!(refused, Err(GroupError::InvalidRegularExpression { .. })), "{refused:?}");
    assert_eq!(world.coordinator.settled_records(), before);
    assert!(one.beat(&mut world).is_ok());
}

#[test]
fn new_topics_are_found_with_the_next_heartbeat_but_not_every_moment() {
    let mut world = world();
    let mut one = peer("m1", "a.");
    one.beat(&mut world).unwrap();
    world.set_topics(3, &[("a1", 1), ("a2", 1), ("a3", 1), ("b1", 1)]);
    one.beat(&mut world).unwrap();
    assert_eq!(topics(&one).len(), 2, "it was resolved but now");
    world.pass_ms(9_999);
    one.beat(&mut world).unwrap();
    assert_eq!(topics(&one).len(), 2);
    world.pass_ms(1);
    assert_eq!(one.beat(&mut world).unwrap().epoch, MemberEpoch(2));
    assert_eq!(topics(&one), ["a1", "a2", "a3"]);
    // One that is gone is gone at once: it is known by name.
    world.set_topics(4, &[("a1", 1), ("a3", 1), ("b1", 1)]);
    one.beat(&mut world).unwrap();
    assert_eq!((topics(&one), one.beat(&mut world).unwrap().epoch), (vec!["a1".to_owned(), "a3".to_owned()], MemberEpoch(3)));
    // And found to be gone without a second rebalance.
    world.pass_ms(10_000);
    assert_eq!(one.beat(&mut world).unwrap().epoch, MemberEpoch(3));
    world.check_replay();
}

#[test]
fn topics_that_do_not_match_make_no_difference() {
    let mut world = world();
    let mut one = peer("m1", "a.");
    one.beat(&mut world).unwrap();
    world.set_topics(3, &[("a1", 1), ("a2", 1)]);
    world.pass_ms(10_000);
    assert_eq!(one.beat(&mut world).unwrap().epoch, MemberEpoch(1));
}

#[test]
fn expressions_are_resolved_anew_every_ten_minutes_and_no_more_often() {
    let mut world = world();
    let mut one = peer("m1", "a.");
    one.beat(&mut world).unwrap();
    assert_eq!(resolutions(&world), 1);
    for _ in 0..119 {
        world.pass_ms(5_000);
        one.beat(&mut world).unwrap();
    }
    assert_eq!(resolutions(&world), 1);
    world.pass_ms(5_000);
    one.beat(&mut world).unwrap();
    assert_eq!((resolutions(&world), one.epoch), (2, MemberEpoch(1)));
}

#[test]
fn what_nobody_subscribes_by_any_more_is_forgotten() {
    let mut world = world();
    let (mut one, mut two) = (peer("m1", "a."), peer("m2", "a."));
    one.beat(&mut world).unwrap();
    two.beat(&mut world).unwrap();
    one.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    let known = |world: &World| {
        let is_known = |record: &&(_, GroupRecord)| matches!(record.1, GroupRecord::ConsumerGroupRegularExpression { .. });
        world.coordinator.settled_records().iter().filter(is_known).count()
    };
    assert_eq!(known(&world), 1);
    let change = ConsumerGroupHeartbeat { topic_regex: Some("b.".into()), ..two.request() };
    let told = world.consumer_heartbeat(change).unwrap();
    two.take(&told);
    assert_eq!(known(&world), 1);
    two.beat(&mut world).unwrap();
    two.beat(&mut world).unwrap();
    assert_eq!(topics(&two), ["b1"]);
    let none = ConsumerGroupHeartbeat { topic_regex: Some("".into()), ..two.request() };
    let told = world.consumer_heartbeat(none).unwrap();
    two.take(&told);
    two.beat(&mut world).unwrap();
    assert_eq!((known(&world), two.owned.len()), (0, 0));
    two.leave(&mut world, MemberEpoch::LEAVE).unwrap();
    world.check_replay();
}

#[test]
fn topics_that_came_while_the_coordinator_moved_are_found() {
    let mut world = world();
    let mut one = peer("m1", "a.");
    one.beat(&mut world).unwrap();
    world.pass_ms(10_000);
    world.topics = view(3, &[("a1", 1), ("a2", 1), ("a3", 1)]);
    world.fail_over();
    one.beat(&mut world).unwrap();
    assert_eq!(topics(&one), ["a1", "a2", "a3"]);
    let resolved = resolutions(&world);
    world.fail_over();
    world.pass_ms(10_000);
    one.beat(&mut world).unwrap();
    assert_eq!(resolutions(&world), resolved, "nothing came");
}

#[test]
fn a_static_member_whose_successor_is_refused_still_goes_with_its_session() {
    let mut world = world();
    let of = |member: &str, regex: &str| Peer::new(ConsumerGroupHeartbeat { instance: instance("i1"), ..peer(member, regex).join });
    let mut one = of("m1", "a.");
    one.beat(&mut world).unwrap();
    one.leave(&mut world, MemberEpoch::LEAVE_STATIC).unwrap();
    assert!(of("m2", "(").beat(&mut world).is_err());
    assert_eq!(world.describe_consumer().unwrap().members[0].member, "m1".into());
    world.check_replay();
    world.pass_ms(45_000);
    assert_eq!(world.consumer_state(), GroupState::Empty);
}
