//! What became of a batch, shared by all who wait for one of its records: one allocation a batch, none a record.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use ottla_model::{Offset, PartitionId, TimestampMs};
use parking_lot::Mutex;

use crate::ClientError;

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition that was chosen.
    pub partition: PartitionId,
    /// Its offset; `None` with `acks=0`, and for a repeated batch whose offset the broker no longer knows.
    pub offset: Option<Offset>,
    /// The record's time: its own, or that of the append where the topic has `message.timestamp.type=LogAppendTime`.
    pub timestamp: TimestampMs,
}

/// The fate of one batch: open, then one of these for good.
#[derive(Debug)]
enum Fate {
    /// Written from this offset on (-1: unknown), at this time if the broker's clock counts (else -1).
    Written {
        base_offset: i64,
        log_append_time_ms: i64,
    },
    Failed(ClientError),
    /// Cut in two, as it was too large; each part has its own fate. The number is the second part's first record.
    Split(Arc<BatchOutcome>, u32, Arc<BatchOutcome>),
}

/// The place where a batch's fate is kept.
#[derive(Debug)]
pub(crate) struct BatchOutcome {
    topic: Arc<str>,
    partition: i32,
    fate: OnceLock<Fate>,
    /// By slot of [`Delivery`]; bounded by the records of the batch.
    waiting: Mutex<Vec<Waker>>,
}

impl BatchOutcome {
    pub(crate) fn new(topic: Arc<str>, partition: i32) -> Arc<BatchOutcome> {
        Arc::new(BatchOutcome { topic, partition, fate: OnceLock::new(), waiting: Mutex::default() })
    }

    pub(crate) fn written(&self, base_offset: i64, log_append_time_ms: i64) {
        self.decide(Fate::Written { base_offset, log_append_time_ms });
    }

    pub(crate) fn failed(&self, error: ClientError) {
        self.decide(Fate::Failed(error));
    }

    pub(crate) fn split(&self, first: Arc<BatchOutcome>, second_from: u32, second: Arc<BatchOutcome>) {
        self.decide(Fate::Split(first, second_from, second));
    }

    /// The first word is the last: what a batch that ran out of time still becomes changes nothing for those told so.
    fn decide(&self, fate: Fate) {
        if self.fate.set(fate).is_ok() {
            for waker in std::mem::take(&mut *self.waiting.lock()) {
                waker.wake();
            }
        }
    }

    /// Whether the fate is decided; if not, `cx` is woken when it is. `slot` is the caller's place among those waiting.
    fn ready_or_wait(&self, slot: &mut Option<usize>, cx: &mut Context<'_>) -> bool {
        if self.fate.get().is_some() {
            return true;
        }
        let mut waiting = self.waiting.lock();
        // Looked at again under the lock: decided in between, nobody would wake this one.
        if self.fate.get().is_some() {
            return true;
        }
        match slot.and_then(|slot| waiting.get_mut(slot)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                *slot = Some(waiting.len());
                waiting.push(cx.waker().clone());
            }
        }
        false
    }

    /// A future for one record.
    pub(crate) fn delivery(self: &Arc<Self>, index: u32, timestamp: TimestampMs) -> Delivery {
        Delivery { outcome: self.clone(), index, timestamp, slot: None }
    }
}

/// The acknowledgement of one record: a future of [`RecordMetadata`]. Dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "a record may fail after it was queued; await this to know"]
pub struct Delivery {
    outcome: Arc<BatchOutcome>,
    index: u32,
    timestamp: TimestampMs,
    slot: Option<usize>,
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = &mut *self;
            if !this.outcome.ready_or_wait(&mut this.slot, cx) {
                return Poll::Pending;
            }
            let outcome = self.outcome.clone();
            match outcome.fate.get() {
                None => {}
                Some(Fate::Failed(error)) => return Poll::Ready(Err(error.clone())),
                Some(Fate::Written { base_offset, log_append_time_ms }) => {
                    return Poll::Ready(Ok(RecordMetadata {
                        topic: outcome.topic.clone(),
                        partition: PartitionId(outcome.partition),
                        offset: (*base_offset >= 0).then(|| Offset(base_offset + i64::from(self.index))),
                        timestamp: if *log_append_time_ms >= 0 { TimestampMs(*log_append_time_ms) } else { self.timestamp },
                    }));
                }
                Some(Fate::Split(first, second_from, second)) => {
                    let (part, index) = if self.index < *second_from { (first, self.index) } else { (second, self.index - second_from) };
                    self.outcome = part.clone();
                    self.index = index;
                    self.slot = None;
                }
            }
        }
    }
}

/// Waits until the fate of a batch is decided, whatever it is; of a split one, until both parts' are.
pub(crate) async fn decided(outcome: Arc<BatchOutcome>) {
    let mut undecided = vec![outcome];
    while let Some(outcome) = undecided.pop() {
        let mut slot = None;
        std::future::poll_fn(|cx| if outcome.ready_or_wait(&mut slot, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        if let Some(Fate::Split(first, _, second)) = outcome.fate.get() {
            undecided.extend([second.clone(), first.clone()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(delivery: &mut Delivery) -> Poll<Result<RecordMetadata, ClientError>> {
        Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn each_record_gets_its_own_offset_from_the_one_fate() {
        let outcome = BatchOutcome::new("t".into(), 3);
        let (mut first, mut third) = (outcome.delivery(0, TimestampMs(7)), outcome.delivery(2, TimestampMs(8)));
        assert!(poll(&mut first).is_pending());
        outcome.written(40, -1);
        outcome.failed(ClientError::Closed("producer"));
        let Poll::Ready(Ok(metadata)) = poll(&mut first) else { panic!("first word is the last") };
        assert_eq!((metadata.offset, metadata.timestamp, metadata.partition), (Some(Offset(40)), TimestampMs(7), PartitionId(3)));
        let Poll::Ready(Ok(metadata)) = poll(&mut third) else { panic!() };
        assert_eq!(metadata.offset, Some(Offset(42)));
    }

    #[test]
    fn records_of_a_split_batch_follow_their_part() {
        let whole = BatchOutcome::new("t".into(), 0);
        let (a, b) = (BatchOutcome::new("t".into(), 0), BatchOutcome::new("t".into(), 0));
        let (mut second, mut third) = (whole.delivery(1, TimestampMs(1)), whole.delivery(2, TimestampMs(1)));
        assert!(poll(&mut third).is_pending());
        whole.split(a.clone(), 2, b.clone());
        assert!(poll(&mut third).is_pending(), "its part is not decided");
        a.written(10, -1);
        b.written(12, 99);
        let Poll::Ready(Ok(metadata)) = poll(&mut second) else { panic!() };
        assert_eq!(metadata.offset, Some(Offset(11)));
        let Poll::Ready(Ok(metadata)) = poll(&mut third) else { panic!() };
        assert_eq!((metadata.offset, metadata.timestamp), (Some(Offset(12)), TimestampMs(99)));
    }

    #[test]
    fn a_future_polled_twice_keeps_one_place_among_those_waiting() {
        let outcome = BatchOutcome::new("t".into(), 0);
        let mut delivery = outcome.delivery(0, TimestampMs(1));
        assert!(poll(&mut delivery).is_pending() && poll(&mut delivery).is_pending());
        assert_eq!(outcome.waiting.lock().len(), 1);
    }
}
