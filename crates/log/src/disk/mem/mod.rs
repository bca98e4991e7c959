//! A disk in memory that knows what is lasting: for tests of what a crash leaves.
//!
//! Each file has what was written (the page cache) and what was synced (the platter), each folder the names it shows and
//! those that would be there after a power loss. [`MemDisk::crash`] throws away what was not synced, by a seed:
//! * of each sector (512 bytes) that was written since the file's last sync, the old or the new content stays, each for
//!   itself: writes are torn and reordered;
//! * a file's length ends up anywhere between the synced and the written one;
//! * of the changes to a folder since its last sync the first few stay. (Names change in order, as in every journalling
//!   file system; the data of files is in no order with them.)
//!
//! Calls can be made to fail: one of them with an error of choice, or all from some call on, as if the machine had died
//! in the middle of it. And it can be given a size, and be full.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use ottla_model::TimestampMs;
use ottla_wire::RecordFragment;
use parking_lot::Mutex;

use super::{DirEntry, Disk, DiskFile, FileStat, HandleCache, OpenMode, Space};

const SECTOR_BYTES: usize = 512;
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
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    handles: HandleCache,
}

type Inode = u64;

#[derive(Debug)]
struct State {
    calls: u64,
    fault: Option<Fault>,
    /// How much room there is; `None`: enough.
    space: Option<Space>,
    next_inode: Inode,
    files: BTreeMap<Inode, MemInode>,
    /// Names as seen now: files and folders by full path.
    names: BTreeMap<PathBuf, Node>,
    /// Names that a power loss would leave.
    lasting: BTreeMap<PathBuf, Node>,
    /// Changes to each folder since it was synced, in order.
    pending: BTreeMap<PathBuf, Vec<Change>>,
    locks: BTreeMap<PathBuf, Weak<()>>,
    /// Open handles of an earlier life are dead after a crash.
    life: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(Inode),
    Dir,
}

#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Node),
    Remove(PathBuf),
    /// One journal entry: a crash leaves both of its halves or none.
    Rename(PathBuf, PathBuf, Node),
}

