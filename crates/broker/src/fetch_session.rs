//! Fetch sessions (KIP-227): a consumer names its partitions once; later fetches name only what changed, and answers hold only
//! partitions with news.
//!
//! Owns which partitions a session asks for, in which order, and what its client was last told of each. Never reads a log.
//!
//! Bounds: sessions by `max.incremental.fetch.session.cache.slots`, partitions over all sessions by [`SESSION_PARTITIONS_MAX`]. A
//! client that gets no session (or lost it to another) fetches in full, which the protocol allows at any time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ottla_model::{LeaderEpoch, Offset, PartitionId, TimestampMs, TopicId};
use ottla_wire::ErrorCode;
use parking_lot::Mutex;

/// Partitions that all sessions together may remember (some 150 bytes each).
pub const SESSION_PARTITIONS_MAX: usize = 500_000;

/// A session that was used within this time is not evicted for a larger one (Kafka's `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_AGE_MS: i64 = 120_000;

/// `session_id` of a request or answer without a session.
pub const NO_SESSION: i32 = 0;
/// `session_epoch` that asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// `session_epoch` that asks for a plain fetch, and closes the session named, if any.
const FINAL_EPOCH: i32 = -1;

/// How a request names a topic: by name up to Fetch 12, by id from 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicKey {
    /// As the client spelled it; it may be no topic's name.
    Name(Arc<str>),
    /// Topic ids (KIP-516).
    Id(TopicId),
}

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchParams {
    /// The first offset wanted.
    pub fetch_offset: Offset,
    /// `partition_max_bytes`.
    pub bytes_max: i32,
    /// The leader epoch that the client believes in; negative: unknown.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record the client has; negative: unknown (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// The follower's log start offset; -1 from consumers.
    pub log_start_offset: Offset,
}

/// A partition and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The topic.
    pub topic: TopicKey,
    /// The partition.
    pub partition: PartitionId,
    /// From where, how much.
    pub params: FetchParams,
}

/// What an answer would tell the client of one partition: decides whether an incremental answer holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `high_watermark` of the answer.
    pub high_watermark: Offset,
    /// `log_start_offset` of the answer.
    pub log_start_offset: Offset,
    /// There are records.
    pub has_records: bool,
    /// It must be told in any case: an error, a diverging epoch, a preferred read replica.
    pub must_tell: bool,
    /// An error; the partition is told again once that is gone.
    pub failed: bool,
}

/// Why a request's session cannot be used. The client then starts a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Closed, evicted, or of another run of this broker.
    #[error("no fetch session {id}")]
    NotFound {
        /// The session named.
        id: i32,
    },
    /// A request was lost or repeated.
    #[error("fetch session {id} expects epoch {expected}, the request has {found}")]
    WrongEpoch {
        /// The session named.
        id: i32,
        /// What comes next in it.
        expected: i32,
        /// What came.
        found: i32,
    },
    /// The client was up- or downgraded between Fetch 12 and 13.
    #[error("fetch session {id} was begun with topic ids={began_with_ids}")]
    TopicIdsChanged {
        /// The session named.
        id: i32,
        /// Whether its first request named topics by id.
        began_with_ids: bool,
    },
}

impl SessionError {
    /// The Kafka error of the whole answer.
    pub fn error_code(self) -> ErrorCode {
        match self {
            SessionError::NotFound { .. } => ErrorCode::FetchSessionIdNotFound,
            SessionError::WrongEpoch { .. } => ErrorCode::InvalidFetchSessionEpoch,
            SessionError::TopicIdsChanged { .. } => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

/// The session part of a Fetch request.
#[derive(Clone, Copy, Debug)]
pub struct SessionRequest {
    /// `session_id`.
    pub id: i32,
    /// `session_epoch`.
    pub epoch: i32,
    /// The request names topics by id (version 13 on).
    pub uses_topic_ids: bool,
    /// It comes from a follower: its session is not evicted for a consumer's.
    pub is_follower: bool,
}

/// All sessions of this broker.
#[derive(Debug)]
pub struct FetchSessions {
    slots_max: usize,
    partitions_max: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug)]
struct Cache {
    sessions: HashMap<i32, Entry>,
    partitions: usize,
    random: u64,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    created: TimestampMs,
    last_used: TimestampMs,
    size: usize,
}

#[derive(Debug)]
struct Session {
    id: i32,
    uses_topic_ids: bool,
    is_follower: bool,
    state: Mutex<SessionState>,
}

#[derive(Debug)]
struct SessionState {
    /// The epoch that the next request must have.
    epoch: i32,
    /// Partitions by their turn: one that yielded records goes to the end, so that none starves (KIP-74).
    by_turn: BTreeMap<u64, Remembered>,
    turns: HashMap<(TopicKey, PartitionId), u64>,
    next_turn: u64,
}

#[derive(Debug)]
struct Remembered {
    wanted: Wanted,
    told_high_watermark: Offset,
    told_log_start_offset: Offset,
}

const NEVER_TOLD: Offset = Offset(-1);

/// One request within, or without, a session. `wanted` is what to read, in order.
#[derive(Debug)]
pub struct FetchContext {
    kind: Kind,
    /// What to read, in this order.
    pub wanted: Vec<Wanted>,
}

#[derive(Debug)]
enum Kind {
    Sessionless,
    Full { uses_topic_ids: bool, is_follower: bool },
    Incremental { session: Arc<Session>, epoch_after: i32 },
}

const fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MIN..=-1 => FINAL_EPOCH,
        i32::MAX => 1,
        _ => epoch + 1,
    }
}

