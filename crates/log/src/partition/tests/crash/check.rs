//! What must hold after a crash: nothing synced is lost, nothing acknowledged was changed, offsets are dense, the log opens, and all
//! that is derived (indexes, leader epochs, producers, aborted transactions) is what the batches say.

use super::super::*;
use super::ledger::{Batch, Content, Ledger, Producers};
use super::life::{Booted, batch_by, boot, config_of, topic_id};
use crate::segment::FileKind;

/// When the log is opened again.
const LATER: TimestampMs = TimestampMs(NOW.0 + 10_000);

/// Opens the log that a crash left and holds it against the ledger. `thorough`: indexes too, and a second crash.
pub fn check(disk: &MemDisk, seed: u64, ledger: &Ledger, thorough: bool) {
    let booted = boot(disk, config_of(seed), LATER).unwrap_or_else(|e| panic!("the log does not open: {e}"));
    let Some(Booted { mut log, recovery, recovery_point, high_watermark, log_start }) = booted else {
        assert!(!ledger.created, "the log is gone");
        return;
    };
    assert!(ledger.recovery_point.allows(recovery_point), "the recovery point is {recovery_point:?}, not {:?}", ledger.recovery_point);
    assert!(ledger.high_watermark.allows(high_watermark), "the high watermark is {high_watermark:?}, not {:?}", ledger.high_watermark);
    assert!(ledger.log_start.allows(log_start), "the log start is {log_start:?}, not {:?}", ledger.log_start);
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(end >= ledger.durable, "the log ends at {end}, {} was durable; {recovery:?}", ledger.durable);
    assert!(!recovery.ended_below_recovery_point || ledger.is_cutting, "it ends below what was synced");
    assert!(start >= ledger.start && start <= ledger.start_max, "it starts at {start}, not from {} to {}", ledger.start, ledger.start_max);
    if ledger.created {
        assert_eq!(log.topic_id(), Some(topic_id()));
    }
    let found = read_all(&log, start, 900);
    let content = content_of(ledger, &found, start, end).unwrap_or_else(|| {
        let expected: Vec<Vec<(Offset, Offset)>> =
            ledger.candidates().iter().map(|c| c.iter().map(|b| (b.base, b.end)).collect()).collect();
        let found: Vec<Offset> = found.iter().map(|(base, _)| *base).collect();
        panic!("{found:?} from {start} to {end} are not what was appended: {expected:?}; {recovery:?}")
    });
    check_derived(&log, &content, start);
    if thorough {
        check_whole(&log);
        check_indexes(disk, &log, config_of(seed));
    }
    check_goes_on(disk, &mut log, seed, content, thorough);
}

/// The batches since offset 0 that the log is found to have, if that is something that was appended.
fn content_of(ledger: &Ledger, found: &[(Offset, Vec<u8>)], start: Offset, end: Offset) -> Option<Content> {
    ledger.candidates().into_iter().find_map(|mut content| {
        content.retain(|batch| batch.base < end);
        let readable = content.iter().filter(|batch| batch.end > start);
        let same = readable.map(|batch| (batch.base, &batch.bytes)).eq(found.iter().map(|(base, bytes)| (*base, bytes)));
        (same && super::ledger::end_of(&content) == end).then_some(content)
    })
}

fn check_derived(log: &PartitionLog, content: &Content, start: Offset) {
    let mut epochs: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for batch in content.iter().filter(|batch| batch.end > start) {
        if epochs.last().is_none_or(|(last, _)| *last < batch.epoch()) {
            epochs.push((batch.epoch(), batch.base.max(start)));
        }
    }
    if log.log_end_offset() > start {
        assert_eq!(log.epochs().entries(), epochs, "the leader epochs are not those of the batches");
    }
    let producers = Producers::of(content);
    for (id, producer) in &producers.known {
        let open = log.open_transaction(ottla_model::ProducerId(*id));
        assert_eq!(open, producer.open_since, "the open transaction of producer {id}");
    }
    let first = log.first_segment_base();
    let mut aborted = log.aborted_transactions(first, log.log_end_offset()).unwrap();
    aborted.sort_by_key(|txn| txn.last_offset);
    let aborted: Vec<(i64, Offset, Offset)> = aborted.iter().map(|t| (t.producer_id.0, t.first_offset, t.last_offset)).collect();
    let expected: Vec<(i64, Offset, Offset)> = producers.aborted.into_iter().filter(|(_, _, marker)| *marker >= first).collect();
    assert_eq!(aborted, expected, "the aborted transactions");
}

