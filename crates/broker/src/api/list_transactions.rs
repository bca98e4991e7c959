//! ListTransactions (key 66): all transactional ids that this broker coordinates (KIP-664).
//!
//! Versions 0 to 2. Filtered by state and producer, by how long the transaction has been running (KIP-994, version 1), and by a pattern
//! that the whole id matches (KIP-1152, version 2).
//!
//! * States that there are none of are told in `unknown_state_filters`; if there were no others, nothing is listed.
//! * As in Kafka an id without a transaction has been running for longer than anything.
//! * A pattern that is none: INVALID_REGULAR_EXPRESSION. While one of the coordinators reads its log: COORDINATOR_LOAD_IN_PROGRESS.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::re2;
use ottla_cluster::transaction::TransactionState;
use ottla_model::ProducerId;
use ottla_wire::ErrorCode;
use ottla_wire::message::list_transactions::{self as wire, ListTransactionsRequest, ListTransactionsResponse};

use super::{Answer, ApiHandler, Reply, RequestContext};
use crate::context::BrokerContext;
use crate::coordinator::TransactionFilter;

/// See the module.
pub struct ListTransactions;

/// All states that are ever listed.
const STATES: [TransactionState; 6] = [
    TransactionState::Empty,
    TransactionState::Ongoing,
    TransactionState::PrepareCommit,
    TransactionState::PrepareAbort,
    TransactionState::CompleteCommit,
    TransactionState::CompleteAbort,
];
/// States of Kafka's that no transaction here is ever in.
const NEVER: [&str; 2] = ["Dead", "PrepareEpochFence"];

impl ApiHandler for ListTransactions {
    type Request<'a> = ListTransactionsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: ListTransactionsRequest<'_>, reply: Reply<'_>) -> Answer {
        let pattern = match request.transactional_id_pattern.filter(|pattern| !pattern.is_empty()).map(re2::compile).transpose() {
            Ok(pattern) => pattern,
            Err(_invalid) => return reply.send(&failed(ErrorCode::InvalidRegularExpression)),
        };
        let (mut states, mut unknown_state_filters) = (BTreeSet::new(), Vec::new());
        for name in &request.state_filters {
            match STATES.iter().find(|state| state.name() == *name) {
                Some(state) => drop(states.insert(*state)),
                None if NEVER.contains(name) => {}
                None => unknown_state_filters.push(Cow::Owned((*name).to_owned())),
            }
        }
        let asked = broker.transactions.list(TransactionFilter {
            states: (!request.state_filters.is_empty()).then_some(states),
            producer_ids: request.producer_id_filters.iter().map(|id| ProducerId(*id)).collect(),
            running_ms_over: Some(request.duration_filter).filter(|ms| *ms >= 0),
            pattern,
        });
        reply.later(|later| async move {
            let listed = match asked.await {
                Ok(listed) => listed,
                Err(why) => return later.encode(&failed(why.error_code())),
            };
            let state = |known: &crate::coordinator::ListedTransaction| wire::TransactionState {
                transactional_id: Cow::Owned(known.transactional_id.as_str().to_owned()),
                producer_id: known.producer_id.0,
                transaction_state: Cow::Borrowed(known.state.name()),
            };
            let transaction_states = listed.iter().map(state).collect();
            later.encode(&ListTransactionsResponse { unknown_state_filters, transaction_states, ..Default::default() })
        })
    }
}

fn failed(code: ErrorCode) -> ListTransactionsResponse<'static> {
    ListTransactionsResponse { error_code: code.as_i16(), ..Default::default() }
}
