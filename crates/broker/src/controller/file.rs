//! The file of the metadata log: a redb database with the voter's identity, its vote, the log's entries and the last snapshot.
//!
//! Every write is on stable storage when it returns. What is stored is named maps of MessagePack, so that a later version can
//! add to it. Knows nothing of what a record means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::{CommittedLeaderId, EmptyNode, EntryPayload, Membership, Vote};
use ottla_cluster::metadata::MetadataRecord;
use ottla_model::{ClusterId, DirectoryId, NodeId};
use parking_lot::RwLock;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ControllerStartError;
use super::raft::{Entry, LogId, MetadataEntry, SnapshotMeta, VoterId};
use super::room::{self, Backend, Footing, Ground, OpenGround, file_ground};

/// Kafka's name for the folder of the metadata log, within the metadata log dir.
pub(super) const FOLDER: &str = "__cluster_metadata-0";
/// The database within it.
const FILE: &str = "metadata.redb";
/// The database while it is made: it takes its name once it is whole.
const FILE_IN_THE_MAKING: &str = "metadata.redb.new";
/// The version of what this module writes; a higher one is refused.
const FORMAT: u32 = 1;
/// The term in which a new log's sole voter is the leader.
const FIRST_TERM: u64 = 1;
/// redb's own cache: the log is read once, at start, and appended to from then on.
const CACHE_BYTES_MAX: usize = 2 << 20;
/// A snapshot is stored in pieces of this size, so that no single value takes a contiguous piece of the file as large as it.
const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshot");

const IDENTITY: &str = "identity";
const VOTE: &str = "vote";
const PURGED: &str = "purged";
const SNAPSHOT_META: &str = "snapshot";

/// Whose log this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub format: u32,
    pub cluster_id: ClusterId,
    pub node_id: NodeId,
    pub directory_id: DirectoryId,
}

impl Identity {
    pub fn new(cluster_id: ClusterId, node_id: NodeId, directory_id: DirectoryId) -> Identity {
        Identity { format: FORMAT, cluster_id, node_id, directory_id }
    }

    pub fn voter(&self) -> VoterId {
        VoterId { node: self.node_id.get(), directory: self.directory_id.0 }
    }
}

/// A read or write of the metadata log that failed. After a failed write the database takes no other, but for one that lacked room: see
/// `room.rs`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the metadata log cannot {action}: {source}")]
pub struct FileError {
    pub(super) action: &'static str,
    #[source]
    pub(super) source: Arc<FileCause>,
}

/// What lies behind a [`FileError`].
#[derive(Debug, thiserror::Error)]
pub(super) enum FileCause {
    /// The disk is full.
    #[error("there is no room: {0}")]
    NoRoom(#[source] io::Error),
    /// The database failed.
    #[error(transparent)]
    Database(redb::Error),
    /// What is stored cannot be understood.
    #[error("{what} cannot be read: {source}")]
    Decode {
        /// What it was to be.
        what: &'static str,
        /// Why.
        source: rmp_serde::decode::Error,
    },
    /// What is to be stored cannot be written down.
    #[error("{what} cannot be written: {source}")]
    Encode {
        /// What it is.
        what: &'static str,
        /// Why.
        source: rmp_serde::encode::Error,
    },
}

impl<E: Into<redb::Error>> From<E> for FileCause {
    fn from(error: E) -> FileCause {
        FileCause::Database(error.into())
    }
}

impl FileError {
    /// Whether the disk is full. Nothing has changed then, and it may be tried again.
    pub(super) fn is_full(&self) -> bool {
        matches!(&*self.source, FileCause::NoRoom(_))
    }
}

type Outcome<T> = Result<T, FileCause>;

/// The open file. Cheap to clone.
#[derive(Clone)]
pub(super) struct MetadataFile(Arc<Shared>);

struct Shared {
    /// Shared by reads and writes alike; taken alone while it is opened anew.
    open: RwLock<Open>,
    ground: OpenGround,
    /// Bytes appended since the last snapshot was stored, or since the file was opened.
    appended_bytes: AtomicU64,
}

/// The database and what it stands on. `None`: it has to be opened anew.
struct Open(Option<Standing>);

struct Standing {
    // Dropped first: it lets go of the ground.
    database: Database,
    ground: Arc<dyn Ground>,
    footing: Arc<Footing>,
}

impl Standing {
    fn on(ground: Box<dyn Ground>) -> Result<Standing, redb::Error> {
        let (ground, footing): (Arc<dyn Ground>, Arc<Footing>) = (Arc::from(ground), Arc::default());
        let database = builder().create_with_backend(Backend::new(Arc::clone(&ground), Arc::clone(&footing)))?;
        Ok(Standing { database, ground, footing })
    }
}

impl fmt::Debug for MetadataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetadataFile")
    }
}

