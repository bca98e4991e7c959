//! A start that cannot be: one line that says why and how to mend it, an exit code that is not 0, nothing changed.

use std::net::TcpListener;

use ottla_e2e::process::{Finished, run};
use ottla_e2e::{Node, ottla};

/// Tries to start it; it must fail by itself and say something on standard error.
#[track_caller]
fn refused(node: &Node) -> Finished {
    let finished = run(&mut node.serve_command()).failed();
    assert!(!finished.stderr.trim().is_empty(), "it says nothing: {finished}");
    assert!(!finished.stderr.contains("panicked"), "{finished}");
    finished
}

#[test]
fn a_used_port_is_named() {
    let node = Node::with().unstarted();
    let _taken = TcpListener::bind(node.socket_address()).expect("the port is this test's");
    refused(&node).says(&node.address());
}

#[test]
fn a_log_dir_in_use_is_named() {
    let running = Node::start();
    let dir = running.data_dir().display().to_string();
    let second = Node::with().set("log.dirs", &dir).unstarted();
    refused(&second).says(&dir).says("in use");
    let mut running = running;
    running.assert_serves();
}

#[test]
fn a_log_dir_of_another_node_is_refused() {
    let mut first = Node::start();
    assert!(first.stop().success());
    let dir = first.data_dir().display().to_string();
    let identity = || std::fs::read_to_string(first.data_dir().join("meta.properties")).expect("the log dir has an identity");
    let before = identity();
    let voters = |port: u16| format!("7@127.0.0.1:{port}");
    let other_port = ottla_e2e::ports::Port::take();
    let other =
        Node::with().set("node.id", "7").set("controller.quorum.voters", &voters(other_port.number())).set("log.dirs", &dir).unstarted();
    refused(&other).says(&dir).says("node.id");
    assert_eq!(identity(), before);
}

#[test]
fn an_ill_typed_config_is_named_with_what_it_should_be() {
    let node = Node::with().set("num.partitions", "three").unstarted();
    refused(&node).says("num.partitions").says("three");
    assert!(!node.data_dir().exists(), "a start that was refused has made the log dir");
    let node = Node::with().set("num.partitions", "0").unstarted();
    refused(&node).says("num.partitions");
}

#[test]
fn an_unknown_config_is_warned_of_with_the_nearest_known_one() {
    let mut node = Node::with().set("num.partitons", "3").start();
    node.wait_for_log("num.partitons");
    node.wait_for_log("num.partitions");
}

#[test]
fn an_unknown_config_is_fatal_when_strict() {
    let node = Node::with().set("num.partitons", "3").argument("--strict").unstarted();
    refused(&node).says("num.partitons").says("num.partitions");
}

#[test]
fn security_that_is_not_there_is_fatal() {
    let node = Node::with().set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer").unstarted();
    refused(&node).says("authorizer.class.name");
    let node = Node::with().set("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:SSL").unstarted();
    refused(&node).says("SSL");
}

#[test]
fn a_properties_file_that_is_not_there_is_named() {
    run(&mut ottla(&["serve", "--config", "/nonexistent/server.properties"])).failed().says("/nonexistent/server.properties");
}

#[test]
fn an_override_wins_over_the_file() {
    let node = Node::with().set("num.partitions", "3").argument("--override").argument("num.partitions=5").start();
    assert_eq!(node.caller().create_topic("events", -1, &[]), 0);
    assert!(node.partition_dir("events", 4).is_dir());
}
