//! One coordinator's life: it stands by while another broker leads its partition, reads the log when this one does, serves, and begins
//! anew when leadership or the log was lost. Owns its inbox; knows nothing of what is coordinated.

use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::metadata::MetadataPosition;
use ottla_model::{LeaderEpoch, PartitionId, TopicName, TopicPartition};
use ottla_wire::ErrorCode;
use tokio::sync::watch;
use tokio::time::Instant;

use super::active::Active;
use super::inbox::Inbox;
use super::log::{self, LoadError};
use super::machine::Machine;
use super::{Shared, Unanswered};
use crate::partition::Partition;

/// How long requests wait for a coordinator to be rebuilt before they are told that it is. Below the time after which clients give up.
const LOAD_WAIT: Duration = Duration::from_secs(5);
/// How long what was written before may take to become durable.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// Time between two tries to load or to write, when the log cannot be read or written.
const RETRY: Duration = Duration::from_millis(500);
/// Questions that are taken at a time, before answers are looked after again.
const TAKEN_AT_ONCE: usize = 64;

/// How serving ended.
enum Ended {
    /// The broker stops.
    Stopped,
    /// Leadership or the log was lost.
    Lost,
    /// The log takes no records.
    NotWritten,
}

/// See the module.
pub(super) struct Shard<M: Machine> {
    shared: Arc<Shared>,
    kit: M::Kit,
    name: TopicPartition,
    inbox: Inbox<M::Message>,
    published: watch::Receiver<Option<MetadataPosition>>,
}

impl<M: Machine> Shard<M> {
    pub(super) fn new(shared: Arc<Shared>, kit: M::Kit, partition: PartitionId, inbox: Inbox<M::Message>) -> Shard<M> {
        let published = shared.published.subscribe();
        let name = TopicPartition::new(TopicName::new(M::TOPIC).unwrap_or_else(|_| unreachable!("a valid name")), partition);
        Shard { shared, kit, name, inbox, published }
    }

    /// Runs until the broker stops.
    pub(super) async fn run(mut self) {
        while let Some(partition) = self.stand_by().await {
            let loaded = match self.load(&partition).await {
                Some(Ok(loaded)) => loaded,
                Some(Err(error)) => {
                    tracing::error!(partition = %self.name, "the {} of this partition are not coordinated for now: {error}", M::WHAT);
                    if self.refuse_for(RETRY, Unanswered::NotAvailable).await {
                        continue;
                    }
                    return;
                }
                None => return,
            };
            let mut active = loaded;
            let ended = self.serve(&mut active).await;
            active.end().await;
            let goes_on = match ended {
                Ended::Stopped => false,
                Ended::Lost => true,
                Ended::NotWritten => self.refuse_for(RETRY, Unanswered::NotAvailable).await,
            };
            if !goes_on {
                return;
            }
        }
    }

    fn led(&self) -> Option<Arc<Partition>> {
        let partition = self.shared.partitions.find(M::TOPIC, self.name.partition)?;
        partition.check_led(LeaderEpoch::NONE).is_ok().then_some(partition)
    }

    /// Waits until this broker leads the partition. `None`: the broker stops.
    async fn stand_by(&mut self) -> Option<Arc<Partition>> {
        let shared = Arc::clone(&self.shared);
        loop {
            self.published.borrow_and_update();
            let mut why = Unanswered::NotCoordinator;
            let is_opening = match shared.partitions.find(M::TOPIC, self.name.partition) {
                Some(found) if found.check_led(LeaderEpoch::NONE).is_ok() => return Some(found),
                Some(_) => false,
                None => shared.partitions.is_opening(&self.name),
            };
            if is_opening {
                why = Unanswered::Loading;
            }
            let opened = async { if is_opening { shared.partitions.settled(&self.name).await } else { std::future::pending().await } };
            tokio::select! {
                () = opened => {}
                message = self.inbox.recv() => M::refuse(message?, why),
                changed = self.published.changed() => changed.ok()?,
            }
        }
    }

