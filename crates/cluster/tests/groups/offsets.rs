//! Offsets, committed from outside of the group and by its members.

use ottla_cluster::group::*;
use ottla_model::{Generation, LeaderEpoch, Offset, PartitionId, TopicId, Uuid};

use crate::harness::*;

fn of_member(member: &str, generation: Generation, offsets: Vec<OffsetToCommit>) -> OffsetCommit {
    OffsetCommit { member: member.into(), generation_or_epoch: generation.get(), ..commit(offsets) }
}

#[test]
fn what_is_committed_is_fetched_whole() {
    let mut world = World::new();
    assert_eq!(world.commit(commit(vec![offset("a", 1, 10), offset("b", 0, 20)])), Ok(vec![Ok(()), Ok(())]));
    assert_eq!(world.offsets(), [("a".to_owned(), 1, 10), ("b".to_owned(), 0, 20)]);
    let topics = vec![TopicPartitions { topic: name("a"), topic_id: TopicId::ZERO, partitions: vec![PartitionId(1), PartitionId(2)] }];
    let fetched = world.fetch(OffsetFetch { topics: Some(topics), ..fetch_all(true) }).unwrap();
    let kept = OffsetAndMetadata { offset: Offset(10), leader_epoch: LeaderEpoch(2), metadata: "m".into() };
    assert_eq!(fetched.iter().map(|fetched| fetched.result.clone()).collect::<Vec<_>>(), [Ok(Some(kept)), Ok(None)]);
    world.check_replay();
    world.fail_over();
    assert_eq!(world.offsets().len(), 2);
}

#[test]
fn a_group_that_is_not_there_has_no_offsets() {
    let mut world = World::new();
    assert_eq!(world.fetch(fetch_all(true)), Ok(vec![]));
    let topics = vec![TopicPartitions { topic: name("a"), topic_id: TopicId::ZERO, partitions: vec![PartitionId(1)] }];
    let fetched = world.fetch(OffsetFetch { topics: Some(topics), ..fetch_all(true) }).unwrap();
    assert_eq!(fetched[0].result, Ok(None));
    assert_eq!(world.coordinator.group_count(), 0);
}

#[test]
fn a_commit_with_a_generation_needs_a_group() {
    let mut world = World::new();
    let request = of_member("m", Generation(3), vec![offset("a", 0, 1)]);
    assert_eq!(world.commit(request.clone()), Err(GroupError::GroupNotFound { group: group(GROUP) }));
    let older = OffsetCommit { knows_member_epochs: false, ..request };
    assert_eq!(world.commit(older), Err(GroupError::IllegalGeneration { shown: 3, current: -1 }));
    assert_eq!(world.log, []);
}

#[test]
fn members_commit_in_their_generation_and_others_not_while_there_are_members() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let one = members[0].as_str();
    assert_eq!(world.commit(of_member(one, generation, vec![offset("a", 0, 1)])), Ok(vec![Ok(())]));
    let older = of_member(one, Generation(0), vec![offset("a", 0, 9)]);
    assert_eq!(world.commit(older), Err(GroupError::IllegalGeneration { shown: 0, current: 1 }));
    let stranger = of_member("stranger", generation, vec![offset("a", 0, 9)]);
    assert_eq!(world.commit(stranger), Err(GroupError::UnknownMember { member: "stranger".into() }));
    assert_eq!(world.commit(commit(vec![offset("a", 0, 9)])), Err(GroupError::UnknownMember { member: "".into() }));
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 1)]);
    world.ask(leave(&[one]));
    assert_eq!(world.commit(commit(vec![offset("a", 0, 9)])), Ok(vec![Ok(())]));
}

#[test]
fn members_may_commit_while_others_join_but_not_before_they_have_their_assignment() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let one = members[0].as_str();
    let (two, joining) = world.begin_to_join(join(""));
    assert_eq!(world.commit(of_member(one, generation, vec![offset("a", 0, 1)])), Ok(vec![Ok(())]));
    let token = world.send_join(join(one));
    let next = world.joined(token).result.unwrap().generation;
    assert_eq!(world.commit(of_member(one, next, vec![offset("a", 0, 2)])), Err(GroupError::RebalanceInProgress));
    let _ = (two, joining);
}

#[test]
fn a_member_that_commits_is_heard_of() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    for round in 0..4 {
        world.pass_ms(6_000);
        world.commit(of_member(members[0].as_str(), generation, vec![offset("a", 0, round)])).unwrap();
    }
    assert_eq!(world.state(), GroupState::Stable);
}

