//! The reader one step at a time, for whoever has no threads: the same jobs, read and sorted out in
//! the same way, in order of position.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::seam::BlockFile;
use crate::volume::jobs::{Job, Planner};
use crate::volume::scan::scan;
use crate::volume::{ChangeError, Changes, Known, ReadBatch, ReadError};
use protocol::changes::Limits;

/// What a step has led to.
pub enum Step {
    /// The next batch.
    Batch(Box<ReadBatch>),
    /// The end of the list of changes.
    End,
    /// The next change, or a digest to compare with, is not known yet: step again later.
    NotYet,
}

/// Reads changes, a job a step.
pub struct StepReader {
    device: Arc<dyn BlockFile>,
    known: Option<Known>,
    planner: Planner,
    /// A job that waits for digests.
    waiting: Option<Job>,
    limits: Limits,
}

impl StepReader {
    /// Reads `changes` of `device`, leaving out what `known` shows to be the same. A lookup that fails
    /// with [`io::ErrorKind::WouldBlock`] is tried again.
    #[must_use]
    pub fn new(
        device: Arc<dyn BlockFile>,
        changes: Changes,
        known: Option<Known>,
        limits: Limits,
    ) -> StepReader {
        StepReader {
            device,
            known,
            planner: Planner::new(changes, limits),
            waiting: None,
            limits,
        }
    }

    /// The next step.
    ///
    /// # Errors
    /// When reading failed or the list broke.
    pub fn step(&mut self) -> Result<Step, ReadError> {
        let job = match self.waiting.take() {
            Some(job) => job,
            None => match self.planner.next_job() {
                Ok(Some(job)) => job,
                Ok(None) => return Ok(Step::End),
                Err(ChangeError::NotYet) => return Ok(Step::NotYet),
                Err(error) => return Err(error.into()),
            },
        };
        let mut buf = vec![0; self.limits.batch_bytes];
        let scanned = match scan(&*self.device, &job, self.known.as_ref(), &mut buf) {
            Ok(scanned) => scanned,
            Err(error) if error.source.kind() == io::ErrorKind::WouldBlock => {
                self.waiting = Some(job);
                return Ok(Step::NotYet);
            }
            Err(error) => return Err(error.into()),
        };
        buf.truncate(scanned.data_len);
        let data = Bytes::from(buf);
        Ok(Step::Batch(Box::new(ReadBatch::of(
            &job, scanned, data, None,
        ))))
    }
}
