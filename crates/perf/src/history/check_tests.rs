//! Made-up histories, each with one thing wrong.

use super::super::book::Input;
use super::*;

/// Two writers' transactions and a mover's: `0.1.0` committed, `0.1.1` aborted, `0.2.0` unknown, `7.1.0` moves.
const HISTORY: &str = "\
begun 0.1.0 1 0,1,0
written 0.1.0 2 0:0,1:0
ending 0.1.0 2 commit
ended 0.1.0 3 committed
begun 0.1.1 4 0,1
written 0.1.1 4 0:3
ending 0.1.1 5 abort
ended 0.1.1 6 aborted
begun 0.2.0 7 0,1
ending 0.2.0 8 commit
begun 0.3.0 9 1
begun 7.1.0 10 0<0:0,0<0:1,0<1:0
ending 7.1.0 10 commit
ended 7.1.0 11 committed";

fn histories() -> Histories {
    let mut histories = Histories::default();
    HISTORY.lines().for_each(|line| histories.add(line).unwrap());
    histories
}

fn seen(place: &str, id: &str) -> Seen {
    Seen { place: place.parse().unwrap(), value: Some(Value { id: id.parse().unwrap(), input: None }) }
}

fn moved(place: &str, id: &str, from: &str, value: &str) -> Seen {
    let input = Input { place: from.parse().unwrap(), value: value.parse().unwrap() };
    Seen { place: place.parse().unwrap(), value: Some(Value { id: id.parse().unwrap(), input: Some(input) }) }
}

/// As it should be: the unknown one is not committed.
fn sound() -> (View, View) {
    let committed = vec![seen("0:0", "0.1.0/0"), seen("0:1", "0.1.0/2"), seen("1:0", "0.1.0/1")];
    let all = vec![
        seen("0:0", "0.1.0/0"),
        seen("0:1", "0.1.0/2"),
        seen("0:3", "0.1.1/0"),
        seen("0:5", "0.2.0/0"),
        seen("1:0", "0.1.0/1"),
        seen("1:2", "0.1.1/1"),
        seen("1:6", "0.3.0/0"),
    ];
    let target = vec![
        moved("0:0", "7.1.0/0", "0:0", "0.1.0/0"),
        moved("0:1", "7.1.0/1", "0:1", "0.1.0/2"),
        moved("0:2", "7.1.0/2", "1:0", "0.1.0/1"),
    ];
    (View { committed, all, held_up: 0 }, View { committed: target.clone(), all: target, held_up: 0 })
}

fn found(change: impl FnOnce(&mut Histories, &mut View, &mut View)) -> Findings {
    let (mut histories, (mut source, mut target)) = (histories(), sound());
    change(&mut histories, &mut source, &mut target);
    let sorted = |view: &mut Vec<Seen>| view.sort_by_key(|seen| seen.place);
    [&mut source.committed, &mut source.all, &mut target.committed, &mut target.all].into_iter().for_each(sorted);
    check(&histories, &source, Some(&target))
}

/// What was found, but for the words.
fn counts(findings: Findings) -> Findings {
    assert_eq!(findings.told.len() as u64, findings.count(), "{:?}", findings.told);
    Findings { told: Vec::new(), ..findings }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_, _, _| ()), Findings::default());
    let histories = histories();
    assert_eq!(check(&histories, &sound().0, None), Findings::default(), "without movers");
}

#[test]
fn an_unknown_outcome_may_be_either_but_whole() {
    let whole = found(|_, source, target| {
        for place in [seen("0:5", "0.2.0/0"), seen("1:4", "0.2.0/1")] {
            source.committed.push(place);
        }
        source.all.push(seen("1:4", "0.2.0/1"));
        // Then it is to be moved as well.
        for output in [moved("0:3", "7.1.1/0", "0:5", "0.2.0/0"), moved("0:4", "7.1.1/1", "1:4", "0.2.0/1")] {
            target.committed.push(output);
            target.all.push(output);
        }
    });
    // The second transaction of the mover is in no history.
    assert_eq!(counts(whole), Findings { strange: 2, ..Findings::default() });
    let torn = found(|histories, source, _| {
        source.committed.push(seen("0:5", "0.2.0/0"));
        histories.add("ended 0.2.0 9 unknown fenced").unwrap();
    });
    assert_eq!(counts(torn), Findings { torn: 1, unmoved: 1, ..Findings::default() });
}

#[test]
fn a_committed_value_that_is_not_seen_is_lost() {
    // Its acknowledgement is told once, as lost.
    let gone = found(|_, source, target| {
        source.committed.retain(|seen| seen.place != Place { partition: 1, offset: 0 });
        source.all.retain(|seen| seen.place != Place { partition: 1, offset: 0 });
        target.committed.pop();
        target.all.pop();
    });
    // Lost in the source, and the output of it in the target.
    assert_eq!(counts(gone), Findings { lost: 2, ..Findings::default() });
    let hidden = found(|_, source, _| source.committed.retain(|seen| seen.place != Place { partition: 1, offset: 0 }));
    assert_eq!(counts(hidden), Findings { lost: 1, from_nothing: 1, ..Findings::default() });
}

#[test]
fn a_value_that_is_there_twice_is_doubled_whether_committed_or_not() {
    let both = found(|_, source, target| {
        source.committed.push(seen("0:2", "0.1.0/2"));
        source.all.push(seen("0:2", "0.1.0/2"));
        target.all.clear();
        target.committed.clear();
    });
    // With its outputs taken away as well: three values lost, four inputs unmoved.
    assert_eq!(counts(both), Findings { doubled: 1, lost: 3, unmoved: 4, ..Findings::default() });
    let uncommitted = found(|_, source, _| source.all.push(seen("0:4", "0.1.1/0")));
    assert_eq!(counts(uncommitted), Findings { doubled: 1, ..Findings::default() });
    let in_the_reading = found(|_, source, _| source.committed.push(seen("0:1", "0.1.0/2")));
    assert_eq!(counts(in_the_reading), Findings { doubled: 1, ..Findings::default() });
}

