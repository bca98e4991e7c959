//! Fetch (key 1): reads record batches, waiting for more when there are few.
//!
//! Versions 4 to 18.
//!
//! * Sessions (KIP-227) from version 7 on; see [`crate::fetch_session`]. Topic ids from version 13 on (KIP-516).
//! * Partitions are read in the order asked (in a session: in turn, so that none starves), each within its own limit and all within
//!   `max_bytes`; the first that has data gives at least one batch, however large, so that a consumer never gets stuck (KIP-74).
//! * Fewer than `min_bytes`: the request is parked until a high watermark moves, for at most `max_wait_ms`. Errors are told at once.
//! * read_committed stops at the last stable offset (KIP-98). Leader epochs are checked (KIP-320), diverging ones told (KIP-595).
//! * Records leave as file ranges, which the connection sends from the page cache. Of what was not read since the broker was started, a
//!   bounded part is held against its CRC first, on a thread that may wait for the disk; a fetch that would need more gets less. Damaged
//!   batches are CORRUPT_MESSAGE.
//!
//! Known gaps: fetches of followers are refused with NOT_LEADER_OR_FOLLOWER until there is replication; a preferred read replica
//! (KIP-392) is never named; the rack is ignored.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_log::{CHECK_BYTES_MAX, ReadError};
use ottla_model::{LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition, Uuid};
use ottla_wire::message::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use ottla_wire::{ErrorCode, Records};
use tokio::time::Instant;

use super::{Answer, ApiHandler, CloseReason, Frame, LaterReply, Reply, RequestContext, TopicRef};
use crate::context::{BrokerContext, deadline_after};
use crate::fetch_session::{FetchContext, FetchParams, Seen, SessionError, SessionRequest, TopicKey, Wanted};
use crate::partition::{Isolation, LogDir, NotServing, Partition, PartitionRead, read_error_code};
use crate::purgatory::{Admission, Wait, WaitEnd};

/// See the module.
pub struct Fetch;

/// What a read on a network thread checks of what was never checked: that would have to come from the disk.
const NOTHING_CHECKED: u32 = 0;

/// First version whose answer can say who leads instead.
const LEADER_HINT_SINCE: i16 = 12;
/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 13;
/// First version in which a follower says who it is in `replica_state` (KIP-903).
const REPLICA_STATE_SINCE: i16 = 15;
/// First version whose answer can say where that leader is (KIP-951).
const ENDPOINTS_SINCE: i16 = 16;

impl ApiHandler for Fetch {
    type Request<'a> = FetchRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 4..=18;

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: FetchRequest<'_>, reply: Reply<'_>) -> Answer {
        let version = cx.version;
        let uses_topic_ids = version >= TOPIC_IDS_SINCE;
        let replica = if version >= REPLICA_STATE_SINCE { request.replica_state.replica_id } else { request.replica_id };
        let is_follower = replica >= 0;
        let session = SessionRequest { id: request.session_id, epoch: request.session_epoch, uses_topic_ids, is_follower };
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
            let key = topic_key(topic.topic, topic.topic_id, uses_topic_ids);
            topic.partitions.iter().map(move |p| (key.clone(), PartitionId(*p)))
        });
        let context = match broker.fetch_sessions.begin(session, wanted(&request.topics, uses_topic_ids), forgotten, broker.now()) {
            Ok(context) => context,
            Err(error) => return reply.send(&session_error(error)),
        };
        let bytes_max = u32::try_from(request.max_bytes.min(broker.config.fetch_max_bytes)).unwrap_or(0);
        let fetch = InFlight {
            broker: Arc::clone(broker),
            tells_leader: version >= LEADER_HINT_SINCE,
            is_follower,
            isolation: Isolation::from_wire(request.isolation_level),
            bytes_max,
            bytes_min: usize::try_from(request.min_bytes).unwrap_or(0).min(bytes_max as usize),
            listener: if version >= ENDPOINTS_SINCE { cx.listener.name.as_str().into() } else { Box::default() },
            context,
        };
        let deadline = deadline_after(request.max_wait_ms);
        // What has to wait for a disk is not for this thread.
        let round = if fetch.slow_dir().is_none() { Some(fetch.read(NOTHING_CHECKED)) } else { None };
        let Some(round) = round.filter(|round| !round.must_check) else {
            return reply.later(|later| read_elsewhere_first(fetch, deadline, later));
        };
        let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
        if wait_ms == 0 || fetch.is_done(&round) {
            return reply.send(&fetch.finish(round).as_message());
        }
        let Some(admission) = broker.purgatory.admit(fetch.context.wanted.len()) else {
            return reply.send(&fetch.finish(round).as_message());
        };
        reply.later(|later| park(fetch, round, admission, deadline, later))
    }
}

