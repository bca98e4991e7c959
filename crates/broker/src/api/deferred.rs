//! Requests that come before what they are about is ready: kept as bytes, and handled once it is.
//!
//! While a broker opens its logs, a request for one that is not open waits for it here, where an error would have the client look for
//! another leader, and some clients (sarama, after three tries within a second) give up. Owns the bound on what is kept; a request
//! that finds no room is handled at once, and gets the retriable error that its partition has. The connection's next requests wait
//! behind it, so that the order of a producer's batches stays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_model::{PartitionId, TopicId, TopicPartition};
use ottla_wire::{Message as _, Reader, Writer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Answer, ApiHandler, ConnectionId, Frame, ListenerInfo, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::partition::NotServing;

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
    fn admit(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.clamp(REQUEST_BYTES_MIN, DEFERRED_BYTES_MAX)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()
    }
}

/// What a request has to wait for.
#[derive(Default)]
pub(super) struct Unready {
    opening: Vec<TopicPartition>,
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
        if let Err(NotServing::Opening) = found {
            self.opening.extend(broker.name_of(topic, partition));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.opening.is_empty()
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
        let (answer, out) = handle::<H>(&broker, &cx, &body);
        drop((room, body));
        match answer {
            Answer::Sent => Frame(Ok(out)),
            Answer::Nothing => Frame::nothing(),
            Answer::Later(pending) | Answer::Held(pending) => pending.await,
            Answer::Close(reason) => Frame::close(reason),
        }
    })
}

fn handle<H: ApiHandler>(broker: &Arc<BrokerContext>, cx: &OwnedContext, body: &[u8]) -> (Answer, Writer) {
    let mut out = Writer::new();
    let key = <H::Request<'static> as ottla_wire::Message<'static>>::KEY;
    let reply = Reply::new(&mut out, key, cx.version, cx.correlation_id);
    let answer = match H::Request::decode(&mut Reader::new(body), cx.version) {
        Ok(request) => H::handle(broker, &cx.borrow(), request, reply),
        Err(error) => super::malformed::<H>(cx.version, error),
    };
    (answer, out)
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
