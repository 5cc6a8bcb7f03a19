//! A run: the cluster that a seed makes, for a while with faults, then without.

use crate::cluster::data_kinds::DataFault;
use crate::cluster::faults::{CLUSTER_FAULTS, ClusterFault};
use crate::cluster::world::World;
use crate::rules::Wrong;
use crate::story::Story;
use mover_core::Rule;
use planner::mutations::Rule as PlannerRule;

/// Steps with faults.
const STEPS: u32 = 1_500;

/// Steps with faults of a life in which a wrong rule is to show.
const STEPS_FOR_RULES: u32 = 2_500;

/// Steps with faults of a life of role changes: some hundreds of them.
const STEPS_OF_ROLES: u32 = 600_000;

/// Steps with faults of a life of role changes in which a wrong rule is to show.
const STEPS_OF_ROLES_FOR_RULES: u32 = 30_000;

/// One life in so many is one of role changes.
const OF_ROLES_ONE_IN: u64 = 1_024;

/// Steps within which both sides are the same once everything is healed, for each page of digests that a
/// volume has.
const STEPS_TO_END: u32 = 20_000;

/// The interval of the cycles once everything is healed.
const INTERVAL_AT_THE_END: &str = "5m";

/// The interval while the sides are compared, which goes on between two cycles: a large volume takes long.
const INTERVAL_TO_COMPARE: &str = "1h";

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
    /// What moves roles, over and over, with nothing else.
    Roles,
}

/// How a seed is run.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Whether the story is recorded.
    pub recorded: bool,
    /// The rule that is broken.
    pub wrong: Option<Wrong>,
    /// What goes wrong.
    pub focus: Focus,
    /// Steps with faults.
    pub steps: u32,
    /// The first copy is there before anything goes wrong.
    pub settled: bool,
    /// Faults of the cluster that happen in any case, and often.
    pub often: Vec<ClusterFault>,
    /// Faults of the data that happen in any case, and often.
    pub often_data: Vec<DataFault>,
    /// The application writes little, over and over, on storage that lists no changes.
    pub rewrites: bool,
    /// Faults of the cluster that do not happen.
    pub without: Vec<ClusterFault>,
    /// Faults of the data that do not happen.
    pub without_data: Vec<DataFault>,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            recorded: false,
            wrong: None,
            focus: Focus::Everything,
            steps: STEPS,
            settled: false,
            often: Vec::new(),
            often_data: Vec::new(),
            rewrites: false,
            without: Vec::new(),
            without_data: Vec::new(),
        }
    }
}

impl ClusterOptions {
    /// Those of a seed: what goes wrong in most lives, and in a few the role moves over and over.
    #[must_use]
    pub fn of(self, seed: u64) -> ClusterOptions {
        let roles = seed % OF_ROLES_ONE_IN == OF_ROLES_ONE_IN - 1;
        match self.focus {
            Focus::Everything if roles => self.moving_roles(),
            _ => self,
        }
    }

    fn moving_roles(self) -> ClusterOptions {
        ClusterOptions {
            focus: Focus::Roles,
            steps: STEPS_OF_ROLES,
            settled: true,
            ..self
        }
    }

    /// Those of a life with a broken rule, in which what the rule is about happens often.
    #[must_use]
    pub fn breaking(wrong: Wrong) -> ClusterOptions {
        let of_roles = matches!(
            wrong,
            Wrong::Mover(Rule::ConsentForAnyEpoch | Rule::LowerEpochAdmitted)
                | Wrong::Planner(PlannerRule::StaleRequestCounts)
        );
        if of_roles {
            let repeat = wrong == Wrong::Mover(Rule::LowerEpochAdmitted);
            return ClusterOptions {
                wrong: Some(wrong),
                often_data: repeat.then_some(DataFault::Repeat).into_iter().collect(),
                steps: STEPS_OF_ROLES_FOR_RULES,
                ..ClusterOptions::default().moving_roles()
            };
        }
        ClusterOptions {
            wrong: Some(wrong),
            steps: STEPS_FOR_RULES,
            settled: true,
            // Digests that are lost show in many cycles that nothing else disturbs.
            without: match wrong {
                Wrong::Mover(Rule::DigestsUnproved) => CLUSTER_FAULTS.to_vec(),
                _ => Vec::new(),
            },
            focus: match wrong {
                Wrong::Planner(_) | Wrong::Mover(Rule::DigestsUnproved) => Focus::Cluster,
                _ => Focus::Data,
            },
            often: match wrong {
                Wrong::Mover(Rule::PromotesUncommitted) => vec![ClusterFault::ForcedMeanwhile],
                _ => Vec::new(),
            },
            often_data: match wrong {
                Wrong::Mover(Rule::DigestsUnproved) => vec![DataFault::LostStateWrite],
                Wrong::Mover(Rule::ForgetsAfterError) => vec![DataFault::DiskError],
                Wrong::FullIgnored => vec![DataFault::VolumeFull],
                _ => Vec::new(),
            },
            rewrites: wrong == Wrong::Mover(Rule::DigestsUnproved),
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
        let often = world.set_interval(INTERVAL_AT_THE_END);
        live_until(world, |world| world.oracle.commits > 0)?;
        world.set_interval(&often);
    }
    for _ in 0..steps {
        world.step(true)?;
    }
    world.heal();
    world.server.storage.short_clone = false;
    world.set_interval(INTERVAL_AT_THE_END);
    let now = world.millis();
    world.story.tell(now, 2, || "everything is healed".into());
    // What is left over goes with the second cycle.
    for _ in 0..2 {
        let from = world.oracle.commits;
        live_until(world, |world| world.oracle.commits > from)?;
    }
    // What has rotted is found by a comparison, and by nothing else.
    world.set_interval(INTERVAL_TO_COMPARE);
    world.want_comparison();
    rest_until(world, false, |world| {
        world.is_compared() || world.finds_its_cut_rotten()
    })?;
    if !world.is_compared() {
        // The primary's cut is what has rotted: the next one is made of the volume, which has not.
        world.set_interval(INTERVAL_AT_THE_END);
        let from = world.oracle.commits;
        live_until(world, |world| world.oracle.commits > from)?;
        world.set_interval(INTERVAL_TO_COMPARE);
        rest_until(world, false, World::is_compared)?;
    }
    world.check_end()
}

impl World {
    /// Sets the interval of the cycles; what it was.
    fn set_interval(&mut self, interval: &str) -> String {
        let mut before = String::new();
        self.edit(|spec| before = std::mem::replace(&mut spec.snapshot.interval, interval.into()));
        before
    }
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
    for step in 0..STEPS_TO_END * world.pages {
        // While something is awaited the clock does not skip over the moment at which nothing is under way.
        world.time_creeps = done(world);
        if world.time_creeps && !world.is_busy() {
            world.time_creeps = false;
            return Ok(());
        }
        world.consent_where_held();
        world.look_after_claim();
        world.strangers_go();
        world.follow_swapped();
        // A cycle in which nothing has changed is not committed.
        written = written || (!world.is_moving() && world.app_writes());
        if step == STEPS_TO_WITHDRAW && world.is_moving() {
            world.withdraw();
        }
        world.step(false)?;
    }
    world.tell_what_is_there();
    let waits = world.status().waiting.as_ref();
    let waits = waits.map(|waiting| waiting.what.as_str());
    Err(format!(
        "the pair does not come to rest though everything is healed: {:?}, it waits for {waits:?}",
        world.under_way()
    ))
}
