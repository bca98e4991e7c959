//! What can be wrong with a batch, and the Kafka error for it.

use crate::compress::DecompressError;
use crate::error::ErrorCode;

/// Why bytes are not a sound record batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end within a batch.
    #[error("the batch ends too early: it takes {needed_bytes} bytes, and there are {available_bytes}")]
    Truncated {
        /// The whole batch, or its header where not even that is there.
        needed_bytes: usize,
        /// What there is.
        available_bytes: usize,
    },
    /// The batch's length field is negative or smaller than a header.
    #[error("{length} is no length of a batch")]
    BadLength {
        /// The length field.
        length: i32,
    },
    /// Something follows where exactly one batch was expected.
    #[error("{bytes} bytes follow the batch")]
    NotOneBatch {
        /// How many bytes follow.
        bytes: usize,
    },
    /// Not a record batch v2. Magic 0 and 1 are the message sets of Kafka before 0.11.
    #[error("magic {magic} is not supported: only record batches v2 are")]
    UnsupportedMagic {
        /// The magic byte.
        magic: i8,
    },
    /// The CRC-32C over attributes to end is not the one in the header.
    #[error("the batch's CRC is {stored:#010x}, but its bytes give {computed:#010x}")]
    BadCrc {
        /// The CRC field.
        stored: u32,
        /// The CRC of the bytes.
        computed: u32,
    },
    /// The count is below 1, or the offset delta of the last record is not the count less one.
    #[error("the batch says that it has {count} records, the last at offset delta {last_offset_delta}")]
    BadRecordCount {
        /// The count field.
        count: i32,
        /// The field of the last offset delta.
        last_offset_delta: i32,
    },
    /// Attribute bits that Kafka 4.3 gives no meaning.
    #[error("unknown bits in the batch's attributes {attributes:#06x}")]
    UnknownAttributes {
        /// The attributes field.
        attributes: i16,
    },
    /// No codec has this number.
    #[error("there is no compression codec {id}")]
    UnknownCompression {
        /// Bits 0 to 2 of the attributes.
        id: u8,
    },
    /// The records could not be unpacked.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// One record's lengths, deltas or headers are wrong.
    #[error("record {index} of the batch: {fault}")]
    BadRecord {
        /// Its place in the batch, from 0.
        index: i32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// The batch holds more than its count of records.
    #[error("{bytes} bytes follow the batch's last record")]
    BytesAfterRecords {
        /// How many.
        bytes: usize,
    },
}

/// What can be wrong with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// It is not there, or not whole.
    #[error("the records end too early")]
    Truncated,
    /// Its length is negative, or not the sum of its parts.
    #[error("its length is not that of its parts")]
    BadLength,
    /// An integer within it is longer than it may be, or a part reaches over the record's end.
    #[error("a part of it does not fit into it")]
    BadPart,
    /// Its count of headers is negative, or more than there is room for.
    #[error("{count} is no count of headers")]
    BadHeaderCount {
        /// The count field.
        count: i32,
    },
    /// A header without a key.
    #[error("a header has no key")]
    HeaderWithoutKey,
    /// Offset deltas of a producer's batch count up from 0 without a gap.
    #[error("its offset delta is {found}")]
    BadOffsetDelta {
        /// The delta field; expected was the record's index.
        found: i32,
    },
}

impl BatchError {
    /// The error a producer is answered with.
    pub const fn error_code(&self) -> ErrorCode {
        match self {
            BatchError::Truncated { .. } | BatchError::BadLength { .. } | BatchError::BadCrc { .. } => ErrorCode::CorruptMessage,
            // What stays wrong however often it is sent must not be answered with a retriable error.
            BatchError::NotOneBatch { .. }
            | BatchError::UnsupportedMagic { .. }
            | BatchError::BadRecordCount { .. }
            | BatchError::UnknownAttributes { .. }
            | BatchError::BadRecord { .. }
            | BatchError::BytesAfterRecords { .. }
            | BatchError::Decompress(DecompressError::Malformed { .. }) => ErrorCode::InvalidRecord,
            // Makes Java's producer split the batch, which is what helps.
            BatchError::Decompress(DecompressError::TooLarge { .. }) => ErrorCode::MessageTooLarge,
            BatchError::UnknownCompression { .. } => ErrorCode::UnsupportedCompressionType,
        }
    }
}
