//! Appending: as the leader, which gives out offsets, and as a follower, which keeps them.
//!
//! The leader's way is the hottest of all: one look at the header, one pass for the CRC, one over the records' lengths, then one
//! write of the producer's bytes as they came, but for the first 16. Nothing is copied or allocated for a batch.

use std::io::IoSlice;

use ottla_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use ottla_wire::batch::{BatchView, Batches, DecompressLimits, EndTxnMarker, PATCHED_LEN, TimestampType};

use super::PartitionLog;
use super::validate::{Prepared, prepare};
use crate::error::{AppendError, IoFailure, LogError};
use crate::producer_state::{MayBegin, ProducerBatch, Verdict};
use crate::segment::FileKind;
use crate::txn_index::AbortedTxn;
use crate::verification::VerificationGuard;

/// Who appends to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A client, by Produce. A transactional batch has to be of a transaction that is open here.
    Client,
    /// The same; the coordinator of its transaction has said that it takes part here, and was asked under this guard.
    Verified(VerificationGuard),
    /// The same, where nobody is asked whether a transaction takes part (`transaction.partition.verification.enable`).
    Unverified,
    /// A group, transaction or share coordinator of this broker: needs no sequences, and has asked itself what its transactional
    /// batches need ([`PartitionLog::check_transactional`]).
    Coordinator,
    /// A coordinator that ends a transaction.
    Marker {
        /// Each transaction of the producer has an epoch of its own, and the marker the next one (`transaction.version` 2).
        raises_epoch: bool,
    },
}

impl AppendOrigin {
    /// Whether it is a client's, who is checked more strictly.
    pub(super) const fn is_client(self) -> bool {
        match self {
            AppendOrigin::Client | AppendOrigin::Verified(_) | AppendOrigin::Unverified => true,
            AppendOrigin::Coordinator | AppendOrigin::Marker { .. } => false,
        }
    }

    pub(super) const fn may_begin(self) -> MayBegin {
        match self {
            AppendOrigin::Client => MayBegin::No,
            AppendOrigin::Verified(guard) => MayBegin::Under(guard),
            AppendOrigin::Unverified | AppendOrigin::Coordinator | AppendOrigin::Marker { .. } => MayBegin::Unasked,
        }
    }

    const fn raises_epoch(self) -> bool {
        matches!(self, AppendOrigin::Marker { raises_epoch: true })
    }
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The broker's time where the topic has `LogAppendTime`, else -1.
    pub log_append_time: TimestampMs,
    /// It was there already (a producer that sent it again); nothing was written.
    pub duplicate: bool,
    /// Log start offset.
    pub log_start_offset: Offset,
    /// Bytes written.
    pub bytes: u32,
}

/// What is kept of a batch that is about to be written.
#[derive(Clone, Copy)]
struct Note {
    position: u32,
    bytes: u32,
    first: Offset,
    last: Offset,
    max_timestamp: i64,
}

/// The producer's part of a batch, placed at `first`; `None`: it has no producer id, or is a marker.
fn producer_batch(batch: &BatchView<'_>, first: Offset) -> Option<ProducerBatch> {
    (batch.has_producer_id() && !batch.is_control()).then(|| ProducerBatch {
        producer_id: ProducerId(batch.producer_id()),
        producer_epoch: ProducerEpoch(batch.producer_epoch()),
        base_sequence: Sequence(batch.base_sequence()),
        last_sequence: Sequence(batch.last_sequence()),
        first_offset: first,
        last_offset: first.plus(i64::from(batch.last_offset_delta())),
        max_timestamp: batch.max_timestamp(),
        transactional: batch.is_transactional(),
    })
}

/// The end of a transaction that a control batch marks; `None`: it is of another kind.
pub(super) fn marker_of(batch: &BatchView<'_>) -> Result<Option<EndTxnMarker>, AppendError> {
    if !batch.is_control() {
        return Ok(None);
    }
    let records = batch.records(&DecompressLimits::default())?;
    let Some(first) = records.iter().next() else { return Ok(None) };
    EndTxnMarker::read(&first?).map_err(|e| AppendError::InvalidRecord { reason: e.to_string() })
}

