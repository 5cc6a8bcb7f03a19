//! Ferry on a real cluster: the stories that prove it, the demo that shows it, the measurements.
//!
//! ```text
//! cargo run --example e2e -- stories [--only NAME] [--list]
//! cargo run --example e2e -- demo
//! cargo run --example e2e -- measure
//! ```
//!
//! All of them use the cluster that `make up` leaves, or that of `FERRY_E2E_KUBECONFIG`.

mod demo;
mod harness;
mod stories;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Ferry on a real cluster.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the user stories; the last line is the count.
    Stories(stories::runner::Args),
    /// Show a pair's whole life.
    Demo,
    /// Measure cycles, switches and memory, and print a Markdown table.
    Measure,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Stories(args) => stories::runner::run(args).await,
        Verb::Demo => crate::demo::show::show().await.map(|()| true),
        Verb::Measure => crate::demo::measure::measure().await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}
