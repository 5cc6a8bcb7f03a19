//! A run: the world that a seed makes, for a while with faults, then without.

use crate::sim::rules::Wrong;
use crate::sim::story::Story;
use crate::sim::world::World;

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

/// Runs a seed, with a wrong rule if one is given.
#[must_use]
pub fn run(seed: u64, wrong: Option<Wrong>, told: bool) -> Run {
    let mut world = match World::new(seed, wrong, Story::new(told)) {
        Ok(world) => world,
        Err(error) => {
            return Run {
                result: Err(error.to_string()),
                story: Vec::new(),
            };
        }
    };
    let result = live(&mut world);
    Run {
        result: result.map(|()| Figures {
            commits: world.oracle.commits,
            attempts: world.oracle.attempts,
            moves: world.oracle.moves,
            bytes: world.net.bytes,
        }),
        story: world.story.lines(),
    }
}

fn live(world: &mut World) -> Result<(), String> {
    for _ in 0..STEPS {
        world.step(true)?;
    }
    world.heal();
    world
        .story
        .tell(world.now, 2, || "everything is healed".into());
    // What a seal over damage has left behind goes with the second cycle.
    for _ in 0..2 {
        let from = world.oracle.commits;
        let mut steps = 0;
        while world.oracle.commits <= from || world.busy() {
            world.operator.consent = Some(world.operator.epoch);
            world.step(false)?;
            steps += 1;
            if steps > STEPS_TO_END {
                return Err("the sides do not come together though everything is healed".into());
            }
        }
    }
    world.check_end()
}
