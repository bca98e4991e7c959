//! The write side of a connection: framed answers, bytes and file ranges, out in order.
//!
//! File ranges go by `sendfile` from the page cache to the socket; the bytes in front of them are sent with MSG_MORE so
//! that an answer does not leave in two packets.

use std::io;
use std::os::fd::AsRawFd;

use ottla_wire::{Encoded, FileRange, Writer};
use tokio::io::Interest;
use tokio::net::TcpStream;

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

    /// Gives the socket as much as it takes; true when it took all.
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<bool> {
        loop {
            if self.is_sent() {
                if self.open.is_empty() {
                    return Ok(true);
                }
                let mut spare = std::mem::take(&mut self.sending.buf);
                spare.clear();
                self.sending = std::mem::replace(&mut self.open, Writer::with_buffer(spare)).into_parts();
                (self.sent_bytes, self.next_file, self.sent_of_file) = (0, 0, 0);
            }
            match stream.try_io(Interest::WRITABLE, || self.step(stream)) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// One system call's worth.
    fn step(&mut self, stream: &TcpStream) -> io::Result<()> {
        let file = self.sending.files.get(self.next_file);
        let until = file.map_or(self.sending.buf.len(), |(at, _)| *at);
        if self.sent_bytes < until {
            let bytes = self.sending.buf.get(self.sent_bytes..until).unwrap_or_default();
            self.sent_bytes += send(stream, bytes, file.is_some())?;
        } else if let Some((_, range)) = file {
            self.sent_of_file += send_file(stream, range, self.sent_of_file)?;
            if self.sent_of_file == range.len {
                self.next_file += 1;
                self.sent_of_file = 0;
            }
        }
        Ok(())
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

fn send_file(stream: &TcpStream, range: &FileRange, sent: u32) -> io::Result<u32> {
    let mut position = (range.position + u64::from(sent)) as libc::off_t;
    // SAFETY: both descriptors are open while borrowed, and `position` outlives the call.
    let n = unsafe { libc::sendfile(stream.as_raw_fd(), range.file.as_raw_fd(), &mut position, (range.len - sent) as usize) };
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
