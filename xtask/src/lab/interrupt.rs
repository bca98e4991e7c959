//! Ctrl-C and SIGTERM: all children are killed, so that whoever waits for one goes on, finds that it is over, and undoes
//! on its way out what it has made.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::process::Child;

const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

#[derive(Default)]
struct State {
    interrupted: Mutex<bool>,
    woken: Condvar,
    children: Mutex<Vec<Weak<Child>>>,
}

fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(State::default)
}

/// A lock whose holder panicked holds plain data that is still whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the signals over from here on. To be called once, before there is another thread, and behind what is started
/// by [`crate::run`]: only [`super::process`] gives children the signals back.
pub fn watch() {
    // SAFETY: the set is made by the first call before any other reads it.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in SIGNALS {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    std::thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: the set is whole, and the number is written to a place of this thread.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } == 0 {
            if std::mem::replace(&mut *lock(&state().interrupted), true) {
                // Asked twice: what is mounted and running ends with this process.
                std::process::exit(128 + signal);
            }
            eprintln!("interrupted: undoing what was set up");
            state().woken.notify_all();
            for child in lock(&state().children).drain(..).filter_map(|child| child.upgrade()) {
                child.signal(libc::SIGKILL);
            }
        }
    });
}

/// An error once it is over.
pub fn check() -> Result<(), String> {
    if *lock(&state().interrupted) { Err("interrupted".to_owned()) } else { Ok(()) }
}

/// Lets so much time pass; an error as soon as it is over.
pub fn pause(time: Duration) -> Result<(), String> {
    let until = Instant::now() + time;
    let mut interrupted = lock(&state().interrupted);
    loop {
        if *interrupted {
            return Err("interrupted".to_owned());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        interrupted = state().woken.wait_timeout(interrupted, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Has the child killed when it is over.
pub(super) fn register(child: &Arc<Child>) {
    let mut children = lock(&state().children);
    children.retain(|child| child.strong_count() > 0);
    children.push(Arc::downgrade(child));
}
