//! AddPartitionsToTxn (key 24): more partitions take part in a transaction (KIP-98).
//!
//! Versions 0 to 5: up to 3 from clients, of one transaction; from 4 on from brokers, of several, which may only ask whether the partitions
//! are in (KIP-890).
//!
//! * All partitions of a transaction are added or none. If one does not exist it gets UNKNOWN_TOPIC_OR_PARTITION, and the others
//!   OPERATION_NOT_ATTEMPTED. Clients may not name internal topics: TOPIC_AUTHORIZATION_FAILED.
//! * Asked only whether it is in, a partition that is not gets TRANSACTION_ABORTABLE.
//! * Each transaction of a batch is answered for itself.
//! * PRODUCER_FENCED from version 2 (KIP-588), INVALID_PRODUCER_EPOCH before.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

use ottla_cluster::transaction::{AddPartitions, Owner, TransactionVersion, TransactionalId};
use ottla_model::{PartitionId, ProducerEpoch, ProducerId, TopicName, TopicPartition, is_internal_topic};
use ottla_wire::ErrorCode;
use ottla_wire::message::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::coordinator::TransactionRefused;

/// See the module.
pub struct AddPartitionsToTxn;

/// First version that knows PRODUCER_FENCED.
const FENCED_SINCE: i16 = 2;
/// First version of brokers, with several transactions.
const BATCHED_SINCE: i16 = 4;

/// The code of each partition.
type CodeOf = Box<dyn Fn(&str, i32) -> ErrorCode + Send>;
type Codes = BTreeMap<TopicPartition, ErrorCode>;
/// What a coordinator says of one transaction.
type Asked = Pin<Box<dyn Future<Output = Result<Codes, TransactionRefused>> + Send>>;

impl ApiHandler for AddPartitionsToTxn {
    type Request<'a> = AddPartitionsToTxnRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: AddPartitionsToTxnRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let transactions = if version >= BATCHED_SINCE {
            request.transactions
        } else {
            vec![AddPartitionsToTxnTransaction {
                transactional_id: request.v3_and_below_transactional_id,
                producer_id: request.v3_and_below_producer_id,
                producer_epoch: request.v3_and_below_producer_epoch,
                verify_only: false,
                topics: request.v3_and_below_topics,
            }]
        };
        let asked: Vec<_> = transactions.into_iter().map(|transaction| Asking::begin(broker, transaction, version)).collect();
        reply.later(|later| async move {
            let mut results = Vec::with_capacity(asked.len());
            for asking in asked {
                results.push(asking.end(version).await);
            }
            later.encode(&if version >= BATCHED_SINCE {
                AddPartitionsToTxnResponse { results_by_transaction: results, ..Default::default() }
            } else {
                let only = results.pop().map(|result| result.topic_results).unwrap_or_default();
                AddPartitionsToTxnResponse { results_by_topic_v3_and_below: only, ..Default::default() }
            })
        })
    }
}

/// One transaction of a request.
struct Asking {
    transactional_id: String,
    /// As the request names them.
    topics: Vec<(String, Vec<i32>)>,
    known: Known,
}

enum Known {
    /// Before a coordinator was asked; those that are left out have no fault.
    Refused(BTreeMap<(String, i32), ErrorCode>),
    Asked(Asked),
}

impl Asking {
    fn begin(broker: &Arc<BrokerContext>, transaction: AddPartitionsToTxnTransaction<'_>, version: i16) -> Asking {
        let AddPartitionsToTxnTransaction { transactional_id, producer_id, producer_epoch, verify_only, topics } = transaction;
        let known = match look_up(broker, &topics, version) {
            Err(faults) => Known::Refused(faults),
            Ok(partitions) => {
                let id = TransactionalId::new(transactional_id);
                let owner = Owner { producer_id: ProducerId(producer_id), producer_epoch: ProducerEpoch(producer_epoch) };
                Known::Asked(ask(broker, id, owner, partitions, verify_only, version))
            }
        };
        let topics = topics.into_iter().map(|topic| (topic.name.to_owned(), topic.partitions)).collect();
        Asking { transactional_id: transactional_id.to_owned(), topics, known }
    }

    async fn end(self, version: i16) -> AddPartitionsToTxnResult<'static> {
        let code: CodeOf = match self.known {
            Known::Refused(faults) => Box::new(move |topic, partition| {
                faults.get(&(topic.to_owned(), partition)).copied().unwrap_or(ErrorCode::OperationNotAttempted)
            }),
            Known::Asked(asked) => match asked.await {
                Err(why) => Box::new(move |_, _| why.error_code_in(version, FENCED_SINCE)),
                Ok(codes) => Box::new(move |topic, partition| {
                    let name = TopicName::new(topic).ok().map(|name| TopicPartition::new(name, PartitionId(partition)));
                    name.and_then(|name| codes.get(&name).copied()).unwrap_or(ErrorCode::None)
                }),
            },
        };
        let topic_results = self.topics.into_iter().map(|(name, partitions)| {
            let result = |partition_index| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: code(&name, partition_index).as_i16(),
            };
            let results_by_partition = partitions.into_iter().map(result).collect();
            AddPartitionsToTxnTopicResult { name: Cow::Owned(name), results_by_partition }
        });
        let topic_results = topic_results.collect();
        AddPartitionsToTxnResult { transactional_id: Cow::Owned(self.transactional_id), topic_results }
    }
}

/// The partitions, if nothing is wrong with any.
fn look_up(
    broker: &BrokerContext,
    topics: &[AddPartitionsToTxnTopic<'_>],
    version: i16,
) -> Result<BTreeSet<TopicPartition>, BTreeMap<(String, i32), ErrorCode>> {
    let image = broker.image();
    let (mut partitions, mut faults) = (BTreeSet::new(), BTreeMap::new());
    for topic in topics {
        let known = image.topic(topic.name);
        for index in &topic.partitions {
            let fault = match known {
                _ if version < BATCHED_SINCE && is_internal_topic(topic.name) => ErrorCode::TopicAuthorizationFailed,
                Some(known) if image.partition(topic.name, PartitionId(*index)).is_some() => {
                    partitions.insert(TopicPartition::new(known.name.clone(), PartitionId(*index)));
                    continue;
                }
                Some(_) | None => ErrorCode::UnknownTopicOrPartition,
            };
            faults.insert((topic.name.to_owned(), *index), fault);
        }
    }
    if faults.is_empty() { Ok(partitions) } else { Err(faults) }
}

fn ask(
    broker: &BrokerContext,
    transactional_id: TransactionalId,
    owner: Owner,
    partitions: BTreeSet<TopicPartition>,
    verify_only: bool,
    version: i16,
) -> Asked {
    if verify_only {
        let asked = broker.transactions.verify(&transactional_id, owner, partitions);
        return Box::pin(asked);
    }
    let version = if version >= BATCHED_SINCE { TransactionVersion::EpochBump } else { TransactionVersion::Classic };
    let asked = broker.transactions.add(AddPartitions { transactional_id, owner, partitions, version });
    // All of them were: nothing to tell of any.
    Box::pin(async move { asked.await.map(|()| Codes::new()) })
}
