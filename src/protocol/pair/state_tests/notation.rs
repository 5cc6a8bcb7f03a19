//! Walking, and the outcome as text.

use std::fmt::Write as _;

use super::parts::{Named, SIZE, Step};
use crate::pair::action::{Action, Outcome};
use crate::pair::change_plan::Plan;
use crate::pair::message::Message;
use crate::pair::side::Side;
use crate::pair::{Record, Refused};
use crate::units::{ImageState, Point};

/// The states along a path of steps.
pub(super) fn along(
    first: &'static str,
    path: Vec<(&'static str, Named)>,
) -> Vec<(&'static str, Vec<Step>)> {
    let mut states = vec![(first, Vec::new())];
    let mut steps = Vec::new();
    for (name, (_, step)) in path {
        steps.push(step);
        states.push((name, steps.clone()));
    }
    states
}

fn take(side: &mut Side, step: Step) -> Result<Vec<Action>, Refused> {
    match step {
        Step::Command(command) => side.command(command),
        Step::On(event) => Ok(side.on(SIZE, event)),
    }
}

/// Tries each of `steps` in each of `states`, beginning with `record`. Steps with the same outcome
/// stand together.
pub(super) fn walk(
    record: Option<&Record>,
    states: Vec<(&str, Vec<Step>)>,
    steps: &[Named],
) -> String {
    let mut text = String::new();
    for (state, path) in states {
        let (mut side, first) = Side::open(record.cloned());
        for step in path {
            take(&mut side, step).unwrap();
        }
        writeln!(text, "{state}: {}; {}", stands(&side), known(&side)).unwrap();
        for action in first {
            writeln!(text, "    (first) {}", action_text(&action)).unwrap();
        }
        let mut outcomes: Vec<(Vec<&str>, String)> = Vec::new();
        for (name, step) in steps {
            let outcome = outcome(side.clone(), step.clone());
            match outcomes.iter_mut().find(|(_, same)| *same == outcome) {
                Some((names, _)) => names.push(*name),
                None => outcomes.push((vec![*name], outcome)),
            }
        }
        for (names, outcome) in outcomes {
            writeln!(text, "  {}\n{outcome}", names.join(" | ")).unwrap();
        }
    }
    text
}

/// What one step leads to.
fn outcome(mut side: Side, step: Step) -> String {
    let (stood, knew) = (stands(&side), known(&side));
    let mut lines = Vec::new();
    match take(&mut side, step) {
        Ok(actions) if actions.is_empty() => lines.push("nothing".into()),
        Ok(actions) => lines.extend(actions.iter().map(action_text)),
        Err(refused) => lines.push(format!("not taken, {}", said_no(&refused))),
    }
    let (stands, knows) = (stands(&side), known(&side));
    if stands != stood {
        lines.push(format!("= {stands}"));
    }
    // A record that is persisted is the one that is known from then on.
    if knows != knew {
        assert!(lines.contains(&format!("persist {knows}")), "{knows}");
    }
    assert_eq!(side.record().map_or(Ok(()), Record::check), Ok(()));
    format!("    {}", lines.join("\n    "))
}

fn point(point: Option<Point>) -> String {
    point.map_or("-".into(), |point| point.to_string())
}

fn stands(side: &Side) -> String {
    let expected = match side.is_expecting() {
        true => " (expected)",
        false => "",
    };
    format!(
        "shipping {}, receiving {}{expected}, promoting {}",
        point(side.shipping()),
        point(side.receiving()),
        side.promoting()
            .map_or("-".into(), |epoch| epoch.to_string()),
    )
}

fn known(side: &Side) -> String {
    side.record().map_or("no record".into(), brief)
}

fn brief(record: &Record) -> String {
    let epochs: Vec<String> = record
        .lineage
        .0
        .iter()
        .map(|e| format!("{}@{}#{}", e.epoch, e.start, e.generation.0.as_u128()))
        .collect();
    format!(
        "{:?} of {} [{}] committed {} applied {} {}{}{} request {}",
        record.role,
        record.epoch,
        epochs.join(" "),
        point(record.committed),
        point(record.applied),
        image(record.image),
        if record.diverged { " diverged" } else { "" },
        if record.never_writable {
            " never-writable"
        } else {
            ""
        },
        record.requested_primary,
    )
}

fn image(image: ImageState) -> String {
    match image {
        ImageState::Consistent(at) => format!("consistent {at}"),
        ImageState::Redo(at) => format!("redo {at}"),
        other => format!("{other:?}"),
    }
}

fn said_no(refused: &Refused) -> String {
    format!("{:?}: {}", refused.cause, refused.message)
}

fn planned(plan: &Plan) -> String {
    let change_source = &plan.change_source;
    format!(
        "{:?}, {:?}, {:?}: {}",
        plan.candidates, plan.compare, change_source.source, change_source.reason
    )
}

fn said(message: &Message) -> String {
    match message {
        Message::Hello(m) => format!("hello {} of {} bytes, epoch {}", m.cycle, m.size, m.epoch),
        Message::Greeting(m) => match m.record() {
            Some(record) => format!("greeting {} bytes, {}", m.size, brief(record)),
            None => format!("greeting {} bytes, {:?}", m.size, m.superblock),
        },
        Message::Begin(m) => format!(
            "begin {} of {} bytes from {}, {:?} by {:?}, {:?}, consent {:?}",
            m.cycle,
            m.size,
            point(m.base),
            m.decision.mode,
            m.decision.row,
            m.change_source,
            m.consent,
        ),
        Message::Refuse(refused) => format!("refuse, {}", said_no(refused)),
        other => format!("{other:?}"),
    }
}

fn action_text(action: &Action) -> String {
    match action {
        Action::Persist(record) => format!("persist {}", brief(record)),
        Action::Send(message) => format!("send {}", said(message)),
        Action::Decided(d) => format!("decided {:?} by {:?}: {}", d.mode, d.row, d.reason),
        Action::Ship { plan, from } => format!("ship from byte {from}: {}", planned(plan)),
        Action::Fall(plan) => format!("fall to {}", planned(plan)),
        Action::KeepDigests(cut) => format!("keep the digests of {cut}"),
        Action::Apply(cut) => format!("apply {cut}"),
        Action::Phase(phase) => format!("phase {phase:?}"),
        Action::OpenStaging(begin) => format!("open staging for {}", begin.cycle),
        Action::OpenInPlace(begin) => format!("open in place for {}", begin.cycle),
        Action::Finish(Outcome::Applied(cut)) => format!("finish: {cut} is applied"),
        Action::Finish(Outcome::Failed(cut, refused)) => {
            format!("finish: {cut} failed, {}", said_no(refused))
        }
        other => format!("{other:?}"),
    }
}
