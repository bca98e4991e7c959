//! The `ottla` binary: the node (`serve`) and the command line that talks to any Kafka cluster.
//!
//! Holds no logic of its own: the broker is `ottla-broker`, the client `ottla-client`. What is here reads arguments,
//! prints results, and turns errors into one line that says what to do.

mod args;
mod commands;
mod error;
mod output;
mod timestamp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{config, consume, group, perf, produce, serve, topic, txn};

/// Exit codes, and the sources of settings: the end of every `--help`.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).";

/// A Kafka-compatible message log.
#[derive(Debug, Parser)]
#[command(
    name = "ottla",
    version,
    about = "A Kafka-compatible message log in one binary.",
    long_about = "A Kafka-compatible message log in one binary.\n\nWithout a command it serves: one node on localhost:9092, data in ./ottla-data.",
    after_help = EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla                                     serve on localhost:9092, data in ./ottla-data\n",
        "  ottla topic create logs --partitions 3\n",
        "  echo hello | ottla produce logs\n",
        "  ottla consume logs\n\n",
        "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Topic(topic::TopicArgs),
    Produce(produce::ProduceArgs),
    Consume(consume::ConsumeArgs),
    Group(group::GroupArgs),
    Txn(txn::TxnArgs),
    Config(config::ConfigArgs),
    Perf(perf::PerfArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => serve::run(serve::ServeArgs::default()),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Topic(args)) => in_runtime(topic::run(args)),
        Some(Command::Produce(args)) => in_runtime(produce::run(args)),
        Some(Command::Consume(args)) => in_runtime(consume::run(args)),
        Some(Command::Group(args)) => in_runtime(group::run(args)),
        Some(Command::Txn(args)) => in_runtime(txn::run(args)),
        Some(Command::Config(args)) => in_runtime(config::run(args)),
        // Blocking sockets and threads of its own: the broker is to be measured, not a runtime.
        Some(Command::Perf(args)) => perf::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// The client commands need one thread: what they do waits for the network.
fn in_runtime(command: impl Future<Output = Result<(), error::CliError>>) -> Result<(), error::CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| error::CliError::failed(format!("cannot start the runtime: {cause}")))?;
    let result = runtime.block_on(command);
    // A thread may still wait for a line of standard input; the process ends without it.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests;
