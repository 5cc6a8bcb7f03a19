//! What a watching person reads: each step's title, what happened, how long it took.

use std::fmt::Display;
use std::time::Instant;

use api::v1alpha1::FinishedCycle;

/// Prints steps, or keeps quiet while several stories run side by side.
pub struct Teller {
    aloud: bool,
    step: u32,
    began: Instant,
    step_began: Instant,
}

impl Teller {
    /// One that prints when `aloud`.
    #[must_use]
    pub fn new(aloud: bool) -> Teller {
        Teller {
            aloud,
            step: 0,
            began: Instant::now(),
            step_began: Instant::now(),
        }
    }

    /// A new step begins.
    pub fn step(&mut self, title: impl Display) {
        self.step += 1;
        self.step_began = Instant::now();
        if self.aloud {
            println!("\n{:>2}. {title}", self.step);
        }
    }

    /// Something has happened in this step.
    pub fn tell(&self, text: impl Display) {
        if self.aloud {
            println!(
                "    {:>6.1} s  {text}",
                self.step_began.elapsed().as_secs_f64()
            );
        }
    }

    /// What a program printed, indented.
    pub fn quote(&self, text: &str) {
        if self.aloud {
            for line in text.trim_end().lines() {
                println!("              | {line}");
            }
        }
    }

    /// Seconds since the beginning.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// A committed cycle in one line.
#[must_use]
pub fn cycle(cycle: &FinishedCycle) -> String {
    format!(
        "cut {} committed in {:.1} s by {}: {} of data and {} of zeros changed, {} on the wire \
         (snapshot {:.1} s, pods {:.1} s, ship {:.1} s, apply {:.1} s, commit {:.1} s)",
        cycle.point,
        seconds(cycle.total_ms),
        cycle.change_source,
        bytes(cycle.data_bytes),
        bytes(cycle.zero_bytes),
        bytes(cycle.wire_bytes),
        seconds(cycle.snapshot_ms),
        seconds(cycle.start_ms),
        seconds(cycle.ship_ms),
        seconds(cycle.apply_ms),
        seconds(cycle.commit_ms),
    )
}

/// Milliseconds as seconds.
#[must_use]
pub fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// An amount of bytes as people read it.
#[must_use]
pub fn bytes(count: i64) -> String {
    bytesize::ByteSize::b(u64::try_from(count).unwrap_or(0))
        .display()
        .iec()
        .to_string()
}
