//! Audit: reads a topic from its first record to its last, and holds it against a ledger. Nothing that was acknowledged
//! may be lost, changed, at another offset than was told, or out of its order.
//!
//! The ledger is read before the ends of the partitions are: a ledger that is still being written may be audited, and what
//! comes to it meanwhile is the next audit's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ottla_wire::Records;
use ottla_wire::batch::{BatchView, Batches, DecompressLimits};
use ottla_wire::message::fetch::FetchRequest;
use serde::Serialize;

use crate::cluster::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, LED_WAIT, leaders, offsets};
use crate::connection::{Connection, fetch_request, version};
use crate::ledger::book::Book;
use crate::ledger::record::{self, Writer};
use crate::{Bootstrap, Control, PerfError, Unit};

const FETCH_BYTES: i32 = 4 << 20;
const FETCH_WAIT_MS: i32 = 500;
/// Fetches in a row that bring nothing before the end was reached.
const EMPTY_FETCHES_MAX: u32 = 20;
/// Findings that are told one by one.
const FINDINGS_TOLD_MAX: usize = 10;

/// What is to be audited.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Brokers to ask first.
    pub bootstrap: Bootstrap,
    /// The topic.
    pub topic: String,
    /// The ledger.
    pub file: PathBuf,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AuditReport {
    /// `audit`.
    pub work: &'static str,
    /// The topic.
    pub topic: String,
    /// Lines of the ledger.
    pub acknowledged: u64,
    /// Records read, all writers' and others'.
    pub read: u64,
    /// Acknowledged, and nowhere to be found.
    pub lost: u64,
    /// Acknowledged, and not at the offset that was told.
    pub moved: u64,
    /// Say that they are a record of the ledger, and differ from it; or stand in another partition.
    pub changed: u64,
    /// Acknowledged, and behind a record that was sent after them.
    pub out_of_order: u64,
    /// Copies beyond the first of what was acknowledged: sent again because the first answer did not come.
    pub duplicates: u64,
    /// Records of the ledger's writers that were not acknowledged; they may be there or not.
    pub unacknowledged: u64,
    /// Records that are no ledger's, or another ledger's.
    pub foreign: u64,
    /// Batches that do not hold to their CRC, or cannot be read; their records count as not there.
    pub damaged_batches: u64,
    /// Places where offsets do not follow each other.
    pub offset_gaps: u64,
    /// The first findings, for people.
    pub findings: Vec<String>,
}

impl AuditReport {
    /// Whether every acknowledgement holds.
    pub fn is_sound(&self) -> bool {
        self.lost + self.moved + self.changed + self.out_of_order + self.damaged_batches + self.offset_gaps == 0
    }
}

/// Audits; what is found is in the report, and an error only what kept from finding it.
pub fn run(options: &AuditOptions, control: &Control) -> Result<AuditReport, PerfError> {
    let book = Book::read(&options.file)?;
    let led = leaders(&options.bootstrap, &options.topic, None, LED_WAIT, control)?;
    let mut audit = Audit::new(book);
    let mut connections: BTreeMap<_, Connection> = BTreeMap::new();
    for one in &led {
        let connection = match connections.entry(one.address.clone()) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(none) => none.insert(Connection::open(&one.address)?),
        };
        let start = offsets(connection, &options.topic, &[one.partition], EARLIEST_TIMESTAMP)?;
        let end = offsets(connection, &options.topic, &[one.partition], LATEST_TIMESTAMP)?;
        let (start, end) = (start.first().copied().unwrap_or(0), end.first().copied().unwrap_or(0));
        control.expect(control.progress().total + (end - start).max(0) as u64, Unit::Things);
        read_partition(connection, &options.topic, one.partition.0, start, end, &mut audit, control)?;
    }
    Ok(audit.report(&options.topic))
}

/// Goes over a partition from `start` to `end`. What the broker refuses to give ends the audit.
fn read_partition(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    start: i64,
    end: i64,
    audit: &mut Audit,
    control: &Control,
) -> Result<(), PerfError> {
    let (mut next, mut empty) = (start, 0);
    audit.next = start;
    while next < end && !control.is_ended() {
        let request = fetch_request(topic, std::iter::once((partition, next)), FETCH_BYTES, FETCH_WAIT_MS);
        let response = connection.call::<FetchRequest<'_>>(&request, version::FETCH)?;
        let answer = response.responses.first().and_then(|topic| topic.partitions.first());
        let code = answer.map_or(response.error_code, |answer| answer.error_code);
        if code != 0 {
            return Err(PerfError::Refused { subject: format!("fetch from {topic}-{partition} at offset {next}"), code, said: None });
        }
        let before = next;
        if let Some(Records::Borrowed(bytes)) = answer.map(|answer| &answer.records) {
            for batch in Batches::new(bytes) {
                match batch {
                    Ok(batch) => {
                        audit.batch(partition, &batch);
                        next = next.max(batch.last_offset() + 1);
                    }
                    Err(cause) => return Err(PerfError::Damaged { partition, offset: next, cause }),
                }
            }
        }
        empty = if next > before { 0 } else { empty + 1 };
        if empty > EMPTY_FETCHES_MAX {
            let waited_s = u64::from(EMPTY_FETCHES_MAX) * FETCH_WAIT_MS as u64 / 1000;
            return Err(PerfError::Stalled { partition, offset: next, end, waited_s });
        }
        control.advance((next - before) as u64);
    }
    Ok(())
}

