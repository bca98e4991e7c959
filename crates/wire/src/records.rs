//! Record data as a message carries it: bytes in the frame, or pieces of memory and files to be sent as they are.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::{DecodeError, EncodeError, Reader, Version, Wire, Writer};

/// A run of bytes in an open file. Only carried here; whoever owns the connection reads or sends it.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file, kept open until the range was sent even if its segment is deleted meanwhile.
    pub file: Arc<File>,
    /// First byte.
    pub position: u64,
    /// Number of bytes.
    pub len: u32,
}

impl PartialEq for FileRange {
    fn eq(&self, other: &FileRange) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.position == other.position && self.len == other.len
    }
}

/// One piece of record data.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordFragment {
    /// In memory.
    Bytes(Bytes),
    /// In a segment file.
    File(FileRange),
}

impl RecordFragment {
    /// Number of bytes.
    pub fn len(&self) -> usize {
        match self {
            RecordFragment::Bytes(bytes) => bytes.len(),
            RecordFragment::File(range) => range.len as usize,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The `records` of a response.
///
/// Kafka's schema starts them as null, and so does `Default`; a broker that has nothing to give answers
/// [`Records::EMPTY`], as Kafka's does, because clients older than the nullable field expect a length.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Records<'a> {
    /// Null.
    #[default]
    None,
    /// In the frame that was decoded.
    Borrowed(&'a [u8]),
    /// To be sent, one piece after another.
    Fragments(Vec<RecordFragment>),
}

impl Records<'_> {
    /// No records: length 0, not null.
    pub const EMPTY: Records<'static> = Records::Borrowed(&[]);

    /// Number of bytes; 0 for null.
    pub fn len(&self) -> usize {
        match self {
            Records::None => 0,
            Records::Borrowed(bytes) => bytes.len(),
            Records::Fragments(fragments) => fragments.iter().map(RecordFragment::len).sum(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Wire<'a> for Records<'a> {
    #[inline]
    fn min_len(v: Version) -> usize {
        <Option<&[u8]>>::min_len(v)
    }

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        Ok(r.get_nullable_bytes(v)?.map_or(Records::None, Records::Borrowed))
    }

    #[inline]
    fn write(&self, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
        match self {
            Records::None => {
                w.put_null_len(v);
                Ok(())
            }
            Records::Borrowed(bytes) => w.put_bytes(bytes, v),
            Records::Fragments(fragments) => w.put_fragments(fragments, v),
        }
    }

    #[cfg(feature = "json")]
    fn json(&self, _: Version) -> serde_json::Value {
        crate::codec::json::records(matches!(self, Records::None))
    }
}
