//! Taking the log dirs at start: locked against other processes, known to be this node's, formatted where that is safe.
//!
//! Owns the decision whose directories these are; never looks into a partition.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ottla_log::log_dir::{DirLock, LockError, META_PROPERTIES_FILE, MetaProperties, make_dir, partitions};
use ottla_log::{Disk, LogError};
use ottla_model::config::ServerConfig;
use ottla_model::{ClusterId, DirectoryId, NodeId, Uuid};

use crate::partition::LogDirSpec;

/// Why the log dirs cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has one of them.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file or folder cannot be read or written.
    #[error("{0}; check that the folder can be written by this user, or set log.dirs to one that can")]
    Log(#[from] LogError),
    /// A directory of another node.
    #[error("log dir {} belongs to node {found}, but node.id is {own}: set node.id={found}, or give this node log.dirs of its own", dir.display())]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// This node.
        own: NodeId,
    },
    /// Directories of two clusters.
    #[error(
        "log dir {} belongs to cluster {found}, {} to cluster {expected}: use the log dirs of one cluster together",
        dir.display(), first.display()
    )]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// The first directory that said otherwise.
        first: PathBuf,
        /// What that said.
        expected: ClusterId,
    },
    /// Partitions without a word of whose they are.
    #[error(
        "log dir {} holds partitions ({example}) but no {META_PROPERTIES_FILE}: it cannot be told whose they are; put the file back, or empty the folder",
        dir.display()
    )]
    Unmarked {
        /// The directory.
        dir: PathBuf,
        /// One of the folders.
        example: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// The log dirs of this node, locked for as long as this lives.
#[derive(Debug)]
pub struct Storage {
    /// The cluster they belong to.
    pub cluster_id: ClusterId,
    /// `log.dirs`, in their order.
    pub log_dirs: Vec<LogDirSpec>,
    /// `metadata.log.dir`.
    pub metadata_dir: LogDirSpec,
    /// Whether nothing of a cluster is in them yet, so that a new metadata log loses nothing.
    pub is_empty: bool,
    _locks: Vec<DirLock>,
}

impl Storage {
    /// Takes the directories that the configuration names, and formats those that are empty.
    pub fn take(disk: &dyn Disk, config: &ServerConfig) -> Result<Storage, StorageError> {
        let mut paths = config.log_dirs.clone();
        paths.push(config.metadata_log_dir.clone());
        let mut seen = BTreeSet::new();
        paths.retain(|path| seen.insert(path.clone()));

        let mut locks = Vec::with_capacity(paths.len());
        for path in &paths {
            make_dir(disk, path)?;
            locks.push(DirLock::acquire(disk, path)?);
        }
        let mut is_empty = true;
        let mut found = Vec::with_capacity(paths.len());
        for path in &paths {
            let meta = MetaProperties::read(disk, path)?;
            let example = partitions(disk, path)?.first().map(ToString::to_string);
            match (&meta, example) {
                (None, Some(example)) => return Err(StorageError::Unmarked { dir: path.clone(), example }),
                (_, example) => is_empty &= example.is_none(),
            }
            found.push(meta);
        }
        let cluster_id = agreed_cluster(config.node_id, paths.iter().zip(&found))?.map_or_else(new_cluster_id, Ok)?;
        let mut specs = Vec::with_capacity(paths.len());
        for (path, meta) in paths.into_iter().zip(found) {
            let id = match meta.and_then(|meta| meta.directory_id) {
                Some(id) => id,
                None => format(disk, &path, config.node_id, &cluster_id)?,
            };
            specs.push(LogDirSpec { path, id });
        }
        let metadata_dir = specs.iter().find(|spec| spec.path == config.metadata_log_dir).cloned();
        let metadata_dir = metadata_dir.unwrap_or_else(|| specs[0].clone());
        specs.retain(|spec| config.log_dirs.contains(&spec.path));
        Ok(Storage { cluster_id, log_dirs: specs, metadata_dir, is_empty, _locks: locks })
    }
}

/// The cluster that all formatted directories name; `None` when none is formatted.
fn agreed_cluster<'a>(
    own: NodeId,
    dirs: impl Iterator<Item = (&'a PathBuf, &'a Option<MetaProperties>)>,
) -> Result<Option<ClusterId>, StorageError> {
    let mut agreed: Option<(&Path, &ClusterId)> = None;
    for (dir, meta) in dirs {
        let Some(meta) = meta else { continue };
        if meta.node_id != own {
            return Err(StorageError::OtherNode { dir: dir.clone(), found: meta.node_id, own });
        }
        match agreed {
            Some((first, expected)) if *expected != meta.cluster_id => {
                return Err(StorageError::OtherCluster {
                    dir: dir.clone(),
                    found: meta.cluster_id.clone(),
                    first: first.to_owned(),
                    expected: expected.clone(),
                });
            }
            Some(_) => {}
            None => agreed = Some((dir, &meta.cluster_id)),
        }
    }
    Ok(agreed.map(|(_, id)| id.clone()))
}

