//! Unpacking compressed batches within what a broker may spend on it, whoever sent them (P4).
//!
//! A batch of 1 MiB may unpack to gigabytes. Ordinary ones are unpacked wherever they are met; those that turn out
//! large wait for each other, so that memory is bounded for the process and not by thread.

use ottla_wire::batch::{BatchError, BatchView, DecompressLimits, RecordSet};
use ottla_wire::compress::DecompressError;
use parking_lot::Mutex;

use crate::config::LogConfig;

/// What any thread may unpack at any time. Producers fill batches of 16 KiB by default, of a few 100 KiB when tuned.
const ORDINARY_BYTES_MAX: usize = 1 << 20;
/// What a batch may unpack to in any topic ...
const UNPACKED_BYTES_MIN: usize = 16 << 20;
/// ... and where `max.message.bytes` allows more than 1 MiB: as many times that.
const RATIO_MAX: usize = 16;

/// Held while a batch beyond [`ORDINARY_BYTES_MAX`] is in memory.
static LARGE: Mutex<()> = Mutex::new(());

/// What a batch of this topic may unpack to, in bytes.
fn unpacked_bytes_max(config: &LogConfig) -> usize {
    (config.max_message_bytes as usize).saturating_mul(RATIO_MAX).max(UNPACKED_BYTES_MIN)
}

/// Gives the records of a batch to `look`, unpacked where they are compressed.
pub(crate) fn with_records<T, E: From<BatchError>>(
    batch: &BatchView<'_>,
    config: &LogConfig,
    look: impl FnOnce(&RecordSet<'_>) -> Result<T, E>,
) -> Result<T, E> {
    match batch.records(&DecompressLimits { unpacked_bytes_max: ORDINARY_BYTES_MAX }) {
        Err(BatchError::Decompress(DecompressError::TooLarge { .. })) => {
            let _turn = LARGE.lock();
            look(&batch.records(&DecompressLimits { unpacked_bytes_max: unpacked_bytes_max(config) })?)
        }
        records => look(&records?),
    }
}

#[cfg(test)]
mod tests {
    use ottla_wire::batch::BatchBuilder;
    use ottla_wire::compress::Compression;

    use super::*;

    /// How much unpacks out of a batch with one value of so many zeros.
    fn unpacked(value_bytes: usize, config: &LogConfig) -> Result<usize, BatchError> {
        let mut builder = BatchBuilder::new(Compression::Zstd, usize::MAX);
        builder.append(0, None, Some(&vec![0; value_bytes]), &[]).unwrap();
        let bytes = builder.build().unwrap();
        with_records(&BatchView::new(&bytes).unwrap(), config, |records| Ok(records.unpacked_bytes().len()))
    }

    #[test]
    fn a_batch_may_unpack_to_so_many_times_what_the_topic_takes_packed() {
        let too_large = |cap_bytes| Err(BatchError::Decompress(DecompressError::TooLarge { codec: Compression::Zstd, cap_bytes }));
        let small = LogConfig { max_message_bytes: 1000, ..Default::default() };
        for value_bytes in [10, ORDINARY_BYTES_MAX, UNPACKED_BYTES_MIN - 100] {
            assert!(unpacked(value_bytes, &small).unwrap() > value_bytes);
        }
        assert_eq!(unpacked(UNPACKED_BYTES_MIN, &small), too_large(UNPACKED_BYTES_MIN));
        let large = LogConfig { max_message_bytes: 2 << 20, ..Default::default() };
        assert!(unpacked(UNPACKED_BYTES_MIN, &large).is_ok());
        assert_eq!(unpacked(RATIO_MAX * (2 << 20), &large), too_large(RATIO_MAX * (2 << 20)));
    }
}
