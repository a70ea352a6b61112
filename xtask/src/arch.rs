//! The crate graph: who may know what.
//!
//! Zero knowledge is a property of the build. If the server cannot link the content ciphers, no bug
//! and no operator can make it read a file. This check walks cargo's resolved graph (normal and
//! build dependencies, not test ones) and the sources of the pure crates.

use crate::shell::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use walkdir::WalkDir;

/// Our crates from the bottom up, and what each may use directly.
const LAYERS: [(&str, &[&str]); 15] = [
    ("freehold-model", &[]),
    ("freehold-trust", &["model"]),
    ("freehold-crypto", &["trust", "model"]),
    ("freehold-vault", &["crypto", "trust", "model"]),
    ("freehold-api", &["trust", "model"]),
    ("freehold-net-proto", &["trust", "model"]),
    ("freehold-net", &["net-proto", "api", "trust", "model"]),
    ("freehold-store", &["model"]),
    ("freehold-engine", &["vault", "crypto", "store", "net", "api", "trust", "model"]),
    ("freehold-vfs", &["engine", "model"]),
    ("freehold-clientd", &["vfs", "engine", "net", "api", "model"]),
    ("freehold-server", &["net", "api", "trust", "model"]),
    ("freehold-storaged", &["store", "net", "api", "trust", "model"]),
    ("freehold-tests", &["vfs", "engine", "vault", "crypto", "store", "net", "api", "trust", "model"]),
    ("xtask", &[]),
];

/// Crates that must never reach the plaintext side.
const BLIND: [&str; 5] =
    ["freehold-server", "freehold-storaged", "freehold-gateway", "freehold-net", "freehold-net-proto"];

/// What the blind crates must not reach.
const SIGHTED: [&str; 4] = ["freehold-crypto", "freehold-vault", "chacha20poly1305", "hpke"];

/// Crates without tokio, clock, file or socket.
const PURE: [(&str, &str); 6] = [
    ("freehold-model", "core/model"),
    ("freehold-trust", "core/trust"),
    ("freehold-crypto", "core/crypto"),
    ("freehold-vault", "core/vault"),
    ("freehold-api", "core/api"),
    ("freehold-net-proto", "net/proto"),
];

/// Libraries and the only crates of ours that may name them.
const OWNERS: [(&str, &[&str]); 7] = [
    ("rusqlite", &["freehold-engine"]),
    ("sqlx", &["freehold-server", "freehold-gateway"]),
    // The tests mount file systems of their own: a disk whose power can be cut, and one to compare with.
    ("fuser", &["freehold-tests"]),
    ("io-uring", &["freehold-vfs"]),
    ("quinn", &["freehold-net"]),
    ("opaque-ke", &["freehold-trust"]),
    ("chacha20poly1305", &["freehold-crypto"]),
];

/// What a pure crate's source may not say.
const IMPURE: [&str; 7] =
    ["std::fs", "std::net", "std::thread", "SystemTime::now", "Instant::now", "std::env", "tokio::"];

/// Checks all of it and reports every breach at once.
pub(crate) fn run() -> Result<()> {
    let graph = Graph::load()?;
    let mut breaches = Vec::new();
    graph.check_layers(&mut breaches);
    graph.check_blindness(&mut breaches);
    graph.check_owners(&mut breaches);
    check_purity(&graph, &mut breaches)?;
    if breaches.is_empty() {
        println!("arch: {} crates of ours, no breach", graph.ours().count());
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("arch: {breach}");
    }
    bail!("{} breaches of the crate graph; ARCHITECTURE.md says why each wall stands", breaches.len())
}

