//! What members of the classic protocol tell each other (`ConsumerProtocolSubscription` version 2, `ConsumerProtocolAssignment` version 0),
//! for the one topic that they read.

use std::collections::BTreeSet;

use ottla_cluster::group::Blob;

use crate::world::READ_TOPIC;

/// What a member holds, and since which generation.
pub(super) fn subscription(owned: &BTreeSet<i32>, generation: i32) -> Blob {
    let mut bytes = 2_i16.to_be_bytes().to_vec();
    bytes.extend(1_i32.to_be_bytes());
    topic(&mut bytes);
    bytes.extend((-1_i32).to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    topic(&mut bytes);
    numbers(&mut bytes, owned);
    bytes.extend(generation.to_be_bytes());
    bytes.into()
}

pub(super) fn assignment(partitions: &BTreeSet<i32>) -> Blob {
    let mut bytes = 0_i16.to_be_bytes().to_vec();
    bytes.extend(1_i32.to_be_bytes());
    topic(&mut bytes);
    numbers(&mut bytes, partitions);
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

pub(super) fn read_subscription(bytes: &[u8]) -> Option<(BTreeSet<i32>, i32)> {
    let topic = 2 + READ_TOPIC.len();
    let (owned, rest) = read_numbers(bytes.get(2 + 4 + topic + 4 + 4 + topic..)?)?;
    Some((owned, i32::from_be_bytes(rest.get(..4)?.try_into().ok()?)))
}

/// Of a member that the leader has not thought of: nothing.
pub(super) fn read_assignment(bytes: &[u8]) -> BTreeSet<i32> {
    bytes.get(2 + 4 + 2 + READ_TOPIC.len()..).and_then(read_numbers).map(|(partitions, _)| partitions).unwrap_or_default()
}

fn topic(bytes: &mut Vec<u8>) {
    bytes.extend((READ_TOPIC.len() as i16).to_be_bytes());
    bytes.extend(READ_TOPIC.as_bytes());
}

fn numbers(bytes: &mut Vec<u8>, numbers: &BTreeSet<i32>) {
    bytes.extend((numbers.len() as i32).to_be_bytes());
    numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
}

fn read_numbers(bytes: &[u8]) -> Option<(BTreeSet<i32>, &[u8])> {
    let (count, mut rest) = bytes.split_at_checked(4)?;
    let count = i32::from_be_bytes(count.try_into().ok()?);
    let mut numbers = BTreeSet::new();
    for _ in 0..count {
        let (number, more) = rest.split_at_checked(4)?;
        numbers.insert(i32::from_be_bytes(number.try_into().ok()?));
        rest = more;
    }
    Some((numbers, rest))
}