impl MetadataFile {
    /// Opens the file of this identity in the metadata log dir. Where there is none it is made with the records that `format`
    /// gives; without it that is an error.
    pub fn open(
        log_dir: &Path,
        own: &Identity,
        format: Option<impl FnOnce() -> Result<Vec<MetadataRecord>, ControllerStartError>>,
    ) -> Result<MetadataFile, ControllerStartError> {
        let folder = log_dir.join(FOLDER);
        let path = folder.join(FILE);
        let unusable = |source: redb::Error| ControllerStartError::Unusable { path: path.clone(), source };
        let exists = path.try_exists().map_err(|source| ControllerStartError::Io { path: path.clone(), source })?;
        if !exists {
            let first = format.ok_or(ControllerStartError::NotFormatted { path })?()?;
            return make(log_dir, &folder, own, first);
        }
        let file = MetadataFile::stand_on(file_ground(&path, None)).map_err(unusable)?;
        let found: Identity = match file.read("read whose it is", |meta| get(meta, IDENTITY)) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(ControllerStartError::NoIdentity { path }),
            Err(source) => return Err(ControllerStartError::Unreadable { path, source }),
        };
        check_identity(&path, &found, own)?;
        file.count_stored().map_err(|source| ControllerStartError::Unreadable { path, source })?;
        Ok(file)
    }

    /// A file on other ground than the disk, newly formatted with these.
    #[cfg(test)]
    pub fn on_ground(ground: OpenGround, format: Option<(&Identity, Vec<MetadataRecord>)>) -> Result<MetadataFile, FileError> {
        let failed = |error: redb::Error| FileError { action: "be opened", source: Arc::new(FileCause::Database(error)) };
        let file = MetadataFile::stand_on(ground).map_err(failed)?;
        if let Some((own, first)) = format {
            file.format(own, first)?;
        }
        Ok(file)
    }

    /// What the log holds was appended since the last snapshot: each snapshot purges what it covers.
    fn count_stored(&self) -> Result<(), FileError> {
        let stored = self.guard("read its size", |on| Ok(on.database.begin_read()?.open_table(LOG)?.stats()?.stored_bytes()))?;
        self.0.appended_bytes.store(stored, Ordering::Relaxed);
        Ok(())
    }

    fn stand_on(ground: OpenGround) -> Result<MetadataFile, redb::Error> {
        let standing = Standing::on(ground().map_err(redb::Error::Io)?)?;
        Ok(MetadataFile(Arc::new(Shared { open: RwLock::new(Open(Some(standing))), ground, appended_bytes: AtomicU64::new(0) })))
    }

    /// Has the disk set aside what a change of so many bytes may need; an error that [`FileError::is_full`] when it cannot.
    pub fn make_room(&self, bytes: u64) -> Result<(), FileError> {
        self.guard("be given room", |on| on.make_room(bytes))
    }

    /// Writes whose log this is, and with it all that a sole voter comes to by electing itself: its vote, who the voters are, and
    /// the first records. In one transaction, as each sync is a part of the time until a new node answers.
    fn format(&self, own: &Identity, first: Vec<MetadataRecord>) -> Result<(), FileError> {
        let voter = own.voter();
        let membership = Membership::new(vec![BTreeSet::from([voter])], BTreeMap::from([(voter, EmptyNode {})]));
        let elected = CommittedLeaderId::new(FIRST_TERM, voter);
        let entries = [
            // openraft gives the first membership of a log no leader: it precedes the first election.
            Entry { log_id: LogId::default(), payload: EntryPayload::Membership(membership) },
            Entry { log_id: LogId::new(elected, 1), payload: EntryPayload::Normal(MetadataEntry { records: first }) },
        ];
        self.write("be made", 0, |transaction| {
            transaction.open_table(SNAPSHOT)?;
            put(transaction, IDENTITY, own)?;
            put(transaction, VOTE, &Vote::new_committed(FIRST_TERM, voter))?;
            let mut log = transaction.open_table(LOG)?;
            for entry in &entries {
                log.insert(entry.log_id.index, encode_entry(entry)?.as_slice())?;
            }
            Ok(())
        })
    }

    /// Bytes appended since the last snapshot.
    pub fn appended_bytes(&self) -> u64 {
        self.0.appended_bytes.load(Ordering::Relaxed)
    }

    pub fn vote(&self) -> Result<Option<Vote<VoterId>>, FileError> {
        self.read("read its vote", |meta| get(meta, VOTE))
    }

    pub fn save_vote(&self, vote: &Vote<VoterId>) -> Result<(), FileError> {
        self.write("store its vote", 0, |transaction| put(transaction, VOTE, vote))
    }

    /// The last entry that was purged.
    pub fn purged(&self) -> Result<Option<LogId>, FileError> {
        self.read("read its start", |meta| get(meta, PURGED))
    }

    /// The last entry's id; its contents, which may be long, are not read.
    pub fn last_id(&self) -> Result<Option<LogId>, FileError> {
        self.guard("read its end", |on| {
            let log = on.database.begin_read()?.open_table(LOG)?;
            log.last()?.map(|(_, bytes)| decode("the id of an entry", bytes.value())).transpose()
        })
    }

    pub fn entries(&self, range: impl RangeBounds<u64>) -> Result<Vec<Entry>, FileError> {
        self.guard("read its entries", |on| {
            let log = on.database.begin_read()?.open_table(LOG)?;
            let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
            log.range(bounds)?.map(|entry| decode_entry(entry?.1.value())).collect()
        })
    }

    pub fn append(&self, entries: &[Entry]) -> Result<(), FileError> {
        let failed = |cause| FileError { action: "append", source: Arc::new(cause) };
        let encoded: Vec<(u64, Vec<u8>)> =
            entries.iter().map(|entry| Ok((entry.log_id.index, encode_entry(entry)?))).collect::<Outcome<_>>().map_err(failed)?;
        let appended_bytes = encoded.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.write("append", appended_bytes, |transaction| {
            let mut log = transaction.open_table(LOG)?;
            for (index, bytes) in &encoded {
                log.insert(index, bytes.as_slice())?;
            }
            Ok(())
        })?;
        self.0.appended_bytes.fetch_add(appended_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Removes the entries from this index on.
    pub fn truncate(&self, from: u64) -> Result<(), FileError> {
        self.write("truncate", 0, |transaction| remove(transaction, (Bound::Included(from), Bound::Unbounded)))
    }

    /// Removes the entries up to this one; it stays known as the one before the first.
    pub fn purge(&self, upto: LogId) -> Result<(), FileError> {
        self.write("purge", 0, |transaction| {
            put(transaction, PURGED, &upto)?;
            remove(transaction, (Bound::Unbounded, Bound::Included(upto.index)))
        })
    }

    pub fn snapshot(&self) -> Result<Option<(SnapshotMeta, Vec<u8>)>, FileError> {
        self.guard("read its snapshot", |on| {
            let transaction = on.database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let Some(meta) = meta.get(SNAPSHOT_META)? else { return Ok(None) };
            let meta: SnapshotMeta = decode("a snapshot", meta.value())?;
            let mut data = Vec::new();
            for chunk in transaction.open_table(SNAPSHOT)?.iter()? {
                data.extend_from_slice(chunk?.1.value());
            }
            Ok(Some((meta, data)))
        })
    }

    /// Stores a snapshot in place of the one before.
    pub fn save_snapshot(&self, meta: &SnapshotMeta, data: &[u8]) -> Result<(), FileError> {
        let before = self.appended_bytes();
        self.write("store a snapshot", data.len() as u64, |transaction| {
            put(transaction, SNAPSHOT_META, meta)?;
            let mut table = transaction.open_table(SNAPSHOT)?;
            table.retain(|_, _| false)?;
            for (at, chunk) in (0u64..).zip(data.chunks(SNAPSHOT_CHUNK_BYTES)) {
                table.insert(at, chunk)?;
            }
            Ok(())
        })?;
        self.0.appended_bytes.fetch_sub(before, Ordering::Relaxed);
        Ok(())
    }

    fn read<T>(
        &self,
        action: &'static str,
        from: impl FnOnce(&redb::ReadOnlyTable<&'static str, &'static [u8]>) -> Outcome<T>,
    ) -> Result<T, FileError> {
        self.guard(action, |on| from(&on.database.begin_read()?.open_table(META)?))
    }

    /// `bytes`: about what the change stores.
    fn write(&self, action: &'static str, bytes: u64, change: impl FnOnce(&WriteTransaction) -> Outcome<()>) -> Result<(), FileError> {
        self.guard(action, |on| {
            on.make_room(bytes)?;
            let mut transaction = on.database.begin_write()?;
            // The default, said aloud: `commit` returns when the data is on stable storage.
            transaction.set_durability(Durability::Immediate)?;
            change(&transaction)?;
            transaction.commit()?;
            Ok(())
        })
    }

    fn guard<T>(&self, action: &'static str, what: impl FnOnce(&Standing) -> Outcome<T>) -> Result<T, FileError> {
        let failed = |cause| FileError { action, source: Arc::new(cause) };
        let mut open = self.0.open.read();
        if open.0.as_ref().is_none_or(|on| on.footing.needs_reopening()) {
            drop(open);
            self.0.open_anew().map_err(failed)?;
            open = self.0.open.read();
        }
        // Another may have met a full disk in between: as if this one had.
        let Some(on) = &open.0 else { return Err(failed(FileCause::NoRoom(io::ErrorKind::StorageFull.into()))) };
        what(on)
            .map_err(|cause| match cause {
                FileCause::Database(error) if on.footing.needs_reopening() => FileCause::NoRoom(io::Error::other(error)),
                cause => cause,
            })
            .map_err(failed)
    }
}

impl Standing {
    fn make_room(&self, bytes: u64) -> Outcome<()> {
        room::make_room(&*self.ground, &self.footing, bytes).map_err(|error| match room::is_full(&error) {
            true => FileCause::NoRoom(error),
            false => FileCause::Database(redb::Error::Io(error)),
        })
    }
}

impl Shared {
    /// The database as it was before the write that found no room.
    fn open_anew(&self) -> Outcome<()> {
        let mut open = self.open.write();
        if open.0.as_ref().is_some_and(|on| !on.footing.needs_reopening()) {
            return Ok(());
        }
        // Lets go of the file, and of its lock.
        open.0 = None;
        let again = (self.ground)().map_err(redb::Error::Io).and_then(Standing::on);
        open.0 = Some(again.map_err(|error| match error {
            redb::Error::Io(error) if room::is_full(&error) => FileCause::NoRoom(error),
            error => FileCause::Database(error),
        })?);
        Ok(())
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES_MAX);
    builder
}

/// Makes the file under another name first: a crash on the way leaves nothing that looks like a metadata log.
fn make(log_dir: &Path, folder: &Path, own: &Identity, first: Vec<MetadataRecord>) -> Result<MetadataFile, ControllerStartError> {
    let in_the_making = folder.join(FILE_IN_THE_MAKING);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| ControllerStartError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(io(folder))?;
    match fs::remove_file(&in_the_making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(&in_the_making)(error)),
        Ok(()) | Err(_) => {}
    }
    let unusable = |source: redb::Error| ControllerStartError::Unusable { path: in_the_making.clone(), source };
    File::create_new(&in_the_making).map_err(io(&in_the_making))?;
    let made = MetadataFile::stand_on(file_ground(&folder.join(FILE), Some(&in_the_making))).map_err(unusable)?;
    made.format(own, first).map_err(|source| ControllerStartError::Unreadable { path: in_the_making.clone(), source })?;
    fs::rename(&in_the_making, folder.join(FILE)).map_err(io(&in_the_making))?;
    for dir in [folder, log_dir] {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))?;
    }
    Ok(made)
}

