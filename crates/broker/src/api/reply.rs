//! How a handler answers: at once into the connection's output, later as a frame of its own, or not at all.

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

use ottla_wire::{ApiKey, DecodeError, EncodeError, Message, ResponseHeader, Writer};

use crate::metrics::Metrics;

/// Why a connection is closed instead of answered; printed in the log.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The body is not what its API and version say.
    #[error("{api:?} request of version {version} cannot be read: {error}")]
    Malformed {
        /// The API of the header.
        api: ApiKey,
        /// The version of the header.
        version: i16,
        /// What was wrong.
        error: DecodeError,
    },
    /// The header itself cannot be read.
    #[error("request header cannot be read: {0}")]
    MalformedHeader(DecodeError),
    /// No API of this key is served on this listener.
    #[error("API key {key} is not served on listener {listener}")]
    UnknownApi {
        /// The key of the header.
        key: i16,
        /// The listener's name.
        listener: String,
    },
    /// The API exists, the version does not.
    #[error("{api:?} version {version} is not supported (supported: {} to {})", supported.start(), supported.end())]
    UnsupportedVersion {
        /// The API of the header.
        api: ApiKey,
        /// The version of the header.
        version: i16,
        /// What this broker implements.
        supported: RangeInclusive<i16>,
    },
    /// A produce with acks=0 failed: closing is the only way to tell the client (as in Kafka).
    #[error("a produce request with acks=0 failed: {0}")]
    UnacknowledgedProduceFailed(String),
    /// What was working on the answer has ended badly: a fault of ours.
    #[error("the answer was lost: {0}")]
    Lost(String),
    /// A disk hung under a request that was about others too: what of it was done is not known.
    #[error("a request was given up: an operation on the log dir {log_dir} hangs")]
    StorageHung {
        /// The log directory.
        log_dir: String,
    },
    /// The answer could not be written in the request's version: a fault of ours.
    #[error("the answer to {api:?} version {version} cannot be encoded: {error}")]
    Unencodable {
        /// The API answered.
        api: ApiKey,
        /// The version answered in.
        version: i16,
        /// What did not fit.
        error: EncodeError,
    },
}

/// What became of a request.
pub enum Answer {
    /// The answer stands in the connection's output.
    Sent,
    /// No answer is due (acks=0).
    Nothing,
    /// The answer comes when the future ends.
    Later(Pending),
    /// The same, and no further request of the connection is handled before it.
    Held(Pending),
    /// No answer: the connection ends here.
    Close(CloseReason),
}

/// An answer under way. Polled by the connection, only when all earlier requests are answered; so it holds its
/// deadlines as points in time and has registered with whatever wakes it before it is first polled.
pub type Pending = Pin<Box<dyn Future<Output = Frame> + Send>>;

/// One whole framed answer, or why there is none.
pub struct Frame(pub(crate) Result<Writer, CloseReason>);

impl Frame {
    /// No answer is due (acks=0), and nothing is to be waited for any more.
    pub fn nothing() -> Frame {
        Frame(Ok(Writer::new()))
    }

    /// Ends the connection instead of answering.
    pub fn close(reason: CloseReason) -> Frame {
        Frame(Err(reason))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(w) => write!(f, "Frame({} bytes)", w.len()),
            Err(reason) => write!(f, "Frame({reason})"),
        }
    }
}

/// The way to answer one request.
pub struct Reply<'c> {
    out: &'c mut Writer,
    metrics: &'c Arc<Metrics>,
    head: Head,
}

/// What is needed to answer a request after its handler has returned.
#[derive(Clone, Debug)]
pub struct LaterReply {
    metrics: Arc<Metrics>,
    head: Head,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
}

impl<'c> Reply<'c> {
    /// A reply into `out`, which is left untouched unless the handler answers at once.
    pub fn new(out: &'c mut Writer, metrics: &'c Arc<Metrics>, api: ApiKey, version: i16, correlation_id: i32) -> Reply<'c> {
        Reply { out, metrics, head: Head { api, version, correlation_id } }
    }

    /// Answers in another version than the request's: ApiVersions answers what it does not know in version 0 (KIP-511).
    #[must_use]
    pub fn in_version(mut self, version: i16) -> Reply<'c> {
        self.head.version = version;
        self
    }

    /// Answers now, straight into the connection's output.
    pub fn send<'r, R: Message<'r>>(self, response: &R) -> Answer {
        match self.head.encode_into(self.out, self.metrics, response) {
            Ok(()) => Answer::Sent,
            Err(reason) => Answer::Close(reason),
        }
    }

    /// No answer is due (acks=0).
    pub fn nothing(self) -> Answer {
        Answer::Nothing
    }

    /// Answers when `f`'s future ends. All effects must be done already: the future only waits.
    pub fn later<F, Fut>(self, f: F) -> Answer
    where
        F: FnOnce(LaterReply) -> Fut,
        Fut: Future<Output = Frame> + Send + 'static,
    {
        Answer::Later(Box::pin(f(self.for_later())))
    }

    /// Like [`Reply::later`], and the connection's next requests wait too: so that they see what this one did, which the
    /// future may then do itself, or to slow the client down. What the future does is not done when the connection ends first.
    pub fn hold<F, Fut>(self, f: F) -> Answer
    where
        F: FnOnce(LaterReply) -> Fut,
        Fut: Future<Output = Frame> + Send + 'static,
    {
        Answer::Held(Box::pin(f(self.for_later())))
    }

    fn for_later(&self) -> LaterReply {
        LaterReply { metrics: Arc::clone(self.metrics), head: self.head }
    }
}

impl LaterReply {
    /// Frames an answer on its own.
    pub fn encode<'r, R: Message<'r>>(self, response: &R) -> Frame {
        let mut out = Writer::new();
        Frame(self.head.encode_into(&mut out, &self.metrics, response).map(|()| out))
    }
}

impl Head {
    fn encode_into<'r, R: Message<'r>>(self, out: &mut Writer, metrics: &Metrics, response: &R) -> Result<(), CloseReason> {
        response.error_codes(&mut |code| metrics.requests.error(self.api, code));
        let mark = out.begin_frame();
        let unencodable = |error| CloseReason::Unencodable { api: self.api, version: self.version, error };
        let header = ResponseHeader { correlation_id: self.correlation_id };
        let encoded = header.encode(out, self.api, self.version).and_then(|()| response.encode(out, self.version));
        match encoded {
            Ok(()) => out.end_frame(mark).map_err(unencodable),
            Err(error) => {
                out.discard_frame(mark);
                Err(unencodable(error))
            }
        }
    }
}