#[test]
fn a_commit_of_a_topic_that_is_not_there_or_with_much_metadata_leaves_the_rest_alone() {
    let mut world = World::new();
    let longest = OffsetToCommit { metadata: "x".repeat(4096).into(), ..offset("a", 1, 11) };
    let longer = OffsetToCommit { metadata: "x".repeat(4097).into(), ..offset("a", 2, 12) };
    // Java counts characters, of which these are 4096 in 8192 bytes.
    let wide = OffsetToCommit { metadata: "ä".repeat(4096).into(), ..offset("a", 3, 13) };
    let each = world.commit(commit(vec![offset("nowhere", 0, 10), longest, longer, wide])).unwrap();
    assert_eq!(each[0], Err(GroupError::UnknownTopic { topic: name("nowhere") }));
    assert_eq!(each[1], Ok(()));
    assert_eq!(each[2], Err(GroupError::OffsetMetadataTooLarge { length: 4097, max: 4096 }));
    assert_eq!(each[3], Ok(()));
    assert_eq!(world.offsets().len(), 2);
}

#[test]
fn more_offsets_than_fit_into_a_batch_are_refused_and_none_is_kept() {
    let mut world = World::with(GroupConfig { batch_bytes_max: 2_000, ..GroupConfig::default() });
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    let many: Vec<OffsetToCommit> = (0..1_000).map(|partition| offset("a", partition, 5)).collect();
    assert!(matches!(world.commit(commit(many)), Err(GroupError::TooLarge { max: 2_000, .. })));
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 1)]);
    assert_eq!(world.log.len(), 1);
}

#[test]
fn the_offset_of_a_topic_made_anew_is_none() {
    let mut world = World::new();
    world.commit(commit(vec![OffsetToCommit { topic_id: topic_id("a"), ..offset("a", 0, 1) }])).unwrap();
    let mut ask = |topic_id| {
        let topics = vec![TopicPartitions { topic: name("a"), topic_id, partitions: vec![PartitionId(0)] }];
        world.fetch(OffsetFetch { topics: Some(topics), ..fetch_all(false) }).unwrap()[0].result.clone().unwrap().is_some()
    };
    assert!(ask(topic_id("a")) && ask(TopicId::ZERO));
    assert!(!ask(TopicId(Uuid::from_bytes([9; 16]))));
}

fn delete(topics: &[(&str, &[i32])]) -> Request {
    let topics = topics.iter().map(|(topic, partitions)| TopicPartitions {
        topic: name(topic),
        topic_id: TopicId::ZERO,
        partitions: partitions.iter().copied().map(PartitionId).collect(),
    });
    Request::OffsetDelete(OffsetDelete { group: group(GROUP), topics: topics.collect() })
}

#[test]
fn offsets_are_deleted_but_not_of_topics_that_members_read() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1), offset("a", 1, 1), offset("b", 0, 1)])).unwrap();
    world.stable(1);
    let Response::OffsetDelete(Ok(each)) = world.ask(delete(&[("a", &[0]), ("b", &[0, 3])])) else { panic!() };
    assert_eq!(each, [Err(GroupError::SubscribedToTopic { topic: name("a") }), Ok(()), Ok(())]);
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 1), ("a".to_owned(), 1, 1)]);
    world.check_replay();
}

#[test]
fn offsets_of_members_whose_subscription_cannot_be_read_are_not_deleted() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    let token = world.send_join(JoinGroup { protocols: vec![(text("mine"), blob("??"))], member_id_required: false, ..join("") });
    world.pass_ms(3_000);
    world.joined(token);
    let Response::OffsetDelete(Ok(each)) = world.ask(delete(&[("a", &[0])])) else { panic!() };
    assert_eq!(each, [Err(GroupError::SubscribedToTopic { topic: name("a") })]);
}

#[test]
fn offsets_of_members_of_another_protocol_are_not_deleted() {
    let mut world = World::new();
    let token = world.send_join(JoinGroup { protocol_type: text("connect"), member_id_required: false, ..join("") });
    world.pass_ms(3_000);
    world.joined(token);
    assert_eq!(world.ask(delete(&[("a", &[0])])), Response::OffsetDelete(Err(GroupError::NonEmptyGroup)));
    let request = OffsetDelete { group: group("nobody's"), topics: vec![] };
    let not_found = GroupError::GroupNotFound { group: group("nobody's") };
    assert_eq!(world.ask(Request::OffsetDelete(request)), Response::OffsetDelete(Err(not_found)));
}

#[test]
fn a_group_that_only_kept_offsets_goes_with_the_last_of_them() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    world.ask(delete(&[("a", &[0])]));
    assert_eq!(world.coordinator.group_count(), 0);
    world.check_replay();
}

#[test]
fn the_offsets_of_a_topic_go_with_it_and_do_not_come_back() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1), offset("b", 0, 1)])).unwrap();
    world.commit_in_transaction(transactional(7, 0, vec![offset("a", 1, 5), offset("b", 1, 5)])).unwrap();
    world.set_topics(2, &[("b", 4)]);
    world.end(7, 0, TransactionResult::Commit);
    assert_eq!(world.offsets(), [("b".to_owned(), 0, 1), ("b".to_owned(), 1, 5)]);
    world.check_replay();
}

#[test]
fn partitions_that_are_added_take_no_offsets() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    world.set_topics(2, &[("a", 9), ("b", 4), ("c", 1)]);
    assert_eq!(world.offsets().len(), 1);
    assert_eq!(world.commit(commit(vec![offset("c", 0, 1)])), Ok(vec![Ok(())]));
}
