//! The scripted broker as the coordinator of one group with one member at a time, which is always its leader.

use std::collections::{BTreeMap, VecDeque};

use ottla_client::ErrorCode;
use ottla_model::Uuid;
use ottla_wire::ApiKey;
use ottla_wire::message::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ottla_wire::message::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_wire::message::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use ottla_wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use ottla_wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_wire::message::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// What the coordinator knows and is told to answer.
#[derive(Default)]
pub struct Group {
    /// Errors for the next requests of an API, instead of doing them.
    pub refuse: BTreeMap<i16, VecDeque<ErrorCode>>,
    /// Committed, by topic and partition.
    pub offsets: BTreeMap<(String, i32), i64>,
    /// What happened, in order: `join ID`, `commit TOPIC-PARTITION OFFSET as ID GENERATION` and the like.
    pub story: Vec<String>,
    /// Of the consumer protocol: what the member is to have next. Told with the next heartbeat.
    pub target: Option<(Uuid, Vec<i32>)>,
    generation: i32,
    members: u32,
}

impl Group {
    pub fn refuse(&mut self, api: ApiKey, codes: &[ErrorCode]) {
        self.refuse.entry(api.as_i16()).or_default().extend(codes);
    }

    pub fn refusal(&mut self, api: ApiKey) -> i16 {
        self.refuse.get_mut(&api.as_i16()).and_then(VecDeque::pop_front).map_or(0, ErrorCode::as_i16)
    }

    pub fn find(&mut self, request: &FindCoordinatorRequest<'_>, host: &str, port: i32) -> FindCoordinatorResponse<'static> {
        let error_code = self.refusal(ApiKey::FindCoordinator);
        let each = |key: &&str| Coordinator {
            key: (*key).to_owned().into(),
            node_id: 1,
            host: host.to_owned().into(),
            port,
            error_code,
            ..Default::default()
        };
        FindCoordinatorResponse { coordinators: request.coordinator_keys.iter().map(each).collect(), ..Default::default() }
    }

    pub fn join(&mut self, request: &JoinGroupRequest<'_>) -> JoinGroupResponse<'static> {
        let error_code = self.refusal(ApiKey::JoinGroup);
        self.story.push(format!("join `{}`", request.member_id));
        if error_code != 0 {
            return JoinGroupResponse { error_code, ..Default::default() };
        }
        if request.member_id.is_empty() {
            self.members += 1;
            let member_id = format!("m{}", self.members).into();
            return JoinGroupResponse { error_code: ErrorCode::MemberIdRequired.as_i16(), member_id, ..Default::default() };
        }
        self.generation += 1;
        let protocol = &request.protocols[0];
        let id = request.member_id.to_owned();
        let member =
            JoinGroupResponseMember { member_id: id.clone().into(), metadata: protocol.metadata.to_vec().into(), ..Default::default() };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some("consumer".into()),
            protocol_name: Some(protocol.name.to_owned().into()),
            leader: id.clone().into(),
            member_id: id.into(),
            members: vec![member],
            ..Default::default()
        }
    }

    pub fn sync(&mut self, request: &SyncGroupRequest<'_>) -> SyncGroupResponse<'static> {
        let error_code = self.refusal(ApiKey::SyncGroup);
        let assignment = request.assignments.first().filter(|_| error_code == 0).map(|a| a.assignment.to_vec()).unwrap_or_default();
        SyncGroupResponse { error_code, assignment: assignment.into(), ..Default::default() }
    }

    pub fn beat(&mut self, _request: &HeartbeatRequest<'_>) -> HeartbeatResponse {
        HeartbeatResponse { error_code: self.refusal(ApiKey::Heartbeat), ..Default::default() }
    }

    pub fn leave(&mut self, request: &LeaveGroupRequest<'_>) -> LeaveGroupResponse<'static> {
        self.story.extend(request.members.iter().map(|member| format!("leave {}", member.member_id)));
        LeaveGroupResponse::default()
    }

    pub fn commit(&mut self, request: &OffsetCommitRequest<'_>) -> OffsetCommitResponse<'static> {
        let error_code = self.refusal(ApiKey::OffsetCommit);
        let topics = request
            .topics
            .iter()
            .map(|topic| OffsetCommitResponseTopic {
                name: topic.name.to_owned().into(),
                partitions: topic
                    .partitions
                    .iter()
                    .map(|partition| {
                        if error_code == 0 {
                            let (index, offset) = (partition.partition_index, partition.committed_offset);
                            self.offsets.insert((topic.name.to_owned(), index), offset);
                            let (id, generation) = (request.member_id, request.generation_id_or_member_epoch);
                            self.story.push(format!("commit {}-{index} {offset} as `{id}` {generation}", topic.name));
                        }
                        OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code }
                    })
                    .collect(),
                ..Default::default()
            })
            .collect();
        OffsetCommitResponse { topics, ..Default::default() }
    }

    pub fn fetch(&mut self, request: &OffsetFetchRequest<'_>) -> OffsetFetchResponse<'static> {
        let error_code = self.refusal(ApiKey::OffsetFetch);
        let group = &request.groups[0];
        let topics = group
            .topics
            .iter()
            .flatten()
            .map(|topic| OffsetFetchResponseTopics {
                name: topic.name.to_owned().into(),
                partitions: topic
                    .partition_indexes
                    .iter()
                    .map(|index| OffsetFetchResponsePartitions {
                        partition_index: *index,
                        committed_offset: self.offsets.get(&(topic.name.to_owned(), *index)).copied().unwrap_or(-1),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            })
            .collect();
        let group = OffsetFetchResponseGroup { group_id: group.group_id.to_owned().into(), topics, error_code };
        OffsetFetchResponse { groups: vec![group], ..Default::default() }
    }

    pub fn consumer_beat(&mut self, request: &ConsumerGroupHeartbeatRequest<'_>) -> ConsumerGroupHeartbeatResponse<'static> {
        let error_code = self.refusal(ApiKey::ConsumerGroupHeartbeat);
        let has =
            request.topic_partitions.as_ref().map(|topics| topics.iter().flat_map(|topic| topic.partitions.clone()).collect::<Vec<_>>());
        if request.member_epoch <= 0 || has.is_some() {
            self.story.push(format!("beat {} has {has:?}", request.member_epoch));
        }
        if error_code != 0 {
            return ConsumerGroupHeartbeatResponse { error_code, ..Default::default() };
        }
        self.generation += i32::from(request.member_epoch == 0);
        let assignment = self
            .target
            .take()
            .map(|(topic_id, partitions)| Assignment { topic_partitions: vec![TopicPartitions { topic_id, partitions }] });
        ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.to_owned().into()),
            member_epoch: self.generation,
            heartbeat_interval_ms: 20,
            assignment,
            ..Default::default()
        }
    }
}
