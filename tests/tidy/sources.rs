//! Sizes, headers and leftovers.

use super::tree::{self, Source, report};

/// The most lines of a source file.
const FILE_LINES_MAX: usize = 500;

/// The most lines of a function, signature and braces included.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are longer, each one list of like arms or fields. They may only shrink: one that
/// grows fails, and so does an entry that is no longer needed.
const LONGER_FUNCTIONS: [(&str, usize); 1] = [("src/operator/rebind/apply.rs", 73)];

fn is_code(path: &str) -> bool {
    path.ends_with(".rs") || path.ends_with(".go")
}

/// The functions of a file, by first line and length. Relies on rustfmt and gofmt: a function ends
/// with the first `}` that stands as deep as its first line.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let inside = line.trim_start();
        let depth = line.len() - inside.len();
        if !begins_function(inside) || inside.ends_with(['}', ';']) {
            continue;
        }
        let end = lines[start..].iter().position(|line| {
            let end = line.trim_start();
            line.len() - end.len() == depth && (end.starts_with('}') || end.ends_with(");"))
        });
        found.push((start + 1, end.map_or(1, |end| end + 1)));
    }
    found
}

fn begins_function(line: &str) -> bool {
    const BEFORE: [&str; 6] = [
        "pub",
        "pub(super)",
        "pub(crate)",
        "async",
        "const",
        "unsafe",
    ];
    if line.starts_with("func ") {
        return true;
    }
    for word in line.split_whitespace() {
        if word == "fn" {
            return true;
        }
        if !BEFORE.contains(&word) {
            return false;
        }
    }
    false
}

#[test]
fn files_and_functions_stay_small() {
    let mut findings = Vec::new();
    for source in tree::all().iter().filter(|source| is_code(&source.path)) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!(
                "{}: {lines} lines; at most {FILE_LINES_MAX}",
                source.path
            ));
        }
        let longer = LONGER_FUNCTIONS
            .iter()
            .find(|(path, _)| source.path == *path);
        let allowed = longer.map_or(FUNCTION_LINES_MAX, |(_, lines)| *lines);
        let found = functions(source);
        for (start, length) in &found {
            if *length > allowed {
                findings.push(format!(
                    "{}:{start}: a function of {length} lines; at most {allowed}",
                    source.path
                ));
            }
        }
        if longer.is_some() && found.iter().all(|(_, length)| *length < allowed) {
            findings.push(format!(
                "{}: its longest function has shrunk; lower its entry",
                source.path
            ));
        }
    }
    report("one idea a file, one thing a function", &findings);
}

#[test]
fn every_file_says_what_it_is() {
    let mut findings = Vec::new();
    for source in tree::rust() {
        if !source.text.starts_with("//! ") {
            findings.push(format!(
                "{}: the first line has to be //! and say what it holds",
                source.path
            ));
        }
    }
    report("a file begins with what it holds", &findings);
}

#[test]
fn mod_files_hold_no_logic() {
    let mut findings = Vec::new();
    for source in tree::rust()
        .iter()
        .filter(|source| source.path.starts_with("src/") && source.path.ends_with("/mod.rs"))
    {
        for (start, _) in functions(source) {
            findings.push(format!(
                "{}:{start}: move the function into a file with a name",
                source.path
            ));
        }
    }
    report("mod.rs holds docs and re-exports only", &findings);
}

#[test]
fn nothing_is_left_for_later() {
    // Written so that this file does not find itself.
    let leftovers = [
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("dbg", "!("),
    ];
    let mut findings = Vec::new();
    for source in tree::all().iter().filter(|source| is_code(&source.path)) {
        for (number, line) in source.text.lines().enumerate() {
            let hit = leftovers.iter().any(|word| {
                line.match_indices(word).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + word.len()..].chars().next();
                    let part = |c: Option<char>| {
                        c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
                    };
                    !part(before) && (word.ends_with('(') || !part(after))
                })
            });
            if hit {
                findings.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    report("do it, or write an issue", &findings);
}

#[test]
fn no_path_of_a_build_machine_is_written_down() {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    let mut findings = Vec::new();
    for source in tree::all() {
        for (number, line) in source.text.lines().enumerate() {
            if paths.iter().any(|path| line.contains(path)) {
                findings.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    report("nobody else has these paths", &findings);
}

#[test]
fn functions_are_measured_right() {
    let text = "//! x\n\nimpl A {\n    pub(super) async fn long(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n\n    fn one() {}\n}\n\nfunc (a *A) Go() {\n\treturn\n}\n";
    let source = Source {
        path: "x.rs".into(),
        text: text.into(),
    };
    assert_eq!(functions(&source), [(4, 5), (13, 3)]);
}
