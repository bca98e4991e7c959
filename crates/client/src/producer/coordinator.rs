//! What a transactional producer asks the coordinators of its transactions and of groups, each until it is answered.
//!
//! Owns which errors pass, which end the transaction and which the producer. Keeps no state of a transaction: that is the
//! business of [`transaction`](super::transaction).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_model::{NodeId, Offset, TopicPartition};
use ottla_wire::Request;
use ottla_wire::error::ErrorCode;
use ottla_wire::message::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use ottla_wire::message::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic};
use ottla_wire::message::end_txn::{EndTxnRequest, EndTxnResponse};
use ottla_wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_wire::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::batch::Identity;
use crate::backoff::{Backoff, random_u32};
use crate::client::{Deadline, Purpose};
use crate::connection::{Answer, Connection};
use crate::coordinator::{self, Key};
use crate::group::offsets::{GroupMetadata, by_topic};
use crate::retry::again;
use crate::{Client, ClientError};

/// Newest version of AddPartitionsToTxn that is a producer's; those behind it are the brokers' own.
const OF_PRODUCERS: i16 = 3;
/// Newest version of EndTxn by the rules before KIP-890.
const END_BEFORE_890: i16 = 4;
/// Newest version of TxnOffsetCommit by the rules before KIP-890.
const OFFSETS_BEFORE_890: i16 = 4;
/// First version of TxnOffsetCommit that says for which member it is (KIP-447).
const OF_A_MEMBER: i16 = 3;
/// First wait after CONCURRENT_TRANSACTIONS: the end of the transaction before is mostly written by then, as in Kafka.
const CONCURRENT_BACKOFF_MS: u32 = 20;

/// What an error means for the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// The same may be asked again.
    Passes,
    /// The transaction is to be aborted.
    Abortable,
    /// The producer has ended.
    Fatal,
}

/// What a coordinator's error means.
pub(super) fn severity(error: &ClientError) -> Severity {
    match error {
        ClientError::Refused { code, .. } => match code {
            // By a coordinator's word another producer has the transactional id, or did what this one should have done.
            ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidTxnState => Severity::Fatal,
            code if is_forbidden(*code) => Severity::Fatal,
            code if code.retriable() => Severity::Passes,
            _ => Severity::Abortable,
        },
        ClientError::Connect { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Disconnected { .. }
        | ClientError::RequestTimeout { .. }
        | ClientError::Malformed { .. }
        | ClientError::ResponseTooLarge { .. } => Severity::Passes,
        ClientError::NoCommonVersion { .. } | ClientError::Unsendable { .. } => Severity::Fatal,
        _ => Severity::Abortable,
    }
}

/// What the failure of a batch means. A leader that knows of a newer epoch does not know whose: the coordinator will tell.
pub(super) fn severity_of_batch(error: &ClientError) -> Severity {
    match error.code() {
        Some(ErrorCode::ProducerFenced) => Severity::Fatal,
        Some(code) if is_forbidden(code) => Severity::Fatal,
        _ => Severity::Abortable,
    }
}

/// Nothing that this producer is allowed to do mends it.
fn is_forbidden(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::UnsupportedVersion
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::InvalidTransactionTimeout
    )
}

/// The coordinator of one transactional id, wherever it is.
#[derive(Debug)]
pub(super) struct Coordinator {
    client: Client,
    pub(super) transactional_id: String,
    /// As far as is known.
    node: Mutex<Option<NodeId>>,
}

/// Tries at one question.
struct Tries<'c> {
    coordinator: &'c Coordinator,
    deadline: Deadline,
    what: &'static str,
    failures: u32,
}

impl Tries<'_> {
    /// Waits for the next try, or says that there is none.
    async fn failed(&mut self, error: ClientError) -> Result<(), ClientError> {
        if severity(&error) != Severity::Passes {
            return Err(error);
        }
        let concurrent = error.code() == Some(ErrorCode::ConcurrentTransactions);
        if !concurrent && error.code() != Some(ErrorCode::CoordinatorLoadInProgress) {
            *self.coordinator.node.lock() = None;
            self.coordinator.client.request_refresh();
        }
        if Instant::now() >= self.deadline.at {
            let what = format!("{} was not done for {}", self.what, self.coordinator.key());
            return Err(self.deadline.passed(what, Some(error)));
        }
        tracing::debug!(transactional_id = self.coordinator.transactional_id, what = self.what, %error, "asked again");
        self.failures += 1;
        let config = self.coordinator.client.config();
        let first_ms = if concurrent { config.retry_backoff_ms.min(CONCURRENT_BACKOFF_MS) } else { config.retry_backoff_ms };
        let wait = Backoff::new(first_ms, config.retry_backoff_max_ms).after(self.failures, random_u32());
        // The last try is at the deadline, not a whole wait behind it.
        let left = self.deadline.at.saturating_duration_since(Instant::now());
        sleep(wait.min(left.max(Duration::from_millis(1)))).await;
        Ok(())
    }
}

