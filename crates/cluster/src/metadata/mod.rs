//! The cluster's metadata: the records of the metadata log, and the image they add up to.
//!
//! *Invariant:* [`MetadataImage::apply`] is the only way an image changes, so that every node that applied the same records
//! holds the same image.

mod check;
mod image;
mod record;

pub use check::Violation;
pub use image::{ApplyError, BrokerImage, MetadataImage, MetadataPosition, PartitionImage, TopicChange, TopicImage};
pub use record::{BrokerEndpoint, ConfigResource, MetadataRecord, PartitionChange, PartitionRecord, RegisterBrokerRecord, SupportedLevels};
