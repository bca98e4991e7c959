//! The harness for tests of the whole: real `ottla` processes, real clients beside them, on loopback.
//!
//! Owns starting, watching, stopping and killing processes, each with a deadline, and the raw connection that says
//! what no client would. Never reaches into the broker: what is tested here is seen from outside, as a user sees it.
//! It is a library for this crate's tests and ships in nothing, so it panics where a test should fail.

pub mod calls;
pub mod hostile;
pub mod java;
pub mod loop_disk;
pub mod namespace;
pub mod node;
pub mod ports;
pub mod process;
pub mod raw;
pub mod transforms;

pub use node::{Node, NodeBuilder};
pub use process::{Finished, ottla, run};

use std::time::Duration;

/// How long anything outside may take before a test fails: far above what it takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
