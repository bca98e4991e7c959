//! `ottla serve`: runs the node, says where it listens, and stops it on request.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use ottla_broker::{Broker, NetworkThreads};
use ottla_model::config::{ConfigWarning, ServerConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::name_value;
use crate::error::CliError;

/// The port that the other commands look for a node on.
const DEFAULT_PORT: &str = ":9092";
/// Threads that serve connections, at least: one busy connection shall not hold up the rest.
const WORKERS_MIN: usize = 2;

/// What is logged unless asked otherwise: little, and what matters. The consensus library tells each of its steps at info.
const DEFAULT_FILTER: &str = "info,openraft=warn";

/// Run the node (this is what `ottla` alone does).
#[derive(Debug, Default, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla serve                                              localhost:9092, data in ./ottla-data\n",
        "  ottla serve --config server.properties                   Kafka's own file and property names\n",
        "  ottla serve --override log.dirs=/var/lib/ottla --override listeners=PLAINTEXT://0.0.0.0:9092\n\n",
        "SIGTERM and Ctrl-C stop it in order; a second one stops it at once.\n\n",
        "Exit codes: 0 stopped on request, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct ServeArgs {
    /// A `server.properties`, with Kafka's property names.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A property in place of the file's or the default; may be repeated.
    #[arg(long = "override", short, value_name = "NAME=VALUE", value_parser = name_value)]
    overrides: Vec<(String, String)>,
    /// Refuse to start on a property that does not exist, instead of warning of it.
    #[arg(long)]
    strict: bool,
    /// What to log: error, warn, info, debug, trace, or a filter as RUST_LOG has it [default: RUST_LOG, else info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

pub fn run(args: ServeArgs) -> Result<(), CliError> {
    init_logging(args.log_level.as_deref())?;
    let config = read_config(&args)?;
    let workers = std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from).max(WORKERS_MIN);
    let (runtime, threads) = NetworkThreads::runtime(workers, config.log_dirs.len())
        .map_err(|cause| CliError::failed(format!("cannot start the runtime: {cause}")))?;
    let served = runtime.block_on(serve(config, args.config.as_deref(), threads.clone()));
    threads.release();
    // All that matters is done. A thread that hangs in a call to a disk would be waited for for ever.
    runtime.shutdown_background();
    served
}

async fn serve(config: ServerConfig, config_file: Option<&Path>, threads: NetworkThreads) -> Result<(), CliError> {
    // Before the start: a signal that comes during it is not lost.
    let mut stop = StopSignals::new()?;
    let log_dirs = config.log_dirs.clone();
    let node_id = config.node_id;
    let broker = tokio::select! {
        started = Broker::start(config, threads) => started.map_err(|cause| CliError::failed(cause.to_string()))?,
        () = stop.next() => return Ok(()),
    };
    let listeners: Vec<(String, String)> =
        broker.listeners().iter().map(|(name, address)| (name.to_string(), address.to_string())).collect();
    say(&greeting(&node_id.to_string(), &listeners, &log_dirs, config_file));
    tokio::select! {
        () = stop.next() => {}
        reason = broker.failed() => {
            broker.shutdown().await;
            return Err(CliError::failed(format!("the node stopped: {reason}")));
        }
    }
    say("Stopping; a second signal stops it at once.");
    tokio::select! {
        () = broker.shutdown() => Ok(()),
        () = stop.next() => Err(CliError::failed("stopped at once, before everything was in order; the next start will check the logs")),
    }
}

/// Reads the file and the overrides. What is odd is warned of, or fatal with `--strict`.
fn read_config(args: &ServeArgs) -> Result<ServerConfig, CliError> {
    let text = match &args.config {
        Some(file) => {
            Some(std::fs::read_to_string(file).map_err(|cause| CliError::usage(format!("cannot read {}: {cause}", file.display())))?)
        }
        None => None,
    };
    let (config, warnings) = ServerConfig::parse(text.as_deref(), &args.overrides).map_err(|cause| match &args.config {
        Some(file) => CliError::usage(format!("{}: {cause}", file.display())),
        None => CliError::usage(cause.to_string()),
    })?;
    for warning in &warnings {
        match warning {
            ConfigWarning::Unknown { name, nearest } if args.strict => {
                let meant = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
                return Err(CliError::usage(format!("unknown config `{name}`, which --strict refuses{meant}")));
            }
            warning => tracing::warn!("{warning}"),
        }
    }
    Ok(config)
}

fn init_logging(level: Option<&str>) -> Result<(), CliError> {
    let from_env = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let directives = level.map(str::to_owned).or(from_env).unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let filter = EnvFilter::try_new(&directives)
        .map_err(|cause| CliError::usage(format!("`{directives}` is not a log level or filter ({cause}); try info or debug")))?;
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        // Targets matter to whoever greps a file, less to whoever watches a screen.
        .with_target(!terminal)
        .try_init()
        .map_err(|cause| CliError::failed(format!("cannot start logging: {cause}")))
}

/// Tells the person at the terminal. Where nobody listens any more, the node goes on all the same.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// What a person wants to know who has just started a node.
fn greeting(node_id: &str, listeners: &[(String, String)], log_dirs: &[PathBuf], config_file: Option<&Path>) -> String {
    let listening = listeners.iter().map(|(name, address)| format!("{address} ({name})")).collect::<Vec<_>>().join(", ");
    let data = log_dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut text = format!("Ottla {} is ready: node {node_id} on {listening}, data in {data}.", env!("CARGO_PKG_VERSION"));
    if config_file.is_none() {
        let server = match listeners.first() {
            Some((_, address)) if !address.ends_with(DEFAULT_PORT) => format!(" --bootstrap-server {address}"),
            _ => String::new(),
        };
        text.push_str(&format!("\nTry, in another terminal:\n  echo hello | ottla produce logs{server}\n  ottla consume logs{server}"));
    }
    text
}

/// SIGTERM and SIGINT, in the order they come.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> Result<StopSignals, CliError> {
        let listen = |kind| signal(kind).map_err(|cause| CliError::failed(format!("cannot listen for signals: {cause}")));
        Ok(StopSignals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_says_where_and_what_next() {
        let listeners = [("PLAINTEXT".to_owned(), "127.0.0.1:9092".to_owned())];
        let text = greeting("1", &listeners, &[PathBuf::from("./ottla-data")], None);
        assert!(text.contains("node 1 on 127.0.0.1:9092 (PLAINTEXT), data in ./ottla-data."), "{text}");
        assert!(text.contains("ottla produce logs"), "{text}");
        let elsewhere = [("PLAINTEXT".to_owned(), "127.0.0.1:19092".to_owned())];
        let text = greeting("1", &elsewhere, &[PathBuf::from("./ottla-data")], None);
        assert!(text.ends_with("ottla consume logs --bootstrap-server 127.0.0.1:19092"), "what it says to type reaches it: {text}");
        let configured = greeting("1", &listeners, &[PathBuf::from("/data")], Some(Path::new("server.properties")));
        assert!(!configured.contains("Try"), "whoever has a file knows the way: {configured}");
    }
}
