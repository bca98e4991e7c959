//! How one member goes from what it has to what it is to have, a heartbeat at a time: Kafka's `CurrentAssignmentBuilder` as a function.
//!
//! A member first gives up what it is not to have any more, and keeps its epoch until it has. Then it takes the epoch of the target
//! assignment, and of its partitions those that nobody else holds; for the others it waits.

use ottla_model::{MemberEpoch, PartitionId, TopicId};

use super::super::error::GroupError;
use super::super::record::{Assignment, CurrentAssignment, Held, MemberState};

/// What a member is brought to, and what is in the way.
pub(super) struct Reconciliation<'a, S, F> {
    /// What it has.
    pub current: &'a CurrentAssignment,
    /// The epoch of the target assignment.
    pub target_epoch: MemberEpoch,
    /// What it is to have.
    pub target: &'a Assignment,
    /// What the member says it holds, if it says.
    pub owned: Option<&'a Assignment>,
    /// It subscribes to something else since the last time.
    pub subscription_changed: bool,
    /// Whether it subscribes to a topic.
    pub is_subscribed: S,
    /// Whether nobody holds a partition.
    pub is_free: F,
}

impl<S: Fn(TopicId) -> bool, F: Fn(TopicId, PartitionId) -> bool> Reconciliation<'_, S, F> {
    /// What it has next; `None`: the same as now.
    pub fn next(&self) -> Result<Option<CurrentAssignment>, GroupError> {
        let is_waiting = match self.current.state {
            MemberState::Stable => self.current.epoch == self.target_epoch,
            MemberState::UnrevokedPartitions => self.holds_any(&self.current.revoking),
            MemberState::UnreleasedPartitions | MemberState::Unknown(_) => false,
        };
        if is_waiting && !self.subscription_changed {
            return Ok(None);
        }
        let next = match self.current.state {
            _ if is_waiting => self.without_unsubscribed(),
            MemberState::Stable | MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                self.towards_target(self.current.epoch)
            }
            MemberState::Unknown(_) if self.owned.is_some_and(Assignment::is_empty) => self.towards_target(self.target_epoch),
            // Who knows what it was about to do: it starts from nothing.
            MemberState::Unknown(_) => {
                let (shown, current) = (self.current.epoch.get(), self.target_epoch.get());
                return Err(GroupError::FencedMemberEpoch { shown, current });
            }
        };
        Ok(Some(next).filter(|next| next != self.current))
    }

    /// Whether the member may still hold some of these. If it does not say what it holds, it may.
    fn holds_any(&self, held: &Held) -> bool {
        self.owned.is_none_or(|owned| owned.iter().any(|(topic, partition)| held.contains(topic, partition)))
    }

    /// At once takes away what it does not subscribe to any more. What else there is to do has to wait.
    fn without_unsubscribed(&self) -> CurrentAssignment {
        let mut next = self.current.clone();
        let (stays, goes): (Vec<_>, Vec<_>) = self.current.assigned.iter().partition(|(topic, _, _)| (self.is_subscribed)(*topic));
        if goes.is_empty() {
            return next;
        }
        next.assigned = stays.into_iter().collect();
        let revoking: Held = self.current.revoking.iter().chain(goes).collect();
        if self.holds_any(&revoking) {
            next.state = MemberState::UnrevokedPartitions;
            next.revoking = revoking;
        }
        next
    }

    fn towards_target(&self, epoch: MemberEpoch) -> CurrentAssignment {
        let is_wanted = |topic, partition| (self.is_subscribed)(topic) && self.target.contains(topic, partition);
        let (stays, goes): (Vec<_>, Vec<_>) = self.current.assigned.iter().partition(|(topic, partition, _)| is_wanted(*topic, *partition));
        let (mut assigned, revoking): (Held, Held) = (stays.into_iter().collect(), goes.into_iter().collect());
        if !revoking.is_empty() && self.holds_any(&revoking) {
            return CurrentAssignment { state: MemberState::UnrevokedPartitions, assigned, revoking, ..self.at(epoch) };
        }
        let mut state = MemberState::Stable;
        for (topic, partition) in self.target.iter().filter(|(topic, _)| (self.is_subscribed)(*topic)) {
            if assigned.contains(topic, partition) {
                continue;
            }
            // What it was to give up it may hold on to, should it be its again.
            if (self.is_free)(topic, partition) || self.current.revoking.contains(topic, partition) {
                assigned.insert(topic, partition, self.target_epoch);
            } else {
                state = MemberState::UnreleasedPartitions;
            }
        }
        CurrentAssignment { state, assigned, revoking: Held::default(), ..self.at(self.target_epoch) }
    }

    /// The member at an epoch. The one before is kept until there is another one, for as long as an answer may be lost.
    fn at(&self, epoch: MemberEpoch) -> CurrentAssignment {
        let before = self.current;
        let previous_epoch = if epoch == before.epoch { before.previous_epoch } else { before.epoch };
        CurrentAssignment { epoch, previous_epoch, ..before.clone() }
    }
}

#[cfg(test)]
mod tests {
    use ottla_model::Uuid;

