//! How the leader of a classic group shares out partitions: Kafka's `range` and `cooperative-sticky`.
//!
//! Pure. What members say of themselves comes in, who reads what goes out; the same input gives the same output whatever
//! its order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ottla_model::{PartitionId, TopicName, TopicPartition};

/// A way to share out partitions, by the name that all members of a group must have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// Ranges of each topic, in the order of the members. Everybody gives up everything at each rebalance.
    Range,
    /// As even as can be with as few moves as can be; only what moves is given up (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// By its name, or that of Kafka's Java class for it.
    pub(crate) fn from_name(name: &str) -> Option<Assignor> {
        match name {
            "range" | "org.apache.kafka.clients.consumer.RangeAssignor" => Some(Assignor::Range),
            "cooperative-sticky" | "org.apache.kafka.clients.consumer.CooperativeStickyAssignor" => Some(Assignor::CooperativeSticky),
            _ => None,
        }
    }

    /// Who reads what; a member that gets nothing is there with nothing.
    pub(crate) fn assign(self, members: &[Member], partitions: &BTreeMap<TopicName, i32>) -> Assignments {
        match self {
            Assignor::Range => range(members, partitions),
            Assignor::CooperativeSticky => cooperative_sticky(members, partitions),
        }
    }
}

/// By member id.
pub(crate) type Assignments = BTreeMap<String, BTreeSet<TopicPartition>>;

/// A member, as its subscription tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) topics: BTreeSet<TopicName>,
    /// What it has, and since which generation.
    pub(crate) owned: BTreeSet<TopicPartition>,
    pub(crate) generation: i32,
}

/// As Java's `RangeAssignor`: static members come first, by their instance ids; they keep their place when they come back.
fn range(members: &[Member], partitions: &BTreeMap<TopicName, i32>) -> Assignments {
    let mut in_order: Vec<&Member> = members.iter().collect();
    in_order.sort_by_key(|member| (member.instance.is_none(), member.instance.as_deref(), member.id.as_str()));
    let mut assignments: Assignments = members.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect();
    for (topic, count) in partitions {
        let readers: Vec<&&Member> = in_order.iter().filter(|member| member.topics.contains(topic)).collect();
        let Ok(count) = usize::try_from(*count) else { continue };
        if readers.is_empty() {
            continue;
        }
        let (each, more) = (count / readers.len(), count % readers.len());
        let mut next = 0;
        for (index, member) in readers.iter().enumerate() {
            let end = next + each + usize::from(index < more);
            if let Some(assigned) = assignments.get_mut(&member.id) {
                assigned.extend((next..end).map(|index| TopicPartition::new(topic.clone(), PartitionId(index as i32))));
            }
            next = end;
        }
    }
    assignments
}

/// Even to within one wherever subscriptions allow. A partition that moves is given to nobody in this round: its owner gives it up
/// and joins again, and in that next round it is free.
fn cooperative_sticky(members: &[Member], partitions: &BTreeMap<TopicName, i32>) -> Assignments {
    let all: Vec<TopicPartition> = partitions
        .iter()
        .flat_map(|(topic, count)| (0..*count).map(|index| TopicPartition::new(topic.clone(), PartitionId(index))))
        .collect();
    let owners = owners(members, partitions);
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let mut target: Assignments = sorted.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect();
    for (partition, owner) in &owners {
        if let Some(assigned) = target.get_mut(*owner) {
            assigned.insert(partition.clone());
        }
    }
    for partition in all.iter().filter(|partition| !owners.contains_key(partition)) {
        if let Some(member) = least_loaded(&sorted, &target, partition)
            && let Some(assigned) = target.get_mut(member)
        {
            assigned.insert(partition.clone());
        }
    }
    even_out(&sorted, &mut target, &owners);
    for (member, assigned) in &mut target {
        assigned.retain(|partition| owners.get(partition).is_none_or(|owner| owner == member));
    }
    target
}

