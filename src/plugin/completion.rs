//! Completion: scripts for shells, and the answers that kubectl asks a plugin for.

use clap::CommandFactory;
use clap_complete::Shell;
use kube::ResourceExt;
use kube::api::ListParams;

use super::cli::Cli;
use super::connect::{Target, bounded};

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
        .map_err(|_| anyhow::anyhow!("{} is no shell that I know: see --help", args.shell))?;
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "kubectl-ferry",
        &mut std::io::stdout(),
    );
    Ok(())
}

/// Answers kubectl: a candidate a line, then cobra's directive.
pub(super) async fn candidates(target: &Target, words: &Words) -> anyhow::Result<()> {
    let found = match next(&words.words) {
        Next::Words(found) => found,
        Next::Pair(begun) => {
            let names = pairs(target, &words.words).await.unwrap_or_default();
            names
                .into_iter()
                .filter(|name| name.starts_with(&begun))
                .collect()
        }
    };
    for word in found {
        anstream::println!("{word}");
    }
    anstream::println!(":{NO_FILES}");
    Ok(())
}

enum Next {
    Words(Vec<String>),
    Pair(String),
}

/// What may come next: a verb, a flag, or a pair's name that begins so.
fn next(words: &[String]) -> Next {
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(l, b)| (l.as_str(), b));
    let mut cli = Cli::command();
    cli.build();
    let verb = before.iter().find_map(|word| cli.find_subcommand(word));
    match verb {
        Some(verb) if last.starts_with('-') => {
            let flags = verb.get_arguments().filter_map(|arg| arg.get_long());
            let flags = flags
                .map(|flag| format!("--{flag}"))
                .filter(|flag| flag.starts_with(last));
            Next::Words(flags.collect())
        }
        Some(_) => Next::Pair(last.into()),
        None => {
            let verbs = cli.get_subcommands().filter(|verb| !verb.is_hide_set());
            let names = verbs.map(|verb| verb.get_name().to_string());
            Next::Words(names.filter(|name| name.starts_with(last)).collect())
        }
    }
}

async fn pairs(target: &Target, words: &[String]) -> anyhow::Result<Vec<String>> {
    let mut target = target.clone();
    let given = words
        .windows(2)
        .find(|pair| pair[0] == "-n" || pair[0] == "--namespace");
    if let Some(pair) = given {
        target.namespace = Some(pair[1].clone());
    }
    let api = target.connect().await?.api();
    let list = bounded(async { Ok(api.list(&ListParams::default()).await?) }).await?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(words: &[&str]) -> Vec<String> {
        match next(&words.iter().map(ToString::to_string).collect::<Vec<_>>()) {
            Next::Words(found) => found,
            Next::Pair(begun) => vec![format!("pair {begun}")],
        }
    }

    #[test]
    fn verbs_flags_and_pairs_are_offered() {
        assert_eq!(offered(&["st"]), ["status"]);
        assert!(offered(&[""]).contains(&"promote".to_string()));
        assert!(!offered(&[""]).contains(&"__complete".to_string()));
        assert_eq!(offered(&["promote", "--fo"]), ["--force"]);
        assert_eq!(offered(&["promote", "ord"]), ["pair ord"]);
    }
}
