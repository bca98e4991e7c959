//! How a command fails: one line on standard error that says what and what to do, and an exit code.

use std::io;
use std::process::ExitCode;

use ottla_client::{ClientError, ErrorCode};

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// It could not be done: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// It was not understood, as clap's own errors: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Whoever read our output went away (`| head`): they had enough, which is no failure.
    #[error("the output was closed")]
    OutputClosed,
}

impl CliError {
    pub fn failed(message: impl Into<String>) -> CliError {
        CliError::Failed(message.into())
    }

    pub fn usage(message: impl Into<String>) -> CliError {
        CliError::Usage(message.into())
    }

    /// Says it and gives the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            CliError::Failed(message) => {
                eprintln!("error: {message}");
                ExitCode::from(1)
            }
            CliError::Usage(message) => {
                eprintln!("error: {message}");
                ExitCode::from(2)
            }
            CliError::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> CliError {
        let message = match remedy(&error) {
            Some(remedy) => format!("{error}; {remedy}"),
            None => error.to_string(),
        };
        match error {
            ClientError::InvalidProperty { .. } | ClientError::UnknownProperty { .. } => CliError::Usage(message),
            _ => CliError::Failed(message),
        }
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Failed(format!("cannot write the output: {error}")),
        }
    }
}

/// What a person at a shell can do about it, where the error itself does not say.
fn remedy(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Connect { cause, .. } if cause.kind() == io::ErrorKind::ConnectionRefused => {
            Some("is a node running? start one with `ottla serve`".to_owned())
        }
        ClientError::Connect { .. } | ClientError::Unreachable { .. } => {
            Some("check --bootstrap-server, and that the node is running".to_owned())
        }
        ClientError::UnknownTopic { .. } => Some("see `ottla topic list`".to_owned()),
        ClientError::Refused { code: ErrorCode::TopicAlreadyExists, .. } => {
            Some("see it with `ottla topic describe`, change it with `ottla topic alter`".to_owned())
        }
        ClientError::Refused { code: ErrorCode::GroupIdNotFound, .. } => Some("see `ottla group list`".to_owned()),
        ClientError::Refused { code: ErrorCode::TransactionalIdNotFound, .. } => Some("see `ottla txn list`".to_owned()),
        ClientError::Refused { code: ErrorCode::TransactionCoordinatorFenced, .. } => {
            Some("name the epoch that `ottla txn find-hanging --json` tells by --coordinator-epoch".to_owned())
        }
        ClientError::Refused { code: ErrorCode::NonEmptyGroup, .. } => Some("stop its consumers first".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_refused_connection_says_how_to_start_a_node() {
        let cause = Arc::new(io::Error::from_raw_os_error(111));
        let error = CliError::from(ClientError::Connect { address: "localhost:9092".to_owned(), cause });
        assert_eq!(error.to_string(), "cannot reach localhost:9092: connection refused; is a node running? start one with `ottla serve`");
    }

    #[test]
    fn wrong_settings_are_usage_errors_and_a_closed_pipe_is_none() {
        let wrong = ottla_client::ProducerConfig::default().set("acks", "2").unwrap_err();
        assert!(matches!(CliError::from(wrong), CliError::Usage(_)));
        assert!(matches!(CliError::from(io::Error::from(io::ErrorKind::BrokenPipe)), CliError::OutputClosed));
    }
}
