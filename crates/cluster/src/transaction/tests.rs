//! The rules one by one, then random histories with failovers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_model::{PartitionId, ProducerEpoch, ProducerId, TimestampMs, TopicName, TopicPartition};

use super::state::EPOCH_MAX;
use super::*;
use crate::controller::Randomness;

const V1: TransactionVersion = TransactionVersion::Classic;
const V2: TransactionVersion = TransactionVersion::EpochBump;
const NOW: TimestampMs = TimestampMs(1_000);
const TIMEOUT_MS: i32 = 60_000;
const TOKEN: ReplyToken = ReplyToken(1);

fn id() -> TransactionalId {
    TransactionalId::new("orders")
}

fn owner(producer_id: i64, epoch: i16) -> Owner {
    Owner { producer_id: ProducerId(producer_id), producer_epoch: ProducerEpoch(epoch) }
}

fn partitions(numbers: &[i32]) -> BTreeSet<TopicPartition> {
    let topic = TopicName::new("t").unwrap();
    numbers.iter().map(|n| TopicPartition { topic: topic.clone(), partition: PartitionId(*n) }).collect()
}

/// A coordinator whose appends all succeed and whose markers are written when told.
struct Bench {
    coordinator: TransactionCoordinator,
    log: Vec<TransactionRecord>,
    markers: Vec<(Owner, bool, BTreeSet<TopicPartition>)>,
    replies: Vec<Result<Reply, TransactionError>>,
    next_producer_id: i64,
}

impl Bench {
    fn new() -> Bench {
        let coordinator = TransactionCoordinator::new(TransactionConfig::default());
        Bench { coordinator, log: Vec::new(), markers: Vec::new(), replies: Vec::new(), next_producer_id: 7 }
    }

    fn run(&mut self, effects: Vec<Effect>) {
        let mut todo = VecDeque::from(effects);
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::Append(record) => {
                    let id = record.transactional_id.clone();
                    self.log.push(record);
                    todo.extend(self.coordinator.appended(&id));
                }
                Effect::WriteMarkers { owner, commit, partitions, .. } => self.markers.push((owner, commit, partitions)),
                Effect::NeedsProducerId { .. } => panic!("an id was given"),
            }
        }
    }

    fn last_reply(&mut self) -> Result<Reply, TransactionError> {
        assert_eq!(self.replies.len(), 1, "one request, one answer");
        self.replies.remove(0)
    }

    fn init_as(&mut self, goes_on_as: Option<Owner>) -> Result<Reply, TransactionError> {
        let fresh = Some(ProducerId(self.next_producer_id));
        self.next_producer_id += 1;
        let request = InitProducerId { transactional_id: id(), timeout_ms: TIMEOUT_MS, goes_on_as };
        let effects = self.coordinator.init_producer_id(NOW, &request, fresh, TOKEN);
        self.run(effects);
        self.last_reply()
    }

    fn init(&mut self) -> Result<Reply, TransactionError> {
        self.init_as(None)
    }

    fn add(&mut self, owner: Owner, numbers: &[i32], version: TransactionVersion) -> Result<Reply, TransactionError> {
        let request = AddPartitions { transactional_id: id(), owner, partitions: partitions(numbers), version };
        let effects = self.coordinator.add_partitions(NOW, request, TOKEN);
        self.run(effects);
        self.last_reply()
    }

    fn end(&mut self, owner: Owner, commit: bool, version: TransactionVersion) -> Result<Reply, TransactionError> {
        let fresh = Some(ProducerId(self.next_producer_id));
        let request = EndTransaction { transactional_id: id(), owner, commit, version };
        let effects = self.coordinator.end(NOW, &request, fresh, TOKEN);
        self.run(effects);
        self.last_reply()
    }

    /// Writes all markers that are due.
    fn write_markers(&mut self) {
        for (_, _, partitions) in std::mem::take(&mut self.markers) {
            for partition in partitions {
                let effects = self.coordinator.marker_written(NOW, &id(), &partition);
                self.run(effects);
            }
        }
    }

    fn state(&self) -> TransactionState {
        self.coordinator.describe(&id()).unwrap().state
    }

    /// With an epoch of choice, as if many transactions had gone before.
    fn with_epoch(epoch: i16, state: TransactionState) -> Bench {
        let mut bench = Bench::new();
        bench.init().unwrap();
        let known = bench.coordinator.describe(&id()).unwrap().clone();
        let value = Transaction { producer_epoch: ProducerEpoch(epoch), state, version: V2, ..known };
        bench.coordinator = TransactionCoordinator::new(TransactionConfig::default());
        bench.coordinator.replay(TransactionRecord { transactional_id: id(), value: Some(value) });
        bench
    }
}

