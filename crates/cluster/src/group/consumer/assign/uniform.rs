//! `uniform`: as many partitions for each member as for any other, and no partition moves that need not.
//!
//! Where all subscribe to the same, members differ by one partition at most, and the fewest partitions move by which that can be had.
//! Where they do not, no partition could move to another subscriber of its topic and bring two members nearer to each other; what moves
//! for that moves one partition at a time, and what was not anybody's before moves first.

use std::collections::{BTreeMap, VecDeque};

use ottla_model::{PartitionId, TopicId};

use super::super::super::record::Assignment;
use super::{Partitions, Subscriber, is_homogeneous, subscribers};

pub(super) fn assign(members: &[Subscriber<'_>], partitions: &Partitions) -> Vec<Assignment> {
    if is_homogeneous(members) { homogeneous(members, partitions) } else { Heterogeneous::new(members, partitions).assign() }
}

/// A partition's place among those of its topic.
fn place(partition: PartitionId) -> usize {
    usize::try_from(partition.get()).unwrap_or(usize::MAX)
}

fn partition(place: usize) -> PartitionId {
    PartitionId(i32::try_from(place).unwrap_or(i32::MAX))
}

fn homogeneous(members: &[Subscriber<'_>], partitions: &Partitions) -> Vec<Assignment> {
    let topics = members[0].topics.iter().filter_map(|topic| Some((*topic, *partitions.get(topic)?)));
    let mut free: BTreeMap<TopicId, Vec<bool>> = topics.map(|(topic, count)| (topic, vec![true; count])).collect();
    let total: usize = free.values().map(Vec::len).sum();
    let quota = total / members.len();
    // So many members have one more.
    let mut extra = total % members.len();
    let mut kept: Vec<Vec<(TopicId, PartitionId)>> = Vec::with_capacity(members.len());
    let mut room = Vec::with_capacity(members.len());
    for member in members {
        let mut keeps = Vec::new();
        let mut quota = quota;
        for (topic, partition) in member.before.iter() {
            let Some(is_free) = free.get_mut(&topic).and_then(|free| free.get_mut(place(partition))).filter(|is_free| **is_free) else {
                continue;
            };
            if keeps.len() == quota {
                if extra == 0 || quota > total / members.len() {
                    break;
                }
                // Who has more than its share already is the one to have one more.
                extra -= 1;
                quota += 1;
            }
            *is_free = false;
            keeps.push((topic, partition));
        }
        room.push((quota, quota > total / members.len()));
        kept.push(keeps);
    }
    for (quota, has_extra) in &mut room {
        if extra > 0 && !*has_extra {
            extra -= 1;
            *quota += 1;
        }
    }
    // In turns, so that a topic is spread over the members.
    let mut waiting: VecDeque<usize> = (0..members.len()).filter(|index| kept[*index].len() < room[*index].0).collect();
    for (topic, free) in &free {
        for (at, _) in free.iter().enumerate().filter(|(_, is_free)| **is_free) {
            let Some(index) = waiting.pop_front() else { break };
            kept[index].push((*topic, partition(at)));
            if kept[index].len() < room[index].0 {
                waiting.push_back(index);
            }
        }
    }
    kept.into_iter().map(|keeps| keeps.into_iter().collect()).collect()
}

struct Heterogeneous<'a> {
    members: &'a [Subscriber<'a>],
    /// Who subscribes to each topic.
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    /// Whose each partition is.
    owners: BTreeMap<TopicId, Vec<Option<usize>>>,
    /// How many partitions each member has.
    loads: Vec<usize>,
}

impl<'a> Heterogeneous<'a> {
    fn new(members: &'a [Subscriber<'a>], partitions: &Partitions) -> Heterogeneous<'a> {
        let subscribers = subscribers(members, partitions);
        let mut owners: BTreeMap<TopicId, Vec<Option<usize>>> =
            subscribers.keys().filter_map(|topic| Some((*topic, vec![None; *partitions.get(topic)?]))).collect();
        let mut loads = vec![0; members.len()];
        for (index, member) in members.iter().enumerate() {
            for (topic, partition) in member.before.iter().filter(|(topic, _)| member.topics.contains(topic)) {
                if let Some(owner) = owners.get_mut(&topic).and_then(|owners| owners.get_mut(place(partition)))
                    && owner.is_none()
                {
                    *owner = Some(index);
                    loads[index] += 1;
                }
            }
        }
        Heterogeneous { members, subscribers, owners, loads }
    }

    fn assign(mut self) -> Vec<Assignment> {
        // Topics with few subscribers first: the others can still go elsewhere.
        let mut topics: Vec<TopicId> = self.subscribers.keys().copied().collect();
        topics.sort_by_key(|topic| self.subscribers[topic].len());
        for topic in &topics {
            let (Some(owners), Some(subscribers)) = (self.owners.get_mut(topic), self.subscribers.get(topic)) else { continue };
            for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
                if let Some(least) = subscribers.iter().copied().min_by_key(|index| self.loads[*index]) {
                    *owner = Some(least);
                    self.loads[least] += 1;
                }
            }
        }
        // Each move brings the sum of the squares down, so that there is an end.
        while topics.iter().map(|topic| self.balance(*topic)).fold(false, |any, moved| any | moved) {}
        let mut assignments = vec![Assignment::default(); self.members.len()];
        for (topic, owners) in &self.owners {
            for (at, owner) in owners.iter().enumerate() {
                if let Some(owner) = owner {
                    assignments[*owner].insert(*topic, partition(at));
                }
            }
        }
        assignments
    }

    /// Moves a topic's partitions from who has most to who has least, as long as that brings them nearer. Whether any moved.
    fn balance(&mut self, topic: TopicId) -> bool {
        let (Some(owners), Some(subscribers)) = (self.owners.get_mut(&topic), self.subscribers.get(&topic)) else { return false };
        let mut of_member: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, owner) in owners.iter().enumerate() {
            if let Some(owner) = owner {
                of_member.entry(*owner).or_default().push(at);
            }
        }
        let mut moved = false;
        loop {
            let Some(most) = of_member.keys().copied().max_by_key(|index| self.loads[*index]) else { return moved };
            let Some(least) = subscribers.iter().copied().min_by_key(|index| self.loads[*index]) else { return moved };
            if self.loads[most] < self.loads[least] + 2 {
                return moved;
            }
            let Some(places) = of_member.get_mut(&most) else { return moved };
            let had = |index: usize, at: &usize| self.members[index].before.contains(topic, partition(*at));
            let back = places.iter().rposition(|at| had(least, at));
            let new = places.iter().rposition(|at| !had(most, at));
            let at = places.remove(back.or(new).unwrap_or(places.len() - 1));
            if places.is_empty() {
                of_member.remove(&most);
            }
            of_member.entry(least).or_default().push(at);
            owners[at] = Some(least);
            self.loads[most] -= 1;
            self.loads[least] += 1;
            moved = true;
        }
    }
}
