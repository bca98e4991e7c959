//! Holds what a cluster shows against the histories of those who wrote it. Pure.
//!
//! A transaction is *committed* where the client was told so; *not committed* where it was told that, or never asked for a
//! commit; else it is *open to both*, and then whole: all of its values are seen, or none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::book::{Histories, Outcome, Place, Told, TransactionId, Value, ValueId};

/// Findings that are told one by one.
const FINDINGS_TOLD_MAX: usize = 20;

/// A record that was read; `value` is `None` where it is nobody's here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) place: Place,
    pub(crate) value: Option<Value>,
}

/// What a topic shows, in the order of its partitions' offsets.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// To a reader of committed records.
    pub(crate) committed: Vec<Seen>,
    /// To a reader of all.
    pub(crate) all: Vec<Seen>,
    /// Partitions of which a reader of committed records does not get to the end: a transaction is open there.
    pub(crate) held_up: usize,
}

/// What was found: how many of each, and some of them in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Committed, and not seen.
    pub lost: u64,
    /// Seen more than once.
    pub doubled: u64,
    /// Values of transactions that were not committed, and are seen.
    pub aborted_read: u64,
    /// Transactions of which a part is seen.
    pub torn: u64,
    /// Behind a value of the same client and partition that was sent after them.
    pub out_of_order: u64,
    /// Acknowledged, and not at that offset; or seen by readers of committed records at another than by readers of all.
    pub displaced: u64,
    /// Values that nobody sent, or that stand in another partition than they were sent to.
    pub strange: u64,
    /// Committed inputs that were not moved.
    pub unmoved: u64,
    /// Inputs that were moved more than once.
    pub moved_twice: u64,
    /// Outputs of inputs that no reader of committed records may have seen.
    pub from_nothing: u64,
    /// Partitions in which a transaction is still open.
    pub held_up: u64,
    /// The first of them in words.
    pub told: Vec<String>,
}

impl Findings {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.lost
            + self.doubled
            + self.aborted_read
            + self.torn
            + self.out_of_order
            + self.displaced
            + self.strange
            + self.unmoved
            + self.moved_twice
            + self.from_nothing
            + self.held_up
    }

    fn add(&mut self, count: fn(&mut Findings) -> &mut u64, say: impl FnOnce() -> String) {
        *count(self) += 1;
        if self.told.len() < FINDINGS_TOLD_MAX {
            self.told.push(say());
        }
    }
}

/// What is known of a transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Committed,
    NotCommitted,
    /// Asked to be committed, and no answer.
    Either,
}

impl Told {
    pub(crate) fn known(&self) -> Known {
        match (self.commit, self.outcome) {
            (_, Some(Outcome::Committed)) => Known::Committed,
            (_, Some(Outcome::Aborted)) => Known::NotCommitted,
            // Whatever else is not known of it: nobody asked for a commit.
            (None | Some(false), _) => Known::NotCommitted,
            (Some(true), None | Some(Outcome::Unknown)) => Known::Either,
        }
    }

    /// Movers write to the target, all others to the source.
    fn is_moved(&self) -> bool {
        self.plan.iter().any(|planned| planned.from.is_some())
    }
}

/// Finds all that is wrong. `target` is `None` where nothing is moved.
pub(crate) fn check(histories: &Histories, source: &View, target: Option<&View>) -> Findings {
    let mut findings = Findings::default();
    check_topic("source", histories, source, false, &mut findings);
    if let Some(target) = target {
        check_topic("target", histories, target, true, &mut findings);
        check_moves(source, target, &mut findings);
    }
    findings
}

/// Where its records stand.
pub(crate) fn places(view: &[Seen]) -> BTreeSet<Place> {
    view.iter().map(|seen| seen.place).collect()
}

