//! Lower layers never import upper ones, and nothing imports sideways.

use super::tree::{self, Source, report};

/// The layers, lowest first; those in one row don't know each other.
const LAYERS: [&[&str]; 6] = [
    &["units"],
    &["seam"],
    &["pair", "wire"],
    &["api", "journal", "volume"],
    &["mover", "salvage", "operator"],
    &["plugin", "demo"],
];

/// May be imported from anywhere above `units`, and imports nothing else of ours.
const TELEMETRY: &str = "telemetry";

/// May import everything below the operator.
const SIM: &str = "sim";

/// Crates that a layer must not name, so that it stays what it is.
const STRANGERS: [(&[&str], &[&str]); 4] = [
    (&["units"], &["kube", "k8s_openapi", "tokio", "rustls"]),
    (
        &["pair"],
        &[
            "kube",
            "k8s_openapi",
            "tokio",
            "rustls",
            "std::fs",
            "std::net",
            "std::time",
        ],
    ),
    (
        &["seam", "wire", "journal", "volume", "mover", "salvage"],
        &["kube", "k8s_openapi"],
    ),
    (
        &["units", "wire", "journal", "api"],
        &["std::net", "tokio::net", "std::time::SystemTime"],
    ),
];

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&layer))
}

fn may_import(from: &str, to: &str) -> bool {
    let below_operator =
        |to: &str| rank(to).is_some_and(|r| r < rank("mover").unwrap()) || to == "mover";
    match (rank(from), rank(to)) {
        _ if from == to => true,
        (Some(from), Some(to)) => to < from,
        (Some(from), None) => to == TELEMETRY && from > 0,
        (None, _) if from == TELEMETRY => to == "units",
        (None, _) if from == SIM => to == TELEMETRY || below_operator(to),
        (None, _) => false,
    }
}

/// The layer that a file belongs to: its folder under `src`.
fn layer(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let (folder, _) = inside.split_once('/')?;
    (folder != "bin").then_some(folder)
}

/// Lines of code, with their numbers; comments are left out.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source
        .text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The names that follow `crate::` in a line, also inside braces.
fn imports(line: &str) -> Vec<&str> {
    let ident = |text: &'static str, line: &str| -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        for (at, _) in line.match_indices(text) {
            let start = at + text.len();
            let end = line[start..]
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .map_or(line.len(), |n| start + n);
            spans.push((start, end));
        }
        spans
    };
    let mut found: Vec<&str> = ident("crate::", line)
        .into_iter()
        .map(|(a, b)| &line[a..b])
        .collect();
    if let Some(at) = line.find("crate::{") {
        let inside = &line[at + "crate::{".len()..];
        for part in inside.trim_end_matches(['}', ';']).split(',') {
            found.push(part.trim().split("::").next().unwrap_or_default());
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn lower_layers_never_import_upper_ones() {
    let known = |name: &str| rank(name).is_some() || name == TELEMETRY || name == SIM;
    let mut findings = Vec::new();
    for source in tree::rust() {
        let Some(from) = layer(&source.path) else {
            continue;
        };
        assert!(
            known(from),
            "{}: the folder {from} is in no layer; give it one here",
            source.path
        );
        for (number, line) in code(&source) {
            assert!(
                !line.trim_end().ends_with("use crate::{"),
                "{}:{number}: write one `use crate::…` a layer, so that this test can read it",
                source.path
            );
            for to in imports(line).into_iter().filter(|to| known(to)) {
                if !may_import(from, to) {
                    findings.push(format!(
                        "{}:{number}: {from} must not import {to}",
                        source.path
                    ));
                }
            }
        }
    }
    report("layers point downwards", &findings);
}

#[test]
fn layers_stay_free_of_what_is_not_theirs() {
    let mut findings = Vec::new();
    for source in tree::rust() {
        let Some(from) = layer(&source.path) else {
            continue;
        };
        for (layers, strangers) in STRANGERS {
            if !layers.contains(&from) {
                continue;
            }
            for (number, line) in code(&source) {
                for stranger in strangers {
                    let named = [format!("{stranger}::"), format!("use {stranger};")];
                    let hit = named.iter().any(|name| {
                        line.match_indices(name.as_str()).any(|(at, _)| {
                            !line[..at]
                                .ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                        })
                    });
                    if hit {
                        findings.push(format!(
                            "{}:{number}: {from} must not name {stranger}",
                            source.path
                        ));
                    }
                }
            }
        }
    }
    report("layers keep to their own libraries", &findings);
}

#[test]
fn the_rule_itself_is_right() {
    assert!(
        may_import("wire", "units")
            && may_import("operator", "pair")
            && may_import("plugin", "operator")
    );
    assert!(
        !may_import("units", "seam")
            && !may_import("wire", "pair")
            && !may_import("mover", "operator")
    );
    assert!(may_import("mover", "telemetry") && !may_import("units", "telemetry"));
    assert!(
        may_import("sim", "mover") && !may_import("sim", "operator") && !may_import("pair", "sim")
    );
    assert_eq!(imports("use crate::units::{Point, Seq};"), ["units"]);
    assert_eq!(
        imports("use crate::{units, wire::limits};"),
        ["units", "wire"]
    );
    assert_eq!(
        imports("    crate::operator::run(x, crate::api::Y)"),
        ["operator", "api"]
    );
}
