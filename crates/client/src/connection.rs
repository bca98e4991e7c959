//! One TCP connection to one broker: frames, correlation ids, versions, and requests that follow each other without
//! waiting for answers.
//!
//! A task owns the socket; [`Connection`] is a handle to it. Brokers answer in the order they were asked, so the waiting
//! requests are a queue. Knows nothing of topics, leaders or retries: when anything goes wrong the connection ends, and
//! everything that waited on it is told why.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::{ApiKey, Message, Reader, Request, RequestHeader, ResponseHeader, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{ClientConfig, ClientError};

/// Requests handed over to the task and not yet written. What waits for an answer is bounded by the config.
const QUEUED_REQUESTS_MAX: usize = 16;
/// A read buffer grows by at most what it holds already: an announced length alone costs nothing.
const READ_STEP_BYTES: usize = 64 * 1024;

/// A handle to a connection; cheap to clone. The connection ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Outgoing>,
}

#[derive(Debug)]
struct Shared {
    address: String,
    client_id: String,
    request_timeout: Duration,
    spoken: Spoken,
    next_correlation_id: AtomicI32,
}

/// What the broker speaks.
#[derive(Debug, Default)]
struct Spoken {
    /// Lowest and highest version by API.
    versions: HashMap<i16, (i16, i16)>,
    /// The level of `transaction.version` that is in force in the cluster; 0 where the broker does not tell.
    transaction_version: i16,
}

/// A whole request on its way to the socket.
struct Outgoing {
    frame: Vec<u8>,
    waiting: Waiting,
}

/// Who waits for what, in the order of the frames.
struct Waiting {
    api: &'static str,
    correlation_id: i32,
    deadline: Instant,
    timeout_ms: u64,
    reply: Reply,
}

enum Reply {
    /// The answer's frame.
    Answer(oneshot::Sender<Result<Bytes, ClientError>>),
    /// Produce with acks=0: the broker sends nothing; written is as good as it gets.
    Written(oneshot::Sender<Result<Bytes, ClientError>>),
}

impl Reply {
    fn send(self, result: Result<Bytes, ClientError>) {
        let (Reply::Answer(to) | Reply::Written(to)) = self;
        // A caller that gave up waiting is no error: its answer is dropped here.
        drop(to.send(result));
    }
}

/// An answer still on its way.
pub(crate) struct Pending {
    shared: Arc<Shared>,
    api: ApiKey,
    version: i16,
    answer: oneshot::Receiver<Result<Bytes, ClientError>>,
}

/// A whole answer, to be read with the version it was asked in.
pub(crate) struct Answer {
    shared: Arc<Shared>,
    api: ApiKey,
    version: i16,
    frame: Bytes,
}

