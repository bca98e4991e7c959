//! WriteTxnMarkers (key 27): ends transactions on partitions that are led here (KIP-98).
//!
//! Versions 1 to 2. Sent by the coordinators of transactions, and by `kafka-transactions abort` for a transaction that hangs (KIP-664).
//!
//! * Each partition is answered when its marker is durable. One of the offsets topic is ended by the coordinator of its groups.
//! * Version 2 says how the transaction was kept (KIP-1228): by `transaction.version` 2 a marker has to have a newer epoch than the
//!   records that it ends, or it is of an earlier transaction and refused with INVALID_PRODUCER_EPOCH.
//! * TRANSACTION_COORDINATOR_FENCED for one that another coordinator has replaced.
//!
//! Known gaps: none.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_cluster::transaction::TransactionVersion;
use ottla_model::{PartitionId, ProducerEpoch, ProducerId, TopicName, TopicPartition};
use ottla_wire::ErrorCode;
use ottla_wire::message::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use tokio::task::{JoinError, JoinSet};

use super::{Answer, ApiHandler, Frame, Reply, RequestContext, TopicRef};
use crate::context::BrokerContext;
use crate::txn_markers::{self, Marker};

/// See the module.
pub struct WriteTxnMarkers;

/// Markers of a request that are under way at a time.
const WRITTEN_AT_ONCE: usize = 100;

/// Where in the answer a marker stands.
type Place = (usize, usize, usize);
/// What became of a marker.
type Written = (Place, Result<(), ErrorCode>);

impl ApiHandler for WriteTxnMarkers {
    type Request<'a> = WriteTxnMarkersRequest<'a>;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    fn touches(request: &WriteTxnMarkersRequest<'_>, _version: i16, each: &mut dyn FnMut(TopicRef<'_>, PartitionId)) {
        for topic in request.markers.iter().flat_map(|marker| &marker.topics) {
            topic.partition_indexes.iter().for_each(|index| each(TopicRef::Name(topic.name), PartitionId(*index)));
        }
    }

    fn handle(broker: &Arc<BrokerContext>, _cx: &RequestContext<'_>, request: WriteTxnMarkersRequest<'_>, reply: Reply<'_>) -> Answer {
        let mut response = WriteTxnMarkersResponse { markers: Vec::with_capacity(request.markers.len()) };
        let mut wanted: Vec<(Place, TopicPartition, Marker)> = Vec::new();
        for (marker_at, asked) in request.markers.iter().enumerate() {
            let marker = Marker {
                producer_id: ProducerId(asked.producer_id),
                producer_epoch: ProducerEpoch(asked.producer_epoch),
                coordinator_epoch: asked.coordinator_epoch,
                commit: asked.transaction_result,
                version: TransactionVersion::from_level(i16::from(asked.transaction_version)),
            };
            let mut topics = Vec::with_capacity(asked.topics.len());
            for (topic_at, topic) in asked.topics.iter().enumerate() {
                let name = TopicName::new(topic.name).ok();
                let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
                for (at, index) in topic.partition_indexes.iter().enumerate() {
                    if let Some(name) = &name {
                        wanted.push(((marker_at, topic_at, at), TopicPartition::new(name.clone(), PartitionId(*index)), marker));
                    }
                    let error_code = ErrorCode::UnknownTopicOrPartition.as_i16();
                    partitions.push(WritableTxnMarkerPartitionResult { partition_index: *index, error_code });
                }
                topics.push(WritableTxnMarkerTopicResult { name: Cow::Owned(topic.name.to_owned()), partitions });
            }
            response.markers.push(WritableTxnMarkerResult { producer_id: asked.producer_id, topics });
        }
        if wanted.is_empty() {
            return reply.send(&response);
        }
        let written = tokio::spawn(write_all(Arc::clone(broker), wanted));
        reply.later(|later| async move {
            let written = match written.await {
                Ok(written) => written,
                Err(lost) => return Frame::close(super::CloseReason::Lost(lost.to_string())),
            };
            for ((marker, topic, at), result) in written {
                let partition = response.markers.get_mut(marker).and_then(|m| m.topics.get_mut(topic)).and_then(|t| t.partitions.get_mut(at));
                if let Some(partition) = partition {
                    partition.error_code = result.err().unwrap_or(ErrorCode::None).as_i16();
                }
            }
            later.encode(&response)
        })
    }
}

/// Writes markers, some at a time.
async fn write_all(broker: Arc<BrokerContext>, wanted: Vec<(Place, TopicPartition, Marker)>) -> Vec<Written> {
    let mut written = Vec::with_capacity(wanted.len());
    let mut under_way = JoinSet::new();
    let mut note = |done: Option<Result<Written, JoinError>>| match done {
        Some(Ok(one)) => written.push(one),
        // Its partition is answered as unknown, after which the coordinator sends the marker again.
        Some(Err(error)) => tracing::error!("a marker is lost: {error}"),
        None => {}
    };
    for (place, partition, marker) in wanted {
        if under_way.len() >= WRITTEN_AT_ONCE {
            note(under_way.join_next().await);
        }
        let broker = Arc::clone(&broker);
        let threads = broker.threads.clone();
        let write = async move {
            let result = txn_markers::write(&broker.partitions, &broker.groups, &partition, marker).await;
            if let Err(code) = result {
                tracing::info!(%partition, producer = %marker.producer_id, "a marker is not written: {code}");
            }
            (place, result)
        };
        // It appends, so it is looked after as what serves a connection is.
        under_way.spawn(async move { threads.watch(write).await });
    }
    while !under_way.is_empty() {
        note(under_way.join_next().await);
    }
    written
}
