//! Histories of coordinators and their clients, each drawn from a seed.
//!
//! `OTTLA_SIM_SEED=n` runs one history and tells of it; `OTTLA_SIM_SEEDS=n` runs so many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ottla_sim::{Broken, run};

const SEEDS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

fn fail(seed: u64, broken: &Broken) -> ! {
    panic!("seed {seed}: {}: {}\nrun it alone: OTTLA_SIM_SEED={seed} cargo test -p ottla-sim", broken.invariant, broken.what)
}

#[test]
fn in_every_history_all_invariants_hold() {
    if let Some(seed) = number("OTTLA_SIM_SEED") {
        match run(seed, true) {
            Ok(events) => println!("seed {seed} holds: {events} events"),
            Err(broken) => fail(seed, &broken),
        }
        return;
    }
    let seeds = number("OTTLA_SIM_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut events = 0;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || failed.load(Ordering::Relaxed) {
                return Ok(events);
            }
            match std::panic::catch_unwind(|| run(seed, false)) {
                Ok(Ok(more)) => events += more,
                Ok(Err(broken)) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err((seed, broken));
                }
                Err(panic) => {
                    eprintln!("seed {seed} panics: OTTLA_SIM_SEED={seed} cargo test -p ottla-sim");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    };
    let results: Vec<Result<usize, (u64, Broken)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let first = results.iter().filter_map(|result| result.as_ref().err()).min_by_key(|(seed, _)| *seed);
    if let Some((seed, broken)) = first {
        fail(*seed, broken);
    }
    println!("{seeds} histories, {} events", results.into_iter().flatten().sum::<usize>());
}

#[test]
fn a_seed_gives_the_same_history_again() {
    assert_eq!(run(7, false), run(7, false));
}
