//! `ottla perf`: load, ledger and yardstick, by `ottla-perf`. Here are the arguments, and what is printed.

mod args;
mod progress;
mod show;

use clap::{Args, Subcommand};
use ottla_perf::limit::{Limit, LimitOptions};
use ottla_perf::{Bootstrap, NewTopic, PerfError, create_topic};
use ottla_perf::{audit, commits, connections, consume, end_to_end, history, ledger, membership, native, produce, ready, transactions};

use crate::args::Connection;
use crate::error::CliError;
use crate::output::Output;
use args::{
    AuditArgs, ClientArg, CommitsArgs, CommittedArgs, ConnectionsArgs, ConsumeArgs, EndToEndArgs, GroupArgs, HistoryArgs, HistoryCheckArgs,
    LedgerArgs, LimitArgs, ProduceArgs, ReadyArgs, Topic, TransactionsArgs,
};
use progress::watched;

/// Measure a Kafka cluster, Ottla or any other: throughput, latency, cost, and what it has lost.
#[derive(Debug, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla perf produce load --create --partitions 6 --connections 2 --mib 256\n",
        "  ottla perf consume load --partitions 6 --connections 2\n",
        "  ottla perf end-to-end load --rate 500 --seconds 4\n",
        "  ottla perf connections --count 100 --hold-seconds 1\n",
        "  ottla perf commits load --partitions 3 --groups 100 --seconds 2\n",
        "  ottla perf group load --members 50\n",
        "  ottla perf ledger book --create --partitions 4 --seconds 5 --file ledger.txt\n",
        "  ottla perf audit book --file ledger.txt\n\n",
        "The raw client sends batches that were made before the clock started, over blocking sockets, so that\n",
        "the broker is measured and not the client; `--client native` measures the client of Ottla as its\n",
        "users have it. `--pid` adds what the broker's processes used: processor time, memory, threads.\n",
        "Ctrl-C ends a run early and shows what was measured until then.\n\n",
        "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct PerfArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: PerfCommand,
}

#[derive(Debug, Subcommand)]
enum PerfCommand {
    /// Send batches as fast as they are taken.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf produce load --create --partitions 6 --connections 2 --mib 256\n",
        "  ottla perf produce load --batch-records 1 --connections 4 --in-flight 20 --records 50000\n",
        "  ottla perf produce load --batch-records 160 --compression lz4 --mib 64\n",
        "  ottla perf produce load --partitions-per-request 6 --seconds 2\n",
        "  ottla perf produce load --client native --property linger.ms=5 --records 500000",
    ))]
    Produce(ProduceArgs),
    /// Fetch batches as fast as they come; each is held to its CRC, and its offsets to the batch before.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf consume load\n",
        "  ottla perf consume load --partitions 6 --connections 2 --mib 64 --fetch-bytes 4194304\n",
        "  ottla perf consume load --client native --records 500000",
    ))]
    Consume(ConsumeArgs),
    /// Send records at a fixed rate, and time each from when it was due until a consumer has it.
    #[command(after_help = "Example: ottla perf end-to-end load --rate 500 --seconds 4")]
    EndToEnd(EndToEndArgs),
    /// Open idle connections and hold them.
    #[command(after_help = "Example: ottla perf connections --count 100 --hold-seconds 1")]
    Connections(ConnectionsArgs),
    /// Wait until every partition of a topic is led and some take a record and give it back.
    #[command(after_help = "Example: ottla perf ready load --partitions 6")]
    Ready(ReadyArgs),
    /// Commit offsets of many groups, by clients that are members of none.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf commits load --partitions 1 --groups 100 --connections 20 --seconds 2\n",
        "  ottla perf commits load --partitions 3 --groups 1000 --rounds 1",
    ))]
    Commits(CommitsArgs),
    /// Wait until the offsets that `commits` has committed are served: say, after a restart.
    #[command(after_help = "Example: ottla perf committed load --partitions 3 --groups 1000")]
    Committed(CommittedArgs),
    /// Have a group of many members come and share the topic's partitions, and then one of them leave.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf group load --members 50\n",
        "  ottla perf group load --members 50 --protocol classic --group classic-group\n\n",
        "Each member has a thread and a connection. With the classic protocol the broker's\n",
        "group.initial.rebalance.delay.ms is a part of the time to join.",
    ))]
    Group(GroupArgs),
    /// Write transactions of one batch each, one after the other.
    #[command(after_help = concat!(
        "Runs where the cluster knows transactions: ottla perf transactions load --producers 20 --seconds 5",
    ))]
    Transactions(TransactionsArgs),
    /// Write numbered records with acks=all, one writer a partition, and each acknowledgement into a file.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf ledger book --create --partitions 4 --seconds 5 --file ledger.txt\n",
        "  ottla perf ledger book --seconds 5 --file ledger.txt --idempotent",
    ))]
    Ledger(LedgerArgs),
    /// Read a topic back and hold it against its ledger: exit code 1 when something acknowledged is lost.
    #[command(after_help = "Example: ottla perf audit book --file ledger.txt --min-acknowledged 100")]
    Audit(AuditArgs),
    /// Write transactions of unique values, or move such values on exactly once, and each step into a file.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf history in --create --partitions 4 --transactional-id w --file w.txt --seconds 5\n",
        "  ottla perf history in --move-to out --group g --transactional-id m --client 1 --file m.txt\n\n",
        "Kill it, and start it again with the same transactional id and file: `ottla perf history-check`\n",
        "tells whether the cluster has kept its word through that. A producer that is fenced ends it.",
    ))]
    History(HistoryArgs),
    /// Hold topics against the histories of those who wrote them: exit code 1 when a transaction is lost, torn or doubled.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf history-check in --file w.txt\n",
        "  ottla perf history-check in --moved-to out --file w.txt --file m.txt\n\n",
        "No client may be at work meanwhile.",
    ))]
    HistoryCheck(HistoryCheckArgs),
    /// Be the yardstick: a bare server that checks and writes what is produced, and sends what is fetched.
    #[command(after_help = concat!(
        "Examples:\n",
        "  ottla perf limit --listen 127.0.0.1:9099 --served-mib 256\n",
        "  ottla perf limit --listen 127.0.0.1:9099 --write same-pages --same-mib 64\n\n",
        "Load it with `ottla perf produce` and `ottla perf consume --no-check`. It serves until it is stopped.",
    ))]
    Limit(LimitArgs),
}

