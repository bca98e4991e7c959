//! A consumer's membership in a group: the task that keeps it, and the line between the two.
//!
//! The task tells the consumer what to give up and what to read, one thing at a time, and waits until it is done; all the
//! while it sends heartbeats. The consumer says that it is alive by asking for records. Owns no positions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla_model::{TopicName, TopicPartition};
use ottla_wire::error::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::classic::Classic;
use super::coordinated::Coordinated;
use super::offsets::Committer;
use crate::connection::Connection;
use crate::coordinator::{self, Key};
use crate::{BrokerInfo, Client, ClientError, ConsumerConfig, GroupProtocol};

/// Events on their way to the consumer: the task waits for each to be done, and the last one ends it.
const EVENTS_MAX: usize = 2;

/// What the consumer is to do; `done` lets the task go on.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) done: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(crate) enum What {
    /// Give these up; what was read of them can still be committed.
    Revoke(BTreeSet<TopicPartition>),
    /// These are another's already.
    Lost(BTreeSet<TopicPartition>),
    /// Read these as well. Also told when there are none: the member is in the group, without work.
    Assign(BTreeSet<TopicPartition>),
    /// There is no membership any more.
    Failed(ClientError),
}

/// What task and consumer both look at.
#[derive(Debug)]
pub(crate) struct Shared {
    committer: Mutex<Committer>,
    /// Since when the consumer has not asked for records; `None` while it does.
    idle_since: Mutex<Option<Instant>>,
    asked: Notify,
}

impl Shared {
    pub(crate) fn committer(&self) -> Committer {
        self.committer.lock().clone()
    }

    pub(super) fn set_member(&self, member_id: &str, generation: i32) {
        let mut committer = self.committer.lock();
        member_id.clone_into(&mut committer.member_id);
        committer.generation = generation;
    }

    fn is_idle_for(&self, max: Duration) -> bool {
        self.idle_since.lock().is_some_and(|since| since.elapsed() > max)
    }

    /// Waits until the consumer asks for records.
    async fn until_asked(&self) {
        loop {
            let asked = self.asked.notified();
            if self.idle_since.lock().is_none() {
                return;
            }
            asked.await;
        }
    }
}

/// While it lives, the consumer asks for records.
pub(crate) struct Asking(Arc<Shared>);

impl Drop for Asking {
    fn drop(&mut self) {
        *self.0.idle_since.lock() = Some(Instant::now());
    }
}

/// The consumer's end. Dropped, it has the task leave the group.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Joins in the background.
    pub(crate) fn start(client: &Client, config: &ConsumerConfig, group: String, topics: BTreeSet<TopicName>) -> Membership {
        let committer = Committer { instance_id: config.group_instance_id.clone(), ..Committer::nobody() };
        let shared =
            Arc::new(Shared { committer: Mutex::new(committer), idle_since: Mutex::new(Some(Instant::now())), asked: Notify::new() });
        let (to_consumer, events) = mpsc::channel(EVENTS_MAX);
        let (stop, stopped) = oneshot::channel();
        let member = Member {
            link: Link { client: client.clone(), group: group.clone(), connected: None },
            group,
            config: config.clone(),
            topics,
            shared: shared.clone(),
            to_consumer,
        };
        let task = match config.group_protocol {
            GroupProtocol::Classic => tokio::spawn(Classic::new(member).run(stopped)),
            GroupProtocol::Consumer => tokio::spawn(Coordinated::new(member).run(stopped)),
        };
        Membership { events, shared, stop: Some(stop), task }
    }

    /// To be held while the consumer asks for records.
    pub(crate) fn asking(&self) -> Asking {
        *self.shared.idle_since.lock() = None;
        self.shared.asked.notify_waiters();
        Asking(self.shared.clone())
    }

    /// Leaves the group, and waits until that is done or `wait` is over.
    pub(crate) async fn leave(mut self, wait: Duration) {
        drop(self.stop.take());
        // Late is no harm: the coordinator finds out by the session's end.
        drop(timeout(wait, &mut self.task).await);
    }
}

