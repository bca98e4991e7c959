//! `cargo xtask chaos`: a node under a ledger of acknowledgements is killed, killed while it recovers, stopped, and loses
//! its power; after each blow every record that was acknowledged is read back.
//!
//! The load goes on through all of it: `ottla perf ledger` sends each record again until it is acknowledged, and writes that
//! down; `ottla perf audit` holds the topic against it. Two ledgers run, one of plain producers and one of idempotent
//! ones, of which nothing may be there twice. A topic is made before each blow, and must be there after it.
//! With transactions ([`histories`]) clients are killed as well, and `ottla perf history-check` reads both topics.
//! Never judges by itself what is lost: the audit and the check do.

mod histories;
mod host;
mod options;
mod plan;
mod victim;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::lab::{Folder, disk, interrupt};
use crate::summary::Outcome;
use crate::{loop_disks, run};
pub use options::{KILLS, POWER, TRANSACTIONS};
use options::{Options, Workload};
use plan::Round;
use victim::{Audited, Victim};

const USAGE: &str = "\
Chaos: a node is killed, stopped and loses its power under load; nothing that it acknowledged may be lost.

Usage: cargo xtask chaos [OPTIONS]

  --workload WHAT       records: plain and idempotent producers, audited after each blow; transactions: clients that
                        write transactions and move them on are killed as well, and each round is a whole history
                        of several blows, checked at its end [default: records]
  --rounds N            how many blows, or histories [default: 20]
  --seed S              the plan's seed [default: from the clock; it is printed]
  --short               a kill, a kill in recovery and, as root, a loss of power, or one history, with the debug build
  --ottla PATH          the binary [default: a release build of this project]
  --dir PATH            where the node's data lies [default: the system's temporary folder]
  --config NAME=VALUE   a config of the topics; may be repeated. With write.caching=true a loss of power loses
                        records, and the audit says so

Loss of power needs root, for a file system on a loop device; without it there are only kills and stops.
Exit codes: 0 nothing lost, 1 something lost or gone wrong, 2 not understood.
";

/// The task, with its arguments.
pub fn main(words: &[&str]) -> ExitCode {
    if words.contains(&"--help") || words.contains(&"-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(words) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match prepared(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The stages of `cargo xtask test`, behind the one that builds: [`KILLS`], [`POWER`] or [`TRANSACTIONS`]. A process of its own, so that its mounts and signals are
/// its own too.
pub fn stage(kinds: &str) -> Outcome {
    // Not by its path: a stage before this one may have built it anew, and what runs here is then nowhere else.
    let own = "/proc/self/exe";
    // Named, since a build of this package alone may choose other features, and build it all anew.
    let binary = run::target_dir().join("debug/ottla").display().to_string();
    let what = if kinds == TRANSACTIONS { ["--workload", kinds] } else { ["--only", kinds] };
    run::shown(run::program(own, &[&["chaos", "--short", "--ottla", &binary], &what[..]].concat())).into()
}

fn prepared(options: Options) -> Result<(), String> {
    let possible = loop_disks::probe().map_err(|lack| lack.to_string()).and_then(|()| disk::own_mounts());
    let with_disk = possible.is_ok();
    if let Err(why) = &possible {
        println!("no loss of power: {why}");
    }
    let rounds = options.plan(with_disk);
    if rounds.is_empty() {
        return Err(format!("nothing of this can be done here: {}", possible.err().unwrap_or_default()));
    }
    let binary = match &options.ottla {
        Some(path) => path.clone(),
        None => built(options.is_short)?,
    };
    interrupt::watch();
    let mut folder = Folder::make(&options.dir, "chaos")?;
    println!("seed {}: {} rounds, in {}", options.seed, options.count(&rounds), folder.path().display());
    let result = match options.workload {
        Workload::Records => go_through(&binary, folder.path(), &options, &rounds, with_disk),
        Workload::Transactions => histories::go_through(&binary, folder.path(), &options, with_disk),
    };
    if result.is_err() && interrupt::check().is_ok() {
        folder.keep();
        eprintln!("kept: {} (the logs, the ledgers or histories, and the data, or the disk's image disk.ext4)", folder.path().display());
        eprintln!("to go through the same again: {}", options.line());
    }
    result
}

/// The binary: what `cargo xtask test` has built, or a release build.
fn built(is_short: bool) -> Result<PathBuf, String> {
    let (arguments, profile): (&[&str], _) = if is_short {
        (&["build", "--quiet", "--package", "ottla"], "debug")
    } else {
        (&["build", "--quiet", "--package", "ottla", "--release"], "release")
    };
    run::shown(run::cargo(arguments))?;
    Ok(run::target_dir().join(profile).join("ottla"))
}

fn go_through(binary: &Path, folder: &Path, options: &Options, rounds: &[Round], with_disk: bool) -> Result<(), String> {
    let mut victim = Victim::start(binary, folder, &options.configs, with_disk)?;
    println!(
        "\n{:>5}  {:<22} {:>9} {:>12} {:>12} {:>6} {:>8} {:>13}",
        "round", "what", "load s", "ready s", "acknowledged", "lost", "changed", "out of order"
    );
    let mut sum = Audited::default();
    let mut unsound = Vec::new();
    for (index, round) in rounds.iter().enumerate() {
        let number = index + 1;
        victim.load(round.load)?;
        victim.make_topic(number)?;
        let ready = victim.blow(round).map_err(|why| format!("round {number}, {}: {why}", round.kind))?;
        victim.topics_are_there(number).map_err(|why| format!("round {number}, {}: {why}", round.kind))?;
        sum = victim.audit()?;
        let Audited { acknowledged, lost, changed, out_of_order, .. } = sum;
        let (load, ready) = (round.load.as_secs_f64(), ready.as_secs_f64());
        println!("{number:>5}  {:<22} {load:>9.2} {ready:>12.3} {acknowledged:>12} {lost:>6} {changed:>8} {out_of_order:>13}", round.kind);
        if !sum.is_sound() {
            unsound.push(format!("round {number}, {}: {}", round.kind, sum.findings.join("; ")));
            break;
        }
    }
    if unsound.is_empty() {
        sum = victim.end_of_load()?;
        if !sum.is_sound() {
            unsound.push(format!("at the end: {}", sum.findings.join("; ")));
        }
    }
    println!(
        "\n{} acknowledged: {} lost, {} changed, {} out of order, {} twice that may not be; {} of plain producers there twice",
        sum.acknowledged, sum.lost, sum.changed, sum.out_of_order, sum.twice, sum.copies
    );
    if unsound.is_empty() { Ok(()) } else { Err(unsound.join("\n")) }
}
