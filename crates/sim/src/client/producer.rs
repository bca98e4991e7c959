//! A transactional producer, of version 1 or 2: takes over its transactional id, and writes one transaction after another, a step at a time.
//! A step that goes unanswered is tried again; one that fails has the transaction aborted; one that is fenced is the end of the producer.

use std::collections::{BTreeMap, VecDeque};

use ottla_cluster::group::{Response, TxnOffsetCommit};
use ottla_cluster::transaction::{
    AddPartitions, EndTransaction, InitProducerId, Owner, Reply, TransactionError, TransactionVersion, TransactionalId,
};
use ottla_model::{GroupId, InstanceId, MemberId};

use super::reader::to_commit;
use super::{BACKOFF_MS, REQUEST_TIMEOUT_MS, Wake, ask};
use crate::fact::{CommitTag, Fact, Outcome};
use crate::message::{Answer, Ask, ClientId, Part, Produce, TransactionNumber, Value, WriteError};
use crate::world::{DATA_PARTITIONS, READ_PARTITIONS, Stage, World};

const TRANSACTION_TIMEOUT_MS: i32 = 15_000;
/// After so long a write that does not come through has failed (`delivery.timeout.ms`).
const DELIVERY_TIMEOUT_MS: u64 = 10_000;

/// The group, the partition, from where and up to where.
type Source = (&'static str, i32, i64, i64);

/// Offsets to commit with a transaction, and who their reader is.
#[derive(Clone, Debug)]
pub(crate) struct OffsetsPlan {
    pub group: GroupId,
    pub member: MemberId,
    pub instance: Option<InstanceId>,
    pub epoch: i32,
    pub offsets: BTreeMap<i32, i64>,
}

/// What a transaction is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// To which partition, and of what it is made.
    pub values: Vec<(usize, Option<Source>)>,
    pub offsets: Option<OffsetsPlan>,
    pub commit: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// As a new process, or one that goes on after a failure (KIP-360).
    Init {
        goes_on: bool,
    },
    AddPartitions,
    Produce(usize, Value),
    Offsets,
    End {
        commit: bool,
    },
}

#[derive(Debug)]
struct Transaction {
    number: TransactionNumber,
    partitions: Vec<Part>,
    offsets: Option<(OffsetsPlan, Vec<(i32, u64)>)>,
    /// Version 1: the coordinator may know of it.
    is_added: bool,
    has_failed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Producer {
    client: ClientId,
    transactional_id: TransactionalId,
    version: TransactionVersion,
    owner: Option<Owner>,
    sequences: BTreeMap<usize, i32>,
    steps: VecDeque<Step>,
    transaction: Option<Transaction>,
    waits: Option<u64>,
    is_fenced: bool,
    /// When the step was first tried.
    since_ms: u64,
    outcome: Option<Option<Outcome>>,
}

impl Producer {
    pub fn new(client: ClientId, transactional_id: &str, version: TransactionVersion) -> Producer {
        Producer {
            client,
            transactional_id: TransactionalId::new(transactional_id),
            version,
            owner: None,
            sequences: BTreeMap::new(),
            steps: VecDeque::new(),
            transaction: None,
            waits: None,
            is_fenced: false,
            since_ms: 0,
            outcome: None,
        }
    }

    pub fn start(&mut self, world: &mut World) {
        self.then(world, Step::Init { goes_on: false });
    }

    pub fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    pub fn give_up(&mut self) {
        self.is_fenced = true;
    }

    pub fn is_ready(&self) -> bool {
        self.owner.is_some() && self.steps.is_empty() && !self.is_fenced
    }

    /// Whether a transaction is under way.
    pub fn is_busy(&self) -> bool {
        self.transaction.is_some()
    }

    pub fn waits_for(&self, number: u64) -> bool {
        self.waits == Some(number)
    }

    /// How a transaction ended that the reader has not heard of yet; `Some(None)`: that is not known.
    pub fn take_outcome(&mut self) -> Option<Option<Outcome>> {
        self.outcome.take()
    }

    /// A transaction of no reader: now and then with an offset from outside of a group.
    pub fn write_something(&mut self, world: &mut World) {
        if !self.is_ready() || world.stage() >= Stage::Quiet {
            return;
        }
        let values = (0..1 + world.random.below(3)).map(|_| (world.random.below(DATA_PARTITIONS), None)).collect();
        let offsets = (world.random.below(3) == 0).then(|| OffsetsPlan {
            group: GroupId::new("outside"),
            member: MemberId::new(""),
            instance: None,
            epoch: -1,
            offsets: [(world.random.below(READ_PARTITIONS as usize) as i32, world.now_ms() as i64)].into(),
        });
        let commit = world.random.below(5) > 0;
        self.begin(world, Plan { values, offsets, commit });
    }