#[derive(Debug, Default)]
struct MemInode {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

#[derive(Debug)]
struct MemFile {
    disk: Arc<Shared>,
    inode: Inode,
    life: u64,
    writable: bool,
}

/// A small generator (SplitMix64): the same seed gives the same crash on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn up_to(&mut self, max: usize) -> usize {
        (self.next() % (max as u64 + 1)) as usize
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

impl MemDisk {
    /// An empty disk with the folder `/` only.
    pub fn new() -> MemDisk {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Dir)]);
        MemDisk(Arc::new(Shared {
            state: Mutex::new(State {
                calls: 0,
                fault: None,
                space: None,
                next_inode: 1,
                files: BTreeMap::new(),
                names: root.clone(),
                lasting: root,
                pending: BTreeMap::new(),
                locks: BTreeMap::new(),
                life: 0,
            }),
            handles: HandleCache::new(HANDLES_OPEN_MAX),
        }))
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

    /// The power goes: what was not synced is dropped, kept or torn by `seed`. Gives the disk as it is found afterwards,
    /// without faults; handles of this one are dead.
    pub fn crash(&self, seed: u64) -> MemDisk {
        let mut random = Random(seed);
        let mut state = self.0.state.lock();
        state.life += 1;
        let mut names = std::mem::take(&mut state.lasting);
        for changes in std::mem::take(&mut state.pending).into_values() {
            let keep = random.up_to(changes.len());
            for change in changes.into_iter().take(keep) {
                change.apply(&mut names);
            }
        }
        // What stands in a folder that was lost is lost with it.
        let orphans: Vec<PathBuf> = names
            .keys()
            .filter(|p| p.ancestors().skip(1).any(|a| !a.as_os_str().is_empty() && names.get(a) != Some(&Node::Dir)))
            .cloned()
            .collect();
        for path in orphans {
            names.remove(&path);
        }
        let reachable: BTreeSet<Inode> = names.values().filter_map(|n| if let Node::File(i) = n { Some(*i) } else { None }).collect();
        let files = std::mem::take(&mut state.files);
        let files = files.into_iter().filter(|(i, _)| reachable.contains(i)).map(|(i, f)| (i, f.after_crash(&mut random))).collect();
        MemDisk(Arc::new(Shared {
            state: Mutex::new(State {
                calls: 0,
                fault: None,
                space: None,
                next_inode: state.next_inode,
                files,
                lasting: names.clone(),
                names,
                pending: BTreeMap::new(),
                locks: BTreeMap::new(),
                life: 0,
            }),
            handles: HandleCache::new(HANDLES_OPEN_MAX),
        }))
    }

    /// The process dies but the machine lives: everything written is there, open handles and locks are gone.
    pub fn kill(&self) -> MemDisk {
        let mut state = self.0.state.lock();
        state.life += 1;
        MemDisk(Arc::new(Shared {
            state: Mutex::new(State {
                calls: 0,
                fault: None,
                space: None,
                next_inode: state.next_inode,
                files: std::mem::take(&mut state.files),
                names: std::mem::take(&mut state.names),
                lasting: std::mem::take(&mut state.lasting),
                pending: std::mem::take(&mut state.pending),
                locks: BTreeMap::new(),
                life: 0,
            }),
            handles: HandleCache::new(HANDLES_OPEN_MAX),
        }))
    }

    /// Flips bits in a file's content, written and synced alike: what a failing disk does.
    pub fn damage(&self, path: &Path, position: usize, xor: u8) -> io::Result<()> {
        let mut state = self.0.state.lock();
        let Some(Node::File(inode)) = state.names.get(path).copied() else { return Err(io::ErrorKind::NotFound.into()) };
        let file = state.files.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
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

impl Change {
    fn apply(self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Change::Put(path, node) => {
                names.insert(path, node);
            }
            Change::Remove(path) => {
                names.remove(&path);
            }
            Change::Rename(from, to, node) => {
                names.remove(&from);
                if node == Node::Dir {
                    let inside: Vec<PathBuf> = names.keys().filter(|p| p.starts_with(&from)).cloned().collect();
                    for path in inside {
                        if let Some(node) = names.remove(&path) {
                            names.insert(moved(&path, &from, &to), node);
                        }
                    }
                }
                names.insert(to, node);
            }
        }
    }

    /// The same change after the folder `from` was renamed to `to`.
    fn moved(self, from: &Path, to: &Path) -> Change {
        match self {
            Change::Put(path, node) => Change::Put(moved(&path, from, to), node),
            Change::Remove(path) => Change::Remove(moved(&path, from, to)),
            Change::Rename(old, new, node) => Change::Rename(moved(&old, from, to), moved(&new, from, to), node),
        }
    }
}

/// A path in the folder `from`, once that is called `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    path.strip_prefix(from).map_or_else(|_| path.to_owned(), |rest| to.join(rest))
}

impl MemInode {
    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES));
    }

    fn after_crash(self, random: &mut Random) -> MemInode {
        let (short, long) = (self.synced.len().min(self.written.len()), self.synced.len().max(self.written.len()));
        let len = short + random.up_to(long - short);
        let mut content = self.synced.clone();
        content.resize(len, 0);
        for sector in &self.dirty {
            if random.coin() {
                let from = (sector * SECTOR_BYTES).min(len);
                let to = ((sector + 1) * SECTOR_BYTES).min(len);
                for (at, byte) in content.iter_mut().enumerate().take(to).skip(from) {
                    *byte = self.written.get(at).copied().unwrap_or(0);
                }
            }
        }
        MemInode { synced: content.clone(), written: content, dirty: BTreeSet::new() }
    }
}

