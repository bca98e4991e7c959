//! Taking the log dirs at start: locked against other processes, known to be this node's, formatted where that is safe.
//!
//! Owns the decision whose directories these are; never looks into a partition. A directory that cannot be used is left out, so that the
//! node serves what is in the others; the one with the metadata log is needed.

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
    /// Those of `log.dirs` that can be used, in their order.
    pub log_dirs: Vec<LogDirSpec>,
    /// Those that cannot.
    pub failed_dirs: Vec<PathBuf>,
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

        let mut failed_dirs = Vec::new();
        let mut first_failure = None;
        let mut found: Vec<Taken> = Vec::with_capacity(paths.len());
        for path in paths {
            match Taken::take(disk, path.clone()) {
                Ok(taken) => found.push(taken),
                // The metadata log is needed, and a directory of somebody else means that the configuration is wrong.
                Err(error) if path == config.metadata_log_dir || !error.is_of_the_directory_alone() => return Err(error),
                Err(error) => {
                    tracing::error!(
                        log_dir = %path.display(),
                        "log directory is offline: {error}; its partitions are not served until it can be used and the broker is restarted"
                    );
                    failed_dirs.push(path);
                    first_failure.get_or_insert(error);
                }
            }
        }
        let agreed = agreed_cluster(config.node_id, found.iter().map(|taken| (&taken.path, &taken.meta)))?;
        let cluster_id = match (agreed, first_failure) {
            (Some(agreed), _) => agreed,
            // Perhaps it is the one that says which cluster this is.
            (None, Some(error)) => return Err(error),
            (None, None) => new_cluster_id()?,
        };
        let is_empty = failed_dirs.is_empty() && found.iter().all(|taken| taken.is_empty);
        let mut specs = Vec::with_capacity(found.len());
        let mut locks = Vec::with_capacity(found.len());
        for Taken { path, lock, meta, .. } in found {
            locks.push(lock);
            let formatted = match meta.and_then(|meta| meta.directory_id) {
                Some(id) => Ok(id),
                None => format(disk, &path, config.node_id, &cluster_id),
            };
            match formatted {
                Ok(id) => specs.push(LogDirSpec { path, id }),
                Err(error) if path == config.metadata_log_dir || !error.is_of_the_directory_alone() => return Err(error),
                Err(error) => {
                    tracing::error!(log_dir = %path.display(), "log directory is offline: {error}; it is left alone until the next start");
                    failed_dirs.push(path);
                }
            }
        }
        let metadata_dir = specs.iter().find(|spec| spec.path == config.metadata_log_dir).cloned();
        let metadata_dir = metadata_dir.unwrap_or_else(|| specs[0].clone());
        specs.retain(|spec| config.log_dirs.contains(&spec.path));
        failed_dirs.retain(|path| config.log_dirs.contains(path));
        Ok(Storage { cluster_id, log_dirs: specs, failed_dirs, metadata_dir, is_empty, _locks: locks })
    }
}

/// A directory that is this process's.
struct Taken {
    path: PathBuf,
    lock: DirLock,
    meta: Option<MetaProperties>,
    /// No partition is in it.
    is_empty: bool,
}

impl Taken {
    fn take(disk: &dyn Disk, path: PathBuf) -> Result<Taken, StorageError> {
        make_dir(disk, &path)?;
        let lock = DirLock::acquire(disk, &path)?;
        let meta = MetaProperties::read(disk, &path)?;
        let example = partitions(disk, &path)?.first().map(ToString::to_string);
        match (&meta, example) {
            (None, Some(example)) => Err(StorageError::Unmarked { dir: path, example }),
            (_, example) => Ok(Taken { path, lock, meta, is_empty: example.is_none() }),
        }
    }
}

impl StorageError {
    /// The directory itself cannot be used, which says nothing about the others. The rest says that this node has directories that are
    /// not its own, or that another process runs on one.
    fn is_of_the_directory_alone(&self) -> bool {
        match self {
            StorageError::Log(_) | StorageError::Lock(LockError::Io(_)) => true,
            StorageError::Lock(LockError::InUse(_))
            | StorageError::OtherNode { .. }
            | StorageError::OtherCluster { .. }
            | StorageError::Unmarked { .. }
            | StorageError::Random(_) => false,
        }
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
    fn a_directory_that_cannot_be_used_is_left_out() {
        let file = |disk: &MemDisk, path: &str, bytes: &[u8]| disk.write_atomic(Path::new(path), bytes).unwrap();
        let disk = MemDisk::new();
        let before = Storage::take(&disk, &config(1, "/a,/b,/c")).unwrap();
        let (cluster, ids) = (before.cluster_id.clone(), before.log_dirs.iter().map(|dir| dir.id).collect::<Vec<_>>());
        drop(before);
        file(&disk, "/b/meta.properties", b"damaged");
        disk.remove_dir_all(Path::new("/c")).unwrap();
        file(&disk, "/c", b"not a folder");
        let storage = Storage::take(&disk, &config(1, "/a,/b,/c")).unwrap();
        assert_eq!(storage.log_dirs.iter().map(|dir| (dir.path.as_path(), dir.id)).collect::<Vec<_>>(), [(Path::new("/a"), ids[0])]);
        assert_eq!(storage.failed_dirs, [Path::new("/b"), Path::new("/c")].map(Path::to_owned));
        assert_eq!((storage.cluster_id.clone(), storage.is_empty), (cluster, false));
        assert_eq!(disk.read_all(Path::new("/b/meta.properties")).unwrap(), b"damaged", "for people to look at");
        drop(storage);
        // The first has the metadata log.
        file(&disk, "/a/meta.properties", b"damaged");
        assert!(matches!(Storage::take(&disk, &config(1, "/a,/b")), Err(StorageError::Log(LogError::BadFile { .. }))));
    }

    #[test]
    fn nothing_is_formatted_while_a_directory_cannot_be_looked_at() {
        let disk = MemDisk::new();
        disk.write_atomic(Path::new("/b"), b"not a folder").unwrap();
        assert!(matches!(Storage::take(&disk, &config(1, "/a,/b")), Err(StorageError::Log(_))));
        assert_eq!(MetaProperties::read(&disk, Path::new("/a")).unwrap(), None);
    }

    #[test]
    fn partitions_without_an_owner_are_not_taken_over() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/a/orders-0")).unwrap();
        let refused = Storage::take(&disk, &config(1, "/a")).unwrap_err();
        assert!(matches!(&refused, StorageError::Unmarked { example, .. } if example == "orders-0"), "{refused}");
    }
}
