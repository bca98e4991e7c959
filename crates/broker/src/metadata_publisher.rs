//! Carries each new image of the controller to this broker: first to the local partitions, then to everybody else.
//!
//! Owns the published image and the broker's effective configuration. A request that sees a topic in the published image finds its
//! partitions: an image is published only when the logs it asks for are there, or known to be on their way. File calls run on blocking
//! threads, never on a network thread.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ottla_cluster::controller::{AssignReplicasToDirs, ChangeBroker, Command};
use ottla_cluster::metadata::{MetadataImage, MetadataPosition};
use ottla_model::config::ServerConfig;
use ottla_model::{DirectoryId, NodeId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::controller::ControllerHandle;
use crate::partition::{DirectoryChoice, PartitionManager};

/// The image and configuration that requests go by.
pub struct Published {
    node: NodeId,
    /// As the node was started, without dynamic changes.
    started_with: Arc<ServerConfig>,
    image: ArcSwap<MetadataImage>,
    config: ArcSwap<ServerConfig>,
    position: watch::Sender<Option<MetadataPosition>>,
}

impl Published {
    /// Nothing published yet.
    pub fn new(config: Arc<ServerConfig>) -> Published {
        Published {
            node: config.node_id,
            image: ArcSwap::default(),
            config: ArcSwap::new(Arc::clone(&config)),
            started_with: config,
            position: watch::Sender::new(None),
        }
    }

    /// The published image.
    #[inline]
    pub fn image(&self) -> arc_swap::Guard<Arc<MetadataImage>> {
        self.image.load()
    }

    /// The broker's configuration with the dynamic changes of the published image.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Tells of each image that is published from now on.
    pub fn subscribe(&self) -> watch::Receiver<Option<MetadataPosition>> {
        self.position.subscribe()
    }

    /// Waits until the image at `position` or a later one is published.
    pub async fn reach(&self, position: Option<MetadataPosition>) {
        let mut published = self.position.subscribe();
        // The sender lives as long as `self`, so the wait ends by what it waits for only.
        let _ = published.wait_for(|at| *at >= position).await;
    }

    /// The broker's configuration with the dynamic changes of an image.
    pub fn config_with(&self, image: &MetadataImage) -> Arc<ServerConfig> {
        match self.started_with.with_dynamic(&image.default_broker_config(), &image.broker_config(self.node)) {
            Ok(config) => Arc::new(config),
            Err(error) => {
                // The controller checked each change; together with this node's own file they may still not go together.
                tracing::error!("the dynamic configs of this broker are not taken over: {error}");
                self.config.load_full()
            }
        }
    }

    /// Takes over an image: makes the partitions follow it, then lets it be seen. Blocks on files.
    pub fn publish(&self, image: Arc<MetadataImage>, partitions: &PartitionManager) {
        let before = self.image.load_full();
        let config_changed = before.default_broker_config() != image.default_broker_config()
            || before.broker_config(self.node) != image.broker_config(self.node);
        if config_changed {
            self.config.store(self.config_with(&image));
        }
        partitions.follow(&before, &image, &self.config.load(), config_changed);
        let position = image.position();
        self.image.store(image);
        self.position.send_replace(position);
    }
}

/// The task that follows the controller's images. Stopped, it finishes the one in hand.
pub struct MetadataPublisher {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl MetadataPublisher {
    /// Follows the controller's images until stopped. Images that come while one is taken over are skipped but for the newest.
    pub fn start(published: Arc<Published>, partitions: Arc<PartitionManager>, controller: ControllerHandle) -> MetadataPublisher {
        let (stop, mut stopped) = watch::channel(false);
        let mut images = controller.subscribe();
        let reporter = Reporter { controller, unreported: Arc::default() };
        let task = tokio::spawn(async move {
            loop {
                let image = Arc::clone(&images.borrow_and_update());
                if published.image().position() != image.position() {
                    let (for_thread, partitions) = (Arc::clone(&published), Arc::clone(&partitions));
                    if let Err(error) = tokio::task::spawn_blocking(move || for_thread.publish(image, &partitions)).await {
                        tracing::error!("an image of the metadata could not be taken over: {error}");
                    }
                }
                let mut dir_failed = std::pin::pin!(partitions.dir_failed());
                // Before it is looked at which have failed, so that none is missed.
                dir_failed.as_mut().enable();
                reporter.unreported.lock().extend(partitions.take_choices());
                reporter.report(&published.image());
                reporter.report_offline(&published.image(), &partitions);
                tokio::select! {
                    () = dir_failed => {}
                    changed = images.changed() => if changed.is_err() { return },
                    () = partitions.choices_made() => {}
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
            }
        });
        MetadataPublisher { stop, task }
    }

    /// Ends the task.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!("the metadata publisher ended badly: {error}");
        }
    }
}

/// Tells the controller which log directory each replica is in (KIP-858). Not on the way of anything: a report that fails is tried again
/// with the next image.
struct Reporter {
    controller: ControllerHandle,
    /// Bounded by the partitions of this broker.
    unreported: Arc<Mutex<Vec<DirectoryChoice>>>,
}

impl Reporter {
    /// Tells of log directories that have failed, so that who asks for the metadata is not sent to what is in them.
    fn report_offline(&self, image: &MetadataImage, partitions: &PartitionManager) {
        let broker_id = self.controller.node_id();
        let Some(broker) = image.broker(broker_id) else { return };
        let offline_dirs: Vec<DirectoryId> = partitions.offline_dirs().into_iter().filter(|dir| broker.log_dirs.contains(dir)).collect();
        // The last one is not taken off: the broker is about to stop.
        if offline_dirs.is_empty() || (broker.log_dirs.len() == 1) {
            return;
        }
        let controller = self.controller.clone();
        let change = ChangeBroker { broker_id, broker_epoch: broker.epoch, fenced: None, in_controlled_shutdown: None, offline_dirs };
        tokio::spawn(async move {
            if let Err(error) = controller.submit(Command::ChangeBroker(change)).await {
                tracing::warn!("the metadata does not tell yet that a log directory has failed: {error}");
            }
        });
    }

    fn report(&self, image: &MetadataImage) {
        let broker_id = self.controller.node_id();
        // Before its registration a broker has nobody to speak for.
        let Some(broker_epoch) = image.broker(broker_id).map(|broker| broker.epoch) else { return };
        let assignments = std::mem::take(&mut *self.unreported.lock());
        if assignments.is_empty() {
            return;
        }
        let (controller, unreported) = (self.controller.clone(), Arc::clone(&self.unreported));
        tokio::spawn(async move {
            let command = AssignReplicasToDirs { broker_id, broker_epoch, assignments: assignments.clone() };
            if let Err(error) = controller.submit(Command::AssignReplicasToDirs(command)).await {
                tracing::debug!("the log directories of {} partitions are not reported yet: {error}", assignments.len());
                unreported.lock().extend(assignments);
            }
        });
    }
}
