//! The crates depend downwards only, and the pure ones stay pure. The compiler keeps a crate to what
//! its `Cargo.toml` names; this keeps the `Cargo.toml`, and what the compiler can't see.

use super::tree::{self, Source, report};

/// Each crate's folder and the crates of ours that it may depend on, lowest first.
const CRATES: [(&str, &[&str]); 15] = [
    ("buffers", &[]),
    ("protocol", &[]),
    ("storage", &["buffers", "protocol"]),
    ("wire", &["protocol"]),
    ("transport", &["buffers", "protocol", "wire"]),
    ("api", &["protocol"]),
    ("planner", &["api", "protocol", "wire"]),
    ("cluster", &["api", "planner", "protocol"]),
    ("mover-core", &["protocol", "storage", "wire"]),
    (
        "mover",
        &["mover-core", "protocol", "storage", "transport", "wire"],
    ),
    ("salvage", &["protocol", "storage", "transport", "wire"]),
    (
        "operator",
        &["api", "cluster", "planner", "protocol", "transport", "wire"],
    ),
    (
        "plugin",
        &["api", "cluster", "planner", "protocol", "salvage"],
    ),
    (
        "demo",
        &[
            "mover",
            "mover-core",
            "protocol",
            "storage",
            "transport",
            "wire",
        ],
    ),
    (
        "sim",
        &[
            "api",
            "mover",
            "mover-core",
            "planner",
            "protocol",
            "storage",
            "transport",
            "wire",
        ],
    ),
];

/// What a crate must not depend on, beside what [`CRATES`] leaves out.
const STRANGERS: [(&[&str], &[&str]); 2] = [
    (
        &[
            "protocol",
            "storage",
            "wire",
            "api",
            "planner",
            "mover-core",
        ],
        &["tokio", "rustls", "rand_core"],
    ),
    (
        &[
            "protocol",
            "storage",
            "wire",
            "transport",
            "mover",
            "mover-core",
            "salvage",
        ],
        &["kube", "k8s-openapi"],
    ),
];

/// What a pure crate must not name: the world comes in as arguments.
const WORLD: [&str; 6] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::process",
];

/// The crates that are pure.
const PURE: [&str; 5] = ["protocol", "wire", "planner", "api", "mover-core"];

/// Crates whose folder is in that of another: their name and where they are.
const NESTED: [(&str, &str); 1] = [("mover-core", "src/mover/core")];

/// The names under `[dependencies]`, with what follows them on their line.
fn dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section == "dependencies]";
        } else if inside && let Some(end) = line.find(['.', ' ']) {
            found.push((&line[..end], &line[end..]));
        }
    }
    found
}

/// The crate that a file belongs to.
fn crate_of(path: &str) -> Option<&str> {
    let inside =
        |(_, at): &&(&str, &str)| path.strip_prefix(at).is_some_and(|p| p.starts_with('/'));
    if let Some((name, _)) = NESTED.iter().find(inside) {
        return Some(name);
    }
    let (folder, _) = path.strip_prefix("src/")?.split_once('/')?;
    Some(folder)
}

/// Lines of code, with their numbers; comments are left out.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate();
    let lines = lines.map(|(i, line)| (i + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What is wrong with the dependencies of the crate in this folder.
fn wrong_dependencies(folder: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("src/{folder}: no layer is known; give it one here")];
    };
    let mut findings = Vec::new();
    for (name, rest) in dependencies(manifest) {
        let ours = CRATES.iter().any(|(own, _)| *own == name);
        let strange = STRANGERS
            .iter()
            .any(|(crates, names)| crates.contains(&folder) && names.contains(&name));
        if (ours && !allowed.contains(&name)) || strange {
            findings.push(format!("src/{folder} must not depend on {name}"));
        }
        if name == "kube" && PURE.contains(&folder) && rest.contains("client") {
            findings.push(format!("src/{folder} must not have a kube client"));
        }
    }
    findings
}

/// What a pure crate's file names of the world, and the ways past a layer in any file.
fn wrong_lines(source: &Source) -> Vec<String> {
    let pure = crate_of(&source.path).is_some_and(|folder| PURE.contains(&folder));
    let mut findings = Vec::new();
    for (number, line) in code(source) {
        if line.contains("super::super") {
            findings.push(format!(
                "{}:{number}: write crate::…, so that the way is seen",
                source.path
            ));
        }
        for name in WORLD.iter().filter(|name| pure && line.contains(*name)) {
            findings.push(format!(
                "{}:{number}: a pure crate names {name}",
                source.path
            ));
        }
    }
    findings
}

#[test]
fn crates_depend_downwards() {
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(tree::root().join("src")).unwrap() {
        let folder = entry.unwrap().file_name().to_string_lossy().into_owned();
        let path = format!("src/{folder}/Cargo.toml");
        if tree::root().join(&path).exists() {
            findings.extend(wrong_dependencies(&folder, &tree::read(&path)));
        }
    }
    for (name, at) in NESTED {
        let manifest = tree::read(&format!("{at}/Cargo.toml"));
        findings.extend(wrong_dependencies(name, &manifest));
    }
    report("crates depend downwards", &findings);
}

#[test]
fn pure_crates_name_nothing_of_the_world() {
    let findings: Vec<String> = tree::rust()
        .iter()
        .filter(|source| source.path.starts_with("src/"))
        .flat_map(wrong_lines)
        .collect();
    report("pure crates stay pure", &findings);
}

#[test]
fn the_layers_are_listed_lowest_first() {
    for (at, (name, allowed)) in CRATES.iter().enumerate() {
        for lower in *allowed {
            let below = CRATES[..at].iter().any(|(known, _)| known == lower);
            assert!(below, "{name} depends on {lower}, which is not below it");
        }
    }
}

#[test]
fn a_violation_is_caught() {
    let manifest = |line: &str| {
        format!("[package]\n\n[dependencies]\n{line}\n\n[dev-dependencies]\nkube = 5\n")
    };
    let bad = [
        ("protocol", "wire.workspace = true"),
        ("planner", "tokio.workspace = true"),
        (
            "planner",
            "kube = { workspace = true, features = [\"client\"] }",
        ),
        ("mover", "k8s-openapi.workspace = true"),
        ("mover-core", "tokio.workspace = true"),
        ("plugin", "operator.workspace = true"),
        ("cellar", "bytes.workspace = true"),
    ];
    for (folder, line) in bad {
        assert!(
            !wrong_dependencies(folder, &manifest(line)).is_empty(),
            "{folder}: {line}"
        );
    }
    assert!(wrong_dependencies("planner", &manifest("wire.workspace = true")).is_empty());
    let source = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.into(),
    };
    let way = concat!("use super::", "super::operator;");
    assert_eq!(
        wrong_lines(&source("src/mover/target/keep.rs", way)).len(),
        1
    );
    let clock = "let now = std::time::Instant::now();";
    assert_eq!(wrong_lines(&source("src/planner/x.rs", clock)).len(), 1);
    assert!(wrong_lines(&source("src/mover/x.rs", clock)).is_empty());
    assert_eq!(wrong_lines(&source("src/mover/core/x.rs", clock)).len(), 1);
}
