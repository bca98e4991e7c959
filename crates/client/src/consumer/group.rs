//! A consumer as a member of a group: subscribes, takes up and gives up partitions as it is told, commits.
//!
//! Rebalances happen within [`Consumer::next_batch`], on the task that calls it, so whoever works on records is never
//! surprised by one. What the group is told meanwhile is the business of [`group`](crate::group).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ottla_model::{Offset, TopicName, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Consumer, Position, Reading, SeekTo};
use crate::coordinator::{self, Key};
use crate::group::membership::{Asking, Event, Membership, Shared, What};
use crate::group::offsets::{self, CommittedOffset, Committer, GroupMetadata};
use crate::retry::{Repeat, Tries, again};
use crate::{Client, ClientError};

/// What to do when a consumer's partitions change. Called within [`Consumer::next_batch`] and [`Consumer::close`]; the other
/// members may be waiting, so none of it should take long.
///
/// ```
/// use std::collections::BTreeMap;
/// use ottla_client::{Offset, RebalanceListener, TopicPartition};
///
/// struct Counts(BTreeMap<TopicPartition, u64>);
///
/// impl RebalanceListener for Counts {
///     fn on_assigned(&mut self, partitions: &[TopicPartition]) {
///         self.0.extend(partitions.iter().map(|partition| (partition.clone(), 0)));
///     }
///     fn on_revoked(&mut self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Offset> {
///         self.0.retain(|partition, _| !partitions.contains(partition));
///         BTreeMap::new()
///     }
/// }
/// ```
pub trait RebalanceListener: Send {
    /// These are read from now on, beside those before; each from where the group has come to.
    fn on_assigned(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }

    /// These are given up once the offsets that this gives back are committed (with `enable.auto.commit`, beside the positions
    /// of the rest of them).
    fn on_revoked(&mut self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Offset> {
        let _ = partitions;
        BTreeMap::new()
    }

    /// These are another member's already: the group went on without this one, and nothing of them can be committed.
    fn on_lost(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }
}

impl RebalanceListener for () {}

/// What a consumer that subscribes has beside one that assigns to itself.
pub(super) struct Subscription {
    membership: Membership,
    /// Never locked: only so that a consumer can be shared, though its listener cannot.
    listener: Mutex<Box<dyn RebalanceListener>>,
    /// Kept while a call is given up in the middle of it.
    busy: Option<Busy>,
    next_commit: Instant,
    /// What was last committed: there is no use in saying it again.
    committed: BTreeMap<TopicPartition, Offset>,
    is_in: bool,
    failed: Option<ClientError>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("membership", &self.membership).field("busy", &self.busy).finish_non_exhaustive()
    }
}

/// A rebalance, as far as it has come.
#[derive(Debug)]
enum Busy {
    /// The listener has been told; these are to be committed, then all of `partitions` are let go.
    GivingUp { partitions: BTreeSet<TopicPartition>, offsets: BTreeMap<TopicPartition, Offset>, done: oneshot::Sender<()> },
    /// To be looked up where to go on.
    TakingUp { partitions: BTreeSet<TopicPartition>, done: oneshot::Sender<()> },
}

