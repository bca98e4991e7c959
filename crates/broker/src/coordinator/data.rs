//! What the records of all internal topics have in common: their keys and values are Kafka's data structures, each behind its version. Knows
//! nothing of what they say.

use ottla_model::InvalidTopicName;
use ottla_wire::{Data, DecodeError, EncodeError, Reader, Writer};

/// A key, and a value or nothing.
pub(super) type Encoded = (Vec<u8>, Option<Vec<u8>>);

/// Why a record is not understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    /// Its bytes are not what its kind says.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It names what no topic can be called.
    #[error(transparent)]
    TopicName(#[from] InvalidTopicName),
    /// It lacks a key, by which its kind is known.
    #[error("it has no key")]
    NoKey,
    /// It has a state that is never written.
    #[error("{id} is no state that it may have")]
    State {
        /// What stands there.
        id: i8,
    },
}

/// A structure behind its version.
pub(super) fn bytes_of<'a>(data: &impl Data<'a>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    data.encode(&mut writer, version)?;
    Ok(writer.into_parts().buf)
}

/// The structure in these bytes, in whichever version it was written.
pub(super) fn read<'a, T: Data<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    T::decode(&mut Reader::new(bytes)).map(|(_, data)| data)
}

/// The same of a value, which a record may lack.
pub(super) fn read_if_there<'a, T: Data<'a>>(bytes: Option<&'a [u8]>) -> Result<Option<T>, DecodeError> {
    bytes.map(read).transpose()
}
