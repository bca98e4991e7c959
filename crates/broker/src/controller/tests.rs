//! The controller with its real quorum and file: what was acknowledged is there again, and what fails is told.

mod crash;
pub(super) mod disk;

use std::collections::BTreeMap;

use ottla_cluster::controller::{CreateTopics, CreatedTopic, NewTopic, RegisterBroker, TopicPlacement};
use ottla_cluster::features::SUPPORTED;
use ottla_cluster::metadata::{BrokerEndpoint, SupportedLevels};
use ottla_model::config::Overrides;
use ottla_model::{BrokerEpoch, LeaderEpoch, ProducerId, Uuid};

use self::disk::{TestDisk, start_on};
use super::*;

const NODE: NodeId = NodeId(1);

fn server(overrides: &[(&str, &str)]) -> Arc<ServerConfig> {
    let overrides: Vec<(String, String)> = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(ServerConfig::parse(None, &overrides).unwrap().0)
}

pub(super) fn config(dir: &std::path::Path) -> ControllerConfig {
    ControllerConfig {
        node_id: NODE,
        log_dir: dir.to_owned(),
        directory_id: DirectoryId(Uuid::from_bytes([7; 16])),
        cluster_id: ClusterId("5L6g3nShT-eMCtK--X86sw".to_owned()),
        may_format: true,
        server: server(&[]),
    }
}

fn register(config: &ControllerConfig) -> Command {
    Command::RegisterBroker(RegisterBroker {
        broker_id: config.node_id,
        cluster_id: config.cluster_id.clone(),
        incarnation_id: Uuid::from_bytes([9; 16]),
        end_points: vec![BrokerEndpoint { name: "PLAINTEXT".to_owned(), host: "localhost".to_owned(), port: 9092, security_protocol: 0 }],
        features: SUPPORTED
            .iter()
            .map(|feature| (feature.name.to_owned(), SupportedLevels { min: feature.level_min, max: feature.level_max }))
            .collect::<BTreeMap<_, _>>(),
        rack: None,
        log_dirs: vec![config.directory_id],
        ready: true,
    })
}

pub(super) async fn register_broker(handle: &ControllerHandle, config: &ControllerConfig) -> BrokerEpoch {
    match handle.submit(register(config)).await.unwrap() {
        Reply::BrokerRegistered(registered) => registered.broker_epoch,
        other => panic!("{other:?}"),
    }
}

fn create(name: &str, partitions: i32) -> Command {
    let placement = TopicPlacement::Counts { partitions, replication_factor: 1 };
    let topic = NewTopic { name: name.to_owned(), placement, configs: Overrides::new() };
    Command::CreateTopics(CreateTopics { topics: vec![topic], validate_only: false })
}

