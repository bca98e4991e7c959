//! One file per command: its arguments, its help, what it prints.

pub mod config;
pub mod consume;
pub mod group;
pub mod perf;
pub mod produce;
pub mod serve;
pub mod topic;
pub mod txn;
