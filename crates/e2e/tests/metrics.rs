//! Metrics and health of a real node, as Prometheus and an orchestrator see them.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use ottla_e2e::calls::{batch, fetch_request};
use ottla_e2e::ports::Port;
use ottla_e2e::{DEADLINE, Node, NodeBuilder};
use ottla_wire::message::fetch::FetchResponse;

const ALL: i16 = -1;
const CORRUPT_MESSAGE: i16 = 2;
const FETCH_VERSION: i16 = 12;
/// HTTP connections that a node holds at a time.
const CONNECTIONS_MAX: usize = 32;

/// A node's HTTP listener.
struct Http {
    port: Port,
}

/// An answer: status, headers in lower case, body.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Http {
    /// A node that has one.
    #[track_caller]
    fn node(with: NodeBuilder) -> (Node, Http) {
        let port = Port::take();
        let node = with.set("http.listeners", &format!("http://127.0.0.1:{}", port.number())).start();
        let http = Http { port };
        http.wait_for("/health/ready", 200);
        (node, http)
    }

    #[track_caller]
    fn connect(&self) -> TcpStream {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port.number()));
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n").as_bytes()).expect("the request can be sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the answer is text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {path}: {text}"));
        let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a status");
        Answer { status, headers: head.to_lowercase(), body: body.to_owned() }
    }

    /// Asks until the answer has this status.
    #[track_caller]
    fn wait_for(&self, path: &str, status: u16) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.get(path);
            if answer.status == status {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} still gives {}: {}", answer.status, answer.body);
        }
    }

    /// The value of a metric, by its name and labels as they stand on the page; 0 when it is not there.
    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics");
        assert_eq!(page.status, 200, "{}", page.body);
        let line = page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Waits until a metric has such a value.
    #[track_caller]
    fn wait_for_metric(&self, name: &str, is_so: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so(self.metric(name)) {
            assert!(Instant::now() < deadline, "{name} is {}", self.metric(name));
        }
    }
}

/// The error code of a fetch from `offset` on.
#[track_caller]
fn fetch_error(node: &Node, topic: &str, offset: i64) -> i16 {
    let answer = node.caller().call(&fetch_request(topic, 0, offset), FETCH_VERSION);
    answer.decode::<FetchResponse<'_>>().responses[0].partitions[0].error_code
}

fn of_dir(node: &Node, name: &str, more: &str) -> String {
    format!("{name}{{log_dir=\"{}\"{more}}}", node.data_dir().display())
}

#[test]
fn a_scrape_tells_what_was_produced_and_fetched() {
    let (node, http) = Http::node(Node::with());
    let page = http.get("/metrics");
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{}", page.headers);
    assert!(page.body.ends_with("# EOF\n"));
    assert_eq!(http.metric("ottla_appended_records_total"), 0.0);

    let mut caller = node.caller();
    assert_eq!(caller.create_topic("events", 1, &[]), 0);
    for _ in 0..3 {
        assert_eq!(caller.produce("events", 0, &batch(&[b"one", b"two"]), ALL).error_code, 0);
    }
    assert_eq!(caller.consume_all("events", 0, 0).len(), 6);
    let bytes = 3.0 * batch(&[b"one", b"two"]).len() as f64;
    for (name, value) in [
        ("ottla_appended_records_total", 6.0),
        ("ottla_appended_batches_total", 3.0),
        ("ottla_appended_bytes_total", bytes),
        ("ottla_fetched_bytes_total", bytes),
        ("ottla_requests_total{api=\"Produce\"}", 3.0),
        ("ottla_request_seconds_count{api=\"Produce\"}", 3.0),
        ("ottla_partitions{state=\"led\"}", 1.0),
        ("ottla_ready", 1.0),
    ] {
        assert_eq!(http.metric(name), value, "{name}");
    }
    assert!(http.metric(&of_dir(&node, "ottla_log_sync_round_seconds_count", "")) >= 1.0);
    assert!(http.metric(&of_dir(&node, "ottla_log_dir_free_bytes", "")) > 0.0);
    assert!(http.metric("process_resident_memory_bytes") > 1_000_000.0);
    assert!(http.metric("ottla_request_answered_bytes_total{api=\"Fetch\"}") > bytes);
    // The producer's; that of HTTP is none, and whoever looked whether the node answers has gone.
    http.wait_for_metric("ottla_connections_open", |open| open == 1.0);
}

