//! A site: a directory with a volume, a state volume, cuts and certificates.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::certificates::Authority;
use crate::driver::Driver;
use crate::process::{RunningMover, Started};
use protocol::units::{
    Epoch, Extent, Generation, PairId, PairName, PeerName, Point, Role, Seq, SiteName, VolumeId,
};
use transport::TlsDir;
use wire::control::{InitRequest, Request};

/// A site.
#[derive(Debug)]
pub struct Site {
    /// Its name.
    pub name: SiteName,
    /// The pair that it belongs to.
    pub pair: PairName,
    /// Its directory.
    pub home: PathBuf,
    /// What has been written to its volume since the last cut.
    pub written: Vec<Extent>,
    /// Which volume its storage says that it has, if it says so.
    pub volume_id: Option<VolumeId>,
    /// The committed point at which somebody else has used it.
    pub doubted: Option<Point>,
    program: PathBuf,
    operator_tls: PathBuf,
}

impl Site {
    /// Makes a site with an empty volume of `size` bytes under `base`. Movers are started from
    /// `program`.
    ///
    /// # Errors
    /// When files can't be made.
    pub fn create(
        base: &Path,
        name: &str,
        pair: &PairName,
        size: u64,
        authority: &Authority,
        program: &Path,
    ) -> Result<Site> {
        let home = base.join(name);
        std::fs::create_dir_all(home.join("meta"))?;
        let site: SiteName = name.parse()?;
        let volume = File::create(home.join("volume.img"))?;
        volume.set_len(size)?;
        let own = PeerName::Mover {
            site: site.clone(),
            pair: pair.clone(),
        };
        authority.write_leaf(&own, &home.join("tls"))?;
        let operator_tls = base.join("operator-tls");
        if !operator_tls.exists() {
            authority.write_leaf(&PeerName::Operator, &operator_tls)?;
        }
        Ok(Site {
            name: site,
            pair: pair.clone(),
            home,
            written: Vec::new(),
            volume_id: None,
            doubted: None,
            program: program.into(),
            operator_tls,
        })
    }

    /// Writes its first superblock; `primary` is the site that the pair begins at.
    ///
    /// # Errors
    /// When the mover does not take the request.
    pub async fn init(
        &self,
        role: Role,
        pair_id: PairId,
        generation: Generation,
        primary: &SiteName,
    ) -> Result<()> {
        let mut mover = self.start(&self.volume(), false).await?;
        let request = InitRequest {
            pair_id,
            role,
            epoch: Epoch::FIRST,
            generation,
            start: Seq(1),
            never_writable: role == Role::Standby,
            requested_primary: primary.clone(),
            over_damage: false,
        };
        mover.driver.tell(Request::Init(request)).await?;
        mover.stop().await
    }

    /// The volume's file.
    #[must_use]
    pub fn volume(&self) -> PathBuf {
        self.home.join("volume.img")
    }

    /// The state volume's directory.
    #[must_use]
    pub fn meta(&self) -> PathBuf {
        self.home.join("meta")
    }

    /// Writes to the volume, as an application would, and notes where.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let volume = OpenOptions::new().write(true).open(self.volume())?;
        volume.write_all_at(data, offset)?;
        self.written.push(Extent::new(offset, data.len() as u64));
        Ok(())
    }

    /// Cuts the volume: a copy of it, and the list of what was written since the cut before.
    ///
    /// # Errors
    /// When the file can't be copied.
    pub fn cut(&mut self, point: Point) -> Result<(PathBuf, Vec<Extent>)> {
        let cut = self.home.join(format!("cut-{point}.img"));
        std::fs::copy(self.volume(), &cut).context("failed to copy the volume")?;
        Ok((cut, std::mem::take(&mut self.written)))
    }

    /// Drops the control connection to a mover and makes another, as an operator does that was
    /// restarted.
    ///
    /// # Errors
    /// When the mover does not answer.
    pub async fn reconnect(&self, mover: &mut RunningMover) -> Result<()> {
        mover.driver = Driver::connect(&mover.address, &TlsDir::new(&self.operator_tls)).await?;
        Ok(())
    }

    /// The file that its movers log into.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("mover.log")
    }

    /// Starts a mover on `device` and connects to it.
    ///
    /// # Errors
    /// When it can't be started or does not answer.
    pub async fn start(&self, device: &Path, read_only: bool) -> Result<RunningMover> {
        let started = Started::spawn(self.command(device, read_only), &self.log())
            .with_context(|| format!("failed to start {}", self.program.display()))?;
        started
            .connected(&self.name, &TlsDir::new(&self.operator_tls))
            .await
    }

    /// What starts its mover on `device`.
    fn command(&self, device: &Path, read_only: bool) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("mover")
            .args(["--site", self.name.as_str()])
            .args(["--pair", &self.pair.to_string()])
            .arg("--meta")
            .arg(self.meta())
            .arg("--device")
            .arg(device)
            .arg("--tls")
            .arg(self.home.join("tls"));
        if let Some(volume) = &self.volume_id {
            command.arg(format!("--volume={volume}"));
        }
        if let Some(point) = &self.doubted {
            command.arg(format!("--doubted={point}"));
        }
        if read_only {
            command.arg("--read-only");
        }
        command
    }
}
