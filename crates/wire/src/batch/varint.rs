//! Zigzag variable-length integers, as inside records: 7 bits a byte, least significant first.
//!
//! The unsigned ones of flexible messages are the codec's and not these.

/// Reads a zigzag varint of at most 5 bytes; gives it and what follows. `None`: cut short, or longer than 5 bytes.
///
/// Bits beyond the 32nd are dropped, as Java does.
#[inline]
pub fn read_varint(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (raw, rest) = read_raw(bytes, 5)?;
    let raw = raw as u32;
    Some(((raw >> 1) as i32 ^ -((raw & 1) as i32), rest))
}

/// Reads a zigzag varlong of at most 10 bytes; gives it and what follows. `None`: cut short, or longer than 10 bytes.
#[inline]
pub fn read_varlong(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (raw, rest) = read_raw(bytes, 10)?;
    Some(((raw >> 1) as i64 ^ -((raw & 1) as i64), rest))
}

#[inline]
fn read_raw(bytes: &[u8], len_max: u32) -> Option<(u64, &[u8])> {
    // Deltas and lengths mostly take one byte or two: without the loop, a walk over records takes half the time.
    match bytes {
        [first, rest @ ..] if *first < 0x80 => Some((u64::from(*first), rest)),
        [first, second, rest @ ..] if *second < 0x80 => Some((u64::from(*first & 0x7f) | u64::from(*second) << 7, rest)),
        _ => read_long(bytes, len_max),
    }
}

#[cold]
fn read_long(bytes: &[u8], len_max: u32) -> Option<(u64, &[u8])> {
    let mut value = 0;
    let mut rest = bytes;
    for i in 0..len_max {
        let (byte, after) = rest.split_first()?;
        rest = after;
        value |= u64::from(*byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Some((value, rest));
        }
    }
    None
}

/// Appends a zigzag varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_raw(out, u64::from(zigzag32(value)));
}

/// Appends a zigzag varlong.
#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_raw(out, zigzag64(value));
}

#[inline]
fn put_raw(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put_varint`] appends.
#[inline]
pub fn varint_len(value: i32) -> usize {
    raw_len(u64::from(zigzag32(value)))
}

/// How many bytes [`put_varlong`] appends.
#[inline]
pub fn varlong_len(value: i64) -> usize {
    raw_len(zigzag64(value))
}

#[inline]
fn raw_len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

#[inline]
fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

#[inline]
fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(v: i32) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, v);
            prop_assert_eq!(bytes.len(), varint_len(v));
            bytes.push(7);
            prop_assert_eq!(read_varint(&bytes), Some((v, &[7][..])));
        }

        #[test]
        fn varlongs_come_back(v: i64) {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, v);
            prop_assert_eq!(bytes.len(), varlong_len(v));
            prop_assert_eq!(read_varlong(&bytes), Some((v, &[][..])));
        }
    }

    #[test]
    fn extremes_are_written_as_by_java() {
        let written = |v| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, v);
            bytes
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(-1), [1]);
        assert_eq!(written(63), [0x7e]);
        assert_eq!(written(-65), [0x81, 0x01]);
        assert_eq!(written(i32::MAX), [0xfe, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(written(i32::MIN), [0xff, 0xff, 0xff, 0xff, 0x0f]);
        let mut long = Vec::new();
        put_varlong(&mut long, i64::MIN);
        assert_eq!(long, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    #[test]
    fn cut_short_or_endless_is_none() {
        assert_eq!(read_varint(&[]), None);
        assert_eq!(read_varint(&[0x80]), None);
        assert_eq!(read_varint(&[0x80; 6]), None);
        assert_eq!(read_varlong(&[0xff; 11]), None);
    }
}
