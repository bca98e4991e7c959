//! Developer tasks, run as `cargo xtask TASK`.
//!
//! Owns the order in which the project is checked, and the tools those checks need. Never holds a test of its own:
//! what is tested lives in the crates, and this only runs it.

mod bench;
mod chaos;
mod golden;
mod lab;
mod loop_disks;
mod run;
mod summary;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
Developer tasks.

Usage: cargo xtask TASK

Tasks:
  test            check everything: format, tidy, lints, licences, Rust tests, Kafka's and Go's clients
  test --quick    the part that needs nothing but Rust
  tidy            hold the crates to their direction of dependency, and the docs to the code
  docs            write docs/protocol.md, docs/configuration.md and docs/metrics.md anew from the tables they are made of
  chaos           kill a node, stop it and cut its power under load, and read back all it acknowledged
  bench           measure Ottla beside Kafka and beside a bare server
  tools           install what `test` needs (JDK 17, Maven, Go, cargo-deny) and fetch Kafka's own tools

`cargo xtask chaos --help` and `cargo xtask bench --help` have their options. With CI=true a tool that cannot be had fails the run; elsewhere it is a skip, named at the end.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let passed = match words.as_slice() {
        ["test"] => test::run(test::Scope::Everything),
        ["test", "--quick"] => test::run(test::Scope::Quick),
        ["tidy"] => tidy::run_alone(),
        ["docs"] => test::regenerate_docs(),
        ["tools"] => tools::prepare_all(),
        ["bench", rest @ ..] => return bench::main(rest),
        ["chaos", rest @ ..] => return chaos::main(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            true
        }
        other => {
            eprintln!("cargo xtask has no task `{}`.\n\n{USAGE}", other.join(" "));
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