impl Consumer {
    /// Becomes a member of the group `group.id`, and reads of these topics what the group gives it. Partitions come and go
    /// within [`next_batch`](Self::next_batch), each from the offset that the group has committed, or else from where
    /// `auto.offset.reset` says. Whoever subscribed or was assigned before leaves that.
    ///
    /// ```no_run
    /// use ottla_client::{Client, ClientConfig, Consumer, ConsumerConfig, GroupProtocol, OffsetReset};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
    /// let config = ConsumerConfig::default()
    ///     .group_id("billing".to_owned())
    ///     .group_protocol(GroupProtocol::Consumer)
    ///     .auto_offset_reset(OffsetReset::Earliest)
    ///     .enable_auto_commit(false);
    /// let mut consumer = Consumer::new(&client, config)?;
    /// consumer.subscribe(&["orders"], ()).await?;
    /// for _ in 0..100 {
    ///     let batch = consumer.next_batch().await?;
    ///     println!("{} records of {}", batch.records()?.iter().count(), batch.topic_partition());
    ///     consumer.commit().await?;
    /// }
    /// consumer.close().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], unless `allow.auto.create.topics` and the broker make it; [`ClientError::InvalidArgument`]
    /// without a `group.id`. What the group refuses is said by [`next_batch`](Self::next_batch).
    pub async fn subscribe(&mut self, topics: &[&str], listener: impl RebalanceListener + 'static) -> Result<(), ClientError> {
        let group = self.group()?.to_owned();
        let mut names = BTreeSet::new();
        for topic in topics {
            self.partitions_for(topic).await?;
            names.insert(TopicName::new(topic).map_err(|cause| ClientError::InvalidArgument(cause.to_string()))?);
        }
        self.unsubscribe().await?;
        self.subscription = Some(Subscription {
            membership: Membership::start(&self.client, &self.config, group, names),
            listener: Mutex::new(Box::new(listener)),
            busy: None,
            next_commit: Instant::now() + self.auto_commit_interval(),
            committed: BTreeMap::new(),
            is_in: false,
            failed: None,
        });
        Ok(())
    }