impl FetchSessions {
    /// At most `slots_max` sessions (`max.incremental.fetch.session.cache.slots`; 0 switches them off). `seed` draws their ids.
    pub fn new(slots_max: usize, seed: u64) -> FetchSessions {
        FetchSessions::with_partitions_max(slots_max, SESSION_PARTITIONS_MAX, seed)
    }

    fn with_partitions_max(slots_max: usize, partitions_max: usize, seed: u64) -> FetchSessions {
        let cache = Cache { sessions: HashMap::new(), partitions: 0, random: seed };
        FetchSessions { slots_max, partitions_max, cache: Mutex::new(cache) }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.cache.lock().sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds out what a request wants, `wanted` and `forgotten` being what it says itself.
    pub fn begin(
        &self,
        request: SessionRequest,
        wanted: Vec<Wanted>,
        forgotten: impl Iterator<Item = (TopicKey, PartitionId)>,
        now: TimestampMs,
    ) -> Result<FetchContext, SessionError> {
        let SessionRequest { id, epoch, uses_topic_ids, is_follower } = request;
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            if id != NO_SESSION {
                self.cache.lock().remove(id);
            }
            let full = epoch == INITIAL_EPOCH && self.slots_max > 0;
            let kind = if full { Kind::Full { uses_topic_ids, is_follower } } else { Kind::Sessionless };
            return Ok(FetchContext { kind, wanted });
        }
        let session = self.cache.lock().sessions.get(&id).map(|e| Arc::clone(&e.session)).ok_or(SessionError::NotFound { id })?;
        let mut state = session.state.lock();
        if state.epoch != epoch {
            return Err(SessionError::WrongEpoch { id, expected: state.epoch, found: epoch });
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(SessionError::TopicIdsChanged { id, began_with_ids: session.uses_topic_ids });
        }
        for one in wanted {
            state.want(one);
        }
        for (topic, partition) in forgotten {
            state.forget(&(topic, partition));
        }
        let size = state.by_turn.len();
        if size == 0 {
            // As in Kafka: a session without partitions is closed, and the request answered as a plain fetch of nothing.
            drop(state);
            self.cache.lock().remove(id);
            return Ok(FetchContext { kind: Kind::Sessionless, wanted: Vec::new() });
        }
        state.epoch = next_epoch(state.epoch);
        let epoch_after = state.epoch;
        let wanted = state.by_turn.values().map(|r| r.wanted.clone()).collect();
        drop(state);
        // A session that was evicted meanwhile is used to the end of this request, and not found by the next. One that outgrew the
        // bound over all sessions is dropped likewise: the client then fetches in full.
        self.cache.lock().touch(id, size, now, self.partitions_max);
        Ok(FetchContext { kind: Kind::Incremental { session, epoch_after }, wanted })
    }

    /// Ends a request: drops from `results` (which stand in the order of `context.wanted`) what the client knows already, and gives
    /// the session id of the answer.
    pub fn finish<T>(
        &self,
        context: FetchContext,
        results: &mut Vec<T>,
        seen: impl Fn(&T) -> Seen,
        now: TimestampMs,
    ) -> Result<i32, SessionError> {
        debug_assert_eq!(context.wanted.len(), results.len());
        match context.kind {
            Kind::Sessionless => Ok(NO_SESSION),
            Kind::Full { uses_topic_ids, is_follower } => {
                let told = results.iter().map(seen);
                Ok(self.create(context.wanted, told, uses_topic_ids, is_follower, now))
            }
            Kind::Incremental { session, epoch_after } => {
                let mut state = session.state.lock();
                if state.epoch != epoch_after {
                    // Another request of the same session was begun while this one waited.
                    return Err(SessionError::WrongEpoch { id: session.id, expected: state.epoch, found: epoch_after });
                }
                let mut wanted = context.wanted.into_iter();
                results.retain(|result| wanted.next().is_none_or(|w| state.tell(w, seen(result))));
                Ok(session.id)
            }
        }
    }

