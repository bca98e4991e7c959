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

use crate::context::CommandFailure;
use crate::controller::ControllerHandle;
use crate::metadata_publisher::Published;

/// See the module.
pub struct ProducerIds {
    controller: ControllerHandle,
    published: Arc<Published>,
    block: Mutex<Range<i64>>,
    /// Held by whoever fetches the next block, so that a burst of new producers costs one block, not one each.
    fetching: tokio::sync::Mutex<()>,
}

impl ProducerIds {
    /// Without a block yet.
    pub fn new(controller: ControllerHandle, published: Arc<Published>) -> ProducerIds {
        ProducerIds { controller, published, block: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// An id, if the block has one left.
    pub fn take(&self) -> Option<ProducerId> {
        self.block.lock().next().map(ProducerId)
    }

    /// An id, after fetching a block where necessary.
    pub async fn take_or_fetch(&self, deadline: Instant) -> Result<ProducerId, CommandFailure> {
        match tokio::time::timeout_at(deadline, self.fetch()).await {
            Ok(id) => id,
            Err(_elapsed) => Err(CommandFailure::TimedOut),
        }
    }

    async fn fetch(&self) -> Result<ProducerId, CommandFailure> {
        loop {
            let _only_one = self.fetching.lock().await;
            if let Some(id) = self.take() {
                return Ok(id);
            }
            let broker_id = self.published.node();
            let broker_epoch = self.published.image().broker(broker_id).map(|broker| broker.epoch);
            let Some(broker_epoch) = broker_epoch else {
                return Err(CommandFailure::Lost("this broker is not registered".to_owned()));
            };
            match self.controller.submit(Command::AllocateProducerIds { broker_id, broker_epoch }).await? {
                Reply::ProducerIds(block) => {
                    let first = block.first.0;
                    *self.block.lock() = first..first.saturating_add(i64::from(block.len));
                }
                other => return Err(CommandFailure::Lost(format!("unexpected reply {other:?}"))),
            }
        }
    }
}
