//! Produce (key 0): appends record batches to partitions.
//!
//! Versions 3 to 13; named from 0 on in ApiVersions, since librdkafka takes a broker that does not name 0 for one too old to talk to
//! (KAFKA-18659).
//!
//! * acks=0: no answer; an error closes the connection, which is the only way to tell the client. acks=1: answered once written.
//!   acks=all: answered once the high watermark covers the records, so once they are on stable storage (`write.caching=true`: once they
//!   are written), or with REQUEST_TIMED_OUT.
//! * Each partition succeeds or fails by itself. What is refused is refused whole, before anything of it is written.
//! * One batch of format v2 a partition, as Kafka asks since 3.0. zstd from version 7 on (KIP-110).
//! * KIP-467: why records were refused (version 8). KIP-951: the leader to go to instead (version 10). KIP-516: topic ids (version 13).
//!
//! * KIP-98: a transactional batch is appended on the spot when its transaction is open on the partition, and otherwise waits until the
//!   transaction's coordinator has said that the partition takes part (`produce_transactional.rs`, KIP-890).
//!
//! Known gaps: of KIP-467's per-record errors only the message for the whole batch is given.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::transaction::TransactionalId;
use ottla_log::{AppendError, AppendOrigin, FirstBatch};
use ottla_model::{
    Acks, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId, is_internal_topic,
};
use ottla_wire::batch::{BatchError, BatchView};
use ottla_wire::compress::Compression;
use ottla_wire::ErrorCode;
use ottla_wire::message::produce::{LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse};
use tokio::time::Instant;

use super::produce_transactional::{self, FirstBatches};
use super::{Answer, ApiHandler, CloseReason, Frame, LaterReply, Reply, RequestContext, TopicRef};
use crate::context::{BrokerContext, deadline_after};
use crate::coordinator::Ask;
use crate::metrics::Appended;
use crate::partition::{AppendOptions, LogDir, NotServing, Partition, append_error_code};

/// See the module.
pub struct Produce;

/// Kafka's own admin client may write to internal topics (it never does in fact; kept as Kafka has it).
const ADMIN_CLIENT_ID: &str = "__admin_client";
/// First version that may carry zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;
/// First version whose answer can say where the leader is (KIP-951).
const LEADER_HINT_SINCE: i16 = 10;
/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 13;

impl ApiHandler for Produce {
    type Request<'a> = ProduceRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    const ADVERTISED_SINCE: i16 = 0;

    fn touches(request: &ProduceRequest<'_>, version: i16, each: &mut dyn FnMut(TopicRef<'_>, PartitionId)) {
        for topic in &request.topic_data {
            let by = if version >= TOPIC_IDS_SINCE { TopicRef::Id(TopicId(topic.topic_id)) } else { TopicRef::Name(topic.name) };
            topic.partition_data.iter().for_each(|data| each(by, PartitionId(data.index)));
        }
    }

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: ProduceRequest<'_>, reply: Reply<'_>) -> Answer {
        let acks = Acks::from_wire(request.acks);
        let transactional_id = request.transactional_id;
        let produce = Request { broker, version: cx.version, acks, client_id: cx.client_id, transactional_id, now: broker.now() };
        let mut effects = Effects { acks, ..Effects::default() };
        let mut first_batches = FirstBatches::new(cx.version, acks);
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for (topic_index, topic) in request.topic_data.iter().enumerate() {
            let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
            for (partition_index, data) in topic.partition_data.iter().enumerate() {
                let place = Place { topic_index, partition_index };
                let target = Target { name: topic.name, id: TopicId(topic.topic_id), partition: PartitionId(data.index) };
                let outcome = match produce.append(target, data.records) {
                    Outcome::Ended(result) => result,
                    Outcome::Unverified { partition, first } => first_batches
                        .keep(broker, place, &partition, first, data.records.unwrap_or_default())
                        .map_or_else(Err, |()| Ok(Done::not_yet(partition, data.index))),
                };
                partition_responses.push(effects.take(place, topic.name, data.index, cx.version, outcome));
            }
            responses.push(TopicProduceResponse {
                name: Cow::Borrowed(topic.name),
                topic_id: topic.topic_id,
                partition_responses,
            });
        }
        let mut response = ProduceResponse { responses, ..Default::default() };
        if let (Some(transactional_id), false) = (transactional_id, first_batches.is_empty()) {
            let (broker, listener, version) = (Arc::clone(broker), cx.listener.name.clone(), cx.version);
            let deadline = deadline_after(request.timeout_ms);
            let mut response = into_owned(response);
            let written = first_batches.write(&broker, TransactionalId::new(transactional_id));
            // The connection's next batches may be of the same partitions, and must not overtake these.
            return reply.hold(|later| async move {
                for (place, outcome) in written.await {
                    let topic = response.responses.get_mut(place.topic_index);
                    let Some(topic) = topic else { continue };
                    let Some(partition) = topic.partition_responses.get_mut(place.partition_index) else { continue };
                    *partition = effects.take(place, &topic.name, partition.index, version, outcome);
                }
                broker.metrics.requests.appended(effects.appended);
                add_endpoints(&mut response, &broker, version, &listener);
                effects.settle(response, deadline, later).await
            });
        }
        broker.metrics.requests.appended(effects.appended);
        let slow_down = !effects.behind.is_empty();
        if acks == Some(Acks::None) && !slow_down {
            return match effects.failed {
                None => reply.nothing(),
                Some(failed) => Answer::Close(CloseReason::UnacknowledgedProduceFailed(failed)),
            };
        }
        add_endpoints(&mut response, broker, cx.version, &cx.listener.name);
        if effects.unacknowledged.is_empty() && !slow_down {
            return reply.send(&response);
        }
        let (response, deadline) = (into_owned(response), deadline_after(request.timeout_ms));
        let wait = |later: LaterReply| effects.settle(response, deadline, later);
        if slow_down { reply.hold(wait) } else { reply.later(wait) }
    }
}

