//! DescribeTransactions (key 65): state, producer and partitions of transactional ids (KIP-664).
//!
//! Version 0.
//!
//! * Once the end of a transaction is decided, its partitions are those that wait for their markers.
//! * An id that is not known: TRANSACTIONAL_ID_NOT_FOUND. An empty one: INVALID_REQUEST.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::transaction::{Transaction, TransactionalId};
use ottla_model::TimestampMs;
use ottla_wire::message::describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::coordinator::TransactionRefused;

/// See the module.
pub struct DescribeTransactions;

/// Questions of one request that are under way at a time. A request may name as many ids as fit into it.
const ASKED_AT_ONCE: usize = 100;

impl ApiHandler for DescribeTransactions {
    type Request<'a> = DescribeTransactionsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: DescribeTransactionsRequest<'_>, reply: Reply<'_>) -> Answer {
        let broker = Arc::clone(broker);
        let ids: Vec<_> = request.transactional_ids.iter().map(|id| TransactionalId::new(id)).collect();
        reply.later(|later| async move {
            let mut transaction_states = Vec::with_capacity(ids.len());
            for part in ids.chunks(ASKED_AT_ONCE) {
                let asked: Vec<_> = part.iter().map(|id| (id, broker.transactions.describe(id))).collect();
                for (id, described) in asked {
                    transaction_states.push(state_of(id, described.await));
                }
            }
            later.encode(&DescribeTransactionsResponse { transaction_states, ..Default::default() })
        })
    }
}

fn state_of(id: &TransactionalId, described: Result<Transaction, TransactionRefused>) -> TransactionState<'static> {
    let transactional_id = Cow::Owned(id.as_str().to_owned());
    let known = match described {
        Ok(known) => known,
        Err(why) => return TransactionState { error_code: why.error_code().as_i16(), transactional_id, ..Default::default() },
    };
    let mut topics: BTreeMap<_, Vec<i32>> = BTreeMap::new();
    for partition in known.partitions {
        topics.entry(partition.topic).or_default().push(partition.partition.0);
    }
    let topic = |(topic, partitions): (ottla_model::TopicName, _)| TopicData { topic: Cow::Owned(topic.as_str().to_owned()), partitions };
    TransactionState {
        transactional_id,
        transaction_state: Cow::Borrowed(known.state.name()),
        transaction_timeout_ms: known.timeout_ms,
        transaction_start_time_ms: known.started.unwrap_or(TimestampMs::NONE).0,
        producer_id: known.producer_id.0,
        producer_epoch: known.producer_epoch.0,
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    }
}
