//! The product beside what a user has today: the figures, their ratio, and whether the goal is met.
//!
//! The peer can't be installed from package registries. Its figures are those that it reached on the
//! same kind of cluster, with the same volume and the same changes, on 2026-11-21; only ours are
//! taken in this run.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::measure::{FULL, Measured, NOTHING, ONE_PERCENT};
use super::teller::seconds;
use crate::harness::Lab;

/// Where the comparison is written, below the top folder.
const SUMMARY: &str = "target/bench/cluster.json";
/// Bytes of a megabyte, as the figures are given.
const MB: f64 = 1e6;
const FILES: &str = "VolSync rsync-tls, file system";
const BLOCK: &str = "VolSync rsync-tls, block";

/// One figure: what it is, ours, the peer's, and the most that ours may be.
struct Line {
    what: String,
    ours: f64,
    peer: f64,
    peer_name: &'static str,
    goal: f64,
}

/// Prints the comparison and writes it to `target/bench/cluster.json`.
///
/// # Errors
/// When a cycle is missing or the file can't be written.
pub fn report(lab: &Lab, measured: &Measured) -> Result<()> {
    let lines = lines(measured)?;
    println!("\n| on a real cluster | Ferry | peer | | ratio | goal | |");
    println!("|---|---|---|---|---|---|---|");
    for line in &lines {
        println!(
            "| {} | {:.3} | {} | {} | {} | ≤ {} | {} |",
            line.what,
            line.ours,
            line.peer,
            line.peer_name,
            line.ratio()
                .map_or("–".into(), |ratio| format!("{ratio:.2}")),
            line.goal,
            if line.holds() { "holds" } else { "missed" },
        );
    }
    let path = lab.root.join(SUMMARY);
    let folder = path.parent().context("the summary has no folder")?;
    std::fs::create_dir_all(folder)?;
    let rows: Vec<Value> = lines.iter().map(Line::json).collect();
    std::fs::write(&path, serde_json::to_string_pretty(&rows)?)?;
    println!("\nwritten to {SUMMARY}");
    Ok(())
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        (self.peer > 0.0).then(|| self.ours / self.peer)
    }

    fn holds(&self) -> bool {
        self.ours <= self.goal
    }

    fn json(&self) -> Value {
        json!({"line": self.what, "ferry": self.ours, "peer": self.peer,
            "peer_name": self.peer_name, "ratio": self.ratio(), "goal": self.goal,
            "holds": self.holds()})
    }
}

fn lines(measured: &Measured) -> Result<Vec<Line>> {
    // Name, then the faster peer's seconds, the thriftier one's megabytes, and our two goals.
    let cycles = [
        (FULL, 18.3, FILES, 1617.0, FILES, 9.0, 1530.0),
        (ONE_PERCENT, 16.6, FILES, 92.0, FILES, 4.0, 17.0),
        (NOTHING, 9.7, FILES, 0.002, BLOCK, 2.5, 0.06),
    ];
    let mut lines = Vec::new();
    for (name, peer_s, peer, peer_mb, thrifty, goal_s, goal_mb) in cycles {
        let found = measured.cycles.iter().find(|(known, ..)| *known == name);
        let (_, _, cycle) = found.with_context(|| format!("no cycle {name:?} was measured"))?;
        lines.push(Line {
            what: format!("{name}, s"),
            ours: seconds(cycle.total_ms),
            peer: peer_s,
            peer_name: peer,
            goal: goal_s,
        });
        lines.push(Line {
            what: format!("{name}, MB"),
            ours: cycle.wire_bytes as f64 / MB,
            peer: peer_mb,
            peer_name: thrifty,
            goal: goal_mb,
        });
    }
    lines.push(Line {
        what: "forced failover, command to first read, s".into(),
        ours: measured.forced_s,
        peer: 1.3,
        peer_name: BLOCK,
        goal: 1.5,
    });
    lines.push(Line {
        what: "pods that stay while nothing happens".into(),
        ours: measured.idle_pods as f64,
        peer: 1.0,
        peer_name: FILES,
        goal: 0.0,
    });
    Ok(lines)
}
