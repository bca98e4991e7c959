//! The page against what happened: each row of the list has its event here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_wire::message::api_versions::ApiVersionsRequest;
use ottla_wire::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{Request, RequestHeader, Writer};

use super::*;
use crate::api::{ListenerInfo, ListenerKind};
use crate::http::HttpCounts;
use crate::net::{self, Connections, Limits, RequestMemory};
use crate::testing::{TestBroker, batch, fetch_of};

const DEADLINE: Duration = Duration::from_secs(60);

/// A broker that has sockets too.
struct Served {
    broker: TestBroker,
    watched: Arc<Watched>,
    address: SocketAddr,
}

impl Served {
    async fn of(broker: TestBroker) -> Served {
        let info = ListenerInfo { name: "PLAINTEXT".to_owned(), kind: ListenerKind::Broker };
        let bound = net::bind(info, "127.0.0.1", 0, 10).await.unwrap();
        let address = bound.addresses()[0];
        let (connections, memory) = (Connections::default(), RequestMemory::new(1 << 20));
        let limits = Limits {
            connections_max: 2,
            connections_per_ip_max: 10,
            request_bytes_max: 1 << 20,
            idle_max: DEADLINE,
            backlog: 10,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
        };
        drop(net::serve(bound, &broker.context, &connections, &memory, &limits));
        let watched = Watched { broker: Arc::clone(&broker.context), connections, memory, http: Arc::new(HttpCounts::default()) };
        Served { broker, watched: Arc::new(watched), address }
    }

    fn page(&self) -> String {
        page(&self.watched, vec![Some(1 << 30), None], None).unwrap()
    }

