//! Record batches v2 (magic 2, KIP-98): the unit in which records travel, are stored and are checked.
//!
//! Owns the layout of a batch and of the records within: views that borrow, checks, a builder, control records, and the
//! few fields that may be changed in place. It does no I/O and decides nothing: whether a control batch may be written,
//! or a timestamp is acceptable, is the log's.
//!
//! ```text
//! base offset 8 | batch length 4 | leader epoch 4 | magic 1 | crc 4 |  <- outside of the CRC
//! attributes 2 | last offset delta 4 | base timestamp 8 | max timestamp 8 |
//! producer id 8 | producer epoch 2 | base sequence 4 | record count 4 | records
//! ```
//! All integers are big-endian. Records are compressed together or not at all; a record is
//! ```text
//! length | attributes 1 | timestamp delta | offset delta | key length | key | value length | value |
//! header count | (key length | key | value length | value) for each header
//! ```
//! where lengths, counts and deltas are zigzag varints (see [`varint`]); length -1 stands for null.

mod builder;
mod control;
mod error;
mod patch;
mod records;
mod retain;
#[cfg(test)]
mod tests;
pub mod varint;
mod view;

pub use builder::{AppendError, BatchBuilder, BuildError, record_len_max};
pub use control::{BadControlRecord, ControlRecordType, EndTxnMarker, TxnResult, control_batch};
pub use error::{BatchError, RecordFault};
pub use patch::{set_base_offset, set_max_timestamp, set_partition_leader_epoch, set_producer};
pub use records::{DecompressLimits, Header, Headers, Record, RecordIter, RecordSet, RecordsSummary};
pub use retain::Retained;
pub use view::{BatchView, Batches, PATCHED_LEN, TimestampType};

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Bytes of a batch that its length field does not count: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;
/// The only magic there is.
pub const MAGIC: i8 = 2;

/// Where each field of the header stands.
pub mod at {
    /// i64
    pub const BASE_OFFSET: usize = 0;
    /// i32
    pub const BATCH_LENGTH: usize = 8;
    /// i32
    pub const PARTITION_LEADER_EPOCH: usize = 12;
    /// i8
    pub const MAGIC: usize = 16;
    /// u32
    pub const CRC: usize = 17;
    /// i16; the CRC covers from here to the end.
    pub const ATTRIBUTES: usize = 21;
    /// i32
    pub const LAST_OFFSET_DELTA: usize = 23;
    /// i64
    pub const BASE_TIMESTAMP: usize = 27;
    /// i64
    pub const MAX_TIMESTAMP: usize = 35;
    /// i64
    pub const PRODUCER_ID: usize = 43;
    /// i16
    pub const PRODUCER_EPOCH: usize = 51;
    /// i32
    pub const BASE_SEQUENCE: usize = 53;
    /// i32
    pub const RECORD_COUNT: usize = 57;
}

/// Bits of the attributes.
pub mod attributes {
    /// The codec's number.
    pub const COMPRESSION_MASK: i16 = 0x07;
    /// Timestamps are the broker's (`LogAppendTime`).
    pub const LOG_APPEND_TIME: i16 = 0x08;
    /// Part of a transaction (KIP-98).
    pub const TRANSACTIONAL: i16 = 0x10;
    /// Holds control records.
    pub const CONTROL: i16 = 0x20;
    /// The base timestamp is the time at which compaction may drop tombstones and markers (KIP-534).
    pub const DELETE_HORIZON: i16 = 0x40;
    /// All bits that have a meaning.
    pub const KNOWN: i16 = 0x7f;
}
