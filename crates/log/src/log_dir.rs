//! A log directory: who it belongs to, that nobody else uses it, and how the broker before left it.
//!
//! Owns `meta.properties`, `.lock` and `.kafka_cleanshutdown`; the offset checkpoints beside them are
//! [`crate::checkpoint`]'s, the partitions' folders [`crate::PartitionLog`]'s.

use std::any::Any;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use ottla_model::{BrokerEpoch, CLUSTER_METADATA_TOPIC, ClusterId, DirectoryId, NodeId, TopicPartition, Uuid};

use crate::disk::Disk;
use crate::error::{IoContext, IoFailure, LogError};

/// Says whose directory it is.
pub const META_PROPERTIES_FILE: &str = "meta.properties";
/// Held by the process that uses the directory.
pub const LOCK_FILE: &str = ".lock";
/// Left by a broker that closed all logs cleanly.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

const META_VERSION: &str = "1";

/// The content of `meta.properties`, version 1 (KIP-631, KIP-858).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster that it was formatted for.
    pub cluster_id: ClusterId,
    /// The node it belongs to.
    pub node_id: NodeId,
    /// The directory's own id; `None` in one that was formatted before Kafka 3.7.
    pub directory_id: Option<DirectoryId>,
}

impl MetaProperties {
    /// Reads a directory's; `None`: it was never formatted.
    pub fn read(disk: &dyn Disk, log_dir: &Path) -> Result<Option<MetaProperties>, LogError> {
        let path = log_dir.join(META_PROPERTIES_FILE);
        let bytes = match disk.read_all(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IoFailure { doing: "read", path, source }.into()),
        };
        let text = String::from_utf8_lossy(&bytes);
        let bad = |reason: String| LogError::BadFile { path: path.clone(), reason };
        // Java writes a property's `=`, `:` and spaces in values with a backslash.
        let get = |key: &str| {
            let lines = text.lines().map(str::trim_start).filter(|l| !l.starts_with(['#', '!']));
            lines.filter_map(|l| l.split_once('=')).find(|(k, _)| k.trim() == key).map(|(_, v)| v.replace('\\', "").trim().to_owned())
        };
        let need = |key: &str| get(key).filter(|v| !v.is_empty()).ok_or_else(|| bad(format!("`{key}` is not set")));
        let version = need("version")?;
        if version != META_VERSION {
            return Err(bad(format!("version {version}, expected {META_VERSION}; it was not formatted by Kafka in KRaft mode")));
        }
        let node = need("node.id")?;
        let node_id = node.parse().map(NodeId).map_err(|_| bad(format!("`node.id` is `{node}`, not a number")))?;
        let directory_id = match get("directory.id") {
            Some(id) => Some(DirectoryId(id.parse::<Uuid>().map_err(|e| bad(format!("`directory.id`: {e}")))?)),
            None => None,
        };
        Ok(Some(MetaProperties { cluster_id: ClusterId(need("cluster.id")?), node_id, directory_id }))
    }

    /// Formats a directory, which is made where it is missing; on stable storage when this returns.
    pub fn write(&self, disk: &dyn Disk, log_dir: &Path) -> Result<(), LogError> {
        let mut text = format!("#\ncluster.id={}\n", self.cluster_id);
        if let Some(id) = self.directory_id {
            let _ = writeln!(text, "directory.id={id}");
        }
        let _ = writeln!(text, "node.id={}\nversion={META_VERSION}", self.node_id);
        make_dir(disk, log_dir)?;
        let path = log_dir.join(META_PROPERTIES_FILE);
        Ok(disk.write_atomic(&path, text.as_bytes()).doing("write", &path)?)
    }
}

/// Makes a log directory where it is missing, such that it stays.
pub fn make_dir(disk: &dyn Disk, log_dir: &Path) -> Result<(), LogError> {
    disk.create_dir_all(log_dir).doing("make the folder", log_dir)?;
    if let Some(parent) = log_dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        disk.sync_dir(parent).doing("sync the folder", parent)?;
    }
    Ok(())
}

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is in use by another process (its file `.lock` is held): stop it, or give this one other log.dirs", .0.display())]
    InUse(PathBuf),
    /// The disk said no.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// This process uses the directory for as long as this lives.
