//! Pure state machines of a cluster: the metadata image with its records, the controller that writes them, and the coordinators of groups
//! and of transactions.
//!
//! *Invariant:* nothing here does I/O, reads a clock, draws a random number or is async. What a function needs of those it is
//! given, and what it wants done it returns.

pub mod controller;
pub mod features;
pub mod group;
pub mod metadata;
pub mod re2;
pub mod transaction;
