//! What becomes of a message: it arrives, late, twice or never. Knows nothing of what is in it.
//!
//! A client that gives up on a connection and asks again on another may be overtaken by what it asked before: so messages are late without
//! bound on order, and twice. Where Kafka's protocol itself takes the order of one connection for granted and has nothing else to tell the
//! late from the current, a message keeps its [`Order`].

use std::collections::BTreeMap;

use crate::random::Random;

/// No message is later than this.
const DELAY_MS_MAX: u64 = 10_000;

/// Who speaks to whom.
pub(crate) type Link = (u64, u64);

/// Whether a message may be overtaken by a later one, or come twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Any,
    /// As on one connection; and what was asked is forgotten with it, when the client gives up.
    Kept,
}

/// The faults of all connections.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Nothing is lost any more, nor late.
    pub calm: bool,
    last_arrivals: BTreeMap<Link, u64>,
}

impl Network {
    /// When a message arrives; never, once or twice.
    pub fn arrivals_ms(&mut self, now_ms: u64, link: Link, order: Order, random: &mut Random) -> Vec<u64> {
        let delay_ms = |random: &mut Random| match random.below(100) {
            0 => random.between(100, DELAY_MS_MAX),
            1..=4 => random.between(50, 3_000),
            _ => random.between(1, 30),
        };
        if self.calm {
            return vec![self.in_order(link, order, now_ms + random.between(1, 10))];
        }
        if random.per_mille(25) {
            return vec![];
        }
        let first = now_ms + delay_ms(random);
        if order == Order::Kept {
            return vec![self.in_order(link, order, first)];
        }
        if random.per_mille(25) { vec![first, now_ms + delay_ms(random)] } else { vec![first] }
    }

    fn in_order(&mut self, link: Link, order: Order, arrival_ms: u64) -> u64 {
        if order == Order::Any {
            return arrival_ms;
        }
        let last = self.last_arrivals.entry(link).or_default();
        *last = arrival_ms.max(*last);
        *last
    }
}
