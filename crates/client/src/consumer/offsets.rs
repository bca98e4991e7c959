//! Looking up offsets (ListOffsets): the ends of a partition, and what was written at a time.

use std::collections::HashMap;

use ottla_model::{LeaderEpoch, NodeId, Offset, TimestampMs, TopicPartition};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use tokio::time::{Instant, sleep};

use crate::backoff::random_u32;
use crate::client::{Deadline, Purpose};
use crate::{Client, ClientError, IsolationLevel};

/// The first version whose answer has one offset a partition.
const ONE_OFFSET: i16 = 1;

/// A place in a partition, to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// This offset, whether it exists (yet) or not.
    Offset(Offset),
    /// The first record there is.
    Beginning,
    /// Behind the last record that may be read.
    End,
    /// The first record of this time or later; the end where there is none.
    Timestamp(TimestampMs),
}

impl SeekTo {
    fn to_wire(self) -> i64 {
        match self {
            SeekTo::Offset(offset) => offset.0,
            SeekTo::Beginning => EARLIEST_TIMESTAMP,
            SeekTo::End => LATEST_TIMESTAMP,
            SeekTo::Timestamp(at) => at.0,
        }
    }
}

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: TimestampMs,
}

/// Asks the leaders, again where that may help, until all have answered. `None`: no record that late.
pub(crate) async fn look_up(
    client: &Client,
    wanted: &[(TopicPartition, SeekTo)],
    isolation: IsolationLevel,
    deadline: Deadline,
) -> Result<HashMap<TopicPartition, Option<OffsetAndTimestamp>>, ClientError> {
    let mut found = HashMap::new();
    let mut failures = 0;
    loop {
        let missing: Vec<_> = wanted.iter().filter(|(partition, _)| !found.contains_key(partition)).cloned().collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let last = match look_up_once(client, &missing, isolation, deadline, &mut found).await {
            Ok(None) => continue,
            Ok(Some(error)) => error,
            Err(error) if error.is_retriable() => error,
            Err(error) => return Err(error),
        };
        if Instant::now() >= deadline.at {
            return Err(deadline.passed("offsets could not be looked up", Some(last)));
        }
        failures += 1;
        client.request_refresh();
        sleep(client.backoff().after(failures, random_u32())).await;
    }
}

/// One round. `Some`: what kept it from being complete, though another may be.
async fn look_up_once(
    client: &Client,
    missing: &[(TopicPartition, SeekTo)],
    isolation: IsolationLevel,
    deadline: Deadline,
    found: &mut HashMap<TopicPartition, Option<OffsetAndTimestamp>>,
) -> Result<Option<ClientError>, ClientError> {
    let mut by_leader: HashMap<NodeId, Vec<(&TopicPartition, SeekTo, LeaderEpoch)>> = HashMap::new();
    let mut trouble = None;
    for (partition, seek) in missing {
        let topic = client.topic(partition.topic.as_str(), false, deadline).await?;
        let index = partition.partition.0;
        if topic.partition(index).is_none() {
            let partitions = topic.partitions.len();
            return Err(ClientError::UnknownPartition { topic: topic.name.to_string(), partition: index, partitions });
        }
        match topic.leader(index) {
            Some((leader, epoch)) => by_leader.entry(leader).or_default().push((partition, *seek, epoch)),
            None => trouble = Some(ClientError::NoLeader { topic: topic.name.to_string(), partition: index }),
        }
    }
    for (leader, partitions) in by_leader {
        match ask(client, leader, &partitions, isolation, found).await {
            Ok(None) => {}
            Ok(Some(error)) => trouble = Some(error),
            Err(error) if error.is_retriable() => trouble = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok(trouble)
}

async fn ask(
    client: &Client,
    leader: NodeId,
    partitions: &[(&TopicPartition, SeekTo, LeaderEpoch)],
    isolation: IsolationLevel,
    found: &mut HashMap<TopicPartition, Option<OffsetAndTimestamp>>,
) -> Result<Option<ClientError>, ClientError> {
    let connection = client.connection(leader, Purpose::General).await?;
    let version = connection.version::<ListOffsetsRequest<'_>>(i16::MAX)?;
    if version < ONE_OFFSET {
        return Err(ClientError::Unsendable { api: "ListOffsets", cause: "the broker knows version 0 only".to_owned() });
    }
    let mut topics: Vec<ListOffsetsTopic<'_>> = Vec::new();
    for (partition, seek, epoch) in partitions {
        let name = partition.topic.as_str();
        let asked = ListOffsetsPartition {
            partition_index: partition.partition.0,
            current_leader_epoch: epoch.0,
            timestamp: seek.to_wire(),
            ..Default::default()
        };
        match topics.iter_mut().find(|topic| topic.name == name) {
            Some(topic) => topic.partitions.push(asked),
            None => topics.push(ListOffsetsTopic { name, partitions: vec![asked] }),
        }
    }
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: if version >= 2 { isolation.to_wire() } else { 0 },
        topics,
        timeout_ms: i32::try_from(client.config().request_timeout_ms).unwrap_or(i32::MAX),
    };
    let answer = connection.submit(&request, version).await?.answer().await?;
    let response: ListOffsetsResponse<'_> = answer.decode()?;
    let mut trouble = None;
    for (partition, _, _) in partitions {
        let answered = response
            .topics
            .iter()
            .find(|topic| topic.name == partition.topic.as_str())
            .and_then(|topic| topic.partitions.iter().find(|p| p.partition_index == partition.partition.0))
            .ok_or_else(|| answer.malformed(format!("nothing about {partition}")))?;
        match crate::error::code(answered.error_code) {
            ErrorCode::None => {
                let record = OffsetAndTimestamp { offset: Offset(answered.offset), timestamp: TimestampMs(answered.timestamp) };
                found.insert((*partition).clone(), (answered.offset >= 0).then_some(record));
            }
            code => {
                let error = ClientError::Refused { subject: partition.to_string(), code, message: None };
                if !code.retriable() {
                    return Err(error);
                }
                trouble = Some(error);
            }
        }
    }
    Ok(trouble)
}
