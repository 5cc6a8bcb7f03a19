//! The repository's files, as text.

use std::path::{Path, PathBuf};

/// One text file.
pub struct Source {
    /// Its path from the top of the repository, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Folders, from the top of the repository, that hold what is built, never what is written. A folder
/// of that name further down is ours.
const NOT_OURS: [&str; 5] = [
    "target",
    ".git",
    "e2e/cluster/bin",
    "fuzz/target",
    "fuzz/artifacts",
];

/// Whether a folder holds what is built.
fn is_built(path: &str) -> bool {
    NOT_OURS.contains(&path)
}

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository, by path.
pub fn all() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let full = entry.unwrap().path();
            let path = full.strip_prefix(root()).unwrap();
            let path = path.to_string_lossy().into_owned();
            if full.is_symlink() || is_built(&path) {
                continue;
            }
            if full.is_dir() {
                folders.push(full);
            } else if let Ok(text) = std::fs::read_to_string(&full) {
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        found.iter().any(|s| s.path == "src/main.rs"),
        "the sources were not found"
    );
    found
}

/// The Rust files.
pub fn rust() -> Vec<Source> {
    all()
        .into_iter()
        .filter(|source| source.path.ends_with(".rs"))
        .collect()
}

/// One file, which has to be there.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with all findings at once.
pub fn report(rule: &str, findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{rule}:\n  {}\n",
        findings.join("\n  ")
    );
}

#[test]
fn only_what_is_built_is_left_out() {
    assert!(is_built("target") && is_built("fuzz/target"));
    assert!(!is_built("src/mover/target") && !is_built("src/operator/build"));
}
