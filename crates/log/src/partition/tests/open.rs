//! Opening folders as they are found: ours, Kafka's, damaged ones.

use super::*;
use crate::disk::OpenMode;
use crate::error::LogError;
use crate::segment::FileKind;

fn put(disk: &MemDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::Create).unwrap();
    file.truncate(0).unwrap();
    file.write_vectored_at(&[std::io::IoSlice::new(bytes)], 0).unwrap();
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 4000, index_interval_bytes: 200, ..LogConfig::default() }
}

fn filled(disk: &MemDisk) -> PartitionLog {
    let mut log = new_log(disk, small());
    for i in 0..40 {
        append(&mut log, &batch_of(1, 0, i * 3, 3));
    }
    assert!(log.segment_count() >= 3);
    log
}

#[test]
fn a_folder_has_the_files_and_names_of_kafka() {
    let disk = MemDisk::new();
    let log = new_log(&disk, LogConfig::default());
    let names: Vec<String> = disk.list_dir(Path::new(DIR)).unwrap().into_iter().map(|e| e.name).collect();
    let zero = "00000000000000000000";
    assert_eq!(
        names,
        [&format!("{zero}.index"), &format!("{zero}.log"), &format!("{zero}.timeindex"), "leader-epoch-checkpoint", "partition.metadata"]
    );
    let metadata = disk.read_all(&Path::new(DIR).join("partition.metadata")).unwrap();
    assert_eq!(metadata, format!("version: 0\ntopic_id: {}", log.topic_id().unwrap()).as_bytes());
    let id = log.topic_id();
    log.close_cleanly().unwrap();
    let (log, _) = reopen(&disk, LogConfig::default(), OpenHints { clean: true, ..OpenHints::default() });
    assert_eq!((log.topic_id(), log.topic_partition().to_string().as_str()), (id, "t-0"));
}

#[test]
fn index_entries_are_where_kafka_has_them() {
    let records = batch(10, 200);
    // The second is met exactly, which is not yet enough for an entry.
    for interval in [4096, records.len() * 2] {
        let disk = MemDisk::new();
        let mut log = new_log(&disk, LogConfig { index_interval_bytes: interval as u32, ..LogConfig::default() });
        for _ in 0..40 {
            append(&mut log, &records);
        }
        log.close_cleanly().unwrap();
        let index = disk.read_all(&FileKind::OffsetIndex.path(Path::new(DIR), Offset(0))).unwrap();
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap()) as usize;
        let entries: Vec<(usize, usize)> = index.chunks_exact(8).map(|e| (number(&e[..4]), number(&e[4..]))).collect();
        // An entry for each batch before which more bytes than the interval lie behind the last one with an entry.
        let (mut expected, mut since) = (Vec::new(), 0);
        for i in 0..40 {
            if since > interval {
                expected.push((i * 10 + 9, i * records.len()));
                since = 0;
            }
            since += records.len();
        }
        assert_eq!(entries, expected);
        let times = disk.read_all(&FileKind::TimeIndex.path(Path::new(DIR), Offset(0))).unwrap();
        // All batches have the same largest timestamp: one entry, of the first batch.
        assert_eq!(times, [(NOW.0 + 9).to_be_bytes().as_slice(), &9u32.to_be_bytes()].concat());
    }
}

#[test]
fn indexes_that_kafka_preallocated_are_taken_without_their_zeros() {
    for clean in [true, false] {
        let disk = MemDisk::new();
        let log = filled(&disk);
        let all = read_all(&log, Offset(0), 1000);
        let last = log.active_segment_base();
        log.close_cleanly().unwrap();
        let mut lens = Vec::new();
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
            let path = kind.path(Path::new(DIR), last);
            let mut bytes = disk.read_all(&path).unwrap();
            lens.push(bytes.len());
            bytes.resize(10 << 20, 0);
            put(&disk, &path, &bytes);
        }
        let (mut log, recovery) = reopen(&disk, small(), OpenHints { clean, ..OpenHints::default() });
        assert_eq!(recovery.clean, clean);
        assert_eq!(read_all(&log, Offset(0), 1000), all);
        append(&mut log, &batch_of(1, 0, 120, 3));
        append(&mut log, &batch(1, 600));
        append(&mut log, &batch(1, 600));
        check_whole(&log);
        log.close_cleanly().unwrap();
        let index = disk.read_all(&FileKind::OffsetIndex.path(Path::new(DIR), last)).unwrap();
        assert!(index.len() > lens[0] && index.len() < lens[0] + 100, "{} {}", index.len(), lens[0]);
    }
}

