//! One user story a file, each against a real cluster.

pub mod bad_input;
pub mod block_mode;
pub mod claim_grown;
pub mod commit_interrupted;
pub mod ladder;
pub mod life;
pub mod mover_killed;
pub mod namespace_deleted;
pub mod operator_killed;
pub mod quiesce;
pub mod runner;
pub mod snapshot_fails;
pub mod stale_manifest;
pub mod status_wiped;

use futures::future::BoxFuture;

use crate::harness::Scene;

/// A user story.
pub struct Story {
    /// Its name, which is its file's name and its namespace's.
    pub name: &'static str,
    /// The acceptance statements that it proves on a real cluster.
    pub proves: &'static [&'static str],
    /// Whether it disturbs the whole cluster, so that no other may run beside it.
    pub alone: bool,
    /// Lives it.
    pub run: for<'a> fn(&'a Scene) -> BoxFuture<'a, anyhow::Result<()>>,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Story> {
    vec![
        life::story(),
        block_mode::story(),
        ladder::story(),
        claim_grown::story(),
        snapshot_fails::story(),
        mover_killed::story(),
        namespace_deleted::story(),
        bad_input::story(),
        stale_manifest::story(),
        commit_interrupted::story(),
        quiesce::story(),
        status_wiped::story(),
        operator_killed::planned(),
        operator_killed::forced(),
    ]
}
