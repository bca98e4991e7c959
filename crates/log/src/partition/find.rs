//! Offsets by timestamp (ListOffsets): through the time index to a batch, and in it to the record.

use ottla_model::{LeaderEpoch, Offset, TimestampMs};
use ottla_wire::batch::{BatchError, BatchView, Record};

use super::PartitionLog;
use super::unpack::with_records;
use crate::error::{IoFailure, ReadError};
use crate::index::TimeEntry;
use crate::scan::Placed;
use crate::segment::FileKind;

/// A record that was looked for by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// The epoch in which it was written.
    pub leader_epoch: LeaderEpoch,
}

impl PartitionLog {
    /// The first record below `upto` whose timestamp is not before `timestamp`.
    pub fn offset_for_timestamp(&self, timestamp: TimestampMs, upto: Offset) -> Result<Option<FoundOffset>, ReadError> {
        for at in self.segment_of(self.log_start).unwrap_or(0)..self.segments.len() {
            if self.segments[at].base >= upto {
                break;
            }
            if self.largest_timestamp(at)?.timestamp < timestamp.0 {
                continue;
            }
            if let Some(found) = self.find_timestamp_in(at, timestamp, upto)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp (KIP-734), the first of several; `None` in a log without timestamps.
    pub fn offset_of_max_timestamp(&self) -> Result<Option<FoundOffset>, ReadError> {
        let mut best: Option<(i64, usize)> = None;
        for at in 0..self.segments.len() {
            let largest = self.largest_timestamp(at)?.timestamp;
            if largest >= 0 && best.is_none_or(|(before, _)| largest > before) {
                best = Some((largest, at));
            }
        }
        match best {
            Some((timestamp, at)) => self.find_timestamp_in(at, TimestampMs(timestamp), self.log_end_offset()),
            None => Ok(None),
        }
    }

    /// A segment's largest timestamp, and the last offset of the batch that has it.
    pub(super) fn largest_timestamp(&self, at: usize) -> Result<TimeEntry, ReadError> {
        if at + 1 == self.segments.len() {
            return Ok(self.tail.largest);
        }
        let segment = &self.segments[at];
        if let Some(known) = segment.largest.get() {
            return Ok(*known);
        }
        // The last entry was made when the segment was closed.
        let largest = match segment.last_entry_where::<TimeEntry>(self.place(), FileKind::TimeIndex, None, 1.0, |_| true)? {
            Some(entry) => entry,
            None => self.largest_by_headers(at)?,
        };
        Ok(*segment.largest.get_or_init(|| largest))
    }

    fn largest_by_headers(&self, at: usize) -> Result<TimeEntry, ReadError> {
        let segment = &self.segments[at];
        let mut largest = TimeEntry { timestamp: TimestampMs::NONE.0, relative: 0 };
        self.walk(at, 0, segment.size, |placed| {
            if placed.header.records_max_timestamp() > largest.timestamp {
                let relative = segment.relative(placed.header.last_offset());
                largest = TimeEntry { timestamp: placed.header.records_max_timestamp(), relative };
            }
            true
        })?;
        Ok(largest)
    }

    fn find_timestamp_in(&self, at: usize, timestamp: TimestampMs, upto: Offset) -> Result<Option<FoundOffset>, ReadError> {
        let segment = &self.segments[at];
        // No record before the entry's batch is as late as the entry says at most, and that is too early.
        let before = self.last_time_entry_below(at, timestamp)?;
        let from = segment.base.plus(before.map_or(0, |e| i64::from(e.relative))).max(self.log_start);
        let mut position = self.boundary_of(at, from)?.position;
        while position < segment.size {
            let mut candidate = None;
            self.walk(at, position, segment.size, |placed| {
                if placed.header.records_max_timestamp() >= timestamp.0 {
                    candidate = Some(*placed);
                }
                candidate.is_none() && placed.header.next_offset() < upto
            })?;
            let Some(placed) = candidate else { return Ok(None) };
            if placed.header.base_offset >= upto {
                return Ok(None);
            }
            if let Some(found) = self.find_record(at, &placed, timestamp)? {
                return Ok((found.offset < upto).then_some(found));
            }
            position = placed.end();
        }
        Ok(None)
    }

    fn last_time_entry_below(&self, at: usize, timestamp: TimestampMs) -> Result<Option<TimeEntry>, IoFailure> {
        let holds = |e: &TimeEntry| e.timestamp < timestamp.0;
        let mut written = None;
        if at + 1 == self.segments.len() {
            let pending = self.tail.times.pending();
            if let Some(entry) = pending[..pending.partition_point(holds)].last() {
                return Ok(Some(*entry));
            }
            written = Some(self.tail.times.written);
        }
        self.segments[at].last_entry_where(self.place(), FileKind::TimeIndex, written, 0.5, holds)
    }

    /// The first record of a batch that is late enough, and not below the log start.
    fn find_record(&self, at: usize, placed: &Placed, timestamp: TimestampMs) -> Result<Option<FoundOffset>, ReadError> {
        let bytes = self.read_batch(at, placed)?;
        let bad = |e: BatchError| self.damaged(at, placed.position, e.to_string());
        let batch = BatchView::new(&bytes).map_err(bad)?;
        batch.check_crc().map_err(bad)?;
        let late_enough = |record: &Record<'_>| record.timestamp >= timestamp.0 && record.offset >= self.log_start.0;
        let found = with_records(&batch, &self.config, |records| {
            let mut records = records.iter();
            let first = records.find(|record| record.as_ref().map_or(true, late_enough)).transpose()?;
            Ok::<_, BatchError>(first.map(|record| FoundOffset {
                offset: Offset(record.offset),
                timestamp: TimestampMs(record.timestamp),
                leader_epoch: placed.header.leader_epoch,
            }))
        });
        found.map_err(bad)
    }

    /// A whole batch in memory: no more than the segment has, as its header was held against it.
    pub(super) fn read_batch(&self, at: usize, placed: &Placed) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; placed.header.bytes as usize];
        let read = self.log_file(at)?.read_at(&mut bytes, u64::from(placed.position)).map_err(|e| self.read_failure(at, e))?;
        if read < bytes.len() {
            return Err(self.damaged(at, placed.position, format!("{read} of {} bytes of a batch", bytes.len())));
        }
        Ok(bytes)
    }
}
