//! What a kind of coordinator has to be so that [`shard`](super::shard) can run it. Owns no state: it is the seam between the two.

use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset};
use ottla_wire::batch::{BatchError, BatchView};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::log::WriteError;
use super::{Shared, Unanswered};
use crate::partition::{Leadership, Partition};

/// A state machine with its answers, for one partition.
pub(super) trait Machine: Sized + Send + 'static {
    /// The topic whose partitions it is kept in.
    const TOPIC: &'static str;
    /// What it coordinates, for the broker's own log.
    const WHAT: &'static str;
    /// What it is sent from outside.
    type Message: Send + 'static;
    /// What it is told by the work that it has begun.
    type Event: Send + 'static;
    /// What all machines of this kind need of the broker, beyond [`Shared`].
    type Kit: Clone + Send + Sync + 'static;

    /// What a message takes while it waits, about.
    fn size_bytes(message: &Self::Message) -> usize;

    /// Answers a message that finds no machine in charge.
    fn refuse(message: Self::Message, why: Unanswered);

    /// Of a partition of which nothing was replayed yet.
    fn new(shared: &Shared) -> Self;

    /// Takes in a batch of the log, in the order of the log.
    fn replay(&mut self, view: &BatchView<'_>) -> Result<(), BatchError>;

    /// All was replayed, and this broker leads the partition.
    fn loaded(&mut self, at: &At<Self>) -> Result<(), WriteError>;

    /// Takes what was asked.
    fn take(&mut self, at: &At<Self>, messages: Vec<Self::Message>) -> Result<(), WriteError>;

    /// Takes what the work that it has begun came to.
    fn take_events(&mut self, at: &At<Self>, events: Vec<Self::Event>) -> Result<(), WriteError>;

    /// Its deadline has come.
    fn time(&mut self, at: &At<Self>) -> Result<(), WriteError>;

    /// Topics or configs may have changed.
    fn metadata_changed(&mut self, at: &At<Self>) -> Result<(), WriteError>;

    /// The high watermark has passed what [`Machine::next_commit`] said.
    fn committed(&mut self, at: &At<Self>) -> Result<(), WriteError>;

    /// When it wants to be told the time.
    fn next_deadline(&self, at: &At<Self>) -> Option<Instant>;

    /// The next end of a batch that something waits for.
    fn next_commit(&self) -> Option<Offset>;

    /// It is over: all who wait are told to look for the coordinator again, and the work that it has begun has ended when this returns.
    fn end(self) -> impl Future<Output = ()> + Send;
}

/// Where a machine serves, and in which term.
pub(super) struct At<M: Machine> {
    pub shared: Arc<Shared>,
    pub kit: M::Kit,
    pub partition: Arc<Partition>,
    pub leadership: Leadership,
    /// Where the work that it begins says what became of it.
    pub events: mpsc::UnboundedSender<M::Event>,
}

impl<M: Machine> At<M> {
    /// Whether it is still in charge here, in the same term: what another wrote in between, it does not know.
    pub fn check_led(&self) -> Result<(), WriteError> {
        self.partition.check_led(LeaderEpoch::NONE).map_err(WriteError::NotServing)?;
        if self.partition.leadership() == self.leadership { Ok(()) } else { Err(WriteError::OtherTerm) }
    }
}
