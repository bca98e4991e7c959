//! The disk under the metadata log in tests.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::super::room::{Ground, OpenGround};
use super::*;

/// A disk in memory: what was written, and what of it a power loss leaves; how much room it has, and whether it fails.
#[derive(Clone, Debug, Default)]
pub struct TestDisk(pub Arc<TestDiskState>);

#[derive(Debug)]
pub struct TestDiskState {
    written: Mutex<Vec<u8>>,
    synced: Mutex<Vec<u8>>,
    /// How many bytes of the file may have blocks.
    bytes_max: AtomicU64,
    /// Bytes from the start that have their blocks.
    allocated: AtomicU64,
    /// It says that it has set blocks aside, and has not: as file systems that copy on write.
    pub lies: AtomicBool,
    /// The write that is refused for lack of room, counted down; below zero: none.
    pub refused_write: AtomicI64,
    /// Writes refused for lack of room so far.
    pub refusals: AtomicU64,
    pub sync_is_full: AtomicBool,
    /// Every change fails.
    failing: AtomicBool,
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
            failing: AtomicBool::new(false),
        }
    }
}

impl TestDisk {
    /// The disk as it is found after the power came back.
    pub fn after_power_loss(&self) -> TestDisk {
        let left = self.0.synced.lock().unwrap().clone();
        TestDisk(Arc::new(TestDiskState { written: Mutex::new(left.clone()), synced: Mutex::new(left), ..TestDiskState::default() }))
    }

    /// Others take what is left.
    pub fn fill(&self) {
        let taken = if self.0.lies.load(Ordering::SeqCst) { 0 } else { self.0.allocated.load(Ordering::SeqCst) };
        self.0.bytes_max.store(taken, Ordering::SeqCst);
    }

    pub fn empty(&self) {
        self.0.bytes_max.store(u64::MAX, Ordering::SeqCst);
    }

    fn ground(&self) -> OpenGround {
        let disk = self.clone();
        Box::new(move || Ok(Box::new(disk.clone())))
    }

    pub fn fail_from_now(&self) {
        self.0.failing.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.failing.load(Ordering::SeqCst) { Err(io::Error::other("the disk is broken")) } else { Ok(()) }
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
        self.check()?;
        if len < self.len()? {
            self.0.allocated.fetch_min(len, Ordering::SeqCst);
        }
        self.0.written.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        if self.0.sync_is_full.load(Ordering::SeqCst) {
            return self.refuse();
        }
        let written = self.0.written.lock().unwrap().clone();
        *self.0.synced.lock().unwrap() = written;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
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

/// Starts a controller on it; `format`: on an empty one.
pub async fn start_on(disk: &TestDisk, config: &ControllerConfig, format: bool) -> Result<ControllerHandle, ControllerStartError> {
    let identity = Identity::new(config.cluster_id.clone(), config.node_id, config.directory_id);
    let (own, disk, server) = (identity.clone(), disk.ground(), Arc::clone(&config.server));
    let open = move || {
        let first = if format { Some((&own, proposer::first_records(&own, &server)?)) } else { None };
        let opened = MetadataFile::on_ground(disk, first);
        opened.map_err(|source| ControllerStartError::Unreadable { path: PathBuf::new(), source })
    };
    ControllerHandle::start_on(open, identity, Arc::clone(&config.server)).await
}
