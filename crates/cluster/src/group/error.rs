//! Why a request to a group is refused. The broker maps each to Kafka's error code, which the first words of each name.

use std::sync::Arc;

use ottla_model::{GroupId, InstanceId, MemberId, ProducerId, TopicName};

/// Why a request, or one part of it, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// INVALID_GROUP_ID: membership needs a name.
    #[error("the group id is empty: set group.id")]
    InvalidGroupId,
    /// INVALID_SESSION_TIMEOUT.
    #[error(
        "a session timeout of {asked_ms} ms is not between group.min.session.timeout.ms ({min_ms}) and group.max.session.timeout.ms ({max_ms})"
    )]
    InvalidSessionTimeout {
        /// What was asked.
        asked_ms: i32,
        /// The least allowed.
        min_ms: i32,
        /// The most allowed.
        max_ms: i32,
    },
    /// UNKNOWN_MEMBER_ID.
    #[error("`{member}` is not a member of the group: it was removed, or never joined")]
    UnknownMember {
        /// Who asked.
        member: MemberId,
    },
    /// UNKNOWN_MEMBER_ID, of a static member.
    #[error("no member of the group has the instance id `{instance}`")]
    UnknownInstance {
        /// Who asked.
        instance: InstanceId,
    },
    /// ILLEGAL_GENERATION.
    #[error("generation {shown} is not the current one, {current}")]
    IllegalGeneration {
        /// What the member shows.
        shown: i32,
        /// What is current.
        current: i32,
    },
    /// ILLEGAL_GENERATION: the member commits for a partition with an epoch from before it got the partition (KIP-1251).
    #[error("partition {partition} of topic {topic} was not this member's at generation {shown}")]
    IllegalGenerationOfPartition {
        /// What the member shows.
        shown: i32,
        /// The topic.
        topic: TopicName,
        /// The partition's number.
        partition: i32,
    },
    /// FENCED_INSTANCE_ID.
    #[error(
        "the instance id `{instance}` belongs to member `{owner}` now, not to `{shown}`: two processes have the same group.instance.id"
    )]
    FencedInstance {
        /// The instance.
        instance: InstanceId,
        /// Who asked.
        shown: MemberId,
        /// Whose it is.
        owner: MemberId,
    },
    /// UNRELEASED_INSTANCE_ID.
    #[error("the instance id `{instance}` is still in use by member `{owner}`")]
    UnreleasedInstance {
        /// The instance.
        instance: InstanceId,
        /// Whose it is.
        owner: MemberId,
    },
    /// REBALANCE_IN_PROGRESS.
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress,
    /// INCONSISTENT_GROUP_PROTOCOL.
    #[error("the member shares no protocol with all others of the group")]
    InconsistentProtocol,
    /// MEMBER_ID_REQUIRED (KIP-394): join again under the id that was assigned.
    #[error("join again with the member id `{assigned}`")]
    MemberIdRequired {
        /// The new id.
        assigned: MemberId,
    },
    /// GROUP_MAX_SIZE_REACHED.
    #[error("the group has its largest size of {max} members")]
    GroupFull {
        /// The limit.
        max: usize,
    },
    /// GROUP_ID_NOT_FOUND.
    #[error("there is no group `{group}`")]
    GroupNotFound {
        /// As it was named.
        group: GroupId,
    },
    /// GROUP_ID_NOT_FOUND: it is there, but of the other protocol.
    #[error("group `{group}` is not a {wanted} group")]
    OtherProtocol {
        /// As it was named.
        group: GroupId,
        /// `classic` or `consumer`.
        wanted: &'static str,
    },
    /// GROUP_ID_NOT_FOUND: a classic group that cannot become a consumer group while it has members.
    #[error("group `{group}` cannot go over to the consumer protocol while in use: {why}")]
    CannotUpgrade {
        /// The group.
        group: GroupId,
        /// What is in the way.
        why: &'static str,
    },
    /// NON_EMPTY_GROUP.
    #[error("the group has members")]
    NonEmptyGroup,
    /// GROUP_SUBSCRIBED_TO_TOPIC.
    #[error("the group is subscribed to topic {topic}: its offsets can be deleted when it is not")]
    SubscribedToTopic {
        /// The topic.
        topic: TopicName,
    },
    /// OFFSET_METADATA_TOO_LARGE.
    #[error("the metadata of {length} characters is longer than offset.metadata.max.bytes, {max}")]
    OffsetMetadataTooLarge {
        /// Its length, as Java counts it.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// UNKNOWN_TOPIC_OR_PARTITION.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// As it was named.
        topic: TopicName,
    },
    /// UNSTABLE_OFFSET_COMMIT (KIP-447).
    #[error("producer {producer} has an open transaction that commits this offset: ask again")]
    UnstableOffset {
        /// Whose transaction.
        producer: ProducerId,
    },
    /// STALE_MEMBER_EPOCH.
    #[error("member epoch {shown} is not the current one, {current}")]
    StaleMemberEpoch {
        /// What the member shows.
        shown: i32,
        /// What is current.
        current: i32,
    },
    /// STALE_MEMBER_EPOCH: the member commits for a partition with an epoch from before it got the partition (KIP-1251).
    #[error("partition {partition} of topic {topic} was not this member's at member epoch {shown}")]
    StaleEpochOfPartition {
        /// What the member shows.
        shown: i32,
        /// The topic.
        topic: TopicName,
        /// The partition's number.
        partition: i32,
    },
    /// FENCED_MEMBER_EPOCH.
    #[error("member epoch {shown} is not the current one, {current}: give up all partitions and join again")]
    FencedMemberEpoch {
        /// What the member shows.
        shown: i32,
        /// What is current.
        current: i32,
    },
    /// UNSUPPORTED_ASSIGNOR.
    #[error("there is no assignor `{asked}`; there are: {supported}")]
    UnsupportedAssignor {
        /// As it was named.
        asked: Arc<str>,
        /// Those of group.consumer.assignors.
        supported: String,
    },
    /// INVALID_REGULAR_EXPRESSION.
    #[error("`{pattern}` is not a regular expression that topics can be matched against: {why}")]
    InvalidRegularExpression {
        /// Its beginning.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// INVALID_REQUEST.
    #[error("{what}")]
    InvalidRequest {
        /// What is wrong with it.
        what: &'static str,
    },
    /// UNSUPPORTED_VERSION: members of the consumer protocol commit with OffsetCommit 9 or above.
    #[error("OffsetCommit version 9 or above must be used by members that use the consumer protocol")]
    OldOffsetCommit,
    /// INVALID_PRODUCER_EPOCH.
    #[error("producer {producer} shows epoch {shown}, but its open transaction has {current}")]
    FencedProducer {
        /// The producer.
        producer: ProducerId,
        /// What it shows.
        shown: i16,
        /// What is current.
        current: i16,
    },
    /// UNKNOWN_SERVER_ERROR, as Kafka answers what does not fit into one batch of its log.
    #[error("it comes to some {bytes} bytes, and the offsets topic takes {max} at once")]
    TooLarge {
        /// How many there would be.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// NOT_COORDINATOR: this partition of the offsets topic is not led here any more.
    #[error("this node does not coordinate the group any more")]
    NotCoordinator,
}
