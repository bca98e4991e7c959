//! What a member does with the partitions that it owns: it looks up where to begin, reads on, and commits how far it is, by itself or by the
//! transactions of its producer. Reads no records: a partition that is read has one at every offset.

use std::collections::BTreeMap;

use ottla_cluster::group::{OffsetCommit, OffsetFetch, OffsetToCommit, Request, Response, TopicPartitions};
use ottla_model::{LeaderEpoch, MemberEpoch, Offset, PartitionId, TopicId};

use super::member::{Membership, Protocol};
use super::producer::{OffsetsPlan, Plan, Producer};
use super::{REQUEST_TIMEOUT_MS, ask};
use crate::fact::{CommitTag, Fact, Outcome};
use crate::message::{Answer, Ask, ClientId, Part, topic};
use crate::world::{DATA_PARTITIONS, READ_TOPIC, Stage, World};

#[derive(Debug)]
enum Waits {
    /// And how often what it owns had changed then.
    LookUp(u64),
    Commit {
        tags: Vec<(i32, u64)>,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reader {
    client: ClientId,
    positions: BTreeMap<i32, i64>,
    changes: u64,
    waits: Option<(u64, Waits)>,
    /// Positions after the transaction that is under way.
    after: BTreeMap<i32, i64>,
}

/// One offset, with who commits it.
pub(super) fn to_commit(partition: i32, offset: i64, tag: &CommitTag) -> OffsetToCommit {
    OffsetToCommit {
        topic: topic(READ_TOPIC),
        topic_id: TopicId::ZERO,
        partition: PartitionId(partition),
        offset: Offset(offset),
        leader_epoch: LeaderEpoch::NONE,
        metadata: tag.to_text(),
    }
}

impl Reader {
    pub fn new(client: ClientId) -> Reader {
        Reader { client, positions: BTreeMap::new(), changes: 0, waits: None, after: BTreeMap::new() }
    }

    pub fn timed_out(&mut self, number: u64) {
        self.waits.take_if(|(waits, _)| *waits == number);
    }

    /// What it does not own any more, or owns anew, it knows nothing of.
    pub fn keep_only(&mut self, membership: &Membership) {
        if self.changes != membership.changes() {
            self.changes = membership.changes();
            self.positions.retain(|partition, _| membership.owned().contains(partition));
            self.after.retain(|partition, _| membership.owned().contains(partition));
        }
    }

    pub fn woken(&mut self, world: &mut World, membership: &Membership, producer: Option<&mut Producer>) {
        if self.waits.is_some() || !membership.is_in() {
            return;
        }
        let missing: Vec<PartitionId> =
            membership.owned().iter().filter(|partition| !self.positions.contains_key(partition)).map(|p| PartitionId(*p)).collect();
        let is_busy = producer.as_ref().is_some_and(|producer| producer.is_busy());
        if !missing.is_empty() && !is_busy {
            return self.look_up(world, membership, missing);
        }
        if world.stage() >= Stage::Quiet || self.positions.is_empty() {
            return;
        }
        match producer {
            None => self.commit(world, membership),
            Some(producer) if producer.is_ready() => self.transform(world, membership, producer),
            Some(_) => {}
        }
    }

    fn look_up(&mut self, world: &mut World, membership: &Membership, partitions: Vec<PartitionId>) {
        let is_consumer = membership.protocol() == Protocol::Consumer;
        let request = OffsetFetch {
            group: membership.group().clone(),
            member: is_consumer.then(|| membership.member().clone()),
            epoch: MemberEpoch(if is_consumer { membership.epoch() } else { -1 }),
            topics: Some(vec![TopicPartitions { topic: topic(READ_TOPIC), topic_id: TopicId::ZERO, partitions }]),
            require_stable: true,
        };
        let number = ask(world, self.client, Part::Offsets, REQUEST_TIMEOUT_MS, Ask::Group(Request::OffsetFetch(request)));
        self.waits = Some((number, Waits::LookUp(membership.changes())));
    }

    /// Reads on in some partitions: from where, and up to where.
    fn read(&mut self, world: &mut World) -> Vec<(i32, i64, i64)> {
        let mut read = Vec::new();
        for (partition, position) in &self.positions {
            if read.is_empty() || world.random.below(2) == 0 {
                read.push((*partition, *position, *position + world.random.between(1, 4) as i64));
            }
        }
        read
    }

    fn commit(&mut self, world: &mut World, membership: &Membership) {
        let (mut offsets, mut tags) = (Vec::new(), Vec::new());
        for (partition, _, to) in self.read(world) {
            let number = world.next_number();
            let tag = CommitTag { number, transaction: None, epoch: membership.epoch(), member: membership.member().to_string() };
            offsets.push(to_commit(partition, to, &tag));
            tags.push((partition, number));
            self.positions.insert(partition, to);
        }
        let request = OffsetCommit {
            group: membership.group().clone(),
            member: membership.member().clone(),
            instance: membership.instance().cloned(),
            generation_or_epoch: membership.epoch(),
            retention_ms: None,
            knows_member_epochs: true,
            offsets,
        };
        let number = ask(world, self.client, Part::Offsets, REQUEST_TIMEOUT_MS, Ask::Group(Request::OffsetCommit(request)));
        self.waits = Some((number, Waits::Commit { tags }));
    }

    fn transform(&mut self, world: &mut World, membership: &Membership, producer: &mut Producer) {
        let read = self.read(world);
        let group = membership.group_name();
        let values =
            read.iter().map(|(partition, from, to)| (world.random.below(DATA_PARTITIONS), Some((group, *partition, *from, *to)))).collect();
        self.after = read.iter().map(|(partition, _, to)| (*partition, *to)).collect();
        let offsets = OffsetsPlan {
            group: membership.group().clone(),
            member: membership.member().clone(),
            instance: membership.instance().cloned(),
            epoch: membership.epoch(),
            offsets: self.after.clone(),
        };
        let commit = world.random.below(6) > 0;
        producer.begin(world, Plan { values, offsets: Some(offsets), commit });
    }

    pub fn transaction_ended(&mut self, outcome: Option<Outcome>) {
        let after = std::mem::take(&mut self.after);
        if outcome == Some(Outcome::Committed) {
            self.positions.extend(after);
        } else {
            // It begins again where the group is.
            self.positions.clear();
        }
    }

    pub fn answered(&mut self, world: &mut World, membership: &Membership, number: u64, answer: Answer) {
        let Some((_, waits)) = self.waits.take_if(|(waits, _)| *waits == number) else { return };
        match (waits, answer) {
            (Waits::LookUp(changes), Answer::Group(Response::OffsetFetch(Ok(each)))) if changes == membership.changes() => {
                for fetched in each {
                    if let Ok(found) = fetched.result {
                        self.positions.insert(fetched.partition.0, found.map_or(0, |found| found.offset.0));
                    }
                }
            }
            (Waits::Commit { tags }, Answer::Group(Response::OffsetCommit(Ok(each)))) => {
                for ((partition, number), result) in tags.into_iter().zip(each) {
                    if result.is_ok() {
                        world.fact(&Fact::OffsetAcknowledged { group: membership.group(), partition, number });
                    }
                }
            }
            _ => {}
        }
    }
}
