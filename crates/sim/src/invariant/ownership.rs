//! A partition is never owned by two members of a group at once. By KIP-848: neither in the log, what is to be given up included, nor among the
//! clients that are members. By the classic protocol: not by two members of the same generation.

use std::collections::{BTreeMap, BTreeSet};

use ottla_model::GroupId;

use super::Invariant;
use super::roster::{Roster, held};
use crate::fact::{Fact, Logs};
use crate::message::ClientId;

#[derive(Debug)]
struct Owner {
    group: GroupId,
    member: String,
    epoch: i32,
    partitions: BTreeSet<i32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    roster: Roster,
    owners: BTreeMap<ClientId, Owner>,
}

impl Invariant for Ownership {
    fn name(&self) -> &'static str {
        "ownership"
    }

    fn see(&mut self, fact: &Fact<'_>, logs: &Logs) -> Result<(), String> {
        if self.roster.see(fact, logs) {
            self.check_log()?;
            return self.check_clients();
        }
        match fact {
            Fact::Owned { client, group, member, epoch, partitions } => {
                let owner = Owner { group: (*group).clone(), member: member.to_string(), epoch: *epoch, partitions: (*partitions).clone() };
                self.owners.insert(*client, owner);
                self.check_clients()
            }
            Fact::Disowned { client } => {
                self.owners.remove(client);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Ownership {
    fn check_log(&self) -> Result<(), String> {
        for (group, members) in &self.roster.groups {
            let mut owners: BTreeMap<i32, &String> = BTreeMap::new();
            for (member, current) in &members.consumers {
                for partition in held(current) {
                    if let Some(other) = owners.insert(partition, member) {
                        return Err(format!("partition {partition} of {group} is held by {other} and {member} in the log"));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_clients(&self) -> Result<(), String> {
        let mut taken: BTreeMap<(&GroupId, i32, i32), (ClientId, &str)> = BTreeMap::new();
        for (client, owner) in &self.owners {
            let Some(members) = self.roster.groups.get(&owner.group).filter(|members| members.has(&owner.member)) else { continue };
            // By KIP-848 members of different epochs own at the same time.
            let generation = if members.consumers.contains_key(&owner.member) { -1 } else { owner.epoch };
            for partition in &owner.partitions {
                if let Some((other, member)) = taken.insert((&owner.group, generation, *partition), (*client, &owner.member))
                    && member != owner.member
                {
                    return Err(format!("partition {partition} of {} is owned by clients {other} and {client}", owner.group));
                }
            }
        }
        Ok(())
    }
}
