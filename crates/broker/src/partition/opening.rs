//! Partitions that should be here and are not served yet, or not at all: their logs are still being opened, cannot be opened, or have
//! no place.
//!
//! Owns that list, and the threads that open what was found at start: each log is served as soon as it is open. What a request asks
//! for is opened before the rest. Decides nothing about a log that is open: that is [`PartitionManager::settle`]'s.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ottla_log::{OpenHints, PartitionLog};
use ottla_model::config::ServerConfig;
use ottla_model::{TimestampMs, TopicId, TopicName, TopicPartition};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

use super::folders::topic_id_of;
use super::log_dir::DirHealth;
use super::manager::Followed;
use super::{LogDir, PartitionManager, PartitionStartError, TopicSettings};
use crate::metrics::Found;

/// Threads that open logs, over all directories (`num.recovery.threads.per.data.dir` for each, up to this).
const LOADERS_MAX: usize = 32;
/// How long a stop waits for logs that are being opened. A recovery that takes longer is left where it is, as by a crash.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

/// A folder that was found at start, and whose log is still to be opened.
pub(super) struct OpenJob {
    pub dir: Arc<LogDir>,
    pub path: PathBuf,
    pub name: TopicPartition,
    pub hints: OpenHints,
}

/// Names that requests have asked for and that wait to be opened, in one directory; the rest waits for its turn.
const WANTED_MAX: usize = 1024;

/// What became of it.
pub(super) enum Opened {
    Log(Box<PartitionLog>),
    /// It is another topic's: one that was deleted while this broker was away, or of another cluster. Nothing was touched.
    Stranger,
    /// It cannot be opened. Not to be made anew over what there is.
    Broken,
}

/// Why a partition that should be here is not served.
enum State {
    /// Its log waits to be opened.
    Waiting(Box<OpenJob>),
    /// Its log is being opened. `deleted`: its topic was deleted meanwhile, and another may have come under its name.
    Opening { deleted: bool },
    /// Its log cannot be opened.
    Broken(Box<OpenJob>),
    /// It could not be made: there is no directory for it.
    Placeless,
    /// It could not be made: its directory is full. Tried again now and then.
    NoRoom,
}

struct Absent {
    state: State,
    dir: Option<Arc<LogDir>>,
    /// Who waits for it to be served.
    news: Option<Arc<Notify>>,
}

/// See the module.
pub(crate) struct Opening {
    inner: Mutex<Inner>,
    /// A log in hand is settled.
    ended: Condvar,
    /// Logs that are not settled yet.
    left: watch::Sender<usize>,
    health: Arc<DirHealth>,
}

#[derive(Default)]
struct Inner {
    /// Bounded by the partitions of this broker.
    absent: HashMap<TopicPartition, Absent>,
    /// For each directory, in the order of `log.dirs`.
    queues: Vec<Queue>,
    running: usize,
    stopping: bool,
    /// How many logs may still be opened; `None`: all.
    #[cfg(test)]
    permits: Option<usize>,
}

/// The logs of one directory that wait.
#[derive(Default)]
struct Queue {
    found: std::vec::IntoIter<TopicPartition>,
    /// Asked for by requests, so opened first, the last asked for first of all. May have some that are opened already.
    wanted: Vec<TopicPartition>,
}

/// What is known of a partition that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    Opening,
    Offline,
}

impl Absent {
    fn is_unsettled(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Opening { .. }) && self.dir.as_ref().is_none_or(|dir| !dir.is_offline())
    }
}

impl Opening {
    pub(super) fn new(health: Arc<DirHealth>) -> Opening {
        Opening { inner: Mutex::default(), ended: Condvar::new(), left: watch::Sender::new(0), health }
    }

