//! What a file and a folder hold, and what of it a power loss leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const SECTOR_BYTES: usize = 512;

pub(super) type Inode = u64;

/// Files and folders by full path.
pub(super) type Names = BTreeMap<Arc<Path>, Node>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(Inode),
    Dir,
}

/// A change to a folder.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Arc<Path>, Node),
    Remove(Arc<Path>),
    /// One journal entry: a crash leaves both of its halves or none.
    Rename(Arc<Path>, Arc<Path>, Node),
}

impl Change {
    /// A name that it changes.
    pub fn path(&self) -> &Path {
        match self {
            Change::Put(path, _) | Change::Remove(path) | Change::Rename(path, ..) => path,
        }
    }

    pub fn apply(self, names: &mut Names) {
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
                    let inside: Vec<Arc<Path>> = names.keys().filter(|p| p.starts_with(&from)).cloned().collect();
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
    pub fn moved(self, from: &Path, to: &Path) -> Change {
        match self {
            Change::Put(path, node) => Change::Put(moved(&path, from, to), node),
            Change::Remove(path) => Change::Remove(moved(&path, from, to)),
            Change::Rename(old, new, node) => Change::Rename(moved(&old, from, to), moved(&new, from, to), node),
        }
    }
}

/// A path in the folder `from`, once that is called `to`.
pub(super) fn moved(path: &Path, from: &Path, to: &Path) -> Arc<Path> {
    path.strip_prefix(from).map_or_else(|_| path.into(), |rest| to.join(rest).into())
}

/// A small generator (SplitMix64): the same seed gives the same crash on every machine.
pub(super) struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn up_to(&mut self, max: usize) -> usize {
        (self.next() % (max as u64 + 1)) as usize
    }

    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// One of the two ends often, or anything between: what is whole and what is gone are as likely as what is torn.
    fn between(&mut self, low: usize, high: usize) -> usize {
        match self.up_to(3) {
            0 => low,
            1 => high,
            _ => low + self.up_to(high - low),
        }
    }
}

/// What a power loss leaves of the changes to one folder that were not synced: by half of the seeds the first few, as a journal does.
/// By the others each new name for itself; only what is renamed and removed keeps its order.
pub(super) fn left_of(changes: Vec<Change>, random: &mut Random) -> Vec<Change> {
    let in_order = random.coin();
    let mut keep = random.up_to(changes.len()) + 1;
    changes
        .into_iter()
        .filter(|change| {
            if !in_order && matches!(change, Change::Put(..)) {
                return random.coin();
            }
            keep = keep.saturating_sub(1);
            keep > 0
        })
        .collect()
}

#[derive(Clone, Debug, Default)]
pub(super) struct MemInode {
    /// The page cache.
    pub written: Vec<u8>,
    /// The platter.
    pub synced: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
    /// The least that the file was cut to since the last sync. Sizes are journalled: a power loss leaves the cut or not.
    cut_to: Option<usize>,
}

impl MemInode {
    pub fn write(&mut self, bytes: &[u8], from: usize) {
        if bytes.is_empty() {
            return;
        }
        let to = from + bytes.len();
        if self.written.len() < to {
            let before = self.written.len();
            self.written.resize(to, 0);
            self.touch(before.min(from), to);
        }
        self.written[from..to].copy_from_slice(bytes);
        self.touch(from, to);
    }

    pub fn truncate(&mut self, len: usize) {
        let before = self.written.len();
        self.written.resize(len, 0);
        if len > before {
            self.touch(before, len);
        } else if len < before {
            self.dirty.split_off(&len.div_ceil(SECTOR_BYTES));
            self.cut_to = Some(self.cut_to.map_or(len, |least| least.min(len)));
        }
    }

    /// What is dirty goes to the platter, and nothing else: pages that an earlier failed sync has called clean stay behind.
    pub fn sync(&mut self) {
        self.cut_synced();
        self.synced.resize(self.written.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.bring(sector, self.written.len());
        }
    }

    /// A sync that fails: the kernel writes some pages, and calls all of them clean.
    pub fn fail_to_sync(&mut self, random: &mut Random) {
        let left = self.clone().after_crash(random).synced;
        self.dirty.clear();
        self.cut_to = None;
        self.synced = left;
    }

    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES));
    }

    fn cut_synced(&mut self) {
        if let Some(len) = self.cut_to.take() {
            self.synced.truncate(len);
        }
    }

    fn bring(&mut self, sector: usize, len: usize) {
        for at in (sector * SECTOR_BYTES).min(len)..((sector + 1) * SECTOR_BYTES).min(len) {
            self.synced[at] = self.written.get(at).copied().unwrap_or(0);
        }
    }

    pub fn after_crash(mut self, random: &mut Random) -> MemInode {
        if random.coin() {
            self.cut_synced();
        }
        let (before, now) = (self.synced.len(), self.written.len());
        // Below a cut that did not happen nothing grows.
        let len = if now > before { random.between(before, now) } else { before };
        self.synced.resize(len, 0);
        for sector in std::mem::take(&mut self.dirty) {
            if random.coin() {
                self.bring(sector, len);
            }
        }
        MemInode { written: self.synced.clone(), synced: self.synced, dirty: BTreeSet::new(), cut_to: None }
    }
}
