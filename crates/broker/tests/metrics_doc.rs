//! `docs/metrics.md` is what the list of metrics says. `OTTLA_UPDATE_DOCS=1 cargo test -p ottla-broker --test metrics_doc` writes it.

use std::collections::BTreeSet;
use std::path::Path;

use ottla_broker::metrics::{METRICS, markdown};

#[test]
fn docs_are_what_the_list_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("OTTLA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, markdown(), "docs/metrics.md is not up to date: run this test with OTTLA_UPDATE_DOCS=1");
}

#[test]
fn each_name_is_there_once_and_says_what_it_is() {
    let mut seen = BTreeSet::new();
    for metric in METRICS {
        let name = metric.exposed_name();
        assert!(seen.insert(name.clone()), "{name} is there twice");
        assert!(name.starts_with("ottla_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '|', '\\']), "{name}: {}", metric.help);
    }
}
