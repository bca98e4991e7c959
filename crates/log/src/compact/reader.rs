//! The batches of a segment's file one after another, whole and held against their CRC. Keeps one piece of the file in memory, or one
//! batch, if that is larger.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_model::Offset;
use ottla_wire::batch::{BatchView, HEADER_LEN};

use super::pass::{CompactionError, Pace};
use crate::disk::DiskFile;
use crate::error::IoFailure;
use crate::header::BatchHeader;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// See the module.
pub(super) struct BatchReader {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Of the file, as far as it is to be read.
    size: u32,
    chunk: Vec<u8>,
    /// Where in the file the chunk begins, and where in the chunk the next batch does.
    chunk_at: u32,
    at: usize,
    next_offset: Offset,
}

impl BatchReader {
    /// `base`: no batch begins below it.
    pub fn new(file: Arc<dyn DiskFile>, path: PathBuf, size: u32, base: Offset) -> BatchReader {
        BatchReader { file, path, size, chunk: Vec::new(), chunk_at: 0, at: 0, next_offset: base }
    }

    /// The next batch, and whether it is the last.
    pub fn next(&mut self, pace: Pace<'_>) -> Result<Option<(BatchView<'_>, bool)>, CompactionError> {
        let position = self.chunk_at + self.at as u32;
        if position >= self.size {
            return Ok(None);
        }
        self.fill(HEADER_LEN, pace)?;
        let remaining = u64::from(self.size - position);
        let header = self.chunk.get(self.at..).and_then(|c| c.first_chunk::<HEADER_LEN>());
        let header = header.ok_or_else(|| self.damaged(position, "the file ends within a header"))?;
        let header = BatchHeader::parse(header, remaining).map_err(|why| self.damaged(position, why))?;
        if header.base_offset < self.next_offset {
            return Err(self.damaged(position, format!("base offset {}, at least {} was expected", header.base_offset, self.next_offset)));
        }
        self.fill(header.bytes as usize, pace)?;
        let (from, to) = (self.at, self.at + header.bytes as usize);
        self.at = to;
        self.next_offset = header.next_offset();
        let bytes = self.chunk.get(from..to).ok_or_else(|| self.damaged(position, "the file is shorter than it was"))?;
        let batch = BatchView::new(bytes).and_then(|batch| batch.check_crc().map(|()| batch));
        let batch = batch.map_err(|why| self.damaged(position, why))?;
        Ok(Some((batch, u64::from(header.bytes) == remaining)))
    }

    /// Has at least so many bytes from the next batch on in memory, or fewer at the end.
    fn fill(&mut self, wanted: usize, pace: Pace<'_>) -> Result<(), CompactionError> {
        if self.chunk.len() >= self.at + wanted {
            return Ok(());
        }
        self.chunk.drain(..self.at);
        self.chunk_at += self.at as u32;
        self.at = 0;
        let have = self.chunk.len();
        let left = (self.size - self.chunk_at) as usize;
        let len = wanted.max(CHUNK_BYTES).min(left);
        if len <= have {
            return Ok(());
        }
        self.chunk.resize(len, 0);
        let to = self.chunk.get_mut(have..).unwrap_or_default();
        let read = self.file.read_at(to, u64::from(self.chunk_at) + have as u64);
        let read = read.map_err(|source| IoFailure { doing: "read", path: self.path.clone(), source })?;
        self.chunk.truncate(have + read);
        if !pace(read as u64) {
            return Err(CompactionError::Stopped);
        }
        Ok(())
    }

    pub fn damaged(&self, position: u32, why: impl ToString) -> CompactionError {
        CompactionError::Damaged { path: self.path.clone(), position, reason: why.to_string() }
    }

    /// Where the batch ends that was given last.
    pub fn position(&self) -> u32 {
        self.chunk_at + self.at as u32
    }
}
