//! The accumulator without a network: what is sent when, what a failure means for those behind it, and, over random
//! histories against a broker that keeps Kafka's rules for sequences, that nothing is lost, doubled or out of order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ottla_model::{NodeId, Sequence, TimestampMs};
use ottla_wire::batch::{BatchView, DecompressLimits};
use ottla_wire::compress::Compression;
use ottla_wire::error::ErrorCode;
use proptest::prelude::*;
use tokio::time::Instant;

use super::accumulator::{Accumulator, Appended, Drained, Input, Limits, Verdict};
use super::batch::{Batch, Identity};
use super::outcome::{Delivery, RecordMetadata};
use crate::ClientError;
use crate::backoff::Backoff;
use crate::metadata::{Topic, topic_for_tests};

const NODE: NodeId = NodeId(1);
const IDENTITY: Identity = Identity { producer_id: 70, producer_epoch: 0 };

fn limits() -> Limits {
    Limits {
        batch_size_bytes: 200,
        linger: Duration::from_millis(5),
        delivery_timeout: Duration::from_secs(120),
        retries: u32::MAX,
        backoff: Backoff::new(100, 1_000),
        compression: Compression::None,
        idempotent: true,
        transactional: false,
        request_max_bytes: 1 << 20,
        in_flight_requests_max: 5,
    }
}

/// An accumulator with its time, and memory without end.
struct Rig {
    accumulator: Accumulator,
    topic: Arc<Topic>,
    now: Instant,
}

impl Rig {
    fn new(limits: Limits, partitions: usize) -> Rig {
        let mut accumulator = Accumulator::new(limits);
        accumulator.identify(IDENTITY);
        Rig { accumulator, topic: topic_for_tests("t", partitions), now: Instant::now() }
    }

    fn append(&mut self, partition: i32, value: &str) -> Delivery {
        let input = Input { partition: Some(partition), key: None, value: Some(value.as_bytes()), headers: &[], timestamp: TimestampMs(1) };
        let mut reserved = None;
        loop {
            match self.accumulator.append(&self.topic, input, &mut reserved, self.now, || 0).unwrap() {
                Appended::Queued { delivery, .. } => return delivery,
                Appended::NeedsMemory { bytes } => reserved = Some(bytes),
            }
        }
    }

    /// Appends what nobody waits for.
    fn push(&mut self, partition: i32, value: &str) {
        drop(self.append(partition, value));
    }

    fn drain(&mut self) -> Drained {
        self.accumulator.drain(self.now, |_, _| Some(NODE), |_| Ok(()))
    }

    /// The one batch that goes out now.
    fn sent(&mut self) -> Batch {
        let mut batches: Vec<Batch> = self.drain().requests.into_iter().flat_map(|(_, batches)| batches).collect();
        assert_eq!(batches.len(), 1, "one batch goes out");
        batches.remove(0)
    }

