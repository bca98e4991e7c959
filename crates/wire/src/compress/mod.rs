//! The five compression codecs of record batches, as the Java client frames them.
//!
//! Owns packing and unpacking of whole byte strings, the levels that Kafka's configs name, and the cap on what may be
//! unpacked, whatever the input claims. It knows nothing of batches.
//!
//! | codec | framing | levels |
//! |---|---|---|
//! | gzip | RFC 1952, members may follow each other | `compression.gzip.level` 1..=9 |
//! | snappy | xerial blocks of 32 KiB on write; xerial or one raw block on read | none |
//! | lz4 | LZ4 frames, independent blocks of 64 KiB, no checksum of the content (as Java writes) | `compression.lz4.level` is accepted, see [`Compression::Lz4`] |
//! | zstd | zstd frames | `compression.zstd.level` -131072..=22 |

mod lz4;
mod xerial;
mod zstandard;

use std::fmt;
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How the records of a batch are packed: bits 0 to 2 of its attributes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `gzip`.
    Gzip,
    /// `snappy`.
    Snappy,
    /// `lz4`. The library has the fast compressor only: every level gives what Java writes at its default level, 9;
    /// the slower "high compression" levels give the same here (larger, faster, readable by all).
    Lz4,
    /// `zstd` (KIP-110).
    Zstd,
}

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Compression; 5] = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec of the number in a batch's attributes; `None` where Kafka has none.
    pub const fn from_id(id: u8) -> Option<Compression> {
        match id {
            0 => Some(Compression::None),
            1 => Some(Compression::Gzip),
            2 => Some(Compression::Snappy),
            3 => Some(Compression::Lz4),
            4 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// The number in a batch's attributes.
    pub const fn id(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// The name in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The levels that Kafka's config for this codec takes; `None`: the codec has no levels.
    pub const fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Compression::None | Compression::Snappy => None,
            Compression::Gzip => Some(1..=9),
            Compression::Lz4 => Some(1..=17),
            Compression::Zstd => Some(-131_072..=22),
        }
    }

    /// Kafka's default for the level; `None`: the codec has no levels.
    pub const fn default_level(self) -> Option<i32> {
        match self {
            Compression::None | Compression::Snappy => None,
            // Java's Deflater.DEFAULT_COMPRESSION: zlib takes it for 6.
            Compression::Gzip => Some(-1),
            Compression::Lz4 => Some(9),
            Compression::Zstd => Some(3),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a compression codec: expected none, gzip, snappy, lz4 or zstd")]
pub struct ParseCompressionError(String);

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(name: &str) -> Result<Compression, ParseCompressionError> {
        Compression::ALL.into_iter().find(|codec| codec.name() == name).ok_or_else(|| ParseCompressionError(name.to_owned()))
    }
}

/// Why bytes could not be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// Kafka's config for the codec does not take this level.
    #[error("{codec} has no level {level}")]
    UnknownLevel {
        /// The codec asked for.
        codec: Compression,
        /// The level asked for.
        level: i32,
    },
    /// The codec's library refused.
    #[error("{codec} could not compress: {reason}")]
    Codec {
        /// The codec asked for.
        codec: Compression,
        /// What the library says.
        reason: String,
    },
}

/// Why bytes could not be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// There is more in it than the caller allows.
    #[error("{codec} data unpacks to more than {cap_bytes} bytes")]
    TooLarge {
        /// The codec named.
        codec: Compression,
        /// The caller's cap.
        cap_bytes: usize,
    },
    /// The bytes are not what the codec writes, or they end too early.
    #[error("malformed {codec} data: {reason}")]
    Malformed {
        /// The codec named.
        codec: Compression,
        /// What is wrong with it.
        reason: String,
    },
}

impl DecompressError {
    fn malformed(codec: Compression, reason: impl fmt::Display) -> DecompressError {
        DecompressError::Malformed { codec, reason: reason.to_string() }
    }
}

/// Packs `data` and appends the result to `out`. `level`: one of [`Compression::levels`], or `None` for Kafka's default
/// (which may also be named, see [`Compression::default_level`]); codecs without levels ignore it.
pub fn compress(codec: Compression, level: Option<i32>, data: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
    let level = checked_level(codec, level)?;
    let failed = |e: io::Error| CompressError::Codec { codec, reason: e.to_string() };
    match codec {
        Compression::None => out.extend_from_slice(data),
        Compression::Gzip => {
            let level = u32::try_from(level).map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(out, level);
            encoder.write_all(data).map_err(failed)?;
            encoder.finish().map_err(failed)?;
        }
        Compression::Snappy => xerial::compress(data, out)?,
        Compression::Lz4 => lz4::compress(data, out)?,
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, level).map_err(failed)?;
            // Lets the decoder know how much comes, and the encoder size its window by it.
            encoder.set_pledged_src_size(Some(data.len() as u64)).map_err(failed)?;
            encoder.write_all(data).map_err(failed)?;
            encoder.finish().map_err(failed)?;
        }
    }
    Ok(())
}

