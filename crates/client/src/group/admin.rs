//! What [`Admin`] does with groups: list, describe, delete, read and change their offsets.

use std::collections::BTreeMap;

use ottla_model::{NodeId, Offset, PartitionId, TimestampMs, TopicName, TopicPartition};
use ottla_wire::data::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::consumer_group_describe::{
    self as new, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, MEMBER_TYPE_CLASSIC,
};
use ottla_wire::message::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use ottla_wire::message::describe_groups::{self as classic, DescribeGroupsRequest, DescribeGroupsResponse};
use ottla_wire::message::list_groups::{ListGroupsRequest, ListGroupsResponse};
use ottla_wire::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use ottla_wire::{Data, Reader};

use super::offsets::{self, CommittedOffset, Committer, by_topic};
use super::{check, subject};
use crate::client::Purpose;
use crate::connection::Connection;
use crate::consumer::{OffsetAndTimestamp, SeekTo};
use crate::coordinator::{self, Key};
use crate::retry::{Repeat, Tries, again};
use crate::{Admin, BrokerInfo, ClientError, IsolationLevel};

/// What classic groups of consumers are for.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";
/// The state of a group that does not exist, in the words of old brokers.
const DEAD: &str = "Dead";

/// By which protocol a group works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// The members assign (JoinGroup, SyncGroup).
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
    /// Something that a newer broker knows, or an older one does not tell.
    Other,
}

impl GroupKind {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            GroupKind::Classic => "classic",
            GroupKind::Consumer => "consumer",
            GroupKind::Other => "unknown",
        }
    }

    fn from_name(name: &str) -> GroupKind {
        match name.to_ascii_lowercase().as_str() {
            "classic" => GroupKind::Classic,
            "consumer" => GroupKind::Consumer,
            _ => GroupKind::Other,
        }
    }
}

/// A group, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group_id: String,
    /// By which protocol it works.
    pub kind: GroupKind,
    /// What it is for; empty: it only keeps offsets.
    pub protocol_type: String,
    /// Kafka's name of its state; brokers before Kafka 2.6 do not tell.
    pub state: String,
    /// The broker that has it.
    pub coordinator: NodeId,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group_id: String,
    /// By which protocol it works.
    pub kind: GroupKind,
    /// What it is for; empty: it only keeps offsets.
    pub protocol_type: String,
    /// Kafka's name of its state.
    pub state: String,
    /// Who assigns: a classic group's protocol, or the coordinator's assignor. `None`: not agreed on.
    pub assignor: Option<String>,
    /// Its epoch, of a group of the new protocol.
    pub epoch: Option<i32>,
    /// The epoch that the members are being brought to, of a group of the new protocol.
    pub target_epoch: Option<i32>,
    /// The broker that has it.
    pub coordinator: BrokerInfo,
    /// Its members.
    pub members: Vec<GroupMember>,
    /// Why it last rebalanced, from coordinators that tell.
    pub last_rebalance: Option<LastRebalance>,
}

impl GroupDescription {
    /// Whether nobody is in it: only then can it be deleted and its offsets be changed.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Who reads a partition.
    pub fn reader_of(&self, partition: &TopicPartition) -> Option<&GroupMember> {
        self.members.iter().find(|member| member.assignment.contains(partition))
    }
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// What it is known by, if it is static (KIP-345).
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// From where it joined.
    pub host: String,
    /// By which protocol it is a member.
    pub kind: GroupKind,
    /// The epoch it is in, of the new protocol.
    pub epoch: Option<i32>,
    /// The topics it subscribes to, as far as can be told.
    pub topics: Vec<String>,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
    /// What it is to read, of the new protocol.
    pub target: Option<Vec<TopicPartition>>,
}

/// The last rebalance of a group. Only Ottla's coordinators tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRebalance {
    /// When it began.
    pub began: TimestampMs,
    /// What made it, for people.
    pub reason: String,
    /// The member that did.
    pub member_id: Option<String>,
    /// How many milliseconds it took until every member had its assignment; `None`: it is going on.
    pub duration_ms: Option<u64>,
}

impl Admin {
    /// The broker that coordinates a group, whether or not there is one of that name.
    ///
    /// # Errors
    /// What kept the brokers from telling, for `default.api.timeout.ms`.
    pub async fn find_coordinator(&self, group: &str) -> Result<BrokerInfo, ClientError> {
        again!(Tries::brokers(&self.client), coordinator::find(&self.client, Key::Group(group)))
    }

