//! The controller's runtime: commands go in, are computed by `ottla-cluster`, and come back once what they wrote is committed by
//! the metadata quorum and applied.
//!
//! openraft keeps the log; a redb file holds it. Both run on threads of their own, so that neither a busy network nor a busy data
//! disk is ever taken for a dead controller. Computes no record itself, and knows nothing of sockets or partitions.

mod error;
mod failure;
mod file;
mod proposer;
mod raft;
mod room;
#[cfg(test)]
mod room_tests;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use ottla_cluster::controller::{Command, ControllerError, Reply};
use ottla_cluster::metadata::MetadataImage;
use ottla_model::config::ServerConfig;
use ottla_model::{ClusterId, DirectoryId, NodeId};
use tokio::sync::{mpsc, oneshot, watch};

pub use error::{ControllerStartError, config_error_code, error_code};
pub use failure::ControllerFailure;
use failure::Failure;
pub use file::FileError;
use file::{Identity, MetadataFile};
use proposer::Queued;

use crate::metrics::Count;

/// Commands that may wait to be computed; who brings another waits for room.
pub const COMMANDS_QUEUED_MAX: usize = 1024;
/// What a controller needs to start.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// This node.
    pub node_id: NodeId,
    /// The metadata log dir: the log lies in `__cluster_metadata-0` within it.
    pub log_dir: PathBuf,
    /// `directory.id` of that log dir, from its `meta.properties`.
    pub directory_id: DirectoryId,
    /// The cluster this node belongs to, from `meta.properties`; what a new metadata log is formatted with.
    pub cluster_id: ClusterId,
    /// Whether a metadata log may be made where there is none. Not so when the log dirs hold partitions: their topics would be
    /// forgotten.
    pub may_format: bool,
    /// The node's configuration.
    pub server: Arc<ServerConfig>,
}

/// A cheap handle to the controller. The controller stops when [`ControllerHandle::shutdown`] is called or the last is dropped.
#[derive(Clone)]
pub struct ControllerHandle {
    node_id: NodeId,
    commands: mpsc::Sender<Queued>,
    current: Arc<ArcSwap<MetadataImage>>,
    events: watch::Receiver<Arc<MetadataImage>>,
    failure: Failure,
    stopping: Stopping,
    stopped: watch::Receiver<bool>,
    counts: Arc<ControllerCounts>,
}

/// What became of commands.
#[derive(Debug, Default)]
pub struct ControllerCounts {
    /// Carried out.
    pub done: Count,
    /// Refused.
    pub refused: Count,
}

/// Whether the controller was told to stop: what waits for room on the disk does no more then.
#[derive(Clone, Debug, Default)]
struct Stopping(Arc<AtomicBool>);

impl Stopping {
    fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl ControllerHandle {
    /// Starts the controller, and returns once it leads and has applied the whole log. An empty log dir is formatted.
    pub async fn start(config: ControllerConfig) -> Result<ControllerHandle, ControllerStartError> {
        if !config.server.process_roles.controller {
            return Err(ControllerStartError::NoControllerRole);
        }
        let voters = config.server.controller_quorum_voters.len();
        if voters > 1 {
            return Err(ControllerStartError::SeveralVoters { voters });
        }
        let identity = Identity::new(config.cluster_id.clone(), config.node_id, config.directory_id);
        let ControllerConfig { log_dir, may_format, server, .. } = config;
        let (own, defaults) = (identity.clone(), Arc::clone(&server));
        let open = move || {
            let format = || proposer::first_records(&own, &defaults);
            MetadataFile::open(&log_dir, &own, may_format.then_some(format))
        };
        ControllerHandle::start_on(open, identity, server).await
    }

    async fn start_on(
        open: impl FnOnce() -> Result<MetadataFile, ControllerStartError> + Send + 'static,
        identity: Identity,
        server: Arc<ServerConfig>,
    ) -> Result<ControllerHandle, ControllerStartError> {
        let node_id = identity.node_id;
        let (commands, queue) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let failure = Failure::none();
        let stopping = Stopping::default();
        let published = store::Published::new();
        let (started, ready) = oneshot::channel();
        let (stop_told, stopped) = watch::channel(false);
        let handle = ControllerHandle {
            node_id,
            commands,
            current: Arc::clone(&published.current),
            events: published.events.subscribe(),
            failure: failure.clone(),
            stopping: stopping.clone(),
            stopped,
            counts: Arc::default(),
        };
        let seat = proposer::Seat { identity, server, published, failure, stopping };
        proposer::spawn(open, seat, queue, started, stop_told)?;
        match ready.await {
            Ok(Ok(())) => Ok(handle),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ControllerStartError::Raft("its thread ended".to_owned())),
        }
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Gives the controller a command. The answer comes when what it wrote is on stable storage and in the published image.
    ///
    /// Waits for room when [`COMMANDS_QUEUED_MAX`] commands are waiting. A command whose caller goes away is carried out all the
    /// same.
    pub async fn submit(&self, command: Command) -> Result<Reply, ControllerError> {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Queued::Command { command, answer }).await.is_err() {
            return Err(self.stopped_error());
        }
        let answer = answered.await.unwrap_or_else(|_| Err(self.stopped_error()));
        if answer.is_ok() { &self.counts.done } else { &self.counts.refused }.add_one();
        answer
    }

    /// The metadata as it is now.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.current.load_full()
    }

    /// Tells of each new image. Several that come at once may be told as one.
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.events.clone()
    }

    /// Completes when the controller can do no more; never while it can.
    pub async fn failed(&self) -> ControllerFailure {
        self.failure.wait().await
    }

    /// Stops the controller, after the commands that are being computed. Returns once its file is closed.
    pub async fn shutdown(&self) {
        self.stopping.begin();
        // Closed already: then it is stopping, or has stopped.
        let _ = self.commands.send(Queued::Stop).await;
        let mut stopped = self.stopped.clone();
        // An error: the thread is gone, which is what was waited for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// What became of the commands of all handles.
    pub fn counts(&self) -> &ControllerCounts {
        &self.counts
    }

    /// Whether it leads the quorum: the sole voter does, from its start to its end.
    pub fn leads(&self) -> bool {
        self.is_running().is_ok()
    }

    /// Whether it takes commands; if not, why.
    pub fn is_running(&self) -> Result<(), String> {
        match self.failure.get() {
            Some(failure) => Err(failure.to_string()),
            None if *self.stopped.borrow() || self.commands.is_closed() => Err("the controller has stopped".to_owned()),
            None => Ok(()),
        }
    }

    fn stopped_error(&self) -> ControllerError {
        let reason = self.failure.get().map_or_else(|| "the node is stopping".to_owned(), |failure| failure.reason.to_string());
        ControllerError::Stopped { reason }
    }
}
