//! `make sim`: runs of the simulator by seed, many at once, or one with its story.

use std::process::ExitCode;

use clap::Parser;
use sim::{Figures, Kind, Lived, Options, Wrong, first_failing, live_all, run, run_with, shrink};

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
    let started = std::time::Instant::now();
    let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
    let Lived { figures, failed } =
        live_all(seeds, |seed| run_with(&args.options(seed, wrong)).result);
    for (seed, why) in failed.iter().take(20) {
        println!("seed {seed} FAILED: {why} (make sim SEED={seed} tells how)");
    }
    let figures = figures.into_iter().fold(Figures::default(), add);
    let seconds = started.elapsed().as_secs_f64();
    let passed = args.seeds - failed.len() as u64;
    println!("{figures:?} in {seconds:.1} s");
    println!("sim: {passed} passed, {} failed", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn add(mut all: Figures, figures: Figures) -> Figures {
    all.commits += figures.commits;
    all.attempts += figures.attempts;
    all.moves += figures.moves;
    all.verified += figures.verified;
    all.bytes += figures.bytes;
    all
}

fn wrong_rules(args: &Args) -> ExitCode {
    let mut missed = 0;
    for wrong in Wrong::ALL {
        let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
        let caught = first_failing(seeds, |seed| run(seed, Some(wrong), false).result);
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
