//! The codecs: what is unpacked stays under its cap, whatever the input claims, and what was packed comes out again.
//!
//! An input is taken both for packed bytes and for bytes to be packed.

use ottla_wire::compress::{Compression, DecompressError, compress, decompress};

use crate::corpus::Named;
use crate::memory::bounded;

/// What may come out.
const CAP_BYTES: usize = 64 << 10;
/// While a buffer grows by one step, the one before is still there; and a codec has tables of its own.
const MEMORY_BYTES_MAX: usize = 3 * CAP_BYTES + (256 << 10);

pub(super) fn gzip(input: &[u8]) {
    check(Compression::Gzip, input);
}

pub(super) fn snappy(input: &[u8]) {
    check(Compression::Snappy, input);
}

pub(super) fn lz4(input: &[u8]) {
    check(Compression::Lz4, input);
}

pub(super) fn zstd(input: &[u8]) {
    check(Compression::Zstd, input);
}

fn check(codec: Compression, input: &[u8]) {
    match bounded(MEMORY_BYTES_MAX, codec.name(), || decompress(codec, input, CAP_BYTES)) {
        Ok(plain) => {
            assert!(plain.len() <= CAP_BYTES, "{codec}: {} bytes came out", plain.len());
            assert_eq!(decompress(codec, input, plain.len()).as_ref(), Ok(&plain), "{codec}: a cap that is just enough");
            if let Some(cap_bytes) = plain.len().checked_sub(1) {
                let error = DecompressError::TooLarge { codec, cap_bytes };
                assert_eq!(decompress(codec, input, cap_bytes), Err(error), "{codec}: a cap that is short by one");
            }
            round_trip(codec, &plain);
        }
        Err(DecompressError::TooLarge { cap_bytes, .. }) => assert_eq!(cap_bytes, CAP_BYTES),
        Err(DecompressError::Malformed { .. }) => {}
    }
    round_trip(codec, input);
}

fn round_trip(codec: Compression, plain: &[u8]) {
    let mut packed = Vec::new();
    compress(codec, None, plain, &mut packed).unwrap_or_else(|e| panic!("{codec}: {e}"));
    assert_eq!(decompress(codec, &packed, plain.len()).as_deref(), Ok(plain), "{codec}");
}

pub(super) fn gzip_seeds() -> Vec<Named> {
    let mut seeds = seeds(Compression::Gzip);
    let members: Vec<u8> = seeds.iter().take(2).flat_map(|(_, bytes)| bytes.clone()).collect();
    seeds.push(("two-members".to_owned(), members));
    seeds
}

pub(super) fn snappy_seeds() -> Vec<Named> {
    let mut seeds = seeds(Compression::Snappy);
    let claims = [
        ("raw-block", &[5, 0x10, b'h', b'e', b'l', b'l', b'o'][..]),
        ("raw-block-claims-4-gib", &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
        ("raw-copy-from-before-the-start", &[8, 0, b'a', 0x1d, 9]),
        ("xerial-without-blocks", &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1]),
        ("xerial-block-of-2-gib", &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]),
    ];
    seeds.extend(claims.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    seeds
}

pub(super) fn lz4_seeds() -> Vec<Named> {
    let mut seeds = seeds(Compression::Lz4);
    let claims = [
        ("block-claims-4-mib", &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 2, 0, 0, 0, 0x0f, 0][..]),
        ("skippable-frame", &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
        ("end-mark-only", &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0]),
    ];
    seeds.extend(claims.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    seeds
}

pub(super) fn zstd_seeds() -> Vec<Named> {
    let mut seeds = seeds(Compression::Zstd);
    // A header with a window of `1 << log` bytes, then blocks of 128 KiB of one byte each.
    for log in [17, 23, 27, 31] {
        let blocks = [[0x02, 0x00, 0x10, 0]].repeat(8).concat();
        seeds.push((format!("window-of-2-to-the-{log}"), [&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3], &blocks[..]].concat()));
    }
    seeds.push(("skippable-frame".to_owned(), vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]));
    seeds
}

/// What the codec itself makes of something.
fn seeds(codec: Compression) -> Vec<Named> {
    let text = "the quick brown fox jumps over the lazy dog, ".repeat(12);
    let zeros_over_the_cap = vec![0; CAP_BYTES + 1];
    let blocks: Vec<u8> = (0..40_000u32).map(|i| (i / 7 % 251) as u8).collect();
    let plain = [
        ("nothing", &[][..]),
        ("one-byte", b"x"),
        ("text", text.as_bytes()),
        ("several-blocks", &blocks),
        ("zeros-up-to-the-cap", &zeros_over_the_cap[..CAP_BYTES]),
        ("zeros-over-the-cap", &zeros_over_the_cap),
    ];
    let packed = plain.map(|(name, plain)| {
        let mut packed = Vec::new();
        compress(codec, None, plain, &mut packed).unwrap_or_else(|e| panic!("{codec}: {e}"));
        (name.to_owned(), packed)
    });
    packed.into()
}
