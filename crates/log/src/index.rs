//! The two sparse indexes of a segment, in Kafka's format.
//!
//! * `.index`: 8 bytes an entry, the last offset of a batch (less the segment's base offset) and the batch's position;
//! * `.timeindex`: 12 bytes an entry, the largest timestamp so far and the last offset of its batch (likewise relative).
//!
//! Entries rise in both fields. Owns their format and the search; when entries are made is the segment's business. Files are
//! read by `pread` of 4 KiB at a time, not mapped: an idle partition must cost neither memory nor descriptors.
//! A file that Kafka left without a clean stop ends in zeros up to its preallocated size.

use std::io;

use crate::disk::DiskFile;

/// Bytes read from an index at once.
const CHUNK_BYTES: usize = 4096;

/// An entry of either index.
pub(crate) trait Entry: Copy + std::fmt::Debug {
    /// Its bytes in the file.
    const LEN: usize;
    /// Reads it from exactly [`Entry::LEN`] bytes.
    fn decode(bytes: &[u8]) -> Self;
    /// Appends it to `out`.
    fn encode(&self, out: &mut Vec<u8>);
    /// Whether it can follow `before`; with `None`, whether it can be the first.
    fn can_follow(&self, before: Option<&Self>) -> bool;
}

/// An entry of `.index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Last offset of the batch, less the segment's base offset.
    pub relative: u32,
    /// Where the batch starts.
    pub position: u32,
}

/// An entry of `.timeindex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// The largest timestamp of the segment up to here.
    pub timestamp: i64,
    /// Last offset of the batch that has it, less the segment's base offset.
    pub relative: u32,
}

fn be<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[from..from + N]);
    out
}

impl Entry for OffsetEntry {
    const LEN: usize = 8;

    fn decode(bytes: &[u8]) -> Self {
        OffsetEntry { relative: u32::from_be_bytes(be(bytes, 0)), position: u32::from_be_bytes(be(bytes, 4)) }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn can_follow(&self, before: Option<&Self>) -> bool {
        match before {
            // The first batch of a segment has no entry, so a position of 0 is preallocated space.
            None => self.position > 0,
            Some(before) => self.relative > before.relative && self.position > before.position,
        }
    }
}

impl Entry for TimeEntry {
    const LEN: usize = 12;

