//! What a request takes in memory while it waits, as the broker bounds that. Counts what a client can make large; the rest is in the size
//! of the request itself.

use std::mem::size_of;

use super::message::{OffsetToCommit, Request, TopicPartitions, TxnOffsetCommit};

/// What an entry of a map or set counts for, beside what it holds.
const ENTRY_BYTES: usize = 64;

impl Request {
    /// Bytes, about.
    pub fn size_bytes(&self) -> usize {
        size_of::<Request>() + self.heap_bytes()
    }

    fn heap_bytes(&self) -> usize {
        let text = |text: &str| text.len();
        let maybe = |text: &Option<std::sync::Arc<str>>| text.as_deref().map_or(0, str::len);
        match self {
            Request::JoinGroup(join) => {
                let protocols = join.protocols.iter().map(|(name, metadata)| ENTRY_BYTES + name.len() + metadata.len());
                text(join.group.as_str())
                    + text(join.member.as_str())
                    + join.instance.as_ref().map_or(0, |id| id.as_str().len())
                    + join.client.id.len()
                    + join.client.host.len()
                    + join.protocol_type.len()
                    + maybe(&join.reason)
                    + protocols.sum::<usize>()
            }
            Request::SyncGroup(sync) => {
                let assignments = sync.assignments.iter().map(|(member, blob)| ENTRY_BYTES + member.as_str().len() + blob.len());
                text(sync.group.as_str())
                    + text(sync.member.as_str())
                    + sync.instance.as_ref().map_or(0, |id| id.as_str().len())
                    + maybe(&sync.protocol_type)
                    + maybe(&sync.protocol)
                    + assignments.sum::<usize>()
            }
            Request::Heartbeat(beat) => {
                text(beat.group.as_str()) + text(beat.member.as_str()) + beat.instance.as_ref().map_or(0, |id| id.as_str().len())
            }
            Request::LeaveGroup(leave) => {
                let members = leave.members.iter().map(|leaving| {
                    let instance = leaving.instance.as_ref().map_or(0, |id| id.as_str().len());
                    ENTRY_BYTES + leaving.member.as_str().len() + instance + maybe(&leaving.reason)
                });
                text(leave.group.as_str()) + members.sum::<usize>()
            }
            Request::ConsumerGroupHeartbeat(beat) => {
                let names = beat.topic_names.iter().flatten().map(|name| ENTRY_BYTES + name.len());
                text(beat.group.as_str())
                    + text(beat.member.as_str())
                    + beat.instance.as_ref().map_or(0, |id| id.as_str().len())
                    + beat.client.id.len()
                    + beat.client.host.len()
                    + maybe(&beat.rack)
                    + maybe(&beat.topic_regex)
                    + maybe(&beat.assignor)
                    + names.sum::<usize>()
                    + beat.owned.as_ref().map_or(0, |owned| owned.len() * ENTRY_BYTES)
            }
            Request::OffsetCommit(commit) => {
                text(commit.group.as_str())
                    + text(commit.member.as_str())
                    + commit.instance.as_ref().map_or(0, |id| id.as_str().len())
                    + offsets_bytes(&commit.offsets)
            }
            Request::TxnOffsetCommit(commit) => commit.heap_bytes(),
            Request::OffsetFetch(fetch) => {
                text(fetch.group.as_str())
                    + fetch.member.as_ref().map_or(0, |member| member.as_str().len())
                    + topics_bytes(fetch.topics.as_deref().unwrap_or_default())
            }
            Request::OffsetDelete(delete) => text(delete.group.as_str()) + topics_bytes(&delete.topics),
            Request::DeleteGroup(group) | Request::DescribeGroup(group) | Request::ConsumerGroupDescribe(group) => text(group.as_str()),
            Request::ListGroups(list) => list.states.iter().chain(&list.types).map(|name| ENTRY_BYTES + name.len()).sum(),
        }
    }
}

impl TxnOffsetCommit {
    /// Bytes, about.
    pub fn size_bytes(&self) -> usize {
        size_of::<TxnOffsetCommit>() + self.heap_bytes()
    }

    fn heap_bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |id| id.as_str().len());
        self.group.as_str().len() + self.member.as_str().len() + instance + offsets_bytes(&self.offsets)
    }
}

fn offsets_bytes(offsets: &[OffsetToCommit]) -> usize {
    // The names of topics are shared, or might be: each is counted, as not to depend on it.
    offsets.iter().map(|offset| size_of::<OffsetToCommit>() + offset.topic.as_str().len() + offset.metadata.len()).sum()
}

fn topics_bytes(topics: &[TopicPartitions]) -> usize {
    topics.iter().map(|topic| ENTRY_BYTES + topic.topic.as_str().len() + topic.partitions.len() * 4).sum()
}

#[cfg(test)]
mod tests {
    use super::super::{GroupId, message::Heartbeat, message::SyncGroup};
    use super::*;
    use ottla_model::{Generation, MemberId};

    #[test]
    fn what_a_client_can_make_large_counts() {
        let (group, member, generation) = (GroupId::new("g"), MemberId::new("m"), Generation(1));
        let beat = Heartbeat { group: group.clone(), member: member.clone(), instance: None, generation };
        assert_eq!(Request::Heartbeat(beat).size_bytes(), size_of::<Request>() + 2);
        let assignments = (0..10).map(|_| (member.clone(), [0u8; 1000].as_slice().into())).collect();
        let sync = SyncGroup { group, member, instance: None, generation, protocol_type: None, protocol: None, assignments };
        assert!(Request::SyncGroup(sync).size_bytes() > 10_000);
    }
}
