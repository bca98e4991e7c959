//! The image and records of one command while it is computed.

use std::borrow::Cow;

use ottla_model::config::{Overrides, ServerConfig};

use super::{ControllerError, Randomness};
use crate::metadata::{ApplyError, MetadataImage, MetadataRecord};

/// An image with the records that led to it from where the command began.
pub(super) struct Draft<'a> {
    pub image: MetadataImage,
    pub records: Vec<MetadataRecord>,
    pub server: Cow<'a, ServerConfig>,
    pub random: Randomness,
    pub next_index: u64,
}

impl<'a> Draft<'a> {
    pub fn new(image: MetadataImage, server: &'a ServerConfig, random: Randomness, next_index: u64) -> Result<Draft<'a>, ControllerError> {
        let for_all = image.default_broker_config();
        // The controller heeds what is set for all brokers; what is set for one is that broker's own.
        let server = if for_all.is_empty() { Cow::Borrowed(server) } else { Cow::Owned(server.with_dynamic(&for_all, &Overrides::new())?) };
        Ok(Draft { image, records: Vec::new(), server, random, next_index })
    }

    /// Writes a record, and goes on from the image after it.
    pub fn emit(&mut self, record: MetadataRecord) -> Result<(), ApplyError> {
        self.image.apply(&record)?;
        self.records.push(record);
        Ok(())
    }
}