    use super::*;

    const T: TopicId = TopicId(Uuid::from_bytes([1; 16]));

    fn held(partitions: &[(i32, i32)]) -> Held {
        partitions.iter().map(|(partition, since)| (T, PartitionId(*partition), MemberEpoch(*since))).collect()
    }

    fn assignment(partitions: &[i32]) -> Assignment {
        partitions.iter().map(|partition| (T, PartitionId(*partition))).collect()
    }

    fn current(epoch: i32, state: MemberState, assigned: &[(i32, i32)], revoking: &[(i32, i32)]) -> CurrentAssignment {
        CurrentAssignment {
            epoch: MemberEpoch(epoch),
            previous_epoch: MemberEpoch(epoch - 1),
            state,
            assigned: held(assigned),
            revoking: held(revoking),
        }
    }

    /// Towards epoch 5, with these partitions in the hands of others.
    fn next(current: &CurrentAssignment, target: &[i32], owned: Option<&[i32]>, others: &[i32]) -> Option<CurrentAssignment> {
        let (target, owned) = (assignment(target), owned.map(assignment));
        let reconciliation = Reconciliation {
            current,
            target_epoch: MemberEpoch(5),
            target: &target,
            owned: owned.as_ref(),
            subscription_changed: false,
            is_subscribed: |_| true,
            is_free: |topic, partition: PartitionId| {
                !others.contains(&partition.get())
                    && !current.assigned.contains(topic, partition)
                    && !current.revoking.contains(topic, partition)
            },
        };
        reconciliation.next().unwrap()
    }

    #[test]
    fn a_member_gives_up_before_it_gets_and_keeps_its_epoch_until_then() {
        let stable = current(4, MemberState::Stable, &[(0, 2), (1, 3)], &[]);
        let unrevoked = next(&stable, &[1, 2], None, &[]).unwrap();
        assert_eq!(unrevoked, current(4, MemberState::UnrevokedPartitions, &[(1, 3)], &[(0, 2)]));
        assert_eq!(next(&unrevoked, &[1, 2], None, &[]), None, "it does not say what it holds");
        assert_eq!(next(&unrevoked, &[1, 2], Some(&[0, 1]), &[]), None, "it still holds it");
        let after = next(&unrevoked, &[1, 2], Some(&[1]), &[]).unwrap();
        assert_eq!(after, current(5, MemberState::Stable, &[(1, 3), (2, 5)], &[]));
    }

    #[test]
    fn a_member_waits_for_what_others_hold_and_gets_the_rest() {
        let stable = current(4, MemberState::Stable, &[(1, 3)], &[]);
        let waiting = next(&stable, &[1, 2, 3], None, &[3]).unwrap();
        assert_eq!(waiting, current(5, MemberState::UnreleasedPartitions, &[(1, 3), (2, 5)], &[]));
        assert_eq!(next(&waiting, &[1, 2, 3], None, &[3]), None);
        assert_eq!(next(&waiting, &[1, 2, 3], None, &[]).unwrap().assigned, held(&[(1, 3), (2, 5), (3, 5)]));
    }

    #[test]
    fn what_is_given_up_already_need_not_be_waited_for() {
        let stable = current(4, MemberState::Stable, &[(0, 2)], &[]);
        assert_eq!(next(&stable, &[], Some(&[]), &[]), Some(current(5, MemberState::Stable, &[], &[])));
    }

    #[test]
    fn what_a_member_gave_up_and_is_to_have_again_it_gets_again() {
        let unrevoked = current(4, MemberState::UnrevokedPartitions, &[], &[(0, 2)]);
        assert_eq!(next(&unrevoked, &[0], Some(&[]), &[]), Some(current(5, MemberState::Stable, &[(0, 5)], &[])));
    }

    #[test]
    fn what_is_no_longer_subscribed_is_taken_away_without_a_new_target() {
        let stable = current(5, MemberState::Stable, &[(0, 2)], &[]);
        let target = assignment(&[0]);
        let reconciliation = Reconciliation {
            current: &stable,
            target_epoch: MemberEpoch(5),
            target: &target,
            owned: None,
            subscription_changed: true,
            is_subscribed: |_| false,
            is_free: |_, _| false,
        };
        assert_eq!(reconciliation.next(), Ok(Some(current(5, MemberState::UnrevokedPartitions, &[], &[(0, 2)]))));
    }

    #[test]
    fn a_member_in_a_state_of_a_later_version_starts_from_nothing() {
        let unknown = current(4, MemberState::Unknown(9), &[(0, 2)], &[]);
        let target = assignment(&[0]);
        let reconciled = |owned| {
            let reconciliation = Reconciliation {
                current: &unknown,
                target_epoch: MemberEpoch(5),
                target: &target,
                owned,
                subscription_changed: false,
                is_subscribed: |_| true,
                is_free: |_, _| false,
            };
            reconciliation.next()
        };
        assert!(matches!(reconciled(None), Err(GroupError::FencedMemberEpoch { .. })));
        assert_eq!(reconciled(Some(&Assignment::default())).unwrap().unwrap().state, MemberState::Stable);
    }
}
