//! Arguments that several commands share.

use clap::Args;
use ottla_client::{Client, ClientConfig};

use crate::error::CliError;

/// How to reach the cluster.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Where the cluster is: `host:port` of one or more brokers, separated by commas.
    #[arg(
        long,
        alias = "bootstrap-servers",
        value_name = "HOST:PORT",
        env = "OTTLA_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092",
        global = true
    )]
    pub bootstrap_server: String,

    /// Print JSON for programs: one object a line.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Connection {
    pub async fn connect(&self) -> Result<Client, CliError> {
        Ok(Client::connect(ClientConfig::new(&self.bootstrap_server).client_id("ottla-cli")).await?)
    }
}

/// Reads `name=value`; the value may hold more equals signs, or nothing.
pub fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, e.g. retention.ms=3600000".to_owned()),
    }
}

/// Reads a separator, with `\t`, `\n`, `\0` and `\\` as in C.
pub fn separator(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('0') => out.push('\0'),
                Some('\\') => out.push('\\'),
                other => return Err(format!("unknown escape `\\{}`; known are \\t, \\n, \\0 and \\\\", other.unwrap_or(' '))),
            },
            c => out.push(c),
        }
    }
    if out.is_empty() { Err("a separator cannot be empty".to_owned()) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_split_at_the_first_equals_sign() {
        assert_eq!(name_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(name_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(name_value("retention.ms").is_err() && name_value("=1").is_err());
    }

    #[test]
    fn separators_know_the_usual_escapes() {
        assert_eq!(separator(r"\t"), Ok("\t".to_owned()));
        assert_eq!(separator(r"::\\"), Ok(r"::\".to_owned()));
        assert!(separator("").is_err() && separator(r"\q").is_err());
    }
}
