//! Shipping one cut from one site to the other: the operator's requests, in order.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::RunningMover;
use crate::site::Site;
use protocol::units::{Epoch, Extent, ExtentSet, Point};
use wire::control::{
    Activity, BlockImage, ChangeList, Compression, CycleOutcome, CycleReport,
    EXTENTS_PER_BATCH_MAX, ExtentBatch, MoverStatus, ReceiveRequest, Request, ShipRequest,
    Transfer,
};

/// How long one cycle of the demo may take.
pub const CYCLE_WAIT: Duration = Duration::from_secs(120);

/// How a cut is shipped.
#[derive(Clone, Debug)]
pub struct Shipment {
    /// The cut.
    pub cycle: Point,
    /// The list of changes, and its extents.
    pub changes: ChangeList,
    /// The extents of that list.
    pub extents: Vec<Extent>,
    /// After how many batches the list breaks off, if it does.
    pub breaks_after: Option<usize>,
    /// Consent to discard what the target has of its own.
    pub consent: Option<Epoch>,
    /// What the device has to be where it is of a first cut.
    pub image: Option<BlockImage>,
    /// Bytes a second.
    pub bytes_per_second: Option<u64>,
    /// When nothing has moved for this long, it fails.
    pub stall_timeout_ms: u64,
}

impl Shipment {
    /// A cut without a list of changes.
    #[must_use]
    pub fn of(cycle: Point) -> Shipment {
        Shipment {
            cycle,
            changes: ChangeList::Nothing,
            extents: Vec::new(),
            breaks_after: None,
            consent: None,
            image: None,
            bytes_per_second: None,
            stall_timeout_ms: 30_000,
        }
    }

    /// The same with the list of what has changed since `base`.
    #[must_use]
    pub fn delta(self, base: Point, written: Vec<Extent>) -> Shipment {
        Shipment {
            changes: ChangeList::Delta { base },
            extents: ExtentSet::union(written).as_slice().to_vec(),
            ..self
        }
    }

    /// Asks both movers to begin, and feeds the list.
    ///
    /// # Errors
    /// When a request is refused.
    pub async fn begin(&self, source: &mut RunningMover, target: &mut RunningMover) -> Result<()> {
        let receive = ReceiveRequest {
            cycle: self.cycle,
            peer_site: source.site.clone(),
        };
        target.driver.tell(Request::Receive(receive)).await?;
        let ship = ShipRequest {
            cycle: self.cycle,
            peer: target.address.clone(),
            peer_site: target.site.clone(),
            changes: self.changes,
            changes_reason: "the demo gives no list for this cut".into(),
            discard_consent: self.consent,
            image: self.image,
            transfer: Transfer {
                bytes_per_second: self.bytes_per_second,
                compression: Compression::Auto,
                stall_timeout_ms: self.stall_timeout_ms,
            },
        };
        source.driver.tell(Request::Ship(ship)).await?;
        self.feed(source).await
    }

    async fn feed(&self, source: &mut RunningMover) -> Result<()> {
        if self.changes == ChangeList::Nothing {
            return Ok(());
        }
        let mut parts: Vec<&[Extent]> = self.extents.chunks(EXTENTS_PER_BATCH_MAX).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let count = parts.len();
        let (cycle, changes) = (self.cycle, self.changes);
        let mut from = 0;
        for (index, part) in parts.into_iter().enumerate() {
            if self.breaks_after == Some(index) {
                return source
                    .driver
                    .tell(Request::ExtentsFailed {
                        cycle,
                        changes,
                        reason: "the demo breaks the list off".into(),
                    })
                    .await;
            }
            // A list that nobody waits for any more is refused; how the cycle goes on shows why.
            let batch = ExtentBatch {
                cycle,
                changes,
                from,
                extents: part.to_vec(),
                last: index + 1 == count && self.breaks_after.is_none(),
            };
            from = part.last().map_or(from, Extent::end);
            source.driver.ask(Request::Extents(batch)).await?;
        }
        if self.breaks_after.is_some() {
            let reason = "the demo breaks the list off".to_string();
            source
                .driver
                .ask(Request::ExtentsFailed {
                    cycle,
                    changes,
                    reason,
                })
                .await?;
        }
        Ok(())
    }

    /// Waits until the cycle has ended on the source, and says how.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(&self, source: &mut RunningMover) -> Result<MoverStatus> {
        let cycle = self.cycle;
        source
            .driver
            .wait_for(CYCLE_WAIT, |status| {
                status.activity != Activity::Shipping(cycle)
                    && status.last.as_ref().map(outcome_cycle) == Some(cycle)
            })
            .await
    }

    /// Ships and commits; everything has to go well.
    ///
    /// # Errors
    /// When it does not.
    pub async fn run(
        &self,
        source: &mut RunningMover,
        target: &mut RunningMover,
    ) -> Result<(CycleReport, MoverStatus)> {
        self.begin(source, target).await?;
        let status = self.ended(source).await?;
        let report = match &status.last {
            Some(CycleOutcome::Applied(report)) => report.clone(),
            other => anyhow::bail!("cut {} did not arrive: {other:?}", self.cycle),
        };
        let commit = Request::Commit { cycle: self.cycle };
        target.driver.tell(commit.clone()).await?;
        source.driver.tell(commit).await?;
        let committed = target
            .driver
            .status()
            .await?
            .superblock
            .and_then(|s| s.committed);
        ensure!(
            committed == Some(self.cycle),
            "the target has committed {committed:?}"
        );
        Ok((report, status))
    }
}

/// The cut that an outcome is about.
#[must_use]
pub fn outcome_cycle(outcome: &CycleOutcome) -> Point {
    match outcome {
        CycleOutcome::Applied(report) => report.cycle,
        CycleOutcome::Failed { cycle, .. } => *cycle,
        CycleOutcome::Verified(report) => report.cycle.cycle,
    }
}

/// Ships `cut` of `from` to `to` with movers that are started for it and stopped afterwards.
///
/// # Errors
/// When anything does not go well.
pub async fn ship_once(
    from: &Site,
    cut: &Path,
    to: &Site,
    shipment: &Shipment,
) -> Result<(CycleReport, MoverStatus)> {
    let mut source = from.start(cut, true).await?;
    let mut target = to.start(&to.volume(), false).await?;
    let result = shipment
        .run(&mut source, &mut target)
        .await
        .with_context(|| {
            format!(
                "failed to ship cut {} from {} to {}",
                shipment.cycle, from.name, to.name
            )
        })?;
    source.stop().await?;
    target.stop().await?;
    Ok(result)
}
