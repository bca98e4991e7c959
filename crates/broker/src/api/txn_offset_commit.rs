//! TxnOffsetCommit (key 28): keep how far a group has read, once a transaction commits (KIP-98).
//!
//! Versions 0 to 5.
//!
//! * The offsets are written to the group's partition of the offsets topic and wait there for the transaction's marker.
//! * As a batch of Produce, the first of a transaction waits until the transaction's coordinator has said that the partition takes part:
//!   since version 5 (transaction V2) it is asked to have it take part, before, whether it does (KIP-890).
//! * KIP-447: the member and its generation are checked (version 3), so that a member that was replaced commits nothing.
//! * TRANSACTION_ABORTABLE since version 4, INVALID_TXN_STATE before. COORDINATOR_NOT_AVAILABLE for COORDINATOR_LOAD_IN_PROGRESS before
//!   version 2, whose clients fail at the latter (KAFKA-7296).
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::group::{OffsetToCommit, Response, TxnOffsetCommit as Commit};
use ottla_cluster::transaction::{Owner, TransactionalId};
use ottla_log::{AppendOrigin, FirstBatch};
use ottla_model::{GroupId, LeaderEpoch, MemberId, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TopicId, TopicName};
use ottla_wire::ErrorCode;
use ottla_wire::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::groups::{code_of, instance_of};
use super::produce_transactional::{ask, is_asked_for, said_of};
use super::{Answer, ApiHandler, LaterReply, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::coordinator::{Ask, NotTaken, OFFSETS_TOPIC, Unanswered, group_error_code, partition_of};
use crate::partition::{NotServing, Partition};

/// See the module.
pub struct TxnOffsetCommit;

/// First version that leaves it to the group's coordinator to have the partition take part.
const ADDS_SINCE: i16 = 5;
/// First version that may be told TRANSACTION_ABORTABLE.
const ABORTABLE_SINCE: i16 = 4;
/// First version whose clients take COORDINATOR_LOAD_IN_PROGRESS for what it is.
const LOADING_SINCE: i16 = 2;

impl ApiHandler for TxnOffsetCommit {
    type Request<'a> = TxnOffsetCommitRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: TxnOffsetCommitRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let (mut topics, offsets) = read(&request);
        if offsets.is_empty() {
            return reply.send(&TxnOffsetCommitResponse { topics, ..Default::default() });
        }
        let group = GroupId::new(request.group_id);
        let may_begin = if group.is_empty() { Err(ErrorCode::InvalidGroupId) } else { may_begin(broker, &request, version) };
        let may_begin = match may_begin {
            Ok(may_begin) => may_begin,
            Err(code) => {
                fill(&mut topics, told(code, version));
                return reply.send(&TxnOffsetCommitResponse { topics, ..Default::default() });
            }
        };
        let commit = Commit {
            group,
            producer: ProducerId(request.producer_id),
            producer_epoch: ProducerEpoch(request.producer_epoch),
            member: MemberId::new(request.member_id),
            instance: instance_of(request.group_instance_id),
            generation_or_epoch: request.generation_id,
            offsets,
        };
        let answer = move |later: LaterReply, mut topics: Topics, taken: Result<Response, NotTaken>| {
            match taken {
                Ok(Response::TxnOffsetCommit(Ok(each))) => {
                    waiting(&mut topics).zip(&each).for_each(|(partition, result)| partition.error_code = code_of(result));
                }
                Ok(Response::TxnOffsetCommit(Err(error))) => fill(&mut topics, group_error_code(&error)),
                Ok(_) => {
                    tracing::error!("a group coordinator answered another question than it was asked");
                    fill(&mut topics, ErrorCode::UnknownServerError);
                }
                Err(NotTaken::ByLog(code)) => fill(&mut topics, code),
                Err(NotTaken::Unanswered(why)) => fill(&mut topics, told(why.error_code(), version)),
            }
            later.encode(&TxnOffsetCommitResponse { topics, ..Default::default() })
        };
        match may_begin {
            MayBegin::Now(origin) => {
                let committed = broker.groups.commit_in_transaction(commit, origin);
                reply.later(|later| async move { answer(later, topics, committed.await) })
            }
            MayBegin::WhenSaid { partition, origin } => {
                let owner = Owner { producer_id: commit.producer, producer_epoch: commit.producer_epoch };
                let name = partition.topic_partition().clone();
                let id = TransactionalId::new(request.transactional_id);
                let asked = ask(broker, &id, owner, BTreeSet::from([name.clone()]), ask_of(version));
                let broker = Arc::clone(broker);
                // What the connection sends next sees what this one did.
                reply.hold(|later| async move {
                    match said_of(&asked.await, &name) {
                        Ok(()) => answer(later, topics, broker.groups.commit_in_transaction(commit, origin).await),
                        Err(code) => {
                            fill(&mut topics, refusal(code, version));
                            later.encode(&TxnOffsetCommitResponse { topics, ..Default::default() })
                        }
                    }
                })
            }
        }
    }
}

