//! Carries out what the state machine of groups wants done: what is to be written in the order in which it wants it, then the answers.
//! Owns which answer waits for which record.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;

use ottla_cluster::group::{
    Effect, EndTransaction, Event, GroupConfig, GroupCoordinator, Now, Proposal, Request, Response, Token, TopicsView, TxnOffsetCommit,
};
use ottla_log::{AppendError, AppendOrigin};
use ottla_model::Offset;
use ottla_wire::batch::{BatchError, BatchView};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{NotTaken, batch};
use crate::coordinator::log::{self, WriteError};
use crate::coordinator::machine::{At as AtOf, Machine};
use crate::coordinator::topic::{OFFSETS_TOPIC, batch_bytes_max};
use crate::coordinator::{Shared, Unanswered};
use crate::partition::append_error_code;

type Answer = Result<Response, NotTaken>;
type At = AtOf<GroupMachine>;

/// What a coordinator is sent.
pub enum Message {
    /// A client asks for something.
    Ask {
        /// What.
        request: Request,
        /// Whom to answer.
        reply: oneshot::Sender<Answer>,
    },
    /// A client commits offsets in a transaction.
    CommitInTransaction {
        /// What.
        request: TxnOffsetCommit,
        /// What lets the transaction begin here, if it is not open.
        may_begin: AppendOrigin,
        /// Whom to answer.
        reply: oneshot::Sender<Answer>,
    },
    /// A transaction coordinator ends a transaction.
    EndTransaction {
        /// Which.
        end: EndTransaction,
        /// It was by `transaction.version` 2.
        raises_epoch: bool,
        /// Whom to answer.
        reply: oneshot::Sender<Answer>,
    },
}

impl Message {
    fn into_parts(self) -> (oneshot::Sender<Answer>, Asked) {
        match self {
            Message::Ask { request, reply } => (reply, Asked::Plain(request)),
            Message::CommitInTransaction { request, may_begin, reply } => (reply, Asked::CommitInTransaction(request, may_begin)),
            Message::EndTransaction { end, raises_epoch, reply } => (reply, Asked::EndTransaction(end, raises_epoch)),
        }
    }
}

/// A message without whom to answer.
enum Asked {
    Plain(Request),
    CommitInTransaction(TxnOffsetCommit, AppendOrigin),
    EndTransaction(EndTransaction, bool),
}

impl Asked {
    /// Whether the log takes what comes of it: nobody else appends to it, so it is as good as asked at the append, and the state
    /// machine, which takes nothing back, is not told of what is refused.
    fn check(&self, at: &At) -> Result<(), AppendError> {
        match self {
            Asked::Plain(_) => Ok(()),
            Asked::CommitInTransaction(commit, may_begin) => {
                at.partition.check_transactional(commit.producer, commit.producer_epoch, *may_begin)
            }
            Asked::EndTransaction(end, raises_epoch) => {
                at.partition.check_marker(end.producer, end.producer_epoch, &batch::marker_of(end), *raises_epoch)
            }
        }
    }

    fn into_event(self, token: Token) -> Event {
        match self {
            Asked::Plain(request) => Event::Request { token, request },
            Asked::CommitInTransaction(commit, _) => Event::Request { token, request: Request::TxnOffsetCommit(commit) },
            Asked::EndTransaction(end, _) => Event::EndTransaction { token, end },
        }
    }
}

/// See the module.
pub struct GroupMachine {
    coordinator: GroupCoordinator,
    next_token: u64,
    /// Those who were not answered yet.
    waiting: HashMap<Token, oneshot::Sender<Answer>>,
    /// The ends of the batches that are not committed yet.
    uncommitted: VecDeque<(Proposal, Offset)>,
    /// Answers by the end of the batch that has to be committed first.
    held: BTreeMap<Offset, Vec<(Token, Response)>>,
}

impl Machine for GroupMachine {
    const TOPIC: &'static str = OFFSETS_TOPIC;
    const WHAT: &'static str = "groups";
    type Message = Message;
    type Event = Infallible;
    type Kit = ();

    fn size_bytes(message: &Message) -> usize {
        match message {
            Message::Ask { request, .. } => request.size_bytes(),
            Message::CommitInTransaction { request, .. } => request.size_bytes(),
            Message::EndTransaction { .. } => size_of::<Message>(),
        }
    }

    fn refuse(message: Message, why: Unanswered) {
        // Whoever asked may have gone.
        let _ = message.into_parts().0.send(Err(NotTaken::Unanswered(why)));
    }

    fn new(shared: &Shared) -> GroupMachine {
        let coordinator = GroupCoordinator::new(config(shared));
        GroupMachine { coordinator, next_token: 0, waiting: HashMap::new(), uncommitted: VecDeque::new(), held: BTreeMap::new() }
    }

    fn replay(&mut self, view: &BatchView<'_>) -> Result<(), BatchError> {
        batch::replay(&mut self.coordinator, view)
    }

