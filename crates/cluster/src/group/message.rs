//! What is asked of a coordinator and what it answers, in its own terms: no versions, no error codes, no framing.
//!
//! Where a request of the wire names several groups, each is a request of its own here: they are of different partitions of the offsets
//! topic as often as not.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_model::{
    Generation, GroupEpoch, GroupId, InstanceId, LeaderEpoch, MemberEpoch, MemberId, Offset, PartitionId, ProducerEpoch, ProducerId,
    TopicId, TopicName, Uuid,
};

use super::config::Assignor;
use super::error::GroupError;
use super::record::{Assignment, Blob};
use super::story::LastRebalance;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client.id`.
    pub id: Arc<str>,
    /// From where it connects, as Kafka writes it: `/127.0.0.1`.
    pub host: Arc<str>,
}

/// Something asked of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// JoinGroup.
    JoinGroup(JoinGroup),
    /// SyncGroup.
    SyncGroup(SyncGroup),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    LeaveGroup(LeaveGroup),
    /// ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeat),
    /// OffsetCommit.
    OffsetCommit(OffsetCommit),
    /// TxnOffsetCommit.
    TxnOffsetCommit(TxnOffsetCommit),
    /// OffsetFetch of one group.
    OffsetFetch(OffsetFetch),
    /// OffsetDelete.
    OffsetDelete(OffsetDelete),
    /// DeleteGroups of one group.
    DeleteGroup(GroupId),
    /// DescribeGroups of one group.
    DescribeGroup(GroupId),
    /// ConsumerGroupDescribe of one group.
    ConsumerGroupDescribe(GroupId),
    /// ListGroups.
    ListGroups(ListGroups),
}

/// JoinGroup, versions 0 to 9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroup {
    /// The group.
    pub group: GroupId,
    /// Who asks; empty: a new member.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// The client.
    pub client: Client,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// How long it may take to join anew. Version 0 has none: its session timeout.
    pub rebalance_timeout_ms: i32,
    /// `consumer` for consumers.
    pub protocol_type: Arc<str>,
    /// Names and metadata, in the order of its preference.
    pub protocols: Vec<(Arc<str>, Blob)>,
    /// Why it joins (KIP-800).
    pub reason: Option<Arc<str>>,
    /// Whether a new dynamic member must join again under the id that it gets (KIP-394): from version 4.
    pub member_id_required: bool,
    /// Whether the answer can tell a leader not to assign (KIP-814): from version 9.
    pub can_skip_assignment: bool,
    /// Random bits that make a new member's id, never the same twice.
    pub fresh_id: Uuid,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// The group.
    pub group: GroupId,
    /// Who asks.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// Its generation.
    pub generation: Generation,
    /// The protocol type, if it says (KIP-559).
    pub protocol_type: Option<Arc<str>>,
    /// The protocol, if it says (KIP-559).
    pub protocol: Option<Arc<str>>,
    /// From the leader: what each member is to do.
    pub assignments: Vec<(MemberId, Blob)>,
}

/// Heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group.
    pub group: GroupId,
    /// Who asks.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// Its generation.
    pub generation: Generation,
}

/// LeaveGroup, of one member or, by an administrator, of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroup {
    /// The group.
    pub group: GroupId,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// A member that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; empty when an administrator removes a static member.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// Why (KIP-800).
    pub reason: Option<Arc<str>>,
}

/// ConsumerGroupHeartbeat (KIP-848), versions 0 and 1. What is `None` is as it was in the member's request before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeat {
    /// The group.
    pub group: GroupId,
    /// Who asks. Empty, in version 0: a new member, which gets its id from `fresh_id`.
    pub member: MemberId,
    /// Its member epoch: 0 joins, -1 leaves, -2 leaves for a while.
    pub epoch: MemberEpoch,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// The client.
    pub client: Client,
    /// How long it may take to give partitions up; -1: as before.
    pub rebalance_timeout_ms: i32,
    /// The topics it reads.
    pub topic_names: Option<Vec<Arc<str>>>,
    /// An expression; it reads the topics that match it, too. Empty: none.
    pub topic_regex: Option<Arc<str>>,
    /// The assignor it asks for.
    pub assignor: Option<Arc<str>>,
    /// The partitions it holds.
    pub owned: Option<Assignment>,
    /// Whether a client makes its id itself (KIP-1082): from version 1.
    pub member_id_required: bool,
    /// Random bits that make a new member's id, never the same twice.
    pub fresh_id: Uuid,
}

/// One offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The topic.
    pub topic: TopicName,
    /// Its id, if the client named it by that; [`TopicId::ZERO`] if not.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read; [`LeaderEpoch::NONE`] if the client did not say.
    pub leader_epoch: LeaderEpoch,
    /// What the client keeps with it.
    pub metadata: Box<str>,
}

/// OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The group.
    pub group: GroupId,
    /// Who asks; empty: a client outside of the group.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// Its generation or member epoch; negative: a client outside of the group.
    pub generation_or_epoch: i32,
    /// How long to keep the offsets (versions 2 to 4); `None`: as the broker does.
    pub retention_ms: Option<i64>,
    /// Version 9 or above: the client knows GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH.
    pub knows_member_epochs: bool,
    /// What to commit.
    pub offsets: Vec<OffsetToCommit>,
}

/// TxnOffsetCommit. That the producer may still write is held against the log's own producer state *before* it comes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOffsetCommit {
    /// The group.
    pub group: GroupId,
    /// The producer.
    pub producer: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Who asks; empty: a client outside of the group.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// Its generation or member epoch; negative: a client outside of the group.
    pub generation_or_epoch: i32,
    /// What to commit.
    pub offsets: Vec<OffsetToCommit>,
}

/// A topic's partitions, in OffsetFetch and OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: TopicName,
    /// Its id, if the client named it by that; [`TopicId::ZERO`] if not.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionId>,
}

/// OffsetFetch of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetch {
    /// The group.
    pub group: GroupId,
    /// The member that asks, if it says (KIP-848).
    pub member: Option<MemberId>,
    /// Its epoch; negative: it does not say.
    pub epoch: MemberEpoch,
    /// Of which partitions; `None`: of all that there are.
    pub topics: Option<Vec<TopicPartitions>>,
    /// Whether an offset that an open transaction is about to change is refused (KIP-447).
    pub require_stable: bool,
}

/// OffsetDelete (KIP-496).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDelete {
    /// The group.
    pub group: GroupId,
    /// Which offsets.
    pub topics: Vec<TopicPartitions>,
}

/// ListGroups. Upper and lower case are alike; a name that is none matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroups {
    /// Only groups in one of these states; empty: in any.
    pub states: Vec<String>,
    /// Only groups of one of these types; empty: of any.
    pub types: Vec<String>,
}

/// The answer to a [`Request`], of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// JoinGroup.
    JoinGroup(JoinGroupResponse),
    /// SyncGroup.
    SyncGroup(Result<Synced, GroupError>),
    /// Heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// LeaveGroup: of the whole, or of each member in the order of the request.
    LeaveGroup(Result<Vec<LeftMember>, GroupError>),
    /// ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(Result<ConsumerGroupHeartbeatResponse, GroupError>),
    /// OffsetCommit: of the whole, or of each offset in the order of the request.
    OffsetCommit(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// TxnOffsetCommit: of the whole, or of each offset in the order of the request.
    TxnOffsetCommit(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// OffsetFetch of one group.
    OffsetFetch(Result<Vec<FetchedOffset>, GroupError>),
    /// OffsetDelete: of the whole, or of each partition in the order of the request.
    OffsetDelete(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// DeleteGroups of one group.
    DeleteGroup(Result<(), GroupError>),
    /// DescribeGroups of one group.
    DescribeGroup(Result<ClassicDescription, GroupError>),
    /// ConsumerGroupDescribe of one group.
    ConsumerGroupDescribe(Result<ConsumerGroupDescription, GroupError>),
    /// ListGroups.
    ListGroups(Vec<ListedGroup>),
    /// [`EndTransaction`](super::Event::EndTransaction): the marker is written.
    TransactionEnded,
}

/// JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupResponse {
    /// The member's id; with an error, the one that Kafka puts there.
    pub member: MemberId,
    /// The generation it is in.
    pub result: Result<Joined, GroupError>,
}

/// A member is in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Which.
    pub generation: Generation,
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen protocol.
    pub protocol: Option<Arc<str>>,
    /// Who assigns; empty: nobody, the coordinator does.
    pub leader: MemberId,
    /// The leader is to keep the assignment as it is (KIP-814).
    pub skip_assignment: bool,
    /// To the leader: all members.
    pub members: Vec<JoinedMember>,
}

/// A member, as the leader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// Its metadata for the chosen protocol.
    pub metadata: Blob,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen protocol.
    pub protocol: Option<Arc<str>>,
    /// What the leader assigned to it.
    pub assignment: Blob,
}

/// What became of a member that was to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMember {
    /// As the request named it.
    pub member: MemberId,
    /// As the request named it.
    pub instance: Option<InstanceId>,
    /// Whether it left.
    pub result: Result<(), GroupError>,
}

/// One fetched offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic.
    pub topic: TopicName,
    /// As the request named it.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// `Ok(None)`: there is none.
    pub result: Result<Option<OffsetAndMetadata>, GroupError>,
}

/// A committed offset, as a client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read.
    pub leader_epoch: LeaderEpoch,
    /// What the client kept with it.
    pub metadata: Box<str>,
}

/// Of which protocol a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupType {
    /// The members assign.
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

impl GroupType {
    /// As ListGroups names it.
    pub const fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
        }
    }
}

/// The state of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Classic: its members are to join anew.
    PreparingRebalance,
    /// Classic: all have joined, the leader assigns.
    CompletingRebalance,
    /// Consumer: something changed for which there is no target assignment yet.
    Assigning,
    /// Consumer: members are on their way to the target assignment.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
}

impl GroupState {
    /// As Kafka names it.
    pub const fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::Stable => "Stable",
        }
    }
}

/// ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group: GroupId,
    /// `consumer` for consumers; empty for a group that only keeps offsets.
    pub protocol_type: Arc<str>,
    /// Its state.
    pub state: GroupState,
    /// Its type.
    pub group_type: GroupType,
}

/// DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicDescription {
    /// Its state.
    pub state: GroupState,
    /// `consumer` for consumers; empty for a group that only keeps offsets.
    pub protocol_type: Arc<str>,
    /// The chosen protocol, once the group is stable.
    pub protocol: Option<Arc<str>>,
    /// Its members.
    pub members: Vec<ClassicMemberDescription>,
    /// Why it last rebalanced; Kafka does not tell.
    pub last_rebalance: Option<LastRebalance>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberDescription {
    /// Its id.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// The client.
    pub client: Client,
    /// Its metadata for the chosen protocol; empty until the group is stable.
    pub metadata: Blob,
    /// What the leader assigned to it; empty until the group is stable.
    pub assignment: Blob,
}

/// ConsumerGroupHeartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatResponse {
    /// The member's id.
    pub member: MemberId,
    /// The epoch to show from now on.
    pub epoch: MemberEpoch,
    /// When to ask again.
    pub heartbeat_interval_ms: i32,
    /// What it has; what it holds beyond that it is to give up. `None`: the same as before.
    pub assignment: Option<Assignment>,
}

/// ConsumerGroupDescribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupDescription {
    /// Its state.
    pub state: GroupState,
    /// The group epoch.
    pub epoch: GroupEpoch,
    /// The epoch of the target assignment.
    pub target_epoch: GroupEpoch,
    /// The assignor that it takes.
    pub assignor: Assignor,
    /// Its members.
    pub members: Vec<ConsumerMemberDescription>,
    /// Why it last rebalanced; Kafka does not tell.
    pub last_rebalance: Option<LastRebalance>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// Its id.
    pub member: MemberId,
    /// Its instance id.
    pub instance: Option<InstanceId>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// Its member epoch.
    pub epoch: MemberEpoch,
    /// The client.
    pub client: Client,
    /// The topics it names.
    pub topic_names: BTreeSet<Arc<str>>,
    /// The expression that it subscribes by.
    pub topic_regex: Option<Arc<str>>,
    /// What it has.
    pub assignment: Vec<NamedPartitions>,
    /// What it is to have.
    pub target: Vec<NamedPartitions>,
    /// Which protocol it speaks.
    pub member_type: ConsumerMemberType,
}

/// Which protocol a member of a consumer group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerMemberType {
    /// The classic one, while the group goes over from one to the other. 0 in Kafka's message.
    Classic,
    /// That of consumer groups. 1 in Kafka's message.
    Consumer,
}

/// A topic's partitions, in ConsumerGroupDescribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPartitions {
    /// The topic.
    pub topic: TopicName,
    /// Its id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionId>,
}
