//! The read side of a connection: bytes in, whole frames out.
//!
//! While a connection has nothing in part it owns no buffer: it reads into one that its thread keeps, and handles what
//! came before it lets go of the thread. What is left of an unfinished frame stays with the connection, in a buffer
//! that grows with what arrives and never with what the frame's length claims (P4).

use std::cell::Cell;
use std::mem;

use ottla_wire::frame::{FRAME_PREFIX_LEN, FrameError, split_frame};

/// Room that a read is given. Large enough for a few batches at a time, small enough to stay in the second-level cache.
pub const READ_BYTES: usize = 256 * 1024;

thread_local! {
    /// The buffer of this thread, when no connection has it.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes received and not yet handled.
#[derive(Debug, Default)]
pub struct Input {
    buf: Vec<u8>,
    start: usize,
}

impl Input {
    /// Bytes not handled yet.
    pub fn pending_bytes(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Memory that this connection keeps while it waits.
    pub fn capacity_bytes(&self) -> usize {
        self.buf.capacity()
    }

    /// The next whole frame (without its length), if one is there; it is taken out by [`Input::consume`].
    pub fn frame(&self, max_bytes: usize) -> Result<Option<&[u8]>, FrameError> {
        let unhandled = self.buf.get(self.start..).unwrap_or_default();
        Ok(split_frame(unhandled, max_bytes)?.map(|(frame, _)| frame))
    }

    /// Takes out a frame of `length` bytes.
    pub fn consume(&mut self, length: usize) {
        self.start += FRAME_PREFIX_LEN + length;
        if self.start >= self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
    }

    /// Room to read into: the thread's buffer when nothing is kept, else more room behind what is kept.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buf.copy_within(self.start.., 0);
            self.buf.truncate(self.buf.len() - self.start);
            self.start = 0;
        }
        if self.buf.capacity() < READ_BYTES {
            let mut larger = SCRATCH.take();
            larger.clear();
            larger.reserve(READ_BYTES);
            larger.extend_from_slice(&self.buf);
            self.buf = larger;
        } else if self.buf.capacity() - self.buf.len() < READ_BYTES / 2 {
            // Doubles: a long frame is paid for as it arrives.
            self.buf.reserve(self.buf.capacity());
        }
        &mut self.buf
    }

    /// Before a wait: keeps what is unfinished in no more than about four times its size, gives the rest back.
    pub fn settle(&mut self) {
        let pending = self.pending_bytes();
        if pending == 0 {
            self.start = 0;
            give_back(mem::take(&mut self.buf));
        } else if pending < self.buf.capacity() / 4 {
            let kept = self.buf.get(self.start..).unwrap_or_default().to_vec();
            self.start = 0;
            give_back(mem::replace(&mut self.buf, kept));
        }
    }
}

/// Back to the thread, unless it has outgrown its use.
fn give_back(mut buf: Vec<u8>) {
    if buf.capacity() >= READ_BYTES && buf.capacity() <= 2 * READ_BYTES {
        buf.clear();
        SCRATCH.set(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(input: &mut Input, bytes: &[u8]) {
        input.room().extend_from_slice(bytes);
    }

    #[test]
    fn frames_come_out_whole_in_order_whatever_the_reads_were() {
        let mut stream = vec![];
        let bodies: Vec<Vec<u8>> = (0..50u8).map(|i| vec![i; usize::from(i) * 37]).collect();
        for b in &bodies {
            stream.extend((b.len() as i32).to_be_bytes());
            stream.extend(b);
        }
        for chunk in [1, 3, 64, 1000, stream.len()] {
            let (mut input, mut got) = (Input::default(), vec![]);
            for part in stream.chunks(chunk) {
                feed(&mut input, part);
                while let Some(frame) = input.frame(1 << 20).unwrap() {
                    let frame = frame.to_vec();
                    input.consume(frame.len());
                    got.push(frame);
                }
                input.settle();
            }
            assert_eq!(got, bodies, "in reads of {chunk}");
            assert_eq!(input.capacity_bytes(), 0, "an idle connection keeps no buffer");
        }
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut input = Input::default();
        feed(&mut input, &(100_000_000i32).to_be_bytes());
        feed(&mut input, b"only these");
        assert_eq!(input.frame(104_857_600), Ok(None));
        input.settle();
        assert!(input.capacity_bytes() <= 64, "{}", input.capacity_bytes());
    }

    #[test]
    fn impossible_lengths_are_told() {
        let mut input = Input::default();
        feed(&mut input, b"\x16\x03\x01\x02rest");
        assert_eq!(input.frame(1000), Err(FrameError::TooLarge { length: 0x1603_0102, max: 1000 }));
        let mut input = Input::default();
        feed(&mut input, &(-1i32).to_be_bytes());
        assert_eq!(input.frame(1000), Err(FrameError::NegativeLength { length: -1 }));
    }
}
