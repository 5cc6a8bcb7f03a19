//! `ferry salvage`: options and start.

use std::path::PathBuf;
use std::time::Duration;

use crate::source::Source;
use crate::{Export, Facts, SalvageError, Summary, stream};

/// Exports what a diverged volume holds and its peer does not, reading only.
///
/// It works beside a running mover or on volumes of a site that is down. `kubectl ferry salvage` runs
/// it in a pod.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The diverged volume: a block device or a file. It is only read.
    #[arg(long, value_name = "PATH", required_unless_present = "hold")]
    volume: Option<PathBuf>,
    /// A device or file with the last image that both sides had in common, such as a volume made
    /// from that side's snapshot.
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,
    /// The directory of the side's state volume. Without --base, the digests that it keeps of the
    /// common image are compared with.
    #[arg(long, value_name = "DIRECTORY")]
    meta: Option<PathBuf>,
    /// Where neither is available: export everything that is not zero.
    #[arg(long)]
    whole: bool,
    /// The sparse file to make; the list of its ranges goes to the same path with .json added.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["stream", "hold"])]
    to: Option<PathBuf>,
    /// Write frames to standard output instead, for kubectl ferry salvage.
    #[arg(long, conflicts_with = "to")]
    stream: bool,
    /// Do nothing for this many seconds: what a pod runs while it is inspected from outside.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["volume", "to", "stream"])]
    hold: Option<u64>,
}

/// Runs a salvage to its end. The last line on standard output is the summary.
///
/// # Errors
/// When it can't be done, or not to its end.
pub fn run(args: &Args) -> Result<(), SalvageError> {
    if let Some(seconds) = args.hold {
        std::thread::sleep(Duration::from_secs(seconds));
        return Ok(());
    }
    if args.stream {
        return streamed(args);
    }
    let source = open(args)?;
    let facts = facts(&source);
    let refused = || SalvageError::Refused("--to names the file to make".into());
    let mut export = Export::create(args.to.as_deref().ok_or_else(refused)?, &facts)?;
    source.read(|read| export.take(&read.batch))?;
    let summary = export.finish()?;
    println!("{}", line(&facts, &summary));
    Ok(())
}

/// One line for people about an export.
#[must_use]
pub fn line(facts: &Facts, summary: &Summary) -> String {
    format!(
        "{} ranges differ: {} bytes of data, {} bytes that are zero now; compared with {}",
        summary.ranges, summary.data_bytes, summary.zero_bytes, facts.against
    )
}

fn open(args: &Args) -> Result<Source, SalvageError> {
    let refused = || SalvageError::Refused("--volume names the volume to read".into());
    let volume = args.volume.as_deref().ok_or_else(refused)?;
    Source::open(
        volume,
        args.base.as_deref(),
        args.meta.as_deref(),
        args.whole,
    )
}

fn streamed(args: &Args) -> Result<(), SalvageError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| SalvageError::Refused(format!("failed to start: {error}")))?;
    let sent = open(args).and_then(|source| stream::send(&source, tokio::io::stdout(), &runtime));
    if let Err(error) = &sent {
        stream::refuse(error, tokio::io::stdout(), &runtime);
    }
    sent
}

fn facts(source: &Source) -> Facts {
    let superblock = source.superblock.as_ref();
    Facts {
        pair_id: superblock.map(|s| s.pair_id),
        site: superblock.map(|s| s.site.clone()),
        epoch: superblock.map(|s| s.epoch),
        diverged: superblock.is_some_and(|s| s.diverged),
        compared_with: source.point,
        against: source.against.clone(),
        size: source.size(),
    }
}
