//! DescribeConfigs (key 32): configs of topics, brokers and others, and where each value comes from.
//!
//! * 0 says of a value only whether it is the default. Kafka 4 dropped it; `sarama` sends it by default.
//! * 1 says which of several sources it comes from, and the synonyms (KIP-226). 3 adds types and documentation
//!   (KIP-569). 4 is flexible.

use std::borrow::Cow;

use crate::Wire;

/// Asks for configs.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 32, versions = 0..=4, flexible = 4.., response = DescribeConfigsResponse<'r>)]
pub struct DescribeConfigsRequest<'a> {
    /// Whose.
    pub resources: Vec<DescribeConfigsResource<'a>>,
    /// Whether with all values that could apply, not just the one that does.
    #[wire(since = 1)]
    pub include_synonyms: bool,
    /// Whether with what each config is for.
    #[wire(since = 3)]
    pub include_documentation: bool,
}

/// Something that has configs.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResource<'a> {
    /// Kind: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// Its name; of a broker its id, empty for what holds for all brokers.
    pub resource_name: &'a str,
    /// The configs wanted; null: all.
    pub configuration_keys: Option<Vec<&'a str>>,
}

/// The configs.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 32, versions = 0..=4, flexible = 4..)]
pub struct DescribeConfigsResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// By resource.
    pub results: Vec<DescribeConfigsResult<'a>>,
}

/// Configs of one resource.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResult<'a> {
    /// Error of this resource.
    pub error_code: i16,
    /// Why it failed, for people.
    pub error_message: Option<Cow<'a, str>>,
    /// Kind, as asked.
    pub resource_type: i8,
    /// Name, as asked.
    pub resource_name: Cow<'a, str>,
    /// Its configs.
    pub configs: Vec<DescribeConfigsResourceResult<'a>>,
}

/// One config.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResourceResult<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value; null if sensitive or unset.
    pub value: Option<Cow<'a, str>>,
    /// Whether it cannot be altered.
    pub read_only: bool,
    /// Whether nobody set it, in version 0. Kafka's schema does not let it be left out of the others; here it is, since
    /// `config_source` says the same.
    #[wire(until = 0, ignorable)]
    pub is_default: bool,
    /// Where the value comes from: 1 topic, 2 one broker, 3 all brokers, 4 `server.properties`, 5 the default.
    #[wire(since = 1, default = -1, ignorable)]
    pub config_source: i8,
    /// Whether it is kept secret.
    pub is_sensitive: bool,
    /// All values that could apply, the one that does first.
    #[wire(since = 1, ignorable)]
    pub synonyms: Vec<DescribeConfigsSynonym<'a>>,
    /// 0 unknown, 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
    #[wire(since = 3, ignorable)]
    pub config_type: i8,
    /// What it is for.
    #[wire(since = 3, ignorable)]
    pub documentation: Option<Cow<'a, str>>,
}

/// A value that could apply.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribeConfigsSynonym<'a> {
    /// Under this name, e.g. `log.retention.ms` for a topic's `retention.ms`.
    #[wire(since = 1)]
    pub name: Cow<'a, str>,
    /// The value; null if sensitive or unset.
    #[wire(since = 1)]
    pub value: Option<Cow<'a, str>>,
    /// Where it comes from.
    #[wire(since = 1)]
    pub source: i8,
}
