//! Batches that are made before the clock starts: of a size, a number of records and a codec.

use std::time::{SystemTime, UNIX_EPOCH};

use ottla_wire::batch::BatchBuilder;
use ottla_wire::compress::Compression;

use crate::PerfError;

/// What every batch of a run is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// Bytes of each value; there are no keys.
    pub record_bytes: usize,
    /// Records of each batch.
    pub records: usize,
    /// How the records are packed.
    pub compression: Compression,
}

impl BatchShape {
    /// One such batch. The values are letters drawn by `seed`: the same for the same seed, and no easier to pack than text.
    pub(crate) fn build(&self, seed: u64) -> Result<Vec<u8>, PerfError> {
        let mut letters = Letters::new(seed);
        let mut value = vec![0; self.record_bytes];
        self.build_of((0..self.records).map(|_| {
            letters.fill(&mut value);
            value.clone()
        }))
    }

    fn build_of(&self, values: impl Iterator<Item = Vec<u8>>) -> Result<Vec<u8>, PerfError> {
        let failed = |cause| PerfError::Batch { records: self.records, record_bytes: self.record_bytes, cause };
        let mut builder = BatchBuilder::new(self.compression, usize::MAX);
        let now = now_ms();
        for value in values {
            if builder.append(now, None, Some(&value), &[]).is_err() {
                let why = "a batch holds no more than 1 GiB".to_owned();
                return Err(PerfError::OutOfBounds { what: "records in a batch", given: self.records as u64, why });
            }
        }
        builder.build().map_err(failed)
    }
}

/// A batch of one record that is not packed.
pub(crate) fn single(value: &[u8]) -> Result<Vec<u8>, PerfError> {
    BatchShape { record_bytes: value.len(), records: 1, compression: Compression::None }.build_of(std::iter::once(value.to_vec()))
}

/// The same from an idempotent producer.
pub(crate) fn single_of_producer(value: &[u8], producer_id: i64, producer_epoch: i16, sequence: i32) -> Result<Vec<u8>, PerfError> {
    let failed = |cause| PerfError::Batch { records: 1, record_bytes: value.len(), cause };
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX).producer(producer_id, producer_epoch, sequence);
    // The first record of a batch is always taken.
    drop(builder.append(now_ms(), None, Some(value), &[]));
    builder.build().map_err(failed)
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Letters without end, the same for the same seed (xorshift64).
pub(crate) struct Letters(u64);

impl Letters {
    pub(crate) fn new(seed: u64) -> Letters {
        // Spread, so that seeds that follow each other have nothing in common; and never 0, which would stay 0.
        Letters(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = b'a' + (self.0 % 26) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_wire::batch::{BatchView, DecompressLimits};

    #[test]
    fn a_batch_is_what_its_shape_says_in_every_codec() {
        for compression in Compression::ALL {
            let shape = BatchShape { record_bytes: 100, records: 50, compression };
            let bytes = shape.build(3).unwrap();
            let batch = BatchView::new(&bytes).unwrap();
            batch.check_crc().unwrap();
            batch.validate_shallow().unwrap();
            assert_eq!(batch.compression().unwrap(), compression);
            let records = batch.records(&DecompressLimits::default()).unwrap();
            records.validate().unwrap();
            let values: Vec<Vec<u8>> = records.iter().map(|record| record.unwrap().value.unwrap().to_vec()).collect();
            assert_eq!(values.len(), 50);
            assert!(values.iter().all(|value| value.len() == 100 && value.iter().all(u8::is_ascii_lowercase)));
            assert_ne!(values[0], values[1], "a batch of one value over and over packs too well");
            let packs = bytes.len() < 50 * 100;
            // Snappy only finds what repeats, and letters at random do not.
            assert!(
                packs || matches!(compression, Compression::None | Compression::Snappy | Compression::Lz4),
                "{compression:?} of letters"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_values_and_another_others() {
        let letters = |seed| {
            let mut bytes = [0; 32];
            Letters::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(letters(1), letters(1));
        assert_ne!(letters(1), letters(2));
        assert_ne!(letters(0), letters(u64::MAX));
    }

    #[test]
    fn a_single_batch_of_a_producer_carries_its_sequence() {
        let bytes = single_of_producer(b"v", 7, 1, 42).unwrap();
        let batch = BatchView::new(&bytes).unwrap();
        batch.check_crc().unwrap();
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence(), batch.record_count()), (7, 1, 42, 1));
    }

    #[test]
    fn an_empty_batch_is_refused_with_its_shape() {
        let error = BatchShape { record_bytes: 5, records: 0, compression: Compression::None }.build(0).unwrap_err();
        assert_eq!(error.to_string(), "a batch of 0 records of 5 bytes cannot be built: a batch needs at least one record");
    }
}
