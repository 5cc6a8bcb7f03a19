//! The command line: verbs and flags, and nothing else.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::connect::Target;
use super::{
    check, completion, demote, events, exit, format, pause, promote, resync, salvage, status, sync,
    verify, version,
};

/// Shows and steers replication pairs: volumes that Ferry keeps at two sites.
#[derive(Parser)]
#[command(
    name = "kubectl-ferry",
    bin_name = "kubectl ferry",
    version,
    after_help = exit::EXIT_CODES
)]
pub(super) struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

/// Examples for a verb's help, a command line each.
macro_rules! examples {
    ($($line:literal),+) => {
        concat!("Examples:", $("\n  kubectl ferry ", $line),+)
    };
}

#[derive(Subcommand)]
enum Verb {
    /// Show pairs: as a table, or one in detail.
    #[command(after_help = examples!("status -A", "status orders -n shop --watch"))]
    Status(status::Args),
    /// Make the standby the primary. Loses nothing, or does not happen, unless forced.
    #[command(
        alias = "switch",
        after_help = examples!("promote orders -n shop", "promote orders -n shop --force --dry-run")
    )]
    Promote(promote::Args),
    /// Move the primary role away from its present site, losing nothing.
    #[command(after_help = examples!("demote orders -n shop", "demote orders -n shop --dry-run"))]
    Demote(demote::Args),
    /// Save what only a diverged site holds, before it is discarded.
    #[command(after_help = examples!("salvage orders -n shop --to saved.img"))]
    Salvage(salvage::Args),
    /// Consent to discarding what only one site holds, so that it can follow again.
    #[command(after_help = examples!("resync orders -n shop --discard east"))]
    Resync(resync::Args),
    /// Begin no new cycle until the pair is resumed. The role can still be moved.
    #[command(after_help = examples!("pause orders -n shop"))]
    Pause(pause::Args),
    /// Let cycles begin again.
    #[command(after_help = examples!("resume orders -n shop"))]
    Resume(pause::Args),
    /// Start a cycle now.
    #[command(after_help = examples!("sync orders -n shop", "sync orders -n shop --wait=false"))]
    Sync(sync::Args),
    /// Compare the standby's image with the primary's now, and repair what differs.
    #[command(after_help = examples!("verify orders -n shop --timeout 2h"))]
    Verify(verify::Args),
    /// Show what was said about a pair and the objects that it owns.
    #[command(after_help = examples!("events orders -n shop", "events orders -n shop --warnings"))]
    Events(events::Args),
    /// Look whether a pair would work here, before anything is applied. Changes nothing.
    #[command(after_help = examples!("check -n shop", "check -f pair.yaml", "check orders -n shop"))]
    Check(check::Args),
    /// Print the versions of plugin and operator.
    #[command(after_help = examples!("version", "version --client"))]
    Version(version::Args),
    /// Print a completion script for a shell, or for kubectl itself.
    #[command(after_help = completion::HELP)]
    Completion(completion::Args),
    /// Answer kubectl's question for completions.
    #[command(name = "__complete", hide = true)]
    Complete(completion::Words),
}

/// Runs the plugin with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    format::follow_terminal();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => exit::report(runtime.block_on(run(cli))),
        Err(error) => exit::report(Err(error.into())),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let target = &cli.target;
    match cli.verb {
        Verb::Status(args) => status::run(target, args).await,
        Verb::Promote(args) => promote::run(target, args).await,
        Verb::Demote(args) => demote::run(target, args).await,
        Verb::Salvage(args) => salvage::run(target, args).await,
        Verb::Resync(args) => resync::run(target, args).await,
        Verb::Pause(args) => pause::pause(target, args).await,
        Verb::Resume(args) => pause::resume(target, args).await,
        Verb::Sync(args) => sync::run(target, args).await,
        Verb::Verify(args) => verify::run(target, args).await,
        Verb::Events(args) => events::run(target, args).await,
        Verb::Check(args) => check::run(target, args).await,
        Verb::Version(args) => version::run(target, args).await,
        Verb::Completion(args) => completion::script(&args),
        Verb::Complete(words) => completion::candidates(&words).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_speaks_of_kubectl() {
        Cli::command().debug_assert();
        let usage = Cli::command().render_usage().to_string();
        assert!(usage.contains("kubectl ferry"), "{usage}");
    }

    #[test]
    fn every_example_is_a_command_line_that_is_taken() {
        for verb in Cli::command().get_subcommands() {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let examples = help.lines().skip_while(|line| *line != "Examples:").skip(1);
            for line in examples {
                let words = line.split_whitespace().skip(1);
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{line}: {error}");
                }
            }
        }
    }

    #[test]
    fn switch_is_a_planned_promote() {
        let cli = Cli::try_parse_from(["kubectl-ferry", "switch", "orders", "-n", "shop"]).unwrap();
        assert!(matches!(cli.verb, Verb::Promote(_)));
        assert_eq!(cli.target.namespace.as_deref(), Some("shop"));
    }
}
