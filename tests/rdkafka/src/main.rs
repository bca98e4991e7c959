//! Programs with librdkafka for the tests of the whole:
//!
//! - `member PROTOCOL GROUP TOPIC BROKER`: prints each record as `partition/offset/value`, and each change of what it is
//!   assigned as `assigned P,P`. PROTOCOL is an assignor of the classic protocol, or `consumer`.
//! - `transform TRANSACTIONAL_ID GROUP FROM TO BROKER`: moves records in transactions, a `!` behind each value; prints
//!   `committed COUNT` for each that it commits, and aborts every third.
//! - `read TOPIC BROKER`: prints the values of all that is committed, and ends.
//!
//! The first two go on until they are interrupted, then commit and leave. All give up at the first error that is not to be
//! retried.

mod member;
mod transform;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

/// How long one poll may take: it bounds how late an interrupt is seen.
const POLL_MAX: Duration = Duration::from_millis(100);

/// How long one request to the broker may take, its restart included.
const REQUEST_MAX: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).expect("a signal can be waited for");
    }
    let ended: KafkaResult<()> = match arguments[..] {
        ["member", protocol, group, topic, broker] => member::run(protocol, group, topic, broker, &interrupted),
        ["transform", id, group, from, to, broker] => transform::run(id, group, from, to, broker, &interrupted),
        ["read", topic, broker] => transform::read(topic, broker),
        _ => {
            eprintln!("usage: member PROTOCOL GROUP TOPIC BROKER | transform ID GROUP FROM TO BROKER | read TOPIC BROKER");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether librdkafka goes on by itself: it tells of brokers that it connects to again.
fn goes_on(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure))
}

/// What all consumers here share.
fn consumer_config(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    config
}
