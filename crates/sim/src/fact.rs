//! What happened, as whoever looks on from outside sees it: what the trace tells and what invariants are held against. Facts know more than
//! any node or client does.

use std::collections::BTreeSet;

use ottla_cluster::group::{BatchContent, GroupRecord};
use ottla_cluster::transaction::{Owner, TransactionRecord, TransactionalId};
use ottla_model::{GroupId, MemberId};

use crate::log::{Log, Replicated};
use crate::message::{Answer, ClientId, Part, TransactionNumber, Value};

/// An entry of a partition that transactions write to.
#[derive(Clone, Debug)]
pub(crate) enum DataEntry {
    Value { owner: Owner, sequence: i32, value: Value },
    Marker { owner: Owner, commit: bool, coordinator_epoch: i32 },
}

/// All logs, as their leaders have them.
#[derive(Debug)]
pub(crate) struct Logs {
    pub offsets: Log<BatchContent>,
    pub transactions: Log<TransactionRecord>,
    pub data: Vec<Log<DataEntry>>,
}

impl Logs {
    pub fn of(&self, part: Part) -> &dyn Replicated {
        match part {
            Part::Offsets => &self.offsets,
            Part::Transactions => &self.transactions,
            Part::Data(number) => &self.data[number],
        }
    }

    pub fn of_mut(&mut self, part: Part) -> &mut dyn Replicated {
        match part {
            Part::Offsets => &mut self.offsets,
            Part::Transactions => &mut self.transactions,
            Part::Data(number) => &mut self.data[number],
        }
    }
}

/// How a transaction ended, as its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
}

/// A committed offset by who committed it: what the simulation's clients write into its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitTag {
    pub number: u64,
    pub transaction: Option<TransactionNumber>,
    /// Generation or member epoch; negative: from outside of the group.
    pub epoch: i32,
    pub member: String,
}

impl CommitTag {
    pub fn to_text(&self) -> Box<str> {
        let transaction = self.transaction.map_or(-1, |number| number as i64);
        format!("{} {transaction} {} {}", self.number, self.epoch, self.member).into()
    }

    pub fn of(text: &str) -> Option<CommitTag> {
        let mut words = text.splitn(4, ' ');
        Some(CommitTag {
            number: words.next()?.parse().ok()?,
            transaction: words.next()?.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok()),
            epoch: words.next()?.parse().ok()?,
            member: words.next()?.to_owned(),
        })
    }
}

/// The offsets that a batch commits: partition, offset, and by whom.
pub(crate) fn commits(records: &[GroupRecord]) -> impl Iterator<Item = (&GroupId, i32, i64, CommitTag)> {
    records.iter().filter_map(|record| match record {
        GroupRecord::OffsetCommit { group, partition, value: Some(value), .. } => {
            Some((group, partition.0, value.offset.0, CommitTag::of(&value.metadata)?))
        }
        _ => None,
    })
}

/// Something that happened.
// Some fields are for the trace alone.
#[allow(dead_code)]
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    /// The leader wrote to a log, at this offset.
    OffsetsAppended {
        at: usize,
        content: &'a BatchContent,
    },
    TransactionAppended {
        record: &'a TransactionRecord,
        by: Option<ClientId>,
        /// By an InitProducerId.
        takes_over: bool,
    },
    /// A coordinator that does not know yet that it is deposed was asked, and answers by what was.
    AskedDeposed {
        transactional_id: &'a TransactionalId,
    },
    /// A producer that waits for the answer was told that it is not the owner any more, or that it has no such transaction.
    Refused {
        transactional_id: &'a TransactionalId,
        owner: Owner,
        answer: &'a Answer,
    },
    DataAppended {
        part: Part,
        at: usize,
        entry: &'a DataEntry,
    },
    /// A new leader, and what it has.
    Elected {
        part: Part,
        end: usize,
    },
    /// The leader of the offsets looked one up, as of its whole log.
    OffsetLookedUp {
        group: &'a GroupId,
        partition: i32,
        found: Option<CommitTag>,
    },
    /// A client was told that its commit is done.
    OffsetAcknowledged {
        group: &'a GroupId,
        partition: i32,
        number: u64,
    },
    /// What a client takes for its own from now on.
    Owned {
        client: ClientId,
        group: &'a GroupId,
        member: &'a MemberId,
        epoch: i32,
        partitions: &'a BTreeSet<i32>,
    },
    /// A client is no more, or knows that it is no member.
    Disowned {
        client: ClientId,
    },
    Initialized {
        transactional_id: &'a TransactionalId,
        client: ClientId,
        owner: Owner,
    },
    /// What it is about to write, and the numbers of the offsets that it is about to commit.
    Begun {
        transaction: TransactionNumber,
        client: ClientId,
        values: &'a [Value],
        offsets: &'a [u64],
    },
    /// The client has asked to commit: all that it wrote was acknowledged.
    CommitAsked {
        transaction: TransactionNumber,
    },
    Ended {
        transaction: TransactionNumber,
        outcome: Outcome,
    },
    StableOffset {
        part: Part,
        offset: usize,
    },
}