    fn sends_nothing(&mut self) {
        assert!(self.drain().requests.is_empty());
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn answer(&mut self, batch: Batch, verdict: Verdict) {
        self.accumulator.request_done(NODE);
        self.accumulator.answered(batch, verdict, self.now);
    }
}

fn written(base_offset: i64) -> Verdict {
    Verdict::Written { base_offset, log_append_time_ms: -1 }
}

fn refused(code: ErrorCode) -> Verdict {
    Verdict::Refused { code, message: None }
}

fn lost() -> Verdict {
    Verdict::Unsent(ClientError::Disconnected { address: "b:1".to_owned(), cause: "gone".to_owned() })
}

fn result(delivery: &mut Delivery) -> Option<Result<RecordMetadata, ClientError>> {
    match Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

fn place(batch: &Batch) -> (i16, i32) {
    let place = batch.place.unwrap();
    (place.identity.producer_epoch, place.base_sequence)
}

/// Of 200 bytes a batch holds one of these.
fn large(name: &str) -> String {
    format!("{name:-<150}")
}

#[test]
fn a_batch_lingers_unless_it_is_full_or_hurried() {
    let mut rig = Rig::new(limits(), 2);
    rig.push(0, "a");
    let drained = rig.drain();
    assert!(drained.requests.is_empty());
    assert_eq!(drained.wake_at, Some(rig.now + Duration::from_millis(5)));
    rig.pass(5);
    let batch = rig.sent();
    assert_eq!(batch.record_count, 1);

    let (_, _) = (rig.append(1, &large("b")), rig.append(1, "c"));
    assert_eq!(rig.sent().record_count, 1, "a full batch goes at once, the next lingers");
    rig.sends_nothing();
    rig.accumulator.hurry();
    assert_eq!(rig.sent().record_count, 1);
}

#[test]
fn records_share_a_batch_until_it_is_full() {
    let mut rig = Rig::new(limits(), 1);
    for n in 0..20 {
        rig.push(0, &format!("value {n}"));
    }
    let mut records = 0;
    rig.pass(5);
    while let Some((_, batches)) = rig.drain().requests.pop() {
        for mut batch in batches {
            assert!(batch.seal().unwrap().len() <= 200);
            records += batch.record_count;
        }
    }
    assert_eq!(records, 20);
}

#[test]
fn sequences_count_records_and_at_most_five_batches_are_out() {
    let mut rig = Rig::new(limits(), 1);
    for n in 0..7 {
        rig.push(0, &large(&n.to_string()));
    }
    rig.pass(5);
    let out: Vec<Batch> = (0..5).map(|_| rig.sent()).collect();
    assert_eq!(out.iter().map(place).collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]);
    rig.sends_nothing();
    let first = out.into_iter().next().unwrap();
    rig.answer(first, written(0));
    assert_eq!(place(&rig.sent()), (0, 5));
}

#[test]
fn without_idempotence_one_batch_of_a_partition_is_out_so_that_order_holds() {
    let mut rig = Rig::new(Limits { idempotent: false, ..limits() }, 1);
    let (mut a, mut b) = (rig.append(0, &large("a")), rig.append(0, &large("b")));
    rig.pass(5);
    let first = rig.sent();
    assert!(first.place.is_none());
    rig.sends_nothing();
    rig.answer(first, refused(ErrorCode::NotLeaderOrFollower));
    rig.sends_nothing();
    rig.pass(100);
    let again = rig.sent();
    rig.answer(again, written(8));
    assert!(result(&mut a).unwrap().is_ok() && result(&mut b).is_none());
    let second = rig.sent();
    rig.answer(second, written(9));
    assert_eq!(result(&mut b).unwrap().unwrap().offset.unwrap().0, 9);
}

#[test]
fn after_a_failure_nothing_goes_out_until_all_is_answered_then_all_in_order() {
    let mut rig = Rig::new(limits(), 1);
    for n in 0..4 {
        rig.push(0, &large(&n.to_string()));
    }
    rig.pass(5);
    let [first, second, third] = [rig.sent(), rig.sent(), rig.sent()];
    rig.answer(first, refused(ErrorCode::NotLeaderOrFollower));
    rig.pass(1_000);
    rig.sends_nothing();
    // The echo of the first one's failure.
    rig.answer(second, refused(ErrorCode::OutOfOrderSequenceNumber));
    rig.answer(third, refused(ErrorCode::OutOfOrderSequenceNumber));
    rig.pass(1_000);
    let places: Vec<_> = (0..4).map(|_| place(&rig.sent())).collect();
    assert_eq!(places, [(0, 0), (0, 1), (0, 2), (0, 3)], "their places are kept: the broker knows them by these");
}

#[test]
fn a_duplicate_is_a_success_without_a_known_offset() {
    let mut rig = Rig::new(limits(), 1);
    let mut delivery = rig.append(0, "a");
    rig.pass(5);
    let batch = rig.sent();
    rig.answer(batch, refused(ErrorCode::DuplicateSequenceNumber));
    assert_eq!(result(&mut delivery).unwrap().unwrap().offset, None);
}

#[test]
fn a_gap_before_the_oldest_batch_starts_over_in_a_new_epoch() {
    let mut rig = Rig::new(limits(), 2);
    let _ = (rig.append(0, &large("a")), rig.append(0, &large("b")), rig.append(1, &large("other")));
    rig.pass(5);
    let mut out: Vec<Batch> = rig.drain().requests.into_iter().flat_map(|(_, batches)| batches).collect();
    out.extend(rig.drain().requests.into_iter().flat_map(|(_, batches)| batches));
    let (zero, one): (Vec<_>, Vec<_>) = out.into_iter().partition(|batch| batch.partition == 0);
    for batch in zero {
        rig.answer(batch, refused(ErrorCode::OutOfOrderSequenceNumber));
    }
    rig.pass(2_000);
    assert_eq!([place(&rig.sent()), place(&rig.sent())], [(1, 0), (1, 1)]);
    // The other partition finishes what it has out under the old epoch, then takes up the new one.
    for batch in one {
        rig.answer(batch, written(0));
    }
    rig.push(1, &large("next"));
    rig.pass(5);
    assert_eq!(place(&rig.sent()), (1, 0));
}

#[test]
fn a_certain_refusal_fails_the_batch_and_moves_the_rest_to_a_new_epoch() {
    let mut rig = Rig::new(limits(), 1);
    let (mut bad, mut good) = (rig.append(0, &large("bad")), rig.append(0, &large("good")));
    rig.pass(5);
    let (first, second) = (rig.sent(), rig.sent());
    rig.answer(first, refused(ErrorCode::InvalidRecord));
    assert!(matches!(result(&mut bad), Some(Err(ClientError::Refused { code: ErrorCode::InvalidRecord, .. }))));
    rig.answer(second, refused(ErrorCode::OutOfOrderSequenceNumber));
    rig.pass(1_000);
    let again = rig.sent();
    assert_eq!(place(&again), (1, 0), "the broker said that there is a gap");
    rig.answer(again, written(0));
    assert!(result(&mut good).unwrap().is_ok());
}

/// The first was written, and its answer lost; to start over for the second one's sake would write it again.
#[test]
fn a_refusal_behind_a_batch_of_unknown_fate_does_not_start_over() {
    let mut rig = Rig::new(limits(), 1);
    let _ = (rig.append(0, &large("unheard")), rig.append(0, &large("bad")), rig.append(0, &large("good")));
    rig.pass(5);
    let [first, second, third] = [rig.sent(), rig.sent(), rig.sent()];
    rig.answer(first, lost());
    rig.answer(second, refused(ErrorCode::InvalidRecord));
    rig.answer(third, refused(ErrorCode::OutOfOrderSequenceNumber));
    rig.pass(1_000);
    let (again, behind) = (rig.sent(), rig.sent());
    assert_eq!([place(&again), place(&behind)], [(0, 0), (0, 2)]);
    rig.answer(again, refused(ErrorCode::DuplicateSequenceNumber));
    rig.answer(behind, refused(ErrorCode::OutOfOrderSequenceNumber));
    rig.pass(1_000);
    assert_eq!(place(&rig.sent()), (1, 0), "now it is certain");
}

#[test]
fn a_batch_that_ran_out_of_time_may_be_written_so_the_rest_keeps_its_places() {
    let mut rig = Rig::new(Limits { delivery_timeout: Duration::from_secs(10), ..limits() }, 1);
    let mut old = rig.append(0, &large("old"));
    rig.pass(5_000);
    let mut young = rig.append(0, &large("young"));
    let (first, second) = (rig.sent(), rig.sent());
    rig.answer(first, lost());
    rig.answer(second, lost());
    rig.pass(5_001);
    assert!(rig.accumulator.expire(rig.now) > 0, "its memory is given back");
    assert!(matches!(result(&mut old), Some(Err(ClientError::DeliveryTimeout { .. }))));
    assert!(result(&mut young).is_none());
    assert_eq!(place(&rig.sent()), (0, 1));
}

#[test]
fn a_batch_that_is_out_when_its_time_ends_is_failed_then_and_not_sent_again() {
    let mut rig = Rig::new(Limits { delivery_timeout: Duration::from_secs(10), ..limits() }, 1);
    let mut delivery = rig.append(0, "a");
    rig.pass(5);
    let batch = rig.sent();
    rig.pass(10_000);
    assert_eq!(rig.accumulator.expire(rig.now), 0, "its memory is still in use");
    assert!(matches!(result(&mut delivery), Some(Err(ClientError::DeliveryTimeout { .. }))));
    rig.answer(batch, lost());
    rig.pass(5_000);
    rig.sends_nothing();
    assert!(rig.accumulator.is_empty());
}

#[test]
fn a_batch_found_too_large_goes_again_in_halves_that_keep_its_place() {
    let mut rig = Rig::new(Limits { batch_size_bytes: 4_096, ..limits() }, 1);
    let mut deliveries: Vec<Delivery> = (0..5).map(|n| rig.append(0, &large(&n.to_string()))).collect();
    rig.pass(5);
    let whole = rig.sent();
    rig.answer(whole, refused(ErrorCode::MessageTooLarge));
    let (first, second) = (rig.sent(), rig.sent());
    assert_eq!([(place(&first), first.record_count), (place(&second), second.record_count)], [((0, 0), 2), ((0, 2), 3)]);
    rig.answer(first, written(10));
    rig.answer(second, written(12));
    let offsets: Vec<i64> = deliveries.iter_mut().map(|delivery| result(delivery).unwrap().unwrap().offset.unwrap().0).collect();
    assert_eq!(offsets, [10, 11, 12, 13, 14]);
}

#[test]
fn one_record_too_large_for_the_broker_fails() {
    let mut rig = Rig::new(limits(), 1);
    let mut delivery = rig.append(0, &large("a"));
    rig.pass(5);
    let batch = rig.sent();
    rig.answer(batch, refused(ErrorCode::MessageTooLarge));
    assert!(matches!(result(&mut delivery), Some(Err(ClientError::Refused { code: ErrorCode::MessageTooLarge, .. }))));
}

#[test]
fn a_request_stays_within_its_bytes_and_serves_partitions_in_turn() {
    let mut rig = Rig::new(Limits { request_max_bytes: 500, ..limits() }, 4);
    for partition in 0..4 {
        rig.push(partition, &large("x"));
    }
    rig.pass(5);
    let partitions =
        |drained: Drained| -> Vec<i32> { drained.requests.into_iter().flat_map(|(_, batches)| batches).map(|b| b.partition).collect() };
    let (first, second) = (rig.drain(), rig.drain());
    assert_eq!([partitions(first), partitions(second)], [vec![0, 1], vec![2, 3]]);
}

#[test]
fn nothing_goes_out_without_a_leader_an_identity_or_a_willing_broker() {
    let mut rig = Rig::new(limits(), 1);
    rig.push(0, "a");
    rig.pass(5);
    assert!(rig.accumulator.drain(rig.now, |_, _| None, |_| Ok(())).leaderless);
    let until = rig.now + Duration::from_secs(1);
    let throttled = rig.accumulator.drain(rig.now, |_, _| Some(NODE), |_| Err(until));
    assert_eq!((throttled.requests.len(), throttled.wake_at), (0, Some(until)));
    let mut fresh = Rig { accumulator: Accumulator::new(limits()), ..rig };
    fresh.push(0, "a");
    fresh.pass(5);
    assert!(fresh.drain().needs_identity);
    fresh.accumulator.identify(IDENTITY);
    assert_eq!(place(&fresh.sent()), (0, 0));
}

#[test]
fn records_that_no_request_can_hold_and_partitions_that_are_not_there_are_refused_at_once() {
    let mut rig = Rig::new(Limits { request_max_bytes: 1_000, ..limits() }, 2);
    let value = vec![0; 1_000];
    let input = Input { partition: Some(0), key: None, value: Some(&value), headers: &[], timestamp: TimestampMs(1) };
    let error = rig.accumulator.append(&rig.topic, input, &mut None, rig.now, || 0).unwrap_err();
    assert!(matches!(error, ClientError::RecordTooLarge { max_bytes: 1_000, .. }));
    let input = Input { partition: Some(2), value: None, ..input };
    let error = rig.accumulator.append(&rig.topic, input, &mut None, rig.now, || 0).unwrap_err();
    assert!(matches!(error, ClientError::UnknownPartition { partition: 2, partitions: 2, .. }));
}

#[test]
fn epochs_that_are_used_up_ask_for_a_new_producer_id() {
    let mut rig = Rig::new(limits(), 1);
    rig.accumulator.identify(Identity { producer_id: 70, producer_epoch: i16::MAX - 1 });
    rig.push(0, "a");
    rig.pass(5);
    let batch = rig.sent();
    rig.answer(batch, refused(ErrorCode::UnknownProducerId));
    rig.pass(1_000);
    assert!(rig.drain().needs_identity && rig.accumulator.needs_identity());
    rig.accumulator.identify(Identity { producer_id: 71, producer_epoch: 0 });
    assert_eq!(place(&rig.sent()), (0, 0));
}

/// One partition of a broker, by Kafka's rules: the sequences of the last five batches are remembered.
#[derive(Default)]
struct Log {
    values: Vec<String>,
    producer: Option<(i64, i16)>,
    next_sequence: i32,
    recent: VecDeque<(i32, i64)>,
}

impl Log {
    fn append(&mut self, bytes: &[u8]) -> Verdict {
        let batch = BatchView::new(bytes).unwrap();
        batch.check_crc().unwrap();
        let producer = (batch.producer_id(), batch.producer_epoch());
        if self.producer != Some(producer) {
            let fenced = self.producer.is_some_and(|(id, epoch)| id == producer.0 && producer.1 < epoch);
            if fenced {
                return refused(ErrorCode::InvalidProducerEpoch);
            }
            if batch.base_sequence() != 0 {
                return refused(ErrorCode::OutOfOrderSequenceNumber);
            }
            self.producer = Some(producer);
            self.next_sequence = 0;
            self.recent.clear();
        }
        if let Some((_, offset)) = self.recent.iter().find(|(sequence, _)| *sequence == batch.base_sequence()) {
            return written(*offset);
        }
        if batch.base_sequence() != self.next_sequence {
            return refused(ErrorCode::OutOfOrderSequenceNumber);
        }
        let offset = self.values.len() as i64;
        for record in batch.records(&DecompressLimits::default()).unwrap().iter() {
            self.values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
        self.recent.push_back((batch.base_sequence(), offset));
        if self.recent.len() > 5 {
            self.recent.pop_front();
        }
        self.next_sequence = Sequence(self.next_sequence).plus(batch.record_count()).0;
        written(offset)
    }
}

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// The connection is lost before the broker has it; with it all that is out behind.
    LostBefore,
    /// … after the broker has it.
    LostAfter,
    /// The broker refuses without looking.
    Refused(ErrorCode),
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::LostBefore),
        1 => Just(Fate::LostAfter),
        1 => Just(Fate::Refused(ErrorCode::NotLeaderOrFollower)),
        1 => Just(Fate::Refused(ErrorCode::NotEnoughReplicas)),
        1 => Just(Fate::Refused(ErrorCode::InvalidRecord)),
        1 => Just(Fate::Refused(ErrorCode::MessageTooLarge)),
    ]
}

