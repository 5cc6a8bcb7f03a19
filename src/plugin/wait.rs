//! Waiting for a request to be carried out, saying what it waits for.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::connect::Pairs;
use super::exit::Ended;
use super::request::{self, Request};
use super::{api_error, format};
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
    #[arg(long, default_value = "10m", value_parser = format::duration, value_name = "TIME")]
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
    let probe = async || {
        let pair = pairs.api().get_opt(name).await?;
        Ok(pair.map(|pair| stage(&pair)))
    };
    look(pairs, name, patience, probe).await
}

/// Looks at a request, and at its pair, until `stage` calls it done or refused.
///
/// # Errors
/// As [`until`]; an error when the request is deleted.
pub(super) async fn request<K: Request>(
    pairs: &Pairs,
    pair: &str,
    name: &str,
    patience: &Patience,
    stage: impl Fn(&K, Option<&ReplicationPair>) -> Stage,
) -> anyhow::Result<()> {
    let probe = async || {
        let (pair, request) = tokio::try_join!(async { pairs.api().get_opt(pair).await }, async {
            request::api::<K>(pairs).get_opt(name).await
        },)?;
        Ok(request.map(|request| stage(&request, pair.as_ref())))
    };
    look(pairs, pair, patience, probe).await
}

/// Asks `probe` until it calls `name` done or refused; it answers nothing once what is awaited is gone.
async fn look(
    pairs: &Pairs,
    name: &str,
    patience: &Patience,
    probe: impl AsyncFn() -> Result<Option<Stage>, kube::Error>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut voice = Voice::new();
    let mut heard = Instant::now();
    loop {
        match probe().await {
            Ok(Some(stage)) => {
                heard = Instant::now();
                match stage {
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
                anyhow::bail!("{name}, or the request for it, was deleted while it was waited for");
            }
            Err(error) if api_error::is_final(&error) => {
                voice.end();
                return Err(pairs.explain(name, &error));
            }
            Err(error) if heard.elapsed() > SILENCE => voice.say(&api_error::words(&error)),
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
