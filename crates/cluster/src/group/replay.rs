//! Rebuilds the state from the records of the log, in their order. The records were written by a coordinator to which they made sense; what
//! compaction has left of them is taken as it comes, and nothing here fails.

use ottla_model::{GroupId, ProducerEpoch, ProducerId};

use super::classic::Classic;
use super::consumer::Consumer;
use super::event::TransactionResult;
use super::record::GroupRecord;
use super::{Group, GroupCoordinator, Kind};

impl GroupCoordinator {
    /// Takes a record of the log. `producer`: of a transactional batch, whose transaction the log may end later.
    pub fn replay(&mut self, record: GroupRecord, producer: Option<(ProducerId, ProducerEpoch)>) {
        match record {
            GroupRecord::OffsetCommit { group: id, topic, partition, value: Some(value) } => {
                if !self.groups.contains_key(&id) {
                    self.groups.insert(id.clone(), Group::void());
                }
                if let Some(group) = self.groups.get_mut(&id) {
                    self.ledger.commit(&id, &mut group.offsets, (topic, partition), value, producer);
                }
            }
            GroupRecord::OffsetCommit { group: id, topic, partition, value: None } => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.offsets.remove(&topic, partition);
                    self.forget_if_void(&id);
                }
            }
            GroupRecord::GroupMetadata { group: id, value: Some(value) } => {
                self.groups.entry(id).or_insert_with(Group::void).kind = Kind::Classic(Box::new(Classic::from_record(value)));
            }
            GroupRecord::GroupMetadata { group: id, value: None } => {
                if let Some(Group { kind: Kind::Classic(classic), .. }) = self.groups.get_mut(&id) {
                    **classic = Classic::simple();
                    self.forget_if_void(&id);
                }
            }
            GroupRecord::ConsumerGroupMetadata { .. }
            | GroupRecord::ConsumerGroupPartitionMetadata { .. }
            | GroupRecord::ConsumerGroupMemberMetadata { .. }
            | GroupRecord::ConsumerGroupTargetAssignmentMetadata { .. }
            | GroupRecord::ConsumerGroupTargetAssignmentMember { .. }
            | GroupRecord::ConsumerGroupCurrentMemberAssignment { .. }
            | GroupRecord::ConsumerGroupRegularExpression { .. } => self.replay_consumer(record),
        }
    }

    /// A record of the consumer protocol makes the group one of that. Nothing is left of it with its last tombstone; then it may be of
    /// either protocol.
    fn replay_consumer(&mut self, record: GroupRecord) {
        let id = record.group().clone();
        let group = self.groups.entry(id.clone()).or_insert_with(Group::void);
        match &mut group.kind {
            Kind::Consumer(consumer) => {
                consumer.apply(record);
                if consumer.is_void() {
                    group.kind = Kind::Classic(Box::new(Classic::simple()));
                }
            }
            Kind::Classic(_) => {
                let mut consumer = Consumer::default();
                consumer.apply(record);
                // A tombstone of what was compacted away.
                if !consumer.is_void() {
                    group.kind = Kind::Consumer(Box::new(consumer));
                }
            }
        }
        self.forget_if_void(&id);
    }

    /// Takes the marker that ends a transaction in the log.
    pub fn replay_transaction_end(&mut self, producer: ProducerId, result: TransactionResult) {
        let groups = self.ledger.open_transactions.remove(&producer).unwrap_or_default();
        for id in groups {
            if let Some(group) = self.groups.get_mut(&id) {
                group.offsets.end_transaction(producer, result);
                self.forget_if_void(&id);
            }
        }
    }

    /// The state as records, each with the transaction that it is in, for tests: replayed, they make the same state. Left out are groups
    /// that are about to become something else, of which the log does not know yet.
    #[doc(hidden)]
    pub fn settled_records(&self) -> Vec<(Option<ProducerId>, GroupRecord)> {
        let mut ids: Vec<&GroupId> = self.groups.keys().collect();
        ids.sort_unstable();
        let mut records = Vec::new();
        for id in ids {
            let group = &self.groups[id];
            match &group.kind {
                Kind::Classic(classic) => records.extend(classic.settled_record(id).map(|record| (None, record))),
                Kind::Consumer(consumer) => records.extend(consumer.to_records(id).into_iter().map(|record| (None, record))),
            }
            records.extend(group.offsets.to_records(id));
        }
        records
    }
}