fn topic_key(name: &str, id: Uuid, uses_topic_ids: bool) -> TopicKey {
    if uses_topic_ids { TopicKey::Id(TopicId(id)) } else { TopicKey::Name(name.into()) }
}

fn wanted(topics: &[FetchTopic<'_>], uses_topic_ids: bool) -> Vec<Wanted> {
    let mut wanted = Vec::with_capacity(topics.iter().map(|t| t.partitions.len()).sum());
    for topic in topics {
        let key = topic_key(topic.topic, topic.topic_id, uses_topic_ids);
        wanted.extend(topic.partitions.iter().map(|p| Wanted {
            topic: key.clone(),
            partition: PartitionId(p.partition),
            params: FetchParams {
                fetch_offset: Offset(p.fetch_offset),
                bytes_max: p.partition_max_bytes,
                current_leader_epoch: LeaderEpoch(p.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch(p.last_fetched_epoch),
                log_start_offset: Offset(p.log_start_offset),
            },
        }));
    }
    wanted
}

fn session_error(error: SessionError) -> FetchResponse<'static> {
    FetchResponse { error_code: error.error_code().as_i16(), ..Default::default() }
}

/// A fetch between its first read and its answer.
struct InFlight {
    broker: Arc<BrokerContext>,
    /// The answer has room for the leader to go to instead.
    tells_leader: bool,
    is_follower: bool,
    isolation: Isolation,
    bytes_max: u32,
    bytes_min: usize,
    /// Empty where the answer has no room for endpoints.
    listener: Box<str>,
    context: FetchContext,
}

/// One read of all partitions.
struct Round {
    results: Vec<Fetched>,
    bytes: usize,
    /// Something that the client must hear of at once.
    has_news: bool,
    /// Less was read than could be: the rest has to be checked first, which is not for a network thread.
    must_check: bool,
    /// The first whose log is still being opened.
    opening: Option<TopicPartition>,
}

/// What one partition gave.
struct Fetched {
    topic: TopicKey,
    index: PartitionId,
    partition: Option<Arc<Partition>>,
    outcome: Outcome,
}

enum Outcome {
    Read(PartitionRead),
    /// The client's log and ours part after this epoch and offset.
    Diverging { read: PartitionRead, epoch: LeaderEpoch, end: Offset },
    Failed { code: ErrorCode, not_serving: Option<NotServing> },
}

impl From<NotServing> for Outcome {
    fn from(why: NotServing) -> Outcome {
        Outcome::Failed { code: why.error_code(), not_serving: Some(why) }
    }
}

impl From<ReadError> for Outcome {
    fn from(error: ReadError) -> Outcome {
        Outcome::Failed { code: read_error_code(&error), not_serving: None }
    }
}

impl InFlight {
    /// Reads all that is wanted. Of what has to be checked first, about `check_bytes_max` are; the rest is given to the next request.
    fn read(&self, check_bytes_max: u32) -> Round {
        let results = Vec::with_capacity(self.context.wanted.len());
        let mut round = Round { results, bytes: 0, has_news: false, must_check: false, opening: None };
        let mut check_left = check_bytes_max;
        for wanted in &self.context.wanted {
            let left = (self.bytes_max as usize).saturating_sub(round.bytes) as u32;
            let limit = left.min(u32::try_from(wanted.params.bytes_max).unwrap_or(0));
            let (partition, outcome) = match self.find(wanted) {
                Ok(partition) => {
                    let outcome = self.read_one(&partition, wanted, limit, round.bytes == 0, check_left);
                    (Some(partition), outcome)
                }
                Err(why) => (None, why.into()),
            };
            match &outcome {
                Outcome::Read(read) => {
                    round.bytes += read.bytes;
                    round.has_news |= read.is_cut_short;
                    round.must_check |= read.is_cut_short && check_bytes_max == NOTHING_CHECKED;
                    check_left = check_left.saturating_sub(read.checked_bytes);
                }
                // Told when there is something else to tell, or the time is over: most often it is open before that.
                Outcome::Failed { not_serving: Some(NotServing::Opening), .. } => round.opening = round.opening.take().or_else(|| self.name_of(wanted)),
                Outcome::Diverging { .. } | Outcome::Failed { .. } => round.has_news = true,
            }
            round.results.push(Fetched { topic: wanted.topic.clone(), index: wanted.partition, partition, outcome });
        }
        round
    }

    /// A directory that has to be read for this and is slow, if any is.
    fn slow_dir(&self) -> Option<Arc<LogDir>> {
        if !self.broker.partitions.has_unready() {
            return None;
        }
        let dirs = self.context.wanted.iter().filter_map(|wanted| Some(Arc::clone(self.look_up(wanted).ok()?.log_dir())));
        dirs.into_iter().find(|dir| dir.is_slow())
    }

    /// Reads off the network threads, and checks what has to be checked. Where the directory fails meanwhile the connection ends: the
    /// consumer asks again, and is told what is offline by then.
    async fn read_elsewhere(self) -> Result<(InFlight, Round), Frame> {
        let (broker, slow) = (Arc::clone(&self.broker), self.slow_dir());
        let read = move || {
            let round = self.read(CHECK_BYTES_MAX);
            (self, round)
        };
        match slow {
            Some(dir) => {
                let hung = || Frame::close(CloseReason::StorageHung { log_dir: dir.path().display().to_string() });
                dir.off_network(read).await.ok_or_else(hung)
            }
            None => broker.cold_reads.run(read).await.map_err(|error| Frame::close(CloseReason::Lost(error.to_string()))),
        }
    }

    fn look_up(&self, wanted: &Wanted) -> Result<Arc<Partition>, NotServing> {
        match &wanted.topic {
            TopicKey::Id(id) => self.broker.partition_by_id(*id, wanted.partition),
            TopicKey::Name(name) => self.broker.partition(name, wanted.partition),
        }
    }

    fn find(&self, wanted: &Wanted) -> Result<Arc<Partition>, NotServing> {
        let partition = self.look_up(wanted)?;
        partition.check_leader(wanted.params.current_leader_epoch)?;
        if self.is_follower {
            // This broker has no followers: whoever fetches as one has another cluster in mind.
            return Err(NotServing::NotLeader { current: partition.leadership() });
        }
        Ok(partition)
    }

    fn name_of(&self, wanted: &Wanted) -> Option<TopicPartition> {
        let topic = match &wanted.topic {
            TopicKey::Id(id) => TopicRef::Id(*id),
            TopicKey::Name(name) => TopicRef::Name(name),
        };
        self.broker.name_of(topic, wanted.partition)
    }

    fn read_one(&self, partition: &Partition, wanted: &Wanted, limit: u32, at_least_one: bool, check_bytes_max: u32) -> Outcome {
        let FetchParams { fetch_offset, last_fetched_epoch, .. } = wanted.params;
        if last_fetched_epoch.0 >= 0 {
            match divergence(partition, last_fetched_epoch, fetch_offset) {
                Ok(None) => {}
                Ok(Some((epoch, end))) => {
                    return match partition.read(partition.watermarks().high_watermark, self.isolation, 0, false) {
                        Ok(read) => Outcome::Diverging { read, epoch, end },
                        Err(error) => error.into(),
                    };
                }
                Err(error) => return error.into(),
            }
        }
        match partition.read_checking(fetch_offset, self.isolation, limit, at_least_one, check_bytes_max) {
            Ok(read) => Outcome::Read(read),
            Err(error) => {
                partition.note_read_error(&error);
                error.into()
            }
        }
    }

    fn is_done(&self, round: &Round) -> bool {
        round.has_news || round.bytes >= self.bytes_min || self.context.wanted.is_empty()
    }

    fn finish(self, round: Round) -> Finished {
        self.broker.metrics.requests.fetched(round.bytes);
        let mut results = round.results;
        match self.broker.fetch_sessions.finish(self.context, &mut results, Fetched::seen, self.broker.now()) {
            Ok(session_id) => {
                let endpoints = leader_endpoints(&self.broker, &results, &self.listener);
                let is_committed = self.isolation == Isolation::ReadCommitted;
                Finished { session: Ok(session_id), results, endpoints, is_committed, tells_leader: self.tells_leader }
            }
            Err(error) => Finished {
                session: Err(error),
                results: Vec::new(),
                endpoints: Vec::new(),
                is_committed: false,
                tells_leader: false,
            },
        }
    }
}

/// Where the client's log and this one part, if they do (KIP-595).
fn divergence(partition: &Partition, last_fetched: LeaderEpoch, fetch_offset: Offset) -> Result<Option<(LeaderEpoch, Offset)>, ReadError> {
    let marks = partition.watermarks();
    let out_of_range = ReadError::OffsetOutOfRange { start: marks.log_start, end: marks.log_end, asked: fetch_offset };
    let (epoch, end) = partition.epoch_end_offset(last_fetched);
    if epoch.0 < 0 || end.0 < 0 || fetch_offset < marks.log_start {
        return Err(out_of_range);
    }
    Ok((epoch < last_fetched || end < fetch_offset).then_some((epoch, end)))
}

/// Reads what may have to come from a disk: what was never checked since the broker was started, or is in a directory that is slow.
async fn read_elsewhere_first(fetch: InFlight, deadline: Instant, later: LaterReply) -> Frame {
    let (fetch, round) = match fetch.read_elsewhere().await {
        Ok(read) => read,
        Err(closing) => return closing,
    };
    if fetch.is_done(&round) || deadline <= Instant::now() {
        return later.encode(&fetch.finish(round).as_message());
    }
    match fetch.broker.purgatory.admit(fetch.context.wanted.len()) {
        Some(admission) => park(fetch, round, admission, deadline, later).await,
        None => later.encode(&fetch.finish(round).as_message()),
    }
}

/// Waits until there is enough, something else to tell, or no time left.
async fn park(mut fetch: InFlight, mut round: Round, admission: Admission, deadline: Instant, later: LaterReply) -> Frame {
    let mut wait = Wait::with_capacity(fetch.context.wanted.len());
    loop {
        let mut moved = false;
        for fetched in &round.results {
            let (Some(partition), Outcome::Read(read)) = (&fetched.partition, &fetched.outcome) else { continue };
            wait.watch(partition.wait_list(), read.high_watermark.plus(1));
            // Registered first, looked at again second: an advance in between is seen by one of the two.
            moved |= partition.high_watermark() > read.high_watermark || partition.check_led(LeaderEpoch::NONE).is_err();
            partition.sync_if_awaited();
        }
        let end = match (&round.opening, moved) {
            (_, true) => WaitEnd::Woken,
            (None, false) => wait.until(deadline).await,
            (Some(opening), false) => tokio::select! {
                end = wait.until(deadline) => end,
                () = fetch.broker.partitions.settled(opening) => WaitEnd::Woken,
            },
        };
        wait.reset();
        // Also at the deadline: what came since goes along, little as it is.
        let here = if fetch.slow_dir().is_none() { Some(fetch.read(NOTHING_CHECKED)) } else { None };
        (fetch, round) = match here.filter(|round| !round.must_check) {
            Some(round) => (fetch, round),
            None => match fetch.read_elsewhere().await {
                Ok(read) => read,
                Err(closing) => return closing,
            },
        };
        if end == WaitEnd::DeadlinePassed || fetch.is_done(&round) {
            break;
        }
    }
    drop(wait);
    drop(admission);
    later.encode(&fetch.finish(round).as_message())
}

impl Fetched {
    fn seen(&self) -> Seen {
        let quiet =
            |read: &PartitionRead| Seen { high_watermark: read.high_watermark, log_start_offset: read.log_start, has_records: read.bytes > 0, must_tell: false, failed: false };
        match &self.outcome {
            Outcome::Read(read) => quiet(read),
            Outcome::Diverging { read, .. } => Seen { must_tell: true, ..quiet(read) },
            Outcome::Failed { .. } => {
                Seen { high_watermark: Offset(-1), log_start_offset: Offset(-1), has_records: false, must_tell: true, failed: true }
            }
        }
    }
}

struct Endpoint {
    node: i32,
    host: String,
    port: i32,
    rack: Option<String>,
}

fn leader_endpoints(broker: &BrokerContext, results: &[Fetched], listener: &str) -> Vec<Endpoint> {
    if listener.is_empty() {
        return Vec::new();
    }
    let leader = |f: &Fetched| match &f.outcome {
        Outcome::Failed { not_serving: Some(why), .. } => why.current_leader().map(|l| l.leader.0).filter(|id| *id >= 0),
        Outcome::Failed { not_serving: None, .. } | Outcome::Read(_) | Outcome::Diverging { .. } => None,
    };
    let mut leaders: Vec<i32> = results.iter().filter_map(leader).collect();
    if leaders.is_empty() {
        return Vec::new();
    }
    leaders.sort_unstable();
    leaders.dedup();
    let found = broker.endpoints(&leaders, listener);
    found.into_iter().map(|e| Endpoint { node: e.node.0, host: e.host, port: e.port, rack: e.rack }).collect()
}

/// All that an answer says, owned; the message borrows from it.
struct Finished {
    session: Result<i32, SessionError>,
    results: Vec<Fetched>,
    endpoints: Vec<Endpoint>,
    is_committed: bool,
    tells_leader: bool,
}

impl Finished {
    fn as_message(&self) -> FetchResponse<'_> {
        let session_id = match self.session {
            Ok(id) => id,
            Err(error) => return session_error(error),
        };
        let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::new();
        let mut open: Option<&TopicKey> = None;
        for fetched in &self.results {
            if open != Some(&fetched.topic) {
                open = Some(&fetched.topic);
                let (topic, topic_id) = match &fetched.topic {
                    TopicKey::Name(name) => (&**name, Uuid::ZERO),
                    TopicKey::Id(id) => ("", id.0),
                };
                responses.push(FetchableTopicResponse { topic: Cow::Borrowed(topic), topic_id, ..Default::default() });
            }
            if let Some(topic) = responses.last_mut() {
                topic.partitions.push(self.partition_data(fetched));
            }
        }
        let endpoint = |e: &'_ Endpoint| NodeEndpoint {
            node_id: e.node,
            host: Cow::Owned(e.host.clone()),
            port: e.port,
            rack: e.rack.clone().map(Cow::Owned),
        };
        FetchResponse {
            session_id,
            responses,
            node_endpoints: self.endpoints.iter().map(endpoint).collect(),
            ..Default::default()
        }
    }

    fn partition_data(&self, fetched: &Fetched) -> PartitionData<'static> {
        let partition_index = fetched.index.0;
        match &fetched.outcome {
            Outcome::Read(read) => PartitionData {
                partition_index,
                high_watermark: read.high_watermark.0,
                last_stable_offset: read.last_stable_offset.0,
                log_start_offset: read.log_start.0,
                // Null for read_uncommitted, as in Kafka: "not looked up", not "none".
                aborted_transactions: self.is_committed.then(|| aborted(read)),
                records: if read.records.is_empty() { Records::EMPTY } else { Records::Fragments(read.records.clone()) },
                ..Default::default()
            },
            Outcome::Diverging { read, epoch, end } => PartitionData {
                partition_index,
                high_watermark: read.high_watermark.0,
                last_stable_offset: read.last_stable_offset.0,
                log_start_offset: read.log_start.0,
                diverging_epoch: EpochEndOffset { epoch: epoch.0, end_offset: end.0 },
                records: Records::EMPTY,
                ..Default::default()
            },
            Outcome::Failed { code, not_serving } => PartitionData {
                partition_index,
                error_code: code.as_i16(),
                high_watermark: -1,
                current_leader: match not_serving.and_then(NotServing::current_leader) {
                    Some(current) if self.tells_leader => {
                        LeaderIdAndEpoch { leader_id: current.leader.0, leader_epoch: current.epoch.0 }
                    }
                    _ => LeaderIdAndEpoch::default(),
                },
                records: Records::EMPTY,
                ..Default::default()
            },
        }
    }
}

fn aborted(read: &PartitionRead) -> Vec<AbortedTransaction> {
    read.aborted.iter().map(|a| AbortedTransaction { producer_id: a.producer_id.0, first_offset: a.first_offset.0 }).collect()
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
