//! Fetch (key 1): read record batches; consumers and followers alike.
//!
//! * 4 is the first with record batches of format 2, and has the isolation level. Those before it ask for older formats.
//! * 5 adds log start offsets, 7 incremental fetch sessions (KIP-227), 9 leader epochs (KIP-320).
//! * 10 says that the client reads zstd (KIP-110). 11 adds the rack, to fetch from the closest replica (KIP-392).
//! * 12 is flexible and finds divergence by the epoch fetched last (KIP-595).
//! * 13 names topics by id (KIP-516). 14 may answer `OFFSET_MOVED_TO_TIERED_STORAGE` (KIP-405).
//! * 15 moves the replica id into a tagged struct with the follower's epoch (KIP-903). 16 points to the new leader
//!   (KIP-951). 17 adds the follower's directory (KIP-853), 18 the high watermark that it knows (KIP-1166).

use std::borrow::Cow;

use ottla_model::Uuid;

use crate::{Records, Wire};

/// Asks for batches.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 1, versions = 4..=18, flexible = 12.., response = FetchResponse<'r>)]
pub struct FetchRequest<'a> {
    /// The cluster the sender believes to be in, checked on the metadata log.
    #[wire(tag = 0, tagged = 12.., default = null, ignorable)]
    pub cluster_id: Option<&'a str>,
    /// The follower, up to version 14; -1: a consumer.
    #[wire(until = 14, default = -1)]
    pub replica_id: i32,
    /// The follower, from version 15.
    #[wire(tag = 1, tagged = 15..)]
    pub replica_state: ReplicaState,
    /// How long to wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// How many bytes to wait for.
    pub min_bytes: i32,
    /// How many bytes to answer at most; the first batch may be larger (KIP-74).
    #[wire(since = 3, default = i32::MAX, ignorable)]
    pub max_bytes: i32,
    /// 0 (read_uncommitted): up to the high watermark. 1 (read_committed): up to the last stable offset, with the
    /// aborted transactions in what is read.
    #[wire(since = 4, ignorable)]
    pub isolation_level: i8,
    /// The session (KIP-227); 0: none yet.
    #[wire(since = 7, ignorable)]
    pub session_id: i32,
    /// 0 opens a session, -1 does without or closes it; others count the session's requests.
    #[wire(since = 7, default = -1, ignorable)]
    pub session_epoch: i32,
    /// What to fetch; in a session only what changed.
    pub topics: Vec<FetchTopic<'a>>,
    /// What to drop from the session.
    #[wire(since = 7)]
    pub forgotten_topics_data: Vec<ForgottenTopic<'a>>,
    /// The consumer's rack (KIP-392); empty: not said.
    #[wire(since = 11, ignorable)]
    pub rack_id: &'a str,
}

/// Which follower fetches, and in which of its lives (KIP-903).
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// The follower; -1: a consumer.
    #[wire(since = 15, default = -1)]
    pub replica_id: i32,
    /// Its broker epoch; -1: not known.
    #[wire(since = 15, default = -1)]
    pub replica_epoch: i64,
}

/// What to fetch from one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct FetchTopic<'a> {
    /// The name, up to version 12.
    #[wire(until = 12, ignorable)]
    pub topic: &'a str,
    /// The id, from version 13.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// Its partitions.
    pub partitions: Vec<FetchPartition>,
}

/// What to fetch from one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct FetchPartition {
    /// The partition.
    pub partition: i32,
    /// The leader epoch the sender knows, to be fenced by; -1: not known (KIP-320).
    #[wire(since = 9, default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// Epoch of the batch before that in the sender's log, by which the leader finds divergence; -1: none (KIP-595).
    #[wire(since = 12, default = -1)]
    pub last_fetched_epoch: i32,
    /// First offset in the follower's log; -1 from a consumer.
    #[wire(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// How many bytes to answer at most from this partition (KIP-74).
    pub partition_max_bytes: i32,
    /// Directory in which the follower keeps it (KIP-853).
    #[wire(tag = 0, tagged = 17.., ignorable)]
    pub replica_directory_id: Uuid,
    /// High watermark the follower knows, so that the leader may answer as soon as it has a higher one (KIP-1166).
    /// -1: none known yet; `i64::MAX`: does not tell.
    #[wire(tag = 1, tagged = 18.., default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// Partitions of one topic to drop from the session.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ForgottenTopic<'a> {
    /// The name, up to version 12.
    #[wire(since = 7, until = 12, ignorable)]
    pub topic: &'a str,
    /// The id, from version 13.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    #[wire(since = 7)]
    pub partitions: Vec<i32>,
}

