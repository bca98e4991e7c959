//! A producer whose transactional id nobody has taken over, whose transaction has not timed out and whose id has not expired is never told that
//! it is fenced, or that what it asks for does not fit its transaction. (The simulation's producers ask for nothing else.)

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::transaction::{Owner, TransactionState, TransactionalId};
use ottla_model::{ProducerEpoch, ProducerId};

use super::Invariant;
use crate::fact::{Fact, Logs};

/// The order in which an id has owners: producer ids and epochs only rise.
type Order = (ProducerId, ProducerEpoch);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unfenced {
    /// Who owns an id by its coordinator's log, lost records among it.
    newest: BTreeMap<TransactionalId, Order>,
    /// All owners below it are fenced.
    fences: BTreeMap<TransactionalId, Order>,
    /// Their present owners may be refused until they are initialized anew: by a deposed coordinator, which tells what was right in its
    /// time, or because an InitProducerId of their own came late, which gives them the same epoch again and begins with nothing.
    may_be_refused: BTreeSet<TransactionalId>,
}

fn order(owner: &Owner) -> Order {
    (owner.producer_id, owner.producer_epoch)
}

impl Invariant for Unfenced {
    fn name(&self) -> &'static str {
        "unfenced"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &Logs) -> Result<(), String> {
        match fact {
            Fact::TransactionAppended { record, by, takes_over } => {
                let id = &record.transactional_id;
                if *takes_over {
                    self.may_be_refused.insert(id.clone());
                }
                let fence = match &record.value {
                    Some(value) => {
                        let owner = (value.producer_id, value.producer_epoch);
                        self.newest.insert(id.clone(), owner);
                        let is_timeout = by.is_none() && value.state == TransactionState::PrepareAbort;
                        (*takes_over || is_timeout).then_some(owner)
                    }
                    // It has expired.
                    None => self.newest.get(id).map(|(producer_id, _)| (*producer_id, ProducerEpoch(i16::MAX))),
                };
                if let Some(fence) = fence {
                    let highest = self.fences.entry(id.clone()).or_insert(fence);
                    *highest = fence.max(*highest);
                }
                Ok(())
            }
            Fact::AskedDeposed { transactional_id } => {
                self.may_be_refused.insert((*transactional_id).clone());
                Ok(())
            }
            Fact::Initialized { transactional_id, .. } => {
                self.may_be_refused.remove(*transactional_id);
                Ok(())
            }
            Fact::Refused { transactional_id, owner, answer } => {
                let is_fenced = self.fences.get(*transactional_id).is_some_and(|fence| order(owner) < *fence);
                if is_fenced || self.may_be_refused.contains(*transactional_id) {
                    return Ok(());
                }
                Err(format!("{owner:?} of {transactional_id} was fenced by nobody, and is told {answer:?}"))
            }
            _ => Ok(()),
        }
    }
}