fn initialized(producer_id: i64, epoch: i16) -> Result<Reply, TransactionError> {
    Ok(Reply::Initialized(owner(producer_id, epoch)))
}

fn ended(producer_id: i64, epoch: i16) -> Result<Reply, TransactionError> {
    Ok(Reply::Ended(owner(producer_id, epoch)))
}

fn fenced(asked: i16, current: i16) -> TransactionError {
    TransactionError::Fenced { asked: ProducerEpoch(asked), current: ProducerEpoch(current) }
}

#[test]
fn a_transaction_begins_with_its_first_partition_and_is_complete_with_its_last_marker() {
    for (version, epoch_after) in [(V1, 0), (V2, 1)] {
        let mut bench = Bench::new();
        assert_eq!(bench.init(), initialized(7, 0));
        assert_eq!(bench.state(), TransactionState::Empty);
        assert_eq!(bench.add(owner(7, 0), &[0, 1], version), Ok(Reply::Added));
        let records = bench.log.len();
        assert_eq!(bench.add(owner(7, 0), &[1], version), Ok(Reply::Added));
        assert_eq!(bench.log.len(), records, "what takes part already is not written again");
        assert_eq!(bench.end(owner(7, 0), true, version), ended(7, epoch_after));
        assert_eq!(bench.state(), TransactionState::PrepareCommit);
        assert_eq!(bench.markers, [(owner(7, epoch_after), true, partitions(&[0, 1]))]);
        let (first, last) = (partitions(&[0]), partitions(&[1]));
        let effects = bench.coordinator.marker_written(NOW, &id(), first.first().unwrap());
        assert_eq!(effects, []);
        let effects = bench.coordinator.marker_written(NOW, &id(), last.first().unwrap());
        bench.run(effects);
        assert_eq!(bench.state(), TransactionState::CompleteCommit);
        assert!(bench.coordinator.describe(&id()).unwrap().partitions.is_empty() && bench.coordinator.is_idle());
        // The next one, under the id and epoch that the end gave.
        assert_eq!(bench.add(owner(7, epoch_after), &[0], version), Ok(Reply::Added));
    }
}

