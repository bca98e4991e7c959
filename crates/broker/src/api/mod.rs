//! The APIs: one file each, and the one list of them.
//!
//! A handler decodes nothing and frames nothing: it is given a request that borrows from the frame, does its effects
//! before it returns, and answers through [`Reply`]. Only the *waiting* (for a sync, for data, for the controller) is
//! handed back as a future, which the connection polls in the order of the requests; and with it what may be done only
//! when somebody has answered, as the coordinator of a transaction before its first batch is written. The registry below
//! drives dispatch, ApiVersions and `docs/protocol.md`; an API that is not in it does not exist.

mod deferred;
mod groups;
mod produce_transactional;
mod reply;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_model::PartitionId;
use ottla_wire::{ApiKey, DecodeError, Message as _, Reader, Request};

pub use deferred::{DEFERRED_BYTES_MAX, Deferred, OPENING_WAIT_MAX, TopicRef};
#[cfg(test)]
pub(crate) use produce_transactional::Asking;
pub use reply::{Answer, CloseReason, Frame, LaterReply, Pending, Reply};

use crate::context::BrokerContext;
use deferred::Unready;

/// On which kinds of listener an API is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// Only where clients and brokers connect.
    Broker,
    /// Only on `controller.listener.names`.
    Controller,
    /// On both.
    Both,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Clients and other brokers.
    Broker,
    /// Other nodes' controllers and brokers.
    Controller,
}

impl Listeners {
    /// Whether an API so declared is served on a listener of `kind`.
    pub const fn serves(self, kind: ListenerKind) -> bool {
        matches!(
            (self, kind),
            (Listeners::Both, _) | (Listeners::Broker, ListenerKind::Broker) | (Listeners::Controller, ListenerKind::Controller)
        )
    }
}

/// The listener that a connection came in on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Its name, e.g. `PLAINTEXT`; Metadata answers with the address advertised under this name.
    pub name: String,
    /// What it is for.
    pub kind: ListenerKind,
}

/// Numbers the connections of this process, for logs and fetch sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What is known of a request besides its body.
#[derive(Clone, Debug)]
pub struct RequestContext<'r> {
    /// The version that the request is written in.
    pub version: i16,
    /// Given back in the answer's header.
    pub correlation_id: i32,
    /// `client.id`, if the client sent one.
    pub client_id: Option<&'r str>,
    /// Where the client is.
    pub peer: SocketAddr,
    /// Where it came in.
    pub listener: &'r ListenerInfo,
    /// Which connection it is.
    pub connection: ConnectionId,
}

/// One Kafka API as this broker implements it.
pub trait ApiHandler {
    /// Its request, in every version.
    type Request<'a>: Request<'a>;
    /// The versions that [`ApiHandler::handle`] implements.
    const VERSIONS: RangeInclusive<i16>;
    /// The lowest version that ApiVersions names. Differs from `VERSIONS` for Produce alone: librdkafka takes a broker
    /// that does not name Produce 0 for one too old to talk to (KIP-896).
    const ADVERTISED_SINCE: i16 = *Self::VERSIONS.start();
    /// Where it is served.
    const LISTENERS: Listeners = Listeners::Broker;

    /// Does the request's effects, then answers through `reply` at once or later.
    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: Self::Request<'_>, reply: Reply<'_>) -> Answer;

    /// Names each partition that has to be ready before the request is handled. Most APIs need none.
    fn touches(_request: &Self::Request<'_>, _version: i16, _each: &mut dyn FnMut(TopicRef<'_>, PartitionId)) {}

    /// A version outside of [`ApiHandler::VERSIONS`]. There is no answer that the client could read, so the connection
    /// is closed, as Kafka does; ApiVersions alone answers (KIP-511).
    fn unsupported_version(_broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, _reply: Reply<'_>) -> Answer {
        let key = <Self::Request<'static> as ottla_wire::Message<'static>>::KEY;
        Answer::Close(CloseReason::UnsupportedVersion { api: key, version: cx.version, supported: Self::VERSIONS })
    }
}

