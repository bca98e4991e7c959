//! Which partition a record goes to: murmur2 of its key as the Java client has it, or sticky turns without a key.
//!
//! Pure: the random numbers are given.

/// Kafka's murmur2 (32 bits, seed 0x9747b28c). Every client must agree on it bit for bit, or one key lives in two partitions.
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut h = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    // Java falls through its switch: the last one to three bytes, little endian, then one multiplication.
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    (h ^ (h >> 15)) as i32
}

/// The partition of a key among `partitions`: `toPositive(murmur2(key)) % n`, as `BuiltInPartitioner.partitionForKey`.
///
/// `partitions` is at least 1.
pub fn partition_for_key(key: &[u8], partitions: usize) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)) as i32
}

/// Where records without a key go (KIP-480, KIP-794): one partition until `batch.size` bytes were produced to it, then
/// another. So batches fill, and over time each partition gets the same number of bytes whatever the record sizes.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    current: Option<i32>,
    produced_bytes: u64,
}

impl Sticky {
    /// The partition for the next record, among those that have a leader (or all, while none has).
    pub(crate) fn partition(&mut self, choices: Choices<'_>, random: impl FnOnce() -> u32) -> i32 {
        if let Some(current) = self.current.filter(|p| choices.contains(*p)) {
            return current;
        }
        self.produced_bytes = 0;
        let next = choices.nth(random() as usize % choices.len().max(1));
        self.current = Some(next);
        next
    }

    /// Counts what was appended to the current partition; at `batch_size_bytes` the next record goes elsewhere.
    pub(crate) fn produced(&mut self, bytes: u64, batch_size_bytes: u64) {
        self.produced_bytes += bytes;
        if self.produced_bytes >= batch_size_bytes {
            self.current = None;
        }
    }
}

/// Partitions a record without a key may go to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choices<'a> {
    /// All of a topic, `0..n`.
    All(usize),
    /// Some of them.
    Some(&'a [i32]),
}

impl Choices<'_> {
    fn len(self) -> usize {
        match self {
            Choices::All(n) => n,
            Choices::Some(list) => list.len(),
        }
    }
    fn nth(self, n: usize) -> i32 {
        match self {
            Choices::All(_) => n as i32,
            Choices::Some(list) => list.get(n).copied().unwrap_or(0),
        }
    }
    fn contains(self, partition: i32) -> bool {
        match self {
            Choices::All(n) => (partition as usize) < n,
            Choices::Some(list) => list.contains(&partition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_kafka() {
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    /// A line of the file: the key in hexadecimal, its hash, and `count:partition` as Java's partitioner has them.
    #[test]
    fn keys_land_in_the_partition_where_java_puts_them() {
        let golden = include_str!("../../../wire/tests/golden/partitions.txt");
        let mut checked = 0;
        for line in golden.lines() {
            let (hex, rest) = line.split_once(' ').unwrap();
            let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
            let key: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            let (hash, places) = rest.split_once(' ').unwrap();
            assert_eq!(murmur2(&key), hash.parse::<i32>().unwrap(), "{hex}");
            for place in places.split(' ') {
                let (count, partition) = place.split_once(':').unwrap();
                assert_eq!(partition_for_key(&key, count.parse().unwrap()), partition.parse::<i32>().unwrap(), "{hex} of {count}");
                checked += 1;
            }
        }
        assert!(checked > 1_000, "{checked}");
    }

    #[test]
    fn negative_hashes_lose_their_sign_bit_as_in_java() {
        // toPositive is `& 0x7fffffff`, not the absolute value: -973932308 becomes 1173551340.
        assert_eq!(partition_for_key(b"21", 1_000_000), 551_340);
        assert_eq!(partition_for_key(b"abc", 1), 0);
    }

    #[test]
    fn sticky_stays_until_a_batch_is_full_then_moves() {
        let mut sticky = Sticky::default();
        let mut draws = [2, 0].into_iter();
        let mut next = |sticky: &mut Sticky| sticky.partition(Choices::All(3), || draws.next().unwrap());
        assert_eq!(next(&mut sticky), 2);
        sticky.produced(60, 100);
        assert_eq!(next(&mut sticky), 2);
        sticky.produced(40, 100);
        assert_eq!(next(&mut sticky), 0);
    }

    #[test]
    fn sticky_leaves_a_partition_that_lost_its_leader() {
        let mut sticky = Sticky::default();
        assert_eq!(sticky.partition(Choices::All(3), || 1), 1);
        assert_eq!(sticky.partition(Choices::Some(&[0, 2]), || 1), 2);
    }

    #[test]
    fn sticky_spreads_bytes_evenly() {
        let mut sticky = Sticky::default();
        let mut produced = [0u64; 4];
        let mut seed = 7u32;
        for i in 0..100_000u64 {
            let size = 50 + (i * 37) % 400;
            let partition = sticky.partition(Choices::All(4), || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed >> 8
            });
            produced[partition as usize] += size;
            sticky.produced(size, 16_384);
        }
        let mean = produced.iter().sum::<u64>() / 4;
        for bytes in produced {
            assert!(bytes.abs_diff(mean) * 100 < mean * 15, "{produced:?}");
        }
    }
}
