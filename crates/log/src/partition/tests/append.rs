//! What a leader lets in, and how.

use ottla_model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use ottla_wire::batch::{BatchBuilder, BatchError, BatchView, Batches, EndTxnMarker, TxnResult, control_batch, set_base_offset};
use ottla_wire::batch::{TimestampType, set_max_timestamp};

use super::*;
use crate::config::{BatchValidation, TopicCompression};
use crate::disk::Fault;
use crate::error::LogError;

fn refused(config: LogConfig, records: &[u8]) -> AppendError {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, config);
    let error = try_append(&mut log, records).unwrap_err();
    assert_eq!((log.log_end_offset(), log.size_bytes()), (Offset(0), 0), "nothing is written");
    error
}

#[test]
fn a_batch_is_stored_as_it_came_but_for_offset_and_epoch() {
    for codec in Compression::ALL {
        let disk = MemDisk::new();
        let mut log = new_log(&disk, LogConfig::default());
        append(&mut log, &batch(5, 10));
        let sent = batch_at(NOW.0, 7, 200, codec);
        let appended = append(&mut log, &sent);
        assert_eq!((appended.base_offset, appended.last_offset, appended.duplicate), (Offset(5), Offset(11), false));
        assert_eq!((appended.log_append_time, appended.bytes as usize), (TimestampMs::NONE, sent.len()));
        let stored = bytes_of(&log.read(Offset(5), Offset(12), 1 << 20, false).unwrap());
        assert_eq!(stored[16..], sent[16..]);
        let view = BatchView::new(&stored).unwrap();
        assert_eq!((view.base_offset(), view.partition_leader_epoch()), (5, EPOCH.0));
        view.check_crc().unwrap();
    }
}

#[test]
fn what_is_not_one_sound_batch_is_refused_as_kafka_refuses_it() {
    let config = LogConfig::default;
    let good = batch(3, 20);
    assert!(matches!(refused(config(), &[]), AppendError::InvalidRecord { .. }));
    assert!(matches!(refused(config(), &good[..good.len() - 1]), AppendError::Batch(BatchError::Truncated { .. })));
    let two = [good.clone(), good.clone()].concat();
    assert!(matches!(refused(config(), &two), AppendError::Batch(BatchError::NotOneBatch { .. })));
    for at in 17..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(matches!(refused(config(), &bad), AppendError::Batch(BatchError::BadCrc { .. })), "byte {at}");
    }
    let mut elsewhere = good.clone();
    set_base_offset(&mut elsewhere, 1).unwrap();
    assert!(matches!(refused(config(), &elsewhere), AppendError::InvalidRecord { .. }));
    let large = LogConfig { max_message_bytes: good.len() as u32 - 1, ..config() };
    assert!(matches!(refused(large, &good), AppendError::TooLarge { .. }));
    let small = LogConfig { segment_bytes: good.len() as u32 - 1, ..config() };
    assert!(matches!(refused(small, &good), AppendError::LargerThanSegment { .. }));
    let marker = control_batch(EndTxnMarker { result: TxnResult::Commit, coordinator_epoch: 0 }, NOW.0, 1, 0).unwrap();
    assert!(matches!(refused(config(), &marker), AppendError::InvalidRecord { .. }));
    let no_sequence = BatchBuilder::new(Compression::None, 1000).producer(5, 0, -1);
    let mut no_sequence = no_sequence;
    no_sequence.append(NOW.0, None, None, &[]).unwrap();
    assert!(matches!(refused(config(), &no_sequence.build().unwrap()), AppendError::InvalidRecord { .. }));
}

#[test]
fn compressed_records_are_looked_into_only_when_told_to() {
    // Says 4 records in its header, holds 3: found only by unpacking.
    let mut lying = batch_at(NOW.0, 3, 100, Compression::Lz4);
    lying[26] = 3;
    lying[60] = 4;
    set_max_timestamp(&mut lying, TimestampType::CreateTime, NOW.0).unwrap();
    let full = LogConfig { batch_validation: BatchValidation::Full, ..LogConfig::default() };
    assert!(matches!(refused(full, &lying), AppendError::Batch(BatchError::BadRecord { .. })));
    append(&mut new_log(&MemDisk::new(), LogConfig::default()), &lying);
}

