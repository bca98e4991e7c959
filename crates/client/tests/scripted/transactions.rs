//! The scripted broker as the coordinator of one transactional id, by either rules.

use std::collections::BTreeSet;

use ottla_client::ErrorCode;
use ottla_wire::ApiKey;
use ottla_wire::batch::{BatchView, TxnResult};
use ottla_wire::message::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use ottla_wire::message::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
};
use ottla_wire::message::describe_producers::{self as producers, DescribeProducersRequest, DescribeProducersResponse};
use ottla_wire::message::describe_transactions::{self as described, DescribeTransactionsRequest, DescribeTransactionsResponse};
use ottla_wire::message::end_txn::{EndTxnRequest, EndTxnResponse};
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::message::list_transactions::{self as listed, ListTransactionsRequest, ListTransactionsResponse};
use ottla_wire::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use ottla_wire::message::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};

use super::State;

/// The producer id that the transactional id has.
pub const PRODUCER_ID: i64 = 40;

#[derive(Default)]
pub struct Transactions {
    /// `transaction.version` in force: 0, or 2.
    pub version: i16,
    pub init_producer_id_max: Option<i16>,
    pub transactional_id: String,
    pub epoch: Option<i16>,
    pub partitions: BTreeSet<(String, i32)>,
    /// Offsets that wait for the end.
    pending: Vec<((String, i32), i64)>,
    ended: Option<bool>,
    /// What happened, in order.
    pub story: Vec<String>,
    /// Looks for which the transaction is still being ended.
    pub ending_for: usize,
    /// What DescribeProducers says of every partition: producer, epoch, last timestamp, coordinator epoch, start offset.
    pub producers: Vec<(i64, i32, i64, i32, i64)>,
}

impl Transactions {
    fn check(&self, producer_id: i64, epoch: i16) -> i16 {
        if producer_id != PRODUCER_ID {
            return ErrorCode::InvalidProducerIdMapping.as_i16();
        }
        if Some(epoch) == self.epoch { 0 } else { ErrorCode::ProducerFenced.as_i16() }
    }

    /// A batch outside of the transaction.
    pub fn refuses(&mut self, version: i16, topic: &str, partition: i32, bytes: &[u8]) -> Option<ErrorCode> {
        let batch = BatchView::new(bytes).expect("one whole batch");
        if !batch.is_transactional() {
            return None;
        }
        let place = (topic.to_owned(), partition);
        if version >= 12 {
            self.partitions.insert(place.clone());
            self.ended = None;
        }
        let (epoch, sequence) = (batch.producer_epoch(), batch.base_sequence());
        self.story.push(format!("produce {topic}-{partition} {epoch}:{sequence}{}", if version >= 12 { " adding it" } else { "" }));
        (!self.partitions.contains(&place)).then_some(ErrorCode::InvalidTxnState)
    }
}

impl State {
    fn finish(&mut self, commit: bool, marker_epoch: i16) {
        let result = if commit { TxnResult::Commit } else { TxnResult::Abort };
        for place in std::mem::take(&mut self.transactions.partitions) {
            self.logs.entry(place).or_default().mark(PRODUCER_ID, marker_epoch, result);
        }
        for (place, offset) in std::mem::take(&mut self.transactions.pending) {
            if commit {
                self.group.offsets.insert(place, offset);
            }
        }
        self.transactions.ended = Some(commit);
    }

    pub fn init_transactions(&mut self, request: &InitProducerIdRequest<'_>) -> InitProducerIdResponse {
        let refusal = self.group.refusal(ApiKey::InitProducerId);
        let from = if request.producer_id >= 0 { format!(" from {}", request.producer_epoch) } else { String::new() };
        self.transactions.story.push(format!("init {} ms{from}", request.transaction_timeout_ms));
        let refusal = match refusal {
            0 if request.producer_id >= 0 => self.transactions.check(request.producer_id, request.producer_epoch),
            refusal => refusal,
        };
        if refusal != 0 {
            return InitProducerIdResponse { error_code: refusal, ..Default::default() };
        }
        let epoch = self.transactions.epoch.map_or(0, |epoch| epoch + 1);
        self.finish(false, epoch);
        self.transactions.transactional_id = request.transactional_id.unwrap_or_default().to_owned();
        self.transactions.epoch = Some(epoch);
        self.transactions.ended = None;
        InitProducerIdResponse { producer_id: PRODUCER_ID, producer_epoch: epoch, ..Default::default() }
    }

