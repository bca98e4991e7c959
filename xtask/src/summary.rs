//! What each stage came to, and the closing lines that say so.

use std::time::{Duration, Instant};

/// How a stage ended.
pub enum Outcome {
    /// It ran and found nothing wrong.
    Passed,
    /// It ran and found something, or could not run where it must.
    Failed(String),
    /// It did not run, for this reason.
    Skipped(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Outcome::Passed,
            Err(why) => Outcome::Failed(why),
        }
    }
}

struct Stage {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// The stages so far, in the order they ran.
#[derive(Default)]
pub struct Summary {
    stages: Vec<Stage>,
}

impl Summary {
    /// Runs one stage under a heading; true unless it failed.
    pub fn stage(&mut self, name: &'static str, work: impl FnOnce() -> Outcome) -> bool {
        println!("\n== {name}");
        let started = Instant::now();
        let outcome = work();
        match &outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => println!("failed: {why}"),
            Outcome::Skipped(why) => println!("skipped: {why}"),
        }
        let did_not_fail = !matches!(outcome, Outcome::Failed(_));
        self.stages.push(Stage { name, outcome, took: started.elapsed() });
        did_not_fail
    }

    /// Prints a line for each stage, the reasons of those that did not pass, and the counts alone on the last line.
    /// True when no stage failed.
    pub fn print(&self) -> bool {
        println!("\n== summary");
        for stage in &self.stages {
            let word = match stage.outcome {
                Outcome::Passed => "passed",
                Outcome::Failed(_) => "FAILED",
                Outcome::Skipped(_) => "skipped",
            };
            println!("{:<18} {word:<8} {:>7.1} s", stage.name, stage.took.as_secs_f64());
        }
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for stage in &self.stages {
            match &stage.outcome {
                Outcome::Passed => passed += 1,
                Outcome::Failed(why) => {
                    failed += 1;
                    println!("failed: {} because {why}", stage.name);
                }
                Outcome::Skipped(why) => {
                    skipped += 1;
                    println!("skipped: {} because {why}", stage.name);
                }
            }
        }
        if skipped == 0 {
            println!("{passed} passed, {failed} failed");
        } else {
            println!("{passed} passed, {failed} failed, {skipped} skipped");
        }
        failed == 0
    }
}