#[test]
fn a_compacted_topic_needs_keys() {
    let config = LogConfig { cleanup_compact: true, ..LogConfig::default() };
    for codec in [Compression::None, Compression::Zstd] {
        let mut builder = BatchBuilder::new(codec, 1000);
        builder.append(NOW.0, None, Some(b"v"), &[]).unwrap();
        assert!(matches!(refused(config.clone(), &builder.build().unwrap()), AppendError::InvalidRecord { .. }));
    }
}

#[test]
fn timestamps_beyond_the_bounds_are_refused() {
    let config = LogConfig { message_timestamp_after_max_ms: 1000, message_timestamp_before_max_ms: 5000, ..LogConfig::default() };
    for (timestamp, ok) in [(NOW.0 + 1000, true), (NOW.0 + 1001, false), (NOW.0 - 5000, true), (NOW.0 - 5001, false), (-1, true)] {
        let records = batch_at(timestamp, 1, 10, Compression::None);
        let mut log = new_log(&MemDisk::new(), config.clone());
        match try_append(&mut log, &records) {
            Ok(_) => assert!(ok, "{timestamp}"),
            Err(AppendError::InvalidTimestamp { found, .. }) => assert!(!ok && found.0 == timestamp),
            Err(other) => panic!("{other}"),
        }
    }
    let mut theirs = batch(1, 10);
    set_max_timestamp(&mut theirs, TimestampType::LogAppendTime, NOW.0).unwrap();
    assert!(matches!(refused(LogConfig::default(), &theirs), AppendError::TimestampTypeNotTheirs));
}

#[test]
fn a_misstated_largest_timestamp_is_put_right() {
    let mut records = batch(4, 10);
    set_max_timestamp(&mut records, TimestampType::CreateTime, NOW.0 - 77).unwrap();
    let mut log = new_log(&MemDisk::new(), LogConfig::default());
    append(&mut log, &records);
    let stored = bytes_of(&log.read(Offset(0), Offset(4), 1 << 20, false).unwrap());
    let view = BatchView::new(&stored).unwrap();
    assert_eq!(view.max_timestamp(), NOW.0 + 3);
    view.check_crc().unwrap();
}

#[test]
fn log_append_time_and_the_topics_codec_rewrite_the_batch_soundly() {
    for codec in Compression::ALL {
        let config = LogConfig {
            message_timestamp_type: TimestampType::LogAppendTime,
            compression_type: TopicCompression::Codec { codec, level: None },
            ..LogConfig::default()
        };
        let mut log = new_log(&MemDisk::new(), config);
        let sent = batch_at(5, 9, 300, Compression::Snappy);
        let appended = append(&mut log, &sent);
        assert_eq!(appended.log_append_time, NOW);
        let stored = bytes_of(&log.read(Offset(0), Offset(9), 1 << 20, false).unwrap());
        let view = BatchView::new(&stored).unwrap();
        view.check_crc().unwrap();
        assert_eq!((view.compression().unwrap(), view.timestamp_type()), (codec, TimestampType::LogAppendTime));
        let limits = Default::default();
        let sent = BatchView::new(&sent).unwrap();
        let (before, after) = (sent.records(&limits).unwrap(), view.records(&limits).unwrap());
        assert_eq!(before.unpacked_bytes(), after.unpacked_bytes());
        assert!(after.iter().all(|r| r.unwrap().timestamp == NOW.0));
    }
}

