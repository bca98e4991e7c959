//! kafka-dump-log reads a node's folders: the format on disk is Kafka's, in every file that it knows.

use std::fs;
use std::path::{Path, PathBuf};

use ottla_e2e::Node;
use ottla_e2e::java::{DUMP_LOG, PRODUCER_PERFORMANCE, TOPICS, kafka};

const RECORDS: u64 = 20_000;

/// A topic of several segments, each of 1 MiB, the smallest that Kafka allows; all written with this codec.
fn filled(codec: &str) -> Node {
    let node = Node::start();
    let address = node.address();
    kafka(TOPICS, &["--bootstrap-server", &address, "--create", "--topic", "events", "--config", "segment.bytes=1048576"]).ok();
    let (records, server, codec) = (RECORDS.to_string(), format!("bootstrap.servers={address}"), format!("compression.type={codec}"));
    let mut arguments = vec!["--topic", "events", "--num-records", &records, "--record-size", "200", "--throughput", "-1"];
    arguments.extend(["--producer-props", &server, &codec, "enable.idempotence=true"]);
    kafka(PRODUCER_PERFORMANCE, &arguments).ok();
    node
}

/// The partition's files that end so, in the order of their offsets.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .expect("the partition has a folder")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|known| known == extension))
        .collect();
    found.sort();
    found
}

#[track_caller]
fn dump(files: &[PathBuf], more: &[&str]) -> String {
    let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    kafka(DUMP_LOG, &[&["--files", &list.join(",")], more].concat()).ok().stdout
}

/// `name: value` of a line of the dump.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!("{name}: "))? + name.len() + 2;
    line[start..].split_whitespace().next()
}

fn number(line: &str, name: &str) -> u64 {
    field(line, name).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number `{name}` in `{line}`"))
}

/// Every batch valid and of that codec, every offset there once and in order.
#[track_caller]
fn assert_log_is_whole(dump: &str, codec: &str) {
    let batches: Vec<&str> = dump.lines().filter(|line| line.starts_with("baseOffset: ")).collect();
    let records: Vec<&str> = dump.lines().filter(|line| line.starts_with("| offset: ")).collect();
    assert!(batches.len() > 10, "{} batches", batches.len());
    let mut next = 0;
    for batch in &batches {
        assert_eq!(number(batch, "baseOffset"), next, "{batch}");
        assert_eq!(field(batch, "isvalid"), Some("true"), "{batch}");
        assert_eq!(field(batch, "compresscodec"), Some(codec), "{batch}");
        assert_eq!(number(batch, "magic"), 2, "{batch}");
        assert_eq!(number(batch, "lastOffset") - next + 1, number(batch, "count"), "{batch}");
        next = number(batch, "lastOffset") + 1;
    }
    assert_eq!(next, RECORDS);
    assert!(records.iter().map(|record| number(record, "offset")).eq(0..RECORDS), "the records' offsets have a gap");
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_dump_log_reads_every_record_of_each_codec() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut node = filled(codec);
        let logs = files(&node.partition_dir("events", 0), "log");
        assert!(logs.len() > 1, "one segment only");
        assert_log_is_whole(&dump(&logs, &["--deep-iteration"]), codec);
        assert!(node.stop().success());
        assert_log_is_whole(&dump(&logs, &["--deep-iteration"]), codec);
    }
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafka_dump_log_finds_the_indexes_sane() {
    let mut node = filled("none");
    let dir = node.partition_dir("events", 0);
    for stopped in [false, true] {
        if stopped {
            assert!(node.stop().success());
        }
        let (logs, indexes, time_indexes) = (files(&dir, "log"), files(&dir, "index"), files(&dir, "timeindex"));
        assert_eq!((indexes.len(), time_indexes.len()), (logs.len(), logs.len()), "a segment is a .log, an .index and a .timeindex");
        for index in &indexes {
            dump(std::slice::from_ref(index), &["--index-sanity-check"]);
        }
        let all = [indexes, time_indexes].concat();
        let dumped = dump(&all, &[]);
        for trouble in ["Mismatches", "Found timestamp mismatch", "Found out of order timestamp", "non-consecutive", "corrupt"] {
            assert!(!dumped.contains(trouble), "{trouble} in:\n{dumped}");
        }
        let entries: Vec<u64> = dumped.lines().filter(|line| line.starts_with("offset: ")).map(|line| number(line, "offset")).collect();
        assert!(entries.len() > 100, "{} entries in the indexes of {RECORDS} records", entries.len());
        assert!(entries.is_sorted(), "the offsets of the index do not rise");
        let timed = dumped.lines().filter(|line| line.starts_with("timestamp: ")).count();
        assert!(timed > 0, "the time index is empty:\n{dumped}");
    }
}
