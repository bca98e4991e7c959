//! The classic protocol: the members gather (JoinGroup), their leader assigns, everybody gets its part (SyncGroup), and
//! heartbeats go on until somebody comes or goes.
//!
//! With `range` among the strategies everything is given up before each gathering; with `cooperative-sticky` alone only
//! what moves, after it (KIP-429).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_model::{PartitionId, TopicName, TopicPartition};
use ottla_wire::data::consumer_protocol::{self as embedded, ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use ottla_wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use ottla_wire::{Data, Reader, Writer};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::assignors::{self, Assignor};
use super::membership::{Member, Verdict, What};
use super::offsets::by_topic;
use crate::backoff::random_u32;
use crate::{Client, ClientError};

/// What groups of consumers are for.
const PROTOCOL_TYPE: &str = "consumer";
/// What a gathering may take beyond the time that members have for it.
const JOIN_GRACE: Duration = Duration::from_secs(5);
/// First version of LeaveGroup that names several members.
const SEVERAL_MEMBERS: i16 = 3;
/// How long to wait for the answer to a leave.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// Newest version of what members tell each other.
const SUBSCRIPTION_VERSION: i16 = *<ConsumerProtocolSubscription<'_> as Data<'_>>::VERSIONS.end();

/// A member by the classic protocol.
pub(super) struct Classic {
    member: Member,
    /// Empty: none yet.
    id: String,
    generation: i32,
    owned: BTreeSet<TopicPartition>,
    /// As the leader counted partitions when it assigned; `None`: this member does not lead.
    counted: Option<BTreeMap<TopicName, i32>>,
    /// Since when topics that were missing have not been asked for again.
    counted_at: Instant,
    /// Why it joins, for people (KIP-800).
    reason: &'static str,
    /// A join is out.
    joining: bool,
}

/// The answer to a join.
struct Joined {
    protocol: String,
    leads: bool,
    members: Vec<assignors::Member>,
    skip_assignment: bool,
}

impl Classic {
    pub(super) fn new(member: Member) -> Classic {
        Classic {
            member,
            id: String::new(),
            generation: -1,
            owned: BTreeSet::new(),
            counted: None,
            counted_at: Instant::now(),
            reason: "",
            joining: false,
        }
    }

    pub(super) async fn run(mut self, stop: oneshot::Receiver<()>) {
        let error = tokio::select! {
            _ = stop => None,
            error = self.work() => Some(error),
        };
        match error {
            None => self.leave("the consumer is being closed").await,
            Some(error) => self.member.fail(error).await,
        }
    }

    fn is_cooperative(&self) -> bool {
        self.member.config.partition_assignment_strategy.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }

    /// Until something happens that trying again cannot mend.
    async fn work(&mut self) -> ClientError {
        let mut failures = 0;
        loop {
            let Err(error) = self.generation().await else {
                failures = 0;
                continue;
            };
            tracing::debug!(group = self.member.group, %error, "joins again");
            match self.member.verdict(&error) {
                Verdict::Final => return error,
                Verdict::Passes => {}
                Verdict::Rebalance => continue,
                Verdict::Late => self.lose(false).await,
                Verdict::Forgotten => self.lose(true).await,
            }
            failures += 1;
            sleep(self.member.link.client().backoff().after(failures, random_u32())).await;
        }
    }

    /// One generation, from the gathering to the next one.
    async fn generation(&mut self) -> Result<(), ClientError> {
        if !self.is_cooperative() && !self.owned.is_empty() {
            let owned = std::mem::take(&mut self.owned);
            self.tell(What::Revoke(owned)).await;
        }
        let joined = self.join().await?;
        let assigned = self.sync(joined).await?;
        let revoked: BTreeSet<TopicPartition> = self.owned.difference(&assigned).cloned().collect();
        let added = assigned.difference(&self.owned).cloned().collect();
        self.owned = assigned;
        if !revoked.is_empty() {
            self.tell(What::Revoke(revoked.clone())).await;
        }
        self.tell(What::Assign(added)).await;
        if !revoked.is_empty() {
            self.reason = "partitions were given up that others wait for";
            return Ok(());
        }
        self.beat_on().await
    }

    /// Heartbeats until the group gathers again.
    async fn beat_on(&mut self) -> Result<(), ClientError> {
        let interval = Duration::from_millis(self.member.config.heartbeat_interval_ms.into());
        let (mut next, mut failures) = (Instant::now() + interval, 0);
        loop {
            sleep_until(next).await;
            next = Instant::now() + interval;
            if self.member.is_idle() {
                self.leave("it did not ask for records within max.poll.interval.ms").await;
                self.lose(true).await;
                self.member.until_asked().await;
                return Ok(());
            }
            if self.topics_changed(interval).await {
                self.reason = "the number of partitions of a topic changed";
                return Ok(());
            }
            match self.beat().await {
                Ok(()) => failures = 0,
                Err(error) => match self.member.verdict(&error) {
                    Verdict::Passes => {
                        failures += 1;
                        let backoff = self.member.link.client().backoff().after(failures, random_u32());
                        next = Instant::now() + backoff.min(interval);
                    }
                    Verdict::Rebalance => {
                        self.reason = "the group is rebalancing";
                        return Ok(());
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    async fn beat(&mut self) -> Result<(), ClientError> {
        let connection = self.member.connection().await?;
        let request = HeartbeatRequest {
            group_id: &self.member.group,
            generation_id: self.generation,
            member_id: &self.id,
            group_instance_id: self.member.config.group_instance_id.as_deref(),
        };
        let answer = connection.call(&request).await?;
        self.member.check(answer.decode::<HeartbeatResponse>()?.error_code, None)
    }

    /// Has the consumer do something, and shows the coordinator in the meantime that this member is alive. What a heartbeat
    /// brings is found out again by what comes next.
    async fn tell(&mut self, what: What) {
        let mut done = self.member.tell(what).await;
        let interval = Duration::from_millis(self.member.config.heartbeat_interval_ms.into());
        loop {
            tokio::select! {
                _ = &mut done => return,
                () = sleep(interval) => {}
            }
            if self.generation >= 0
                && let Err(error) = self.beat().await
            {
                self.member.verdict(&error);
            }
        }
    }

    /// The group went on without this member.
    async fn lose(&mut self, forgotten: bool) {
        self.generation = -1;
        self.counted = None;
        if forgotten {
            self.id.clear();
        }
        self.member.shared.set_member(&self.id, -1);
        self.reason = "the coordinator did not know the member or its generation";
        let owned = std::mem::take(&mut self.owned);
        if !owned.is_empty() {
            self.tell(What::Lost(owned)).await;
        }
    }

    async fn join(&mut self) -> Result<Joined, ClientError> {
        loop {
            match self.join_once().await {
                // A new member is given its id first (KIP-394).
                Err(error) if error.code() == Some(ErrorCode::MemberIdRequired) && !self.id.is_empty() => {}
                result => return result,
            }
        }
    }

    async fn join_once(&mut self) -> Result<Joined, ClientError> {
        let connection = self.member.connection().await?;
        let metadata = self.subscription()?;
        let config = &self.member.config;
        let rebalance_timeout = Duration::from_millis(config.max_poll_interval_ms.into());
        let millis = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
        let request = JoinGroupRequest {
            group_id: &self.member.group,
            session_timeout_ms: millis(config.session_timeout_ms),
            rebalance_timeout_ms: millis(config.max_poll_interval_ms),
            member_id: &self.id,
            group_instance_id: config.group_instance_id.as_deref(),
            protocol_type: PROTOCOL_TYPE,
            protocols: config
                .partition_assignment_strategy
                .iter()
                .map(|assignor| JoinGroupRequestProtocol { name: assignor.name(), metadata: &metadata })
                .collect(),
            reason: Some(self.reason).filter(|reason| !reason.is_empty()),
        };
        self.joining = true;
        let version = connection.version::<JoinGroupRequest<'_>>(i16::MAX)?;
        let answer = connection.submit_within(&request, version, rebalance_timeout + JOIN_GRACE).await?.answer().await?;
        self.joining = false;
        let response: JoinGroupResponse<'_> = answer.decode()?;
        if crate::error::code(response.error_code) == ErrorCode::MemberIdRequired {
            self.id = response.member_id.to_string();
        }
        self.member.check(response.error_code, None)?;
        self.id = response.member_id.to_string();
        self.generation = response.generation_id;
        self.member.shared.set_member(&self.id, self.generation);
        self.reason = "";
        let mut members = Vec::with_capacity(response.members.len());
        for member in &response.members {
            let mut metadata = Reader::new(&member.metadata);
            let (_, said) = ConsumerProtocolSubscription::decode_any(&mut metadata).map_err(|cause| answer.malformed(cause))?;
            members.push(assignors::Member {
                id: member.member_id.to_string(),
                instance: member.group_instance_id.as_ref().map(ToString::to_string),
                topics: said.topics.iter().filter_map(|topic| TopicName::new(topic).ok()).collect(),
                owned: partitions_of(&said.owned_partitions),
                generation: said.generation_id,
            });
        }
        tracing::debug!(group = self.member.group, member = self.id, generation = self.generation, "joined");
        Ok(Joined {
            protocol: response.protocol_name.as_deref().unwrap_or_default().to_owned(),
            leads: response.leader == response.member_id,
            members,
            skip_assignment: response.skip_assignment,
        })
    }

    async fn sync(&mut self, joined: Joined) -> Result<BTreeSet<TopicPartition>, ClientError> {
        self.counted = None;
        let mut assignments = Vec::new();
        if joined.leads {
            let partitions = count_partitions(self.member.link.client(), &joined.members).await?;
            if !joined.skip_assignment {
                let Some(assignor) = Assignor::from_name(&joined.protocol) else {
                    let cause = format!("the group chose the protocol `{}`, which this member did not offer", joined.protocol);
                    return Err(ClientError::InvalidArgument(cause));
                };
                for (member, assigned) in assignor.assign(&joined.members, &partitions) {
                    assignments.push((member, assignment(&assigned)?));
                }
            }
            self.counted = Some(partitions);
            self.counted_at = Instant::now();
        }
        let connection = self.member.connection().await?;
        let request = SyncGroupRequest {
            group_id: &self.member.group,
            generation_id: self.generation,
            member_id: &self.id,
            group_instance_id: self.member.config.group_instance_id.as_deref(),
            protocol_type: Some(PROTOCOL_TYPE),
            protocol_name: Some(&joined.protocol),
            assignments: assignments.iter().map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment }).collect(),
        };
        let version = connection.version::<SyncGroupRequest<'_>>(i16::MAX)?;
        // Everybody waits for the leader, as long as it may take.
        let wait = Duration::from_millis(self.member.config.max_poll_interval_ms.into()) + JOIN_GRACE;
        self.joining = true;
        let answer = connection.submit_within(&request, version, wait).await?.answer().await?;
        self.joining = false;
        let response: SyncGroupResponse<'_> = answer.decode()?;
        self.member.check(response.error_code, None)?;
        if response.assignment.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut bytes = Reader::new(&response.assignment);
        let (_, assigned) = ConsumerProtocolAssignment::decode_any(&mut bytes).map_err(|cause| answer.malformed(cause))?;
        Ok(partitions_of(&assigned.assigned_partitions))
    }

    /// What this member tells the leader.
    fn subscription(&self) -> Result<Vec<u8>, ClientError> {
        let owned = by_topic(self.owned.iter().map(|partition| (partition, ())));
        let subscription = ConsumerProtocolSubscription {
            topics: self.member.topics.iter().map(|topic| topic.as_str().into()).collect(),
            user_data: None,
            owned_partitions: embedded_partitions(&owned),
            generation_id: self.generation,
            rack_id: Some(self.member.link.client().config().client_rack.as_str()).filter(|rack| !rack.is_empty()).map(Into::into),
        };
        encoded(&subscription, "JoinGroup")
    }

    /// Whether a topic has other partitions than when this leader counted them.
    async fn topics_changed(&mut self, wait: Duration) -> bool {
        let Some(counted) = &self.counted else { return false };
        let client = self.member.link.client();
        let mut missing = Vec::new();
        for (topic, count) in counted {
            match client.known_topic(topic.as_str()) {
                Some(known) if known.partitions.len() as i32 != *count => return true,
                Some(_) => {}
                None => missing.push(topic.clone()),
            }
        }
        // Topics that nobody here reads are not kept fresh, and those that are not there yet may come.
        let age_max = Duration::from_millis(client.config().metadata_max_age_ms.into());
        if missing.is_empty() || self.counted_at.elapsed() < age_max {
            return false;
        }
        let found = async {
            for topic in &missing {
                let now = match client.topic(topic.as_str(), false, client.api_deadline()).await {
                    Ok(topic) => topic.partitions.len() as i32,
                    Err(_) => 0,
                };
                if counted.get(topic) != Some(&now) {
                    return true;
                }
            }
            false
        };
        let changed = timeout(wait, found).await.unwrap_or(false);
        self.counted_at = Instant::now();
        changed
    }

    /// Static members do not leave: they are expected back (KIP-345).
    async fn leave(&mut self, reason: &str) {
        if self.id.is_empty() || self.member.config.group_instance_id.is_some() {
            return;
        }
        if self.joining {
            self.member.link.forget();
        }
        let left = timeout(LEAVE_WAIT, async {
            let connection = self.member.connection().await?;
            let version = connection.version::<LeaveGroupRequest<'_>>(i16::MAX)?;
            let several = version >= SEVERAL_MEMBERS;
            let member = MemberIdentity { member_id: &self.id, group_instance_id: None, reason: Some(reason) };
            let request = LeaveGroupRequest {
                group_id: &self.member.group,
                member_id: if several { "" } else { &self.id },
                members: if several { vec![member] } else { Vec::new() },
            };
            let answer = connection.submit(&request, version).await?.answer().await?;
            self.member.check(answer.decode::<LeaveGroupResponse<'_>>()?.error_code, None)
        });
        if let Ok(Err(error)) = left.await {
            tracing::debug!(group = self.member.group, %error, "could not say that it leaves; the session's end will tell");
        }
    }
}

/// How many partitions the topics have that anybody subscribes to; 0: it is not there.
async fn count_partitions(client: &Client, members: &[assignors::Member]) -> Result<BTreeMap<TopicName, i32>, ClientError> {
    let topics: BTreeSet<&TopicName> = members.iter().flat_map(|member| &member.topics).collect();
    let mut counts = BTreeMap::new();
    for topic in topics {
        let count = match client.topic(topic.as_str(), false, client.api_deadline()).await {
            Ok(topic) => topic.partitions.len() as i32,
            Err(ClientError::UnknownTopic { .. }) => 0,
            Err(error) => return Err(error),
        };
        counts.insert(topic.clone(), count);
    }
    Ok(counts)
}

fn partitions_of(topics: &[embedded::TopicPartition<'_>]) -> BTreeSet<TopicPartition> {
    let mut all = BTreeSet::new();
    for topic in topics {
        // No broker has a topic by a name that is not legal.
        let Ok(name) = TopicName::new(&topic.topic) else { continue };
        all.extend(topic.partitions.iter().map(|index| TopicPartition::new(name.clone(), PartitionId(*index))));
    }
    all
}

fn embedded_partitions<'t>(topics: &BTreeMap<&'t str, Vec<(i32, ())>>) -> Vec<embedded::TopicPartition<'t>> {
    let topic = |(name, partitions): (&&'t str, &Vec<(i32, ())>)| embedded::TopicPartition {
        topic: (*name).into(),
        partitions: partitions.iter().map(|(index, ())| *index).collect(),
    };
    topics.iter().map(topic).collect()
}

fn assignment(partitions: &BTreeSet<TopicPartition>) -> Result<Vec<u8>, ClientError> {
    let topics = by_topic(partitions.iter().map(|partition| (partition, ())));
    encoded(&ConsumerProtocolAssignment { assigned_partitions: embedded_partitions(&topics), user_data: None }, "SyncGroup")
}

fn encoded<'a>(data: &impl Data<'a>, api: &'static str) -> Result<Vec<u8>, ClientError> {
    let mut writer = Writer::new();
    data.encode(&mut writer, SUBSCRIPTION_VERSION).map_err(|cause| ClientError::Unsendable { api, cause: cause.to_string() })?;
    Ok(writer.into_parts().buf)
}
