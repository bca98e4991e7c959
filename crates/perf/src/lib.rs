//! What `ottla perf` runs: load on any Kafka cluster with as little client work as possible, a ledger that holds a
//! cluster to its acknowledgements, and a yardstick server.
//!
//! The clients of [`produce`], [`consume`] and their like speak the protocol over blocking sockets, a thread a
//! connection, and send bytes that were made before the clock started: what is measured is the broker. [`native`] is the
//! exception: it measures `ottla-client`, as its users have it.
//!
//! | module | does |
//! |---|---|
//! | [`produce`], [`consume`] | move batches that were built before, or fetch and check them |
//! | [`end_to_end`] | sends at a fixed rate and times each record until a consumer has it |
//! | [`connections`] | holds idle connections |
//! | [`commits`] | commits offsets of many groups, and waits until they are served |
//! | [`membership`] | has a group of many members come, and one of them go |
//! | [`transactions`] | writes small transactions one after the other |
//! | [`ready`] | waits until a topic takes records and gives them back |
//! | [`ledger`], [`audit`] | write down every acknowledgement, and hold the topic against that |
//! | [`history`] | writes transactions, moves them on, and checks what came of them |
//! | [`limit`] | a bare server that receives, checks and writes, or sends: what the machine itself costs |
//!
//! Owns no command line and prints nothing: options come in as values, reports go out as values. Never depends on the
//! broker: whatever speaks the protocol is measured alike.

pub mod audit;
mod batch;
mod cluster;
pub mod commits;
mod connection;
pub mod connections;
pub mod consume;
mod control;
mod coordinator;
mod cost;
pub mod end_to_end;
mod error;
mod histogram;
pub mod history;
pub mod ledger;
pub mod limit;
pub mod membership;
pub mod native;
pub mod produce;
pub mod ready;
mod report;
mod shares;
#[cfg(test)]
mod testing;
pub mod transactions;

pub use batch::BatchShape;
pub use cluster::{Bootstrap, NewTopic, create_topic};
pub use control::{Control, Progress, Unit};
pub use cost::{BrokerCost, Processes};
pub use error::PerfError;
pub use histogram::{Histogram, LatencyMs};
pub use ottla_model::Acks;
pub use ottla_wire::compress::Compression;
pub use report::{Amount, LoadReport};
