//! Fetch sessions against a model: a client that follows KIP-227 always knows what a full fetch would have told it.

use super::*;

fn key(topic: &str) -> TopicKey {
    TopicKey::Name(topic.into())
}

fn want(topic: &str, partition: i32, offset: i64) -> Wanted {
    let params = FetchParams {
        fetch_offset: Offset(offset),
        bytes_max: 1 << 20,
        current_leader_epoch: LeaderEpoch::NONE,
        last_fetched_epoch: LeaderEpoch::NONE,
        log_start_offset: Offset(-1),
    };
    Wanted { topic: key(topic), partition: PartitionId(partition), params }
}

fn quiet(hw: i64) -> Seen {
    Seen { high_watermark: Offset(hw), log_start_offset: Offset(0), has_records: false, must_tell: false, failed: false }
}

fn request(id: i32, epoch: i32) -> SessionRequest {
    SessionRequest { id, epoch, uses_topic_ids: false, is_follower: false }
}

fn at(ms: i64) -> TimestampMs {
    TimestampMs(ms)
}

/// One whole request; gives the session id and the (topic, partition)s of the answer, in order.
fn run(
    sessions: &FetchSessions,
    req: SessionRequest,
    wanted: Vec<Wanted>,
    forget: Vec<(TopicKey, PartitionId)>,
    now: i64,
    seen: impl Fn(&Wanted) -> Seen,
) -> Result<(i32, Vec<Wanted>), SessionError> {
    let context = sessions.begin(req, wanted, forget.into_iter(), at(now))?;
    let mut results = context.wanted.clone();
    let id = sessions.finish(context, &mut results, seen, at(now))?;
    Ok((id, results))
}

fn open(sessions: &FetchSessions, wanted: Vec<Wanted>, now: i64) -> i32 {
    run(sessions, request(NO_SESSION, 0), wanted, vec![], now, |_| quiet(0)).unwrap().0
}

#[test]
fn first_fetch_answers_everything_and_later_ones_only_news() {
    let sessions = FetchSessions::new(10, 1);
    let (id, answered) = run(&sessions, request(0, 0), vec![want("a", 0, 0), want("a", 1, 0)], vec![], 0, |_| quiet(5)).unwrap();
    assert!(id > 0);
    assert_eq!(answered.len(), 2);
    let (_, answered) = run(&sessions, request(id, 1), vec![], vec![], 1, |_| quiet(5)).unwrap();
    assert!(answered.is_empty(), "nothing changed: {answered:?}");
    let (same, answered) = run(&sessions, request(id, 2), vec![], vec![], 2, |w| quiet(if w.partition.0 == 1 { 6 } else { 5 })).unwrap();
    assert_eq!((same, answered.iter().map(|w| w.partition.0).collect::<Vec<_>>()), (id, vec![1]));
}

#[test]
fn incremental_fetch_adds_changes_and_forgets_partitions() {
    let sessions = FetchSessions::new(10, 1);
    let id = open(&sessions, vec![want("a", 0, 0), want("a", 1, 0)], 0);
    let context =
        sessions.begin(request(id, 1), vec![want("a", 1, 7), want("b", 0, 3)], [(key("a"), PartitionId(0))].into_iter(), at(1)).unwrap();
    let seen: Vec<_> = context.wanted.iter().map(|w| (w.topic.clone(), w.partition.0, w.params.fetch_offset.0)).collect();
    assert_eq!(seen, [(key("a"), 1, 7), (key("b"), 0, 3)]);
}

