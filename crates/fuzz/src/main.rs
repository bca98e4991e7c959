//! Fuzzes one target for as long as wanted, without any tool but cargo.
//!
//! ```text
//! cargo run -p ottla-fuzz --release -- TARGET [--seconds N] [--seed N]
//! cargo run -p ottla-fuzz --release -- TARGET --input FILE
//! cargo run -p ottla-fuzz -- list
//! cargo run -p ottla-fuzz -- seed
//! ```
//!
//! `seed` writes the small ones of the seeds into `corpus/`, so that a change to what makes them loses none.

use std::process::ExitCode;
use std::time::Duration;

use ottla_fuzz::run::{Until, run};
use ottla_fuzz::{TARGETS, Target, corpus, target};

const USAGE: &str = "usage: ottla-fuzz TARGET [--seconds N] [--seed N] | TARGET --input FILE | list | seed";
/// Larger seeds are made when they are needed, and not kept.
const SEED_BYTES_MAX: usize = 1200;
/// Seeds that are kept for each target: the others are versions and cases of the same.
const SEEDS_KEPT_MAX: usize = 24;

fn main() -> ExitCode {
    match command(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn command(args: &[String]) -> Result<(), String> {
    let (first, options) = args.split_first().ok_or(USAGE)?;
    match first.as_str() {
        "list" => TARGETS.iter().for_each(|target| println!("{}", target.name)),
        "seed" => TARGETS.iter().try_for_each(write_seeds)?,
        name => {
            let target = target(name).ok_or_else(|| format!("there is no target {name}; `list` names them\n{USAGE}"))?;
            fuzz(target, options)?;
        }
    }
    Ok(())
}

fn fuzz(target: &Target, options: &[String]) -> Result<(), String> {
    let (mut seconds, mut seed) = (60, 1);
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(USAGE.to_owned()) };
        let number = || value.parse::<u64>().map_err(|e| format!("{name} {value}: {e}"));
        match name.as_str() {
            "--seconds" => seconds = number()?,
            "--seed" => seed = number()?,
            "--input" => {
                let input = std::fs::read(value).map_err(|e| format!("{value}: {e}"))?;
                (target.run)(&input);
                return Ok(());
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    let inputs = run(target, seed, Until::Elapsed(Duration::from_secs(seconds)));
    println!("{}: {inputs} inputs, all borne", target.name);
    Ok(())
}

fn write_seeds(target: &Target) -> Result<(), String> {
    let folder = corpus::folder(target);
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let seeds: Vec<_> = (target.seeds)().into_iter().filter(|(_, bytes)| (1..=SEED_BYTES_MAX).contains(&bytes.len())).collect();
    let step = seeds.len().div_ceil(SEEDS_KEPT_MAX).max(1);
    for (name, bytes) in seeds.iter().step_by(step) {
        std::fs::write(folder.join(name), bytes).map_err(failed)?;
    }
    Ok(())
}