pub struct DirLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for DirLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DirLock")
    }
}

impl DirLock {
    /// Takes a directory that exists. Released by the system when the process ends, however it ends.
    pub fn acquire(disk: &dyn Disk, log_dir: &Path) -> Result<DirLock, LockError> {
        let path = log_dir.join(LOCK_FILE);
        match disk.try_lock(&path).doing("lock", &path)? {
            Some(held) => Ok(DirLock { _held: held }),
            None => Err(LockError::InUse(log_dir.to_owned())),
        }
    }
}

/// How the broker before stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastShutdown {
    /// It closed all logs; the epoch it was registered with (-1: not known).
    Clean(BrokerEpoch),
    /// It did not come to that.
    Unclean,
}

/// Reads the marker of a clean stop. It must be removed (`forget_clean_shutdown`) before anything is written.
pub fn last_shutdown(disk: &dyn Disk, log_dir: &Path) -> Result<LastShutdown, LogError> {
    let path = log_dir.join(CLEAN_SHUTDOWN_FILE);
    match disk.read_all(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let epoch = text.split_once("\"brokerEpoch\":").and_then(|(_, rest)| {
                let end = rest.find(['}', ',']).unwrap_or(rest.len());
                rest[..end].trim().parse().ok()
            });
            // Kafka, too, takes the file's presence for the fact, and its content for a hint.
            Ok(LastShutdown::Clean(BrokerEpoch(epoch.unwrap_or(-1))))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(LastShutdown::Unclean),
        Err(source) => Err(IoFailure { doing: "read", path, source }.into()),
    }
}

