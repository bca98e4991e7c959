//! Requests of coordinators that the node should understand: of groups, of their offsets, of transactions.

use ottla_wire::ApiKey;
use ottla_wire::message::add_offsets_to_txn::AddOffsetsToTxnRequest;
use ottla_wire::message::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use ottla_wire::message::consumer_group_describe::ConsumerGroupDescribeRequest;
use ottla_wire::message::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use ottla_wire::message::delete_groups::DeleteGroupsRequest;
use ottla_wire::message::describe_groups::DescribeGroupsRequest;
use ottla_wire::message::describe_producers::{DescribeProducersRequest, TopicRequest};
use ottla_wire::message::describe_transactions::DescribeTransactionsRequest;
use ottla_wire::message::end_txn::EndTxnRequest;
use ottla_wire::message::find_coordinator::FindCoordinatorRequest;
use ottla_wire::message::heartbeat::HeartbeatRequest;
use ottla_wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_wire::message::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_wire::message::list_groups::ListGroupsRequest;
use ottla_wire::message::list_transactions::ListTransactionsRequest;
use ottla_wire::message::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_wire::message::offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use ottla_wire::message::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use ottla_wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_wire::message::txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use ottla_wire::message::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest};

use super::encoded;

const GROUP: &str = "group";
const MEMBER: &str = "member";
const TRANSACTIONAL_ID: &str = "transactional";
const TOPICS: [&str; 2] = ["events", "absent"];

/// Of groups and their offsets. `None`: of another kind.
pub(super) fn of_groups(key: ApiKey, version: i16) -> Option<Vec<u8>> {
    Some(match key {
        ApiKey::FindCoordinator => {
            let several = FindCoordinatorRequest { coordinator_keys: vec![GROUP, "other"], ..Default::default() };
            encoded(version, &[several, FindCoordinatorRequest { key: GROUP, ..Default::default() }])
        }
        ApiKey::JoinGroup => {
            let protocols = ["range", "roundrobin"].map(|name| JoinGroupRequestProtocol { name, metadata: &[0, 1, 0, 0, 0, 0] }).to_vec();
            // No member can come of it: one that waits for others would not be answered before its connection ends.
            let oldest = JoinGroupRequest {
                group_id: GROUP,
                session_timeout_ms: 10_000,
                member_id: MEMBER,
                protocol_type: "consumer",
                protocols,
                ..Default::default()
            };
            let later = JoinGroupRequest { rebalance_timeout_ms: 10_000, ..oldest.clone() };
            let newest = JoinGroupRequest { group_instance_id: Some("instance"), reason: Some("harm"), ..later.clone() };
            encoded(version, &[newest, JoinGroupRequest { group_instance_id: Some("instance"), ..later.clone() }, later, oldest])
        }
        ApiKey::SyncGroup => {
            let assignments = vec![SyncGroupRequestAssignment { member_id: MEMBER, assignment: &[0, 0, 0, 0, 0, 0] }; 3];
            let oldest = SyncGroupRequest { group_id: GROUP, generation_id: 1, member_id: MEMBER, assignments, ..Default::default() };
            let newest = SyncGroupRequest {
                group_instance_id: Some("instance"),
                protocol_type: Some("consumer"),
                protocol_name: Some("range"),
                ..oldest.clone()
            };
            encoded(version, &[newest, SyncGroupRequest { group_instance_id: Some("instance"), ..oldest.clone() }, oldest])
        }
        ApiKey::Heartbeat => {
            let oldest = HeartbeatRequest { group_id: GROUP, generation_id: 1, member_id: MEMBER, ..Default::default() };
            encoded(version, &[HeartbeatRequest { group_instance_id: Some("instance"), ..oldest.clone() }, oldest])
        }
        ApiKey::LeaveGroup => {
            let member = MemberIdentity { member_id: MEMBER, group_instance_id: Some("instance"), ..Default::default() };
            let with_reason = MemberIdentity { reason: Some("harm"), ..member.clone() };
            let several = |member| LeaveGroupRequest { group_id: GROUP, members: vec![member; 3], ..Default::default() };
            let one = LeaveGroupRequest { group_id: GROUP, member_id: MEMBER, ..Default::default() };
            encoded(version, &[several(with_reason), several(member), one])
        }
        ApiKey::DescribeGroups => {
            let oldest = DescribeGroupsRequest { groups: vec![GROUP, "other"], ..Default::default() };
            encoded(version, &[DescribeGroupsRequest { include_authorized_operations: true, ..oldest.clone() }, oldest])
        }
        ApiKey::ListGroups => {
            let newest = ListGroupsRequest { states_filter: vec!["Stable", "Empty"], types_filter: vec!["classic"] };
            let later = ListGroupsRequest { states_filter: vec!["Stable", "Empty"], ..Default::default() };
            encoded(version, &[newest, later, ListGroupsRequest::default()])
        }
        ApiKey::DeleteGroups => encoded(version, &[DeleteGroupsRequest { groups_names: vec![GROUP, "other"] }]),
        ApiKey::OffsetCommit => {
            let partition = OffsetCommitRequestPartition { committed_offset: 7, committed_metadata: Some("here"), ..Default::default() };
            let request = |partition: OffsetCommitRequestPartition<'static>| {
                let partitions = vec![partition; 3];
                let topics = TOPICS.map(|name| OffsetCommitRequestTopic { name, partitions: partitions.clone(), ..Default::default() });
                OffsetCommitRequest { group_id: GROUP, topics: topics.to_vec(), ..Default::default() }
            };
            let with_epochs = request(OffsetCommitRequestPartition { committed_leader_epoch: 0, ..partition.clone() });
            let by_id = OffsetCommitRequest {
                topics: vec![OffsetCommitRequestTopic { partitions: vec![partition.clone(); 3], ..Default::default() }],
                ..request(partition.clone())
            };
            encoded(version, &[with_epochs, request(partition), by_id])
        }
        ApiKey::OffsetFetch => {
            let partition_indexes = vec![0, 1, 2];
            let topics = TOPICS.map(|name| OffsetFetchRequestTopic { name, partition_indexes: partition_indexes.clone() }).to_vec();
            let oldest = OffsetFetchRequest { group_id: GROUP, topics: Some(topics), ..Default::default() };
            let of_group = |topics: Vec<OffsetFetchRequestTopics<'static>>| OffsetFetchRequest {
                groups: vec![OffsetFetchRequestGroup { group_id: GROUP, topics: Some(topics), ..Default::default() }; 2],
                require_stable: true,
                ..Default::default()
            };
            let named = TOPICS
                .map(|name| OffsetFetchRequestTopics { name, partition_indexes: partition_indexes.clone(), ..Default::default() })
                .to_vec();
            let by_id = vec![OffsetFetchRequestTopics { partition_indexes, ..Default::default() }];
            encoded(version, &[of_group(named), of_group(by_id), oldest])
        }
        ApiKey::OffsetDelete => {
            let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }; 3];
            let topics = TOPICS.map(|name| OffsetDeleteRequestTopic { name, partitions: partitions.clone() }).to_vec();
            encoded(version, &[OffsetDeleteRequest { group_id: GROUP, topics }])
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = ConsumerGroupHeartbeatRequest {
                group_id: "new",
                member_id: MEMBER,
                rebalance_timeout_ms: 10_000,
                subscribed_topic_names: Some(TOPICS.to_vec()),
                server_assignor: Some("uniform"),
                topic_partitions: Some(vec![TopicPartitions { partitions: vec![0, 1], ..Default::default() }]),
                ..Default::default()
            };
            encoded(version, &[ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("ev.*|(a|b)+"), ..request.clone() }, request])
        }
        ApiKey::ConsumerGroupDescribe => {
            encoded(version, &[ConsumerGroupDescribeRequest { group_ids: vec![GROUP, "new"], include_authorized_operations: true }])
        }
        _ => return None,
    })
}

