//! What the offsets log says of the members of groups, read by other rules than the coordinator's own. No invariant itself.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::group::{BatchContent, CurrentAssignment, GroupRecord};
use ottla_model::{GroupId, PartitionId};

use crate::fact::{Fact, Logs};
use crate::message::Part;
use crate::world::read_topic_id;

/// The members of one group.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// By KIP-848.
    pub consumers: BTreeMap<String, CurrentAssignment>,
    /// Of the classic protocol, and their generation.
    pub classic: BTreeSet<String>,
    pub generation: i32,
}

impl Members {
    pub fn has(&self, member: &str) -> bool {
        self.consumers.contains_key(member) || self.classic.contains(member)
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub groups: BTreeMap<GroupId, Members>,
}

impl Roster {
    /// Takes a fact in; gives whether the log says something else now.
    pub fn see(&mut self, fact: &Fact<'_>, logs: &Logs) -> bool {
        match fact {
            Fact::OffsetsAppended { content: BatchContent::Records(records), .. } => {
                records.iter().for_each(|record| self.apply(record));
                true
            }
            Fact::Elected { part: Part::Offsets, .. } => {
                *self = Roster::default();
                for content in logs.offsets.entries() {
                    if let BatchContent::Records(records) = content {
                        records.iter().for_each(|record| self.apply(record));
                    }
                }
                true
            }
            _ => false,
        }
    }

    fn apply(&mut self, record: &GroupRecord) {
        let members = self.groups.entry(record.group().clone()).or_default();
        match record {
            GroupRecord::ConsumerGroupCurrentMemberAssignment { member, value: Some(value), .. } => {
                members.consumers.insert(member.to_string(), value.clone());
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment { member, value: None, .. } => {
                members.consumers.remove(member.as_str());
            }
            GroupRecord::GroupMetadata { value, .. } => {
                members.classic = value.iter().flat_map(|value| &value.members).map(|member| member.member.to_string()).collect();
                members.generation = value.as_ref().map_or(0, |value| value.generation.0);
            }
            _ => {}
        }
    }
}

/// The partitions that a member of KIP-848 holds, those to be given up among them.
pub(super) fn held(current: &CurrentAssignment) -> impl Iterator<Item = i32> {
    (0..crate::world::READ_PARTITIONS).filter(|partition| {
        let (topic, partition) = (read_topic_id(), PartitionId(*partition));
        current.assigned.contains(topic, partition) || current.revoking.contains(topic, partition)
    })
}
