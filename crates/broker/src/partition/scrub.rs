//! The scrub: goes through the sealed segments of all partitions now and then, at a bounded rate, so that damage is found before
//! somebody needs what is damaged.
//!
//! Owns one thread for each log directory, which sleeps most of the day. It reads outside of the partitions' locks, and keeps nothing: what was found is
//! kept by the log that it was found in.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ottla_log::{ReadError, ScrubPlace};
use parking_lot::{Condvar, Mutex};

use super::apart::DirThread;
use super::{LogDir, Partition, PartitionManager, PartitionStartError};
use crate::metrics::Found;

/// What is read of one log directory in a second, at most. Not felt by who reads and writes meanwhile; 1 TiB takes a day and a half.
pub const SCRUB_BYTES_PER_SECOND_MAX: u64 = 8 << 20;
/// Time from the start of the broker to the first pass: there is enough to read in the first minutes.
pub const SCRUB_START_DELAY: Duration = Duration::from_secs(10 * 60);
/// Time from the start of one pass to that of the next.
pub const SCRUB_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// The stack of each thread.
const STACK_BYTES: usize = 256 * 1024;
/// What is read at once.
const STEP_BYTES: u32 = 1 << 20;
const STEP_INTERVAL: Duration = Duration::from_millis(STEP_BYTES as u64 * 1000 / SCRUB_BYTES_PER_SECOND_MAX);

/// The threads, one for each directory.
#[derive(Default)]
pub(super) struct Scrubber {
    shared: Arc<Shared>,
    threads: Mutex<Vec<DirThread>>,
}

#[derive(Default)]
struct Shared {
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Shared {
    /// Sleeps until then; `true`: it is time to stop.
    fn stops_before(&self, due: Instant) -> bool {
        let mut stopping = self.stopping.lock();
        while !*stopping && !self.wake.wait_until(&mut stopping, due).timed_out() {}
        *stopping
    }

    fn stop(&self) {
        *self.stopping.lock() = true;
        self.wake.notify_all();
    }
}

impl Scrubber {
    /// Ends the threads, each after the piece in hand.
    pub(super) fn stop(&self) {
        self.shared.stop();
        for mut thread in std::mem::take(&mut *self.threads.lock()) {
            thread.join();
        }
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        // Perhaps by its own thread, which held the last handle for a moment: it ends by itself.
        self.shared.stop();
    }
}

impl PartitionManager {
    /// Starts the threads.
    pub fn start_scrub(self: &Arc<Self>) -> Result<(), PartitionStartError> {
        for dir in self.log_dirs() {
            let (shared, for_thread) = (Arc::clone(&self.scrubber.shared), Arc::downgrade(dir));
            let thread = dir.spawn("ottla-scrub", STACK_BYTES, move || run(&shared, &for_thread))?;
            self.scrubber.threads.lock().push(thread);
        }
        Ok(())
    }

    /// Damaged places that were found since the start, by the scrub or by readers.
    pub fn damages_found(&self) -> u64 {
        self.log_dirs().iter().map(|dir| dir.damages_found()).sum()
    }

    /// A pass over each log directory.
    #[cfg(test)]
    pub(super) fn begin_scrub(&self) -> Vec<Pass> {
        self.log_dirs().iter().map(|dir| Pass::new(Arc::clone(dir))).collect()
    }
}

fn run(shared: &Shared, dir: &Weak<LogDir>) {
    let mut due = Instant::now() + SCRUB_START_DELAY;
    while !shared.stops_before(due) {
        let started = Instant::now();
        let Some(mut pass) = dir.upgrade().map(Pass::new) else { return };
        while pass.step() {
            if shared.stops_before(Instant::now() + STEP_INTERVAL) {
                return;
            }
        }
        due = started + SCRUB_INTERVAL;
    }
}

/// One way through a log directory.
pub(super) struct Pass {
    dir: Arc<LogDir>,
    partitions: std::vec::IntoIter<Weak<Partition>>,
    current: Option<(Weak<Partition>, ScrubPlace)>,
}

impl Pass {
    fn new(dir: Arc<LogDir>) -> Pass {
        let partitions: Vec<_> = dir.partitions().iter().map(Arc::downgrade).collect();
        Pass { dir, partitions: partitions.into_iter(), current: None }
    }

