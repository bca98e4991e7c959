//! The coordinator of transactions over its partition. A record counts once it is committed; markers are sent again until they are written.

use std::collections::{BTreeMap, VecDeque};

use ottla_cluster::transaction::{
    AddPartitions, Effect, Owner, Reply, ReplyToken, TransactionCoordinator, TransactionVersion, TransactionalId,
};
use ottla_model::{ProducerId, TimestampMs, TopicPartition};

use super::{NEVER, Over, Place};
use crate::fact::Fact;
use crate::message::{Answer, Ask, ClientId, From, Marker, Part, WriteError};
use crate::network::Order;
use crate::world::{Stage, World};

/// After so long a marker is sent again.
const MARKER_RETRY_MS: u64 = 2_000;
/// The same for a marker of a transaction whose epoch the next one has as well: Kafka's coordinator sends it again only when the connection is
/// gone. Here it is known to be gone after as long as a message and its answer can take, pauses and all. (A late one would end the next
/// transaction: that is why there is version 2.)
const CLASSIC_MARKER_RETRY_MS: u64 = 40_000;
/// Between two looks for ids that are not used any more.
const EXPIRY_CHECK_MS: u64 = 20_000;
/// So many are forgotten at a time.
const EXPIRED_AT_ONCE: usize = 10;

#[derive(Clone, Debug)]
struct Outstanding {
    marker: Marker,
    partition: TopicPartition,
    retry_at_ms: u64,
}

