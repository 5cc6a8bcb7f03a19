//! The command line: verbs and flags, and nothing else.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::connect::Target;
use super::{completion, demote, exit, pause, promote, resync, salvage, status, sync, verify};

/// Shows and steers replication pairs: volumes that Ferry keeps at two sites.
#[derive(Parser)]
#[command(
    name = "kubectl-ferry",
    bin_name = "kubectl ferry",
    version,
    after_help = exit::EXIT_CODES,
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show pairs: as a table, or one in detail.
    Status(status::Args),
    /// Make the standby the primary. Loses nothing, or does not happen, unless forced.
    #[command(alias = "switch")]
    Promote(promote::Args),
    /// Move the primary role away from its present site, losing nothing.
    Demote(demote::Args),
    /// Save what only a diverged site holds, before it is discarded.
    Salvage(salvage::Args),
    /// Consent to discarding what only one site holds, so that it can follow again.
    Resync(resync::Args),
    /// Begin no new cycle until the pair is resumed. The role can still be moved.
    Pause(pause::Args),
    /// Let cycles begin again.
    Resume(pause::Args),
    /// Start a cycle now.
    Sync(sync::Args),
    /// Compare the standby's image with the primary's now, and repair what differs.
    Verify(verify::Args),
    /// Print the version.
    Version,
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
        Verb::Version => {
            anstream::println!("kubectl-ferry {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Verb::Completion(args) => completion::script(&args),
        Verb::Complete(words) => completion::candidates(target, &words).await,
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
    fn switch_is_a_planned_promote() {
        let cli = Cli::try_parse_from(["kubectl-ferry", "switch", "orders", "-n", "shop"]).unwrap();
        assert!(matches!(cli.verb, Verb::Promote(_)));
        assert_eq!(cli.target.namespace.as_deref(), Some("shop"));
    }
}
