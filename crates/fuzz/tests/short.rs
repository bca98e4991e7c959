//! Every target over all of its corpus and a bounded number of mutations, the same on every run.

use ottla_fuzz::run::{Until, run};
use ottla_fuzz::{TARGETS, Target, corpus};

/// Sets the seed of the mutations, to have a failure again or to see others.
const SEED_VARIABLE: &str = "OTTLA_FUZZ_SEED";
/// How many mutations a light target gets; the others get fewer, by their weight.
const MUTATIONS_VARIABLE: &str = "OTTLA_FUZZ_MUTATIONS";
const MUTATIONS: u64 = 2000;

fn variable(name: &str, or: u64) -> u64 {
    std::env::var(name).map_or(or, |text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

fn short(targets: impl Iterator<Item = &'static Target>) {
    let (seed, mutations) = (variable(SEED_VARIABLE, 1), variable(MUTATIONS_VARIABLE, MUTATIONS));
    println!("{SEED_VARIABLE}={seed} {MUTATIONS_VARIABLE}={mutations}");
    for target in targets {
        let began = std::time::Instant::now();
        let inputs = run(target, seed, Until::Mutations(mutations / target.weight));
        println!("{}: {inputs} inputs in {:.1?}", target.name, began.elapsed());
        assert!(inputs > mutations / target.weight, "{}: mutations of nothing", target.name);
    }
}

/// Two halves, for two processors.
#[test]
fn targets_bear_their_corpus_and_mutations_of_it() {
    short(TARGETS.iter().step_by(2));
}

#[test]
fn the_other_targets_bear_their_corpus_and_mutations_of_it() {
    short(TARGETS.iter().skip(1).step_by(2));
}

#[test]
fn every_target_has_files_in_its_corpus_and_no_files_are_of_none() {
    for target in TARGETS {
        let files = corpus::files(target).unwrap_or_else(|e| panic!("{}: {e}", corpus::folder(target).display()));
        assert!(!files.is_empty(), "{} has no files: cargo run -p ottla-fuzz -- seed", target.name);
    }
    let folders = std::fs::read_dir(corpus::folder(&TARGETS[0]).parent().unwrap()).unwrap();
    let names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unknown: Vec<String> = names.filter(|name| ottla_fuzz::target(name).is_none()).collect();
    assert_eq!(unknown, Vec::<String>::new(), "folders of no target");
}
