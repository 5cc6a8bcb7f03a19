//! Ferry's own pipeline without movers: its reader and its applier in one process, from file to
//! file. What it takes more than a plain copier is the price of finding zeros, of digests and of
//! checksums; what two movers take more than it is the price of TLS and of the protocol.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mover_core::receive::apply::APPLY_THREADS;
use storage::seam::SystemClock;
use storage::volume::{Applier, Reader, ReaderConfig, SLOT_BYTES, given, open_source, open_target};

use crate::commands;
use crate::copier::{Copier, Target, Work};
use crate::meter::{Meter, Sample};

/// Memory for what is read and not yet written. Movers have some at both ends; here a batch keeps its
/// own until it is written.
const BUDGET_BYTES: usize = 32 * SLOT_BYTES;

/// How long one read may take.
const STALL: Duration = Duration::from_secs(60);

/// The pipeline as a copier.
pub struct OneProcess {
    target: Target,
}

impl OneProcess {
    /// The pipeline with its target in `directory`.
    pub fn new(directory: &Path) -> Result<OneProcess> {
        Ok(OneProcess {
            target: Target::new(directory)?,
        })
    }
}

impl Copier for OneProcess {
    fn name(&self) -> &'static str {
        "one process"
    }

    fn unable(&self) -> Option<String> {
        None
    }

    fn prepare(&mut self, work: &Work) -> Result<()> {
        self.target.hold(work.before.as_deref())
    }

    fn copy(&mut self, work: &Work) -> Result<Sample> {
        self.target.becomes(&work.source);
        let size = std::fs::metadata(&work.source)?.len();
        if work.before.is_none() {
            File::create(&self.target.file)?.set_len(size)?;
        }
        commands::drop_caches()?;
        let mut meter = Meter::begin()?;
        meter.start()?;
        let source = open_source(&work.source)?;
        let changes = given(work.extents.iter().copied(), size);
        let clock = Arc::new(SystemClock::new());
        let config = ReaderConfig {
            budget_bytes: BUDGET_BYTES,
            ..ReaderConfig::default()
        };
        let reader = Reader::start(source, changes, None, config, clock);
        let applier = Applier::start(open_target(&self.target.file)?, APPLY_THREADS);
        while let Some(read) = reader.next(STALL)? {
            applier.push(read.batch)?;
        }
        applier.flush()?;
        meter.stop()?;
        meter.end()
    }

    fn target(&self) -> PathBuf {
        self.target.file.clone()
    }

    fn clear(&mut self) -> Result<()> {
        self.target.remove()
    }
}