fn check_identity(path: &Path, found: &Identity, own: &Identity) -> Result<(), ControllerStartError> {
    let path = path.to_owned();
    if found.format > FORMAT {
        return Err(ControllerStartError::NewerFormat { path, found: found.format, known: FORMAT });
    }
    if found.node_id != own.node_id {
        return Err(ControllerStartError::OtherNode { path, found: found.node_id, own: own.node_id });
    }
    if found.cluster_id != own.cluster_id {
        return Err(ControllerStartError::OtherCluster { path, found: found.cluster_id.clone(), own: own.cluster_id.clone() });
    }
    if found.directory_id != own.directory_id {
        return Err(ControllerStartError::OtherDirectory { path, found: found.directory_id, own: own.directory_id });
    }
    Ok(())
}

fn get<T: DeserializeOwned>(meta: &impl ReadableTable<&'static str, &'static [u8]>, key: &'static str) -> Outcome<Option<T>> {
    meta.get(key)?.map(|bytes| decode(key, bytes.value())).transpose()
}

fn put(transaction: &WriteTransaction, key: &'static str, value: &impl Serialize) -> Outcome<()> {
    let bytes = encode(key, value)?;
    transaction.open_table(META)?.insert(key, bytes.as_slice())?;
    Ok(())
}

fn remove(transaction: &WriteTransaction, range: (Bound<u64>, Bound<u64>)) -> Outcome<()> {
    transaction.open_table(LOG)?.retain_in(range, |_, _| false)?;
    Ok(())
}

/// An entry's id, and after it what it holds.
fn encode_entry(entry: &Entry) -> Outcome<Vec<u8>> {
    let mut bytes = encode("the id of an entry", &entry.log_id)?;
    bytes.append(&mut encode("an entry", &entry.payload)?);
    Ok(bytes)
}

fn decode_entry(bytes: &[u8]) -> Outcome<Entry> {
    let mut values = rmp_serde::Deserializer::from_read_ref(bytes);
    let failed = |source| FileCause::Decode { what: "an entry", source };
    let log_id = LogId::deserialize(&mut values).map_err(failed)?;
    let payload = EntryPayload::deserialize(&mut values).map_err(failed)?;
    Ok(Entry { log_id, payload })
}

/// Structs as maps by the names of their fields: a field can be added, and an older entry still be read.
pub(super) fn encode(what: &'static str, value: &impl Serialize) -> Outcome<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|source| FileCause::Encode { what, source })
}

pub(super) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Outcome<T> {
    rmp_serde::from_slice(bytes).map_err(|source| FileCause::Decode { what, source })
}
