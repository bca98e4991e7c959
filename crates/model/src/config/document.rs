//! `docs/configuration.md`, written from the table.

use std::fmt::Write;

use super::{ConfigDef, Importance, Kind, Scope, Support, Update, broker_default_of, table};

/// The whole page.
pub fn configuration_markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for (scope, title) in [(Scope::Broker, "Broker configs"), (Scope::Topic, "Topic configs")] {
        let _ = write!(page, "\n## {title}\n");
        for (support, heading) in SECTIONS {
            let rows: Vec<&ConfigDef> =
                table().iter().filter(|def| def.scope == scope && def.support == *support && !def.internal).collect();
            if rows.is_empty() {
                continue;
            }
            let _ = write!(
                page,
                "\n### {heading}\n\n| name | type | default | importance | change | what it does |\n|---|---|---|---|---|---|\n"
            );
            for def in rows {
                let _ = writeln!(page, "{}", row(def));
            }
        }
    }
    page
}

const INTRODUCTION: &str = "# Configuration

<!-- Written from the table in crates/model/src/config/table; a test compares them. OTTLA_UPDATE_DOCS=1 cargo test -p ottla-model rewrites this page. -->

Ottla takes Kafka's `server.properties` and Kafka's names. `ottla serve --config server.properties` reads a file, `--override name=value`
sets one config over it. Without a file a node takes `node.id=1`, `process.roles=broker,controller`,
`listeners=PLAINTEXT://localhost:9092` and `log.dirs=./ottla-data`.

A name that is not here is warned of, with the nearest known one; under `--strict` it is an error. *change* tells when a new value
counts: `restart` for what is read at start only, `broker` for what IncrementalAlterConfigs changes on one broker, `cluster` for what it
changes on one broker or as the default of all.
";

const SECTIONS: &[(Support, &str)] = &[
    (Support::Works, "Heeded"),
    (Support::NotYet, "Known, not heeded yet (a warning when set)"),
    (Support::NoEffect, "Known, nothing here to tune (a warning when set)"),
    (Support::Refused, "Refused: not supported, and not safe to pass over"),
];

fn row(def: &ConfigDef) -> String {
    let valid = def.valid.describe();
    let mut kind = def.kind.describe().to_owned();
    if !valid.is_empty() {
        let _ = write!(kind, ", {valid}");
    }
    let default = match def.default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(_) if def.kind == Kind::Password => "hidden".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let importance = match def.importance {
        Importance::High => "high",
        Importance::Medium => "medium",
        Importance::Low => "low",
    };
    let change = match (def.scope, def.update) {
        (Scope::Topic, _) => "topic",
        (Scope::Broker, Update::ReadOnly) => "restart",
        (Scope::Broker, Update::PerBroker) => "broker",
        (Scope::Broker, Update::ClusterWide) => "cluster",
    };
    let inherits = match broker_default_of(def.name) {
        Some(broker) if def.scope == Scope::Topic => format!(" Default from the broker's `{broker}`."),
        _ => String::new(),
    };
    // A bar would end the table's cell.
    let text = format!("| `{}` | {kind} | {default} | {importance} | {change} | ", def.name);
    format!("{text}{}{inherits} |", def.doc.replace('|', "\\|"))
}