/// Where in the answer the result of one batch stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    topic_index: usize,
    partition_index: usize,
}

/// What a request has done so far.
#[derive(Default)]
struct Effects {
    acks: Option<Acks>,
    appended: Appended,
    unacknowledged: Vec<Unacknowledged>,
    /// Directories whose disk is too far behind.
    behind: Vec<Arc<LogDir>>,
    /// The first partition that failed, for people.
    failed: Option<String>,
}

impl Effects {
    /// Takes what became of one batch; gives what the client is told.
    fn take(
        &mut self,
        place: Place,
        topic: &str,
        index: i32,
        version: i16,
        outcome: Result<Done, Refused>,
    ) -> PartitionProduceResponse<'static> {
        match outcome {
            Ok(done) => {
                self.appended.batches += u64::from(done.records > 0);
                self.appended.records += done.records;
                self.appended.bytes += u64::from(done.bytes);
                let dir = done.partition.log_dir();
                if dir.is_behind() && !self.behind.iter().any(|known| Arc::ptr_eq(known, dir)) {
                    self.behind.push(Arc::clone(dir));
                }
                if self.acks == Some(Acks::All) && done.partition.high_watermark() < done.end {
                    let Done { partition, end, .. } = done;
                    self.unacknowledged.push(Unacknowledged { place, partition, end });
                }
                done.response
            }
            Err(refused) => {
                self.failed.get_or_insert_with(|| format!("{topic}-{index}: {}", refused.code));
                refused.into_response(index, version)
            }
        }
    }

    /// Waits for what the client wants to have waited for, and answers.
    async fn settle(self, mut response: ProduceResponse<'static>, deadline: Instant, later: LaterReply) -> Frame {
        // One after another: all have to be there, and whichever comes first waits for the rest anyway.
        for Unacknowledged { place, partition, end } in self.unacknowledged {
            if let Err(code) = partition.reach(end, deadline).await {
                let topic = response.responses.get_mut(place.topic_index);
                if let Some(partition) = topic.and_then(|t| t.partition_responses.get_mut(place.partition_index)) {
                    partition.error_code = code.as_i16();
                }
            }
        }
        if self.acks != Some(Acks::None) {
            caught_up(&self.behind).await;
            return later.encode(&response);
        }
        match self.failed {
            Some(failed) => Frame::close(CloseReason::UnacknowledgedProduceFailed(failed)),
            None => {
                caught_up(&self.behind).await;
                Frame::nothing()
            }
        }
    }
}

/// Data is in the page cache faster than on the disk, but not for long: the producer goes on at the disk's speed (P5).
async fn caught_up(behind: &[Arc<LogDir>]) {
    for dir in behind {
        dir.caught_up().await;
    }
}

/// Records that are written, but not covered by the high watermark.
struct Unacknowledged {
    place: Place,
    partition: Arc<Partition>,
    end: Offset,
}

struct Request<'r> {
    broker: &'r Arc<BrokerContext>,
    version: i16,
    acks: Option<Acks>,
    client_id: Option<&'r str>,
    transactional_id: Option<&'r str>,
    now: TimestampMs,
}

/// What became of a batch for now.
enum Outcome {
    /// Nothing more is to be done with it.
    Ended(Result<Done, Refused>),
    /// Its transaction is not open on the partition: the coordinator has to say that the partition takes part.
    Unverified { partition: Arc<Partition>, first: FirstBatch },
}

