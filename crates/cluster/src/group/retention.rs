//! Offsets that nobody wants any more, and groups that nobody is in (KIP-211): looked for every `offsets.retention.check.interval.ms`, some
//! at a time.

use ottla_model::{GroupId, PartitionId, TopicName};

use super::event::Now;
use super::message::{GroupState, Response};
use super::offsets::Expiry;
use super::record::GroupRecord;
use super::step::{BATCH_BYTES, Step};
use super::timers::Timer;
use super::{Group, GroupCoordinator, GroupError, Kind, Token};

/// Groups that are looked at in one step at most.
const GROUPS_PER_STEP_MAX: usize = 256;

/// Offsets that are looked at in one step, beyond which no further group is.
const OFFSETS_PER_STEP: usize = 20_000;

/// How long the coordinator does other things between two steps of a round.
const PAUSE_MS: i64 = 1;

impl Group {
    /// Which of its offsets have their time, if any do while it is in its state.
    fn expiry(&self) -> Option<Expiry> {
        match &self.kind {
            Kind::Classic(classic) if classic.protocol_type().is_none() => Some(Expiry::SinceCommit),
            Kind::Classic(classic) => match classic.shown_state() {
                GroupState::Empty => Some(Expiry::SinceEmpty(classic.state_timestamp())),
                GroupState::Stable if classic.is_of_consumers() && classic.knows_subscriptions() => Some(Expiry::SinceCommit),
                _ => None,
            },
            Kind::Consumer(_) => Some(Expiry::SinceCommit),
        }
    }

    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.is_subscribed_to(topic),
            Kind::Consumer(consumer) => consumer.is_subscribed_to(topic),
        }
    }

    /// Whether it has no members, and none to come.
    fn is_deserted(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.is_empty() && !classic.has_pending_joins(),
            Kind::Consumer(consumer) => consumer.is_empty(),
        }
    }

    /// Deletes the group; its offsets are gone already.
    fn delete(&mut self, step: &mut Step<'_>) {
        match &mut self.kind {
            Kind::Classic(classic) => classic.delete(step),
            Kind::Consumer(_) => self.make_classic_if_deserted(step),
        }
    }
}

impl GroupCoordinator {
    /// Looks through some of the groups; when all have been, the round is over.
    pub(super) fn retention_round(&mut self, now: Now) {
        if self.retention.is_empty() {
            self.retention = self.groups.keys().cloned().collect();
        }
        let mut offsets = 0;
        for _ in 0..GROUPS_PER_STEP_MAX {
            let Some(id) = self.retention.pop() else { break };
            offsets += self.expire(now, &id);
            if offsets >= OFFSETS_PER_STEP {
                break;
            }
        }
        let again_ms = if self.retention.is_empty() { self.config.offsets_retention_check_interval_ms } else { PAUSE_MS };
        self.timers.set(Timer::Retention, now.monotonic.plus_ms(again_ms));
    }

    /// Looks through one group. Returns how many offsets it had.
    fn expire(&mut self, now: Now, id: &GroupId) -> usize {
        let Some(group) = self.groups.get(id) else { return 0 };
        let count = group.offsets.committed().count();
        let (expired, none_left) = match group.expiry() {
            Some(expiry) => {
                group.offsets.expired(now.wall, expiry, self.config.offsets_retention_ms, |topic| group.is_subscribed_to(topic))
            }
            None => (Vec::new(), count == 0 && !group.offsets.has_open_transactions()),
        };
        self.remove_offsets(now, id, &expired);
        if none_left && self.groups.get(id).is_some_and(Group::is_deserted) {
            self.run(now, id, |group, step| group.delete(step));
        }
        count
    }

    /// Deletes a group with all its offsets.
    pub(super) fn delete_group(&mut self, now: Now, token: Token, id: &GroupId) {
        let Some(group) = self.groups.get(id) else {
            let error = GroupError::GroupNotFound { group: id.clone() };
            return self.reply_without_group(token, Response::DeleteGroup(Err(error)));
        };
        let deserted = match &group.kind {
            Kind::Classic(classic) => classic.is_empty(),
            Kind::Consumer(consumer) => consumer.is_empty(),
        };
        if !deserted {
            return self.run(now, id, |_, step| step.reply(token, Response::DeleteGroup(Err(GroupError::NonEmptyGroup))));
        }
        let partitions = group.offsets.all_partitions();
        self.remove_offsets(now, id, &partitions);
        self.run(now, id, |group, step| {
            group.delete(step);
            step.reply(token, Response::DeleteGroup(Ok(())));
        });
    }

    /// Removes offsets, in as many batches as it takes: what is left when one of them does not reach the log is left for another time.
    pub(super) fn remove_offsets(&mut self, now: Now, id: &GroupId, partitions: &[(TopicName, PartitionId)]) {
        let tombstone = |(topic, partition): &(TopicName, PartitionId)| GroupRecord::OffsetCommit {
            group: id.clone(),
            topic: topic.clone(),
            partition: *partition,
            value: None,
        };
        let mut rest = partitions;
        while !rest.is_empty() {
            let mut bytes = BATCH_BYTES;
            let fit = rest.iter().take_while(|key| {
                bytes += tombstone(key).bytes_max();
                bytes <= self.config.batch_bytes_max
            });
            let (chunk, later) = rest.split_at(fit.count().max(1));
            rest = later;
            self.run(now, id, |group, step| {
                for (topic, partition) in chunk {
                    group.offsets.remove(topic, *partition);
                }
                step.said.records.extend(chunk.iter().map(tombstone));
            });
        }
    }
}
