//! WriteTxnMarkers (key 27): a transaction's coordinator has the leaders of its partitions write how it ended (KIP-98).
//!
//! * 0 is not taken: Kafka 4 dropped it, and only brokers send this. 1 is flexible.
//! * 2 says by which rules the transaction ran, so that a leader can hold the epoch to be new (KIP-1228).

use std::borrow::Cow;

use crate::Wire;

/// The markers.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 27, versions = 1..=2, flexible = 1.., response = WriteTxnMarkersResponse<'r>)]
pub struct WriteTxnMarkersRequest<'a> {
    /// By transaction.
    pub markers: Vec<WritableTxnMarker<'a>>,
}

/// How one transaction ended.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct WritableTxnMarker<'a> {
    /// The producer.
    pub producer_id: i64,
    /// The epoch that goes into the marker.
    pub producer_epoch: i16,
    /// True: committed. False: aborted.
    pub transaction_result: bool,
    /// Where to write it.
    pub topics: Vec<WritableTxnMarkerTopic<'a>>,
    /// Leader epoch of the coordinator's partition of `__transaction_state`: a marker with an older one is refused.
    pub coordinator_epoch: i32,
    /// `transaction.version` that the transaction ran by; 2 and above: each transaction has an epoch of its own.
    #[wire(since = 2, ignorable)]
    pub transaction_version: i8,
}

/// Partitions of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// Which markers are written.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 27, versions = 1..=2, flexible = 1..)]
pub struct WriteTxnMarkersResponse<'a> {
    /// By transaction.
    pub markers: Vec<WritableTxnMarkerResult<'a>>,
}

/// Markers of one transaction.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerResult<'a> {
    /// The producer.
    pub producer_id: i64,
    /// By topic.
    pub topics: Vec<WritableTxnMarkerTopicResult<'a>>,
}

/// Markers in one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerTopicResult<'a> {
    /// The topic.
    pub name: Cow<'a, str>,
    /// By partition.
    pub partitions: Vec<WritableTxnMarkerPartitionResult>,
}

/// Whether the marker of one partition is written.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct WritableTxnMarkerPartitionResult {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition.
    pub error_code: i16,
}
