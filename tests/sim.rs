//! `make sim`: runs of the simulator by seed, many at once, or one with its story.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use sim::{Figures, Kind, Options, Wrong, run, run_with, shrink};

/// Runs the simulator.
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
    /// Shows for each wrong rule the first seed that notices it.
    #[arg(long)]
    wrong_rules: bool,
    /// The wrong rule to live by, by name.
    #[arg(long)]
    wrong: Option<String>,
    /// With the kinds of faults that the product does not survive yet.
    #[arg(long)]
    later: bool,
}

impl Args {
    fn options(&self, seed: u64, wrong: Option<Wrong>) -> Options {
        let mut options = Options::of(seed, wrong, false);
        if self.later {
            options.later.extend(Kind::LATER);
        }
        options
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let wrong = args.wrong.as_ref().and_then(|name| {
        Wrong::ALL
            .into_iter()
            .find(|wrong| format!("{wrong:?}") == *name)
    });
    if args.wrong.is_some() && wrong.is_none() {
        eprintln!("there is no such wrong rule; there are {:?}", Wrong::ALL);
        return ExitCode::from(2);
    }
    match args.seed {
        Some(seed) => tell(args.options(seed, wrong)),
        None if args.wrong_rules => wrong_rules(&args),
        None => many(&args, wrong),
    }
}

/// The story of a seed; of one that fails, its smallest.
fn tell(mut options: Options) -> ExitCode {
    options.recorded = true;
    let (seed, whole) = (options.seed, run_with(&options));
    let run = match &whole.result {
        Ok(_) => whole,
        Err(why) => {
            println!("seed {seed} FAILED: {why}");
            let smallest = shrink(&options);
            let kinds = Kind::ALL
                .iter()
                .filter(|kind| !smallest.without.contains(kind));
            println!(
                "the smallest story that still fails: {} steps with {:?}",
                smallest.steps,
                kinds.collect::<Vec<_>>()
            );
            run_with(&smallest)
        }
    };
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

/// The first seed that fails, by number, and what all the others have shown.
fn many(args: &Args, wrong: Option<Wrong>) -> ExitCode {
    let next = AtomicU64::new(args.first_seed);
    let end = args.first_seed.saturating_add(args.seeds);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let all: Mutex<Figures> = Mutex::default();
    let started = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome =
                        std::panic::catch_unwind(|| run_with(&args.options(seed, wrong)).result);
                    match outcome.unwrap_or_else(|_| Err("it panicked".into())) {
                        Ok(figures) => add(&all, figures),
                        Err(why) => push(&failed, (seed, why)),
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_unstable();
    for (seed, why) in failed.iter().take(20) {
        println!("seed {seed} FAILED: {why} (make sim SEED={seed} tells how)");
    }
    let figures = all.into_inner().unwrap_or_default();
    let seconds = started.elapsed().as_secs_f64();
    let passed = args.seeds - failed.len() as u64;
    println!("{figures:?} in {seconds:.1} s");
    println!("sim: {passed} passed, {} failed", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn add(all: &Mutex<Figures>, figures: Figures) {
    if let Ok(mut all) = all.lock() {
        all.commits += figures.commits;
        all.attempts += figures.attempts;
        all.moves += figures.moves;
        all.verified += figures.verified;
        all.bytes += figures.bytes;
    }
}

fn push(failed: &Mutex<Vec<(u64, String)>>, one: (u64, String)) {
    if let Ok(mut failed) = failed.lock() {
        failed.push(one);
    }
}

fn wrong_rules(args: &Args) -> ExitCode {
    let mut missed = 0;
    for wrong in Wrong::ALL {
        let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
        let caught = seeds
            .into_iter()
            .find_map(|seed| Some((seed, run(seed, Some(wrong), false).result.err()?)));
        match caught {
            Some((seed, why)) => println!("{wrong:?}: seed {seed}: {why}"),
            None => {
                println!("{wrong:?}: NOT NOTICED");
                missed += 1;
            }
        }
    }
    ExitCode::from(u8::from(missed > 0))
}
