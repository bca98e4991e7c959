//! Listening sockets: binding them, accepting, and starting a task for each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::connection::{Connection, Shared};
use super::sparse::Sparse;
use super::{Connections, RequestMemory};
use crate::api::ListenerInfo;
use crate::context::BrokerContext;

/// Pause before accepting again after the system refused.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Its place in [`ConnectionCounts::REFUSED`](crate::metrics::ConnectionCounts::REFUSED).
const ACCEPT_FAILED: usize = 3;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host has no address.
    #[error("listener {name}: the host `{host}` cannot be resolved: {source}; set a host or address of this machine in `listeners`")]
    Resolve {
        /// The listener.
        name: String,
        /// What was to be resolved.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("listener {name}: {address} is in use by another process; stop it (`ss -ltnp` shows it) or choose another port in `listeners`")]
    InUse {
        /// The listener.
        name: String,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("listener {name}: cannot listen on {address}: {source}")]
    Bind {
        /// The listener.
        name: String,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The limits of a listener's connections, by Kafka's property names.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `max.connections`, over all listeners.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// `socket.listen.backlog.size`.
    pub backlog: u32,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the system, which adapts it.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes`; `None` leaves it to the system, which adapts it.
    pub send_buffer_bytes: Option<usize>,
}

/// A listener whose addresses are taken but which accepts nothing yet.
pub struct BoundListener {
    /// Its name and kind.
    pub info: ListenerInfo,
    sockets: Vec<TcpListener>,
}

impl BoundListener {
    /// The addresses it listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|s| s.local_addr().ok()).collect()
    }
}

/// Takes every address that `host` stands for (`localhost` is two); an empty host is all interfaces.
pub async fn bind(info: ListenerInfo, host: &str, port: u16, backlog: u32) -> Result<BoundListener, BindError> {
    let name = || info.name.clone();
    let taken = take_all(host, port, backlog).await.map_err(|error| match error {
        NotTaken::Resolve(source) => BindError::Resolve { name: name(), host: host.to_owned(), source },
        NotTaken::Bind { address, source } if source.kind() == io::ErrorKind::AddrInUse => BindError::InUse { name: name(), address },
        NotTaken::Bind { address, source } => BindError::Bind { name: name(), address, source },
    })?;
    let mut sockets = Vec::with_capacity(taken.len());
    for (address, socket) in taken {
        sockets.push(TcpListener::from_std(socket).map_err(|source| BindError::Bind { name: name(), address, source })?);
    }
    Ok(BoundListener { info, sockets })
}

/// Why an address was not taken.
pub(crate) enum NotTaken {
    /// The host has none.
    Resolve(io::Error),
    /// It cannot be had.
    Bind { address: SocketAddr, source: io::Error },
}

/// The sockets of all addresses of a host, listening and not blocking, with the addresses that were asked for.
pub(crate) async fn take_all(host: &str, port: u16, backlog: u32) -> Result<Vec<(SocketAddr, std::net::TcpListener)>, NotTaken> {
    let mut sockets: Vec<(SocketAddr, std::net::TcpListener)> = Vec::new();
    for address in resolve(host, port).await.map_err(NotTaken::Resolve)? {
        // With port 0 the addresses of a host share the port that the first was given.
        let port = sockets.first().and_then(|(_, s)| s.local_addr().ok()).map_or(address.port(), |a| a.port());
        let address = SocketAddr::new(address.ip(), port);
        match listen(address, backlog) {
            Ok(socket) => sockets.push((address, socket)),
            // The machine may know of IPv6 without having it.
            Err(e) if !sockets.is_empty() && matches!(e.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported) => {}
            Err(source) => return Err(NotTaken::Bind { address, source }),
        }
    }
    Ok(sockets)
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        // Takes IPv4 too where the system has both; without IPv6 it falls back below.
        return Ok(vec![if ipv6_works() { SocketAddr::from(([0u16; 8], port)) } else { SocketAddr::from(([0; 4], port)) }]);
    }
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    // IPv4 first: it is there on every machine, so a missing IPv6 is then no error.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    }
    Ok(addresses)
}

fn ipv6_works() -> bool {
    socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None)
        .and_then(|s| s.bind(&SocketAddr::from(([0u16, 0, 0, 0, 0, 0, 0, 1], 0)).into()))
        .is_ok()
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Starts to accept; each task ends when `connections` stops.
pub fn serve(
    bound: BoundListener,
    broker: &Arc<BrokerContext>,
    connections: &Connections,
    memory: &RequestMemory,
    limits: &Limits,
) -> Vec<JoinHandle<()>> {
    let shared = Arc::new(Shared {
        broker: broker.clone(),
        listener: bound.info,
        memory: memory.clone(),
        connections: connections.clone(),
        request_bytes_max: limits.request_bytes_max,
        idle_max: limits.idle_max,
    });
    let complaints = Arc::new(Sparse::default());
    bound.sockets.into_iter().map(|socket| tokio::spawn(accept(socket, shared.clone(), limits.clone(), complaints.clone()))).collect()
}

async fn accept(socket: TcpListener, shared: Arc<Shared>, limits: Limits, complaints: Arc<Sparse>) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => start(stream, peer, &shared, &limits, &complaints),
            Err(error) => {
                shared.broker.metrics.connections.refused[ACCEPT_FAILED].add_one();
                complain(&complaints, &shared.listener, None, &error);
                // Out of descriptors, most likely. The pending connection stays pending, so accept would fail again at once.
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn start(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, limits: &Limits, complaints: &Arc<Sparse>) {
    use std::os::fd::AsRawFd;
    let registered = match shared.connections.register(stream.as_raw_fd(), peer.ip(), limits.connections_max, limits.connections_per_ip_max)
    {
        Ok(registered) => registered,
        Err(refused) => {
            shared.broker.metrics.connections.refused[refused.index()].add_one();
            return complain(complaints, &shared.listener, Some(peer), &refused);
        }
    };
    shared.broker.metrics.connections.accepted.add_one();
    if let Err(error) = prepare(&stream, limits) {
        // Where the client has gone already the first read will tell.
        tracing::debug!(%peer, %error, "socket options");
    }
    let (shared, complaints) = (shared.clone(), complaints.clone());
    tokio::spawn(async move {
        let end = shared.broker.threads.watch(Connection::new(shared.clone(), stream, peer, registered).run()).await;
        shared.broker.metrics.connections.closed[end.index()].add_one();
        if end.is_fault() {
            complain(&complaints, &shared.listener, Some(peer), &end);
        } else {
            tracing::debug!(listener = shared.listener.name, %peer, reason = %end, "connection ended");
        }
    });
}

fn prepare(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_keepalive(true)?;
    if let Some(bytes) = limits.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = limits.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

fn complain(complaints: &Sparse, listener: &ListenerInfo, peer: Option<SocketAddr>, reason: &dyn std::fmt::Display) {
    let Some(left_out) = complaints.admit(Instant::now()) else { return };
    let peer = peer.map_or_else(|| "-".to_owned(), |p| p.to_string());
    tracing::warn!(listener = listener.name, peer, left_out, "connection closed: {reason}");
}
