//! Holding the application round a cut: exec hooks in its pods.
//!
//! Order: [`targets`] → record them in status → [`run_pre`] → cut → [`run_post`] → record. `post` is
//! run for every recorded target, also when the cut fails or the operator restarts in between.

use std::time::Duration;

use kube::Client;

use crate::api::v1alpha1::HookSpec;

/// The most pods that hooks are run in for one cut; a selection with more is refused.
pub const TARGETS_MAX: usize = 64;
/// The most bytes of a hook's output that are kept: its end.
pub const OUTPUT_TAIL_BYTES_MAX: usize = 2048;

/// One pod in which one hook is run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HookTarget {
    /// Index in `spec.quiesce.hooks`.
    pub hook: usize,
    /// The pod's name.
    pub pod: String,
    /// The container; never empty.
    pub container: String,
}

/// How one command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOutcome {
    /// Where it ran.
    pub target: HookTarget,
    /// How long it took.
    pub took: Duration,
    /// `None` when it ended with exit code 0; else what to tell people, with the output's end.
    pub failure: Option<String>,
}

/// How a round of hooks ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookReport {
    /// Each command that was started, in order.
    pub outcomes: Vec<HookOutcome>,
    /// Whether the cut must not be taken: a hook with `onFailure: Abort` has failed.
    pub abort: bool,
}

/// Hooks can't be run.
#[derive(Debug, thiserror::Error)]
pub enum QuiesceError {
    /// The API server refused to list the pods.
    #[error("failed to list the pods of namespace {namespace}: {source}")]
    List {
        /// The namespace.
        namespace: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// More pods than [`TARGETS_MAX`].
    #[error("the hooks select {found} pods, more than {TARGETS_MAX}; narrow podLabels")]
    TooMany {
        /// How many.
        found: usize,
    },
}

/// The pods in which `hooks` have to run now: by their labels, else those that use `claim`; only
/// running ones. Empty when the application is stopped.
///
/// # Errors
/// When the pods can't be listed, or are too many.
pub async fn targets(
    client: &Client,
    namespace: &str,
    claim: &str,
    hooks: &[HookSpec],
) -> Result<Vec<HookTarget>, QuiesceError> {
    todo!(
        "{} {namespace} {claim} {hooks:?}",
        client.default_namespace()
    )
}

/// Runs `pre` of each target in order. Stops at the first failure of a hook whose `onFailure` is
/// `Abort`. Never fails as a whole: the report says what happened. Takes at most the sum of the
/// hooks' time-outs.
pub async fn run_pre(
    client: &Client,
    namespace: &str,
    hooks: &[HookSpec],
    targets: &[HookTarget],
) -> HookReport {
    todo!(
        "{} {namespace} {hooks:?} {targets:?}",
        client.default_namespace()
    )
}

/// Runs `post` of each target in reverse order, all of them whatever happens. A pod that is gone
/// counts as released.
pub async fn run_post(
    client: &Client,
    namespace: &str,
    hooks: &[HookSpec],
    targets: &[HookTarget],
) -> HookReport {
    todo!(
        "{} {namespace} {hooks:?} {targets:?}",
        client.default_namespace()
    )
}

impl std::fmt::Display for HookTarget {
    /// `HOOK/POD/CONTAINER`, as kept in `status.quiesce.pods`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.hook, self.pod, self.container)
    }
}

/// Text that is no [`HookTarget`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not HOOK/POD/CONTAINER")]
pub struct InvalidHookTarget(pub String);

impl std::str::FromStr for HookTarget {
    type Err = InvalidHookTarget;

    fn from_str(text: &str) -> Result<HookTarget, InvalidHookTarget> {
        let invalid = || InvalidHookTarget(text.into());
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().filter(|p| !p.is_empty()).ok_or_else(invalid);
        Ok(HookTarget {
            hook: next()?.parse().map_err(|_| invalid())?,
            pod: next()?.into(),
            container: next()?.into(),
        })
    }
}
