//! Kafka's small text files: a version, a count, a line for each entry.
//!
//! `recovery-point-offset-checkpoint`, `replication-offset-checkpoint` and `log-start-offset-checkpoint` of a log
//! directory hold `topic partition offset`; `leader-epoch-checkpoint` of a partition holds `epoch start-offset`.
//! All are replaced atomically, so a file that cannot be read was damaged, not torn.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use ottla_model::{LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition};

use crate::disk::Disk;
use crate::error::{IoContext, IoFailure, LogError};

const VERSION: &str = "0";

/// Name of the file that holds how far each log was known to be synced.
pub const RECOVERY_POINTS_FILE: &str = "recovery-point-offset-checkpoint";
/// Name of the file that holds each log's high watermark.
pub const HIGH_WATERMARKS_FILE: &str = "replication-offset-checkpoint";
/// Name of the file that holds the log start offsets that DeleteRecords moved into a segment.
pub const LOG_START_OFFSETS_FILE: &str = "log-start-offset-checkpoint";
/// Name of the file that holds how far each log was compacted.
pub const CLEANER_OFFSETS_FILE: &str = "cleaner-offset-checkpoint";
/// Name of a partition's file of leader epochs.
pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// An offset for each of some partitions.
pub type OffsetCheckpoint = BTreeMap<TopicPartition, Offset>;

/// Reads an offset checkpoint; nothing in it when it does not exist.
pub fn read_offsets(disk: &dyn Disk, path: &Path) -> Result<OffsetCheckpoint, LogError> {
    let lines = match disk.read_all(path) {
        Ok(bytes) => entries_of(path, &bytes, 3)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(OffsetCheckpoint::new()),
        Err(source) => return Err(IoFailure { doing: "read", path: path.to_owned(), source }.into()),
    };
    let mut offsets = OffsetCheckpoint::new();
    for line in &lines {
        let bad = |what: &str| bad_file(path, format!("{what} in `{}`", line.join(" ")));
        let topic = TopicName::new(&line[0]).map_err(|e| bad(&e.to_string()))?;
        let partition = line[1].parse().ok().filter(|p| *p >= 0).ok_or_else(|| bad("no partition"))?;
        let offset = line[2].parse().map_err(|_| bad("no offset"))?;
        offsets.insert(TopicPartition::new(topic, PartitionId(partition)), Offset(offset));
    }
    Ok(offsets)
}

/// Replaces an offset checkpoint; it is on stable storage when this returns.
pub fn write_offsets(disk: &dyn Disk, path: &Path, offsets: &OffsetCheckpoint) -> Result<(), LogError> {
    let mut text = format!("{VERSION}\n{}\n", offsets.len());
    for (tp, offset) in offsets {
        let _ = writeln!(text, "{} {} {offset}", tp.topic, tp.partition);
    }
    Ok(disk.write_atomic(path, text.as_bytes()).doing("write", path)?)
}

/// Reads a partition's leader epochs; Kafka leaves the file empty until there is one.
pub(crate) fn parse_epochs(path: &Path, bytes: &[u8]) -> Result<Vec<(LeaderEpoch, Offset)>, LogError> {
    let mut epochs: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for line in entries_of(path, bytes, 2)? {
        let bad = || bad_file(path, format!("`{}` is no epoch and offset above those before", line.join(" ")));
        let entry = (LeaderEpoch(line[0].parse().map_err(|_| bad())?), Offset(line[1].parse().map_err(|_| bad())?));
        if epochs.last().is_some_and(|last| last.0 >= entry.0 || last.1 > entry.1) {
            return Err(bad());
        }
        epochs.push(entry);
    }
    Ok(epochs)
}

pub(crate) fn format_epochs(epochs: &[(LeaderEpoch, Offset)]) -> Vec<u8> {
    let mut text = format!("{VERSION}\n{}\n", epochs.len());
    for (epoch, start) in epochs {
        let _ = writeln!(text, "{epoch} {start}");
    }
    text.into_bytes()
}

fn bad_file(path: &Path, reason: String) -> LogError {
    LogError::BadFile { path: path.to_owned(), reason }
}

fn entries_of(path: &Path, bytes: &[u8], fields: usize) -> Result<Vec<Vec<String>>, LogError> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad_file(path, "not text".to_owned()))?;
    let mut lines = text.lines();
    let Some(version) = lines.next() else { return Ok(Vec::new()) };
    if version.trim() != VERSION {
        return Err(bad_file(path, format!("version `{version}`, expected {VERSION}")));
    }
    let count: usize =
        lines.next().and_then(|c| c.trim().parse().ok()).ok_or_else(|| bad_file(path, "no count in the second line".to_owned()))?;
    let entries: Vec<Vec<String>> =
        lines.filter(|l| !l.trim().is_empty()).map(|l| l.split_whitespace().map(str::to_owned).collect()).collect();
    if entries.len() != count {
        return Err(bad_file(path, format!("{} entries, the second line says {count}", entries.len())));
    }
    if let Some(odd) = entries.iter().find(|e| e.len() != fields) {
        return Err(bad_file(path, format!("`{}` has not {fields} fields", odd.join(" "))));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn tp(name: &str) -> TopicPartition {
        TopicPartition::from_folder_name(name).unwrap()
    }

    #[test]
    fn offsets_are_written_as_kafka_writes_them_and_read_back() {
        let (disk, path) = (MemDisk::new(), Path::new("/recovery-point-offset-checkpoint"));
        assert!(read_offsets(&disk, path).unwrap().is_empty());
        let offsets = OffsetCheckpoint::from([(tp("a-0"), Offset(5)), (tp("b.c-12"), Offset(7_000_000_000))]);
        write_offsets(&disk, path, &offsets).unwrap();
        assert_eq!(disk.read_all(path).unwrap(), b"0\n2\na 0 5\nb.c 12 7000000000\n");
        assert_eq!(read_offsets(&disk, path).unwrap(), offsets);
    }

    #[test]
    fn a_checkpoint_that_does_not_add_up_is_an_error_that_names_the_file() {
        let disk = MemDisk::new();
        for bad in ["1\n0\n", "0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na -1 1\n", "0\n1\na 0 x\n", "\u{0}\u{0}", "0\n1\n.. 0 1\n"] {
            disk.write_atomic(Path::new("/f"), bad.as_bytes()).unwrap();
            let error = read_offsets(&disk, Path::new("/f")).unwrap_err().to_string();
            assert!(error.starts_with("/f is not readable"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn epochs_round_trip_and_must_rise() {
        let epochs = vec![(LeaderEpoch(0), Offset(0)), (LeaderEpoch(3), Offset(10))];
        assert_eq!(format_epochs(&epochs), b"0\n2\n0 0\n3 10\n");
        assert_eq!(parse_epochs(Path::new("f"), b"0\n2\n0 0\n3 10\n").unwrap(), epochs);
        assert_eq!(parse_epochs(Path::new("f"), b"").unwrap(), []);
        assert!(parse_epochs(Path::new("f"), b"0\n2\n3 0\n3 10\n").is_err());
        assert!(parse_epochs(Path::new("f"), b"0\n2\n3 11\n4 10\n").is_err());
    }
}
