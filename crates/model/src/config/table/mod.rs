//! The rows, by theme, and the look-up in them.

mod general;
mod groups;
mod log;
mod network;
mod quorum;
mod remote;
mod replication;
mod security;
mod topic;
mod transactions;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{ConfigDef, Scope};

const PARTS: &[&[ConfigDef]] = &[
    general::GENERAL,
    groups::GROUPS,
    log::LOG,
    network::NETWORK,
    quorum::QUORUM,
    remote::REMOTE,
    replication::REPLICATION,
    security::SECURITY,
    topic::TOPIC,
    transactions::TRANSACTIONS,
];

static TABLE: LazyLock<Vec<ConfigDef>> = LazyLock::new(|| {
    let mut all: Vec<ConfigDef> = PARTS.concat();
    all.sort_by_key(|def| (def.scope == Scope::Topic, def.name));
    all
});

static BY_NAME: LazyLock<HashMap<(Scope, &'static str), &'static ConfigDef>> =
    LazyLock::new(|| TABLE.iter().map(|def| ((def.scope, def.name), def)).collect());

/// Every config: the broker's, then the topic's, each sorted by name.
pub fn table() -> &'static [ConfigDef] {
    &TABLE
}

/// A config by its name.
pub fn lookup(scope: Scope, name: &str) -> Option<&'static ConfigDef> {
    BY_NAME.get(&(scope, name)).copied()
}

/// Furthest a known name may be from a mistyped one: more than this is no slip of the finger.
const TYPO_EDITS_MAX: usize = 4;

/// The known name that a mistyped one is most likely meant to be.
pub fn nearest(scope: Scope, name: &str) -> Option<&'static str> {
    let names = TABLE.iter().filter(|def| def.scope == scope && !def.internal).map(|def| def.name);
    let normal = |text: &str| text.to_lowercase().replace(['_', '-'], ".");
    let wanted = normal(name);
    // A third of a short name wrong makes it another name.
    let edits_max = TYPO_EDITS_MAX.min(wanted.len() / 3);
    names.map(|known| (edit_distance(&wanted, known), known)).filter(|(edits, _)| *edits <= edits_max).min().map(|(_, known)| known)
}

/// Insertions, deletions and replacements between two texts (Levenshtein).
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        row[0] = left;
        for (j, b) in other.iter().enumerate() {
            let above = row[j + 1];
            left = (diagonal + usize::from(a != *b)).min(left + 1).min(above + 1);
            diagonal = above;
            row[j + 1] = left;
        }
    }
    row[other.len()]
}

/// Whether an unknown name belongs to security: a slip there, or a listener's own setting, must not be passed over.
///
/// `super.users` and `allow.everyone.if.no.acl.found` are Kafka's authorizer's own and stand in no table.
pub(super) fn is_security_name(name: &str) -> bool {
    let name = match name.strip_prefix("listener.name.") {
        Some(of_listener) => of_listener.split_once('.').map_or("", |(_, rest)| rest),
        None => name,
    };
    // With a mechanism in front: `listener.name.internal.scram-sha-256.sasl.jaas.config`.
    let any_part = |prefix: &str| name.starts_with(prefix) || name.contains(&format!(".{prefix}"));
    any_part("ssl.")
        || any_part("sasl.")
        || name.starts_with("super.users")
        || name == "allow.everyone.if.no.acl.found"
        || name == "principal.builder.class"
        || name == "connections.max.reauth.ms"
}
