//! The coordinators of groups: each partition of `__consumer_offsets` that this broker leads has one, which owns the groups whose ids fall
//! to that partition.
//!
//! What a coordinator decides is in `ottla_cluster::group`; here is what it needs of a broker: that it follows the leadership of its
//! partition, is rebuilt from the log when it begins, has its batches appended and its answers held back until those are durable.
//!
//! | file | does |
//! |---|---|
//! | `shard` | one coordinator's life: stands by, loads, serves, begins anew |
//! | `active` | one coordinator while it serves: events in; appends and answers out |
//! | `offsets_log` | reads and writes the partition's records |
//! | `records` | the records in Kafka's formats |
//! | `offsets_topic` | which partition a group falls to; makes the topic when it is first needed |
//! | `errors` | Kafka's code for each refusal |

mod active;
mod errors;
mod offsets_log;
mod offsets_topic;
mod records;
mod shard;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::group::{GroupConfig, Request, Response};
use ottla_model::{Clock, GroupId, MonotonicMs, PartitionId};
use ottla_wire::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use errors::group_error_code;
pub use offsets_topic::{OFFSETS_TOPIC, ensure_offsets_topic, partition_of_group};

use crate::metadata_publisher::Published;
use crate::partition::PartitionManager;
use crate::threads::NetworkThreads;
use shard::{Message, Shard};

/// Why a coordinator gave no answer. Clients look for the coordinator again, or wait and try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It is not here, or has just gone.
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    /// It is still being rebuilt from its log.
    #[error("the coordinator is still reading its log")]
    Loading,
    /// Its log takes no records at the moment, or there is none yet.
    #[error("the coordinator cannot write to its log")]
    NotAvailable,
}

impl Unanswered {
    /// What a client is told.
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Unanswered::NotCoordinator => ErrorCode::NotCoordinator,
            Unanswered::Loading => ErrorCode::CoordinatorLoadInProgress,
            Unanswered::NotAvailable => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

/// What all coordinators of a broker share.
struct Shared {
    partitions: Arc<PartitionManager>,
    published: Arc<Published>,
    clock: Arc<dyn Clock>,
    threads: NetworkThreads,
    started: Instant,
}

impl Shared {
    /// Time since the broker was started: what deadlines are measured by.
    fn monotonic(&self) -> MonotonicMs {
        MonotonicMs(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn instant_of(&self, moment: MonotonicMs) -> Instant {
        // A timer that is a year away need not be exact, and must not overflow.
        self.started + std::time::Duration::from_millis(moment.0.min(self.monotonic().0 + 365 * 24 * 3600 * 1000))
    }

    fn config(&self) -> GroupConfig {
        let server = self.published.config();
        let image = self.published.image();
        let batch_bytes_max = offsets_topic::batch_bytes_max(&server, &image);
        GroupConfig::read(server.values(), batch_bytes_max).unwrap_or_else(|error| {
            // Checked at start and with each change.
            tracing::error!("the configuration of groups cannot be read: {error}");
            GroupConfig { batch_bytes_max, ..GroupConfig::default() }
        })
    }
}

/// All coordinators of this broker.
pub struct GroupCoordinators {
    shared: Arc<Shared>,
    shards: Mutex<Shards>,
}

#[derive(Default)]
struct Shards {
    inboxes: BTreeMap<PartitionId, mpsc::UnboundedSender<Message>>,
    tasks: Vec<JoinHandle<()>>,
    stopped: bool,
}

impl GroupCoordinators {
    /// Follows the metadata from now on: a coordinator begins for each partition of the offsets topic whose log is here. To be called on
    /// the runtime that they are to run on.
    pub fn start(
        partitions: &Arc<PartitionManager>,
        published: &Arc<Published>,
        clock: &Arc<dyn Clock>,
        threads: &NetworkThreads,
    ) -> Arc<GroupCoordinators> {
        let shared = Shared {
            partitions: Arc::clone(partitions),
            published: Arc::clone(published),
            clock: Arc::clone(clock),
            threads: threads.clone(),
            started: Instant::now(),
        };
        let coordinators = Arc::new(GroupCoordinators { shared: Arc::new(shared), shards: Mutex::default() });
        let (weak, mut images) = (Arc::downgrade(&coordinators), published.subscribe());
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

    /// Begins a coordinator for each partition of the offsets topic whose log is to be here, if it has none yet. Those that are there
    /// follow the metadata themselves.
    fn follow(&self) {
        let image = self.shared.published.image();
        let Some(topic) = image.topic(OFFSETS_TOPIC) else { return };
        let node = self.shared.published.node();
        let here = topic.iter().filter(|(_, partition)| partition.has_replica(node)).map(|(id, _)| id);
        let mut shards = self.shards.lock();
        for partition in here {
            self.begin(&mut shards, partition);
        }
    }

    fn begin(&self, shards: &mut Shards, partition: PartitionId) {
        if shards.stopped || shards.inboxes.contains_key(&partition) {
            return;
        }
        let (inbox, messages) = mpsc::unbounded_channel();
        let shard = Shard::new(Arc::clone(&self.shared), partition, messages);
        let threads = self.shared.threads.clone();
        // Its appends are made by the thread that runs it, as those of a connection are, so it is looked after like one.
        shards.tasks.push(tokio::spawn(async move { threads.watch(shard.run()).await }));
        shards.inboxes.insert(partition, inbox);
    }

    /// Asks the coordinator of a group; the question is on its way when this returns.
    pub fn ask(&self, group: &GroupId, request: Request) -> impl Future<Output = Result<Response, Unanswered>> + Send + use<> {
        let partition = partition_of_group(&self.shared.published.image(), group.as_str());
        self.ask_partition(partition, request)
    }

    /// The same by the partition; `None`: there is no offsets topic yet.
    fn ask_partition(
        &self,
        partition: Option<PartitionId>,
        request: Request,
    ) -> impl Future<Output = Result<Response, Unanswered>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = match partition {
            None => Err(Unanswered::NotCoordinator),
            Some(partition) => {
                if !self.shards.lock().inboxes.contains_key(&partition) {
                    // The image that has it was published in this moment.
                    self.follow();
                }
                let shards = self.shards.lock();
                let inbox = shards.inboxes.get(&partition).ok_or(Unanswered::NotCoordinator);
                inbox.and_then(|inbox| inbox.send(Message::Ask { request, reply }).map_err(|_gone| Unanswered::NotCoordinator))
            }
        };
        async move {
            sent?;
            // Dropped unanswered: its coordinator ended.
            answer.await.unwrap_or(Err(Unanswered::NotCoordinator))
        }
    }

    /// Asks all coordinators of this broker; those that are not in charge are left out.
    pub fn ask_all(&self, request: &Request) -> impl Future<Output = Result<Vec<Response>, Unanswered>> + Send + use<> {
        let partitions: Vec<PartitionId> = self.shards.lock().inboxes.keys().copied().collect();
        let asked: Vec<_> = partitions.into_iter().map(|partition| self.ask_partition(Some(partition), request.clone())).collect();
        async move {
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
                tracing::error!("a group coordinator ended badly: {error}");
            }
        }
    }
}