type Topics = Vec<TxnOffsetCommitResponseTopic<'static>>;

const fn ask_of(version: i16) -> Ask {
    if version >= ADDS_SINCE { Ask::Add } else { Ask::Verify }
}

/// The answer as it stands before anybody was asked, and what to ask for.
fn read(request: &TxnOffsetCommitRequest<'_>) -> (Topics, Vec<OffsetToCommit>) {
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let name = TopicName::new(topic.name).ok();
        let error_code = if name.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition }.as_i16();
        let partitions =
            topic.partitions.iter().map(|p| TxnOffsetCommitResponsePartition { partition_index: p.partition_index, error_code });
        topics.push(TxnOffsetCommitResponseTopic { name: Cow::Owned(topic.name.to_owned()), partitions: partitions.collect() });
        let Some(name) = name else { continue };
        offsets.extend(topic.partitions.iter().map(|partition| OffsetToCommit {
            topic: name.clone(),
            topic_id: TopicId::ZERO,
            partition: PartitionId(partition.partition_index),
            offset: Offset(partition.committed_offset),
            leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
            metadata: partition.committed_metadata.unwrap_or("").into(),
        }));
    }
    (topics, offsets)
}

/// What lets the transaction begin on the group's partition.
enum MayBegin {
    /// It is open, or nobody is asked.
    Now(AppendOrigin),
    /// Its coordinator, when asked.
    WhenSaid { partition: Arc<Partition>, origin: AppendOrigin },
}

fn may_begin(broker: &BrokerContext, request: &TxnOffsetCommitRequest<'_>, version: i16) -> Result<MayBegin, ErrorCode> {
    if !is_asked_for(broker, ask_of(version)) {
        return Ok(MayBegin::Now(AppendOrigin::Unverified));
    }
    let partition = partition_of(&broker.image(), OFFSETS_TOPIC, request.group_id).ok_or(ErrorCode::NotCoordinator)?;
    let partition = broker.partition(OFFSETS_TOPIC, partition).and_then(|partition| {
        partition.check_leader(LeaderEpoch::NONE)?;
        Ok(partition)
    });
    let partition = partition.map_err(|why| match why {
        NotServing::Opening => Unanswered::Loading.error_code(),
        NotServing::Busy => Unanswered::NotAvailable.error_code(),
        NotServing::UnknownPartition
        | NotServing::UnknownTopicId
        | NotServing::NotLeader { .. }
        | NotServing::FencedLeaderEpoch { .. }
        | NotServing::UnknownLeaderEpoch
        | NotServing::Offline => Unanswered::NotCoordinator.error_code(),
    })?;
    let first = FirstBatch {
        producer_id: ProducerId(request.producer_id),
        producer_epoch: ProducerEpoch(request.producer_epoch),
        base_sequence: Sequence::NONE,
        raises_epoch: ask_of(version) == Ask::Add,
    };
    Ok(match partition.begin_verification(&first, broker.now()) {
        Some(guard) => MayBegin::WhenSaid { partition, origin: AppendOrigin::Verified(guard) },
        None => MayBegin::Now(AppendOrigin::Client),
    })
}

fn waiting(topics: &mut Topics) -> impl Iterator<Item = &mut TxnOffsetCommitResponsePartition> {
    topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|partition| partition.error_code == ErrorCode::None.as_i16())
}

fn fill(topics: &mut Topics, code: ErrorCode) {
    waiting(topics).for_each(|partition| partition.error_code = code.as_i16());
}

fn told(code: ErrorCode, version: i16) -> ErrorCode {
    if code == ErrorCode::CoordinatorLoadInProgress && version < LOADING_SINCE { ErrorCode::CoordinatorNotAvailable } else { code }
}

/// What the client is told when the transaction's coordinator says no, or nothing.
fn refusal(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < ABORTABLE_SINCE => ErrorCode::InvalidTxnState,
        // Not the group's coordinator is gone, that the client would look for.
        ErrorCode::NetworkException | ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
            told(ErrorCode::CoordinatorLoadInProgress, version)
        }
        // Older clients take it for fatal here.
        ErrorCode::ConcurrentTransactions if ask_of(version) == Ask::Verify => told(ErrorCode::CoordinatorLoadInProgress, version),
        other => told(other, version),
    }
}
