//! The open transaction, as far as batches are concerned: which partitions are in it, and whether it has failed.
//!
//! Pure: adding partitions and ending the transaction is the business of [`transaction`](super::transaction).

use std::collections::HashSet;

use crate::ClientError;

/// What a transaction has come to.
#[derive(Debug)]
pub(crate) struct Scope {
    transactional_id: String,
    /// By the rules of KIP-890 a partition is added by what is written to it; before, the coordinator is told first.
    pub(crate) implicit: bool,
    /// Queues whose partitions the coordinator has.
    partitions: HashSet<usize>,
    /// Groups that the coordinator has.
    groups: HashSet<String>,
    /// A request to add partitions is out.
    pub(crate) adding: bool,
    /// The coordinator has something of it: it has to be told how it ends.
    pub(crate) started: bool,
    /// What was written may be more, or less, than what was acknowledged: the sequence goes on only in a new epoch.
    pub(crate) gap: bool,
    failed: Option<ClientError>,
}

impl Scope {
    pub(crate) fn new(transactional_id: &str, implicit: bool) -> Scope {
        Scope {
            transactional_id: transactional_id.to_owned(),
            implicit,
            partitions: HashSet::new(),
            groups: HashSet::new(),
            adding: false,
            started: false,
            gap: false,
            failed: None,
        }
    }

    /// What is said to who writes outside of a transaction.
    pub(crate) fn missing() -> ClientError {
        ClientError::InvalidArgument("a producer with a transactional.id sends within transactions only: begin one".to_owned())
    }

    /// Whether it can still come to a good end.
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        match &self.failed {
            None => Ok(()),
            Some(cause) => Err(self.failure(cause)),
        }
    }

    /// What it failed by.
    pub(crate) fn cause(&self) -> Option<&ClientError> {
        self.failed.as_ref()
    }

    /// The first failure is the cause of those behind it.
    pub(crate) fn fail(&mut self, error: &ClientError) {
        self.failed.get_or_insert_with(|| error.clone());
    }

    fn failure(&self, cause: &ClientError) -> ClientError {
        ClientError::TransactionFailed { transactional_id: self.transactional_id.clone(), cause: Box::new(cause.clone()) }
    }

    /// Whether batches of a queue may go out.
    pub(crate) fn admits(&mut self, slot: usize) -> bool {
        self.started |= self.implicit;
        self.implicit || self.partitions.contains(&slot)
    }

    /// Whether a queue's partition is one for the next request: while one is out, the next is gathered.
    pub(crate) fn to_be_added(&self, slot: usize) -> bool {
        !self.adding && !self.partitions.contains(&slot)
    }

    /// The request came back.
    pub(crate) fn added(&mut self, slots: Vec<usize>, result: Result<(), ClientError>) {
        self.adding = false;
        match result {
            Ok(()) => {
                self.started = true;
                self.partitions.extend(slots);
            }
            Err(error) => {
                // Refused it added none; else nobody knows, and only a new epoch is sure to leave nothing open.
                self.gap |= error.code().is_none();
                self.fail(&error);
            }
        }
    }

    /// Whether the coordinator is to be told of a group first.
    pub(crate) fn needs_group(&self, group: &str) -> bool {
        !self.implicit && !self.groups.contains(group)
    }

    /// The coordinator has the group, or needs not be told.
    pub(crate) fn has_group(&mut self, group: &str) {
        self.started = true;
        self.groups.insert(group.to_owned());
    }
}
