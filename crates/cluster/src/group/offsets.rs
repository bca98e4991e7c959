//! The offsets of one group: those that are committed, and those that open transactions are about to commit.
//!
//! A transaction's offset counts from its marker on, but in the order of when it was written: a commit of after that, which is not of
//! a transaction, wins over it (as in Kafka, where the record with the higher offset does). `order` numbers the records as they are
//! applied, which is their order in the log.

use std::collections::BTreeMap;

use ottla_model::{GroupId, PartitionId, ProducerEpoch, ProducerId, TimestampMs, TopicId, TopicName};

use super::event::TransactionResult;
use super::record::{CommittedOffset, GroupRecord};

#[derive(Clone, Debug)]
struct Kept {
    value: CommittedOffset,
    order: u64,
}

/// A partition's place in the map. One map for all topics: a group with one partition each of ten topics has one small tree.
type Key = (TopicName, PartitionId);

#[derive(Clone, Debug)]
struct OpenTransaction {
    epoch: ProducerEpoch,
    offsets: BTreeMap<Key, Kept>,
}

/// The offsets of one group.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    committed: BTreeMap<Key, Kept>,
    open: BTreeMap<ProducerId, OpenTransaction>,
}

/// Which offsets have had their time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expiry {
    /// Those committed so long ago.
    SinceCommit,
    /// All, if the group has been empty for so long; for those of a group of which that is not known, since their commit.
    SinceEmpty(TimestampMs),
}