impl Connection {
    /// Connects and agrees on versions, within `socket.connection.setup.timeout.ms`.
    pub(crate) async fn open(address: &str, config: &ClientConfig) -> Result<Connection, ClientError> {
        let setup = Duration::from_millis(config.socket_connection_setup_timeout_ms.into());
        timeout(setup, Self::open_unbounded(address, config)).await.unwrap_or_else(|_| {
            let cause = std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} ms (socket.connection.setup.timeout.ms)", setup.as_millis()),
            );
            Err(ClientError::Connect { address: address.to_owned(), cause: Arc::new(cause) })
        })
    }

    async fn open_unbounded(address: &str, config: &ClientConfig) -> Result<Connection, ClientError> {
        let connect_error = |cause| ClientError::Connect { address: address.to_owned(), cause: Arc::new(cause) };
        let stream = TcpStream::connect(address).await.map_err(connect_error)?;
        stream.set_nodelay(true).map_err(connect_error)?;
        let (read_half, mut write_half) = stream.into_split();
        let mut frames = FrameReader {
            stream: read_half,
            buffer: BytesMut::new(),
            max_bytes: config.receive_message_max_bytes,
            address: address.to_owned(),
        };
        let spoken = agree_on_versions(&mut frames, &mut write_half, &config.client_id).await?;
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout(),
            spoken,
            next_correlation_id: AtomicI32::new(1),
        });
        let (queue, requests) = mpsc::channel(QUEUED_REQUESTS_MAX);
        let in_flight = config.max_in_flight_requests_per_connection as usize;
        tokio::spawn(run(frames, write_half, requests, in_flight));
        Ok(Connection { shared, queue })
    }

    /// Whether a request would surely fail.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// By which rules transactions run in this cluster: the level of `transaction.version` in force.
    pub(crate) fn transaction_version(&self) -> i16 {
        self.shared.spoken.transaction_version
    }

    /// The newest version of `R` that both sides speak, not above `at_most`.
    pub(crate) fn version<'q, R: Request<'q>>(&self, at_most: i16) -> Result<i16, ClientError> {
        let (ours_min, ours_max) = (*R::VERSIONS.start(), (*R::VERSIONS.end()).min(at_most));
        let range = |min: i16, max: i16| if min == max { min.to_string() } else { format!("{min} to {max}") };
        let broker = self.shared.spoken.versions.get(&R::KEY.as_i16());
        broker.map(|(min, max)| (ours_min.max(*min), ours_max.min(*max))).filter(|(min, max)| min <= max).map(|(_, max)| max).ok_or_else(
            || ClientError::NoCommonVersion {
                address: self.shared.address.clone(),
                api: R::NAME,
                broker: broker.map_or_else(|| "none".to_owned(), |(min, max)| range(*min, *max)),
                client: range(ours_min, ours_max),
            },
        )
    }

    /// Sends a request in the newest common version and waits for its answer.
    pub(crate) async fn call<'q, R: Request<'q>>(&self, request: &R) -> Result<Answer, ClientError> {
        let version = self.version::<R>(i16::MAX)?;
        self.submit(request, version).await?.answer().await
    }

    /// Queues a request; calls that follow each other on one task reach the broker in that order.
    pub(crate) async fn submit<'q, R: Request<'q>>(&self, request: &R, version: i16) -> Result<Pending, ClientError> {
        self.enqueue::<R>(request, version, self.shared.request_timeout, Reply::Answer).await
    }

    /// As [`submit`](Self::submit), for what a broker answers later than other requests.
    pub(crate) async fn submit_within<'q, R: Request<'q>>(
        &self,
        request: &R,
        version: i16,
        wait: Duration,
    ) -> Result<Pending, ClientError> {
        self.enqueue::<R>(request, version, self.shared.request_timeout.max(wait), Reply::Answer).await
    }

    /// As [`submit`](Self::submit), for a request that is not answered: done once it is written to the socket.
    pub(crate) async fn submit_unanswered<'q, R: Request<'q>>(&self, request: &R, version: i16) -> Result<Pending, ClientError> {
        self.enqueue::<R>(request, version, self.shared.request_timeout, Reply::Written).await
    }

    async fn enqueue<'q, R: Request<'q>>(
        &self,
        request: &R,
        version: i16,
        request_timeout: Duration,
        reply: impl FnOnce(oneshot::Sender<Result<Bytes, ClientError>>) -> Reply,
    ) -> Result<Pending, ClientError> {
        let correlation_id = self.shared.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = encode_frame(request, version, correlation_id, &self.shared.client_id)?;
        let (to, answer) = oneshot::channel();
        let waiting = Waiting {
            api: R::NAME,
            correlation_id,
            deadline: Instant::now() + request_timeout,
            timeout_ms: request_timeout.as_millis() as u64,
            reply: reply(to),
        };
        self.queue.send(Outgoing { frame, waiting }).await.map_err(|_| self.shared.ended())?;
        Ok(Pending { shared: self.shared.clone(), api: R::KEY, version, answer })
    }
}

impl Shared {
    fn ended(&self) -> ClientError {
        ClientError::Disconnected { address: self.address.clone(), cause: "it was closed before".to_owned() }
    }
}

impl Pending {
    /// Waits for the answer. Dropping this future gives the answer up, not the request.
    pub(crate) async fn answer(mut self) -> Result<Answer, ClientError> {
        self.wait().await
    }

    /// As [`answer`](Self::answer), for those who may wait in several attempts. Cancel safe; not to be called again after
    /// it was ready.
    pub(crate) async fn wait(&mut self) -> Result<Answer, ClientError> {
        let frame = (&mut self.answer).await.unwrap_or_else(|_| Err(self.shared.ended()))?;
        Ok(Answer { shared: self.shared.clone(), api: self.api, version: self.version, frame })
    }
}

impl Answer {
    /// Reads the answer's body. Everything in it borrows from the frame.
    pub(crate) fn decode<'a, M: Message<'a>>(&'a self) -> Result<M, ClientError> {
        debug_assert_eq!(M::KEY.as_i16(), self.api.as_i16());
        let mut reader = Reader::new(&self.frame);
        ResponseHeader::decode(&mut reader, self.api, self.version)
            .and_then(|_| M::decode(&mut reader, self.version))
            .map_err(|cause| self.malformed(cause))
    }

    /// An answer that decodes but makes no sense.
    pub(crate) fn malformed(&self, cause: impl std::fmt::Display) -> ClientError {
        ClientError::Malformed { address: self.shared.address.clone(), api: self.api.name(), cause: cause.to_string() }
    }

