//! Groups, through what a broker sees of them.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod classic;
mod classic_static;
mod consumer;
mod consumer_expressions;
mod consumer_harness;
mod consumer_migration;
mod consumer_offsets;
mod consumer_simulation;
mod consumer_static;
mod harness;
mod offsets;
mod retention;
mod transactions;
