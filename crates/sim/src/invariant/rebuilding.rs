//! What the log says is what the coordinator knows: rebuilt from the whole of it, one comes to the same state.

use std::collections::BTreeMap;

use ottla_cluster::transaction::TransactionCoordinator;

use super::Invariant;
use crate::message::Part;
use crate::node::{Host, rebuild_groups, rebuild_transactions};
use crate::world::World;

/// See the module.
#[derive(Debug)]
pub(super) struct Rebuilding;

impl Invariant for Rebuilding {
    fn name(&self) -> &'static str {
        "rebuilding"
    }

    fn at_end(&mut self, world: &World) -> Result<(), String> {
        if let Some(Host::Groups(host)) = world.leading(Part::Offsets) {
            let (is, rebuilt) = (host.coordinator().settled_records(), rebuild_groups(world).0.settled_records());
            if is != rebuilt {
                return Err(format!("groups are {is:?}, and rebuilt {rebuilt:?}"));
            }
        }
        if let Some(Host::Transactions(host)) = world.leading(Part::Transactions) {
            let all = |coordinator: &TransactionCoordinator| -> BTreeMap<String, String> {
                coordinator.transactions().map(|(id, transaction)| (id.to_string(), format!("{transaction:?}"))).collect()
            };
            let (is, rebuilt) = (all(host.coordinator()), all(&rebuild_transactions(world)));
            if is != rebuilt {
                return Err(format!("transactions are {is:?}, and rebuilt {rebuilt:?}"));
            }
        }
        Ok(())
    }
}
