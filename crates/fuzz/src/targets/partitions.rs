//! A partition's folder in which something is not as it was left: opened, read from end to end, written to, opened again.
//!
//! The folder is a sound one with three segments, idempotent producers, transactions that were aborted, and several leader
//! epochs. Each target replaces or damages a part of it; the disk is in memory. An input begins with a byte that says how the
//! log is opened: see [`Opening`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ottla_log::disk::OpenMode;
use ottla_log::{AppendOrigin, Disk, LogConfig, LogError, MemDisk, OpenHints, PartitionLog, ReadError, Recovery};
use ottla_model::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use ottla_wire::RecordFragment;
use ottla_wire::batch::{BatchBuilder, BatchView, Batches, EndTxnMarker, TxnResult, control_batch};
use ottla_wire::compress::Compression;

use super::batches::mend_crcs;
use crate::corpus::Named;
use crate::memory::bounded;

const DIR: &str = "/d/t-0";
const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
/// Base offset of the first segment, whose files most targets replace when they do not replace those of the last.
const FIRST: &str = "00000000000000000000";

/// What opening may hold beyond what the disk in memory does: buffers of 64 KiB and more, and what is kept of segments.
const MEMORY_SLACK_BYTES: usize = 2 << 20;
/// Files come in as a copy, and are cut, copied and written anew.
const MEMORY_FACTOR: usize = 24;
/// Calls of the disk that opening or a read take, whatever lies there: each step ahead takes a few.
const CALLS_SLACK: u64 = 2000;

/// How the log is opened: the input's first byte.
struct Opening {
    hints: OpenHints,
    /// The part of the folder that is meant is the last segment's, not the first's.
    last_segment: bool,
    /// CRCs of batches are made right first.
    mend_crcs: bool,
}

impl Opening {
    fn of(byte: u8) -> Opening {
        let sound = sound();
        let bit = |number: u8| byte >> number & 1 == 1;
        let hints = OpenHints {
            recovery_point: bit(0).then_some(if bit(1) { sound.end } else { Offset(sound.end.0 / 2) }),
            clean: bit(2),
            log_start: bit(3).then_some(Offset(1)),
            high_watermark: None,
            compacted_upto: bit(6).then_some(sound.end),
        };
        Opening { hints, last_segment: bit(4), mend_crcs: bit(5) }
    }

    /// Nothing is taken on trust.
    fn checks_all(&self) -> bool {
        !self.hints.clean && self.hints.recovery_point.is_none()
    }
}

/// The folder as it was left.
struct Sound {
    files: BTreeMap<String, Vec<u8>>,
    /// Each batch by its base offset.
    batches: BTreeMap<i64, Vec<u8>>,
    /// Base offset of the last segment, as it stands in names.
    last: String,
    end: Offset,
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1100, index_interval_bytes: 150, ..LogConfig::default() }
}

fn sound() -> &'static Sound {
    static SOUND: OnceLock<Sound> = OnceLock::new();
    SOUND.get_or_init(|| make_sound().unwrap_or_else(|e| panic!("no log could be made: {e}")))
}

fn make_sound() -> Result<Sound, Box<dyn std::error::Error>> {
    let disk = MemDisk::new();
    let partition = TopicPartition::from_folder_name("t-0").ok_or("t-0 is a partition's name")?;
    let id = TopicId(Uuid::from_random_bytes([7; 16]));
    let mut log = PartitionLog::create(Arc::new(disk.clone()), Path::new(DIR), partition, id, config(), NOW)?;
    for round in 0..4 {
        let epoch = LeaderEpoch(round);
        let mut sequences = [round * 4, round * 2];
        for codec in Compression::ALL {
            let producer = usize::from(codec == Compression::Gzip);
            let mut builder = BatchBuilder::new(codec, 1 << 20).producer(10 + producer as i64, 0, sequences[producer]);
            if producer == 1 {
                builder = builder.transactional();
            }
            let records = if producer == 1 { 2 } else { 1 };
            for record in 0..records {
                let value = [round as u8 + b'a'; 60];
                builder.append(NOW.0 + i64::from(round * 100 + record), Some(b"key"), Some(&value), &[]).map_err(|e| e.to_string())?;
            }
            sequences[producer] += records;
            log.append_as_leader(&builder.build()?, epoch, AppendOrigin::Unverified, NOW)?;
        }
        let result = if round % 2 == 0 { TxnResult::Abort } else { TxnResult::Commit };
        let marker = control_batch(EndTxnMarker { result, coordinator_epoch: 1 }, NOW.0, 11, 0)?;
        log.append_as_leader(&marker, epoch, AppendOrigin::Coordinator, NOW)?;
    }
    let (end, last) = (log.log_end_offset(), format!("{:020}", log.active_segment_base().0));
    log.close_cleanly()?;
    let mut files = BTreeMap::new();
    for entry in disk.list_dir(Path::new(DIR))? {
        files.insert(entry.name.clone(), disk.read_all(&Path::new(DIR).join(&entry.name))?);
    }
    let mut batches = BTreeMap::new();
    for (_, bytes) in files.iter().filter(|(name, _)| name.ends_with(".log")) {
        for batch in Batches::new(bytes) {
            let batch = batch?;
            batches.insert(batch.base_offset(), batch.bytes().to_vec());
        }
    }
    Ok(Sound { files, batches, last, end })
}

