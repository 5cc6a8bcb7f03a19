//! `ferry mover`: options and start.

use std::path::PathBuf;

use bytesize::ByteSize;
use tracing::Instrument as _;

use crate::runtime::Mover;
use crate::setup::{Options, Setup, SetupError};
use protocol::units::{PairName, SiteName, VolumeId};

/// Reads and writes one volume's data for the operator.
///
/// Exit codes: 0 after a request to shut down, SIGTERM or SIGINT, 2 when something was wrong from the start (options,
/// certificates, device, address), 3 when the superblock could not be saved, 1 for anything else.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The site that this mover works for.
    #[arg(long)]
    site: SiteName,
    /// The pair that it works for, as NAMESPACE/NAME.
    #[arg(long)]
    pair: PairName,
    /// A directory on the state volume.
    #[arg(long, value_name = "DIRECTORY")]
    meta: PathBuf,
    /// The volume: a block device or a file.
    #[arg(long, value_name = "PATH")]
    device: Option<PathBuf>,
    /// Never write to the volume.
    #[arg(long)]
    read_only: bool,
    /// Which volume that is, as DRIVER/HANDLE: an image is used only on the volume that it was put on.
    #[arg(long, value_name = "DRIVER/HANDLE")]
    volume: Option<VolumeId>,
    /// The committed point at which somebody else was seen to use the volume, as EPOCH.NUMBER: an image
    /// that is committed at it is compared completely before it is used.
    #[arg(long, value_name = "POINT")]
    doubted: Option<String>,
    /// A directory with ca.crt, tls.crt and tls.key (PEM).
    #[arg(long, value_name = "DIRECTORY")]
    tls: PathBuf,
    /// The address to listen on.
    #[arg(long, default_value = "0.0.0.0:7400")]
    listen: String,
    /// The memory budget.
    #[arg(long, default_value = "256Mi")]
    memory: ByteSize,
}

/// Runs a mover until it is asked to shut down.
///
/// # Errors
/// When it can't be started, or can't go on without risking what is on disk.
pub fn run(args: Args) -> Result<(), SetupError> {
    let options = Options {
        site: args.site,
        pair: args.pair,
        meta: args.meta,
        device: args.device,
        read_only: args.read_only,
        volume: args.volume,
        doubted: args.doubted,
        tls: args.tls,
        memory: args.memory.as_u64(),
    };
    let span = tracing::info_span!("mover", pair = %options.pair, site = %options.site);
    let setup = span.in_scope(|| Setup::open(&options))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| {
            SetupError::Metadata(storage::seam::DiskError::new(
                "start",
                "the runtime",
                source,
            ))
        })?;
    let working = async {
        let (mover, address) = Mover::bind(setup, &args.listen).await?;
        tracing::info!(%address, "listening");
        tokio::select! {
            ended = mover.run() => ended,
            () = stop_requested() => {
                tracing::info!("stopping; what is durable is resumed by the next mover");
                Ok(())
            }
        }
    };
    let ended = runtime.block_on(working.instrument(span));
    // Threads that still wait for a disk or a peer must not hold the end up.
    runtime.shutdown_background();
    ended
}

/// Waits for SIGTERM or SIGINT. A container's first process would otherwise not heed them.
async fn stop_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
