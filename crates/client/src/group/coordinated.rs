//! The consumer protocol (KIP-848): one request, the heartbeat, by which a member says what it has and is told what it is to
//! have. The coordinator assigns; nobody stops for others.
//!
//! A target is come to in steps: give up what is not in it, say so, then take what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_model::{PartitionId, TopicId, TopicName, TopicPartition, Uuid};
use ottla_wire::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, JOIN_GROUP_MEMBER_EPOCH, LEAVE_GROUP_MEMBER_EPOCH,
    LEAVE_GROUP_STATIC_MEMBER_EPOCH, TopicPartitions,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::membership::{Member, Verdict, What};
use crate::ClientError;
use crate::backoff::random_u32;

/// First version in which a member makes its own id (KIP-1082).
const OWN_ID: i16 = 1;
/// How long to wait for the answer to a leave.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// A member by the consumer protocol.
pub(super) struct Coordinated {
    member: Member,
    /// Empty: the coordinator is to give one.
    id: String,
    epoch: i32,
    owned: BTreeSet<TopicPartition>,
    /// What it is to have; `None`: it has not been told.
    target: Option<BTreeSet<(Uuid, i32)>>,
    /// The coordinator has been told everything, and of `owned` this.
    told: Option<BTreeSet<TopicPartition>>,
    /// The ids of topics, for what it has.
    ids: BTreeMap<TopicName, Uuid>,
    /// What the consumer is busy with.
    step: Option<Step>,
    /// The consumer knows that it is in the group.
    is_in: bool,
}

struct Step {
    done: oneshot::Receiver<()>,
    /// What it has then.
    owned: BTreeSet<TopicPartition>,
}

impl Coordinated {
    pub(super) fn new(member: Member) -> Coordinated {
        Coordinated {
            member,
            id: String::new(),
            epoch: JOIN_GROUP_MEMBER_EPOCH,
            owned: BTreeSet::new(),
            target: None,
            told: None,
            ids: BTreeMap::new(),
            step: None,
            is_in: false,
        }
    }

    pub(super) async fn run(mut self, stop: oneshot::Receiver<()>) {
        let error = tokio::select! {
            _ = stop => None,
            error = self.work() => Some(error),
        };
        match error {
            None => self.leave().await,
            Some(error) => self.member.fail(error).await,
        }
    }

    /// Until something happens that trying again cannot mend.
    async fn work(&mut self) -> ClientError {
        let mut failures = 0;
        let mut next = Instant::now();
        loop {
            let wake = match &mut self.step {
                Some(step) => tokio::select! {
                    _ = &mut step.done => Wake::Done,
                    () = sleep_until(next) => Wake::Beat,
                },
                None => {
                    sleep_until(next).await;
                    Wake::Beat
                }
            };
            if wake == Wake::Done {
                if let Some(step) = self.step.take() {
                    self.owned = step.owned;
                }
                if let Err(error) = self.reconcile().await
                    && self.member.verdict(&error) == Verdict::Final
                {
                    return error;
                }
                // Others wait for what was given up.
                if self.told.as_ref() != Some(&self.owned) {
                    next = Instant::now();
                }
                continue;
            }
            if self.member.is_idle() {
                self.leave().await;
                self.lose().await;
                self.member.until_asked().await;
            }
            let beaten = match self.beat().await {
                Ok(interval) => self.reconcile().await.map(|()| interval),
                Err(error) => Err(error),
            };
            match beaten {
                Ok(interval) => {
                    failures = 0;
                    next = Instant::now() + interval;
                }
                Err(error) => {
                    tracing::debug!(group = self.member.group, %error, "heartbeat failed");
                    match self.member.verdict(&error) {
                        Verdict::Final => return error,
                        Verdict::Passes => {}
                        Verdict::Rebalance | Verdict::Late | Verdict::Forgotten => self.lose().await,
                    }
                    // What of it has arrived is not known: all is said again.
                    self.told = None;
                    failures += 1;
                    next = Instant::now() + self.member.link.client().backoff().after(failures, random_u32());
                }
            }
        }
    }

    /// One heartbeat. Gives the time until the next.
    async fn beat(&mut self) -> Result<Duration, ClientError> {
        let connection = self.member.connection().await?;
        let version = connection.version::<ConsumerGroupHeartbeatRequest<'_>>(i16::MAX)?;
        if self.id.is_empty() && version >= OWN_ID {
            self.id = random_id()?;
        }
        let everything = self.told.is_none();
        let config = &self.member.config;
        let has = (everything || self.told.as_ref() != Some(&self.owned)).then(|| self.by_id());
        let request = ConsumerGroupHeartbeatRequest {
            group_id: &self.member.group,
            member_id: &self.id,
            member_epoch: self.epoch,
            instance_id: config.group_instance_id.as_deref(),
            rack_id: Some(self.member.link.client().config().client_rack.as_str()).filter(|rack| everything && !rack.is_empty()),
            rebalance_timeout_ms: if everything { i32::try_from(config.max_poll_interval_ms).unwrap_or(i32::MAX) } else { -1 },
            subscribed_topic_names: everything.then(|| self.member.topics.iter().map(TopicName::as_str).collect()),
            subscribed_topic_regex: None,
            server_assignor: config.group_remote_assignor.as_deref().filter(|_| everything),
            topic_partitions: has,
        };
        let answer = connection.submit(&request, version).await?.answer().await?;
        let response: ConsumerGroupHeartbeatResponse<'_> = answer.decode()?;
        self.member.check(response.error_code, response.error_message.as_deref())?;
        if let Some(id) = &response.member_id {
            self.id = id.to_string();
        }
        self.epoch = response.member_epoch;
        self.member.shared.set_member(&self.id, self.epoch);
        self.told = Some(self.owned.clone());
        if let Some(assignment) = &response.assignment {
            let each = |topic: &TopicPartitions| topic.partitions.iter().map(|index| (topic.topic_id, *index)).collect::<Vec<_>>();
            self.target = Some(assignment.topic_partitions.iter().flat_map(each).collect());
        }
        Ok(Duration::from_millis(u64::try_from(response.heartbeat_interval_ms).unwrap_or(1).max(1)))
    }