    fn create(
        &self,
        wanted: Vec<Wanted>,
        told: impl Iterator<Item = Seen>,
        uses_topic_ids: bool,
        is_follower: bool,
        now: TimestampMs,
    ) -> i32 {
        let mut cache = self.cache.lock();
        let size = wanted.len();
        if size == 0 || cache.partitions.saturating_add(size) > self.partitions_max {
            return NO_SESSION;
        }
        if cache.sessions.len() >= self.slots_max && !cache.evict_for(is_follower, size, now) {
            return NO_SESSION;
        }
        let id = cache.draw_id();
        let mut state = SessionState { epoch: next_epoch(INITIAL_EPOCH), by_turn: BTreeMap::new(), turns: HashMap::new(), next_turn: 0 };
        for (one, seen) in wanted.into_iter().zip(told) {
            state.want(one.clone());
            state.tell(one, seen);
        }
        let size = state.by_turn.len();
        let session = Arc::new(Session { id, uses_topic_ids, is_follower, state: Mutex::new(state) });
        cache.partitions += size;
        cache.sessions.insert(id, Entry { session, created: now, last_used: now, size });
        id
    }
}

impl Cache {
    fn remove(&mut self, id: i32) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.partitions -= entry.size;
        }
    }

    fn touch(&mut self, id: i32, size: usize, now: TimestampMs, partitions_max: usize) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        self.partitions = self.partitions - entry.size + size;
        entry.size = size;
        entry.last_used = now;
        if self.partitions > partitions_max {
            self.remove(id);
        }
    }

    /// Makes room for a session as Kafka does: the longest unused one if that is stale; else the smallest of those that a session of
    /// this kind may push out, if it is smaller.
    fn evict_for(&mut self, is_follower: bool, size: usize, now: TimestampMs) -> bool {
        let stale = self.sessions.values().min_by_key(|e| (e.last_used, e.session.id));
        let stale = stale.filter(|e| now.0 - e.last_used.0 > EVICTION_AGE_MS);
        let victim = stale.or_else(|| {
            let may_go = |e: &&Entry| e.last_used.0 - e.created.0 > EVICTION_AGE_MS || (is_follower && !e.session.is_follower);
            let smallest = self.sessions.values().filter(may_go).min_by_key(|e| (e.session.is_follower, e.size, e.session.id));
            smallest.filter(|e| (e.session.is_follower, e.size) < (is_follower, size))
        });
        match victim.map(|e| e.session.id) {
            Some(id) => {
                self.remove(id);
                true
            }
            None => false,
        }
    }

    /// A positive id that no session has. SplitMix64: ids need to differ between runs, not to be secret.
    fn draw_id(&mut self) -> i32 {
        loop {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.random;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = ((z ^ (z >> 31)) & 0x7fff_ffff) as i32;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

impl SessionState {
    /// Adds a partition at the end, or changes what is wanted of a known one, which keeps its turn.
    fn want(&mut self, wanted: Wanted) {
        let key = (wanted.topic.clone(), wanted.partition);
        match self.turns.get(&key).and_then(|turn| self.by_turn.get_mut(turn)) {
            Some(known) => known.wanted.params = wanted.params,
            None => {
                let remembered = Remembered { wanted, told_high_watermark: NEVER_TOLD, told_log_start_offset: NEVER_TOLD };
                self.put_last(key, remembered);
            }
        }
    }

    fn forget(&mut self, key: &(TopicKey, PartitionId)) {
        if let Some(turn) = self.turns.remove(key) {
            self.by_turn.remove(&turn);
        }
    }

    fn put_last(&mut self, key: (TopicKey, PartitionId), remembered: Remembered) {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.by_turn.insert(turn, remembered);
        self.turns.insert(key, turn);
    }

    /// Notes what the client is told; false when it is not to be told, since it knows.
    fn tell(&mut self, wanted: Wanted, seen: Seen) -> bool {
        let key = (wanted.topic, wanted.partition);
        let Some(known) = self.turns.get(&key).and_then(|turn| self.by_turn.get_mut(turn)) else { return true };
        let news = seen.has_records
            || seen.must_tell
            || seen.failed
            || known.told_high_watermark != seen.high_watermark
            || known.told_log_start_offset != seen.log_start_offset;
        known.told_high_watermark = if seen.failed { NEVER_TOLD } else { seen.high_watermark };
        known.told_log_start_offset = seen.log_start_offset;
        if seen.has_records
            && self.by_turn.len() > 1
            && let Some(remembered) = self.turns.remove(&key).and_then(|turn| self.by_turn.remove(&turn))
        {
            self.put_last(key, remembered);
        }
        news
    }
}

#[cfg(test)]
#[path = "fetch_session_tests.rs"]
mod tests;
