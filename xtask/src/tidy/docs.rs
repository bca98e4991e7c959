//! The pages: links that lead somewhere, decisions that are listed, commands that exist.

use super::{Findings, Tree};

/// Pages that must be there. Those under docs/ that are generated are held to their tables by tests of the crates.
const PAGES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/adr/README.md",
    "docs/protocol.md",
    "docs/configuration.md",
    "docs/metrics.md",
    "docs/durability.md",
    "docs/performance.md",
];

/// Every `cargo xtask ...` that a page may tell its reader to run.
const TASKS: &[&str] = &[
    "cargo xtask test",
    "cargo xtask test --quick",
    "cargo xtask bench",
    "cargo xtask chaos",
    "cargo xtask tidy",
    "cargo xtask docs",
    "cargo xtask tools",
    "cargo xtask help",
];

pub fn check(tree: &Tree) -> Findings {
    let mut findings: Findings = PAGES.iter().filter(|page| !Tree::exists(page)).map(|page| format!("{page}: is missing")).collect();
    for (path, text) in tree.ending(".md") {
        findings.extend(broken_links(tree, path, text));
        findings.extend(unknown_tasks(path, text));
        findings.extend(unknown_sources(path, text));
    }
    findings.extend(unlisted_decisions(tree));
    findings
}

fn unlisted_decisions(tree: &Tree) -> Findings {
    let index = tree.text("docs/adr/README.md").unwrap_or_default();
    let mut findings = Findings::new();
    let mut numbers: Vec<&str> = Vec::new();
    for (path, _) in tree.ending(".md").filter(|(path, _)| path.starts_with("docs/adr/") && !path.ends_with("README.md")) {
        let name = path.trim_start_matches("docs/adr/");
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 3 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            findings.push(format!("{path}: is not named NNN-title.md"));
        } else if numbers.contains(&number) {
            findings.push(format!("{path}: its number is taken"));
        }
        numbers.push(number);
        if !index.contains(&format!("({name})")) {
            findings.push(format!("{path}: is not listed in docs/adr/README.md"));
        }
    }
    findings
}

fn broken_links(tree: &Tree, page: &str, text: &str) -> Findings {
    let mut findings = Findings::new();
    for (line_number, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
        let path = if file.is_empty() { page.to_owned() } else { beside(page, file) };
        if !Tree::exists(&path) {
            findings.push(format!("{page}:{line_number}: links to {path}, which is not there"));
        } else if let (Some(anchor), Some(linked)) = (anchor, tree.text(&path))
            && path.ends_with(".md")
            && !headings(linked).any(|heading| heading == anchor)
        {
            findings.push(format!("{page}:{line_number}: links to #{anchor}, a heading that {path} has not"));
        }
    }
    findings
}

/// The targets of inline links, with their line numbers; code blocks hold none.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let mut rest = line;
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            let Some(end) = rest.find(')') else { break };
            found.push((number, &rest[..end]));
            rest = &rest[end..];
        }
    }
    found
}

/// The lines outside of fenced code, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((index + 1, line))
    })
}

/// Anchors of a page's headings, spelled as forges spell them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter_map(|(_, line)| {
        let title = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        Some(kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect())
    })
}

/// `target` as seen from `page`, with its `..` taken away.
fn beside(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Names of source files in running text, such as `log/src/segment.rs`, are those of files that are there. A decision
/// ([`unlisted_decisions`]) is not rewritten when the code moves on, and may name what was.
fn unknown_sources(page: &str, text: &str) -> Findings {
    if page.starts_with("docs/adr/") {
        return Findings::new();
    }
    let is_source =
        |span: &&str| span.contains("/src/") && span.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let mut findings = Findings::new();
    for (number, line) in prose(text) {
        for name in line.split('`').skip(1).step_by(2).filter(is_source) {
            if !Tree::exists(name) && !Tree::exists(&format!("crates/{name}")) {
                findings.push(format!("{page}:{number}: names {name}, which is not there"));
            }
        }
    }
    findings
}

fn unknown_tasks(page: &str, text: &str) -> Findings {
    let mut findings = Findings::new();
    for (index, line) in text.lines().enumerate() {
        for (start, _) in line.match_indices("cargo xtask ") {
            let command = line[start..].split(['`', '#', ';', ',', '.', ')', ':', '|']).next().unwrap_or_default().trim();
            // In running text the command is followed by words; only its known beginning counts.
            if !TASKS.iter().any(|task| command == *task || command.starts_with(&format!("{task} "))) {
                findings.push(format!("{page}:{}: `{command}` is no task", index + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code_only() {
        let text = "See [a](a.md) and [b](docs/b.md#x).\n```\n[c](c.md)\n```\n";
        assert_eq!(links(text), [(1, "a.md"), (1, "docs/b.md#x")]);
    }

    #[test]
    fn targets_are_resolved_from_their_page() {
        assert_eq!(beside("docs/adr/README.md", "../protocol.md"), "docs/protocol.md");
        assert_eq!(beside("README.md", "./docs/adr/"), "docs/adr");
    }

    #[test]
    fn anchors_are_spelled_as_forges_do() {
        let anchors: Vec<String> = headings("# The first five minutes\n## `wire`: messages\n").collect();
        assert_eq!(anchors, ["the-first-five-minutes", "wire-messages"]);
    }

    #[test]
    fn a_source_file_that_is_not_there_is_found() {
        assert!(unknown_sources("README.md", "See `xtask/src/main.rs`, `log/src/lib.rs` and `a/b.rs`.").is_empty());
        assert_eq!(unknown_sources("README.md", "See `log/src/nowhere.rs`.").len(), 1);
    }

    #[test]
    fn a_task_that_is_not_there_is_found() {
        assert!(unknown_tasks("README.md", "Run `cargo xtask test --quick`, then `cargo xtask tidy`.").is_empty());
        assert_eq!(unknown_tasks("README.md", "Run `cargo xtask fly`.").len(), 1);
    }
}
