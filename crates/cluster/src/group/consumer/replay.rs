//! What each record does to a group: the only place where its lasting state changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_model::{GroupId, MemberId};

use super::super::record::{CurrentAssignment, GroupRecord};
use super::{Consumer, Member, nothing_yet};

impl Consumer {
    /// Takes a record. Returns the one that takes it back: the same key with what was there before.
    ///
    /// Records of a group that the log's compaction has thinned out are taken as they come: then members may be known by half until their
    /// other half comes, and a partition may be held by one whose letting go is no longer told, until the next one takes it.
    pub fn apply(&mut self, record: GroupRecord) -> GroupRecord {
        match record {
            GroupRecord::ConsumerGroupMetadata { group, value } => {
                GroupRecord::ConsumerGroupMetadata { group, value: std::mem::replace(&mut self.group, value) }
            }
            GroupRecord::ConsumerGroupPartitionMetadata { group, present } => {
                GroupRecord::ConsumerGroupPartitionMetadata { group, present: std::mem::replace(&mut self.has_partition_metadata, present) }
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { group, value } => {
                GroupRecord::ConsumerGroupTargetAssignmentMetadata { group, value: std::mem::replace(&mut self.target, value) }
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember { group, member, value } => {
                let before = match value {
                    Some(value) => self.targets.insert(member.clone(), value),
                    None => self.targets.remove(&member),
                };
                GroupRecord::ConsumerGroupTargetAssignmentMember { group, member, value: before }
            }
            GroupRecord::ConsumerGroupRegularExpression { group, regex, value } => {
                let before = match value {
                    Some(value) => self.resolved.insert(Arc::clone(&regex), value),
                    None => self.resolved.remove(&regex),
                };
                GroupRecord::ConsumerGroupRegularExpression { group, regex, value: before }
            }
            GroupRecord::ConsumerGroupMemberMetadata { group, member: id, value } => {
                let before = self.members.remove(&id);
                if let Some(before) = &before {
                    self.count(&id, before, false);
                }
                match value {
                    Some(metadata) => {
                        let current = before.as_ref().map_or_else(nothing_yet, |before| before.current.clone());
                        let member = Member { metadata, current };
                        self.count(&id, &member, true);
                        self.members.insert(id.clone(), member);
                    }
                    None => {
                        if let Some(before) = &before {
                            self.release(&id, &before.current);
                        }
                    }
                }
                GroupRecord::ConsumerGroupMemberMetadata { group, member: id, value: before.map(|before| before.metadata) }
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment { group, member: id, value } => {
                let current = self.members.get(&id).map(|member| member.current.clone());
                if let Some(current) = &current {
                    self.release(&id, current);
                }
                if current.is_some() || value.is_some() {
                    let next = value.unwrap_or_else(nothing_yet);
                    for (topic, partition, _) in next.assigned.iter().chain(next.revoking.iter()) {
                        self.owners.insert((topic, partition), id.clone());
                    }
                    self.members.entry(id.clone()).or_default().current = next;
                }
                GroupRecord::ConsumerGroupCurrentMemberAssignment { group, member: id, value: current }
            }
            // Not of consumer groups.
            GroupRecord::OffsetCommit { .. } | GroupRecord::GroupMetadata { .. } => record,
        }
    }

    /// What a member had is free, unless somebody else has it since.
    fn release(&mut self, id: &MemberId, current: &CurrentAssignment) {
        for (topic, partition, _) in current.assigned.iter().chain(current.revoking.iter()) {
            if self.owners.get(&(topic, partition)) == Some(id) {
                self.owners.remove(&(topic, partition));
            }
        }
    }

    /// Counts a member in or out.
    fn count(&mut self, id: &MemberId, member: &Member, add: bool) {
        if let Some(instance) = &member.metadata.instance {
            if add {
                self.statics.insert(instance.clone(), id.clone());
            } else if self.statics.get(instance) == Some(id) {
                self.statics.remove(instance);
            }
        }
        for name in &member.metadata.topic_names {
            tally(&mut self.names, name, add);
        }
        if let Some(expression) = member.expression() {
            tally(&mut self.expressions, expression, add);
        }
        if let Some(classic) = &member.metadata.classic {
            self.classic_members = if add { self.classic_members + 1 } else { self.classic_members - 1 };
            for (name, _) in &classic.protocols {
                tally(&mut self.protocols, name, add);
            }
        }
    }

    /// Writes that the group is no more. What of it was never written needs no tombstone, and gets one all the same.
    pub fn tombstones(&self, group: &GroupId) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for id in self.members.keys() {
            records.extend(member_tombstones(group, id));
        }
        records.push(GroupRecord::ConsumerGroupTargetAssignmentMetadata { group: group.clone(), value: None });
        if self.has_partition_metadata {
            records.push(GroupRecord::ConsumerGroupPartitionMetadata { group: group.clone(), present: false });
        }
        for regex in self.resolved.keys() {
            records.push(GroupRecord::ConsumerGroupRegularExpression { group: group.clone(), regex: Arc::clone(regex), value: None });
        }
        records.push(GroupRecord::ConsumerGroupMetadata { group: group.clone(), value: None });
        records
    }

    /// All of it as records, in an order in which they can be replayed.
    pub fn to_records(&self, group: &GroupId) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for (id, member) in &self.members {
            records.push(GroupRecord::ConsumerGroupMemberMetadata {
                group: group.clone(),
                member: id.clone(),
                value: Some(member.metadata.clone()),
            });
        }
        for (regex, value) in &self.resolved {
            let (regex, value) = (Arc::clone(regex), Some(value.clone()));
            records.push(GroupRecord::ConsumerGroupRegularExpression { group: group.clone(), regex, value });
        }
        if self.group.is_some() {
            records.push(GroupRecord::ConsumerGroupMetadata { group: group.clone(), value: self.group });
        }
        if self.has_partition_metadata {
            records.push(GroupRecord::ConsumerGroupPartitionMetadata { group: group.clone(), present: true });
        }
        for (member, value) in &self.targets {
            let (member, value) = (member.clone(), Some(value.clone()));
            records.push(GroupRecord::ConsumerGroupTargetAssignmentMember { group: group.clone(), member, value });
        }
        if self.target.is_some() {
            records.push(GroupRecord::ConsumerGroupTargetAssignmentMetadata { group: group.clone(), value: self.target });
        }
        for (id, member) in &self.members {
            let (member, value) = (id.clone(), Some(member.current.clone()));
            records.push(GroupRecord::ConsumerGroupCurrentMemberAssignment { group: group.clone(), member, value });
        }
        records
    }
}

/// A member is no more. What it has goes before what it is, so that no half of a log has a member without the other.
pub(super) fn member_tombstones(group: &GroupId, id: &MemberId) -> [GroupRecord; 3] {
    let (group, member) = (|| group.clone(), || id.clone());
    [
        GroupRecord::ConsumerGroupCurrentMemberAssignment { group: group(), member: member(), value: None },
        GroupRecord::ConsumerGroupTargetAssignmentMember { group: group(), member: member(), value: None },
        GroupRecord::ConsumerGroupMemberMetadata { group: group(), member: member(), value: None },
    ]
}

fn tally(counts: &mut BTreeMap<Arc<str>, usize>, key: &Arc<str>, add: bool) {
    if add {
        *counts.entry(Arc::clone(key)).or_default() += 1;
    } else if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_model::{MemberEpoch, PartitionId, TopicId, Uuid};

    use super::super::super::record::{ConsumerMemberMetadata, Held};
    use super::*;

    const T: TopicId = TopicId(Uuid::from_bytes([1; 16]));

    fn has(member: &str, partitions: &[i32]) -> GroupRecord {
        let assigned: Held = partitions.iter().map(|partition| (T, PartitionId(*partition), MemberEpoch(1))).collect();
        let value = Some(CurrentAssignment { assigned, ..nothing_yet() });
        GroupRecord::ConsumerGroupCurrentMemberAssignment { group: "g".into(), member: member.into(), value }
    }

    fn owner(consumer: &Consumer, partition: i32) -> Option<&str> {
        consumer.owners.get(&(T, PartitionId(partition))).map(MemberId::as_str)
    }

    #[test]
    fn who_is_found_late_to_have_let_go_takes_nothing_from_who_has_it_since() {
        let mut consumer = Consumer::default();
        // That the first let go of partition 0 was compacted away.
        for record in [has("one", &[0]), has("two", &[0]), has("one", &[1])] {
            consumer.apply(record);
        }
        assert_eq!((owner(&consumer, 0), owner(&consumer, 1)), (Some("two"), Some("one")));
    }

    #[test]
    fn what_records_did_their_undoing_takes_back() {
        let named = |member: &str, topic: &str| {
            let value = Some(ConsumerMemberMetadata { topic_names: [topic.into()].into(), ..ConsumerMemberMetadata::default() });
            GroupRecord::ConsumerGroupMemberMetadata { group: "g".into(), member: member.into(), value }
        };
        let all = |consumer: &Consumer| {
            let owners: BTreeMap<_, _> = consumer.owners.clone().into_iter().collect();
            (consumer.to_records(&"g".into()), owners, consumer.names.clone())
        };
        let mut consumer = Consumer::default();
        for record in [named("one", "a"), has("one", &[0, 1])] {
            consumer.apply(record);
        }
        let before = all(&consumer);
        let steps = [has("one", &[1]), named("one", "b"), named("two", "a"), has("two", &[0])];
        let gone = ["one", "two"].into_iter().flat_map(|member| member_tombstones(&"g".into(), &member.into()));
        let undo: Vec<GroupRecord> = steps.into_iter().chain(gone).map(|record| consumer.apply(record)).collect();
        assert!(consumer.is_void() && consumer.owners.is_empty() && consumer.names.is_empty());
        undo.into_iter().rev().for_each(|record| drop(consumer.apply(record)));
        assert_eq!(all(&consumer), before);
    }
}
