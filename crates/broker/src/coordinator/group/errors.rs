//! Kafka's code for each refusal of a group.

use ottla_cluster::group::GroupError;
use ottla_wire::ErrorCode;

/// What a client is told.
pub const fn group_error_code(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
        GroupError::UnknownMember { .. } | GroupError::UnknownInstance { .. } => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration { .. } | GroupError::IllegalGenerationOfPartition { .. } => ErrorCode::IllegalGeneration,
        GroupError::FencedInstance { .. } => ErrorCode::FencedInstanceId,
        GroupError::UnreleasedInstance { .. } => ErrorCode::UnreleasedInstanceId,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::MemberIdRequired { .. } => ErrorCode::MemberIdRequired,
        GroupError::GroupFull { .. } => ErrorCode::GroupMaxSizeReached,
        GroupError::GroupNotFound { .. } | GroupError::OtherProtocol { .. } | GroupError::CannotUpgrade { .. } => {
            ErrorCode::GroupIdNotFound
        }
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::SubscribedToTopic { .. } => ErrorCode::GroupSubscribedToTopic,
        GroupError::OffsetMetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
        GroupError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
        GroupError::UnstableOffset { .. } => ErrorCode::UnstableOffsetCommit,
        GroupError::StaleMemberEpoch { .. } | GroupError::StaleEpochOfPartition { .. } => ErrorCode::StaleMemberEpoch,
        GroupError::FencedMemberEpoch { .. } => ErrorCode::FencedMemberEpoch,
        GroupError::UnsupportedAssignor { .. } => ErrorCode::UnsupportedAssignor,
        GroupError::InvalidRegularExpression { .. } => ErrorCode::InvalidRegularExpression,
        GroupError::InvalidRequest { .. } => ErrorCode::InvalidRequest,
        GroupError::OldOffsetCommit => ErrorCode::UnsupportedVersion,
        GroupError::FencedProducer { .. } => ErrorCode::InvalidProducerEpoch,
        GroupError::TooLarge { .. } => ErrorCode::UnknownServerError,
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
    }
}
