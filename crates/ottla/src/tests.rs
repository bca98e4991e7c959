//! The command line as users type it: what is understood, what is refused, and what `--help` tells.

use clap::{CommandFactory, Parser, error::ErrorKind};

use super::{Cli, Command};

fn refused(line: &str) -> clap::Error {
    Cli::try_parse_from(line.split(' ')).expect_err(line)
}

fn help(path: &[&str]) -> String {
    let mut command = Cli::command();
    command.build();
    let mut command = &mut command;
    for name in path {
        command = command.find_subcommand_mut(name).expect("the command exists");
    }
    command.render_long_help().to_string()
}

#[test]
fn the_declaration_of_the_arguments_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_it_serves() {
    assert!(Cli::try_parse_from(["ottla"]).unwrap().command.is_none());
    assert!(matches!(Cli::try_parse_from(["ottla", "serve"]).unwrap().command, Some(Command::Serve(_))));
}

#[test]
fn what_users_type_is_understood() {
    for line in [
        "ottla serve --config server.properties --override log.dirs=/data --override num.partitions=3 --strict --log-level debug",
        "ottla topic create logs --partitions 3 --replication-factor 1 --config retention.ms=1 --config write.caching=true",
        "ottla topic --bootstrap-server a:9092,b:9092 list --json",
        "ottla topic list --internal --bootstrap-server a:9092",
        "ottla topic describe a b c",
        "ottla topic alter logs --partitions 6 --delete-config retention.ms",
        "ottla topic delete logs other --if-exists",
        "ottla produce logs --key-separator : --acks 1 --compression lz4 --partition 0 --property linger.ms=5 --header a=b",
        "ottla consume logs --from -10 --partition 0 --partition 1 --max-messages 5 --print offset,key,value --follow",
        "ottla consume logs --from 2026-01-31T12:00:00Z --json",
        "ottla consume logs --group g --group-protocol consumer --follow --property session.timeout.ms=6000",
        "ottla group list --json",
        "ottla group describe a b --bootstrap-server a:9092",
        "ottla group reset-offsets g --topic logs --topic orders:0,2 --shift-by -10 --dry-run --json",
        "ottla group reset-offsets g --to-datetime 2026-01-31T12:00:00Z",
        "ottla group delete a b --if-exists",
        "ottla txn list --state ongoing --state prepare-commit --producer-id 5 --longer-than 5m --id-pattern billing-.* --json",
        "ottla txn describe a b --bootstrap-server a:9092",
        "ottla txn find-hanging --broker 1 --topic orders:0,2 --topic logs --max-timeout 1h",
        "ottla txn abort orders:0 --start-offset 4711 --json",
        "ottla txn abort orders:0 --producer-id 5 --producer-epoch 1 --coordinator-epoch 2",
        "ottla produce logs --transactional-id loader",
        "ottla consume logs --isolation-level read-committed",
        "ottla config describe --topic logs --all",
        "ottla config set --broker 1 log.retention.ms=1",
        "ottla config delete --broker-defaults log.retention.ms",
        "ottla perf produce load --create --partitions 6 --config write.caching=true --acks 1 --compression zstd --seconds 5 --pid 1,2",
        "ottla perf consume load --no-check --mib 5 --bootstrap-server a:9092 --json",
        "ottla perf limit --write same-pages --same-mib 64",
    ] {
        if let Err(error) = Cli::try_parse_from(line.split(' ')) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_exit_code_2() {
    for (line, kind) in [
        ("ottla topic create logs --partitions 0", ErrorKind::ValueValidation),
        ("ottla topic create logs --config retention.ms", ErrorKind::ValueValidation),
        ("ottla topic describe", ErrorKind::MissingRequiredArgument),
        ("ottla topic delete", ErrorKind::MissingRequiredArgument),
        ("ottla produce logs --acks 2", ErrorKind::InvalidValue),
        ("ottla produce logs --compression brotli", ErrorKind::InvalidValue),
        ("ottla consume logs --from yesterday", ErrorKind::ValueValidation),
        ("ottla consume logs --json --print key", ErrorKind::ArgumentConflict),
        ("ottla group describe", ErrorKind::MissingRequiredArgument),
        ("ottla group reset-offsets g", ErrorKind::MissingRequiredArgument),
        ("ottla group reset-offsets g --to-earliest --to-latest", ErrorKind::ArgumentConflict),
        ("ottla group reset-offsets g --to-offset=-1", ErrorKind::ValueValidation),
        ("ottla group reset-offsets g --to-datetime soon", ErrorKind::ValueValidation),
        ("ottla consume logs --group g --from 5", ErrorKind::ArgumentConflict),
        ("ottla consume logs --group-protocol consumer", ErrorKind::MissingRequiredArgument),
        ("ottla txn list --state open", ErrorKind::InvalidValue),
        ("ottla txn list --longer-than 5", ErrorKind::ValueValidation),
        ("ottla txn describe", ErrorKind::MissingRequiredArgument),
        ("ottla txn abort orders:0", ErrorKind::MissingRequiredArgument),
        ("ottla txn abort orders --start-offset 1", ErrorKind::ValueValidation),
        ("ottla txn abort orders:0 --producer-id 1", ErrorKind::MissingRequiredArgument),
        ("ottla txn abort orders:0 --start-offset 1 --producer-id 1 --producer-epoch 1", ErrorKind::ArgumentConflict),
        ("ottla produce logs --transactional-id a --acks 1", ErrorKind::ArgumentConflict),
        ("ottla config describe", ErrorKind::MissingRequiredArgument),
        ("ottla config set --topic a --broker 1 b=c", ErrorKind::ArgumentConflict),
        ("ottla perf produce load --create", ErrorKind::MissingRequiredArgument),
        ("ottla perf produce load --config a=b", ErrorKind::MissingRequiredArgument),
        ("ottla perf produce load --mib 1 --seconds 1", ErrorKind::ArgumentConflict),
        ("ottla perf produce load --connections 0", ErrorKind::ValueValidation),
        ("ottla perf ledger load --file f --record-size 10", ErrorKind::ValueValidation),
        ("ottla perf history in --file f --transactional-id a --move-to out", ErrorKind::MissingRequiredArgument),
        ("ottla perf history-check in", ErrorKind::MissingRequiredArgument),
        ("ottla sevre", ErrorKind::InvalidSubcommand),
    ] {
        let error = refused(line);
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn every_command_has_examples_and_says_its_exit_codes() {
    for path in [&[][..], &["serve"], &["topic"], &["produce"], &["consume"], &["group"], &["txn"], &["config"], &["perf"]] {
        let text = help(path);
        let title = format!("ottla {}", path.join(" "));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{title} is wrapped by terminals: {text}");
        assert!(text.contains("Examples:\n  "), "{title}: {text}");
        assert!(text.contains("Exit codes: 0") && text.contains(", 1 failed, 2 not understood"), "{title}: {text}");
    }
}

#[test]
fn every_argument_is_described() {
    fn check(command: &clap::Command) {
        assert!(command.get_about().is_some(), "`{}` has no description", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "`{} {}` has no description", command.get_name(), argument.get_id());
        }
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            check(subcommand);
        }
    }
    let mut command = Cli::command();
    command.build();
    check(&command);
}

#[test]
fn help_names_where_the_cluster_is_looked_for() {
    let text = help(&["topic", "list"]);
    assert!(text.contains("localhost:9092") && text.contains("OTTLA_BOOTSTRAP_SERVERS") && text.contains("--json"), "{text}");
}

/// Each example of the help is itself understood.
#[test]
fn the_examples_of_the_help_can_be_typed() {
    let mut examples = 0;
    for path in [
        &[][..],
        &["serve"],
        &["topic"],
        &["produce"],
        &["consume"],
        &["group"],
        &["txn"],
        &["config"],
        &["perf"],
        &["perf", "produce"],
        &["perf", "ledger"],
        &["perf", "history"],
        &["perf", "history-check"],
    ] {
        let text = help(path);
        for line in text.lines().filter(|line| line.starts_with("  ") && line.contains("ottla ")) {
            // Behind the command stands, after some blanks, what it does; before it perhaps what is piped in.
            let Some(at) = line.find("ottla ") else { continue };
            let command = line[at..].split("   ").next().unwrap_or_default();
            let command = command.split(" < ").next().unwrap_or_default().trim();
            if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
                panic!("`{command}`: {error}");
            }
            examples += 1;
        }
    }
    assert!(examples > 20, "{examples}");
}
