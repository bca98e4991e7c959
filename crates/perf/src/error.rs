//! Why a run could not be done, or not to its end. One type, because all of it ends as one line before a person.

use std::io;
use std::path::PathBuf;

use ottla_client::ClientError;
use ottla_wire::batch::{BatchError, BuildError};
use ottla_wire::{DecodeError, EncodeError, ErrorCode};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// A list of brokers that holds none.
    #[error("`{given}` names no broker; give host:port, or several separated by commas")]
    NoBroker {
        /// As it was given.
        given: String,
    },
    /// No connection.
    #[error("cannot reach {address}: {cause}")]
    Connect {
        /// `host:port`.
        address: String,
        /// Why.
        cause: io::Error,
    },
    /// A connection that broke, or was silent for too long.
    #[error("{address}: {doing} failed: {cause}")]
    Connection {
        /// `host:port`.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// An answer that is none.
    #[error("{address} answered {api} with bytes that are no such answer: {cause}")]
    Malformed {
        /// `host:port`.
        address: String,
        /// What was asked.
        api: &'static str,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// An answer without the part that was asked for.
    #[error("{address} answered {api} without a word on {subject}")]
    Unanswered {
        /// `host:port`.
        address: String,
        /// What was asked.
        api: &'static str,
        /// About what.
        subject: String,
    },
    /// A request that cannot be said in the protocol.
    #[error("the {api} request cannot be written: {cause}")]
    Encode {
        /// Which.
        api: &'static str,
        /// Why.
        cause: EncodeError,
    },
    /// A broker's refusal.
    #[error("{subject}: {}{}", code_name(*.code), .said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Refused {
        /// What was refused.
        subject: String,
        /// Kafka's error code.
        code: i16,
        /// What the broker said beside the code.
        said: Option<String>,
    },
    /// A topic that is not led, or has too few partitions, for as long as was waited.
    #[error("topic `{topic}` is not ready after {waited_s:.1} s: {why}")]
    NotReady {
        /// The topic.
        topic: String,
        /// What was missing at the last look.
        why: String,
        /// How long was waited.
        waited_s: f64,
    },
    /// A batch that cannot be built.
    #[error("a batch of {records} records of {record_bytes} bytes cannot be built: {cause}")]
    Batch {
        /// How many records.
        records: usize,
        /// Bytes of each.
        record_bytes: usize,
        /// Why.
        cause: BuildError,
    },
    /// A batch that came back damaged.
    #[error("partition {partition}: the batch at offset {offset} is damaged: {cause}")]
    Damaged {
        /// Where.
        partition: i32,
        /// Where in it.
        offset: i64,
        /// What is wrong.
        cause: BatchError,
    },
    /// Offsets that do not follow each other.
    #[error("partition {partition}: a batch with offsets {first} to {last} where {expected} was due")]
    Discontinuous {
        /// Where.
        partition: i32,
        /// What should have come.
        expected: i64,
        /// The batch's first offset.
        first: i64,
        /// Its last.
        last: i64,
    },
    /// A committed offset that is not the one that was committed.
    #[error("group `{group}` has committed {found} in partition {partition}, where {expected} was expected")]
    Committed {
        /// Whose.
        group: String,
        /// Where.
        partition: i32,
        /// What the coordinator says; -1: nothing.
        found: i64,
        /// What was committed.
        expected: i64,
    },
    /// A group that was not shared out among its members in time.
    #[error("{in_group} of {members} members had their partitions when the time was over")]
    NotShared {
        /// Members that had theirs.
        in_group: usize,
        /// All members.
        members: usize,
    },
    /// Less was there than was to be read.
    #[error("there were only {found} of the {wanted} {what} to be read; produce more first, or ask for less")]
    NotEnough {
        /// So much was read.
        found: u64,
        /// So much was asked for.
        wanted: u64,
        /// Of what.
        what: &'static str,
    },
    /// A partition that gives no more, though it has not ended.
    #[error("partition {partition}: nothing came at offset {offset} for {waited_s} s, though the end is {end}")]
    Stalled {
        /// Which.
        partition: i32,
        /// Where nothing came.
        offset: i64,
        /// Its end when the run began.
        end: i64,
        /// How long was waited.
        waited_s: u64,
    },
    /// Records that were sent and did not come.
    #[error("{received} of {sent} records came back within {waited_s} s of the last one sent")]
    Missing {
        /// Records that came.
        received: u64,
        /// Records that were sent.
        sent: u64,
        /// How long was waited for the rest.
        waited_s: u64,
    },
    /// A number that makes no sense, or more than a bound allows.
    #[error("{what} cannot be {given}: {why}")]
    OutOfBounds {
        /// Which option.
        what: &'static str,
        /// What was given.
        given: u64,
        /// The bound.
        why: String,
    },
    /// A process whose cost was to be read.
    #[error("cannot read what process {process_id} has used: {why}")]
    Process {
        /// Its id.
        process_id: u32,
        /// Why not.
        why: String,
    },
    /// A file that cannot be used.
    #[error("{}: {doing} failed: {cause}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// A line of a ledger that is none.
    #[error("{}, line {line}: {why}", .path.display())]
    BadLedger {
        /// The ledger.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The native client's errors.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No runtime for the native client.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

impl PerfError {
    /// Whether the same may succeed a moment later: the broker was away, or the partition is being moved.
    pub fn is_transient(&self) -> bool {
        match self {
            PerfError::Connect { .. } | PerfError::Connection { .. } | PerfError::NotReady { .. } => true,
            PerfError::Refused { code, .. } => ErrorCode::from_i16(*code).is_some_and(ErrorCode::retriable),
            _ => false,
        }
    }
}

/// Kafka's name of an error code, and what it means.
fn code_name(code: i16) -> String {
    match ErrorCode::from_i16(code) {
        Some(known) => format!("{} ({})", known.name(), known.message().trim_end_matches('.')),
        None => format!("error code {code}, which Kafka 4.3 does not have"),
    }
}
