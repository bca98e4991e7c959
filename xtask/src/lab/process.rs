//! Children: each writes into a file, ends with this process at the latest, and can be waited for with a deadline.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::interrupt::{self, lock};
use crate::run;

/// Lines of a child's output that an error carries.
const LINES_TOLD_MAX: usize = 8;

/// A child that runs, or has ended.
pub struct Child {
    id: u32,
    status: Mutex<Option<io::Result<ExitStatus>>>,
    ended: Condvar,
}

impl Child {
    /// Sends a signal, unless it has ended: its id is its own until then.
    pub fn signal(&self, signal: libc::c_int) {
        let status = lock(&self.status);
        if status.is_none() {
            // SAFETY: the child is not waited for while the lock is held, so the id is still this child's.
            unsafe { libc::kill(self.id.cast_signed(), signal) };
        }
    }
}

/// The owner of a child, which is killed on drop.
pub struct Running {
    line: String,
    child: Arc<Child>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts it; its outputs are added to the two files, which may be the same.
    ///
    /// To be called on the main thread: the child dies with the thread that has started it.
    pub fn start(mut command: Command, stdout: &Path, stderr: &Path) -> Result<Running, String> {
        interrupt::check()?;
        let line = run::line(&command);
        command.stdin(Stdio::null()).stdout(append(stdout)?).stderr(append(stderr)?);
        // A group of its own: Ctrl-C in a terminal is for this process, which ends its children in order.
        command.process_group(0);
        // SAFETY: calls of the system that allocate nothing between fork and exec.
        unsafe { command.pre_exec(in_child) };
        let mut process = command.spawn().map_err(|error| format!("`{line}` could not be started: {error}"))?;
        let child = Arc::new(Child { id: process.id(), status: Mutex::new(None), ended: Condvar::new() });
        interrupt::register(&child);
        let waiting = child.clone();
        std::thread::spawn(move || {
            // Waits without taking the id away from it, so that a signal never meets another process of that id.
            // SAFETY: the struct is plain data that the call fills.
            unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                while libc::waitid(libc::P_PID, waiting.id, &raw mut info, libc::WEXITED | libc::WNOWAIT) != 0
                    && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
                {}
            }
            let mut status = lock(&waiting.status);
            *status = Some(process.wait());
            waiting.ended.notify_all();
        });
        Ok(Running { line, child, stdout: stdout.to_owned(), stderr: stderr.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        self.child.signal(signal);
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<String> {
        lock(&self.child.status).as_ref().map(said)
    }

    /// Waits for its end, and gives whether that was a good one; an error when it lasts longer than `wait`.
    pub fn wait(&self, wait: Duration) -> Result<bool, String> {
        let until = Instant::now() + wait;
        let mut status = lock(&self.child.status);
        loop {
            if let Some(status) = &*status {
                return Ok(status.as_ref().is_ok_and(ExitStatus::success));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("`{}` did not end within {} s", self.line, wait.as_secs()));
            }
            status = self.child.ended.wait_timeout(status, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Kills it and waits for its end.
    pub fn kill(&self) -> Result<(), String> {
        self.signal(libc::SIGKILL);
        // A process that was stopped by SIGSTOP ends by SIGKILL all the same.
        self.wait(Duration::from_secs(60)).map(drop)
    }

    /// What it has written on standard output so far.
    pub fn stdout(&self) -> Result<String, String> {
        fs::read_to_string(&self.stdout).map_err(|error| format!("cannot read {}: {error}", self.stdout.display()))
    }

    /// Waits for a good end and gives what it wrote on standard output; an error holds its last words.
    pub fn finish(&self, wait: Duration) -> Result<String, String> {
        let well = self.wait(wait);
        interrupt::check()?;
        if well? {
            return self.stdout();
        }
        let how = self.ended().unwrap_or_default();
        Err(format!("`{}` ended with {how}: {}", self.line, last_lines(&self.stderr)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// What a child does before it becomes the other program.
fn in_child() -> io::Result<()> {
    // SAFETY: the set is this function's, and made before it is used.
    let done = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        // This process takes its signals by a thread that waits for them, and children would inherit that none comes.
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) == 0
            && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn said(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

fn append(path: &Path) -> Result<File, String> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))
}

/// The end of a log, for an error.
pub fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_TOLD_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Folder;

    fn shell(folder: &Folder, script: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start(command, &folder.path().join("out"), &folder.path().join("err")).unwrap()
    }

    #[test]
    fn what_a_child_wrote_is_given_and_an_error_has_its_last_words() {
        let folder = Folder::make(&std::env::temp_dir(), "xtask-process").unwrap();
        assert_eq!(shell(&folder, "echo well").finish(Duration::from_secs(60)).unwrap(), "well\n");
        let error = shell(&folder, "echo badly >&2; exit 3").finish(Duration::from_secs(60)).unwrap_err();
        assert!(error.contains("exit status: 3") && error.ends_with("badly"), "{error}");
        let waiting = shell(&folder, "exec sleep 600");
        assert!(waiting.wait(Duration::ZERO).unwrap_err().contains("did not end"));
        waiting.kill().unwrap();
        assert!(waiting.ended().unwrap().contains("signal: 9"));
    }
}
