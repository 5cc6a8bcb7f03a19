//! The table and `summary.json`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::lines::{Goal, Line};
use crate::meter::{Sample, median};
use crate::peers::ABSENT;

/// How one copier did.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Its runs, one a round.
    Ran(Vec<Sample>),
    /// Why it did not run, or not to the end.
    NotRun(String),
}

/// A line's outcomes by name; Ferry's is the first.
pub struct Done {
    /// The line.
    pub line: &'static Line,
    /// Bytes to ship.
    pub bytes: u64,
    /// Everybody's outcome.
    pub outcomes: Vec<(String, Outcome)>,
}

/// One row of `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    line: String,
    unit: &'static str,
    ferry: Option<f64>,
    peer: Option<f64>,
    peer_name: Option<String>,
    ratio: Option<f64>,
    goal: Option<String>,
    holds: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<String>,
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
    fn samples(&self, name: &str) -> Option<&[Sample]> {
        let (_, outcome) = self.outcomes.iter().find(|(own, _)| own == name)?;
        match outcome {
            Outcome::Ran(samples) if !samples.is_empty() => Some(samples),
            _ => None,
        }
    }

    fn ferry(&self) -> Option<&[Sample]> {
        let (name, _) = self.outcomes.first()?;
        self.samples(name)
    }

    fn median(&self, name: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let samples = self.samples(name)?;
        Some(median(samples.iter().map(figure).collect()))
    }

    /// The fastest of these that ran.
    fn fastest<'a>(&self, of: &[&'a str]) -> Option<&'a str> {
        let ran = of.iter().filter(|name| self.samples(name).is_some());
        ran.copied().min_by(|a, b| {
            let wall = |name| self.median(name, |sample| sample.wall).unwrap_or(f64::MAX);
            wall(a).total_cmp(&wall(b))
        })
    }

    /// The median over the rounds of Ferry's figure by that of `peer`.
    fn ratio(&self, peer: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let pairs = self.ferry()?.iter().zip(self.samples(peer)?);
        Some(median(
            pairs
                .map(|(ours, theirs)| figure(ours) / figure(theirs))
                .collect(),
        ))
    }

    fn rows(&self) -> Vec<Row> {
        let goals = self.line.goals.iter().map(|goal| self.judge(*goal));
        let peers = self.outcomes.iter().skip(1).flat_map(|(name, outcome)| {
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

    fn compared(
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
            goal: None,
            holds: None,
            not_run,
        }
    }

    fn judge(&self, goal: Goal) -> Row {
        let wall = |sample: &Sample| sample.wall;
        let wire = |sample: &Sample| sample.wire as f64;
        let alone = |unit, figure: &dyn Fn(&Sample) -> f64| Row {
            line: self.line.name.into(),
            unit,
            ferry: self
                .ferry()
                .map(|samples| median(samples.iter().map(figure).collect())),
            peer: None,
            peer_name: None,
            ratio: None,
            goal: None,
            holds: None,
            not_run: None,
        };
        let against = |peers| match self.fastest(peers) {
            Some(peer) => self.compared(peer, "s", None, wall),
            None => alone("s", &wall),
        };
        match goal {
            Goal::WallRatio(most, peers) => {
                let row = against(peers);
                let holds = row.ratio.map(|ratio| ratio <= most);
                row.with(format!("ratio ≤ {most}"), holds)
            }
            Goal::SpeedShare(least, peers) => {
                let mut row = against(peers);
                row.ratio = row.ratio.map(|ratio| 1.0 / ratio);
                let holds = row.ratio.map(|ratio| ratio >= least);
                row.with(format!("speed ≥ {least}"), holds)
            }
            Goal::WireRatio(most) => {
                let mut row = alone("bytes", &wire);
                row.peer = Some(self.bytes as f64);
                row.peer_name = Some("changed bytes".into());
                row.ratio = row.ferry.map(|ferry| ferry / self.bytes as f64);
                let holds = row.ratio.map(|ratio| ratio <= most);
                row.with(format!("ratio ≤ {most}"), holds)
            }
            Goal::LineRate(least) => {
                let mut row = alone("bytes/s", &|sample| self.bytes as f64 / sample.wall);
                row.peer = self.line.link.map(|link| link.rate);
                row.peer_name = row.peer.map(|_| "the link".into());
                row.ratio = row.ferry.zip(row.peer).map(|(ferry, link)| ferry / link);
                let holds = row.ratio.map(|ratio| ratio >= least);
                row.with(format!("speed ≥ {least}"), holds)
            }
            Goal::Wall(most) => {
                let row = alone("s", &wall);
                let holds = row.ferry.map(|ferry| ferry <= most);
                row.with(format!("≤ {most} s"), holds)
            }
            Goal::Wire(most) => {
                let row = alone("bytes", &wire);
                let holds = row.ferry.map(|ferry| ferry <= most);
                row.with(format!("≤ {most} bytes"), holds)
            }
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

impl Row {
    fn with(self, goal: String, holds: Option<bool>) -> Row {
        Row {
            goal: Some(goal),
            holds,
            ..self
        }
    }
}

/// A peer that can't be run anywhere.
fn absent((name, why): &(&str, &str)) -> Row {
    Row {
        line: "all".into(),
        unit: "s",
        ferry: None,
        peer: None,
        peer_name: Some((*name).into()),
        ratio: None,
        goal: None,
        holds: None,
        not_run: Some((*why).into()),
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
