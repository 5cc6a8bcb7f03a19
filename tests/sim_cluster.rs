//! `make sim`, the cluster's half: the planner on a simulated API server, by seed.

use std::process::ExitCode;

use clap::Parser;
use planner::mutations::Rule;
use sim::{
    ClusterFault, ClusterFigures, ClusterOptions, LATER, Lived, Wrong, first_failing, live_all,
    run_cluster,
};

/// Runs the planner on a simulated cluster.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 5000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Just this seed, with its story.
    #[arg(long)]
    seed: Option<u64>,
    /// A fault that the planner does not live through yet, by name.
    #[arg(long)]
    later: Option<String>,
    /// Shows for each wrong rule of planner and mover the first seed that notices it; with a text, for
    /// those in whose names it is.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    wrong_rules: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let later = match &args.later {
        None => None,
        Some(name) => match LATER.iter().find(|later| format!("{later:?}") == *name) {
            Some(later) => Some(*later),
            None => {
                eprintln!("there is no such fault; there are {LATER:?}");
                return ExitCode::from(2);
            }
        },
    };
    match args.seed {
        Some(seed) => tell(seed, later),
        None => match &args.wrong_rules {
            Some(text) => wrong_rules(&args, text),
            None => many(&args, later),
        },
    }
}

fn tell(seed: u64, later: Option<ClusterFault>) -> ExitCode {
    let run = run_cluster(
        seed,
        ClusterOptions {
            recorded: true,
            later,
            ..ClusterOptions::default()
        },
    );
    for line in run.story {
        println!("{line}");
    }
    match run.result {
        Ok(figures) => {
            println!("seed {seed} keeps its promises: {figures:?}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed} FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The seeds that fail, by number, and what all the others have shown.
fn many(args: &Args, later: Option<ClusterFault>) -> ExitCode {
    let started = std::time::Instant::now();
    let options = ClusterOptions {
        later,
        ..ClusterOptions::default()
    };
    let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
    let Lived { figures, failed } = live_all(seeds, |seed| run_cluster(seed, options).result);
    for (seed, why) in failed.iter().take(20) {
        println!("seed {seed} FAILED: {why} (make sim CLUSTER_SEED={seed} tells how)");
    }
    let figures = figures.into_iter().fold(ClusterFigures::default(), add);
    let seconds = started.elapsed().as_secs_f64();
    println!("{figures:?} in {seconds:.1} s");
    let passed = args.seeds - failed.len() as u64;
    println!("sim cluster: {passed} passed, {} failed", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn add(mut all: ClusterFigures, figures: ClusterFigures) -> ClusterFigures {
    all.commits += figures.commits;
    all.moves += figures.moves;
    all.starts += figures.starts;
    all
}

fn wrong_rules(args: &Args, text: &str) -> ExitCode {
    let planner = Rule::ALL.into_iter().map(|rule| {
        let options = ClusterOptions {
            broken: Some(rule),
            calm: true,
            ..ClusterOptions::default()
        };
        (format!("planner: {rule:?}"), options)
    });
    let mover = Wrong::ALL.into_iter().map(|wrong| {
        let options = ClusterOptions {
            wrong: Some(wrong),
            ..ClusterOptions::default()
        };
        (format!("mover: {wrong:?}"), options)
    });
    let mut missed = 0;
    let all = planner.chain(mover).filter(|(name, _)| name.contains(text));
    for (name, options) in all {
        let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
        let caught = first_failing(seeds, |seed| run_cluster(seed, options).result);
        match caught {
            Some((seed, why)) => println!("{name}: seed {seed}: {why}"),
            None => {
                println!("{name}: NOT NOTICED");
                missed += 1;
            }
        }
    }
    ExitCode::from(u8::from(missed > 0))
}