    pub fn begin(&mut self, world: &mut World, plan: Plan) {
        let number = world.next_number();
        let values: Vec<(usize, Value)> = plan
            .values
            .into_iter()
            .map(|(partition, source)| (partition, Value { number: world.next_number(), transaction: number, source }))
            .collect();
        let mut partitions: Vec<Part> = values.iter().map(|(partition, _)| Part::Data(*partition)).collect();
        if plan.offsets.is_some() {
            partitions.push(Part::Offsets);
        }
        let offsets = plan.offsets.map(|offsets| {
            let tags = offsets.offsets.keys().map(|partition| (*partition, world.next_number())).collect();
            (offsets, tags)
        });
        let all: Vec<Value> = values.iter().map(|(_, value)| value.clone()).collect();
        let tags: Vec<u64> = offsets.iter().flat_map(|(_, tags)| tags).map(|(_, tag): &(i32, u64)| *tag).collect();
        world.fact(&Fact::Begun { transaction: number, client: self.client, values: &all, offsets: &tags });
        if self.version == TransactionVersion::Classic {
            self.steps.push_back(Step::AddPartitions);
        }
        self.steps.extend(values.into_iter().map(|(partition, value)| Step::Produce(partition, value)));
        if offsets.is_some() {
            self.steps.push_back(Step::Offsets);
        }
        self.steps.push_back(Step::End { commit: plan.commit });
        self.transaction = Some(Transaction { number, partitions, offsets, is_added: false, has_failed: false });
        self.go_on(world);
    }

    pub fn woken(&mut self, world: &mut World) {
        if self.waits.is_none() {
            self.send(world);
        }
    }

    pub fn timed_out(&mut self, world: &mut World, number: u64) {
        if self.waits_for(number) {
            self.answered(world, Answer::Unavailable);
        }
    }

    fn then(&mut self, world: &mut World, step: Step) {
        self.steps = [step].into();
        self.go_on(world);
    }

    fn go_on(&mut self, world: &mut World) {
        self.since_ms = world.now_ms();
        if let (Some(Step::End { commit: true }), Some(transaction)) = (self.steps.front(), &self.transaction) {
            world.fact(&Fact::CommitAsked { transaction: transaction.number });
        }
        self.send(world);
    }

    fn send(&mut self, world: &mut World) {
        let Some((part, request)) = self.steps.front().and_then(|step| self.request(step)) else { return };
        self.waits = Some(ask(world, self.client, part, REQUEST_TIMEOUT_MS, request));
    }

    fn request(&self, step: &Step) -> Option<(Part, Ask)> {
        let (transactional_id, version) = (self.transactional_id.clone(), self.version);
        let init =
            |goes_on_as| InitProducerId { transactional_id: self.transactional_id.clone(), timeout_ms: TRANSACTION_TIMEOUT_MS, goes_on_as };
        if let Step::Init { goes_on } = step {
            return Some((Part::Transactions, Ask::InitProducerId(init(self.owner.filter(|_| *goes_on)))));
        }
        let (owner, transaction) = (self.owner?, self.transaction.as_ref()?);
        Some(match step {
            Step::Init { .. } => return None,
            Step::AddPartitions => {
                let partitions = transaction.partitions.iter().map(|part| part.topic_partition()).collect();
                (Part::Transactions, Ask::AddPartitions(AddPartitions { transactional_id, owner, partitions, version }))
            }
            Step::Produce(partition, value) => {
                let sequence = self.sequences.get(partition).copied().unwrap_or(0);
                (Part::Data(*partition), Ask::Produce(Produce { transactional_id, owner, version, sequence, value: value.clone() }))
            }
            Step::Offsets => {
                let (plan, tags) = transaction.offsets.as_ref()?;
                let offset = |(partition, number): &(i32, u64)| {
                    let (transaction, member) = (Some(transaction.number), plan.member.to_string());
                    let tag = CommitTag { number: *number, transaction, epoch: plan.epoch, member };
                    Some(to_commit(*partition, *plan.offsets.get(partition)?, &tag))
                };
                let request = TxnOffsetCommit {
                    group: plan.group.clone(),
                    producer: owner.producer_id,
                    producer_epoch: owner.producer_epoch,
                    member: plan.member.clone(),
                    instance: plan.instance.clone(),
                    generation_or_epoch: plan.epoch,
                    offsets: tags.iter().filter_map(offset).collect(),
                };
                (Part::Offsets, Ask::CommitOffsets(transactional_id, version, request))
            }
            Step::End { commit } => {
                (Part::Transactions, Ask::EndTransaction(EndTransaction { transactional_id, owner, commit: *commit, version }))
            }
        })
    }

