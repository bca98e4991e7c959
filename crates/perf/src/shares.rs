//! Which connection serves which partitions: decided once, before a run, from who leads what.

use std::sync::Arc;

use ottla_model::PartitionId;

use crate::cluster::Led;

/// What one connection serves: some partitions of one leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) address: Arc<str>,
    pub(crate) partitions: Vec<PartitionId>,
}

/// Whether a partition may be served by several connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Yes: producers need not be kept apart.
    Shared,
    /// No: what two consumers read of one partition would be counted twice.
    Exclusive,
}

/// Deals the partitions to this many connections: to more where there are more leaders, and to fewer where there are too
/// few partitions to go round.
pub(crate) fn shares(led: &[Led], connections: usize, sharing: Sharing) -> Vec<Share> {
    let mut by_leader: Vec<Share> = Vec::new();
    for one in led {
        match by_leader.iter_mut().find(|share| share.address == one.address) {
            Some(share) => share.partitions.push(one.partition),
            None => by_leader.push(Share { address: one.address.clone(), partitions: vec![one.partition] }),
        }
    }
    let leaders = by_leader.len();
    let of_leader = |index: usize| connections / leaders + usize::from(index < connections % leaders);
    let mut shares = Vec::new();
    for (index, Share { address, partitions }) in by_leader.into_iter().enumerate() {
        let mut wanted = of_leader(index).max(1);
        if sharing == Sharing::Exclusive {
            wanted = wanted.min(partitions.len());
        }
        for connection in 0..wanted {
            let partitions = if wanted <= partitions.len() {
                partitions.iter().copied().skip(connection).step_by(wanted).collect()
            } else {
                partitions.get(connection % partitions.len()).copied().into_iter().collect()
            };
            shares.push(Share { address: address.clone(), partitions });
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(leaders: &[&str]) -> Vec<Led> {
        let one = |(index, address): (usize, &&str)| Led { partition: PartitionId(index as i32), address: Arc::from(*address) };
        leaders.iter().enumerate().map(one).collect()
    }

    fn dealt(leaders: &[&str], connections: usize, sharing: Sharing) -> Vec<(String, Vec<i32>)> {
        let shares = shares(&led(leaders), connections, sharing);
        shares.iter().map(|share| (share.address.to_string(), share.partitions.iter().map(|p| p.0).collect())).collect()
    }

    #[test]
    fn partitions_are_dealt_in_turn() {
        let one = |address: &str, partitions: &[i32]| (address.to_owned(), partitions.to_vec());
        assert_eq!(dealt(&["a"; 6], 2, Sharing::Shared), [one("a", &[0, 2, 4]), one("a", &[1, 3, 5])]);
        assert_eq!(dealt(&["a", "b", "a"], 1, Sharing::Shared), [one("a", &[0, 2]), one("b", &[1])], "one for each leader at least");
        assert_eq!(dealt(&["a", "b"], 3, Sharing::Shared), [one("a", &[0]), one("a", &[0]), one("b", &[1])]);
        assert_eq!(dealt(&["a", "b"], 9, Sharing::Exclusive), [one("a", &[0]), one("b", &[1])]);
    }

    #[test]
    fn every_partition_is_served_whatever_the_numbers() {
        for partitions in 1..8 {
            let leaders: Vec<&str> = (0..partitions).map(|index| ["a", "b", "c"][index * index % 3]).collect();
            for connections in 1..12 {
                for sharing in [Sharing::Shared, Sharing::Exclusive] {
                    let mut served: Vec<i32> = dealt(&leaders, connections, sharing).into_iter().flat_map(|(_, p)| p).collect();
                    served.sort_unstable();
                    if sharing == Sharing::Shared {
                        served.dedup();
                    }
                    let all: Vec<i32> = (0..partitions as i32).collect();
                    assert_eq!(served, all, "{partitions} partitions, {connections} connections, {sharing:?}");
                }
            }
        }
    }
}
