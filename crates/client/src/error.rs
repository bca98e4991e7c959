//! Everything that can go wrong for a user of the client: what, with which value, and what to do.
//!
//! Owns the words; decides nothing but whether trying again can help.

use std::io;
use std::sync::Arc;

use ottla_wire::error::ErrorCode;

/// Why a call failed. Cheap to clone, as all records of one batch share one cause.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection to this address.
    #[error("cannot reach {address}: {}", reason(cause))]
    Connect {
        /// `host:port` as configured or as the broker advertises it.
        address: String,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// None of the bootstrap servers or known brokers can be reached.
    #[error("cannot reach any broker: {}", tried.join("; "))]
    Unreachable {
        /// What each of them ran into.
        tried: Vec<String>,
    },
    /// The connection ended before the answer came. What was asked for may have been done.
    #[error("lost the connection to {address}: {cause}")]
    Disconnected {
        /// `host:port`.
        address: String,
        /// Why it ended.
        cause: String,
    },
    /// No answer within `request.timeout.ms`. What was asked for may have been done.
    #[error("{address} did not answer {api} within {timeout_ms} ms (request.timeout.ms)")]
    RequestTimeout {
        /// `host:port`.
        address: String,
        /// The request's name.
        api: &'static str,
        /// How long was waited.
        timeout_ms: u64,
    },
    /// A frame longer than `receive.message.max.bytes`: no Kafka broker, or a setting that is too small.
    #[error("{address} announced an answer of {len_bytes} bytes, more than receive.message.max.bytes={max_bytes}; is it a Kafka broker?")]
    ResponseTooLarge {
        /// `host:port`.
        address: String,
        /// What was announced.
        len_bytes: u32,
        /// What is allowed.
        max_bytes: u32,
    },
    /// Broker and client have no version of this request in common.
    #[error("{address} takes {api} in versions {broker}, this client speaks {client}: one of the two is too old")]
    NoCommonVersion {
        /// `host:port`.
        address: String,
        /// The request's name.
        api: &'static str,
        /// `3 to 9`, or `none`.
        broker: String,
        /// `3 to 9`.
        client: String,
    },
    /// Bytes that are no valid answer to what was asked.
    #[error("{address} answered {api} with bytes that cannot be read: {cause}")]
    Malformed {
        /// `host:port`.
        address: String,
        /// The request's name.
        api: &'static str,
        /// Where it went wrong.
        cause: String,
    },
    /// A request that does not fit what this broker can be told.
    #[error("{api} cannot be sent: {cause}")]
    Unsendable {
        /// The request's name.
        api: &'static str,
        /// The field, and why.
        cause: String,
    },
    /// The broker refused.
    #[error("{}", refusal(subject, *code, message.as_deref()))]
    Refused {
        /// What was asked about: topic `x`, config `y` …
        subject: String,
        /// Kafka's code.
        code: ErrorCode,
        /// The broker's own words, where it had any.
        message: Option<String>,
    },
    /// There is no such topic, and none was made.
    #[error("topic `{topic}` does not exist")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("topic `{topic}` has partitions 0 to {}, not {partition}", partitions - 1)]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: i32,
        /// How many there are.
        partitions: usize,
    },
    /// A partition had no leader for as long as the call could wait.
    #[error("partition {partition} of topic `{topic}` has no leader; are its brokers running?")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Metadata, or another look-up, did not come in time.
    #[error("{what} within {waited_ms} ms ({property}){}", last.as_ref().map(|e| format!("; last: {e}")).unwrap_or_default())]
    TimedOut {
        /// `no metadata for topic x` …
        what: String,
        /// How long was waited.
        waited_ms: u64,
        /// The setting that bounds it.
        property: &'static str,
        /// What the last try ran into.
        last: Option<Box<ClientError>>,
    },
    /// One record larger than `max.request.size` or than `buffer.memory`.
    #[error("a record of {len_bytes} bytes is larger than {property}={max_bytes}")]
    RecordTooLarge {
        /// Estimated bytes with headers and overhead.
        len_bytes: usize,
        /// The limit.
        max_bytes: u64,
        /// Which limit.
        property: &'static str,
    },
    /// A batch was not acknowledged within `delivery.timeout.ms`. It may have been written.
    #[error("{topic}-{partition}: not acknowledged within {waited_ms} ms (delivery.timeout.ms){}", last.as_ref().map(|e| format!("; last: {e}")).unwrap_or_default())]
    DeliveryTimeout {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How long was waited.
        waited_ms: u64,
        /// What the last try ran into.
        last: Option<Box<ClientError>>,
    },
    /// The position is outside the log and `auto.offset.reset=none`.
    #[error("{topic}-{partition}: offset {offset} is outside the log; seek, or set auto.offset.reset to earliest or latest")]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The position.
        offset: i64,
    },
    /// No position was set and `auto.offset.reset=none`.
    #[error("{topic}-{partition}: no position; seek, or set auto.offset.reset to earliest or latest")]
    NoPosition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The partition is not assigned to this consumer.
    #[error("{topic}-{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Records that do not check out. Seek beyond them to go on.
    #[error("{topic}-{partition}: the batch at offset {offset} is damaged: {cause}")]
    Corrupt {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// First offset of the batch.
        offset: i64,
        /// What did not hold.
        cause: String,
    },
    /// A property of this name does not exist.
    #[error("`{property}` is not a property here{}", nearest(property, known).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownProperty {
        /// As given.
        property: String,
        /// Those that exist.
        known: &'static [&'static str],
    },
    /// A property cannot have this value.
    #[error("`{property}` cannot be `{value}`: expected {expected}")]
    InvalidProperty {
        /// Its name.
        property: &'static str,
        /// As given.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// A record, name or argument that can never be accepted.
    #[error("{0}")]
    InvalidArgument(String),
    /// The transaction failed: nothing of it is or will be committed, and the producer can begin another.
    #[error("the transaction of `{transactional_id}` is not committed: {cause}")]
    TransactionFailed {
        /// The producer's `transactional.id`.
        transactional_id: String,
        /// What it failed by.
        cause: Box<ClientError>,
    },
    /// How the transaction ends was said, and not confirmed in time. The next `begin` goes on asking for the same end before it
    /// begins anything: if it succeeds, the transaction has ended as was asked.
    #[error("the end of the transaction of `{transactional_id}` is not confirmed within {waited_ms} ms (max.block.ms); the next begin asks for it again{}", last.as_ref().map(|e| format!("; last: {e}")).unwrap_or_default())]
    TransactionUndecided {
        /// The producer's `transactional.id`.
        transactional_id: String,
        /// How long was waited.
        waited_ms: u64,
        /// What the last try ran into.
        last: Option<Box<ClientError>>,
    },
    /// The producer cannot go on: another has taken over its transactional id, or it may not use it. Whoever is to go on makes
    /// a new one.
    #[error("the producer of transactional.id `{transactional_id}` has ended: {cause}")]
    ProducerEnded {
        /// Its `transactional.id`.
        transactional_id: String,
        /// Why.
        cause: Box<ClientError>,
    },
    /// Used after it was closed, or its task ended.
    #[error("the {0} is closed")]
    Closed(&'static str),
}

impl ClientError {
    /// Whether the same call may succeed later without any change by the caller.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connect { .. }
            | ClientError::Unreachable { .. }
            | ClientError::Disconnected { .. }
            | ClientError::RequestTimeout { .. }
            | ClientError::NoLeader { .. }
            | ClientError::TimedOut { .. } => true,
            ClientError::Refused { code, .. } => code.retriable(),
            _ => false,
        }
    }

    /// Kafka's error code, where a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { code, .. } => Some(*code),
            ClientError::TransactionFailed { cause, .. } | ClientError::ProducerEnded { cause, .. } => cause.code(),
            _ => None,
        }
    }
}

