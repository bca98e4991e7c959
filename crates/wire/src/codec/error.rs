//! Why bytes could not be read as a message, or a message not written as bytes.

use crate::ApiKey;

/// Bytes that are not the message they should be. Names the innermost field that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{kind}", field.unwrap_or(""), if field.is_some() { ": " } else { "" })]
pub struct DecodeError {
    /// `Struct.field`, or `None` where no message was being read.
    pub field: Option<&'static str>,
    /// What was wrong.
    pub kind: DecodeErrorKind,
}

/// What was wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The bytes ended early, or a length promised more than there are.
    #[error("{needed} bytes needed, {remaining} remain")]
    UnexpectedEnd {
        /// Bytes that should have followed.
        needed: usize,
        /// Bytes that did.
        remaining: usize,
    },
    /// An array announced more elements than the remaining bytes could hold. Nothing was allocated for it.
    #[error("an array of {count} elements cannot fit in the {remaining} bytes that remain")]
    CountExceedsBytes {
        /// Announced number of elements.
        count: usize,
        /// Bytes left after the count.
        remaining: usize,
    },
    /// An array's elements would take more memory than a frame of this size may. Nothing was allocated for it.
    #[error("an array of {count} elements needs {needed} bytes of memory, a frame of this size has {left} left")]
    MemoryExceeded {
        /// Announced number of elements.
        count: usize,
        /// Bytes of memory they need.
        needed: usize,
        /// Bytes of memory the frame may still use.
        left: usize,
    },
    /// A string longer than the protocol's 32,767 bytes.
    #[error("a string of {length} bytes is longer than the protocol allows")]
    StringTooLong {
        /// Announced length in bytes.
        length: usize,
    },
    /// A string that is not UTF-8.
    #[error("the string is not valid UTF-8")]
    InvalidUtf8,
    /// Null in a field, or a version of it, that cannot be null.
    #[error("must not be null")]
    UnexpectedNull,
    /// A variable-length integer that does not end within its 32 bits.
    #[error("a variable-length integer does not fit in 32 bits")]
    VarintTooLong,
    /// A tagged field that did not fill the size it announced.
    #[error("tag {tag} announced more bytes than its value has: {remaining} remain")]
    TaggedFieldSize {
        /// The field's tag.
        tag: u32,
        /// Bytes within the announced size that were not part of the value.
        remaining: usize,
    },
    /// A version of an API that this crate does not implement.
    #[error("version {version} of {api} is not supported")]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
    },
    /// A version of what belongs to no API that this crate does not implement.
    #[error("version {version} of {name} is not supported")]
    UnsupportedDataVersion {
        /// Its name, e.g. `OffsetCommitValue`.
        name: &'static str,
        /// The version in front of it, or asked for. Of a record's key: the kind of its record.
        version: i16,
    },
    /// Bytes after the end of what was to be read.
    #[error("{remaining} bytes follow the end")]
    TrailingBytes {
        /// How many.
        remaining: usize,
    },
}

impl DecodeError {
    /// The same error, naming `field` if no inner field was named before.
    #[cold]
    #[must_use]
    pub fn in_field(mut self, field: &'static str) -> DecodeError {
        self.field.get_or_insert(field);
        self
    }
}

impl From<DecodeErrorKind> for DecodeError {
    #[cold]
    fn from(kind: DecodeErrorKind) -> DecodeError {
        DecodeError { field: None, kind }
    }
}

/// A message that has no form in the version asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field has a value other than its default, but does not exist in this version and may not be left out silently.
    #[error("{field} has no place in version {version}, and its value is not the default")]
    Unrepresentable {
        /// `Struct.field`.
        field: &'static str,
        /// The version that lacks it.
        version: i16,
    },
    /// A field is null in a version that cannot express null.
    #[error("{field} must not be null in version {version}")]
    NullNotAllowed {
        /// `Struct.field`.
        field: &'static str,
        /// The version.
        version: i16,
    },
    /// A version of an API that this crate does not implement.
    #[error("version {version} of {api} is not supported")]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
    },
    /// A version of what belongs to no API that this crate does not implement.
    #[error("version {version} of {name} is not supported")]
    UnsupportedDataVersion {
        /// Its name, e.g. `OffsetCommitValue`.
        name: &'static str,
        /// The version in front of it, or asked for. Of a record's key: the kind of its record.
        version: i16,
    },
    /// A string, array, records or frame longer than its length field can say.
    #[error("{length} is more than the protocol's length field can hold ({max})")]
    TooLong {
        /// Length in bytes, or number of elements.
        length: usize,
        /// The most that could be written.
        max: usize,
    },
}
