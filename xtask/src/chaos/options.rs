//! The arguments of `cargo xtask chaos`, and the plan that they come to.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::plan::{self, Kind, Round};

/// `--only` of the stages of `cargo xtask test`.
pub const KILLS: &str = "kills";
/// See [`KILLS`].
pub const POWER: &str = "power";

/// The stage of histories of transactions.
pub const TRANSACTIONS: &str = "transactions";

/// What the node is under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Workload {
    /// Ledgers of plain and idempotent producers.
    Records,
    /// Histories of transactions.
    Transactions,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub workload: Workload,
    pub rounds: usize,
    pub seed: u64,
    pub is_short: bool,
    pub only: Option<String>,
    pub ottla: Option<PathBuf>,
    pub dir: PathBuf,
    pub configs: Vec<String>,
}

impl Options {
    /// Reads the arguments behind the task's name.
    pub fn parse(words: &[&str]) -> Result<Options, String> {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut options = Options {
            workload: Workload::Records,
            rounds: 20,
            seed,
            is_short: false,
            only: None,
            ottla: None,
            dir: std::env::temp_dir(),
            configs: Vec::new(),
        };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if word == "--short" {
                options.is_short = true;
                continue;
            }
            let known = ["--workload", "--rounds", "--seed", "--only", "--ottla", "--dir", "--config"];
            if !known.contains(&word) {
                return Err(format!("`cargo xtask chaos` has no `{word}`"));
            }
            let value = words.next().ok_or_else(|| format!("`{word}` wants a value"))?;
            let number = |least: u64| match value.parse::<u64>() {
                Ok(number) if number >= least => Ok(number),
                _ => Err(format!("`{word} {value}` is not a number from {least} on")),
            };
            match word {
                "--workload" => {
                    options.workload = match value {
                        "records" => Workload::Records,
                        "transactions" => Workload::Transactions,
                        _ => return Err(format!("`--workload {value}` is neither records nor transactions")),
                    }
                }
                "--rounds" => options.rounds = number(1)? as usize,
                "--seed" => options.seed = number(0)?,
                "--only" if [KILLS, POWER].contains(&value) => options.only = Some(value.to_owned()),
                "--only" => return Err(format!("`--only {value}` is neither {KILLS} nor {POWER}")),
                "--ottla" => options.ottla = Some(PathBuf::from(value)),
                "--dir" => options.dir = PathBuf::from(value),
                _ if value.contains('=') => options.configs.push(value.to_owned()),
                _ => return Err(format!("`--config {value}` is not NAME=VALUE")),
            }
        }
        Ok(options)
    }

    /// How many rounds there are, where the plan of ledgers has these.
    pub fn count(&self, plan: &[Round]) -> usize {
        match self.workload {
            Workload::Records => plan.len(),
            Workload::Transactions if self.is_short => 1,
            Workload::Transactions => self.rounds,
        }
    }

    /// The rounds.
    pub fn plan(&self, with_disk: bool) -> Vec<Round> {
        if !self.is_short {
            return plan::rounds(self.seed, self.rounds, with_disk);
        }
        let asked = |kind: &Kind| match self.only.as_deref() {
            Some(KILLS) => !kind.needs_disk(),
            Some(_) => kind.needs_disk(),
            None => true,
        };
        let kinds: Vec<Kind> = [Kind::Kill, Kind::KillInRecovery, Kind::PowerLoss]
            .into_iter()
            .filter(|kind| asked(kind) && (with_disk || !kind.needs_disk()))
            .collect();
        plan::short(self.seed, &kinds)
    }

    /// The command that does the same.
    pub fn line(&self) -> String {
        let mut line = format!("cargo xtask chaos --seed {}", self.seed);
        if self.workload == Workload::Transactions {
            line.push_str(" --workload transactions");
        }
        if self.is_short {
            line.push_str(" --short");
        } else {
            line.push_str(&format!(" --rounds {}", self.rounds));
        }
        if let Some(only) = &self.only {
            line.push_str(&format!(" --only {only}"));
        }
        if let Some(path) = &self.ottla {
            line.push_str(&format!(" --ottla {}", path.display()));
        }
        for config in &self.configs {
            line.push_str(&format!(" --config {config}"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_replay_comes_to_the_same_plan() {
        for words in [
            &["--rounds", "7", "--seed", "3"][..],
            &["--short", "--seed", "9", "--only", "kills", "--config", "a=b"],
            &["--workload", "transactions", "--seed", "5", "--rounds", "2"],
        ] {
            let options = Options::parse(words).unwrap();
            let line = options.line();
            let again: Vec<&str> = line.split(' ').skip(3).collect();
            assert_eq!(Options::parse(&again).unwrap(), options);
        }
        assert!(Options::parse(&["--rounds", "0"]).is_err() && Options::parse(&["--fly"]).is_err());
    }

    #[test]
    fn the_short_form_is_split_into_what_needs_a_disk_and_what_does_not() {
        let kinds = |words: &[&str], with_disk| {
            let plan = Options::parse(words).unwrap().plan(with_disk);
            plan.iter().map(|round| round.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&["--short"], true), [Kind::Kill, Kind::KillInRecovery, Kind::PowerLoss]);
        assert_eq!(kinds(&["--short"], false), [Kind::Kill, Kind::KillInRecovery]);
        assert_eq!(kinds(&["--short", "--only", "power"], true), [Kind::PowerLoss]);
        assert_eq!(kinds(&["--short", "--only", "power"], false), []);
    }
}
