//! Offsets of consumer groups: members show their epoch.

use ottla_cluster::group::*;
use ottla_model::{MemberEpoch, MemberId};

use crate::consumer_harness::*;
use crate::harness::*;

fn by(member: &str, epoch: i32, offsets: Vec<OffsetToCommit>) -> OffsetCommit {
    OffsetCommit { member: member.into(), generation_or_epoch: epoch, ..commit(offsets) }
}

/// Two members, of which the first has partitions 0 and 1 since its first epoch, and the second has 2 and 3 since the second.
fn world() -> (World, [Peer; 2]) {
    let mut world = World::with(at_once());
    let mut peers = [Peer::of("m1"), Peer::of("m2")];
    world.settle_peers(&mut peers);
    (world, peers)
}

#[test]
fn a_member_commits_with_its_epoch() {
    let (mut world, [one, _]) = world();
    assert_eq!(world.commit(by("m1", one.epoch.get(), vec![offset("a", 0, 5)])), Ok(vec![Ok(())]));
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 5)]);
    world.check_replay();
}

#[test]
fn an_earlier_epoch_will_do_for_what_was_held_since_then() {
    let (mut world, [one, two]) = world();
    assert_eq!((one.epoch, two.epoch), (MemberEpoch(2), MemberEpoch(2)));
    assert_eq!(world.commit(by("m1", 1, vec![offset("a", 0, 5), offset("a", 1, 5)])), Ok(vec![Ok(()), Ok(())]));
    let stale = |topic: &str, partition| GroupError::StaleEpochOfPartition { shown: 1, topic: name(topic), partition };
    assert_eq!(world.commit(by("m2", 1, vec![offset("a", 2, 5)])), Err(stale("a", 2)), "it has it since epoch 2");
    assert_eq!(world.commit(by("m1", 1, vec![offset("a", 0, 6), offset("a", 2, 6)])), Err(stale("a", 2)), "another member has it");
    assert_eq!(world.offsets().len(), 2);
    assert_eq!(world.offsets()[0].2, 5, "nothing of a refused request is kept");
}

#[test]
fn epochs_that_never_were_are_stale() {
    let (mut world, _) = world();
    for shown in [3, i32::MAX, -1, -2] {
        let stale = GroupError::StaleMemberEpoch { shown, current: 2 };
        assert_eq!(world.commit(by("m1", shown, vec![offset("a", 0, 5)])), Err(stale));
    }
}

#[test]
fn strangers_commit_only_while_nobody_is_there() {
    let (mut world, mut peers) = world();
    let unknown = |member: &str| GroupError::UnknownMember { member: member.into() };
    assert_eq!(world.commit(commit(vec![offset("a", 0, 5)])), Err(unknown("")));
    assert_eq!(world.commit(by("m9", 2, vec![offset("a", 0, 5)])), Err(unknown("m9")));
    peers.iter_mut().for_each(|peer| drop(peer.leave(&mut world, MemberEpoch::LEAVE).unwrap()));
    assert_eq!(world.commit(commit(vec![offset("a", 0, 5)])), Ok(vec![Ok(())]));
}

#[test]
fn older_versions_of_a_commit_are_not_for_members() {
    let (mut world, _) = world();
    let request = OffsetCommit { knows_member_epochs: false, ..by("m1", 2, vec![offset("a", 0, 5)]) };
    assert_eq!(world.commit(request), Err(GroupError::OldOffsetCommit));
}

#[test]
fn a_transaction_may_leave_out_who_it_is_of_but_not_be_wrong_about_it() {
    let (mut world, _) = world();
    assert_eq!(world.commit_in_transaction(transactional(7, 0, vec![offset("a", 0, 5)])), Ok(vec![Ok(())]));
    let of = |member: &str, epoch| TxnOffsetCommit {
        member: member.into(),
        generation_or_epoch: epoch,
        ..transactional(7, 0, vec![offset("a", 0, 5)])
    };
    assert_eq!(world.commit_in_transaction(of("m1", 2)), Ok(vec![Ok(())]));
    assert_eq!(world.commit_in_transaction(of("m1", 3)), Err(GroupError::StaleMemberEpoch { shown: 3, current: 2 }));
    assert_eq!(world.commit_in_transaction(of("m9", 2)), Err(GroupError::UnknownMember { member: "m9".into() }));
}

#[test]
fn a_member_fetches_with_its_epoch() {
    let (mut world, _) = world();
    world.commit(by("m1", 2, vec![offset("a", 0, 5)])).unwrap();
    let of = |member: Option<&str>, epoch| OffsetFetch { member: member.map(MemberId::new), epoch: MemberEpoch(epoch), ..fetch_all(false) };
    assert_eq!(world.fetch(of(Some("m1"), 2)).unwrap().len(), 1);
    assert_eq!(world.fetch(of(None, -1)).unwrap().len(), 1);
    assert_eq!(world.fetch(of(Some("m1"), 1)), Err(GroupError::StaleMemberEpoch { shown: 1, current: 2 }));
    assert_eq!(world.fetch(of(Some("m9"), 2)), Err(GroupError::UnknownMember { member: "m9".into() }));
}

#[test]
fn offsets_of_topics_that_members_read_are_neither_deleted_nor_expire() {
    let (mut world, mut peers) = world();
    world.commit(by("m1", 2, vec![offset("a", 0, 5), offset("b", 0, 5)])).unwrap();
    let partitions = |topic: &str| TopicPartitions {
        topic: name(topic),
        topic_id: ottla_model::TopicId::ZERO,
        partitions: vec![ottla_model::PartitionId(0)],
    };
    let delete = OffsetDelete { group: group(GROUP), topics: vec![partitions("a")] };
    let Response::OffsetDelete(Ok(each)) = world.ask(Request::OffsetDelete(delete)) else { panic!() };
    assert_eq!(each, [Err(GroupError::SubscribedToTopic { topic: name("a") })]);
    let hours = world.config.offsets_retention_ms / 3_600_000 + 2;
    for _ in 0..hours {
        // A member that lives on, without a heartbeat for every 5 s of a week.
        world.now.wall.0 += 3_600_000;
        world.pass_ms(5_000);
        peers.iter_mut().for_each(|peer| drop(peer.beat(&mut world).unwrap()));
    }
    world.now.wall.0 += 1;
    for _ in 0..130 {
        world.pass_ms(5_000);
        peers.iter_mut().for_each(|peer| drop(peer.beat(&mut world).unwrap()));
    }
    assert_eq!(world.offsets(), [("a".to_owned(), 0, 5)]);
    world.check_replay();
}