#[test]
fn a_value_of_an_aborted_transaction_or_of_one_that_nobody_asked_to_commit_is_not_to_be_seen() {
    let aborted = found(|_, source, _| source.committed.push(seen("0:3", "0.1.1/0")));
    assert_eq!(counts(aborted), Findings { aborted_read: 1, unmoved: 1, ..Findings::default() });
    let given_up = found(|_, source, _| source.committed.push(seen("1:6", "0.3.0/0")));
    assert_eq!(counts(given_up), Findings { aborted_read: 1, unmoved: 1, ..Findings::default() });
    let unknown = found(|histories, source, _| {
        histories.add("ended 0.3.0 9 unknown").unwrap();
        source.committed.push(seen("1:6", "0.3.0/0"));
    });
    assert_eq!(counts(unknown), Findings { aborted_read: 1, unmoved: 1, ..Findings::default() });
}

#[test]
fn values_of_a_client_stand_as_they_were_sent_and_a_fenced_producers_before_its_successors() {
    let within = found(|_, source, target| {
        for view in [&mut source.committed, &mut source.all] {
            view[0] = seen("0:0", "0.1.0/2");
            view[1] = seen("0:1", "0.1.0/0");
        }
        for view in [&mut target.committed, &mut target.all] {
            view[0] = moved("0:0", "7.1.0/0", "0:0", "0.1.0/2");
            view[1] = moved("0:1", "7.1.0/1", "0:1", "0.1.0/0");
        }
    });
    // And the first was acknowledged elsewhere.
    assert_eq!(counts(within), Findings { out_of_order: 1, displaced: 1, ..Findings::default() });
    let fenced = found(|_, source, _| source.all.push(seen("0:9", "0.1.1/0")));
    assert_eq!(counts(fenced), Findings { out_of_order: 1, doubled: 1, ..Findings::default() });
}

#[test]
fn an_offset_that_was_acknowledged_is_held_to_even_of_what_was_aborted() {
    let gone = found(|_, source, _| source.all.retain(|seen| seen.place != Place { partition: 0, offset: 3 }));
    assert_eq!(counts(gone), Findings { displaced: 1, ..Findings::default() });
    let only_for_some = found(|_, source, _| source.all.retain(|seen| seen.place != Place { partition: 0, offset: 1 }));
    assert_eq!(counts(only_for_some), Findings { displaced: 1, ..Findings::default() });
}

#[test]
fn what_nobody_sent_there_is_strange() {
    let nobodys = Seen { place: "0:7".parse().unwrap(), value: None };
    assert_eq!(counts(found(|_, source, _| source.all.push(nobodys))), Findings { strange: 1, ..Findings::default() });
    for id in ["0.3.9/0", "0.3.0/1", "7.1.0/0"] {
        assert_eq!(counts(found(|_, source, _| source.all.push(seen("1:7", id)))), Findings { strange: 1, ..Findings::default() }, "{id}");
    }
    let elsewhere = found(|_, source, _| source.all[3] = seen("1:3", "0.2.0/0"));
    assert_eq!(counts(elsewhere), Findings { strange: 1, ..Findings::default() });
}

#[test]
fn each_input_has_one_output() {
    let unmoved = found(|histories, _, target| {
        histories.transactions.remove(&"7.1.0".parse().unwrap());
        *target = View::default();
    });
    assert_eq!(counts(unmoved), Findings { unmoved: 3, ..Findings::default() });
    let twice = found(|histories, _, target| {
        histories.add("begun 7.2.0 12 0<0:0").unwrap();
        for view in [&mut target.committed, &mut target.all] {
            view.push(moved("0:4", "7.2.0/0", "0:0", "0.1.0/0"));
        }
        histories.add("ending 7.2.0 12 commit").unwrap();
    });
    assert_eq!(counts(twice), Findings { moved_twice: 1, ..Findings::default() });
    let of_an_aborted_one = found(|histories, _, target| {
        histories.add("begun 7.2.0 12 0<0:3").unwrap();
        histories.add("ending 7.2.0 12 commit").unwrap();
        for view in [&mut target.committed, &mut target.all] {
            view.push(moved("0:4", "7.2.0/0", "0:3", "0.1.1/0"));
        }
    });
    assert_eq!(counts(of_an_aborted_one), Findings { from_nothing: 1, ..Findings::default() });
    let of_another = found(|_, _, target| {
        for view in [&mut target.committed, &mut target.all] {
            view[0] = moved("0:0", "7.1.0/0", "0:0", "0.1.0/1");
        }
    });
    assert_eq!(counts(of_another), Findings { from_nothing: 1, unmoved: 1, ..Findings::default() });
}

#[test]
fn a_partition_that_a_transaction_holds_up_is_told() {
    assert_eq!(counts(found(|_, source, _| source.held_up = 2)), Findings { held_up: 2, ..Findings::default() });
}

#[test]
fn many_findings_are_counted_and_the_first_told() {
    let findings = found(|_, source, _| {
        for offset in 100..200 {
            source.all.push(Seen { place: Place { partition: 0, offset }, value: None });
        }
    });
    assert_eq!((findings.strange, findings.count(), findings.told.len()), (100, 100, FINDINGS_TOLD_MAX));
    assert_eq!(findings.told[0], "source 0:100: a record of somebody else was not sent there");
}