    /// Takes the next step to the target, if there is one to take and none is being taken.
    async fn reconcile(&mut self) -> Result<(), ClientError> {
        if self.step.is_some() {
            return Ok(());
        }
        let Some(target) = self.named_target().await? else { return Ok(()) };
        let revoked: BTreeSet<TopicPartition> = self.owned.difference(&target).cloned().collect();
        if !revoked.is_empty() {
            let owned = self.owned.intersection(&target).cloned().collect();
            let done = self.member.tell(What::Revoke(revoked)).await;
            self.step = Some(Step { done, owned });
            return Ok(());
        }
        let added: BTreeSet<TopicPartition> = target.difference(&self.owned).cloned().collect();
        if !added.is_empty() || !self.is_in {
            self.is_in = true;
            let done = self.member.tell(What::Assign(added)).await;
            self.step = Some(Step { done, owned: target });
        }
        Ok(())
    }

    /// The target by names. Topics that are not known (yet, or any more) are left out until they are.
    async fn named_target(&mut self) -> Result<Option<BTreeSet<TopicPartition>>, ClientError> {
        let Some(target) = &self.target else { return Ok(None) };
        let client = self.member.link.client();
        let mut names = BTreeMap::new();
        for topic in &self.member.topics {
            let known = match client.known_topic(topic.as_str()) {
                Some(known) => known,
                None => match client.topic(topic.as_str(), false, client.api_deadline()).await {
                    Ok(known) => known,
                    Err(ClientError::UnknownTopic { .. }) => continue,
                    Err(error) => return Err(error),
                },
            };
            if known.id != TopicId::ZERO {
                names.insert(known.id.0, topic.clone());
            }
        }
        let mut named = BTreeSet::new();
        for (id, index) in target {
            match names.get(id) {
                Some(topic) => {
                    self.ids.insert(topic.clone(), *id);
                    named.insert(TopicPartition::new(topic.clone(), PartitionId(*index)));
                }
                // Made anew under its old name, perhaps.
                None => client.request_refresh(),
            }
        }
        Ok(Some(named))
    }

    fn by_id(&self) -> Vec<TopicPartitions> {
        let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for partition in &self.owned {
            if let Some(id) = self.ids.get(&partition.topic) {
                topics.entry(*id).or_default().push(partition.partition.0);
            }
        }
        topics.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions }).collect()
    }

    /// The coordinator went on without this member: what it has is another's already, and it joins anew.
    async fn lose(&mut self) {
        // One step at a time, this one as well: the consumer finishes what it is at first.
        if let Some(step) = self.step.take() {
            drop(step.done.await);
            self.owned.extend(step.owned);
        }
        self.epoch = JOIN_GROUP_MEMBER_EPOCH;
        self.target = None;
        self.told = None;
        self.member.shared.set_member(&self.id, -1);
        let owned = std::mem::take(&mut self.owned);
        if !owned.is_empty() {
            drop(self.member.tell(What::Lost(owned)).await.await);
        }
    }

    async fn leave(&mut self) {
        if self.epoch <= JOIN_GROUP_MEMBER_EPOCH {
            return;
        }
        let is_static = self.member.config.group_instance_id.is_some();
        let left = timeout(LEAVE_WAIT, async {
            let connection = self.member.connection().await?;
            let request = ConsumerGroupHeartbeatRequest {
                group_id: &self.member.group,
                member_id: &self.id,
                // A static member is expected back (KIP-345).
                member_epoch: if is_static { LEAVE_GROUP_STATIC_MEMBER_EPOCH } else { LEAVE_GROUP_MEMBER_EPOCH },
                instance_id: self.member.config.group_instance_id.as_deref(),
                ..Default::default()
            };
            let answer = connection.call(&request).await?;
            let response: ConsumerGroupHeartbeatResponse<'_> = answer.decode()?;
            self.member.check(response.error_code, response.error_message.as_deref())
        });
        if let Ok(Err(error)) = left.await {
            tracing::debug!(group = self.member.group, %error, "could not say that it leaves; the session's end will tell");
        }
    }
}

/// What the task woke for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// The consumer has done its step.
    Done,
    /// A heartbeat is due.
    Beat,
}

/// 22 characters of base64, as Kafka's clients make them.
fn random_id() -> Result<String, ClientError> {
    let mut bytes = [0; 16];
    let undrawn = |cause| ClientError::InvalidArgument(format!("no random member id can be drawn: {cause}"));
    getrandom::fill(&mut bytes).map_err(undrawn)?;
    Ok(Uuid::from_random_bytes(bytes).to_string())
}
