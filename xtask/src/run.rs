//! Starting other programs: cargo without the traces of the cargo that runs this, and anything else by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's root: this package's parent.
pub fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir).to_path_buf()
}

/// A cargo command at the repository's root.
///
/// `cargo xtask` leaves `CARGO_PKG_*` and `CARGO_MANIFEST_*` of this package in the environment. Build scripts of
/// dependencies that watch them would run again at each switch between `cargo xtask test` and a plain `cargo test`.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Where cargo builds to.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `cargo test`, for which the binary has been built: the tests of the whole need not ask cargo for it.
pub fn cargo_test(arguments: &[&str]) -> Command {
    let mut command = cargo(&[&["test", "--no-fail-fast"], arguments].concat());
    command.env("OTTLA_BIN", target_dir().join("debug/ottla"));
    command
}

/// Any other program at the repository's root.
pub fn program(name: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs it with its output shown; the error says how it ended.
pub fn shown(mut command: Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` ended with {status}", line(&command))),
        Err(error) => Err(format!("`{}` could not be started: {error}", line(&command))),
    }
}

/// Runs it and gives its standard output; the error carries its standard error.
pub fn captured(mut command: Command) -> Result<String, String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{}` ended with {}: {}", line(&command), output.status, said.trim()))
        }
        Err(error) => Err(format!("`{}` could not be started: {error}", line(&command))),
    }
}

/// Whether it starts and ends well; its output is dropped.
pub fn succeeds(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The command as it would be typed, for messages.
pub fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}
