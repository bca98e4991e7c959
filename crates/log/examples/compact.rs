//! Fills a partition's folder with records of some keys again and again, compacts it, and says what that took and left. What it leaves is
//! to be looked at with Kafka's own tools.
//!
//! ```text
//! cargo run --release -p ottla-log --example compact -- /tmp/compact/t-0 [MiB] [keys]
//! kafka-dump-log --deep-iteration --files /tmp/compact/t-0/00000000000000000000.log
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_log::{AppendOrigin, LogConfig, MapLimits, PartitionLog, RealDisk};
use ottla_model::{LeaderEpoch, TimestampMs, TopicId, TopicPartition, Uuid};
use ottla_wire::batch::{BatchBuilder, EndTxnMarker, TxnResult, control_batch};
use ottla_wire::compress::Compression;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("usage: compact DIR/TOPIC-PARTITION [MiB] [keys]")?);
    let mib: u64 = args.next().map_or(Ok(64), |n| n.parse())?;
    let keys: u64 = args.next().map_or(Ok(100_000), |n| n.parse())?;
    let name = dir.file_name().and_then(|n| n.to_str()).ok_or("no folder name")?;
    let partition = TopicPartition::from_folder_name(name).ok_or("the folder must be named as topic-0 is")?;
    let now = TimestampMs(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?);
    let config = LogConfig { segment_bytes: 16 << 20, cleanup_compact: true, cleanup_delete: false, ..LogConfig::default() };
    let mut log = PartitionLog::create(Arc::new(RealDisk::new()), &dir, partition, TopicId(Uuid::from_random_bytes([7; 16])), config, now)?;

    // An aborted transaction, then batches of 100 records of 100 bytes in each codec in turn, now and then with a tombstone.
    let mut aborted = BatchBuilder::new(Compression::None, 1 << 20).producer(1, 0, 0).transactional();
    aborted.append(now.0, Some(b"key-0"), Some(b"aborted"), &[]).map_err(|e| e.to_string())?;
    log.append_as_leader(&aborted.build()?, LeaderEpoch(0), AppendOrigin::Unverified, now)?;
    let marker = control_batch(EndTxnMarker { result: TxnResult::Abort, coordinator_epoch: 0 }, now.0, 1, 0)?;
    log.append_as_leader(&marker, LeaderEpoch(0), AppendOrigin::Coordinator, now)?;
    let (mut state, mut batches) = (1u64, 0);
    while log.size_bytes() < mib << 20 {
        let codec = Compression::ALL[batches % Compression::ALL.len()];
        let mut batch = BatchBuilder::new(codec, 1 << 20);
        for i in 0..100 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = format!("key-{}", (state >> 33) % keys);
            let mut value = [0; 100];
            value.iter_mut().enumerate().for_each(|(at, byte)| *byte = (state >> (at % 57)) as u8);
            batch.append(now.0 + i, Some(key.as_bytes()), (i != 50).then_some(&value), &[]).map_err(|e| e.to_string())?;
        }
        log.append_as_leader(&batch.build()?, LeaderEpoch(1), AppendOrigin::Unverified, now)?;
        batches += 1;
    }
    let end = log.sync_all()?;
    log.on_high_watermark(end);
    println!("{} MiB in {} segments, {end} records of {keys} keys", log.size_bytes() >> 20, log.segment_count());

    let start = Instant::now();
    let need = log.compaction_need(end, now)?.ok_or("not compacted by its policy")?;
    let mut pass = log.begin_compaction(need, MapLimits::default(), now);
    let (mut bytes, mut held_us_max) = (0, 0);
    while let Some(new) = pass.next(&mut |piece| {
        bytes += piece;
        true
    })? {
        let held = Instant::now();
        let replaced = log.replace_compacted(&new)?.ok_or("changed")?;
        held_us_max = held_us_max.max(held.elapsed().as_micros());
        let synced = replaced.sync();
        log.forget_replaced(replaced, synced, now)?;
    }
    log.finish_compaction(&pass);
    let seconds = start.elapsed().as_secs_f64();
    println!("{:?}", pass.stats());
    println!(
        "{seconds:.2} s, {:.0} MiB/s read and written, the log was held for {held_us_max} us at most",
        bytes as f64 / seconds / 1048576.0
    );
    log.close_cleanly()?;
    Ok(())
}
