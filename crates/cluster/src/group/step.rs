//! What a group is given while it takes one step, and what it says meanwhile. Holds no state beyond the step.

use ottla_model::{GroupId, MemberId, MonotonicMs, ProducerEpoch, ProducerId};

use super::Ledger;
use super::config::GroupConfig;
use super::error::GroupError;
use super::event::{Now, Token};
use super::message::{JoinGroupResponse, Joined, Response, Synced};
use super::record::GroupRecord;
use super::story::Story;
use super::timers::{Timer, Timers};
use super::topics::TopicsView;

/// What a group says in one step.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What is to be appended, as one batch.
    pub records: Vec<GroupRecord>,
    /// In whose transaction.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// Answers.
    pub replies: Vec<(Token, Response)>,
}

/// One step of one group.
pub(super) struct Step<'a> {
    /// The time.
    pub now: Now,
    /// Which group.
    pub group: &'a GroupId,
    /// The configuration.
    pub config: &'a GroupConfig,
    /// The topics.
    pub topics: &'a TopicsView,
    /// What all groups share of their offsets.
    pub ledger: &'a mut Ledger,
    /// The deadlines.
    pub timers: &'a mut Timers,
    /// Why the group last rebalanced.
    pub story: Story,
    /// What it says.
    pub said: Said,
}

impl Step<'_> {
    /// The moment `ms` from now.
    pub fn after_ms(&self, ms: i32) -> MonotonicMs {
        self.now.monotonic.plus_ms(i64::from(ms))
    }

    /// A member has this long to be heard of.
    pub fn set_session(&mut self, member: &MemberId, timeout_ms: i32) {
        let deadline = self.after_ms(timeout_ms);
        self.timers.set(Timer::Session(self.group.clone(), member.clone()), deadline);
    }

    /// Nothing is waited for from a member any more.
    pub fn cancel_member(&mut self, member: &MemberId) {
        self.timers.cancel(&Timer::Session(self.group.clone(), member.clone()));
    }

    /// Appends a record.
    pub fn append(&mut self, record: GroupRecord) {
        self.said.records.push(record);
    }

    /// Answers.
    pub fn reply(&mut self, token: Token, response: Response) {
        self.said.replies.push((token, response));
    }

    /// Answers a JoinGroup.
    pub fn reply_join(&mut self, token: Token, member: MemberId, result: Result<Joined, GroupError>) {
        self.reply(token, Response::JoinGroup(JoinGroupResponse { member, result }));
    }

    /// Answers a SyncGroup.
    pub fn reply_sync(&mut self, token: Token, result: Result<Synced, GroupError>) {
        self.reply(token, Response::SyncGroup(result));
    }

    /// Whether the records of this step, and these as well, fit into one batch.
    pub fn check_size(&self, more: &[GroupRecord]) -> Result<(), GroupError> {
        let bytes = BATCH_BYTES + self.said.records.iter().chain(more).map(GroupRecord::bytes_max).sum::<usize>();
        let max = self.config.batch_bytes_max;
        if bytes > max { Err(GroupError::TooLarge { bytes, max }) } else { Ok(()) }
    }
}

/// The header of a record batch.
pub const BATCH_BYTES: usize = 61;