impl Offsets {
    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.open.is_empty()
    }

    /// Whether transactions are open.
    pub fn has_open_transactions(&self) -> bool {
        !self.open.is_empty()
    }

    /// Applies a commit.
    pub fn commit(&mut self, topic: TopicName, partition: PartitionId, value: CommittedOffset, order: u64) {
        self.committed.insert((topic, partition), Kept { value, order });
    }

    /// Applies a commit within a transaction.
    pub fn commit_in_transaction(
        &mut self,
        (producer, epoch): (ProducerId, ProducerEpoch),
        topic: TopicName,
        partition: PartitionId,
        value: CommittedOffset,
        order: u64,
    ) {
        let open = self.open.entry(producer).or_insert(OpenTransaction { epoch, offsets: BTreeMap::new() });
        open.epoch = epoch;
        open.offsets.insert((topic, partition), Kept { value, order });
    }

    /// Applies a tombstone. What transactions are about to commit for the partition is gone as well.
    pub fn remove(&mut self, topic: &TopicName, partition: PartitionId) {
        let key = (topic.clone(), partition);
        self.committed.remove(&key);
        for open in self.open.values_mut() {
            open.offsets.remove(&key);
        }
    }

    /// Applies the end of a transaction.
    pub fn end_transaction(&mut self, producer: ProducerId, result: TransactionResult) {
        let Some(open) = self.open.remove(&producer) else { return };
        if result == TransactionResult::Commit {
            for (key, kept) in open.offsets {
                if self.committed.get(&key).is_none_or(|existing| existing.order < kept.order) {
                    self.committed.insert(key, kept);
                }
            }
        }
    }

    /// The epoch with which a producer has a transaction open.
    pub fn open_epoch(&self, producer: ProducerId) -> Option<ProducerEpoch> {
        self.open.get(&producer).map(|open| open.epoch)
    }

    /// The offset of a partition. One that was committed for another topic of that name is none.
    pub fn get(&self, topic: &TopicName, topic_id: TopicId, partition: PartitionId) -> Option<&CommittedOffset> {
        let value = &self.committed.get(&(topic.clone(), partition))?.value;
        let other = topic_id != TopicId::ZERO && value.topic_id != TopicId::ZERO && value.topic_id != topic_id;
        (!other).then_some(value)
    }

    /// Whether there is something to delete for a partition.
    pub fn knows(&self, topic: &TopicName, partition: PartitionId) -> bool {
        let key = (topic.clone(), partition);
        self.committed.contains_key(&key) || self.open.values().any(|open| open.offsets.contains_key(&key))
    }

    /// The producer of an open transaction that is about to commit an offset for a partition.
    pub fn unstable(&self, topic: &TopicName, partition: PartitionId) -> Option<ProducerId> {
        if self.open.is_empty() {
            return None;
        }
        let key = (topic.clone(), partition);
        self.open.iter().find(|(_, open)| open.offsets.contains_key(&key)).map(|(producer, _)| *producer)
    }

    /// All committed offsets.
    pub fn committed(&self) -> impl Iterator<Item = (&TopicName, PartitionId, &CommittedOffset)> {
        self.committed.iter().map(|((topic, partition), kept)| (topic, *partition, &kept.value))
    }

    /// All partitions that a tombstone would do something for, each once.
    pub fn all_partitions(&self) -> Vec<(TopicName, PartitionId)> {
        let mut keys: Vec<Key> = self.committed.keys().chain(self.open.values().flat_map(|open| open.offsets.keys())).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The partitions of a topic that a tombstone would do something for.
    pub fn partitions_of(&self, topic: &TopicName) -> Vec<PartitionId> {
        let range = || (topic.clone(), PartitionId(i32::MIN))..=(topic.clone(), PartitionId(i32::MAX));
        let of_open = self.open.values().flat_map(|open| open.offsets.range(range()));
        let mut partitions: Vec<PartitionId> = self.committed.range(range()).chain(of_open).map(|((_, partition), _)| *partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    /// All of it as records, each with the transaction that it is in.
    pub fn to_records(&self, group: &GroupId) -> Vec<(Option<ProducerId>, GroupRecord)> {
        let record = |((topic, partition), kept): (&Key, &Kept)| GroupRecord::OffsetCommit {
            group: group.clone(),
            topic: topic.clone(),
            partition: *partition,
            value: Some(kept.value.clone()),
        };
        let committed = self.committed.iter().map(|kept| (None, record(kept)));
        let open = self.open.iter().flat_map(|(producer, open)| open.offsets.iter().map(|kept| (Some(*producer), record(kept))));
        committed.chain(open).collect()
    }

    /// The partitions whose offsets have had their time, and whether none are left without them. A transaction that is about to commit
    /// one keeps it.
    pub fn expired(
        &self,
        now: TimestampMs,
        expiry: Expiry,
        retention_ms: i64,
        is_subscribed_to: impl Fn(&str) -> bool,
    ) -> (Vec<(TopicName, PartitionId)>, bool) {
        let mut expired = Vec::new();
        for ((topic, partition), kept) in &self.committed {
            let value = &kept.value;
            let due = if value.expire_timestamp != TimestampMs::NONE {
                now >= value.expire_timestamp
            } else {
                let since = match expiry {
                    Expiry::SinceEmpty(since) if since != TimestampMs::NONE => since,
                    Expiry::SinceEmpty(_) | Expiry::SinceCommit => value.commit_timestamp,
                };
                now.get().saturating_sub(since.get()) >= retention_ms
            };
            if due && !is_subscribed_to(topic.as_str()) && self.unstable(topic, *partition).is_none() {
                expired.push((topic.clone(), *partition));
            }
        }
        let none_left = expired.len() == self.committed.len() && !self.has_open_transactions();
        (expired, none_left)
    }
}

#[cfg(test)]
mod tests {
    use ottla_model::{LeaderEpoch, Offset, Uuid};

    use super::*;

    const PRODUCER: (ProducerId, ProducerEpoch) = (ProducerId(7), ProducerEpoch(0));
    const P0: PartitionId = PartitionId(0);

    fn topic() -> TopicName {
        TopicName::new("t").unwrap()
    }

    fn value(offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch::NONE,
            metadata: "".into(),
            commit_timestamp: TimestampMs(1_000),
            expire_timestamp: TimestampMs::NONE,
            topic_id: TopicId::ZERO,
        }
    }

    fn get(offsets: &Offsets) -> Option<i64> {
        offsets.get(&topic(), TopicId::ZERO, P0).map(|value| value.offset.get())
    }

    #[test]
    fn what_a_transaction_commits_counts_from_its_marker_on() {
        let mut offsets = Offsets::default();
        offsets.commit(topic(), P0, value(1), 1);
        offsets.commit_in_transaction(PRODUCER, topic(), P0, value(5), 2);
        assert_eq!((get(&offsets), offsets.unstable(&topic(), P0)), (Some(1), Some(ProducerId(7))));
        offsets.end_transaction(PRODUCER.0, TransactionResult::Commit);
        assert_eq!((get(&offsets), offsets.unstable(&topic(), P0)), (Some(5), None));
    }

    #[test]
    fn what_an_aborted_transaction_committed_never_was() {
        let mut offsets = Offsets::default();
        offsets.commit_in_transaction(PRODUCER, topic(), P0, value(5), 1);
        offsets.end_transaction(PRODUCER.0, TransactionResult::Abort);
        assert!(offsets.is_empty());
    }

    #[test]
    fn a_later_commit_wins_over_a_transaction_that_ends_after_it() {
        let mut offsets = Offsets::default();
        offsets.commit_in_transaction(PRODUCER, topic(), P0, value(5), 1);
        offsets.commit(topic(), P0, value(9), 2);
        offsets.end_transaction(PRODUCER.0, TransactionResult::Commit);
        assert_eq!(get(&offsets), Some(9));
    }

    #[test]
    fn a_tombstone_takes_what_transactions_are_about_to_commit() {
        let mut offsets = Offsets::default();
        offsets.commit(topic(), P0, value(1), 1);
        offsets.commit_in_transaction(PRODUCER, topic(), P0, value(5), 2);
        offsets.remove(&topic(), P0);
        offsets.end_transaction(PRODUCER.0, TransactionResult::Commit);
        assert_eq!(get(&offsets), None);
    }

    #[test]
    fn the_offset_of_a_topic_that_was_made_anew_is_none() {
        let (old, new) = (TopicId(Uuid::from_bytes([1; 16])), TopicId(Uuid::from_bytes([2; 16])));
        let mut offsets = Offsets::default();
        offsets.commit(topic(), P0, CommittedOffset { topic_id: old, ..value(1) }, 1);
        assert!(offsets.get(&topic(), old, P0).is_some());
        assert!(offsets.get(&topic(), TopicId::ZERO, P0).is_some());
        assert!(offsets.get(&topic(), new, P0).is_none());
    }

    #[test]
    fn offsets_expire_since_their_commit_since_the_group_is_empty_or_when_their_client_said() {
        let mut offsets = Offsets::default();
        offsets.commit(topic(), P0, value(1), 1);
        let due = |offsets: &Offsets, now, expiry| !offsets.expired(TimestampMs(now), expiry, 500, |_| false).0.is_empty();
        assert!(!due(&offsets, 1_499, Expiry::SinceCommit) && due(&offsets, 1_500, Expiry::SinceCommit));
        assert!(
            !due(&offsets, 2_499, Expiry::SinceEmpty(TimestampMs(2_000))) && due(&offsets, 2_500, Expiry::SinceEmpty(TimestampMs(2_000)))
        );
        assert!(due(&offsets, 1_500, Expiry::SinceEmpty(TimestampMs::NONE)));
        offsets.commit(topic(), P0, CommittedOffset { expire_timestamp: TimestampMs(9_000), ..value(1) }, 2);
        assert!(!due(&offsets, 8_999, Expiry::SinceCommit) && due(&offsets, 9_000, Expiry::SinceCommit));
    }

    #[test]
    fn what_is_subscribed_or_about_to_be_committed_does_not_expire() {
        let mut offsets = Offsets::default();
        offsets.commit(topic(), P0, value(1), 1);
        let later = TimestampMs(1_000_000);
        assert_eq!(offsets.expired(later, Expiry::SinceCommit, 500, |topic| topic == "t"), (vec![], false));
        offsets.commit_in_transaction(PRODUCER, topic(), P0, value(5), 2);
        assert_eq!(offsets.expired(later, Expiry::SinceCommit, 500, |_| false), (vec![], false));
        offsets.end_transaction(PRODUCER.0, TransactionResult::Abort);
        assert_eq!(offsets.expired(later, Expiry::SinceCommit, 500, |_| false), (vec![(topic(), P0)], true));
    }
}