    /// The value at a name with its labels; `None`: it is not on the page.
    fn value(&self, name: &str) -> Option<f64> {
        let page = self.page();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// Waits until a value is so: other threads count it.
    #[track_caller]
    fn becomes(&self, name: &str, value: f64) {
        let deadline = Instant::now() + DEADLINE;
        while self.value(name) != Some(value) {
            assert!(Instant::now() < deadline, "{name} is {:?}", self.value(name));
            std::thread::yield_now();
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}

fn framed<'q, Q: Request<'q>>(request: &Q, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    let mark = writer.begin_frame();
    RequestHeader::new::<Q>(version, 1, Some("test")).encode(&mut writer).unwrap();
    request.encode(&mut writer, version).unwrap();
    writer.end_frame(mark).unwrap();
    writer.into_parts().buf
}

/// Gives the answer's whole length.
fn receive(stream: &mut TcpStream) -> usize {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    4 + body.len()
}

fn produce<'a>(topic: &'a str, records: &'a [u8]) -> ProduceRequest<'a> {
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(records) }];
    let topic_data = vec![TopicProduceData { name: topic, partition_data, ..Default::default() }];
    ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_the_list_in_its_order_with_all_that_is_known_at_the_start() {
    let served = Served::of(TestBroker::start().await).await;
    let page = served.page();
    let told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let listed: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let unit = if metric.unit.is_empty() { String::new() } else { format!("_{}", metric.unit) };
            format!("{}{unit} {}", metric.name, format!("{:?}", metric.kind).to_lowercase())
        })
        .collect();
    assert_eq!(told, listed);
    assert!(page.ends_with("# EOF\n"));
    for metric in METRICS {
        // Whatever was not asked for yet, and what may be any of hundreds, is told when it is there.
        if ["ottla_request_errors", "ottla_request"].contains(&metric.name) {
            continue;
        }
        let name = if metric.kind == Kind::Histogram { format!("{}_count", metric.exposed_name()) } else { metric.exposed_name() };
        let has_sample = page.lines().any(|line| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        assert!(has_sample, "{name} has no value");
    }
    for found in ["fetch", "scrub", "recovery"] {
        let name = format!("ottla_log_damaged_batches_total{{log_dir=\"/logs/a\",found=\"{found}\"}}");
        let name = name.replace("/logs/a", &served.broker.context.partitions.log_dirs()[0].path().display().to_string());
        assert_eq!(served.value(&name), Some(0.0), "{name}: an alarm on a rise needs the zero before it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_with_their_bytes_and_errors_and_those_that_wait() {
    let served = Served::of(TestBroker::start().await).await;
    served.broker.create_topic("logs", 1, &[]).await;
    let records = batch(&["a", "b", "c"]);
    tokio::task::block_in_place(|| {
        let mut client = served.connect();
        let mut exchange = |request: Vec<u8>| {
            client.write_all(&request).unwrap();
            (request.len() as f64 - 4.0, receive(&mut client) as f64)
        };
        let (sent, received) = exchange(framed(&produce("logs", &records), 9));
        assert_eq!(served.value("ottla_requests_total{api=\"Produce\"}"), Some(1.0));
        assert_eq!(served.value("ottla_request_seconds_count{api=\"Produce\"}"), Some(1.0));
        assert_eq!(served.value("ottla_request_seconds_bucket{le=\"+Inf\",api=\"Produce\"}"), Some(1.0));
        assert_eq!(served.value("ottla_request_received_bytes_total{api=\"Produce\"}"), Some(sent));
        assert_eq!(served.value("ottla_request_answered_bytes_total{api=\"Produce\"}"), Some(received));
        assert_eq!(served.value("ottla_appended_records_total"), Some(3.0));
        assert_eq!(served.value("ottla_appended_batches_total"), Some(1.0));
        assert_eq!(served.value("ottla_appended_bytes_total"), Some(records.len() as f64));
        assert_eq!(served.value("ottla_request_errors_total{api=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"}"), None);

        exchange(framed(&produce("nowhere", &records), 9));
        assert_eq!(served.value("ottla_request_errors_total{api=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"}"), Some(1.0));
        assert_eq!(served.value("ottla_appended_records_total"), Some(3.0), "nothing was");

        exchange(framed(&fetch_of("logs", 0, 0, 0), 11));
        assert_eq!(served.value("ottla_fetched_bytes_total"), Some(records.len() as f64));
        assert_eq!(served.value("ottla_requests_parked"), Some(0.0));

        // It waits for the next record.
        client.write_all(&framed(&fetch_of("logs", 0, 3, 60_000), 11)).unwrap();
        served.becomes("ottla_requests_parked", 1.0);
        served.becomes("ottla_fetch_watched_partitions", 1.0);
        assert_eq!(served.value("ottla_requests_total{api=\"Fetch\"}"), Some(1.0), "it is not answered");
        let mut other = served.connect();
        other.write_all(&framed(&produce("logs", &records), 9)).unwrap();
        receive(&mut other);
        receive(&mut client);
        served.becomes("ottla_requests_parked", 0.0);
        served.becomes("ottla_requests_total{api=\"Fetch\"}", 2.0);
        served.becomes("ottla_fetch_watched_partitions", 0.0);

        // And one whose client goes away does not count as waiting for ever, nor as answered.
        client.write_all(&framed(&fetch_of("logs", 0, 6, 60_000), 11)).unwrap();
        served.becomes("ottla_requests_parked", 1.0);
        drop(client);
        served.becomes("ottla_requests_parked", 0.0);
        assert_eq!(served.value("ottla_requests_total{api=\"Fetch\"}"), Some(2.0));
    });
    assert_eq!(served.value("ottla_partitions{state=\"led\"}"), Some(1.0));
    assert!(served.value("ottla_controller_applied_index").unwrap() > 0.0);
    assert_eq!(served.value("ottla_controller_leader"), Some(1.0));
    assert!(served.value("ottla_controller_commands_total{outcome=\"done\"}").unwrap() >= 2.0, "registration and topic");
    let dirs = served.broker.context.partitions.log_dirs();
    let rounds: u64 = dirs.iter().map(|dir| dir.counts().sync_rounds.counted().count()).sum();
    let synced: u64 = dirs.iter().map(|dir| dir.counts().synced_partitions.get()).sum();
    assert!(rounds >= 2 && synced >= rounds, "{rounds} {synced}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_by_what_became_of_them() {
    let served = Served::of(TestBroker::start().await).await;
    tokio::task::block_in_place(|| {
        let mut first = served.connect();
        first.write_all(&framed(&ApiVersionsRequest::default(), 0)).unwrap();
        receive(&mut first);
        // A frame in part: it is paid for while it waits.
        let mut second = served.connect();
        second.write_all(&[0, 1, 0, 0]).unwrap();
        second.write_all(&vec![0; 10_000]).unwrap();
        served.becomes("ottla_connections_open", 2.0);
        let deadline = Instant::now() + DEADLINE;
        while served.value("ottla_request_partial_bytes").unwrap() < 10_000.0 {
            assert!(Instant::now() < deadline);
        }
        let mut third = served.connect();
        assert_eq!(third.read(&mut [0]).unwrap_or(0), 0, "more than are allowed");
        served.becomes("ottla_connections_refused_total{reason=\"max_connections\"}", 1.0);
        drop(second);
        served.becomes("ottla_connections_open", 1.0);
        served.becomes("ottla_request_partial_bytes", 0.0);
        let mut fourth = served.connect();
        fourth.write_all(&(-1i32).to_be_bytes()).unwrap();
        served.becomes("ottla_connections_closed_total{reason=\"frame\"}", 1.0);
        let mut fifth = served.connect();
        fifth.write_all(&[0, 0, 0, 8, 0x70, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        served.becomes("ottla_connections_closed_total{reason=\"request\"}", 1.0);
        drop(first);
        served.becomes("ottla_connections_open", 0.0);
        served.becomes("ottla_connections_accepted_total", 4.0);
        served.becomes("ottla_connections_closed_total{reason=\"closed\"}", 2.0);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_count_as_opening_until_they_are_led_and_the_node_is_then_ready() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 3, &[]).await;
    let broker = broker.restart_opening(false, 0).await;
    let state = crate::http::NodeState::starting(tokio::runtime::Handle::current());
    assert_eq!(state.ready(), Err("the node is starting".to_owned()));
    let served = Served::of(broker).await;
    let Watched { broker, connections, memory, http } = &*served.watched;
    state.watch(Watched { broker: Arc::clone(broker), connections: connections.clone(), memory: memory.clone(), http: Arc::clone(http) });
    assert!(state.ready().unwrap_err().contains("registered"));
    state.registered();
    let reason = state.ready().unwrap_err();
    assert!(reason.contains("3 are being opened") && reason.contains("logs-"), "{reason}");
    assert_eq!(served.value("ottla_partitions{state=\"opening\"}"), Some(3.0));
    assert_eq!(state.live().await, Ok(()), "it works, and is not ready");

    broker.partitions.opening.permit(None);
    broker.partitions.all_opened().await;
    assert_eq!(state.ready(), Ok(()));
    assert_eq!(served.value("ottla_partitions{state=\"led\"}"), Some(3.0));
    state.stopping();
    assert_eq!(state.ready(), Err("the node is stopping".to_owned()));
    broker.controller.shutdown().await;
    assert!(state.live().await.unwrap_err().contains("controller"));
    assert_eq!(served.value("ottla_controller_leader"), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_damaged_counts_by_how_it_was_found() {
    let broker = TestBroker::start().await;
    broker.create_topic("logs", 1, &[]).await;
    let served = Served::of(broker).await;
    let records = batch(&["a"]);
    tokio::task::block_in_place(|| {
        let mut client = served.connect();
        for _ in 0..2 {
            client.write_all(&framed(&produce("logs", &records), 9)).unwrap();
            receive(&mut client);
        }
    });
    let Served { broker, watched, .. } = served;
    drop(watched);
    let broker = broker.restart(true).await;
    let dir = Arc::clone(broker.partition("logs", 0).log_dir());
    broker.disk.damage(&dir.path().join("logs-0/00000000000000000000.log"), 65, 1).unwrap();
    let served = Served::of(broker).await;
    tokio::task::block_in_place(|| {
        let mut client = served.connect();
        client.write_all(&framed(&fetch_of("logs", 0, 0, 60_000), 11)).unwrap();
        receive(&mut client);
    });
    assert_eq!(served.value("ottla_request_errors_total{api=\"Fetch\",error=\"CORRUPT_MESSAGE\"}"), Some(1.0));
    assert_eq!(Found::ALL.map(|found| dir.counts().damages(found)), [1, 0, 0]);
    assert_eq!(served.value("ottla_cold_reads_total"), Some(1.0), "it was checked off the network threads");
    dir.fail("a test", &std::io::Error::other("gone"));
    let path = dir.path().display();
    assert_eq!(served.value(&format!("ottla_log_dir_state{{log_dir=\"{path}\",state=\"offline\"}}")), Some(1.0));
    assert_eq!(served.value(&format!("ottla_log_dir_state{{log_dir=\"{path}\",state=\"online\"}}")), Some(0.0));
    assert_eq!(served.value("ottla_partitions{state=\"offline\"}"), Some(1.0));
}

#[test]
fn threads_count_apart_and_are_read_together() {
    let counts = RequestCounts::default();
    std::thread::scope(|scope| {
        for _ in 0..requests::SHARDS + 3 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    counts.answered(ottla_wire::ApiKey::Fetch, Instant::now(), 2, 3);
                    counts.error(ottla_wire::ApiKey::Fetch, -1);
                    counts.error(ottla_wire::ApiKey::Fetch, 9999);
                }
            });
        }
    });
    let times = 1000 * (requests::SHARDS as u64 + 3);
    let of_fetch = counts.of(ottla_wire::ApiKey::Fetch);
    assert_eq!((of_fetch.latency.count(), of_fetch.bytes_in, of_fetch.bytes_out), (times, 2 * times, 3 * times));
    assert_eq!(counts.errors_of(ottla_wire::ApiKey::Fetch), [(ottla_wire::ErrorCode::UnknownServerError, 2 * times)]);
    assert_eq!(counts.of(ottla_wire::ApiKey::Produce).latency.count(), 0);
}
