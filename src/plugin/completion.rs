//! Completion: scripts for shells, and the answers that kubectl asks a plugin for.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory, FromArgMatches};
use clap_complete::Shell;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::cli::Cli;
use super::connect::{Target, bounded};
use super::selection::Selection;
use api::ReplicationPair;

/// How to install completion, for `--help`.
pub(super) const HELP: &str = "\
kubectl completes plugins by itself once this is on the PATH and executable:
  kubectl ferry completion kubectl > ~/.local/bin/kubectl_complete-ferry
  chmod +x ~/.local/bin/kubectl_complete-ferry";

/// What kubectl runs to complete `kubectl ferry …`.
const KUBECTL_SCRIPT: &str = "#!/bin/sh\nexec kubectl-ferry __complete -- \"$@\"\n";

/// cobra's directive: offer these words and no file names.
const NO_FILES: u8 = 4;

/// What `completion` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// bash, zsh, fish, elvish or powershell for the program kubectl-ferry itself; kubectl for
    /// `kubectl ferry`.
    shell: String,
}

/// The words on the command line so far; the last one is being typed.
#[derive(clap::Args)]
pub(super) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Prints a script.
pub(super) fn script(args: &Args) -> anyhow::Result<()> {
    if args.shell == "kubectl" {
        anstream::print!("{KUBECTL_SCRIPT}");
        return Ok(());
    }
    let shell: Shell = args
        .shell
        .parse()
        .map_err(|_| anyhow::anyhow!("unknown shell {}: see --help", args.shell))?;
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "kubectl-ferry",
        &mut std::io::stdout(),
    );
    Ok(())
}

/// Answers kubectl: a candidate a line, then cobra's directive.
pub(super) async fn candidates(words: &Words) -> anyhow::Result<()> {
    let begun = words.words.last().map_or("", String::as_str);
    let found = match next(&words.words) {
        Next::Words(found) => found,
        Next::Value(value) => known(value, &words.words).await.unwrap_or_default(),
    };
    for word in found.iter().filter(|word| word.starts_with(begun)) {
        anstream::println!("{word}");
    }
    anstream::println!(":{NO_FILES}");
    Ok(())
}

/// What may stand where the last word is.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// One of these.
    Words(Vec<String>),
    /// One of what a kubeconfig or a cluster knows.
    Value(Value),
}

/// What is named by a word that no list of the program holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Pair,
    Site,
    Namespace,
    Context,
}

/// What may come next: a verb, a flag, the value of the flag before it, or a pair.
fn next(words: &[String]) -> Next {
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut cli = Cli::command();
    cli.build();
    let verb = before.iter().find_map(|word| cli.find_subcommand(word));
    let command = verb.unwrap_or(&cli);
    if let Some(flag) = before.last().and_then(|word| flag(command, word)) {
        return value(flag);
    }
    if last.starts_with('-') {
        let flags = command.get_arguments().filter_map(|arg| arg.get_long());
        return Next::Words(flags.map(|flag| format!("--{flag}")).collect());
    }
    if verb.is_some() {
        return Next::Value(Value::Pair);
    }
    let verbs = cli.get_subcommands().filter(|verb| !verb.is_hide_set());
    Next::Words(verbs.map(|verb| verb.get_name().to_string()).collect())
}

/// The flag that `word` is, if it takes a value from the next word.
fn flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let named = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => word
            .strip_prefix('-')
            .is_some_and(|short| arg.get_short().map(String::from).as_deref() == Some(short)),
    };
    let arg = command.get_arguments().find(named)?;
    let apart = arg.get_action().takes_values() && !arg.is_require_equals_set();
    apart.then_some(arg)
}

/// What a flag takes.
fn value(flag: &Arg) -> Next {
    match flag.get_id().as_str() {
        "namespace" => Next::Value(Value::Namespace),
        "context" => Next::Value(Value::Context),
        "to" | "discard" | "site" | "from" if flag.get_possible_values().is_empty() => {
            Next::Value(Value::Site)
        }
        _ => {
            let values = flag.get_possible_values();
            Next::Words(values.iter().map(|value| value.get_name().into()).collect())
        }
    }
}

/// What the kubeconfig or the cluster of the command line knows.
async fn known(value: Value, words: &[String]) -> anyhow::Result<Vec<String>> {
    let target = target(words)?;
    match value {
        Value::Context => target.contexts(),
        Value::Namespace => {
            let api = Api::<Namespace>::all(target.connect().await?.client().clone());
            let list = bounded(async { Ok(api.list_metadata(&ListParams::default()).await?) });
            Ok(list.await?.iter().map(ResourceExt::name_any).collect())
        }
        Value::Pair => {
            let pairs = pairs(&target).await?;
            Ok(pairs.iter().map(ResourceExt::name_any).collect())
        }
        Value::Site => {
            let pairs = pairs(&target).await?;
            let named = |pair: &ReplicationPair| words.contains(&pair.name_any());
            let one = pairs.iter().any(named);
            let meant = pairs.iter().filter(|pair| !one || named(pair));
            let sites: BTreeSet<String> = meant
                .flat_map(|pair| pair.spec.sites.iter().map(|site| site.name.clone()))
                .collect();
            Ok(sites.into_iter().collect())
        }
    }
}

async fn pairs(target: &Target) -> anyhow::Result<Vec<ReplicationPair>> {
    Selection::default().list(&target.connect().await?).await
}

/// The cluster that the words so far mean, however unfinished they are.
fn target(words: &[String]) -> anyhow::Result<Target> {
    let typed = std::iter::once("kubectl-ferry").chain(words.iter().map(String::as_str));
    let matches = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(typed)?;
    let target = match matches.subcommand() {
        Some((_, of_verb)) => Target::from_arg_matches(of_verb)?,
        None => Target::from_arg_matches(&matches)?,
    };
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(words: &[&str]) -> Next {
        next(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn offers(words: &[&str], wanted: &str) -> bool {
        matches!(offered(words), Next::Words(found) if found.iter().any(|word| word == wanted))
    }

    #[test]
    fn verbs_flags_and_pairs_are_offered() {
        assert!(offers(&[""], "status") && !offers(&[""], "__complete"));
        assert!(offers(&["promote", "--fo"], "--force"));
        assert!(offers(&["--con"], "--context"), "before a verb, too");
        assert_eq!(offered(&["promote", "ord"]), Next::Value(Value::Pair));
        assert_eq!(offered(&["status", "-A", ""]), Next::Value(Value::Pair));
    }

    #[test]
    fn a_flag_is_followed_by_its_values() {
        assert_eq!(offered(&["-n", "sh"]), Next::Value(Value::Namespace));
        assert_eq!(
            offered(&["status", "--context", ""]),
            Next::Value(Value::Context)
        );
        assert_eq!(
            offered(&["resync", "orders", "--discard", ""]),
            Next::Value(Value::Site)
        );
        assert!(offers(&["status", "-o", "j"], "json"));
        assert_eq!(offered(&["sync", "--timeout", ""]), Next::Words(Vec::new()));
    }

    #[test]
    fn the_cluster_is_that_of_an_unfinished_line() {
        let words = ["promote", "-n", "shop", "orders", "--to"].map(String::from);
        assert_eq!(target(&words).unwrap().namespace.as_deref(), Some("shop"));
    }
}
