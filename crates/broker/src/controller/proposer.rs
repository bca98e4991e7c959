//! The controller's thread: starts the quorum, then turns waiting commands into entries of the metadata log, one entry at a time.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::{ServerState, SnapshotPolicy};
use ottla_cluster::controller::{Command, Context, Controller, ControllerError, Format, Reply};
use ottla_cluster::metadata::{MetadataImage, MetadataRecord};
use ottla_model::config::ServerConfig;
use tokio::sync::{mpsc, oneshot, watch};

use super::failure::Failure;
use super::file::{Identity, MetadataFile, encode};
use super::raft::{MetadataEntry, Raft, SoleVoterNetwork};
use super::store::{LogStore, Machine, Published};
use super::{COMMANDS_QUEUED_MAX, ControllerStartError, Stopping};

/// Once an entry has so many records, the commands that still wait go into the next: a large entry is a long time between
/// heartbeats.
const RECORDS_PER_ENTRY_TARGET: usize = 20_000;
/// Entries after which a snapshot is taken, however small they are.
const ENTRIES_BETWEEN_SNAPSHOTS_MAX: u64 = 20_000;
/// Longest time to become the leader and apply the log, which is never much longer than what lies between two snapshots.
const LEAD_WAIT_MAX: Duration = Duration::from_secs(60);
/// Threads for access to the file: writes come one after the other, reads of a snapshot beside them.
const FILE_THREADS_MAX: usize = 2;

/// Where a command's answer goes.
type Answer = oneshot::Sender<Result<Reply, ControllerError>>;
/// A command whose turn has not come.
type Waiting = (Command, Answer);

/// What waits for the controller.
pub(super) enum Queued {
    /// A command with where its answer goes.
    Command { command: Command, answer: Answer },
    /// The end.
    Stop,
}

/// What the thread works with.
pub(super) struct Seat {
    pub identity: Identity,
    pub server: Arc<ServerConfig>,
    pub published: Published,
    pub failure: Failure,
    pub stopping: Stopping,
}

/// Starts the thread. `started` is told how that went, `stopped` when the file is closed again.
pub(super) fn spawn(
    open: impl FnOnce() -> Result<MetadataFile, ControllerStartError> + Send + 'static,
    seat: Seat,
    queue: mpsc::Receiver<Queued>,
    started: oneshot::Sender<Result<(), ControllerStartError>>,
    stopped: watch::Sender<bool>,
) -> Result<(), ControllerStartError> {
    let body = move || {
        match runtime() {
            // Ends with the runtime, and with it everything that holds the file.
            Ok(runtime) => runtime.block_on(run(open, seat, queue, started)),
            Err(error) => drop(started.send(Err(ControllerStartError::Threads(error)))),
        }
        stopped.send_replace(true);
    };
    thread::Builder::new().name("ottla-controller".to_owned()).spawn(body).map(drop).map_err(ControllerStartError::Threads)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(FILE_THREADS_MAX)
        .thread_name("ottla-metadata-file")
        .build()
}

async fn run(
    open: impl FnOnce() -> Result<MetadataFile, ControllerStartError>,
    seat: Seat,
    mut queue: mpsc::Receiver<Queued>,
    started: oneshot::Sender<Result<(), ControllerStartError>>,
) {
    let mut proposer = match Proposer::start(open, seat).await {
        Ok(proposer) => proposer,
        // Nobody waits any more: nothing was promised to anyone.
        Err(error) => return drop(started.send(Err(error))),
    };
    if started.send(Ok(())).is_ok() {
        proposer.serve(&mut queue).await;
    }
    if let Err(error) = proposer.raft.shutdown().await {
        tracing::error!(%error, "the metadata quorum did not stop in order");
    }
}

struct Proposer {
    raft: Raft,
    file: MetadataFile,
    seat: Seat,
    /// Commands are refused for lack of room.
    is_full: bool,
}

