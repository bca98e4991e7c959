//! Every choice of a simulation, drawn from its seed. Nothing else in this crate is random.

use ottla_cluster::controller::Randomness;
use ottla_model::Uuid;

/// A stream of choices, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Random(Randomness);

impl Random {
    pub fn new(seed: u64) -> Random {
        let mut bytes = [0; 16];
        let (low, high) = bytes.split_at_mut(8);
        low.copy_from_slice(&(seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        high.copy_from_slice(&(seed ^ 0xdead_beef).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        Random(Randomness::new(bytes))
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// At least `from`, below `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.below((to - from) as usize) as u64
    }

    /// True so many times of a thousand.
    pub fn per_mille(&mut self, times: usize) -> bool {
        self.0.below(1000) < times
    }

    pub fn uuid(&mut self) -> Uuid {
        self.0.topic_id().0
    }
}
