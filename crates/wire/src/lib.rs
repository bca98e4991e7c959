//! The Kafka protocol: messages as plain structs with a derived codec, headers, framing, record batches, compression
//! and error codes.
//!
//! Never does I/O: a file range in a response ([`FileRange`]) is carried, not read. Never allocates by a length that
//! it has not held against the bytes that are really there.
//!
//! | module | owns |
//! |---|---|
//! | [`message`] | every request and response, one file per API |
//! | [`data`] | records of the internal topics, and what consumers tell each other |
//! | [`codec`] | [`Reader`], [`Writer`] and the traits that `#[derive(Wire)]` implements |
//! | [`header`], [`frame`] | what stands around a message on a connection |
//! | [`api_key`] | the list of APIs |
//! | [`batch`], [`compress`] | record batches and their codecs |
//! | [`error`] | Kafka's error codes |

// No input may make this crate panic. A test that indexes out of bounds just fails.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

// The derive names its traits by the crate's public path; this makes that path good inside the crate too.
extern crate self as ottla_wire;

pub mod api_key;
pub mod batch;
pub mod codec;
pub mod compress;
pub mod data;
pub mod error;
pub mod frame;
pub mod header;
pub mod message;
pub mod records;

pub use api_key::ApiKey;
pub use codec::{Data, DecodeError, DecodeErrorKind, EncodeError, Encoded, Message, Reader, Request, Version, Wire, Writer};
pub use error::ErrorCode;
pub use header::{RequestHeader, ResponseHeader};
pub use ottla_wire_derive::Wire;
pub use records::{FileRange, RecordFragment, Records};