#[test]
fn a_request_of_an_older_transaction_never_lands_in_a_newer_one() {
    let mut bench = Bench::new();
    bench.init().unwrap();
    bench.add(owner(7, 0), &[0], V2).unwrap();
    bench.end(owner(7, 0), true, V2).unwrap();
    bench.write_markers();
    bench.add(owner(7, 1), &[1], V2).unwrap();
    assert_eq!(bench.add(owner(7, 0), &[2], V2), Err(fenced(0, 1)));
    assert_eq!(bench.end(owner(7, 0), true, V2), Err(fenced(0, 1)), "its own end, come late");
    assert_eq!(bench.coordinator.verify_partitions(&id(), owner(7, 0), &partitions(&[0])), Err(fenced(0, 1)));
    let verified = bench.coordinator.verify_partitions(&id(), owner(7, 1), &partitions(&[0, 1])).unwrap();
    assert_eq!(verified.into_values().collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_new_producer_shuts_the_old_one_out_and_aborts_what_it_left() {
    for (version, epochs) in [(V1, (1, 2)), (V2, (2, 3))] {
        let mut bench = Bench::new();
        bench.init().unwrap();
        bench.add(owner(7, 0), &[0], version).unwrap();
        assert_eq!(bench.init(), Err(TransactionError::Concurrent), "to be asked again when the abort is done");
        assert_eq!(bench.markers, [(owner(7, epochs.0), false, partitions(&[0]))]);
        assert_eq!(bench.init(), Err(TransactionError::Concurrent));
        assert!(bench.add(owner(7, 0), &[1], version).is_err() && bench.end(owner(7, 0), true, version).is_err());
        bench.write_markers();
        assert_eq!(bench.init(), initialized(7, epochs.1));
        assert_eq!(bench.add(owner(7, 0), &[1], version), Err(fenced(0, epochs.1)));
    }
}

#[test]
fn a_producer_goes_on_after_an_error_and_its_retry_gets_the_same_answer() {
    let mut bench = Bench::new();
    bench.init().unwrap();
    assert_eq!(bench.init_as(Some(owner(7, 0))), initialized(7, 1));
    assert_eq!(bench.init_as(Some(owner(7, 0))), initialized(7, 1), "the answer was lost");
    assert_eq!(bench.init_as(Some(owner(7, 1))), initialized(7, 2));
    assert_eq!(bench.init_as(Some(owner(7, 0))), Err(fenced(0, 2)));
    assert_eq!(bench.init_as(Some(owner(8, 2))), Err(fenced(2, 2)), "another producer id");
    // Another process takes over: no retry of the one before is one any more.
    assert_eq!(bench.init(), initialized(7, 3));
    assert_eq!(bench.init_as(Some(owner(7, 2))), Err(fenced(2, 3)));
}

#[test]
fn what_an_end_comes_to_in_version_2_goes_by_state_and_epoch() {
    use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
    let invalid = |state, commit| Err(TransactionError::InvalidState { state, commit });
    let concurrent = || Err(TransactionError::Concurrent);
    // State, then what each gets: abort by the epoch before, abort by the current one, commit by the one before, commit by the current.
    let cases = [
        (Empty, [Err(fenced(4, 5)), ended(7, 6), Err(fenced(4, 5)), invalid(Empty, true)]),
        (Ongoing, [Err(fenced(4, 5)), ended(7, 6), Err(fenced(4, 5)), ended(7, 6)]),
        (PrepareAbort, [concurrent(), concurrent(), concurrent(), concurrent()]),
        (PrepareCommit, [concurrent(), concurrent(), concurrent(), concurrent()]),
        (CompleteAbort, [ended(7, 5), ended(7, 6), invalid(CompleteAbort, true), invalid(CompleteAbort, true)]),
        (CompleteCommit, [invalid(CompleteCommit, false), ended(7, 6), ended(7, 5), invalid(CompleteCommit, true)]),
    ];
    for (state, expected) in cases {
        let asked = [(4, false), (5, false), (4, true), (5, true)];
        for ((epoch, commit), expected) in asked.into_iter().zip(expected) {
            let mut bench = Bench::with_epoch(5, state);
            assert_eq!(bench.end(owner(7, epoch), commit, V2), expected, "{state}, epoch {epoch}, commit {commit}");
        }
        let mut bench = Bench::with_epoch(5, state);
        assert!(matches!(bench.end(owner(9, 5), true, V2), Err(TransactionError::InvalidProducerId { .. })), "{state}");
        assert_eq!(bench.end(owner(7, 6), false, V2), Err(fenced(6, 5)), "{state}: an epoch that nobody was given");
    }
}

#[test]
fn what_an_end_comes_to_in_version_1_goes_by_state() {
    use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
    let invalid = |state, commit| Err(TransactionError::InvalidState { state, commit });
    let concurrent = || Err(TransactionError::Concurrent);
    let cases = [
        (Empty, invalid(Empty, false), invalid(Empty, true)),
        (Ongoing, ended(7, 5), ended(7, 5)),
        (PrepareAbort, concurrent(), concurrent()),
        (PrepareCommit, concurrent(), concurrent()),
        (CompleteAbort, ended(7, 5), invalid(CompleteAbort, true)),
        (CompleteCommit, invalid(CompleteCommit, false), ended(7, 5)),
    ];
    for (state, abort, commit) in cases {
        assert_eq!(Bench::with_epoch(5, state).end(owner(7, 5), false, V1), abort, "{state}");
        assert_eq!(Bench::with_epoch(5, state).end(owner(7, 5), true, V1), commit, "{state}");
        assert_eq!(Bench::with_epoch(5, state).end(owner(7, 4), true, V1), Err(fenced(4, 5)), "{state}");
    }
}

#[test]
fn an_abort_of_nothing_gives_a_new_epoch_without_a_marker() {
    let mut bench = Bench::new();
    bench.init().unwrap();
    assert_eq!(bench.end(owner(7, 0), false, V2), ended(7, 1));
    assert_eq!((bench.state(), bench.markers.len()), (TransactionState::CompleteAbort, 0));
    assert_eq!(bench.end(owner(7, 0), false, V2), ended(7, 1), "the same request again");
    assert_eq!(bench.end(owner(7, 1), false, V2), ended(7, 2), "the next one");
}

#[test]
fn when_the_epochs_run_out_the_producer_goes_on_under_another_id() {
    // At the end of a transaction.
    let mut bench = Bench::with_epoch(EPOCH_MAX, TransactionState::Empty);
    bench.add(owner(7, EPOCH_MAX), &[0], V2).unwrap();
    let request = EndTransaction { transactional_id: id(), owner: owner(7, EPOCH_MAX), commit: true, version: V2 };
    assert_eq!(bench.coordinator.end(NOW, &request, None, TOKEN), [Effect::NeedsProducerId { token: TOKEN }]);
    assert_eq!(bench.end(owner(7, EPOCH_MAX), true, V2), ended(8, 0));
    assert_eq!(bench.markers, [(owner(7, i16::MAX), true, partitions(&[0]))], "the markers are the old id's");
    assert_eq!(bench.add(owner(8, 0), &[1], V2), Err(TransactionError::Concurrent), "the new one waits until they are written");
    assert_eq!(bench.end(owner(8, 0), false, V2), Err(TransactionError::Concurrent), "also with what it wants to abort");
    assert!(matches!(bench.end(owner(7, i16::MAX), false, V2), Err(TransactionError::Fenced { .. })), "nobody was given that epoch");
    bench.write_markers();
    assert_eq!(bench.end(owner(7, EPOCH_MAX), true, V2), ended(8, 0), "the same request again");
    assert_eq!(bench.add(owner(8, 0), &[1], V2), Ok(Reply::Added));
    assert!(matches!(bench.add(owner(7, EPOCH_MAX), &[1], V2), Err(TransactionError::InvalidProducerId { .. })));

    // At a start; and when the last epoch was taken to shut a producer out.
    for (epoch, state) in [(EPOCH_MAX, TransactionState::CompleteCommit), (i16::MAX, TransactionState::CompleteAbort)] {
        let mut bench = Bench::with_epoch(epoch, state);
        assert_eq!(bench.init(), initialized(8, 0));
    }
    let mut bench = Bench::with_epoch(EPOCH_MAX, TransactionState::Empty);
    assert_eq!(bench.init_as(Some(owner(7, EPOCH_MAX))), initialized(8, 0));
    assert_eq!(bench.init_as(Some(owner(7, EPOCH_MAX))), initialized(8, 0), "its answer was lost");
    let mut bench = Bench::with_epoch(EPOCH_MAX, TransactionState::Empty);
    bench.add(owner(7, EPOCH_MAX), &[0], V2).unwrap();
    assert_eq!(bench.init(), Err(TransactionError::Concurrent));
    bench.write_markers();
    assert_eq!(bench.init(), initialized(9, 0));
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_shut_out() {
    let mut bench = Bench::new();
    bench.init().unwrap();
    assert_eq!(bench.coordinator.next_deadline(), None);
    bench.add(owner(7, 0), &[0], V2).unwrap();
    let deadline = TimestampMs(NOW.0 + i64::from(TIMEOUT_MS));
    assert_eq!(bench.coordinator.next_deadline(), Some(deadline));
    assert_eq!(bench.coordinator.on_time(TimestampMs(deadline.0 - 1)), []);
    let effects = bench.coordinator.on_time(deadline);
    bench.run(effects);
    assert_eq!(bench.markers, [(owner(7, 2), false, partitions(&[0]))]);
    assert_eq!(bench.coordinator.next_deadline(), None);
    bench.write_markers();
    assert_eq!(bench.end(owner(7, 0), true, V2), Err(fenced(0, 2)));
}

#[test]
fn ids_that_are_not_used_are_forgotten_but_none_with_a_transaction_under_way() {
    let mut bench = Bench::new();
    bench.init().unwrap();
    let over = TimestampMs(NOW.0 + TransactionConfig::default().expiration_ms);
    assert_eq!(bench.coordinator.expire(TimestampMs(over.0 - 1), 9), []);
    bench.add(owner(7, 0), &[0], V2).unwrap();
    assert_eq!(bench.coordinator.expire(over, 9), [], "it is under way");
    bench.end(owner(7, 0), true, V2).unwrap();
    assert_eq!(bench.coordinator.expire(over, 9), [], "its markers are");
    bench.write_markers();
    let effects = bench.coordinator.expire(over, 9);
    assert_eq!(effects, [Effect::Append(TransactionRecord { transactional_id: id(), value: None })]);
    bench.run(effects);
    assert_eq!(bench.coordinator.describe(&id()), Err(TransactionError::NotFound));
    assert!(matches!(bench.add(owner(7, 1), &[0], V2), Err(TransactionError::InvalidProducerId { .. })));
    assert_eq!(bench.init(), initialized(8, 0));
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let (server, _) = ottla_model::config::ServerConfig::parse(None, &[]).unwrap();
    assert_eq!(TransactionConfig::read(server.values()).unwrap(), TransactionConfig::default());
}

#[test]
fn a_decided_transaction_shows_the_partitions_that_wait_for_their_markers() {
    let mut bench = Bench::new();
    bench.init().unwrap();
    bench.add(owner(7, 0), &[0, 1], V2).unwrap();
    assert_eq!(bench.coordinator.unmarked_partitions(&id()), partitions(&[0, 1]));
    bench.end(owner(7, 0), true, V2).unwrap();
    let effects = bench.coordinator.marker_written(NOW, &id(), partitions(&[0]).first().unwrap());
    assert_eq!(effects, []);
    assert_eq!(bench.coordinator.unmarked_partitions(&id()), partitions(&[1]));
    bench.write_markers();
    assert_eq!(bench.coordinator.unmarked_partitions(&id()), partitions(&[]));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut bench = Bench::new();
    let nobody = TransactionalId::new("");
    let request = InitProducerId { transactional_id: nobody.clone(), timeout_ms: 1, goes_on_as: None };
    let effects = bench.coordinator.init_producer_id(NOW, &request, None, TOKEN);
    assert_eq!(effects, [Effect::Reply { token: TOKEN, reply: Err(TransactionError::EmptyTransactionalId) }]);
    assert_eq!(bench.coordinator.describe(&nobody), Err(TransactionError::EmptyTransactionalId));
    for asked_ms in [0, -1, 900_001] {
        let request = InitProducerId { transactional_id: id(), timeout_ms: asked_ms, goes_on_as: None };
        let effects = bench.coordinator.init_producer_id(NOW, &request, Some(ProducerId(1)), TOKEN);
        let error = TransactionError::InvalidTimeout { asked_ms, max_ms: 900_000 };
        assert_eq!(effects, [Effect::Reply { token: TOKEN, reply: Err(error) }]);
    }
    assert!(matches!(bench.add(owner(1, 0), &[0], V2), Err(TransactionError::InvalidProducerId { .. })));
    assert!(matches!(bench.end(owner(1, 0), true, V2), Err(TransactionError::InvalidProducerId { .. })));
    let request = InitProducerId { transactional_id: id(), timeout_ms: 1, goes_on_as: None };
    assert_eq!(bench.coordinator.init_producer_id(NOW, &request, None, TOKEN), [Effect::NeedsProducerId { token: TOKEN }]);
}

#[test]
fn an_append_that_fails_changes_nothing() {
    let mut bench = Bench::new();
    let request = InitProducerId { transactional_id: id(), timeout_ms: TIMEOUT_MS, goes_on_as: None };
    bench.coordinator.init_producer_id(NOW, &request, Some(ProducerId(7)), TOKEN);
    let fails = |bench: &mut Bench| bench.coordinator.append_failed(NOW, &id(), "the disk is full", false);
    let refused =
        Effect::Reply { token: TOKEN, reply: Err(TransactionError::NotWritten { reason: "the disk is full".to_owned(), moved: false }) };
    assert_eq!(fails(&mut bench), std::slice::from_ref(&refused));
    assert_eq!(bench.coordinator.describe(&id()), Err(TransactionError::NotFound));
    bench.init().unwrap();
    bench.add(owner(7, 0), &[0], V2).unwrap();
    let before = bench.coordinator.describe(&id()).unwrap().clone();
    // A takeover that fails twice takes one epoch, not two.
    for _ in 0..2 {
        let effects = bench.coordinator.init_producer_id(NOW, &request, None, TOKEN);
        let [Effect::Append(record)] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!(record.value.as_ref().map(|v| v.producer_epoch), Some(ProducerEpoch(2)));
        assert_eq!(fails(&mut bench), std::slice::from_ref(&refused));
        assert_eq!(bench.coordinator.describe(&id()).unwrap(), &before);
    }
    // The record that completes it is tried again until it is there.
    bench.end(owner(7, 0), true, V2).unwrap();
    let partition = partitions(&[0]);
    let complete = bench.coordinator.marker_written(NOW, &id(), partition.first().unwrap());
    assert_eq!(fails(&mut bench), complete);
    bench.run(complete);
    assert_eq!(bench.state(), TransactionState::CompleteCommit);
}

/// What the clients of a random history believe, and what must hold of it.
#[derive(Default)]
struct World {
    log: Vec<TransactionRecord>,
    /// Every id and epoch that was given out by InitProducerId, with who got it.
    given: BTreeMap<(i64, i16), u64>,
    /// Of each producer id and epoch that transactions were ended under: how.
    decided: BTreeMap<(TransactionalId, i64, i16), bool>,
    appends: VecDeque<TransactionRecord>,
    markers: Vec<(TransactionalId, TopicPartition)>,
    owners: BTreeMap<TransactionalId, Owner>,
}

impl World {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { token, reply: Ok(Reply::Initialized(owner)) } => {
                    let key = (owner.producer_id.0, owner.producer_epoch.0);
                    let first = self.given.insert(key, token.0);
                    assert!(first.is_none(), "{owner:?} was given to two producers");
                    self.owners.insert(TransactionalId::new(&format!("id{}", token.0 % 3)), owner);
                }
                Effect::Reply { token, reply: Ok(Reply::Ended(owner)) } => {
                    self.owners.insert(TransactionalId::new(&format!("id{}", token.0 % 3)), owner);
                }
                Effect::Reply { .. } | Effect::NeedsProducerId { .. } => {}
                Effect::Append(record) => self.appends.push_back(record),
                Effect::WriteMarkers { transactional_id, owner, commit, partitions, .. } => {
                    let key = (transactional_id.clone(), owner.producer_id.0, owner.producer_epoch.0);
                    let before = *self.decided.entry(key).or_insert(commit);
                    assert_eq!(before, commit, "{transactional_id}: one transaction, two decisions");
                    self.markers.extend(partitions.into_iter().map(|p| (transactional_id.clone(), p)));
                }
            }
        }
    }

    fn reload(&mut self) -> TransactionCoordinator {
        let mut coordinator = TransactionCoordinator::new(TransactionConfig::default());
        for record in &self.log {
            coordinator.replay(record.clone());
        }
        self.appends.clear();
        self.markers.clear();
        let effects = coordinator.loaded();
        self.take(effects);
        coordinator
    }
}

