//! kafka-consumer-groups with every subcommand, Kafka's verifiable clients around a sudden end, and Kafka's formatters of
//! `__consumer_offsets`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_e2e::calls::{RECORDS_TIME_MS, batch_at};
use ottla_e2e::java::{CONSOLE_CONSUMER, CONSUMER_GROUPS, VERIFIABLE_CONSUMER, VERIFIABLE_PRODUCER, command, kafka};
use ottla_e2e::process::{Finished, Running};
use ottla_e2e::{DEADLINE, Node};
use serde_json::{Value, json};

const TOPIC: &str = "orders";
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];
/// How many records each partition has of [`RECORDS_TIME_MS`], and again as many that are an hour younger.
const RECORDS_OF_A_TIME: [usize; 2] = [10, 5];
const HOUR_MS: i64 = 3_600_000;

#[track_caller]
fn filled() -> Node {
    let node = Node::with().set("group.initial.rebalance.delay.ms", "0").start();
    let mut caller = node.caller();
    assert_eq!(caller.create_topic(TOPIC, 2, &[("retention.ms", "-1")]), 0);
    for (partition, count) in (0..).zip(RECORDS_OF_A_TIME) {
        for time_ms in [RECORDS_TIME_MS, RECORDS_TIME_MS + HOUR_MS] {
            let batch = batch_at(time_ms, &vec![b"value".as_slice(); count]);
            assert_eq!(caller.produce(TOPIC, partition, &batch, -1).error_code, 0);
        }
    }
    node
}

#[track_caller]
fn tool(node: &Node, arguments: &[&str]) -> Finished {
    kafka(CONSUMER_GROUPS, &[&["--bootstrap-server", &node.address()], arguments].concat())
}

/// The rows of its tables, without their headings, and without what is said beside them.
fn rows(said: &Finished) -> Vec<Vec<String>> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut rows: Vec<_> = said
        .stdout
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| !["GROUP ", "Consumer group '", "Warn: "].iter().any(|beside| line.starts_with(beside)))
        .map(words)
        .collect();
    rows.sort_unstable();
    rows
}

/// Makes the tool's plan, or carries it out; gives the new offset of each partition that it speaks of.
#[track_caller]
fn reset(node: &Node, group: &str, scope: &str, how: &[&str]) -> BTreeMap<i64, i64> {
    let arguments = ["--reset-offsets", "--group", group, "--topic", scope];
    let said = tool(node, &[&arguments[..], how].concat()).ok();
    let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("no number: {said}"));
    rows(&said)
        .iter()
        .map(|row| {
            assert_eq!((&*row[0], &*row[1]), (group, TOPIC), "{said}");
            (number(&row[2]), number(&row[3]))
        })
        .collect()
}

/// What the node itself knows of a group.
#[track_caller]
fn described(node: &Node, group: &str) -> Value {
    node.ottla(&["group", "describe", group, "--json"]).ok().json()
}

/// The committed offset of each partition that has one.
fn offsets(described: &Value) -> BTreeMap<i64, i64> {
    let of_row = |row: &Value| Some((row["partition"].as_i64()?, row["offset"].as_i64()?));
    described["partitions"].as_array().expect("partitions").iter().filter_map(of_row).collect()
}

#[track_caller]
fn committed(node: &Node, group: &str) -> BTreeMap<i64, i64> {
    offsets(&described(node, group))
}

/// Asks again until it holds: the group is changed by other processes, and nobody tells.
#[track_caller]
fn wait_for(node: &Node, group: &str, what: &str, holds: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let told = node.ottla(&["group", "describe", group, "--json"]);
        if told.code == Some(0) && holds(&told.json()) {
            return;
        }
        assert!(Instant::now() < deadline, "{what} did not come to be: {told}");
    }
}

