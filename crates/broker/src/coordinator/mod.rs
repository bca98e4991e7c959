//! The coordinators: each partition of `__consumer_offsets` that this broker leads has one of groups, and each of `__transaction_state`
//! one of transactions.
//!
//! What a coordinator decides is in `ottla_cluster`; here is what it needs of a broker: that it follows the leadership of its
//! partition, is rebuilt from the log when it begins, has its batches appended and its answers held back until those are durable.
//!
//! | file | does |
//! |---|---|
//! | `shard` | one coordinator's life: stands by, loads, serves, begins anew |
//! | `active` | one coordinator while it serves |
//! | `inbox` | what waits for a coordinator, within a bound |
//! | `machine` | what a kind of coordinator has to be so that it can be run so |
//! | `log` | reads and writes the partition's batches |
//! | `data` | what the records in them have in common |
//! | `topic` | which partition an id falls to; makes the topic when it is first needed |
//! | `group` | the coordinators of groups |
//! | `transaction` | the coordinators of transactions |

mod active;
mod data;
mod group;
mod inbox;
mod log;
mod machine;
mod shard;
mod topic;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_model::{Clock, MonotonicMs, PartitionId};
use ottla_wire::ErrorCode;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use group::{GroupCoordinators, NotTaken, group_error_code};
pub use topic::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, ensure_offsets_topic, ensure_transactions_topic, partition_of};
pub use transaction::{
    Ask, Filter as TransactionFilter, Listed as ListedTransaction, Refused as TransactionRefused, TransactionCoordinators,
};

use crate::metadata_publisher::Published;
use crate::partition::PartitionManager;
use crate::threads::NetworkThreads;
use inbox::{ROOM_BYTES, Room};
use machine::Machine;
use shard::Shard;

/// Why a coordinator gave no answer. Clients look for the coordinator again, or wait and try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It is not here, or has just gone.
    #[error("this broker is not the coordinator")]
    NotCoordinator,
    /// It is still being rebuilt from its log.
    #[error("the coordinator is still reading its log")]
    Loading,
    /// Too much waits for it already.
    #[error("too many requests wait for the coordinators")]
    Crowded,
    /// Its log takes no records at the moment, or there is none yet.
    #[error("the coordinator cannot write to its log")]
    NotAvailable,
}

impl Unanswered {
    /// What a client is told.
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Unanswered::NotCoordinator => ErrorCode::NotCoordinator,
            // Clients wait and try again on it, without looking for another coordinator.
            Unanswered::Loading | Unanswered::Crowded => ErrorCode::CoordinatorLoadInProgress,
            Unanswered::NotAvailable => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

/// What all coordinators of a broker share. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    partitions: Arc<PartitionManager>,
    published: Arc<Published>,
    clock: Arc<dyn Clock>,
    threads: NetworkThreads,
    started: Instant,
}

impl Shared {
    /// What coordinators need of a broker.
    pub fn new(partitions: &Arc<PartitionManager>, published: &Arc<Published>, clock: &Arc<dyn Clock>, threads: &NetworkThreads) -> Shared {
        Shared {
            partitions: Arc::clone(partitions),
            published: Arc::clone(published),
            clock: Arc::clone(clock),
            threads: threads.clone(),
            started: Instant::now(),
        }
    }

