//! Calls that do not return: which are in flight, and who notices.
//!
//! Each log directory has a list of the calls to its disk, each connection's thread a mark while it works. Whoever makes a call takes a
//! free slot of the list and gives it back: two writes to memory that no other thread writes to at the time. One thread looks at the
//! lists every [`LOOK_INTERVAL`], while there is anything to see, and counts in how many looks it has seen the same call. It counts looks
//! and not time, so that a process that was stopped for a while takes no disk for hung.
//!
//! * In flight for some 50 ms ([`SLOW_LOOKS`]): the directory is slow, and network threads leave it alone until it has been quick for a second.
//! * For 2 s ([`HUNG_LOOKS`]) while the device completes nothing, or for 30 s ([`LOST_LOOKS`]): the directory has failed. A sync of much
//!   data on a slow disk takes longer than 2 s too, and must not cost the directory; so where the system counts what a device completes,
//!   it is asked.
//!
//! Owns no thread that makes calls, and cannot end a call: what hangs in the kernel stays there.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use ottla_log::disk::{DirEntry, Disk, DiskFile, FileStat, HandleCache, OpenMode, Space};
use ottla_wire::RecordFragment;
use parking_lot::Mutex;

use super::LogDir;
use crate::threads::NetworkThreads;

/// Time from one look to the next.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Looks that see the same call, other than one that may take long, before the directory counts as slow.
pub const SLOW_LOOKS: u32 = 3;
/// Looks without such a call after which it counts as quick again: a second.
const QUICK_LOOKS: u32 = 50;
/// Looks that see the same call before the directory has failed, unless the device gets on: 2 s.
pub const HUNG_LOOKS: u32 = 100;
/// The same, even if the device gets on, with what others ask of it perhaps: 30 s.
pub const LOST_LOOKS: u32 = 1500;
/// A device that has completed something within so many looks gets on: a second.
const PROGRESS_LOOKS: u32 = 50;
/// Looks from one question to the device to the next.
const ASK_LOOKS: u32 = 10;
/// Looks without anything to see, after which the thread sleeps until there is: a second.
const QUIET_LOOKS: u32 = 50;
/// Calls of one list that are watched at a time. More are not watched, but then there are enough to see.
const SLOTS: usize = 64;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    Open = 1,
    Write,
    Read,
    Look,
    Rename,
    /// The rest may take long without anything being wrong.
    Remove,
    Truncate,
    Sync,
    /// A network thread at work on a connection.
    Connection,
}

impl Call {
    const ALL: [Call; 9] =
        [Call::Open, Call::Write, Call::Read, Call::Look, Call::Rename, Call::Remove, Call::Truncate, Call::Sync, Call::Connection];

    fn from_bits(bits: u64) -> Option<Call> {
        Call::ALL.get(usize::try_from(bits & KIND_MASK).ok()?.checked_sub(1)?).copied()
    }

    fn is_quick(self) -> bool {
        match self {
            Call::Open | Call::Write | Call::Read | Call::Look | Call::Rename | Call::Connection => true,
            Call::Remove | Call::Truncate | Call::Sync => false,
        }
    }
}

const KIND_MASK: u64 = 0xff;
/// Added to a slot with each call, so that two calls after one another are told apart.
const NEXT: u64 = KIND_MASK + 1;

/// On a line of the processor's cache for itself.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot(AtomicU64);

/// The calls in flight of one kind of thing.
pub(crate) struct Calls {
    slots: Box<[Slot]>,
    alarm: Arc<Alarm>,
}

/// Wakes the thread that looks.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    awake: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Alarm {
    #[cold]
    fn ring(&self) {
        if !self.awake.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

thread_local! {
    /// Where this thread begins to look for a free slot: most often it finds its own.
    static FIRST_SLOT: Cell<usize> = {
        static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);
        Cell::new(NEXT_THREAD.fetch_add(1, Ordering::Relaxed))
    };
}

impl Calls {
    pub fn new(alarm: Arc<Alarm>) -> Calls {
        Calls { slots: (0..SLOTS).map(|_| Slot::default()).collect(), alarm }
    }

    /// A call is made, and in flight until what this gives is dropped.
    #[inline]
    pub fn enter(&self, call: Call) -> Option<InFlight<'_>> {
        let first = FIRST_SLOT.get();
        for nth in 0..SLOTS {
            let slot = &self.slots[(first + nth) % SLOTS].0;
            let before = slot.load(Ordering::Relaxed);
            let value = before.wrapping_add(NEXT) | call as u64;
            if before & KIND_MASK == 0 && slot.compare_exchange(before, value, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                if !self.alarm.awake.load(Ordering::SeqCst) {
                    self.alarm.ring();
                }
                return Some(InFlight { slot, value });
            }
        }
        None
    }

    fn any(&self) -> bool {
        self.slots.iter().any(|slot| slot.0.load(Ordering::SeqCst) & KIND_MASK != 0)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

/// See [`Calls::enter`].
pub(crate) struct InFlight<'a> {
    slot: &'a AtomicU64,
    value: u64,
}

