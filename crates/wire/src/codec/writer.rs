//! Writing the protocol's primitives into one buffer, with file ranges set in between.

use ottla_model::Uuid;

use super::reader::STRING_LEN_MAX;
use super::{EncodeError, Version, Wire};
use crate::frame::FRAME_PREFIX_LEN;
use crate::{FileRange, RecordFragment};

/// The most bytes or elements that a 32-bit length can announce.
const LEN_MAX: usize = i32::MAX as usize;

/// Grows a buffer of frames. Bytes are copied in; file ranges are only noted, with the position where they belong, so
/// that the connection can hand them to `sendfile`.
#[derive(Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
    files: Vec<(usize, FileRange)>,
    file_bytes: usize,
}

/// What a [`Writer`] made: send `buf`, and at each position in it first the file range named for that position.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Encoded {
    /// All bytes but those of files.
    pub buf: Vec<u8>,
    /// In rising order: position in `buf` before which the file range is sent.
    pub files: Vec<(usize, FileRange)>,
}

impl Encoded {
    /// Bytes to be sent, those of file ranges counted.
    pub fn len(&self) -> usize {
        self.buf.len() + self.files.iter().map(|(_, range)| range.len as usize).sum::<usize>()
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a frame began in a [`Writer`]: given by [`Writer::begin_frame`], used up by [`Writer::end_frame`].
#[derive(Debug)]
#[must_use = "a frame that is not ended has no length"]
pub struct FrameMark {
    prefix_at: usize,
    len_before: usize,
    files_before: usize,
}

macro_rules! put_number {
    ($($(#[$doc:meta])* $name:ident($type:ty);)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self, value: $type) {
            self.buf.extend_from_slice(&value.to_be_bytes());
        }
    )*};
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Appends to `buf`, which keeps what it holds: a buffer used again, or one with answers in it already.
    pub fn with_buffer(buf: Vec<u8>) -> Writer {
        Writer { buf, files: Vec::new(), file_bytes: 0 }
    }

    /// Bytes written so far, those of file ranges counted.
    #[inline]
    pub fn len(&self) -> usize {
        self.buf.len() + self.file_bytes
    }

    /// Whether nothing was written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written.
    pub fn into_parts(self) -> Encoded {
        Encoded { buf: self.buf, files: self.files }
    }

    /// Bytes of memory that the buffer holds, used or not.
    pub fn capacity_bytes(&self) -> usize {
        self.buf.capacity()
    }

    /// Adds all that `other` holds behind what is here.
    pub fn append(&mut self, other: Writer) {
        let moved = self.buf.len();
        self.buf.extend_from_slice(&other.buf);
        self.files.extend(other.files.into_iter().map(|(at, range)| (at + moved, range)));
        self.file_bytes += other.file_bytes;
    }

    /// Reserves the four bytes of a frame's length. Frames follow each other in one writer; they do not nest.
    pub fn begin_frame(&mut self) -> FrameMark {
        let mark = FrameMark { prefix_at: self.buf.len(), len_before: self.len(), files_before: self.files.len() };
        self.buf.extend_from_slice(&[0; FRAME_PREFIX_LEN]);
        mark
    }

    /// Fills in the length of the frame begun at `mark`, file ranges counted. On an error the frame is taken back.
    pub fn end_frame(&mut self, mark: FrameMark) -> Result<(), EncodeError> {
        let length = self.len() - mark.len_before - FRAME_PREFIX_LEN;
        let Ok(announced) = i32::try_from(length) else {
            self.discard_frame(mark);
            return Err(EncodeError::TooLong { length, max: LEN_MAX });
        };
        if let Some(prefix) = self.buf.get_mut(mark.prefix_at..mark.prefix_at + FRAME_PREFIX_LEN) {
            prefix.copy_from_slice(&announced.to_be_bytes());
        }
        Ok(())
    }

    /// Takes back all that was written since `mark`, e.g. because its message could not be encoded.
    pub fn discard_frame(&mut self, mark: FrameMark) {
        self.buf.truncate(mark.prefix_at);
        self.files.truncate(mark.files_before);
        self.file_bytes = mark.len_before - mark.prefix_at;
    }

    put_number! {
        /// A signed byte.
        put_i8(i8);
        /// A big-endian 16-bit signed number.
        put_i16(i16);
        /// A big-endian 32-bit signed number.
        put_i32(i32);
        /// A big-endian 64-bit signed number.
        put_i64(i64);
        /// A big-endian 16-bit unsigned number.
        put_u16(u16);
        /// A big-endian IEEE 754 double.
        put_f64(f64);
    }

    /// One byte, 0 or 1.
    #[inline]
    pub fn put_bool(&mut self, value: bool) {
        self.buf.push(u8::from(value));
    }

    /// 16 bytes as they stand.
    #[inline]
    pub fn put_uuid(&mut self, value: Uuid) {
        self.buf.extend_from_slice(&value.to_bytes());
    }

    /// A base-128 number, low groups first.
    #[inline]
    pub fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buf.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buf.push(value as u8);
    }

    /// Bytes without a length.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// A string with its length.
    #[inline]
    pub fn put_string(&mut self, text: &str, v: Version) -> Result<(), EncodeError> {
        let length = text.len();
        if length > STRING_LEN_MAX {
            return Err(EncodeError::TooLong { length, max: STRING_LEN_MAX });
        }
        if v.is_flexible() {
            self.put_uvarint(length as u32 + 1);
        } else {
            self.put_i16(length as i16);
        }
        self.put_slice(text.as_bytes());
        Ok(())
    }

    /// A string that is null.
    #[inline]
    pub fn put_null_string(&mut self, v: Version) {
        if v.is_flexible() { self.put_uvarint(0) } else { self.put_i16(-1) }
    }

    /// The length of bytes or the count of an array.
    #[inline]
    pub fn put_len(&mut self, length: usize, v: Version) -> Result<(), EncodeError> {
        if length > LEN_MAX {
            return Err(EncodeError::TooLong { length, max: LEN_MAX });
        }
        if v.is_flexible() {
            self.put_uvarint(length as u32 + 1)
        } else {
            self.put_i32(length as i32)
        }
        Ok(())
    }

    /// Bytes or an array that are null.
    #[inline]
    pub fn put_null_len(&mut self, v: Version) {
        if v.is_flexible() { self.put_uvarint(0) } else { self.put_i32(-1) }
    }

    /// Bytes with their length.
    #[inline]
    pub fn put_bytes(&mut self, bytes: &[u8], v: Version) -> Result<(), EncodeError> {
        self.put_len(bytes.len(), v)?;
        self.put_slice(bytes);
        Ok(())
    }

    /// An array with its count.
    #[inline]
    pub fn put_array<'a, T: Wire<'a>>(&mut self, elements: &[T], v: Version) -> Result<(), EncodeError> {
        self.put_len(elements.len(), v)?;
        elements.iter().try_for_each(|element| element.write(self, v))
    }

    /// Records in pieces, with the length of them all. Bytes in memory are copied, file ranges only noted.
    pub fn put_fragments(&mut self, fragments: &[RecordFragment], v: Version) -> Result<(), EncodeError> {
        self.put_len(fragments.iter().map(RecordFragment::len).sum(), v)?;
        for fragment in fragments {
            match fragment {
                RecordFragment::Bytes(bytes) => self.put_slice(bytes),
                RecordFragment::File(range) => self.put_file(range.clone()),
            }
        }
        Ok(())
    }

    /// A file range without a length. One of no bytes is left out.
    pub fn put_file(&mut self, range: FileRange) {
        if range.len > 0 {
            self.file_bytes += range.len as usize;
            self.files.push((self.buf.len(), range));
        }
    }

    /// A tagged field: tag, size, and the value that `write` puts.
    pub fn put_tagged(&mut self, tag: u32, write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>) -> Result<(), EncodeError> {
        self.put_uvarint(tag);
        let (start, files_before, len_before) = (self.buf.len(), self.files.len(), self.len());
        write(self)?;
        let length = self.len() - len_before;
        // Tagged values are rare and small, so the size goes in after the fact rather than by a pass that measures.
        let value_end = self.buf.len();
        let size = u32::try_from(length).map_err(|_| EncodeError::TooLong { length, max: LEN_MAX })?;
        self.put_uvarint(size);
        let size_len = self.buf.len() - value_end;
        if let Some(moved) = self.buf.get_mut(start..) {
            moved.rotate_right(size_len);
        }
        for (position, _) in self.files.iter_mut().skip(files_before) {
            *position += size_len;
        }
        Ok(())
    }
}
