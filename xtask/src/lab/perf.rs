//! `ottla perf` and `ottla topic` as seen from here: arguments in, one JSON object out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::process::Running;

/// How long a single call may take.
const WAIT: Duration = Duration::from_secs(600);

/// The binary, and where the outputs of its calls go.
pub struct Tool {
    binary: PathBuf,
    folder: PathBuf,
    calls: AtomicUsize,
}

/// A call that goes on.
pub struct Call(Running);

impl Tool {
    /// Outputs are kept in `folder`, numbered.
    pub fn new(binary: &Path, folder: &Path) -> Tool {
        Tool { binary: binary.to_owned(), folder: folder.to_owned(), calls: AtomicUsize::new(0) }
    }

    /// `ottla WORDS... --bootstrap-server ADDRESS --json`, to its end; gives the last object that it printed.
    pub fn call(&self, address: &str, words: &[&str]) -> Result<Value, String> {
        self.start(address, words)?.finish()
    }

    /// As [`Self::call`], for a call whose findings are in its exit code as well as in its report: the report is given
    /// either way, and an error only where there is none.
    pub fn told(&self, address: &str, words: &[&str]) -> Result<Value, String> {
        let call = self.start(address, words)?;
        let well = call.0.wait(WAIT)?;
        match last_object(&call.0.stdout()?) {
            Ok(report) if report.is_object() => Ok(report),
            _ if well => Err(format!("`ottla {}` printed no report", words.join(" "))),
            _ => call.finish(),
        }
    }

    /// The same, left running.
    pub fn start(&self, address: &str, words: &[&str]) -> Result<Call, String> {
        let mut command = Command::new(&self.binary);
        command.args(words).args(["--bootstrap-server", address, "--json"]);
        self.started(command)
    }

    /// `ottla WORDS...`, left running.
    pub fn start_bare(&self, words: &[&str]) -> Result<Call, String> {
        let mut command = Command::new(&self.binary);
        command.args(words);
        self.started(command)
    }

    fn started(&self, command: Command) -> Result<Call, String> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.folder.join(format!("call-{number:04}.{end}"));
        Ok(Call(Running::start(command, &file("out"), &file("err"))?))
    }
}

impl Call {
    /// Waits for its end.
    pub fn finish(&self) -> Result<Value, String> {
        last_object(&self.0.finish(WAIT)?)
    }

    /// Ctrl-C, then as [`Self::finish`].
    pub fn interrupt(&self) -> Result<Value, String> {
        self.0.signal(libc::SIGINT);
        self.finish()
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&self) -> Result<(), String> {
        self.0.kill()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<String> {
        self.0.ended()
    }

    /// Its process id.
    pub fn process_id(&self) -> u32 {
        self.0.id()
    }
}

fn last_object(said: &str) -> Result<Value, String> {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("null");
    serde_json::from_str(last).map_err(|error| format!("`{last}` is not JSON: {error}"))
}
