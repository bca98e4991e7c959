//! A record of a ledger: it says which one it is, and the rest of it follows from that, so that no part of it can change
//! unseen.

use crate::batch::Letters;

/// Bytes that a value has at least: the longest head there can be, and a letter.
pub const RECORD_BYTES_MIN: usize = 16 + 1 + 10 + 1 + 20 + 1 + 1;

/// Who wrote a record: one writer of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Writer {
    /// The run, which no other run has.
    pub(crate) run: u64,
    /// The partition; each has a writer of its own.
    pub(crate) partition: i32,
}

/// The value of a record: run, partition and number as text, then letters that follow from those.
pub(crate) fn value(writer: Writer, number: u64, bytes: usize) -> Vec<u8> {
    let mut value = format!("{:016x} {} {number} ", writer.run, writer.partition).into_bytes();
    let head = value.len();
    value.resize(bytes.max(head), 0);
    let seed = writer.run ^ u64::from(writer.partition as u32).rotate_left(32) ^ number;
    Letters::new(seed).fill(&mut value[head..]);
    value
}

/// Which record a value says it is; `None` where it is not one of a ledger.
pub(crate) fn parse(value: &[u8]) -> Option<(Writer, u64)> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    let run = words.next().filter(|word| word.len() == 16).and_then(|word| u64::from_str_radix(word, 16).ok())?;
    let partition = words.next()?.parse().ok()?;
    let number = words.next()?.parse().ok()?;
    words.next()?;
    Some((Writer { run, partition }, number))
}

/// Whether a value is, to the last byte, what it says it is.
pub(crate) fn is_intact(found: &[u8], writer: Writer, number: u64) -> bool {
    found == value(writer, number, found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: Writer = Writer { run: 0xabc, partition: 3 };

    #[test]
    fn a_value_says_which_it_is() {
        let written = value(WRITER, 42, 100);
        assert_eq!(written.len(), 100);
        assert_eq!(parse(&written), Some((WRITER, 42)));
        assert!(is_intact(&written, WRITER, 42));
    }

    #[test]
    fn no_byte_of_it_can_change_unseen() {
        let written = value(WRITER, 42, 100);
        for at in 0..written.len() {
            let mut changed = written.clone();
            changed[at] ^= 1;
            let seen =
                parse(&changed).is_none_or(|(writer, number)| (writer, number) != (WRITER, 42) || !is_intact(&changed, writer, number));
            assert!(seen, "byte {at}");
        }
    }

    #[test]
    fn the_longest_head_leaves_room_for_a_letter() {
        let longest = Writer { run: u64::MAX, partition: i32::MAX };
        let written = value(longest, u64::MAX, RECORD_BYTES_MIN);
        assert_eq!(written.len(), RECORD_BYTES_MIN);
        assert_eq!(parse(&written), Some((longest, u64::MAX)));
    }

    #[test]
    fn what_others_write_is_not_taken_for_a_record_of_a_ledger() {
        for other in [&b"ready"[..], b"", b"0000000000000abc 3", b"abc 3 42 x", b"0000000000000abc x 42 x", &[0xff; 40]] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
