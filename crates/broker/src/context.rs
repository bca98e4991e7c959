//! What every request handler is given: the broker's parts, and the few questions that several APIs ask of them.
//!
//! Owns nothing itself but the wiring; each part owns its state.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_cluster::controller::{Command, ControllerError, Reply};
use ottla_cluster::metadata::MetadataImage;
use ottla_model::config::ServerConfig;
use ottla_model::{Clock, NodeId, PartitionId, TimestampMs, TopicId, TopicPartition};
use ottla_wire::ErrorCode;
use tokio::time::Instant;

use crate::api::{Deferred, TopicRef};
use crate::cold_reads::ColdReads;
use crate::controller::ControllerHandle;
use crate::controller::error_code as controller_error_code;
use crate::coordinator::{GroupCoordinators, Shared, TransactionCoordinators};
use crate::fetch_session::FetchSessions;
use crate::metadata_publisher::{MetadataPublisher, Published};
use crate::metrics::Metrics;
use crate::partition::{Leadership, NotServing, Partition, PartitionManager, PartitionStartError};
use crate::producer_ids::ProducerIds;
use crate::purgatory::Purgatory;
use crate::threads::NetworkThreads;

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimestampMs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A running broker's parts.
pub struct BrokerContext {
    /// The configuration the node was started with. See [`BrokerContext::effective_config`] for dynamic changes.
    pub config: Arc<ServerConfig>,
    /// Where metadata is changed.
    pub controller: ControllerHandle,
    /// The local partitions.
    pub partitions: Arc<PartitionManager>,
    /// How many partitions parked fetches may watch.
    pub purgatory: Arc<Purgatory>,
    /// Fetch sessions (KIP-227).
    pub fetch_sessions: FetchSessions,
    /// Ids for idempotent producers.
    pub producer_ids: Arc<ProducerIds>,
    /// The threads that read what is not in the page cache.
    pub cold_reads: ColdReads,
    /// Room for requests that wait for what they are about.
    pub deferred: Deferred,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The threads that serve connections.
    pub threads: NetworkThreads,
    /// The coordinators of groups.
    pub groups: Arc<GroupCoordinators>,
    /// The coordinators of transactions.
    pub transactions: Arc<TransactionCoordinators>,
    /// What answers in the place of coordinators.
    #[cfg(test)]
    pub scripted_coordinator: parking_lot::Mutex<Option<crate::testing::ScriptedCoordinator>>,
    published: Arc<Published>,
    clock: Arc<dyn Clock>,
}

/// Where a node is reached on some listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The node.
    pub node: NodeId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: i32,
    /// `broker.rack`.
    pub rack: Option<String>,
}

/// Why a command to the controller brought no reply.
#[derive(Debug, thiserror::Error)]
pub enum CommandFailure {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] ControllerError),
    /// The request's time was over. The command may still take effect.
    #[error("not done within the request's timeout; it may still be")]
    TimedOut,
    /// The task that carried it has ended badly: a defect.
    #[error("the command was not carried out: {0}")]
    Lost(String),
}

impl CommandFailure {
    /// What a client is told.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            CommandFailure::Refused(error) => controller_error_code(error),
            CommandFailure::TimedOut => ErrorCode::RequestTimedOut,
            CommandFailure::Lost(_) => ErrorCode::UnknownServerError,
        }
    }
}

impl BrokerContext {
    /// Looks through the log dirs, and follows the controller's metadata from then on. Blocks on files, so it is called before there is
    /// anybody to serve. The logs that are there are opened behind its back, each served as it is ready: see
    /// [`PartitionManager::all_opened`]. The publisher is to be stopped before the partitions are.
    pub fn start(
        config: Arc<ServerConfig>,
        controller: ControllerHandle,
        partitions: Arc<PartitionManager>,
        clock: Arc<dyn Clock>,
        session_id_seed: u64,
        threads: NetworkThreads,
    ) -> Result<(Arc<BrokerContext>, MetadataPublisher), PartitionStartError> {
        let published = Arc::new(Published::new(Arc::clone(&config)));
        let image = controller.image();
        partitions.load(&image)?;
        published.publish(image, &partitions);
        partitions.start_opening(&config)?;
        partitions.start_maintenance(&published)?;
        partitions.start_scrub()?;
        partitions.start_cleaner(&published)?;
        let publisher = MetadataPublisher::start(Arc::clone(&published), Arc::clone(&partitions), controller.clone());
        let shared = Shared::new(&partitions, &published, &clock, &threads);
        let groups = GroupCoordinators::start(&shared);
        let producer_ids = Arc::new(ProducerIds::new(controller.clone(), Arc::clone(&published)));
        let transactions = TransactionCoordinators::start(&shared, &producer_ids, &groups);
        let slots = usize::try_from(config.max_incremental_fetch_session_cache_slots).unwrap_or(0);
        let context = BrokerContext {
            controller,
            partitions,
            purgatory: Arc::default(),
            fetch_sessions: FetchSessions::new(slots, session_id_seed),
            producer_ids,
            cold_reads: ColdReads::default(),
            deferred: Deferred::default(),
            metrics: Arc::default(),
            threads,
            groups,
            transactions,
            #[cfg(test)]
            scripted_coordinator: parking_lot::Mutex::default(),
            published,
            clock,
            config,
        };
        Ok((Arc::new(context), publisher))
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.config.node_id
    }

