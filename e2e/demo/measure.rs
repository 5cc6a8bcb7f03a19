//! The figures of `docs/measurements.md`: a 2 GiB volume with 1 % changed, through the whole product.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::v1alpha1::FinishedCycle;

use super::goals;
use super::teller::{bytes, seconds};
use crate::harness::{
    App, Lab, Pair, PairOptions, Scene, content, install, leftovers, memory, secs, writer,
};

/// The measurements' namespace.
const NAMESPACE: &str = "ferry-measure";
/// Runs of each cycle; the table gives the median.
const RUNS: usize = 3;
/// The volume, in MiB.
const VOLUME_MIB: u64 = 2048;
/// Incompressible data in it, in MiB.
const DATA_MIB: u64 = 1536;
/// Random blocks of 4 KiB changed for "1 %".
const CHANGED_BLOCKS: u64 = 3932;
/// A pair that had nothing to do for so long rests.
const REST: Duration = secs(15);
/// The cycles' names.
pub const FULL: &str = "first full copy";
/// See [`FULL`].
pub const ONE_PERCENT: &str = "1 % changed, random 4 KiB";
/// See [`FULL`].
pub const NOTHING: &str = "nothing changed";

/// What was measured.
pub struct Measured {
    /// Each cycle: its name, the bytes that were changed, what the product said of it.
    pub cycles: Vec<(&'static str, i64, FinishedCycle)>,
    /// Movers that still ran when the pair had nothing to do.
    pub idle_pods: usize,
    /// Seconds from the command to the application's first read, planned.
    pub planned_s: f64,
    /// The same, forced.
    pub forced_s: f64,
}

/// Measures, prints the tables, and writes the comparison with what users have today.
///
/// # Errors
/// When the cluster, the product or a check of content fails.
pub async fn measure() -> Result<()> {
    let lab = Lab::connect().await?;
    install::install(&lab).await?;
    let scene = Scene::open(&lab, NAMESPACE, false).await?;
    let sampler = memory::Sampler::start(&lab, NAMESPACE);
    let measured = everything(&scene).await;
    let peaks = sampler.stop().await;
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            println!("{}", crate::harness::dump::dump(&scene).await);
            return Err(error);
        }
    };
    print(&measured, &peaks);
    goals::report(&lab, &measured)?;
    scene.close().await
}

async fn everything(scene: &Scene) -> Result<Measured> {
    let (cycles, idle_pods) = cycles(scene).await?;
    let (planned_s, forced_s) = switches(scene).await?;
    Ok(Measured {
        cycles,
        idle_pods,
        planned_s,
        forced_s,
    })
}

fn print(measured: &Measured, peaks: &memory::Peaks) {
    println!(
        "\n| cycle | seconds | moved | changed | moved / changed | change source | snapshot | pods | handshake | ship | apply | commit |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (name, changed, cycle) in &measured.cycles {
        println!("{}", row(name, *changed, cycle));
    }
    println!("\n| switch | command to the application's first read |\n|---|---|");
    println!("| planned | {:.1} s |", measured.planned_s);
    println!("| forced | {:.1} s |", measured.forced_s);
    println!("\n| peak memory (resident) | |\n|---|---|");
    println!("| operator | {} |", bytes(peaks.operator));
    println!("| mover, source or target | {} |", bytes(peaks.mover));
}

fn row(name: &str, changed: i64, cycle: &FinishedCycle) -> String {
    let ratio = if changed == 0 {
        "–".into()
    } else {
        format!("{:.3}", cycle.wire_bytes as f64 / changed as f64)
    };
    format!(
        "| {name} | {:.2} | {} | {} | {ratio} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        seconds(cycle.total_ms),
        bytes(cycle.wire_bytes),
        bytes(changed),
        cycle.change_source,
        seconds(cycle.snapshot_ms),
        seconds(cycle.start_ms),
        seconds(cycle.handshake_ms),
        seconds(cycle.ship_ms),
        seconds(cycle.apply_ms),
        seconds(cycle.commit_ms),
    )
}