impl State {
    /// Counts the call; `Err` when it is one that fails.
    fn call(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::Once { call: at, error }) if at == call => Err(error.into()),
            Some(Fault::Halt { call: at }) if call >= at => Err(io::Error::other("the machine has died")),
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
        let path = match &change {
            Change::Put(path, _) | Change::Remove(path) | Change::Rename(path, ..) => path,
        };
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        change.clone().apply(&mut self.names);
        self.pending.entry(dir).or_default().push(change);
    }

    fn dir_exists(&self, path: &Path) -> io::Result<()> {
        if self.names.get(path) == Some(&Node::Dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn file(&self, path: &Path) -> io::Result<&MemInode> {
        match self.names.get(path) {
            Some(Node::File(inode)) => self.files.get(inode).ok_or_else(|| io::ErrorKind::NotFound.into()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.state.lock();
        state.call()?;
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
                state.files.insert(inode, MemInode::default());
                state.change(Change::Put(path.to_owned(), Node::File(inode)));
                inode
            }
        };
        Ok(Arc::new(MemFile { disk: Arc::clone(&self.0), inode, life: state.life, writable: mode != OpenMode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.call()?;
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
            let inside: Vec<PathBuf> = state.pending.keys().filter(|dir| dir.starts_with(from)).cloned().collect();
            for dir in inside {
                let changes = state.pending.remove(&dir).unwrap_or_default();
                let changes = changes.into_iter().map(|change| change.moved(from, to)).collect();
                state.pending.insert(moved(&dir, from, to), changes);
            }
        }
        let replaced = state.file(to).map_or(0, |file| file.written.len());
        state.give_room(replaced);
        state.change(Change::Rename(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.call()?;
        let len = state.file(path)?.written.len();
        state.give_room(len);
        state.change(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.0.state.lock();
        state.call()?;
        state.dir_exists(path)?;
        let inside = state.names.iter().filter(|(p, _)| p.parent() == Some(path));
        Ok(inside
            .filter_map(|(p, node)| Some(DirEntry { name: p.file_name()?.to_str()?.to_owned(), is_dir: *node == Node::Dir }))
            .collect())
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let mut state = self.0.state.lock();
        state.call()?;
        Ok(FileStat { len: state.file(path)?.written.len() as u64, modified: TimestampMs(0) })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.call()?;
        let missing: Vec<PathBuf> = path.ancestors().take_while(|a| !state.names.contains_key(*a)).map(Path::to_owned).collect();
        if !missing.is_empty() {
            state.room_for_name()?;
        }
        for dir in missing.into_iter().rev() {
            state.change(Change::Put(dir, Node::Dir));
        }
        state.dir_exists(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.call()?;
        state.dir_exists(path)?;
        let inside: Vec<PathBuf> = state.names.keys().filter(|p| p.starts_with(path)).cloned().collect();
        for path in inside.into_iter().rev() {
            let len = state.file(&path).map_or(0, |file| file.written.len());
            state.give_room(len);
            state.change(Change::Remove(path));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.call()?;
        state.dir_exists(path)?;
        for change in state.pending.remove(path).unwrap_or_default() {
            change.apply(&mut state.lasting);
        }
        Ok(())
    }

    fn sync_fs(&self, _path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.call()?;
        state.lasting = state.names.clone();
        state.pending.clear();
        for file in state.files.values_mut() {
            file.synced.clone_from(&file.written);
            file.dirty.clear();
        }
        Ok(())
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
    fn with<T>(&self, f: impl FnOnce(&mut MemInode) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state.lock();
        state.call()?;
        if state.life != self.life {
            return Err(io::Error::other("a handle from before the crash"));
        }
        f(state.files.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?)
    }
}

impl DiskFile for MemFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut state = self.disk.state.lock();
        let mut outcome = state.call();
        if state.life != self.life {
            return Err(io::Error::other("a handle from before the crash"));
        }
        let mut all: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
        if outcome.is_err() {
            // A write that fails may have been done in part.
            all.truncate(all.len() / 2);
        }
        let from = usize::try_from(position).map_err(io::Error::other)?;
        let before = state.files.get(&self.inode).ok_or(io::ErrorKind::NotFound)?.written.len();
        let grows = (from + all.len()).saturating_sub(before);
        let missing = grows - state.take_room(grows);
        if missing > 0 {
            // As much as fits is there: what the real thing does too.
            all.truncate(all.len().saturating_sub(missing));
            outcome = outcome.and(Err(io::ErrorKind::StorageFull.into()));
        }
        let file = state.files.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let to = from + all.len();
        if !all.is_empty() {
            if file.written.len() < to {
                let before = file.written.len();
                file.written.resize(to, 0);
                file.touch(before.min(from), to);
            }
            file.written[from..to].copy_from_slice(&all);
            file.touch(from, to);
        }
        outcome
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.with(|file| {
            let from = usize::try_from(position).map_err(io::Error::other)?.min(file.written.len());
            let n = buf.len().min(file.written.len() - from);
            buf[..n].copy_from_slice(&file.written[from..from + n]);
            Ok(n)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.written.len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let cut = self.with(|file| {
            let len = usize::try_from(len).map_err(io::Error::other)?;
            let before = file.written.len();
            file.written.resize(len, 0);
            file.touch(before.min(len), before.max(len));
            Ok(before.saturating_sub(len))
        })?;
        self.disk.state.lock().give_room(cut);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|file| {
            file.synced.clone_from(&file.written);
            file.dirty.clear();
            Ok(())
        })
    }

    fn fragment(&self, position: u64, len: u32) -> io::Result<RecordFragment> {
        let mut bytes = vec![0; len as usize];
        let n = self.read_at(&mut bytes, position)?;
        bytes.truncate(n);
        Ok(RecordFragment::Bytes(Bytes::from(bytes)))
    }
}

#[cfg(test)]
impl MemDisk {
    /// A copy of the disk as it is, to crash in several ways.
    pub(crate) fn fork(&self) -> MemDisk {
        let state = self.0.state.lock();
        MemDisk(Arc::new(Shared {
            state: Mutex::new(State {
                calls: state.calls,
                fault: None,
                space: None,
                next_inode: state.next_inode,
                files: state
                    .files
                    .iter()
                    .map(|(i, f)| (*i, MemInode { written: f.written.clone(), synced: f.synced.clone(), dirty: f.dirty.clone() }))
                    .collect(),
                names: state.names.clone(),
                lasting: state.lasting.clone(),
                pending: state.pending.clone(),
                locks: BTreeMap::new(),
                life: 0,
            }),
            handles: HandleCache::new(HANDLES_OPEN_MAX),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &MemDisk, path: &str, position: u64, bytes: &[u8]) -> Arc<dyn DiskFile> {
        let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
        file.write_vectored_at(&[IoSlice::new(bytes)], position).unwrap();
        file
    }

    #[test]
    fn what_was_synced_with_its_name_survives_every_crash() {
        for seed in 0..200 {
            let disk = MemDisk::new();
            disk.create_dir_all(Path::new("/d")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            let file = write(&disk, "/d/a", 0, &[7; 2000]);
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/d")).unwrap();
            write(&disk, "/d/a", 2000, &[8; 2000]);
            let after = disk.crash(seed).read_all(Path::new("/d/a")).unwrap();
            assert_eq!(after[..2000], [7; 2000]);
            assert!(after[2000..].iter().all(|b| *b == 8 || *b == 0));
        }
    }

    #[test]
    fn a_folder_is_renamed_with_what_is_in_it() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/d/a")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        write(&disk, "/d/a/f", 0, b"x").sync_data().unwrap();
        disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
        assert!(disk.read_all(Path::new("/d/a/f")).is_err());
        assert_eq!(disk.read_all(Path::new("/d/b/f")).unwrap(), b"x");
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.sync_dir(Path::new("/d/b")).unwrap();
        assert_eq!(disk.crash(1).read_all(Path::new("/d/b/f")).unwrap(), b"x");
    }

    #[test]
    fn what_was_not_synced_is_torn_dropped_and_kept_by_turns() {
        let (mut whole, mut torn, mut gone) = (0, 0, 0);
        for seed in 0..400 {
            let disk = MemDisk::new();
            write(&disk, "/a", 0, &[7; 1024]);
            match disk.crash(seed).read_all(Path::new("/a")) {
                Ok(bytes) if bytes == [7; 1024] => whole += 1,
                Ok(_) => torn += 1,
                Err(_) => gone += 1,
            }
        }
        assert!(torn > 50 && gone > 50, "{whole} {torn} {gone}");
        // Whole is rare, as the length must be the last of 1025.
        let disk = MemDisk::new();
        write(&disk, "/a", 0, b"x");
        assert_eq!(disk.kill().read_all(Path::new("/a")).unwrap(), b"x");
    }

    #[test]
    fn an_atomic_write_leaves_the_old_or_the_new_wherever_it_is_cut() {
        let path = Path::new("/f");
        let mut calls = 0;
        loop {
            let disk = MemDisk::new();
            disk.write_atomic(path, &[1; 700]).unwrap();
            let before = disk.calls();
            disk.set_fault(Some(Fault::Halt { call: before + calls }));
            let outcome = disk.write_atomic(path, &[2; 900]);
            for seed in 0..50 {
                let copy = disk.fork();
                let found = copy.crash(seed).read_all(path).unwrap();
                assert!(found == [1; 700] || found == [2; 900], "torn at call {calls}, seed {seed}");
                assert!(outcome.is_err() || found == [2; 900]);
            }
            if outcome.is_ok() {
                break;
            }
            calls += 1;
        }
        assert!(calls >= 6);
    }
}
