//! Control records: what brokers write into partitions for each other, such as the end of a transaction (KIP-98).
//!
//! The key of a control record is a version and a type, two big-endian i16; what the value holds is up to the type.

use super::Record;
use super::builder::{BatchBuilder, BuildError};

/// The version of key and of [`EndTxnMarker`] values that are written; later ones may add fields at the end.
const VERSION: i16 = 0;

/// What a control record is about: the second number of its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlRecordType {
    /// Ends a transaction: its records do not count.
    Abort,
    /// Ends a transaction: its records count.
    Commit,
    /// KRaft: a new leader.
    LeaderChange,
    /// KRaft: begins a snapshot.
    SnapshotHeader,
    /// KRaft: ends a snapshot.
    SnapshotFooter,
    /// KRaft: the version of the protocol (KIP-853).
    KRaftVersion,
    /// KRaft: the set of voters (KIP-853).
    KRaftVoters,
    /// One that Kafka 4.3 does not know; to be skipped.
    Unknown(i16),
}

/// A control record whose key or value is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {part} of a control record has {bytes} bytes, too few")]
pub struct BadControlRecord {
    /// `key` or `value`.
    pub part: &'static str,
    /// How many bytes it has.
    pub bytes: usize,
}

impl ControlRecordType {
    /// The number in the key.
    pub const fn id(self) -> i16 {
        match self {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::LeaderChange => 2,
            ControlRecordType::SnapshotHeader => 3,
            ControlRecordType::SnapshotFooter => 4,
            ControlRecordType::KRaftVersion => 5,
            ControlRecordType::KRaftVoters => 6,
            ControlRecordType::Unknown(id) => id,
        }
    }

    /// The type of this number.
    pub const fn from_id(id: i16) -> ControlRecordType {
        match id {
            0 => ControlRecordType::Abort,
            1 => ControlRecordType::Commit,
            2 => ControlRecordType::LeaderChange,
            3 => ControlRecordType::SnapshotHeader,
            4 => ControlRecordType::SnapshotFooter,
            5 => ControlRecordType::KRaftVersion,
            6 => ControlRecordType::KRaftVoters,
            id => ControlRecordType::Unknown(id),
        }
    }

    /// Reads the key of a control record.
    pub fn from_key(key: &[u8]) -> Result<ControlRecordType, BadControlRecord> {
        let bytes = key.first_chunk::<4>().ok_or(BadControlRecord { part: "key", bytes: key.len() })?;
        let [_, _, id @ ..] = *bytes;
        Ok(ControlRecordType::from_id(i16::from_be_bytes(id)))
    }

    /// The key of a control record of this type.
    pub fn to_key(self) -> [u8; 4] {
        let [v0, v1] = VERSION.to_be_bytes();
        let [t0, t1] = self.id().to_be_bytes();
        [v0, v1, t0, t1]
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TxnResult {
    /// Its records count.
    Commit,
    /// Its records are skipped by consumers that read committed records only.
    Abort,
}

/// The record that ends a transaction in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndTxnMarker {
    /// How it ended.
    pub result: TxnResult,
    /// Epoch of the transaction coordinator; an older one's markers are refused.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    fn record_type(self) -> ControlRecordType {
        match self.result {
            TxnResult::Commit => ControlRecordType::Commit,
            TxnResult::Abort => ControlRecordType::Abort,
        }
    }

    /// The key of the record.
    pub fn to_key(self) -> [u8; 4] {
        self.record_type().to_key()
    }

    /// The value of the record.
    pub fn to_value(self) -> [u8; 6] {
        let [v0, v1] = VERSION.to_be_bytes();
        let [e0, e1, e2, e3] = self.coordinator_epoch.to_be_bytes();
        [v0, v1, e0, e1, e2, e3]
    }

    /// Reads a record of a control batch; `None`: it is a control record of another type.
    pub fn read(record: &Record<'_>) -> Result<Option<EndTxnMarker>, BadControlRecord> {
        let result = match ControlRecordType::from_key(record.key.unwrap_or_default())? {
            ControlRecordType::Commit => TxnResult::Commit,
            ControlRecordType::Abort => TxnResult::Abort,
            _ => return Ok(None),
        };
        let value = record.value.unwrap_or_default();
        let bytes = value.first_chunk::<6>().ok_or(BadControlRecord { part: "value", bytes: value.len() })?;
        let [_, _, epoch @ ..] = *bytes;
        Ok(Some(EndTxnMarker { result, coordinator_epoch: i32::from_be_bytes(epoch) }))
    }
}

/// A batch with one marker, as the leader appends it when the coordinator says so (WriteTxnMarkers).
pub fn control_batch(marker: EndTxnMarker, timestamp: i64, producer_id: i64, producer_epoch: i16) -> Result<Vec<u8>, BuildError> {
    // Markers take no sequence of the producer.
    let mut builder = BatchBuilder::new(crate::compress::Compression::None, usize::MAX)
        .producer(producer_id, producer_epoch, -1)
        .transactional()
        .control();
    builder.push(timestamp, Some(&marker.to_key()), Some(&marker.to_value()), &[]);
    builder.build()
}
