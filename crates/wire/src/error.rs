//! Kafka's error codes: `org.apache.kafka.common.protocol.Errors` of Kafka 4.3, one row each.
//!
//! Owns number, name, whether a client may simply try again, and a sentence for people. It never decides which code an
//! error deserves: each module that can fail maps its own error enum.

use std::fmt;

macro_rules! error_codes {
    ($($variant:ident = $code:literal, $name:literal, $retry:ident, $message:literal;)*) => {
        /// An error code as it stands on the wire.
        ///
        /// Variants are Kafka's constants in camel case (`NOT_LEADER_OR_FOLLOWER` is [`ErrorCode::NotLeaderOrFollower`]).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = $message] $variant = $code,)*
        }

        impl ErrorCode {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code of this number; `None` where Kafka 4.3 has none (a newer peer's: Java treats it as
            /// [`ErrorCode::UnknownServerError`]).
            pub const fn from_i16(code: i16) -> Option<ErrorCode> {
                match code {
                    $($code => Some(ErrorCode::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name of the constant, e.g. `NOT_LEADER_OR_FOLLOWER`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)*
                }
            }

            /// Whether the same request may succeed later (Kafka's `RetriableException`).
            pub const fn retriable(self) -> bool {
                match self {
                    $(ErrorCode::$variant => error_codes!(@$retry),)*
                }
            }

            /// What it means, in one sentence for people.
            pub const fn message(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $message,)*
                }
            }
        }
    };
    (@retriable) => { true };
    (@lasting) => { false };
}

