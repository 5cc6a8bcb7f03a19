//! `make sim`: runs of the simulator by seed, many at once, or one with its story.

use std::process::ExitCode;

use clap::Parser;
use sim::{
    CLUSTER_FAULTS, ClusterFigures, ClusterOptions, DataFault, Focus, Lived, Wrong, first_failing,
    live_all, run_cluster, shows, shrink,
};

/// A third of a run's time would be the allocation of small objects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lives a pair's life by seed.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 5000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Just this seed, with its story; of one that fails, the smallest that still does.
    #[arg(long)]
    seed: Option<u64>,
    /// With a seed that fails: its story as it is, not the smallest that still fails.
    #[arg(long)]
    whole: bool,
    /// What goes wrong: `everything`, only the `cluster`'s own, mostly the `data`'s, or what moves `roles`.
    #[arg(long, default_value = "everything")]
    focus: String,
    /// The first copy is there before anything goes wrong.
    #[arg(long)]
    settled: bool,
    /// Shows for each wrong rule the first seed that notices it; with a text, for those in whose names it
    /// is.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    wrong_rules: Option<String>,
}

impl Args {
    /// How a seed is run.
    ///
    /// # Errors
    /// What is not known.
    fn options(&self) -> Result<ClusterOptions, String> {
        let focus = match self.focus.as_str() {
            "everything" => Focus::Everything,
            "cluster" => Focus::Cluster,
            "data" => Focus::Data,
            "roles" => Focus::Roles,
            other => return Err(format!("there is no focus {other}")),
        };
        Ok(ClusterOptions {
            focus,
            settled: self.settled,
            ..ClusterOptions::default()
        })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = match args.options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match args.seed {
        Some(seed) => tell(seed, options.of(seed), args.whole),
        None => match &args.wrong_rules {
            Some(text) => wrong_rules(&args, text),
            None => many(&args, &options),
        },
    }
}

/// The story of a seed; of one that fails, its smallest.
fn tell(seed: u64, mut options: ClusterOptions, as_it_is: bool) -> ExitCode {
    options.recorded = true;
    let whole = run_cluster(seed, &options);
    let run = match &whole.result {
        _ if as_it_is => whole,
        Ok(_) => whole,
        Err(why) => {
            println!("seed {seed} FAILED: {why}");
            let smallest = shrink(seed, &options);
            println!(
                "the smallest story that still fails: {} steps with {}",
                smallest.steps,
                kinds_left(&smallest)
            );
            run_cluster(seed, &smallest)
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

/// The kinds of faults that a run is left with.
fn kinds_left(options: &ClusterOptions) -> String {
    let data = DataFault::ALL.into_iter();
    let data = data.filter(|kind| !options.without_data.contains(kind));
    let cluster = CLUSTER_FAULTS.into_iter();
    let cluster = cluster.filter(|kind| !options.without.contains(kind));
    let names = data
        .map(|kind| format!("{kind:?}"))
        .chain(cluster.map(|kind| format!("{kind:?}")));
    names.collect::<Vec<_>>().join(", ")
}

/// The seeds that fail, by number, and what all the others have shown.
fn many(args: &Args, options: &ClusterOptions) -> ExitCode {
    let started = std::time::Instant::now();
    let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
    let Lived { figures, failed } = live_all(seeds, |seed| {
        run_cluster(seed, &options.clone().of(seed)).result
    });
    for (seed, why) in failed.iter().take(20) {
        println!("seed {seed} FAILED: {why} (make sim SEED={seed} tells how)");
    }
    let figures = figures.into_iter().fold(ClusterFigures::default(), add);
    let seconds = started.elapsed().as_secs_f64();
    println!("{figures:?} in {seconds:.1} s");
    let passed = args.seeds - failed.len() as u64;
    println!("sim: {passed} passed, {} failed", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn add(mut all: ClusterFigures, figures: ClusterFigures) -> ClusterFigures {
    all.commits += figures.commits;
    all.moves += figures.moves;
    all.starts += figures.starts;
    all.verified += figures.verified;
    all.bytes += figures.bytes;
    all
}

fn wrong_rules(args: &Args, text: &str) -> ExitCode {
    let named = Wrong::all().filter(|wrong| format!("{wrong:?}").contains(text));
    let wanted: Vec<Wrong> = named.collect();
    let first = args.first_seed;
    // One rule is a seed here: they are shared out over the processors.
    let Lived { figures, .. } = live_all(0..wanted.len() as u64, |number| {
        let wrong = wanted[usize::try_from(number).unwrap_or(0)];
        let seeds = first..first.saturating_add(args.seeds);
        let caught = first_failing(seeds, |seed| shows(seed, wrong));
        match &caught {
            Some((seed, why)) => println!("{wrong:?}: seed {seed}: {why}"),
            None => println!("{wrong:?}: NOT NOTICED"),
        }
        Ok(caught.is_none())
    });
    let missed = figures.into_iter().filter(|missed| *missed).count();
    println!(
        "wrong rules: {} passed, {missed} failed",
        wanted.len() - missed
    );
    ExitCode::from(u8::from(missed > 0))
}
