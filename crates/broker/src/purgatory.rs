//! Waiting for a partition without polling: a request registers what high watermark it needs, and is woken when that is there.
//!
//! Owns who waits for what. Never looks at a log, never decides whether a request is satisfied: whoever is woken looks again.
//!
//! The cost when nobody waits is one atomic load per append: each [`WaitList`] keeps the nearest offset anyone waits for, and an
//! append or an advance of the high watermark below it wakes nobody. That same number tells the syncer that somebody is waiting for
//! data that is written but not yet durable.
//!
//! Lost wake-ups are excluded by order: a waiter registers, then looks at the partition again; the partition changes its state, then
//! looks at the list. Both sides put a sequentially consistent fence between the two.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Waker};

use ottla_model::Offset;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Partitions all parked fetches together may watch. A fetch beyond it is answered at once with what there is: slower for the client,
/// bounded for the broker.
pub const WATCHES_MAX: usize = 1_000_000;

/// Nobody waits.
const NOBODY: i64 = i64::MAX;

/// Those who wait for one partition. One atomic to look at while nobody does.
#[derive(Debug)]
pub struct WaitList {
    /// The least `wake_at` in `slots`, or [`NOBODY`]. May be too low after a waiter left (costs one look), never too high.
    nearest: AtomicI64,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    taken: Vec<Option<Slot>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    wake_at: i64,
    waiter: Arc<Waiter>,
}

