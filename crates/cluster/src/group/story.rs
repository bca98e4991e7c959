//! Why a group last rebalanced, for the people who ask. It is not kept in the log: Kafka has no record for it, and a coordinator that
//! has just taken a group over says that it does not know.

use std::fmt;
use std::sync::Arc;

use ottla_model::{InstanceId, MemberId, MonotonicMs, TimestampMs};

use super::event::Now;

/// Longest part of a client's own reason that is kept.
const REASON_CHARS_MAX: usize = 255;

/// What made a group rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebalanceReason {
    /// A member came.
    MemberJoined {
        /// Why, in its words (KIP-800).
        said: Option<Arc<str>>,
    },
    /// A member went.
    MemberLeft {
        /// Why, in its words (KIP-800).
        said: Option<Arc<str>>,
    },
    /// A member was silent for its whole session.
    SessionExpired,
    /// A member subscribes to something else, or speaks other protocols.
    SubscriptionChanged {
        /// Why it joined again, in its words (KIP-800).
        said: Option<Arc<str>>,
    },
    /// Classic: the leader joined again, so as to assign anew.
    LeaderRejoined {
        /// Why, in its words (KIP-800).
        said: Option<Arc<str>>,
    },
    /// Another process took a static member's place, and it differs in what matters.
    StaticMemberReplaced {
        /// Whose place.
        instance: InstanceId,
    },
    /// A member did not join, or did not ask for its assignment, in its time.
    RebalanceTimeout,
    /// A member did not give partitions up in its time.
    RevocationTimeout,
    /// Classic: the assignment could not be kept.
    AssignmentNotStored,
    /// Consumer: topics came, went or were repartitioned.
    TopicsChanged,
    /// The group went over from one protocol to the other.
    ProtocolChanged,
    /// Classic: the group was found with more members than are allowed.
    OverCapacity,
}

impl fmt::Display for RebalanceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, said) = match self {
            RebalanceReason::MemberJoined { said } => ("joined", said),
            RebalanceReason::MemberLeft { said } => ("left", said),
            RebalanceReason::SessionExpired => ("sent no heartbeat for its whole session timeout", &None),
            RebalanceReason::SubscriptionChanged { said } => ("changed what it subscribes to", said),
            RebalanceReason::LeaderRejoined { said } => ("leads the group and joined again", said),
            RebalanceReason::StaticMemberReplaced { instance } => {
                return write!(f, "took the place of the static member `{instance}` with other settings");
            }
            RebalanceReason::RebalanceTimeout => ("did not take part in a rebalance within its rebalance timeout", &None),
            RebalanceReason::RevocationTimeout => ("did not give up partitions within its rebalance timeout", &None),
            RebalanceReason::AssignmentNotStored => ("assigned more than the offsets topic can hold", &None),
            RebalanceReason::TopicsChanged => ("topics were created, deleted or repartitioned", &None),
            RebalanceReason::ProtocolChanged => ("brought the group from one protocol to the other", &None),
            RebalanceReason::OverCapacity => ("the group was found with more members than group.max.size", &None),
        };
        match said {
            Some(said) => write!(f, "{what}: {said}"),
            None => f.write_str(what),
        }
    }
}

/// The last rebalance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRebalance {
    /// When it began.
    pub began: TimestampMs,
    /// What made it.
    pub reason: RebalanceReason,
    /// Which member did.
    pub member: Option<MemberId>,
    /// How long it took until every member had its assignment; `None`: it is going on.
    pub duration_ms: Option<u64>,
}

/// Keeps the last rebalance of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Story(Option<Box<Told>>);

#[derive(Clone, Debug)]
struct Told {
    last: LastRebalance,
    began: MonotonicMs,
}

impl Story {
    /// A rebalance begins. One that is going on goes on, but for another reason.
    pub fn begin(&mut self, now: Now, reason: RebalanceReason, member: Option<&MemberId>) {
        let last = LastRebalance { began: now.wall, reason, member: member.cloned(), duration_ms: None };
        match &mut self.0 {
            Some(told) if told.last.duration_ms.is_none() => {
                told.last = LastRebalance { began: told.last.began, ..last };
            }
            other => *other = Some(Box::new(Told { last, began: now.monotonic })),
        }
    }

    /// Every member has its assignment.
    pub fn end(&mut self, now: Now) {
        if let Some(told) = &mut self.0
            && told.last.duration_ms.is_none()
        {
            told.last.duration_ms = Some(now.monotonic.since_ms(told.began));
        }
    }

    /// Whether there is one that is not over.
    pub fn is_going_on(&self) -> bool {
        self.0.as_ref().is_some_and(|told| told.last.duration_ms.is_none())
    }

    /// What is known.
    pub fn last(&self) -> Option<LastRebalance> {
        self.0.as_ref().map(|told| told.last.clone())
    }
}

/// A client's own words, cut to what is kept.
pub(super) fn said(reason: Option<&Arc<str>>) -> Option<Arc<str>> {
    let reason = reason.filter(|reason| !reason.is_empty())?;
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => Some(reason[..end].into()),
        None => Some(Arc::clone(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { wall: TimestampMs(1_000 + ms as i64), monotonic: MonotonicMs(ms) }
    }

    #[test]
    fn a_rebalance_is_told_with_its_reason_member_and_duration() {
        let mut story = Story::default();
        assert_eq!(story.last(), None);
        story.begin(at(10), RebalanceReason::MemberJoined { said: Some("new pod".into()) }, Some(&"m1".into()));
        let last = story.last().unwrap();
        assert_eq!((last.began, last.duration_ms, last.reason.to_string().as_str()), (TimestampMs(1_010), None, "joined: new pod"));
        story.end(at(35));
        story.end(at(99));
        assert_eq!(story.last().unwrap().duration_ms, Some(25));
        assert_eq!(story.last().unwrap().member, Some("m1".into()));
    }

    #[test]
    fn a_rebalance_within_a_rebalance_takes_the_time_of_both() {
        let mut story = Story::default();
        story.begin(at(10), RebalanceReason::SessionExpired, Some(&"m1".into()));
        story.begin(at(20), RebalanceReason::TopicsChanged, None);
        story.end(at(50));
        let last = story.last().unwrap();
        assert_eq!(
            (last.began, last.duration_ms, last.reason, last.member),
            (TimestampMs(1_010), Some(40), RebalanceReason::TopicsChanged, None)
        );
    }

    #[test]
    fn a_clients_own_reason_is_cut_between_characters() {
        let long: Arc<str> = "ä".repeat(300).into();
        assert_eq!(said(Some(&long)).unwrap().chars().count(), REASON_CHARS_MAX);
        assert_eq!(said(Some(&"".into())), None);
    }
}
