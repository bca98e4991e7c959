//! Makes of inputs that mean something others that nearly do. Everything follows from a seed.

/// Bytes that an input is cut down to.
pub const INPUT_BYTES_MAX: usize = 16 << 10;
/// Changes that are made to one input at most.
const CHANGES_MAX: usize = 6;

/// Random numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % (end as u64).max(1)) as usize
    }

    /// One of some things.
    pub fn one_of<'t, T>(&mut self, things: &'t [T]) -> Option<&'t T> {
        things.get(self.below(things.len()))
    }
}

/// What lengths, counts and offsets are replaced by, in all the forms in which they stand on a wire.
const EXTREMES: &[&[u8]] = &[
    &[0],
    &[1],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff, 0xff],
    &[0x7f, 0xff],
    &[0x80, 0],
    &[0, 0, 0, 0],
    &[0, 0, 0, 1],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0, 0x01, 0, 0],
    &[0, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0, 0, 0, 0, 0],
    // Varints: 4 GiB less one, -(2 GiB) in zigzag, one that is too long.
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xfe, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x04],
];

/// One of `inputs`, changed in one to some places; `words` are what the input's language is made of.
pub fn mutated(inputs: &[Vec<u8>], words: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.one_of(inputs).cloned().unwrap_or_default();
    for _ in 0..=random.below(CHANGES_MAX) {
        change(&mut bytes, inputs, words, random);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, inputs: &[Vec<u8>], words: &[&[u8]], random: &mut Random) {
    let len = bytes.len();
    let at = random.below(len);
    match random.below(if words.is_empty() { 10 } else { 12 }) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next_u64() as u8;
            }
        }
        3 | 4 => {
            if let Some(extreme) = random.one_of(EXTREMES) {
                overwrite(bytes, at, extreme);
            }
        }
        5 => bytes.truncate(at),
        6 => {
            let end = (at + 1 + random.below(16)).min(len);
            bytes.drain(at.min(end)..end);
        }
        7 => {
            let piece = piece_of(bytes, random);
            insert(bytes, at, &piece);
        }
        8 => {
            let other = random.one_of(inputs).cloned().unwrap_or_default();
            let piece = piece_of(&other, random);
            if random.below(2) == 0 { overwrite(bytes, at, &piece) } else { insert(bytes, at, &piece) }
        }
        // A number grows or shrinks by little: off by one is what checks get wrong.
        9 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = byte.wrapping_add([1, 2, 255, 254][random.below(4)]);
            }
        }
        _ => {
            if let Some(word) = random.one_of(words) {
                if random.below(2) == 0 { overwrite(bytes, at, word) } else { insert(bytes, at, word) }
            }
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, by: &[u8]) {
    bytes.iter_mut().skip(at).zip(by).for_each(|(to, from)| *to = *from);
}

fn insert(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    bytes.splice(at..at, what.iter().copied());
}

fn piece_of(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let from = random.below(bytes.len());
    let longest = (bytes.len() - from).min(256);
    bytes[from..from + random.below(longest + 1)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let inputs = [b"one input".to_vec(), b"another input".to_vec()];
        let of = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| mutated(&inputs, &[b"word"], &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn nothing_at_all_can_be_mutated_too() {
        let mut random = Random::new(1);
        for _ in 0..200 {
            mutated(&[], &[], &mut random);
            mutated(&[Vec::new()], &[b"w"], &mut random);
        }
    }
}
