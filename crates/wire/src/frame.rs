//! Frames on a connection: four bytes of length, then that many bytes.
//!
//! Writing them is [`Writer::begin_frame`](crate::Writer::begin_frame) and
//! [`end_frame`](crate::Writer::end_frame).

/// Bytes of the length before each frame.
pub const FRAME_PREFIX_LEN: usize = 4;

/// A length that no frame can have. The connection has to be closed: where the next frame starts is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Negative.
    #[error("a frame announced the length {length}; is this a Kafka client?")]
    NegativeLength {
        /// The four bytes as a signed number.
        length: i32,
    },
    /// More than this connection takes (`socket.request.max.bytes`).
    #[error("a frame of {length} bytes is larger than the limit of {max}")]
    TooLarge {
        /// Announced length in bytes.
        length: usize,
        /// The limit in bytes.
        max: usize,
    },
}

/// The length of the frame that `bytes` begin with, prefix not counted. `None` while fewer than four bytes are there.
/// Never more than `max`, so that the caller may make room for it.
#[inline]
pub fn frame_len(bytes: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Some((prefix, _)) = bytes.split_first_chunk() else { return Ok(None) };
    let announced = i32::from_be_bytes(*prefix);
    let Ok(length) = usize::try_from(announced) else {
        return Err(FrameError::NegativeLength { length: announced });
    };
    if length > max {
        return Err(FrameError::TooLarge { length, max });
    }
    Ok(Some(length))
}

/// The content of a frame, and the bytes that follow it.
pub type FrameAndRest<'a> = (&'a [u8], &'a [u8]);

/// Splits the first whole frame off `bytes`. `None` while it is not all there.
#[inline]
pub fn split_frame(bytes: &[u8], max: usize) -> Result<Option<FrameAndRest<'_>>, FrameError> {
    let Some(length) = frame_len(bytes, max)? else { return Ok(None) };
    let Some((_, after_prefix)) = bytes.split_at_checked(FRAME_PREFIX_LEN) else { return Ok(None) };
    Ok(after_prefix.split_at_checked(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_split_off_only_when_it_is_all_there() {
        let bytes = [0, 0, 0, 2, 7, 8, 0, 0];
        for short in 0..6 {
            assert_eq!(split_frame(&bytes[..short], 100), Ok(None), "with {short} bytes");
        }
        assert_eq!(split_frame(&bytes, 100), Ok(Some((&[7, 8][..], &[0, 0][..]))));
        assert_eq!(split_frame(&[0, 0, 0, 0], 100), Ok(Some((&[][..], &[][..]))));
    }

    #[test]
    fn impossible_lengths_are_refused_before_the_frame_arrives() {
        assert_eq!(frame_len(&[0, 0, 0, 101], 100), Err(FrameError::TooLarge { length: 101, max: 100 }));
        assert_eq!(frame_len(&[0, 0, 0, 100], 100), Ok(Some(100)));
        assert_eq!(frame_len(&[255, 255, 255, 255], 100), Err(FrameError::NegativeLength { length: -1 }));
        // A browser that speaks HTTP to us: "GET " is a length of 1.2 GB.
        assert_eq!(frame_len(b"GET / HTTP/1.1", 100), Err(FrameError::TooLarge { length: 0x4745_5420, max: 100 }));
    }
}
