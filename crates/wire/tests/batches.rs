//! Record batches, held against Kafka's own classes in both directions and in every codec.

#![allow(clippy::unwrap_used)]

mod support;

use ottla_wire::batch::{BatchBuilder, BatchView, DecompressLimits, EndTxnMarker, Header, Record, TimestampType, TxnResult, control_batch};
use ottla_wire::compress::Compression;
use std::fmt::Write as _;
use support::{from_hex, golden, repository, to_hex};

const LIMITS: DecompressLimits = DecompressLimits { unpacked_bytes_max: 1 << 24 };

/// The text that `Batches.describe` in `tests/java` makes of the same batch.
fn describe(batch: &BatchView<'_>) -> String {
    batch.check_crc().unwrap();
    let mut text = String::new();
    let timestamp_type = match batch.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    writeln!(
        text,
        "batch base_offset={} last_offset={} bytes={} leader_epoch={} crc={} compression={} timestamp_type={timestamp_type} \
         base_timestamp={} max_timestamp={} producer_id={} producer_epoch={} base_sequence={} last_sequence={} \
         transactional={} control={} count={}",
        batch.base_offset(),
        batch.last_offset(),
        batch.length_in_bytes(),
        batch.partition_leader_epoch(),
        batch.crc(),
        batch.compression().unwrap(),
        batch.base_timestamp(),
        batch.max_timestamp(),
        batch.producer_id(),
        batch.producer_epoch(),
        batch.base_sequence(),
        batch.last_sequence(),
        batch.is_transactional(),
        batch.is_control(),
        batch.record_count(),
    )
    .unwrap();
    let dash = |part: Option<&[u8]>| part.map_or("-".to_owned(), to_hex);
    for record in &batch.records(&LIMITS).unwrap() {
        let record = record.unwrap();
        write!(
            text,
            "record offset={} timestamp={} key={} value={} headers=",
            record.offset,
            record.timestamp,
            dash(record.key),
            dash(record.value)
        )
        .unwrap();
        for header in record.headers {
            write!(text, "{}:{},", to_hex(header.key), dash(header.value)).unwrap();
        }
        text.push('\n');
    }
    text
}

/// Name, bytes and description of each batch in a file of `BatchWriter`.
fn java_batches(file: &str) -> Vec<(&str, Vec<u8>, &str)> {
    file.split("== ")
        .skip(1)
        .map(|entry| {
            let (head, description) = entry.split_once('\n').unwrap();
            let (name, hex) = head.split_once(' ').unwrap();
            (name, from_hex(hex), description)
        })
        .collect()
}

#[test]
fn batches_that_kafka_wrote_read_as_kafka_reads_them() {
    let file = golden("batches.txt");
    let batches = java_batches(&file);
    assert!(batches.len() >= 50, "{}", batches.len());
    for (name, bytes, description) in batches {
        let batch = BatchView::new(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        batch.validate_shallow().unwrap_or_else(|e| panic!("{name}: {e}"));
        batch.validate_records().unwrap_or_else(|e| panic!("{name}: {e}"));
        let summary = batch.records(&LIMITS).unwrap().validate().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(summary.max_timestamp, batch.max_timestamp(), "{name}");
        assert_eq!(describe(&batch), description, "{name}");
    }
}

/// Builds a batch with the content of another.
fn rebuilt(batch: &BatchView<'_>, codec: Compression) -> Vec<u8> {
    let records = batch.records(&LIMITS).unwrap();
    let mut builder = BatchBuilder::new(codec, usize::MAX)
        .base_offset(batch.base_offset())
        .partition_leader_epoch(batch.partition_leader_epoch())
        .producer(batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
    if batch.is_transactional() {
        builder = builder.transactional();
    }
    for record in &records {
        let Record { timestamp, key, value, headers, .. } = record.unwrap();
        builder.append(timestamp, key, value, &headers.collect::<Vec<Header<'_>>>()).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn batches_without_compression_are_built_byte_for_byte_as_by_kafka() {
    let file = golden("batches.txt");
    let mut compared = 0;
    for (name, bytes, _) in java_batches(&file) {
        let batch = BatchView::new(&bytes).unwrap();
        if batch.compression().unwrap() != Compression::None || batch.timestamp_type() == TimestampType::LogAppendTime || batch.is_control()
        {
            continue;
        }
        assert_eq!(to_hex(&rebuilt(&batch, Compression::None)), to_hex(&bytes), "{name}");
        compared += 1;
    }
    assert!(compared >= 8, "{compared}");
}

#[test]
fn transaction_markers_are_built_byte_for_byte_as_by_kafka() {
    let file = golden("batches.txt");
    let batches = java_batches(&file);
    for (name, result, coordinator_epoch) in [("commit-marker", TxnResult::Commit, 7), ("abort-marker", TxnResult::Abort, i32::MAX)] {
        let (_, bytes, _) = batches.iter().find(|(n, ..)| *n == name).unwrap();
        let marker = EndTxnMarker { result, coordinator_epoch };
        let mut ours = control_batch(marker, 1_750_000_000_000, 9001, 3).unwrap();
        ottla_wire::batch::set_base_offset(&mut ours, 5000).unwrap();
        ottla_wire::batch::set_partition_leader_epoch(&mut ours, 12).unwrap();
        assert_eq!(to_hex(&ours), to_hex(bytes), "{name}");
    }
}

/// Kafka reads what is written here: every batch of Kafka's own, built again in every codec and at several levels.
#[test]
#[ignore = "needs Java: cargo xtask test runs it, tests/java/README.md says how"]
fn kafka_reads_our_batches_in_every_codec() {
    let class_path = std::env::var("OTTLA_FIXTURES_CLASSPATH").expect("OTTLA_FIXTURES_CLASSPATH, see tests/java/README.md");
    let golden_file = golden("batches.txt");
    let (mut written, mut expected) = (String::new(), String::new());
    let mut add = |name: String, bytes: &[u8]| {
        writeln!(written, "== {name} {}", to_hex(bytes)).unwrap();
        write!(expected, "== {name}\n{}", describe(&BatchView::new(bytes).unwrap())).unwrap();
    };
    for (name, bytes, _) in java_batches(&golden_file) {
        let batch = BatchView::new(&bytes).unwrap();
        // Control batches would come out as others here; they are compared byte for byte above.
        if !batch.is_control() && name.starts_with("none-") {
            for codec in Compression::ALL {
                add(format!("{name}-as-{codec}"), &rebuilt(&batch, codec));
            }
        }
    }
    for codec in Compression::ALL {
        for level in codec.levels().map_or(vec![], |levels| vec![*levels.start(), *levels.end()]) {
            let mut builder = BatchBuilder::new(codec, usize::MAX).level(Some(level));
            for i in 0..500 {
                builder.append(1_750_000_000_000 + i, Some(format!("key-{i}").as_bytes()), Some(&[i as u8; 300]), &[]).unwrap();
            }
            add(format!("{codec}-level-{level}"), &builder.build().unwrap());
        }
    }

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), written).unwrap();
    let java = std::process::Command::new("java")
        .current_dir(repository())
        .args(["-cp", &class_path, "dev.ottla.fixtures.BatchReader"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(java.status.success(), "{}", String::from_utf8_lossy(&java.stderr));
    let read = String::from_utf8(java.stdout).unwrap();
    for (read, expected) in read.split("== ").zip(expected.split("== ")) {
        assert_eq!(read, expected);
    }
    assert_eq!(read.len(), expected.len());
}