#[derive(Debug, Default)]
struct Waiter {
    fired: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Waiter {
    fn fire(&self) {
        self.fired.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Default for WaitList {
    fn default() -> WaitList {
        WaitList { nearest: AtomicI64::new(NOBODY), slots: Mutex::default() }
    }
}

impl WaitList {
    /// Wakes everyone who waits for a high watermark up to and including `reached`. To be called after the new state can be seen.
    #[inline]
    pub fn notify(&self, reached: Offset) {
        fence(Ordering::SeqCst);
        if self.nearest.load(Ordering::Relaxed) <= reached.0 {
            self.wake_up_to(reached.0);
        }
    }

    /// Wakes everyone: the partition is deleted, lost its leadership or its disk. To be called after that can be seen.
    pub fn notify_all(&self) {
        fence(Ordering::SeqCst);
        if self.nearest.load(Ordering::Relaxed) != NOBODY {
            self.wake_up_to(NOBODY);
        }
    }

    /// Whether somebody waits for a high watermark of `offset` or less: such data had better be made durable soon.
    #[inline]
    pub fn is_awaited(&self, offset: Offset) -> bool {
        fence(Ordering::SeqCst);
        self.nearest.load(Ordering::Relaxed) <= offset.0
    }

    /// How many wait. For tests and metrics.
    pub fn len(&self) -> usize {
        let slots = self.slots.lock();
        slots.taken.len() - slots.free.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[cold]
    fn wake_up_to(&self, reached: i64) {
        let mut woken = Vec::new();
        {
            let mut slots = self.slots.lock();
            let Slots { taken, free } = &mut *slots;
            let mut nearest = NOBODY;
            for (index, place) in taken.iter_mut().enumerate() {
                match place {
                    Some(slot) if slot.wake_at <= reached => {
                        woken.extend(place.take().map(|slot| slot.waiter));
                        free.push(index as u32);
                    }
                    Some(slot) => nearest = nearest.min(slot.wake_at),
                    None => {}
                }
            }
            slots.shrink_if_empty();
            self.nearest.store(nearest, Ordering::SeqCst);
        }
        // Outside the lock: a waker may run arbitrary code of the scheduler.
        for waiter in woken {
            waiter.fire();
        }
    }

    fn add(&self, wake_at: i64, waiter: Arc<Waiter>) -> u32 {
        let mut slots = self.slots.lock();
        let slot = Some(Slot { wake_at, waiter });
        let index = match slots.free.pop() {
            Some(index) => {
                slots.taken[index as usize] = slot;
                index
            }
            None => {
                slots.taken.push(slot);
                (slots.taken.len() - 1) as u32
            }
        };
        self.nearest.fetch_min(wake_at, Ordering::SeqCst);
        index
    }

    /// Takes `waiter` out again; its place may meanwhile be empty, or another's.
    fn remove(&self, index: u32, waiter: &Arc<Waiter>) {
        let mut slots = self.slots.lock();
        let Some(place) = slots.taken.get_mut(index as usize) else { return };
        if place.as_ref().is_some_and(|slot| Arc::ptr_eq(&slot.waiter, waiter)) {
            *place = None;
            slots.free.push(index);
            if slots.shrink_if_empty() {
                self.nearest.store(NOBODY, Ordering::SeqCst);
            }
        }
    }
}

impl Slots {
    /// An idle partition keeps no memory for those who once waited. True when nobody is left.
    fn shrink_if_empty(&mut self) -> bool {
        let empty = self.taken.len() == self.free.len();
        if empty {
            self.taken = Vec::new();
            self.free = Vec::new();
        }
        empty
    }
}

/// How many partitions may be watched by parked fetches, and how many are.
#[derive(Debug)]
pub struct Purgatory {
    watches: AtomicUsize,
    watches_max: usize,
}

impl Default for Purgatory {
    fn default() -> Purgatory {
        Purgatory::new(WATCHES_MAX)
    }
}

impl Purgatory {
    /// At most `watches_max` partitions watched at a time.
    pub fn new(watches_max: usize) -> Purgatory {
        Purgatory { watches: AtomicUsize::new(0), watches_max }
    }

    /// A place for a request that will watch `partitions` of them; `None` when the broker holds too many already.
    pub fn admit(self: &Arc<Self>, partitions: usize) -> Option<Admission> {
        let admitted = self
            .watches
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |held| held.checked_add(partitions).filter(|sum| *sum <= self.watches_max));
        admitted.ok().map(|_| Admission { purgatory: Arc::clone(self), partitions })
    }

    /// How many partitions are watched by parked fetches.
    pub fn watches(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }
}

/// The right to watch some partitions, given back when dropped.
#[derive(Debug)]
pub struct Admission {
    purgatory: Arc<Purgatory>,
    partitions: usize,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.purgatory.watches.fetch_sub(self.partitions, Ordering::AcqRel);
    }
}

/// One request's wait for any of several partitions. Dropped, it leaves no trace.
#[derive(Debug, Default)]
pub struct Wait {
    waiter: Arc<Waiter>,
    places: Vec<(Arc<WaitList>, u32)>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// One of the partitions has what was asked for, or changed in some way: look again.
    Woken,
    /// The deadline passed.
    DeadlinePassed,
}

impl Wait {
    /// A wait for nothing yet.
    pub fn new() -> Wait {
        Wait::default()
    }

    /// A wait for nothing yet, with room for `partitions` of them.
    pub fn with_capacity(partitions: usize) -> Wait {
        Wait { waiter: Arc::default(), places: Vec::with_capacity(partitions) }
    }

    /// Asks to be woken when the high watermark behind `list` is at least `wake_at`. The caller looks at the partition once more
    /// *after* this, since it may have moved just before.
    pub fn watch(&mut self, list: &Arc<WaitList>, wake_at: Offset) {
        let index = list.add(wake_at.0, Arc::clone(&self.waiter));
        self.places.push((Arc::clone(list), index));
        fence(Ordering::SeqCst);
    }

    /// Whether one of the partitions has called already.
    pub fn has_fired(&self) -> bool {
        self.waiter.fired.load(Ordering::SeqCst)
    }

    /// Leaves all lists, ready to watch anew.
    pub fn reset(&mut self) {
        self.leave();
        // A late wake-up of the old waiter must not count for the new round.
        self.waiter = Arc::default();
    }

    /// Resolves once woken.
    pub fn woken(&self) -> Woken<'_> {
        Woken { wait: self }
    }

    /// Resolves once woken or at `deadline`, whichever comes first.
    pub async fn until(&self, deadline: Instant) -> WaitEnd {
        match tokio::time::timeout_at(deadline, self.woken()).await {
            Ok(()) => WaitEnd::Woken,
            Err(_elapsed) => WaitEnd::DeadlinePassed,
        }
    }

    fn leave(&mut self) {
        for (list, index) in self.places.drain(..) {
            list.remove(index, &self.waiter);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.leave();
    }
}

/// See [`Wait::woken`].
#[derive(Debug)]
pub struct Woken<'a> {
    wait: &'a Wait,
}

impl Future for Woken<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waiter = &self.wait.waiter;
        if waiter.fired.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        {
            let mut waker = waiter.waker.lock();
            match &mut *waker {
                Some(known) => known.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
        }
        // It may have fired between the first look and the waker's being there.
        if waiter.fired.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;
    use std::time::Duration;

    #[derive(Default)]
    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(wait: &Wait, count: &Arc<Count>) -> Poll<()> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(&mut wait.woken()).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn waiter_is_woken_once_and_only_when_its_offset_is_reached() {
        let list = Arc::new(WaitList::default());
        let count = Arc::new(Count::default());
        let mut wait = Wait::new();
        wait.watch(&list, Offset(10));
        assert_eq!(poll(&wait, &count), Poll::Pending);
        list.notify(Offset(9));
        assert_eq!((count.0.load(Ordering::SeqCst), wait.has_fired()), (0, false));
        assert!(list.is_awaited(Offset(10)) && !list.is_awaited(Offset(9)));
        list.notify(Offset(12));
        list.notify(Offset(13));
        assert_eq!((count.0.load(Ordering::SeqCst), poll(&wait, &count)), (1, Poll::Ready(())));
        assert!(list.is_empty());
    }

    #[test]
    fn one_advance_wakes_only_those_it_satisfies() {
        let list = Arc::new(WaitList::default());
        let waits: Vec<Wait> = (1..=5)
            .map(|at| {
                let mut wait = Wait::new();
                wait.watch(&list, Offset(at * 10));
                wait
            })
            .collect();
        list.notify(Offset(30));
        assert_eq!(waits.iter().map(Wait::has_fired).collect::<Vec<_>>(), [true, true, true, false, false]);
        assert_eq!(list.len(), 2);
        list.notify_all();
        assert!(waits.iter().all(Wait::has_fired) && list.is_empty());
    }

    #[test]
    fn any_of_several_partitions_wakes_and_a_drop_leaves_all_lists() {
        let lists: Vec<_> = (0..3).map(|_| Arc::new(WaitList::default())).collect();
        let mut wait = Wait::with_capacity(3);
        for list in &lists {
            wait.watch(list, Offset(1));
        }
        lists[1].notify(Offset(1));
        assert!(wait.has_fired());
        drop(wait);
        assert!(lists.iter().all(|l| l.is_empty()));
        assert!(lists.iter().all(|l| !l.is_awaited(Offset(100))), "nobody is awaited once the last has left");
    }

    #[test]
    fn a_place_taken_over_by_another_is_not_freed_by_its_first_owner() {
        let list = Arc::new(WaitList::default());
        let mut first = Wait::new();
        first.watch(&list, Offset(1));
        let mut keeper = Wait::new();
        keeper.watch(&list, Offset(50));
        list.notify(Offset(1));
        let mut second = Wait::new();
        second.watch(&list, Offset(20));
        drop(first);
        assert_eq!(list.len(), 2);
        list.notify(Offset(20));
        assert!(second.has_fired() && !keeper.has_fired());
    }

    #[test]
    fn a_reset_wait_forgets_what_woke_it() {
        let list = Arc::new(WaitList::default());
        let mut wait = Wait::new();
        wait.watch(&list, Offset(1));
        list.notify(Offset(1));
        assert!(wait.has_fired());
        wait.reset();
        assert!(!wait.has_fired());
        wait.watch(&list, Offset(2));
        list.notify(Offset(2));
        assert!(wait.has_fired());
    }

    #[test]
    fn purgatory_admits_up_to_its_bound_and_takes_back_what_was_given() {
        let purgatory = Arc::new(Purgatory::new(10));
        let held = purgatory.admit(8).unwrap();
        assert!(purgatory.admit(3).is_none());
        let rest = purgatory.admit(2).unwrap();
        drop(held);
        assert_eq!(purgatory.watches(), 2);
        drop(rest);
        assert_eq!(purgatory.watches(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_at_its_deadline_when_nothing_comes() {
        let list = Arc::new(WaitList::default());
        let mut wait = Wait::new();
        wait.watch(&list, Offset(1));
        let deadline = Instant::now() + Duration::from_millis(500);
        assert_eq!(wait.until(deadline).await, WaitEnd::DeadlinePassed);
        assert_eq!(Instant::now(), deadline);
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        for _ in 0..200 {
            let list = Arc::new(WaitList::default());
            let hw = Arc::new(AtomicI64::new(0));
            let writer = std::thread::spawn({
                let (list, hw) = (Arc::clone(&list), Arc::clone(&hw));
                move || {
                    for offset in 1..=50 {
                        hw.store(offset, Ordering::SeqCst);
                        list.notify(Offset(offset));
                    }
                }
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut wait = Wait::new();
                loop {
                    wait.reset();
                    let seen = hw.load(Ordering::SeqCst);
                    if seen == 50 {
                        break;
                    }
                    wait.watch(&list, Offset(seen + 1));
                    if hw.load(Ordering::SeqCst) == seen {
                        wait.woken().await;
                    }
                }
            });
            writer.join().unwrap();
        }
    }
}
