//! The list of stories, in the order in which they are begun: the longest first.

use futures::future::BoxFuture;

use super::{
    bad_input, block_mode, change_refused, change_sources, claim_grown, claim_recreated,
    commit_interrupted, deleted_in_switch, installed, io_error, larger_copy, life, mover_killed,
    namespace_deleted, operator_killed, quiesce, salvage, scaled_up, site_lost, snapshot_fails,
    staging_small, stale_manifest, stateful_set, status_wiped, uninstalled, verified,
};
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
        scaled_up::story(),
        change_refused::story(),
        block_mode::story(),
        change_sources::story(),
        salvage::story(),
        claim_grown::story(),
        snapshot_fails::story(),
        staging_small::story(),
        mover_killed::story(),
        namespace_deleted::story(),
        bad_input::story(),
        stale_manifest::story(),
        commit_interrupted::story(),
        io_error::story(),
        quiesce::story(),
        status_wiped::story(),
        verified::story(),
        claim_recreated::story(),
        larger_copy::story(),
        site_lost::story(),
        stateful_set::story(),
        installed::story(),
        deleted_in_switch::story(),
        operator_killed::planned(),
        operator_killed::forced(),
        uninstalled::story(),
    ]
}