impl Drop for InFlight<'_> {
    #[inline]
    fn drop(&mut self) {
        self.slot.store(self.value & !KIND_MASK, Ordering::Release);
    }
}

/// What was seen of one list.
pub(crate) struct Seen {
    slots: [(u64, u32); SLOTS],
}

/// What one look at a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Something is in flight, or was since the look before.
    pub is_busy: bool,
    /// Most looks that have seen a call that is still in flight, and which call that is.
    pub longest: Option<(u32, Call)>,
    /// Calls that should be quick and have been seen in [`SLOW_LOOKS`] looks.
    pub slow: usize,
}

impl Seen {
    pub fn new() -> Seen {
        Seen { slots: [(0, 0); SLOTS] }
    }

    pub fn look(&mut self, calls: &Calls) -> Look {
        let mut look = Look::default();
        for (slot, (value, looks)) in calls.slots.iter().zip(&mut self.slots) {
            let now = slot.0.load(Ordering::Acquire);
            if now != *value {
                (*value, *looks) = (now, 0);
                look.is_busy = true;
            }
            let Some(call) = Call::from_bits(now) else { continue };
            look.is_busy = true;
            *looks = looks.saturating_add(1);
            if look.longest.is_none_or(|(longest, _)| *looks > longest) {
                look.longest = Some((*looks, call));
            }
            look.slow += usize::from(call.is_quick() && *looks > SLOW_LOOKS);
        }
        look
    }
}

/// The thread that looks.
pub(crate) struct Watcher {
    stopping: Arc<AtomicBool>,
    threads: NetworkThreads,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watcher {
    /// Of these threads, and of the directories that it is started with.
    pub(crate) fn new(threads: NetworkThreads) -> Watcher {
        Watcher { stopping: Arc::default(), threads, thread: Mutex::default() }
    }

    pub(crate) fn start(&self, dirs: &[Arc<LogDir>]) -> io::Result<()> {
        let dirs: Vec<WatchedDir> = dirs.iter().map(WatchedDir::new).collect();
        let (stopping, threads) = (Arc::clone(&self.stopping), self.threads.clone());
        let thread = std::thread::Builder::new().name("ottla-watch".to_owned()).spawn(move || run(&stopping, &threads, dirs))?;
        // Set already only if it was started before, which it is not.
        let _ = self.threads.alarm().thread.set(thread.thread().clone());
        *self.thread.lock() = Some(thread);
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.lock().take() {
            thread.thread().unpark();
        }
    }
}

struct WatchedDir {
    dir: Weak<LogDir>,
    calls: Arc<Calls>,
    seen: Seen,
    /// Looks since one of its calls was slow.
    quick_looks: u32,
    device: Device,
}

impl WatchedDir {
    fn new(dir: &Arc<LogDir>) -> WatchedDir {
        let device = Device::of(dir.path());
        WatchedDir { dir: Arc::downgrade(dir), calls: Arc::clone(dir.calls()), seen: Seen::new(), quick_looks: 0, device }
    }