    /// The version both sides used.
    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// The part of the frame that `slice` borrows, shared rather than copied.
    pub(crate) fn share(&self, slice: &[u8]) -> Bytes {
        self.frame.slice_ref(slice)
    }
}

fn encode_frame<'q, R: Request<'q>>(request: &R, version: i16, correlation_id: i32, client_id: &str) -> Result<Vec<u8>, ClientError> {
    let unsendable = |cause: &dyn std::fmt::Display| ClientError::Unsendable { api: R::NAME, cause: cause.to_string() };
    let mut writer = Writer::new();
    let mark = writer.begin_frame();
    let header = RequestHeader::new::<R>(version, correlation_id, Some(client_id));
    header.encode(&mut writer).map_err(|cause| unsendable(&cause))?;
    request.encode(&mut writer, version).map_err(|cause| unsendable(&cause))?;
    writer.end_frame(mark).map_err(|cause| unsendable(&cause))?;
    Ok(writer.into_parts().buf)
}

/// Asks with our newest ApiVersions; a broker that does not know it answers in version 0 with what it has (KIP-511).
async fn agree_on_versions(frames: &mut FrameReader, stream: &mut OwnedWriteHalf, client_id: &str) -> Result<Spoken, ClientError> {
    let mut version = *<ApiVersionsRequest<'_> as Message<'_>>::VERSIONS.end();
    loop {
        let request = ApiVersionsRequest { client_software_name: "ottla-client", client_software_version: env!("CARGO_PKG_VERSION") };
        let frame = encode_frame(&request, version, 0, client_id)?;
        stream.write_all(&frame).await.map_err(|cause| frames.ended(cause))?;
        let answer = frames.next().await?;
        let malformed = |cause: &dyn std::fmt::Display| ClientError::Malformed {
            address: frames.address.clone(),
            api: "ApiVersions",
            cause: cause.to_string(),
        };
        let mut reader = Reader::new(&answer);
        ResponseHeader::decode(&mut reader, ApiKey::ApiVersions, version).map_err(|cause| malformed(&cause))?;
        let body = answer.get(4..).unwrap_or_default();
        let error_code = body.first_chunk::<2>().map(|code| i16::from_be_bytes(*code)).ok_or_else(|| malformed(&"it is too short"))?;
        let unsupported = error_code == ErrorCode::UnsupportedVersion.as_i16();
        let response = ApiVersionsResponse::decode(&mut Reader::new(body), if unsupported { 0 } else { version })
            .map_err(|cause| malformed(&cause))?;
        if unsupported && version > 0 {
            let newest = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.as_i16()).map_or(0, |api| api.max_version);
            version = newest.clamp(0, version - 1);
            continue;
        }
        match crate::error::code(error_code) {
            ErrorCode::None => {
                let versions = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
                // Without an epoch the broker does not know what is in force (KIP-584).
                let in_force = response.finalized_features.iter().filter(|_| response.finalized_features_epoch >= 0);
                let transactions =
                    in_force.filter(|feature| feature.name == "transaction.version").map(|feature| feature.max_version_level);
                return Ok(Spoken { versions, transaction_version: transactions.max().unwrap_or(0) });
            }
            code => {
                return Err(ClientError::Refused { subject: format!("versions of {}", frames.address), code, message: None });
            }
        }
    }
}

/// The connection's task: writes what comes, reads what answers it, and tells everybody when it ends.
async fn run(mut frames: FrameReader, mut stream: OwnedWriteHalf, mut requests: mpsc::Receiver<Outgoing>, in_flight_max: usize) {
    let (sent, mut waiting) = mpsc::channel(in_flight_max);
    let mut head = None;
    let error = {
        let address = frames.address.clone();
        let mut write = std::pin::pin!(write_requests(&mut stream, &mut requests, sent, &address));
        let mut read = std::pin::pin!(read_answers(&mut frames, &mut waiting, &mut head));
        tokio::select! {
            written = &mut write => match written {
                // The last handle is gone, but somebody may still wait for an answer.
                Ok(()) => read.await,
                Err(error) => error,
            },
            error = &mut read => error,
        }
    };
    tracing::debug!(address = frames.address, %error, "connection ended");
    // Nobody adds to either queue from here on; what is in them fails for the same reason.
    requests.close();
    waiting.close();
    if let Some(waiting) = head {
        waiting.reply.send(Err(error.clone()));
    }
    while let Some(waiting) = waiting.recv().await {
        waiting.reply.send(Err(error.clone()));
    }
    while let Some(outgoing) = requests.recv().await {
        outgoing.waiting.reply.send(Err(error.clone()));
    }
}

