//! ListConfigResources (key 74): what has configs of its own.
//!
//! * 0 is ListClientMetricsResources (KIP-1000): names of client metrics subscriptions. It is flexible already.
//! * 1 lists other kinds as well (KIP-1142).

use std::borrow::Cow;

use crate::Wire;

/// `resource_type` of client metrics subscriptions: the only kind in version 0.
pub const RESOURCE_TYPE_CLIENT_METRICS: i8 = 16;

/// Asks for resources.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 74, versions = 0..=1, flexible = 0.., response = ListConfigResourcesResponse<'r>)]
pub struct ListConfigResourcesRequest {
    /// Kinds, as in DescribeConfigs; empty: all that can be listed.
    #[wire(since = 1)]
    pub resource_types: Vec<i8>,
}

/// The resources.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 74, versions = 0..=1, flexible = 0..)]
pub struct ListConfigResourcesResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// The resources.
    pub config_resources: Vec<ConfigResource<'a>>,
}

/// A resource.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ConfigResource<'a> {
    /// Its name.
    pub resource_name: Cow<'a, str>,
    /// Its kind.
    #[wire(since = 1, default = RESOURCE_TYPE_CLIENT_METRICS, ignorable)]
    pub resource_type: i8,
}
