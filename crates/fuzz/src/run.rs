//! Runs a target: over inputs that are known, then over mutations of them. A failure names the input, and where it was put.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Target;
use crate::corpus::{self, Named};
use crate::mutate::{Random, mutated};

/// No input takes as long as this, however busy the machine is: one that does is in an endless loop.
const INPUT_TIME_MAX: Duration = Duration::from_secs(120);

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many mutations.
    Mutations(u64),
    /// After this time.
    Elapsed(Duration),
}

/// Runs all that is known of the target, and then mutations of it that follow from `seed`. Gives how many inputs it took.
///
/// # Panics
/// When what must hold does not; the message names a file with the input.
pub fn run(target: &Target, seed: u64, until: Until) -> u64 {
    let known = corpus::all(target).unwrap_or_else(|e| panic!("{}: {e}", corpus::folder(target).display()));
    let began = Instant::now();
    let current = Mutex::new(Vec::new());
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (ended, watched) = mpsc::channel::<()>();
        scope.spawn(|| watch(target, watched, &current, &done));
        // Dropped at the end of this closure, however it comes to it: then the watch is over.
        let _ended = ended;
        let take = |name: &str, input: &[u8]| {
            input.clone_into(&mut current.lock().unwrap_or_else(PoisonError::into_inner));
            if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
                panic!("target {} fails on {name}; the input is in {}", target.name, kept(target, input).display());
            }
            done.fetch_add(1, Ordering::Relaxed);
        };
        known.iter().for_each(|(name, input)| take(name, input));
        let inputs: Vec<Vec<u8>> = known.into_iter().map(|(_, input): Named| input).collect();
        let mut random = Random::new(seed);
        for number in 0.. {
            match until {
                Until::Mutations(count) if number >= count => break,
                Until::Elapsed(time) if began.elapsed() >= time => break,
                _ => take(&format!("mutation {number} of seed {seed}"), &mutated(&inputs, target.words, &mut random)),
            }
        }
    });
    done.into_inner()
}

/// Ends the process when one input takes for ever: a thread cannot be stopped from outside.
#[expect(clippy::needless_pass_by_value, reason = "a receiver is used by one thread only")]
fn watch(target: &Target, ended: mpsc::Receiver<()>, current: &Mutex<Vec<u8>>, done: &AtomicU64) {
    let mut seen = u64::MAX;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(INPUT_TIME_MAX) {
        let now = done.load(Ordering::Relaxed);
        if now == seen {
            let input = current.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("target {} comes to no end; the input is in {}", target.name, kept(target, &input).display());
            std::process::abort();
        }
        seen = now;
    }
}

/// Puts an input that fails where it can be found.
fn kept(target: &Target, input: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ottla-fuzz-{}-{:08x}", target.name, crc32c::crc32c(input)));
    if let Err(error) = std::fs::write(&path, input) {
        eprintln!("{}: {error}; the input is {input:02x?}", path.display());
    }
    path
}
