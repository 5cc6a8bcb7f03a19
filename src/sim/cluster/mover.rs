//! A mover for the planner's sake: the protocol's own two machines, with a data plane that takes no time.
//!
//! What a mover's loop does between them (threads, windows, staging on disks that fail) is not looked at
//! here: the data plane has a simulation of its own, which hosts the mover's core. Here each effect of
//! the machines is one step, chosen by seed, so that pods can end and operators can look between any two.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use mover_core::translate;
use protocol::pair::change_plan::List;
use protocol::pair::demote::Demote;
use protocol::pair::message::Message;
use protocol::pair::promote::Promote;
use protocol::pair::record::Init;
use protocol::pair::side::{Command, Event};
use protocol::pair::source::Ship;
use protocol::pair::{Action, Cause, Outcome, Record, Refused, Side};
use protocol::units::{ChangeSource, Extent, Point, SiteName};
use wire::control::{
    Activity, ChangeList, CycleOutcome, CycleReport, MoverStatus, Request, VerifyReport,
};

/// The blocks of a change set.
pub(crate) type Changes = BTreeMap<usize, u64>;

/// A mover's process: it lives as long as its pod runs.
pub(crate) struct Mover {
    /// The pod that it runs in.
    pub(crate) pod_uid: String,
    /// Its site.
    pub(crate) site: SiteName,
    /// The handle of its state volume.
    pub(crate) state: String,
    /// The handle of its device.
    pub(crate) device: Option<String>,
    /// Whether the device is there to be written to.
    pub(crate) writable: bool,
    /// The protocol.
    pub(crate) side: Side,
    /// What the protocol has asked for.
    pub(crate) todo: VecDeque<Action>,
    /// What the peer has said.
    pub(crate) inbox: VecDeque<Message>,
    /// Whether there is a connection.
    pub(crate) linked: bool,
    /// The peer has hung up; what it said before is still heard.
    pub(crate) hung_up: bool,
    /// Since when the peer is dialled.
    pub(crate) dialing: Option<Timestamp>,
    /// The blocks that a driver's list names, while a cut is shipped.
    pub(crate) list: Option<Changes>,
    /// The range that is verified.
    pub(crate) verifying: Option<Extent>,
    /// What was received.
    pub(crate) received: Changes,
    /// It goes to the volume at once.
    pub(crate) in_place: bool,
    /// The superblock as it is durable: what is reported.
    pub(crate) durable: Option<Record>,
    /// How the last cycle ended.
    pub(crate) last: Option<CycleOutcome>,
    /// Changes of the report.
    pub(crate) version: u64,
    /// The report that the operator has seen last.
    pub(crate) shown: Option<MoverStatus>,
}

impl Mover {
    /// A process that finds this superblock, and what it has to do first.
    pub(crate) fn start(
        pod_uid: &str,
        site: &SiteName,
        state: &str,
        found: Option<Record>,
    ) -> Mover {
        let (side, first) = Side::open(found.clone());
        Mover {
            pod_uid: pod_uid.into(),
            site: site.clone(),
            state: state.into(),
            device: None,
            writable: false,
            side,
            todo: first.into(),
            inbox: VecDeque::new(),
            linked: false,
            hung_up: false,
            dialing: None,
            list: None,
            verifying: None,
            received: Changes::new(),
            in_place: false,
            durable: found,
            last: None,
            version: 1,
            shown: None,
        }
    }

