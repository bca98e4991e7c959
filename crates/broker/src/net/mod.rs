//! Sockets: accepting, reading frames, writing answers in order. Knows no API: it hands a frame's header and body to
//! [`crate::api::dispatch`] and writes what comes back.
//!
//! One task a connection. All that needs no waiting happens inline on it: every whole frame in the read buffer is
//! handled before the answers go out in one write, and an append to a log is made right here, under the partition's
//! own lock. Nothing is handed from thread to thread on the way of a Produce.

mod budget;
mod connection;
mod input;
mod listener;
mod output;
mod sparse;
mod table;

pub use budget::RequestMemory;
pub use listener::{BindError, BoundListener, Limits, bind, serve};
pub(crate) use listener::{NotTaken, take_all};
pub use table::Connections;
