//! What the scripted broker knows of offsets and transactions.

use std::borrow::Cow;

use ottla_wire::message::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
};
use ottla_wire::message::end_txn::{EndTxnRequest, EndTxnResponse};
use ottla_wire::message::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_wire::{ApiKey, ErrorCode, Reader, RequestHeader};

use super::{Scripted, State, answer as answered};

impl Scripted {
    pub(crate) fn commits_by_group(&self) -> Vec<(String, u64)> {
        self.with(|state| state.groups.iter().map(|(group, (commits, _))| (group.clone(), *commits)).collect())
    }

    pub(crate) fn refuse_commits(&self, code: ErrorCode) {
        self.with(|state| state.refuse_commits = Some(code));
    }

    /// The next so many questions for offsets find a coordinator that loads.
    pub(crate) fn load_for(&self, questions: u32) {
        self.with(|state| state.loads = questions);
    }

    pub(crate) fn loads_left(&self) -> u32 {
        self.with(|state| state.loads)
    }

    /// Refuses the next so many ends of transactions.
    pub(crate) fn refuse_ends(&self, times: u32, code: ErrorCode) {
        self.with(|state| state.refuse_ends = Some((times, code)));
    }

    pub(crate) fn partitions_added(&self) -> u64 {
        self.with(|state| state.partitions_added)
    }

    pub(crate) fn transactions_ended(&self) -> u64 {
        self.with(|state| state.ends)
    }
}

pub(super) fn answer(api: ApiKey, header: &RequestHeader<'_>, reader: &mut Reader<'_>, state: &mut State, port: u16) -> Option<Vec<u8>> {
    match api {
        ApiKey::FindCoordinator => answered::<FindCoordinatorRequest<'_>>(header, reader, |request| {
            let coordinator = |key: &&str| Coordinator {
                key: Cow::Owned((*key).to_owned()),
                node_id: 1,
                host: "127.0.0.1".into(),
                port: port.into(),
                ..Default::default()
            };
            // Brokers need not answer in the order of the keys.
            let coordinators = request.coordinator_keys.iter().rev().map(coordinator).collect();
            Some(FindCoordinatorResponse { coordinators, ..Default::default() })
        }),
        ApiKey::OffsetCommit => answered::<OffsetCommitRequest<'_>>(header, reader, |request| Some(state.commit(&request))),
        ApiKey::OffsetFetch => answered::<OffsetFetchRequest<'_>>(header, reader, |request| Some(state.committed(&request))),
        ApiKey::AddPartitionsToTxn => answered::<AddPartitionsToTxnRequest<'_>>(header, reader, |request| {
            let topic = |topic: &ottla_wire::message::add_partitions_to_txn::AddPartitionsToTxnTopic<'_>| {
                let result = |partition_index: &i32| AddPartitionsToTxnPartitionResult {
                    partition_index: *partition_index,
                    partition_error_code: 0,
                };
                AddPartitionsToTxnTopicResult {
                    name: Cow::Owned(topic.name.to_owned()),
                    results_by_partition: topic.partitions.iter().map(result).collect(),
                }
            };
            state.partitions_added += request.v3_and_below_topics.iter().map(|topic| topic.partitions.len() as u64).sum::<u64>();
            let results = request.v3_and_below_topics.iter().map(topic).collect();
            Some(AddPartitionsToTxnResponse { results_by_topic_v3_and_below: results, ..Default::default() })
        }),
        ApiKey::EndTxn => {
            let version = header.api_version;
            answered::<EndTxnRequest<'_>>(header, reader, |request| {
                if let Some((times @ 1.., code)) = &mut state.refuse_ends {
                    *times -= 1;
                    return Some(EndTxnResponse { error_code: code.as_i16(), ..Default::default() });
                }
                state.ends += 1;
                let producer_epoch = request.producer_epoch + i16::from(version >= 5);
                Some(EndTxnResponse { producer_id: request.producer_id, producer_epoch, ..Default::default() })
            })
        }
        other => panic!("{other} is not asked for by this crate"),
    }
}

impl State {
    fn commit(&mut self, request: &OffsetCommitRequest<'_>) -> OffsetCommitResponse<'static> {
        let code = self.refuse_commits;
        let group = self.groups.entry(request.group_id.to_owned()).or_default();
        group.0 += 1;
        let mut topics = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                let partition_index = partition.partition_index;
                if code.is_none() {
                    group.1.insert(partition_index, partition.committed_offset);
                }
                partitions.push(OffsetCommitResponsePartition { partition_index, error_code: code.map_or(0, ErrorCode::as_i16) });
            }
            topics.push(OffsetCommitResponseTopic { name: Cow::Owned(topic.name.to_owned()), partitions, ..Default::default() });
        }
        OffsetCommitResponse { topics, ..Default::default() }
    }

    fn committed(&mut self, request: &OffsetFetchRequest<'_>) -> OffsetFetchResponse<'static> {
        let loads = self.loads > 0;
        self.loads = self.loads.saturating_sub(1);
        let mut groups = Vec::new();
        for asked in &request.groups {
            let group_id = Cow::Owned(asked.group_id.to_owned());
            if loads {
                let error_code = ErrorCode::CoordinatorLoadInProgress.as_i16();
                groups.push(OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code });
                continue;
            }
            let known = self.groups.get(asked.group_id);
            let partition = |index: &i32| OffsetFetchResponsePartitions {
                partition_index: *index,
                committed_offset: known.and_then(|(_, offsets)| offsets.get(index).copied()).unwrap_or(-1),
                ..Default::default()
            };
            let topic = |topic: &ottla_wire::message::offset_fetch::OffsetFetchRequestTopics<'_>| OffsetFetchResponseTopics {
                name: Cow::Owned(topic.name.to_owned()),
                partitions: topic.partition_indexes.iter().map(partition).collect(),
                ..Default::default()
            };
            let topics = asked.topics.iter().flatten().map(topic).collect();
            groups.push(OffsetFetchResponseGroup { group_id, topics, error_code: 0 });
        }
        OffsetFetchResponse { groups, ..Default::default() }
    }
}
