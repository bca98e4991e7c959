//! One Fetch: the request for a broker's partitions, and its answer taken apart without copying a record.
//!
//! Without fetch sessions (KIP-227): each request names all its partitions.

use std::time::Duration;

use bytes::Bytes;
use ottla_model::{LeaderEpoch, NodeId, TopicId, TopicPartition};
use ottla_wire::Records;
use ottla_wire::error::ErrorCode;
use ottla_wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};

use crate::client::Purpose;
use crate::connection::Answer;
use crate::{Client, ClientError, ConsumerConfig};

/// The first version in which Fetch names topics by id; used only when all ids are known.
const FETCH_BY_TOPIC_ID: i16 = 13;

/// A partition to be fetched.
#[derive(Clone, Debug)]
pub(super) struct PlannedPartition {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) generation: u64,
    pub(super) offset: i64,
    pub(super) leader_epoch: LeaderEpoch,
}

/// A whole fetch.
#[derive(Debug)]
pub(super) struct FetchPlan {
    node: NodeId,
    partitions: Vec<PlannedPartition>,
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    partition_max_bytes: i32,
    isolation_level: i8,
}

impl FetchPlan {
    pub(super) fn new(node: NodeId, partitions: Vec<PlannedPartition>, config: &ConsumerConfig) -> FetchPlan {
        let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        FetchPlan {
            node,
            partitions,
            max_wait_ms: int(config.fetch_max_wait_ms),
            min_bytes: int(config.fetch_min_bytes),
            max_bytes: int(config.fetch_max_bytes),
            partition_max_bytes: int(config.max_partition_fetch_bytes),
            isolation_level: config.isolation_level.to_wire(),
        }
    }
}

/// What came of it; `result` has an entry for each planned partition, in their order.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) node: NodeId,
    pub(super) planned: Vec<PlannedPartition>,
    pub(super) result: Result<Vec<FetchedPartition>, ClientError>,
    /// How long the broker wants to be left alone.
    pub(super) throttle: Duration,
}

/// What came of one partition.
#[derive(Debug)]
pub(super) struct FetchedPartition {
    pub(super) code: ErrorCode,
    pub(super) high_watermark: i64,
    /// `(producer id, first offset)`.
    pub(super) aborted: Vec<(i64, i64)>,
    pub(super) preferred_replica: Option<NodeId>,
    pub(super) records: Bytes,
}

pub(super) async fn fetch(client: &Client, plan: FetchPlan) -> Fetched {
    let (result, throttle) = match ask(client, &plan).await {
        Ok((partitions, throttle)) => (Ok(partitions), throttle),
        Err(error) => (Err(error), Duration::ZERO),
    };
    Fetched { node: plan.node, planned: plan.partitions, result, throttle }
}

async fn ask(client: &Client, plan: &FetchPlan) -> Result<(Vec<FetchedPartition>, Duration), ClientError> {
    let connection = client.connection(plan.node, Purpose::Fetch).await?;
    let mut topics: Vec<FetchTopic<'_>> = Vec::new();
    for planned in &plan.partitions {
        let partition = FetchPartition {
            partition: planned.partition.partition.0,
            current_leader_epoch: planned.leader_epoch.0,
            fetch_offset: planned.offset,
            partition_max_bytes: plan.partition_max_bytes,
            ..Default::default()
        };
        let name = planned.partition.topic.as_str();
        match topics.iter_mut().find(|topic| topic.topic == name) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(FetchTopic { topic: name, topic_id: planned.topic_id.0, partitions: vec![partition] }),
        }
    }
    let all_ids_known = plan.partitions.iter().all(|planned| planned.topic_id != TopicId::ZERO);
    let at_most = if all_ids_known { i16::MAX } else { FETCH_BY_TOPIC_ID - 1 };
    let version = connection.version::<FetchRequest<'_>>(at_most)?;
    let request = FetchRequest {
        max_wait_ms: plan.max_wait_ms,
        min_bytes: plan.min_bytes,
        max_bytes: plan.max_bytes,
        isolation_level: plan.isolation_level,
        topics,
        rack_id: &client.config().client_rack,
        ..Default::default()
    };
    let answer = connection.submit(&request, version).await?.answer().await?;
    let response: FetchResponse<'_> = answer.decode()?;
    let code = crate::error::code(response.error_code);
    if code != ErrorCode::None {
        return Err(ClientError::Refused { subject: format!("fetch from broker {}", plan.node), code, message: None });
    }
    let throttle = Duration::from_millis(u64::try_from(response.throttle_time_ms).unwrap_or(0));
    let partitions = plan.partitions.iter().map(|planned| taken_out(&answer, &response, planned)).collect::<Result<_, _>>()?;
    Ok((partitions, throttle))
}

fn taken_out(answer: &Answer, response: &FetchResponse<'_>, planned: &PlannedPartition) -> Result<FetchedPartition, ClientError> {
    let by_id = answer.version() >= FETCH_BY_TOPIC_ID;
    let found = response
        .responses
        .iter()
        .filter(|topic| if by_id { topic.topic_id == planned.topic_id.0 } else { topic.topic == planned.partition.topic.as_str() })
        .flat_map(|topic| &topic.partitions)
        .find(|partition| partition.partition_index == planned.partition.partition.0)
        .ok_or_else(|| answer.malformed(format!("nothing about {}", planned.partition)))?;
    let records = match &found.records {
        Records::Borrowed(bytes) => answer.share(bytes),
        Records::None | Records::Fragments(_) => Bytes::new(),
    };
    let aborted = found.aborted_transactions.iter().flatten().map(|txn| (txn.producer_id, txn.first_offset)).collect();
    Ok(FetchedPartition {
        code: crate::error::code(found.error_code),
        high_watermark: found.high_watermark,
        aborted,
        preferred_replica: Some(NodeId(found.preferred_read_replica)).filter(|node| *node != NodeId::NONE),
        records,
    })
}
