use ottla_model::{PartitionId, Uuid};
use proptest::prelude::*;

use super::*;

fn topic(number: u8) -> TopicId {
    TopicId(Uuid::from_bytes([number + 1; 16]))
}

fn topics_of(numbers: &[u8]) -> BTreeSet<TopicId> {
    numbers.iter().map(|number| topic(*number)).collect()
}

/// A group, as the tests write it: each member's topics, and the partitions of each topic.
#[derive(Clone, Debug)]
struct Group {
    ids: Vec<MemberId>,
    instances: Vec<Option<InstanceId>>,
    topics: Vec<BTreeSet<TopicId>>,
    before: Vec<Assignment>,
    partitions: Partitions,
}

impl Group {
    fn of(members: &[&[u8]], partitions: &[usize]) -> Group {
        Group {
            ids: (0..members.len()).map(|index| MemberId::new(&format!("m{index:03}"))).collect(),
            instances: vec![None; members.len()],
            topics: members.iter().map(|topics| topics_of(topics)).collect(),
            before: vec![Assignment::default(); members.len()],
            partitions: (0..).zip(partitions).map(|(number, count)| (topic(number), *count)).collect(),
        }
    }

    fn assign(&self, assignor: Assignor) -> Vec<Assignment> {
        let member = |index: usize| Subscriber {
            member: &self.ids[index],
            instance: self.instances[index].as_ref(),
            topics: &self.topics[index],
            before: &self.before[index],
        };
        assign(assignor, &(0..self.ids.len()).map(member).collect::<Vec<_>>(), &self.partitions)
    }

    /// Assigns, and takes it for what was before.
    fn settle(&mut self, assignor: Assignor) -> Vec<usize> {
        self.before = self.assign(assignor);
        self.before.iter().map(Assignment::len).collect()
    }

    fn remove(&mut self, index: usize) {
        self.ids.remove(index);
        self.instances.remove(index);
        self.topics.remove(index);
        self.before.remove(index);
    }

    fn add(&mut self, id: &str, topics: BTreeSet<TopicId>) {
        self.ids.push(id.into());
        self.instances.push(None);
        self.topics.push(topics);
        self.before.push(Assignment::default());
    }

    /// Every partition that somebody subscribes to is one subscriber's, and no other partition is anybody's.
    fn check_complete(&self, assigned: &[Assignment]) {
        let mut owners: BTreeMap<(TopicId, PartitionId), usize> = BTreeMap::new();
        for (index, assignment) in assigned.iter().enumerate() {
            for (topic, partition) in assignment.iter() {
                assert!(self.topics[index].contains(&topic), "member {index} does not subscribe to {topic:?}");
                assert!((partition.get() as usize) < self.partitions[&topic], "{topic:?} has no {partition:?}");
                assert_eq!(owners.insert((topic, partition), index), None, "{topic:?} {partition:?} has two owners");
            }
        }
        let wanted: usize =
            self.partitions.iter().filter(|(topic, _)| self.topics.iter().any(|topics| topics.contains(topic))).map(|(_, n)| n).sum();
        assert_eq!(owners.len(), wanted, "partitions are nobody's");
    }

    /// How many partitions are with the member that had them before.
    fn kept(&self, assigned: &[Assignment]) -> usize {
        assigned.iter().zip(&self.before).map(|(now, before)| now.iter().filter(|(t, p)| before.contains(*t, *p)).count()).sum()
    }
}

fn partitions() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..9_usize, 1..6)
}

/// Members with any subscriptions, and what each had before, whether or not it makes sense now.
fn any_group(same: bool) -> impl Strategy<Value = Group> {
    let subscription = prop::collection::btree_set(0..7_u8, 0..7);
    let before = prop::collection::vec((0..7_u8, 0..10_i32), 0..12);
    (prop::collection::vec((subscription, before), 1..8), partitions()).prop_map(move |(members, partitions)| {
        let mut group = Group::of(&vec![&[][..]; members.len()], &partitions);
        for (index, (topics, before)) in members.iter().enumerate() {
            let topics = if same { &members[0].0 } else { topics };
            group.topics[index] = topics.iter().map(|number| topic(*number)).collect();
            group.before[index] = before.iter().map(|(number, partition)| (topic(*number), PartitionId(*partition))).collect();
        }
        group
    })
}

