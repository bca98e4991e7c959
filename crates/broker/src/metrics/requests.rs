//! Counts on the way of each request.
//!
//! Spread over shards of their own cache lines, one for each of the first threads that count: two threads that serve requests never
//! wait for each other's lines on a machine with fewer than [`SHARDS`] of them. Read together when somebody asks.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ottla_wire::{ApiKey, ErrorCode};

use super::{Count, Counted, Histogram, Metrics};
use crate::api::{API_COUNT, api_index};

/// Threads that count apart from each other; further ones share.
pub const SHARDS: usize = 16;
/// Error codes are counted by their number plus one, as the lowest is -1; what is beyond counts as that.
const CODES: usize = 160;

/// Requests by API, and what Produce and Fetch moved.
#[derive(Debug)]
pub struct RequestCounts {
    shards: Box<[Shard]>,
    /// By API and code. Made for an API at its first error: most have none.
    errors: [OnceLock<Box<[Count]>>; API_COUNT],
}

/// Aligned to two cache lines, as processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    apis: [OfApi; API_COUNT],
    parked: Count,
    unparked: Count,
    appended: [Count; 3],
    fetched_bytes: Count,
}

#[derive(Debug, Default)]
struct OfApi {
    latency: Histogram,
    bytes_in: Count,
    bytes_out: Count,
}

/// What was counted of one API.
#[derive(Clone, Debug, Default)]
pub struct ApiCounts {
    /// From the whole request to its answer, ready to be sent. Its count is that of the requests.
    pub latency: Counted,
    /// Bytes of the requests.
    pub bytes_in: u64,
    /// Bytes of the answers.
    pub bytes_out: u64,
}

/// What Produce has appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them, as they are stored.
    pub bytes: u64,
}

impl Default for RequestCounts {
    fn default() -> RequestCounts {
        RequestCounts { shards: (0..SHARDS).map(|_| Shard::default()).collect(), errors: [const { OnceLock::new() }; API_COUNT] }
    }
}

impl Default for Shard {
    fn default() -> Shard {
        Shard {
            apis: std::array::from_fn(|_| OfApi::default()),
            parked: Count::default(),
            unparked: Count::default(),
            appended: Default::default(),
            fetched_bytes: Count::default(),
        }
    }
}

fn shard_index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let own = OWN.get();
    if own != usize::MAX {
        return own;
    }
    let own = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    OWN.set(own);
    own
}

impl RequestCounts {
    #[inline]
    fn shard(&self) -> &Shard {
        &self.shards[shard_index()]
    }

    /// A request is done that was begun then.
    #[inline]
    pub fn answered(&self, api: ApiKey, began: Instant, bytes_in: usize, bytes_out: usize) {
        if let Some(of_api) = self.shard().apis.get(api_index(api)) {
            of_api.latency.observe(began.elapsed());
            of_api.bytes_in.add(bytes_in as u64);
            of_api.bytes_out.add(bytes_out as u64);
        }
    }

    /// An answer says so.
    #[cold]
    pub fn error(&self, api: ApiKey, code: i16) {
        let place = usize::try_from(i32::from(code) + 1).ok().filter(|place| *place < CODES).unwrap_or(0);
        if let Some(codes) = self.errors.get(api_index(api)) {
            codes.get_or_init(|| (0..CODES).map(|_| Count::default()).collect())[place].add_one();
        }
    }

    /// Produce has appended this, all in all.
    #[inline]
    pub fn appended(&self, Appended { batches, records, bytes }: Appended) {
        let counts = &self.shard().appended;
        counts[0].add(batches);
        counts[1].add(records);
        counts[2].add(bytes);
    }

    /// Fetch has given this, all in all.
    #[inline]
    pub fn fetched(&self, bytes: usize) {
        self.shard().fetched_bytes.add(bytes as u64);
    }

    /// What one API has done.
    pub fn of(&self, api: ApiKey) -> ApiCounts {
        let mut all = ApiCounts::default();
        for of_api in self.shards.iter().filter_map(|shard| shard.apis.get(api_index(api))) {
            of_api.latency.add_to(&mut all.latency);
            all.bytes_in += of_api.bytes_in.get();
            all.bytes_out += of_api.bytes_out.get();
        }
        all
    }

    /// The errors that one API has answered with, and how often.
    pub fn errors_of(&self, api: ApiKey) -> Vec<(ErrorCode, u64)> {
        let codes = self.errors.get(api_index(api)).and_then(OnceLock::get);
        let named = |place: usize| i16::try_from(place).ok().and_then(|place| ErrorCode::from_i16(place - 1));
        let counted = codes.into_iter().flatten().enumerate().map(|(place, count)| (place, count.get())).filter(|(_, count)| *count > 0);
        counted.map(|(place, count)| (named(place).unwrap_or(ErrorCode::UnknownServerError), count)).collect()
    }

    /// Requests that wait for something before they are answered.
    pub fn parked(&self) -> u64 {
        // Ends first: one that ends in between is then still counted as waiting, and never as less than none.
        let ended = self.sum(|shard| shard.unparked.get());
        self.sum(|shard| shard.parked.get()).saturating_sub(ended)
    }

    /// What Produce has appended.
    pub fn all_appended(&self) -> Appended {
        let sum = |which: usize| self.sum(|shard| shard.appended[which].get());
        Appended { batches: sum(0), records: sum(1), bytes: sum(2) }
    }

    /// Bytes of record batches that Fetch has given.
    pub fn fetched_bytes(&self) -> u64 {
        self.sum(|shard| shard.fetched_bytes.get())
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(of).sum()
    }
}

/// A request that waits before it is answered. Dropped, it counts as given up.
#[derive(Debug)]
pub struct OpenRequest {
    metrics: Arc<Metrics>,
    api: ApiKey,
    began: Instant,
    bytes_in: usize,
}

impl OpenRequest {
    /// From now on it waits.
    pub fn park(metrics: &Arc<Metrics>, api: ApiKey, began: Instant, bytes_in: usize) -> OpenRequest {
        metrics.requests.shard().parked.add_one();
        OpenRequest { metrics: Arc::clone(metrics), api, began, bytes_in }
    }

    /// Its answer is there.
    pub fn answered(self, bytes_out: usize) {
        self.metrics.requests.answered(self.api, self.began, self.bytes_in, bytes_out);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.metrics.requests.shard().unparked.add_one();
    }
}