impl Coordinator {
    pub(super) fn new(client: &Client, transactional_id: &str) -> Coordinator {
        Coordinator { client: client.clone(), transactional_id: transactional_id.to_owned(), node: Mutex::new(None) }
    }

    fn key(&self) -> Key<'_> {
        Key::Transaction(&self.transactional_id)
    }

    fn tries(&self, what: &'static str, deadline: Deadline) -> Tries<'_> {
        Tries { coordinator: self, deadline, what, failures: 0 }
    }

    async fn connection(&self) -> Result<Connection, ClientError> {
        let known = *self.node.lock();
        let node = match known {
            Some(node) => node,
            None => {
                let found = coordinator::find(&self.client, self.key()).await?.id;
                *self.node.lock() = Some(found);
                found
            }
        };
        self.client.connection(node, Purpose::General).await
    }

    async fn ask<'q, R: Request<'q>>(&self, request: &R, newest: i16) -> Result<Answer, ClientError> {
        let connection = self.connection().await?;
        let version = connection.version::<R>(newest)?;
        connection.submit(request, version).await?.answer().await
    }

    /// Whether transactions run by the rules of KIP-890.
    pub(super) async fn by_890(&self, deadline: Deadline) -> Result<bool, ClientError> {
        again!(self.tries("the look for its rules", deadline), async { Ok(self.connection().await?.transaction_version() >= 2) })
    }

    /// Takes over the transactional id, or with `current` only its next epoch, which another producer's is not (KIP-360).
    pub(super) async fn init(&self, current: Option<Identity>, timeout_ms: u32, deadline: Deadline) -> Result<Identity, ClientError> {
        again!(self.tries("InitProducerId", deadline), async {
            let request = InitProducerIdRequest {
                transactional_id: Some(&self.transactional_id),
                transaction_timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
                producer_id: current.map_or(-1, |current| current.producer_id),
                producer_epoch: current.map_or(-1, |current| current.producer_epoch),
            };
            let answer = self.ask(&request, i16::MAX).await?;
            let response: InitProducerIdResponse = answer.decode()?;
            self.key().check(response.error_code, None)?;
            Ok(Identity { producer_id: response.producer_id, producer_epoch: response.producer_epoch })
        })
    }

    /// Names partitions that will be written to.
    pub(super) async fn add_partitions(
        &self,
        identity: Identity,
        partitions: &[(Arc<str>, i32)],
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in partitions {
            topics.entry(topic).or_default().push(*partition);
        }
        again!(self.tries("AddPartitionsToTxn", deadline), async {
            let topics = topics.iter().map(|(name, partitions)| AddPartitionsToTxnTopic { name, partitions: partitions.clone() });
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: &self.transactional_id,
                v3_and_below_producer_id: identity.producer_id,
                v3_and_below_producer_epoch: identity.producer_epoch,
                v3_and_below_topics: topics.collect(),
                transactions: Vec::new(),
            };
            let answer = self.ask(&request, OF_PRODUCERS).await?;
            let response: AddPartitionsToTxnResponse<'_> = answer.decode()?;
            // Of several errors the worst counts; those that were not attempted say nothing.
            let mut worst: Option<(Severity, ClientError)> = None;
            for topic in &response.results_by_topic_v3_and_below {
                for partition in &topic.results_by_partition {
                    let code = crate::error::code(partition.partition_error_code);
                    if matches!(code, ErrorCode::None | ErrorCode::OperationNotAttempted) {
                        continue;
                    }
                    // What the topic's authorization refuses is of the partition, all else of the transaction.
                    let subject = match code {
                        ErrorCode::TopicAuthorizationFailed | ErrorCode::UnknownTopicOrPartition => {
                            format!("{}-{}", topic.name, partition.partition_index)
                        }
                        _ => self.key().to_string(),
                    };
                    let error = ClientError::Refused { subject, code, message: None };
                    let weight = severity(&error);
                    if worst.as_ref().is_none_or(|(before, _)| (*before as u8) < weight as u8) {
                        worst = Some((weight, error));
                    }
                }
            }
            worst.map_or(Ok(()), |(_, error)| Err(error))
        })
    }

    /// Names a group whose offsets will be committed.
    pub(super) async fn add_group(&self, identity: Identity, group: &str, deadline: Deadline) -> Result<(), ClientError> {
        again!(self.tries("AddOffsetsToTxn", deadline), async {
            let request = AddOffsetsToTxnRequest {
                transactional_id: &self.transactional_id,
                producer_id: identity.producer_id,
                producer_epoch: identity.producer_epoch,
                group_id: group,
            };
            let answer = self.ask(&request, i16::MAX).await?;
            let response: AddOffsetsToTxnResponse = answer.decode()?;
            match crate::error::code(response.error_code) {
                ErrorCode::GroupAuthorizationFailed => Key::Group(group).check(response.error_code, None),
                _ => self.key().check(response.error_code, None),
            }
        })
    }

    /// Has the group's coordinator keep offsets for the transaction's end.
    pub(super) async fn commit_offsets(
        &self,
        identity: Identity,
        group: &GroupMetadata,
        offsets: &BTreeMap<TopicPartition, Offset>,
        by_890: bool,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let key = Key::Group(group.group_id());
        again!(self.tries("TxnOffsetCommit", deadline), async {
            let (connection, _) = coordinator::connect(&self.client, key).await?;
            let version = connection.version::<TxnOffsetCommitRequest<'_>>(if by_890 { i16::MAX } else { OFFSETS_BEFORE_890 })?;
            let committer = group.committer();
            let named = version >= OF_A_MEMBER;
            let partition = |(partition_index, offset): (i32, &Offset)| TxnOffsetCommitRequestPartition {
                partition_index,
                committed_offset: offset.0,
                committed_metadata: Some(""),
                ..Default::default()
            };
            let topics = by_topic(offsets).into_iter().map(|(name, partitions)| TxnOffsetCommitRequestTopic {
                name,
                partitions: partitions.into_iter().map(partition).collect(),
            });
            let request = TxnOffsetCommitRequest {
                transactional_id: &self.transactional_id,
                group_id: group.group_id(),
                producer_id: identity.producer_id,
                producer_epoch: identity.producer_epoch,
                // An older broker takes offsets of whoever sends them.
                generation_id: if named { committer.generation } else { -1 },
                member_id: if named { &committer.member_id } else { "" },
                group_instance_id: committer.instance_id.as_deref().filter(|_| named),
                topics: topics.collect(),
            };
            let answer = connection.submit(&request, version).await?.answer().await?;
            let response: TxnOffsetCommitResponse<'_> = answer.decode()?;
            for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
                key.check(partition.error_code, None)?;
            }
            Ok(())
        })
    }

    /// Says how the transaction ends. Gives who the producer is from here on, where that changes with each transaction. To ask
    /// again is safe: the coordinator knows an end that it has decided already, also by the epoch before (KIP-890).
    pub(super) async fn end(
        &self,
        identity: Identity,
        committed: bool,
        by_890: bool,
        deadline: Deadline,
    ) -> Result<Option<Identity>, ClientError> {
        again!(self.tries("EndTxn", deadline), async {
            let request = EndTxnRequest {
                transactional_id: &self.transactional_id,
                producer_id: identity.producer_id,
                producer_epoch: identity.producer_epoch,
                committed,
            };
            let answer = self.ask(&request, if by_890 { i16::MAX } else { END_BEFORE_890 }).await?;
            let response: EndTxnResponse = answer.decode()?;
            self.key().check(response.error_code, None)?;
            let next = Identity { producer_id: response.producer_id, producer_epoch: response.producer_epoch };
            Ok(Some(next).filter(|next| by_890 && next.producer_id >= 0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_means_depends_on_who_says_it() {
        let refused = |code| ClientError::Refused { subject: "x".to_owned(), code, message: None };
        for (code, by_coordinator, of_batch) in [
            (ErrorCode::ProducerFenced, Severity::Fatal, Severity::Fatal),
            (ErrorCode::TransactionalIdAuthorizationFailed, Severity::Fatal, Severity::Fatal),
            (ErrorCode::InvalidProducerEpoch, Severity::Fatal, Severity::Abortable),
            (ErrorCode::InvalidTxnState, Severity::Fatal, Severity::Abortable),
            (ErrorCode::TransactionAbortable, Severity::Abortable, Severity::Abortable),
            (ErrorCode::InvalidProducerIdMapping, Severity::Abortable, Severity::Abortable),
            (ErrorCode::TopicAuthorizationFailed, Severity::Abortable, Severity::Abortable),
            (ErrorCode::IllegalGeneration, Severity::Abortable, Severity::Abortable),
            (ErrorCode::ConcurrentTransactions, Severity::Passes, Severity::Abortable),
            (ErrorCode::NotCoordinator, Severity::Passes, Severity::Abortable),
            (ErrorCode::CoordinatorLoadInProgress, Severity::Passes, Severity::Abortable),
        ] {
            assert_eq!((severity(&refused(code)), severity_of_batch(&refused(code))), (by_coordinator, of_batch), "{code:?}");
        }
        let lost = ClientError::Disconnected { address: "a:1".to_owned(), cause: "gone".to_owned() };
        assert_eq!(severity(&lost), Severity::Passes);
    }
}
