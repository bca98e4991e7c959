//! What belongs to no API and has its version in front ([`Data`](crate::Data)): the records of the internal topics, and
//! what consumers tell each other through the classic group protocol. One file per family.
//!
//! Knows the bytes of a record, never what follows from it. A record is a key and a value. Before the value stands its
//! version; before the key stands of what kind the record is, which is here the one version of the key. So the first
//! two bytes of a key say which struct reads it:
//!
//! | topic | key | family |
//! |---|---|---|
//! | `__consumer_offsets` | 0, 1 | [`offset_commit`] |
//! | `__consumer_offsets` | 2 | [`group_metadata`] |
//! | `__consumer_offsets` | 3 to 8, 16 | [`consumer_group`] |
//! | `__consumer_offsets` | 10 to 15 | [`share_group`] |
//! | `__consumer_offsets` | 17, 19 to 23 | [`streams_group`] |
//! | `__transaction_state` | 0 | [`transaction_log`] |
//!
//! The structs are Kafka's schemas, as those in [`message`](crate::message) are. Strings and bytes are borrowed from what
//! is read, or from the state of whoever writes.

pub mod consumer_group;
pub mod consumer_protocol;
pub mod group_metadata;
pub mod offset_commit;
pub mod share_group;
pub mod streams_group;
pub mod transaction_log;

/// Calls `$then!` with everything in this module, as `module::Struct;` one after another. It is the one list of it: what
/// holds for all of it is tested by it.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_data {
    ($then:ident) => {
        $then! {
            consumer_group::ConsumerGroupMetadataKey;
            consumer_group::ConsumerGroupMetadataValue;
            consumer_group::ConsumerGroupPartitionMetadataKey;
            consumer_group::ConsumerGroupPartitionMetadataValue;
            consumer_group::ConsumerGroupMemberMetadataKey;
            consumer_group::ConsumerGroupMemberMetadataValue;
            consumer_group::ConsumerGroupTargetAssignmentMetadataKey;
            consumer_group::ConsumerGroupTargetAssignmentMetadataValue;
            consumer_group::ConsumerGroupTargetAssignmentMemberKey;
            consumer_group::ConsumerGroupTargetAssignmentMemberValue;
            consumer_group::ConsumerGroupCurrentMemberAssignmentKey;
            consumer_group::ConsumerGroupCurrentMemberAssignmentValue;
            consumer_group::ConsumerGroupRegularExpressionKey;
            consumer_group::ConsumerGroupRegularExpressionValue;
            consumer_protocol::ConsumerProtocolSubscription;
            consumer_protocol::ConsumerProtocolAssignment;
            group_metadata::GroupMetadataKey;
            group_metadata::GroupMetadataValue;
            offset_commit::OffsetCommitKey;
            offset_commit::OffsetCommitValue;
            share_group::ShareGroupMetadataKey;
            share_group::ShareGroupMetadataValue;
            share_group::ShareGroupMemberMetadataKey;
            share_group::ShareGroupMemberMetadataValue;
            share_group::ShareGroupTargetAssignmentMetadataKey;
            share_group::ShareGroupTargetAssignmentMetadataValue;
            share_group::ShareGroupTargetAssignmentMemberKey;
            share_group::ShareGroupTargetAssignmentMemberValue;
            share_group::ShareGroupCurrentMemberAssignmentKey;
            share_group::ShareGroupCurrentMemberAssignmentValue;
            share_group::ShareGroupStatePartitionMetadataKey;
            share_group::ShareGroupStatePartitionMetadataValue;
            streams_group::StreamsGroupMetadataKey;
            streams_group::StreamsGroupMetadataValue;
            streams_group::StreamsGroupMemberMetadataKey;
            streams_group::StreamsGroupMemberMetadataValue;
            streams_group::StreamsGroupTargetAssignmentMetadataKey;
            streams_group::StreamsGroupTargetAssignmentMetadataValue;
            streams_group::StreamsGroupTargetAssignmentMemberKey;
            streams_group::StreamsGroupTargetAssignmentMemberValue;
            streams_group::StreamsGroupCurrentMemberAssignmentKey;
            streams_group::StreamsGroupCurrentMemberAssignmentValue;
            streams_group::StreamsGroupTopologyKey;
            streams_group::StreamsGroupTopologyValue;
            transaction_log::TransactionLogKey;
            transaction_log::TransactionLogValue;
        }
    };
}

#[cfg(test)]
mod tests;
