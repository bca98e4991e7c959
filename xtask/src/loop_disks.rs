//! Whether file systems can be made on loop devices here, found out by making one.
//!
//! Never leaves one behind: it is mounted where only the process that tries it can see it, and goes with that process.

use std::fmt;
use std::path::Path;

use crate::lab::is_root;
use crate::run;

/// What is needed beside the kernel, and where Debian has it.
const TOOLS: [(&str, &str); 4] = [("mkfs.ext4", "e2fsprogs"), ("mount", "mount"), ("fsfreeze", "util-linux"), ("unshare", "util-linux")];

/// Makes a file system, mounts it, freezes it and thaws it, in the folder `$1`.
const TRIAL: &str = "set -e; mount --make-rprivate /; truncate -s 16M \"$1/image\"; mkfs.ext4 -q -F \"$1/image\"; mkdir \"$1/mount\"; \
                     mount -o loop \"$1/image\" \"$1/mount\"; fsfreeze -f \"$1/mount\"; fsfreeze -u \"$1/mount\"; umount \"$1/mount\"";

/// What is not there.
#[derive(Debug)]
pub enum Lack {
    /// Something that can be had: root, or a program.
    Tool(String),
    /// The machine, or the container, lets nobody have loop devices.
    Devices(String),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Tool(why) | Lack::Devices(why) => f.write_str(why),
        }
    }
}

/// Tries it.
pub fn probe() -> Result<(), Lack> {
    if !Path::new("/dev/loop-control").exists() {
        return Err(Lack::Devices("there are no loop devices here (no /dev/loop-control)".to_owned()));
    }
    if !is_root() {
        return Err(Lack::Tool("file systems can be mounted by root only: run it as root".to_owned()));
    }
    for (tool, package) in TOOLS {
        if !run::succeeds(run::program("sh", &["-c", &format!("command -v {tool}")])) {
            return Err(Lack::Tool(format!("there is no {tool}: install {package}")));
        }
    }
    let home = std::env::temp_dir().join(format!("ottla-probe-{}", std::process::id()));
    let text = home.display().to_string();
    std::fs::create_dir(&home).map_err(|error| Lack::Tool(format!("cannot make {text}: {error}")))?;
    let tried = run::captured(run::program("unshare", &["--mount", "sh", "-c", TRIAL, "trial", &text]));
    let _ = std::fs::remove_dir_all(&home);
    tried.map(drop).map_err(|why| {
        let last_line = why.lines().last().unwrap_or_default().trim().to_owned();
        Lack::Devices(format!("no file system can be mounted on a loop device ({last_line})"))
    })
}
