//! From what can go wrong with a partition to Kafka's error codes: one exhaustive function per enum, so that a new cause does not
//! compile until somebody has decided what a client is told.

use ottla_log::{AppendError, LogError, ReadError};
use ottla_model::Offset;
use ottla_wire::ErrorCode;

use super::Leadership;

/// Why a partition cannot be served here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    /// There is no topic of this name, or it has no partition of this number.
    #[error("no such partition")]
    UnknownPartition,
    /// There is no topic of this id.
    #[error("no topic of this id")]
    UnknownTopicId,
    /// Another broker leads it.
    #[error("node {} leads it in epoch {}", current.leader, current.epoch)]
    NotLeader {
        /// Who leads it.
        current: Leadership,
    },
    /// The client believes in an older leader epoch (KIP-320).
    #[error("the leader epoch is {} by now", current.epoch)]
    FencedLeaderEpoch {
        /// Who leads it.
        current: Leadership,
    },
    /// The client believes in a newer leader epoch than this broker has heard of (KIP-320).
    #[error("the leader epoch is newer than this broker's")]
    UnknownLeaderEpoch,
    /// Its log directory is offline.
    #[error("its log directory is offline")]
    Offline,
    /// The broker has just started, and its log is not open yet.
    #[error("its log is being opened")]
    Opening,
    /// Its log directory is slow, and whoever asks has no time to wait.
    #[error("its log directory is slow")]
    Busy,
}

impl NotServing {
    /// What a client is told.
    pub const fn error_code(self) -> ErrorCode {
        match self {
            NotServing::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            NotServing::UnknownTopicId => ErrorCode::UnknownTopicId,
            NotServing::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
            NotServing::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            NotServing::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            NotServing::Offline | NotServing::Busy => ErrorCode::KafkaStorageError,
            // Every client asks again after this one, for as long as it is willing to wait at all.
            NotServing::Opening => ErrorCode::NotLeaderOrFollower,
        }
    }

    /// The leader to go to instead, where the answer has room for that (KIP-951).
    pub const fn current_leader(self) -> Option<Leadership> {
        match self {
            NotServing::NotLeader { current } | NotServing::FencedLeaderEpoch { current } => Some(current),
            NotServing::UnknownPartition
            | NotServing::UnknownTopicId
            | NotServing::UnknownLeaderEpoch
            | NotServing::Offline
            | NotServing::Opening
            | NotServing::Busy => None,
        }
    }
}

/// Why records are not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// It is not, or no longer, served here.
    #[error(transparent)]
    NotServing(#[from] NotServing),
    /// `cleanup.policy` has no `delete`: what a compacted topic has said last of a key is not to be lost.
    #[error("the topic's cleanup.policy does not allow to delete records")]
    PolicyForbids,
    /// Only what consumers see can be deleted.
    #[error("offset {asked} is not within 0 and the high watermark {high_watermark}")]
    OutOfRange {
        /// The offset of the request.
        asked: Offset,
        /// The largest it may be.
        high_watermark: Offset,
    },
    /// The log fails.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What is told to who wants records deleted.
pub const fn delete_records_error_code(error: &DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::NotServing(why) => why.error_code(),
        DeleteRecordsError::PolicyForbids => ErrorCode::PolicyViolation,
        DeleteRecordsError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::Log(error) => log_error_code(error),
    }
}

/// What a producer is told.
pub const fn append_error_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Batch(error) => error.error_code(),
        AppendError::InvalidRecord { .. } => ErrorCode::InvalidRecord,
        AppendError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::InvalidTimestamp { .. } | AppendError::TimestampTypeNotTheirs => ErrorCode::InvalidTimestamp,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::ProducerFenced { .. } | AppendError::LateMarker { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        AppendError::InvalidTxnState { .. } | AppendError::NotInTransaction { .. } => ErrorCode::InvalidTxnState,
        // Only a follower's append asks for dense offsets; no client ever sees this.
        AppendError::NotDense { .. } => ErrorCode::UnknownServerError,
        AppendError::Log(error) => log_error_code(error),
    }
}

/// What anyone is told whose request needs a log that fails.
pub const fn log_error_code(error: &LogError) -> ErrorCode {
    match error {
        // Of no room too: clients try again after it, and by then there may be some.
        LogError::Io(_) | LogError::NoRoom { .. } | LogError::Failed { .. } | LogError::BadFile { .. } | LogError::BadFolderName(_) => {
            ErrorCode::KafkaStorageError
        }
        LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
    }
}

/// What a consumer is told.
pub const fn read_error_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Damaged { .. } => ErrorCode::CorruptMessage,
        ReadError::Io(_) => ErrorCode::KafkaStorageError,
    }
}
