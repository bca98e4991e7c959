//! Snappy as the Java client frames it: the stream format of xerial's `SnappyOutputStream`.
//!
//! A header of 16 bytes (magic, version, oldest version that can read it), then blocks, each a length and a raw snappy
//! block. Clients in other languages may send one raw block without the framing; the magic tells them apart, since no
//! raw block can begin with it.

use super::{CompressError, Compression, DecompressError, Output};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Version, then the oldest version that can read it.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// `SnappyOutputStream`'s default, which Kafka uses.
const BLOCK_BYTES: usize = 32 << 10;
/// The densest snappy element is a copy: 3 bytes that give 64. A block that claims more than this ratio lies, and is
/// found out before memory is spent on it.
const RATIO_MAX: usize = 22;

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
    let failed = |e: snap::Error| CompressError::Codec { codec: Compression::Snappy, reason: e.to_string() };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.resize(start + 4 + snap::raw::max_compress_len(block.len()), 0);
        let (_, new) = out.split_at_mut(start);
        let (len, packed) = new.split_at_mut(4);
        let packed_len = encoder.compress(block, packed).map_err(failed)?;
        // A block of 32 KiB packs to less than 64 KiB.
        len.copy_from_slice(&(packed_len as u32).to_be_bytes());
        out.truncate(start + 4 + packed_len);
    }
    Ok(())
}

pub(super) fn decompress(data: &[u8], out: &mut Output) -> Result<(), DecompressError> {
    let Some(mut rest) = after_header(data) else { return decompress_block(data, out) };
    while !rest.is_empty() {
        // Streams may follow each other, as with xerial's own reader.
        if let Some(next) = after_header(rest) {
            rest = next;
            continue;
        }
        let (block, after) = rest
            .split_first_chunk::<4>()
            .and_then(|(len, after)| after.split_at_checked(u32::from_be_bytes(*len) as usize))
            .ok_or_else(|| out.malformed("a block is longer than the data"))?;
        decompress_block(block, out)?;
        rest = after;
    }
    Ok(())
}

/// What follows the header, if there is one. Its versions are not looked at: xerial has only ever written 1.
fn after_header(data: &[u8]) -> Option<&[u8]> {
    data.strip_prefix(&MAGIC).and_then(|rest| rest.get(VERSIONS.len()..))
}

fn decompress_block(block: &[u8], out: &mut Output) -> Result<(), DecompressError> {
    let len = snap::raw::decompress_len(block).map_err(|e| out.malformed(e))?;
    if len > block.len().saturating_mul(RATIO_MAX) {
        return Err(out.malformed("a block claims to hold more than it can"));
    }
    match out.append_with(len, |_, new| snap::raw::Decoder::new().decompress(block, new))? {
        Ok(_) => Ok(()),
        Err(e) => Err(out.malformed(e)),
    }
}
