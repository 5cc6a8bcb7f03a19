//! `ferry`: the operator, the mover and the tools round them. Only wiring; each layer has a `cli`.

use clap::{Parser, Subcommand};

/// Replicates Kubernetes volumes between two sites and fails over between them.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Move one volume's data for the operator.
    Mover(ferry::mover::Args),
    /// Export what a diverged volume holds and its peer does not, reading only.
    Salvage(ferry::salvage::Args),
    /// Show a pair's whole life on two local files: no cluster, no root.
    Demo(ferry::demo::Args),
    /// Print the custom resource definitions as YAML.
    Crd,
    /// Reconcile replication pairs: take snapshots, run movers, move roles.
    Operator(Box<ferry::operator::cli::Args>),
    /// Check that an operator answers and is ready; `helm test` runs this.
    Selfcheck(ferry::plugin::selfcheck::Args),
    /// Print the size in bytes and the BLAKE3 of a device or file, to compare copies by content.
    Digest {
        /// The device or file.
        #[arg(long)]
        device: std::path::PathBuf,
    },
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    match Cli::parse().verb {
        Verb::Mover(args) => {
            ferry::telemetry::init()?;
            if let Err(error) = ferry::mover::run(args) {
                tracing::error!(%error, "the mover ends");
                return Ok(error.exit_code().into());
            }
        }
        Verb::Salvage(args) => ferry::salvage::run(&args)?,
        Verb::Demo(args) => return ferry::demo::run(&args),
        Verb::Crd => print!("{}", ferry::api::crd::replication_pair_yaml()?),
        Verb::Operator(args) => {
            ferry::telemetry::init()?;
            ferry::operator::cli::run(*args)?;
        }
        Verb::Selfcheck(args) => ferry::plugin::selfcheck::run(&args)?,
        Verb::Digest { device } => {
            let (size, blake3) = ferry::volume::digest::digest(&device)?;
            println!("{size} {blake3}");
        }
    }
    Ok(std::process::ExitCode::SUCCESS)
}
