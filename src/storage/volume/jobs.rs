//! Cuts a list of changes into jobs: as much as fits into one batch.

use crate::volume::{Change, ChangeError, Changes};
use protocol::changes::Limits;
use protocol::units::Extent;

/// Ranges that make up one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) index: u64,
    pub(super) changes: Vec<Change>,
    /// Bytes to read.
    pub(super) read_bytes: usize,
}

impl Job {
    pub(super) fn span(&self) -> Extent {
        match (self.changes.first(), self.changes.last()) {
            (Some(first), Some(last)) => {
                let start = first.extent().offset;
                Extent::new(start, last.extent().end() - start)
            }
            _ => Extent::new(0, 0),
        }
    }
}

/// Hands out jobs in order of position.
pub(super) struct Planner {
    changes: Changes,
    limits: Limits,
    rest: Option<Change>,
    position: u64,
    next: u64,
    ended: bool,
}

impl Planner {
    pub(super) fn new(changes: Changes, limits: Limits) -> Planner {
        Planner {
            changes,
            limits,
            rest: None,
            position: 0,
            next: 0,
            ended: false,
        }
    }

    /// The number that the next job has, also when it turns out to be an error.
    pub(super) fn next_index(&self) -> u64 {
        self.next
    }

    /// The next job; `None` at the end of the list, and after an error. The end of the list is the
    /// only end: what the ranges hold has no say in it.
    pub(super) fn next_job(&mut self) -> Result<Option<Job>, ChangeError> {
        let mut job = Job {
            index: self.next,
            ..Job::default()
        };
        let (mut zero_bytes, mut reads) = (0, 0);
        let limits = self.limits;
        while job.changes.len() < limits.job_ranges() && reads < limits.job_reads {
            let change = match self.next_change() {
                Ok(Some(change)) => change,
                Ok(None) => break,
                // What there is need not wait for what comes.
                Err(ChangeError::NotYet) if !job.changes.is_empty() => break,
                Err(error) => return Err(error),
            };
            let room = match change {
                Change::Read(_) => (limits.batch_bytes - job.read_bytes) as u64,
                Change::Zero(_) => limits.job_zero_bytes - zero_bytes,
            };
            let extent = change.extent();
            let taken = extent.len.min(room);
            if taken < extent.len {
                let rest = Extent::new(extent.offset + taken, extent.len - taken);
                self.rest = Some(change.with(rest));
            }
            if taken == 0 {
                break;
            }
            match change {
                Change::Read(_) => {
                    job.read_bytes += usize::try_from(taken).unwrap_or(0);
                    reads += 1;
                }
                Change::Zero(_) => zero_bytes += taken,
            }
            job.changes
                .push(change.with(Extent::new(extent.offset, taken)));
            if self.rest.is_some() {
                break;
            }
        }
        if job.changes.is_empty() {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(job))
    }

    fn next_change(&mut self) -> Result<Option<Change>, ChangeError> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        if self.ended {
            return Ok(None);
        }
        let change = self.changes.next().transpose();
        match &change {
            Ok(Some(c)) if c.extent().offset < self.position => {
                self.ended = true;
                let reason = format!("{:?} does not ascend", c.extent());
                return Err(ChangeError::Invalid(reason));
            }
            Ok(Some(c)) => self.position = c.extent().end(),
            Err(ChangeError::NotYet) => {}
            Ok(None) | Err(_) => self.ended = true,
        }
        change
    }
}