/// Sends `records` to `partitions`, handling requests in order but answering them late, by `fates`; afterwards all goes well.
fn history(records: usize, partitions: i32, window: usize, fates: &[Fate], idempotent: bool) {
    let mut rig = Rig::new(Limits { idempotent, in_flight_requests_max: window, ..limits() }, partitions as usize);
    let mut logs: HashMap<i32, Log> = HashMap::new();
    let mut deliveries: Vec<(i32, String, Delivery)> = Vec::new();
    // On the connection: handled by the broker (or lost) already, not yet answered.
    let mut wire: VecDeque<Vec<(Batch, Verdict)>> = VecDeque::new();
    let may_be_written_unheard = fates.iter().any(|fate| matches!(fate, Fate::LostAfter));
    let mut fates = fates.iter().copied();
    let mut appended = 0;
    for _ in 0..100_000 {
        if appended < records {
            let partition = appended as i32 % partitions;
            let value = large(&appended.to_string());
            let delivery = rig.append(partition, &value);
            deliveries.push((partition, value, delivery));
            appended += 1;
        }
        rig.pass(7);
        let drained = rig.drain();
        for (_, batches) in drained.requests {
            let fate = fates.next().unwrap_or(Fate::Answered);
            let mut handled = Vec::new();
            for mut batch in batches {
                let verdict = match fate {
                    Fate::LostBefore => lost(),
                    Fate::Refused(code) => refused(code),
                    Fate::Answered | Fate::LostAfter => {
                        let log = logs.entry(batch.partition).or_default();
                        let bytes = batch.seal().unwrap();
                        let answer = if idempotent { log.append(bytes) } else { log.append_unchecked(bytes) };
                        if matches!(fate, Fate::LostAfter) { lost() } else { answer }
                    }
                };
                handled.push((batch, verdict));
            }
            wire.push_back(handled);
            if matches!(fate, Fate::LostBefore | Fate::LostAfter) {
                // Those that were out already are answered; a new connection starts empty.
                while let Some(handled) = wire.pop_front() {
                    answer_all(&mut rig, handled);
                }
            }
        }
        if wire.len() >= window || (appended == records && !wire.is_empty()) {
            let handled = wire.pop_front().unwrap();
            answer_all(&mut rig, handled);
        }
        if appended == records && rig.accumulator.is_empty() {
            break;
        }
    }
    assert!(rig.accumulator.is_empty(), "everything is decided in the end");

    for (partition, value, delivery) in &mut deliveries {
        let log = &logs.entry(*partition).or_default().values;
        match result(delivery).expect("decided") {
            Ok(metadata) => {
                let offset = metadata.offset.expect("known within five batches").0 as usize;
                assert_eq!(log.get(offset), Some(&*value), "it is where it was said to be");
            }
            Err(_) => assert!(may_be_written_unheard || !log.contains(value), "a refused record is not written"),
        }
    }
    for (partition, log) in &logs {
        let order: Vec<&String> = deliveries.iter().filter(|(p, ..)| p == partition).map(|(_, value, _)| value).collect();
        let mut seen = HashSet::new();
        let positions: Vec<usize> = log.values.iter().map(|value| order.iter().position(|o| *o == value).unwrap()).collect();
        if idempotent {
            assert!(positions.is_sorted_by(|a, b| a < b), "in order, none twice: {positions:?}");
        } else {
            // Without idempotence a repeat may write twice; first appearances are in order all the same.
            let first: Vec<usize> = positions.into_iter().filter(|position| seen.insert(*position)).collect();
            assert!(first.is_sorted(), "{first:?}");
        }
    }
}

fn answer_all(rig: &mut Rig, handled: Vec<(Batch, Verdict)>) {
    rig.accumulator.request_done(NODE);
    for (batch, verdict) in handled {
        rig.accumulator.answered(batch, verdict, rig.now);
    }
}

impl Log {
    fn append_unchecked(&mut self, bytes: &[u8]) -> Verdict {
        let offset = self.values.len() as i64;
        for record in BatchView::new(bytes).unwrap().records(&DecompressLimits::default()).unwrap().iter() {
            self.values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
        written(offset)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn idempotent_histories_lose_double_and_reorder_nothing(
        records in 1usize..60, partitions in 1i32..4, window in 1usize..=5, fates in proptest::collection::vec(fates(), 0..60),
    ) {
        history(records, partitions, window, &fates, true);
    }

    #[test]
    fn histories_without_idempotence_keep_the_order(
        records in 1usize..60, partitions in 1i32..4, window in 1usize..=5, fates in proptest::collection::vec(fates(), 0..60),
    ) {
        history(records, partitions, window, &fates, false);
    }
}