#[test]
fn a_log_that_kafka_preallocated_ends_where_its_batches_end() {
    let disk = MemDisk::new();
    let log = filled(&disk);
    let (all, last, size) = (read_all(&log, Offset(0), 1000), log.active_segment_base(), log.active().size);
    drop(log);
    let path = FileKind::Log.path(Path::new(DIR), last);
    let mut bytes = disk.read_all(&path).unwrap();
    bytes.resize(100_000, 0);
    put(&disk, &path, &bytes);
    let (log, recovery) = reopen(&disk, small(), OpenHints { clean: true, ..OpenHints::default() });
    assert!(!recovery.clean);
    assert_eq!(recovery.torn.map(|t| (t.segment, t.position)), Some((last, size)));
    assert_eq!(read_all(&log, Offset(0), 1000), all);
}

#[test]
fn indexes_that_are_missing_or_wrong_are_made_again() {
    for clean in [true, false] {
        let disk = MemDisk::new();
        let log = filled(&disk);
        let (all, bases) = (read_all(&log, Offset(0), 1000), log.segments.iter().map(|s| s.base).collect::<Vec<_>>());
        log.close_cleanly().unwrap();
        let read = |disk: &MemDisk, at: usize, kind: FileKind| disk.read_all(&kind.path(Path::new(DIR), bases[at])).unwrap();
        let before: Vec<Vec<u8>> =
            (0..bases.len()).flat_map(|at| [read(&disk, at, FileKind::OffsetIndex), read(&disk, at, FileKind::TimeIndex)]).collect();
        disk.remove_file(&FileKind::OffsetIndex.path(Path::new(DIR), bases[0])).unwrap();
        disk.remove_file(&FileKind::TimeIndex.path(Path::new(DIR), bases[1])).unwrap();
        if !clean {
            put(&disk, &FileKind::OffsetIndex.path(Path::new(DIR), bases[2]), &[0xff; 80]);
        }
        let (log, recovery) = reopen(&disk, small(), OpenHints { clean, ..OpenHints::default() });
        assert!(recovery.indexes_rebuilt >= 2);
        assert_eq!(read_all(&log, Offset(0), 1000), all);
        check_whole(&log);
        log.close_cleanly().unwrap();
        let after: Vec<Vec<u8>> =
            (0..bases.len()).flat_map(|at| [read(&disk, at, FileKind::OffsetIndex), read(&disk, at, FileKind::TimeIndex)]).collect();
        assert_eq!(after, before);
    }
}

#[test]
fn an_index_that_lies_costs_time_but_no_record() {
    let disk = MemDisk::new();
    let log = filled(&disk);
    let (all, base) = (read_all(&log, Offset(0), 1000), log.segments[1].base);
    log.close_cleanly().unwrap();
    let path = FileKind::OffsetIndex.path(Path::new(DIR), base);
    let mut bytes = disk.read_all(&path).unwrap();
    for entry in bytes.chunks_exact_mut(8) {
        entry[7] ^= 5;
    }
    put(&disk, &path, &bytes);
    let (log, _) = reopen(&disk, small(), OpenHints { clean: true, ..OpenHints::default() });
    for max_bytes in [1, 700, 1500, 5000] {
        assert_eq!(read_all(&log, Offset(0), max_bytes), all);
    }
    check_whole(&log);
}

#[test]
fn epochs_come_from_the_batches_when_their_file_is_gone_or_damaged() {
    for content in [None, Some("0\n1\nx y\n"), Some("")] {
        let disk = MemDisk::new();
        let mut log = new_log(&disk, small());
        for epoch in [1, 1, 4, 9] {
            log.append_as_leader(&batch(10, 150), LeaderEpoch(epoch), AppendOrigin::Client, NOW).unwrap();
        }
        let epochs = log.epochs().clone();
        log.close_cleanly().unwrap();
        let path = Path::new(DIR).join("leader-epoch-checkpoint");
        match content {
            None => disk.remove_file(&path).unwrap(),
            Some(text) => put(&disk, &path, text.as_bytes()),
        }
        let hints = OpenHints { clean: true, recovery_point: Some(Offset(40)), ..OpenHints::default() };
        let (log, _) = reopen(&disk, small(), hints);
        assert_eq!(log.epochs(), &epochs);
    }
}

