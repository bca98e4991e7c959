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
//! Known gaps: transactional batches are refused with INVALID_TXN_STATE until there is a transaction coordinator; of KIP-467's per-record
//! errors only the message for the whole batch is given.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ottla_log::AppendOrigin;
use ottla_model::{Acks, LeaderEpoch, Offset, PartitionId, TimestampMs, TopicId, is_internal_topic};
use ottla_wire::batch::{BatchError, BatchView};
use ottla_wire::compress::Compression;
use ottla_wire::ErrorCode;
use ottla_wire::message::produce::{LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse};
use tokio::time::Instant;

use super::{Answer, ApiHandler, CloseReason, Frame, LaterReply, Reply, RequestContext, TopicRef};
use crate::context::BrokerContext;
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
        let produce = Request { broker, version: cx.version, acks, client_id: cx.client_id, now: broker.now() };
        let mut unacknowledged: Vec<Unacknowledged> = Vec::new();
        let mut behind: Vec<Arc<LogDir>> = Vec::new();
        let mut appended = Appended::default();
        let mut failed: Option<(ErrorCode, &str, i32)> = None;
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for (topic_index, topic) in request.topic_data.iter().enumerate() {
            let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
            for (partition_index, data) in topic.partition_data.iter().enumerate() {
                let target = Target { name: topic.name, id: TopicId(topic.topic_id), partition: PartitionId(data.index) };
                let response = match produce.append(target, data.records) {
                    Ok(done) => {
                        appended.batches += u64::from(done.records > 0);
                        appended.records += done.records;
                        appended.bytes += u64::from(done.bytes);
                        let dir = done.partition.log_dir();
                        if dir.is_behind() && !behind.iter().any(|known| Arc::ptr_eq(known, dir)) {
                            behind.push(Arc::clone(dir));
                        }
                        if acks == Some(Acks::All) && done.partition.high_watermark() < done.end {
                            let Done { partition, end, .. } = done;
                            unacknowledged.push(Unacknowledged { topic_index, partition_index, partition, end });
                        }
                        done.response
                    }
                    Err(refused) => {
                        failed.get_or_insert((refused.code, topic.name, data.index));
                        refused.into_response(data.index, cx.version)
                    }
                };
                partition_responses.push(response);
            }
            responses.push(TopicProduceResponse {
                name: Cow::Borrowed(topic.name),
                topic_id: topic.topic_id,
                partition_responses,
            });
        }
        broker.metrics.requests.appended(appended);
        if acks == Some(Acks::None) {
            return match failed {
                None if behind.is_empty() => reply.nothing(),
                None => reply.hold(|_| async move {
                    caught_up(&behind).await;
                    Frame::nothing()
                }),
                Some((code, topic, partition)) => {
                    Answer::Close(CloseReason::UnacknowledgedProduceFailed(format!("{topic}-{partition}: {code}")))
                }
            };
        }
        let mut response = ProduceResponse { responses, ..Default::default() };
        add_endpoints(&mut response, broker, cx);
        if unacknowledged.is_empty() && behind.is_empty() {
            return reply.send(&response);
        }
        let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let mut response = into_owned(response);
        let slow_down = !behind.is_empty();
        let wait = |later: LaterReply| async move {
            // One after another: all have to be there, and whichever comes first waits for the rest anyway.
            for waiting in unacknowledged {
                if let Err(code) = waiting.partition.reach(waiting.end, deadline).await {
                    let partition =
                        response.responses.get_mut(waiting.topic_index).and_then(|t| t.partition_responses.get_mut(waiting.partition_index));
                    if let Some(partition) = partition {
                        partition.error_code = code.as_i16();
                    }
                }
            }
            caught_up(&behind).await;
            later.encode(&response)
        };
        if slow_down { reply.hold(wait) } else { reply.later(wait) }
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
    topic_index: usize,
    partition_index: usize,
    partition: Arc<Partition>,
    end: Offset,
}

struct Request<'r> {
    broker: &'r Arc<BrokerContext>,
    version: i16,
    acks: Option<Acks>,
    client_id: Option<&'r str>,
    now: TimestampMs,
}