#[derive(Clone, Copy)]
struct Target<'r> {
    name: &'r str,
    id: TopicId,
    partition: PartitionId,
}

pub(super) struct Done {
    response: PartitionProduceResponse<'static>,
    partition: Arc<Partition>,
    /// The offset after the last record.
    end: Offset,
    /// What was written: nothing of what was there already.
    records: u64,
    bytes: u32,
}

impl Done {
    /// Stands for a batch that waits.
    fn not_yet(partition: Arc<Partition>, index: i32) -> Done {
        let response = PartitionProduceResponse { index, base_offset: -1, ..Default::default() };
        Done { response, partition, end: Offset(0), records: 0, bytes: 0 }
    }
}

/// Why nothing was appended.
pub(super) struct Refused {
    code: ErrorCode,
    message: Option<String>,
    log_start: Offset,
    not_serving: Option<NotServing>,
    /// The transaction is not open on the partition.
    is_unverified: bool,
}

impl From<NotServing> for Refused {
    fn from(why: NotServing) -> Refused {
        Refused { code: why.error_code(), message: None, log_start: Offset(-1), not_serving: Some(why), is_unverified: false }
    }
}

impl Refused {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Refused {
        Refused { code, message: Some(message.into()), log_start: Offset(-1), not_serving: None, is_unverified: false }
    }

    fn into_response(self, index: i32, version: i16) -> PartitionProduceResponse<'static> {
        let current_leader = match self.not_serving.and_then(NotServing::current_leader) {
            Some(current) if version >= LEADER_HINT_SINCE => {
                LeaderIdAndEpoch { leader_id: current.leader.0, leader_epoch: current.epoch.0 }
            }
            _ => LeaderIdAndEpoch::default(),
        };
        PartitionProduceResponse {
            index,
            error_code: self.code.as_i16(),
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: self.log_start.0,
            error_message: self.message.map(Cow::Owned),
            current_leader,
            ..Default::default()
        }
    }
}

impl Request<'_> {
    fn append(&self, target: Target<'_>, records: Option<&[u8]>) -> Outcome {
        match self.try_append(target, records) {
            Ok(outcome) => outcome,
            Err(refused) => Outcome::Ended(Err(refused)),
        }
    }

    fn try_append(&self, target: Target<'_>, records: Option<&[u8]>) -> Result<Outcome, Refused> {
        let Some(acks) = self.acks else {
            return Err(Refused::new(ErrorCode::InvalidRequiredAcks, "acks must be 0, 1 or -1 (all)"));
        };
        let partition = if self.version >= TOPIC_IDS_SINCE {
            self.broker.partition_by_id(target.id, target.partition)?
        } else {
            self.broker.partition(target.name, target.partition)?
        };
        let (records, transactional) = self.check_shape(records)?;
        let topic = partition.topic_partition().topic.as_str();
        if topic.starts_with("__") && is_internal_topic(topic) && self.client_id != Some(ADMIN_CLIENT_ID) {
            return Err(Refused::new(ErrorCode::InvalidTopicException, format!("{topic} is internal: clients may not write to it")));
        }
        let Some(first) = transactional else {
            return append(partition, records, acks, AppendOrigin::Client, self.now).map(|done| Outcome::Ended(Ok(done)));
        };
        if self.transactional_id.is_none() {
            let message = "a transactional batch in a request without a transactional id";
            return Err(Refused::new(ErrorCode::TransactionalIdAuthorizationFailed, message));
        }
        let appended = append(Arc::clone(&partition), records, acks, AppendOrigin::Client, self.now);
        if !matches!(&appended, Err(refused) if refused.is_unverified) {
            return Ok(Outcome::Ended(appended));
        }
        // Only the first batch of a transaction comes here, so only it pays for a look at the configuration.
        if produce_transactional::is_asked_for(self.broker, produce_transactional::ask_of(self.version)) {
            return Ok(Outcome::Unverified { partition, first });
        }
        Ok(Outcome::Ended(append(partition, records, acks, AppendOrigin::Unverified, self.now)))
    }

    /// What Kafka's `ProduceRequest.validateRecords` asks of the request's shape, before any log is looked at.
    /// Gives what a transactional batch says of its producer.
    fn check_shape<'r>(&self, records: Option<&'r [u8]>) -> Result<(&'r [u8], Option<FirstBatch>), Refused> {
        let invalid = |what: &str| Refused::new(ErrorCode::InvalidRecord, format!("version {} of Produce {what}", self.version));
        let records = records.unwrap_or_default();
        if records.is_empty() {
            return Err(invalid("needs a record batch for each partition"));
        }
        let (first, rest) = match BatchView::split_first(records) {
            Ok(split) => split,
            Err(BatchError::UnsupportedMagic { .. }) => return Err(invalid("takes record batches of format 2 only")),
            // Any other damage is the log's to name, as it does for every batch.
            Err(_) => return Ok((records, None)),
        };
        if self.version < ZSTD_SINCE && first.compression() == Ok(Compression::Zstd) {
            let message = format!("version {} of Produce cannot carry zstd", self.version);
            return Err(Refused::new(ErrorCode::UnsupportedCompressionType, message));
        }
        if BatchView::split_first(rest).is_ok() {
            return Err(invalid("takes one record batch for each partition"));
        }
        let transactional = first.is_transactional().then(|| FirstBatch {
            producer_id: ProducerId(first.producer_id()),
            producer_epoch: ProducerEpoch(first.producer_epoch()),
            base_sequence: Sequence(first.base_sequence()),
            raises_epoch: produce_transactional::ask_of(self.version) == Ask::Add,
        });
        Ok((records, transactional))
    }
}

