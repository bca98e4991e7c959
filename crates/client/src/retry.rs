//! Asking again: what is worth another try, how long to wait for it, and until when.
//!
//! The one place where that is decided for whatever is asked in a call of its own. Batches have their own rules
//! ([`producer`](crate::producer)), as they have an order to keep; and so have a transactional producer's questions, where an
//! error that does not pass ends the transaction, or the producer.

use ottla_wire::error::ErrorCode;
use tokio::time::{Instant, sleep};

use crate::backoff::random_u32;
use crate::client::Deadline;
use crate::coordinator::Key;
use crate::{Client, ClientError};

/// What may be asked again after a connection was lost while the answer was out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Repeat {
    /// Asked twice it comes to the same.
    Lost,
    /// The second time it could be refused for what it did the first time.
    Refused,
}

/// Who is asked.
#[derive(Clone, Copy, Debug)]
enum Whom<'k> {
    /// Any broker, the controller, or a partition's leader: one that cannot be reached is said at once.
    Brokers,
    /// A coordinator, which another broker takes over when one is gone.
    Coordinator(Key<'k>),
}

/// Tries at one call, until its deadline has passed.
#[derive(Debug)]
pub(crate) struct Tries<'c> {
    client: &'c Client,
    whom: Whom<'c>,
    repeat: Repeat,
    deadline: Deadline,
    failures: u32,
}

impl<'c> Tries<'c> {
    /// At asking brokers. A request that was out may have been done, so a lost one is not repeated.
    pub(crate) fn brokers(client: &'c Client) -> Tries<'c> {
        Tries { client, whom: Whom::Brokers, repeat: Repeat::Refused, deadline: client.api_deadline(), failures: 0 }
    }

    /// At asking a coordinator.
    pub(crate) fn coordinator(client: &'c Client, key: Key<'c>, repeat: Repeat) -> Tries<'c> {
        Tries { client, whom: Whom::Coordinator(key), repeat, deadline: client.api_deadline(), failures: 0 }
    }

    /// Waits for the next try, or says that there is none.
    pub(crate) async fn failed(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !self.passes(&error) {
            return Err(error);
        }
        if Instant::now() >= self.deadline.at {
            return Err(match self.whom {
                Whom::Brokers => error,
                Whom::Coordinator(key) => self.deadline.passed(format!("no coordinator of {key} answered"), Some(error)),
            });
        }
        tracing::debug!(whom = ?self.whom, %error, "asked again");
        self.failures += 1;
        self.client.request_refresh();
        sleep(self.client.backoff().after(self.failures, random_u32())).await;
        Ok(())
    }

    fn passes(&self, error: &ClientError) -> bool {
        match (self.whom, error) {
            (_, ClientError::Disconnected { .. } | ClientError::RequestTimeout { .. }) => self.repeat == Repeat::Lost,
            // The broker itself gave up waiting: what it began may have been done.
            (Whom::Brokers, ClientError::Refused { code: ErrorCode::RequestTimedOut, .. }) => false,
            // Only the controller takes it, and it is another by now.
            (Whom::Brokers, ClientError::Refused { code: ErrorCode::NotController, .. }) => true,
            // A member's epoch may move on while its commit is on its way (KIP-848).
            (Whom::Coordinator(_), ClientError::Refused { code: ErrorCode::StaleMemberEpoch, .. }) => true,
            (_, ClientError::Refused { code, .. }) => code.retriable(),
            (Whom::Coordinator(_), ClientError::Connect { .. } | ClientError::Unreachable { .. }) => true,
            _ => false,
        }
    }
}

/// Lets an async block be written without naming what it gives.
pub(crate) fn attempt<T, F: Future<Output = Result<T, ClientError>>>(attempt: F) -> F {
    attempt
}

/// Does an async block anew until it succeeds, or [`Tries`] says that there is no use in it. A macro, as the future of a
/// closure that borrows cannot be shown to be `Send`, and whoever calls [`Admin`](crate::Admin) may want to spawn that.
macro_rules! again {
    ($tries:expr, $attempt:expr) => {{
        let mut tries = $tries;
        loop {
            match $crate::retry::attempt($attempt).await {
                Ok(value) => break Ok(value),
                Err(error) => tries.failed(error).await?,
            }
        }
    }};
}
pub(crate) use again;
