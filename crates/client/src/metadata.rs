//! What the client knows of the cluster: brokers, topics, who leads what. An immutable picture, replaced as a whole.
//!
//! Pure: asking for it is the business of [`client`](crate::client).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_model::{LeaderEpoch, NodeId, PartitionId, TopicId};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::metadata::{MetadataResponse, MetadataResponsePartition, MetadataResponseTopic};

/// A broker as it advertises itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Its `node.id`.
    pub id: NodeId,
    /// Host it advertises.
    pub host: String,
    /// Port it advertises.
    pub port: i32,
    /// Its `broker.rack`.
    pub rack: Option<String>,
}

impl BrokerInfo {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

/// Where a partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its index.
    pub partition: PartitionId,
    /// Who leads it; `None` while nobody does.
    pub leader: Option<NodeId>,
    /// The leadership's term.
    pub leader_epoch: LeaderEpoch,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub isr: Vec<NodeId>,
    /// Those on brokers or disks that are down.
    pub offline_replicas: Vec<NodeId>,
}

/// A topic as the cluster last described it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    pub(crate) internal: bool,
    /// By index, dense.
    pub(crate) partitions: Vec<PartitionInfo>,
    /// The partitions with a leader, where some but not all have one: sticky records keep to them.
    pub(crate) led: Option<Vec<i32>>,
    /// When a send or fetch last looked at it, in ms of the client's life: unused topics are dropped.
    last_used_ms: AtomicU64,
}

impl Topic {
    pub(crate) fn partition(&self, partition: i32) -> Option<&PartitionInfo> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn leader(&self, partition: i32) -> Option<(NodeId, LeaderEpoch)> {
        self.partition(partition).and_then(|p| p.leader.map(|leader| (leader, p.leader_epoch)))
    }

    pub(crate) fn touch(&self, now_ms: u64) {
        self.last_used_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }
}

/// The picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterView {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<NodeId>,
    pub(crate) brokers: BTreeMap<NodeId, BrokerInfo>,
    pub(crate) topics: HashMap<Arc<str>, Arc<Topic>>,
    pub(crate) names_by_id: HashMap<TopicId, Arc<str>>,
    /// Why a topic that was asked for is not in `topics`.
    pub(crate) errors: HashMap<Arc<str>, ErrorCode>,
}

impl ClusterView {
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<(NodeId, LeaderEpoch)> {
        self.topic(topic).and_then(|t| t.leader(partition))
    }