    /// Reads about [`STEP_BYTES`]; `false`: all was seen.
    pub(super) fn step(&mut self) -> bool {
        let mut bytes = 0;
        while bytes < STEP_BYTES {
            let next = self.current.take().or_else(|| Some((self.partitions.next()?, ScrubPlace::default())));
            let Some((partition, place)) = next.filter(|_| !self.dir.is_offline()) else {
                self.dir.counts().scrub_passes.add(u64::from(!self.dir.is_offline()));
                return false;
            };
            self.dir.counts().scrub_partitions_left.set(self.partitions.len() as u64);
            let Some(served) = partition.upgrade().filter(|partition| !partition.is_deleted()) else { continue };
            match served.scrub(place) {
                Ok(Some((reached, read))) => {
                    bytes += read;
                    self.dir.counts().scrub_bytes.add(u64::from(read));
                    self.current = Some((partition, reached));
                }
                Ok(None) => {}
                Err(_) if served.is_deleted() => {}
                Err(error) => tracing::error!(partition = %served.topic_partition(), "the scrub passes over its rest: {error}"),
            }
        }
        true
    }
}

impl Partition {
    /// Checks a piece of a sealed segment; gives where to go on and how many bytes it was. `None`: there is no more.
    fn scrub(&self, place: ScrubPlace) -> Result<Option<(ScrubPlace, u32)>, ReadError> {
        let Some(mut step) = self.with_log(|log| log.begin_scrub(place, STEP_BYTES))? else { return Ok(None) };
        let bytes = step.run()?;
        let reached = self.with_log(|log| log.finish_scrub(&step))?;
        self.tell_damages(Found::Scrub);
        Ok(Some((reached, bytes)))
    }

    /// Counts and logs the damaged places that were found since this was last called: each once, however often it is asked for.
    pub(super) fn tell_damages(&self, found: Found) {
        for damage in self.with_log(|log| log.take_new_damages()) {
            self.log_dir().counts().damage_found(found);
            tracing::error!(
                partition = %self.topic_partition(),
                file = %damage.path.display(),
                position = damage.positions.start,
                bytes = damage.positions.len(),
                "offsets {} to {} are damaged and not served: {}",
                damage.offsets.start,
                damage.offsets.end.0 - 1,
                damage.reason
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_log::AppendOrigin;
    use ottla_model::{Acks, Offset};

    use super::*;
    use crate::context::deadline_after;
    use crate::partition::{AppendOptions, Isolation};
    use crate::testing::{START, TestBroker, batch};

    /// Two batches of some 400 KiB in each segment; the last one grows.
    async fn filled(broker: &TestBroker) -> Arc<Partition> {
        broker.create_topic("logs", 1, &[("segment.bytes", "1048576")]).await;
        let partition = broker.partition("logs", 0);
        let mut end = Offset(0);
        for _ in 0..7 {
            let options = AppendOptions { acks: Acks::All, origin: AppendOrigin::Client, now: START };
            end = partition.append(&batch(&[&"x".repeat(400_000)]), options).unwrap().last_offset.plus(1);
        }
        partition.reach(end, deadline_after(60_000)).await.unwrap();
        partition
    }

    fn scrub(broker: &TestBroker) -> usize {
        let mut passes = broker.context.partitions.begin_scrub();
        let mut steps = 0;
        while !passes.is_empty() {
            passes.retain_mut(Pass::step);
            steps += 1;
        }
        steps
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pass_finds_and_counts_damage_before_any_fetch_does() {
        let broker = TestBroker::start().await;
        let partition = filled(&broker).await;
        assert!(scrub(&broker) > 1, "a bounded part at once");
        assert_eq!(broker.context.partitions.damages_found(), 0);

        let folder = partition.log_dir().path().join("logs-0");
        broker.disk.damage(&folder.join("00000000000000000002.log"), 500_000, 1).unwrap();
        scrub(&broker);
        assert_eq!(broker.context.partitions.damages_found(), 1);
        scrub(&broker);
        let read = |offset| partition.read(Offset(offset), Isolation::ReadUncommitted, 1, true).map(|read| read.bytes > 0);
        assert!(matches!(read(3), Err(ReadError::Damaged { .. })), "written by this process, and rotten since");
        assert!(read(2).unwrap() && read(4).unwrap());
        assert_eq!(broker.context.partitions.damages_found(), 1, "each place counts once");
        let counts = partition.log_dir().counts();
        assert_eq!(counts.damages(Found::Scrub), 1, "the scrub was first");
        assert_eq!((counts.scrub_passes.get(), counts.scrub_partitions_left.get()), (3, 0));
        assert!(counts.scrub_bytes.get() > 3 * 2_000_000, "{}", counts.scrub_bytes.get());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_threads_end_with_their_manager() {
        let broker = TestBroker::start().await;
        let threads = std::mem::take(&mut *broker.context.partitions.scrubber.threads.lock());
        assert_eq!(threads.len(), 2);
        broker.context.partitions.scrubber.stop();
        threads.into_iter().for_each(|mut thread| thread.join());
    }
}