fn check_topic(topic: &str, histories: &Histories, view: &View, is_target: bool, findings: &mut Findings) {
    let own = |id: &TransactionId| histories.transactions.get(id).filter(|told| told.is_moved() == is_target);
    for _ in 0..view.held_up {
        findings.add(|all| &mut all.held_up, || format!("{topic}: a transaction is still open in one of its partitions"));
    }
    let visible = places_of_values(&view.committed);
    let all = places_of_values(&view.all);
    for seen in &view.all {
        let planned = seen.value.and_then(|value| own(&value.id.transaction)?.plan.get(value.id.index as usize).copied());
        let place = seen.place;
        match (seen.value, planned) {
            (Some(value), Some(planned))
                if planned.partition == place.partition && planned.from == value.input.map(|input| input.place) => {}
            (value, _) => {
                let which = value.map_or_else(|| "a record of somebody else".to_owned(), |value| value.id.to_string());
                findings.add(|all| &mut all.strange, || format!("{topic} {place}: {which} was not sent there"));
            }
        }
    }
    for (value, at) in &all {
        // Sent again, a batch is stored once, whether its transaction is committed or not.
        for again in at.iter().skip(1) {
            findings.add(|all| &mut all.doubled, || format!("{topic} {again}: {value} is there again, first at {}", at[0]));
        }
    }
    for (value, at) in &visible {
        // Those in both are counted above.
        if all.get(value) != Some(at) {
            let may_be = all.get(value).map(Vec::as_slice).unwrap_or_default();
            for place in at.iter().filter(|place| !may_be.contains(place)) {
                findings
                    .add(|all| &mut all.displaced, || format!("{topic} {place}: {value} is not there for readers of uncommitted records"));
            }
            if at.len() > may_be.len().max(1) {
                findings.add(|all| &mut all.doubled, || format!("{topic}: {value} is seen {} times", at.len()));
            }
        }
    }
    check_order(topic, &view.all, findings);
    for (id, told) in histories.transactions.iter().filter(|(_, told)| told.is_moved() == is_target) {
        let value = |index: usize| ValueId { transaction: *id, index: index as u32 };
        let seen: Vec<usize> = (0..told.plan.len()).filter(|index| visible.contains_key(&value(*index))).collect();
        match told.known() {
            Known::Committed => {
                for index in (0..told.plan.len()).filter(|index| !seen.contains(index)) {
                    findings.add(|all| &mut all.lost, || format!("{topic}: {} is committed and not seen", value(index)));
                }
            }
            Known::NotCommitted => {
                for index in &seen {
                    findings.add(|all| &mut all.aborted_read, || format!("{topic}: {} is seen and not committed", value(*index)));
                }
            }
            Known::Either if seen.is_empty() || seen.len() == told.plan.len() => {}
            Known::Either => {
                findings.add(|all| &mut all.torn, || format!("{topic}: of {id} {} of {} values are seen", seen.len(), told.plan.len()));
            }
        }
        for (index, offset) in &told.written {
            let Some(planned) = told.plan.get(*index as usize) else { continue };
            let told_place = Place { partition: planned.partition, offset: *offset };
            let id = value(*index as usize);
            let stands = all.get(&id).map(Vec::as_slice).unwrap_or_default();
            // What is committed and nowhere at all is lost, and told as that.
            let is_lost = stands.is_empty() && told.known() == Known::Committed;
            if !is_lost && !stands.contains(&told_place) {
                findings
                    .add(|all| &mut all.displaced, || format!("{topic}: {id} was acknowledged at {told_place} and stands at {stands:?}"));
            }
        }
    }
}

fn places_of_values(view: &[Seen]) -> BTreeMap<ValueId, Vec<Place>> {
    let mut places: BTreeMap<ValueId, Vec<Place>> = BTreeMap::new();
    for seen in view {
        if let Some(value) = seen.value {
            places.entry(value.id).or_default().push(seen.place);
        }
    }
    places
}

/// Values of a client stand in a partition as they were sent; those of a producer that was fenced before those of the one that
/// fenced it.
fn check_order(topic: &str, view: &[Seen], findings: &mut Findings) {
    let mut last: HashMap<(i32, u32), ValueId> = HashMap::new();
    for seen in view {
        let Some(value) = seen.value else { continue };
        let newest = last.entry((seen.place.partition, value.id.transaction.client)).or_insert(value.id);
        if value.id < *newest {
            let place = seen.place;
            findings.add(|all| &mut all.out_of_order, || format!("{topic} {place}: {} stands behind {newest}", value.id));
        }
        *newest = (*newest).max(value.id);
    }
}

/// Each input that readers of committed records see is moved once, as what it is.
fn check_moves(source: &View, target: &View, findings: &mut Findings) {
    let mut inputs: BTreeMap<Place, (Option<ValueId>, u64)> =
        source.committed.iter().map(|seen| (seen.place, (seen.value.map(|value| value.id), 0))).collect();
    for seen in &target.committed {
        // Any other is strange there, and counted as that.
        let Some(input) = seen.value.and_then(|value| value.input) else { continue };
        match inputs.get_mut(&input.place) {
            Some((value, moved)) if *value == Some(input.value) => *moved += 1,
            _ => {
                let Place { partition, offset } = seen.place;
                findings.add(
                    |all| &mut all.from_nothing,
                    || format!("target {partition}:{offset}: moved from {}, where {} is not seen", input.place, input.value),
                );
            }
        }
    }
    for (place, (_, moved)) in &inputs {
        match moved {
            0 => findings.add(|all| &mut all.unmoved, || format!("source {place}: not moved")),
            1 => {}
            _ => findings.add(|all| &mut all.moved_twice, || format!("source {place}: moved {moved} times")),
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
