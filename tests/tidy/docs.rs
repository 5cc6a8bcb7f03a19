//! The documents say what is there, and the tests quote what is said.

use super::tree::{self, report};

/// Acceptance statements begin with one of these.
const PARTS: [&str; 6] = ["H", "C", "R", "F", "O", "SYS"];

/// Names such as `C-2` in a text.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    for token in text.split(|c: char| !word(c)) {
        let Some((part, number)) = token.split_once('-') else {
            continue;
        };
        if PARTS.contains(&part) && !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
        {
            found.push(token.to_string());
        }
    }
    found
}

/// Names such as `C-2` in a function's name, `fn c_2_zeros_overwrite_old_data`.
fn named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("fn ") {
        let mut parts = text[at + 3..].split('_');
        let (part, number) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let part = part.to_uppercase();
        if PARTS.contains(&part.as_str())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
        {
            found.push(format!("{part}-{number}"));
        }
    }
    found
}

#[test]
fn every_acceptance_statement_that_a_test_quotes_exists() {
    let semantics = tree::read("docs/semantics.md");
    let stated: Vec<String> = semantics
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once("**"))
        .map(|(id, _)| id.to_string())
        .collect();
    assert!(
        stated.len() > 50,
        "docs/semantics.md states only {} things",
        stated.len()
    );
    let mut findings = Vec::new();
    for source in tree::rust() {
        let ids = quoted(&source.text).into_iter().chain(named(&source.text));
        for id in ids.filter(|id| !stated.contains(id)) {
            findings.push(format!("{}: {id} is not in docs/semantics.md", source.path));
        }
    }
    report("a quoted acceptance statement exists", &findings);
}

#[test]
fn the_map_lists_every_folder_and_every_place_of_promotion() {
    let map = tree::read("docs/map.md");
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(tree::root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !map.contains(&format!("`src/{name}/`")) {
            findings.push(format!("docs/map.md does not say what src/{name}/ is for"));
        }
    }
    for source in tree::rust() {
        let verb = ["promote.rs", "demote.rs"]
            .iter()
            .any(|verb| source.path.ends_with(&format!("/{verb}")));
        if verb && source.path.starts_with("src/") && !map.contains(&source.path) {
            findings.push(format!("docs/map.md does not list {}", source.path));
        }
    }
    for path in map
        .split('`')
        .filter(|part| part.starts_with("src/") || part.starts_with("e2e/"))
    {
        if !path.contains(['*', '…']) && !tree::root().join(path).exists() {
            findings.push(format!("docs/map.md names {path}, which does not exist"));
        }
    }
    report("docs/map.md is true", &findings);
}

#[test]
fn every_reason_has_its_page_in_the_runbook() {
    let reasons: Vec<String> = tree::read("src/api/reasons.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(','))
        .map(String::from)
        .collect();
    assert!(!reasons.is_empty());
    let runbook = tree::read("docs/runbook.md");
    let mut findings = Vec::new();
    let pages: Vec<(&str, &str)> = runbook
        .split("\n## ")
        .skip(1)
        .filter_map(|page| page.split_once('\n'))
        .collect();
    for reason in &reasons {
        match pages.iter().find(|(title, _)| title == reason) {
            None => findings.push(format!("docs/runbook.md has no heading {reason}")),
            Some((_, page)) if !page.contains("**Do:**") => {
                findings.push(format!(
                    "docs/runbook.md does not say what to do about {reason}"
                ));
            }
            Some(_) => {}
        }
    }
    for (title, _) in pages {
        if !reasons.iter().any(|reason| reason == title) {
            findings.push(format!(
                "docs/runbook.md speaks of {title}, which no condition says"
            ));
        }
    }
    report("every reason leads somewhere", &findings);
}

#[test]
fn alerts_watch_metrics_that_exist() {
    let rules = tree::read("charts/ferry/files/alerts/rules.yaml");
    let metrics = tree::read("src/operator/metrics/families.rs");
    let mut findings = Vec::new();
    for (at, _) in rules.match_indices("ferry_") {
        let name = rules[at + "ferry_".len()..]
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default();
        // The client library adds the kind and the unit to some names.
        let kept = ["_total", "_seconds", "_info"]
            .iter()
            .fold(vec![name], |mut names, end| {
                names.extend(name.strip_suffix(end));
                names
            });
        if !kept
            .iter()
            .any(|name| metrics.contains(&format!("\"{name}\"")))
        {
            findings.push(format!(
                "the alerts watch ferry_{name}, which the operator does not have"
            ));
        }
    }
    report("alerts can fire", &findings);
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for source in tree::all()
        .iter()
        .filter(|source| source.path.ends_with(".md"))
    {
        let folder = std::path::Path::new(&source.path).parent().unwrap();
        for (at, _) in source.text.match_indices("](") {
            let link = source.text[at + 2..]
                .split([')', '#', ' '])
                .next()
                .unwrap_or_default();
            let elsewhere = link.is_empty() || link.contains("://");
            if !elsewhere && !tree::root().join(folder).join(link).exists() {
                findings.push(format!(
                    "{} links to {link}, which does not exist",
                    source.path
                ));
            }
        }
    }
    report("links are good", &findings);
}

#[test]
fn acceptance_statements_are_found() {
    assert_eq!(
        quoted("/// C-2: zeros (see SYS-4), not pvc-1 or AC-1."),
        ["C-2", "SYS-4"]
    );
    assert_eq!(
        named("fn sys_4_status_wiped() {} fn cut() {} fn c_10_x()"),
        ["SYS-4", "C-10"]
    );
}

/// The health script for Argo CD asks for conditions that there are.
#[test]
fn the_health_script_asks_for_conditions_that_exist() {
    let page = tree::read("docs/gitops.md");
    let known = tree::read("src/api/conditions.rs");
    let asked: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("if is(\"")?.split('"').next())
        .collect();
    assert_eq!(asked.len(), 5, "{asked:?}");
    for condition in asked {
        assert!(known.contains(&format!("\"{condition}\"")), "{condition}");
    }
}
