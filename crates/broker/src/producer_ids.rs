//! The producer ids this broker may give out: a block of them at a time from the controller (KIP-730).
//!
//! Owns the rest of the current block. An id is given out once and never again, also not after a restart: the controller has noted
//! the whole block as taken before the first id of it is used, and what is left of a block when the broker stops is lost.

use std::ops::Range;
use std::sync::Arc;

use ottla_cluster::controller::{Command, Reply};
use ottla_model::ProducerId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::context::{BrokerContext, CommandFailure};

/// See the module.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<Range<i64>>,
    /// Held by whoever fetches the next block, so that a burst of new producers costs one block, not one each.
    fetching: tokio::sync::Mutex<()>,
}

impl ProducerIds {
    /// An id, if the block has one left.
    pub fn take(&self) -> Option<ProducerId> {
        self.block.lock().next().map(ProducerId)
    }

    /// An id, after fetching a block where necessary.
    pub async fn take_or_fetch(broker: &Arc<BrokerContext>, deadline: Instant) -> Result<ProducerId, CommandFailure> {
        loop {
            let fetching = tokio::time::timeout_at(deadline, broker.producer_ids.fetching.lock());
            let _only_one = fetching.await.map_err(|_elapsed| CommandFailure::TimedOut)?;
            if let Some(id) = broker.producer_ids.take() {
                return Ok(id);
            }
            let image = broker.image();
            let broker_epoch = image.broker(broker.node()).map(|b| b.epoch);
            drop(image);
            let Some(broker_epoch) = broker_epoch else {
                return Err(CommandFailure::Lost("this broker is not registered".to_owned()));
            };
            let command = Command::AllocateProducerIds { broker_id: broker.node(), broker_epoch };
            match broker.command(command, deadline).await? {
                Reply::ProducerIds(block) => {
                    let first = block.first.0;
                    *broker.producer_ids.block.lock() = first..first.saturating_add(i64::from(block.len));
                }
                other => return Err(CommandFailure::Lost(format!("unexpected reply {other:?}"))),
            }
        }
    }
}