#[test]
fn a_producer_that_sends_again_gets_its_first_answer_and_gaps_are_refused() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { segment_bytes: 2000, ..LogConfig::default() });
    for i in 0..6 {
        append(&mut log, &batch_of(11, 0, i * 4, 4));
        append(&mut log, &batch(1, 10));
    }
    let size = log.size_bytes();
    for i in 1..6 {
        let again = append(&mut log, &batch_of(11, 0, i * 4, 4));
        let base_offset = Offset(i64::from(i) * 5);
        assert_eq!((again.duplicate, again.base_offset, again.last_offset, again.bytes), (true, base_offset, base_offset.plus(3), 0));
    }
    assert!(matches!(
        try_append(&mut log, &batch_of(11, 0, 28, 4)),
        Err(AppendError::OutOfOrderSequence { producer_id: ProducerId(11), expected: Sequence(24), found: Sequence(28), .. })
    ));
    assert_eq!(log.size_bytes(), size);
    append(&mut log, &batch_of(11, 1, 0, 2));
    let fenced = try_append(&mut log, &batch_of(11, 0, 24, 1)).unwrap_err();
    assert!(matches!(fenced, AppendError::ProducerFenced { current: ProducerEpoch(1), .. }));
    // The same holds for the log that was closed, and for the one that crashed: from snapshot and replay.
    let end = log.log_end_offset();
    log.sync_all().unwrap();
    let crashed = disk.fork().crash(5);
    log.close_cleanly().unwrap();
    for (disk, clean) in [(disk.fork(), true), (crashed, false)] {
        let (mut log, recovery) = reopen(&disk, LogConfig::default(), OpenHints { clean, ..OpenHints::default() });
        assert_eq!((recovery.clean, log.log_end_offset()), (clean, end));
        let again = append(&mut log, &batch_of(11, 1, 0, 2));
        assert_eq!((again.duplicate, again.base_offset), (true, Offset(end.0 - 2)));
        append(&mut log, &batch_of(11, 1, 2, 1));
    }
}

#[test]
fn transactions_bound_the_stable_offset_and_leave_their_mark_in_the_index() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { segment_bytes: 900, ..LogConfig::default() });
    let transactional = |producer: i64, sequence: i32| {
        let mut builder = BatchBuilder::new(Compression::None, 10_000).producer(producer, 0, sequence).transactional();
        fill(&mut builder, NOW.0, 2, 100);
        builder.build().unwrap()
    };
    let end = |log: &mut PartitionLog, producer: i64, result: TxnResult| {
        let marker = control_batch(EndTxnMarker { result, coordinator_epoch: 1 }, NOW.0, producer, 0).unwrap();
        log.append_as_leader(&marker, EPOCH, AppendOrigin::Coordinator, NOW).unwrap()
    };
    append(&mut log, &batch(1, 10)); // 0
    append(&mut log, &transactional(1, 0)); // 1, 2
    append(&mut log, &transactional(2, 0)); // 3, 4
    assert_eq!(log.open_transaction(ProducerId(2)), Some(Offset(3)));
    append(&mut log, &transactional(1, 2)); // 5, 6
    assert_eq!(log.last_stable_offset(log.log_end_offset()), Offset(1));
    end(&mut log, 1, TxnResult::Abort); // 7
    let high_watermark = log.log_end_offset();
    log.on_high_watermark(high_watermark);
    assert_eq!(log.last_stable_offset(high_watermark), Offset(3));
    end(&mut log, 2, TxnResult::Commit); // 8
    assert_eq!(log.last_stable_offset(Offset(8)), Offset(3), "its marker is not below the high watermark");
    assert_eq!(log.last_stable_offset(Offset(9)), Offset(9));
    let aborted = log.aborted_transactions(Offset(0), Offset(9)).unwrap();
    assert_eq!(
        aborted.iter().map(|a| (a.producer_id, a.first_offset, a.last_offset)).collect::<Vec<_>>(),
        [(ProducerId(1), Offset(1), Offset(7))]
    );
    assert_eq!(log.aborted_transactions(Offset(8), Offset(9)).unwrap(), []);
    assert!(log.segment_count() > 1);
    // After a crash that takes the index, it is made again from the markers.
    log.sync_all().unwrap();
    let disk = disk.crash(0);
    let txn_index = log.segments.iter().map(|s| crate::segment::FileKind::TxnIndex.path(Path::new(DIR), s.base));
    let removed = txn_index.filter(|p| disk.remove_file(p).is_ok()).count();
    assert_eq!(removed, 1);
    for snapshot in disk.list_dir(Path::new(DIR)).unwrap().iter().filter(|e| e.name.ends_with(".snapshot")) {
        disk.remove_file(&Path::new(DIR).join(&snapshot.name)).unwrap();
    }
    let (log, _) = reopen(&disk, LogConfig::default(), OpenHints::default());
    assert_eq!(log.aborted_transactions(Offset(0), Offset(9)).unwrap(), aborted);
}

