//! Ferry: two real mover processes over loopback TLS, ordered as an operator orders them.
//!
//! Measured is from the order to ship, with both movers up and connected to their operator, to the
//! commit that both sides have made durable.

use std::path::{Path, PathBuf};

use anyhow::Result;
use demo::certificates::Authority;
use demo::process::RunningMover;
use demo::shipment::Shipment;
use demo::site::Site;
use protocol::units::{Generation, PairId, PairName, Point, Role};
use tokio::runtime::Runtime;
use uuid::Uuid;
use wire::control::ChangeList;

use crate::commands;
use crate::copier::{Copier, Work};
use crate::meter::{Meter, Sample};
use crate::proxy::Proxy;

/// How Ferry finds what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finds {
    /// From the list that the storage's driver gives.
    Listed,
    /// From the digests kept of the cut before, by reading everything.
    Digests,
}

/// Ferry as a copier.
pub struct Ferry {
    name: String,
    program: PathBuf,
    directory: PathBuf,
    finds: Finds,
    proxy: Option<Proxy>,
    runtime: Runtime,
    pair: Option<Pair>,
}

/// Two sites and what the standby holds.
struct Pair {
    east: Site,
    west: Site,
    committed: Option<(Point, PathBuf)>,
}

impl Ferry {
    /// Ferry from `program`, with its sites in `directory`.
    pub fn new(name: &str, program: &Path, directory: &Path, finds: Finds) -> Result<Ferry> {
        Ok(Ferry {
            name: name.into(),
            program: program.into(),
            directory: directory.into(),
            finds,
            proxy: None,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            pair: None,
        })
    }

    /// The same through a link, if there is one.
    pub fn through(self, proxy: Option<Proxy>) -> Ferry {
        Ferry { proxy, ..self }
    }

    fn pair(&mut self, size: u64) -> Result<&mut Pair> {
        if self.pair.is_none() {
            // A run that was broken off has left its sites behind.
            self.clear()?;
            let (directory, program) = (&self.directory, &self.program);
            let made = self
                .runtime
                .block_on(Pair::make(directory, program, size))?;
            self.pair = Some(made);
        }
        self.pair.as_mut().ok_or_else(|| anyhow::anyhow!("no pair"))
    }

    fn ship(&mut self, work: &Work, list: ChangeList, measured: bool) -> Result<Sample> {
        self.pair(std::fs::metadata(&work.source)?.len())?;
        let (runtime, proxy) = (&self.runtime, self.proxy.as_ref());
        let pair = self
            .pair
            .as_mut()
            .ok_or_else(|| anyhow::anyhow!("no pair"))?;
        runtime.block_on(pair.ship(work, list, if measured { proxy } else { None }))
    }
}

impl Copier for Ferry {
    fn name(&self) -> &str {
        &self.name
    }

    fn unable(&self) -> Option<String> {
        let missing = !self.program.is_file();
        missing.then(|| format!("{} is not built", self.program.display()))
    }

    fn prepare(&mut self, work: &Work) -> Result<()> {
        let Some(before) = &work.before else {
            return self.clear();
        };
        let committed = self.pair.as_ref().and_then(|pair| pair.committed.as_ref());
        if committed.is_some_and(|(_, image)| image == before) {
            return Ok(());
        }
        let first = Work {
            source: before.clone(),
            before: None,
            extents: Vec::new(),
        };
        self.ship(&first, ChangeList::Nothing, false).map(drop)
    }

    fn copy(&mut self, work: &Work) -> Result<Sample> {
        let committed = self.pair.as_ref().and_then(|pair| pair.committed.as_ref());
        let list = match (self.finds, committed) {
            (Finds::Digests, _) => ChangeList::Nothing,
            (Finds::Listed, Some((base, _))) => ChangeList::Delta { base: *base },
            (Finds::Listed, None) => ChangeList::Allocated,
        };
        self.ship(work, list, true)
    }

    fn target(&self) -> PathBuf {
        self.directory.join("west").join("volume.img")
    }

    fn clear(&mut self) -> Result<()> {
        self.pair = None;
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Pair {
    async fn make(directory: &Path, program: &Path, size: u64) -> Result<Pair> {
        let authority = Authority::new()?;
        let name: PairName = "bench/volume".parse()?;
        std::fs::create_dir_all(directory)?;
        let site = |site| Site::create(directory, site, &name, size, &authority, program);
        let (east, west) = (site("east")?, site("west")?);
        let (pair, generation) = (PairId(Uuid::new_v4()), Generation(Uuid::new_v4()));
        east.init(Role::Primary, pair, generation, &east.name)
            .await?;
        west.init(Role::Standby, pair, generation, &east.name)
            .await?;
        Ok(Pair {
            east,
            west,
            committed: None,
        })
    }

    async fn ship(
        &mut self,
        work: &Work,
        changes: ChangeList,
        proxy: Option<&Proxy>,
    ) -> Result<Sample> {
        let seq = self
            .committed
            .as_ref()
            .map_or(1, |(point, _)| point.seq.0 + 1);
        let cycle = Point::new(1, seq);
        let shipment = Shipment {
            changes,
            extents: work.extents.clone(),
            ..Shipment::of(cycle)
        };
        commands::drop_caches()?;
        let mut meter = Meter::begin()?;
        let mut source = self.east.start(&work.source, true).await?;
        let mut target = self.west.start(&self.west.volume(), false).await?;
        if let Some(proxy) = proxy {
            target.address = proxy.lead_to(&target.address)?;
        }
        self.committed = None;
        meter.start()?;
        let (report, _) = shipment.run(&mut source, &mut target).await?;
        meter.stop()?;
        eprintln!(
            "ferry: handshake {} ms, shipping {} ms, applying {} ms",
            report.handshake_ms, report.ship_ms, report.apply_ms
        );
        self.committed = Some((cycle, work.source.clone()));
        end(source, &mut meter).await?;
        end(target, &mut meter).await?;
        meter.end()
    }
}

async fn end(mover: RunningMover, meter: &mut Meter) -> Result<()> {
    meter.peak(mover.pid())?;
    mover.stop().await
}
