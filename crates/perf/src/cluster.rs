//! What has to be known of a cluster before it is loaded: who leads what, where partitions begin and end, and topics
//! made for a run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_model::PartitionId;
use ottla_wire::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

pub(crate) use ottla_wire::message::list_offsets::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};

use crate::connection::{Connection, REQUEST_TIMEOUT_MS, version};
use crate::{Control, PerfError};

/// How long a topic may take until all its partitions are led, at the begin of a run.
pub(crate) const LED_WAIT: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long one broker may take to say who leads what: another may be quicker.
const METADATA_WAIT: Duration = Duration::from_secs(2);

/// Brokers to ask first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap(Vec<Arc<str>>);

impl FromStr for Bootstrap {
    type Err = PerfError;

    fn from_str(text: &str) -> Result<Bootstrap, PerfError> {
        let addresses: Vec<Arc<str>> = text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Arc::from).collect();
        match addresses.iter().all(|one| one.contains(':')) && !addresses.is_empty() {
            true => Ok(Bootstrap(addresses)),
            false => Err(PerfError::NoBroker { given: text.to_owned() }),
        }
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Bootstrap {
    /// A connection to the first that can be reached.
    pub(crate) fn connect(&self) -> Result<Connection, PerfError> {
        self.first(Connection::open)
    }

    /// What the first that succeeds gives; else the last error.
    fn first<T>(&self, mut ask: impl FnMut(&Arc<str>) -> Result<T, PerfError>) -> Result<T, PerfError> {
        let mut last = PerfError::NoBroker { given: String::new() };
        for address in &self.0 {
            match ask(address) {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A partition and the address of its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Led {
    pub(crate) partition: PartitionId,
    pub(crate) address: Arc<str>,
}

/// The leaders of the first `wanted` partitions of a topic, or of all, in the order of the partitions. Waits until there
/// are as many and each is led, but no longer than `wait`.
pub(crate) fn leaders(
    bootstrap: &Bootstrap,
    topic: &str,
    wanted: Option<usize>,
    wait: Duration,
    control: &Control,
) -> Result<Vec<Led>, PerfError> {
    let started = Instant::now();
    loop {
        match leaders_now(bootstrap, topic, wanted) {
            Ok(led) => return Ok(led),
            Err(error) if error.is_transient() && started.elapsed() < wait && control.pause(LOOK_PAUSE) => {}
            Err(PerfError::NotReady { topic, why, .. }) => {
                return Err(PerfError::NotReady { topic, why, waited_s: started.elapsed().as_secs_f64() });
            }
            Err(error) => return Err(error),
        }
    }
}

/// The same by one look.
pub(crate) fn leaders_now(bootstrap: &Bootstrap, topic: &str, wanted: Option<usize>) -> Result<Vec<Led>, PerfError> {
    bootstrap.first(|address| {
        let mut connection = Connection::open_waiting(address, METADATA_WAIT)?;
        let topics = Some(vec![MetadataRequestTopic { name: Some(topic), ..Default::default() }]);
        let request = MetadataRequest { topics, allow_auto_topic_creation: false, ..Default::default() };
        let response = connection.call(&request, version::METADATA)?;
        led(&response, topic, wanted)
    })
}

fn led(response: &MetadataResponse<'_>, topic: &str, wanted: Option<usize>) -> Result<Vec<Led>, PerfError> {
    let not_ready = |why: String| Err(PerfError::NotReady { topic: topic.to_owned(), why, waited_s: 0.0 });
    let Some(found) = response.topics.iter().find(|found| found.name.as_deref() == Some(topic)) else {
        return not_ready("the broker says nothing of it".to_owned());
    };
    if found.error_code != 0 {
        return Err(PerfError::Refused { subject: format!("topic `{topic}`"), code: found.error_code, said: None });
    }
    let wanted = wanted.unwrap_or(found.partitions.len());
    let mut leaders = Vec::with_capacity(wanted.min(found.partitions.len()));
    for partition in found.partitions.iter().filter(|partition| (0..wanted as i64).contains(&i64::from(partition.partition_index))) {
        let leader = response.brokers.iter().find(|broker| broker.node_id == partition.leader_id);
        let Some(leader) = leader.filter(|_| partition.error_code == 0) else {
            return not_ready(format!("partition {} has no leader", partition.partition_index));
        };
        let address = format!("{}:{}", leader.host, leader.port);
        // One address, held once, however many partitions it leads.
        let known = leaders.iter().rev().take(response.brokers.len()).find(|known: &&Led| *known.address == address);
        let address = known.map_or_else(|| Arc::from(address), |known| known.address.clone());
        leaders.push(Led { partition: PartitionId(partition.partition_index), address });
    }
    if leaders.len() < wanted || leaders.is_empty() {
        return not_ready(format!("it has {} partitions of the {wanted} to be used", leaders.len()));
    }
    leaders.sort_by_key(|led| led.partition);
    Ok(leaders)
}

/// The offset of each partition at `timestamp` (an end of the log), by its leader.
pub(crate) fn offsets(connection: &mut Connection, topic: &str, partitions: &[PartitionId], timestamp: i64) -> Result<Vec<i64>, PerfError> {
    let asked = partitions.iter().map(|partition| ListOffsetsPartition { partition_index: partition.0, timestamp, ..Default::default() });
    let topics = vec![ListOffsetsTopic { name: topic, partitions: asked.collect() }];
    let request = ListOffsetsRequest { replica_id: -1, topics, timeout_ms: REQUEST_TIMEOUT_MS, ..Default::default() };
    let response = connection.call(&request, version::LIST_OFFSETS)?;
    let mut offsets: Vec<Option<i64>> = vec![None; partitions.len()];
    for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
        if answer.error_code != 0 {
            let subject = format!("offsets of {topic}-{}", answer.partition_index);
            return Err(PerfError::Refused { subject, code: answer.error_code, said: None });
        }
        if let Some(at) = partitions.iter().position(|partition| partition.0 == answer.partition_index) {
            offsets[at] = Some(answer.offset);
        }
    }
    let missing = offsets.iter().position(Option::is_none);
    match missing {
        Some(at) => Err(connection.unanswered("ListOffsets", format!("{topic}-{}", partitions[at]))),
        None => Ok(offsets.into_iter().flatten().collect()),
    }
}

/// A topic to be made for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: usize,
    /// How many replicas of each; `None`: the broker's default.
    pub replication_factor: Option<i16>,
    /// Configs that are not the broker's defaults.
    pub configs: Vec<(String, String)>,
}

/// Makes a topic; an error when there is one already, which may be quite another.
pub fn create_topic(bootstrap: &Bootstrap, topic: &NewTopic) -> Result<(), PerfError> {
    let num_partitions = i32::try_from(topic.partitions).map_err(|_| PerfError::OutOfBounds {
        what: "partitions",
        given: topic.partitions as u64,
        why: "the protocol counts them in 31 bits".to_owned(),
    })?;
    let configs = topic.configs.iter().map(|(name, value)| CreatableTopicConfig { name, value: Some(value) }).collect();
    let creatable = CreatableTopic {
        name: &topic.name,
        num_partitions,
        replication_factor: topic.replication_factor.unwrap_or(-1),
        configs,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![creatable], timeout_ms: REQUEST_TIMEOUT_MS, ..Default::default() };
    let mut connection = bootstrap.connect()?;
    let response = connection.call(&request, version::CREATE_TOPICS)?;
    let said = response.topics.first().map(|topic| (topic.error_code, topic.error_message.as_deref().map(str::to_owned)));
    match said {
        Some((0, _)) => Ok(()),
        Some((code, said)) => Err(PerfError::Refused { subject: format!("topic `{}`", topic.name), code, said }),
        None => Err(connection.unanswered("CreateTopics", format!("topic `{}`", topic.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_wire::message::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};

    fn response(leaders: &[i32]) -> MetadataResponse<'static> {
        let broker = |node_id| MetadataResponseBroker { node_id, host: "host".into(), port: 9090 + node_id, ..Default::default() };
        let partition = |(index, leader): (usize, &i32)| MetadataResponsePartition {
            partition_index: index as i32,
            leader_id: *leader,
            ..Default::default()
        };
        // Brokers need not answer in the order of the partitions.
        let partitions = leaders.iter().enumerate().rev().map(partition).collect();
        let topics = vec![MetadataResponseTopic { name: Some("t".into()), partitions, ..Default::default() }];
        MetadataResponse { brokers: vec![broker(1), broker(2)], topics, ..Default::default() }
    }

    #[test]
    fn leaders_come_in_the_order_of_the_partitions() {
        let addresses = |wanted| -> Vec<String> {
            led(&response(&[2, 1, 2]), "t", wanted).unwrap().iter().map(|led| led.address.to_string()).collect()
        };
        assert_eq!(addresses(None), ["host:9092", "host:9091", "host:9092"]);
        assert_eq!(addresses(Some(2)), ["host:9092", "host:9091"], "only those that are to be used");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (leaders, wanted, said) in [
            (&[1, -1][..], None, "partition 1 has no leader"),
            (&[1, 3], None, "partition 1 has no leader"),
            (&[1], Some(3), "it has 1 partitions of the 3 to be used"),
            (&[], None, "it has 0 partitions"),
        ] {
            let error = led(&response(leaders), "t", wanted).unwrap_err();
            assert!(error.is_transient() && error.to_string().contains(said), "{error}");
        }
        assert_eq!(led(&response(&[1, -1]), "t", Some(1)).unwrap().len(), 1, "a partition that is not used need not be led");
    }

    #[test]
    fn brokers_are_a_list_of_addresses() {
        assert_eq!("a:1, b:2,".parse::<Bootstrap>().unwrap().to_string(), "a:1,b:2");
        for wrong in ["", " , ", "host", "a:1,b"] {
            let error = wrong.parse::<Bootstrap>().unwrap_err();
            assert!(error.to_string().contains("names no broker"), "{error}");
        }
    }
}
