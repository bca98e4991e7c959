//! The Rust files: how each opens, how long it is, what is left undone in it.

use super::{Findings, Tree};

/// Beyond this many lines a file has a reason here, or is split.
const LINES_MAX: usize = 800;

/// Long files, each with why it is better whole.
const LONG_FILES: &[(&str, &str)] = &[];

/// Marks of unfinished work, put together here so that this file does not hold them.
const UNDONE: &[&str] = &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("TO", "DO")];

pub fn check(tree: &Tree) -> Findings {
    let mut findings = Findings::new();
    for (path, text) in tree.ending(".rs") {
        if is_shipped_source(path) || path.starts_with("xtask/src/") {
            if !path.ends_with("tests.rs") {
                findings.extend(opening(path, text));
            }
            findings.extend(length(path, text));
        }
        findings.extend(undone(path, text));
    }
    for (path, _) in LONG_FILES {
        if tree.text(path).is_none_or(|text| text.lines().count() <= LINES_MAX) {
            findings.push(format!("{path}: is on the list of long files and need not be"));
        }
    }
    findings
}

fn is_shipped_source(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/")
}

/// A module says first what it owns and what it never does.
fn opening(path: &str, text: &str) -> Option<String> {
    (!text.starts_with("//!")).then(|| format!("{path}:1: does not open with `//!`: what it owns, what it never does"))
}

fn length(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let explained = LONG_FILES.iter().any(|(known, _)| *known == path);
    (lines > LINES_MAX && !explained)
        .then(|| format!("{path}: {lines} lines; split it by concept, or say in xtask/src/tidy/sources.rs why not"))
}

fn undone(path: &str, text: &str) -> Findings {
    let marks = |line: &str| UNDONE.iter().find(|mark| line.contains(**mark)).copied();
    text.lines().enumerate().filter_map(|(index, line)| Some(format!("{path}:{}: left undone: {}", index + 1, marks(line)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        let text = format!("//! A module.\nfn later() {{ {}) }}\n", UNDONE[0]);
        assert_eq!(undone("crates/x/src/a.rs", &text), [format!("crates/x/src/a.rs:2: left undone: {}", UNDONE[0])]);
    }

    #[test]
    fn a_file_past_the_limit_is_found() {
        assert!(length("crates/x/src/a.rs", &"\n".repeat(LINES_MAX)).is_none());
        assert!(length("crates/x/src/a.rs", &"\n".repeat(LINES_MAX + 1)).is_some());
    }
}
