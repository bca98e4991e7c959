//! What ended the controller, told once.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Why the controller can do no more: its disk failed, or what is on it is damaged. The process should end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the controller failed: {reason}")]
pub struct ControllerFailure {
    /// What happened.
    pub reason: Arc<str>,
}

/// Where the first failure is kept.
#[derive(Clone)]
pub(super) struct Failure(watch::Sender<Option<ControllerFailure>>);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failure")
    }
}

impl Failure {
    pub fn none() -> Failure {
        Failure(watch::Sender::new(None))
    }

    /// Keeps the first cause: what fails after it follows from it.
    pub fn report(&self, reason: String) {
        self.0.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(ControllerFailure { reason: reason.into() });
            }
            first
        });
    }

    pub fn get(&self) -> Option<ControllerFailure> {
        self.0.borrow().clone()
    }

    /// Completes at the first failure, never without one.
    pub async fn wait(&self) -> ControllerFailure {
        let mut watched = self.0.subscribe();
        loop {
            if let Some(failure) = watched.borrow_and_update().clone() {
                return failure;
            }
            if watched.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