#[test]
fn random_histories_with_failovers_keep_one_decision_a_transaction_and_come_to_rest() {
    let seeds = std::env::var("OTTLA_SIM_SEEDS").map_or(3_000, |text| text.parse().expect("OTTLA_SIM_SEEDS is a number"));
    for seed in 0..seeds {
        history(seed);
    }
}

fn history(seed: u64) {
    let mut random = Randomness::new(u128::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes());
    let mut world = World::default();
    let mut coordinator = TransactionCoordinator::new(TransactionConfig::default());
    let (mut fresh, mut now) = (100, 1_000);
    for step in 0..120u64 {
        now += random.below(2_000) as i64;
        let (at, which) = (TimestampMs(now), random.below(3) as u64);
        let (id, token) = (TransactionalId::new(&format!("id{which}")), ReplyToken(step * 3 + which));
        fresh += 1;
        // A client that shows what it has, or what another had.
        let mut shown = world.owners.get(&id).copied().unwrap_or(owner(100, 0));
        if random.below(5) == 0 {
            shown.producer_epoch = ProducerEpoch(shown.producer_epoch.0.saturating_sub(1));
        }
        let effects = match random.below(12) {
            0 => {
                let request = InitProducerId { transactional_id: id, timeout_ms: 20_000, goes_on_as: None };
                coordinator.init_producer_id(at, &request, Some(ProducerId(fresh)), token)
            }
            1..=3 => {
                let partitions = partitions(&[random.below(4) as i32]);
                coordinator.add_partitions(at, AddPartitions { transactional_id: id, owner: shown, partitions, version: V2 }, token)
            }
            4 | 5 => {
                let request = EndTransaction { transactional_id: id, owner: shown, commit: random.below(2) == 0, version: V2 };
                coordinator.end(at, &request, Some(ProducerId(fresh)), token)
            }
            6..=8 => match world.appends.pop_front() {
                Some(record) if random.below(6) == 0 => coordinator.append_failed(at, &record.transactional_id, "lost", false),
                Some(record) => {
                    let id = record.transactional_id.clone();
                    world.log.push(record);
                    coordinator.appended(&id)
                }
                None => Vec::new(),
            },
            9 | 10 if !world.markers.is_empty() => {
                let (id, partition) = world.markers.swap_remove(random.below(world.markers.len()));
                coordinator.marker_written(at, &id, &partition)
            }
            11 if random.below(4) == 0 => {
                coordinator = world.reload();
                Vec::new()
            }
            _ => coordinator.on_time(at),
        };
        world.take(effects);
    }
    // The faults end: everything that was begun comes to an end.
    for round in 0.. {
        assert!(round < 10_000, "seed {seed} does not come to rest");
        now += 1_000;
        if let Some(record) = world.appends.pop_front() {
            let id = record.transactional_id.clone();
            world.log.push(record);
            let effects = coordinator.appended(&id);
            world.take(effects);
        } else if let Some((id, partition)) = world.markers.pop() {
            let effects = coordinator.marker_written(TimestampMs(now), &id, &partition);
            world.take(effects);
        } else if coordinator.next_deadline().is_some() {
            let effects = coordinator.on_time(TimestampMs(now));
            world.take(effects);
        } else {
            break;
        }
    }
    assert!(coordinator.is_idle(), "seed {seed}");
    let settled = |coordinator: &TransactionCoordinator| -> BTreeMap<TransactionalId, Transaction> {
        coordinator.transactions().map(|(id, t)| (id.clone(), t.clone())).collect()
    };
    let state = settled(&coordinator);
    assert!(state.values().all(|t| t.state.is_at_rest()), "seed {seed}: {state:?}");
    assert_eq!(settled(&world.reload()), state, "seed {seed}: the log says something else");
}
