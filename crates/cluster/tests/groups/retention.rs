//! Offsets and groups that nobody wants any more (KIP-211).

use ottla_cluster::group::*;
use ottla_model::Generation;

use crate::harness::*;

const RETENTION_MS: u64 = 10_080 * 60_000;
/// A round ends within this after it is due.
const ROUND_MS: u64 = 600_000 + 1_000;

#[test]
fn offsets_of_a_group_that_never_had_members_expire_since_their_commit() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    world.pass_ms(RETENTION_MS / 2);
    world.commit(commit(vec![offset("a", 1, 1)])).unwrap();
    world.pass_ms(RETENTION_MS / 2 - ROUND_MS);
    assert_eq!(world.offsets().len(), 2);
    world.pass_ms(2 * ROUND_MS);
    assert_eq!(world.offsets(), [("a".to_owned(), 1, 1)]);
    world.pass_ms(RETENTION_MS);
    assert_eq!(world.coordinator.group_count(), 0);
    world.check_replay();
}

#[test]
fn offsets_of_a_group_expire_when_it_has_been_empty_for_so_long() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    let (members, generation) = world.stable(1);
    // Its topic is subscribed to, so that the offset stays however old it is.
    for _ in 0..=RETENTION_MS / 5_000 {
        world.pass_ms(5_000);
        assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    }
    world.pass_ms(4_000);
    assert_eq!(world.offsets().len(), 1);
    world.ask(leave(&[members[0].as_str()]));
    world.pass_ms(RETENTION_MS - ROUND_MS);
    assert_eq!(world.offsets().len(), 1);
    world.pass_ms(2 * ROUND_MS);
    assert_eq!(world.offsets(), []);
    assert_eq!(world.coordinator.group_count(), 0);
    let GroupRecord::GroupMetadata { value: None, .. } = world.records().pop().unwrap() else { panic!() };
    world.check_replay();
}

#[test]
fn offsets_of_topics_that_members_read_no_more_expire_while_there_are_members() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1), offset("b", 0, 1)])).unwrap();
    let (members, generation) = world.stable(1);
    for _ in 0..=(RETENTION_MS + ROUND_MS) / 5_000 {
        world.pass_ms(5_000);
        assert_eq!(world.heartbeat(&members[0], generation), Ok(()));
    }
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 1)]);
    world.check_replay();
}

#[test]
fn offsets_expire_when_an_older_client_said_so() {
    let mut world = World::new();
    world.commit(OffsetCommit { retention_ms: Some(1_000), ..commit(vec![offset("a", 0, 1)]) }).unwrap();
    world.pass_ms(ROUND_MS);
    assert_eq!(world.offsets(), []);
}

#[test]
fn an_offset_that_a_transaction_is_about_to_commit_does_not_expire() {
    let mut world = World::new();
    world.commit(commit(vec![offset("a", 0, 1)])).unwrap();
    world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5)])).unwrap();
    world.pass_ms(RETENTION_MS + 2 * ROUND_MS);
    assert_eq!(world.offsets().len(), 1);
    world.end(7, 0, TransactionResult::Abort);
    world.pass_ms(ROUND_MS);
    assert_eq!(world.coordinator.group_count(), 0);
}

#[test]
fn a_round_over_many_groups_and_offsets_takes_many_steps_and_reaches_all() {
    let mut world = World::with(GroupConfig { batch_bytes_max: 4_000, ..GroupConfig::default() });
    for number in 0..1_000 {
        let request = OffsetCommit { group: group(&format!("g{number}")), ..commit(vec![offset("a", 0, 1)]) };
        world.commit(request).unwrap();
    }
    for partition in 0..100 {
        world.commit(commit(vec![offset("a", partition, 1)])).unwrap();
    }
    world.pass_ms(RETENTION_MS + ROUND_MS);
    assert_eq!(world.coordinator.group_count(), 0);
    for batch in &world.log {
        let bytes: usize = records_of(&batch.content).iter().map(GroupRecord::bytes_max).sum();
        assert!(bytes <= 4_000);
    }
    world.check_replay();
}

#[test]
fn a_member_that_is_about_to_join_keeps_the_group() {
    let mut world = World::with(GroupConfig { offsets_retention_check_interval_ms: 1_000, ..GroupConfig::default() });
    let token = world.send_join(join(""));
    let id = world.joined(token).member;
    world.pass_ms(3_000);
    let joining = world.send_join(join(id.as_str()));
    world.pass_ms(3_000);
    assert_eq!(world.joined(joining).result.unwrap().generation, Generation(1));
}
