//! [`Client`]: the connections to a cluster and the picture of it, shared by producers, consumers and admins.
//!
//! Owns when connections are opened and metadata is asked for. One task refreshes the picture; everybody else asks it
//! to and waits for the next one, so a hundred failing partitions make one request.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_model::NodeId;
use ottla_wire::error::ErrorCode;
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::backoff::{Backoff, random_u32};
use crate::connection::Connection;
use crate::metadata::{ClusterView, Topic};
use crate::{BrokerInfo, ClientConfig, ClientError, PartitionInfo};

/// Connections to one broker are kept apart by what waits on them: a broker answers in order, so a fetch that waits for
/// data, or a produce that waits for replicas, would hold up everything asked after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Purpose {
    General,
    Produce,
    Fetch,
}

/// A connection to a cluster; cheap to clone. Everything else of this crate is made from one.
///
/// ```no_run
/// use ottla_client::{Client, ClientConfig};
/// # async fn example() -> Result<(), ottla_client::ClientError> {
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// for partition in client.partitions_for("logs").await? {
///     println!("{} is led by {:?}", partition.partition, partition.leader);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    /// The refresher ends when the last clone of the client is gone.
    _alive: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    started: Instant,
    /// By address; bounded by the brokers and bootstrap servers, times purposes.
    slots: Mutex<HashMap<(String, Purpose), Arc<Slot>>>,
    /// Topics to be asked for, with whether they may be made. Dropped when idle for `metadata.max.idle.ms`.
    interest: Mutex<HashMap<Arc<str>, Interest>>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Counts the wishes for newer metadata; a snapshot says which wish it came after.
    wishes: AtomicU64,
    wished: Notify,
    /// A wish that is not to wait for the spacing of refreshes.
    hurry: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Interest {
    may_create: bool,
    since_ms: u64,
}

/// What the last refresh brought.
#[derive(Debug, Default)]
struct Snapshot {
    view: Arc<ClusterView>,
    /// All wishes up to this one are served by it.
    serves: u64,
    error: Option<ClientError>,
}

/// A place for one connection: whoever needs it first opens it, the others wait for that.
#[derive(Debug, Default)]
struct Slot {
    state: tokio::sync::Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    connection: Option<Connection>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Client {
    /// Connects to the first bootstrap server that answers and learns the cluster from it.
    ///
    /// # Errors
    /// At once when no bootstrap server can be reached, or when the configuration does not hold.
    pub async fn connect(config: ClientConfig) -> Result<Client, ClientError> {
        config.validate()?;
        let (alive, gone) = watch::channel(());
        let inner = Arc::new(Inner {
            config,
            started: Instant::now(),
            slots: Mutex::default(),
            interest: Mutex::default(),
            snapshot: watch::Sender::new(Arc::default()),
            wishes: AtomicU64::new(0),
            wished: Notify::new(),
            hurry: Notify::new(),
        });
        inner.refresh(&mut 0).await?;
        tokio::spawn(keep_fresh(inner.clone(), gone));
        Ok(Client { inner, _alive: Arc::new(alive) })
    }

    /// The cluster's id, if it has told.
    pub fn cluster_id(&self) -> Option<String> {
        self.view().cluster_id.clone()
    }

    /// The brokers as last heard of.
    pub fn brokers(&self) -> Vec<BrokerInfo> {
        self.view().brokers.values().cloned().collect()
    }

    /// A topic's partitions, fresh or from memory.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`] when there is none; it is not made.
    pub async fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>, ClientError> {
        Ok(self.topic(topic, false, self.api_deadline()).await?.partitions.clone())
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.inner.snapshot.borrow().view.clone()
    }

    /// Wakes at each new picture.
    pub(crate) fn subscribe(&self) -> ViewEvents {
        ViewEvents(self.inner.snapshot.subscribe())
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.inner.config.retry_backoff_ms, self.inner.config.retry_backoff_max_ms)
    }