/// Removes the marker, for good: were it to come back after a crash, torn logs would be taken for sound.
pub fn forget_clean_shutdown(disk: &dyn Disk, log_dir: &Path) -> Result<(), LogError> {
    let path = log_dir.join(CLEAN_SHUTDOWN_FILE);
    match disk.remove_file(&path) {
        Ok(()) => Ok(disk.sync_dir(log_dir).doing("sync the folder", log_dir)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(IoFailure { doing: "remove", path, source }.into()),
    }
}

/// Leaves the marker. The last thing that is written, after every log was closed and the checkpoints are there.
pub fn mark_clean_shutdown(disk: &dyn Disk, log_dir: &Path, broker_epoch: BrokerEpoch) -> Result<(), LogError> {
    let path = log_dir.join(CLEAN_SHUTDOWN_FILE);
    let text = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
    Ok(disk.write_atomic(&path, text.as_bytes()).doing("write", &path)?)
}

/// The partition that a folder of this name holds; `None` for what is none: other folders, and the metadata log's.
pub fn partition_of(folder: &str) -> Option<TopicPartition> {
    TopicPartition::from_folder_name(folder).filter(|name| name.topic.as_str() != CLUSTER_METADATA_TOPIC)
}

/// The partitions that have a folder here. Other folders are left alone.
pub fn partitions(disk: &dyn Disk, log_dir: &Path) -> Result<Vec<TopicPartition>, LogError> {
    let entries = disk.list_dir(log_dir).doing("list", log_dir)?;
    Ok(entries.iter().filter(|e| e.is_dir).filter_map(|e| partition_of(&e.name)).collect())
}

/// Where a partition's folder is.
pub fn partition_dir(log_dir: &Path, partition: &TopicPartition) -> PathBuf {
    log_dir.join(partition.to_string())
}

/// Removes a partition for good: its folder and the folder's name.
pub fn remove_partition(disk: &dyn Disk, log_dir: &Path, partition: &TopicPartition) -> Result<(), LogError> {
    let path = partition_dir(log_dir, partition);
    match disk.remove_dir_all(&path) {
        Ok(()) => Ok(disk.sync_dir(log_dir).doing("sync the folder", log_dir)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(IoFailure { doing: "remove", path, source }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{MemDisk, RealDisk};

    #[test]
    fn meta_properties_are_read_as_kafka_writes_them() {
        let (disk, dir) = (MemDisk::new(), Path::new("/d"));
        assert_eq!(MetaProperties::read(&disk, dir).unwrap(), None);
        disk.create_dir_all(dir).unwrap();
        let text = "#\n#Sat Nov 21 21:00:00 UTC 2026\ncluster.id=5L6g3nShT-eMCtK--X86sw\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=7\nversion=1\n";
        disk.write_atomic(&dir.join(META_PROPERTIES_FILE), text.as_bytes()).unwrap();
        let meta = MetaProperties::read(&disk, dir).unwrap().unwrap();
        assert_eq!((meta.cluster_id.0.as_str(), meta.node_id), ("5L6g3nShT-eMCtK--X86sw", NodeId(7)));
        assert_eq!(meta.directory_id.unwrap().to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        meta.write(&disk, dir).unwrap();
        assert_eq!(MetaProperties::read(&disk, dir).unwrap().unwrap(), meta);
        let blank = "cluster.id=\\\ra\nnode.id=7\nversion=1\n";
        disk.write_atomic(&dir.join(META_PROPERTIES_FILE), blank.as_bytes()).unwrap();
        let meta = MetaProperties::read(&disk, dir).unwrap().unwrap();
        meta.write(&disk, dir).unwrap();
        assert_eq!(MetaProperties::read(&disk, dir).unwrap().unwrap(), meta, "an escaped blank in front is none of the value");
        for bad in ["version=0\n", "version=1\nnode.id=x\ncluster.id=a\n", "version=1\nnode.id=1\n", ""] {
            disk.write_atomic(&dir.join(META_PROPERTIES_FILE), bad.as_bytes()).unwrap();
            assert!(matches!(MetaProperties::read(&disk, dir), Err(LogError::BadFile { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_directory_has_one_user_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let disks: [Box<dyn Disk>; 2] = [Box::new(RealDisk::new()), Box::new(MemDisk::new())];
        for (disk, path) in disks.iter().zip([dir.path(), Path::new("/")]) {
            let lock = DirLock::acquire(&**disk, path).unwrap();
            assert!(matches!(DirLock::acquire(&**disk, path), Err(LockError::InUse(_))));
            drop(lock);
            DirLock::acquire(&**disk, path).unwrap();
        }
    }

    #[test]
    fn the_clean_shutdown_marker_is_there_once() {
        let (disk, dir) = (MemDisk::new(), Path::new("/"));
        assert_eq!(last_shutdown(&disk, dir).unwrap(), LastShutdown::Unclean);
        mark_clean_shutdown(&disk, dir, BrokerEpoch(42)).unwrap();
        assert_eq!(disk.read_all(Path::new("/.kafka_cleanshutdown")).unwrap(), b"{\"version\":0,\"brokerEpoch\":42}");
        let disk = disk.crash(1);
        assert_eq!(last_shutdown(&disk, dir).unwrap(), LastShutdown::Clean(BrokerEpoch(42)));
        forget_clean_shutdown(&disk, dir).unwrap();
        assert_eq!(last_shutdown(&disk.crash(2), dir).unwrap(), LastShutdown::Unclean);
    }

    #[test]
    fn partitions_are_listed_and_removed_for_good() {
        let (disk, dir) = (MemDisk::new(), Path::new("/d"));
        for name in ["a-0", "b.c-12", "lost+found", "a-0.deleted", "__cluster_metadata-0"] {
            disk.create_dir_all(&dir.join(name)).unwrap();
        }
        let found = partitions(&disk, dir).unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a-0", "b.c-12"]);
        make_dir(&disk, dir).unwrap();
        disk.sync_dir(dir).unwrap();
        remove_partition(&disk, dir, &found[0]).unwrap();
        remove_partition(&disk, dir, &found[0]).unwrap();
        assert_eq!(partitions(&disk.crash(3), dir).unwrap().len(), 1);
    }
}
