//! The newest offset of each key, in bounded memory: what a pass knows of the dirty part of a log.
//!
//! As Kafka's `SkimpyOffsetMap` it keeps a hash of 16 bytes and 8 of offset for each key, and not the key. Unlike there the hash is
//! keyed at random (SipHash twice): nobody can make two keys that are taken for one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use ottla_model::Offset;

/// Memory of one key.
const SLOT_BYTES: u64 = size_of::<Slot>() as u64;
/// No map is smaller, whatever the config says.
const SLOTS_MIN: u64 = 8;

#[derive(Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    /// -1: free.
    offset: i64,
}

const FREE: Slot = Slot { hash: [0; 2], offset: -1 };

/// What a map may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapLimits {
    /// `log.cleaner.dedupe.buffer.size`, for one thread.
    pub bytes_max: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full it may get.
    pub load_factor: f64,
}

impl Default for MapLimits {
    /// Kafka's defaults.
    fn default() -> MapLimits {
        MapLimits { bytes_max: 128 << 20, load_factor: 0.9 }
    }
}

/// See the module.
pub(crate) struct OffsetMap {
    slots: Vec<Slot>,
    used: usize,
    used_max: usize,
    hashers: [RandomState; 2],
    latest: Option<Offset>,
}

impl OffsetMap {
    /// A map for so many records at most, or fewer, if the limits allow no more: all of its memory is taken now.
    pub fn new(records: u64, limits: MapLimits) -> OffsetMap {
        let load = if limits.load_factor.is_finite() { limits.load_factor.clamp(0.05, 0.95) } else { 0.9 };
        let wanted = (records as f64 / load).ceil() as u64 + 1;
        let slots = wanted.min((limits.bytes_max / SLOT_BYTES).max(SLOTS_MIN)).max(2);
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        OffsetMap {
            slots: vec![FREE; slots],
            used: 0,
            used_max: ((slots as f64 * load) as usize).clamp(1, slots - 1),
            hashers: [RandomState::new(), RandomState::new()],
            latest: None,
        }
    }

    /// Keeps that a key has a record at this offset; they are told in rising order. `false`: there is no room, and it was not kept.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.slot_of(hash);
        let Some(slot) = self.slots.get_mut(at) else { return false };
        if slot.offset < 0 {
            if self.used >= self.used_max {
                return false;
            }
            self.used += 1;
        }
        *slot = Slot { hash, offset: offset.0 };
        true
    }

    /// The newest offset of a key.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots.get(self.slot_of(self.hash(key)))?;
        (slot.offset >= 0).then_some(Offset(slot.offset))
    }

    /// All records up to this offset have been told.
    pub fn set_latest(&mut self, offset: Offset) {
        self.latest = Some(offset);
    }

    /// What lies beyond is not known, and is none of this pass's business.
    pub fn latest(&self) -> Option<Offset> {
        self.latest
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.used
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)]
    }

    /// Where a hash is, or would be put: there is always a free slot.
    fn slot_of(&self, hash: [u64; 2]) -> usize {
        let len = self.slots.len();
        let mut at = (hash[0] % len as u64) as usize;
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.offset >= 0 && slot.hash != hash) {
            debug_assert!(slot.offset >= 0);
            at = (at + 1) % len;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_kept() {
        let mut map = OffsetMap::new(5_000, MapLimits::default());
        for round in 0..5 {
            for key in 0..1000i64 {
                assert!(map.put(&key.to_be_bytes(), Offset(round * 1000 + key)));
            }
        }
        assert_eq!(map.len(), 1000);
        for key in 0..1000i64 {
            assert_eq!(map.get(&key.to_be_bytes()), Some(Offset(4000 + key)));
        }
        assert_eq!(map.get(b"another"), None);
        assert_eq!((map.get(b""), map.put(b"", Offset(9)), map.get(b"")), (None, true, Some(Offset(9))), "an empty key is a key");
    }

    #[test]
    fn memory_is_bounded_and_a_full_map_says_so() {
        let limits = MapLimits { bytes_max: 24 * 2000, load_factor: 0.5 };
        let mut map = OffsetMap::new(1 << 40, limits);
        assert_eq!(map.slots.len(), 2000);
        let kept = (0..5000i64).take_while(|key| map.put(&key.to_be_bytes(), Offset(*key))).count();
        assert_eq!((kept, map.len()), (1000, 1000));
        assert!(map.put(&7i64.to_be_bytes(), Offset(9_999)), "a key that is there needs no room");
        assert_eq!(map.get(&7i64.to_be_bytes()), Some(Offset(9_999)));
        assert_eq!(OffsetMap::new(10, MapLimits::default()).slots.len(), 13, "a small log takes little");
    }

    #[test]
    fn as_many_keys_as_were_announced_always_fit() {
        for records in 0..200 {
            let mut map = OffsetMap::new(records, MapLimits::default());
            assert!((0..records as i64).all(|key| map.put(&key.to_be_bytes(), Offset(key))), "{records}");
        }
    }
}