/// Producers go on where they were: what they send again is known, what follows is taken, a gap is not; and it is durable in turn.
fn check_goes_on(disk: &MemDisk, log: &mut PartitionLog, seed: u64, mut content: Content, thorough: bool) {
    // A leader's epoch is none that lies below that of a batch: of an empty log the batches that were deleted tell it.
    let epoch = log.latest_epoch().max(content.last().map(|batch| batch.epoch())).unwrap_or(LeaderEpoch(0));
    let append = |log: &mut PartitionLog, bytes: &[u8]| log.append_as_leader(bytes, epoch, AppendOrigin::Unverified, LATER);
    for (id, producer) in Producers::of(&content).known {
        let Some(last) = producer.last else { continue };
        let again = append(log, &last.sent()).unwrap_or_else(|e| panic!("producer {id}, the last batch sent again: {e}"));
        assert_eq!((again.base_offset, again.duplicate), (last.base, true), "producer {id}, the last batch sent again");
        let gap = append(log, &batch_by(id, producer.next_sequence + 3, 1, LATER));
        assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })), "producer {id}: {gap:?}");
    }
    let next = Producers::of(&content).known.remove(&1).unwrap_or_default().next_sequence;
    let end = log.log_end_offset();
    let sent = batch_by(1, next, 2, LATER);
    let appended = append(log, &sent).unwrap_or_else(|e| panic!("the log takes no more: {e}"));
    assert_eq!((appended.base_offset, appended.duplicate), (end, false));
    assert_eq!(log.sync_all().unwrap(), end.plus(2));
    if thorough {
        content.push(Batch::placed(sent, end, epoch));
        let ledger = Ledger {
            created: true,
            durable: end.plus(2),
            start: Offset(0),
            start_max: log.log_start_offset(),
            is_cutting: true,
            current: content,
            ..Ledger::default()
        };
        let again = disk.crash(seed);
        let booted = boot(&again, config_of(seed), LATER).unwrap_or_else(|e| panic!("the log does not open a second time: {e}"));
        let log = booted.expect("the log is there a second time").log;
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let found = read_all(&log, start, 900);
        assert!(end == ledger.durable && start <= ledger.start_max, "a second crash: from {start} to {end}, not {}", ledger.durable);
        let content = content_of(&ledger, &found, start, end).expect("after a second crash it is what it was after the first");
        check_derived(&log, &content, start);
    }
}

fn last_entry(mut times: Vec<u8>) -> Vec<u8> {
    times.split_off(times.len().saturating_sub(12))
}

/// The indexes of closed segments are those that would be made anew from their batches. (Of a time index the last entry: one that
/// was made when the segment was closed stays when the log is cut and the segment grows again, with Kafka too.)
fn check_indexes(disk: &MemDisk, log: &PartitionLog, config: LogConfig) {
    let indexes = |disk: &MemDisk, log: &PartitionLog| -> Vec<Vec<u8>> {
        let read = |kind: FileKind, base| disk.read_all(&kind.path(Path::new(DIR), base)).unwrap();
        let closed = log.segments[..log.segments.len() - 1].iter().map(|s| s.base);
        closed.flat_map(|base| [read(FileKind::OffsetIndex, base), last_entry(read(FileKind::TimeIndex, base))]).collect()
    };
    let anew = disk.fork();
    for name in disk.list_dir(Path::new(DIR)).unwrap().into_iter().map(|e| e.name).filter(|n| n.ends_with("index")) {
        anew.remove_file(&Path::new(DIR).join(name)).unwrap();
    }
    let (fresh, _) = reopen(&anew, config, OpenHints::default());
    assert_eq!(indexes(disk, log), indexes(&anew, &fresh), "an index is not what its segment says");
}
