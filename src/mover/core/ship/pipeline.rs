//! The pieces of one shipment, put together. Who drives them decides when each has its next step.

use std::io;
use std::sync::Arc;

use crate::effect::ShipWork;
use crate::mutations::{Rule, Settings};
use crate::ship::arbitrate::Arbiter;
use crate::ship::candidates::ListReader;
use crate::ship::compare::Reference;
use crate::ship::count::ShipCount;
use crate::ship::fallback::Ranges;
use crate::ship::gather::Gathered;
use crate::ship::scan::Scan;
use protocol::pair::change_plan::{Candidates, Compare};
use protocol::pair::{Cause, Refused};
use protocol::units::Point;
use storage::journal::DigestReader;
use storage::seam::{BlockFile, Disk};
use storage::volume::{ChangeError, ReadError};

/// What a shipment reads from and writes to.
pub struct Sources {
    /// The volume.
    pub device: Arc<dyn BlockFile>,
    /// The state volume.
    pub disk: Arc<dyn Disk>,
    /// The operator's list.
    pub list: Option<ListReader>,
    /// The digests kept here, and the cut that they are of.
    pub kept: Option<(Point, DigestReader)>,
}

/// The pieces.
pub struct Pieces {
    /// The ranges that are looked at.
    pub ranges: Ranges,
    /// What they are compared with.
    pub reference: Arc<Reference>,
    /// Whether anything is compared, now or after falling back.
    pub compares: bool,
    /// What was read becomes batches.
    pub scan: Scan,
    /// Where the volume ends, or the range that is verified, in bytes.
    pub end: u64,
}

impl Pieces {
    /// Those of `work`.
    ///
    /// # Errors
    /// When the state volume fails or is full.
    pub fn new(
        work: &ShipWork,
        sources: Sources,
        count: Arc<ShipCount>,
        settings: Settings,
    ) -> Result<Pieces, Refused> {
        let size = sources.device.size();
        // Digests of another cut than the plan counts on are of no use.
        let kept = sources.kept.filter(|(point, _)| Some(*point) == work.kept);
        let point = kept.as_ref().map(|(point, _)| *point);
        let plan = work.plan.clone();
        let gathered = Gathered::of(sources.disk, work.id, &plan, point, size)?;
        // Only what is verified is named; of news there may be very many ranges.
        let (end, names) = match plan.candidates {
            Candidates::Range(range) => (range.end().min(size), true),
            _ => (size, false),
        };
        let arbiter = kept
            .as_ref()
            .filter(|(point, _)| names && *point == work.id.cycle)
            .filter(|_| !settings.rules.breaks(Rule::PrimaryAlwaysRight))
            .map(|(point, reader)| Arbiter::new(*point, reader.clone()));
        let reader = kept.map(|(_, reader)| reader);
        let reference = Arc::new(Reference::new(plan.compare, reader, end, settings.limits));
        let sends_all = plan.compare == Compare::Nothing && plan.candidates != Candidates::Delta;
        Ok(Pieces {
            ranges: Ranges::new(sources.device, size, plan, sources.list, reference.clone()),
            scan: Scan::new(
                Some(reference.clone()),
                gathered,
                count,
                work.resume_at,
                names,
                settings,
            )
            .judged_by(arbiter),
            reference,
            compares: !sends_all,
            end,
        })
    }
}

/// Why reading has ended early, as the protocol has it.
#[must_use]
pub fn read_failed(error: &ReadError) -> Refused {
    let cause = match error {
        ReadError::Stalled { .. } => Cause::Stalled,
        ReadError::Cancelled | ReadError::Changes(ChangeError::Abandoned) => Cause::Aborted,
        ReadError::Disk(error) if error.source.kind() == io::ErrorKind::BrokenPipe => {
            Cause::PeerUnreachable
        }
        ReadError::Disk(_) | ReadError::Changes(_) => Cause::SourceReadError,
    };
    Refused::new(cause, error.to_string())
}
