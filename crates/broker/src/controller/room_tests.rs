//! The controller on a disk that is full.

use std::path::Path;
use std::sync::atomic::Ordering;

use ottla_cluster::controller::{DeleteTopics, TopicRef};
use ottla_wire::ErrorCode;

use super::room::{Footing, file_ground, make_room};
use super::tests::disk::{TestDisk, start_on};
use super::tests::{config, create_topic, register_broker};
use super::*;

async fn delete_topic(handle: &ControllerHandle, name: &str) -> Result<(), ControllerError> {
    let command = Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef::Name(name.to_owned())] });
    handle.submit(command).await.map(drop)
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_has_no_room_for_takes_what_makes_room_and_goes_on() {
    let disk = TestDisk::default();
    let config = config(Path::new("."));
    let handle = start_on(&disk, &config, true).await.unwrap();
    register_broker(&handle, &config).await;
    create_topic(&handle, "before", 2).await.unwrap();
    let before = handle.image();

    disk.fill();
    for _ in 0..3 {
        let refused = create_topic(&handle, "refused", 10_000).await.unwrap_err();
        assert!(matches!(refused, ControllerError::NoRoom { .. }), "{refused}");
        assert_eq!(error_code(&refused), ErrorCode::KafkaStorageError);
        assert_eq!(handle.image(), before, "half of it was applied");
    }
    delete_topic(&handle, "before").await.unwrap();
    assert!(handle.image().topic("before").is_none());
    assert_eq!(disk.0.refusals.load(Ordering::SeqCst), 0, "the database was let run into it");

    disk.empty();
    create_topic(&handle, "after", 10_000).await.unwrap();
    let after = handle.image();
    let handle = start_on(&disk.after_power_loss(), &config, false).await.unwrap();
    assert_eq!(handle.image(), after);
    handle.shutdown().await;
}

#[tokio::test]
async fn small_changes_go_on_for_long_on_a_full_disk() {
    let disk = TestDisk::default();
    let config = config(Path::new("."));
    let handle = start_on(&disk, &config, true).await.unwrap();
    register_broker(&handle, &config).await;
    for nth in 0..100 {
        create_topic(&handle, &format!("topic-{nth}"), 3).await.unwrap();
    }
    disk.fill();
    for nth in 0..100 {
        delete_topic(&handle, &format!("topic-{nth}")).await.unwrap();
    }
    assert_eq!(handle.image().topics().count(), 0);
    handle.shutdown().await;
}

/// File systems that copy on write, and quotas: a write is refused where none should be.
#[tokio::test]
async fn a_write_that_is_refused_in_the_midst_of_a_change_is_done_once_there_is_room() {
    for nth in 0..40 {
        let disk = TestDisk::default();
        let config = config(Path::new("."));
        let handle = start_on(&disk, &config, true).await.unwrap();
        register_broker(&handle, &config).await;
        create_topic(&handle, "before", 2).await.unwrap();
        disk.0.refused_write.store(nth, Ordering::SeqCst);
        create_topic(&handle, "meets-it", 500).await.unwrap();
        create_topic(&handle, "after", 1).await.unwrap();
        let after = handle.image();
        let was_refused = disk.0.refusals.load(Ordering::SeqCst) > 0;
        assert!(was_refused || nth > 5, "write {nth} was never made");
        assert!(["before", "meets-it", "after"].iter().all(|name| after.topic(name).is_some()));
        let handle = start_on(&disk.after_power_loss(), &config, false).await.unwrap();
        assert_eq!(handle.image(), after, "write {nth} refused");
        handle.shutdown().await;
    }
}

#[tokio::test]
async fn a_controller_that_waits_for_room_can_be_stopped() {
    let disk = TestDisk::default();
    disk.0.lies.store(true, Ordering::SeqCst);
    let config = config(Path::new("."));
    let handle = start_on(&disk, &config, true).await.unwrap();
    register_broker(&handle, &config).await;
    let before = handle.image();
    disk.fill();
    let waits = tokio::spawn({
        let handle = handle.clone();
        async move { create_topic(&handle, "waits", 2).await }
    });
    while disk.0.refusals.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    handle.shutdown().await;
    assert!(matches!(waits.await.unwrap(), Err(ControllerError::Stopped { .. })));
    let handle = start_on(&disk.after_power_loss(), &config, false).await.unwrap();
    assert_eq!(handle.image(), before);
    handle.shutdown().await;
}

#[tokio::test]
async fn a_sync_that_fails_for_lack_of_room_ends_the_controller() {
    let disk = TestDisk::default();
    let config = config(Path::new("."));
    let handle = start_on(&disk, &config, true).await.unwrap();
    register_broker(&handle, &config).await;
    disk.0.sync_is_full.store(true, Ordering::SeqCst);
    let refused = create_topic(&handle, "lost", 2).await.unwrap_err();
    assert!(matches!(refused, ControllerError::Stopped { .. }), "{refused}");
    handle.failed().await;
    handle.shutdown().await;
}

#[test]
fn a_file_is_given_its_room_without_growing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"0123456789").unwrap();
    let ground = file_ground(&path, None)().unwrap();
    let footing = Footing::default();
    make_room(&*ground, &footing, 100_000).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.len(), 10);
    assert!(std::os::unix::fs::MetadataExt::blocks(&meta) * 512 >= 800_000, "{meta:?}");
}