pub fn run(args: PerfArgs) -> Result<(), CliError> {
    let PerfArgs { connection, command } = args;
    let json = connection.json;
    if let PerfCommand::Limit(args) = command {
        return limit(&args, json);
    }
    let bootstrap: Bootstrap = connection.bootstrap_server.parse()?;
    let mut out = Output::new();
    match command {
        PerfCommand::Produce(args) => {
            let options = args.options(bootstrap)?;
            make(&options.bootstrap, &args.topic)?;
            let report = watched(json, |control| match args.client {
                ClientArg::Raw => produce::run(&options, control),
                ClientArg::Native => native::produce(&options, &args.properties, control),
            })?;
            show::report(&mut out, json, &report, || show::load(&report))?;
        }
        PerfCommand::Consume(args) => {
            let options = args.options(bootstrap)?;
            let report = watched(json, |control| match args.client {
                ClientArg::Raw => consume::run(&options, control),
                ClientArg::Native => native::consume(&options, &args.properties, control),
            })?;
            show::report(&mut out, json, &report, || show::load(&report))?;
        }
        PerfCommand::EndToEnd(args) => {
            let options = args.options(bootstrap);
            make(&options.bootstrap, &args.topic)?;
            let report = watched(json, |control| end_to_end::run(&options, control))?;
            show::report(&mut out, json, &report, || show::end_to_end(&report))?;
        }
        PerfCommand::Connections(args) => {
            let options = args.options(bootstrap);
            let report = watched(json, |control| connections::run(&options, control))?;
            show::report(&mut out, json, &report, || show::connections(&report))?;
        }
        PerfCommand::Ready(args) => {
            let options = args.options(bootstrap);
            let report = watched(json, |control| ready::run(&options, control))?;
            show::report(&mut out, json, &report, || show::ready(&report))?;
        }
        PerfCommand::Commits(args) => {
            let options = args.options(bootstrap);
            make(&options.bootstrap, &args.topic)?;
            let report = watched(json, |control| commits::run(&options, control))?;
            show::report(&mut out, json, &report, || show::commits(&report))?;
        }
        PerfCommand::Committed(args) => {
            let report = watched(json, |control| commits::wait(&bootstrap, &args.groups(), args.wait(), control))?;
            show::report(&mut out, json, &report, || show::committed(&report))?;
        }
        PerfCommand::Group(args) => {
            let options = args.options(bootstrap);
            make(&options.bootstrap, &args.topic)?;
            let report = watched(json, |control| membership::run(&options, control))?;
            show::report(&mut out, json, &report, || show::group(&report))?;
        }
        PerfCommand::Transactions(args) => {
            let options = args.options(bootstrap);
            make(&options.bootstrap, &args.topic)?;
            let report = watched(json, |control| transactions::run(&options, control))?;
            show::report(&mut out, json, &report, || show::transactions(&report))?;
        }
        PerfCommand::Ledger(args) => {
            let options = args.options(bootstrap);
            make(&options.bootstrap, &args.topic)?;
            let report = watched(json, |control| ledger::run(&options, control))?;
            show::report(&mut out, json, &report, || show::ledger(&report))?;
            out.flush()?;
            if report.silent_partitions > 0 {
                return Err(CliError::failed(format!("nothing was acknowledged by {} partitions", report.silent_partitions)));
            }
        }
        PerfCommand::Audit(args) => {
            let options = args.options(bootstrap);
            let report = watched(json, |control| audit::run(&options, control))?;
            show::report(&mut out, json, &report, || show::audit(&report))?;
            out.flush()?;
            verdict(&report, &args)?;
        }
        PerfCommand::History(args) => {
            let options = args.options(bootstrap);
            make(&options.bootstrap, &args.topic)?;
            let report = watched(json, |control| history::run(&options, control))?;
            show::report(&mut out, json, &report, || show::history(&report))?;
        }
        PerfCommand::HistoryCheck(args) => {
            let options = args.options(bootstrap);
            let report = watched(json, |control| history::check(&options, control))?;
            show::report(&mut out, json, &report, || show::history_check(&report))?;
            out.flush()?;
            history_verdict(&report, args.min_committed)?;
        }
        PerfCommand::Limit(_) => {}
    }
    out.flush()
}

