//! The log and the state machine as openraft sees them.
//!
//! Writes to the file run on the blocking threads of the controller's runtime: while one waits for the disk, heartbeats go on.

use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage, RaftStateMachine};
use openraft::{AnyError, EntryPayload, RaftLogReader, RaftSnapshotBuilder, Snapshot, Vote};
use ottla_cluster::metadata::{MetadataImage, MetadataPosition, MetadataRecord};
use tokio::sync::watch;

use super::Stopping;
use super::failure::Failure;
use super::file::{FileError, MetadataFile, decode, encode};
use super::raft::{Entry, LogId, SnapshotMeta, StorageError, StorageIOError, StoredMembership, TypeConfig, VoterId};

/// The log of entries, and the vote.
#[derive(Clone, Debug)]
pub(super) struct LogStore {
    pub file: MetadataFile,
    pub failure: Failure,
    pub stopping: Stopping,
}

/// How often it is tried again to write what there is no room for.
const ROOM_RETRY_INTERVAL: Duration = Duration::from_millis(200);

impl LogStore {
    /// Runs an access to the file where it may block. What fails here ends the controller; but for lack of room, which is waited for: the
    /// quorum knows no answer to that. Commands do not come as far, as they are refused before.
    async fn access<T: Send + 'static>(
        &self,
        what: impl Fn(&MetadataFile) -> Result<T, FileError> + Send + Sync + 'static,
        wrap: fn(AnyError) -> StorageIOError,
    ) -> Result<T, StorageError> {
        let what = Arc::new(what);
        let mut waits = false;
        loop {
            match self.try_access(Arc::clone(&what), wrap).await? {
                Ok(value) => return Ok(value),
                Err(error) if self.stopping.has_begun() => return Err(self.failed(&error, wrap)),
                Err(error) if !std::mem::replace(&mut waits, true) => {
                    tracing::warn!("the metadata log waits for room on its disk: {error}");
                }
                Err(_) => {}
            }
            tokio::time::sleep(ROOM_RETRY_INTERVAL).await;
        }
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static), wrap: fn(AnyError) -> StorageIOError) -> StorageError {
        self.failure.report(error.to_string());
        StorageError::from(wrap(AnyError::error(error.to_string())))
    }

    /// The inner error is one of room.
    async fn try_access<T: Send + 'static>(
        &self,
        what: Arc<impl Fn(&MetadataFile) -> Result<T, FileError> + Send + Sync + 'static>,
        wrap: fn(AnyError) -> StorageIOError,
    ) -> Result<Result<T, FileError>, StorageError> {
        let file = self.file.clone();
        match tokio::task::spawn_blocking(move || what(&file)).await {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) if error.is_full() => Ok(Err(error)),
            Ok(Err(error)) => Err(self.failed(&error, wrap)),
            Err(stopped) => Err(self.failed(&stopped, wrap)),
        }
    }
}

fn write_logs(source: AnyError) -> StorageIOError {
    StorageIOError::write_logs(source)
}

