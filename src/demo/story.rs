//! What happens in the demo, in order.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use uuid::Uuid;

use crate::certificates::Authority;
use crate::report::{Moved, Report, equal};
use crate::shipment::{Shipment, ship_once};
use crate::site::Site;
use protocol::units::{Epoch, Extent, Generation, PairId, PairName, Point, Role};
use storage::volume::digest::digest;
use wire::control::{
    CycleOutcome, DemoteRequest, PromoteRequest, RefusalKind, Request, SuperblockReport,
};

/// The smallest volume that the story fits into, in bytes.
const SIZE_MIN: u64 = 4 << 20;

/// Where everything stands.
pub struct Story {
    east: Site,
    west: Site,
    size: u64,
    /// The newest sequence number that was given out.
    seq: u64,
    epoch: u64,
    random: StdRng,
    report: Report,
}

impl Story {
    /// Makes both sites under `base`, with volumes of `size` bytes.
    ///
    /// # Errors
    /// When files can't be made, or the volumes would be too small.
    pub fn begin(base: &Path, program: &Path, size: u64, json: bool) -> Result<Story> {
        ensure!(
            size >= SIZE_MIN,
            "a volume of {size} bytes is too small for the demo"
        );
        let authority = Authority::new()?;
        let pair: PairName = "demo/orders".parse()?;
        let site = |name| Site::create(base, name, &pair, size, &authority, program);
        Ok(Story {
            east: site("east")?,
            west: site("west")?,
            size,
            seq: 0,
            epoch: 1,
            random: StdRng::seed_from_u64(7),
            report: Report::new(json),
        })
    }

    /// Tells the story.
    ///
    /// # Errors
    /// When a step fails or a copy differs.
    pub async fn tell(mut self) -> Result<()> {
        self.init().await?;
        let base = self.baseline().await?;
        self.delta(base).await?;
        let base = self.digests().await?;
        let base = self.zeros(base).await?;
        let base = self.nothing(base).await?;
        let switched = self.planned_switch(base).await?;
        let base = self.failback(switched).await?;
        self.forced_failover(base).await?;
        self.refused_return().await?;
        self.consented_return().await?;
        self.report.finish()
    }

    async fn init(&mut self) -> Result<()> {
        self.report.begin();
        let pair_id = PairId(Uuid::new_v4());
        let generation = Generation(Uuid::new_v4());
        for (site, role) in [(&self.east, Role::Primary), (&self.west, Role::Standby)] {
            site.init(role, pair_id, generation, &self.east.name)
                .await?;
        }
        let notes = vec!["east is primary of epoch 1, west is standby and blank".into()];
        self.report
            .done("Both sites have a superblock", None, notes, None);
        Ok(())
    }

    async fn baseline(&mut self) -> Result<Point> {
        self.report.begin();
        let half = self.size / 2;
        let changed = self.scatter(true, 64, half / 64 / 2)?;
        let point = self.next_point();
        let (cut, _) = self.east.cut(point)?;
        self.ship(
            "First copy, in place",
            true,
            &cut,
            &Shipment::of(point),
            changed,
        )
        .await?;
        Ok(point)
    }

    async fn delta(&mut self, base: Point) -> Result<()> {
        self.report.begin();
        let changed = self.scatter(true, 64, 4096)?;
        let point = self.next_point();
        let (cut, written) = self.east.cut(point)?;
        let shipment = Shipment::of(point).delta(base, written);
        self.ship(
            "A cycle whose changes are listed",
            true,
            &cut,
            &shipment,
            changed,
        )
        .await
    }

    async fn digests(&mut self) -> Result<Point> {
        self.report.begin();
        let changed = self.scatter(true, 64, 4096)?;
        let point = self.next_point();
        let (cut, _) = self.east.cut(point)?;
        let title = "A cycle without a list: kept digests tell what has changed";
        self.ship(title, true, &cut, &Shipment::of(point), changed)
            .await?;
        Ok(point)
    }

    async fn zeros(&mut self, base: Point) -> Result<Point> {
        self.report.begin();
        let len = self.size / 8 / 4096 * 4096;
        let zeros = vec![0; usize::try_from(len)?];
        self.east.write(0, &zeros)?;
        let point = self.next_point();
        let (cut, written) = self.east.cut(point)?;
        let shipment = Shipment::of(point).delta(base, written);
        self.ship(
            "An eighth of the volume is zeroed",
            true,
            &cut,
            &shipment,
            len,
        )
        .await?;
        Ok(point)
    }