/// Package name to the names it depends on directly.
struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn load() -> Result<Self> {
        let output =
            cargo(&["metadata", "--format-version", "1", "--locked"]).current_dir(root()).output()?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Self::parse(&serde_json::from_slice(&output.stdout)?).context("cargo metadata has another shape")
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let packages = metadata["packages"].as_array()?;
        let names: BTreeMap<&str, &str> = packages
            .iter()
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array()? {
            let from = edges.entry((*names.get(node["id"].as_str()?)?).to_owned()).or_default();
            for dependency in node["deps"].as_array()? {
                let test_only = dependency["dep_kinds"].as_array()?.iter().all(|kind| kind["kind"] == "dev");
                if !test_only {
                    from.insert((*names.get(dependency["pkg"].as_str()?)?).to_owned());
                }
            }
        }
        Some(Self { edges })
    }

    fn ours(&self) -> impl Iterator<Item = (&String, &BTreeSet<String>)> {
        self.edges.iter().filter(|(name, _)| name.starts_with("freehold-") || *name == "xtask")
    }

    fn reachable<'a>(&'a self, from: &'a str) -> BTreeSet<&'a str> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(name) = open.pop() {
            if seen.insert(name) {
                open.extend(self.edges.get(name).into_iter().flatten().map(String::as_str));
            }
        }
        seen
    }

    fn check_layers(&self, breaches: &mut Vec<String>) {
        for (name, direct) in self.ours() {
            let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| layer == name) else {
                breaches.push(format!("{name} has no place in xtask/src/arch.rs; give it one"));
                continue;
            };
            for other in direct.iter().filter_map(|other| other.strip_prefix("freehold-")) {
                if !allowed.contains(&other) {
                    breaches.push(format!("{name} uses freehold-{other}, which its layer may not"));
                }
            }
        }
    }

    fn check_blindness(&self, breaches: &mut Vec<String>) {
        for blind in BLIND.iter().filter(|name| self.edges.contains_key(**name)) {
            let seen = self.reachable(blind);
            for sighted in SIGHTED.iter().filter(|name| seen.contains(**name)) {
                breaches.push(format!("{blind} can reach {sighted}: it must not be able to read anything"));
            }
        }
    }

    fn check_owners(&self, breaches: &mut Vec<String>) {
        for (name, direct) in self.ours() {
            for (library, owners) in OWNERS {
                if direct.contains(library) && !owners.contains(&name.as_str()) {
                    breaches.push(format!("{name} names {library}; only {} may", owners.join(", ")));
                }
            }
        }
    }
}

fn check_purity(graph: &Graph, breaches: &mut Vec<String>) -> Result<()> {
    for (name, dir) in PURE {
        for library in ["tokio", "mio", "socket2", "getrandom"] {
            if graph.edges.get(name).is_some_and(|direct| direct.contains(library)) {
                breaches.push(format!("{name} is pure and may not use {library}"));
            }
        }
        for entry in WalkDir::new(root().join(dir).join("src")) {
            let entry = entry?;
            if entry.path().extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path())?;
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in shipped.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                    breaches.push(format!(
                        "{}:{}: pure crates may not say {word}",
                        entry.path().display(),
                        number + 1
                    ));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Graph { edges: edges.iter().map(|(name, to)| ((*name).to_owned(), owned(to))).collect() }
    }

    #[test]
    fn a_server_that_reaches_the_ciphers_through_another_crate_is_caught() {
        let graph = graph(&[
            ("freehold-server", &["freehold-net"]),
            ("freehold-net", &["helper"]),
            ("helper", &["freehold-crypto"]),
        ]);
        let mut breaches = Vec::new();
        graph.check_blindness(&mut breaches);
        assert_eq!(breaches.len(), 2, "{breaches:?}");
    }

    #[test]
    fn an_upward_arrow_and_a_stray_library_are_caught() {
        let graph = graph(&[("freehold-model", &["freehold-engine"]), ("freehold-vfs", &["rusqlite"])]);
        let mut breaches = Vec::new();
        graph.check_layers(&mut breaches);
        graph.check_owners(&mut breaches);
        assert_eq!(breaches.len(), 2, "{breaches:?}");
    }
}