fn disk_of(files: &BTreeMap<String, Vec<u8>>) -> MemDisk {
    let disk = MemDisk::new();
    let dir = Path::new(DIR);
    disk.create_dir_all(dir).unwrap_or_else(|e| panic!("{DIR}: {e}"));
    for (name, bytes) in files {
        let write = || {
            let file = disk.open(&dir.join(name), OpenMode::Create)?;
            file.write_vectored_at(&[std::io::IoSlice::new(bytes)], 0)?;
            file.sync_data()
        };
        write().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    disk.sync_dir(dir).unwrap_or_else(|e| panic!("{DIR}: {e}"));
    disk
}

/// Opens the folder with bounded memory and a bounded number of calls.
fn open(disk: &MemDisk, hints: OpenHints, bytes: usize) -> Result<(PartitionLog, Recovery), LogError> {
    let calls = disk.calls();
    let bytes_max = bytes * MEMORY_FACTOR + MEMORY_SLACK_BYTES;
    let opened = bounded(bytes_max, "opening", || PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), config(), hints, NOW));
    let calls = disk.calls() - calls;
    // A batch has 61 bytes at least, an entry of an index 8.
    assert!(calls <= CALLS_SLACK + bytes as u64 / 4, "opening {bytes} bytes took {calls} calls of the disk");
    opened
}

/// Everything that can be read, batch by batch. `Err`: what could not, and from where.
fn read_all(log: &PartitionLog) -> (Vec<Vec<u8>>, Option<ReadError>) {
    let (mut found, mut next) = (Vec::new(), log.log_start_offset());
    while next < log.log_end_offset() {
        let out = match log.read(next, log.log_end_offset(), 700, true) {
            Ok(out) => out,
            Err(error) => return (found, Some(error)),
        };
        assert!(out.next_offset > next, "a read from {next} goes on at {}", out.next_offset);
        assert!(out.first_offset <= next);
        let bytes: Vec<u8> = out.fragments.iter().flat_map(bytes_of).collect();
        assert_eq!(bytes.len(), out.bytes as usize);
        for batch in Batches::strict(&bytes) {
            let batch = batch.unwrap_or_else(|e| panic!("a read from {next} gave what is no batch: {e}"));
            assert_eq!(batch.check_crc(), Ok(()), "a read from {next}");
            assert!(batch.last_offset() >= next.0 && batch.last_offset() < out.next_offset.0, "a read from {next}: {batch:?}");
            found.push(batch.bytes().to_vec());
        }
        next = out.next_offset;
    }
    (found, None)
}

fn bytes_of(fragment: &RecordFragment) -> Vec<u8> {
    match fragment {
        RecordFragment::Bytes(bytes) => bytes.to_vec(),
        RecordFragment::File(_) => Vec::new(),
    }
}

