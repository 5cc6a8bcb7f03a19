//! `ferry`: the operator, the mover and the tools round them. Only wiring; each layer has a `cli`.

mod telemetry;

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
    Mover(mover::Args),
    /// Export what a diverged volume holds and its peer does not, reading only.
    Salvage(salvage::Args),
    /// Show a pair's whole life on two local files: no cluster, no root.
    Demo(demo::Args),
    /// Print the custom resource definitions as YAML.
    Crd {
        /// Write a file for each into this directory instead.
        #[arg(long, value_name = "DIRECTORY")]
        to: Option<std::path::PathBuf>,
    },
    /// Reconcile replication pairs: take snapshots, run movers, move roles.
    Operator(Box<operator::cli::Args>),
    /// Check that an operator answers and is ready; `helm test` runs this.
    Selfcheck(plugin::selfcheck::Args),
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
            telemetry::init()?;
            if let Err(error) = mover::run(args) {
                tracing::error!(%error, "the mover ends");
                return Ok(error.exit_code().into());
            }
        }
        Verb::Salvage(args) => salvage::run(&args)?,
        Verb::Demo(args) => return demo::run(&args),
        Verb::Crd { to: None } => print!("{}", api::crd::all_yaml()?),
        Verb::Crd {
            to: Some(directory),
        } => {
            for (file, crd) in api::crd::all() {
                std::fs::write(directory.join(file), api::yaml::to_string(&crd)?)?;
            }
        }
        Verb::Operator(args) => {
            telemetry::init()?;
            operator::cli::run(*args)?;
        }
        Verb::Selfcheck(args) => plugin::selfcheck::run(&args)?,
        Verb::Digest { device } => {
            let (size, blake3) = storage::volume::digest::digest(&device)?;
            println!("{size} {blake3}");
        }
    }
    Ok(std::process::ExitCode::SUCCESS)
}
