//! `cargo xtask test`: the stages, in order of how soon they can tell that something is wrong.
//!
//! A failed stage does not keep the later ones from running, but for the build: no test runs on what is not built.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;
use crate::summary::{Outcome, Summary};
use crate::{chaos, golden, loop_disks, tidy, tools};

/// How much to check.
#[derive(Clone, Copy, PartialEq)]
pub enum Scope {
    /// Everything, other languages' clients included.
    Everything,
    /// What needs nothing but Rust.
    Quick,
}

/// Runs all stages of that scope; true when none failed.
pub fn run(scope: Scope) -> bool {
    let mut summary = Summary::default();
    summary.stage("format", || run::shown(run::cargo(&["fmt", "--all", "--check"])).into());
    summary.stage("tidy", || tidy::check().into());
    summary
        .stage("lints", || run::shown(run::cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])).into());
    if scope == Scope::Everything {
        licences_and_advisories(&mut summary);
    }
    // Built whole before any test, so that the tests of the whole find the binary. Without it they would test an old one.
    let built = summary.stage("build", || run::shown(run::cargo(&["build", "--quiet", "--workspace", "--all-targets"])).into());
    if built {
        summary.stage("rust tests", || run::shown(run::cargo_test(&["--workspace"])).into());
    }
    if built && scope == Scope::Everything {
        summary.stage("chaos", || chaos::stage(chaos::KILLS));
        summary.stage("chaos with transactions", || chaos::stage(chaos::TRANSACTIONS));
        summary.stage("power loss", || on_loop_devices(|| chaos::stage(chaos::POWER)));
        summary.stage("disks", || on_loop_devices(|| run::shown(interop_tests(&["disks"])).into()));
        other_languages(&mut summary);
    }
    summary.print()
}

/// The crates whose tests hold a generated page to the table that it is made of.
const CRATES_WITH_PAGES: [&str; 2] = ["ottla-model", "ottla-broker"];

/// `cargo xtask docs`: those tests write the pages instead of comparing them.
pub fn regenerate_docs() -> bool {
    let mut summary = Summary::default();
    for package in CRATES_WITH_PAGES {
        summary.stage(package, || {
            let mut command = run::cargo(&["test", "--quiet", "--package", package, "--lib", "--tests"]);
            command.env("OTTLA_UPDATE_DOCS", "1");
            run::shown(command).into()
        });
    }
    summary.print()
}

fn licences_and_advisories(summary: &mut Summary) {
    let deny = tools::cargo_deny();
    summary.stage("licences", || match &deny {
        Ok(deny) => {
            let checks = ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
            // The second is a project of its own, which ships in nothing.
            let projects: [&[&str]; 2] = [&["--workspace"], &["--manifest-path", "tests/rdkafka/Cargo.toml", "--config", "deny.toml"]];
            projects.iter().try_for_each(|project| run::shown(run::program(deny, &[project, &checks[..]].concat()))).into()
        }
        Err(why) => missing(why),
    });
    summary.stage("advisories", || match &deny {
        Ok(deny) => advisories(deny),
        Err(why) => missing(why),
    });
}

/// The advisory database is a repository that closed networks do not reach. Not reaching it says nothing about this
/// project, so it is a skip even under CI: the one check that may be missing there.
fn advisories(deny: &PathBuf) -> Outcome {
    if let Err(why) = run::captured(run::program(deny, &["fetch", "db"])) {
        let last_line = why.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
        return Outcome::Skipped(format!("the advisory database cannot be reached ({last_line})"));
    }
    run::shown(run::program(deny, &["--workspace", "check", "advisories"])).into()
}

fn other_languages(summary: &mut Summary) {
    let java = tools::java();
    let kafka_libs = java.clone().and_then(|()| tools::kafka_libs());
    let go = tools::go();
    summary.stage("golden bytes", || match &java {
        Ok(()) => golden::check().into(),
        Err(why) => missing(why),
    });
    summary.stage("kafka clients", || match &kafka_libs {
        Ok(libs) => {
            let mut command = interop_tests(&["kafka_tools", "java_clients", "groups", "group_tools", "dump_log", "retention"]);
            command.env("OTTLA_KAFKA_LIBS", libs);
            run::shown(command).into()
        }
        Err(why) => missing(why),
    });
    summary.stage("java applications", || match &kafka_libs {
        Ok(libs) => java_applications(libs).into(),
        Err(why) => missing(why),
    });
    summary.stage("librdkafka", || match tools::rdkafka_clients() {
        Ok(program) => {
            let mut command = interop_tests(&["rdkafka"]);
            command.env("OTTLA_RDKAFKA_CLIENTS", program);
            run::shown(command).into()
        }
        Err(tools::Lack::Tool(why)) => missing(&why),
        Err(tools::Lack::Build(why)) => Outcome::Failed(why),
    });
    summary.stage("franz-go", || match &go {
        Ok(()) => run::shown(interop_tests(&["franz_go"])).into(),
        Err(why) => missing(why),
    });
    summary.stage("sarama", || match &go {
        Ok(()) => run::shown(interop_tests(&["sarama"])).into(),
        Err(why) => missing(why),
    });
}

/// Transactions of Java's clients, and Kafka Streams.
fn java_applications(kafka_libs: &Path) -> Result<(), String> {
    run::shown(run::program("mvn", &["-q", "-B", "-f", "tests/java/apps/pom.xml", "package"]))?;
    let mut command = interop_tests(&["java_transactions"]);
    command.env("OTTLA_KAFKA_LIBS", kafka_libs);
    run::shown(command)
}

/// What works on real file systems of its own: on loop devices, which take root, and a machine that has them.
fn on_loop_devices(stage: impl FnOnce() -> Outcome) -> Outcome {
    match loop_disks::probe() {
        Ok(()) => stage(),
        Err(loop_disks::Lack::Tool(why)) => missing(&why),
        // No tool helps there, and CI does not either.
        Err(loop_disks::Lack::Devices(why)) => Outcome::Skipped(why),
    }
}

/// The tests of the whole that need another language or root are marked ignored, so that a plain `cargo test` says that it
/// did not run them.
fn interop_tests(files: &[&str]) -> Command {
    let mut arguments = vec!["--package", "ottla-e2e"];
    for file in files {
        arguments.extend(["--test", file]);
    }
    arguments.extend(["--", "--ignored"]);
    run::cargo_test(&arguments)
}

/// A tool that cannot be had: CI exists to run everything, a developer's machine may be without.
fn missing(why: &str) -> Outcome {
    if std::env::var("CI").is_ok_and(|ci| ci == "true") { Outcome::Failed(why.to_owned()) } else { Outcome::Skipped(why.to_owned()) }
}