/// Of transactions. `None`: of another kind.
pub(super) fn of_transactions(key: ApiKey, version: i16) -> Option<Vec<u8>> {
    let partitions = vec![0, 1, 2];
    Some(match key {
        ApiKey::AddPartitionsToTxn => {
            let topics = TOPICS.map(|name| AddPartitionsToTxnTopic { name, partitions: partitions.clone() }).to_vec();
            let transaction =
                AddPartitionsToTxnTransaction { transactional_id: TRANSACTIONAL_ID, topics: topics.clone(), ..Default::default() };
            let several = AddPartitionsToTxnRequest { transactions: vec![transaction; 2], ..Default::default() };
            let one = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: TRANSACTIONAL_ID,
                v3_and_below_topics: topics,
                ..Default::default()
            };
            encoded(version, &[several, one])
        }
        ApiKey::AddOffsetsToTxn => {
            encoded(version, &[AddOffsetsToTxnRequest { transactional_id: TRANSACTIONAL_ID, group_id: GROUP, ..Default::default() }])
        }
        ApiKey::EndTxn => encoded(version, &[EndTxnRequest { transactional_id: TRANSACTIONAL_ID, committed: true, ..Default::default() }]),
        ApiKey::TxnOffsetCommit => {
            let partition = TxnOffsetCommitRequestPartition { committed_offset: 7, committed_metadata: Some("here"), ..Default::default() };
            let partitions = vec![partition; 3];
            let topics = TOPICS.map(|name| TxnOffsetCommitRequestTopic { name, partitions: partitions.clone() }).to_vec();
            let oldest = TxnOffsetCommitRequest { transactional_id: TRANSACTIONAL_ID, group_id: GROUP, topics, ..Default::default() };
            encoded(version, &[TxnOffsetCommitRequest { generation_id: 1, member_id: MEMBER, ..oldest.clone() }, oldest])
        }
        ApiKey::WriteTxnMarkers => {
            let topics = TOPICS.map(|name| WritableTxnMarkerTopic { name, partition_indexes: partitions.clone() }).to_vec();
            let marker = WritableTxnMarker { producer_id: 7, topics, ..Default::default() };
            encoded(version, &[WriteTxnMarkersRequest { markers: vec![marker; 2] }])
        }
        ApiKey::DescribeProducers => {
            let topics = TOPICS.map(|name| TopicRequest { name, partition_indexes: partitions.clone() }).to_vec();
            encoded(version, &[DescribeProducersRequest { topics }])
        }
        ApiKey::DescribeTransactions => {
            encoded(version, &[DescribeTransactionsRequest { transactional_ids: vec![TRANSACTIONAL_ID, "absent"] }])
        }
        ApiKey::ListTransactions => {
            let oldest =
                ListTransactionsRequest { state_filters: vec!["Ongoing", "Empty"], producer_id_filters: vec![7, 8], ..Default::default() };
            let later = ListTransactionsRequest { duration_filter: 10, ..oldest.clone() };
            let newest = ListTransactionsRequest { transactional_id_pattern: Some("(a|b)+.*"), ..later.clone() };
            encoded(version, &[newest, later, oldest])
        }
        _ => return None,
    })
}