fn two(first: i64, second: i64) -> BTreeMap<i64, i64> {
    BTreeMap::from([(0, first), (1, second)])
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn offsets_are_reset_in_every_way_there_is() {
    let node = filled();
    // A group that nobody was ever a member of comes to be by its offsets.
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-offset", "7", "--execute"]), two(7, 7));
    assert_eq!(committed(&node, "shop"), two(7, 7));
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-earliest", "--dry-run"]), two(0, 0));
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-latest"]), two(20, 10), "a plan is what is made when nothing is said");
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-current", "--dry-run"]), two(7, 7), "and the plans changed nothing");
    // Beyond an end there is nothing: the tool asks where that is.
    assert_eq!(reset(&node, "shop", TOPIC, &["--shift-by", "5", "--execute"]), two(12, 10));
    assert_eq!(reset(&node, "shop", TOPIC, &["--shift-by", "-4", "--execute"]), two(8, 6));
    assert_eq!(committed(&node, "shop"), two(8, 6));
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-offset", "1000", "--dry-run"]), two(20, 10));
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-datetime", "2023-11-14T22:43:20.000", "--dry-run"]), two(10, 5));
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-datetime", "2023-11-14T00:00:00.000", "--dry-run"]), two(0, 0));
    assert_eq!(reset(&node, "shop", TOPIC, &["--to-datetime", "2023-11-15T00:00:00.000", "--dry-run"]), two(20, 10));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs() as i64;
    let back_to_between = format!("PT{}S", now - (RECORDS_TIME_MS + HOUR_MS / 2) / 1000);
    assert_eq!(reset(&node, "shop", TOPIC, &["--by-duration", &back_to_between, "--execute"]), two(10, 5));
    assert_eq!(committed(&node, "shop"), two(10, 5));
    assert_eq!(reset(&node, "shop", "orders:1", &["--to-earliest", "--execute"]), BTreeMap::from([(1, 0)]));
    assert_eq!(committed(&node, "shop"), two(10, 0));
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn plans_are_exported_and_carried_out_from_a_file_also_for_several_groups() {
    let node = filled();
    let file = node.data_dir().with_file_name("plan.csv");
    let path = file.display().to_string();
    let sorted = |csv: &Finished| {
        let mut lines: Vec<String> = csv.stdout.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    reset(&node, "shop", TOPIC, &["--to-offset", "3", "--execute"]);
    let plan = tool(&node, &["--reset-offsets", "--group", "shop", "--all-topics", "--shift-by", "1", "--export", "--dry-run"]).ok();
    assert_eq!(sorted(&plan), ["orders,0,4", "orders,1,4"]);
    std::fs::write(&file, &plan.stdout).expect("the plan can be written");
    tool(&node, &["--reset-offsets", "--group", "shop", "--from-file", &path, "--execute"]).ok();
    assert_eq!(committed(&node, "shop"), two(4, 4));

    reset(&node, "mill", TOPIC, &["--to-offset", "6", "--execute"]);
    let plan = tool(&node, &["--reset-offsets", "--all-groups", "--all-topics", "--to-current", "--export", "--dry-run"]).ok();
    assert_eq!(sorted(&plan), ["mill,orders,0,6", "mill,orders,1,6", "shop,orders,0,4", "shop,orders,1,4"]);
    std::fs::write(&file, "mill,orders,0,1\nmill,orders,1,2\nshop,orders,0,8\nshop,orders,1,9\n").expect("the plan can be written");
    tool(&node, &["--reset-offsets", "--group", "mill", "--group", "shop", "--from-file", &path, "--execute"]).ok();
    assert_eq!((committed(&node, "mill"), committed(&node, "shop")), (two(1, 2), two(8, 9)));
    tool(&node, &["--reset-offsets", "--all-groups", "--topic", TOPIC, "--to-latest", "--execute"]).ok();
    assert_eq!((committed(&node, "mill"), committed(&node, "shop")), (two(20, 10), two(20, 10)));

    tool(&node, &["--delete-offsets", "--group", "mill", "--topic", "orders:1"]).ok().says("Successful");
    assert_eq!(committed(&node, "mill"), BTreeMap::from([(0, 20)]));
    tool(&node, &["--delete", "--group", "mill", "--group", "shop"]).ok().says("was successful");
    assert_eq!(tool(&node, &["--list"]).ok().stdout.trim(), "");
    tool(&node, &["--delete", "--group", "mill"]).says("GroupIdNotFoundException");
    tool(&node, &["--describe", "--group", "mill"]).says("GroupIdNotFoundException");
}

/// A consumer that stays a member until it is dropped.
fn member(node: &Node, protocol: &str, group: &str) -> Running {
    let arguments = ["--bootstrap-server", &node.address(), "--topic", TOPIC, "--group-id", group, "--group-protocol", protocol];
    Running::start(&mut command(VERIFIABLE_CONSUMER, &[&arguments[..], &["--verbose", "--reset-policy", "earliest"]].concat()))
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn groups_with_members_are_listed_and_described_by_state_type_and_member_and_kept_from_change() {
    let node = filled();
    reset(&node, "idle", TOPIC, &["--to-offset", "7", "--execute"]);
    let members: Vec<Running> = PROTOCOLS.iter().map(|protocol| member(&node, protocol, protocol)).collect();
    for group in PROTOCOLS {
        wait_for(&node, group, "all to be read", |told| offsets(told) == two(20, 10) && told["state"] == json!("Stable"));
    }
    let listed = |arguments: &[&str]| rows(&tool(&node, &[&["--list"], arguments].concat()).ok());
    assert_eq!(
        listed(&["--state", "--type"]),
        [["classic", "Classic", "Stable"], ["consumer", "Consumer", "Stable"], ["idle", "Classic", "Empty"]]
    );
    assert_eq!(listed(&[]), [["classic"], ["consumer"], ["idle"]]);
    assert_eq!(listed(&["--state", "stable"]), [["classic", "Stable"], ["consumer", "Stable"]]);
    assert_eq!(listed(&["--state", "stable,empty", "--type", "classic"]), [["classic", "Classic", "Stable"], ["idle", "Classic", "Empty"]]);
    assert_eq!(listed(&["--type", "consumer"]), [["consumer", "Consumer"]]);

    let described = |arguments: &[&str]| rows(&tool(&node, &[&["--describe", "--all-groups"], arguments].concat()).ok());
    let (at, id) = (node.address(), "(1)");
    assert_eq!(
        described(&["--state"]),
        [
            vec!["classic", &at, id, "range", "Stable", "1"],
            vec!["consumer", &at, id, "uniform", "Stable", "1"],
            vec!["idle", &at, id, "-", "Empty", "0"],
        ]
    );
    let members_shown = described(&["--members"]);
    assert_eq!(members_shown.iter().map(|row| (&*row[0], &*row[4])).collect::<Vec<_>>(), [("classic", "2"), ("consumer", "2")]);
    assert!(members_shown.iter().all(|row| row[2] == "/127.0.0.1"), "{members_shown:?}");
    for row in described(&["--members", "--verbose"]) {
        assert!(row.iter().any(|word| word == "orders:0,1"), "{row:?}");
    }
    let shown = described(&["--offsets"]);
    let numbers: Vec<_> = shown.iter().map(|row| row[..6].iter().map(String::as_str).collect::<Vec<_>>()).collect();
    assert_eq!(
        numbers,
        [
            ["classic", TOPIC, "0", "20", "20", "0"],
            ["classic", TOPIC, "1", "10", "10", "0"],
            ["consumer", TOPIC, "0", "20", "20", "0"],
            ["consumer", TOPIC, "1", "10", "10", "0"],
            ["idle", TOPIC, "0", "7", "20", "13"],
            ["idle", TOPIC, "1", "7", "10", "3"],
        ]
    );
    assert!(shown.iter().all(|row| (row[6] == "-") == (row[0] == "idle")), "who reads it: {shown:?}");
    // The first of them is the leader epoch.
    assert!(described(&["--offsets", "--verbose"]).iter().all(|row| row.len() == 10), "{shown:?}");

    for group in PROTOCOLS {
        tool(&node, &["--reset-offsets", "--group", group, "--topic", TOPIC, "--to-earliest", "--execute"]).says("inactive");
        tool(&node, &["--delete", "--group", group]).says("GroupNotEmptyException");
        tool(&node, &["--delete-offsets", "--group", group, "--topic", TOPIC]).says("GroupSubscribedToTopicException");
        assert_eq!(committed(&node, group), two(20, 10), "{group}");
    }
    drop(members);
}

/// One value a line, for those that say that they are `name`; a line that is not yet whole is none.
fn events(said: &str, name: &str) -> Vec<Value> {
    said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|value| value["name"] == json!(name)).collect()
}

fn verifiable_clients_go_on_over_a_kill(protocol: &str) {
    const MESSAGES: usize = 3000;
    /// How many are sent before the node's end, which finds the producer in the midst of its work.
    const BEFORE_KILL: usize = 500;
    // The consumer of Kafka 4.3 fetches no sooner than its next heartbeat is due when the last fetch brought nothing.
    let often = ["group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"];
    let builder = Node::with().set("group.initial.rebalance.delay.ms", "0");
    let mut node = often.iter().fold(builder, |builder, name| builder.set(name, "500")).start();
    assert_eq!(node.caller().create_topic(TOPIC, 4, &[]), 0);
    // The tool sends each record once and gives up, unless it is told otherwise.
    let properties = node.data_dir().with_file_name("producer.properties");
    std::fs::write(&properties, "enable.idempotence=true\nretries=2147483647\n").expect("properties can be written");
    // Three, of whom one may die: a fetch that the application's thread takes while the other thread changes the partition's
    // state ends that consumer with an IllegalStateException (of the kind of KAFKA-15529), whatever the broker.
    let members = [(); 3].map(|()| member(&node, protocol, "trio"));
    wait_for(&node, "trio", "three members", |told| {
        let members = told["members"].as_array().map_or(0, Vec::len);
        told["state"] == json!("Stable") && members == 3
    });
    let (address, messages, path) = (node.address(), MESSAGES.to_string(), properties.display().to_string());
    let arguments = ["--bootstrap-server", &address, "--topic", TOPIC, "--max-messages", &messages, "--throughput", "1000"];
    let config = ["--acks", "-1", "--command-config", &path];
    let mut producer = Running::start(&mut command(VERIFIABLE_PRODUCER, &[&arguments[..], &config].concat()));
    producer.wait_until(|said| events(said, "producer_send_success").len() >= BEFORE_KILL);
    node.kill();
    node.start_again();
    let said = producer.wait_until(|said| !events(said, "tool_data").is_empty()).to_owned();
    assert_eq!(events(&said, "producer_send_error"), [] as [Value; 0]);
    let acknowledged: BTreeMap<_, _> = events(&said, "producer_send_success")
        .iter()
        .map(|sent| ((sent["partition"].as_i64(), sent["offset"].as_i64()), sent["value"].as_str().map(str::to_owned)))
        .collect();
    assert_eq!(acknowledged.len(), MESSAGES, "each in a place of its own");
    let mut caller = node.caller();
    let in_log: usize = (0..4).map(|partition| caller.consume_all(TOPIC, partition, 0).len()).sum();
    assert_eq!(in_log, MESSAGES, "a record that was sent again is there once");
    wait_for(&node, "trio", "all to be read", |told| offsets(told).values().sum::<i64>() == MESSAGES as i64);
    let mut consumed = BTreeMap::new();
    for member in members {
        let (_, said) = member.stop();
        for record in events(&said, "record_data") {
            let place = (record["partition"].as_i64(), record["offset"].as_i64());
            consumed.insert(place, record["value"].as_str().map(str::to_owned));
        }
    }
    assert!(consumed == acknowledged, "{} consumed of {} acknowledged", consumed.len(), acknowledged.len());
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn verifiable_clients_of_the_classic_protocol_go_on_over_a_kill_of_the_node() {
    verifiable_clients_go_on_over_a_kill("classic");
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn verifiable_clients_of_the_consumer_protocol_go_on_over_a_kill_of_the_node() {
    verifiable_clients_go_on_over_a_kill("consumer");
}

/// Up to `count` records of an internal topic, as one of Kafka's formatters shows them: JSON values in a row.
#[track_caller]
fn formatted(node: &Node, topic: &str, formatter: &str, count: usize) -> Vec<Value> {
    let (address, count) = (node.address(), count.to_string());
    let formatter = format!("org.apache.kafka.tools.consumer.{formatter}");
    let arguments = ["--bootstrap-server", &address, "--topic", topic, "--partition", "0", "--offset", "earliest"];
    let said = kafka(CONSOLE_CONSUMER, &[&arguments[..], &["--max-messages", &count, "--formatter", &formatter]].concat()).ok();
    let values = serde_json::Deserializer::from_str(&said.stdout).into_iter();
    values.map(|value| value.unwrap_or_else(|error| panic!("{error} in {said}"))).collect()
}

#[test]
#[ignore = "needs Java; `cargo xtask test` runs it"]
fn kafkas_formatters_print_the_topic_of_offsets() {
    let node = Node::with().set("group.initial.rebalance.delay.ms", "0").set("offsets.topic.num.partitions", "1").start();
    assert_eq!(node.caller().create_topic(TOPIC, 1, &[]), 0);
    let mut classic = member(&node, "classic", "shop");
    classic.wait_until(|said| !events(said, "partitions_assigned").is_empty());
    classic.stop();
    reset(&node, "shop", TOPIC, &["--to-earliest", "--execute"]);
    tool(&node, &["--delete", "--group", "shop"]).ok();
    let written = usize::try_from(node.caller().end_offset("__consumer_offsets", 0)).expect("an offset");

    let offsets = formatted(&node, "__consumer_offsets", "OffsetsMessageFormatter", written);
    let key = json!({"type": 1, "data": {"group": "shop", "topic": TOPIC, "partition": 0}});
    assert!(offsets.iter().all(|record| record["key"] == key), "{offsets:?}");
    assert_eq!(offsets[0]["value"]["data"]["offset"], json!(0), "{offsets:?}");
    assert_eq!(offsets.last().map(|last| &last["value"]), Some(&Value::Null), "the end of the group is the end of its offsets");

    let groups = formatted(&node, "__consumer_offsets", "GroupMetadataMessageFormatter", written);
    let key = json!({"type": 2, "data": {"group": "shop"}});
    assert!(groups.iter().all(|record| record["key"] == key), "{groups:?}");
    assert_eq!(groups.last().map(|last| &last["value"]), Some(&Value::Null), "{groups:?}");
    let members: BTreeSet<(&str, &str)> = groups
        .iter()
        .flat_map(|record| record["value"]["data"]["members"].as_array().into_iter().flatten())
        .filter_map(|member| Some((member["clientHost"].as_str()?, member["clientId"].as_str()?)))
        .collect();
    assert_eq!(members.len(), 1, "{groups:?}");
    assert!(members.iter().all(|(host, client)| *host == "/127.0.0.1" && !client.is_empty()), "{groups:?}");
}