/// The state of an audit: pure, fed batch by batch.
struct Audit {
    book: Book,
    /// Of each writer and number: whether it was found at its offset, or elsewhere.
    seen: BTreeMap<Writer, Vec<Seen>>,
    /// Of each writer: the largest acknowledged number found so far.
    largest: BTreeMap<Writer, u64>,
    /// Where the partition that is being read goes on.
    next: i64,
    report: AuditReport,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nowhere,
    Elsewhere,
    InPlace,
}

impl Audit {
    fn new(book: Book) -> Audit {
        let nowhere = |(writer, offsets): (&Writer, &Vec<i64>)| (*writer, vec![Seen::Nowhere; offsets.len()]);
        let seen = book.writers.iter().map(nowhere).collect();
        let report = AuditReport { work: "audit", acknowledged: book.acknowledgements(), ..AuditReport::default() };
        Audit { book, seen, largest: BTreeMap::new(), next: 0, report }
    }

    fn batch(&mut self, partition: i32, batch: &BatchView<'_>) {
        let (first, last) = (batch.base_offset(), batch.last_offset());
        // The first of a partition may begin before its start, where records were deleted.
        if first > self.next || last < self.next {
            self.report.offset_gaps += 1;
            self.found(format!("partition {partition}: a batch with offsets {first} to {last} where {} was due", self.next));
        }
        self.next = last + 1;
        if batch.is_control() {
            return;
        }
        let records = batch.check_crc().and_then(|()| batch.records(&DecompressLimits::default()));
        let damage = match &records {
            Ok(records) => records.iter().find_map(|record| match record {
                Ok(record) => {
                    self.record(partition, record.offset, record.value.unwrap_or_default());
                    None
                }
                Err(cause) => Some(cause),
            }),
            Err(cause) => Some(cause.clone()),
        };
        if let Some(cause) = damage {
            self.report.damaged_batches += 1;
            self.found(format!("partition {partition}: the batch at offset {first} is damaged: {cause}"));
        }
    }

    fn record(&mut self, partition: i32, offset: i64, value: &[u8]) {
        self.report.read += 1;
        let Some((writer, number)) = record::parse(value).filter(|(writer, _)| self.seen.contains_key(writer)) else {
            self.report.foreign += 1;
            return;
        };
        if writer.partition != partition || !record::is_intact(value, writer, number) {
            self.report.changed += 1;
            self.found(format!(
                "partition {partition}, offset {offset}: not what was sent as number {number} to partition {}",
                writer.partition
            ));
            return;
        }
        let told = self.book.writers.get(&writer).and_then(|offsets| offsets.get(number as usize)).copied();
        let seen = self.seen.get_mut(&writer).and_then(|seen| seen.get_mut(number as usize));
        let (Some(told), Some(seen)) = (told, seen) else {
            self.report.unacknowledged += 1;
            return;
        };
        let is_first = *seen == Seen::Nowhere;
        if told == offset || told < 0 {
            *seen = Seen::InPlace;
        } else if is_first {
            *seen = Seen::Elsewhere;
        }
        let largest = self.largest.entry(writer).or_insert(number);
        let behind = number < *largest;
        *largest = number.max(*largest);
        if !is_first {
            self.report.duplicates += 1;
        } else if behind {
            self.report.out_of_order += 1;
            self.found(format!("partition {partition}, offset {offset}: number {number} stands behind a later one"));
        }
    }

    fn found(&mut self, finding: String) {
        if self.report.findings.len() < FINDINGS_TOLD_MAX {
            self.report.findings.push(finding);
        }
    }