pub(super) async fn create_topic(handle: &ControllerHandle, name: &str, partitions: i32) -> Result<CreatedTopic, ControllerError> {
    match handle.submit(create(name, partitions)).await? {
        Reply::TopicsCreated(mut created) => created.remove(0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_empty_dir_is_formatted_and_everything_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let handle = ControllerHandle::start(config.clone()).await.unwrap();
    assert_eq!(*handle.image().cluster_id(), config.cluster_id);
    assert_eq!(handle.image().features().collect::<Vec<_>>(), [("group.version", 1), ("metadata.version", 30), ("transaction.version", 2)]);
    let first_epoch = register_broker(&handle, &config).await;
    let created = create_topic(&handle, "logs", 3).await.unwrap();
    let before = handle.image();
    handle.shutdown().await;
    assert!(matches!(handle.submit(create("late", 1)).await, Err(ControllerError::Stopped { .. })));

    let handle = ControllerHandle::start(config.clone()).await.unwrap();
    assert_eq!(handle.image(), before);
    assert_eq!(handle.image().topic("logs").unwrap().id, created.id);
    // The new incarnation leads again, under a new leader epoch.
    let second_epoch = register_broker(&handle, &config).await;
    assert!(second_epoch > first_epoch);
    let image = handle.image();
    let topic = image.topic("logs").unwrap();
    assert!(topic.partitions.iter().all(|partition| partition.leader == NODE && partition.leader_epoch == LeaderEpoch(1)));
    image.check().unwrap();
    handle.shutdown().await;
}

#[tokio::test]
async fn the_image_is_published_before_the_answer_and_each_change_is_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let handle = ControllerHandle::start(config.clone()).await.unwrap();
    let mut events = handle.subscribe();
    events.mark_unchanged();
    register_broker(&handle, &config).await;
    events.changed().await.unwrap();
    assert!(events.borrow_and_update().broker(NODE).is_some());
    create_topic(&handle, "t", 1).await.unwrap();
    assert!(handle.image().topic("t").is_some());
    assert!(events.has_changed().unwrap());
    handle.shutdown().await;
}

#[tokio::test]
async fn two_thousand_partitions_are_one_entry_and_commands_that_wait_share_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let handle = ControllerHandle::start(config.clone()).await.unwrap();
    register_broker(&handle, &config).await;
    let index = || handle.image().position().unwrap().index;
    let before = index();
    for topic in ["a", "b", "c", "d", "e"] {
        create_topic(&handle, topic, 2000).await.unwrap();
    }
    assert_eq!(index(), before + 5);
    assert_eq!(handle.image().topics().map(|topic| topic.partitions.len()).sum::<usize>(), 10_000);

    let before = index();
    for block in allocate_at_once(&handle, BrokerEpoch(-1)).await {
        assert!(matches!(block, Err(ControllerError::StaleBrokerEpoch { .. })));
    }
    assert_eq!(index(), before, "refusals write nothing");
    let broker_epoch = handle.image().broker(NODE).unwrap().epoch;
    let mut firsts: Vec<ProducerId> = allocate_at_once(&handle, broker_epoch)
        .await
        .into_iter()
        .map(|block| match block.unwrap() {
            Reply::ProducerIds(block) => block.first,
            other => panic!("{other:?}"),
        })
        .collect();
    firsts.sort();
    assert_eq!(firsts, (0..100).map(|nth| ProducerId(nth * 1000)).collect::<Vec<_>>());
    assert!(index() - before < 100, "100 commands took {} entries", index() - before);
    handle.shutdown().await;
}

