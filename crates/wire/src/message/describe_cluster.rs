//! DescribeCluster (key 60): the nodes of the cluster (KIP-700).
//!
//! * 0 is flexible already. 1 can ask for controllers (KIP-919), 2 for fenced brokers (KIP-1073).

use std::borrow::Cow;

use super::metadata::AUTHORIZED_OPERATIONS_OMITTED;
use crate::Wire;

/// `endpoint_type` of brokers.
pub const ENDPOINT_TYPE_BROKERS: i8 = 1;
/// `endpoint_type` of controllers.
pub const ENDPOINT_TYPE_CONTROLLERS: i8 = 2;

/// Asks for the nodes.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 60, versions = 0..=2, flexible = 0.., response = DescribeClusterResponse<'r>)]
pub struct DescribeClusterRequest {
    /// Whether to say what the client may do to the cluster.
    pub include_cluster_authorized_operations: bool,
    /// Which nodes: 1 brokers, 2 controllers.
    #[wire(since = 1, default = ENDPOINT_TYPE_BROKERS)]
    pub endpoint_type: i8,
    /// Whether with brokers that are registered but not in service.
    #[wire(since = 2)]
    pub include_fenced_brokers: bool,
}

/// The nodes.
#[derive(Wire, Clone, Debug, PartialEq)]
#[wire(key = 60, versions = 0..=2, flexible = 0..)]
pub struct DescribeClusterResponse<'a> {
    /// See [`crate::message`].
    pub throttle_time_ms: i32,
    /// Error of the request.
    pub error_code: i16,
    /// Why it failed, for people.
    #[wire(default = null)]
    pub error_message: Option<Cow<'a, str>>,
    /// Which nodes these are, as asked.
    #[wire(since = 1, default = ENDPOINT_TYPE_BROKERS)]
    pub endpoint_type: i8,
    /// The cluster.
    pub cluster_id: Cow<'a, str>,
    /// Asked of a controller: the leader of its quorum. Asked of a broker: any live broker. -1: nobody known.
    #[wire(default = -1)]
    pub controller_id: i32,
    /// The nodes.
    pub brokers: Vec<DescribeClusterBroker<'a>>,
    /// Bit field of what the client may do to the cluster.
    #[wire(default = AUTHORIZED_OPERATIONS_OMITTED)]
    pub cluster_authorized_operations: i32,
}

/// A node and how to reach it.
#[derive(Wire, Clone, Debug, PartialEq)]
pub struct DescribeClusterBroker<'a> {
    /// The node.
    pub broker_id: i32,
    /// Its advertised host.
    pub host: Cow<'a, str>,
    /// Its advertised port.
    pub port: i32,
    /// Its rack, if it has one.
    #[wire(default = null)]
    pub rack: Option<Cow<'a, str>>,
    /// Whether it is out of service.
    #[wire(since = 2)]
    pub is_fenced: bool,
}