// variant = number, Kafka's name, retriable or lasting, in our words;
error_codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", lasting, "The broker met an error it did not expect; its log says more.";
    None = 0, "NONE", lasting, "No error.";
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", lasting, "The offset asked for is outside of what the partition holds (its log start offset to its end).";
    CorruptMessage = 2, "CORRUPT_MESSAGE", retriable, "The record batch is damaged: its CRC does not match, its sizes are wrong, or a compacted topic got a null key.";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", retriable, "This broker does not host the topic or partition.";
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", lasting, "The fetch size is not valid.";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", retriable, "The partition has no leader at the moment; an election is under way.";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", retriable, "This broker is not the leader of the partition (or, where any replica will do, not a replica of it).";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", retriable, "The request timed out.";
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", lasting, "The broker is not available.";
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", retriable, "The replica is not available for the partition.";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", lasting, "The record batch is larger than the topic's max.message.bytes.";
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", lasting, "The controller has moved to another node.";
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", lasting, "The metadata string of an offset commit is longer than offset.metadata.max.bytes.";
    NetworkException = 13, "NETWORK_EXCEPTION", retriable, "The connection closed before the response arrived.";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", retriable, "The coordinator is still loading its state.";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", retriable, "The coordinator is not available.";
    NotCoordinator = 16, "NOT_COORDINATOR", retriable, "This broker is not the coordinator for the group or transactional id.";
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", lasting, "The topic name is not legal, or the topic may not be used this way.";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", lasting, "The record batch is larger than a log segment may be.";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", retriable, "Fewer in-sync replicas than min.insync.replicas; nothing was written.";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", retriable, "The records were written, but to fewer in-sync replicas than min.insync.replicas.";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", lasting, "acks must be 0, 1 or -1 (all).";
    IllegalGeneration = 22, "ILLEGAL_GENERATION", lasting, "The generation id is not the group's current one.";
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", lasting, "The member's protocols have nothing in common with those of the group, or it named none.";
    InvalidGroupId = 24, "INVALID_GROUP_ID", lasting, "The group id is not legal.";
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", lasting, "The coordinator does not know the member id.";
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", lasting, "The session timeout is outside of group.min.session.timeout.ms and group.max.session.timeout.ms.";
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", lasting, "The group is rebalancing; the member has to join again.";
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", lasting, "The offset commit is too large.";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", lasting, "Not authorized for the topic.";
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", lasting, "Not authorized for the group.";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", lasting, "Not authorized for the cluster.";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", lasting, "A record's timestamp is outside of the accepted range.";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", lasting, "The broker does not offer this SASL mechanism.";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", lasting, "The request does not fit the state of the SASL handshake.";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", lasting, "The broker does not implement this version of the API.";
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", lasting, "A topic of this name exists already.";
    InvalidPartitions = 37, "INVALID_PARTITIONS", lasting, "The number of partitions is not valid.";
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", lasting, "The replication factor is below 1 or above the number of available brokers.";
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", lasting, "The replica assignment is not valid.";
    InvalidConfig = 40, "INVALID_CONFIG", lasting, "A config is not valid.";
    NotController = 41, "NOT_CONTROLLER", retriable, "This node is not the active controller.";
    InvalidRequest = 42, "INVALID_REQUEST", lasting, "The request is malformed or contradicts itself.";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", lasting, "The message format does not allow this request.";
    PolicyViolation = 44, "POLICY_VIOLATION", lasting, "A configured policy forbids the request.";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", lasting, "The sequence number is not the one that follows the producer's last.";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", lasting, "A batch with this sequence number was written before.";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", lasting, "The producer's epoch is older than the newest one known.";
    InvalidTxnState = 48, "INVALID_TXN_STATE", lasting, "The transaction's state does not allow the operation.";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", lasting, "The producer id is not the one assigned to the transactional id.";
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", lasting, "The transaction timeout is above transaction.max.timeout.ms.";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", retriable, "Another operation on the same transaction is still under way.";
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", lasting, "The sender of the transaction marker is no longer the producer's coordinator.";
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", lasting, "Not authorized for the transactional id.";
    SecurityDisabled = 54, "SECURITY_DISABLED", lasting, "Security features are not enabled.";
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", lasting, "Not attempted, because another operation of the same request failed.";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", retriable, "A disk error on the log directory that holds the partition.";
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", lasting, "The log directory is not one of the broker's log.dirs.";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", lasting, "SASL authentication failed.";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", lasting, "The broker knows nothing of the producer id, for instance because all of its records were deleted by retention.";
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", lasting, "A reassignment of the partition is in progress.";
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", lasting, "Delegation tokens are not enabled.";
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", lasting, "The broker does not know the delegation token.";
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", lasting, "The principal is neither owner nor renewer of the delegation token.";
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", lasting, "Delegation tokens may not be requested on this connection.";
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", lasting, "Not authorized for the delegation token.";
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", lasting, "The delegation token has expired.";
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", lasting, "The type of principal is not supported.";
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", lasting, "The group still has members.";
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", lasting, "There is no group of this id.";
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", retriable, "The broker does not know the fetch session.";
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", retriable, "The epoch of the fetch session is not the one expected.";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", retriable, "The partition's leader has no listener of the name the request came in on.";
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", lasting, "Deleting topics is disabled (delete.topic.enable=false).";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", retriable, "The request's leader epoch is older than the broker's.";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", retriable, "The request's leader epoch is newer than the broker's.";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", lasting, "The batch's compression codec cannot be used with this version of the request.";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", lasting, "The broker epoch is not the current one; the broker registered again since.";
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", retriable, "The new leader's high watermark has not caught up yet, so its offsets could seem to run backwards.";
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", lasting, "The member has to join again with the member id it was given.";
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", retriable, "The preferred leader is not available.";
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", lasting, "The group has reached group.max.size.";
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", lasting, "Another member has taken over this group.instance.id.";
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", retriable, "No replica that may become leader is available.";
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", retriable, "The partition's leader is the right one already; there is nothing to elect.";
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", lasting, "No reassignment of the partition is in progress.";
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", lasting, "Members of the group are subscribed to the topic, so its offsets may not be deleted.";
    InvalidRecord = 87, "INVALID_RECORD", lasting, "A record failed the broker's checks; the batch is refused.";
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", retriable, "Offsets of an open transaction are not decided yet.";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", retriable, "A quota has been used up.";
    ProducerFenced = 90, "PRODUCER_FENCED", lasting, "A newer producer with the same transactional id has fenced this one.";
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", lasting, "The request names a resource that does not exist.";
    DuplicateResource = 92, "DUPLICATE_RESOURCE", lasting, "The request names the same resource twice.";
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", lasting, "The credential does not meet the requirements.";
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", lasting, "Sender or recipient of a request among voters is not one of them.";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", lasting, "The update version is not valid.";
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", lasting, "The finalized features could not be updated.";
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", lasting, "The principal of a forwarded request could not be read.";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", lasting, "There is no such snapshot.";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", lasting, "The position is outside of the snapshot.";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", retriable, "This broker hosts no topic of this id.";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", lasting, "Another running broker uses this node id.";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", lasting, "No broker of this id is registered.";
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", retriable, "The topic id is not the one the log was made for.";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", lasting, "The cluster id is not this cluster's.";
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", lasting, "There is no such transactional id.";
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", retriable, "The fetch session was used with topic ids and without.";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", lasting, "The new ISR holds a replica that may not be in it.";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", lasting, "The partition's state was changed, and its leader with it.";
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", lasting, "The offset has been moved to tiered storage.";
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", lasting, "The member epoch is fenced: the member must give up its partitions and join again.";
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", lasting, "Another member still uses the group.instance.id and has to leave first.";
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", lasting, "The group does not support the assignor, or not in these versions.";
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", lasting, "The member epoch is out of date: the next heartbeat brings the new one.";
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", lasting, "The request went to the wrong type of endpoint (broker or controller).";
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", lasting, "This type of endpoint is not supported.";
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", lasting, "There is no controller of this id.";
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", lasting, "The telemetry subscription is unknown or out of date.";
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", lasting, "The telemetry pushed is larger than telemetry.max.bytes.";
    InvalidRegistration = 119, "INVALID_REGISTRATION", lasting, "The controller refuses the broker's registration.";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", lasting, "The transaction failed; it can be aborted, and the transactional id used on.";
    InvalidRecordState = 121, "INVALID_RECORD_STATE", lasting, "The record is not in a state in which it can be acknowledged this way.";
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", retriable, "The broker does not know the share session.";
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", retriable, "The epoch of the share session is not the one expected.";
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", lasting, "The state epoch of the share group is not the one expected.";
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", lasting, "The voter's key is not the one of the replica that received it.";
    DuplicateVoter = 126, "DUPLICATE_VOTER", lasting, "The node is a voter already.";
    VoterNotFound = 127, "VOTER_NOT_FOUND", lasting, "The node is not a voter.";
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", lasting, "The regular expression is not valid.";
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", lasting, "The client's metadata is out of date; it has to start again from its bootstrap servers.";
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", lasting, "The Streams topology is not valid.";
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", lasting, "The epoch of the Streams topology is not valid.";
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", lasting, "The epoch of the Streams topology is out of date.";
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", retriable, "The broker holds as many share sessions as it may.";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn as_i16(self) -> i16 {
        self as i16
    }

    /// Whether this is [`ErrorCode::None`].
    pub const fn is_none(self) -> bool {
        matches!(self, ErrorCode::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> i16 {
        code.as_i16()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_go_both_ways() {
        for (code, number) in ErrorCode::ALL.iter().zip(-1i16..) {
            assert_eq!(code.as_i16(), number);
            assert_eq!(ErrorCode::from_i16(number), Some(*code));
        }
        assert_eq!(ErrorCode::ALL.len(), 135);
        assert_eq!(ErrorCode::from_i16(-2), None);
        assert_eq!(ErrorCode::from_i16(134), None);
    }

    #[test]
    fn variants_are_kafkas_names_in_camel_case() {
        for code in ErrorCode::ALL {
            let camel: String =
                code.name().split('_').map(|word| format!("{}{}", word.get(..1).unwrap(), word.get(1..).unwrap().to_lowercase())).collect();
            assert_eq!(format!("{code:?}"), camel);
        }
    }

    #[test]
    fn says_what_it_means() {
        assert_eq!(
            ErrorCode::UnknownTopicOrPartition.to_string(),
            "UNKNOWN_TOPIC_OR_PARTITION: This broker does not host the topic or partition."
        );
        assert!(ErrorCode::NotLeaderOrFollower.retriable());
        assert!(!ErrorCode::MessageTooLarge.retriable());
    }
}