/// What an audit comes to: an error where the cluster has not kept its word.
fn verdict(report: &audit::AuditReport, args: &AuditArgs) -> Result<(), CliError> {
    if !report.is_sound() {
        return Err(CliError::failed(format!("{} does not hold what it has acknowledged", report.topic)));
    }
    if args.no_duplicates && report.duplicates > 0 {
        return Err(CliError::failed(format!("{} records are there more than once, and --no-duplicates was given", report.duplicates)));
    }
    if report.acknowledged < args.min_acknowledged {
        let (found, wanted) = (report.acknowledged, args.min_acknowledged);
        return Err(CliError::failed(format!("the ledger has {found} acknowledgements, and --min-acknowledged wants {wanted}")));
    }
    Ok(())
}

/// What a check of histories comes to.
fn history_verdict(report: &history::CheckReport, min_committed: u64) -> Result<(), CliError> {
    if !report.is_sound() {
        return Err(CliError::failed(format!("{} does not show what its transactions came to", report.topic)));
    }
    if report.committed < min_committed {
        let found = report.committed;
        return Err(CliError::failed(format!("{found} transactions are known to be committed, and --min-committed wants {min_committed}")));
    }
    Ok(())
}

fn make(bootstrap: &Bootstrap, topic: &Topic) -> Result<(), CliError> {
    let (true, Some(partitions)) = (topic.create, topic.partitions) else { return Ok(()) };
    let new =
        NewTopic { name: topic.topic.clone(), partitions, replication_factor: topic.replication_factor, configs: topic.configs.clone() };
    Ok(create_topic(bootstrap, &new)?)
}

fn limit(args: &LimitArgs, json: bool) -> Result<(), CliError> {
    let options: LimitOptions = args.options();
    let limit = Limit::bind(&options)?;
    let (address, process_id) = (limit.address(), std::process::id());
    let mut out = Output::new();
    if json {
        out.json(&show::Listening { work: "limit", address: address.to_string(), process_id })?;
    } else {
        out.line(&format!("The limit listens on {address}, process {process_id}. Ctrl-C ends it."))?;
    }
    out.flush()?;
    // The lock on standard output is given back: this goes on for long.
    drop(out);
    Ok(limit.serve()?)
}

impl From<PerfError> for CliError {
    fn from(error: PerfError) -> CliError {
        match error {
            PerfError::Client(error) => error.into(),
            PerfError::NoBroker { .. } | PerfError::OutOfBounds { .. } => CliError::usage(error.to_string()),
            PerfError::Connect { .. } => CliError::failed(format!("{error}; check --bootstrap-server, and that the node is running")),
            error => CliError::failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_perf::audit::AuditReport;

    #[test]
    fn an_audit_fails_on_loss_and_on_what_was_asked_not_to_be() {
        let args = AuditArgs { topic: "t".to_owned(), file: "f".into(), no_duplicates: true, min_acknowledged: 10 };
        let sound = AuditReport { topic: "t".to_owned(), acknowledged: 10, ..AuditReport::default() };
        assert!(verdict(&sound, &args).is_ok());
        for (report, said) in [
            (AuditReport { lost: 1, ..sound.clone() }, "t does not hold what it has acknowledged"),
            (AuditReport { duplicates: 1, ..sound.clone() }, "1 records are there more than once"),
            (AuditReport { acknowledged: 9, ..sound.clone() }, "the ledger has 9 acknowledgements"),
        ] {
            let error = verdict(&report, &args).expect_err(said);
            assert!(error.to_string().starts_with(said), "{error}");
        }
        let lenient = AuditArgs { no_duplicates: false, ..args };
        assert!(verdict(&AuditReport { duplicates: 1, ..sound }, &lenient).is_ok(), "copies are no loss");
    }

    #[test]
    fn a_check_of_histories_fails_on_what_is_found_and_on_histories_that_tell_nothing() {
        let sound = history::CheckReport { topic: "t".to_owned(), committed: 2, ..history::CheckReport::default() };
        assert!(history_verdict(&sound, 2).is_ok());
        let torn = history::Findings { torn: 1, ..history::Findings::default() };
        let error = history_verdict(&history::CheckReport { findings: torn, ..sound.clone() }, 0).unwrap_err();
        assert!(error.to_string().starts_with("t does not show what its transactions came to"), "{error}");
        let error = history_verdict(&sound, 3).unwrap_err();
        assert!(error.to_string().starts_with("2 transactions are known to be committed"), "{error}");
    }
}
