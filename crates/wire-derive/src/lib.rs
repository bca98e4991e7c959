//! `#[derive(Wire)]`: a struct is its schema, and this turns it into its Kafka codec.
//!
//! Generates code for `ottla-wire` only and knows of Kafka's messages what their attributes say; it holds no schema.
//!
//! ```ignore
//! /// Produce (key 0): append record batches to partitions.
//! #[derive(Wire, Clone, Debug, PartialEq)]
//! #[wire(key = 0, versions = 3..=13, flexible = 9.., response = ProduceResponse<'r>)]
//! pub struct ProduceRequest<'a> {
//!     #[wire(default = null)]
//!     pub transactional_id: Option<&'a str>,
//!     pub acks: i16,
//!     ...
//! }
//! ```
//!
//! # On a struct
//!
//! A struct without attributes stands inside messages. A message has:
//!
//! | attribute | meaning |
//! |---|---|
//! | `key = 0` | the API; makes the struct a `Message` |
//! | `data` | belongs to no API; makes the struct a `Data`, whose version stands in front of it |
//! | `versions = 3..=13` | the versions implemented |
//! | `flexible = 9..` | where compact lengths and tagged fields begin (KIP-482); left out: nowhere |
//! | `response = X<'r>` | makes the struct a `Request` that is answered with `X` |
//!
//! # On a field
//!
//! | attribute | meaning |
//! |---|---|
//! | `since = 3`, `until = 12` | the versions that have the field, both inclusive |
//! | `nullable = 1..` | the versions in which an `Option` may be null; left out: all that have the field |
//! | `tag = 1, tagged = 12..` | a tagged field, absent while it has its default |
//! | `default = -1` | the value while absent; an expression, or `null`. Left out: zero, empty; for an `Option`: of something empty, as in Kafka's schemas |
//! | `ignorable` | left out silently from versions that lack it; without it a value other than the default is an `EncodeError::Unrepresentable` |
//! | `records` | the schema's type is `records`, not `bytes`: starts as null, and is not shown in JSON |
//! | `name = "..."` | the schema's name in camelCase where it is not that of the field |
//!
//! Besides the codec the derive gives a `Default` with the schema's defaults, so that `..Default::default()` is right, and a way to all
//! error codes in a message: a field named `error_code`, or `…_error_code`, is one.

mod expand;
mod schema;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `Wire`, `Nullable` and `Default` for a struct, with a `key` also `Message`, with a `response` also
/// `Request`, with `data` also `Data`. See the crate's documentation for the attributes.
#[proc_macro_derive(Wire, attributes(wire))]
pub fn derive_wire(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    match schema::Struct::parse(&input) {
        Ok(schema) => expand::expand(&schema).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
