//! The assignors that run in the coordinator: who is to have which partitions. Functions of the members and the topics, and of what the
//! members were to have before. They decide only what is aimed at; who has to wait for whom is decided elsewhere.
//!
//! As in Kafka since 4.0, neither looks at racks.

mod range;
mod uniform;

#[cfg(test)]
mod assign_tests;

use std::collections::{BTreeMap, BTreeSet};

use ottla_model::{InstanceId, MemberId, TopicId};

use super::super::config::Assignor;
use super::super::record::Assignment;

/// A member, as an assignor sees it.
#[derive(Clone, Debug)]
pub(super) struct Subscriber<'a> {
    pub member: &'a MemberId,
    pub instance: Option<&'a InstanceId>,
    /// What it subscribes to. There may be topics that no longer exist.
    pub topics: &'a BTreeSet<TopicId>,
    /// What it was to have before.
    pub before: &'a Assignment,
}

/// How many partitions each topic has that somebody subscribes to.
pub(super) type Partitions = BTreeMap<TopicId, usize>;

/// What each member is to have, in the order of the members. Every partition that somebody subscribes to is somebody's, and nobody else's.
pub(super) fn assign(assignor: Assignor, members: &[Subscriber<'_>], partitions: &Partitions) -> Vec<Assignment> {
    if members.is_empty() {
        return Vec::new();
    }
    match assignor {
        Assignor::Uniform => uniform::assign(members, partitions),
        Assignor::Range => range::assign(members, partitions),
    }
}

/// Whether all subscribe to the same.
fn is_homogeneous(members: &[Subscriber<'_>]) -> bool {
    members.windows(2).all(|pair| std::ptr::eq(pair[0].topics, pair[1].topics) || pair[0].topics == pair[1].topics)
}

/// Who subscribes to each topic that exists, by place among the members.
fn subscribers<'a>(members: &[Subscriber<'a>], partitions: &Partitions) -> BTreeMap<TopicId, Vec<usize>> {
    let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for topic in member.topics.iter().filter(|topic| partitions.contains_key(topic)) {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    subscribers
}
