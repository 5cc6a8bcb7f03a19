//! What the API server refuses: quota, PodSecurity, a webhook. A refusal is a code and a sentence, as a
//! client sees it.

use crate::cluster::world::PAIR;
use planner::decide::Action;

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiRefusal {
    /// The HTTP status.
    pub(crate) code: u16,
    /// What the API server says.
    pub(crate) message: String,
}

/// A kind of object that can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// PersistentVolumeClaims: a ResourceQuota on storage is used up.
    Claim,
    /// Larger PersistentVolumeClaims: a ResourceQuota on their size is used up.
    Growth,
    /// Pods: PodSecurity does not admit them.
    Pod,
    /// VolumeSnapshots: a webhook is down, and fails closed.
    Snapshot,
}

/// What is refused now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    /// The kinds that are refused.
    pub(crate) refused: Vec<Kind>,
    /// Which actions of the operator are refused, whatever they are: those of one of so many parts.
    pub(crate) part_refused: Option<usize>,
}

/// Into so many parts all actions fall.
pub(crate) const PARTS: usize = 4;

impl Admission {
    /// Whether an action of the operator is allowed. The application is always released.
    ///
    /// # Errors
    /// The answer to a client whose rights were taken away.
    pub(crate) fn allows(&self, action: &Action) -> Result<(), ApiRefusal> {
        let what = action.describe(PAIR);
        let part = what.bytes().map(usize::from).sum::<usize>() % PARTS;
        let hooks = matches!(
            action,
            Action::Release(_) | Action::Hold(_) | Action::SelectPods
        );
        if hooks || self.part_refused != Some(part) {
            return Ok(());
        }
        Err(ApiRefusal {
            code: 403,
            message: format!("User \"ferry-operator\" cannot {what}"),
        })
    }

    /// Whether an object of the kind may be created.
    ///
    /// # Errors
    /// The answer to a client, in the words of Kubernetes 1.34's admission plugins.
    pub(crate) fn admits(&self, kind: Kind, name: &str) -> Result<(), ApiRefusal> {
        if !self.refused.contains(&kind) {
            return Ok(());
        }
        let (code, message) = match kind {
            Kind::Claim | Kind::Growth => (
                403,
                format!("persistentvolumeclaims \"{name}\" is forbidden: exceeded quota"),
            ),
            Kind::Pod => (
                403,
                format!("pods \"{name}\" is forbidden: violates PodSecurity \"restricted:latest\""),
            ),
            Kind::Snapshot => (
                500,
                "Internal error occurred: failed calling webhook: context deadline exceeded".into(),
            ),
        };
        Err(ApiRefusal { code, message })
    }
}
