//! The driver's fault switches, turned for the whole cluster. A story that turns one runs alone.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

/// Control file of the drivers in the lab's first cluster.
const CONTROL_FILE: &str = "/run/ferry-lab/east/faults.json";

/// A switch that is on; it is off again when this is dropped, whatever becomes of the story.
pub struct Fault {
    path: PathBuf,
}

impl Fault {
    /// Turns switches on.
    ///
    /// # Errors
    /// When the control file can't be written.
    pub fn on(switches: &Value) -> Result<Fault> {
        let path = std::env::var_os("FERRY_E2E_FAULTS")
            .map_or_else(|| PathBuf::from(CONTROL_FILE), PathBuf::from);
        std::fs::write(&path, switches.to_string())
            .with_context(|| format!("failed to write the driver's switches {}", path.display()))?;
        Ok(Fault { path })
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // An empty object switches everything off; a missing file would too, but may be mounted.
        if let Err(error) = std::fs::write(&self.path, "{}") {
            eprintln!(
                "failed to switch the faults of {} off: {error}",
                self.path.display()
            );
        }
    }
}
