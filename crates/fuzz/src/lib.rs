//! Hostile input for everything that decodes bytes from a client, a disk or an operator.
//!
//! Owns the one list of targets ([`TARGETS`]), what must hold of each whatever it is given, and a mutator with a corpus.
//! Each target goes through a public face of the crate it tests; it asserts more than that nothing panics: what was
//! decoded survives encoding, memory stays within a bound of the input's size, and a log gives back what was sound in it.
//!
//! Two runners share the list: the tests of this crate (corpus and a bounded number of mutations, the same on every
//! run), and for hours at a time the binary of this crate: `cargo run -p ottla-fuzz --release -- TARGET --seconds N`.
//!
//! It ships in nothing, and nothing depends on it.

pub mod corpus;
pub mod memory;
pub mod mutate;
pub mod run;
mod targets;

pub use targets::{TARGETS, Target, target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