    /// All groups of all brokers, in the order of their names.
    ///
    /// # Errors
    /// What kept one of the brokers from answering.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        again!(Tries::brokers(&self.client), async {
            let brokers: Vec<NodeId> = self.client.refreshed(self.client.api_deadline()).await?.brokers.keys().copied().collect();
            let mut groups = BTreeMap::new();
            for broker in brokers {
                let connection = self.client.connection(broker, Purpose::General).await?;
                let answer = connection.call(&ListGroupsRequest::default()).await?;
                let response: ListGroupsResponse<'_> = answer.decode()?;
                if response.error_code != ErrorCode::None.as_i16() {
                    let code = crate::error::code(response.error_code);
                    return Err(ClientError::Refused { subject: format!("groups of broker {broker}"), code, message: None });
                }
                for group in &response.groups {
                    // A group that moves while we ask is told of twice.
                    groups.insert(
                        group.group_id.to_string(),
                        GroupListing {
                            group_id: group.group_id.to_string(),
                            kind: GroupKind::from_name(&group.group_type),
                            protocol_type: group.protocol_type.to_string(),
                            state: group.group_state.to_string(),
                            coordinator: broker,
                        },
                    );
                }
            }
            Ok(groups.into_values().collect())
        })
    }

    /// A group of either protocol.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with GROUP_ID_NOT_FOUND where there is none.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        again!(Tries::coordinator(&self.client, Key::Group(group), Repeat::Lost), async {
            let (connection, coordinator) = coordinator::connect(&self.client, Key::Group(group)).await?;

            // Older brokers know groups of one protocol only.
            if connection.version::<ConsumerGroupDescribeRequest<'_>>(i16::MAX).is_ok()
                && let Some(described) = describe_new(&connection, group, &coordinator).await?
            {
                return Ok(described);
            }
            describe_classic(&connection, group, &coordinator).await
        })
    }

    /// Deletes a group with its offsets.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with GROUP_ID_NOT_FOUND, or NON_EMPTY_GROUP while it has members.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        again!(Tries::coordinator(&self.client, Key::Group(group), Repeat::Refused), async {
            let (connection, _) = coordinator::connect(&self.client, Key::Group(group)).await?;

            let answer = connection.call(&DeleteGroupsRequest { groups_names: vec![group] }).await?;
            let response: DeleteGroupsResponse<'_> = answer.decode()?;
            let result = response.results.first().ok_or_else(|| answer.malformed("no group in it"))?;
            check(group, result.error_code, None)
        })
    }

    /// How far a group has read, in all partitions that it has offsets in. Of a group that does not exist: nothing.
    ///
    /// # Errors
    /// What kept the coordinator from answering, for `default.api.timeout.ms`.
    pub async fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        again!(Tries::coordinator(&self.client, Key::Group(group), Repeat::Lost), async {
            let (connection, _) = coordinator::connect(&self.client, Key::Group(group)).await?;
            offsets::fetch_once(&connection, group, None).await
        })
    }

    /// Sets how far a group has read. A group that does not exist is made, to keep the offsets.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with UNKNOWN_MEMBER_ID while the group has members: only they may.
    pub async fn alter_group_offsets(&self, group: &str, to: &BTreeMap<TopicPartition, Offset>) -> Result<(), ClientError> {
        again!(Tries::coordinator(&self.client, Key::Group(group), Repeat::Lost), async {
            let (connection, _) = coordinator::connect(&self.client, Key::Group(group)).await?;

            offsets::commit_once(&connection, group, &Committer::nobody(), to).await
        })
    }

    /// Forgets how far a group has read some partitions (KIP-496).
    ///
    /// # Errors
    /// [`ClientError::Refused`] with GROUP_SUBSCRIBED_TO_TOPIC while members read the topic.
    pub async fn delete_group_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        again!(Tries::coordinator(&self.client, Key::Group(group), Repeat::Lost), async {
            let (connection, _) = coordinator::connect(&self.client, Key::Group(group)).await?;

            let topics = by_topic(partitions.iter().map(|partition| (partition, ())))
                .into_iter()
                .map(|(name, partitions)| OffsetDeleteRequestTopic {
                    name,
                    partitions: partitions
                        .into_iter()
                        .map(|(partition_index, ())| OffsetDeleteRequestPartition { partition_index })
                        .collect(),
                })
                .collect();
            let answer = connection.call(&OffsetDeleteRequest { group_id: group, topics }).await?;
            let response: OffsetDeleteResponse<'_> = answer.decode()?;
            check(group, response.error_code, None)?;
            for topic in &response.topics {
                if let Some(partition) = topic.partitions.iter().find(|partition| partition.error_code != ErrorCode::None.as_i16()) {
                    let code = crate::error::code(partition.error_code);
                    let subject = format!("offset of {}-{} in {}", topic.name, partition.partition_index, subject(group));
                    return Err(ClientError::Refused { subject, code, message: None });
                }
            }
            Ok(())
        })
    }

    /// What is where in partitions: their first and last offsets, and what was written at a time. `None`: no record that late.
    ///
    /// # Errors
    /// What kept the leaders from answering, for `default.api.timeout.ms`.
    pub async fn list_offsets(
        &self,
        places: &[(TopicPartition, SeekTo)],
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, ClientError> {
        let deadline = self.client.api_deadline();
        for (partition, _) in places {
            self.client.topic(partition.topic.as_str(), false, deadline).await?;
        }
        Ok(crate::consumer::look_up(&self.client, places, IsolationLevel::ReadUncommitted, deadline).await?.into_iter().collect())
    }
}