    /// Looks once; gives whether there was anything to see.
    fn look(&mut self) -> bool {
        let look = self.seen.look(&self.calls);
        let Some(dir) = self.dir.upgrade() else { return false };
        if dir.is_offline() {
            return false;
        }
        if look.slow > 0 {
            self.quick_looks = 0;
            dir.become_slow();
        } else {
            self.quick_looks = self.quick_looks.saturating_add(1);
            if self.quick_looks == QUICK_LOOKS {
                dir.become_quick();
            }
        }
        let (looks, call) = look.longest.unwrap_or((0, Call::Look));
        let gets_on = self.device.gets_on(looks);
        if looks >= LOST_LOOKS || (looks >= HUNG_LOOKS && !gets_on) {
            let waited = LOOK_INTERVAL * looks;
            let why = format!("{call:?} has not returned for {} ms", waited.as_millis());
            dir.fail("waiting for the disk", &io::Error::new(io::ErrorKind::TimedOut, why));
        }
        look.is_busy || dir.is_slow()
    }
}

fn run(stopping: &AtomicBool, threads: &NetworkThreads, mut dirs: Vec<WatchedDir>) {
    let alarm = threads.alarm();
    let mut threads_seen = Seen::new();
    let mut quiet = 0;
    while !stopping.load(Ordering::SeqCst) {
        let mut is_busy = false;
        for dir in &mut dirs {
            is_busy |= dir.look();
        }
        let look = threads_seen.look(threads.calls());
        is_busy |= threads.stand_in(look.slow) || look.is_busy;
        quiet = if is_busy { 0 } else { quiet + 1 };
        if quiet < QUIET_LOOKS {
            std::thread::park_timeout(LOOK_INTERVAL);
            continue;
        }
        alarm.awake.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Whoever makes a call marks it first and looks whether this thread is awake second: one of the two sees the other.
        let anything = dirs.iter().any(|dir| dir.calls.any()) || threads.calls().any();
        if !anything && !stopping.load(Ordering::SeqCst) {
            std::thread::park();
        }
        alarm.awake.store(true, Ordering::SeqCst);
        quiet = 0;
    }
}

/// The block device under a folder, as far as the system counts what it completes.
struct Device {
    statistics: Option<PathBuf>,
    completed: u64,
    /// Looks since it was seen to complete something.
    idle_looks: u32,
}

impl Device {
    fn of(folder: &Path) -> Device {
        use std::os::unix::fs::MetadataExt;
        let device = std::fs::metadata(folder).map(|meta| meta.dev()).unwrap_or(0);
        let path = PathBuf::from(format!("/sys/dev/block/{}:{}/stat", libc::major(device), libc::minor(device)));
        Device { statistics: path.exists().then_some(path), completed: 0, idle_looks: 0 }
    }

    /// Whether the device has completed anything lately. Asked only once a call has been in flight for a while.
    fn gets_on(&mut self, looks: u32) -> bool {
        if looks + PROGRESS_LOOKS < HUNG_LOOKS {
            self.idle_looks = PROGRESS_LOOKS;
            return true;
        }
        self.idle_looks = self.idle_looks.saturating_add(1);
        if looks.is_multiple_of(ASK_LOOKS)
            && let Some(completed) = self.ask()
            && completed != self.completed
        {
            self.idle_looks = if self.completed == 0 { PROGRESS_LOOKS } else { 0 };
            self.completed = completed;
        }
        self.idle_looks < PROGRESS_LOOKS
    }

    /// Reads and writes completed: the first and the fifth number.
    fn ask(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.statistics.as_ref()?).ok()?;
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        let reads = numbers.next()?;
        Some(reads + numbers.nth(3)? + 1)
    }
}

/// A disk whose calls are watched.
#[derive(Debug)]
pub(super) struct WatchedDisk {
    pub inner: Arc<dyn Disk>,
    pub calls: Arc<Calls>,
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn DiskFile>,
    calls: Arc<Calls>,
}

impl Disk for WatchedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let _call = self.calls.enter(Call::Open);
        Ok(Arc::new(WatchedFile { inner: self.inner.open(path, mode)?, calls: Arc::clone(&self.calls) }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _call = self.calls.enter(Call::Rename);
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let _call = self.calls.enter(Call::Remove);
        self.inner.remove_file(path)
    }
    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let _call = self.calls.enter(Call::Look);
        self.inner.list_dir(path)
    }
    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let _call = self.calls.enter(Call::Look);
        self.inner.stat(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let _call = self.calls.enter(Call::Open);
        self.inner.create_dir_all(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let _call = self.calls.enter(Call::Remove);
        self.inner.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let _call = self.calls.enter(Call::Sync);
        self.inner.sync_dir(path)
    }
    fn sync_fs(&self, path: &Path) -> io::Result<()> {
        let _call = self.calls.enter(Call::Sync);
        self.inner.sync_fs(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        let _call = self.calls.enter(Call::Look);
        self.inner.space(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let _call = self.calls.enter(Call::Open);
        self.inner.try_lock(path)
    }
    fn handles(&self) -> &HandleCache {
        self.inner.handles()
    }
}

impl DiskFile for WatchedFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let _call = self.calls.enter(Call::Write);
        self.inner.write_vectored_at(slices, position)
    }
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let _call = self.calls.enter(Call::Read);
        self.inner.read_at(buf, position)
    }
    fn len(&self) -> io::Result<u64> {
        let _call = self.calls.enter(Call::Look);
        self.inner.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        let _call = self.calls.enter(Call::Truncate);
        self.inner.truncate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        let _call = self.calls.enter(Call::Sync);
        self.inner.sync_data()
    }
    fn fragment(&self, position: u64, len: u32) -> io::Result<RecordFragment> {
        self.inner.fragment(position, len)
    }
}
