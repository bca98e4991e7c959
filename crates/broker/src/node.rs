//! A running node: its parts started in their order, watched, and stopped in the reverse.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::controller::{Command, RegisterBroker};
use ottla_cluster::features;
use ottla_cluster::metadata::{BrokerEndpoint, SupportedLevels};
use ottla_log::RealDisk;
use ottla_model::config::{Listener, ServerConfig};
use ottla_model::{BrokerEpoch, ClusterId};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::api::{ListenerInfo, ListenerKind};
use crate::context::{BrokerContext, CommandFailure, SystemClock};
use crate::controller::{ControllerConfig, ControllerHandle, ControllerStartError};
use crate::http::{BoundHttp, HttpServer, HttpStartError, NodeState};
use crate::metadata_publisher::MetadataPublisher;
use crate::metrics::Watched;
use crate::net::{self, BindError, BoundListener, Connections, Limits, RequestMemory};
use crate::partition::{PartitionManager, PartitionStartError};
use crate::storage::{Storage, StorageError, random_uuid};
use crate::threads::NetworkThreads;

/// Memory for requests that have arrived in part, where `queued.max.request.bytes` sets no bound: room for the largest
/// request that is allowed and a few of the usual size.
const REQUEST_MEMORY_BYTES_MIN: usize = 32 * 1024 * 1024;
/// How long the registration of this node with its own controller may take.
const REGISTRATION: Duration = Duration::from_secs(60);
/// How long a stop waits for connections to take their last answers.
const DRAIN: Duration = Duration::from_secs(2);

