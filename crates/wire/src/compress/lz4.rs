//! LZ4 frames (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>) around `lz4_flex`'s blocks.
//!
//! The framing is done here and not by the library, whose reader takes a frame that was cut between two blocks for
//! whole, and sets buffers aside by the block size that the header claims.
//!
//! Written as by Java's `Lz4BlockOutputStream`: independent blocks of 64 KiB, no checksums but the header's (the
//! batch has its CRC). Read: those, and what other clients' libraries may choose: other block sizes, linked blocks,
//! block and content checksums, content size, several frames. Dictionaries and legacy frames: not.

use super::{CompressError, Compression, DecompressError, Output};
use lz4_flex::block::{self, DecompressError as BlockError};
use twox_hash::XxHash32;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const END_MARK: [u8; 4] = [0; 4];

const FLG_VERSION_MASK: u8 = 0b1100_0000;
const FLG_VERSION_1: u8 = 0b0100_0000;
const FLG_INDEPENDENT: u8 = 0b0010_0000;
const FLG_BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const FLG_CONTENT_SIZE: u8 = 0b0000_1000;
const FLG_CONTENT_CHECKSUM: u8 = 0b0000_0100;
const FLG_RESERVED: u8 = 0b0000_0010;
const FLG_DICTIONARY: u8 = 0b0000_0001;

/// Bits 4 to 6: code `c` stands for `1 << (8 + 2 c)` bytes.
const BD_RESERVED: u8 = 0b1000_1111;
const BD_64_KIB: u8 = 4 << 4;
const BLOCK_BYTES: usize = 64 << 10;

/// Set in a block's length: the block is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a linked block may reach.
const WINDOW_BYTES: usize = 64 << 10;
/// No byte of a block gives more than 255 bytes.
const RATIO_MAX: usize = 255;

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
    let descriptor = [FLG_VERSION_1 | FLG_INDEPENDENT, BD_64_KIB];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&descriptor);
    out.push(header_checksum(&descriptor));
    for chunk in data.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.resize(start + 4 + block::get_maximum_output_size(chunk.len()), 0);
        let (_, new) = out.split_at_mut(start);
        let (len, packed) = new.split_at_mut(4);
        let packed_len =
            block::compress_into(chunk, packed).map_err(|e| CompressError::Codec { codec: Compression::Lz4, reason: e.to_string() })?;
        if packed_len < chunk.len() {
            len.copy_from_slice(&(packed_len as u32).to_le_bytes());
            out.truncate(start + 4 + packed_len);
        } else {
            len.copy_from_slice(&(chunk.len() as u32 | STORED).to_le_bytes());
            out.truncate(start + 4);
            out.extend_from_slice(chunk);
        }
    }
    out.extend_from_slice(&END_MARK);
    Ok(())
}

pub(super) fn decompress(data: &[u8], out: &mut Output) -> Result<(), DecompressError> {
    let mut rest = data;
    while !rest.is_empty() {
        rest = decompress_frame(rest, out)?;
    }
    Ok(())
}

/// Unpacks one frame and gives what follows it.
fn decompress_frame<'a>(data: &'a [u8], out: &mut Output) -> Result<&'a [u8], DecompressError> {
    let (frame, mut rest) = Frame::read(data).map_err(|reason| out.malformed(reason))?;
    let start = out.bytes.len();
    let cut = "the frame ends too early";
    loop {
        let (word, after) = rest.split_first_chunk::<4>().ok_or_else(|| out.malformed(cut))?;
        rest = after;
        if *word == END_MARK {
            break;
        }
        let word = u32::from_le_bytes(*word);
        let (block, after) = rest.split_at_checked((word & !STORED) as usize).ok_or_else(|| out.malformed(cut))?;
        rest = after;
        if block.len() > frame.block_bytes_max {
            return Err(out.malformed("a block is larger than the frame allows"));
        }
        if frame.block_checksums {
            rest = check(block, rest).map_err(|reason| out.malformed(reason))?;
        }
        if word & STORED != 0 {
            out.extend(block)?;
        } else {
            frame.unpack_block(block, start, out)?;
        }
    }
    let content = out.bytes.get(start..).unwrap_or_default();
    if frame.content_size.is_some_and(|size| size != content.len() as u64) {
        return Err(out.malformed("the content is not as long as the frame says"));
    }
    if frame.content_checksum {
        rest = check(content, rest).map_err(|reason| out.malformed(reason))?;
    }
    Ok(rest)
}