/// What both protocols' tasks have.
pub(super) struct Member {
    pub(super) link: Link,
    pub(super) group: String,
    pub(super) config: ConsumerConfig,
    pub(super) topics: BTreeSet<TopicName>,
    pub(super) shared: Arc<Shared>,
    to_consumer: mpsc::Sender<Event>,
}

impl Member {
    /// Hands an event to the consumer; what comes back is ready when it is done with it.
    pub(super) async fn tell(&self, what: What) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        // A consumer that is gone has stopped this task as well: it ends at its next wait.
        drop(self.to_consumer.send(Event { what, done }).await);
        is_done
    }

    /// Whether the consumer has not asked for records within `max.poll.interval.ms`: it is to give way to others.
    pub(super) fn is_idle(&self) -> bool {
        self.shared.is_idle_for(Duration::from_millis(self.config.max_poll_interval_ms.into()))
    }

    pub(super) async fn until_asked(&self) {
        tracing::warn!(
            group = self.group,
            "no records were asked for within max.poll.interval.ms={}: left the group, and joins again when they are",
            self.config.max_poll_interval_ms
        );
        self.shared.until_asked().await;
    }

    pub(super) fn check(&self, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
        super::check(&self.group, error_code, message)
    }

    /// Java's clients have a connection to the coordinator alone as well: a join waits for other members, and what is asked
    /// after it on the same connection would wait with it.
    pub(super) async fn connection(&mut self) -> Result<Connection, ClientError> {
        self.link.connection().await
    }

    /// What an error means for the membership. Those that pass also let go of the connection where it may be the cause.
    pub(super) fn verdict(&mut self, error: &ClientError) -> Verdict {
        let verdict = match error {
            ClientError::Disconnected { .. }
            | ClientError::RequestTimeout { .. }
            | ClientError::Connect { .. }
            | ClientError::Unreachable { .. } => Verdict::Passes,
            ClientError::Refused { code, .. } => match code {
                ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch => Verdict::Forgotten,
                ErrorCode::IllegalGeneration => Verdict::Late,
                ErrorCode::RebalanceInProgress => Verdict::Rebalance,
                code if code.retriable() => Verdict::Passes,
                _ => Verdict::Final,
            },
            _ => Verdict::Final,
        };
        let is_loading = error.code() == Some(ErrorCode::CoordinatorLoadInProgress);
        if verdict == Verdict::Passes && !is_loading {
            self.link.connected = None;
        }
        verdict
    }

    pub(super) async fn fail(&self, error: ClientError) {
        tracing::debug!(group = self.group, %error, "membership ended");
        // Waited for, so that the consumer finds the error before the end of the channel.
        drop(self.tell(What::Failed(error)).await.await);
    }
}

/// What an error means for the membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same again, a little later.
    Passes,
    /// The group is gathering: join it.
    Rebalance,
    /// The group went on without this member, which is still known.
    Late,
    /// The coordinator does not know this member.
    Forgotten,
    /// Trying again cannot help.
    Final,
}

/// The member's own connection to the coordinator.
pub(super) struct Link {
    client: Client,
    group: String,
    connected: Option<(Connection, BrokerInfo)>,
}

impl Link {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    async fn connection(&mut self) -> Result<Connection, ClientError> {
        if let Some((connection, _)) = self.connected.as_ref().filter(|(connection, _)| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let coordinator = coordinator::find(&self.client, Key::Group(&self.group)).await?;
        let connection = Connection::open(&coordinator.address(), self.client.config()).await?;
        self.connected = Some((connection.clone(), coordinator));
        Ok(connection)
    }

    /// Another connection: what is still out on the one before does not hold up what comes next.
    pub(super) fn forget(&mut self) {
        self.connected = None;
    }
}