#[test]
fn a_damaged_batch_is_refused_and_counted() {
    let (mut node, http) = Http::node(Node::with());
    let mut caller = node.caller();
    assert_eq!(caller.create_topic("events", 1, &[]), 0);
    for value in [b"first", b"other", b"third"] {
        assert_eq!(caller.produce("events", 0, &batch(&[value]), ALL).error_code, 0);
    }
    // Stopped, so that nothing of it is known to hold when it starts again.
    assert!(node.stop().success());
    let log = node.partition_dir("events", 0).join("00000000000000000000.log");
    let file = OpenOptions::new().write(true).open(&log).expect("the segment is there");
    let in_the_second = 2 * batch(&[b"first"]).len() as u64 - 3;
    file.write_all_at(b"!", in_the_second).expect("it can be written");
    node.start_again();

    let (damaged, corrupt) = (
        of_dir(&node, "ottla_log_damaged_batches_total", ",found=\"fetch\""),
        "ottla_request_errors_total{api=\"Fetch\",error=\"CORRUPT_MESSAGE\"}",
    );
    http.wait_for("/health/ready", 200);
    assert_eq!((http.metric(&damaged), http.metric(corrupt)), (0.0, 0.0));
    assert!(http.get("/metrics").body.contains(&damaged), "it is there before anything was found: a rise from nothing is no rise");
    for times in 1..=3 {
        assert_eq!(fetch_error(&node, "events", 1), CORRUPT_MESSAGE);
        assert_eq!((http.metric(&damaged), http.metric(corrupt)), (1.0, f64::from(times)), "the place counts once, each answer by itself");
    }
    assert_eq!((fetch_error(&node, "events", 0), fetch_error(&node, "events", 2)), (0, 0));
    node.wait_for_log("offsets 1 to 1 are damaged and not served");
}

#[test]
fn a_log_that_lacks_what_was_synced_counts_as_damaged() {
    let (mut node, http) = Http::node(Node::with());
    let mut caller = node.caller();
    assert_eq!(caller.create_topic("events", 1, &[]), 0);
    for value in [b"first", b"other"] {
        assert_eq!(caller.produce("events", 0, &batch(&[value]), ALL).error_code, 0);
    }
    assert!(node.stop().success());
    let log = node.partition_dir("events", 0).join("00000000000000000000.log");
    let one = batch(&[b"first"]).len() as u64;
    OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(one)).expect("it can be cut");
    node.start_again();
    node.wait_for_log("acknowledged records are gone from this disk");
    http.wait_for("/health/ready", 200);
    assert_eq!(http.metric(&of_dir(&node, "ottla_log_damaged_batches_total", ",found=\"recovery\"")), 1.0);
}

#[test]
fn a_node_is_ready_when_it_serves_what_it_leads() {
    let (mut node, http) = Http::node(Node::with());
    assert_eq!(http.get("/health/live").status, 200);
    let mut caller = node.caller();
    assert_eq!((caller.create_topic("events", 1, &[]), caller.create_topic("others", 1, &[])), (0, 0));
    assert_eq!(caller.produce("events", 0, &batch(&[b"one"]), ALL).error_code, 0);
    assert!(node.stop().success());
    // Longer than a segment can be, so that the log cannot be opened.
    let log = node.partition_dir("events", 0).join("00000000000000000000.log");
    let bytes = log.metadata().expect("the segment is there").len();
    let resize = |bytes| OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(bytes)).expect("it can be resized");
    resize(5 << 30);
    node.start_again();
    node.wait_for_log("all logs are open");
    let unready = http.wait_for("/health/ready", 503);
    assert!(unready.body.contains("events-0") && unready.body.lines().count() == 1, "{}", unready.body);
    assert_eq!(http.get("/health/live").status, 200, "to start it again would not help");
    assert_eq!((http.metric("ottla_ready"), http.metric("ottla_partitions{state=\"offline\"}")), (0.0, 1.0));
    assert_eq!(http.metric("ottla_partitions{state=\"led\"}"), 1.0, "the other is served");
    assert_eq!(http.metric(&of_dir(&node, "ottla_log_damaged_batches_total", ",found=\"recovery\"")), 1.0);

    node.stop();
    resize(bytes);
    node.start_again();
    http.wait_for("/health/ready", 200);
    assert_eq!(fetch_error(&node, "events", 0), 0);
}