fn checked_level(codec: Compression, level: Option<i32>) -> Result<i32, CompressError> {
    let Some((levels, default)) = codec.levels().zip(codec.default_level()) else { return Ok(0) };
    let level = level.unwrap_or(default);
    if level == default || levels.contains(&level) { Ok(level) } else { Err(CompressError::UnknownLevel { codec, level }) }
}

/// Unpacks `data`. The output never grows beyond `cap_bytes`: what would be larger is [`DecompressError::TooLarge`], found
/// when the cap is reached.
pub fn decompress(codec: Compression, data: &[u8], cap_bytes: usize) -> Result<Vec<u8>, DecompressError> {
    if codec != Compression::None && data.is_empty() {
        return Err(DecompressError::malformed(codec, "no bytes at all"));
    }
    let mut out = Output { bytes: Vec::new(), codec, cap_bytes };
    match codec {
        Compression::None => out.extend(data)?,
        Compression::Gzip => out.read_all(flate2::read::MultiGzDecoder::new(data), data.len())?,
        Compression::Snappy => xerial::decompress(data, &mut out)?,
        Compression::Lz4 => lz4::decompress(data, &mut out)?,
        Compression::Zstd => zstandard::decompress(data, &mut out)?,
    }
    Ok(out.bytes)
}

/// Unpacked bytes that never grow over the cap.
struct Output {
    bytes: Vec<u8>,
    codec: Compression,
    cap_bytes: usize,
}

impl Output {
    fn too_large(&self) -> DecompressError {
        DecompressError::TooLarge { codec: self.codec, cap_bytes: self.cap_bytes }
    }

    fn malformed(&self, reason: impl fmt::Display) -> DecompressError {
        DecompressError::malformed(self.codec, reason)
    }

    /// What may still be added.
    fn room(&self) -> usize {
        self.cap_bytes.saturating_sub(self.bytes.len())
    }

    /// Makes sure that `more` bytes fit. The output grows by doubling, and when it gets large by a reservation that
    /// goes beyond the cap: pages that are not written to are not there. Allocators keep what is freed for the thread
    /// that freed it, but a block of this size comes from the system and goes back to it.
    fn reserve(&mut self, more: usize) -> Result<(), DecompressError> {
        /// The GNU allocator never keeps a block of more than 32 MiB.
        const RESERVATION_BYTES: usize = 33 << 20;
        const LARGE_BYTES: usize = 1 << 20;
        if more > self.room() {
            return Err(self.too_large());
        }
        let len = self.bytes.len();
        if self.bytes.capacity() - len < more {
            let grow = if len + more > LARGE_BYTES { more.max(RESERVATION_BYTES) } else { more.max(len).min(self.room()) };
            self.bytes.reserve_exact(grow);
        }
        Ok(())
    }

    fn extend(&mut self, data: &[u8]) -> Result<(), DecompressError> {
        self.reserve(data.len())?;
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Appends at most `len` bytes that `fill` writes, which are zero before; `fill` is also given what came before.
    /// The caller has seen to it that `len` is within the room.
    fn append_with<E>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<usize, E>, DecompressError> {
        self.reserve(len)?;
        let before = self.bytes.len();
        self.bytes.resize(before + len, 0);
        let (earlier, new) = self.bytes.split_at_mut(before);
        let filled = fill(earlier, new);
        self.bytes.truncate(before + filled.as_ref().map_or(0, |n| (*n).min(len)));
        Ok(filled)
    }

    fn read_all(&mut self, mut from: impl Read, packed_bytes: usize) -> Result<(), DecompressError> {
        // A first guess at the ratio; from there on by doubling.
        const RATIO_GUESS: usize = 4;
        const STEP_BYTES_MIN: usize = 4 << 10;
        let mut step = packed_bytes.saturating_mul(RATIO_GUESS).max(STEP_BYTES_MIN);
        loop {
            let step_now = step.min(self.room());
            if step_now == 0 {
                // Full to the cap: that is all right if nothing follows.
                return match from.read(&mut [0; 1]) {
                    Ok(0) => Ok(()),
                    Ok(_) => Err(self.too_large()),
                    Err(e) => Err(self.malformed(e)),
                };
            }
            match self.append_with(step_now, |_, new| read_full(&mut from, new))? {
                Ok(n) if n < step_now => return Ok(()),
                Ok(_) => step = self.bytes.len(),
                Err(e) => return Err(self.malformed(e)),
            }
        }
    }
}

/// Reads until `buf` is full or the end.
fn read_full(from: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(free) = buf.get_mut(filled..).filter(|free| !free.is_empty()) {
        match from.read(free) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