/// Gives a directory an id. One that Kafka formatted before it knew of such ids keeps all else.
fn format(disk: &dyn Disk, dir: &Path, node_id: NodeId, cluster_id: &ClusterId) -> Result<DirectoryId, StorageError> {
    let id = DirectoryId(random_uuid()?);
    MetaProperties { cluster_id: cluster_id.clone(), node_id, directory_id: Some(id) }.write(disk, dir)?;
    Ok(id)
}

fn new_cluster_id() -> Result<ClusterId, StorageError> {
    Ok(ClusterId(random_uuid()?.to_string()))
}

/// A random id. Kafka draws again while the text begins with `-`, which command lines take for an option.
pub(crate) fn random_uuid() -> Result<Uuid, getrandom::Error> {
    loop {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let id = Uuid::from_random_bytes(bytes);
        if !id.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_log::MemDisk;

    fn config(node: i32, dirs: &str) -> ServerConfig {
        let overrides = [("node.id".to_owned(), node.to_string()), ("log.dirs".to_owned(), dirs.to_owned())];
        ServerConfig::parse(None, &overrides).unwrap().0
    }

    #[test]
    fn empty_dirs_are_formatted_for_one_cluster_and_found_again() {
        let disk = MemDisk::new();
        let first = Storage::take(&disk, &config(1, "/a,/b")).unwrap();
        assert!(first.is_empty);
        let ids: Vec<_> = first.log_dirs.iter().map(|d| d.id).collect();
        assert_ne!(ids[0], ids[1]);
        let cluster = first.cluster_id.clone();
        drop(first);
        let second = Storage::take(&disk, &config(1, "/b,/a,/c")).unwrap();
        assert_eq!(second.cluster_id, cluster, "a new directory joins the cluster of the others");
        assert_eq!([second.log_dirs[1].id, second.log_dirs[0].id], ids[..]);
    }

    #[test]
    fn directories_of_others_are_refused() {
        let disk = MemDisk::new();
        drop(Storage::take(&disk, &config(1, "/a")).unwrap());
        drop(Storage::take(&disk, &config(1, "/b")).unwrap());
        assert!(matches!(Storage::take(&disk, &config(2, "/a")), Err(StorageError::OtherNode { found: NodeId(1), own: NodeId(2), .. })));
        assert!(matches!(Storage::take(&disk, &config(1, "/a,/b")), Err(StorageError::OtherCluster { .. })));
        let _held = Storage::take(&disk, &config(1, "/a")).unwrap();
        assert!(matches!(Storage::take(&disk, &config(1, "/a")), Err(StorageError::Lock(LockError::InUse(_)))));
    }

    #[test]
    fn partitions_without_an_owner_are_not_taken_over() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/a/orders-0")).unwrap();
        let refused = Storage::take(&disk, &config(1, "/a")).unwrap_err();
        assert!(matches!(&refused, StorageError::Unmarked { example, .. } if example == "orders-0"), "{refused}");
    }
}
