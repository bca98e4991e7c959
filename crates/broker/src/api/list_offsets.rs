//! ListOffsets (key 2): the offset at a timestamp, or at one end of the log.
//!
//! Versions 0 to 11. Kafka 4 dropped version 0; its one question that clients still ask (the newest or oldest offsets, as a list) is
//! answered.
//!
//! * Latest (-1) is the high watermark, or the last stable offset for read_committed. Earliest (-2) is the log start offset.
//! * Max timestamp (-3, KIP-734) from version 7 on; earliest local (-4, KIP-405) from 8 on, the log start as there is no other storage;
//!   latest tiered (-5, KIP-1005) from 9 on and earliest pending upload (-6, KIP-1023) from 11 on, both "none" for that reason.
//! * Any other timestamp: the first record at or after it that a consumer may see; none gives -1.
//! * Leader epochs are checked (KIP-320).
//! * After a crash the high watermark is behind what was acknowledged before, until what the log has is durable. A consumer is answered then,
//!   so that it never sees the end go back (KIP-207): if that takes long, with OFFSET_NOT_AVAILABLE.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ottla_log::{FoundOffset, ReadError};
use ottla_model::{LeaderEpoch, Offset, PartitionId, TimestampMs};
use ottla_wire::ErrorCode;
use ottla_wire::message::list_offsets::{
    EARLIEST_LOCAL_TIMESTAMP, EARLIEST_PENDING_UPLOAD_TIMESTAMP, EARLIEST_TIMESTAMP, LATEST_TIERED_TIMESTAMP, LATEST_TIMESTAMP,
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic, ListOffsetsTopicResponse, MAX_TIMESTAMP,
};
use tokio::time::Instant;

use super::{Answer, ApiHandler, Reply, RequestContext, TopicRef};
use crate::context::BrokerContext;
use crate::partition::{Isolation, Partition, read_error_code};

/// See the module.
pub struct ListOffsets;

/// First version that tells the record's leader epoch (KIP-320).
const LEADER_EPOCH_SINCE: i16 = 4;
/// First version that knows OFFSET_NOT_AVAILABLE (KIP-207).
const OFFSET_NOT_AVAILABLE_SINCE: i16 = 5;
/// How long a consumer waits for what a crash has left to become durable, before it is told to ask again.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(5);
/// `replica_id` of a consumer; anything else (a follower, a debugging client with -2) sees up to the log end.
const CONSUMER: i32 = -1;

impl ApiHandler for ListOffsets {
    type Request<'a> = ListOffsetsRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 0..=11;

    fn touches(request: &ListOffsetsRequest<'_>, _version: i16, each: &mut dyn FnMut(TopicRef<'_>, PartitionId)) {
        for topic in &request.topics {
            topic.partitions.iter().for_each(|asked| each(TopicRef::Name(topic.name), PartitionId(asked.partition_index)));
        }
    }

    fn handle(broker: &Arc<BrokerContext>, cx: &RequestContext<'_>, request: ListOffsetsRequest<'_>, reply: Reply<'_>) -> Answer {
        let visible = match request.replica_id {
            CONSUMER => Visible::To(Isolation::from_wire(request.isolation_level)),
            _ => Visible::All,
        };
        let question = Question { version: cx.version, visible };
        let unsettled = question.unsettled(broker, &request.topics);
        if unsettled.is_empty() {
            return reply.send(&question.answer(broker, &request.topics));
        }
        let deadline = Instant::now() + SETTLE_WAIT_MAX;
        let topics: Vec<(String, Vec<ListOffsetsPartition>)> =
            request.topics.into_iter().map(|topic| (topic.name.to_owned(), topic.partitions)).collect();
        let broker = Arc::clone(broker);
        reply.later(|later| async move {
            for partition in unsettled {
                // What is not there at the deadline, or not led any more, says so itself.
                let _ = partition.reach(partition.found_end(), deadline).await;
            }
            let topics = topics.iter().map(|(name, partitions)| ListOffsetsTopic { name, partitions: partitions.clone() });
            later.encode(&question.answer(&broker, &topics.collect::<Vec<_>>()))
        })
    }
}

/// How a request is to be answered.
#[derive(Clone, Copy)]
struct Question {
    version: i16,
    visible: Visible,
}