impl PartitionLog {
    /// Appends one batch as the leader of `epoch`: gives out offsets. A batch that an idempotent producer sends again is
    /// answered with what it got the first time. Nothing is on stable storage yet: see `durable_end`.
    pub fn append_as_leader(
        &mut self,
        records: &[u8],
        epoch: LeaderEpoch,
        origin: AppendOrigin,
        now: TimestampMs,
    ) -> Result<Appended, AppendError> {
        self.check_in_service()?;
        let Prepared { bytes, log_append_time } = prepare(records, origin, &self.config, now)?;
        let batch = BatchView::new(&bytes)?;
        let first = self.log_end_offset();
        let last = first.plus(i64::from(batch.last_offset_delta()));

        let producer = producer_batch(&batch, first);
        let marker = marker_of(&batch)?;
        match (&producer, &marker) {
            (Some(producer), _) if origin.is_client() => {
                if let Verdict::Duplicate { first_offset, last_offset, timestamp } = self.producers.check(producer, origin.may_begin())? {
                    return Ok(Appended {
                        base_offset: first_offset,
                        last_offset,
                        log_append_time: match self.config.message_timestamp_type {
                            TimestampType::LogAppendTime => TimestampMs(timestamp),
                            TimestampType::CreateTime => TimestampMs::NONE,
                        },
                        duplicate: true,
                        log_start_offset: self.log_start,
                        bytes: 0,
                    });
                }
            }
            (Some(producer), _) => self.producers.check_epoch(producer.producer_id, producer.producer_epoch)?,
            (None, Some(marker)) => {
                let (id, epoch) = (ProducerId(batch.producer_id()), ProducerEpoch(batch.producer_epoch()));
                self.producers.check_marker(id, epoch, marker, origin.raises_epoch())?;
            }
            (None, None) => {}
        }

        let len = bytes.len() as u32;
        self.roll_if_needed(len, last, batch.max_timestamp(), now)?;
        let prefix = batch.patched_prefix(first.0, epoch.0);
        let position = self.write(&[IoSlice::new(&prefix), IoSlice::new(&bytes[PATCHED_LEN..])], len)?;

        self.assign_epoch(epoch, first);
        self.note(Note { position, bytes: len, first, last, max_timestamp: batch.max_timestamp() });
        self.note_producer(&batch, producer, marker, last)?;
        Ok(Appended {
            base_offset: first,
            last_offset: last,
            log_append_time,
            duplicate: false,
            log_start_offset: self.log_start,
            bytes: len,
        })
    }

    /// Appends what a leader sent, as it is: offsets and epochs are kept, and must rise from where the log ends; a compacted leader
    /// has gaps between them. A batch cut off at the end (a Fetch response may have one) is left out.
    pub fn append_as_follower(&mut self, records: &[u8], now: TimestampMs) -> Result<Appended, AppendError> {
        self.check_in_service()?;
        let first = self.log_end_offset();
        let (mut next, mut max_timestamp) = (first, TimestampMs::NONE.0);
        let mut batches = Batches::new(records);
        for batch in &mut batches {
            let batch = batch?;
            batch.check_crc()?;
            // A gap is what compaction left at the leader.
            if batch.base_offset() < next.0 {
                return Err(AppendError::NotDense { expected: next, found: Offset(batch.base_offset()) });
            }
            if batch.last_offset_delta() < 0 || batch.base_offset().checked_add(i64::from(batch.last_offset_delta()) + 1).is_none() {
                let reason = format!("the last offset is {} after {}", batch.last_offset_delta(), batch.base_offset());
                return Err(AppendError::InvalidRecord { reason });
            }
            // Read once before anything is written, so that none of it can fail afterwards.
            marker_of(&batch)?;
            next = Offset(batch.last_offset()).plus(1);
            max_timestamp = max_timestamp.max(batch.max_timestamp());
        }
        let whole = &records[..records.len() - batches.remainder().len()];
        let done = |log: &PartitionLog, bytes| Appended {
            base_offset: first,
            last_offset: Offset(next.0 - 1),
            log_append_time: TimestampMs::NONE,
            duplicate: false,
            log_start_offset: log.log_start,
            bytes,
        };
        if whole.is_empty() {
            return Ok(done(self, 0));
        }
        if whole.len() > self.config.segment_bytes.max(self.config.max_message_bytes) as usize {
            // A leader's answer may hold more than a segment: batch by batch, each rolls for itself.
            let (mut bytes, mut last) = (0, None);
            for batch in Batches::new(whole) {
                let batch = batch?;
                if batch.length_in_bytes() == whole.len() {
                    last = Some(self.write_followed(whole, batch.max_timestamp(), now)?);
                    break;
                }
                bytes += self.append_as_follower(batch.bytes(), now)?.bytes;
            }
            return Ok(done(self, last.unwrap_or(bytes)));
        }
        let bytes = self.write_followed(whole, max_timestamp, now)?;
        Ok(done(self, bytes))
    }