#[test]
fn a_torn_end_is_cut_at_the_first_batch_that_does_not_hold() {
    let disk = MemDisk::new();
    let log = filled(&disk);
    let (all, last) = (read_all(&log, Offset(0), 1000), log.active_segment_base());
    drop(log);
    let path = FileKind::Log.path(Path::new(DIR), last);
    let bytes = disk.read_all(&path).unwrap();
    for keep in (0..bytes.len()).step_by(37) {
        let disk = disk.fork();
        put(&disk, &path, &bytes[..keep]);
        let (mut log, _) = reopen(&disk, small(), OpenHints { recovery_point: Some(last), ..OpenHints::default() });
        let now = read_all(&log, Offset(0), 1000);
        assert!(now.len() < all.len());
        assert_eq!(now, all[..now.len()]);
        let kept: usize = now.iter().filter(|(base, _)| *base >= last).map(|(_, b)| b.len()).sum();
        assert!(kept <= keep && keep - kept < all[0].1.len(), "no more than the torn batch is cut");
        assert_eq!(disk.stat(&path).unwrap().len, kept as u64, "nothing is left behind it");
        append(&mut log, &batch(2, 20));
        check_whole(&log);
    }
}

#[test]
fn a_sound_batch_in_the_wrong_place_ends_the_log() {
    let disk = MemDisk::new();
    let log = filled(&disk);
    let (all, last) = (read_all(&log, Offset(0), 1000), log.active_segment_base());
    drop(log);
    let path = FileKind::Log.path(Path::new(DIR), last);
    let bytes = disk.read_all(&path).unwrap();
    // A batch that was there before a truncation, in the sectors behind what was written since.
    put(&disk, &path, &[bytes.as_slice(), &all[3].1].concat());
    let (log, recovery) = reopen(&disk, small(), OpenHints { recovery_point: Some(last), ..OpenHints::default() });
    assert_eq!(read_all(&log, Offset(0), 1000), all);
    assert_eq!(recovery.torn.map(|t| (t.position as usize, t.bytes as usize)), Some((bytes.len(), all[3].1.len())));
}

#[test]
fn only_what_was_not_known_to_be_synced_is_read_back() {
    let disk = MemDisk::new();
    let mut log = new_log(&disk, LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() });
    for _ in 0..3000 {
        append(&mut log, &batch(10, 100));
    }
    let recovery_point = log.sync_all().unwrap();
    append(&mut log, &batch(10, 100));
    let size = log.size_bytes();
    let (log, recovery) =
        reopen(&disk.kill(), LogConfig::default(), OpenHints { recovery_point: Some(recovery_point), ..OpenHints::default() });
    assert_eq!(log.log_end_offset(), recovery_point.plus(10));
    assert!(recovery.bytes_checked < size / 1000, "{recovery:?}");
    assert_eq!(log.durable_end(), recovery_point, "read is not synced");
    assert!(log.is_dirty());
}

#[test]
fn synced_records_behind_a_damaged_place_are_not_thrown_away() {
    let disk = MemDisk::new();
    let mut log = filled(&disk);
    let end = log.sync_all().unwrap();
    let (last, all) = (log.active_segment_base(), read_all(&log, Offset(0), 1000));
    drop(log);
    // The length of the second batch of the last segment.
    let second = all.iter().find(|(base, _)| *base == last).unwrap().1.len();
    let path = FileKind::Log.path(Path::new(DIR), last);
    disk.damage(&path, second + 10, 0xff).unwrap();
    let hints = OpenHints { recovery_point: Some(end), ..OpenHints::default() };
    let refused = PartitionLog::open(Arc::new(disk.clone()), Path::new(DIR), small(), hints, NOW).unwrap_err();
    assert!(matches!(&refused, LogError::BadFile { reason, .. } if reason.contains("sound batches follow")), "{refused}");
    // When nothing follows there is nothing to keep: the log is cut, and says that it lost what was synced.
    let file = disk.open(&path, OpenMode::Write).unwrap();
    file.truncate(second as u64 + 50).unwrap();
    let (log, recovery) = reopen(&disk, small(), hints);
    assert!(recovery.ended_below_recovery_point);
    assert_eq!(log.log_end_offset(), last.plus(3));
}

#[test]
fn folders_that_are_no_partitions_are_refused_and_empty_ones_started() {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new("/logs/nonsense")).unwrap();
    let open = |dir: &str| PartitionLog::open(Arc::new(disk.clone()), Path::new(dir), small(), OpenHints::default(), NOW);
    assert!(matches!(open("/logs/nonsense"), Err(LogError::BadFolderName(_))));
    disk.create_dir_all(Path::new("/logs/t-0")).unwrap();
    let (mut log, _) = open("/logs/t-0").unwrap();
    assert_eq!((log.topic_id(), append(&mut log, &batch(1, 1)).base_offset), (None, Offset(0)));
    check_whole(&log);
}