impl Question {
    /// The partitions whose end a consumer may not be told yet.
    fn unsettled(self, broker: &BrokerContext, topics: &[ListOffsetsTopic<'_>]) -> Vec<Arc<Partition>> {
        let all = topics.iter().flat_map(|topic| topic.partitions.iter().map(|asked| (topic.name, PartitionId(asked.partition_index))));
        let led = all.filter_map(|(topic, id)| broker.partition(topic, id).ok().filter(|found| found.check_leader(LeaderEpoch::NONE).is_ok()));
        led.filter(|partition| !self.is_settled(partition)).collect()
    }

    fn is_settled(self, partition: &Partition) -> bool {
        matches!(self.visible, Visible::All) || partition.high_watermark() >= partition.found_end()
    }

    fn answer<'r>(self, broker: &BrokerContext, topics: &[ListOffsetsTopic<'r>]) -> ListOffsetsResponse<'r> {
        let repeated = repeated(topics);
        let one = |topic: &str, asked: &ListOffsetsPartition| {
            if repeated.contains(&(topic, asked.partition_index)) {
                return Err(ErrorCode::InvalidRequest);
            }
            if !is_known(asked.timestamp, self.version) {
                return Err(ErrorCode::UnsupportedVersion);
            }
            let partition = broker.partition(topic, PartitionId(asked.partition_index)).map_err(|why| why.error_code())?;
            partition.check_leader(LeaderEpoch(asked.current_leader_epoch)).map_err(|why| why.error_code())?;
            if !self.is_settled(&partition) {
                let knows = self.version >= OFFSET_NOT_AVAILABLE_SINCE;
                return Err(if knows { ErrorCode::OffsetNotAvailable } else { ErrorCode::LeaderNotAvailable });
            }
            look_up(&partition, asked.timestamp, self.visible).map_err(|error| read_error_code(&error))
        };
        let topics = topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: Cow::Borrowed(topic.name),
            partitions: topic.partitions.iter().map(|asked| response(asked, one(topic.name, asked), self.version)).collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }
}

/// What the client may see.
#[derive(Clone, Copy)]
enum Visible {
    To(Isolation),
    All,
}

impl Visible {
    /// The first offset that it may not see.
    fn end(self, partition: &Partition) -> Offset {
        match self {
            Visible::To(Isolation::ReadUncommitted) => partition.high_watermark(),
            Visible::To(Isolation::ReadCommitted) => partition.last_stable_offset(),
            Visible::All => partition.watermarks().log_end,
        }
    }
}

const NOTHING: FoundOffset = FoundOffset { offset: Offset(-1), timestamp: TimestampMs::NONE, leader_epoch: LeaderEpoch::NONE };

fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        0.. | LATEST_TIMESTAMP | EARLIEST_TIMESTAMP => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL_TIMESTAMP => version >= 8,
        LATEST_TIERED_TIMESTAMP => version >= 9,
        EARLIEST_PENDING_UPLOAD_TIMESTAMP => version >= 11,
        _ => false,
    }
}

fn look_up(partition: &Partition, timestamp: i64, visible: Visible) -> Result<FoundOffset, ReadError> {
    match timestamp {
        LATEST_TIMESTAMP => {
            Ok(FoundOffset { offset: visible.end(partition), timestamp: TimestampMs::NONE, leader_epoch: partition.leadership().epoch })
        }
        EARLIEST_TIMESTAMP | EARLIEST_LOCAL_TIMESTAMP => {
            let start = partition.watermarks().log_start;
            let epoch = partition.with_log(|log| log.epoch_of(start));
            Ok(FoundOffset { offset: start, timestamp: TimestampMs::NONE, leader_epoch: epoch.unwrap_or(LeaderEpoch::NONE) })
        }
        LATEST_TIERED_TIMESTAMP | EARLIEST_PENDING_UPLOAD_TIMESTAMP => Ok(NOTHING),
        MAX_TIMESTAMP => {
            let end = visible.end(partition);
            let found = partition.with_log(|log| log.offset_of_max_timestamp())?;
            Ok(found.filter(|found| found.offset < end).unwrap_or(NOTHING))
        }
        _ => {
            let end = visible.end(partition);
            Ok(partition.with_log(|log| log.offset_for_timestamp(TimestampMs(timestamp), end))?.unwrap_or(NOTHING))
        }
    }
}

fn response(asked: &ListOffsetsPartition, found: Result<FoundOffset, ErrorCode>, version: i16) -> ListOffsetsPartitionResponse {
    let (found, code) = match found {
        Ok(found) => (found, ErrorCode::None),
        Err(code) => (NOTHING, code),
    };
    let (partition_index, error_code) = (asked.partition_index, code.as_i16());
    if version == 0 {
        let wanted = found.offset.0 >= 0 && asked.max_num_offsets > 0;
        let old_style_offsets = if wanted { vec![found.offset.0] } else { Vec::new() };
        return ListOffsetsPartitionResponse { partition_index, error_code, old_style_offsets, ..Default::default() };
    }
    ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        timestamp: found.timestamp.0,
        offset: found.offset.0,
        leader_epoch: if version >= LEADER_EPOCH_SINCE { found.leader_epoch.0 } else { -1 },
        ..Default::default()
    }
}

/// Partitions asked for twice: Kafka refuses each of them.
fn repeated<'r>(topics: &[ListOffsetsTopic<'r>]) -> HashSet<(&'r str, i32)> {
    let mut seen = HashSet::new();
    let all = topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name, p.partition_index)));
    all.filter(|partition| !seen.insert(*partition)).collect()
}
