//! The write side of a connection: framed answers, bytes and file ranges, out in order.
//!
//! File ranges go by `sendfile` from the page cache to the socket; the bytes in front of them are sent with MSG_MORE so
//! that an answer does not leave in two packets. What the page cache does not have is given to the caller to bring in first: the
//! sending itself never waits for a disk.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use ottla_wire::{Encoded, FileRange, Writer};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::cold_reads::{PIECE_BYTES, is_cached};

/// Memory that an idle connection may keep for its next answer.
const KEPT_BYTES_MAX: usize = 1024;

/// Answers not yet taken by the socket.
#[derive(Debug, Default)]
pub struct Output {
    /// Answers being added.
    open: Writer,
    /// Answers on their way, and how far they are.
    sending: Encoded,
    sent_bytes: usize,
    next_file: usize,
    sent_of_file: u32,
    /// Up to here the file on its way was found in the page cache, or brought there.
    cached_of_file: u32,
}

/// How far a flush got.
#[derive(Debug, PartialEq)]
pub enum Flushed {
    /// All is with the socket.
    All,
    /// The socket takes no more for now.
    Full,
    /// What comes next is not in the page cache. To be brought there, and told by [`Output::brought_in`].
    Cold(FileRange),
}

/// How far one system call got.
enum Step {
    Sent,
    Cold(FileRange),
}

impl Output {
    /// Where the next answer is written.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.open
    }

    /// Adds an answer that was framed on its own.
    pub fn append(&mut self, frame: Writer) {
        self.open.append(frame);
    }

    /// Bytes not yet taken by the socket, file ranges counted.
    pub fn len(&self) -> usize {
        let files: usize = self.sending.files.get(self.next_file..).unwrap_or_default().iter().map(|(_, f)| f.len as usize).sum();
        self.open.len() + self.sending.buf.len() - self.sent_bytes + files - self.sent_of_file as usize
    }

    /// Whether the socket has taken everything.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.is_sent()
    }

    fn is_sent(&self) -> bool {
        self.sent_bytes == self.sending.buf.len() && self.next_file == self.sending.files.len()
    }

    /// The piece that a flush ended at is in the page cache now. Not asked after again: when memory is short it may be gone already, and
    /// then the sending waits for the disk this once.
    pub fn brought_in(&mut self, piece: &FileRange) {
        self.cached_of_file = self.sent_of_file + piece.len;
    }

    /// Gives the socket as much as it takes.
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<Flushed> {
        loop {
            if self.is_sent() {
                if self.open.is_empty() {
                    return Ok(Flushed::All);
                }
                let mut spare = std::mem::take(&mut self.sending.buf);
                spare.clear();
                self.sending = std::mem::replace(&mut self.open, Writer::with_buffer(spare)).into_parts();
                (self.sent_bytes, self.next_file, self.sent_of_file, self.cached_of_file) = (0, 0, 0, 0);
            }
            match stream.try_io(Interest::WRITABLE, || self.step(stream)) {
                Ok(Step::Sent) => {}
                Ok(Step::Cold(piece)) => return Ok(Flushed::Cold(piece)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Full),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// One system call's worth.
    fn step(&mut self, stream: &TcpStream) -> io::Result<Step> {
        let file = self.sending.files.get(self.next_file);
        let until = file.map_or(self.sending.buf.len(), |(at, _)| *at);
        if self.sent_bytes < until {
            let bytes = self.sending.buf.get(self.sent_bytes..until).unwrap_or_default();
            self.sent_bytes += send(stream, bytes, file.is_some())?;
        } else if let Some((_, range)) = file {
            if self.cached_of_file == self.sent_of_file {
                let position = range.position + u64::from(self.sent_of_file);
                let piece = FileRange { file: Arc::clone(&range.file), position, len: (range.len - self.sent_of_file).min(PIECE_BYTES) };
                if !is_cached(&piece.file, piece.position, piece.len) {
                    return Ok(Step::Cold(piece));
                }
                self.cached_of_file += piece.len;
            }
            self.sent_of_file += send_file(stream, range, self.sent_of_file, self.cached_of_file)?;
            if self.sent_of_file == range.len {
                self.next_file += 1;
                (self.sent_of_file, self.cached_of_file) = (0, 0);
            }
        }
        Ok(Step::Sent)
    }

    /// Before a wait: an idle connection keeps next to nothing.
    pub fn settle(&mut self) {
        if self.is_empty() {
            self.sending.files = Vec::new();
            self.sending.buf.clear();
            self.sent_bytes = 0;
            self.next_file = 0;
            self.sending.buf.shrink_to(KEPT_BYTES_MAX);
            if self.open.capacity_bytes() > KEPT_BYTES_MAX {
                self.open = Writer::new();
            }
        }
    }
}

fn send(stream: &TcpStream, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the pointer and length are those of a live slice, and the socket is open while `stream` is borrowed.
    let n = unsafe { libc::send(stream.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Sends of a range what lies behind `sent`, up to `upto`.
fn send_file(stream: &TcpStream, range: &FileRange, sent: u32, upto: u32) -> io::Result<u32> {
    let mut position = (range.position + u64::from(sent)) as libc::off_t;
    // SAFETY: both descriptors are open while borrowed, and `position` outlives the call.
    let n = unsafe { libc::sendfile(stream.as_raw_fd(), range.file.as_raw_fd(), &mut position, (upto - sent) as usize) };
    match u32::try_from(n) {
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "a log file ends before position {}, within an answer that is being sent from it",
                range.position + u64::from(range.len)
            ),
        )),
        Ok(n) => Ok(n),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::FileExt;

    use ottla_wire::RecordFragment;

    use super::*;

    /// A connected pair: ours, and the client's.
    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn what_the_page_cache_has_dropped_is_not_sent_before_it_was_brought_in() {
        let bytes: Vec<u8> = (0..2 * PIECE_BYTES + 999).map(|i| (i / 7) as u8).collect();
        let file = Arc::new(tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap());
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_all().unwrap();
        // SAFETY: the descriptor is open; advice touches no memory of ours.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let len = bytes.len() as u32;
        let is_cold = !is_cached(&file, 0, len);

        let (stream, mut client) = pair().await;
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            client.read_to_end(&mut received).map(|_| received)
        });
        let mut output = Output::default();
        let mark = output.writer().begin_frame();
        output
            .writer()
            .put_fragments(&[RecordFragment::File(FileRange { file, position: 0, len })], ottla_wire::Version::new(0, false))
            .unwrap();
        output.writer().end_frame(mark).unwrap();
        let mut pieces = Vec::new();
        loop {
            match output.flush(&stream).unwrap() {
                Flushed::All => break,
                Flushed::Full => stream.writable().await.unwrap(),
                Flushed::Cold(piece) => {
                    assert!(!is_cached(&piece.file, piece.position, piece.len));
                    crate::cold_reads::ColdReads::default().bring_in(piece.clone()).await.unwrap();
                    output.brought_in(&piece);
                    pieces.push((piece.position, piece.len));
                }
            }
        }
        drop(stream);
        let received = tokio::task::spawn_blocking(|| reader.join().unwrap()).await.unwrap().unwrap();
        assert!(received.ends_with(&bytes), "{} bytes came", received.len());
        // A file system without a disk, or one that keeps what it likes, has nothing to bring in.
        assert_eq!(is_cold, pieces.first().is_some_and(|first| *first == (0, PIECE_BYTES)), "{pieces:?}");
        assert!(output.is_empty() && pieces.len() <= 3);
    }
}
