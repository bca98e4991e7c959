//! The coordinators of groups: each partition of `__consumer_offsets` that this broker leads has one, which owns the groups whose ids fall
//! to that partition. What they decide is in `ottla_cluster::group`.
//!
//! | file | does |
//! |---|---|
//! | `machine` | carries out what the state machine wants done |
//! | `batch` | the partition's batches |
//! | `records` | the records in Kafka's formats |
//! | `errors` | Kafka's code for each refusal |

mod batch;
mod errors;
mod machine;
mod records;

use std::sync::Arc;

use ottla_cluster::group::{Request, Response};
use ottla_model::{GroupId, PartitionId};
use tokio::sync::oneshot;

pub use errors::group_error_code;
pub(super) use machine::GroupMachine;

use super::topic::{InternalTopic, OFFSETS_TOPIC};
use super::{Coordinators, Shared, Unanswered};
use machine::Message;

/// The topic that groups are kept in.
pub(super) const TOPIC: InternalTopic = InternalTopic {
    name: OFFSETS_TOPIC,
    partitions: "offsets.topic.num.partitions",
    replication_factor: "offsets.topic.replication.factor",
    segment_bytes: "offsets.topic.segment.bytes",
    min_isr: None,
    configs: &[("cleanup.policy", "compact"), ("compression.type", "producer")],
};

/// All coordinators of groups of this broker.
pub type GroupCoordinators = Coordinators<GroupMachine>;

impl GroupCoordinators {
    /// Follows the metadata from now on. To be called on the runtime that they are to run on.
    pub fn start(shared: &Shared) -> Arc<GroupCoordinators> {
        Coordinators::start_with(shared, ())
    }

    /// Asks the coordinator of a group; the question is on its way when this returns.
    pub fn ask(&self, group: &GroupId, request: Request) -> impl Future<Output = Result<Response, Unanswered>> + Send + use<> {
        self.ask_partition(self.partition_of(group.as_str()), request)
    }

    /// The same by the partition; `None`: there is no offsets topic yet.
    fn ask_partition(
        &self,
        partition: Option<PartitionId>,
        request: Request,
    ) -> impl Future<Output = Result<Response, Unanswered>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(partition, Message::Ask { request, reply });
        async move {
            sent?;
            // Dropped unanswered: its coordinator ended.
            answer.await.unwrap_or(Err(Unanswered::NotCoordinator))
        }
    }

    /// Asks all coordinators of this broker; those that are not in charge are left out.
    pub fn ask_all(&self, request: &Request) -> impl Future<Output = Result<Vec<Response>, Unanswered>> + Send + use<> {
        let asked: Vec<_> = self.partitions().into_iter().map(|partition| self.ask_partition(Some(partition), request.clone())).collect();
        super::all_in_charge(asked)
    }
}
