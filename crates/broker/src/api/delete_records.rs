//! DeleteRecords (key 21): deletes the first records of a partition by moving its log start offset (KIP-107).
//!
//! Versions 0 to 2.
//!
//! * Up to an offset, which is the first to be kept, or up to the high watermark (-1). Beyond the high watermark, or below 0:
//!   OFFSET_OUT_OF_RANGE. Up to an offset that is deleted already: nothing to do, and no error, as in Kafka.
//! * POLICY_VIOLATION for topics whose `cleanup.policy` has no `delete`; INVALID_TOPIC_EXCEPTION for internal topics.
//! * Nobody reads what was deleted from the moment the request is handled. It is answered once the new log start is on stable storage,
//!   so that no crash brings back what was said to be gone; REQUEST_TIMED_OUT when that takes longer than the request's timeout.
//! * Segments that lie wholly below the log start go later, with the next look of retention.
//!
//! Known gaps: none on one node. The low watermark is this replica's log start; with followers it is the least of all.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset, PartitionId, is_internal_topic};
use ottla_wire::ErrorCode;
use ottla_wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
    HIGH_WATERMARK, INVALID_LOW_WATERMARK,
};

use super::{Answer, ApiHandler, Reply, RequestContext, TopicRef};
use crate::context::{BrokerContext, deadline_after};
use crate::partition::{Partition, delete_records_error_code, keep_log_starts};

/// See the module.
pub struct DeleteRecords;

impl ApiHandler for DeleteRecords {
    type Request<'a> = DeleteRecordsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn touches(request: &DeleteRecordsRequest<'_>, _version: i16, each: &mut dyn FnMut(TopicRef<'_>, PartitionId)) {
        for topic in &request.topics {
            topic.partitions.iter().for_each(|asked| each(TopicRef::Name(topic.name), PartitionId(asked.partition_index)));
        }
    }

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: DeleteRecordsRequest<'_>, reply: Reply<'_>) -> Answer {
        let mut topics = Vec::with_capacity(request.topics.len());
        let mut partitions = Vec::new();
        // Of each of these partitions: its topic's place in the answer, and its own among the topic's.
        let mut places = Vec::new();
        for topic in &request.topics {
            let mut results = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let (low_watermark, code) = match delete(broker, topic.name, asked) {
                    Ok((partition, log_start)) => {
                        partitions.push(partition);
                        places.push((topics.len(), results.len()));
                        (log_start.0, ErrorCode::None)
                    }
                    Err(code) => (INVALID_LOW_WATERMARK, code),
                };
                let partition_index = asked.partition_index;
                results.push(DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: code.as_i16() });
            }
            topics.push(DeleteRecordsTopicResult { name: Cow::Owned(topic.name.to_owned()), partitions: results });
        }
        if partitions.is_empty() {
            return reply.send(&DeleteRecordsResponse { topics, ..Default::default() });
        }
        let deadline = deadline_after(request.timeout_ms);
        let kept = tokio::task::spawn_blocking(move || keep_log_starts(&partitions));
        reply.later(|later| async move {
            let outcomes = match tokio::time::timeout_at(deadline, kept).await {
                Ok(Ok(outcomes)) => outcomes,
                Ok(Err(lost)) => {
                    tracing::error!("log starts were perhaps not written: {lost}");
                    vec![Err(ErrorCode::UnknownServerError); places.len()]
                }
                Err(_elapsed) => vec![Err(ErrorCode::RequestTimedOut); places.len()],
            };
            for ((topic, partition), outcome) in places.into_iter().zip(outcomes) {
                let result = topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(partition));
                if let (Some(result), Err(code)) = (result, outcome) {
                    result.low_watermark = INVALID_LOW_WATERMARK;
                    result.error_code = code.as_i16();
                }
            }
            later.encode(&DeleteRecordsResponse { topics, ..Default::default() })
        })
    }
}

/// Deletes from one partition, in memory; gives its log start.
fn delete(broker: &BrokerContext, topic: &str, asked: &DeleteRecordsPartition) -> Result<(Arc<Partition>, Offset), ErrorCode> {
    if is_internal_topic(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = broker.partition(topic, PartitionId(asked.partition_index)).map_err(|why| why.error_code())?;
    partition.check_leader(LeaderEpoch::NONE).map_err(|why| why.error_code())?;
    let upto = (asked.offset != HIGH_WATERMARK).then_some(Offset(asked.offset));
    let log_start = partition.delete_records(upto).map_err(|error| {
        tracing::debug!(partition = %partition.topic_partition(), "records are not deleted: {error}");
        delete_records_error_code(&error)
    })?;
    Ok((partition, log_start))
}

#[cfg(test)]
#[path = "delete_records_tests.rs"]
mod tests;
