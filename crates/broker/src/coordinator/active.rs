//! One coordinator while it serves: tells the machine what happens, on this thread or on another while the disk is slow. Owns the machine
//! and the term that it is of.

use std::sync::Arc;

use ottla_model::Offset;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::log::WriteError;
use super::machine::{At, Machine};
use crate::partition::Partition;

/// See the module.
pub(super) struct Active<M: Machine> {
    at: Arc<At<M>>,
    events: mpsc::UnboundedReceiver<M::Event>,
    /// `None` only while it is on another thread.
    machine: Option<Box<M>>,
}

impl<M: Machine> Active<M> {
    /// Begins to serve what was read from the log.
    pub(super) fn begin(shared: Arc<Shared>, kit: M::Kit, partition: Arc<Partition>, machine: M) -> Result<Active<M>, WriteError> {
        let leadership = partition.leadership();
        // Bounded by the work that is under way.
        let (sender, events) = mpsc::unbounded_channel();
        let at = At { shared, kit, partition, leadership, events: sender };
        let mut active = Active { at: Arc::new(at), events, machine: Some(Box::new(machine)) };
        if let Some(machine) = &mut active.machine {
            machine.loaded(&active.at)?;
        }
        Ok(active)
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.at.partition
    }

    /// Whether it is the coordinator of this partition in its present term.
    pub(super) fn is_of(&self, partition: &Arc<Partition>) -> bool {
        Arc::ptr_eq(&self.at.partition, partition) && partition.leadership() == self.at.leadership
    }

    /// When it wants to be told the time.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.machine.as_ref()?.next_deadline(&self.at)
    }

    /// The next end of a batch that something waits for.
    pub(super) fn next_commit(&self) -> Option<Offset> {
        self.machine.as_ref()?.next_commit()
    }

    /// What the work that it has begun came to: one at least, and at most so many. Nothing is lost when this is dropped.
    pub(super) async fn next_events(&mut self, at_once: usize) -> Vec<M::Event> {
        let mut events = Vec::new();
        self.events.recv_many(&mut events, at_once).await;
        events
    }

    /// Has the machine told something, on this thread, or on another while the disk is slow.
    pub(super) async fn happen(
        &mut self,
        tell: impl FnOnce(&mut M, &At<M>) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<(), WriteError> {
        let Some(mut machine) = self.machine.take() else { return Err(WriteError::Lost) };
        let dir = Arc::clone(self.at.partition.log_dir());
        let done = if dir.is_slow() {
            let at = Arc::clone(&self.at);
            let work = move || {
                let done = tell(&mut machine, &at);
                (machine, done)
            };
            dir.off_network(work).await
        } else {
            let done = tell(&mut machine, &self.at);
            Some((machine, done))
        };
        // What hangs has the machine, and nobody needs it any more: the directory has failed.
        let (machine, done) = done.ok_or(WriteError::Lost)?;
        self.machine = Some(machine);
        done
    }

    /// It is over.
    pub(super) async fn end(self) {
        if let Some(machine) = self.machine {
            machine.end().await;
        }
    }
}
