//! A client's process: a member of a group, a transactional producer, or both (it consumes, transforms and produces). A model of what Kafka's
//! clients do: one request of a kind at a time, asked again on errors that pass, after looking for the coordinator anew.

mod classic;
mod consumer;
mod encoding;
mod member;
mod producer;
mod reader;

use ottla_cluster::transaction::TransactionVersion;
use ottla_model::Uuid;

pub(crate) use member::{Membership, Protocol};
pub(crate) use producer::Producer;
use reader::Reader;

use crate::message::{Answer, Ask, ClientId, Part};
use crate::random::Random;
use crate::world::World;

/// After so long a client gives up waiting for an answer.
const REQUEST_TIMEOUT_MS: u64 = 4_000;
/// Between two tries.
pub(crate) const BACKOFF_MS: u64 = 200;

/// What a client has itself woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Its membership is looked after.
    Member,
    /// It reads and writes.
    Work,
    /// The producer tries again.
    Produce,
    /// A request was not answered in time.
    Timeout(u64),
}

/// A place for one process at a time, but for the times when there are two.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub group: Option<(&'static str, Protocol)>,
    pub instance: Option<String>,
    pub transactional: Option<(String, TransactionVersion)>,
}

impl Slot {
    /// Whom a history is about.
    pub fn draw(random: &mut Random) -> Vec<Slot> {
        let mut slots = Vec::new();
        for group in ["g0", "g1"] {
            let protocol = [Protocol::Eager, Protocol::Cooperative, Protocol::Consumer, Protocol::Consumer][random.below(4)];
            let transforms = random.below(2) == 0;
            for number in 0..1 + random.below(3) {
                // A static member that restarts between the two rebalances of a cooperative one is given what it had, without the second: what
                // is to go to others is nobody's until the next rebalance.
                let is_static = random.below(3) == 0 && protocol != Protocol::Cooperative;
                let instance = is_static.then(|| format!("{group}-i{number}"));
                let version = version(random);
                let transactional = transforms.then(|| (format!("{group}-t{number}"), version));
                slots.push(Slot { group: Some((group, protocol)), instance, transactional });
            }
        }
        for number in 0..1 + random.below(2) {
            let transactional = Some((format!("p{number}"), version(random)));
            slots.push(Slot { group: None, instance: None, transactional });
        }
        slots
    }

    /// Whether a second process takes over from the first, by an instance id or a transactional id.
    pub fn has_name(&self) -> bool {
        self.instance.is_some() || self.transactional.is_some()
    }
}

fn version(random: &mut Random) -> TransactionVersion {
    if random.below(3) == 0 { TransactionVersion::Classic } else { TransactionVersion::EpochBump }
}

/// Asks, and will be woken if there is no answer. Gives the request's number.
fn ask(world: &mut World, client: ClientId, part: Part, timeout_ms: u64, ask: Ask) -> u64 {
    let number = world.next_number();
    world.ask_from_client(client, part, number, ask);
    world.wake_after(client, timeout_ms, Wake::Timeout(number));
    number
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    id: ClientId,
    slot: usize,
    membership: Option<Membership>,
    reader: Option<Reader>,
    producer: Option<Producer>,
}

impl Client {
    pub fn new(id: ClientId, slot: usize, spec: &Slot, fresh: Uuid) -> Client {
        let membership = spec.group.map(|(group, protocol)| Membership::new(id, group, protocol, spec.instance.as_deref(), fresh));
        let producer = spec.transactional.as_ref().map(|(transactional_id, version)| Producer::new(id, transactional_id, *version));
        let reader = membership.as_ref().map(|_| Reader::new(id));
        Client { id, slot, membership, reader, producer }
    }

    pub fn id(&self) -> ClientId {
        self.id
    }

    pub fn slot(&self) -> usize {
        self.slot
    }

    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    pub fn producer(&self) -> Option<&Producer> {
        self.producer.as_ref()
    }

    /// Whether its membership or its producer waits for the answer to a request.
    pub fn waits_for(&self, number: u64) -> bool {
        let member = self.membership.as_ref().is_some_and(|membership| membership.waits_for(number));
        member || self.producer.as_ref().is_some_and(|producer| producer.waits_for(number))
    }

    pub fn start(&mut self, world: &mut World) {
        if let Some(membership) = &mut self.membership {
            membership.woken(world, false);
        }
        if let Some(producer) = &mut self.producer {
            producer.start(world);
        }
        world.wake_after(self.id, 500, Wake::Work);
    }

    pub fn is_alive(&self) -> bool {
        !self.membership.as_ref().is_some_and(Membership::is_fenced) && !self.producer.as_ref().is_some_and(Producer::is_fenced)
    }

    /// A word of farewell. It does not wait for an answer.
    pub fn leave(&mut self, world: &mut World) {
        if let Some(membership) = &mut self.membership {
            membership.leave(world);
        } else if let Some(producer) = &mut self.producer {
            producer.give_up();
        }
    }

    pub fn woken(&mut self, world: &mut World, wake: Wake) {
        let is_busy = self.producer.as_ref().is_some_and(Producer::is_busy);
        match wake {
            Wake::Member => {
                if let Some(membership) = &mut self.membership {
                    membership.woken(world, is_busy);
                }
            }
            Wake::Work => {
                match (&self.membership, &mut self.reader) {
                    (Some(membership), Some(reader)) => reader.woken(world, membership, self.producer.as_mut()),
                    _ => {
                        if let Some(producer) = &mut self.producer {
                            producer.write_something(world);
                        }
                    }
                }
                let delay_ms = world.random.between(200, 1_500);
                world.wake_after(self.id, delay_ms, Wake::Work);
            }
            Wake::Produce => {
                if let Some(producer) = &mut self.producer {
                    producer.woken(world);
                }
            }
            Wake::Timeout(number) => {
                if let Some(membership) = &mut self.membership {
                    membership.timed_out(world, number, is_busy);
                }
                if let Some(reader) = &mut self.reader {
                    reader.timed_out(number);
                }
                if let Some(producer) = &mut self.producer {
                    producer.timed_out(world, number);
                }
            }
        }
        self.after(world);
    }

    pub fn answered(&mut self, world: &mut World, number: u64, answer: Answer) {
        let is_busy = self.producer.as_ref().is_some_and(Producer::is_busy);
        if let Some(membership) = self.membership.as_mut().filter(|membership| membership.waits_for(number)) {
            membership.answered(world, answer, is_busy);
        } else if let Some(producer) = self.producer.as_mut().filter(|producer| producer.waits_for(number)) {
            producer.answered(world, answer);
        } else if let (Some(reader), Some(membership)) = (&mut self.reader, &self.membership) {
            reader.answered(world, membership, number, answer);
        }
        self.after(world);
    }

    fn after(&mut self, world: &mut World) {
        if let (Some(producer), Some(reader)) = (&mut self.producer, &mut self.reader)
            && let Some(outcome) = producer.take_outcome()
        {
            reader.transaction_ended(outcome);
        }
        if let Some(membership) = &mut self.membership {
            if !self.producer.as_ref().is_some_and(Producer::is_busy) {
                membership.not_busy(world);
            }
            if let Some(reader) = &mut self.reader {
                reader.keep_only(membership);
            }
        }
    }
}
