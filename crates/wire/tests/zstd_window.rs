//! What a zstd frame claims for its window costs no memory. Alone in its process: it is the process that is measured.

use ottla_wire::compress::{Compression, compress, decompress};

/// Address space that a window of 128 MiB would exceed by far, and an output of 1 MiB with what the library keeps not.
const GROWTH_MAX_KIB: u64 = 16 << 10;

/// The most address space that this process has had so far. (What is reserved and not touched is not resident.)
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).expect("Linux tells the peak");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number of kB")
}

#[test]
#[cfg(target_os = "linux")]
fn a_claimed_window_is_not_reserved() {
    // One that claims little, so that whatever is set up once is there.
    let mut small = Vec::new();
    compress(Compression::Zstd, None, &[7; 1 << 20], &mut small).expect("it can be packed");
    assert_eq!(decompress(Compression::Zstd, &small, 1 << 20).map(|d| d.len()), Ok(1 << 20));
    let before = peak_kib();
    // A window of 128 MiB, then the last block: four bytes, given as they are.
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0, (27 - 10) << 3][..], &[4 << 3 | 1, 0, 0], b"data"].concat();
    for cap_bytes in [4, 1 << 20, 64 << 20] {
        assert_eq!(decompress(Compression::Zstd, &frame, cap_bytes).as_deref(), Ok(&b"data"[..]));
    }
    let grown = peak_kib() - before;
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB of address space for four bytes");
}
