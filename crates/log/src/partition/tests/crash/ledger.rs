//! What a log has promised, and what it may be found to be after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset};
use ottla_wire::batch::{BatchView, DecompressLimits, EndTxnMarker, TxnResult};

/// A batch as it stands in the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    pub base: Offset,
    pub end: Offset,
    pub bytes: Vec<u8>,
}

impl Batch {
    /// A batch as the producer sent it, placed at an offset by the leader of an epoch.
    pub fn placed(mut bytes: Vec<u8>, base: Offset, epoch: LeaderEpoch) -> Arc<Batch> {
        bytes[..8].copy_from_slice(&base.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&epoch.0.to_be_bytes());
        let end = Offset(BatchView::new(&bytes).unwrap().last_offset() + 1);
        Arc::new(Batch { base, end, bytes })
    }

    /// As the producer sent it.
    pub fn sent(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[..8].fill(0);
        bytes
    }

    pub fn epoch(&self) -> LeaderEpoch {
        LeaderEpoch(i32::from_be_bytes(self.bytes[12..16].try_into().unwrap()))
    }
}

/// All batches since offset 0, those that were deleted included.
pub type Content = Vec<Arc<Batch>>;

pub fn end_of(content: &[Arc<Batch>]) -> Offset {
    content.last().map_or(Offset(0), |batch| batch.end)
}

/// A number that is replaced on disk: what it is known to be, and what it may have become since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub known: Option<Offset>,
    pub in_flight: Vec<Offset>,
}

impl Stored {
    pub fn begin(&mut self, value: Offset) {
        self.in_flight.push(value);
    }

    pub fn done(&mut self) {
        self.known = self.in_flight.pop();
        self.in_flight.clear();
    }

    pub fn allows(&self, found: Option<Offset>) -> bool {
        found == self.known || found.is_some_and(|found| self.in_flight.contains(&found))
    }
}

/// The promises of one life of a log.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The log was made and synced.
    pub created: bool,
    /// What was appended and acknowledged.
    pub current: Content,
    /// What is about to be appended.
    pub in_flight: Content,
    /// What the log was before cuts that are not known to be on stable storage.
    pub earlier: Vec<Content>,
    /// All below it was said to be durable.
    pub durable: Offset,
    /// The least and the largest that the log start may be.
    pub start: Offset,
    pub start_max: Offset,
    pub recovery_point: Stored,
    pub high_watermark: Stored,
    pub log_start: Stored,
    /// The log was cut, and the recovery point is not lowered yet.
    pub is_cutting: bool,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger {
            created: false,
            current: Content::new(),
            in_flight: Content::new(),
            earlier: Vec::new(),
            durable: Offset(0),
            start: Offset(0),
            start_max: Offset(0),
            recovery_point: Stored::default(),
            high_watermark: Stored::default(),
            log_start: Stored::default(),
            is_cutting: false,
        }
    }
}

impl Ledger {
    /// What the log may be found to be, each up to some batch.
    pub fn candidates(&self) -> Vec<Content> {
        let with_next = self.current.iter().chain(&self.in_flight).cloned().collect();
        std::iter::once(with_next).chain(self.earlier.iter().rev().cloned()).collect()
    }

    /// What was in flight is in the log.
    pub fn taken(&mut self) {
        let taken = std::mem::take(&mut self.in_flight);
        self.current.extend(taken);
    }

    /// The log is about to be cut to `to`: what is beyond is promised to nobody any more.
    pub fn begin_cut(&mut self, to: Offset) {
        self.earlier.push(self.current.clone());
        self.current.retain(|batch| batch.end <= to);
        self.durable = self.durable.min(end_of(&self.current));
        self.is_cutting = true;
    }
}

/// What the batches of a log say of its producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    pub known: BTreeMap<i64, Producer>,
    /// Producer, first offset, marker.
    pub aborted: Vec<(i64, Offset, Offset)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    pub next_sequence: i32,
    pub open_since: Option<Offset>,
    pub last: Option<Arc<Batch>>,
}

impl Producers {
    pub fn of(content: &[Arc<Batch>]) -> Producers {
        let mut producers = Producers::default();
        content.iter().for_each(|batch| producers.take_in(batch));
        producers
    }

    fn take_in(&mut self, batch: &Arc<Batch>) {
        let view = BatchView::new(&batch.bytes).unwrap();
        if !view.has_producer_id() {
            return;
        }
        let producer = self.known.entry(view.producer_id()).or_default();
        if view.is_control() {
            let records = view.records(&DecompressLimits::default()).unwrap();
            let marker = EndTxnMarker::read(&records.iter().next().unwrap().unwrap()).unwrap().unwrap();
            if let (Some(first), TxnResult::Abort) = (producer.open_since.take(), marker.result) {
                self.aborted.push((view.producer_id(), first, batch.base));
            }
            return;
        }
        producer.next_sequence = view.base_sequence() + view.last_offset_delta() + 1;
        producer.last = Some(Arc::clone(batch));
        if view.is_transactional() && producer.open_since.is_none() {
            producer.open_since = Some(batch.base);
        }
    }
}
