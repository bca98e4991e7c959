//! The broker: sockets, one file per API, waiting requests, local partitions, the controller's runtime.
//!
//! Runs the effects; holds no protocol, storage or cluster logic of its own: those are `ottla-wire`, `ottla-log` and
//! `ottla-cluster`.

pub mod api;
mod cold_reads;
pub mod context;
pub mod controller;
mod coordinator;
pub mod fetch_session;
pub mod http;
pub mod metadata_publisher;
pub mod metrics;
pub mod net;
mod node;
pub mod partition;
pub mod producer_ids;
pub mod purgatory;
mod storage;
#[cfg(test)]
mod testing;
mod threads;
mod txn_markers;

pub use node::{Broker, StartError};
pub use storage::StorageError;
pub use threads::NetworkThreads;
