//! `ferry demo`: options and start.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bytesize::ByteSize;

use crate::story::Story;

/// Shows a pair's whole life on two local files: no cluster, no root.
///
/// Two mover processes talk TLS over loopback; every step is checked by content. It exits with 1
/// when any copy differs from what it should be.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Print one JSON document at the end instead of lines.
    #[arg(long)]
    json: bool,
    /// The size of the volumes.
    #[arg(long, default_value = "64Mi")]
    size: ByteSize,
    /// Keep everything in this directory instead of a temporary one.
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// When a step fails or a copy differs.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (base, temporary) = match &args.keep {
        Some(directory) => (directory.clone(), false),
        None => {
            let name = format!("ferry-demo-{}", std::process::id());
            (std::env::temp_dir().join(name), true)
        }
    };
    std::fs::create_dir_all(&base).with_context(|| format!("failed to make {}", base.display()))?;
    let program = std::env::current_exe().context("failed to find this program")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        Story::begin(&base, &program, args.size.as_u64(), args.json)?
            .tell()
            .await
    });
    match outcome {
        Ok(()) if temporary => std::fs::remove_dir_all(&base)?,
        Ok(()) => println!("Everything is kept in {}.", base.display()),
        Err(error) => {
            eprintln!("Everything is kept in {}.", base.display());
            return Err(error);
        }
    }
    Ok(ExitCode::SUCCESS)
}
