//! Hooks round a cut: where they run, and how they ended.

use std::time::Duration;

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

/// How one command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOutcome {
    /// Where it ran.
    pub target: HookTarget,
    /// How long it took, with all tries.
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

impl HookReport {
    /// Every failure in one sentence; `None` when there is none.
    #[must_use]
    pub fn failures(&self) -> Option<String> {
        let failures: Vec<String> = self
            .outcomes
            .iter()
            .filter_map(|outcome| {
                let HookTarget {
                    hook,
                    pod,
                    container,
                } = &outcome.target;
                let failure = outcome.failure.as_ref()?;
                Some(format!("hook {hook} in pod {pod} ({container}): {failure}"))
            })
            .collect();
        (!failures.is_empty()).then(|| failures.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_target_is_named() {
        for bad in ["", "0", "0/", "0/a", "0/a/", "x/a/b", "/a/b", "0//b"] {
            assert!(bad.parse::<HookTarget>().is_err(), "{bad:?} was taken");
        }
    }
}