#[test]
fn slow_clients_hold_up_nobody_and_are_bounded() {
    let (node, http) = Http::node(Node::with());
    // Each has said a part of a request and goes on never.
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..3 * CONNECTIONS_MAX {
        let mut stream = http.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost").expect("it is taken");
        slow.push(stream);
        // In between, others are answered at once.
        assert_eq!(http.get("/health/live").status, 200);
    }
    let is_open = |stream: &TcpStream| {
        stream.set_nonblocking(true).expect("it can be");
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    // The answer to one more has come after all these were taken or dropped.
    assert!(slow.iter().filter(|stream| is_open(stream)).count() <= CONNECTIONS_MAX);
    assert!(http.metric("ottla_http_connections_dropped_total{reason=\"crowded\"}") >= CONNECTIONS_MAX as f64);
    // And those that are left go when their time is over, with nobody to push them out.
    let last = slow.last_mut().expect("there are some");
    last.set_nonblocking(false).expect("it can be");
    let ended = last.read(&mut [0; 64]);
    assert!(matches!(&ended, Ok(0)) || matches!(&ended, Err(error) if error.kind() == ErrorKind::ConnectionReset), "{ended:?}");
    assert!(http.metric("ottla_http_connections_dropped_total{reason=\"slow\"}") >= 1.0);
    assert_eq!(node.caller().create_topic("events", 1, &[]), 0);
}

#[test]
fn what_is_no_request_for_metrics_is_refused() {
    let (mut node, http) = Http::node(Node::with());
    for path in ["/", "/metrics/", "/health", "/health/live/x", "/../etc/passwd"] {
        assert_eq!(http.get(path).status, 404, "{path}");
    }
    for request in [
        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n".to_owned(),
        format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(100_000)),
        format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200)),
        "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(),
    ] {
        let mut stream = http.connect();
        // It may close before it has read all.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"), "{}", &request[..40.min(request.len())]);
    }
    assert_eq!(http.get("/health/live").status, 200);
    node.assert_serves();
}

#[test]
fn deleted_segments_are_counted() {
    let (node, http) = Http::node(Node::with().set("log.retention.check.interval.ms", "50"));
    let mut caller = node.caller();
    let configs = [("segment.bytes", "1048576"), ("retention.bytes", "1048576"), ("retention.ms", "-1")];
    assert_eq!(caller.create_topic("events", 1, &configs), 0);
    let value = vec![7; 500_000];
    for _ in 0..8 {
        assert_eq!(caller.produce("events", 0, &batch(&[&value]), ALL).error_code, 0);
    }
    http.wait_for_metric(&of_dir(&node, "ottla_log_segments_deleted_total", ""), |deleted| deleted >= 1.0);
    assert!(http.metric(&of_dir(&node, "ottla_log_segments_deleted_bytes_total", "")) >= 1_000_000.0);
}

#[test]
fn an_address_that_cannot_be_served_on_stops_the_start() {
    let port = Port::take();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port.number())).expect("the port is this test's");
    let address = taken.local_addr().expect("it listens").to_string();
    let node = Node::with().set("http.listeners", &format!("http://{address}")).unstarted();
    ottla_e2e::process::run(&mut node.serve_command()).failed().says("http.listeners").says(&address);
    let node = Node::with().set("http.listeners", &address).unstarted();
    ottla_e2e::process::run(&mut node.serve_command()).failed().says("http.listeners").says(&address).says("http://host:port");
}