async fn allocate_at_once(handle: &ControllerHandle, broker_epoch: BrokerEpoch) -> Vec<Result<Reply, ControllerError>> {
    let allocate = || {
        let handle = handle.clone();
        tokio::spawn(async move { handle.submit(Command::AllocateProducerIds { broker_id: NODE, broker_epoch }).await })
    };
    let mut answers = Vec::new();
    for task in (0..100).map(|_| allocate()).collect::<Vec<_>>() {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_the_log_and_the_tail_is_replayed_on_it() {
    let dir = tempfile::tempdir().unwrap();
    // Every entry makes a snapshot due.
    let config = ControllerConfig { server: server(&[("metadata.log.max.record.bytes.between.snapshots", "1")]), ..config(dir.path()) };
    let handle = ControllerHandle::start(config.clone()).await.unwrap();
    register_broker(&handle, &config).await;
    for nth in 0..20 {
        create_topic(&handle, &format!("topic-{nth}"), 5).await.unwrap();
    }
    let before = handle.image();
    handle.shutdown().await;

    let identity = Identity::new(config.cluster_id.clone(), NODE, config.directory_id);
    let file = MetadataFile::open(dir.path(), &identity, None::<fn() -> _>).unwrap();
    let (meta, data) = file.snapshot().unwrap().unwrap();
    assert!(meta.last_log_id.unwrap().index > 0 && !data.is_empty());
    assert!(file.entries(0..).unwrap().len() < 22, "nothing was purged");
    drop(file);
    // Larger than this node's log will get: what is there now stays as it is.
    let config = ControllerConfig { server: server(&[]), ..config };
    let handle = ControllerHandle::start(config.clone()).await.unwrap();
    assert_eq!(handle.image(), before);
    create_topic(&handle, "after", 1).await.unwrap();
    handle.shutdown().await;
}

#[tokio::test]
async fn a_metadata_log_of_another_node_cluster_or_dir_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    ControllerHandle::start(config.clone()).await.unwrap().shutdown().await;
    let refused = async |config: ControllerConfig| ControllerHandle::start(config).await.map(drop).unwrap_err().to_string();

    let other_node = refused(ControllerConfig { node_id: NodeId(2), ..config.clone() }).await;
    assert!(other_node.contains("belongs to node 1") && other_node.contains("set node.id=1"), "{other_node}");
    let other_cluster = refused(ControllerConfig { cluster_id: ClusterId("other".to_owned()), ..config.clone() }).await;
    assert!(other_cluster.contains("5L6g3nShT-eMCtK--X86sw") && other_cluster.contains("other"), "{other_cluster}");
    let copied = refused(ControllerConfig { directory_id: DirectoryId(Uuid::from_bytes([8; 16])), ..config.clone() }).await;
    assert!(copied.contains("a copy must not vote"), "{copied}");
    let in_use = ControllerHandle::start(config.clone()).await.unwrap();
    let twice = refused(config.clone()).await;
    assert!(twice.contains("stop that one"), "{twice}");
    in_use.shutdown().await;
}

#[tokio::test]
async fn a_log_dir_that_was_in_use_is_not_formatted_anew() {
    let dir = tempfile::tempdir().unwrap();
    let config = ControllerConfig { may_format: false, ..config(dir.path()) };
    let refused = ControllerHandle::start(config).await.map(drop).unwrap_err();
    assert!(matches!(refused, ControllerStartError::NotFormatted { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_quorum_of_several_and_a_node_without_the_role_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let three = "node.id=1\nprocess.roles=broker,controller\ncontroller.listener.names=C\nlisteners=PLAINTEXT://:1,C://:2\n\
                 controller.quorum.voters=1@a:2,2@b:2,3@c:2\n";
    let voters = Arc::new(ServerConfig::parse(Some(three), &[]).unwrap().0);
    let refused = ControllerHandle::start(ControllerConfig { server: voters, ..config(dir.path()) }).await.map(drop).unwrap_err();
    assert!(matches!(refused, ControllerStartError::SeveralVoters { voters: 3 }), "{refused}");
    let broker = "node.id=1\nprocess.roles=broker\ncontroller.listener.names=C\ncontroller.quorum.voters=9@c:2\n";
    let broker = Arc::new(ServerConfig::parse(Some(broker), &[]).unwrap().0);
    let refused = ControllerHandle::start(ControllerConfig { server: broker, ..config(dir.path()) }).await.map(drop).unwrap_err();
    assert!(matches!(refused, ControllerStartError::NoControllerRole), "{refused}");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_loss_at_any_moment() {
    let disk = TestDisk::default();
    let config = config(std::path::Path::new("."));
    let handle = start_on(&disk, &config, true).await.unwrap();
    register_broker(&handle, &config).await;
    let mut moments = Vec::new();
    for nth in 0..10 {
        create_topic(&handle, &format!("topic-{nth}"), 3).await.unwrap();
        // Taken while the controller runs on: no orderly end precedes a power loss.
        moments.push((disk.after_power_loss(), handle.image()));
    }
    handle.shutdown().await;
    for (disk, acknowledged) in moments {
        let handle = start_on(&disk, &config, false).await.unwrap();
        assert_eq!(handle.image(), acknowledged);
        create_topic(&handle, "goes-on", 1).await.unwrap();
        handle.shutdown().await;
    }
}

#[tokio::test]
async fn a_disk_that_fails_answers_with_an_error_changes_nothing_and_ends_the_controller() {
    let disk = TestDisk::default();
    let config = config(std::path::Path::new("."));
    let handle = start_on(&disk, &config, true).await.unwrap();
    register_broker(&handle, &config).await;
    create_topic(&handle, "before", 2).await.unwrap();
    let before = handle.image();

    disk.fail_from_now();
    let refused = create_topic(&handle, "lost", 2).await.unwrap_err();
    assert!(matches!(&refused, ControllerError::Stopped { reason } if reason.contains("the disk is broken")), "{refused}");
    assert_eq!(handle.image(), before, "half of it was applied");
    let failure = handle.failed().await;
    assert!(failure.reason.contains("the disk is broken"), "{failure}");
    let refused = create_topic(&handle, "later", 2).await.unwrap_err();
    assert!(matches!(refused, ControllerError::Stopped { .. }), "{refused}");
    handle.shutdown().await;

    let handle = start_on(&disk.after_power_loss(), &config, false).await.unwrap();
    assert_eq!(handle.image(), before);
    handle.shutdown().await;
}
