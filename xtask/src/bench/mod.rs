//! `cargo xtask bench`: Ottla beside Kafka from Maven Central on the same work, in one run, by `ottla perf`; and beside a
//! bare server that does the least that the work needs.
//!
//! Systems take turns within a round, in an order that is turned round each time. Never judges: it prints a table.

mod rows;
mod runner;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::lab::node::System;
use crate::lab::{Folder, interrupt, raise_open_files, touch_memory};
use crate::{run, tools};
use rows::{ROWS, Row};
use runner::Runner;

const USAGE: &str = "\
Benchmarks: Ottla beside Kafka and beside a bare server, on this machine, in one run.

Usage: cargo xtask bench [ROW...] [OPTIONS]

  --rounds N       how often each row is done by each system [default: 5]
  --ottla PATH     the binary [default: a release build of this project]
  --no-kafka       Ottla alone
  --dir PATH       where data lies; not a file system in memory [default: the build folder]

Needs a JDK of 17 and Maven, but for --no-kafka; root for the row `cold`, which empties the page cache.
All rows take half an hour and more on two cores, and 20 GiB of disk. docs/performance.md explains them:
";

/// The row `cold` puts the page cache back to nothing by this.
pub const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

struct Options {
    rows: Vec<&'static Row>,
    rounds: usize,
    ottla: Option<PathBuf>,
    with_kafka: bool,
    dir: PathBuf,
}

/// The task, with its arguments.
pub fn main(words: &[&str]) -> ExitCode {
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    if words.contains(&"--help") || words.contains(&"-h") {
        println!("{USAGE}  {}", names.join(" "));
        return ExitCode::SUCCESS;
    }
    let options = match parse(words) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}  {}", names.join(" "));
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options { rows: Vec::new(), rounds: 5, ottla: None, with_kafka: true, dir: run::target_dir() };
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` wants a value"));
        match word {
            "--no-kafka" => options.with_kafka = false,
            "--ottla" => options.ottla = Some(PathBuf::from(value()?)),
            "--dir" => options.dir = PathBuf::from(value()?),
            "--rounds" => {
                let value = value()?;
                options.rounds =
                    value.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`--rounds {value}` is not a number from 1 on"))?;
            }
            name => match ROWS.iter().find(|row| row.name == name) {
                Some(row) => options.rows.push(row),
                None => return Err(format!("there is no row `{name}`")),
            },
        }
    }
    // In the order of the list, whatever the order they were asked for in: the nodes that rows share go before the last ones.
    let asked: Vec<&str> = options.rows.iter().map(|row| row.name).collect();
    options.rows = ROWS.iter().filter(|row| asked.is_empty() || asked.contains(&row.name)).collect();
    Ok(options)
}

fn measure(options: &Options) -> Result<(), String> {
    raise_open_files();
    let ottla = match &options.ottla {
        Some(path) => path.canonicalize().map_err(|error| format!("cannot find {}: {error}", path.display()))?,
        None => {
            run::shown(run::cargo(&["build", "--quiet", "--package", "ottla", "--release"]))?;
            run::target_dir().join("release/ottla")
        }
    };
    let mut systems = vec![System::Ottla(ottla.clone())];
    if options.with_kafka {
        tools::java()?;
        systems.push(System::Kafka(tools::kafka_libs()?));
    }
    println!("{}\n\n{}", machine(options.rounds), stats::HEAD);
    touch_memory();
    interrupt::watch();
    let folder = Folder::make(&options.dir, "bench")?;
    let mut runner = Runner::new(&ottla, folder.path(), systems, options.rounds);
    for row in &options.rows {
        runner.row(row).map_err(|why| format!("row {}: {why}", row.name))?;
    }
    for (row, why) in runner.skipped() {
        println!("\nskipped: {row}, because {why}");
    }
    Ok(())
}

/// What the figures were taken on.
fn machine(rounds: usize) -> String {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu_info = text("/proc/cpuinfo");
    let model =
        cpu_info.lines().find_map(|line| line.strip_prefix("model name")).map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = text("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<f64>().ok());
    let gib = kib.unwrap_or_default() / f64::from(1 << 20);
    let kernel = text("/proc/sys/kernel/osrelease");
    let commit = run::captured(run::program("git", &["rev-parse", "--short=9", "HEAD"])).unwrap_or_default();
    format!(
        "{cores} cores ({model}), {gib:.0} GiB, Linux {}; Ottla {}, Kafka {}; {rounds} rounds",
        kernel.trim(),
        commit.trim(),
        tools::KAFKA_VERSION
    )
}

/// Why the page cache cannot be emptied, if so.
pub fn check_drop_caches() -> Result<(), String> {
    if crate::lab::is_root() && std::path::Path::new(DROP_CACHES).exists() {
        Ok(())
    } else {
        Err("emptying the page cache needs root".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_and_all_where_none_is() {
        let chosen = parse(&["density", "--rounds", "3", "lz4", "--no-kafka"]).unwrap();
        assert_eq!(chosen.rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["lz4", "density"]);
        assert!(chosen.rounds == 3 && !chosen.with_kafka);
        assert_eq!(parse(&[]).unwrap().rows.len(), ROWS.len());
        assert!(parse(&["--rounds", "0"]).is_err() && parse(&["fly"]).is_err() && parse(&["--dir"]).is_err());
    }
}