impl Outstanding {
    fn sent(&mut self, now_ms: u64) {
        let is_classic = self.marker.version == TransactionVersion::Classic;
        self.retry_at_ms = now_ms + if is_classic { CLASSIC_MARKER_RETRY_MS } else { MARKER_RETRY_MS };
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct TransactionHost {
    pub place: Place,
    coordinator: TransactionCoordinator,
    next_token: u64,
    /// Those who wait, and whether they asked on behalf of a partition.
    waiting: BTreeMap<ReplyToken, (From, bool)>,
    appending: VecDeque<(usize, TransactionalId)>,
    markers: BTreeMap<u64, Outstanding>,
    next_expiry_ms: u64,
}

impl TransactionHost {
    pub fn load(world: &mut World, place: Place) -> TransactionHost {
        let coordinator = rebuild(world);
        let now_ms = world.now_ms();
        let mut host = TransactionHost {
            place,
            coordinator,
            next_token: 0,
            waiting: BTreeMap::new(),
            appending: VecDeque::new(),
            markers: BTreeMap::new(),
            next_expiry_ms: now_ms + EXPIRY_CHECK_MS,
        };
        let effects = host.coordinator.loaded();
        host.carry_out(world, effects);
        host
    }

    pub fn coordinator(&self) -> &TransactionCoordinator {
        &self.coordinator
    }

    pub fn take(&mut self, world: &mut World, from: From, ask: Ask) -> Result<(), Over> {
        let by = match from {
            From::Client(client, _) => Some(client),
            From::Node(..) => None,
        };
        let now = now(world);
        // A deposed coordinator takes what it is asked for a repeat of what it knows of the last transaction with that epoch, and has nothing
        // to write, so that nothing stops it. Only version 2 can tell one transaction from the other.
        let is_stale = self.place.is_deposed(world) && ask.order() == Order::Kept;
        if let Some(transactional_id) = ask.transactional_id().filter(|_| self.place.is_deposed(world)) {
            world.fact(&Fact::AskedDeposed { transactional_id });
        }
        let by = (by, matches!(ask, Ask::InitProducerId(_)));
        let effects = match ask {
            Ask::InitProducerId(request) => {
                let token = self.token(from, false);
                let effects = self.coordinator.init_producer_id(now, &request, None, token);
                match self.needs_id(world, &effects) {
                    Some(fresh) => self.coordinator.init_producer_id(now, &request, Some(fresh), token),
                    None => effects,
                }
            }
            Ask::AddPartitions(request) => {
                let token = self.token(from, false);
                self.coordinator.add_partitions(now, request, token)
            }
            Ask::EndTransaction(request) => {
                let token = self.token(from, false);
                let effects = self.coordinator.end(now, &request, None, token);
                match self.needs_id(world, &effects) {
                    Some(fresh) => self.coordinator.end(now, &request, Some(fresh), token),
                    None => effects,
                }
            }
            Ask::Verify { transactional_id, owner, version: TransactionVersion::EpochBump, partition } => {
                let token = self.token(from, true);
                let partitions = [partition].into();
                let request = AddPartitions { transactional_id, owner, partitions, version: TransactionVersion::EpochBump };
                self.coordinator.add_partitions(now, request, token)
            }
            Ask::Verify { .. } if is_stale => return self.refuse(world, from),
            Ask::Verify { transactional_id, owner, partition, .. } => {
                let verified = self.coordinator.verify_partitions(&transactional_id, owner, &[partition.clone()].into());
                world.answer(self.place, from, Answer::Verified(verified.map(|each| each.get(&partition) == Some(&true))));
                return Ok(());
            }
            Ask::Group(_) | Ask::Produce(_) | Ask::CommitOffsets(..) | Ask::Marker(_) => {
                return self.refuse(world, from);
            }
        };
        if is_stale && matches!(effects.as_slice(), [Effect::Reply { reply: Ok(_), .. }]) {
            return self.refuse(world, from);
        }
        self.carry_out_for(world, effects, by);
        Ok(())
    }

    fn refuse(&mut self, world: &mut World, from: From) -> Result<(), Over> {
        world.answer(self.place, from, Answer::Unavailable);
        Ok(())
    }

    /// What became of a marker.
    pub fn answered(&mut self, world: &mut World, number: u64, answer: Answer) -> Result<(), Over> {
        match answer {
            // One that is too late for a partition was written by whoever coordinates now: this one is deposed, or it was sent twice.
            Answer::Written(Ok(()) | Err(WriteError::Fenced)) => {
                if let Some(Outstanding { marker, partition, .. }) = self.markers.remove(&number) {
                    let effects = self.coordinator.marker_written(now(world), &marker.transactional_id, &partition);
                    self.carry_out(world, effects);
                }
            }
            Answer::Written(Err(WriteError::CoordinatorFenced)) => drop(self.markers.remove(&number)),
            // It was told that it asked the wrong node: nothing is on its way any more.
            _ => {
                if let Some(outstanding) = self.markers.get_mut(&number) {
                    outstanding.retry_at_ms = world.now_ms() + MARKER_RETRY_MS;
                }
            }
        }
        Ok(())
    }

    pub fn committed(&mut self, world: &mut World, high_watermark: usize) -> Result<(), Over> {
        while let Some((_, id)) = self.appending.pop_front_if(|(end, _)| *end <= high_watermark) {
            let effects = self.coordinator.appended(&id);
            self.carry_out(world, effects);
        }
        Ok(())
    }

    pub fn time(&mut self, world: &mut World) -> Result<(), Over> {
        let effects = self.coordinator.on_time(now(world));
        self.carry_out(world, effects);
        let now_ms = world.now_ms();
        for (number, outstanding) in self.markers.iter_mut().filter(|(_, outstanding)| outstanding.retry_at_ms <= now_ms) {
            outstanding.sent(now_ms);
            send_marker(world, self.place, *number, outstanding);
        }
        if world.now_ms() >= self.next_expiry_ms {
            self.next_expiry_ms = world.now_ms() + EXPIRY_CHECK_MS;
            if world.stage() < Stage::Rest {
                let effects = self.coordinator.expire(now(world), EXPIRED_AT_ONCE);
                self.carry_out(world, effects);
            }
        }
        Ok(())
    }

    pub fn next_deadline_ms(&self) -> Option<u64> {
        let retry_ms = self.markers.values().map(|outstanding| outstanding.retry_at_ms).min().unwrap_or(u64::MAX);
        let timeout_ms = self.coordinator.next_deadline().map_or(u64::MAX, |deadline| deadline.0 as u64);
        Some(retry_ms.min(timeout_ms).min(self.next_expiry_ms))
    }

    pub fn end(self, world: &mut World) {
        self.waiting.into_values().for_each(|(from, _)| world.answer(self.place, from, Answer::Unavailable));
    }

    fn token(&mut self, from: From, for_partition: bool) -> ReplyToken {
        self.next_token += 1;
        self.waiting.insert(ReplyToken(self.next_token), (from, for_partition));
        ReplyToken(self.next_token)
    }

    fn needs_id(&self, world: &mut World, effects: &[Effect]) -> Option<ProducerId> {
        let needs = effects.iter().any(|effect| matches!(effect, Effect::NeedsProducerId { .. }));
        needs.then(|| ProducerId(world.next_number() as i64))
    }

    fn carry_out(&mut self, world: &mut World, effects: Vec<Effect>) {
        self.carry_out_for(world, effects, (None, false));
    }

    /// `by`: which client has asked, and whether it takes the transactional id over by that.
    fn carry_out_for(&mut self, world: &mut World, effects: Vec<Effect>, by: (Option<ClientId>, bool)) {
        let mut todo = VecDeque::from(effects);
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Reply { token, reply } => {
                    let Some((from, for_partition)) = self.waiting.remove(&token) else { continue };
                    let answer = match (for_partition, reply) {
                        (true, reply) => Answer::Verified(reply.map(|reply| reply == Reply::Added)),
                        (false, reply) => Answer::Transaction(reply),
                    };
                    world.answer(self.place, from, answer);
                }
                Effect::NeedsProducerId { .. } => {}
                Effect::Append(record) => {
                    let id = record.transactional_id.clone();
                    match world.append_transaction(self.place, record, by) {
                        Some(end) => self.appending.push_back((end, id)),
                        None if self.place.appends_alone && self.place.is_deposed(world) => self.appending.push_back((NEVER, id)),
                        None => {
                            let moved = self.place.is_deposed(world);
                            // The record that completes a transaction is tried again until it is written: not at once, here.
                            let effects = self.coordinator.append_failed(now(world), &id, "refused", moved);
                            todo.extend(effects);
                        }
                    }
                }
                Effect::WriteMarkers { transactional_id, owner, commit, partitions, version } => {
                    for partition in partitions {
                        self.write_marker(world, &transactional_id, (owner, commit, version), partition);
                    }
                }
            }
        }
    }

    fn write_marker(
        &mut self,
        world: &mut World,
        id: &TransactionalId,
        (owner, commit, version): (Owner, bool, TransactionVersion),
        partition: TopicPartition,
    ) {
        let marker = Marker { transactional_id: id.clone(), owner, commit, version, coordinator_epoch: self.place.epoch };
        let number = world.next_number();
        let mut outstanding = Outstanding { marker, partition, retry_at_ms: 0 };
        outstanding.sent(world.now_ms());
        send_marker(world, self.place, number, &outstanding);
        self.markers.insert(number, outstanding);
    }
}

fn send_marker(world: &mut World, place: Place, number: u64, outstanding: &Outstanding) {
    world.ask_from_node(place, Part::of(&outstanding.partition), number, Ask::Marker(outstanding.marker.clone()));
}

/// The coordinator that the whole log makes.
pub(crate) fn rebuild(world: &World) -> TransactionCoordinator {
    let mut coordinator = TransactionCoordinator::new(world.transaction_config);
    world.logs.transactions.entries().iter().for_each(|record| coordinator.replay(record.clone()));
    coordinator
}

/// Transactions know one clock, which in a simulation is as good as any.
fn now(world: &World) -> TimestampMs {
    world.now().wall
}
