//! Tests of a whole log, by what it promises.

mod append;
mod compaction;
mod compaction_crash;
mod compaction_model;
mod crash;
mod damage;
mod gaps;
mod model;
mod open;
mod retention;
mod time;

use std::path::Path;
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use ottla_wire::RecordFragment;
use ottla_wire::batch::{BatchBuilder, Batches};
use ottla_wire::compress::Compression;

use super::{AppendOrigin, Appended, OpenHints, PartitionLog, ReadOut, Recovery};
use crate::config::LogConfig;
use crate::disk::{Disk, MemDisk};
use crate::error::AppendError;

pub(super) const DIR: &str = "/logs/t-0";
pub(super) const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
pub(super) const EPOCH: LeaderEpoch = LeaderEpoch(3);

/// The number that an environment variable says, if there is one.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// A batch of `count` records without a producer id.
pub(super) fn batch(count: usize, value_len: usize) -> Vec<u8> {
    batch_at(NOW.0, count, value_len, Compression::None)
}

pub(super) fn batch_at(timestamp: i64, count: usize, value_len: usize, codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec, usize::MAX);
    fill(&mut builder, timestamp, count, value_len);
    builder.build().unwrap()
}

fn fill(builder: &mut BatchBuilder, timestamp: i64, count: usize, value_len: usize) {
    for i in 0..count {
        let value: Vec<u8> = (0..value_len).map(|at| (at * 7 + i * 31 + count) as u8).collect();
        builder.append(timestamp + i as i64, Some(format!("k{i}").as_bytes()), Some(&value), &[]).unwrap();
    }
}

/// A batch of an idempotent producer.
pub(super) fn batch_of(producer: i64, epoch: i16, sequence: i32, count: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX).producer(producer, epoch, sequence);
    fill(&mut builder, NOW.0, count, 50);
    builder.build().unwrap()
}

pub(super) fn new_log(disk: &MemDisk, config: LogConfig) -> PartitionLog {
    new_log_on(Arc::new(disk.clone()), Path::new(DIR), config)
}

pub(super) fn new_log_on(disk: Arc<dyn Disk>, dir: &Path, config: LogConfig) -> PartitionLog {
    crate::log_dir::make_dir(&*disk, dir.parent().unwrap()).unwrap();
    let id = TopicId(Uuid::from_bytes([9; 16]));
    let tp = TopicPartition::from_folder_name(dir.file_name().unwrap().to_str().unwrap()).unwrap();
    PartitionLog::create(disk, dir, tp, id, config, NOW).unwrap()
}

pub(super) fn reopen(disk: &MemDisk, config: LogConfig, hints: OpenHints) -> (PartitionLog, Recovery) {
    PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), config, hints, NOW).unwrap()
}

pub(super) fn append(log: &mut PartitionLog, records: &[u8]) -> Appended {
    try_append(log, records).unwrap()
}

pub(super) fn try_append(log: &mut PartitionLog, records: &[u8]) -> Result<Appended, AppendError> {
    log.append_as_leader(records, EPOCH, AppendOrigin::Unverified, NOW)
}

/// The bytes of a read in one piece.
pub(super) fn bytes_of(out: &ReadOut) -> Vec<u8> {
    let mut bytes = Vec::new();
    for fragment in &out.fragments {
        match fragment {
            RecordFragment::Bytes(b) => bytes.extend_from_slice(b),
            RecordFragment::File(range) => {
                let mut piece = vec![0; range.len as usize];
                std::os::unix::fs::FileExt::read_exact_at(&*range.file, &mut piece, range.position).unwrap();
                bytes.extend_from_slice(&piece);
            }
        }
    }
    assert_eq!(bytes.len(), out.bytes as usize);
    bytes
}

/// Reads from `from` to the end in fetches of `max_bytes`, and checks what every fetch promises: whole batches, in order,
/// no gap, no more than asked for but for a first batch that alone is larger. Gives all batches with their base offsets.
pub(super) fn read_all(log: &PartitionLog, from: Offset, max_bytes: u32) -> Vec<(Offset, Vec<u8>)> {
    let end = log.log_end_offset();
    let mut all = Vec::new();
    let mut next = from;
    while next < end {
        let out = log.read(next, end, max_bytes, true).unwrap();
        let bytes = bytes_of(&out);
        let mut expected = out.first_offset;
        assert!(expected <= next);
        let mut count = 0;
        for view in Batches::strict(&bytes) {
            let view = view.unwrap();
            view.check_crc().unwrap();
            assert_eq!(view.base_offset(), expected.0, "dense within a fetch");
            expected = Offset(view.last_offset() + 1);
            all.push((Offset(view.base_offset()), view.bytes().to_vec()));
            count += 1;
        }
        assert!(count > 0 && expected > next, "a fetch at {next} got nothing");
        assert!(bytes.len() <= max_bytes as usize || count == 1, "{} bytes in {count} batches, {max_bytes} were asked for", bytes.len());
        assert_eq!(out.next_offset, expected);
        next = expected;
    }
    all
}

/// Checks that a log is dense from its start to its end, and that every way to look at it agrees.
pub(super) fn check_whole(log: &PartitionLog) {
    let all = read_all(log, log.log_start_offset(), 1 << 20);
    for (base, bytes) in &all {
        let view = ottla_wire::batch::BatchView::new(bytes).unwrap();
        for offset in [base.0.max(log.log_start_offset().0), view.last_offset()] {
            let out = log.read(Offset(offset), log.log_end_offset(), 1, true).unwrap();
            assert_eq!(&bytes_of(&out), bytes, "at {offset}");
        }
    }
    assert_eq!(log.size_bytes(), log.segments.iter().map(|s| u64::from(s.size)).sum::<u64>());
}
