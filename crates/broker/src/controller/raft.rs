//! The types that openraft is set up with, and the network between voters.

use std::fmt;
use std::future::Future;

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{Snapshot, TokioRuntime, Vote};
use ottla_cluster::metadata::MetadataRecord;
use ottla_model::Uuid;
use serde::{Deserialize, Serialize};

/// A voter: a node with the disk it votes from (KIP-853). A node whose disk was replaced has forgotten what it voted, so it is
/// another voter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub(super) struct VoterId {
    /// `node.id`.
    pub node: i32,
    /// `directory.id` of the metadata log dir.
    pub directory: Uuid,
}

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.directory)
    }
}
impl fmt::Debug for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What one entry of the metadata log holds: the records of all commands that were computed together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct MetadataEntry {
    pub records: Vec<MetadataRecord>,
}

/// openraft's types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = MetadataEntry;
    type R = ();
    type NodeId = VoterId;
    type Node = openraft::EmptyNode;
    type Entry = openraft::Entry<TypeConfig>;
    type SnapshotData = Vec<u8>;
    type AsyncRuntime = TokioRuntime;
    type Responder = openraft::impls::OneshotResponder<TypeConfig>;
}

pub(super) type Raft = openraft::Raft<TypeConfig>;
pub(super) type Entry = openraft::Entry<TypeConfig>;
pub(super) type LogId = openraft::LogId<VoterId>;
pub(super) type StorageError = openraft::StorageError<VoterId>;
pub(super) type StorageIOError = openraft::StorageIOError<VoterId>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<VoterId, openraft::EmptyNode>;
pub(super) type StoredMembership = openraft::StoredMembership<VoterId, openraft::EmptyNode>;

/// The network of a quorum of one: there is nobody to reach.
pub(super) struct SoleVoterNetwork;

/// Why another voter is not reached.
#[derive(Debug, thiserror::Error)]
#[error("voter {0} cannot be reached: this version runs metadata quorums of one")]
pub(super) struct NoPeers(VoterId);

impl RaftNetworkFactory<TypeConfig> for SoleVoterNetwork {
    type Network = NoPeer;

    async fn new_client(&mut self, target: VoterId, _node: &openraft::EmptyNode) -> NoPeer {
        NoPeer(target)
    }
}

/// A peer that cannot be reached.
pub(super) struct NoPeer(VoterId);

impl NoPeer {
    fn unreachable(&self) -> Unreachable {
        Unreachable::new(&NoPeers(self.0))
    }
}

type RpcError = RPCError<VoterId, openraft::EmptyNode, RaftError<VoterId>>;

impl RaftNetwork<TypeConfig> for NoPeer {
    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<VoterId>, RpcError> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn vote(&mut self, _rpc: VoteRequest<VoterId>, _option: RPCOption) -> Result<VoteResponse<VoterId>, RpcError> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote<VoterId>,
        _snapshot: Snapshot<TypeConfig>,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<VoterId>, StreamingError<TypeConfig, Fatal<VoterId>>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }
}
