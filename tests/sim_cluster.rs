//! `make sim`, the cluster's half: the planner on a simulated API server, by seed.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use sim::{ClusterFault, ClusterFigures, ClusterOptions, LATER, run_cluster};

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
        None => many(&args, later),
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
    let next = AtomicU64::new(args.first_seed);
    let end = args.first_seed.saturating_add(args.seeds);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let all: Mutex<ClusterFigures> = Mutex::default();
    let started = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let live = |seed: u64| {
        let options = ClusterOptions {
            recorded: false,
            later,
            ..ClusterOptions::default()
        };
        let run = std::panic::catch_unwind(|| run_cluster(seed, options).result);
        match run.unwrap_or_else(|_| Err("it panicked".into())) {
            Ok(figures) => {
                if let Ok(mut all) = all.lock() {
                    all.commits += figures.commits;
                    all.moves += figures.moves;
                    all.starts += figures.starts;
                }
            }
            Err(why) => {
                if let Ok(mut failed) = failed.lock() {
                    failed.push((seed, why));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    live(seed);
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_unstable();
    for (seed, why) in failed.iter().take(20) {
        println!("seed {seed} FAILED: {why} (make sim CLUSTER_SEED={seed} tells how)");
    }
    let figures = all.into_inner().unwrap_or_default();
    let seconds = started.elapsed().as_secs_f64();
    println!("{figures:?} in {seconds:.1} s");
    let passed = args.seeds - failed.len() as u64;
    println!("sim cluster: {passed} passed, {} failed", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}