/// The broker's words, or ours, behind what they are about (unless they say it themselves), before Kafka's name of it.
fn refusal(subject: &str, code: ErrorCode, message: Option<&str>) -> String {
    let words = message.unwrap_or_else(|| code.message()).trim_end_matches('.');
    let name = code.name();
    if words.contains(subject) { format!("{words} ({name})") } else { format!("{subject}: {words} ({name})") }
}

/// The error code of this number; one from a newer broker counts as an unexpected error, as in Java.
pub(crate) fn code(number: i16) -> ErrorCode {
    ErrorCode::from_i16(number).unwrap_or(ErrorCode::UnknownServerError)
}

/// `Connection refused (os error 111)` without the number: readers want the words.
fn reason(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => {
            let mut chars = words.chars();
            chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
        }
        None => text,
    }
}

/// The known name with the fewest edits, if it is near enough to have been meant.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let dotted = name.replace('_', ".");
    known
        .iter()
        .map(|k| {
            let edits = edit_distance(&dotted, k);
            // A name cut short (`linger` for `linger.ms`) is nearer than its edits say.
            (if k.starts_with(&dotted) && !dotted.is_empty() { edits.min(1) } else { edits }, *k)
        })
        .min()
        .filter(|(edits, k)| *edits <= k.len() / 3)
        .map(|(_, k)| k)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(ca != *cb)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_with_which_value() {
        let refused = ClientError::Connect { address: "localhost:9092".to_owned(), cause: Arc::new(io::Error::from_raw_os_error(111)) };
        assert_eq!(refused.to_string(), "cannot reach localhost:9092: connection refused");
        let partition = ClientError::UnknownPartition { topic: "logs".to_owned(), partition: 7, partitions: 3 };
        assert_eq!(partition.to_string(), "topic `logs` has partitions 0 to 2, not 7");
        let exists = ClientError::Refused {
            subject: "topic `logs`".to_owned(),
            code: ErrorCode::TopicAlreadyExists,
            message: Some("Topic 'logs' already exists.".to_owned()),
        };
        assert_eq!(exists.to_string(), "topic `logs`: Topic 'logs' already exists (TOPIC_ALREADY_EXISTS)");
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["linger.ms", "batch.size", "acks"];
        assert_eq!(nearest("linger_ms", &known), Some("linger.ms"));
        assert_eq!(nearest("batchsize", &known), Some("batch.size"));
        assert_eq!(nearest("colour", &known), None);
    }
}