    /// Writes checked batches of a leader in one piece.
    fn write_followed(&mut self, whole: &[u8], max_timestamp: i64, now: TimestampMs) -> Result<u32, AppendError> {
        let len =
            u32::try_from(whole.len()).map_err(|_| AppendError::LargerThanSegment { bytes: whole.len(), bytes_max: u32::MAX as usize })?;
        let last = Batches::new(whole).filter_map(Result::ok).last().map_or(self.log_end_offset(), |b| Offset(b.last_offset()));
        self.roll_if_needed(len, last, max_timestamp, now)?;
        let mut position = self.write(&[IoSlice::new(whole)], len)?;
        for batch in Batches::new(whole) {
            let batch = batch?;
            let (first, last) = (Offset(batch.base_offset()), Offset(batch.last_offset()));
            let bytes = batch.length_in_bytes() as u32;
            self.assign_epoch(LeaderEpoch(batch.partition_leader_epoch()), first);
            // What compaction left of a batch at the leader has a timestamp, but no record that has it.
            let max_timestamp = if batch.record_count() == 0 { TimestampMs::NONE.0 } else { batch.max_timestamp() };
            self.note(Note { position, bytes, first, last, max_timestamp });
            self.note_producer(&batch, producer_batch(&batch, first), marker_of(&batch)?, last)?;
            position += bytes;
        }
        Ok(len)
    }

    /// Writes at the end of the active segment; gives the position. On failure the file is as it was before.
    fn write(&mut self, slices: &[IoSlice<'_>], len: u32) -> Result<u32, AppendError> {
        let position = self.active().size;
        let file = self.tail.file(self.place(), self.active())?;
        if let Err(source) = file.write_vectored_at(slices, u64::from(position)) {
            let path = FileKind::Log.path(&self.dir, self.active().base);
            // A part of it may be there, and the next append goes to the same place; a shorter one would leave a rest behind it.
            if let Err(e) = file.truncate(u64::from(position)) {
                self.fail(format!("{} could not be cut back after a failed write: {e}", path.display()));
            }
            return Err(IoFailure { doing: "write", path, source }.into());
        }
        let at = self.segments.len() - 1;
        self.segments[at].size += len;
        self.size_bytes += u64::from(len);
        self.sync.wrote(len);
        Ok(position)
    }

    /// Keeps the log end, the indexes and the largest timestamp.
    fn note(&mut self, note: Note) {
        debug_assert!(self.tail.next_offset <= note.first, "offsets rise");
        let segment = &self.segments[self.segments.len() - 1];
        self.tail.note_batch(segment, self.config.index_interval_bytes, note.position, note.bytes, note.last, note.max_timestamp);
        if self.tail.wants_flush() {
            let at = crate::segment::Place { disk: &*self.disk, dir: &self.dir };
            // The records are written; an index that cannot be is only shorter than it could be. What cannot be flushed by
            // the time the segment is closed makes the roll fail, and with it the append that wanted it.
            let _ = self.tail.flush_indexes(at, segment);
        }
    }

    /// Keeps what a written batch says of its producer.
    fn note_producer(
        &mut self,
        batch: &BatchView<'_>,
        producer: Option<ProducerBatch>,
        marker: Option<EndTxnMarker>,
        last: Offset,
    ) -> Result<(), AppendError> {
        if let Some(producer) = producer {
            self.producers.apply(&producer);
        }
        if let Some(marker) = marker {
            let (id, epoch) = (ProducerId(batch.producer_id()), ProducerEpoch(batch.producer_epoch()));
            if let Some(aborted) = self.producers.apply_marker(id, epoch, &marker, last, batch.max_timestamp()) {
                self.note_aborted(aborted)?;
            }
        }
        Ok(())
    }

    /// An aborted transaction goes into the index at once: it is rare, and readers ask for it.
    fn note_aborted(&mut self, aborted: AbortedTxn) -> Result<(), LogError> {
        let base = self.active().base;
        if let Err(e) = self.append_txn_index(base, &[aborted]) {
            // The marker is written, so readers would take the aborted records for good ones.
            self.fail(&e);
            return Err(e.into());
        }
        self.sync.txn_index_changed();
        Ok(())
    }
}
