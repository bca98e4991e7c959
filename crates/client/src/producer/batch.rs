//! One batch on its way: records gathered, sealed with a place in the producer's sequence, sent, perhaps sent again.

use std::sync::Arc;
use std::time::Duration;

use ottla_model::TimestampMs;
use ottla_wire::batch::{self, BatchBuilder, BatchView, DecompressLimits, Header};
use ottla_wire::compress::Compression;
use tokio::time::Instant;

use super::outcome::{BatchOutcome, Delivery};
use crate::ClientError;

/// Who an idempotent producer is to the brokers (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
}

/// A batch's place in the order a broker insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) identity: Identity,
    pub(crate) base_sequence: i32,
}

#[derive(Debug)]
enum Payload {
    Open(Box<BatchBuilder>),
    /// Bytes as they go out, with the place written into them.
    Sealed(Vec<u8>, Option<Place>),
}

/// Ids are this far apart, so that the parts of a split batch have ids between it and the next: halved twenty times, the
/// largest batch that `max.request.size` allows is down to single records.
pub(crate) const ID_SPAN: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Batch {
    /// Rises with creation: the order that is kept within a partition.
    pub(crate) id: u64,
    /// Ids from `id` on that are this batch's.
    id_span: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    transactional: bool,
    payload: Payload,
    pub(crate) record_count: u32,
    /// Taken from `buffer.memory`; given back when the batch is done.
    pub(crate) reserved_bytes: u32,
    pub(crate) created: Instant,
    pub(crate) deadline: Instant,
    pub(crate) place: Option<Place>,
    /// How often it was sent and failed.
    pub(crate) failures: u32,
    /// Not sent again before this.
    pub(crate) not_before: Option<Instant>,
    pub(crate) last_error: Option<ClientError>,
    pub(crate) outcome: Arc<BatchOutcome>,
}

/// What a new batch is made with.
#[derive(Clone, Debug)]
pub(crate) struct NewBatch {
    pub(crate) id: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) transactional: bool,
    pub(crate) compression: Compression,
    pub(crate) size_max_bytes: usize,
    pub(crate) reserved_bytes: u32,
    pub(crate) now: Instant,
    pub(crate) delivery_timeout: Duration,
}

impl Batch {
    pub(crate) fn new(new: NewBatch) -> Batch {
        Batch {
            id: new.id,
            id_span: ID_SPAN,
            payload: Payload::Open(Box::new(BatchBuilder::new(new.compression, new.size_max_bytes))),
            record_count: 0,
            reserved_bytes: new.reserved_bytes,
            created: new.now,
            deadline: new.now + new.delivery_timeout,
            place: None,
            failures: 0,
            not_before: None,
            last_error: None,
            outcome: BatchOutcome::new(new.topic.clone(), new.partition),
            topic: new.topic,
            partition: new.partition,
            transactional: new.transactional,
        }
    }