    /// Leaves the group, after what was handed out is committed if `enable.auto.commit` says so, and reads nothing any more.
    ///
    /// # Errors
    /// What kept the offsets from being committed; the group is left all the same.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        let mut result = Ok(());
        if let Some(mut subscription) = self.subscription.take() {
            let partitions: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
            let mut offsets = if self.config.enable_auto_commit { self.uncommitted(&subscription.committed) } else { BTreeMap::new() };
            if !partitions.is_empty() {
                offsets.extend(subscription.listener.get_mut().on_revoked(&partitions));
            }
            if let Some(Busy::GivingUp { offsets: before, .. }) = subscription.busy.take() {
                offsets.extend(before);
            }
            if !offsets.is_empty() {
                let shared = subscription.membership.shared.clone();
                result = commit(&self.client, self.group()?, Some(shared), &offsets).await;
            }
            let wait = Duration::from_millis(self.client.config().default_api_timeout_ms.into());
            subscription.membership.leave(wait).await;
        }
        self.retain(|_| false);
        result
    }

    /// [`unsubscribe`](Self::unsubscribe), for good. A consumer that is only dropped leaves its group as well, but commits nothing.
    ///
    /// # Errors
    /// What kept the offsets from being committed.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.unsubscribe().await
    }

    /// Waits until the group has given this member its partitions, which may be none.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a subscription, or why there is no membership.
    pub async fn wait_for_assignment(&mut self) -> Result<(), ClientError> {
        let _asking = self.asking();
        loop {
            self.rebalance().await?;
            let Some(subscription) = &mut self.subscription else {
                return Err(ClientError::InvalidArgument("the consumer does not subscribe to anything".to_owned()));
            };
            if subscription.is_in && subscription.busy.is_none() {
                return Ok(());
            }
            let event = subscription.membership.events.recv().await;
            self.take_event(event);
        }
    }

    /// Commits the positions of all assigned partitions: everything that was handed out so far counts as done.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `group.id`. [`ClientError::Refused`]: with REBALANCE_IN_PROGRESS or
    /// ILLEGAL_GENERATION the group is rebalancing; read on, and commit again. With UNKNOWN_MEMBER_ID others have the partitions.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let offsets = self.uncommitted(&BTreeMap::new());
        self.commit_offsets(&offsets).await
    }

    /// Commits these offsets: of each partition the next one to be read.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_offsets(&mut self, offsets: &BTreeMap<TopicPartition, Offset>) -> Result<(), ClientError> {
        let group = self.group()?.to_owned();
        if offsets.is_empty() {
            return Ok(());
        }
        let shared = self.subscription.as_ref().map(|subscription| subscription.membership.shared.clone());
        commit(&self.client, &group, shared, offsets).await?;
        if let Some(subscription) = &mut self.subscription {
            subscription.committed.extend(offsets.iter().map(|(partition, offset)| (partition.clone(), *offset)));
        }
        Ok(())
    }

    /// How far the group has committed these partitions; those without an offset are left out.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `group.id`, or what kept the coordinator from answering.
    pub async fn committed(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        fetch(&self.client, self.group()?, partitions).await
    }

    /// Who this consumer is in its group, for [`Transaction::send_offsets`](crate::Transaction::send_offsets). To be asked for
    /// anew with each transaction: it changes with each rebalance.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `group.id`.
    pub fn group_metadata(&self) -> Result<GroupMetadata, ClientError> {
        let committer = self.subscription.as_ref().map(|subscription| subscription.membership.shared.committer());
        Ok(GroupMetadata::new(self.group()?, committer.unwrap_or_else(Committer::nobody)))
    }

    fn group(&self) -> Result<&str, ClientError> {
        let group = self.config.group_id.as_deref();
        group.ok_or_else(|| ClientError::InvalidArgument("group.id is not set: subscribing and committing need it".to_owned()))
    }

    fn auto_commit_interval(&self) -> Duration {
        Duration::from_millis(self.config.auto_commit_interval_ms.into())
    }

    /// The positions that differ from what was committed.
    fn uncommitted(&self, committed: &BTreeMap<TopicPartition, Offset>) -> BTreeMap<TopicPartition, Offset> {
        let mut offsets = BTreeMap::new();
        for (partition, reading) in &self.partitions {
            if let Position::At(offset) = reading.position
                && committed.get(partition) != Some(&Offset(offset))
            {
                offsets.insert(partition.clone(), Offset(offset));
            }
        }
        offsets
    }

    /// Shows the group that this consumer is alive, while it lives.
    pub(super) fn asking(&self) -> Option<Asking> {
        self.subscription.as_ref().map(|subscription| subscription.membership.asking())
    }

    /// Notes what the group wants of this consumer, and tells the listener.
    pub(super) fn take_event(&mut self, event: Option<Event>) {
        let auto_commit = self.config.enable_auto_commit;
        let positions = match (&event, &self.subscription) {
            (Some(Event { what: What::Revoke(_), .. }), Some(subscription)) if auto_commit => self.uncommitted(&subscription.committed),
            _ => BTreeMap::new(),
        };
        let Some(subscription) = &mut self.subscription else { return };
        let Some(Event { what, done }) = event else {
            subscription.failed.get_or_insert(ClientError::Closed("group's membership"));
            return;
        };
        match what {
            What::Revoke(partitions) => {
                let told: Vec<TopicPartition> = partitions.iter().cloned().collect();
                let mut offsets = positions;
                offsets.retain(|partition, _| partitions.contains(partition));
                offsets.extend(subscription.listener.get_mut().on_revoked(&told));
                subscription.busy = Some(Busy::GivingUp { partitions, offsets, done });
            }
            What::Lost(partitions) => {
                let told: Vec<TopicPartition> = partitions.iter().cloned().collect();
                subscription.listener.get_mut().on_lost(&told);
                subscription.busy = Some(Busy::GivingUp { partitions, offsets: BTreeMap::new(), done });
            }
            What::Assign(partitions) => subscription.busy = Some(Busy::TakingUp { partitions, done }),
            What::Failed(error) => {
                subscription.failed = Some(error);
                let _ = done.send(());
            }
        }
    }

    /// Does what the group wants, as far as it has said. Given up in the middle, it goes on there at the next call.
    pub(super) async fn rebalance(&mut self) -> Result<(), ClientError> {
        loop {
            let Some(subscription) = &mut self.subscription else { return Ok(()) };
            match &subscription.busy {
                Some(Busy::GivingUp { partitions, offsets, .. }) => {
                    if !offsets.is_empty() {
                        let shared = subscription.membership.shared.clone();
                        let group = self.config.group_id.as_deref().unwrap_or_default();
                        // Whoever goes on with them does so at the offset before: doubled, not lost.
                        if let Err(error) = commit(&self.client, group, Some(shared), offsets).await {
                            tracing::warn!(group, %error, ?partitions, "partitions are given up without their last offsets");
                        }
                    }
                    let Some(Busy::GivingUp { partitions, done, .. }) = subscription.busy.take() else { continue };
                    subscription.committed.retain(|partition, _| !partitions.contains(partition));
                    self.retain(|partition| !partitions.contains(partition));
                    let _ = done.send(());
                }
                Some(Busy::TakingUp { partitions, .. }) => {
                    let wanted: Vec<TopicPartition> = partitions.iter().cloned().collect();
                    let group = self.config.group_id.as_deref().unwrap_or_default();
                    let committed = if wanted.is_empty() { BTreeMap::new() } else { fetch(&self.client, group, &wanted).await? };
                    for partition in &wanted {
                        let deadline = self.client.api_deadline();
                        self.client.topic(partition.topic.as_str(), false, deadline).await?;
                    }
                    let Some(Busy::TakingUp { done, .. }) = subscription.busy.take() else { continue };
                    subscription.is_in = true;
                    for partition in &wanted {
                        self.generation += 1;
                        let mut reading = Reading::new(self.generation);
                        if let Some(at) = committed.get(partition) {
                            reading.restart(SeekTo::Offset(at.offset), self.generation);
                            subscription.committed.insert(partition.clone(), at.offset);
                        }
                        self.partitions.insert(partition.clone(), reading);
                    }
                    self.look_for_work = true;
                    subscription.listener.get_mut().on_assigned(&wanted);
                    let _ = done.send(());
                }
                None => {
                    if let Some(error) = &subscription.failed {
                        return Err(error.clone());
                    }
                    match subscription.membership.events.try_recv() {
                        Ok(event) => self.take_event(Some(event)),
                        Err(_) => return Ok(()),
                    }
                }
            }
        }
    }

    /// What was handed out before counts as done now: commits it, if that is due.
    pub(super) async fn auto_commit(&mut self) {
        let interval = self.auto_commit_interval();
        let Some(subscription) = &self.subscription else { return };
        if !self.config.enable_auto_commit || Instant::now() < subscription.next_commit {
            return;
        }
        let offsets = self.uncommitted(&subscription.committed);
        if let Err(error) = self.commit_offsets(&offsets).await {
            tracing::debug!(%error, "offsets are committed later");
        }
        if let Some(subscription) = &mut self.subscription {
            subscription.next_commit = Instant::now() + interval;
        }
    }

    /// When offsets are to be committed though nobody asks for records anew.
    pub(super) fn next_commit(&self) -> Option<Instant> {
        let subscription = self.subscription.as_ref().filter(|_| self.config.enable_auto_commit)?;
        (!self.uncommitted(&subscription.committed).is_empty()).then_some(subscription.next_commit)
    }

    fn retain(&mut self, keep: impl Fn(&TopicPartition) -> bool) {
        self.partitions.retain(|partition, _| keep(partition));
        self.ready.retain(|chunk| keep(&chunk.partition));
        self.look_for_work = true;
    }
}

/// The next event of a group, if there is a subscription to one.
pub(super) async fn next_event(subscription: &mut Option<Subscription>) -> Option<Event> {
    match subscription {
        Some(subscription) => subscription.membership.events.recv().await,
        None => std::future::pending().await,
    }
}

async fn fetch(
    client: &Client,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
    again!(Tries::coordinator(client, Key::Group(group), Repeat::Lost), async {
        let (connection, _) = coordinator::connect(client, Key::Group(group)).await?;
        offsets::fetch_once(&connection, group, Some(partitions)).await
    })
}

/// As the member that `shared` is of, or as nobody.
async fn commit(
    client: &Client,
    group: &str,
    shared: Option<Arc<Shared>>,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), ClientError> {
    again!(Tries::coordinator(client, Key::Group(group), Repeat::Lost), async {
        let (connection, _) = coordinator::connect(client, Key::Group(group)).await?;
        let committer = shared.as_ref().map_or_else(Committer::nobody, |shared| shared.committer());
        offsets::commit_once(&connection, group, &committer, offsets).await
    })
}
