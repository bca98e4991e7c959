//! IncrementalAlterConfigs (key 44): change some configs and leave the others as they are (KIP-339).
//!
//! * 0; 1 is flexible.

use std::borrow::Cow;

use crate::Wire;

/// Changes configs, of each resource all or none.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 44, versions = 0..=1, flexible = 1.., response = IncrementalAlterConfigsResponse<'r>)]
pub struct IncrementalAlterConfigsRequest<'a> {
    /// Whose, and what.
    pub resources: Vec<AlterConfigsResource<'a>>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// Changes to one resource.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AlterConfigsResource<'a> {
    /// Kind: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// Its name; of a broker its id, empty for all brokers.
    pub resource_name: &'a str,
    /// The changes.
    pub configs: Vec<AlterableConfig<'a>>,
}

/// A change to one config.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AlterableConfig<'a> {
    /// The config.
    pub name: &'a str,
    /// 0 set, 1 delete, 2 append to a list, 3 take from a list.
    pub config_operation: i8,
    /// The value; null when deleting.
    pub value: Option<&'a str>,
}

/// What became of each resource.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 44, versions = 0..=1, flexible = 1..)]
pub struct IncrementalAlterConfigsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// The resources.
    pub responses: Vec<AlterConfigsResourceResponse<'a>>,
}

/// What became of one resource.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct AlterConfigsResourceResponse<'a> {
    /// Error of this resource.
    pub error_code: i16,
    /// Why it failed, for people.
    pub error_message: Option<Cow<'a, str>>,
    /// Kind, as asked.
    pub resource_type: i8,
    /// Name, as asked.
    pub resource_name: Cow<'a, str>,
}