    /// The wall clock.
    #[inline]
    pub fn now(&self) -> TimestampMs {
        self.clock.now()
    }

    /// The metadata whose partitions are there.
    #[inline]
    pub fn image(&self) -> arc_swap::Guard<Arc<MetadataImage>> {
        self.published.image()
    }

    /// The configuration with the dynamic changes of the published image.
    pub fn effective_config(&self) -> Arc<ServerConfig> {
        self.published.config()
    }

    /// A partition by its topic's name. That it is here does not say that this broker leads it.
    #[inline]
    pub fn partition(&self, topic: &str, partition: PartitionId) -> Result<Arc<Partition>, NotServing> {
        match self.partitions.find(topic, partition) {
            Some(found) => Ok(found),
            None => Err(self.why_not(topic, partition)),
        }
    }

    /// A partition by its topic's id.
    #[inline]
    pub fn partition_by_id(&self, topic: TopicId, partition: PartitionId) -> Result<Arc<Partition>, NotServing> {
        match self.partitions.find_by_id(topic, partition) {
            Some(found) => Ok(found),
            None => match self.image().topic_by_id(topic) {
                Some(known) => Err(self.why_not(known.name.as_str(), partition)),
                None => Err(NotServing::UnknownTopicId),
            },
        }
    }

    /// The name of a partition that the metadata knows.
    pub fn name_of(&self, topic: TopicRef<'_>, partition: PartitionId) -> Option<TopicPartition> {
        let image = self.image();
        let known = match topic {
            TopicRef::Name(name) => image.topic(name),
            TopicRef::Id(id) => image.topic_by_id(id),
        };
        Some(TopicPartition::new(known?.name.clone(), partition))
    }

    #[cold]
    fn why_not(&self, topic: &str, partition: PartitionId) -> NotServing {
        let image = self.image();
        match image.partition(topic, partition) {
            None => NotServing::UnknownPartition,
            Some(elsewhere) if !elsewhere.has_replica(self.node()) => {
                NotServing::NotLeader { current: Leadership { leader: elsewhere.leader, epoch: elsewhere.leader_epoch } }
            }
            Some(_) => match image.topic(topic) {
                Some(known) => self.partitions.why_absent(&TopicPartition::new(known.name.clone(), partition)),
                None => NotServing::UnknownPartition,
            },
        }
    }

    /// Waits until what this image says can be seen.
    #[cfg(test)]
    pub(crate) async fn published_at_least(&self, image: &MetadataImage) {
        self.published.reach(image.position()).await;
    }

    /// Where these nodes are reached on a listener; those that are not are left out.
    pub fn endpoints(&self, nodes: &[i32], listener: &str) -> Vec<NodeAddress> {
        let image = self.image();
        let address = |id: &i32| {
            let broker = image.broker(NodeId(*id))?;
            let at = broker.end_point(listener)?;
            Some(NodeAddress { node: broker.id, host: at.host.clone(), port: i32::from(at.port), rack: broker.rack.clone() })
        };
        nodes.iter().filter_map(address).collect()
    }

    /// Sends a command to the controller now; the future ends when what it did can be seen on this broker, or at the deadline. The
    /// command is carried out even if nobody awaits the future.
    pub fn command(
        self: &Arc<Self>,
        command: Command,
        deadline: Instant,
    ) -> impl Future<Output = Result<Reply, CommandFailure>> + Send + use<> {
        let broker = Arc::clone(self);
        let task = tokio::spawn(async move {
            let reply = broker.controller.submit(command).await?;
            // The controller answers after it has applied the command: its image now is at or behind it.
            let position = broker.controller.image().position();
            broker.published.reach(position).await;
            Ok(reply)
        });
        async move {
            match tokio::time::timeout_at(deadline, task).await {
                Ok(Ok(done)) => done,
                Ok(Err(lost)) => Err(CommandFailure::Lost(lost.to_string())),
                Err(_elapsed) => Err(CommandFailure::TimedOut),
            }
        }
    }
}

/// The deadline of a request that may take `timeout_ms` from now; a negative timeout has passed already.
pub fn deadline_after(timeout_ms: i32) -> Instant {
    Instant::now() + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}