/// Who has each partition by right: the one that has it since the latest generation, if only one does.
fn owners<'m>(members: &'m [Member], partitions: &BTreeMap<TopicName, i32>) -> HashMap<TopicPartition, &'m str> {
    let mut claims: HashMap<&TopicPartition, Vec<&'m Member>> = HashMap::new();
    for member in members {
        for partition in &member.owned {
            let exists = partitions.get(&partition.topic).is_some_and(|count| (0..*count).contains(&partition.partition.0));
            if exists && member.topics.contains(&partition.topic) {
                claims.entry(partition).or_default().push(member);
            }
        }
    }
    claims
        .into_iter()
        .filter_map(|(partition, claimants)| {
            let latest = claimants.iter().map(|member| member.generation).max()?;
            let mut by_right = claimants.iter().filter(|member| member.generation == latest);
            let owner = by_right.next()?;
            by_right.next().is_none().then(|| (partition.clone(), owner.id.as_str()))
        })
        .collect()
}

fn load(target: &Assignments, member: &str) -> usize {
    target.get(member).map_or(0, BTreeSet::len)
}

/// The first of those with the fewest partitions.
fn least_loaded<'m>(members: &[&'m Member], target: &Assignments, partition: &TopicPartition) -> Option<&'m str> {
    let readers = members.iter().filter(|member| member.topics.contains(&partition.topic));
    readers.min_by_key(|member| load(target, &member.id)).map(|member| member.id.as_str())
}