    /// Takes a record if there is room for it. The first always fits.
    pub(crate) fn append(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Option<Delivery> {
        let Payload::Open(builder) = &mut self.payload else { return None };
        builder.append(timestamp.0, key, value, headers).ok()?;
        let index = self.record_count;
        self.record_count += 1;
        Some(self.outcome.delivery(index, timestamp))
    }

    /// Bytes it has, unpacked while it is open.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.payload {
            Payload::Open(builder) => builder.expected_bytes(),
            Payload::Sealed(bytes, _) => bytes.len(),
        }
    }

    /// Packs the records, and writes the place into the header (again, when it is another by now).
    pub(crate) fn seal(&mut self) -> Result<&[u8], ClientError> {
        let broken = |cause: &dyn std::fmt::Display| ClientError::InvalidArgument(format!("the batch cannot be built: {cause}"));
        if let Payload::Open(builder) = &mut self.payload {
            let mut builder = std::mem::replace(&mut **builder, BatchBuilder::new(Compression::None, 0));
            if let Some(place) = self.place {
                builder = builder.producer(place.identity.producer_id, place.identity.producer_epoch, place.base_sequence);
            }
            if self.transactional {
                builder = builder.transactional();
            }
            let bytes = builder.build().map_err(|cause| broken(&cause))?;
            self.payload = Payload::Sealed(bytes, self.place);
        }
        match &mut self.payload {
            Payload::Sealed(bytes, sealed) => {
                if let Some(place) = self.place
                    && *sealed != self.place
                {
                    batch::set_producer(bytes, place.identity.producer_id, place.identity.producer_epoch, place.base_sequence)
                        .map_err(|cause| broken(&cause))?;
                    *sealed = self.place;
                }
                Ok(bytes)
            }
            Payload::Open(_) => Err(broken(&"it is still open")),
        }
    }

    /// The bytes of a batch that [`seal`](Self::seal) has sealed.
    pub(crate) fn sealed(&self) -> Option<&[u8]> {
        match &self.payload {
            Payload::Sealed(bytes, _) => Some(bytes),
            Payload::Open(_) => None,
        }
    }

    /// Cuts a batch that a broker found too large into two. They keep its place between them, as sequences count records.
    /// Gives it back where that cannot be done.
    pub(crate) fn split(mut self, compression: Compression) -> Result<(Batch, Batch), Box<Batch>> {
        let second_from = self.record_count / 2;
        let id_span = self.id_span / 2;
        if second_from == 0 || id_span == 0 {
            return Err(Box::new(self));
        }
        let parts = self.seal().and_then(|bytes| halves(bytes, second_from, compression));
        let Ok([first_bytes, second_bytes]) = parts else { return Err(Box::new(self)) };
        let part = |id: u64, builder: BatchBuilder, record_count: u32, reserved_bytes: u32, place: Option<Place>| Batch {
            id,
            id_span,
            topic: self.topic.clone(),
            partition: self.partition,
            transactional: self.transactional,
            payload: Payload::Open(Box::new(builder)),
            record_count,
            reserved_bytes,
            created: self.created,
            deadline: self.deadline,
            place,
            // Not 0: nothing is added to a batch that was out.
            failures: self.failures.max(1),
            not_before: None,
            last_error: self.last_error.clone(),
            outcome: BatchOutcome::new(self.topic.clone(), self.partition),
        };
        let second_place =
            self.place.map(|place| Place { base_sequence: ottla_model::Sequence(place.base_sequence).plus(second_from as i32).0, ..place });
        let half = self.reserved_bytes / 2;
        let first = part(self.id, first_bytes, second_from, half, self.place);
        let second = part(self.id + id_span, second_bytes, self.record_count - second_from, self.reserved_bytes - half, second_place);
        self.outcome.split(first.outcome.clone(), second_from, second.outcome.clone());
        Ok((first, second))
    }
}

fn halves(bytes: &[u8], second_from: u32, compression: Compression) -> Result<[BatchBuilder; 2], ClientError> {
    let broken = |cause: &dyn std::fmt::Display| ClientError::InvalidArgument(format!("the batch cannot be split: {cause}"));
    let view = BatchView::new(bytes).map_err(|cause| broken(&cause))?;
    let limits = DecompressLimits { unpacked_bytes_max: i32::MAX as usize };
    let records = view.records(&limits).map_err(|cause| broken(&cause))?;
    let mut parts = [BatchBuilder::new(compression, i32::MAX as usize), BatchBuilder::new(compression, i32::MAX as usize)];
    for (index, record) in records.iter().enumerate() {
        let record = record.map_err(|cause| broken(&cause))?;
        let headers: Vec<Header<'_>> = record.headers.clone().collect();
        let [first, second] = &mut parts;
        let part = if (index as u32) < second_from { first } else { second };
        part.append(record.timestamp, record.key, record.value, &headers).map_err(|cause| broken(&cause))?;
    }
    Ok(parts)
}
