//! The table and `summary.json`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::lines::Line;
use crate::meter::{Sample, median};
use crate::peers::ABSENT;

/// What Ferry is called among those who copy.
pub const FERRY: &str = "ferry";

/// How one copier did.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Its runs, one a round.
    Ran(Vec<Sample>),
    /// Why it did not run, or not to the end.
    NotRun(String),
}

/// A line's outcomes by name.
pub struct Done {
    /// The line.
    pub line: &'static Line,
    /// Bytes to ship.
    pub bytes: u64,
    /// Everybody's outcome.
    pub outcomes: Vec<(String, Outcome)>,
}

/// One row of `summary.json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// Which line, or all.
    pub line: String,
    /// What both figures are in.
    pub unit: &'static str,
    /// Ferry's median.
    pub ferry: Option<f64>,
    /// The peer's, or what is compared with.
    pub peer: Option<f64>,
    /// Whose that is.
    pub peer_name: Option<String>,
    /// The median over the rounds of the one by the other.
    pub ratio: Option<f64>,
    /// What is asked, where something is.
    pub goal: Option<String>,
    /// Whether it holds.
    pub holds: Option<bool>,
    /// Why the peer did not run, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

/// Writes the table and the summary of what is done so far.
pub fn write(directory: &Path, done: &[Done], heading: &str) -> Result<()> {
    let measured = done.iter().flat_map(Done::rows);
    let rows: Vec<Row> = measured.chain(ABSENT.iter().map(absent)).collect();
    let mut table = format!("{heading}\n\n");
    for done in done {
        table.push_str(&done.table()?);
    }
    table.push_str(&goals(&rows)?);
    std::fs::write(directory.join("table.md"), &table)?;
    std::fs::write(
        directory.join("summary.json"),
        serde_json::to_string_pretty(&rows)? + "\n",
    )?;
    Ok(())
}

impl Done {
    pub fn samples(&self, name: &str) -> Option<&[Sample]> {
        let (_, outcome) = self.outcomes.iter().find(|(own, _)| own == name)?;
        match outcome {
            Outcome::Ran(samples) if !samples.is_empty() => Some(samples),
            _ => None,
        }
    }

    pub fn ferry(&self) -> Option<&[Sample]> {
        self.samples(FERRY)
    }

    pub fn median(&self, name: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let samples = self.samples(name)?;
        Some(median(samples.iter().map(figure).collect()))
    }

    /// The median over the rounds of Ferry's figure by that of `peer`.
    pub fn ratio(&self, peer: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        self.ratio_of(FERRY, peer, figure)
    }

    pub fn ratio_of(&self, own: &str, peer: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let pairs = self.samples(own)?.iter().zip(self.samples(peer)?);
        let ratios = pairs.map(|(ours, theirs)| figure(ours) / figure(theirs));
        Some(median(ratios.collect()))
    }

    fn peers(&self) -> impl Iterator<Item = &(String, Outcome)> {
        self.outcomes.iter().filter(|(name, _)| name != FERRY)
    }

    fn rows(&self) -> Vec<Row> {
        let goals = self.line.goals.iter().map(|goal| self.judge(*goal));
        let peers = self.peers().flat_map(|(name, outcome)| {
            let not_run = match outcome {
                Outcome::Ran(_) => None,
                Outcome::NotRun(why) => Some(why.clone()),
            };
            let wall = self.compared(name, "s", not_run.clone(), |sample| sample.wall);
            let gib = self.bytes as f64 / (1u64 << 30) as f64;
            let cpu = self.compared(name, "CPU s/GiB", not_run.clone(), |sample| {
                sample.cpu / gib
            });
            std::iter::once(wall).chain((not_run.is_none() && gib > 0.0).then_some(cpu))
        });
        goals.chain(peers).collect()
    }

    /// Ferry's figure beside that of `peer`.
    pub fn compared(
        &self,
        peer: &str,
        unit: &'static str,
        not_run: Option<String>,
        figure: impl Fn(&Sample) -> f64 + Copy,
    ) -> Row {
        Row {
            line: self.line.name.into(),
            unit,
            ferry: self
                .ferry()
                .map(|samples| median(samples.iter().map(figure).collect())),
            peer: self.median(peer, figure),
            peer_name: Some(peer.into()),
            ratio: self.ratio(peer, figure),
            not_run,
            ..Row::default()
        }
    }

    fn table(&self) -> Result<String> {
        let mut out = format!("**{}**: {}\n\n", self.line.name, self.line.what);
        out.push_str("| who | wall s, median (least–most) | CPU s | CPU s/GiB | MiB on the wire | peak MiB | Ferry is × |\n");
        out.push_str("|---|---|---|---|---|---|---|\n");
        let gib = self.bytes as f64 / (1u64 << 30) as f64;
        for (name, outcome) in &self.outcomes {
            let Outcome::Ran(samples) = outcome else {
                continue;
            };
            let figure = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
            let (least, most) = samples
                .iter()
                .fold((f64::MAX, 0.0_f64), |(least, most), one| {
                    (least.min(one.wall), most.max(one.wall))
                });
            let peak = samples.iter().filter_map(|sample| sample.peak).max();
            let peak = peak.map_or("–".into(), |peak| (peak >> 20).to_string());
            let cpu = figure(|sample| sample.cpu);
            let per_gib = if gib > 0.0 {
                format!("{:.2}", cpu / gib)
            } else {
                "–".into()
            };
            writeln!(
                out,
                "| {name} | {:.3} ({least:.3}–{most:.3}) | {cpu:.2} | {per_gib} | {:.2} | {peak} | {:.2} |",
                figure(|sample| sample.wall),
                figure(|sample| sample.wire as f64 / f64::from(1 << 20)),
                self.ratio(name, |sample| sample.wall).unwrap_or(f64::NAN),
            )?;
        }
        out.push('\n');
        for (name, outcome) in &self.outcomes {
            if let Outcome::NotRun(why) = outcome {
                writeln!(out, "- not run: {name}: {why}")?;
            }
        }
        out.push('\n');
        Ok(out)
    }
}

/// A peer that can't be run anywhere.
fn absent((name, why): &(&str, &str)) -> Row {
    Row {
        line: "all".into(),
        unit: "s",
        peer_name: Some((*name).into()),
        not_run: Some((*why).into()),
        ..Row::default()
    }
}

fn goals(rows: &[Row]) -> Result<String> {
    let mut out =
        String::from("| line | Ferry | beside | ratio | goal | |\n|---|---|---|---|---|---|\n");
    let figure = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.3}"));
    for row in rows.iter().filter(|row| row.goal.is_some()) {
        let verdict = match row.holds {
            Some(true) => "holds",
            Some(false) => "**missed**",
            None => "not measured",
        };
        writeln!(
            out,
            "| {} | {} {} | {} {} | {} | {} | {verdict} |",
            row.line,
            figure(row.ferry),
            row.unit,
            row.peer_name.as_deref().unwrap_or(""),
            figure(row.peer),
            figure(row.ratio),
            row.goal.as_deref().unwrap_or(""),
        )?;
    }
    out.push('\n');
    for (name, why) in ABSENT {
        writeln!(out, "- not run: {name}: {why}")?;
    }
    Ok(out)
}
