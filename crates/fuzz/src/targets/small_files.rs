//! The small files of a log directory: offset checkpoints, `meta.properties`, the marker of a clean stop; and names of folders.

use std::io::IoSlice;
use std::path::Path;

use ottla_log::checkpoint::{
    CLEANER_OFFSETS_FILE, HIGH_WATERMARKS_FILE, LOG_START_OFFSETS_FILE, RECOVERY_POINTS_FILE, read_offsets, write_offsets,
};
use ottla_log::disk::OpenMode;
use ottla_log::log_dir::{CLEAN_SHUTDOWN_FILE, META_PROPERTIES_FILE, MetaProperties, last_shutdown, partition_of};
use ottla_log::{Disk, MemDisk};
use ottla_model::{TopicName, TopicPartition, Uuid};

use crate::corpus::Named;
use crate::memory::bounded;

/// A line is split into texts of its own, each with what the allocator is asked for.
const MEMORY_FACTOR: usize = 64;
const MEMORY_SLACK_BYTES: usize = 64 << 10;

fn disk_with(name: &str, bytes: &[u8]) -> MemDisk {
    let disk = MemDisk::new();
    let file = disk.open(&Path::new("/").join(name), OpenMode::Create).unwrap_or_else(|e| panic!("{name}: {e}"));
    file.write_vectored_at(&[IoSlice::new(bytes)], 0).unwrap_or_else(|e| panic!("{name}: {e}"));
    disk
}

fn bytes_max(input: &[u8]) -> usize {
    input.len() * MEMORY_FACTOR + MEMORY_SLACK_BYTES
}

/// Each is written by another part of the broker, and Kafka reads all of them alike.
const CHECKPOINT_FILES: [&str; 4] = [RECOVERY_POINTS_FILE, HIGH_WATERMARKS_FILE, LOG_START_OFFSETS_FILE, CLEANER_OFFSETS_FILE];

/// All offset checkpoints are of one format; the first byte says which file it is.
pub(super) fn checkpoint(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    let name = CHECKPOINT_FILES[usize::from(*which) % CHECKPOINT_FILES.len()];
    let disk = disk_with(name, bytes);
    let path = Path::new("/").join(name);
    match bounded(bytes_max(bytes), name, || read_offsets(&disk, &path)) {
        Ok(offsets) => {
            write_offsets(&disk, &path, &offsets).unwrap_or_else(|e| panic!("{name} was read but cannot be written: {e}"));
            let again = read_offsets(&disk, &path).unwrap_or_else(|e| panic!("{name} cannot be read after it was written: {e}"));
            assert_eq!(again, offsets);
            assert!(offsets.keys().all(|partition| TopicPartition::from_folder_name(&partition.to_string()).as_ref() == Some(partition)));
        }
        Err(error) => assert!(error.to_string().contains(name), "the error names the file: {error}"),
    }
}

pub(super) fn checkpoint_seeds() -> Vec<Named> {
    let texts = [
        ("empty", ""),
        ("none", "0\n0\n"),
        ("two", "0\n2\na 0 5\nb.c 12 7000000000\n"),
        ("without-last-line-end", "0\n1\ntopic 0 1"),
        ("windows", "0\r\n1\r\ntopic 0 1\r\n"),
        ("version-1", "1\n0\n"),
        ("count-is-off", "0\n2\na 0 5\n"),
        ("count-is-huge", "0\n18446744073709551615\na 0 5\n"),
        ("negative", "0\n2\na -1 5\na 0 -5\n"),
        ("twice-the-same", "0\n2\na 0 5\na 0 6\n"),
        ("many-fields", "0\n1\na 0 5 6 7 8\n"),
        ("extremes", "0\n2\na 2147483647 9223372036854775807\nb 2147483648 9223372036854775808\n"),
        ("spaces-only", "0\n1\n   \n"),
    ];
    let file = |which: u8| texts.iter().map(move |(name, text)| (*name, [&[which], text.as_bytes()].concat()));
    let mut seeds: Vec<Named> = file(0).map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    seeds.extend(file(3).map(|(name, bytes)| (format!("cleaner-{name}"), bytes)));
    seeds
}

pub(super) const CHECKPOINT_WORDS: &[&[u8]] = &[b"\n", b" ", b"0\n", b"1\n", b"topic 0 1\n", b"-1", b"9223372036854775807", b"..", b"\r\n"];

