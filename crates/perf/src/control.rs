//! What a run shares with whoever watches it: a way to end it early, and how far it is.
//!
//! Every pause of this crate is taken here, so that each of them ends at once when the run is to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// What progress is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of batches.
    Bytes,
    /// Records, connections, acknowledgements: whatever comes one by one.
    Things,
    /// Milliseconds.
    Time,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// So much is to be done; 0: not known yet.
    pub total: u64,
    /// Of what.
    pub unit: Unit,
}

/// A handle on a run. Clones are the same run's.
#[derive(Clone, Debug, Default)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ended: AtomicBool,
    waiting: Mutex<()>,
    wake: Condvar,
    done: AtomicU64,
    total: AtomicU64,
    unit: AtomicU8,
}

impl Control {
    /// A run that nobody has asked to end.
    pub fn new() -> Control {
        Control::default()
    }

    /// Asks the run to end early. What was measured until then is reported.
    pub fn end(&self) {
        // Under the lock: who is about to wait has either seen it or is woken.
        let _waiting = self.inner.waiting.lock();
        self.inner.ended.store(true, Ordering::Release);
        self.inner.wake.notify_all();
    }

    /// Whether it was asked to end.
    pub fn is_ended(&self) -> bool {
        self.inner.ended.load(Ordering::Acquire)
    }

    /// Waits so long, or until the run is to end; says whether it is to go on.
    pub fn pause(&self, time: Duration) -> bool {
        self.pause_until(Instant::now() + time)
    }

    /// Waits until then, or until the run is to end; says whether it is to go on.
    pub fn pause_until(&self, at: Instant) -> bool {
        let mut waiting = self.inner.waiting.lock();
        while !self.is_ended() {
            if self.inner.wake.wait_until(&mut waiting, at).timed_out() {
                return !self.is_ended();
            }
        }
        false
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        let unit = match self.inner.unit.load(Ordering::Relaxed) {
            0 => Unit::Bytes,
            1 => Unit::Things,
            _ => Unit::Time,
        };
        Progress { done: self.inner.done.load(Ordering::Relaxed), total: self.inner.total.load(Ordering::Relaxed), unit }
    }

    /// Says what is to be done.
    pub(crate) fn expect(&self, total: u64, unit: Unit) {
        self.inner.unit.store(unit as u8, Ordering::Relaxed);
        self.inner.total.store(total, Ordering::Relaxed);
    }

    /// Says that so much more is done.
    pub(crate) fn advance(&self, by: u64) {
        self.inner.done.fetch_add(by, Ordering::Relaxed);
    }

    /// Says how much is done.
    pub(crate) fn reach(&self, done: u64) {
        self.inner.done.store(done, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_when_the_run_is_to_end() {
        let control = Control::new();
        let waiting = std::thread::spawn({
            let control = control.clone();
            move || control.pause(Duration::from_secs(3600))
        });
        control.end();
        assert!(!waiting.join().unwrap(), "it is not to go on");
        assert!(!control.pause(Duration::ZERO), "and no later pause says otherwise");
    }

    #[test]
    fn a_pause_that_is_over_goes_on() {
        assert!(Control::new().pause(Duration::from_millis(1)));
    }
}
