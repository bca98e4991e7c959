//! A disk in memory that knows what is lasting: for tests of what a crash leaves.
//!
//! Each file has what was written (the page cache) and what was synced (the platter), each folder the names it shows and
//! those that would be there after a power loss. [`MemDisk::crash`] throws away what was not synced, by a seed:
//! * of each sector (512 bytes) that was written since the file's last sync, the old or the new content stays, each for
//!   itself: writes are torn and reordered;
//! * a file that grew ends up anywhere between the synced and the written length; one that was cut is cut or is not;
//! * of the changes to a folder since its last sync the first few stay, as a journalling file system has it; or new names each for
//!   itself, and of renames and removals the first few. The data of files is in no order with them.
//!
//! Calls can be made to fail: one of them with an error of choice, all from some call on, as if the machine had died in the middle of
//! it, or those that need room for a while. And it can be given a size, and be full. A sync that fails leaves some of what it was to write on the platter and the rest
//! nowhere: the next one does not bring it back (as on Linux, where pages that could not be written are called clean).
//!
//! A copy of the disk at any moment costs little ([`MemDisk::watch`]): contents are shared until they change.

mod content;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use ottla_model::TimestampMs;
use ottla_wire::RecordFragment;
use parking_lot::{Mutex, MutexGuard};

use super::{DirEntry, Disk, DiskFile, FileStat, HandleCache, OpenMode, Space};
use content::{Change, Inode, MemInode, Names, Node, Random, left_of, moved};

/// What it says of a size that it does not have.
const PLENTY: Space = Space { total_bytes: 1 << 40, free_bytes: 1 << 39 };
const HANDLES_OPEN_MAX: usize = 16;

/// What goes wrong, and at which call (counted from 0 over the disk's life, see [`MemDisk::calls`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This one call fails; the next work again. A write may have been done in part.
    Once {
        /// The call.
        call: u64,
        /// Its error, e.g. `StorageFull`.
        error: io::ErrorKind,
    },
    /// This call and all later ones fail: the machine died in it.
    Halt {
        /// The call.
        call: u64,
    },
    /// There is no room for a while: of these calls those that need some fail with `StorageFull`.
    Full {
        /// The first call.
        call: u64,
        /// How many calls, those that need no room included.
        calls: u64,
    },
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reads bytes, names or sizes, or takes away: needs no room.
    Look,
    /// Writes bytes or makes names: fails when the disk is full.
    Grow,
    /// Makes something lasting.
    Sync,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemDisk(Arc<Shared>);

type Watcher = Arc<dyn Fn(Call, MemDisk) + Send + Sync>;

struct Shared {
    state: Mutex<State>,
    handles: HandleCache,
    watcher: Mutex<Option<Watcher>>,
}

#[derive(Clone, Debug)]
struct State {
    calls: u64,
    fault: Option<Fault>,
    /// How much room there is; `None`: enough.
    space: Option<Space>,
    next_inode: Inode,
    files: BTreeMap<Inode, Arc<MemInode>>,
    /// Names as seen now.
    names: Arc<Names>,
    /// Names that a power loss would leave.
    lasting: Arc<Names>,
    /// Changes to each folder since it was synced, in order.
    pending: Arc<BTreeMap<Arc<Path>, Vec<Change>>>,
    locks: BTreeMap<PathBuf, Weak<()>>,
    /// Open handles of an earlier life are dead after a crash.
    life: u64,
}

#[derive(Debug)]
struct MemFile {
    disk: Arc<Shared>,
    inode: Inode,
    life: u64,
    writable: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.lock().fmt(f)
    }
}

impl MemDisk {
    /// An empty disk with the folder `/` only.
    pub fn new() -> MemDisk {
        let root = Arc::new(Names::from([(Path::new("/").into(), Node::Dir)]));
        MemDisk::of(State {
            calls: 0,
            fault: None,
            space: None,
            next_inode: 1,
            files: BTreeMap::new(),
            names: Arc::clone(&root),
            lasting: root,
            pending: Arc::default(),
            locks: BTreeMap::new(),
            life: 0,
        })
    }

    fn of(state: State) -> MemDisk {
        MemDisk(Arc::new(Shared { state: Mutex::new(state), handles: HandleCache::new(HANDLES_OPEN_MAX), watcher: Mutex::default() }))
    }

    /// Calls made so far, failed ones included. Reads count too.
    pub fn calls(&self) -> u64 {
        self.0.state.lock().calls
    }