/// Asks all that can be asked; gives nothing, since only the ends of it are known: no panic, no loop.
fn look_around(log: &PartitionLog) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    for timestamp in [i64::MIN, -1, 0, NOW.0, NOW.0 + 150, i64::MAX] {
        let _ = log.offset_for_timestamp(TimestampMs(timestamp), end);
    }
    let _ = log.offset_of_max_timestamp();
    let _ = log.aborted_transactions(start, end);
    let _ = log.read(end, end, 100, true);
    for epoch in [-1, 0, 1, 3, i32::MAX] {
        let (_, offset) = log.epoch_end_offset(LeaderEpoch(epoch));
        assert!(offset.0 == -1 || (start..=end).contains(&offset), "epoch {epoch} ends at {offset}, the log has {start} to {end}");
    }
    assert!(log.last_stable_offset(end) <= end);
    assert!(log.epochs().entries().is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{:?}", log.epochs());
}

/// A log that was opened takes what comes, and is found as it was left.
fn goes_on(disk: &MemDisk, mut log: PartitionLog, bytes: usize) {
    let end = log.log_end_offset();
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    let appended = builder.append(NOW.0, None, Some(b"one more"), &[]);
    let batch = appended.ok().and_then(|()| builder.build().ok()).unwrap_or_default();
    let epoch = log.latest_epoch().map_or(LeaderEpoch(0), |epoch| LeaderEpoch(epoch.0.saturating_add(1)));
    let appended = match log.append_as_leader(&batch, epoch, AppendOrigin::Unverified, NOW) {
        Ok(appended) => appended,
        // There are no offsets left.
        Err(_) if end.0 >= i64::MAX - 2 => return,
        Err(error) => panic!("a log that was opened takes nothing: {error}"),
    };
    assert_eq!(appended.base_offset, end);
    let (after, start) = (log.log_end_offset(), log.log_start_offset());
    if let Err(error) = log.close_cleanly() {
        panic!("the log does not close: {error}");
    }
    let hints = OpenHints { recovery_point: Some(after), clean: true, log_start: Some(start), high_watermark: None, compacted_upto: None };
    let (log, recovery) = open(disk, hints, bytes + 1000).unwrap_or_else(|e| panic!("what was closed cleanly does not open: {e}"));
    assert!(recovery.clean, "{recovery:?}");
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, after));
    let last = log.read(end, after, 1 << 20, true).unwrap_or_else(|e| panic!("what was appended cannot be read: {e}"));
    let last: Vec<u8> = last.fragments.iter().flat_map(bytes_of).collect();
    assert!(BatchView::new(&last).is_ok_and(|last| last.records_bytes() == &batch[61..]), "what was appended is not what is read");
}

/// A folder whose batches are all sound, but for whom something else was put beside them: nothing may be missing.
fn around_sound_batches(suffix: &str, input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else { return };
    let (opening, sound) = (Opening::of(*flags), sound());
    let mut files = sound.files.clone();
    let base = if opening.last_segment { &*sound.last } else { FIRST };
    let name = match suffix {
        ".snapshot" => format!("{:020}.snapshot", sound.end.0),
        suffix if suffix.starts_with('.') => format!("{base}{suffix}"),
        whole => whole.to_owned(),
    };
    files.insert(name, bytes.to_vec());
    let size: usize = files.values().map(Vec::len).sum();
    let disk = disk_of(&files);
    let (log, _) = open(&disk, opening.hints, size).unwrap_or_else(|e| panic!("all batches are sound, but the log does not open: {e}"));
    assert_eq!(log.log_end_offset(), sound.end);
    let (found, error) = read_all(&log);
    assert!(error.is_none(), "all batches are sound, but: {error:?}");
    let expected: Vec<&Vec<u8>> = sound.batches.values().filter(|bytes| last_offset(bytes) >= log.log_start_offset().0).collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    for (offset, batch) in sound.batches.iter().filter(|(offset, _)| **offset >= log.log_start_offset().0) {
        let out = log.read(Offset(*offset), sound.end, 1, true).unwrap_or_else(|e| panic!("offset {offset}: {e}"));
        assert_eq!(out.fragments.iter().flat_map(bytes_of).collect::<Vec<u8>>(), *batch, "offset {offset}");
    }
    look_around(&log);
    goes_on(&disk, log, size);
}

fn last_offset(batch: &[u8]) -> i64 {
    BatchView::new(batch).map_or(-1, |batch| batch.last_offset())
}

pub(super) fn offset_index(input: &[u8]) {
    around_sound_batches(".index", input);
}

