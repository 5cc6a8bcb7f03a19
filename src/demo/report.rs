//! What the demo says: a line or two for each step, or JSON.

use std::time::Instant;

use anyhow::{Result, ensure};
use bytesize::ByteSize;
use serde::Serialize;

use wire::control::{CycleReport, MoverStatus};

/// One step, done.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What happened.
    pub title: String,
    /// How the data went, where data went.
    pub moved: Option<Moved>,
    /// What else there is to say.
    pub notes: Vec<String>,
    /// BLAKE3 of both copies, where they were compared. They were equal.
    pub equal: Option<String>,
    /// Milliseconds that the step took.
    pub took_ms: u128,
}

/// How data went.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// Bytes that the application has changed.
    pub changed_bytes: u64,
    /// Bytes on the wire, both directions, before encryption.
    pub wire_bytes: u64,
    /// Bytes of data in the change set.
    pub data_bytes: u64,
    /// Bytes of zeros in the change set.
    pub zero_bytes: u64,
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// The change source.
    pub change_source: String,
    /// Why that change source.
    pub change_source_reason: String,
    /// What the handshake decided.
    pub decision: String,
}

/// The steps so far.
#[derive(Debug)]
pub struct Report {
    json: bool,
    started: Instant,
    step_started: Instant,
    steps: Vec<Step>,
}

impl Report {
    /// A report that prints lines, or with `json` one document at the end.
    #[must_use]
    pub fn new(json: bool) -> Report {
        Report {
            json,
            started: Instant::now(),
            step_started: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// A step begins.
    pub fn begin(&mut self) {
        self.step_started = Instant::now();
    }

    /// A step is done.
    pub fn done(
        &mut self,
        title: &str,
        moved: Option<Moved>,
        notes: Vec<String>,
        equal: Option<String>,
    ) {
        let step = Step {
            title: title.into(),
            moved,
            notes,
            equal,
            took_ms: self.step_started.elapsed().as_millis(),
        };
        if !self.json {
            print(self.steps.len() + 1, &step);
        }
        self.steps.push(step);
    }

    /// The end: the whole document, or a last line.
    ///
    /// # Errors
    /// When the document can't be made.
    pub fn finish(&self) -> Result<()> {
        let took = self.started.elapsed();
        if self.json {
            let document = serde_json::json!({
                "ok": true,
                "took_ms": took.as_millis(),
                "steps": self.steps,
            });
            println!("{}", serde_json::to_string_pretty(&document)?);
        } else {
            println!(
                "\n{} steps in {:.1} s, every copy checked by content.",
                self.steps.len(),
                took.as_secs_f64()
            );
        }
        Ok(())
    }
}

impl Moved {
    /// What a cycle moved for `changed_bytes` of change.
    #[must_use]
    pub fn of(changed_bytes: u64, report: &CycleReport, status: &MoverStatus) -> Moved {
        Moved {
            changed_bytes,
            wire_bytes: report.wire_bytes,
            data_bytes: report.data_bytes,
            zero_bytes: report.zero_bytes,
            read_bytes: report.read_bytes,
            change_source: format!("{:?}", report.change_source),
            change_source_reason: status
                .change_source
                .as_ref()
                .map_or(String::new(), |used| used.reason.clone()),
            decision: status.decision.as_ref().map_or(String::new(), |decision| {
                format!("{:?}: {}", decision.mode, decision.reason)
            }),
        }
    }
}

/// Fails unless both digests are the same; gives back the digest.
///
/// # Errors
/// When they differ.
pub fn equal(what: &str, ours: (u64, String), theirs: (u64, String)) -> Result<String> {
    ensure!(
        ours == theirs,
        "{what}: the copies differ: {} bytes with {} against {} bytes with {}",
        ours.0,
        ours.1,
        theirs.0,
        theirs.1
    );
    Ok(ours.1)
}

fn print(number: usize, step: &Step) {
    println!("{number:>2}. {} ({} ms)", step.title, step.took_ms);
    if let Some(moved) = &step.moved {
        println!(
            "      changed {}, on the wire {}, read {} (data {}, zeros {})",
            ByteSize(moved.changed_bytes),
            ByteSize(moved.wire_bytes),
            ByteSize(moved.read_bytes),
            ByteSize(moved.data_bytes),
            ByteSize(moved.zero_bytes),
        );
        println!("      handshake {}", moved.decision);
        println!(
            "      change source {}: {}",
            moved.change_source, moved.change_source_reason
        );
    }
    for note in &step.notes {
        println!("      {note}");
    }
    if let Some(digest) = &step.equal {
        println!(
            "      equal by content: blake3 {}",
            &digest[..16.min(digest.len())]
        );
    }
}
