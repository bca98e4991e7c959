//! The first records of a cluster: its id, and the levels its features are finalized at.

use super::ControllerError;
use super::command::Format;
use super::draft::Draft;
use crate::features::SUPPORTED;
use crate::metadata::MetadataRecord;

pub(super) fn format(draft: &mut Draft<'_>, command: &Format) -> Result<(), ControllerError> {
    let cluster_id = draft.image.cluster_id();
    if !cluster_id.0.is_empty() {
        return Err(ControllerError::AlreadyFormatted { cluster_id: cluster_id.clone() });
    }
    draft.emit(MetadataRecord::Cluster { id: command.cluster_id.clone() })?;
    for feature in SUPPORTED {
        draft.emit(MetadataRecord::FeatureLevel { name: feature.name.to_owned(), level: feature.level_max })?;
    }
    Ok(())
}
