//! What goes wrong: elections, crashes, pauses, clients that die, and second processes of theirs. Owns which of it comes, and how; when it comes
//! is the world's.

use super::{Event, NODES, World};
use crate::client::Client;
use crate::fact::Fact;
use crate::message::{ClientId, Part};

/// Who was deposed may go so long without being told.
const DEPOSED_MS_MAX: u64 = 12_000;
/// The longest pause of a node.
const PAUSE_MS_MAX: u64 = 8_000;

impl World {
    pub(super) fn fault(&mut self) {
        match self.random.below(10) {
            0..=3 => {
                let parts = self.parts();
                // Coordinators are what this is about.
                let part = if self.random.below(3) > 0 { parts[self.random.below(2)] } else { parts[self.random.below(parts.len())] };
                self.elect(part, false);
            }
            4 => {
                let node = self.random.below(NODES);
                self.tell(|| format!("node {node} crashes"));
                for part in self.parts() {
                    if self.logs.of(part).leader() == node {
                        self.elect(part, true);
                    } else {
                        self.timers.remove(&(node, part));
                        drop(self.hosts.remove(&(node, part)));
                    }
                }
            }
            5 | 6 => {
                let (node, ms) = (self.random.below(NODES), self.random.between(100, PAUSE_MS_MAX));
                self.tell(|| format!("node {node} pauses for {ms} ms"));
                // What waits for the end of a pause must not be overtaken by what comes in a shorter one.
                self.paused_until_ms[node] = self.paused_until_ms[node].max(self.now_ms() + ms);
            }
            7 | 8 => {
                let ids: Vec<ClientId> = self.clients.keys().copied().collect();
                if !ids.is_empty() {
                    let id = ids[self.random.below(ids.len())];
                    if self.random.below(3) == 0 {
                        self.with_client(id, Client::leave);
                    } else {
                        self.kill(id);
                    }
                }
            }
            // Somebody starts the same process again while the old one runs.
            _ => {
                let slot = self.random.below(self.slots.len());
                let is_known_by_name = self.slots[slot].has_name();
                if is_known_by_name {
                    self.tell(|| format!("a second process of slot {slot}"));
                    self.scheduler.after(0, Event::Born(slot));
                }
            }
        }
    }

    fn elect(&mut self, part: Part, crashed: bool) {
        let log = self.logs.of(part);
        let (old, epoch, high_watermark, end) = (log.leader(), log.epoch(), log.high_watermark(), log.end());
        let node = if crashed || self.random.below(5) > 0 { (old + 1 + self.random.below(NODES - 1)) % NODES } else { old };
        let kept = high_watermark + self.random.below(end - high_watermark + 1);
        self.tell(|| format!("node {node} is elected for {part:?} after epoch {epoch}; kept {kept} of {high_watermark}..{end}"));
        self.logs.of_mut(part).elect(node, kept);
        self.fact(&Fact::Elected { part, end: kept });
        if crashed {
            // Nobody is told anything by who has crashed.
            self.timers.remove(&(old, part));
            drop(self.hosts.remove(&(old, part)));
        } else {
            let delay_ms = self.random.between(1, DEPOSED_MS_MAX);
            self.scheduler.after(delay_ms, Event::Deposed(old, part, epoch));
        }
        let delay_ms = self.random.between(1, 1_000);
        self.scheduler.after(delay_ms, Event::Loaded(part, epoch + 1));
    }
}
