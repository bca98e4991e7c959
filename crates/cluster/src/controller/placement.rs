//! Where the replicas of new partitions go.
//!
//! As Kafka's `StripedReplicaPlacer`: leaders go round the brokers from a random start, replicas of one partition to different
//! racks while there are any free, and never two to one broker. A broker without a rack counts its host as one: two processes on
//! one machine die together. Unlike it, each choice takes the broker that has got least of this request so far, so that racks of
//! different sizes do not leave one broker with a multiple of another's load.

use std::collections::BTreeSet;

use ottla_model::NodeId;

use super::{ControllerError, Randomness};
use crate::metadata::{BrokerImage, MetadataImage};

/// A broker as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementBroker {
    /// Its id.
    pub id: NodeId,
    /// Its rack, or else its host.
    pub rack: String,
    /// Whether it may lead and be in an ISR now.
    pub active: bool,
}

impl From<&BrokerImage> for PlacementBroker {
    fn from(broker: &BrokerImage) -> PlacementBroker {
        // A rack and a host of the same name are not the same place.
        let rack = match (&broker.rack, broker.end_points.first()) {
            (Some(rack), _) => format!("rack {rack}"),
            (None, Some(end_point)) => format!("host {}", end_point.host),
            (None, None) => format!("broker {}", broker.id),
        };
        PlacementBroker { id: broker.id, rack, active: broker.is_active() }
    }
}

/// A broker in the ring, with what it has been given.
struct Slot {
    broker: PlacementBroker,
    leaders: usize,
    replicas: usize,
}

/// Places the partitions of one request, one after the other.
pub struct Placer {
    /// Neighbours are on different racks as far as the racks go.
    ring: Vec<Slot>,
    start: usize,
    placed: usize,
}

impl Placer {
    /// A placer for the brokers of an image.
    pub fn of(image: &MetadataImage, random: &mut Randomness) -> Placer {
        Placer::new(image.brokers().map(|broker| broker.as_ref().into()).collect(), random)
    }

    /// A placer for these brokers.
    pub fn new(mut brokers: Vec<PlacementBroker>, random: &mut Randomness) -> Placer {
        brokers.sort_by_key(|broker| broker.id);
        let start = if brokers.is_empty() { 0 } else { random.below(brokers.len()) };
        let ring = interleave_racks(brokers).into_iter().map(|broker| Slot { broker, leaders: 0, replicas: 0 }).collect();
        Placer { ring, start, placed: 0 }
    }

    /// Checks a replication factor against the brokers there are.
    pub fn check(&self, replication_factor: i16) -> Result<usize, ControllerError> {
        let brokers = self.ring.len();
        match usize::try_from(replication_factor) {
            Err(_) | Ok(0) => Err(ControllerError::InvalidReplicationFactor { factor: replication_factor }),
            Ok(factor) if factor > brokers => Err(ControllerError::ReplicationBeyondBrokers { factor: replication_factor, brokers }),
            Ok(_) if !self.ring.iter().any(|slot| slot.broker.active) => Err(ControllerError::AllBrokersFenced { brokers }),
            Ok(factor) => Ok(factor),
        }
    }

    /// The replicas of the next partition, the preferred leader first.
    pub fn place(&mut self, replication_factor: i16) -> Result<Vec<NodeId>, ControllerError> {
        let factor = self.check(replication_factor)?;
        let brokers = self.ring.len();
        let origin = self.start + self.placed;
        // After each full round the followers of one leader begin elsewhere, so that its load spreads when it dies.
        let shift = self.placed / brokers;
        self.placed += 1;
        let mut replicas = Vec::with_capacity(factor);
        let mut racks: BTreeSet<String> = BTreeSet::new();
        let mut from = origin;
        for nth in 0..factor {
            let leading = nth == 0;
            let distance = |at: usize| (at + brokers - from % brokers) % brokers;
            let free = |slot: &Slot| !replicas.contains(&slot.broker.id) && (slot.broker.active || !leading);
            let best = self
                .ring
                .iter()
                .enumerate()
                .filter(|(_, slot)| free(slot))
                .min_by_key(|(at, slot)| {
                    let load = if leading { slot.leaders } else { slot.replicas };
                    (racks.contains(&slot.broker.rack), !slot.broker.active, load, distance(*at))
                })
                .map(|(at, _)| at);
            // `check` saw as many brokers as replicas, one of them active.
            let Some(slot) = best.and_then(|at| self.ring.get_mut(at)) else {
                return Err(ControllerError::ReplicationBeyondBrokers { factor: replication_factor, brokers });
            };
            slot.replicas += 1;
            slot.leaders += usize::from(leading);
            racks.insert(slot.broker.rack.clone());
            replicas.push(slot.broker.id);
            from = origin + 1 + shift;
        }
        Ok(replicas)
    }
}

/// One broker of each rack in turn, as long as any has one left.
fn interleave_racks(brokers: Vec<PlacementBroker>) -> Vec<PlacementBroker> {
    let mut by_rack: std::collections::BTreeMap<String, std::collections::VecDeque<PlacementBroker>> = Default::default();
    for broker in brokers {
        by_rack.entry(broker.rack.clone()).or_default().push_back(broker);
    }
    let mut ring = Vec::new();
    while !by_rack.is_empty() {
        by_rack.retain(|_, rack| {
            ring.extend(rack.pop_front());
            !rack.is_empty()
        });
    }
    ring
}
