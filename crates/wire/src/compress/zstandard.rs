//! Unpacking zstd frames, whatever window they claim.
//!
//! A frame's header says how far back it may refer. Whoever unpacks it piece by piece has to keep that much aside, and
//! a header of six bytes may say 128 MiB. It need not be hostile: Java's producer writes as much at level 22, however
//! small the batch, since it does not know the size beforehand. So windows of the usual size are unpacked piece by
//! piece, and frames that claim more in one piece: what came before lies in the output then, and nothing else is kept.

use zstd::bulk::Decompressor;
use zstd::stream::read::Decoder;
use zstd::zstd_safe::get_error_name;

use super::{DecompressError, Output};

/// 2 MiB: what the default level needs.
const WINDOW_LOG_MAX: u32 = 21;
/// The smallest window that the library can be held to.
const WINDOW_LOG_MIN: u32 = 10;

/// `ZSTD_error_frameParameter_windowTooLarge`, one of the library's stable error numbers.
const WINDOW_TOO_LARGE: usize = 16;
/// `ZSTD_error_dstSize_tooSmall`, likewise.
const OUTPUT_TOO_SMALL: usize = 70;

/// The first try at the size of what is unpacked in one piece; from there on by doubling.
const RATIO_GUESS: usize = 4;
const STEP_BYTES_MIN: usize = 64 << 10;

pub(super) fn decompress(data: &[u8], out: &mut Output) -> Result<(), DecompressError> {
    // No more aside than the caller takes of the output.
    let window_log = out.cap_bytes.max(1).ilog2().clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX);
    let mut decoder = Decoder::with_buffer(data).map_err(|e| out.malformed(e))?;
    decoder.window_log_max(window_log).map_err(|e| out.malformed(e))?;
    match out.read_all(decoder, data.len()) {
        Err(DecompressError::Malformed { reason, .. }) if is(&reason, WINDOW_TOO_LARGE) => decompress_whole(data, out),
        done => done,
    }
}

/// Unpacks all frames in one piece, within the cap. What is unpacked more than once is less than what comes out.
fn decompress_whole(data: &[u8], out: &mut Output) -> Result<(), DecompressError> {
    out.bytes.clear();
    let mut decoder = Decompressor::new().map_err(|e| out.malformed(e))?;
    let mut size = data.len().saturating_mul(RATIO_GUESS).max(STEP_BYTES_MIN).min(out.cap_bytes);
    loop {
        match out.append_with(size, |_, new| decoder.decompress_to_buffer(data, new))? {
            Ok(_) => return Ok(()),
            Err(e) if !is(&e.to_string(), OUTPUT_TOO_SMALL) => return Err(out.malformed(e)),
            Err(_) if size == out.cap_bytes => return Err(out.too_large()),
            Err(_) => size = size.saturating_mul(2).min(out.cap_bytes),
        }
    }
}

/// Whether this is the library's text for its error: all that is left of the number.
fn is(reason: &str, error: usize) -> bool {
    reason == get_error_name(error.wrapping_neg())
}
