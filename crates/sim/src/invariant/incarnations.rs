//! Once a process has taken a transactional id over, the one before neither adds to a transaction nor commits one. And nobody but a producer
//! commits.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::transaction::{Owner, TransactionState, TransactionalId};

use super::Invariant;
use crate::fact::{Fact, Logs};
use crate::message::ClientId;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Incarnations {
    newest: BTreeMap<TransactionalId, (Owner, ClientId)>,
    fenced: BTreeSet<ClientId>,
}

impl Invariant for Incarnations {
    fn name(&self) -> &'static str {
        "incarnations"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &Logs) -> Result<(), String> {
        match fact {
            Fact::Initialized { transactional_id, client, owner } => {
                let order = |owner: &Owner| (owner.producer_id, owner.producer_epoch);
                match self.newest.insert((*transactional_id).clone(), (*owner, *client)) {
                    Some((before, other)) if other != *client && order(&before) == order(owner) => {
                        return Err(format!("clients {other} and {client} are both {owner:?} of {transactional_id}"));
                    }
                    // The answer was late.
                    Some((before, other)) if order(&before) > order(owner) => {
                        self.newest.insert((*transactional_id).clone(), (before, other));
                        if other != *client {
                            self.fenced.insert(*client);
                        }
                    }
                    Some((_, other)) if other != *client => {
                        self.fenced.insert(other);
                        self.fenced.remove(client);
                    }
                    _ => {}
                }
                Ok(())
            }
            Fact::TransactionAppended { record, by, .. } => {
                let Some(value) = &record.value else { return Ok(()) };
                match (value.state, by) {
                    (TransactionState::PrepareCommit, None) => Err(format!("nobody asked to commit {}", record.transactional_id)),
                    (TransactionState::PrepareCommit | TransactionState::Ongoing, Some(client)) if self.fenced.contains(client) => {
                        Err(format!("client {client} was fenced, and {} is {}", record.transactional_id, value.state))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
