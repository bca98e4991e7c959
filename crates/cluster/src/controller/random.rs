//! Numbers that follow from a seed.

use ottla_model::{TopicId, Uuid};

/// A stream of numbers, the same for the same seed (xoroshiro128++ of Blackman and Vigna). Not for secrets.
#[derive(Clone, Debug)]
pub struct Randomness {
    one: u64,
    other: u64,
}

impl Randomness {
    /// A stream from 16 bytes.
    pub fn new(seed: [u8; 16]) -> Randomness {
        let whole = u128::from_le_bytes(seed);
        // The generator stands still on all zeros.
        let whole = if whole == 0 { 1 } else { whole };
        Randomness { one: whole as u64, other: (whole >> 64) as u64 }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let (one, mut other) = (self.one, self.other);
        let result = one.wrapping_add(other).rotate_left(17).wrapping_add(one);
        other ^= one;
        self.one = one.rotate_left(49) ^ other ^ (other << 21);
        self.other = other.rotate_left(28);
        result
    }

    /// A number below `bound`, which must not be 0. The bias is below 2^-32 for any count of brokers.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A topic id that Kafka would give: none of those it keeps for itself, and not one that begins with `-`, which tools would
    /// take for an option (`Uuid.randomUuid`).
    pub fn topic_id(&mut self) -> TopicId {
        loop {
            let mut bytes = [0; 16];
            let (low, high) = bytes.split_at_mut(8);
            low.copy_from_slice(&self.next_u64().to_le_bytes());
            high.copy_from_slice(&self.next_u64().to_le_bytes());
            let id = Uuid::from_random_bytes(bytes);
            if !id.to_string().starts_with('-') {
                return TopicId(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_ids_again_and_another_seed_others() {
        let ids = |seed| {
            let mut random = Randomness::new([seed; 16]);
            (0..100).map(|_| random.topic_id()).collect::<Vec<_>>()
        };
        assert_eq!(ids(0), ids(0));
        assert_ne!(ids(0), ids(1));
        let mut distinct = ids(7);
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 100);
    }

    #[test]
    fn numbers_below_a_bound_are_below_it_and_all_occur() {
        let mut random = Randomness::new([3; 16]);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.below(5)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    }
}
