//! Walking over the batches of a segment file: by headers alone, or whole with their CRC.

use std::io;

use ottla_wire::batch::{BatchView, HEADER_LEN};

use crate::disk::DiskFile;
use crate::header::{BadHeader, BatchHeader};

/// Bytes read at once when only headers matter: several small batches, or the header of a large one.
const HEADERS_CHUNK_BYTES: usize = 4096;
/// Bytes read at once when all matters; more for a batch that is larger.
const BATCHES_CHUNK_BYTES: usize = 256 << 10;

/// A batch in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub position: u32,
    pub header: BatchHeader,
}

impl Placed {
    /// Where the next batch begins.
    pub fn end(&self) -> u32 {
        self.position + self.header.bytes
    }
}

/// What was found at a position.
#[derive(Debug)]
pub(crate) enum Step {
    Batch(Placed),
    /// Nothing more: the position is the end.
    End,
    /// No batch.
    Bad {
        position: u32,
        why: BadHeader,
    },
}

/// Goes from header to header.
pub(crate) struct HeaderScan<'f> {
    file: &'f dyn DiskFile,
    position: u32,
    end: u32,
    chunk: [u8; HEADERS_CHUNK_BYTES],
    chunk_at: u32,
    chunk_len: usize,
}

impl<'f> HeaderScan<'f> {
    /// From `position`, which is the start of a batch, to `end`, the size of the file (or what of it is to be seen).
    pub fn new(file: &'f dyn DiskFile, position: u32, end: u32) -> HeaderScan<'f> {
        HeaderScan { file, position, end, chunk: [0; HEADERS_CHUNK_BYTES], chunk_at: 0, chunk_len: 0 }
    }

    /// The next batch.
    pub fn next(&mut self) -> io::Result<Step> {
        let position = self.position;
        if position >= self.end {
            return Ok(Step::End);
        }
        let remaining = self.end - position;
        let bad = |why| Ok(Step::Bad { position, why });
        if (remaining as usize) < HEADER_LEN {
            return bad(BadHeader::Torn { wanted: HEADER_LEN as u64, found: u64::from(remaining) });
        }
        let inside = position.checked_sub(self.chunk_at).map(|at| at as usize).filter(|at| at + HEADER_LEN <= self.chunk_len);
        let at = match inside {
            Some(at) => at,
            None => {
                let wanted = HEADERS_CHUNK_BYTES.min(remaining as usize);
                self.chunk_len = self.file.read_at(&mut self.chunk[..wanted], u64::from(position))?;
                self.chunk_at = position;
                0
            }
        };
        let Some(bytes) = self.chunk[at..self.chunk_len].first_chunk::<HEADER_LEN>() else {
            return bad(BadHeader::Torn { wanted: HEADER_LEN as u64, found: self.chunk_len as u64 });
        };
        match BatchHeader::parse(bytes, u64::from(remaining)) {
            Ok(header) => {
                self.position = position + header.bytes;
                Ok(Step::Batch(Placed { position, header }))
            }
            Err(why) => bad(why),
        }
    }
}

/// What was found, the whole of it held against its CRC.
#[derive(Debug)]
pub(crate) enum WholeStep {
    Batch(Placed),
    End,
    Bad { position: u32, reason: String },
}

/// Goes from batch to batch and checks each one's CRC.
pub(crate) struct BatchScan<'f> {
    file: &'f dyn DiskFile,
    position: u32,
    end: u32,
    chunk: Vec<u8>,
    chunk_at: u32,
}

impl<'f> BatchScan<'f> {
    pub fn new(file: &'f dyn DiskFile, position: u32, end: u32) -> BatchScan<'f> {
        BatchScan { file, position, end, chunk: Vec::new(), chunk_at: position }
    }

    /// Has at least `wanted` bytes from the position on in memory (fewer at the end of the file).
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        let at = (self.position - self.chunk_at) as usize;
        if self.chunk.len() >= at + wanted {
            return Ok(());
        }
        let remaining = (self.end - self.position) as usize;
        let len = wanted.max(BATCHES_CHUNK_BYTES).min(remaining);
        self.chunk.clear();
        self.chunk.resize(len, 0);
        let read = self.file.read_at(&mut self.chunk, u64::from(self.position))?;
        self.chunk.truncate(read);
        self.chunk_at = self.position;
        Ok(())
    }

    /// The next batch.
    pub fn next(&mut self) -> io::Result<WholeStep> {
        let position = self.position;
        if position >= self.end {
            return Ok(WholeStep::End);
        }
        self.fill(HEADER_LEN)?;
        let at = (position - self.chunk_at) as usize;
        let remaining = u64::from(self.end - position);
        let header = match self.chunk.get(at..).and_then(|c| c.first_chunk::<HEADER_LEN>()) {
            Some(bytes) => BatchHeader::parse(bytes, remaining),
            None => Err(BadHeader::Torn { wanted: HEADER_LEN as u64, found: remaining }),
        };
        let header = match header {
            Ok(header) => header,
            Err(why) => return Ok(WholeStep::Bad { position, reason: why.to_string() }),
        };
        // No more than the file has: `parse` has held the length against what remains.
        self.fill(header.bytes as usize)?;
        let at = (position - self.chunk_at) as usize;
        let Some(bytes) = self.chunk.get(at..at + header.bytes as usize) else {
            return Ok(WholeStep::Bad { position, reason: "the file is shorter than it was".to_owned() });
        };
        self.position = position + header.bytes;
        match BatchView::new(bytes).and_then(|view| view.check_crc()) {
            Ok(()) => Ok(WholeStep::Batch(Placed { position, header })),
            Err(e) => Ok(WholeStep::Bad { position, reason: e.to_string() }),
        }
    }
}
