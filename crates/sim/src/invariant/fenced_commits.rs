//! What a member commits that was fenced, or with the generation or epoch of another time, never comes into the log.

use ottla_cluster::group::BatchContent;
use ottla_model::PartitionId;

use super::Invariant;
use super::roster::Roster;
use crate::fact::{CommitTag, Fact, Logs, commits};
use crate::world::read_topic_id;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FencedCommits {
    roster: Roster,
}

impl Invariant for FencedCommits {
    fn name(&self) -> &'static str {
        "fenced commits"
    }

    fn see(&mut self, fact: &Fact<'_>, logs: &Logs) -> Result<(), String> {
        if let Fact::OffsetsAppended { content, .. } = fact {
            let (records, transactional) = match content {
                BatchContent::Records(records) => (records.as_slice(), false),
                BatchContent::Transactional { records, .. } => (records.as_slice(), true),
                BatchContent::Marker(_) => (&[][..], false),
            };
            for (group, partition, _, tag) in commits(records).filter(|(.., tag)| tag.epoch >= 0) {
                let Some(members) = self.roster.groups.get(group) else { return Err(format!("{tag:?} of a group without members")) };
                let is_valid = match members.consumers.get(&tag.member) {
                    Some(current) => {
                        // An epoch before the current one counts for what the member has had since then (KIP-1251).
                        let (topic, partition) = (read_topic_id(), PartitionId(partition));
                        let since = current.assigned.since(topic, partition).or(current.revoking.since(topic, partition));
                        tag.epoch == current.epoch.0 || (tag.epoch < current.epoch.0 && since.is_some_and(|since| since.0 <= tag.epoch))
                    }
                    None => is_of_generation(&tag, members.generation, members.classic.contains(&tag.member), transactional),
                };
                if !is_valid {
                    return Err(format!("{group} {partition}: {tag:?} counts, of {members:?}"));
                }
            }
        }
        self.roster.see(fact, logs);
        Ok(())
    }
}

/// A generation is in the log when all have their parts. In a transaction its members may commit before.
fn is_of_generation(tag: &CommitTag, generation: i32, is_member: bool, transactional: bool) -> bool {
    (tag.epoch == generation && is_member) || (transactional && tag.epoch > generation)
}
