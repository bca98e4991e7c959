//! The last stable offset never goes back, whoever leads.

use std::collections::BTreeMap;

use super::Invariant;
use crate::fact::{Fact, Logs};
use crate::message::Part;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StableOffset {
    last: BTreeMap<Part, usize>,
}

impl Invariant for StableOffset {
    fn name(&self) -> &'static str {
        "stable offset"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &Logs) -> Result<(), String> {
        let Fact::StableOffset { part, offset } = fact else { return Ok(()) };
        let last = self.last.insert(*part, *offset).unwrap_or(0);
        if *offset < last { Err(format!("{part:?} goes from {last} to {offset}")) } else { Ok(()) }
    }
}
