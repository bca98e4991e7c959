//! What must hold, a file for each. An invariant sees every fact and may look at the logs; it has no part in what happens.

mod atomicity;
mod committed_offsets;
mod exactly_once;
mod fenced_commits;
mod incarnations;
mod liveness;
mod ownership;
mod rebuilding;
mod roster;
mod stable_offset;
mod unfenced;

use crate::fact::{Fact, Logs};
use crate::world::World;

/// Something that must hold.
pub(crate) trait Invariant {
    fn name(&self) -> &'static str;

    /// Something happened.
    fn see(&mut self, fact: &Fact<'_>, logs: &Logs) -> Result<(), String> {
        let _ = (fact, logs);
        Ok(())
    }

    /// Faults are over for long, and clients have had their time to finish.
    fn at_end(&mut self, world: &World) -> Result<(), String> {
        let _ = world;
        Ok(())
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// All of them.
pub(crate) struct Invariants(Vec<Box<dyn Invariant>>);

impl Default for Invariants {
    fn default() -> Invariants {
        Invariants(vec![
            Box::new(ownership::Ownership::default()),
            Box::new(committed_offsets::CommittedOffsets::default()),
            Box::new(fenced_commits::FencedCommits::default()),
            Box::new(incarnations::Incarnations::default()),
            Box::new(unfenced::Unfenced::default()),
            Box::new(stable_offset::StableOffset::default()),
            Box::new(atomicity::Atomicity::default()),
            Box::new(exactly_once::ExactlyOnce),
            Box::new(liveness::Liveness),
            // Of a group that does not come to rest the log does not know all.
            Box::new(rebuilding::Rebuilding),
        ])
    }
}

impl Invariants {
    pub fn see(&mut self, fact: &Fact<'_>, logs: &Logs) -> Result<(), Broken> {
        self.0.iter_mut().try_for_each(|invariant| invariant.see(fact, logs).map_err(|what| Broken { invariant: invariant.name(), what }))
    }

    pub fn at_end(&mut self, world: &World) -> Result<(), Broken> {
        self.0.iter_mut().try_for_each(|invariant| invariant.at_end(world).map_err(|what| Broken { invariant: invariant.name(), what }))
    }
}