impl Proposer {
    async fn start(
        open: impl FnOnce() -> Result<MetadataFile, ControllerStartError>,
        seat: Seat,
    ) -> Result<Proposer, ControllerStartError> {
        // Nothing else runs on this thread yet, so that this may wait for the disk.
        let file = open()?;
        let log = LogStore { file: file.clone(), failure: seat.failure.clone(), stopping: seat.stopping.clone() };
        let unreadable = |error: &dyn std::fmt::Display| ControllerStartError::Raft(error.to_string());
        let machine = Machine::load(log.clone(), seat.published.clone()).map_err(|error| unreadable(&error))?;
        let own = seat.identity.voter();
        let leads_already =
            file.vote().map_err(|error| unreadable(&error))?.is_some_and(|vote| vote.committed && vote.leader_id.voted_for() == Some(own));
        let config = raft_config().validate().map_err(|error| unreadable(&error))?;
        let raft = Raft::new(own, Arc::new(config), SoleVoterNetwork, log, machine).await.map_err(|error| unreadable(&error))?;
        let proposer = Proposer { raft, file, seat, is_full: false };
        proposer.lead(leads_already).await?;
        Ok(proposer)
    }

    /// Becomes the leader, and applies all that is in the log. A sole voter need not wait for an election timeout: nobody else
    /// could have been elected.
    async fn lead(&self, leads_already: bool) -> Result<(), ControllerStartError> {
        let failed = |error: &dyn std::fmt::Display| match self.seat.failure.get() {
            Some(failure) => ControllerStartError::Failed(failure),
            None => ControllerStartError::Raft(error.to_string()),
        };
        if !leads_already {
            self.raft.trigger().elect().await.map_err(|error| failed(&error))?;
        }
        let wait = self.raft.wait(Some(LEAD_WAIT_MAX));
        let caught_up = wait.metrics(
            |metrics| metrics.state == ServerState::Leader && metrics.last_applied.map(|applied| applied.index) == metrics.last_log_index,
            "leader of the whole log",
        );
        caught_up.await.map(drop).map_err(|error| failed(&error))
    }

    /// Serves until the end is asked for, no handle is left, or the quorum fails.
    async fn serve(&mut self, queue: &mut mpsc::Receiver<Queued>) {
        let mut waiting = VecDeque::new();
        let mut stopping = false;
        while !(stopping && waiting.is_empty()) {
            if waiting.is_empty() {
                tokio::select! {
                    queued = queue.recv() => take(queued, &mut waiting, &mut stopping),
                    reason = self.quorum_ended() => return self.seat.failure.report(reason),
                }
            }
            while !stopping && waiting.len() < COMMANDS_QUEUED_MAX {
                match queue.try_recv() {
                    Ok(queued) => take(Some(queued), &mut waiting, &mut stopping),
                    Err(_) => break,
                }
            }
            if let Err(reason) = self.propose(&mut waiting).await {
                return self.seat.failure.report(reason);
            }
        }
    }

    /// Computes what waits, as far as one entry goes, commits it, and answers.
    async fn propose(&mut self, waiting: &mut VecDeque<Waiting>) -> Result<(), String> {
        let computed = self.compute(waiting.iter().map(|(command, _)| command)).map_err(|error| error.to_string())?;
        let answers = waiting.drain(..computed.replies.len()).map(|(_, answer)| answer);
        // Refusals wait for the commit too: what they were refused for may be in this very entry.
        let committed = match self.make_room(&computed.records).await {
            Ok(()) if computed.records.is_empty() => Ok(()),
            Ok(()) => self.commit(computed.records).await,
            Err(error) => Err(error),
        };
        for (answer, reply) in answers.zip(computed.replies) {
            // The caller may have gone away.
            let _ = answer.send(committed.clone().and(reply));
        }
        match committed {
            Err(ControllerError::Stopped { reason }) => Err(reason),
            Ok(()) | Err(_) => {
                self.snapshot_if_due().await;
                Ok(())
            }
        }
    }

