//! Requests and responses, one file per API.
//!
//! The structs are Kafka's schemas: names are Kafka's (fields in snake_case), order is the order on the wire, and
//! `Default` gives the schema's defaults. Each file opens with what changed from version to version. Versions are
//! those of Kafka 4.3, and of those that Kafka 4 dropped all whose meaning needs no old message format: clients that
//! broke on Kafka 4 (`sarama` up to 1.38 with its defaults, for one) go on working. Versions that Kafka marks as
//! unstable are left out.
//!
//! Strings and bytes borrow: from the frame in requests, from the frame or the answering broker's state in responses
//! (`Cow`). Types are those of the wire; identifiers become newtypes where a handler takes them in. Error codes are
//! `i16` for [`ErrorCode::from_i16`](crate::ErrorCode::from_i16). A `throttle_time_ms` says in all responses how long
//! a quota held the client back, in milliseconds; 0: not at all.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_producers;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod write_txn_markers;

/// Calls `$then!` with the request of every API in this module, as `module::Request;` one after another. It is the one
/// list of them: what holds for every message is tested by it. A request names its response
/// ([`Request::Response`](crate::Request::Response)).
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_api {
    ($then:ident) => {
        $then! {
            add_offsets_to_txn::AddOffsetsToTxnRequest;
            add_partitions_to_txn::AddPartitionsToTxnRequest;
            api_versions::ApiVersionsRequest;
            consumer_group_describe::ConsumerGroupDescribeRequest;
            consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
            create_partitions::CreatePartitionsRequest;
            create_topics::CreateTopicsRequest;
            delete_groups::DeleteGroupsRequest;
            delete_records::DeleteRecordsRequest;
            delete_topics::DeleteTopicsRequest;
            describe_cluster::DescribeClusterRequest;
            describe_configs::DescribeConfigsRequest;
            describe_groups::DescribeGroupsRequest;
            describe_producers::DescribeProducersRequest;
            describe_topic_partitions::DescribeTopicPartitionsRequest;
            describe_transactions::DescribeTransactionsRequest;
            end_txn::EndTxnRequest;
            fetch::FetchRequest;
            find_coordinator::FindCoordinatorRequest;
            heartbeat::HeartbeatRequest;
            incremental_alter_configs::IncrementalAlterConfigsRequest;
            init_producer_id::InitProducerIdRequest;
            join_group::JoinGroupRequest;
            leave_group::LeaveGroupRequest;
            list_config_resources::ListConfigResourcesRequest;
            list_groups::ListGroupsRequest;
            list_offsets::ListOffsetsRequest;
            list_partition_reassignments::ListPartitionReassignmentsRequest;
            list_transactions::ListTransactionsRequest;
            metadata::MetadataRequest;
            offset_commit::OffsetCommitRequest;
            offset_delete::OffsetDeleteRequest;
            offset_fetch::OffsetFetchRequest;
            offset_for_leader_epoch::OffsetForLeaderEpochRequest;
            produce::ProduceRequest;
            sync_group::SyncGroupRequest;
            txn_offset_commit::TxnOffsetCommitRequest;
            write_txn_markers::WriteTxnMarkersRequest;
        }
    };
}

#[cfg(test)]
mod tests;