type Handle = fn(&Arc<BrokerContext>, &RequestContext<'_>, Reader<'_>, Reply<'_>) -> Answer;

/// A row of the registry.
pub struct Api {
    /// Which API it is.
    pub key: ApiKey,
    /// The versions it answers.
    pub versions: RangeInclusive<i16>,
    /// The lowest version that ApiVersions names.
    pub advertised_since: i16,
    /// Where it is served.
    pub listeners: Listeners,
    handle: Handle,
}

impl Api {
    const fn of<H: ApiHandler>() -> Api {
        Api {
            key: <H::Request<'static> as ottla_wire::Message<'static>>::KEY,
            versions: H::VERSIONS,
            advertised_since: H::ADVERTISED_SINCE,
            listeners: H::LISTENERS,
            handle: decode_and_handle::<H>,
        }
    }
}

fn decode_and_handle<H: ApiHandler>(
    broker: &Arc<BrokerContext>,
    cx: &RequestContext<'_>,
    mut body: Reader<'_>,
    reply: Reply<'_>,
) -> Answer {
    if !H::VERSIONS.contains(&cx.version) {
        return H::unsupported_version(broker, cx, reply);
    }
    let bytes = body.rest();
    match H::Request::decode(&mut body, cx.version) {
        Ok(request) => {
            if broker.partitions.has_unready() {
                let unready = Unready::of::<H>(broker, &request, cx.version);
                if !unready.is_empty() {
                    return deferred::defer::<H>(broker, cx, request, bytes, unready, reply);
                }
            }
            H::handle(broker, cx, request, reply)
        }
        Err(error) => malformed::<H>(cx.version, error),
    }
}

fn malformed<H: ApiHandler>(version: i16, error: DecodeError) -> Answer {
    Answer::Close(CloseReason::Malformed { api: <H::Request<'static> as ottla_wire::Message<'static>>::KEY, version, error })
}

macro_rules! registry {
    ($($module:ident :: $handler:ident),* $(,)?) => {
        $(pub mod $module;)*
        /// Every API that this broker implements.
        pub static APIS: &[Api] = &[$(Api::of::<$module::$handler>()),*];
    };
}

registry! {
    produce::Produce,
    fetch::Fetch,
    list_offsets::ListOffsets,
    metadata::Metadata,
    api_versions::ApiVersions,
    create_topics::CreateTopics,
    delete_topics::DeleteTopics,
    delete_records::DeleteRecords,
    init_producer_id::InitProducerId,
    offset_for_leader_epoch::OffsetForLeaderEpoch,
    write_txn_markers::WriteTxnMarkers,
    txn_offset_commit::TxnOffsetCommit,
    describe_configs::DescribeConfigs,
    create_partitions::CreatePartitions,
    incremental_alter_configs::IncrementalAlterConfigs,
    list_partition_reassignments::ListPartitionReassignments,
    find_coordinator::FindCoordinator,
    join_group::JoinGroup,
    sync_group::SyncGroup,
    heartbeat::Heartbeat,
    leave_group::LeaveGroup,
    describe_groups::DescribeGroups,
    list_groups::ListGroups,
    delete_groups::DeleteGroups,
    offset_commit::OffsetCommit,
    offset_fetch::OffsetFetch,
    offset_delete::OffsetDelete,
    consumer_group_heartbeat::ConsumerGroupHeartbeat,
    consumer_group_describe::ConsumerGroupDescribe,
    add_partitions_to_txn::AddPartitionsToTxn,
    add_offsets_to_txn::AddOffsetsToTxn,
    end_txn::EndTxn,
    describe_transactions::DescribeTransactions,
    list_transactions::ListTransactions,
    describe_cluster::DescribeCluster,
    describe_producers::DescribeProducers,
    describe_topic_partitions::DescribeTopicPartitions,
}

/// How many there are.
pub const API_COUNT: usize = APIS.len();

/// Where an API stands in [`APIS`]; beyond its end for one that is not there.
#[inline]
pub fn api_index(key: ApiKey) -> usize {
    static INDEXES: [u8; KEY_MAX] = {
        let mut indexes = [u8::MAX; KEY_MAX];
        let mut i = 0;
        while i < APIS.len() {
            indexes[APIS[i].key as usize] = i as u8;
            i += 1;
        }
        indexes
    };
    INDEXES.get(key as usize).map_or(usize::MAX, |index| usize::from(*index))
}

/// Highest API key that a registry lookup covers; Kafka 4.3's highest is below it.
const KEY_MAX: usize = 128;

/// The row of an API key, by index: looked up once a request.
static BY_KEY: [Option<&'static Api>; KEY_MAX] = {
    let mut table: [Option<&'static Api>; KEY_MAX] = [None; KEY_MAX];
    let mut i = 0;
    while i < APIS.len() {
        table[APIS[i].key as usize] = Some(&APIS[i]);
        i += 1;
    }
    table
};

/// The API of a key on a listener of this kind, if it is implemented and served there.
pub fn lookup(key: i16, kind: ListenerKind) -> Option<&'static Api> {
    let api = (*BY_KEY.get(usize::try_from(key).ok()?)?)?;
    api.listeners.serves(kind).then_some(api)
}

/// Answers one request whose header is read: `body` stands behind the header.
pub fn dispatch(broker: &Arc<BrokerContext>, api: &Api, cx: &RequestContext<'_>, body: Reader<'_>, reply: Reply<'_>) -> Answer {
    (api.handle)(broker, cx, body, reply)
}
