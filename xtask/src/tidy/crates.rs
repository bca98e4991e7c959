//! The direction of dependency between the crates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Findings;
use crate::run;

/// Each crate, and the crates of this workspace that it may use. A crate that is not here is a finding: whoever adds
/// one says first where it stands.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ottla-model", &[]),
    ("ottla-wire-derive", &[]),
    ("ottla-wire", &["ottla-model", "ottla-wire-derive"]),
    ("ottla-log", &["ottla-model", "ottla-wire"]),
    ("ottla-cluster", &["ottla-model"]),
    ("ottla-broker", &["ottla-model", "ottla-wire", "ottla-log", "ottla-cluster"]),
    ("ottla-client", &["ottla-model", "ottla-wire"]),
    ("ottla-perf", &["ottla-model", "ottla-wire", "ottla-client"]),
    ("ottla", &["ottla-model", "ottla-broker", "ottla-client", "ottla-perf"]),
    ("ottla-e2e", &["ottla-wire"]),
    ("ottla-fuzz", &["ottla-model", "ottla-wire", "ottla-log", "ottla-cluster"]),
    ("ottla-sim", &["ottla-model", "ottla-cluster"]),
    ("xtask", &[]),
];

/// The crates that do no I/O of the asynchronous kind, or none at all.
const WITHOUT_RUNTIME: &[&str] = &["ottla-model", "ottla-wire", "ottla-wire-derive", "ottla-log", "ottla-cluster"];

/// What they must not reach, not even through another crate.
const RUNTIME: &[&str] = &["tokio", "mio", "async-std", "smol", "openraft", "redb", "axum", "hyper"];

pub fn check() -> Result<Findings, String> {
    let text = run::captured(run::cargo(&["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let graph = Graph::of(&metadata);
    let mut findings = graph.wrong_direction();
    findings.extend(graph.runtime_below());
    Ok(findings)
}

/// The resolved packages: their names, and what each uses in a shipped build.
struct Graph {
    /// Package id to name.
    names: BTreeMap<String, String>,
    members: BTreeSet<String>,
    /// Package id to the ids it depends on, of any kind (dev included).
    any: BTreeMap<String, Vec<String>>,
    /// Package id to the ids it depends on other than for its own tests.
    shipped: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn of(metadata: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names = list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let members = list(&metadata["workspace_members"]).iter().map(text).collect();
        let (mut any, mut shipped) = (BTreeMap::new(), BTreeMap::new());
        for node in list(&metadata["resolve"]["nodes"]) {
            let dependencies = list(&node["deps"]);
            let for_tests_only =
                |dependency: &&Value| list(&dependency["dep_kinds"]).iter().all(|kind| kind["kind"].as_str() == Some("dev"));
            let ids = |kept: Vec<&Value>| kept.into_iter().map(|dependency| text(&dependency["pkg"])).collect::<Vec<_>>();
            any.insert(text(&node["id"]), ids(dependencies.iter().collect()));
            shipped.insert(text(&node["id"]), ids(dependencies.iter().filter(|dependency| !for_tests_only(dependency)).collect()));
        }
        Graph { names, members, any, shipped }
    }

    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    fn wrong_direction(&self) -> Findings {
        let mut findings = Findings::new();
        for member in &self.members {
            let name = self.name(member);
            let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
                findings.push(format!("{name}: not in the table of xtask/src/tidy/crates.rs that says what each crate may use"));
                continue;
            };
            for used in self.any.get(member).into_iter().flatten() {
                // A crate whose tests need its own crate with other features names itself.
                if self.members.contains(used) && used != member && !allowed.contains(&self.name(used)) {
                    findings.push(format!("{name}: must not depend on {}", self.name(used)));
                }
            }
        }
        findings
    }

    fn runtime_below(&self) -> Findings {
        let mut findings = Findings::new();
        for member in self.members.iter().filter(|member| WITHOUT_RUNTIME.contains(&self.name(member))) {
            let (mut seen, mut next) = (BTreeSet::from([member]), vec![member]);
            while let Some(id) = next.pop() {
                for used in self.shipped.get(id).into_iter().flatten() {
                    if seen.insert(used) {
                        next.push(used);
                    }
                }
            }
            for reached in seen.iter().map(|id| self.name(id)).filter(|reached| RUNTIME.contains(reached)) {
                findings.push(format!(
                    "{}: must not reach {reached}; see `cargo tree -p {} -i {reached}`",
                    self.name(member),
                    self.name(member)
                ));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;
    use serde_json::json;

    fn graph(uses: &[(&str, &[&str])], outside: &[&str]) -> Graph {
        let packages: Vec<_> =
            uses.iter().map(|(name, _)| *name).chain(outside.iter().copied()).map(|name| json!({"id": name, "name": name})).collect();
        let nodes: Vec<_> = uses
            .iter()
            .map(|(name, used)| {
                let deps: Vec<_> = used.iter().map(|used| json!({"pkg": used, "dep_kinds": [{"kind": null}]})).collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        let members: Vec<_> = uses.iter().map(|(name, _)| *name).filter(|name| !outside.contains(name)).collect();
        Graph::of(&json!({"packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}}))
    }

    #[test]
    fn a_dependency_against_the_direction_is_found() {
        let graph = graph(&[("ottla-model", &[]), ("ottla-wire", &["ottla-model", "ottla-log"]), ("ottla-log", &["ottla-wire"])], &[]);
        assert_eq!(graph.wrong_direction(), ["ottla-wire: must not depend on ottla-log"]);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        let graph = graph(&[("ottla-new", &[])], &[]);
        assert_eq!(graph.wrong_direction().len(), 1);
    }

    #[test]
    fn a_runtime_reached_through_another_crate_is_found() {
        let graph = graph(&[("ottla-log", &["helper"]), ("helper", &["tokio"]), ("tokio", &[])], &["helper", "tokio"]);
        let findings = graph.runtime_below();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("ottla-log: must not reach tokio"), "{findings:?}");
    }
}
