//! Data that is not in the page cache: brought there by a few threads, so that no network thread waits for a disk.
//!
//! Consumers that catch up read what the page cache has long dropped. `sendfile` would block the thread that serves hundreds of other
//! connections, so what is to be sent is first asked after (`cachestat`, a microsecond), and what is missing is read by a thread that
//! may wait. Owns the bound on such threads. Keeps no data: what was read is the page cache's.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use ottla_wire::FileRange;
use tokio::sync::Semaphore;

use crate::metrics::Count;

/// Reads of the disk that go on at a time, over all connections; further ones wait in the order in which they came.
pub const COLD_READS_MAX: usize = 8;
/// How much is brought into the page cache at a time: what one partition gives to a fetch by default.
pub const PIECE_BYTES: u32 = 1 << 20;
/// A read that takes longer hangs: no disk that works is so slow.
const HUNG_AFTER: Duration = Duration::from_secs(10);
/// What a thread reads with one call.
const CHUNK_BYTES: usize = 128 << 10;

/// The threads that wait for disks in the place of network threads.
#[derive(Debug)]
pub struct ColdReads {
    running: Arc<Semaphore>,
    started: Count,
}

impl Default for ColdReads {
    fn default() -> Self {
        ColdReads { running: Arc::new(Semaphore::new(COLD_READS_MAX)), started: Count::default() }
    }
}

impl ColdReads {
    /// How many were begun.
    pub fn started(&self) -> u64 {
        self.started.get()
    }

    /// How many go on now.
    pub fn running(&self) -> usize {
        COLD_READS_MAX - self.running.available_permits().min(COLD_READS_MAX)
    }

    /// Runs what may wait for a disk on a thread that may, once fewer than [`COLD_READS_MAX`] do. One that hangs is given up, so that
    /// those of other disks have its place; its directory is taken offline by whoever watches the disks, and asks for no further ones.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(io::Error::other)?;
        self.started.add_one();
        // A task of its own: where the connection ends meanwhile the read goes on, and keeps its place.
        let read = tokio::spawn(async move {
            let done = tokio::time::timeout(HUNG_AFTER, tokio::task::spawn_blocking(work)).await;
            drop(running);
            done
        });
        match read.await.map_err(io::Error::other)? {
            Ok(done) => done.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("a read has not ended within {HUNG_AFTER:?}"))),
        }
    }

    /// Brings a range of a file into the page cache.
    pub async fn bring_in(&self, range: FileRange) -> io::Result<()> {
        self.run(move || read_through(&range.file, range.position, range.len)).await?
    }
}

/// Whether a range of a file can be sent without waiting for the disk. Where the system does not tell, it is taken to be so.
pub fn is_cached(file: &File, position: u64, len: u32) -> bool {
    /// As the kernel has them (`cachestat(2)`, since Linux 6.5).
    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Stat {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    /// The same on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;

    if len == 0 {
        return true;
    }
    let page = page_bytes();
    let (range, mut stat) = (Range { offset: position, len: u64::from(len) }, Stat::default());
    // SAFETY: the descriptor is open while borrowed, and both structures are as the kernel has them and outlive the call.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0) };
    if result == 0 {
        let pages = (position + u64::from(len) - 1) / page - position / page + 1;
        return stat.cached >= pages;
    }
    // An older kernel, or one that does not let us ask: the first and the last page tell most of it.
    !would_wait(file, position) && !would_wait(file, position + u64::from(len) - 1)
}

fn page_bytes() -> u64 {
    // SAFETY: asks for a constant of the system.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Whether reading this byte would have to wait for the disk.
fn would_wait(file: &File, position: u64) -> bool {
    let mut byte = [0u8; 1];
    let iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    let Ok(at) = libc::off_t::try_from(position) else { return false };
    // SAFETY: the descriptor is open while borrowed; the vector points to a live buffer of the length it says.
    let n = unsafe { libc::preadv2(file.as_raw_fd(), &raw const iov, 1, at, libc::RWF_NOWAIT) };
    n < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

/// Reads a range for no other end than that the page cache has it. What the file does not have (any more) is not missed: who sends it
/// finds out.
///
/// Plain reads in order: the kernel reads ahead of them with large pages, which `posix_fadvise(WILLNEED)` does not.
fn read_through(file: &File, position: u64, len: u32) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES.min(len as usize)];
    let end = position + u64::from(len);
    let mut at = position;
    while at < end {
        let wanted = chunk.len().min(usize::try_from(end - at).unwrap_or(chunk.len()));
        match file.read_at(&mut chunk[..wanted], at) {
            Ok(0) => break,
            Ok(n) => at += n as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose data is on the disk only; `None` where the file system has no disk (tmpfs) or keeps what it likes.
    fn cold_file(bytes: &[u8]) -> Option<FileRange> {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        assert!(is_cached(&file, 0, bytes.len() as u32), "what was just written is there");
        drop_from_cache(&file);
        let range = FileRange { file: Arc::new(file), position: 0, len: bytes.len() as u32 };
        (!is_cached(&range.file, 0, range.len)).then_some(range)
    }

    fn drop_from_cache(file: &File) {
        file.sync_all().unwrap();
        // SAFETY: the descriptor is open; advice touches no memory of ours.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }

    #[tokio::test]
    async fn what_the_page_cache_has_dropped_is_told_and_brought_back() {
        let bytes = vec![7; 3 << 20];
        let Some(range) = cold_file(&bytes) else { return };
        let middle = FileRange { position: (1 << 20) + 5, len: 1 << 20, ..range.clone() };
        ColdReads::default().bring_in(middle.clone()).await.unwrap();
        assert!(is_cached(&range.file, middle.position, middle.len));
        ColdReads::default().bring_in(range.clone()).await.unwrap();
        assert!(is_cached(&range.file, 0, range.len));
        // Beyond the end there is nothing to wait for.
        ColdReads::default().bring_in(FileRange { position: 9 << 20, ..range }).await.unwrap();
    }

    #[tokio::test]
    async fn no_more_reads_run_at_a_time_than_there_are_threads_for() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (reads, gate) = (Arc::new(ColdReads::default()), Arc::new(std::sync::Barrier::new(COLD_READS_MAX)));
        let running = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..COLD_READS_MAX * 3)
            .map(|_| {
                let (reads, gate, running) = (Arc::clone(&reads), Arc::clone(&gate), Arc::clone(&running));
                tokio::spawn(async move {
                    let work = move || {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        // Passes only with as many as may run.
                        gate.wait();
                        running.fetch_sub(1, Ordering::SeqCst);
                        now
                    };
                    reads.run(work).await.unwrap()
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap() <= COLD_READS_MAX);
        }
    }

    #[tokio::test]
    async fn a_read_keeps_its_place_when_nobody_waits_for_it_any_more() {
        let reads = ColdReads::default();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let work = move || {
            began.send(()).unwrap();
            // Ends when the other end is dropped.
            let _ = held.recv();
        };
        tokio::select! {
            biased;
            _ = reads.run(work) => panic!("it is held"),
            begun = begun => begun.unwrap(),
        }
        assert_eq!(reads.running(), 1, "its connection is gone, its thread is not");
        drop(hold);
        let all = u32::try_from(COLD_READS_MAX).unwrap();
        drop(tokio::time::timeout(Duration::from_secs(60), reads.running.acquire_many(all)).await.expect("its place is free"));
        assert_eq!(reads.running(), 0);
    }
}
