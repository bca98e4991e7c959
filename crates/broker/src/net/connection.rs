//! One connection: reads frames, has them handled, writes the answers in the order of the requests.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use ottla_wire::frame::FrameError;
use ottla_wire::{FileRange, Reader, RequestHeader, Writer};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::budget::Held;
use super::input::Input;
use super::output::{Flushed, Output};
use super::table::Registered;
use super::{Connections, RequestMemory};
use crate::api::{self, Answer, CloseReason, Frame, ListenerInfo, Pending, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::metrics::OpenRequest;

/// Requests of one connection that may wait for their answers; further ones stay in the socket.
const WAITING_MAX: usize = 128;
/// Answers that may pile up in front of a slow reader before its further requests stay in the socket.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection whose client sends no more is kept for the answers it is owed.
const DRAIN: Duration = Duration::from_millis(1000);
/// The same when the broker stops: answers that hang on a sync still go out, parked fetches do not hold it up.
const STOP_DRAIN: Duration = Duration::from_millis(100);
/// A request that has arrived in part keeps memory; when that runs short it must go on within this time.
const STALLED: Duration = Duration::from_secs(10);

/// What all connections of a listener share.
pub struct Shared {
    pub broker: Arc<BrokerContext>,
    pub listener: ListenerInfo,
    pub memory: RequestMemory,
    pub connections: Connections,
    pub request_bytes_max: usize,
    pub idle_max: Duration,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The client went, or the broker stops: nothing to tell.
    #[error("closed")]
    Closed,
    /// Nothing came for `connections.max.idle.ms`.
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// What was to be sent could not be read from the disk.
    #[error("a log file could not be read: {0}")]
    Disk(io::Error),
    /// What came is no frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A request could not be answered.
    #[error("{0}")]
    Request(#[from] CloseReason),
    /// A request arrived in part and went no further while memory for requests was short.
    #[error("a request stalled after {received_bytes} bytes while memory for unfinished requests ran short")]
    Stalled {
        /// How much of it had arrived.
        received_bytes: usize,
    },
}

impl End {
    /// Its place in [`ConnectionCounts::CLOSED`](crate::metrics::ConnectionCounts::CLOSED).
    pub fn index(&self) -> usize {
        match self {
            End::Closed => 0,
            End::Idle => 1,
            End::Socket(_) => 2,
            End::Disk(_) => 3,
            End::Frame(_) => 4,
            End::Request(_) => 5,
            End::Stalled { .. } => 6,
        }
    }

    /// Whether something happened that whoever runs this broker should hear of.
    pub fn is_fault(&self) -> bool {
        matches!(self, End::Disk(_) | End::Frame(_) | End::Request(_) | End::Stalled { .. })
    }
}

/// A place in the order of answers.
enum Slot {
    Framed(Writer),
    Waiting(Pending, OpenRequest),
}

/// A piece of a file on its way from the disk into the page cache.
type BringingIn = Pin<Box<dyn Future<Output = io::Result<FileRange>> + Send>>;

enum Event {
    Received(usize),
    Answered(Frame),
    BroughtIn(FileRange),
    Writable,
    TimedOut,
}

pub struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    registered: Registered,
    // Behind `registered`, so that it is closed after it has left the table.
    stream: TcpStream,
    input: Input,
    held: Held,
    output: Output,
    /// What the output waits for, if it is not the socket.
    bringing_in: Option<BringingIn>,
    slots: VecDeque<Slot>,
    /// Bytes of the framed answers among the slots.
    framed_bytes: usize,
    /// The last of the slots asked that no further request is handled before it.
    held_back: bool,
    input_ended: bool,
}

impl Connection {
    pub fn new(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, registered: Registered) -> Connection {
        Connection {
            shared,
            peer,
            registered,
            stream,
            input: Input::default(),
            held: Held::default(),
            output: Output::default(),
            bringing_in: None,
            slots: VecDeque::new(),
            framed_bytes: 0,
            held_back: false,
            input_ended: false,
        }
    }

    /// Serves the connection until it ends, and says why it did.
    pub async fn run(mut self) -> End {
        match self.serve().await {
            Ok(()) => End::Closed,
            Err(end) => {
                // What was answered before the fault still goes out, as far as the socket takes it at once.
                let _ = self.output.flush(&self.stream);
                end
            }
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        let mut timer = std::pin::pin!(tokio::time::sleep(self.shared.idle_max));
        let mut active = Instant::now();
        loop {
            self.handle_frames()?;
            self.move_framed();
            let sent = self.flush()?;
            if sent && self.may_handle() && self.has_whole_frame()? {
                continue;
            }
            if self.input_ended && sent && self.slots.is_empty() {
                return Ok(());
            }
            self.settle().await?;
            match poll_fn(|cx| self.poll_event(cx, timer.as_mut())).await? {
                Event::Received(0) => {
                    self.input_ended = true;
                    let drain = if self.shared.connections.is_stopping() { STOP_DRAIN } else { DRAIN };
                    timer.as_mut().reset(Instant::now() + drain);
                }
                Event::Received(_) => active = Instant::now(),
                Event::Answered(frame) => {
                    if let (Some(Slot::Waiting(_, request)), Ok(answer)) = (self.slots.pop_front(), &frame.0) {
                        request.answered(answer.len());
                    }
                    self.held_back &= !self.slots.is_empty();
                    self.output.append(frame.0?);
                    active = Instant::now();
                }
                Event::Writable => active = Instant::now(),
                Event::BroughtIn(piece) => {
                    self.bringing_in = None;
                    self.output.brought_in(&piece);
                    active = Instant::now();
                }
                Event::TimedOut if self.input_ended => return Ok(()),
                Event::TimedOut => {
                    // Moved on only here: a timer reset on every request would cost more than it tells.
                    let until = active + self.shared.idle_max;
                    if Instant::now() >= until && self.slots.is_empty() {
                        return Err(End::Idle);
                    }
                    timer.as_mut().reset(until.max(Instant::now() + Duration::from_millis(100)));
                }
            }
        }
    }

    /// Gives the socket as much as it takes; true when it took all.
    fn flush(&mut self) -> io::Result<bool> {
        if self.bringing_in.is_some() {
            return Ok(false);
        }
        match self.output.flush(&self.stream)? {
            Flushed::All => Ok(true),
            Flushed::Full => Ok(false),
            Flushed::Cold(piece) => {
                let broker = Arc::clone(&self.shared.broker);
                self.bringing_in = Some(Box::pin(async move { broker.cold_reads.bring_in(piece.clone()).await.map(|()| piece) }));
                Ok(false)
            }
        }
    }

    fn may_handle(&self) -> bool {
        !self.held_back && self.slots.len() < WAITING_MAX && self.output.len() + self.framed_bytes < OUTPUT_BYTES_MAX
    }

    fn has_whole_frame(&self) -> Result<bool, End> {
        Ok(self.input.frame(self.shared.request_bytes_max)?.is_some())
    }

    /// Handles every whole frame that is there, as far as answers may pile up.
    fn handle_frames(&mut self) -> Result<(), End> {
        while self.may_handle() {
            let Some(frame) = self.input.frame(self.shared.request_bytes_max)? else { break };
            let length = frame.len();
            let (shared, peer, id) = (&*self.shared, self.peer, self.registered.id);
            let mut framed = None;
            let out = if self.slots.is_empty() { self.output.writer() } else { framed.insert(Writer::new()) };
            let waiting = match handle(shared, peer, id, frame, out)? {
                Handled::Done => None,
                Handled::Later(pending, request) => Some(Slot::Waiting(pending, request)),
                Handled::Held(pending, request) => {
                    self.held_back = true;
                    Some(Slot::Waiting(pending, request))
                }
            };
            // An answer behind others that wait keeps its place; what is due no answer takes none.
            if let Some(framed) = framed.filter(|f| !f.is_empty()) {
                self.framed_bytes += framed.len();
                self.slots.push_back(Slot::Framed(framed));
            }
            self.slots.extend(waiting);
            self.input.consume(length);
        }
        Ok(())
    }

    /// Moves answers that are next in order and framed already into the output.
    fn move_framed(&mut self) {
        while let Some(Slot::Framed(_)) = self.slots.front() {
            if let Some(Slot::Framed(framed)) = self.slots.pop_front() {
                self.framed_bytes -= framed.len();
                self.output.append(framed);
            }
        }
    }

    /// Gives back or pays for the memory that is kept over the coming wait.
    async fn settle(&mut self) -> Result<(), End> {
        self.input.settle();
        self.output.settle();
        let kept = self.input.capacity_bytes();
        if kept == 0 {
            self.held.release();
        } else if !self.shared.memory.try_hold(&mut self.held, kept) {
            let hold = self.shared.memory.hold(&mut self.held, kept);
            if tokio::time::timeout(STALLED, hold).await.is_err() {
                return Err(End::Stalled { received_bytes: self.input.pending_bytes() });
            }
        }
        Ok(())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Result<Event, End>> {
        if let Some(Slot::Waiting(pending, _)) = self.slots.front_mut()
            && let Poll::Ready(frame) = pending.as_mut().poll(cx)
        {
            return Poll::Ready(Ok(Event::Answered(frame)));
        }
        if let Some(bringing_in) = &mut self.bringing_in {
            if let Poll::Ready(piece) = bringing_in.as_mut().poll(cx) {
                return Poll::Ready(piece.map(Event::BroughtIn).map_err(End::Disk));
            }
        } else if !self.output.is_empty()
            && let Poll::Ready(ready) = self.stream.poll_write_ready(cx)
        {
            ready?;
            return Poll::Ready(Ok(Event::Writable));
        }
        if !self.input_ended && self.may_handle() {
            match self.poll_receive(cx) {
                Poll::Ready(received) => return Poll::Ready(Ok(Event::Received(received?))),
                Poll::Pending => self.input.settle(),
            }
        }
        timer.poll(cx).map(|()| Ok(Event::TimedOut))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Looked at before a buffer is taken: most polls of an idle connection find nothing.
        std::task::ready!(self.stream.poll_read_ready(cx))?;
        let room = self.input.room();
        let chunk = room.chunk_mut();
        // SAFETY: the uninitialised rest of the vector is only written to by ReadBuf, which tracks what was filled.
        let mut buf = ReadBuf::uninit(unsafe { chunk.as_uninit_slice_mut() });
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        let n = buf.filled().len();
        // SAFETY: the first `n` bytes of the spare capacity were just filled.
        unsafe { room.advance_mut(n) };
        Poll::Ready(Ok(n))
    }
}

enum Handled {
    Done,
    Later(Pending, OpenRequest),
    Held(Pending, OpenRequest),
}

fn handle(
    shared: &Shared,
    peer: SocketAddr,
    connection: crate::api::ConnectionId,
    frame: &[u8],
    out: &mut Writer,
) -> Result<Handled, CloseReason> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).map_err(CloseReason::MalformedHeader)?;
    let Some(api) = api::lookup(header.api_key, shared.listener.kind) else {
        return Err(CloseReason::UnknownApi { key: header.api_key, listener: shared.listener.name.clone() });
    };
    let cx = RequestContext {
        version: header.api_version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        peer,
        listener: &shared.listener,
        connection,
    };
    let (metrics, before_bytes, began) = (&shared.broker.metrics, out.len(), std::time::Instant::now());
    let reply = Reply::new(out, metrics, api.key, header.api_version, header.correlation_id);
    match api::dispatch(&shared.broker, api, &cx, reader, reply) {
        Answer::Sent | Answer::Nothing => {
            metrics.requests.answered(api.key, began, frame.len(), out.len() - before_bytes);
            Ok(Handled::Done)
        }
        Answer::Later(pending) => Ok(Handled::Later(pending, OpenRequest::park(metrics, api.key, began, frame.len()))),
        Answer::Held(pending) => Ok(Handled::Held(pending, OpenRequest::park(metrics, api.key, began, frame.len()))),
        Answer::Close(reason) => Err(reason),
    }
}