    fn count_left(&self, change: impl Fn(usize) -> usize) {
        self.left.send_modify(|left| *left = change(*left));
        // Of the two, whoever sees the first change waits by the list itself.
        let _ = self.health.unready.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |unready| Some(change(unready)));
    }

    /// Takes what was found in one directory after the other.
    pub(super) fn add(&self, jobs: Vec<OpenJob>) {
        let mut inner = self.inner.lock();
        let names: Vec<TopicPartition> = jobs.iter().map(|job| job.name.clone()).collect();
        let count = jobs.len();
        self.count_left(|left| left + count);
        for job in jobs {
            let (name, dir) = (job.name.clone(), Some(Arc::clone(&job.dir)));
            inner.absent.insert(name, Absent { state: State::Waiting(Box::new(job)), dir, news: None });
        }
        inner.queues.push(Queue { found: names.into_iter(), wanted: Vec::new() });
    }

    /// Whether it is known why this partition is not served.
    pub(super) fn has(&self, name: &TopicPartition) -> bool {
        self.inner.lock().absent.contains_key(name)
    }

    /// Whether its log waits to be opened or is being opened. Changes nothing, unlike [`Opening::absence`].
    pub(super) fn is_opening(&self, name: &TopicPartition) -> bool {
        self.inner.lock().absent.get(name).is_some_and(Absent::is_unsettled)
    }

    /// Why it is not served; has its log opened before others.
    pub(super) fn absence(&self, name: &TopicPartition) -> Option<Absence> {
        let mut inner = self.inner.lock();
        let Inner { absent, queues, .. } = &mut *inner;
        let absent = absent.get(name)?;
        if !absent.is_unsettled() {
            return Some(Absence::Offline);
        }
        if let State::Waiting(job) = &absent.state
            && let Some(queue) = queues.get_mut(job.dir.index())
            && queue.wanted.last() != Some(name)
            && queue.wanted.len() < WANTED_MAX
        {
            queue.wanted.push(name.clone());
        }
        Some(Absence::Opening)
    }

    /// Waits until the partition is served, or it is known that it will not be.
    pub(super) async fn settled(&self, name: &TopicPartition) {
        loop {
            let news = {
                let mut inner = self.inner.lock();
                match inner.absent.get_mut(name).filter(|absent| absent.is_unsettled()) {
                    Some(absent) => Arc::clone(absent.news.get_or_insert_default()),
                    None => return,
                }
            };
            let (mut news, mut failed) = (std::pin::pin!(news.notified()), std::pin::pin!(self.health.failed.notified()));
            // Registered first, looked at again second: what happens in between is seen by one of the two.
            news.as_mut().enable();
            failed.as_mut().enable();
            if self.inner.lock().absent.get(name).is_some_and(Absent::is_unsettled) {
                tokio::select! {
                    () = news => {}
                    () = failed => {}
                }
            }
        }
    }

    /// Waits until every log that was found at start is served, or known to be out of reach.
    pub(super) async fn all_settled(&self) {
        // The sender is this one's own.
        let _ = self.left.subscribe().wait_for(|left| *left == 0).await;
    }

    /// No place was found for it.
    pub(super) fn note_placeless(&self, name: TopicPartition) {
        self.note_unmade(name, State::Placeless);
    }

    /// There was no room to make it.
    pub(super) fn note_no_room(&self, name: TopicPartition) {
        self.note_unmade(name, State::NoRoom);
    }

    fn note_unmade(&self, name: TopicPartition, state: State) {
        let mut inner = self.inner.lock();
        let absent = inner.absent.entry(name).or_insert(Absent { state: State::Placeless, dir: None, news: None });
        absent.state = state;
    }

    /// Those for which there was no room.
    pub(super) fn without_room(&self) -> Vec<TopicPartition> {
        let inner = self.inner.lock();
        inner.absent.iter().filter(|(_, absent)| matches!(absent.state, State::NoRoom)).map(|(name, _)| name.clone()).collect()
    }

    /// The partition is to be no more. Gives the folder to be disposed of, unless its log is being opened: whoever does that does the
    /// rest.
    pub(super) fn forget(&self, name: &TopicPartition) -> Option<OpenJob> {
        let mut inner = self.inner.lock();
        if let Some(Absent { state: State::Opening { deleted }, .. }) = inner.absent.get_mut(name) {
            *deleted = true;
            return None;
        }
        let Absent { state, news, .. } = inner.absent.remove(name)?;
        if let Some(news) = news {
            news.notify_waiters();
        }
        match state {
            State::Waiting(job) => {
                self.count_left(|left| left - 1);
                Some(*job)
            }
            State::Broken(job) => Some(*job),
            State::Opening { .. } | State::Placeless | State::NoRoom => None,
        }
    }

    fn next(&self, dir: usize) -> Option<OpenJob> {
        let mut inner = self.inner.lock();
        if inner.stopping {
            return None;
        }
        loop {
            let queue = inner.queues.get_mut(dir)?;
            let name = queue.wanted.pop().or_else(|| queue.found.next())?;
            let Some(absent) = inner.absent.get_mut(&name) else { continue };
            if !matches!(absent.state, State::Waiting(_)) {
                continue;
            }
            if let State::Waiting(job) = std::mem::replace(&mut absent.state, State::Opening { deleted: false }) {
                inner.running += 1;
                return Some(*job);
            }
        }
    }

    /// Whether the partition that is being opened was deleted meanwhile.
    pub(super) fn is_deleted(&self, name: &TopicPartition) -> bool {
        matches!(self.inner.lock().absent.get(name), Some(Absent { state: State::Opening { deleted: true }, .. }))
    }

    /// The partition that was being opened is served, or gone. `broken`: it is neither.
    pub(super) fn note_settled(&self, name: &TopicPartition, broken: Option<OpenJob>) {
        let mut inner = self.inner.lock();
        let news = match inner.absent.get_mut(name) {
            Some(absent) => {
                let news = absent.news.take();
                match (broken, &absent.state) {
                    (Some(job), _) => absent.state = State::Broken(Box::new(job)),
                    // It was to be made anew, and had no place.
                    (None, State::Placeless | State::NoRoom) => {}
                    (None, _) => drop(inner.absent.remove(name)),
                }
                news
            }
            None => None,
        };
        inner.running -= 1;
        drop(inner);
        self.count_left(|left| left - 1);
        self.ended.notify_all();
        if let Some(news) = news {
            news.notify_waiters();
        }
    }

    /// From now on only so many more logs are opened; what is in hand beyond that waits.
    #[cfg(test)]
    pub(crate) fn permit(&self, logs: Option<usize>) {
        self.inner.lock().permits = logs;
        self.ended.notify_all();
    }

    #[cfg(test)]
    fn wait_for_permit(&self) {
        let mut inner = self.inner.lock();
        while inner.permits == Some(0) && !inner.stopping {
            self.ended.wait(&mut inner);
        }
        inner.permits = inner.permits.map(|left| left.saturating_sub(1));
    }

    /// No further log is opened. Waits for those in hand, for a bounded time.
    pub(super) fn stop(&self) {
        let deadline = Instant::now() + STOP_WAIT_MAX;
        let mut inner = self.inner.lock();
        inner.stopping = true;
        self.ended.notify_all();
        while inner.running > 0 && !self.ended.wait_until(&mut inner, deadline).timed_out() {}
    }
}