/// Why a node does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log dirs.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An HTTP listener.
    #[error(transparent)]
    Http(#[from] HttpStartError),
    /// The controller.
    #[error(transparent)]
    Controller(#[from] ControllerStartError),
    /// The partitions.
    #[error(transparent)]
    Partitions(#[from] PartitionStartError),
    /// The controller did not take this node for a broker.
    #[error("this node cannot register with the controller: {0}")]
    Registration(#[from] CommandFailure),
    /// A role without which this version does not run.
    #[error(
        "process.roles has not the broker role: this version of Ottla runs clusters of one node; write process.roles=broker,controller"
    )]
    NoBrokerRole,
    /// The machine has no name to advertise.
    #[error("the machine's own name cannot be told ({0}): set advertised.listeners")]
    HostName(std::io::Error),
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// A task of the start was lost.
    #[error("the node's start was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A running node.
pub struct Broker {
    context: Arc<BrokerContext>,
    cluster_id: ClusterId,
    listeners: Vec<(String, SocketAddr)>,
    connections: Connections,
    accepting: Vec<JoinHandle<()>>,
    publisher: MetadataPublisher,
    state: Arc<NodeState>,
    http: Option<HttpServer>,
    // Unlocks the directories when all else is stopped.
    _storage: Storage,
}

impl Broker {
    /// Starts a node, and returns once it serves.
    ///
    /// The ports are taken first: that one of them is in use is found before a file is touched. Nothing is accepted before it is known
    /// which partitions are here; their logs are opened behind that, and each is served as it is ready.
    /// `threads`: those of the runtime that this is called on.
    pub async fn start(config: ServerConfig, threads: NetworkThreads) -> Result<Broker, StartError> {
        if !config.process_roles.broker {
            return Err(StartError::NoBrokerRole);
        }
        let config = Arc::new(config);
        let bound = bind_all(&config).await?;
        let state = Arc::new(NodeState::starting(tokio::runtime::Handle::current()));
        let http = if config.http_listeners.is_empty() { None } else { BoundHttp::bind(&config.http_listeners).await?.serve(&state)? };
        let storage = {
            let config = Arc::clone(&config);
            tokio::task::spawn_blocking(move || Storage::take(&RealDisk::new(), &config)).await??
        };
        let controller = ControllerHandle::start(ControllerConfig {
            node_id: config.node_id,
            log_dir: storage.metadata_dir.path.clone(),
            directory_id: storage.metadata_dir.id,
            cluster_id: storage.cluster_id.clone(),
            may_format: storage.is_empty,
            server: Arc::clone(&config),
        })
        .await?;
        let (context, publisher) = open_partitions(&config, &controller, &storage, threads).await?;
        let memory = RequestMemory::new(request_memory_bytes(&config));
        let connections = Connections::default();
        state.watch(Watched {
            broker: Arc::clone(&context),
            connections: connections.clone(),
            memory: memory.clone(),
            http: Arc::clone(state.counts()),
        });
        let registered = register(&context, &storage, &bound).await;
        if let Err(error) = registered {
            publisher.stop().await;
            controller.shutdown().await;
            return Err(error);
        }

        let limits = limits(&config);
        let listeners = bound.iter().flat_map(|b| b.addresses().into_iter().map(|a| (b.info.name.clone(), a))).collect();
        let accepting = bound.into_iter().flat_map(|b| net::serve(b, &context, &connections, &memory, &limits)).collect();
        let cluster_id = storage.cluster_id.clone();
        state.registered();
        Ok(Broker { context, cluster_id, listeners, connections, accepting, publisher, state, http, _storage: storage })
    }

    /// What it listens on: the listeners' names with their addresses.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Where metrics and health are served.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        self.http.as_ref().map_or(&[], HttpServer::addresses)
    }

    /// The cluster it is of.
    pub fn cluster_id(&self) -> &ClusterId {
        &self.cluster_id
    }

    /// Completes when the node can do no more, with the reason; never while it can.
    pub async fn failed(&self) -> String {
        tokio::select! {
            failure = self.context.controller.failed() => failure.to_string(),
            reason = self.context.partitions.all_dirs_failed() => reason,
        }
    }

    /// Stops: no more connections, the answers that are due, then everything to disk and closed.
    pub async fn shutdown(self) {
        self.state.stopping();
        for task in &self.accepting {
            task.abort();
        }
        self.connections.stop();
        if tokio::time::timeout(DRAIN, self.connections.emptied()).await.is_err() {
            tracing::warn!(open = self.connections.count(), "stopping with connections that do not take their answers");
        }
        self.context.transactions.stop().await;
        self.context.groups.stop().await;
        let image = self.context.controller.image();
        let epoch = image.broker(self.context.node()).map_or(BrokerEpoch(-1), |broker| broker.epoch);
        self.publisher.stop().await;
        let partitions = Arc::clone(&self.context.partitions);
        if let Err(error) = tokio::task::spawn_blocking(move || partitions.close(epoch)).await {
            tracing::error!("the partitions were not closed: {error}");
        }
        self.context.controller.shutdown().await;
        // Ends its thread, which does not wait for anything.
        drop(self.http);
    }
}

async fn bind_all(config: &ServerConfig) -> Result<Vec<BoundListener>, BindError> {
    let backlog = u32::try_from(config.socket_listen_backlog_size).unwrap_or(0);
    let mut bound = Vec::with_capacity(config.listeners.len());
    for Listener { name, host, port, .. } in &config.listeners {
        let kind = if config.is_controller_listener(name) { ListenerKind::Controller } else { ListenerKind::Broker };
        let info = ListenerInfo { name: name.as_str().to_owned(), kind };
        bound.push(net::bind(info, host, *port, backlog).await?);
    }
    Ok(bound)
}

async fn open_partitions(
    config: &Arc<ServerConfig>,
    controller: &ControllerHandle,
    storage: &Storage,
    threads: NetworkThreads,
) -> Result<(Arc<BrokerContext>, MetadataPublisher), StartError> {
    let (config, controller, dirs) = (Arc::clone(config), controller.clone(), storage.log_dirs.clone());
    let lacks_dirs = !storage.failed_dirs.is_empty();
    let seed = u64::from_be_bytes(random_uuid()?.to_bytes()[..8].try_into().unwrap_or_default());
    let clock: Arc<SystemClock> = Arc::default();
    let opened = tokio::task::spawn_blocking(move || {
        let partitions = PartitionManager::new(config.node_id, dirs, || Arc::new(RealDisk::new()), Arc::clone(&clock) as _, &threads)?
            .lacking_dirs(lacks_dirs);
        partitions.watch_disks().map_err(PartitionStartError::from)?;
        let partitions = Arc::new(partitions);
        BrokerContext::start(config, controller, partitions, clock, seed, threads)
    });
    Ok(opened.await??)
}

/// Tells the controller that this node is there and ready, and waits until it leads what it may lead.
async fn register(context: &Arc<BrokerContext>, storage: &Storage, bound: &[BoundListener]) -> Result<(), StartError> {
    let command = Command::RegisterBroker(RegisterBroker {
        broker_id: context.node(),
        cluster_id: storage.cluster_id.clone(),
        incarnation_id: random_uuid()?,
        end_points: end_points(&context.config, bound)?,
        features: supported_features(),
        rack: context.config.broker_rack.clone(),
        log_dirs: context.partitions.log_dirs().iter().filter(|dir| !dir.is_offline()).map(|dir| dir.id()).collect(),
        ready: true,
    });
    context.command(command, Instant::now() + REGISTRATION).await?;
    Ok(())
}

fn supported_features() -> BTreeMap<String, SupportedLevels> {
    let levels = |f: &features::Feature| (f.name.to_owned(), SupportedLevels { min: f.level_min, max: f.level_max });
    features::SUPPORTED.iter().map(levels).collect()
}

/// What clients are told: with this machine's name where no host is set, and the port that was given where any was asked for.
fn end_points(config: &ServerConfig, bound: &[BoundListener]) -> Result<Vec<BrokerEndpoint>, StartError> {
    let end_point = |listener: &Listener| {
        let opened = bound.iter().find(|b| b.info.name == listener.name.as_str());
        let port = match listener.port {
            0 => opened.and_then(|b| b.addresses().first().map(SocketAddr::port)).unwrap_or(0),
            port => port,
        };
        let host = if listener.host.is_empty() { host_name().map_err(StartError::HostName)? } else { listener.host.clone() };
        Ok(BrokerEndpoint { name: listener.name.as_str().to_owned(), host, port, security_protocol: listener.protocol.to_wire() })
    };
    config.advertised_listeners.iter().map(end_point).collect()
}

fn host_name() -> std::io::Result<String> {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is as long as is said; the system ends the name with a zero within it, or fails.
    if unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..end]).into_owned())
}

fn limits(config: &ServerConfig) -> Limits {
    let count = |v: i32| usize::try_from(v).unwrap_or(0);
    let buffer = |bytes: i32| usize::try_from(bytes).ok().filter(|_| bytes > 0);
    Limits {
        connections_max: count(config.max_connections),
        connections_per_ip_max: count(config.max_connections_per_ip),
        request_bytes_max: count(config.socket_request_max_bytes),
        // Negative: never. A year is as good, and needs no second way.
        idle_max: Duration::from_millis(u64::try_from(config.connections_max_idle_ms).unwrap_or(365 * 24 * 3600 * 1000)),
        backlog: u32::try_from(config.socket_listen_backlog_size).unwrap_or(0),
        receive_buffer_bytes: buffer(config.socket_receive_buffer_bytes),
        send_buffer_bytes: buffer(config.socket_send_buffer_bytes),
    }
}

fn request_memory_bytes(config: &ServerConfig) -> usize {
    let largest = usize::try_from(config.socket_request_max_bytes).unwrap_or(0);
    match usize::try_from(config.queued_max_request_bytes) {
        Ok(bytes) if bytes > 0 => bytes.max(largest),
        _ => largest + REQUEST_MEMORY_BYTES_MIN,
    }
}
