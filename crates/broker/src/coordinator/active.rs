//! One coordinator while it serves: hands events to the state machine, and carries out what it wants done in the order in which it
//! wants it. Owns which answer waits for which record.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use ottla_cluster::group::{Effect, Event, GroupCoordinator, Now, Proposal, Request, Response, Token, TopicsView};
use ottla_model::Offset;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::offsets_log::{self, WriteError};
use super::shard::Answer;
use super::{Shared, Unanswered};
use crate::partition::{Leadership, Partition};

/// See the module.
pub(super) struct Active {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    leadership: Leadership,
    /// `None` only while it is on another thread.
    state: Option<Box<State>>,
}

struct State {
    coordinator: GroupCoordinator,
    next_token: u64,
    /// Those who were not answered yet.
    waiting: HashMap<Token, oneshot::Sender<Answer>>,
    /// The ends of the batches that are not committed yet.
    uncommitted: VecDeque<(Proposal, Offset)>,
    /// Answers by the end of the batch that has to be committed first.
    held: BTreeMap<Offset, Vec<(Token, Response)>>,
}

impl Active {
    /// Begins to serve what was read from the log.
    pub(super) fn new(shared: Arc<Shared>, partition: Arc<Partition>, coordinator: GroupCoordinator) -> Active {
        let leadership = partition.leadership();
        let state = State { coordinator, next_token: 0, waiting: HashMap::new(), uncommitted: VecDeque::new(), held: BTreeMap::new() };
        let mut active = Active { shared, partition, leadership, state: Some(Box::new(state)) };
        let (now, topics) = (active.now(), active.topics());
        if let Some(state) = &mut active.state {
            // Nobody has asked for anything yet, and nothing is written before something happens: it only starts deadlines.
            let effects = state.coordinator.loaded(now, topics);
            debug_assert!(effects.iter().all(|effect| !matches!(effect, Effect::Reply { .. })));
            if let Err(error) = state.carry_out(&active.partition, now, effects) {
                tracing::warn!(partition = %active.partition.topic_partition(), "not written at the start: {error}");
            }
        }
        active
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Whether it is the coordinator of this partition in its present term.
    pub(super) fn is_of(&self, partition: &Arc<Partition>) -> bool {
        Arc::ptr_eq(&self.partition, partition) && partition.leadership() == self.leadership
    }

    fn now(&self) -> Now {
        Now { wall: self.shared.clock.now(), monotonic: self.shared.monotonic() }
    }

    fn topics(&self) -> TopicsView {
        TopicsView::new((**self.shared.published.image()).clone())
    }

    /// When it wants to be told the time.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.state.as_ref()?.coordinator.next_deadline()?;
        Some(self.shared.instant_of(deadline))
    }

    /// The next end of a batch that answers wait for.
    pub(super) fn next_commit(&self) -> Option<Offset> {
        self.state.as_ref()?.held.keys().next().copied()
    }

    /// Gives the answers whose records are committed by now.
    pub(super) fn answer_committed(&mut self) {
        if let Some(state) = &mut self.state {
            state.answer_committed(self.partition.high_watermark());
        }
    }

    /// Takes what was asked.
    pub(super) async fn ask(&mut self, asked: Vec<(Request, oneshot::Sender<Answer>)>) -> Result<(), WriteError> {
        let Some(state) = &mut self.state else { return Err(WriteError::Lost) };
        let events = asked.into_iter().map(|(request, reply)| {
            state.next_token += 1;
            let token = Token(state.next_token);
            state.waiting.insert(token, reply);
            Event::Request { token, request }
        });
        let events = events.collect();
        self.happen(events).await
    }

    /// Tells it that its deadline has come.
    pub(super) async fn time(&mut self) -> Result<(), WriteError> {
        self.happen(vec![Event::Time]).await
    }

    /// Topics or configs may have changed.
    pub(super) async fn metadata_changed(&mut self) -> Result<(), WriteError> {
        let config = self.shared.config();
        if let Some(state) = &mut self.state {
            state.coordinator.reconfigure(config);
        }
        self.happen(vec![Event::TopicsChanged(self.topics())]).await
    }

    /// Takes events, on this thread, or on another while the disk is slow.
    async fn happen(&mut self, events: Vec<Event>) -> Result<(), WriteError> {
        let now = self.now();
        let Some(mut state) = self.state.take() else { return Err(WriteError::Lost) };
        let dir = Arc::clone(self.partition.log_dir());
        let done = if dir.is_slow() {
            let partition = Arc::clone(&self.partition);
            let work = move || {
                let done = state.take(&partition, now, events);
                (state, done)
            };
            dir.off_network(work).await
        } else {
            let done = state.take(&self.partition, now, events);
            Some((state, done))
        };
        // What hangs has the state, and nobody needs it any more: the directory has failed.
        let (state, done) = done.ok_or(WriteError::Lost)?;
        self.state = Some(state);
        done
    }

    /// It is over: all who wait are told to look for the coordinator again.
    pub(super) fn end(&mut self) {
        if let Some(state) = self.state.take() {
            for reply in state.waiting.into_values() {
                let _ = reply.send(Err(Unanswered::NotCoordinator));
            }
        }
    }
}

impl State {
    fn take(&mut self, partition: &Arc<Partition>, now: Now, events: Vec<Event>) -> Result<(), WriteError> {
        for event in events {
            let effects = self.coordinator.step(now, event);
            self.carry_out(partition, now, effects)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, partition: &Arc<Partition>, now: Now, effects: Vec<Effect>) -> Result<(), WriteError> {
        for effect in effects {
            match effect {
                Effect::Append(batch) => {
                    let end = offsets_log::append(partition, &batch.content, now.wall)?;
                    self.uncommitted.push_back((batch.proposal, end));
                }
                Effect::Reply { token, after, response } => self.reply(partition.high_watermark(), token, after, response),
            }
        }
        Ok(())
    }

    fn reply(&mut self, high_watermark: Offset, token: Token, after: Proposal, response: Response) {
        while self.uncommitted.front().is_some_and(|(_, end)| *end <= high_watermark) {
            self.uncommitted.pop_front();
        }
        let first = self.uncommitted.partition_point(|(proposal, _)| *proposal < after);
        match self.uncommitted.get(first) {
            // The batch itself; what is not in the list is committed.
            Some((proposal, end)) if *proposal == after => self.held.entry(*end).or_default().push((token, response)),
            _ => self.send(token, Ok(response)),
        }
    }

    fn answer_committed(&mut self, high_watermark: Offset) {
        while let Some(first) = self.held.first_entry() {
            if *first.key() > high_watermark {
                return;
            }
            for (token, response) in first.remove() {
                self.send(token, Ok(response));
            }
        }
    }

    fn send(&mut self, token: Token, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&token) {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }
}
