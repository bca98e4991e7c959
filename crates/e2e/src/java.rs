//! Kafka's own tools and Java clients, by their class names.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Finished, repository, run, run_with_input};

/// kafka-topics
pub const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
/// kafka-configs
pub const CONFIGS: &str = "kafka.admin.ConfigCommand";
/// kafka-console-producer
pub const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
/// kafka-console-consumer
pub const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
/// kafka-producer-perf-test
pub const PRODUCER_PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
/// kafka-consumer-groups
pub const CONSUMER_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
/// kafka-verifiable-producer
pub const VERIFIABLE_PRODUCER: &str = "org.apache.kafka.tools.VerifiableProducer";
/// kafka-verifiable-consumer
pub const VERIFIABLE_CONSUMER: &str = "org.apache.kafka.tools.VerifiableConsumer";
/// kafka-transactions
pub const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";
/// kafka-dump-log
pub const DUMP_LOG: &str = "org.apache.kafka.tools.DumpLogSegments";
/// kafka-delete-records
pub const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
/// kafka-get-offsets
pub const GET_OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";

/// A tool of Kafka's, ready to run. The jars lie in `OTTLA_KAFKA_LIBS`, else where `cargo xtask tools` puts them.
pub fn command(class: &str, arguments: &[&str]) -> Command {
    let libs = std::env::var_os("OTTLA_KAFKA_LIBS").map(PathBuf::from).unwrap_or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
        home.join(".cache/ottla/kafka-4.3.1/libs")
    });
    assert!(libs.is_dir(), "Kafka's tools are not in {}; `cargo xtask tools` fetches them", libs.display());
    java(libs.join("*").as_os_str(), class, arguments)
}

/// A program of tests/java/apps, ready to run; Maven builds them.
pub fn app(name: &str, arguments: &[&str]) -> Command {
    let built = repository().join("tests/java/apps/target");
    let jar = built.join("ottla-apps.jar");
    assert!(jar.is_file(), "{} is not built; `cargo xtask test` does it", jar.display());
    let class_path = format!("{}:{}/lib/*", jar.display(), built.display());
    java(class_path.as_ref(), &format!("dev.ottla.apps.{name}"), arguments)
}

fn java(class_path: &OsStr, class: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    // A tool lives for a second: the time goes into starting up, so the quick compiler alone is the faster one.
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
    // Errors are logged with the exception's name, which is the error code's; the tools print the message only.
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"]);
    command.arg(class_path).arg(class).args(arguments);
    command
}

/// Runs it to its end.
#[track_caller]
pub fn kafka(class: &str, arguments: &[&str]) -> Finished {
    run(&mut command(class, arguments))
}

/// Runs it to its end with something to read.
#[track_caller]
pub fn kafka_with_input(class: &str, arguments: &[&str], input: &str) -> Finished {
    run_with_input(&mut command(class, arguments), input)
}