/// Moves one partition at a time from a member to one that has at least two less. Ends: each move makes the sum of the squares less.
fn even_out(members: &[&Member], target: &mut Assignments, owners: &HashMap<TopicPartition, &str>) {
    loop {
        let mut from: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        from.sort_by_key(|member| std::cmp::Reverse(load(target, member)));
        let move_of = |from: &&str| {
            let loaded = load(target, from);
            let mut candidates: Vec<&TopicPartition> = target.get(*from)?.iter().collect();
            // What the member does not have yet moves for nothing.
            candidates.sort_by_key(|partition| owners.get(*partition) == Some(from));
            candidates.into_iter().find_map(|partition| {
                let to = least_loaded(members, target, partition)?;
                (load(target, to) + 2 <= loaded).then(|| ((*from).to_owned(), partition.clone(), to.to_owned()))
            })
        };
        let Some((from, partition, to)) = from.iter().find_map(move_of) else { return };
        if let Some(assigned) = target.get_mut(&from) {
            assigned.remove(&partition);
        }
        if let Some(assigned) = target.get_mut(&to) {
            assigned.insert(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<TopicName, i32> {
        topics.iter().map(|(name, count)| (topic(name), *count)).collect()
    }

    fn member(id: &str, topics: &[&str]) -> Member {
        Member { id: id.to_owned(), topics: topics.iter().map(|name| topic(name)).collect(), generation: -1, ..Member::default() }
    }

    fn shown(assignments: &Assignments) -> Vec<(String, Vec<String>)> {
        assignments.iter().map(|(id, assigned)| (id.clone(), assigned.iter().map(ToString::to_string).collect())).collect()
    }

    fn expect(assignments: &Assignments, expected: &[(&str, &[&str])]) {
        let expected: Vec<_> =
            expected.iter().map(|(id, partitions)| ((*id).to_owned(), partitions.iter().map(|p| (*p).to_owned()).collect())).collect();
        assert_eq!(shown(assignments), expected);
    }

    /// The example of Java's `RangeAssignor`.
    #[test]
    fn range_gives_each_topic_in_ranges() {
        let members = [member("C1", &["t0", "t1"]), member("C0", &["t0", "t1"])];
        let assigned = Assignor::Range.assign(&members, &counts(&[("t0", 3), ("t1", 3)]));
        expect(&assigned, &[("C0", &["t0-0", "t0-1", "t1-0", "t1-1"]), ("C1", &["t0-2", "t1-2"])]);
    }

    #[test]
    fn range_puts_static_members_first_by_their_instance_ids() {
        let mut members = [member("a", &["t"]), member("z", &["t"]), member("y", &["t"])];
        members[1].instance = Some("i1".to_owned());
        members[2].instance = Some("i2".to_owned());
        let assigned = Assignor::Range.assign(&members, &counts(&[("t", 4)]));
        expect(&assigned, &[("a", &["t-3"]), ("y", &["t-2"]), ("z", &["t-0", "t-1"])]);
    }

    #[test]
    fn range_leaves_alone_who_does_not_subscribe() {
        let assigned = Assignor::Range.assign(&[member("a", &["t"]), member("b", &["u"])], &counts(&[("t", 2), ("u", 1)]));
        expect(&assigned, &[("a", &["t-0", "t-1"]), ("b", &["u-0"])]);
    }

    #[test]
    fn cooperative_sticky_takes_only_what_moves_and_gives_it_in_the_next_round() {
        let partitions = counts(&[("t", 4)]);
        let mut first = member("a", &["t"]);
        let alone = Assignor::CooperativeSticky.assign(std::slice::from_ref(&first), &partitions);
        assert_eq!(alone["a"].len(), 4);
        (first.owned, first.generation) = (alone["a"].clone(), 1);
        let mut second = member("b", &["t"]);
        let round = Assignor::CooperativeSticky.assign(&[first.clone(), second.clone()], &partitions);
        assert_eq!((round["a"].len(), round["b"].len()), (2, 0), "what moves is nobody's in between");
        assert!(round["a"].is_subset(&first.owned));
        (first.owned, first.generation, second.generation) = (round["a"].clone(), 2, 2);
        let last = Assignor::CooperativeSticky.assign(&[first.clone(), second], &partitions);
        assert_eq!((last["a"].clone(), last["b"].len()), (first.owned, 2));
    }

    #[test]
    fn what_two_members_claim_is_of_the_later_generation() {
        let partitions = counts(&[("t", 2)]);
        let claim = |id: &str, index: i32, generation| Member {
            owned: [TopicPartition::new(topic("t"), PartitionId(index))].into(),
            generation,
            ..member(id, &["t"])
        };
        let assigned = Assignor::CooperativeSticky.assign(&[claim("a", 0, 3), claim("b", 0, 4)], &partitions);
        expect(&assigned, &[("a", &["t-1"]), ("b", &["t-0"])]);
    }

    proptest! {
        /// Rounds as members go through them: nobody is ever given what another has, and it comes to rest, even and complete.
        #[test]
        fn cooperative_sticky_is_even_complete_and_never_double(
            counts in proptest::collection::vec(0..9i32, 1..4),
            subscriptions in proptest::collection::vec(1..8u8, 1..6),
            leaver in 0..6usize,
        ) {
            let topics: BTreeMap<TopicName, i32> = counts.iter().enumerate().map(|(n, count)| (topic(&format!("t{n}")), *count)).collect();
            let subscribed = |mask: u8| topics.keys().enumerate().filter(|(n, _)| mask & (1 << n) != 0).map(|(_, t)| t.clone()).collect();
            let mut members: Vec<Member> = subscriptions
                .iter()
                .enumerate()
                .map(|(n, mask)| Member { id: format!("m{n}"), topics: subscribed(*mask), generation: -1, ..Member::default() })
                .collect();
            for generation in 0..6 {
                if generation == 3 && leaver < members.len() {
                    members.remove(leaver);
                }
                let assigned = Assignor::CooperativeSticky.assign(&members, &topics);
                let mut seen = BTreeSet::new();
                for member in &members {
                    for partition in &assigned[&member.id] {
                        prop_assert!(member.topics.contains(&partition.topic));
                        prop_assert!(seen.insert(partition.clone()), "{} twice", partition);
                        let other = members.iter().any(|other| other.id != member.id && other.owned.contains(partition));
                        prop_assert!(!other, "{} is given while another has it", partition);
                    }
                }
                for member in &mut members {
                    (member.owned, member.generation) = (assigned[&member.id].clone(), generation);
                }
                if generation == 2 || generation == 5 {
                    let wanted: usize = topics
                        .iter()
                        .filter(|(t, _)| members.iter().any(|m| m.topics.contains(*t)))
                        .map(|(_, count)| *count as usize)
                        .sum();
                    prop_assert_eq!(seen.len(), wanted, "all that somebody subscribes to is read");
                    if members.windows(2).all(|pair| pair[0].topics == pair[1].topics) && !members.is_empty() {
                        let loads: Vec<usize> = members.iter().map(|member| member.owned.len()).collect();
                        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{:?}", loads);
                    }
                }
            }
        }
    }
}
