//! ConsumerGroupDescribe, and what members may commit and fetch.

use ottla_model::{GroupId, InstanceId, MemberEpoch, MemberId, PartitionId, TopicId, TopicName};

use super::super::config::GroupConfig;
use super::super::error::GroupError;
use super::super::message::{Client, ConsumerGroupDescription, ConsumerMemberDescription, ConsumerMemberType, NamedPartitions};
use super::super::record::Assignment;
use super::super::story::LastRebalance;
use super::super::topics::TopicsView;
use super::{Consumer, Member};

/// With which epoch a member may commit offsets of which partitions.
pub(in super::super) enum MayCommit<'a> {
    /// All of them.
    All,
    /// It shows an epoch from before its current one: what it has held since then without a break (KIP-1251).
    HeldSince(&'a Member, i32),
}

impl Consumer {
    /// As ConsumerGroupDescribe shows it.
    pub fn describe(&self, config: &GroupConfig, topics: &TopicsView, last_rebalance: Option<LastRebalance>) -> ConsumerGroupDescription {
        let member = |(id, member): (&MemberId, &Member)| ConsumerMemberDescription {
            member: id.clone(),
            instance: member.metadata.instance.clone(),
            rack: member.metadata.rack.clone(),
            epoch: member.current.epoch,
            client: Client { id: member.metadata.client_id.clone(), host: member.metadata.client_host.clone() },
            topic_names: member.metadata.topic_names.clone(),
            topic_regex: member.expression().cloned(),
            assignment: named(topics, &member.current.assigned.to_assignment()),
            target: self.targets.get(id).map(|target| named(topics, target)).unwrap_or_default(),
            member_type: if member.is_classic() { ConsumerMemberType::Classic } else { ConsumerMemberType::Consumer },
        };
        ConsumerGroupDescription {
            state: self.shown_state(),
            epoch: self.epoch(),
            target_epoch: self.target_epoch(),
            assignor: self.assignor(config),
            members: self.members.iter().map(member).collect(),
            last_rebalance,
        }
    }

    /// What a client may commit, as a member or from outside.
    pub fn check_commit(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
        epoch: i32,
        transactional: bool,
        knows_member_epochs: bool,
    ) -> Result<MayCommit<'_>, GroupError> {
        if epoch < 0 && self.is_empty() {
            return Ok(MayCommit::All);
        }
        // Older versions of TxnOffsetCommit could not say who they are.
        if transactional && epoch == MemberEpoch::LEAVE.get() && id.is_empty() && instance.is_none() {
            return Ok(MayCommit::All);
        }
        let member = self.members.get(id).ok_or_else(|| GroupError::UnknownMember { member: id.clone() })?;
        if !transactional && !member.is_classic() && !knows_member_epochs {
            return Err(GroupError::OldOffsetCommit);
        }
        let current = member.current.epoch.get();
        if epoch == current {
            return Ok(MayCommit::All);
        }
        if epoch > current || epoch < 0 {
            return Err(stale(member, epoch, current));
        }
        Ok(MayCommit::HeldSince(member, epoch))
    }

    /// Whether a client may fetch offsets; who does not say who it is may.
    pub fn check_fetch(&self, id: Option<&MemberId>, epoch: MemberEpoch) -> Result<(), GroupError> {
        let Some(id) = id else {
            return if epoch.get() < 0 { Ok(()) } else { Err(GroupError::UnknownMember { member: MemberId::new("") }) };
        };
        if id.is_empty() && epoch.get() < 0 {
            return Ok(());
        }
        let member = self.members.get(id).ok_or_else(|| GroupError::UnknownMember { member: id.clone() })?;
        if epoch == member.current.epoch { Ok(()) } else { Err(stale(member, epoch.get(), member.current.epoch.get())) }
    }
}

impl MayCommit<'_> {
    /// Whether this partition's offset may be committed.
    pub fn check(&self, topics: &TopicsView, topic: &TopicName, partition: PartitionId) -> Result<(), GroupError> {
        let MayCommit::HeldSince(member, shown) = self else { return Ok(()) };
        let since = |id: TopicId| member.current.assigned.since(id, partition).or_else(|| member.current.revoking.since(id, partition));
        match topics.id(topic.as_str()).and_then(since) {
            Some(since) if since.get() <= *shown => Ok(()),
            _ => {
                let (shown, topic, partition) = (*shown, topic.clone(), partition.get());
                Err(if member.is_classic() {
                    GroupError::IllegalGenerationOfPartition { shown, topic, partition }
                } else {
                    GroupError::StaleEpochOfPartition { shown, topic, partition }
                })
            }
        }
    }
}

fn stale(member: &Member, shown: i32, current: i32) -> GroupError {
    if member.is_classic() { GroupError::IllegalGeneration { shown, current } } else { GroupError::StaleMemberEpoch { shown, current } }
}

/// Partitions with the names of their topics; those of topics that are gone are left out.
fn named(topics: &TopicsView, assignment: &Assignment) -> Vec<NamedPartitions> {
    let named = |(topic_id, partitions): (TopicId, &[PartitionId])| {
        topics.name(topic_id).map(|topic| NamedPartitions { topic: topic.clone(), topic_id, partitions: partitions.to_vec() })
    };
    assignment.topics().filter_map(named).collect()
}

/// A group that is of the other protocol.
pub(in super::super) fn not_consumer(group: &GroupId) -> GroupError {
    GroupError::OtherProtocol { group: group.clone(), wanted: "consumer" }
}
