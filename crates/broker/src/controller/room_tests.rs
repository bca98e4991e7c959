//! The controller on a disk that is full.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ottla_cluster::controller::{DeleteTopics, TopicRef};
use ottla_wire::ErrorCode;
use redb::StorageBackend;

use super::room::{Footing, Ground, OpenGround, file_ground, make_room};
use super::tests::{config, create_topic, register_broker};
use super::*;

/// A disk in memory: what was written, and what of it a power loss leaves. And how much room it has.
#[derive(Clone, Debug, Default)]
struct TestDisk(Arc<TestDiskState>);

#[derive(Debug)]
struct TestDiskState {
    written: Mutex<Vec<u8>>,
    synced: Mutex<Vec<u8>>,
    /// How many bytes of the file may have blocks.
    bytes_max: AtomicU64,
    /// Bytes from the start that have their blocks.
    allocated: AtomicU64,
    /// It says that it has set blocks aside, and has not: as file systems that copy on write.
    lies: AtomicBool,
    /// The write that is refused for lack of room, counted down; below zero: none.
    refused_write: AtomicI64,
    /// Writes refused for lack of room so far.
    refusals: AtomicU64,
    sync_is_full: AtomicBool,
}

impl Default for TestDiskState {
    fn default() -> TestDiskState {
        TestDiskState {
            written: Mutex::default(),
            synced: Mutex::default(),
            bytes_max: AtomicU64::new(u64::MAX),
            allocated: AtomicU64::new(0),
            lies: AtomicBool::new(false),
            refused_write: AtomicI64::new(-1),
            refusals: AtomicU64::new(0),
            sync_is_full: AtomicBool::new(false),
        }
    }
}

impl TestDisk {
    /// The disk as it is found after the power came back.
    fn after_power_loss(&self) -> TestDisk {
        let left = self.0.synced.lock().unwrap().clone();
        TestDisk(Arc::new(TestDiskState { written: Mutex::new(left.clone()), synced: Mutex::new(left), ..TestDiskState::default() }))
    }

    /// Others take what is left.
    fn fill(&self) {
        let taken = if self.0.lies.load(Ordering::SeqCst) { 0 } else { self.0.allocated.load(Ordering::SeqCst) };
        self.0.bytes_max.store(taken, Ordering::SeqCst);
    }

    fn empty(&self) {
        self.0.bytes_max.store(u64::MAX, Ordering::SeqCst);
    }

    fn ground(&self) -> OpenGround {
        let disk = self.clone();
        Box::new(move || Ok(Box::new(disk.clone())))
    }

    fn refuse(&self) -> io::Result<()> {
        self.0.refusals.fetch_add(1, Ordering::SeqCst);
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl StorageBackend for TestDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.written.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.0.written.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&written[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len < self.len()? {
            self.0.allocated.fetch_min(len, Ordering::SeqCst);
        }
        self.0.written.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.sync_is_full.load(Ordering::SeqCst) {
            return self.refuse();
        }
        let written = self.0.written.lock().unwrap().clone();
        *self.0.synced.lock().unwrap() = written;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let has_blocks = offset + data.len() as u64 <= self.0.allocated.load(Ordering::SeqCst);
        let is_full = !has_blocks && self.0.bytes_max.load(Ordering::SeqCst) < offset + data.len() as u64;
        if is_full || self.0.refused_write.fetch_sub(1, Ordering::SeqCst) == 0 {
            return self.refuse();
        }
        let from = usize::try_from(offset).unwrap();
        self.0.written.lock().unwrap()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl Ground for TestDisk {
    fn storage(&self) -> &dyn StorageBackend {
        self
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.0.lies.load(Ordering::SeqCst) {
            return Ok(());
        }
        if len > self.0.bytes_max.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.allocated.fetch_max(len, Ordering::SeqCst);
        Ok(())
    }
}

async fn start_on(disk: &TestDisk, config: &ControllerConfig, format: bool) -> Result<ControllerHandle, ControllerStartError> {
    let identity = Identity::new(config.cluster_id.clone(), config.node_id, config.directory_id);
    let (own, disk, server) = (identity.clone(), disk.ground(), Arc::clone(&config.server));
    let open = move || {
        let first = if format { Some((&own, proposer::first_records(&own, &server)?)) } else { None };
        let opened = MetadataFile::on_ground(disk, first);
        opened.map_err(|source| ControllerStartError::Unreadable { path: PathBuf::new(), source })
    };
    ControllerHandle::start_on(open, identity, Arc::clone(&config.server)).await
}

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