pub(super) fn time_index(input: &[u8]) {
    around_sound_batches(".timeindex", input);
}

pub(super) fn txn_index(input: &[u8]) {
    around_sound_batches(".txnindex", input);
}

pub(super) fn producer_snapshot(input: &[u8]) {
    let mut input = input.to_vec();
    // Version 2, CRC 4: nothing is read of a file whose CRC does not hold.
    if let Some((_, file)) = input.split_first_mut()
        && let Some((crc, covered)) = file.get_mut(2..).and_then(|rest| rest.split_at_mut_checked(4))
    {
        crc.copy_from_slice(&crc32c::crc32c(covered).to_be_bytes());
    }
    around_sound_batches(".snapshot", &input);
}

pub(super) fn leader_epochs(input: &[u8]) {
    around_sound_batches("leader-epoch-checkpoint", input);
}

pub(super) fn partition_metadata(input: &[u8]) {
    around_sound_batches("partition.metadata", input);
}

/// The bytes of a segment: the only one, or the last behind sound ones.
pub(super) fn segment(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else { return };
    let (opening, sound) = (Opening::of(*flags), sound());
    let mut bytes = bytes.to_vec();
    if opening.mend_crcs {
        mend_crcs(&mut bytes);
    }
    let files = if opening.last_segment {
        let mut files = sound.files.clone();
        files.insert(format!("{}.log", sound.last), bytes);
        files
    } else {
        let of_the_log = |name: &String| !name.starts_with(|c: char| c.is_ascii_digit());
        let mut files: BTreeMap<_, _> =
            sound.files.iter().filter(|(name, _)| of_the_log(name)).map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
        files.insert(format!("{FIRST}.log"), bytes);
        files
    };
    open_whatever_it_is(&files, &opening);
}

/// Damages of all kinds in all files. An input is, after its first byte, changes of five bytes: a file, how, where (two bytes),
/// and a value.
pub(super) fn folder(input: &[u8]) {
    let Some((flags, changes)) = input.split_first() else { return };
    let (opening, sound) = (Opening::of(*flags), sound());
    let mut files = sound.files.clone();
    for change in changes.chunks_exact(5).take(12) {
        let &[which, how, high, low, value] = change else { continue };
        let name = files.keys().nth(usize::from(which) % files.len().max(1)).cloned();
        let Some((name, bytes)) = name.and_then(|name| files.remove_entry(&name)) else { continue };
        let (name, bytes) = changed(name, bytes, how, usize::from(u16::from_be_bytes([high, low])), value);
        if let Some(bytes) = bytes {
            files.insert(name, bytes);
        }
    }
    if opening.mend_crcs {
        files.iter_mut().filter(|(name, _)| name.ends_with(".log")).for_each(|(_, bytes)| mend_crcs(bytes));
    }
    open_whatever_it_is(&files, &opening);
}

/// The file under its new name, or removed.
fn changed(name: String, mut bytes: Vec<u8>, how: u8, at: usize, value: u8) -> (String, Option<Vec<u8>>) {
    let at = at % bytes.len().max(1);
    match how % 8 {
        0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value.max(1)),
        2 => bytes.truncate(at),
        3 => bytes.extend(vec![value; 1 + at % 100]),
        4 => bytes.iter_mut().skip(at).take(usize::from(value)).for_each(|byte| *byte = 0),
        5 => return (name, None),
        // Under another base offset.
        6 => {
            let end = name.split_once('.').map_or("log", |(_, end)| end);
            return (format!("{:020}.{end}", u64::from(value) * 3), Some(bytes));
        }
        _ => {
            let again: Vec<u8> = bytes.iter().skip(at).copied().collect();
            bytes.extend(again);
        }
    }
    (name, Some(bytes))
}

