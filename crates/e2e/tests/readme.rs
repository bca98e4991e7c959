//! README's first five minutes, done as they stand there: each command is run, and prints what the page says it prints.

use std::fs;
use std::path::Path;
use std::process::Command;

use ottla_e2e::namespace::isolate_or_claim;
use ottla_e2e::process::{Running, binary, ottla, repository, run};
use tempfile::TempDir;

/// A command that the page shows, and what it shows below it.
struct Shown {
    line_number: usize,
    command: String,
    output: Vec<String>,
}

/// The commands of all `console` blocks.
fn commands(page: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            shown.push(Shown { line_number: index + 1, command: command.into(), output: Vec::new() });
        } else if let (true, Some(last)) = (inside, shown.last_mut()) {
            last.output.push(line.trim_end().into());
        }
    }
    for command in &mut shown {
        // A blank line before the next command is there for the eye.
        while command.output.last().is_some_and(String::is_empty) {
            command.output.pop();
        }
    }
    shown
}

/// What may differ from run to run made the same: numbers (times, offsets' timestamps, versions), ids, trailing blanks.
fn without_chance(text: &str) -> Vec<String> {
    let word = |word: &str| {
        let is_id = word.len() == 22 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if is_id { "ID".to_owned() } else { word.to_owned() }
    };
    let line = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        let mut plain = String::new();
        for letter in words.join(" ").chars() {
            let letter = if letter.is_ascii_digit() { '0' } else { letter };
            if letter != '0' || !plain.ends_with('0') {
                plain.push(letter);
            }
        }
        plain
    };
    text.lines().map(line).collect()
}

#[test]
fn the_first_five_minutes_print_what_the_readme_says() {
    let page = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let shown = commands(&page);
    let start =
        shown.iter().find(|shown| shown.command == "cargo run --release" && !shown.output.is_empty()).expect("the README starts a node");
    assert!(shown.iter().filter(|shown| shown.command.contains("ottla ")).count() >= 3, "the README shows less than three commands");

    isolate_or_claim(9092);
    let home = TempDir::with_prefix("ottla-e2e-readme-").expect("a folder can be made");
    let mut node = Running::start(ottla(&[]).current_dir(home.path()));
    let lines = start.output.len();
    let said = node.wait_until(|said| said.lines().count() >= lines && said.ends_with('\n'));
    assert_eq!(without_chance(said), without_chance(&start.output.join("\n")), "line {}", start.line_number);

    for shown in shown.iter().filter(|shown| shown.command.contains("ottla ")) {
        let finished = run(&mut shell(&shown.command, home.path())).ok();
        let expected = shown.output.join("\n");
        assert_eq!(without_chance(&finished.said()), without_chance(&expected), "line {}: {}", shown.line_number, shown.command);
    }
}

/// Runs a line as a reader would type it, with the binary under test as `ottla`.
fn shell(line: &str, folder: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let tools = binary().parent().expect("the binary lies in a folder").display().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("PATH", format!("{tools}:{path}"));
    command
}