    async fn nothing(&mut self, base: Point) -> Result<Point> {
        self.report.begin();
        let point = self.next_point();
        let (cut, written) = self.east.cut(point)?;
        let shipment = Shipment::of(point).delta(base, written);
        self.ship(
            "A cycle in which nothing has changed",
            true,
            &cut,
            &shipment,
            0,
        )
        .await?;
        Ok(point)
    }

    async fn planned_switch(&mut self, base: Point) -> Result<Point> {
        self.report.begin();
        let changed = self.scatter(true, 16, 4096)?;
        let point = self.next_point();
        let (cut, written) = self.east.cut(point)?;
        let shipment = Shipment::of(point).delta(base, written);
        self.ship(
            "The application stops; its last writes are shipped",
            true,
            &cut,
            &shipment,
            changed,
        )
        .await?;
        self.report.begin();
        let promoted = self.promote(false, Some(point)).await?;
        let demoted = self.demote(true, &promoted, Some(point)).await?;
        ensure!(!demoted.diverged, "a clean demotion must not diverge");
        let same = equal(
            "switch",
            digest(&self.west.volume())?,
            digest(&self.east.volume())?,
        )?;
        let notes = vec![format!(
            "west is primary of epoch {}, from cut {point}; nothing is lost",
            self.epoch
        )];
        self.report
            .done("Planned switch to west", None, notes, Some(same));
        Ok(point)
    }

    async fn failback(&mut self, base: Point) -> Result<Point> {
        self.report.begin();
        let changed = self.scatter(false, 32, 4096)?;
        let point = self.next_point();
        let (cut, written) = self.west.cut(point)?;
        let shipment = Shipment::of(point).delta(base, written);
        self.ship(
            "West's writes follow back to east by difference",
            false,
            &cut,
            &shipment,
            changed,
        )
        .await?;
        Ok(point)
    }

    async fn forced_failover(&mut self, base: Point) -> Result<()> {
        self.report.begin();
        let lost = self.scatter(false, 20, 4096)?;
        let committed = digest(&self.west.home.join(format!("cut-{base}.img")))?;
        let promoted = self.promote(true, None).await?;
        let same = equal("failover", digest(&self.east.volume())?, committed)?;
        let mut notes = vec![format!(
            "west is gone with {lost} bytes in {} writes after cut {base}; they are lost:",
            self.west.written.len()
        )];
        notes.extend(
            self.west
                .written
                .iter()
                .take(3)
                .map(|extent| format!("  {} bytes at {}", extent.len, extent.offset)),
        );
        notes.push(format!(
            "  … and {} more",
            self.west.written.len().saturating_sub(3)
        ));
        notes.push(format!(
            "east is primary of epoch {}, exactly at cut {base}",
            promoted.epoch
        ));
        self.report
            .done("Forced failover to east", None, notes, Some(same));
        Ok(())
    }

    async fn refused_return(&mut self) -> Result<()> {
        self.report.begin();
        let promoted = self.superblock(true).await?;
        let demoted = self.demote(false, &promoted, None).await?;
        ensure!(
            demoted.diverged,
            "a side with writes of its own must be held"
        );
        let before = digest(&self.west.volume())?;
        self.scatter(true, 32, 4096)?;
        let point = self.next_point();
        let (cut, _) = self.east.cut(point)?;
        let mut source = self.east.start(&cut, true).await?;
        let mut target = self.west.start(&self.west.volume(), false).await?;
        let shipment = Shipment::of(point);
        shipment.begin(&mut source, &mut target).await?;
        let status = shipment.ended(&mut source).await?;
        let cause = match status.last {
            Some(CycleOutcome::Failed { cause, .. }) => cause,
            other => anyhow::bail!("west was overwritten without consent: {other:?}"),
        };
        ensure!(
            cause.kind == RefusalKind::Diverged,
            "refused as {:?}",
            cause.kind
        );
        source.stop().await?;
        target.stop().await?;
        let same = equal("held", digest(&self.west.volume())?, before)?;
        let notes = vec![format!("{:?}: {}", cause.kind, cause.message)];
        self.report.done(
            "West returns and is held: nothing on it changes",
            None,
            notes,
            Some(same),
        );
        Ok(())
    }

