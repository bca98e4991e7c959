//! Walking over the batches of a segment file: by headers alone, or whole with their CRC.

use std::io;

use ottla_model::Offset;
use ottla_wire::batch::{BatchView, HEADER_LEN, at};

use crate::disk::DiskFile;
use crate::header::{BadHeader, BatchHeader};

/// Bytes read at once when only headers matter: several small batches, or the header of a large one.
const HEADERS_CHUNK_BYTES: usize = 4096;
/// Bytes read at once when all matters. A batch that is larger is gone through in pieces: how large it is, its header alone says.
pub(crate) const BATCHES_CHUNK_BYTES: usize = 256 << 10;
/// Bytes looked through at once for what follows a damaged place.
const SEARCH_WINDOW_BYTES: usize = 1 << 20;

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
    chunk_bytes: usize,
}

impl<'f> BatchScan<'f> {
    /// From `position`, which is the start of a batch, to `end`, the size of the file.
    pub fn new(file: &'f dyn DiskFile, position: u32, end: u32) -> BatchScan<'f> {
        BatchScan::with_chunk(file, position, end, BATCHES_CHUNK_BYTES)
    }

    /// The same, for who goes on for about `bytes` only.
    pub fn with_chunk(file: &'f dyn DiskFile, position: u32, end: u32, bytes: usize) -> BatchScan<'f> {
        let chunk_bytes = bytes.clamp(HEADERS_CHUNK_BYTES, BATCHES_CHUNK_BYTES);
        BatchScan { file, position, end, chunk: Vec::new(), chunk_at: position, chunk_bytes }
    }

    /// Goes on from another place.
    pub fn jump(&mut self, position: u32) {
        self.position = position;
        self.chunk.clear();
        self.chunk_at = position;
    }

    /// Has at least `wanted` bytes from the position on in memory (fewer at the end of the file).
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        let at = (self.position - self.chunk_at) as usize;
        if self.chunk.len() >= at + wanted {
            return Ok(());
        }
        let remaining = (self.end - self.position) as usize;
        let len = wanted.max(self.chunk_bytes).min(remaining);
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
        let bad = if header.bytes as usize > BATCHES_CHUNK_BYTES { self.check_large(&header)? } else { self.check_whole(&header)? };
        match bad {
            Some(reason) => Ok(WholeStep::Bad { position, reason }),
            None => {
                self.position = position + header.bytes;
                Ok(WholeStep::Batch(Placed { position, header }))
            }
        }
    }

    /// Says what is wrong with the batch here, which fits into a chunk.
    fn check_whole(&mut self, header: &BatchHeader) -> io::Result<Option<String>> {
        self.fill(header.bytes as usize)?;
        let at = (self.position - self.chunk_at) as usize;
        let Some(bytes) = self.chunk.get(at..at + header.bytes as usize) else { return Ok(Some(SHORTER.to_owned())) };
        Ok(BatchView::new(bytes).and_then(|view| view.check_crc()).err().map(|e| e.to_string()))
    }

    /// The same of one that does not.
    fn check_large(&mut self, header: &BatchHeader) -> io::Result<Option<String>> {
        let (first, end) = (self.position, self.position + header.bytes);
        self.fill(HEADER_LEN)?;
        let skip = (first - self.chunk_at) as usize;
        let stored = self.chunk.get(skip + at::CRC..).and_then(|c| c.first_chunk()).map(|crc| u32::from_be_bytes(*crc));
        let mut computed = 0;
        self.position = first + at::ATTRIBUTES as u32;
        while self.position < end {
            let wanted = ((end - self.position) as usize).min(BATCHES_CHUNK_BYTES);
            self.fill(wanted)?;
            let from = (self.position - self.chunk_at) as usize;
            let Some(bytes) = self.chunk.get(from..from + wanted) else {
                self.jump(first);
                return Ok(Some(SHORTER.to_owned()));
            };
            computed = crc32c::crc32c_append(computed, bytes);
            self.position += wanted as u32;
        }
        // The chunk lies behind the position by now, and is of no more use.
        self.jump(first);
        Ok((stored != Some(computed)).then(|| format!("the CRC is {computed:08x}, the batch says {:08x}", stored.unwrap_or(0))))
    }
}

const SHORTER: &str = "the file is shorter than it was";

/// The first batch from `from` on (and before `limit`) that holds and has offsets within `offsets`. Looks at every byte, as after a
/// damaged length nothing says where the next batch is.
pub(crate) fn next_sound(
    file: &dyn DiskFile,
    from: u32,
    limit: u32,
    size: u32,
    offsets: &std::ops::Range<Offset>,
) -> io::Result<Option<Placed>> {
    let mut window = Vec::new();
    let mut from = from;
    while from < limit.min(size) {
        window.resize(SEARCH_WINDOW_BYTES.min((size - from) as usize), 0);
        let read = file.read_at(&mut window, u64::from(from))?;
        for (skip, bytes) in window[..read].windows(HEADER_LEN).enumerate() {
            let here = from + skip as u32;
            let header = bytes.first_chunk().and_then(|b| BatchHeader::parse(b, u64::from(size.saturating_sub(here))).ok());
            if header.is_some_and(|h| offsets.contains(&h.base_offset) && h.next_offset() <= offsets.end)
                && let WholeStep::Batch(placed) = BatchScan::with_chunk(file, here, size, 0).next()?
            {
                return Ok(Some(placed));
            }
        }
        from = from.saturating_add(read.saturating_sub(HEADER_LEN - 1).max(1) as u32);
    }
    Ok(None)
}