    /// Time since the broker was started: what deadlines are measured by.
    fn monotonic(&self) -> MonotonicMs {
        MonotonicMs(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn instant_of(&self, moment: MonotonicMs) -> Instant {
        // A timer that is a year away need not be exact, and must not overflow.
        self.started + std::time::Duration::from_millis(moment.0.min(self.monotonic().0 + 365 * 24 * 3600 * 1000))
    }
}

/// All coordinators of one kind of this broker.
#[allow(private_bounds, reason = "a machine is run by nobody but this module")]
pub struct Coordinators<M: Machine> {
    shared: Arc<Shared>,
    kit: M::Kit,
    room: Room,
    shards: Mutex<Shards<M>>,
}

struct Shards<M: Machine> {
    inboxes: BTreeMap<PartitionId, inbox::Sender<M::Message>>,
    tasks: Vec<JoinHandle<()>>,
    stopped: bool,
}

#[allow(private_bounds, reason = "a machine is run by nobody but this module")]
impl<M: Machine> Coordinators<M> {
    /// Follows the metadata from now on: a coordinator begins for each partition of the topic whose log is here. To be called on
    /// the runtime that they are to run on.
    fn start_with(shared: &Shared, kit: M::Kit) -> Arc<Coordinators<M>> {
        let shards = Shards { inboxes: BTreeMap::new(), tasks: Vec::new(), stopped: false };
        let (room, shards) = (Room::new(ROOM_BYTES), Mutex::new(shards));
        let coordinators = Arc::new(Coordinators { shared: Arc::new(shared.clone()), kit, room, shards });
        let (weak, mut images) = (Arc::downgrade(&coordinators), shared.published.subscribe());
        tokio::spawn(async move {
            loop {
                images.borrow_and_update();
                match weak.upgrade() {
                    Some(coordinators) => coordinators.follow(),
                    None => return,
                }
                if images.changed().await.is_err() {
                    return;
                }
            }
        });
        coordinators
    }

    /// Begins a coordinator for each partition of the topic whose log is to be here, if it has none yet. Those that are there
    /// follow the metadata themselves.
    fn follow(&self) {
        let image = self.shared.published.image();
        let Some(topic) = image.topic(M::TOPIC) else { return };
        let node = self.shared.published.node();
        let here = topic.iter().filter(|(_, partition)| partition.has_replica(node)).map(|(id, _)| id);
        let mut shards = self.shards.lock();
        for partition in here {
            self.begin(&mut shards, partition);
        }
    }

    fn begin(&self, shards: &mut Shards<M>, partition: PartitionId) {
        if shards.stopped || shards.inboxes.contains_key(&partition) {
            return;
        }
        let (inbox, messages) = inbox::inbox(&self.room);
        let shard = Shard::<M>::new(Arc::clone(&self.shared), self.kit.clone(), partition, messages);
        let threads = self.shared.threads.clone();
        // Its appends are made by the thread that runs it, as those of a connection are, so it is looked after like one.
        shards.tasks.push(tokio::spawn(async move { threads.watch(shard.run()).await }));
        shards.inboxes.insert(partition, inbox);
    }

    /// The partition that an id falls to; `None`: the topic is not there yet.
    fn partition_of(&self, id: &str) -> Option<PartitionId> {
        partition_of(&self.shared.published.image(), M::TOPIC, id)
    }

    /// Sends a message to the coordinator of a partition; it is on its way when this returns.
    fn send(&self, partition: Option<PartitionId>, message: M::Message) -> Result<(), Unanswered> {
        let partition = partition.ok_or(Unanswered::NotCoordinator)?;
        if !self.shards.lock().inboxes.contains_key(&partition) {
            // The image that has it was published in this moment.
            self.follow();
        }
        // Told before the lock is taken, which all connections share.
        let bytes = M::size_bytes(&message);
        let shards = self.shards.lock();
        let inbox = shards.inboxes.get(&partition).ok_or(Unanswered::NotCoordinator)?;
        inbox.send(message, bytes)
    }

    /// The partitions that have a coordinator here.
    fn partitions(&self) -> Vec<PartitionId> {
        self.shards.lock().inboxes.keys().copied().collect()
    }

    /// Ends all coordinators, and returns when none of them writes any more.
    pub async fn stop(&self) {
        let tasks = {
            let mut shards = self.shards.lock();
            shards.stopped = true;
            shards.inboxes.clear();
            std::mem::take(&mut shards.tasks)
        };
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!("a coordinator of {} ended badly: {error}", M::WHAT);
            }
        }
    }
}

/// The answers of those that are in charge; the others are left out.
async fn all_in_charge<T>(asked: Vec<impl Future<Output = Result<T, Unanswered>>>) -> Result<Vec<T>, Unanswered> {
    let mut answers = Vec::with_capacity(asked.len());
    for answer in asked {
        match answer.await {
            Ok(answer) => answers.push(answer),
            Err(Unanswered::NotCoordinator) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(answers)
}