/// Appends to a partition, if it is served here.
pub(super) fn append(
    partition: Arc<Partition>,
    records: &[u8],
    acks: Acks,
    origin: AppendOrigin,
    now: TimestampMs,
) -> Result<Done, Refused> {
    partition.check_leader(LeaderEpoch::NONE)?;
    if acks == Acks::All && !partition.has_enough_replicas() {
        return Err(Refused::new(ErrorCode::NotEnoughReplicas, "fewer replicas are in sync than min.insync.replicas asks for"));
    }
    match partition.append(records, AppendOptions { acks, origin, now }) {
        Ok(appended) => {
            let response = PartitionProduceResponse {
                index: partition.topic_partition().partition.0,
                error_code: ErrorCode::None.as_i16(),
                base_offset: appended.base_offset.0,
                log_append_time_ms: appended.log_append_time.0,
                log_start_offset: appended.log_start_offset.0,
                ..Default::default()
            };
            let end = appended.last_offset.plus(1);
            let written = if appended.duplicate { 0 } else { end.0 - appended.base_offset.0 };
            Ok(Done { response, partition, end, records: u64::try_from(written).unwrap_or(0), bytes: appended.bytes })
        }
        Err(error) => Err(Refused {
            code: append_error_code(&error),
            is_unverified: matches!(error, AppendError::NotInTransaction { .. }),
            message: Some(error.to_string()),
            log_start: partition.watermarks().log_start,
            not_serving: None,
        }),
    }
}

/// Where the leaders named in the answer can be reached (KIP-951).
fn add_endpoints(response: &mut ProduceResponse<'_>, broker: &BrokerContext, version: i16, listener: &str) {
    if version < LEADER_HINT_SINCE {
        return;
    }
    let leaders = response.responses.iter().flat_map(|t| &t.partition_responses).map(|p| p.current_leader.leader_id).filter(|id| *id >= 0);
    let mut leaders: Vec<i32> = leaders.collect();
    if leaders.is_empty() {
        return;
    }
    leaders.sort_unstable();
    leaders.dedup();
    response.node_endpoints = broker
        .endpoints(&leaders, listener)
        .into_iter()
        .map(|e| NodeEndpoint { node_id: e.node.0, host: Cow::Owned(e.host), port: e.port, rack: e.rack.map(Cow::Owned) })
        .collect();
}

/// The answer without the request's names: it waits while the frame is long gone.
fn into_owned(response: ProduceResponse<'_>) -> ProduceResponse<'static> {
    let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    let partition = |p: PartitionProduceResponse<'_>| PartitionProduceResponse {
        index: p.index,
        error_code: p.error_code,
        base_offset: p.base_offset,
        log_append_time_ms: p.log_append_time_ms,
        log_start_offset: p.log_start_offset,
        record_errors: Vec::new(),
        error_message: p.error_message.map(owned),
        current_leader: p.current_leader,
    };
    let topic = |t: TopicProduceResponse<'_>| TopicProduceResponse {
        name: owned(t.name),
        topic_id: t.topic_id,
        partition_responses: t.partition_responses.into_iter().map(partition).collect(),
    };
    let endpoint = |e: NodeEndpoint<'_>| NodeEndpoint { node_id: e.node_id, host: owned(e.host), port: e.port, rack: e.rack.map(owned) };
    ProduceResponse {
        responses: response.responses.into_iter().map(topic).collect(),
        throttle_time_ms: response.throttle_time_ms,
        node_endpoints: response.node_endpoints.into_iter().map(endpoint).collect(),
    }
}

#[cfg(test)]
#[path = "produce_tests.rs"]
mod tests;
