//! The header of a record batch (magic 2) as the log reads it back from a segment: parsed from the first 61 bytes alone, since
//! what follows need not be in memory.
//!
//! On the way in batches are looked at whole, through `ottla_wire::batch`; this is for walking over files.

use ottla_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_wire::batch::{HEADER_LEN, LOG_OVERHEAD, MAGIC, at, attributes};

/// What stands in a batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub base_offset: Offset,
    /// The whole batch, these 61 bytes included.
    pub bytes: u32,
    pub leader_epoch: LeaderEpoch,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub max_timestamp: i64,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: Sequence,
    /// 0 in what compaction leaves of a batch to tell of its offsets and sequences.
    pub record_count: i32,
}

/// Why some bytes are no batch header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Fewer bytes remain than the batch says it has.
    Torn { wanted: u64, found: u64 },
    /// The length is less than a header.
    Length(i32),
    /// Not the format that Kafka writes since 0.11.
    Magic(i8),
    /// Negative offset or delta.
    Offsets { base: i64, delta: i32 },
}

impl std::fmt::Display for BadHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadHeader::Torn { wanted, found } => write!(f, "a batch of {wanted} bytes where {found} remain"),
            BadHeader::Length(length) => write!(f, "a batch length of {length}"),
            BadHeader::Magic(magic) => write!(f, "magic {magic}, expected 2"),
            BadHeader::Offsets { base, delta } => write!(f, "base offset {base} and last offset delta {delta}"),
        }
    }
}

impl BatchHeader {
    /// Reads a header from the first 61 bytes of a batch of which `remaining` bytes are in the file.
    pub fn parse(h: &[u8; HEADER_LEN], remaining: u64) -> Result<BatchHeader, BadHeader> {
        fn field<const N: usize>(h: &[u8; HEADER_LEN], from: usize) -> [u8; N] {
            let mut out = [0; N];
            out.copy_from_slice(&h[from..from + N]);
            out
        }
        let length = i32::from_be_bytes(field(h, at::BATCH_LENGTH));
        if length < (HEADER_LEN as i32 - LOG_OVERHEAD as i32) {
            return Err(BadHeader::Length(length));
        }
        let magic = i8::from_be_bytes(field(h, at::MAGIC));
        if magic != MAGIC {
            return Err(BadHeader::Magic(magic));
        }
        let bytes = length as u32 + LOG_OVERHEAD as u32;
        if u64::from(bytes) > remaining {
            return Err(BadHeader::Torn { wanted: u64::from(bytes), found: remaining });
        }
        let (base, delta) = (i64::from_be_bytes(field(h, at::BASE_OFFSET)), i32::from_be_bytes(field(h, at::LAST_OFFSET_DELTA)));
        if base < 0 || delta < 0 || base.checked_add(i64::from(delta) + 1).is_none() {
            return Err(BadHeader::Offsets { base, delta });
        }
        Ok(BatchHeader {
            base_offset: Offset(base),
            bytes,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(h, at::PARTITION_LEADER_EPOCH))),
            attributes: i16::from_be_bytes(field(h, at::ATTRIBUTES)),
            last_offset_delta: delta,
            max_timestamp: i64::from_be_bytes(field(h, at::MAX_TIMESTAMP)),
            producer_id: ProducerId(i64::from_be_bytes(field(h, at::PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(h, at::PRODUCER_EPOCH))),
            base_sequence: Sequence(i32::from_be_bytes(field(h, at::BASE_SEQUENCE))),
            record_count: i32::from_be_bytes(field(h, at::RECORD_COUNT)),
        })
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The largest timestamp of its records; -1 without any.
    pub fn records_max_timestamp(&self) -> i64 {
        if self.record_count == 0 { -1 } else { self.max_timestamp }
    }

    pub fn is_control(&self) -> bool {
        self.attributes & attributes::CONTROL != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & attributes::TRANSACTIONAL != 0
    }

    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence == Sequence::NONE { Sequence::NONE } else { self.base_sequence.plus(self.last_offset_delta) }
    }
}
