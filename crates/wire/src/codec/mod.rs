//! The codec: primitives read from a [`Reader`] and written to a [`Writer`], and the traits that `#[derive(Wire)]`
//! implements for messages and the structs in them.
//!
//! A struct is its own schema; see `ottla-wire-derive` for the attributes. What differs between versions is decided by
//! comparing integers, so a decoder is straight code and nothing is looked up.

mod error;
mod field;
#[cfg(feature = "json")]
pub mod json;
mod reader;
mod writer;

use std::ops::RangeInclusive;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use reader::Reader;
pub use writer::{Encoded, FrameMark, Writer};

use crate::ApiKey;

/// The version of the message being read or written, and whether it is a flexible one (KIP-482: compact lengths and
/// tagged fields).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    number: i16,
    flexible: bool,
}

impl Version {
    /// Version `number` of a message that is flexible in it, or not.
    #[inline]
    pub const fn new(number: i16, flexible: bool) -> Version {
        Version { number, flexible }
    }

    /// The number.
    #[inline]
    pub const fn number(self) -> i16 {
        self.number
    }

    /// Whether lengths are compact and structs end in tagged fields.
    #[inline]
    pub const fn is_flexible(self) -> bool {
        self.flexible
    }
}

/// Something that stands in a message: a primitive, an array, a struct. Derived for structs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a Kafka message",
    note = "fields are numbers, `bool`, `Uuid`, `&str`, `Cow<str>`, `&[u8]`, `Cow<[u8]>`, `Records`, structs that derive `Wire`, and `Vec` and `Option` of these"
)]
pub trait Wire<'a>: Sized {
    /// The least bytes a value can take in this version: what an array's count is checked against.
    fn min_len(v: Version) -> usize;

    /// Reads a value.
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError>;

    /// Writes the value.
    fn write(&self, w: &mut Writer, v: Version) -> Result<(), EncodeError>;

    /// Gives each error code in it: what its fields of the name `error_code` hold, but for 0, which is no error.
    #[inline]
    fn error_codes(&self, _found: &mut impl FnMut(i16)) {}

    /// The value as Kafka's JSON converters give it.
    #[cfg(feature = "json")]
    fn json(&self, v: Version) -> serde_json::Value;
}

/// Something that has a form for null, and so can stand in an `Option`. Derived for structs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no form for null in a Kafka message",
    note = "strings, bytes, arrays and structs can be null; numbers, `bool` and `Uuid` cannot"
)]
pub trait Nullable<'a>: Wire<'a> {
    /// The least bytes that a value or null can take.
    fn min_len_nullable(v: Version) -> usize;

    /// Reads a value or null.
    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError>;

    /// Writes a value, or null.
    fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), EncodeError>;

    /// Reads a value or null in a tagged field, where the null of structs is another.
    #[inline]
    fn read_nullable_tagged(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        Self::read_nullable(r, v)
    }

    /// Writes a value, or null, in a tagged field.
    #[inline]
    fn write_nullable_tagged(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
        Self::write_nullable(value, w, v)
    }
}

/// A request or a response. Derived for structs with a `key`.
pub trait Message<'a>: Wire<'a> {
    /// The API it belongs to.
    const KEY: ApiKey;
    /// The versions implemented here.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version; `i16::MAX` where there is none.
    const FLEXIBLE_SINCE: i16;

    /// Reads the message, without its header. Bytes that follow it are left in `r`.
    #[inline]
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(DecodeErrorKind::UnsupportedVersion { api: Self::KEY, version }.into());
        }
        Self::read(r, Version::new(version, version >= Self::FLEXIBLE_SINCE))
    }

    /// Writes the message, without its header. After an error `w` may hold part of it.
    #[inline]
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(EncodeError::UnsupportedVersion { api: Self::KEY, version });
        }
        self.write(w, Version::new(version, version >= Self::FLEXIBLE_SINCE))
    }

    /// The message as Kafka's `XJsonConverter.write(message, version, true)` gives it, field for field.
    #[cfg(feature = "json")]
    fn to_json(&self, version: i16) -> serde_json::Value {
        self.json(Version::new(version, version >= Self::FLEXIBLE_SINCE))
    }
}

/// A request: knows its response, which has the same versions.
pub trait Request<'a>: Message<'a> {
    /// What it is answered with.
    type Response<'r>: Message<'r>;
    /// The API's name, e.g. `Produce`.
    const NAME: &'static str;
}

/// What belongs to no API and has its version in front: a record of an internal topic, a consumer's subscription. Derived
/// for structs with `data`.
///
/// Of a record's key that number says of what kind the record is. A key is in one version only, which is that kind.
pub trait Data<'a>: Wire<'a> {
    /// Its name in Kafka's schemas, e.g. `OffsetCommitValue`.
    const NAME: &'static str;
    /// The versions implemented here.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version; `i16::MAX` where there is none.
    const FLEXIBLE_SINCE: i16;

    /// Reads the version and what is in it. Bytes that follow are left in `r`.
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<(i16, Self), DecodeError> {
        let version = r.get_i16()?;
        decode_data(r, version)
    }

    /// As [`decode`](Data::decode), but takes a version that is newer than those known for the newest known, and says so
    /// in its answer. For what grows at its end only: what is new is left in `r`.
    #[inline]
    fn decode_any(r: &mut Reader<'a>) -> Result<(i16, Self), DecodeError> {
        let version = r.get_i16()?.min(*Self::VERSIONS.end());
        decode_data(r, version)
    }

    /// Writes the version and what is in it. After an error `w` may hold part of it.
    #[inline]
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(EncodeError::UnsupportedDataVersion { name: Self::NAME, version });
        }
        w.put_i16(version);
        self.write(w, Version::new(version, version >= Self::FLEXIBLE_SINCE))
    }

    /// As Kafka's `XJsonConverter.write(data, version, true)` gives it, field for field, without the version.
    #[cfg(feature = "json")]
    fn to_json(&self, version: i16) -> serde_json::Value {
        self.json(Version::new(version, version >= Self::FLEXIBLE_SINCE))
    }
}

#[inline]
fn decode_data<'a, D: Data<'a>>(r: &mut Reader<'a>, version: i16) -> Result<(i16, D), DecodeError> {
    if !D::VERSIONS.contains(&version) {
        return Err(DecodeErrorKind::UnsupportedDataVersion { name: D::NAME, version }.into());
    }
    Ok((version, D::read(r, Version::new(version, version >= D::FLEXIBLE_SINCE))?))
}

/// Names the field in an error that came out of it. Used by derived code.
#[doc(hidden)]
pub trait InField {
    /// See [`DecodeError::in_field`].
    fn in_field(self, field: &'static str) -> Self;
}

impl<T> InField for Result<T, DecodeError> {
    #[inline]
    fn in_field(self, field: &'static str) -> Self {
        self.map_err(|e| e.in_field(field))
    }
}

#[cfg(test)]
mod tests;
