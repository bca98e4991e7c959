//! Running programs to their end: output gathered, a deadline kept. Also finds the binary under test.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// What a program that has ended left behind.
#[derive(Debug)]
pub struct Finished {
    /// As it was run, for messages.
    pub command: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All it wrote on standard output.
    pub stdout: String,
    /// All it wrote on standard error.
    pub stderr: String,
}

impl Finished {
    /// Itself, when the exit code is 0; else the test fails with all it said.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.code == Some(0), "{self}");
        self
    }

    /// Itself, when it ended with another exit code than 0; else the test fails.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0), "should have failed: {self}");
        self
    }

    /// Both outputs.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails the test unless one of the outputs holds `expected`.
    #[track_caller]
    pub fn says(self, expected: &str) -> Self {
        assert!(self.said().contains(expected), "`{expected}` is not in: {self}");
        self
    }

    /// Standard output as JSON, one value a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in `{line}` of {self}"));
        self.stdout.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ended with {:?}\n-- stdout\n{}\n-- stderr\n{}", self.command, self.code, self.stdout, self.stderr)
    }
}

/// Runs a program with `input` on its standard input until it ends; fails the test when [`DEADLINE`] passes first.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &str) -> Finished {
    let said = words(command);
    let deadline = Instant::now() + DEADLINE;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `{said}`: {error}"));
    let (stdin, input) = (child.stdin.take(), input.as_bytes().to_vec());
    thread::spawn(move || {
        // A program that ends without reading all of its input closes the pipe; that is its right.
        let _ = stdin.map(|mut stdin| stdin.write_all(&input));
    });
    let stdout = gather(child.stdout.take());
    let stderr = gather(child.stderr.take());
    let ended = |output: mpsc::Receiver<String>| output.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    let (Ok(stdout), Ok(stderr)) = (ended(stdout), ended(stderr)) else {
        let _ = child.kill();
        panic!("`{said}` did not end within {DEADLINE:?}");
    };
    let status = child.wait().unwrap_or_else(|error| panic!("cannot wait for `{said}`: {error}"));
    Finished { command: said, code: status.code(), stdout, stderr }
}

/// [`run_with_input`] with nothing on standard input.
#[track_caller]
pub fn run(command: &mut Command) -> Finished {
    run_with_input(command, "")
}

/// Reads an output to its end on a thread of its own; the end of all outputs is the end of the program.
fn gather(output: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.map(|mut output| output.read_to_end(&mut bytes));
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// A program that goes on while the test does other things: what it writes can be waited for. Killed on drop.
pub struct Running {
    command: String,
    child: Child,
    output: mpsc::Receiver<String>,
    so_far: String,
}

impl Running {
    /// Starts it; standard output and standard error are read as one.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Running::spawn(command.stdin(Stdio::null()))
    }

    /// As [`start`](Self::start), with something to read to which more could come.
    #[track_caller]
    pub fn start_with_open_input(command: &mut Command, input: &str) -> Self {
        let mut running = Running::spawn(command.stdin(Stdio::piped()));
        let pipe = running.child.stdin.as_mut().expect("its input is a pipe");
        pipe.write_all(input.as_bytes()).expect("it reads its input");
        running
    }

    #[track_caller]
    fn spawn(command: &mut Command) -> Self {
        let said = words(command);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("cannot start `{said}`: {error}"));
        let (sender, output) = mpsc::channel();
        pieces(child.stdout.take(), sender.clone());
        pieces(child.stderr.take(), sender);
        Running { command: said, child, output, so_far: String::new() }
    }

    /// Waits until `enough` holds of all that it has written so far, and gives that.
    #[track_caller]
    pub fn wait_until(&mut self, enough: impl Fn(&str) -> bool) -> &str {
        let deadline = Instant::now() + DEADLINE;
        while !enough(&self.so_far) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.so_far.push_str(&piece),
                Err(why) => panic!("`{}`: {why} before it wrote what was waited for; it wrote:\n{}", self.command, self.so_far),
            }
        }
        &self.so_far
    }

    /// All it has written so far, without waiting; fails the test when it has ended.
    #[track_caller]
    pub fn so_far(&mut self) -> &str {
        let ended = self.child.try_wait().expect("a child can be asked");
        self.so_far.extend(self.output.try_iter());
        assert!(ended.is_none(), "`{}` ended with {ended:?}; it wrote:\n{}", self.command, self.so_far);
        &self.so_far
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and waits until it has; gives all that it wrote.
    #[track_caller]
    pub fn stop(mut self) -> (ExitStatus, String) {
        signal(self.child.id(), "TERM");
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.output.recv_timeout(left(deadline)) {
                Ok(piece) => self.so_far.push_str(&piece),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => panic!("`{}` does not end: {why}; it wrote:\n{}", self.command, self.so_far),
            }
        }
        (self.child.wait().expect("a child can be waited for"), std::mem::take(&mut self.so_far))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pieces(output: Option<impl Read + Send + 'static>, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        let Some(mut output) = output else { return };
        let mut buffer = [0; 8192];
        while let Ok(count) = output.read(&mut buffer)
            && count > 0
            && sender.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).is_ok()
        {}
    });
}

fn words(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

/// A command of the binary under test.
pub fn ottla(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// The binary: `OTTLA_BIN`, else the one that cargo builds beside these tests, in their profile.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| std::env::var_os("OTTLA_BIN").map(PathBuf::from).or_else(build_binary));
    binary.as_deref().expect("the binary under test does not build")
}

fn build_binary() -> Option<PathBuf> {
    // Two levels above this test's own file, which is TARGET/PROFILE/deps/NAME.
    let own = std::env::current_exe().expect("the test knows its own path");
    let profile_dir = own.ancestors().nth(2).expect("a test lies in TARGET/PROFILE/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "ottla"]).current_dir(repository());
    if profile_dir.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.status().expect("cargo can be started").success().then(|| profile_dir.join("ottla"))
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate lies in crates/").to_path_buf()
}

/// Sends a signal by its name, as `kill` does.
#[track_caller]
pub fn signal(process_id: u32, name: &str) {
    run(Command::new("kill").args([&format!("-{name}"), &process_id.to_string()])).ok();
}

/// What is left until `deadline`.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
