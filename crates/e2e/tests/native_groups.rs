//! Groups by the native client's command line, by both protocols: shared, taken over, described, reset and deleted.

use std::time::Instant;

use ottla_e2e::process::{Running, signal};
use ottla_e2e::{DEADLINE, Node};
use serde_json::{Value, json};

const TOPIC: &str = "orders";
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

#[track_caller]
fn node_with(records: usize, partitions: usize) -> Node {
    let node = Node::with()
        .set("group.initial.rebalance.delay.ms", "0")
        .set("group.consumer.min.heartbeat.interval.ms", "100")
        .set("group.consumer.heartbeat.interval.ms", "200")
        .set("group.consumer.min.session.timeout.ms", "1000")
        .set("group.consumer.session.timeout.ms", "8000")
        .start();
    node.ottla(&["topic", "create", TOPIC, "--partitions", &partitions.to_string()]).ok();
    let input: String = (0..records).map(|number| format!("key-{number}:value-{number}\n")).collect();
    node.ottla_with_input(&["produce", TOPIC, "--key-separator", ":"], &input).ok();
    node
}

#[track_caller]
fn described(node: &Node, group: &str) -> Value {
    node.ottla(&["group", "describe", group, "--json"]).ok().json()
}

fn offsets(described: &Value) -> Vec<(i64, i64, i64)> {
    let rows = described["partitions"].as_array().expect("partitions");
    let number = |value: &Value| value.as_i64().expect("a number");
    rows.iter().map(|row| (number(&row["offset"]), number(&row["end"]), number(&row["lag"]))).collect()
}

#[test]
fn offsets_are_reset_in_every_way_and_told() {
    let node = node_with(0, 2);
    node.ottla_with_input(&["produce", TOPIC, "--partition", "0"], &"x\n".repeat(40)).ok();
    node.ottla_with_input(&["produce", TOPIC, "--partition", "1"], &"x\n".repeat(10)).ok();
    let reset = |arguments: &[&str]| {
        let finished = node.ottla(&[&["group", "reset-offsets", "g", "--json"], arguments].concat()).ok();
        finished.json_lines().iter().map(|row| (row["before"].clone(), row["offset"].as_i64().expect("an offset"))).collect::<Vec<_>>()
    };
    assert_eq!(reset(&["--topic", TOPIC, "--to-earliest", "--dry-run"]), [(Value::Null, 0), (Value::Null, 0)]);
    node.ottla(&["group", "describe", "g"]).failed().says("GROUP_ID_NOT_FOUND").says("ottla group list");
    assert_eq!(reset(&["--topic", TOPIC, "--to-offset", "20"]), [(Value::Null, 20), (Value::Null, 10)]);
    assert_eq!(offsets(&described(&node, "g")), [(20, 40, 20), (10, 10, 0)]);
    assert_eq!(reset(&["--shift-by", "-15"]), [(json!(20), 5), (json!(10), 0)]);
    assert_eq!(reset(&["--topic", "orders:1", "--shift-by", "3"]), [(json!(0), 3)]);
    assert_eq!(reset(&["--to-latest"]), [(json!(5), 40), (json!(3), 10)]);
    assert_eq!(reset(&["--to-datetime", "2001-01-01"]), [(json!(40), 0), (json!(10), 0)]);
    assert_eq!(reset(&["--to-datetime", "2999-01-01"]), [(json!(0), 40), (json!(0), 10)]);
    assert_eq!(reset(&["--to-earliest"]), [(json!(40), 0), (json!(10), 0)]);
    let shown = node.ottla(&["group", "reset-offsets", "g", "--to-offset", "7"]).ok().stdout;
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [&["TOPIC", "PARTITION", "BEFORE", "NOW"][..], &["orders", "0", "0", "7"], &["orders", "1", "0", "7"]]);

    let whole = described(&node, "g");
    assert_eq!((&whole["state"], &whole["protocol"], &whole["lag"]), (&json!("Empty"), &json!("classic"), &json!(36)));
    assert_eq!((&whole["members"], &whole["last_rebalance"], &whole["coordinator"]["id"]), (&json!([]), &Value::Null, &json!(1)));
    node.ottla(&["group", "list"]).ok().says("g");
    node.ottla(&["group", "reset-offsets", "g", "--topic", "orders:2", "--to-latest"]).failed().says("partitions 0 to 1, not 2");
    node.ottla(&["group", "reset-offsets", "new", "--to-latest"]).failed().says("GROUP_ID_NOT_FOUND");
    assert_eq!(node.ottla(&["group", "delete", "g", "--json"]).ok().json(), json!({"group": "g", "deleted": true}));
    node.ottla(&["group", "delete", "g"]).failed().says("GROUP_ID_NOT_FOUND");
    assert_eq!(node.ottla(&["group", "delete", "g", "--if-exists", "--json"]).ok().json()["deleted"], json!(false));
    node.ottla(&["group", "list"]).ok().says("No groups yet");
}

