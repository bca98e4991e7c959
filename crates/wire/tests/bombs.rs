//! What unpacks to far more than it may stops at the cap, and memory with it.
//!
//! Alone in its binary, because it counts what the whole process allocates.

use ottla_wire::batch::{BatchBuilder, BatchError, BatchView, DecompressLimits};
use ottla_wire::compress::{Compression, DecompressError, compress, decompress};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Counts the bytes that are allocated, and the most that ever were since the last reset.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator; the counters beside it touch no memory of its.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), SeqCst) + layout.size();
        PEAK.fetch_max(now, SeqCst);
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was allocated at a time while `work` ran, over what was before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(SeqCst);
    PEAK.store(before, SeqCst);
    let result = work();
    (result, PEAK.load(SeqCst) - before)
}

/// Room for a codec's own tables (zlib's window, say). zstd's are the C allocator's, and not counted.
const TABLES_BYTES: usize = 256 << 10;

// One test, so that no other runs beside it and is counted along.
#[test]
fn a_bomb_costs_no_more_memory_than_the_cap() {
    const CAP_BYTES: usize = 1 << 20;
    let zeros = vec![0; 64 << 20];
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut bomb = Vec::new();
        compress(codec, None, &zeros, &mut bomb).unwrap();
        let (unpacked, peak) = peak_of(|| decompress(codec, &bomb, CAP_BYTES));
        assert_eq!(unpacked, Err(DecompressError::TooLarge { codec, cap_bytes: CAP_BYTES }));
        // While a buffer grows by one more step, the one before is still there.
        assert!(peak <= 2 * CAP_BYTES + TABLES_BYTES, "{codec}: {peak} bytes for a cap of {CAP_BYTES}");

        let mut builder = BatchBuilder::new(codec, usize::MAX);
        builder.append(0, None, Some(&zeros), &[]).unwrap();
        let batch = builder.build().unwrap();
        let batch = BatchView::new(&batch).unwrap();
        batch.check_crc().unwrap();
        batch.validate_shallow().unwrap();
        let limits = DecompressLimits { unpacked_bytes_max: CAP_BYTES };
        let (records, peak) = peak_of(|| batch.records(&limits).map(|_| ()));
        assert_eq!(records, Err(BatchError::Decompress(DecompressError::TooLarge { codec, cap_bytes: CAP_BYTES })));
        assert!(peak <= 2 * CAP_BYTES + TABLES_BYTES, "{codec}: {peak} bytes for a cap of {CAP_BYTES}");
    }

    // Headers that claim much and hold little.
    let lz4_claims_4_mib = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 2, 0, 0, 0, 0x0f, 0];
    let snappy_claims_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
    for (codec, bytes) in [(Compression::Lz4, &lz4_claims_4_mib[..]), (Compression::Snappy, &snappy_claims_4_gib[..])] {
        let (unpacked, peak) = peak_of(|| decompress(codec, bytes, 1 << 30));
        assert!(matches!(unpacked, Err(DecompressError::Malformed { .. })), "{unpacked:?}");
        assert!(peak < 64 << 10, "{codec}: {peak} bytes for {} of input", bytes.len());
    }

    // A walk over records, whatever they claim, allocates nothing.
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    for i in 0..1000 {
        builder.append(i, Some(b"key"), Some(&[1; 100]), &[]).unwrap();
    }
    let batch = builder.build().unwrap();
    let (summary, peak) = peak_of(|| {
        let batch = BatchView::new(&batch).unwrap();
        batch.check_crc().unwrap();
        batch.validate_shallow().unwrap();
        batch.validate_records().unwrap()
    });
    assert_eq!(summary.map(|s| s.max_timestamp), Some(999));
    assert_eq!(peak, 0);
}
