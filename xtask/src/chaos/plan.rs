//! What is done to the node, and when: from a seed alone, so that a run can be had again.
//!
//! What the node was at in that moment cannot be had again; how long it had been at it can.

use std::fmt;
use std::time::Duration;

/// One blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and again while the next start recovers.
    KillInRecovery,
    /// SIGSTOP, and SIGCONT a while later.
    Stop,
    /// The disk as it is at that moment, without the page cache.
    PowerLoss,
    /// SIGKILL, and loss of power while the next start recovers.
    PowerLossInRecovery,
}

impl Kind {
    /// Whether it needs a disk of its own.
    pub fn needs_disk(self) -> bool {
        matches!(self, Kind::PowerLoss | Kind::PowerLossInRecovery)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill -9",
            Kind::KillInRecovery => "kill -9 in recovery",
            Kind::Stop => "stop and go on",
            Kind::PowerLoss => "power loss",
            Kind::PowerLossInRecovery => "power loss in recovery",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// What is done.
    pub kind: Kind,
    /// How long the load goes on before.
    pub load: Duration,
    /// For how long the node is stopped.
    pub stopped: Duration,
    /// How far into a start the second blow falls, by the time that the last whole start took.
    pub share_of_start: f64,
    /// How many starts in a row are ended before they are over.
    pub starts_ended: u32,
}

/// The rounds of a whole run: each kind in turn, in an order of its own for each turn.
pub fn rounds(seed: u64, count: usize, with_disk: bool) -> Vec<Round> {
    let all = [Kind::Kill, Kind::KillInRecovery, Kind::Stop, Kind::PowerLoss, Kind::PowerLossInRecovery];
    let kinds: Vec<Kind> = all.into_iter().filter(|kind| with_disk || !kind.needs_disk()).collect();
    let mut random = Random(seed);
    let mut rounds = Vec::with_capacity(count);
    while rounds.len() < count {
        let mut turn = kinds.clone();
        while !turn.is_empty() && rounds.len() < count {
            let kind = turn.swap_remove(random.below(turn.len() as u64) as usize);
            rounds.push(random.round(kind, 500, 4000));
        }
    }
    rounds
}

/// The rounds of the short form, of these kinds.
pub fn short(seed: u64, kinds: &[Kind]) -> Vec<Round> {
    let mut random = Random(seed);
    kinds.iter().map(|kind| random.round(*kind, 300, 1500)).collect()
}

/// What a history goes through, one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// The node, and while it is away perhaps a client as well.
    Node { round: Round, client: Option<usize> },
    /// SIGKILL to a client, which is started again.
    KillClient { after: Duration, client: usize },
    /// Another comes with a client's transactional id while that one is at work.
    Replace { after: Duration, client: usize },
}

/// The steps of each history: the node is killed, and something else is done to it; a writer, a mover and one of all clients are
/// killed; a writer is replaced. Clients are numbered, the writers first.
pub fn histories(seed: u64, count: usize, with_disk: bool, writers: usize, movers: usize) -> Vec<Vec<Step>> {
    let mut random = Random(seed);
    let blows = rounds(random.next(), count, with_disk);
    let mut one = |blow: &Round| {
        let (all, writers) = ((writers + movers) as u64, writers as u64);
        let mut steps = Vec::new();
        for kind in [Kind::Kill, blow.kind] {
            let client = (random.below(2) == 0).then(|| random.below(all) as usize);
            let round = random.round(kind, 200, 1_200);
            steps.push(Step::Node { round, client });
        }
        for (from, below) in [(0, writers), (writers, all), (0, all)] {
            let after = Duration::from_millis(100 + random.below(600));
            steps.push(Step::KillClient { after, client: (from + random.below(below - from)) as usize });
        }
        steps.push(Step::Replace { after: Duration::from_millis(100 + random.below(600)), client: random.below(writers) as usize });
        for at in (1..steps.len()).rev() {
            steps.swap(at, random.below(at as u64 + 1) as usize);
        }
        steps
    };
    blows.iter().map(&mut one).collect()
}

/// SplitMix64: a few lines, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn round(&mut self, kind: Kind, load_ms_min: u64, load_ms_max: u64) -> Round {
        Round {
            kind,
            load: Duration::from_millis(load_ms_min + self.below(load_ms_max - load_ms_min)),
            stopped: Duration::from_millis(500 + self.below(4500)),
            share_of_start: self.below(100) as f64 / 100.0,
            starts_ended: 1 + self.below(3) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another() {
        assert_eq!(rounds(7, 20, true), rounds(7, 20, true));
        assert_ne!(rounds(7, 20, true), rounds(8, 20, true));
    }

    #[test]
    fn every_history_has_the_node_a_writer_and_a_mover_killed_and_a_writer_replaced() {
        assert_eq!(histories(7, 20, true, 3, 2), histories(7, 20, true, 3, 2));
        assert_ne!(histories(7, 20, true, 3, 2), histories(8, 20, true, 3, 2));
        for steps in histories(3, 50, false, 3, 2) {
            let is = |what: fn(&Step) -> bool| steps.iter().any(what);
            assert!(is(|step| matches!(step, Step::Node { round, .. } if round.kind == Kind::Kill)), "{steps:?}");
            assert!(is(|step| matches!(step, Step::KillClient { client: 0..3, .. })), "{steps:?}");
            assert!(is(|step| matches!(step, Step::KillClient { client: 3..5, .. })), "{steps:?}");
            assert!(is(|step| matches!(step, Step::Replace { client: 0..3, .. })), "{steps:?}");
            assert!(!is(|step| matches!(step, Step::Node { round, .. } if round.kind.needs_disk())), "{steps:?}");
        }
    }

    #[test]
    fn every_kind_has_its_turn_and_none_needs_what_is_not_there() {
        for seed in 0..50 {
            let kinds = |count, with_disk| {
                let mut kinds: Vec<Kind> = rounds(seed, count, with_disk).iter().map(|round| round.kind).collect();
                kinds.sort_unstable();
                kinds
            };
            assert_eq!(kinds(5, true), [Kind::Kill, Kind::KillInRecovery, Kind::Stop, Kind::PowerLoss, Kind::PowerLossInRecovery]);
            assert_eq!(kinds(6, false), [Kind::Kill, Kind::Kill, Kind::KillInRecovery, Kind::KillInRecovery, Kind::Stop, Kind::Stop]);
        }
    }
}