    /// Sets what will go wrong; `None`: nothing.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.0.state.lock().fault = fault;
    }

    /// Gives it a size; `None`: as much as is asked for. What is written from now on takes room, what is cut or removed gives it back.
    pub fn set_space(&self, space: Option<Space>) {
        self.0.state.lock().space = space;
    }

    /// What is left of its size, in bytes.
    pub fn space_left(&self) -> u64 {
        self.0.state.lock().space.unwrap_or(PLENTY).free_bytes
    }

    /// Before each call from now on `watcher` is given what the call does, and a copy of the disk as it is in the middle of it: of a
    /// write the first half is done. The watcher must not use the disk that it watches.
    pub fn watch(&self, watcher: impl Fn(Call, MemDisk) + Send + Sync + 'static) {
        *self.0.watcher.lock() = Some(Arc::new(watcher));
    }

    /// Ends [`MemDisk::watch`].
    pub fn unwatch(&self) {
        *self.0.watcher.lock() = None;
    }

    /// A copy of the disk as it is, without faults and with room, to crash in several ways.
    pub fn fork(&self) -> MemDisk {
        MemDisk::of(self.0.state.lock().fork())
    }

    /// The power goes: what was not synced is dropped, kept or torn by `seed`. Gives the disk as it is found afterwards,
    /// without faults; handles of this one are dead.
    pub fn crash(&self, seed: u64) -> MemDisk {
        let mut random = Random(seed);
        let mut state = self.0.state.lock();
        state.life += 1;
        let mut names = Arc::unwrap_or_clone(std::mem::take(&mut state.lasting));
        for changes in Arc::unwrap_or_clone(std::mem::take(&mut state.pending)).into_values() {
            left_of(changes, &mut random).into_iter().for_each(|change| change.apply(&mut names));
        }
        // What stands in a folder that was lost is lost with it.
        let orphans: Vec<Arc<Path>> = names
            .keys()
            .filter(|p| p.ancestors().skip(1).any(|a| !a.as_os_str().is_empty() && names.get(a) != Some(&Node::Dir)))
            .cloned()
            .collect();
        for path in orphans {
            names.remove(&path);
        }
        let reachable: BTreeSet<Inode> = names.values().filter_map(|n| if let Node::File(i) = n { Some(*i) } else { None }).collect();
        let files = std::mem::take(&mut state.files).into_iter().filter(|(i, _)| reachable.contains(i));
        let files = files.map(|(i, file)| (i, Arc::new(Arc::unwrap_or_clone(file).after_crash(&mut random)))).collect();
        let names = Arc::new(names);
        MemDisk::of(State {
            calls: 0,
            fault: None,
            space: None,
            next_inode: state.next_inode,
            files,
            lasting: Arc::clone(&names),
            names,
            pending: Arc::default(),
            locks: BTreeMap::new(),
            life: 0,
        })
    }

    /// The process dies but the machine lives: everything written is there, open handles and locks are gone.
    pub fn kill(&self) -> MemDisk {
        let mut state = self.0.state.lock();
        state.life += 1;
        let left = State { calls: 0, ..state.fork() };
        state.files.clear();
        MemDisk::of(left)
    }

    /// Flips bits in a file's content, written and synced alike: what a failing disk does.
    pub fn damage(&self, path: &Path, position: usize, xor: u8) -> io::Result<()> {
        let mut state = self.0.state.lock();
        let Some(Node::File(inode)) = state.names.get(path).copied() else { return Err(io::ErrorKind::NotFound.into()) };
        let file = state.file_mut(inode)?;
        for content in [&mut file.written, &mut file.synced] {
            if let Some(byte) = content.get_mut(position) {
                *byte ^= xor;
            }
        }
        Ok(())
    }
}

impl Default for MemDisk {
    fn default() -> Self {
        MemDisk::new()
    }
}

impl Shared {
    /// Counts a call; `Err` when it is one that fails.
    fn call(&self, what: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        self.show(&state, what, |_| {});
        state.call(what)?;
        Ok(state)
    }

    fn show(&self, state: &State, what: Call, half_done: impl FnOnce(&mut State)) {
        let watcher = self.watcher.lock().clone();
        if let Some(watcher) = watcher {
            let mut fork = state.fork();
            half_done(&mut fork);
            watcher(what, MemDisk::of(fork));
        }
    }
}

impl State {
    fn fork(&self) -> State {
        State { fault: None, space: None, locks: BTreeMap::new(), life: 0, ..self.clone() }
    }

