//! `cargo xtask tidy`: what no compiler checks and reviewers forget.
//!
//! Each check gives its findings as lines that say where and what; none mends anything.

mod crates;
mod docs;
mod sources;

use std::fs;

use crate::run;
use crate::summary::Summary;

/// Findings, one a line, each beginning with the place.
type Findings = Vec<String>;

/// `cargo xtask tidy` by itself.
pub fn run_alone() -> bool {
    let mut summary = Summary::default();
    summary.stage("tidy", || check().into());
    summary.print()
}

/// Runs all checks; prints what they find.
pub fn check() -> Result<(), String> {
    let tree = Tree::read()?;
    let mut findings = crates::check()?;
    findings.extend(sources::check(&tree));
    findings.extend(docs::check(&tree));
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} findings", findings.len())) }
}

/// The text files that git knows or would take, with their contents: what a clone of the next commit holds.
pub struct Tree {
    files: Vec<(String, String)>,
}

impl Tree {
    fn read() -> Result<Self, String> {
        let listed = run::captured(run::program("git", &["ls-files", "--cached", "--others", "--exclude-standard"]))?;
        let read = |path: &str| Some((path.to_owned(), fs::read_to_string(run::root().join(path)).ok()?));
        Ok(Tree { files: listed.lines().filter_map(read).collect() })
    }

    /// Those whose path ends so.
    fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.iter().filter(move |(path, _)| path.ends_with(end)).map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str())
    }

    /// A file or folder of that path exists, tracked or not.
    fn exists(path: &str) -> bool {
        run::root().join(path).exists()
    }
}
