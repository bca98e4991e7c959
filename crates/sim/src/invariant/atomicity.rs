//! What a transaction wrote is all there for read_committed, in every partition, once; or none of it, ever. If its client was told that it is
//! committed it is there, if it is aborted it is not, and so the offsets that it committed. What was not acknowledged before the client asked to
//! commit belongs to no transaction that is there.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::group::{BatchContent, TransactionResult};

use super::Invariant;
use crate::fact::{DataEntry, Fact, Logs, Outcome, commits};
use crate::log::Replicated;
use crate::message::{TransactionNumber, Value};
use crate::world::World;

#[derive(Debug, Default)]
struct Transaction {
    values: BTreeSet<u64>,
    offsets: BTreeSet<u64>,
    commit_asked: bool,
    outcome: Option<Outcome>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Atomicity {
    transactions: BTreeMap<TransactionNumber, Transaction>,
}

impl Invariant for Atomicity {
    fn name(&self) -> &'static str {
        "atomicity"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &Logs) -> Result<(), String> {
        match fact {
            Fact::Begun { transaction, values, offsets, .. } => {
                let values = values.iter().map(|value| value.number).collect();
                let begun = Transaction { values, offsets: offsets.iter().copied().collect(), ..Transaction::default() };
                self.transactions.insert(*transaction, begun);
            }
            Fact::CommitAsked { transaction } => {
                self.transactions.entry(*transaction).or_default().commit_asked = true;
            }
            Fact::Ended { transaction, outcome } => {
                self.transactions.entry(*transaction).or_default().outcome = Some(*outcome);
            }
            _ => {}
        }
        Ok(())
    }

    fn at_end(&mut self, world: &World) -> Result<(), String> {
        let mut there: BTreeMap<TransactionNumber, (BTreeSet<u64>, BTreeSet<u64>)> = BTreeMap::new();
        for value in visible(&world.logs) {
            if !there.entry(value.transaction).or_default().0.insert(value.number) {
                return Err(format!("{value:?} is there twice"));
            }
        }
        for (transaction, number) in counted(&world.logs) {
            there.entry(transaction).or_default().1.insert(number);
        }
        for (number, transaction) in &self.transactions {
            let (values, offsets) = there.remove(number).unwrap_or_default();
            let is_whole = values == transaction.values && offsets == transaction.offsets;
            let is_nothing = values.is_empty() && offsets.is_empty();
            let is_right = match transaction.outcome {
                Some(Outcome::Committed) => is_whole,
                Some(Outcome::Aborted) => is_nothing,
                None => is_nothing || (is_whole && transaction.commit_asked),
            };
            if !is_right {
                return Err(format!("of transaction {number}, {transaction:?}, there are {values:?} and offsets {offsets:?}"));
            }
        }
        if there.is_empty() { Ok(()) } else { Err(format!("of no transaction: {there:?}")) }
    }
}

/// What read_committed shows, partition after partition.
pub(super) fn visible(logs: &Logs) -> Vec<&Value> {
    let mut visible = Vec::new();
    for log in &logs.data {
        let mut open: BTreeMap<_, Vec<&Value>> = BTreeMap::new();
        for entry in &log.entries()[..log.high_watermark()] {
            match entry {
                DataEntry::Value { owner, value, .. } => open.entry(owner.producer_id).or_default().push(value),
                DataEntry::Marker { owner, commit, .. } => {
                    let values = open.remove(&owner.producer_id).unwrap_or_default();
                    if *commit {
                        visible.extend(values);
                    }
                }
            }
        }
    }
    visible
}

/// The offsets of transactions that came to count.
fn counted(logs: &Logs) -> Vec<(TransactionNumber, u64)> {
    let (mut counted, mut open) = (Vec::new(), BTreeMap::<_, Vec<(TransactionNumber, u64)>>::new());
    for content in &logs.offsets.entries()[..logs.offsets.high_watermark()] {
        match content {
            BatchContent::Transactional { producer, records, .. } => {
                let tags = commits(records).filter_map(|(.., tag)| Some((tag.transaction?, tag.number)));
                open.entry(*producer).or_default().extend(tags);
            }
            BatchContent::Marker(end) => {
                let tags = open.remove(&end.producer).unwrap_or_default();
                if end.result == TransactionResult::Commit {
                    counted.extend(tags);
                }
            }
            BatchContent::Records(_) => {}
        }
    }
    counted
}