fn read_logs(source: AnyError) -> StorageIOError {
    StorageIOError::read_logs(source)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(&mut self, range: RB) -> Result<Vec<Entry>, StorageError> {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        self.access(move |file| file.entries((range.0, range.1)), read_logs).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let (purged, last) = self.access(|file| Ok((file.purged()?, file.last_id()?)), read_logs).await?;
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<VoterId>) -> Result<(), StorageError> {
        let vote = *vote;
        self.access(move |file| file.save_vote(&vote), StorageIOError::write_vote).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<VoterId>>, StorageError> {
        self.access(|file| file.vote(), StorageIOError::read_vote).await
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.access(move |file| file.append(&entries), write_logs).await?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.access(move |file| file.truncate(log_id.index), write_logs).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.access(move |file| file.purge(log_id), write_logs).await
    }
}

/// Where the image is published to the rest of the process.
#[derive(Clone)]
pub(super) struct Published {
    pub current: Arc<ArcSwap<MetadataImage>>,
    pub events: watch::Sender<Arc<MetadataImage>>,
}

impl Published {
    pub fn new() -> Published {
        let image = Arc::new(MetadataImage::default());
        Published { current: Arc::new(ArcSwap::new(Arc::clone(&image))), events: watch::Sender::new(image) }
    }

    fn publish(&self, image: &MetadataImage) {
        let image = Arc::new(image.clone());
        // First the image, then the event: who is woken finds it.
        self.current.store(Arc::clone(&image));
        self.events.send_replace(image);
    }
}

/// The image that the committed entries add up to.
pub(super) struct Machine {
    log: LogStore,
    image: MetadataImage,
    applied: Option<LogId>,
    membership: StoredMembership,
    published: Published,
}

impl Machine {
    /// The machine as the last snapshot in the file has it.
    pub fn load(log: LogStore, published: Published) -> Result<Machine, FileError> {
        let mut machine =
            Machine { log, image: MetadataImage::default(), applied: None, membership: StoredMembership::default(), published };
        if let Some((meta, data)) = machine.log.file.snapshot()? {
            machine.restore(&meta, &data).map_err(|what| {
                machine.log.failure.report(what.clone());
                FileError { action: "use its snapshot", source: Arc::new(redb::Error::Corrupted(what).into()) }
            })?;
        }
        Ok(machine)
    }

    fn restore(&mut self, meta: &SnapshotMeta, data: &[u8]) -> Result<(), String> {
        let records: Vec<MetadataRecord> = decode("a snapshot", data).map_err(|error| error.to_string())?;
        self.image = MetadataImage::from_records(meta.last_log_id.map(position), &records).map_err(|error| error.to_string())?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.published.publish(&self.image);
        Ok(())
    }

    fn snapshot_of(&self) -> SnapshotBuilder {
        SnapshotBuilder { log: self.log.clone(), image: self.image.clone(), applied: self.applied, membership: self.membership.clone() }
    }
}

fn position(log_id: LogId) -> MetadataPosition {
    MetadataPosition { term: log_id.leader_id.term, index: log_id.index }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut answers = Vec::new();
        for entry in entries {
            let records = match &entry.payload {
                EntryPayload::Normal(normal) => normal.records.as_slice(),
                EntryPayload::Blank => &[],
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                    &[]
                }
            };
            self.image.apply_entry(position(entry.log_id), records).map_err(|error| {
                self.log.failure.report(error.to_string());
                StorageIOError::apply(entry.log_id, &error)
            })?;
            self.applied = Some(entry.log_id);
            answers.push(());
        }
        self.published.publish(&self.image);
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.snapshot_of()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Vec<u8>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Box<Vec<u8>>) -> Result<(), StorageError> {
        let (meta_to_save, data) = (meta.clone(), Arc::new(*snapshot));
        let to_save = Arc::clone(&data);
        self.log
            .access(move |file| file.save_snapshot(&meta_to_save, &to_save), |source| StorageIOError::write_snapshot(None, source))
            .await?;
        self.restore(meta, &data).map_err(|what| {
            self.log.failure.report(what.clone());
            StorageIOError::read_snapshot(Some(meta.signature()), AnyError::error(what)).into()
        })
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let stored = self.log.access(|file| file.snapshot(), |source| StorageIOError::read_snapshot(None, source)).await?;
        Ok(stored.map(|(meta, data)| Snapshot { meta, snapshot: Box::new(data) }))
    }
}

/// Stores a snapshot of the image as it was when it was asked for.
pub(super) struct SnapshotBuilder {
    log: LogStore,
    image: MetadataImage,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: self.applied.map_or_else(|| "empty".to_owned(), |applied| format!("{}-{}", applied.leader_id.term, applied.index)),
        };
        let (image, meta_to_save) = (self.image.clone(), meta.clone());
        let save = move |file: &MetadataFile| {
            let data = encode("a snapshot", &image.to_records())
                .map_err(|cause| FileError { action: "store a snapshot", source: Arc::new(cause) })?;
            file.save_snapshot(&meta_to_save, &data)?;
            Ok(data)
        };
        let data = self.log.access(save, |source| StorageIOError::write_snapshot(None, source)).await?;
        Ok(Snapshot { meta, snapshot: Box::new(data) })
    }
}
