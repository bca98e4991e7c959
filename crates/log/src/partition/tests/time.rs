//! Offsets by timestamp, and leader epochs.

use super::*;

fn log_with_times(disk: &MemDisk, times: &[i64], config: LogConfig) -> (PartitionLog, Vec<(i64, Offset)>) {
    let mut log = new_log(disk, config);
    let mut records = Vec::new();
    for (i, time) in times.iter().enumerate() {
        let count = 1 + i % 3;
        let codec = if i % 4 == 0 { Compression::Gzip } else { Compression::None };
        let appended = append(&mut log, &batch_at(*time, count, 60, codec));
        records.extend((0..count as i64).map(|j| (time + j, appended.base_offset.plus(j))));
    }
    (log, records)
}

#[test]
fn the_first_record_not_before_a_time_is_found_as_by_brute_force() {
    // Times go up and down, as those of several producers do.
    let times: Vec<i64> = (0..200).map(|i| 10_000 + i * 10 + (i * 7919 % 13) * 9 - (i % 5) * 40).collect();
    for (segment_bytes, interval) in [(1 << 20, 0), (1 << 20, 4096), (3000, 300), (1200, 0)] {
        let config = LogConfig { segment_bytes, index_interval_bytes: interval, ..LogConfig::default() };
        let disk = MemDisk::new();
        let (log, records) = log_with_times(&disk, &times, config.clone());
        check_times(&log, &records);
        // After a clean stop all is known from the files alone.
        log.close_cleanly().unwrap();
        let (log, recovery) = reopen(&disk, config, OpenHints { clean: true, ..OpenHints::default() });
        assert!(recovery.clean);
        check_times(&log, &records);
    }
}

fn check_times(log: &PartitionLog, records: &[(i64, Offset)]) {
    let end = log.log_end_offset();
    for time in (9_700..12_500).step_by(7) {
        for upto in [end, Offset(end.0 / 2)] {
            let expected = records.iter().find(|(t, at)| *t >= time && *at < upto).copied();
            let found = log.offset_for_timestamp(TimestampMs(time), upto).unwrap();
            assert_eq!(found.map(|f| (f.timestamp.0, f.offset)), expected, "{time} below {upto}");
            assert!(found.is_none_or(|f| f.leader_epoch == EPOCH));
        }
    }
    let max = records.iter().map(|(t, _)| *t).max().unwrap();
    let first = records.iter().find(|(t, _)| *t == max).copied();
    assert_eq!(log.offset_of_max_timestamp().unwrap().map(|f| (f.timestamp.0, f.offset)), first);
}

#[test]
fn a_log_without_timestamps_has_none_to_find() {
    let mut log = new_log(&MemDisk::new(), LogConfig::default());
    assert_eq!(log.offset_of_max_timestamp().unwrap(), None);
    let mut builder = BatchBuilder::new(Compression::None, 1000);
    builder.append(-1, None, Some(b"v"), &[]).unwrap();
    append(&mut log, &builder.build().unwrap());
    assert_eq!(log.offset_for_timestamp(TimestampMs(0), Offset(1)).unwrap(), None);
    assert_eq!(log.offset_of_max_timestamp().unwrap(), None);
}

#[test]
fn epochs_follow_leaders_and_truncation() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { segment_bytes: 700, index_interval_bytes: 100, ..LogConfig::default() });
    for epoch in [0, 0, 2, 2, 5] {
        log.append_as_leader(&batch(10, 20), LeaderEpoch(epoch), AppendOrigin::Client, NOW).unwrap();
    }
    let end_of = |log: &PartitionLog, epoch: i32| log.epoch_end_offset(LeaderEpoch(epoch));
    assert_eq!(end_of(&log, 0), (LeaderEpoch(0), Offset(20)));
    assert_eq!(end_of(&log, 3), (LeaderEpoch(2), Offset(40)));
    assert_eq!(end_of(&log, 5), (LeaderEpoch(5), Offset(50)));
    log.sync_all().unwrap();
    assert_eq!(log.durable_end(), Offset(50));
    let before = read_all(&log, Offset(0), 4096);

    log.truncate_to(Offset(25)).unwrap();
    // The batch with 25 goes as a whole.
    assert_eq!((log.log_end_offset(), log.durable_end()), (Offset(20), Offset(20)));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
    assert_eq!(read_all(&log, Offset(0), 4096), before[..2]);
    let appended = log.append_as_leader(&batch(3, 100), LeaderEpoch(7), AppendOrigin::Client, NOW).unwrap();
    assert_eq!(appended.base_offset, Offset(20));
    assert_eq!(log.durable_end(), Offset(20));
    log.sync_all().unwrap();
    check_whole(&log);
    let now = read_all(&log, Offset(0), 4096);
    let (log, _) = reopen(&disk.crash(11), LogConfig::default(), OpenHints { recovery_point: Some(Offset(23)), ..OpenHints::default() });
    assert_eq!(read_all(&log, Offset(0), 4096), now);
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(0), Offset(0)), (LeaderEpoch(7), Offset(20))]);
}

#[test]
fn truncation_at_every_offset_leaves_a_log_that_goes_on() {
    for to in 0..60 {
        let disk = MemDisk::new();
        let config = LogConfig { segment_bytes: 900, index_interval_bytes: 0, ..LogConfig::default() };
        let mut log = new_log(&disk, config.clone());
        for i in 0..12 {
            append(&mut log, &batch_of(1, 0, i * 5, 5));
        }
        log.truncate_to(Offset(to)).unwrap();
        let end = Offset(to / 5 * 5);
        assert_eq!(log.log_end_offset(), end);
        check_whole(&log);
        assert_eq!(log.offset_of_max_timestamp().unwrap().is_some(), end > Offset(0));
        // The producer goes on from what is left.
        append(&mut log, &batch_of(1, 0, end.0 as i32, 5));
        log.sync_all().unwrap();
        let (log, recovery) = reopen(&disk.crash(to as u64), config, OpenHints::default());
        assert_eq!((log.log_end_offset(), recovery.torn), (end.plus(5), None));
        check_whole(&log);
    }
}
