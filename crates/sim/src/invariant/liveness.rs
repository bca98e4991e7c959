//! Once faults are over, all comes to rest: every member is in its group and every partition one member's, every transaction is ended, in the
//! coordinator's log and in every partition.

use std::collections::BTreeMap;

use super::Invariant;
use crate::node::Host;
use crate::world::{READ_PARTITIONS, World};

/// See the module.
#[derive(Debug)]
pub(super) struct Liveness;

impl Invariant for Liveness {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn at_end(&mut self, world: &World) -> Result<(), String> {
        let mut owned: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for membership in world.clients().filter_map(|client| client.membership()) {
            if !membership.is_in() {
                return Err(format!("not in its group: {membership:?}"));
            }
            owned.entry(membership.group_name()).or_default().extend(membership.owned());
        }
        for (group, mut owned) in owned {
            owned.sort_unstable();
            if owned != (0..READ_PARTITIONS).collect::<Vec<_>>() {
                return Err(format!("of {group} there are owned {owned:?}"));
            }
        }
        if let Some(producer) = world.clients().filter_map(|client| client.producer()).find(|producer| !producer.is_ready()) {
            return Err(format!("not done: {producer:?}"));
        }
        for part in world.parts() {
            let open = match world.leading(part) {
                None => return Err(format!("nobody leads {part:?}")),
                Some(Host::Groups(host)) => host.producers().open_count(),
                Some(Host::Data(host)) => host.producers().open_count(),
                Some(Host::Transactions(host)) => {
                    let coordinator = host.coordinator();
                    if let Some((id, transaction)) = coordinator.transactions().find(|(_, transaction)| !transaction.state.is_at_rest()) {
                        return Err(format!("{id} is not complete: {transaction:?}"));
                    }
                    usize::from(!coordinator.is_idle())
                }
            };
            if open > 0 {
                return Err(format!("{open} transactions are open in {part:?}"));
            }
        }
        Ok(())
    }
}
