//! The bound on memory held by requests that have arrived in part (P5).
//!
//! A frame that is read whole is handled at once from a buffer that all connections of a thread share, and costs
//! nothing here. Only a connection whose frame is larger than what has arrived keeps a buffer of its own while it
//! waits; those buffers are paid for from this budget as they grow, never by the length that the frame claims.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit stands for.
const UNIT_BYTES: usize = 1024;

/// Memory that may be held by partly received requests, over all connections.
#[derive(Clone, Debug)]
pub struct RequestMemory {
    permits: Arc<Semaphore>,
    total_units: u32,
}

/// What one connection holds of the budget.
#[derive(Debug, Default)]
pub struct Held(Option<OwnedSemaphorePermit>);

impl RequestMemory {
    /// A budget of `bytes`, rounded up to whole KiB.
    pub fn new(bytes: usize) -> RequestMemory {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, (u32::MAX >> 4) as usize);
        RequestMemory { permits: Arc::new(Semaphore::new(units)), total_units: units as u32 }
    }

    /// What is held of it now.
    pub fn held_bytes(&self) -> usize {
        (self.total_units as usize - self.permits.available_permits().min(self.total_units as usize)) * UNIT_BYTES
    }

    fn units(&self, bytes: usize) -> u32 {
        (bytes.div_ceil(UNIT_BYTES).min(u32::MAX as usize) as u32).min(self.total_units)
    }

    /// Takes what is missing to hold `bytes`; false when the budget does not have it now.
    pub fn try_hold(&self, held: &mut Held, bytes: usize) -> bool {
        let Some(missing) = self.missing(held, bytes) else { return true };
        match self.permits.clone().try_acquire_many_owned(missing) {
            Ok(more) => {
                held.add(more);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes what is missing to hold `bytes`, waiting for its turn.
    pub async fn hold(&self, held: &mut Held, bytes: usize) {
        let Some(missing) = self.missing(held, bytes) else { return };
        // The semaphore is never closed; were it, an unpaid buffer is the lesser evil than a lost connection.
        if let Ok(more) = self.permits.clone().acquire_many_owned(missing).await {
            held.add(more);
        }
    }

    fn missing(&self, held: &Held, bytes: usize) -> Option<u32> {
        let have = held.0.as_ref().map_or(0, |p| p.num_permits() as u32);
        self.units(bytes).checked_sub(have).filter(|missing| *missing > 0)
    }
}

impl Held {
    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(have) => have.merge(more),
            None => self.0 = Some(more),
        }
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_pays_only_for_what_it_grows_by_and_gives_all_back() {
        let memory = RequestMemory::new(10 * UNIT_BYTES);
        let (mut a, mut b) = (Held::default(), Held::default());
        assert!(memory.try_hold(&mut a, 4 * UNIT_BYTES));
        assert!(memory.try_hold(&mut a, 8 * UNIT_BYTES));
        assert!(!memory.try_hold(&mut b, 3 * UNIT_BYTES));
        assert!(memory.try_hold(&mut b, 2 * UNIT_BYTES));
        a.release();
        memory.hold(&mut b, 10 * UNIT_BYTES).await;
        assert_eq!(memory.permits.available_permits(), 0);
    }

    #[test]
    fn a_frame_beyond_the_whole_budget_may_take_all_of_it() {
        let memory = RequestMemory::new(10 * UNIT_BYTES);
        assert!(memory.try_hold(&mut Held::default(), 1 << 40));
    }
}