    fn compute<'a>(&self, commands: impl Iterator<Item = &'a Command>) -> Result<Computed, getrandom::Error> {
        let image = self.seat.published.current.load_full();
        let mut controller = Controller::new(image.as_ref().clone(), &self.seat.server, &context(&image)?);
        let mut replies = VecDeque::new();
        for command in commands {
            replies.push_back(controller.execute(command));
            if controller.records_len() >= RECORDS_PER_ENTRY_TARGET {
                break;
            }
        }
        Ok(Computed { records: controller.into_records(), replies })
    }

    /// Refuses what there is no room for before anything has happened. Told once, and once more when it is over.
    async fn make_room(&mut self, records: &[MetadataRecord]) -> Result<(), ControllerError> {
        if records.is_empty() {
            return Ok(());
        }
        let stopped = |reason: String| ControllerError::Stopped { reason };
        let bytes = encode("records", &records).map_err(|error| stopped(error.to_string()))?.len() as u64;
        let file = self.file.clone();
        let made = tokio::task::spawn_blocking(move || file.make_room(bytes)).await.map_err(|error| stopped(error.to_string()))?;
        let was_full = std::mem::replace(&mut self.is_full, made.is_err());
        match made {
            Ok(()) => {
                if was_full {
                    tracing::info!("the metadata log has room again");
                }
                Ok(())
            }
            Err(error) if error.is_full() => {
                if !was_full {
                    tracing::warn!("changes of the metadata are refused until there is room on its disk: {error}");
                }
                Err(ControllerError::NoRoom { reason: error.to_string() })
            }
            Err(error) => Err(stopped(error.to_string())),
        }
    }

    /// Appends one entry; returns when it is committed and applied.
    async fn commit(&self, records: Vec<MetadataRecord>) -> Result<(), ControllerError> {
        match self.raft.client_write(MetadataEntry { records }).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(ControllerError::NotController),
            Err(error) => {
                let reason = self.seat.failure.get().map_or_else(|| error.to_string(), |failure| failure.reason.to_string());
                Err(ControllerError::Stopped { reason })
            }
        }
    }

    /// Entries are counted by openraft; large ones make a snapshot due before.
    async fn snapshot_if_due(&self) {
        let limit = u64::try_from(self.seat.server.metadata_log_max_record_bytes_between_snapshots).unwrap_or(u64::MAX);
        if self.file.appended_bytes() < limit {
            return;
        }
        if let Err(error) = self.raft.trigger().snapshot().await {
            // The quorum has ended; the loop learns why.
            tracing::debug!(%error, "no snapshot of the metadata");
        }
    }

    /// Completes when openraft has ended by itself.
    async fn quorum_ended(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_and_update().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "the metadata quorum has ended".to_owned();
            }
        }
    }
}

/// The first records of a cluster.
pub(super) fn first_records(identity: &Identity, server: &ServerConfig) -> Result<Vec<MetadataRecord>, ControllerStartError> {
    let image = MetadataImage::default();
    let context = context(&image).map_err(ControllerStartError::Random)?;
    let mut controller = Controller::new(image, server, &context);
    let format = Command::Format(Format { cluster_id: identity.cluster_id.clone() });
    controller.execute(&format).map_err(ControllerStartError::Format)?;
    Ok(controller.into_records())
}

fn context(image: &MetadataImage) -> Result<Context, getrandom::Error> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)?;
    Ok(Context { seed, next_index: image.position().map_or(0, |position| position.index + 1) })
}

/// What a sequence of commands came to: a reply for each that was computed.
struct Computed {
    records: Vec<MetadataRecord>,
    replies: VecDeque<Result<Reply, ControllerError>>,
}

fn take(queued: Option<Queued>, waiting: &mut VecDeque<Waiting>, stopping: &mut bool) {
    match queued {
        Some(Queued::Command { command, answer }) => waiting.push_back((command, answer)),
        Some(Queued::Stop) | None => *stopping = true,
    }
}

/// openraft for a quorum of one: no elections and no heartbeats, hence no timer that wakes an idle node.
fn raft_config() -> openraft::Config {
    openraft::Config {
        cluster_name: "ottla".to_owned(),
        enable_tick: false,
        enable_heartbeat: false,
        enable_elect: false,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_BETWEEN_SNAPSHOTS_MAX),
        max_in_snapshot_log_to_keep: 0,
        ..openraft::Config::default()
    }
}
