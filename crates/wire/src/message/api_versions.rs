//! ApiVersions (key 18): which APIs and versions, and which features, a node speaks.
//!
//! * 0–2 are alike but for the throttle time that 1 adds.
//! * 3 is flexible and names the client's software (KIP-511). The response header stays version 0, and a node that does
//!   not know the version asked for answers in version 0 with `UNSUPPORTED_VERSION` and its versions of this API.
//! * 4 lets a feature's lowest supported version be 0 (KAFKA-17011); until then such features are left out.

use std::borrow::Cow;

use crate::Wire;

/// Asks what the node speaks.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 18, versions = 0..=4, flexible = 3.., response = ApiVersionsResponse<'r>)]
pub struct ApiVersionsRequest<'a> {
    /// What the client is, e.g. `apache-kafka-java`.
    #[wire(since = 3, ignorable)]
    pub client_software_name: &'a str,
    /// Its version.
    #[wire(since = 3, ignorable)]
    pub client_software_version: &'a str,
}

/// What the node speaks.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 18, versions = 0..=4, flexible = 3..)]
pub struct ApiVersionsResponse<'a> {
    /// Error of the whole request.
    pub error_code: i16,
    /// The APIs served.
    pub api_keys: Vec<ApiVersion>,
    /// See [`crate::message`].
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// Features the node supports (KIP-584). Below version 4 without those whose `min_version` is 0.
    #[wire(tag = 0, tagged = 3.., ignorable)]
    pub supported_features: Vec<SupportedFeatureKey<'a>>,
    /// Rises with each change of the finalized features; -1: not known.
    #[wire(tag = 1, tagged = 3.., default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// Features in force in the whole cluster; meaningful only with an epoch.
    #[wire(tag = 2, tagged = 3.., ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey<'a>>,
    /// Left from the move away from ZooKeeper.
    #[wire(tag = 3, tagged = 3.., ignorable)]
    pub zk_migration_ready: bool,
}

/// An API and its versions.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct ApiVersion {
    /// The API.
    pub api_key: i16,
    /// Lowest version served.
    pub min_version: i16,
    /// Highest version served.
    pub max_version: i16,
}

/// A feature and the levels of it that the node supports.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct SupportedFeatureKey<'a> {
    /// The feature, e.g. `metadata.version`.
    #[wire(since = 3)]
    pub name: Cow<'a, str>,
    /// Lowest level.
    #[wire(since = 3)]
    pub min_version: i16,
    /// Highest level.
    #[wire(since = 3)]
    pub max_version: i16,
}

/// A feature and the levels of it that are in force.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct FinalizedFeatureKey<'a> {
    /// The feature.
    #[wire(since = 3)]
    pub name: Cow<'a, str>,
    /// Highest level in force.
    #[wire(since = 3)]
    pub max_version_level: i16,
    /// Lowest level in force.
    #[wire(since = 3)]
    pub min_version_level: i16,
}