    /// Refuses what comes for a while; gives whether the broker goes on.
    async fn refuse_for(&mut self, time: Duration, why: Unanswered) -> bool {
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                message = self.inbox.recv() => match message {
                    Some(message) => M::refuse(message, why),
                    None => return false,
                },
            }
        }
    }

    /// Rebuilds the coordinator from the log. What is asked meanwhile waits, for a while. `None`: the broker stops.
    async fn load(&mut self, partition: &Arc<Partition>) -> Option<Result<Active<M>, LoadError>> {
        let (shared, kit, partition) = (Arc::clone(&self.shared), self.kit.clone(), Arc::clone(partition));
        let load = async move {
            // Of what was written before, all that is there counts, once it can be lost no more.
            let end = partition.watermarks().log_end;
            partition.sync_now();
            partition.reach(end, Instant::now() + SETTLE_MAX).await.map_err(LoadError::NotDurable)?;
            let mut machine = M::new(&shared);
            let for_thread = Arc::clone(&partition);
            let reading = tokio::task::spawn_blocking(move || log::replay(&for_thread, end, &mut machine).map(|()| machine));
            let machine = reading.await.map_err(LoadError::Lost)??;
            Ok(Active::begin(shared, kit, partition, machine)?)
        };
        tokio::pin!(load);
        let patience = tokio::time::sleep(LOAD_WAIT);
        tokio::pin!(patience);
        tokio::select! {
            loaded = &mut load => return Some(loaded),
            () = &mut patience => {}
        }
        loop {
            tokio::select! {
                loaded = &mut load => return Some(loaded),
                message = self.inbox.recv() => M::refuse(message?, Unanswered::Loading),
            }
        }
    }

    async fn serve(&mut self, active: &mut Active<M>) -> Ended {
        loop {
            let (due, committed) = (active.next_deadline(), active.next_commit());
            let partition = Arc::clone(active.partition());
            let time = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let commit = async {
                match committed {
                    Some(end) => reach(&partition, end).await,
                    None => std::future::pending().await,
                }
            };
            let taken = tokio::select! {
                reached = commit => match reached {
                    Ok(()) => active.happen(M::committed).await,
                    Err(code) => {
                        tracing::info!(partition = %self.name, "what was written here may not stay: {code}");
                        return Ended::Lost;
                    }
                },
                message = self.inbox.recv() => match message {
                    None => return Ended::Stopped,
                    Some(message) => {
                        let mut messages = vec![message];
                        while messages.len() < TAKEN_AT_ONCE && let Some(next) = self.inbox.try_recv() {
                            messages.push(next);
                        }
                        active.happen(move |machine, at| machine.take(at, messages)).await
                    }
                },
                events = active.next_events(TAKEN_AT_ONCE) => active.happen(move |machine, at| machine.take_events(at, events)).await,
                () = time => active.happen(M::time).await,
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return Ended::Stopped;
                    }
                    let same = self.led().is_some_and(|led| active.is_of(&led));
                    if !same {
                        return Ended::Lost;
                    }
                    active.happen(M::metadata_changed).await
                }
            };
            if let Err(error) = taken {
                tracing::warn!(partition = %self.name, "the {} of this partition are coordinated from anew: {error}", M::WHAT);
                return Ended::NotWritten;
            }
        }
    }
}

/// Waits for what was appended, as long as it takes: only leadership or the disk can end it otherwise.
async fn reach(partition: &Arc<Partition>, end: ottla_model::Offset) -> Result<(), ErrorCode> {
    loop {
        match partition.reach(end, Instant::now() + SETTLE_MAX).await {
            Err(ErrorCode::RequestTimedOut) => tracing::warn!(
                partition = %partition.topic_partition(),
                "a record of a coordinator is not durable after {} s",
                SETTLE_MAX.as_secs()
            ),
            other => return other,
        }
    }
}
