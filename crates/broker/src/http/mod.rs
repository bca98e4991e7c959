//! Metrics and health over HTTP, for Prometheus and whoever starts and watches nodes.
//!
//! Owns a thread with a runtime of its own, so that neither a scrape holds up a network thread nor the other way round. A connection
//! carries one request and lives for [`CONNECTION_TIME_MAX`] at most; of more than [`CONNECTIONS_MAX`] the oldest goes, so that slow
//! clients keep nobody out. Looks at the node and changes nothing.

mod health;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use ottla_model::config::HttpListener;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::metrics::{Count, Watched, page};
use crate::net::{self, NotTaken};
use crate::partition::LogDir;

/// Connections that are open at a time; a further one takes the place of the oldest.
pub const CONNECTIONS_MAX: usize = 32;
/// How long a connection lives at most, its request and answer included.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// Room for a request's line and headers; 8 KiB are the least that hyper takes.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// How long a log dir may take to say how much is free on it.
const FREE_BYTES_WAIT_MAX: Duration = Duration::from_millis(500);
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 128;
/// Pause before accepting again after the system refused.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// The stack of the thread.
const STACK_BYTES: usize = 512 * 1024;

/// As OpenMetrics asks for.
const OPENMETRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Why HTTP is not served.
#[derive(Debug, thiserror::Error)]
pub enum HttpStartError {
    /// The host has no address.
    #[error("http.listeners: the host `{host}` cannot be resolved: {source}; name a host or address of this machine")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address cannot be taken.
    #[error("http.listeners: cannot listen on {address}: {source}; choose another address or port (`ss -ltnp` shows who has it)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The thread or its runtime cannot be had.
    #[error("the thread that serves HTTP cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// What became of HTTP connections.
#[derive(Debug, Default)]
pub struct HttpCounts {
    /// Taken.
    pub accepted: Count,
    /// Closed when their time was over.
    pub slow: Count,
    /// Closed for a newer one.
    pub crowded: Count,
}

/// What the answers are made of; told by the node as it goes on.
pub(crate) struct NodeState {
    node: ArcSwapOption<Watched>,
    registered: AtomicBool,
    stopping: AtomicBool,
    network: Handle,
    counts: Arc<HttpCounts>,
    /// Whoever asks the disks what is free has not come back.
    asking_disks: Arc<AtomicBool>,
}

impl NodeState {
    /// Of a node that begins to start. `network`: the runtime that serves its connections.
    pub fn starting(network: Handle) -> NodeState {
        NodeState {
            node: ArcSwapOption::empty(),
            registered: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            network,
            counts: Arc::default(),
            asking_disks: Arc::default(),
        }
    }

    /// Where HTTP connections are counted.
    pub fn counts(&self) -> &Arc<HttpCounts> {
        &self.counts
    }

    /// Its partitions are known.
    pub fn watch(&self, node: Watched) {
        self.node.store(Some(Arc::new(node)));
    }

    /// The controller knows it, and what it leads.
    pub fn registered(&self) {
        self.registered.store(true, Ordering::Release);
    }

    /// It takes no more clients.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }
}

/// The sockets, taken and not served yet.
pub(crate) struct BoundHttp(Vec<TcpListener>);

impl BoundHttp {
    /// Takes all addresses of these listeners.
    pub async fn bind(listeners: &[HttpListener]) -> Result<BoundHttp, HttpStartError> {
        let mut sockets = Vec::new();
        for HttpListener { host, port } in listeners {
            let taken = net::take_all(host, *port, BACKLOG).await.map_err(|error| match error {
                NotTaken::Resolve(source) => HttpStartError::Resolve { host: host.clone(), source },
                NotTaken::Bind { address, source } => HttpStartError::Bind { address, source },
            })?;
            sockets.extend(taken.into_iter().map(|(_, socket)| socket));
        }
        Ok(BoundHttp(sockets))
    }

    /// Serves them, on a thread of its own. `None`: there are none.
    pub fn serve(self, state: &Arc<NodeState>) -> Result<Option<HttpServer>, HttpStartError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let addresses: Vec<SocketAddr> = self.0.iter().filter_map(|socket| socket.local_addr().ok()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .thread_name("ottla-http-disk")
            .thread_stack_size(STACK_BYTES)
            .build()?;
        let (stop, stopped) = watch::channel(());
        let state = Arc::clone(state);
        let body = move || {
            let served = runtime.block_on(serve_all(self.0, state, stopped));
            if let Err(error) = served {
                tracing::error!("HTTP is not served: {error}");
            }
            // Whoever asks a disk that hangs is not waited for.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("ottla-http".to_owned()).stack_size(STACK_BYTES).spawn(body)?;
        for address in &addresses {
            tracing::info!("metrics and health are served at http://{address}");
        }
        Ok(Some(HttpServer { addresses, stop: Some(stop), thread: Some(thread) }))
    }
}

/// The thread. Ends when this is dropped.
pub(crate) struct HttpServer {
    addresses: Vec<SocketAddr>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that serves HTTP has panicked");
        }
    }
}