pub(super) fn meta_properties(input: &[u8]) {
    let disk = disk_with(META_PROPERTIES_FILE, input);
    match bounded(bytes_max(input), META_PROPERTIES_FILE, || MetaProperties::read(&disk, Path::new("/"))) {
        Ok(Some(meta)) => {
            let Err(error) = meta.write(&disk, Path::new("/")) else {
                let again = MetaProperties::read(&disk, Path::new("/"));
                return assert_eq!(again.unwrap_or_else(|e| panic!("{meta:?} was written, but: {e}")), Some(meta));
            };
            panic!("{meta:?} was read but cannot be written: {error}");
        }
        Ok(None) => panic!("the file is there"),
        Err(error) => assert!(error.to_string().contains(META_PROPERTIES_FILE), "the error names the file: {error}"),
    }
}

pub(super) fn meta_properties_seeds() -> Vec<Named> {
    let id = "cluster.id=5L6g3nShT-eMCtK--X86sw\n";
    [
        ("kafka", format!("#\n#Sat Nov 21 21:00:00 UTC 2026\n{id}directory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=7\nversion=1\n")),
        ("without-directory", format!("{id}node.id=7\nversion=1\n")),
        ("zookeeper", "broker.id=1\nversion=0\n".to_owned()),
        ("escapes", "cluster.id=a\\=b\\:c\nnode.id=1\nversion=1\n".to_owned()),
        ("negative-node", format!("{id}node.id=-1\nversion=1\n")),
        ("twice-the-same", format!("{id}node.id=1\nnode.id=2\nversion=1\n")),
    ]
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .into()
}

pub(super) const META_WORDS: &[&[u8]] =
    &[b"version=1\n", b"node.id=", b"cluster.id=", b"directory.id=", b"\\", b"=", b"#", b"!", b"\n", b"\r", b"2147483647", b"\xff"];

pub(super) fn clean_shutdown(input: &[u8]) {
    let disk = disk_with(CLEAN_SHUTDOWN_FILE, input);
    let found = bounded(bytes_max(input), CLEAN_SHUTDOWN_FILE, || last_shutdown(&disk, Path::new("/")));
    assert!(found.is_ok_and(|found| matches!(found, ottla_log::log_dir::LastShutdown::Clean(_))), "its being there is what counts");
}

pub(super) fn clean_shutdown_seeds() -> Vec<Named> {
    [
        ("kafka", "{\"version\":0,\"brokerEpoch\":42}"),
        ("empty", ""),
        ("other-order", "{\"brokerEpoch\": 42, \"version\": 0}"),
        ("no-number", "{\"brokerEpoch\":}"),
        ("too-large", "{\"brokerEpoch\":9223372036854775808}"),
        ("cut", "{\"version\":0,\"brokerEpoch\":4"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}

pub(super) const CLEAN_SHUTDOWN_WORDS: &[&[u8]] = &[b"\"brokerEpoch\":", b"}", b",", b"-1", b"\xc3\xa4", b"\xff"];

/// Names of topics, partitions' folders and ids, as they come from clients and folders.
pub(super) fn name(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    bounded(bytes_max(input), "names", || {
        if let Ok(topic) = TopicName::new(&text) {
            assert_eq!(topic.as_str(), text);
            assert!(text.len() <= 249 && !text.contains(['/', '\0']) && text != "." && text != "..", "{text:?} is not safe as a folder");
        }
        if let Some(partition) = TopicPartition::from_folder_name(&text) {
            assert_eq!(partition.to_string(), text, "a partition has one folder");
        }
        if let Some(partition) = partition_of(&text) {
            assert_eq!(partition.to_string(), text);
        }
        if let Ok(id) = text.parse::<Uuid>() {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    });
}

pub(super) fn name_seeds() -> Vec<Named> {
    let long = "t".repeat(249);
    let texts = [
        "topic-0",
        "a.b_c-12",
        "-0",
        "topic-",
        "topic--1",
        "topic-00",
        "topic-+1",
        "topic-2147483647",
        "topic-2147483648",
        "..",
        "../x-0",
        "topic-0.deleted",
        "__cluster_metadata-0",
        "AAAAAAAAAAAAAAAAAAAAAQ",
        "_-_-_-_-_-_-_-_-_-_-_w",
        &long,
    ];
    texts.iter().zip(0..).map(|(text, number)| (format!("name-{number}"), text.as_bytes().to_vec())).collect()
}

pub(super) const NAME_WORDS: &[&[u8]] = &[b"-", b".", b"..", b"/", b"_", b"-0", b"+", b"\0", b"\xc3\xa4", b".deleted"];
