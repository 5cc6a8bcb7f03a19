//! Which words does the project not use? `docs/words.md` lists them; here they are looked for.

use std::collections::HashMap;

use super::tree::{self, Source, report};

/// The page whose first table is the list.
const PAGE: &str = "docs/words.md";

/// Parts of the repository that hold other people's text, history, or the list itself.
const LEFT_OUT: [&str; 5] = [
    PAGE,
    "CHANGELOG.md",
    "LICENSE",
    "fuzz/corpus/",
    "tests/tidy/words.rs",
];

/// A word of a text, in lower case.
struct Word {
    text: String,
    /// The line that it is on, from 1.
    line: usize,
    /// Whether it follows the word before it in the same sentence or identifier.
    follows: bool,
}

/// The words of a text: identifiers are split at `_` and where the case changes.
fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut line, mut follows, mut at) = (Vec::<Word>::new(), 1, false, 0);
    while at < chars.len() {
        if !chars[at].is_alphabetic() {
            line += usize::from(chars[at] == '\n');
            follows &= chars[at].is_whitespace() || "_/!#*>-\\".contains(chars[at]);
            follows &= !(chars[at] == '\n' && chars.get(at + 1) == Some(&'\n'));
            at += 1;
            continue;
        }
        let end = end_of_word(&chars, at);
        let text = chars[at..end].iter().collect::<String>().to_lowercase();
        found.push(Word {
            text,
            line,
            follows,
        });
        (follows, at) = (true, end);
    }
    found
}

/// Where the word that begins at `at` ends: at the end of its letters, or where the case changes as
/// in `promotablePoint` and `CRDFields`.
fn end_of_word(chars: &[char], at: usize) -> usize {
    let letter = |i: usize| chars.get(i).is_some_and(|c| c.is_alphabetic());
    let upper = |i: usize| chars.get(i).is_some_and(|c| c.is_uppercase());
    let mut end = at + 1;
    while letter(end) {
        let hump = upper(end) && !upper(end - 1);
        let last_of_capitals = upper(end - 1) && upper(end) && letter(end + 1) && !upper(end + 1);
        if hump || last_of_capitals {
            break;
        }
        end += 1;
    }
    end
}

/// The patterns of the first table's left column, each with what to write instead.
fn banned(page: &str) -> Vec<(Vec<String>, String)> {
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let mut found = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [not, but] = cells[..] else {
            panic!("{PAGE}: a row of two cells is expected: {row}");
        };
        for pattern in not.split('`').skip(1).step_by(2) {
            let pattern = words(pattern).into_iter().map(|word| word.text).collect();
            found.push((pattern, but.trim().to_string()));
        }
    }
    found
}

/// Where a text holds what is banned.
fn findings(source: &Source, banned: &[(Vec<String>, String)]) -> Vec<String> {
    let mut by_first: HashMap<&str, Vec<&(Vec<String>, String)>> = HashMap::new();
    for entry in banned {
        by_first.entry(&entry.0[0]).or_default().push(entry);
    }
    let words = words(&source.text);
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        for (pattern, but) in by_first.get(word.text.as_str()).into_iter().flatten() {
            let rest = &words[at + 1..];
            let matches = pattern[1..].len() <= rest.len()
                && pattern[1..]
                    .iter()
                    .zip(rest)
                    .all(|(wanted, word)| word.follows && *wanted == word.text);
            if matches {
                let (path, line, not) = (&source.path, word.line, pattern.join(" "));
                found.push(format!("{path}:{line}: {not}: write {but}"));
            }
        }
    }
    found
}

/// Whether a file is written by people: sources, documents, manifests and scripts.
fn is_checked(path: &str) -> bool {
    const KINDS: [&str; 7] = ["rs", "md", "yaml", "yml", "tpl", "sh", "snap"];
    let name = path.rsplit('/').next().unwrap_or(path);
    let kind = name.rsplit_once('.').map(|(_, kind)| kind);
    kind.is_none_or(|kind| KINDS.contains(&kind))
        && !LEFT_OUT.iter().any(|left_out| path.starts_with(left_out))
}

#[test]
fn the_words_of_the_field_are_used() {
    let banned = banned(&tree::read(PAGE));
    assert!(banned.len() > 40, "{PAGE} bans only {}", banned.len());
    let found: Vec<String> = tree::all()
        .iter()
        .filter(|source| is_checked(&source.path))
        .flat_map(|source| findings(source, &banned))
        .collect();
    report(&format!("no word that {PAGE} bans"), &found);
}

#[test]
fn a_banned_word_is_found_in_prose_and_in_identifiers() {
    let banned = banned(
        "| not | but |\n|---|---|\n| `wish`, `given up` | request |\n\n| `by` | context |\n",
    );
    let count = |text: &str| {
        let source = Source {
            path: "x.rs".into(),
            text: text.into(),
        };
        findings(&source, &banned).len()
    };
    for text in [
        "A Wish is",
        "fn a_wish()",
        "CutWish::new",
        "WISH_MAX",
        "HTTPWish",
        "is given up",
        "fn is_given_up()",
        "GivenUp",
        "/// It is given\n    /// up at once.",
    ] {
        assert_eq!(count(text), 1, "{text}");
    }
    for text in [
        "wishful",
        "given. Up",
        "given\n\nup",
        "given(up)",
        "by context",
    ] {
        assert_eq!(count(text), 0, "{text}");
    }
}

#[test]
fn every_term_of_the_glossary_says_where_it_is_defined() {
    let page = tree::read(PAGE);
    let (_, glossary) = page.split_once("## Glossary").unwrap();
    let rows: Vec<&str> = glossary.lines().filter(|l| l.starts_with("| ")).collect();
    assert!(rows.len() > 50, "only {} terms", rows.len());
    let found: Vec<String> = rows[1..]
        .iter()
        .filter(|row| !row.contains("]("))
        .map(|row| format!("no link: {row}"))
        .collect();
    report("every term has a link", &found);
}
