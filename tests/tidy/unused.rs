//! Every public item has a user. The compiler's lint stops at what a crate exports; this goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{self, Source, report};

/// What begins the definition of a public item, after `pub `.
const KINDS: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "const", "static"];

/// Items whose only users are made by a macro or run from elsewhere, with the reason.
const USED_ELSEWHERE: [(&str, &str); 3] = [
    ("KNOWN", "made for each enum by a macro, used by its tests"),
    ("decode_messages", "a decoder's door for the fuzzer"),
    (
        "VolumeSnapshotContentSpec",
        "the spec that a derive makes the object from",
    ),
];

/// Whether a file under `src` holds tests only.
fn is_test(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| {
        let name = part.trim_end_matches(".rs");
        name == "tests" || name.ends_with("_tests")
    })
}

/// A file's code without comments and without the tests at its end.
fn product(source: &Source) -> String {
    let text = source.text.split("#[cfg(test)]\nmod tests {").next();
    let lines = text.unwrap_or_default().lines();
    lines
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The name of the public item that a line defines.
fn defined(line: &str) -> Option<&str> {
    let mut words = words(line.trim_start().strip_prefix("pub ")?);
    loop {
        match words.next()? {
            "async" | "unsafe" => {}
            "const" if line.contains(" fn ") => {}
            kind if KINDS.contains(&kind) => return words.next(),
            _ => return None,
        }
    }
}

/// Public items of `src` that no product code and no program of the repository names.
fn unused(sources: &[Source]) -> Vec<String> {
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    let mut items: BTreeSet<(String, String)> = BTreeSet::new();
    for source in sources {
        let inside = source.path.starts_with("src/");
        if inside && is_test(&source.path) {
            continue;
        }
        let code = product(source);
        let mut exporting = false;
        for line in code.lines() {
            exporting |= line.trim_start().starts_with("pub use ");
            if !exporting {
                for word in words(line) {
                    *named.entry(word.into()).or_default() += 1;
                }
            }
            exporting &= !line.contains(';');
            if let Some(name) = defined(line).filter(|_| inside) {
                items.insert((source.path.clone(), name.into()));
            }
        }
    }
    let lonely = |name: &String| named.get(name).copied().unwrap_or_default() <= 1;
    let known = |name: &String| USED_ELSEWHERE.iter().any(|(known, _)| known == name);
    items
        .into_iter()
        .filter(|(_, name)| lonely(name) && !known(name))
        .map(|(path, name)| {
            format!("{path}: nothing uses {name}; remove it, or what it is for is missing")
        })
        .collect()
}

#[test]
fn every_public_item_has_a_user() {
    let sources: Vec<Source> = tree::rust();
    report("no dead code behind a pub", &unused(&sources));
}

#[test]
fn an_item_that_only_its_own_tests_use_is_found() {
    let source = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.into(),
    };
    let lib = "pub use a::{\n    alive,\n    dead,\n};\npub fn alive() {}\npub const fn dead() {}\n\n#[cfg(test)]\nmod tests {\n    fn t() { dead() }\n}\n";
    let found = unused(&[
        source("src/a/lib.rs", lib),
        source("src/b/lib.rs", "fn main() { a::alive(); } // dead\n"),
        source("src/a/state_tests/x.rs", "fn t() { dead() }\n"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("dead"), "{found:?}");
    assert_eq!(defined("    pub const MAX: u8 = 1;"), Some("MAX"));
    assert_eq!(defined("pub(super) fn x() {}"), None);
}
