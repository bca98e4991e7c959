//! A committed offset never goes back below what was acknowledged, and never vanishes: what the coordinator looks up is the newest commit of
//! its log, an acknowledged one is below the high watermark and in the log of every later leader.

use std::collections::BTreeMap;

use ottla_cluster::group::{BatchContent, TransactionResult};
use ottla_model::{GroupId, ProducerId};

use super::Invariant;
use crate::fact::{Fact, Logs, commits};
use crate::log::Replicated;
use crate::message::Part;

type Key = (GroupId, i32);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CommittedOffsets {
    /// Offset in the log, and number of the commit that counts.
    current: BTreeMap<Key, (usize, u64)>,
    open: BTreeMap<ProducerId, Vec<(Key, usize, u64)>>,
    /// Where each commit is in the log; a request that came twice, the first time.
    positions: BTreeMap<u64, usize>,
    acknowledged: BTreeMap<Key, (usize, u64)>,
}

impl Invariant for CommittedOffsets {
    fn name(&self) -> &'static str {
        "committed offsets"
    }

    fn see(&mut self, fact: &Fact<'_>, logs: &Logs) -> Result<(), String> {
        match fact {
            Fact::OffsetsAppended { at, content } => self.apply(*at, content),
            Fact::Elected { part: Part::Offsets, end } => {
                let lost = self.acknowledged.iter().find(|(_, (at, _))| at >= end);
                if let Some(((group, partition), (at, number))) = lost {
                    return Err(format!("commit {number} of {group} {partition} at {at} was acknowledged, and is lost: {end} is the end"));
                }
                (self.current, self.open, self.positions) = Default::default();
                logs.offsets.entries().iter().enumerate().for_each(|(at, content)| self.apply(at, content));
            }
            Fact::OffsetAcknowledged { group, partition, number } => {
                let key = ((*group).clone(), *partition);
                let at = *self.positions.get(number).ok_or(format!("commit {number} was acknowledged, and is not in the log"))?;
                if at >= logs.offsets.high_watermark() {
                    return Err(format!("commit {number} at {at} was acknowledged, and is not committed"));
                }
                let newest = self.acknowledged.entry(key).or_insert((at, *number));
                *newest = (*newest).max((at, *number));
            }
            Fact::OffsetLookedUp { group, partition, found } => {
                let key = ((*group).clone(), *partition);
                let (is, found) = (self.current.get(&key).copied(), found.as_ref().map(|tag| tag.number));
                if is.map(|(_, number)| number) != found {
                    return Err(format!("{group} {partition}: found {found:?}, and the log has {is:?}"));
                }
                if self.acknowledged.get(&key).is_some_and(|acknowledged| is.is_none_or(|is| is.0 < acknowledged.0)) {
                    return Err(format!("{group} {partition}: {is:?} is older than what was acknowledged"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl CommittedOffsets {
    fn apply(&mut self, at: usize, content: &BatchContent) {
        match content {
            BatchContent::Records(records) => {
                for (group, partition, _, tag) in commits(records) {
                    self.positions.entry(tag.number).or_insert(at);
                    self.current.insert((group.clone(), partition), (at, tag.number));
                }
            }
            BatchContent::Transactional { producer, records, .. } => {
                for (group, partition, _, tag) in commits(records) {
                    self.positions.entry(tag.number).or_insert(at);
                    self.open.entry(*producer).or_default().push(((group.clone(), partition), at, tag.number));
                }
            }
            BatchContent::Marker(end) => {
                for (key, at, number) in self.open.remove(&end.producer).unwrap_or_default() {
                    // What was committed after it was written stays.
                    if end.result == TransactionResult::Commit && self.current.get(&key).is_none_or(|(current, _)| *current < at) {
                        self.current.insert(key, (at, number));
                    }
                }
            }
        }
    }
}