impl PartitionManager {
    /// Starts the threads that open what was found. They end by themselves.
    pub fn start_opening(self: &Arc<Self>, config: &ServerConfig) -> Result<(), PartitionStartError> {
        let waiting = *self.opening.left.borrow();
        if waiting == 0 {
            return Ok(());
        }
        let started = Instant::now();
        let dirs = self.log_dirs().len().max(1);
        let asked = usize::try_from(config.num_recovery_threads_per_data_dir).unwrap_or(1);
        let threads = asked.min(LOADERS_MAX / dirs).max(1);
        for dir in 0..self.log_dirs().len() {
            for nth in 0..threads.min(waiting) {
                let manager = Arc::downgrade(self);
                let thread = std::thread::Builder::new().name("ottla-load".to_owned()).spawn(move || open_all(&manager, dir, started));
                match thread {
                    Ok(_) => {}
                    // Without a further thread it takes longer, no more.
                    Err(_) if nth > 0 => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Waits until every log that was found at start is served, or known to be out of reach.
    pub async fn all_opened(&self) {
        self.opening.all_settled().await;
    }
}

fn open_all(manager: &Weak<PartitionManager>, dir: usize, started: Instant) {
    let mut last: Option<(TopicName, Arc<Followed>, TopicSettings)> = None;
    loop {
        let Some(manager) = manager.upgrade() else { return };
        let Some(followed) = manager.followed() else { return };
        let Some(job) = manager.opening.next(dir) else { return };
        #[cfg(test)]
        manager.opening.wait_for_permit();
        // Most of a topic's partitions come one after another.
        last = last.filter(|(topic, with, _)| *topic == job.name.topic && Arc::ptr_eq(with, &followed));
        let (topic, with, settings) = last.get_or_insert_with(|| {
            let settings = manager.settings(job.name.topic.as_str(), &followed.image, &followed.config);
            (job.name.topic.clone(), followed, settings)
        });
        let expected = with.image.topic(topic.as_str()).map(|topic| topic.id);
        let opened = job.open(settings, expected, manager.clock().now());
        manager.settle(job, opened, with, settings);
        if *manager.opening.left.borrow() == 0 {
            tracing::info!("all logs are open, after {} ms", started.elapsed().as_millis());
        }
    }
}

impl OpenJob {
    fn open(&self, settings: &TopicSettings, expected: Option<TopicId>, now: TimestampMs) -> Opened {
        if self.dir.is_offline() {
            return Opened::Broken;
        }
        self.dir.begin_opening(&self.name);
        let disk = self.dir.disk();
        if let (Some(found), Some(expected)) = (topic_id_of(&**disk, &self.path), expected)
            && found != expected
        {
            return Opened::Stranger;
        }
        match PartitionLog::open(Arc::clone(disk), &self.path, settings.log.clone(), self.hints, now) {
            Ok((log, recovery)) => {
                if let Some(torn) = &recovery.torn {
                    tracing::warn!(partition = %self.name, "the log's end was cut: {torn:?}");
                }
                if recovery.ended_below_recovery_point {
                    self.dir.counts().damage_found(Found::Recovery);
                    tracing::error!(
                        partition = %self.name,
                        "the log ends at {}, below {:?} to which it was once synced: acknowledged records are gone from this disk",
                        log.log_end_offset(),
                        self.hints.recovery_point
                    );
                }
                Opened::Log(Box::new(log))
            }
            Err(error) => {
                tracing::error!(partition = %self.name, "the log cannot be opened and is not served: {error}");
                self.dir.note_open_failure(&error);
                Opened::Broken
            }
        }
    }
}
