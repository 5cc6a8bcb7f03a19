//! Runs stories: those that can, side by side; then, one by one, those that disturb the cluster.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{FutureExt, StreamExt, stream};

use super::{Story, all};
use crate::harness::{Lab, Scene, dump, install, leftovers, operator};

/// Longest time of one story; each of its waits is shorter.
const STORY_LIMIT: Duration = Duration::from_secs(420);

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only stories whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// List the stories and what they prove.
    #[arg(long)]
    list: bool,
    /// Stories side by side, of those that don't disturb the cluster.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Use Ferry as it is installed.
    #[arg(long)]
    no_install: bool,
    /// Leave the namespaces of stories that failed.
    #[arg(long)]
    keep: bool,
}

/// Runs them; the answer is whether all passed.
///
/// # Errors
/// When the cluster can't be reached or Ferry can't be installed.
pub async fn run(args: Args) -> Result<bool> {
    let chosen: Vec<Story> = all()
        .into_iter()
        .filter(|s| args.only.is_empty() || args.only.iter().any(|part| s.name.contains(part)))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no story is called {:?}; --list names them",
        args.only
    );
    if args.list {
        for story in &chosen {
            println!("{:<20} {}", story.name, story.proves.join(" "));
        }
        return Ok(true);
    }
    let lab = Lab::connect().await?;
    if !args.no_install {
        install::install(&lab).await?;
    }
    let loops = leftovers::loop_devices()?;
    let (alone, beside): (Vec<Story>, Vec<Story>) = chosen.into_iter().partition(|s| s.alone);
    let tally = Mutex::new((0_u32, 0_u32));
    let many = beside.len() > 1 && args.jobs > 1;
    stream::iter(&beside)
        .for_each_concurrent(args.jobs, |story| one(&lab, story, many, args.keep, &tally))
        .await;
    for story in &alone {
        one(&lab, story, false, args.keep, &tally).await;
    }
    let (passed, mut failed) = tally.into_inner().unwrap_or_default();
    for (what, outcome) in after_all(&lab, loops, args.keep || failed > 0).await {
        match outcome {
            Ok(()) => println!("after all: {what} … ok"),
            Err(error) => {
                println!("after all: {what} … FAILED\n{error:#}");
                failed += 1;
            }
        }
    }
    println!("stories: {passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// What must hold when all is over. Volumes may still be there when a story has failed.
async fn after_all(lab: &Lab, loops: usize, kept: bool) -> Vec<(&'static str, Result<()>)> {
    let restarts = operator::restarts(lab).await;
    let never_crashed = restarts.and_then(|count| {
        ensure!(
            count == 0,
            "the operator's container was restarted {count} times"
        );
        Ok(())
    });
    let mut outcomes = vec![("the operator never crashed", never_crashed)];
    if !kept {
        let freed = leftovers::no_more_loop_devices(loops).await;
        outcomes.push(("no loop device is left", freed));
    }
    outcomes
}

async fn one(lab: &Lab, story: &Story, quiet: bool, keep: bool, tally: &Mutex<(u32, u32)>) {
    let start = Instant::now();
    let namespace = format!("story-{}", story.name.replace('_', "-"));
    let outcome = live(lab, story, &namespace, quiet, keep).await;
    let took = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(()) => println!("story {} … ok ({took:.1} s)", story.name),
        Err(error) => println!("story {} … FAILED ({took:.1} s)\n{error:#}", story.name),
    }
    if let Ok(mut tally) = tally.lock() {
        let slot = if outcome.is_ok() {
            &mut tally.0
        } else {
            &mut tally.1
        };
        *slot += 1;
    }
}

async fn live(lab: &Lab, story: &Story, namespace: &str, quiet: bool, keep: bool) -> Result<()> {
    let scene = Scene::open(lab, namespace, quiet).await?;
    let run = std::panic::AssertUnwindSafe((story.run)(&scene)).catch_unwind();
    let outcome = match tokio::time::timeout(STORY_LIMIT, run).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(anyhow::anyhow!("it panicked")),
        Err(_) => Err(anyhow::anyhow!("it takes longer than {STORY_LIMIT:?}")),
    };
    if outcome.is_err() {
        let text = dump::dump(&scene).await;
        println!(
            "==== {} failed; this is what there was\n{text}====",
            story.name
        );
        if keep {
            return outcome;
        }
    }
    let closed = scene.close().await.context("cleaning up after the story");
    let clean = leftovers::no_snapshot_contents(&scene).await;
    outcome.and(closed).and(clean)
}