/// Batches, or why there are none.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 1, versions = 4..=18, flexible = 12..)]
pub struct FetchResponse<'a> {
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the whole request, e.g. of its session.
    #[wire(since = 7, ignorable)]
    pub error_code: i16,
    /// The session; 0: none.
    #[wire(since = 7)]
    pub session_id: i32,
    /// Answers by topic; in a session only where there is news.
    pub responses: Vec<FetchableTopicResponse<'a>>,
    /// Addresses of the leaders named in `current_leader`.
    #[wire(tag = 0, tagged = 16..)]
    pub node_endpoints: Vec<NodeEndpoint<'a>>,
}

/// Batches of one topic.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct FetchableTopicResponse<'a> {
    /// The name, up to version 12.
    #[wire(until = 12, ignorable)]
    pub topic: Cow<'a, str>,
    /// The id, from version 13.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// Its partitions.
    pub partitions: Vec<PartitionData<'a>>,
}

/// Batches of one partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct PartitionData<'a> {
    /// The partition.
    pub partition_index: i32,
    /// Error of this partition.
    pub error_code: i16,
    /// The high watermark: a consumer reads below it.
    pub high_watermark: i64,
    /// All transactions below it are decided.
    #[wire(since = 4, default = -1, ignorable)]
    pub last_stable_offset: i64,
    /// First offset in the log.
    #[wire(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Where the follower's log diverges from the leader's, if it does (KIP-595).
    #[wire(tag = 0, tagged = 12..)]
    pub diverging_epoch: EpochEndOffset,
    /// The leader to turn to after `NOT_LEADER_OR_FOLLOWER` or `FENCED_LEADER_EPOCH` (KIP-951).
    #[wire(tag = 1, tagged = 12..)]
    pub current_leader: LeaderIdAndEpoch,
    /// The snapshot to fetch instead, where the offset lies before the metadata log's start (KIP-630).
    #[wire(tag = 2, tagged = 12..)]
    pub snapshot_id: SnapshotId,
    /// Aborted transactions in the records, for read_committed; null otherwise.
    #[wire(since = 4, ignorable)]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// A replica closer to the consumer, to be fetched from next (KIP-392); -1: none.
    #[wire(since = 11, default = -1)]
    pub preferred_read_replica: i32,
    /// Record batches; the last may be cut short. Not looked into here.
    pub records: Records<'a>,
}

/// The end of an epoch in the leader's log.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// The largest epoch the leader has that is not above the one asked about; -1: no divergence.
    #[wire(since = 12, default = -1)]
    pub epoch: i32,
    /// Its end, exclusive.
    #[wire(since = 12, default = -1)]
    pub end_offset: i64,
}

/// Who leads a partition.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1: not known.
    #[wire(since = 12, default = -1)]
    pub leader_id: i32,
    /// Its epoch; -1: not known.
    #[wire(since = 12, default = -1)]
    pub leader_epoch: i32,
}

/// A snapshot of the metadata log.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct SnapshotId {
    /// First offset that it does not hold.
    #[wire(default = -1)]
    pub end_offset: i64,
    /// Epoch of the last record that it holds.
    #[wire(default = -1)]
    pub epoch: i32,
}

/// A transaction that was aborted.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AbortedTransaction {
    /// Its producer.
    #[wire(since = 4)]
    pub producer_id: i64,
    /// Its first offset.
    #[wire(since = 4)]
    pub first_offset: i64,
}

/// How to reach a broker.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct NodeEndpoint<'a> {
    /// The broker.
    #[wire(since = 16)]
    pub node_id: i32,
    /// Its advertised host.
    #[wire(since = 16)]
    pub host: Cow<'a, str>,
    /// Its advertised port.
    #[wire(since = 16)]
    pub port: i32,
    /// Its rack, if it has one.
    #[wire(since = 16, default = null)]
    pub rack: Option<Cow<'a, str>>,
}
