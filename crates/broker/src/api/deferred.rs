//! Requests that come before what they are about is ready: kept as bytes, and handled once it is.
//!
//! While a broker opens its logs, a request for one that is not open waits for it here, where an error would have the client look for
//! another leader, and some clients (sarama, after three tries within a second) give up. And while a disk is slow, what is about it is
//! handled off the network threads, which may not be held up by it. Owns the bound on what is kept; a request
//! that finds no room is handled at once, and gets the retriable error that its partition has. The connection's next requests wait
//! behind it, so that the order of a producer's batches stays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_model::{PartitionId, TopicId, TopicPartition};
use ottla_wire::{Message as _, Reader, Writer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Answer, ApiHandler, CloseReason, ConnectionId, Frame, ListenerInfo, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::partition::{LogDir, NotServing};

/// How long a request waits for logs that are being opened. Below the time after which clients give a connection up.
pub const OPENING_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of requests that may wait at a time. A larger one may when it is alone.
pub const DEFERRED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a request counts for at least, as each costs more than its bytes.
const REQUEST_BYTES_MIN: usize = 2048;

/// A topic as a request names it.
#[derive(Clone, Copy, Debug)]
pub enum TopicRef<'r> {
    /// By its name.
    Name(&'r str),
    /// By its id (KIP-516).
    Id(TopicId),
}

/// Room for requests that wait.
#[derive(Debug)]
pub struct Deferred(Arc<Semaphore>);

impl Default for Deferred {
    fn default() -> Deferred {
        Deferred(Arc::new(Semaphore::new(DEFERRED_BYTES_MAX)))
    }
}

impl Deferred {
    /// What is kept now, by what it counts for.
    pub fn held_bytes(&self) -> usize {
        DEFERRED_BYTES_MAX - self.0.available_permits().min(DEFERRED_BYTES_MAX)
    }

    /// Room for what a request has to keep; `None`: there is none now.
    pub(super) fn admit(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.clamp(REQUEST_BYTES_MIN, DEFERRED_BYTES_MAX)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()
    }
}

/// What a request has to wait for.
#[derive(Default)]
pub(super) struct Unready {
    opening: Vec<TopicPartition>,
    /// The first of its directories that is slow.
    slow: Option<Arc<LogDir>>,
    /// It is about something else too.
    has_others: bool,
}

impl Unready {
    /// Looks at each partition of a request. A cold path: something in the broker is not ready.
    pub(super) fn of<H: ApiHandler>(broker: &BrokerContext, request: &H::Request<'_>, version: i16) -> Unready {
        let mut unready = Unready::default();
        H::touches(request, version, &mut |topic, partition| unready.look(broker, topic, partition));
        unready
    }

    fn look(&mut self, broker: &BrokerContext, topic: TopicRef<'_>, partition: PartitionId) {
        let found = match topic {
            TopicRef::Name(name) => broker.partition(name, partition),
            TopicRef::Id(id) => broker.partition_by_id(id, partition),
        };
        match found {
            Err(NotServing::Opening) => self.opening.extend(broker.name_of(topic, partition)),
            Ok(found) if self.slow.as_ref().is_none_or(|known| Arc::ptr_eq(known, found.log_dir())) && found.log_dir().is_slow() => {
                self.slow = Some(Arc::clone(found.log_dir()));
            }
            Ok(_) | Err(_) => self.has_others = true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.opening.is_empty() && self.slow.is_none()
    }
}

/// Keeps the request and handles it when what it waits for is there, or the time is over; handles it at once where there is no room.
pub(super) fn defer<H: ApiHandler>(
    broker: &Arc<BrokerContext>,
    cx: &RequestContext<'_>,
    request: H::Request<'_>,
    body: &[u8],
    unready: Unready,
    reply: Reply<'_>,
) -> Answer {
    let Some(room) = broker.deferred.admit(body.len()) else { return H::handle(broker, cx, request, reply) };
    let (broker, cx, body) = (Arc::clone(broker), OwnedContext::of(cx), Box::<[u8]>::from(body));
    let deadline = Instant::now() + OPENING_WAIT_MAX;
    reply.hold(|_| async move {
        for name in &unready.opening {
            // What is not open at the deadline says so itself.
            let _ = tokio::time::timeout_at(deadline, broker.partitions.settled(name)).await;
        }
        let Unready { slow, has_others, .. } = unready;
        let request = Arc::new(Kept { broker, cx, body, _room: room });
        let (answer, out) = match slow {
            None => request.handle::<H>(),
            Some(dir) => {
                let for_thread = Arc::clone(&request);
                match dir.off_network(move || for_thread.handle::<H>()).await {
                    Some(handled) => handled,
                    // The directory has failed meanwhile; all that the request is about says so now.
                    None if !has_others => request.handle::<H>(),
                    // What was done in other directories, nobody knows: the client has to ask.
                    None => return Frame::close(CloseReason::StorageHung { log_dir: dir.path().display().to_string() }),
                }
            }
        };
        drop(request);
        match answer {
            Answer::Sent => Frame(Ok(out)),
            Answer::Nothing => Frame::nothing(),
            Answer::Later(pending) | Answer::Held(pending) => pending.await,
            Answer::Close(reason) => Frame::close(reason),
        }
    })
}

/// A request that waits.
struct Kept {
    broker: Arc<BrokerContext>,
    cx: OwnedContext,
    body: Box<[u8]>,
    _room: OwnedSemaphorePermit,
}

impl Kept {
    fn handle<H: ApiHandler>(&self) -> (Answer, Writer) {
        let mut out = Writer::new();
        let key = <H::Request<'static> as ottla_wire::Message<'static>>::KEY;
        let reply = Reply::new(&mut out, &self.broker.metrics, key, self.cx.version, self.cx.correlation_id);
        let answer = match H::Request::decode(&mut Reader::new(&self.body), self.cx.version) {
            Ok(request) => H::handle(&self.broker, &self.cx.borrow(), request, reply),
            Err(error) => super::malformed::<H>(self.cx.version, error),
        };
        (answer, out)
    }
}

/// A [`RequestContext`] without its request.
struct OwnedContext {
    version: i16,
    correlation_id: i32,
    client_id: Option<Box<str>>,
    peer: SocketAddr,
    listener: ListenerInfo,
    connection: ConnectionId,
}

impl OwnedContext {
    fn of(cx: &RequestContext<'_>) -> OwnedContext {
        let RequestContext { version, correlation_id, client_id, peer, listener, connection } = *cx;
        OwnedContext { version, correlation_id, client_id: client_id.map(Into::into), peer, listener: listener.clone(), connection }
    }

    fn borrow(&self) -> RequestContext<'_> {
        RequestContext {
            version: self.version,
            correlation_id: self.correlation_id,
            client_id: self.client_id.as_deref(),
            peer: self.peer,
            listener: &self.listener,
            connection: self.connection,
        }
    }
}
