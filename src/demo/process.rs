//! A mover as a process of its own.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::driver::Driver;
use protocol::units::SiteName;
use transport::TlsDir;
use wire::control::Request;

/// How long a mover may take from its start until it listens: for one that hangs.
const START_WAIT: Duration = Duration::from_secs(60);

/// What its log says when it listens; its address follows.
const LISTENING: &str = "listening address=";

/// A mover process. Dropping it kills it.
#[derive(Debug)]
pub struct RunningMover {
    /// Where it listens.
    pub address: String,
    /// Its site.
    pub site: SiteName,
    /// The control connection.
    pub driver: Driver,
    child: Running,
}

impl RunningMover {
    /// Asks it to shut down, and waits for its end.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop(mut self) -> Result<()> {
        self.driver.tell(Request::Shutdown).await?;
        let ended = self.child.0.wait()?;
        anyhow::ensure!(
            ended.success(),
            "the mover of {} ended with {ended}",
            self.site
        );
        Ok(())
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(mut self) -> Result<()> {
        self.child.0.kill()?;
        self.child.0.wait()?;
        Ok(())
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }
}

/// A mover that has been started, and of which it is not known yet where it listens.
#[derive(Debug)]
pub(crate) struct Started {
    child: Running,
    log: PathBuf,
    /// What movers before it have logged into the same file, in bytes.
    logged_before: u64,
}

impl Started {
    /// Starts a mover that logs into the file `log`, at a port that the system chooses: one that is
    /// chosen beforehand may be taken until it is used.
    ///
    /// # Errors
    /// When the file can't be opened, or the program can't be started.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Started> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let logged_before = file.metadata()?.len();
        let child = command
            .args(["--listen", "127.0.0.1:0"])
            .env("FERRY_LOG", "info")
            .env("FERRY_LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()?;
        Ok(Started {
            child: Running(child),
            log: log.into(),
            logged_before,
        })
    }

    /// Connects to it as the operator, once it listens.
    ///
    /// # Errors
    /// When it ends, or does not listen or answer in time; with what it has logged.
    pub(crate) async fn connected(mut self, site: &SiteName, tls: &TlsDir) -> Result<RunningMover> {
        let address = self.address(site).await?;
        let driver = Driver::connect(&address, tls).await.with_context(|| {
            format!(
                "{site}'s mover did not answer at {address}; it has logged:\n{}",
                self.logged().unwrap_or_default()
            )
        })?;
        Ok(RunningMover {
            address,
            site: site.clone(),
            driver,
            child: self.child,
        })
    }

    /// Waits until it says where it listens.
    async fn address(&mut self, site: &SiteName) -> Result<String> {
        let until = Instant::now() + START_WAIT;
        loop {
            let ended = self.child.0.try_wait()?;
            let logged = self.logged()?;
            if let Some(address) = address_in(&logged) {
                return Ok(address.into());
            }
            if let Some(ended) = ended {
                bail!("{site}'s mover ended with {ended}; it has logged:\n{logged}");
            }
            if Instant::now() >= until {
                bail!("{site}'s mover did not listen in {START_WAIT:?}; it has logged:\n{logged}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it has logged so far.
    fn logged(&self) -> Result<String> {
        let file = File::open(&self.log).context("failed to open the mover's log")?;
        let len = file.metadata()?.len().saturating_sub(self.logged_before);
        let mut text = vec![0; usize::try_from(len)?];
        file.read_exact_at(&mut text, self.logged_before)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The address in a log, once its line is complete.
fn address_in(logged: &str) -> Option<&str> {
    let (_, after) = logged.split_once(LISTENING)?;
    after
        .contains('\n')
        .then(|| after.split_whitespace().next())?
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended can't be killed; that is as well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_once_its_line_is_complete() {
        let line = "INFO mover: mover::cli: listening address=127.0.0.1:40123 pair=shop/orders";
        assert_eq!(address_in(line), None);
        assert_eq!(
            address_in(&format!("began\n{line}\n")),
            Some("127.0.0.1:40123")
        );
        assert_eq!(address_in("listening soon\n"), None);
    }
}
