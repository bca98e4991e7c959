//! Offsets that are committed with a transaction (KIP-98, KIP-447).

use ottla_cluster::group::*;
use ottla_model::{PartitionId, ProducerId, TopicId};

use crate::harness::*;

#[test]
fn offsets_of_a_transaction_count_when_it_is_committed() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    assert_eq!(world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5), offset("a", 1, 5)])), Ok(vec![Ok(()), Ok(())]));
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 1)]);
    let BatchContent::Transactional { producer, .. } = world.log.last().unwrap().content else { panic!() };
    assert_eq!(producer, ProducerId(7));
    world.check_replay();
    world.end(7, 0, TransactionResult::Commit);
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 5), ("a".to_owned(), 1, 5)]);
    assert!(matches!(world.log.last().unwrap().content, BatchContent::Marker(_)));
    world.check_replay();
}

#[test]
fn offsets_of_a_transaction_that_is_aborted_never_were() {
    let mut world = World::new();
    world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5)])).unwrap();
    assert_eq!(world.coordinator.group_count(), 1);
    world.end(7, 0, TransactionResult::Abort);
    assert_eq!(world.coordinator.group_count(), 0);
    world.check_replay();
}

#[test]
fn a_transaction_that_was_open_when_the_coordinator_was_lost_ends_at_the_next() {
    let mut world = World::new();
    world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5)])).unwrap();
    world.commit_in_transaction(transactional(8, 0, vec![offset("a", 1, 6)])).unwrap();
    world.fail_over();
    assert_eq!(world.offsets(), []);
    world.end(7, 0, TransactionResult::Commit);
    world.end(8, 0, TransactionResult::Abort);
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 5)]);
}

#[test]
fn who_asks_for_stable_offsets_is_not_given_those_about_to_change() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1), offset("a", 1, 1)])).unwrap();
    world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5)])).unwrap();
    let fetched = world.fetch(fetch_all(true)).unwrap();
    assert_eq!(fetched[0].result, Err(GroupError::UnstableOffset { producer: ProducerId(7) }));
    assert!(fetched[1].result.as_ref().unwrap().is_some());
    assert!(world.fetch(fetch_all(false)).unwrap()[0].result.is_ok());
    let topics = vec![TopicPartitions { topic: name("a"), topic_id: TopicId::ZERO, partitions: vec![PartitionId(0)] }];
    let of_one = OffsetFetch { topics: Some(topics), ..fetch_all(true) };
    assert!(world.fetch(of_one.clone()).unwrap()[0].result.is_err());
    world.end(7, 0, TransactionResult::Abort);
    assert!(world.fetch(of_one).unwrap()[0].result.is_ok());
}

#[test]
fn a_commit_after_that_of_a_transaction_wins_whenever_the_transaction_ends() {
    let mut world = World::new();
    world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5)])).unwrap();
    world.commit(commit(vec![offset("a", 0, 9)])).unwrap();
    world.end(7, 0, TransactionResult::Commit);
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 9)]);
    world.check_replay();
}

#[test]
fn members_commit_with_their_transactions_in_their_generation() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let with = |member: &str, generation: i32| TxnOffsetCommit {
        member: member.into(),
        generation_or_epoch: generation,
        ..transactional(7, 0, vec![offset("a", 0, 5)])
    };
    assert_eq!(world.commit_in_transaction(with(members[0].as_str(), generation.get())), Ok(vec![Ok(())]));
    let older = world.commit_in_transaction(with(members[0].as_str(), 0));
    assert_eq!(older, Err(GroupError::IllegalGeneration { shown: 0, current: 1 }));
    let stranger = world.commit_in_transaction(with("stranger", generation.get()));
    assert_eq!(stranger, Err(GroupError::UnknownMember { member: "stranger".into() }));
    // Older versions could not say who they are.
    assert_eq!(world.commit_in_transaction(with("", -1)), Ok(vec![Ok(())]));
    let nowhere = TxnOffsetCommit { group: group("nobody's"), ..with("m", 3) };
    assert_eq!(world.commit_in_transaction(nowhere), Err(GroupError::IllegalGeneration { shown: 3, current: -1 }));
}

#[test]
fn a_producer_of_before_is_fenced_while_the_transaction_is_open() {
    let mut world = World::new();
    world.commit_in_transaction(transactional(7, 3, vec![offset("a", 0, 5)])).unwrap();
    let fenced = world.commit_in_transaction(transactional(7, 2, vec![offset("a", 0, 1)]));
    assert_eq!(fenced, Err(GroupError::FencedProducer { producer: ProducerId(7), shown: 2, current: 3 }));
    world.end(7, 3, TransactionResult::Commit);
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 5)]);
}

#[test]
fn a_deleted_offset_does_not_come_back_with_a_transaction() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5), offset("b", 0, 6)])).unwrap();
    assert_eq!(world.ask(Request::DeleteGroup(group(GROUP))), Response::DeleteGroup(Ok(())));
    world.end(7, 0, TransactionResult::Commit);
    assert_eq!(world.offsets(), []);
    world.check_replay();
}