    pub fn add_partitions(&mut self, request: &AddPartitionsToTxnRequest<'_>) -> AddPartitionsToTxnResponse<'static> {
        let refusal = self.group.refusal(ApiKey::AddPartitionsToTxn);
        let refusal = match refusal {
            0 => self.transactions.check(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
            refusal => refusal,
        };
        let mut results = Vec::new();
        for topic in &request.v3_and_below_topics {
            let mut by_partition = Vec::new();
            for partition_index in topic.partitions.iter().copied() {
                self.transactions.story.push(format!("add {}-{partition_index}", topic.name));
                if refusal == 0 {
                    self.transactions.partitions.insert((topic.name.to_owned(), partition_index));
                    self.transactions.ended = None;
                }
                by_partition.push(AddPartitionsToTxnPartitionResult { partition_index, partition_error_code: refusal });
            }
            results.push(AddPartitionsToTxnTopicResult { name: topic.name.to_owned().into(), results_by_partition: by_partition });
        }
        AddPartitionsToTxnResponse { results_by_topic_v3_and_below: results, ..Default::default() }
    }

    pub fn add_group(&mut self, request: &AddOffsetsToTxnRequest<'_>) -> AddOffsetsToTxnResponse {
        let refusal = self.group.refusal(ApiKey::AddOffsetsToTxn);
        self.transactions.story.push(format!("add group {}", request.group_id));
        self.transactions.ended = None;
        AddOffsetsToTxnResponse { error_code: refusal, ..Default::default() }
    }

    pub fn commit_in_transaction(&mut self, request: &TxnOffsetCommitRequest<'_>, version: i16) -> TxnOffsetCommitResponse<'static> {
        let error_code = self.group.refusal(ApiKey::TxnOffsetCommit);
        let mut topics = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                let (index, offset) = (partition.partition_index, partition.committed_offset);
                let (member, generation) = (request.member_id, request.generation_id);
                self.transactions.story.push(format!("offsets v{version} {}-{index} {offset} as `{member}` {generation}", topic.name));
                if error_code == 0 {
                    self.transactions.pending.push(((topic.name.to_owned(), index), offset));
                    self.transactions.ended = None;
                }
                partitions.push(TxnOffsetCommitResponsePartition { partition_index: index, error_code });
            }
            topics.push(TxnOffsetCommitResponseTopic { name: topic.name.to_owned().into(), partitions });
        }
        TxnOffsetCommitResponse { topics, ..Default::default() }
    }

    pub fn end_transaction(&mut self, request: &EndTxnRequest<'_>, version: i16) -> EndTxnResponse {
        let refusal = self.group.refusal(ApiKey::EndTxn);
        let word = if request.committed { "commit" } else { "abort" };
        self.transactions.story.push(format!("{word} v{version} {}", request.producer_epoch));
        let by_890 = version >= 5;
        let repeated = self.transactions.ended == Some(request.committed)
            && self.transactions.epoch == Some(request.producer_epoch + i16::from(by_890));
        let refusal = match refusal {
            0 if repeated => 0,
            0 => self.transactions.check(request.producer_id, request.producer_epoch),
            refusal => refusal,
        };
        if refusal != 0 {
            return EndTxnResponse { error_code: refusal, ..Default::default() };
        }
        if !repeated {
            let epoch = request.producer_epoch + i16::from(by_890);
            self.finish(request.committed, epoch);
            self.transactions.epoch = Some(epoch);
        }
        EndTxnResponse { producer_id: PRODUCER_ID, producer_epoch: self.transactions.epoch.unwrap_or(-1), ..Default::default() }
    }

    pub fn list_transactions(&mut self, request: &ListTransactionsRequest<'_>) -> ListTransactionsResponse<'static> {
        let (states, ids) = (&request.state_filters, &request.producer_id_filters);
        let (longer_than_ms, pattern) = (request.duration_filter, request.transactional_id_pattern);
        self.transactions.story.push(format!("list {states:?} {ids:?} {longer_than_ms} {pattern:?}"));
        let state = if self.transactions.partitions.is_empty() { "Empty" } else { "Ongoing" };
        let one = listed::TransactionState {
            transactional_id: self.transactions.transactional_id.clone().into(),
            producer_id: PRODUCER_ID,
            transaction_state: state.into(),
        };
        let asked = request.producer_id_filters.is_empty() || request.producer_id_filters.contains(&PRODUCER_ID);
        let there = asked && self.transactions.epoch.is_some();
        let unknown_state_filters = request.state_filters.iter().filter(|state| **state == "Odd").map(|state| (*state).to_owned().into());
        ListTransactionsResponse {
            error_code: self.group.refusal(ApiKey::ListTransactions),
            unknown_state_filters: unknown_state_filters.collect(),
            transaction_states: there.then_some(one).into_iter().collect(),
            ..Default::default()
        }
    }

    pub fn describe_transactions(&mut self, request: &DescribeTransactionsRequest<'_>) -> DescribeTransactionsResponse<'static> {
        let id = request.transactional_ids[0];
        let refusal = self.group.refusal(ApiKey::DescribeTransactions);
        let known = self.transactions.epoch.is_some() && self.transactions.transactional_id == id;
        let error_code = if refusal == 0 && !known { ErrorCode::TransactionalIdNotFound.as_i16() } else { refusal };
        let mut topics: Vec<described::TopicData<'static>> = Vec::new();
        for (topic, partition) in &self.transactions.partitions {
            match topics.iter_mut().find(|data| *data.topic == **topic) {
                Some(data) => data.partitions.push(*partition),
                None => topics.push(described::TopicData { topic: topic.clone().into(), partitions: vec![*partition] }),
            }
        }
        let is_ending = self.transactions.ending_for > 0;
        self.transactions.ending_for = self.transactions.ending_for.saturating_sub(1);
        let name = match (is_ending, topics.is_empty()) {
            (true, _) => "PrepareCommit",
            (false, true) => "Empty",
            (false, false) => "Ongoing",
        };
        let state = described::TransactionState {
            error_code,
            transactional_id: id.to_owned().into(),
            transaction_state: name.into(),
            transaction_timeout_ms: 60_000,
            transaction_start_time_ms: if topics.is_empty() { -1 } else { 1_700_000_000_000 },
            producer_id: PRODUCER_ID,
            producer_epoch: self.transactions.epoch.unwrap_or(-1),
            topics,
        };
        DescribeTransactionsResponse { transaction_states: vec![state], ..Default::default() }
    }

    pub fn describe_producers(&mut self, request: &DescribeProducersRequest<'_>) -> DescribeProducersResponse<'static> {
        let error_code = self.group.refusal(ApiKey::DescribeProducers);
        let known = self.transactions.producers.clone();
        let one =
            |(producer_id, producer_epoch, last_timestamp, coordinator_epoch, start): (i64, i32, i64, i32, i64)| producers::ProducerState {
                producer_id,
                producer_epoch,
                last_sequence: 3,
                last_timestamp,
                coordinator_epoch,
                current_txn_start_offset: start,
            };
        let partition = |index: &i32| producers::PartitionResponse {
            partition_index: *index,
            error_code,
            error_message: None,
            active_producers: if error_code == 0 { known.iter().copied().map(one).collect() } else { Vec::new() },
        };
        let topics = request.topics.iter().map(|topic| producers::TopicResponse {
            name: topic.name.to_owned().into(),
            partitions: topic.partition_indexes.iter().map(partition).collect(),
        });
        DescribeProducersResponse { topics: topics.collect(), ..Default::default() }
    }

    pub fn write_markers(&mut self, request: &WriteTxnMarkersRequest<'_>) -> WriteTxnMarkersResponse<'static> {
        let error_code = self.group.refusal(ApiKey::WriteTxnMarkers);
        let marker = &request.markers[0];
        let word = if marker.transaction_result { "commit" } else { "abort" };
        let (id, epoch, coordinator) = (marker.producer_id, marker.producer_epoch, marker.coordinator_epoch);
        let mut topics = Vec::new();
        for topic in &marker.topics {
            let mut partitions = Vec::new();
            for partition_index in topic.partition_indexes.iter().copied() {
                self.transactions.story.push(format!("mark {}-{partition_index} {word} {id}:{epoch} by {coordinator}", topic.name));
                partitions.push(WritableTxnMarkerPartitionResult { partition_index, error_code });
            }
            topics.push(WritableTxnMarkerTopicResult { name: topic.name.to_owned().into(), partitions });
        }
        WriteTxnMarkersResponse { markers: vec![WritableTxnMarkerResult { producer_id: id, topics }] }
    }
}