/// A member that goes on reading until it is ended.
#[track_caller]
fn member(node: &Node, protocol: &str, group: &str) -> Running {
    let arguments = ["consume", TOPIC, "--group", group, "--group-protocol", protocol, "--follow"];
    let quick = ["--property", "session.timeout.ms=8000", "--property", "heartbeat.interval.ms=200"];
    let arguments = if protocol == "classic" { [&arguments[..], &quick].concat() } else { arguments.to_vec() };
    Running::start(&mut node.ottla_command(&arguments))
}

/// Asks about a group until what is told of it holds.
#[track_caller]
fn wait_for(node: &Node, group: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let finished = node.ottla(&["group", "describe", group, "--json"]);
        if finished.code == Some(0) {
            let described = finished.json();
            if holds(&described) {
                return described;
            }
        }
        assert!(Instant::now() < deadline, "{what} did not come to be: {finished}");
    }
}

/// How many partitions each member has, in ascending order.
fn shares(described: &Value) -> Vec<usize> {
    let members = described["members"].as_array().expect("members");
    let mut shares: Vec<usize> = members.iter().map(|m| m["assignment"][TOPIC].as_array().map_or(0, Vec::len)).collect();
    shares.sort_unstable();
    shares
}

#[test]
fn a_group_reads_each_record_once_over_several_runs() {
    let node = node_with(100, 3);
    for protocol in PROTOCOLS {
        let group = format!("runs-{protocol}");
        let consume = |more: &[&str]| {
            let arguments = ["consume", TOPIC, "--group", &group, "--group-protocol", protocol];
            node.ottla(&[&arguments[..], more].concat()).ok().stdout.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut all = consume(&["--max-messages", "30"]);
        assert_eq!(all.len(), 30, "{protocol}");
        // Partitions of which nothing was printed have no offset yet.
        let rows = described(&node, &group)["partitions"].as_array().expect("partitions").clone();
        let read: i64 = rows.iter().filter_map(|row| row["offset"].as_i64()).sum();
        assert_eq!(read, 30, "{protocol}: what was printed is committed, and nothing else");
        all.extend(consume(&[]));
        all.sort_unstable();
        let mut expected: Vec<String> = (0..100).map(|number| format!("value-{number}")).collect();
        expected.sort_unstable();
        assert_eq!(all, expected, "{protocol}");
        assert!(consume(&[]).is_empty(), "{protocol}: nothing is left");
        let whole = described(&node, &group);
        assert_eq!((&whole["state"], &whole["lag"], &whole["members"]), (&json!("Empty"), &json!(0), &json!([])));
        let listed = node.ottla(&["group", "list", "--json"]).ok().json_lines();
        let listed = listed.iter().find(|listed| listed["group"] == json!(group)).expect("it is listed");
        assert_eq!((&listed["protocol"], &listed["state"]), (&json!(protocol), &json!("Empty")));
    }
}

/// Records of one round, told apart from those of another by its name.
#[track_caller]
fn produce_round(node: &Node, round: &str) {
    let input: String = (0..40).map(|number| format!("key-{number}:{round}-{number}\n")).collect();
    node.ottla_with_input(&["produce", TOPIC, "--key-separator", ":"], &input).ok();
}

fn of_round(said: &str, round: &str) -> Vec<String> {
    let mut lines: Vec<String> = said.lines().filter(|line| line.starts_with(round)).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn whole_round(round: &str) -> Vec<String> {
    of_round(&(0..40).map(|number| format!("{round}-{number}\n")).collect::<String>(), round)
}

fn two_members_share_and_take_over(protocol: &str) {
    let node = node_with(0, 4);
    produce_round(&node, "alone");
    let mut first = member(&node, protocol, "pair");
    first.wait_until(|said| of_round(said, "alone").len() == 40);
    let mut second = member(&node, protocol, "pair");
    let shared = wait_for(&node, "pair", "an even share", |told| shares(told) == [2, 2] && told["state"] == json!("Stable"));
    let last = &shared["last_rebalance"];
    let members = shared["members"].as_array().expect("members");
    assert!(members.iter().any(|member| member["member"] == last["member"]), "{shared}");
    assert!(last["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{shared}");
    assert!(last["duration_ms"].as_u64().is_some() && last["began"].as_i64() > Some(1_600_000_000_000), "{shared}");
    for row in shared["partitions"].as_array().expect("partitions") {
        assert!(members.iter().any(|member| member["member"] == row["member"]), "each partition has its reader: {shared}");
    }
    node.ottla(&["group", "reset-offsets", "pair", "--to-earliest"]).failed().says("2 members");
    node.ottla(&["group", "delete", "pair"]).failed().says("NON_EMPTY_GROUP").says("stop its consumers first");
    let shown = node.ottla(&["group", "describe", "pair"]).ok();
    assert!(shown.stdout.contains("Last rebalance  2") && shown.stdout.contains("ottla-cli"), "{shown}");
    assert!(
        shown.stdout.lines().any(|line| line.starts_with("orders ") && line.contains(last["member"].as_str().unwrap_or("?"))),
        "{shown}"
    );

    produce_round(&node, "both");
    wait_for(&node, "pair", "all to be read", |told| told["lag"] == json!(0));
    // All of it was printed before it was committed; it may still be on its way to here.
    let deadline = Instant::now() + DEADLINE;
    let (by_first, by_second) = loop {
        let (by_first, by_second) = (of_round(first.so_far(), "both"), of_round(second.so_far(), "both"));
        if by_first.len() + by_second.len() >= 40 {
            break (by_first, by_second);
        }
        assert!(Instant::now() < deadline, "{by_first:?} and {by_second:?} are not all");
        std::thread::yield_now();
    };
    assert!(!by_first.is_empty() && !by_second.is_empty(), "both had something to read");
    let mut by_both = [by_first, by_second.clone()].concat();
    by_both.sort_unstable();
    assert_eq!(by_both, whole_round("both"), "each record once");
    assert!(of_round(second.so_far(), "alone").is_empty(), "what the first had printed was committed before it gave it up");

    drop(first);
    let alone = wait_for(&node, "pair", "the second alone", |told| shares(told) == [4]);
    assert_eq!(alone["last_rebalance"]["reason"], json!("sent no heartbeat for its whole session timeout"), "{alone}");
    produce_round(&node, "rest");
    let said = second.wait_until(|said| of_round(said, "rest").len() == 40);
    assert_eq!(of_round(said, "rest"), whole_round("rest"));
    assert_eq!(of_round(said, "both"), by_second, "nothing of the first's is read again");

    signal(second.id(), "TERM");
    let empty = wait_for(&node, "pair", "nobody", |told| told["state"] == json!("Empty"));
    assert_eq!((&empty["lag"], &empty["members"]), (&json!(0), &json!([])), "it commits before it leaves");
    assert!(empty["last_rebalance"]["reason"].as_str().is_some_and(|reason| reason.starts_with("left")), "{empty}");
}

#[test]
fn two_classic_members_share_and_one_takes_over_from_the_other_that_dies() {
    two_members_share_and_take_over("classic");
}

#[test]
fn two_members_by_the_consumer_protocol_share_and_one_takes_over_from_the_other_that_dies() {
    two_members_share_and_take_over("consumer");
}
