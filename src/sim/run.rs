//! A run: the world that a seed makes, for a while with faults, then without.

use crate::fault_kinds::Kind;
use crate::rules::Wrong;
use crate::world::World;

/// Steps with faults.
const STEPS: u32 = 1_500;

/// Steps within which both sides are the same once everything is healed.
const STEPS_TO_END: u32 = 6_000;

/// What a run has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Cycles that were committed.
    pub commits: u64,
    /// Shipments that were begun.
    pub attempts: u64,
    /// Moves of the role.
    pub moves: u64,
    /// Ranges that were verified.
    pub verified: u64,
    /// Bytes between the movers.
    pub bytes: u64,
}

/// How a run went.
pub struct Run {
    /// What it has shown, or what did not hold.
    pub result: Result<Figures, String>,
    /// What happened, a line an event; empty unless asked for.
    pub story: Vec<String>,
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// The rule that is broken, if one is.
    pub wrong: Option<Wrong>,
    /// Whether the story is recorded.
    pub recorded: bool,
    /// Steps with faults.
    pub steps: u32,
    /// Kinds of faults that do not happen.
    pub without: Vec<Kind>,
    /// Kinds of faults beyond those that every run draws from.
    pub later: Vec<Kind>,
}

impl Options {
    /// A seed as every run has it.
    #[must_use]
    pub fn of(seed: u64, wrong: Option<Wrong>, recorded: bool) -> Options {
        Options {
            seed,
            wrong,
            recorded,
            steps: STEPS,
            without: Vec::new(),
            later: Vec::new(),
        }
    }
}

/// Runs a seed, with a wrong rule if one is given.
#[must_use]
pub fn run(seed: u64, wrong: Option<Wrong>, recorded: bool) -> Run {
    run_with(&Options::of(seed, wrong, recorded))
}

/// Runs what `options` say.
#[must_use]
pub fn run_with(options: &Options) -> Run {
    let mut world = match World::new(options) {
        Ok(world) => world,
        Err(error) => {
            return Run {
                result: Err(error.to_string()),
                story: Vec::new(),
            };
        }
    };
    let result = live(&mut world, options.steps);
    Run {
        result: result.map(|()| Figures {
            commits: world.oracle.commits,
            attempts: world.oracle.attempts,
            moves: world.oracle.moves,
            verified: world.oracle.verified,
            bytes: world.net.bytes,
        }),
        story: world.story.lines(),
    }
}

fn live(world: &mut World, steps: u32) -> Result<(), String> {
    for _ in 0..steps {
        world.step(true)?;
    }
    world.heal();
    world
        .story
        .tell(world.now, 2, || "everything is healed".into());
    // What a seal over damage has left behind goes with the second cycle.
    for _ in 0..2 {
        let from = world.oracle.commits;
        live_until(world, |world| world.oracle.commits > from)?;
    }
    // What has rotted is found by a comparison, and by nothing else.
    let from = world.oracle.verified;
    live_until(world, |world| world.oracle.verified > from)?;
    world.check_end()
}

/// Without faults, until `done` and nothing is under way.
fn live_until(world: &mut World, done: impl Fn(&World) -> bool) -> Result<(), String> {
    for _ in 0..STEPS_TO_END {
        if done(world) && !world.busy() {
            return Ok(());
        }
        world.operator.consent = Some(world.operator.epoch);
        world.step(false)?;
    }
    Err(format!(
        "the sides do not come together though everything is healed: {}",
        world.brief()
    ))
}