/// It may be refused; what is opened must hold together.
fn open_whatever_it_is(files: &BTreeMap<String, Vec<u8>>, opening: &Opening) {
    let size: usize = files.values().map(Vec::len).sum();
    let disk = disk_of(files);
    let Ok((log, recovery)) = open(&disk, opening.hints, size) else { return };
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(start <= end, "{start} to {end}");
    let (found, error) = read_all(&log);
    if opening.checks_all() {
        assert!(error.is_none(), "all was checked, but: {error:?}; {recovery:?}");
    }
    look_around(&log);
    drop(log);

    // Opened again, with nothing taken on trust, it has what could be read, and there is nothing left to repair.
    if opening.checks_all() {
        let hints = OpenHints { log_start: Some(start), compacted_upto: opening.hints.compacted_upto, ..OpenHints::default() };
        let (again, recovery) = open(&disk, hints, size).unwrap_or_else(|e| panic!("what was repaired does not open: {e}"));
        assert_eq!((again.log_start_offset(), again.log_end_offset()), (start, end));
        assert!(recovery.torn.is_none() && recovery.segments_removed == 0, "{recovery:?}");
        assert_eq!(read_all(&again).0, found);
        goes_on(&disk, again, size);
    }
}

/// How a log is opened, in the seeds: checked whole; checked in its second half; trusted up to its end; closed cleanly; from an
/// offset on; compacted. Each for the first and the last segment.
const OPENINGS: [u8; 12] = [0, 1, 3, 4, 8, 16, 17, 19, 20, 24, 64, 80];

fn seeds_of(ends: &[&str]) -> Vec<Named> {
    let files = sound().files.iter().filter(|(name, _)| ends.iter().any(|end| name.ends_with(end)));
    let with_openings =
        files.flat_map(|(name, bytes)| OPENINGS.map(|opening| (format!("{name}-opened-{opening}"), [&[opening][..], bytes].concat())));
    with_openings.collect()
}

pub(super) fn offset_index_seeds() -> Vec<Named> {
    seeds_of(&[".index"])
}

pub(super) fn time_index_seeds() -> Vec<Named> {
    seeds_of(&[".timeindex"])
}

pub(super) fn txn_index_seeds() -> Vec<Named> {
    seeds_of(&[".txnindex"])
}

pub(super) fn producer_snapshot_seeds() -> Vec<Named> {
    seeds_of(&[".snapshot"])
}

pub(super) fn leader_epochs_seeds() -> Vec<Named> {
    seeds_of(&["leader-epoch-checkpoint"])
}

pub(super) fn partition_metadata_seeds() -> Vec<Named> {
    seeds_of(&["partition.metadata"])
}

pub(super) fn segment_seeds() -> Vec<Named> {
    let mut seeds = seeds_of(&[".log"]);
    let mended: Vec<Named> = seeds.iter().map(|(name, bytes)| (format!("{name}-mended"), mended_opening(bytes))).collect();
    seeds.extend(mended);
    seeds
}

fn mended_opening(bytes: &[u8]) -> Vec<u8> {
    bytes.split_first().map(|(opening, rest)| [&[opening | 32], rest].concat()).unwrap_or_default()
}

pub(super) fn folder_seeds() -> Vec<Named> {
    let files = sound().files.len() as u8;
    let mut seeds = Vec::new();
    for opening in OPENINGS {
        for which in 0..files {
            let how = (which + opening) % 8;
            seeds.push((format!("file-{which}-how-{how}-opened-{opening}"), vec![opening, which, how, 0, which * 9, 1]));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sound_folder_has_all_kinds_of_files_and_three_segments_or_more() {
        let sound = sound();
        let with = |end: &str| sound.files.keys().filter(|name| name.ends_with(end)).count();
        assert!(with(".log") >= 3 && with(".index") >= 3 && with(".timeindex") >= 3, "{:?}", sound.files.keys());
        assert!(with(".txnindex") >= 1 && with(".snapshot") >= 2, "{:?}", sound.files.keys());
        assert!(sound.files.iter().any(|(name, bytes)| name.ends_with(".index") && bytes.len() >= 24));
        assert!(sound.files.iter().any(|(name, bytes)| name.ends_with(".txnindex") && !bytes.is_empty()));
        let name = format!("{:020}.snapshot", sound.end.0);
        assert!(sound.files.contains_key(&name), "{name} is what a clean stop leaves: {:?}", sound.files.keys());
    }

    #[test]
    fn the_sound_folder_is_borne_however_it_is_opened() {
        for opening in 0..128 {
            let name = format!("{}.index", sound().last);
            offset_index(&[&[opening | 16][..], &sound().files[&name]].concat());
        }
    }
}