    fn decode(bytes: &[u8]) -> Self {
        TimeEntry { timestamp: i64::from_be_bytes(be(bytes, 0)), relative: u32::from_be_bytes(be(bytes, 8)) }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn can_follow(&self, before: Option<&Self>) -> bool {
        match before {
            None => *self != TimeEntry { timestamp: 0, relative: 0 },
            Some(before) => self.timestamp > before.timestamp && self.relative >= before.relative,
        }
    }
}

/// Reads entry `at`.
pub(crate) fn entry_at<E: Entry>(file: &dyn DiskFile, at: u32) -> io::Result<Option<E>> {
    let mut bytes = [0; 16];
    let n = file.read_at(&mut bytes[..E::LEN], u64::from(at) * E::LEN as u64)?;
    Ok((n == E::LEN).then(|| E::decode(&bytes[..E::LEN])))
}

/// Number of entries before the zeros of preallocation, if any: half an entry at the end does not count.
pub(crate) fn count_of<E: Entry>(file: &dyn DiskFile) -> io::Result<u32> {
    let slots = u32::try_from(file.len()? / E::LEN as u64).unwrap_or(u32::MAX);
    let Some(last) = slots.checked_sub(1) else { return Ok(0) };
    let used = |at| -> io::Result<bool> { Ok(entry_at::<E>(file, at)?.is_some_and(|e| e.can_follow(None))) };
    if used(last)? {
        return Ok(slots);
    }
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if used(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The last of `count` entries for which `holds`, which must be true up to some entry and false from there on.
/// `guess` is where the search begins: with offsets that grow evenly, one read of 4 KiB finds it.
pub(crate) fn last_where<E: Entry>(file: &dyn DiskFile, count: u32, guess: u32, holds: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
    let per_chunk = (CHUNK_BYTES / E::LEN) as u32;
    let mut chunk = [0; CHUNK_BYTES];
    let (mut low, mut high) = (0, count);
    let mut found = None;
    let mut around = guess;
    while low < high {
        let from = around.saturating_sub(per_chunk / 2).clamp(low, high.saturating_sub(per_chunk).max(low));
        let wanted = (high - from).min(per_chunk) as usize * E::LEN;
        let read = file.read_at(&mut chunk[..wanted], u64::from(from) * E::LEN as u64)?;
        let entries = chunk[..read].chunks_exact(E::LEN);
        let got = entries.len() as u32;
        if got == 0 {
            // Shorter than it was said to be: look before this point.
            high = from;
            around = low + (high - low) / 2;
            continue;
        }
        let true_count = partition(entries, &holds);
        if true_count > 0 {
            let at = (true_count as usize - 1) * E::LEN;
            found = Some(E::decode(&chunk[at..at + E::LEN]));
        }
        if true_count == 0 {
            high = from;
        } else if true_count == got {
            low = from + got;
        } else {
            break;
        }
        around = low + (high - low) / 2;
    }
    Ok(found)
}

/// How many of the first entries hold.
fn partition<E: Entry>(entries: std::slice::ChunksExact<'_, u8>, holds: &impl Fn(&E) -> bool) -> u32 {
    let (mut low, mut high) = (0, entries.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if entries.clone().nth(middle).is_some_and(|e| holds(&E::decode(e))) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low as u32
}

/// The entries of a whole index file up to the first that cannot follow the one before: what a crash left of it.
pub(crate) fn sound_prefix<E: Entry>(bytes: &[u8]) -> Vec<E> {
    let mut entries: Vec<E> = Vec::new();
    for bytes in bytes.chunks_exact(E::LEN) {
        let entry = E::decode(bytes);
        if !entry.can_follow(entries.last()) {
            break;
        }
        entries.push(entry);
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::disk::{Disk, MemDisk, OpenMode};

    fn file_of<E: Entry>(entries: &[E], zeros: usize) -> Arc<dyn DiskFile> {
        let mut bytes = Vec::new();
        entries.iter().for_each(|e| e.encode(&mut bytes));
        bytes.resize(bytes.len() + zeros, 0);
        let file = MemDisk::new().open(Path::new("/i"), OpenMode::Create).unwrap();
        file.write_vectored_at(&[IoSlice::new(&bytes)], 0).unwrap();
        file
    }

    fn offsets(n: u32) -> Vec<OffsetEntry> {
        (0..n).map(|i| OffsetEntry { relative: i * 7 + i % 3, position: (i + 1) * 4100 }).collect()
    }

    #[test]
    fn lookups_agree_with_brute_force_from_every_guess() {
        for n in [0, 1, 2, 5, 511, 512, 513, 3000] {
            let entries = offsets(n);
            let file = file_of(&entries, 0);
            for target in (0..n * 7 + 10).step_by(if n > 100 { 97 } else { 1 }) {
                let expected = entries.iter().rev().find(|e| e.relative <= target).copied();
                for guess in [0, n / 3, n / 2, n, n * 2] {
                    let found = last_where::<OffsetEntry>(&*file, n, guess, |e| e.relative <= target).unwrap();
                    assert_eq!(found, expected, "{target} of {n} from {guess}");
                }
            }
        }
    }

    #[test]
    fn zeros_of_preallocation_and_half_entries_do_not_count() {
        for zeros in [0, 8, 16, 800, 803] {
            assert_eq!(count_of::<OffsetEntry>(&*file_of(&offsets(37), zeros)).unwrap(), 37);
            assert_eq!(count_of::<OffsetEntry>(&*file_of::<OffsetEntry>(&[], zeros)).unwrap(), 0);
        }
        let times = [TimeEntry { timestamp: 5, relative: 0 }, TimeEntry { timestamp: 9, relative: 4 }];
        assert_eq!(count_of::<TimeEntry>(&*file_of(&times, 120)).unwrap(), 2);
    }

    #[test]
    fn entries_are_big_endian_as_kafkas() {
        let mut bytes = Vec::new();
        OffsetEntry { relative: 258, position: 65_537 }.encode(&mut bytes);
        TimeEntry { timestamp: 1, relative: 2 }.encode(&mut bytes);
        assert_eq!(bytes, [0, 0, 1, 2, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn what_follows_a_hole_is_not_trusted() {
        let mut entries = offsets(20);
        entries[11] = OffsetEntry { relative: 0, position: 0 };
        let mut bytes = Vec::new();
        entries.iter().for_each(|e| e.encode(&mut bytes));
        assert_eq!(sound_prefix::<OffsetEntry>(&bytes), offsets(20)[..11]);
    }
}
