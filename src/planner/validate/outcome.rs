//! What comes of a spec together with what it names: settings that may be used for everything, or a
//! problem and what may go on in spite of it.

use crate::decide::switch;
use crate::observe::Observed;
use crate::validate::settings::settings;
use crate::validate::{Problem, Settings, checks};

/// The outcome of a validation. After it nobody reads the spec for these values.
#[derive(Clone, Debug, PartialEq)]
pub enum Validated {
    /// Everything fits together.
    Usable(Settings),
    /// Nothing new is begun. What runs goes on: a role change that has begun is not left half done
    /// because the spec was broken in the middle of it.
    Unusable {
        /// What is wrong, and what to do about it.
        problem: Problem,
        /// With fall-backs for what could not be read.
        carry_on_with: Settings,
    },
}

impl Validated {
    /// The settings for what runs already.
    #[must_use]
    pub fn carry_on_with(&self) -> &Settings {
        match self {
            Validated::Usable(settings)
            | Validated::Unusable {
                carry_on_with: settings,
                ..
            } => settings,
        }
    }

    /// The settings for something new; `None` where nothing new may begin.
    #[must_use]
    pub fn usable(&self) -> Option<&Settings> {
        match self {
            Validated::Usable(settings) => Some(settings),
            Validated::Unusable { .. } => None,
        }
    }

    /// Why nothing new is begun, if so.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Validated::Usable(_) => None,
            Validated::Unusable { problem, .. } => Some(problem),
        }
    }
}

/// Validates the spec of `observed` together with what it names.
#[must_use]
pub fn validate(observed: &Observed) -> Validated {
    let settings = settings(observed);
    // While claims are re-bound the application's claim may be gone for a moment: no problem then.
    let status = observed.pair.status.as_ref();
    let rebinding = status
        .and_then(|status| status.switch.as_ref())
        .is_some_and(switch::rebinding);
    match checks::first_problem(observed).filter(|_| !rebinding) {
        None => Validated::Usable(settings),
        Some(problem) => Validated::Unusable {
            problem,
            carry_on_with: settings,
        },
    }
}
