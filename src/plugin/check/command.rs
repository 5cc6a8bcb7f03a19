//! `kubectl ferry check`: would a pair work here? Looks, and changes nothing; run it before anything
//! is applied.

use std::path::PathBuf;

use anstream::println;
use anyhow::Context;

use super::facts::Facts;
use super::finding::{Finding, Level};
use super::findings;
use crate::connect::Target;
use crate::exit::Ended;
use crate::format;
use api::ReplicationPair;

/// What `check` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A pair that exists; only the cluster and the namespace are looked at when left out.
    #[arg(conflicts_with = "filename")]
    pair: Option<String>,
    /// The manifest of a pair that is to be applied.
    #[arg(short, long, value_name = "FILE")]
    filename: Option<PathBuf>,
}

/// Looks at the cluster and prints what was found, what bars a pair first.
pub(crate) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    let pair = match (&args.pair, &args.filename) {
        (Some(name), _) => Some(pairs.get(name).await?),
        (None, Some(file)) => Some(manifest(file)?),
        (None, None) => None,
    };
    let namespace = pair
        .as_ref()
        .and_then(|pair| pair.metadata.namespace.clone())
        .unwrap_or_else(|| pairs.namespace().into());
    let facts = Facts::fetch(pairs.client(), &namespace, pair).await;
    let mut found = findings::all(&facts);
    found.sort_by_key(|finding| finding.level);
    for finding in &found {
        println!("{}", line(finding));
    }
    match found.iter().filter(|f| f.level == Level::Fails).count() {
        0 => Ok(()),
        bars => Err(Ended::Refused(format!(
            "{bars} of {} checks fail: a pair would not work in namespace {namespace}",
            found.len()
        ))
        .into()),
    }
}

fn manifest(file: &PathBuf) -> anyhow::Result<ReplicationPair> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("failed to read {}", file.display()))?;
    serde_yaml::from_str(&text).with_context(|| {
        format!(
            "{} is not the manifest of one ReplicationPair",
            file.display()
        )
    })
}

/// One finding, with its level in front.
fn line(finding: &Finding) -> String {
    let indent = 2 + Level::WIDTH;
    let text = format!("{}: {}", finding.subject, finding.message);
    format!(
        "{:width$}  {}",
        finding.level.to_string(),
        format::wrap(&text, format::width(), indent),
        width = Level::WIDTH
    )
}
