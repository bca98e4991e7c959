//! Groups: the questions to a group's coordinator that are the same for administrators and members.
//!
//! Knows nothing of positions or records: those are the consumer's.

mod admin;
pub(crate) mod assignors;
mod classic;
mod coordinated;
pub(crate) mod membership;
pub(crate) mod offsets;

pub use admin::{GroupDescription, GroupKind, GroupListing, GroupMember, LastRebalance};
pub use offsets::{CommittedOffset, GroupMetadata};

use crate::ClientError;
use crate::coordinator::Key;

/// What errors about a group are about.
pub(crate) fn subject(group: &str) -> String {
    Key::Group(group).to_string()
}

/// The error of a code, if it is one.
pub(crate) fn check(group: &str, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
    Key::Group(group).check(error_code, message)
}
