//! Partitions on a disk in memory: group commit, what a crash and a stop leave, what becomes of folders.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::controller::{Command, DeleteTopics, TopicRef};
use ottla_cluster::metadata::{MetadataImage, MetadataRecord, PartitionChange};
use ottla_log::{AppendOrigin, Disk, MemDisk};
use ottla_model::{Acks, DirectoryId, LeaderEpoch, NodeId, Offset, PartitionId};
use ottla_wire::ErrorCode;
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use tokio::time::Instant;

use super::*;
use crate::context::deadline_after;
use crate::testing::{START, TestBroker, batch};

fn options(acks: Acks) -> AppendOptions {
    AppendOptions { acks, origin: AppendOrigin::Client, now: START }
}

async fn append(partition: &Arc<Partition>, values: &[&str]) -> Offset {
    let end = partition.append(&batch(values), options(Acks::All)).unwrap().last_offset.plus(1);
    partition.reach(end, deadline_after(60_000)).await.unwrap();
    end
}

fn folders(broker: &TestBroker) -> Vec<String> {
    let names = |dir| broker.disk.list_dir(Path::new(dir)).unwrap().into_iter().filter(|e| e.is_dir).map(|e| e.name);
    let mut all: Vec<String> = names("/d0").chain(names("/d1")).collect();
    all.sort();
    all
}

fn manager(broker: &TestBroker, dirs: Vec<LogDirSpec>, disk: &MemDisk) -> PartitionManager {
    let disk = || Arc::new(disk.clone()) as Arc<dyn Disk>;
    PartitionManager::new(NodeId(1), dirs, disk, Arc::clone(&broker.clock) as _, &broker.context.threads).unwrap()
}

pub(super) async fn delete(broker: &TestBroker, topic: &str) {
    let command = Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name(topic.to_owned())] });
    broker.context.command(command, deadline_after(60_000)).await.unwrap();
}