    pub(crate) fn api_deadline(&self) -> Deadline {
        Deadline::after(self.inner.config.default_api_timeout_ms, "default.api.timeout.ms")
    }

    /// Wishes for a newer picture without waiting for it.
    pub(crate) fn request_refresh(&self) {
        self.inner.wish();
    }

    /// A picture asked for after this call.
    pub(crate) async fn refreshed(&self, deadline: Deadline) -> Result<Arc<ClusterView>, ClientError> {
        let mut snapshots = self.inner.snapshot.subscribe();
        let wish = self.inner.wish();
        let served = timeout_at(deadline.at, snapshots.wait_for(|s| s.serves >= wish)).await;
        match served {
            Ok(Ok(snapshot)) => match &snapshot.error {
                Some(error) => Err(error.clone()),
                None => Ok(snapshot.view.clone()),
            },
            Ok(Err(_)) => Err(ClientError::Closed("client")),
            Err(_) => Err(deadline.passed("no metadata", self.inner.snapshot.borrow().error.clone())),
        }
    }

    /// A topic, from memory if it is there, else asked for until the deadline (at once final when it may not be made).
    pub(crate) async fn topic(&self, name: &str, may_create: bool, deadline: Deadline) -> Result<Arc<Topic>, ClientError> {
        if let Some(topic) = self.known_topic(name) {
            return Ok(topic);
        }
        let name: Arc<str> = name.into();
        self.inner.interest.lock().insert(name.clone(), Interest { may_create, since_ms: self.inner.now_ms() });
        self.inner.hurry.notify_one();
        let mut last;
        loop {
            match self.refreshed(deadline).await {
                Ok(view) => {
                    if let Some(topic) = view.topic(&name) {
                        return Ok(topic.clone());
                    }
                    // Neither there nor missing: the answer was on its way before this topic was of interest.
                    let Some(code) = view.errors.get(&name).copied() else { continue };
                    let error = if code == ErrorCode::UnknownTopicOrPartition {
                        ClientError::UnknownTopic { topic: name.to_string() }
                    } else {
                        ClientError::Refused { subject: format!("topic `{name}`"), code, message: None }
                    };
                    if !(code.retriable() && (may_create || code != ErrorCode::UnknownTopicOrPartition)) {
                        self.inner.interest.lock().remove(&name);
                        return Err(error);
                    }
                    last = Some(error);
                }
                Err(error @ (ClientError::TimedOut { .. } | ClientError::Closed(_))) => return Err(error),
                Err(error) => last = Some(error),
            }
            if Instant::now() >= deadline.at {
                return Err(deadline.passed(format!("no metadata for topic `{name}`"), last));
            }
        }
    }

    /// A topic from memory; marks it as used.
    pub(crate) fn known_topic(&self, name: &str) -> Option<Arc<Topic>> {
        let topic = self.inner.snapshot.borrow().view.topic(name)?.clone();
        topic.touch(self.inner.now_ms());
        Some(topic)
    }

    /// The connection to a broker for one purpose, opened if need be.
    pub(crate) async fn connection(&self, node: NodeId, purpose: Purpose) -> Result<Connection, ClientError> {
        let address = self.view().brokers.get(&node).map(BrokerInfo::address);
        let Some(address) = address else {
            self.request_refresh();
            let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no live broker has this id");
            return Err(ClientError::Connect { address: format!("broker {node}"), cause: Arc::new(cause) });
        };
        let connection = self.inner.connection_to(address, purpose).await;
        if connection.is_err() {
            // A broker that cannot be reached may have moved, or its partitions may have.
            self.request_refresh();
        }
        connection
    }

    /// A connection to the controller if it is known, else to any broker. Brokers pass on what only the controller can do.
    pub(crate) async fn controller_connection(&self) -> Result<Connection, ClientError> {
        if let Some(controller) = self.view().controller
            && let Ok(connection) = self.connection(controller, Purpose::General).await
        {
            return Ok(connection);
        }
        self.any_connection().await
    }