    async fn consented_return(&mut self) -> Result<()> {
        self.report.begin();
        let changed: u64 = self
            .west
            .written
            .iter()
            .map(|extent| extent.len)
            .sum::<u64>()
            + 32 * 4096;
        let point = self.next_point();
        let (cut, _) = self.east.cut(point)?;
        let shipment = Shipment {
            consent: Some(Epoch(self.epoch)),
            ..Shipment::of(point)
        };
        self.ship(
            "With consent west follows, by the difference alone",
            true,
            &cut,
            &shipment,
            changed,
        )
        .await?;
        self.west.written.clear();
        Ok(())
    }

    /// Ships a cut and checks that the copy is what was cut.
    async fn ship(
        &mut self,
        title: &str,
        from_east: bool,
        cut: &Path,
        shipment: &Shipment,
        changed: u64,
    ) -> Result<()> {
        let (from, to) = match from_east {
            true => (&self.east, &self.west),
            false => (&self.west, &self.east),
        };
        let (report, status) = ship_once(from, cut, to, shipment).await?;
        let same = equal(title, digest(cut)?, digest(&to.volume())?)?;
        let moved = Moved::of(changed, &report, &status);
        self.report.done(title, Some(moved), Vec::new(), Some(same));
        Ok(())
    }

    async fn promote(&mut self, east: bool, peer_head: Option<Point>) -> Result<SuperblockReport> {
        let epoch = Epoch(self.epoch + 1);
        let site = self.site(east);
        let mut mover = site.start(&site.volume(), false).await?;
        let request = PromoteRequest {
            epoch,
            generation: Generation(Uuid::new_v4()),
            peer_head,
            requested_primary: site.name.clone(),
        };
        mover.driver.tell(Request::Promote(request)).await?;
        let status = mover
            .driver
            .wait_for(crate::shipment::CYCLE_WAIT, |status| {
                status
                    .superblock
                    .as_ref()
                    .is_some_and(|s| s.epoch == epoch && s.role == Role::Primary)
            })
            .await?;
        mover.stop().await?;
        self.epoch = epoch.0;
        status.superblock.context("the superblock is gone")
    }

    async fn demote(
        &mut self,
        east: bool,
        promoted: &SuperblockReport,
        clean_at: Option<Point>,
    ) -> Result<SuperblockReport> {
        let site = self.site(east);
        let mut mover = site.start(&site.volume(), false).await?;
        let request = DemoteRequest {
            epoch: promoted.epoch,
            lineage: promoted.lineage.clone(),
            clean_at,
            requested_primary: promoted.requested_primary.clone(),
        };
        mover.driver.tell(Request::Demote(request)).await?;
        let status = mover.driver.status().await?;
        mover.stop().await?;
        status.superblock.context("the superblock is gone")
    }

    async fn superblock(&self, east: bool) -> Result<SuperblockReport> {
        let site = self.site(east);
        let mut mover = site.start(&site.volume(), false).await?;
        let status = mover.driver.status().await?;
        mover.stop().await?;
        status.superblock.context("the superblock is gone")
    }

    fn site(&self, east: bool) -> &Site {
        if east { &self.east } else { &self.west }
    }

    fn next_point(&mut self) -> Point {
        self.seq += 1;
        Point::new(self.epoch, self.seq)
    }

    /// Writes `count` pieces of `len` random bytes somewhere; gives back how many bytes that were.
    fn scatter(&mut self, east: bool, count: u64, len: u64) -> Result<u64> {
        let mut data = vec![0; usize::try_from(len)?];
        let before = self.site(east).written.len();
        for _ in 0..count {
            let places = (self.size - len) / 4096;
            let offset = self.random.random_range(0..=places) * 4096;
            self.random.fill_bytes(&mut data);
            let site = if east { &mut self.east } else { &mut self.west };
            site.write(offset, &data)?;
        }
        let written: Vec<Extent> = self.site(east).written[before..].to_vec();
        Ok(protocol::units::ExtentSet::union(written).bytes())
    }
}