    pub fn answered(&mut self, world: &mut World, answer: Answer) {
        self.waits = None;
        let Some(step) = self.steps.front().cloned() else { return };
        if let (Some(owner), true) = (self.owner, is_refusal(&answer)) {
            world.fact(&Fact::Refused { transactional_id: &self.transactional_id, owner, answer: &answer });
        }
        match (step, answer) {
            (Step::Init { .. }, Answer::Transaction(Ok(Reply::Initialized(owner)))) => {
                self.be(owner);
                world.fact(&Fact::Initialized { transactional_id: &self.transactional_id, client: self.client, owner });
                self.steps.clear();
                self.end(None);
            }
            (Step::AddPartitions, Answer::Transaction(Ok(Reply::Added))) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.is_added = true;
                }
                self.next(world);
            }
            (Step::Produce(partition, _), Answer::Written(Ok(()))) => {
                *self.sequences.entry(partition).or_default() += 1;
                self.next(world);
            }
            (Step::Offsets, Answer::Group(Response::TxnOffsetCommit(result))) => match result {
                Ok(each) if each.iter().all(Result::is_ok) => self.next(world),
                _ => self.fail(world),
            },
            (Step::End { commit }, Answer::Transaction(Ok(Reply::Ended(owner)))) => {
                self.be(owner);
                self.ended(world, if commit { Outcome::Committed } else { Outcome::Aborted });
            }
            (
                step,
                Answer::Transaction(Err(TransactionError::Concurrent | TransactionError::NotWritten { .. }))
                | Answer::Written(Err(WriteError::Retry))
                | Answer::Unavailable,
            ) => {
                let is_over = world.now_ms() - self.since_ms > DELIVERY_TIMEOUT_MS;
                match step {
                    Step::AddPartitions | Step::Produce(..) | Step::Offsets if is_over => self.fail(world),
                    _ => world.wake_after(self.client, BACKOFF_MS, Wake::Produce),
                }
            }
            (Step::Produce(..) | Step::Offsets, Answer::Written(Err(_))) => self.fail(world),
            // Fenced, or an error that nothing can be done about: another process takes over.
            _ => self.is_fenced = true,
        }
    }

    fn be(&mut self, owner: Owner) {
        if self.owner != Some(owner) {
            self.owner = Some(owner);
            self.sequences.clear();
        }
    }

    fn next(&mut self, world: &mut World) {
        self.steps.pop_front();
        self.go_on(world);
    }

    /// The transaction is aborted. In version 1 the epoch does not change by that, and what is still on its way could land in the next
    /// transaction: so the producer takes a new one.
    fn fail(&mut self, world: &mut World) {
        let Some(transaction) = &mut self.transaction else { return };
        transaction.has_failed = true;
        if self.version == TransactionVersion::Classic && !transaction.is_added {
            return self.then(world, Step::Init { goes_on: true });
        }
        self.then(world, Step::End { commit: false });
    }

    fn ended(&mut self, world: &mut World, outcome: Outcome) {
        self.steps.clear();
        let Some(transaction) = &self.transaction else { return };
        world.fact(&Fact::Ended { transaction: transaction.number, outcome });
        let must_bump = self.version == TransactionVersion::Classic && transaction.has_failed;
        self.end(Some(outcome));
        if must_bump {
            self.then(world, Step::Init { goes_on: true });
        }
    }

    fn end(&mut self, outcome: Option<Outcome>) {
        if self.transaction.take().is_some() {
            self.outcome = Some(outcome);
        }
    }
}

/// Whether it says that the producer is not the owner any more, or has no such transaction.
fn is_refusal(answer: &Answer) -> bool {
    use TransactionError::{Fenced, InvalidProducerId, InvalidState};
    matches!(
        answer,
        Answer::Transaction(Err(Fenced { .. } | InvalidProducerId { .. } | InvalidState { .. }))
            | Answer::Written(Err(WriteError::Fenced | WriteError::NotInTransaction))
    )
}
