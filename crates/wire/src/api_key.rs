//! The list of Kafka's APIs, as of Kafka 4.3.

use std::fmt;

/// One line per API: name, key, and the first version whose header carries tagged fields (KIP-482), if there is one.
macro_rules! apis {
    ($($name:ident = $key:literal, flexible $flexible:expr;)*) => {
        /// An API of the Kafka protocol. All of Kafka 4.3's are named, whether implemented here or not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("API ", $key, ".")]
                $name = $key,
            )*
        }

        impl ApiKey {
            /// Every API, in the order of their keys.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name),*];

            /// The API with this key.
            #[inline]
            pub const fn from_i16(key: i16) -> Option<ApiKey> {
                match key {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Its name as in Kafka's schemas, e.g. `CreateTopics`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The first flexible version, `i16::MAX` where there is none.
            #[inline]
            pub const fn flexible_since(self) -> i16 {
                match self {
                    $(ApiKey::$name => $flexible,)*
                }
            }
        }
    };
}

const NEVER: i16 = i16::MAX;

apis! {
    Produce = 0, flexible 9;
    Fetch = 1, flexible 12;
    ListOffsets = 2, flexible 6;
    Metadata = 3, flexible 9;
    LeaderAndIsr = 4, flexible 4;
    StopReplica = 5, flexible 2;
    UpdateMetadata = 6, flexible 6;
    ControlledShutdown = 7, flexible 3;
    OffsetCommit = 8, flexible 8;
    OffsetFetch = 9, flexible 6;
    FindCoordinator = 10, flexible 3;
    JoinGroup = 11, flexible 6;
    Heartbeat = 12, flexible 4;
    LeaveGroup = 13, flexible 4;
    SyncGroup = 14, flexible 4;
    DescribeGroups = 15, flexible 5;
    ListGroups = 16, flexible 3;
    SaslHandshake = 17, flexible NEVER;
    ApiVersions = 18, flexible 3;
    CreateTopics = 19, flexible 5;
    DeleteTopics = 20, flexible 4;
    DeleteRecords = 21, flexible 2;
    InitProducerId = 22, flexible 2;
    OffsetForLeaderEpoch = 23, flexible 4;
    AddPartitionsToTxn = 24, flexible 3;
    AddOffsetsToTxn = 25, flexible 3;
    EndTxn = 26, flexible 3;
    WriteTxnMarkers = 27, flexible 1;
    TxnOffsetCommit = 28, flexible 3;
    DescribeAcls = 29, flexible 2;
    CreateAcls = 30, flexible 2;
    DeleteAcls = 31, flexible 2;
    DescribeConfigs = 32, flexible 4;
    AlterConfigs = 33, flexible 2;
    AlterReplicaLogDirs = 34, flexible 2;
    DescribeLogDirs = 35, flexible 2;
    SaslAuthenticate = 36, flexible 2;
    CreatePartitions = 37, flexible 2;
    CreateDelegationToken = 38, flexible 2;
    RenewDelegationToken = 39, flexible 2;
    ExpireDelegationToken = 40, flexible 2;
    DescribeDelegationToken = 41, flexible 2;
    DeleteGroups = 42, flexible 2;
    ElectLeaders = 43, flexible 2;
    IncrementalAlterConfigs = 44, flexible 1;
    AlterPartitionReassignments = 45, flexible 0;
    ListPartitionReassignments = 46, flexible 0;
    OffsetDelete = 47, flexible NEVER;
    DescribeClientQuotas = 48, flexible 1;
    AlterClientQuotas = 49, flexible 1;
    DescribeUserScramCredentials = 50, flexible 0;
    AlterUserScramCredentials = 51, flexible 0;
    Vote = 52, flexible 0;
    BeginQuorumEpoch = 53, flexible 1;
    EndQuorumEpoch = 54, flexible 1;
    DescribeQuorum = 55, flexible 0;
    AlterPartition = 56, flexible 0;
    UpdateFeatures = 57, flexible 0;
    Envelope = 58, flexible 0;
    FetchSnapshot = 59, flexible 0;
    DescribeCluster = 60, flexible 0;
    DescribeProducers = 61, flexible 0;
    BrokerRegistration = 62, flexible 0;
    BrokerHeartbeat = 63, flexible 0;
    UnregisterBroker = 64, flexible 0;
    DescribeTransactions = 65, flexible 0;
    ListTransactions = 66, flexible 0;
    AllocateProducerIds = 67, flexible 0;
    ConsumerGroupHeartbeat = 68, flexible 0;
    ConsumerGroupDescribe = 69, flexible 0;
    ControllerRegistration = 70, flexible 0;
    GetTelemetrySubscriptions = 71, flexible 0;
    PushTelemetry = 72, flexible 0;
    AssignReplicasToDirs = 73, flexible 0;
    ListConfigResources = 74, flexible 0;
    DescribeTopicPartitions = 75, flexible 0;
    ShareGroupHeartbeat = 76, flexible 0;
    ShareGroupDescribe = 77, flexible 0;
    ShareFetch = 78, flexible 0;
    ShareAcknowledge = 79, flexible 0;
    AddRaftVoter = 80, flexible 0;
    RemoveRaftVoter = 81, flexible 0;
    UpdateRaftVoter = 82, flexible 0;
    InitializeShareGroupState = 83, flexible 0;
    ReadShareGroupState = 84, flexible 0;
    WriteShareGroupState = 85, flexible 0;
    DeleteShareGroupState = 86, flexible 0;
    ReadShareGroupStateSummary = 87, flexible 0;
    StreamsGroupHeartbeat = 88, flexible 0;
    StreamsGroupDescribe = 89, flexible 0;
    DescribeShareGroupOffsets = 90, flexible 0;
    AlterShareGroupOffsets = 91, flexible 0;
    DeleteShareGroupOffsets = 92, flexible 0;
}

impl ApiKey {
    /// The key as it stands in a request header.
    #[inline]
    pub const fn as_i16(self) -> i16 {
        self as i16
    }

    /// Whether this version is flexible: header v2 before its request, header v1 before its response (but see
    /// [`ResponseHeader`](crate::ResponseHeader) for ApiVersions).
    #[inline]
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_since()
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_both_ways_without_a_gap() {
        for (index, api) in ApiKey::ALL.iter().enumerate() {
            assert_eq!(api.as_i16(), index as i16);
            assert_eq!(ApiKey::from_i16(index as i16), Some(*api));
        }
        assert_eq!(ApiKey::ALL.len(), 93);
        assert_eq!(ApiKey::from_i16(93), None);
        assert_eq!(ApiKey::from_i16(-1), None);
        assert_eq!(ApiKey::DescribeTopicPartitions.to_string(), "DescribeTopicPartitions");
    }

    #[test]
    fn apis_without_flexible_versions_never_are() {
        assert!(!ApiKey::SaslHandshake.is_flexible(1));
        assert!(!ApiKey::OffsetDelete.is_flexible(0));
        assert!(ApiKey::Produce.is_flexible(9) && !ApiKey::Produce.is_flexible(8));
    }
}
