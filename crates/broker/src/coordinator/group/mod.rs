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

use ottla_cluster::group::{EndTransaction, Request, Response, TxnOffsetCommit};
use ottla_log::AppendOrigin;
use ottla_model::{GroupId, PartitionId};
use ottla_wire::ErrorCode;
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

/// Why a coordinator has not taken what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// There was none to tell.
    Unanswered(Unanswered),
    /// The partition's log does not take it, as of the producer and its transaction; the code is that of an append.
    ByLog(ErrorCode),
}

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
        let asked = self.tell(partition, |reply| Message::Ask { request, reply });
        async move {
            asked.end().await.map_err(|why| match why {
                NotTaken::Unanswered(why) => why,
                // The log is held against transactions alone.
                NotTaken::ByLog(_) => Unanswered::NotAvailable,
            })
        }
    }

    /// Commits offsets in a transaction that is open on the group's partition, or that `may_begin` lets begin there; on its way when this
    /// returns.
    pub fn commit_in_transaction(
        &self,
        request: TxnOffsetCommit,
        may_begin: AppendOrigin,
    ) -> impl Future<Output = Result<Response, NotTaken>> + Send + use<> {
        let partition = self.partition_of(request.group.as_str());
        self.tell(partition, move |reply| Message::CommitInTransaction { request, may_begin, reply }).end()
    }

    /// Ends a transaction on a partition: what it has committed counts from now on, or never was. `raises_epoch`: it was by
    /// `transaction.version` 2. The marker is durable when the answer comes.
    pub fn end_transaction(
        &self,
        partition: PartitionId,
        end: EndTransaction,
        raises_epoch: bool,
    ) -> impl Future<Output = Result<Response, NotTaken>> + Send + use<> {
        self.tell(Some(partition), move |reply| Message::EndTransaction { end, raises_epoch, reply }).end()
    }

    fn tell(
        &self,
        partition: Option<PartitionId>,
        message: impl FnOnce(oneshot::Sender<Result<Response, NotTaken>>) -> Message,
    ) -> Answering {
        let (reply, answer) = oneshot::channel();
        Answering { sent: self.send(partition, message(reply)), answer }
    }

    /// Asks all coordinators of this broker; those that are not in charge are left out.
    pub fn ask_all(&self, request: &Request) -> impl Future<Output = Result<Vec<Response>, Unanswered>> + Send + use<> {
        let asked: Vec<_> = self.partitions().into_iter().map(|partition| self.ask_partition(Some(partition), request.clone())).collect();
        super::all_in_charge(asked)
    }
}

/// A message that is on its way.
struct Answering {
    sent: Result<(), Unanswered>,
    answer: oneshot::Receiver<Result<Response, NotTaken>>,
}

impl Answering {
    async fn end(self) -> Result<Response, NotTaken> {
        self.sent.map_err(NotTaken::Unanswered)?;
        // Dropped unanswered: its coordinator ended.
        self.answer.await.unwrap_or(Err(NotTaken::Unanswered(Unanswered::NotCoordinator)))
    }
}
