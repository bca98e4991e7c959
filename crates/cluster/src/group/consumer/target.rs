//! The target assignment: who is to have what, and whether the topics are still those it was made for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_model::TopicId;

use super::super::config::{Assignor, GroupConfig};
use super::super::record::{Assignment, GroupRecord};
use super::super::step::Step;
use super::assign::{self, Partitions, Subscriber};
use super::{Consumer, Member};

/// What a member subscribes to, by names and by an expression.
type Subscription<'a> = (&'a BTreeSet<Arc<str>>, Option<&'a Arc<str>>);

impl Consumer {
    /// A hash of the topics that are subscribed to, by which a change is seen also after the coordinator has moved; 0 if there are none.
    /// (It is not Kafka's own: a group that comes from Kafka is assigned anew once. Racks are left out, as no assignor looks at them.)
    pub(super) fn topics_hash(&self, step: &Step<'_>) -> i64 {
        let resolved = self.resolved.values().flat_map(|resolved| &resolved.topics);
        let topics: BTreeSet<&Arc<str>> = self.names.keys().chain(resolved).collect();
        let mut hash = Fnv::new();
        let mut any = false;
        for name in topics {
            if let Some(id) = step.topics.id(name) {
                any = true;
                hash.write(name.as_bytes());
                hash.write(&id.0.to_bytes());
                hash.write(&(step.topics.partition_count(id) as u64).to_be_bytes());
            }
        }
        if any { hash.0 as i64 } else { 0 }
    }

    /// The assignor that most members ask for, of those that are configured; without a wish, the first that is configured.
    pub(super) fn assignor(&self, config: &GroupConfig) -> Assignor {
        let wishes = |assignor: &Assignor| {
            let wishes = |member: &&Member| member.metadata.assignor.as_deref().and_then(Assignor::from_name) == Some(*assignor);
            self.members.values().filter(wishes).count()
        };
        // Of several with as many wishes the last is taken, so the order is turned round.
        let most = config.consumer_assignors.iter().rev().max_by_key(|assignor| wishes(assignor));
        most.copied().unwrap_or_else(|| config.default_assignor())
    }

    /// Whether this is the time to compute a target (KIP-1263): not too soon after the last one, as members often come one after the other.
    pub(super) fn may_assign(&self, step: &Step<'_>) -> bool {
        let Some((_, last)) = self.target else { return true };
        let since_ms = step.now.wall.get().saturating_sub(last.get());
        // Whoever is alone need not wait for others; nor does anybody for a clock that was put back.
        self.members.len() <= 1 || since_ms < 0 || since_ms >= i64::from(step.config.consumer_assignment_interval_ms)
    }

    /// Computes a target assignment for the group epoch, and writes what differs.
    pub(super) fn assign(&mut self, step: &mut Step<'_>) {
        let mut subscriptions: BTreeMap<Subscription<'_>, BTreeSet<TopicId>> = BTreeMap::new();
        for member in self.members.values() {
            let subscription = (&member.metadata.topic_names, member.expression());
            subscriptions.entry(subscription).or_insert_with(|| self.topics_of(step, subscription));
        }
        let topics: BTreeSet<TopicId> = subscriptions.values().flatten().copied().collect();
        let partitions: Partitions = topics.into_iter().map(|topic| (topic, step.topics.partition_count(topic))).collect();
        let nothing = Assignment::default();
        let subscriber = |(id, member)| {
            let member: &Member = member;
            let topics = subscriptions.get(&(&member.metadata.topic_names, member.expression()))?;
            let before = self.targets.get(id).unwrap_or(&nothing);
            Some(Subscriber { member: id, instance: member.metadata.instance.as_ref(), topics, before })
        };
        let subscribers: Vec<Subscriber<'_>> = self.members.iter().filter_map(subscriber).collect();
        let assigned = assign::assign(self.assignor(step.config), &subscribers, &partitions);
        let differs = |(subscriber, value): (&Subscriber<'_>, Assignment)| {
            let member = subscriber.member.clone();
            let same = self.targets.get(&member) == Some(&value);
            let record = || GroupRecord::ConsumerGroupTargetAssignmentMember { group: step.group.clone(), member, value: Some(value) };
            (!same).then(record)
        };
        let records: Vec<GroupRecord> = subscribers.iter().zip(assigned).filter_map(differs).collect();
        records.into_iter().for_each(|record| self.write(step, record));
        let value = Some((self.epoch(), step.now.wall));
        self.write(step, GroupRecord::ConsumerGroupTargetAssignmentMetadata { group: step.group.clone(), value });
    }

    /// The topics that there are of those that are subscribed to.
    fn topics_of(&self, step: &Step<'_>, (names, expression): Subscription<'_>) -> BTreeSet<TopicId> {
        let resolved = expression.and_then(|expression| self.resolved.get(expression)).map(|resolved| &resolved.topics);
        names.iter().chain(resolved.into_iter().flatten()).filter_map(|name| step.topics.id(name)).collect()
    }

    /// Whether a member subscribes to a topic that there is.
    pub(super) fn subscribes(&self, step: &Step<'_>, member: &Member, topic: TopicId) -> bool {
        step.topics.name(topic).is_some_and(|name| {
            let resolved = member.expression().and_then(|expression| self.resolved.get(expression));
            member.metadata.topic_names.contains(name.as_str()) || resolved.is_some_and(|resolved| resolved.topics.contains(name.as_str()))
        })
    }
}

/// FNV-1a of 64 bits. It is kept in the log, so that it must not depend on the version of a library.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    /// Each part with its length, so that no two lists of parts look alike.
    fn write(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_be_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
