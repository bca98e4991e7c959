//! `range`: each topic by itself is cut into as many ranges as it has subscribers, in the order of their names. So topics that have as many
//! partitions and the same subscribers are cut alike, and what is joined by partition meets in one member.

use ottla_model::PartitionId;

use super::super::super::record::Assignment;
use super::{Partitions, Subscriber, subscribers};

pub(super) fn assign(members: &[Subscriber<'_>], partitions: &Partitions) -> Vec<Assignment> {
    // Static members first, by instance: their ranges outlive their processes.
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| {
        let member = &members[*index];
        (member.instance.is_none(), member.instance, member.member)
    });
    let mut rank = vec![0; members.len()];
    for (place, index) in order.into_iter().enumerate() {
        rank[index] = place;
    }
    let mut assignments = vec![Assignment::default(); members.len()];
    for (topic, mut of_topic) in subscribers(members, partitions) {
        of_topic.sort_by_key(|index| rank[*index]);
        let count = partitions.get(&topic).copied().unwrap_or(0);
        let (each, extra) = (count / of_topic.len(), count % of_topic.len());
        let mut next = 0;
        for (place, index) in of_topic.into_iter().enumerate() {
            let end = next + each + usize::from(place < extra);
            for partition in next..end {
                assignments[index].insert(topic, PartitionId(i32::try_from(partition).unwrap_or(i32::MAX)));
            }
            next = end;
        }
    }
    assignments
}
