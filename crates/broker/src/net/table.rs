//! Who is connected: the limits on connections, and the way to end them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::api::ConnectionId;

/// The open connections of a broker. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Open>,
    next_id: AtomicU64,
    stopping: AtomicBool,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    sockets: HashMap<ConnectionId, (RawFd, IpAddr)>,
    per_ip: HashMap<IpAddr, usize>,
}

/// Why a connection was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `max.connections` are open.
    #[error("{open} connections are open, as many as max.connections allows")]
    TooMany {
        /// How many are open.
        open: usize,
    },
    /// `max.connections.per.ip` are open from there.
    #[error("{open} connections are open from {ip}, as many as max.connections.per.ip allows")]
    TooManyFrom {
        /// From where.
        ip: IpAddr,
        /// How many are open from there.
        open: usize,
    },
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

impl Refused {
    /// Its place in [`ConnectionCounts::REFUSED`](crate::metrics::ConnectionCounts::REFUSED).
    pub fn index(&self) -> usize {
        match self {
            Refused::TooMany { .. } => 0,
            Refused::TooManyFrom { .. } => 1,
            Refused::Stopping => 2,
        }
    }
}

/// A place in the table, given up when dropped. It must be dropped before the socket it stands for.
#[derive(Debug)]
pub struct Registered {
    table: Connections,
    /// The number of this connection.
    pub id: ConnectionId,
}

impl Connections {
    /// Takes a connection into the table, or says why not.
    pub fn register(&self, socket: RawFd, ip: IpAddr, max: usize, max_per_ip: usize) -> Result<Registered, Refused> {
        let mut open = self.0.open.lock();
        if self.is_stopping() {
            return Err(Refused::Stopping);
        }
        if open.sockets.len() >= max {
            return Err(Refused::TooMany { open: open.sockets.len() });
        }
        let from_there = open.per_ip.entry(ip).or_default();
        if *from_there >= max_per_ip {
            return Err(Refused::TooManyFrom { ip, open: *from_there });
        }
        *from_there += 1;
        let id = ConnectionId(self.0.next_id.fetch_add(1, Ordering::Relaxed));
        open.sockets.insert(id, (socket, ip));
        Ok(Registered { table: self.clone(), id })
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.open.lock().sockets.len()
    }

    /// Whether [`Connections::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }

    /// Takes no more connections, and lets each open one see the end of its input: it answers what it has and ends.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        for (socket, _) in self.0.open.lock().sockets.values() {
            // SAFETY: the socket is open: its connection leaves this table, under this lock, before it closes it.
            let socket = unsafe { BorrowedFd::borrow_raw(*socket) };
            // Fails only where the peer has gone already, which is what is wanted.
            let _ = socket2::SockRef::from(&socket).shutdown(std::net::Shutdown::Read);
        }
    }

    /// Waits until none is open.
    pub async fn emptied(&self) {
        loop {
            let changed = self.0.emptied.notified();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = self.table.0.open.lock();
        if let Some((_, ip)) = open.sockets.remove(&self.id)
            && let Some(n) = open.per_ip.get_mut(&ip)
        {
            *n -= 1;
            if *n == 0 {
                open.per_ip.remove(&ip);
            }
        }
        if open.sockets.is_empty() {
            self.table.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_in_all_and_for_each_address() {
        let table = Connections::default();
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = table.register(-1, a, 3, 2).unwrap();
        let _second = table.register(-1, a, 3, 2).unwrap();
        assert_eq!(table.register(-1, a, 3, 2).unwrap_err(), Refused::TooManyFrom { ip: a, open: 2 });
        let _third = table.register(-1, b, 3, 2).unwrap();
        assert_eq!(table.register(-1, b, 3, 2).unwrap_err(), Refused::TooMany { open: 3 });
        drop(first);
        assert!(table.register(-1, a, 3, 2).is_ok());
    }
}