    /// A connection to whichever broker answers.
    pub(crate) async fn any_connection(&self) -> Result<Connection, ClientError> {
        self.inner.any_connection().await
    }
}

/// Until when a call may go on, and which setting says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    waited_ms: u32,
    property: &'static str,
}

impl Deadline {
    pub(crate) fn after(ms: u32, property: &'static str) -> Deadline {
        Deadline { at: Instant::now() + Duration::from_millis(ms.into()), waited_ms: ms, property }
    }

    pub(crate) fn passed(&self, what: impl Into<String>, last: Option<ClientError>) -> ClientError {
        ClientError::TimedOut { what: what.into(), waited_ms: self.waited_ms.into(), property: self.property, last: last.map(Box::new) }
    }
}

/// Wakes at each new picture of the cluster.
pub(crate) struct ViewEvents(watch::Receiver<Arc<Snapshot>>);

impl ViewEvents {
    /// Waits for the next picture. Never ends once the client is gone.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Inner {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn wish(&self) -> u64 {
        let wish = self.wishes.fetch_add(1, Ordering::SeqCst) + 1;
        self.wished.notify_one();
        wish
    }

    async fn connection_to(&self, address: String, purpose: Purpose) -> Result<Connection, ClientError> {
        let slot = self.slots.lock().entry((address.clone(), purpose)).or_default().clone();
        let mut state = slot.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|c| !c.is_closed()) {
            return Ok(connection.clone());
        }
        state.connection = None;
        if let Some(not_before) = state.not_before {
            sleep_until(not_before).await;
        }
        match Connection::open(&address, &self.config).await {
            Ok(connection) => {
                state.failures = 0;
                // Even a connection that opens and is lost at once is not opened again in a tight loop.
                let wait = Duration::from_millis(self.config.reconnect_backoff_ms.into());
                state.not_before = Some(Instant::now() + wait);
                state.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let backoff = Backoff::new(self.config.reconnect_backoff_ms, self.config.reconnect_backoff_max_ms);
                state.not_before = Some(Instant::now() + backoff.after(state.failures, random_u32()));
                Err(error)
            }
        }
    }

    /// Known brokers first, those with a connection before the rest; then the bootstrap servers.
    async fn any_connection(&self) -> Result<Connection, ClientError> {
        let view = self.snapshot.borrow().view.clone();
        let known = view.brokers.values().map(BrokerInfo::address);
        let mut candidates: Vec<String> = Vec::new();
        for address in known.chain(self.config.bootstrap_servers.iter().cloned()) {
            if !candidates.contains(&address) {
                candidates.push(address);
            }
        }
        if !candidates.is_empty() {
            let turn = random_u32() as usize % candidates.len();
            candidates.rotate_left(turn);
        }
        let connected = |address: &String| {
            let slot = self.slots.lock().get(&(address.clone(), Purpose::General)).cloned();
            slot.is_some_and(|slot| slot.state.try_lock().is_ok_and(|s| s.connection.as_ref().is_some_and(|c| !c.is_closed())))
        };
        candidates.sort_by_cached_key(|address| !connected(address));
        let mut errors = Vec::new();
        for address in candidates {
            match self.connection_to(address, Purpose::General).await {
                Ok(connection) => return Ok(connection),
                Err(error) => errors.push(error),
            }
        }
        match <[ClientError; 1]>::try_from(errors) {
            Ok([only]) => Err(only),
            Err(errors) => Err(ClientError::Unreachable { tried: errors.iter().map(ToString::to_string).collect() }),
        }
    }

    /// One try: asks any broker about the topics of interest and publishes what it says, or why it could not.
    async fn refresh(&self, failures: &mut u32) -> Result<(), ClientError> {
        let serves = self.wishes.load(Ordering::SeqCst);
        let result = self.ask().await;
        let (view, error) = match result {
            Ok(view) => {
                *failures = 0;
                (Arc::new(view), None)
            }
            Err(error) => {
                *failures = failures.saturating_add(1);
                tracing::debug!(%error, "metadata could not be refreshed");
                (self.snapshot.borrow().view.clone(), Some(error))
            }
        };
        self.forget_connections(&view);
        self.snapshot.send_replace(Arc::new(Snapshot { view, serves, error: error.clone() }));
        error.map_or(Ok(()), Err)
    }

    async fn ask(&self) -> Result<ClusterView, ClientError> {
        let connection = self.any_connection().await?;
        let version = connection.version::<MetadataRequest<'_>>(i16::MAX)?;
        let old = self.snapshot.borrow().view.clone();
        let (to_create, wanted): (Vec<_>, Vec<_>) = self.wanted(&old).into_iter().partition(|(_, may_create)| *may_create);
        let mut next = ClusterView::default();
        // Creation is asked for by request, not by topic; so there are two requests while both kinds are wanted.
        for (group, may_create) in [(wanted, false), (to_create, true)] {
            if may_create && group.is_empty() {
                continue;
            }
            let names: Vec<Arc<str>> = group.into_iter().map(|(name, _)| name).collect();
            let topics = names.iter().map(|name| MetadataRequestTopic { name: Some(name), ..Default::default() }).collect();
            // Versions before 4 always create; versions before 1 take an empty list for all topics, which is but slow.
            let allow_auto_topic_creation = may_create || version < 4;
            let request = MetadataRequest { topics: Some(topics), allow_auto_topic_creation, ..Default::default() };
            let answer = connection.submit(&request, version).await?.answer().await?;
            let response: MetadataResponse<'_> = answer.decode()?;
            if response.error_code != ErrorCode::None.as_i16() {
                let code = crate::error::code(response.error_code);
                return Err(ClientError::Refused { subject: "metadata".to_owned(), code, message: None });
            }
            next.extend(&response, &old, &names, self.now_ms());
        }
        Ok(next)
    }

    /// The topics to ask for, with whether they are to be made. Idle ones are dropped.
    fn wanted(&self, view: &ClusterView) -> Vec<(Arc<str>, bool)> {
        let now_ms = self.now_ms();
        let idle_ms = u64::from(self.config.metadata_max_idle_ms);
        let mut interest = self.interest.lock();
        interest.retain(|name, interest| {
            let used_ms = view.topic(name).map_or(interest.since_ms, |topic| topic.last_used_ms().max(interest.since_ms));
            now_ms.saturating_sub(used_ms) < idle_ms
        });
        interest.iter().map(|(name, interest)| (name.clone(), interest.may_create && view.topic(name).is_none())).collect()
    }

    /// Drops the connections to addresses that are neither configured nor advertised any more.
    fn forget_connections(&self, view: &ClusterView) {
        let live: HashSet<String> =
            view.brokers.values().map(BrokerInfo::address).chain(self.config.bootstrap_servers.iter().cloned()).collect();
        self.slots.lock().retain(|(address, _), _| live.contains(address));
    }
}

/// The refresher: serves wishes one request at a time, and refreshes by age when nobody wishes.
async fn keep_fresh(inner: Arc<Inner>, gone: watch::Receiver<()>) {
    let backoff = Backoff::new(inner.config.retry_backoff_ms, inner.config.retry_backoff_max_ms);
    let age_max = Duration::from_millis(inner.config.metadata_max_age_ms.into());
    let mut failures = 0;
    let mut not_before = Instant::now();
    let refreshing = async {
        loop {
            // Timing out here is the refresh by age.
            let _ = timeout(age_max, inner.wished.notified()).await;
            tokio::select! {
                () = sleep_until(not_before) => {}
                // A topic nobody asked for before does not wait for the troubles of others.
                () = inner.hurry.notified() => {}
            }
            not_before = Instant::now() + backoff.after(failures + 1, random_u32());
            // The error is in the snapshot, for those who wait.
            let _ = inner.refresh(&mut failures).await;
        }
    };
    let mut gone = gone;
    tokio::select! {
        _ = gone.changed() => {}
        () = refreshing => {}
    }
}
