//! Limit: a bare server that takes Produce by receiving, checking the CRC and writing, and answers Fetch by `sendfile`. What
//! the same work costs with nothing else around it, on this machine: a yardstick for brokers, not a law of nature.
//!
//! It has a thread for each connection, reads a length and then as many bytes, and answers each request by itself, as a
//! plain program would. It keeps no offsets and no topics: every topic has [`PARTITIONS`] partitions, led by it.
//!
//! How the file is written decides what writing costs. A page that was never there has to be found, put into the page
//! cache and, later, given up; a page that is written over has only to be written. A log always writes fresh pages; an
//! in-memory buffer, or a log that reuses its files, does not. [`WriteTo`] has both, so that the difference can be seen.

mod handler;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ottla_wire::batch::set_base_offset;

use crate::{BatchShape, PerfError};
use handler::Handler;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 10_000;
/// Connections at a time, each with a thread.
const CONNECTIONS_MAX: usize = 1_024;
/// Bytes of fresh pages before the file begins anew: a run that nobody ends must not fill the disk.
const FRESH_BYTES_MAX: u64 = 16 << 30;

/// Where what comes is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTo {
    /// Behind all that is there: each page for the first time, as a log does. Emptied whenever somebody asks for
    /// Metadata, which is how every run begins.
    FreshPages,
    /// Over itself: round and round in so many bytes, which are in the page cache before the first request comes.
    SamePages {
        /// Bytes of the file.
        bytes: u64,
    },
}

/// What the server is to be.
#[derive(Clone, Debug)]
pub struct LimitOptions {
    /// Where it listens; with port 0, wherever there is room.
    pub listen: SocketAddr,
    /// Where its files lie. They have no names: whatever ends the process, they are gone.
    pub dir: PathBuf,
    /// How what comes is written.
    pub write_to: WriteTo,
    /// What is served to consumers: so many bytes of batches, round and round.
    pub served_bytes: u64,
    /// What those batches are like.
    pub batch: BatchShape,
}

/// A server that is bound, with its files.
pub struct Limit {
    listener: TcpListener,
    address: SocketAddr,
    files: Arc<Files>,
}

/// What all connections share.
struct Files {
    written: File,
    write_to: WriteTo,
    /// Bytes written since the last Metadata.
    position: AtomicU64,
    served: Arc<File>,
    /// All served batches are alike.
    batch_bytes: u64,
    batch_records: u64,
    batches: u64,
}

impl Limit {
    /// Binds it and makes its files.
    pub fn bind(options: &LimitOptions) -> Result<Limit, PerfError> {
        let listening = |cause| PerfError::Connection { address: options.listen.to_string(), doing: "listening", cause };
        let listener = TcpListener::bind(options.listen).map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let failed = |cause| PerfError::File { path: options.dir.clone(), doing: "making the server's files", cause };
        let mut batch = options.batch.build(0)?;
        let batches = (options.served_bytes / batch.len() as u64).max(1);
        let served = nameless(&options.dir).map_err(failed)?;
        fill(&served, &mut batch, options.batch.records as u64, batches).map_err(failed)?;
        let written = nameless(&options.dir).map_err(failed)?;
        if let WriteTo::SamePages { bytes } = options.write_to {
            touch(&written, bytes).map_err(failed)?;
        }
        let files = Files {
            written,
            write_to: options.write_to,
            position: AtomicU64::new(0),
            served: Arc::new(served),
            batch_bytes: batch.len() as u64,
            batch_records: options.batch.records as u64,
            batches,
        };
        Ok(Limit { listener, address, files: Arc::new(files) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for as long as the process lives. A connection that asks for what it does not know is closed.
    pub fn serve(self) -> Result<(), PerfError> {
        let open = Arc::new(AtomicUsize::new(0));
        let failed = |cause| PerfError::Connection { address: self.address.to_string(), doing: "taking a connection", cause };
        for stream in self.listener.incoming() {
            let stream = stream.map_err(failed)?;
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (files, open, address) = (self.files.clone(), open.clone(), self.address);
            std::thread::spawn(move || {
                // How it ends is the client's to see.
                drop(Handler::new(stream, address, files).and_then(Handler::run));
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(())
    }
}

impl Files {
    /// Where so many bytes go.
    fn place(&self, len: u64) -> u64 {
        let position = self.position.fetch_add(len, Ordering::Relaxed);
        let round = match self.write_to {
            WriteTo::FreshPages => FRESH_BYTES_MAX,
            WriteTo::SamePages { bytes } => bytes,
        };
        let place = position % round.max(1);
        // What would reach over the end of the round begins it.
        if place + len > round { 0 } else { place }
    }

    /// Begins anew, where that makes pages fresh.
    fn begin(&self) -> io::Result<()> {
        if self.write_to == WriteTo::FreshPages {
            self.written.set_len(0)?;
            self.position.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A file that is gone when its last handle is.
fn nameless(dir: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let path = dir.join(format!("ottla-perf-limit-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Batches with rising offsets, as a partition has them.
fn fill(file: &File, batch: &mut [u8], records: u64, batches: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    for number in 0..batches {
        set_base_offset(batch, (number * records) as i64).map_err(io::Error::other)?;
        out.write_all(batch)?;
    }
    out.flush()
}

/// Brings so many bytes of a file into the page cache.
fn touch(file: &File, bytes: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let zeros = [0; 4096];
    for _ in 0..bytes.div_ceil(zeros.len() as u64) {
        out.write_all(&zeros)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compression;

    fn files(write_to: WriteTo) -> Files {
        let dir = tempfile::tempdir().unwrap();
        let batch = BatchShape { record_bytes: 10, records: 2, compression: Compression::None };
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = LimitOptions { listen, dir: dir.path().to_owned(), write_to, served_bytes: 1000, batch };
        Arc::into_inner(Limit::bind(&options).unwrap().files).unwrap()
    }

    #[test]
    fn fresh_pages_are_written_once_and_given_up_when_a_run_begins() {
        let files = files(WriteTo::FreshPages);
        assert_eq!([files.place(100), files.place(50), files.place(10)], [0, 100, 150]);
        files.written.set_len(160).unwrap();
        files.begin().unwrap();
        assert_eq!((files.written.metadata().unwrap().len(), files.place(5)), (0, 0));
    }

    #[test]
    fn the_same_pages_are_there_before_and_are_written_round_and_round() {
        let files = files(WriteTo::SamePages { bytes: 8192 });
        let len = || files.written.metadata().unwrap().len();
        assert_eq!(len(), 8192);
        let places: Vec<u64> = (0..5).map(|_| files.place(3000)).collect();
        assert_eq!(places, [0, 3000, 0, 808, 3808], "what reaches over the end begins the round");
        files.begin().unwrap();
        assert_eq!(len(), 8192, "no run begins by giving them up");
    }
}
