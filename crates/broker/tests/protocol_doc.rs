//! `docs/protocol.md` is what the registry of APIs says. `OTTLA_UPDATE_DOCS=1 cargo test -p ottla-broker --test protocol_doc` writes it.

use std::path::Path;

use ottla_broker::api::{APIS, Listeners};

fn page() -> String {
    let mut page = String::from(
        "# The protocol\n\n\
         The APIs of the Kafka protocol that Ottla serves, as its registry declares them (`crates/broker/src/api/mod.rs`). This page is\n\
         generated: `OTTLA_UPDATE_DOCS=1 cargo test -p ottla-broker --test protocol_doc` writes it anew.\n\n\
         *Versions* are those that are answered. *Named from* is the lowest that ApiVersions names: Produce alone is named from 0 on, since\n\
         librdkafka takes a broker that does not name it for one too old to talk to; versions below 3 are refused. What each API does, by\n\
         version and with its known gaps, stands at the head of its file in `crates/broker/src/api`.\n\n\
         | key | API | versions | named from | flexible from | listeners |\n\
         |---:|---|---|---:|---:|---|\n",
    );
    let mut apis: Vec<_> = APIS.iter().collect();
    apis.sort_by_key(|api| api.key.as_i16());
    for api in apis {
        let listeners = match api.listeners {
            Listeners::Broker => "broker",
            Listeners::Controller => "controller",
            Listeners::Both => "broker, controller",
        };
        let versions = match (api.versions.start(), api.versions.end()) {
            (only, last) if only == last => only.to_string(),
            (first, last) => format!("{first}–{last}"),
        };
        let (key, name, since, flexible) = (api.key.as_i16(), api.key.name(), api.advertised_since, api.key.flexible_since());
        let flexible = if flexible > *api.versions.end() { "–".to_owned() } else { flexible.to_string() };
        page += &format!("| {key} | {name} | {versions} | {since} | {flexible} | {listeners} |\n");
    }
    page
}

#[test]
fn docs_are_what_the_registry_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    if std::env::var_os("OTTLA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page(), "docs/protocol.md is not up to date: run this test with OTTLA_UPDATE_DOCS=1");
}