#[test]
fn a_follower_keeps_offsets_and_epochs_and_takes_nothing_again() {
    let mut leader = new_log(&MemDisk::new(), LogConfig::default());
    for epoch in [3, 3, 5] {
        leader.append_as_leader(&batch(4, 100), LeaderEpoch(epoch), AppendOrigin::Client, NOW).unwrap();
        leader.append_as_leader(&batch_of(epoch.into(), 0, 0, 2), LeaderEpoch(epoch), AppendOrigin::Client, NOW).unwrap();
    }
    let end = leader.log_end_offset();
    let sent = bytes_of(&leader.read(Offset(0), end, 1 << 20, false).unwrap());
    for config in [LogConfig::default(), LogConfig { segment_bytes: 600, max_message_bytes: 10, ..LogConfig::default() }] {
        let mut follower = new_log(&MemDisk::new(), config);
        // The rest of a batch that was cut off is left out.
        let appended = follower.append_as_follower(&sent[..sent.len() - 3], NOW).unwrap();
        let missing = Batches::new(&sent).last().unwrap().unwrap();
        assert_eq!(follower.log_end_offset(), Offset(missing.base_offset()));
        assert_eq!(appended.bytes as usize, sent.len() - missing.length_in_bytes());
        follower.append_as_follower(missing.bytes(), NOW).unwrap();
        assert_eq!(read_all(&follower, Offset(0), 4096), read_all(&leader, Offset(0), 4096));
        assert_eq!(follower.epochs(), leader.epochs());
        assert_eq!(follower.producers, leader.producers);
        let gap = follower.append_as_follower(missing.bytes(), NOW).unwrap_err();
        assert!(matches!(gap, AppendError::NotDense { expected, .. } if expected == end));
    }
}

#[test]
fn a_full_disk_refuses_and_takes_writes_again_when_there_is_room() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig::default());
    append(&mut log, &batch(3, 100));
    disk.set_fault(Some(Fault::Once { call: disk.calls(), error: std::io::ErrorKind::StorageFull }));
    match try_append(&mut log, &batch(3, 100)) {
        Err(AppendError::Log(LogError::Io(failure))) => assert!(failure.is_disk_full()),
        other => panic!("{other:?}"),
    }
    assert_eq!((log.log_end_offset(), log.failure()), (Offset(3), None));
    append(&mut log, &batch(2, 10));
    check_whole(&log);
    let (log, recovery) = reopen(&disk.kill(), LogConfig::default(), OpenHints::default());
    assert_eq!((log.log_end_offset(), recovery.torn), (Offset(5), None));
}

#[test]
fn a_full_disk_does_not_fail_a_log_whose_leader_epochs_are_not_written_yet() {
    for by_file_system in [false, true] {
        let disk = MemDisk::new();
        let mut log = new_log(&disk, LogConfig::default());
        // As another hand, or a crash before the folder was synced, leaves it.
        disk.remove_file(&log.dir().join(crate::checkpoint::LEADER_EPOCH_FILE)).unwrap();
        log.assign_epoch_start(LeaderEpoch(EPOCH.0 + 1));
        let ticket = log.begin_sync().unwrap().unwrap();
        disk.set_space(Some(crate::disk::Space { total_bytes: 1 << 20, free_bytes: 0 }));
        let mut tickets = [ticket];
        let synced = match by_file_system {
            true => crate::SyncTicket::sync_all(&mut tickets, &disk, log.dir().parent().unwrap()),
            false => tickets[0].sync(),
        };
        synced.unwrap();
        let [ticket] = tickets;
        log.finish_sync(ticket).unwrap();
        assert_eq!(log.failure(), None);
        disk.set_space(None);
        append(&mut log, &batch(2, 10));
        log.sync_all().unwrap();
        let (log, _) = reopen(&disk.crash(1), LogConfig::default(), OpenHints::default());
        assert_eq!(log.log_end_offset(), Offset(2));
    }
}
