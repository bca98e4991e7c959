//! Questions of a partition's leader to the transaction coordinator before a transaction's first write (KIP-890), and who waits for them.

use std::collections::BTreeMap;

use ottla_cluster::transaction::{Owner, TransactionError, TransactionVersion, TransactionalId};

use super::Place;
use crate::message::{Answer, Ask, From, Part, WriteError};
use crate::network::Order;
use crate::producers::Producers;
use crate::world::World;

/// What is asked for, and waits.
#[derive(Debug, Default)]
pub(crate) struct Verification {
    waiting: BTreeMap<u64, (From, Ask, Owner, u64)>,
}

impl Verification {
    /// Whether the producer may write at once. If not, it is asked about, and the request waits.
    pub fn may_write(
        &mut self,
        world: &mut World,
        place: Place,
        producers: &mut Producers,
        (from, ask): (From, &Ask),
        (transactional_id, owner, version): (&TransactionalId, Owner, TransactionVersion),
    ) -> bool {
        if producers.is_open(owner) {
            return true;
        }
        let guard = producers.guard(owner, version);
        let number = world.next_number();
        self.waiting.insert(number, (from, ask.clone(), owner, guard));
        let partition = place.part.topic_partition();
        let question = Ask::Verify { transactional_id: transactional_id.clone(), owner, version, partition };
        world.ask_from_node(place, Part::Transactions, number, question);
        false
    }

    /// What waited for an answer, and whether it may be written now.
    pub fn answered(
        &mut self,
        world: &World,
        producers: &Producers,
        number: u64,
        answer: &Answer,
    ) -> Option<(From, Ask, Result<(), WriteError>)> {
        let (from, ask, owner, guard) = self.waiting.remove(&number)?;
        // If a transaction is open, it may be another one of the same epoch by now: in version 1 nothing tells.
        if ask.order() == Order::Kept && producers.is_open(owner) && world.has_given_up(from) {
            return None;
        }
        let verdict = match answer {
            Answer::Verified(Ok(true)) => producers.check_guard(owner, guard),
            Answer::Verified(Ok(false)) => Err(WriteError::NotInTransaction),
            Answer::Verified(Err(TransactionError::Concurrent | TransactionError::NotWritten { .. })) => Err(WriteError::Retry),
            Answer::Verified(Err(TransactionError::Fenced { .. })) => Err(WriteError::Fenced),
            Answer::Verified(Err(_)) => Err(WriteError::NotInTransaction),
            _ => Err(WriteError::Retry),
        };
        Some((from, ask, verdict))
    }

    pub fn end(self) -> impl Iterator<Item = From> {
        self.waiting.into_values().map(|(from, ..)| from)
    }
}
