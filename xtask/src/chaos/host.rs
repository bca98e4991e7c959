//! The node and its disk: what blows fall on.

use std::path::Path;
use std::time::Duration;

use super::plan::{Kind, Round};
use crate::lab::disk::Disk;
use crate::lab::interrupt;
use crate::lab::node::{Node, System};

const DISK_BYTES: u64 = 8 << 30;

/// A node that is killed, stopped, and loses its power.
pub struct Host {
    // In the order in which they have to go.
    node: Node,
    disk: Option<Disk>,
    last_start: Duration,
}

impl Host {
    /// Makes its disk, and starts it.
    pub fn start(binary: &Path, folder: &Path, with_disk: bool) -> Result<Host, String> {
        let mut disk = if with_disk { Some(Disk::make(folder, DISK_BYTES)?) } else { None };
        disk.as_mut().map_or(Ok(()), Disk::prove)?;
        let data = disk.as_ref().map_or(folder, Disk::path).join("data");
        match &disk {
            Some(disk) => println!("the data lies on a disk of its own, {}", disk.image().display()),
            None => println!("the data lies in a plain folder, {}", data.display()),
        }
        let mut node = Node::make(&System::Ottla(binary.to_owned()), &folder.join("node"), &data)?;
        node.start()?;
        let last_start = node.wait_until_it_answers()?;
        Ok(Host { node, disk, last_start })
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        self.node.address()
    }

    /// Does all of a round's blow but the last start or going on; `while_down` is called while the node is not there.
    pub fn strike(&mut self, round: &Round, while_down: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        match round.kind {
            Kind::Stop => {
                self.node.signal(libc::SIGSTOP)?;
                interrupt::pause(round.stopped)?;
            }
            Kind::PowerLoss => self.lose_power()?,
            Kind::Kill => self.node.kill()?,
            Kind::KillInRecovery => {
                self.node.kill()?;
                for _ in 0..round.starts_ended {
                    self.start_for(round.share_of_start)?;
                    self.node.kill()?;
                }
            }
            Kind::PowerLossInRecovery => {
                self.node.kill()?;
                for _ in 0..round.starts_ended {
                    self.start_for(round.share_of_start)?;
                    self.lose_power()?;
                }
            }
        }
        while_down()
    }

    /// Starts it, or has it go on, until it answers, and `ready` says that it serves. Gives how long that took; nothing is
    /// recovered after a stop: then it is the time from SIGCONT on.
    pub fn come_back(&mut self, kind: Kind, ready: impl FnOnce(&Host) -> Result<(), String>) -> Result<Duration, String> {
        let before = if kind == Kind::Stop {
            let before = self.node.since_start();
            self.node.signal(libc::SIGCONT)?;
            before
        } else {
            self.node.start()?;
            self.last_start = self.node.wait_until_it_answers()?;
            Duration::ZERO
        };
        ready(self)?;
        Ok(self.node.since_start() - before)
    }

    /// SIGTERM.
    pub fn stop(&mut self) -> Result<(), String> {
        self.node.stop()
    }

    /// The power goes: the process gets no further, nothing more reaches the disk, and what it had is mounted anew.
    fn lose_power(&mut self) -> Result<(), String> {
        let disk = self.disk.as_mut().ok_or("there is no disk of its own whose power could be cut")?;
        // Stopped first: what it would make of errors of a disk that is gone is not meant here.
        self.node.signal(libc::SIGSTOP)?;
        disk.cut()?;
        self.node.kill()?;
        disk.mount_again()
    }

    /// Starts it and lets it come this far, by the time that it took the last time.
    fn start_for(&mut self, share: f64) -> Result<(), String> {
        self.node.start()?;
        interrupt::pause(self.last_start.mul_f64(share))
    }
}