/// What a frame's header says.
struct Frame {
    block_bytes_max: usize,
    independent: bool,
    block_checksums: bool,
    content_size: Option<u64>,
    content_checksum: bool,
}

impl Frame {
    fn read(data: &[u8]) -> Result<(Frame, &[u8]), &'static str> {
        let cut = "the frame's header ends too early";
        let descriptor = data.strip_prefix(&MAGIC).ok_or("no LZ4 frame")?;
        let &[flg, bd] = descriptor.first_chunk::<2>().ok_or(cut)?;
        if flg & FLG_VERSION_MASK != FLG_VERSION_1 || flg & FLG_RESERVED != 0 || bd & BD_RESERVED != 0 {
            return Err("an unknown version of the frame format");
        }
        if flg & FLG_DICTIONARY != 0 {
            return Err("dictionaries are not supported");
        }
        let block_bytes_max = match bd >> 4 {
            code @ 4..=7 => 1 << (8 + 2 * code),
            _ => return Err("an unknown block size"),
        };
        let content_size = if flg & FLG_CONTENT_SIZE == 0 {
            None
        } else {
            let size = descriptor.get(2..).and_then(|rest| rest.first_chunk::<8>()).ok_or(cut)?;
            Some(u64::from_le_bytes(*size))
        };
        let len = if content_size.is_some() { 10 } else { 2 };
        let (descriptor, rest) = descriptor.split_at_checked(len).ok_or(cut)?;
        let (checksum, rest) = rest.split_first().ok_or(cut)?;
        if *checksum != header_checksum(descriptor) {
            return Err("the header's checksum does not match");
        }
        let frame = Frame {
            block_bytes_max,
            independent: flg & FLG_INDEPENDENT != 0,
            block_checksums: flg & FLG_BLOCK_CHECKSUMS != 0,
            content_size,
            content_checksum: flg & FLG_CONTENT_CHECKSUM != 0,
        };
        Ok((frame, rest))
    }

    fn unpack_block(&self, packed: &[u8], frame_start: usize, out: &mut Output) -> Result<(), DecompressError> {
        let bytes_max = self.block_bytes_max.min(packed.len().saturating_mul(RATIO_MAX));
        let room = out.room();
        let unpacked = out.append_with(bytes_max.min(room), |earlier, new| {
            if self.independent {
                return block::decompress_into(packed, new);
            }
            let window_start = frame_start.max(earlier.len().saturating_sub(WINDOW_BYTES));
            block::decompress_into_with_dict(packed, new, earlier.get(window_start..).unwrap_or_default())
        })?;
        match unpacked {
            Ok(_) => Ok(()),
            Err(BlockError::OutputTooSmall { .. }) if room < bytes_max => Err(out.too_large()),
            Err(e) => Err(out.malformed(e)),
        }
    }
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    // The format takes the second byte of the hash.
    (XxHash32::oneshot(0, descriptor) >> 8) as u8
}

/// Checks `data` against the checksum that `rest` begins with; gives what follows it.
fn check<'a>(data: &[u8], rest: &'a [u8]) -> Result<&'a [u8], &'static str> {
    let (expected, rest) = rest.split_first_chunk::<4>().ok_or("the frame ends too early")?;
    if u32::from_le_bytes(*expected) == XxHash32::oneshot(0, data) { Ok(rest) } else { Err("a checksum does not match") }
}