#[test]
fn a_partition_that_yielded_records_goes_to_the_end() {
    let sessions = FetchSessions::new(10, 1);
    let id = open(&sessions, (0..3).map(|p| want("a", p, 0)).collect(), 0);
    let full = |w: &Wanted| Seen { has_records: w.partition.0 == 0, ..quiet(0) };
    run(&sessions, request(id, 1), vec![], vec![], 1, full).unwrap();
    let context = sessions.begin(request(id, 2), vec![], std::iter::empty(), at(2)).unwrap();
    assert_eq!(context.wanted.iter().map(|w| w.partition.0).collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn an_error_is_told_each_time_and_its_end_is_told_too() {
    let sessions = FetchSessions::new(10, 1);
    let id = open(&sessions, vec![want("a", 0, 0)], 0);
    let failed = Seen { failed: true, ..quiet(0) };
    for epoch in 1..=2 {
        assert_eq!(run(&sessions, request(id, epoch), vec![], vec![], 1, |_| failed).unwrap().1.len(), 1);
    }
    assert_eq!(run(&sessions, request(id, 3), vec![], vec![], 1, |_| quiet(0)).unwrap().1.len(), 1);
    assert_eq!(run(&sessions, request(id, 4), vec![], vec![], 1, |_| quiet(0)).unwrap().1.len(), 0);
}

#[test]
fn wrong_epochs_and_unknown_sessions_are_refused_with_their_errors() {
    let sessions = FetchSessions::new(10, 1);
    let id = open(&sessions, vec![want("a", 0, 0)], 0);
    let begin = |req| sessions.begin(req, vec![], std::iter::empty(), at(1)).unwrap_err();
    assert_eq!(begin(request(id, 2)), SessionError::WrongEpoch { id, expected: 1, found: 2 });
    assert_eq!(begin(request(id, 2)).error_code(), ErrorCode::InvalidFetchSessionEpoch);
    assert_eq!(begin(request(id + 1, 1)).error_code(), ErrorCode::FetchSessionIdNotFound);
    let with_ids = SessionRequest { uses_topic_ids: true, ..request(id, 1) };
    assert_eq!(begin(with_ids).error_code(), ErrorCode::FetchSessionTopicIdError);
    // None of these moved the session on.
    assert!(sessions.begin(request(id, 1), vec![], std::iter::empty(), at(1)).is_ok());
}

#[test]
fn a_request_overtaken_in_its_session_while_it_waited_is_refused() {
    let sessions = FetchSessions::new(10, 1);
    let id = open(&sessions, vec![want("a", 0, 0)], 0);
    let parked = sessions.begin(request(id, 1), vec![], std::iter::empty(), at(1)).unwrap();
    sessions.begin(request(id, 2), vec![], std::iter::empty(), at(2)).unwrap();
    let mut results = parked.wanted.clone();
    let refused = sessions.finish(parked, &mut results, |_| quiet(0), at(3)).unwrap_err();
    assert_eq!(refused.error_code(), ErrorCode::InvalidFetchSessionEpoch);
}

#[test]
fn final_epoch_closes_the_session_and_fetches_plainly() {
    let sessions = FetchSessions::new(10, 1);
    let id = open(&sessions, vec![want("a", 0, 0)], 0);
    let (none, answered) = run(&sessions, request(id, -1), vec![want("z", 0, 0)], vec![], 1, |_| quiet(0)).unwrap();
    assert_eq!((none, answered.len(), sessions.len()), (NO_SESSION, 1, 0));
}

#[test]
fn a_session_left_without_partitions_is_closed() {
    let sessions = FetchSessions::new(10, 1);
    let id = open(&sessions, vec![want("a", 0, 0)], 0);
    let context = sessions.begin(request(id, 1), vec![], [(key("a"), PartitionId(0))].into_iter(), at(1)).unwrap();
    assert!(context.wanted.is_empty() && sessions.is_empty());
    assert_eq!(sessions.finish(context, &mut Vec::<Wanted>::new(), |_| quiet(0), at(1)), Ok(NO_SESSION));
}

#[test]
fn a_full_cache_gives_no_session_until_one_is_stale_or_old_and_smaller() {
    let sessions = FetchSessions::new(2, 1);
    let small = open(&sessions, vec![want("a", 0, 0)], 0);
    let big = open(&sessions, vec![want("a", 0, 0), want("a", 1, 0), want("a", 2, 0)], 0);
    assert_ne!(small, NO_SESSION);
    assert_eq!(open(&sessions, vec![want("c", 0, 0), want("c", 1, 0)], 1), NO_SESSION, "both are young and in use");
    // Used again after the age: now a larger newcomer may push the small one out, but not the big one.
    let later = EVICTION_AGE_MS + 1;
    run(&sessions, request(small, 1), vec![], vec![], later, |_| quiet(0)).unwrap();
    run(&sessions, request(big, 1), vec![], vec![], later, |_| quiet(0)).unwrap();
    assert_ne!(open(&sessions, vec![want("c", 0, 0), want("c", 1, 0)], later + 1), NO_SESSION);
    assert!(matches!(sessions.begin(request(small, 2), vec![], std::iter::empty(), at(later)), Err(SessionError::NotFound { .. })));
    assert!(sessions.begin(request(big, 2), vec![], std::iter::empty(), at(later)).is_ok());
    // Long unused: whoever comes replaces the stalest.
    assert_ne!(open(&sessions, vec![want("d", 0, 0)], later * 3), NO_SESSION);
    assert_eq!(sessions.len(), 2);
}

#[test]
fn a_follower_pushes_out_a_consumer_but_not_the_other_way_round() {
    let sessions = FetchSessions::new(1, 1);
    let consumer = open(&sessions, (0..9).map(|p| want("a", p, 0)).collect(), 0);
    assert_ne!(consumer, NO_SESSION);
    let follower = SessionRequest { is_follower: true, ..request(0, 0) };
    let (id, _) = run(&sessions, follower, vec![want("b", 0, 0)], vec![], 1, |_| quiet(0)).unwrap();
    assert_ne!(id, NO_SESSION);
    assert_eq!(open(&sessions, (0..9).map(|p| want("a", p, 0)).collect(), 2), NO_SESSION);
}

#[test]
fn partitions_over_all_sessions_are_bounded() {
    let sessions = FetchSessions::with_partitions_max(10, 4, 1);
    let id = open(&sessions, (0..3).map(|p| want("a", p, 0)).collect(), 0);
    assert_ne!(id, NO_SESSION);
    assert_eq!(open(&sessions, vec![want("b", 0, 0), want("b", 1, 0)], 0), NO_SESSION);
    // A session that grows beyond the bound serves this request and is gone for the next.
    let grown = run(&sessions, request(id, 1), vec![want("c", 0, 0), want("c", 1, 0)], vec![], 1, |_| quiet(0)).unwrap();
    assert_eq!(grown.1.len(), 2);
    assert_eq!((sessions.len(), sessions.cache.lock().partitions), (0, 0));
}

#[test]
fn no_slots_means_no_sessions() {
    let sessions = FetchSessions::new(0, 1);
    assert_eq!(open(&sessions, vec![want("a", 0, 0)], 0), NO_SESSION);
}

#[test]
fn epochs_wrap_past_the_largest_to_one() {
    assert_eq!((next_epoch(0), next_epoch(i32::MAX), next_epoch(-1)), (1, 1, -1));
}

/// A client that keeps what incremental answers told it, against the truth on the broker, over random requests and changes.
#[test]
fn client_view_equals_a_full_fetch_after_any_sequence_of_requests() {
    for seed in 0..300u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let sessions = FetchSessions::new(3, seed);
        let mut truth: Vec<i64> = vec![0; 6];
        let mut asked: BTreeMap<i32, i64> = BTreeMap::new();
        let mut known: BTreeMap<i32, i64> = BTreeMap::new();
        let (mut id, mut epoch) = (NO_SESSION, 0);
        for step in 0..60 {
            truth[draw(6) as usize] += draw(3) as i64;
            if draw(12) == 0 {
                (id, epoch) = (NO_SESSION, 0);
            }
            let mut named = Vec::new();
            let mut forgotten = Vec::new();
            for p in 0..6 {
                match draw(5) {
                    0 => {
                        asked.insert(p, step);
                        named.push(want("t", p, step));
                    }
                    1 if id != NO_SESSION && asked.remove(&p).is_some() => {
                        known.remove(&p);
                        forgotten.push((key("t"), PartitionId(p)));
                    }
                    _ => {}
                }
            }
            if id == NO_SESSION {
                named = asked.iter().map(|(p, offset)| want("t", *p, *offset)).collect();
                known.clear();
            }
            let seen = |w: &Wanted| quiet(truth[w.partition.0 as usize]);
            match run(&sessions, request(id, epoch), named, forgotten, step, seen) {
                Ok((answered_id, answered)) => {
                    for w in &answered {
                        assert_eq!(asked.get(&w.partition.0), Some(&w.params.fetch_offset.0), "seed {seed}: reads what was last asked");
                        known.insert(w.partition.0, truth[w.partition.0 as usize]);
                    }
                    let whole: BTreeMap<i32, i64> = asked.keys().map(|p| (*p, truth[*p as usize])).collect();
                    assert_eq!(known, whole, "seed {seed}, step {step}");
                    (id, epoch) = (answered_id, if answered_id == NO_SESSION { 0 } else { next_epoch(epoch) });
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }
}
