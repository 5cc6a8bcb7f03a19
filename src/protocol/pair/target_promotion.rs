//! What a promotion does on the receiving side, step by step; whether it may be is in
//! [`crate::pair::promote`].

use crate::pair::action::{Action, Outcome};
use crate::pair::message::Message;
use crate::pair::promote::{self, Before, Promote};
use crate::pair::source::out_of_order;
use crate::pair::target::Target;
use crate::pair::target_state::State;
use crate::pair::{Cause, Record, Refused};
use crate::units::Epoch;

impl Target {
    /// The epoch of the promotion that is under way.
    #[must_use]
    pub fn promoting(&self) -> Option<Epoch> {
        match &self.state {
            State::Applying { then, .. } => then.as_ref().map(|command| command.epoch),
            State::Dropping(command) => Some(command.epoch),
            _ => None,
        }
    }

    /// The epoch of the promotion that waits for a set to be on the volume.
    #[must_use]
    pub fn promotes_once_written(&self) -> Option<Epoch> {
        match &self.state {
            State::Applying { then, .. } => then.as_ref().map(|command| command.epoch),
            _ => None,
        }
    }

    /// Takes the command to become primary. Repeating the one under way or done changes nothing.
    ///
    /// # Errors
    /// What [`promote::prepare`] says, that another promotion is under way, or that the set which would have
    /// to go forward can't be written.
    pub fn promote(&mut self, record: &Record, command: Promote) -> Result<Vec<Action>, Refused> {
        let before = promote::prepare(record, &command)?;
        match &mut self.state {
            State::Dropping(now) if *now == command => return Ok(Vec::new()),
            State::Dropping(now) => {
                return Err(out_of_order(format!(
                    "the promotion to epoch {} is under way",
                    now.epoch
                )));
            }
            State::Applying { then, .. } => {
                // The complete set goes forward first, whoever requested it.
                *then = Some(command);
                return Ok(Vec::new());
            }
            State::Sealing(_) => {
                return Err(out_of_order(
                    "a set is being made whole: ask again in a moment".into(),
                ));
            }
            _ => {}
        }
        if let (Before::Finish(cycle), Some(why)) = (before, &self.unwritten) {
            return Err(promote::unwritten(cycle, why));
        }
        let mut actions = Vec::new();
        if let Some(cycle) = self.cycle() {
            let refused = Refused::new(Cause::Aborted, "this side is being promoted");
            actions.extend([
                Action::Send(Message::Refuse(refused.clone())),
                Action::StopReceiving,
                Action::Hangup,
                Action::Finish(Outcome::Failed(cycle, refused)),
            ]);
        }
        match before {
            Before::Done => return Ok(Vec::new()),
            Before::Finish(cycle) => {
                self.state = State::Idle;
                self.go(State::Applying {
                    cycle,
                    then: Some(command),
                });
                actions.push(Action::Apply(cycle));
            }
            Before::Drop => {
                self.go(State::Dropping(command));
                actions.push(Action::DropStaging { report: true });
            }
        }
        Ok(actions)
    }

    /// What is staged is gone: the promotion that waited for that is recorded.
    pub(super) fn dropped(&mut self, record: &Record) -> Vec<Action> {
        let State::Dropping(command) = &self.state else {
            return Vec::new();
        };
        let command = command.clone();
        self.go(State::Idle);
        promote::record(record, &command)
    }
}