#[derive(Clone, Copy)]
struct Target<'r> {
    name: &'r str,
    id: TopicId,
    partition: PartitionId,
}

struct Done {
    response: PartitionProduceResponse<'static>,
    partition: Arc<Partition>,
    /// The offset after the last record.
    end: Offset,
    /// What was written: nothing of what was there already.
    records: u64,
    bytes: u32,
}

/// Why nothing was appended.
struct Refused {
    code: ErrorCode,
    message: Option<String>,
    log_start: Offset,
    not_serving: Option<NotServing>,
}

impl From<NotServing> for Refused {
    fn from(why: NotServing) -> Refused {
        Refused { code: why.error_code(), message: None, log_start: Offset(-1), not_serving: Some(why) }
    }
}

impl Refused {
    fn new(code: ErrorCode, message: impl Into<String>) -> Refused {
        Refused { code, message: Some(message.into()), log_start: Offset(-1), not_serving: None }
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
    fn append(&self, target: Target<'_>, records: Option<&[u8]>) -> Result<Done, Refused> {
        let Some(acks) = self.acks else {
            return Err(Refused::new(ErrorCode::InvalidRequiredAcks, "acks must be 0, 1 or -1 (all)"));
        };
        let partition = if self.version >= TOPIC_IDS_SINCE {
            self.broker.partition_by_id(target.id, target.partition)?
        } else {
            self.broker.partition(target.name, target.partition)?
        };
        let records = self.check_shape(records)?;
        let topic = partition.topic_partition().topic.as_str();
        if topic.starts_with("__") && is_internal_topic(topic) && self.client_id != Some(ADMIN_CLIENT_ID) {
            return Err(Refused::new(ErrorCode::InvalidTopicException, format!("{topic} is internal: clients may not write to it")));
        }
        partition.check_leader(LeaderEpoch::NONE)?;
        if acks == Acks::All && !partition.has_enough_replicas() {
            return Err(Refused::new(ErrorCode::NotEnoughReplicas, "fewer replicas are in sync than min.insync.replicas asks for"));
        }
        match partition.append(records, AppendOptions { acks, origin: AppendOrigin::Client, now: self.now }) {
            Ok(appended) => {
                let response = PartitionProduceResponse {
                    index: target.partition.0,
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
                message: Some(error.to_string()),
                log_start: partition.watermarks().log_start,
                not_serving: None,
            }),
        }
    }

    /// What Kafka's `ProduceRequest.validateRecords` asks of the request's shape, before any log is looked at.
    fn check_shape<'r>(&self, records: Option<&'r [u8]>) -> Result<&'r [u8], Refused> {
        let invalid = |what: &str| Refused::new(ErrorCode::InvalidRecord, format!("version {} of Produce {what}", self.version));
        let records = records.unwrap_or_default();
        if records.is_empty() {
            return Err(invalid("needs a record batch for each partition"));
        }
        let (first, rest) = match BatchView::split_first(records) {
            Ok(split) => split,
            Err(BatchError::UnsupportedMagic { .. }) => return Err(invalid("takes record batches of format 2 only")),
            // Any other damage is the log's to name, as it does for every batch.
            Err(_) => return Ok(records),
        };
        if first.is_transactional() {
            return Err(Refused::new(ErrorCode::InvalidTxnState, "this producer has no transaction open on the partition"));
        }
        if self.version < ZSTD_SINCE && first.compression() == Ok(Compression::Zstd) {
            let message = format!("version {} of Produce cannot carry zstd", self.version);
            return Err(Refused::new(ErrorCode::UnsupportedCompressionType, message));
        }
        if BatchView::split_first(rest).is_ok() {
            return Err(invalid("takes one record batch for each partition"));
        }
        Ok(records)
    }
}

/// Where the leaders named in the answer can be reached (KIP-951).
fn add_endpoints(response: &mut ProduceResponse<'_>, broker: &BrokerContext, cx: &RequestContext<'_>) {
    if cx.version < LEADER_HINT_SINCE {
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
        .endpoints(&leaders, &cx.listener.name)
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
