//! `kubectl ferry salvage`: save what only the diverged side holds, before it is discarded.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use kube::ResourceExt;

use super::connect::Target;
use super::exit::Ended;
use super::salvage_pod::{self, SalvagePod, SalvageRequest};
use super::spec_patch::Roles;
use super::wait::Voice;
use super::{format, resync};
use api::ReplicationPair;
use salvage::{Export, Facts, SalvageError, Summary, cli, stream};

/// What `salvage` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
    /// The diverged site; the standby when left out.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// The sparse file to make here; the list of its ranges goes to the same path with .json added.
    #[arg(long, value_name = "FILE", required_unless_present = "claim")]
    to: Option<PathBuf>,
    /// Keep the export in this claim of the pair's namespace instead, in the cluster.
    #[arg(long, value_name = "CLAIM", conflicts_with = "to")]
    claim: Option<String>,
    /// Where no common image is known any more: export everything that is not zero.
    #[arg(long)]
    whole: bool,
    /// The image to run; that of the pair's movers when left out.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
}

/// Reads the diverged volume in a pod beside it, and writes what differs where it was asked for.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    let pair = pairs.get(&args.pair).await?;
    let roles = Roles::of(&pair)?;
    let site = args.site.as_deref().unwrap_or(&roles.standby);
    resync::check_diverged(&pair, &roles, site)?;
    if let Some(to) = &args.to {
        refuse_to_overwrite(to)?;
    }
    let request = SalvageRequest::of(&pair, site, args.image.as_deref(), args.claim.as_deref())?;
    let pod = SalvagePod::start(pairs.client(), pairs.namespace(), &request).await?;
    let work = async {
        pod.until_running().await?;
        match &args.to {
            Some(to) => fetch(&pod, &pair, site, to, args.whole).await,
            None => keep(&pod, &pair, site, args.whole).await,
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Err(Ended::Refused("you stopped it; no export was made".into()).into()),
    };
    pod.remove().await;
    anstream::println!("{}", outcome?);
    Ok(())
}

fn refuse_to_overwrite(to: &Path) -> Result<(), Ended> {
    if to.exists() {
        return Err(Ended::Refused(format!(
            "{} is there already, and nothing is overwritten: choose another name",
            to.display()
        )));
    }
    Ok(())
}

/// Takes the stream in and writes the file here.
async fn fetch(
    pod: &SalvagePod,
    pair: &ReplicationPair,
    site: &str,
    to: &Path,
    whole: bool,
) -> anyhow::Result<String> {
    let mut command = salvage_pod::command(whole);
    command.push("--stream".into());
    let mut process = pod.exec(&command).await?;
    let stdout = process
        .stdout()
        .context("the pod's output is unavailable")?;
    let mut voice = Voice::new();
    let size = Cell::new(0);
    let received = stream::receive(
        stdout,
        |facts| {
            belongs(facts, pair, site)?;
            size.set(facts.size);
            Ok((Export::create(to, facts)?, facts.clone()))
        },
        |(export, _), batch| export.take(batch),
        |through| voice.say(&reading(through, size.get())),
    )
    .await;
    voice.end();
    let (export, facts) = received.map_err(explained)?;
    let summary = export.finish().map_err(explained)?;
    Ok(done(&facts, &summary, &to.display().to_string()))
}

/// Has the pod write the file to the claim that it mounts.
async fn keep(
    pod: &SalvagePod,
    pair: &ReplicationPair,
    site: &str,
    whole: bool,
) -> anyhow::Result<String> {
    let name = format!(
        "{}-{site}-{}.img",
        pair.name_any(),
        Timestamp::now().strftime("%Y%m%d-%H%M%S")
    );
    let mut command = salvage_pod::command(whole);
    command.push(format!("--to={}/{name}", salvage_pod::OUT_PATH));
    let said = pod.run(&command).await?;
    Ok(format!("{name} in the claim: {}", said.trim()))
}

/// What the stream says of itself has to be what was asked for: names of objects are no proof.
fn belongs(facts: &Facts, pair: &ReplicationPair, site: &str) -> Result<(), SalvageError> {
    let status = pair.status.as_ref();
    let pair_id = status.and_then(|status| status.pair_id.as_deref());
    let theirs = facts.pair_id.map(|id| id.to_string());
    let refused = |why: String| Err(SalvageError::Refused(why));
    if theirs.as_deref() != pair_id {
        return refused(format!(
            "the state volume is of pair {}, not {}: nothing was exported",
            theirs.unwrap_or_default(),
            pair_id.unwrap_or_default()
        ));
    }
    if facts.site.as_ref().is_none_or(|its| its.as_str() != site) {
        return refused(format!("the state volume is not that of site {site}"));
    }
    if !facts.diverged {
        return refused(format!("site {site} says that it holds nothing of its own"));
    }
    Ok(())
}

fn explained(error: SalvageError) -> anyhow::Error {
    match error {
        SalvageError::Refused(why) => Ended::Refused(why).into(),
        other => other.into(),
    }
}

fn reading(through: u64, size: u64) -> String {
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    match format::percent(int(through), int(size)) {
        Some(share) => format!("read {share} % of {}", format::bytes(int(size))),
        None => format!("read {}", format::bytes(int(through))),
    }
}

fn done(facts: &Facts, summary: &Summary, to: &str) -> String {
    format!("{to} and {to}.json: {}", cli::line(facts, summary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn only_what_the_side_itself_calls_diverged_is_taken_for_it() {
        let mut pair = sample::waiting();
        let id = uuid::Uuid::new_v4();
        pair.status.as_mut().unwrap().pair_id = Some(id.to_string());
        let facts = Facts {
            pair_id: Some(protocol::units::PairId(id)),
            site: Some("west".parse().unwrap()),
            epoch: None,
            diverged: true,
            compared_with: None,
            against: String::new(),
            size: 0,
        };
        assert!(belongs(&facts, &pair, "west").is_ok());
        assert!(belongs(&facts, &pair, "east").is_err());
        let calm = Facts {
            diverged: false,
            ..facts.clone()
        };
        assert!(belongs(&calm, &pair, "west").is_err());
        let foreign = Facts {
            pair_id: Some(protocol::units::PairId(uuid::Uuid::new_v4())),
            ..facts
        };
        assert!(belongs(&foreign, &pair, "west").is_err());
    }
}