    /// Takes in an answer about `asked` topics. `old` is the picture before: what it has on other topics is forgotten;
    /// of a topic that the answer cannot describe right now (no leader elected, a broker starting) it is kept.
    ///
    /// Brokers learn of a new leader at different times, so a partition's older epoch never replaces a newer one, unless
    /// the topic's id changed: then it is another topic under an old name (KIP-320, KIP-516).
    pub(crate) fn extend(&mut self, response: &MetadataResponse<'_>, old: &ClusterView, asked: &[Arc<str>], now_ms: u64) {
        self.cluster_id = response.cluster_id.as_ref().map(|id| id.to_string());
        self.controller = Some(NodeId(response.controller_id)).filter(|id| *id != NodeId::NONE);
        self.brokers = response
            .brokers
            .iter()
            .map(|b| {
                let id = NodeId(b.node_id);
                let rack = b.rack.as_ref().map(|r| r.to_string());
                (id, BrokerInfo { id, host: b.host.to_string(), port: b.port, rack })
            })
            .collect();
        for answered in &response.topics {
            // Only what was asked about: a broker that says more does not fill our memory.
            let Some(name) = asked.iter().find(|a| answered.name.as_deref() == Some(&***a)).cloned() else { continue };
            let before = old.topics.get(&name);
            let topic = match crate::error::code(answered.error_code) {
                ErrorCode::None => {
                    let topic = described(answered, name.clone(), before);
                    topic.touch(before.map_or(now_ms, |before| before.last_used_ms()));
                    Arc::new(topic)
                }
                code => {
                    self.errors.insert(name.clone(), code);
                    match before {
                        // The cluster is sure that it is gone; anything else may pass.
                        Some(before) if !matches!(code, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => before.clone(),
                        _ => continue,
                    }
                }
            };
            if topic.id != TopicId::ZERO {
                self.names_by_id.insert(topic.id, name.clone());
            }
            self.topics.insert(name, topic);
        }
    }
}

fn described(answered: &MetadataResponseTopic<'_>, name: Arc<str>, old: Option<&Arc<Topic>>) -> Topic {
    let id = TopicId(answered.topic_id);
    let old = old.filter(|old| old.id == id);
    let mut partitions: Vec<PartitionInfo> = answered.partitions.iter().map(|p| partition(p, old)).collect();
    partitions.sort_by_key(|p| p.partition);
    // Indexes are dense in Kafka; a gap would make the vector lie, so what follows one is not believed.
    let dense = partitions.iter().enumerate().take_while(|(i, p)| p.partition.0 == *i as i32).count();
    partitions.truncate(dense);
    let led: Vec<i32> = partitions.iter().filter(|p| p.leader.is_some()).map(|p| p.partition.0).collect();
    let led = (!led.is_empty() && led.len() < partitions.len()).then_some(led);
    Topic { name, id, internal: answered.is_internal, partitions, led, last_used_ms: AtomicU64::new(0) }
}

fn partition(answered: &MetadataResponsePartition, old: Option<&Arc<Topic>>) -> PartitionInfo {
    if let Some(newer) = old.and_then(|t| t.partition(answered.partition_index)).filter(|o| o.leader_epoch.0 > answered.leader_epoch)
        && answered.leader_epoch >= 0
    {
        return newer.clone();
    }
    let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
    PartitionInfo {
        partition: PartitionId(answered.partition_index),
        leader: Some(NodeId(answered.leader_id)).filter(|id| *id != NodeId::NONE),
        leader_epoch: LeaderEpoch(answered.leader_epoch),
        replicas: nodes(&answered.replica_nodes),
        isr: nodes(&answered.isr_nodes),
        offline_replicas: nodes(&answered.offline_replicas),
    }
}

/// A topic all of whose partitions broker 1 leads.
#[cfg(test)]
pub(crate) fn topic_for_tests(name: &str, partitions: usize) -> Arc<Topic> {
    let partitions = (0..partitions as i32)
        .map(|partition| PartitionInfo {
            partition: PartitionId(partition),
            leader: Some(NodeId(1)),
            leader_epoch: LeaderEpoch(0),
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
            offline_replicas: vec![],
        })
        .collect();
    let last_used_ms = AtomicU64::new(0);
    Arc::new(Topic { name: name.into(), id: TopicId::ZERO, internal: false, partitions, led: None, last_used_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_model::Uuid;
    use ottla_wire::message::metadata::MetadataResponseBroker;

    fn answer(id: u8, partitions: &[(i32, i32, i32)]) -> MetadataResponse<'static> {
        let partitions = partitions
            .iter()
            .map(|(partition_index, leader_id, leader_epoch)| MetadataResponsePartition {
                partition_index: *partition_index,
                leader_id: *leader_id,
                leader_epoch: *leader_epoch,
                ..Default::default()
            })
            .collect();
        MetadataResponse {
            brokers: vec![MetadataResponseBroker { node_id: 1, host: "::1".into(), port: 9092, ..Default::default() }],
            topics: vec![MetadataResponseTopic {
                name: Some("t".into()),
                topic_id: Uuid::from_bytes([id; 16]),
                partitions,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn after(old: &ClusterView, response: &MetadataResponse<'_>) -> ClusterView {
        let mut view = ClusterView::default();
        view.extend(response, old, &["t".into()], 0);
        view
    }

    #[test]
    fn an_older_leader_epoch_does_not_replace_a_newer_one() {
        let view = after(&ClusterView::default(), &answer(1, &[(0, 2, 5)]));
        let view = after(&view, &answer(1, &[(0, 1, 4)]));
        assert_eq!(view.leader("t", 0), Some((NodeId(2), LeaderEpoch(5))));
        let recreated = after(&view, &answer(2, &[(0, 1, 0)]));
        assert_eq!(recreated.leader("t", 0), Some((NodeId(1), LeaderEpoch(0))));
    }

    #[test]
    fn partitions_without_a_leader_are_kept_apart() {
        let view = after(&ClusterView::default(), &answer(1, &[(2, 1, 0), (0, 1, 0), (1, -1, 0)]));
        let topic = view.topic("t").unwrap();
        assert_eq!(topic.partitions.len(), 3);
        assert_eq!(topic.leader(1), None);
        assert_eq!(topic.led.as_deref(), Some(&[0, 2][..]));
    }

    #[test]
    fn a_topic_that_cannot_be_described_now_keeps_its_old_description_and_a_deleted_one_does_not() {
        let view = after(&ClusterView::default(), &answer(1, &[(0, 1, 0)]));
        let mut trouble = answer(1, &[]);
        trouble.topics[0].error_code = ErrorCode::LeaderNotAvailable.as_i16();
        let kept = after(&view, &trouble);
        assert!(kept.topic("t").is_some());
        assert_eq!(kept.errors.get("t"), Some(&ErrorCode::LeaderNotAvailable));
        trouble.topics[0].error_code = ErrorCode::UnknownTopicOrPartition.as_i16();
        assert!(after(&view, &trouble).topic("t").is_none());
    }

    #[test]
    fn ipv6_hosts_get_brackets() {
        let view = after(&ClusterView::default(), &answer(1, &[]));
        assert_eq!(view.brokers[&NodeId(1)].address(), "[::1]:9092");
    }
}
