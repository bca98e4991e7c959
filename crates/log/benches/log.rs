//! What a log costs: appending, finding the place of a read, recovery after a crash.
//!
//! `cargo bench -p ottla-log`. On a real disk the page cache is measured, not the disk: nothing is synced.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ottla_log::{AppendOrigin, Disk, LogConfig, MemDisk, OpenHints, PartitionLog, RealDisk};
use ottla_model::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use ottla_wire::batch::BatchBuilder;
use ottla_wire::compress::Compression;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const BATCH_BYTES: usize = 16 << 10;
/// Bytes of a log that is read or recovered.
const LOG_BYTES: u64 = 32 << 20;
/// Batches appended to one log: what is in memory must not grow for ever.
const APPENDS_MAX: u64 = 2000;

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
    for _ in 0..BATCH_BYTES / 110 {
        builder.append(NOW.0, Some(b"key"), Some(&[b'x'; 100]), &[]).unwrap();
    }
    builder.build().unwrap()
}

fn create(disk: Arc<dyn Disk>, dir: &Path) -> PartitionLog {
    let partition = TopicPartition::from_folder_name("t-0").unwrap();
    PartitionLog::create(disk, dir, partition, TopicId(Uuid::from_random_bytes([7; 16])), LogConfig::default(), NOW).unwrap()
}

fn append(log: &mut PartitionLog, batch: &[u8]) {
    log.append_as_leader(batch, LeaderEpoch(0), AppendOrigin::Client, NOW).unwrap();
}

fn appends(criterion: &mut Criterion) {
    let batch = batch();
    let mut group = criterion.benchmark_group("append a batch of 16 KiB");
    group.throughput(Throughput::Bytes(batch.len() as u64));
    group.bench_function("on a real disk", |bencher| {
        bencher.iter_custom(|appends| {
            let mut time = Duration::ZERO;
            let mut left = appends;
            while left > 0 {
                let dir = tempfile::tempdir().unwrap();
                let mut log = create(Arc::new(RealDisk::new()), &dir.path().join("t-0"));
                let count = left.min(APPENDS_MAX);
                let began = std::time::Instant::now();
                (0..count).for_each(|_| append(&mut log, black_box(&batch)));
                time += began.elapsed();
                left -= count;
            }
            time
        });
    });
    group.bench_function("in memory", |bencher| {
        bencher.iter_custom(|appends| {
            let mut time = Duration::ZERO;
            let mut left = appends;
            while left > 0 {
                let mut log = create(Arc::new(MemDisk::new()), Path::new("/d/t-0"));
                let count = left.min(APPENDS_MAX);
                let began = std::time::Instant::now();
                (0..count).for_each(|_| append(&mut log, black_box(&batch)));
                time += began.elapsed();
                left -= count;
            }
            time
        });
    });
    group.finish();
}

fn reads_and_recovery(criterion: &mut Criterion) {
    let batch = batch();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t-0");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let mut log = create(Arc::clone(&disk), &path);
    while log.size_bytes() < LOG_BYTES {
        append(&mut log, &batch);
    }
    let end = log.log_end_offset();

    let mut next = Offset::ZERO;
    criterion.bench_function("read 1 MiB, one after another", |bencher| {
        bencher.iter(|| {
            let out = log.read(next, end, 1 << 20, true).unwrap();
            next = if out.next_offset < end { out.next_offset } else { Offset::ZERO };
            out
        });
    });
    let mut at = 0u64;
    criterion.bench_function("read 1 MiB, anywhere", |bencher| {
        bencher.iter(|| {
            // Steps that never fall on the place that was read before.
            at = (at + 7_919_777) % end.0 as u64;
            log.read(Offset(at as i64), end, 1 << 20, true).unwrap()
        });
    });
    log.sync_all().unwrap();
    drop(log);

    let mut group = criterion.benchmark_group("open a log of 32 MiB");
    group.sample_size(10);
    for (name, hints) in [
        ("all of it checked", OpenHints::default()),
        ("synced up to its end", OpenHints { recovery_point: Some(end), ..OpenHints::default() }),
    ] {
        if hints.recovery_point.is_none() {
            group.throughput(Throughput::Bytes(LOG_BYTES));
        }
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (Arc::clone(&disk), LogConfig::default()),
                |(disk, config)| PartitionLog::open(disk, &path, config, hints, NOW).unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Short, since there are many; `-- --measurement-time 5` measures longer.
fn briefly() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = briefly();
    targets = appends, reads_and_recovery
}
criterion_main!(benches);