    fn call(&mut self, what: Call) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::Once { call: at, error }) if at == call => Err(error.into()),
            Some(Fault::Halt { call: at }) if call >= at => Err(io::Error::other("the machine has died")),
            Some(Fault::Full { call: at, calls }) if what == Call::Grow && (at..at.saturating_add(calls)).contains(&call) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    /// Takes this much room; gives how much of it there was.
    fn take_room(&mut self, bytes: usize) -> usize {
        let Some(space) = &mut self.space else { return bytes };
        let taken = space.free_bytes.min(bytes as u64);
        space.free_bytes -= taken;
        taken as usize
    }

    fn give_room(&mut self, bytes: usize) {
        if let Some(space) = &mut self.space {
            space.free_bytes += bytes as u64;
        }
    }

    /// A new name needs room, though no bytes are counted for it.
    fn room_for_name(&self) -> io::Result<()> {
        if self.space.is_some_and(|space| space.free_bytes == 0) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn change(&mut self, change: Change) {
        let dir = change.path().parent().unwrap_or(Path::new("/"));
        let pending = Arc::make_mut(&mut self.pending);
        match pending.get_mut(dir) {
            Some(changes) => changes.push(change.clone()),
            None => {
                pending.insert(dir.into(), vec![change.clone()]);
            }
        }
        change.apply(Arc::make_mut(&mut self.names));
    }

    fn sync_dir(&mut self, path: &Path, only: impl FnOnce(Vec<Change>) -> Vec<Change>) {
        if self.pending.contains_key(path) {
            let changes = Arc::make_mut(&mut self.pending).remove(path).unwrap_or_default();
            let lasting = Arc::make_mut(&mut self.lasting);
            only(changes).into_iter().for_each(|change| change.apply(lasting));
        }
    }

    fn dir_exists(&self, path: &Path) -> io::Result<()> {
        if self.names.get(path) == Some(&Node::Dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn file(&self, path: &Path) -> io::Result<&MemInode> {
        match self.names.get(path) {
            Some(Node::File(inode)) => self.files.get(inode).map(|file| &**file).ok_or_else(|| io::ErrorKind::NotFound.into()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file_mut(&mut self, inode: Inode) -> io::Result<&mut MemInode> {
        self.files.get_mut(&inode).map(Arc::make_mut).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let makes = matches!(mode, OpenMode::Create | OpenMode::CreateNew) && !self.0.state.lock().names.contains_key(path);
        let mut state = self.0.call(if makes { Call::Grow } else { Call::Look })?;
        let inode = match (state.names.get(path).copied(), mode) {
            (Some(Node::Dir), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(inode)), _) => inode,
            (None, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                state.dir_exists(path.parent().unwrap_or(Path::new("/")))?;
                state.room_for_name()?;
                let inode = state.next_inode;
                state.next_inode += 1;
                state.files.insert(inode, Arc::default());
                state.change(Change::Put(path.into(), Node::File(inode)));
                inode
            }
        };
        Ok(Arc::new(MemFile { disk: Arc::clone(&self.0), inode, life: state.life, writable: mode != OpenMode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.call(Call::Grow)?;
        let node = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.dir_exists(to.parent().unwrap_or(Path::new("/")))?;
        if from.parent() != to.parent() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "renames stay within their folder"));
        }
        if node == Node::Dir {
            if state.names.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            // What was changed in it and not synced goes along.
            let pending = Arc::make_mut(&mut state.pending);
            let inside: Vec<Arc<Path>> = pending.keys().filter(|dir| dir.starts_with(from)).cloned().collect();
            for dir in inside {
                let changes = pending.remove(&dir).unwrap_or_default();
                let changes = changes.into_iter().map(|change| change.moved(from, to)).collect();
                pending.insert(moved(&dir, from, to), changes);
            }
        }
        let replaced = state.file(to).map_or(0, |file| file.written.len());
        state.give_room(replaced);
        state.change(Change::Rename(from.into(), to.into(), node));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.call(Call::Look)?;
        let len = state.file(path)?.written.len();
        state.give_room(len);
        state.change(Change::Remove(path.into()));
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.0.call(Call::Look)?;
        state.dir_exists(path)?;
        let below = state.names.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded)).take_while(|(p, _)| p.starts_with(path));
        let inside = below.filter(|(p, _)| p.parent() == Some(path));
        Ok(inside
            .filter_map(|(p, node)| Some(DirEntry { name: p.file_name()?.to_str()?.to_owned(), is_dir: *node == Node::Dir }))
            .collect())
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let state = self.0.call(Call::Look)?;
        Ok(FileStat { len: state.file(path)?.written.len() as u64, modified: TimestampMs(0) })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.call(Call::Grow)?;
        let missing: Vec<Arc<Path>> = path.ancestors().take_while(|a| !state.names.contains_key(*a)).map(Arc::from).collect();
        if !missing.is_empty() {
            state.room_for_name()?;
        }
        for dir in missing.into_iter().rev() {
            state.change(Change::Put(dir, Node::Dir));
        }
        state.dir_exists(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.call(Call::Look)?;
        state.dir_exists(path)?;
        let inside: Vec<Arc<Path>> = state.names.keys().filter(|p| p.starts_with(path)).cloned().collect();
        for path in inside.into_iter().rev() {
            let len = state.file(&path).map_or(0, |file| file.written.len());
            state.give_room(len);
            state.change(Change::Remove(path));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        self.0.show(&state, Call::Sync, |_| {});
        let outcome = state.call(Call::Sync);
        if outcome.is_err() {
            let mut random = Random(state.calls);
            state.sync_dir(path, |changes| left_of(changes, &mut random));
            return outcome;
        }
        state.dir_exists(path)?;
        state.sync_dir(path, |changes| changes);
        Ok(())
    }

    fn sync_fs(&self, _path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        self.0.show(&state, Call::Sync, |_| {});
        let outcome = state.call(Call::Sync);
        let mut random = Random(state.calls);
        let dirs: Vec<Arc<Path>> = state.pending.keys().cloned().collect();
        for dir in dirs {
            let failed = outcome.is_err();
            state.sync_dir(&dir, |changes| if failed { left_of(changes, &mut random) } else { changes });
        }
        for file in state.files.values_mut() {
            let file = Arc::make_mut(file);
            if outcome.is_err() { file.fail_to_sync(&mut random) } else { file.sync() }
        }
        outcome
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Ok(self.0.state.lock().space.unwrap_or(PLENTY))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.open(path, OpenMode::Create)?;
        let mut state = self.0.state.lock();
        if state.locks.get(path).is_some_and(|held| held.strong_count() > 0) {
            return Ok(None);
        }
        let lock = Arc::new(());
        state.locks.insert(path.to_owned(), Arc::downgrade(&lock));
        Ok(Some(Box::new(lock)))
    }

    fn handles(&self) -> &HandleCache {
        &self.0.handles
    }
}

impl MemFile {
    fn check_alive(&self, state: &State) -> io::Result<()> {
        if state.life == self.life { Ok(()) } else { Err(io::Error::other("a handle from before the crash")) }
    }

    fn read<T>(&self, f: impl FnOnce(&MemInode) -> io::Result<T>) -> io::Result<T> {
        let state = self.disk.call(Call::Look)?;
        self.check_alive(&state)?;
        f(state.files.get(&self.inode).ok_or(io::ErrorKind::NotFound)?)
    }
}

impl DiskFile for MemFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let all: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
        let from = usize::try_from(position).map_err(io::Error::other)?;
        let half = &all[..all.len() / 2];
        let mut state = self.disk.state.lock();
        self.disk.show(&state, Call::Grow, |state| {
            if let Ok(file) = state.file_mut(self.inode) {
                file.write(half, from);
            }
        });
        let mut outcome = state.call(Call::Grow);
        self.check_alive(&state)?;
        // A write that fails may have been done in part.
        let mut bytes = if outcome.is_err() { half } else { &all };
        let grows = (from + bytes.len()).saturating_sub(state.file_mut(self.inode)?.written.len());
        let missing = grows - state.take_room(grows);
        if missing > 0 {
            // As much as fits is there: what the real thing does too.
            bytes = &bytes[..bytes.len().saturating_sub(missing)];
            outcome = outcome.and(Err(io::ErrorKind::StorageFull.into()));
        }
        state.file_mut(self.inode)?.write(bytes, from);
        outcome
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.read(|file| {
            let from = usize::try_from(position).map_err(io::Error::other)?.min(file.written.len());
            let n = buf.len().min(file.written.len() - from);
            buf[..n].copy_from_slice(&file.written[from..from + n]);
            Ok(n)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.read(|file| Ok(file.written.len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.call(Call::Look)?;
        self.check_alive(&state)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let file = state.file_mut(self.inode)?;
        let cut = file.written.len().saturating_sub(len);
        file.truncate(len);
        state.give_room(cut);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.disk.show(&state, Call::Sync, |_| {});
        let outcome = state.call(Call::Sync);
        self.check_alive(&state)?;
        let mut random = Random(state.calls);
        let file = state.file_mut(self.inode)?;
        if outcome.is_err() {
            file.fail_to_sync(&mut random)
        } else {
            file.sync()
        }
        outcome
    }

    fn fragment(&self, position: u64, len: u32) -> io::Result<RecordFragment> {
        let mut bytes = vec![0; len as usize];
        let n = self.read_at(&mut bytes, position)?;
        bytes.truncate(n);
        Ok(RecordFragment::Bytes(Bytes::from(bytes)))
    }
}
