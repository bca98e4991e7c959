//! Consume, transform, produce: what a group's members read they have written exactly once, up to the offset that the group has committed.

use std::collections::BTreeMap;

use super::Invariant;
use super::atomicity::visible;
use crate::fact::commits;
use crate::world::World;
use ottla_cluster::group::BatchContent;

/// See the module.
#[derive(Debug)]
pub(super) struct ExactlyOnce;

impl Invariant for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly once"
    }

    fn at_end(&mut self, world: &World) -> Result<(), String> {
        let mut sources: BTreeMap<(&str, i32), Vec<(i64, i64)>> = BTreeMap::new();
        for (group, partition, from, to) in visible(&world.logs).into_iter().filter_map(|value| value.source) {
            sources.entry((group, partition)).or_default().push((from, to));
        }
        for ((group, partition), mut read) in sources {
            read.sort_unstable();
            let mut position = 0;
            for (from, to) in read {
                if from != position {
                    return Err(format!("{group} {partition}: {from}..{to} follows {position}"));
                }
                position = to;
            }
            let is_there = world.logs.offsets.entries().iter().any(|content| match content {
                BatchContent::Transactional { records, .. } => {
                    commits(records).any(|(of, at, offset, _)| of.as_str() == group && at == partition && offset == position)
                }
                _ => false,
            });
            if !is_there {
                return Err(format!("{group} {partition}: nobody committed {position}, up to where is written"));
            }
        }
        Ok(())
    }
}