#[test]
fn leadership_survives_packing() {
    for (leader, epoch) in [(-1, -1), (0, 0), (7, i32::MAX), (i32::MAX, 3)] {
        let leadership = Leadership { leader: NodeId(leader), epoch: LeaderEpoch(epoch) };
        assert_eq!(Leadership::unpack(leadership.pack()), leadership);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_survive_a_power_loss() {
    for seed in 0..20 {
        let broker = TestBroker::start().await;
        broker.create_topic("logs", 4, &[("segment.bytes", "1048576")]).await;
        let mut ends = Vec::new();
        for round in 0..3 {
            for index in 0..4 {
                ends.push((index, append(&broker.partition("logs", index), &[&format!("{round}"), "x"]).await));
            }
        }
        // Written, acknowledged by nobody.
        broker.partition("logs", 0).append(&batch(&["lost or not"]), options(Acks::Leader)).unwrap();
        let crashed = broker.disk.crash(seed);
        let broker = broker.restart_on(crashed).await;
        for (index, end) in ends {
            let partition = broker.partition("logs", index);
            partition.reach(end, deadline_after(60_000)).await.unwrap();
            let read = partition.read(Offset(0), Isolation::ReadUncommitted, 1 << 20, true).unwrap();
            assert!(read.high_watermark >= end && read.bytes > 0, "seed {seed}, partition {index}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_broker_had_written_is_shown_once_it_is_durable() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    append(&broker.partition("logs", 0), &["a"]).await;
    broker.partition("logs", 0).append(&batch(&["b"]), options(Acks::Leader)).unwrap();
    let broker = broker.restart(false).await;
    let partition = broker.partition("logs", 0);
    partition.reach(Offset(2), deadline_after(60_000)).await.unwrap();
    assert_eq!(partition.with_log(|log| log.durable_end()), Offset(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_is_noted_and_forgotten_at_the_next_start() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    append(&broker.partition("logs", 0), &["a", "b"]).await;
    let (partitions, disk) = (Arc::clone(&broker.context.partitions), broker.disk.clone());
    tokio::task::spawn_blocking(move || partitions.close(ottla_model::BrokerEpoch(9))).await.unwrap();
    for dir in ["/d0", "/d1"] {
        assert!(disk.read_all(&Path::new(dir).join(".kafka_cleanshutdown")).is_ok());
    }
    let points = ottla_log::checkpoint::read_offsets(&disk, Path::new("/d0/recovery-point-offset-checkpoint")).unwrap();
    let other = ottla_log::checkpoint::read_offsets(&disk, Path::new("/d1/recovery-point-offset-checkpoint")).unwrap();
    let mut all: Vec<_> = points.into_iter().chain(other).map(|(tp, offset)| (tp.to_string(), offset.0)).collect();
    all.sort();
    assert_eq!(all, [("logs-0".to_owned(), 2), ("logs-1".to_owned(), 0)]);
    let broker = broker.restart(true).await;
    assert!(broker.disk.read_all(Path::new("/d0/.kafka_cleanshutdown")).is_err(), "a crash from here on must be seen as one");
    assert_eq!(broker.partition("logs", 0).high_watermark(), Offset(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_go_where_the_fewest_are() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 5, &[]).await;
    let counts: Vec<usize> = broker.context.partitions.log_dirs().iter().map(|dir| dir.partition_count()).collect();
    assert_eq!(counts, [3, 2]);
    let broker = broker.restart(false).await;
    let counts: Vec<usize> = broker.context.partitions.log_dirs().iter().map(|dir| dir.partition_count()).collect();
    assert_eq!(counts, [3, 2], "each is found again where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_gone_at_once_its_files_later_and_its_name_is_free() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[("file.delete.delay.ms", "3600000")]).await;
    let old = broker.partition("logs", 0);
    append(&old, &["a"]).await;
    delete(&broker, "logs").await;
    assert_eq!(old.check_leader(LeaderEpoch::NONE), Err(NotServing::UnknownPartition));
    assert!(old.append(&batch(&["b"]), options(Acks::Leader)).is_err());
    let left = folders(&broker);
    assert!(left.len() == 1 && left[0].starts_with("logs-0.") && left[0].ends_with("-delete"), "{left:?}");

    broker.create_topic("logs", 1, &[]).await;
    assert_eq!(append(&broker.partition("logs", 0), &["new"]).await, Offset(1), "the new topic begins at 0");
    assert_eq!(folders(&broker).len(), 2);
    assert!(!old.log_dir().is_offline());
    let broker = broker.restart(false).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while folders(&broker).len() > 1 && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(folders(&broker), ["logs-0"], "what was left of the old topic goes at the next start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topics_files_go_without_a_restart() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 3, &[("file.delete.delay.ms", "0")]).await;
    delete(&broker, "logs").await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folders(&broker).is_empty() && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(folders(&broker), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_made_under_an_old_name_inherits_no_recovery_point() {
    for seed in 0..20 {
        let broker = TestBroker::start().await;
        broker.create_topic("logs", 2, &[]).await;
        for index in 0..2 {
            append(&broker.partition("logs", index), &["1", "2", "3", "4", "5", "6", "7", "8"]).await;
        }
        for dir in broker.context.partitions.log_dirs() {
            dir.write_checkpoint(checkpoints::Checkpoint::RecoveryPoints).unwrap();
        }
        delete(&broker, "logs").await;
        broker.create_topic("logs", 2, &[]).await;
        // On stable storage with this, as all that comes after it is not.
        for index in 0..2 {
            append(&broker.partition("logs", index), &["new"]).await;
        }
        let held: Vec<_> = broker.context.partitions.log_dirs().iter().map(|dir| dir.hold_syncs()).collect();
        let large = "x".repeat(3000);
        for index in 0..2 {
            for _ in 0..7 {
                broker.partition("logs", index).append(&batch(&[&large]), options(Acks::Leader)).unwrap();
            }
        }
        let crashed = broker.disk.crash(seed);
        drop(held);
        let broker = broker.restart_on(crashed).await;
        for index in 0..2 {
            let partition = broker.partition("logs", index);
            let end = partition.watermarks().log_end;
            partition.reach(end, deadline_after(60_000)).await.unwrap();
            // Each for itself: a read stops before what is damaged.
            for offset in 0..end.0 {
                let read = partition.read(Offset(offset), Isolation::ReadUncommitted, 1, true);
                let read = read.unwrap_or_else(|damage| panic!("seed {seed}: what tore was taken for synced: {damage}"));
                assert!(read.bytes > 0, "seed {seed}, offset {offset}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_the_metadata_does_not_know_are_kept_aside_and_strangers_left_alone() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    append(&broker.partition("logs", 0), &["a"]).await;
    let file = |path: &str, bytes: &[u8]| {
        broker.disk.create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        broker.disk.write_atomic(Path::new(path), bytes).unwrap();
    };
    file("/d0/unknown-0/00000000000000000000.log", b"somebody's data");
    file("/d1/lost+found/x", b"a stranger's");
    file("/d0/__cluster_metadata-0/metadata", b"the controller's");
    // The same name, but another topic's: its id says so.
    file("/d1/logs-1/partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
    let broker = broker.restart(true).await;
    let left = folders(&broker);
    assert_eq!(left.iter().filter(|f| f.ends_with("-stray")).count(), 2, "{left:?}");
    assert!(["lost+found", "__cluster_metadata-0", "logs-0"].iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
    let stray = left.iter().find(|f| f.starts_with("unknown-0.")).unwrap();
    let kept = broker.disk.read_all(&Path::new("/d0").join(stray).join("00000000000000000000.log")).unwrap();
    assert_eq!(kept, b"somebody's data");
    assert_eq!(broker.partition("logs", 0).high_watermark(), Offset(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_found_in_two_directories_is_for_people_to_sort_out() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let home = broker.partition("logs", 0).log_dir().path().to_owned();
    for dir in ["/d0", "/d1"].map(Path::new).into_iter().filter(|dir| **dir != *home) {
        broker.disk.create_dir_all(&dir.join("logs-0")).unwrap();
    }
    let dirs = broker.context.partitions.log_dirs().iter().map(|d| LogDirSpec { path: d.path().to_owned(), id: d.id() });
    let next = Arc::new(manager(&broker, dirs.collect(), &broker.disk));
    let refused = next.load(&broker.context.image().clone()).unwrap_err();
    assert!(refused.to_string().contains("/d0/logs-0") && refused.to_string().contains("/d1/logs-0"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_segments_are_deleted_by_retention() {
    let broker = TestBroker::with(&[("log.retention.check.interval.ms", "1")]).await;
    let configs = [("segment.bytes", "1048576"), ("retention.ms", "1000"), ("file.delete.delay.ms", "0")];
    broker.create_topic("logs", 1, &configs).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["a", "b"]).await;
    assert_eq!(partition.watermarks().log_start, Offset(0));
    broker.clock.advance_ms(2000);
    let deadline = Instant::now() + Duration::from_secs(60);
    while partition.watermarks().log_start == Offset(0) && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(partition.watermarks(), Watermarks { log_start: Offset(2), high_watermark: Offset(2), log_end: Offset(2) });
    assert_eq!(append(&partition, &["c"]).await, Offset(3), "offsets go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_written_now_and_then() {
    let broker =
        TestBroker::with(&[("replica.high.watermark.checkpoint.interval.ms", "1"), ("log.flush.offset.checkpoint.interval.ms", "1")]).await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["a", "b"]).await;
    let dir = partition.log_dir().path().to_owned();
    let deadline = Instant::now() + Duration::from_secs(60);
    for file in ["replication-offset-checkpoint", "recovery-point-offset-checkpoint"] {
        let read = || ottla_log::checkpoint::read_offsets(&broker.disk, &dir.join(file)).unwrap();
        while read().get(partition.topic_partition()) != Some(&Offset(2)) && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(read().get(partition.topic_partition()), Some(&Offset(2)), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_round_serves_all_that_came_while_the_one_before_ran() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let partition = broker.partition("logs", 0);
    append(&partition, &["first"]).await;
    let held = partition.log_dir().hold_syncs();
    let calls = broker.disk.calls();
    let mut end = Offset(0);
    for _ in 0..100 {
        end = partition.append(&batch(&["x"]), options(Acks::All)).unwrap().last_offset.plus(1);
    }
    let written = broker.disk.calls() - calls;
    drop(held);
    partition.reach(end, deadline_after(60_000)).await.unwrap();
    let synced = broker.disk.calls() - calls - written;
    assert!(synced < 10, "{synced} calls to sync 100 appends");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_dirty_partitions_are_synced_together() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 200, &[]).await;
    let held: Vec<_> = broker.context.partitions.log_dirs().iter().map(|dir| dir.hold_syncs()).collect();
    let all: Vec<_> = (0..200).map(|index| broker.partition("logs", index)).collect();
    for partition in &all {
        partition.append(&batch(&["x"]), options(Acks::All)).unwrap();
    }
    drop(held);
    for partition in &all {
        partition.reach(Offset(1), deadline_after(60_000)).await.unwrap();
    }
    let crashed = broker.disk.crash(3);
    let broker = broker.restart_on(crashed).await;
    for index in 0..200 {
        assert_eq!(broker.partition("logs", index).watermarks().log_end, Offset(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_directory_to_fail_takes_the_broker_with_it() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    let partitions = Arc::clone(&broker.context.partitions);
    let dead = tokio::spawn(async move { partitions.all_dirs_failed().await });
    let dirs = broker.context.partitions.log_dirs();
    dirs[0].fail("test", &std::io::Error::other("pulled"));
    let (on_dead, on_alive) = if broker.partition("logs", 0).log_dir().is_offline() { (0, 1) } else { (1, 0) };
    assert_eq!(broker.partition("logs", on_dead).check_leader(LeaderEpoch::NONE), Err(NotServing::Offline));
    assert!(append(&broker.partition("logs", on_alive), &["still"]).await > Offset(0));
    assert!(!dead.is_finished());
    // A topic made now goes to the directory that is left.
    broker.create_topic("more", 2, &[]).await;
    assert!((0..2).all(|index| !broker.partition("more", index).log_dir().is_offline()));
    dirs[1].fail("test", &std::io::Error::other("pulled too"));
    assert!(dead.await.unwrap().contains("pulled too"));
}

/// What Metadata says of a partition: its error, leader and offline replicas.
async fn told(broker: &TestBroker, topic: &str, index: usize) -> (i16, i32, Vec<i32>) {
    let topics = vec![MetadataRequestTopic { name: Some(topic), ..Default::default() }];
    let outcome = broker.call(12, &MetadataRequest { topics: Some(topics), ..Default::default() }).await;
    let partition = outcome.decode::<MetadataResponse<'_>>(12).topics[0].partitions[index].clone();
    (partition.error_code, partition.leader_id, partition.offline_replicas)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_directory_takes_only_its_own_partitions_offline_and_clients_are_told() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    let (on_first, on_second) = if broker.partition("logs", 0).log_dir().path() == Path::new("/d0") { (0, 1) } else { (1, 0) };
    for index in 0..2 {
        append(&broker.partition("logs", index), &["a"]).await;
    }
    let mut images = broker.context.controller.subscribe();
    let placed = |image: &Arc<MetadataImage>| {
        image.topic("logs").is_some_and(|t| t.partitions.iter().all(|p| p.directory_of(NodeId(1)) != Some(DirectoryId::UNASSIGNED)))
    };
    tokio::time::timeout(Duration::from_secs(60), images.wait_for(placed)).await.unwrap().unwrap();
    broker.context.partitions.log_dirs()[0].fail("test", &std::io::Error::other("pulled"));
    let leaderless = |image: &Arc<MetadataImage>| image.partition("logs", PartitionId(on_first)).is_some_and(|p| p.leader == NodeId::NONE);
    let image = tokio::time::timeout(Duration::from_secs(60), images.wait_for(leaderless)).await.unwrap().unwrap().clone();
    assert_eq!(image.partition("logs", PartitionId(on_second)).unwrap().leader, NodeId(1));
    broker.context.published_at_least(&image).await;
    let (first, second) = (on_first as usize, on_second as usize);
    assert_eq!(told(&broker, "logs", first).await, (ErrorCode::LeaderNotAvailable.as_i16(), -1, vec![1]));
    assert_eq!(told(&broker, "logs", second).await, (0, 1, vec![]));
    assert_eq!(broker.partition("logs", on_first).check_leader(LeaderEpoch::NONE), Err(NotServing::Offline));
    assert_eq!(append(&broker.partition("logs", on_second), &["b"]).await, Offset(2));

    // Left out at the next start, there again at the one after.
    let broker = broker.restart_with_dirs("/d1").await;
    assert_eq!(told(&broker, "logs", first).await, (ErrorCode::LeaderNotAvailable.as_i16(), -1, vec![1]));
    let broker = broker.restart_with_dirs("/d0,/d1").await;
    assert_eq!(told(&broker, "logs", first).await, (0, 1, vec![]));
    assert_eq!(broker.partition("logs", on_first).high_watermark(), Offset(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_may_be_in_a_directory_that_does_not_work_is_not_made_anew() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    append(&broker.partition("logs", 0), &["a"]).await;
    // Found nowhere, and the metadata does not say where it was.
    let mut unassigned = MetadataImage::clone(&broker.context.image());
    let topic_id = unassigned.topic("logs").unwrap().id;
    let nowhere = PartitionChange { directories: Some(vec![DirectoryId::UNASSIGNED]), ..PartitionChange::of(topic_id, PartitionId(0)) };
    unassigned.apply(&MetadataRecord::PartitionChange(nowhere)).unwrap();
    let config = broker.context.effective_config();
    for (lacks_dirs, expected) in [(true, NotServing::Offline), (false, NotServing::UnknownPartition)] {
        let disk = MemDisk::new();
        ottla_log::log_dir::make_dir(&disk, Path::new("/d0")).unwrap();
        let dirs = vec![LogDirSpec { path: "/d0".into(), id: broker.context.partitions.log_dirs()[0].id() }];
        let manager = Arc::new(manager(&broker, dirs, &disk).lacking_dirs(lacks_dirs));
        let unassigned = Arc::new(unassigned.clone());
        manager.load(&unassigned).unwrap();
        manager.follow(&MetadataImage::default(), &unassigned, &config, false);
        let name = ottla_model::TopicPartition::from_folder_name("logs-0").unwrap();
        assert_eq!(manager.why_absent(&name), expected);
        assert_eq!(manager.find("logs", PartitionId(0)).is_some(), !lacks_dirs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_partition_is_told_from_one_out_of_reach() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let why = |topic: &str, index| broker.context.partition(topic, PartitionId(index)).map(|_| ());
    assert_eq!(why("nowhere", 0), Err(NotServing::UnknownPartition));
    assert_eq!(why("logs", 1), Err(NotServing::UnknownPartition));
    for dir in broker.context.partitions.log_dirs() {
        dir.fail("test", &std::io::Error::other("pulled"));
    }
    broker.create_topic("late", 1, &[]).await;
    assert_eq!(why("late", 0), Err(NotServing::Offline));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_is_told_where_partitions_are_and_a_missing_directory_is_not_forgotten() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 2, &[]).await;
    for index in 0..2 {
        append(&broker.partition("logs", index), &["a"]).await;
    }
    let id_of = |index| broker.partition("logs", index).log_dir().id();
    let mut images = broker.context.controller.subscribe();
    let told = images.wait_for(|image| {
        (0..2).all(|index| image.partition("logs", PartitionId(index)).and_then(|p| p.directory_of(NodeId(1))) == Some(id_of(index)))
    });
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap().unwrap();
    let (on_first, on_second) = if broker.partition("logs", 0).log_dir().path() == Path::new("/d0") { (0, 1) } else { (1, 0) };

    let broker = broker.restart_with_dirs("/d0").await;
    assert_eq!(broker.partition("logs", on_first).high_watermark(), Offset(1));
    let why = broker.context.partition("logs", PartitionId(on_second)).map(|_| ());
    assert_eq!(why, Err(NotServing::Offline), "not made anew without its records");
    let broker = broker.restart_with_dirs("/d0,/d1").await;
    assert_eq!(broker.partition("logs", on_second).high_watermark(), Offset(1), "there again with its directory");
}

#[test]
fn folders_out_of_the_way_have_names_that_fit() {
    let names = folders::FolderNames::new([0xff; 16]);
    let topic = ottla_model::TopicName::new(&"t".repeat(249)).unwrap();
    let long = ottla_model::TopicPartition::new(topic, PartitionId(123_456));
    let (first, second) = (names.with_suffix(&long, "-delete"), names.with_suffix(&long, "-delete"));
    assert_eq!(first.len(), 255);
    assert_ne!(first, second);
    let short = ottla_model::TopicPartition::from_folder_name("logs-3").unwrap();
    let name = names.with_suffix(&short, "-stray");
    assert!(name.starts_with("logs-3.") && name.ends_with("-stray") && name.len() == 7 + 32 + 6, "{name}");
    assert!(ottla_model::TopicPartition::from_folder_name(&name).is_none(), "nobody takes it for a partition");
}
