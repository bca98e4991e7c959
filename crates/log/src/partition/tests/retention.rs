//! Segments that come and go.

use super::*;
use crate::partition::{OldSegments, RetentionReason};

fn ten_segments(disk: &MemDisk, config: LogConfig) -> PartitionLog {
    let mut log = new_log(disk, LogConfig { segment_bytes: 1000, ..config });
    for i in 0..10 {
        let records = batch_at(NOW.0 + i * 1000, 5, 150, Compression::None);
        log.append_as_leader(&records, EPOCH, AppendOrigin::Client, TimestampMs(NOW.0 + i * 1000)).unwrap();
    }
    assert_eq!(log.segment_count(), 10);
    log
}

#[test]
fn segments_older_than_retention_go_as_time_passes() {
    let disk = MemDisk::new();
    let mut log = ten_segments(&disk, LogConfig { retention_ms: 5000, ..LogConfig::default() });
    let end = log.log_end_offset();
    // The largest timestamp of segment i is NOW + 1000 i + 4.
    assert_eq!(log.old_segments(end, TimestampMs(NOW.0 + 5004)).unwrap(), None);
    let now = TimestampMs(NOW.0 + 7005);
    let old = log.old_segments(end, now).unwrap().unwrap();
    assert_eq!((old.count, old.log_start, old.reason), (3, Offset(15), RetentionReason::Time));
    assert_eq!(log.old_segments(Offset(12), now).unwrap().unwrap().count, 2, "not above the high watermark");
    let reader = log.read(Offset(0), end, 1 << 20, true).unwrap();
    assert_eq!(log.delete_old_segments(end, now).unwrap(), Some(old));
    assert_eq!((log.log_start_offset(), log.segment_count()), (Offset(15), 7));
    assert_eq!(bytes_of(&reader).len(), reader.bytes as usize, "who reads it goes on reading");
    assert!(matches!(log.read(Offset(14), end, 100, true), Err(crate::ReadError::OffsetOutOfRange { .. })));
    check_whole(&log);
    assert_eq!(log.epochs().entries(), [(EPOCH, Offset(15))]);

    let deleted = |disk: &MemDisk| disk.list_dir(Path::new(DIR)).unwrap().iter().filter(|e| e.name.ends_with(".deleted")).count();
    // Segment 0 has no snapshot.
    assert_eq!(deleted(&disk), 3 + 4 + 4);
    assert_eq!(log.next_removal(), Some(TimestampMs(now.0 + 60_000)));
    assert_eq!(log.remove_deleted_files(TimestampMs(now.0 + 59_999)).unwrap(), 0);
    assert_eq!(log.remove_deleted_files(TimestampMs(now.0 + 60_000)).unwrap(), 11);
    assert_eq!((deleted(&disk), log.next_removal()), (0, None));
}

#[test]
fn everything_may_be_old_and_the_log_goes_on_at_its_end() {
    let disk = MemDisk::new();
    let mut log = ten_segments(&disk, LogConfig { retention_ms: 5000, file_delete_delay_ms: 0, ..LogConfig::default() });
    let (end, now) = (log.log_end_offset(), TimestampMs(NOW.0 + 1_000_000));
    assert_eq!(log.delete_old_segments(end, now).unwrap().map(|o| o.count), Some(10));
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size_bytes()), (end, end, 0));
    assert_eq!(log.delete_old_segments(end, now).unwrap(), None);
    log.remove_deleted_files(now).unwrap();
    assert_eq!(append(&mut log, &batch(1, 10)).base_offset, end);
    log.sync_all().unwrap();
    let (log, _) = reopen(&disk.crash(3), LogConfig::default(), OpenHints::default());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (end, end.plus(1)));
}

#[test]
fn a_log_is_cut_down_to_its_size() {
    let mut log = ten_segments(&MemDisk::new(), LogConfig { retention_ms: -1, retention_bytes: 3500, ..LogConfig::default() });
    let end = log.log_end_offset();
    let each = log.size_bytes() / 10;
    let old = log.old_segments(end, NOW).unwrap().unwrap();
    // As many as leave at least 3500 bytes.
    let expected = (log.size_bytes() - 3500) / each;
    assert_eq!(
        old,
        OldSegments {
            count: expected as usize,
            bytes: expected * each,
            log_start: Offset(expected as i64 * 5),
            reason: RetentionReason::Size
        }
    );
    log.delete_old_segments(end, NOW).unwrap();
    assert!(log.size_bytes() >= 3500 && log.size_bytes() < 3500 + each);
    let compacted = LogConfig { cleanup_delete: false, retention_bytes: 1, retention_ms: 1, ..log.config().clone() };
    log.update_config(compacted);
    assert_eq!(log.old_segments(end, TimestampMs(i64::MAX)).unwrap(), None);
}

#[test]
fn deleted_records_are_gone_at_once_and_their_segments_soon() {
    let disk = MemDisk::new();
    let mut log = ten_segments(&disk, LogConfig { retention_ms: -1, ..LogConfig::default() });
    let end = log.log_end_offset();
    assert!(log.advance_log_start(Offset(22)).unwrap());
    assert!(!log.advance_log_start(Offset(22)).unwrap());
    assert!(log.advance_log_start(end.plus(1)).is_err());
    assert!(log.read(Offset(21), end, 100, true).is_err());
    let first = log.read(Offset(22), end, 1, true).unwrap();
    assert_eq!(first.first_offset, Offset(20), "batches are not cut");
    let old = log.delete_old_segments(end, NOW).unwrap().unwrap();
    assert_eq!((old.count, old.reason, log.log_start_offset()), (4, RetentionReason::LogStart, Offset(22)));
    log.close_cleanly().unwrap();
    let hints = OpenHints { clean: true, log_start: Some(Offset(22)), ..OpenHints::default() };
    let (log, _) = reopen(&disk, LogConfig::default(), hints);
    assert_eq!(log.log_start_offset(), Offset(22));
}

#[test]
fn segments_roll_by_time_of_their_records() {
    let mut log = new_log(&MemDisk::new(), LogConfig { segment_ms: 1000, ..LogConfig::default() });
    let mut at = |ms: i64| {
        log.append_as_leader(&batch_at(NOW.0 + ms, 1, 10, Compression::None), EPOCH, AppendOrigin::Client, TimestampMs(NOW.0 + ms))
            .unwrap();
        log.segment_count()
    };
    assert_eq!([at(0), at(1000), at(1001), at(2001), at(2002)], [1, 1, 2, 2, 3]);
}
