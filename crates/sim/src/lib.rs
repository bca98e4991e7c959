//! A seeded simulation of a cluster. It runs the production state machines, those of groups and of transactions, on several nodes in virtual time,
//! among lost, late and doubled messages, pauses, crashes and elections, with clients that behave as Kafka's do, and holds what happens
//! against invariants. The same seed gives the same history, event for event.
//!
//! | part | owns |
//! |---|---|
//! | `random`, `scheduler`, `network` | choices, time, what becomes of messages |
//! | `log` | a partition as its leaders have it: what is committed stays, the rest may be lost |
//! | `node` | a state machine for each partition that a node leads, or believes that it does |
//! | `client` | members of groups by either protocol, transactional producers of versions 1 and 2 |
//! | `world` | all of them together, and the faults |
//! | `invariant` | what must hold, a file for each |
//!
//! **What is production code:** `GroupCoordinator` and `TransactionCoordinator`, rebuilt by each new leader from the log that survived. **What is
//! a model:** replication (an election keeps all below the high watermark and any prefix of what is above), the rim that `ottla-broker`
//! is in production, and the partitions' producer state with KIP-890's guard (`producers`), since `ottla-log` does I/O.
//!
//! **Where clients are spared** what Kafka's protocol cannot withstand, so that what is found is a fault of the state machines:
//! - A deposed leader's answers for which it writes nothing may be stale: look-ups of offsets, generations, assignments, and
//!   repeats in transactions of version 1. It gives none of these (`node`).
//! - Requests that nothing but the order of a connection tells from later ones keep that order, and are gone with the connection
//!   (`message::Ask::order`): heartbeats of KIP-848, and what belongs to a transaction of version 1, markers among it.
//! - Members of cooperative groups are dynamic (`client::Slot::draw`), and those of KIP-848 take at once what they are given (`client::consumer`).
//!
//! It does no I/O itself and reads no clock: what it prints is the trace, if asked for.

mod client;
mod fact;
mod invariant;
mod log;
mod message;
mod network;
mod node;
mod producers;
mod random;
mod scheduler;
mod world;

pub use invariant::Broken;

/// Runs the history of a seed; gives how many events it had. `tells`: prints each of them.
pub fn run(seed: u64, tells: bool) -> Result<usize, Broken> {
    world::World::new(seed, tells).run()
}
