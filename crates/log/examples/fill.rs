//! Fills a partition's folder, to be looked at with Kafka's own tools, and says what appending and reading cost.
//!
//! ```text
//! cargo run --release -p ottla-log --example fill -- /tmp/fill/t-0 [MiB]
//! kafka-dump-log --deep-iteration --files /tmp/fill/t-0/00000000000000000000.log
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_log::{AppendOrigin, LogConfig, PartitionLog, RealDisk};
use ottla_model::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use ottla_wire::batch::{BatchBuilder, EndTxnMarker, TxnResult, control_batch};
use ottla_wire::compress::Compression;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("usage: fill DIR/TOPIC-PARTITION [MiB]")?);
    let mib: u64 = args.next().map_or(Ok(64), |n| n.parse())?;
    let name = dir.file_name().and_then(|n| n.to_str()).ok_or("no folder name")?;
    let partition = TopicPartition::from_folder_name(name).ok_or("the folder must be named as topic-0 is")?;
    let now = TimestampMs(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?);
    let config = LogConfig { segment_bytes: 16 << 20, ..LogConfig::default() };
    let mut log = PartitionLog::create(Arc::new(RealDisk::new()), &dir, partition, TopicId(Uuid::from_random_bytes([7; 16])), config, now)?;

    // One of each codec, a transaction that is aborted, then plain batches of 1000 records of 100 bytes.
    let mut sequence = 0;
    for codec in Compression::ALL {
        let mut batch = BatchBuilder::new(codec, 1 << 20).producer(1, 0, sequence).transactional();
        for i in 0..100 {
            batch.append(now.0 + i, Some(format!("key-{i}").as_bytes()), Some(&[b'v'; 80]), &[]).map_err(|e| e.to_string())?;
        }
        sequence += batch.record_count();
        log.append_as_leader(&batch.build()?, LeaderEpoch(0), AppendOrigin::Unverified, now)?;
    }
    let marker = control_batch(EndTxnMarker { result: TxnResult::Abort, coordinator_epoch: 0 }, now.0, 1, 0)?;
    log.append_as_leader(&marker, LeaderEpoch(0), AppendOrigin::Coordinator, now)?;
    let mut batch = BatchBuilder::new(Compression::None, 1 << 20);
    for _ in 0..1000 {
        batch.append(now.0, None, Some(&[b'x'; 100]), &[]).map_err(|e| e.to_string())?;
    }
    let batch = batch.build()?;

    let start = Instant::now();
    let mut written = 0;
    while written < mib << 20 {
        written += u64::from(log.append_as_leader(&batch, LeaderEpoch(1), AppendOrigin::Unverified, now)?.bytes);
    }
    let per_gib = |bytes: u64| start.elapsed().as_secs_f64() * (1u64 << 30) as f64 / bytes as f64;
    println!("append: {:.3} s a GiB", per_gib(written));
    let start = Instant::now();
    let (mut next, mut fetches) = (Offset::ZERO, 0);
    while next < log.log_end_offset() {
        next = log.read(next, log.log_end_offset(), 1 << 20, true)?.next_offset;
        fetches += 1;
    }
    println!("read: {:.2} us a fetch of 1 MiB", start.elapsed().as_secs_f64() * 1e6 / f64::from(fetches));
    let start = Instant::now();
    log.close_cleanly()?;
    println!("close: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
