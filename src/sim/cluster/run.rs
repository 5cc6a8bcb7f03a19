//! A run: the cluster that a seed makes, for a while with faults, then without.

use crate::cluster::faults::ClusterFault;
use crate::cluster::world::World;
use crate::rules::Wrong;
use crate::story::Story;
use planner::mutations::Rule;

/// Steps with faults.
const STEPS: u32 = 1_500;

/// Steps within which both sides are the same once everything is healed.
const STEPS_TO_END: u32 = 12_000;

/// After so many of them somebody withdraws a request that does not come to its end.
const STEPS_TO_WITHDRAW: u32 = 3_000;

/// What a run has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterFigures {
    /// Cycles that the operator called committed.
    pub commits: u64,
    /// Changes of the role that came to their end.
    pub moves: u64,
    /// How often the application was started.
    pub starts: u64,
}

/// How a run went.
pub struct ClusterRun {
    /// What it has shown, or what did not hold.
    pub result: Result<ClusterFigures, String>,
    /// What happened, a line an event; empty unless asked for.
    pub story: Vec<String>,
}

/// How a seed is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterOptions {
    /// Whether the story is recorded.
    pub recorded: bool,
    /// One more kind of faults, which the planner does not live through yet.
    pub later: Option<ClusterFault>,
    /// The rule of the planner that is broken.
    pub broken: Option<Rule>,
    /// The rule of the mover, or of what is below it, that is broken.
    pub wrong: Option<Wrong>,
    /// Nothing goes wrong with the data: what a rule of the planner is about happens oftener.
    pub calm: bool,
}

/// Runs a seed on a simulated cluster.
#[must_use]
pub fn run_cluster(seed: u64, options: ClusterOptions) -> ClusterRun {
    let mut world = match World::new(seed, options, Story::new(options.recorded)) {
        Ok(world) => world,
        Err(error) => {
            return ClusterRun {
                result: Err(error),
                story: Vec::new(),
            };
        }
    };
    let result = live(&mut world);
    ClusterRun {
        result: result.map(|()| ClusterFigures {
            commits: world.oracle.commits,
            moves: world.oracle.moves,
            starts: world.app.starts,
        }),
        story: world.story.lines(),
    }
}

fn live(world: &mut World) -> Result<(), String> {
    for _ in 0..STEPS {
        world.step(true)?;
    }
    world.heal();
    let now = world.millis();
    world.story.tell(now, 2, || "everything is healed".into());
    // What is left over goes with the second cycle.
    for _ in 0..2 {
        let from = world.oracle.commits;
        live_until(world, |world| world.oracle.commits > from)?;
    }
    world.check_end()
}

/// Without faults, until `done` and nothing is under way.
pub(crate) fn live_until(world: &mut World, done: impl Fn(&World) -> bool) -> Result<(), String> {
    let mut written = false;
    for step in 0..STEPS_TO_END {
        // While something is awaited the clock does not skip over the moment at which nothing is under way.
        world.time_creeps = done(world);
        if world.time_creeps && !world.is_busy() {
            world.time_creeps = false;
            return Ok(());
        }
        world.consent_now();
        world.look_after_claim();
        // A cycle in which nothing has changed is not committed.
        written = written || (!world.is_moving() && world.app_writes());
        if step == STEPS_TO_WITHDRAW && world.is_moving() {
            world.withdraw();
        }
        world.step(false)?;
    }
    let status = world.status();
    let waits = status.waiting.map(|waiting| waiting.what);
    Err(format!(
        "the pair does not come to rest though everything is healed: {:?}, it waits for {waits:?}",
        world.under_way()
    ))
}