    fn report(mut self, topic: &str) -> AuditReport {
        let seen = std::mem::take(&mut self.seen);
        for (writer, seen) in &seen {
            let offsets = self.book.writers.get(writer).cloned().unwrap_or_default();
            for (number, (seen, told)) in seen.iter().zip(offsets).enumerate() {
                let (what, count) = match seen {
                    Seen::InPlace => continue,
                    Seen::Nowhere => ("is lost", &mut self.report.lost),
                    Seen::Elsewhere => ("is not where it was said to be", &mut self.report.moved),
                };
                *count += 1;
                self.found(format!("partition {}: number {number}, acknowledged at offset {told}, {what}", writer.partition));
            }
        }
        self.report.topic = topic.to_owned();
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;
    use crate::{ledger, ledger::LedgerOptions};
    use std::time::Duration;

    /// A topic of two partitions, and the ledger of a run that wrote it.
    struct Written {
        broker: Scripted,
        dir: tempfile::TempDir,
    }

    impl Written {
        fn new(disturb: impl Fn(&Scripted)) -> Written {
            let (broker, dir) = (Scripted::start(2), tempfile::tempdir().unwrap());
            disturb(&broker);
            let written = Written { broker, dir };
            written.go_on();
            written
        }

        fn go_on(&self) {
            let options = LedgerOptions {
                bootstrap: self.broker.bootstrap(),
                topic: "t".to_owned(),
                partitions: None,
                file: self.file(),
                time: Duration::from_secs(3600),
                record_bytes: 64,
                idempotent: false,
            };
            let control = Control::new();
            let enough = self.broker.records_by_partition()[0] + 20;
            std::thread::scope(|scope| {
                scope.spawn(|| ledger::run(&options, &control).unwrap());
                self.broker.wait_until_written(enough);
                control.end();
            });
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("ledger")
        }

        fn audit(&self) -> AuditReport {
            let options = AuditOptions { bootstrap: self.broker.bootstrap(), topic: "t".to_owned(), file: self.file() };
            run(&options, &Control::new()).unwrap()
        }
    }

    /// The counts of what is wrong, in the order: lost, moved, changed, out of order, damaged, gaps.
    fn wrongs(report: &AuditReport) -> [u64; 6] {
        assert_eq!(report.is_sound(), report.findings.is_empty(), "{report:?}");
        [report.lost, report.moved, report.changed, report.out_of_order, report.damaged_batches, report.offset_gaps]
    }

    #[test]
    fn a_topic_that_has_all_it_acknowledged_is_sound() {
        let written = Written::new(|_| {});
        // A second run on the same ledger, and somebody else's record in the topic.
        written.go_on();
        written.broker.append(1, &[b"somebody else's"]);
        let report = written.audit();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.read, report.foreign, report.duplicates), (report.acknowledged + 1, 1, 0));
    }

    #[test]
    fn an_acknowledged_record_that_is_gone_is_lost_with_its_offset() {
        let written = Written::new(|_| {});
        written.broker.truncate(1, 3);
        let report = written.audit();
        assert!(report.lost > 0 && !report.is_sound(), "{report:?}");
        assert_eq!(report.findings[0], "partition 1: number 3, acknowledged at offset 3, is lost");
        assert_eq!(wrongs(&report), [report.acknowledged - report.read, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn copies_of_what_was_sent_again_are_counted_and_are_no_loss() {
        let written = Written::new(|broker| broker.disconnect_after_produce(4));
        let report = written.audit();
        assert_eq!((wrongs(&report), report.duplicates), ([0; 6], 4), "{report:?}");
    }

    #[test]
    fn records_in_another_order_are_found() {
        let written = Written::new(|_| {});
        written.broker.swap(0, 2, 3);
        let report = written.audit();
        assert_eq!(wrongs(&report), [0, 2, 0, 1, 0, 0], "{report:?}");
        assert!(report.findings.iter().any(|finding| finding.contains("number 2 stands behind a later one")), "{report:?}");
    }

    #[test]
    fn a_record_with_other_content_under_a_right_crc_is_found() {
        let written = Written::new(|_| {});
        written.broker.rewrite(0, 2, |value| *value.last_mut().unwrap() ^= 1);
        assert_eq!(wrongs(&written.audit()), [1, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_damaged_batch_counts_its_records_as_lost() {
        let written = Written::new(|_| {});
        written.broker.damage(1, 2);
        assert_eq!(wrongs(&written.audit()), [1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_hole_in_the_offsets_is_found() {
        let written = Written::new(|_| {});
        written.broker.remove(0, 2);
        assert_eq!(wrongs(&written.audit()), [1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_record_in_another_partition_than_it_was_sent_to_is_found() {
        let written = Written::new(|_| {});
        written.broker.copy(0, 1, 1);
        assert_eq!(wrongs(&written.audit()), [0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn what_was_not_acknowledged_may_be_there() {
        let written = Written::new(|_| {});
        let book = std::fs::read_to_string(written.file()).unwrap();
        let without_last: String =
            book.lines().rev().skip(1).map(|line| format!("{line}\n")).collect::<Vec<_>>().into_iter().rev().collect();
        std::fs::write(written.file(), without_last).unwrap();
        let report = written.audit();
        assert_eq!((wrongs(&report), report.unacknowledged), ([0; 6], 1));
    }
}
