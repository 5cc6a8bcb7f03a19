//! The driver's fault switches, turned for the whole cluster. A story that turns one runs alone.

use anyhow::Result;
use serde_json::Value;

use super::lab::Lab;

/// The cluster and the driver whose switches are turned.
const CLUSTER: &str = "east";
const DRIVER: &str = "reflink";

/// Switches that are on.
pub struct Fault {
    lab: Lab,
    on: bool,
}

impl Fault {
    /// Turns switches on.
    ///
    /// # Errors
    /// When the lab refuses.
    pub async fn on(lab: &Lab, switches: &Value) -> Result<Fault> {
        lab.lab(&["fault", CLUSTER, DRIVER, &switches.to_string()])
            .await?;
        Ok(Fault {
            lab: lab.clone(),
            on: true,
        })
    }

    /// Turns them off again.
    ///
    /// # Errors
    /// When the lab refuses.
    pub async fn off(mut self) -> Result<()> {
        self.lab.lab(&["fault", CLUSTER, DRIVER, "clear"]).await?;
        self.on = false;
        Ok(())
    }
}

impl Drop for Fault {
    /// A story that failed must not leave the driver broken for the next.
    fn drop(&mut self) {
        if !self.on {
            return;
        }
        let program = self.lab.root.join("e2e/cluster/lab");
        let cleared = std::process::Command::new(program)
            .args(["fault", CLUSTER, DRIVER, "clear"])
            .status();
        if !cleared.is_ok_and(|status| status.success()) {
            eprintln!("failed to switch the faults of driver {DRIVER} off");
        }
    }
}
