//! Waiting for a request to be carried out, saying what it waits for.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::connect::Pairs;
use super::exit::Ended;
use api::ReplicationPair;

/// Time between two looks at the pair.
const PERIOD: Duration = Duration::from_millis(500);

/// How long the cluster may be out of reach before a wait says so.
const SILENCE: Duration = Duration::from_secs(10);

/// How long to wait, on the command line.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Patience {
    /// Wait until it is done; with `--wait=false` return as soon as the request is written.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) wait: bool,
    /// The longest wait, such as 90s, 10m or 1h. The request stands when it is over.
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub(super) timeout: Duration,
}

/// How far a request has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Still under way; what it does or waits for.
    Going(String),
    /// Carried out; the last word about it, or nothing where the caller says it.
    Done(String),
    /// It will not be carried out, and why.
    Refused(String),
}

/// Looks at the pair until `stage` calls it done or refused.
///
/// # Errors
/// [`Ended::Refused`] or [`Ended::TimedOut`]; an error when the pair is gone.
pub(super) async fn until(
    pairs: &Pairs,
    name: &str,
    patience: &Patience,
    stage: impl Fn(&ReplicationPair) -> Stage,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut voice = Voice::new();
    let mut heard = Instant::now();
    loop {
        match pairs.api().get_opt(name).await {
            Ok(Some(pair)) => {
                heard = Instant::now();
                match stage(&pair) {
                    Stage::Going(words) => voice.say(&words),
                    Stage::Done(words) => {
                        voice.end();
                        if !words.is_empty() {
                            anstream::println!("{words} ({:.1}s)", begun.elapsed().as_secs_f64());
                        }
                        return Ok(());
                    }
                    Stage::Refused(words) => {
                        voice.end();
                        return Err(Ended::Refused(words).into());
                    }
                }
            }
            Ok(None) => {
                voice.end();
                anyhow::bail!("{name} was deleted while it was waited for");
            }
            Err(error) if heard.elapsed() > SILENCE => voice.say(&format!("the cluster: {error}")),
            Err(_) => {}
        }
        if begun.elapsed() >= patience.timeout {
            voice.end();
            return Err(Ended::TimedOut(format!(
                "{} after {}s: {}. The request stands and goes on; kubectl ferry status {name} shows it",
                name,
                patience.timeout.as_secs(),
                voice.said
            ))
            .into());
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Progress on standard error: one line that changes on a terminal, else a line a change.
pub(super) struct Voice {
    bar: Option<ProgressBar>,
    said: String,
}

impl Voice {
    pub(super) fn new() -> Voice {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Voice {
            bar,
            said: "nothing was reported".into(),
        }
    }

    pub(super) fn say(&mut self, words: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(words.to_string()),
            None if words != self.said => anstream::eprintln!("{words}"),
            None => {}
        }
        self.said = words.to_string();
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let number: u64 = number
        .parse()
        .context("a duration is a number with s, m or h")?;
    let seconds = match unit {
        "s" | "" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => anyhow::bail!("{unit:?} is no unit of time: use s, m or h"),
    };
    Ok(Duration::from_secs(seconds.context("that is too long")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubectl_reads_them() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("10m").unwrap(), Duration::from_secs(600));
        assert_eq!(duration("2h").unwrap(), Duration::from_secs(7200));
        for bad in ["", "m", "1d", "-1s", "1m30s", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad:?} was taken");
        }
    }
}