async fn serve_all(sockets: Vec<TcpListener>, state: Arc<NodeState>, mut stopped: watch::Receiver<()>) -> io::Result<()> {
    let router = router(Arc::clone(&state));
    let mut accepting = JoinSet::new();
    let crowd = Arc::new(parking_lot::Mutex::new(Crowd::default()));
    for socket in sockets {
        accepting.spawn(accept(tokio::net::TcpListener::from_std(socket)?, router.clone(), Arc::clone(&crowd), Arc::clone(&state)));
    }
    // An error, as nothing is ever sent: whoever has the other end has dropped it.
    let _ = stopped.changed().await;
    Ok(())
}

/// The connections that are open, the oldest first.
#[derive(Default)]
struct Crowd(VecDeque<AbortHandle>);

impl Crowd {
    /// One more, in the place of the oldest where there are too many; gives whether that one had to go.
    fn add(&mut self, connection: AbortHandle) -> bool {
        self.0.retain(|open| !open.is_finished());
        self.0.push_back(connection);
        let oldest = if self.0.len() > CONNECTIONS_MAX { self.0.pop_front() } else { None };
        oldest.inspect(AbortHandle::abort).is_some()
    }
}

async fn accept(socket: tokio::net::TcpListener, router: Router, crowd: Arc<parking_lot::Mutex<Crowd>>, state: Arc<NodeState>) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                let (router, counts) = (router.clone(), Arc::clone(&state.counts));
                counts.accepted.add_one();
                let connection = tokio::spawn(async move {
                    if tokio::time::timeout(CONNECTION_TIME_MAX, serve_one(stream, router)).await.is_err() {
                        counts.slow.add_one();
                    }
                });
                if crowd.lock().add(connection.abort_handle()) {
                    state.counts.crowded.add_one();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "HTTP: accept");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// One request and its answer.
fn serve_one(stream: TcpStream, router: Router) -> impl Future<Output = ()> {
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP connection ended");
        }
    }
}

fn router(state: Arc<NodeState>) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/health/live", get(live)).route("/health/ready", get(ready)).with_state(state)
}

async fn metrics(State(state): State<Arc<NodeState>>) -> Response {
    let Some(node) = state.node.load_full() else { return unavailable("the node is starting") };
    let free_bytes = free_bytes(node.broker.partitions.log_dirs(), &state.asking_disks).await;
    match page(&node, free_bytes, state.ready().err()) {
        Ok(page) => ([(CONTENT_TYPE, OPENMETRICS)], page).into_response(),
        // Only where a row of the list reads what is not of its kind.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be written: {error}\n")).into_response(),
    }
}

async fn live(State(state): State<Arc<NodeState>>) -> Response {
    said(state.live().await)
}

async fn ready(State(state): State<Arc<NodeState>>) -> Response {
    said(state.ready())
}

fn said(health: Result<(), String>) -> Response {
    match health {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => unavailable(&reason),
    }
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reason.replace(['\r', '\n'], " "))).into_response()
}

/// What is free on each dir's file system. Asked on another thread, as a disk that hangs may not answer.
async fn free_bytes(dirs: &[Arc<LogDir>], asking: &Arc<AtomicBool>) -> Vec<Option<u64>> {
    if asking.swap(true, Ordering::AcqRel) {
        return vec![None; dirs.len()];
    }
    let asking = Arc::clone(asking);
    let quick: Vec<_> = dirs.iter().map(|dir| (!dir.is_offline() && !dir.is_slow()).then(|| Arc::clone(dir))).collect();
    let asked = tokio::task::spawn_blocking(move || {
        // One that fails to say is left out, as the page's list says.
        let free = quick.into_iter().map(|dir| dir.and_then(|dir| Some(dir.disk().space(dir.path()).ok()?.free_bytes))).collect();
        asking.store(false, Ordering::Release);
        free
    });
    match tokio::time::timeout(FREE_BYTES_WAIT_MAX, asked).await {
        Ok(Ok(free)) => free,
        Ok(Err(_)) | Err(_) => vec![None; dirs.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_interfaces_are_those_of_both_protocols_and_a_port_in_use_is_told() {
        let all = BoundHttp::bind(&[HttpListener { host: String::new(), port: 0 }]).await.unwrap();
        let port = all.0[0].local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        if TcpListener::bind("[::1]:0").is_ok() {
            std::net::TcpStream::connect(("::1", port)).unwrap();
        }
        let refused = BoundHttp::bind(&[HttpListener { host: "localhost".to_owned(), port }]).await.map(drop).unwrap_err();
        assert!(matches!(refused, HttpStartError::Bind { .. }), "{refused}");
    }

    #[tokio::test]
    async fn of_too_many_connections_the_oldest_goes() {
        let mut crowd = Crowd::default();
        let open: Vec<_> = (0..CONNECTIONS_MAX).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        open.iter().for_each(|task| assert!(!crowd.add(task.abort_handle())));
        let more = tokio::spawn(std::future::pending::<()>());
        assert!(crowd.add(more.abort_handle()));
        let mut open = open.into_iter();
        let oldest = tokio::time::timeout(Duration::from_secs(60), open.next().unwrap()).await;
        assert!(oldest.expect("it goes").unwrap_err().is_cancelled());
        let second = open.next().unwrap();
        second.abort();
        assert!(second.await.is_err());
        assert!(!crowd.add(tokio::spawn(std::future::pending::<()>()).abort_handle()), "one has ended by itself");
        assert_eq!(crowd.0.len(), CONNECTIONS_MAX);
    }
}