    fn loaded(&mut self, at: &At) -> Result<(), WriteError> {
        // Nobody has asked for anything yet, and nothing is written before something happens: it only starts deadlines.
        let now = now(at);
        let effects = self.coordinator.loaded(now, topics(at));
        debug_assert!(effects.iter().all(|effect| !matches!(effect, Effect::Reply { .. })));
        self.carry_out(at, now, effects)
    }

    fn take(&mut self, at: &At, messages: Vec<Message>) -> Result<(), WriteError> {
        let now = now(at);
        let mut all = Vec::with_capacity(messages.len());
        // All are known before the first is handled, so that none is left without an answer when that fails.
        for message in messages {
            let (reply, asked) = message.into_parts();
            self.next_token += 1;
            let token = Token(self.next_token);
            self.waiting.insert(token, reply);
            all.push((token, asked));
        }
        // What all of them want written becomes as few batches as hold it: a write costs more than what is in it.
        let mut effects = Vec::new();
        for (token, asked) in all {
            if matches!(asked, Asked::Plain(_)) {
                effects.extend(self.coordinator.step(now, asked.into_event(token)));
                continue;
            }
            // What the log says of a transaction depends on all that is to be appended before.
            self.carry_out(at, now, std::mem::take(&mut effects))?;
            match asked.check(at) {
                Ok(()) => self.happen(at, now, asked.into_event(token))?,
                Err(error) => self.send(token, Err(NotTaken::ByLog(append_error_code(&error)))),
            }
        }
        self.carry_out(at, now, effects)
    }

    fn take_events(&mut self, _at: &At, events: Vec<Infallible>) -> Result<(), WriteError> {
        match events.into_iter().next() {
            None => Ok(()),
            Some(never) => match never {},
        }
    }

    fn time(&mut self, at: &At) -> Result<(), WriteError> {
        self.happen(at, now(at), Event::Time)
    }

    fn metadata_changed(&mut self, at: &At) -> Result<(), WriteError> {
        self.coordinator.reconfigure(config(&at.shared));
        self.happen(at, now(at), Event::TopicsChanged(topics(at)))
    }

    fn committed(&mut self, at: &At) -> Result<(), WriteError> {
        let high_watermark = at.partition.high_watermark();
        while let Some(first) = self.held.first_entry() {
            if *first.key() > high_watermark {
                break;
            }
            for (token, response) in first.remove() {
                self.send(token, Ok(response));
            }
        }
        Ok(())
    }

    fn next_deadline(&self, at: &At) -> Option<Instant> {
        Some(at.shared.instant_of(self.coordinator.next_deadline()?))
    }

    fn next_commit(&self) -> Option<Offset> {
        self.held.keys().next().copied()
    }

    async fn end(self) {
        for reply in self.waiting.into_values() {
            let _ = reply.send(Err(NotTaken::Unanswered(Unanswered::NotCoordinator)));
        }
    }
}

fn now(at: &At) -> Now {
    Now { wall: at.shared.clock.now(), monotonic: at.shared.monotonic() }
}

fn topics(at: &At) -> TopicsView {
    TopicsView::new((**at.shared.published.image()).clone())
}

fn config(shared: &Shared) -> GroupConfig {
    let server = shared.published.config();
    let batch_bytes_max = batch_bytes_max(OFFSETS_TOPIC, &server, &shared.published.image());
    GroupConfig::read(server.values(), batch_bytes_max).unwrap_or_else(|error| {
        // Checked at start and with each change.
        tracing::error!("the configuration of groups cannot be read: {error}");
        GroupConfig { batch_bytes_max, ..GroupConfig::default() }
    })
}

impl GroupMachine {
    fn happen(&mut self, at: &At, now: Now, event: Event) -> Result<(), WriteError> {
        let effects = self.coordinator.step(now, event);
        self.carry_out(at, now, effects)
    }

    fn carry_out(&mut self, at: &At, now: Now, effects: Vec<Effect>) -> Result<(), WriteError> {
        let mut appends = Vec::new();
        let mut replies = Vec::new();
        for effect in effects {
            match effect {
                Effect::Append(wanted) => appends.push(wanted),
                Effect::Reply { token, after, response } => replies.push((token, after, response)),
            }
        }
        // All is appended before the first answer: one may rest on what comes behind it in the same batch, and none on less.
        for (proposals, content) in batch::merge(appends, self.coordinator.config().batch_bytes_max) {
            at.check_led()?;
            let end = log::append(&at.partition, &batch::encode(&content, now.wall)?, now.wall)?;
            self.uncommitted.extend(proposals.into_iter().map(|proposal| (proposal, end)));
        }
        let high_watermark = at.partition.high_watermark();
        for (token, after, response) in replies {
            self.reply(high_watermark, token, after, response);
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

    fn send(&mut self, token: Token, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&token) {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }
}