/// `None`: there is no group of the new protocol by that name.
async fn describe_new(connection: &Connection, group: &str, coordinator: &BrokerInfo) -> Result<Option<GroupDescription>, ClientError> {
    let answer = connection.call(&ConsumerGroupDescribeRequest { group_ids: vec![group], ..Default::default() }).await?;
    let response: ConsumerGroupDescribeResponse<'_> = answer.decode()?;
    let described = response.groups.first().ok_or_else(|| answer.malformed("no group in it"))?;
    // A broker on which the new protocol is off says so by UNSUPPORTED_VERSION.
    let code = crate::error::code(described.error_code);
    if matches!(code, ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion) {
        return Ok(None);
    }
    check(group, described.error_code, described.error_message.as_deref())?;
    let partitions = |assignment: &new::Assignment<'_>| {
        let named = assignment.topic_partitions.iter().map(|topic| (&*topic.topic_name, topic.partitions.as_slice()));
        named_partitions(named).map_err(|cause| answer.malformed(cause))
    };
    let mut members = Vec::with_capacity(described.members.len());
    for member in &described.members {
        members.push(GroupMember {
            member_id: member.member_id.to_string(),
            instance_id: member.instance_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            kind: if member.member_type == MEMBER_TYPE_CLASSIC { GroupKind::Classic } else { GroupKind::Consumer },
            epoch: Some(member.member_epoch),
            topics: member.subscribed_topic_names.iter().map(ToString::to_string).collect(),
            assignment: partitions(&member.assignment)?,
            target: Some(partitions(&member.target_assignment)?),
        });
    }
    Ok(Some(GroupDescription {
        group_id: group.to_owned(),
        kind: GroupKind::Consumer,
        protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
        state: described.group_state.to_string(),
        assignor: Some(described.assignor_name.to_string()).filter(|name| !name.is_empty()),
        epoch: Some(described.group_epoch),
        target_epoch: Some(described.assignment_epoch),
        coordinator: coordinator.clone(),
        members,
        last_rebalance: described.last_rebalance.as_ref().map(last_rebalance),
    }))
}

async fn describe_classic(connection: &Connection, group: &str, coordinator: &BrokerInfo) -> Result<GroupDescription, ClientError> {
    let answer = connection.call(&DescribeGroupsRequest { groups: vec![group], ..Default::default() }).await?;
    let response: DescribeGroupsResponse<'_> = answer.decode()?;
    let described = response.groups.first().ok_or_else(|| answer.malformed("no group in it"))?;
    check(group, described.error_code, described.error_message.as_deref())?;
    if described.group_state == DEAD {
        return Err(ClientError::Refused { subject: subject(group), code: ErrorCode::GroupIdNotFound, message: None });
    }
    let of_consumers = described.protocol_type == CONSUMER_PROTOCOL_TYPE;
    let member = |member: &classic::DescribedGroupMember<'_>| {
        // What other programs than consumers tell each other is theirs.
        let (mut metadata, mut assigned) = (Reader::new(&member.member_metadata), Reader::new(&member.member_assignment));
        let subscription = of_consumers.then(|| ConsumerProtocolSubscription::decode_any(&mut metadata).ok()).flatten();
        let assignment = of_consumers.then(|| ConsumerProtocolAssignment::decode_any(&mut assigned).ok()).flatten();
        let named = assignment.iter().flat_map(|(_, a)| &a.assigned_partitions).map(|topic| (&*topic.topic, topic.partitions.as_slice()));
        GroupMember {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            kind: GroupKind::Classic,
            epoch: None,
            topics: subscription.iter().flat_map(|(_, s)| &s.topics).map(ToString::to_string).collect(),
            assignment: named_partitions(named).unwrap_or_default(),
            target: None,
        }
    };
    Ok(GroupDescription {
        group_id: group.to_owned(),
        kind: GroupKind::Classic,
        protocol_type: described.protocol_type.to_string(),
        state: described.group_state.to_string(),
        assignor: Some(described.protocol_data.to_string()).filter(|name| !name.is_empty()),
        epoch: None,
        target_epoch: None,
        coordinator: coordinator.clone(),
        members: described.members.iter().map(member).collect(),
        last_rebalance: described.last_rebalance.as_ref().map(last_rebalance),
    })
}

fn last_rebalance(last: &classic::LastRebalance<'_>) -> LastRebalance {
    LastRebalance {
        began: TimestampMs(last.began_ms),
        reason: last.reason.to_string(),
        member_id: last.member_id.as_ref().map(ToString::to_string),
        duration_ms: u64::try_from(last.duration_ms).ok(),
    }
}

/// In their order.
fn named_partitions<'t>(topics: impl Iterator<Item = (&'t str, &'t [i32])>) -> Result<Vec<TopicPartition>, ottla_model::InvalidTopicName> {
    let mut all = Vec::new();
    for (name, partitions) in topics {
        let topic = TopicName::new(name)?;
        all.extend(partitions.iter().map(|index| TopicPartition::new(topic.clone(), PartitionId(*index))));
    }
    all.sort_unstable();
    Ok(all)
}
