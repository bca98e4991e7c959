//! Why a controller does not start, and Kafka's codes for what it refuses.

use std::io;
use std::path::PathBuf;

use ottla_cluster::controller::ControllerError;
use ottla_model::config::ConfigError;
use ottla_model::{ClusterId, DirectoryId, NodeId};
use ottla_wire::ErrorCode;

use super::failure::ControllerFailure;

/// Why a controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum ControllerStartError {
    /// A quorum this version cannot run.
    #[error(
        "controller.quorum.voters names {voters} voters: this version of Ottla runs metadata quorums of one; name this node alone, or remove the line"
    )]
    SeveralVoters {
        /// How many.
        voters: usize,
    },
    /// A node without the controller role.
    #[error(
        "process.roles has not the controller role: this version of Ottla runs clusters of one node; write process.roles=broker,controller"
    )]
    NoControllerRole,
    /// An empty metadata log where there should be one.
    #[error(
        "there is no metadata log at {}, but its log dir was in use before: restore the file, or empty the log dirs to begin anew",
        path.display()
    )]
    NotFormatted {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be reached.
    #[error("{}: {source}; check that the folder exists and can be written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be used: damaged, or open in another process.
    #[error("the metadata log {} cannot be opened: {source}; if another process uses it, stop that one", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: redb::Error,
    },
    /// The file's contents cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: super::FileError,
    },
    /// The file does not say whose it is.
    #[error("{} is no metadata log of Ottla: move it away", path.display())]
    NoIdentity {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("the metadata log {} has format {found}, this version knows up to {known}: run the version that wrote it, or a later one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Of another node.
    #[error("the metadata log {} belongs to node {found}, but node.id is {own}: set node.id={found}, or use another log dir", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// This node.
        own: NodeId,
    },
    /// Of another cluster.
    #[error("the metadata log {} belongs to cluster {found}, but meta.properties says {own}: use the log dirs of one cluster together", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// This cluster.
        own: ClusterId,
    },
    /// Copied from another log dir.
    #[error(
        "the metadata log {} was made in log dir {found}, but this one is {own}: a copy must not vote; put the original back",
        path.display()
    )]
    OtherDirectory {
        /// The file.
        path: PathBuf,
        /// Where it was made.
        found: DirectoryId,
        /// Where it is.
        own: DirectoryId,
    },
    /// A thread or runtime could not be had.
    #[error("the controller's threads cannot be started: {0}")]
    Threads(#[source] io::Error),
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[source] getrandom::Error),
    /// openraft refused to start, or stopped while starting.
    #[error("the metadata quorum cannot be started: {0}")]
    Raft(String),
    /// The first records could not be written.
    #[error("the metadata log cannot be formatted: {0}")]
    Format(#[source] ControllerError),
    /// What failed while starting.
    #[error(transparent)]
    Failed(#[from] ControllerFailure),
}

/// Kafka's code for what the controller refuses.
pub fn error_code(error: &ControllerError) -> ErrorCode {
    match error {
        ControllerError::InvalidTopicName(_) | ControllerError::TopicCollision { .. } => ErrorCode::InvalidTopicException,
        ControllerError::TopicExists { .. } => ErrorCode::TopicAlreadyExists,
        ControllerError::ReservedTopic { .. } => ErrorCode::TopicAuthorizationFailed,
        ControllerError::UnknownTopic { .. } | ControllerError::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
        ControllerError::UnknownTopicId { .. } => ErrorCode::UnknownTopicId,
        ControllerError::NamedTwice { .. } => ErrorCode::InvalidRequest,
        ControllerError::TopicDeletionDisabled => ErrorCode::TopicDeletionDisabled,
        ControllerError::InvalidPartitions { .. } | ControllerError::NoIncrease { .. } => ErrorCode::InvalidPartitions,
        ControllerError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
        ControllerError::InvalidReplicationFactor { .. }
        | ControllerError::ReplicationBeyondBrokers { .. }
        | ControllerError::AllBrokersFenced { .. } => ErrorCode::InvalidReplicationFactor,
        ControllerError::InvalidAssignment { .. } | ControllerError::AssignmentGap { .. } | ControllerError::AssignmentCount { .. } => {
            ErrorCode::InvalidReplicaAssignment
        }
        ControllerError::Config(error) => config_error_code(error),
        ControllerError::UnknownBroker { .. } => ErrorCode::BrokerIdNotRegistered,
        ControllerError::StaleBrokerEpoch { .. } => ErrorCode::StaleBrokerEpoch,
        ControllerError::OtherCluster { .. } => ErrorCode::InconsistentClusterId,
        ControllerError::UnsupportedFeature { .. } => ErrorCode::UnsupportedVersion,
        ControllerError::UnknownReplica { .. } => ErrorCode::ReplicaNotAvailable,
        ControllerError::AlreadyFormatted { .. } => ErrorCode::InvalidRequest,
        ControllerError::ProducerIdsExhausted | ControllerError::Internal(_) => ErrorCode::UnknownServerError,
        ControllerError::NotController => ErrorCode::NotController,
        ControllerError::NoRoom { .. } => ErrorCode::KafkaStorageError,
        // Whether it took effect is not known: a client asks again, as it does when a connection breaks.
        ControllerError::Stopped { .. } => ErrorCode::BrokerNotAvailable,
    }
}

/// Kafka's code for a config that is refused.
pub fn config_error_code(error: &ConfigError) -> ErrorCode {
    match error {
        ConfigError::Duplicate { .. }
        | ConfigError::NullValue { .. }
        | ConfigError::ReadOnly { .. }
        | ConfigError::PerBrokerOnly { .. } => ErrorCode::InvalidRequest,
        ConfigError::MalformedEscape { .. }
        | ConfigError::IllTyped { .. }
        | ConfigError::NotAllowed { .. }
        | ConfigError::Missing { .. }
        | ConfigError::Unknown { .. }
        | ConfigError::Unsupported { .. }
        | ConfigError::Listener(_)
        | ConfigError::Voters { .. }
        | ConfigError::Conflict { .. }
        | ConfigError::NotAList { .. } => ErrorCode::InvalidConfig,
    }
}