    /// Takes a request, as the mover's own does: without a device there is nothing to ship or write.
    ///
    /// # Errors
    /// What the protocol refuses.
    pub(crate) fn take(&mut self, request: Request, bytes: u64) -> Result<(), Refused> {
        let order = match request {
            Request::Init(init) => Command::Init(Init {
                pair_id: init.pair_id,
                role: init.role,
                epoch: init.epoch,
                generation: init.generation,
                start: init.start,
                never_writable: init.never_writable,
                requested_primary: init.requested_primary,
            }),
            Request::Receive(order) => {
                self.needs_device()?;
                Command::Receive(order.cycle)
            }
            Request::Ship(order) => {
                self.needs_device()?;
                let list = match order.changes {
                    ChangeList::Delta { base } => List::Delta { base },
                    ChangeList::Allocated => List::Allocated,
                    ChangeList::Nothing => List::Nothing,
                };
                self.verifying = None;
                ship(order.cycle, bytes, list, order.discard_consent, None)
            }
            Request::Verify(order) => {
                self.needs_device()?;
                self.verifying = Some(order.range);
                ship(order.cycle, bytes, List::Nothing, None, Some(order.range))
            }
            Request::Commit { cycle } => Command::Commit(cycle),
            Request::Abort { reason } => Command::Abort(reason),
            Request::Promote(order) => Command::Promote(Promote {
                epoch: order.epoch,
                generation: order.generation,
                peer_head: order.peer_head,
                requested_primary: order.requested_primary,
            }),
            Request::Demote(order) => Command::Demote(Demote {
                epoch: order.epoch,
                lineage: order.lineage,
                clean_at: order.clean_at,
                requested_primary: order.requested_primary,
            }),
            // Nothing of these shows in what a planner decides on.
            Request::Status { .. }
            | Request::Extents(_)
            | Request::ExtentsFailed { .. }
            | Request::SetBandwidth { .. }
            | Request::Shutdown => return Ok(()),
        };
        let actions = self.side.order(order)?;
        self.follow(actions);
        self.version += 1;
        Ok(())
    }

    fn needs_device(&self) -> Result<(), Refused> {
        match self.device {
            Some(_) => Ok(()),
            None => Err(Refused::new(Cause::OutOfOrder, "there is no device here")),
        }
    }

    /// Notes what has to be done.
    pub(crate) fn follow(&mut self, actions: Vec<Action>) {
        self.todo.extend(actions);
    }

    /// Feeds the protocol.
    pub(crate) fn feed(&mut self, bytes: u64, event: Event) {
        let actions = self.side.on(bytes, event);
        self.follow(actions);
        self.version += 1;
    }

    /// The machine at work can't go on.
    pub(crate) fn fail(&mut self, bytes: u64, cause: Cause, why: &str) {
        let event = self.side.failed(Refused::new(cause, why));
        self.feed(bytes, event);
    }

    /// How a cycle ended.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        self.last = Some(match outcome {
            Outcome::Applied(cycle) => self.applied(cycle),
            Outcome::Failed(cycle, refused) => CycleOutcome::Failed {
                cycle,
                retryable: refused.cause.is_retryable(),
                cause: translate::refusal(&refused),
            },
        });
        self.list = None;
    }

    fn applied(&mut self, cycle: Point) -> CycleOutcome {
        let report = CycleReport {
            cycle,
            change_source: if self.list.is_some() {
                ChangeSource::Delta
            } else {
                ChangeSource::FullRead
            },
            read_bytes: 1,
            data_bytes: 1,
            zero_bytes: 0,
            wire_bytes: 1,
            digest: "d".into(),
            handshake_ms: 1,
            ship_ms: 1,
            apply_ms: 1,
        };
        match self.verifying.take() {
            None => CycleOutcome::Applied(report),
            Some(range) => CycleOutcome::Verified(Box::new(VerifyReport {
                range,
                differing: Vec::new(),
                cycle: CycleReport {
                    change_source: ChangeSource::Verify,
                    data_bytes: 0,
                    ..report
                },
            })),
        }
    }

    /// What it reports.
    pub(crate) fn status(&self, bytes: u64) -> MoverStatus {
        let activity = match (
            self.side.shipping(),
            self.side.promoting(),
            self.side.receiving(),
        ) {
            (Some(cycle), _, _) => Activity::Shipping(cycle),
            (_, Some(epoch), _) => Activity::Promoting(epoch),
            (_, _, Some(cycle)) => Activity::Receiving(cycle),
            _ => Activity::Idle,
        };
        MoverStatus {
            version: self.version,
            site: self.site.clone(),
            superblock: self.durable.as_ref().map(translate::report_of),
            superblock_error: None,
            device_bytes: self.device.as_ref().map(|_| bytes),
            activity,
            progress: None,
            decision: None,
            change_source: None,
            last: self.last.clone(),
        }
    }
}

fn ship(
    cycle: Point,
    size: u64,
    list: List,
    consent: Option<protocol::units::Epoch>,
    verify: Option<Extent>,
) -> Command {
    Command::Ship(Ship {
        cycle,
        size,
        list,
        list_reason: String::new(),
        kept: None,
        consent,
        verify,
    })
}