proptest! {
    #[test]
    fn all_is_assigned_once(group in any_group(false)) {
        group.check_complete(&group.assign(Assignor::Uniform));
        group.check_complete(&group.assign(Assignor::Range));
    }

    #[test]
    fn members_with_one_subscription_differ_by_one_partition(group in any_group(true)) {
        let assigned = group.assign(Assignor::Uniform);
        group.check_complete(&assigned);
        let loads = || assigned.iter().map(Assignment::len);
        prop_assert!(loads().max() <= loads().min().map(|least| least + 1));
    }

    #[test]
    fn no_partition_could_move_for_better_balance(group in any_group(false)) {
        let assigned = group.assign(Assignor::Uniform);
        for (from, assignment) in assigned.iter().enumerate() {
            for (topic, _) in assignment.iter() {
                for (to, other) in assigned.iter().enumerate().filter(|(to, _)| group.topics[*to].contains(&topic)) {
                    prop_assert!(assignment.len() <= other.len() + 1, "{topic:?} from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn what_is_assigned_stays_when_nothing_changes(group in any_group(false)) {
        let mut group = group;
        group.settle(Assignor::Uniform);
        prop_assert_eq!(group.assign(Assignor::Uniform), group.before);
    }

    #[test]
    fn as_few_partitions_move_as_balance_allows(members in 1..8_usize, owners in prop::collection::vec(0..9_usize, 0..40)) {
        // One topic, whose partitions are those members' or nobody's.
        let mut group = Group::of(&vec![&[0][..]; members], &[owners.len()]);
        for (partition, owner) in (0..).zip(&owners) {
            if *owner < members {
                group.before[*owner].insert(topic(0), PartitionId(partition));
            }
        }
        let (quota, extra) = (owners.len() / members, owners.len() % members);
        let had = || group.before.iter().map(Assignment::len);
        // Nobody keeps more than its share, and so many one more.
        let most = had().map(|count| count.min(quota)).sum::<usize>() + had().filter(|count| *count > quota).count().min(extra);
        prop_assert_eq!(group.kept(&group.assign(Assignor::Uniform)), most);
    }

    #[test]
    fn one_that_leaves_takes_nothing_from_the_others(count in 2..9_usize, partitions in partitions(), leaves in any::<prop::sample::Index>()) {
        let mut group = Group::of(&vec![&[0, 1, 2, 3, 4][..]; count], &partitions);
        group.settle(Assignor::Uniform);
        group.remove(leaves.index(count));
        let had = group.before.iter().map(Assignment::len).sum::<usize>();
        prop_assert_eq!(group.kept(&group.assign(Assignor::Uniform)), had);
    }

    #[test]
    fn one_that_comes_gets_its_share_and_nothing_else_moves(count in 1..9_usize, partitions in partitions()) {
        let all = [0, 1, 2, 3, 4];
        let mut group = Group::of(&vec![&all[..]; count], &partitions);
        group.settle(Assignor::Uniform);
        let had = group.before.iter().map(Assignment::len).sum::<usize>();
        group.add("m5", topics_of(&all));
        let assigned = group.assign(Assignor::Uniform);
        prop_assert_eq!(group.kept(&assigned) + assigned[count].len(), had);
        prop_assert_eq!(assigned[count].len(), had / (count + 1));
    }

    #[test]
    fn ranges_are_contiguous_and_alike_for_topics_alike(group in any_group(false)) {
        let assigned = group.assign(Assignor::Range);
        let sharers = |wanted: TopicId| (0..group.ids.len()).filter(|index| group.topics[*index].contains(&wanted)).collect::<Vec<_>>();
        for (one, count) in &group.partitions {
            let sizes: Vec<usize> = sharers(*one).iter().map(|index| assigned[*index].of_topic(*one).len()).collect();
            prop_assert!(sizes.iter().max() <= sizes.iter().min().map(|least| least + 1).as_ref());
            for assignment in &assigned {
                let range = assignment.of_topic(*one);
                prop_assert!(range.windows(2).all(|pair| pair[0].get() + 1 == pair[1].get()));
                for (other, of_other) in &group.partitions {
                    if count == of_other && sharers(*one) == sharers(*other) {
                        prop_assert_eq!(range, assignment.of_topic(*other), "what is joined by partition meets");
                    }
                }
            }
        }
    }
}

#[test]
fn a_topic_is_spread_over_its_members() {
    let mut group = Group::of(&[&[0, 1], &[0, 1]], &[2, 2]);
    assert_eq!(group.settle(Assignor::Uniform), [2, 2]);
    assert!(group.before.iter().all(|assignment| assignment.of_topic(topic(0)).len() == 1));
}

#[test]
fn who_can_have_nothing_else_gets_what_others_need_not_have() {
    // Both could read the first topic, but the other one can read both.
    let mut group = Group::of(&[&[0], &[0, 1]], &[4, 4]);
    assert_eq!(group.settle(Assignor::Uniform), [4, 4]);
    group.add("m2", topics_of(&[1]));
    assert_eq!(group.settle(Assignor::Uniform), [3, 3, 2]);
}

#[test]
fn static_members_come_first_in_ranges_and_keep_them_over_a_restart() {
    let mut group = Group::of(&[&[0], &[0], &[0]], &[7]);
    group.instances[2] = Some("i1".into());
    let first = group.assign(Assignor::Range);
    assert_eq!(first[2].of_topic(topic(0)), [PartitionId(0), PartitionId(1), PartitionId(2)]);
    group.ids[2] = "another".into();
    assert_eq!(group.assign(Assignor::Range), first);
}

#[test]
fn nobody_gets_nothing_of_nothing() {
    assert!(Group::of(&[], &[3]).assign(Assignor::Uniform).is_empty());
    assert_eq!(Group::of(&[&[]], &[3]).settle(Assignor::Uniform), [0]);
    assert_eq!(Group::of(&[&[0, 5]], &[]).settle(Assignor::Range), [0]);
}
