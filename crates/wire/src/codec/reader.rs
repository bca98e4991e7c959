//! Reading the protocol's primitives from a slice, borrowing all that has a length.

use ottla_model::Uuid;

use super::{DecodeError, DecodeErrorKind, Version, Wire};

/// The longest string the protocol has, in bytes: its length is a 16-bit signed number, and Kafka holds the compact
/// form to the same limit.
pub(super) const STRING_LEN_MAX: usize = i16::MAX as usize;

/// Decoding takes this many times the bytes it is given, at most, ...
const MEMORY_FACTOR: usize = 8;
/// ... and so much on top, for small messages that are all structure.
const MEMORY_SLACK_BYTES: usize = 64 * 1024;

/// A position in a frame. Every read either advances or reports what was wrong; no input makes it panic.
///
/// Strings and bytes are borrowed, so arrays are the only memory that decoding takes, and all arrays of a frame
/// together are held to 8 times its size (and 64 KiB on top). No message that makes sense comes near: an element is a
/// few times larger in memory than on the wire, and only one of empty names exceeds the factor. Without that limit
/// 100 MiB of three-byte topics without names would become 2 GiB.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    memory_left_bytes: usize,
}

macro_rules! get_number {
    ($($(#[$doc:meta])* $name:ident -> $type:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$type, DecodeError> {
            Ok(<$type>::from_be_bytes(self.get_array()?))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, memory_left_bytes: bytes.len().saturating_mul(MEMORY_FACTOR).saturating_add(MEMORY_SLACK_BYTES) }
    }

    /// Bytes not read yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// All bytes not read yet, without reading them.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error unless everything was read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            remaining => Err(DecodeErrorKind::TrailingBytes { remaining }.into()),
        }
    }

    get_number! {
        /// A signed byte.
        get_i8 -> i8;
        /// A big-endian 16-bit signed number.
        get_i16 -> i16;
        /// A big-endian 32-bit signed number.
        get_i32 -> i32;
        /// A big-endian 64-bit signed number.
        get_i64 -> i64;
        /// A big-endian 16-bit unsigned number.
        get_u16 -> u16;
        /// A big-endian IEEE 754 double.
        get_f64 -> f64;
    }

    /// A byte; any but 0 is true, as in Kafka.
    #[inline]
    pub fn get_bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.get_i8()? != 0)
    }

    /// 16 bytes as they stand.
    #[inline]
    pub fn get_uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.get_array()?))
    }

    /// A base-128 number of at most 32 bits, low groups first.
    #[inline]
    pub fn get_uvarint(&mut self) -> Result<u32, DecodeError> {
        // Nearly every length, count and tag on the wire is below 128.
        match self.bytes.split_first() {
            Some((&first, rest)) if first < 0x80 => {
                self.bytes = rest;
                Ok(u32::from(first))
            }
            _ => self.get_long_uvarint(),
        }
    }

    fn get_long_uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.get_array()?;
            let group = u32::from(byte & 0x7f);
            if shift == 28 && group > 0x0f {
                break;
            }
            value |= group << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeErrorKind::VarintTooLong.into())
    }

    /// The next `len` bytes, borrowed.
    #[inline]
    pub fn get_slice(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_at_checked(len) {
            Some((slice, rest)) => {
                self.bytes = rest;
                Ok(slice)
            }
            None => Err(DecodeErrorKind::UnexpectedEnd { needed: len, remaining: self.remaining() }.into()),
        }
    }

    /// A string, or null: a 16-bit length (negative: null), or in flexible versions a varint of length + 1 (0: null).
    #[inline]
    pub fn get_nullable_string(&mut self, v: Version) -> Result<Option<&'a str>, DecodeError> {
        let length = if v.is_flexible() { self.get_compact_len()? } else { usize::try_from(self.get_i16()?).ok() };
        let Some(length) = length else { return Ok(None) };
        if length > STRING_LEN_MAX {
            return Err(DecodeErrorKind::StringTooLong { length }.into());
        }
        match std::str::from_utf8(self.get_slice(length)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(DecodeErrorKind::InvalidUtf8.into()),
        }
    }

    /// Bytes, or null: a 32-bit length (negative: null), or in flexible versions a varint of length + 1 (0: null).
    #[inline]
    pub fn get_nullable_bytes(&mut self, v: Version) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.get_len_or_null(v)? {
            Some(length) => self.get_slice(length).map(Some),
            None => Ok(None),
        }
    }

    /// An array, or null, with its count in the same form as the length of bytes.
    ///
    /// Before anything is allocated the count is held against the least its elements can take on the wire, and their
    /// memory against what the frame may still use.
    #[inline]
    pub fn get_nullable_array<T: Wire<'a>>(&mut self, v: Version) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.get_len_or_null(v)? else { return Ok(None) };
        let remaining = self.remaining();
        if count.saturating_mul(T::min_len(v).max(1)) > remaining {
            return Err(DecodeErrorKind::CountExceedsBytes { count, remaining }.into());
        }
        let needed = count.saturating_mul(size_of::<T>());
        let Some(left) = self.memory_left_bytes.checked_sub(needed) else {
            return Err(DecodeErrorKind::MemoryExceeded { count, needed, left: self.memory_left_bytes }.into());
        };
        self.memory_left_bytes = left;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(self, v)?);
        }
        Ok(Some(elements))
    }

    /// How many tagged fields follow. Each takes two bytes at least.
    #[inline]
    pub fn get_tag_count(&mut self) -> Result<u32, DecodeError> {
        let count = self.get_uvarint()?;
        let remaining = self.remaining();
        if count as usize > remaining / 2 {
            return Err(DecodeErrorKind::CountExceedsBytes { count: count as usize, remaining }.into());
        }
        Ok(count)
    }

    /// The next tagged field: its tag, and a reader that ends where its value does. A value that was read is handed
    /// back to [`end_tagged`](Reader::end_tagged); one that is not known is just dropped.
    #[inline]
    pub fn get_tagged(&mut self) -> Result<(u32, Reader<'a>), DecodeError> {
        let tag = self.get_uvarint()?;
        let size = self.get_uvarint()?;
        let bytes = self.get_slice(size as usize)?;
        Ok((tag, Reader { bytes, memory_left_bytes: self.memory_left_bytes }))
    }

    /// Takes back the reader of a tagged field: an error unless the value filled all of its announced size.
    #[inline]
    pub fn end_tagged(&mut self, tag: u32, value: Reader<'a>) -> Result<(), DecodeError> {
        self.memory_left_bytes = value.memory_left_bytes;
        match value.remaining() {
            0 => Ok(()),
            remaining => Err(DecodeErrorKind::TaggedFieldSize { tag, remaining }.into()),
        }
    }

    /// Passes over a whole section of tagged fields.
    #[inline]
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.get_tag_count()? {
            self.get_tagged()?;
        }
        Ok(())
    }

    #[inline]
    fn get_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes.split_first_chunk() {
            Some((chunk, rest)) => {
                self.bytes = rest;
                Ok(*chunk)
            }
            None => Err(DecodeErrorKind::UnexpectedEnd { needed: N, remaining: self.remaining() }.into()),
        }
    }

    #[inline]
    fn get_compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.get_uvarint()? as usize).checked_sub(1))
    }

    #[inline]
    fn get_len_or_null(&mut self, v: Version) -> Result<Option<usize>, DecodeError> {
        if v.is_flexible() { self.get_compact_len() } else { Ok(usize::try_from(self.get_i32()?).ok()) }
    }
}
