//! A run: the cluster that a seed makes, for a while with faults, then without.

use crate::cluster::data_kinds::DataFault;
use crate::cluster::faults::ClusterFault;
use crate::cluster::world::World;
use crate::rules::Wrong;
use crate::story::Story;

/// Steps with faults.
const STEPS: u32 = 1_500;

/// Steps with faults of a life in which a wrong rule is to show.
const STEPS_FOR_RULES: u32 = 2_500;

/// Steps within which both sides are the same once everything is healed.
const STEPS_TO_END: u32 = 20_000;

/// The interval of the cycles once everything is healed and the sides are compared.
const INTERVAL_AT_THE_END: &str = "5m";

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
    /// Ranges that were verified.
    pub verified: u64,
    /// Bytes between the movers.
    pub bytes: u64,
}

/// How a run went.
pub struct ClusterRun {
    /// What it has shown, or what did not hold.
    pub result: Result<ClusterFigures, String>,
    /// What happened, a line an event; empty unless asked for.
    pub story: Vec<String>,
}

/// What goes wrong in a run: where less does, what a rule is about happens oftener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// Everything.
    Everything,
    /// The cluster's own, and nothing with the data.
    Cluster,
    /// The data's, and of the cluster's own what moves roles and stops processes.
    Data,
}

/// How a seed is run.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Whether the story is recorded.
    pub recorded: bool,
    /// One more kind of faults, which the planner does not live through yet.
    pub later: Option<ClusterFault>,
    /// The rule that is broken.
    pub wrong: Option<Wrong>,
    /// What goes wrong.
    pub focus: Focus,
    /// Steps with faults.
    pub steps: u32,
    /// The first copy is there before anything goes wrong.
    pub settled: bool,
    /// Faults of the cluster that do not happen.
    pub without: Vec<ClusterFault>,
    /// Faults of the data that do not happen.
    pub without_data: Vec<DataFault>,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            recorded: false,
            later: None,
            wrong: None,
            focus: Focus::Everything,
            steps: STEPS,
            settled: false,
            without: Vec::new(),
            without_data: Vec::new(),
        }
    }
}

impl ClusterOptions {
    /// Those of a life with a broken rule, in which what the rule is about happens often.
    #[must_use]
    pub fn breaking(wrong: Wrong) -> ClusterOptions {
        ClusterOptions {
            wrong: Some(wrong),
            steps: STEPS_FOR_RULES,
            settled: true,
            focus: match wrong {
                Wrong::Planner(_) => Focus::Cluster,
                _ => Focus::Data,
            },
            ..ClusterOptions::default()
        }
    }
}

/// Whether a wrong rule shows with a seed, and how: a life that fails without it, too, shows nothing.
///
/// # Errors
/// What did not hold.
pub fn shows(seed: u64, wrong: Wrong) -> Result<(), String> {
    let options = ClusterOptions::breaking(wrong);
    let kept = ClusterOptions {
        wrong: None,
        ..options.clone()
    };
    match run_cluster(seed, &options).result {
        Err(why) if run_cluster(seed, &kept).result.is_ok() => Err(why),
        _ => Ok(()),
    }
}

/// Runs a seed.
#[must_use]
pub fn run_cluster(seed: u64, options: &ClusterOptions) -> ClusterRun {
    let mut world = match World::new(seed, options, Story::new(options.recorded)) {
        Ok(world) => world,
        Err(error) => {
            return ClusterRun {
                result: Err(error),
                story: Vec::new(),
            };
        }
    };
    let result = live(&mut world, options.steps, options.settled);
    ClusterRun {
        result: result.map(|()| ClusterFigures {
            commits: world.oracle.commits,
            moves: world.oracle.moves,
            starts: world.app.starts,
            verified: world.oracle.verified,
            bytes: world.net.bytes,
        }),
        story: world.story.lines(),
    }
}

fn live(world: &mut World, steps: u32, settled: bool) -> Result<(), String> {
    if settled {
        live_until(world, |world| world.oracle.commits > 0)?;
    }
    for _ in 0..steps {
        world.step(true)?;
    }
    world.heal();
    world.server.storage.short_clone = false;
    // A comparison goes on between two cycles: there has to be time between them.
    world.edit(|spec| spec.snapshot.interval = INTERVAL_AT_THE_END.into());
    let now = world.millis();
    world.story.tell(now, 2, || "everything is healed".into());
    // What is left over goes with the second cycle.
    for _ in 0..2 {
        let from = world.oracle.commits;
        live_until(world, |world| world.oracle.commits > from)?;
    }
    // What has rotted is found by a comparison, and by nothing else.
    world.want_comparison();
    rest_until(world, false, |world| {
        world.is_compared() || world.finds_its_cut_rotten()
    })?;
    if !world.is_compared() {
        // The primary's cut is what has rotted: the next one is made of the volume, which has not.
        let from = world.oracle.commits;
        live_until(world, |world| world.oracle.commits > from)?;
        rest_until(world, false, World::is_compared)?;
    }
    world.check_end()
}

/// Without faults, until `done` and nothing is under way; the application writes once meanwhile.
pub(crate) fn live_until(world: &mut World, done: impl Fn(&World) -> bool) -> Result<(), String> {
    rest_until(world, true, done)
}

fn rest_until(
    world: &mut World,
    writes: bool,
    done: impl Fn(&World) -> bool,
) -> Result<(), String> {
    let mut written = !writes;
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