/// A block volume, so that what changed is known to the byte.
async fn cycles(scene: &Scene) -> Result<(Vec<(&'static str, i64, FinishedCycle)>, usize)> {
    scene
        .claim("volume", "fast", &format!("{VOLUME_MIB}Mi"), true)
        .await?;
    writer::open(scene, "volume").await?;
    fill(scene).await?;
    scene.say(&format!("{DATA_MIB} MiB written"));
    let options = PairOptions {
        name: "volume".into(),
        claim: "volume".into(),
        ..PairOptions::orders()
    };
    let pair = Pair::apply(scene, &options).await?;
    let first = pair.baseline().await?;
    content::same_at(&pair, &first.point).await?;
    scene.say(&super::teller::cycle(&first));
    let mut rows = vec![(FULL, i64::try_from(DATA_MIB << 20)?, first)];
    let changed = i64::try_from(CHANGED_BLOCKS * 4096)?;
    rows.push((ONE_PERCENT, changed, median(scene, &pair, true).await?));
    rows.push((NOTHING, 0, median(scene, &pair, false).await?));
    tokio::time::sleep(REST).await;
    let idle_pods = memory::movers(&scene.lab, &scene.namespace).await.len();
    leftovers::only_what_the_pair_owns(&pair).await?;
    pair.api()
        .delete("volume", &kube::api::DeleteParams::default())
        .await?;
    scene.delete_pod(writer::NAME, 0).await?;
    Ok((rows, idle_pods))
}

/// Random data over the first part of the device; the rest stays a hole.
async fn fill(scene: &Scene) -> Result<()> {
    // In parts, since one command may take two minutes at most.
    for part in 0..DATA_MIB / 256 {
        let command = format!(
            "dd if=/dev/urandom of=/dev/volume bs=1M count=256 seek={} conv=fsync",
            part * 256
        );
        writer::write(scene, &command).await?;
    }
    Ok(())
}

/// Random blocks, each at another place in its own slice of the data, and other ones each time.
async fn change(scene: &Scene, salt: usize) -> Result<()> {
    let slice = DATA_MIB * 256 / CHANGED_BLOCKS;
    let command = format!(
        "i=0; while [ $i -lt {CHANGED_BLOCKS} ]; do \
         dd if=/dev/urandom of=/dev/volume bs=4k count=1 \
         seek=$((i * {slice} + (i * 31 + {salt} * 17) % {slice})) conv=notrunc 2>/dev/null; \
         i=$((i + 1)); done; sync"
    );
    writer::write(scene, &command).await
}

async fn median(scene: &Scene, pair: &Pair<'_>, changing: bool) -> Result<FinishedCycle> {
    let mut runs = Vec::new();
    for run in 0..RUNS {
        if changing {
            change(scene, run + 1).await?;
        }
        let cycle = pair.sync().await?;
        scene.say(&super::teller::cycle(&cycle));
        runs.push(cycle);
    }
    if let Some(last) = runs.last() {
        content::same_at(pair, &last.point).await?;
    }
    runs.sort_by_key(|c| c.total_ms);
    runs.into_iter().nth(RUNS / 2).context("no runs")
}

/// Seconds from command to the application's first successful read: planned, then forced.
async fn switches(scene: &Scene) -> Result<(f64, f64)> {
    scene.claim("data", "fast", "256Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(3000, 4096).await?;
    let options = PairOptions::orders().with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    let planned = one_switch(&pair, &app, &["--to", "west", "--yes"]).await?;
    pair.primary_is("west").await?;
    pair.sync().await?;
    // Sites are lost between cycles, most of the time.
    tokio::time::sleep(REST).await;
    let forced = one_switch(&pair, &app, &["--to", "east", "--force", "--yes"]).await?;
    pair.primary_is("east").await?;
    Ok((planned, forced))
}

async fn one_switch(pair: &Pair<'_>, app: &App<'_>, args: &[&str]) -> Result<f64> {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let commanded = i64::try_from(now()?.as_millis())?;
    pair.ferry_ok("promote", args).await?;
    let read = app.opened_at_ms().await?;
    ensure!(read > commanded, "the application was never stopped");
    Ok(seconds(read - commanded))
}