/// Ends well when no handle is left, else with the error of the socket.
async fn write_requests(
    stream: &mut OwnedWriteHalf,
    requests: &mut mpsc::Receiver<Outgoing>,
    sent: mpsc::Sender<Waiting>,
    address: &str,
) -> Result<(), ClientError> {
    let ended = |cause: &dyn std::fmt::Display| ClientError::Disconnected { address: address.to_owned(), cause: cause.to_string() };
    while let Some(Outgoing { frame, waiting }) = requests.recv().await {
        match waiting.reply {
            Reply::Answer(_) => {
                // Before the write: the answer must find its request waiting. Also the bound on requests in flight.
                if let Err(unsent) = sent.send(waiting).await {
                    let error = ended(&"no more answers are read");
                    unsent.0.reply.send(Err(error.clone()));
                    return Err(error);
                }
                // A peer that takes no data is found by the deadline of the oldest answer.
                stream.write_all(&frame).await.map_err(|cause| ended(&cause))?;
            }
            Reply::Written(_) => match timeout_at(waiting.deadline, stream.write_all(&frame)).await {
                Ok(Ok(())) => waiting.reply.send(Ok(Bytes::new())),
                failed => {
                    let error = match failed {
                        Ok(Err(cause)) => ended(&cause),
                        _ => ended(&"it takes no more data"),
                    };
                    waiting.reply.send(Err(error.clone()));
                    return Err(error);
                }
            },
        }
    }
    Ok(())
}

/// Ends with the reason why no more answers will come. `head` is the oldest request, once it has left the queue.
async fn read_answers(frames: &mut FrameReader, waiting: &mut mpsc::Receiver<Waiting>, head: &mut Option<Waiting>) -> ClientError {
    loop {
        let Some(first) = head.as_ref() else {
            tokio::select! {
                biased;
                first = waiting.recv() => match first {
                    Some(first) => *head = Some(first),
                    None => return ClientError::Closed("connection"),
                },
                end = frames.ended_while_idle() => return end,
            }
            continue;
        };
        let frame = match timeout_at(first.deadline, frames.next()).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return error,
            Err(_) => {
                return ClientError::RequestTimeout { address: frames.address.clone(), api: first.api, timeout_ms: first.timeout_ms };
            }
        };
        let found = frame.first_chunk::<4>().map(|id| i32::from_be_bytes(*id));
        if found != Some(first.correlation_id) {
            let cause = format!("expected correlation id {}, found {found:?}", first.correlation_id);
            return ClientError::Malformed { address: frames.address.clone(), api: first.api, cause };
        }
        if let Some(first) = head.take() {
            first.reply.send(Ok(frame));
        }
    }
}

/// Cuts a stream into frames. What it holds is bounded by what has arrived, not by what was announced.
struct FrameReader {
    stream: OwnedReadHalf,
    buffer: BytesMut,
    max_bytes: u32,
    address: String,
}

impl FrameReader {
    /// The next frame without its length. Cancel safe.
    async fn next(&mut self) -> Result<Bytes, ClientError> {
        loop {
            let mut missing = READ_STEP_BYTES;
            if let Some(announced) = self.buffer.first_chunk::<4>() {
                let len_bytes = u32::from_be_bytes(*announced);
                if len_bytes > self.max_bytes {
                    return Err(ClientError::ResponseTooLarge { address: self.address.clone(), len_bytes, max_bytes: self.max_bytes });
                }
                let whole = 4 + len_bytes as usize;
                if self.buffer.len() >= whole {
                    let mut frame = self.buffer.split_to(whole).freeze();
                    frame.advance(4);
                    return Ok(frame);
                }
                missing = (whole - self.buffer.len()).min(self.buffer.len().max(READ_STEP_BYTES));
            }
            self.buffer.reserve(missing);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(self.ended("the broker closed it")),
                Ok(_) => {}
                Err(cause) => return Err(self.ended(cause)),
            }
        }
    }

    /// Waits for the end of a connection on which nothing is expected. Cancel safe.
    async fn ended_while_idle(&mut self) -> ClientError {
        if self.buffer.is_empty() {
            match self.stream.peek(&mut [0]).await {
                Ok(0) => return self.ended("the broker closed it"),
                Ok(_) => {}
                Err(cause) => return self.ended(cause),
            }
        }
        self.ended("it sent bytes that nobody asked for")
    }

    fn ended(&self, cause: impl std::fmt::Display) -> ClientError {
        ClientError::Disconnected { address: self.address.clone(), cause: cause.to_string() }
    }
}
