//! What a run is measured by: wall time, CPU time of both ends, bytes on the wire, peak memory.

use std::time::Instant;

use anyhow::{Context, Result};

/// What Linux counts CPU time in, as it shows it.
const TICKS_PER_SECOND: f64 = 100.0;

/// One run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Seconds from the order to the end of what is durable at the target.
    pub wall: f64,
    /// Seconds of CPU of both ends, the ends' start included.
    pub cpu: f64,
    /// Bytes that crossed loopback, in both directions, with all headers.
    pub wire: u64,
    /// The most memory that one of the ends had resident, where it is known, in bytes.
    pub peak: Option<u64>,
}

/// Measures one run. CPU counts from the meter's making to its end, so that every process that was
/// started after the one and waited for before the other is in it.
pub struct Meter {
    cpu: f64,
    started: Option<(Instant, u64)>,
    sample: Sample,
}

impl Meter {
    /// Begins before the ends are started.
    pub fn begin() -> Result<Meter> {
        Ok(Meter {
            cpu: cpu_seconds()?,
            started: None,
            sample: Sample::default(),
        })
    }

    /// The ends are up, the work begins.
    pub fn start(&mut self) -> Result<()> {
        self.started = Some((Instant::now(), wire_bytes()?));
        Ok(())
    }

    /// What was to be copied is durable at the target.
    pub fn stop(&mut self) -> Result<()> {
        let (started, wire) = self.started.context("the meter was not started")?;
        self.sample.wall = started.elapsed().as_secs_f64();
        self.sample.wire = wire_bytes()? - wire;
        Ok(())
    }

    /// Notes the peak of one of the ends.
    pub fn peak(&mut self, pid: u32) -> Result<()> {
        let peak = peak_bytes(pid)?;
        self.sample.peak = Some(self.sample.peak.unwrap_or_default().max(peak));
        Ok(())
    }

    /// The ends are gone.
    pub fn end(mut self) -> Result<Sample> {
        self.sample.cpu = cpu_seconds()? - self.cpu;
        Ok(self.sample)
    }
}

/// CPU of this process and of those that it has waited for.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("/proc/self/stat is odd")?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Bytes that loopback of this network namespace has sent; nobody else uses it.
fn wire_bytes() -> Result<u64> {
    let devices = std::fs::read_to_string("/proc/self/net/dev")?;
    let lo = devices
        .lines()
        .find_map(|line| line.trim().strip_prefix("lo:"))
        .context("there is no loopback")?;
    let sent = lo.split_whitespace().nth(8).context("lo has no counters")?;
    Ok(sent.parse()?)
}

fn peak_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("the process has no peak")?;
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// The middle of some figures; of an even number the mean of both in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => figures[half],
        _ => f64::midpoint(figures[half - 1], figures[half]),
    }
}
