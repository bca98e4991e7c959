//! What runs on the nodes: for each partition that a node leads, or takes itself to lead, the production state machine over its log, or for
//! data the model of it. Does what `ottla-broker` does at the rim: appends, holds answers back until they may leave, and asks other nodes.

mod data;
mod groups;
mod transactions;
mod verify;

pub(crate) use data::DataHost;
pub(crate) use groups::{GroupHost, rebuild as rebuild_groups};
pub(crate) use transactions::{TransactionHost, rebuild as rebuild_transactions};
pub(crate) use verify::Verification;

use crate::message::{Answer, Ask, From};
use crate::world::World;

/// Where it runs, and since which election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub node: crate::log::Node,
    pub part: crate::message::Part,
    pub epoch: i32,
    /// It was deposed, and whether it may append to its own copy meanwhile.
    pub appends_alone: bool,
}

/// What was appended could not be: the state machine is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over;

/// The end of a batch that only a deposed leader's own copy has.
pub(crate) const NEVER: usize = usize::MAX;

/// What runs for one partition.
#[derive(Debug)]
pub(crate) enum Host {
    Groups(Box<GroupHost>),
    Transactions(Box<TransactionHost>),
    Data(Box<DataHost>),
}

impl Host {
    pub fn place(&self) -> Place {
        match self {
            Host::Groups(host) => host.place,
            Host::Transactions(host) => host.place,
            Host::Data(host) => host.place,
        }
    }

    pub fn take(&mut self, world: &mut World, from: From, ask: Ask) -> Result<(), Over> {
        match self {
            Host::Groups(host) => host.take(world, from, ask),
            Host::Transactions(host) => host.take(world, from, ask),
            Host::Data(host) => host.take(world, from, ask),
        }
    }

    /// An answer of another node to what this one asked.
    pub fn answered(&mut self, world: &mut World, number: u64, answer: Answer) -> Result<(), Over> {
        match self {
            Host::Groups(host) => host.answered(world, number, answer),
            Host::Transactions(host) => host.answered(world, number, answer),
            Host::Data(host) => host.answered(world, number, answer),
        }
    }

    /// The high watermark has risen.
    pub fn committed(&mut self, world: &mut World, high_watermark: usize) -> Result<(), Over> {
        match self {
            Host::Groups(host) => host.committed(world, high_watermark),
            Host::Transactions(host) => host.committed(world, high_watermark),
            Host::Data(host) => host.committed(world, high_watermark),
        }
    }

    pub fn time(&mut self, world: &mut World) -> Result<(), Over> {
        match self {
            Host::Groups(host) => host.time(world),
            Host::Transactions(host) => host.time(world),
            Host::Data(_) => Ok(()),
        }
    }

    pub fn next_deadline_ms(&self) -> Option<u64> {
        match self {
            Host::Groups(host) => host.next_deadline_ms(),
            Host::Transactions(host) => host.next_deadline_ms(),
            Host::Data(_) => None,
        }
    }

    /// It is over: whoever waits is told to look elsewhere.
    pub fn end(self, world: &mut World) {
        match self {
            Host::Groups(host) => host.end(world),
            Host::Transactions(host) => host.end(world),
            Host::Data(host) => host.end(world),
        }
    }
}
